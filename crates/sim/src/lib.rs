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
    let violation = violation_of(|| sim.run());
    Outcome { violation, met: std::mem::take(&mut sim.met), trace: sim.trace.lines().to_vec() }
}

/// What a schedule says is broken; a panic is a rule that the code itself has noticed.
fn violation_of(run: impl FnOnce() -> Option<String>) -> Option<String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
        Some(format!("panic: {}", words.unwrap_or_default()))
    })
}
