//! Nodes that are killed under load: one after the other, each while it is live for at least half of the shards, or both at once.

use super::nodes::{Nodes, PATIENCE};
use crate::support::chance::Chance;
use crate::support::crowd::Crowd;
use crate::support::process::{kill, sleep_ms};
use gapless_pair::status;
use std::time::{Duration, Instant};

/// Longest that a shard may take to move.
const HANDOVER_MAX: Duration = Duration::from_secs(20);
/// Between the starts of two nodes that were killed together, at most.
const APART_MAX: Duration = Duration::from_millis(300);

/// `KILLS`, or so many.
pub fn kills(usual: u32) -> u32 {
    std::env::var("KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// How often something is killed, and what the crowd does meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Kills {
    pub count: u32,
    /// So much is acknowledged before each.
    pub before: u64,
    /// So much is acknowledged to each of the crowd after it: more than was under way.
    pub after: u64,
}

impl Nodes {
    /// Kills one node after the other, either one at random, and starts it again with nothing. When it is killed it is live for at least half of the
    /// shards, and the other one can take them over. The longest that it took after a kill until all of the crowd went on.
    pub fn kill_live<T: Send + 'static>(&mut self, kills: Kills, crowd: &Crowd<T>, chance: &mut Chance) -> Duration {
        let mut longest = Duration::ZERO;
        let (shards, half) = (usize::from(self.setup.shards), usize::from(self.setup.shards).div_ceil(2));
        for _ in 0..kills.count {
            let before = crowd.done();
            let (victim, share) = (chance.below(2), half + chance.below(shards - half + 1));
            let since = Instant::now();
            self.await_protected();
            loop {
                // Who has survived the kill before has everything.
                if self.live()[victim].len() < half {
                    self.make_live(victim, share, chance);
                }
                crowd.await_more((before + kills.before).saturating_sub(crowd.done()), || self.words());
                self.await_protected();
                // On a host that stalls a shard may have moved by itself.
                if self.live()[victim].len() >= half {
                    break;
                }
                assert!(since.elapsed() < PATIENCE, "node {victim} does not stay live\n{}", self.words());
            }
            assert!(crowd.done() >= before + kills.before);
            self.kill(victim);
            let killed = Instant::now();
            // Some are started again at once, while the other one takes over.
            let at_once = chance.below(4) == 0;
            if at_once {
                self.spawn(victim);
            }
            crowd.await_each(kills.after, || self.words());
            longest = longest.max(killed.elapsed());
            if !at_once {
                self.spawn(victim);
            }
        }
        longest
    }

    /// Kills both nodes at once and starts both on what they have, in either order, together or one a while after the other. The longest that it took
    /// after that until all of the crowd went on.
    pub fn kill_both<T: Send + 'static>(&mut self, kills: Kills, crowd: &Crowd<T>, chance: &mut Chance) -> Duration {
        let mut longest = Duration::ZERO;
        for _ in 0..kills.count {
            let (node, share) = (chance.below(2), chance.below(usize::from(self.setup.shards) + 1));
            self.make_live(node, share, chance);
            crowd.await_more(kills.before, || self.words());
            self.await_protected();
            let first = chance.below(2);
            [first, 1 - first].into_iter().for_each(|node| kill(self.side(node).pid(), libc::SIGKILL));
            (0..2).for_each(|node| {
                self.kill(node);
            });
            let first = chance.below(2);
            self.restart(first);
            if chance.below(2) == 0 {
                sleep_ms(chance.below(APART_MAX.as_millis() as usize) as u64);
            }
            self.restart(1 - first);
            let started = Instant::now();
            crowd.await_each(kills.after, || self.words());
            longest = longest.max(started.elapsed());
        }
        longest
    }

    /// Hands shards over, any ones, until a node is live for so many.
    fn make_live(&self, node: usize, share: usize, chance: &mut Chance) {
        let since = Instant::now();
        loop {
            self.await_protected();
            let live = self.live();
            let from = if live[node].len() > share { node } else { 1 - node };
            let moving = chance.some_of(live[from].clone(), live[node].len().abs_diff(share));
            if moving.is_empty() {
                return;
            }
            std::thread::scope(|scope| {
                for shard in moving {
                    // One that cannot move now is asked again in the next round.
                    scope.spawn(move || status::handover(&self.shard_dir(from, shard), HANDOVER_MAX));
                }
            });
            assert!(since.elapsed() < PATIENCE, "node {node} is live for {:?}\n{}", self.live(), self.words());
        }
    }
}
