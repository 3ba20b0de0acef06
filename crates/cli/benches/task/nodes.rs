//! A service on two nodes, child processes that run this program, and how it is spoken to.

use crate::load::Protocol;
use gapless::task::{Commit, Context, From, Kinds, Service, Shard, Task, TaskId, serve};
use gapless_task::Session;
use gapless_task::wire::{self, FromShard, Hello, ToShard, VERSION, Welcome};
use serde::{Deserialize, Serialize};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Says what a child is.
const VARIABLE: &str = "GAPLESS_BENCH_TASK_NODE";
/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// A message of the usual length.
pub const BYTES: usize = 128;

/// Counts.
#[derive(Serialize, Deserialize)]
pub struct Counter(u64);

/// Adds, and replies with the sum.
#[derive(Serialize, Deserialize)]
pub struct Add {
    add: u64,
    /// Makes the message as long as it should be.
    pad: String,
}

impl Add {
    /// One that becomes JSON of this length.
    pub fn of(bytes: usize) -> Self {
        Self { add: 1, pad: "x".repeat(bytes - r#"{"add":1,"pad":""}"#.len()) }
    }
}

impl Task for Counter {
    const KIND: &'static str = "counter";
    type Message = Add;

    fn new(_: &str) -> Self {
        Self(0)
    }

    fn receive(&mut self, ctx: &mut Context<'_>, _: &From, message: Add) -> Result<(), String> {
        self.0 += message.add;
        ctx.reply(&self.0);
        Ok(())
    }
}

/// In a child: the node that it is, until it is killed.
pub fn serve_if_child() {
    let Ok(args) = std::env::var(VARIABLE) else { return };
    let args: Vec<&str> = args.split(' ').collect();
    let [nodes, node, arbiter, dir, shards, commit] = args[..] else { panic!("{VARIABLE} is of another build") };
    let number = |text: &str| text.parse().expect("a number");
    let mut service = Service::new(Kinds::new().with::<Counter>(), nodes.split(','), number(node), arbiter, dir);
    service.shards = number(shards) as u16;
    service.commit = if commit == "durable" { Commit::Durable } else { Commit::Received };
    serve(service).expect("the node starts").wait();
    std::process::exit(0);
}

/// The service.
pub struct Nodes {
    home: tempfile::TempDir,
    pub addresses: Vec<String>,
    pub shards: u16,
    commit: Commit,
    children: [Option<Child>; 2],
    dirs: [PathBuf; 2],
    started: u32,
}

impl Nodes {
    /// Starts it and waits until all shards are protected.
    pub fn start(shards: u16, commit: Commit) -> Self {
        Self::start_in(&std::env::temp_dir(), shards, commit)
    }

    /// The same, with logs and register below this directory.
    pub fn start_in(place: &Path, shards: u16, commit: Commit) -> Self {
        let home = tempfile::Builder::new().prefix("gapless-bench-").tempdir_in(place).expect("a temporary directory");
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let addresses = free.iter().map(|l| l.local_addr().expect("its address").to_string()).collect();
        drop(free);
        let mut nodes = Self {
            home,
            addresses,
            shards,
            commit,
            children: [None, None],
            dirs: [PathBuf::new(), PathBuf::new()],
            started: 0,
        };
        (0..2).for_each(|node| nodes.spawn(node));
        nodes.await_protected();
        nodes
    }

    /// A node in an empty directory.
    pub fn spawn(&mut self, node: usize) {
        self.started += 1;
        self.dirs[node] = self.home.path().join(format!("node-{}", self.started));
        let args = [
            self.addresses.join(","),
            node.to_string(),
            format!("file:{}", self.home.path().join("register").display()),
            self.dirs[node].display().to_string(),
            self.shards.to_string(),
            if self.commit == Commit::Durable { "durable" } else { "received" }.to_owned(),
        ];
        let log = std::fs::File::create(self.dirs[node].with_extension("err")).expect("a file");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.env(VARIABLE, args.join(" ")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.children[node] = Some(dies_with_us(&mut command).spawn().expect("a child"));
    }

    pub fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.children[node].take() {
            child.kill().expect("it runs");
            child.wait().expect("it ends");
        }
    }

    pub fn pids(&self) -> Vec<u32> {
        self.children.iter().flatten().map(Child::id).collect()
    }

    /// What the nodes have said to people.
    pub fn words(&self) -> String {
        let words = |n| std::fs::read_to_string(self.home.path().join(format!("node-{n}.err"))).unwrap_or_default();
        (1..=self.started).map(|n| format!("node {n}:\n{}", words(n))).collect()
    }

    /// Waits until every shard has a live side and a backup that may take over.
    pub fn await_protected(&self) {
        let since = Instant::now();
        for shard in 0..self.shards {
            let modes = || {
                self.dirs.each_ref().map(|dir| {
                    let dir = dir.join(format!("shard-{shard:03}"));
                    gapless_pair::status::query(&dir).map(|s| s.mode).unwrap_or_default()
                })
            };
            while !modes().iter().any(|mode| mode == "protected") {
                assert!(since.elapsed() < PATIENCE, "shard {shard} is not protected: {:?}", modes());
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// A connection to a shard, with a session.
    pub fn connect(&self, shard: Shard) -> (TcpStream, Session) {
        let since = Instant::now();
        loop {
            for address in &self.addresses {
                let stream = TcpStream::connect(address).expect("the node listens");
                let hello = Hello { version: VERSION, shards: self.shards, shard, from: None };
                wire::send(&hello, &stream).expect("it listens");
                if let Welcome::Here { .. } = wire::receive(&stream).expect("it answers") {
                    wire::send(&ToShard::Open { nonce: 7 }, &stream).expect("it listens");
                    let FromShard::Opened { session, .. } = wire::receive(&stream).expect("it answers") else {
                        panic!("a session");
                    };
                    return (stream, session);
                }
            }
            assert!(since.elapsed() < PATIENCE, "shard {shard} is live nowhere");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// So many connections over all shards, to these tasks.
    pub fn connections(&self, count: usize, tasks: usize, bytes: usize) -> Vec<(TcpStream, Asking)> {
        let mut names: Vec<Vec<TaskId>> = vec![Vec::new(); usize::from(self.shards)];
        let mut named = 0;
        for n in 0.. {
            let id = TaskId::new(Counter::KIND, format!("key-{n}"));
            let shard = usize::from(id.shard(self.shards).0);
            // At least one of each shard that is asked.
            if named < tasks || names[shard].is_empty() {
                names[shard].push(id);
                named += 1;
            }
            if named >= tasks && names.iter().take(count).all(|names| !names.is_empty()) {
                break;
            }
        }
        let body = serde_json::to_string(&Add::of(bytes)).expect("JSON");
        let connect = |n: usize| {
            let shard = n % usize::from(self.shards);
            let (stream, session) = self.connect(Shard(shard as u16));
            let names = names[shard].clone();
            (stream, Asking { session, number: 0, answered: 0, next: n, names, body: body.clone() })
        };
        (0..count).map(connect).collect()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        (0..2).for_each(|node| self.kill(node));
        if std::thread::panicking() {
            eprintln!("{}", self.words());
        }
    }
}

/// It is gone when this process is.
pub fn dies_with_us(command: &mut Command) -> &mut Command {
    let dies_with_us = || {
        // SAFETY: a plain system call between fork and exec.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        Ok(())
    };
    // SAFETY: see above.
    unsafe { std::os::unix::process::CommandExt::pre_exec(command, dies_with_us) }
}

/// Asks the tasks of one shard in turns.
pub struct Asking {
    session: Session,
    number: u64,
    answered: u64,
    next: usize,
    names: Vec<TaskId>,
    body: String,
}

impl Protocol for Asking {
    fn ask(&mut self, to: &mut Vec<u8>) {
        self.number += 1;
        // A large prime: neighbours are not asked one after the other.
        self.next = (self.next + 7919) % self.names.len();
        let (to_task, body) = (self.names[self.next].clone(), self.body.clone());
        let below = self.answered + 1;
        wire::put(&ToShard::Request { session: self.session, number: self.number, below, to: to_task, body }, to);
    }

    fn answer(&mut self, bytes: &[u8]) -> Option<usize> {
        let (said, length) = wire::take(bytes).expect("a frame")?;
        let FromShard::Reply { number, answer: Ok(_), .. } = said else { panic!("a reply, not {said:?}") };
        assert_eq!(number, self.answered + 1, "replies come in order");
        self.answered = number;
        Some(length)
    }
}
