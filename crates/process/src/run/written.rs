//! Code that a program writes itself: it is looked through before it runs, as mapped code is.
//!
//! A page that the program may both write and execute has one of both rights at a time; the fault that tells of the other use is answered here, and
//! the program never sees it. Both sides fault at the same places, so this costs the log nothing. Left out: memory that is shared, and pages
//! that are written and executed in turns too often or change themselves (they get both rights, and what is written there later keeps its native effect).

use super::patch;
use crate::kernel::{CodePages, Ctx, Fail, Kernel, Need};
use crate::tracee::SigInfo;
use libc::{PROT_EXEC, PROT_READ, PROT_WRITE};

const PAGE: u64 = 4096;
/// si_code of an access that the rights of a mapping deny.
const SEGV_ACCERR: i32 = 2;

/// Is memory with these rights of this kind?
pub fn is(prot: u64) -> bool {
    prot as i32 & (PROT_WRITE | PROT_EXEC) == PROT_WRITE | PROT_EXEC
}

/// The right that such memory begins with.
pub fn first_prot(prot: u64) -> u64 {
    prot & !(PROT_EXEC as u64)
}

/// Gives a thread that faulted the right that it lacks; false if the fault is the program's own.
pub fn fault(k: &mut Kernel, cx: &mut Ctx<'_, '_>, signo: i32, info: &SigInfo) -> Result<bool, Fail> {
    if signo != libc::SIGSEGV || info.code() != SEGV_ACCERR {
        return Ok(false);
    }
    let (memory, rip) = (k.process(cx.pid).memory, cx.tracee().regs().rip);
    let Some(need) = k.memories[&memory].written.lacks(info.addr(), rip) else { return Ok(false) };
    give(k, cx, need)?;
    Ok(true)
}

/// A call begins: what it writes may be code.
pub fn begin(k: &Kernel, cx: &mut Ctx<'_, '_>) {
    let written = &k.memories[&k.process(cx.pid).memory].written;
    cx.code = CodePages { closed: written.closed(), opened: Vec::new() };
}

/// Gives the right to write a page, during a call.
pub fn writable(cx: &mut Ctx<'_, '_>, page: u64) -> Result<(), Fail> {
    protect(cx, page, PAGE, PROT_READ | PROT_WRITE)
}

/// A call has ended: the pages of code that it wrote to are remembered. (A call that replaces or ends the address space writes to none.)
pub fn end(k: &mut Kernel, cx: &mut Ctx<'_, '_>) {
    // Both hold the set of pages; with it gone here, a change to it there copies nothing.
    for page in std::mem::take(&mut cx.code).opened {
        let memory = k.processes.get(&cx.pid).map(|process| process.memory);
        if let Some(memory) = memory.and_then(|id| k.memories.get_mut(&id)) {
            memory.written.granted(Need::Write(page));
        }
    }
}

/// The host is about to write there: pages that may only be executed become writable.
pub fn open(k: &mut Kernel, cx: &mut Ctx<'_, '_>, start: u64, end: u64) -> Result<(), Fail> {
    let memory = k.process(cx.pid).memory;
    for &page in k.memories[&memory].written.closed().range(start & !(PAGE - 1)..end) {
        give(k, cx, Need::Write(page))?;
    }
    Ok(())
}

/// Ends the arrangement in a range that is about to be moved: every page gets both rights.
pub fn release(k: &mut Kernel, cx: &mut Ctx<'_, '_>, start: u64, end: u64) -> Result<(), Fail> {
    let memory = k.process(cx.pid).memory;
    for (s, e) in k.memories[&memory].written.within(start, end) {
        let (s, e) = (s.max(start), e.min(end));
        protect(cx, s, e - s, PROT_READ | PROT_WRITE | PROT_EXEC)?;
        patch::executable(k, cx, s, e, true, None)?;
    }
    k.memories.get_mut(&memory).expect("address space exists").written.remove(start, end);
    Ok(())
}

fn give(k: &mut Kernel, cx: &mut Ctx<'_, '_>, need: Need) -> Result<(), Fail> {
    let memory = k.process(cx.pid).memory;
    let (page, prot) = match need {
        Need::Execute(page) => {
            patch::page(k, cx, page)?;
            (page, PROT_READ | PROT_EXEC)
        }
        Need::Write(page) => (page, PROT_READ | PROT_WRITE),
        Need::Both(page) => (page, PROT_READ | PROT_WRITE | PROT_EXEC),
    };
    protect(cx, page, PAGE, prot)?;
    k.memories.get_mut(&memory).expect("address space exists").written.granted(need);
    Ok(())
}

fn protect(cx: &mut Ctx<'_, '_>, start: u64, len: u64, prot: i32) -> Result<(), Fail> {
    cx.tracee().native_ok("mprotect", libc::SYS_mprotect, [start, len, prot as u64, 0, 0, 0])?;
    Ok(())
}
