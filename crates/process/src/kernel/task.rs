//! Processes, threads and address spaces as the program sees them.

use super::{FdTable, MemId, Nanos, Pid, Tid, Wait};
use crate::fs::InodeId;
use crate::signal::{Actions, SigQueue, SigSet};
use crate::tracee::text::MappedText;
use crate::tracee::{CallSites, Tracker};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a thread is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// Runs or can run.
    Ready,
    /// Its call is tried again when woken.
    Waiting(Wait),
    /// vfork: the child has not yet called exec or exit.
    VforkParent,
    /// Stopped by SIGSTOP and the like; holds what it did before.
    Stopped(Box<State>),
}

/// A system call in progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// Its number.
    pub nr: u64,
    /// Its arguments.
    pub args: [u64; 6],
    /// How often it was tried before: 0 the first time.
    pub tries: u32,
    /// The deadline computed at the first try.
    pub deadline: Option<Nanos>,
    /// Bytes that earlier tries have moved already.
    pub progress: u64,
    /// Its process was stopped meanwhile: it is over if a handler runs, whatever it waits for.
    pub stopped: bool,
}

impl Call {
    /// A call that has not been tried.
    pub fn new(nr: u64, args: [u64; 6]) -> Self {
        Self { nr, args, tries: 0, deadline: None, progress: 0, stopped: false }
    }
}

/// How a thread asked to be scheduled. Shapes nothing but what it is told of that.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Scheduling {
    /// -20 to 19.
    pub nice: i32,
    /// SCHED_OTHER (0) and its like.
    pub policy: i32,
    /// 1 to 99 in a real-time class, else 0.
    pub priority: u32,
    /// SCHED_RESET_ON_FORK: children start without what needs privilege.
    pub reset_on_fork: bool,
}

impl Scheduling {
    /// What a thread made by this one starts with.
    #[must_use]
    pub fn of_child(self) -> Self {
        match self.reset_on_fork {
            true if self.priority > 0 => Self::default(),
            true => Self { nice: self.nice.max(0), reset_on_fork: false, ..self },
            false => self,
        }
    }
}

/// One thread.
#[derive(Clone, Debug)]
pub struct Thread {
    /// Its number.
    pub tid: Tid,
    /// Its process.
    pub pid: Pid,
    /// What it does.
    pub state: State,
    /// The call it is in, if it is blocked in one.
    pub call: Option<Call>,
    /// Signals sent to this thread.
    pub pending: SigQueue,
    /// Blocked signals.
    pub mask: SigSet,
    /// Mask to restore when a sigsuspend-like call has delivered its signal.
    pub saved_mask: Option<SigSet>,
    /// Somebody has given this thread what its call waits for (FUTEX_WAKE, a change of semaphores): the call returns 0.
    pub granted: bool,
    /// Bitset of the futex wait in progress.
    pub futex_bits: u32,
    /// CLONE_CHILD_CLEARTID or set_tid_address.
    pub clear_child_tid: u64,
    /// set_robust_list.
    pub robust_list: u64,
    /// PR_SET_NAME.
    pub name: Vec<u8>,
    /// setpriority, sched_setscheduler.
    pub scheduling: Scheduling,
    /// PR_SET_TIMERSLACK, in nanoseconds. Shapes nothing: timers here are as exact as they can be.
    pub timer_slack: u64,
}

impl Thread {
    /// What a thread starts with that nobody has told otherwise.
    pub const TIMER_SLACK: u64 = 50_000;
}

/// An rlimit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Limit {
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// Who a process is.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Credentials {
    /// Real, effective, saved, file-system user.
    pub uid: [u32; 4],
    /// Real, effective, saved, file-system group.
    pub gid: [u32; 4],
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// One process.
#[derive(Debug)]
pub struct Process {
    /// Its number.
    pub pid: Pid,
    /// Its parent; processes whose parent is gone belong to pid 1, the model's own init.
    pub parent: Pid,
    /// Process group.
    pub group: Pid,
    /// Session.
    pub session: Pid,
    /// Descriptors.
    pub fds: FdTable,
    /// Current directory.
    pub cwd: InodeId,
    /// umask.
    pub umask: u32,
    /// Users and groups.
    pub creds: Credentials,
    /// What signals do.
    pub actions: Actions,
    /// Signals sent to the process as a whole.
    pub pending: SigQueue,
    /// Its address space.
    pub memory: MemId,
    /// Path of the program, for /proc/self/exe.
    pub exe: Vec<u8>,
    /// Arguments, for /proc/self/cmdline.
    pub args: Vec<Vec<u8>>,
    /// Environment, for /proc/self/environ.
    pub env: Vec<Vec<u8>>,
    /// Resource limits by number.
    pub limits: BTreeMap<usize, Limit>,
    /// ITIMER_REAL: time due (0 if off) and interval.
    pub alarm: (Nanos, Nanos),
    /// timer_create's timers.
    pub posix_timers: BTreeMap<i32, crate::signal::PosixTimer>,
    /// Time of its start.
    pub started: Nanos,
    /// wait status, once it is a zombie.
    pub zombie: Option<i32>,
    /// Stopped or continued and not yet reported to the parent: the wait status.
    pub report: Option<i32>,
    /// Signal for the parent at exit (SIGCHLD unless clone said otherwise).
    pub exit_signal: i32,
    /// The vfork parent to release at exec or exit.
    pub vfork_parent: Option<Tid>,
    /// It has called exec since it was made: its parent may not move it to another group any more.
    pub executed: bool,
    /// PR_SET_PDEATHSIG.
    pub parent_death_signal: i32,
    /// PR_SET_CHILD_SUBREAPER.
    pub subreaper: bool,
    /// PR_SET_DUMPABLE, PR_SET_KEEPCAPS ... by prctl number.
    pub prctl: BTreeMap<i32, u64>,
    /// Descriptors that it is likely to use next. Shapes nothing but speed.
    pub likely: Vec<i32>,
    /// Its threads hand the baton to each other: they are parked when they wait. Shapes nothing but speed.
    pub parks: bool,
}

impl Process {
    /// A resource limit.
    pub fn limit(&self, resource: usize) -> Limit {
        self.limits.get(&resource).copied().unwrap_or(Limit { soft: u64::MAX, hard: u64::MAX })
    }
}

/// What the model must know of an address space; the rest is the tracee's own.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The file of the program, which nobody may open for writing.
    pub image: Option<InodeId>,
    /// Where the break began.
    pub brk_start: u64,
    /// The break.
    pub brk: u64,
    /// Shared mappings by start: end, inode or shared-memory object, offset of the start in it.
    pub shared: BTreeMap<u64, (u64, u64, u64)>,
    /// Instructions that were replaced because they read the machine: address, original bytes.
    pub patched: BTreeMap<u64, Vec<u8>>,
    /// Those whose code was unmapped. The program may have kept a copy, with the replaced instruction in it, and put it back.
    pub gone: BTreeMap<u64, Vec<u8>>,
    /// Call sites, patched or counted until they are. Shapes nothing but speed.
    pub sites: CallSites,
    /// Code of files as it was mapped, by its first address. Shapes nothing but speed.
    pub texts: BTreeMap<u64, MappedText>,
    /// Memory that the program may write and execute.
    pub written: super::Written,
    /// Live, once a thread of it has been stopped while it computed: which pages were written since. Shapes nothing but speed.
    pub tracker: Option<Arc<Tracker>>,
    /// How many processes use it.
    pub users: u32,
}

impl Memory {
    /// Something has been mapped there natively.
    pub fn mapped(&self, start: u64, end: u64) {
        if let Some(tracker) = &self.tracker {
            tracker.mapped(start, end);
        }
    }

    /// What is mapped there is about to be moved natively. An empty range stands for a mapping that is to be doubled, of unknown length.
    pub fn moves(&mut self, start: u64, end: u64) {
        match &self.tracker {
            Some(tracker) if start < end => tracker.moves(start, end),
            _ => self.tracker = None,
        }
    }

    /// Forgets shared mappings in a range that is unmapped or mapped over, keeping what lies outside it.
    pub fn unmap(&mut self, start: u64, end: u64) {
        let hit: Vec<_> = self.shared.range(..end).filter(|(_, m)| m.0 > start).map(|(&s, &m)| (s, m)).collect();
        for (s, (e, key, offset)) in hit {
            self.shared.remove(&s);
            if s < start {
                self.shared.insert(s, (start, key, offset));
            }
            if e > end {
                self.shared.insert(end, (e, key, offset + (end - s)));
            }
        }
        self.written.remove(start, end);
        self.gone.extend(self.patched.extract_if(start..end, |_, _| true));
        self.sites.unmap(start, end);
        self.forget_texts(start, end);
    }

    /// What lies in a range may not be any more what a file has there.
    pub fn forget_texts(&mut self, start: u64, end: u64) {
        self.texts.retain(|&first, mapped| first >= end || mapped.end <= start);
    }

    /// The code of a file that the instruction before this address is in.
    pub fn text_before(&self, after: u64) -> Option<(u64, &MappedText)> {
        let (&first, mapped) = self.texts.range(..after).next_back()?;
        (after <= mapped.end).then_some((first, mapped))
    }

    /// The lowest address of what is shared, and the one behind the highest.
    pub fn shared_between(&self) -> (u64, u64) {
        let end = self.shared.values().map(|mapping| mapping.0).max();
        self.shared.keys().next().zip(end).map_or((0, 0), |(&start, end)| (start, end))
    }

    /// Is anything in a range shared?
    pub fn shares(&self, start: u64, end: u64) -> bool {
        self.shared.range(..end).any(|(_, mapping)| mapping.0 > start)
    }

    /// The addresses of a word of shared memory: where an object is mapped, the byte at this offset of it.
    pub fn addresses_of(&self, object: u64, offset: u64) -> impl Iterator<Item = u64> {
        self.shared.iter().filter_map(move |(&start, &(end, key, first))| {
            let at = offset.checked_sub(first)?.checked_add(start)?;
            (key == object && at < end).then_some(at)
        })
    }

    /// Object and offset in it behind an address, if it lies in a shared mapping.
    pub fn shared_at(&self, addr: u64) -> Option<(u64, u64)> {
        let (&start, &(end, key, offset)) = self.shared.range(..=addr).next_back()?;
        (addr < end).then(|| (key, offset + (addr - start)))
    }
}
