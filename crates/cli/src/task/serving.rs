//! A node that runs: one life of a shard follows the other until it is stopped.

use super::http::Ingress;
use super::{Service, Shard};
use gapless_log::{Error, Meta, Result};
use gapless_pair::driver::{Control, Node, NodeConfig, Notice};
use gapless_pair::{Halt, Start, arbiter, status::Snapshot};
use gapless_task::{Doors, Gatekeeper, Place, ShardReplica};
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

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

/// A node that runs.
pub struct Serving {
    lives: Arc<Lives>,
    threads: Vec<JoinHandle<()>>,
    _gate: Gatekeeper,
    http: Option<Ingress>,
}

/// Ends a node, from any thread.
#[derive(Clone)]
pub struct Stopper(Arc<Lives>);

impl Stopper {
    /// Ends it. The other node takes over what is live there.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// The present life of each shard of a node, `None` between two; and whether they are the last ones.
struct Lives {
    stopped: AtomicBool,
    now: Vec<Mutex<Option<Control>>>,
}

impl Lives {
    fn of(&self, at: usize) -> MutexGuard<'_, Option<Control>> {
        self.now[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn are_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn begin(&self, at: usize, control: Control) {
        let mut now = self.of(at);
        if self.are_stopped() {
            control.stop();
        }
        *now = Some(control);
    }

    fn end(&self, at: usize) {
        *self.of(at) = None;
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        (0..self.now.len()).for_each(|at| self.of(at).iter().for_each(Control::stop));
    }
}

/// Starts a node of a service.
pub fn serve(service: Service) -> Result<Serving> {
    service.check()?;
    service.site().settle(&service.dir)?;
    let address = service.nodes[service.node].clone();
    let failed = |e: io::Error| Error::io("listening at", &address, e);
    let listener = TcpListener::bind(&address).map_err(failed)?;
    let doors = Doors::new(service.shards);
    let map = service.clone();
    let gate = Gatekeeper::start(listener, doors.clone(), move |shard| Some(map.elsewhere(shard))).map_err(failed)?;
    let http = service.http.as_deref().map(|at| Ingress::start(at, &service, doors.clone())).transpose()?;
    let code = own_code()?;
    let now = service.own_shards().map(|_| Mutex::default()).collect();
    let lives = Arc::new(Lives { stopped: AtomicBool::new(false), now });
    let mut threads = Vec::new();
    for (at, shard) in service.own_shards().enumerate() {
        let place = Place {
            shard,
            shards: service.shards,
            kinds: service.kinds.clone(),
            code: code.clone(),
            doors: doors.clone(),
            nodes: service.nodes.clone(),
            black_box: Some(service.shard_dir(shard).with_extension("reading")),
        };
        let (service, lives) = (service.clone(), lives.clone());
        let thread = std::thread::Builder::new()
            .name(format!("shard-{shard}"))
            .spawn(move || live(&service, &place, &lives, at))
            .map_err(|e| Error::io("starting a thread for", format!("shard {shard}"), e))?;
        threads.push(thread);
    }
    Ok(Serving { lives, threads, _gate: gate, http })
}

/// One life after the other, until the node is stopped.
fn live(service: &Service, place: &Place, lives: &Lives, at: usize) {
    let (mut pause, mut last) = (AGAIN_AFTER, String::new());
    while !lives.are_stopped() {
        let began = Instant::now();
        let end = life(service, place, |control| lives.begin(at, control));
        lives.end(at);
        if matches!(end, Ok(Halt::Stopped)) {
            // By a person, who means the node.
            lives.stop();
        }
        if lives.are_stopped() {
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

fn life(service: &Service, place: &Place, begin: impl FnOnce(Control)) -> Result<Halt> {
    let dir = service.shard_dir(place.shard);
    std::fs::create_dir_all(&dir).map_err(|e| Error::io("making", &dir, e))?;
    let mut config = NodeConfig::new(&dir, start_of(service, place.shard)?);
    config.listen = Some(format!("{}:0", host_of(&service.nodes[service.node])?));
    config.commit = service.commit;
    config.detect = service.detect;
    config.heartbeat = service.detect / 4;
    config.hold = !service.unprotected_start;
    config.accept_loss = service.accept_loss;
    config.lag_entries_max = if service.kinds.outsourced() { LAG_ENTRIES_OUTSOURCED_MAX } else { LAG_ENTRIES_MAX };
    // Loading a state is sooner done than reading more than that.
    config.state_entries_min = config.lag_entries_max;
    config.attends = true;
    config.linger = LINGER;
    config.warm = service.warm;
    config.shorten_bytes = Some(service.log_bytes);
    let arbiter = arbiter::parse(&service.shard_arbiter(place.shard)).map_err(Error::Refused)?;
    let (tell, shard) = (service.tell.clone(), place.shard);
    let notify = Box::new(move |notice: &Notice| match notice {
        Notice::Changed(_) => {}
        Notice::Trouble(what) => tell(&format!("shard {shard}: {what}")),
    });
    let node = Node::new(config, arbiter, notify)?;
    begin(node.control());
    node.run(|| Ok(ShardReplica::new(place.clone()))).map(|end| end.halt)
}

/// What a life of this shard is to do.
fn start_of(service: &Service, shard: Shard) -> Result<Start> {
    if Meta::load(&service.shard_dir(shard))?.is_some() {
        return Ok(Start::Auto);
    }
    let mut arbiter = arbiter::parse(&service.shard_arbiter(shard)).map_err(Error::Refused)?;
    // If nobody answers, this life is over, and the next one asks again.
    let begun = arbiter.read().map_err(|e| Error::Refused(e.to_string()))?.is_some();
    Ok(if service.begins(shard) && !begun { Start::Fresh } else { Start::Join })
}

impl Serving {
    /// Where it listens for HTTP, if it does.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(Ingress::address)
    }

    /// What each shard's node is doing; `None` between two lives.
    pub fn status(&self) -> Vec<Option<Snapshot>> {
        (0..self.lives.now.len()).map(|at| self.lives.of(at).as_ref().map(Control::status)).collect()
    }

    /// Ends this node. The other one takes over what is live here.
    pub fn stop(&self) {
        self.lives.stop();
    }

    /// What ends this node while somebody waits for its end.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.lives.clone())
    }

    /// Until it was stopped: by [`Serving::stop`], a [`Stopper`], or `gapless stop`.
    pub fn wait(self) {
        self.threads.into_iter().for_each(|thread| drop(thread.join()));
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
