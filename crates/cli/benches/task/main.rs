//! The task level: requests a second and how long they take, takeovers, what it costs to grow, and Restate beside it. Both nodes, the clients and
//! whatever is compared share the machine, so only ratios within one run mean anything.
//!
//!   cargo bench -p gapless --bench task [-- load durable takeover recovery growth restate --json]  everything, or what is named
//!
//! Needs redis-server; Restate needs node and npm, and is installed beside the build. From the environment: `GAPLESS_BENCH_LOAD_MS` (1000) of each load,
//! `GAPLESS_BENCH_ROUNDS` (3) in which all take turns (the median counts), `GAPLESS_BENCH_KILLS` (40), `GAPLESS_BENCH_SHARDS` (16), `GAPLESS_BENCH_LOADS`
//! (1x1,64x1,1x64), each so many connections with so many requests on their way.

mod counters;
#[path = "../../src/local/load.rs"]
mod load;
mod recovery;
mod redis;
mod restate;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../machine/table.rs"]
#[allow(dead_code, reason = "other tables need more of it")]
mod table;
mod takeover;

use counters::BYTES;
use load::{Figures, Load};
use redis::Redis;
use restate::Restate;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};
use support::tasks::nodes::{Mode, Nodes, Setup};
use table::{Asked, Cell, Table};

const SECTIONS: [&str; 6] = ["load", "durable", "takeover", "recovery", "growth", "restate"];
/// Bytes of log to recover from.
const RECOVERED_BYTES: u64 = 200 << 20;

/// How much is done.
struct Sizes {
    load: Duration,
    rounds: u64,
    kills: usize,
    shards: u16,
    /// Connections, and requests on their way of each.
    loads: Vec<(usize, usize)>,
}

impl Sizes {
    fn from_environment() -> Self {
        let number = |name: &str, default: u64| {
            std::env::var(name).map_or(default, |n| n.parse().unwrap_or_else(|_| panic!("{name}={n} is not a number")))
        };
        let loads = std::env::var("GAPLESS_BENCH_LOADS").unwrap_or("1x1,64x1,1x64".to_owned());
        let pair = |text: &str| {
            let (connections, window) = text.split_once('x')?;
            Some((connections.parse().ok()?, window.parse().ok()?))
        };
        let pair = |text: &str| pair(text).unwrap_or_else(|| panic!("GAPLESS_BENCH_LOADS: {text} is not like 64x1"));
        Self {
            loads: loads.split(',').map(pair).collect(),
            load: Duration::from_millis(number("GAPLESS_BENCH_LOAD_MS", 1000)),
            rounds: number("GAPLESS_BENCH_ROUNDS", 3),
            kills: number("GAPLESS_BENCH_KILLS", 40) as usize,
            shards: number("GAPLESS_BENCH_SHARDS", 16) as u16,
        }
    }

    fn of(&self, window: usize) -> Load {
        Load { window, warm: self.load / 4, time: self.load }
    }
}

/// Progress, for whoever waits.
fn say(what: &str) {
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    eprintln!("{:>6.1} s  {what}", BEGAN.get_or_init(Instant::now).elapsed().as_secs_f64());
}

/// It is gone when this process is.
fn dies_with_us(command: &mut Command) -> &mut Command {
    let dies_with_us = || {
        // SAFETY: a plain system call between fork and exec.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        Ok(())
    };
    // SAFETY: see above.
    unsafe { std::os::unix::process::CommandExt::pre_exec(command, dies_with_us) }
}

/// What each row measured in each round.
#[derive(Default)]
struct Rounds(BTreeMap<(usize, String), Vec<Figures>>);

impl Rounds {
    fn add(&mut self, row: usize, name: String, figures: Figures) {
        let Figures { rate, p50, p99, cost } = figures;
        say(&format!("{name}: {rate:.0}/s, p50 {p50:?}, p99 {p99:?}, cost {cost:?}"));
        self.0.entry((row, name)).or_default().push(figures);
    }

    /// Of all rounds, the one with the median rate.
    fn medians(mut self) -> Vec<(String, Figures)> {
        self.0.values_mut().for_each(|rounds| rounds.sort_by(|a, b| a.rate.total_cmp(&b.rate)));
        self.0.into_iter().map(|((_, name), rounds)| (name, rounds[rounds.len() / 2])).collect()
    }

    fn table(self, title: &str) -> Table {
        let mut table = Table::new(
            title,
            ["requests a second", "p50, µs", "p99, µs", "processor time of the servers, µs a request"],
        );
        for (name, figures) in self.medians() {
            table.row(&name, cells(figures));
        }
        table
    }
}

fn cells(figures: Figures) -> Vec<Cell> {
    let us = |time: Duration| Cell::Number(time.as_secs_f64() * 1e6, 0);
    let cost = Cell::Number(figures.cost.as_secs_f64() * 1e6, 1);
    vec![Cell::Number(figures.rate, 0), us(figures.p50), us(figures.p99), cost]
}

/// Runs the load on so many connections to so many tasks, with messages of so many bytes. A shard that stalls for longer than silence may last is taken
/// over, which breaks its connections, and is no fault of the load: then it runs once more.
fn ask(nodes: &Nodes, [connections, tasks, bytes]: [usize; 3], load: Load) -> Figures {
    const TRIES: usize = 5;
    for _ in 0..TRIES {
        match load::run(counters::connections(nodes, connections, tasks, bytes), &nodes.pids(), load) {
            Ok(figures) => return figures,
            Err(e) => say(&format!("a connection broke, once more: {e}")),
        }
        nodes.await_protected();
    }
    panic!("connections broke in {TRIES} runs");
}

fn called(connections: usize, window: usize) -> String {
    let connections = if connections == 1 { "one connection".to_owned() } else { format!("{connections} connections") };
    if window == 1 { format!("{connections}, closed loop") } else { format!("{connections}, window {window}") }
}

fn loads(sizes: &Sizes, modes: &[Mode]) -> Table {
    let mut rounds = Rounds::default();
    for round in 1..=sizes.rounds {
        say(&format!("round {round} of {}", sizes.rounds));
        for (group, &mode) in modes.iter().enumerate() {
            let nodes = counters::start(sizes.shards, mode);
            for (row, &(connections, window)) in sizes.loads.iter().enumerate() {
                let figures = ask(&nodes, [connections, 64, BYTES], sizes.of(window));
                let name = format!("{}, {}", called(connections, window), mode.name);
                rounds.add(10 * group + row, name, figures);
            }
        }
        if let Ok(redis) = Redis::start() {
            for (row, &(connections, window)) in sizes.loads.iter().enumerate() {
                let figures =
                    load::run(redis.connections(connections), &redis.pids(), sizes.of(window)).expect("redis answers");
                rounds.add(20 + row, format!("native redis, {}", called(connections, window)), figures);
            }
        }
    }
    rounds.table(&format!("{} shards, messages of {BYTES} bytes", sizes.shards))
}

/// On disk a takeover waits for what it syncs, the register among it; in memory there is only the protocol.
fn takeovers(sizes: &Sizes) -> Table {
    let mut table =
        Table::new("kill -9 of a node under load, longest gap of 8 clients, ms", ["p50", "p99", "longest", "kills"]);
    for (name, place) in [("logs and register on disk", std::env::temp_dir()), ("in memory", "/dev/shm".into())] {
        say(&format!("{} kills, {name}", sizes.kills));
        let gaps = takeover::gaps(sizes.kills, sizes.shards, &place);
        let ms = |share: f64| gaps[((gaps.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        let cells = [0.5, 0.99, 1.0].map(|share| Cell::Number(ms(share), 0));
        table.row(name, cells.into_iter().chain([Cell::Number(gaps.len() as f64, 0)]).collect());
    }
    table
}

/// Both nodes start again on logs that no state shortens.
fn recoveries(sizes: &Sizes) -> Table {
    let mut table = Table::new("both nodes killed, from their start until every shard answers", ["log, MB", "seconds"]);
    for mode in [Mode::HOT, Mode::WARM, Mode::DURABLE] {
        say(&format!("recovery, {}", mode.name));
        let setup = Setup { mode, detect: counters::DETECT, ..Setup::of(sizes.shards) };
        let recovery::Recovery { log, took } = recovery::after(RECOVERED_BYTES, setup);
        table.row(mode.name, vec![Cell::Number(log as f64 / 1e6, 0), Cell::Number(took.as_secs_f64(), 2)]);
    }
    table
}

/// What it costs that there is more of something.
fn growth(sizes: &Sizes) -> Vec<Table> {
    let mut tasks = Rounds::default();
    let mut bytes = Rounds::default();
    let mut shards = Rounds::default();
    for round in 1..=sizes.rounds {
        say(&format!("round {round} of {}", sizes.rounds));
        let nodes = counters::start(sizes.shards, Mode::HOT);
        for (row, size) in [128, 1 << 10, 16 << 10, 128 << 10, 1_000_000].into_iter().enumerate() {
            let figures = ask(&nodes, [1, 1, size], sizes.of(16));
            bytes.add(row, format!("{size} bytes"), figures);
        }
        for (row, count) in [16, 1000, 10_000, 100_000].into_iter().enumerate() {
            // Tasks are made while it warms up.
            let load = Load { warm: sizes.load * 2, ..sizes.of(64) };
            let figures = ask(&nodes, [16, count, BYTES], load);
            tasks.add(row, format!("{count} tasks"), figures);
        }
        drop(nodes);
        for (row, count) in [1, 2, 4, 16, 64].into_iter().enumerate() {
            let nodes = counters::start(count, Mode::HOT);
            let figures = ask(&nodes, [64, 64, BYTES], sizes.of(1));
            shards.add(row, format!("{count} shards"), figures);
        }
    }
    vec![
        tasks.table("16 connections, window 64"),
        bytes.table("one connection, window 16"),
        shards.table("64 connections, closed loop"),
    ]
}

fn beside_restate(sizes: &Sizes) -> Table {
    let mut rounds = Rounds::default();
    let title = "a counter by key, 64 clients, closed loop";
    for round in 1..=sizes.rounds {
        say(&format!("round {round} of {}", sizes.rounds));
        let nodes = counters::start(sizes.shards, Mode::DURABLE);
        let figures = ask(&nodes, [64, 64, BYTES], sizes.of(1));
        rounds.add(0, "gapless, durable".to_owned(), figures);
        drop(nodes);
        match Restate::start() {
            Ok(restate) => {
                let load = Load { warm: Duration::from_secs(2), ..sizes.of(1) };
                rounds.add(
                    1,
                    "Restate, its defaults".to_owned(),
                    load::run(restate.connections(64), &restate.pids(), load).expect("Restate answers"),
                );
            }
            Err(why) => say(&format!("no Restate: {why}")),
        }
    }
    rounds.table(title)
}

fn main() {
    counters::serve_if_child();
    let asked = Asked::of_arguments(&SECTIONS);
    let sizes = Sizes::from_environment();
    let mut tables: Vec<Table> = Vec::new();
    let all = [("load", Mode::HOT), ("load", Mode::WARM), ("durable", Mode::DURABLE)];
    let modes: Vec<Mode> = all.into_iter().filter(|(name, _)| asked.wants(name)).map(|(_, mode)| mode).collect();
    if !modes.is_empty() {
        tables.push(loads(&sizes, &modes));
    }
    if asked.wants("takeover") {
        tables.push(takeovers(&sizes));
    }
    if asked.wants("recovery") {
        tables.push(recoveries(&sizes));
    }
    if asked.wants("growth") {
        tables.extend(growth(&sizes));
    }
    if asked.wants("restate") {
        tables.push(beside_restate(&sizes));
    }
    say("done");
    asked.show(tables);
}
