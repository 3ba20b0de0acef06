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

/// So many things were said that the step should end.
const SAID_MAX: usize = 64 << 10;

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

    fn is_sound(&self, memory: &Memory, disks: &[Box<dyn Storage>], has_net: bool) -> bool {
        let blocks = self.blocks.len() == disks.len()
            && self
                .blocks
                .iter()
                .zip(disks)
                .all(|(block, disk)| block.is_sound(memory) && block.function().is_sound(&**disk));
        let net = self.net.is_some() == has_net && self.net.iter().all(|net| net.is_sound(memory));
        blocks && net && self.uart.is_sound() && self.rng.is_sound(memory)
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
    /// A device has worked, or has a new deadline: whoever runs the hart must look at it before it goes on.
    worked: bool,
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
            worked: false,
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
        self.look_at_said(said_before);
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
    pub fn frame_room(&self) -> bool {
        self.devices.net.as_ref().is_some_and(|net| net.room(&self.memory))
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
        let said_before = self.said.len();
        self.said.extend(what);
        self.look_at_said(said_before);
    }

    /// Is what was said from `said_before` on a reason to end the step?
    fn look_at_said(&mut self, said_before: usize) {
        let new = &self.said[said_before..];
        let frames = new.iter().any(|said| matches!(said, Said::Frame(_)));
        self.urgent |= frames || !new.is_empty() && self.said.len() >= SAID_MAX;
    }

    /// Something was said since the last call that should leave at once.
    pub fn take_urgent(&mut self) -> bool {
        self.worked = false;
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

    #[cfg(test)]
    pub(crate) fn block(&self, disk: usize) -> &Block {
        self.devices.blocks[disk].function()
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

    /// The state that a board with the same devices had. Memory and disks (by [`Storage::clear`] and [`Storage::put`]) are loaded by the owner.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), LoadError> {
        let (line, devices): (Line, Devices) = postcard::from_bytes(state).map_err(|_| LoadError::Malformed)?;
        if !devices.is_sound(&self.memory, &self.disks, self.devices.net.is_some()) {
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
        let deadlines = self.next_deadline();
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
        self.worked |= matches!(place, Place::Virtio(_)) || self.next_deadline() != deadlines;
        stored
    }

    fn external_interrupt(&self) -> bool {
        self.external_interrupt
    }

    fn wants_end(&self) -> bool {
        self.urgent || self.worked || self.failure.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::virtio::testing::{DATA, Driver, MEMORY_BYTES, Piece, board, parts, rings};
    use crate::device::virtio::{EVENT_IDX, INDIRECT_DESC};
    use crate::disk::RamDisk;
    use crate::fuzz::{Blow, Start, assert_same_board, copy, strike};
    use crate::memory::RAM_BASE;
    use proptest::prelude::*;

    #[test]
    fn a_snapshot_with_requests_under_way_goes_on_as_the_original() {
        let mut driver = Driver::start(board(64), 0, 1, EVENT_IDX);
        let (header, status, data) = (DATA, DATA + 0x100, DATA + 0x1000);
        driver.write(data, &[0x77; 512]);
        // A read, and behind it a write to the same sector: the read must not see the write, in the copy neither.
        driver.write(header, &[0; 16]);
        driver.write(header + 16, &[1]);
        driver.add(0, &[Piece::Out(header, 16), Piece::In(data + 0x1000, 512), Piece::In(status, 1)]);
        driver.add(0, &[Piece::Out(header + 16, 16), Piece::Out(data, 512), Piece::In(status + 1, 1)]);
        driver.kick(0);
        driver.write(data + 0x1000, &[0xee; 512]);
        let mut other = copy(&mut driver.board);
        assert_eq!(other.state().unwrap(), driver.board.state().unwrap());
        assert_ne!(other.block(0).written(), 0);
        while let Some(due) = driver.board.next_deadline().nearest() {
            let at = Position(driver.board.line.position_at(due));
            driver.board.tick(at).unwrap();
            other.tick(at).unwrap();
        }
        assert_eq!(driver.read(data + 0x1000, 512), [0; 512]);
        assert_eq!(driver.used(0).len(), 2);
        assert_same_board(&mut driver.board, &mut other);
    }

    #[test]
    fn the_state_of_another_board_is_refused() {
        let state = board(64).state().unwrap();
        assert_eq!(board(65).restore(&state), Err(LoadError::OtherBoard));
        assert_eq!(Board::new(parts(Vec::new())).restore(&state), Err(LoadError::OtherBoard));
        assert_eq!(board(64).restore(&state[..20]), Err(LoadError::Malformed));
        assert_eq!(board(64).restore(&state), Ok(()));
    }

    #[test]
    fn interrupts_reach_the_hart_through_the_plic() {
        let mut board = board(64);
        let store = |board: &mut Board, at, width, value| board.store(at, width, value, Position(0)).unwrap();
        store(&mut board, UART.base + 1, 1, 1);
        store(&mut board, PLIC.base + 4 * u64::from(UART_IRQ), 4, 1);
        store(&mut board, PLIC.base + 0x2000, 4, 1 << UART_IRQ);
        assert!(!board.external_interrupt());
        assert_eq!(board.receive_console(b"x", Position(1)), 1);
        assert!(board.external_interrupt());
        assert_eq!(board.load(PLIC.base + 0x20_0004, 4, Position(2)), Ok(UART_IRQ.into()));
        assert!(!board.external_interrupt());
        store(&mut board, UART.base, 1, b'y'.into());
        assert!(!board.wants_end(), "the console can wait for the step's end");
        assert_eq!(board.take_said(), [Said::Console(b'y')]);
    }

    #[test]
    fn every_slot_answers_as_what_it_is_and_nothing_else_answers() {
        let mut board = board(64);
        let id = |board: &mut Board, slot| board.load(virtio_region(slot).base + 8, 4, Position(0));
        assert_eq!(
            (0..4).map(|slot| id(&mut board, slot)).collect::<Vec<_>>(),
            [Ok(2), Ok(1), Ok(4), Err(AccessFault)]
        );
        assert_eq!(board.virtio_slots(), 3);
        for at in [0, RTC.base - 8, UART.base + UART.bytes, VIRTIO.base + VIRTIO.bytes, !7, RAM_BASE - 8] {
            assert_eq!(board.load(at, 8, Position(0)), Err(AccessFault));
            assert_eq!(board.store(at, 8, 1, Position(0)), Err(AccessFault));
        }
    }

    fn address() -> impl Strategy<Value = u64> {
        prop_oneof![
            6 => RAM_BASE..RAM_BASE + MEMORY_BYTES,
            2 => (0u64..4, 0u64..0x400).prop_map(|(queue, offset)| rings(queue) + 16 * offset),
            1 => any::<u64>(),
            1 => RAM_BASE + MEMORY_BYTES - 64..RAM_BASE + MEMORY_BYTES + 64,
        ]
    }

    fn length() -> impl Strategy<Value = u32> {
        prop_oneof![4 => 0u32..2048, 1 => any::<u32>(), 1 => Just(u32::MAX), 1 => Just(2 << 20), 2 => (0u32..32).prop_map(|n| 16 * n)]
    }

    fn blow() -> impl Strategy<Value = Blow> {
        let registers = prop_oneof![(0u64..0x40).prop_map(|n| 4 * n), (0u64..0x400).prop_map(|n| 4 * n)];
        let value = prop_oneof![0u32..300, any::<u32>(), (0u32..32).prop_map(|bit| 1 << bit)];
        let wide = prop_oneof![Just(1u8), Just(2), Just(4), Just(8)];
        let places = prop_oneof![
            (0u64..8).prop_map(|n| UART.base + n),
            (0u64..0x40).prop_map(|n| RTC.base + n),
            (0u64..0x2100).prop_map(|n| PLIC.base + n),
            Just(PLIC.base + 0x20_0004),
            any::<u64>(),
        ];
        prop_oneof![
            2 => (0u32..8, registers, value).prop_map(|(slot, offset, value)| Blow::Store { slot, offset, value }),
            1 => (places, wide, any::<u64>()).prop_map(|(at, width, value)| Blow::Elsewhere { at: at & !u64::from(width - 1), width, value }),
            9 => (0u64..2, 0u16..20, address(), length(), 0u16..8, 0u16..20)
                .prop_map(|(queue, index, at, bytes, flags, next)| Blow::Descriptor { queue, index, at, bytes, flags, next }),
            6 => (0u64..2, 0u16..18).prop_map(|(queue, head)| Blow::Available { queue, head }),
            1 => (address(), proptest::collection::vec(any::<u8>(), 0..64)).prop_map(|(at, bytes)| Blow::Noise { at, bytes }),
            5 => (0u32..3).prop_map(|queue| Blow::Kick { queue }),
            2 => (12usize..4000).prop_map(|bytes| Blow::Frame { bytes }),
            1 => (0usize..2000).prop_map(|bytes| Blow::Console { bytes }),
            2 => (0u64..10_000_000).prop_map(|nanos| Blow::Tick { nanos }),
            1 => Just(Blow::Init),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn a_hostile_guest_hurts_only_itself_and_a_copy_suffers_the_same(
            slot in 0u32..3,
            features in prop_oneof![Just(0), Just(EVENT_IDX), Just(INDIRECT_DESC | EVENT_IDX), Just(INDIRECT_DESC | 1 << 15)],
            before in proptest::collection::vec(blow(), 0..60),
            after in proptest::collection::vec(blow(), 0..40),
        ) {
            let features = if slot == 1 { features } else { features & !(1 << 15) };
            let start = Start { slot, features };
            let mut driver = start.driver();
            before.iter().for_each(|blow| strike(&mut driver, start, blow));
            let other = copy(&mut driver.board);
            let mut other = driver.with_board(other);
            for blow in &after {
                strike(&mut driver, start, blow);
                strike(&mut other, start, blow);
            }
            assert_same_board(&mut driver.board, &mut other.board);
        }

        #[test]
        fn damaged_state_is_refused_or_harmless(at in 0usize..400, byte in any::<u8>(), blows in proptest::collection::vec(blow(), 0..30)) {
            let start = Start { slot: 0, features: EVENT_IDX };
            let mut driver = start.driver();
            let mut state = driver.board.state().unwrap();
            let at = at % state.len();
            state[at] = byte;
            if driver.board.restore(&state).is_ok() {
                for blow in blows.iter().filter(|blow| !matches!(blow, Blow::Init)) {
                    strike(&mut driver, start, blow);
                }
            }
        }
    }

    #[test]
    fn no_more_disks_than_slots() {
        let disks = |n| (0..n).map(|_| Box::new(RamDisk::new(1)) as Box<dyn Storage>).collect();
        assert_eq!(Board::new(parts(disks(DISKS_MAX))).virtio_slots(), VIRTIO_SLOTS_MAX);
        assert!(std::panic::catch_unwind(|| Board::new(parts(disks(DISKS_MAX + 1)))).is_err());
    }
}
