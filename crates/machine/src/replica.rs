//! The computer as a replica: how it records, replays and goes live.
//!
//! One step runs until the guest says something, waits, or some milliseconds have passed; events are taken between two instructions, where the hart
//! happens to stand, and logged with that position. The first step of a history logs the whole state that it begins with, so a backup or a replay needs
//! nothing else: no kernel, no disk image, no command line.

use crate::computer::{Computer, Stop};
use crate::device::Said;
use crate::event::{self, ClockBody};
use crate::setup::Boot;
use crate::world::{Local, Net, World};
use gapless_log::{
    Channel, Digest, ENTRY_BODY_BYTES_MAX, Error, Identity, Kind, Level, Outbox, Output, Parts, Player, Position,
    Progress, Recorder, Replica, Result, Term, Waker, combine,
};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes for the console.
pub const CONSOLE_CHANNEL: Channel = Channel(1);
/// Frames with their virtio-net header.
pub const NET_CHANNEL: Channel = Channel(2);
/// The exit status of a machine that was switched off; one byte.
pub const POWER_CHANNEL: Channel = Channel(3);

/// A live hart runs this long between two looks at the world ...
const SLICE: Duration = Duration::from_micros(100);
/// ... of so many positions at least and at most.
const SLICE_POSITIONS: std::ops::Range<u64> = 1_000..1_000_000;
/// Longest step.
const STEP_MAX: Duration = Duration::from_millis(4);
/// The guest's clock may be so far ahead of the host's.
const AHEAD_MAX: Duration = Duration::from_millis(4);
/// A step ends after a slice while an output waits that may be committed at any moment, because it leaves between two steps; what has waited for longer
/// waits for more than a round trip.
const RELEASE_EXPECTED: Duration = Duration::from_millis(2);
/// Longest idle time; orders and clocks are looked at again after it.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// Frames of one event.
const EVENT_FRAMES_MAX: usize = 64;

/// What a fresh history begins with.
#[derive(Debug)]
pub enum Origin {
    /// A machine that is switched on.
    Boot(Boot),
    /// One that was saved.
    Saved(PathBuf),
}

/// A computer, replicated.
#[derive(Debug)]
pub struct Machine {
    origin: Option<Origin>,
    computer: Option<Computer>,
    dir: PathBuf,
    local: Local,
    /// The base images of disks go into the log and into snapshots, because the other side does not have them.
    portable: bool,
    world: Option<World>,
    prepared: Option<World>,
    /// When the last step of a replay was over, and the guest's clock then.
    seen: Instant,
    slice: u64,
    /// Number of the oldest output that waits, and since when.
    waiting: Option<(u64, Instant)>,
    stop: Arc<AtomicBool>,
    /// Where a debugger wants a replay to stand.
    held: Option<Position>,
}

/// Stops a live machine from another thread.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<AtomicBool>);

impl Stopper {
    /// Ends it at its next step.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Name of this level, in identities.
pub const LEVEL: &str = "machine";

/// The error with which a machine that was told to stop ends.
pub const STOPPED: &str = "the machine was stopped";

impl Machine {
    /// The primary: begins with `origin` when it goes live. Files of its own go below `dir`. `portable`: a backup will need the contents of the disks.
    pub fn new(origin: Origin, dir: &Path, local: Local, portable: bool) -> Self {
        Self { origin: Some(origin), portable, ..Self::backup(dir, local) }
    }

    /// A backup, or a replay: everything comes from the log.
    pub fn backup(dir: &Path, local: Local) -> Self {
        Self {
            origin: None,
            computer: None,
            dir: dir.to_owned(),
            local,
            portable: true,
            world: None,
            prepared: None,
            seen: Instant::now(),
            slice: 10_000,
            waiting: None,
            stop: Arc::default(),
            held: None,
        }
    }

    /// A replay that is debugged: what it saves names the images of its disks and does not hold them.
    pub(crate) fn debugged(dir: &Path) -> Self {
        Self { portable: false, ..Self::backup(dir, Local::default()) }
    }

    /// A replay pauses at this position, when every input that stands there has been taken and the instruction there has not been executed; and also
    /// where a point of the hart's is hit.
    pub(crate) fn hold(&mut self, at: Option<Position>) {
        self.held = at;
    }

    /// A handle to stop it with.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// The computer, once the first step was made.
    pub fn computer(&self) -> Option<&Computer> {
        self.computer.as_ref()
    }

    /// The computer, for a debugger.
    pub fn computer_mut(&mut self) -> Option<&mut Computer> {
        self.computer.as_mut()
    }

    /// Writes the whole machine, to be begun with again; false if it was never switched on.
    pub fn save_whole(&mut self, to: &mut dyn Write) -> Result<bool> {
        self.computer.as_mut().map_or(Ok(false), |computer| computer.save(true, to).map(|()| true))
    }

    /// Puts what the disks hold by now in the place of the images that they began with, and returns their names. A log that names
    /// these images cannot be replayed after that.
    pub fn commit_disks(&mut self, dir: &Path) -> Result<Vec<PathBuf>> {
        let nothing = || Error::Refused("the log holds no machine: it was never switched on".into());
        self.computer.as_mut().ok_or_else(nothing)?.commit_disks(dir)
    }

    /// Writes what the disks hold by now to images in the directory `to`, and returns their names.
    pub fn export_disks(&mut self, to: &Path) -> Result<Vec<PathBuf>> {
        self.computer.as_mut().map_or(Ok(Vec::new()), |computer| computer.export_disks(to))
    }

    fn running(&mut self) -> (&mut Computer, &mut World) {
        (self.computer.as_mut().expect("launched"), self.world.as_mut().expect("live"))
    }

    // ---- the first step ----

    fn launch(&mut self, log: &mut Recorder<'_>) -> Result<()> {
        let computer = match self.origin.take().expect("a fresh history has an origin") {
            Origin::Boot(boot) => Computer::boot(boot, &self.dir)?,
            Origin::Saved(path) => {
                let mut file =
                    std::fs::File::open(&path).map_err(|e| Error::io("opening the saved machine", &path, e))?;
                let mut computer = Computer::load(&mut file, &self.dir)?;
                computer.adopt_images();
                // Its images lie in the log directory, which may be moved.
                self.portable = true;
                computer
            }
        };
        if computer.setup.net.is_none() && self.local.net != Net::None {
            return Err(Error::Refused("the saved machine has no network device: begin it without --net".into()));
        }
        if computer.setup.net.is_some() && self.local.net == Net::None {
            return Err(Error::Refused("the saved machine has a network device: give it a --net".into()));
        }
        self.computer = Some(computer);
        let mut bytes = Vec::new();
        self.computer.as_mut().expect("just made").save(self.portable, &mut bytes)?;
        let pieces = bytes.chunks(ENTRY_BODY_BYTES_MAX - 1);
        let last = pieces.len() - 1;
        for (i, bytes) in pieces.enumerate() {
            log.input(Position(0), event::ORIGIN, event::piece_body(i == last, bytes));
        }
        let now = self.computer.as_ref().expect("just made").now();
        self.world.as_mut().expect("live").steer = crate::steer::Steer::new(Instant::now(), now);
        Ok(())
    }

    fn relaunch(&mut self, log: &mut Player<'_>) -> Result<()> {
        let mut bytes = Vec::new();
        loop {
            let body = log.input(Position(0), event::ORIGIN)?;
            let (last, piece) = event::piece(&body).ok_or_else(|| event::bad(Position(0), event::ORIGIN))?;
            bytes.extend_from_slice(piece);
            if last {
                break;
            }
        }
        self.take_over_state(&mut bytes.as_slice())
    }

    /// Becomes what was saved elsewhere.
    fn take_over_state(&mut self, from: &mut dyn Read) -> Result<()> {
        let known = self.computer.take().map(Computer::into_images).unwrap_or_default();
        let computer = Computer::load_again(from, &self.dir, &known)?;
        self.local.check(computer.setup.net.is_some())?;
        self.computer = Some(computer);
        self.seen = Instant::now();
        Ok(())
    }

    // ---- live ----

    /// Takes what has arrived: logs it and gives it to the guest, in this order. An idle machine's clock is set first, and only if there is a reason to
    /// go on; false if there is none.
    fn take_from_world(&mut self, log: &mut Recorder<'_>) -> Result<bool> {
        let (computer, world) = self.running();
        world.offers(computer.takes_offloads())?;
        let arrived = world.poll(computer.wants_frame(), computer.console_room())?;
        if computer.idle {
            let due = computer.next_deadline().is_some_and(|at| at <= world.steer.now());
            if !arrived && !due {
                return Ok(false);
            }
            self.steer(true, log)?;
        }
        if !arrived {
            return Ok(true);
        }
        let (computer, world) = self.running();
        let mut take = |computer: &mut Computer, kind: Kind, body: Vec<u8>| {
            computer.apply(kind, &body).map(|()| log.input(computer.position(), kind, body))
        };
        let typed = world.take_typed();
        if !typed.is_empty() {
            take(computer, event::CONSOLE, typed)?;
        }
        if !computer.wants_frame() || world.next_frame()?.is_none() {
            return Ok(true);
        }
        take(computer, event::NET_EVENT, Vec::new())?;
        for count in 1.. {
            let frame = world.next_frame()?.expect("it waits until it is taken").to_vec();
            world.taken();
            let last = count == EVENT_FRAMES_MAX || !computer.wants_frame() || world.next_frame()?.is_none();
            take(computer, event::NET_CONTENT, event::piece_body(last, &frame))?;
            if last {
                break;
            }
        }
        Ok(true)
    }

    fn steer(&mut self, idle: bool, log: &mut Recorder<'_>) -> Result<()> {
        let (computer, world) = self.running();
        let (line, at) = (*computer.line(), computer.position());
        let next = if idle { world.steer.idle(&line, at) } else { world.steer.running(&line, at) };
        let Some(next) = next else { return Ok(()) };
        let body = postcard::to_stdvec(&ClockBody { time: next.time, slope: next.slope })
            .map_err(|e| Error::Level(format!("a clock entry: {e}")))?;
        computer.apply(event::CLOCK, &body)?;
        log.input(at, event::CLOCK, body);
        Ok(())
    }

    /// Disks whose host is fast carry the guest's clock ahead of the host's: then the hart rests, because the clock cannot be set back.
    fn ahead(&mut self) -> Option<Duration> {
        let (computer, world) = self.running();
        let ahead = Duration::from_nanos(computer.now().saturating_sub(world.steer.now()));
        (ahead > AHEAD_MAX).then(|| {
            world.steer.rests();
            ahead
        })
    }

    /// How long the hart waits, if nothing comes from outside.
    fn idles(&mut self) -> Progress {
        let (computer, world) = self.running();
        world.steer.rests();
        let now = world.steer.now();
        let until = computer.next_deadline().map_or(IDLE_MAX, |at| Duration::from_nanos(at.saturating_sub(now)));
        if until.is_zero() { Progress::Ran } else { Progress::Idle(until.min(IDLE_MAX)) }
    }

    /// An output waits that may leave soon.
    fn expects_release(&mut self, out: &Outbox, now: Instant) -> bool {
        let oldest = out.waiting().next().map(|output| output.number);
        if self.waiting.map(|(number, _)| number) != oldest {
            self.waiting = oldest.map(|number| (number, now));
        }
        self.waiting.is_some_and(|(_, since)| now - since < RELEASE_EXPECTED)
    }

    /// How far the hart runs before it looks at the world again.
    fn slice(&mut self, took: Duration) {
        let aim = SLICE.as_nanos() as u64;
        let took = (took.as_nanos() as u64).max(1);
        let next = if took > 2 * aim {
            self.slice / 2
        } else if took < aim {
            self.slice + self.slice / 4
        } else {
            self.slice
        };
        self.slice = next.clamp(SLICE_POSITIONS.start, SLICE_POSITIONS.end);
    }
}

/// The step is over: what the devices have said goes into the outbox, frames one by one, what was printed in one piece.
fn speak(computer: &mut Computer, out: &mut Outbox) {
    let mut printed = Vec::new();
    for said in computer.board.take_said() {
        match said {
            Said::Frame(frame) => {
                out.say(NET_CHANNEL, frame);
            }
            Said::Console(byte) => printed.push(byte),
        }
    }
    if !printed.is_empty() {
        out.say(CONSOLE_CHANNEL, printed);
    }
    if let Some(status) = computer.off() {
        out.say(POWER_CHANNEL, vec![status as u8]);
    }
}

impl Replica for Machine {
    fn identity(&self) -> Identity {
        Identity {
            level: LEVEL.into(),
            code: concat!("gapless-machine ", env!("CARGO_PKG_VERSION"), " build ", env!("GAPLESS_BUILD")).into(),
            features: Vec::new(),
        }
    }

    fn level(&self) -> Level {
        Level::Machine
    }

    fn position(&self) -> Position {
        self.computer.as_ref().map_or(Position(0), Computer::position)
    }

    fn record(&mut self, log: &mut Recorder<'_>) -> Result<Progress> {
        if self.computer.is_none() {
            self.launch(log)?;
            return Ok(Progress::Ran);
        }
        let began = Instant::now();
        let mut looked = began;
        loop {
            if self.stop.load(Ordering::Relaxed) || self.world.as_ref().is_some_and(|w| w.console.quits()) {
                return Err(Error::Refused(STOPPED.into()));
            }
            if let Some(ahead) = self.ahead() {
                let (computer, _) = self.running();
                speak(computer, log.out());
                return Ok(Progress::Idle(ahead));
            }
            if !self.take_from_world(log)? {
                return Ok(self.idles());
            }
            self.steer(false, log)?;
            let slice = self.slice;
            let (computer, _) = self.running();
            let stop = computer.run(Position(computer.position().0 + slice))?;
            match stop {
                Stop::Limit | Stop::Pause | Stop::Point => {}
                Stop::Said => break,
                Stop::Off => {
                    speak(computer, log.out());
                    return Ok(Progress::Ended(computer.off().unwrap_or(0)));
                }
                Stop::Idle => {
                    speak(computer, log.out());
                    return Ok(self.idles());
                }
            }
            let now = Instant::now();
            if stop == Stop::Limit {
                self.slice(now - looked);
            }
            looked = now;
            if now - began > STEP_MAX || self.expects_release(log.out(), now) {
                break;
            }
        }
        let (computer, _) = self.running();
        speak(computer, log.out());
        Ok(Progress::Ran)
    }

    fn replay(&mut self, log: &mut Player<'_>) -> Result<Progress> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Refused(STOPPED.into()));
        }
        if self.computer.is_none() {
            self.relaunch(log)?;
            return Ok(Progress::Ran);
        }
        let computer = self.computer.as_mut().expect("launched");
        // It was resumed after its end, so that what it said last is offered again: it says nothing more.
        let was_off = computer.off().is_some();
        loop {
            let next = log.peek().map_or(log.limit(), |e| e.at);
            let target = [log.stop(), self.held].into_iter().flatten().fold(next, Ord::min);
            let mut hit = false;
            while computer.position() < target {
                match computer.run(target)? {
                    Stop::Said | Stop::Pause => {}
                    stop => {
                        hit = stop == Stop::Point;
                        break;
                    }
                }
            }
            let at = computer.position();
            if hit || self.held == Some(at) && at < next {
                log.pause();
                return Ok(Progress::Ran);
            }
            if log.stop().is_some_and(|stop| at >= stop) {
                return Ok(Progress::Ran);
            }
            if at != target {
                let doing = if computer.idle { "waits for an interrupt" } else { "was switched off" };
                return Err(log.diverged(
                    at,
                    format!("to run to position {target}"),
                    format!("the hart {doing} at {at}"),
                ));
            }
            let Some(entry) = log.peek() else { break };
            let kind = entry.kind;
            let body = log.input(at, kind)?;
            computer.apply(kind, &body)?;
        }
        // What follows from the position having been reached does so on both sides.
        computer.run(computer.position())?;
        if !was_off {
            speak(computer, log.out());
        }
        self.seen = Instant::now();
        Ok(computer.off().map_or(Progress::Ran, Progress::Ended))
    }

    fn emit(&mut self, output: Output) -> Result<()> {
        let Some(world) = &mut self.world else { return Ok(()) };
        match output.channel {
            CONSOLE_CHANNEL => world.print(&output.bytes),
            NET_CHANNEL => world.send(&output.bytes)?,
            _ => {}
        }
        Ok(())
    }

    fn wait(&mut self, waker: &Waker, at_most: Duration) -> Result<()> {
        let (computer, world) = self.running();
        // A hart that rests for another reason than having nothing to do is not disturbed.
        let idle = computer.idle;
        let (frames, typing) = (idle && computer.wants_frame(), idle && computer.console_room() > 0);
        world.wait(waker, at_most, frames, typing);
        Ok(())
    }

    fn prepare(&mut self) -> Result<()> {
        let net = match (&self.computer, &self.origin) {
            (Some(computer), _) => computer.setup.net.is_some(),
            (None, Some(Origin::Boot(boot))) => boot.net,
            (None, Some(Origin::Saved(_))) => self.local.net != Net::None,
            (None, None) => {
                return Err(Error::Refused(
                    "the log holds no machine yet: nothing has begun; start it again with `gapless machine`".into(),
                ));
            }
        };
        if self.prepared.is_none() && self.world.is_none() {
            self.prepared = Some(World::open(&self.local, net)?);
        }
        Ok(())
    }

    fn unprepare(&mut self) {
        self.prepared = None;
    }

    fn go_live(&mut self, _term: Term, log: &mut Recorder<'_>) -> Result<()> {
        self.prepare()?;
        let mut world = self.prepared.take().expect("prepared");
        if let Some(computer) = &self.computer {
            world.steer = crate::steer::Steer::new(self.seen, computer.now());
            if let Some(mac) = computer.setup.net {
                world.take_over_address(mac)?;
            }
        }
        self.world = Some(world);
        if self.computer.is_some() {
            // Not before the clock shows what it should: the guest has stood still since the last mark.
            self.steer(true, log)?;
        }
        Ok(())
    }

    fn digest(&mut self) -> Result<Digest> {
        Ok(combine(&self.digest_parts()?))
    }

    fn digest_parts(&mut self) -> Result<Parts> {
        match &mut self.computer {
            Some(computer) => computer.digest_parts(),
            None => Ok(vec![("a machine that was never switched on".to_owned(), 0)]),
        }
    }

    fn saves(&self) -> bool {
        true
    }

    fn save(&mut self, to: &mut dyn Write) -> Result<bool> {
        match &mut self.computer {
            Some(computer) if self.portable => computer.save_fast(true, to).map(|()| true),
            // A debugger keeps many of these, and no guest waits for it.
            Some(computer) => computer.save(false, to).map(|()| true),
            None => Ok(false),
        }
    }

    fn load(&mut self, from: &mut dyn Read) -> Result<()> {
        self.take_over_state(from)
    }

    fn halt(&mut self) {
        self.world = None;
        self.prepared = None;
        self.computer = None;
    }
}
