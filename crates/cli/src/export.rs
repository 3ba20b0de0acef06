//! `gapless export`: what the program wrote, as real files; of a machine, its disks.
//!
//! The log is executed to its end (or to a position), and what the program's files or the machine's disks are there is copied out. Nothing goes live, and the log is only read.

use crate::args::ExportArgs;
use crate::level::Any;
use crate::program::{self, Executed, execute, summary};
use crate::{Outcome, level, out, out::talk, place, text};
use gapless_log::{Level, Position};
use gapless_pair::driver::alone::{Extent, Replay};
use gapless_process::ProcessGroup;
use gapless_process::fs::Exported;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Things left out that are named one by one.
const LEFT_OUT_SHOWN: usize = 20;

/// `gapless export`. Exit status 1 if the replay differs from the log, 4 if the log ends before the position; then nothing is written.
pub fn run(args: &ExportArgs) -> Outcome {
    place::log(&args.dir)?;
    check_target(&args.dir, &args.to)?;
    if level::of(&args.dir)? == Level::Machine {
        return disks(args);
    }
    let state = args.state.as_deref().map(|dir| std::path::absolute(dir).map_err(text)).transpose()?;
    let extent = Extent { until: args.until.map(Position), digest: false };
    let copy = |replica: &mut Any, done: &Replay| {
        let group = replica.processes()?;
        if !done.reached {
            return Ok(None);
        }
        let state = state.as_deref().map(|dir| known(group, dir));
        group.export(state.as_deref().map(|dir| dir.as_os_str().as_bytes()), &args.to).map(Some)
    };
    let (done, exported) = match execute(&args.dir, extent, copy)? {
        Executed::Done(done, Some(exported)) => (done, exported),
        Executed::Done(done, None) => return Ok(nothing(args, program::reached(&done, extent.until))),
        Executed::Not(status) => return Ok(nothing(args, status)),
    };
    if args.json {
        let mut all = summary(&done);
        all["to"] = args.to.display().to_string().into();
        for (name, count) in [
            ("files", exported.files),
            ("hard_links", exported.hard_links),
            ("directories", exported.directories),
            ("symlinks", exported.symlinks),
            ("bytes", exported.bytes),
        ] {
            all[name] = count.into();
        }
        let left = exported.left_out.iter();
        all["left_out"] =
            left.map(|l| serde_json::json!({"path": l.path.display().to_string(), "why": l.why})).collect();
        out::data(&format!("{all}\n"))?;
    } else {
        tell(&done, &exported, &args.to);
    }
    Ok(0)
}

fn nothing(args: &ExportArgs, status: u8) -> u8 {
    talk!("gapless: nothing was written to {}", args.to.display());
    status
}

/// Of a machine: its disks, as images.
fn disks(args: &ExportArgs) -> Outcome {
    if args.state.is_some() {
        return Err("--state is for programs; of a machine the disks are exported".into());
    }
    let extent = Extent { until: args.until.map(Position), digest: false };
    let copy = |replica: &mut Any, done: &Replay| match done.reached {
        true => replica.machine()?.export_disks(&args.to).map(Some),
        false => Ok(None),
    };
    let (done, images) = match execute(&args.dir, extent, copy)? {
        Executed::Done(done, Some(images)) => (done, images),
        Executed::Done(done, None) => return Ok(nothing(args, program::reached(&done, extent.until))),
        Executed::Not(status) => return Ok(nothing(args, status)),
    };
    let names = images.iter().map(|image| image.display().to_string());
    if args.json {
        let mut all = summary(&done);
        all["disks"] = names.collect();
        out::data(&format!("{all}\n"))?;
    } else {
        names.for_each(|name| talk!("exported {name}: the disk as the machine had it at position {}", done.position));
    }
    Ok(0)
}

fn tell(done: &Replay, exported: &Exported, to: &Path) {
    for left in exported.left_out.iter().take(LEFT_OUT_SHOWN) {
        talk!("gapless: left out: {}: {}", left.path.display(), left.why);
    }
    if let Some(more) = exported.left_out.len().checked_sub(LEFT_OUT_SHOWN).filter(|&n| n > 0) {
        talk!("gapless: left out: {more} more (--json names all)");
    }
    let Exported { files, directories, symlinks, bytes, .. } = exported;
    talk!(
        "exported {files} files, {directories} directories and {symlinks} symbolic links, {bytes} bytes, to {}: as the program had them at position {}{}",
        to.display(),
        done.position,
        done.ended.map_or(String::new(), |s| format!(", where it ended with status {s}"))
    );
}

/// A directory as the program knows it: its name as given, unless only its real name is known there.
fn known(group: &ProcessGroup, dir: &Path) -> PathBuf {
    let real = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    if group.knows(dir.as_os_str().as_bytes()) { dir.to_owned() } else { real }
}

/// Refuses at once what would be refused after a long replay.
fn check_target(log: &Path, to: &Path) -> Result<(), String> {
    let whole = program::whole_path(to)?;
    if whole.starts_with(program::whole_path(log)?) {
        return Err(format!("--to {} lies in the log directory, which is only read; name another place", to.display()));
    }
    match std::fs::read_dir(to).map(Iterator::count) {
        Ok(1..) => {
            Err(format!("--to {} is not empty; nothing was written: name a new or an empty directory", to.display()))
        }
        Ok(_) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => match whole.parent() {
            Some(above) if !above.is_dir() => Err(format!("--to {}: make {} first", to.display(), above.display())),
            _ => Ok(()),
        },
        Err(e) => Err(format!("--to {}: {e}; name a new or an empty directory", to.display())),
    }
}
