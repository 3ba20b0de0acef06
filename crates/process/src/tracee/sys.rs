//! Thin safe wrappers over the calls that hold a tracee. The tracee layer's `unsafe` lives here, in
//! `spawn` (the child side of `fork`), `clock` (the timer), `tsc` (the clock's replacement) and `uffd` (the record of writes).

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use libc::{c_int, c_long, c_uint, c_void, pid_t};

use super::{Error, Result, SigInfo};

/// The general registers, as ptrace shows them.
pub type Regs = libc::user_regs_struct;

/// Number of 64-bit words in [`Regs`].
pub const REGS_WORDS: usize = size_of::<Regs>() / 8;
const _: () = assert!(size_of::<Regs>() == 27 * 8);

/// Register set number of the extended state (`NT_X86_XSTATE`).
const NT_X86_XSTATE: usize = 0x202;
/// Length of the extended state. At first more than any processor has (AMX included), then what
/// this one has.
static XSTATE_LEN: AtomicUsize = AtomicUsize::new(16 << 10);

/// The registers as plain words, in ptrace's order (for digests and logs).
pub fn regs_words(regs: &Regs) -> [u64; REGS_WORDS] {
    // SAFETY: `Regs` is `repr(C)`, 27 `c_ulonglong` fields without padding (asserted above).
    unsafe { std::mem::transmute_copy(regs) }
}

/// The reverse of [`regs_words`].
pub fn regs_from_words(words: &[u64; REGS_WORDS]) -> Regs {
    // SAFETY: `Regs` is 27 integers without padding; every bit pattern is valid.
    unsafe { std::mem::transmute_copy(words) }
}

pub(super) fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

pub(super) fn os_error(call: &'static str, error: io::Error) -> Error {
    Error::Os { call, errno: error.raw_os_error().unwrap_or(libc::EIO) }
}

fn last(call: &'static str) -> Error {
    Error::Os { call, errno: errno() }
}

fn ptrace(call: &'static str, request: c_uint, tid: pid_t, addr: usize, data: *mut c_void) -> Result<c_long> {
    // SAFETY: every caller in this module passes `data` as the request wants it: an integer, or a
    // pointer to memory of the right size that lives over the call.
    let ret = unsafe { libc::ptrace(request, tid, addr, data) };
    if ret >= 0 {
        return Ok(ret);
    }
    match errno() {
        libc::ESRCH => Err(Error::Gone { tid }),
        errno => Err(Error::Os { call, errno }),
    }
}

/// Attaches without stopping.
pub fn seize(tid: pid_t, options: c_int) -> Result<()> {
    ptrace("PTRACE_SEIZE", libc::PTRACE_SEIZE, tid, 0, options as usize as *mut c_void).map(drop)
}

/// Reads the general registers.
pub fn get_regs(tid: pid_t, regs: &mut Regs) -> Result<()> {
    ptrace("PTRACE_GETREGS", libc::PTRACE_GETREGS, tid, 0, ptr::from_mut(regs).cast()).map(drop)
}

/// Writes the general registers.
pub fn set_regs(tid: pid_t, regs: &Regs) -> Result<()> {
    let data = ptr::from_ref(regs).cast_mut().cast();
    ptrace("PTRACE_SETREGS", libc::PTRACE_SETREGS, tid, 0, data).map(drop)
}

/// Reads the extended state in the format of `XSAVE`.
pub fn get_xstate(tid: pid_t) -> Result<Vec<u8>> {
    let mut buffer = vec![0u8; XSTATE_LEN.load(Ordering::Relaxed)];
    let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let data = ptr::from_mut(&mut iov).cast();
    ptrace("PTRACE_GETREGSET", libc::PTRACE_GETREGSET as c_uint, tid, NT_X86_XSTATE, data)?;
    buffer.truncate(iov.iov_len);
    XSTATE_LEN.store(buffer.len(), Ordering::Relaxed);
    Ok(buffer)
}

/// Writes the extended state.
pub fn set_xstate(tid: pid_t, state: &[u8]) -> Result<()> {
    let mut iov = libc::iovec { iov_base: state.as_ptr().cast_mut().cast(), iov_len: state.len() };
    let data = ptr::from_mut(&mut iov).cast();
    ptrace("PTRACE_SETREGSET", libc::PTRACE_SETREGSET as c_uint, tid, NT_X86_XSTATE, data).map(drop)
}

fn run(call: &'static str, request: c_uint, tid: pid_t, signal: c_int) -> Result<()> {
    ptrace(call, request, tid, 0, signal as usize as *mut c_void).map(drop)
}

/// Lets the thread run, with `signal` (0: none) in the place of the one it stopped with.
pub fn cont(tid: pid_t, signal: c_int) -> Result<()> {
    run("PTRACE_CONT", libc::PTRACE_CONT, tid, signal)
}

/// As [`cont`], stopping at the next entry to or exit from a system call.
pub fn cont_to_syscall(tid: pid_t, signal: c_int) -> Result<()> {
    run("PTRACE_SYSCALL", libc::PTRACE_SYSCALL, tid, signal)
}

/// As [`cont`], stopping after one instruction.
pub fn single_step(tid: pid_t, signal: c_int) -> Result<()> {
    run("PTRACE_SINGLESTEP", libc::PTRACE_SINGLESTEP, tid, signal)
}

/// Asks the thread to stop; when it is stopped already, to stop again before it runs user code.
pub fn interrupt(tid: pid_t) -> Result<()> {
    run("PTRACE_INTERRUPT", libc::PTRACE_INTERRUPT as c_uint, tid, 0)
}

/// The number that goes with an event stop.
pub fn event_message(tid: pid_t) -> Result<u64> {
    let mut message: libc::c_ulong = 0;
    let data = ptr::from_mut(&mut message).cast();
    ptrace("PTRACE_GETEVENTMSG", libc::PTRACE_GETEVENTMSG as c_uint, tid, 0, data)?;
    Ok(message)
}

/// The siginfo of the signal that the thread stopped with.
pub fn get_siginfo(tid: pid_t) -> Result<SigInfo> {
    let mut info = SigInfo::zeroed();
    let data = info.as_bytes_mut().as_mut_ptr().cast();
    ptrace("PTRACE_GETSIGINFO", libc::PTRACE_GETSIGINFO as c_uint, tid, 0, data)?;
    Ok(info)
}

/// Replaces it.
pub fn set_siginfo(tid: pid_t, info: &SigInfo) -> Result<()> {
    let data = info.as_bytes().as_ptr().cast_mut().cast();
    ptrace("PTRACE_SETSIGINFO", libc::PTRACE_SETSIGINFO as c_uint, tid, 0, data).map(drop)
}

/// The thread's native mask of blocked signals.
pub fn get_sigmask(tid: pid_t) -> Result<u64> {
    let mut mask = 0u64;
    let data = ptr::from_mut(&mut mask).cast();
    ptrace("PTRACE_GETSIGMASK", libc::PTRACE_GETSIGMASK, tid, 8, data)?;
    Ok(mask)
}

/// Replaces it.
pub fn set_sigmask(tid: pid_t, mask: u64) -> Result<()> {
    let data = ptr::from_ref(&mask).cast_mut().cast();
    ptrace("PTRACE_SETSIGMASK", libc::PTRACE_SETSIGMASK, tid, 8, data).map(drop)
}

/// Arguments of `PTRACE_PEEKSIGINFO`.
#[repr(C)]
struct PeekArgs {
    offset: u64,
    flags: u32,
    count: i32,
}

/// The first signals that are pending for the thread alone, at most `N`.
pub fn pending<const N: usize>(tid: pid_t) -> Result<Vec<SigInfo>> {
    const PTRACE_PEEKSIGINFO: c_uint = 0x4209;
    let args = PeekArgs { offset: 0, flags: 0, count: N as i32 };
    let mut infos = [const { SigInfo::zeroed() }; N];
    let (addr, data) = (ptr::from_ref(&args) as usize, infos.as_mut_ptr().cast());
    let count = ptrace("PTRACE_PEEKSIGINFO", PTRACE_PEEKSIGINFO, tid, addr, data)?;
    Ok(infos[..count as usize].to_vec())
}

/// What one `waitpid` saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// A status of the thread.
    Status(c_int),
    /// A signal of ours came first (the tick).
    Interrupted,
    /// Nothing yet (only without blocking).
    Nothing,
}

/// Waits for a thread, or, with a negative number, for any of a process group: whose status it is, and which.
fn waitpid(tid: pid_t, flags: c_int) -> Result<(pid_t, Waited)> {
    let mut status = 0;
    // SAFETY: `status` is a live `c_int`.
    let ret = unsafe { libc::waitpid(tid, &mut status, flags | libc::__WALL) };
    match ret {
        0 => Ok((0, Waited::Nothing)),
        ret if ret > 0 => Ok((ret, Waited::Status(status))),
        _ => match errno() {
            libc::EINTR => Ok((0, Waited::Interrupted)),
            libc::ECHILD => Err(Error::Gone { tid }),
            errno => Err(Error::Os { call: "waitpid", errno }),
        },
    }
}

/// Waits for any thread of a process group until one stops, ends, or a signal of our own arrives.
pub fn wait_any(group: pid_t) -> Result<(pid_t, Waited)> {
    waitpid(-group, 0)
}

/// Wakes one thread that waits for a word of shared memory, in whatever process.
pub fn futex_wake(word: &AtomicU32) -> Result<()> {
    // SAFETY: `word` is live; waking reads nothing else.
    match unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1, 0, 0, 0) } {
        -1 => Err(last("futex")),
        _ => Ok(()),
    }
}

/// Waits for one thread until it stops, ends, or a signal of our own arrives.
pub fn wait_once(tid: pid_t) -> Result<Waited> {
    waitpid(tid, 0).map(|(_, waited)| waited)
}

/// Asks whether there is a status, without blocking.
pub fn wait_poll(tid: pid_t) -> Result<Waited> {
    waitpid(tid, libc::WNOHANG).map(|(_, waited)| waited)
}

/// Pauses between looks at what no wait tells of, each twice as long as the one before.
///
/// They sleep. A loop around `sched_yield` may keep the processor from just the thread that it waits for: on Linux 6.18 that was seen for seconds.
pub struct Looks(Duration);

impl Looks {
    const FIRST: Duration = Duration::from_micros(20);
    const LONGEST: Duration = Duration::from_millis(1);

    /// Before the first pause.
    pub fn begin() -> Self {
        Self(Self::FIRST)
    }

    /// Sleeps.
    pub fn pause(&mut self) {
        std::thread::sleep(self.0);
        self.0 = (self.0 * 2).min(Self::LONGEST);
    }
}

/// Sends a signal to one thread.
pub fn tgkill(pid: pid_t, tid: pid_t, signal: c_int) -> Result<()> {
    // SAFETY: no pointers.
    let ret = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) };
    match ret {
        0 => Ok(()),
        _ if errno() == libc::ESRCH => Err(Error::Gone { tid }),
        _ => Err(last("tgkill")),
    }
}

/// Kills a process. A process that is gone already is fine.
pub fn kill_process(pid: pid_t) {
    // SAFETY: no pointers. `pid` is positive, hence one process, not a group.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

fn remote(addr: u64, len: usize) -> libc::iovec {
    libc::iovec { iov_base: addr as usize as *mut c_void, iov_len: len }
}

/// Copies from the tracee; how many bytes, possibly fewer than asked, or the errno.
pub fn vm_read(tid: pid_t, addr: u64, buffer: &mut [u8]) -> Result<usize, i32> {
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let there = remote(addr, buffer.len());
    // SAFETY: `local` spans `buffer`; the kernel checks the remote side.
    let ret = unsafe { libc::process_vm_readv(tid, &local, 1, &there, 1, 0) };
    usize::try_from(ret).map_err(|_| errno())
}

/// Copies several ranges of the tracee, one after the other, into one buffer. At most
/// [`IOV_MAX`] ranges.
pub fn vm_read_ranges(tid: pid_t, ranges: &[(u64, usize)], buffer: &mut [u8]) -> Result<usize, i32> {
    let total: usize = ranges.iter().map(|range| range.1).sum();
    assert!(total <= buffer.len() && ranges.len() <= IOV_MAX);
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: total };
    let there: Vec<libc::iovec> = ranges.iter().map(|&(addr, len)| remote(addr, len)).collect();
    // SAFETY: `local` spans at most `buffer` (asserted); the kernel checks the remote side.
    let ret = unsafe { libc::process_vm_readv(tid, &local, 1, there.as_ptr(), there.len() as libc::c_ulong, 0) };
    usize::try_from(ret).map_err(|_| errno())
}

/// How many ranges one vectored call takes.
pub const IOV_MAX: usize = 1024;

/// Copies into the tracee; how many bytes, possibly fewer than asked, or the errno.
pub fn vm_write(tid: pid_t, addr: u64, bytes: &[u8]) -> Result<usize, i32> {
    let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let there = remote(addr, bytes.len());
    // SAFETY: the kernel only reads the local range, which spans `bytes`.
    let ret = unsafe { libc::process_vm_writev(tid, &local, 1, &there, 1, 0) };
    usize::try_from(ret).map_err(|_| errno())
}

/// A new anonymous file.
pub fn memfd_create(name: &std::ffi::CStr, flags: c_uint) -> Result<OwnedFd> {
    /// Newer kernels warn when a memfd does not say whether it may be executed.
    const MFD_EXEC: c_uint = 0x10;
    for flags in [flags | MFD_EXEC, flags] {
        // SAFETY: `name` is a C string.
        let fd = unsafe { libc::memfd_create(name.as_ptr(), flags) };
        if fd >= 0 {
            // SAFETY: just returned to us, owned by nobody else.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
        }
        if errno() != libc::EINVAL {
            break;
        }
    }
    Err(last("memfd_create"))
}

/// Gives an empty file this length and maps it, shared.
pub fn map_shared(file: BorrowedFd<'_>, len: u64) -> Result<ptr::NonNull<u8>> {
    // SAFETY: no pointers.
    if unsafe { libc::ftruncate(file.as_raw_fd(), len as libc::off_t) } != 0 {
        return Err(last("ftruncate"));
    }
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the kernel chooses an address that nothing else has.
    let at = unsafe { libc::mmap(ptr::null_mut(), len as usize, prot, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    match ptr::NonNull::new(at.cast::<u8>()) {
        Some(at) if at.as_ptr().cast() != libc::MAP_FAILED => Ok(at),
        _ => Err(last("mmap")),
    }
}

/// Takes a mapping of [`map_shared`] away; nobody may use it any more.
pub fn unmap(at: ptr::NonNull<u8>, len: u64) {
    // SAFETY: the caller owns the mapping. It cannot fail for one that exists.
    unsafe { libc::munmap(at.as_ptr().cast(), len as usize) };
}

/// Makes a memfd unchangeable.
pub fn seal(fd: RawFd) -> Result<()> {
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;
    // SAFETY: no pointers.
    match unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) } {
        0 => Ok(()),
        _ => Err(last("F_ADD_SEALS")),
    }
}

/// A pair of connected sockets that keep message borders.
pub fn socket_pair() -> Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: `fds` has room for two descriptors.
    let ret =
        unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()) };
    if ret != 0 {
        return Err(last("socketpair"));
    }
    // SAFETY: just returned to us, owned by nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// Raises the soft limit of open descriptors to at least `wanted`.
pub fn raise_fd_limit(wanted: u64) -> Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a live rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(last("getrlimit"));
    }
    if limit.rlim_cur >= wanted {
        return Ok(());
    }
    limit.rlim_cur = wanted;
    limit.rlim_max = limit.rlim_max.max(wanted);
    // SAFETY: `limit` is a live rlimit.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } {
        0 => Ok(()),
        _ => Err(last("setrlimit(RLIMIT_NOFILE)")),
    }
}

/// Sends one byte, with one descriptor beside it.
pub fn send_fd(socket: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> Result<()> {
    let mut byte = [0u8; 1];
    let mut iov = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = FdMessage {
        length: size_of::<FdMessage>() - 4,
        level: libc::SOL_SOCKET,
        kind: libc::SCM_RIGHTS,
        fd: fd.as_raw_fd(),
        padding: 0,
    };
    // SAFETY: all-zero is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &mut iov;
    message.msg_iovlen = 1;
    message.msg_control = ptr::from_mut(&mut control).cast();
    message.msg_controllen = size_of::<FdMessage>();
    // SAFETY: `message` points to live, properly sized buffers.
    match unsafe { libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL) } {
        1 => Ok(()),
        _ => Err(last("sendmsg")),
    }
}

/// A control message with one descriptor: `cmsghdr`, the descriptor, padding to 8 bytes.
#[repr(C)]
struct FdMessage {
    length: usize,
    level: c_int,
    kind: c_int,
    fd: c_int,
    padding: c_int,
}
const _: () = assert!(size_of::<FdMessage>() == 24);

/// Sends a plain message.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> Result<()> {
    // SAFETY: `bytes` is live.
    let ret = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    if ret < 0 { Err(last("send")) } else { Ok(()) }
}

/// Receives a message if there is one; its length.
pub fn receive_now(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: `buffer` is live.
    let ret = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) };
    usize::try_from(ret).map_err(|_| last("recv"))
}

/// Sets the soft limit of a process's stack, as far as its hard limit allows.
pub fn limit_stack(pid: pid_t, bytes: u64) -> Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is live.
    let ret = unsafe {
        match libc::prlimit(pid, libc::RLIMIT_STACK, ptr::null(), &mut limit) {
            0 => {
                limit.rlim_cur = bytes.min(limit.rlim_max);
                libc::prlimit(pid, libc::RLIMIT_STACK, &limit, ptr::null_mut())
            }
            failed => failed,
        }
    };
    if ret == 0 { Ok(()) } else { Err(last("prlimit")) }
}

/// The CPU that the caller runs on.
pub fn current_cpu() -> usize {
    // SAFETY: no pointers.
    usize::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0)
}

/// The CPUs that a thread may run on.
pub fn affinity(thread: pid_t) -> Result<Vec<usize>> {
    // SAFETY: an all-zero set is valid; the kernel writes no more than its size.
    let (ret, set) = unsafe {
        let mut set: libc::cpu_set_t = MaybeUninit::zeroed().assume_init();
        (libc::sched_getaffinity(thread, size_of::<libc::cpu_set_t>(), &mut set), set)
    };
    if ret < 0 {
        return Err(last("sched_getaffinity"));
    }
    // SAFETY: `CPU_ISSET` checks bounds by indexing an array.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect())
}

/// Restricts a thread (0: the calling one), and what it forks, to these CPUs.
pub fn set_affinity(thread: pid_t, cpus: &[usize]) -> Result<()> {
    // SAFETY: an all-zero set is valid, and `CPU_SET` checks bounds by indexing an array.
    let ret = unsafe {
        let mut set: libc::cpu_set_t = MaybeUninit::zeroed().assume_init();
        for &cpu in cpus {
            libc::CPU_SET(cpu, &mut set);
        }
        libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &set)
    };
    if ret == 0 { Ok(()) } else { Err(last("sched_setaffinity")) }
}

/// The calling thread's id.
pub fn gettid() -> pid_t {
    // SAFETY: no pointers.
    unsafe { libc::gettid() }
}
