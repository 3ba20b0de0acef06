//! A tiny driver: it knows the registers and the rings, so that tests say only what is asked and what comes back.

use super::{VERSION_1, register, status};
use crate::board::{Board, Parts, virtio_region};
use crate::device::Said;
use crate::disk::{RamDisk, Storage};
use crate::hart::Bus;
use crate::memory::{GuestAddr, Memory, RAM_BASE};
use gapless_log::Position;

pub(crate) const MEMORY_BYTES: u64 = 4 << 20;
pub(crate) const SIZE: u16 = 16;
/// Tests put their buffers from here on.
pub(crate) const DATA: u64 = RAM_BASE + (1 << 20);
pub(crate) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

const AVAILABLE: u64 = 0x4000;
const USED: u64 = 0x6000;
const INDIRECT_TABLES: u64 = 0x8000;

pub(crate) fn rings(queue: u64) -> u64 {
    RAM_BASE + (queue + 1) * 0x1_0000
}

pub(crate) fn parts(disks: Vec<Box<dyn Storage>>) -> Parts {
    let memory = Memory::new(MEMORY_BYTES).unwrap();
    Parts { memory, boot_wall_nanos: 0, entropy_seed: [9; 32], disks, mac: Some(MAC) }
}

/// A board with one RAM disk of so many sectors in slot 0, a network card in slot 1, entropy in slot 2.
pub(crate) fn board(sectors: u64) -> Board {
    Board::new(parts(vec![Box::new(RamDisk::new(sectors))]))
}

/// A piece of a buffer.
#[derive(Clone, Copy)]
pub(crate) enum Piece {
    /// For the device to read.
    Out(u64, u32),
    /// For the device to write.
    In(u64, u32),
}

pub(crate) struct Driver {
    pub(crate) board: Board,
    pub(crate) at: Position,
    pub(crate) slot: u32,
    free: [u16; 2],
    added: [u16; 2],
    seen: [u16; 2],
    event_idx: bool,
}

impl Driver {
    /// Starts the device in a slot with `queues` queues.
    pub(crate) fn start(board: Board, slot: u32, queues: u32, features: u64) -> Self {
        let event_idx = features & super::EVENT_IDX != 0;
        let (at, free, added, seen) = (Position(0), [0; 2], [0; 2], [0; 2]);
        let mut driver = Self { board, at, slot, free, added, seen, event_idx };
        driver.init(queues, features);
        driver
    }

    pub(crate) fn init(&mut self, queues: u32, features: u64) {
        (self.free, self.added, self.seen) = ([0; 2], [0; 2], [0; 2]);
        self.store(register::STATUS, 0);
        self.store(register::STATUS, 3);
        for (half, value) in [(0, features), (1, (features | VERSION_1) >> 32)] {
            self.store(register::DRIVER_FEATURES_SEL, half);
            self.store(register::DRIVER_FEATURES, value as u32);
        }
        self.store(register::STATUS, 3 | status::FEATURES_OK);
        assert_eq!(self.load(register::STATUS), 3 | status::FEATURES_OK, "the features are accepted");
        for queue in 0..queues {
            let at = rings(queue.into());
            self.zero(at, 0x1_0000);
            self.store(register::QUEUE_SEL, queue);
            self.store(register::QUEUE_SIZE, SIZE.into());
            for (low, place) in [
                (register::QUEUE_DESCRIPTORS, at),
                (register::QUEUE_DRIVER, at + AVAILABLE),
                (register::QUEUE_DEVICE, at + USED),
            ] {
                self.store(low, place as u32);
                self.store(low + register::HIGH, (place >> 32) as u32);
            }
            self.store(register::QUEUE_READY, 1);
        }
        self.store(register::STATUS, 3 | status::FEATURES_OK | status::DRIVER_OK);
    }

    /// A driver that knows the same, of another board.
    pub(crate) fn with_board(&self, board: Board) -> Self {
        Self { board, ..*self }
    }

    pub(crate) fn load(&mut self, offset: u64) -> u32 {
        self.board.load(virtio_region(self.slot).base + offset, 4, self.at).unwrap() as u32
    }

    pub(crate) fn store(&mut self, offset: u64, value: u32) {
        self.board.store(virtio_region(self.slot).base + offset, 4, value.into(), self.at).unwrap();
    }

    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) {
        self.board.memory().write(GuestAddr(at), bytes).unwrap();
    }

    fn zero(&mut self, at: u64, bytes: usize) {
        self.write(at, &vec![0; bytes]);
    }

    pub(crate) fn read(&mut self, at: u64, bytes: usize) -> Vec<u8> {
        let mut into = vec![0; bytes];
        self.board.memory().read(GuestAddr(at), &mut into).unwrap();
        into
    }

    pub(crate) fn number(&mut self, at: u64) -> u16 {
        self.board.memory().number::<2>(GuestAddr(at)).unwrap() as u16
    }

    pub(crate) fn descriptor(&mut self, at: u64, piece: Piece, next: Option<u16>) {
        let (address, bytes, write) = match piece {
            Piece::Out(address, bytes) => (address, bytes, 0),
            Piece::In(address, bytes) => (address, bytes, 2),
        };
        let flags: u16 = write | u16::from(next.is_some());
        self.raw_descriptor(at, address, bytes, flags, next.unwrap_or(0));
    }

    pub(crate) fn raw_descriptor(&mut self, at: u64, address: u64, bytes: u32, flags: u16, next: u16) {
        let raw = [&address.to_le_bytes()[..], &bytes.to_le_bytes(), &flags.to_le_bytes(), &next.to_le_bytes()];
        self.write(at, &raw.concat());
    }

    fn take_descriptor(&mut self, queue: usize) -> u16 {
        let index = self.free[queue] % SIZE;
        self.free[queue] = index + 1;
        index
    }

    /// Writes a chain into the descriptor table and makes it available; returns its head.
    pub(crate) fn add(&mut self, queue: u64, pieces: &[Piece]) -> u16 {
        let indices: Vec<u16> = pieces.iter().map(|_| self.take_descriptor(queue as usize)).collect();
        for (i, &piece) in pieces.iter().enumerate() {
            self.descriptor(rings(queue) + 16 * u64::from(indices[i]), piece, indices.get(i + 1).copied());
        }
        self.make_available(queue, indices[0]);
        indices[0]
    }

    /// The same through an indirect table.
    pub(crate) fn add_indirect(&mut self, queue: u64, pieces: &[Piece]) -> u16 {
        let head = self.take_descriptor(queue as usize);
        let table = rings(queue) + INDIRECT_TABLES + u64::from(head) * 0x400;
        for (i, &piece) in pieces.iter().enumerate() {
            let next = (i + 1 < pieces.len()).then_some(i as u16 + 1);
            self.descriptor(table + 16 * i as u64, piece, next);
        }
        self.raw_descriptor(rings(queue) + 16 * u64::from(head), table, 16 * pieces.len() as u32, 4, 0);
        self.make_available(queue, head);
        head
    }

    pub(crate) fn make_available(&mut self, queue: u64, head: u16) {
        let added = &mut self.added[queue as usize];
        let slot = u64::from(*added % SIZE);
        *added = added.wrapping_add(1);
        let index = *added;
        self.write(rings(queue) + AVAILABLE + 4 + 2 * slot, &head.to_le_bytes());
        self.write(rings(queue) + AVAILABLE + 2, &index.to_le_bytes());
    }

    pub(crate) fn kick(&mut self, queue: u32) {
        self.store(register::QUEUE_NOTIFY, queue);
    }

    /// With EVENT_IDX: interrupt when this many have been given back. Without: the flags of the available ring.
    pub(crate) fn ask(&mut self, queue: u64, value: u16) {
        let at = if self.event_idx { 4 + 2 * u64::from(SIZE) } else { 0 };
        self.write(rings(queue) + AVAILABLE + at, &value.to_le_bytes());
    }

    /// The index of which the device wants to be told.
    pub(crate) fn kick_wanted_at(&mut self, queue: u64) -> u16 {
        self.number(rings(queue) + USED + 4 + 8 * u64::from(SIZE))
    }

    /// What was given back since the last call.
    pub(crate) fn used(&mut self, queue: u64) -> Vec<(u16, u32)> {
        let index = self.number(rings(queue) + USED + 2);
        let mut used = Vec::new();
        while self.seen[queue as usize] != index {
            let slot = u64::from(self.seen[queue as usize] % SIZE);
            let element = self.read(rings(queue) + USED + 4 + 8 * slot, 8);
            let (head, bytes) = element.split_at(4);
            used.push((
                u32::from_le_bytes(head.try_into().unwrap()) as u16,
                u32::from_le_bytes(bytes.try_into().unwrap()),
            ));
            self.seen[queue as usize] = self.seen[queue as usize].wrapping_add(1);
        }
        used
    }

    /// Is the interrupt up? Acknowledges it.
    pub(crate) fn interrupted(&mut self) -> bool {
        let causes = self.load(register::INTERRUPT_STATUS);
        self.store(register::INTERRUPT_ACK, causes);
        causes & 1 != 0
    }

    pub(crate) fn needs_reset(&mut self) -> bool {
        self.load(register::STATUS) & status::NEEDS_RESET != 0
    }

    /// Goes to the next deadline of a disk.
    pub(crate) fn sleep(&mut self) {
        let due = self.board.next_deadline().block.expect("something is under way");
        self.at = Position(self.board.line.position_at(due));
        self.board.tick(self.at).unwrap();
    }

    pub(crate) fn frames(&mut self) -> Vec<Vec<u8>> {
        let frame = |said| match said {
            Said::Frame(frame) => Some(frame),
            Said::Console(_) => None,
        };
        self.board.take_said().into_iter().filter_map(frame).collect()
    }
}
