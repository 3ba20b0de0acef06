//! What can be due at a time.

use super::{ObjectId, Pid, Tid};

/// Who set a timer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TimerKey {
    /// A blocked call's deadline.
    Wait(Tid),
    /// ITIMER_REAL and alarm.
    Alarm(Pid),
    /// timer_create.
    Posix(Pid, i32),
    /// timerfd.
    Fd(ObjectId),
}
