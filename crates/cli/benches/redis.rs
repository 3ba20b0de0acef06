//! Throughput of an unmodified redis-server under `redis-benchmark`: native, recorded to disk, protected by a backup on the same machine.
//!
//! The three take turns in every round, and of the rounds the median counts, so that what else the machine does falls on all alike. Only ratios
//! mean anything. `GAPLESS_BENCH_REQUESTS` (20000) a test, `GAPLESS_BENCH_ROUNDS` (3).

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::Command;
use support::pair::Pair;
use support::process::{Process, sleep_ms};
use support::{Area, Job, free_port};

const WAYS: [&str; 3] = ["native", "recorded", "protected"];
/// Clients and requests sent at once by each.
const LOADS: [(u32, u32); 2] = [(50, 1), (50, 16)];

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().map_or(default, |n| n.parse().expect("a number"))
}

/// Requests a second of each test against the server at this port.
fn measure(port: u16, requests: u32) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    for (clients, pipeline) in LOADS {
        let (port, requests) = (port.to_string(), requests.to_string());
        let (clients, pipeline) = (clients.to_string(), pipeline.to_string());
        let out = Command::new("redis-benchmark")
            .args(["-p", &port, "-t", "set,get,incr", "-n", &requests, "-c", &clients, "-P", &pipeline, "--csv"])
            .output()
            .expect("redis-benchmark runs (apt-get install redis-tools)");
        for line in String::from_utf8_lossy(&out.stdout).lines().skip(1) {
            let mut fields = line.split(',').map(|field| field.trim_matches('"'));
            if let (Some(test), Some(rate)) = (fields.next(), fields.next().and_then(|rate| rate.parse().ok())) {
                found.push((format!("{test}, {clients} clients, pipeline {pipeline}"), rate));
            }
        }
    }
    assert_eq!(found.len(), 3 * LOADS.len(), "redis-benchmark answered for every test: {found:?}");
    found
}

fn await_server(port: u16) {
    for _ in 0..3000 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return;
        }
        sleep_ms(10);
    }
    panic!("no server at port {port}");
}

fn one(way: &str, requests: u32) -> Vec<(String, f64)> {
    let area = Area::new("bench");
    let port = free_port();
    let argv: Vec<OsString> =
        ["redis-server", "--port", &port.to_string(), "--save", ""].into_iter().map(Into::into).collect();
    let job = Job::new(&area.folder("cwd"), argv);
    if way == "protected" {
        let mut pair = Pair::start_at_pace(&area, &job, "1000");
        assert!(pair.await_protected(), "{}", pair.words());
        await_server(port);
        let found = measure(port, requests);
        pair.backup.take().expect("it has one").process.destroy();
        pair.primary.process.destroy();
        return found;
    }
    let command = match way {
        "native" => job.native(&area, &job.cwd),
        _ => {
            let mut command = area.gapless(&job.cwd, ["record", "--log"]);
            command.arg(area.join("log")).arg("--").args(&job.argv);
            command
        }
    };
    let mut server = Process::start(command, &area.join(way));
    await_server(port);
    let found = measure(port, requests);
    server.destroy();
    found
}

fn main() {
    let (requests, rounds) = (number("GAPLESS_BENCH_REQUESTS", 20_000), number("GAPLESS_BENCH_ROUNDS", 3));
    let mut rates: BTreeMap<(String, &str), Vec<f64>> = BTreeMap::new();
    for round in 1..=rounds {
        for way in WAYS {
            eprintln!("round {round} of {rounds}: {way}");
            for (test, rate) in one(way, requests) {
                rates.entry((test, way)).or_default().push(rate);
            }
        }
    }
    let median = |test: &str, way| {
        let mut of = rates[&(test.to_owned(), way)].clone();
        of.sort_by(f64::total_cmp);
        of[of.len() / 2]
    };
    println!("| requests a second | native | recorded | protected | recorded / native | protected / native |");
    println!("|---|---|---|---|---|---|");
    let tests: std::collections::BTreeSet<String> = rates.keys().map(|(test, _)| test.clone()).collect();
    for test in tests {
        let [native, recorded, protected] = WAYS.map(|way| median(&test, way));
        let (r, p) = (recorded / native, protected / native);
        println!("| {test} | {native:.0} | {recorded:.0} | {protected:.0} | {r:.2} | {p:.2} |");
    }
}
