//! The board: memory and devices at fixed addresses, and the wires between them.
//!
//! The rules it keeps: every access and event carries its position, from which the board's line makes the guest's time; after each of them the
//! interrupt controller sees the devices' lines; what devices say is collected here until the owner takes it at the step's end. State that is neither
//! memory nor disk is encoded by [`Board::state`], the same bytes for snapshots and for digests.
//!
//! ```text
//! 0x0010_1000  RTC          irq 11
//! 0x0c00_0000  PLIC
//! 0x1000_0000  UART         irq 10
//! 0x1000_1000  virtio n     irq 1 + n, one page each: the disks, then the network card, then entropy
//! 0x8000_0000  memory
//! ```

use crate::clock::Line;
use crate::device::plic::Plic;
use crate::device::rtc::Rtc;
use crate::device::uart::Uart;
use crate::device::virtio::Mmio;
use crate::device::virtio::block::Block;
use crate::device::virtio::net::{Mac, Net};
use crate::device::virtio::rng::Rng;
use crate::device::{AccessFault, Cx, Device, Moment, Said};
use crate::disk::Storage;
use crate::hart::Bus;
use crate::memory::Memory;
use gapless_log::Position;
use serde::{Deserialize, Serialize};
use std::io;

/// A range of the guest's physical address space that belongs to a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// First address.
    pub base: u64,
    /// Length.
    pub bytes: u64,
}

impl Region {
    fn offset(&self, at: u64) -> Option<u64> {
        at.checked_sub(self.base).filter(|&offset| offset < self.bytes)
    }
}

/// Where the RTC is.
pub const RTC: Region = Region { base: 0x0010_1000, bytes: 0x1000 };
/// Where the interrupt controller is.
pub const PLIC: Region = Region { base: 0x0c00_0000, bytes: 0x60_0000 };
/// Where the console is.
pub const UART: Region = Region { base: 0x1000_0000, bytes: 0x100 };
/// Where all virtio slots are.
const VIRTIO: Region = Region { base: 0x1000_1000, bytes: VIRTIO_SLOTS_MAX as u64 * VIRTIO_BYTES };
const VIRTIO_BYTES: u64 = 0x1000;

/// Interrupt source of the console.
pub const UART_IRQ: u32 = 10;
/// Interrupt source of the RTC.
pub const RTC_IRQ: u32 = 11;
/// Interrupt source of the first virtio slot.
const VIRTIO_IRQ: u32 = 1;
/// Number of virtio slots.
pub const VIRTIO_SLOTS_MAX: u32 = 8;
/// Most disks: one slot is for the network card, one for entropy.
pub const DISKS_MAX: usize = VIRTIO_SLOTS_MAX as usize - 2;

/// Where a virtio slot is.
pub fn virtio_region(slot: u32) -> Region {
    Region { base: VIRTIO.base + u64::from(slot) * VIRTIO_BYTES, bytes: VIRTIO_BYTES }
}

/// Interrupt source of a virtio slot.
pub fn virtio_irq(slot: u32) -> u32 {
    VIRTIO_IRQ + slot
}

/// What a board is made of.
pub struct Parts {
    /// The memory.
    pub memory: Memory,
    /// Wall-clock nanoseconds since 1970 at switch-on (logged).
    pub boot_wall_nanos: u64,
    /// Seed of the entropy device (logged).
    pub entropy_seed: [u8; 32],
    /// The disks, at most [`DISKS_MAX`].
    pub disks: Vec<Box<dyn Storage>>,
    /// The network card's address, if there is a card.
    pub mac: Option<Mac>,
}

/// The devices: all of a board's state but memory, disks and line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Devices {
    plic: Plic,
    uart: Uart,
    rtc: Rtc,
    blocks: Vec<Mmio<Block>>,
    net: Option<Mmio<Net>>,
    rng: Mmio<Rng>,
}

/// Who answers at an address.
#[derive(Clone, Copy)]
enum Place {
    Plic,
    Uart,
    Rtc,
    Virtio(usize),
}

impl Place {
    fn find(at: u64) -> Option<(Self, u64)> {
        let slot = |offset| (Self::Virtio((offset / VIRTIO_BYTES) as usize), offset % VIRTIO_BYTES);
        let fixed = [(PLIC, Self::Plic), (UART, Self::Uart), (RTC, Self::Rtc)];
        let fixed = fixed.into_iter().find_map(|(region, place)| Some((place, region.offset(at)?)));
        VIRTIO.offset(at).map(slot).or(fixed)
    }
}

impl Devices {
    fn at(&mut self, place: Place) -> Option<&mut dyn Device> {
        match place {
            Place::Plic => Some(&mut self.plic),
            Place::Uart => Some(&mut self.uart),
            Place::Rtc => Some(&mut self.rtc),
            Place::Virtio(slot) => self.virtio(slot),
        }
    }

    fn virtio(&mut self, slot: usize) -> Option<&mut dyn Device> {
        let disks = self.blocks.len();
        match (slot.checked_sub(disks), &mut self.net) {
            (None, _) => Some(&mut self.blocks[slot]),
            (Some(0), Some(net)) => Some(net),
            (Some(0), None) | (Some(1), Some(_)) => Some(&mut self.rng),
            _ => None,
        }
    }

    fn virtio_lines(&self) -> impl Iterator<Item = bool> + '_ {
        let blocks = self.blocks.iter().map(Device::interrupt);
        blocks.chain(self.net.iter().map(Device::interrupt)).chain([self.rng.interrupt()])
    }

    /// The wires to the interrupt controller.
    fn wire(&mut self) {
        let virtio = (VIRTIO_IRQ..).zip(self.virtio_lines());
        let fixed = [(UART_IRQ, self.uart.interrupt()), (RTC_IRQ, self.rtc.interrupt())];
        let lines = virtio.chain(fixed).fold(0, |lines, (irq, high)| lines | u32::from(high) << irq);
        self.plic.set_lines(lines);
    }

    fn is_sound(&self, disks: &[Box<dyn Storage>], has_net: bool) -> bool {
        let blocks = self.blocks.len() == disks.len()
            && self
                .blocks
                .iter()
                .zip(disks)
                .all(|(block, disk)| block.is_sound() && block.function().is_sound(&**disk));
        let net = self.net.is_some() == has_net && self.net.iter().all(Mmio::is_sound);
        blocks && net && self.uart.is_sound() && self.rng.is_sound()
    }
}

/// When devices want [`Board::tick`], in nanoseconds since the machine was switched on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadlines {
    /// A block request is due; an idle machine may jump there without an entry, since both sides compute it.
    pub block: Option<u64>,
    /// Anything else.
    pub other: Option<u64>,
}

impl Deadlines {
    /// The nearest one.
    pub fn nearest(&self) -> Option<u64> {
        self.block.into_iter().chain(self.other).min()
    }
}

/// State that cannot be loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LoadError {
    /// Not bytes of [`Board::state`], or of another version.
    #[error("the state of the devices cannot be read: it was written by another version, or is damaged")]
    Malformed,
    /// The state of a board with other devices.
    #[error("the state is of a machine with other disks or another network card; start this one with the same")]
    OtherBoard,
}

/// The board.
pub struct Board {
    /// The guest's time; the owner sets it at every Clock entry.
    pub line: Line,
    memory: Memory,
    devices: Devices,
    disks: Vec<Box<dyn Storage>>,
    said: Vec<Said>,
    /// Something said should leave at once.
    urgent: bool,
    /// An I/O error of the host that an access met; the next event reports it.
    failure: Option<io::Error>,
    /// A disk has a new request: whoever runs the hart must look at the deadlines again.
    rescheduled: bool,
    external_interrupt: bool,
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board").field("line", &self.line).field("devices", &self.devices).finish_non_exhaustive()
    }
}

impl Board {
    /// Switched on.
    pub fn new(parts: Parts) -> Self {
        let Parts { memory, boot_wall_nanos, entropy_seed, disks, mac } = parts;
        assert!(disks.len() <= DISKS_MAX, "{} disks, but there is room for {DISKS_MAX}", disks.len());
        let serial = |n: usize| format!("gapless-disk-{n}");
        let blocks = disks.iter().enumerate().map(|(n, disk)| Mmio::new(Block::new(&**disk, &serial(n))));
        let devices = Devices {
            plic: Plic::new(),
            uart: Uart::new(),
            rtc: Rtc::new(boot_wall_nanos),
            blocks: blocks.collect(),
            net: mac.map(|mac| Mmio::new(Net::new(mac))),
            rng: Mmio::new(Rng::new(entropy_seed)),
        };
        Self {
            line: Line::start(),
            memory,
            devices,
            disks,
            said: Vec::new(),
            urgent: false,
            failure: None,
            rescheduled: false,
            external_interrupt: false,
        }
    }

    /// Number of virtio slots in use.
    pub fn virtio_slots(&self) -> u32 {
        self.devices.virtio_lines().count() as u32
    }

    /// Lets a device work at a position, then looks at what follows from it.
    fn with<R>(
        &mut self,
        at: Position,
        work: impl FnOnce(&mut Devices, &mut [Box<dyn Storage>], &mut Cx<'_>) -> R,
    ) -> R {
        let now = Moment { position: at, nanos: self.line.time(at) };
        let said_before = self.said.len();
        let mut cx = Cx { memory: &mut self.memory, now, said: &mut self.said };
        let result = work(&mut self.devices, &mut self.disks, &mut cx);
        self.urgent |= self.said[said_before..].iter().any(|said| matches!(said, Said::Frame(_)));
        self.devices.wire();
        self.external_interrupt = self.devices.plic.interrupt();
        result
    }

    /// When a device wants [`Board::tick`].
    pub fn next_deadline(&self) -> Deadlines {
        let block = self.devices.blocks.iter().filter_map(Mmio::next_due).min();
        Deadlines { block, other: self.devices.rtc.next_due() }
    }

    /// Does everything that is due at this position. Waits for a disk that is late. An error is the host's: this side stops.
    pub fn tick(&mut self, at: Position) -> io::Result<()> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.with(at, |devices, disks, cx| {
            devices.rtc.tick(cx.now.nanos);
            let mut blocks = devices.blocks.iter_mut().zip(disks);
            blocks.try_for_each(|(block, disk)| block.complete(&mut **disk, cx))
        })
    }

    /// A frame with its virtio-net header from outside. False: the guest has no room for it now (or there is no card).
    pub fn receive_frame(&mut self, frame: &[u8], at: Position) -> bool {
        self.with(at, |devices, _, cx| devices.net.as_mut().is_some_and(|net| net.receive(frame, cx)))
    }

    /// Does the guest wait for a frame?
    pub fn frame_room(&mut self) -> bool {
        let now = Moment { position: Position(0), nanos: 0 };
        let cx = Cx { memory: &mut self.memory, now, said: &mut self.said };
        self.devices.net.as_ref().is_some_and(|net| net.room(&cx))
    }

    /// Features that the guest's network driver has accepted, once it has: which offloads the host may use.
    pub fn net_features(&self) -> Option<u64> {
        self.devices.net.as_ref()?.features()
    }

    /// Bytes for the console; returns how many fitted.
    pub fn receive_console(&mut self, bytes: &[u8], at: Position) -> usize {
        self.with(at, |devices, _, _| devices.uart.receive(bytes))
    }

    /// How many bytes the console can take.
    pub fn console_room(&self) -> usize {
        self.devices.uart.room()
    }

    /// What was said since the last call, in order.
    pub fn take_said(&mut self) -> Vec<Said> {
        self.urgent = false;
        std::mem::take(&mut self.said)
    }

    /// What was said and not yet taken.
    pub fn said(&self) -> &[Said] {
        &self.said
    }

    /// Says something that no device here says: firmware, or what a snapshot in the middle of a step held.
    pub fn say(&mut self, what: impl IntoIterator<Item = Said>) {
        self.said.extend(what);
    }

    /// Something was said since the last call that should leave at once.
    pub fn take_urgent(&mut self) -> bool {
        self.rescheduled = false;
        std::mem::take(&mut self.urgent)
    }

    /// The reset line: devices as new; disks and the wall clock go on. Waits for the disks.
    pub fn reset(&mut self) -> io::Result<()> {
        self.state()?;
        let devices = &mut self.devices;
        (devices.plic, devices.uart) = (Plic::new(), Uart::new());
        devices.blocks.iter_mut().for_each(Mmio::reset);
        devices.net.iter_mut().for_each(Mmio::reset);
        devices.rng.reset();
        self.devices.wire();
        self.external_interrupt = self.devices.plic.interrupt();
        Ok(())
    }

    /// The disks, to be saved and loaded at the same position as [`Board::state`].
    pub fn disks(&mut self) -> &mut [Box<dyn Storage>] {
        &mut self.disks
    }

    /// The memory.
    pub fn memory_ref(&self) -> &Memory {
        &self.memory
    }

    /// The end: gives the disks back, to be closed.
    pub fn into_disks(self) -> Vec<Box<dyn Storage>> {
        self.disks
    }

    /// All state but memory, disks and what was said, as bytes. Waits for the disks' answers to what the guest
    /// has asked, since these are part of it.
    pub fn state(&mut self) -> io::Result<Vec<u8>> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let mut blocks = self.devices.blocks.iter_mut().zip(&mut self.disks);
        blocks.try_for_each(|(block, disk)| block.settle(&mut **disk))?;
        Ok(postcard::to_stdvec(&(&self.line, &self.devices)).expect("plain data is encoded"))
    }

    /// The state that a board with the same devices had. Memory and disks are loaded by the owner.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), LoadError> {
        let (line, devices): (Line, Devices) = postcard::from_bytes(state).map_err(|_| LoadError::Malformed)?;
        if !devices.is_sound(&self.disks, self.devices.net.is_some()) {
            return Err(LoadError::OtherBoard);
        }
        (self.line, self.devices) = (line, devices);
        self.said.clear();
        self.urgent = false;
        self.devices.wire();
        self.external_interrupt = self.devices.plic.interrupt();
        Ok(())
    }
}

impl Bus for Board {
    fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }

    fn load(&mut self, at: u64, width: u8, when: Position) -> Result<u64, AccessFault> {
        let (place, offset) = Place::find(at).ok_or(AccessFault)?;
        self.with(when, |devices, _, cx| devices.at(place).ok_or(AccessFault)?.load(offset, width, cx))
    }

    fn store(&mut self, at: u64, width: u8, value: u64, when: Position) -> Result<(), AccessFault> {
        let (place, offset) = Place::find(at).ok_or(AccessFault)?;
        let (stored, submitted) = self.with(when, |devices, disks, cx| {
            let stored = devices.at(place).ok_or(AccessFault).and_then(|device| device.store(offset, width, value, cx));
            let Place::Virtio(slot) = place else { return (stored, Ok(())) };
            let submitted = match (devices.blocks.get_mut(slot), disks.get_mut(slot)) {
                (Some(block), Some(disk)) => block.submit(&mut **disk),
                _ => Ok(()),
            };
            (stored, submitted)
        });
        self.failure = self.failure.take().or(submitted.err());
        self.rescheduled = true;
        stored
    }

    fn external_interrupt(&self) -> bool {
        self.external_interrupt
    }

    fn wants_end(&self) -> bool {
        self.urgent || self.rescheduled || self.failure.is_some()
    }
}
