//! The hart: RV64GC in S-mode and U-mode, with Zba, Zbb, Zbs, Zicboz, Sstc, Svadu and Sv39.
//!
//! The rules it keeps:
//! - What it does is a function of its state, of memory and of what the [`Bus`] answers; it can stop at any position, and where it stopped makes no
//!   difference. Whatever a guest could notice is therefore state: the TLB, the fetch latch and the reservation (which is kept by the memory). What is
//!   kept for speed (decoded code, look-asides) is never state and never stale.
//! - Position = instructions retired + traps taken. `cycle` is the position, `instret` the position less the traps, `time` what the clock's line says
//!   at the position of the instruction that reads it.
//! - The fetch latch: fetching asks the TLB only when `pc` has moved to another virtual page than the last instruction's, or when a trap, SRET,
//!   FENCE.I, SFENCE.VMA or a write to `satp` has emptied the latch. An instruction that straddles two pages asks for the second one each time and
//!   leaves the latch at the first.
//! - The reservation of LR is taken away by SC, by a trap and by a device's write, not by the hart's own stores or its page-table walker.
//!
//! There is no M-mode: every trap goes to S-mode, and ECALL from S-mode comes out of [`Hart::run`] as a call of the SBI.

mod amo;
pub(crate) mod code;
#[cfg(feature = "conformance")]
pub mod conformance;
mod csr;
mod decode;
mod firmware;
mod float;
pub mod fp;
mod integer;
mod lookaside;
mod mmu;
mod op;
mod peek;
mod points;
mod rare;
mod registers;
mod run;
mod state;
#[cfg(test)]
mod tests;
mod tlb;
mod trap;

use crate::clock::{Line, TICK_NANOS};
use crate::memory::{Epoch, Memory};
use code::StraddlePage;
use csr::Csrs;
use gapless_log::Position;
use lookaside::{Context, FetchAside, LookAside, SPACES};
use points::Points;
pub use points::{Hit, Touch, Watch};
pub use registers::Registers;
use serde::{Deserialize, Serialize};
use tlb::Tlb;

/// A device register that does not exist, or an access of a width that it does not take: an access fault in the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccessFault;

/// What the hart needs to know of the rest of the computer.
pub trait Bus {
    /// The memory.
    fn memory(&mut self) -> &mut Memory;
    /// A load from outside of memory; `at` is a multiple of `width` (1, 2, 4 or 8 bytes), `when` the position of the instruction.
    fn load(&mut self, at: u64, width: u8, when: Position) -> Result<u64, AccessFault>;
    /// A store outside of memory.
    fn store(&mut self, at: u64, width: u8, value: u64, when: Position) -> Result<(), AccessFault>;
    /// The line of the interrupt controller to the hart's S-mode.
    fn external_interrupt(&self) -> bool;
    /// A device has something to say: the step ends after this instruction. Asked after every load and store that went to a device.
    fn wants_end(&self) -> bool;
}

/// Why the hart came back. In every case it stands between two instructions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// It has reached the position.
    Limit,
    /// It waits for an interrupt, and none is pending. The WFI has retired.
    Wfi,
    /// ECALL from S-mode: the SBI is asked. `pc` is at the ECALL; neither has it retired nor a trap been taken.
    Sbi,
    /// A device wants the step to end.
    Device,
    /// A debugger's point was hit: [`Hart::take_hit`] says which.
    Point,
}

/// How the interrupt of the supervisor timer follows from the clock.
pub type Clock = Line;

/// A privilege mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Privilege {
    User,
    Supervisor,
}

/// The page that instructions are fetched from; both addresses are multiples of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Latch {
    page: u64,
    physical: u64,
}

/// The hart.
#[derive(Debug)]
#[repr(C)]
pub struct Hart {
    /// Integer registers.
    pub x: Registers,
    /// Floating-point registers as they are: singles are boxed.
    pub f: Registers,
    context: Context,
    fetch_context: Context,
    pc: u64,
    position: u64,
    traps: u64,
    latch: Option<Latch>,
    csrs: Csrs,
    privilege: Privilege,
    line: Line,
    /// First position at which the timer interrupt is pending; follows from `line` and `stimecmp`.
    timer_at: u64,
    tlb: Tlb,
    /// The address spaces that have a number in contexts, and whose turn it is to lose its own.
    spaces: [Option<Space>; SPACES],
    next_space: usize,
    /// Number of the present address space.
    space: usize,
    /// When the look-asides were last known to agree with memory.
    epoch: Option<Epoch>,
    /// Physical address of the second half of the straddling instruction that is being executed.
    second_half: u64,
    /// Where straddling instructions are executed.
    straddling: StraddlePage,
    /// A debugger's; not state.
    points: Points,
    loads: LookAside,
    stores: LookAside,
    fetches: FetchAside,
}

// SAFETY: the look-asides hold addresses of a memory, but no thread's; they are cleared before the hart runs with another memory.
unsafe impl Send for Hart {}

/// An address space as far as translations can tell; none is physical addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Space {
    asid: Option<u16>,
}

impl Hart {
    /// A hart at position 0 that waits for [`Hart::start`].
    pub fn new() -> Self {
        state::State::new().into()
    }

    /// Starts it as the SBI says: in S-mode without paging and interrupts, `a0` and `a1` set; every other register is zero, and so are the
    /// CSRs, but that user mode may read the counters, as every firmware has it. The position goes on. Memory's reservation is not touched.
    pub fn start(&mut self, pc: u64, a0: u64, a1: u64) {
        let mut state = state::State {
            pc: pc & !1,
            position: self.position,
            traps: self.traps,
            line: self.line,
            ..state::State::new()
        };
        (state.x[10], state.x[11]) = (a0, a1);
        state.csrs.scounteren = csr::SCOUNTEREN_WRITABLE;
        let points = std::mem::take(&mut self.points);
        *self = Self { points, ..state.into() };
    }

    /// Ends a call of the SBI: `a0` and `a1` are its results, and the ECALL retires.
    pub fn sbi_return(&mut self, error: i64, value: u64) {
        (self.x[10], self.x[11]) = (error as u64, value);
        self.retire(4);
    }

    /// Instructions retired and traps taken since the hart was switched on.
    pub fn position(&self) -> Position {
        Position(self.position)
    }

    /// Where the next instruction is.
    pub fn pc(&self) -> u64 {
        self.pc
    }

    /// The clock.
    pub fn line(&self) -> Line {
        self.line
    }

    /// Steers the clock. From here on `time` and the timer follow this line.
    pub fn set_line(&mut self, line: Line) {
        self.line = line;
        self.time_timer();
    }

    /// An interrupt is pending that `sie` enables: WFI does not wait, whatever `sstatus.SIE` says.
    pub fn wakes(&self, bus: &impl Bus) -> bool {
        self.pending(bus.external_interrupt()) & self.csrs.sie != 0
    }

    /// Nanoseconds of virtual time at which the timer's interrupt becomes (or became) pending; none if `sie.STIE` is clear or that is never.
    pub fn timer(&self) -> Option<u64> {
        let enabled = self.csrs.sie & trap::TIMER.bit() != 0;
        self.csrs.stimecmp.checked_mul(TICK_NANOS).filter(|_| enabled)
    }

    /// Whether the hart is in user mode.
    pub fn is_user(&self) -> bool {
        self.privilege == Privilege::User
    }

    /// What is to be known of the timer after `line` or `stimecmp` changed.
    fn time_timer(&mut self) {
        let nanos = self.csrs.stimecmp.checked_mul(TICK_NANOS);
        self.timer_at = nanos.map_or(u64::MAX, |nanos| self.line.position_at(nanos));
    }

    /// An instruction of so many bytes is done and the next one follows it.
    fn retire(&mut self, bytes: u64) {
        self.pc = self.pc.wrapping_add(bytes);
        self.position += 1;
    }
}

impl Default for Hart {
    fn default() -> Self {
        Self::new()
    }
}
