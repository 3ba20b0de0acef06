//! `cargo +nightly fuzz run decoder`: no bytes make a decoder of the log panic, and what it accepts it would write the same.
#![no_main]

#[path = "../../crates/log/tests/common/fuzz.rs"]
mod fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::decode(bytes));
