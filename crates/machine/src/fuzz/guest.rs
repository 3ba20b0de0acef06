//! Whole guests: random code in S-mode, its registers full of addresses of devices, rings and page tables.

use super::{Bytes, HEADER_BYTES, TEXT_OFFSET, apply, assert_same, computer, kernel, reach};
use crate::board::{Board, PLIC, RTC, UART, virtio_region};
use crate::computer::{Computer, Stop};
use crate::device::virtio::testing::{DATA, Driver, SIZE, parts, rings};
use crate::device::virtio::{EVENT_IDX, INDIRECT_DESC};
use crate::event::{self, ClockBody};
use crate::hart::Bus;
use crate::memory::{GuestAddr, PAGE_BYTES, RAM_BASE};
use gapless_log::{Kind, Position};

const STEPS_MAX: u64 = 12;
const STEP_POSITIONS_MAX: u64 = 3000;
/// Where the page tables are: a root, and a table that it points to.
const ROOT: u64 = RAM_BASE + 0x10_0000;
const MIDDLE: u64 = ROOT + PAGE_BYTES;
const CODE: u64 = RAM_BASE + TEXT_OFFSET + HEADER_BYTES as u64;

/// Bytes as a guest and what happens to it. A second machine that gets the same inputs ends in the same state, also if it was saved and loaded on the way.
pub fn guest(bytes: &[u8]) {
    let guest = Guest::parse(&mut Bytes(bytes));
    let mut one = guest.machine();
    let log = guest.live(&mut one);
    let mut other = guest.machine();
    for (i, (at, kind, body)) in log.iter().enumerate() {
        reach(&mut other, *at);
        assert_eq!(other.position(), *at, "input {i}");
        if Some(i) == guest.saved_at {
            other = moved(&mut other);
        }
        assert!(apply(&mut other, *kind, body), "input {i}");
    }
    reach(&mut other, one.position());
    assert_same(&mut one, &mut other);
}

/// Saved and loaded.
fn moved(computer: &mut Computer) -> Computer {
    let mut saved = Vec::new();
    computer.save(true, &mut saved).expect("it can be saved");
    let mut loaded = Computer::load(&mut saved.as_slice(), std::path::Path::new("/nonexistent"))
        .expect("what was saved can be loaded");
    assert_same(computer, &mut loaded);
    loaded
}

struct Guest {
    disk: bool,
    features: u64,
    /// Number of the input before which it is saved and loaded; a machine without a disk.
    saved_at: Option<usize>,
    registers: [u64; 32],
    /// Addresses and what is written there before it starts.
    memory: Vec<(u64, Vec<u8>)>,
    code: Vec<u8>,
    steps: Vec<Step>,
}

/// So many positions, then an input.
struct Step {
    positions: u64,
    input: u8,
    value: u64,
}

impl Guest {
    fn parse(bytes: &mut Bytes<'_>) -> Self {
        let how = bytes.byte();
        let step = |bytes: &mut Bytes<'_>| Step {
            positions: 1 + bytes.below(STEP_POSITIONS_MAX),
            input: bytes.byte(),
            value: bytes.hostile(),
        };
        let steps: Vec<_> = (0..1 + bytes.below(STEPS_MAX)).map(|_| step(bytes)).collect();
        let saved_at = Some(usize::from(how >> 4)).filter(|_| how & 1 != 0);
        let features = [0, EVENT_IDX, INDIRECT_DESC, INDIRECT_DESC | EVENT_IDX][usize::from(how >> 1 & 3)];
        let registers = registers(bytes);
        let mut memory = queues(bytes);
        memory.extend(tables(bytes));
        Self { disk: how & 1 == 0, features, saved_at, registers, memory, code: code(bytes), steps }
    }

    fn machine(&self) -> Computer {
        let mut computer = computer(kernel(&self.code), self.disk);
        // Its devices are started for it: few random programs would.
        let mut board = std::mem::replace(&mut computer.board, Board::new(parts(Vec::new())));
        let slots: &[(u32, u32)] = if self.disk { &[(0, 1), (1, 2), (2, 1)] } else { &[(0, 2), (1, 1)] };
        for &(slot, queues) in slots {
            board = Driver::start(board, slot, queues, self.features).board;
        }
        board.take_urgent();
        computer.board = board;
        for (at, bytes) in &self.memory {
            computer.board.memory().write(GuestAddr(*at), bytes).expect("in memory");
        }
        (1..32).for_each(|n| computer.hart.x[n] = self.registers[n]);
        computer
    }

    /// Runs it, and gives the inputs that it has got.
    fn live(&self, computer: &mut Computer) -> Vec<(Position, Kind, Vec<u8>)> {
        let mut log = Vec::new();
        for step in &self.steps {
            let stop = reach(computer, Position(computer.position().0 + step.positions));
            if stop == Stop::Off {
                break;
            }
            for (kind, body) in step.inputs(computer, stop == Stop::Idle) {
                if apply(computer, kind, &body) {
                    log.push((computer.position(), kind, body));
                }
            }
        }
        log
    }
}

impl Step {
    fn inputs(&self, computer: &mut Computer, idle: bool) -> Vec<(Kind, Vec<u8>)> {
        let clock = |time, slope| {
            let body = postcard::to_stdvec(&ClockBody { time, slope }).expect("plain data");
            vec![(event::CLOCK, body)]
        };
        let (now, line) = (computer.now(), *computer.line());
        if idle && self.input & 1 == 0 {
            let until = computer.next_deadline().unwrap_or(now);
            return clock(until.max(now), line.slope);
        }
        match self.input >> 1 & 7 {
            0 => clock(now.saturating_add(self.value), line.slope),
            1 => clock(now, self.value),
            2 | 3 => vec![(event::CONSOLE, vec![b'c'; self.value as usize % 2000])],
            4..7 if computer.wants_frame() => {
                let frame = |last, bytes| (event::NET_CONTENT, event::piece_body(last, &vec![1; bytes]));
                let short = frame(false, 12 + self.value as usize % 100);
                vec![(event::NET_EVENT, Vec::new()), short, frame(true, 12 + self.value as usize % 65_554)]
            }
            _ => Vec::new(),
        }
    }
}

/// Registers 1 to 9 point at something, 18 to 24 are numbers of SBI extensions.
fn registers(bytes: &mut Bytes<'_>) -> [u64; 32] {
    let mut registers = std::array::from_fn(|_| bytes.hostile());
    let slot = |n| virtio_region(n).base;
    let code = CODE + 4 * bytes.below(256);
    registers[1..10].copy_from_slice(&[
        UART.base,
        PLIC.base + 0x2000,
        RTC.base,
        slot(0),
        slot(1),
        slot(2),
        rings(0),
        code,
        ROOT,
    ]);
    registers[11] = 8 << 60 | (bytes.number::<2>() & 3) << 44 | (ROOT / PAGE_BYTES);
    registers[18..25].copy_from_slice(&[
        0x5449_4d45,
        0x0073_5049,
        0x5246_4e43,
        0x0048_534d,
        0x4442_434e,
        0x10,
        if bytes.byte() < 32 { 0x5352_5354 } else { 0x5246_4e43 },
    ]);
    registers[25] = 0x222;
    registers
}

/// Descriptors and available rings.
fn queues(bytes: &mut Bytes<'_>) -> Vec<(u64, Vec<u8>)> {
    let mut memory = Vec::new();
    for queue in 0..2 {
        let mut table = Vec::new();
        for _ in 0..SIZE {
            let at = if bytes.byte() < 250 { DATA + bytes.number::<2>() } else { bytes.hostile() };
            table.extend_from_slice(&at.to_le_bytes());
            table.extend_from_slice(&(bytes.hostile() as u32).to_le_bytes());
            table.extend_from_slice(&(bytes.below(8) as u16).to_le_bytes());
            table.extend_from_slice(&(bytes.below(u64::from(SIZE)) as u16).to_le_bytes());
        }
        memory.push((rings(queue), table));
        let mut available = vec![0, 0, bytes.byte() % 20, 0];
        (0..SIZE).for_each(|_| available.extend_from_slice(&[bytes.byte() % 17, 0]));
        memory.push((rings(queue) + 0x4000, available));
    }
    memory
}

/// Page tables: the code's own gigapage, the devices', and a table of anything.
fn tables(bytes: &mut Bytes<'_>) -> Vec<(u64, Vec<u8>)> {
    let entry = |physical: u64, flags: u8| physical >> 12 << 10 | u64::from(flags);
    let anything = |bytes: &mut Bytes<'_>| match bytes.byte() % 4 {
        0 => entry(RAM_BASE + bytes.below(0x4000) * PAGE_BYTES, bytes.byte() | 1),
        1 => entry(ROOT + bytes.below(2) * PAGE_BYTES, 1),
        2 => entry(CODE & !(PAGE_BYTES - 1), 0xcf),
        _ => bytes.hostile() | 1,
    };
    let mut root =
        vec![entry(0, 0xc7), entry(MIDDLE, 1), entry(RAM_BASE, if bytes.byte() < 230 { 0xcf } else { 0xdf })];
    root.extend((0..4).map(|_| anything(bytes)));
    let middle: Vec<_> = (0..8).map(|_| anything(bytes)).collect();
    let raw = |table: Vec<u64>| table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    vec![(ROOT, raw(root)), (MIDDLE, raw(middle))]
}

pub(super) const fn i_type(opcode: u32, funct3: u32, rd: u32, rs1: u32, imm: u32) -> u32 {
    imm << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode
}

pub(super) const fn store(width: u32, rs2: u32, rs1: u32, imm: u32) -> u32 {
    (imm >> 5 & 0x7f) << 25 | rs2 << 20 | rs1 << 15 | width << 12 | (imm & 31) << 7 | 0x23
}

pub(super) const fn addi(rd: u32, rs1: u32, imm: u32) -> u32 {
    i_type(0x13, 0, rd, rs1, imm)
}

fn csr(funct3: u32, rd: u32, csr: u32, rs1: u32) -> u32 {
    i_type(0x73, funct3, rd, rs1, csr)
}

const ECALL: u32 = 0x73;
const STVEC: u32 = 0x105;
const SIE: u32 = 0x104;
const SATP: u32 = 0x180;
const STIMECMP: u32 = 0x14d;
const TIME: u32 = 0xc01;
const CSRS: [u32; 16] =
    [1, 2, 3, 0x100, SIE, STVEC, 0x106, 0x10a, 0x140, 0x141, 0x142, 0x143, 0x144, STIMECMP, SATP, 0xc00];
/// Registers of devices that are worth an access.
const OFFSETS: [u32; 28] = [
    0, 1, 2, 3, 4, 5, 6, 7, 0x08, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30, 0x34, 0x38, 0x44, 0x60, 0x64, 0x70, 0x80,
    0x84, 0x90, 0xa0, 0x100, 0x104,
];

/// The program: traps lead back into it.
fn code(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let mut code = vec![csr(1, 0, STVEC, 8), csr(1, 0, SIE, 25), csr(6, 0, 0x100, 2)];
    while !bytes.is_empty() {
        instruction(bytes, &mut code);
    }
    // Over and over.
    code.push(i_type(0x67, 0, 0, 8, 0));
    code.iter().flat_map(|bits| bits.to_le_bytes()).collect()
}

fn instruction(bytes: &mut Bytes<'_>, code: &mut Vec<u32>) {
    let any = |bytes: &mut Bytes<'_>| u32::from(bytes.byte() % 32);
    let data = |bytes: &mut Bytes<'_>| bytes.pick(&[0, 10, 12, 13, 14, 15, 16, 26, 27, 28, 29, 30, 31]);
    let device = |bytes: &mut Bytes<'_>| u32::from(1 + bytes.byte() % 6);
    let imm = |bytes: &mut Bytes<'_>| bytes.number::<2>() as u32 & 0xfff;
    let bits = match bytes.byte() % 32 {
        0..5 => bytes.number::<4>() as u32,
        5..10 => store(bytes.pick(&[0, 2, 2, 2, 3]), any(bytes), device(bytes), bytes.pick(&OFFSETS)),
        10..13 => i_type(0x03, bytes.pick(&[0, 2, 2, 3, 4]), data(bytes), device(bytes), bytes.pick(&OFFSETS)),
        13..15 => store(u32::from(bytes.byte() % 4), any(bytes), bytes.pick(&[7, 8, 9]), imm(bytes)),
        15 => i_type(0x03, u32::from(bytes.byte() % 7), data(bytes), bytes.pick(&[7, 8, 9]), imm(bytes)),
        16..18 => addi(data(bytes), any(bytes), imm(bytes)),
        18 => {
            // A branch to somewhere near.
            let offset = u32::from(bytes.byte() & 0x3e);
            let up = u32::from(bytes.byte() & 1);
            (up * 0x7f) << 25 | any(bytes) << 20 | any(bytes) << 15 | 1 << 12 | (offset & 0x1e | up) << 7 | 0x63
        }
        19 => i_type(0x67, 0, 0, 8, imm(bytes)),
        20..22 => csr(bytes.pick(&[1, 2, 3, 5, 6, 7]), data(bytes), bytes.pick(&CSRS), any(bytes)),
        22 => bytes.pick(&[0x0000_100f, 0x1050_0073, 0x1020_0073, 0x0010_0073, ECALL, 0x1050_0073]),
        23 => 0x1200_0073 | any(bytes) << 20 | any(bytes) << 15,
        24..26 => {
            let (extension, function) = (18 + u32::from(bytes.byte() % 7), u32::from(bytes.byte() % 4));
            code.extend([addi(17, extension, 0), addi(16, 0, function)]);
            ECALL
        }
        26 => {
            let operation = bytes.pick(&[0, 1, 2, 3, 4, 8, 12, 16, 28]);
            operation << 27
                | any(bytes) << 20
                | bytes.pick(&[7, 8, 9]) << 15
                | bytes.pick(&[2, 3]) << 12
                | data(bytes) << 7
                | 0x2f
        }
        27 => 0x0040_200f | bytes.pick(&[7, 8, 9, 30]) << 15,
        28..30 => {
            code.push(addi(31, 0, u32::from(bytes.byte() % 3)));
            store(2, 31, bytes.pick(&[4, 5, 6]), 0x50)
        }
        30 => csr(1, 0, SATP, bytes.pick(&[11, 11, 11, 0, 30])),
        _ => {
            code.extend([csr(2, 31, TIME, 0), addi(31, 31, u32::from(bytes.byte()))]);
            csr(1, 0, STIMECMP, 31)
        }
    };
    code.push(bits);
}
