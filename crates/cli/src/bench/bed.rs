//! Where rows are measured: how a program is run each way, how long that is waited for, and that nothing of it is left.
//!
//! The rule it keeps: every process is started by [`Bed`] on its own thread and is gone with its value; every wait ends when somebody wants an end.

use super::options::Sizes;
use super::rows::{Series, is_installed, path};
use crate::interrupt::interrupted;
use crate::local::pair::Pair;
use crate::local::port::free_port;
use crate::local::processes::{Process, how};
use crate::progress::Progress;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest wait for anything.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// Pause between two looks at whether a server answers.
const TICK: Duration = Duration::from_millis(2);
/// Pause between two looks at whether a program has ended: its time is measured with it.
const END_TICK: Duration = Duration::from_micros(200);

/// How a program is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Without gapless, on one processor.
    Native,
    /// Without gapless, on all of them.
    Unpinned,
    /// `gapless record`.
    Recorded,
    /// `gapless run`, with a backup in sync.
    Protected,
    /// `rr record`.
    Rr,
}

impl Way {
    /// Name of the series of what was measured so.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Unpinned => "unpinned",
            Self::Recorded => "recorded",
            Self::Protected => "protected",
            Self::Rr => "rr",
        }
    }
}

/// What is measured with, and how much.
pub struct Bed {
    gapless: PathBuf,
    dir: PathBuf,
    /// The processor of what is native.
    cpu: usize,
    /// Why rr is not measured, if it is not.
    no_rr: Option<String>,
    pub sizes: Sizes,
    pub progress: Progress,
}

/// A program that runs one way or the other. Dropping it ends it and removes its files.
pub struct Running {
    runs: Runs,
    /// The program's own directory and its logs.
    _dir: TempDir,
}

enum Runs {
    Alone(Process),
    Pair(Box<Pair>),
}

/// A server that answers.
pub struct Server {
    pub port: u16,
    running: Running,
}

/// A program that is not measured.
pub struct Client {
    process: Process,
    _dir: TempDir,
}

impl Client {
    /// It has ended well; an error if it has ended otherwise.
    pub fn is_over(&mut self) -> Result<bool, String> {
        has_succeeded(&mut self.process)
    }
}

fn has_succeeded(process: &mut Process) -> Result<bool, String> {
    match process.ended() {
        None => Ok(false),
        Some(status) if status.success() => Ok(true),
        Some(status) => Err(format!("{} {}; it said:\n{}", process.name(), how(status), process.tail())),
    }
}

/// Whether a server answers, or that what answers is something else.
pub type IsUp = fn(u16) -> Result<bool, String>;

impl Bed {
    /// Everything goes below `dir`.
    pub fn new(dir: &Path, sizes: Sizes) -> Result<Self, String> {
        let gapless = std::env::current_exe().map_err(|e| format!("this executable cannot be found: {e}"))?;
        let cpu = processors().pop().ok_or("the processors that may be used cannot be found")?;
        let progress = Progress::new();
        let mut bed = Self { gapless, dir: dir.to_owned(), cpu, no_rr: None, sizes, progress };
        bed.no_rr = bed.try_rr();
        Ok(bed)
    }

    /// rr in one line.
    pub fn rr(&self) -> &str {
        self.no_rr.as_deref().unwrap_or("measured")
    }

    /// rr's own words why it does not run here, if it does not.
    fn try_rr(&mut self) -> Option<String> {
        if !is_installed("rr") {
            return Some("not measured: it is not installed (Debian package rr)".into());
        }
        let program = ["true".into()];
        let tried = self.time(Way::Rr, &program, |_| Ok(()));
        tried.err().map(|why| {
            let words = why.lines().map(str::trim).find(|line| line.starts_with('['));
            format!("not measured, it says: {}", words.or(why.lines().next()).unwrap_or("nothing"))
        })
    }

    /// A directory of its own for each thing that is run.
    pub fn fresh_dir(&self) -> Result<TempDir, String> {
        let made = tempfile::Builder::new().prefix("run-").tempdir_in(&self.dir);
        let dir = made.map_err(|e| format!("{}: {e}", self.dir.display()))?;
        std::fs::create_dir(cwd(&dir)).map_err(|e| format!("{}: {e}", dir.path().display()))?;
        Ok(dir)
    }

    /// This gapless, as a program that is measured.
    pub fn gapless(&self) -> OsString {
        self.gapless.clone().into()
    }

    fn alone(&self, way: Way, program: &[OsString], dir: &TempDir) -> Result<Process, String> {
        let log = dir.path().join("log").into_os_string();
        let before: Vec<OsString> = match way {
            Way::Native | Way::Unpinned => Vec::new(),
            Way::Recorded => vec![self.gapless(), "record".into(), "--log".into(), log, "--".into()],
            Way::Rr => vec!["rr".into(), "record".into(), "-o".into(), log],
            Way::Protected => unreachable!("a pair is two processes"),
        };
        let words: Vec<&OsString> = before.iter().chain(program).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(cwd(dir)).env("PATH", path());
        // A compiler that is killed leaves its temporary files: they go with the rest.
        command.env("TMPDIR", dir.path());
        if way == Way::Native {
            let cpu = self.cpu;
            // SAFETY: between fork and exec only a system call is made, on memory of the closure's own.
            unsafe { command.pre_exec(move || stay_on(cpu)) };
        }
        Process::start(command, &dir.path().join("said"))
    }

    /// Starts a program in an empty directory.
    fn start(&mut self, way: Way, program: &[OsString]) -> Result<Running, String> {
        let dir = self.fresh_dir()?;
        if way != Way::Protected {
            return Ok(Running { runs: Runs::Alone(self.alone(way, program, &dir)?), _dir: dir });
        }
        let mut pair = Box::new(Pair::new(&self.gapless, program, dir.path(), None));
        pair.start_primary(&cwd(&dir))?;
        self.until_protected(&mut pair)?;
        Ok(Running { runs: Runs::Pair(pair), _dir: dir })
    }

    /// Waits until a pair is protected, with a fresh backup if it has none.
    pub fn until_protected(&mut self, pair: &mut Pair) -> Result<(), String> {
        self.wait("protection", TICK, || {
            pair.look()?;
            if pair.has_primary() && pair.lacks_backup() {
                pair.start_backup()?;
            }
            Ok(pair.is_protected())
        })
    }

    /// Waits until something is so.
    pub fn wait(
        &mut self,
        what: &str,
        tick: Duration,
        mut done: impl FnMut() -> Result<bool, String>,
    ) -> Result<(), String> {
        let since = Instant::now();
        while !done()? {
            if interrupted() {
                return Err("interrupted".into());
            }
            if since.elapsed() > WAIT_MAX {
                return Err(format!("{what} has not happened within {WAIT_MAX:?}"));
            }
            std::thread::sleep(tick);
        }
        Ok(())
    }

    /// Starts a server, whose command line depends on its port, and waits until it answers.
    pub fn serve(
        &mut self,
        way: Way,
        program: impl FnOnce(u16) -> Vec<OsString>,
        is_up: IsUp,
    ) -> Result<Server, String> {
        let port = free_port()?;
        let mut running = self.start(way, &program(port))?;
        self.wait("the server's first answer", TICK, || {
            running.still()?;
            is_up(port)
        })?;
        Ok(Server { port, running })
    }

    /// Starts a program in an empty directory, which goes on beside what is measured.
    pub fn start_client<S: Into<OsString> + Clone>(&mut self, words: &[S]) -> Result<Client, String> {
        let words: Vec<OsString> = words.iter().cloned().map(Into::into).collect();
        let dir = self.fresh_dir()?;
        Ok(Client { process: self.alone(Way::Unpinned, &words, &dir)?, _dir: dir })
    }

    /// Runs one to its end, and says what it wrote.
    pub fn client<S: Into<OsString> + Clone>(&mut self, words: &[S]) -> Result<String, String> {
        let mut client = self.start_client(words)?;
        self.wait("the client's end", TICK, || client.is_over())?;
        Ok(client.process.output())
    }

    /// Seconds that a program takes from its start to its end, in a directory that was filled before.
    pub fn time(
        &mut self,
        way: Way,
        program: &[OsString],
        fill: impl FnOnce(&Path) -> Result<(), String>,
    ) -> Result<(f64, String), String> {
        let dir = self.fresh_dir()?;
        fill(&cwd(&dir))?;
        let since = Instant::now();
        let mut process = self.alone(way, program, &dir)?;
        self.wait("the program's end", END_TICK, || has_succeeded(&mut process))
            .map_err(|e| format!("{}, {}: {e}", program[0].display(), way.name()))?;
        Ok((since.elapsed().as_secs_f64(), process.output()))
    }

    /// Lets all ways take turns, round after round; rr too, if it runs here and the program is recorded. Each turn names what it measured.
    pub fn in_turns(
        &mut self,
        ways: &[Way],
        mut turn: impl FnMut(&mut Self, Way) -> Result<Vec<(String, f64)>, String>,
    ) -> Result<Series, String> {
        let mut ways = ways.to_vec();
        if ways.contains(&Way::Recorded) && self.no_rr.is_none() {
            ways.push(Way::Rr);
        }
        let mut series = Series::default();
        for round in 1..=self.sizes.rounds {
            for &way in &ways {
                let rounds = self.sizes.rounds;
                self.progress.show(|| format!("round {round} of {rounds}: {}", way.name()));
                match turn(self, way) {
                    Ok(found) => found.iter().for_each(|(name, value)| series.add(name, *value)),
                    // What rr cannot run is rr's affair; the row is gapless'.
                    Err(why) if way == Way::Rr => self.progress.say(&format!("  rr: {why}")),
                    Err(why) => return Err(why),
                }
            }
        }
        Ok(series)
    }
}

impl Running {
    /// That it runs, or its last words.
    fn still(&mut self) -> Result<(), String> {
        match &mut self.runs {
            Runs::Pair(pair) => pair.look(),
            Runs::Alone(process) => match process.ended() {
                Some(status) => Err(format!("the server {} at once; it said:\n{}", how(status), process.tail())),
                None => Ok(()),
            },
        }
    }
}

impl Server {
    /// Both sides, if it is protected.
    pub fn pair(&mut self) -> Option<&mut Pair> {
        match &mut self.running.runs {
            Runs::Pair(pair) => Some(pair),
            Runs::Alone(_) => None,
        }
    }
}

/// The program's directory, beside its logs.
fn cwd(dir: &TempDir) -> PathBuf {
    dir.path().join("cwd")
}

/// The processors that this command may use.
pub fn processors() -> Vec<usize> {
    // SAFETY: zero is an empty set, and the call writes no more than one set; the numbers are below that of a set's members.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set);
        (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &set)).collect()
    }
}

/// This thread, and all that it starts, runs on this processor alone. Safe between fork and exec.
pub fn stay_on(cpu: usize) -> std::io::Result<()> {
    // SAFETY: zero is an empty set, the number is of a processor that the system named, and the call only reads the set.
    let done = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
