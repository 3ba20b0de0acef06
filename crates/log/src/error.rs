//! What can go wrong with a log or a replica, and what to do about it.

use crate::{Kind, Position, Seq};
use std::path::PathBuf;

/// Primary and backup (or log and replay) disagree. Fails closed: whoever finds one never goes live.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("diverged at position {position}, entry {seq}: expected {expected}, found {found}")]
pub struct Divergence {
    /// Where the replica stood.
    pub position: Position,
    /// The entry that was next in the log.
    pub seq: Seq,
    /// What the log says.
    pub expected: String,
    /// What the replica did or computed.
    pub found: String,
}

/// Why a log operation or a replica stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call on a file or socket failed.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// The log cannot be written any more; nothing was or will be appended after this (fail-stop).
    #[error("{what} {}: {source} ({} free on its file system); {advice}", path.display(), free(*free_bytes))]
    Disk {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// Space that its file system has left, if it says.
        free_bytes: Option<u64>,
        /// The system's word.
        source: std::io::Error,
        /// What a person should do next.
        advice: &'static str,
    },
    /// Stored bytes are not what was written.
    #[error("{} is corrupt at offset {offset}: {what}; {advice}", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Byte offset in it.
        offset: u64,
        /// What is wrong there.
        what: String,
        /// What a person should do next.
        advice: &'static str,
    },
    /// The replica and the log disagree.
    #[error(transparent)]
    Diverged(#[from] Divergence),
    /// The replica met something that it does not understand and refuses to guess.
    #[error("refused: {0}")]
    Refused(String),
    /// A level's own failure; this side stops (fail-stop).
    #[error("{0}")]
    Level(String),
    /// An entry is malformed although its frame is whole: written by a different version.
    #[error("entry {seq} at {at} (kind {}) cannot be read: {what}", kind.0)]
    BadEntry {
        /// Its number.
        seq: Seq,
        /// Its position.
        at: Position,
        /// Its kind.
        kind: Kind,
        /// What is wrong with it.
        what: String,
    },
}

/// Result with this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Wraps an I/O error with what was being done and where.
    pub fn io(what: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { what, path: path.into(), source }
    }

    /// An error of the disk that holds a log or what belongs to it, with the space left and the next step to take.
    pub fn disk(what: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        disk_error(what, path, source)
    }
}

/// An error of the log's own disk, with the space left and the next step to take.
pub(crate) fn disk_error(what: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Error {
    let path = path.into();
    let free_bytes = free_bytes(&path);
    let advice = match source.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => {
            "free some space or move the directory to a larger file system; \
             the log is whole up to its last mark, and `gapless resume DIR` goes on from there"
        }
        Some(libc::EIO) => {
            "the disk may be failing: nothing more is written here; look at the kernel's log, \
             copy the directory to a sound disk and run `gapless log verify DIR` on the copy"
        }
        _ => "nothing more is written here; remove the cause, then `gapless resume DIR` goes on from the last mark",
    };
    Error::Disk { what, path, free_bytes, source, advice }
}

/// Space that unprivileged processes may still use on the file system of `path`.
fn free_bytes(path: &std::path::Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let dir = path.ancestors().find(|p| p.is_dir())?;
    let name = std::ffi::CString::new(dir.as_os_str().as_bytes()).ok()?;
    let mut answer = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: a NUL-terminated path and room for one answer, which is read only if the call says that it filled it.
    let answer = unsafe { (libc::statvfs(name.as_ptr(), answer.as_mut_ptr()) == 0).then(|| answer.assume_init()) }?;
    Some(answer.f_bavail * answer.f_frsize)
}

fn free(bytes: Option<u64>) -> String {
    match bytes {
        Some(b) if b >= 10 << 30 => format!("{} GiB", b >> 30),
        Some(b) if b >= 10 << 20 => format!("{} MiB", b >> 20),
        Some(b) => format!("{b} bytes"),
        None => "unknown space".to_owned(),
    }
}
