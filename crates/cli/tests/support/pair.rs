//! A protected pair as a user starts it: a register in a file, a backup, a primary; killed and rejoined one after the other.

use super::client::PATIENCE;
use super::process::{Done, Process, sleep_ms};
use super::{Area, DIGEST_EVERY_MS, Job};
use std::path::PathBuf;
use std::time::Instant;

/// One side, by its log directory.
pub struct Side {
    pub process: Process,
    pub log: PathBuf,
}

/// The live side and the one that stands by. The survivor of a kill becomes the live one.
pub struct Pair<'a> {
    area: &'a Area,
    arbiter: String,
    started: u32,
    pub primary: Side,
    pub backup: Option<Side>,
}

impl<'a> Pair<'a> {
    /// Starts both sides; they may not be protected yet, but no output leaves before they are.
    pub fn start(area: &'a Area, job: &Job) -> Self {
        Self::start_at_pace(area, job, DIGEST_EVERY_MS)
    }

    /// The same, with a digest every so many milliseconds.
    pub fn start_at_pace(area: &'a Area, job: &Job, digest_every: &str) -> Self {
        let arbiter = format!("file:{}", area.join("register").display());
        let log = area.join("side-1");
        let mut command =
            area.gapless(&job.cwd, ["run", "--digest-every", digest_every, "--arbiter", &arbiter, "--log"]);
        command.arg(&log).args(job.states()).arg("--").args(&job.argv);
        let primary = Side { process: Process::start(command, &log), log };
        let mut pair = Self { area, arbiter, started: 1, primary, backup: None };
        // A backup reads the register to find the primary.
        let since = Instant::now();
        while !area.join("register").exists() {
            assert!(!pair.primary.process.ended(), "the primary ended: {}", pair.primary.process.stderr_text());
            assert!(since.elapsed() < PATIENCE, "no register: {}", pair.primary.process.stderr_text());
            sleep_ms(2);
        }
        pair.rejoin();
        pair
    }

    /// Starts a fresh backup.
    pub fn rejoin(&mut self) {
        self.started += 1;
        let log = self.area.join(&format!("side-{}", self.started));
        let args = ["backup", "--listen", "127.0.0.1:0", "--digest-every", DIGEST_EVERY_MS, "--arbiter", &self.arbiter];
        let mut command = self.area.gapless(self.area.path(), args);
        command.arg("--log").arg(&log);
        self.backup = Some(Side { process: Process::start(command, &log), log });
    }

    /// Waits until the primary says that it is protected; `false` if it has ended before.
    pub fn await_protected(&mut self) -> bool {
        let since = Instant::now();
        loop {
            if let Ok(now) = gapless_pair::status::query(&self.primary.log)
                && now.mode == "protected"
            {
                return true;
            }
            if self.primary.process.ended() {
                return false;
            }
            if since.elapsed() > PATIENCE {
                panic!("not protected after {PATIENCE:?}; {}", self.words());
            }
            sleep_ms(5);
        }
    }

    /// What both sides said.
    pub fn words(&self) -> String {
        let backup = self.backup.as_ref().map_or(String::new(), |b| b.process.stderr_text());
        format!("the primary:\n{}the backup:\n{backup}", self.primary.process.stderr_text())
    }

    /// Kills the live side; the other one is on its own now. What the dead one wrote.
    pub fn kill_primary(&mut self) -> Done {
        let survivor = self.backup.take().expect("there is a backup");
        let mut dead = std::mem::replace(&mut self.primary, survivor);
        dead.process.destroy()
    }

    /// Waits until the live side and its backup have ended by themselves; what the live one wrote.
    pub fn finish(self) -> Done {
        let done = self.primary.process.finish();
        if let Some(backup) = self.backup {
            let end = backup.process.finish();
            assert_eq!(end.code(), done.code(), "both sides end alike; the backup said:\n{}", end.stderr_text());
        }
        done
    }
}
