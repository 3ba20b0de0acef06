//! Socket calls: arguments in and out, and when to wait. What they do is in [`crate::net`].

use super::{SysResult, fd};
use crate::kernel::{Ctx, Errno, Fail, FileId, Kernel, ObjectId, Outcome, Wait, done, fail};
use crate::net::{self, Addr, Message, State};
use crate::object::Object;

/// Longest socket address.
const ADDR_MAX: u64 = 128;
/// Descriptors in one SCM_RIGHTS message.
const RIGHTS_MAX: usize = 253;
/// Moved in one go.
const CHUNK_BYTES: usize = 1 << 20;
/// Linux moves no more than this in one call.
const RW_COUNT_MAX: usize = 0x7fff_f000;

fn socket_of(k: &Kernel, cx: &Ctx<'_, '_>, fd: u64) -> Result<(FileId, ObjectId), Fail> {
    let file = k.file_of(cx.pid, fd as i32)?;
    match k.file(file).object {
        Object::Socket(id) => Ok((file, id)),
        _ => fail(libc::ENOTSOCK),
    }
}

fn read_addr(cx: &mut Ctx<'_, '_>, addr: u64, len: u64) -> Result<Addr, Fail> {
    if len as i32 as u64 > ADDR_MAX {
        return fail(libc::EINVAL);
    }
    let raw = cx.read(addr, len as u32 as usize)?;
    Addr::parse(&raw)
}

/// Writes an address and its length as accept, getsockname and recvfrom do of this socket: cut to the buffer, the full length told.
fn write_addr(
    k: &Kernel,
    cx: &mut Ctx<'_, '_>,
    id: ObjectId,
    address: Option<&Addr>,
    addr: u64,
    len: u64,
) -> Result<(), Fail> {
    if addr == 0 || len == 0 {
        return Ok(());
    }
    let room = cx.read_u32(len)?;
    if room > i32::MAX as u32 {
        return fail(libc::EINVAL);
    }
    let raw = shown(k, id, address);
    cx.write(addr, &raw[..raw.len().min(room as usize)])?;
    cx.write(len, &(raw.len() as u32).to_le_bytes())
}

/// An address as this socket's owner sees it.
fn shown(k: &Kernel, id: ObjectId, address: Option<&Addr>) -> Vec<u8> {
    address.map(|address| address.shown_by(k.net.get(id).domain).bytes()).unwrap_or_default()
}

fn file_flags(flags: i32) -> i32 {
    libc::O_RDWR | flags & libc::SOCK_NONBLOCK
}

/// socket(2).
pub fn socket(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let flags = a[1] as i32 & (libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    let id = net::socket(k, a[0] as i32, a[1] as i32 & 0xf, a[2] as i32)?;
    let file = k.open(Object::Socket(id), file_flags(flags));
    let fds = fd::install_all(k, cx, &[file], flags & libc::SOCK_CLOEXEC != 0)?;
    done(fds[0])
}

/// socketpair(2).
pub fn socketpair(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let flags = a[1] as i32 & (libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    let kind = a[1] as i32 & 0xf;
    if a[0] as i32 != libc::AF_UNIX {
        return fail(libc::EOPNOTSUPP);
    }
    cx.write(a[3], &[0; 8])?;
    let one = net::socket(k, libc::AF_UNIX, kind, a[2] as i32)?;
    let other = net::socket(k, libc::AF_UNIX, kind, a[2] as i32)?;
    net::connect_pair(k, cx.pid, one, other);
    let files = [one, other].map(|id| k.open(Object::Socket(id), file_flags(flags)));
    let fds = fd::install_all(k, cx, &files, flags & libc::SOCK_CLOEXEC != 0)?;
    cx.write(a[3], &fds.iter().flat_map(|fd| fd.to_le_bytes()).collect::<Vec<u8>>())?;
    done(0)
}

/// bind(2).
pub fn bind(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (_, id) = socket_of(k, cx, a[0])?;
    let addr = read_addr(cx, a[1], a[2])?;
    net::bind(k, cx, id, addr)?;
    done(0)
}

/// listen(2).
pub fn listen(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (_, id) = socket_of(k, cx, a[0])?;
    net::listen(k, cx, id, a[1] as i32)?;
    done(0)
}

/// accept(2).
pub fn accept(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    accept4(k, cx, &[a[0], a[1], a[2], 0, 0, 0])
}

/// accept4(2).
pub fn accept4(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let flags = a[3] as i32;
    if flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != 0 {
        return fail(libc::EINVAL);
    }
    let (file, id) = socket_of(k, cx, a[0])?;
    // Without a free descriptor the connection stays in the queue.
    k.free_fd(cx.pid)?;
    let new = match net::accept(k, id) {
        Err(Fail::Errno(Errno(libc::EAGAIN))) => {
            return wait(k, cx, file, id, id, Patience { dont: false, option: libc::SO_RCVTIMEO });
        }
        other => other?,
    };
    let peer = net::peer_addr(k, new).ok();
    let accepted = k.open(Object::Socket(new), file_flags(flags));
    let fds = fd::install_all(k, cx, &[accepted], flags & libc::SOCK_CLOEXEC != 0)?;
    write_addr(k, cx, new, peer.as_ref(), a[1], a[2])?;
    done(fds[0])
}

/// How long a call on a socket waits.
#[derive(Clone, Copy)]
struct Patience {
    /// Not at all (MSG_DONTWAIT).
    dont: bool,
    /// As SO_RCVTIMEO or SO_SNDTIMEO says.
    option: i32,
}

/// Waits for `on`, on behalf of the socket `id`, unless the call or the socket must not; SO_RCVTIMEO and SO_SNDTIMEO end the wait
/// with EAGAIN.
fn wait(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    file: FileId,
    id: ObjectId,
    on: ObjectId,
    patience: Patience,
) -> SysResult {
    if patience.dont || k.file(file).nonblocking() {
        return fail(libc::EAGAIN);
    }
    let timeout = k.net.get(id).timeout(patience.option);
    let deadline = super::poll::deadline(k, cx, timeout)?;
    if deadline.is_some_and(|d| k.now >= d) {
        return fail(libc::EAGAIN);
    }
    Ok(Outcome::Block(Wait::object(on).until(deadline)))
}

/// connect(2).
pub fn connect(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (file, id) = socket_of(k, cx, a[0])?;
    if k.call(cx.tid).tries > 0 {
        // A blocking connect looks again.
        let socket = k.net.get_mut(id);
        match socket.state {
            State::Connecting => return wait_to_connect(k, cx, file, id, id),
            State::Connected(_) => {
                socket.unannounced = false;
                return done(0);
            }
            _ if socket.error != 0 => return fail(std::mem::take(&mut socket.error)),
            _ => {}
        }
    }
    // AF_UNSPEC dissolves a datagram socket's connection.
    if a[2] >= 2 && cx.read_array::<2>(a[1])? == [0, 0] {
        net::disconnect(k, cx, id)?;
        return done(0);
    }
    let addr = read_addr(cx, a[1], a[2])?;
    match net::connect(k, cx, id, addr.clone()) {
        Ok(()) => done(0),
        // Also when a signal has made the call start again.
        Err(Fail::Errno(Errno(libc::EALREADY))) if !k.file(file).nonblocking() => wait_to_connect(k, cx, file, id, id),
        Err(Fail::Errno(Errno(libc::EINPROGRESS))) => wait_to_connect(k, cx, file, id, id),
        // The listener's queue is full.
        Err(Fail::Errno(Errno(libc::EAGAIN))) if !k.file(file).nonblocking() => {
            let listener = net::named(k, cx, &addr)?;
            wait(k, cx, file, id, listener, Patience { dont: false, option: libc::SO_SNDTIMEO })
        }
        Err(e) => Err(e),
    }
}

/// A connection is under way: EINPROGRESS for those who do not wait, or not any longer.
fn wait_to_connect(k: &mut Kernel, cx: &mut Ctx<'_, '_>, file: FileId, id: ObjectId, on: ObjectId) -> SysResult {
    match wait(k, cx, file, id, on, Patience { dont: false, option: libc::SO_SNDTIMEO }) {
        Err(Fail::Errno(Errno(libc::EAGAIN))) => fail(libc::EINPROGRESS),
        other => other,
    }
}

/// getsockname(2).
pub fn getsockname(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (_, id) = socket_of(k, cx, a[0])?;
    write_addr(k, cx, id, Some(&net::local_addr(k, id)), a[1], a[2])?;
    done(0)
}

/// getpeername(2).
pub fn getpeername(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (_, id) = socket_of(k, cx, a[0])?;
    let peer = net::peer_addr(k, id)?;
    write_addr(k, cx, id, Some(&peer), a[1], a[2])?;
    done(0)
}

/// shutdown(2).
pub fn shutdown(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (_, id) = socket_of(k, cx, a[0])?;
    net::shutdown(k, cx, id, a[1] as i32)?;
    done(0)
}

/// setsockopt(2).
pub fn setsockopt(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (_, id) = socket_of(k, cx, a[0])?;
    let value = cx.read(a[3], (a[4] as u32).min(4096) as usize)?;
    let (level, name) = (a[1] as i32, a[2] as i32);
    net::set_option(k, id, level, name, &value)?;
    if let Some(world) = cx.io.world() {
        world.set_option(id, level, name, &value);
    }
    done(0)
}

/// getsockopt(2).
pub fn getsockopt(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (_, id) = socket_of(k, cx, a[0])?;
    let room = cx.read_u32(a[4])? as usize;
    let value = net::get_option(k, id, a[1] as i32, a[2] as i32)?;
    let n = value.len().min(room);
    cx.write(a[3], &value[..n])?;
    cx.write(a[4], &(n as u32).to_le_bytes())?;
    done(0)
}

/// What one send is asked to do.
struct Sending {
    iovecs: Vec<(u64, usize)>,
    to: Option<Addr>,
    files: Vec<FileId>,
    flags: i32,
}

/// read and readv of a socket.
pub fn read(k: &mut Kernel, cx: &mut Ctx<'_, '_>, fd: u64, iovecs: &[(u64, usize)]) -> SysResult {
    match receive(k, cx, fd, iovecs, 0)? {
        Ok((_, message, total)) => {
            drop_files(k, cx, &message, 0)?;
            done(total)
        }
        Err(outcome) => Ok(outcome),
    }
}

/// write and writev of a socket.
pub fn write(k: &mut Kernel, cx: &mut Ctx<'_, '_>, fd: u64, iovecs: Vec<(u64, usize)>) -> SysResult {
    send_all(k, cx, fd, &Sending { iovecs, to: None, files: Vec::new(), flags: 0 })
}

/// sendto(2).
pub fn sendto(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let to = if a[4] == 0 { None } else { Some(read_addr(cx, a[4], a[5])?) };
    let sending = Sending { iovecs: vec![(a[1], a[2] as usize)], to, files: Vec::new(), flags: a[3] as i32 };
    send_all(k, cx, a[0], &sending)
}

fn send_all(k: &mut Kernel, cx: &mut Ctx<'_, '_>, fd: u64, sending: &Sending) -> SysResult {
    let (file, id) = socket_of(k, cx, fd)?;
    if sending.flags & libc::MSG_OOB != 0 {
        return fail(libc::EOPNOTSUPP);
    }
    if sending.flags & libc::MSG_ZEROCOPY != 0 {
        return Err(fd::refuse("MSG_ZEROCOPY"));
    }
    let quiet = sending.flags & libc::MSG_NOSIGNAL != 0;
    let dont = sending.flags & libc::MSG_DONTWAIT != 0;
    let length = sending.iovecs.iter().fold(0usize, |n, v| n.saturating_add(v.1));
    let stream = k.net.get(id).kind == libc::SOCK_STREAM;
    if !stream && length > CHUNK_BYTES {
        return fail(libc::EMSGSIZE);
    }
    let length = length.min(RW_COUNT_MAX);
    let mut total = k.progress(cx.tid) as usize;
    loop {
        let bytes = match gather(cx, &sending.iovecs, total, CHUNK_BYTES.min(length - total)) {
            Err(Fail::Errno(_)) if total > 0 => return done(total),
            other => other?,
        };
        let files = if total == 0 { sending.files.as_slice() } else { &[] };
        match net::send(k, cx, id, &bytes, sending.to.clone(), files, quiet) {
            Ok(n) => total += n,
            Err(Fail::Errno(Errno(libc::EAGAIN))) => {
                k.set_progress(cx.tid, total as u64);
                let on = id_to_wait(k, cx, id, sending)?;
                return match wait(k, cx, file, id, on, Patience { dont, option: libc::SO_SNDTIMEO }) {
                    Err(Fail::Errno(Errno(libc::EAGAIN))) if total > 0 => done(total),
                    other => other,
                };
            }
            Err(Fail::Errno(_)) if total > 0 => return done(total),
            Err(e) => return Err(e),
        }
        if total >= length || !stream {
            return done(total);
        }
    }
}

/// Whom a sender waits for: room is in the receiver's queue when datagrams stay inside the group.
fn id_to_wait(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, sending: &Sending) -> Result<ObjectId, Fail> {
    let socket = k.net.get(id);
    if socket.is_connection() || socket.is_inet() {
        return Ok(id);
    }
    match (&sending.to, &socket.state) {
        (Some(name), _) => net::named(k, cx, name),
        (None, State::Connected(net::Peer::Inside(peer))) => Ok(*peer),
        _ => Ok(id),
    }
}

fn gather(cx: &mut Ctx<'_, '_>, iovecs: &[(u64, usize)], mut skip: usize, max: usize) -> Result<Vec<u8>, Fail> {
    let mut rest = Vec::new();
    for &(base, len) in iovecs {
        let gone = skip.min(len);
        skip -= gone;
        if gone < len {
            rest.push((base + gone as u64, len - gone));
        }
    }
    cx.gather(&rest, max)
}

/// struct msghdr.
struct Header {
    name: u64,
    name_len: u32,
    iovecs: Vec<(u64, usize)>,
    control: u64,
    control_len: usize,
}

fn read_header(cx: &mut Ctx<'_, '_>, addr: u64) -> Result<Header, Fail> {
    let raw: [u8; 56] = cx.read_array(addr)?;
    let word = |at: usize| u64::from_le_bytes(raw[at..at + 8].try_into().expect("8 bytes"));
    Ok(Header {
        name: word(0),
        name_len: word(8) as u32,
        iovecs: cx.read_iovecs(word(16), word(24))?,
        control: word(32),
        control_len: word(40).min(1 << 20) as usize,
    })
}

/// SCM_RIGHTS of a message that is sent; SCM_CREDENTIALS are checked by being ignored: the model knows who sends.
fn read_rights(k: &Kernel, cx: &mut Ctx<'_, '_>, header: &Header) -> Result<Vec<FileId>, Fail> {
    let mut files = Vec::new();
    if header.control == 0 || header.control_len < 16 {
        return Ok(files);
    }
    let raw = cx.read(header.control, header.control_len)?;
    let mut at = 0;
    while at + 16 <= raw.len() {
        let len = u64::from_le_bytes(raw[at..at + 8].try_into().expect("8 bytes")) as usize;
        let level = i32::from_le_bytes(raw[at + 8..at + 12].try_into().expect("4 bytes"));
        let kind = i32::from_le_bytes(raw[at + 12..at + 16].try_into().expect("4 bytes"));
        if len < 16 || len > raw.len() - at {
            return fail(libc::EINVAL);
        }
        if (level, kind) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            for fd in raw[at + 16..at + len].chunks_exact(4) {
                files.push(k.file_of(cx.pid, i32::from_le_bytes(fd.try_into().expect("4 bytes")))?);
            }
        }
        at += len.next_multiple_of(8);
    }
    if files.len() > RIGHTS_MAX { fail(libc::EINVAL) } else { Ok(files) }
}

/// sendmsg(2).
pub fn sendmsg(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    send_one(k, cx, a[0], a[1], a[2] as i32)
}

fn send_one(k: &mut Kernel, cx: &mut Ctx<'_, '_>, fd: u64, header: u64, flags: i32) -> SysResult {
    socket_of(k, cx, fd)?;
    let header = read_header(cx, header)?;
    let to = match header.name {
        0 => None,
        name if header.name_len > 0 => Some(read_addr(cx, name, u64::from(header.name_len))?),
        _ => None,
    };
    let files = read_rights(k, cx, &header)?;
    send_all(k, cx, fd, &Sending { iovecs: header.iovecs, to, files, flags })
}

/// sendmmsg(2): stops at the first that cannot be sent at once.
pub fn sendmmsg(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let mut sent = 0u64;
    for i in 0..a[2].min(1024) {
        let header = a[1] + 64 * i;
        match send_one(k, cx, a[0], header, a[3] as i32 | if sent > 0 { libc::MSG_DONTWAIT } else { 0 }) {
            Ok(Outcome::Done(n)) => cx.write(header + 56, &(n as u32).to_le_bytes())?,
            Ok(other) => return Ok(other),
            Err(Fail::Errno(_)) if sent > 0 => break,
            Err(e) => return Err(e),
        }
        k.set_progress(cx.tid, 0);
        sent += 1;
    }
    done(sent)
}

/// Receives into iovecs; `Err(outcome)` if the thread must wait.
fn receive(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    fd: u64,
    iovecs: &[(u64, usize)],
    flags: i32,
) -> Result<Result<(ObjectId, Message, usize), Outcome>, Fail> {
    let (file, id) = socket_of(k, cx, fd)?;
    if flags & libc::MSG_ERRQUEUE != 0 {
        return fail(libc::EAGAIN);
    }
    if flags & libc::MSG_OOB != 0 {
        return fail(libc::EINVAL);
    }
    let room = iovecs.iter().fold(0usize, |n, v| n.saturating_add(v.1)).min(RW_COUNT_MAX);
    let peek = flags & libc::MSG_PEEK != 0;
    let stream = k.net.get(id).kind == libc::SOCK_STREAM;
    let dont = flags & libc::MSG_DONTWAIT != 0;
    if room == 0 && stream {
        return Ok(Ok((id, Message::default(), 0)));
    }
    let waits_for_all = flags & libc::MSG_WAITALL != 0 && stream && !peek && !dont;
    // MSG_WAITALL: earlier tries have put their bytes in place already.
    let mut total = k.progress(cx.tid) as usize;
    loop {
        let message = match net::recv(k, id, room - total, peek) {
            Ok(message) => message,
            Err(Fail::Errno(Errno(libc::EAGAIN))) => {
                let over = k.net.get(id).receives_no_more();
                return match wait(k, cx, file, id, id, Patience { dont, option: libc::SO_RCVTIMEO }) {
                    Ok(_) if over => Ok(Ok((id, Message::default(), total))),
                    Ok(outcome) => Ok(Err(outcome)),
                    Err(_) if total > 0 => Ok(Ok((id, Message::default(), total))),
                    Err(e) => Err(e),
                };
            }
            // The next call is told.
            Err(Fail::Errno(Errno(error))) if total > 0 => {
                k.net.get_mut(id).error = error;
                return Ok(Ok((id, Message::default(), total)));
            }
            Err(e) => return Err(e),
        };
        let stored = cx.scatter(&skip(iovecs, total), &message.bytes);
        if let Err(e) = stored {
            // A message is gone then, as on Linux; the bytes of a stream are not.
            if stream && !peek {
                net::put_back(k, id, message);
            }
            return if total > 0 { Ok(Ok((id, Message::default(), total))) } else { Err(e) };
        }
        total += message.bytes.len();
        // Descriptors end it, wherever they come.
        if !waits_for_all || total >= room || message.bytes.is_empty() || !message.files.is_empty() {
            return Ok(Ok((id, message, total)));
        }
        k.set_progress(cx.tid, total as u64);
    }
}

/// What is left of iovecs behind their first `gone` bytes.
fn skip(iovecs: &[(u64, usize)], mut gone: usize) -> Vec<(u64, usize)> {
    let mut rest = Vec::new();
    for &(base, len) in iovecs {
        let now = gone.min(len);
        gone -= now;
        if now < len {
            rest.push((base + now as u64, len - now));
        }
    }
    rest
}

/// recvfrom(2).
pub fn recvfrom(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let flags = a[3] as i32;
    let (id, message, total) = match receive(k, cx, a[0], &[(a[1], a[2] as usize)], flags)? {
        Ok(received) => received,
        Err(outcome) => return Ok(outcome),
    };
    drop_files(k, cx, &message, flags)?;
    if a[4] != 0 {
        let from = if k.net.get(id).is_connection() { None } else { message.from.clone() };
        write_addr(k, cx, id, from.as_ref(), a[4], a[5])?;
    }
    let truncated = flags & libc::MSG_TRUNC != 0 && k.net.get(id).kind != libc::SOCK_STREAM;
    done(if truncated { message.full } else { total })
}

/// Descriptors that nobody asked for are lost.
fn drop_files(k: &mut Kernel, cx: &mut Ctx<'_, '_>, message: &Message, flags: i32) -> Result<(), Fail> {
    if flags & libc::MSG_PEEK == 0 {
        for &file in &message.files {
            k.drop_file(cx, file)?;
        }
    }
    Ok(())
}

/// recvmsg(2).
pub fn recvmsg(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    receive_one(k, cx, a[0], a[1], a[2] as i32)
}

fn receive_one(k: &mut Kernel, cx: &mut Ctx<'_, '_>, fd: u64, at: u64, flags: i32) -> SysResult {
    let header = read_header(cx, at)?;
    let (id, message, total) = match receive(k, cx, fd, &header.iovecs, flags)? {
        Ok(received) => received,
        Err(outcome) => return Ok(outcome),
    };
    let socket = k.net.get(id);
    let (kind, connection, wants_cred) =
        (socket.kind, socket.is_connection(), socket.int_option(libc::SOL_SOCKET, libc::SO_PASSCRED).unwrap_or(0) != 0);
    let mut out_flags = 0;
    if kind != libc::SOCK_STREAM && message.full > message.bytes.len() {
        out_flags |= libc::MSG_TRUNC;
    }
    if header.name != 0 {
        let raw = if connection { Vec::new() } else { shown(k, id, message.from.as_ref()) };
        cx.write(header.name, &raw[..raw.len().min(header.name_len as usize)])?;
        cx.write(at + 8, &(raw.len() as u32).to_le_bytes())?;
    }
    let mut control = Vec::new();
    if wants_cred {
        put_control(&mut control, libc::SCM_CREDENTIALS, &message.cred.bytes());
    }
    if !message.files.is_empty() && flags & libc::MSG_PEEK == 0 {
        let room = header.control_len.saturating_sub(control.len() + 16) / 4;
        let (give, lose) = message.files.split_at(room.min(message.files.len()));
        if !lose.is_empty() {
            out_flags |= libc::MSG_CTRUNC;
        }
        let mut fds = Vec::new();
        for &file in give {
            match k.install(cx.pid, file, flags & libc::MSG_CMSG_CLOEXEC != 0) {
                Ok(fd) => fds.extend_from_slice(&fd.to_le_bytes()),
                Err(_) => {
                    out_flags |= libc::MSG_CTRUNC;
                    k.drop_file(cx, file)?;
                }
            }
        }
        for &file in lose {
            k.drop_file(cx, file)?;
        }
        if !fds.is_empty() {
            put_control(&mut control, libc::SCM_RIGHTS, &fds);
        }
    }
    let fits = control.len().min(header.control_len);
    if header.control != 0 {
        cx.write(header.control, &control[..fits])?;
    }
    cx.write(at + 40, &(fits as u64).to_le_bytes())?;
    cx.write(at + 48, &out_flags.to_le_bytes())?;
    let truncated = flags & libc::MSG_TRUNC != 0 && kind != libc::SOCK_STREAM;
    done(if truncated { message.full } else { total })
}

/// Appends a control message, padded.
fn put_control(out: &mut Vec<u8>, kind: i32, data: &[u8]) {
    out.extend_from_slice(&(16 + data.len() as u64).to_le_bytes());
    out.extend_from_slice(&libc::SOL_SOCKET.to_le_bytes());
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(8), 0);
}

/// recvmmsg(2): waits for the first message only.
pub fn recvmmsg(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let flags = a[3] as i32 & !libc::MSG_WAITFORONE;
    let mut received = 0u64;
    for i in 0..a[2].min(1024) {
        let header = a[1] + 64 * i;
        match receive_one(k, cx, a[0], header, flags | if received > 0 { libc::MSG_DONTWAIT } else { 0 }) {
            Ok(Outcome::Done(n)) => cx.write(header + 56, &(n as u32).to_le_bytes())?,
            Ok(other) => return Ok(other),
            Err(Fail::Errno(_)) if received > 0 => break,
            Err(e) => return Err(e),
        }
        received += 1;
    }
    done(received)
}
