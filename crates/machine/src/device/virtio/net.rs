//! virtio-net (section 5.1): a network card with one pair of queues.
//!
//! The rules it keeps: every frame that waits at a kick is said at once, header and all, and its buffer is given back; a frame from outside is placed
//! whole, over several buffers if the driver merges, or not at all. Offloads are the host's business: their bits and the header's fields pass through.
//! What it leaves out: control queue, multiqueue, MTU.

use super::queue::{Broken, Chain, Queue, gather, scatter, total};
use super::{Function, Mmio};
use crate::device::{Cx, Said};
use serde::{Deserialize, Serialize};

/// Bytes of the header before every frame.
pub const HEADER_BYTES: usize = 12;
/// Longest frame with its header: 64 KiB of IP under Ethernet with one VLAN tag.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + 18 + 65_535;

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
    if bytes < HEADER_BYTES as u64 || bytes > FRAME_BYTES_MAX as u64 {
        return Err(Broken);
    }
    let mut frame = vec![0; bytes as usize];
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
        assert!((HEADER_BYTES..=FRAME_BYTES_MAX).contains(&frame.len()), "a frame of {} bytes", frame.len());
        let placed = self.work(RECEIVE, cx, |net, queue, cx| net.place(frame, queue, cx));
        !matches!(placed, None | Some(Placed::NoRoom))
    }

    /// Does at least one buffer wait for a frame?
    pub fn room(&self, cx: &Cx<'_>) -> bool {
        self.works() && self.queues[RECEIVE].waiting(cx.memory).is_ok_and(|waiting| waiting > 0)
    }
}
