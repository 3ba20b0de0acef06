//! Contents: reading, writing, changing the length, and giving them to the tracee to map.

use super::inode::{Body, InodeId, Node};
use super::store::Name;
use super::{dev, host, proc};
use crate::kernel::{Ctx, Fail, FileId, Kernel, OpenFile, Pid, fail};
use crate::object::Object;
use std::fs::File;
use std::os::fd::OwnedFd;

/// Largest file: what common file systems of hosts can hold, so that neither side fails first.
const SIZE_MAX: u64 = 8 << 40;
/// Most bytes of one read.
const READ_MAX: usize = 64 << 20;

/// F_SEAL_SEAL and its kin (fcntl(2)).
pub mod seal {
    /// No more seals.
    pub const SEAL: u32 = 1;
    /// The file cannot shrink.
    pub const SHRINK: u32 = 2;
    /// The file cannot grow.
    pub const GROW: u32 = 4;
    /// The file cannot be written.
    pub const WRITE: u32 = 8;
    /// No new writes or writable mappings.
    pub const FUTURE_WRITE: u32 = 16;
    /// The execute bits cannot change.
    pub const EXEC: u32 = 32;
    /// All that are known.
    pub const ALL: u32 = SEAL | SHRINK | GROW | WRITE | FUTURE_WRITE | EXEC;
}

/// The inode behind an open file.
pub fn inode_of(k: &Kernel, file: FileId) -> Result<InodeId, Fail> {
    match k.file(file).object {
        Object::Inode(id) => Ok(id),
        _ => fail(libc::EINVAL),
    }
}

/// Bytes of a regular file; 0 for all else.
pub fn size(k: &Kernel, id: InodeId) -> u64 {
    match &k.fs.inode(id).node {
        Node::Regular(body) => body.size(),
        _ => 0,
    }
}

/// read(2) of an [`Object::Inode`] at its own offset, which moves on.
pub fn read(k: &mut Kernel, cx: &mut Ctx<'_, '_>, file: FileId, max: usize) -> Result<Vec<u8>, Fail> {
    let id = inode_of(k, file)?;
    let bytes = read_at(k, cx, id, k.file(file).offset, max)?;
    k.file_mut(file).offset += bytes.len() as u64;
    Ok(bytes)
}

/// write(2) of an [`Object::Inode`] at its own offset (the end, if O_APPEND), which moves on.
pub fn write(k: &mut Kernel, cx: &mut Ctx<'_, '_>, file: FileId, bytes: &[u8]) -> Result<usize, Fail> {
    let id = inode_of(k, file)?;
    let offset = if k.file(file).flags & libc::O_APPEND != 0 { size(k, id) } else { k.file(file).offset };
    let n = write_at(k, cx, id, offset, bytes)?;
    k.file_mut(file).offset = offset + n as u64;
    Ok(n)
}

/// pwrite(2): at this offset, but at the end if O_APPEND (as Linux does).
pub fn write_file_at(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    file: FileId,
    offset: u64,
    bytes: &[u8],
) -> Result<usize, Fail> {
    let id = inode_of(k, file)?;
    let offset = if k.file(file).flags & libc::O_APPEND != 0 { size(k, id) } else { offset };
    write_at(k, cx, id, offset, bytes)
}

/// Reads at an offset; short only at the end of the file.
pub fn read_at(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: InodeId, offset: u64, max: usize) -> Result<Vec<u8>, Fail> {
    let max = max.min(READ_MAX);
    if matches!(k.fs.inode(id).node, Node::Regular(Body::Host { .. })) {
        host::ship(k, cx, id, host::SHIP_BYTES_MAX)?;
    }
    match &k.fs.inode(id).node {
        Node::Regular(Body::Large { path, size }) => {
            let (path, n) = (path.clone(), size.saturating_sub(offset).min(max as u64));
            host::read_large(k, cx, &path, offset, n as usize)
        }
        Node::Regular(body) => {
            let n = body.size().saturating_sub(offset).min(max as u64) as usize;
            let Some(name) = host::name_of(body) else { return fail(libc::EIO) };
            let mut buf = vec![0; n];
            if n > 0 {
                // The file may be shorter only if somebody cut it behind our back; the digest will tell.
                k.fs.store.read(name, offset, &mut buf)?;
            }
            Ok(buf)
        }
        Node::Snapshot { .. } => proc::read_snapshot(k, cx, id, offset, max),
        Node::Device(major, minor) => {
            let device = (*major, *minor);
            dev::read(k, device, max)
        }
        _ if k.fs.inode(id).is_dir() => fail(libc::EISDIR),
        _ => fail(libc::EINVAL),
    }
}

fn sealed(k: &Kernel, id: InodeId, seals: u32) -> bool {
    k.fs.seals.get(&id).is_some_and(|s| s & seals != 0)
}

/// Gives a regular file a private body, with its content if `keep` (else empty); its number.
fn own(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: InodeId, keep: bool) -> Result<u64, Fail> {
    if let Node::Regular(Body::Private { number, .. }) = k.fs.inode(id).node {
        return Ok(number);
    }
    if keep {
        host::ship(k, cx, id, u64::MAX)?;
    }
    let (number, size) = match &k.fs.inode(id).node {
        Node::Regular(Body::Content { hash, size }) if keep && *size > 0 => {
            let (hash, size) = (*hash, *size);
            (k.fs.store.copy(Name::Content(hash))?, size)
        }
        Node::Regular(_) => (k.fs.store.create()?, 0),
        _ => return fail(libc::EINVAL),
    };
    let inode = k.fs.inode_mut(id);
    inode.node = Node::Regular(Body::Private { number, size });
    inode.owned = true;
    Ok(number)
}

/// Contents have changed: times, and the set-id bits go unless root wrote.
fn touch(k: &mut Kernel, pid: Pid, id: InodeId) {
    let now = k.fs_time();
    let root = k.process(pid).creds.uid[3] == 0;
    let inode = k.fs.inode_mut(id);
    (inode.modified, inode.changed, inode.owned) = (now, now, true);
    if !root {
        inode.mode &= !libc::S_ISUID;
        if inode.mode & libc::S_IXGRP != 0 {
            inode.mode &= !libc::S_ISGID;
        }
    }
}

fn set_size(k: &mut Kernel, id: InodeId, to: u64) {
    if let Node::Regular(Body::Private { size, .. }) = &mut k.fs.inode_mut(id).node {
        *size = to;
    }
}

/// Largest file that the process may make (RLIMIT_FSIZE).
fn size_limit(k: &Kernel, pid: Pid) -> u64 {
    k.process(pid).limit(libc::RLIMIT_FSIZE as usize).soft.min(SIZE_MAX)
}

/// Fails if a file may not be made so long, and tells the caller by a signal if it is the process's own limit that forbids it.
fn may_grow(k: &mut Kernel, cx: &Ctx<'_, '_>, to: u64) -> Result<(), Fail> {
    let limit = size_limit(k, cx.pid);
    if to <= limit {
        return Ok(());
    }
    if limit < SIZE_MAX {
        crate::signal::file_too_large(k, cx.tid);
    }
    fail(libc::EFBIG)
}

/// Writes at an offset.
pub fn write_at(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: InodeId, offset: u64, bytes: &[u8]) -> Result<usize, Fail> {
    match &k.fs.inode(id).node {
        Node::Regular(_) => {}
        Node::Device(major, minor) => return dev::write((*major, *minor), bytes),
        Node::Snapshot { .. } => return proc::write(k, cx, id, bytes),
        _ if k.fs.inode(id).is_dir() => return fail(libc::EISDIR),
        _ => return fail(libc::EINVAL),
    }
    if bytes.is_empty() {
        return Ok(0);
    }
    if sealed(k, id, seal::WRITE | seal::FUTURE_WRITE) {
        return fail(libc::EPERM);
    }
    may_grow(k, cx, offset.saturating_add(1))?;
    let limit = size_limit(k, cx.pid);
    let bytes = &bytes[..bytes.len().min((limit - offset) as usize)];
    let end = offset + bytes.len() as u64;
    if end > size(k, id) && sealed(k, id, seal::GROW) {
        return fail(libc::EPERM);
    }
    let number = own(k, cx, id, true)?;
    k.fs.store.write(number, offset, bytes)?;
    if end > size(k, id) {
        set_size(k, id, end);
    }
    touch(k, cx.pid, id);
    Ok(bytes.len())
}

/// Where and how much may be written to a file so that nothing comes of it but its new content, length and times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// Bytes from where its descriptor stands, or as many as fit here.
    pub here: u32,
    /// Bytes from the file's beginning, or as many as fit here, for those who say where; 0 if they would be put at its end.
    pub whole: u32,
}

/// The room that a process has in an open file: none if it is not a regular one of this replica's own, or something may see what is written in another way
/// than by a call.
pub fn room(k: &Kernel, pid: Pid, open: &OpenFile) -> Option<Room> {
    let Object::Inode(id) = open.object else { return None };
    let Node::Regular(Body::Private { size, .. }) = k.fs.inode(id).node else { return None };
    if !open.writable() || k.fs.mapped.contains(&id) || k.fs.seals.contains_key(&id) {
        return None;
    }
    let (limit, appends) = (size_limit(k, pid), open.flags & libc::O_APPEND != 0);
    let here = limit.saturating_sub(if appends { size } else { open.offset });
    let words = [here, if appends { 0 } else { limit }].map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
    Some(Room { here: words[0], whole: words[1] })
}

/// Sets the length of a regular file.
pub fn truncate(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: InodeId, to: u64) -> Result<(), Fail> {
    match k.fs.inode(id).node {
        Node::Regular(_) => {}
        _ if k.fs.inode(id).is_dir() => return fail(libc::EISDIR),
        _ => return fail(libc::EINVAL),
    }
    let from = size(k, id);
    if to > from {
        may_grow(k, cx, to)?;
    }
    if (to < from && sealed(k, id, seal::SHRINK)) || (to > from && sealed(k, id, seal::GROW)) {
        return fail(libc::EPERM);
    }
    let number = own(k, cx, id, to > 0)?;
    k.fs.store.truncate(number, to)?;
    set_size(k, id, to);
    touch(k, cx.pid, id);
    Ok(())
}

/// fallocate(2): space is always there; what is left is the length, and zeroing.
pub fn allocate(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    file: FileId,
    mode: i32,
    offset: i64,
    len: i64,
) -> Result<(), Fail> {
    if offset < 0 || len <= 0 {
        return fail(libc::EINVAL);
    }
    let keep = libc::FALLOC_FL_KEEP_SIZE;
    let punch = mode == libc::FALLOC_FL_PUNCH_HOLE | keep;
    let zero = mode & !keep == libc::FALLOC_FL_ZERO_RANGE;
    if mode & !keep != 0 && !punch && !zero {
        return fail(libc::EOPNOTSUPP);
    }
    if !k.file(file).writable() {
        return fail(libc::EBADF);
    }
    let id = match k.file(file).object {
        Object::Inode(id) => id,
        Object::Pipe(..) => return fail(libc::ESPIPE),
        _ => return fail(libc::ENODEV),
    };
    match k.fs.inode(id).node {
        Node::Regular(_) => {}
        _ if k.fs.inode(id).is_dir() => return fail(libc::EISDIR),
        _ => return fail(libc::ENODEV),
    }
    let (offset, end) = (offset as u64, offset as u64 + len as u64);
    if end > SIZE_MAX {
        return fail(libc::EFBIG);
    }
    if punch && sealed(k, id, seal::WRITE | seal::FUTURE_WRITE) {
        return fail(libc::EPERM);
    }
    if mode & keep == 0 && end > size(k, id) {
        truncate(k, cx, id, end)?;
    }
    let end = end.min(size(k, id));
    if (punch || zero) && offset < end {
        let number = own(k, cx, id, true)?;
        k.fs.store.zero(number, offset, end - offset)?;
    }
    touch(k, cx.pid, id);
    Ok(())
}

/// lseek(2). Files have no holes here: everything up to the end is data.
pub fn seek(k: &mut Kernel, file: FileId, offset: i64, whence: i32) -> Result<u64, Fail> {
    if !(libc::SEEK_SET..=libc::SEEK_HOLE).contains(&whence) {
        return fail(libc::EINVAL);
    }
    let id = match k.file(file).object {
        Object::Inode(id) => id,
        _ => return fail(libc::ESPIPE),
    };
    let end = size(k, id);
    let base = match whence {
        libc::SEEK_SET => 0,
        libc::SEEK_CUR => k.file(file).offset as i64,
        // Directories end where no cookie reaches; files of /proc cannot tell their end.
        libc::SEEK_END if k.fs.inode(id).is_dir() => return fail(libc::EINVAL),
        libc::SEEK_END => end as i64,
        _ => {
            if offset < 0 || offset as u64 >= end {
                return fail(libc::ENXIO);
            }
            let to = if whence == libc::SEEK_DATA { offset as u64 } else { end };
            k.file_mut(file).offset = to;
            return Ok(to);
        }
    };
    let to = match base.checked_add(offset) {
        Some(to) if to >= 0 => to as u64,
        _ => return fail(libc::EINVAL),
    };
    // /dev/null and its like always stand at 0.
    let to = if matches!(k.fs.inode(id).node, Node::Device(..)) { 0 } else { to };
    k.file_mut(file).offset = to;
    Ok(to)
}

/// A real descriptor of a file's content, to be mapped in the tracee, and the inode that a shared futex in it belongs to.
///
/// `shared` is MAP_SHARED: then writes by any means are seen, because the mapping and `write` use the same file of the store. The descriptor
/// is writable if the mapping is shared and the file is open for writing and not sealed against that: else mprotect cannot give the right later.
/// `write`: PROT_WRITE is asked for.
pub fn fd_for_map(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    file: FileId,
    shared: bool,
    write: bool,
) -> Result<(InodeId, OwnedFd), Fail> {
    let Object::Inode(id) = k.file(file).object else { return fail(libc::ENODEV) };
    if !k.file(file).readable() || (shared && write && !k.file(file).writable()) {
        return fail(libc::EACCES);
    }
    if let Node::Device(1, dev::ZERO) = k.fs.inode(id).node {
        let writable = shared && k.file(file).writable();
        let zero = File::options().read(true).write(writable).open("/dev/zero");
        let zero = zero.map_err(|e| gapless_log::Error::io("open", "/dev/zero", e))?;
        return Ok((id, zero.into()));
    }
    if !matches!(k.fs.inode(id).node, Node::Regular(_)) {
        return fail(libc::ENODEV);
    }
    let read_only = sealed(k, id, seal::WRITE | seal::FUTURE_WRITE);
    if shared && write && read_only {
        return fail(libc::EPERM);
    }
    if shared {
        own(k, cx, id, true)?;
        k.fs.inode_mut(id).owned = true;
    }
    let writable = shared && k.file(file).writable() && !read_only;
    Ok((id, open_content(k, cx, id, writable)?.into()))
}

/// Hash of a file's content, if it is as it was shipped.
pub fn content(k: &Kernel, id: InodeId) -> Option<u128> {
    match k.fs.inode(id).node {
        Node::Regular(Body::Content { hash, .. }) => Some(hash),
        _ => None,
    }
}

/// A real descriptor of a regular file's content.
pub fn open_content(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: InodeId, writable: bool) -> Result<File, Fail> {
    host::ship(k, cx, id, u64::MAX)?;
    k.fs.mapped.insert(id);
    match &k.fs.inode(id).node {
        Node::Regular(body) => match host::name_of(body) {
            Some(name) => Ok(k.fs.store.open(name, writable)?),
            None => fail(libc::EIO),
        },
        _ => fail(libc::ENODEV),
    }
}
