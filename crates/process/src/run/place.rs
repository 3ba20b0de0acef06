//! Where the group runs: the supervisor's thread and its tracees share one processor, because a stop costs 10-18 us there and 79-130 us
//! across two.
//!
//! The rule it keeps: nothing that a program can see depends on it, since the affinity that a program knows is the model's. A processor is no prison:
//! when the group waits for it too often, and another one promises better, the whole group moves. It leaves out memory nodes.

use crate::kernel::Tracees;
use crate::tracee::sys;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Pause between two looks at how crowded the processor is; a little longer at random, so that two groups do not dodge in step.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const LOOK_LATER_MS_MAX: u32 = 200;
/// A group that wants the processor for less than this share of the time needs no better one.
const BUSY_PER_MILLE: u128 = 50;
/// Another processor must promise so much less waiting.
const GAIN_PER_MILLE: u32 = 150;
/// What was seen on another processor loses so much of its weight with each look at this one.
const FORGET_PER_MILLE: u32 = 100;
/// Threads looked at; the first ones stand for all.
const THREADS_MAX: usize = 64;

/// The processor that a group has chosen.
#[derive(Debug)]
pub struct Place {
    /// The supervisor's thread, and where it may run.
    thread: i32,
    choice: Choice,
    used: Usage,
    looked: Instant,
    pause: Duration,
}

/// Which processor is best, as far as is known.
#[derive(Debug)]
struct Choice {
    allowed: Vec<usize>,
    cpu: usize,
    /// Time spent waiting, per mille of the time wanted; what is not here was never tried.
    crowded: BTreeMap<usize, u32>,
}

/// What threads have had of processors so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Usage {
    ran: Duration,
    waited: Duration,
}

impl Place {
    /// Takes the processor that the calling thread runs on; what it spawns from now on inherits that. `None` if there is nothing to choose, or no way to
    /// see how crowded a processor is.
    pub fn take() -> Option<Self> {
        let (thread, cpu) = (sys::gettid(), sys::current_cpu());
        let allowed = sys::affinity(thread).ok()?;
        let used = usage(thread)?;
        if allowed.len() < 2 || sys::set_affinity(thread, &[cpu]).is_err() {
            return None;
        }
        let choice = Choice { allowed, cpu, crowded: BTreeMap::new() };
        Some(Self { thread, choice, used, looked: Instant::now(), pause: LOOK_EVERY })
    }

    /// Moves the group if it is time to look and another processor promises better. Call it on the thread that took the place.
    pub fn look(&mut self, tracees: &Tracees) {
        let passed = self.looked.elapsed();
        if passed < self.pause {
            return;
        }
        self.looked = Instant::now();
        let threads: Vec<i32> = tracees.values().map(crate::tracee::Tracee::tid).collect();
        let used = threads
            .iter()
            .take(THREADS_MAX)
            .chain([&self.thread])
            .filter_map(|&t| usage(t))
            .fold(Usage::default(), Usage::plus);
        let (ran, waited) = (used.ran.saturating_sub(self.used.ran), used.waited.saturating_sub(self.used.waited));
        self.pause = LOOK_EVERY + Duration::from_millis(u64::from(used.waited.subsec_nanos() % LOOK_LATER_MS_MAX));
        self.used = used;
        let wanted = (ran + waited).as_nanos();
        if wanted * 1000 < passed.as_nanos() * BUSY_PER_MILLE {
            return;
        }
        let crowded = (waited.as_nanos() * 1000 / wanted.max(1)) as u32;
        if self.choice.seen(crowded) {
            for thread in threads.into_iter().chain([self.thread]) {
                // A thread that is ending cannot be moved, and need not.
                let _ = sys::set_affinity(thread, &[self.choice.cpu]);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // If the thread is gone, so is its place.
        let _ = sys::set_affinity(self.thread, &self.choice.allowed);
    }
}

impl Choice {
    /// Notes how crowded the chosen processor was, and chooses again; true if the choice is another one.
    fn seen(&mut self, crowded: u32) -> bool {
        for old in self.crowded.values_mut() {
            *old -= *old * FORGET_PER_MILLE / 1000;
        }
        self.crowded.insert(self.cpu, crowded);
        let at = self.allowed.iter().position(|&cpu| cpu >= self.cpu).unwrap_or(0);
        let others = self.allowed.iter().cycle().skip(at).take(self.allowed.len());
        let expected = |cpu: &usize| self.crowded.get(cpu).copied().unwrap_or(0);
        let best = *others.min_by_key(|&cpu| expected(cpu)).expect("there are at least two");
        let better = expected(&best) + GAIN_PER_MILLE <= crowded;
        if better {
            self.cpu = best;
        }
        better
    }
}

impl Usage {
    fn plus(self, other: Self) -> Self {
        Self { ran: self.ran + other.ran, waited: self.waited + other.waited }
    }
}

/// What one thread has had; proc(5) has the file under its scheduler's statistics.
fn usage(thread: i32) -> Option<Usage> {
    let text = std::fs::read_to_string(format!("/proc/{thread}/schedstat")).ok()?;
    let mut numbers = text.split_whitespace().map(|n| n.parse().map(Duration::from_nanos));
    Some(Usage { ran: numbers.next()?.ok()?, waited: numbers.next()?.ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allowed: &[usize], seen: &[u32], expect: &[usize]) {
        let mut choice = Choice { allowed: allowed.to_vec(), cpu: allowed[0], crowded: BTreeMap::new() };
        let mut chosen = Vec::new();
        for &crowded in seen {
            let (before, moved) = (choice.cpu, choice.seen(crowded));
            assert_eq!(moved, choice.cpu != before);
            chosen.push(choice.cpu);
        }
        assert_eq!(chosen, expect, "{allowed:?} {seen:?}");
    }

    #[test]
    fn a_crowded_processor_is_left_for_one_that_promises_better() {
        check(&[0, 1], &[100, 140, 100], &[0, 0, 0]);
        check(&[0, 1], &[500, 0, 0], &[1, 1, 1]);
        // Equally crowded: no gain in going back, until what was seen there is old.
        check(&[0, 1], &[500, 500, 500, 500, 500], &[1, 1, 1, 1, 0]);
        check(&[3, 5, 9], &[500, 400, 300, 100], &[5, 9, 9, 9]);
    }

    #[test]
    fn a_place_is_given_back() {
        std::thread::spawn(|| {
            let before = sys::affinity(sys::gettid()).expect("a live thread");
            if let Some(place) = Place::take() {
                assert_eq!(sys::affinity(sys::gettid()).ok(), Some(vec![place.choice.cpu]));
            } else {
                assert_eq!(before.len(), 1);
            }
            assert_eq!(sys::affinity(sys::gettid()).ok(), Some(before));
        })
        .join()
        .expect("no panic");
    }
}
