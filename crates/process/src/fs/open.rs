//! Opening: the checks of open(2), FIFOs, executables, memfds and other files without a name, and what happens when the last holder lets go.

use super::create::{make_file, new_inode, reap};
use super::file::{inode_of, open_content, seal, truncate};
use super::inode::{Body, InodeId, Kind, Node, ROOT};
use super::path::{EXEC, Last, READ, WRITE, may, path_of, resolve};
use super::{ahead, dev, host, lock, proc};
use crate::kernel::{Ctx, Errno, Fail, FileId, Kernel, Key, Pid, Tid, Wait, fail};
use crate::object::{Object, pipe, pty};
use std::os::fd::OwnedFd;

/// Flags that F_GETFL does not show.
pub const NOT_KEPT: i32 = libc::O_CREAT | libc::O_EXCL | libc::O_NOCTTY | libc::O_TRUNC | libc::O_CLOEXEC;

/// What an open came to.
#[derive(Debug)]
pub enum Opened {
    /// An open file with one holder.
    File(FileId),
    /// A FIFO without its other end: wait.
    Wait(Wait),
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
    match open_or_wait(k, cx, dirfd, path, flags, mode)? {
        Opened::File(file) => Ok(file),
        Opened::Wait(_) => fail(libc::EAGAIN),
    }
}

/// openat(2) without giving a descriptor yet.
pub fn open_or_wait(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    dirfd: i32,
    path: &[u8],
    flags: i32,
    mode: u32,
) -> Result<Opened, Fail> {
    if flags & libc::O_PATH != 0 {
        return open_path(k, cx, dirfd, path, flags).map(Opened::File);
    }
    let create = flags & libc::O_CREAT != 0;
    let directory = flags & libc::O_DIRECTORY != 0;
    if create && directory {
        return fail(libc::EINVAL);
    }
    if flags & libc::O_TMPFILE == libc::O_TMPFILE {
        return open_unnamed(k, cx, dirfd, path, flags, mode).map(Opened::File);
    }
    let exclusive = create && flags & libc::O_EXCL != 0;
    // A slash at the end cannot name a file to be made, whatever stands there.
    let entry = create && (exclusive || path.ends_with(b"/"));
    let last = match (entry, flags & libc::O_NOFOLLOW != 0) {
        (true, _) => Last::Entry,
        (_, true) => Last::NoFollow,
        _ => Last::Follow,
    };
    let found = resolve(k, cx, dirfd, path, last)?;
    if create {
        if found.slash && found.is_named() {
            return fail(libc::EISDIR);
        }
        if found.inode.is_some() && exclusive {
            return fail(libc::EEXIST);
        }
        if !found.is_named() {
            return fail(libc::EISDIR);
        }
        if found.inode.is_none() && found.file.is_none() {
            let id = make_file(k, cx, &found, mode & 0o7777)?;
            return Ok(Opened::File(k.open(Object::Inode(id), flags & !NOT_KEPT)));
        }
    }
    if let (Some(file), None) = (found.file, found.inode) {
        return reopen(k, cx.pid, file, flags).map(Opened::File);
    }
    let id = found.existing(k)?;
    open_inode(k, cx, id, flags)
}

/// O_PATH: a place only. Neither permission nor contents matter.
fn open_path(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dirfd: i32, path: &[u8], flags: i32) -> Result<FileId, Fail> {
    let last = if flags & libc::O_NOFOLLOW != 0 { Last::NoFollow } else { Last::Follow };
    let found = resolve(k, cx, dirfd, path, last)?;
    if let (Some(file), None) = (found.file, found.inode) {
        k.hold(file);
        return Ok(file);
    }
    let id = found.existing(k)?;
    if flags & libc::O_DIRECTORY != 0 && !k.fs.inode(id).is_dir() {
        return fail(libc::ENOTDIR);
    }
    Ok(k.open(Object::Inode(id), flags & (libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW)))
}

/// O_TMPFILE: a file without a name in a directory.
fn open_unnamed(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    dirfd: i32,
    path: &[u8],
    flags: i32,
    mode: u32,
) -> Result<FileId, Fail> {
    if flags & libc::O_ACCMODE == libc::O_RDONLY {
        return fail(libc::EINVAL);
    }
    let last = if flags & libc::O_NOFOLLOW != 0 { Last::NoFollow } else { Last::Follow };
    let dir = resolve(k, cx, dirfd, path, last)?.existing(k)?;
    match k.fs.inode(dir).node {
        Node::Directory(_) => {}
        _ if k.fs.inode(dir).is_dir() => return fail(libc::EOPNOTSUPP),
        _ => return fail(libc::ENOTDIR),
    }
    may(k, cx.pid, dir, WRITE | EXEC)?;
    let number = k.fs.store.create()?;
    let mode = mode & !k.process(cx.pid).umask;
    let id = new_inode(k, cx.pid, dir, Node::Regular(Body::Private { number, size: 0 }), mode);
    let name = format!("#{}", id.ino()).into_bytes();
    k.fs.inode_mut(id).place = Some((dir, name));
    if flags & libc::O_EXCL == 0 {
        k.fs.linkable.insert(id);
    }
    Ok(k.open(Object::Inode(id), flags & !NOT_KEPT))
}

/// Opens what stands somewhere, by its type.
pub fn open_inode(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: InodeId, flags: i32) -> Result<Opened, Fail> {
    let kind = k.fs.inode(id).kind();
    let (reads, writes) = match flags & libc::O_ACCMODE {
        libc::O_RDONLY => (true, false),
        libc::O_WRONLY => (false, true),
        // With both bits the descriptor has neither right, and both are needed.
        _ => (true, true),
    };
    let cuts = flags & libc::O_TRUNC != 0;
    if flags & libc::O_DIRECTORY != 0 && kind != Kind::Directory {
        return fail(libc::ENOTDIR);
    }
    match kind {
        Kind::Symlink => return fail(libc::ELOOP),
        Kind::Directory if writes || cuts || flags & libc::O_CREAT != 0 => return fail(libc::EISDIR),
        _ => {}
    }
    let mask = if reads { READ } else { 0 } | if writes || cuts { WRITE } else { 0 };
    may(k, cx.pid, id, mask)?;
    if cuts || writes && flags & libc::O_ACCMODE != libc::O_ACCMODE {
        not_running(k, id)?;
    }
    let user = k.process(cx.pid).creds.uid[3];
    if flags & libc::O_NOATIME != 0 && user != 0 && user != k.fs.inode(id).uid {
        return fail(libc::EPERM);
    }
    let kept = flags & !NOT_KEPT;
    match k.fs.inode(id).node.clone_shallow() {
        Shallow::Regular => {
            if cuts {
                truncate(k, cx, id, 0)?;
            } else {
                let count = ahead::opening(k, id);
                host::ship(k, cx, id, host::SHIP_BYTES_MAX)?;
                ahead::read(k, cx, id, count)?;
            }
            Ok(Opened::File(k.open(Object::Inode(id), kept)))
        }
        Shallow::Generated => proc::open(k, cx, id, kept, writes).map(Opened::File),
        Shallow::Fifo if flags & libc::O_ACCMODE == libc::O_ACCMODE => fail(libc::EINVAL),
        Shallow::Fifo => open_fifo(k, cx, id, kept),
        Shallow::Device(device) => dev::open(k, cx, id, device, flags).map(Opened::File),
        Shallow::Socket => fail(libc::ENXIO),
        Shallow::Other => Ok(Opened::File(k.open(Object::Inode(id), kept))),
    }
}

/// ETXTBSY for the file of a program that runs.
pub fn not_running(k: &Kernel, id: InodeId) -> Result<(), Fail> {
    let runs = k.memories.values().any(|memory| memory.image == Some(id));
    if runs { fail(libc::ETXTBSY) } else { Ok(()) }
}

/// A node's type without its data.
enum Shallow {
    Regular,
    Generated,
    Fifo,
    Device((u32, u32)),
    Socket,
    Other,
}

impl Node {
    fn clone_shallow(&self) -> Shallow {
        match self {
            Node::Regular(_) => Shallow::Regular,
            Node::Proc(key) if key.kind() == Kind::Regular => Shallow::Generated,
            Node::Volatile(_, Kind::Regular) | Node::Snapshot { .. } => Shallow::Generated,
            Node::Fifo(_) => Shallow::Fifo,
            Node::Device(major, minor) => Shallow::Device((*major, *minor)),
            Node::Socket(_) => Shallow::Socket,
            _ => Shallow::Other,
        }
    }
}

/// Opening /proc/PID/fd/N of something without an inode: a new description of a pipe's end, else the same description again.
fn reopen(k: &mut Kernel, pid: Pid, file: FileId, flags: i32) -> Result<FileId, Fail> {
    match k.file(file).object {
        Object::Socket(_) => fail(libc::ENXIO),
        // No end can be opened for neither reading nor writing.
        Object::Pipe(..) if flags & libc::O_ACCMODE == libc::O_ACCMODE => fail(libc::EINVAL),
        Object::Pipe(id, _) => open_pipe(k, id, flags & !NOT_KEPT),
        Object::Pty(id, pty::Side::Slave) => {
            pty::open_slave(k, pid, id, flags & !NOT_KEPT, flags & libc::O_NOCTTY == 0)
        }
        _ => {
            k.hold(file);
            Ok(file)
        }
    }
}

fn end_of(flags: i32) -> pipe::End {
    match flags & libc::O_ACCMODE {
        libc::O_RDONLY => pipe::End::Read,
        libc::O_WRONLY => pipe::End::Write,
        _ => pipe::End::Both,
    }
}

fn open_pipe(k: &mut Kernel, id: crate::kernel::ObjectId, flags: i32) -> Result<FileId, Fail> {
    let end = end_of(flags);
    pipe::open(k, id, end);
    Ok(k.open(Object::Pipe(id, end), flags))
}

/// A thread that waits for the other end of a FIFO. Its own end is open already: what is written meanwhile is not lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FifoOpener {
    tid: Tid,
    end: pipe::End,
    file: FileId,
    /// Somebody has opened the other end since.
    met: bool,
}

/// Opens a FIFO (fifo(7)): who opens one end waits for the other. The inode remembers the pipe while it has ends.
fn open_fifo(k: &mut Kernel, cx: &mut Ctx<'_, '_>, inode: InodeId, flags: i32) -> Result<Opened, Fail> {
    forget_openers(k, cx, inode)?;
    let end = end_of(flags);
    let other = match end {
        pipe::End::Read => pipe::End::Write,
        // Who opens both ends waits for nobody; of those who wait here, readers and writers alike have met it.
        pipe::End::Write | pipe::End::Both => pipe::End::Read,
    };
    let known = match k.fs.inode(inode).node {
        Node::Fifo(id) => id.filter(|id| k.objects.pipes.contains_key(id)),
        _ => None,
    };
    let other_open = known.is_some_and(|id| k.objects.pipes[&id].has_end(other));
    let tid = cx.tid;
    let own = k.fs.fifo_openers.get(&inode).and_then(|list| list.iter().find(|o| o.tid == tid)).copied();
    if let Some(own) = own.filter(|o| o.end == end) {
        if !own.met && !other_open {
            return Ok(Opened::Wait(Wait::key(Key::Lock(inode.0))));
        }
        drop_opener(k, inode, tid);
        return Ok(Opened::File(own.file));
    }
    let waits = flags & libc::O_NONBLOCK == 0 && !other_open && end != pipe::End::Both;
    if !waits && !other_open && end == pipe::End::Write {
        return fail(libc::ENXIO);
    }
    let id = match known {
        Some(id) => id,
        None => {
            let id = pipe::create(k);
            k.fs.inode_mut(inode).node = Node::Fifo(Some(id));
            id
        }
    };
    let file = open_pipe(k, id, flags)?;
    let openers = k.fs.fifo_openers.entry(inode).or_default();
    if waits {
        openers.push(FifoOpener { tid, end, file, met: false });
        return Ok(Opened::Wait(Wait::key(Key::Lock(inode.0))));
    }
    openers.iter_mut().filter(|o| o.end == other || end == pipe::End::Both).for_each(|o| o.met = true);
    if openers.is_empty() {
        k.fs.fifo_openers.remove(&inode);
    }
    k.wake(Key::Lock(inode.0));
    Ok(Opened::File(file))
}

fn drop_opener(k: &mut Kernel, inode: InodeId, tid: Tid) {
    if let Some(list) = k.fs.fifo_openers.get_mut(&inode) {
        list.retain(|o| o.tid != tid);
        if list.is_empty() {
            k.fs.fifo_openers.remove(&inode);
        }
    }
}

/// Closes the ends of threads that have given up waiting (a signal, or death): they are in no call any more. The calling thread is
/// in one, which is this.
fn forget_openers(k: &mut Kernel, cx: &mut Ctx<'_, '_>, inode: InodeId) -> Result<(), Fail> {
    let list = k.fs.fifo_openers.get(&inode).cloned().unwrap_or_default();
    for opener in list {
        let waits = opener.tid == cx.tid || k.threads.get(&opener.tid).is_some_and(|t| t.call.is_some());
        if !waits {
            drop_opener(k, inode, opener.tid);
            k.drop_file(cx, opener.file)?;
        }
    }
    Ok(())
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
    /// Permission bits, with set-user-id and set-group-id.
    pub mode: u32,
    /// It is as it was on the host, and there it has capabilities.
    pub capable: bool,
    /// Owner and group, for set-id programs.
    pub owner: (u32, u32),
    /// The content, to read or to map.
    pub fd: OwnedFd,
}

/// A program for execve: checks permission and type, ships the content. `dirfd` may be AT_FDCWD; an empty path means `dirfd` itself.
pub fn content_for_exec(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    dirfd: i32,
    path: &[u8],
    last: Last,
) -> Result<Executable, Fail> {
    const HEAD_BYTES: usize = 4096;
    let id = if path.is_empty() {
        inode_of(k, k.file_of(cx.pid, dirfd)?)?
    } else {
        resolve(k, cx, dirfd, path, last)?.existing(k)?
    };
    match k.fs.inode(id).node {
        Node::Regular(_) => {}
        Node::Symlink(_) => return fail(libc::ELOOP),
        _ => return fail(libc::EACCES),
    }
    may(k, cx.pid, id, EXEC)?;
    let is_it = |file: &crate::kernel::OpenFile| matches!(file.object, Object::Inode(of) if of == id);
    if k.files.values().any(|file| is_it(file) && file.writable()) {
        return fail(libc::ETXTBSY);
    }
    let fd = open_content(k, cx, id, false)?.into();
    let head = super::read_at(k, cx, id, 0, HEAD_BYTES)?;
    let inode = k.fs.inode(id);
    let (mode, owner) = (inode.mode, (inode.uid, inode.gid));
    // A write takes the capabilities away.
    let capable = k.fs.capable.contains(&id) && !matches!(inode.node, Node::Regular(Body::Private { .. }));
    Ok(Executable { inode: id, path: path_of(k, id), head, size: super::size(k, id), mode, capable, owner, fd })
}

/// memfd_create(2).
pub fn memfd(k: &mut Kernel, cx: &mut Ctx<'_, '_>, name: &[u8], sealable: bool) -> Result<FileId, Fail> {
    let file = nameless(k, cx.pid, &[b"memfd:", name].concat(), 0)?;
    let id = inode_of(k, file)?;
    k.fs.seals.insert(id, if sealable { 0 } else { seal::SEAL });
    Ok(file)
}

/// Memory that is a file: of this size, open for reading and writing, in no directory. What `/proc` calls it is no name to open it by.
pub fn nameless(k: &mut Kernel, pid: Pid, called: &[u8], size: u64) -> Result<FileId, Fail> {
    let number = k.fs.store.create()?;
    k.fs.store.truncate(number, size)?;
    let id = new_inode(k, pid, ROOT, Node::Regular(Body::Private { number, size }), 0o777);
    let inode = k.fs.inode_mut(id);
    inode.dev = super::stat::DEV_SHM;
    inode.place = Some((ROOT, called.to_vec()));
    Ok(k.open(Object::Inode(id), libc::O_RDWR))
}

/// fcntl F_ADD_SEALS.
pub fn add_seals(k: &mut Kernel, file: FileId, seals: u32) -> Result<(), Fail> {
    let id = inode_of(k, file)?;
    let Some(old) = k.fs.seals.get(&id).copied() else { return fail(libc::EINVAL) };
    if seals & !seal::ALL != 0 {
        return fail(libc::EINVAL);
    }
    if !k.file(file).writable() || old & seal::SEAL != 0 {
        return fail(libc::EPERM);
    }
    let mapped = k.memories.values().any(|m| m.shared.values().any(|&(_, object, _)| object == id.0));
    if seals & seal::WRITE != 0 && mapped {
        return fail(libc::EBUSY);
    }
    k.fs.seals.insert(id, old | seals);
    Ok(())
}

/// fcntl F_GET_SEALS.
pub fn get_seals(k: &Kernel, file: FileId) -> Result<u32, Fail> {
    let id = inode_of(k, file)?;
    k.fs.seals.get(&id).copied().ok_or(Fail::Errno(Errno(libc::EINVAL)))
}

/// The last holder of an open file is gone ([`crate::object::close`] of an inode).
pub fn close(k: &mut Kernel, cx: &mut Ctx<'_, '_>, file: FileId) -> Result<(), Fail> {
    let _ = cx;
    let Object::Inode(id) = k.file(file).object else { return Ok(()) };
    lock::drop_file(k, file, id);
    reap(k, id)
}
