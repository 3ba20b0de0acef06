//! A whole Debian: booted to its login prompt with a network and a disk, used from the host beside it, and repeated.
//!
//! `GAPLESS_POSITIONS=1000` compares digests at so many positions of the session, drawn after it was recorded, instead of a handful; `GAPLESS_TEST_SEED`
//! says which.

mod support;
#[path = "../../machine/tests/support/tiny.rs"]
mod tiny;

use gapless_log::{Position, combine};
use std::path::Path;
use std::time::Instant;
use support::Area;
use support::computer::{Again, GUEST, Live, Network, PATIENCE, digest_at, digests_at, guest, machine};
use support::process::{Process, sleep_ms};
use tiny::{Load, Random, assert_same};

/// Positions that are compared, unless GAPLESS_POSITIONS says how many.
const POSITIONS: usize = 20;

fn beside(area: &Area, network: &Network, program: &str, arguments: &[&str]) -> String {
    let done = Process::start(network.beside(area, program, arguments), &area.join(program)).finish_within(PATIENCE);
    assert_eq!(done.code(), 0, "{program} {arguments:?}: {}{}", done.stdout_text(), done.stderr_text());
    done.stdout_text()
}

/// Somebody logs in and asks for things; others use the network meanwhile.
fn session(area: &Area, network: &Network, log: &Path) {
    let disk = guest("debian.img");
    let arguments = ["--disk", disk.to_str().expect("an ASCII path"), "--net", "tap=tap0"];
    let append = format!("quiet root=/dev/vda ip={GUEST}/24");
    let since = Instant::now();
    let mut live = Live::start(network.gapless(area, machine("debian", "256M", log, &append, &arguments)), log);
    live.awaits("login:");
    println!("login after {:.1?}", since.elapsed());
    live.type_line("root");
    live.awaits("~#");
    live.type_line("mount | grep ' / '; free -m | grep Mem; echo $((6 * 7))-$?");
    live.awaits("42-0");
    assert!(live.screen().contains("/dev/vda on / type ext4 (rw"), "{}", live.screen());

    let redis = |words: &[&str]| beside(area, network, "redis-cli", &[&["-h", GUEST][..], words].concat());
    let asked = Instant::now();
    loop {
        let command = network.beside(area, "redis-cli", &["-h", GUEST, "ping"]);
        let done = Process::start(command, &area.join("ping")).finish_within(PATIENCE);
        if done.stdout_text().contains("PONG") {
            break;
        }
        assert!(asked.elapsed() < PATIENCE, "{}{}", done.stdout_text(), done.stderr_text());
        sleep_ms(100);
    }
    assert!(redis(&["set", "word", "kept"]).contains("OK"));
    let load = ["-h", GUEST, "-n", "300", "-c", "8", "-t", "ping,set,get,incr,lpush", "--csv"];
    let rates = beside(area, network, "redis-benchmark", &load);
    assert!(rates.lines().filter(|line| line.starts_with('"')).count() >= 5, "{rates}");
    println!("{rates}");
    assert!(redis(&["get", "word"]).contains("kept"));
    assert!(redis(&["save"]).contains("OK"));

    live.type_line("iperf3 -s -1; iperf3 -s -1; sync; echo $((6 * 9))-served");
    for (n, direction) in ["--omit=0", "--reverse"].into_iter().enumerate() {
        live.awaits_times("Server listening", n + 1);
        let said = beside(area, network, "iperf3", &["-c", GUEST, "-t", "2", "--json", direction]);
        let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let bits = said["end"]["sum_received"]["bits_per_second"].as_f64().expect("a rate");
        println!("iperf3 {direction}: {:.0} Mbit/s", bits / 1e6);
        assert!(bits > 1e6, "{said}");
    }
    live.awaits("54-served");
    live.type_line("poweroff");
    let done = live.finish();
    assert_eq!(done.code(), 0, "{}{}", done.stdout_text(), done.stderr_text());
    assert!(done.stderr.is_empty(), "{}", done.stderr_text());
}

#[test]
fn a_session_replays_equal_at_any_position() {
    let area = Area::new("debian");
    let log = area.join("log");
    let since = Instant::now();
    session(&area, &Network::new(), &log);
    println!("recorded in {:.1?}", since.elapsed());

    let mut random = Random::fresh();
    let count = std::env::var("GAPLESS_POSITIONS").ok().and_then(|v| v.parse().ok()).unwrap_or(POSITIONS);
    let (_, found) = gapless_log::LogView::open(&log).expect("a log");
    let last = found.last_mark.expect("a mark").position;
    let positions = random.positions(count, Position(last.0 - 1));
    // The second execution stops where the first does not: anywhere, and right before where they are compared.
    let mut pauses = random.positions(count, Position(last.0 - 1));
    pauses.extend(positions.iter().flat_map(|at| [1, 2, 7].map(|before| Position(at.0.saturating_sub(before).max(1)))));
    let since = Instant::now();
    let (one, other) = std::thread::scope(|scope| {
        let straight = scope.spawn(|| digests_at(&log, &area.folder("straight"), &positions, &[]));
        let sliced = scope.spawn(|| {
            let load = (count <= POSITIONS).then(|| Load::start(1));
            let again = digests_at(&log, &area.folder("sliced"), &positions, &pauses);
            drop(load);
            again
        });
        [straight, sliced].map(|thread| thread.join().expect("no panic")).into()
    });
    let (one, other): (Again, Again) = (one.expect("a replay"), other.expect("a replay"));
    for again in [&one, &other] {
        assert_eq!(again.ended, Some(0));
        assert_eq!(again.digests.len(), positions.len());
    }
    for ((at, parts), (_, others)) in one.digests.iter().zip(&other.digests) {
        assert_same(*at, parts, others, "other slices, in another directory");
    }
    println!(
        "{} digests in the log and {} of {last} positions equal, twice, in {:.1?}",
        one.compared,
        one.digests.len(),
        since.elapsed()
    );
    assert!(one.compared > 10 && one.compared == other.compared, "{} and {}", one.compared, other.compared);

    // What a user would do says the same.
    let early = one.digests.iter().take(count.div_ceil(5)).collect::<Vec<_>>();
    let (at, parts) = early[random.below(early.len() as u64) as usize];
    assert_eq!(digest_at(&area, &log, *at, None), combine(parts), "gapless replay --until {at}");
}
