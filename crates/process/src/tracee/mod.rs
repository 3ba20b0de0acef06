//! The mechanics of holding a program: start it, stop it, read and change it, run calls in it.
//!
//! This is the thin edge below the kernel model. It knows ptrace, seccomp, ELF and x86-64, and
//! nothing of what a system call means.
//!
//! The rule it keeps: a thread runs only between [`Tracee::resume`] and the [`Stop`] that ends
//! it, and nothing of the program reaches the host kernel unless the caller asks for it by name
//! ([`Tracee::native`], [`Tracee::through`] and their relatives). Threads that are parked in the
//! in-process code ([`baton`]) pass the right to run among themselves.
//!
//! What it leaves out: scheduling, descriptors, pids, time, the meaning of signals.
//!
//! All functions must be called on the thread that spawned the first tracee: ptrace ties a
//! tracee to one tracer thread.

pub mod baton;
mod blob;
pub mod call_site;
mod clock;
pub mod cpuid;
mod elf;
mod error;
mod filter;
mod group;
pub mod insn;
pub mod lane;
pub mod loader;
pub mod maps;
mod memory;
pub mod names;
mod signal;
pub mod sites;
mod spawn;
mod spin;
mod stack;
mod stub;
pub mod sys;
pub mod text;
mod thread;
mod track;
mod tsc;
mod uffd;

pub use call_site::CallSites;
pub use clock::{TICK, TICK_ALONE, pause_ticks, tick_every};
pub use elf::{Elf, Errno};
pub use error::{Error, Result};
pub use group::Died;
pub use memory::{Fault, StrFault};
pub use signal::{Delivery, SigInfo};
pub use spawn::pin_current_thread;
pub use stub::{LANE_START, RESERVED_FDS, SCRATCH_END, SCRATCH_START, SITES_END, SITES_START, STACK_SIZE, STACK_TOP};
pub use sys::Regs;
pub use thread::{Stop, Tracee, xsave_values};
pub use track::Tracker;
pub use tsc::{counter_faults, read_counter, restore_counter};
