//! `run`, `backup`, `witness` and what looks at them: two machines, one history.

use crate::args::{BackupArgs, DirArgs, NodeArgs, PairArgs, ResumeArgs, RunArgs, StatusArgs, WitnessArgs};
use crate::level::Any;
use crate::out::{self, talk};
use crate::program::{command, unfit};
use crate::progress::Progress;
use crate::{EXIT_FAILED, Outcome, machine, place, text};
use gapless_log::{DirLock, Level, Meta, Options, Store};
use gapless_machine::{Local, Machine, Origin};
use gapless_pair::driver::{Control, Node, NodeConfig, NodeEnd, Notice};
use gapless_pair::{Commit, Halt, Mode, Refusal, Start, arbiter, status as control, witness::Witness};
use gapless_process::world::{signals_are_for_the_node, signals_are_for_the_program};
use gapless_process::{Command, ProcessGroup};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Longest wait for a planned takeover.
pub const HANDOVER_MAX: Duration = Duration::from_secs(60);

/// A backup this close behind is in sync; one further behind slows the primary down. A group of processes has some ten thousand entries a second, so a
/// takeover has no more than some tenths of a second left to execute.
const LAG_ENTRIES_MAX: u64 = 4096;
/// The same for a machine: an entry stands for up to some milliseconds of computing.
const MACHINE_LAG_ENTRIES_MAX: u64 = 512;
/// A fresh backup of a machine gets its state unless the log is hardly longer than that.
const MACHINE_STATE_ENTRIES_MIN: u64 = 1024;

/// A frame with so many outputs is worth a packet, and the acknowledgement that comes back, while the replica has more to do. With fewer it waits for what
/// else is said: where clients and both sides share their processors, waking each other for every answer costs more than the answers do.
const FRAME_OUTPUTS: u64 = 16;

/// Of a node with a history of its own to begin.
pub fn fresh(dir: &Path, args: &NodeArgs, listen: String) -> NodeConfig {
    config(dir, args, Start::Fresh, listen)
}

fn config(dir: &Path, args: &NodeArgs, start: Start, listen: String) -> NodeConfig {
    let mut config = NodeConfig::new(dir, start);
    config.listen = Some(listen);
    config.advertise.clone_from(&args.advertise);
    config.detect = Duration::from_millis(args.detect);
    config.heartbeat = config.detect / 4;
    config.host = Options { frame_outputs: FRAME_OUTPUTS, ..args.checks.options() };
    config.lag_entries_max = LAG_ENTRIES_MAX;
    config
}

fn commit(args: &PairArgs) -> Commit {
    if args.durable { Commit::Durable } else { Commit::Received }
}

/// What a node runs. What a fresh history starts with is taken by its first life; every later one takes everything from the log.
pub enum Runs {
    /// A group of processes.
    Process(Option<Command>),
    /// A computer; what it is plugged into is this side's own.
    Machine(Option<Origin>, Local),
    /// Whatever the owner runs. An empty directory stands by for processes until the owner says that it has a machine.
    Unknown(Local),
}

impl Runs {
    /// Of a log that is there already; a backup in an empty directory hears from the owner what it is.
    fn of(dir: &Path, local: Local) -> Result<Self, String> {
        match Meta::load(dir).map_err(text)?.map(|meta| meta.level) {
            Some(Level::Machine) => Ok(Self::Machine(None, local)),
            Some(_) => Ok(Self::Process(None)),
            None => Ok(Self::Unknown(local)),
        }
    }

    fn replica(&mut self, dir: &Path) -> gapless_log::Result<Any> {
        Ok(match self {
            Self::Unknown(_) => Any::Process(Box::new(ProcessGroup::backup(dir)?)),
            Self::Process(command) => Any::Process(Box::new(match command.take() {
                Some(command) => ProcessGroup::new(command, dir)?,
                None => ProcessGroup::backup(dir)?,
            })),
            Self::Machine(origin, local) => Any::Machine(Box::new(match origin.take() {
                Some(origin) => Machine::new(origin, dir, local.clone(), true),
                None => Machine::backup(dir, local.clone()),
            })),
        })
    }

    /// Signals that reach the supervisor while the program is live are the program's.
    fn takes_signals(&self) -> bool {
        !matches!(self, Self::Machine(..))
    }
}

/// Stops whichever node runs at the moment, because of a signal: which one it was, and whether nothing had left yet.
#[derive(Clone, Default)]
struct Stopped {
    node: Arc<Mutex<Option<Control>>>,
    by: Arc<OnceLock<(i32, bool)>>,
}

impl Stopped {
    fn watch(&self) -> Result<(), String> {
        let this = self.clone();
        signals_are_for_the_node(move |signal| {
            let node = this.node.lock().unwrap_or_else(PoisonError::into_inner);
            this.by.get_or_init(|| (signal, node.as_ref().is_some_and(|control| control.status().held)));
            if let Some(control) = node.as_ref() {
                control.stop();
            }
        })
        .map_err(text)
    }

    fn is_of(&self, control: Control) {
        let mut node = self.node.lock().unwrap_or_else(PoisonError::into_inner);
        if self.by.get().is_some() {
            control.stop();
        }
        *node = Some(control);
    }
}

/// Runs a node to its end.
pub fn node(config: NodeConfig, arbiter_name: &str, mut runs: Runs) -> Outcome {
    gapless_process::world::take_over_signals();
    let dir = config.dir.clone();
    match config.start {
        Start::Resume => place::log(&dir)?,
        Start::Fresh | Start::Join | Start::Auto => place::fresh_or_log(&dir)?,
    }
    let stopped = Stopped::default();
    let mut watched = false;
    loop {
        let mut arbiter = arbiter::parse(arbiter_name)?;
        arbiter.check().map_err(text)?;
        std::fs::create_dir_all(&dir).map_err(|e| format!("--log {}: {e}", dir.display()))?;
        let (mut last, takes_signals) = (String::new(), runs.takes_signals());
        let progress = Arc::new(Mutex::new(Progress::new()));
        let mut config = config.clone();
        if !takes_signals {
            (config.lag_entries_max, config.state_entries_min) = (MACHINE_LAG_ENTRIES_MAX, MACHINE_STATE_ENTRIES_MIN);
            config.host = machine::options(config.host);
        }
        let node = Node::new(
            config,
            arbiter,
            Box::new({
                let progress = Arc::clone(&progress);
                move |notice| {
                    progress.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    tell(notice, &mut last, takes_signals);
                }
            }),
        );
        let node = node.map_err(text)?;
        stopped.is_of(node.control());
        if !std::mem::replace(&mut watched, true) {
            stopped.watch()?;
        }
        talk!("gapless: listening at {}; `gapless status {}` tells more", node.address(), dir.display());
        show_progress(&progress, node.control());
        let end = node.run(|| runs.replica(&dir)).map_err(text);
        drop(progress);
        let end = end?;
        if let (Some((signal, held)), Halt::Stopped) = (stopped.by.get(), &end.halt) {
            let advice = match held {
                true => format!("; nothing had left yet, `gapless resume {}` goes on from here", dir.display()),
                false => String::new(),
            };
            talk!("gapless: stopped by signal {signal}{advice}");
            return Ok((128 + signal) as u8);
        }
        match (runs, &end.halt) {
            (Runs::Unknown(local), Halt::Unpaired(Refusal::Level(theirs))) if theirs == gapless_machine::LEVEL => {
                talk!("gapless: the owner runs a machine; standing by for one");
                Store::wipe(&DirLock::take(&dir).map_err(text)?).map_err(text)?;
                runs = Runs::Machine(None, local);
            }
            _ => {
                talk!("gapless: {}", end.halt);
                return Ok(exit_status(&end));
            }
        }
    }
}

/// On a terminal: a line that changes while this side catches up, or has nobody to catch up with it. It goes when `progress` does.
fn show_progress(progress: &Arc<Mutex<Progress>>, control: Control) {
    const EVERY: Duration = Duration::from_millis(250);
    let progress = Arc::downgrade(progress);
    std::thread::spawn(move || {
        while let Some(progress) = progress.upgrade() {
            let now = control.status();
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            match now.role.as_str() {
                "backup" if !now.in_sync => {
                    progress
                        .show(|| format!("catching up: position {}, {} entries behind", now.position, now.lag_entries));
                }
                "primary" if now.mode != "protected" => {
                    progress.show(|| {
                        format!("position {}, unprotected for {:.0} s", now.position, now.unprotected_ms / 1e3)
                    });
                }
                _ => progress.clear(),
            }
            drop(progress);
            std::thread::sleep(EVERY);
        }
    });
}

/// One line for a person whenever the state changes, or does not although it should.
fn tell(notice: &Notice, last: &mut String, takes_signals: bool) {
    let line = match notice {
        Notice::Changed(status) => {
            let live = matches!(status.mode, Mode::Solo | Mode::Closing | Mode::Protected);
            signals_are_for_the_program(live && !status.held && takes_signals);
            if status.mode == Mode::Halted {
                // The end is told once, by whoever has waited for it.
                return;
            }
            let mode = if status.held { "holding".into() } else { format!("{:?}", status.mode).to_lowercase() };
            format!("{mode} in term {} ({})", status.term, status.why)
        }
        Notice::Trouble(what) => what.clone(),
    };
    // What happens over and over is one event to a person; what fails on and on is repeated by the driver, at its pace.
    if line != *last || matches!(notice, Notice::Trouble(_)) {
        talk!("gapless: {line}");
        *last = line;
    }
}

fn exit_status(end: &NodeEnd) -> u8 {
    match &end.halt {
        Halt::Ended(status) => *status as u8,
        Halt::HandedOver | Halt::Stopped => 0,
        _ => EXIT_FAILED,
    }
}

/// `gapless run`.
pub fn run(args: RunArgs) -> Outcome {
    let mut config = fresh(&args.pair.log, &args.pair.node, args.listen);
    config.commit = commit(&args.pair);
    config.peer = args.backup;
    config.hold = !args.unprotected_start;
    let command = command(&args.program, &args.pair.log)?;
    if let Some(status) = unfit(&command) {
        return Ok(status);
    }
    node(config, &args.pair.arbiter, Runs::Process(Some(command)))
}

/// `gapless backup`.
pub fn backup(args: BackupArgs) -> Outcome {
    let mut config = config(&args.pair.log, &args.pair.node, Start::Join, args.listen);
    config.commit = commit(&args.pair);
    let runs = Runs::of(&args.pair.log, machine::of_pair(args.net, &args.pair.log)?)?;
    node(config, &args.pair.arbiter, runs)
}

/// `gapless resume --arbiter`.
pub fn resume(args: ResumeArgs) -> Outcome {
    let mut config = config(&args.dir, &args.pair.node, Start::Resume, args.pair.listen);
    config.accept_loss = args.pair.accept_loss.is_some();
    if let Some(machine) = &args.pair.accept_loss {
        talk!("gapless: going on although acknowledged work may be lost; you say that {machine} is switched off");
    }
    let runs = Runs::of(&args.dir, machine::of_pair(args.pair.net, &args.dir)?)?;
    node(config, &args.pair.arbiter.expect("checked by the caller"), runs)
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
        (
            "role",
            format!(
                "{}, {}{}{}",
                now.role,
                if now.held { "holding all output until a backup joins" } else { &now.mode },
                if now.role == "backup" && now.in_sync { ", in sync" } else { "" },
                if now.asking { ", asking the arbiter" } else { "" }
            ),
        ),
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
    let troubles = [("arbiter", now.arbiter_error), ("dialling", now.dial_error)];
    let troubles = troubles.into_iter().filter_map(|(name, what)| Some((name, what?)));
    let figures = now.figures.iter().map(|(name, count)| (name.as_str(), count.to_string()));
    let lines = rows.into_iter().chain(figures).chain(troubles).map(|(name, value)| format!("{name:>15}  {value}\n"));
    out::data(&lines.collect::<String>())?;
    Ok(0)
}

/// `gapless handover`, of one log.
pub fn handover(dir: &Path) -> Outcome {
    control::handover(dir, HANDOVER_MAX).map_err(text)?;
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
