//! Drivers that keep to no protocol: registers, rings and descriptors of any contents, against a board alone.

use super::Bytes;
use crate::board::{Board, PLIC, RTC, UART, virtio_region};
use crate::device::virtio::testing::{Driver, MEMORY_BYTES, board, rings};
use crate::device::virtio::{EVENT_IDX, INDIRECT_DESC};
use crate::hart::Bus;
use crate::memory::{GuestAddr, PAGE_BYTES, RAM_BASE};
use gapless_log::Position;

const SECTORS: u64 = 64;

/// What a hostile guest does, biased towards what gets far.
#[derive(Clone, Debug)]
pub(crate) enum Blow {
    Store { slot: u32, offset: u64, value: u32 },
    Elsewhere { at: u64, width: u8, value: u64 },
    Descriptor { queue: u64, index: u16, at: u64, bytes: u32, flags: u16, next: u16 },
    Available { queue: u64, head: u16 },
    Noise { at: u64, bytes: Vec<u8> },
    Kick { queue: u32 },
    Frame { bytes: usize },
    Console { bytes: usize },
    Tick { nanos: u64 },
    Init,
}

/// What the driver was started with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) slot: u32,
    pub(crate) features: u64,
}

impl Start {
    fn queues(self) -> u32 {
        if self.slot == 1 { 2 } else { 1 }
    }

    pub(crate) fn driver(self) -> Driver {
        Driver::start(board(SECTORS), self.slot, self.queues(), self.features)
    }
}

pub(crate) fn strike(driver: &mut Driver, start: Start, blow: &Blow) {
    let at = driver.at;
    match blow {
        Blow::Store { slot, offset, value } => {
            let base = virtio_region(*slot).base;
            let _ = driver.board.store(base + offset, 4, (*value).into(), at);
            let _ = driver.board.load(base + offset, 4, at);
        }
        Blow::Elsewhere { at: place, width, value } => {
            let _ = driver.board.store(*place, *width, *value, at);
            let _ = driver.board.load(*place, *width, at);
        }
        Blow::Descriptor { queue, index, at, bytes, flags, next } => {
            driver.raw_descriptor(rings(*queue) + 16 * u64::from(*index), *at, *bytes, *flags, *next);
        }
        Blow::Available { queue, head } => driver.make_available(*queue, *head),
        Blow::Noise { at, bytes } => {
            let _ = driver.board.memory().write(GuestAddr(*at), bytes);
        }
        Blow::Kick { queue } => driver.kick(*queue),
        Blow::Frame { bytes } => {
            driver.board.receive_frame(&vec![1; *bytes], at);
            driver.board.frame_room();
        }
        Blow::Console { bytes } => {
            driver.board.receive_console(&vec![b'c'; *bytes], at);
        }
        Blow::Tick { nanos } => {
            driver.at = Position(at.0 + nanos);
            driver.board.tick(driver.at).expect("the disks work");
        }
        Blow::Init => driver.init(start.queues(), start.features),
    }
    driver.board.take_said();
}

/// A snapshot as the owner makes it: the state, then memory and disks.
pub(crate) fn copy(from: &mut Board) -> Board {
    let state = from.state().expect("the disks work");
    let mut to = board(SECTORS);
    to.restore(&state).expect("the state of such a board");
    for page in 0..from.memory_ref().pages() {
        let bytes = *from.memory_ref().page(page);
        to.memory().write(GuestAddr(RAM_BASE + page * PAGE_BYTES), &bytes).expect("the page is in memory");
    }
    for (to, from) in to.disks().iter_mut().zip(from.disks()) {
        to.clear().expect("the disk works");
        from.save(&mut |block, bytes| to.put(block, bytes)).expect("the disks work");
    }
    to
}

pub(crate) fn assert_same_board(one: &mut Board, other: &mut Board) {
    let (a, b) = (one.memory_ref(), other.memory_ref());
    assert!((0..a.pages()).all(|page| a.page(page) == b.page(page)));
    assert_eq!(one.state().expect("the disks work"), other.state().expect("the disks work"));
    assert_eq!(one.external_interrupt(), other.external_interrupt());
}

/// Bytes as a driver's deeds. A copy of the board, made on the way, suffers the same.
pub fn virtqueue(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let slot = u32::from(bytes.byte() % 3);
    let merge = if slot == 1 { 1 << 15 } else { 0 };
    let start = Start { slot, features: bytes.pick(&[0, EVENT_IDX, INDIRECT_DESC | EVENT_IDX, INDIRECT_DESC | merge]) };
    let copied_after = bytes.byte() % 64;
    let mut driver = start.driver();
    for _ in 0..copied_after {
        let blow = blow(&mut bytes);
        strike(&mut driver, start, &blow);
    }
    let other = copy(&mut driver.board);
    let mut other = driver.with_board(other);
    while !bytes.is_empty() {
        let blow = blow(&mut bytes);
        strike(&mut driver, start, &blow);
        strike(&mut other, start, &blow);
    }
    assert_same_board(&mut driver.board, &mut other.board);
}

fn address(bytes: &mut Bytes<'_>) -> u64 {
    match bytes.byte() % 10 {
        0..6 => RAM_BASE + bytes.number::<3>() % MEMORY_BYTES,
        6..8 => rings(bytes.below(4)) + 16 * bytes.below(0x400),
        8 => RAM_BASE + MEMORY_BYTES - 64 + bytes.below(128),
        _ => bytes.hostile(),
    }
}

fn blow(bytes: &mut Bytes<'_>) -> Blow {
    match bytes.byte() % 30 {
        0..2 => {
            Blow::Store { slot: bytes.byte() as u32 % 8, offset: 4 * bytes.below(0x400), value: bytes.hostile() as u32 }
        }
        2 => {
            let width = bytes.pick(&[1, 2, 4, 8]);
            let place = match bytes.byte() % 5 {
                0 => UART.base + bytes.below(8),
                1 => RTC.base + bytes.below(0x40),
                2 => PLIC.base + bytes.below(0x2100),
                3 => PLIC.base + 0x20_0004,
                _ => bytes.hostile(),
            };
            Blow::Elsewhere { at: place & !u64::from(width - 1), width, value: bytes.hostile() }
        }
        3..12 => Blow::Descriptor {
            queue: bytes.below(2),
            index: bytes.below(20) as u16,
            at: address(bytes),
            bytes: bytes.hostile() as u32,
            flags: bytes.below(8) as u16,
            next: bytes.below(20) as u16,
        },
        12..18 => Blow::Available { queue: bytes.below(2), head: bytes.below(18) as u16 },
        18 => {
            let at = address(bytes);
            let length = bytes.byte() % 64;
            Blow::Noise { at, bytes: bytes.take(length.into()).to_vec() }
        }
        19..24 => Blow::Kick { queue: bytes.byte() as u32 % 3 },
        24..26 => Blow::Frame { bytes: 12 + bytes.below(4000) as usize },
        26 => Blow::Console { bytes: bytes.below(2000) as usize },
        27..29 => Blow::Tick { nanos: bytes.number::<3>() },
        _ => Blow::Init,
    }
}
