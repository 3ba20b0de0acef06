//! The numbers that order everything: positions, sequence numbers, terms, channels.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl $name {
            /// The number one higher. Reaching 2^64 is impossible at any rate a machine can sustain.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

number!(
    /// The replica's own logical clock: computed by the replica alone, never by a wall clock.
    /// It never falls; entries at the same position are ordered by the log.
    Position
);
number!(
    /// Counts entries from the first one of the log, which is number 0.
    Seq
);
number!(
    /// Grows with every change of who is live. Granted by the arbiter.
    Term
);
number!(
    /// One stream of outputs to the outside world, named by the level.
    Channel
);
