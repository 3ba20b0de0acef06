//! The real world: what a live replica touches and a backup does not.
//!
//! Everything that comes in becomes a logged input; everything that goes out was committed before it gets here.

use crate::kernel::Nanos;
use serde::{Deserialize, Serialize};

/// Something the group says to the outside, on the channel of one object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Output {
    /// Bytes of a stream.
    Bytes(Vec<u8>),
    /// shutdown(SHUT_WR): no more bytes follow.
    Shutdown,
    /// The last descriptor is closed.
    Close,
    /// Connect to this address.
    Connect(Vec<u8>),
    /// A datagram to this address (empty: the connected one).
    Datagram(Vec<u8>, Vec<u8>),
    /// The program has ended with this exit status.
    Exit(i32),
}

/// The outside as a live replica has it.
#[derive(Debug)]
pub struct World {
    clock_offset: i64,
}

impl World {
    /// The replica's monotonic clock now.
    pub fn clock(&self) -> Nanos {
        let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: a valid timespec to write to; CLOCK_MONOTONIC always exists.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut t) };
        (t.tv_sec * 1_000_000_000 + t.tv_nsec).saturating_add(self.clock_offset).max(0) as u64
    }
}
