//! The device's side of a split virtqueue (virtio 1.2, section 2.7).
//!
//! The rules it keeps: the private indices are state; every walk has a limit; whatever the guest wrote, the answer is a chain that lies wholly in memory,
//! nothing, or [`Broken`]. A queue that the guest broke stays broken until the device is reset.
//!
//! ```text
//! descriptor  addr u64 | len u32 | flags u16 | next u16
//! available   flags u16 | idx u16 | ring [u16; size] | used_event u16
//! used        flags u16 | idx u16 | ring [{id u32, len u32}; size] | avail_event u16
//! ```

use crate::memory::{GuestAddr, Memory, Outside, RAM_BASE};
use serde::{Deserialize, Serialize};

/// Descriptors of one chain, indirect ones included.
pub const CHAIN_DESCRIPTORS_MAX: u32 = 1024;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const DESCRIPTOR_BYTES: u64 = 16;
const NO_INTERRUPT: u64 = 1;

/// The guest broke the protocol: the device needs a reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken;

impl From<Outside> for Broken {
    fn from(_: Outside) -> Self {
        Self
    }
}

/// A piece of a buffer; was wholly in memory when it was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Segment {
    /// First address.
    pub at: u64,
    /// Length.
    pub bytes: u32,
}

/// Bytes of all segments together.
pub fn total(segments: &[Segment]) -> u64 {
    segments.iter().map(|segment| u64::from(segment.bytes)).sum()
}

/// Reads `into.len()` bytes that begin `skip` bytes into the segments.
pub fn gather(memory: &Memory, segments: &[Segment], skip: u64, into: &mut [u8]) -> Result<(), Broken> {
    let mut rest = into;
    for (at, bytes) in pieces(segments, skip, rest.len()) {
        let (now, later) = rest.split_at_mut(bytes);
        memory.read(at, now)?;
        rest = later;
    }
    if rest.is_empty() { Ok(()) } else { Err(Broken) }
}

/// Writes `from`, beginning `skip` bytes into the segments.
pub fn scatter(memory: &mut Memory, segments: &[Segment], skip: u64, from: &[u8]) -> Result<(), Broken> {
    let mut rest = from;
    for (at, bytes) in pieces(segments, skip, rest.len()) {
        let (now, later) = rest.split_at(bytes);
        memory.write(at, now)?;
        rest = later;
    }
    if rest.is_empty() { Ok(()) } else { Err(Broken) }
}

/// The ranges that `len` bytes take which begin `skip` bytes into the segments; fewer bytes if these are too short.
fn pieces(segments: &[Segment], skip: u64, len: usize) -> impl Iterator<Item = (GuestAddr, usize)> {
    let (mut skip, mut left) = (skip, len);
    segments.iter().map_while(move |segment| {
        if left == 0 {
            return None;
        }
        let skipped = skip.min(segment.bytes.into());
        skip -= skipped;
        let bytes = ((u64::from(segment.bytes) - skipped) as usize).min(left);
        left -= bytes;
        Some((GuestAddr(segment.at.wrapping_add(skipped)), bytes))
    })
}

/// A buffer of the guest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// Its first descriptor, by which it is given back.
    pub head: u16,
    /// What the device may read.
    pub readable: Vec<Segment>,
    /// What the device may write.
    pub writable: Vec<Segment>,
}

/// Where the rings are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Rings {
    /// The descriptor table.
    pub descriptors: u64,
    /// The available ring, which the driver writes.
    pub available: u64,
    /// The used ring, which the device writes.
    pub used: u64,
}

/// What the driver accepted that matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Accepted {
    /// VIRTIO_F_INDIRECT_DESC.
    pub indirect: bool,
    /// VIRTIO_F_EVENT_IDX.
    pub event_idx: bool,
}

/// One queue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Queue {
    size_max: u16,
    size: u16,
    rings: Rings,
    accepted: Accepted,
    ready: bool,
    next_available: u16,
    next_used: u16,
    /// `next_used` when the guest was last asked whether it wants an interrupt.
    asked: u16,
}

impl Queue {
    /// A queue of at most so many descriptors, a power of two.
    pub fn new(size_max: u16) -> Self {
        assert!(size_max.is_power_of_two() && u32::from(size_max) <= CHAIN_DESCRIPTORS_MAX);
        let (rings, accepted) = (Rings::default(), Accepted::default());
        Self { size_max, size: size_max, rings, accepted, ready: false, next_available: 0, next_used: 0, asked: 0 }
    }

    /// Most descriptors.
    pub fn size_max(&self) -> u16 {
        self.size_max
    }

    /// May it be used?
    pub fn ready(&self) -> bool {
        self.ready
    }

    /// Is this a state that a queue of `size_max` descriptors can be in?
    pub(crate) fn is_sound(&self, size_max: u16, memory: &Memory) -> bool {
        self.size_max == size_max && (!self.ready || self.can_start(memory))
    }

    /// The size is one that there is, and the rings lie in memory.
    fn can_start(&self, memory: &Memory) -> bool {
        let (size, rings) = (u64::from(self.size), self.rings);
        let places = [
            (rings.descriptors, 16, DESCRIPTOR_BYTES * size),
            (rings.available, 2, 6 + 2 * size),
            (rings.used, 4, 6 + 8 * size),
        ];
        let placed = places.iter().all(|&(at, align, bytes)| at % align == 0 && in_memory(memory, at, bytes));
        self.size.is_power_of_two() && self.size <= self.size_max && placed
    }

    /// The driver chooses a size; what it may not choose is told by [`Queue::start`].
    pub fn set_size(&mut self, size: u32) {
        if !self.ready {
            self.size = u16::try_from(size).unwrap_or(0);
        }
    }

    /// Where the rings are, to be changed while the queue is not in use.
    pub fn rings(&mut self) -> Option<&mut Rings> {
        (!self.ready).then_some(&mut self.rings)
    }

    /// The driver says that the queue is ready.
    pub fn start(&mut self, memory: &Memory, accepted: Accepted) -> Result<(), Broken> {
        if !self.can_start(memory) {
            return Err(Broken);
        }
        *self = Self { ready: true, accepted, ..self.clone().stopped() };
        Ok(())
    }

    /// The driver takes the queue away.
    pub fn stop(&mut self) {
        *self = self.clone().stopped();
    }

    fn stopped(self) -> Self {
        Self { ready: false, next_available: 0, next_used: 0, asked: 0, ..self }
    }

    /// How many chains wait.
    pub fn waiting(&self, memory: &Memory) -> Result<u16, Broken> {
        if !self.ready {
            return Ok(0);
        }
        let index = memory.number::<2>(GuestAddr(self.rings.available + 2))? as u16;
        let waiting = index.wrapping_sub(self.next_available);
        if waiting <= self.size { Ok(waiting) } else { Err(Broken) }
    }

    /// Takes the next chain.
    pub fn pop(&mut self, memory: &Memory) -> Result<Option<Chain>, Broken> {
        if self.waiting(memory)? == 0 {
            return Ok(None);
        }
        let slot = u64::from(self.next_available % self.size);
        let head = memory.number::<2>(GuestAddr(self.rings.available + 4 + 2 * slot))? as u16;
        let chain = self.walk(memory, head)?;
        self.next_available = self.next_available.wrapping_add(1);
        Ok(Some(chain))
    }

    /// Puts chains back, the last ones popped.
    pub fn unpop(&mut self, chains: u16) {
        self.next_available = self.next_available.wrapping_sub(chains);
    }

    fn walk(&self, memory: &Memory, head: u16) -> Result<Chain, Broken> {
        let mut chain = Chain { head, readable: Vec::new(), writable: Vec::new() };
        let (mut table, mut count, mut in_indirect) = (self.rings.descriptors, u32::from(self.size), false);
        let mut index = head;
        for _ in 0..CHAIN_DESCRIPTORS_MAX {
            if u32::from(index) >= count {
                return Err(Broken);
            }
            let found = Descriptor::read(memory, table.wrapping_add(DESCRIPTOR_BYTES * u64::from(index)))?;
            if found.flags & INDIRECT != 0 {
                if in_indirect || !self.accepted.indirect || !found.is_table() {
                    return Err(Broken);
                }
                (table, count, in_indirect) = (found.at, found.bytes / DESCRIPTOR_BYTES as u32, true);
                index = 0;
                continue;
            }
            chain.add(memory, &found)?;
            if found.flags & NEXT == 0 {
                return Ok(chain);
            }
            index = found.next;
        }
        Err(Broken)
    }

    /// Gives a chain back, `bytes` of it written.
    pub fn push(&mut self, memory: &mut Memory, head: u16, bytes: u32) -> Result<(), Broken> {
        self.put_used(memory, 0, head, bytes)?;
        self.publish_used(memory, 1)
    }

    /// Gives several chains back in one go: the guest sees all of them or none.
    pub fn push_all(&mut self, memory: &mut Memory, chains: &[(u16, u32)]) -> Result<(), Broken> {
        for (ahead, &(head, bytes)) in chains.iter().enumerate() {
            self.put_used(memory, ahead as u16, head, bytes)?;
        }
        self.publish_used(memory, chains.len() as u16)
    }

    fn put_used(&self, memory: &mut Memory, ahead: u16, head: u16, bytes: u32) -> Result<(), Broken> {
        if !self.ready {
            return Err(Broken);
        }
        let slot = u64::from(self.next_used.wrapping_add(ahead) % self.size);
        let mut element = [0; 8];
        element[..4].copy_from_slice(&u32::from(head).to_le_bytes());
        element[4..].copy_from_slice(&bytes.to_le_bytes());
        Ok(memory.write(GuestAddr(self.rings.used + 4 + 8 * slot), &element)?)
    }

    fn publish_used(&mut self, memory: &mut Memory, chains: u16) -> Result<(), Broken> {
        self.next_used = self.next_used.wrapping_add(chains);
        Ok(memory.write(GuestAddr(self.rings.used + 2), &self.next_used.to_le_bytes())?)
    }

    /// Asks to be told of the next chain that the driver adds.
    pub fn ask_for_kick(&mut self, memory: &mut Memory) -> Result<(), Broken> {
        if self.ready && self.accepted.event_idx {
            let at = self.rings.used + 4 + 8 * u64::from(self.size);
            memory.write(GuestAddr(at), &self.next_available.to_le_bytes())?;
        }
        Ok(())
    }

    /// Does the driver want an interrupt for what was given back since it was last asked?
    pub fn wants_interrupt(&mut self, memory: &Memory) -> Result<bool, Broken> {
        let new = self.next_used;
        let old = std::mem::replace(&mut self.asked, new);
        if !self.ready || old == new {
            return Ok(false);
        }
        if !self.accepted.event_idx {
            return Ok(memory.number::<2>(GuestAddr(self.rings.available))? & NO_INTERRUPT == 0);
        }
        let at = self.rings.available + 4 + 2 * u64::from(self.size);
        let event = memory.number::<2>(GuestAddr(at))? as u16;
        // Crossed: `event` lies in `old..new` (virtio 1.2, section 2.7.10.1).
        Ok(new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old))
    }
}

struct Descriptor {
    at: u64,
    bytes: u32,
    flags: u16,
    next: u16,
}

impl Descriptor {
    fn read(memory: &Memory, at: u64) -> Result<Self, Broken> {
        let mut raw = [0; DESCRIPTOR_BYTES as usize];
        memory.read(GuestAddr(at), &mut raw)?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = raw;
        Ok(Self {
            at: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            bytes: u32::from_le_bytes([i, j, k, l]),
            flags: u16::from_le_bytes([m, n]),
            next: u16::from_le_bytes([o, p]),
        })
    }

    /// May it be followed as an indirect table?
    fn is_table(&self) -> bool {
        self.flags & NEXT == 0 && self.bytes > 0 && u64::from(self.bytes).is_multiple_of(DESCRIPTOR_BYTES)
    }
}

impl Chain {
    fn add(&mut self, memory: &Memory, found: &Descriptor) -> Result<(), Broken> {
        if !in_memory(memory, found.at, found.bytes.into()) {
            return Err(Broken);
        }
        let segment = Segment { at: found.at, bytes: found.bytes };
        if found.flags & WRITE != 0 {
            self.writable.push(segment);
        } else if self.writable.is_empty() {
            self.readable.push(segment);
        } else {
            return Err(Broken);
        }
        Ok(())
    }
}

fn in_memory(memory: &Memory, at: u64, bytes: u64) -> bool {
    let end = at.checked_sub(RAM_BASE).and_then(|offset| offset.checked_add(bytes));
    end.is_some_and(|end| end <= memory.len())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{DATA, Driver, MEMORY_BYTES, SIZE, board, rings};
    use super::super::{EVENT_IDX, INDIRECT_DESC, register, status};
    use super::*;

    /// Of the descriptor table's first rows, as `(at, bytes, flags, next)`, the first is made available to the entropy device. Does it break?
    fn breaks(features: u64, rows: &[(u64, u32, u16, u16)]) -> bool {
        let mut driver = Driver::start(board(1), 2, 1, features);
        for (row, &(at, bytes, flags, next)) in rows.iter().enumerate() {
            driver.raw_descriptor(rings(0) + 16 * row as u64, at, bytes, flags, next);
        }
        driver.make_available(0, 0);
        driver.kick(0);
        let broken = driver.needs_reset();
        assert_eq!(driver.used(0).is_empty(), broken, "a chain is given back, or the device is broken");
        broken
    }

    #[test]
    fn chains_that_cannot_be_break_the_device() {
        let end = RAM_BASE + MEMORY_BYTES;
        assert!(!breaks(0, &[(DATA, 16, WRITE, 0)]));
        assert!(!breaks(0, &[(end - 16, 16, WRITE, 0)]));
        assert!(!breaks(0, &[(DATA, 0, WRITE, 0)]), "empty pieces are allowed");
        assert!(breaks(0, &[(end - 15, 16, WRITE, 0)]), "beyond the end");
        assert!(breaks(0, &[(DATA, u32::MAX, WRITE, 0)]));
        assert!(breaks(0, &[(u64::MAX, 1, WRITE, 0)]));
        assert!(breaks(0, &[(0, 1, WRITE, 0)]));
        assert!(breaks(0, &[(DATA, 16, WRITE | NEXT, 0)]), "a loop");
        assert!(breaks(0, &[(DATA, 16, WRITE | NEXT, 1), (DATA, 16, WRITE | NEXT, 0)]), "a longer loop");
        assert!(breaks(0, &[(DATA, 16, WRITE | NEXT, SIZE)]), "beyond the table");
        assert!(breaks(0, &[(DATA, 16, WRITE | NEXT, 1), (DATA, 16, 0, 0)]), "readable behind writable");
    }

    #[test]
    fn indirect_tables_that_cannot_be_break_the_device() {
        let table = rings(0) + 16;
        let row = (DATA, 16, WRITE, 0);
        assert!(!breaks(INDIRECT_DESC, &[(table, 16, INDIRECT, 0), row]));
        assert!(!breaks(INDIRECT_DESC, &[(DATA, 16, WRITE | NEXT, 1), (table + 16, 16, INDIRECT, 0), row]));
        assert!(breaks(0, &[(table, 16, INDIRECT, 0), row]), "not agreed");
        assert!(breaks(INDIRECT_DESC, &[(table, 0, INDIRECT, 0), row]), "empty");
        assert!(breaks(INDIRECT_DESC, &[(table, 24, INDIRECT, 0), row]), "not whole rows");
        assert!(breaks(INDIRECT_DESC, &[(table, 16, INDIRECT | NEXT, 1), row]), "both");
        assert!(breaks(INDIRECT_DESC, &[(table, 16, INDIRECT, 0), (table, 16, INDIRECT, 0)]), "nested");
        assert!(breaks(INDIRECT_DESC, &[(table, !15, INDIRECT, 0), (DATA, 1, WRITE | NEXT, 0)]), "a loop");
        assert!(breaks(INDIRECT_DESC, &[(u64::MAX - 7, 16, INDIRECT, 0)]), "outside of memory");
    }

    #[test]
    fn more_chains_than_the_ring_holds_break_the_device() {
        let mut driver = Driver::start(board(1), 2, 1, 0);
        driver.write(rings(0) + 0x4000 + 2, &(SIZE + 1).to_le_bytes());
        driver.kick(0);
        assert!(driver.needs_reset());
    }

    #[test]
    fn a_head_beyond_the_table_breaks_the_device() {
        let mut driver = Driver::start(board(1), 2, 1, 0);
        driver.make_available(0, SIZE);
        driver.kick(0);
        assert!(driver.needs_reset());
    }

    #[test]
    fn sizes_and_places_that_cannot_be_break_the_device_before_it_starts() {
        let start = |size: u32, at: u64| {
            let mut driver = Driver::start(board(1), 2, 0, 0);
            driver.store(register::STATUS, 0);
            driver.store(register::QUEUE_SIZE, size);
            for low in [register::QUEUE_DESCRIPTORS, register::QUEUE_DRIVER, register::QUEUE_DEVICE] {
                driver.store(low, at as u32);
                driver.store(low + register::HIGH, (at >> 32) as u32);
            }
            // A state with such a size is one that a board can be in.
            let state = driver.board.state().unwrap();
            board(1).restore(&state).unwrap();
            driver.store(register::QUEUE_READY, 1);
            (driver.load(register::QUEUE_READY), driver.load(register::STATUS) & status::NEEDS_RESET)
        };
        assert_eq!(start(16, DATA), (1, 0));
        for size in [0, 5, 128, 0x1_0010, u32::MAX] {
            assert_eq!(start(size, DATA), (0, status::NEEDS_RESET));
        }
        for at in [DATA + 8, 0, !15, RAM_BASE + MEMORY_BYTES - 16] {
            assert_eq!(start(16, at), (0, status::NEEDS_RESET));
        }
    }

    #[test]
    fn indices_wrap() {
        let mut driver = Driver::start(board(1), 2, 1, EVENT_IDX);
        driver.raw_descriptor(rings(0), DATA, 4, WRITE, 0);
        for turn in 0..70_000_u32 {
            driver.ask(0, turn as u16);
            driver.make_available(0, 0);
            driver.kick(0);
            assert_eq!(driver.used(0), [(0, 4)]);
            assert!(driver.interrupted(), "turn {turn}");
        }
        assert_eq!(driver.kick_wanted_at(0), 70_000_u32 as u16);
    }
}
