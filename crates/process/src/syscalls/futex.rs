//! futex(2): waiting on words of the program's memory, ordered by the model.
//!
//! One thread runs at a time, so reading the word and parking are one step. A woken waiter is marked, so that its call, tried
//! again, knows that it was woken and does not look at the word a second time. Whoever was disturbed otherwise looks at it, as the kernel does.

use super::{SysResult, fd::refuse};
use crate::kernel::{Ctx, Fail, FutexKey, Kernel, Key, MemId, Nanos, Outcome, Tid, Wait, done, fail};
use crate::tracee::lane::FUTEX_COMMAND;

/// The key of a word. Private ones are named by address space, shared ones by what is mapped there.
pub fn key(k: &Kernel, memory: MemId, addr: u64) -> FutexKey {
    match k.memories[&memory].shared_at(addr) {
        Some((object, offset)) => FutexKey::Shared(object, offset),
        None => FutexKey::Private(memory, addr),
    }
}

/// How many a wake is for. The count is signed, and whatever it says, one is woken.
pub fn wake_count(value: u64) -> u64 {
    (value as i32).max(1) as u64
}

/// Wakes at most `count` waiters whose bitset meets `bits`, oldest first.
pub fn wake(k: &mut Kernel, key: FutexKey, count: u64, bits: u32) -> u64 {
    let waiting: Vec<Tid> = k.waiters.get(&Key::Futex(key)).into_iter().flatten().copied().collect();
    let mut woken = 0;
    for tid in waiting {
        if woken >= count {
            break;
        }
        if k.thread(tid).futex_bits & bits != 0 {
            k.thread_mut(tid).granted = true;
            k.make_ready(tid);
            woken += 1;
        }
    }
    woken
}

/// futex(2).
pub fn futex(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let [addr, op, value, timeout, addr2, value3] = *a;
    let command = op as i32 & FUTEX_COMMAND;
    if addr % 4 != 0 {
        return fail(libc::EINVAL);
    }
    let memory = k.process(cx.pid).memory;
    let word = key(k, memory, addr);
    match command {
        libc::FUTEX_WAIT => wait(k, cx, word, a, u32::MAX, false),
        libc::FUTEX_WAIT_BITSET if value3 as u32 == 0 => fail(libc::EINVAL),
        libc::FUTEX_WAIT_BITSET => wait(k, cx, word, a, value3 as u32, true),
        libc::FUTEX_WAKE => done(wake(k, word, wake_count(value), u32::MAX)),
        libc::FUTEX_WAKE_BITSET if value3 as u32 == 0 => fail(libc::EINVAL),
        libc::FUTEX_WAKE_BITSET => done(wake(k, word, wake_count(value), value3 as u32)),
        libc::FUTEX_REQUEUE | libc::FUTEX_CMP_REQUEUE if (value as i32) < 0 || (timeout as i32) < 0 => {
            fail(libc::EINVAL)
        }
        libc::FUTEX_REQUEUE | libc::FUTEX_CMP_REQUEUE => {
            if command == libc::FUTEX_CMP_REQUEUE && cx.read_u32(addr)? != value3 as u32 {
                return fail(libc::EAGAIN);
            }
            let target = key(k, memory, addr2);
            let woken = wake(k, word, u64::from(value as u32), u32::MAX);
            done(woken + requeue(k, word, target, u64::from(timeout as u32)))
        }
        libc::FUTEX_WAKE_OP => wake_op(k, cx, word, a),
        libc::FUTEX_LOCK_PI | libc::FUTEX_LOCK_PI2 | libc::FUTEX_TRYLOCK_PI => lock_pi(k, cx, word, a),
        libc::FUTEX_UNLOCK_PI => unlock_pi(k, cx, word, addr),
        _ => Err(refuse(&format!("futex operation {command}"))),
    }
}

fn wait(k: &mut Kernel, cx: &mut Ctx<'_, '_>, word: FutexKey, a: &[u64; 6], bits: u32, absolute: bool) -> SysResult {
    if std::mem::take(&mut k.thread_mut(cx.tid).granted) {
        return done(0);
    }
    let deadline = k.call(cx.tid).deadline;
    if deadline.is_some_and(|d| k.now >= d) {
        return fail(libc::ETIMEDOUT);
    }
    // Also when it is tried again: after a stop or a signal without a handler, a wake may have come while it did not wait.
    if cx.read_u32(a[0])? != a[2] as u32 {
        return fail(libc::EAGAIN);
    }
    let realtime = a[1] as i32 & libc::FUTEX_CLOCK_REALTIME != 0;
    let timeout = match (absolute, realtime) {
        (false, _) => Timeout::Relative,
        (true, false) => Timeout::Until,
        (true, true) => Timeout::UntilRealtime,
    };
    let deadline = gives_up_at(k, cx, a[3], timeout)?;
    if deadline.is_some_and(|d| k.now >= d) {
        return fail(libc::ETIMEDOUT);
    }
    Ok(Outcome::Block(waiting(k, cx.tid, word, bits).until(deadline)))
}

/// What a timeout is counted from.
enum Timeout {
    /// The call itself.
    Relative,
    /// The monotonic clock's zero.
    Until,
    /// The wall clock's zero.
    UntilRealtime,
}

/// When the call in hand gives up, if ever: by the timeout at `addr` (0: none), which is read at its first try.
fn gives_up_at(k: &mut Kernel, cx: &mut Ctx<'_, '_>, addr: u64, timeout: Timeout) -> Result<Option<Nanos>, Fail> {
    let known = k.call(cx.tid).deadline;
    if addr == 0 || known.is_some() {
        return Ok(known);
    }
    let time = cx.read_timespec(addr)?;
    let now = cx.clock(k)?;
    let deadline = match timeout {
        Timeout::Relative => now.saturating_add(time),
        Timeout::Until => time,
        Timeout::UntilRealtime => time.saturating_add_signed(-k.realtime_offset),
    };
    k.call_mut(cx.tid).deadline = Some(deadline);
    Ok(Some(deadline))
}

/// What a thread that waits for a word waits for.
pub fn waiting(k: &mut Kernel, tid: Tid, word: FutexKey, bits: u32) -> Wait {
    k.thread_mut(tid).futex_bits = bits;
    Wait::key(Key::Futex(word))
}

fn requeue(k: &mut Kernel, from: FutexKey, to: FutexKey, count: u64) -> u64 {
    let waiting: Vec<Tid> = k.waiters.get(&Key::Futex(from)).into_iter().flatten().copied().collect();
    let moving: Vec<Tid> = waiting.into_iter().take(count as usize).collect();
    for &tid in &moving {
        k.move_wait(tid, Key::Futex(from), Key::Futex(to));
    }
    moving.len() as u64
}

fn wake_op(k: &mut Kernel, cx: &mut Ctx<'_, '_>, word: FutexKey, a: &[u64; 6]) -> SysResult {
    let encoded = a[5] as u32;
    let (op, compare) = (encoded >> 28 & 7, encoded >> 24 & 15);
    let sign = |v: u32| (v << 20) as i32 >> 20;
    let (mut arg, against) = (sign(encoded >> 12 & 0xfff), sign(encoded & 0xfff));
    if encoded >> 31 != 0 {
        arg = 1i32.wrapping_shl(arg as u32);
    }
    let old = cx.read_u32(a[4])? as i32;
    let new = match op {
        0 => arg,
        1 => old.wrapping_add(arg),
        2 => old | arg,
        3 => old & !arg,
        4 => old ^ arg,
        _ => return fail(libc::ENOSYS),
    };
    cx.write(a[4], &new.to_le_bytes())?;
    let holds = match compare {
        0 => old == against,
        1 => old != against,
        2 => old < against,
        3 => old <= against,
        4 => old > against,
        5 => old >= against,
        _ => return fail(libc::ENOSYS),
    };
    let memory = k.process(cx.pid).memory;
    let second = key(k, memory, a[4]);
    let mut woken = wake(k, word, wake_count(a[2]), u32::MAX);
    if holds {
        woken += wake(k, second, wake_count(a[3]), u32::MAX);
    }
    done(woken)
}

/// Priority-inheriting locks: the word holds the owner's tid and FUTEX_WAITERS. There are no priorities here; what is kept is
/// who owns the lock, and that ownership passes to the oldest waiter.
fn lock_pi(k: &mut Kernel, cx: &mut Ctx<'_, '_>, word: FutexKey, a: &[u64; 6]) -> SysResult {
    let [addr, op, _, timeout, ..] = *a;
    if std::mem::take(&mut k.thread_mut(cx.tid).granted) {
        return done(0);
    }
    let value = cx.read_u32(addr)?;
    let owner = value & libc::FUTEX_TID_MASK;
    let me = cx.tid.0 as u32;
    if owner == 0 {
        cx.write(addr, &(me | value & (libc::FUTEX_OWNER_DIED | libc::FUTEX_WAITERS)).to_le_bytes())?;
        return done(0);
    }
    if owner == me {
        return fail(libc::EDEADLK);
    }
    if op as i32 & FUTEX_COMMAND == libc::FUTEX_TRYLOCK_PI {
        return fail(libc::EAGAIN);
    }
    if !k.threads.contains_key(&Tid(owner as i32)) {
        return fail(libc::ESRCH);
    }
    // The older command has only the wall clock.
    let monotonic = op as i32 & (FUTEX_COMMAND | libc::FUTEX_CLOCK_REALTIME) == libc::FUTEX_LOCK_PI2;
    let deadline = gives_up_at(k, cx, timeout, if monotonic { Timeout::Until } else { Timeout::UntilRealtime })?;
    if deadline.is_some_and(|d| k.now >= d) {
        return fail(libc::ETIMEDOUT);
    }
    cx.write(addr, &(value | libc::FUTEX_WAITERS).to_le_bytes())?;
    Ok(Outcome::Block(waiting(k, cx.tid, word, u32::MAX).until(deadline)))
}

fn unlock_pi(k: &mut Kernel, cx: &mut Ctx<'_, '_>, word: FutexKey, addr: u64) -> SysResult {
    if cx.read_u32(addr)? & libc::FUTEX_TID_MASK != cx.tid.0 as u32 {
        return fail(libc::EPERM);
    }
    pass_on(k, cx, word, addr, 0)?;
    done(0)
}

/// The oldest waiter, if there is one, owns a priority-inheriting lock from now on; `died` is FUTEX_OWNER_DIED if its owner has.
fn pass_on(k: &mut Kernel, cx: &mut Ctx<'_, '_>, word: FutexKey, addr: u64, died: u32) -> Result<(), Fail> {
    let waiting: Vec<Tid> = k.waiters.get(&Key::Futex(word)).into_iter().flatten().copied().collect();
    let value = match waiting.as_slice() {
        [] => 0,
        [one] => one.0 as u32,
        [next, ..] => next.0 as u32 | libc::FUTEX_WAITERS,
    };
    cx.write(addr, &(value | died).to_le_bytes())?;
    wake(k, word, 1, u32::MAX);
    Ok(())
}

/// The longest robust list that is walked (the kernel's own limit).
const ROBUST_LIST_MAX: usize = 2048;

/// A thread ends: its robust mutexes get FUTEX_OWNER_DIED and one waiter each is woken (set_robust_list(2)), then
/// the word that CLONE_CHILD_CLEARTID names is cleared and woken. Bad pointers end the walk, as in the kernel.
pub fn thread_exit(k: &mut Kernel, cx: &mut Ctx<'_, '_>) {
    let memory = k.process(cx.pid).memory;
    let head = k.thread(cx.tid).robust_list;
    if head != 0 {
        let _ = walk_robust_list(k, cx, memory, head);
    }
    let clear = k.thread(cx.tid).clear_child_tid;
    if clear != 0 && cx.write(clear, &[0; 4]).is_ok() {
        let word = key(k, memory, clear);
        wake(k, word, 1, u32::MAX);
    }
}

/// In the pointers of a robust list: the lock is a priority-inheriting one.
const ROBUST_PI: u64 = 1;

fn walk_robust_list(k: &mut Kernel, cx: &mut Ctx<'_, '_>, memory: MemId, head: u64) -> Result<(), Fail> {
    let offset = cx.read_u64(head + 8)?;
    let pending = cx.read_u64(head + 16)?;
    let mut entry = cx.read_u64(head)?;
    let mut locks = Vec::new();
    while entry & !ROBUST_PI != head && locks.len() < ROBUST_LIST_MAX {
        if entry & !ROBUST_PI != pending & !ROBUST_PI {
            locks.push(entry);
        }
        entry = cx.read_u64(entry & !ROBUST_PI)?;
    }
    if pending & !ROBUST_PI != 0 {
        locks.push(pending);
    }
    for lock in locks {
        let addr = (lock & !ROBUST_PI).wrapping_add(offset);
        let value = cx.read_u32(addr)?;
        if value & libc::FUTEX_TID_MASK != cx.tid.0 as u32 {
            continue;
        }
        let word = key(k, memory, addr);
        if lock & ROBUST_PI != 0 {
            pass_on(k, cx, word, addr, libc::FUTEX_OWNER_DIED)?;
            continue;
        }
        cx.write(addr, &(value & libc::FUTEX_WAITERS | libc::FUTEX_OWNER_DIED).to_le_bytes())?;
        if value & libc::FUTEX_WAITERS != 0 {
            wake(k, word, 1, u32::MAX);
        }
    }
    Ok(())
}

/// set_robust_list(2).
pub fn set_robust_list(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if a[1] != 24 {
        return fail(libc::EINVAL);
    }
    k.thread_mut(cx.tid).robust_list = a[0];
    done(0)
}

/// get_robust_list(2).
pub fn get_robust_list(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let tid = if a[0] == 0 { cx.tid } else { Tid(a[0] as i32) };
    let Some(thread) = k.threads.get(&tid) else { return fail(libc::ESRCH) };
    cx.write(a[1], &thread.robust_list.to_le_bytes())?;
    cx.write(a[2], &24u64.to_le_bytes())?;
    done(0)
}
