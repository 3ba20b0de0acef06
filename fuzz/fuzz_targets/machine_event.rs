//! `cargo +nightly fuzz run machine_event`: no entry of a log breaks a machine that replays it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gapless_machine::fuzz::events(bytes));
