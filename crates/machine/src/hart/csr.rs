//! Control and status registers.

use crate::clock::TICK_NANOS;
use crate::hart::trap::{EXTERNAL, SOFTWARE, TIMER};
use crate::hart::{Hart, Privilege};
use gapless_log::Position;
use serde::{Deserialize, Serialize};

/// `sstatus`: interrupts enabled.
pub const SIE: u64 = 1 << 1;
/// `sstatus`: interrupts were enabled before the trap.
pub const SPIE: u64 = 1 << 5;
/// `sstatus`: the trap came from S-mode.
pub const SPP: u64 = 1 << 8;
/// `sstatus`: state of the floating-point registers. All ones: dirty; all zeroes: off.
pub const FS: u64 = 3 << 13;
/// `sstatus`: S-mode may access user pages.
pub const SUM: u64 = 1 << 18;
/// `sstatus`: executable pages can be read.
pub const MXR: u64 = 1 << 19;
/// `sstatus`: user mode has 64 bits. Read-only.
const UXL_64: u64 = 2 << 32;
/// `sstatus`: something is dirty. Read-only.
const SD: u64 = 1 << 63;
const SSTATUS_WRITABLE: u64 = SIE | SPIE | SPP | FS | SUM | MXR;

const INTERRUPTS: u64 = SOFTWARE.bit() | TIMER.bit() | EXTERNAL.bit();

/// `scounteren`: what user mode may read of `cycle`, `time` and `instret`.
pub const SCOUNTEREN_WRITABLE: u64 = 7;

/// `senvcfg`: FENCE orders input and output too. Kept, without effect.
const FIOM: u64 = 1 << 0;
/// `senvcfg`: user mode may execute CBO.ZERO.
pub const CBZE: u64 = 1 << 7;

/// `satp`: the mode is Sv39.
const SATP_SV39: u64 = 8;

/// The registers that are kept as they are. Reads and writes by number go through [`Hart::csr`].
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Csrs {
    /// Writable bits only.
    pub sstatus: u64,
    pub sie: u64,
    /// The software interrupt is pending; all other pending bits follow from elsewhere.
    pub ssip: bool,
    pub stvec: u64,
    pub scounteren: u64,
    pub senvcfg: u64,
    pub sscratch: u64,
    pub sepc: u64,
    pub scause: u64,
    pub stval: u64,
    pub stimecmp: u64,
    pub satp: u64,
    pub fflags: u8,
    pub frm: u8,
}

/// No bit is set that a write would not have set.
pub fn are_valid(csrs: &Csrs) -> bool {
    csrs.sstatus & !SSTATUS_WRITABLE == 0
        && csrs.sie & !INTERRUPTS == 0
        && csrs.stvec & 2 == 0
        && csrs.scounteren & !SCOUNTEREN_WRITABLE == 0
        && csrs.senvcfg & !(FIOM | CBZE) == 0
        && csrs.sepc & 1 == 0
        && matches!(csrs.satp >> 60, 0 | SATP_SV39)
        && csrs.fflags < 32
        && csrs.frm < 8
}

impl Csrs {
    /// The address space of translations; none if addresses are physical.
    pub fn asid(&self) -> Option<u16> {
        (self.satp >> 60 == SATP_SV39).then_some((self.satp >> 44) as u16)
    }

    /// Physical address of the root page table.
    pub fn root(&self) -> u64 {
        (self.satp & ((1 << 44) - 1)) << 12
    }

    /// Floating-point instructions are legal.
    pub fn has_float(&self) -> bool {
        self.sstatus & FS != 0
    }

    /// Floating-point state has changed.
    pub fn dirty_float(&mut self) {
        self.sstatus |= FS;
    }
}

/// There is no such register in this mode, or it cannot be written: an illegal instruction.
pub struct NoCsr;

/// Numbers of the registers.
mod number {
    pub const FFLAGS: u16 = 0x001;
    pub const FRM: u16 = 0x002;
    pub const FCSR: u16 = 0x003;
    pub const SSTATUS: u16 = 0x100;
    pub const SIE: u16 = 0x104;
    pub const STVEC: u16 = 0x105;
    pub const SCOUNTEREN: u16 = 0x106;
    pub const SENVCFG: u16 = 0x10a;
    pub const SSCRATCH: u16 = 0x140;
    pub const SEPC: u16 = 0x141;
    pub const SCAUSE: u16 = 0x142;
    pub const STVAL: u16 = 0x143;
    pub const SIP: u16 = 0x144;
    pub const STIMECMP: u16 = 0x14d;
    pub const SATP: u16 = 0x180;
    pub const CYCLE: u16 = 0xc00;
    pub const TIME: u16 = 0xc01;
    pub const INSTRET: u16 = 0xc02;
}

impl Hart {
    /// Reads a register, then writes it if `new` gives a value for what was read.
    pub(super) fn csr(&mut self, csr: u16, external: bool, new: impl FnOnce(u64) -> Option<u64>) -> Result<u64, NoCsr> {
        // Bits 8 and 9 are the lowest privilege that may access it, bits 10 and 11 all ones if it is read-only.
        let (privilege, read_only) = (csr >> 8 & 3, csr >> 10 == 3);
        let mine = if self.privilege == Privilege::Supervisor { 1 } else { 0 };
        if privilege > mine {
            return Err(NoCsr);
        }
        let old = self.read_csr(csr, external)?;
        if let Some(new) = new(old) {
            if read_only {
                return Err(NoCsr);
            }
            self.write_csr(csr, new);
        }
        Ok(old)
    }

    pub(super) fn read_csr(&self, csr: u16, external: bool) -> Result<u64, NoCsr> {
        let csrs = &self.csrs;
        if matches!(csr, number::FFLAGS | number::FRM | number::FCSR) && !csrs.has_float() {
            return Err(NoCsr);
        }
        let counter = csr.wrapping_sub(number::CYCLE);
        if counter < 3 && self.privilege == Privilege::User && csrs.scounteren >> counter & 1 == 0 {
            return Err(NoCsr);
        }
        Ok(match csr {
            number::FFLAGS => csrs.fflags.into(),
            number::FRM => csrs.frm.into(),
            number::FCSR => (csrs.frm << 5 | csrs.fflags).into(),
            number::SSTATUS => csrs.sstatus | UXL_64 | if csrs.sstatus & FS == FS { SD } else { 0 },
            number::SIE => csrs.sie,
            number::STVEC => csrs.stvec,
            number::SCOUNTEREN => csrs.scounteren,
            number::SENVCFG => csrs.senvcfg,
            number::SSCRATCH => csrs.sscratch,
            number::SEPC => csrs.sepc,
            number::SCAUSE => csrs.scause,
            number::STVAL => csrs.stval,
            number::SIP => self.pending(external),
            number::STIMECMP => csrs.stimecmp,
            number::SATP => csrs.satp,
            number::CYCLE => self.position,
            number::TIME => self.line.time(Position(self.position)) / TICK_NANOS,
            number::INSTRET => self.position - self.traps,
            _ => return Err(NoCsr),
        })
    }

    /// Writes a register that can be read and is not read-only.
    fn write_csr(&mut self, csr: u16, value: u64) {
        let csrs = &mut self.csrs;
        match csr {
            number::FFLAGS => csrs.fflags = value as u8 & 31,
            number::FRM => csrs.frm = value as u8 & 7,
            number::FCSR => (csrs.frm, csrs.fflags) = ((value >> 5) as u8 & 7, value as u8 & 31),
            number::SSTATUS => {
                csrs.sstatus = value & SSTATUS_WRITABLE;
                self.enter_context();
            }
            number::SIE => csrs.sie = value & INTERRUPTS,
            number::STVEC => csrs.stvec = value & !2,
            number::SCOUNTEREN => csrs.scounteren = value & SCOUNTEREN_WRITABLE,
            number::SENVCFG => csrs.senvcfg = value & (FIOM | CBZE),
            number::SSCRATCH => csrs.sscratch = value,
            number::SEPC => csrs.sepc = value & !1,
            number::SCAUSE => csrs.scause = value,
            number::STVAL => csrs.stval = value,
            number::SIP => csrs.ssip = value & SOFTWARE.bit() != 0,
            number::STIMECMP => {
                csrs.stimecmp = value;
                self.time_timer();
            }
            number::SATP => {
                if matches!(value >> 60, 0 | SATP_SV39) {
                    csrs.satp = value;
                    self.enter_space();
                }
                self.latch = None;
            }
            _ => unreachable!("register {csr:#x} can be read and is not read-only"),
        }
        if matches!(csr, number::FFLAGS | number::FRM | number::FCSR) {
            self.csrs.dirty_float();
        }
    }
}
