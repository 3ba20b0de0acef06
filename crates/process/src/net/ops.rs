//! What the socket calls do to the model. Nothing here blocks: EAGAIN means "not now".

use super::{
    Addr, BACKLOG_MAX, Message, Net, Peer, PeerCred, Queue, RECEIVE_BYTES_MAX, SEND_BYTES_MAX, Socket, State, reaches,
    unspecified,
};
use crate::kernel::{Ctx, Fail, FileId, Kernel, ObjectId, Pid, encode, fail, input};
use crate::world::Output;
use gapless_log::Channel;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Largest datagram.
const DATAGRAM_BYTES_MAX: usize = 65507;

/// What the world said to a bind or listen: the address it has now, or an errno.
type Bound = Result<SocketAddr, i32>;

fn cred_of(k: &Kernel, pid: Pid) -> PeerCred {
    let creds = &k.process(pid).creds;
    PeerCred { pid, uid: creds.uid[1], gid: creds.gid[1] }
}

/// socket(2).
pub fn socket(k: &mut Kernel, domain: i32, kind: i32, protocol: i32) -> Result<ObjectId, Fail> {
    match (domain, kind) {
        (libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_DGRAM | libc::SOCK_SEQPACKET) => {}
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM) if matches!(protocol, 0 | libc::IPPROTO_TCP) => {}
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_DGRAM) if matches!(protocol, 0 | libc::IPPROTO_UDP) => {}
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_RAW) => return fail(libc::EPERM),
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM | libc::SOCK_DGRAM) => return fail(libc::EPROTONOSUPPORT),
        (libc::AF_INET | libc::AF_INET6 | libc::AF_UNIX, _) => return fail(libc::ESOCKTNOSUPPORT),
        _ => return fail(libc::EAFNOSUPPORT),
    }
    let id = ObjectId(k.fresh_id());
    k.net.sockets.insert(id, blank(domain, kind, protocol));
    Ok(id)
}

fn blank(domain: i32, kind: i32, protocol: i32) -> Socket {
    Socket {
        domain,
        kind,
        protocol,
        local: None,
        peer: None,
        inode: None,
        state: State::Idle,
        queue: Queue::default(),
        ended: false,
        shut_read: false,
        shut_write: false,
        error: 0,
        queued: 0,
        peer_cred: PeerCred::default(),
        options: Default::default(),
    }
}

/// socketpair(2): joins two fresh sockets.
pub fn connect_pair(k: &mut Kernel, pid: Pid, a: ObjectId, b: ObjectId) {
    let cred = cred_of(k, pid);
    for (one, other) in [(a, b), (b, a)] {
        let s = k.net.get_mut(one);
        s.state = State::Connected(Peer::Inside(other));
        s.peer_cred = cred;
        s.peer = Some(Addr::Unnamed);
    }
}

/// bind(2). An internet address is bound on the host at once, so that its answer is known; nothing arrives before listen.
pub fn bind(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, addr: Addr) -> Result<(), Fail> {
    let s = k.net.get(id);
    if s.local.is_some() {
        return fail(libc::EINVAL);
    }
    match &addr {
        Addr::Inet(wanted) => {
            let domain = if wanted.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
            if s.domain != domain {
                return fail(if s.domain == libc::AF_UNIX { libc::EINVAL } else { libc::EAFNOSUPPORT });
            }
            bind_outside(k, cx, id, *wanted)
        }
        Addr::Path(path) => {
            let path = path.clone();
            if k.net.get(id).domain != libc::AF_UNIX {
                return fail(libc::EAFNOSUPPORT);
            }
            let inode = crate::fs::bind_socket_name(k, cx, &path, id)?;
            let s = k.net.get_mut(id);
            (s.inode, s.local) = (Some(inode), Some(addr));
            Ok(())
        }
        Addr::Abstract(_) | Addr::Unnamed if s.domain != libc::AF_UNIX => fail(libc::EAFNOSUPPORT),
        Addr::Abstract(name) => bind_abstract(k, id, name.clone()),
        Addr::Unnamed => {
            let name = format!("{:05x}", id.0).into_bytes();
            bind_abstract(k, id, name)
        }
    }
}

fn bind_abstract(k: &mut Kernel, id: ObjectId, name: Vec<u8>) -> Result<(), Fail> {
    if k.net.abstract_names.contains_key(&name) {
        return fail(libc::EADDRINUSE);
    }
    k.net.abstract_names.insert(name.clone(), id);
    k.net.get_mut(id).local = Some(Addr::Abstract(name));
    Ok(())
}

fn bind_outside(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, wanted: SocketAddr) -> Result<(), Fail> {
    let bound: Bound = cx.io.value(k.position, input::BOUND, |world| world.bind(k.net.get(id), id, wanted))?;
    match bound {
        Ok(addr) => {
            k.net.get_mut(id).local = Some(Addr::Inet(addr));
            Ok(())
        }
        Err(errno) => fail(errno),
    }
}

/// listen(2).
pub fn listen(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, backlog: i32) -> Result<(), Fail> {
    let s = k.net.get(id);
    if !s.is_connection() {
        return fail(libc::EOPNOTSUPP);
    }
    let backlog = usize::try_from(backlog).unwrap_or(BACKLOG_MAX).clamp(1, BACKLOG_MAX);
    if let State::Listening { backlog: old, .. } = &mut k.net.get_mut(id).state {
        *old = backlog;
        return Ok(());
    }
    if k.net.get(id).state != State::Idle {
        return fail(libc::EINVAL);
    }
    if k.net.get(id).is_inet() {
        if k.net.get(id).local.is_none() {
            let any = unspecified(k.net.get(id).domain);
            bind_outside(k, cx, id, any)?;
        }
        let answer: Result<(), i32> = cx.io.value(k.position, input::BOUND, |world| world.listen(id))?;
        if let Err(errno) = answer {
            return fail(errno);
        }
    } else if k.net.get(id).local.is_none() {
        return fail(libc::EINVAL);
    }
    let cred = cred_of(k, cx.pid);
    let s = k.net.get_mut(id);
    s.peer_cred = cred;
    s.state = State::Listening { backlog, pending: VecDeque::new() };
    Ok(())
}

/// accept(2): the socket of the oldest connection that waits.
pub fn accept(k: &mut Kernel, id: ObjectId) -> Result<ObjectId, Fail> {
    let State::Listening { pending, .. } = &mut k.net.get_mut(id).state else { return fail(libc::EINVAL) };
    let Some(new) = pending.pop_front() else { return fail(libc::EAGAIN) };
    k.notify(id);
    Ok(new)
}

/// connect(2). To a listener of the group it is done at once; to the outside it answers EINPROGRESS and CONNECTED follows.
pub fn connect(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, addr: Addr) -> Result<(), Fail> {
    let s = k.net.get_mut(id);
    match &s.state {
        State::Connecting => return fail(libc::EALREADY),
        State::Connected(_) if s.is_connection() => return fail(libc::EISCONN),
        State::Listening { .. } => return fail(libc::EISCONN),
        _ => {}
    }
    if s.error != 0 {
        let error = std::mem::take(&mut s.error);
        return fail(error);
    }
    match addr {
        Addr::Inet(target) => {
            if s.domain == libc::AF_UNIX || (s.domain == libc::AF_INET && target.is_ipv6()) {
                return fail(libc::EAFNOSUPPORT);
            }
            if s.is_connection() { connect_tcp(k, cx, id, target) } else { connect_udp(k, cx, id, target) }
        }
        Addr::Path(path) => {
            let listener = crate::fs::lookup_socket(k, cx, &path)?;
            connect_unix(k, cx, id, listener, Addr::Path(path))
        }
        Addr::Abstract(name) => {
            let Some(&listener) = k.net.abstract_names.get(&name) else { return fail(libc::ECONNREFUSED) };
            connect_unix(k, cx, id, listener, Addr::Abstract(name))
        }
        Addr::Unnamed => fail(libc::EINVAL),
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
        k.net.get_mut(id).local = Some(Addr::Inet(local));
        return connect_inside(k, cx, id, listener, Addr::Inet(target), Addr::Inet(local));
    }
    let s = k.net.get_mut(id);
    s.state = State::Connecting;
    s.peer = Some(Addr::Inet(target));
    cx.io.say(Channel(id.0), &Output::Connect(encode(&target)));
    fail(libc::EINPROGRESS)
}

fn loopback(target: SocketAddr) -> std::net::IpAddr {
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

fn autobind(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId) -> Result<(), Fail> {
    if k.net.get(id).local.is_some() {
        return Ok(());
    }
    let any = unspecified(k.net.get(id).domain);
    bind_outside(k, cx, id, any)
}

fn connect_unix(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    id: ObjectId,
    listener: ObjectId,
    name: Addr,
) -> Result<(), Fail> {
    let Some(target) = k.net.sockets.get(&listener) else { return fail(libc::ECONNREFUSED) };
    let s = k.net.get(id);
    if s.domain != libc::AF_UNIX {
        return fail(libc::EAFNOSUPPORT);
    }
    if s.kind != target.kind {
        return fail(libc::EPROTOTYPE);
    }
    if !s.is_connection() {
        let s = k.net.get_mut(id);
        (s.state, s.peer) = (State::Connected(Peer::Inside(listener)), Some(name));
        return Ok(());
    }
    let local = k.net.get(id).local.clone().unwrap_or(Addr::Unnamed);
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
    let new = ObjectId(k.fresh_id());
    let l = k.net.get_mut(listener);
    let listener_cred = l.peer_cred;
    let State::Listening { backlog, pending } = &mut l.state else { return fail(libc::ECONNREFUSED) };
    if pending.len() > *backlog {
        // Unix sockets wait for room; TCP would retransmit its SYN.
        return fail(libc::EAGAIN);
    }
    pending.push_back(new);
    let mut server = blank(l.domain, l.kind, l.protocol);
    server.options = l.options.clone();
    server.local = Some(target.clone());
    server.peer = Some(local);
    server.state = State::Connected(Peer::Inside(id));
    server.peer_cred = cred;
    k.net.sockets.insert(new, server);
    let s = k.net.get_mut(id);
    s.state = State::Connected(Peer::Inside(new));
    s.peer = Some(target);
    s.peer_cred = listener_cred;
    k.notify(listener);
    k.notify(id);
    Ok(())
}

/// getsockname(2).
pub fn local_addr(k: &Kernel, id: ObjectId) -> Addr {
    let s = k.net.get(id);
    match (&s.local, s.domain) {
        (Some(addr), _) => addr.clone(),
        (None, libc::AF_UNIX) => Addr::Unnamed,
        (None, domain) => Addr::Inet(unspecified(domain)),
    }
}

/// getpeername(2).
pub fn peer_addr(k: &Kernel, id: ObjectId) -> Result<Addr, Fail> {
    let s = k.net.get(id);
    match (&s.state, &s.peer) {
        (State::Connected(Peer::Gone), _) if s.error != 0 => fail(libc::ENOTCONN),
        (State::Connected(_), Some(peer)) => Ok(peer.clone()),
        _ => fail(libc::ENOTCONN),
    }
}

/// Receives: bytes of a stream (none at its end) or one message.
pub fn recv(k: &mut Kernel, id: ObjectId, max: usize, peek: bool) -> Result<Message, Fail> {
    let s = k.net.get_mut(id);
    if s.error != 0 && (s.queue.is_empty() || !s.is_connection()) {
        let error = std::mem::take(&mut s.error);
        return fail(error);
    }
    if matches!(s.state, State::Listening { .. } | State::Idle | State::Connecting) && s.is_connection() {
        return fail(if s.domain == libc::AF_UNIX { libc::EINVAL } else { libc::ENOTCONN });
    }
    let message = match s.kind {
        libc::SOCK_STREAM if !s.queue.is_empty() => Some(s.queue.read_stream(max, peek)),
        libc::SOCK_STREAM => None,
        _ => s.queue.read_message(max, peek),
    };
    let Some(message) = message else {
        return if s.ended || s.shut_read { Ok(Message::default()) } else { fail(libc::EAGAIN) };
    };
    if !peek {
        let state = s.state.clone();
        k.notify(id);
        // Room for whoever writes to this queue.
        if let State::Connected(Peer::Inside(peer)) = state {
            k.notify(peer);
        }
    }
    Ok(message)
}

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
    let s = k.net.get_mut(id);
    if s.error != 0 {
        let error = std::mem::take(&mut s.error);
        return fail(error);
    }
    if s.is_connection() {
        if to.is_some() && !matches!(s.state, State::Connected(_)) {
            return fail(libc::EOPNOTSUPP);
        }
        return match s.state {
            State::Connected(_) if s.shut_write => broken(k, cx, quiet),
            State::Connected(Peer::Inside(peer)) => send_inside(k, cx, id, peer, bytes, files, quiet),
            State::Connected(Peer::Outside) => send_outside(k, cx, id, bytes),
            State::Connected(Peer::Gone) => broken(k, cx, quiet),
            State::Connecting => fail(libc::EAGAIN),
            _ if s.domain == libc::AF_UNIX => fail(libc::ENOTCONN),
            _ => broken(k, cx, quiet),
        };
    }
    if bytes.len() > DATAGRAM_BYTES_MAX && s.is_inet() {
        return fail(libc::EMSGSIZE);
    }
    match (to, s.state.clone()) {
        (Some(Addr::Inet(target)), _) => send_udp(k, cx, id, target, bytes),
        (Some(Addr::Path(path)), _) => {
            let peer = crate::fs::lookup_socket(k, cx, &path)?;
            send_message(k, cx, id, peer, bytes, files)
        }
        (Some(Addr::Abstract(name)), _) => match k.net.abstract_names.get(&name) {
            Some(&peer) => send_message(k, cx, id, peer, bytes, files),
            None => fail(libc::ECONNREFUSED),
        },
        (Some(Addr::Unnamed), _) => fail(libc::EINVAL),
        (None, State::Connected(Peer::Inside(peer))) => send_message(k, cx, id, peer, bytes, files),
        (None, State::Connected(Peer::Outside)) => match k.net.get(id).peer.as_ref().and_then(Addr::inet) {
            Some(target) => send_udp(k, cx, id, target, bytes),
            None => fail(libc::EDESTADDRREQ),
        },
        (None, State::Connected(Peer::Gone)) => fail(libc::ECONNREFUSED),
        (None, _) if s_is_unix(k, id) => fail(libc::ENOTCONN),
        (None, _) => fail(libc::EDESTADDRREQ),
    }
}

fn s_is_unix(k: &Kernel, id: ObjectId) -> bool {
    k.net.get(id).domain == libc::AF_UNIX
}

fn broken<T>(k: &mut Kernel, cx: &Ctx<'_, '_>, quiet: bool) -> Result<T, Fail> {
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
    quiet: bool,
) -> Result<usize, Fail> {
    let Some(to) = k.net.sockets.get(&peer) else { return broken(k, cx, quiet) };
    if to.shut_read {
        return broken(k, cx, quiet);
    }
    let room = RECEIVE_BYTES_MAX.saturating_sub(to.queue.bytes());
    let stream = to.kind == libc::SOCK_STREAM;
    if stream && bytes.is_empty() {
        return Ok(0);
    }
    if room == 0 || (!stream && room < bytes.len().min(RECEIVE_BYTES_MAX)) {
        return fail(libc::EAGAIN);
    }
    let n = if stream { room.min(bytes.len()) } else { bytes.len() };
    push(k, cx, id, peer, &bytes[..n], files);
    Ok(n)
}

fn push(k: &mut Kernel, cx: &Ctx<'_, '_>, id: ObjectId, peer: ObjectId, bytes: &[u8], files: &[FileId]) {
    for &file in files {
        k.hold(file);
    }
    let message = Message {
        bytes: bytes.to_vec(),
        from: Some(local_addr(k, id)),
        files: files.to_vec(),
        cred: cred_of(k, cx.pid),
        full: 0,
    };
    k.net.get_mut(peer).queue.push(message);
    k.notify(peer);
}

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
    if to.queue.bytes() + bytes.len() > RECEIVE_BYTES_MAX && !to.queue.is_empty() {
        return fail(libc::EAGAIN);
    }
    push(k, cx, id, peer, bytes, files);
    Ok(bytes.len())
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

fn send_udp(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    id: ObjectId,
    target: SocketAddr,
    bytes: &[u8],
) -> Result<usize, Fail> {
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
    if to.has_room() && wanted.is_none_or(|w| w.port() == from.port()) {
        let from = Some(Addr::Inet(from));
        to.queue.push(Message { bytes: bytes.to_vec(), from, ..Message::default() });
        k.notify(peer);
    }
    Ok(bytes.len())
}

/// shutdown(2).
pub fn shutdown(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, how: i32) -> Result<(), Fail> {
    let (read, write) = match how {
        libc::SHUT_RD => (true, false),
        libc::SHUT_WR => (false, true),
        libc::SHUT_RDWR => (true, true),
        _ => return fail(libc::EINVAL),
    };
    let s = k.net.get_mut(id);
    let state = s.state.clone();
    if let State::Listening { .. } = state {
        return fail(libc::ENOTCONN).or_else(|e: Fail| if read { close_listener(k, cx, id) } else { Err(e) });
    }
    let State::Connected(peer) = state else { return fail(libc::ENOTCONN) };
    let say = write && !s.shut_write && s.is_connection() && peer == Peer::Outside;
    s.shut_read |= read;
    s.shut_write |= write;
    if say {
        cx.io.say(Channel(id.0), &Output::Shutdown);
    }
    if let Peer::Inside(other) = peer
        && let Some(o) = k.net.sockets.get_mut(&other)
    {
        o.ended |= write;
        if read {
            o.shut_write = true;
        }
        k.notify(other);
    }
    k.notify(id);
    Ok(())
}

/// shutdown of a listener: it stops listening; whoever waits in accept is told EINVAL.
fn close_listener(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId) -> Result<(), Fail> {
    refuse_pending(k, cx, id)?;
    if k.net.get(id).is_inet() {
        cx.io.say(Channel(id.0), &Output::Close);
    }
    k.net.get_mut(id).state = State::Idle;
    k.notify(id);
    Ok(())
}

fn refuse_pending(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId) -> Result<(), Fail> {
    let State::Listening { pending, .. } = &mut k.net.get_mut(id).state else { return Ok(()) };
    for waiting in std::mem::take(pending) {
        close(k, cx, waiting)?;
    }
    Ok(())
}

/// The last holder of a socket is gone.
pub fn close(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId) -> Result<(), Fail> {
    refuse_pending(k, cx, id)?;
    let Some(mut s) = k.net.sockets.remove(&id) else { return Ok(()) };
    let unread = !s.queue.is_empty();
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
    let outside = s.is_inet()
        && match s.state {
            State::Connected(Peer::Inside(_) | Peer::Gone) => false,
            State::Idle => s.local.is_some(),
            _ => true,
        };
    if outside || (s.is_inet() && !s.is_connection() && s.local.is_some()) {
        cx.io.say(Channel(id.0), &Output::Close);
    }
    if let State::Connected(Peer::Inside(other)) = s.state
        && s.is_connection()
        && let Some(o) = k.net.sockets.get_mut(&other)
    {
        o.ended = true;
        o.state = State::Connected(Peer::Gone);
        if unread {
            o.error = libc::ECONNRESET;
        }
        k.notify(other);
    }
    Ok(())
}

/// Readiness, as Linux reports it.
pub fn poll(k: &Kernel, id: ObjectId) -> u32 {
    let s = k.net.get(id);
    let mut bits = 0;
    if s.error != 0 {
        bits |= libc::EPOLLERR | libc::EPOLLIN;
    }
    match &s.state {
        State::Listening { pending, .. } => {
            if !pending.is_empty() {
                bits |= libc::EPOLLIN;
            }
            return bits as u32;
        }
        State::Connecting => return bits as u32,
        State::Idle if s.is_connection() => bits |= libc::EPOLLOUT | libc::EPOLLHUP,
        _ => {}
    }
    if !s.queue.is_empty() {
        bits |= libc::EPOLLIN | libc::EPOLLRDNORM;
    }
    if (s.ended || s.shut_read) && s.is_connection() {
        bits |= libc::EPOLLIN | libc::EPOLLRDHUP;
        if s.shut_write || s.state == State::Connected(Peer::Gone) {
            bits |= libc::EPOLLHUP;
        }
    }
    let room = match s.state {
        State::Connected(Peer::Outside) => s.queued < SEND_BYTES_MAX / 2,
        State::Connected(Peer::Inside(peer)) => {
            k.net.sockets.get(&peer).is_none_or(|p| p.queue.bytes() < RECEIVE_BYTES_MAX / 2)
        }
        _ => true,
    };
    if room {
        bits |= libc::EPOLLOUT | libc::EPOLLWRNORM;
    }
    bits as u32
}
