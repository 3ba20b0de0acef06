//! `run`, `backup`, `witness` and what looks at them: two machines, one history.

use crate::args::{BackupArgs, DirArgs, PairArgs, ResumeArgs, RunArgs, StatusArgs, WitnessArgs};
use crate::out::{self, talk};
use crate::program::command;
use crate::{EXIT_FAILED, Outcome, place, text};
use gapless_pair::driver::{Node, NodeConfig, NodeEnd};
use gapless_pair::{Commit, Halt, Start, Status, arbiter, status as control, witness::Witness};
use gapless_process::{Command, ProcessGroup};
use std::path::Path;
use std::time::Duration;

/// Longest wait for a planned takeover.
const HANDOVER_MAX: Duration = Duration::from_secs(60);

/// A backup this close behind is in sync; one further behind slows the primary down. A group of processes has some ten thousand entries a second, so a
/// takeover has no more than some tenths of a second left to execute.
const LAG_ENTRIES_MAX: u64 = 4096;

fn config(args: &PairArgs, start: Start, listen: String) -> NodeConfig {
    let mut config = NodeConfig::new(&args.log, start);
    config.listen = Some(listen);
    config.advertise.clone_from(&args.advertise);
    config.commit = if args.durable { Commit::Durable } else { Commit::Received };
    config.detect = Duration::from_millis(args.detect);
    config.heartbeat = config.detect / 4;
    config.host = args.checks.options();
    config.lag_entries_max = LAG_ENTRIES_MAX;
    config
}

/// Runs a node to its end. `command` is what a fresh history starts with; every later life takes everything from the log.
fn node(config: NodeConfig, arbiter_name: &str, mut command: Option<Command>) -> Outcome {
    gapless_process::world::take_over_signals();
    let dir = config.dir.clone();
    match config.start {
        Start::Resume => place::log(&dir)?,
        Start::Fresh | Start::Join | Start::Auto => place::fresh_or_log(&dir)?,
    }
    std::fs::create_dir_all(&dir).map_err(|e| format!("--log {}: {e}", dir.display()))?;
    let arbiter = arbiter::parse(arbiter_name)?;
    let node = Node::new(config, arbiter, Box::new(tell)).map_err(text)?;
    talk!("gapless: listening at {}; `gapless status {}` tells more", node.address(), dir.display());
    let end = node
        .run(|| match command.take() {
            Some(command) => ProcessGroup::new(command, &dir),
            None => ProcessGroup::backup(&dir),
        })
        .map_err(text)?;
    Ok(exit_status(&end))
}

/// One line for a person whenever the state changes.
fn tell(status: &Status) {
    let mode = format!("{:?}", status.mode).to_lowercase();
    talk!("gapless: {mode} in term {} ({})", status.term, status.why);
}

fn exit_status(end: &NodeEnd) -> u8 {
    match &end.halt {
        Halt::Ended(status) => *status as u8,
        Halt::HandedOver | Halt::Stopped => 0,
        other => {
            talk!("gapless: {other}");
            EXIT_FAILED
        }
    }
}

/// `gapless run`.
pub fn run(args: RunArgs) -> Outcome {
    let mut config = config(&args.pair, Start::Fresh, args.listen);
    config.peer = args.backup;
    config.hold = !args.unprotected_start;
    let command = command(&args.program, &args.pair.log)?;
    node(config, &args.pair.arbiter, Some(command))
}

/// `gapless backup`.
pub fn backup(args: BackupArgs) -> Outcome {
    let config = config(&args.pair, Start::Join, args.listen);
    node(config, &args.pair.arbiter, None)
}

/// `gapless resume --arbiter`.
pub fn resume(args: ResumeArgs) -> Outcome {
    let mut config = NodeConfig::new(&args.dir, Start::Resume);
    config.listen = Some(args.pair.listen);
    config.accept_loss = args.pair.accept_loss.is_some();
    if let Some(machine) = &args.pair.accept_loss {
        talk!("gapless: going on although acknowledged work may be lost; you say that {machine} is switched off");
    }
    node(config, &args.pair.arbiter.expect("checked by the caller"), None)
}

/// `gapless witness`.
pub fn witness(args: &WitnessArgs) -> Outcome {
    let witness = Witness::start(&args.listen, &args.log)?;
    talk!("gapless: witness at {}", witness.address());
    witness.wait();
    Ok(0)
}

/// `gapless status`.
pub fn status(args: &StatusArgs) -> Outcome {
    let now = control::query(&args.dir).map_err(text)?;
    if args.json {
        out::data(&format!("{}\n", serde_json::to_string(&now).map_err(text)?))?;
        return Ok(0);
    }
    let rows = [
        ("role", format!("{}, {}{}", now.role, now.mode, if now.asking { ", asking the arbiter" } else { "" })),
        ("because", now.why),
        ("term", now.term.to_string()),
        ("address", now.address),
        ("other side", now.peer.unwrap_or_else(|| "none".into())),
        ("position", format!("{} (next entry {}, committed {})", now.position, now.next_seq, now.committed)),
        ("lag", format!("{} entries, {} bytes, {:.1} ms", now.lag_entries, now.lag_bytes, now.lag_ms)),
        (
            "commit latency",
            format!(
                "p50 {:.0} us, p99 {:.0} us, max {:.0} us",
                now.commit_latency.p50_us, now.commit_latency.p99_us, now.commit_latency.max_us
            ),
        ),
        (
            "takeovers",
            format!(
                "{}{}; {} false alarms",
                now.takeovers,
                now.last_takeover_ms.map_or(String::new(), |ms| format!(", the last in {ms:.1} ms")),
                now.false_alarms
            ),
        ),
        ("unprotected", format!("{:.1} s of {:.1} s", now.unprotected_ms / 1e3, now.uptime_ms / 1e3)),
        ("supervisor", format!("pid {}", now.supervisor_pid)),
    ];
    out::data(&rows.map(|(name, value)| format!("{name:>15}  {value}\n")).concat())?;
    Ok(0)
}

/// `gapless handover`.
pub fn handover(args: &DirArgs) -> Outcome {
    control::handover(&args.dir, HANDOVER_MAX).map_err(text)?;
    talk!("gapless: handed over");
    Ok(0)
}

/// `gapless stop`.
pub fn stop(args: &DirArgs) -> Outcome {
    stop_dir(&args.dir)
}

fn stop_dir(dir: &Path) -> Outcome {
    control::stop(dir).map_err(text)?;
    Ok(0)
}
