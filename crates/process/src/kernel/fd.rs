//! Descriptors and the open file descriptions behind them.

use super::{Errno, Fail, FileId};
use crate::object::Object;
use crate::tracee::lane::FDS_MAX;
use std::collections::BTreeMap;

/// What a descriptor number stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Descriptor {
    /// The open file description.
    pub file: FileId,
    /// FD_CLOEXEC.
    pub close_on_exec: bool,
}

/// A process's descriptors (shared by CLONE_FILES).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FdTable {
    slots: BTreeMap<i32, Descriptor>,
    /// Which of the lowest numbers are in use, a bit each.
    low: [u64; FDS_MAX / 64],
}

impl FdTable {
    /// What `fd` stands for.
    pub fn get(&self, fd: i32) -> Result<Descriptor, Fail> {
        self.slots.get(&fd).copied().ok_or(Fail::Errno(Errno(libc::EBADF)))
    }

    /// The same, to change flags.
    pub fn get_mut(&mut self, fd: i32) -> Result<&mut Descriptor, Fail> {
        self.slots.get_mut(&fd).ok_or(Fail::Errno(Errno(libc::EBADF)))
    }

    /// The lowest free number that is at least `from` and below `limit` (RLIMIT_NOFILE).
    pub fn free(&self, from: i32, limit: i32) -> Result<i32, Fail> {
        let mut fd = self.free_low(from);
        for (&used, _) in self.slots.range(fd..) {
            if used != fd {
                break;
            }
            fd += 1;
        }
        if fd < limit { Ok(fd) } else { Err(Fail::Errno(Errno(libc::EMFILE))) }
    }

    /// The lowest free number from `from` on that [`low`](Self::low) tells of, or the first of which it does not.
    fn free_low(&self, from: i32) -> i32 {
        let mut fd = from;
        while let Some(used) = usize::try_from(fd).ok().and_then(|fd| self.low.get(fd / 64)) {
            let free = !used >> (fd % 64);
            if free != 0 {
                return fd + free.trailing_zeros() as i32;
            }
            fd += 64 - fd % 64;
        }
        fd
    }

    /// Puts a descriptor; returns what stood there (the caller closes it).
    #[must_use]
    pub fn set(&mut self, fd: i32, descriptor: Descriptor) -> Option<Descriptor> {
        self.mark(fd, true);
        self.slots.insert(fd, descriptor)
    }

    /// Takes a descriptor out (the caller closes its file).
    pub fn take(&mut self, fd: i32) -> Option<Descriptor> {
        self.mark(fd, false);
        self.slots.remove(&fd)
    }

    fn mark(&mut self, fd: i32, used: bool) {
        if let Some(word) = usize::try_from(fd).ok().and_then(|fd| self.low.get_mut(fd / 64)) {
            let bit = 1 << (fd % 64);
            *word = if used { *word | bit } else { *word & !bit };
        }
    }

    /// The free numbers below [`FDS_MAX`] and `limit` (RLIMIT_NOFILE), a bit each.
    pub fn low_free(&self, limit: u32) -> [u64; FDS_MAX / 64] {
        std::array::from_fn(|i| {
            let below = limit.saturating_sub(i as u32 * 64);
            !self.low[i] & if below < 64 { (1 << below) - 1 } else { u64::MAX }
        })
    }

    /// All, by number.
    pub fn iter(&self) -> impl Iterator<Item = (i32, Descriptor)> + '_ {
        self.slots.iter().map(|(&fd, &d)| (fd, d))
    }
}

/// An open file description.
#[derive(Debug)]
pub struct OpenFile {
    /// O_NONBLOCK, O_APPEND, access mode ...: what F_GETFL answers.
    pub flags: i32,
    /// File offset, for objects that have one.
    pub offset: u64,
    /// How many descriptors, queued SCM_RIGHTS messages and calls in progress hold it.
    pub refs: u32,
    /// What it is.
    pub object: Object,
}

impl OpenFile {
    /// O_NONBLOCK is set.
    pub fn nonblocking(&self) -> bool {
        self.flags & libc::O_NONBLOCK != 0
    }

    /// Open for reading.
    pub fn readable(&self) -> bool {
        matches!(self.flags & libc::O_ACCMODE, libc::O_RDONLY | libc::O_RDWR) && self.flags & libc::O_PATH == 0
    }

    /// Open for writing.
    pub fn writable(&self) -> bool {
        matches!(self.flags & libc::O_ACCMODE, libc::O_WRONLY | libc::O_RDWR) && self.flags & libc::O_PATH == 0
    }
}
