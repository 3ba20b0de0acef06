//! The process level: unmodified Linux x86-64 programs, replicated at the system-call line.
//!
//! The supervisor is a deterministic user-space kernel. Every system call of the program stops once (seccomp and ptrace) and is
//! carried out by the [`kernel`] model; the program owns no real descriptor, pid or socket. Primary and backup run the same model; only
//! the source of inputs differs ([`kernel::Io`]). What the program cannot have computed itself comes from [`world`] and is logged.

pub mod fs;
pub mod ipc;
pub mod kernel;
pub mod net;
pub mod object;
mod random;
mod replica;
pub mod run;
pub mod signal;
pub mod syscalls;
pub mod tracee;
pub mod world;

pub use replica::{EXIT_CHANNEL, ProcessGroup};
pub use run::fit::Unfit;
pub use run::launch::Command;

/// An entry of this level for a person, in one line.
pub fn describe(entry: &gapless_log::Entry) -> Option<String> {
    world::describe(entry.kind, &entry.body)
}
