//! Takeovers: a node is killed under load, and every client waits until it is answered again.

use crate::counters::{self, Add, BYTES, Counter};
use crate::support::crowd::Crowd;
use crate::support::tasks::nodes::Mode;
use gapless::task::Client;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CLIENTS: usize = 8;
/// The load runs for so long before each kill.
const LOAD: Duration = Duration::from_millis(200);
/// After a longer gap the nodes are asked what they have said.
const LONG: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);

/// Of a client, in microseconds.
#[derive(Default)]
struct Answers {
    /// When it was answered last.
    last: AtomicU64,
    /// Its longest gap.
    longest: AtomicU64,
}

/// The longest gap that any client sees at each of so many kills, nodes in turns, sorted. A dead process closes its connections at once, so detection
/// takes no time here, and all of the gap is counted.
pub fn gaps(kills: usize, shards: u16, place: &Path) -> Vec<Duration> {
    let mut nodes = counters::start_in(place, shards, Mode::HOT);
    let began = Instant::now();
    let micros = move || began.elapsed().as_micros() as u64;
    let answers: Arc<[Answers; CLIENTS]> = Arc::default();
    let (theirs, addresses) = (answers.clone(), nodes.addresses.clone());
    let crowd = Crowd::start(CLIENTS, move |me, turns| {
        let mut client = Client::connect(addresses.clone()).expect("a node answers").with_patience(PATIENCE);
        let message = Add::of(BYTES);
        let mut before = micros();
        while turns.on() {
            let _: u64 = client.call::<Counter, _>(&format!("client-{me}"), &message).expect("an answer");
            let now = micros();
            theirs[me].longest.fetch_max(now - before, Ordering::Relaxed);
            theirs[me].last.store(now, Ordering::Relaxed);
            before = now;
        }
    });
    let mut gaps = Vec::new();
    for kill in 0..kills {
        let victim = kill % 2;
        nodes.await_protected();
        std::thread::sleep(LOAD);
        // On a machine that stalls a shard may have gone on alone meanwhile, and then nobody could take it over.
        nodes.await_protected();
        answers.iter().for_each(|of| of.longest.store(0, Ordering::Relaxed));
        nodes.kill(victim);
        let killed = micros();
        // All that was under way at the kill is over when every client was answered twice since.
        for of in answers.iter() {
            let mut seen = Vec::new();
            while seen.len() < 2 {
                let at = of.last.load(Ordering::Relaxed);
                if at > killed && !seen.contains(&at) {
                    seen.push(at);
                }
                assert!(micros() - killed < PATIENCE.as_micros() as u64, "a client was not answered again");
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        let gap = answers.iter().map(|of| of.longest.load(Ordering::Relaxed)).max().expect("there are clients");
        crate::say(&format!("kill {} of {kills}: {:.0} ms", kill + 1, gap as f64 / 1e3));
        gaps.push(Duration::from_micros(gap));
        if gap > LONG.as_micros() as u64 {
            eprintln!("{}", nodes.words());
        }
        nodes.spawn(victim);
    }
    crowd.finish();
    gaps.sort_unstable();
    gaps
}
