//! What can go wrong while holding a tracee.

/// A failure of the mechanics, not of the program: the replica cannot go on with this thread.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call of the supervisor itself failed.
    #[error("{call} failed: {}", std::io::Error::from_raw_os_error(*errno))]
    Os {
        /// The call that failed.
        call: &'static str,
        /// Its errno.
        errno: i32,
    },
    /// The thread is dead or dying: somebody outside killed it. [`wait`](super::Tracee::wait)
    /// tells how.
    #[error("thread {tid} was killed from outside")]
    Gone {
        /// The thread.
        tid: i32,
    },
    /// The thread stopped in a way that the supervisor did not ask for.
    #[error("thread {tid} stopped with status {status:#x} while {doing}")]
    Unexpected {
        /// The thread.
        tid: i32,
        /// The status as `waitpid` gave it.
        status: i32,
        /// What the supervisor was waiting for.
        doing: &'static str,
    },
    /// The thread stops again and again, and never gets to the end of what it was set to do.
    #[error(
        "thread {tid} does not get on with {doing}: it stopped {stops} times, the last time with status {status:#x} at {rip:#x}"
    )]
    Restless {
        /// The thread.
        tid: i32,
        /// What it was to do.
        doing: String,
        /// How often it has stopped.
        stops: u32,
        /// The last status as `waitpid` gave it.
        status: i32,
        /// Where it was then.
        rip: u64,
    },
    /// The new process failed before it could be held.
    #[error("the new process failed at {step}: {}", std::io::Error::from_raw_os_error(*errno))]
    Child {
        /// What it was doing.
        step: &'static str,
        /// The errno.
        errno: i32,
    },
    /// The caller asked for something that the thread's present state does not allow.
    #[error("thread {tid}: {what}")]
    Misuse {
        /// The thread.
        tid: i32,
        /// What was asked.
        what: &'static str,
    },
    /// A native call that must not fail did fail.
    #[error("thread {tid}: native {call} failed: {}", std::io::Error::from_raw_os_error(*errno))]
    Native {
        /// The thread.
        tid: i32,
        /// The call.
        call: &'static str,
        /// The errno.
        errno: i32,
    },
}

/// A result of the mechanics.
pub type Result<T, E = Error> = std::result::Result<T, E>;
