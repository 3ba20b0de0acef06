//! `cargo +nightly fuzz run machine_snapshot`: no snapshot breaks who loads it.
#![no_main]

use std::path::Path;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let shm = Path::new("/dev/shm");
    let dir = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
    gapless_machine::fuzz::snapshot(bytes, dir.expect("a directory for temporary files").path());
});
