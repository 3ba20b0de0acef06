//! Two nodes of a task service, each a process.
//!
//! A node runs the very program that uses this, a test or a benchmark, or `gapless task` with a program in Python. A test has a test `child_process` that
//! calls [`child`] and nothing else; a benchmark's `main` begins with it.

use crate::support::process::{Done, Process, sleep_ms};
use crate::support::{Area, python};
use gapless::task::{Client, Commit, Kinds, LOG_BYTES, Look, Service, Shard, Shown, serve, shard_dir};
use gapless_log::Meta;
use gapless_pair::status;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longest that anything may take on a host that is busy with other things too.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// In the environment of a child: what it is.
const NODE: &str = "GAPLESS_TASK_NODE";

/// Bytes of a shard's log that are soon written.
pub const SHORT_LOG: u64 = 128 << 10;

/// How a service keeps what it has acknowledged.
#[derive(Clone, Copy)]
pub struct Mode {
    pub name: &'static str,
    set: fn(&mut Service),
    flags: &'static [&'static str],
}

/// All there are; whatever is killed is killed in each of them.
const MODES: [Mode; 3] = [Mode::HOT, Mode::WARM, Mode::DURABLE];

impl Mode {
    pub const HOT: Self = Self { name: "hot", set: |_| {}, flags: &[] };
    pub const WARM: Self = Self { name: "warm", set: |service| service.warm = true, flags: &["--warm"] };
    pub const DURABLE: Self =
        Self { name: "durable", set: |service| service.commit = Commit::Durable, flags: &["--durable"] };
}

/// All modes, or those that `MODES` names.
pub fn modes() -> Vec<Mode> {
    let Ok(asked) = std::env::var("MODES") else { return MODES.to_vec() };
    let named = |name: &str| {
        MODES.into_iter().find(|mode| mode.name == name).unwrap_or_else(|| panic!("MODES={asked}: no mode {name}"))
    };
    asked.split(',').map(named).collect()
}

/// What a node runs.
#[derive(Clone)]
pub enum Program {
    /// This one.
    This,
    /// A script with the name of its one kind, and further options of `gapless task`.
    Python(&'static str, Vec<&'static str>),
}

/// How a service is run.
#[derive(Clone)]
pub struct Setup {
    pub program: Program,
    pub shards: u16,
    pub mode: Mode,
    /// Silence that counts as death.
    pub detect: Duration,
    pub accept_loss: bool,
    /// Logs begin later when they take more.
    pub log_bytes: u64,
    /// Keys are forgotten so many seconds after the reply.
    pub keys_kept_s: Option<u64>,
    /// Further environment of the nodes.
    pub env: Vec<(&'static str, String)>,
    /// Logs and register are below it.
    pub place: PathBuf,
}

impl Setup {
    /// Of this program's kinds.
    pub fn of(shards: u16) -> Self {
        Self {
            program: Program::This,
            shards,
            mode: Mode::HOT,
            // Other tests run beside this one.
            detect: Duration::from_millis(1000),
            accept_loss: false,
            log_bytes: LOG_BYTES,
            keys_kept_s: None,
            env: Vec::new(),
            place: std::env::temp_dir(),
        }
    }

    /// Of one kind in Python.
    pub fn python(kind: &'static str, shards: u16) -> Self {
        Self { program: Program::Python(kind, Vec::new()), ..Self::of(shards) }
    }
}

/// An address of the loopback network that nobody else has. A port that was only free once may be somebody's connection when a node that was killed wants
/// it again.
fn own_host() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = (64 * std::process::id() + COUNT.fetch_add(1, Ordering::Relaxed)) % (254 << 16);
    let [_, a, b, c] = number.to_be_bytes();
    format!("127.{}.{b}.{c}", a + 1)
}

/// What a child is told.
#[derive(Serialize, Deserialize)]
struct Told {
    nodes: Vec<String>,
    node: usize,
    arbiter: String,
    dir: PathBuf,
    shards: u16,
    mode: String,
    detect: Duration,
    accept_loss: bool,
    log_bytes: u64,
    keys_kept_s: Option<u64>,
    http: String,
}

/// A node, for ever, if this process is to be one; nothing else.
pub fn child(kinds: Kinds) {
    let Ok(told) = std::env::var(NODE) else { return };
    let told: Told = serde_json::from_str(&told).expect("a child is told what it is");
    let mut service = Service::new(kinds, told.nodes, told.node, told.arbiter, told.dir);
    service.shards = told.shards;
    service.detect = told.detect;
    service.accept_loss = told.accept_loss;
    service.log_bytes = told.log_bytes;
    service.http = Some(told.http);
    if let Some(seconds) = told.keys_kept_s {
        service.http_keys_kept = Duration::from_secs(seconds);
    }
    let mode = MODES.into_iter().find(|mode| mode.name == told.mode).expect("one of the modes");
    (mode.set)(&mut service);
    serve(service).expect("the node starts").wait();
    std::process::exit(0);
}

/// Two nodes of one service.
pub struct Nodes {
    // First: they are gone before their directory is.
    sides: [Option<Process>; 2],
    pub area: Area,
    /// For nodes that are started from now on.
    pub setup: Setup,
    pub addresses: Vec<String>,
    /// Where they listen for HTTP.
    pub http: Vec<String>,
    dirs: [PathBuf; 2],
    started: u32,
}

impl Nodes {
    pub fn start(setup: Setup) -> Self {
        let mut nodes = Self::new(setup);
        (0..2).for_each(|node| nodes.spawn(node));
        nodes
    }

    /// Neither runs yet.
    pub fn new(setup: Setup) -> Self {
        let area = Area::new_in(&setup.place, "task");
        if matches!(setup.program, Program::Python(..)) {
            let here = Path::new(env!("CARGO_MANIFEST_DIR"));
            for file in ["../../python/gapless_task.py", "../../examples/python/account.py", "tests/workers/trouble.py"]
            {
                let name = Path::new(file).file_name().expect("it has a name");
                fs::copy(here.join(file), area.path().join(name)).expect("a file of the repository");
            }
        }
        let host = own_host();
        let [addresses, http] = [7500, 7600].map(|port| (0..2).map(|node| format!("{host}:{}", port + node)).collect());
        Self { sides: [None, None], area, setup, addresses, http, dirs: Default::default(), started: 0 }
    }

    /// Starts a node with an empty directory; what it had is gone.
    pub fn spawn(&mut self, node: usize) {
        if self.dirs[node].exists() {
            fs::remove_dir_all(&self.dirs[node]).expect("a directory of this test");
        }
        self.dirs[node] = self.area.join(&format!("log-{}", self.started + 1));
        self.restart(node);
    }

    /// Starts a node again on what it has.
    pub fn restart(&mut self, node: usize) {
        assert!(self.sides[node].is_none(), "node {node} runs");
        self.started += 1;
        let command = match self.setup.program.clone() {
            Program::This => self.this_program(node),
            Program::Python(kind, options) => self.gapless_task(node, kind, &options),
        };
        self.sides[node] = Some(Process::start(command, &self.area.join(&format!("life-{}", self.started))));
    }

    fn arbiter(&self) -> String {
        format!("file:{}", self.area.join("register").display())
    }

    fn dressed(&self, node: usize, command: Command) -> Command {
        let mut command = self.area.dressed(command, &self.area.folder(&format!("node-{node}")));
        command.envs(self.setup.env.iter().cloned());
        command
    }

    fn this_program(&self, node: usize) -> Command {
        let told = Told {
            nodes: self.addresses.clone(),
            node,
            arbiter: self.arbiter(),
            dir: self.dirs[node].clone(),
            shards: self.setup.shards,
            mode: self.setup.mode.name.to_owned(),
            detect: self.setup.detect,
            accept_loss: self.setup.accept_loss,
            log_bytes: self.setup.log_bytes,
            keys_kept_s: self.setup.keys_kept_s,
            http: self.http[node].clone(),
        };
        let mut command = self.dressed(node, Command::new(std::env::current_exe().expect("this program")));
        command.env(NODE, serde_json::to_string(&told).expect("plain data"));
        command.args(["child_process", "--exact", "--nocapture"]);
        command
    }

    fn gapless_task(&self, node: usize, kind: &str, options: &[&str]) -> Command {
        let mut command = self.dressed(node, Command::new(env!("CARGO_BIN_EXE_gapless")));
        command.args(["task", "--kind", kind, "--node", &node.to_string(), "--listen", &self.addresses[node]]);
        command.args(["--peer", &self.addresses[1 - node], "--arbiter", &self.arbiter()]);
        command.args(["--shards", &self.setup.shards.to_string(), "--http", &self.http[node]]);
        command.args(["--detect", &self.setup.detect.as_millis().to_string()]).arg("--log").arg(&self.dirs[node]);
        command.args(self.setup.accept_loss.then_some("--accept-loss"));
        command.args(["--log-bytes", &self.setup.log_bytes.to_string()]);
        command.args(self.setup.mode.flags).args(options);
        command.arg("--").arg(python()).arg(self.area.join(&format!("{kind}.py")));
        command.env("PYTHONPATH", self.area.path());
        command
    }

    pub fn side(&mut self, node: usize) -> &mut Process {
        self.sides[node].as_mut().expect("it runs")
    }

    /// For whoever ends it in another way.
    pub fn take(&mut self, node: usize) -> Process {
        self.sides[node].take().expect("it runs")
    }

    /// SIGKILL, and no worker outlives it.
    pub fn kill(&mut self, node: usize) -> Done {
        self.take(node).destroy()
    }

    pub fn pids(&self) -> Vec<u32> {
        self.sides.iter().flatten().map(Process::pid).collect()
    }

    /// The directory that a node has now.
    pub fn dir(&self, node: usize) -> &Path {
        &self.dirs[node]
    }

    pub fn shard_dir(&self, node: usize, shard: u16) -> PathBuf {
        shard_dir(&self.dirs[node], Shard(shard))
    }

    /// Where the logs of the shards begin, on either node.
    pub fn begins_at(&self) -> Vec<u64> {
        let dirs = (0..2).flat_map(|node| (0..self.setup.shards).map(move |shard| (node, shard)));
        let meta = dirs.filter_map(|(node, shard)| Meta::load(&self.shard_dir(node, shard)).ok()?);
        meta.map(|meta| meta.base.seq.0).collect()
    }

    pub fn client(&self) -> Client {
        Client::connect(self.addresses.clone()).expect("a node answers").with_patience(PATIENCE)
    }

    /// What every shard of a node does; nothing of one that says nothing.
    pub fn shards(&self, node: usize) -> Vec<status::Snapshot> {
        let ask = |shard| status::query(&self.shard_dir(node, shard)).unwrap_or_default();
        (0..self.setup.shards).map(ask).collect()
    }

    /// Which shards are live, and protected, on which node.
    pub fn live(&self) -> [Vec<u16>; 2] {
        let live = |node| {
            let shards = (0..).zip(self.shards(node));
            shards.filter(|(_, now)| now.mode == "protected").map(|(shard, _)| shard).collect()
        };
        [0, 1].map(live)
    }

    /// Waits until this is so.
    pub fn until(&self, what: &str, is: impl Fn() -> bool) {
        let since = Instant::now();
        while !is() {
            assert!(since.elapsed() < PATIENCE, "not {what}: {:?}\n{}", [0, 1].map(|n| self.shards(n)), self.words());
            sleep_ms(5);
        }
    }

    /// Waits until every shard has a live side and a backup that may take over.
    pub fn await_protected(&self) {
        self.until("protected", || self.live().iter().map(Vec::len).sum::<usize>() == usize::from(self.setup.shards));
    }

    /// What the nodes have said to people.
    pub fn words(&self) -> String {
        let words = |n| fs::read_to_string(self.area.join(&format!("life-{n}.err"))).unwrap_or_default();
        (1..=self.started).map(|n| format!("life {n}:\n{}", words(n))).collect()
    }

    pub fn gapless(&self, args: &[&str]) -> Done {
        Process::start(self.area.gapless(self.area.path(), args), &self.area.join("command")).finish()
    }

    /// What a command prints.
    pub fn shown(&self, args: &[&str]) -> String {
        let done = self.gapless(args);
        assert_eq!(done.code(), 0, "{args:?}: {}\n{}", done.stderr_text(), self.words());
        done.stdout_text()
    }

    /// How many messages were not read.
    pub fn dead_letters(&self) -> usize {
        let client = self.client();
        let of = |shard| match client.look(Shard(shard), &Look::DeadLetters { skip: 0 }) {
            Ok(Shown::DeadLetters { letters, .. }) => letters.len(),
            other => panic!("{other:?}\n{}", self.words()),
        };
        (0..self.setup.shards).map(of).sum()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.words());
        }
    }
}
