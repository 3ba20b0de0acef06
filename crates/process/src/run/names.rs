//! Calls on paths in the lane: which are laid out, and for how long.
//!
//! The rule it keeps: what is laid out was computed **by a look at the model alone** ([`fs::resolve_known`]) that asked nothing and changed nothing, and it
//! goes as soon as anything that it was computed from changes. So what is laid out shapes nothing but speed, and that a call was answered changes nothing in
//! the model, but for the descriptor that an open makes.
//!
//! A call is laid out when it has stopped for the second time.

use crate::fs::{self, InodeId, Kind, Last, Node, path};
use crate::kernel::{Call, Credentials, Ctx, Errno, Fail, FileId, Kernel, Outcome, Pid, Process, fail};
use crate::run::lane;
use crate::syscalls;
use crate::tracee::lane::{FDS_MAX, Lane, ReadFile, Record};
use crate::tracee::names::{PathAnswer, PathCall};
use gapless_log::{Digest, chain};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Entries at once; when there are as many, all go.
const ENTRIES_MAX: usize = 4096;
/// Calls that are remembered to have stopped; when there are as many, all are forgotten.
const ASKED_MAX: usize = 4096;
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
    /// Entries that tell of an inode.
    of: BTreeMap<InodeId, Vec<u32>>,
    /// What the paths of all entries lead through.
    through: BTreeSet<InodeId>,
    owners: BTreeMap<Pid, Owner>,
    last_owner: u32,
    /// Hashes of calls that have stopped.
    asked: BTreeSet<u64>,
    /// To be laid out before their process runs on.
    due: Vec<(Pid, PathCall)>,
}

#[derive(Debug)]
struct Entry {
    owner: u32,
    call: PathCall,
    /// Where it lies in the lane.
    place: u32,
    /// What it may return.
    results: RangeInclusive<i64>,
}

/// A process, as long as nothing of it changes that its paths depend on.
#[derive(Debug)]
struct Owner {
    number: u32,
    cwd: InodeId,
    creds: Credentials,
    /// Directories that its calls have named by their descriptor.
    dirs: BTreeMap<i32, FileId>,
}

impl Owner {
    fn is(&self, process: &Process) -> bool {
        let same = |(&fd, &file): (&i32, &FileId)| process.fds.get(fd).is_ok_and(|d| d.file == file);
        self.cwd == process.cwd && self.creds == process.creds && self.dirs.iter().all(same)
    }
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
    let words = [call.nr, call.dirfd as u32, call.flags].map(u32::to_le_bytes).concat();
    let hash = chain(0, &[&words, &call.path]) as u64;
    if k.names.asked.len() == ASKED_MAX {
        k.names.asked.clear();
    }
    if !k.names.asked.insert(hash) {
        k.names.due.push((cx.pid, call));
    }
}

impl Names {
    /// Forgets what does not hold any more, lays out what is due for a process that is about to run, and answers whose entries hold for it (0: none do).
    /// What has been `touched`, or may be by what is laid out else, is told of by no entry.
    pub fn lay_out(&mut self, k: &Kernel, lane: &mut Lane, process: &Process, touched: &BTreeSet<InodeId>) -> u32 {
        if self.entries.is_empty() && self.due.is_empty() {
            return 0;
        }
        let full = self.entries.len() >= ENTRIES_MAX || !lane.has_room_for_names() || self.last_owner >= OWNERS_MAX;
        if full || touched.iter().any(|id| self.through.contains(id)) {
            self.clear(lane);
        }
        if full {
            (self.owners, self.last_owner) = (BTreeMap::new(), 0);
        }
        for entry in touched.iter().filter_map(|id| self.of.remove(id)).flatten() {
            lane.remove_name(self.entries[entry as usize].place);
        }
        let owner = self.owner(process);
        let due: Vec<_> = self.due.extract_if(.., |(of, _)| *of == process.pid).collect();
        for (_, call) in due {
            self.add(k, lane, process.pid, call, touched);
        }
        owner
    }

    /// Forgets all entries.
    fn clear(&mut self, lane: &mut Lane) {
        lane.clear_names();
        self.entries.clear();
        self.of.clear();
        self.through.clear();
    }

    /// The number of a process as an owner: another one if it is not as it was.
    fn owner(&mut self, process: &Process) -> u32 {
        match self.owners.get(&process.pid) {
            Some(owner) if owner.is(process) => owner.number,
            _ => {
                self.last_owner += 1;
                let (number, cwd, creds) = (self.last_owner, process.cwd, process.creds.clone());
                self.owners.insert(process.pid, Owner { number, cwd, creds, dirs: BTreeMap::new() });
                number
            }
        }
    }

    /// Lays out a call of a process that owns entries, if what it comes to is known.
    fn add(&mut self, k: &Kernel, lane: &mut Lane, pid: Pid, call: PathCall, not_of: &BTreeSet<InodeId>) {
        let known = answer(k, pid, &call).filter(|known| known.of.is_none_or(|id| !not_of.contains(&id)));
        let Some(known) = known else { return };
        let owner = self.owners.get_mut(&pid).expect("every process that is laid out for is one");
        owner.dirs.extend(known.dir);
        let (owner, results) = (owner.number, results(&known.answer));
        let number = self.entries.len() as u32;
        let Some(place) = lane.add_name(owner, &call, number + 1, &known.answer) else { return };
        if let Some(id) = known.of {
            self.of.entry(id).or_default().push(number);
        }
        self.through.extend(known.through);
        self.entries.push(Entry { owner, call, place, results });
    }
}

/// What the model knows a call to come to.
struct Known<'a> {
    answer: PathAnswer<'a>,
    /// What it tells of.
    of: Option<InodeId>,
    /// What its path leads through.
    through: Vec<InodeId>,
    /// The directory that it names by a descriptor.
    dir: Option<(i32, FileId)>,
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

/// What a call of a process comes to, if that can be told by a look at the model alone.
fn answer<'a>(k: &'a Kernel, pid: Pid, call: &PathCall) -> Option<Known<'a>> {
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
    if flags & !known_flags != 0 {
        return None;
    }
    let relative = call.dirfd != libc::AT_FDCWD && !call.path.starts_with(b"/");
    let dir = if relative { Some((call.dirfd, k.file_of(pid, call.dirfd).ok()?)) } else { None };
    let fs::Walked { found, through } = fs::resolve_known(k, pid, call.dirfd, &call.path, last)?;
    let (answer, of) = match found.and_then(|found| found.existing(k)) {
        Ok(id) => (of_inode(k, pid, call, id), Some(id)),
        Err(e) => (Err(e), None),
    };
    let answer = match answer {
        Ok(answer) => answer?,
        Err(Fail::Errno(Errno(errno))) if opens(call.nr) => PathAnswer::OpenFails(errno),
        Err(Fail::Errno(Errno(errno))) => PathAnswer::Fails(errno),
        Err(Fail::Fatal(_)) => return None,
    };
    Some(Known { answer, of, through, dir })
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
    let owner = k.names.owners.get(&cx.pid).map(|owner| owner.number);
    let Some(entry) = k.names.entries.get(number).filter(|entry| Some(entry.owner) == owner) else { return Ok(None) };
    let by_descriptor = row(record.nr.into()).is_some_and(|row| row.dirfd.is_some());
    let same = entry.call.nr == record.nr && (!by_descriptor || entry.call.dirfd as u32 == record.arg);
    if !same || !entry.results.contains(&ret) {
        return Ok(None);
    }
    let call = entry.call.clone();
    let bytes_in = chain(0, &[&call.path]);
    debug_assert!(
        answer(k, cx.pid, &call).is_some_and(|known| results(&known.answer) == entry.results),
        "{call:?} was answered with what is not so"
    );
    if !opens(call.nr) {
        return Ok(Some((ret, bytes_in)));
    }
    let done = match syscalls::path::open_path(k, cx, call.dirfd, &call.path, call.flags as i32, 0) {
        Ok(Outcome::Done(fd)) => fd as i64,
        Err(Fail::Errno(Errno(errno))) => -i64::from(errno),
        Err(fatal) => return Err(fatal),
        Ok(_) => return Ok(None),
    };
    Ok((done == ret).then_some((ret, bytes_in)))
}
