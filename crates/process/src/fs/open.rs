//! Signatures of the file system's operations (bodies follow).
#![allow(unused_variables)]
use super::{Fs, InodeId};
use crate::kernel::{Ctx, Fail, FileId, Kernel, ObjectId, Pid, fail};
use crate::syscalls::SysResult;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Whether a symbolic link at the end of a path is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Last {
    /// Follow it.
    Follow,
    /// The link itself is meant.
    NoFollow,
}

/// Where a path leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The directory of the last component.
    pub parent: InodeId,
    /// The last component.
    pub name: Vec<u8>,
    /// What stands there, if anything.
    pub inode: Option<InodeId>,
    /// The path ended with a slash.
    pub slash: bool,
    /// The path led through a link of /proc/PID/fd to this open file, which has no inode.
    pub file: Option<FileId>,
}

/// A program to execute.
#[derive(Debug)]
pub struct Executable {
    /// Its inode.
    pub inode: InodeId,
    /// Its absolute path, for /proc/self/exe.
    pub path: Vec<u8>,
    /// Its first bytes (up to 4096).
    pub head: Vec<u8>,
    /// Size in bytes.
    pub size: u64,
    /// Mode bits, with set-user-id and set-group-id.
    pub mode: u32,
    /// The content, to read or to map.
    pub fd: OwnedFd,
}

/// Walks a path; `dirfd` may be AT_FDCWD.
pub fn resolve(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dirfd: i32, path: &[u8], last: Last) -> Result<Found, Fail> {
    fail(libc::ENOSYS)
}

/// openat(2) without giving a descriptor yet; a FIFO that would block answers EAGAIN.
pub fn open(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    dirfd: i32,
    path: &[u8],
    flags: i32,
    mode: u32,
) -> Result<FileId, Fail> {
    fail(libc::ENOSYS)
}

/// A program for execve: checks permission and type, ships the content. `dirfd` may be AT_FDCWD.
pub fn content_for_exec(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    dirfd: i32,
    path: &[u8],
    last: Last,
) -> Result<Executable, Fail> {
    fail(libc::ENOSYS)
}

/// read(2) of an [`crate::object::Object::Inode`] at its own offset, which moves on.
pub fn read(k: &mut Kernel, cx: &mut Ctx<'_, '_>, file: FileId, max: usize) -> Result<Vec<u8>, Fail> {
    fail(libc::ENOSYS)
}

/// write(2) of an [`crate::object::Object::Inode`] at its own offset (the end, if O_APPEND), which moves on.
pub fn write(k: &mut Kernel, cx: &mut Ctx<'_, '_>, file: FileId, bytes: &[u8]) -> Result<usize, Fail> {
    fail(libc::ENOSYS)
}

/// Reads at an offset; short only at the end of the file.
pub fn read_at(k: &mut Kernel, cx: &mut Ctx<'_, '_>, inode: InodeId, offset: u64, max: usize) -> Result<Vec<u8>, Fail> {
    fail(libc::ENOSYS)
}

/// Writes at an offset.
pub fn write_at(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    inode: InodeId,
    offset: u64,
    bytes: &[u8],
) -> Result<usize, Fail> {
    fail(libc::ENOSYS)
}

/// lseek(2).
pub fn seek(k: &mut Kernel, cx: &mut Ctx<'_, '_>, file: FileId, offset: i64, whence: i32) -> Result<u64, Fail> {
    fail(libc::ENOSYS)
}

/// A real descriptor of the file's content, to be mapped in the tracee. `shared`: MAP_SHARED; `writable`: PROT_WRITE is possible
/// (so read-write for a shared mapping of a file open for writing). EACCES, ENODEV as mmap(2).
pub fn fd_for_map(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    file: FileId,
    shared: bool,
    writable: bool,
) -> Result<(InodeId, OwnedFd), Fail> {
    fail(libc::ENOSYS)
}

/// struct stat of an inode.
pub fn stat(k: &Kernel, inode: InodeId) -> [u8; 144] {
    [0; 144]
}

/// struct stat of an open file of any kind.
pub fn stat_file(k: &Kernel, file: FileId) -> [u8; 144] {
    [0; 144]
}

/// Absolute path of an inode as the program would name it, " (deleted)" appended if it has no name.
pub fn path_of(k: &Kernel, inode: InodeId) -> Vec<u8> {
    Vec::new()
}

/// bind(2) of a Unix socket to a path: makes its name.
pub fn bind_socket_name(k: &mut Kernel, cx: &mut Ctx<'_, '_>, path: &[u8], socket: ObjectId) -> Result<InodeId, Fail> {
    fail(libc::ENOSYS)
}

/// connect(2) to a path: the socket of this group bound there. ECONNREFUSED if it is a socket of somebody else, or no socket.
pub fn lookup_socket(k: &mut Kernel, cx: &mut Ctx<'_, '_>, path: &[u8]) -> Result<ObjectId, Fail> {
    fail(libc::ENOSYS)
}

/// A bound socket is closed: its name stays, connecting is refused.
pub fn unbind_socket(k: &mut Kernel, inode: InodeId) {}

/// A process closed a descriptor of this inode: its POSIX record locks on it are gone (fcntl(2)).
pub fn drop_process_locks(k: &mut Kernel, pid: Pid, inode: InodeId) {}

/// fcntl commands that belong to the file system: locks, leases, seals.
pub fn fcntl(k: &mut Kernel, cx: &mut Ctx<'_, '_>, file: FileId, command: i32, arg: u64) -> SysResult {
    fail(libc::EINVAL)
}

/// To be called when a process has ended.
pub fn process_gone(k: &mut Kernel, pid: Pid) {}

/// The last holder of an open file is gone ([`crate::object::close`] of an inode).
pub fn close(k: &mut Kernel, cx: &mut Ctx<'_, '_>, file: FileId) -> Result<(), Fail> {
    Ok(())
}

/// At launch: takes the directory `path` of the host with everything below it into the model, for good.
pub fn load_state(k: &mut Kernel, cx: &mut Ctx<'_, '_>, path: &[u8]) -> Result<(), Fail> {
    fail(libc::ENOSYS)
}

impl Fs {
    /// Hashes all that shapes the future: attributes and names, and the real bytes of every file that is the program's own.
    pub fn digest(&mut self, h: &mut gapless_log::Hasher) -> gapless_log::Result<()> {
        Ok(())
    }

    /// Copies the tree at the model's `path` out to the host's `to`.
    pub fn export(&mut self, path: &[u8], to: &Path) -> gapless_log::Result<()> {
        Ok(())
    }
}
