//! Who gets the baton next, and what is due. Decided from the model alone, so it needs no log entry.

use crate::kernel::{Kernel, State, Tid, TimerKey};
use crate::object::timerfd;
use crate::syscalls::signal;
use crate::tracee::lane::SLICE_EVENTS;

fn ready(k: &Kernel, tid: Tid) -> bool {
    k.threads.get(&tid).is_some_and(|t| t.state == State::Ready)
}

/// The thread to run next, if any can.
pub fn pick(k: &mut Kernel) -> Option<Tid> {
    if let Some(tid) = k.current.filter(|&tid| ready(k, tid)) {
        if k.slice > 0 || k.run_queue.is_empty() {
            k.slice = k.slice.saturating_sub(1);
            return Some(tid);
        }
        k.run_queue.push_back(tid);
    }
    k.current = None;
    while let Some(tid) = k.run_queue.pop_front() {
        if ready(k, tid) {
            k.current = Some(tid);
            k.slice = SLICE_EVENTS;
            return Some(tid);
        }
    }
    None
}

/// Forgets threads that cannot run any more. After every event, so that looking for somebody to run when there is nobody (which only a live
/// replica does) changes nothing: what wakes next is ordered the same on both sides.
pub fn settle(k: &mut Kernel) {
    let Kernel { threads, current, run_queue, .. } = k;
    let ready = |tid: &Tid| threads.get(tid).is_some_and(|t| t.state == State::Ready);
    *current = current.filter(ready);
    run_queue.retain(ready);
}

/// The earliest time at which something is due.
pub fn next_due(k: &Kernel) -> Option<u64> {
    k.timers.first().map(|&(due, _)| due)
}

/// Fires everything that is due by the replica's clock.
pub fn fire_timers(k: &mut Kernel) {
    while let Some(&(due, key)) = k.timers.first() {
        if due > k.now {
            return;
        }
        k.timers.remove(&(due, key));
        match key {
            TimerKey::Wait(tid) => k.make_ready(tid),
            TimerKey::Alarm(pid) => signal::alarm_expired(k, pid),
            TimerKey::Posix(pid, id) => signal::posix_expired(k, pid, id),
            TimerKey::Fd(id) => timerfd::expire(k, id),
        }
    }
}
