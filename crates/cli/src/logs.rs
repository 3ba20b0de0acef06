//! `log cat|stat|verify`.

use crate::args::{CatArgs, LookArgs};
use crate::{Outcome, text};
use gapless_log::inspect::{Range, Render};
use gapless_log::{Entry, Kind, Position, inspect};
use std::io::{BufWriter, Write};

/// Shows the process level's entries.
struct ProcessEntries;

impl Render for ProcessEntries {
    fn kind(&self, kind: Kind) -> Option<&str> {
        Some(gapless_process::kernel::input::name(kind)).filter(|&n| n != "unknown")
    }

    fn body(&self, entry: &Entry) -> Option<String> {
        gapless_process::describe(entry)
    }
}

/// A reader that has gone away (`| head`) is no error.
fn finish(written: std::io::Result<()>, status: i32) -> Outcome {
    match written {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(text(e)),
        _ => Ok(status as u8),
    }
}

/// `gapless log cat`.
pub fn cat(args: &CatArgs) -> Outcome {
    let range = Range { from_position: Position(args.from), until_position: Position(args.until), ..Range::default() };
    let mut out = BufWriter::new(std::io::stdout().lock());
    for line in inspect::cat(&args.dir, range, &ProcessEntries).map_err(text)? {
        let line = line.map_err(text)?;
        let written = if args.json {
            writeln!(out, "{}", serde_json::to_string(&line).map_err(text)?)
        } else {
            writeln!(out, "{line}")
        };
        if written.is_err() {
            return finish(written, 0);
        }
    }
    finish(out.flush(), 0)
}

/// `gapless log stat`.
pub fn stat(args: &LookArgs) -> Outcome {
    let stat = inspect::stat(&args.dir, &ProcessEntries).map_err(text)?;
    show(&stat, args.json, stat.exit_status())
}

/// `gapless log verify`.
pub fn verify(args: &LookArgs) -> Outcome {
    let report = inspect::verify(&args.dir).map_err(text)?;
    show(&report, args.json, report.exit_status())
}

fn show<T: serde::Serialize + std::fmt::Display>(value: &T, json: bool, status: i32) -> Outcome {
    let mut out = std::io::stdout().lock();
    let shown = if json { serde_json::to_string(value).map_err(text)? } else { value.to_string() };
    finish(writeln!(out, "{}", shown.trim_end()), status)
}
