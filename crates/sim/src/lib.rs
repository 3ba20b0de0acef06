//! Seeded simulation of the pair: real engines, the real host loop, and everything around them simulated.
//!
//! Two or three machines with a directory each, an arbiter and a network run through a schedule that follows from a seed: crashes and
//! restarts (with and without the directory), loss of power with torn and lost writes, stalls, delays, broken connections, doubled packets,
//! blocked directions, an arbiter that is unreachable, slow, or applies puts when nobody waits for them any more. Every rule of the protocol
//! that can be seen from outside is checked on every step, by [`Checker`]; a schedule ends when the faults have stopped and the pair is
//! whole again.

mod arbiter;
mod check;
mod coverage;
mod disk;
mod exec;
mod human;
mod net;
mod node;
mod plan;
mod rng;
mod sim;
mod tasks;
mod trace;

pub use check::Checker;
pub use coverage::{Coverage, Met};
pub use gapless_pair::Mutant;
pub use tasks::{TaskMet, TaskMutant, TaskOutcome, run_tasks};

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What became of one schedule.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The rule that was broken, if one was.
    pub violation: Option<String>,
    /// What the schedule came across.
    pub met: BTreeSet<Met>,
    /// Its record, if asked for.
    pub trace: Vec<String>,
}

/// Runs the schedule of a seed.
pub fn run(seed: u64, mutant: Mutant, trace: bool) -> Outcome {
    let mut sim = sim::Sim::new(seed, mutant, trace);
    let ran = catch_unwind(AssertUnwindSafe(|| sim.run()));
    let violation = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Some(format!("panic: {}", text.unwrap_or_default()))
    });
    Outcome { violation, met: std::mem::take(&mut sim.met), trace: sim.trace.lines().to_vec() }
}
