//! `record`, `replay`, `resume`: one machine, one log.

use crate::args::{ProgramArgs, RecordArgs, ReplayArgs, ResumeArgs};
use crate::level::{self, Any};
use crate::out::{self, talk};
use crate::place::{self, Scratch};
use crate::progress::Progress;
use crate::{EXIT_DIVERGED, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_NOT_REACHED, Outcome, machine, text};
use gapless_log::{CommitLevel, Error, Level, Position, Seq};
use gapless_pair::driver::alone::{self, Extent, Replay};
use gapless_process::{Command, ProcessGroup, Unfit};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The program as the replica wants it: arguments, environment, directory, state directories with absolute names. `log` must lie in none of these.
pub fn command(args: &ProgramArgs, log: &Path) -> Result<Command, String> {
    let log_at = whole_path(log)?;
    let states = args.states.iter().map(|dir| {
        let found = dir.canonicalize().map_err(|e| format!("--state {}: {e}; name a directory that exists", dir.display()))?;
        if !found.is_dir() {
            return Err(format!("--state {} is not a directory; name the directory that it is in", dir.display()));
        }
        if log_at.starts_with(&found) {
            return Err(format!(
                "--log {} lies in --state {}, so the log would be taken into itself; name a log directory outside of it",
                log.display(),
                dir.display()
            ));
        }
        Ok(found.into_os_string().into_vec())
    });
    let cwd = std::env::current_dir().map_err(|e| format!("the current directory cannot be named: {e}"))?;
    Ok(Command {
        argv: args.program.iter().map(|a| a.as_bytes().to_vec()).collect(),
        env: std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat()).collect(),
        cwd: cwd.into_os_string().into_vec(),
        states: states.collect::<Result<_, String>>()?,
    })
}

/// The real path of something of which not everything needs to exist yet.
pub fn whole_path(path: &Path) -> Result<PathBuf, String> {
    let path = std::path::absolute(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let real = path.ancestors().find_map(|above| {
        let rest = path.strip_prefix(above).expect("it is above");
        above.canonicalize().ok().map(|above| above.join(rest))
    });
    Ok(real.unwrap_or(path))
}

/// Looks for the program before anything is put down for it; the exit status, as env(1) has it, if it cannot be started.
pub fn unfit(command: &Command) -> Option<u8> {
    let why = command.check().err()?;
    talk!("gapless: {why}");
    Some(match why {
        Unfit::NotFound(_) => EXIT_NOT_FOUND,
        Unfit::NotExecutable(_) => EXIT_NOT_EXECUTABLE,
    })
}

/// `gapless record`.
pub fn record(args: RecordArgs) -> Outcome {
    gapless_process::world::take_over_signals();
    let command = command(&args.program, &args.log)?;
    if let Some(status) = unfit(&command) {
        return Ok(status);
    }
    let level = if args.durable { CommitLevel::Durable } else { CommitLevel::Received };
    // A log that never began counts as none: whoever makes the new one looks.
    place::fresh_or_log(&args.log)?;
    std::fs::create_dir_all(&args.log).map_err(|e| format!("--log {}: {e}", args.log.display()))?;
    let replica = ProcessGroup::new(command, &args.log).map_err(text)?;
    let status = alone::record(&args.log, replica, level, args.checks.options()).map_err(text)?;
    Ok(status as u8)
}

/// A replay that was carried out: what it came to, or the exit status that says why it did not.
pub enum Executed<T> {
    Done(Replay, T),
    Not(u8),
}

/// Executes a log in a place of its own, so that the log may be one that can only be read; then `then`.
pub fn execute<T>(
    dir: &Path,
    extent: Extent,
    then: impl FnOnce(&mut Any, &Replay) -> Result<T, Error>,
) -> Result<Executed<T>, String> {
    place::log(dir)?;
    let scratch = Scratch::new()?;
    let mut progress = Progress::new();
    let mut show = |done: &Replay, end: Seq| {
        progress.show(|| format!("{} of {end} entries, position {}", done.entries, done.position));
    };
    let replica = Any::backup(dir, scratch.path()).map_err(|e| scratch.explain(e))?;
    let result = alone::replay_then(dir, replica, extent, &mut show, then);
    drop(progress);
    match result {
        Ok((done, value)) => Ok(Executed::Done(done, value)),
        Err(Error::Diverged(d)) => {
            talk!("gapless: {d}");
            Ok(Executed::Not(EXIT_DIVERGED))
        }
        Err(e) => Err(scratch.explain(e)),
    }
}

/// What a replay came to, for `--json`.
pub fn summary(done: &Replay) -> serde_json::Value {
    serde_json::json!({
        "entries": done.entries,
        "steps": done.steps,
        "digests": done.digests,
        "position": done.position.0,
        "reached": done.reached,
        "exit_status": done.ended,
        "digest": done.digest.map(|d| format!("{d:032x}")),
    })
}

/// `gapless replay`. Exit status 1 if the replay differs from the log, 4 if the log ends before the position.
pub fn replay(args: &ReplayArgs) -> Outcome {
    if let Some(at) = &args.gdb {
        return machine::debug(&args.dir, at, args.until.map(Position));
    }
    let extent = Extent { until: args.until.map(Position), digest: args.digest };
    let done =
        match execute(&args.dir, extent, |replica, _| args.save.as_deref().map_or(Ok(()), |to| replica.save_to(to)))? {
            Executed::Done(done, ()) => done,
            Executed::Not(status) => return Ok(status),
        };
    if args.json {
        out::data(&format!("{}\n", summary(&done)))?;
    } else {
        talk!(
            "replayed {} entries in {} steps to position {}; {} digests equal{}",
            done.entries,
            done.steps,
            done.position,
            done.digests,
            done.ended.map_or(String::new(), |s| format!("; the program ended with status {s}"))
        );
        if let Some(digest) = done.digest {
            out::data(&format!("{digest:032x}\n"))?;
        }
    }
    if args.digest && done.digests == 0 {
        talk!("gapless: no digest was compared: the log has none up to position {}", done.position);
    }
    Ok(reached(&done, extent.until))
}

/// The exit status of a replay that differed nowhere; says so if it did not get to where it was to go.
pub fn reached(done: &Replay, until: Option<Position>) -> u8 {
    match until {
        Some(until) if !done.reached => {
            talk!("gapless: position {until} was not reached: the log ends at position {}", done.position);
            EXIT_NOT_REACHED
        }
        _ => 0,
    }
}

/// `gapless resume`.
pub fn resume(args: ResumeArgs) -> Outcome {
    if args.pair.arbiter.is_some() {
        return crate::pair::resume(args);
    }
    place::log(&args.dir)?;
    if level::of(&args.dir)? == Level::Machine {
        let accept_loss = args.pair.accept_loss.is_some();
        return machine::resume(&args.dir, args.pair.net, accept_loss, args.pair.node.checks.options());
    }
    // Until it is live, signals end it as they end any process; from then on they are the program's.
    let replica = ProcessGroup::backup(&args.dir).map_err(text)?;
    let status = alone::resume(&args.dir, replica, args.pair.accept_loss.is_some(), args.pair.node.checks.options())
        .map_err(text)?;
    Ok(status as u8)
}
