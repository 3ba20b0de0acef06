//! `record`, `replay`, `resume`: one machine, one log.

use crate::args::{ProgramArgs, RecordArgs, ReplayArgs, ResumeArgs};
use crate::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, Outcome, text};
use gapless_log::{CommitLevel, Error, Position};
use gapless_pair::driver::alone;
use gapless_process::{Command, ProcessGroup, Unfit};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The program as the replica wants it: arguments, environment, directory, state directories with absolute names.
pub fn command(args: &ProgramArgs) -> Result<Command, String> {
    let states = args.states.iter().map(|dir| {
        let found = dir.canonicalize().map_err(|e| format!("--state {}: {e}", dir.display()))?;
        if found.is_dir() {
            Ok(found.into_os_string().into_vec())
        } else {
            Err(format!("--state {} is not a directory", dir.display()))
        }
    });
    let cwd = std::env::current_dir().map_err(|e| format!("the current directory cannot be named: {e}"))?;
    Ok(Command {
        argv: args.program.iter().map(|a| a.as_bytes().to_vec()).collect(),
        env: std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat()).collect(),
        cwd: cwd.into_os_string().into_vec(),
        states: states.collect::<Result<_, String>>()?,
    })
}

/// Looks for the program before anything is put down for it; the exit status, as env(1) has it, if it cannot be started.
pub fn unfit(command: &Command) -> Option<u8> {
    let why = command.check().err()?;
    eprintln!("gapless: {why}");
    Some(match why {
        Unfit::NotFound(_) => EXIT_NOT_FOUND,
        Unfit::NotExecutable(_) => EXIT_NOT_EXECUTABLE,
    })
}

/// `gapless record`.
pub fn record(args: RecordArgs) -> Outcome {
    gapless_process::world::take_over_signals();
    let command = command(&args.program)?;
    if let Some(status) = unfit(&command) {
        return Ok(status);
    }
    let level = if args.durable { CommitLevel::Durable } else { CommitLevel::Received };
    std::fs::create_dir_all(&args.log).map_err(|e| format!("--log {}: {e}", args.log.display()))?;
    let replica = ProcessGroup::new(command, &args.log).map_err(text)?;
    let status = alone::record(&args.log, replica, level, args.checks.options()).map_err(text)?;
    Ok(status as u8)
}

/// `gapless replay`. Exit status 1 if the replay differs from the log.
pub fn replay(args: &ReplayArgs) -> Outcome {
    let replica = ProcessGroup::backup(&args.dir).map_err(text)?;
    let done = match alone::replay(&args.dir, replica, args.until.map(Position), args.digest) {
        Ok(done) => done,
        Err(Error::Diverged(d)) => {
            eprintln!("gapless: {d}");
            return Ok(1);
        }
        Err(e) => return Err(text(e)),
    };
    if args.json {
        let summary = serde_json::json!({
            "entries": done.entries,
            "steps": done.steps,
            "digests": done.digests,
            "position": done.position.0,
            "exit_status": done.ended,
            "digest": done.digest.map(|d| format!("{d:032x}")),
        });
        println!("{summary}");
    } else {
        eprintln!(
            "replayed {} entries in {} steps to position {}; {} digests equal{}",
            done.entries,
            done.steps,
            done.position,
            done.digests,
            done.ended.map_or(String::new(), |s| format!("; the program ended with status {s}"))
        );
        if let Some(digest) = done.digest {
            println!("{digest:032x}");
        }
    }
    Ok(0)
}

/// `gapless resume`.
pub fn resume(args: ResumeArgs) -> Outcome {
    if args.pair.arbiter.is_some() {
        return crate::pair::resume(args);
    }
    // Until it is live, signals end it as they end any process; from then on they are the program's.
    let replica = ProcessGroup::backup(&args.dir).map_err(text)?;
    let status = alone::resume(&args.dir, replica, args.pair.accept_loss.is_some(), args.pair.node.checks.options())
        .map_err(text)?;
    Ok(status as u8)
}
