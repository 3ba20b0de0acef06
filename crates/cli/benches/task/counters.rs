//! A service of counters on two nodes, child processes that run this program, and how it is spoken to.

use crate::load::Protocol;
use crate::support::tasks::nodes::{self, Mode, Nodes, PATIENCE, Setup};
use gapless::task::{Context, From, Kinds, Shard, Task, TaskId};
use gapless_task::Session;
use gapless_task::wire::{self, FromShard, Hello, ToShard, VERSION, Welcome};
use serde::{Deserialize, Serialize};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Silence that counts as death, as the command line has it.
pub const DETECT: Duration = Duration::from_millis(200);
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
    nodes::child(Kinds::new().with::<Counter>());
}

/// Starts a service and waits until all shards are protected; logs and register are below `place`.
pub fn start_in(place: &Path, shards: u16, mode: Mode) -> Nodes {
    let nodes = Nodes::start(Setup { mode, detect: DETECT, place: place.to_owned(), ..Setup::of(shards) });
    nodes.await_protected();
    nodes
}

pub fn start(shards: u16, mode: Mode) -> Nodes {
    start_in(&std::env::temp_dir(), shards, mode)
}

/// A connection to a shard, with a session.
fn connect(nodes: &Nodes, shard: Shard) -> (TcpStream, Session) {
    let since = Instant::now();
    loop {
        for address in &nodes.addresses {
            let stream = TcpStream::connect(address).expect("the node listens");
            let hello = Hello { version: VERSION, shards: nodes.setup.shards, shard, from: None };
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
pub fn connections(nodes: &Nodes, count: usize, tasks: usize, bytes: usize) -> Vec<(TcpStream, Asking)> {
    let shards = nodes.setup.shards;
    let mut names: Vec<Vec<TaskId>> = vec![Vec::new(); usize::from(shards)];
    let mut named = 0;
    for n in 0.. {
        let id = TaskId::new(Counter::KIND, format!("key-{n}"));
        let shard = usize::from(id.shard(shards).0);
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
        let shard = n % usize::from(shards);
        let (stream, session) = connect(nodes, Shard(shard as u16));
        let names = names[shard].clone();
        (stream, Asking { session, number: 0, answered: 0, next: n, names, body: body.clone() })
    };
    (0..count).map(connect).collect()
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
