//! `gapless bench process`: what the process level costs on this machine, as a table.
//!
//! The rule it keeps: what is compared takes turns in every round, so that whatever else the machine does falls on all alike, and of the rounds the
//! median counts; only ratios mean anything. It does only what a user could do, and nothing of it is left when it ends. What it leaves out: judging
//! whether answers are right, which is what `gapless demo` and the tests are for.

mod bed;
mod helper;
mod options;
mod programs;
mod redis;
mod report;
mod rows;
mod stalls;
mod takeover;
mod web;

pub use options::BenchCommand;

use crate::Outcome;
use crate::interrupt::{self, interrupted};
use crate::out;
use bed::Bed;
use options::ProcessArgs;
use report::{Outcome as Measured, Report};
use rows::ROWS;

/// `gapless bench`.
pub fn run(command: &BenchCommand) -> Outcome {
    match command {
        BenchCommand::Process(args) => process(args),
        BenchCommand::Helper(args) => helper::run(args),
    }
}

/// `gapless bench process`. Exit status 1 if a row could not be measured.
fn process(args: &ProcessArgs) -> Outcome {
    interrupt::install();
    let dir = tempfile::Builder::new()
        .prefix("gapless-bench-")
        .tempdir()
        .map_err(|e| format!("no temporary directory: {e}"))?;
    let path = std::path::absolute(dir.path()).map_err(crate::text)?;
    let mut bed = Bed::new(&path, args.sizes)?;
    let mut report = Report { sizes: args.sizes, rr: bed.rr().to_owned(), rows: Vec::new() };
    for row in ROWS.iter().filter(|row| args.wants(row.name)) {
        bed.progress.say(&format!("{}: {}", row.name, row.load));
        let measured = match row.missing() {
            Some(missing) => Measured::Missing(missing),
            None => (row.measure)(&mut bed).map_or_else(Measured::Failed, Measured::Series),
        };
        if interrupted() {
            return Err("interrupted".into());
        }
        if let Measured::Failed(why) = &measured {
            bed.progress.say(&format!("  {why}"));
        }
        for line in report.add(row, measured) {
            bed.progress.say(&format!("  {line}"));
        }
    }
    drop(bed);
    if args.json {
        out::data(&format!("{}\n", report.json()))?;
    } else {
        out::data(&report.to_string())?;
    }
    Ok(u8::from(!report.is_complete()))
}
