//! A tool that measures from outside, with a deadline.

use crate::support::Area;
use crate::support::process::{Process, sleep_ms};
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs it to its end: what it wrote on standard output, or why there is none.
pub fn output(command: Command, limit: Duration) -> Result<String, String> {
    let name = command.get_program().display().to_string();
    let area = Area::new("bench-tool");
    let mut process = Process::start(command, &area.join("tool"));
    let since = Instant::now();
    while !process.ended() && since.elapsed() < limit {
        sleep_ms(2);
    }
    if !process.ended() {
        return Err(format!("{name}: over {} s", limit.as_secs()));
    }
    let done = process.finish();
    if done.code() != 0 {
        return Err(format!("{name}: {}{}", done.stdout_text(), done.stderr_text()));
    }
    Ok(done.stdout_text())
}
