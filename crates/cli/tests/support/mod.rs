//! What the tests of real programs share: places, processes that never outlive their test, and what a recording must be equal to.
//!
//! The rule it keeps: every process is started here, has a deadline, and is gone with its value; what a supervisor traces is looked up before the
//! supervisor is killed and must be gone after it. All traffic is on loopback, every port is a free one, so tests may run beside each other.

#![allow(dead_code)]

pub mod batch;
pub mod chance;
pub mod client;
pub mod computer;
pub mod console;
pub mod crowd;
pub mod http;
pub mod loads;
pub mod machine;
pub mod pair;
pub mod ping;
// Tests cannot see the modules of the binary.
#[path = "../../src/local/port.rs"]
mod port;
pub mod process;
pub mod proxy;
pub mod rounds;
pub mod serve;
pub mod site;
pub mod tasks;
pub mod tmpfs;

use chance::Chance;
use process::{Process, sleep_ms};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The longest that any single program may take.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A test's own directory; whoever mentions it in its command line or environment when the test is over is an orphan.
pub struct Area {
    dir: tempfile::TempDir,
}

impl Area {
    pub fn new(name: &str) -> Self {
        Self::new_in(&std::env::temp_dir(), name)
    }

    /// Below another directory than the usual one.
    pub fn new_in(place: &Path, name: &str) -> Self {
        let named = format!("gapless-{name}-");
        Self { dir: tempfile::Builder::new().prefix(&named).tempdir_in(place).expect("a temporary directory") }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A directory in it, made if it is missing.
    pub fn folder(&self, name: &str) -> PathBuf {
        let dir = self.join(name);
        fs::create_dir_all(&dir).expect("a directory in the temporary one");
        dir
    }

    /// A command with a small, fixed environment, run in `cwd`.
    pub fn command(&self, program: impl Into<OsString>, cwd: &Path) -> Command {
        self.dressed(Command::new(program.into()), cwd)
    }

    /// The same for a command that somebody else made, who wants it in a network of its own.
    pub fn dressed(&self, mut command: Command, cwd: &Path) -> Command {
        command.env_clear().current_dir(cwd);
        command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").expect("a PATH")));
        command.env("HOME", self.path()).env("LANG", "C").env("LC_ALL", "C").env("TZ", "UTC");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("PYTHONHASHSEED", "7").env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// `gapless` with these arguments.
    pub fn gapless<S: Into<OsString>>(&self, cwd: &Path, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_gapless"), cwd);
        command.args(args.into_iter().map(Into::into));
        command
    }

    /// `gapless record` of a program, with frequent digests.
    pub fn record(&self, log: &Path, job: &Job) -> Command {
        let mut command = self.gapless(&job.cwd, ["record", "--digest-every", DIGEST_EVERY_MS, "--log"]);
        command.arg(log).args(job.states()).arg("--").args(&job.argv);
        command
    }

    /// `gapless resume` of a log.
    pub fn resume(&self, log: &Path) -> Command {
        let mut command = self.gapless(self.path(), ["resume"]);
        command.arg(log);
        command
    }

    /// Replays a log and answers what the replay says about itself; every digest in the log was equal.
    pub fn replay(&self, log: &Path) -> serde_json::Value {
        let mut command = self.gapless(self.path(), ["replay", "--digest", "--json"]);
        command.arg(log);
        let done = Process::start(command, &self.join("replay")).finish();
        assert_eq!(done.code(), 0, "the replay of {} failed:\n{}", log.display(), done.stderr_text());
        assert!(done.stderr.is_empty(), "a replay is silent: {}", done.stderr_text());
        serde_json::from_slice(&done.stdout).expect("replay --json prints JSON")
    }

    /// Exit status of `gapless log verify`.
    pub fn verify(&self, log: &Path) -> i32 {
        let mut command = self.gapless(self.path(), ["log", "verify"]);
        command.arg(log);
        Process::start(command, &self.join("verify")).finish().code()
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        let since = Instant::now();
        loop {
            let left = process::mentioning(self.path());
            if left.is_empty() {
                return;
            }
            if since.elapsed() > Duration::from_secs(3) {
                for (pid, _) in &left {
                    process::kill(*pid, libc::SIGKILL);
                }
                assert!(std::thread::panicking(), "these outlived the test and were killed: {left:?}");
                return;
            }
            sleep_ms(5);
        }
    }
}

/// Frequent, and still at most a twentieth of the time.
pub const DIGEST_EVERY_MS: &str = "1";

/// A program to be run: natively, recorded, protected.
#[derive(Clone)]
pub struct Job {
    pub argv: Vec<OsString>,
    pub cwd: PathBuf,
    /// Directories that are its state.
    pub states: Vec<PathBuf>,
}

impl Job {
    pub fn new<S: Into<OsString>>(cwd: &Path, argv: impl IntoIterator<Item = S>) -> Self {
        let argv: Vec<OsString> = argv.into_iter().map(Into::into).collect();
        needs(&argv[0]);
        Self { argv, cwd: cwd.to_owned(), states: Vec::new() }
    }

    /// The directory it runs in is its state.
    pub fn stateful(mut self) -> Self {
        self.states.push(self.cwd.clone());
        self
    }

    fn states(&self) -> Vec<OsString> {
        self.states.iter().flat_map(|dir| ["--state".into(), dir.clone().into_os_string()]).collect()
    }

    /// The same in another directory, without gapless.
    pub fn native(&self, area: &Area, cwd: &Path) -> Command {
        let mut command = area.command(&self.argv[0], cwd);
        command.args(&self.argv[1..]);
        command
    }
}

/// Fails, naming what to do, if a program is missing.
pub fn needs(program: &OsString) {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = Path::new(program).is_file() || path.split(':').any(|dir| Path::new(dir).join(program).is_file());
    assert!(found, "{} is not installed; `scripts/test` installs all that the tests need", program.display());
}

/// Python itself, not a wrapper that chooses one.
pub fn python() -> String {
    needs(&"python3".into());
    let found =
        Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().expect("python3 runs");
    String::from_utf8(found.stdout).expect("a path").trim().to_owned()
}

/// A port that nobody has now.
pub fn free_port() -> u16 {
    port::free_port().expect("a free port")
}

/// What two lives wrote, the second one offering again what the first may not have written: together the whole, in order.
pub fn assert_continues(whole: &[u8], first: &[u8], second: &[u8], what: &str) {
    let show = |bytes: &[u8]| String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(400)..]).into_owned();
    assert!(whole.starts_with(first), "{what}: before the kill, ... {}", show(first));
    assert!(whole.ends_with(second), "{what}: after it, ... {}\nnot the end of ... {}", show(second), show(whole));
    assert!(
        first.len() + second.len() >= whole.len(),
        "{what}: {} and {} bytes of {} were written",
        first.len(),
        second.len(),
        whole.len()
    );
}

/// Moments spread over a run, different each time; the seed is shown, and may be given.
pub fn moments(run: Duration, count: u32) -> Vec<Duration> {
    let mut chance = Chance::new();
    (0..count).map(|i| run.mul_f64((f64::from(i) + chance.share()) / f64::from(count))).collect()
}

/// Words of a command line.
pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&w| w.to_owned()).collect()
}
