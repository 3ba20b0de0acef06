//! Instructions that read the machine: patched in code as it is mapped, answered when they trap.

use super::lane;
use crate::fs;
use crate::kernel::{Ctx, Fail, Kernel, input};
use crate::tracee::cpuid;
use crate::tracee::insn::{Answer, Kind as InsnKind, Trapped};
use crate::tracee::maps::Mapping;
use crate::tracee::sites::{PATCH, find_sites};
use crate::tracee::text::{MappedText, Replaced, Source, Text, replaced};
use std::sync::Arc;

/// Cycles of the program's time stamp counter per nanosecond of its clock.
const TSC_PER_NANO: u64 = 2;

/// Patches code that has just become executable. `writable`: the program may still change it, here or through another mapping. `source`: it has just been
/// mapped, and is what a file has there.
pub fn executable(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    start: u64,
    end: u64,
    writable: bool,
    source: Option<Source>,
) -> Result<(), Fail> {
    let source = source.filter(|_| !writable);
    let text = match source {
        Some(source) => Text::known(source, end - start, || k.fs.view(source.content, source.offset, end - start))?,
        None => Arc::new(Text::of(&code_at(cx, start, end))),
    };
    put_back(k, cx, start, end);
    patch(k, cx, start, &text.silent);
    if !cx.tracee().counter_traps() {
        let certain = source.is_some() || !writable && !changes_with_a_file(cx, start, end);
        let certain = text.counter.as_ref().filter(|_| certain);
        if certain.is_none_or(|sites| !patch(k, cx, start, sites)) {
            trap_counter(k, cx)?;
        }
    }
    if let Some(source) = source {
        lane::mapped(k, cx, start, MappedText { end, source, text })?;
    }
    Ok(())
}

/// The code in a range.
fn code_at(cx: &mut Ctx<'_, '_>, start: u64, end: u64) -> Vec<u8> {
    let mut code = vec![0; (end - start) as usize];
    if cx.tracee().peek_force(start, &mut code).is_err() {
        // Beyond the end of a file: nothing there can be executed either. What is before it is found piece by piece.
        code = by_pages(cx, start, end);
    }
    code
}

/// Patches a page that the program has written and is about to execute. Instructions may begin before it and end behind it; those that begin in it count.
pub fn page(k: &mut Kernel, cx: &mut Ctx<'_, '_>, page: u64) -> Result<(), Fail> {
    const PAGE: usize = 4096;
    let id = k.process(cx.pid).memory;
    let (mut code, mut start) = (Vec::new(), page);
    let mut bytes = [0u8; PAGE];
    for addr in [page.saturating_sub(PAGE as u64), page, page + PAGE as u64] {
        if cx.tracee().peek_force(addr, &mut bytes).is_ok() {
            code.extend_from_slice(&bytes);
        } else if addr < page {
            continue;
        } else {
            break;
        }
        start = start.min(addr);
    }
    // What was patched here and has been written over since is not ours any more.
    let known: Vec<u64> = k.memories[&id].patched.range(page..page + PAGE as u64).map(|(&addr, _)| addr).collect();
    for addr in known {
        let at = (addr - start) as usize;
        if code.get(at..at + PATCH.len()) != Some(&PATCH[..]) {
            k.memories.get_mut(&id).expect("address space exists").patched.remove(&addr);
        }
    }
    let from = (page - start) as usize;
    let mut found = replaced(&code, find_sites(&code));
    found.retain(|site| (from..from + PAGE).contains(&site.offset));
    // The memory is private, so it can be written; the time stamp counter, which is another matter, traps wherever a program writes code.
    patch(k, cx, start, &found);
    Ok(())
}

/// Is anything in this range a private mapping of a file that the program can write to? Pages that nobody has touched are still the file's.
fn changes_with_a_file(cx: &mut Ctx<'_, '_>, start: u64, end: u64) -> bool {
    let there = |m: &Mapping| m.start < end && m.end > start && fs::is_written(&m.name);
    cx.tracee().maps().is_ok_and(|maps| maps.iter().any(there))
}

/// Code has come to where there was some before: what was replaced in that and lies there again, replaced, is known.
pub fn put_back(k: &mut Kernel, cx: &mut Ctx<'_, '_>, start: u64, end: u64) {
    let id = k.process(cx.pid).memory;
    let memory = k.memories.get_mut(&id).expect("address space exists");
    for (addr, original) in memory.gone.extract_if(start..end, |_, _| true) {
        let mut there = vec![0; original.len()];
        let is_there = cx.tracee().peek_force(addr, &mut there).is_ok()
            && there.strip_prefix(&PATCH).is_some_and(|rest| original.ends_with(rest));
        if is_there {
            memory.patched.insert(addr, original);
        }
    }
}

/// Pages of private files have been dropped, and come again as the files have them: what was replaced there is replaced again.
pub fn renew(k: &mut Kernel, cx: &mut Ctx<'_, '_>, start: u64, end: u64) -> Result<(), Fail> {
    let memory = &k.memories[&k.process(cx.pid).memory];
    let mut all = true;
    for (&addr, original) in memory.patched.range(start..end) {
        let mut there = vec![0; original.len()];
        let is_back = cx.tracee().peek_force(addr, &mut there).is_ok() && there == *original;
        all &= !is_back || cx.tracee().poke_force(addr, &PATCH).is_ok();
    }
    if all { Ok(()) } else { trap_counter(k, cx) }
}

fn by_pages(cx: &mut Ctx<'_, '_>, start: u64, end: u64) -> Vec<u8> {
    let mut code = Vec::new();
    let mut page = [0u8; 4096];
    for addr in (start..end).step_by(4096) {
        if cx.tracee().peek_force(addr, &mut page).is_err() {
            break;
        }
        code.extend_from_slice(&page);
    }
    code
}

/// Patches these places; false if one could not be.
fn patch(k: &mut Kernel, cx: &mut Ctx<'_, '_>, start: u64, places: &[Replaced]) -> bool {
    let id = k.process(cx.pid).memory;
    let mut all = true;
    for Replaced { offset, original } in places {
        let addr = start + *offset as u64;
        // Not even the supervisor can write to a shared mapping that is read-only. The time stamp counter traps then; rdrand and cpuid,
        // which would not, are hardly ever in a file mapped so.
        if cx.tracee().poke_force(addr, &PATCH).is_err() {
            all = false;
            continue;
        }
        k.memories.get_mut(&id).expect("address space exists").patched.insert(addr, original.clone());
    }
    all
}

/// A fresh image may read the time stamp counter until some of its code is in doubt. The thread has the right, or not, from the image before.
pub fn fresh_counter(k: &Kernel, cx: &mut Ctx<'_, '_>, writable_code: bool) -> Result<(), Fail> {
    cx.tracee().set_counter_traps(writable_code || k.patch_at_stop == 0)?;
    Ok(())
}

/// Memory may have become executable, nobody knows how much of it.
pub fn doubt(k: &Kernel, cx: &mut Ctx<'_, '_>) -> Result<(), Fail> {
    if cx.tracee().counter_traps() { Ok(()) } else { trap_counter(k, cx) }
}

/// Not all code is certain: from here on each reading of the counter stops, in every thread that runs in this address space.
fn trap_counter(k: &Kernel, cx: &mut Ctx<'_, '_>) -> Result<(), Fail> {
    let memory = k.process(cx.pid).memory;
    for thread in k.threads.values().filter(|t| k.process(t.pid).memory == memory) {
        super::lane::take_out(k, cx.tracees, thread.tid)?;
        if let Some(tracee) = cx.tracees.get_mut(&thread.tid) {
            tracee.set_counter_traps(true)?;
        }
    }
    Ok(())
}

/// Answers a trapped instruction at the thread's position; false if the fault is the program's own.
pub fn trapped(k: &mut Kernel, cx: &mut Ctx<'_, '_>, signo: i32) -> Result<bool, Fail> {
    let rip = cx.tracee().regs().rip;
    let memory = &k.memories[&k.process(cx.pid).memory];
    let found = match signo {
        libc::SIGILL => memory.patched.get(&rip).and_then(|bytes| Trapped::decode(bytes)),
        libc::SIGSEGV => {
            let mut bytes = [0u8; 15];
            let n = cx.tracee().read(rip, &mut bytes).unwrap_or(0);
            Trapped::decode(&bytes[..n]).filter(|t| !t.is_patched())
        }
        _ => None,
    };
    let Some(trapped) = found else { return Ok(false) };
    let answer = match trapped.kind {
        InsnKind::Rdtsc | InsnKind::Rdtscp => Answer::Value(cx.clock(k)?.wrapping_mul(TSC_PER_NANO)),
        InsnKind::Rdrand { .. } | InsnKind::Rdseed { .. } => {
            let bytes = k.random.bytes(8);
            Answer::Value(u64::from_le_bytes(bytes.try_into().expect("8 bytes")))
        }
        InsnKind::Rdpid { .. } => Answer::Value(0),
        InsnKind::Cpuid => {
            let regs = cx.tracee().regs();
            let (leaf, subleaf) = (regs.rax as u32, regs.rcx as u32);
            Answer::Cpuid(cx.io.value(k.position, input::TRAPPED, |_| cpuid::answer(leaf, subleaf))?)
        }
    };
    trapped.apply(cx.tracee().regs_mut(), answer);
    Ok(true)
}
