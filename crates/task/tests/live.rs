//! A live shard and a client on a connection, without a backup: what is heard before the commit, and what after it.

use gapless_log::{Host, Options, Seq, Term};
use gapless_task::input::Payload;
use gapless_task::wire::{self, FRAME_BYTES_MAX, FromShard, Hello, KeyedTold, ToShard, VERSION, Welcome};
use gapless_task::{
    Context, Doors, From, Gatekeeper, Key, Kinds, Look, Place, ReplyTo, Session, SessionShown, Shard, ShardReplica,
    Shown, Stamp, Task, TaskId,
};
use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
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

/// A connection to the shard: another shard's, or a client's.
fn greeted(at: SocketAddr, from: Option<Shard>) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    wire::send(&Hello { version: VERSION, shards: 1, shard: Shard(0), from }, &stream).unwrap();
    assert_eq!(wire::receive::<Welcome>(&stream).unwrap(), Welcome::Here { shards: 1 });
    stream
}

/// The other side has closed it.
fn is_over(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut stream = stream;
    match stream.read(&mut [0; 64]) {
        Ok(n) => n == 0,
        Err(e) => e.kind() != ErrorKind::WouldBlock,
    }
}

struct Live {
    host: Host<ShardReplica>,
    client: TcpStream,
    come: Vec<u8>,
    gate_at: SocketAddr,
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
        let client = greeted(at, None);
        client.set_nonblocking(true).unwrap();
        Self { host, client, come: Vec::new(), gate_at: at, _gate: gate }
    }

    /// The shard goes on until something else has happened.
    fn run_until(&mut self, what: &str, mut is: impl FnMut() -> bool) {
        let since = Instant::now();
        while !is() {
            self.host.record_step().unwrap();
            assert!(since.elapsed() < PATIENCE, "not {what}");
        }
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

/// Anybody may say that it is a shard. What no shard sends ends that connection, and nothing else.
#[test]
fn what_no_shard_sends_ends_its_connection_and_nothing_else() {
    let mut live = Live::start();
    let one = TaskId::new("counter", "one");
    let long = "1".repeat(FRAME_BYTES_MAX - 100);
    let elsewhere = ReplyTo { shard: Shard(7), session: Session(1), number: 1 };
    let payloads = [
        Payload::Message { from: one.clone(), to: one.clone(), body: long },
        Payload::Message { from: one.clone(), to: TaskId::new("", "one"), body: "1".into() },
        Payload::Message { from: TaskId::new("counter", "x".repeat(1000)), to: one, body: "1".into() },
        Payload::Reply { to: elsewhere, answer: Ok("1".into()) },
    ];
    for payload in payloads {
        let shard = greeted(live.gate_at, Some(Shard(0)));
        let shown = format!("{payload:.80?}");
        let mut writer = shard.try_clone().unwrap();
        let mut bytes = Vec::new();
        wire::put(&ToShard::Payload { stamp: Stamp::default(), payload }, &mut bytes);
        let sending = std::thread::spawn(move || drop(writer.write_all(&bytes)));
        live.run_until(&shown, || is_over(&shard));
        drop(shard);
        sending.join().unwrap();
    }
    live.say(&[ToShard::Open { nonce: 7 }]);
    live.commit();
    assert_eq!(live.hear(1), [FromShard::Opened { nonce: 7, session: Session(1) }]);
}

#[test]
fn a_reply_goes_to_whoever_asked_and_not_to_whoever_names_the_session() {
    let mut live = Live::start();
    live.say(&[ToShard::Open { nonce: 7 }]);
    live.commit();
    let session = Session(1);
    assert_eq!(live.hear(1), [FromShard::Opened { nonce: 7, session }]);
    let to = TaskId::new("counter", "one");
    let asked = |number| ToShard::Request { session, number, below: 1, to: to.clone(), body: "1".into() };
    live.say(&[asked(1)]);
    let other = greeted(live.gate_at, None);
    wire::send(&asked(9), &other).unwrap();
    let mut heard = Vec::new();
    other.set_nonblocking(true).unwrap();
    live.run_until("refused", || {
        let mut bytes = [0; 4096];
        let n = (&other).read(&mut bytes).unwrap_or(0);
        heard.extend_from_slice(&bytes[..n]);
        let said = wire::take::<FromShard>(&heard).unwrap();
        said.is_some_and(|(said, _)| matches!(said, FromShard::Refused { number: 9, .. }))
    });
    live.commit();
    assert_eq!(live.hear(1), [FromShard::Reply { session, number: 1, answer: Ok("1".into()) }]);
}

#[test]
fn who_says_its_hello_too_slowly_or_announces_a_long_one_is_sent_away() {
    let live = Live::start();
    let since = Instant::now();
    let mut long = TcpStream::connect(live.gate_at).unwrap();
    long.write_all(&1_000_000u32.to_le_bytes()).unwrap();
    while !is_over(&long) {
        assert!(since.elapsed() < PATIENCE);
    }
    let slow = TcpStream::connect(live.gate_at).unwrap();
    // All of it would take six seconds; each byte comes in time.
    (&slow).write_all(&60u32.to_le_bytes()).unwrap();
    let mut sent = 0;
    while !is_over(&slow) {
        let _ = (&slow).write(&[1]);
        sent += 1;
        assert!(sent < 60, "it was heard to its end");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_deletion_is_answered_when_it_is_committed_and_happens_once() {
    let mut live = Live::start();
    live.say(&[ToShard::Open { nonce: 7 }]);
    live.commit();
    let session = Session(1);
    assert_eq!(live.hear(1), [FromShard::Opened { nonce: 7, session }]);
    let one = TaskId::new("counter", "one");
    let add = |number| ToShard::Request { session, number, below: 1, to: one.clone(), body: "1".into() };
    let delete = |number| ToShard::Delete { session, number, below: 1, task: one.clone() };
    let reply = |number, json: &str| FromShard::Reply { session, number, answer: Ok(json.into()) };
    live.say(&[delete(1), add(2), delete(3)]);
    live.say(&[delete(3), add(4)]);
    assert_eq!(live.hear(0), []);
    live.commit();
    let went = r#"{"timers":0,"questions":0,"messages":0}"#;
    assert_eq!(live.hear(4), [reply(1, "null"), reply(2, "1"), reply(3, went), reply(4, "1")]);
    wire::send(&delete(3), &live.client).unwrap();
    assert_eq!(live.hear(1), [reply(3, went)]);
    live.say(&[add(5)]);
    live.commit();
    assert_eq!(live.hear(1), [reply(5, "2")], "the one that came after the deletion is still there");
}

#[test]
fn sessions_are_shown_page_by_page() {
    let mut live = Live::start();
    for nonce in 0..5000 {
        live.say(&[ToShard::Open { nonce }]);
    }
    live.commit();
    live.hear(5000);
    let session = Session(4999);
    let asked = |number, below| {
        let to = TaskId::new("counter", "one");
        ToShard::Request { session, number, below, to, body: "1".into() }
    };
    live.say(&[asked(1, 1), asked(2, 2), asked(3, 2)]);
    live.commit();
    live.hear(3);
    let (mut after, mut all, mut pages) = (Session::KEYED, Vec::<SessionShown>::new(), 0);
    loop {
        live.say(&[ToShard::Look { nonce: pages, what: Look::Sessions { after } }]);
        assert_eq!(live.hear(0), [], "what is shown is committed");
        live.commit();
        let heard = live.hear(1).pop().unwrap();
        let FromShard::Shown { nonce, shown: Shown::Sessions { sessions, more } } = heard else { panic!("{heard:?}") };
        assert_eq!(nonce, pages);
        after = sessions.last().unwrap().session;
        all.extend(sessions);
        pages += 1;
        if !more {
            break;
        }
    }
    assert!(pages > 1 && all.iter().map(|shown| shown.session.0).eq(1..=5000));
    let numbers = |shown: &SessionShown| (shown.requests, shown.unconfirmed, shown.owed);
    assert_eq!((numbers(&all[4998]), numbers(&all[4999])), ((3, 2, 0), (0, 0, 0)));
    assert!(all.iter().all(|shown| shown.idle < PATIENCE));
}
