//! Joining sockets: connect and accept, inside the group and with the world.

use super::name::{Bound, autobind, cred_of};
use super::{Addr, BACKLOG_MAX, Net, Peer, Socket, State, reaches};
use crate::kernel::{Ctx, Fail, Kernel, ObjectId, encode, fail, input};
use crate::world::Output;
use gapless_log::Channel;
use std::net::SocketAddr;

/// accept(2): the socket of the oldest connection that waits.
pub fn accept(k: &mut Kernel, id: ObjectId) -> Result<ObjectId, Fail> {
    let s = k.net.get_mut(id);
    if !s.is_connection() {
        return fail(libc::EOPNOTSUPP);
    }
    let inet = s.is_inet();
    let State::Listening { pending, .. } = &mut s.state else { return fail(libc::EINVAL) };
    let Some(new) = pending.pop_front() else { return fail(libc::EAGAIN) };
    if !inet {
        // Whoever found the queue full and waits for it.
        k.wake(crate::kernel::Key::Object(id));
    }
    Ok(new)
}

/// connect(2). To a listener of the group it is done at once; to the outside it answers EINPROGRESS and CONNECTED follows.
pub fn connect(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, addr: Addr) -> Result<(), Fail> {
    let s = k.net.get_mut(id);
    match &s.state {
        State::Connecting => return fail(libc::EALREADY),
        State::Connected(_) if std::mem::take(&mut s.unannounced) => return Ok(()),
        State::Connected(_) if s.is_connection() => return fail(libc::EISCONN),
        State::Listening { .. } => return fail(if s.is_inet() { libc::EISCONN } else { libc::EINVAL }),
        _ => {}
    }
    if s.error != 0 {
        return fail(std::mem::take(&mut s.error));
    }
    match addr {
        Addr::Inet(target) => {
            if !s.is_inet() {
                return fail(libc::EINVAL);
            }
            if s.domain == libc::AF_INET && target.is_ipv6() {
                return fail(libc::EAFNOSUPPORT);
            }
            if s.is_connection() { connect_tcp(k, cx, id, target) } else { connect_udp(k, cx, id, target) }
        }
        _ if s.is_inet() => fail(libc::EAFNOSUPPORT),
        Addr::Unnamed => fail(libc::EINVAL),
        name => {
            let listener = named(k, cx, &name)?;
            connect_unix(k, cx, id, listener, name)
        }
    }
}

/// The socket of the group that has a Unix name.
pub fn named(k: &mut Kernel, cx: &mut Ctx<'_, '_>, name: &Addr) -> Result<ObjectId, Fail> {
    let id = match name {
        Addr::Path(path) => Some(crate::fs::lookup_socket(k, cx, path)?),
        Addr::Abstract(name) => k.net.abstract_names.get(name).copied(),
        Addr::Inet(_) | Addr::Unnamed => return fail(libc::EINVAL),
    };
    match id.filter(|id| k.net.sockets.contains_key(id)) {
        Some(id) => Ok(id),
        None => fail(libc::ECONNREFUSED),
    }
}

/// The group's own listener that a connection to `target` reaches.
fn inside_listener(net: &Net, target: SocketAddr) -> Option<ObjectId> {
    let hears = |s: &Socket| {
        matches!(s.state, State::Listening { .. })
            && s.local.as_ref().and_then(Addr::inet).is_some_and(|local| reaches(local, target))
    };
    net.sockets.iter().find(|(_, s)| s.is_inet() && hears(s)).map(|(&id, _)| id)
}

fn connect_tcp(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, target: SocketAddr) -> Result<(), Fail> {
    if let Some(listener) = inside_listener(&k.net, target) {
        let ip = if target.ip().is_unspecified() { loopback(target) } else { target.ip() };
        let local = match k.net.get(id).local.as_ref().and_then(Addr::inet) {
            Some(local) => SocketAddr::new(if local.ip().is_unspecified() { ip } else { local.ip() }, local.port()),
            None => SocketAddr::new(ip, k.net.ephemeral()),
        };
        let target = SocketAddr::new(ip, target.port());
        connect_inside(k, cx, id, listener, Addr::Inet(target), Addr::Inet(local))?;
        k.net.get_mut(id).local = Some(Addr::Inet(local));
        return Ok(());
    }
    let s = k.net.get_mut(id);
    s.state = State::Connecting;
    s.peer = Some(Addr::Inet(target));
    cx.io.say(Channel(id.0), &Output::Connect(encode(&target)));
    fail(libc::EINPROGRESS)
}

pub(super) fn loopback(target: SocketAddr) -> std::net::IpAddr {
    if target.is_ipv4() { std::net::Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() }
}

fn connect_udp(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, target: SocketAddr) -> Result<(), Fail> {
    autobind(k, cx, id)?;
    // The host picks the address that it will send from; nothing is sent by that.
    let local: Bound = cx.io.value(k.position, input::BOUND, |world| world.connect_datagram(id, Some(target)))?;
    match local {
        Ok(local) => {
            let s = k.net.get_mut(id);
            (s.local, s.peer) = (Some(Addr::Inet(local)), Some(Addr::Inet(target)));
            s.state = State::Connected(Peer::Outside);
            Ok(())
        }
        Err(errno) => fail(errno),
    }
}

/// connect(2) with AF_UNSPEC: a datagram socket forgets its peer.
pub fn disconnect(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId) -> Result<(), Fail> {
    let s = k.net.get(id);
    if s.is_connection() {
        return fail(libc::EINVAL);
    }
    let mut local = s.local.clone();
    if s.is_inet() && s.local.is_some() {
        let bound: Bound = cx.io.value(k.position, input::BOUND, |world| world.connect_datagram(id, None))?;
        local = bound.ok().map(Addr::Inet).or(local);
    }
    let s = k.net.get_mut(id);
    (s.state, s.peer, s.local) = (State::Idle, None, local);
    Ok(())
}

fn connect_unix(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    id: ObjectId,
    listener: ObjectId,
    name: Addr,
) -> Result<(), Fail> {
    let s = k.net.get(id);
    if s.kind != k.net.get(listener).kind {
        return fail(libc::EPROTOTYPE);
    }
    if !s.is_connection() {
        let s = k.net.get_mut(id);
        (s.state, s.peer) = (State::Connected(Peer::Inside(listener)), Some(name));
        return Ok(());
    }
    let local = s.local.clone().unwrap_or(Addr::Unnamed);
    connect_inside(k, cx, id, listener, name, local)
}

/// Joins a connecting socket with a new one in the listener's queue.
fn connect_inside(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    id: ObjectId,
    listener: ObjectId,
    target: Addr,
    local: Addr,
) -> Result<(), Fail> {
    let cred = cred_of(k, cx.pid);
    let l = k.net.get(listener);
    let State::Listening { backlog, pending } = &l.state else { return fail(libc::ECONNREFUSED) };
    // Unix sockets wait for room in the queue; TCP would send its SYN again until there is some.
    if pending.len() > if l.is_inet() { BACKLOG_MAX } else { *backlog } {
        return fail(if l.is_inet() { libc::ETIMEDOUT } else { libc::EAGAIN });
    }
    let listener_cred = l.peer_cred;
    let mut server = Socket::new(l.domain, l.kind, l.protocol);
    server.options = l.options.clone();
    server.local = Some(target.clone());
    server.peer = Some(local);
    server.state = State::Connected(Peer::Inside(id));
    server.peer_cred = cred;
    let new = ObjectId(k.fresh_id());
    k.net.sockets.insert(new, server);
    if let State::Listening { pending, .. } = &mut k.net.get_mut(listener).state {
        pending.push_back(new);
    }
    let s = k.net.get_mut(id);
    s.state = State::Connected(Peer::Inside(new));
    s.peer = Some(target);
    s.peer_cred = listener_cred;
    k.notify(listener);
    k.notify(id);
    Ok(())
}
