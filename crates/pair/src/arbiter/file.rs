//! The file arbiter: compare-and-put on a file under a lock. For one machine, or a disk that both machines share.
//!
//! The rule it keeps: every operation holds `PATH.lock` (flock), so operations are in one order, and a put is on the disk before it is
//! answered. What it cannot do: survive its disk, or make a network file system's locks real. A file on each machine's own disk would be two
//! registers; both sides compare the register's uuid before they pair.

use super::cell::{self, Cell};
use super::{Arbiter, ArbiterError, PutOutcome};
use crate::{Put, Register};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to wait for another process that holds the lock.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);

/// A register in a file.
#[derive(Clone, Debug)]
pub struct FileArbiter {
    path: PathBuf,
}

impl FileArbiter {
    /// The register at `path`; the file need not exist, its directory must.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn error(&self, what: impl ToString) -> ArbiterError {
        ArbiterError { arbiter: self.describe(), what: what.to_string() }
    }

    fn lock(&self) -> Result<File, ArbiterError> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        lock_file(&self.path.with_file_name(name), LOCK_WAIT_MAX).map_err(|e| self.error(e))
    }

    fn load(&self) -> Result<Option<Register>, ArbiterError> {
        match cell::load(&self.path).map_err(|e| self.error(e))? {
            None => Ok(None),
            Some(cell) => cell.register().map(Some).ok_or_else(|| {
                self.error(format!("{} holds a register that this version cannot read", self.path.display()))
            }),
        }
    }
}

impl Arbiter for FileArbiter {
    fn read(&mut self) -> Result<Option<Register>, ArbiterError> {
        let _lock = self.lock()?;
        self.load()
    }

    fn put(&mut self, put: &Put) -> Result<PutOutcome, ArbiterError> {
        let _lock = self.lock()?;
        let standing = self.load()?;
        if !put.expect.matches(standing.as_ref()) {
            return Ok(PutOutcome::Lost(standing));
        }
        cell::store(&self.path, &Cell::of(&put.new)).map_err(|e| self.error(e))?;
        Ok(PutOutcome::Won)
    }

    fn check(&mut self) -> Result<(), ArbiterError> {
        let dir = match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let unusable = |why: String| {
            self.error(format!("directory {} {why}; create it, or name another file with --arbiter", dir.display()))
        };
        if !dir.is_dir() {
            return Err(unusable("does not exist".into()));
        }
        let name = std::ffi::CString::new(dir.as_os_str().as_bytes()).map_err(|e| self.error(e))?;
        // SAFETY: a valid string; nothing else is pointed to.
        if unsafe { libc::faccessat(libc::AT_FDCWD, name.as_ptr(), libc::W_OK | libc::X_OK, libc::AT_EACCESS) } != 0 {
            return Err(unusable(format!("cannot be written: {}", std::io::Error::last_os_error())));
        }
        if self.path.is_dir() {
            return Err(self.error("it is a directory; name a file in it with --arbiter"));
        }
        Ok(())
    }

    fn describe(&self) -> String {
        format!("file:{}", self.path.display())
    }
}

/// Takes an exclusive lock on `path`, which is created if need be; it is held as long as the file is open.
pub(crate) fn lock_file(path: &Path, wait: Duration) -> Result<File, String> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(|e| format!("opening lock {}: {e}", path.display()))?;
    let started = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        // SAFETY: flock takes no pointers; the descriptor is open as long as `file` lives.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(file);
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::WouldBlock && error.kind() != std::io::ErrorKind::Interrupted {
            return Err(format!("locking {}: {error}", path.display()));
        }
        if started.elapsed() >= wait {
            return Err(format!("{} is held by another process for more than {wait:?}", path.display()));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(2));
    }
}
