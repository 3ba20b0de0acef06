//! `cargo +nightly fuzz run machine_guest`: no guest wedges or breaks a machine, and what becomes of it follows from its inputs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gapless_machine::fuzz::guest(bytes));
