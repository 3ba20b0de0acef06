//! Scheduling: what a program asks for is kept and told again, for there is one processor and one queue. Processors: there is one.

use super::SysResult;
use crate::kernel::{Credentials, Ctx, Fail, Kernel, Pid, Process, Scheduling, Tid, done, fail};

/// The bit of a policy, and the flag of sched_setattr, that children do not inherit it.
const RESET_ON_FORK: i32 = 0x4000_0000;
const FLAG_RESET_ON_FORK: u64 = 1;
/// The first version of struct sched_attr, and the largest one that may come.
const ATTR_BYTES: u32 = 48;
const ATTR_BYTES_MAX: u32 = 4096;
/// The highest real-time priority.
const PRIORITY_MAX: u32 = 99;

fn is_realtime(policy: i32) -> bool {
    matches!(policy, libc::SCHED_FIFO | libc::SCHED_RR)
}

// ---- nice values ----

/// The threads that getpriority and setpriority are about, at least one.
fn chosen(k: &Kernel, cx: &Ctx<'_, '_>, which: u64, who: u64) -> Result<Vec<Tid>, Fail> {
    let who = who as i32;
    let own = k.process(cx.pid);
    let of = |wanted: &dyn Fn(&Process) -> bool| -> Vec<Tid> {
        k.threads.values().filter(|t| wanted(k.process(t.pid))).map(|t| t.tid).collect()
    };
    let tids = match which as u32 {
        libc::PRIO_PROCESS if who == 0 => vec![cx.tid],
        libc::PRIO_PROCESS => k.threads.get(&Tid(who)).map(|t| t.tid).into_iter().collect(),
        libc::PRIO_PGRP => {
            let group = if who == 0 { own.group } else { Pid(who) };
            of(&|p| p.group == group)
        }
        libc::PRIO_USER => {
            let user = if who == 0 { own.creds.uid[0] } else { who as u32 };
            of(&|p| p.creds.uid[0] == user)
        }
        _ => return fail(libc::EINVAL),
    };
    if tids.is_empty() { fail(libc::ESRCH) } else { Ok(tids) }
}

/// getpriority(2): the strongest of those chosen, as 20 less its nice value.
pub fn getpriority(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let nicest = chosen(k, cx, a[0], a[1])?.into_iter().map(|tid| k.thread(tid).scheduling.nice).min();
    done(20 - nicest.expect("one at least"))
}

/// setpriority(2).
pub fn setpriority(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let nice = (a[2] as i32).clamp(-20, 19);
    let mut result = done(0);
    for tid in chosen(k, cx, a[0], a[1])? {
        if !may(k, cx, tid) {
            result = fail(libc::EPERM);
        } else if nice < k.thread(tid).scheduling.nice && !may_be_as_nice(k, cx, tid, nice) {
            result = fail(libc::EACCES);
        } else {
            k.thread_mut(tid).scheduling.nice = nice;
        }
    }
    result
}

fn privileged(creds: &Credentials) -> bool {
    creds.uid[1] == 0
}

/// May the caller change how a thread is scheduled?
fn may(k: &Kernel, cx: &Ctx<'_, '_>, tid: Tid) -> bool {
    let (own, other) = (&k.process(cx.pid).creds, &k.process(k.thread(tid).pid).creds);
    privileged(own) || other.uid[..2].contains(&own.uid[1])
}

/// Is a nice value within RLIMIT_NICE, or the caller privileged?
fn may_be_as_nice(k: &Kernel, cx: &Ctx<'_, '_>, tid: Tid, nice: i32) -> bool {
    let limit = k.process(k.thread(tid).pid).limit(libc::RLIMIT_NICE as usize).soft;
    (20 - nice) as u64 <= limit || privileged(&k.process(cx.pid).creds)
}

// ---- policies ----

/// The thread that a call names; 0 is the caller.
fn named(k: &Kernel, cx: &Ctx<'_, '_>, tid: u64) -> Result<Tid, Fail> {
    let tid = if tid as i32 == 0 { cx.tid } else { Tid(tid as i32) };
    if k.threads.contains_key(&tid) { Ok(tid) } else { fail(libc::ESRCH) }
}

/// The same where a negative number is no number.
fn named_or_invalid(k: &Kernel, cx: &Ctx<'_, '_>, tid: u64) -> Result<Tid, Fail> {
    if (tid as i32) < 0 { fail(libc::EINVAL) } else { named(k, cx, tid) }
}

/// Changes how a thread is scheduled, if that is possible and allowed (sched(7), "Privileges and resource limits").
fn change(k: &mut Kernel, cx: &Ctx<'_, '_>, tid: Tid, new: Scheduling) -> SysResult {
    let old = k.thread(tid).scheduling;
    let known = matches!(
        new.policy,
        libc::SCHED_OTHER | libc::SCHED_FIFO | libc::SCHED_RR | libc::SCHED_BATCH | libc::SCHED_IDLE
    );
    if !known || new.priority > PRIORITY_MAX || is_realtime(new.policy) != (new.priority != 0) {
        return fail(libc::EINVAL);
    }
    let limit = k.process(k.thread(tid).pid).limit(libc::RLIMIT_RTPRIO as usize).soft;
    let leaves_idle = old.policy == libc::SCHED_IDLE && new.policy != libc::SCHED_IDLE;
    let asks_more = is_realtime(new.policy) && new.policy != old.policy && limit == 0
        || new.priority > old.priority && u64::from(new.priority) > limit
        || (new.nice < old.nice || leaves_idle) && !may_be_as_nice(k, cx, tid, new.nice)
        || old.reset_on_fork && !new.reset_on_fork;
    if !may(k, cx, tid) || asks_more && !privileged(&k.process(cx.pid).creds) {
        return fail(libc::EPERM);
    }
    k.thread_mut(tid).scheduling = new;
    done(0)
}

/// sched_setscheduler(2).
pub fn sched_setscheduler(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let policy = a[1] as i32;
    if policy < 0 || a[2] == 0 || (a[0] as i32) < 0 {
        return fail(libc::EINVAL);
    }
    let priority = cx.read_u32(a[2])?;
    let tid = named(k, cx, a[0])?;
    let (policy, reset_on_fork) = (policy & !RESET_ON_FORK, policy & RESET_ON_FORK != 0);
    let nice = k.thread(tid).scheduling.nice;
    change(k, cx, tid, Scheduling { nice, policy, priority, reset_on_fork })
}

/// sched_setparam(2).
pub fn sched_setparam(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if a[1] == 0 || (a[0] as i32) < 0 {
        return fail(libc::EINVAL);
    }
    let priority = cx.read_u32(a[1])?;
    let tid = named(k, cx, a[0])?;
    let old = k.thread(tid).scheduling;
    change(k, cx, tid, Scheduling { priority, ..old })
}

/// sched_setattr(2), but for deadlines and what is to be kept.
pub fn sched_setattr(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if a[1] == 0 || (a[0] as i32) < 0 || a[2] != 0 {
        return fail(libc::EINVAL);
    }
    let size = cx.read_u32(a[1])?;
    if size != 0 && !(ATTR_BYTES..=ATTR_BYTES_MAX).contains(&size) {
        return fail(libc::E2BIG);
    }
    let (policy, flags) = (cx.read_u32(a[1] + 4)? as i32, cx.read_u64(a[1] + 8)?);
    let (nice, priority) = (cx.read_u32(a[1] + 16)? as i32, cx.read_u32(a[1] + 20)?);
    if flags & !FLAG_RESET_ON_FORK != 0 {
        return fail(libc::EINVAL);
    }
    let tid = named(k, cx, a[0])?;
    // The nice value is for those classes that have one.
    let kept = k.thread(tid).scheduling.nice;
    let nice = if matches!(policy, libc::SCHED_OTHER | libc::SCHED_BATCH) { nice.clamp(-20, 19) } else { kept };
    let new = Scheduling { nice, policy, priority, reset_on_fork: flags & FLAG_RESET_ON_FORK != 0 };
    change(k, cx, tid, new)
}

/// sched_getscheduler(2).
pub fn sched_getscheduler(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let now = k.thread(named_or_invalid(k, cx, a[0])?).scheduling;
    done(now.policy | if now.reset_on_fork { RESET_ON_FORK } else { 0 })
}

/// sched_getparam(2).
pub fn sched_getparam(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if a[1] == 0 {
        return fail(libc::EINVAL);
    }
    let priority = k.thread(named_or_invalid(k, cx, a[0])?).scheduling.priority;
    cx.write(a[1], &priority.to_le_bytes())?;
    done(0)
}

/// SCHED_DEADLINE: it has priorities of its own, which nobody is given here.
const SCHED_DEADLINE: i32 = 6;

/// What bounds the priorities of a class: 1 to 99 for real-time classes.
fn bound(policy: u64, of_realtime: u32) -> SysResult {
    match policy as i32 {
        libc::SCHED_FIFO | libc::SCHED_RR => done(of_realtime),
        libc::SCHED_OTHER | libc::SCHED_BATCH | libc::SCHED_IDLE | SCHED_DEADLINE => done(0),
        _ => fail(libc::EINVAL),
    }
}

/// sched_get_priority_max(2).
pub fn sched_get_priority_max(_: &mut Kernel, _: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    bound(a[0], PRIORITY_MAX)
}

/// sched_get_priority_min(2).
pub fn sched_get_priority_min(_: &mut Kernel, _: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    bound(a[0], 1)
}

// ---- processors ----

/// sched_rr_get_interval(2): what Linux gives a thread by default.
pub fn sched_rr_get_interval(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let slice = match k.thread(named_or_invalid(k, cx, a[0])?).scheduling.policy {
        libc::SCHED_FIFO => 0,
        libc::SCHED_RR => 100_000_000,
        _ => 4_000_000,
    };
    cx.write_timespec(a[1], slice)?;
    done(0)
}

/// sched_yield(2): the baton goes to the next ready thread.
pub fn sched_yield(k: &mut Kernel, _: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    k.slice = 0;
    done(0)
}

/// sched_getaffinity(2): the group runs on one processor.
pub fn sched_getaffinity(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if a[1] < 8 || !a[1].is_multiple_of(8) {
        return fail(libc::EINVAL);
    }
    named(k, cx, a[0])?;
    cx.write(a[2], &1u64.to_le_bytes())?;
    done(8)
}

/// sched_setaffinity(2): nobody can see where a thread runs.
pub fn sched_setaffinity(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    named(k, cx, a[0])?;
    done(0)
}

/// getcpu(2).
pub fn getcpu(_: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    for addr in [a[0], a[1]].into_iter().filter(|&addr| addr != 0) {
        cx.write(addr, &[0; 4])?;
    }
    done(0)
}
