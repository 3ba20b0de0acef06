//! System calls: one table, one handler a row, grouped by family.

use crate::kernel::{Ctx, Fail, Kernel, Outcome};

pub mod dir;
pub mod fd;
pub mod file;
pub mod futex;
pub mod io;
pub mod memory;
pub mod misc;
pub mod net;
pub mod path;
pub mod poll;
pub mod process;
pub mod sched;
pub mod sem;
pub mod shm;
pub mod signal;
pub mod table;
pub mod time;

/// What a handler answers.
pub type SysResult = Result<Outcome, Fail>;

/// Carries out one call. It must not change anything before it knows that it will not answer [`Outcome::Block`].
pub type Handler = fn(&mut Kernel, &mut Ctx<'_, '_>, &[u64; 6]) -> SysResult;
