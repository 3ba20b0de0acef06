//! Signals: who sent what to whom, what is blocked, and what happens on delivery.
//!
//! All signals that a program can see are the model's: the kernel's own (SIGCHLD of real children, say) are swallowed. They are delivered only
//! at event boundaries, so a position says where; only those from outside the group are inputs. The frame on the stack is the kernel's own.

mod info;
mod send;

pub use info::{SigInfo, child_info, fault_info, kernel_info, timer_info, user_info};
pub use send::{
    broken_pipe, deliverable, drop_ignored, file_too_large, group_members, is_blocked_or_ignored, is_disturbed,
    is_fatal, is_orphaned, pending, send_group, send_process, send_thread, take_deliverable, take_pending,
};

use crate::kernel::Nanos;
use std::collections::{BTreeMap, VecDeque};

/// A set of signals, bit n-1 for signal n.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct SigSet(pub u64);

impl SigSet {
    /// Is `signal` (1 to 64) in it?
    pub fn has(self, signal: i32) -> bool {
        (1..=64).contains(&signal) && self.0 & (1 << (signal - 1)) != 0
    }

    /// Everything but SIGKILL and SIGSTOP, which cannot be blocked.
    #[must_use]
    pub fn blockable(self) -> Self {
        self.without(libc::SIGKILL).without(libc::SIGSTOP)
    }

    /// With `signal` taken out.
    #[must_use]
    pub fn without(self, signal: i32) -> Self {
        Self(self.0 & !(1 << (signal - 1)))
    }

    /// With `signal` added.
    #[must_use]
    pub fn with(self, signal: i32) -> Self {
        Self(self.0 | 1 << (signal - 1))
    }
}

/// A signal with everything its handler can see of it.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Signal {
    /// 1 to 64.
    pub number: i32,
    /// siginfo_t, 128 bytes, with pids and addresses as the program knows them.
    pub info: SigInfo,
}

/// What a thread's own instruction causes.
const SYNCHRONOUS: [i32; 6] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGTRAP, libc::SIGFPE, libc::SIGSYS];

/// Signals sent and not yet delivered.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SigQueue {
    queue: VecDeque<Signal>,
}

/// What a signal does: the kernel's struct sigaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Action {
    /// SIG_DFL (0), SIG_IGN (1) or an address.
    pub handler: u64,
    /// SA_* flags.
    pub flags: u64,
    /// Trampoline.
    pub restorer: u64,
    /// Blocked while the handler runs.
    pub mask: SigSet,
}

/// The actions of a process, by signal number.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Actions {
    actions: BTreeMap<i32, Action>,
}

/// A timer made by timer_create.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PosixTimer {
    /// Time due (0 if off) and interval.
    pub due: (Nanos, Nanos),
    /// On CLOCK_REALTIME.
    pub realtime: bool,
    /// sigev_value.
    pub value: u64,
    /// What it sends.
    pub signal: Option<Signal>,
    /// SIGEV_THREAD_ID: to this thread only.
    pub thread: Option<crate::kernel::Tid>,
    /// Expirations that the signal taken last stood for beside its own.
    pub overrun: u32,
}

impl SigQueue {
    /// Adds a signal; a standard signal (below 32) that already waits is not queued twice.
    pub fn push(&mut self, signal: Signal) {
        if signal.number < 32 && self.queue.iter().any(|s| s.number == signal.number) {
            return;
        }
        self.queue.push_back(signal);
    }

    /// What waits of the timer of timer_create with this number.
    pub fn of_timer(&mut self, timer: i32) -> Option<&mut SigInfo> {
        self.queue.iter_mut().map(|s| &mut s.info).find(|info| info.timer() == Some(timer))
    }

    /// Signals that wait.
    pub fn set(&self) -> SigSet {
        self.queue.iter().fold(SigSet(0), |set, s| set.with(s.number))
    }

    /// Takes the lowest-numbered signal out of `wanted`, oldest first; those that faults send come before all others.
    pub fn take(&mut self, wanted: SigSet) -> Option<Signal> {
        let waiting = self.queue.iter().map(|s| s.number).filter(|&n| wanted.has(n));
        let number = waiting.min_by_key(|number| (!SYNCHRONOUS.contains(number), *number))?;
        let at = self.queue.iter().position(|s| s.number == number)?;
        self.queue.remove(at)
    }

    /// Drops all signals in `set`.
    pub fn discard(&mut self, set: SigSet) {
        self.queue.retain(|s| !set.has(s.number));
    }
}

impl Actions {
    /// What `signal` does.
    pub fn get(&self, signal: i32) -> Action {
        self.actions.get(&signal).copied().unwrap_or_default()
    }

    /// Changes it.
    pub fn set(&mut self, signal: i32, action: Action) {
        self.actions.insert(signal, action);
    }

    /// exec: caught signals go back to the default, ignored ones stay ignored.
    pub fn reset_for_exec(&mut self) {
        self.actions.retain(|_, a| a.handler == 1);
    }
}

/// What a signal does when nobody has said otherwise (signal(7)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefaultAction {
    /// The process ends.
    Terminate,
    /// Nothing.
    Ignore,
    /// The process stops.
    Stop,
    /// The process goes on.
    Continue,
}

/// The default action of a signal.
pub fn default_action(signal: i32) -> DefaultAction {
    match signal {
        libc::SIGCHLD | libc::SIGURG | libc::SIGWINCH => DefaultAction::Ignore,
        libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => DefaultAction::Stop,
        libc::SIGCONT => DefaultAction::Continue,
        _ => DefaultAction::Terminate,
    }
}
