//! Sending and picking signals: pure bookkeeping in the model. What delivery does to a real thread is in `run`.

use super::{DefaultAction, SigInfo, SigSet, Signal, default_action, kernel_info};
use crate::kernel::{Kernel, Key, Pid, State, Tid};

const STOPS: [i32; 4] = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

/// The wait status of a process that goes on.
const CONTINUED: i32 = 0xffff;

/// Signals pending for a thread: its own and its process's.
pub fn pending(k: &Kernel, tid: Tid) -> SigSet {
    let thread = k.thread(tid);
    SigSet(thread.pending.set().0 | k.process(thread.pid).pending.set().0)
}

/// Takes a pending signal out of `wanted`: the thread's own first.
pub fn take_pending(k: &mut Kernel, tid: Tid, wanted: SigSet) -> Option<Signal> {
    let pid = k.thread(tid).pid;
    let taken = k.thread_mut(tid).pending.take(wanted).or_else(|| k.process_mut(pid).pending.take(wanted))?;
    if let Some(timer) = taken.info.timer().and_then(|id| k.process_mut(pid).posix_timers.get_mut(&id)) {
        timer.overrun = taken.info.overrun();
    }
    Some(taken)
}

/// Would a signal have no effect on a process: ignored, by choice or by default?
fn ignored(k: &Kernel, pid: Pid, signal: i32) -> bool {
    match k.process(pid).actions.get(signal).handler {
        0 => default_action(signal) == DefaultAction::Ignore,
        1 => !matches!(signal, libc::SIGKILL | libc::SIGSTOP),
        _ => false,
    }
}

/// Signals that would do something to this thread now.
pub fn deliverable(k: &Kernel, tid: Tid) -> SigSet {
    let mask = k.thread(tid).mask.blockable();
    SigSet(pending(k, tid).0 & !mask.0)
}

/// Is there a signal for this thread now that is not dropped as it is taken?
pub fn is_disturbed(k: &Kernel, tid: Tid) -> bool {
    let (set, pid) = (deliverable(k, tid), k.thread(tid).pid);
    set.0 != 0 && (1..=64).any(|signal| set.has(signal) && !ignored(k, pid, signal))
}

/// Does one of the signals that would reach this thread now end its process?
pub fn is_fatal(k: &Kernel, tid: Tid) -> bool {
    let (set, actions) = (deliverable(k, tid), &k.process(k.thread(tid).pid).actions);
    let ends = |signal: i32| actions.get(signal).handler == 0 && default_action(signal) == DefaultAction::Terminate;
    (1..=64).filter(|&signal| set.has(signal)).any(ends)
}

/// Takes the next signal to deliver to a thread, dropping ignored ones.
pub fn take_deliverable(k: &mut Kernel, tid: Tid) -> Option<Signal> {
    loop {
        let set = deliverable(k, tid);
        if set.0 == 0 {
            return None;
        }
        // SIGKILL before all others.
        let wanted = if set.has(libc::SIGKILL) { SigSet(0).with(libc::SIGKILL) } else { set };
        let signal = take_pending(k, tid, wanted)?;
        if !ignored(k, k.thread(tid).pid, signal.number) {
            return Some(signal);
        }
    }
}

/// Drops pending signals that a changed action now ignores (POSIX: setting SIG_IGN discards).
pub fn drop_ignored(k: &mut Kernel, pid: Pid, signal: i32) {
    if !ignored(k, pid, signal) {
        return;
    }
    let set = SigSet(0).with(signal);
    k.process_mut(pid).pending.discard(set);
    for thread in k.threads.values_mut().filter(|t| t.pid == pid) {
        thread.pending.discard(set);
    }
}

/// Is this signal blocked or ignored by the thread (then a fault kills)?
pub fn is_blocked_or_ignored(k: &Kernel, tid: Tid, signal: i32) -> bool {
    let thread = k.thread(tid);
    thread.mask.has(signal) || k.process(thread.pid).actions.get(signal).handler <= 1
}

/// Sends a signal to one thread.
pub fn send_thread(k: &mut Kernel, tid: Tid, signal: Signal) {
    let Some(thread) = k.threads.get(&tid) else { return };
    let pid = thread.pid;
    if before_queueing(k, pid, Some(tid), signal.number) {
        k.thread_mut(tid).pending.push(signal);
        announce(k, pid);
        interrupt(k, tid);
    }
}

/// Sends a signal to a process as a whole.
pub fn send_process(k: &mut Kernel, pid: Pid, signal: Signal) {
    if k.processes.get(&pid).is_none_or(|p| p.zombie.is_some()) {
        return;
    }
    if before_queueing(k, pid, None, signal.number) {
        k.process_mut(pid).pending.push(signal);
        announce(k, pid);
        let taker = k.threads.values().filter(|t| t.pid == pid).map(|t| t.tid).find(|&t| deliverable(k, t).0 != 0);
        if let Some(tid) = taker {
            interrupt(k, tid);
        }
    }
}

/// The processes of a group, in order.
pub fn group_members(k: &Kernel, group: Pid) -> Vec<Pid> {
    k.processes.values().filter(|p| p.group == group && p.zombie.is_none()).map(|p| p.pid).collect()
}

/// Has the group no member whose parent could continue it: a parent in another group of the same session?
pub fn is_orphaned(k: &Kernel, group: Pid) -> bool {
    !k.processes
        .values()
        .filter(|p| p.group == group && p.zombie.is_none())
        .any(|p| k.processes.get(&p.parent).is_some_and(|above| above.session == p.session && above.group != group))
}

/// Sends a signal of the kernel's to every process of a group.
pub fn send_group(k: &mut Kernel, group: Pid, number: i32) {
    for pid in group_members(k, group) {
        send_process(k, pid, Signal { number, info: kernel_info(number) });
    }
}

/// A write found nobody to read: SIGPIPE for the writer.
pub fn broken_pipe(k: &mut Kernel, tid: Tid) {
    send_caller(k, tid, libc::SIGPIPE);
}

/// A call would have made a file larger than RLIMIT_FSIZE: SIGXFSZ for the caller.
pub fn file_too_large(k: &mut Kernel, tid: Tid) {
    send_caller(k, tid, libc::SIGXFSZ);
}

/// Sends a signal to the thread whose call is its cause.
fn send_caller(k: &mut Kernel, tid: Tid, number: i32) {
    let info = SigInfo::new(number, libc::SI_USER);
    let pid = k.thread(tid).pid;
    let info = info.with_sender(pid, k.process(pid).creds.uid[0]);
    send_thread(k, tid, Signal { number, info });
}

/// Effects that sending has even if the signal is blocked; false if it need not be queued at all.
fn before_queueing(k: &mut Kernel, pid: Pid, to: Option<Tid>, number: i32) -> bool {
    if number == libc::SIGCONT || number == libc::SIGKILL {
        let stops = STOPS.iter().fold(SigSet(0), |s, &n| s.with(n));
        k.process_mut(pid).pending.discard(stops);
        if number == libc::SIGCONT {
            for thread in k.threads.values_mut().filter(|t| t.pid == pid) {
                thread.pending.discard(stops);
            }
        }
        go_on(k, pid, number == libc::SIGCONT);
    } else if STOPS.contains(&number) {
        k.process_mut(pid).pending.discard(SigSet(0).with(libc::SIGCONT));
    }
    let blocked = |k: &Kernel, tid: Tid| k.thread(tid).mask.has(number);
    let held = match to {
        Some(tid) => blocked(k, tid),
        None => k.threads.values().filter(|t| t.pid == pid).all(|t| t.mask.has(number)),
    };
    held || !ignored(k, pid, number)
}

/// A stopped process goes on.
fn go_on(k: &mut Kernel, pid: Pid, report: bool) {
    let stopped: Vec<Tid> =
        k.threads.values().filter(|t| t.pid == pid && matches!(t.state, State::Stopped(_))).map(|t| t.tid).collect();
    if stopped.is_empty() {
        return;
    }
    for tid in stopped {
        let State::Stopped(before) = std::mem::replace(&mut k.thread_mut(tid).state, State::Ready) else { continue };
        match *before {
            State::VforkParent => k.thread_mut(tid).state = State::VforkParent,
            // A call that was blocked is simply tried again.
            _ => k.run_queue.push_back(tid),
        }
    }
    if report {
        crate::syscalls::process::report_stop(k, pid, CONTINUED);
    }
}

/// Whoever takes signals synchronously (sigwait, signalfd) looks again.
fn announce(k: &mut Kernel, pid: Pid) {
    k.wake(Key::Signals(pid));
    let fds: Vec<_> = k.objects.signals.keys().copied().collect();
    for id in fds {
        k.notify(id);
    }
}

/// A blocked thread with something to deliver leaves its call.
fn interrupt(k: &mut Kernel, tid: Tid) {
    if deliverable(k, tid).0 != 0 {
        k.make_ready(tid);
    }
}
