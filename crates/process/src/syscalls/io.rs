//! read, write and their kin, over every kind of object.

use super::SysResult;
use crate::kernel::{Ctx, Errno, Fail, FileId, Kernel, Outcome, Wait, done, fail};
use crate::object;

/// Moved between program memory and an object in one go.
const CHUNK_BYTES: usize = 1 << 20;
/// Linux moves no more than this in one call.
const RW_COUNT_MAX: u64 = 0x7fff_f000;
const WOULD_BLOCK: Fail = Fail::Errno(Errno(libc::EAGAIN));

fn readable(k: &Kernel, cx: &Ctx<'_, '_>, fd: u64) -> Result<FileId, Fail> {
    let file = k.file_of(cx.pid, fd as i32)?;
    if k.file(file).readable() { Ok(file) } else { fail(libc::EBADF) }
}

fn writable(k: &Kernel, cx: &Ctx<'_, '_>, fd: u64) -> Result<FileId, Fail> {
    let file = k.file_of(cx.pid, fd as i32)?;
    if k.file(file).writable() { Ok(file) } else { fail(libc::EBADF) }
}

/// Waits for a file that is not ready, unless it must not.
fn block(k: &Kernel, file: FileId) -> SysResult {
    match object::id(k, file) {
        Some(id) if !k.file(file).nonblocking() => Ok(Outcome::Block(Wait::object(id))),
        _ => Err(WOULD_BLOCK),
    }
}

/// Reads into iovecs. A file is read until they are full, everything else answers with what is there.
fn read_to(k: &mut Kernel, cx: &mut Ctx<'_, '_>, fd: u64, iovecs: &[(u64, usize)], offset: Option<u64>) -> SysResult {
    let file = readable(k, cx, fd)?;
    if offset.is_none() && matches!(k.file(file).object, object::Object::Socket(_)) {
        return super::net::read(k, cx, fd, iovecs);
    }
    if !matches!(k.file(file).object, object::Object::Inode(_)) {
        return read_what_is_there(k, cx, file, iovecs, offset);
    }
    let mut total = 0u64;
    for &(base, len) in iovecs {
        let mut at = 0;
        while at < len {
            let want = (len - at).min(CHUNK_BYTES).min((RW_COUNT_MAX - total) as usize);
            let bytes = match object::read(k, cx, file, want, offset.map(|o| o + total)) {
                Ok(bytes) => bytes,
                Err(_) if total > 0 => return done(total),
                Err(e) => return Err(e),
            };
            let stored = cx.write_some(base + at as u64, &bytes)?;
            if stored < bytes.len() {
                // What could not be stored was not read.
                if offset.is_none() {
                    k.file_mut(file).offset -= (bytes.len() - stored) as u64;
                }
                total += stored as u64;
                return if total > 0 { done(total) } else { fail(libc::EFAULT) };
            }
            at += bytes.len();
            total += bytes.len() as u64;
            if bytes.len() < want || total >= RW_COUNT_MAX {
                return done(total);
            }
        }
    }
    if name_nothing(iovecs) {
        object::read(k, cx, file, 0, offset.map(|o| o + total))?;
    }
    done(total)
}

/// Of anything but a file. Bytes of a stream that cannot be stored have not been read.
fn read_what_is_there(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    file: FileId,
    iovecs: &[(u64, usize)],
    offset: Option<u64>,
) -> SysResult {
    let room = iovecs.iter().fold(0usize, |n, v| n.saturating_add(v.1)).min(CHUNK_BYTES);
    let bytes = match object::read(k, cx, file, room, offset) {
        Ok(bytes) => bytes,
        Err(Fail::Errno(Errno(libc::EAGAIN))) => return block(k, file),
        Err(e) => return Err(e),
    };
    if let Err(e) = cx.scatter(iovecs, &bytes) {
        object::put_back(k, file, bytes);
        return Err(e);
    }
    done(bytes.len() as u64)
}

/// Writes from iovecs. A blocking call returns only when all is written (pipes and sockets too), as Linux does.
fn write_from(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    fd: u64,
    iovecs: &[(u64, usize)],
    offset: Option<u64>,
) -> SysResult {
    let file = writable(k, cx, fd)?;
    if offset.is_none() && matches!(k.file(file).object, object::Object::Socket(_)) {
        return super::net::write(k, cx, fd, iovecs.to_vec());
    }
    let length = iovecs.iter().map(|v| v.1 as u64).sum::<u64>().min(RW_COUNT_MAX);
    let is_file = matches!(k.file(file).object, object::Object::Inode(_));
    let mut total = k.progress(cx.tid);
    loop {
        let chunk = CHUNK_BYTES.min((length - total) as usize);
        let bytes = match gather_from(cx, iovecs, total, chunk, is_file) {
            Ok(bytes) => bytes,
            Err(_) if total > 0 => return done(total),
            Err(e) => return Err(e),
        };
        let written = match object::write(k, cx, file, &bytes, offset.map(|o| o + total)) {
            Ok(n) => n as u64,
            Err(Fail::Errno(Errno(libc::EAGAIN))) if !k.file(file).nonblocking() => {
                k.set_progress(cx.tid, total);
                return block(k, file);
            }
            Err(Fail::Errno(_)) if total > 0 => return done(total),
            Err(e) => return Err(e),
        };
        total += written;
        let short = written < bytes.len() as u64;
        // What follows cannot be read; a file takes less than it is given only at a limit, which the next call is told of.
        let ends = bytes.len() < chunk || short && (is_file || k.file(file).nonblocking());
        if total >= length || written == 0 || ends {
            return done(total);
        }
    }
}

/// Bytes `skip..skip + max` of what the iovecs describe; with `some`, less of them if the rest cannot be read.
fn gather_from(
    cx: &mut Ctx<'_, '_>,
    iovecs: &[(u64, usize)],
    mut skip: u64,
    max: usize,
    some: bool,
) -> Result<Vec<u8>, Fail> {
    let mut rest = Vec::new();
    for &(base, len) in iovecs {
        let gone = skip.min(len as u64);
        skip -= gone;
        if gone < len as u64 {
            rest.push((base + gone, len - gone as usize));
        }
    }
    if some { cx.gather_some(&rest, max) } else { cx.gather(&rest, max) }
}

/// read(2).
pub fn read(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    read_to(k, cx, a[0], &[(a[1], a[2] as usize)], None)
}

/// write(2).
pub fn write(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    write_from(k, cx, a[0], &[(a[1], a[2] as usize)], None)
}

fn at(offset: u64) -> Result<Option<u64>, Fail> {
    if offset > i64::MAX as u64 { fail(libc::EINVAL) } else { Ok(Some(offset)) }
}

/// pread64(2).
pub fn pread(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    read_to(k, cx, a[0], &[(a[1], a[2] as usize)], at(a[3])?)
}

/// pwrite64(2).
pub fn pwrite(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    write_from(k, cx, a[0], &[(a[1], a[2] as usize)], at(a[3])?)
}

/// readv(2).
pub fn readv(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    readv_at(k, cx, a, None)
}

/// writev(2).
pub fn writev(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    writev_at(k, cx, a, None)
}

fn readv_at(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6], offset: Option<u64>) -> SysResult {
    let iovecs = cx.read_iovecs(a[1], a[2])?;
    if name_nothing(&iovecs) {
        return readable(k, cx, a[0]).and(done(0));
    }
    read_to(k, cx, a[0], &iovecs, offset)
}

fn writev_at(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6], offset: Option<u64>) -> SysResult {
    let iovecs = cx.read_iovecs(a[1], a[2])?;
    if name_nothing(&iovecs) {
        return writable(k, cx, a[0]).and(done(0));
    }
    write_from(k, cx, a[0], &iovecs, offset)
}

/// Then a call does nothing but look at the descriptor, other than read(2) and write(2) of no bytes: whatever the object is, it is not asked.
fn name_nothing(iovecs: &[(u64, usize)]) -> bool {
    iovecs.iter().all(|&(_, len)| len == 0)
}

/// preadv(2) and preadv2(2); of the flags none is known.
pub fn preadv(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    readv_at(k, cx, a, at(a[3])?)
}

/// pwritev(2).
pub fn pwritev(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    writev_at(k, cx, a, at(a[3])?)
}

/// preadv2(2): offset -1 means the file's own.
pub fn preadv2(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if a[5] != 0 {
        return fail(libc::EOPNOTSUPP);
    }
    if a[3] == u64::MAX { readv(k, cx, a) } else { preadv(k, cx, a) }
}

/// pwritev2(2).
pub fn pwritev2(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if a[5] != 0 {
        return fail(libc::EOPNOTSUPP);
    }
    if a[3] == u64::MAX { writev(k, cx, a) } else { pwritev(k, cx, a) }
}

/// sendfile(2): from a file to anything.
pub fn sendfile(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (to, from) = (writable(k, cx, a[0])?, readable(k, cx, a[1])?);
    if !matches!(k.file(from).object, object::Object::Inode(_)) {
        return fail(libc::EINVAL);
    }
    if matches!(k.file(to).object, object::Object::Inode(_)) && k.file(to).flags & libc::O_APPEND != 0 {
        return fail(libc::EINVAL);
    }
    let own_offset = a[2] == 0;
    let start = if own_offset { k.file(from).offset } else { cx.read_u64(a[2])? };
    if start > i64::MAX as u64 {
        return fail(libc::EINVAL);
    }
    let length = a[3].min(RW_COUNT_MAX);
    let mut total = k.progress(cx.tid);
    while total < length {
        let want = CHUNK_BYTES.min((length - total) as usize);
        // With its own offset the file has moved on at earlier tries; only the count is left to do.
        let offset = if own_offset { k.file(from).offset } else { start + total };
        let bytes = object::read(k, cx, from, want, Some(offset))?;
        if bytes.is_empty() {
            break;
        }
        let written = match object::write(k, cx, to, &bytes, None) {
            Ok(n) => n,
            Err(Fail::Errno(Errno(libc::EAGAIN))) if total == 0 || !k.file(to).nonblocking() => {
                k.set_progress(cx.tid, total);
                return block(k, to);
            }
            Err(Fail::Errno(_)) if total > 0 => break,
            Err(e) => return Err(e),
        };
        total += written as u64;
        if own_offset {
            k.file_mut(from).offset = offset + written as u64;
        }
        if written < bytes.len() && k.file(to).nonblocking() {
            break;
        }
    }
    if !own_offset {
        cx.write(a[2], &(start + total).to_le_bytes())?;
    }
    done(total)
}

/// ioctl(2): what every descriptor knows, then what its object does.
pub fn ioctl(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let fd = a[0] as i32;
    let file = k.file_of(cx.pid, fd)?;
    if k.file(file).flags & libc::O_PATH != 0 {
        return fail(libc::EBADF);
    }
    match a[1] as u32 as u64 {
        libc::FIONBIO => {
            let on = cx.read_u32(a[2])? != 0;
            let flags = &mut k.file_mut(file).flags;
            *flags = if on { *flags | libc::O_NONBLOCK } else { *flags & !libc::O_NONBLOCK };
            done(0)
        }
        // Nobody is ever told by SIGIO; nginx asks for it on its channel and does not need it.
        libc::FIOASYNC => {
            cx.read_u32(a[2])?;
            done(0)
        }
        libc::FIOCLEX | libc::FIONCLEX => {
            k.process_mut(cx.pid).fds.get_mut(fd)?.close_on_exec = a[1] == libc::FIOCLEX;
            done(0)
        }
        request => object::ioctl(k, cx, file, request, a[2]),
    }
}
