//! Signal calls. Actions, masks and alternate stacks are the model's; the real thread gets them when a frame is made.

use super::SysResult;
use crate::kernel::{Ctx, Fail, Kernel, Key, Outcome, Pid, Tid, TimerKey, Wait, done, fail};
use crate::signal::{self, Action, PosixTimer, SigInfo, SigSet, Signal, user_info};

fn valid(signal: i32) -> Result<i32, Fail> {
    if (1..=64).contains(&signal) { Ok(signal) } else { fail(libc::EINVAL) }
}

/// rt_sigaction(2): also carried out natively, so that the kernel builds frames by it.
pub fn sigaction(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let number = valid(a[0] as i32)?;
    if a[3] != 8 || (a[1] != 0 && matches!(number, libc::SIGKILL | libc::SIGSTOP)) {
        return fail(libc::EINVAL);
    }
    let old = k.process(cx.pid).actions.get(number);
    let new = match a[1] {
        0 => None,
        addr => {
            let raw: [u8; 32] = cx.read_array(addr)?;
            let word = |i: usize| u64::from_le_bytes(raw[i * 8..i * 8 + 8].try_into().expect("8 bytes"));
            Some(Action { handler: word(0), flags: word(1), restorer: word(2), mask: SigSet(word(3)).blockable() })
        }
    };
    if a[2] != 0 {
        let words = [old.handler, old.flags, old.restorer, old.mask.0];
        cx.write(a[2], &words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>())?;
    }
    if let Some(action) = new {
        crate::run::deliver::set_native_action(cx, number, &action)?;
        k.process_mut(cx.pid).actions.set(number, action);
        signal::drop_ignored(k, cx.pid, number);
    }
    done(0)
}

/// rt_sigprocmask(2).
pub fn sigprocmask(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if a[3] != 8 {
        return fail(libc::EINVAL);
    }
    let old = k.thread(cx.tid).mask;
    if a[1] != 0 {
        let set = SigSet(cx.read_u64(a[1])?);
        let new = match a[0] as i32 {
            libc::SIG_BLOCK => SigSet(old.0 | set.0),
            libc::SIG_UNBLOCK => SigSet(old.0 & !set.0),
            libc::SIG_SETMASK => set,
            _ => return fail(libc::EINVAL),
        };
        k.thread_mut(cx.tid).mask = new.blockable();
    }
    if a[2] != 0 {
        cx.write(a[2], &old.0.to_le_bytes())?;
    }
    done(0)
}

/// rt_sigpending(2).
pub fn sigpending(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if a[1] > 8 {
        return fail(libc::EINVAL);
    }
    let set = signal::pending(k, cx.tid).0 & k.thread(cx.tid).mask.0;
    cx.write(a[0], &set.to_le_bytes()[..a[1] as usize])?;
    done(0)
}

/// rt_sigsuspend(2).
pub fn sigsuspend(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    super::poll::use_mask(k, cx, a[0], a[1])?;
    Ok(Outcome::Block(Wait::key(Key::Never)))
}

/// pause(2).
pub fn pause(_: &mut Kernel, _: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    Ok(Outcome::Block(Wait::key(Key::Never)))
}

/// rt_sigtimedwait(2).
pub fn sigtimedwait(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if a[3] != 8 {
        return fail(libc::EINVAL);
    }
    let wanted = SigSet(cx.read_u64(a[0])?).blockable();
    let timeout = if a[2] == 0 { None } else { Some(cx.read_timespec(a[2])?) };
    if let Some(taken) = signal::take_pending(k, cx.tid, wanted) {
        if a[1] != 0 {
            cx.write(a[1], &taken.info.bytes())?;
        }
        return done(taken.number);
    }
    if timeout == Some(0) {
        return fail(libc::EAGAIN);
    }
    let deadline = super::poll::deadline(k, cx, timeout)?;
    if deadline.is_some_and(|d| k.now >= d) {
        return fail(libc::EAGAIN);
    }
    Ok(Outcome::Block(Wait::key(Key::Signals(cx.pid)).until(deadline)))
}

/// rt_sigreturn(2): the kernel takes its own frame back.
pub fn sigreturn(k: &mut Kernel, cx: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    crate::run::deliver::sigreturn(k, cx)?;
    Ok(Outcome::NoReturn)
}

/// sigaltstack(2): native, it takes and gives only program memory.
pub fn sigaltstack(_: &mut Kernel, cx: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    let ret = cx.tracee().through()?;
    if ret < 0 { fail(-ret as i32) } else { done(ret) }
}

fn may_signal(k: &Kernel, from: Pid, to: Pid, number: i32) -> bool {
    let (from, to) = (k.process(from), k.process(to));
    let (f, t) = (&from.creds, &to.creds);
    f.uid[1] == 0
        || f.uid[0] == t.uid[0]
        || f.uid[0] == t.uid[2]
        || f.uid[1] == t.uid[0]
        || f.uid[1] == t.uid[2]
        || (number == libc::SIGCONT && from.session == to.session)
}

/// Sends to several processes; succeeds if one may be reached.
fn send_all(k: &mut Kernel, from: Pid, to: &[Pid], number: i32, info: SigInfo) -> SysResult {
    if to.is_empty() {
        return fail(libc::ESRCH);
    }
    let allowed: Vec<Pid> = to.iter().copied().filter(|&pid| may_signal(k, from, pid, number)).collect();
    if allowed.is_empty() {
        return fail(libc::EPERM);
    }
    for pid in allowed {
        if number != 0 {
            signal::send_process(k, pid, Signal { number, info });
        }
    }
    done(0)
}

/// kill(2). Only the group's own processes exist for it.
pub fn kill(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (to, number) = (a[0] as i32, a[1] as i32);
    if !(0..=64).contains(&number) {
        return fail(libc::EINVAL);
    }
    let targets = match to {
        1 => return if k.process(cx.pid).creds.uid[1] == 0 { done(0) } else { fail(libc::EPERM) },
        2.. => k.processes.get(&Pid(to)).map(|p| vec![p.pid]).unwrap_or_default(),
        0 => signal::group_members(k, k.process(cx.pid).group),
        -1 => k.processes.keys().copied().filter(|&p| p != cx.pid).collect(),
        _ => signal::group_members(k, Pid(to.wrapping_neg())),
    };
    let info = user_info(number, libc::SI_USER, k.process(cx.pid));
    send_all(k, cx.pid, &targets, number, info)
}

/// tgkill(2).
pub fn tgkill(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (pid, tid, number) = (a[0] as i32, a[1] as i32, a[2] as i32);
    if pid <= 0 || tid <= 0 || !(0..=64).contains(&number) {
        return fail(libc::EINVAL);
    }
    let info = user_info(number, libc::SI_TKILL, k.process(cx.pid));
    send_to_thread(k, cx, Some(Pid(pid)), Tid(tid), number, info)
}

/// tkill(2).
pub fn tkill(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (tid, number) = (a[0] as i32, a[1] as i32);
    if tid <= 0 || !(0..=64).contains(&number) {
        return fail(libc::EINVAL);
    }
    let info = user_info(number, libc::SI_TKILL, k.process(cx.pid));
    send_to_thread(k, cx, None, Tid(tid), number, info)
}

fn send_to_thread(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    pid: Option<Pid>,
    tid: Tid,
    number: i32,
    info: SigInfo,
) -> SysResult {
    let Some(thread) = k.threads.get(&tid).filter(|t| pid.is_none_or(|p| p == t.pid)) else {
        return fail(libc::ESRCH);
    };
    if !may_signal(k, cx.pid, thread.pid, number) {
        return fail(libc::EPERM);
    }
    if number != 0 {
        signal::send_thread(k, tid, Signal { number, info });
    }
    done(0)
}

fn given_info(cx: &mut Ctx<'_, '_>, addr: u64, number: i32, foreign: bool) -> Result<SigInfo, Fail> {
    let info = SigInfo::from_bytes(&cx.read_array(addr)?).with_signal(number);
    // Nobody may forge the kernel's or kill's codes for another process.
    if foreign && (info.code() >= 0 || info.code() == libc::SI_TKILL) { fail(libc::EPERM) } else { Ok(info) }
}

/// rt_sigqueueinfo(2).
pub fn sigqueueinfo(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (pid, number) = (Pid(a[0] as i32), a[1] as i32);
    let info = given_info(cx, a[2], number, pid != cx.pid)?;
    if !(0..=64).contains(&number) {
        return fail(libc::EINVAL);
    }
    let targets: Vec<Pid> = k.processes.get(&pid).map(|p| p.pid).into_iter().collect();
    send_all(k, cx.pid, &targets, number, info)
}

/// rt_tgsigqueueinfo(2).
pub fn tgsigqueueinfo(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (pid, tid, number) = (Pid(a[0] as i32), Tid(a[1] as i32), a[2] as i32);
    let info = given_info(cx, a[3], number, pid != cx.pid)?;
    if !(0..=64).contains(&number) {
        return fail(libc::EINVAL);
    }
    send_to_thread(k, cx, Some(pid), tid, number, info)
}

// ---- ITIMER_REAL, alarm, timer_create ----

fn arm_alarm(k: &mut Kernel, pid: Pid, due: u64, interval: u64) {
    let before = std::mem::replace(&mut k.process_mut(pid).alarm, (due, interval));
    if before.0 != 0 {
        k.timers.remove(&(before.0, TimerKey::Alarm(pid)));
    }
    if due != 0 {
        k.timers.insert((due, TimerKey::Alarm(pid)));
    }
}

/// alarm(2).
pub fn alarm(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let now = cx.clock(k)?;
    let (due, _) = k.process(cx.pid).alarm;
    let left = if due == 0 { 0 } else { due.saturating_sub(now).div_ceil(1_000_000_000).max(1) };
    let seconds = u64::from(a[0] as u32);
    arm_alarm(k, cx.pid, if seconds == 0 { 0 } else { now + seconds * 1_000_000_000 }, 0);
    done(left)
}

fn timeval(raw: &[u8]) -> Result<u64, Fail> {
    let sec = u64::from_le_bytes(raw[..8].try_into().expect("8 bytes"));
    let usec = u64::from_le_bytes(raw[8..16].try_into().expect("8 bytes"));
    if sec > i64::MAX as u64 || usec >= 1_000_000 {
        return fail(libc::EINVAL);
    }
    Ok(sec.saturating_mul(1_000_000_000).saturating_add(usec * 1000))
}

fn write_itimerval(cx: &mut Ctx<'_, '_>, addr: u64, interval: u64, left: u64) -> Result<(), Fail> {
    let mut raw = Vec::new();
    for t in [interval, left.div_ceil(1000) * 1000] {
        raw.extend_from_slice(&(t / 1_000_000_000).to_le_bytes());
        raw.extend_from_slice(&(t % 1_000_000_000 / 1000).to_le_bytes());
    }
    cx.write(addr, &raw)
}

/// setitimer(2). The CPU-time timers do not exist here: time of a thread is not measured.
pub fn setitimer(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let raw = if a[1] == 0 { vec![0; 32] } else { cx.read(a[1], 32)? };
    let (interval, value) = (timeval(&raw[..16])?, timeval(&raw[16..])?);
    if !is_itimer(a[0]) {
        return fail(libc::EINVAL);
    }
    if a[0] as i32 != libc::ITIMER_REAL {
        return if value == 0 { done(0) } else { Err(super::fd::refuse("ITIMER_VIRTUAL or ITIMER_PROF")) };
    }
    let now = cx.clock(k)?;
    let (due, old_interval) = k.process(cx.pid).alarm;
    if a[2] != 0 {
        let left = if due == 0 { 0 } else { due.saturating_sub(now).max(1) };
        write_itimerval(cx, a[2], old_interval, left)?;
    }
    arm_alarm(k, cx.pid, if value == 0 { 0 } else { now.saturating_add(value) }, interval);
    done(0)
}

fn is_itimer(which: u64) -> bool {
    matches!(which as i32, libc::ITIMER_REAL | libc::ITIMER_VIRTUAL | libc::ITIMER_PROF)
}

/// getitimer(2).
pub fn getitimer(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if !is_itimer(a[0]) {
        return fail(libc::EINVAL);
    }
    if a[0] as i32 != libc::ITIMER_REAL {
        cx.write(a[1], &[0; 32])?;
        return done(0);
    }
    let now = cx.clock(k)?;
    let (due, interval) = k.process(cx.pid).alarm;
    let left = if due == 0 { 0 } else { due.saturating_sub(now).max(1) };
    write_itimerval(cx, a[1], interval, left)?;
    done(0)
}

/// timer_create(2): SIGEV_SIGNAL, SIGEV_THREAD_ID and SIGEV_NONE on clocks of real time.
pub fn timer_create(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    const SIGEV_THREAD_ID: i32 = 4;
    let realtime = match a[0] as i32 {
        libc::CLOCK_REALTIME | libc::CLOCK_TAI => true,
        libc::CLOCK_MONOTONIC | libc::CLOCK_BOOTTIME => false,
        libc::CLOCK_PROCESS_CPUTIME_ID | libc::CLOCK_THREAD_CPUTIME_ID => {
            return Err(super::fd::refuse("a timer on CPU time"));
        }
        libc::CLOCK_MONOTONIC_RAW | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_MONOTONIC_COARSE => {
            return fail(libc::EOPNOTSUPP);
        }
        _ => return fail(libc::EINVAL),
    };
    let id = (0..).find(|id| !k.process(cx.pid).posix_timers.contains_key(id)).expect("a free number");
    let (value, number, notify, tid) = if a[1] == 0 {
        (id as u64, libc::SIGALRM, libc::SIGEV_SIGNAL, 0)
    } else {
        let raw: [u8; 20] = cx.read_array(a[1])?;
        let int = |at: usize| i32::from_le_bytes(raw[at..at + 4].try_into().expect("4 bytes"));
        (u64::from_le_bytes(raw[..8].try_into().expect("8 bytes")), int(8), int(12), int(16))
    };
    let thread = match notify {
        libc::SIGEV_NONE | libc::SIGEV_SIGNAL => None,
        SIGEV_THREAD_ID if k.threads.get(&Tid(tid)).is_some_and(|t| t.pid == cx.pid) => Some(Tid(tid)),
        _ => return fail(libc::EINVAL),
    };
    let signal = match notify {
        libc::SIGEV_NONE => None,
        _ => Some(Signal { number: valid(number)?, info: signal::timer_info(number, id, 0, value) }),
    };
    cx.write(a[2], &id.to_le_bytes())?;
    let timer = PosixTimer { due: (0, 0), realtime, signal, thread, value, overrun: 0 };
    k.process_mut(cx.pid).posix_timers.insert(id, timer);
    done(0)
}

fn posix_timer(k: &Kernel, cx: &Ctx<'_, '_>, id: u64) -> Result<i32, Fail> {
    let id = id as i32;
    if k.process(cx.pid).posix_timers.contains_key(&id) { Ok(id) } else { fail(libc::EINVAL) }
}

fn write_timer(k: &Kernel, cx: &mut Ctx<'_, '_>, id: i32, addr: u64) -> Result<(), Fail> {
    let (due, interval) = k.process(cx.pid).posix_timers[&id].due;
    cx.write_timespec(addr, interval)?;
    cx.write_timespec(addr + 16, if due == 0 { 0 } else { due.saturating_sub(k.now).max(1) })
}

/// timer_settime(2).
pub fn timer_settime(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let id = posix_timer(k, cx, a[0])?;
    let (interval, value) = (cx.read_timespec(a[2])?, cx.read_timespec(a[2] + 16)?);
    let now = cx.clock(k)?;
    if a[3] != 0 {
        write_timer(k, cx, id, a[3])?;
    }
    let timer = &k.process(cx.pid).posix_timers[&id];
    let due = match (value, a[1] as i32 & libc::TIMER_ABSTIME != 0, timer.realtime) {
        (0, ..) => 0,
        (value, true, true) => value.saturating_add_signed(-k.realtime_offset).max(1),
        (value, true, false) => value,
        (value, false, _) => now.saturating_add(value),
    };
    arm_posix(k, cx.pid, id, due, interval);
    done(0)
}

fn arm_posix(k: &mut Kernel, pid: Pid, id: i32, due: u64, interval: u64) {
    let timer = k.process_mut(pid).posix_timers.get_mut(&id).expect("timer exists");
    let before = std::mem::replace(&mut timer.due, (due, interval));
    if before.0 != 0 {
        k.timers.remove(&(before.0, TimerKey::Posix(pid, id)));
    }
    if due != 0 {
        k.timers.insert((due, TimerKey::Posix(pid, id)));
    }
}

/// timer_gettime(2).
pub fn timer_gettime(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let id = posix_timer(k, cx, a[0])?;
    cx.clock(k)?;
    write_timer(k, cx, id, a[1])?;
    done(0)
}

/// timer_getoverrun(2).
pub fn timer_getoverrun(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let id = posix_timer(k, cx, a[0])?;
    done(k.process(cx.pid).posix_timers[&id].overrun)
}

/// timer_delete(2).
pub fn timer_delete(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let id = posix_timer(k, cx, a[0])?;
    arm_posix(k, cx.pid, id, 0, 0);
    k.process_mut(cx.pid).posix_timers.remove(&id);
    done(0)
}

/// ITIMER_REAL expired.
pub fn alarm_expired(k: &mut Kernel, pid: Pid) {
    let (due, interval) = k.process(pid).alarm;
    let next = if interval == 0 { 0 } else { next_expiry(k.now, due, interval).0 };
    k.process_mut(pid).alarm = (0, interval);
    arm_alarm(k, pid, next, interval);
    let info = signal::kernel_info(libc::SIGALRM);
    signal::send_process(k, pid, Signal { number: libc::SIGALRM, info });
}

/// A timer of timer_create expired.
pub fn posix_expired(k: &mut Kernel, pid: Pid, id: i32) {
    let now = k.now;
    let Some(timer) = k.process_mut(pid).posix_timers.get_mut(&id) else { return };
    let (due, interval) = timer.due;
    timer.due = (0, interval);
    let (next, missed) = if interval == 0 { (0, 0) } else { next_expiry(now, due, interval) };
    let (value, thread) = (timer.value, timer.thread);
    let number = timer.signal.as_ref().map(|s| s.number);
    arm_posix(k, pid, id, next, interval);
    if let Some(number) = number {
        // A timer has one signal under way; what expires meanwhile is counted with it.
        let waiting = match thread.and_then(|tid| k.threads.get_mut(&tid)) {
            Some(thread) => thread.pending.of_timer(id),
            None => k.process_mut(pid).pending.of_timer(id),
        };
        let merged = waiting.is_some();
        let before = waiting.as_ref().map_or(0, |info| u64::from(info.overrun()) + 1);
        let overrun = (before + missed).min(i32::MAX as u64) as u32;
        if let Some(info) = waiting {
            *info = signal::timer_info(number, id, overrun, value);
        }
        if merged {
            return;
        }
        let signal = Signal { number, info: signal::timer_info(number, id, overrun, value) };
        match thread {
            Some(tid) => signal::send_thread(k, tid, signal),
            None => signal::send_process(k, pid, signal),
        }
    }
}

/// The first expiry after `now`, and how many lie between.
fn next_expiry(now: u64, due: u64, interval: u64) -> (u64, u64) {
    let missed = now.saturating_sub(due) / interval;
    (due + (missed + 1) * interval, missed)
}
