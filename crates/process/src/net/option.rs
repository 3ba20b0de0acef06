//! Socket options: kept in the model; the world applies those that matter to a real socket when it makes one.

use super::{Socket, State};
use crate::kernel::{Fail, Kernel, ObjectId, fail};

/// Options that a program may set, with what it reads back if it has not.
const KNOWN: &[(i32, i32, i32)] = &[
    (libc::SOL_SOCKET, libc::SO_REUSEADDR, 0),
    (libc::SOL_SOCKET, libc::SO_REUSEPORT, 0),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 0),
    (libc::SOL_SOCKET, libc::SO_BROADCAST, 0),
    (libc::SOL_SOCKET, libc::SO_OOBINLINE, 0),
    (libc::SOL_SOCKET, libc::SO_PRIORITY, 0),
    (libc::SOL_SOCKET, libc::SO_PASSCRED, 0),
    (libc::SOL_SOCKET, libc::SO_RCVLOWAT, 1),
    (libc::SOL_SOCKET, libc::SO_SNDLOWAT, 1),
    (libc::SOL_SOCKET, libc::SO_TIMESTAMP, 0),
    (libc::SOL_SOCKET, libc::SO_INCOMING_CPU, 0),
    (libc::SOL_SOCKET, libc::SO_BUSY_POLL, 0),
    (libc::SOL_SOCKET, libc::SO_MARK, 0),
    (libc::SOL_SOCKET, libc::SO_DONTROUTE, 0),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY, 0),
    (libc::IPPROTO_TCP, libc::TCP_CORK, 0),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 7200),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 75),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 9),
    (libc::IPPROTO_TCP, libc::TCP_QUICKACK, 1),
    (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 0),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 0),
    (libc::IPPROTO_TCP, libc::TCP_SYNCNT, 6),
    (libc::IPPROTO_TCP, libc::TCP_LINGER2, 60),
    (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, 0),
    (libc::IPPROTO_TCP, libc::TCP_MAXSEG, 32741),
    (libc::IPPROTO_IP, libc::IP_TOS, 0),
    (libc::IPPROTO_IP, libc::IP_TTL, 64),
    (libc::IPPROTO_IP, libc::IP_PKTINFO, 0),
    (libc::IPPROTO_IP, libc::IP_RECVERR, 0),
    (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, 1),
    (libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 0),
    (libc::IPPROTO_IP, libc::IP_FREEBIND, 0),
    (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 0),
    (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, 0),
    (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, 64),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 0),
    (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, 1),
];

/// Those that are on or off: they read back as 0 or 1.
const SWITCHES: &[(i32, i32)] = &[
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::SOL_SOCKET, libc::SO_REUSEPORT),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::SOL_SOCKET, libc::SO_BROADCAST),
    (libc::SOL_SOCKET, libc::SO_OOBINLINE),
    (libc::SOL_SOCKET, libc::SO_PASSCRED),
    (libc::SOL_SOCKET, libc::SO_DONTROUTE),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_CORK),
    (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
];

/// Default buffer size that SO_RCVBUF and SO_SNDBUF show.
const BUFFER: i32 = 212_992;

fn int(value: i32) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

/// setsockopt(2).
pub fn set_option(k: &mut Kernel, id: ObjectId, level: i32, name: i32, value: &[u8]) -> Result<(), Fail> {
    let socket = k.net.get_mut(id);
    let as_int = value.first_chunk::<4>().map(|raw| i32::from_le_bytes(*raw));
    match (level, name) {
        (libc::SOL_SOCKET, libc::SO_RCVBUF | libc::SO_SNDBUF) => {
            let Some(n) = as_int else { return fail(libc::EINVAL) };
            // Linux doubles what it is asked for.
            socket.options.insert((level, name), int(n.clamp(1152, BUFFER).saturating_mul(2)));
        }
        (libc::SOL_SOCKET, libc::SO_LINGER) => {
            let (Some(on), Some(time)) = (as_int, value.get(4..8)) else { return fail(libc::EINVAL) };
            socket.options.insert((level, name), [&int(i32::from(on != 0)), time].concat());
        }
        (libc::SOL_SOCKET, libc::SO_RCVTIMEO | libc::SO_SNDTIMEO) => {
            let Some(raw) = value.first_chunk::<16>() else { return fail(libc::EINVAL) };
            if !(0..1_000_000).contains(&i64::from_le_bytes(raw[8..].try_into().expect("8 bytes"))) {
                return fail(libc::EDOM);
            }
            socket.options.insert((level, name), raw.to_vec());
        }
        (libc::IPPROTO_TCP, libc::TCP_CONGESTION) => {
            socket.options.insert((level, name), value.to_vec());
        }
        _ if !known(socket, level, name) => return fail(libc::ENOPROTOOPT),
        _ => match as_int.or_else(|| value.first().map(|&b| i32::from(b))) {
            Some(n) => {
                let n = if SWITCHES.contains(&(level, name)) { i32::from(n != 0) } else { n };
                socket.options.insert((level, name), int(n));
            }
            None => return fail(libc::EINVAL),
        },
    }
    Ok(())
}

fn known(socket: &Socket, level: i32, name: i32) -> bool {
    let fits = match level {
        libc::IPPROTO_TCP => socket.is_inet() && socket.is_connection(),
        libc::IPPROTO_IP => socket.is_inet(),
        libc::IPPROTO_IPV6 => socket.domain == libc::AF_INET6,
        _ => true,
    };
    fits && KNOWN.iter().any(|&(l, n, _)| (l, n) == (level, name))
}

/// getsockopt(2).
pub fn get_option(k: &mut Kernel, id: ObjectId, level: i32, name: i32) -> Result<Vec<u8>, Fail> {
    let socket = k.net.get_mut(id);
    if let Some(value) = socket.options.get(&(level, name)) {
        return Ok(value.clone());
    }
    Ok(match (level, name) {
        (libc::SOL_SOCKET, libc::SO_ERROR) => int(std::mem::take(&mut socket.error)),
        (libc::SOL_SOCKET, libc::SO_TYPE) => int(socket.kind),
        (libc::SOL_SOCKET, libc::SO_DOMAIN) => int(socket.domain),
        (libc::SOL_SOCKET, libc::SO_PROTOCOL) => int(match (socket.is_inet(), socket.is_connection()) {
            (false, _) => 0,
            (true, true) => libc::IPPROTO_TCP,
            (true, false) => libc::IPPROTO_UDP,
        }),
        (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => int(i32::from(matches!(socket.state, State::Listening { .. }))),
        (libc::SOL_SOCKET, libc::SO_RCVBUF | libc::SO_SNDBUF) => int(BUFFER),
        (libc::SOL_SOCKET, libc::SO_LINGER) => vec![0; 8],
        (libc::SOL_SOCKET, libc::SO_RCVTIMEO | libc::SO_SNDTIMEO) => vec![0; 16],
        (libc::SOL_SOCKET, libc::SO_PEERCRED) if matches!(socket.state, State::Idle) => {
            [int(0), int(-1), int(-1)].concat()
        }
        (libc::SOL_SOCKET, libc::SO_PEERCRED) => socket.peer_cred.bytes().to_vec(),
        (libc::IPPROTO_TCP, libc::TCP_CONGESTION) => b"cubic\0".to_vec(),
        (libc::IPPROTO_TCP, libc::TCP_INFO) => {
            let mut info = vec![0; 104];
            // tcpi_state: TCP_ESTABLISHED or TCP_CLOSE.
            info[0] = if matches!(socket.state, State::Connected(_)) { 1 } else { 7 };
            info
        }
        _ if !known(socket, level, name) => return fail(libc::ENOPROTOOPT),
        _ => int(KNOWN.iter().find(|&&(l, n, _)| (l, n) == (level, name)).map_or(0, |k| k.2)),
    })
}

impl Socket {
    /// An option that is an integer, as far as the program has set it.
    pub fn int_option(&self, level: i32, name: i32) -> Option<i32> {
        self.options.get(&(level, name)).and_then(|v| v.first_chunk::<4>()).map(|raw| i32::from_le_bytes(*raw))
    }

    /// SO_RCVTIMEO or SO_SNDTIMEO in nanoseconds, if set.
    pub fn timeout(&self, name: i32) -> Option<u64> {
        let raw = self.options.get(&(libc::SOL_SOCKET, name))?;
        let sec = u64::from_le_bytes(raw.get(..8)?.try_into().ok()?);
        let usec = u64::from_le_bytes(raw.get(8..16)?.try_into().ok()?);
        let total = sec.saturating_mul(1_000_000_000).saturating_add(usec.saturating_mul(1000));
        (total > 0).then_some(total)
    }
}
