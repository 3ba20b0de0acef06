//! Traps and interrupts (RISC-V Privileged Architecture, chapter "Supervisor-Level ISA").

use crate::hart::csr::{SIE, SPIE, SPP};
use crate::hart::{Hart, Privilege};
use crate::memory::Memory;

/// Why an instruction did not retire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trap {
    pub cause: Cause,
    /// What `stval` becomes.
    pub value: u64,
}

/// An exception's code in `scause`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Cause {
    FetchAccess = 1,
    Illegal = 2,
    Breakpoint = 3,
    LoadMisaligned = 4,
    LoadAccess = 5,
    StoreMisaligned = 6,
    StoreAccess = 7,
    UserCall = 8,
    FetchPage = 12,
    LoadPage = 13,
    StorePage = 15,
}

impl Cause {
    pub fn trap(self, value: u64) -> Trap {
        Trap { cause: self, value }
    }
}

/// An interrupt's number in `sip`, `sie` and `scause`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interrupt(u8);

pub const SOFTWARE: Interrupt = Interrupt(1);
pub const TIMER: Interrupt = Interrupt(5);
pub const EXTERNAL: Interrupt = Interrupt(9);

impl Interrupt {
    /// Its bit in `sip` and `sie`.
    pub const fn bit(self) -> u64 {
        1 << self.0
    }
}

impl Hart {
    /// `sip` at this position.
    pub(super) fn pending(&self, external: bool) -> u64 {
        let timer = self.position >= self.timer_at;
        let bit = |interrupt: Interrupt, pending| if pending { interrupt.bit() } else { 0 };
        bit(SOFTWARE, self.csrs.ssip) | bit(TIMER, timer) | bit(EXTERNAL, external)
    }

    /// Interrupts are taken in this mode.
    pub(super) fn takes_interrupts(&self) -> bool {
        self.privilege == Privilege::User || self.csrs.sstatus & SIE != 0
    }

    /// The interrupt to take before the next instruction.
    pub(super) fn deliverable(&self, external: bool) -> Option<Interrupt> {
        let pending = self.pending(external) & self.csrs.sie;
        if pending == 0 || !self.takes_interrupts() {
            return None;
        }
        [EXTERNAL, SOFTWARE, TIMER].into_iter().find(|interrupt| pending & interrupt.bit() != 0)
    }

    /// Takes an exception: the instruction at `pc` does not retire.
    pub(super) fn take(&mut self, memory: &mut Memory, trap: Trap) {
        self.enter_supervisor(memory, trap.cause as u64, trap.value);
        self.pc = self.csrs.stvec & !3;
    }

    /// Takes an interrupt before the instruction at `pc`.
    pub(super) fn interrupt(&mut self, memory: &mut Memory, interrupt: Interrupt) {
        let Interrupt(code) = interrupt;
        self.enter_supervisor(memory, 1 << 63 | u64::from(code), 0);
        let vectored = self.csrs.stvec & 1 == 1;
        self.pc = (self.csrs.stvec & !3).wrapping_add(if vectored { 4 * u64::from(code) } else { 0 });
    }

    fn enter_supervisor(&mut self, memory: &mut Memory, cause: u64, value: u64) {
        let csrs = &mut self.csrs;
        (csrs.sepc, csrs.scause, csrs.stval) = (self.pc, cause, value);
        let interrupts = csrs.sstatus & SIE != 0;
        csrs.sstatus &= !(SIE | SPIE | SPP);
        if interrupts {
            csrs.sstatus |= SPIE;
        }
        if self.privilege == Privilege::Supervisor {
            csrs.sstatus |= SPP;
        }
        self.privilege = Privilege::Supervisor;
        self.latch = None;
        memory.reservation = None;
        self.position += 1;
        self.traps += 1;
        self.enter_context();
    }

    /// SRET, in S-mode.
    pub(super) fn sret(&mut self) {
        let status = self.csrs.sstatus;
        self.privilege = if status & SPP != 0 { Privilege::Supervisor } else { Privilege::User };
        self.csrs.sstatus = status & !(SIE | SPP) | SPIE;
        if status & SPIE != 0 {
            self.csrs.sstatus |= SIE;
        }
        self.pc = self.csrs.sepc;
        self.position += 1;
        self.latch = None;
        self.enter_context();
    }
}
