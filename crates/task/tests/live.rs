//! A live shard and a client on a connection, without a backup: what is heard before the commit, and what after it.

use gapless_log::{Host, Options, Seq, Term};
use gapless_task::wire::{self, FromShard, Hello, KeyedTold, ToShard, VERSION, Welcome};
use gapless_task::{Context, Doors, From, Gatekeeper, Key, Kinds, Place, Session, Shard, ShardReplica, Task, TaskId};
use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize)]
struct Counter(u64);

impl Task for Counter {
    const KIND: &'static str = "counter";
    type Message = u64;

    fn new(_: &str) -> Self {
        Self(0)
    }

    fn receive(&mut self, ctx: &mut Context<'_>, _: &From, add: u64) -> Result<(), String> {
        self.0 += add;
        ctx.reply(&self.0);
        Ok(())
    }
}

struct Live {
    host: Host<ShardReplica>,
    client: TcpStream,
    come: Vec<u8>,
    _gate: Gatekeeper,
}

impl Live {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let doors = Doors::new(1);
        let gate = Gatekeeper::start(listener, doors.clone(), |_| None).unwrap();
        let kinds = Kinds::new().with::<Counter>();
        let place =
            Place { shard: Shard(0), shards: 1, kinds, code: "test".into(), doors, nodes: Vec::new(), black_box: None };
        let mut host = Host::new(ShardReplica::new(place), Options::default());
        host.go_live(Term(1), Seq(0), 0).unwrap();
        host.record_step().unwrap();
        let client = TcpStream::connect(at).unwrap();
        wire::send(&Hello { version: VERSION, shards: 1, shard: Shard(0), from: None }, &client).unwrap();
        assert_eq!(wire::receive::<Welcome>(&client).unwrap(), Welcome::Here { shards: 1 });
        client.set_nonblocking(true).unwrap();
        Self { host, client, come: Vec::new(), _gate: gate }
    }

    /// Says these in one piece; the shard reads them all.
    fn say(&mut self, all: &[ToShard]) {
        let mut bytes = Vec::new();
        all.iter().for_each(|said| wire::put(said, &mut bytes));
        self.client.write_all(&bytes).unwrap();
        let (before, since) = (self.host.next_seq(), Instant::now());
        while self.host.next_seq() == before {
            self.host.record_step().unwrap();
            assert!(since.elapsed() < PATIENCE, "nothing came");
        }
    }

    /// So many replies, or none within a moment.
    fn hear(&mut self, count: usize) -> Vec<FromShard> {
        let patience = if count == 0 { Duration::from_millis(50) } else { PATIENCE };
        let (mut heard, since) = (Vec::new(), Instant::now());
        while since.elapsed() < patience && (count == 0 || heard.len() < count) {
            self.host.record_step().unwrap();
            let mut bytes = [0; 4096];
            match self.client.read(&mut bytes) {
                Ok(n) => self.come.extend_from_slice(&bytes[..n]),
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
            while let Some((said, n)) = wire::take(&self.come).unwrap() {
                self.come.drain(..n);
                heard.push(said);
            }
        }
        heard
    }

    fn commit(&mut self) {
        let all = Seq(self.host.last_mark().unwrap().0 + 1);
        self.host.release(all).unwrap();
    }
}

#[test]
fn a_keyed_request_that_comes_twice_in_one_step_is_answered_twice_and_only_when_it_is_committed() {
    let mut live = Live::start();
    let key = Key { to: TaskId::new("counter", "one"), message: "add".into(), key: "k".into() };
    let asked = |ticket| ToShard::Keyed { ticket, key: key.clone(), body: "1".into(), kept: Duration::from_secs(60) };
    let reply = |ticket| FromShard::Keyed { ticket, told: KeyedTold::Answer(Ok("1".into())) };
    live.say(&[asked(1), asked(2)]);
    assert_eq!(live.hear(0), []);
    live.commit();
    assert_eq!(live.hear(2), [reply(1), reply(2)]);
    let entries = live.host.next_seq();
    wire::send(&asked(3), &live.client).unwrap();
    assert_eq!(live.hear(1), [reply(3)], "what is committed is answered at once");
    assert_eq!(live.host.next_seq(), entries, "and costs no entry of the log");
}

#[test]
fn a_request_of_a_session_that_comes_twice_in_one_step_is_answered_only_when_it_is_committed() {
    let mut live = Live::start();
    live.say(&[ToShard::Open { nonce: 7 }]);
    assert_eq!(live.hear(0), []);
    live.commit();
    let session = Session(1);
    assert_eq!(live.hear(1), [FromShard::Opened { nonce: 7, session }]);
    let to = TaskId::new("counter", "one");
    let asked = || ToShard::Request { session, number: 1, below: 1, to: to.clone(), body: "1".into() };
    live.say(&[asked(), asked()]);
    assert_eq!(live.hear(0), []);
    live.commit();
    assert_eq!(live.hear(1), [FromShard::Reply { session, number: 1, answer: Ok("1".into()) }]);
    assert_eq!(live.hear(0), []);
}
