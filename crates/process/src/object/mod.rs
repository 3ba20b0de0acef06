//! What descriptors stand for, and the operations that all of them share.
//!
//! Operations never block: one that would answers EAGAIN, and the call's handler decides (by O_NONBLOCK, MSG_DONTWAIT, a timeout) whether
//! the program sees that or the thread waits for [`id`]. Readiness is a function of the state ([`poll`]); whoever changes it
//! calls [`Kernel::notify`].

mod discipline;
pub mod epoll;
pub mod eventfd;
pub mod pipe;
pub mod pty;
pub mod signalfd;
pub mod stdio;
pub mod timerfd;

use crate::kernel::{Ctx, Fail, FileId, Kernel, ObjectId, Tid, fail};
use std::collections::BTreeMap;

/// One kind of thing a descriptor can stand for; the data lives in the tables of the owning module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A file, directory, device or /proc entry.
    Inode(crate::fs::InodeId),
    /// A socket.
    Socket(ObjectId),
    /// A standard stream of the supervisor.
    Stdio(ObjectId),
    /// One end of a pipe or FIFO.
    Pipe(ObjectId, pipe::End),
    /// One side of a pseudo terminal.
    Pty(ObjectId, pty::Side),
    /// An eventfd.
    Event(ObjectId),
    /// A timerfd.
    Timer(ObjectId),
    /// A signalfd.
    Signals(ObjectId),
    /// An epoll instance.
    Epoll(ObjectId),
}

/// Tables of the objects of this module.
#[derive(Debug, Default)]
pub struct Objects {
    /// Pipes and FIFOs.
    pub pipes: BTreeMap<ObjectId, pipe::Pipe>,
    /// Standard streams.
    pub stdio: BTreeMap<ObjectId, stdio::Stdio>,
    /// Pseudo terminals by their master.
    pub ptys: BTreeMap<ObjectId, pty::Pty>,
    /// Foreground groups of hung-up terminals by the session that had them, until its leader ends.
    pub hung_up: BTreeMap<crate::kernel::Pid, crate::kernel::Pid>,
    /// Eventfds.
    pub events: BTreeMap<ObjectId, eventfd::Event>,
    /// Timerfds.
    pub timers: BTreeMap<ObjectId, timerfd::Timer>,
    /// Signalfds.
    pub signals: BTreeMap<ObjectId, signalfd::Signals>,
    /// Epoll instances.
    pub epolls: BTreeMap<ObjectId, epoll::Epoll>,
    /// Which epoll instances watch an object.
    pub watchers: BTreeMap<ObjectId, Vec<ObjectId>>,
}

/// What to wait for if this file is not ready; `None` for files that always are.
pub fn id(k: &Kernel, file: FileId) -> Option<ObjectId> {
    match k.file(file).object {
        Object::Inode(_) => None,
        Object::Pty(id, side) => Some(pty::side_id(id, side)),
        Object::Socket(id)
        | Object::Stdio(id)
        | Object::Pipe(id, _)
        | Object::Event(id)
        | Object::Timer(id)
        | Object::Signals(id)
        | Object::Epoll(id) => Some(id),
    }
}

/// Reads at most `max` bytes, at `offset` or (None) at the file's own offset, which then moves on.
pub fn read(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    file: FileId,
    max: usize,
    offset: Option<u64>,
) -> Result<Vec<u8>, Fail> {
    let object = k.file(file).object.clone();
    if offset.is_some() && !matches!(object, Object::Inode(_)) {
        return fail(libc::ESPIPE);
    }
    match object {
        Object::Inode(inode) => match offset {
            Some(at) => crate::fs::read_at(k, cx, inode, at, max),
            None => crate::fs::read(k, cx, file, max),
        },
        Object::Socket(id) => socket_read(k, cx, id, max),
        Object::Stdio(id) => stdio::read(k, id, max),
        Object::Pipe(id, end) if end.reads() => pipe::read(k, id, max),
        Object::Pipe(..) => fail(libc::EBADF),
        Object::Pty(..) => pty::read(k, cx.tid, file, max),
        Object::Event(id) => eventfd::read(k, id, max),
        Object::Timer(id) => timerfd::read(k, id, max),
        Object::Signals(id) => signalfd::read(k, cx.tid, id, max),
        Object::Epoll(_) => fail(libc::EINVAL),
    }
}

/// Bytes of a stream that [`read`] has taken and the program could not store wait again, as the first ones. What else is read in one piece is gone then,
/// as on Linux.
pub fn put_back(k: &mut Kernel, file: FileId, bytes: Vec<u8>) {
    match k.file(file).object {
        Object::Pipe(id, _) => pipe::put_back(k, id, &bytes),
        Object::Stdio(id) => stdio::put_back(k, id, &bytes),
        _ => {}
    }
}

/// read(2) of a socket: descriptors that travel with the bytes are lost.
fn socket_read(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, max: usize) -> Result<Vec<u8>, Fail> {
    let message = crate::net::recv(k, id, max, false)?;
    for file in message.files {
        k.drop_file(cx, file)?;
    }
    Ok(message.bytes)
}

/// Writes bytes, at `offset` or (None) at the file's own offset or its end; answers how many.
pub fn write(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    file: FileId,
    bytes: &[u8],
    offset: Option<u64>,
) -> Result<usize, Fail> {
    let object = k.file(file).object.clone();
    if offset.is_some() && !matches!(object, Object::Inode(_)) {
        return fail(libc::ESPIPE);
    }
    match object {
        Object::Inode(_) => match offset {
            Some(at) => crate::fs::write_file_at(k, cx, file, at, bytes),
            None => crate::fs::write(k, cx, file, bytes),
        },
        Object::Socket(id) => crate::net::send(k, cx, id, bytes, None, &[], false),
        Object::Stdio(id) => stdio::write(k, cx, id, bytes),
        Object::Pipe(id, end) if end.writes() => pipe::write(k, cx.tid, id, bytes),
        Object::Pipe(..) => fail(libc::EBADF),
        Object::Pty(id, side) => pty::write(k, cx.tid, id, side, bytes),
        Object::Event(id) => eventfd::write(k, id, bytes),
        Object::Timer(_) | Object::Signals(_) | Object::Epoll(_) => fail(libc::EINVAL),
    }
}

/// EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP ... as they hold now. `tid` is who asks (a signalfd shows its reader's signals).
pub fn poll(k: &Kernel, tid: Tid, file: FileId) -> u32 {
    match k.file(file).object {
        Object::Inode(_) => (libc::EPOLLIN | libc::EPOLLOUT) as u32,
        Object::Socket(id) => crate::net::poll(k, id),
        Object::Stdio(id) => stdio::poll(k, tid, id),
        Object::Pipe(id, end) => pipe::poll(k, id, end),
        Object::Pty(id, side) => pty::poll(k, id, side),
        Object::Event(id) => eventfd::poll(k, id),
        Object::Timer(id) => timerfd::poll(k, id),
        Object::Signals(id) => signalfd::poll(k, tid, id),
        Object::Epoll(id) => epoll::poll(k, tid, id),
    }
}

/// The last holder is gone.
pub fn close(k: &mut Kernel, cx: &mut Ctx<'_, '_>, file: FileId) -> Result<(), Fail> {
    let object = k.file(file).object.clone();
    if let Some(id) = id(k, file) {
        epoll::forget_file(k, id, file);
    }
    match object {
        Object::Inode(_) => crate::fs::close(k, cx, file)?,
        Object::Socket(id) => crate::net::close(k, cx, id)?,
        Object::Stdio(_) => {}
        Object::Pipe(id, end) => pipe::close(k, id, end),
        Object::Pty(id, side) => pty::close(k, id, side)?,
        Object::Event(id) => drop(k.objects.events.remove(&id)),
        Object::Timer(id) => timerfd::close(k, id),
        Object::Signals(id) => drop(k.objects.signals.remove(&id)),
        Object::Epoll(id) => epoll::close(k, id),
    }
    Ok(())
}

/// A device request.
pub fn ioctl(k: &mut Kernel, cx: &mut Ctx<'_, '_>, file: FileId, request: u64, arg: u64) -> crate::syscalls::SysResult {
    /// Asks for the size of a file system's blocks; libc does not name it.
    const FIGETBSZ: u64 = 2;
    /// What `st_blksize` says, too.
    const BLOCK_BYTES: u32 = 4096;
    match k.file(file).object.clone() {
        Object::Pipe(id, _) if request == libc::FIONREAD => {
            let n = k.objects.pipes[&id].len() as u32;
            cx.write(arg, &n.to_le_bytes())?;
            crate::kernel::done(0)
        }
        Object::Socket(id) if request == libc::FIONREAD => {
            let socket = k.net.get(id);
            let n = if socket.kind == libc::SOCK_DGRAM { socket.queue.first_len() } else { socket.queue.bytes() };
            cx.write(arg, &(n as u32).to_le_bytes())?;
            crate::kernel::done(0)
        }
        Object::Socket(id) if request == libc::TIOCOUTQ => {
            let n = k.net.get(id).queued as u32;
            cx.write(arg, &n.to_le_bytes())?;
            crate::kernel::done(0)
        }
        Object::Inode(_) if request == FIGETBSZ => {
            cx.write(arg, &BLOCK_BYTES.to_le_bytes())?;
            crate::kernel::done(0)
        }
        // What is left up to the file's end, which may lie before.
        Object::Inode(id)
            if request == libc::FIONREAD && matches!(k.fs.inode(id).node, crate::fs::Node::Regular(_)) =>
        {
            let left = crate::fs::size(k, id).wrapping_sub(k.file(file).offset) as u32;
            cx.write(arg, &left.to_le_bytes())?;
            crate::kernel::done(0)
        }
        Object::Stdio(id) => stdio::ioctl(k, cx, id, request, arg),
        Object::Pty(id, side) => pty::ioctl(k, cx, id, side, request, arg),
        _ => fail(libc::ENOTTY),
    }
}

impl Objects {
    /// Everything that shapes the future.
    pub fn digest(&self, h: &mut gapless_log::Hasher) {
        for (id, pipe) in &self.pipes {
            h.number(id.0);
            pipe.digest(h);
        }
        for (id, stdio) in &self.stdio {
            h.number(id.0);
            stdio.digest(h);
        }
        for (id, pty) in &self.ptys {
            h.number(id.0);
            pty.digest(h);
        }
        for (session, group) in &self.hung_up {
            h.number(session.0 as u64);
            h.number(group.0 as u64);
        }
        for (id, event) in &self.events {
            h.number(id.0);
            h.number(event.count);
        }
        for (id, timer) in &self.timers {
            h.number(id.0);
            h.number(timer.due);
            h.number(timer.interval);
            h.number(timer.expirations);
        }
        for (id, signals) in &self.signals {
            h.number(id.0);
            h.number(signals.mask.0);
        }
        for (id, epoll) in &self.epolls {
            h.number(id.0);
            epoll.digest(h);
        }
    }
}
