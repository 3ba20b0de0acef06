//! The probes: each does what gapless will do, in a child of its own, and says how it went.
//!
//! One of the few modules with unsafe code: it forks, traces and installs filters. Children
//! do nothing between fork and exit that is not async-signal-safe, so that a thread of this
//! process that held a lock at the fork cannot block them; a child that does not answer
//! within [`PATIENCE`] is killed.

use std::arch::x86_64::{__cpuid, __cpuid_count, _rdtsc};
use std::ffi::{c_int, c_long, c_void};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::thread;
use std::time::{Duration, Instant};

use super::{Cpu, Facts, Limit, Limits, Probed};

const PATIENCE: Duration = Duration::from_secs(5);
/// What the supervisor answers in place of the kernel, to see that it can.
const ANSWER: c_long = 4711;
/// A child reports a failed call as this plus errno (which is below 134 on Linux; those of
/// the probed calls are below 100).
const EXIT_ERRNO: c_int = 100;
const ADDR_NO_RANDOMIZE: libc::c_ulong = 0x004_0000;
const ARCH_SET_CPUID: c_int = 0x1012;

/// Everything but the log directory.
pub fn facts() -> Facts {
    Facts {
        kernel: kernel(),
        ptrace: ptrace(),
        ptrace_scope: read("/proc/sys/kernel/yama/ptrace_scope").and_then(|text| text.parse().ok()),
        seccomp: seccomp(),
        vm_read: vm_read(),
        tsc_trap: tsc_trap(),
        no_randomize: no_randomize(),
        cpuid_fault: in_child(|| {
            // SAFETY: sets a flag of this thread, which ends right after.
            status(unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_CPUID, 0) })
        }),
        cpu: cpu(),
        cpus: thread::available_parallelism().map_or(1, usize::from),
        user_namespace: in_child(|| {
            // SAFETY: changes only this child.
            status(c_long::from(unsafe { libc::unshare(libc::CLONE_NEWUSER) }))
        }),
        tap: tap(),
        limits: Limits {
            files: limit(libc::RLIMIT_NOFILE),
            processes: limit(libc::RLIMIT_NPROC).0,
            core: limit(libc::RLIMIT_CORE).0,
        },
        memory: memory(),
        clock_source: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        boot_id: read("/proc/sys/kernel/random/boot_id").is_some(),
        log: None,
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn last_error() -> String {
    io::Error::last_os_error().to_string()
}

/// -1 as the last error, anything else as success.
fn called(what: &str, result: c_long) -> Probed<c_long> {
    if result == -1 { Err(format!("{what}: {}", last_error())) } else { Ok(result) }
}

/// A child, killed and collected when dropped.
struct Child(libc::pid_t);

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: our own child, not yet collected, so the id is still its.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), libc::__WALL);
        }
    }
}

impl Child {
    /// Forks; the child runs `body` and exits with what it returns.
    fn start(body: impl FnOnce() -> c_int) -> Probed<Self> {
        // SAFETY: the child only runs `body`, async-signal-safe by this module's rule, and exits.
        match called("fork", unsafe { libc::fork() }.into())? {
            0 => {
                let code = body();
                // SAFETY: ends this process.
                unsafe { libc::_exit(code) }
            }
            pid => Ok(Self(libc::pid_t::try_from(pid).map_err(|e| e.to_string())?)),
        }
    }

    /// The next change of state.
    fn wait(&self) -> Probed<c_int> {
        let start = Instant::now();
        loop {
            let mut status = 0;
            // SAFETY: `status` outlives the call.
            let pid = unsafe { libc::waitpid(self.0, &raw mut status, libc::__WALL | libc::WNOHANG) };
            if called("waitpid", pid.into())? != 0 {
                return Ok(status);
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("no answer within {PATIENCE:?}"));
            }
            thread::sleep(Duration::from_micros(200));
        }
    }

    fn ptrace(&self, what: &str, request: libc::c_uint, address: usize, data: usize) -> Probed<()> {
        // SAFETY: the requests used here take integers, or pointers to buffers of this module
        // that outlive the call.
        let result = unsafe { libc::ptrace(request, self.0, address as *mut c_void, data as *mut c_void) };
        called(what, result).map(drop)
    }

    fn seize(&self) -> Probed<()> {
        let options = libc::PTRACE_O_EXITKILL
            | libc::PTRACE_O_TRACESYSGOOD
            | libc::PTRACE_O_TRACESECCOMP
            | libc::PTRACE_O_TRACECLONE
            | libc::PTRACE_O_TRACEEXEC;
        self.ptrace("PTRACE_SEIZE", libc::PTRACE_SEIZE, 0, options as usize)
    }

    fn registers(&self) -> Probed<libc::user_regs_struct> {
        let mut registers = MaybeUninit::<libc::user_regs_struct>::zeroed();
        self.ptrace("PTRACE_GETREGS", libc::PTRACE_GETREGS, 0, registers.as_mut_ptr() as usize)?;
        // SAFETY: plain integers, zeroed before and written by the call that succeeded.
        Ok(unsafe { registers.assume_init() })
    }

    fn set_registers(&self, registers: &libc::user_regs_struct) -> Probed<()> {
        self.ptrace("PTRACE_SETREGS", libc::PTRACE_SETREGS, 0, std::ptr::from_ref(registers) as usize)
    }
}

/// How a child ended, in words; success is exit status 0.
fn ended_well(status: c_int) -> Probed<()> {
    if libc::WIFSIGNALED(status) {
        return Err(format!("killed by signal {}", libc::WTERMSIG(status)));
    }
    match libc::WEXITSTATUS(status) {
        0 => Ok(()),
        code if code >= EXIT_ERRNO => Err(io::Error::from_raw_os_error(code - EXIT_ERRNO).to_string()),
        code => Err(format!("a child found a wrong result ({code})")),
    }
}

/// The exit status that tells how a call went. Async-signal-safe.
fn status(result: c_long) -> c_int {
    if result == -1 {
        // SAFETY: the address of this thread's errno.
        EXIT_ERRNO + unsafe { *libc::__errno_location() }
    } else {
        0
    }
}

/// Runs something in a child and says how it ended.
fn in_child(body: impl FnOnce() -> c_int) -> Probed<()> {
    ended_well(Child::start(body)?.wait()?)
}

/// Waits for ever, for a child whose parent does the work.
fn stand_still() -> c_int {
    loop {
        // SAFETY: only waits.
        unsafe { libc::pause() };
    }
}

fn ptrace() -> Probed<()> {
    let child = Child::start(stand_still)?;
    child.seize()?;
    child.ptrace("PTRACE_INTERRUPT", libc::PTRACE_INTERRUPT, 0, 0)?;
    let status = child.wait()?;
    if !libc::WIFSTOPPED(status) || status >> 16 != libc::PTRACE_EVENT_STOP {
        return Err(format!("a seized child did not stop (status {status:#x})"));
    }
    let registers = child.registers()?;
    child.set_registers(&registers)?;
    child.ptrace("PTRACE_CONT", libc::PTRACE_CONT, 0, 0)
}

/// A filter that traces getppid and allows all else.
fn filter() -> [libc::sock_filter; 4] {
    let op = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    [
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_getppid as u32),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_TRACE),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

fn seccomp() -> Probed<()> {
    let mut go = [0; 2];
    // SAFETY: two descriptors fit.
    called("pipe", unsafe { libc::pipe2(go.as_mut_ptr(), libc::O_CLOEXEC) }.into())?;
    let filter = filter();
    let child = Child::start(|| {
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        let mut byte = 0_u8;
        // SAFETY: plain calls on this child; the filter and the byte outlive them.
        unsafe {
            libc::read(go[0], (&raw mut byte).cast(), 1);
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 {
                return status(-1);
            }
            let mode = c_long::from(libc::SECCOMP_SET_MODE_FILTER);
            if libc::syscall(libc::SYS_seccomp, mode, 0, &raw const program) == -1 {
                return status(-1);
            }
            c_int::from(libc::syscall(libc::SYS_getppid) != ANSWER)
        }
    });
    let traced = child.and_then(|child| {
        child.seize()?;
        // SAFETY: one byte of a constant.
        called("write", unsafe { libc::write(go[1], b"x".as_ptr().cast(), 1) } as c_long)?;
        let status = child.wait()?;
        if !libc::WIFSTOPPED(status) {
            return ended_well(status).and(Err("the filter handed nothing over".to_owned()));
        }
        if status >> 8 != libc::SIGTRAP | (libc::PTRACE_EVENT_SECCOMP << 8) {
            return Err(format!("an unexpected stop (status {status:#x})"));
        }
        let mut registers = child.registers()?;
        registers.orig_rax = u64::MAX;
        registers.rax = ANSWER as u64;
        child.set_registers(&registers)?;
        child.ptrace("PTRACE_CONT", libc::PTRACE_CONT, 0, 0)?;
        ended_well(child.wait()?)
    });
    for fd in go {
        // SAFETY: ours, and closed once.
        unsafe { libc::close(fd) };
    }
    traced
}

fn vm_read() -> Probed<()> {
    let here = *b"memory of another";
    let mut there = [0_u8; 17];
    let child = Child::start(stand_still)?;
    let local = libc::iovec { iov_base: there.as_mut_ptr().cast(), iov_len: there.len() };
    let remote = libc::iovec { iov_base: here.as_ptr().cast_mut().cast(), iov_len: here.len() };
    // SAFETY: the local piece is `there`; the remote one is only an address in the child.
    let read = unsafe { libc::process_vm_readv(child.0, &raw const local, 1, &raw const remote, 1, 0) };
    called("process_vm_readv", read as c_long)?;
    if here == there { Ok(()) } else { Err("process_vm_readv read something else".to_owned()) }
}

fn tsc_trap() -> Probed<()> {
    let child = Child::start(|| {
        // SAFETY: changes only this child, which the trapped instruction is to end.
        unsafe {
            libc::signal(libc::SIGSEGV, libc::SIG_DFL);
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
            if libc::prctl(libc::PR_SET_TSC, libc::PR_TSC_SIGSEGV, 0, 0, 0) == -1 {
                return status(-1);
            }
            let _ = _rdtsc();
        }
        1
    })?;
    match child.wait()? {
        status if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV => Ok(()),
        status => ended_well(status).and(Err("rdtsc was not trapped".to_owned())),
    }
}

fn no_randomize() -> Probed<()> {
    in_child(|| {
        // SAFETY: changes only this child.
        unsafe {
            let now = libc::personality(0xffff_ffff);
            if now == -1 || libc::personality(now as libc::c_ulong | ADDR_NO_RANDOMIZE) == -1 {
                return status(-1);
            }
            c_int::from(libc::personality(0xffff_ffff) as libc::c_ulong & ADDR_NO_RANDOMIZE == 0)
        }
    })
}

fn cpu() -> Cpu {
    let highest = __cpuid(0).eax;
    let leaf = |leaf| (leaf <= highest).then(|| __cpuid_count(leaf, 0));
    let has = |register: Option<u32>, bit: u32| register.is_some_and(|r| r >> bit & 1 == 1);
    let seven = leaf(7).map(|l| l.ebx);
    Cpu {
        brand: brand(),
        avx512: has(seven, 16),
        rtm: has(seven, 11),
        // Without XSAVE there is the 512-byte area of FXSAVE.
        xsave_bytes: leaf(0xd).map_or(512, |l| l.ebx),
    }
}

fn brand() -> String {
    if __cpuid(0x8000_0000).eax < 0x8000_0004 {
        return "unnamed processor".to_owned();
    }
    let bytes: Vec<u8> = (0x8000_0002..=0x8000_0004)
        .map(__cpuid)
        .flat_map(|r| [r.eax, r.ebx, r.ecx, r.edx])
        .flat_map(u32::to_le_bytes)
        .take_while(|&b| b != 0)
        .collect();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

fn kernel() -> (String, String) {
    let mut names = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: `names` has room for the answer.
    unsafe { libc::uname(names.as_mut_ptr()) };
    // SAFETY: arrays of bytes, zeroed before the call.
    let names = unsafe { names.assume_init() };
    let text = |field: &[libc::c_char]| {
        let bytes: Vec<u8> = field.iter().map(|&c| c.cast_unsigned()).take_while(|&b| b != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    (text(&names.release), text(&names.machine))
}

/// Makes a TAP that vanishes with the child: in a network namespace of the child's own, so that nothing of this host's is touched. Without the right to
/// make one, a TAP that somebody else made can still be used, if its device file can be opened.
fn tap() -> Probed<()> {
    in_child(|| {
        // SAFETY: unshare changes only this child; the name ends with a NUL, and the request is an ifreq that outlives the call.
        unsafe {
            let apart = libc::unshare(libc::CLONE_NEWNET) == 0;
            let tun = libc::open(c"/dev/net/tun".as_ptr(), libc::O_RDWR);
            if tun < 0 || !apart {
                return status(tun.into());
            }
            let mut request: libc::ifreq = std::mem::zeroed();
            request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as i16;
            status(libc::ioctl(tun, libc::TUNSETIFF, &raw mut request).into())
        }
    })
}

fn limit(resource: libc::__rlimit_resource_t) -> (Limit, Limit) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives the call.
    unsafe { libc::getrlimit(resource, &raw mut limit) };
    let bounded = |n| (n != libc::RLIM_INFINITY).then_some(n);
    (bounded(limit.rlim_cur), bounded(limit.rlim_max))
}

/// All memory and what is available, in bytes.
fn memory() -> Option<(u64, u64)> {
    let text = read("/proc/meminfo")?;
    let kib = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some((kib("MemTotal")?.saturating_mul(1024), kib("MemAvailable")?.saturating_mul(1024)))
}
