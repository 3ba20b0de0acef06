//! Calls on paths in the lane: which are laid out, and for how long.
//!
//! The rule it keeps: what is laid out was computed **by a look at the model alone** ([`fs::resolve_known`]) that asked nothing and changed nothing, and it
//! goes as soon as anything that it was computed from changes. So what is laid out shapes nothing but speed, and that a call was answered changes nothing in
//! the model, but for the descriptor that an open makes.
//!
//! A call is laid out when it has stopped for the second time, and when it follows from others: when a program makes one call on the names of a directory in
//! order, it is laid out for the next ones.

use crate::fs::{self, Child, InodeId, Kind, Last, Node, path};
use crate::kernel::{Call, Credentials, Ctx, Errno, Fail, FileId, Kernel, Outcome, Pid, Process, fail};
use crate::run::lane;
use crate::syscalls;
use crate::tracee::lane::{FDS_MAX, Lane, ReadFile, Record};
use crate::tracee::names::{Owners, PathAnswer, PathCall};
use gapless_log::{Digest, chain};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Entries at once; when there are as many, all go.
const ENTRIES_MAX: usize = 4096;
/// Calls that are remembered to have stopped; when there are as many, all are forgotten.
const ASKED_MAX: usize = 4096;
/// Ways through directories that are remembered; when there are as many, all are forgotten, and all strides.
const WAYS_MAX: usize = 1024;
/// Names of a directory that are laid out at once: 2, and then four times as many each time up to this.
const AHEAD_MAX: usize = 64;
/// Processes, and pairs of directory and user, that own entries at once; when there are as many, all entries go.
const OWNED_MAX: usize = 256;
/// Owns what is laid out no more.
const NOBODY: u32 = 0;
/// Owners have numbers below this.
const OWNERS_MAX: u32 = 1 << 22;
/// Opens that change nothing but the descriptors, and need nothing but reading.
const OPEN_FLAGS: i32 = libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_NOFOLLOW | O_LARGEFILE;
/// What the call has for it; the library's constant is 0.
const O_LARGEFILE: i32 = 0o100_000;
/// Of newfstatat and statx. Their other flags mean something else.
const STAT_FLAGS: i32 = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT | libc::AT_EMPTY_PATH;

/// A call that takes a path: its number, and which arguments are the directory and the flags.
struct Row {
    nr: i64,
    dirfd: Option<usize>,
    flags: Option<usize>,
}

const ROWS: [Row; 9] = [
    Row { nr: libc::SYS_openat, dirfd: Some(0), flags: Some(2) },
    Row { nr: libc::SYS_open, dirfd: None, flags: Some(1) },
    Row { nr: libc::SYS_newfstatat, dirfd: Some(0), flags: Some(3) },
    Row { nr: libc::SYS_stat, dirfd: None, flags: None },
    Row { nr: libc::SYS_lstat, dirfd: None, flags: None },
    Row { nr: libc::SYS_statx, dirfd: Some(0), flags: Some(2) },
    Row { nr: libc::SYS_access, dirfd: None, flags: Some(1) },
    Row { nr: libc::SYS_readlink, dirfd: None, flags: None },
    Row { nr: libc::SYS_readlinkat, dirfd: Some(0), flags: None },
];

fn row(nr: u64) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.nr as u64 == nr)
}

/// Is this the number of a call on a path that the lane can answer?
pub fn takes(nr: u64) -> bool {
    row(nr).is_some()
}

/// Does a call with this number make a descriptor?
pub fn opens(nr: u32) -> bool {
    matches!(i64::from(nr), libc::SYS_open | libc::SYS_openat)
}

/// What is laid out, and what may be.
#[derive(Debug, Default)]
pub struct Names {
    /// By their number less one.
    entries: Vec<Entry>,
    /// Entries that depend on an inode.
    on: BTreeMap<InodeId, Vec<u32>>,
    /// Owners of entries whose paths begin at the root or at a current directory: directory, user, number.
    places: Vec<(InodeId, Credentials, u32)>,
    /// Owners of the others.
    tables: BTreeMap<Pid, Table>,
    last_owner: u32,
    /// Hashes of calls that have stopped.
    asked: BTreeSet<u64>,
    /// Ways of programs through directories, by a hash of the call without the last name.
    ways: BTreeMap<u64, Way>,
    /// Names that the last way of a process with a call of this number and flags had laid out at once: the next one begins with as many.
    strides: BTreeMap<(Pid, u32, u32), usize>,
    /// Calls that have stopped, to be laid out before their process runs on: the same again, or what follows.
    due: Vec<(Pid, PathCall, Due)>,
}

#[derive(Debug)]
enum Due {
    /// The same.
    Again,
    /// Those that follow on this way.
    Next(u64),
}

#[derive(Debug)]
struct Entry {
    owner: u32,
    call: PathCall,
    /// Where it lies in the lane.
    place: u32,
    /// What it may return.
    results: RangeInclusive<i64>,
    /// What it opens, if it does.
    opens: Option<InodeId>,
}

/// A process, as long as none of the directories changes that its calls have named by their descriptor.
#[derive(Debug)]
struct Table {
    owner: u32,
    creds: Credentials,
    dirs: BTreeMap<i32, FileId>,
}

impl Table {
    fn is(&self, process: &Process) -> bool {
        let same = |(&fd, &file): (&i32, &FileId)| process.fds.get(fd).is_ok_and(|d| d.file == file);
        self.creds == process.creds && self.dirs.iter().all(same)
    }
}

/// How far somebody has come with one call through the names of a directory.
#[derive(Debug, Default)]
struct Way {
    /// The last name that stopped.
    stopped: Vec<u8>,
    /// The last one that was laid out then, or that one.
    last: Vec<u8>,
    /// Names laid out at once.
    ahead: usize,
}

/// A path before its last name, and that.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    path.split_at(path.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1))
}

fn hash(pid: Option<Pid>, call: &PathCall, path: &[u8]) -> u64 {
    let pid = pid.map_or(0, |pid| pid.0 as u32);
    let words = [pid, call.nr, call.dirfd as u32, call.flags].map(u32::to_le_bytes).concat();
    chain(0, &[&words, path]) as u64
}

/// A call has stopped and been carried out.
pub fn stopped(k: &mut Kernel, cx: &Ctx<'_, '_>, call: &Call) {
    let Some(row) = row(call.nr).filter(|_| !cx.path.is_empty()) else { return };
    let argument = |index: usize| call.args[index] as u32;
    let call = PathCall {
        nr: call.nr as u32,
        dirfd: row.dirfd.map_or(libc::AT_FDCWD, |index| argument(index) as i32),
        flags: row.flags.map_or(0, argument),
        path: cx.path.clone(),
    };
    let names = &mut k.names;
    if names.asked.len() == ASKED_MAX {
        names.asked.clear();
    }
    let again = !names.asked.insert(hash(None, &call, &call.path));
    let (above, name) = split(&call.path);
    let way = hash(Some(cx.pid), &call, above);
    let goes_on = names.ways.get(&way).is_some_and(|way| way.stopped.as_slice() < name);
    let ahead = names.strides.get(&(cx.pid, call.nr, call.flags)).copied().unwrap_or(0);
    if !goes_on {
        if names.ways.len() == WAYS_MAX {
            names.ways.clear();
            names.strides.clear();
        }
        // Whoever went through the directory before may go through this one from its beginning.
        let before = if ahead > 0 { Vec::new() } else { name.to_vec() };
        names.ways.insert(way, Way { stopped: before.clone(), last: before, ahead });
    }
    if goes_on || ahead > 0 {
        names.due.push((cx.pid, call.clone(), Due::Next(way)));
    }
    if again {
        names.due.push((cx.pid, call, Due::Again));
    }
}

/// For whom is laid out, and where.
struct Laying<'a> {
    k: &'a Kernel,
    lane: &'a mut Lane,
    pid: Pid,
    owners: Owners,
    touched: &'a BTreeSet<InodeId>,
}

impl Names {
    /// Forgets what does not hold any more, lays out what is due for a process that is about to run, and answers whose entries hold for it. What has been
    /// `touched`, or may be by what is laid out else, is told of by no entry.
    pub fn lay_out(&mut self, k: &Kernel, lane: &mut Lane, process: &Process, touched: &BTreeSet<InodeId>) -> Owners {
        if self.entries.is_empty() && self.due.is_empty() {
            return Owners::default();
        }
        let owned = self.tables.len().max(self.places.len());
        let full = self.entries.len() >= ENTRIES_MAX || owned >= OWNED_MAX || self.last_owner >= OWNERS_MAX;
        if full || !lane.has_room_for_names() {
            lane.clear_names();
            self.entries.clear();
            self.on.clear();
            self.places.clear();
            self.tables.clear();
            self.last_owner = NOBODY;
        }
        for number in touched.iter().filter_map(|id| self.on.remove(id)).flatten() {
            let entry = &mut self.entries[number as usize];
            lane.remove_name(entry.place);
            entry.owner = NOBODY;
        }
        let owners = self.owners(process);
        let mut laying = Laying { k, lane, pid: process.pid, owners, touched };
        for (_, call, due) in self.due.extract_if(.., |(of, ..)| *of == process.pid).collect::<Vec<_>>() {
            match due {
                Due::Again => answer(k, process.pid, &call).and_then(|known| self.add(&mut laying, call, known)),
                Due::Next(way) => self.add_next(&mut laying, call, way),
            };
        }
        self.due.retain(|(of, ..)| k.processes.contains_key(of));
        owners
    }

    /// The numbers of a process as an owner: another one if it is not as it was.
    fn owners(&mut self, process: &Process) -> Owners {
        let place = self.places.iter().find(|(cwd, creds, _)| *cwd == process.cwd && *creds == process.creds);
        let paths = place.map(|place| place.2).unwrap_or_else(|| {
            self.last_owner += 1;
            self.places.push((process.cwd, process.creds.clone(), self.last_owner));
            self.last_owner
        });
        let below = match self.tables.get(&process.pid) {
            Some(table) if table.is(process) => table.owner,
            _ => {
                self.last_owner += 1;
                let (owner, creds) = (self.last_owner, process.creds.clone());
                self.tables.insert(process.pid, Table { owner, creds, dirs: BTreeMap::new() });
                owner
            }
        };
        Owners { paths, below }
    }

    /// Was this entry laid out for a process as it is?
    fn owns(&self, process: &Process, entry: &Entry) -> bool {
        if entry.call.is_below() {
            return self.tables.get(&process.pid).is_some_and(|table| table.owner == entry.owner);
        }
        let mut places = self.places.iter().filter(|(.., owner)| *owner == entry.owner);
        places.any(|(cwd, creds, _)| *cwd == process.cwd && *creds == process.creds)
    }

    /// Lays out a call of which it is known what it comes to.
    fn add(&mut self, laying: &mut Laying<'_>, call: PathCall, known: Known<'_>) -> Option<()> {
        let &mut Laying { pid, owners, touched, .. } = laying;
        if known.on.iter().any(|id| touched.contains(id)) {
            return None;
        }
        let owner = if call.is_below() { owners.below } else { owners.paths };
        let number = self.entries.len() as u32;
        let place = laying.lane.add_name(owner, &call, number + 1, &known.answer)?;
        if let Some((fd, file)) = known.dir {
            self.tables.get_mut(&pid).expect("its owner was asked for").dirs.insert(fd, file);
        }
        for id in known.on {
            self.on.entry(id).or_default().push(number);
        }
        let results = results(&known.answer);
        self.entries.push(Entry { owner, call, place, results, opens: known.opens });
        Some(())
    }

    /// A call has stopped on a name that comes after others: if it is the next one of its directory, lays out those that follow.
    fn add_next(&mut self, laying: &mut Laying<'_>, call: PathCall, way: u64) -> Option<()> {
        let Laying { k, pid, touched, .. } = *laying;
        last_name(&call)?;
        let (above, name) = split(&call.path);
        let way = self.ways.get_mut(&way)?;
        way.stopped = name.to_vec();
        let last = std::mem::replace(&mut way.last, name.to_vec());
        let from = if above.is_empty() { b"." } else { above };
        let fs::Walked { found, through: mut on_all } = fs::resolve_known(k, pid, call.dirfd, from, Last::Follow)?;
        let at = found.ok()?.inode?;
        let dir = k.fs.inode(at).dir()?;
        on_all.push(at);
        // What was laid out may have gone before it was used.
        let is_lost = name <= last.as_slice();
        let is_next = dir.after(&last).find(|(_, child)| *child != Child::Absent).is_some_and(|(next, _)| next == name);
        way.ahead = match (is_lost, is_next) {
            (true, _) => way.ahead,
            (false, true) => (way.ahead * 4).clamp(2, AHEAD_MAX),
            (false, false) => 0,
        };
        if way.ahead > 0 {
            self.strides.insert((pid, call.nr, call.flags), way.ahead);
        }
        let present = dir.after(name).filter_map(|(name, child)| match child {
            Child::Present(id) => Some((name, id)),
            _ => None,
        });
        let next: Vec<(&[u8], InodeId)> = present.take(way.ahead).collect();
        way.last = next.last()?.0.to_vec();
        if on_all.iter().any(|id| touched.contains(id)) {
            return None;
        }
        let first = self.entries.len() as u32;
        for (name, id) in next {
            let call = PathCall { path: [above, name].concat(), ..call };
            let known = match fs::leads_to(k, pid, at, name, id) {
                true => answer_at(k, pid, &call, Ok(id), vec![id]),
                false => answer(k, pid, &call),
            };
            if known.and_then(|known| self.add(laying, call, known)).is_none() {
                break;
            }
        }
        let added = first..self.entries.len() as u32;
        for id in on_all {
            self.on.entry(id).or_default().extend(added.clone());
        }
        Some(())
    }
}

/// What the model knows a call to come to.
struct Known<'a> {
    answer: PathAnswer<'a>,
    /// What its path leads through, and to.
    on: Vec<InodeId>,
    /// The directory that it names by a descriptor.
    dir: Option<(i32, FileId)>,
    /// The file that it opens.
    opens: Option<InodeId>,
}

/// Results that a call with this answer can have.
fn results(answer: &PathAnswer<'_>) -> RangeInclusive<i64> {
    match answer {
        PathAnswer::Opens(_) => 0..=FDS_MAX as i64,
        PathAnswer::Tells(_) => 0..=0,
        PathAnswer::Counts(bytes) => 1..=bytes.len() as i64,
        PathAnswer::OpenFails(errno) | PathAnswer::Fails(errno) => -i64::from(*errno)..=-i64::from(*errno),
    }
}

/// What a call does with a link at the end of its path; `None` if it has flags of which nothing is told.
fn last_name(call: &PathCall) -> Option<Last> {
    let flags = call.flags as i32;
    let (known_flags, last) = match i64::from(call.nr) {
        libc::SYS_open | libc::SYS_openat if flags & libc::O_NOFOLLOW != 0 => (OPEN_FLAGS, Last::NoFollow),
        libc::SYS_open | libc::SYS_openat => (OPEN_FLAGS, Last::Follow),
        libc::SYS_newfstatat | libc::SYS_statx if flags & libc::AT_SYMLINK_NOFOLLOW != 0 => {
            (STAT_FLAGS, Last::NoFollow)
        }
        libc::SYS_newfstatat | libc::SYS_statx => (STAT_FLAGS, Last::Follow),
        libc::SYS_access => (libc::R_OK | libc::W_OK | libc::X_OK, Last::Follow),
        libc::SYS_stat => (0, Last::Follow),
        _ => (0, Last::NoFollow),
    };
    (flags & !known_flags == 0).then_some(last)
}

/// What a call of a process comes to, if that can be told by a look at the model alone.
fn answer<'a>(k: &'a Kernel, pid: Pid, call: &PathCall) -> Option<Known<'a>> {
    let fs::Walked { found, through: mut on } = fs::resolve_known(k, pid, call.dirfd, &call.path, last_name(call)?)?;
    on.extend(found.as_ref().ok().and_then(|found| found.inode));
    answer_at(k, pid, call, found.and_then(|found| found.existing(k)), on)
}

/// The same when it is known what its path leads to.
fn answer_at<'a>(
    k: &'a Kernel,
    pid: Pid,
    call: &PathCall,
    found: Result<InodeId, Fail>,
    on: Vec<InodeId>,
) -> Option<Known<'a>> {
    let dir = if call.is_below() { Some((call.dirfd, directory(k, pid, call.dirfd)?)) } else { None };
    let (opens, answer) = match found.and_then(|id| Ok((id, of_inode(k, pid, call, id)?))) {
        Ok((id, answer)) => (opens(call.nr).then_some(id), answer?),
        Err(Fail::Errno(Errno(errno))) if opens(call.nr) => (None, PathAnswer::OpenFails(errno)),
        Err(Fail::Errno(Errno(errno))) => (None, PathAnswer::Fails(errno)),
        Err(Fail::Fatal(_)) => return None,
    };
    Some(Known { answer, on, dir, opens })
}

/// The open directory behind a descriptor. Of anything else nothing is told: a file may be closed in the process, and then its number means nothing.
fn directory(k: &Kernel, pid: Pid, fd: i32) -> Option<FileId> {
    let file = k.file_of(pid, fd).ok()?;
    path::base(k, pid, fd).is_ok().then_some(file)
}

/// The same when its path leads here. `None` if that cannot be told.
fn of_inode<'a>(k: &'a Kernel, pid: Pid, call: &PathCall, id: InodeId) -> Result<Option<PathAnswer<'a>>, Fail> {
    let inode = k.fs.inode(id);
    Ok(match i64::from(call.nr) {
        libc::SYS_open | libc::SYS_openat => match inode.kind() {
            Kind::Symlink => return fail(libc::ELOOP),
            Kind::Regular => {
                path::may(k, pid, id, path::READ)?;
                lane::small_file(k, id)
                    .map(|content| PathAnswer::Opens(ReadFile { content, offset: 0, stat: fs::stat(k, id) }))
            }
            _ => None,
        },
        libc::SYS_access if syscalls::path::may_really(k, pid, id, call.flags) => Some(PathAnswer::Tells(Vec::new())),
        libc::SYS_access => return fail(libc::EACCES),
        libc::SYS_readlink | libc::SYS_readlinkat => match &inode.node {
            Node::Symlink(to) => Some(PathAnswer::Counts(to)),
            _ => return fail(libc::EINVAL),
        },
        libc::SYS_statx => Some(PathAnswer::Tells(fs::statx(k, id).to_vec())),
        _ => Some(PathAnswer::Tells(fs::stat(k, id).to_vec())),
    })
}

/// Carries over a call that an entry has answered: its result, and the hash of what it read. `None` if entry and model do not fit it.
pub fn carry_over(k: &mut Kernel, cx: &mut Ctx<'_, '_>, record: &Record<'_>) -> Result<Option<(i64, Digest)>, Fail> {
    let ret = i64::from((record.value >> 32) as i32);
    let number = (record.value as u32 as usize).wrapping_sub(1);
    let process = k.process(cx.pid);
    let Some(entry) = k.names.entries.get(number).filter(|entry| k.names.owns(process, entry)) else { return Ok(None) };
    let by_descriptor = row(record.nr.into()).is_some_and(|row| row.dirfd.is_some());
    let same = entry.call.nr == record.nr && (!by_descriptor || entry.call.dirfd as u32 == record.arg);
    if !same || !entry.results.contains(&ret) {
        return Ok(None);
    }
    let bytes_in = chain(0, &[&entry.call.path]);
    // A content may have left the model's memory since, for its file.
    debug_assert!(
        answer(k, cx.pid, &entry.call)
            .is_none_or(|known| results(&known.answer) == entry.results && known.opens == entry.opens),
        "{:?} was answered with what is not so",
        entry.call
    );
    let Some(id) = entry.opens else { return Ok(Some((ret, bytes_in))) };
    let flags = entry.call.flags as i32;
    let done = match syscalls::path::open_inode(k, cx, id, flags) {
        Ok(Outcome::Done(fd)) => fd as i64,
        Err(Fail::Errno(Errno(errno))) => -i64::from(errno),
        Err(fatal) => return Err(fatal),
        Ok(_) => return Ok(None),
    };
    Ok((done == ret).then_some((ret, bytes_in)))
}
