//! Descriptors: close, dup, fcntl, and the calls that make pipes, eventfds, timerfds, signalfds and epolls.

use super::SysResult;
use crate::kernel::{Ctx, Descriptor, Fail, Kernel, Outcome, Wait, done, fail};
use crate::object::{Object, epoll, eventfd, pipe, signalfd, timerfd};
use crate::signal::SigSet;

/// close(2).
pub fn close(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    close_fd(k, cx, a[0] as i32)?;
    done(0)
}

/// Closes one descriptor of the calling process.
pub fn close_fd(k: &mut Kernel, cx: &mut Ctx<'_, '_>, fd: i32) -> Result<(), Fail> {
    match k.process_mut(cx.pid).fds.take(fd) {
        Some(d) => release(k, cx, d),
        None => fail(libc::EBADF),
    }
}

/// A descriptor is gone: POSIX locks of the process on the file go with it, then the file loses a holder.
fn release(k: &mut Kernel, cx: &mut Ctx<'_, '_>, d: Descriptor) -> Result<(), Fail> {
    if let Object::Inode(inode) = k.file(d.file).object {
        crate::fs::drop_process_locks(k, cx.pid, inode);
    }
    k.drop_file(cx, d.file)
}

/// close_range(2).
pub fn close_range(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    const CLOEXEC: u64 = 4;
    const UNSHARE: u64 = 2;
    if a[0] > a[1] || a[2] & !(CLOEXEC | UNSHARE) != 0 {
        return fail(libc::EINVAL);
    }
    let (first, last) = (a[0] as u32, a[1] as u32);
    let fds: Vec<i32> =
        k.process(cx.pid).fds.iter().map(|(fd, _)| fd).filter(|&fd| (first..=last).contains(&(fd as u32))).collect();
    for fd in fds {
        if a[2] & CLOEXEC != 0 {
            k.process_mut(cx.pid).fds.get_mut(fd)?.close_on_exec = true;
        } else {
            close_fd(k, cx, fd)?;
        }
    }
    done(0)
}

fn fd_limit(k: &Kernel, cx: &Ctx<'_, '_>) -> i32 {
    k.process(cx.pid).limit(libc::RLIMIT_NOFILE as usize).soft.min(1 << 20) as i32
}

/// dup(2).
pub fn dup(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    dup_from(k, cx, a[0] as i32, 0, false)
}

fn dup_from(k: &mut Kernel, cx: &mut Ctx<'_, '_>, fd: i32, from: i32, close_on_exec: bool) -> SysResult {
    let file = k.file_of(cx.pid, fd)?;
    let limit = fd_limit(k, cx);
    if from < 0 || from >= limit {
        return fail(libc::EINVAL);
    }
    let table = &mut k.process_mut(cx.pid).fds;
    let new = table.free(from, limit)?;
    let old = table.set(new, Descriptor { file, close_on_exec });
    debug_assert!(old.is_none());
    k.hold(file);
    done(new)
}

/// dup2(2).
pub fn dup2(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if a[0] as i32 == a[1] as i32 {
        k.file_of(cx.pid, a[0] as i32)?;
        return done(a[1] as i32);
    }
    dup3(k, cx, &[a[0], a[1], 0, 0, 0, 0])
}

/// dup3(2).
pub fn dup3(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (old, new, flags) = (a[0] as i32, a[1] as i32, a[2] as i32);
    if old == new || flags & !libc::O_CLOEXEC != 0 {
        return fail(libc::EINVAL);
    }
    let file = k.file_of(cx.pid, old)?;
    if new < 0 || new >= fd_limit(k, cx) {
        return fail(libc::EBADF);
    }
    k.hold(file);
    let close_on_exec = flags & libc::O_CLOEXEC != 0;
    if let Some(before) = k.process_mut(cx.pid).fds.set(new, Descriptor { file, close_on_exec }) {
        release(k, cx, before)?;
    }
    done(new)
}

const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;

/// Flags that F_SETFL may change.
const SETFL: i32 = libc::O_APPEND | libc::O_NONBLOCK | libc::O_ASYNC | libc::O_DIRECT | libc::O_NOATIME;

/// fcntl(2). Locks belong to the file system.
pub fn fcntl(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (fd, command, arg) = (a[0] as i32, a[1] as i32, a[2]);
    let file = k.file_of(cx.pid, fd)?;
    match command {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => dup_from(k, cx, fd, arg as i32, command == libc::F_DUPFD_CLOEXEC),
        libc::F_GETFD => done(u32::from(k.process(cx.pid).fds.get(fd)?.close_on_exec)),
        libc::F_SETFD => {
            k.process_mut(cx.pid).fds.get_mut(fd)?.close_on_exec = arg as i32 & libc::FD_CLOEXEC != 0;
            done(0)
        }
        // O_LARGEFILE, as every 64-bit open has it.
        libc::F_GETFL => match k.file(file).object {
            _ if k.file(file).flags & libc::O_PATH != 0 => done(k.file(file).flags),
            Object::Inode(_) | Object::Pty(..) => {
                done(k.file(file).flags & !(libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC | libc::O_NOCTTY) | 0o100_000)
            }
            _ => done(k.file(file).flags),
        },
        _ if k.file(file).flags & libc::O_PATH != 0 => fail(libc::EBADF),
        libc::F_SETFL => {
            if arg as i32 & libc::O_ASYNC != 0 {
                return fail(libc::EINVAL);
            }
            let flags = &mut k.file_mut(file).flags;
            *flags = *flags & !SETFL | arg as i32 & SETFL;
            done(0)
        }
        libc::F_GETPIPE_SZ | libc::F_SETPIPE_SZ => {
            let Object::Pipe(id, _) = k.file(file).object else { return fail(libc::EBADF) };
            if command == libc::F_GETPIPE_SZ {
                done(k.objects.pipes[&id].capacity())
            } else {
                done(pipe::resize(k, id, arg as usize)?)
            }
        }
        // O_ASYNC is refused, so who would get the signal does not matter.
        F_SETSIG if arg > 64 => fail(libc::EINVAL),
        // No thread (type 0, number 0), as the C library asks it.
        F_GETOWN_EX => {
            cx.write(arg, &[0; 8])?;
            done(0)
        }
        libc::F_GETOWN | libc::F_SETOWN | F_SETOWN_EX | F_SETSIG | F_GETSIG => done(0),
        _ => crate::fs::fcntl(k, cx, file, command, arg),
    }
}

/// pipe(2).
pub fn pipe(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    pipe2(k, cx, &[a[0], 0, 0, 0, 0, 0])
}

/// pipe2(2).
pub fn pipe2(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let flags = a[1] as i32;
    // No packet mode (O_DIRECT), as on a kernel before 3.4.
    if flags & !(libc::O_CLOEXEC | libc::O_NONBLOCK) != 0 {
        return fail(libc::EINVAL);
    }
    cx.write(a[0], &[0; 8])?;
    let id = pipe::create(k);
    let close_on_exec = flags & libc::O_CLOEXEC != 0;
    pipe::open(k, id, pipe::End::Read);
    let read = k.open(Object::Pipe(id, pipe::End::Read), libc::O_RDONLY | flags);
    pipe::open(k, id, pipe::End::Write);
    let write = k.open(Object::Pipe(id, pipe::End::Write), libc::O_WRONLY | flags);
    let fds = install_all(k, cx, &[read, write], close_on_exec)?;
    cx.write(a[0], &fds.iter().flat_map(|fd| fd.to_le_bytes()).collect::<Vec<u8>>())?;
    done(0)
}

/// Installs several files or none.
pub fn install_all(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    files: &[crate::kernel::FileId],
    close_on_exec: bool,
) -> Result<Vec<i32>, Fail> {
    let mut fds = Vec::new();
    for (i, &file) in files.iter().enumerate() {
        match k.install(cx.pid, file, close_on_exec) {
            Ok(fd) => fds.push(fd),
            Err(e) => {
                for fd in fds {
                    close_fd(k, cx, fd)?;
                }
                for &file in &files[i..] {
                    k.drop_file(cx, file)?;
                }
                return Err(e);
            }
        }
    }
    Ok(fds)
}

fn install_one(k: &mut Kernel, cx: &mut Ctx<'_, '_>, object: Object, flags: i32) -> SysResult {
    let file = k.open(object, libc::O_RDWR | flags & libc::O_NONBLOCK);
    let fds = install_all(k, cx, &[file], flags & libc::O_CLOEXEC != 0)?;
    done(fds[0])
}

/// Ends the replica with an error that names what the program wanted.
pub fn refuse(what: &str) -> Fail {
    Fail::Fatal(gapless_log::Error::Refused(format!(
        "the program uses {what}, which gapless does not support: it was ended before anything was lost; configure it not to use that, \
         or run it without gapless (docs/limits.md lists what is refused)"
    )))
}

/// eventfd(2) and eventfd2(2).
pub fn eventfd(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    eventfd2(k, cx, &[a[0], 0, 0, 0, 0, 0])
}

/// eventfd2(2).
pub fn eventfd2(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let flags = a[1] as i32;
    if flags & !(libc::EFD_CLOEXEC | libc::EFD_NONBLOCK | libc::EFD_SEMAPHORE) != 0 {
        return fail(libc::EINVAL);
    }
    let id = eventfd::create(k, u64::from(a[0] as u32), flags & libc::EFD_SEMAPHORE != 0);
    install_one(k, cx, Object::Event(id), flags)
}

/// timerfd_create(2).
pub fn timerfd_create(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (clock, flags) = (a[0] as i32, a[1] as i32);
    let known = [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME];
    if !known.contains(&clock) || flags & !(libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) != 0 {
        return fail(libc::EINVAL);
    }
    let id = timerfd::create(k, clock == libc::CLOCK_REALTIME);
    install_one(k, cx, Object::Timer(id), flags)
}

fn timerfd_of(k: &Kernel, cx: &Ctx<'_, '_>, fd: u64) -> Result<crate::kernel::ObjectId, Fail> {
    match k.file(k.file_of(cx.pid, fd as i32)?).object {
        Object::Timer(id) => Ok(id),
        _ => fail(libc::EINVAL),
    }
}

/// timerfd_settime(2).
pub fn timerfd_settime(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let id = timerfd_of(k, cx, a[0])?;
    let absolute = a[1] as i32 & libc::TFD_TIMER_ABSTIME != 0;
    let (interval, value) = (cx.read_timespec(a[2])?, cx.read_timespec(a[2] + 16)?);
    let now = cx.clock(k)?;
    if a[3] != 0 {
        write_remaining(k, cx, id, a[3])?;
    }
    let realtime = k.objects.timers[&id].realtime;
    let due = match (value, absolute) {
        (0, _) => 0,
        (value, true) if realtime => value.saturating_add_signed(-k.realtime_offset).max(1),
        (value, true) => value,
        (value, false) => now.saturating_add(value),
    };
    timerfd::set(k, id, due, interval);
    done(0)
}

fn write_remaining(k: &Kernel, cx: &mut Ctx<'_, '_>, id: crate::kernel::ObjectId, addr: u64) -> Result<(), Fail> {
    let (due, interval) = (k.objects.timers[&id].due, k.objects.timers[&id].interval);
    let left = if due == 0 { 0 } else { due.saturating_sub(k.now).max(1) };
    cx.write_timespec(addr, interval)?;
    cx.write_timespec(addr + 16, left)
}

/// timerfd_gettime(2).
pub fn timerfd_gettime(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let id = timerfd_of(k, cx, a[0])?;
    cx.clock(k)?;
    write_remaining(k, cx, id, a[1])?;
    done(0)
}

/// signalfd(2).
pub fn signalfd(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    signalfd4(k, cx, &[a[0], a[1], a[2], 0, 0, 0])
}

/// signalfd4(2).
pub fn signalfd4(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let flags = a[3] as i32;
    if a[2] != 8 || flags & !(libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) != 0 {
        return fail(libc::EINVAL);
    }
    let mask = SigSet(cx.read_u64(a[1])?).blockable();
    if a[0] as i32 == -1 {
        let id = signalfd::create(k, mask);
        return install_one(k, cx, Object::Signals(id), flags);
    }
    let Object::Signals(id) = k.file(k.file_of(cx.pid, a[0] as i32)?).object else { return fail(libc::EINVAL) };
    k.objects.signals.get_mut(&id).expect("signalfd exists").mask = mask;
    k.notify(id);
    done(a[0])
}

/// epoll_create(2).
pub fn epoll_create(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if a[0] as i32 <= 0 {
        return fail(libc::EINVAL);
    }
    epoll_create1(k, cx, &[0; 6])
}

/// epoll_create1(2).
pub fn epoll_create1(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let flags = a[0] as i32;
    if flags & !libc::EPOLL_CLOEXEC != 0 {
        return fail(libc::EINVAL);
    }
    let id = epoll::create(k);
    install_one(k, cx, Object::Epoll(id), flags)
}

fn epoll_of(k: &Kernel, cx: &Ctx<'_, '_>, fd: u64) -> Result<crate::kernel::ObjectId, Fail> {
    match k.file(k.file_of(cx.pid, fd as i32)?).object {
        Object::Epoll(id) => Ok(id),
        _ => fail(libc::EINVAL),
    }
}

/// epoll_ctl(2).
pub fn epoll_ctl(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (op, fd) = (a[1] as i32, a[2] as i32);
    let file = k.file_of(cx.pid, fd)?;
    let id = epoll_of(k, cx, a[0])?;
    let (events, data) = if op == libc::EPOLL_CTL_DEL { (0, 0) } else { (cx.read_u32(a[3])?, cx.read_u64(a[3] + 4)?) };
    epoll::control(k, id, op, fd, file, events, data)?;
    done(0)
}

/// epoll_wait(2).
pub fn epoll_wait(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let timeout = a[3] as i32;
    let timeout = u64::try_from(timeout).ok().map(|ms| ms * 1_000_000);
    epoll_wait_for(k, cx, a, timeout)
}

/// epoll_pwait(2).
pub fn epoll_pwait(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    super::poll::use_mask(k, cx, a[4], a[5])?;
    epoll_wait(k, cx, a)
}

/// epoll_pwait2(2).
pub fn epoll_pwait2(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let timeout = if a[3] == 0 { None } else { Some(cx.read_timespec(a[3])?) };
    super::poll::use_mask(k, cx, a[4], a[5])?;
    epoll_wait_for(k, cx, a, timeout)
}

fn epoll_wait_for(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6], timeout: Option<u64>) -> SysResult {
    let max = a[2] as i32;
    let id = epoll_of(k, cx, a[0])?;
    if max <= 0 || max > i32::MAX / 12 {
        return fail(libc::EINVAL);
    }
    let ready = epoll::wait(k, cx.tid, id, max as usize);
    if ready.is_empty() && timeout != Some(0) {
        let deadline = super::poll::deadline(k, cx, timeout)?;
        if deadline.is_none_or(|d| k.now < d) {
            return Ok(Outcome::Block(Wait::object(id).until(deadline)));
        }
    }
    let mut raw = Vec::with_capacity(ready.len() * 12);
    for item in &ready {
        raw.extend_from_slice(&item.events.to_le_bytes());
        raw.extend_from_slice(&item.data.to_le_bytes());
    }
    cx.write(a[1], &raw)?;
    crate::run::lane::likely(k.process_mut(cx.pid), ready.iter().map(|item| item.fd));
    done(ready.len())
}
