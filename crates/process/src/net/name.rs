//! Making sockets and naming them: socket, socketpair, bind, listen, and the addresses they show.

use super::{Addr, BACKLOG_MAX, Peer, PeerCred, Socket, State, unspecified};
use crate::kernel::{Ctx, Errno, Fail, Kernel, ObjectId, Pid, fail, input};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// What the world said to a bind or connect: the address it has now, or an errno.
pub(super) type Bound = Result<SocketAddr, i32>;

pub(super) fn cred_of(k: &Kernel, pid: Pid) -> PeerCred {
    let creds = &k.process(pid).creds;
    PeerCred { pid, uid: creds.uid[1], gid: creds.gid[1] }
}

/// socket(2).
pub fn socket(k: &mut Kernel, domain: i32, kind: i32, protocol: i32) -> Result<ObjectId, Fail> {
    match (domain, kind) {
        (libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_DGRAM | libc::SOCK_SEQPACKET) if matches!(protocol, 0 | 1) => {}
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM) if matches!(protocol, 0 | libc::IPPROTO_TCP) => {}
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_DGRAM) if matches!(protocol, 0 | libc::IPPROTO_UDP) => {}
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_RAW) => return fail(libc::EPERM),
        (libc::AF_INET | libc::AF_INET6 | libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_DGRAM) => {
            return fail(libc::EPROTONOSUPPORT);
        }
        (libc::AF_INET | libc::AF_INET6 | libc::AF_UNIX, _) => return fail(libc::ESOCKTNOSUPPORT),
        _ => return fail(libc::EAFNOSUPPORT),
    }
    let id = ObjectId(k.fresh_id());
    k.net.sockets.insert(id, Socket::new(domain, kind, protocol));
    Ok(id)
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
    match &addr {
        Addr::Inet(wanted) => {
            let domain = if wanted.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
            if s.domain != domain {
                return fail(if s.is_inet() { libc::EAFNOSUPPORT } else { libc::EINVAL });
            }
            if s.local.is_some() {
                return fail(libc::EINVAL);
            }
            if clashes(k, id, *wanted) {
                return fail(libc::EADDRINUSE);
            }
            bind_outside(k, cx, id, *wanted)
        }
        _ if s.is_inet() => fail(libc::EAFNOSUPPORT),
        _ if s.local.is_some() => fail(libc::EINVAL),
        Addr::Path(path) => {
            let inode = match crate::fs::bind_socket_name(k, cx, path, id) {
                Err(Fail::Errno(Errno(libc::EEXIST))) => return fail(libc::EADDRINUSE),
                other => other?,
            };
            let s = k.net.get_mut(id);
            (s.inode, s.local) = (Some(inode), Some(addr));
            Ok(())
        }
        Addr::Abstract(name) => bind_abstract(k, id, name.clone()),
        // The kernel picks a name of five hexadecimal digits.
        Addr::Unnamed => bind_abstract(k, id, format!("{:05x}", id.0 & 0xf_ffff).into_bytes()),
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

/// Is the address taken by another socket of the group? The host cannot tell: real sockets always have SO_REUSEADDR.
fn clashes(k: &Kernel, id: ObjectId, wanted: SocketAddr) -> bool {
    let set = |s: &Socket, name| s.int_option(libc::SOL_SOCKET, name).unwrap_or(0) != 0;
    let me = k.net.get(id);
    wanted.port() != 0
        && k.net.sockets.values().filter(|s| s.is_inet() && s.kind == me.kind && s.owns_address()).any(|s| {
            let Some(taken) = s.local.as_ref().and_then(Addr::inet) else { return false };
            let listens = matches!(s.state, State::Listening { .. });
            let shared = set(me, libc::SO_REUSEPORT) && set(s, libc::SO_REUSEPORT)
                || set(me, libc::SO_REUSEADDR) && set(s, libc::SO_REUSEADDR) && !listens;
            let (a, b) = (wanted.ip(), taken.ip());
            let overlap = a == b
                || a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified())
                || a.is_ipv4() != b.is_ipv4() && dual_stack(a, me) | dual_stack(b, s);
            taken.port() == wanted.port() && overlap && !shared
        })
}

/// `::` of a socket that hears IPv4 too.
fn dual_stack(ip: std::net::IpAddr, s: &Socket) -> bool {
    ip.is_ipv6() && ip.is_unspecified() && s.int_option(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY).unwrap_or(0) == 0
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

/// A port of the host's choice for a socket that has none.
pub(super) fn autobind(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId) -> Result<(), Fail> {
    if k.net.get(id).local.is_some() {
        return Ok(());
    }
    let any = unspecified(k.net.get(id).domain);
    bind_outside(k, cx, id, any)
}

/// listen(2).
pub fn listen(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: ObjectId, backlog: i32) -> Result<(), Fail> {
    let backlog = usize::try_from(backlog).unwrap_or(BACKLOG_MAX).min(BACKLOG_MAX);
    let s = k.net.get_mut(id);
    if !s.is_connection() {
        return fail(libc::EOPNOTSUPP);
    }
    if let State::Listening { backlog: old, .. } = &mut s.state {
        *old = backlog;
        return Ok(());
    }
    if s.state != State::Idle || !s.is_inet() && s.local.is_none() {
        return fail(libc::EINVAL);
    }
    if s.is_inet() {
        autobind(k, cx, id)?;
        let answer: Result<(), i32> = cx.io.value(k.position, input::BOUND, |world| world.listen(id))?;
        if let Err(errno) = answer {
            return fail(errno);
        }
    }
    let cred = cred_of(k, cx.pid);
    let s = k.net.get_mut(id);
    s.peer_cred = cred;
    s.state = State::Listening { backlog, pending: VecDeque::new() };
    k.notify(id);
    Ok(())
}

/// getsockname(2).
pub fn local_addr(k: &Kernel, id: ObjectId) -> Addr {
    let s = k.net.get(id);
    match (&s.local, s.is_inet()) {
        (Some(addr), _) => addr.clone(),
        (None, false) => Addr::Unnamed,
        (None, true) => Addr::Inet(unspecified(s.domain)),
    }
}

/// getpeername(2).
pub fn peer_addr(k: &Kernel, id: ObjectId) -> Result<Addr, Fail> {
    let s = k.net.get(id);
    match (&s.state, &s.peer) {
        (State::Connected(_), _) if s.reset && s.is_inet() => fail(libc::ENOTCONN),
        (State::Connected(_), Some(peer)) => Ok(peer.clone()),
        _ => fail(libc::ENOTCONN),
    }
}
