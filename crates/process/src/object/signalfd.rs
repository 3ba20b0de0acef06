//! signalfd(2): takes signals that are pending for the reader.

use crate::kernel::{Fail, Kernel, ObjectId, Tid, fail};
use crate::signal::SigSet;

/// Size of struct signalfd_siginfo.
const RECORD: usize = 128;

/// A signalfd.
#[derive(Debug)]
pub struct Signals {
    /// Which signals it takes.
    pub mask: SigSet,
}

/// Makes one.
pub fn create(k: &mut Kernel, mask: SigSet) -> ObjectId {
    let id = ObjectId(k.fresh_id());
    k.objects.signals.insert(id, Signals { mask });
    id
}

/// Takes as many signals as fit.
pub fn read(k: &mut Kernel, tid: Tid, id: ObjectId, max: usize) -> Result<Vec<u8>, Fail> {
    if max < RECORD {
        return fail(libc::EINVAL);
    }
    let mask = k.objects.signals[&id].mask;
    let mut out = Vec::new();
    while out.len() + RECORD <= max {
        let Some(signal) = crate::signal::take_pending(k, tid, mask) else { break };
        out.extend_from_slice(&record(&signal.info.bytes()));
    }
    if out.is_empty() { fail(libc::EAGAIN) } else { Ok(out) }
}

/// Readiness for a reader.
pub fn poll(k: &Kernel, tid: Tid, id: ObjectId) -> u32 {
    let mask = k.objects.signals[&id].mask;
    if crate::signal::pending(k, tid).0 & mask.0 != 0 { libc::EPOLLIN as u32 } else { 0 }
}

/// siginfo_t as signalfd_siginfo: the fields that both have, by the layout of the union in use.
fn record(info: &[u8]) -> [u8; RECORD] {
    let word = |at: usize| -> [u8; 4] { info.get(at..at + 4).and_then(|b| b.try_into().ok()).unwrap_or([0; 4]) };
    let mut out = [0u8; RECORD];
    let mut put = |at: usize, from: usize, n: usize| {
        for i in (0..n).step_by(4) {
            out[at + i..at + i + 4].copy_from_slice(&word(from + i));
        }
    };
    put(0, 0, 4); // ssi_signo
    put(4, 4, 4); // ssi_errno
    put(8, 8, 4); // ssi_code
    let (number, code) = (i32::from_le_bytes(word(0)), i32::from_le_bytes(word(8)));
    match (number, code) {
        (libc::SIGCHLD, 1..) => {
            put(12, 16, 4); // ssi_pid
            put(16, 20, 4); // ssi_uid
            put(40, 24, 4); // ssi_status
        }
        (_, libc::SI_TIMER) => {
            put(24, 16, 4); // ssi_tid
            put(32, 20, 4); // ssi_overrun
            put(44, 24, 4); // ssi_int
            put(48, 24, 8); // ssi_ptr
        }
        _ => {
            put(12, 16, 4);
            put(16, 20, 4);
            put(44, 24, 4);
            put(48, 24, 8);
        }
    }
    out
}
