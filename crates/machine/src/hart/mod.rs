//! The hart: RV64GC in S-mode and U-mode.

pub mod code;
pub mod fp;

use crate::clock::Line;
use crate::memory::Memory;
use gapless_log::Position;

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
}

/// How the interrupt of the supervisor timer follows from the clock.
pub type Clock = Line;
