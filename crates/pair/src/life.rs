//! Lives: one start of a process each. The protocol trusts lives, never names of machines.
//!
//! A restarted process is a new life, so nothing that was promised to the old one (an acknowledgement counted, a name in the
//! register) can be mistaken for a promise of the new one.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One start of a process on one machine. Holding one that is not your own proves nothing about whether it still runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Life {
    /// The machine or log directory that it runs on; for people, never compared alone.
    pub node: u64,
    /// 128 random bits made at process start; never used again.
    pub id: u128,
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:08x}", self.node, (self.id >> 96) as u32 ^ self.id as u32)
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
