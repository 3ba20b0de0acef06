//! The machine level: a deterministic RISC-V computer that boots an unmodified Debian, records, replays, and runs as a protected pair.

pub mod board;
mod clock;
pub mod device;
pub mod disk;
pub mod fdt;
pub mod hart;
pub mod image;
mod memory;

pub use clock::{Line, SLOPE_ONE, TICK_NANOS, TICKS_PER_SECOND};
pub use memory::{GuestAddr, Memory, Outside, PAGE_BYTES, RAM_BASE};
