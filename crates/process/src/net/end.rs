//! Ends: shutdown and close, and what the other side sees of them.

use super::{Addr, Peer, Socket, State};
use crate::kernel::{Ctx, Fail, Kernel, ObjectId, fail};
use crate::world::Output;
use gapless_log::Channel;

/// shutdown(2).
pub fn shutdown(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, how: i32) -> Result<(), Fail> {
    let (read, write) = match how {
        libc::SHUT_RD => (true, false),
        libc::SHUT_WR => (false, true),
        libc::SHUT_RDWR => (true, true),
        _ => return fail(libc::EINVAL),
    };
    let s = k.net.get_mut(id);
    let peer = match s.state {
        // TCP has no connection any more when both directions have ended.
        State::Connected(_) if s.is_inet() && (s.reset || s.ended && s.shut_write) => return fail(libc::ENOTCONN),
        State::Connected(peer) => peer,
        State::Listening { .. } if read => return stop_listening(k, cx, id),
        State::Listening { .. } => return Ok(()),
        // A Unix socket need not be connected.
        _ if !s.is_inet() => Peer::Gone,
        _ => return fail(libc::ENOTCONN),
    };
    let say = write && !s.shut_write && s.is_connection() && peer == Peer::Outside;
    let (connection, unix) = (s.is_connection(), !s.is_inet());
    s.shut_read |= read;
    s.shut_write |= write;
    if say {
        cx.io.say(Channel(id.0), &Output::Shutdown);
    }
    if let Peer::Inside(other) = peer
        && connection
        && let Some(o) = k.net.sockets.get_mut(&other)
    {
        o.ended |= write;
        // Only a Unix socket learns that nobody reads any more.
        o.shut_write |= read && unix;
        k.notify(other);
    }
    k.notify(id);
    Ok(())
}

/// shutdown of a listener: it stops listening; whoever waits in accept is told EINVAL.
fn stop_listening(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId) -> Result<(), Fail> {
    refuse_pending(k, cx, id)?;
    if k.net.get(id).is_inet() {
        cx.io.say(Channel(id.0), &Output::Close);
        if let Some(world) = cx.io.world() {
            world.close_early(id, false);
        }
    }
    k.net.get_mut(id).state = State::Idle;
    k.notify(id);
    Ok(())
}

/// Connections that wait to be accepted are reset.
fn refuse_pending(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId) -> Result<(), Fail> {
    let Some(Socket { state: State::Listening { pending, .. }, .. }) = k.net.sockets.get_mut(&id) else {
        return Ok(());
    };
    for waiting in std::mem::take(pending) {
        end(k, cx, waiting, true)?;
    }
    Ok(())
}

/// The last holder of a socket is gone.
pub fn close(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId) -> Result<(), Fail> {
    refuse_pending(k, cx, id)?;
    let lingers_not = |s: &Socket| {
        s.options.get(&(libc::SOL_SOCKET, libc::SO_LINGER)).is_some_and(|v| v[..] == [1, 0, 0, 0, 0, 0, 0, 0])
    };
    let hard = k.net.sockets.get(&id).is_some_and(|s| s.is_inet() && lingers_not(s));
    end(k, cx, id, hard)
}

/// `hard`: the other side is to see a reset.
fn end(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, hard: bool) -> Result<(), Fail> {
    let Some(mut s) = k.net.sockets.remove(&id) else { return Ok(()) };
    // Linux does not count an empty message at the head.
    let unread = s.queue.bytes() > 0 || s.queue.messages() > 1;
    for file in s.queue.take_files() {
        k.drop_file(cx, file)?;
    }
    if let Some(Addr::Abstract(name)) = &s.local
        && k.net.abstract_names.get(name) == Some(&id)
    {
        k.net.abstract_names.remove(name);
    }
    if let Some(inode) = s.inode {
        crate::fs::unbind_socket(k, inode);
    }
    say_close(cx, id, &s, hard);
    if let State::Connected(Peer::Inside(other)) = s.state
        && s.is_connection()
        && let Some(o) = k.net.sockets.get_mut(&other)
    {
        o.state = State::Connected(Peer::Gone);
        // A connection whose two directions have ended hears no reset.
        let over = o.is_inet() && o.ended && o.shut_write;
        if (hard || unread) && !over {
            // Whoever has seen the end of TCP learns that the pipe is broken.
            o.error = if o.is_inet() && o.ended { libc::EPIPE } else { libc::ECONNRESET };
        }
        o.ended |= !(hard || unread) || !o.is_inet();
        // A Unix socket cannot send from now on; TCP only learns of a reset.
        o.reset |= hard || unread || !o.is_inet();
        k.notify(other);
    }
    // Whoever waits for room here.
    k.notify(id);
    Ok(())
}

fn say_close(cx: &mut Ctx<'_, '_>, id: ObjectId, s: &Socket, hard: bool) {
    let real = s.is_inet()
        && match s.state {
            State::Connected(Peer::Inside(_) | Peer::Gone) => false,
            State::Idle => s.local.is_some(),
            State::Listening { .. } | State::Connecting | State::Connected(Peer::Outside) => true,
        };
    if !real {
        return;
    }
    let reset = hard && s.state == State::Connected(Peer::Outside) && s.is_connection();
    cx.io.say(Channel(id.0), &if reset { Output::Reset } else { Output::Close });
    let waiting = cx.io.outbox().waiting().any(|o| o.channel.0 == id.0 && o.bytes.len() > 1);
    if let Some(world) = cx.io.world() {
        world.close_early(id, waiting);
    }
}
