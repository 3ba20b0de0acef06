//! The driver: one node of a pair with its threads, sockets and files.
//!
//! A [`Node`] owns a log directory and runs one life after another in it (a second one only when the first has executed what the owner does not
//! have). A life is an engine behind a lock (`core`), the caller's thread with the replica (`replica`), one thread for sockets (`io`) and
//! three for what blocks (`workers`). The commit path has no hop but the network's two: the replica's thread writes the frame to the own log
//! and to the socket; the backup's I/O thread acknowledges before it wakes anybody; the primary's I/O thread publishes the commit and wakes
//! the replica, or, if that attends to its connections itself ([`NodeConfig::attends`]), looks only at its ticks.
//!
//! What it leaves out: every decision of the protocol, which is the engine's, and everything about one machine alone ([`alone`]).

pub mod alone;
mod core;
mod io;
mod latency;
mod link;
mod mailbox;
mod pace;
mod replica;
mod shorten;
mod state;
mod stats;
mod trouble;
mod workers;

pub use latency::{Histogram, Latency};

use crate::arbiter::Arbiter;
use crate::status::{ControlServer, Snapshot};
use crate::{Commit, Config, Engine, Event, Found, Halt, Life, Micros, Point, Points, Seat, Start, Status};
use core::{Parts, Shared};
use gapless_log::{
    DirLock, Error, Figures, Host, Identity, Level, Options, Replica, Result, Store, StoreOptions, Waker, boot_id,
    random_u128,
};
use mailbox::Mailbox;
use replica::Runner;
use stats::Stats;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Everything fixed for one node. [`NodeConfig::new`] gives the defaults of the command line.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The log directory.
    pub dir: PathBuf,
    /// What to do.
    pub start: Start,
    /// Where to listen for the other side (`HOST:PORT`, port 0 for any); `None` only dials.
    pub listen: Option<String>,
    /// The address that the register gives out; by default the one listened at.
    pub advertise: Option<String>,
    /// Where to dial while owner without a backup.
    pub peer: Option<String>,
    /// When outputs may leave.
    pub commit: Commit,
    /// Silence longer than this is the other side's death.
    pub detect: Duration,
    /// A packet is sent at least this often.
    pub heartbeat: Duration,
    /// After a fresh start, hold every output until first protected.
    pub hold: bool,
    /// A human accepts that entries may be lost.
    pub accept_loss: bool,
    /// The primary pauses while the backup's execution is this many entries behind, and a joiner counts only when it is closer.
    pub lag_entries_max: u64,
    /// A fresh backup that lacks more entries than this is sent the replica's state instead of the log, if the replica can save itself.
    pub state_entries_min: u64,
    /// The live replica's thread reads what its backup acknowledges itself: one wake-up less a commit, for replicas that rest often and whose waits poll
    /// nothing but their waker and sockets.
    pub attends: bool,
    /// Who has executed frames as a backup sleeps so long before it looks for more, whatever comes but a command: waking it for every frame would cost
    /// more than most frames do. So much more there is to execute at a takeover, at most.
    pub linger: Duration,
    /// As a backup it holds the log and executes it only when it is to take over, from the last state that the owner has sent: it costs next to nothing
    /// meanwhile, and a takeover takes as long as executing what came since. The owner sends a state whenever its own log begins later
    /// ([`NodeConfig::shorten_bytes`]).
    pub warm: bool,
    /// A log whose frames take more than this, and more than four times the state that it begins with, is made to begin later, with the replica's state,
    /// if that can save itself; without a number it grows for ever.
    pub shorten_bytes: Option<u64>,
    /// How the host loop batches and checks.
    pub host: Options,
}

impl NodeConfig {
    /// The defaults.
    pub fn new(dir: impl Into<PathBuf>, start: Start) -> Self {
        Self {
            dir: dir.into(),
            start,
            listen: Some("127.0.0.1:0".into()),
            advertise: None,
            peer: None,
            commit: Commit::Received,
            detect: Duration::from_millis(200),
            heartbeat: Duration::from_millis(50),
            hold: false,
            accept_loss: false,
            lag_entries_max: 1 << 14,
            state_entries_min: 1 << 16,
            attends: false,
            linger: Duration::from_millis(1),
            warm: false,
            shorten_bytes: None,
            host: Options::default(),
        }
    }

    fn engine<R: Replica>(&self, life: Life, address: String, replica: &R) -> Result<Config> {
        let mut config = Config::new(Seat { life, address }, self.start, replica.identity());
        config.saves_state = replica.saves();
        config.warm = self.warm;
        config.state_entries_min = self.state_entries_min;
        config.boot = boot_id()?;
        config.fresh_uuid = random_u128()?;
        config.peer.clone_from(&self.peer);
        config.commit = self.commit;
        config.hold = self.hold;
        config.accept_loss = self.accept_loss;
        config.detect = micros(self.detect);
        config.heartbeat = micros(self.heartbeat);
        config.lag_entries_max = self.lag_entries_max;
        Ok(config)
    }
}

fn micros(d: Duration) -> Micros {
    Micros(u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

/// How a node ended.
#[derive(Clone, Debug)]
pub struct NodeEnd {
    /// Why.
    pub halt: Halt,
    /// Its last state.
    pub last: Snapshot,
}

/// Something for a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The state of the pair has changed.
    Changed(Status),
    /// Something fails again and again, or keeps this side waiting: what, and what to do. Repeated at growing intervals.
    Trouble(String),
}

/// What a node tells a person while it runs; called on a thread of its own, so it may take its time.
pub type Notify = Box<dyn FnMut(&Notice) + Send>;

/// So many notices wait for a person who reads slowly; more are dropped.
const NOTICES_MAX: usize = 1024;

/// One node of a pair, not yet running.
pub struct Node {
    config: NodeConfig,
    lock: Option<DirLock>,
    listener: Option<TcpListener>,
    /// Where it listens; empty if it does not.
    address: String,
    /// Where others are told to dial.
    advertised: String,
    arbiter: workers::SharedArbiter,
    control: Control,
    notify: Option<Notify>,
}

/// A handle on a running node, for other threads: its state, and what a person may ask of it.
#[derive(Clone)]
pub struct Control {
    current: Arc<Mutex<Current>>,
}

struct Current {
    shared: Option<Arc<Shared>>,
    last: Snapshot,
    /// Those of this life's replica.
    figures: Figures,
    /// Asked before the first life began.
    asked: Vec<Event>,
}

impl Control {
    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the node is doing.
    pub fn status(&self) -> Snapshot {
        let mut current = self.lock();
        if let Some(shared) = current.shared.clone() {
            let base = current.last.clone();
            current.last = snapshot(base, &shared);
            let figures = current.figures.now();
            current.last.figures = figures.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        }
        current.last.clone()
    }

    /// Asks for a planned takeover; the node ends with [`Halt::HandedOver`] when it is done.
    pub fn handover(&self) {
        self.ask(Event::HandoverAsked);
    }

    /// Asks the node to stop. A live replica is killed with it; its backup takes over.
    pub fn stop(&self) {
        self.ask(Event::StopAsked);
    }

    fn ask(&self, event: Event) {
        let mut current = self.lock();
        match current.shared.clone() {
            Some(shared) => {
                drop(current);
                shared.tell([event]);
            }
            None => current.asked.push(event),
        }
    }
}

impl Node {
    /// Takes the directory's lock and the listening address, so that what can fail at once fails at once.
    pub fn new(config: NodeConfig, arbiter: Box<dyn Arbiter>, notify: Notify) -> Result<Self> {
        let lock = DirLock::take(&config.dir)?;
        let listener = config.listen.as_deref().map(listen).transpose()?;
        let bound = listener.as_ref().and_then(|l| l.local_addr().ok());
        let address = bound.map(|a: SocketAddr| a.to_string()).unwrap_or_default();
        let advertised = config.advertise.clone().unwrap_or_else(|| address.clone());
        let last = Snapshot { supervisor_pid: std::process::id(), address: address.clone(), ..Snapshot::default() };
        let current = Current { shared: None, last, figures: Figures::default(), asked: Vec::new() };
        let control = Control { current: Arc::new(Mutex::new(current)) };
        let arbiter = Arc::new(Mutex::new(arbiter));
        Ok(Self { config, lock: Some(lock), listener, address, advertised, arbiter, control, notify: Some(notify) })
    }

    /// Where it listens, which need not be where others are told to dial (they may have to go through something in between).
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The handle for other threads.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Runs until this node's part is over. `make` makes a replica that has executed nothing; it is called once for each life.
    pub fn run<R: Replica>(mut self, mut make: impl FnMut() -> Result<R>) -> Result<NodeEnd> {
        let _server = ControlServer::start(&self.config.dir, self.control.clone())?;
        let (notify, changes) = mpsc::sync_channel::<Notice>(NOTICES_MAX);
        let mut tell = self.notify.take().expect("a node runs once");
        let teller = thread::Builder::new()
            .name("pair-notify".into())
            .spawn(move || changes.iter().for_each(|notice| tell(&notice)))
            .map_err(|e| Error::io("starting a thread for", &self.config.dir, e))?;
        let end = self.run_lives(&mut make, &notify);
        drop(notify);
        let _ = teller.join();
        end
    }

    fn run_lives<R: Replica>(
        &mut self,
        make: &mut impl FnMut() -> Result<R>,
        notify: &mpsc::SyncSender<Notice>,
    ) -> Result<NodeEnd> {
        let mut stats = Stats::default();
        loop {
            let lock = self.lock.take().expect("given back by every life");
            let (over, lock, lived) = self.live(lock, stats, make()?, notify.clone())?;
            match over {
                Halt::Reborn => Store::wipe(&lock)?,
                halt => {
                    let last = self.control.status();
                    return Ok(NodeEnd { halt, last: Snapshot { mode: "halted".into(), ..last } });
                }
            }
            if self.config.start != Start::Auto {
                self.config.start = Start::Join;
            }
            stats = lived;
            self.lock = Some(lock);
        }
    }

    /// One life, from its birth to its end.
    fn live<R: Replica>(
        &self,
        lock: DirLock,
        stats: Stats,
        replica: R,
        notify: mpsc::SyncSender<Notice>,
    ) -> Result<(Halt, DirLock, Stats)> {
        self.control.lock().figures = replica.figures();
        let (store, found) = open(lock, replica.level(), &replica.identity(), self.config.commit)?;
        if self.config.start == Start::Resume && found.whole == Point::ZERO {
            return Err(Error::Refused(format!(
                "{} holds no whole step: nothing has begun; start it again with `gapless run`",
                self.config.dir.display()
            )));
        }
        let life = Life { node: node_number(&self.config.dir), id: random_u128()? };
        let mut config = self.config.engine(life, self.advertised.clone(), &replica)?;
        let meta = workers::load_meta(&store.meta())?;
        if self.config.start == Start::Resume {
            // The history goes on at the level at which it was promised.
            config.commit = meta.commit;
        }
        let (commit, saves) = (config.commit, config.saves_state);
        let attends = self.config.attends;
        let woken =
            |waker: std::io::Result<Waker>| waker.map_err(|e| Error::io("making a waker for", &self.config.dir, e));
        let mail = Arc::new(Mailbox::new(
            woken(if attends { Waker::watching() } else { Waker::new() })?,
            self.config.linger,
            self.config.warm,
        ));
        let io = woken(Waker::new())?;
        mail.written(store.end().0);
        let (arbiter, arbiter_jobs) = mpsc::channel();
        let (disk, disk_jobs) = workers::disk_queue();
        // Who does not get in asks again.
        let (dial, addresses) = mpsc::sync_channel(1);
        let (view, syncer, log_meta) = (store.view().clone(), store.syncer(), store.meta());
        let parts = Parts {
            engine: Engine::new(config, meta, found),
            mail,
            io,
            view: view.clone(),
            arbiter,
            disk,
            dial,
            notify,
            lag_entries_max: self.config.lag_entries_max,
            attends,
            shorten_bytes: self.config.shorten_bytes.filter(|_| saves),
            peer: self.config.peer.clone(),
            stats,
        };
        let shared = Arc::new(Shared::new(parts, store, commit));

        let (weak, asked_of) = (Arc::downgrade(&shared), Arc::clone(&self.arbiter));
        spawn("pair-arbiter", move || workers::arbitrate(&asked_of, &arbiter_jobs, &weak))?;
        let weak = Arc::downgrade(&shared);
        let disk_thread = spawn("pair-disk", move || workers::work_disk(&disk_jobs, log_meta, syncer, view, &weak))?;
        let weak = Arc::downgrade(&shared);
        spawn("pair-dial", move || workers::dial(&addresses, &weak))?;

        let asked = {
            let mut current = self.control.lock();
            current.shared = Some(Arc::clone(&shared));
            std::mem::take(&mut current.asked)
        };
        let tick = (self.config.heartbeat / 5).max(Duration::from_millis(1));
        let listener = self.listener.as_ref();
        let over = thread::scope(|scope| {
            let named = thread::Builder::new().name("pair-io".into());
            let sockets = named.spawn_scoped(scope, || io::run(&shared, listener, tick)).expect("a thread starts");
            // If the replica's thread panics, its connections must not go on saying that all is well.
            let _ended = EndOnPanic(&shared);
            shared.tell([Event::Start].into_iter().chain(asked));
            let over = Runner::new(&shared, Host::new(replica, self.config.host.clone())).run();
            let mut core = shared.lock();
            core.over.get_or_insert(over.clone());
            drop(core);
            shared.io.wake();
            sockets.join().expect("the I/O thread does not panic");
            over
        });
        self.control.status();
        self.control.lock().shared = None;
        let lived = shared.lock().end();
        // It writes into the directory, which is the next life's from here on. The arbiter's thread and the dialling one may hang; they hold nothing.
        disk_thread.join().expect("the disk's thread does not panic");
        let writing = shared.lock().shortening.take_writing();
        if let Some(writing) = writing {
            writing.join().expect("the thread that writes a state does not panic");
        }
        let store = shared.store.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok((over, store.expect("taken once, here").into_lock(), lived))
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let spawned = thread::Builder::new().name(name.into()).spawn(work);
    spawned.map_err(|e| Error::Refused(format!("cannot start thread {name}: {e}")))
}

fn listen(address: &str) -> Result<TcpListener> {
    let refused = |e| Error::Refused(format!("cannot listen at {address}: {e}; name another address with --listen"));
    let listener = TcpListener::bind(address).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    Ok(listener)
}

/// Ends the I/O thread, and with it the connections, if the replica's thread panics: the other side notices at once.
struct EndOnPanic<'a>(&'a Shared);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.failed();
        }
    }
}

/// Opens the directory's log, or makes one, and samples it for the engine.
fn open(lock: DirLock, level: Level, identity: &Identity, commit: Commit) -> Result<(Store, Found)> {
    let dir = lock.dir().to_owned();
    if gapless_log::Meta::load(&dir)?.is_none() {
        let mut meta = gapless_log::Meta::new(level)?;
        meta.identity = Some(identity.clone());
        meta.commit = match commit {
            Commit::Received => gapless_log::CommitLevel::Received,
            Commit::Durable => gapless_log::CommitLevel::Durable,
        };
        return Ok((Store::create_with(lock, &meta, StoreOptions::default())?, Found::default()));
    }
    let (store, _) = Store::open_with(lock, StoreOptions::default())?;
    if store.meta().level != level {
        return Err(Error::Refused(format!("{} holds a log of another level; name another directory", dir.display())));
    }
    if let Some(why) = store.meta().identity.as_ref().and_then(|theirs| identity.differs(theirs)) {
        return Err(Error::Refused(format!(
            "the log in {} was written elsewhere: {why}; or use an empty --log directory to join as a backup",
            dir.display()
        )));
    }
    let base = store.meta().base;
    let start = Point { seq: base.seq, chain: base.chain };
    let (mut points, mut whole) = (Points::default(), start);
    if start != Point::ZERO {
        points.push(start);
    }
    for frame in store.reader(start.seq) {
        let frame = frame?;
        points.push(Point::after(&frame));
        if frame.ends_step() {
            whole = Point::after(&frame);
        }
    }
    Ok((store, Found { points, whole, start }))
}

/// Names the machine and directory for people.
fn node_number(dir: &Path) -> u64 {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    gapless_log::hash(format!("{}:{}", host.trim(), dir.display()).as_bytes()) as u64
}

/// The node's state for people, on top of what does not change.
fn snapshot(base: Snapshot, shared: &Shared) -> Snapshot {
    let (position, next, executed) = shared.mail.where_it_stands();
    let view = shared.view();
    let core = shared.lock();
    let stats = &core.stats;
    let mode = core.mode();
    let live = matches!(mode, crate::Mode::Solo | crate::Mode::Closing | crate::Mode::Protected);
    let (lag_bytes, lag_age) = stats.lag();
    let followed = matches!(mode, crate::Mode::Closing | crate::Mode::Protected);
    let behind = match (live, followed) {
        (true, true) => stats.end.0.saturating_sub(stats.acked.executed.0),
        (true, false) => 0,
        (false, _) => stats.end.0.saturating_sub(executed.0),
    };
    let ended = match &core.over {
        Some(Halt::Ended(status)) => Some(*status),
        _ => None,
    };
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    Snapshot {
        mode: format!("{mode:?}").to_lowercase(),
        role: role(mode).into(),
        asking: stats.status.as_ref().is_some_and(|s| s.asking),
        why: stats.status.as_ref().map(|s| s.why.to_string()).unwrap_or_default(),
        held: core.engine().is_held(),
        term: stats.term().0,
        life: core.engine().life().to_string(),
        owner: core.engine().register().map(|r| r.owner.address.clone()),
        backup: core.engine().register().and_then(|r| r.backup.as_ref()).map(|b| b.address.clone()),
        exit_status: ended.or(core.engine().register().and_then(|r| r.ended)),
        in_sync: core.engine().is_in_sync(),
        arbiter_error: stats.arbiter.what().map(str::to_owned),
        dial_error: stats.dial.what().map(str::to_owned),
        peer: stats.peer.as_ref().map(|(_, address)| address.clone()),
        position: if live { view.last_position().0 } else { position.0 },
        next_seq: if live { stats.end.0 } else { next.0 },
        log_end: view.end().0.0,
        committed: shared.mail.committed().0,
        lag_entries: behind,
        lag_bytes: if followed { lag_bytes } else { 0 },
        lag_ms: if followed { ms(lag_age) } else { 0.0 },
        commit_latency: stats.latency.summary(),
        takeovers: stats.takeovers,
        false_alarms: stats.false_alarms,
        last_takeover_ms: stats.last_takeover.map(ms),
        unprotected_ms: ms(stats.unprotected()),
        uptime_ms: ms(stats.began.elapsed()),
        refused_connections: stats.strangers,
        ..base
    }
}

fn role(mode: crate::Mode) -> &'static str {
    use crate::Mode;
    match mode {
        Mode::Starting => "starting",
        Mode::Solo | Mode::Closing | Mode::Protected => "primary",
        Mode::Joining | Mode::Acking | Mode::Silent => "backup",
        Mode::Halted => "halted",
    }
}
