//! One held thread: its registers, how it runs and stops, and native calls in its name.
//!
//! [`Tracee::regs`] are the *program's* registers. What the thread's real registers hold while
//! native calls run is nobody's business: they are written back when the program goes on.

use std::cell::OnceCell;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use libc::{c_int, pid_t};

use super::lane::{Lane, NO_SLOT};
use super::stub::{CALL_GADGET, CALL_GADGET_AFTER, TRAP_GADGET_AFTER};
use super::sys::{self, Regs, Waited};
use super::{Error, Result, SigInfo, blob, clock, tsc};

/// Why a thread stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// It is about to make a system call. Answer with [`Tracee::finish_syscall`], or let it
    /// happen with [`Tracee::through`].
    Syscall {
        /// The call's number.
        nr: i64,
        /// Its arguments.
        args: [u64; 6],
        /// False for `int 0x80` and x32: refuse it, it is not for this table.
        arch_ok: bool,
    },
    /// An instruction raised a signal (SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP). It is not
    /// delivered unless the caller does so ([`Tracee::deliver`]).
    ///
    /// The kernel has already reset the disposition and unblocked the signal if the program had
    /// it blocked or ignored; a caller that goes on after such a fault (a trapped `rdtsc`) puts
    /// both back.
    Fault {
        /// The signal.
        signo: i32,
        /// What the kernel says of it.
        info: SigInfo,
    },
    /// A signal from elsewhere. It is swallowed; [`Tracee::deliver`] it at a time of your own.
    Signal {
        /// The signal.
        signo: i32,
        /// What the kernel says of it.
        info: SigInfo,
    },
    /// The deadline passed: stopped between two instructions.
    Interrupted,
    /// It ended by `exit` or `exit_group` (which only native calls make).
    Exited(i32),
    /// It was killed by a signal.
    Killed(i32),
}

/// Where a thread stands, as the kernel sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// Running, or about to report.
    Running,
    /// Stopped before a system call that can still be exchanged or skipped.
    Seccomp,
    /// Stopped about to take this signal.
    Signal(i32),
    /// Stopped anywhere else.
    Other,
    /// Reaped.
    Dead,
    /// Ended, but not to be reaped before the other threads of its process.
    Zombie,
}

/// What all tracees that descend from one spawn share.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// Our end of the socket whose other end every tracee has as descriptor 1000. One thread
    /// runs at a time, so what is sent reaches the one that is made to receive.
    pub socket: Arc<OwnedFd>,
    /// The memory that all of them share with us.
    pub lane: Arc<Mutex<Lane>>,
    /// Their process group on this host, which nobody leaves: the program's groups are the model's.
    pub group: pid_t,
}

/// A thread of the program, held by the calling thread. Dropping it while it lives kills its
/// process.
#[derive(Debug)]
pub struct Tracee {
    tid: pid_t,
    pid: pid_t,
    link: Link,
    pub(super) at: At,
    /// The program's registers; valid while stopped.
    pub(super) regs: Regs,
    /// The thread's real registers differ from `regs`.
    pub(super) dirty: bool,
    /// Reading the time stamp counter stops it.
    counter_traps: bool,
    /// It sleeps in the blob ([`baton`](super::baton)).
    pub(super) parked: bool,
    /// Where it can, once it has waited beside others.
    pub(super) slot: u32,
    /// It was last stopped in a loop that waits for a word to change, and is likely to be there again.
    pub spun: bool,
    /// Stops that arrived during a native call, to be reported before the thread runs on.
    deferred: Vec<Stop>,
    /// `/proc/PID/mem` of its image, if it was needed.
    pub(super) memory: OnceCell<File>,
}

/// Stops that may come before a thread gets where the supervisor sends it. Some do come (a signal from elsewhere, an interrupt of ours that was
/// late); a thread that stops again and again, as one does whose gadget page is gone, never gets there.
const STRAY_STOPS_MAX: u32 = 1000;

/// Counts the stops on one way, so that none is without end.
#[derive(Debug)]
pub(super) struct Stray {
    doing: &'static str,
    /// The native call's number, if it is one.
    nr: Option<i64>,
    stops: u32,
}

impl Stray {
    pub(super) fn while_(doing: &'static str) -> Stray {
        Stray { doing, nr: None, stops: 0 }
    }

    fn in_call(regs: &Regs) -> Stray {
        // Set by `start_native`, in one of two places.
        let nr = if regs.orig_rax == u64::MAX { regs.rax } else { regs.orig_rax };
        Stray { doing: "running native call", nr: Some(nr as i64), stops: 0 }
    }

    /// One more stop that leads nowhere; an error if there were too many.
    pub(super) fn another(&mut self, tid: pid_t, status: c_int) -> Result<()> {
        self.stops += 1;
        if self.stops < STRAY_STOPS_MAX {
            return Ok(());
        }
        let mut regs = sys::regs_from_words(&[0; sys::REGS_WORDS]);
        sys::get_regs(tid, &mut regs)?;
        let doing = self.nr.map_or_else(|| self.doing.to_owned(), |nr| format!("{} {nr}", self.doing));
        Err(Error::Restless { tid, doing, stops: self.stops, status, rip: regs.rip })
    }
}

/// How the thread came back from a native call.
enum Landed {
    /// At the trap gadget, with the call's result.
    Result(i64),
    /// The call was `execve` and succeeded; the thread has not reached user code yet.
    Execed,
}

const fn event(event: c_int) -> c_int {
    libc::SIGTRAP | event << 8
}

pub(super) const EVENT_SECCOMP: c_int = event(libc::PTRACE_EVENT_SECCOMP);
const EVENT_EXEC: c_int = event(libc::PTRACE_EVENT_EXEC);
const EVENT_CLONE: c_int = event(libc::PTRACE_EVENT_CLONE);
const EVENT_FORK: c_int = event(libc::PTRACE_EVENT_FORK);
const EVENT_VFORK: c_int = event(libc::PTRACE_EVENT_VFORK);
const EVENT_STOP: c_int = event(libc::PTRACE_EVENT_STOP);
const SYSCALL_STOP: c_int = libc::SIGTRAP | 0x80;

/// Ticks of waiting between two looks whether a thread has become a zombie.
const ZOMBIE_TICKS: u32 = 5;

/// The trap flag: a native call must not single-step.
pub(super) const EFLAGS_TF: u64 = 0x100;
const X32_BIT: u32 = 0x4000_0000;

impl Tracee {
    /// A thread that has just begun; `counter_traps` as it has from whoever began it.
    pub(super) fn new(tid: pid_t, pid: pid_t, link: Link, counter_traps: bool) -> Tracee {
        if counter_traps {
            tsc::hold();
        }
        let regs = sys::regs_from_words(&[0; sys::REGS_WORDS]);
        Tracee {
            tid,
            pid,
            link,
            at: At::Running,
            regs,
            dirty: false,
            counter_traps,
            parked: false,
            slot: NO_SLOT,
            spun: false,
            deferred: Vec::new(),
            memory: OnceCell::new(),
        }
    }

    /// The thread's id on this host (the program sees another one).
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// Its process's id on this host.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.link.socket.as_fd()
    }

    pub(super) fn link(&self) -> Link {
        self.link.clone()
    }

    /// The process group on this host of all tracees that descend from one spawn.
    pub(super) fn group(&self) -> pid_t {
        self.link.group
    }

    /// Is a stop to be reported before the thread runs on?
    pub(super) fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// The memory that all threads of the group share with us. Only while none of them runs.
    pub fn lane(&self) -> MutexGuard<'_, Lane> {
        self.link.lane.lock().expect("nobody panics while holding it")
    }

    /// The thread has faulted in the in-process code, on an address that the program gave it: the call it was to answer will stop instead.
    pub fn bail_out(&mut self) -> bool {
        let hit = blob::contains(self.regs.rip);
        if hit {
            self.regs_mut().rip = blob::bail();
        }
        hit
    }

    /// Does reading the time stamp counter stop it?
    pub fn counter_traps(&self) -> bool {
        self.counter_traps
    }

    /// Lets the thread read the time stamp counter, or makes that stop it. Threads that it begins have it from it.
    pub fn set_counter_traps(&mut self, traps: bool) -> Result<()> {
        if self.counter_traps == traps {
            return Ok(());
        }
        let mode = if traps { libc::PR_TSC_SIGSEGV } else { libc::PR_TSC_ENABLE };
        self.native_ok("prctl", libc::SYS_prctl, [libc::PR_SET_TSC as u64, mode as u64, 0, 0, 0, 0])?;
        self.counter_traps = traps;
        if traps {
            tsc::hold()
        } else {
            tsc::release()
        }
        Ok(())
    }

    /// Whether the thread has ended (reaped or not).
    pub fn is_dead(&self) -> bool {
        matches!(self.at, At::Dead | At::Zombie)
    }

    /// The program's registers, as of the last stop and what was done since. No call is made. Not of a parked thread.
    pub fn regs(&self) -> &Regs {
        assert!(!self.is_parked(), "a parked thread is taken out before its registers are looked at");
        &self.regs
    }

    /// The same, to change; they reach the thread with the next [`resume`](Self::resume).
    pub fn regs_mut(&mut self) -> &mut Regs {
        self.dirty = true;
        &mut self.regs
    }

    /// The extended state (x87, SSE, AVX ...) in the format of `XSAVE`.
    ///
    /// The bytes 512..576 (which components the processor thinks are in use) may differ between
    /// two runs that computed the same: leave them out of digests ([`xsave_values`]).
    pub fn xsave(&self) -> Result<Vec<u8>> {
        sys::get_xstate(self.tid)
    }

    /// Replaces the extended state.
    pub fn set_xsave(&mut self, state: &[u8]) -> Result<()> {
        sys::set_xstate(self.tid, state)
    }

    /// Skips the system call that the thread is stopped at: it will have returned `ret` (negative:
    /// an errno). `rcx` and `r11` are already what the instruction leaves there.
    pub fn finish_syscall(&mut self, ret: i64) {
        self.regs.rax = ret as u64;
        self.regs.orig_rax = u64::MAX;
        self.dirty = true;
    }

    /// Skips the system call, and moves back so that the thread makes it again (after a handler,
    /// for instance).
    pub fn rewind_syscall(&mut self, nr: i64) {
        self.finish_syscall(nr);
        self.regs.rip = self.regs.rip.wrapping_sub(2);
    }

    /// Lets the thread run. Signals that it stopped with are swallowed.
    pub fn resume(&mut self) -> Result<()> {
        if !self.deferred.is_empty() {
            return Ok(());
        }
        match self.at {
            At::Running => return self.misuse("resumed while running"),
            At::Dead | At::Zombie => return self.misuse("resumed after its end"),
            At::Seccomp if self.regs.orig_rax != u64::MAX => {
                return self.misuse("resumed at a system call that was not answered");
            }
            _ => {}
        }
        match self.flush().and_then(|()| sys::cont(self.tid, 0)) {
            // Killed from outside: the wait tells how.
            Ok(()) | Err(Error::Gone { .. }) => self.at = At::Running,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Waits until the resumed thread stops. When `deadline` passes first (within
    /// [`TICK`](super::TICK)), stops it.
    pub fn wait(&mut self, deadline: Option<Instant>) -> Result<Stop> {
        if let Some(stop) = self.deferred.pop() {
            return Ok(stop);
        }
        self.wait_fresh(deadline)
    }

    /// [`wait`](Self::wait) for a stop that has not happened yet.
    pub(super) fn wait_fresh(&mut self, deadline: Option<Instant>) -> Result<Stop> {
        let mut stray = Stray::while_("running");
        loop {
            let status = self.wait_until(deadline)?;
            if let Some(stop) = self.classify(status)? {
                return Ok(stop);
            }
            stray.another(self.tid, status)?;
            sys::cont(self.tid, 0)?;
        }
    }

    /// [`resume`](Self::resume) and [`wait`](Self::wait).
    pub fn run(&mut self, deadline: Option<Instant>) -> Result<Stop> {
        self.resume()?;
        self.wait(deadline)
    }

    /// Lets the thread execute one instruction, which must make no call; false if something else stopped it first, which the next wait tells.
    pub(super) fn step(&mut self) -> Result<bool> {
        if !self.deferred.is_empty() {
            return Ok(false);
        }
        self.flush()?;
        let mut stray = Stray::while_("stepping");
        loop {
            match sys::single_step(self.tid, 0) {
                // Killed from outside: the wait tells how.
                Ok(()) | Err(Error::Gone { .. }) => self.at = At::Running,
                Err(error) => return Err(error),
            }
            let status = self.wait_status()?;
            match self.classify(status)? {
                Some(Stop::Fault { signo: libc::SIGTRAP, info }) if info.code() == libc::TRAP_TRACE => return Ok(true),
                // An interrupt that was late. If the instruction is done, its trap is still to come, and comes before another one.
                None | Some(Stop::Interrupted) => stray.another(self.tid, status)?,
                Some(other) => {
                    self.deferred.push(other);
                    return Ok(false);
                }
            }
        }
    }

    /// Runs one system call natively in the thread, from any stop, and returns what the kernel
    /// returned (negative: an errno). The program's registers stay as they are.
    ///
    /// Not for calls that create or end threads, replace the image or change the registers:
    /// those have functions of their own.
    pub fn native(&mut self, nr: i64, args: [u64; 6]) -> Result<i64> {
        match self.native_landing(nr, args)? {
            (Landed::Result(result), _) => Ok(result),
            (Landed::Execed, _) => self.misuse("execve through native()"),
        }
    }

    /// As [`native`](Self::native), for a call that must succeed.
    pub fn native_ok(&mut self, call: &'static str, nr: i64, args: [u64; 6]) -> Result<u64> {
        match self.native(nr, args)? {
            ret if (-4095..0).contains(&ret) => Err(Error::Native { tid: self.tid, call, errno: -ret as i32 }),
            ret => Ok(ret as u64),
        }
    }

    /// Runs `clone` or `fork` and returns the child's tid, not waited for yet.
    pub(super) fn native_clone(&mut self, nr: i64, args: [u64; 6]) -> Result<Result<pid_t, i32>> {
        match self.native_landing(nr, args)? {
            (Landed::Result(ret), _) if ret < 0 => Ok(Err(-ret as i32)),
            (Landed::Result(_), Some(child)) => Ok(Ok(child)),
            _ => self.misuse("clone ended without a child"),
        }
    }

    /// Runs `execveat`; on success the thread stands at the stub's first trap.
    pub(super) fn native_exec(&mut self, args: [u64; 6]) -> Result<Result<Regs, i32>> {
        let regs = self.start_native(libc::SYS_execveat, args)?;
        match self.land_with(regs, Self::wait_exec_status)? {
            (Landed::Result(ret), _) => return Ok(Err(-ret as i32)),
            (Landed::Execed, _) => {}
        }
        // It shows the image that is gone.
        self.memory.take();
        sys::cont(self.tid, 0)?;
        let mut stray = Stray::while_("waiting for the stub");
        loop {
            let status = self.wait_status()?;
            if !libc::WIFSTOPPED(status) {
                return Err(self.died(status));
            }
            stray.another(self.tid, status)?;
            if status >> 8 == EVENT_SECCOMP {
                let mut regs = self.regs;
                sys::get_regs(self.tid, &mut regs)?;
                if regs.rip == TRAP_GADGET_AFTER {
                    return Ok(Ok(regs));
                }
                return self.unexpected(status, "waiting for the stub");
            }
            sys::cont(self.tid, 0)?;
        }
    }

    /// Lets the system call that the thread is stopped at happen as the program made it, and stops
    /// it at its return; the result, and all registers as the call left them
    /// (`rt_sigreturn` changes every one), are in [`regs`](Self::regs). Two stops in all, cheaper
    /// than [`native`](Self::native) with the same arguments.
    pub fn through(&mut self) -> Result<i64> {
        if self.at != At::Seccomp {
            return self.misuse("through() away from a system call");
        }
        self.flush()?;
        sys::cont_to_syscall(self.tid, 0)?;
        self.at = At::Running;
        let mut stray = Stray::in_call(&self.regs);
        loop {
            let status = self.wait_status()?;
            match status >> 8 {
                _ if !libc::WIFSTOPPED(status) => return Err(self.died(status)),
                SYSCALL_STOP => break,
                _ => self.defer(status, &mut stray, sys::cont_to_syscall)?,
            }
        }
        self.at = At::Other;
        sys::get_regs(self.tid, &mut self.regs)?;
        self.dirty = false;
        let result = self.regs.rax as i64;
        // The call is over: nothing may restart it.
        self.regs.orig_rax = u64::MAX;
        self.dirty = true;
        Ok(result)
    }

    /// The thread is at the stub's first trap, in a fresh image.
    pub(super) fn at_trap_gadget(&mut self, program: Regs) {
        self.at = At::Seccomp;
        self.regs = program;
        self.regs.orig_rax = u64::MAX;
        self.dirty = true;
        self.deferred.clear();
    }

    /// A stopped thread whose real registers are `regs`.
    pub(super) fn stopped_with(&mut self, regs: Regs) {
        self.at = At::Other;
        self.regs = regs;
        self.dirty = true;
    }

    /// Writes changed registers back.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.dirty {
            sys::set_regs(self.tid, &self.regs)?;
            self.dirty = false;
        }
        Ok(())
    }

    pub(super) fn refresh(&mut self) -> Result<()> {
        sys::get_regs(self.tid, &mut self.regs)?;
        self.dirty = false;
        Ok(())
    }

    pub(super) fn misuse<T>(&self, what: &'static str) -> Result<T> {
        Err(Error::Misuse { tid: self.tid, what })
    }

    pub(super) fn unexpected<T>(&self, status: c_int, doing: &'static str) -> Result<T> {
        Err(Error::Unexpected { tid: self.tid, status, doing })
    }

    /// Marks the thread dead; the death is reported by the next [`wait`](Self::wait).
    pub(super) fn died(&mut self, status: c_int) -> Error {
        if self.at != At::Zombie {
            self.at = At::Dead;
        }
        self.deferred.clear();
        self.deferred.push(death(status));
        Error::Gone { tid: self.tid }
    }

    fn native_landing(&mut self, nr: i64, args: [u64; 6]) -> Result<(Landed, Option<pid_t>)> {
        let regs = self.start_native(nr, args)?;
        self.land(regs)
    }

    /// Sets the thread going on a native call; where it lands is the caller's business.
    pub(super) fn start_native(&mut self, nr: i64, args: [u64; 6]) -> Result<Regs> {
        if self.is_parked() {
            self.take_out()?;
        }
        let mut regs = self.regs;
        match self.at {
            At::Running => return self.misuse("native call while running"),
            At::Dead | At::Zombie => return Err(Error::Gone { tid: self.tid }),
            // Exchange the call it is about to make; it returns before the trap gadget. Should
            // the kernel restart it, it goes back two bytes, to the call gadget.
            At::Seccomp => {
                regs.rip = CALL_GADGET_AFTER;
                regs.orig_rax = nr as u64;
            }
            At::Signal(_) | At::Other => {
                regs.rip = CALL_GADGET;
                regs.rax = nr as u64;
                regs.orig_rax = u64::MAX;
            }
        }
        [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = args;
        regs.eflags &= !EFLAGS_TF;
        sys::set_regs(self.tid, &regs)?;
        self.dirty = true;
        sys::cont(self.tid, 0)?;
        self.at = At::Running;
        Ok(regs)
    }

    fn land(&mut self, regs: Regs) -> Result<(Landed, Option<pid_t>)> {
        self.land_with(regs, Self::wait_status)
    }

    fn land_with(&mut self, mut regs: Regs, wait: fn(&mut Self) -> Result<c_int>) -> Result<(Landed, Option<pid_t>)> {
        let mut child = None;
        let mut stray = Stray::in_call(&regs);
        loop {
            let status = wait(self)?;
            if !libc::WIFSTOPPED(status) {
                return Err(self.died(status));
            }
            match status >> 8 {
                EVENT_SECCOMP => {
                    sys::get_regs(self.tid, &mut regs)?;
                    if regs.rip != TRAP_GADGET_AFTER {
                        return self.unexpected(status, "running a native call");
                    }
                    self.at = At::Seccomp;
                    return Ok((Landed::Result(regs.rdi as i64), child));
                }
                EVENT_CLONE | EVENT_FORK | EVENT_VFORK => {
                    child = Some(sys::event_message(self.tid)? as pid_t);
                    sys::cont(self.tid, 0)?;
                }
                EVENT_EXEC => return Ok((Landed::Execed, None)),
                _ => self.defer(status, &mut stray, sys::cont)?,
            }
        }
    }

    /// A stop that has nothing to do with the native call under way: keep signals for later.
    pub(super) fn defer(
        &mut self,
        status: c_int,
        stray: &mut Stray,
        go_on: fn(pid_t, c_int) -> Result<()>,
    ) -> Result<()> {
        stray.another(self.tid, status)?;
        if status >> 16 == 0 {
            let info = sys::get_siginfo(self.tid)?;
            self.deferred.insert(0, taken(libc::WSTOPSIG(status), info));
        }
        go_on(self.tid, 0)
    }

    /// Blocks until the thread has a status. Returns an exit status for a thread group leader
    /// that died while other threads of its process wait to be reaped.
    pub(super) fn wait_status(&mut self) -> Result<c_int> {
        self.wait_until(None)
    }

    /// Waits for a thread in `execve`: if it succeeds, a thread that was not the leader reports
    /// under the leader's id, which is its own from then on.
    fn wait_exec_status(&mut self) -> Result<c_int> {
        if self.tid == self.pid {
            return self.wait_status();
        }
        let mut looks = sys::Looks::begin();
        loop {
            match sys::wait_poll(self.tid) {
                Ok(Waited::Status(status)) => return Ok(status),
                Ok(_) | Err(Error::Gone { .. }) => {}
                Err(error) => return Err(error),
            }
            if let Waited::Status(status) = sys::wait_poll(self.pid)? {
                self.tid = self.pid;
                return Ok(status);
            }
            looks.pause();
        }
    }

    /// As [`wait_status`](Self::wait_status). When `deadline` passes first, stops the thread.
    pub(super) fn wait_until(&mut self, deadline: Option<Instant>) -> Result<c_int> {
        clock::ensure_ticks()?;
        tsc::give_up();
        let mut ticks = 0;
        loop {
            match sys::wait_once(self.tid)? {
                Waited::Status(status) => return Ok(status),
                Waited::Nothing => {}
                Waited::Interrupted => {
                    ticks += 1;
                    self.on_tick(deadline, ticks % ZOMBIE_TICKS == 0);
                }
            }
            if self.at == At::Zombie {
                return Ok(self.zombie_status().unwrap_or(libc::SIGKILL));
            }
        }
    }

    fn on_tick(&mut self, deadline: Option<Instant>, may_be_zombie: bool) {
        if deadline.is_some_and(|at| Instant::now() >= at) {
            // That it is gone is told by the wait.
            let _ = sys::interrupt(self.tid);
        }
        if may_be_zombie && self.zombie_status().is_some() {
            self.at = At::Zombie;
        }
    }

    /// Turns a wait status into a stop, or nothing if the thread is to go on.
    pub(super) fn classify(&mut self, status: c_int) -> Result<Option<Stop>> {
        if !libc::WIFSTOPPED(status) {
            if self.at != At::Zombie {
                self.at = At::Dead;
            }
            return Ok(Some(death(status)));
        }
        match status >> 8 {
            EVENT_SECCOMP => {
                self.at = At::Seccomp;
                self.refresh()?;
                let args = self.syscall_args();
                // The kernel calls by the lower half.
                let nr = i64::from(self.regs.orig_rax as i32);
                let arch_ok = nr as u32 & X32_BIT == 0 || nr < 0;
                Ok(Some(Stop::Syscall { nr, args, arch_ok }))
            }
            EVENT_STOP => {
                self.at = At::Other;
                self.refresh()?;
                Ok(Some(Stop::Interrupted))
            }
            // Group stops: the model has its own idea of them.
            event if event >> 8 == libc::PTRACE_EVENT_STOP => Ok(None),
            event if event >> 8 != 0 => self.unexpected(status, "running"),
            SYSCALL_STOP => self.unexpected(status, "running"),
            signo => self.signal_stop(signo).map(Some),
        }
    }

    fn signal_stop(&mut self, signo: i32) -> Result<Stop> {
        self.at = At::Signal(signo);
        self.refresh()?;
        let info = sys::get_siginfo(self.tid)?;
        // SIGSYS of the kernel's own making comes from the filter: a foreign architecture.
        if signo == libc::SIGSYS && info.code() > 0 {
            let Regs { rbx, rcx, rdx, rsi, rdi, rbp, .. } = self.regs;
            let (nr, args) = (i64::from(info.syscall()), [rbx, rcx, rdx, rsi, rdi, rbp]);
            return Ok(Stop::Syscall { nr, args, arch_ok: false });
        }
        Ok(taken(signo, info))
    }

    /// The arguments of the system call that the registers describe.
    pub fn syscall_args(&self) -> [u64; 6] {
        let Regs { rdi, rsi, rdx, r10, r8, r9, .. } = self.regs;
        [rdi, rsi, rdx, r10, r8, r9]
    }
}

/// What a signal that a thread is about to take means.
fn taken(signo: i32, info: SigInfo) -> Stop {
    let of_an_instruction = matches!(signo, libc::SIGSEGV | libc::SIGILL | libc::SIGFPE | libc::SIGBUS | libc::SIGTRAP);
    if of_an_instruction && info.code() > 0 { Stop::Fault { signo, info } } else { Stop::Signal { signo, info } }
}

/// What an exit status means.
fn death(status: c_int) -> Stop {
    if libc::WIFEXITED(status) { Stop::Exited(libc::WEXITSTATUS(status)) } else { Stop::Killed(libc::WTERMSIG(status)) }
}

/// The part of [`Tracee::xsave`] that two equal runs have in common: everything but the
/// processor's own bookkeeping (bytes 512..576) and the bytes reserved for software (464..512).
pub fn xsave_values(state: &[u8]) -> impl Iterator<Item = &[u8]> {
    let legacy = &state[..state.len().min(464)];
    let extended = state.get(576..).unwrap_or(&[]);
    [legacy, extended].into_iter()
}

impl Drop for Tracee {
    fn drop(&mut self) {
        if !self.is_dead() {
            sys::kill_process(self.pid);
        }
        if self.counter_traps {
            tsc::release();
        }
        if self.slot != NO_SLOT {
            self.lane().free_slot(self.slot);
        }
    }
}
