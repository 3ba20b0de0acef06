//! `cargo +nightly fuzz run recovery`: no bytes in a log directory make opening, reading or verifying panic or disagree.
#![no_main]

#[path = "../../crates/log/tests/common/fuzz.rs"]
mod fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::recover(bytes));
