//! poll and select in all their forms, and what every call with a timeout or a temporary signal mask shares.

use super::SysResult;
use crate::kernel::{Ctx, Fail, Kernel, Key, Nanos, Outcome, Wait, done, fail};
use crate::object;
use crate::signal::SigSet;

/// Descriptors one poll may name.
const POLL_FDS_MAX: u64 = 1 << 20;
/// Bits in an fd_set.
const SET_BITS: u64 = 1024;

/// The deadline of the call in hand: computed at its first try that blocks, the same at later ones.
pub fn deadline(k: &mut Kernel, cx: &mut Ctx<'_, '_>, timeout: Option<Nanos>) -> Result<Option<Nanos>, Fail> {
    let Some(timeout) = timeout else { return Ok(None) };
    if let Some(deadline) = k.call(cx.tid).deadline {
        return Ok(Some(deadline));
    }
    let deadline = cx.clock(k)?.saturating_add(timeout);
    k.call_mut(cx.tid).deadline = Some(deadline);
    Ok(Some(deadline))
}

/// Sets the signal mask that holds during this call (the `p` in ppoll); it goes back when the call is over.
pub fn use_mask(k: &mut Kernel, cx: &mut Ctx<'_, '_>, mask: u64, size: u64) -> Result<(), Fail> {
    if mask == 0 || k.thread(cx.tid).saved_mask.is_some() {
        return Ok(());
    }
    if size != 8 {
        return fail(libc::EINVAL);
    }
    let mask = SigSet(cx.read_u64(mask)?).blockable();
    let thread = k.thread_mut(cx.tid);
    thread.saved_mask = Some(std::mem::replace(&mut thread.mask, mask));
    Ok(())
}

/// poll(2).
pub fn poll(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let timeout = a[2] as i32;
    poll_for(k, cx, a[0], a[1], u64::try_from(timeout).ok().map(|ms| ms * 1_000_000))
}

/// ppoll(2).
pub fn ppoll(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let timeout = if a[2] == 0 { None } else { Some(cx.read_timespec(a[2])?) };
    use_mask(k, cx, a[3], a[4])?;
    let result = poll_for(k, cx, a[0], a[1], timeout)?;
    if a[2] != 0 && result != Outcome::NoReturn {
        write_left(k, cx, a[2])?;
    }
    Ok(result)
}

/// Linux tells ppoll and pselect6 callers how much of the timeout is left.
fn write_left(k: &Kernel, cx: &mut Ctx<'_, '_>, addr: u64) -> Result<(), Fail> {
    match k.call(cx.tid).deadline {
        Some(deadline) => cx.write_timespec(addr, deadline.saturating_sub(k.now)),
        None => Ok(()),
    }
}

fn poll_for(k: &mut Kernel, cx: &mut Ctx<'_, '_>, fds: u64, count: u64, timeout: Option<Nanos>) -> SysResult {
    if count > POLL_FDS_MAX.min(k.process(cx.pid).limit(libc::RLIMIT_NOFILE as usize).soft) {
        return fail(libc::EINVAL);
    }
    let mut raw = cx.read(fds, count as usize * 8)?;
    let mut ready = 0;
    let mut wait = Wait::default();
    for entry in raw.chunks_exact_mut(8) {
        let fd = i32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
        let wanted = u32::from(u16::from_le_bytes([entry[4], entry[5]]));
        let bits = match fd {
            ..0 => 0,
            _ => match k.process(cx.pid).fds.get(fd) {
                Err(_) => libc::POLLNVAL as u32,
                Ok(d) => {
                    wait.on.extend(object::id(k, d.file).map(Key::Object));
                    object::poll(k, cx.tid, d.file) & (wanted | (libc::POLLERR | libc::POLLHUP) as u32)
                }
            },
        };
        entry[6..8].copy_from_slice(&(bits as u16).to_le_bytes());
        ready += u32::from(bits != 0);
    }
    if ready == 0
        && let Some(wait) = still_waiting(k, cx, wait, timeout)?
    {
        return Ok(Outcome::Block(wait));
    }
    for (i, entry) in raw.chunks_exact(8).enumerate() {
        cx.write(fds + 8 * i as u64 + 6, &entry[6..8])?;
    }
    let named = raw.chunks_exact(8).filter(|entry| entry[6..8] != [0, 0]);
    let fds = named.map(|entry| i32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]));
    crate::run::lane::likely(k.process_mut(cx.pid), fds);
    done(ready)
}

/// What a call that has found nothing ready waits for. Nothing once its time is over; but a signal that its mask lets in interrupts it even then.
fn still_waiting(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    mut wait: Wait,
    timeout: Option<Nanos>,
) -> Result<Option<Wait>, Fail> {
    if crate::signal::is_disturbed(k, cx.tid) {
        return Ok(Some(Wait::key(Key::Never)));
    }
    if timeout == Some(0) {
        return Ok(None);
    }
    let deadline = deadline(k, cx, timeout)?;
    if deadline.is_some_and(|d| k.now >= d) {
        return Ok(None);
    }
    wait.on.sort_unstable();
    wait.on.dedup();
    Ok(Some(wait.until(deadline)))
}

/// select(2): the timeval is updated to what is left.
pub fn select(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let timeout = if a[4] == 0 {
        None
    } else {
        let (sec, usec) = (cx.read_u64(a[4])?, cx.read_u64(a[4] + 8)?);
        if sec > i64::MAX as u64 || usec > i64::MAX as u64 {
            return fail(libc::EINVAL);
        }
        Some(sec.saturating_mul(1_000_000_000).saturating_add(usec.saturating_mul(1000)))
    };
    let result = select_for(k, cx, a, timeout)?;
    if let (Outcome::Done(_), Some(deadline)) = (&result, k.call(cx.tid).deadline) {
        let left = deadline.saturating_sub(k.now);
        cx.write(a[4], &(left / 1_000_000_000).to_le_bytes())?;
        cx.write(a[4] + 8, &(left % 1_000_000_000 / 1000).to_le_bytes())?;
    }
    Ok(result)
}

/// pselect6(2): the last argument points to {mask, size}.
pub fn pselect6(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let timeout = if a[4] == 0 { None } else { Some(cx.read_timespec(a[4])?) };
    if a[5] != 0 {
        let (mask, size) = (cx.read_u64(a[5])?, cx.read_u64(a[5] + 8)?);
        use_mask(k, cx, mask, size)?;
    }
    let result = select_for(k, cx, a, timeout)?;
    if matches!(result, Outcome::Done(_)) && a[4] != 0 {
        write_left(k, cx, a[4])?;
    }
    Ok(result)
}

/// What each of the three sets asks for, and which readiness counts as that (select(2), "Correspondence between select and poll").
const SETS: [u32; 3] = [
    (libc::EPOLLIN | libc::EPOLLRDNORM | libc::EPOLLRDBAND | libc::EPOLLHUP | libc::EPOLLERR) as u32,
    (libc::EPOLLOUT | libc::EPOLLWRNORM | libc::EPOLLWRBAND | libc::EPOLLERR) as u32,
    libc::EPOLLPRI as u32,
];

fn select_for(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6], timeout: Option<Nanos>) -> SysResult {
    let count = a[0] as i32;
    if count < 0 {
        return fail(libc::EINVAL);
    }
    let count =
        (count as u64).min(SET_BITS.max(k.process(cx.pid).limit(libc::RLIMIT_NOFILE as usize).soft)).min(1 << 20);
    let bytes = count.div_ceil(64) as usize * 8;
    let mut wait = Wait::default();
    let mut ready = 0u32;
    let mut out: [Option<Vec<u8>>; 3] = [None, None, None];
    for (set, counts) in SETS.into_iter().enumerate() {
        let addr = a[1 + set];
        if addr == 0 {
            continue;
        }
        let wanted = cx.read(addr, bytes)?;
        let mut found = vec![0u8; bytes];
        for fd in (0..count as usize).filter(|fd| wanted[fd / 8] >> (fd % 8) & 1 != 0) {
            let file = k.file_of(cx.pid, fd as i32)?;
            wait.on.extend(object::id(k, file).map(Key::Object));
            if object::poll(k, cx.tid, file) & counts != 0 {
                found[fd / 8] |= 1 << (fd % 8);
                ready += 1;
            }
        }
        out[set] = Some(found);
    }
    if ready == 0
        && let Some(wait) = still_waiting(k, cx, wait, timeout)?
    {
        return Ok(Outcome::Block(wait));
    }
    let named =
        out.iter().flatten().flat_map(|found| (0..count as usize).filter(|fd| found[fd / 8] >> (fd % 8) & 1 != 0));
    crate::run::lane::likely(k.process_mut(cx.pid), named.map(|fd| fd as i32));
    for (set, found) in out.into_iter().enumerate() {
        if let Some(found) = found {
            cx.write(a[1 + set], &found)?;
        }
    }
    done(ready)
}
