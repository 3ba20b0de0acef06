//! `cargo +nightly fuzz run machine_image`: no kernel, initial RAM disk or command line gets out of the guest's memory.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gapless_machine::fuzz::image(bytes));
