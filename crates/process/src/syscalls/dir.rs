//! Calls on directories: making, removing, reading, and the current one.

use super::SysResult;
use super::path::unlinkat;
use crate::fs::create::make_dir;
use crate::fs::{self, Entry, InodeId, Last, path};
use crate::kernel::{Ctx, Fail, Kernel, done, fail};
use crate::object::Object;

const AT_FDCWD: u64 = libc::AT_FDCWD as u64;

/// mkdir(2).
pub fn mkdir(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    mkdirat(k, cx, &[AT_FDCWD, a[0], a[1], 0, 0, 0])
}

/// mkdirat(2).
pub fn mkdirat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let path = cx.read_path(a[1])?;
    mkdir_at(k, cx, a[0] as i32, &path, a[2] as u32)?;
    done(0)
}

/// The same with the path in hand.
pub fn mkdir_at(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dirfd: i32, path: &[u8], mode: u32) -> Result<(), Fail> {
    let at = fs::resolve(k, cx, dirfd, path, Last::Entry)?;
    make_dir(k, cx, &at, mode).map(|_| ())
}

/// rmdir(2).
pub fn rmdir(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    unlinkat(k, cx, &[AT_FDCWD, a[0], libc::AT_REMOVEDIR as u64, 0, 0, 0])
}

fn enter(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: InodeId) -> SysResult {
    if !k.fs.inode(id).is_dir() {
        return fail(libc::ENOTDIR);
    }
    path::may(k, cx.pid, id, path::EXEC)?;
    k.process_mut(cx.pid).cwd = id;
    done(0)
}

/// chdir(2).
pub fn chdir(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let path = cx.read_path(a[0])?;
    let id = fs::resolve(k, cx, libc::AT_FDCWD, &path, Last::Follow)?.existing(k)?;
    enter(k, cx, id)
}

/// fchdir(2).
pub fn fchdir(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    match k.file(k.file_of(cx.pid, a[0] as i32)?).object {
        Object::Inode(id) => enter(k, cx, id),
        _ => fail(libc::ENOTDIR),
    }
}

/// getcwd(2): answers the length with the NUL.
pub fn getcwd(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let cwd = k.process(cx.pid).cwd;
    if k.fs.inode(cwd).nlink == 0 {
        return fail(libc::ENOENT);
    }
    let mut path = fs::path_of(k, cwd);
    path.push(0);
    if path.len() as u64 > a[1] {
        return fail(libc::ERANGE);
    }
    cx.write(a[0], &path)?;
    done(path.len())
}

/// One record of getdents or getdents64; both are padded to 8 bytes.
fn record(entry: &Entry, wide: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(entry.name.len() + 32);
    out.extend_from_slice(&entry.ino.to_le_bytes());
    out.extend_from_slice(&entry.next.to_le_bytes());
    // d_off and d_ino, the length, d_type before (64) or after the name, NUL.
    let len = (8 + 8 + 2 + 1 + entry.name.len() + 1).next_multiple_of(8);
    out.extend_from_slice(&(len as u16).to_le_bytes());
    if wide {
        out.push(entry.d_type);
    }
    out.extend_from_slice(&entry.name);
    out.resize(len, 0);
    if !wide {
        out[len - 1] = entry.d_type;
    }
    out
}

fn read_dir(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6], wide: bool) -> SysResult {
    let file = k.file_of(cx.pid, a[0] as i32)?;
    let Object::Inode(id) = k.file(file).object else { return fail(libc::ENOTDIR) };
    if !k.file(file).readable() {
        return fail(libc::EBADF);
    }
    let room = a[2] as u32 as usize;
    let mut at = k.file(file).offset;
    let mut out = Vec::new();
    'full: loop {
        let entries = fs::entries(k, cx, id, at)?;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            let record = record(&entry, wide);
            if out.len() + record.len() > room {
                if out.is_empty() {
                    return fail(libc::EINVAL);
                }
                break 'full;
            }
            out.extend_from_slice(&record);
            at = entry.next;
        }
    }
    cx.write(a[1], &out)?;
    k.file_mut(file).offset = at;
    done(out.len())
}

/// getdents(2).
pub fn getdents(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    read_dir(k, cx, a, false)
}

/// getdents64(2).
pub fn getdents64(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    read_dir(k, cx, a, true)
}

/// umask(2).
pub fn umask(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let process = k.process_mut(cx.pid);
    let old = process.umask;
    process.umask = a[0] as u32 & 0o777;
    done(old)
}

fn statfs_to(k: &Kernel, cx: &mut Ctx<'_, '_>, dev: u64, buf: u64) -> Result<(), Fail> {
    let raw = fs::stat::statfs(k, dev);
    cx.write(buf, &raw)
}

/// statfs(2).
pub fn statfs(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let path = cx.read_path(a[0])?;
    let id = fs::resolve(k, cx, libc::AT_FDCWD, &path, Last::Follow)?.existing(k)?;
    statfs_to(k, cx, k.fs.inode(id).dev, a[1])?;
    done(0)
}

/// fstatfs(2).
pub fn fstatfs(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let dev = fs::stat::dev_of(k, k.file_of(cx.pid, a[0] as i32)?);
    statfs_to(k, cx, dev, a[1])?;
    done(0)
}
