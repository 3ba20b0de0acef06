//! Futex calls that are answered in the process, and the baton that passes there: who waits and who is next, as the blob is told, and what came of it.
//!
//! Waking somebody is certain: who is woken joins the ready ones, and the thread that woke it goes on for what is left of its slice. Blocking is
//! certain if the thread that is ready next waits for nothing more and is parked in the blob: then the baton passes there, to whom the scheduler
//! would give it. What names a word is the model's: an address stands for whatever is mapped there, so a word of shared memory is not blocked on here.

use crate::kernel::{Call, Ctx, Fail, FutexKey, Kernel, Key, Pid, Tid, Tracees};
use crate::signal;
use crate::syscalls::futex;
use crate::tracee::Tracee;
use crate::tracee::lane::{
    AMBIGUOUS, BLOCKED, FUTEX_COMMAND, FutexCall, NO_SLOT, READY_GIVEN_MAX, Record, WAITERS_MAX, Waiter,
};
use gapless_log::{Digest, chain};

/// Who waits for a word that the threads of a process can name. Not all of them, if they are more than can be laid out.
pub fn waiters(k: &Kernel, tracees: &Tracees, pid: Pid) -> Vec<Waiter> {
    let id = k.process(pid).memory;
    let memory = &k.memories[&id];
    let keys = |first, last| k.waiters.range(Key::Futex(first)..=Key::Futex(last));
    let private = keys(FutexKey::Private(id, 0), FutexKey::Private(id, u64::MAX));
    let shared = keys(FutexKey::Shared(0, 0), FutexKey::Shared(u64::MAX, u64::MAX));
    let shared = shared.take_while(|_| !memory.shared.is_empty());
    let mut waiters = Vec::new();
    for (key, queue) in private.chain(shared) {
        let addresses: Vec<u64> = match *key {
            // Who waits where something shared has been mapped since waits for what nobody can name any more.
            Key::Futex(FutexKey::Private(_, addr)) if memory.shared_at(addr).is_none() => vec![addr],
            Key::Futex(FutexKey::Shared(object, offset)) => memory.addresses_of(object, offset).collect(),
            _ => continue,
        };
        let is_ambiguous = addresses.len() > 1;
        for addr in addresses {
            waiters.extend(queue.iter().map(|&tid| {
                let slot = if is_ambiguous { AMBIGUOUS } else { slot_of(k, tracees, pid, tid) };
                Waiter { addr, bits: k.thread(tid).futex_bits, slot }
            }));
            if waiters.len() > WAITERS_MAX {
                return waiters;
            }
        }
    }
    waiters
}

/// The slots of threads that can run: of those that only have to return from a futex call. Not all, if they are more than can be laid out.
pub fn ready(k: &Kernel, tracees: &Tracees, pid: Pid) -> Vec<u32> {
    let slot = |&tid: &Tid| if k.thread(tid).granted { slot_of(k, tracees, pid, tid) } else { NO_SLOT };
    k.run_queue.iter().take(READY_GIVEN_MAX + 1).map(slot).collect()
}

/// With more threads than these in the group nobody parks: waiting for whoever of them stops takes the host the longer the more they are.
const THREADS_MAX: usize = 64;

/// Where a thread of this process is parked that nothing keeps from returning once it is woken.
fn slot_of(k: &Kernel, tracees: &Tracees, pid: Pid, tid: Tid) -> u32 {
    let is_free = tracees.len() <= THREADS_MAX && k.thread(tid).pid == pid && signal::deliverable(k, tid).0 == 0;
    tracees.get(&tid).filter(|_| is_free).and_then(Tracee::parked_in).unwrap_or(NO_SLOT)
}

/// What an answered call was: its result, or nothing if it blocks, and the hash of what it read.
pub type Answered = (Option<i64>, Digest);

/// The effect of an answered call on the model; `None` if the model answers otherwise.
pub fn carry_over(k: &mut Kernel, cx: &mut Ctx<'_, '_>, record: &Record<'_>) -> Option<Answered> {
    let call = record.futex()?;
    let [addr, op, value, _, _, bits] = call.args;
    let key = futex::key(k, k.process(cx.pid).memory, addr);
    let bits = match op as i32 & FUTEX_COMMAND {
        libc::FUTEX_WAIT | libc::FUTEX_WAKE => u32::MAX,
        _ => bits as u32,
    };
    match op as i32 & FUTEX_COMMAND {
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => {
            let result = match (call.word == value as u32, record.value) {
                (true, BLOCKED) => {
                    block(k, cx, &call, key, bits);
                    None
                }
                (false, result) if result as i64 == -i64::from(libc::EAGAIN) => Some(result as i64),
                _ => return None,
            };
            Some((result, chain(0, &[&call.word.to_le_bytes()])))
        }
        libc::FUTEX_WAKE | libc::FUTEX_WAKE_BITSET => {
            let woken = futex::wake(k, key, futex::wake_count(value), bits);
            (woken == record.value).then_some((Some(woken as i64), 0))
        }
        _ => None,
    }
}

/// The thread in hand waits, parked in the blob.
fn block(k: &mut Kernel, cx: &mut Ctx<'_, '_>, call: &FutexCall, key: FutexKey, bits: u32) {
    k.begin_call(cx.tid, Call { tries: 1, ..Call::new(libc::SYS_futex as u64, call.args) });
    let wait = futex::waiting(k, cx.tid, key, bits);
    k.park(cx.tid, wait);
    cx.tracee().set_parked(true);
}

/// The thread in hand has been given the baton in the blob, where its call has returned: its first argument. `None` if it cannot have.
pub fn handed_over(k: &mut Kernel, cx: &mut Ctx<'_, '_>, slot: u64) -> Option<u64> {
    let call = k.thread(cx.tid).call.filter(|call| call.nr == libc::SYS_futex as u64 && k.thread(cx.tid).granted)?;
    if !cx.tracee().has_slot(u32::try_from(slot).ok()?) {
        return None;
    }
    cx.tracee().set_parked(false);
    k.end_call(cx.tid);
    Some(call.args[0])
}

/// The thread in hand has blocked with a stop. If the next one only has to return from a futex call of its own, the baton could have passed without:
/// from now on threads of this process that wait are parked.
pub fn blocked(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> Result<(), Fail> {
    if k.call(cx.tid).nr != libc::SYS_futex as u64 {
        return Ok(());
    }
    let next = k.run_queue.front().and_then(|tid| k.threads.get(tid)).filter(|next| next.pid == cx.pid && next.granted);
    if next.is_some() {
        k.process_mut(cx.pid).parks = true;
    }
    if !k.process(cx.pid).parks || cx.tracees.len() > THREADS_MAX {
        return Ok(());
    }
    let rip = cx.tracee().regs().rip;
    let site = k.memories[&k.process(cx.pid).memory].sites.behind(rip);
    if let Some(site) = site {
        cx.tracee().park(site.answered())?;
    }
    Ok(())
}

/// A parked thread stands at its call again, as one that has stopped there. False if it does not, which is not the program's doing alone.
pub fn take_out(k: &Kernel, tracees: &mut Tracees, tid: Tid) -> Result<bool, Fail> {
    let Some(tracee) = tracees.get_mut(&tid).filter(|tracee| tracee.is_parked()) else { return Ok(true) };
    tracee.take_out()?;
    let sites = &k.memories[&k.process(k.thread(tid).pid).memory].sites;
    let site = sites.index_of(tracee.regs().rip).and_then(|index| sites.by_index(index));
    Ok(site.is_some_and(|site| site.seen(tracee.regs_mut())))
}
