//! What tasks ask of the outside, each on a thread of its own.

use crate::door::{Door, Visitor};
use crate::id::TaskId;
use crate::task::{Io, Kinds};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Questions that are put at the same time.
const THREADS_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Outside {
    kinds: Kinds,
    door: Door,
    waiting: VecDeque<(u64, Io)>,
    running: usize,
}

impl Outside {
    pub fn new(kinds: Kinds, door: Door) -> Self {
        Self { kinds, door, waiting: VecDeque::new(), running: 0 }
    }

    pub fn ask(&mut self, number: u64, io: Io) {
        self.waiting.push_back((number, io));
        self.start();
    }

    /// What this task has asked and nobody has put yet is not put any more.
    pub fn forget(&mut self, task: &TaskId) {
        self.waiting.retain(|(_, io)| io.task != *task);
    }

    /// One has been answered.
    pub fn done(&mut self) {
        self.running -= 1;
        self.start();
    }

    fn start(&mut self) {
        while self.running < THREADS_MAX {
            let Some((number, io)) = self.waiting.pop_front() else { return };
            self.running += 1;
            let (kinds, door) = (self.kinds.clone(), self.door.clone());
            let work = move || {
                let answer = catch_unwind(AssertUnwindSafe(|| kinds.perform(&io)));
                let answer = answer.unwrap_or_else(|_| Err(format!("asking for {} panicked", io.tag)));
                door.enter(Visitor::Done(number, answer));
            };
            if std::thread::Builder::new().name("task-io".into()).spawn(work).is_err() {
                self.door.enter(Visitor::Done(number, Err("this host starts no more threads".to_owned())));
            }
        }
    }
}
