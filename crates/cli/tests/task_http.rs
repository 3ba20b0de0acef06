//! Tasks asked over HTTP: what is refused and how, and what holds when nodes are killed.
//!
//! `KILLS` (10): kills of one test.

#[allow(dead_code, reason = "its main is for those who run the example")]
#[path = "../examples/counter.rs"]
mod counter;
#[allow(dead_code, reason = "its main is for those who run the example")]
#[path = "../examples/orders.rs"]
mod orders;
mod support;

use counter::Counter;
use gapless::task::{CLIENT_REPLIES_MAX, Context, From, HTTP_SHARD_REQUESTS_MAX, Kinds, ReplyTo, Task, TaskId};
use orders::{Ledger, Order, Stock, payments};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};
use support::chance::Chance;
use support::crowd::Crowd;
use support::http::{exchange, hear, post, post_until_answered, request};
use support::tasks::kills::{Kills, kills};
use support::tasks::nodes::{self, Nodes, PATIENCE, Setup};

/// Owes all replies until it is told to give them.
#[derive(Serialize, Deserialize)]
struct Slow {
    read: usize,
    owed: Vec<ReplyTo>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SlowMessage {
    Later(String),
    Give,
    Look,
}

impl Task for Slow {
    const KIND: &'static str = "slow";
    type Message = SlowMessage;

    fn new(_: &str) -> Self {
        Self { read: 0, owed: Vec::new() }
    }

    fn receive(&mut self, ctx: &mut Context<'_>, _: &From, message: SlowMessage) -> Result<(), String> {
        match message {
            SlowMessage::Later(_) => {
                self.read += 1;
                self.owed.extend(ctx.owe());
            }
            SlowMessage::Give => {
                for owed in std::mem::take(&mut self.owed) {
                    ctx.reply_later(owed, Ok("\"given\"".to_owned()));
                }
                ctx.reply(&self.read);
            }
            SlowMessage::Look => ctx.reply(&self.read),
        }
        Ok(())
    }
}

/// What a child of this test is: a node.
#[test]
fn child_process() {
    nodes::child(Kinds::new().with::<Counter>().with::<Order>().with::<Stock>().with::<Slow>());
}

/// So many steps are done before a kill, and each client does some after it.
fn kill_live<T: Send + 'static>(nodes: &mut Nodes, crowd: &Crowd<T>, steps: u64) {
    let kills = Kills { count: kills(10), before: steps, after: 2 };
    println!("longest until each went on: {:.1?}", nodes.kill_live(kills, crowd, &mut Chance::new()));
}

/// A node answers over HTTP as soon as its process listens.
fn await_http(nodes: &Nodes) {
    let since = Instant::now();
    while !nodes.http.iter().all(|at| exchange(at, request("GET", "/health", "", "").as_bytes()).is_ok()) {
        assert!(since.elapsed() < PATIENCE, "{}", nodes.words());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_request_is_answered_or_refused_in_words_that_say_what_to_do() {
    let nodes = Nodes::start(Setup::of(4));
    await_http(&nodes);
    let check = |request: String, status: u16, words: &str| {
        for at in &nodes.http {
            let reply = exchange(at, request.as_bytes()).unwrap();
            let shown = request.get(..200).unwrap_or(&request);
            assert_eq!(reply.status, status, "{shown}\n{reply:?}");
            assert!(reply.body.contains(words), "{shown}\n{reply:?}");
            assert!(reply.head.contains("content-type: application/json"), "{reply:?}");
            let json: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
            assert_eq!(json.get("error").is_some(), status != 200, "{reply:?}");
        }
    };
    let add = "/task/counter/one/add";
    let sent = |path: &str, headers: &str, body: &str| request("POST", path, headers, body);
    // Both nodes are asked, and the key is the same: it happens once.
    check(sent(add, "Idempotency-Key: a\r\n", "5"), 200, "5");
    check(sent("/task/counter/one/read", "", ""), 200, "5");
    check(sent("/task/counter/one/read", "", "null"), 200, "5");
    check(sent("/task/counter/a%2Fb%20c/read", "", ""), 200, "0");
    check(request("GET", "/health", "", ""), 200, "\"shards\":4");
    check(sent(add, "Idempotency-Key: a\r\n", "6"), 422, "a new key");
    check(sent("/task/nobody/one/add", "", "1"), 404, "there are: counter, order, slow, stock");
    check(sent("/tasks/counter/one/add", "", "1"), 404, "POST /task/{kind}/{name}/{message}");
    check(request("GET", add, "", ""), 405, "POST");
    check(request("POST", "/health", "", ""), 405, "GET");
    check(sent(add, "", "{"), 400, "not JSON");
    check(sent(add, "", "\"x\""), 400, "not a message for a counter");
    check(sent(add, "", ""), 400, "not a message for a counter");
    check(sent("/task/counter/one/subtract", "", "1"), 400, "unknown variant `subtract`");
    check(sent("/task/counter//add", "", "1"), 400, "0 bytes");
    check(sent("/task/counter/%ff/add", "", "1"), 400, "UTF-8");
    check(sent(add, "Idempotency-Key: a\r\nIdempotency-Key: b\r\n", "1"), 400, "two Idempotency-Keys");
    check(sent(add, "Idempotency-Key: \r\n", "1"), 400, "0 bytes");
    check(sent(add, &format!("Idempotency-Key: {}\r\n", "k".repeat(257)), "1"), 400, "257 bytes");
    check(sent(add, "Idempotency-Key: full\r\n", &u64::MAX.to_string()), 409, "the counter is full");
    // Orders end with a refusal for whoever is not meant.
    check(sent("/task/order/x/reserved", "", "true"), 409, "not while the order is \\\"new\\\"");
    check(sent("/task/stock/x/release", "", "1"), 409, "only orders");
    let most = (1 << 20) - 4096;
    let head = format!("POST {add} HTTP/1.1\r\nHost: it\r\nConnection: close\r\n");
    check(format!("{head}Content-Length: {}\r\n\r\n", most + 1), 413, "1044480 bytes");
    check(sent(add, "", &format!("\"{}\"", "x".repeat(most - 2))), 413, "with its name");
    let chunk = "x".repeat(most + 1);
    check(format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{chunk}\r\n", most + 1), 413, "1044480 bytes");
    let long = format!("\"{}\"", "x".repeat(most - 20));
    check(sent("/task/slow/one/later", "Idempotency-Key: no\r\n", &long[1..]), 400, "not JSON");
}

#[test]
fn garbage_and_silence_harm_nobody_else() {
    let nodes = Nodes::start(Setup::of(1));
    await_http(&nodes);
    let at = &nodes.http[0];
    let garbage: [&[u8]; 6] = [
        b"\0\xff\xfe\x80 garbage \r\n\r\n",
        b"POST /task/counter/one/add HTTP/9.9\r\n\r\n",
        b"POST /task/counter/one/add HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /task/counter/one/add HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n11",
        b"POST /task/counter/one/add HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    for bytes in garbage {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(bytes).unwrap();
        let _ = stream.shutdown(std::net::Shutdown::Write);
        // A status of 400 or nothing at all, and then the end.
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut come = Vec::new();
        let _ = stream.read_to_end(&mut come);
        let come = String::from_utf8_lossy(&come);
        assert!(come.is_empty() || come.starts_with("HTTP/1.1 4"), "{bytes:?}: {come}");
    }
    let heads = [format!("X: {}\r\n", "x".repeat(64 << 10)), (0..100).map(|n| format!("X-{n}: y\r\n")).collect()];
    for head in heads {
        // The rest of it may meet a closed connection.
        if let Ok(reply) = exchange(at, request("POST", "/task/counter/one/add", &head, "1").as_bytes()) {
            assert_eq!(reply.status, 431, "{reply:?}");
        }
    }
    // Some say nothing, some begin and stop, while one asks.
    let mut idle: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(at).unwrap()).collect();
    for stream in &mut idle[50..] {
        stream.write_all(b"POST /task/counter/one/add HTTP/1.1\r\nContent-Le").unwrap();
    }
    assert_eq!(post_until_answered(&nodes.http, 0, "/task/counter/one/add", "key", "7").body, "7");
    let since = Instant::now();
    for mut stream in idle {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).unwrap();
    }
    assert!(since.elapsed() < Duration::from_secs(30), "they are sent away");
}

#[test]
fn each_key_is_executed_once_whoever_is_killed() {
    const CLIENTS: usize = 4;
    let mut nodes = Nodes::start(Setup::of(4));
    let http = nodes.http.clone();
    let crowd = Crowd::start(CLIENTS, move |me, turns| {
        let path = format!("/task/counter/own-{me}/add");
        let mut n = 0;
        while turns.on() {
            n += 1;
            let reply = post_until_answered(&http, n, &path, &format!("{me}-{n}"), "1");
            assert_eq!((reply.status, reply.body), (200, n.to_string()), "one addition, acknowledged once");
            // An earlier one again, at the other node.
            let old = 1 + n * 7 % n;
            let again = post_until_answered(&http, n + 1, &path, &format!("{me}-{old}"), "1");
            assert_eq!((again.status, again.body), (200, old.to_string()), "the first reply again");
            turns.did(1);
        }
        n
    });
    kill_live(&mut nodes, &crowd, 250);
    let done = crowd.done();
    for (me, n) in crowd.finish().into_iter().enumerate() {
        let path = format!("/task/counter/own-{me}/add");
        for old in 1..=n {
            let again = post_until_answered(&nodes.http, old, &path, &format!("{me}-{old}"), "1");
            assert_eq!((again.status, again.body), (200, old.to_string()));
        }
        let other = post_until_answered(&nodes.http, 0, &path, &format!("{me}-1"), "2");
        assert_eq!(other.status, 422);
        let count = post_until_answered(&nodes.http, 1, &format!("/task/counter/own-{me}/read"), "read", "");
        assert_eq!(count.body, n.to_string());
    }
    println!("{done} keys, {} kills", kills(10));
}

#[test]
fn without_a_key_a_request_is_executed_at_most_once() {
    const CLIENTS: usize = 4;
    let mut nodes = Nodes::start(Setup::of(4));
    let http = nodes.http.clone();
    let crowd = Crowd::start(CLIENTS, move |me, turns| {
        let path = format!("/task/counter/own-{me}/add");
        // Nobody knows what became of the unknown ones.
        let (mut replied, mut unknown, mut n) = (0, 0, 0);
        while turns.on() {
            n += 1;
            match post(&http[n % 2], &path, None, "1") {
                Ok(reply) if reply.status == 200 => {
                    let count: u64 = reply.body.parse().unwrap();
                    replied += 1;
                    let most = replied + unknown;
                    assert!((replied..=most).contains(&count), "{count}: {replied} replies, {unknown} unknown");
                    turns.did(1);
                }
                Ok(reply) => assert!(reply.status == 503 && reply.body.contains("was not read"), "{reply:?}"),
                Err(_) => {
                    unknown += 1;
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    });
    kill_live(&mut nodes, &crowd, 500);
    crowd.finish();
}

#[test]
fn a_reply_that_is_owed_for_long_holds_up_no_other() {
    // More than a session takes.
    const REQUESTS: usize = 5000;
    let nodes = Nodes::start(Setup::of(1));
    await_http(&nodes);
    nodes.await_protected();
    let at = nodes.http[0].clone();
    let owed = std::thread::spawn(move || post(&at, "/task/slow/one/later", None, "\"x\"").unwrap());
    let mut client = nodes.client();
    while client.call::<Slow, usize>("one", &SlowMessage::Look).unwrap() == 0 {}
    let mut stream = TcpStream::connect(&nodes.http[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for n in 1..=REQUESTS {
        stream.write_all(b"POST /task/counter/one/add HTTP/1.1\r\nHost: it\r\nContent-Length: 1\r\n\r\n1").unwrap();
        let (mut come, mut bytes) = (Vec::new(), [0; 1024]);
        let ends = format!("\r\n\r\n{n}");
        while !come.ends_with(ends.as_bytes()) {
            let read = stream.read(&mut bytes).unwrap();
            assert!(read > 0 && come.len() < 2000, "{}", String::from_utf8_lossy(&come));
            come.extend_from_slice(&bytes[..read]);
        }
    }
    let _: usize = client.call::<Slow, _>("one", &SlowMessage::Give).unwrap();
    assert_eq!(owed.join().unwrap().body, "\"given\"");
}

#[test]
fn requests_under_way_with_one_key_have_one_reply() {
    let nodes = Nodes::start(Setup::of(1));
    let path = "/task/slow/one/later";
    let asking: Vec<_> = (0..8)
        .map(|n| {
            let http = nodes.http.clone();
            std::thread::spawn(move || post_until_answered(&http, n, path, "same", "\"x\""))
        })
        .collect();
    let mut client = nodes.client();
    while client.call::<Slow, usize>("one", &SlowMessage::Look).unwrap() == 0 {}
    // The others come in the meantime; whoever comes later has the reply at once.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(client.call::<Slow, usize>("one", &SlowMessage::Give).unwrap(), 1, "it was read once");
    for asking in asking {
        let reply = asking.join().unwrap();
        assert_eq!((reply.status, reply.body.as_str()), (200, "\"given\""));
    }
    assert_eq!(client.call::<Slow, usize>("one", &SlowMessage::Look).unwrap(), 1);
}

#[test]
fn a_key_is_forgotten_when_its_time_is_over() {
    let nodes = Nodes::start(Setup { keys_kept_s: Some(1), ..Setup::of(1) });
    let add = |body| post_until_answered(&nodes.http, 0, "/task/counter/one/add", "key", body);
    assert_eq!(add("1").body, "1");
    assert_eq!(add("1").body, "1");
    std::thread::sleep(Duration::from_millis(3500));
    assert_eq!(add("2").body, "3", "a new request");
}

#[test]
fn a_full_shard_says_when_to_come_again() {
    let nodes = Nodes::start(Setup::of(1));
    await_http(&nodes);
    nodes.await_protected();
    let at = &nodes.http[0];
    let ask = || {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request("POST", "/task/slow/one/later", "", "\"x\"").as_bytes()).unwrap();
        stream
    };
    let mut client = nodes.client();
    let streams: Vec<TcpStream> = (0..HTTP_SHARD_REQUESTS_MAX).map(|_| ask()).collect();
    let since = Instant::now();
    while client.call::<Slow, usize>("one", &SlowMessage::Look).unwrap() < HTTP_SHARD_REQUESTS_MAX {
        assert!(since.elapsed() < PATIENCE);
    }
    let full = hear(ask()).unwrap();
    assert_eq!(full.status, 503);
    assert!(full.head.contains("retry-after: 1") && full.body.contains("are under way in this shard"), "{full:?}");
    // Who speaks the native protocol has a window of his own.
    let read: usize = client.call::<Slow, _>("one", &SlowMessage::Give).unwrap();
    assert_eq!(read, HTTP_SHARD_REQUESTS_MAX, "what was refused was not read");
    for stream in streams {
        assert_eq!(hear(stream).unwrap().body, "\"given\"");
    }
    assert_eq!(post(at, "/task/slow/one/look", None, "").unwrap().body, HTTP_SHARD_REQUESTS_MAX.to_string());
}

#[test]
fn a_native_client_waits_when_its_window_is_full() {
    const REQUESTS: usize = 2000;
    let nodes = Nodes::start(Setup::of(1));
    let mut client = nodes.client();
    let mut eager = nodes.client();
    let asking = std::thread::spawn(move || {
        let body = serde_json::to_string(&SlowMessage::Later("x".repeat(1000))).unwrap();
        let tickets: Vec<_> =
            (0..REQUESTS).map(|_| eager.submit(TaskId::new("slow", "one"), body.clone()).unwrap()).collect();
        tickets.into_iter().for_each(|ticket| assert_eq!(eager.wait(ticket).unwrap(), "\"given\""));
    });
    let mut look = || client.call::<Slow, usize>("one", &SlowMessage::Look).unwrap();
    let since = Instant::now();
    while look() < CLIENT_REPLIES_MAX {
        assert!(since.elapsed() < PATIENCE);
    }
    std::thread::sleep(Duration::from_millis(500));
    // What comes in one piece is 64 KiB.
    let read = look();
    assert!(read < CLIENT_REPLIES_MAX + 100, "{read} were read");
    while !asking.is_finished() {
        let _: usize = client.call::<Slow, _>("one", &SlowMessage::Give).unwrap();
        assert!(since.elapsed() < PATIENCE);
    }
    asking.join().unwrap();
    assert_eq!(client.call::<Slow, usize>("one", &SlowMessage::Look).unwrap(), REQUESTS);
}

#[test]
fn a_shard_that_is_live_nowhere_is_named_and_nothing_was_read() {
    let mut nodes = Nodes::new(Setup::of(2));
    nodes.spawn(0);
    let there =
        (0..).map(|n| format!("c{n}")).find(|name| TaskId::new("counter", name.as_str()).shard(2).0 == 1).unwrap();
    let path = format!("/task/counter/{there}/add");
    let since = Instant::now();
    while TcpStream::connect(&nodes.http[0]).is_err() {
        assert!(since.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
    }
    for key in [None, Some("key")] {
        let reply = post(&nodes.http[0], &path, key, "1").unwrap();
        assert_eq!(reply.status, 503);
        assert!(reply.head.contains("retry-after: 1") && reply.body.contains("live on no node"), "{reply:?}");
    }
    nodes.spawn(1);
    assert_eq!(post_until_answered(&nodes.http[..1], 0, &path, "key", "1").body, "1");
}

#[test]
fn each_order_ends_once_whoever_is_killed() {
    const CLIENTS: usize = 3;
    const STOCK: u64 = 1_000_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let outside = listener.local_addr().unwrap().to_string();
    let ledger = Ledger::default();
    let taken = ledger.clone();
    std::thread::spawn(move || payments(&listener, &taken));
    let mut nodes = Nodes::start(Setup { env: vec![("PAYMENTS", outside)], ..Setup::of(4) });
    let fill = post_until_answered(&nodes.http, 0, "/task/stock/tea/fill", "fill", &STOCK.to_string());
    assert_eq!(fill.body, STOCK.to_string());
    let http = nodes.http.clone();
    let crowd = Crowd::start(CLIENTS, move |me, turns| {
        let mut ended = BTreeMap::new();
        for n in 0.. {
            if !turns.on() {
                break;
            }
            // Most are paid; some cost too much, some are never in stock, some have an outside that does not answer for long.
            let (item, price) = match n % 8 {
                5 => ("tea", 2000 + me as u64),
                6 => ("gold", 100),
                7 => ("tea", 103),
                _ => ("tea", 8 * (n % 100)),
            };
            let name = format!("{me}-{n}");
            let wish = format!("{{\"item\":\"{item}\",\"count\":{},\"price\":{price}}}", 1 + n % 3);
            let path = format!("/task/order/{name}/place");
            let reply = post_until_answered(&http, n as usize, &path, &name, &wish);
            assert_eq!(reply.status, 200, "{reply:?}");
            ended.insert(name, (wish, n, reply.body));
            turns.did(1);
        }
        ended
    });
    kill_live(&mut nodes, &crowd, 16);
    let (mut sold, mut paid, mut orders) = (0, 0, 0);
    for (name, (wish, n, end)) in crowd.finish().into_iter().flatten() {
        orders += 1;
        let again = post_until_answered(&nodes.http, 1, &format!("/task/order/{name}/place"), &name, &wish);
        assert_eq!(again.body, end, "{name}: the same reply again");
        let look = post_until_answered(&nodes.http, 0, &format!("/task/order/{name}/look"), "look", "");
        assert_eq!(look.body, end, "{name}: it has ended so");
        let ledger = ledger.lock().unwrap();
        let payment = ledger.get(&name);
        let is_paid = payment.is_some_and(|payment| payment.paid.is_some());
        assert_eq!(end == "\"paid\"", is_paid, "{name}: {end} {payment:?}");
        assert_eq!(payment.is_some(), n % 8 != 6, "{name}: the outside was asked at least once if there were goods");
        match n % 8 {
            5 => assert!(end.contains("declined"), "{name}: {end}"),
            6 => assert!(end.contains("out of stock"), "{name}: {end}"),
            7 => {}
            _ => assert_eq!(end, "\"paid\"", "{name}"),
        }
        sold += if is_paid { 1 + n % 3 } else { 0 };
        paid += u64::from(is_paid);
    }
    // What a cancelled order gives back is on its way when the order ends.
    let since = Instant::now();
    let mut look = 0;
    loop {
        look += 1;
        let left = post_until_answered(&nodes.http, 0, "/task/stock/tea/look", &format!("look-{look}"), "");
        if left.body == (STOCK - sold).to_string() {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "{} are left, {sold} were sold", left.body);
    }
    println!("{orders} orders, {paid} paid, {} kills", kills(10));
}
