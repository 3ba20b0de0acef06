//! The file system of the replica.

/// Names an inode of the model.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct InodeId(pub u64);

/// Inodes, names, and the overlay over the host.
#[derive(Debug, Default)]
pub struct Fs {}

use crate::kernel::{Ctx, FileId, Kernel, Pid, fail};

/// A process closed a descriptor of this inode: its POSIX record locks on it are gone (fcntl(2)).
pub fn drop_process_locks(k: &mut Kernel, pid: Pid, inode: InodeId) {
    let _ = (k, pid, inode);
}

/// fcntl commands that belong to the file system: locks, leases, seals.
pub fn fcntl(k: &mut Kernel, cx: &mut Ctx<'_, '_>, file: FileId, command: i32, arg: u64) -> crate::syscalls::SysResult {
    let _ = (k, cx, file, command, arg);
    fail(libc::EINVAL)
}
