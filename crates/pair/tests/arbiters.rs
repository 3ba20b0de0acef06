//! Both arbiters pass the conformance suite, hold through kill -9, and shrug at hostile peers.

mod common;

use common::said;
use gapless_log::Term;
use gapless_pair::arbiter::{Arbiter, FileArbiter, PutOutcome, WitnessArbiter, conformance, parse};
use gapless_pair::witness::{CONNECTIONS_MAX, Witness};
use gapless_pair::{Expect, Put};
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Environment variable that turns a run of this test binary into one of the children below.
const ROLE: &str = "GAPLESS_TEST_ROLE";

/// Runs `role` of this binary as a process of its own; its first line of output comes back.
fn child(role: &str, argument: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_process", "--nocapture", "--test-threads=1"])
        .env(ROLE, format!("{role} {argument}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

#[test]
fn child_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    match role.split_once(' ').unwrap() {
        ("witness", rest) => {
            let (address, directory) = rest.split_once(' ').unwrap();
            let witness = Witness::start(address, Path::new(directory)).unwrap();
            println!("SAY {}", witness.address());
            witness.wait();
        }
        ("putter", arbiter) => {
            let mut arbiter = parse(arbiter).unwrap();
            let mut register = arbiter.read().unwrap().unwrap();
            loop {
                let put = Put::over(&register, register.successor(register.owner.clone(), None));
                if arbiter.put(&put).unwrap() == PutOutcome::Won {
                    println!("SAY {}", put.new.term);
                }
                register = put.new;
            }
        }
        other => panic!("{other:?}"),
    }
}

fn start_witness(address: &str, directory: &Path) -> (Child, SocketAddr) {
    let started = Instant::now();
    loop {
        let (mut process, mut out) = child("witness", &format!("{address} {}", directory.display()));
        if let Some(address) = said(&mut out) {
            // Keep reading, or a full pipe would stop it.
            std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
            return (process, address.parse().unwrap());
        }
        process.wait().unwrap();
        assert!(started.elapsed() < Duration::from_secs(20), "the witness does not start");
    }
}

fn first_put(tag: u64) -> Put {
    Put { expect: Expect::Absent, new: conformance::example_register(tag) }
}

#[test]
fn file_arbiter_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("register");
    conformance::check(&|| Box::new(FileArbiter::new(&path)), &mut || {});
}

#[test]
fn witness_arbiter_conforms_through_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let (process, address) = start_witness("127.0.0.1:0", dir.path());
    let mut process = Some(process);
    let client = move || -> Box<dyn Arbiter> { Box::new(WitnessArbiter::new(address.to_string(), "p")) };
    conformance::check(&client, &mut || {
        let mut old = process.take().unwrap();
        old.kill().unwrap();
        old.wait().unwrap();
        process = Some(start_witness(&address.to_string(), dir.path()).0);
    });
    let mut last = process.take().unwrap();
    last.kill().unwrap();
    last.wait().unwrap();
}

/// A process that puts as fast as it can is killed; whatever it said it won must stand, and nothing is ever corrupt.
#[test]
fn puts_of_a_killed_process_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut arbiter = FileArbiter::new(dir.path().join("register"));
    assert_eq!(arbiter.put(&first_put(1)).unwrap(), PutOutcome::Won);
    for round in 0..20u64 {
        let (mut process, mut out) = child("putter", &arbiter.describe());
        let mut won: u64 = said(&mut out).unwrap().parse().unwrap();
        std::thread::sleep(Duration::from_micros(700 * round));
        process.kill().unwrap();
        process.wait().unwrap();
        while let Some(v) = said(&mut out) {
            won = v.parse().unwrap_or(won);
        }
        let standing = arbiter.read().unwrap().unwrap();
        assert!(standing.term.0 == won || standing.term.0 == won + 1, "said {won}, stands {}", standing.term.0);
    }
}

#[test]
fn one_witness_serves_many_pairs() {
    let dir = tempfile::tempdir().unwrap();
    let witness = Witness::start("127.0.0.1:0", dir.path()).unwrap();
    let address = witness.address().to_string();
    for tag in 0..20u64 {
        let mut a = WitnessArbiter::new(&address, format!("pair-{tag}"));
        assert_eq!(a.read().unwrap(), None);
        assert_eq!(a.put(&first_put(tag)).unwrap(), PutOutcome::Won);
    }
    drop(witness);
    let witness = Witness::start(&address, dir.path()).unwrap();
    for tag in 0..20u64 {
        let mut a = WitnessArbiter::new(&address, format!("pair-{tag}"));
        assert_eq!(a.read().unwrap(), Some(conformance::example_register(tag)));
    }
    drop(witness);
}

#[test]
fn two_witnesses_never_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Witness::start("127.0.0.1:0", dir.path()).unwrap();
    let error = Witness::start("127.0.0.1:0", dir.path()).unwrap_err();
    assert!(error.contains("another witness"), "{error}");
}

#[test]
fn a_corrupt_register_is_an_error_that_names_its_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p.register"), b"GLR1 but no more").unwrap();
    let error = Witness::start("127.0.0.1:0", dir.path()).unwrap_err();
    assert!(error.contains("p.register"), "{error}");
}

/// Answers of a witness while others send rubbish, send nothing, or take every connection.
#[test]
fn a_witness_shrugs_at_hostile_clients() {
    let dir = tempfile::tempdir().unwrap();
    let witness = Witness::start("127.0.0.1:0", dir.path()).unwrap();
    let address = witness.address();
    let mut good = WitnessArbiter::new(address.to_string(), "p");
    assert_eq!(good.put(&first_put(1)).unwrap(), PutOutcome::Won);

    let mut seed = 7u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let whole = whole_put();
    for round in 0..300u32 {
        let mut bytes = whole.clone();
        match round % 3 {
            0 => bytes.truncate(random() as usize % bytes.len()),
            1 => {
                let at = random() as usize % bytes.len();
                bytes[at] ^= 1 << (random() % 8);
            }
            _ => bytes.iter_mut().for_each(|b| *b = random() as u8),
        }
        let mut stream = TcpStream::connect(address).unwrap();
        // The witness may have closed already: that is one of the right answers.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() < 64 << 10);
    }
    let huge = [b"GLW1".as_slice(), &u32::MAX.to_le_bytes(), &[0; 4]].concat();
    TcpStream::connect(address).unwrap().write_all(&huge).unwrap();
    assert_eq!(good.read().unwrap(), Some(conformance::example_register(1)));

    let silent: Vec<TcpStream> = (0..CONNECTIONS_MAX + 20).map_while(|_| TcpStream::connect(address).ok()).collect();
    assert!(silent.len() > CONNECTIONS_MAX);
    let started = Instant::now();
    while good.read().is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "silent clients keep the witness busy for ever");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(silent);
}

/// A valid put of a register that must never be applied by a damaged copy of itself: version 2 over version 1 of another pair.
fn whole_put() -> Vec<u8> {
    use gapless_pair::witness::protocol::{Cell, Request};
    let expect = Expect::At { uuid: 1, term: Term(1) };
    let request = Request::Put { pair: "q".into(), expect, new: Cell { uuid: 1, v: 2, body: vec![1; 200] } };
    let body = request.encode();
    [b"GLW1".as_slice(), &(body.len() as u32).to_le_bytes(), &crc32fast::hash(&body).to_le_bytes(), &body].concat()
}

#[test]
fn an_absent_witness_is_an_error_with_advice_and_takes_no_time() {
    let mut a = WitnessArbiter::new("127.0.0.1:9", "p");
    let started = Instant::now();
    let error = a.read().unwrap_err().to_string();
    assert!(error.contains("gapless witness"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
}
