//! Sending: into another socket's queue, or to the outside by way of the outbox.

use super::connect::{loopback, named};
use super::name::{autobind, cred_of};
use super::{Addr, Message, Peer, RECEIVE_BYTES_MAX, SEND_BYTES_MAX, Socket, State, local_addr, reaches};
use crate::kernel::{Ctx, Fail, FileId, Kernel, ObjectId, encode, fail};
use crate::world::Output;
use gapless_log::Channel;
use std::net::SocketAddr;

/// Largest datagram of UDP.
const DATAGRAM_BYTES_MAX: usize = 65507;
/// Largest message of a Unix socket: what fits into its send buffer (net.core.wmem_default).
const MESSAGE_BYTES_MAX: usize = 212_960;
/// Messages that a Unix datagram socket holds before its senders wait (net.unix.max_dgram_qlen, and as many as fit between a pair).
const MESSAGES_MAX: usize = 10;
const PAIR_MESSAGES_MAX: usize = 277;

/// Sends: on a stream as much as there is room for, else one whole message.
pub fn send(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    id: ObjectId,
    bytes: &[u8],
    to: Option<Addr>,
    files: &[FileId],
    quiet: bool,
) -> Result<usize, Fail> {
    if !files.is_empty() && k.net.get(id).is_inet() {
        return fail(libc::EINVAL);
    }
    match k.net.get(id).is_connection() {
        true => send_connected(k, cx, id, bytes, to, files, quiet),
        false => send_datagram(k, cx, id, bytes, to, files),
    }
}

fn send_connected(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    id: ObjectId,
    bytes: &[u8],
    to: Option<Addr>,
    files: &[FileId],
    quiet: bool,
) -> Result<usize, Fail> {
    let s = k.net.get_mut(id);
    if s.kind == libc::SOCK_SEQPACKET && s.error != 0 {
        return fail(std::mem::take(&mut s.error));
    }
    let peer = match s.state {
        State::Connected(peer) => peer,
        State::Connecting => return fail(libc::EAGAIN),
        _ if !s.is_inet() => return fail(if to.is_some() { libc::EOPNOTSUPP } else { libc::ENOTCONN }),
        _ => return broken(k, cx, id, quiet),
    };
    if to.is_some() && !s.is_inet() && s.kind == libc::SOCK_STREAM {
        return fail(libc::EISCONN);
    }
    if s.sends_no_more() || s.is_inet() && s.error != 0 {
        return broken(k, cx, id, quiet);
    }
    if s.kind != libc::SOCK_STREAM && bytes.len() > MESSAGE_BYTES_MAX {
        return fail(libc::EMSGSIZE);
    }
    match peer {
        Peer::Inside(peer) => send_inside(k, cx, id, peer, bytes, files),
        Peer::Outside => send_outside(k, cx, id, bytes),
        // TCP finds out by sending: the other side answers with a reset.
        Peer::Gone if bytes.is_empty() => Ok(0),
        Peer::Gone => {
            (s.reset, s.error) = (true, libc::EPIPE);
            k.notify(id);
            Ok(bytes.len())
        }
    }
}

/// The connection is broken: its error if it has one that was not told, else EPIPE and, unless suppressed, SIGPIPE.
fn broken(k: &mut Kernel, cx: &Ctx<'_, '_>, id: ObjectId, quiet: bool) -> Result<usize, Fail> {
    let s = k.net.get_mut(id);
    let error = if s.is_inet() { std::mem::take(&mut s.error) } else { 0 };
    if error != 0 && error != libc::EPIPE {
        return fail(error);
    }
    if !quiet {
        crate::signal::broken_pipe(k, cx.tid);
    }
    fail(libc::EPIPE)
}

fn send_inside(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    id: ObjectId,
    peer: ObjectId,
    bytes: &[u8],
    files: &[FileId],
) -> Result<usize, Fail> {
    let to = k.net.get(peer);
    if to.is_inet() && to.shut_read && to.shut_write && !bytes.is_empty() {
        // Nobody will ever read it: TCP breaks the connection.
        let to = k.net.get_mut(peer);
        (to.reset, to.error, to.state) = (true, libc::ECONNRESET, State::Connected(Peer::Gone));
        let s = k.net.get_mut(id);
        (s.reset, s.error, s.state) = (true, libc::EPIPE, State::Connected(Peer::Gone));
        k.notify(peer);
        k.notify(id);
        return Ok(bytes.len());
    }
    let room = RECEIVE_BYTES_MAX.saturating_sub(to.queue.bytes());
    if to.kind == libc::SOCK_STREAM {
        if bytes.is_empty() {
            return Ok(0);
        }
        if room == 0 {
            return fail(libc::EAGAIN);
        }
        let n = room.min(bytes.len());
        push(k, cx, id, peer, &bytes[..n], files);
        return Ok(n);
    }
    if room < bytes.len() || to.queue.messages() >= PAIR_MESSAGES_MAX {
        return fail(libc::EAGAIN);
    }
    push(k, cx, id, peer, bytes, files);
    Ok(bytes.len())
}

fn push(k: &mut Kernel, cx: &Ctx<'_, '_>, id: ObjectId, peer: ObjectId, bytes: &[u8], files: &[FileId]) {
    for &file in files {
        k.hold(file);
    }
    let from = if k.net.get(id).is_connection() { None } else { Some(local_addr(k, id)) };
    let message = Message { bytes: bytes.to_vec(), from, files: files.to_vec(), cred: cred_of(k, cx.pid), full: 0 };
    k.net.get_mut(peer).queue.push(message);
    k.notify(peer);
}

fn send_outside(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, bytes: &[u8]) -> Result<usize, Fail> {
    let s = k.net.get_mut(id);
    let n = SEND_BYTES_MAX.saturating_sub(s.queued).min(bytes.len() as u64) as usize;
    if n == 0 && !bytes.is_empty() {
        return fail(libc::EAGAIN);
    }
    s.queued += n as u64;
    if n > 0 {
        cx.io.say_bytes(Channel(id.0), &bytes[..n]);
    }
    Ok(n)
}

fn send_datagram(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    id: ObjectId,
    bytes: &[u8],
    to: Option<Addr>,
    files: &[FileId],
) -> Result<usize, Fail> {
    let s = k.net.get_mut(id);
    if s.error != 0 {
        return fail(std::mem::take(&mut s.error));
    }
    if s.shut_write {
        return fail(libc::EPIPE);
    }
    if bytes.len() > if s.is_inet() { DATAGRAM_BYTES_MAX } else { MESSAGE_BYTES_MAX } {
        return fail(libc::EMSGSIZE);
    }
    if s.is_inet() {
        let target = match to {
            Some(Addr::Inet(target)) => Some(target),
            Some(_) => return fail(libc::EAFNOSUPPORT),
            None => s.peer.as_ref().and_then(Addr::inet),
        };
        return match target {
            Some(target) => send_udp(k, cx, id, target, bytes),
            None => fail(libc::EDESTADDRREQ),
        };
    }
    let peer = match (to, s.state.clone()) {
        (Some(name), _) => named(k, cx, &name)?,
        (None, State::Connected(Peer::Inside(peer))) if k.net.sockets.contains_key(&peer) => peer,
        (None, State::Connected(Peer::Inside(_))) => {
            // The first to find out is told so; from then on there is no peer.
            let s = k.net.get_mut(id);
            (s.state, s.peer) = (State::Idle, None);
            for file in s.queue.take_files() {
                k.drop_file(cx, file)?;
            }
            return fail(libc::ECONNREFUSED);
        }
        (None, State::Connected(_)) => return fail(libc::ECONNREFUSED),
        (None, _) => return fail(libc::ENOTCONN),
    };
    send_message(k, cx, id, peer, bytes, files)
}

/// A Unix datagram.
fn send_message(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    id: ObjectId,
    peer: ObjectId,
    bytes: &[u8],
    files: &[FileId],
) -> Result<usize, Fail> {
    let Some(to) = k.net.sockets.get(&peer) else { return fail(libc::ECONNREFUSED) };
    if to.kind != k.net.get(id).kind {
        return fail(libc::EPROTOTYPE);
    }
    match to.state {
        // It hears its own peer only.
        State::Connected(Peer::Inside(other)) if other != id => return fail(libc::EPERM),
        _ if to.shut_read => return fail(libc::EPIPE),
        _ => {}
    }
    if crowded(to, id) || to.queue.bytes() + bytes.len() > RECEIVE_BYTES_MAX {
        return fail(libc::EAGAIN);
    }
    push(k, cx, id, peer, bytes, files);
    Ok(bytes.len())
}

/// Has no room for another message of `from`.
fn crowded(to: &Socket, from: ObjectId) -> bool {
    let pair = to.state == State::Connected(Peer::Inside(from));
    to.queue.messages() >= if pair { PAIR_MESSAGES_MAX } else { MESSAGES_MAX + 1 }
}

/// Had no room for another message before the last one was taken.
pub(super) fn was_crowded(to: &Socket) -> bool {
    matches!(to.queue.messages() + 1, PAIR_MESSAGES_MAX) || to.queue.messages() == MESSAGES_MAX
}

fn send_udp(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    id: ObjectId,
    target: SocketAddr,
    bytes: &[u8],
) -> Result<usize, Fail> {
    if k.net.get(id).domain == libc::AF_INET && target.is_ipv6() {
        return fail(libc::EAFNOSUPPORT);
    }
    if target.port() == 0 {
        return fail(libc::EINVAL);
    }
    autobind(k, cx, id)?;
    let hears = |s: &Socket| {
        s.is_inet()
            && !s.is_connection()
            && s.local.as_ref().and_then(Addr::inet).is_some_and(|local| reaches(local, target))
    };
    let inside = k.net.sockets.iter().find(|(_, s)| hears(s)).map(|(&id, _)| id);
    let Some(peer) = inside else {
        cx.io.say(Channel(id.0), &Output::Datagram(encode(&target), bytes.to_vec()));
        return Ok(bytes.len());
    };
    let mut from = k.net.get(id).local.as_ref().and_then(Addr::inet).expect("bound above");
    if from.ip().is_unspecified() {
        from.set_ip(if target.ip().is_unspecified() { loopback(target) } else { target.ip() });
    }
    let wanted = k.net.get(peer).peer.as_ref().and_then(Addr::inet);
    let to = k.net.get_mut(peer);
    // A connected socket hears its peer only; a full queue drops.
    if to.has_room() && !to.shut_read && wanted.is_none_or(|w| w.port() == from.port()) {
        let from = Some(Addr::Inet(from));
        to.queue.push(Message { bytes: bytes.to_vec(), from, ..Message::default() });
        k.notify(peer);
    }
    Ok(bytes.len())
}

/// Is there room to send? As poll reports it.
pub(super) fn has_room_to_send(k: &Kernel, id: ObjectId, s: &Socket) -> bool {
    match s.state {
        State::Connected(Peer::Outside) => s.queued < SEND_BYTES_MAX / 2,
        State::Connected(Peer::Inside(peer)) => match k.net.sockets.get(&peer) {
            Some(to) if s.is_connection() => to.queue.bytes() < RECEIVE_BYTES_MAX / 2,
            Some(to) => !crowded(to, id) && to.queue.bytes() < RECEIVE_BYTES_MAX / 2,
            None => true,
        },
        _ => true,
    }
}
