//! A generated program in user mode of our hart: a few words of S-mode carry its system calls out.

use super::computer::Computer;
use super::dice::Dice;
use super::encode::{self, Csr, ECALL, Operands, SRET};
use super::generator::{CODE, DATA, Program, SYS_EXIT, SYS_WRITE};
use gapless_machine::RAM_BASE;
use gapless_machine::hart::{Exit, Hart};

/// Whether addresses are translated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Translation {
    /// They are physical.
    Bare,
    /// Pages of 4 KiB, not in the order of their addresses, accessed and dirty bits clear at first.
    Sv39,
}

impl Translation {
    /// Where a byte of the program is.
    fn physical(self, at: u64) -> u64 {
        match self {
            Translation::Bare => at,
            Translation::Sv39 => at ^ PAGE,
        }
    }

    /// A range of the program's addresses, cut at the borders of pages.
    fn pieces(self, at: u64, bytes: u64) -> impl Iterator<Item = (u64, u64)> {
        let end = at + bytes;
        let pages = (at / PAGE..end.div_ceil(PAGE)).map(move |page| (at.max(page * PAGE), end.min((page + 1) * PAGE)));
        pages.map(move |(from, to)| (self.physical(from), to - from))
    }
}

/// How far the hart is told to run at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slices {
    /// To the end.
    One,
    /// Lengths from a seed; between two, it may be saved and loaded.
    Many(u64),
}

/// What a program printed, and when it ended.
#[derive(Debug)]
pub struct Outcome {
    /// All that it wrote.
    pub printed: Vec<u8>,
    /// Position of its last system call.
    pub position: u64,
}

/// More than any program executes.
const POSITIONS_MAX: u64 = 1 << 20;
const HANDLER: u64 = RAM_BASE + 0x100;
const CSR_VALUES: u64 = RAM_BASE + 0x200;
const ROOT: u64 = 0x8030_0000;
const PAGE: u64 = 4096;
/// A system call that no program makes: an exception that is none.
const SYS_TRAPPED: u64 = 1000;

mod csr {
    pub const SSTATUS: u32 = 0x100;
    pub const STVEC: u32 = 0x105;
    pub const SSCRATCH: u32 = 0x140;
    pub const SEPC: u32 = 0x141;
    pub const SCAUSE: u32 = 0x142;
    pub const STVAL: u32 = 0x143;
    pub const SATP: u32 = 0x180;
}

/// Runs a program to its exit; an error tells what it did instead.
pub fn run(program: &Program, translation: Translation, slices: Slices) -> Result<Outcome, String> {
    let mut computer = Computer::new();
    for (at, bytes) in [(program.entry(), &program.code()), (DATA, &program.data)] {
        let mut rest = bytes.as_slice();
        for (at, bytes) in translation.pieces(at, bytes.len() as u64) {
            let piece;
            (piece, rest) = rest.split_at(bytes as usize);
            computer.write(at, piece);
        }
    }
    supervise(&mut computer, program.entry(), translation);
    let mut dice = Dice::new(match slices {
        Slices::One => 0,
        Slices::Many(seed) => seed,
    });
    let mut printed = Vec::new();
    while computer.hart.position().0 < POSITIONS_MAX {
        let mut positions = POSITIONS_MAX;
        if slices != Slices::One {
            positions = 1 + dice.below(50);
            if dice.once_in(30) {
                computer.hart = Hart::load(&computer.hart.save()).expect("a hart that was saved can be loaded");
            }
        }
        match computer.run(positions) {
            Exit::Limit => continue,
            Exit::Sbi => {}
            exit => return Err(format!("the hart came back with {exit:?}")),
        }
        let x = &computer.hart.x;
        match x[17] {
            SYS_WRITE => {
                let pieces = translation.pieces(x[11], x[12]);
                printed.extend(pieces.flat_map(|(at, bytes)| computer.read(at, bytes)));
                computer.hart.sbi_return(0, 0);
            }
            SYS_EXIT => return Ok(Outcome { printed, position: computer.hart.position().0 }),
            SYS_TRAPPED => return Err(format!("trap: scause {:#x}, stval {:#x}, sepc {:#x}", x[11], x[12], x[13])),
            call => return Err(format!("system call {call}")),
        }
    }
    Err(format!("it runs on at {:#x} after {POSITIONS_MAX} positions", computer.hart.pc()))
}

/// Writes what runs in S-mode: it enters the program, and answers a system call by one of its own.
fn supervise(computer: &mut Computer, entry: u64, translation: Translation) {
    const FS_INITIAL: u64 = 1 << 13;
    let satp = match translation {
        Translation::Bare => 0,
        Translation::Sv39 => map(computer),
    };
    let values = [(csr::STVEC, HANDLER), (csr::SSTATUS, FS_INITIAL), (csr::SEPC, entry), (csr::SATP, satp)];
    let row = |name, operands| encode::named(name).encode(operands);
    let mut enter = vec![row("auipc", Operands { rd: 1, ..Operands::default() })];
    for (i, (number, value)) in values.into_iter().enumerate() {
        let at = CSR_VALUES + 8 * i as u64;
        computer.write(at, &value.to_le_bytes());
        enter.push(row("ld", Operands { rd: 2, rs1: 1, imm: (at - RAM_BASE) as i32, ..Operands::default() }));
        enter.push(encode::csr(Csr::Write, 0, number, 2));
    }
    enter.push(SRET);

    const T0: u32 = 5;
    const USER_CALL: i32 = 8;
    let read = |rd, number| encode::csr(Csr::Set, rd, number, 0);
    let addi = |rd, rs1, imm| row("addi", Operands { rd, rs1, imm, ..Operands::default() });
    let handler = [
        encode::csr(Csr::Write, 0, csr::SSCRATCH, T0),
        read(T0, csr::SCAUSE),
        addi(T0, T0, -USER_CALL),
        row("bne", Operands { rs1: T0, rs2: 0, imm: 7 * 4, ..Operands::default() }),
        read(T0, csr::SEPC),
        addi(T0, T0, 4),
        encode::csr(Csr::Write, 0, csr::SEPC, T0),
        read(T0, csr::SSCRATCH),
        ECALL,
        SRET,
        read(11, csr::SCAUSE),
        read(12, csr::STVAL),
        read(13, csr::SEPC),
        addi(17, 0, SYS_TRAPPED as i32),
        ECALL,
    ];
    for (at, words) in [(RAM_BASE, enter.as_slice()), (HANDLER, &handler)] {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        computer.write(at, &bytes);
    }
}

/// Maps the program's pages; gives satp.
fn map(computer: &mut Computer) -> u64 {
    const V: u64 = 1 << 0;
    const R: u64 = 1 << 1;
    const W: u64 = 1 << 2;
    const X: u64 = 1 << 3;
    const U: u64 = 1 << 4;
    const SV39: u64 = 8 << 60;
    let [middle, low, high] = [ROOT + PAGE, ROOT + 2 * PAGE, ROOT + 3 * PAGE];
    let mut entry = |table: u64, index: u64, to: u64, flags: u64| {
        computer.write(table + 8 * index, &(to >> 12 << 10 | flags | V).to_le_bytes());
    };
    entry(ROOT, RAM_BASE >> 30, middle, 0);
    entry(middle, 0, low, 0);
    entry(middle, 1, high, 0);
    entry(low, 0, RAM_BASE, R | X);
    for page in 0..8 {
        for (table, at, flags) in [(low, CODE, R | X | U), (high, DATA, R | W | U)] {
            let at = (at & !(PAGE - 1)) + page * PAGE;
            entry(table, at >> 12 & 511, Translation::Sv39.physical(at), flags);
        }
    }
    SV39 | ROOT >> 12
}
