//! /proc: processes as the model knows them, under their virtual numbers; and the host's own files of /proc and /sys, each look an input.
//!
//! What belongs to a process is made up from the model with fixed numbers where the truth would differ from run to run (memory use, CPU time).
//! Only `maps` shows the real address space, which is the same on both sides but not kept by the model: it is an input.

use super::inode::{Inode, InodeId, Kind, Node};
use super::list::Entry;
use super::path::path_of;
use super::stat::{DEV_PROC, DEV_SYS};
use super::{ROOT, host, proc_text};
use crate::kernel::{Ctx, Fail, FileId, Kernel, Pid, Tid, fail};
use crate::object::{Object, pty};

/// Names something of /proc. Threads have number 0 where the process itself is meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Key {
    /// /proc.
    Root,
    /// /proc/self.
    SelfLink,
    /// /proc/thread-self.
    ThreadSelf,
    /// /proc/mounts.
    MountsLink,
    /// /proc/PID or /proc/PID/task/TID.
    Process(Pid, Tid),
    /// Something below it: a row of the table.
    Entry(Pid, Tid, usize),
    /// /proc/PID/fd/N, or fdinfo/N.
    Fd(Pid, i32, bool),
}

/// Makes the text of a file of a process or thread.
type MakeText = fn(&Kernel, &mut Ctx<'_, '_>, Pid, Tid) -> Result<Vec<u8>, Fail>;

/// What a name below /proc/PID is.
#[derive(Clone, Copy)]
enum What {
    /// A file with this text.
    Text(MakeText),
    /// A link.
    Link(fn(&Kernel, Pid) -> Vec<u8>),
    /// The directory of descriptors; of their details if true.
    Fds(bool),
    /// The directory of threads.
    Tasks,
}

struct Row {
    name: &'static str,
    what: What,
    mode: u32,
}

impl Row {
    fn is_tasks(&self) -> bool {
        matches!(self.what, What::Tasks)
    }
}

const fn text(name: &'static str, mode: u32, make: MakeText) -> Row {
    Row { name, what: What::Text(make), mode }
}

/// Names below /proc/PID. A file that can be written takes anything and forgets it, but `comm`.
const ROWS: &[Row] = &[
    Row { name: "fd", what: What::Fds(false), mode: 0o500 },
    Row { name: "fdinfo", what: What::Fds(true), mode: 0o555 },
    Row { name: "task", what: What::Tasks, mode: 0o555 },
    Row { name: "exe", what: What::Link(|k, pid| k.process(pid).exe.clone()), mode: 0o777 },
    Row { name: "cwd", what: What::Link(|k, pid| path_of(k, k.process(pid).cwd)), mode: 0o777 },
    Row { name: "root", what: What::Link(|_, _| b"/".to_vec()), mode: 0o777 },
    text("cmdline", 0o444, proc_text::cmdline),
    text("environ", 0o400, proc_text::environ),
    text("comm", 0o644, proc_text::comm),
    text("stat", 0o444, proc_text::stat),
    text("statm", 0o444, proc_text::statm),
    text("status", 0o444, proc_text::status),
    text("maps", 0o444, proc_text::maps),
    text("limits", 0o444, proc_text::limits),
    text("mounts", 0o444, proc_text::mounts),
    text("mountinfo", 0o444, proc_text::mountinfo),
    text("cgroup", 0o444, |_, _, _, _| Ok(b"0::/\n".to_vec())),
    text("oom_score", 0o444, |_, _, _, _| Ok(b"0\n".to_vec())),
    text("oom_score_adj", 0o644, |_, _, _, _| Ok(b"0\n".to_vec())),
    text("oom_adj", 0o644, |_, _, _, _| Ok(b"0\n".to_vec())),
    text("coredump_filter", 0o644, |_, _, _, _| Ok(b"00000033\n".to_vec())),
    text("loginuid", 0o644, |_, _, _, _| Ok(b"4294967295".to_vec())),
    text("sessionid", 0o444, |_, _, _, _| Ok(b"4294967295".to_vec())),
    text("timerslack_ns", 0o666, |_, _, _, _| Ok(b"50000\n".to_vec())),
    text("wchan", 0o444, |_, _, _, _| Ok(b"0".to_vec())),
    text("schedstat", 0o444, |_, _, _, _| Ok(b"0 0 0\n".to_vec())),
    text("personality", 0o400, |_, _, _, _| Ok(b"00040000\n".to_vec())),
    text("io", 0o400, proc_text::io),
    text("uid_map", 0o644, |_, _, _, _| Ok(b"         0          0 4294967295\n".to_vec())),
    text("gid_map", 0o644, |_, _, _, _| Ok(b"         0          0 4294967295\n".to_vec())),
    text("setgroups", 0o644, |_, _, _, _| Ok(b"allow\n".to_vec())),
];

/// Names of /proc itself that the model answers; the host's are added to them.
const TOP: &[(&str, Key)] = &[("self", Key::SelfLink), ("thread-self", Key::ThreadSelf), ("mounts", Key::MountsLink)];

/// Files of the host that block, or show the host's own memory.
const DENIED: &[&[u8]] = &[b"/proc/kmsg", b"/proc/kcore", b"/proc/sysrq-trigger"];

/// Directory of /proc that the group does not have.
const SYSVIPC: &[u8] = b"sysvipc";

impl Key {
    /// File type.
    pub fn kind(self) -> Kind {
        match self {
            Key::Root | Key::Process(..) => Kind::Directory,
            Key::SelfLink | Key::ThreadSelf | Key::MountsLink | Key::Fd(_, _, false) => Kind::Symlink,
            Key::Fd(_, _, true) => Kind::Regular,
            Key::Entry(_, _, row) => match ROWS[row].what {
                What::Text(_) => Kind::Regular,
                What::Link(_) => Kind::Symlink,
                What::Fds(_) | What::Tasks => Kind::Directory,
            },
        }
    }

    fn pid(self) -> Option<Pid> {
        match self {
            Key::Process(pid, _) | Key::Entry(pid, _, _) | Key::Fd(pid, _, _) => Some(pid),
            _ => None,
        }
    }
}

/// Permission bits and owner.
pub fn access(k: &Kernel, key: Key) -> (u32, u32, u32) {
    let owner = key.pid().and_then(|pid| k.processes.get(&pid)).map(|p| (p.creds.uid[1], p.creds.gid[1]));
    let (uid, gid) = owner.unwrap_or_default();
    let mode = match key {
        Key::Root | Key::Process(..) => 0o555,
        Key::SelfLink | Key::ThreadSelf | Key::MountsLink => 0o777,
        Key::Entry(_, _, row) => ROWS[row].mode,
        Key::Fd(_, _, true) => 0o444,
        Key::Fd(pid, fd, false) => match k.processes.get(&pid).and_then(|p| p.fds.get(fd).ok()) {
            Some(d) => {
                let file = k.file(d.file);
                0o100 | if file.readable() { 0o400 } else { 0 } | if file.writable() { 0o200 } else { 0 }
            }
            None => 0o700,
        },
    };
    (mode, uid, gid)
}

/// The inode of a key, made on first use.
fn inode_for(k: &mut Kernel, key: Key) -> InodeId {
    if let Some(&id) = k.fs.procs.get(&key) {
        return id;
    }
    let id = InodeId(k.fresh_id());
    let now = k.fs_time();
    let nlink = if key.kind() == Kind::Directory { 2 } else { 1 };
    let inode = Inode { dev: DEV_PROC, nlink, changed: now, modified: now, ..Inode::new(Node::Proc(key), 0) };
    k.fs.inodes.insert(id, inode);
    k.fs.procs.insert(key, id);
    id
}

/// Forgets what was made for a process that is gone, but what is still open.
pub fn forget(k: &mut Kernel, pid: Pid) {
    let keys: Vec<(Key, InodeId)> =
        k.fs.procs.iter().filter(|(key, _)| key.pid() == Some(pid)).map(|(&key, &id)| (key, id)).collect();
    for (key, id) in keys {
        let held = k.files.values().any(|f| f.object == Object::Inode(id)) || k.processes.values().any(|p| p.cwd == id);
        let sourced = k.fs.inodes.values().any(|i| matches!(i.node, Node::Snapshot { source, .. } if source == id));
        if !held && !sourced {
            k.fs.procs.remove(&key);
            k.fs.inodes.remove(&id);
        }
    }
}

fn number(name: &[u8]) -> Option<i32> {
    let text = std::str::from_utf8(name).ok()?;
    let n: i32 = text.parse().ok()?;
    (n >= 0 && n.to_string() == text).then_some(n)
}

/// A name in a directory of /proc.
pub fn lookup(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dir: Key, name: &[u8]) -> Result<Option<InodeId>, Fail> {
    let key = match dir {
        Key::Root => match TOP.iter().find(|(n, _)| n.as_bytes() == name) {
            Some((_, key)) => Some(*key),
            // The host's objects are not the group's; who does not find the files asks shmctl and semctl.
            None if name == SYSVIPC => return Ok(None),
            None if name == b"net" => return look_volatile(k, cx, b"/proc/self/net"),
            None => match number(name) {
                Some(n) if k.processes.contains_key(&Pid(n)) => Some(Key::Process(Pid(n), Tid(0))),
                Some(n) => k.threads.get(&Tid(n)).map(|t| Key::Process(t.pid, Tid(0))),
                None => return look_volatile(k, cx, &host::join(b"/proc", name)),
            },
        },
        Key::Process(pid, tid) if k.processes.contains_key(&pid) => {
            let row = ROWS.iter().position(|r| r.name.as_bytes() == name);
            row.filter(|&r| !ROWS[r].is_tasks() || tid == Tid(0)).map(|r| Key::Entry(pid, tid, r))
        }
        Key::Entry(pid, _, row) if k.processes.contains_key(&pid) => match ROWS[row].what {
            What::Fds(info) => {
                number(name).filter(|&fd| k.process(pid).fds.get(fd).is_ok()).map(|fd| Key::Fd(pid, fd, info))
            }
            What::Tasks => number(name)
                .filter(|&n| k.threads.get(&Tid(n)).is_some_and(|t| t.pid == pid))
                .map(|n| Key::Process(pid, Tid(n))),
            _ => return fail(libc::ENOTDIR),
        },
        _ => None,
    };
    Ok(key.map(|key| inode_for(k, key)))
}

/// A path of the host's /proc or /sys, as it is now.
pub fn look_volatile(k: &mut Kernel, cx: &mut Ctx<'_, '_>, at: &[u8]) -> Result<Option<InodeId>, Fail> {
    let seen = match host::look(k, cx, at)? {
        host::Look::Missing => return Ok(None),
        host::Look::Failed(e) => return fail(e),
        host::Look::Found(seen) => seen,
    };
    let id = match k.fs.volatiles.get(at) {
        Some(&id) => id,
        None => {
            let id = InodeId(k.fresh_id());
            let dev = if at.starts_with(b"/sys") { DEV_SYS } else { DEV_PROC };
            let inode = Inode { dev, ..Inode::new(Node::Volatile(at.to_vec(), seen.kind), seen.mode) };
            k.fs.inodes.insert(id, inode);
            k.fs.volatiles.insert(at.to_vec(), id);
            id
        }
    };
    let now = k.fs_time();
    let inode = k.fs.inode_mut(id);
    inode.node = Node::Volatile(at.to_vec(), seen.kind);
    (inode.mode, inode.uid, inode.gid, inode.nlink) = (seen.mode, seen.uid, seen.gid, seen.nlink);
    (inode.modified, inode.changed, inode.accessed) = (now, now, now);
    Ok(Some(id))
}

/// The open file that a link of /proc/PID/fd leads to.
pub fn open_file(k: &Kernel, key: Key) -> Option<FileId> {
    match key {
        Key::Fd(pid, fd, false) => k.processes.get(&pid)?.fds.get(fd).ok().map(|d| d.file),
        _ => None,
    }
}

/// What readlink answers for a link of /proc.
pub fn link_text(k: &Kernel, cx: &Ctx<'_, '_>, key: Key) -> Result<Vec<u8>, Fail> {
    match key {
        Key::SelfLink => Ok(cx.pid.0.to_string().into_bytes()),
        Key::ThreadSelf => Ok(format!("{}/task/{}", cx.pid.0, cx.tid.0).into_bytes()),
        Key::MountsLink => Ok(b"self/mounts".to_vec()),
        Key::Fd(_, _, false) => match open_file(k, key) {
            Some(file) => Ok(file_text(k, file)),
            None => fail(libc::ENOENT),
        },
        Key::Entry(pid, _, row) => match ROWS[row].what {
            What::Link(make) if k.processes.get(&pid).is_some_and(|p| p.zombie.is_none()) => Ok(make(k, pid)),
            What::Link(_) => fail(libc::ENOENT),
            _ => fail(libc::EINVAL),
        },
        _ => fail(libc::EINVAL),
    }
}

/// The name of an open file as /proc/PID/fd shows it.
fn file_text(k: &Kernel, file: FileId) -> Vec<u8> {
    let number = crate::object::id(k, file).map_or(file.0, |id| id.0) + 2;
    match k.file(file).object {
        Object::Inode(id) => match k.fs.inode(id).node {
            Node::Snapshot { source, .. } => path_of(k, source),
            _ => path_of(k, id),
        },
        Object::Pipe(..) => format!("pipe:[{number}]").into_bytes(),
        // A terminal has a name that isatty's callers expect, but nothing can be opened under it.
        Object::Stdio(id) if k.objects.stdio[&id].description.termios.is_some() => b"/dev/pts/0".to_vec(),
        Object::Stdio(_) => format!("pipe:[{number}]").into_bytes(),
        Object::Pty(id, pty::Side::Slave) => k.objects.ptys[&id].name().into_bytes(),
        Object::Pty(..) => b"/dev/ptmx".to_vec(),
        Object::Socket(_) => format!("socket:[{number}]").into_bytes(),
        Object::Event(_) => b"anon_inode:[eventfd]".to_vec(),
        Object::Timer(_) => b"anon_inode:[timerfd]".to_vec(),
        Object::Signals(_) => b"anon_inode:[signalfd]".to_vec(),
        Object::Epoll(_) => b"anon_inode:[eventpoll]".to_vec(),
    }
}

/// Names of a directory of /proc from a place on. Numbers (processes, threads, descriptors) keep their place while others come and go.
pub fn list(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dir: Key, from: u64) -> Result<Vec<Entry>, Fail> {
    /// Places of numbers begin here, above all names.
    const NUMBERS: u64 = 1 << 32;
    let mut names: Vec<(u64, Vec<u8>, Kind)> = Vec::new();
    let numbers: Vec<(i32, Kind)> = match dir {
        Key::Root => {
            names.extend(TOP.iter().enumerate().map(|(i, (n, key))| (i as u64, n.as_bytes().to_vec(), key.kind())));
            let hosts = if from < NUMBERS { host::names(k, cx, b"/proc")? } else { Vec::new() };
            for (i, host::Named { name, d_type, .. }) in hosts.into_iter().enumerate() {
                let made_up = number(&name).is_some() || TOP.iter().any(|(n, _)| n.as_bytes() == name);
                if !made_up && name != SYSVIPC {
                    let kind = Kind::of_mode(u32::from(d_type) << 12).unwrap_or(Kind::Regular);
                    names.push(((i + TOP.len()) as u64, name, kind));
                }
            }
            k.processes.keys().map(|pid| (pid.0, Kind::Directory)).collect()
        }
        Key::Process(_, tid) => {
            for (i, row) in ROWS.iter().enumerate() {
                if !row.is_tasks() || tid == Tid(0) {
                    names.push((i as u64, row.name.as_bytes().to_vec(), Key::Entry(Pid(0), tid, i).kind()));
                }
            }
            Vec::new()
        }
        Key::Entry(pid, _, row) => match ROWS[row].what {
            What::Fds(info) => {
                let kind = Key::Fd(pid, 0, info).kind();
                k.processes.get(&pid).map(|p| p.fds.iter().map(|(fd, _)| (fd, kind)).collect()).unwrap_or_default()
            }
            What::Tasks => k.threads.values().filter(|t| t.pid == pid).map(|t| (t.tid.0, Kind::Directory)).collect(),
            _ => return fail(libc::ENOTDIR),
        },
        _ => return fail(libc::ENOTDIR),
    };
    for (n, kind) in numbers {
        names.push((NUMBERS + n as u64, n.to_string().into_bytes(), kind));
    }
    let place = from.saturating_sub(2);
    let entries = names.into_iter().filter(|(at, _, _)| *at >= place).map(|(at, name, kind)| Entry {
        next: at + 3,
        ino: gapless_log::hash(&[&at.to_le_bytes()[..], &name].concat()) as u64 | 1,
        d_type: kind.d_type(),
        name,
    });
    Ok(entries.collect())
}

/// The text of something of /proc or /sys now.
fn generate(k: &Kernel, cx: &mut Ctx<'_, '_>, source: InodeId) -> Result<Vec<u8>, Fail> {
    match &k.fs.inode(source).node {
        Node::Volatile(at, _) if DENIED.contains(&at.as_slice()) || at.ends_with(b"trace_pipe") => fail(libc::EPERM),
        Node::Volatile(at, _) => {
            let at = at.clone();
            host::read_volatile(k, cx, &at)
        }
        Node::Proc(Key::Fd(pid, fd, true)) => proc_text::fdinfo(k, *pid, *fd),
        Node::Proc(Key::Entry(pid, tid, row)) => match ROWS[*row].what {
            What::Text(_) if !k.processes.contains_key(pid) => fail(libc::ESRCH),
            What::Text(make) => make(k, cx, *pid, *tid),
            _ => fail(libc::EINVAL),
        },
        _ => fail(libc::EINVAL),
    }
}

/// Opens a file of /proc or /sys: its text is taken now, and again whenever it is read from the start once more.
pub fn open(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: InodeId, flags: i32, writes: bool) -> Result<FileId, Fail> {
    let source = match k.fs.inode(id).node {
        Node::Snapshot { source, .. } => source,
        _ => id,
    };
    if writes && matches!(k.fs.inode(source).node, Node::Volatile(..)) {
        return fail(libc::EACCES);
    }
    let reads = flags & libc::O_ACCMODE != libc::O_WRONLY;
    let bytes = if reads { generate(k, cx, source)? } else { Vec::new() };
    let snapshot = InodeId(k.fresh_id());
    let node = Node::Snapshot { source, bytes, served: false };
    let inode = Inode { nlink: 0, dev: DEV_PROC, place: Some((ROOT, b"proc".to_vec())), ..Inode::new(node, 0o444) };
    k.fs.inodes.insert(snapshot, inode);
    Ok(k.open(Object::Inode(snapshot), flags))
}

/// Reads an open file of /proc or /sys.
pub fn read_snapshot(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    id: InodeId,
    offset: u64,
    max: usize,
) -> Result<Vec<u8>, Fail> {
    let Node::Snapshot { source, bytes, served } = &k.fs.inode(id).node else { return fail(libc::EINVAL) };
    let mut text = None;
    if offset == 0 && *served {
        let source = *source;
        text = Some(generate(k, cx, source)?);
    } else {
        let start = bytes.len().min(offset as usize);
        let out = bytes[start..bytes.len().min(start.saturating_add(max))].to_vec();
        if *served || max == 0 {
            return Ok(out);
        }
    }
    let Node::Snapshot { bytes, served, .. } = &mut k.fs.inode_mut(id).node else { return fail(libc::EINVAL) };
    *served = true;
    if let Some(text) = text {
        *bytes = text;
    }
    let start = bytes.len().min(offset as usize);
    Ok(bytes[start..bytes.len().min(start.saturating_add(max))].to_vec())
}

/// Writes to a file of /proc: accepted and without effect, but for a thread's name.
pub fn write(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: InodeId, bytes: &[u8]) -> Result<usize, Fail> {
    let Node::Snapshot { source, .. } = k.fs.inode(id).node else { return fail(libc::EINVAL) };
    let Node::Proc(Key::Entry(pid, tid, row)) = k.fs.inode(source).node else { return fail(libc::EACCES) };
    if ROWS[row].name == "comm" {
        const NAME_MAX: usize = 15;
        let tid = if tid == Tid(0) { Tid(pid.0) } else { tid };
        if pid != cx.pid {
            return fail(libc::EINVAL);
        }
        if let Some(thread) = k.threads.get_mut(&tid) {
            let end = bytes.iter().position(|&b| b == 0 || b == b'\n').unwrap_or(bytes.len());
            thread.name = bytes[..end.min(NAME_MAX)].to_vec();
        }
    }
    Ok(bytes.len())
}
