//! The baton among threads that are parked in the blob: how one of them is parked, taken out again, and waited for.
//!
//! A parked thread sleeps in the blob on a word of its slot, with what its call returns to in it. The baton comes to it from another thread without the
//! supervisor, so what runs when a run ends may be another thread than the one that it began with. To the supervisor a parked thread is one that
//! runs: whatever is to be known of it or done to it takes it out first. It then stops in its call, as if it had never been parked.

use std::collections::BTreeMap;
use std::time::Instant;

use super::lane::NO_SLOT;
use super::sys::{self, Waited};
use super::thread::{At, EFLAGS_TF, EVENT_SECCOMP, Stop, Stray};
use super::{Error, Result, Tracee, blob, clock, tsc};

impl Tracee {
    /// Does it sleep in the blob? What the journal says of a thread that is stopped, or has no slot, is not so.
    pub fn is_parked(&self) -> bool {
        self.parked && self.at == At::Running && self.slot != NO_SLOT
    }

    /// The journal says that it has parked, or has been given the baton.
    pub fn set_parked(&mut self, parked: bool) {
        self.parked = parked;
    }

    /// The slot in which the thread, which the program knows by this number, can park; [`NO_SLOT`] if there is none for it.
    pub fn slot(&mut self, program_tid: i32) -> u32 {
        if self.slot == NO_SLOT {
            let free = self.lane().take_slot();
            self.slot = free;
        }
        if self.slot != NO_SLOT {
            self.lane().name_slot(self.slot, program_tid);
        }
        self.slot
    }

    /// The slot in which it is parked, if it is.
    pub fn parked_in(&self) -> Option<u32> {
        self.is_parked().then_some(self.slot)
    }

    /// Is this the slot in which it can park?
    pub fn has_slot(&self, slot: u32) -> bool {
        slot != NO_SLOT && self.slot == slot
    }

    /// Parks a thread that has stopped in a call; `answered` is where the blob returns to when the call has been answered. False if it cannot be.
    pub fn park(&mut self, answered: u64) -> Result<bool> {
        if self.slot == NO_SLOT || self.at != At::Seccomp || self.regs.eflags & EFLAGS_TF != 0 {
            return Ok(false);
        }
        let program = self.regs;
        let frame = [
            program.r10,
            program.r9,
            program.r8,
            program.rdx,
            program.rsi,
            program.rdi,
            program.orig_rax,
            program.eflags,
            answered,
        ];
        self.lane().park(self.slot, program.rsp, frame);
        let mut regs = program;
        (regs.rip, regs.rdi, regs.orig_rax) = (blob::park(), self.slot.into(), u64::MAX);
        sys::set_regs(self.tid(), &regs)?;
        sys::cont(self.tid(), 0)?;
        (self.at, self.dirty, self.parked) = (At::Running, false, true);
        Ok(true)
    }

    /// Lets a parked thread make its call after all, and stops it there.
    pub fn take_out(&mut self) -> Result<()> {
        self.lane().take_out(self.slot)?;
        self.parked = false;
        let mut stray = Stray::while_("leaving the blob");
        loop {
            let status = self.wait_status()?;
            if !libc::WIFSTOPPED(status) {
                return Err(self.died(status));
            }
            if status >> 8 == EVENT_SECCOMP {
                self.at = At::Seccomp;
                return self.refresh();
            }
            self.defer(status, &mut stray, sys::cont)?;
        }
    }
}

/// Lets a thread run until it stops, or whoever has the baton then: who, and why. When `deadline` passes first (within
/// [`TICK`](super::TICK)), stops it.
pub fn run<K: Copy + Ord>(tracees: &mut BTreeMap<K, Tracee>, first: K, deadline: Option<Instant>) -> Result<(K, Stop)> {
    let tracee = tracees.get_mut(&first).expect("the thread is real");
    tracee.resume()?;
    let (hands_over, group) = (tracee.lane().hands_over(), tracee.group());
    if !hands_over || tracee.has_deferred() {
        return Ok((first, tracee.wait(deadline)?));
    }
    clock::ensure_ticks()?;
    tsc::give_up();
    let mut stray = Stray::while_("running");
    loop {
        let waited = sys::wait_any(group)?;
        let slot = tracees[&first].lane().holder();
        let has_baton = |key: K, tracee: &Tracee| if slot == NO_SLOT { key == first } else { tracee.has_slot(slot) };
        let (tid, Waited::Status(status)) = waited else {
            let late = deadline.is_some_and(|at| Instant::now() >= at);
            if let Some((_, holder)) = tracees.iter().find(|&(&key, tracee)| late && has_baton(key, tracee)) {
                // That it is gone is told by the wait.
                let _ = sys::interrupt(holder.tid());
            }
            continue;
        };
        let Some((&key, tracee)) = tracees.iter_mut().find(|(_, tracee)| tracee.tid() == tid) else {
            if libc::WIFSTOPPED(status) {
                // To pass over it would leave it stopped, and whoever waits for it waiting.
                return Err(Error::Unexpected { tid, status, doing: "running beside the group's threads" });
            }
            continue;
        };
        let asleep = !has_baton(key, tracee);
        match tracee.classify(status)? {
            // It sleeps, or is about to, and goes on with that.
            Some(Stop::Interrupted | Stop::Signal { .. }) if asleep => {}
            Some(stop) => return Ok((key, stop)),
            None => {}
        }
        stray.another(tid, status)?;
        sys::cont(tid, 0)?;
        tracee.at = At::Running;
    }
}
