//! `cargo +nightly fuzz run task`: no entry of a log, no saved state and no frame of a stranger makes a shard panic.
#![no_main]

#[path = "../../crates/task/tests/common/fuzz.rs"]
mod fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::anything(bytes));
