//! A protected machine as a user starts it: killed, rejoined, handed over, and looked at from outside.

use super::console::Console;
use super::pair::Side;
use super::process::{Done, Process, sleep_ms};
use super::site::{PATIENCE, Site};
use gapless_pair::status::{self, Snapshot};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Silence that counts as death, in milliseconds: the other tests of a build run beside these, and what is killed is noticed at once anyway.
pub const DETECT_MS: &str = "1000";

/// How a side is started.
#[derive(Clone)]
pub struct Manner {
    /// `--detect`.
    pub detect_ms: String,
    /// `--advertise`.
    pub advertise: Option<String>,
    /// `--listen`.
    pub listen: String,
    /// A program and its arguments in front of gapless (`nice -n 19`).
    pub through: Vec<String>,
}

impl Default for Manner {
    fn default() -> Self {
        Self { detect_ms: DETECT_MS.into(), advertise: None, listen: "127.0.0.1:0".into(), through: Vec::new() }
    }
}

/// The live side and the one that stands by. The survivor of a kill becomes the live one.
pub struct Machines<'s> {
    pub site: &'s Site,
    arbiter: String,
    started: u32,
    pub primary: Side,
    pub backup: Option<Side>,
}

/// A primary that was killed, and what became of it.
pub struct Killed {
    pub at: Instant,
    /// From noticing to the live replica.
    pub takeover_ms: f64,
    /// From the kill to the survivor's saying that it is live.
    pub until_live: Duration,
}

impl<'s> Machines<'s> {
    /// Switches a machine on; nothing that it says leaves before it is protected.
    pub fn switch_on(site: &'s Site, origin: &[OsString]) -> Self {
        Self::switch_on_with(site, origin, &Manner::default(), &Manner::default())
    }

    /// The same; how each side is started.
    pub fn switch_on_with(site: &'s Site, origin: &[OsString], first: &Manner, second: &Manner) -> Self {
        let arbiter = format!("file:{}", site.area.join("register").display());
        let log = site.area.join("side-1");
        let mut command = side(site, first, ["machine"]);
        command.args(["--arbiter", &arbiter, "--net", &format!("tap={}", Site::tap(1)), "--log"]);
        command.arg(&log).args(origin);
        let primary = Side { process: Process::start(command, &log), log };
        let mut machines = Self { site, arbiter, started: 1, primary, backup: None };
        let since = Instant::now();
        while !site.area.join("register").exists() {
            machines.alive();
            assert!(since.elapsed() < PATIENCE, "no register: {}", machines.words());
            sleep_ms(2);
        }
        machines.rejoin_with(second);
        machines
    }

    /// Starts a fresh backup.
    pub fn rejoin(&mut self) {
        self.rejoin_with(&Manner::default());
    }

    /// The same; how it is started.
    pub fn rejoin_with(&mut self, manner: &Manner) {
        self.started += 1;
        // Sides take turns at the TAPs; the one of the live side is taken.
        if Site::tap(self.started) == Site::tap(number(&self.primary)) {
            self.started += 1;
        }
        let log = self.site.area.join(&format!("side-{}", self.started));
        let mut command = side(self.site, manner, ["backup"]);
        command.args(["--arbiter", &self.arbiter, "--net", &format!("tap={}", Site::tap(self.started)), "--log"]);
        command.arg(&log);
        self.backup = Some(Side { process: Process::start(command, &log), log });
    }

    /// What a side says about itself.
    pub fn status(side: &Side) -> Option<Snapshot> {
        status::query(&side.log).ok()
    }

    /// The live side must not have ended.
    pub fn alive(&mut self) {
        if let Some(status) = self.primary.process.child().try_wait().expect("a child can be waited for") {
            panic!("the live side has ended with {status}: {}", self.words());
        }
    }

    /// Waits until the primary says so of itself.
    pub fn await_primary(&mut self, what: &str, is: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let since = Instant::now();
        loop {
            let now = Self::status(&self.primary);
            if let Some(now) = now.as_ref().filter(|now| is(now)) {
                return now.clone();
            }
            self.alive();
            assert!(since.elapsed() < PATIENCE, "not {what} after {PATIENCE:?}: {now:?}; {}", self.words());
            sleep_ms(2);
        }
    }

    /// Waits until a backup may take over.
    pub fn await_protected(&mut self) -> Snapshot {
        self.await_primary("protected", |now| now.mode == "protected")
    }

    /// What both sides said.
    pub fn words(&self) -> String {
        let backup = self.backup.as_ref().map_or(String::new(), |b| b.process.stderr_text());
        format!("the primary:\n{}the backup:\n{backup}", self.primary.process.stderr_text())
    }

    /// Kills the live side as a power failure would; the other one must take over. Its files are removed.
    pub fn kill_primary(&mut self) -> Killed {
        let survivor = self.backup.take().expect("there is a backup");
        let mut dead = std::mem::replace(&mut self.primary, survivor);
        let at = Instant::now();
        dead.process.destroy();
        let live = self.await_primary("live", |now| now.role == "primary" && now.last_takeover_ms.is_some());
        let until_live = at.elapsed();
        let takeover_ms = live.last_takeover_ms.expect("it has taken over");
        std::fs::remove_dir_all(&dead.log).expect("its directory");
        Killed { at, takeover_ms, until_live }
    }

    /// Kills both sides; the owner's directory goes on, and a fresh backup joins.
    pub fn kill_both_and_resume(&mut self) {
        let mut backup = self.backup.take().expect("there is a backup");
        // The backup first, and both at once: it takes over within milliseconds.
        for pid in [backup.process.pid(), self.primary.process.pid()] {
            super::process::kill(pid, libc::SIGKILL);
        }
        self.primary.process.destroy();
        backup.process.destroy();
        std::fs::remove_dir_all(&backup.log).expect("its directory");
        let log = self.primary.log.clone();
        let mut command = side(self.site, &Manner::default(), ["resume"]);
        command.args(["--arbiter", &self.arbiter, "--net", &format!("tap={}", Site::tap(number(&self.primary)))]);
        command.arg(&log);
        self.primary.process = Process::start(command, &log.with_extension("resumed"));
        self.rejoin();
    }

    /// The backup of a machine that was handed over is the live side now; what the former one said at its end.
    pub fn handed_over(&mut self) -> Done {
        let survivor = self.backup.take().expect("there is a backup");
        let former = std::mem::replace(&mut self.primary, survivor);
        former.process.finish_within(PATIENCE)
    }

    /// The console, wherever the machine is live.
    pub fn console(&self) -> Console {
        Console::open(&self.primary.log)
    }

    /// Waits until both sides have ended by themselves, as they must when the guest is switched off. A log that shows its end: the backup's, if there
    /// was one, which is the shorter one.
    pub fn finish(self) -> PathBuf {
        let mut log = self.primary.log;
        let done = self.primary.process.finish_within(PATIENCE);
        assert_eq!(done.code(), 0, "the live side: {}", done.stderr_text());
        if let Some(backup) = self.backup {
            let done = backup.process.finish_within(PATIENCE);
            assert_eq!(done.code(), 0, "the backup: {}", done.stderr_text());
            log = backup.log;
        }
        log
    }
}

/// A side was started as the so manieth.
pub fn number(side: &Side) -> u32 {
    let name = side.log.file_name().and_then(|name| name.to_str()).expect("a name");
    name.strip_prefix("side-").and_then(|n| n.parse().ok()).expect("a number")
}

fn side<const N: usize>(site: &Site, manner: &Manner, verb: [&str; N]) -> Command {
    let gapless = site.gapless(verb);
    let mut command = match manner.through.split_first() {
        None => gapless,
        Some((program, rest)) => {
            let mut command = site.lab.command(program);
            command.args(rest).arg(gapless.get_program()).args(gapless.get_args());
            command.current_dir(site.area.path()).env("TMPDIR", site.area.path());
            command
        }
    };
    command.args(["--detect", &manner.detect_ms, "--listen", &manner.listen]);
    if let Some(address) = &manner.advertise {
        command.args(["--advertise", address]);
    }
    command
}

/// Takes the disk out of the log and checks its file system, which the guest has left in an orderly way.
pub fn check_disk(site: &Site, log: &Path) {
    super::needs(&"e2fsck".into());
    let out = site.area.join("disks");
    let args: [OsString; 4] = ["export".into(), log.into(), "--to".into(), out.clone().into()];
    let (status, _, said) = site.ask(args);
    assert_eq!(status, 0, "the disk cannot be exported: {said}");
    let disk = out.join("disk0.img");
    let output = Command::new("/sbin/e2fsck").arg("-fn").arg(&disk).output().expect("e2fsck runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "e2fsck: {said}");
    std::fs::remove_dir_all(&out).expect("its directory");
}
