//! `cargo +nightly fuzz run machine_virtqueue`: no driver gets a device to do anything to the host.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gapless_machine::fuzz::virtqueue(bytes));
