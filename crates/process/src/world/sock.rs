//! Real sockets without blocking. The unsafe edge of `world::net`.

use crate::net::Addr;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// An errno.
pub type Errno = i32;

fn errno() -> Errno {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

fn check(result: libc::c_int) -> Result<libc::c_int, Errno> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}

fn count(result: isize) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| errno())
}

/// A socket of the host, non-blocking and closed on exec.
#[derive(Debug)]
pub struct Sock(OwnedFd);

impl AsFd for Sock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Sock {
    /// Makes one for addresses like this.
    pub fn new(addr: &SocketAddr, kind: i32) -> Result<Self, Errno> {
        let domain = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        // SAFETY: takes no pointers.
        let fd = check(unsafe { libc::socket(domain, kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn raw(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// setsockopt(2).
    pub fn set(&self, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        let len = value.len() as libc::socklen_t;
        // SAFETY: the slice is valid for its length.
        check(unsafe { libc::setsockopt(self.raw(), level, name, value.as_ptr().cast(), len) }).map(drop)
    }

    /// bind(2); answers the address it has then.
    pub fn bind(&self, addr: &SocketAddr) -> Result<SocketAddr, Errno> {
        let raw = Addr::Inet(*addr).bytes();
        // SAFETY: a socket address of the length given.
        check(unsafe { libc::bind(self.raw(), raw.as_ptr().cast(), raw.len() as libc::socklen_t) })?;
        self.local()
    }

    /// listen(2).
    pub fn listen(&self, backlog: i32) -> Result<(), Errno> {
        // SAFETY: takes no pointers.
        check(unsafe { libc::listen(self.raw(), backlog) }).map(drop)
    }

    /// connect(2): EINPROGRESS counts as done.
    pub fn connect(&self, addr: &SocketAddr) -> Result<(), Errno> {
        let raw = Addr::Inet(*addr).bytes();
        // SAFETY: a socket address of the length given.
        let result = check(unsafe { libc::connect(self.raw(), raw.as_ptr().cast(), raw.len() as libc::socklen_t) });
        match result {
            Err(libc::EINPROGRESS | libc::EINTR) | Ok(_) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Forgets the peer of a datagram socket.
    pub fn disconnect(&self) -> Result<(), Errno> {
        let raw = [0u8; 16];
        // SAFETY: a socket address (AF_UNSPEC) of the length given.
        check(unsafe { libc::connect(self.raw(), raw.as_ptr().cast(), 16) }).map(drop)
    }

    /// Accepts a connection; `None` if none waits.
    pub fn accept(&self) -> Result<Option<(Sock, SocketAddr)>, Errno> {
        let mut raw = RawAddr::new();
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: a buffer for an address and its length.
        let fd = check(unsafe { libc::accept4(self.raw(), raw.bytes.as_mut_ptr().cast(), &raw mut raw.len, flags) });
        match fd {
            // SAFETY: a fresh descriptor that nobody else owns.
            Ok(fd) => Ok(Some((Self(unsafe { OwnedFd::from_raw_fd(fd) }), raw.get()?))),
            // A connection that broke before it was accepted counts as none.
            Err(libc::EAGAIN | libc::EINTR | libc::ECONNABORTED) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// getsockname(2).
    pub fn local(&self) -> Result<SocketAddr, Errno> {
        let mut raw = RawAddr::new();
        // SAFETY: a buffer for an address and its length.
        check(unsafe { libc::getsockname(self.raw(), raw.bytes.as_mut_ptr().cast(), &raw mut raw.len) })?;
        raw.get()
    }

    /// Takes SO_ERROR.
    pub fn take_error(&self) -> Errno {
        let (mut error, mut len) = (0i32, 4);
        // SAFETY: a buffer of 4 bytes.
        let result = unsafe {
            libc::getsockopt(self.raw(), libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut error).cast(), &raw mut len)
        };
        if result < 0 { errno() } else { error }
    }

    /// Receives bytes of a stream; 0 at its end.
    pub fn recv(&self, buf: &mut [u8]) -> Result<usize, Errno> {
        // SAFETY: the slice is valid for its length.
        count(unsafe { libc::recv(self.raw(), buf.as_mut_ptr().cast(), buf.len(), 0) })
    }

    /// Receives a datagram.
    pub fn recv_from(&self, buf: &mut [u8]) -> Result<(usize, SocketAddr), Errno> {
        let mut raw = RawAddr::new();
        let (addr, len) = (raw.bytes.as_mut_ptr().cast(), &raw mut raw.len);
        // SAFETY: the slice is valid for its length; a buffer for an address and its length.
        let n = count(unsafe { libc::recvfrom(self.raw(), buf.as_mut_ptr().cast(), buf.len(), 0, addr, len) })?;
        Ok((n, raw.get()?))
    }

    /// Sends bytes of a stream.
    pub fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        // SAFETY: the slice is valid for its length.
        count(unsafe { libc::send(self.raw(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) })
    }

    /// Sends a datagram.
    pub fn send_to(&self, bytes: &[u8], to: &SocketAddr) -> Result<usize, Errno> {
        let raw = Addr::Inet(*to).bytes();
        let (addr, len) = (raw.as_ptr().cast(), raw.len() as libc::socklen_t);
        // SAFETY: the slice is valid for its length; a socket address of the length given.
        count(unsafe { libc::sendto(self.raw(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL, addr, len) })
    }

    /// No more bytes follow.
    pub fn shut_write(&self) {
        // SAFETY: takes no pointers. It fails only if the connection is gone, which is reported otherwise.
        unsafe { libc::shutdown(self.raw(), libc::SHUT_WR) };
    }

    /// Closes with a reset: what was sent and not acknowledged is lost.
    pub fn reset(self) {
        let linger = [1i32.to_ne_bytes(), 0i32.to_ne_bytes()].concat();
        // It fails only if the connection is gone.
        let _ = self.set(libc::SOL_SOCKET, libc::SO_LINGER, &linger);
    }
}

/// Room for a socket address.
struct RawAddr {
    bytes: [u8; 28],
    len: libc::socklen_t,
}

impl RawAddr {
    fn new() -> Self {
        Self { bytes: [0; 28], len: 28 }
    }

    fn get(&self) -> Result<SocketAddr, Errno> {
        let raw = &self.bytes[..(self.len as usize).min(28)];
        Addr::parse(raw).ok().and_then(|a| a.inet()).ok_or(libc::EAFNOSUPPORT)
    }
}

/// An epoll instance over real sockets, keyed by a number.
#[derive(Debug)]
pub struct Poller(OwnedFd);

/// Events taken from a [`Poller`] at once: with many clients, some are answered while the requests of others come in.
const EVENTS_MAX: usize = 32;

impl Poller {
    /// Makes one.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Starts (or goes on) watching; false if the descriptor is of a kind that is always ready.
    pub fn watch(&self, fd: BorrowedFd<'_>, key: u64, events: u32, known: bool) -> bool {
        let mut event = libc::epoll_event { events, u64: key };
        let op = if known { libc::EPOLL_CTL_MOD } else { libc::EPOLL_CTL_ADD };
        // SAFETY: a valid event; both descriptors are open.
        unsafe { libc::epoll_ctl(self.0.as_raw_fd(), op, fd.as_raw_fd(), &raw mut event) == 0 }
    }

    /// What is ready now: key and events.
    pub fn ready(&self, out: &mut Vec<(u64, u32)>) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
        // SAFETY: a buffer of EVENTS_MAX events.
        let n = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), EVENTS_MAX as i32, 0) };
        out.extend(events[..n.max(0) as usize].iter().map(|e| (e.u64, e.events)));
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
