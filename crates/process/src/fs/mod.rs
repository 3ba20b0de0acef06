//! The file system of the replica: an inode model over the host's files, which are only ever read.
//!
//! The rule it keeps: **the program sees one consistent snapshot, equal on both sides**. The first look at a name of the host is an
//! input ([`crate::kernel::input::HOST_PATH`]), remembered for ever, its absence included; the contents of a host file come into the log once
//! per content hash. Everything that the program changes changes only here: names and attributes in memory, contents in files
//! of the log directory ([`store`]). A local error on such a file stops this side; the program never sees it.
//!
//! Left out: device files of the host (only those of `dev` exist), mounts, chroot, leases, inotify, extended attributes, mandatory
//! locks, and deadlock detection of record locks. Files that others create on the host after the program first looked
//! for them stay invisible, except below `/proc` and `/sys`, where every look is a new input.

mod inode;
mod open;
mod proc;

pub use inode::{Body, Child, Dir, Inode, InodeId, Kind, Node, ROOT, Slot, Time};
pub use open::*;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Inodes, names, and the overlay over the host.
#[derive(Debug, Default)]
pub struct Fs {
    pub(crate) inodes: BTreeMap<InodeId, Inode>,
    pub(crate) dir: PathBuf,
}

impl Fs {
    /// Over the host's files, with contents kept in `content/` and `files/` of the log directory.
    pub fn new(log_dir: &Path) -> gapless_log::Result<Self> {
        Ok(Self { inodes: BTreeMap::new(), dir: log_dir.to_owned() })
    }
}
