//! The machine level: a deterministic RISC-V computer that boots an unmodified Debian, records, replays, and runs as a protected pair.
//!
//! From the bottom up:
//!
//! - [`Memory`] sees every write, so that nothing derived from memory is ever stale;
//! - `hart/` executes RV64GC exactly, and stops at any position;
//! - `device/` and `board.rs` are what a guest finds at physical addresses, `disk/` and `disks.rs` what is behind its disks, `sbi.rs` what is below its kernel;
//! - [`Computer`] puts them together: a function of its state and its inputs;
//! - [`Machine`] is the computer as a replica: `event.rs` lists its inputs, `steer.rs` keeps its clock, `world/` is the outside while it is live;
//! - `debug/` stops a replay anywhere, and goes back.

mod board;
mod boot;
mod clock;
mod computer;
pub mod debug;
pub mod device;
mod digest;
pub mod disk;
mod disks;
pub mod event;
mod fdt;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
pub mod hart;
mod image;
mod memory;
mod pack;
mod replica;
mod sbi;
mod setup;
mod snapshot;
mod steer;
mod world;

pub use clock::{Line, SLOPE_ONE, TICK_NANOS, TICKS_PER_SECOND};
pub use computer::{Computer, Power, Stop};
pub use gapless_gate::HEADER_BYTES as NET_HEADER_BYTES;
pub use memory::{GuestAddr, Memory, Outside, PAGE_BYTES, RAM_BASE};
pub use replica::{CONSOLE_CHANNEL, LEVEL, Machine, NET_CHANNEL, Origin, POWER_CHANNEL, STOPPED, Stopper};
pub use setup::{Boot, Disk, DiskImage, MEMORY_BYTES, Setup};
pub use snapshot::{FILES, files};
pub use world::console::attach;
pub use world::{ConsoleAt, Local, Net, Tell};
