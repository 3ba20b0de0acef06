//! The machine level beside QEMU: processor, redis, boot, log volume, and what a pair adds. All ways take their turns in one run; only ratios mean
//! anything.
//!
//!   scripts/guest debian                                                        the guests
//!   cargo bench -p gapless --bench machine [-- cpu redis boot log pair --json]  everything, or what is named
//!
//! Needs root (it makes network namespaces), redis-server, redis-benchmark, iperf3; the columns of a QEMU that is not installed say so. Sizes, from the
//! environment: `GAPLESS_BENCH_SCALE` (2) of the programs, `GAPLESS_BENCH_LOAD_MS` (2000) of each load, `GAPLESS_BENCH_IDLE_S` (30) of watching an idle
//! Debian, `GAPLESS_BENCH_RECORDING_S` (60) and `GAPLESS_BENCH_LIMIT_S` (240) after which a boot that QEMU records, and everything else, is given up.

mod console;
mod cpu;
mod debian;
mod pair;
mod redis;
#[path = "../../tests/support/mod.rs"]
mod support;
mod table;
mod tool;
mod volume;
mod ways;

use std::time::{Duration, Instant};
use table::{Asked, Table};

const SECTIONS: [&str; 5] = ["cpu", "redis", "boot", "log", "pair"];

/// How much is done.
struct Sizes {
    scale: u32,
    load: Duration,
    idle: Duration,
    /// The longest boot of a Debian that QEMU records.
    recording: Duration,
    /// The longest of everything else.
    limit: Duration,
}

impl Sizes {
    fn from_environment() -> Self {
        let number = |name: &str, default: u64| {
            std::env::var(name).map_or(default, |n| n.parse().unwrap_or_else(|_| panic!("{name}={n} is not a number")))
        };
        Self {
            scale: number("GAPLESS_BENCH_SCALE", 2) as u32,
            load: Duration::from_millis(number("GAPLESS_BENCH_LOAD_MS", 2000)),
            idle: Duration::from_secs(number("GAPLESS_BENCH_IDLE_S", 30)),
            recording: Duration::from_secs(number("GAPLESS_BENCH_RECORDING_S", 60)),
            limit: Duration::from_secs(number("GAPLESS_BENCH_LIMIT_S", 240)),
        }
    }
}

/// Progress, for whoever waits.
fn say(what: &str) {
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    eprintln!("{:>6.1} s  {what}", BEGAN.get_or_init(Instant::now).elapsed().as_secs_f64());
}

fn main() {
    let asked = Asked::of_arguments(&SECTIONS);
    let sizes = Sizes::from_environment();
    say(&format!("QEMU: {}", ways::qemu_version().as_deref().unwrap_or("not installed")));
    let mut tables: Vec<Table> = Vec::new();
    if asked.wants("cpu") {
        tables.extend(cpu::measure(&sizes));
    }
    if asked.wants("redis") {
        tables.extend(redis::measure(&sizes));
    }
    let debian = debian::Wanted { boot: asked.wants("boot"), log: asked.wants("log"), pair: asked.wants("pair") };
    tables.extend(debian::measure(&sizes, debian));
    say("done");
    asked.show(tables);
}
