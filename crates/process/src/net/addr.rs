//! Socket addresses: as the program passes them and as the model keeps them.

use crate::kernel::{Fail, fail};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Where a socket is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Addr {
    /// AF_INET and AF_INET6.
    Inet(SocketAddr),
    /// AF_UNIX with a path.
    Path(Vec<u8>),
    /// AF_UNIX, abstract.
    Abstract(Vec<u8>),
    /// AF_UNIX without a name.
    Unnamed,
}

impl Addr {
    /// Parses what bind, connect or sendto was given.
    pub fn parse(raw: &[u8]) -> Result<Self, Fail> {
        let Some(family) = raw.first_chunk::<2>() else { return fail(libc::EINVAL) };
        match i32::from(u16::from_le_bytes(*family)) {
            libc::AF_INET => {
                let Some(raw) = raw.first_chunk::<16>() else { return fail(libc::EINVAL) };
                let port = u16::from_be_bytes([raw[2], raw[3]]);
                let ip = Ipv4Addr::new(raw[4], raw[5], raw[6], raw[7]);
                Ok(Addr::Inet(SocketAddrV4::new(ip, port).into()))
            }
            libc::AF_INET6 => {
                if raw.len() < 24 {
                    return fail(libc::EINVAL);
                }
                let mut full = [0u8; 28];
                full[..raw.len().min(28)].copy_from_slice(&raw[..raw.len().min(28)]);
                let port = u16::from_be_bytes([full[2], full[3]]);
                let flow = u32::from_be_bytes(full[4..8].try_into().expect("4 bytes"));
                let ip: [u8; 16] = full[8..24].try_into().expect("16 bytes");
                let scope = u32::from_le_bytes(full[24..28].try_into().expect("4 bytes"));
                Ok(Addr::Inet(SocketAddrV6::new(Ipv6Addr::from(ip), port, flow, scope).into()))
            }
            libc::AF_UNIX if raw.len() > size_of::<libc::sockaddr_un>() => fail(libc::EINVAL),
            libc::AF_UNIX => Ok(match &raw[2..] {
                [] => Addr::Unnamed,
                [0, name @ ..] => Addr::Abstract(name.to_vec()),
                path => Addr::Path(path[..path.iter().position(|&b| b == 0).unwrap_or(path.len())].to_vec()),
            }),
            _ => fail(libc::EAFNOSUPPORT),
        }
    }

    /// As struct sockaddr_in, sockaddr_in6 or sockaddr_un.
    pub fn bytes(&self) -> Vec<u8> {
        let family = |f: i32| (f as u16).to_le_bytes().to_vec();
        match self {
            Addr::Inet(SocketAddr::V4(a)) => {
                let mut raw = family(libc::AF_INET);
                raw.extend_from_slice(&a.port().to_be_bytes());
                raw.extend_from_slice(&a.ip().octets());
                raw.resize(16, 0);
                raw
            }
            Addr::Inet(SocketAddr::V6(a)) => {
                let mut raw = family(libc::AF_INET6);
                raw.extend_from_slice(&a.port().to_be_bytes());
                raw.extend_from_slice(&a.flowinfo().to_be_bytes());
                raw.extend_from_slice(&a.ip().octets());
                raw.extend_from_slice(&a.scope_id().to_le_bytes());
                raw
            }
            Addr::Path(path) => [&family(libc::AF_UNIX)[..], path, &[0]].concat(),
            Addr::Abstract(name) => [&family(libc::AF_UNIX)[..], &[0], name].concat(),
            Addr::Unnamed => family(libc::AF_UNIX),
        }
    }

    /// As a socket of this domain shows it: IPv6 sockets show IPv4 addresses mapped.
    pub fn shown_by(&self, domain: i32) -> Addr {
        match self {
            Addr::Inet(SocketAddr::V4(a)) if domain == libc::AF_INET6 => {
                Addr::Inet(SocketAddr::new(a.ip().to_ipv6_mapped().into(), a.port()))
            }
            other => other.clone(),
        }
    }

    /// The address if it is an internet one.
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Addr::Inet(a) => Some(*a),
            _ => None,
        }
    }
}

/// The IPv4 address inside a mapped IPv6 one.
pub fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Does a socket bound to `local` receive what is sent to `target` on the same host?
pub fn reaches(local: SocketAddr, target: SocketAddr) -> bool {
    let (l, t) = (canonical(local.ip()), canonical(target.ip()));
    let here = t.is_loopback() || t.is_unspecified() || l == t;
    let matches = l.is_unspecified() || l == t || (t.is_unspecified() && l.is_loopback());
    // An unspecified IPv4 socket does not listen for IPv6.
    let family = l.is_ipv6() || t.is_ipv4();
    local.port() == target.port() && here && matches && (family || l == t)
}

/// Any address of a family.
pub fn unspecified(domain: i32) -> SocketAddr {
    if domain == libc::AF_INET6 {
        SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0)
    } else {
        SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)
    }
}
