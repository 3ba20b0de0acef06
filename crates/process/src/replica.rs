//! The process level as a replica: launch, step, replay, go live, digest.

use crate::fs::Exported;
use crate::kernel::{Ctx, Errno, Fail, Io, Kernel, Tid, Tracees, input};
use crate::run::event;
use crate::run::lane;
use crate::run::launch::{self, Command};
use crate::run::pace::{Pace, Waits};
use crate::run::place::Place;
use crate::run::schedule;
use crate::tracee::{Tracee, xsave_values};
use crate::world::{Output, Streams, World};
use gapless_log::{
    Channel, Digest, Error, Figures, Hasher, Identity, Level, Parts, Player, Position, Progress, Recorder, Replica,
    Result, Term, Unfinished, Waker, combine,
};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Events in one live step at most.
const STEP_EVENTS_MAX: u32 = 256;
/// Events between two looks at the world while the program is busy.
const POLL_EVERY_EVENTS: u32 = 32;
/// Events between two thoughts about a better processor.
const LOOK_EVERY_EVENTS: u64 = 64;
/// The channel of the exit status.
pub const EXIT_CHANNEL: Channel = Channel(0);
/// Memory is hashed in regions of this size, so that a difference can be placed.
const DIGEST_REGION_BYTES: u64 = 1 << 20;
/// Longest idle time; orders and clocks are looked at again after it.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// A group of Linux processes, replicated.
pub struct ProcessGroup {
    command: Option<Command>,
    dir: PathBuf,
    kernel: Kernel,
    tracees: Tracees,
    zombies: BTreeMap<crate::kernel::Pid, Vec<Tracee>>,
    world: Option<World>,
    /// Made by [`Replica::prepare`], used by [`Replica::go_live`].
    prepared: Option<World>,
    launched: bool,
    unpolled: u32,
    /// Why the program cannot go on; the step before has ended with what came before that.
    refused: Option<String>,
    pace: Pace,
    streams: Streams,
    /// Taken at launch; the spawned share it.
    place: Option<Place>,
    counts: Arc<Counts>,
}

/// How the calls of the program reach the model, for who watches.
#[derive(Debug, Default)]
struct Counts {
    stopped: AtomicU64,
    in_process: AtomicU64,
    patched: AtomicU64,
    unpatched: AtomicU64,
}

impl Counts {
    /// One event has stopped, after so many that did not.
    fn event(&self, in_process: u64) {
        self.stopped.fetch_add(1, Ordering::Relaxed);
        self.in_process.fetch_add(in_process, Ordering::Relaxed);
    }

    /// Looks at the call sites of all address spaces.
    fn look(&self, k: &Kernel) {
        let counts = k.memories.values().map(|memory| memory.sites.count());
        let (patched, unpatched) = counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
        self.patched.store(patched as u64, Ordering::Relaxed);
        self.unpatched.store(unpatched as u64, Ordering::Relaxed);
    }
}

impl ProcessGroup {
    /// The primary: runs a program when it goes live. Local files go below `dir`.
    pub fn new(command: Command, dir: &Path) -> Result<Self> {
        let mut group = Self::backup(dir)?;
        group.command = Some(command);
        Ok(group)
    }

    /// A backup, or a replay: everything comes from the log.
    pub fn backup(dir: &Path) -> Result<Self> {
        Ok(Self {
            command: None,
            dir: dir.to_owned(),
            kernel: launch::empty(dir)?,
            tracees: BTreeMap::new(),
            zombies: BTreeMap::new(),
            world: None,
            prepared: None,
            launched: false,
            unpolled: 0,
            refused: None,
            pace: Pace::default(),
            place: None,
            counts: Arc::default(),
            streams: Streams::Own,
        })
    }

    /// Patches a call site at its stop with this number (1 is the first), so that its calls are answered in the process; 0: never. What the
    /// program does is the same, and so is its log; a backup may be told otherwise than its primary.
    #[must_use]
    pub fn patching_at_stop(mut self, stop: u32) -> Self {
        self.kernel.patch_at_stop = stop;
        self
    }

    /// Whether a state jump logs only what was written since the one before, where the host can tell.
    #[must_use]
    pub fn tracking_writes(mut self, track: bool) -> Self {
        self.kernel.track_writes = track;
        self
    }

    /// Gives the program other standard streams than the supervisor's own: 0, 1 and 2 in this order.
    #[must_use]
    pub fn with_stdio(mut self, streams: [OwnedFd; 3]) -> Self {
        self.streams = Streams::Given(Arc::new(streams));
        self
    }

    /// The model, to look at.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The model, for tests that disturb it.
    pub fn kernel_mut(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    /// The real threads, for tests that disturb them.
    pub fn tracees_mut(&mut self) -> &mut Tracees {
        &mut self.tracees
    }

    /// Where its local files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Is there something under this absolute path in what the program has seen?
    pub fn knows(&self, path: &[u8]) -> bool {
        self.kernel.fs.knows(path)
    }

    /// Copies what the program made or changed out to the host's directory `to`, which must not exist or be empty: all of it, or what is below
    /// `from` in the program's eyes.
    pub fn export(&mut self, from: Option<&[u8]>, to: &Path) -> Result<Exported> {
        self.kernel.fs.export(from.unwrap_or(b"/"), to)
    }

    fn launch(&mut self, io: Io<'_, '_>) -> Result<()> {
        // Shipping the first contents may take long; nothing runs meanwhile.
        self.place = Place::take();
        let tracee = Tracee::spawn().map_err(level)?;
        self.tracees.insert(Tid(self.kernel.last_pid), tracee);
        let tid = Tid(self.kernel.last_pid);
        let mut cx = Ctx {
            tid,
            pid: self.kernel.first_process,
            tracees: &mut self.tracees,
            zombies: &mut self.zombies,
            io,
            bytes_in: 0,
            path: Vec::new(),
            code: Default::default(),
        };
        launch::launch(&mut self.kernel, &mut cx, self.command.as_ref()).map_err(|fail| match fail {
            Fail::Fatal(e) => e,
            Fail::Errno(Errno(n)) => {
                let name = self.command.as_ref().and_then(|c| c.argv.first()).map(|name| String::from_utf8_lossy(name));
                let why = std::io::Error::from_raw_os_error(n);
                Error::Refused(format!("the program {} cannot be started: {why}", name.unwrap_or_default()))
            }
        })?;
        self.launched = true;
        self.kernel.position = self.kernel.position.next();
        Ok(())
    }

    /// One event of the thread that has the baton. `None` if nobody can run.
    fn turn(&mut self, io: Io<'_, '_>) -> Result<Option<()>> {
        let Some(tid) = schedule::pick(&mut self.kernel) else { return Ok(None) };
        let pid = self.kernel.thread(tid).pid;
        let (now, before) = (self.kernel.now, self.kernel.position.0);
        let mut cx = Ctx {
            tid,
            pid,
            tracees: &mut self.tracees,
            zombies: &mut self.zombies,
            io,
            bytes_in: 0,
            path: Vec::new(),
            code: Default::default(),
        };
        let jumps = self.pace.jumps;
        event::turn(&mut self.kernel, &mut cx, &mut self.pace, who_waits).map_err(|fail| match fatal(fail) {
            Error::Refused(why) => Error::Refused(format!("{}: {why}", name_of(&self.kernel, pid))),
            e => e,
        })?;
        if self.pace.jumps > jumps {
            // What the thread gave way to is taken now, not after as many more jumps as there may be calls between two looks.
            self.unpolled = POLL_EVERY_EVENTS;
        }
        self.kernel.position = self.kernel.position.next();
        if self.kernel.now > now {
            schedule::fire_timers(&mut self.kernel);
        }
        schedule::settle(&mut self.kernel);
        self.counts.event(self.kernel.position.0 - before - 1);
        if self.kernel.position.0 / LOOK_EVERY_EVENTS > before / LOOK_EVERY_EVENTS {
            self.counts.look(&self.kernel);
            if let Some(place) = &mut self.place {
                place.look(cx.tracees);
            }
        }
        if let (Some(status), true) = (self.kernel.exit, self.kernel.threads.is_empty()) {
            cx.io.say(EXIT_CHANNEL, &Output::Exit(status));
        }
        Ok(Some(()))
    }

    fn over(&self) -> Option<i32> {
        if self.launched && self.kernel.threads.is_empty() { self.kernel.exit } else { None }
    }

    /// Live: takes what has come from outside, and lets the clock advance if something is due.
    fn take_from_world(&mut self, log: &mut Recorder<'_>) -> Result<bool> {
        let world = self.world.as_mut().expect("live");
        self.unpolled = 0;
        let mut any = false;
        for (kind, body) in world.poll(&self.kernel)? {
            apply(&mut self.kernel, kind, &body)?;
            log.input(self.kernel.position, kind, body);
            any = true;
        }
        any |= take_clock(&mut self.kernel, world, log)?;
        Ok(any)
    }
}

/// Live: if a timer is due, the clock's reading becomes an input.
fn take_clock(k: &mut Kernel, world: &World, log: &mut Recorder<'_>) -> Result<bool> {
    let Some(due) = schedule::next_due(k) else { return Ok(false) };
    let now = world.clock();
    if due > now {
        return Ok(false);
    }
    let body = now.to_le_bytes().to_vec();
    log.input(k.position, input::CLOCK, body.clone());
    apply(k, input::CLOCK, &body)?;
    Ok(true)
}

/// What a computing thread keeps waiting: another that can run, a signal that is due, or what the world has for a waiting one.
fn who_waits(k: &Kernel, io: &mut Io<'_, '_>) -> Waits {
    let Io::Live { world, .. } = io else { return Waits::Nobody { due_in: Duration::MAX } };
    let due_in = schedule::next_due(k).map_or(u64::MAX, |due| due.saturating_sub(world.clock()));
    let woken = || k.run_queue.iter().any(|tid| k.threads.get(tid).is_some_and(|thread| thread.call.is_some()));
    if due_in == 0 || woken() || world.has_signal() || (k.threads.len() > 1 && world.has_input()) {
        Waits::Woken
    } else if !k.run_queue.is_empty() {
        Waits::Turn
    } else {
        Waits::Nobody { due_in: Duration::from_nanos(due_in) }
    }
}

/// Applies an asynchronous input to the model.
fn apply(k: &mut Kernel, kind: gapless_log::Kind, body: &[u8]) -> Result<()> {
    match kind {
        input::CLOCK => {
            let raw: [u8; 8] =
                body.try_into().map_err(|_| Error::Refused(format!("clock input at {} is not 8 bytes", k.position)))?;
            k.now = k.now.max(u64::from_le_bytes(raw));
            schedule::fire_timers(k);
            Ok(())
        }
        _ => crate::world::apply(k, kind, body),
    }
}

/// A process in words, for an error.
fn name_of(k: &Kernel, pid: crate::kernel::Pid) -> String {
    let exe = k.processes.get(&pid).map(|p| String::from_utf8_lossy(&p.exe).into_owned()).unwrap_or_default();
    format!("program {exe} (process {})", pid.0)
}

/// What failed while no call was made.
fn fatal(fail: Fail) -> Error {
    match fail {
        Fail::Fatal(e) => e,
        Fail::Errno(Errno(n)) => Error::Level(format!("unexpected errno {n} outside a call")),
    }
}

fn level(e: crate::tracee::Error) -> Error {
    Error::Level(e.to_string())
}

impl Replica for ProcessGroup {
    fn identity(&self) -> Identity {
        Identity {
            level: "process".into(),
            code: concat!("gapless-process ", env!("CARGO_PKG_VERSION"), " build ", env!("GAPLESS_BUILD")).into(),
            features: crate::world::cpu_features(),
        }
    }

    fn level(&self) -> Level {
        Level::Process
    }

    fn position(&self) -> Position {
        self.kernel.position
    }

    fn record(&mut self, log: &mut Recorder<'_>) -> Result<Progress> {
        if !self.launched {
            let world = self.world.as_mut().expect("live");
            let mut world = std::mem::replace(world, World::placeholder());
            let result = self.launch(Io::Live { log, world: &mut world });
            self.world = Some(world);
            result?;
            return Ok(Progress::Ran);
        }
        if let Some(why) = self.refused.take() {
            return Err(Error::Refused(why));
        }
        let (begun, said) = (self.kernel.position, log.out().said());
        for _ in 0..STEP_EVENTS_MAX {
            if let Some(status) = self.over() {
                return Ok(Progress::Ended(status));
            }
            let polls =
                self.unpolled >= POLL_EVERY_EVENTS || self.kernel.current.is_none() && self.kernel.run_queue.is_empty();
            if polls {
                self.take_from_world(log)?;
            }
            let before = self.kernel.position.0;
            let mut world = self.world.take().expect("live");
            let turned = self.turn(Io::Live { log, world: &mut world });
            self.world = Some(world);
            self.unpolled += (self.kernel.position.0 - before) as u32;
            if let Err(Error::Refused(why)) = &turned
                && self.kernel.position > begun
            {
                self.refused = Some(why.clone());
                return Ok(Progress::Ran);
            }
            if turned?.is_none() {
                if !polls && self.take_from_world(log)? {
                    continue;
                }
                let now = self.world.as_ref().expect("live").clock();
                let until = schedule::next_due(&self.kernel)
                    .map_or(IDLE_MAX, |due| Duration::from_nanos(due.saturating_sub(now)));
                return Ok(Progress::Idle(until.min(IDLE_MAX)));
            }
            if log.out().said() > said {
                break;
            }
        }
        Ok(self.over().map_or(Progress::Ran, Progress::Ended))
    }

    fn replay(&mut self, log: &mut Player<'_>) -> Result<Progress> {
        if !self.launched {
            self.launch(Io::Replay { log })?;
        } else {
            loop {
                while let Some(entry) = log.peek().filter(|e| input::is_async(e.kind) && e.at == self.kernel.position) {
                    let kind = entry.kind;
                    let body = log.input(self.kernel.position, kind)?;
                    apply(&mut self.kernel, kind, &body)?;
                }
                if self.kernel.position >= log.limit() && log.peek().is_none() || self.over().is_some() {
                    break;
                }
                if self.turn(Io::Replay { log })?.is_none() {
                    let expected = format!("events up to position {}", log.limit());
                    return Err(log.diverged(self.kernel.position, expected, "no thread can run"));
                }
                if log.stop().is_some_and(|stop| self.kernel.position >= stop) {
                    break;
                }
            }
        }
        Ok(self.over().map_or(Progress::Ran, Progress::Ended))
    }

    fn emit(&mut self, output: gapless_log::Output) -> Result<()> {
        match &mut self.world {
            Some(world) => world.emit(&self.kernel, output),
            None => Ok(()),
        }
    }

    fn unfinished(&self) -> Unfinished {
        self.world.as_ref().map_or_else(Unfinished::new, World::unfinished)
    }

    fn wait(&mut self, waker: &Waker, at_most: Duration) -> Result<()> {
        self.world.as_mut().expect("live").wait(&self.kernel, waker, at_most)
    }

    fn prepare(&mut self) -> Result<()> {
        if !self.launched && self.command.is_none() {
            return Err(Error::Refused(
                "the log holds no program yet: nothing has begun; start it again on the primary's log directory with `gapless run`".into(),
            ));
        }
        if self.prepared.is_none() {
            self.prepared = Some(World::new(self.kernel.now, self.streams.clone())?);
        }
        self.prepared.as_mut().expect("just made").prepare(&self.kernel)
    }

    fn unprepare(&mut self) {
        self.prepared = None;
    }

    fn go_live(&mut self, _term: Term, log: &mut Recorder<'_>) -> Result<()> {
        self.prepare()?;
        let mut world = self.prepared.take().expect("prepared");
        for (kind, body) in world.go_live(&self.kernel, log.out())? {
            log.input(self.kernel.position, kind, body.clone());
            apply(&mut self.kernel, kind, &body)?;
        }
        self.world = Some(world);
        Ok(())
    }

    fn digest(&mut self) -> Result<Digest> {
        Ok(combine(&self.digest_parts()?))
    }

    fn digest_parts(&mut self) -> Result<Parts> {
        let mut parts: Vec<_> = self.kernel.digest()?.into_iter().map(|(name, part)| (name.to_owned(), part)).collect();
        for tid in self.kernel.threads.keys() {
            lane::take_out(&self.kernel, &mut self.tracees, *tid).map_err(fatal)?;
        }
        for (tid, tracee) in &mut self.tracees {
            let mut h = Hasher::new();
            for word in crate::tracee::sys::regs_words(tracee.regs()) {
                h.number(word);
            }
            for part in xsave_values(&tracee.xsave().map_err(level)?) {
                h.update(part);
            }
            parts.push((format!("registers of thread {}", tid.0), h.finish()));
        }
        // Each address space once: by the first thread that lives in it.
        let mut seen = std::collections::BTreeSet::new();
        for (tid, tracee) in &self.tracees {
            let memory = self.kernel.process(self.kernel.thread(*tid).pid).memory;
            if !seen.insert(memory) {
                continue;
            }
            let holes = self.kernel.fs.holes(&self.kernel.memories[&memory])?;
            let mut regions: BTreeMap<u64, Hasher> = BTreeMap::new();
            tracee
                .for_each_writable_page_but(&holes, |addr, page| {
                    let region = regions.entry(addr / DIGEST_REGION_BYTES).or_default();
                    region.number(addr);
                    region.update(page);
                })
                .map_err(level)?;
            // What the program may write, and the host now only lets it execute.
            let mut page = [0; 4096];
            for &addr in self.kernel.memories[&memory].written.closed().iter() {
                if tracee.read(addr, &mut page) == Ok(page.len()) {
                    let region = regions.entry(addr / DIGEST_REGION_BYTES).or_default();
                    region.number(addr);
                    region.update(&page);
                }
            }
            for (region, h) in regions {
                let at = region * DIGEST_REGION_BYTES;
                parts.push((format!("memory of process {} at {at:#x}", self.kernel.thread(*tid).pid.0), h.finish()));
            }
        }
        Ok(parts)
    }

    fn save(&mut self, _to: &mut dyn Write) -> Result<bool> {
        Ok(false)
    }

    fn load(&mut self, _from: &mut dyn Read) -> Result<()> {
        Err(Error::Refused("the process level has no snapshots yet; its whole log is replayed".into()))
    }

    fn figures(&self) -> Figures {
        let counts = self.counts.clone();
        Figures::new(move || {
            let counts = [
                ("stops", &counts.stopped),
                ("without a stop", &counts.in_process),
                ("patched sites", &counts.patched),
                ("other sites", &counts.unpatched),
            ];
            counts.map(|(name, count)| (name, count.load(Ordering::Relaxed))).to_vec()
        })
    }

    fn halt(&mut self) {
        for tracee in self.tracees.values_mut() {
            tracee.kill();
        }
        self.tracees.clear();
        self.world = None;
        self.prepared = None;
        self.place = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.halt();
    }
}
