//! Every kind of input that a process-level log can hold: the only ways in which the world reaches the program.
//!
//! *Asynchronous* inputs are applied between two events, in log order, before the event at their position runs. *Answers* are
//! asked for by the event at their position.

use gapless_log::Kind;

gapless_log::kinds! {
    /// The clock reached this: 8 bytes, nanoseconds of the replica's monotonic clock.
    CLOCK = 16 "clock",
    /// A signal from outside the group.
    SIGNAL = 17 "signal",
    /// Bytes arrived on an outside stream: varint object, raw bytes.
    ARRIVED = 18 "arrived",
    /// A connection arrived at a listener.
    ACCEPTED = 19 "accepted",
    /// An outside stream ended or failed.
    CLOSED = 20 "closed",
    /// A connect came to its end.
    CONNECTED = 21 "connected",
    /// A datagram arrived.
    DATAGRAM = 22 "datagram",
    /// The world took this many bytes of an outside stream: varint object, varint bytes.
    DRAINED = 23 "drained",
    /// Size of the controlling window changed, and the like.
    TERMINAL = 25 "terminal",

    /// The program, its arguments and environment, the random seed, the clock's start.
    LAUNCH = 64 "launch",
    /// A piece of a state directory or of a host file's contents.
    CONTENT = 65 "content",
    /// Clock readings of calls that were answered in the process: pairs of varints, events and nanoseconds after the one before.
    CLOCK_READS = 79 "clock readings",
    /// A clock reading: 8 bytes.
    CLOCK_READ = 66 "clock read",
    /// What the host's file system said about a path.
    HOST_PATH = 67 "host path",
    /// The same about the names that follow it, asked for in advance.
    HOST_AHEAD = 75 "host paths ahead",
    /// Contents of several small host files, read in advance: what they are, and then the bytes of those that are new.
    CONTENTS = 76 "contents ahead",
    /// Bytes of a host file that is not shipped whole (very large files, /proc, /sys).
    HOST_READ = 68 "host read",
    /// Names in a host directory.
    HOST_DIR = 69 "host directory",
    /// Result of a bind or listen on an outside address.
    BOUND = 70 "bound",
    /// A trapped instruction's value.
    TRAPPED = 71 "trapped instruction",
    /// What an option or ioctl of an outside object answered.
    OPTION = 72 "option",
    /// Address that a native memory call chose.
    MAPPED = 73 "mapped",
    /// A thread that made no call was stopped anywhere: its registers, then its memory.
    STATE_JUMP = 74 "state jump",
}

/// Is this kind applied between events rather than asked for by one?
pub fn is_async(kind: Kind) -> bool {
    (16..64).contains(&kind.0)
}
