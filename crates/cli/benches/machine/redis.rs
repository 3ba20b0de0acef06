//! redis on Debian's disk, asked from another host over a bridge.

use crate::support::process::Process;
use crate::support::{Area, DEADLINE};
use crate::table::{Cell, Table};
use crate::ways::{GUEST_ADDRESS, Guest, Network, WAYS, Way};
use crate::{Sizes, say, tool};
use gapless_gate::lab::Host;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub const PORT: u16 = 6379;
/// Requests a second, by the first and shortest look.
const FIRST_RATE_MAX: u32 = 50_000;

/// Clients, and requests sent at once by each.
#[derive(Clone, Copy)]
pub struct Load {
    clients: u32,
    pipeline: u32,
}

pub const LOADS: [Load; 3] =
    [Load { clients: 1, pipeline: 1 }, Load { clients: 8, pipeline: 1 }, Load { clients: 8, pipeline: 16 }];

impl Load {
    fn name(self) -> String {
        format!("{} client{}, pipeline {}", self.clients, if self.clients == 1 { "" } else { "s" }, self.pipeline)
    }

    /// Requests a second, from so many requests.
    fn ask(self, client: &Host, requests: u32, limit: Duration) -> Result<f64, String> {
        let [clients, pipeline, requests] = [self.clients, self.pipeline, requests].map(|n| n.to_string());
        let port = PORT.to_string();
        let mut command = client.command("redis-benchmark");
        command.args(["-h", GUEST_ADDRESS, "-p", &port, "-t", "get", "--csv"]);
        command.args(["-n", &requests, "-c", &clients, "-P", &pipeline]);
        let text = tool::output(command, limit)?;
        let row = text.lines().nth(1).and_then(|row| row.split(',').nth(1)?.trim_matches('"').parse().ok());
        row.ok_or_else(|| format!("redis-benchmark said {}", text.trim()))
    }

    /// The same for about as long as a load takes.
    pub fn ask_for_long(self, client: &Host, sizes: &Sizes) -> Result<f64, String> {
        let least = 20 * self.clients * self.pipeline;
        // So few requests may take no time at all by the tool's clock.
        let believed = f64::from(FIRST_RATE_MAX * self.pipeline);
        let first = self.ask(client, least, sizes.limit)?.min(believed);
        let requests = |rate: f64, time: Duration| least.max((rate * time.as_secs_f64()) as u32);
        let second = self.ask(client, requests(first, sizes.load / 8), sizes.limit)?;
        self.ask(client, requests(second, sizes.load), sizes.limit)
    }
}

/// Waits until the server answers.
pub fn await_server(client: &Host, port: u16, limit: Duration) -> Result<(), String> {
    let address = SocketAddr::new(GUEST_ADDRESS.parse().expect("an address"), port);
    let since = Instant::now();
    client.enter(|| {
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            if since.elapsed() > limit {
                return Err(format!("no server at {address} after {} s", limit.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    })
}

fn loads(client: &Host, sizes: &Sizes) -> Result<Vec<Result<f64, String>>, String> {
    await_server(client, PORT, sizes.limit)?;
    Ok(LOADS.iter().map(|load| load.ask_for_long(client, sizes)).collect())
}

fn native(sizes: &Sizes) -> Result<Vec<Result<f64, String>>, String> {
    let area = Area::new("bench-redis");
    let network = Network::new()?;
    let server = network.lab.host(&format!("{GUEST_ADDRESS}/24")).map_err(|e| e.to_string())?;
    let mut command = server.command("redis-server");
    command.args(["--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dir"]).arg(area.path());
    let _server = Process::start(command, &area.join("server"));
    loads(&network.client, sizes)
}

/// Only the servers of the Debian are started: a whole one takes minutes where it is recorded by QEMU.
/// Requests a second of each load, and of a pair its commit latency.
type Rates = (Vec<Result<f64, String>>, Option<[f64; 2]>);

fn guest(way: Way, sizes: &Sizes) -> Result<Rates, String> {
    let mut computer = way.start(&Guest::serving())?;
    computer.hear("@SERVING", sizes.limit)?;
    if way == Way::Protected {
        computer.await_protected(DEADLINE)?;
    }
    let rates = loads(computer.client(), sizes)?;
    let latency = if way == Way::Protected { Some(computer.status()?.commit_latency) } else { None };
    Ok((rates, latency.map(|latency| [latency.p50_us, latency.p99_us])))
}

pub fn measure(sizes: &Sizes) -> Vec<Table> {
    let cells = |rates: Result<Vec<Result<f64, String>>, String>| -> Vec<Cell> {
        let rates = rates.unwrap_or_else(|why| vec![Err(why); LOADS.len()]);
        rates.into_iter().map(|rate| Cell::of(rate, 0)).collect()
    };
    say("redis: native");
    let mut columns = vec![("native".to_owned(), cells(native(sizes)))];
    let mut latency = Table::new("under these loads", ["p50", "p99"]);
    for way in WAYS {
        say(&format!("redis: {}", way.name()));
        let found = guest(way, sizes);
        let (rates, commit) = found.map_or_else(|why| (Err(why), None), |(rates, commit)| (Ok(rates), commit));
        columns.push((way.name().to_owned(), cells(rates)));
        if let Some(commit) = commit {
            latency.row("commit latency of the pair, µs", commit.map(|us| Cell::Number(us, 0)).into());
        }
    }
    let names: Vec<String> = LOADS.iter().map(|load| load.name()).collect();
    vec![Table::columns("redis GET, requests a second", &names, columns), latency]
}
