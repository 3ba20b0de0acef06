//! Texts of the files of /proc/PID (proc(5)).

use super::host;
use super::inode::{Body, InodeId, Node};
use super::path::path_of;
use crate::kernel::{Ctx, Fail, Kernel, Pid, State, Tid, fail, input};
use crate::signal::SigSet;
use crate::tracee::maps::Mapping;
use crate::tracee::{SCRATCH_END, SCRATCH_START, SITES_END, SITES_START};
use std::fmt::Write as _;

/// Memory use that every process shows, in pages: the truth differs from run to run.
const SIZE_PAGES: u64 = 8192;
/// ... of which resident.
const RESIDENT_PAGES: u64 = 2048;
/// Clock ticks a second, as sysconf(_SC_CLK_TCK) says.
const TICK_NS: u64 = 10_000_000;

type Text = Result<Vec<u8>, Fail>;

fn joined(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.iter().flat_map(|p| p.iter().copied().chain([0])).collect()
}

/// /proc/PID/cmdline.
pub fn cmdline(k: &Kernel, _: &mut Ctx<'_, '_>, pid: Pid, _: Tid) -> Text {
    let p = k.process(pid);
    Ok(if p.zombie.is_some() { Vec::new() } else { joined(&p.args) })
}

/// /proc/PID/environ.
pub fn environ(k: &Kernel, _: &mut Ctx<'_, '_>, pid: Pid, _: Tid) -> Text {
    Ok(joined(&k.process(pid).env))
}

/// The thread meant: the process's first one if none is named.
fn thread_of(pid: Pid, tid: Tid) -> Tid {
    if tid == Tid(0) { Tid(pid.0) } else { tid }
}

fn name_of(k: &Kernel, pid: Pid, tid: Tid) -> String {
    let thread = k.threads.get(&thread_of(pid, tid)).or_else(|| k.threads.values().find(|t| t.pid == pid));
    match thread {
        Some(t) => String::from_utf8_lossy(t.name.split(|&b| b == 0).next().unwrap_or_default()).into_owned(),
        None => {
            let exe = &k.process(pid).exe;
            String::from_utf8_lossy(exe.rsplit(|&b| b == b'/').next().unwrap_or_default()).into_owned()
        }
    }
}

/// /proc/PID/comm.
pub fn comm(k: &Kernel, _: &mut Ctx<'_, '_>, pid: Pid, tid: Tid) -> Text {
    Ok(format!("{}\n", name_of(k, pid, tid)).into_bytes())
}

fn state_of(k: &Kernel, pid: Pid, tid: Tid) -> (char, &'static str) {
    if k.process(pid).zombie.is_some() {
        return ('Z', "zombie");
    }
    match k.threads.get(&thread_of(pid, tid)).map(|t| &t.state) {
        Some(State::Ready) => ('R', "running"),
        Some(State::Stopped(_)) => ('T', "stopped"),
        Some(_) => ('S', "sleeping"),
        None => ('Z', "zombie"),
    }
}

/// Ignored and caught signals.
fn dispositions(k: &Kernel, pid: Pid) -> (SigSet, SigSet) {
    let actions = &k.process(pid).actions;
    (1..=64).fold((SigSet(0), SigSet(0)), |(ignored, caught), n| match actions.get(n).handler {
        0 => (ignored, caught),
        1 => (ignored.with(n), caught),
        _ => (ignored, caught.with(n)),
    })
}

fn thread_count(k: &Kernel, pid: Pid) -> usize {
    k.threads.values().filter(|t| t.pid == pid).count().max(1)
}

/// /proc/PID/stat.
pub fn stat(k: &Kernel, _: &mut Ctx<'_, '_>, pid: Pid, tid: Tid) -> Text {
    let p = k.process(pid);
    let (ignored, caught) = dispositions(k, pid);
    let mask = k.threads.get(&thread_of(pid, tid)).map_or(SigSet(0), |t| t.mask);
    let terminal = crate::object::pty::of_session(k, p.session).map_or((0, -1), |id| {
        let pty = &k.objects.ptys[&id];
        (crate::object::pty::MAJOR << 8 | pty.number, pty.foreground.map_or(-1, |g| g.0))
    });
    let mut out = format!(
        "{} ({}) {} {} {} {} {} {} 4194304 0 0 0 0 0 0 0 0 20 0 {} 0 {} {} {} {}",
        thread_of(pid, tid).0,
        name_of(k, pid, tid),
        state_of(k, pid, tid).0,
        p.parent.0,
        p.group.0,
        p.session.0,
        terminal.0,
        terminal.1,
        thread_count(k, pid),
        p.started / TICK_NS,
        SIZE_PAGES * 4096,
        RESIDENT_PAGES,
        u64::MAX,
    );
    // startcode endcode startstack kstkesp kstkeip, then signals as decimal masks of the first 31, wchan ... exit_code.
    let low = |s: SigSet| s.0 & 0x7fff_ffff;
    let _ = writeln!(
        out,
        " 0 0 0 0 0 {} {} {} {} 0 0 0 {} 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
        low(p.pending.set()),
        low(mask),
        low(ignored),
        low(caught),
        p.exit_signal,
    );
    Ok(out.into_bytes())
}

/// /proc/PID/statm.
pub fn statm(_: &Kernel, _: &mut Ctx<'_, '_>, _: Pid, _: Tid) -> Text {
    Ok(format!("{SIZE_PAGES} {RESIDENT_PAGES} 1024 512 0 4096 0\n").into_bytes())
}

/// /proc/PID/status.
pub fn status(k: &Kernel, _: &mut Ctx<'_, '_>, pid: Pid, tid: Tid) -> Text {
    let p = k.process(pid);
    let (letter, word) = state_of(k, pid, tid);
    let (ignored, caught) = dispositions(k, pid);
    let thread = k.threads.get(&thread_of(pid, tid));
    let ids = |ids: &[u32; 4]| ids.map(|n| n.to_string()).join("\t");
    let groups: Vec<String> = p.creds.groups.iter().map(u32::to_string).collect();
    let caps: u64 = if p.creds.uid[1] == 0 { 0x1ff_ffff_ffff } else { 0 };
    let (size, resident) = (SIZE_PAGES * 4, RESIDENT_PAGES * 4);
    let slots = p.fds.iter().map(|(fd, _)| fd + 1).max().unwrap_or(0).max(1) as u32;
    let mut out = String::new();
    let _ = write!(
        out,
        "Name:\t{}\nUmask:\t{:04o}\nState:\t{letter} ({word})\nTgid:\t{}\nNgid:\t0\nPid:\t{}\nPPid:\t{}\nTracerPid:\t0\n",
        name_of(k, pid, tid),
        p.umask,
        pid.0,
        thread_of(pid, tid).0,
        p.parent.0,
    );
    let _ = write!(
        out,
        "Uid:\t{}\nGid:\t{}\nFDSize:\t{}\nGroups:\t{} \nNStgid:\t{2}\n",
        ids(&p.creds.uid),
        ids(&p.creds.gid),
        slots.next_multiple_of(64),
        groups.join(" "),
    );
    let _ = write!(
        out,
        "VmPeak:\t{size:8} kB\nVmSize:\t{size:8} kB\nVmLck:\t       0 kB\nVmPin:\t       0 kB\nVmHWM:\t{resident:8} kB\nVmRSS:\t{resident:8} kB\n\
         RssAnon:\t{resident:8} kB\nRssFile:\t       0 kB\nRssShmem:\t       0 kB\nVmData:\t{size:8} kB\nVmStk:\t     132 kB\n\
         VmExe:\t    1024 kB\nVmLib:\t    2048 kB\nVmPTE:\t      64 kB\nVmSwap:\t       0 kB\nHugetlbPages:\t       0 kB\nCoreDumping:\t0\n\
         THP_enabled:\t1\nThreads:\t{}\nSigQ:\t0/4096\n",
        thread_count(k, pid),
    );
    let _ = write!(
        out,
        "SigPnd:\t{:016x}\nShdPnd:\t{:016x}\nSigBlk:\t{:016x}\nSigIgn:\t{:016x}\nSigCgt:\t{:016x}\n",
        thread.map_or(0, |t| t.pending.set().0),
        p.pending.set().0,
        thread.map_or(0, |t| t.mask.0),
        ignored.0,
        caught.0,
    );
    let _ = write!(
        out,
        "CapInh:\t{:016x}\nCapPrm:\t{caps:016x}\nCapEff:\t{caps:016x}\nCapBnd:\t{:016x}\nCapAmb:\t{0:016x}\nNoNewPrivs:\t0\nSeccomp:\t0\n\
         Seccomp_filters:\t0\nSpeculation_Store_Bypass:\tvulnerable\nCpus_allowed:\t1\nCpus_allowed_list:\t0\nMems_allowed:\t1\n\
         Mems_allowed_list:\t0\nvoluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n",
        0, 0x1ff_ffff_ffff_u64,
    );
    Ok(out.into_bytes())
}

/// /proc/PID/io.
pub fn io(_: &Kernel, _: &mut Ctx<'_, '_>, _: Pid, _: Tid) -> Text {
    Ok(b"rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n".to_vec())
}

/// Resource, its name and unit, in the order of /proc/PID/limits.
const LIMITS: &[(u32, &str, &str)] = &[
    (libc::RLIMIT_CPU, "Max cpu time", "seconds"),
    (libc::RLIMIT_FSIZE, "Max file size", "bytes"),
    (libc::RLIMIT_DATA, "Max data size", "bytes"),
    (libc::RLIMIT_STACK, "Max stack size", "bytes"),
    (libc::RLIMIT_CORE, "Max core file size", "bytes"),
    (libc::RLIMIT_RSS, "Max resident set", "bytes"),
    (libc::RLIMIT_NPROC, "Max processes", "processes"),
    (libc::RLIMIT_NOFILE, "Max open files", "files"),
    (libc::RLIMIT_MEMLOCK, "Max locked memory", "bytes"),
    (libc::RLIMIT_AS, "Max address space", "bytes"),
    (libc::RLIMIT_LOCKS, "Max file locks", "locks"),
    (libc::RLIMIT_SIGPENDING, "Max pending signals", "signals"),
    (libc::RLIMIT_MSGQUEUE, "Max msgqueue size", "bytes"),
    (libc::RLIMIT_NICE, "Max nice priority", ""),
    (libc::RLIMIT_RTPRIO, "Max realtime priority", ""),
    (libc::RLIMIT_RTTIME, "Max realtime timeout", "us"),
];

/// /proc/PID/limits.
pub fn limits(k: &Kernel, _: &mut Ctx<'_, '_>, pid: Pid, _: Tid) -> Text {
    let show = |n: u64| if n == u64::MAX { "unlimited".to_owned() } else { n.to_string() };
    let mut out = format!("{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (resource, name, unit) in LIMITS {
        let limit = k.process(pid).limit(*resource as usize);
        let _ = writeln!(out, "{name:<25} {:<20} {:<20} {unit:<10}", show(limit.soft), show(limit.hard));
    }
    Ok(out.into_bytes())
}

/// Device, place, type and options of what is mounted.
const MOUNTS: &[(&str, &str, &str, &str, &str)] = &[
    ("/dev/root", "/", "ext4", "rw,relatime", "8:1"),
    ("proc", "/proc", "proc", "rw,nosuid,nodev,noexec,relatime", "0:22"),
    ("sysfs", "/sys", "sysfs", "ro,nosuid,nodev,noexec,relatime", "0:23"),
    ("udev", "/dev", "devtmpfs", "rw,nosuid,relatime", "0:6"),
    ("tmpfs", "/dev/shm", "tmpfs", "rw,nosuid,nodev", "0:26"),
];

/// /proc/PID/mounts.
pub fn mounts(_: &Kernel, _: &mut Ctx<'_, '_>, _: Pid, _: Tid) -> Text {
    let lines = MOUNTS.iter().map(|(device, at, kind, options, _)| format!("{device} {at} {kind} {options} 0 0\n"));
    Ok(lines.collect::<String>().into_bytes())
}

/// /proc/PID/mountinfo.
pub fn mountinfo(_: &Kernel, _: &mut Ctx<'_, '_>, _: Pid, _: Tid) -> Text {
    let lines = MOUNTS.iter().enumerate().map(|(i, (device, at, kind, options, number))| {
        let above = if i == 0 { 1 } else { 21 };
        format!("{} {above} {number} / {at} {options} shared:{} - {kind} {device} rw\n", 21 + i, i + 1)
    });
    Ok(lines.collect::<String>().into_bytes())
}

/// /proc/PID/fdinfo/N.
pub fn fdinfo(k: &Kernel, pid: Pid, fd: i32) -> Text {
    let Some(d) = k.processes.get(&pid).and_then(|p| p.fds.get(fd).ok()) else { return fail(libc::ENOENT) };
    let file = k.file(d.file);
    let cloexec = if d.close_on_exec { libc::O_CLOEXEC } else { 0 };
    Ok(format!("pos:\t{}\nflags:\t0{:o}\nmnt_id:\t21\nino:\t{}\n", file.offset, file.flags | cloexec, d.file.0 + 2)
        .into_bytes())
}

/// One mapping as it is logged: start, end, permissions, offset, name.
type Map = (u64, u64, String, u64, String);

/// Which file of the store a real mapping's name is of, as `content/HASH` or `files/NUMBER`. Only the last components say so.
fn in_store(name: &str) -> Option<String> {
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    let tail: Vec<&str> = name.rsplitn(4, '/').take(3).collect();
    if !name.starts_with('/') {
        None
    } else if tail.get(1) == Some(&"content") {
        Some(format!("content/{}", tail[0]))
    } else if tail.get(2) == Some(&"files") {
        Some(format!("files/{}", tail[0]))
    } else {
        None
    }
}

/// Is a real mapping with this name one of a file that the program has made its own, and can write to?
pub fn is_written(name: &str) -> bool {
    in_store(name).is_some_and(|name| name.starts_with("files/"))
}

/// /proc/PID/maps: the real address space, without our own pages, its files named as the program knows them.
pub fn maps(k: &Kernel, cx: &mut Ctx<'_, '_>, pid: Pid, _: Tid) -> Text {
    let real = k.threads.values().find(|t| t.pid == pid).and_then(|t| cx.tracees.get(&t.tid));
    let maps: Option<Vec<Map>> = cx.io.value(k.position, input::HOST_READ, |_| {
        let flag = |on: bool, c: char| if on { c } else { '-' };
        let list = real?.maps().ok()?;
        let within = |m: &Mapping, start, end| m.start >= start && m.end <= end && m.name.starts_with("/memfd:gapless");
        let ours = |m: &Mapping| within(m, SCRATCH_START, SCRATCH_END) || within(m, SITES_START, SITES_END);
        let mapped = list.into_iter().filter(|m| !ours(m)).map(|m| {
            let bits = [flag(m.read, 'r'), flag(m.write, 'w'), flag(m.exec, 'x'), if m.shared { 's' } else { 'p' }];
            let name = in_store(&m.name).unwrap_or_else(|| match m.name.starts_with('/') {
                true => String::new(),
                false => m.name.clone(),
            });
            (m.start, m.end, bits.iter().collect(), m.offset, name)
        });
        Some(mapped.collect())
    })?;
    let exe = k.process(pid).exe.clone();
    let mut out = Vec::new();
    for (start, end, bits, offset, name) in
        maps.unwrap_or_else(|| vec![(0x40_0000, 0x40_1000, "r-xp".into(), 0, "exe".into())])
    {
        let (path, number) = match mapped_inode(k, &name) {
            Some(id) => (path_of(k, id), id.ino()),
            None if name == "exe" => (exe.clone(), 0),
            None if name.starts_with('[') => (name.into_bytes(), 0),
            None => (Vec::new(), 0),
        };
        let device = if number == 0 { "00:00" } else { "08:01" };
        let head = format!("{start:08x}-{end:08x} {bits} {offset:08x} {device} {number}");
        out.extend_from_slice(head.as_bytes());
        if !path.is_empty() {
            out.resize(out.len() + 73_usize.saturating_sub(head.len()).max(1), b' ');
            out.extend_from_slice(&path);
        }
        out.push(b'\n');
    }
    Ok(out)
}

/// The inode whose bytes are this file of the store.
fn mapped_inode(k: &Kernel, name: &str) -> Option<InodeId> {
    let (kind, rest) = name.split_once('/')?;
    let wanted = match kind {
        "content" => host::name_of(&Body::Content { hash: u128::from_str_radix(rest, 16).ok()?, size: 0 }),
        _ => host::name_of(&Body::Private { number: rest.parse().ok()?, size: 0 }),
    };
    k.fs.inodes
        .iter()
        .find(|(_, i)| matches!(&i.node, Node::Regular(b) if host::name_of(b) == wanted))
        .map(|(&id, _)| id)
}
