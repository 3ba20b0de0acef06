//! Calls that name files: open, stat, access, links, rename, attributes.

use super::SysResult;
use crate::fs::create::{link_inode, make_file, make_node, node_for_mknod, remove, rename_at};
use crate::fs::{self, Found, InodeId, Kind, Last, Node, Opened, path};
use crate::kernel::{Credentials, Ctx, Fail, FileId, Kernel, Outcome, Pid, done, fail};
use crate::object::Object;

const AT_FDCWD: u64 = libc::AT_FDCWD as u64;

/// What a call means that takes a directory, a path and AT_ flags.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// An inode.
    Inode(InodeId),
    /// An open file without one: a pipe, a socket ...
    File(FileId),
}

/// The target behind an open file.
pub fn target_of(k: &Kernel, file: FileId) -> Target {
    match k.file(file).object {
        Object::Inode(id) => Target::Inode(id),
        _ => Target::File(file),
    }
}

fn last_of(flags: i32) -> Last {
    if flags & libc::AT_SYMLINK_NOFOLLOW != 0 { Last::NoFollow } else { Last::Follow }
}

/// Reads a path, which AT_EMPTY_PATH allows to be empty or absent.
fn read_path(cx: &mut Ctx<'_, '_>, addr: u64, flags: i32) -> Result<Vec<u8>, Fail> {
    if addr == 0 && flags & libc::AT_EMPTY_PATH != 0 { Ok(Vec::new()) } else { cx.read_path(addr) }
}

/// What `dirfd`, the path at `addr` and `flags` (AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW) name.
pub fn target(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dirfd: u64, addr: u64, flags: i32) -> Result<Target, Fail> {
    let path = read_path(cx, addr, flags)?;
    target_at(k, cx, dirfd as i32, &path, flags)
}

/// The same with the path in hand.
pub fn target_at(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dirfd: i32, path: &[u8], flags: i32) -> Result<Target, Fail> {
    if path.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
        return match dirfd {
            libc::AT_FDCWD => Ok(Target::Inode(k.process(cx.pid).cwd)),
            fd => Ok(target_of(k, k.file_of(cx.pid, fd)?)),
        };
    }
    let found = fs::resolve(k, cx, dirfd, path, last_of(flags))?;
    match found.file {
        Some(file) if found.inode.is_none() => Ok(Target::File(file)),
        _ => found.existing(k).map(Target::Inode),
    }
}

fn find(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dirfd: u64, addr: u64, last: Last) -> Result<Found, Fail> {
    let path = cx.read_path(addr)?;
    fs::resolve(k, cx, dirfd as i32, &path, last)
}

// ---- open ----

fn open_at(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dirfd: u64, addr: u64, flags: u64, mode: u64) -> SysResult {
    let path = cx.read_path(addr)?;
    open_path(k, cx, dirfd as i32, &path, flags as i32, mode as u32)
}

/// openat(2) with the path in hand.
pub fn open_path(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dirfd: i32, path: &[u8], flags: i32, mode: u32) -> SysResult {
    k.free_fd(cx.pid)?;
    let opened = fs::open_or_wait(k, cx, dirfd, path, flags, mode)?;
    install(k, cx, opened, flags)
}

/// The same when it is known what the path leads to, and the flags neither make nor cut anything.
pub fn open_inode(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: InodeId, flags: i32) -> SysResult {
    k.free_fd(cx.pid)?;
    let opened = fs::open_inode(k, cx, id, flags)?;
    install(k, cx, opened, flags)
}

fn install(k: &mut Kernel, cx: &Ctx<'_, '_>, opened: Opened, flags: i32) -> SysResult {
    match opened {
        Opened::File(file) => done(k.install(cx.pid, file, flags & libc::O_CLOEXEC != 0)?),
        Opened::Wait(wait) => Ok(Outcome::Block(wait)),
    }
}

/// open(2).
pub fn open(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    open_at(k, cx, AT_FDCWD, a[0], a[1], a[2])
}

/// openat(2).
pub fn openat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    open_at(k, cx, a[0], a[1], a[2], a[3])
}

/// creat(2).
pub fn creat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    open_at(k, cx, AT_FDCWD, a[0], (libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC) as u64, a[1])
}

// ---- stat ----

fn stat_at(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dirfd: u64, addr: u64, buf: u64, flags: i32) -> SysResult {
    let raw = match target(k, cx, dirfd, addr, flags)? {
        Target::Inode(id) => fs::stat(k, id),
        Target::File(file) => fs::stat_file(k, file),
    };
    cx.write(buf, &raw)?;
    done(0)
}

/// stat(2).
pub fn stat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    stat_at(k, cx, AT_FDCWD, a[0], a[1], 0)
}

/// lstat(2).
pub fn lstat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    stat_at(k, cx, AT_FDCWD, a[0], a[1], libc::AT_SYMLINK_NOFOLLOW)
}

/// fstat(2).
pub fn fstat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let raw = fs::stat_file(k, k.file_of(cx.pid, a[0] as i32)?);
    cx.write(a[1], &raw)?;
    done(0)
}

/// newfstatat(2).
pub fn newfstatat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let flags = a[3] as i32;
    if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH | libc::AT_NO_AUTOMOUNT) != 0 {
        return fail(libc::EINVAL);
    }
    stat_at(k, cx, a[0], a[1], a[2], flags)
}

/// statx(2).
pub fn statx(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    const SYNC_TYPE: i32 = 0x6000;
    const RESERVED: u64 = 1 << 31;
    let flags = a[2] as i32;
    let known = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH | libc::AT_NO_AUTOMOUNT | SYNC_TYPE;
    if flags & !known != 0 || flags & SYNC_TYPE == SYNC_TYPE || a[3] & RESERVED != 0 {
        return fail(libc::EINVAL);
    }
    let raw = match target(k, cx, a[0], a[1], flags)? {
        Target::Inode(id) => fs::statx(k, id),
        Target::File(file) => fs::statx_file(k, file),
    };
    cx.write(a[4], &raw)?;
    done(0)
}

// ---- access ----

fn access_at(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dirfd: u64, addr: u64, mode: u64, flags: i32) -> SysResult {
    let mode = mode as u32;
    if mode & !7 != 0 || flags & !(libc::AT_EACCESS | libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return fail(libc::EINVAL);
    }
    let Target::Inode(id) = target(k, cx, dirfd, addr, flags)? else { return done(0) };
    let allowed = match flags & libc::AT_EACCESS {
        0 => may_really(k, cx.pid, id, mode),
        _ => path::allowed(k, &k.process(cx.pid).creds, id, mode),
    };
    if allowed { done(0) } else { fail(libc::EACCES) }
}

/// What access(2) asks: may a process do this by its real ids?
pub fn may_really(k: &Kernel, pid: Pid, id: InodeId, mask: u32) -> bool {
    let mut creds: Credentials = k.process(pid).creds.clone();
    (creds.uid[3], creds.gid[3]) = (creds.uid[0], creds.gid[0]);
    path::allowed(k, &creds, id, mask)
}

/// access(2).
pub fn access(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    access_at(k, cx, AT_FDCWD, a[0], a[1], 0)
}

/// faccessat(2): the system call has no flags.
pub fn faccessat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    access_at(k, cx, a[0], a[1], a[2], 0)
}

/// faccessat2(2).
pub fn faccessat2(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    access_at(k, cx, a[0], a[1], a[2], a[3] as i32)
}

// ---- links and names ----

/// readlink(2).
pub fn readlink(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    readlinkat(k, cx, &[AT_FDCWD, a[0], a[1], a[2], 0, 0])
}

/// readlinkat(2): an empty path means the link that `dirfd` was opened on with O_PATH.
pub fn readlinkat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let size = a[3] as i32;
    if size <= 0 {
        return fail(libc::EINVAL);
    }
    let path = cx.read_path(a[1])?;
    let id = if path.is_empty() && a[0] as i32 != libc::AT_FDCWD {
        let id = fs::inode_of(k, k.file_of(cx.pid, a[0] as i32)?)?;
        if k.fs.inode(id).kind() != Kind::Symlink {
            return fail(libc::ENOENT);
        }
        id
    } else {
        fs::resolve(k, cx, a[0] as i32, &path, Last::NoFollow)?.existing(k)?
    };
    let text = fs::link_text(k, cx, id)?;
    let text = &text[..text.len().min(size as usize)];
    cx.write(a[2], text)?;
    done(text.len())
}

/// link(2).
pub fn link(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    linkat(k, cx, &[AT_FDCWD, a[0], AT_FDCWD, a[1], 0, 0])
}

/// linkat(2).
pub fn linkat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let flags = a[4] as i32;
    if flags & !(libc::AT_SYMLINK_FOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return fail(libc::EINVAL);
    }
    let follow = if flags & libc::AT_SYMLINK_FOLLOW != 0 { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    let from = target(k, cx, a[0], a[1], follow | flags & libc::AT_EMPTY_PATH)?;
    let to = find(k, cx, a[2], a[3], Last::Entry)?;
    match from {
        Target::Inode(id) => link_inode(k, cx, id, &to)?,
        Target::File(_) => return fail(libc::EXDEV),
    }
    done(0)
}

/// symlink(2).
pub fn symlink(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    symlinkat(k, cx, &[a[0], AT_FDCWD, a[1], 0, 0, 0])
}

/// symlinkat(2).
pub fn symlinkat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let to = cx.read_path(a[0])?;
    if to.is_empty() {
        return fail(libc::ENOENT);
    }
    let at = find(k, cx, a[1], a[2], Last::Entry)?;
    make_node(k, cx, &at, Node::Symlink(to), 0o777)?;
    done(0)
}

/// unlink(2).
pub fn unlink(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    unlinkat(k, cx, &[AT_FDCWD, a[0], 0, 0, 0, 0])
}

/// unlinkat(2).
pub fn unlinkat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let flags = a[2] as i32;
    if flags & !libc::AT_REMOVEDIR != 0 {
        return fail(libc::EINVAL);
    }
    let at = find(k, cx, a[0], a[1], Last::Entry)?;
    remove(k, cx, &at, flags & libc::AT_REMOVEDIR != 0)?;
    done(0)
}

/// rename(2).
pub fn rename(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    renameat2(k, cx, &[AT_FDCWD, a[0], AT_FDCWD, a[1], 0, 0])
}

/// renameat(2).
pub fn renameat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    renameat2(k, cx, &[a[0], a[1], a[2], a[3], 0, 0])
}

/// renameat2(2).
pub fn renameat2(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (from, to) = (cx.read_path(a[1])?, cx.read_path(a[3])?);
    rename_at(k, cx, (a[0] as i32, &from), (a[2] as i32, &to), a[4] as u32)?;
    done(0)
}

/// mknod(2).
pub fn mknod(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    mknodat(k, cx, &[AT_FDCWD, a[0], a[1], a[2], 0, 0])
}

/// mknodat(2).
pub fn mknodat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let mode = a[2] as u32;
    let at = find(k, cx, a[0], a[1], Last::Entry)?;
    match node_for_mknod(mode)? {
        Kind::Fifo => make_node(k, cx, &at, Node::Fifo(None), mode & 0o7777)?,
        Kind::Socket => make_node(k, cx, &at, Node::Socket(None), mode & 0o7777)?,
        _ if at.slash => return fail(libc::ENOENT),
        _ => make_file(k, cx, &at, mode & 0o7777)?,
    };
    done(0)
}

// ---- attributes ----

/// Attributes of things that the model only shows cannot be changed.
fn changeable(k: &Kernel, id: InodeId) -> Result<(), Fail> {
    match k.fs.inode(id).node {
        Node::Proc(_) | Node::Volatile(..) | Node::Snapshot { .. } => fail(libc::EPERM),
        _ => Ok(()),
    }
}

fn owns(k: &Kernel, pid: Pid, id: InodeId) -> bool {
    let user = k.process(pid).creds.uid[3];
    user == 0 || user == k.fs.inode(id).uid
}

/// chmod of what is in hand.
pub fn change_mode(k: &mut Kernel, pid: Pid, target: Target, mode: u32) -> SysResult {
    let Target::Inode(id) = target else { return done(0) };
    changeable(k, id)?;
    if !owns(k, pid, id) {
        return fail(libc::EPERM);
    }
    if k.fs.inode(id).kind() == Kind::Symlink {
        return fail(libc::EOPNOTSUPP);
    }
    let creds = &k.process(pid).creds;
    let group = k.fs.inode(id).gid;
    let in_group = creds.uid[3] == 0 || creds.gid[3] == group || creds.groups.contains(&group);
    let mode = mode & 0o7777 & if in_group { !0 } else { !libc::S_ISGID };
    k.fs.change_attributes(id, k.fs_time(), |inode| inode.mode = mode);
    done(0)
}

/// chmod(2).
pub fn chmod(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let at = target(k, cx, AT_FDCWD, a[0], 0)?;
    change_mode(k, cx.pid, at, a[1] as u32)
}

/// fchmod(2).
pub fn fchmod(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let at = descriptor(k, cx, a[0])?;
    change_mode(k, cx.pid, at, a[1] as u32)
}

/// A descriptor for a call that does not take O_PATH.
fn descriptor(k: &Kernel, cx: &Ctx<'_, '_>, fd: u64) -> Result<Target, Fail> {
    let file = k.file_of(cx.pid, fd as i32)?;
    if k.file(file).flags & libc::O_PATH != 0 { fail(libc::EBADF) } else { Ok(target_of(k, file)) }
}

/// fchmodat(2): the system call has no flags.
pub fn fchmodat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let at = target(k, cx, a[0], a[1], 0)?;
    change_mode(k, cx.pid, at, a[2] as u32)
}

/// fchmodat2(2).
pub fn fchmodat2(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let flags = a[3] as i32;
    if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return fail(libc::EINVAL);
    }
    let at = target(k, cx, a[0], a[1], flags)?;
    change_mode(k, cx.pid, at, a[2] as u32)
}

/// chown of what is in hand.
pub fn change_owner(k: &mut Kernel, pid: Pid, target: Target, uid: u32, gid: u32) -> SysResult {
    const KEEP: u32 = u32::MAX;
    let Target::Inode(id) = target else { return done(0) };
    changeable(k, id)?;
    let creds = &k.process(pid).creds;
    let inode = k.fs.inode(id);
    let root = creds.uid[3] == 0;
    let own = creds.uid[3] == inode.uid;
    let uid_ok = uid == KEEP || root || (own && uid == inode.uid);
    let gid_ok = gid == KEEP || root || (own && (creds.gid[3] == gid || creds.groups.contains(&gid)));
    if !uid_ok || !gid_ok {
        return fail(libc::EPERM);
    }
    let is_dir = inode.is_dir();
    k.fs.change_attributes(id, k.fs_time(), |inode| {
        if uid != KEEP {
            inode.uid = uid;
        }
        if gid != KEEP {
            inode.gid = gid;
        }
        if !is_dir {
            inode.mode &= !libc::S_ISUID;
            if inode.mode & libc::S_IXGRP != 0 {
                inode.mode &= !libc::S_ISGID;
            }
        }
    });
    done(0)
}

/// chown(2).
pub fn chown(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let at = target(k, cx, AT_FDCWD, a[0], 0)?;
    change_owner(k, cx.pid, at, a[1] as u32, a[2] as u32)
}

/// lchown(2).
pub fn lchown(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let at = target(k, cx, AT_FDCWD, a[0], libc::AT_SYMLINK_NOFOLLOW)?;
    change_owner(k, cx.pid, at, a[1] as u32, a[2] as u32)
}

/// fchown(2).
pub fn fchown(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let at = descriptor(k, cx, a[0])?;
    change_owner(k, cx.pid, at, a[1] as u32, a[2] as u32)
}

/// fchownat(2).
pub fn fchownat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let flags = a[4] as i32;
    if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return fail(libc::EINVAL);
    }
    let at = target(k, cx, a[0], a[1], flags)?;
    change_owner(k, cx.pid, at, a[2] as u32, a[3] as u32)
}

/// A time to set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SetTime {
    Now,
    Omit,
    To(i64),
}

fn change_times(k: &mut Kernel, pid: Pid, target: Target, times: Option<[SetTime; 2]>) -> SysResult {
    let Target::Inode(id) = target else { return done(0) };
    let times = times.unwrap_or([SetTime::Now; 2]);
    if times == [SetTime::Omit; 2] {
        return done(0);
    }
    changeable(k, id)?;
    if !owns(k, pid, id) {
        if times != [SetTime::Now; 2] {
            return fail(libc::EPERM);
        }
        path::may(k, pid, id, path::WRITE)?;
    }
    let now = k.fs_time();
    let pick = |old: i64, set: SetTime| match set {
        SetTime::Now => now,
        SetTime::Omit => old,
        SetTime::To(t) => t,
    };
    k.fs.change_attributes(id, now, |inode| {
        inode.accessed = pick(inode.accessed, times[0]);
        inode.modified = pick(inode.modified, times[1]);
    });
    done(0)
}

fn read_times(
    cx: &mut Ctx<'_, '_>,
    addr: u64,
    decode: fn(i64, i64) -> Option<SetTime>,
) -> Result<Option<[SetTime; 2]>, Fail> {
    if addr == 0 {
        return Ok(None);
    }
    let raw: [u8; 32] = cx.read_array(addr)?;
    let word = |i: usize| i64::from_le_bytes(raw[i * 8..i * 8 + 8].try_into().expect("8 bytes"));
    match (decode(word(0), word(1)), decode(word(2), word(3))) {
        (Some(a), Some(m)) => Ok(Some([a, m])),
        _ => fail(libc::EINVAL),
    }
}

fn from_timespec(sec: i64, nsec: i64) -> Option<SetTime> {
    match nsec {
        libc::UTIME_NOW => Some(SetTime::Now),
        libc::UTIME_OMIT => Some(SetTime::Omit),
        0..1_000_000_000 => Some(SetTime::To(sec.saturating_mul(1_000_000_000).saturating_add(nsec))),
        _ => None,
    }
}

fn from_timeval(sec: i64, usec: i64) -> Option<SetTime> {
    (0..1_000_000).contains(&usec).then(|| SetTime::To(sec.saturating_mul(1_000_000_000).saturating_add(usec * 1000)))
}

/// utimensat(2): without a path it means `dirfd` itself.
pub fn utimensat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let flags = a[3] as i32;
    if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return fail(libc::EINVAL);
    }
    let times = read_times(cx, a[2], from_timespec)?;
    // Then not even the path is looked at.
    if matches!(times, Some([SetTime::Omit, SetTime::Omit])) {
        return done(0);
    }
    let at = if a[1] == 0 { descriptor(k, cx, a[0])? } else { target(k, cx, a[0], a[1], flags)? };
    change_times(k, cx.pid, at, times)
}

/// utimes(2).
pub fn utimes(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    futimesat(k, cx, &[AT_FDCWD, a[0], a[1], 0, 0, 0])
}

/// futimesat(2).
pub fn futimesat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let times = read_times(cx, a[2], from_timeval)?;
    let at = if a[1] == 0 { descriptor(k, cx, a[0])? } else { target(k, cx, a[0], a[1], 0)? };
    change_times(k, cx.pid, at, times)
}

/// utime(2).
pub fn utime(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let times = if a[1] == 0 {
        None
    } else {
        let to = |sec: u64| SetTime::To((sec as i64).saturating_mul(1_000_000_000));
        Some([to(cx.read_u64(a[1])?), to(cx.read_u64(a[1] + 8)?)])
    };
    let at = target(k, cx, AT_FDCWD, a[0], 0)?;
    change_times(k, cx.pid, at, times)
}

// ---- extended attributes: a file system without them ----

fn xattr_at(k: &mut Kernel, cx: &mut Ctx<'_, '_>, addr: u64, flags: i32, listing: bool) -> SysResult {
    target(k, cx, AT_FDCWD, addr, flags)?;
    if listing { done(0) } else { fail(libc::EOPNOTSUPP) }
}

/// setxattr, getxattr, removexattr.
pub fn xattr(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    xattr_at(k, cx, a[0], 0, false)
}

/// lsetxattr, lgetxattr, lremovexattr.
pub fn lxattr(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    xattr_at(k, cx, a[0], libc::AT_SYMLINK_NOFOLLOW, false)
}

/// fsetxattr, fgetxattr, fremovexattr.
pub fn fxattr(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    descriptor(k, cx, a[0])?;
    fail(libc::EOPNOTSUPP)
}

/// listxattr.
pub fn listxattr(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    xattr_at(k, cx, a[0], 0, true)
}

/// llistxattr.
pub fn llistxattr(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    xattr_at(k, cx, a[0], libc::AT_SYMLINK_NOFOLLOW, true)
}

/// flistxattr.
pub fn flistxattr(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    descriptor(k, cx, a[0])?;
    done(0)
}

/// name_to_handle_at(2): this file system has no handles.
pub fn no_handles(_: &mut Kernel, _: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    fail(libc::EOPNOTSUPP)
}

/// Calls that the group may never make, whoever it runs as: chroot, mount and their kin.
pub fn not_permitted(_: &mut Kernel, _: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    fail(libc::EPERM)
}

/// Calls that this kernel does not have.
pub fn absent(_: &mut Kernel, _: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    fail(libc::ENOSYS)
}
