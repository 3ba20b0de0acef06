//! `LOCK`: held with flock by the one process that may write a log directory.
//!
//! The kernel drops the lock with the process that holds it, so there is no stale lock to clear. The file is empty and stays.
//! A child that inherits the descriptor keeps the lock alive until it execs or dies with its parent: after a kill that may be a moment later than the
//! death itself, so a lock that is held is asked for again for a while.

use crate::meta::{META_NAME, META_NEW_NAME};
use crate::{Error, Result};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Name of the file in a log directory.
pub const LOCK_NAME: &str = "LOCK";

/// Longest time for which the children of a process that was killed hold on to its lock.
const DYING_TIME_MAX: Duration = Duration::from_millis(500);

/// The error for a directory in which something stands that is no part of a log.
pub fn not_empty(dir: &Path, what: &Path) -> Error {
    Error::Refused(format!(
        "{} holds no log but other things ({}), which a log must not be mixed with; name an empty directory",
        dir.display(),
        what.display()
    ))
}

/// Holding one proves that no other process writes this directory.
#[derive(Debug)]
pub struct DirLock {
    dir: PathBuf,
    _file: File,
}

impl DirLock {
    /// Takes the lock of `dir`, which is made if it is not there. Refused if another process goes on holding it.
    pub fn take(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(|e| Error::io("creating", dir, e))?;
        let path = dir.join(LOCK_NAME);
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|e| Error::io("opening", &path, e))?;
        let asked = Instant::now();
        let mut tried = file.try_lock();
        while matches!(tried, Err(TryLockError::WouldBlock)) && asked.elapsed() < DYING_TIME_MAX {
            std::thread::sleep(DYING_TIME_MAX / 100);
            tried = file.try_lock();
        }
        match tried {
            Ok(()) => Ok(Self { dir: dir.to_owned(), _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Refused(format!(
                "{} is in use by another process; stop that one first, or name another directory",
                dir.display()
            ))),
            Err(TryLockError::Error(e)) => Err(Error::io("locking", path, e)),
        }
    }

    /// May a new log be made in `dir`? Only if it does not exist, is empty, or holds nothing but what an end before the first entry leaves:
    /// the lock, half a `meta`, and names in `others`. Changes nothing.
    pub fn check_fresh(dir: &Path, others: &[&str]) -> Result<()> {
        let list = match std::fs::read_dir(dir) {
            Ok(list) => list,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::io("listing", dir, e)),
        };
        let mut names = Vec::new();
        for entry in list {
            names.push(entry.map_err(|e| Error::io("listing", dir, e))?.file_name());
        }
        if names.iter().any(|name| name == META_NAME) {
            return Err(Error::Refused(format!(
                "{} already holds a log; name an empty directory, or continue this log with `gapless resume DIR`",
                dir.display()
            )));
        }
        names.sort();
        let ours = |name: &std::ffi::OsStr| {
            name == LOCK_NAME || name == META_NEW_NAME || others.iter().any(|other| name == *other)
        };
        match names.iter().find(|name| !ours(name)) {
            None => Ok(()),
            Some(name) => Err(not_empty(dir, Path::new(name))),
        }
    }

    /// True if some process holds the lock of `dir` now. Changes nothing.
    pub fn is_held(dir: &Path) -> bool {
        // A shared lock would disturb a process that starts in the same moment, so look at the kernel's list instead.
        let Ok(meta) = std::fs::metadata(dir.join(LOCK_NAME)) else {
            return false;
        };
        use std::os::unix::fs::MetadataExt;
        let (dev, ino) = (meta.dev(), meta.ino());
        let id = format!("{:02x}:{:02x}:{}", libc::major(dev), libc::minor(dev), ino);
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        locks.lines().any(|l| l.split_whitespace().nth(5) == Some(&id))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}
