//! How soon a computing thread may be stopped: such that state jumps cost at most a tenth of the time, as long as nobody waits for seconds.

use crate::kernel::Fail;
use gapless_log::cpu_time;
use std::time::{Duration, Instant};

/// A thread that makes no call may compute for so long while something waits, if a jump has to log all memory of its process.
const PATIENCE: Duration = Duration::from_millis(50);
/// The same if only what was written since the jump before has to be logged, and what waits is the turn of another computing thread.
const PATIENCE_TRACKED: Duration = Duration::from_millis(10);
/// The same if what waits has been woken: programs count on that to be soon. (The lock of Python's interpreter goes to the next thread after 5 ms;
/// stopped less often than that, two threads hand it to each other, and a third one waits for seconds.)
const PATIENCE_WOKEN: Duration = Duration::from_millis(2);
/// A state jump must not cost more than this fraction of the time.
const JUMP_COST_FACTOR: u32 = 10;
/// But whoever waits is let run after so long at the latest, however dear the jump before was: what it cost may be a stall of the host, or its search
/// for memory, of which the next one is free.
const REST_MAX: Duration = Duration::from_secs(10);

/// What a computing thread keeps waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// Nothing yet.
    Nobody {
        /// A timer is due after this time.
        due_in: Duration,
    },
    /// Another thread that computes has its turn next.
    Turn,
    /// A thread that was woken, a signal, a timer that is due, an input.
    Woken,
}

/// When jumps may come again: those of address spaces that are not tracked yet, and those of tracked ones, which are another matter by far.
#[derive(Debug, Default)]
pub struct Pace {
    rest: [Option<Instant>; 2],
    /// Jumps so far.
    pub jumps: u64,
}

impl Pace {
    /// For how long a thread that has computed for `ran` may go on before it must give way.
    pub fn left(&self, tracked: bool, woken: bool, ran: Duration) -> Duration {
        let patience = match (tracked, woken) {
            (false, _) => PATIENCE,
            (true, false) => PATIENCE_TRACKED,
            (true, true) => PATIENCE_WOKEN,
        };
        let rest = self.rest[usize::from(tracked)]
            .map_or(Duration::ZERO, |rest| rest.saturating_duration_since(Instant::now()));
        patience.saturating_sub(ran).max(rest)
    }

    /// A jump is carried out. What it costs is our own work alone: neither what the thread computed before, nor what others did to the processor.
    pub fn jump(&mut self, tracked: bool, jump: impl FnOnce() -> Result<(), Fail>) -> Result<(), Fail> {
        let began = cpu_time();
        jump()?;
        let cost = cpu_time().saturating_sub(began);
        // That of a spin comes when it likes, and must not make up for what a large one has cost.
        let rest = &mut self.rest[usize::from(tracked)];
        *rest = (*rest).max(Some(Instant::now() + rest_after(cost)));
        self.jumps += 1;
        Ok(())
    }
}

/// How long no jump comes after one that cost so much.
fn rest_after(cost: Duration) -> Duration {
    cost.saturating_mul(JUMP_COST_FACTOR).min(REST_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_take_a_tenth_of_the_time_but_nobody_waits_for_ever() {
        assert_eq!(rest_after(Duration::from_millis(3)), Duration::from_millis(30));
        assert_eq!(rest_after(Duration::from_secs(6)), Duration::from_secs(10));
        assert_eq!(rest_after(Duration::MAX), Duration::from_secs(10));
    }
}
