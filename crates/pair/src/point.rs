//! Points of a log, and the bounded sample of them by which two logs find what they have in common.

use gapless_log::{Digest, Frame, Seq};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The end of a frame: how many entries lie before it and the chain hash over all frames before it. Two logs with an equal point hold
/// equal bytes before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
pub struct Point {
    /// Number of the next entry.
    pub seq: Seq,
    /// Chain hash of the frames up to here.
    pub chain: Digest,
}

impl Point {
    /// The beginning of every log.
    pub const ZERO: Point = Point { seq: Seq(0), chain: 0 };

    /// Where `frame` ends.
    pub fn after(frame: &Frame) -> Self {
        Self { seq: frame.end_seq(), chain: frame.chain_after() }
    }

    /// Where `frame` begins.
    pub fn before(frame: &Frame) -> Self {
        Self { seq: frame.first_seq(), chain: frame.chain_before() }
    }
}

/// How many of the latest points are all kept; older ones thin out by half with every doubling of their distance.
const DENSE: u64 = 16;

/// A sample of a log's points: the latest 16 and ever fewer of the older ones, O(log n) in all.
#[derive(Clone, Debug, Default)]
pub struct Points {
    /// Ordinal of the frame in the log (1 for the first) and its end.
    kept: VecDeque<(u64, Point)>,
    frames: u64,
    prune_at: usize,
}

impl Points {
    /// The log ends here now.
    pub fn push(&mut self, end: Point) {
        self.frames += 1;
        self.kept.push_back((self.frames, end));
        if self.kept.len() > self.prune_at {
            let frames = self.frames;
            self.kept.retain(|&(n, _)| frames - n < DENSE << n.trailing_zeros().min(48));
            self.prune_at = 2 * self.kept.len();
        }
    }

    /// The log was cut at `end`, or begins there anew (a snapshot).
    pub fn cut(&mut self, end: Point) {
        while self.kept.back().is_some_and(|(_, p)| p.seq > end.seq) {
            self.kept.pop_back();
        }
        self.frames = self.kept.back().map_or(0, |&(n, _)| n);
        if self.end() != end {
            self.push(end);
        }
    }

    /// The log begins at `start` now, where a frame ended.
    pub fn forget_before(&mut self, start: Point) {
        let before =
            self.kept.iter().take_while(|(_, p)| p.seq < start.seq).map(|&(n, _)| n).last().unwrap_or_default();
        self.kept.retain(|(_, p)| p.seq >= start.seq);
        if self.kept.front().is_none_or(|&(_, p)| p != start) {
            // One that had been thinned out.
            self.kept.push_front((before + 1, start));
        }
    }

    /// The last point, or the beginning.
    pub fn end(&self) -> Point {
        self.kept.back().map_or(Point::ZERO, |&(_, p)| p)
    }

    /// What HELLO carries: latest first, at most [`POINTS_MAX`].
    pub fn sample(&self) -> Vec<Point> {
        self.kept.iter().rev().map(|&(_, p)| p).take(POINTS_MAX).collect()
    }
}

/// Most points that a HELLO may carry.
pub const POINTS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_is_dense_at_the_end_and_logarithmic_in_all() {
        let mut points = Points::default();
        for n in 1..=100_000u64 {
            points.push(Point { seq: Seq(n), chain: u128::from(n) });
        }
        let sample = points.sample();
        assert!((16..POINTS_MAX).contains(&sample.len()), "{} points", sample.len());
        let latest: Vec<u64> = sample.iter().take(16).map(|p| p.seq.0).collect();
        assert_eq!(latest, (0..16).map(|i| 100_000 - i).collect::<Vec<_>>());
        assert!(sample.last().is_some_and(|p| p.seq.0 <= 65_536), "reaches far back");
        for back in [20u64, 100, 1_000, 10_000] {
            let nearest = sample.iter().find(|p| p.seq.0 <= 100_000 - back).map(|p| 100_000 - p.seq.0);
            assert!(nearest.is_some_and(|d| d < 2 * back), "a point about {back} frames back: {nearest:?}");
        }
    }

    #[test]
    fn cut_forgets_what_lies_beyond() {
        let mut points = Points::default();
        for n in 1..=40u64 {
            points.push(Point { seq: Seq(n * 3), chain: u128::from(n) });
        }
        let at = Point { seq: Seq(33), chain: 11 };
        points.cut(at);
        assert_eq!(points.end(), at);
        points.cut(Point::ZERO);
        assert_eq!(points.end(), Point::ZERO);
    }
}
