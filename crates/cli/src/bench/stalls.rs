//! A probe for stalls of the host: threads that sleep a millisecond at a time and note when they were woken late.
//!
//! One thread on each processor, since a hypervisor takes them away one by one. What it leaves out: who is to blame. A thread that was woken late may
//! also have waited for programs of this machine; only lateness beyond what a scheduler's turn takes is noted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const SLEEP: Duration = Duration::from_millis(1);
/// Lateness that is nobody's fault.
const LATE_MIN: Duration = Duration::from_millis(5);

/// From when to when a processor did not run what it should have.
type Stall = (Instant, Instant);

/// Watches until it is dropped.
pub struct Probe {
    stalls: Arc<Mutex<Vec<Stall>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Probe {
    /// Watches these processors.
    pub fn start(processors: &[usize]) -> Result<Self, String> {
        let mut probe = Self { stalls: Arc::default(), stop: Arc::default(), threads: Vec::new() };
        for &cpu in processors {
            let (stalls, stop) = (Arc::clone(&probe.stalls), Arc::clone(&probe.stop));
            let watch = move || {
                // Where a processor cannot be chosen, any will do.
                let _ = super::bed::stay_on(cpu);
                while !stop.load(Ordering::SeqCst) {
                    let due = Instant::now() + SLEEP;
                    std::thread::sleep(SLEEP);
                    let woken = Instant::now();
                    if woken.saturating_duration_since(due) > LATE_MIN {
                        stalls.lock().unwrap_or_else(PoisonError::into_inner).push((due, woken));
                    }
                }
            };
            let thread = std::thread::Builder::new().name(format!("stalls-{cpu}")).spawn(watch);
            probe.threads.push(thread.map_err(|e| format!("no thread for a probe: {e}"))?);
        }
        Ok(probe)
    }

    /// How much of this time some processor was stalled.
    pub fn within(&self, from: Instant, to: Instant) -> Duration {
        covered(self.stalls.lock().unwrap_or_else(PoisonError::into_inner).clone(), from, to)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// How much of the time from one moment to another lies in at least one of these.
fn covered(mut stalls: Vec<Stall>, from: Instant, to: Instant) -> Duration {
    stalls.sort_unstable();
    let (mut at, mut sum) = (from, Duration::ZERO);
    for (begin, end) in stalls {
        let (begin, end) = (begin.max(at), end.min(to));
        if end > begin {
            sum += end - begin;
            at = end;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_stalls_count_once() {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let check = |stalls: &[(u64, u64)], expect| {
            let stalls = stalls.iter().map(|&(begin, end)| (at(begin), at(end))).collect();
            assert_eq!(covered(stalls, at(100), at(200)), Duration::from_millis(expect));
        };
        check(&[], 0);
        check(&[(0, 50), (250, 300)], 0);
        check(&[(50, 110), (190, 300)], 20);
        check(&[(120, 140), (130, 150), (125, 126)], 30);
        check(&[(0, 500)], 100);
    }
}
