//! Locks on files: POSIX record locks of processes, the same of open files (OFD), and flock. Leases are refused.
//!
//! A lock that cannot be had names [`Key::Lock`] to wait for; whoever lets one go wakes all who wait, and each tries again.

use super::file::{inode_of, size};
use super::inode::InodeId;
use super::open::{add_seals, get_seals};
use crate::kernel::{Ctx, Fail, FileId, Kernel, Key, Outcome, Pid, Wait, done, fail};
use crate::object::Object;
use crate::syscalls::SysResult;
use std::collections::BTreeMap;

/// Who holds a record lock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Owner {
    /// A process (F_SETLK).
    Process(Pid),
    /// An open file (F_OFD_SETLK).
    File(FileId),
}

/// A locked range; `last` is inclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// Who.
    pub owner: Owner,
    /// First byte.
    pub first: u64,
    /// Last byte.
    pub last: u64,
    /// F_WRLCK (else F_RDLCK).
    pub write: bool,
}

/// Locks of one inode.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Locks {
    ranges: Vec<Range>,
    /// flock: exclusive or not, by open file.
    whole: BTreeMap<FileId, bool>,
}

impl Locks {
    fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.whole.is_empty()
    }

    /// The first lock of somebody else that stands in the way.
    fn conflict(&self, want: &Range) -> Option<&Range> {
        self.ranges
            .iter()
            .find(|r| r.owner != want.owner && r.first <= want.last && want.first <= r.last && (r.write || want.write))
    }

    /// Replaces what the owner holds between `first` and `last` by one lock, or none.
    fn set(&mut self, owner: Owner, first: u64, last: u64, write: Option<bool>) {
        let mut out = Vec::with_capacity(self.ranges.len() + 2);
        for r in self.ranges.drain(..) {
            if r.owner != owner || r.last < first || last < r.first {
                out.push(r);
                continue;
            }
            if r.first < first {
                out.push(Range { last: first - 1, ..r });
            }
            if r.last > last {
                out.push(Range { first: last + 1, ..r });
            }
        }
        out.extend(write.map(|write| Range { owner, first, last, write }));
        out.sort_by_key(|r| (r.owner, r.first));
        // Neighbours of one kind are one lock.
        for r in out {
            match self.ranges.last_mut() {
                Some(p) if p.owner == r.owner && p.write == r.write && p.last.checked_add(1) == Some(r.first) => {
                    p.last = r.last;
                }
                _ => self.ranges.push(r),
            }
        }
    }

    /// Adds everything to a digest.
    pub fn digest(&self, h: &mut gapless_log::Hasher) {
        for r in &self.ranges {
            let (kind, id) = match r.owner {
                Owner::Process(pid) => (0, pid.0 as u64),
                Owner::File(file) => (1, file.0),
            };
            for n in [kind, id, r.first, r.last, u64::from(r.write)] {
                h.number(n);
            }
        }
        for (file, exclusive) in &self.whole {
            h.number(file.0);
            h.number(u64::from(*exclusive));
        }
    }
}

/// Changes the locks of an inode, and wakes who waits for it.
fn change(k: &mut Kernel, id: InodeId, f: impl FnOnce(&mut Locks)) {
    k.fs.touched.insert(id);
    let locks = k.fs.locks.entry(id).or_default();
    let before = locks.clone();
    f(locks);
    let changed = *locks != before;
    if locks.is_empty() {
        k.fs.locks.remove(&id);
    }
    if changed {
        k.wake(Key::Lock(id.0));
    }
}

const F_OFD_GETLK: i32 = 36;
const F_OFD_SETLK: i32 = 37;
const F_OFD_SETLKW: i32 = 38;
const F_ADD_SEALS: i32 = 1033;
const F_GET_SEALS: i32 = 1034;

/// fcntl commands that belong to the file system: locks, leases, seals.
pub fn fcntl(k: &mut Kernel, cx: &mut Ctx<'_, '_>, file: FileId, command: i32, arg: u64) -> SysResult {
    match command {
        libc::F_GETLK | libc::F_SETLK | libc::F_SETLKW | F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW => {
            record_lock(k, cx, file, command, arg)
        }
        F_ADD_SEALS => add_seals(k, file, arg as u32).and_then(|()| done(0)),
        F_GET_SEALS => done(get_seals(k, file)?),
        libc::F_GETLEASE => done(libc::F_UNLCK),
        _ => fail(libc::EINVAL),
    }
}

/// struct flock as the program wrote it.
struct Request {
    kind: i16,
    first: u64,
    last: u64,
    pid: i32,
}

fn read_request(k: &Kernel, cx: &mut Ctx<'_, '_>, file: FileId, id: InodeId, arg: u64) -> Result<Request, Fail> {
    let raw: [u8; 32] = cx.read_array(arg)?;
    let short = |at: usize| i16::from_le_bytes([raw[at], raw[at + 1]]);
    let long = |at: usize| i64::from_le_bytes(raw[at..at + 8].try_into().expect("8 bytes"));
    let base = match i32::from(short(2)) {
        libc::SEEK_SET => 0,
        libc::SEEK_CUR => k.file(file).offset as i64,
        libc::SEEK_END => size(k, id) as i64,
        _ => return fail(libc::EINVAL),
    };
    let (start, len) = (long(8), long(16));
    let Some(start) = base.checked_add(start) else { return fail(libc::EOVERFLOW) };
    let (first, last) = match len {
        0 => (start, i64::MAX),
        1.. => match start.checked_add(len - 1) {
            Some(last) => (start, last),
            None => return fail(libc::EOVERFLOW),
        },
        _ => match start.checked_add(len) {
            Some(first) => (first, start - 1),
            None => return fail(libc::EINVAL),
        },
    };
    if first < 0 {
        return fail(libc::EINVAL);
    }
    let pid = i32::from_le_bytes(raw[24..28].try_into().expect("4 bytes"));
    Ok(Request { kind: short(0), first: first as u64, last: last as u64, pid })
}

fn record_lock(k: &mut Kernel, cx: &mut Ctx<'_, '_>, file: FileId, command: i32, arg: u64) -> SysResult {
    let Object::Inode(id) = k.file(file).object else { return fail(libc::EINVAL) };
    if k.file(file).flags & libc::O_PATH != 0 {
        return fail(libc::EBADF);
    }
    let request = read_request(k, cx, file, id, arg)?;
    let of_file = matches!(command, F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW);
    if of_file && request.pid != 0 {
        return fail(libc::EINVAL);
    }
    let owner = if of_file { Owner::File(file) } else { Owner::Process(cx.pid) };
    let write = match i32::from(request.kind) {
        libc::F_RDLCK => Some(false),
        libc::F_WRLCK => Some(true),
        libc::F_UNLCK => None,
        _ => return fail(libc::EINVAL),
    };
    let want = write.map(|write| Range { owner, first: request.first, last: request.last, write });
    let conflict = want.and_then(|want| k.fs.locks.get(&id)?.conflict(&want).copied());
    if matches!(command, libc::F_GETLK | F_OFD_GETLK) {
        if want.is_none() && !of_file {
            return fail(libc::EINVAL);
        }
        return tell(cx, arg, conflict);
    }
    match write {
        Some(true) if !k.file(file).writable() => return fail(libc::EBADF),
        Some(false) if !k.file(file).readable() => return fail(libc::EBADF),
        _ => {}
    }
    k.fs.lock_waits.remove(&cx.tid);
    if let (Some(conflict), Some(want)) = (conflict, want) {
        if !matches!(command, libc::F_SETLKW | F_OFD_SETLKW) {
            return fail(libc::EAGAIN);
        }
        if would_wait_for_itself(k, want.owner, conflict.owner) {
            return fail(libc::EDEADLK);
        }
        k.fs.lock_waits.insert(cx.tid, (id, want));
        return Ok(Outcome::Block(Wait::key(Key::Lock(id.0))));
    }
    change(k, id, |locks| locks.set(owner, request.first, request.last, write));
    done(0)
}

/// Does the holder of a lock wait, directly or through others, for a process that is about to wait for it? Linux tells processes only, not
/// open files.
fn would_wait_for_itself(k: &Kernel, who: Owner, holder: Owner) -> bool {
    let mut seen = vec![holder];
    let mut next = 0;
    while let Some(&owner) = seen.get(next) {
        next += 1;
        if !matches!((who, owner), (Owner::Process(_), Owner::Process(_))) {
            continue;
        }
        for (tid, (inode, want)) in &k.fs.lock_waits {
            // A wait that a signal ended may still be noted.
            let waits = k.threads.get(tid).and_then(|t| t.call).is_some_and(|c| c.nr as i64 == libc::SYS_fcntl);
            if !waits || want.owner != owner {
                continue;
            }
            let Some(holder) = k.fs.locks.get(inode).and_then(|l| l.conflict(want)).map(|r| r.owner) else { continue };
            if holder == who {
                return true;
            }
            if !seen.contains(&holder) {
                seen.push(holder);
            }
        }
    }
    false
}

/// F_GETLK's answer: the lock in the way, or F_UNLCK with the rest left as it was.
fn tell(cx: &mut Ctx<'_, '_>, arg: u64, conflict: Option<Range>) -> SysResult {
    let Some(r) = conflict else {
        cx.write(arg, &(libc::F_UNLCK as i16).to_le_bytes())?;
        return done(0);
    };
    let mut raw = [0u8; 28];
    let kind = if r.write { libc::F_WRLCK } else { libc::F_RDLCK };
    let pid = match r.owner {
        Owner::Process(pid) => pid.0,
        Owner::File(_) => -1,
    };
    let len = if r.last == i64::MAX as u64 { 0 } else { r.last - r.first + 1 };
    raw[..2].copy_from_slice(&(kind as i16).to_le_bytes());
    raw[8..16].copy_from_slice(&r.first.to_le_bytes());
    raw[16..24].copy_from_slice(&len.to_le_bytes());
    raw[24..28].copy_from_slice(&pid.to_le_bytes());
    cx.write(arg, &raw)?;
    done(0)
}

/// flock(2).
pub fn flock(k: &mut Kernel, file: FileId, operation: i32) -> SysResult {
    let id = inode_of(k, file)?;
    if k.file(file).flags & libc::O_PATH != 0 {
        return fail(libc::EBADF);
    }
    let exclusive = match operation & !libc::LOCK_NB {
        libc::LOCK_UN => {
            change(k, id, |locks| {
                locks.whole.remove(&file);
            });
            return done(0);
        }
        libc::LOCK_SH => false,
        libc::LOCK_EX => true,
        _ => return fail(libc::EINVAL),
    };
    let in_the_way = |locks: &Locks| locks.whole.iter().any(|(&f, &e)| f != file && (e || exclusive));
    if k.fs.locks.get(&id).is_some_and(in_the_way) {
        // Changing a lock is not atomic: the old one is gone while waiting (flock(2)), or two who both change would wait for ever.
        change(k, id, |locks| {
            locks.whole.remove(&file);
        });
        let waits = operation & libc::LOCK_NB == 0;
        return if waits { Ok(Outcome::Block(Wait::key(Key::Lock(id.0)))) } else { fail(libc::EWOULDBLOCK) };
    }
    change(k, id, |locks| {
        locks.whole.insert(file, exclusive);
    });
    done(0)
}

/// A process closed a descriptor of this inode: its POSIX record locks on it are gone (fcntl(2)).
pub fn drop_process_locks(k: &mut Kernel, pid: Pid, inode: InodeId) {
    if k.fs.locks.contains_key(&inode) {
        change(k, inode, |locks| locks.ranges.retain(|r| r.owner != Owner::Process(pid)));
    }
}

/// To be called when a process has ended: nothing of it may keep others waiting.
pub fn process_gone(k: &mut Kernel, pid: Pid) {
    k.fs.lock_waits.retain(|_, (_, want)| want.owner != Owner::Process(pid));
    let held: Vec<InodeId> = k.fs.locks.keys().copied().collect();
    for id in held {
        drop_process_locks(k, pid, id);
    }
}

/// The open file is gone with its locks.
pub fn drop_file(k: &mut Kernel, file: FileId, id: InodeId) {
    if k.fs.locks.contains_key(&id) {
        change(k, id, |locks| {
            locks.whole.remove(&file);
            locks.ranges.retain(|r| r.owner != Owner::File(file));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(locks: &Locks) -> String {
        locks
            .ranges
            .iter()
            .map(|r| format!("{}{}-{}", if r.write { "w" } else { "r" }, r.first, r.last))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn ranges_split_and_join() {
        let mut locks = Locks::default();
        let me = Owner::Process(Pid(1));
        locks.set(me, 0, 99, Some(true));
        locks.set(me, 40, 49, Some(false));
        assert_eq!(show(&locks), "w0-39 r40-49 w50-99");
        locks.set(me, 40, 49, Some(true));
        assert_eq!(show(&locks), "w0-99");
        locks.set(me, 10, 19, None);
        assert_eq!(show(&locks), "w0-9 w20-99");
        let other = Range { owner: Owner::Process(Pid(2)), first: 15, last: 25, write: false };
        assert_eq!(locks.conflict(&other).map(|r| r.first), Some(20));
        assert_eq!(locks.conflict(&Range { last: 19, ..other }), None);
    }
}
