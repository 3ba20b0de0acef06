//! Threads and processes of the group: how they multiply, change their image, and end.

use libc::c_int;

use super::maps::Mapping;
use super::stub::{
    LANE_FD, LANE_LEN, LANE_START, PAGE, SCRATCH_DATA, SCRATCH_END, SCRATCH_START, SITES_END, SITES_START, STACK_GAP,
    STACK_SIZE, STACK_TOP, STUB_FD,
};
use super::thread::{At, Stray};
use super::{Error, Regs, Result, Tracee, maps, sys};

/// How a thread ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Died {
    /// It is gone and its id may be used again by the host.
    Reaped,
    /// It led its thread group, and other threads of it live: [`Tracee::reap`] it after them.
    /// Nothing of it touches memory any more.
    Zombie,
}

const USER_CS: u64 = 0x33;
const USER_DS: u64 = 0x2b;
/// Interrupts on, and the bit that is always set.
const INITIAL_EFLAGS: u64 = 0x202;
/// Flags of `clone` that would make the kernel write to memory, or stop, behind our back.
const FORBIDDEN_CLONE_FLAGS: u64 = (libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_SETTID
    | libc::CLONE_CHILD_CLEARTID
    | libc::CLONE_VFORK
    | libc::CLONE_PTRACE
    | libc::CLONE_UNTRACED) as u64;

/// The registers with which the kernel starts a new image.
pub(super) fn initial_regs(rip: u64, rsp: u64) -> Regs {
    let mut regs = sys::regs_from_words(&[0; sys::REGS_WORDS]);
    regs.rip = rip;
    regs.rsp = rsp;
    regs.cs = USER_CS;
    regs.ss = USER_DS;
    regs.eflags = INITIAL_EFLAGS;
    regs.orig_rax = u64::MAX;
    regs
}

impl Tracee {
    /// Runs `clone` in the thread and returns the new thread or process, stopped as if it had
    /// just returned 0 from the call. `Err(errno)` inside is the kernel's refusal.
    ///
    /// A new process becomes a child of the supervisor, whoever asked for it, so no zombie is
    /// left to the program. The flags that make the kernel write thread ids into memory, and
    /// `CLONE_VFORK`, are masked out: the model does what they ask. `stack` 0 keeps the parent's.
    pub fn clone_native(&mut self, flags: u64, stack: u64, tls: u64) -> Result<Result<Tracee, i32>> {
        let is_thread = flags & libc::CLONE_THREAD as u64 != 0;
        let mut flags = flags & !FORBIDDEN_CLONE_FLAGS & !0xff;
        if !is_thread {
            flags |= libc::CLONE_PARENT as u64;
        }
        let child = match self.native_clone(libc::SYS_clone, [flags, stack, 0, 0, tls, 0])? {
            Ok(child) => child,
            Err(errno) => return Ok(Err(errno)),
        };
        let pid = if is_thread { self.pid() } else { child };
        let mut new = Tracee::new(child, pid, self.link(), self.counter_traps());
        let status = new.wait_status()?;
        if !libc::WIFSTOPPED(status) {
            return Err(new.died(status));
        }
        let mut regs = *self.regs();
        regs.rax = 0;
        regs.orig_rax = u64::MAX;
        if stack != 0 {
            regs.rsp = stack;
        }
        if flags & libc::CLONE_SETTLS as u64 != 0 {
            regs.fs_base = tls;
        }
        new.stopped_with(regs);
        Ok(Ok(new))
    }

    /// Ends the thread with `exit`, or its whole process with `exit_group`, natively, and returns
    /// when it is really gone. After `exit_group`, [`reap`](Self::reap) the other threads first
    /// and then this one if it says [`Died::Zombie`].
    pub fn exit_native(&mut self, code: i32, group: bool) -> Result<Died> {
        let nr = if group { libc::SYS_exit_group } else { libc::SYS_exit };
        self.start_native(nr, [code as u64, 0, 0, 0, 0, 0])?;
        self.wait_for_end()
    }

    /// Collects a thread whose process has been killed or has exited. In a process with several
    /// threads, the leader (whose `tid` is the `pid`) comes last.
    pub fn reap(&mut self) -> Result<Died> {
        if self.at == At::Dead {
            return Ok(Died::Reaped);
        }
        self.wait_for_end()
    }

    /// Lets go of a leader that is a [`Died::Zombie`]: the thread that calls exec next takes its place on the host.
    pub fn forget(mut self) {
        self.at = At::Dead;
    }

    /// Kills the thread's whole process. The threads are then to be [`reap`](Self::reap)ed.
    pub fn kill(&mut self) {
        if self.at != At::Dead {
            sys::kill_process(self.pid());
        }
    }

    fn wait_for_end(&mut self) -> Result<Died> {
        let mut stray = Stray::while_("ending");
        loop {
            // It may have been a zombie until its last thread was reaped.
            if self.at == At::Zombie {
                self.at = At::Running;
            }
            let waited = if self.leads_others() { self.poll_leader()? } else { self.wait_status()? };
            if self.at == At::Zombie {
                return Ok(Died::Zombie);
            }
            if !libc::WIFSTOPPED(waited) {
                self.at = At::Dead;
                return Ok(Died::Reaped);
            }
            stray.another(self.tid(), waited)?;
            match sys::cont(self.tid(), 0) {
                // Killed where it stopped: the next wait tells how it ended.
                Ok(()) | Err(Error::Gone { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Has its process other threads that it is the leader of? It may then end and not be reported until they are reaped.
    fn leads_others(&self) -> bool {
        let threads = || std::fs::read_dir(format!("/proc/{}/task", self.pid())).map_or(0, Iterator::count);
        self.tid() == self.pid() && threads() != 1
    }

    /// As `wait_status`, but notices at once when a leader has become a zombie.
    fn poll_leader(&mut self) -> Result<c_int> {
        let mut looks = sys::Looks::begin();
        loop {
            match sys::wait_poll(self.tid())? {
                sys::Waited::Status(status) => return Ok(status),
                _ => {
                    if let Some(status) = self.zombie_status() {
                        // Not reported although it is a zombie: other threads are left.
                        if sys::wait_poll(self.tid())? == sys::Waited::Nothing {
                            self.at = At::Zombie;
                            return Ok(status);
                        }
                        self.at = At::Dead;
                        return Ok(status);
                    }
                    looks.pause();
                }
            }
        }
    }

    /// The exit status of a thread that has ended but cannot be reaped yet.
    pub(super) fn zombie_status(&self) -> Option<c_int> {
        let path = format!("/proc/{}/task/{}/stat", self.pid(), self.tid());
        let stat = std::fs::read_to_string(path).ok()?;
        // The name in parentheses may contain anything; fields are counted behind it.
        let rest = &stat[stat.rfind(')')? + 1..];
        let mut fields = rest.split_ascii_whitespace();
        if !matches!(fields.next()?, "Z" | "X") {
            return None;
        }
        fields.last()?.parse().ok()
    }

    /// Replaces the process image by the stub, as `execve` does: signal handlers back to default,
    /// a new address space, the thread becomes the process's only one and its leader. The other
    /// threads of the process must have been ended with [`exit_native`](Self::exit_native) before
    /// (a leader that is a [`Died::Zombie`] is then simply forgotten: this thread takes its id).
    pub fn exec_stub(&mut self) -> Result<()> {
        // "" and a pointer to it, and the end of the list.
        let argv = SCRATCH_DATA + 16;
        let mut block = [0u8; 48];
        block[16..24].copy_from_slice(&SCRATCH_DATA.to_le_bytes());
        self.write_scratch(SCRATCH_DATA, &block)?;
        let at_empty_path = libc::AT_EMPTY_PATH as u64;
        let args = [STUB_FD as u64, SCRATCH_DATA, argv, argv + 8, at_empty_path, 0];
        sys::limit_stack(self.pid(), STACK_GAP)?;
        match self.native_exec(args)? {
            Ok(_) => self.settle_in_stub(),
            Err(errno) => Err(Error::Native { tid: self.tid(), call: "execveat", errno }),
        }
    }

    /// Clears the fresh image of what the kernel put there: vDSO, its data, arguments. Its addresses have been chosen by the limit of the stack, which
    /// is what it should be from here on.
    pub(super) fn settle_in_stub(&mut self) -> Result<()> {
        sys::limit_stack(self.pid(), STACK_SIZE)?;
        self.at_trap_gadget(initial_regs(0, STACK_TOP));
        let mut stack_seen = false;
        for Mapping { start, end, .. } in maps::read(self.pid())? {
            if end == STACK_TOP {
                stack_seen = true;
            } else if end < STACK_TOP && !is_ours(start, end) {
                self.native_ok("munmap", libc::SYS_munmap, [start, end - start, 0, 0, 0, 0])?;
            }
        }
        if !stack_seen {
            return self.misuse("the kernel put the stack elsewhere than expected");
        }
        self.map_lane()?;
        self.prepare_stack()
    }

    /// The one mapping of a stub that is shared, which no ELF file can ask for.
    fn map_lane(&mut self) -> Result<()> {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_FIXED);
        let args = [LANE_START, LANE_LEN, prot as u64, flags as u64, LANE_FD as u64, 0];
        self.native_ok("mmap", libc::SYS_mmap, args).map(drop)
    }

    /// Extends the stack to its full size and empties it. Copies into it by the supervisor do not
    /// make it grow, unlike the kernel's own, so it must not need to.
    fn prepare_stack(&mut self) -> Result<()> {
        let lowest = STACK_TOP - STACK_SIZE;
        // The kernel itself must touch it: the old mask is written there.
        let args = [libc::SIG_BLOCK as u64, 0, lowest, 8, 0, 0];
        self.native_ok("rt_sigprocmask", libc::SYS_rt_sigprocmask, args)?;
        let dont_need = libc::MADV_DONTNEED as u64;
        self.native_ok("madvise", libc::SYS_madvise, [lowest, STACK_SIZE, dont_need, 0, 0, 0])?;
        debug_assert_eq!(lowest % PAGE, 0);
        Ok(())
    }
}

/// Is a mapping of a fresh stub one that we want there?
fn is_ours(start: u64, end: u64) -> bool {
    start >= SCRATCH_START && end <= SCRATCH_END || start >= SITES_START && end <= SITES_END
}
