//! epoll(7), as much of it as is needed.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Events of one call.
const EVENTS_MAX: usize = 256;

/// Descriptors that are watched, each with a key.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

/// What can be done with a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ready {
    /// Whose.
    pub key: u64,
    /// Bytes, or its end.
    pub readable: bool,
    /// Room.
    pub writable: bool,
}

impl Epoll {
    /// Watches nothing.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; a result that is not negative is a fresh descriptor.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: see above.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches it from now on.
    pub fn add(&self, fd: &impl AsFd, key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, key, true, false)
    }

    /// Watches it for these.
    pub fn change(&self, fd: &impl AsFd, key: u64, reads: bool, writes: bool) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, key, reads, writes)
    }

    fn control(&self, op: i32, fd: &impl AsFd, key: u64, reads: bool, writes: bool) -> io::Result<()> {
        let flag = |on: bool, flag: i32| if on { flag as u32 } else { 0 };
        let mut event =
            libc::epoll_event { events: flag(reads, libc::EPOLLIN) | flag(writes, libc::EPOLLOUT), u64: key };
        // SAFETY: the event is valid for the call.
        let done = unsafe { libc::epoll_ctl(self.0.as_raw_fd(), op, fd.as_fd().as_raw_fd(), &raw mut event) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Waits at most so long.
    pub fn wait(&self, at_most: Duration, into: &mut Vec<Ready>) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
        let ms = i32::try_from(at_most.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
        // SAFETY: the array has the length given.
        let n = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), EVENTS_MAX as i32, ms) };
        if n < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        into.extend(events[..n as usize].iter().map(|event| {
            let is = |flags: i32| event.events & flags as u32 != 0;
            let broken = is(libc::EPOLLERR | libc::EPOLLHUP);
            Ready { key: event.u64, readable: is(libc::EPOLLIN) || broken, writable: is(libc::EPOLLOUT) || broken }
        }));
        Ok(())
    }
}
