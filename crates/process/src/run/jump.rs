//! The state jump: a thread that makes no call is stopped anywhere, and what it has become is logged.
//!
//! Needs no counter and no patching. All of its registers and all pages of its address space go into the log; the backup adopts them
//! instead of running. It is the last resort against a thread that computes while others wait or a signal is due.

use crate::kernel::{Ctx, Fail, Kernel, decode, encode, input};
use crate::tracee::sys::{regs_from_words, regs_words};
use gapless_log::{Reader, Varint};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

const PAGE: usize = 4096;
/// Pages in one entry.
const PART_PAGES: usize = 128;

/// First entry of a jump; `parts` entries with pages follow.
#[derive(Serialize, Deserialize)]
struct Head {
    regs: Vec<u64>,
    xsave: Vec<u8>,
    parts: u32,
}

/// Live: logs what the thread in hand has become.
pub fn record(k: &Kernel, cx: &mut Ctx<'_, '_>) -> Result<(), Fail> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut pages = 0;
    let tracee = cx.tracee();
    tracee.for_each_writable_page(|addr, page| {
        if pages % PART_PAGES == 0 {
            parts.push(Vec::with_capacity(PART_PAGES * (PAGE + 8)));
        }
        pages += 1;
        let part = parts.last_mut().expect("just pushed");
        part.put_varint(addr / PAGE as u64);
        part.extend_from_slice(page);
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
    let mut given = BTreeSet::new();
    for _ in 0..head.parts {
        let part = cx.io.bytes(k.position, input::STATE_JUMP, |_| Vec::new())?;
        let mut reader = Reader::new(&part);
        while !reader.is_empty() {
            let page = reader.varint().and_then(|n| Some((n.checked_mul(PAGE as u64)?, reader.bytes(PAGE)?)));
            let (addr, bytes) = page.ok_or_else(|| bad(k, "page cut short"))?;
            given.insert(addr);
            cx.tracee().poke_force(addr, bytes).map_err(|_| bad(k, "page that is not mapped here"))?;
        }
    }
    let mut stale = Vec::new();
    cx.tracee().for_each_writable_page(|addr, _| {
        if !given.contains(&addr) {
            stale.push(addr);
        }
    })?;
    for addr in stale {
        cx.tracee().poke_force(addr, &[0; PAGE]).map_err(|_| bad(k, "page that cannot be cleared"))?;
    }
    let tracee = cx.tracee();
    *tracee.regs_mut() = regs_from_words(words);
    tracee.set_xsave(&head.xsave)?;
    Ok(())
}

fn bad(k: &Kernel, what: &str) -> Fail {
    Fail::Fatal(gapless_log::Error::Refused(format!("state jump at position {}: {what}", k.position)))
}
