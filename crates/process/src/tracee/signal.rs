//! Signals: what comes with one, and how a handler is entered.

use std::time::{Duration, Instant};

use super::stub::SCRATCH_DATA;
use super::thread::{At, Stop, Stray};
use super::{Regs, Result, Tracee, sys};

/// A carrier that has not come after this time is sent again.
const CARRIER_LATE: Duration = Duration::from_millis(2);

/// A `siginfo_t`, as the kernel lays it out.
#[derive(Clone, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct SigInfo([u8; 128]);

impl SigInfo {
    /// All zero: no signal.
    pub const fn zeroed() -> SigInfo {
        SigInfo([0; 128])
    }

    /// Of a signal that `pid` with `uid` sent with `kill` (`SI_USER`) or similar.
    pub fn sent(signo: i32, code: i32, pid: i32, uid: u32) -> SigInfo {
        let mut info = SigInfo::zeroed();
        info.set_i32(0, signo);
        info.set_i32(8, code);
        info.set_i32(16, pid);
        info.set_i32(20, uid as i32);
        info
    }

    /// Of SIGCHLD.
    pub fn child(code: i32, pid: i32, uid: u32, status: i32) -> SigInfo {
        let mut info = SigInfo::sent(libc::SIGCHLD, code, pid, uid);
        info.set_i32(24, status);
        info
    }

    /// Of a signal that carries a value (`sigqueue`, timers, message queues).
    pub fn with_value(mut self, value: u64) -> SigInfo {
        self.0[24..32].copy_from_slice(&value.to_le_bytes());
        self
    }

    /// Of an instruction's fault.
    pub fn fault(signo: i32, code: i32, addr: u64) -> SigInfo {
        let mut info = SigInfo::zeroed();
        info.set_i32(0, signo);
        info.set_i32(8, code);
        info.0[16..24].copy_from_slice(&addr.to_le_bytes());
        info
    }

    /// From the 128 bytes of a `siginfo_t`.
    pub fn from_bytes(bytes: [u8; 128]) -> SigInfo {
        SigInfo(bytes)
    }

    /// The 128 bytes of a `siginfo_t`.
    pub fn as_bytes(&self) -> &[u8; 128] {
        &self.0
    }

    /// The same, to change.
    pub fn as_bytes_mut(&mut self) -> &mut [u8; 128] {
        &mut self.0
    }

    /// `si_signo`.
    pub fn signo(&self) -> i32 {
        self.get_i32(0)
    }

    /// `si_code`: above zero if the kernel raised it.
    pub fn code(&self) -> i32 {
        self.get_i32(8)
    }

    /// `si_pid`, if it was sent.
    pub fn pid(&self) -> i32 {
        self.get_i32(16)
    }

    /// `si_addr`, if it is a fault.
    pub fn addr(&self) -> u64 {
        u64::from(self.get_i32(16) as u32) | u64::from(self.get_i32(20) as u32) << 32
    }

    /// `si_syscall`, if it is SIGSYS.
    pub(super) fn syscall(&self) -> i32 {
        self.get_i32(24)
    }

    fn get_i32(&self, at: usize) -> i32 {
        i32::from_le_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    fn set_i32(&mut self, at: usize, value: i32) {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
}

impl std::fmt::Debug for SigInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigInfo")
            .field("signo", &self.signo())
            .field("code", &self.code())
            .field("addr", &format_args!("{:#x}", self.addr()))
            .finish()
    }
}

/// What became of a delivered signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The thread stands at the first instruction of its handler; [`Tracee::regs`] say where.
    Handler,
    /// The program ignores it: nothing happened.
    Ignored,
    /// The thread has it blocked: nothing happened, and nothing is pending.
    Blocked,
    /// It killed the process (`Exited` or `Killed`). Collect the other threads with
    /// [`Tracee::reap`].
    Died(Stop),
    /// The handler's frame could not be written: a SIGSEGV to be dealt with as any other.
    Fault(Stop),
}

impl Tracee {
    /// Makes the stopped thread take a signal as the kernel would: with the kernel's own frame,
    /// alternate stack, mask and flags of its disposition. The frame returns to the present
    /// [`regs`](Self::regs), so answer or rewind a system call first.
    ///
    /// `wait_mask` is for the calls that wait with a mask of their own (`rt_sigsuspend`,
    /// `ppoll`, ...): the handler runs under that mask, and the frame restores the present one.
    ///
    /// Stop signals with their default action are not for this function: the model stops threads
    /// by not running them.
    pub fn deliver(&mut self, signo: i32, info: &SigInfo, wait_mask: Option<u64>) -> Result<Delivery> {
        if self.at == At::Seccomp && self.regs.orig_rax != u64::MAX {
            return self.misuse("signal at a system call that was not answered");
        }
        let mask = match wait_mask {
            Some(mask) => mask,
            None => sys::get_sigmask(self.tid())?,
        };
        if signo != libc::SIGKILL && mask >> (signo - 1) & 1 == 1 {
            return Ok(Delivery::Blocked);
        }
        match (self.at, wait_mask) {
            (At::Signal(_), None) => {}
            _ => self.carry(mask)?,
        }
        self.dirty = true;
        self.flush()?;
        let mut info = info.clone();
        info.set_i32(0, signo);
        sys::set_siginfo(self.tid(), &info)?;
        // A trap that is taken after the frame is written and before any user code; and if the
        // signal vanishes, in its place.
        sys::interrupt(self.tid())?;
        sys::cont(self.tid(), signo)?;
        let before = (self.regs.rip, self.regs.rsp);
        self.at = At::Running;
        let mut stop = self.wait_fresh(None)?;
        if stop == Stop::Interrupted && (self.regs.rip, self.regs.rsp) == before {
            // Ignored; unless the frame could not be written, which the kernel answers with a
            // SIGSEGV that comes after our trap.
            let failed = |info: &SigInfo| info.signo() == libc::SIGSEGV && info.code() > 0;
            if !sys::pending::<8>(self.tid())?.iter().any(failed) {
                return Ok(Delivery::Ignored);
            }
            sys::cont(self.tid(), 0)?;
            self.at = At::Running;
            stop = self.wait_fresh(None)?;
        }
        Ok(match stop {
            Stop::Interrupted => {
                self.settle_frame()?;
                Delivery::Handler
            }
            stop @ (Stop::Exited(_) | Stop::Killed(_)) => Delivery::Died(stop),
            stop @ Stop::Fault { .. } => Delivery::Fault(stop),
            _ => return self.misuse("stopped otherwise while taking a signal"),
        })
    }

    /// Which parts of the extended state the processor thinks are in use depends on when the thread was last switched out, and the
    /// kernel writes it into the frame. All parts have their values there, so calling all of them used changes nothing else.
    fn settle_frame(&mut self) -> Result<()> {
        /// From the stack pointer at a handler's entry to the pointer to the extended state (struct rt_sigframe).
        const FPSTATE: u64 = 8 + 40 + 184;
        /// In the extended state: FP_XSTATE_MAGIC1, then the parts that it holds; and the processor's header.
        const MAGIC_AT: u64 = 464;
        const FEATURES_AT: u64 = 472;
        const IN_USE_AT: u64 = 512;
        const MAGIC: u32 = 0x4650_5853;
        let frame = self.regs.rsp;
        let Ok(fpstate) = self.read_u64(frame.wrapping_add(FPSTATE)) else { return Ok(()) };
        if self.read_u32(fpstate.wrapping_add(MAGIC_AT)) != Ok(MAGIC) {
            return Ok(());
        }
        let word = |at: u64| self.read_u64(fpstate.wrapping_add(at));
        if let (Ok(features), Ok(in_use)) = (word(FEATURES_AT), word(IN_USE_AT)) {
            // The kernel has just written there.
            let _ = self.write_u64(fpstate.wrapping_add(IN_USE_AT), features);
            self.clear_gaps(fpstate, features, in_use);
        }
        Ok(())
    }

    /// Between the parts is what was on the stack before, or zeros: the kernel clears all of it first if it cannot write there at once, as where a page
    /// has a mark ([`track`](super::track)) or is not there yet. The same is true of a part that is not in use and that the processor then does not write,
    /// such as the configuration of tiles: zeros are its value.
    fn clear_gaps(&mut self, fpstate: u64, features: u64, in_use: u64) {
        const LEAF: u32 = 0xd;
        // What the processor leaves out of the legacy region; from 464 on the kernel writes.
        let mut gaps = vec![(416, 464)];
        let part = |bit: u32| {
            let [size, offset, ..] = super::cpuid::host(LEAF, bit);
            (u64::from(offset), u64::from(offset) + u64::from(size), in_use >> bit & 1 == 1)
        };
        let mut parts: Vec<_> = (2..63).filter(|bit| features >> bit & 1 == 1).map(part).collect();
        parts.sort_unstable();
        let (mut at, mut last) = (576, 576);
        for (start, end, is_used) in parts {
            if is_used && at < start {
                gaps.push((at, start));
            }
            at = if is_used { at.max(end) } else { at };
            last = last.max(end);
        }
        if at < last {
            gaps.push((at, last));
        }
        for (start, end) in gaps {
            // The kernel has just written around it.
            let _ = self.write_all(fpstate.wrapping_add(start), &vec![0; (end - start) as usize]);
        }
    }

    /// Brings the thread into a stop that can take a signal. The carrier is SIGSTOP: it cannot be
    /// blocked or ignored, and it never takes effect. The thread waits in `rt_sigsuspend` when
    /// the carrier comes, so that the kernel itself remembers the mask from before; and so that
    /// nothing of the program runs if somebody's SIGCONT takes the carrier away.
    fn carry(&mut self, mask: u64) -> Result<()> {
        if self.at != At::Seccomp {
            // Only from inside a call does the thread get into the next one before the carrier.
            self.native(libc::SYS_gettid, [0; 6])?;
        }
        sys::tgkill(self.pid(), self.tid(), libc::SIGSTOP)?;
        self.write_scratch(SCRATCH_DATA, &mask.to_le_bytes())?;
        self.start_native(libc::SYS_rt_sigsuspend, [SCRATCH_DATA, 8, 0, 0, 0, 0])?;
        let program: Regs = self.regs;
        let mut stray = Stray::while_("waiting for a signal to carry");
        loop {
            let status = self.wait_until(Some(Instant::now() + CARRIER_LATE))?;
            if !libc::WIFSTOPPED(status) {
                return Err(self.died(status));
            }
            if status >> 8 == libc::SIGSTOP {
                break;
            }
            if status >> 16 != 0 && status >> 16 != libc::PTRACE_EVENT_STOP {
                return self.unexpected(status, "waiting for a signal to carry");
            }
            sys::tgkill(self.pid(), self.tid(), libc::SIGSTOP)?;
            self.defer(status, &mut stray, sys::cont)?;
        }
        self.at = At::Signal(libc::SIGSTOP);
        self.regs = program;
        Ok(())
    }

    /// The thread's native mask of blocked signals.
    pub fn sigmask(&self) -> Result<u64> {
        sys::get_sigmask(self.tid())
    }

    /// Replaces it. (Not between `rt_sigsuspend`'s mask and its handler: the kernel would forget
    /// the mask to go back to.)
    pub fn set_sigmask(&mut self, mask: u64) -> Result<()> {
        sys::set_sigmask(self.tid(), mask)
    }
}

const _: () = assert!(std::mem::size_of::<SigInfo>() == std::mem::size_of::<libc::siginfo_t>());
