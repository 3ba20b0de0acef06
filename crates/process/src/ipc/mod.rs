//! System V IPC: shared memory segments and semaphore sets, as sysvipc(7) has them. The group has a namespace of its own; what the host has is
//! not seen. Message queues are refused.
//!
//! The rule it keeps: how often a segment is attached is never counted but seen, in the shared mappings that the model knows of every address
//! space ([`shm::settle`]). So no way of losing a mapping can be forgotten.

pub mod sem;
pub mod shm;
mod table;

pub use table::{Perm, Table};

use crate::kernel::Pid;
use gapless_log::Hasher;
use std::collections::BTreeMap;

/// All of it.
#[derive(Debug, Default)]
pub struct Ipc {
    /// Shared memory.
    pub shm: Table<shm::Segment>,
    /// Semaphores.
    pub sem: Table<sem::Set>,
    /// What to add to semaphores at a process's end: by process, set, number.
    pub undo: BTreeMap<Pid, BTreeMap<(i32, u16), i32>>,
}

impl Ipc {
    /// Hashes what shapes the future. Contents of segments are files of the store, and are hashed as such.
    pub fn digest(&self, h: &mut Hasher) {
        self.shm.digest(h, shm::Segment::digest);
        self.sem.digest(h, sem::Set::digest);
        for (pid, adjustments) in &self.undo {
            h.number(pid.0 as u64);
            for (&(set, number), &by) in adjustments {
                for n in [i64::from(set), i64::from(number), i64::from(by)] {
                    h.number(n as u64);
                }
            }
        }
    }
}
