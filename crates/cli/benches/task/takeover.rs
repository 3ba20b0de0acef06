//! Takeovers: a node is killed under load, and every client waits until it is answered again.

use crate::nodes::{Add, BYTES, Counter, Nodes};
use gapless::task::{Client, Commit};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CLIENTS: usize = 8;
/// The load runs for so long before each kill.
const LOAD: Duration = Duration::from_millis(200);
/// After a longer gap the nodes are asked what they have said.
const LONG: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest gap that any client sees at each of so many kills, nodes in turns, sorted. A dead process closes its connections at once, so detection
/// takes no time here, and all of the gap is counted.
pub fn gaps(kills: usize, shards: u16, place: &Path) -> Vec<Duration> {
    let mut nodes = Nodes::start_in(place, shards, Commit::Received);
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    // Of each client: when it was answered last, and its longest gap, in microseconds.
    let last = [(); CLIENTS].map(|()| AtomicU64::new(0));
    let longest = [(); CLIENTS].map(|()| AtomicU64::new(0));
    let micros = || began.elapsed().as_micros() as u64;
    let addresses = nodes.addresses.clone();
    std::thread::scope(|scope| {
        // Clients end when this does, a panic included.
        let _stop = Stop(&stop);
        for me in 0..CLIENTS {
            let (stop, last, longest, addresses) = (&stop, &last[me], &longest[me], addresses.clone());
            scope.spawn(move || {
                let mut client = Client::connect(addresses).expect("a node answers").with_patience(PATIENCE);
                let message = Add::of(BYTES);
                let mut before = micros();
                while !stop.load(Ordering::Relaxed) {
                    let _: u64 = client.call::<Counter, _>(&format!("client-{me}"), &message).expect("an answer");
                    let now = micros();
                    longest.fetch_max(now - before, Ordering::Relaxed);
                    last.store(now, Ordering::Relaxed);
                    before = now;
                }
            });
        }
        let mut gaps = Vec::new();
        for kill in 0..kills {
            let victim = kill % 2;
            nodes.await_protected();
            std::thread::sleep(LOAD);
            // On a machine that stalls a shard may have gone on alone meanwhile, and then nobody could take it over.
            nodes.await_protected();
            longest.iter().for_each(|gap| gap.store(0, Ordering::Relaxed));
            nodes.kill(victim);
            let killed = micros();
            // All that was under way at the kill is over when every client was answered twice since.
            for last in &last {
                let mut seen = Vec::new();
                while seen.len() < 2 {
                    let at = last.load(Ordering::Relaxed);
                    if at > killed && !seen.contains(&at) {
                        seen.push(at);
                    }
                    assert!(micros() - killed < PATIENCE.as_micros() as u64, "a client was not answered again");
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
            let gap = longest.iter().map(|gap| gap.load(Ordering::Relaxed)).max().expect("there are clients");
            crate::say(&format!("kill {} of {kills}: {:.0} ms", kill + 1, gap as f64 / 1e3));
            gaps.push(Duration::from_micros(gap));
            if gap > LONG.as_micros() as u64 {
                eprintln!("{}", nodes.words());
            }
            nodes.spawn(victim);
        }
        gaps.sort_unstable();
        gaps
    })
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
