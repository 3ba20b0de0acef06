//! The kernel model: everything that the program believes about its operating system.
//!
//! It keeps one rule: **nothing here depends on the host**. Same inputs at the same positions, same state: no real clock, no real descriptor,
//! no real pid, no `HashMap` order. What comes from outside comes through [`Io`], which logs it on the primary and
//! takes it from the log on the backup. So a backup needs nothing more at takeover than to make the outside real ([`crate::world`]).
//!
//! Who does what: `kernel` holds the state and who waits for what; `syscalls` has one table of all calls and a handler a row; `object` is what
//! descriptors stand for; `fs` the file system; `net` sockets; `signal` signals; `tracee` the real threads that run user code.

mod ctx;
mod digest;
mod errno;
mod fd;
mod ids;
pub mod input;
mod io;
mod task;
mod timer;
mod wait;
mod written;

pub use ctx::{CodePages, Ctx, Tracees};
pub use errno::{Errno, Fail, fail};
pub use fd::{Descriptor, FdTable, OpenFile};
pub use ids::{FileId, MemId, ObjectId, Pid, Tid};
pub use io::{Io, decode, encode};
pub use task::{Call, Credentials, Limit, Memory, Process, Scheduling, State, Thread};
pub use timer::TimerKey;
pub use wait::{Key, Nanos, Outcome, Wait, done, nanos};
pub use written::{Need, Written};

use crate::object::Object;
use gapless_log::Position;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Where a futex word lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FutexKey {
    /// In the private memory of one address space.
    Private(MemId, u64),
    /// In memory that several address spaces share: inode or shared-memory object, and offset.
    Shared(u64, u64),
}

/// What exec tells a program of the machine.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Hardware {
    /// AT_HWCAP.
    pub hwcap: u64,
    /// AT_HWCAP2.
    pub hwcap2: u64,
    /// AT_MINSIGSTKSZ.
    pub signal_stack_min: u64,
}

/// The deterministic state. Fields are public to the handlers, which live in sibling modules; each module keeps its own invariants.
#[derive(Debug)]
pub struct Kernel {
    /// Events carried out so far.
    pub position: Position,
    /// The replica's monotonic clock, as last logged.
    pub now: Nanos,
    /// Wall clock = monotonic clock + this.
    pub realtime_offset: i64,
    /// A call site is patched at its stop with this number (1 is the first); 0: never. Shapes nothing but speed.
    pub patch_at_stop: u32,
    /// The host is asked which pages are written, so that state jumps log only these. Shapes nothing but speed.
    pub track_writes: bool,
    /// Calls on paths that the lane answers. Shapes nothing but speed.
    pub names: crate::run::Names,
    /// Backup: clock readings taken from the log and not yet used, by position.
    pub readings: VecDeque<(u64, Nanos)>,
    /// Random numbers for the program, from a logged seed.
    pub random: crate::random::Random,
    /// All threads of the group.
    pub threads: BTreeMap<Tid, Thread>,
    /// All processes, zombies included.
    pub processes: BTreeMap<Pid, Process>,
    /// Address spaces.
    pub memories: BTreeMap<MemId, Memory>,
    /// Open file descriptions.
    pub files: BTreeMap<FileId, OpenFile>,
    /// Pipes, eventfds, epolls, timerfds, signalfds, terminals.
    pub objects: crate::object::Objects,
    /// Inodes, directories, the overlay over the host.
    pub fs: crate::fs::Fs,
    /// Sockets.
    pub net: crate::net::Net,
    /// System V shared memory and semaphores.
    pub ipc: crate::ipc::Ipc,
    /// Armed timers in order of their time.
    pub timers: BTreeSet<(Nanos, TimerKey)>,
    /// Threads that can run, in the order in which they will.
    pub run_queue: VecDeque<Tid>,
    /// Who waits for what, in order of arrival.
    pub waiters: BTreeMap<Key, VecDeque<Tid>>,
    /// Rolling hash over every event: registers and bytes in.
    pub history: gapless_log::Digest,
    /// What the program's processor and kernel say of themselves at exec.
    pub hardware: Hardware,
    /// The name that uname shows.
    pub hostname: Vec<u8>,
    /// The first process: its status is the replica's.
    pub first_process: Pid,
    /// The thread that has the baton.
    pub current: Option<Tid>,
    /// Events that it may still have before another ready thread gets it.
    pub slice: u32,
    /// Exit status of the first process, once it is gone.
    pub exit: Option<i32>,
    /// Last number handed out, one counter for all ids.
    pub last_id: u64,
    /// Last pid or tid handed out.
    pub last_pid: i32,
}

impl Kernel {
    /// A fresh number for an object, file or address space.
    pub fn fresh_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// The process, which must exist while one of its threads runs.
    pub fn process(&self, pid: Pid) -> &Process {
        &self.processes[&pid]
    }

    /// The process, to change it.
    pub fn process_mut(&mut self, pid: Pid) -> &mut Process {
        self.processes.get_mut(&pid).expect("a process exists while one of its threads runs")
    }

    /// The thread.
    pub fn thread(&self, tid: Tid) -> &Thread {
        &self.threads[&tid]
    }

    /// The thread, to change it.
    pub fn thread_mut(&mut self, tid: Tid) -> &mut Thread {
        self.threads.get_mut(&tid).expect("thread exists")
    }

    /// The call a thread is in.
    pub fn call(&self, tid: Tid) -> &Call {
        self.thread(tid).call.as_ref().expect("a handler runs for a call")
    }

    /// The call a thread is in, to change it.
    pub fn call_mut(&mut self, tid: Tid) -> &mut Call {
        self.thread_mut(tid).call.as_mut().expect("a handler runs for a call")
    }

    /// A thread has made a call.
    pub fn begin_call(&mut self, tid: Tid, call: Call) {
        let thread = self.thread_mut(tid);
        (thread.call, thread.granted) = (Some(call), false);
    }

    /// The call a thread was in is over.
    pub fn end_call(&mut self, tid: Tid) {
        let thread = self.thread_mut(tid);
        (thread.call, thread.granted) = (None, false);
    }

    /// The mask from before a call that waited with one of its own.
    pub fn restore_mask(&mut self, tid: Tid) {
        let thread = self.thread_mut(tid);
        if let Some(before) = thread.saved_mask.take() {
            thread.mask = before;
        }
    }

    /// Bytes that earlier tries of the call in hand have moved.
    pub fn progress(&self, tid: Tid) -> u64 {
        self.call(tid).progress
    }

    /// Remembers them before blocking again.
    pub fn set_progress(&mut self, tid: Tid, bytes: u64) {
        self.call_mut(tid).progress = bytes;
    }

    // ---- files ----

    /// The file behind a descriptor of a process.
    pub fn file_of(&self, pid: Pid, fd: i32) -> Result<FileId, Fail> {
        Ok(self.process(pid).fds.get(fd)?.file)
    }

    /// An open file description.
    pub fn file(&self, id: FileId) -> &OpenFile {
        &self.files[&id]
    }

    /// An open file description, to change it.
    pub fn file_mut(&mut self, id: FileId) -> &mut OpenFile {
        self.files.get_mut(&id).expect("file exists while referenced")
    }

    /// Makes an open file description with one reference.
    pub fn open(&mut self, object: Object, flags: i32) -> FileId {
        let id = FileId(self.fresh_id());
        self.files.insert(id, OpenFile { flags: flags & !libc::O_CLOEXEC, offset: 0, refs: 1, object });
        id
    }

    /// The lowest free descriptor of a process; EMFILE if there is none.
    pub fn free_fd(&self, pid: Pid) -> Result<i32, Fail> {
        let process = self.process(pid);
        process.fds.free(0, process.limit(libc::RLIMIT_NOFILE as usize).soft.min(1 << 20) as i32)
    }

    /// Gives a file the lowest free descriptor of a process.
    pub fn install(&mut self, pid: Pid, file: FileId, close_on_exec: bool) -> Result<i32, Fail> {
        let fd = self.free_fd(pid)?;
        let old = self.process_mut(pid).fds.set(fd, Descriptor { file, close_on_exec });
        debug_assert!(old.is_none());
        Ok(fd)
    }

    /// One more holder of a file.
    pub fn hold(&mut self, file: FileId) {
        self.file_mut(file).refs += 1;
    }

    /// One holder less; the last one closes it.
    pub fn drop_file(&mut self, cx: &mut Ctx<'_, '_>, file: FileId) -> Result<(), Fail> {
        let open = self.file_mut(file);
        open.refs -= 1;
        if open.refs > 0 {
            return Ok(());
        }
        crate::object::close(self, cx, file)?;
        self.files.remove(&file);
        Ok(())
    }

    // ---- waiting ----

    /// An object's readiness changed: whoever waits for it tries again, and whoever watches it by epoll sees an edge.
    pub fn notify(&mut self, object: ObjectId) {
        self.wake(Key::Object(object));
        crate::object::epoll::object_changed(&mut self.objects, object);
        let mut told = 0;
        while let Some(&epoll) = self.objects.watchers.get(&object).and_then(|watchers| watchers.get(told)) {
            self.notify(epoll);
            told += 1;
        }
    }

    /// Wakes every thread that waits for `key`.
    pub fn wake(&mut self, key: Key) {
        for tid in self.waiters.get(&key).cloned().unwrap_or_default() {
            self.make_ready(tid);
        }
    }

    /// Parks a thread.
    pub fn park(&mut self, tid: Tid, wait: Wait) {
        for &key in &wait.on {
            self.waiters.entry(key).or_default().push_back(tid);
        }
        if let Some(deadline) = wait.deadline {
            self.timers.insert((deadline, TimerKey::Wait(tid)));
        }
        self.thread_mut(tid).state = State::Waiting(wait);
    }

    /// Lets a parked thread try again; nothing happens to one that runs or is stopped.
    pub fn make_ready(&mut self, tid: Tid) {
        let Some(thread) = self.threads.get_mut(&tid) else { return };
        let State::Waiting(wait) = &mut thread.state else { return };
        let wait = std::mem::take(wait);
        thread.state = State::Ready;
        self.forget_wait(tid, &wait);
        self.run_queue.push_back(tid);
    }

    /// Takes a thread off every queue that `wait` put it on.
    pub fn forget_wait(&mut self, tid: Tid, wait: &Wait) {
        for key in &wait.on {
            if let Some(queue) = self.waiters.get_mut(key) {
                queue.retain(|&t| t != tid);
                if queue.is_empty() {
                    self.waiters.remove(key);
                }
            }
        }
        if let Some(deadline) = wait.deadline {
            self.timers.remove(&(deadline, TimerKey::Wait(tid)));
        }
    }

    /// Moves a parked thread from one key's queue to the end of another's (futex requeue).
    pub fn move_wait(&mut self, tid: Tid, from: Key, to: Key) {
        if let Some(queue) = self.waiters.get_mut(&from) {
            queue.retain(|&t| t != tid);
            if queue.is_empty() {
                self.waiters.remove(&from);
            }
        }
        self.waiters.entry(to).or_default().push_back(tid);
        let thread = self.thread_mut(tid);
        if let State::Waiting(wait) = &mut thread.state {
            for key in wait.on.iter_mut().filter(|key| **key == from) {
                *key = to;
            }
        }
    }
}
