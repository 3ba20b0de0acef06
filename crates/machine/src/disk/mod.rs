//! Where a guest's disk is kept.
//!
//! The rule it keeps: requests take effect in the order in which they were submitted, whatever the host's timing, so a read sees exactly the writes that
//! were submitted before it. Guest memory is never touched here.

mod base;
mod commit;
mod overlay;
#[cfg(any(test, feature = "fuzz"))]
#[cfg_attr(not(test), allow(dead_code, reason = "the fuzz targets use some of it"))]
mod ram;

pub use base::Base;
pub(crate) use commit::Commit;
pub use commit::{finish as finish_commit, is_interrupted as commit_is_interrupted};
pub use overlay::{BLOCK_BYTES, Overlay};

#[cfg(any(test, feature = "fuzz"))]
pub(crate) use ram::RamDisk;

use std::io;
use std::path::Path;

/// Adds what was being done, and to which file, to an error.
fn context(what: &str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let message = format!("{what} {}", path.display());
    move |error| io::Error::new(error.kind(), format!("{message}: {error}"))
}

/// Smallest unit of a disk.
pub const SECTOR_BYTES: u64 = 512;

/// What is asked of a disk. Ranges are within the disk; who asks has checked them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Bytes from a place on.
    Read {
        /// Offset in bytes.
        at: u64,
        /// How many.
        bytes: u32,
    },
    /// Bytes to a place.
    Write {
        /// Offset in bytes.
        at: u64,
        /// What.
        data: Vec<u8>,
    },
    /// Everything submitted before is durable when this has finished.
    Flush,
}

/// A disk. Every error is fatal to this side (fail-stop): the guest is told nothing that the other side would not be told as well.
pub trait Storage: Send {
    /// Size of the disk, whole sectors.
    fn bytes(&self) -> u64;

    /// Nothing may be written.
    fn read_only(&self) -> bool;

    /// Queues a request. Ids rise. May block while too much is queued.
    fn submit(&mut self, id: u64, request: Request) -> io::Result<()>;

    /// The answer to a request: the bytes of a read, else nothing. Requests are waited for in the order of their ids; answers to earlier ones are
    /// forgotten.
    fn wait(&mut self, id: u64) -> io::Result<Vec<u8>>;

    /// Gives every block that was ever written, in order, after all that was submitted has been done.
    fn save(&mut self, each: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()>;

    /// Forgets all that was written, and answers that nobody waited for, as the first step of loading what another disk saved.
    fn clear(&mut self) -> io::Result<()>;

    /// Puts a saved block back.
    fn put(&mut self, block: u64, bytes: &[u8]) -> io::Result<()>;
}
