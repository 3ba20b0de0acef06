//! Clocks and sleeping. Every reading is one input; all clocks are the replica's monotonic one plus constants.

use super::SysResult;
use crate::kernel::{Ctx, Fail, Kernel, Key, Outcome, Pid, Tid, Wait, done, fail};

/// What a small program has resident.
const FIRST_PAGES_KIB: u64 = 1024;

/// What a clock shows now.
fn show(k: &mut Kernel, cx: &mut Ctx<'_, '_>, clock: i32) -> Result<u64, Fail> {
    let now = cx.clock(k)?;
    match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI => {
            Ok(now.saturating_add_signed(k.realtime_offset))
        }
        libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_COARSE | libc::CLOCK_MONOTONIC_RAW | libc::CLOCK_BOOTTIME => {
            Ok(now)
        }
        // CPU time is not measured: it is the time since the process began.
        _ => Ok(now.saturating_sub(k.process(cx.pid).started)),
    }
}

fn known(k: &Kernel, clock: i32) -> bool {
    /// Low bits of a negative number that names a device's clock by descriptor; no device here has one.
    const CLOCK_OF_FD: i32 = 3;
    /// This bit of a negative number says that it names a thread, not a process.
    const OF_THREAD: i32 = 4;
    // Negative numbers name CPU clocks: the complement of a process's or thread's number (0: the caller), and three bits.
    let who = !(clock >> 3);
    match clock {
        0..=9 | libc::CLOCK_TAI => true,
        0.. => false,
        _ if clock & 3 == CLOCK_OF_FD => false,
        _ if clock & OF_THREAD != 0 => who == 0 || k.threads.contains_key(&Tid(who)),
        _ => who == 0 || k.processes.contains_key(&Pid(who)),
    }
}

/// clock_gettime(2).
pub fn clock_gettime(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if !known(k, a[0] as i32) {
        return fail(libc::EINVAL);
    }
    let t = show(k, cx, a[0] as i32)?;
    cx.write_timespec(a[1], t)?;
    done(0)
}

/// clock_getres(2).
pub fn clock_getres(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if !known(k, a[0] as i32) {
        return fail(libc::EINVAL);
    }
    if a[1] != 0 {
        cx.write_timespec(a[1], 1)?;
    }
    done(0)
}

/// gettimeofday(2).
pub fn gettimeofday(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let t = show(k, cx, libc::CLOCK_REALTIME)?;
    if a[0] != 0 {
        cx.write(a[0], &(t / 1_000_000_000).to_le_bytes())?;
        cx.write(a[0] + 8, &(t % 1_000_000_000 / 1000).to_le_bytes())?;
    }
    if a[1] != 0 {
        cx.write(a[1], &[0; 8])?;
    }
    done(0)
}

/// time(2).
pub fn time(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let t = show(k, cx, libc::CLOCK_REALTIME)? / 1_000_000_000;
    if a[0] != 0 {
        cx.write(a[0], &t.to_le_bytes())?;
    }
    done(t)
}

/// times(2), in ticks of 10 ms.
pub fn times(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let used = show(k, cx, libc::CLOCK_PROCESS_CPUTIME_ID)? / 10_000_000;
    if a[0] != 0 {
        let words = [used, 0, 0, 0];
        cx.write(a[0], &words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>())?;
    }
    done(k.now / 10_000_000)
}

/// getrusage(2): user time as CPU time is shown, the largest resident set as what the heap takes (and the first pages), the rest zero.
pub fn getrusage(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let used = match a[0] as i32 {
        libc::RUSAGE_SELF | libc::RUSAGE_THREAD => show(k, cx, libc::CLOCK_PROCESS_CPUTIME_ID)?,
        libc::RUSAGE_CHILDREN => 0,
        _ => return fail(libc::EINVAL),
    };
    let mut raw = [0u8; 144];
    raw[..8].copy_from_slice(&(used / 1_000_000_000).to_le_bytes());
    raw[8..16].copy_from_slice(&(used % 1_000_000_000 / 1000).to_le_bytes());
    let memory = &k.memories[&k.process(cx.pid).memory];
    let resident = FIRST_PAGES_KIB + (memory.brk - memory.brk_start) / 1024;
    raw[32..40].copy_from_slice(&resident.to_le_bytes());
    cx.write(a[1], &raw)?;
    done(0)
}

/// nanosleep(2).
pub fn nanosleep(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    clock_nanosleep(k, cx, &[libc::CLOCK_MONOTONIC as u64, 0, a[0], a[1], 0, 0])
}

/// clock_nanosleep(2).
pub fn clock_nanosleep(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let clock = a[0] as i32;
    if matches!(
        clock,
        libc::CLOCK_THREAD_CPUTIME_ID
            | libc::CLOCK_MONOTONIC_RAW
            | libc::CLOCK_REALTIME_COARSE
            | libc::CLOCK_MONOTONIC_COARSE
    ) {
        return fail(libc::EOPNOTSUPP);
    }
    if !matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_MONOTONIC | libc::CLOCK_BOOTTIME | libc::CLOCK_TAI) {
        return fail(libc::EINVAL);
    }
    let time = cx.read_timespec(a[2])?;
    let deadline = match k.call(cx.tid).deadline {
        Some(deadline) => deadline,
        None => {
            let now = cx.clock(k)?;
            match (a[1] as i32 & libc::TIMER_ABSTIME != 0, clock) {
                (false, _) => now.saturating_add(time),
                (true, libc::CLOCK_REALTIME | libc::CLOCK_TAI) => time.saturating_add_signed(-k.realtime_offset),
                (true, _) => time,
            }
        }
    };
    if k.now >= deadline {
        return done(0);
    }
    k.call_mut(cx.tid).deadline = Some(deadline);
    Ok(Outcome::Block(Wait::key(Key::Never).until(Some(deadline))))
}

/// A sleep was cut short by a signal: the rest is written where the caller asked for it.
pub fn write_rest_of_sleep(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6], nr: i64) {
    let (absolute, addr) =
        if nr == libc::SYS_nanosleep { (false, a[1]) } else { (a[1] as i32 & libc::TIMER_ABSTIME != 0, a[3]) };
    if let (false, 1.., Some(deadline)) = (absolute, addr, k.call(cx.tid).deadline) {
        // A bad pointer has no one left to tell.
        let _ = cx.write_timespec(addr, deadline.saturating_sub(k.now));
    }
}
