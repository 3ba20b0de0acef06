//! What a blocked thread waits for.
//!
//! A call that cannot finish returns [`Outcome::Block`]; when one of its keys is woken or its deadline passes, the *same call is
//! carried out again from the start*. So a handler is written as "try; if it would block, say for what".

use super::{FutexKey, ObjectId, Pid};
use std::time::Duration;

/// Nanoseconds of the replica's monotonic clock.
pub type Nanos = u64;

/// Something that can be woken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    /// Readiness of an object changed ([`super::Kernel::notify`]).
    Object(ObjectId),
    /// A futex word was woken.
    Futex(FutexKey),
    /// A child of this process changed state.
    Child(Pid),
    /// A signal was sent to this process or one of its threads.
    Signals(Pid),
    /// A file lock on this inode was let go.
    Lock(u64),
    /// A SysV semaphore set changed.
    Semaphore(i32),
    /// Only a signal or a deadline ends this wait.
    Never,
}

/// When a blocked call is tried again.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wait {
    /// Any of these wakes it.
    pub on: Vec<Key>,
    /// Or the replica's clock reaching this.
    pub deadline: Option<Nanos>,
}

impl Wait {
    /// Waits for one object.
    pub fn object(id: ObjectId) -> Self {
        Self { on: vec![Key::Object(id)], deadline: None }
    }

    /// Waits for one key.
    pub fn key(key: Key) -> Self {
        Self { on: vec![key], deadline: None }
    }

    /// ... or until `deadline`.
    #[must_use]
    pub fn until(mut self, deadline: Option<Nanos>) -> Self {
        self.deadline = deadline;
        self
    }
}

/// What a system call came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It returns this value (not an error; errors are [`super::Fail::Errno`]).
    Done(u64),
    /// It is tried again when this is woken.
    Block(Wait),
    /// The thread's registers are already what they must be (sigreturn, exec), or the thread is gone.
    NoReturn,
}

/// `Ok(Outcome::Done(value))`.
pub fn done(value: impl TryInto<u64>) -> Result<Outcome, super::Fail> {
    Ok(Outcome::Done(value.try_into().ok().expect("results are not negative")))
}

/// A duration as nanoseconds, saturating.
pub fn nanos(d: Duration) -> Nanos {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}
