//! The machine level: a deterministic RISC-V computer that boots an unmodified Debian, records, replays, and runs as a protected pair.

mod clock;
pub mod device;
pub mod hart;
mod memory;

pub use clock::{Line, SLOPE_ONE, TICK_NANOS, TICKS_PER_SECOND};
pub use memory::{GuestAddr, Memory, Outside, PAGE_BYTES, RAM_BASE};
