//! Semaphore sets. Whoever changes one carries out, in the order of their coming, the operations that wait and have become possible: so a
//! waiter never loses what it was given, as in Linux.

use super::Perm;
use crate::kernel::{Fail, Kernel, Key, Pid, Tid, fail};
use gapless_log::Hasher;
use std::collections::BTreeMap;

/// SEMVMX.
pub const VALUE_MAX: i32 = 32_767;

/// One semaphore.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Semaphore {
    /// semval.
    pub value: i32,
    /// sempid.
    pub pid: Pid,
}

/// struct sembuf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Which semaphore.
    pub number: u16,
    /// What is added; 0 waits for zero.
    pub by: i16,
    /// IPC_NOWAIT and SEM_UNDO.
    pub flags: i16,
}

impl Operation {
    /// IPC_NOWAIT.
    pub fn no_wait(self) -> bool {
        i32::from(self.flags) & libc::IPC_NOWAIT != 0
    }

    /// SEM_UNDO.
    pub fn undo(self) -> bool {
        i32::from(self.flags) & libc::SEM_UNDO != 0
    }
}

/// One set.
#[derive(Debug)]
pub struct Set {
    /// Its semaphores.
    pub semaphores: Vec<Semaphore>,
    /// Seconds since 1970 of the last semop; 0 before the first.
    pub operated: i64,
    /// ... of the last change.
    pub changed: i64,
    /// What blocked threads want. A thread that does not wait for this set any more may still be in it.
    pub wanted: BTreeMap<Tid, Vec<Operation>>,
}

/// What operations come to.
enum Tried {
    Done,
    /// This one cannot be carried out now.
    Blocks(Operation),
}

impl Set {
    /// Bytes of struct semid64_ds.
    pub const STAT_BYTES: usize = 104;

    /// struct semid64_ds.
    pub fn stat(&self, id: i32, perm: &Perm) -> [u8; Self::STAT_BYTES] {
        let mut raw = [0; Self::STAT_BYTES];
        raw[..48].copy_from_slice(&perm.bytes(id));
        raw[48..56].copy_from_slice(&self.operated.to_le_bytes());
        raw[64..72].copy_from_slice(&self.changed.to_le_bytes());
        raw[80..88].copy_from_slice(&(self.semaphores.len() as u64).to_le_bytes());
        raw
    }

    pub(super) fn digest(&self, h: &mut Hasher) {
        for s in &self.semaphores {
            h.number((s.value as u64) << 32 | s.pid.0 as u64);
        }
        h.number(self.operated as u64);
        h.number(self.changed as u64);
        for (tid, operations) in &self.wanted {
            h.number(tid.0 as u64);
            for op in operations {
                h.update(&[op.number.to_le_bytes(), op.by.to_le_bytes(), op.flags.to_le_bytes()].concat());
            }
        }
    }
}

/// Carries out all operations or none. ERANGE if a value or an adjustment would leave its range.
fn attempt(k: &mut Kernel, id: i32, pid: Pid, operations: &[Operation]) -> Result<Tried, Fail> {
    let set = k.ipc.sem.get_mut(id)?.1;
    let mut values: Vec<i32> = set.semaphores.iter().map(|s| s.value).collect();
    let mut undo = k.ipc.undo.get(&pid).cloned().unwrap_or_default();
    for &op in operations {
        let value = &mut values[usize::from(op.number)];
        let after = *value + i32::from(op.by);
        if after < 0 || (op.by == 0 && *value != 0) {
            return Ok(Tried::Blocks(op));
        }
        if after > VALUE_MAX {
            return fail(libc::ERANGE);
        }
        *value = after;
        if op.undo() && op.by != 0 {
            let adjustment = undo.entry((id, op.number)).or_default();
            *adjustment -= i32::from(op.by);
            if !(-VALUE_MAX - 1..=VALUE_MAX).contains(adjustment) {
                return fail(libc::ERANGE);
            }
        }
    }
    for (semaphore, value) in set.semaphores.iter_mut().zip(values) {
        semaphore.value = value;
    }
    for op in operations {
        set.semaphores[usize::from(op.number)].pid = pid;
    }
    undo.retain(|_, adjustment| *adjustment != 0);
    if undo.is_empty() {
        k.ipc.undo.remove(&pid);
    } else {
        k.ipc.undo.insert(pid, undo);
    }
    let now = super::shm::seconds(k);
    k.ipc.sem.get_mut(id)?.1.operated = now;
    Ok(Tried::Done)
}

/// semop's operations, tried for the first time or again: true if they are done, false if they have to wait. EAGAIN if they must not wait.
pub fn operate(k: &mut Kernel, id: i32, tid: Tid, operations: &[Operation]) -> Result<bool, Fail> {
    let pid = k.thread(tid).pid;
    k.ipc.sem.get_mut(id)?.1.wanted.remove(&tid);
    match attempt(k, id, pid, operations)? {
        Tried::Done => {
            if operations.iter().any(|op| op.by != 0) {
                serve(k, id);
            }
            Ok(true)
        }
        Tried::Blocks(op) if op.no_wait() => fail(libc::EAGAIN),
        Tried::Blocks(_) => {
            k.ipc.sem.get_mut(id)?.1.wanted.insert(tid, operations.to_vec());
            Ok(false)
        }
    }
}

/// The set has changed: carries out what waits and can be, until nothing more can. Who must learn of an error is woken to meet it.
pub fn serve(k: &mut Kernel, id: i32) {
    let waiting = |k: &Kernel| k.waiters.get(&Key::Semaphore(id)).map(|queue| Vec::from_iter(queue.iter().copied()));
    loop {
        let mut changed = false;
        for tid in waiting(k).unwrap_or_default() {
            let Ok((_, set)) = k.ipc.sem.get(id) else { return };
            let Some(operations) = set.wanted.get(&tid).cloned() else { continue };
            let pid = k.thread(tid).pid;
            match attempt(k, id, pid, &operations) {
                Ok(Tried::Done) => {
                    if let Ok((_, set)) = k.ipc.sem.get_mut(id) {
                        set.wanted.remove(&tid);
                    }
                    k.thread_mut(tid).granted = true;
                    k.make_ready(tid);
                    changed |= operations.iter().any(|op| op.by != 0);
                }
                Ok(Tried::Blocks(op)) if !op.no_wait() => {}
                Ok(Tried::Blocks(_)) | Err(_) => k.make_ready(tid),
            }
        }
        if !changed {
            return;
        }
    }
}

/// How many threads wait for a semaphore to grow (or, with `zero`, to be zero): those whose operations it stops.
pub fn count_waiting(k: &Kernel, id: i32, number: u16, zero: bool) -> Result<u64, Fail> {
    let set = k.ipc.sem.get(id)?.1;
    let queue = k.waiters.get(&Key::Semaphore(id));
    let stopped_by = |tid: &Tid| {
        let mut values: Vec<i32> = set.semaphores.iter().map(|s| s.value).collect();
        set.wanted.get(tid)?.iter().find(|op| {
            let value = &mut values[usize::from(op.number)];
            let stops = *value + i32::from(op.by) < 0 || (op.by == 0 && *value != 0);
            *value += i32::from(op.by);
            stops
        })
    };
    let stops = queue.into_iter().flatten().filter_map(stopped_by);
    Ok(stops.filter(|op| op.number == number && (op.by == 0) == zero).count() as u64)
}

/// A process has ended: what it wants undone is undone, within what a semaphore can be.
pub fn process_gone(k: &mut Kernel, pid: Pid) {
    let Some(adjustments) = k.ipc.undo.remove(&pid) else { return };
    let now = super::shm::seconds(k);
    let mut changed = Vec::new();
    for ((id, number), by) in adjustments {
        let Ok((_, set)) = k.ipc.sem.get_mut(id) else { continue };
        let semaphore = &mut set.semaphores[usize::from(number)];
        *semaphore = Semaphore { value: (semaphore.value + by).clamp(0, VALUE_MAX), pid };
        set.operated = now;
        if changed.last() != Some(&id) {
            changed.push(id);
        }
    }
    for id in changed {
        serve(k, id);
    }
}

/// Forgets what was to be undone of one semaphore of a set, or of all of them.
pub fn forget_undo(k: &mut Kernel, id: i32, number: Option<u16>) {
    for adjustments in k.ipc.undo.values_mut() {
        adjustments.retain(|&(set, n), _| set != id || number.is_some_and(|number| number != n));
    }
    k.ipc.undo.retain(|_, adjustments| !adjustments.is_empty());
}

/// Removes a set; whoever waits for it learns of that.
pub fn remove(k: &mut Kernel, id: i32) {
    k.ipc.sem.remove(id);
    forget_undo(k, id, None);
    k.wake(Key::Semaphore(id));
}
