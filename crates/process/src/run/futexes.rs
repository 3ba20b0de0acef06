//! Futex calls that are answered in the process: who waits, as the blob is told, and what an answered call was.
//!
//! Waking somebody is certain, unlike blocking: who is woken joins the ready ones, and the thread that woke it goes on for what is left of its slice.
//! The order of who waits for a word is the model's, and so is what names a word: an address stands for whatever is mapped there.

use crate::kernel::{Ctx, FutexKey, Kernel, Key, MemId};
use crate::syscalls::futex;
use crate::tracee::lane::{FUTEX_COMMAND, Record, Waiter};
use gapless_log::{Digest, chain};

/// Who waits for a word that the threads of an address space can name.
pub fn waiters(k: &Kernel, memory: MemId) -> Vec<Waiter> {
    let first = Key::Futex(FutexKey::Private(MemId(0), 0));
    let last = Key::Futex(FutexKey::Shared(u64::MAX, u64::MAX));
    let mut waiters = Vec::new();
    for (key, queue) in k.waiters.range(first..=last) {
        let addresses: Vec<u64> = match *key {
            Key::Futex(FutexKey::Private(of, addr)) if of == memory => vec![addr],
            Key::Futex(FutexKey::Shared(object, offset)) => k.memories[&memory].addresses_of(object, offset).collect(),
            _ => continue,
        };
        let is_ambiguous = addresses.len() > 1;
        for addr in addresses {
            waiters.extend(queue.iter().map(|&tid| Waiter { addr, bits: k.thread(tid).futex_bits, is_ambiguous }));
        }
    }
    waiters
}

/// The effect of an answered call on the model, and the hash of what it read; `None` if the model answers otherwise.
pub fn carry_over(k: &mut Kernel, cx: &Ctx<'_, '_>, record: &Record<'_>) -> Option<Digest> {
    let call = record.futex()?;
    let [addr, op, value, _, _, bits] = call.args;
    let key = futex::key(k, k.process(cx.pid).memory, addr);
    let bits = match op as i32 & FUTEX_COMMAND {
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => {
            let differs = call.word != value as u32 && record.value as i64 == -i64::from(libc::EAGAIN);
            return differs.then(|| chain(0, &[&call.word.to_le_bytes()]));
        }
        libc::FUTEX_WAKE => u32::MAX,
        libc::FUTEX_WAKE_BITSET => bits as u32,
        _ => return None,
    };
    (futex::wake(k, key, futex::wake_count(value), bits) == record.value).then_some(0)
}
