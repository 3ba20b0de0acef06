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
}
