//! How soon a computing thread may be stopped: such that state jumps cost at most a tenth of the time.

use crate::kernel::Fail;
use crate::world::cpu_time;
use std::time::{Duration, Instant};

/// A thread that makes no call for this long may be stopped anywhere, if something waits; all memory of its process is logged then.
const PATIENCE: Duration = Duration::from_millis(50);
/// The same if only what was written since the jump before is.
const PATIENCE_TRACKED: Duration = Duration::from_millis(10);
/// A state jump must not cost more than this fraction of the time.
const JUMP_COST_FACTOR: u32 = 10;

/// When jumps may come again: those of address spaces that are not tracked yet, and those of tracked ones, which are another matter by far.
#[derive(Debug, Default)]
pub struct Pace {
    rest: [Option<Instant>; 2],
    /// Jumps so far.
    pub jumps: u64,
}

impl Pace {
    /// For how long a thread may compute from now on before it must give way.
    pub fn patience(&self, tracked: bool) -> Duration {
        let least = if tracked { PATIENCE_TRACKED } else { PATIENCE };
        self.rest[usize::from(tracked)]
            .map_or(least, |until| least.max(until.saturating_duration_since(Instant::now())))
    }

    /// A jump is carried out. What it costs is our own work alone: neither what the thread computed before, nor what others did to the processor.
    pub fn jump(&mut self, tracked: bool, jump: impl FnOnce() -> Result<(), Fail>) -> Result<(), Fail> {
        let began = cpu_time();
        jump()?;
        let cost = cpu_time().saturating_sub(began);
        self.rest[usize::from(tracked)] = Some(Instant::now() + cost * JUMP_COST_FACTOR);
        self.jumps += 1;
        Ok(())
    }
}
