//! The in-process path, from the model's side: what a thread may be answered without a stop, and what it was.
//!
//! The rule it keeps: **the lane is a shortcut and nothing else**. A call answered there is the event that it would have been with a stop: same position,
//! same result, same history, same effect on the model, which [`absorb`] carries out by the very functions that the handlers use. So a log
//! does not tell which calls took the lane, and either side may leave it closed.
//!
//! For that, nothing that blocks, needs the world or ends a step is answered: [`open`] hands out only what is certain until the thread stops
//! (the bytes that wait on a socket, the room to send, who waits for a futex, numbers that do not change, and the clock until something is due), and inputs
//! enter only while it is stopped. On a backup the budget ends before the next entry of the log, so that the last event before it stops as it did on
//! the primary.

use crate::fs::{self, InodeId};
use crate::kernel::{
    Call, Ctx, Fail, FileId, Io, Kernel, MemId, Nanos, ObjectId, OpenFile, Process, Tid, Tracees, input,
};
use crate::net;
use crate::object::Object;
use crate::run::{futexes, names, schedule};
use crate::syscalls::fd;
use crate::tracee::call_site::{CallSite, Shape};
use crate::tracee::lane::{
    Clock, FDS_MAX, GRANT_BYTES_MAX, Grant, Granted, HANDED_OVER, NO_SLOT, OwnFile, READINGS_MAX, ReadFile, Record,
    Stream, Terms,
};
use crate::tracee::names::Owners;
use crate::tracee::text::{self, MappedText, Source};
use crate::tracee::{SigInfo, Tracee};
use gapless_log::{Digest, Error, Reader, Varint, chain};

/// Calls answered before the thread must stop all the same, so that the world is looked at now and then.
const BUDGET_MAX: u64 = READINGS_MAX as u64;
/// The stop at which a call site is patched: what is called once or twice is not worth it.
const PATCH_AT_STOP: u32 = 4;
/// Set to `off`, this variable leaves every call site as it is.
const PATCHING: &str = "GAPLESS_PATCHING";
/// Files laid out at once, and bytes of each.
const FILES_MAX: usize = 2;
const FILE_BYTES_MAX: u64 = 32 << 10;
/// Descriptors that a process is likely to use next; more are not remembered.
const LIKELY_MAX: usize = 256;

/// The stop at which call sites are patched if nobody says otherwise.
pub fn patch_at_stop() -> u32 {
    if std::env::var_os(PATCHING).is_some_and(|value| value == "off") { 0 } else { PATCH_AT_STOP }
}

/// Is a call with this number one that the lane can answer?
pub fn takes(nr: u64) -> bool {
    constant(nr).is_some()
        || names::takes(nr)
        || matches!(
            nr as i64,
            libc::SYS_read
                | libc::SYS_write
                | libc::SYS_writev
                | libc::SYS_recvfrom
                | libc::SYS_sendto
                | libc::SYS_pread64
                | libc::SYS_pwrite64
                | libc::SYS_lseek
                | libc::SYS_fstat
                | libc::SYS_close
                | libc::SYS_clock_gettime
                | libc::SYS_gettimeofday
                | libc::SYS_time
                | libc::SYS_futex
                | libc::SYS_sched_yield
        )
}

/// A call whose answer does not change while the thread runs: its number, and the answer.
type Constant = (i64, fn(&Process, Tid) -> u64);

const CONSTANTS: [Constant; 8] = [
    (libc::SYS_getpid, |p, _| p.pid.0 as u64),
    (libc::SYS_getppid, |p, _| p.parent.0 as u64),
    (libc::SYS_getpgrp, |p, _| p.group.0 as u64),
    (libc::SYS_gettid, |_, tid| tid.0 as u64),
    (libc::SYS_getuid, |p, _| p.creds.uid[0] as u64),
    (libc::SYS_geteuid, |p, _| p.creds.uid[1] as u64),
    (libc::SYS_getgid, |p, _| p.creds.gid[0] as u64),
    (libc::SYS_getegid, |p, _| p.creds.gid[1] as u64),
];

fn constant(nr: u64) -> Option<Constant> {
    CONSTANTS.into_iter().find(|constant| constant.0 as u64 == nr)
}

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
    let limit = limit(k, &cx.io);
    let has_others = k.threads.values().filter(|t| t.pid == cx.pid).nth(1).is_some();
    let slot = if has_others { cx.tracees.get_mut(&cx.tid).map_or(NO_SLOT, |t| t.slot(cx.tid.0)) } else { NO_SLOT };
    let mut touched = k.fs.take_touched();
    let mut names = std::mem::take(&mut k.names);
    let process = k.process(cx.pid);
    let (grants, written) = grants(k, process);
    touched.extend(&written);
    let owners = names.lay_out(k, &mut cx.tracee().lane(), process, &touched);
    let fds_limit = process.limit(libc::RLIMIT_NOFILE as usize).soft.min(FDS_MAX as u64) as u32;
    let free = if owners == Owners::default() { [0; FDS_MAX / 64] } else { process.fds.low_free(fds_limit) };
    let values = CONSTANTS.map(|(nr, answer)| (nr as u32, answer(process, cx.tid)));
    let readings: Vec<(u32, Nanos)> =
        k.readings.iter().take(READINGS_MAX).map(|&(at, t)| (at.saturating_sub(k.position.0) as u32, t)).collect();
    let reads_counter = !cx.tracee().counter_traps();
    let waiters = futexes::waiters(k, cx.tracees, cx.pid);
    let ready = futexes::ready(k, cx.tracees, cx.pid);
    let terms = Terms {
        limit,
        slot,
        now: k.now,
        due: schedule::next_due(k).unwrap_or(u64::MAX),
        clock: match &mut cx.io {
            Io::Live { world, .. } => {
                Clock::Live(world.clock_offset(), reads_counter.then(|| world.counter()).flatten())
            }
            Io::Replay { .. } => Clock::Log(&readings),
        },
        realtime_offset: k.realtime_offset,
        values: &values,
        grants: &grants,
        owners,
        free,
        fds_limit,
        waiters: &waiters,
        ready: &ready,
        shared: k.memories[&process.memory].shared_between(),
        slice: k.slice,
    };
    cx.tracee().lane().open(&terms);
    k.names = names;
    Ok(())
}

/// How many events may pass without the supervisor: none of them may be the one before which an input enters.
fn limit(k: &Kernel, io: &Io<'_, '_>) -> u32 {
    let events = match io {
        Io::Live { .. } => BUDGET_MAX,
        Io::Replay { log } => {
            let entry = log.peek().map_or(log.limit(), |entry| entry.at);
            let next = log.stop().map_or(entry, |stop| entry.min(stop));
            next.0.saturating_sub(k.position.0 + 1).min(BUDGET_MAX)
        }
    };
    events as u32
}

/// What waits on the descriptors that the process is likely to use next, and the room that they have; and which files may be written by that.
fn grants<'a>(k: &'a Kernel, process: &Process) -> (Vec<Grant<'a>>, Vec<InodeId>) {
    let mut seen = Vec::new();
    let (mut grants, mut written) = (Vec::new(), Vec::new());
    let mut files = 0;
    // The last ones first: of files only those that are in use now.
    for &fd in process.likely.iter().rev().filter(|&&fd| (fd as usize) < FDS_MAX) {
        let Ok(descriptor) = process.fds.get(fd) else { continue };
        let file = k.file(descriptor.file);
        let own = fs::room(k, process.pid, file);
        // Two descriptors of one socket, of one opened file, or of one written, would both give away the same bytes or the same room.
        let same = match file.object {
            Object::Socket(id) => id.0,
            Object::Inode(id) if own.is_some() => id.0,
            _ => descriptor.file.0,
        };
        if seen.contains(&same) {
            continue;
        }
        seen.push(same);
        let of = match file.object {
            Object::Socket(id) => stream(k, id, file).map(Granted::Stream),
            Object::Inode(id) if own.is_some() => {
                written.push(id);
                own.map(|fs::Room { here, whole }| Granted::Own(OwnFile { here, whole }))
            }
            Object::Inode(id) if files < FILES_MAX => read_file(k, id, descriptor.file).map(Granted::File),
            _ => None,
        };
        files += usize::from(matches!(of, Some(Granted::File(_))));
        grants.extend(of.map(|of| Grant { fd: fd as usize, of }));
    }
    (grants, written)
}

fn stream<'a>(k: &'a Kernel, id: ObjectId, file: &OpenFile) -> Option<Stream<'a>> {
    let certain = net::certain(k, id, GRANT_BYTES_MAX)?;
    Some(Stream {
        waiting: certain.waiting.filter(|_| file.readable()),
        then_eagain: file.nonblocking(),
        room: Some(certain.room).filter(|_| file.writable()),
    })
}

/// Is this a file whose content may be laid out? While no lock is on it, closing it wakes nobody.
fn is_small(k: &Kernel, id: InodeId) -> bool {
    k.fs.shipped_size(id).is_some_and(|size| size <= FILE_BYTES_MAX) && !k.fs.has_locks(id)
}

/// The content of one, if it is at hand.
pub fn small_file(k: &Kernel, id: InodeId) -> Option<&[u8]> {
    k.fs.small_content(id).filter(|_| is_small(k, id))
}

/// Offset of a small file that is read.
fn offset_in_small(k: &Kernel, id: InodeId, file: FileId) -> Option<u32> {
    let open = k.file(file);
    let offset = u32::try_from(open.offset).ok().filter(|&offset| offset <= i32::MAX as u32)?;
    (open.readable() && is_small(k, id)).then_some(offset)
}

fn read_file(k: &Kernel, id: InodeId, file: FileId) -> Option<ReadFile<'_>> {
    let (content, offset) = (small_file(k, id)?, offset_in_small(k, id, file)?);
    Some(ReadFile { content, offset, stat: fs::stat_file(k, file) })
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
    let records: Option<Vec<Record<'_>>> = journal.records().collect();
    let Some(records) = records else { return Err(spoilt(k)) };
    log_readings(k, cx, &records)?;
    let stopped = cx.tid;
    cx.tid = k.current.ok_or_else(|| spoilt(k))?;
    for record in &records {
        // A thread in a call does nothing but return from it.
        if k.thread(cx.tid).call.is_some() != (record.nr == HANDED_OVER) {
            return Err(spoilt(k));
        }
        carry_over(k, cx, record)?;
        k.position = k.position.next();
        // Whoever blocks is followed by whom the scheduler picks.
        cx.tid = schedule::pick(k).filter(|&tid| k.thread(tid).pid == cx.pid).ok_or_else(|| spoilt(k))?;
    }
    if cx.tid == stopped && !cx.tracee().is_parked() { Ok(()) } else { Err(spoilt(k)) }
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

/// One event, as it is with a stop: its effect on the model, and its history.
fn carry_over(k: &mut Kernel, cx: &mut Ctx<'_, '_>, record: &Record<'_>) -> Result<(), Fail> {
    let (nr, mut arg) = (record.nr, u64::from(record.arg));
    let (ret, bytes_in) = match nr {
        HANDED_OVER => {
            arg = futexes::handed_over(k, cx, record.value).ok_or_else(|| spoilt(k))?;
            (0, 0)
        }
        _ if i64::from(nr) == libc::SYS_futex => match futexes::carry_over(k, cx, record).ok_or_else(|| spoilt(k))? {
            (Some(ret), bytes_in) => (ret, bytes_in),
            (None, bytes_in) => {
                k.history = chain(k.history, &[&bytes_in.to_le_bytes()]);
                return Ok(());
            }
        },
        _ => effect(k, cx, record)?,
    };
    let nr = if nr == HANDED_OVER { libc::SYS_futex as u64 } else { nr.into() };
    account(k, cx.tid, nr, arg, ret, bytes_in);
    Ok(())
}

/// The effect of one answered call on the model; its result, and the hash of what it read.
fn effect(k: &mut Kernel, cx: &mut Ctx<'_, '_>, record: &Record<'_>) -> Result<(i64, Digest), Fail> {
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
        libc::SYS_read if socket(k, cx, record).is_none() => {
            let file = read_from(k, cx, record)?;
            k.file_mut(file).offset = k.file(file).offset.checked_add(record.value).ok_or_else(|| spoilt(k))?;
            Ok((value, 0))
        }
        libc::SYS_read | libc::SYS_recvfrom => {
            let taken = socket(k, cx, record).is_some_and(|id| net::skip(k, id, record.value as usize));
            if taken { Ok((value, 0)) } else { Err(spoilt(k)) }
        }
        libc::SYS_write | libc::SYS_sendto => {
            write(k, cx, record, record.bytes)?;
            Ok((value, chain(0, &[record.bytes])))
        }
        libc::SYS_writev => {
            let (iovecs, bytes) = record.bytes.split_at((record.value >> 32) as usize * 16);
            write(k, cx, record, bytes)?;
            Ok((bytes.len() as i64, hash_gathered(iovecs, bytes).ok_or_else(|| spoilt(k))?))
        }
        libc::SYS_pwrite64 => {
            let file = own_file(k, cx, record)?;
            let written = fs::write_file_at(k, cx, file, record.value, record.bytes);
            all_of(k, record.bytes, written)?;
            Ok((record.bytes.len() as i64, chain(0, &[record.bytes])))
        }
        libc::SYS_pread64 | libc::SYS_fstat => read_from(k, cx, record).map(|_| (value, 0)),
        nr if names::takes(nr as u64) && record.value != 0 => {
            let done = names::carry_over(k, cx, record)?.ok_or_else(|| spoilt(k))?;
            if done.0 >= 0 && names::opens(record.nr) {
                next(k.process_mut(cx.pid), done.0 as i32);
            }
            Ok(done)
        }
        // The path is empty.
        libc::SYS_newfstatat => read_from(k, cx, record).map(|_| (value, chain(0, &[&[]]))),
        libc::SYS_lseek => {
            let file = read_from(k, cx, record)?;
            k.file_mut(file).offset = record.value;
            Ok((value, 0))
        }
        libc::SYS_close => {
            read_from(k, cx, record)?;
            fd::close_fd(k, cx, record.arg as i32).map_err(|_| spoilt(k))?;
            Ok((value, 0))
        }
        libc::SYS_sched_yield => {
            k.slice = 0;
            Ok((value, 0))
        }
        nr => match constant(nr as u64) {
            Some((_, answer)) if answer(k.process(cx.pid), cx.tid) == record.value => Ok((value, 0)),
            _ => Err(spoilt(k)),
        },
    }
}

/// The socket that a record is of, if it is one.
fn socket(k: &Kernel, cx: &Ctx<'_, '_>, record: &Record<'_>) -> Option<ObjectId> {
    match k.file(k.file_of(cx.pid, record.arg as i32).ok()?).object {
        Object::Socket(id) => Some(id),
        _ => None,
    }
}

/// Sends or writes what a record says.
fn write(k: &mut Kernel, cx: &mut Ctx<'_, '_>, record: &Record<'_>, bytes: &[u8]) -> Result<(), Fail> {
    let written = match socket(k, cx, record) {
        Some(id) => net::send(k, cx, id, bytes, None, &[], true),
        None => {
            let file = own_file(k, cx, record)?;
            fs::write(k, cx, file, bytes)
        }
    };
    all_of(k, bytes, written)
}

/// The file that a record is of, which must be one that can be written.
fn own_file(k: &Kernel, cx: &Ctx<'_, '_>, record: &Record<'_>) -> Result<FileId, Fail> {
    let file = k.file_of(cx.pid, record.arg as i32).ok();
    file.filter(|&file| fs::room(k, cx.pid, k.file(file)).is_some()).ok_or_else(|| spoilt(k))
}

fn all_of(k: &Kernel, bytes: &[u8], written: Result<usize, Fail>) -> Result<(), Fail> {
    match written {
        Ok(sent) if sent == bytes.len() => Ok(()),
        Err(fatal @ Fail::Fatal(_)) => Err(fatal),
        _ => Err(spoilt(k)),
    }
}

/// The hash of what writev reads: its iovecs, and then what each of them names. `None` if they name more or less than there is.
fn hash_gathered(iovecs: &[u8], mut bytes: &[u8]) -> Option<Digest> {
    let mut hash = chain(0, &[iovecs]);
    for iovec in iovecs.chunks_exact(16) {
        let len = usize::try_from(u64::from_le_bytes(iovec[8..].try_into().expect("8 bytes"))).ok()?;
        if len > 0 {
            let (piece, rest) = bytes.split_at_checked(len)?;
            hash = chain(hash, &[piece]);
            bytes = rest;
        }
    }
    bytes.is_empty().then_some(hash)
}

/// The file that a record is of, which must be one that can be granted.
fn read_from(k: &Kernel, cx: &Ctx<'_, '_>, record: &Record<'_>) -> Result<FileId, Fail> {
    let file = k.file_of(cx.pid, record.arg as i32).map_err(|_| spoilt(k))?;
    match k.file(file).object {
        Object::Inode(id) if offset_in_small(k, id, file).is_some() => Ok(file),
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
    patch(k, cx, memory, after)
}

/// Patches the call site behind whose `syscall` this address lies, or remembers that it cannot be.
fn patch(k: &mut Kernel, cx: &mut Ctx<'_, '_>, memory: MemId, after: u64) -> Result<(), Fail> {
    let tracee = cx.tracee();
    let of_file = k.memories[&memory].text_before(after);
    let shape = match of_file.map(|(start, mapped)| (start, mapped.clone())) {
        Some((start, MappedText { end, source: Source { content, offset }, text })) => {
            // Without a view the site stays as it is, which nobody sees.
            text.shape((after - start) as usize, || k.fs.view(content, offset, end - start).ok())
        }
        None => text_around(tracee, after)?.and_then(|(code, start)| text::shape(&code, (after - start) as usize)),
    };
    match shape.filter(|shape| shape.number().is_none_or(|nr| takes(nr.into()))) {
        Some(shape) => put(k, cx, memory, shape, after),
        None => {
            k.memories.get_mut(&memory).expect("address space exists").sites.leave(after);
            Ok(())
        }
    }
}

/// A file's code has just been mapped: the call sites in it that are known are patched before anything can stop there.
pub fn mapped(k: &mut Kernel, cx: &mut Ctx<'_, '_>, start: u64, mapped: MappedText) -> Result<(), Fail> {
    let id = k.process(cx.pid).memory;
    let shapes = mapped.text.shapes();
    k.memories.get_mut(&id).expect("address space exists").texts.insert(start, mapped);
    if k.patch_at_stop > 0 {
        for (behind, shape) in shapes {
            put(k, cx, id, shape, start + behind as u64)?;
        }
    }
    Ok(())
}

/// Puts a jump in the place of a call site, unless there is none to be or another thread stands in it. Not one that is blocked there: it goes on by
/// [`resume`], and is often what the thread in hand waits for at the same site.
fn put(k: &mut Kernel, cx: &mut Ctx<'_, '_>, memory: MemId, shape: Shape, after: u64) -> Result<(), Fail> {
    let others =
        k.threads.values().filter(|t| t.tid != cx.tid && t.call.is_none() && k.process(t.pid).memory == memory);
    if others.filter_map(|t| cx.tracees.get(&t.tid)).any(|t| t.regs().rip == after) {
        return Ok(());
    }
    let sites = &mut k.memories.get_mut(&memory).expect("address space exists").sites;
    let Some(site) = sites.add(shape, after) else { return Ok(()) };
    for (at, bytes) in site.writes() {
        let written = cx.tracee().poke_force(at, &bytes);
        written.map_err(|_| Error::Level(format!("call site at {after:#x} cannot be patched")))?;
    }
    Ok(())
}

/// The code that a call lies in, and its address: only a file's text, which nobody writes to, here or in the file.
fn text_around(tracee: &Tracee, after: u64) -> Result<Option<(Vec<u8>, u64)>, Fail> {
    let maps = tracee.maps()?;
    let around = maps.iter().find(|m| m.start < after && after <= m.end);
    let text = around.filter(|m| m.exec && !m.write && !m.shared && m.inode != 0 && !fs::is_written(&m.name));
    Ok(text.and_then(|text| Some((peek(tracee, text.start, text.end)?, text.start))))
}

fn peek(tracee: &Tracee, start: u64, end: u64) -> Option<Vec<u8>> {
    let mut code = vec![0; (end - start) as usize];
    tracee.peek_force(start, &mut code).is_ok().then_some(code)
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

/// Takes a thread out of the blob, if it is parked there.
pub fn take_out(k: &Kernel, tracees: &mut Tracees, tid: Tid) -> Result<(), Fail> {
    if futexes::take_out(k, tracees, tid)? { Ok(()) } else { Err(spoilt(k)) }
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

/// A call has been made with a stop: the descriptor that it used or made is likely to be used next.
pub fn used(process: &mut Process, call: &Call, ret: i64) {
    let fd = match call.nr as i64 {
        libc::SYS_open | libc::SYS_openat | libc::SYS_accept | libc::SYS_accept4 => ret as i32,
        libc::SYS_read
        | libc::SYS_write
        | libc::SYS_writev
        | libc::SYS_pwrite64
        | libc::SYS_recvfrom
        | libc::SYS_sendto => call.args[0] as i32,
        _ => return,
    };
    if fd >= 0 {
        next(process, fd);
    }
}

/// This descriptor is likely to be used next.
fn next(process: &mut Process, fd: i32) {
    process.likely.retain(|&other| other != fd);
    if process.likely.len() == LIKELY_MAX {
        process.likely.clear();
    }
    process.likely.push(fd);
}
