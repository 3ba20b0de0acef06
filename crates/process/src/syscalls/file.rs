//! Calls on open files: offsets, lengths, durability, advice, locks, memfds.

use super::SysResult;
use super::path::{Target, target};
use crate::fs::{self, Node, path};
use crate::kernel::{Ctx, Fail, FileId, Kernel, done, fail};
use crate::object::Object;

/// A descriptor for a call that does not take O_PATH.
fn file_at(k: &Kernel, cx: &Ctx<'_, '_>, fd: u64) -> Result<FileId, Fail> {
    let file = k.file_of(cx.pid, fd as i32)?;
    if k.file(file).flags & libc::O_PATH != 0 { fail(libc::EBADF) } else { Ok(file) }
}

/// lseek(2).
pub fn lseek(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let file = file_at(k, cx, a[0])?;
    done(fs::seek(k, file, a[1] as i64, a[2] as i32)?)
}

/// truncate(2).
pub fn truncate(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if (a[1] as i64) < 0 {
        return fail(libc::EINVAL);
    }
    let at = target(k, cx, libc::AT_FDCWD as u64, a[0], 0)?;
    truncate_at(k, cx, at, a[1])?;
    done(0)
}

/// The same with the file in hand.
pub fn truncate_at(k: &mut Kernel, cx: &mut Ctx<'_, '_>, at: Target, len: u64) -> Result<(), Fail> {
    let Target::Inode(id) = at else { return fail(libc::EINVAL) };
    if k.fs.inode(id).is_dir() {
        return fail(libc::EISDIR);
    }
    path::may(k, cx.pid, id, path::WRITE)?;
    fs::not_running(k, id)?;
    fs::truncate(k, cx, id, len)
}

/// ftruncate(2).
pub fn ftruncate(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let file = file_at(k, cx, a[0])?;
    let Object::Inode(id) = k.file(file).object else { return fail(libc::EINVAL) };
    if (a[1] as i64) < 0 || !k.file(file).writable() {
        return fail(libc::EINVAL);
    }
    fs::truncate(k, cx, id, a[1])?;
    done(0)
}

/// fallocate(2).
pub fn fallocate(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let file = file_at(k, cx, a[0])?;
    fs::allocate(k, cx, file, a[1] as i32, a[2] as i64, a[3] as i64)?;
    done(0)
}

/// fsync(2) and fdatasync(2): the log is what makes a file durable, so there is nothing to do.
pub fn fsync(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let file = file_at(k, cx, a[0])?;
    match k.file(file).object {
        Object::Inode(id) => match k.fs.inode(id).node {
            Node::Device(..) => fail(libc::EINVAL),
            _ => done(0),
        },
        _ => fail(libc::EINVAL),
    }
}

/// sync(2): see [`fsync`].
pub fn sync(_: &mut Kernel, _: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    done(0)
}

/// syncfs(2): see [`fsync`].
pub fn syncfs(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    file_at(k, cx, a[0])?;
    done(0)
}

/// posix_fadvise(2): see [`advise`].
pub fn fadvise(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let answer = advise(k, cx, a)?;
    let known = (libc::POSIX_FADV_NORMAL..=libc::POSIX_FADV_NOREUSE).contains(&(a[3] as i32));
    if known && a[2] as i64 >= 0 { Ok(answer) } else { fail(libc::EINVAL) }
}

/// sync_file_range(2), readahead(2): advice that changes nothing.
pub fn advise(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let file = file_at(k, cx, a[0])?;
    match k.file(file).object {
        Object::Pipe(..) | Object::Socket(_) => fail(libc::ESPIPE),
        _ => done(0),
    }
}

/// flock(2).
pub fn flock(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let file = file_at(k, cx, a[0])?;
    match (&k.file(file).object, a[1] as i32 & !libc::LOCK_NB) {
        (Object::Inode(_), _) => fs::flock(k, file, a[1] as i32),
        // A pipe or socket can be locked as well; nobody here waits for another who has.
        (_, libc::LOCK_SH | libc::LOCK_EX | libc::LOCK_UN) => done(0),
        _ => fail(libc::EINVAL),
    }
}

/// memfd_create(2).
pub fn memfd_create(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    const NAME_MAX: usize = 249;
    const EXEC: u32 = 0x10;
    const NOEXEC_SEAL: u32 = 8;
    let flags = a[1] as u32;
    let known = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING | EXEC | NOEXEC_SEAL;
    if flags & !known != 0 {
        return fail(libc::EINVAL);
    }
    let name = match cx.read_string(a[0], NAME_MAX) {
        Err(Fail::Errno(crate::kernel::Errno(libc::ENAMETOOLONG))) => return fail(libc::EINVAL),
        other => other?,
    };
    k.free_fd(cx.pid)?;
    let file = fs::memfd(k, cx, &name, flags & (libc::MFD_ALLOW_SEALING | NOEXEC_SEAL) != 0)?;
    done(k.install(cx.pid, file, flags & libc::MFD_CLOEXEC != 0)?)
}

/// copy_file_range(2).
pub fn copy_file_range(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    const CHUNK_BYTES: u64 = 1 << 20;
    const BYTES_MAX: u64 = 1 << 30;
    let (from, to) = (file_at(k, cx, a[0])?, file_at(k, cx, a[2])?);
    if a[5] != 0 {
        return fail(libc::EINVAL);
    }
    let (Object::Inode(source), Object::Inode(target)) = (k.file(from).object.clone(), k.file(to).object.clone())
    else {
        return fail(libc::EINVAL);
    };
    if k.fs.inode(source).is_dir() || k.fs.inode(target).is_dir() {
        return fail(libc::EISDIR);
    }
    let regular = |k: &Kernel, id| matches!(k.fs.inode(id).node, Node::Regular(_));
    if !regular(k, source) || !regular(k, target) {
        return fail(libc::EINVAL);
    }
    if !k.file(from).readable() || !k.file(to).writable() || k.file(to).flags & libc::O_APPEND != 0 {
        return fail(libc::EBADF);
    }
    let start_in = if a[1] == 0 { k.file(from).offset } else { cx.read_u64(a[1])? };
    let start_out = if a[3] == 0 { k.file(to).offset } else { cx.read_u64(a[3])? };
    if start_in > i64::MAX as u64 || start_out > i64::MAX as u64 {
        return fail(libc::EINVAL);
    }
    let len = a[4].min(BYTES_MAX).min(fs::size(k, source).saturating_sub(start_in));
    if source == target && start_in < start_out + len && start_out < start_in + len {
        return fail(libc::EINVAL);
    }
    let mut total = 0;
    while total < len {
        let bytes = fs::read_at(k, cx, source, start_in + total, CHUNK_BYTES.min(len - total) as usize)?;
        if bytes.is_empty() {
            break;
        }
        match fs::write_at(k, cx, target, start_out + total, &bytes) {
            Ok(n) => total += n as u64,
            Err(Fail::Errno(_)) if total > 0 => break,
            Err(e) => return Err(e),
        }
    }
    for (addr, file, start) in [(a[1], from, start_in), (a[3], to, start_out)] {
        if addr == 0 {
            k.file_mut(file).offset = start + total;
        } else {
            cx.write(addr, &(start + total).to_le_bytes())?;
        }
    }
    done(total)
}
