//! siginfo_t: what a handler, sigwaitinfo or signalfd can see of a signal. Layout of x86-64: signo, errno, code, pad, union at 16.

use crate::kernel::{Pid, Process};
use serde::{Deserialize, Serialize};

/// The 128 bytes of a siginfo_t; those past 48 are always zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SigInfo([u8; 32], [u8; 16]);

impl SigInfo {
    /// A siginfo_t with its first three fields set.
    pub fn new(signal: i32, code: i32) -> Self {
        let mut info = Self([0; 32], [0; 16]);
        info.put(0, &signal.to_le_bytes());
        info.put(8, &code.to_le_bytes());
        info
    }

    /// From the program's memory; only the first 48 bytes can carry anything.
    pub fn from_bytes(raw: &[u8; 128]) -> Self {
        let mut info = Self([0; 32], [0; 16]);
        info.0.copy_from_slice(&raw[..32]);
        info.1.copy_from_slice(&raw[32..48]);
        info
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (i, &b) in bytes.iter().enumerate() {
            match at + i {
                i @ 0..32 => self.0[i] = b,
                i => self.1[i - 32] = b,
            }
        }
    }

    /// As it stands in memory.
    pub fn bytes(&self) -> [u8; 128] {
        let mut raw = [0; 128];
        raw[..32].copy_from_slice(&self.0);
        raw[32..48].copy_from_slice(&self.1);
        raw
    }

    /// si_code.
    pub fn code(&self) -> i32 {
        i32::from_le_bytes([self.0[8], self.0[9], self.0[10], self.0[11]])
    }

    fn int(&self, at: usize) -> i32 {
        i32::from_le_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    /// The number of the timer that sent it, if one did.
    pub fn timer(&self) -> Option<i32> {
        (self.code() == libc::SI_TIMER).then(|| self.int(16))
    }

    /// Expirations that this one stands for besides its own, if a timer sent it.
    pub fn overrun(&self) -> u32 {
        self.int(20).max(0) as u32
    }

    /// The same with si_signo set.
    #[must_use]
    pub fn with_signal(mut self, signal: i32) -> Self {
        self.put(0, &signal.to_le_bytes());
        self
    }

    /// The same with the sender set.
    #[must_use]
    pub fn with_sender(mut self, pid: Pid, uid: u32) -> Self {
        self.put(16, &pid.0.to_le_bytes());
        self.put(20, &uid.to_le_bytes());
        self
    }
}

/// Sent by a process with kill or tgkill.
pub fn user_info(signal: i32, code: i32, sender: &Process) -> SigInfo {
    SigInfo::new(signal, code).with_sender(sender.pid, sender.creds.uid[0])
}

/// Sent by the kernel.
pub fn kernel_info(signal: i32) -> SigInfo {
    SigInfo::new(signal, libc::SI_KERNEL)
}

/// SIGCHLD for a wait status.
pub fn child_info(child: &Process, status: i32) -> SigInfo {
    let (code, value) = if libc::WIFEXITED(status) {
        (libc::CLD_EXITED, libc::WEXITSTATUS(status))
    } else if libc::WIFSTOPPED(status) {
        (libc::CLD_STOPPED, libc::WSTOPSIG(status))
    } else if libc::WIFCONTINUED(status) {
        (libc::CLD_CONTINUED, libc::SIGCONT)
    } else if libc::WCOREDUMP(status) {
        (libc::CLD_DUMPED, libc::WTERMSIG(status))
    } else {
        (libc::CLD_KILLED, libc::WTERMSIG(status))
    };
    let mut info = SigInfo::new(libc::SIGCHLD, code).with_sender(child.pid, child.creds.uid[0]);
    info.put(24, &value.to_le_bytes());
    info
}

/// A timer made by timer_create expired.
pub fn timer_info(signal: i32, timer: i32, overrun: u32, value: u64) -> SigInfo {
    let mut info = SigInfo::new(signal, libc::SI_TIMER);
    info.put(16, &timer.to_le_bytes());
    info.put(20, &overrun.to_le_bytes());
    info.put(24, &value.to_le_bytes());
    info
}

/// A fault at an address.
pub fn fault_info(signal: i32, code: i32, addr: u64) -> SigInfo {
    let mut info = SigInfo::new(signal, code);
    info.put(16, &addr.to_le_bytes());
    info
}
