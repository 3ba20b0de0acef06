//! Two ends in memory.

use crate::Sent;
use crate::frame::{FRAME_BYTES_MAX, in_one_buffer, plausible};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;

/// One end of a cable that leaves neither this host nor its memory: what is sent into one end is received from the other, unchanged but for
/// `num_buffers`. For tests. Holds a few frames, then [`Sent::Full`]; once the other end is gone, [`Sent::Down`].
#[derive(Debug)]
pub struct Loop {
    socket: UnixDatagram,
}

impl Loop {
    /// Both ends.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = UnixDatagram::pair()?;
        a.set_nonblocking(true)?;
        b.set_nonblocking(true)?;
        Ok((Self { socket: a }, Self { socket: b }))
    }

    /// See [`Port::send`](crate::Port::send).
    pub fn send(&self, frame: &[u8]) -> io::Result<Sent> {
        if !plausible(frame) {
            return Ok(Sent::Malformed);
        }
        match self.socket.send(frame) {
            Ok(sent) => {
                assert_eq!(sent, frame.len(), "a datagram is sent whole");
                Ok(Sent::Taken)
            }
            Err(e) => match e.raw_os_error() {
                Some(libc::EAGAIN | libc::ENOBUFS) => Ok(Sent::Full),
                Some(libc::ECONNREFUSED | libc::ENOTCONN | libc::ECONNRESET | libc::EPIPE) => Ok(Sent::Down),
                _ => Err(e),
            },
        }
    }

    /// See [`Port::receive`](crate::Port::receive).
    pub fn receive(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        assert!(buf.len() >= FRAME_BYTES_MAX, "a buffer of {} bytes may be too short for a frame", buf.len());
        match self.socket.recv(buf) {
            Ok(received) => {
                in_one_buffer(&mut buf[..received]);
                Ok(Some(received))
            }
            Err(e) => match e.raw_os_error() {
                Some(libc::EAGAIN | libc::ECONNRESET) => Ok(None),
                _ => Err(e),
            },
        }
    }
}

impl AsFd for Loop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
