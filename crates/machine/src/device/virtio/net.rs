//! virtio-net (section 5.1): a network card with one pair of queues.
//!
//! The rules it keeps: every frame that waits at a kick is said at once, header and all, and its buffer is given back; a frame from outside is placed
//! whole, over several buffers if the driver merges, or not at all. Offloads are the host's business: their bits and the header's fields pass through.
//! What it leaves out: control queue, multiqueue, MTU.

use super::queue::{Broken, Chain, Queue, gather, scatter, total};
use super::{Function, Mmio};
use crate::device::{Cx, Said};
use crate::memory::Memory;
use serde::{Deserialize, Serialize};

/// Bytes of the header before every frame.
pub const HEADER_BYTES: usize = 12;
/// Longest frame with its header: 64 KiB of IP under Ethernet with one VLAN tag.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + 18 + 65_535;
/// Lengths that a frame can have.
pub const FRAME_BYTES: std::ops::RangeInclusive<usize> = HEADER_BYTES..=FRAME_BYTES_MAX;

/// Where the header counts the buffers of a received frame (u16).
const NUM_BUFFERS: usize = 10;
const LINK_UP: u16 = 1;

const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;

/// Feature bits (section 5.1.3).
pub mod feature {
    /// The device takes frames whose checksum is incomplete.
    pub const CSUM: u64 = 1 << 0;
    /// The driver takes frames whose checksum is incomplete.
    pub const GUEST_CSUM: u64 = 1 << 1;
    /// The device has an address.
    pub const MAC: u64 = 1 << 5;
    /// The driver takes TCP over IPv4 in frames longer than the wire's.
    pub const GUEST_TSO4: u64 = 1 << 7;
    /// The same over IPv6.
    pub const GUEST_TSO6: u64 = 1 << 8;
    /// The device takes TCP over IPv4 in frames longer than the wire's.
    pub const HOST_TSO4: u64 = 1 << 11;
    /// The same over IPv6.
    pub const HOST_TSO6: u64 = 1 << 12;
    /// A received frame may span buffers.
    pub const MRG_RXBUF: u64 = 1 << 15;
    /// The link's state can be read.
    pub const STATUS: u64 = 1 << 16;
}

/// An Ethernet address.
pub type Mac = [u8; 6];

/// The card.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Net {
    mac: Mac,
    merges: bool,
}

/// What became of a frame from outside.
enum Placed {
    Whole,
    NoRoom,
    /// The driver gives single buffers only, and this one is too short: dropped, as a card does.
    TooLong,
}

impl Net {
    /// With this address.
    pub fn new(mac: Mac) -> Self {
        Self { mac, merges: false }
    }

    /// Its address.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    fn place(&self, frame: &[u8], queue: &mut Queue, cx: &mut Cx<'_>) -> Result<Placed, Broken> {
        let chains = self.collect(frame.len(), queue, cx)?;
        let room = chains.iter().map(|chain| total(&chain.writable)).sum::<u64>();
        if room < frame.len() as u64 {
            queue.unpop(chains.len() as u16);
            queue.ask_for_kick(cx.memory)?;
            return Ok(if self.merges || chains.is_empty() { Placed::NoRoom } else { Placed::TooLong });
        }
        let mut frame = frame.to_vec();
        frame[NUM_BUFFERS..HEADER_BYTES].copy_from_slice(&(chains.len() as u16).to_le_bytes());
        let mut used = Vec::with_capacity(chains.len());
        let mut rest = &frame[..];
        for chain in &chains {
            let (now, later) = rest.split_at(rest.len().min(total(&chain.writable) as usize));
            scatter(cx.memory, &chain.writable, 0, now)?;
            used.push((chain.head, now.len() as u32));
            rest = later;
        }
        queue.push_all(cx.memory, &used)?;
        queue.ask_for_kick(cx.memory)?;
        Ok(Placed::Whole)
    }

    /// Pops buffers until they hold so many bytes, or there are no more.
    fn collect(&self, bytes: usize, queue: &mut Queue, cx: &Cx<'_>) -> Result<Vec<Chain>, Broken> {
        let chains_max = if self.merges { queue.waiting(cx.memory)? } else { queue.waiting(cx.memory)?.min(1) };
        let (mut chains, mut room) = (Vec::new(), 0);
        for _ in 0..chains_max {
            let Some(chain) = queue.pop(cx.memory)? else { break };
            room += total(&chain.writable);
            chains.push(chain);
            if room >= bytes as u64 {
                break;
            }
        }
        Ok(chains)
    }
}

/// Takes one frame out of its buffer.
fn frame(chain: &Chain, cx: &Cx<'_>) -> Result<Vec<u8>, Broken> {
    let bytes = total(&chain.readable);
    let bytes = usize::try_from(bytes).ok().filter(|bytes| FRAME_BYTES.contains(bytes)).ok_or(Broken)?;
    let mut frame = vec![0; bytes];
    gather(cx.memory, &chain.readable, 0, &mut frame)?;
    Ok(frame)
}

impl Function for Net {
    const ID: u32 = 1;
    const QUEUES: &'static [u16] = &[256, 256];

    fn features(&self) -> u64 {
        use feature::*;
        CSUM | GUEST_CSUM | MAC | GUEST_TSO4 | GUEST_TSO6 | HOST_TSO4 | HOST_TSO6 | MRG_RXBUF | STATUS
    }

    fn config(&self) -> Vec<u8> {
        let mut config = self.mac.to_vec();
        config.extend(LINK_UP.to_le_bytes());
        config
    }

    fn agreed(&mut self, features: u64) {
        self.merges = features & feature::MRG_RXBUF != 0;
    }

    fn kick(&mut self, index: usize, queue: &mut Queue, cx: &mut Cx<'_>) -> Result<(), Broken> {
        if index != TRANSMIT {
            return Ok(());
        }
        for _ in 0..queue.waiting(cx.memory)? {
            let Some(chain) = queue.pop(cx.memory)? else { break };
            let frame = frame(&chain, cx)?;
            cx.said.push(Said::Frame(frame));
            queue.push(cx.memory, chain.head, 0)?;
        }
        queue.ask_for_kick(cx.memory)
    }

    fn reset(&mut self) {
        self.merges = false;
    }
}

impl Mmio<Net> {
    /// Places a frame with its header into the guest's buffers. False: there is no room now; offer it again later.
    pub fn receive(&mut self, frame: &[u8], cx: &mut Cx<'_>) -> bool {
        assert!(FRAME_BYTES.contains(&frame.len()), "a frame of {} bytes", frame.len());
        let placed = self.work(RECEIVE, cx, |net, queue, cx| net.place(frame, queue, cx));
        !matches!(placed, None | Some(Placed::NoRoom))
    }

    /// Does at least one buffer wait for a frame?
    pub fn room(&self, memory: &Memory) -> bool {
        self.works() && self.queues[RECEIVE].waiting(memory).is_ok_and(|waiting| waiting > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{DATA, Driver, MAC, Piece, board};
    use super::super::{EVENT_IDX, INDIRECT_DESC, register};
    use super::*;
    use crate::hart::Bus;
    use gapless_log::Position;

    const RX: u64 = RECEIVE as u64;
    const TX: u64 = TRANSMIT as u64;

    fn driver(features: u64) -> Driver {
        Driver::start(board(1), 1, 2, features)
    }

    fn frame_of(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|i| if i < HEADER_BYTES { 0 } else { (i % 253) as u8 }).collect()
    }

    #[test]
    fn every_frame_that_waits_at_a_kick_is_said_and_ends_the_step() {
        let mut driver = driver(INDIRECT_DESC);
        let frames = [frame_of(60), frame_of(1514), frame_of(12)];
        for (i, frame) in frames.iter().enumerate() {
            let at = DATA + i as u64 * 0x1000;
            driver.write(at, frame);
            let header = Piece::Out(at, 12);
            match frame.len() as u32 - 12 {
                0 => driver.add(TX, &[header]),
                rest => driver.add_indirect(TX, &[header, Piece::Out(at + 12, rest)]),
            };
        }
        assert!(!driver.board.take_urgent());
        driver.kick(TRANSMIT as u32);
        assert!(driver.board.wants_end() && driver.board.take_urgent());
        assert_eq!(driver.frames(), frames);
        assert!(!driver.board.wants_end());
        assert_eq!(driver.used(TX).len(), 3);
    }

    #[test]
    fn a_frame_spans_merged_buffers() {
        let mut driver = driver(feature::MRG_RXBUF);
        let frame = frame_of(2500);
        assert!(!driver.board.receive_frame(&frame, Position(1)), "no buffers at all");
        let heads: Vec<u16> = (0..2)
            .map(|i| driver.add(RX, &[Piece::In(DATA + i * 0x1000, 500), Piece::In(DATA + i * 0x1000 + 500, 500)]))
            .collect();
        assert!(driver.board.frame_room());
        assert!(!driver.board.receive_frame(&frame, Position(1)), "too few buffers");
        assert_eq!(driver.used(RX), [], "and none of them is touched");
        let last = driver.add(RX, &[Piece::In(DATA + 0x2000, 1000)]);
        assert!(driver.board.receive_frame(&frame, Position(1)));
        assert_eq!(driver.used(RX), [(heads[0], 1000), (heads[1], 1000), (last, 500)]);
        assert!(driver.interrupted());
        let mut placed =
            [driver.read(DATA, 1000), driver.read(DATA + 0x1000, 1000), driver.read(DATA + 0x2000, 500)].concat();
        assert_eq!(placed[NUM_BUFFERS..HEADER_BYTES], [3, 0]);
        placed[NUM_BUFFERS] = 0;
        assert_eq!(placed, frame);
        assert!(!driver.board.frame_room());
    }

    #[test]
    fn without_merging_a_long_frame_is_dropped_and_does_not_block_the_next() {
        let mut driver = driver(0);
        let head = driver.add(RX, &[Piece::In(DATA, 1526)]);
        assert!(driver.board.receive_frame(&frame_of(2000), Position(1)));
        assert_eq!(driver.used(RX), []);
        assert!(driver.board.receive_frame(&frame_of(1526), Position(1)));
        assert_eq!(driver.used(RX), [(head, 1526)]);
        assert_eq!(driver.read(DATA + NUM_BUFFERS as u64, 2), [1, 0]);
    }

    #[test]
    fn with_event_idx_the_device_wants_a_kick_for_the_next_buffer() {
        let mut driver = driver(EVENT_IDX | feature::MRG_RXBUF);
        driver.add(RX, &[Piece::In(DATA, 100)]);
        driver.kick(RECEIVE as u32);
        assert!(!driver.board.receive_frame(&frame_of(200), Position(1)));
        assert_eq!(driver.kick_wanted_at(RX), 0, "the buffer was put back");
        driver.write(DATA, &frame_of(60));
        driver.add(TX, &[Piece::Out(DATA, 60)]);
        driver.kick(TRANSMIT as u32);
        assert_eq!(driver.kick_wanted_at(TX), 1);
    }

    #[test]
    fn frames_that_cannot_be_break_the_device() {
        for pieces in
            [&[Piece::Out(DATA, 11)][..], &[Piece::Out(DATA, FRAME_BYTES_MAX as u32 + 1)], &[Piece::In(DATA, 60)]]
        {
            let mut driver = driver(0);
            driver.add(TX, pieces);
            driver.kick(TRANSMIT as u32);
            assert!(driver.needs_reset());
            assert_eq!(driver.frames(), Vec::<Vec<u8>>::new());
        }
    }

    #[test]
    fn the_card_has_its_address_and_a_link() {
        let mut driver = driver(feature::MAC | feature::STATUS);
        let config = register::CONFIG;
        let (low, high) = (driver.load(config), driver.load(config + 4));
        assert_eq!([&low.to_le_bytes()[..], &high.to_le_bytes()].concat(), [&MAC[..], &[1, 0]].concat());
        assert_eq!(driver.board.net_features(), Some(feature::MAC | feature::STATUS | super::super::VERSION_1));
    }
}
