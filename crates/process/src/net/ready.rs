//! Readiness, bit by bit as Linux reports it (tcp_poll, datagram_poll, unix_poll).

use super::send::has_room_to_send;
use super::{Peer, Socket, State};
use crate::kernel::{Kernel, ObjectId};

/// EPOLLIN, EPOLLOUT ... of a socket.
pub fn poll(k: &Kernel, id: ObjectId) -> u32 {
    let s = k.net.get(id);
    let mut bits = 0;
    if s.error != 0 {
        bits |= libc::EPOLLERR;
    }
    match &s.state {
        State::Listening { pending, .. } => {
            if !pending.is_empty() {
                bits |= libc::EPOLLIN | libc::EPOLLRDNORM;
            }
            return bits as u32;
        }
        State::Connecting => return bits as u32,
        State::Idle if s.is_connection() => {
            bits |= libc::EPOLLHUP;
            // A connect that failed has ended both directions.
            if s.peer.is_some() {
                bits |= libc::EPOLLIN | libc::EPOLLRDNORM | libc::EPOLLRDHUP;
            }
        }
        _ => {}
    }
    if !s.queue.is_empty() {
        bits |= libc::EPOLLIN | libc::EPOLLRDNORM;
    }
    if s.receives_no_more() {
        bits |= libc::EPOLLIN | libc::EPOLLRDNORM | libc::EPOLLRDHUP;
        let gone = s.state == State::Connected(Peer::Gone) && !s.is_inet();
        if s.sends_no_more() || gone {
            bits |= libc::EPOLLHUP;
        }
    }
    if s.is_inet() && s.sends_no_more() || has_room_to_send(k, id, s) {
        bits |= libc::EPOLLOUT | libc::EPOLLWRNORM;
    }
    bits as u32
}

/// What will happen on a connection to the outside until the next input, whatever else does.
pub struct Certain<'a> {
    /// All that waits to be read; `None` if reading may come to something else than these bytes and then "nothing yet".
    pub waiting: Option<std::borrow::Cow<'a, [u8]>>,
    /// Bytes that can be sent.
    pub room: u32,
}

/// The same for a healthy stream to the outside with at most `max` bytes waiting; for all else nothing is certain.
pub fn certain(k: &Kernel, id: ObjectId, max: usize) -> Option<Certain<'_>> {
    let s = k.net.sockets.get(&id).filter(|s| is_healthy(s))?;
    let waiting = if s.receives_no_more() { None } else { s.queue.all_bytes(max) };
    let room = super::SEND_BYTES_MAX.saturating_sub(s.queued);
    Some(Certain { waiting, room: u32::try_from(room).unwrap_or(u32::MAX) })
}

/// A stream to the outside on which nothing has to be told.
fn is_healthy(s: &Socket) -> bool {
    s.kind == libc::SOCK_STREAM
        && s.state == State::Connected(Peer::Outside)
        && s.error == 0
        && !s.unannounced
        && !s.sends_no_more()
}

/// So many bytes of what was certain to wait have been read; false if there were none to be certain of. A stream to the outside has no sender in the
/// group that could wait for their room.
pub fn skip(k: &mut Kernel, id: ObjectId, bytes: usize) -> bool {
    k.net.sockets.get_mut(&id).is_some_and(|s| is_healthy(s) && !s.receives_no_more() && s.queue.skip(bytes))
}
