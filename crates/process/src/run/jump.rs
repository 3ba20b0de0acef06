//! The state jump: a thread that makes no call is stopped anywhere, and what it has become is logged.
//!
//! Needs no counter and no patching. All of its registers and the pages that it may have written go into the log; the backup adopts them
//! instead of running. It is the last resort against a thread that computes while others wait or a signal is due.
//!
//! Which pages these are is the primary's business: at least those that the thread has written since the event before, for everything else the backup
//! has executed itself. They are those that anybody has written since the address space's jump before ([`track`](crate::tracee::Tracker)); at its
//! first one, or where the host cannot tell, all that there are.

use crate::kernel::{Ctx, Fail, Kernel, decode, encode, input};
use crate::tracee::maps::is_zero;
use crate::tracee::sys::{regs_from_words, regs_words};
use gapless_log::{Reader, Varint};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const PAGE: usize = 4096;
/// Pages in one entry.
const PART_PAGES: usize = 128;

/// First entry of a jump; `parts` entries with pages follow.
///
/// A page is a varint, its number times two and one more if it is all zeros, and else its bytes.
#[derive(Serialize, Deserialize)]
struct Head {
    regs: Vec<u64>,
    xsave: Vec<u8>,
    parts: u32,
}

/// Live: logs what the thread in hand has become.
pub fn record(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> Result<(), Fail> {
    let id = k.process(cx.pid).memory;
    let memory = k.memories.get_mut(&id).expect("address space exists");
    if memory.tracker.is_none() && k.track_writes {
        memory.tracker = cx.tracee().track()?.map(Arc::new);
    }
    // What a file shows there has not been written, or a call has taken it away on both sides.
    let holes = k.fs.holes(memory)?;
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut pages = 0;
    let tracee = cx.tracee();
    tracee.for_each_written_page_but(&holes, memory.tracker.as_deref(), |addr, page| {
        if pages % PART_PAGES == 0 {
            parts.push(Vec::new());
        }
        pages += 1;
        let part = parts.last_mut().expect("just pushed");
        let zero = is_zero(page);
        part.put_varint(addr / PAGE as u64 * 2 + u64::from(zero));
        if !zero {
            part.extend_from_slice(page);
        }
    })?;
    let head = Head { regs: regs_words(tracee.regs()).to_vec(), xsave: tracee.xsave()?, parts: parts.len() as u32 };
    cx.io.bytes(k.position, input::STATE_JUMP, |_| encode(&head))?;
    for part in parts {
        cx.io.bytes(k.position, input::STATE_JUMP, |_| part)?;
    }
    Ok(())
}

/// Backup: the thread in hand becomes what it had become on the primary.
pub fn adopt(k: &Kernel, cx: &mut Ctx<'_, '_>) -> Result<(), Fail> {
    let raw = cx.io.bytes(k.position, input::STATE_JUMP, |_| Vec::new())?;
    let head: Head = decode(k.position, input::STATE_JUMP, &raw)?;
    let words = head.regs.as_slice().try_into().map_err(|_| bad(k, "register set of another size"))?;
    for _ in 0..head.parts {
        let part = cx.io.bytes(k.position, input::STATE_JUMP, |_| Vec::new())?;
        let mut reader = Reader::new(&part);
        while !reader.is_empty() {
            let page = reader.varint().and_then(|n| {
                let bytes = if n & 1 == 1 { &[0; PAGE] } else { reader.bytes(PAGE)? };
                Some(((n >> 1).checked_mul(PAGE as u64)?, bytes))
            });
            let (addr, bytes) = page.ok_or_else(|| bad(k, "page cut short"))?;
            cx.tracee().write_all(addr, bytes).map_err(|_| bad(k, "page that cannot be written here"))?;
        }
    }
    let tracee = cx.tracee();
    *tracee.regs_mut() = regs_from_words(words);
    tracee.set_xsave(&head.xsave)?;
    Ok(())
}

fn bad(k: &Kernel, what: &str) -> Fail {
    Fail::Fatal(gapless_log::Error::Refused(format!("state jump at position {}: {what}", k.position)))
}
