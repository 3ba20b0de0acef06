//! The in-process path, from the model's side: what a thread may be answered without a stop, and what it was.
//!
//! The rule it keeps: **the lane is a shortcut and nothing else**. A call answered there is the event that it would have been with a stop: same position,
//! same result, same history, same effect on the model, which [`absorb`] carries out by the very functions that the handlers use. So a log
//! does not tell which calls took the lane, and either side may leave it closed.
//!
//! For that, nothing that wakes somebody, needs the world or ends a step is answered: [`open`] hands out only what is certain until the thread stops
//! (the bytes that wait on a socket, the room to send, numbers that do not change, and the clock until something is due), and inputs
//! enter only while it is stopped. On a backup the budget ends before the next entry of the log, so that the last event before it stops as it did on
//! the primary.

use crate::kernel::{Call, Ctx, Fail, Io, Kernel, Nanos, Process, Tid, input};
use crate::net;
use crate::object::Object;
use crate::run::schedule;
use crate::tracee::call_site::CallSite;
use crate::tracee::lane::{Clock, FDS_MAX, GRANT_BYTES_MAX, Grant, READINGS_MAX, Record, Terms};
use crate::tracee::{SigInfo, Tracee};
use gapless_log::{Digest, Error, Reader, Varint, chain};

/// Calls answered before the thread must stop all the same, so that the world is looked at now and then.
const BUDGET_MAX: u64 = READINGS_MAX as u64;
/// The stop at which a call site is patched: what is called once or twice is not worth it.
const PATCH_AT_STOP: u32 = 4;
/// Set to `off`, this variable leaves every call site as it is.
const PATCHING: &str = "GAPLESS_PATCHING";
/// Descriptors that a process is likely to use next; more are not remembered.
const LIKELY_MAX: usize = 256;

/// The stop at which call sites are patched if nobody says otherwise.
pub fn patch_at_stop() -> u32 {
    if std::env::var_os(PATCHING).is_some_and(|value| value == "off") { 0 } else { PATCH_AT_STOP }
}

/// Is a call with this number one that the lane can answer?
pub fn takes(nr: u64) -> bool {
    constant(nr).is_some()
        || matches!(
            nr as i64,
            libc::SYS_read
                | libc::SYS_write
                | libc::SYS_recvfrom
                | libc::SYS_sendto
                | libc::SYS_clock_gettime
                | libc::SYS_gettimeofday
                | libc::SYS_time
        )
}

/// A call whose answer does not change while the thread runs.
fn constant(nr: u64) -> Option<fn(&Process, Tid) -> u64> {
    Some(match nr as i64 {
        libc::SYS_getpid => |p, _| p.pid.0 as u64,
        libc::SYS_getppid => |p, _| p.parent.0 as u64,
        libc::SYS_getpgrp => |p, _| p.group.0 as u64,
        libc::SYS_gettid => |_, tid| tid.0 as u64,
        libc::SYS_getuid => |p, _| p.creds.uid[0].into(),
        libc::SYS_geteuid => |p, _| p.creds.uid[1].into(),
        libc::SYS_getgid => |p, _| p.creds.gid[0].into(),
        libc::SYS_getegid => |p, _| p.creds.gid[1].into(),
        _ => return None,
    })
}

const CONSTANTS: [i64; 8] = [
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getpgrp,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
];

/// The history of a call that the lane can answer: the same whether it did.
pub fn account(k: &mut Kernel, tid: Tid, nr: u64, arg: u64, ret: i64, bytes_in: Digest) {
    let words = [tid.0 as u64, nr, u64::from(arg as u32), ret as u64];
    let mut raw = [0u8; 32];
    for (slot, word) in raw.chunks_exact_mut(8).zip(words) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    k.history = chain(k.history, &[&raw, &bytes_in.to_le_bytes()]);
}

/// Lays out what the thread in hand, which is about to run, may be answered.
pub fn open(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> Result<(), Fail> {
    take_readings(k, cx)?;
    let budget = budget(k, &cx.io);
    let process = k.process(cx.pid);
    let values = CONSTANTS.map(|nr| (nr as u32, constant(nr as u64).expect("a constant")(process, cx.tid)));
    let grants = grants(k, process);
    let readings: Vec<(u32, Nanos)> =
        k.readings.iter().take(READINGS_MAX).map(|&(at, t)| (at.saturating_sub(k.position.0) as u32, t)).collect();
    let free = !cx.tracee().counter_traps();
    let terms = Terms {
        budget,
        now: k.now,
        due: schedule::next_due(k).unwrap_or(u64::MAX),
        clock: match &mut cx.io {
            Io::Live { world, .. } => Clock::Live(world.clock_offset(), free.then(|| world.counter()).flatten()),
            Io::Replay { .. } => Clock::Log(&readings),
        },
        realtime_offset: k.realtime_offset,
        values: &values,
        grants: &grants,
    };
    cx.tracee().lane().open(&terms);
    Ok(())
}

/// How many events may pass without the supervisor: none of them may be the one before which somebody else gets the baton or an input enters.
fn budget(k: &Kernel, io: &Io<'_, '_>) -> u32 {
    let slice = if k.run_queue.is_empty() { BUDGET_MAX } else { u64::from(k.slice) };
    let events = match io {
        Io::Live { .. } => slice,
        Io::Replay { log } => {
            let entry = log.peek().map_or(log.limit(), |entry| entry.at);
            let next = log.stop().map_or(entry, |stop| entry.min(stop));
            next.0.saturating_sub(k.position.0 + 1).min(slice)
        }
    };
    events.min(BUDGET_MAX) as u32
}

/// What waits on the descriptors that the process is likely to use next, and the room that they have.
fn grants(k: &Kernel, process: &Process) -> Vec<Grant> {
    let mut sockets = Vec::new();
    let mut grants = Vec::new();
    for &fd in process.likely.iter().filter(|&&fd| (fd as usize) < FDS_MAX) {
        let Ok(descriptor) = process.fds.get(fd) else { continue };
        let file = k.file(descriptor.file);
        let Object::Socket(id) = file.object else { continue };
        // Two descriptors of one socket would both give away the same bytes.
        if sockets.contains(&id) {
            continue;
        }
        sockets.push(id);
        let Some(certain) = net::certain(k, id, GRANT_BYTES_MAX) else { continue };
        grants.push(Grant {
            fd: fd as usize,
            waiting: certain.waiting.filter(|_| file.readable()),
            then_eagain: file.nonblocking(),
            room: Some(certain.room).filter(|_| file.writable()),
        });
    }
    grants
}

/// Backup: the clock readings that the primary's lane gave from this position on.
fn take_readings(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> Result<(), Fail> {
    let Io::Replay { log } = &mut cx.io else { return Ok(()) };
    while log.peek().is_some_and(|e| e.kind == input::CLOCK_READS && e.at == k.position) {
        let body = log.input(k.position, input::CLOCK_READS)?;
        let mut r = Reader::new(&body);
        let (mut at, mut now) = (k.position.0, k.now);
        while !r.is_empty() {
            let step = r.varint().zip(r.varint());
            let reading = step.and_then(|(events, nanos)| Some((at.checked_add(events)?, now.checked_add(nanos)?)));
            (at, now) = reading.ok_or_else(|| {
                Error::Refused(format!("input 'clock readings' at position {} does not decode", k.position))
            })?;
            k.readings.push_back((at, now));
        }
    }
    Ok(())
}

/// Carries over into the model what the thread in hand was answered since it ran on.
pub fn absorb(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> Result<(), Fail> {
    let journal = cx.tracee().lane().take();
    if journal.is_empty() {
        return Ok(());
    }
    let records: Option<Vec<Record<'_>>> = journal.records().collect();
    let Some(records) = records else { return Err(spoilt(k)) };
    log_readings(k, cx, &records)?;
    for record in &records {
        let (ret, bytes_in) = carry_over(k, cx, record)?;
        account(k, cx.tid, record.nr.into(), record.arg.into(), ret, bytes_in);
        k.position = k.position.next();
        k.slice = k.slice.saturating_sub(1);
    }
    Ok(())
}

fn is_clock(record: &Record<'_>) -> bool {
    matches!(i64::from(record.nr), libc::SYS_clock_gettime | libc::SYS_gettimeofday | libc::SYS_time)
}

/// Live: the readings of one run are one entry, pairs of how many events and nanoseconds after the one before.
fn log_readings(k: &Kernel, cx: &mut Ctx<'_, '_>, records: &[Record<'_>]) -> Result<(), Fail> {
    if !cx.io.is_live() {
        return Ok(());
    }
    let mut body = Vec::new();
    let (mut at, mut now) = (0, k.now);
    for (i, record) in records.iter().enumerate().filter(|(_, record)| is_clock(record)) {
        let nanos = record.value.checked_sub(now).ok_or_else(|| spoilt(k))?;
        body.put_varint(i as u64 - at);
        body.put_varint(nanos);
        (at, now) = (i as u64, record.value);
    }
    if !body.is_empty() {
        cx.io.bytes(k.position, input::CLOCK_READS, |_| body)?;
    }
    Ok(())
}

/// The effect of one answered call on the model; its result, and the hash of what it read.
fn carry_over(k: &mut Kernel, cx: &mut Ctx<'_, '_>, record: &Record<'_>) -> Result<(i64, Digest), Fail> {
    let value = record.value as i64;
    match i64::from(record.nr) {
        _ if is_clock(record) => {
            if !cx.io.is_live() && k.readings.pop_front() != Some((k.position.0, record.value)) {
                return Err(spoilt(k));
            }
            k.now = k.now.max(record.value);
            let seconds = k.now.saturating_add_signed(k.realtime_offset) / 1_000_000_000;
            Ok((if i64::from(record.nr) == libc::SYS_time { seconds as i64 } else { 0 }, 0))
        }
        libc::SYS_read | libc::SYS_recvfrom if value == -i64::from(libc::EAGAIN) => Ok((value, 0)),
        libc::SYS_read | libc::SYS_recvfrom => {
            let id = socket(k, cx, record)?;
            let message = net::recv(k, id, record.value as usize, false).map_err(|_| spoilt(k))?;
            if message.bytes.len() as u64 == record.value { Ok((value, 0)) } else { Err(spoilt(k)) }
        }
        libc::SYS_write | libc::SYS_sendto => {
            let id = socket(k, cx, record)?;
            let sent = net::send(k, cx, id, record.bytes, None, &[], true).map_err(|_| spoilt(k))?;
            if sent as u64 == record.value { Ok((value, chain(0, &[record.bytes]))) } else { Err(spoilt(k)) }
        }
        nr => match constant(nr as u64) {
            Some(answer) if answer(k.process(cx.pid), cx.tid) == record.value => Ok((value, 0)),
            _ => Err(spoilt(k)),
        },
    }
}

fn socket(k: &Kernel, cx: &Ctx<'_, '_>, record: &Record<'_>) -> Result<crate::kernel::ObjectId, Fail> {
    match k.file_of(cx.pid, record.arg as i32).map(|file| &k.file(file).object) {
        Ok(&Object::Socket(id)) => Ok(id),
        _ => Err(spoilt(k)),
    }
}

/// The journal and the model disagree.
fn spoilt(k: &Kernel) -> Fail {
    Fail::Fatal(Error::Level(format!(
        "position {}: the in-process journal does not fit the model: the program has written over gapless's own pages",
        k.position
    )))
}

/// A thread has stopped in a call: its registers as they would be without patches, and another patch if this site is worth one.
pub fn stopped(k: &mut Kernel, cx: &mut Ctx<'_, '_>, nr: u64) -> Result<(), Fail> {
    let memory = k.process(cx.pid).memory;
    let sites = &mut k.memories.get_mut(&memory).expect("address space exists").sites;
    let tracee = cx.tracee();
    if let Some(index) = sites.index_of(tracee.regs().rip) {
        let site = sites.by_index(index).filter(|site| site.seen(tracee.regs_mut()));
        return site.map(drop).ok_or_else(|| spoilt(k));
    }
    let after = tracee.regs().rip;
    if !takes(nr) || !sites.is_due(after, k.patch_at_stop) {
        return Ok(());
    }
    let others = k.threads.values().filter(|t| t.tid != cx.tid && k.process(t.pid).memory == memory);
    let crowded = others.filter_map(|t| cx.tracees.get(&t.tid)).any(|t| t.regs().rip == after);
    if crowded {
        return Ok(());
    }
    patch(k, cx, memory, after)
}

fn patch(k: &mut Kernel, cx: &mut Ctx<'_, '_>, memory: crate::kernel::MemId, after: u64) -> Result<(), Fail> {
    let sites = &mut k.memories.get_mut(&memory).expect("address space exists").sites;
    let tracee = cx.tracee();
    let site = text_around(tracee, after)?
        .and_then(|(code, start)| CallSite::recognise(&code, start, after, sites.next_index()))
        .filter(|site| site.number().is_none_or(|nr| takes(nr.into())));
    let Some(site) = site else {
        sites.leave(after);
        return Ok(());
    };
    for (at, bytes) in site.writes() {
        tracee
            .poke_force(at, &bytes)
            .map_err(|_| Error::Level(format!("call site at {after:#x} cannot be patched")))?;
    }
    sites.add(site);
    Ok(())
}

/// The code that a call lies in, and its address: only a file's text, which nobody writes to, here or in the file.
fn text_around(tracee: &crate::tracee::Tracee, after: u64) -> Result<Option<(Vec<u8>, u64)>, Fail> {
    let maps = tracee.maps()?;
    let around = maps.iter().find(|m| m.start < after && after <= m.end);
    let text = around.filter(|m| m.exec && !m.write && !m.shared && m.inode != 0 && !crate::fs::is_written(&m.name));
    let Some(text) = text else { return Ok(None) };
    let mut code = vec![0; (text.end - text.start) as usize];
    Ok(tracee.peek_force(text.start, &mut code).is_ok().then_some((code, text.start)))
}

/// The thread in hand is to run on from where the program believes it to stand: the stub's end, if that is behind a patched call.
pub fn resume(k: &Kernel, cx: &mut Ctx<'_, '_>) {
    let sites = &k.memories[&k.process(cx.pid).memory].sites;
    let tracee = cx.tracee();
    let rip = tracee.regs().rip;
    if let Some(site) = sites.behind(rip).or_else(|| sites.gone(rip).filter(|site| is_patched(tracee, site))) {
        tracee.regs_mut().rip = site.resumed();
    }
}

/// Is the site's jump where it was written?
fn is_patched(tracee: &Tracee, site: &CallSite) -> bool {
    let [.., (at, jump)] = site.writes();
    let mut there = vec![0; jump.len()];
    tracee.peek_force(at, &mut there).is_ok() && there == jump
}

/// The thread in hand has trapped in gapless's own code: the program lets itself be stopped after every instruction, and its steps must be its own.
/// Nothing stays patched in its address space. True if the thread now stands behind an instruction of its own; false if it must go on.
pub fn stepped(k: &mut Kernel, cx: &mut Ctx<'_, '_>, info: &mut SigInfo) -> Result<bool, Fail> {
    let memory = k.process(cx.pid).memory;
    let sites = &mut k.memories.get_mut(&memory).expect("address space exists").sites;
    let tracee = cx.tracee();
    let site = sites.index_of(tracee.regs().rip).and_then(|index| sites.by_index(index));
    let entered = site.and_then(|site| site.entered(tracee.regs_mut()));
    for site in sites.give_up() {
        let (at, original) = site.original();
        if is_patched(tracee, &site) {
            tracee
                .poke_force(at, &original)
                .map_err(|_| Error::Level(format!("call site at {at:#x} cannot be restored")))?;
        }
    }
    *info = SigInfo::fault(info.signo(), info.code(), tracee.regs().rip);
    entered.ok_or_else(|| spoilt(k))
}

/// Is the thread in hand on its way through gapless's own code, where the program never stands?
pub fn is_inside(k: &Kernel, cx: &mut Ctx<'_, '_>) -> bool {
    k.memories[&k.process(cx.pid).memory].sites.is_inside(cx.tracee().regs().rip)
}

/// These descriptors are what the process will use next: a poll has just named them.
pub fn likely(process: &mut Process, fds: impl Iterator<Item = i32>) {
    process.likely.clear();
    process.likely.extend(fds.take(LIKELY_MAX));
}

/// A call has been made with a stop: its descriptor, if it has one, is likely to be used again.
pub fn used(process: &mut Process, call: &Call) {
    let names_one = matches!(call.nr as i64, libc::SYS_read | libc::SYS_write | libc::SYS_recvfrom | libc::SYS_sendto);
    let fd = call.args[0] as i32;
    if names_one && !process.likely.contains(&fd) {
        if process.likely.len() == LIKELY_MAX {
            process.likely.clear();
        }
        process.likely.push(fd);
    }
}
