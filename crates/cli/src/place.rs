//! Where a command works: the log directory that it is given, and a place of its own for files that are needed only while it runs.
//!
//! The rule it keeps: a directory is looked at before anything is made in it. A new log goes into an empty directory, an old one is a log already,
//! and who only reads a log writes nothing there.

use crate::{out::talk, text};
use gapless_log::{DirLock, Meta, not_empty};
use gapless_pair::status::CONTROL_NAME;
use gapless_process::fs::{STORE_NAMES, foreign};
use std::path::Path;
use tempfile::TempDir;

/// A new log may be made in `dir`.
pub fn fresh(dir: &Path) -> Result<(), String> {
    merged(dir)?;
    DirLock::check_fresh(dir, &[STORE_NAMES.as_slice(), &[CONTROL_NAME, gapless_machine::FILES]].concat())
        .map_err(text)?;
    match foreign(dir) {
        None => Ok(()),
        Some(path) => Err(text(not_empty(dir, path.strip_prefix(dir).unwrap_or(&path)))),
    }
}

/// `dir` holds a log, or a new one may be made there.
pub fn fresh_or_log(dir: &Path) -> Result<(), String> {
    match Meta::load(dir).map_err(text)? {
        Some(_) => Ok(()),
        None => fresh(dir),
    }
}

/// No merge of a machine's disks stands still half-way.
fn merged(dir: &Path) -> Result<(), String> {
    match gapless_machine::disk::commit_is_interrupted(&gapless_machine::files(dir)) {
        false => Ok(()),
        true => Err(format!(
            "merging the disks of {0} was interrupted; `gapless machine image commit {0}` ends it first",
            dir.display()
        )),
    }
}

/// `dir` holds a log whose machine, if it is one, can be executed.
pub fn log(dir: &Path) -> Result<(), String> {
    merged(dir)?;
    Meta::require(dir).map(|_| ()).map_err(text)
}

/// Signals that end a command that only looks.
const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// A directory that has not come back for so long is gone for good.
const STAYS_AWAY: std::time::Duration = std::time::Duration::from_millis(2);

/// A directory of this command's own below `TMPDIR`, gone when it ends, by a signal too.
pub struct Scratch(TempDir);

impl Scratch {
    /// Makes one. Call it before any thread is started.
    pub fn new() -> Result<Self, String> {
        let signals = Signals::block(&ENDING);
        let made = tempfile::Builder::new().prefix("gapless-replay-").tempdir();
        let dir = made.map_err(|e| {
            let place = std::env::temp_dir();
            format!("no temporary directory in {}: {e}; set TMPDIR to one that can be written", place.display())
        })?;
        let path = dir.path().to_owned();
        let waiter = std::thread::Builder::new().name("signals".into()).spawn(move || {
            let signal = signals.wait();
            // What is being made at this moment may be missed by the first try, and brings the directory back: until it stays away.
            while path.exists() {
                let _ = std::fs::remove_dir_all(&path);
                std::thread::sleep(STAYS_AWAY);
            }
            signals.die_of(signal)
        });
        waiter.map_err(|e| format!("no thread for signals: {e}"))?;
        Ok(Self(dir))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// An error in words; if it is about this directory, with the way out.
    pub fn explain(&self, error: gapless_log::Error) -> String {
        let said = error.to_string();
        match said.contains(&self.path().display().to_string()) {
            true => format!("{said} (this is a temporary directory: set TMPDIR to a larger file system and try again)"),
            false => said,
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(self.path())
            && self.path().exists()
        {
            talk!("gapless: {} is left: {e}", self.path().display());
        }
    }
}

/// Signals that are blocked in this thread and all that it starts.
pub struct Signals(libc::sigset_t);

impl Signals {
    /// Of these signals, those that are not ignored. Call it before any thread is started.
    pub fn block(signals: &[i32]) -> Self {
        // SAFETY: sigset_t and sigaction are plain data that the calls fill; only this thread's mask changes.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for &signal in signals {
                let mut now: libc::sigaction = std::mem::zeroed();
                libc::sigaction(signal, std::ptr::null(), &raw mut now);
                if now.sa_sigaction != libc::SIG_IGN {
                    libc::sigaddset(&raw mut set, signal);
                }
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            Self(set)
        }
    }

    /// Sleeps until one comes.
    pub fn wait(&self) -> i32 {
        let mut signal = 0;
        // SAFETY: a valid set, and room for one number.
        while unsafe { libc::sigwait(&raw const self.0, &raw mut signal) } != 0 {}
        signal
    }

    /// Ends this process as the signal would have.
    fn die_of(&self, signal: i32) -> ! {
        // SAFETY: the signal's action is the default one (nobody here sets another); blocked everywhere else, it acts on this thread.
        unsafe {
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const self.0, std::ptr::null_mut());
            libc::raise(signal);
        }
        std::process::exit(128 + signal)
    }
}
