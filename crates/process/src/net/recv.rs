//! Receiving: what has arrived, in the order of Linux's own checks.

use super::{Message, Peer, RECEIVE_BYTES_MAX, State};
use crate::kernel::{Fail, Kernel, Key, ObjectId, fail};

/// Receives: bytes of a stream (none at its end) or one message.
pub fn recv(k: &mut Kernel, id: ObjectId, max: usize, peek: bool) -> Result<Message, Fail> {
    let s = k.net.get_mut(id);
    if s.is_connection() {
        match s.state {
            State::Listening { .. } | State::Idle if s.is_inet() && s.error == 0 => return fail(libc::ENOTCONN),
            State::Listening { .. } | State::Idle if !s.is_inet() => return fail(libc::EINVAL),
            _ => {}
        }
    }
    // A stream gives what came before an error; and after its end TCP has no errors for readers.
    let told = s.kind == libc::SOCK_STREAM && (!s.queue.is_empty() || s.is_inet() && s.ended);
    if s.error != 0 && !told {
        return fail(std::mem::take(&mut s.error));
    }
    let before = s.queue.bytes();
    let message = match s.kind {
        libc::SOCK_STREAM if !s.queue.is_empty() => Some(s.queue.read_stream(max, peek)),
        libc::SOCK_STREAM => None,
        _ => s.queue.read_message(max, peek),
    };
    let Some(message) = message else {
        // A datagram socket that is shut only ends the wait of those who wait.
        return if s.receives_no_more() && s.is_connection() { Ok(Message::default()) } else { fail(libc::EAGAIN) };
    };
    if !peek {
        tell_senders(k, id, before);
    }
    Ok(message)
}

/// What was received of a stream, and could not be stored, waits again.
pub fn put_back(k: &mut Kernel, id: ObjectId, message: Message) {
    k.net.get_mut(id).queue.put_back(message);
    k.notify(id);
}

/// There is room again in a queue that held `before` bytes: senders of the group hear of it when it is worth their while.
fn tell_senders(k: &mut Kernel, id: ObjectId, before: usize) {
    let s = k.net.get(id);
    let now = s.queue.bytes();
    let crossed = before >= RECEIVE_BYTES_MAX / 2 && now < RECEIVE_BYTES_MAX / 2;
    match s.state {
        State::Connected(Peer::Inside(peer)) if s.is_connection() => {
            let somebody_waits = k.waiters.contains_key(&Key::Object(peer));
            let was_full = before > RECEIVE_BYTES_MAX / 2 || s.kind != libc::SOCK_STREAM;
            if crossed || somebody_waits && was_full {
                k.notify(peer);
            }
        }
        // Anybody may send datagrams: whoever waits for room waits for the receiver.
        _ if !s.is_inet() => {
            let news = crossed || super::send::was_crowded(s);
            k.wake(Key::Object(id));
            let sends_here = State::Connected(Peer::Inside(id));
            let senders: Vec<ObjectId> = match news {
                true => k.net.sockets.iter().filter(|(_, o)| o.state == sends_here).map(|(&i, _)| i).collect(),
                false => Vec::new(),
            };
            for sender in senders {
                k.notify(sender);
            }
        }
        _ => {}
    }
}
