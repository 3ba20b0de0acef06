//! The devices, and what they all look like from the board.
//!
//! The rules they keep: a device touches guest memory only on the hart's thread, in [`Device::load`], [`Device::store`] or one of its own event handlers;
//! what it does depends on its own state, the guest's memory and [`Moment`] alone; it has no clock, no file and no socket. A register that does not
//! exist is an access fault in the guest. State is plain data (serde), so that it is in the digest and in snapshots without further work.

pub mod plic;
pub mod rtc;
pub mod uart;
pub mod virtio;

use crate::memory::Memory;
use gapless_log::Position;
use serde::{Deserialize, Serialize};

pub use crate::hart::AccessFault;

/// When something happens: a position and the guest's time there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// Position of the instruction, or of the event between two instructions.
    pub position: Position,
    /// Nanoseconds since the machine was switched on.
    pub nanos: u64,
}

/// Something that a device wants done outside of the machine. It leaves only under the output rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Said {
    /// A byte on the console.
    Console(u8),
    /// A frame with its 12-byte virtio-net header.
    Frame(Vec<u8>),
}

impl Said {
    /// A frame has a length that frames can have.
    pub(crate) fn is_sound(&self) -> bool {
        match self {
            Self::Console(_) => true,
            Self::Frame(frame) => virtio::net::FRAME_BYTES.contains(&frame.len()),
        }
    }
}

/// What a device may use while it handles an access or an event.
#[derive(Debug)]
pub struct Cx<'a> {
    /// The guest's memory.
    pub memory: &'a mut Memory,
    /// When.
    pub now: Moment,
    /// What the device wants said.
    pub said: &'a mut Vec<Said>,
}

/// Registers in the guest's physical address space.
pub trait Device {
    /// A load of `width` bytes (1, 2, 4 or 8) at `offset`, a multiple of `width`.
    fn load(&mut self, offset: u64, width: u8, cx: &mut Cx<'_>) -> Result<u64, AccessFault>;
    /// A store.
    fn store(&mut self, offset: u64, width: u8, value: u64, cx: &mut Cx<'_>) -> Result<(), AccessFault>;
    /// The device's interrupt line (level).
    fn interrupt(&self) -> bool;
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// What a device needs around it.
    pub(crate) struct Bench {
        pub(crate) memory: Memory,
        pub(crate) nanos: u64,
        pub(crate) said: Vec<Said>,
    }

    impl Bench {
        /// One MiB of memory, at time zero.
        pub(crate) fn new() -> Self {
            Self { memory: Memory::new(1 << 20).unwrap(), nanos: 0, said: Vec::new() }
        }

        pub(crate) fn cx(&mut self) -> Cx<'_> {
            let now = Moment { position: Position(self.nanos), nanos: self.nanos };
            Cx { memory: &mut self.memory, now, said: &mut self.said }
        }
    }
}
