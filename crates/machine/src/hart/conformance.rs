//! Bare programs that expect M-mode and `tohost`: what conformance suites are made of. Never part of a machine that is replicated.
//!
//! The hart has no M-mode, and gets none here. It stays as it is in production and is driven one position at a time; M-mode stands beside it:
//! - M-mode's own registers, MRET and traps to M-mode are carried out here. Any other instruction of M-mode is executed by the hart in S-mode with
//!   translation off, which is the same but for the name of the mode.
//! - Below M-mode the hart executes everything. A trap that is not delegated is taken back: the supervisor's registers are put back, and M-mode is
//!   entered instead.
//!
//! Left out: `mcounteren` permits everything, physical memory protection is kept and never enforced, an ECALL from S-mode is never delegated, there are
//! no triggers, and the machine's own interrupts are never pending.

use super::csr::{self, Csrs};
use super::decode::{decode, decode_compressed};
use super::op::{Insn, Op};
use super::{AccessFault, Bus, Exit, Hart, Privilege};
use crate::memory::{GuestAddr, Memory, Outside, PAGE_BYTES};
use gapless_log::Position;
use std::collections::BTreeMap;

/// A program as its file says.
#[derive(Clone, Debug)]
pub struct Program {
    /// Bytes and where they lie in physical memory.
    pub segments: Vec<(GuestAddr, Vec<u8>)>,
    /// Where M-mode begins.
    pub entry: u64,
    /// The eight bytes through which it reports.
    pub tohost: GuestAddr,
}

/// How a program ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It said so.
    Passed,
    /// The number of the test that failed.
    Failed(u64),
    /// It did not end, and was here.
    Unfinished(u64),
}

/// A hart, memory, and M-mode beside them.
#[derive(Debug)]
pub struct Bare {
    hart: Hart,
    board: Board,
    tohost: GuestAddr,
    mode: Mode,
    /// The supervisor's `satp` while M-mode has translation off.
    satp: u64,
    /// M-mode's registers that are kept as they are written.
    registers: BTreeMap<u16, u64>,
    /// What is added to the count of instructions to give `minstret`.
    instret: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Machine,
    /// The hart's privilege says which.
    Lower,
}

/// No devices.
#[derive(Debug)]
struct Board {
    memory: Memory,
    external: bool,
}

impl Bus for Board {
    fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }

    fn load(&mut self, _at: u64, _width: u8, _when: Position) -> Result<u64, AccessFault> {
        Err(AccessFault)
    }

    fn store(&mut self, _at: u64, _width: u8, _value: u64, _when: Position) -> Result<(), AccessFault> {
        Err(AccessFault)
    }

    fn external_interrupt(&self) -> bool {
        self.external
    }

    fn wants_end(&self) -> bool {
        false
    }
}

/// Numbers of registers.
mod number {
    pub const SSTATUS: u16 = 0x100;
    pub const SIE: u16 = 0x104;
    pub const SATP: u16 = 0x180;
    pub const MSTATUS: u16 = 0x300;
    pub const MISA: u16 = 0x301;
    pub const MEDELEG: u16 = 0x302;
    pub const MIDELEG: u16 = 0x303;
    pub const MIE: u16 = 0x304;
    pub const MTVEC: u16 = 0x305;
    pub const MCOUNTEREN: u16 = 0x306;
    pub const MENVCFG: u16 = 0x30a;
    pub const MCOUNTINHIBIT: u16 = 0x320;
    pub const MHPMEVENT: std::ops::RangeInclusive<u16> = 0x323..=0x33f;
    pub const MSCRATCH: u16 = 0x340;
    pub const MEPC: u16 = 0x341;
    pub const MCAUSE: u16 = 0x342;
    pub const MTVAL: u16 = 0x343;
    pub const MIP: u16 = 0x344;
    pub const PMPCFG: [u16; 2] = [0x3a0, 0x3a2];
    pub const PMPADDR: std::ops::RangeInclusive<u16> = 0x3b0..=0x3bf;
    pub const TRIGGERS: std::ops::RangeInclusive<u16> = 0x7a0..=0x7a2;
    pub const MCYCLE: u16 = 0xb00;
    pub const MINSTRET: u16 = 0xb02;
    pub const MHPMCOUNTER: std::ops::RangeInclusive<u16> = 0xb03..=0xb1f;
    pub const IDS: std::ops::RangeInclusive<u16> = 0xf11..=0xf15;
}

const MIE: u64 = 1 << 3;
const MPIE: u64 = 1 << 7;
const MPP: u64 = 3 << 11;
const MPP_SHIFT: u32 = 11;
const MPRV: u64 = 1 << 17;
const TVM: u64 = 1 << 20;
const TW: u64 = 1 << 21;
const TSR: u64 = 1 << 22;
/// Bits of `mstatus` that `sstatus` does not have.
const MSTATUS_WRITABLE: u64 = MIE | MPIE | MPP | MPRV | TVM | TW | TSR;
/// S-mode has 64 bits. Read-only.
const SXL_64: u64 = 2 << 34;

const SUPERVISOR_INTERRUPTS: u64 = 1 << 1 | 1 << 5 | 1 << 9;
const INTERRUPTS: u64 = SUPERVISOR_INTERRUPTS | SUPERVISOR_INTERRUPTS << 2;
const EXTERNAL: u64 = 1 << 9;
const SOFTWARE: u64 = 1 << 1;

const FETCH_ACCESS: u64 = 1;
const ILLEGAL: u64 = 2;
const SUPERVISOR_CALL: u64 = 9;
const MACHINE_CALL: u64 = 11;
const IS_INTERRUPT: u64 = 1 << 63;

const MRET: u32 = 0x3020_0073;

/// 64 bits; A, C, D, F, I, M, S, U.
const MISA: u64 = 2 << 62 | 0x14_112d;

/// M-mode's registers that hold what is written to some of their bits: number, value at first, writable bits.
fn kept() -> impl Iterator<Item = (u16, u64, u64)> {
    let zero = |numbers: std::ops::RangeInclusive<u16>| numbers.map(|number| (number, 0, 0));
    [
        (number::MSTATUS, 0, MSTATUS_WRITABLE),
        (number::MISA, MISA, 0),
        (number::MEDELEG, 0, 0xb3ff),
        (number::MIDELEG, 0, SUPERVISOR_INTERRUPTS),
        (number::MIE, 0, INTERRUPTS),
        (number::MTVEC, 0, !2),
        (number::MCOUNTEREN, 0, 7),
        (number::MENVCFG, 0, 1 << 63 | csr::CBZE | 1),
        (number::MCOUNTINHIBIT, 0, 0),
        (number::MSCRATCH, 0, !0),
        (number::MEPC, 0, !1),
        (number::MCAUSE, 0, !0),
        (number::MTVAL, 0, !0),
        (number::PMPCFG[0], 0, 0x9f9f_9f9f_9f9f_9f9f),
        (number::PMPCFG[1], 0, 0x9f9f_9f9f_9f9f_9f9f),
    ]
    .into_iter()
    .chain(number::PMPADDR.map(|number| (number, 0, (1 << 54) - 1)))
    .chain(zero(number::MHPMEVENT))
    .chain(zero(number::MHPMCOUNTER))
    .chain(zero(number::IDS))
    // The type of the only trigger is 0: there is none.
    .chain(zero(number::TRIGGERS))
}

/// What the hart holds for the supervisor, and how many traps it has taken, before an instruction.
struct Before {
    csrs: Csrs,
    traps: u64,
}

impl Bare {
    /// Puts a program into memory of so many bytes and stands at its entry.
    pub fn new(program: &Program, memory_bytes: u64) -> Result<Self, Outside> {
        let mut memory = Memory::new(memory_bytes).expect("the host has memory for a test");
        for (at, bytes) in &program.segments {
            memory.write(*at, bytes)?;
        }
        memory.number::<8>(program.tohost)?;
        let mut hart = Hart::new();
        hart.start(program.entry, 0, 0);
        // Never due: M-mode's clock is none of the programs' business.
        hart.set_timer(u64::MAX);
        let registers = kept().map(|(number, first, _)| (number, first)).collect();
        let board = Board { memory, external: false };
        Ok(Self { hart, board, tohost: program.tohost, mode: Mode::Machine, satp: 0, registers, instret: 0 })
    }

    /// Runs until the program reports, or for so many positions.
    pub fn run(&mut self, positions: u64) -> Verdict {
        const REPORT: u64 = 1;
        for _ in 0..positions {
            self.step();
            let said = self.board.memory.number::<8>(self.tohost).expect("it was there at the beginning");
            if said == 0 {
                continue;
            }
            if said & REPORT != 0 && said >> 48 == 0 {
                return if said >> 1 == 0 { Verdict::Passed } else { Verdict::Failed(said >> 1) };
            }
            // A character, or a call of the host: nobody listens.
            self.board.memory.write(self.tohost, &[0; 8]).expect("it was there at the beginning");
        }
        Verdict::Unfinished(self.hart.pc)
    }

    /// One instruction or one trap.
    fn step(&mut self) {
        if let Some(interrupt) = self.interrupt() {
            return self.trap(IS_INTERRUPT | interrupt, 0);
        }
        match self.mode {
            Mode::Machine => self.step_machine(),
            Mode::Lower => self.step_lower(),
        }
    }

    fn register(&self, number: u16) -> u64 {
        self.registers[&number]
    }

    fn set(&mut self, number: u16, value: u64) {
        let row = self.registers.get_mut(&number).expect("the table has every register that is set");
        *row = value;
    }

    /// The interrupt that M-mode takes now.
    fn interrupt(&self) -> Option<u64> {
        let status = self.register(number::MSTATUS);
        let enabled = self.mode == Mode::Lower || status & MIE != 0;
        let pending = self.pending() & self.register(number::MIE) & !self.register(number::MIDELEG);
        let in_order = [11, 3, 7, 9, 1, 5];
        in_order.into_iter().find(|code| enabled && pending >> code & 1 == 1)
    }

    fn pending(&self) -> u64 {
        self.hart.pending(self.board.external)
    }

    /// Before an instruction of the hart: it may take the interrupts that are its own.
    fn prepare(&mut self) -> Before {
        let delegated = self.register(number::MIE) & self.register(number::MIDELEG);
        self.hart.csrs.sie = if self.mode == Mode::Lower { delegated } else { 0 };
        Before { csrs: self.hart.csrs.clone(), traps: self.hart.traps }
    }

    /// The hart has taken a trap: its cause and value, if they are not the supervisor's. `sepc` is where it was taken.
    fn stolen(&self, before: &Before) -> Option<(u64, u64)> {
        let csrs = &self.hart.csrs;
        let delegated = csrs.scause & IS_INTERRUPT != 0 || self.register(number::MEDELEG) >> csrs.scause & 1 == 1;
        let mine = self.hart.traps != before.traps && (self.mode == Mode::Machine || !delegated);
        mine.then_some((csrs.scause, csrs.stval))
    }

    /// Gives the supervisor its registers back and enters M-mode instead.
    fn steal(&mut self, before: Before, privilege: Privilege, (cause, value): (u64, u64)) {
        self.hart.pc = self.hart.csrs.sepc;
        self.hart.csrs = before.csrs;
        self.hart.privilege = privilege;
        self.enter_machine(cause, value);
    }

    fn step_lower(&mut self) {
        if let Some(bits) = self.forbidden() {
            return self.trap(ILLEGAL, bits.into());
        }
        let (before, privilege) = (self.prepare(), self.hart.privilege);
        let limit = Position(self.hart.position + 1);
        if self.hart.run(&mut self.board, limit) == Exit::Sbi {
            return self.trap(SUPERVISOR_CALL, 0);
        }
        if let Some(trap) = self.stolen(&before) {
            return self.steal(before, privilege, trap);
        }
        if self.hart.csrs.sie != before.csrs.sie {
            self.set_sie(self.hart.csrs.sie);
        }
    }

    /// The instruction in S-mode that `mstatus` makes illegal.
    fn forbidden(&mut self) -> Option<u32> {
        let status = self.register(number::MSTATUS);
        if status & (TVM | TW | TSR) == 0 || self.hart.privilege == Privilege::User {
            return None;
        }
        // What the hart is about to do itself.
        let page = self.hart.fetch_page(&mut self.board.memory).ok()?;
        let bits = self.board.memory.number::<4>(GuestAddr(page + self.hart.pc % PAGE_BYTES)).ok()? as u32;
        let insn = decode(bits);
        let forbidden = match insn.op {
            Op::SfenceVma => status & TVM,
            Op::Csrrw | Op::Csrrs | Op::Csrrc | Op::Csrrwi | Op::Csrrsi | Op::Csrrci
                if insn.imm as u16 == number::SATP =>
            {
                status & TVM
            }
            Op::Sret => status & TSR,
            Op::Wfi => status & TW,
            _ => 0,
        };
        (forbidden != 0).then_some(bits)
    }

    fn step_machine(&mut self) {
        let Some(bits) = self.fetch() else { return self.trap(FETCH_ACCESS, self.hart.pc) };
        let insn = if bits & 3 == 3 { decode(bits) } else { decode_compressed(bits as u16) };
        match insn.op {
            _ if bits == MRET => self.mret(),
            Op::Ecall => self.trap(MACHINE_CALL, 0),
            Op::Wfi => self.hart.retire(4),
            Op::Csrrw | Op::Csrrs | Op::Csrrc | Op::Csrrwi | Op::Csrrsi | Op::Csrrci if is_beside(insn.imm as u16) => {
                self.csr(insn, bits);
            }
            op if self.previous().is_some() && (op.bytes() != 0 || op == Op::CboZero) => self.access_as_previous(insn),
            op => self.execute_as_supervisor(op),
        }
    }

    /// The bits at `pc`; M-mode's addresses are physical.
    fn fetch(&self) -> Option<u32> {
        let half = |at| self.board.memory.number::<2>(GuestAddr(at)).ok().map(|half| half as u32);
        let (pc, first) = (self.hart.pc, half(self.hart.pc)?);
        if first & 3 == 3 { Some(half(pc.wrapping_add(2))? << 16 | first) } else { Some(first) }
    }

    fn execute_as_supervisor(&mut self, op: Op) {
        let before = self.prepare();
        let limit = Position(self.hart.position + 1);
        let exit = self.hart.run(&mut self.board, limit);
        assert_eq!(exit, Exit::Limit, "an instruction of M-mode ends like any other");
        if let Some(trap) = self.stolen(&before) {
            self.steal(before, Privilege::Supervisor, trap);
        } else if op == Op::Sret {
            self.leave(self.hart.privilege);
        }
    }

    /// The privilege with which loads and stores of M-mode are done, if it is another.
    fn previous(&self) -> Option<Privilege> {
        let status = self.register(number::MSTATUS);
        match (status & MPRV != 0, (status & MPP) >> MPP_SHIFT) {
            (true, 0) => Some(Privilege::User),
            (true, 1) => Some(Privilege::Supervisor),
            _ => None,
        }
    }

    /// A load or store with MPRV set.
    fn access_as_previous(&mut self, insn: Insn) {
        let before = self.prepare();
        self.hart.csrs.satp = self.satp;
        self.hart.privilege = self.previous().expect("the caller has looked");
        self.hart.enter_space();
        self.hart.meet(&self.board.memory);
        let exit = self.hart.rare(&mut self.board, insn);
        assert_eq!(exit, None, "there is no device that could end a step");
        match self.stolen(&before) {
            Some(trap) => self.steal(before, Privilege::Supervisor, trap),
            None => {
                // A load may have made floating-point registers dirty.
                self.hart.csrs.satp = 0;
                self.hart.privilege = Privilege::Supervisor;
                self.hart.enter_space();
            }
        }
    }

    /// Takes a trap to M-mode at `pc`: a position of its own.
    fn trap(&mut self, cause: u64, value: u64) {
        self.hart.position += 1;
        self.hart.traps += 1;
        self.enter_machine(cause, value);
    }

    fn enter_machine(&mut self, cause: u64, value: u64) {
        let status = self.register(number::MSTATUS);
        let previous = match (self.mode, self.hart.privilege) {
            (Mode::Machine, _) => 3,
            (Mode::Lower, Privilege::Supervisor) => 1,
            (Mode::Lower, Privilege::User) => 0,
        };
        let enabled = if status & MIE != 0 { MPIE } else { 0 };
        self.set(number::MSTATUS, status & !(MIE | MPIE | MPP) | enabled | previous << MPP_SHIFT);
        self.set(number::MEPC, self.hart.pc);
        self.set(number::MCAUSE, cause);
        self.set(number::MTVAL, value);
        let (base, code) = (self.register(number::MTVEC), cause & !IS_INTERRUPT);
        let vectored = base & 1 == 1 && cause & IS_INTERRUPT != 0;
        self.hart.pc = (base & !3).wrapping_add(if vectored { 4 * code } else { 0 });
        if self.mode == Mode::Lower {
            self.satp = self.hart.csrs.satp;
        }
        self.mode = Mode::Machine;
        self.hart.csrs.satp = 0;
        self.hart.privilege = Privilege::Supervisor;
        self.board.memory.reservation = None;
        self.moved();
    }

    fn mret(&mut self) {
        let status = self.register(number::MSTATUS);
        let enabled = if status & MPIE != 0 { MIE } else { 0 };
        let to = match (status & MPP) >> MPP_SHIFT {
            0 => Some(Privilege::User),
            1 => Some(Privilege::Supervisor),
            _ => None,
        };
        let kept = if to.is_some() { !MPRV } else { !0 };
        self.set(number::MSTATUS, status & kept & !(MIE | MPP) | MPIE | enabled);
        self.hart.pc = self.register(number::MEPC);
        self.hart.position += 1;
        match to {
            Some(privilege) => self.leave(privilege),
            None => self.moved(),
        }
    }

    /// M-mode is left.
    fn leave(&mut self, privilege: Privilege) {
        self.mode = Mode::Lower;
        self.hart.privilege = privilege;
        self.hart.csrs.satp = self.satp;
        self.moved();
    }

    /// The mode has changed, or `pc` from outside.
    fn moved(&mut self) {
        self.hart.latch = None;
        self.hart.enter_space();
    }

    /// An access to a register that is not the hart's, or not while M-mode runs.
    fn csr(&mut self, insn: Insn, bits: u32) {
        let number = insn.imm as u16;
        let Some(old) = self.read(number) else { return self.trap(ILLEGAL, bits.into()) };
        let immediate = matches!(insn.op, Op::Csrrwi | Op::Csrrsi | Op::Csrrci);
        let operand = if immediate { u64::from(insn.rs1) } else { self.hart.x.get(insn.rs1) };
        let new = match insn.op {
            Op::Csrrw | Op::Csrrwi => Some(operand),
            _ if insn.rs1 == 0 => None,
            Op::Csrrs | Op::Csrrsi => Some(old | operand),
            _ => Some(old & !operand),
        };
        const READ_ONLY: u16 = 3;
        if new.is_some() && number >> 10 == READ_ONLY {
            return self.trap(ILLEGAL, bits.into());
        }
        self.hart.x.put(insn.rd(), old);
        self.hart.retire(4);
        if let Some(new) = new {
            self.write(number, new);
        }
    }

    fn read(&mut self, number: u16) -> Option<u64> {
        Some(match number {
            number::SIE => self.register(number::MIE) & self.register(number::MIDELEG),
            number::SATP => self.satp,
            number::MSTATUS => self.register(number) | SXL_64 | self.sstatus(|_| None),
            number::MIP => self.pending(),
            number::MCYCLE => self.hart.position,
            number::MINSTRET => (self.hart.position - self.hart.traps).wrapping_add(self.instret),
            _ => *self.registers.get(&number)?,
        })
    }

    /// `sstatus` as it was; `new` says what it becomes.
    fn sstatus(&mut self, new: impl FnOnce(u64) -> Option<u64>) -> u64 {
        let privilege = std::mem::replace(&mut self.hart.privilege, Privilege::Supervisor);
        let old = self.hart.csr(number::SSTATUS, false, new).ok().expect("S-mode has sstatus");
        self.hart.privilege = privilege;
        self.hart.enter_context();
        old
    }

    fn write(&mut self, number: u16, value: u64) {
        match number {
            number::SIE => self.set_sie(value),
            number::SATP if matches!(value >> 60, 0 | 8) => self.satp = value,
            number::SATP => {}
            number::MSTATUS => {
                self.sstatus(|_| Some(value));
                self.write_kept(number, if value & MPP == 2 << MPP_SHIFT { value & !MPP } else { value });
            }
            number::MIP => {
                self.hart.csrs.ssip = value & SOFTWARE != 0;
                self.board.external = value & EXTERNAL != 0;
            }
            number::MCYCLE => {}
            number::MINSTRET => self.instret = value.wrapping_sub(self.hart.position - self.hart.traps),
            _ => self.write_kept(number, value),
        }
    }

    fn write_kept(&mut self, number: u16, value: u64) {
        let writable = kept().find(|row| row.0 == number).map_or(0, |(_, _, writable)| writable);
        let old = self.register(number);
        self.set(number, old & !writable | value & writable);
    }

    fn set_sie(&mut self, value: u64) {
        let delegated = self.register(number::MIDELEG);
        let others = self.register(number::MIE) & !delegated;
        self.set(number::MIE, others | value & delegated);
    }
}

/// M-mode's registers, and two of the supervisor's that M-mode does not find in the hart.
fn is_beside(number: u16) -> bool {
    const MACHINE: u16 = 3;
    number >> 8 & 3 == MACHINE || matches!(number, number::SIE | number::SATP)
}
