//! Which checkpoints of a history are kept.
//!
//! The rule it keeps: their number and their bytes are bounded, whatever the history's length, and the first is always there. Regular ones have at least
//! a distance from each other that doubles whenever there are too many; a few more lie where a person was last.

use gapless_log::{Digest, Position, Seq};
use std::collections::VecDeque;

/// Regular ones.
const COUNT_MAX: usize = 32;
/// All their bytes; the first is kept even if it alone has more.
const BYTES_MAX: usize = 1 << 30;
/// Positions from one to the next, at first: less than a second of execution.
pub const SPACING: u64 = 128_000_000;
/// Those near a person.
const NEAR_MAX: usize = 4;

/// A state of the host loop and all that it executes, at the end of a frame of the log.
pub struct Checkpoint {
    pub position: Position,
    /// The log goes on with this entry ...
    pub next: Seq,
    /// ... and this is the hash of all before it.
    pub chain: Digest,
    /// What [`gapless_log::Host::load`] takes.
    pub bytes: Vec<u8>,
}

/// All that are kept.
pub struct Checkpoints {
    /// By position.
    regular: Vec<Checkpoint>,
    spacing: u64,
    near: VecDeque<Checkpoint>,
    /// The first frame that ends here or later makes a checkpoint near a person.
    pub wanted: Option<Position>,
}

impl Checkpoints {
    /// None yet; so many positions from one to the next at first.
    pub fn new(spacing: u64) -> Self {
        Self { regular: Vec::new(), spacing, near: VecDeque::new(), wanted: None }
    }

    /// The last one not behind a position.
    pub fn before(&self, position: Position) -> Option<&Checkpoint> {
        self.regular.iter().chain(&self.near).filter(|c| c.position <= position).max_by_key(|c| c.position)
    }

    /// One should be made here.
    pub fn is_due(&self, position: Position) -> bool {
        let lonely = |c: &Checkpoint| position.0.abs_diff(c.position.0) >= self.spacing;
        self.regular.iter().all(lonely) || self.wanted.is_some_and(|wanted| position >= wanted)
    }

    /// Keeps one that was due.
    pub fn keep(&mut self, checkpoint: Checkpoint) {
        if self.wanted.take_if(|wanted| checkpoint.position >= *wanted).is_some() {
            self.near.push_back(checkpoint);
            if self.near.len() > NEAR_MAX {
                self.near.pop_front();
            }
            return;
        }
        let place = self.regular.partition_point(|c| c.position < checkpoint.position);
        self.regular.insert(place, checkpoint);
        while self.regular.len() > COUNT_MAX || self.regular.len() > 1 && self.bytes() > BYTES_MAX {
            self.spacing *= 2;
            self.thin();
        }
    }

    fn bytes(&self) -> usize {
        self.regular.iter().map(|c| c.bytes.len()).sum()
    }

    fn thin(&mut self) {
        let mut last: Option<Position> = None;
        let spacing = self.spacing;
        self.regular.retain(|c| {
            let keep = last.is_none_or(|last| c.position.0 - last.0 >= spacing);
            last = if keep { Some(c.position) } else { last };
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(position: u64, bytes: usize) -> Checkpoint {
        Checkpoint { position: Position(position), next: Seq(0), chain: 0, bytes: vec![0; bytes] }
    }

    #[test]
    fn they_are_few_however_long_the_history_and_the_first_stays() {
        let mut all = Checkpoints::new(SPACING);
        for position in (7..20_000 * SPACING).step_by(SPACING as usize / 3) {
            if all.is_due(Position(position)) {
                all.keep(checkpoint(position, 1));
            }
        }
        assert!((COUNT_MAX / 2 - 1..=COUNT_MAX).contains(&all.regular.len()), "{}", all.regular.len());
        assert_eq!(all.regular[0].position, Position(7));
        assert!(all.regular.windows(2).all(|w| w[1].position.0 - w[0].position.0 >= all.spacing));
        assert!(all.before(Position(6)).is_none());
        assert_eq!(all.before(Position(7)).map(|c| c.position), Some(Position(7)));
    }

    #[test]
    fn large_ones_are_fewer() {
        let mut all = Checkpoints::new(SPACING);
        for i in 0..20 {
            all.keep(checkpoint(i * SPACING, BYTES_MAX / 5));
        }
        assert!(all.regular.len() <= 5 && all.bytes() <= BYTES_MAX);
    }

    #[test]
    fn those_near_a_person_are_the_latest_few() {
        let mut all = Checkpoints::new(SPACING);
        all.keep(checkpoint(0, 1));
        for i in 1..10 {
            all.wanted = Some(Position(i));
            assert!(all.is_due(Position(i)) && !all.is_due(Position(0)));
            all.keep(checkpoint(i, 1));
        }
        assert_eq!(all.near.len(), NEAR_MAX);
        assert_eq!(all.before(Position(100)).map(|c| c.position), Some(Position(9)));
        assert_eq!(all.before(Position(5)).map(|c| c.position), Some(Position(0)));
    }
}
