//! Whoever can reach the ports of a node or of a witness, and what he can cost: a bounded number of descriptors, no processor, no protection.

mod common;

use common::*;
use gapless_log::Term;
use gapless_pair::arbiter::{PutOutcome, parse};
use gapless_pair::witness::{CONNECTIONS_MAX, Witness};
use gapless_pair::{Ack, Commit, Expect, Hello, Life, Message, Nonce, Packet, Point, Put, Register, Seat, Start};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn child_process() {
    common::child_process();
}

/// A protected pair that also dials: the primary the backup, and the backup the owner.
fn protected(home: &Path) -> (Proc, Proc, Plan) {
    let backup = Plan::new(Start::Join, home, "b").spawn();
    let plan = Plan { peer: Some(backup.address.clone()), hold: true, ..Plan::new(Start::Fresh, home, "a") };
    let primary = plan.spawn();
    primary.wait_mode("protected");
    (primary, backup, plan)
}

fn wait_more(world: &Path, lines: usize) {
    let before = heard_lines(world);
    wait_until("more is released", || (heard_lines(world) > before + lines).then_some(()));
}

/// Somebody who connects again and again, keeps what he has open, and says this or nothing.
struct Stranger {
    address: String,
    says: &'static [u8],
    /// So many he keeps open.
    keeps: usize,
    open: std::collections::VecDeque<TcpStream>,
}

impl Stranger {
    fn new(address: &str, says: &'static [u8]) -> Self {
        // More than a node keeps, and less than a test may have.
        Self { address: address.to_owned(), says, keeps: 200, open: Default::default() }
    }

    fn connect(&mut self, times: usize) {
        for _ in 0..times {
            let Ok(mut socket) = TcpStream::connect(&self.address) else { continue };
            let _ = socket.write_all(self.says);
            self.open.push_back(socket);
            if self.open.len() > self.keeps {
                self.open.pop_front();
            }
        }
    }
}

/// Descriptors of a node beyond which it keeps too many connections: 32 and its own.
const DESCRIPTORS_MAX: usize = 64;

#[test]
fn a_thousand_strangers_cost_no_protection_and_few_descriptors() {
    for says in [&b""[..], b"GLP1", b"GET / HTTP/1.1\r\n\r\n", b"GLP1\xff\xff\xff\xff\0\0\0\0"] {
        let home = tempfile::tempdir().unwrap();
        let (primary, backup, plan) = protected(home.path());
        let before = primary.status().unwrap();
        let mut strangers = [Stranger::new(&primary.address, says), Stranger::new(&backup.address, says)];
        for _ in 0..50 {
            strangers.iter_mut().for_each(|s| s.connect(20));
            let descriptors = [primary.descriptors(), backup.descriptors()];
            assert!(descriptors.iter().all(|&n| n < DESCRIPTORS_MAX), "{descriptors:?}");
        }
        wait_more(&plan.world, 100);
        let after = primary.status().unwrap();
        assert_eq!((&*after.mode, after.false_alarms), ("protected", 0), "{after:?}");
        assert_eq!((after.term, after.unprotected_ms), (before.term, before.unprotected_ms), "never left it");
        // They are still there, and go on coming, while the pair has to find together again.
        primary.kill();
        wait_until("it takes over", || backup.status().filter(|s| s.role == "primary"));
        let old = Plan { start: Start::Auto, peer: Some(backup.address.clone()), ..plan.clone() }.spawn();
        let began = Instant::now();
        let mut strangers = [Stranger::new(&backup.address, says), Stranger::new(&old.address, says)];
        wait_until("it is protected again", || {
            strangers.iter_mut().for_each(|s| s.connect(5));
            backup.status().filter(|s| s.mode == "protected")
        });
        println!("{:?}: protected again after {:?}", String::from_utf8_lossy(says), began.elapsed());
        backup.kill();
        wait_until("it takes over", || old.status().filter(|s| s.role == "primary"));
        wait_more(&plan.world, 100);
        let dir = old.dir.clone();
        old.kill();
        assert!(check_released(&plan.world, &dir) > 0);
    }
}

fn send(socket: &mut TcpStream, packet: &Packet) {
    let body = packet.encode();
    let length = (body.len() as u32).to_le_bytes();
    let crc = crc32fast::hash(&[&length[..], &body].concat()).to_le_bytes();
    socket.write_all(&[&length[..], &crc, &body].concat()).unwrap();
}

fn receive(socket: &mut TcpStream) -> Packet {
    let mut prefix = [0; 8];
    socket.read_exact(&mut prefix).unwrap();
    let mut body = vec![0; u32::from_le_bytes(prefix[..4].try_into().unwrap()) as usize];
    socket.read_exact(&mut body).unwrap();
    Packet::decode(&body).unwrap()
}

/// A joiner that acknowledges a little and reads nothing: the stream to it waits, and nobody spins.
#[test]
fn a_joiner_that_does_not_read_costs_no_processor() {
    let home = tempfile::tempdir().unwrap();
    let plan = Plan { burst: 200_000, pause: Duration::from_secs(60), ..Plan::new(Start::Fresh, home.path(), "a") };
    let primary = plan.spawn();
    wait_until("the log is long", || primary.status().filter(|s| s.position >= 200_000));
    let register = parse(&plan.arbiter).unwrap().read().unwrap().unwrap();
    let mut socket = TcpStream::connect(&primary.address).unwrap();
    let mut greeting = [0; 4];
    socket.read_exact(&mut greeting).unwrap();
    let Message::Hello(theirs) = receive(&mut socket).message else { panic!("the owner speaks first") };
    let hello = Hello {
        seat: Seat { life: Life { node: 3, id: 33 }, address: String::new() },
        register: Some((register.uuid, register.term)),
        owner: false,
        commit: Commit::Received,
        points: vec![Point::ZERO],
        ..*theirs
    };
    socket.write_all(&greeting).unwrap();
    send(&mut socket, &Packet::new(Nonce::NONE, Message::Hello(Box::new(hello))));
    let welcome = receive(&mut socket);
    assert!(matches!(welcome.message, Message::Welcome(_)), "{welcome:?}");
    thread::sleep(Duration::from_millis(200));
    let before = primary.cpu_ms();
    for i in 0..20 {
        thread::sleep(Duration::from_millis(100));
        let ack = Ack { received: gapless_log::Seq(i + 1), ..Ack::default() };
        send(&mut socket, &Packet::new(welcome.nonce, Message::Ack(ack)));
    }
    let used = primary.cpu_ms() - before;
    println!("CPU of 2000 ms with a stream that waits: {used} ms");
    let status = primary.status().unwrap();
    assert!(status.why.contains("session continues"), "{status:?}");
    assert!(used < 300, "{used} ms");
}

/// Threads of this process with this name.
fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    tasks.filter(|t| std::fs::read_to_string(t.path().join("comm")).is_ok_and(|n| n.trim() == name)).count()
}

fn register(term: u64) -> Register {
    let owner = Seat { life: Life { node: 1, id: 1 }, address: String::new() };
    Register { uuid: 9, term: Term(term), generation: 0, owner, backup: None, ended: None }
}

/// Ends the other thread of a test, whether this one succeeds or not.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// They are sent away for whoever asks; and when the witness ends, it ends at once, and all of it.
#[test]
fn a_thousand_strangers_do_not_keep_a_pair_from_its_witness() {
    let home = tempfile::tempdir().unwrap();
    for says in [&b""[..], b"GLW1\xff\x00\x00\x00", b"GET / HTTP/1.1\r\n\r\n"] {
        let directory = home.path().join("registers");
        let witness = Witness::start("127.0.0.1:0", &directory).unwrap();
        let address = witness.address().to_string();
        let mut arbiter = parse(&format!("{address}/{}", says.len())).unwrap();
        let mut strangers = Stranger { keeps: 500, ..Stranger::new(&address, says) };
        strangers.connect(1000);
        let began = Instant::now();
        let put = Put { expect: Expect::Absent, new: register(1) };
        assert_eq!(arbiter.put(&put).unwrap(), PutOutcome::Won);
        // They go on coming.
        let mut again = 0;
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    strangers.connect(1);
                    thread::sleep(Duration::from_millis(1));
                }
            });
            let _over = Over(&over);
            for _ in 0..50 {
                // As the engine does: what was not answered is asked again.
                let read = wait_until("the witness answers", || arbiter.read().inspect_err(|_| again += 1).ok());
                assert_eq!(read, Some(register(1)));
                // (A thread ends a moment after it has given its place back.)
                let threads = threads("witness-client");
                assert!(threads <= CONNECTIONS_MAX + 32, "{threads}");
            }
        });
        println!(
            "{:?}: put and 50 reads took {:?}, {again} asked again",
            String::from_utf8_lossy(says),
            began.elapsed()
        );
        let began = Instant::now();
        drop(witness);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        // Nobody holds the directory any more.
        drop(Witness::start("127.0.0.1:0", &directory).unwrap());
    }
}
