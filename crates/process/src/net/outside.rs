//! What the world did to sockets: inputs applied between two events.

use super::{Addr, BACKLOG_MAX, Message, Peer, Socket, State};
use crate::kernel::{Kernel, ObjectId};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// A connection arrived at a listener.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Accepted {
    /// Where.
    pub listener: ObjectId,
    /// The number of its new socket.
    pub id: ObjectId,
    /// From where.
    pub peer: SocketAddr,
    /// To which of our addresses.
    pub local: SocketAddr,
}

/// A connect came to its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connected {
    /// Which socket.
    pub id: ObjectId,
    /// 0, or why it failed.
    pub error: i32,
    /// Our address, if it succeeded.
    pub local: Option<SocketAddr>,
}

/// A datagram arrived.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Datagram {
    /// At which socket.
    pub id: ObjectId,
    /// From where.
    pub from: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

/// Applies [`Accepted`].
pub fn accepted(k: &mut Kernel, input: Accepted) {
    k.last_id = k.last_id.max(input.id.0);
    let Some(listener) = k.net.sockets.get_mut(&input.listener) else { return };
    let State::Listening { pending, .. } = &mut listener.state else { return };
    if pending.len() >= BACKLOG_MAX {
        return;
    }
    pending.push_back(input.id);
    let mut socket = Socket::new(listener.domain, listener.kind, listener.protocol);
    socket.local = Some(Addr::Inet(input.local));
    socket.peer = Some(Addr::Inet(input.peer));
    socket.state = State::Connected(Peer::Outside);
    socket.options = listener.options.clone();
    k.net.sockets.insert(input.id, socket);
    k.notify(input.listener);
}

/// Bytes arrived on a stream; none means its end.
pub fn arrived(k: &mut Kernel, id: ObjectId, bytes: &[u8]) {
    let Some(socket) = k.net.sockets.get_mut(&id) else { return };
    if bytes.is_empty() {
        socket.ended = true;
    } else {
        socket.queue.push(Message { bytes: bytes.to_vec(), ..Message::default() });
    }
    k.notify(id);
}

/// The connection broke; or an earlier datagram could not be delivered.
pub fn closed(k: &mut Kernel, id: ObjectId, error: i32) {
    let Some(socket) = k.net.sockets.get_mut(&id) else { return };
    socket.error = error;
    if socket.is_connection() {
        // Whoever has seen the end and goes on sending is told that the pipe is broken.
        if socket.ended && error == libc::ECONNRESET {
            socket.error = libc::EPIPE;
        }
        socket.reset = true;
        socket.queued = 0;
        socket.state = State::Connected(Peer::Gone);
    }
    k.notify(id);
}

/// Applies [`Connected`].
pub fn connected(k: &mut Kernel, input: Connected) {
    let Some(socket) = k.net.sockets.get_mut(&input.id) else { return };
    if socket.state != State::Connecting {
        return;
    }
    if input.error == 0 {
        socket.state = State::Connected(Peer::Outside);
        socket.unannounced = true;
        socket.local = input.local.map(Addr::Inet).or(socket.local.take());
    } else {
        socket.error = input.error;
        socket.state = State::Idle;
    }
    k.notify(input.id);
}

/// Applies [`Datagram`].
pub fn datagram(k: &mut Kernel, input: Datagram) {
    let Some(socket) = k.net.sockets.get_mut(&input.id) else { return };
    // A full queue drops, as the network may.
    if socket.has_room() && !socket.shut_read {
        let from = Some(Addr::Inet(input.from));
        socket.queue.push(Message { bytes: input.bytes, from, ..Message::default() });
        k.notify(input.id);
    }
}

/// The network took bytes.
pub fn drained(k: &mut Kernel, id: ObjectId, n: u64) {
    let Some(socket) = k.net.sockets.get_mut(&id) else { return };
    socket.queued = socket.queued.saturating_sub(n);
    k.notify(id);
}
