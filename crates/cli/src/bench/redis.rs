//! Rows of redis: its throughput each way, and what one client waits for.

use super::bed::{Bed, Server, Way};
use super::rows::Series;
use crate::interrupt::interrupted;
use crate::local::load::{self, Load, Protocol};
use crate::local::resp::{Connection, Reply, is_up};
use std::ffi::OsString;
use std::net::TcpStream;
use std::time::{Duration, Instant};

const CLIENTS: u32 = 50;
/// A pipeline makes native redis so fast that as many requests would take no time.
const PIPELINE_REQUESTS: u32 = 8;
/// The load by the client of our own.
const WARM: Duration = Duration::from_millis(200);
const TIME: Duration = Duration::from_secs(1);
/// Of the requests of a row, one client with one at a time sends one in so many.
const LATENCY_SHARE: u32 = 10;
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

/// The server that is measured; nothing of it goes to disk but gapless' log.
fn server(port: u16) -> Vec<OsString> {
    let port = port.to_string();
    ["redis-server", "--port", &port, "--save", "", "--repl-diskless-sync-delay", "0"].map(Into::into).to_vec()
}

pub fn serve(bed: &mut Bed, way: Way) -> Result<Server, String> {
    bed.serve(way, server, is_up)
}

/// What redis-benchmark is called with.
pub fn benchmark(port: u16, pipeline: u32, requests: u32) -> Vec<String> {
    let [port, pipeline, requests, clients] = [u32::from(port), pipeline, requests, CLIENTS].map(|n| n.to_string());
    ["redis-benchmark", "-p", &port, "-t", "set,get", "-c", &clients, "-P", &pipeline, "-n", &requests, "--csv"]
        .map(str::to_owned)
        .to_vec()
}

/// Requests a second of each test, from what redis-benchmark said.
fn rates(csv: &str) -> Result<Vec<(&str, f64)>, String> {
    let rate = |line: &'_ str| {
        let mut fields = line.split(',').map(|field| field.trim_matches('"'));
        Some((fields.next()?.len(), fields.next()?.parse().ok()?))
    };
    // The first line has the names of the columns; redis 6 has none.
    let lines = csv.lines().filter_map(|line| rate(line).map(|(name, rate)| (&line[1..=name], rate)));
    let found: Vec<_> = lines.collect();
    if found.len() == 2 { Ok(found) } else { Err(format!("redis-benchmark said {}", csv.trim())) }
}

fn throughput(bed: &mut Bed, ways: &[Way], pipeline: u32) -> Result<Series, String> {
    let requests = bed.sizes.requests * if pipeline > 1 { PIPELINE_REQUESTS } else { 1 };
    bed.in_turns(ways, |bed, way| {
        let server = serve(bed, way)?;
        let command = benchmark(server.port, pipeline, requests);
        let said = bed.client(&command)?;
        Ok(rates(&said)?.into_iter().map(|(test, rate)| (format!("{test} {}", way.name()), rate)).collect())
    })
}

pub fn plain(bed: &mut Bed) -> Result<Series, String> {
    throughput(bed, &[Way::Native, Way::Unpinned, Way::Recorded], 1)
}

pub fn pipelined(bed: &mut Bed) -> Result<Series, String> {
    throughput(bed, &[Way::Native, Way::Unpinned, Way::Recorded], 16)
}

pub fn protected(bed: &mut Bed) -> Result<Series, String> {
    throughput(bed, &[Way::Native, Way::Unpinned, Way::Protected], 1)
}

/// Sets one key over and over; if it waits for a replica, both commands are one request.
struct Set {
    request: Vec<u8>,
    answer: &'static [u8],
}

impl Set {
    fn new(client: u32, waits: bool) -> Self {
        let key = format!("key:{client:03}");
        let set = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n$3\r\nxxx\r\n", key.len());
        let wait = "*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n";
        let (wait, answer): (_, &[u8]) = if waits { (wait, b"+OK\r\n:1\r\n") } else { ("", b"+OK\r\n") };
        Self { request: (set + wait).into_bytes(), answer }
    }
}

impl Protocol for Set {
    fn ask(&mut self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.request);
    }

    fn answer(&mut self, bytes: &[u8]) -> Option<usize> {
        // What is not the answer never becomes one, and the load ends without any.
        bytes.starts_with(self.answer).then_some(self.answer.len())
    }
}

fn sets(port: u16, waits: bool) -> Result<f64, String> {
    let connect = |client| Ok((TcpStream::connect(("127.0.0.1", port))?, Set::new(client, waits)));
    let connections = (0..CLIENTS).map(connect).collect::<std::io::Result<Vec<_>>>();
    let load = Load { window: 1, warm: WARM, time: TIME };
    let figures = connections.and_then(|connections| load::run(connections, &[], load));
    figures.map(|figures| figures.rate).map_err(|e| format!("the load on port {port}: {e}"))
}

/// A second server that follows the first one, when it has all of it.
fn replica(bed: &mut Bed, of: &Server) -> Result<Server, String> {
    let follow = |port| {
        let of = ["--replicaof".into(), "127.0.0.1".into(), of.port.to_string().into()];
        server(port).into_iter().chain(of).collect()
    };
    let replica = bed.serve(Way::Unpinned, follow, is_up)?;
    let mut asked = Connection::open(of.port, ANSWER_WAIT_MAX).map_err(crate::text)?;
    bed.wait("replication", Duration::from_millis(10), || {
        let said = asked.ask(&["INFO", "replication"], interrupted).map_err(crate::text)?;
        Ok(matches!(said, Reply::Bulk(Some(text)) if String::from_utf8_lossy(&text).contains("state=online")))
    })?;
    Ok(replica)
}

pub fn wait(bed: &mut Bed) -> Result<Series, String> {
    bed.in_turns(&[Way::Native, Way::Unpinned, Way::Protected], |bed, way| {
        let server = serve(bed, way)?;
        let mut found = vec![(way.name().to_owned(), sets(server.port, false)?)];
        if way == Way::Native {
            let _replica = replica(bed, &server)?;
            found.push(("replica".into(), sets(server.port, true)?));
        }
        Ok(found)
    })
}

pub fn latency(bed: &mut Bed) -> Result<Series, String> {
    let requests = bed.sizes.requests / LATENCY_SHARE;
    bed.in_turns(&[Way::Native, Way::Protected], |bed, way| {
        let server = serve(bed, way)?;
        let mut connection = Connection::open(server.port, ANSWER_WAIT_MAX).map_err(crate::text)?;
        let mut series = Series::default();
        for _ in 0..requests {
            let asked = Instant::now();
            match connection.ask(&["SET", "key", "xxx"], interrupted).map_err(crate::text)? {
                Reply::Simple(ok) if ok == "OK" => series.add("took", asked.elapsed().as_secs_f64() * 1e6),
                other => return Err(format!("SET was answered {other:?}")),
            }
        }
        Ok(vec![(way.name().to_owned(), series.median("took").expect("some were asked"))])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_benchmark_says() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\"\n\"SET\",\"16694.49\",\"2.9\"\n\"GET\",\"101010.10\",\"0.3\"\n";
        assert_eq!(rates(csv), Ok(vec![("SET", 16694.49), ("GET", 101010.10)]));
        assert_eq!(rates("\"SET\",\"5.00\"\n\"GET\",\"6.00\"\n"), Ok(vec![("SET", 5.0), ("GET", 6.0)]));
        assert_eq!(rates("Connection refused\n"), Err("redis-benchmark said Connection refused".into()));
    }
}
