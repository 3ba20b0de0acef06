//! A task service: shards, their pairs, and one address for clients on each node.
//!
//! ```no_run
//! use gapless::task::{Context, From, Kinds, Service, Task, serve};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Counter(u64);
//!
//! impl Task for Counter {
//!     const KIND: &'static str = "counter";
//!     type Message = u64;
//!     fn new(_: &str) -> Self {
//!         Self(0)
//!     }
//!     fn receive(&mut self, ctx: &mut Context<'_>, _: &From, add: u64) -> Result<(), String> {
//!         self.0 += add;
//!         ctx.reply(&self.0);
//!         Ok(())
//!     }
//! }
//!
//! let nodes = ["10.0.0.1:7500", "10.0.0.2:7500"];
//! let service = Service::new(Kinds::new().with::<Counter>(), nodes, 0, "10.0.0.3:7300/counters", "/var/lib/counters");
//! serve(service)?.wait();
//! # Ok::<(), gapless::task::Error>(())
//! ```

pub use gapless_log::Error;
pub use gapless_pair::Commit;
pub use gapless_task::{
    Answer, Client, Context, DeadLetter, From, Io, Kinds, Refused, ReplyTo, SHARDS_MAX, Shard, Task, TaskId,
};

use gapless_log::{Meta, Result};
use gapless_pair::driver::{Control, Node, NodeConfig, Notice};
use gapless_pair::{Halt, Start, arbiter, status::Snapshot};
use gapless_task::{Doors, Gatekeeper, Place, ShardReplica};
use std::fs::File;
use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Shards of a service, unless it says otherwise.
pub const SHARDS: u16 = 16;
/// A shard whose life has ended begins the next one after this pause.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Backups execute what has come so often. Many shards share few processors, and a task reads a message in microseconds.
const LINGER: Duration = Duration::from_millis(5);
/// A shard's backup may be so many entries behind. It has millions a second at its best.
const LAG_ENTRIES_MAX: u64 = 1 << 16;

/// What a node of a service is told at its start.
#[derive(Clone)]
pub struct Service {
    /// The kinds of task.
    pub kinds: Kinds,
    /// Where the two nodes listen for clients and for each other's shards; the same list everywhere.
    pub nodes: Vec<String>,
    /// Which of them this is.
    pub node: usize,
    /// How many shards; fixed for the service's whole life.
    pub shards: u16,
    /// Who decides which node is live: `file:PATH` or `HOST:PORT/NAME` of a witness. Each shard has a register of its own there.
    pub arbiter: String,
    /// Where the logs of this node's shards are.
    pub dir: PathBuf,
    /// When outputs may leave.
    pub commit: Commit,
    /// Silence that counts as death.
    pub detect: Duration,
    /// Outputs leave before the first backup has joined.
    pub unprotected_start: bool,
    /// What a person should know.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Service {
    /// With the defaults of the command line.
    pub fn new(
        kinds: Kinds,
        nodes: impl IntoIterator<Item = impl Into<String>>,
        node: usize,
        arbiter: impl Into<String>,
        dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            kinds,
            nodes: nodes.into_iter().map(Into::into).collect(),
            node,
            shards: SHARDS,
            arbiter: arbiter.into(),
            dir: dir.into(),
            commit: Commit::Received,
            detect: Duration::from_millis(200),
            unprotected_start: false,
            tell: Arc::new(|what| eprintln!("gapless: {what}")),
        }
    }

    fn check(&self) -> Result<()> {
        let refused = |what: String| Err(Error::Refused(what));
        if self.node >= self.nodes.len() {
            return refused(format!("this is node {} of {}: nodes count from 0", self.node, self.nodes.len()));
        }
        if self.nodes.len() != 2 {
            return refused(format!("{} nodes: a service has two", self.nodes.len()));
        }
        if !(1..=SHARDS_MAX).contains(&self.shards) {
            return refused(format!("{} shards: a service has 1 to {SHARDS_MAX}", self.shards));
        }
        if self.kinds.names().next().is_none() {
            return refused("a service without a kind of task".to_owned());
        }
        Ok(())
    }

    fn shard_dir(&self, shard: Shard) -> PathBuf {
        self.dir.join(format!("shard-{:03}", shard.0))
    }

    fn shard_arbiter(&self, shard: Shard) -> String {
        let name = if self.arbiter.starts_with("file:") || self.arbiter.contains('/') { "" } else { "/tasks" };
        format!("{}{name}-{:03}", self.arbiter, shard.0)
    }

    /// Shards begin on the nodes in turns.
    fn start(&self, shard: Shard) -> Result<Start> {
        if Meta::load(&self.shard_dir(shard))?.is_some() {
            return Ok(Start::Auto);
        }
        let mut arbiter = arbiter::parse(&self.shard_arbiter(shard)).map_err(Error::Refused)?;
        let begun = loop {
            match arbiter.read() {
                Ok(register) => break register.is_some(),
                Err(e) => (self.tell)(&format!("shard {shard}: {e}")),
            }
            std::thread::sleep(Duration::from_secs(1));
        };
        let mine = usize::from(shard.0) % self.nodes.len() == self.node;
        Ok(if mine && !begun { Start::Fresh } else { Start::Join })
    }
}

/// A node that runs.
pub struct Serving {
    shards: Vec<Running>,
    stop: Arc<AtomicBool>,
    _gate: Gatekeeper,
}

struct Running {
    control: Arc<Mutex<Option<Control>>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a node of a service.
pub fn serve(service: Service) -> Result<Serving> {
    service.check()?;
    let address = service.nodes[service.node].clone();
    let failed = |e: io::Error| Error::io("listening at", &address, e);
    let listener = TcpListener::bind(&address).map_err(failed)?;
    let other = service.nodes[1 - service.node].clone();
    let doors = Doors::new(service.shards);
    let gate = Gatekeeper::start(listener, doors.clone(), move |_| Some(other.clone())).map_err(failed)?;
    let code = own_code()?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut shards = Vec::new();
    for shard in (0..service.shards).map(Shard) {
        let place = Place {
            shard,
            shards: service.shards,
            kinds: service.kinds.clone(),
            code: code.clone(),
            doors: doors.clone(),
            nodes: service.nodes.clone(),
        };
        let control = Arc::<Mutex<Option<Control>>>::default();
        let (service, theirs, stopped) = (service.clone(), control.clone(), stop.clone());
        let thread = std::thread::Builder::new()
            .name(format!("shard-{shard}"))
            .spawn(move || lives(&service, &place, &theirs, &stopped))
            .map_err(|e| Error::io("starting a thread for", service_dir(shard), e))?;
        shards.push(Running { control, thread: Some(thread) });
    }
    Ok(Serving { shards, stop, _gate: gate })
}

fn service_dir(shard: Shard) -> PathBuf {
    PathBuf::from(format!("shard {shard}"))
}

/// One life after the other, until the node is stopped.
fn lives(service: &Service, place: &Place, control: &Mutex<Option<Control>>, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        match life(service, place, control, stop) {
            Ok(Halt::Stopped) if stop.load(Ordering::SeqCst) => return,
            Ok(halt) => (service.tell)(&format!("shard {}: {halt}", place.shard)),
            Err(e) => (service.tell)(&format!("shard {}: {e}", place.shard)),
        }
        std::thread::sleep(AGAIN_AFTER);
    }
}

fn life(service: &Service, place: &Place, control: &Mutex<Option<Control>>, stop: &AtomicBool) -> Result<Halt> {
    let dir = service.shard_dir(place.shard);
    std::fs::create_dir_all(&dir).map_err(|e| Error::io("making", &dir, e))?;
    let mut config = NodeConfig::new(&dir, service.start(place.shard)?);
    config.listen = Some(format!("{}:0", host_of(&service.nodes[service.node])));
    config.commit = service.commit;
    config.detect = service.detect;
    config.heartbeat = service.detect / 4;
    config.hold = !service.unprotected_start;
    config.lag_entries_max = LAG_ENTRIES_MAX;
    config.attends = true;
    config.linger = LINGER;
    let arbiter = arbiter::parse(&service.shard_arbiter(place.shard)).map_err(Error::Refused)?;
    let (tell, shard) = (service.tell.clone(), place.shard);
    let notify = Box::new(move |notice: &Notice| match notice {
        Notice::Changed(_) => {}
        Notice::Trouble(what) => tell(&format!("shard {shard}: {what}")),
    });
    let node = Node::new(config, arbiter, notify)?;
    let handle = node.control();
    *control.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle.clone());
    if stop.load(Ordering::SeqCst) {
        handle.stop();
    }
    node.run(|| Ok(ShardReplica::new(place.clone()))).map(|end| end.halt)
}

impl Serving {
    /// What each shard's node is doing; `None` between two lives.
    pub fn status(&self) -> Vec<Option<Snapshot>> {
        let status = |running: &Running| {
            running.control.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Control::status)
        };
        self.shards.iter().map(status).collect()
    }

    /// Ends this node. The other one takes over what is live here.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        for running in &self.shards {
            if let Some(control) = running.control.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                control.stop();
            }
        }
    }

    /// Until it was stopped.
    pub fn wait(mut self) {
        for running in &mut self.shards {
            if let Some(thread) = running.thread.take() {
                let _ = thread.join();
            }
        }
    }
}

/// Both sides of a pair must run the same code, and the tasks' code is this program.
fn own_code() -> Result<String> {
    let path = Path::new("/proc/self/exe");
    let failed = |e| Error::io("reading", path, e);
    let mut hasher = gapless_log::Hasher::new();
    let mut file = File::open(path).map_err(failed)?;
    let mut part = vec![0; 1 << 20];
    loop {
        match io::Read::read(&mut file, &mut part).map_err(failed)? {
            0 => return Ok(format!("program {:032x}", hasher.finish())),
            n => hasher.update(&part[..n]),
        }
    }
}

fn host_of(address: &str) -> String {
    match address.to_socket_addrs().ok().and_then(|mut all| all.next()) {
        Some(std::net::SocketAddr::V6(v6)) => format!("[{}]", v6.ip()),
        Some(v4) => v4.ip().to_string(),
        None => "127.0.0.1".to_owned(),
    }
}
