//! Names of the model's things. All of them are handed out by counters, so they are equal on primary and backup.

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($t:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        pub struct $name(pub $t);
    };
}

id!(
    /// A process as the program sees it: virtual, never the host's.
    Pid(i32)
);
id!(
    /// A thread as the program sees it. A process's first thread has the process's number.
    Tid(i32)
);
id!(
    /// One thing that can be waited for or polled: a pipe, a socket, an eventfd, a terminal ...
    ObjectId(u64)
);
id!(
    /// An open file description: what several descriptors may share after dup, fork or SCM_RIGHTS.
    FileId(u64)
);
id!(
    /// An address space; threads and vfork children share one.
    MemId(u64)
);
