//! A task service: shards, their pairs, and one address for clients on each node.
//!
//! The rules it keeps: one life of a shard follows the other until the node is stopped; a directory belongs to one service, and to its number of shards,
//! for ever. What it leaves out: what a shard does, which is gapless-task's, and who is live, which is gapless-pair's.
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

mod http;

pub use gapless_log::Error;
pub use gapless_pair::Commit;
pub use gapless_task::{
    Answer, CLIENT_REPLIES_MAX, Client, Context, DeadLetter, From, Io, KEY_KEPT, Kinds, Look, Program, Refused,
    ReplyTo, SHARDS_MAX, Shard, Shown, Task, TaskId, TaskShown,
};
pub use http::{REQUESTS_MAX as HTTP_REQUESTS_MAX, SHARD_REQUESTS_MAX as HTTP_SHARD_REQUESTS_MAX};

use gapless_log::{Meta, Result};
use gapless_pair::driver::{Control, Node, NodeConfig, Notice};
use gapless_pair::{Halt, Start, arbiter, status::Snapshot};
use gapless_task::{Doors, Gatekeeper, Place, ShardReplica, pair};
use http::Ingress;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Shards of a service, unless it says otherwise.
pub const SHARDS: u16 = 16;
/// A shard whose life has ended begins the next one after this pause, which doubles up to the most while lives are short.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(2);
/// A life that lasted so long was none that had to fail; nor was one that was handed over.
const LIFE_MIN: Duration = Duration::from_secs(5);
/// Backups execute what has come so often. Many shards share few processors, and a task reads a message in microseconds.
const LINGER: Duration = Duration::from_millis(5);
/// A shard's backup may be so many entries behind. It has millions a second at its best.
const LAG_ENTRIES_MAX: u64 = 1 << 16;
/// The same where programs run tasks: their workers read some thousand messages a second, and a takeover waits for all that the backup has not read yet.
const LAG_ENTRIES_OUTSOURCED_MAX: u64 = 1 << 12;

/// What a node of a service is told at its start.
#[derive(Clone)]
pub struct Service {
    /// The kinds of task.
    pub kinds: Kinds,
    /// Where the nodes listen for clients and for each other's shards; the same list everywhere. Two and two are a pair: a shard lives on one pair.
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
    /// A shard whose owner lost power at commit level `received` goes on from this node's log, whose last entries may be missing. What other shards and
    /// clients know of those is told apart from what comes now.
    pub accept_loss: bool,
    /// Where this node listens for HTTP: `POST /task/{kind}/{name}/{message}`. Whoever reaches it may ask everything.
    pub http: Option<String>,
    /// An `Idempotency-Key` is known so long after the reply, at most a week.
    pub http_keys_kept: Duration,
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
            accept_loss: false,
            http: None,
            http_keys_kept: KEY_KEPT,
            tell: Arc::new(|what| eprintln!("gapless: {what}")),
        }
    }

    fn check(&self) -> Result<()> {
        let refused = |what: String| Err(Error::Refused(what));
        if self.node >= self.nodes.len() {
            return refused(format!("this is node {} of {}: nodes count from 0", self.node, self.nodes.len()));
        }
        if !self.nodes.len().is_multiple_of(2) {
            return refused(format!("{} nodes: a service has two, or more pairs of two", self.nodes.len()));
        }
        if !(1..=SHARDS_MAX).contains(&self.shards) {
            return refused(format!("{} shards: a service has 1 to {SHARDS_MAX}", self.shards));
        }
        let unspecified = |node: &&String| node.parse::<SocketAddr>().is_ok_and(|at| at.ip().is_unspecified());
        if let Some(node) = self.nodes.iter().find(unspecified) {
            return refused(format!("{node}: nodes are known by addresses at which the others can reach them"));
        }
        if self.kinds.names().next().is_none() {
            return refused("a service without a kind of task".to_owned());
        }
        Ok(())
    }

    fn shard_dir(&self, shard: Shard) -> PathBuf {
        shard_dir(&self.dir, shard)
    }

    /// The directory is one of this service's, and says so from now on.
    fn settle(&self) -> Result<()> {
        let dir = &self.dir;
        std::fs::create_dir_all(dir).map_err(|e| Error::io("making", dir, e))?;
        match Site::of(dir)? {
            Some(site) if site.shards != self.shards => {
                return Err(Error::Refused(format!(
                    "{} belongs to a service of {} shards, not {}; a service keeps its shards for life",
                    dir.display(),
                    site.shards,
                    self.shards
                )));
            }
            Some(_) => {}
            None if holds_others(dir).map_err(|e| Error::io("reading", dir, e))? => {
                return Err(Error::Refused(format!(
                    "{} is not empty and no node's directory; give the node one of its own",
                    dir.display()
                )));
            }
            None => {}
        }
        let site = Site { nodes: self.nodes.clone(), shards: self.shards };
        if Site::of(dir)?.as_ref() == Some(&site) { Ok(()) } else { site.keep(dir) }
    }

    fn shard_arbiter(&self, shard: Shard) -> String {
        let name = if self.arbiter.starts_with("file:") || self.arbiter.contains('/') { "" } else { "/tasks" };
        format!("{}{name}-{:03}", self.arbiter, shard.0)
    }

    /// The other node of this one's pair.
    fn partner(&self) -> &str {
        &self.nodes[self.node ^ 1]
    }

    /// The shards that live on this node's pair.
    fn own_shards(&self) -> impl Iterator<Item = Shard> {
        let (pairs, mine) = (self.nodes.len() / 2, self.node / 2);
        (0..self.shards).filter(move |&shard| usize::from(shard) % pairs == mine).map(Shard)
    }

    /// Where a shard that is not live here may be.
    fn elsewhere(&self, shard: Shard) -> String {
        let pair = pair(&self.nodes, shard);
        if pair.contains(&self.nodes[self.node]) { self.partner().to_owned() } else { pair[0].clone() }
    }

    /// Shards of a pair begin on its nodes in turns.
    fn begins(&self, shard: Shard) -> bool {
        usize::from(shard.0) / (self.nodes.len() / 2) % 2 == self.node % 2
    }

    /// What a life of this shard is to do.
    fn start(&self, shard: Shard) -> Result<Start> {
        if Meta::load(&self.shard_dir(shard))?.is_some() {
            return Ok(Start::Auto);
        }
        let mut arbiter = arbiter::parse(&self.shard_arbiter(shard)).map_err(Error::Refused)?;
        // If nobody answers, this life is over, and the next one asks again.
        let begun = arbiter.read().map_err(|e| Error::Refused(e.to_string()))?.is_some();
        Ok(if self.begins(shard) && !begun { Start::Fresh } else { Start::Join })
    }
}

/// Does a directory that is no node's hold something that no node has put there?
fn holds_others(dir: &Path) -> io::Result<bool> {
    for item in std::fs::read_dir(dir)? {
        let name = item?.file_name();
        if name != SITE_NEW_NAME && !name.to_string_lossy().starts_with(SHARD_PREFIX) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where a shard's log is in a node's directory.
pub fn shard_dir(dir: &Path, shard: Shard) -> PathBuf {
    dir.join(format!("{SHARD_PREFIX}{:03}", shard.0))
}

/// What a node's directory says of its service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Site {
    /// Where the nodes listen.
    pub nodes: Vec<String>,
    /// How many shards there are.
    pub shards: u16,
}

const SITE_NAME: &str = "service.json";
const SITE_NEW_NAME: &str = "service.new";
const SHARD_PREFIX: &str = "shard-";

impl Site {
    /// Of the node in `dir`; `None` if that is no node's directory.
    pub fn of(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(SITE_NAME);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|e| Error::Refused(format!("{}: {e}; remove the file and start the node", path.display()))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("reading", path, e)),
        }
    }

    /// All of it or nothing, and durable.
    fn keep(&self, dir: &Path) -> Result<()> {
        let (path, new) = (dir.join(SITE_NAME), dir.join(SITE_NEW_NAME));
        let bytes = serde_json::to_vec(self).expect("plain data becomes JSON");
        let write = || {
            std::fs::write(&new, bytes)?;
            File::open(&new)?.sync_all()?;
            std::fs::rename(&new, &path)?;
            File::open(dir)?.sync_all()
        };
        write().map_err(|e| Error::io("writing", &path, e))
    }
}

/// A node that runs.
pub struct Serving {
    shards: Vec<Running>,
    stop: Arc<AtomicBool>,
    _gate: Gatekeeper,
    http: Option<Ingress>,
}

struct Running {
    control: Arc<Mutex<Option<Control>>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a node of a service.
pub fn serve(service: Service) -> Result<Serving> {
    service.check()?;
    service.settle()?;
    let address = service.nodes[service.node].clone();
    let failed = |e: io::Error| Error::io("listening at", &address, e);
    let listener = TcpListener::bind(&address).map_err(failed)?;
    let doors = Doors::new(service.shards);
    let map = service.clone();
    let gate = Gatekeeper::start(listener, doors.clone(), move |shard| Some(map.elsewhere(shard))).map_err(failed)?;
    let http = service.http.as_deref().map(|at| Ingress::start(at, &service, doors.clone())).transpose()?;
    let code = own_code()?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut shards = Vec::new();
    for shard in service.own_shards() {
        let place = Place {
            shard,
            shards: service.shards,
            kinds: service.kinds.clone(),
            code: code.clone(),
            doors: doors.clone(),
            nodes: service.nodes.clone(),
            black_box: Some(service.shard_dir(shard).with_extension("reading")),
        };
        let control = Arc::<Mutex<Option<Control>>>::default();
        let (service, theirs, stopped) = (service.clone(), control.clone(), stop.clone());
        let thread = std::thread::Builder::new()
            .name(format!("shard-{shard}"))
            .spawn(move || lives(&service, &place, &theirs, &stopped))
            .map_err(|e| Error::io("starting a thread for", format!("shard {shard}"), e))?;
        shards.push(Running { control, thread: Some(thread) });
    }
    Ok(Serving { shards, stop, _gate: gate, http })
}

/// One life after the other, until the node is stopped.
fn lives(service: &Service, place: &Place, control: &Mutex<Option<Control>>, stop: &AtomicBool) {
    let (mut pause, mut last) = (AGAIN_AFTER, String::new());
    while !stop.load(Ordering::SeqCst) {
        let began = Instant::now();
        let end = life(service, place, control, stop);
        *control.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if stop.load(Ordering::SeqCst) {
            return;
        }
        // A planned takeover is no failure, however soon it came.
        let failed = began.elapsed() <= LIFE_MIN && !matches!(end, Ok(Halt::HandedOver));
        let said = end.map_or_else(|e| e.to_string(), |halt| halt.to_string());
        if !failed {
            pause = AGAIN_AFTER;
        }
        if said != last {
            (service.tell)(&format!("shard {}: {said}", place.shard));
            last = said;
        }
        std::thread::sleep(pause);
        pause = (2 * pause).min(AGAIN_AFTER_MAX);
    }
}

fn life(service: &Service, place: &Place, control: &Mutex<Option<Control>>, stop: &AtomicBool) -> Result<Halt> {
    let dir = service.shard_dir(place.shard);
    std::fs::create_dir_all(&dir).map_err(|e| Error::io("making", &dir, e))?;
    let mut config = NodeConfig::new(&dir, service.start(place.shard)?);
    config.listen = Some(format!("{}:0", host_of(&service.nodes[service.node])?));
    config.commit = service.commit;
    config.detect = service.detect;
    config.heartbeat = service.detect / 4;
    config.hold = !service.unprotected_start;
    config.accept_loss = service.accept_loss;
    config.lag_entries_max = if service.kinds.outsourced() { LAG_ENTRIES_OUTSOURCED_MAX } else { LAG_ENTRIES_MAX };
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
    /// Where it listens for HTTP, if it does.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(Ingress::address)
    }

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
    let hash = File::open(path).and_then(gapless_log::hash_of).map_err(|e| Error::io("reading", path, e))?;
    Ok(format!("program {hash:032x}"))
}

/// The address at which this host can be reached, for the pairs of its shards.
fn host_of(address: &str) -> Result<String> {
    let found = address.to_socket_addrs().map_err(|e| Error::io("resolving", address, e))?.next();
    match found {
        Some(SocketAddr::V6(v6)) => Ok(format!("[{}]", v6.ip())),
        Some(v4) => Ok(v4.ip().to_string()),
        None => Err(Error::Refused(format!("{address} is the address of nobody"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_has_one_pair_and_begins_on_one_node_of_it() {
        let nodes: Vec<String> = (0..4).map(|n| format!("n{n}")).collect();
        let at = |node| Service { shards: 8, ..Service::new(Kinds::new(), nodes.clone(), node, "file:r", "d") };
        let own: Vec<Vec<u16>> = (0..4).map(|node| at(node).own_shards().map(|s| s.0).collect()).collect();
        assert_eq!(own, [vec![0, 2, 4, 6], vec![0, 2, 4, 6], vec![1, 3, 5, 7], vec![1, 3, 5, 7]]);
        assert_eq!([0, 1, 2].map(|shard| at(0).elsewhere(Shard(shard))), ["n1", "n2", "n1"]);
        let begins = |node| -> Vec<u16> {
            at(node).own_shards().filter(|&shard| at(node).begins(shard)).map(|shard| shard.0).collect()
        };
        assert_eq!([0, 1, 2, 3].map(begins), [vec![0, 4], vec![2, 6], vec![1, 5], vec![3, 7]]);
    }
}
