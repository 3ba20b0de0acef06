//! How a process of the group comes into being: fork, shed everything inherited, exec the stub.
//!
//! The child half runs between `fork` and `exec` of a supervisor with several threads, so it makes
//! plain system calls only: no allocation, no locks, no panics.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use libc::c_int;

use super::lane::Lane;
use super::stub::{self, LANE_FD, SOCKET_FD, STACK_GAP, STACK_SIZE, STUB_FD, TRAP_GADGET_AFTER};
use super::thread::{At, Link, Stray};
use super::{Error, Regs, Result, Tracee, filter, sys};

/// Everything that the supervisor wants to hear of, and that no tracee outlives it.
const OPTIONS: c_int = libc::PTRACE_O_TRACESECCOMP
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_EXITKILL
    | libc::PTRACE_O_TRACESYSGOOD;

/// Soft limit of open descriptors that this needs.
const FD_LIMIT: u64 = 4096;

/// Restricts the calling thread, and every tracee that it spawns from now on, to one CPU: the
/// given one, or the one it runs on. A stop costs 10-18 us on one CPU, 79-130 us across two.
pub fn pin_current_thread(cpu: Option<usize>) -> Result<usize> {
    let cpu = cpu.unwrap_or_else(sys::current_cpu);
    sys::set_affinity(0, &[cpu])?;
    Ok(cpu)
}

/// The steps of the child, for a readable error.
const STEPS: [&str; 10] = [
    "start",
    "PR_SET_PDEATHSIG",
    "setsid",
    "personality(ADDR_NO_RANDOMIZE)",
    "setrlimit",
    "dup2",
    "close_range",
    "PR_SET_NO_NEW_PRIVS",
    "PR_SET_TSC",
    "seccomp",
];

impl Tracee {
    /// Starts a new process that consists of the stub alone, stopped, ready for
    /// [`loader`](super::loader) or native calls.
    ///
    /// It has its own session, address randomisation off, an 8 MB stack limit, the time stamp
    /// counter trapped, no descriptors but [`RESERVED_FDS`](super::RESERVED_FDS), default signal
    /// dispositions and an empty signal mask. It dies with the supervisor.
    pub fn spawn() -> Result<Tracee> {
        sys::raise_fd_limit(FD_LIMIT)?;
        let (ours, theirs) = sys::socket_pair()?;
        let stub = stub::memfd()?;
        let lane = Lane::new()?;
        let pid = fork_child(&ours, [theirs.as_fd(), stub.as_fd(), lane.file()])?;
        let link = Link { socket: Arc::new(ours), lane: Arc::new(Mutex::new(lane)), group: pid };
        let mut tracee = Tracee::new(pid, pid, link, true);
        drop(theirs);
        sys::seize(pid, OPTIONS)?;
        sys::send(tracee.socket(), b"s")?;
        tracee.follow_child_to_stub()?;
        Ok(tracee)
    }

    /// Sees the child through its `execveat` up to the stub's first instruction.
    fn follow_child_to_stub(&mut self) -> Result<()> {
        let mut execed = false;
        let mut stray = Stray::while_("starting the stub");
        loop {
            let status = self.wait_status()?;
            if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
                self.at = At::Dead;
                return Err(self.child_error(status));
            }
            match status >> 8 {
                event if event == libc::SIGTRAP | libc::PTRACE_EVENT_EXEC << 8 => execed = true,
                event if event == libc::SIGTRAP | libc::PTRACE_EVENT_SECCOMP << 8 => {
                    let mut regs: Regs = self.regs;
                    sys::get_regs(self.tid(), &mut regs)?;
                    if execed && regs.rip == TRAP_GADGET_AFTER {
                        return self.settle_in_stub();
                    }
                }
                _ => {}
            }
            stray.another(self.tid(), status)?;
            sys::cont(self.tid(), 0)?;
        }
    }

    fn child_error(&self, status: c_int) -> Error {
        let mut report = [0u8; 8];
        match sys::receive_now(self.socket(), &mut report) {
            Ok(8) => {
                let [step, errno] =
                    [&report[..4], &report[4..]].map(|word| i32::from_le_bytes([word[0], word[1], word[2], word[3]]));
                let step = STEPS.get(step as usize).copied().unwrap_or("an unknown step");
                Error::Child { step, errno }
            }
            _ if libc::WIFEXITED(status) => {
                Error::Child { step: "execveat of the stub", errno: libc::WEXITSTATUS(status) }
            }
            _ => Error::Unexpected { tid: self.tid(), status, doing: "starting the stub" },
        }
    }
}

/// `theirs` are the descriptors that the child keeps: socket, stub and lane.
fn fork_child(ours: &OwnedFd, theirs: [BorrowedFd<'_>; 3]) -> Result<libc::pid_t> {
    let ours = ours.as_raw_fd();
    let theirs = theirs.map(|fd| fd.as_raw_fd());
    let filter = filter::program();
    // SAFETY: no pointers.
    let supervisor = unsafe { libc::getpid() };
    // SAFETY: the child calls `child`, which keeps to async-signal-safe calls and never returns.
    match unsafe { libc::fork() } {
        -1 => Err(Error::Os { call: "fork", errno: sys::errno() }),
        // SAFETY: we are the child, just forked.
        0 => unsafe { child(supervisor, ours, theirs, &filter) },
        pid => Ok(pid),
    }
}

/// The child's way to the stub.
///
/// # Safety
/// Only in a freshly forked child; the descriptors are open.
unsafe fn child(supervisor: libc::pid_t, ours: c_int, theirs: [c_int; 3], filter: &[libc::sock_filter]) -> ! {
    let [socket, ..] = theirs;
    // SAFETY: async-signal-safe calls on live stack memory only.
    unsafe {
        let check = |step: u32, ok: bool| {
            if !ok {
                let mut report = [0u8; 8];
                report[..4].copy_from_slice(&step.to_le_bytes());
                report[4..].copy_from_slice(&sys::errno().to_le_bytes());
                libc::send(socket, report.as_ptr().cast(), report.len(), libc::MSG_NOSIGNAL);
                libc::_exit(1);
            }
        };
        // Before it waits for anything: a supervisor that dies now has not seized it yet.
        check(1, libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0);
        // It may have died before the line above took effect.
        check(1, libc::getppid() == supervisor);
        // Held here too, the supervisor's end would never be seen to close.
        libc::close(ours);
        let mut byte = 0u8;
        while libc::recv(socket, (&raw mut byte).cast(), 1, 0) < 0 && sys::errno() == libc::EINTR {}
        check(2, libc::setsid() >= 0);
        reset_signals();
        check(3, libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) >= 0);
        check(4, set_limit(libc::RLIMIT_STACK, STACK_SIZE));
        // Where the hard limit is lower, the kernel leaves less.
        let _ = sys::limit_stack(0, STACK_GAP);
        check(4, set_limit(libc::RLIMIT_CORE, 0));
        // One may have a number that another is to get. (Numbers as high as these cost a supervisor of several threads 20 ms, so they are made here.)
        let moved = theirs.map(|fd| libc::fcntl(fd, libc::F_DUPFD, LANE_FD + 1));
        for (fd, number) in moved.into_iter().zip([SOCKET_FD, STUB_FD, LANE_FD]) {
            check(5, libc::dup2(fd, number) == number);
        }
        let (first, last) = (SOCKET_FD, LANE_FD);
        const { assert!(SOCKET_FD + 1 == STUB_FD && STUB_FD + 1 == LANE_FD) };
        let socket = SOCKET_FD;
        let check = |step: u32, ok: bool| {
            if !ok {
                let mut report = [0u8; 8];
                report[..4].copy_from_slice(&step.to_le_bytes());
                report[4..].copy_from_slice(&sys::errno().to_le_bytes());
                libc::send(socket, report.as_ptr().cast(), report.len(), libc::MSG_NOSIGNAL);
                libc::_exit(1);
            }
        };
        check(6, libc::syscall(libc::SYS_close_range, 0, first - 1, 0) == 0);
        check(6, libc::syscall(libc::SYS_close_range, last + 1, u32::MAX, 0) == 0);
        check(7, libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        let argv = [c"gapless".as_ptr(), std::ptr::null()];
        let envp = [std::ptr::null::<libc::c_char>()];
        check(8, libc::prctl(libc::PR_SET_TSC, libc::PR_TSC_SIGSEGV, 0, 0, 0) == 0);
        let mode = libc::SECCOMP_SET_MODE_FILTER;
        check(9, libc::syscall(libc::SYS_seccomp, mode, 0, &raw const program) == 0);
        // From here on every call is a stop that the supervisor lets pass.
        libc::syscall(libc::SYS_execveat, STUB_FD, c"".as_ptr(), argv.as_ptr(), envp.as_ptr(), libc::AT_EMPTY_PATH);
        libc::_exit(sys::errno())
    }
}

/// Handlers vanish at exec but ignored signals (SIGPIPE in every Rust program) and the mask stay.
///
/// # Safety
/// Only in a freshly forked child.
unsafe fn reset_signals() {
    // SAFETY: `sigaction` with SIG_DFL and `sigprocmask` with an empty set, on live memory.
    unsafe {
        let action: libc::sigaction = std::mem::MaybeUninit::zeroed().assume_init();
        for signal in 1..=64 {
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
        let mask = 0u64;
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, std::ptr::null_mut::<u64>(), 8);
    }
}

/// Lowers or raises a soft limit as far as the hard one allows.
///
/// # Safety
/// Only in a freshly forked child.
unsafe fn set_limit(resource: libc::__rlimit_resource_t, soft: u64) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is live.
    unsafe {
        if libc::getrlimit(resource, &mut limit) != 0 || limit.rlim_max < soft {
            return false;
        }
        limit.rlim_cur = soft;
        libc::setrlimit(resource, &limit) == 0
    }
}
