//! `log cat|stat|verify`.

use crate::args::{CatArgs, LookArgs};
use crate::out::{self, talk};
use crate::{Outcome, level, text};
use gapless_log::inspect::{Range, Render};
use gapless_log::{Entry, Error, Kind, Level, Position, inspect};
use std::io::{BufWriter, Write};
use std::path::Path;

/// Shows a level's own entries.
struct Entries(Level);

impl Entries {
    /// Of the log in `dir`; of whichever level if it says nothing that can be read, for then nothing will be shown.
    fn of(dir: &Path) -> Self {
        Self(level::of(dir).unwrap_or(Level::Process))
    }
}

impl Render for Entries {
    fn kind(&self, kind: Kind) -> Option<&str> {
        let name = match self.0 {
            Level::Machine => gapless_machine::event::name(kind),
            Level::Task => gapless_task::input::name(kind),
            _ => gapless_process::kernel::input::name(kind),
        };
        Some(name).filter(|&n| n != "unknown")
    }

    fn body(&self, entry: &Entry) -> Option<String> {
        match self.0 {
            Level::Machine => gapless_machine::event::describe(entry.kind, &entry.body),
            Level::Task => gapless_task::input::describe(entry.kind, &entry.body),
            _ => gapless_process::describe(entry),
        }
    }
}

/// What went wrong with a log: that it is corrupt is an answer, with an exit status of its own.
fn failed(e: Error) -> Outcome {
    match e {
        Error::Corrupt { .. } => {
            talk!("gapless: {e}");
            Ok(inspect::EXIT_CORRUPT as u8)
        }
        other => Err(text(other)),
    }
}

/// `gapless log cat`.
pub fn cat(args: &CatArgs) -> Outcome {
    let range = Range { from_position: Position(args.from), until_position: Position(args.until), ..Range::default() };
    let entries = Entries::of(&args.dir);
    let mut lines = match inspect::cat(&args.dir, range, &entries) {
        Ok(lines) => lines,
        Err(e) => return failed(e),
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    for line in &mut lines {
        let line = match line {
            Ok(line) => line,
            Err(e) => {
                out::written(out.flush())?;
                return failed(e);
            }
        };
        let shown = if args.json { serde_json::to_string(&line).map_err(text)? } else { line.to_string() };
        if !out::written(writeln!(out, "{shown}"))? {
            break;
        }
    }
    out::written(out.flush())?;
    if let (inspect::EXIT_TORN_TAIL, Some(torn)) = (lines.exit_status(), &lines.recovered().truncated) {
        talk!("gapless: {torn}");
    }
    Ok(lines.exit_status() as u8)
}

/// `gapless log stat`.
pub fn stat(args: &LookArgs) -> Outcome {
    match inspect::stat(&args.dir, &Entries::of(&args.dir)) {
        Ok(stat) => show(&stat, args.json, stat.exit_status()),
        Err(e) => failed(e),
    }
}

/// `gapless log verify`.
pub fn verify(args: &LookArgs) -> Outcome {
    let report = inspect::verify(&args.dir).map_err(text)?;
    show(&report, args.json, report.exit_status())
}

fn show<T: serde::Serialize + std::fmt::Display>(value: &T, json: bool, status: i32) -> Outcome {
    let shown = if json { serde_json::to_string(value).map_err(text)? } else { value.to_string() };
    out::data(&format!("{}\n", shown.trim_end()))?;
    Ok(status as u8)
}
