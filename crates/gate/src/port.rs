//! Whatever a replica's network is plugged into.

use crate::{Loop, Passt, Tap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a frame that was not taken must be offered again or given up"]
pub enum Sent {
    /// It is on its way, as far as a network promises anything.
    Taken,
    /// No room. Poll for writing, then offer the same frame again.
    Full,
    /// Dropped: the interface is down or nothing is plugged in. What a pulled cable does; whoever needs the frame sends it again. Not an error,
    /// because it ends without us and must not end the replica.
    Down,
    /// Dropped: no frame, or a header that contradicts its frame. A guest's mistake, so offering it again is useless.
    Malformed,
}

/// What a replica's network is plugged into.
#[derive(Debug)]
pub enum Port {
    /// A TAP device of this host.
    Tap(Tap),
    /// A passt that runs as our child.
    Passt(Passt),
    /// The end of a cable in memory.
    Loop(Loop),
    /// Nothing: a pulled cable.
    None,
}

impl Port {
    /// Sends one frame with its 12-byte header. Never blocks. An error means that this port is finished.
    pub fn send(&self, frame: &[u8]) -> io::Result<Sent> {
        match self {
            Port::Tap(tap) => tap.send(frame),
            Port::Passt(passt) => passt.send(frame),
            Port::Loop(end) => end.send(frame),
            Port::None => Ok(Sent::Down),
        }
    }

    /// Receives one frame with its 12-byte header and says how long it is; `None` if there is none now. Never blocks. `num_buffers` is 1.
    ///
    /// Receive until `None` before polling: a frame may already lie behind the descriptor. An error means that this port is finished.
    ///
    /// # Panics
    /// If `buf` is shorter than [`FRAME_BYTES_MAX`](crate::FRAME_BYTES_MAX).
    pub fn receive(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Port::Tap(tap) => tap.receive(buf),
            Port::Passt(passt) => passt.receive(buf),
            Port::Loop(end) => end.receive(buf),
            Port::None => Ok(None),
        }
    }

    /// What to poll: for reading always, for writing after [`Sent::Full`] and while [`Port::flush`] says `false`.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Port::Tap(tap) => Some(tap.as_fd()),
            Port::Passt(passt) => Some(passt.as_fd()),
            Port::Loop(end) => Some(end.as_fd()),
            Port::None => None,
        }
    }

    /// Writes what is left of a frame that was taken and did not fit; `true` once nothing is left. [`Port::send`] and [`Port::receive`] do the same
    /// on their way, so this is for a loop that would go to sleep.
    pub fn flush(&self) -> io::Result<bool> {
        match self {
            Port::Passt(passt) => passt.flush(),
            Port::Tap(_) | Port::Loop(_) | Port::None => Ok(true),
        }
    }

    /// May received frames be large (TSO) and without checksum? If so, and if the guest has not agreed to that (`VIRTIO_NET_F_GUEST_CSUM`,
    /// `GUEST_TSO4`, `GUEST_TSO6`), call [`Port::set_offloads`]. Frames to send may have both everywhere.
    pub fn offloads(&self) -> bool {
        match self {
            Port::Tap(_) | Port::Loop(_) => true,
            Port::Passt(_) | Port::None => false,
        }
    }

    /// Lets received frames be large and without checksum, or not. Only a TAP can choose; a [`Loop`] gives what its other end sent.
    pub fn set_offloads(&self, on: bool) -> io::Result<()> {
        match self {
            Port::Tap(tap) => tap.set_offloads(on),
            Port::Passt(_) | Port::Loop(_) | Port::None => Ok(()),
        }
    }
}
