//! `gapless machine` and `gapless console`: a computer, alone or protected.

use crate::args::{ConsoleArgs, ImageCommand, MachineArgs, MachineCommand};
use crate::level::Any;
use crate::out::talk;
use crate::{Outcome, pair, place, text};
use gapless_log::{CommitLevel, Error, Options};
use gapless_machine::{Boot, ConsoleAt, DiskImage, Local, Machine, Net, Origin, STOPPED, Stopper, Tell};
use gapless_pair::driver;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name of the console's socket in a log directory.
const CONSOLE_NAME: &str = "console";
const SIGNALS: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// `--net tap=NAME`, `--net passt` or `--net passt=FORWARD,...`.
pub fn net(text: &str) -> Result<Net, String> {
    match text.split_once('=').unwrap_or((text, "")) {
        ("tap", name) if !name.is_empty() => Ok(Net::Tap(name.to_owned())),
        ("passt", forwards) => {
            Ok(Net::Passt(forwards.split(',').filter(|f| !f.is_empty()).map(str::to_owned).collect()))
        }
        _ => Err("not of the form tap=NAME, passt or passt=127.0.0.1/6390:6379".into()),
    }
}

/// `--disk FILE` or `--disk FILE,ro`.
pub fn disk(text: &str) -> Result<DiskImage, String> {
    let (path, read_only) = text.strip_suffix(",ro").map_or((text, false), |path| (path, true));
    if path.is_empty() { Err("no file is named".into()) } else { Ok(DiskImage { path: path.into(), read_only }) }
}

/// `--memory 512M`.
pub fn memory(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.strip_suffix(['M', 'm']) {
        Some(digits) => (digits, 20),
        None => (text.strip_suffix(['G', 'g']).ok_or("give a size such as 512M or 2G")?, 30),
    };
    let n: u64 = digits.parse().map_err(|_| "give a size such as 512M or 2G")?;
    n.checked_shl(shift).filter(|bytes| bytes >> shift == n).ok_or_else(|| "too large".into())
}

/// How the host loop steps a machine. What it says is worth a frame of the log at once: a hart needs some hundred microseconds for an answer, so there is
/// little to wait for.
pub fn options(options: Options) -> Options {
    Options { frame_age: Duration::ZERO, ..options }
}

/// What a side of a pair is plugged into.
pub fn of_pair(net: Option<Net>, log: &Path) -> Result<Local, String> {
    if let Some(Net::Passt(_)) = net {
        return Err(
            "--net passt is for unprotected runs: its connections end with this process; use --net tap=NAME for a pair"
                .into(),
        );
    }
    Ok(local(net, ConsoleAt::Socket(log.join(CONSOLE_NAME))))
}

/// The same for one that runs alone: the console is this terminal.
fn alone(net: Option<Net>) -> Local {
    local(net, ConsoleAt::Terminal)
}

fn local(net: Option<Net>, console: ConsoleAt) -> Local {
    Local { net: net.unwrap_or_default(), console, tell: Tell::to(|what| talk!("gapless: {what}")) }
}

/// `gapless machine`.
pub fn run(mut args: MachineArgs) -> Outcome {
    match args.command.take() {
        Some(MachineCommand::Image(ImageCommand::Build(a))) => super::image::build(&a),
        Some(MachineCommand::Image(ImageCommand::Commit(a))) => super::image::commit(&a.dir),
        None => switch_on(args),
    }
}

fn switch_on(args: MachineArgs) -> Outcome {
    let origin = origin(&args)?;
    if args.arbiter.is_some() {
        return protected(args, origin);
    }
    if args.backup.is_some() || args.unprotected_start {
        return Err("a protected machine needs --arbiter: the register that decides who may go live".into());
    }
    let (log, scratch) = match &args.log {
        Some(log) => (log.clone(), None),
        None => {
            let scratch = tempfile::Builder::new().prefix("gapless-machine-").tempdir();
            let scratch = scratch.map_err(|e| format!("no temporary directory: {e}; give --log DIR"))?;
            (scratch.path().to_owned(), Some(scratch))
        }
    };
    place::fresh_or_log(&log)?;
    std::fs::create_dir_all(&log).map_err(|e| format!("--log {}: {e}", log.display()))?;
    let replica = Machine::new(origin, &log, alone(args.net), false);
    let watch = Watch::start(replica.stopper())?;
    let commit = if args.durable { CommitLevel::Durable } else { CommitLevel::Received };
    let ended = driver::alone::record(&log, replica, commit, options(args.node.checks.options()));
    drop(scratch);
    ended_alone(ended, args.log.as_deref(), &watch)
}

fn ended_alone(ended: Result<i32, Error>, log: Option<&Path>, watch: &Watch) -> Outcome {
    match ended {
        Ok(status) => Ok(status as u8),
        Err(Error::Refused(why)) if why == STOPPED => {
            match log {
                Some(log) => talk!("gapless: {why}; `gapless resume {}` goes on from here", log.display()),
                None => talk!("gapless: {why}"),
            }
            Ok(watch.signal().map_or(0, |signal| (128 + signal) as u8))
        }
        Err(e) => Err(text(e)),
    }
}

/// `gapless resume` of a machine that runs alone.
pub fn resume(dir: &Path, net: Option<Net>, accept_loss: bool, with: Options) -> Outcome {
    let replica = Machine::backup(dir, alone(net));
    let watch = Watch::start(replica.stopper())?;
    ended_alone(
        driver::alone::resume(dir, Any::Machine(Box::new(replica)), accept_loss, options(with)),
        Some(dir),
        &watch,
    )
}

fn protected(args: MachineArgs, origin: Origin) -> Outcome {
    let log = args.log.ok_or("a protected machine needs --log DIR")?;
    let local = of_pair(args.net, &log)?;
    let mut config = pair::fresh(&log, &args.node, args.listen);
    config.commit = if args.durable { gapless_pair::Commit::Durable } else { gapless_pair::Commit::Received };
    config.peer = args.backup;
    config.hold = !args.unprotected_start;
    talk!("gapless: the console is at `gapless console {}`", log.display());
    pair::node(config, &args.arbiter.expect("checked by the caller"), pair::Runs::Machine(Some(origin), local))
}

fn origin(args: &MachineArgs) -> Result<Origin, String> {
    if let Some(from) = &args.from {
        return Ok(Origin::Saved(from.clone()));
    }
    let kernel = args.kernel.clone().ok_or("give --kernel IMAGE, or --from a saved machine")?;
    let boot = Boot {
        kernel,
        initrd: args.initrd.clone(),
        append: args.append.clone(),
        memory: args.memory,
        disks: args.disks.clone(),
        net: args.net.is_some(),
    };
    boot.check().map_err(text)?;
    Ok(Origin::Boot(boot))
}

/// `gapless console`.
pub fn console(args: &ConsoleArgs) -> Outcome {
    let socket: PathBuf = args.dir.join(CONSOLE_NAME);
    if !socket.exists() {
        return Err(format!(
            "{} has no console: no machine is live there (`gapless status {}` tells more)",
            args.dir.display(),
            args.dir.display()
        ));
    }
    talk!("gapless: at the console; Ctrl-] and then . leaves it");
    gapless_machine::attach(&socket).map_err(text)?;
    Ok(0)
}

/// Turns signals to this process into an orderly stop.
struct Watch(std::sync::Arc<std::sync::OnceLock<i32>>);

impl Watch {
    /// Call it before any other thread is started.
    fn start(stopper: Stopper) -> Result<Self, String> {
        let seen = std::sync::Arc::<std::sync::OnceLock<i32>>::default();
        let theirs = seen.clone();
        let signals = place::Signals::block(&SIGNALS);
        let wait = move || {
            loop {
                let _ = theirs.set(signals.wait());
                stopper.stop();
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(wait).map_err(text)?;
        Ok(Self(seen))
    }

    fn signal(&self) -> Option<i32> {
        self.0.get().copied()
    }
}
