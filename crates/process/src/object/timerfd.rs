//! timerfd_create(2).

use crate::kernel::{Fail, Kernel, Nanos, ObjectId, TimerKey, fail};

/// A timerfd.
#[derive(Debug, Default)]
pub struct Timer {
    /// CLOCK_REALTIME rather than CLOCK_MONOTONIC.
    pub realtime: bool,
    /// Next expiry on the replica's monotonic clock, 0 if disarmed.
    pub due: Nanos,
    /// Interval, 0 for one shot.
    pub interval: Nanos,
    /// Expirations not yet read.
    pub expirations: u64,
}

/// Makes one.
pub fn create(k: &mut Kernel, realtime: bool) -> ObjectId {
    let id = ObjectId(k.fresh_id());
    k.objects.timers.insert(id, Timer { realtime, ..Timer::default() });
    id
}

/// Arms or disarms.
pub fn set(k: &mut Kernel, id: ObjectId, due: Nanos, interval: Nanos) {
    let timer = k.objects.timers.get_mut(&id).expect("timerfd exists");
    let before = std::mem::replace(&mut timer.due, due);
    timer.interval = interval;
    timer.expirations = 0;
    if before != 0 {
        k.timers.remove(&(before, TimerKey::Fd(id)));
    }
    if due != 0 {
        k.timers.insert((due, TimerKey::Fd(id)));
    }
}

/// Its time has come (it is no longer among the kernel's timers).
pub fn expire(k: &mut Kernel, id: ObjectId) {
    let now = k.now;
    let timer = k.objects.timers.get_mut(&id).expect("armed timerfd exists");
    timer.expirations += 1;
    let late = now.saturating_sub(timer.due).checked_div(timer.interval);
    if late.is_none() {
        timer.due = 0;
    }
    if let Some(missed) = late {
        timer.expirations += missed;
        timer.due += (missed + 1) * timer.interval;
        let due = timer.due;
        k.timers.insert((due, TimerKey::Fd(id)));
    }
    k.notify(id);
}

/// Takes the number of expirations.
pub fn read(k: &mut Kernel, id: ObjectId, max: usize) -> Result<Vec<u8>, Fail> {
    if max < 8 {
        return fail(libc::EINVAL);
    }
    let timer = k.objects.timers.get_mut(&id).expect("timerfd exists");
    match std::mem::take(&mut timer.expirations) {
        0 => fail(libc::EAGAIN),
        n => Ok(n.to_le_bytes().to_vec()),
    }
}

/// Readiness.
pub fn poll(k: &Kernel, id: ObjectId) -> u32 {
    if k.objects.timers[&id].expirations > 0 { libc::EPOLLIN as u32 } else { 0 }
}

/// The last holder is gone.
pub fn close(k: &mut Kernel, id: ObjectId) {
    if let Some(timer) = k.objects.timers.remove(&id)
        && timer.due != 0
    {
        k.timers.remove(&(timer.due, TimerKey::Fd(id)));
    }
}
