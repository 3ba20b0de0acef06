//! A simulated log directory: what the process has appended, what the kernel has, what the platter has.

use gapless_log::{Frame, Seq};
use gapless_pair::{Found, Meta, Point, Points};
use std::collections::VecDeque;
use std::sync::Arc;

/// One directory. Survives the process; parts of it survive loss of power.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// The protocol's record; always durable.
    pub meta: Meta,
    /// A saved replica that the log begins with.
    pub base: Option<(Point, Arc<Vec<u8>>)>,
    frames: VecDeque<Arc<Frame>>,
    /// How many frames were there before them and are gone. All counts include these.
    gone: usize,
    /// How many of the frames have been written, and synced.
    written: usize,
    synced: usize,
}

impl Disk {
    /// Where the log begins.
    pub fn start(&self) -> Point {
        self.base.as_ref().map_or(Point::ZERO, |b| b.0)
    }

    /// Where the log ends.
    pub fn end(&self) -> Point {
        self.frames.back().map_or(self.start(), |f| Point::after(f))
    }

    /// Every frame.
    pub fn frames(&self) -> impl Iterator<Item = &Arc<Frame>> {
        self.frames.iter()
    }

    /// Every frame from the one on that has so many before it.
    pub fn frames_from(&self, count: usize) -> impl Iterator<Item = &Arc<Frame>> {
        self.frames.iter().skip(count.saturating_sub(self.gone))
    }

    /// How many frames there were.
    pub fn count(&self) -> usize {
        self.gone + self.frames.len()
    }

    /// The frame that contains `seq`, and how many lie before it.
    pub fn find(&self, seq: Seq) -> Option<(usize, &Arc<Frame>)> {
        let at = self.frames.partition_point(|f| f.end_seq() <= seq);
        self.frames.get(at).filter(|f| f.first_seq() <= seq).map(|f| (self.gone + at, f))
    }

    /// How many frames lie before `seq`; `None` if some that do not are gone.
    pub fn from(&self, seq: Seq) -> Option<usize> {
        (seq >= self.start().seq).then(|| self.gone + self.frames.partition_point(|f| f.first_seq() < seq))
    }

    /// The log begins at `at`, with this state; false if not all before it is written.
    pub fn shorten(&mut self, at: Point, state: Arc<Vec<u8>>) -> bool {
        let before = self.frames.partition_point(|f| f.end_seq() <= at.seq);
        if before == 0 || Point::after(&self.frames[before - 1]) != at || self.gone + before > self.written {
            return false;
        }
        self.frames.drain(..before);
        self.gone += before;
        self.synced = self.synced.max(self.gone);
        self.base = Some((at, state));
        true
    }

    /// Appends in the memory of the process; returns how many frames there are.
    pub fn append(&mut self, frame: Arc<Frame>) -> usize {
        self.frames.push_back(frame);
        self.count()
    }

    /// The kernel has the first `count` frames.
    pub fn write(&mut self, count: usize) -> Seq {
        self.written = self.written.max(count.min(self.count()));
        self.end_of(self.written)
    }

    /// The platter has everything written.
    pub fn sync(&mut self) -> Seq {
        self.synced = self.written;
        self.end_of(self.synced)
    }

    fn end_of(&self, count: usize) -> Seq {
        count.checked_sub(self.gone + 1).map_or(self.start().seq, |i| self.frames[i].end_seq())
    }

    /// How many frames the kernel has.
    pub fn written_frames(&self) -> usize {
        self.written
    }

    /// How many frames the platter has.
    pub fn synced_frames(&self) -> usize {
        self.synced
    }

    /// Cuts at a frame's end.
    pub fn cut(&mut self, at: Point) {
        if at == Point::ZERO {
            return self.clear();
        }
        let keep = self.frames.partition_point(|f| f.end_seq() <= at.seq);
        self.frames.truncate(keep);
        self.written = self.written.min(self.count());
        self.synced = self.synced.min(self.count());
        assert_eq!(self.end(), at, "the log is cut at the end of a frame that it has");
    }

    /// Empties the log; the record stays.
    pub fn clear(&mut self) {
        *self = Disk { meta: std::mem::take(&mut self.meta), ..Disk::default() };
    }

    /// The process died: what it had not written is gone.
    pub fn process_died(&mut self) {
        self.frames.truncate(self.written - self.gone);
    }

    /// Power was lost: of what was not synced some prefix survives, and of the frame after it perhaps a torn piece, which recovery
    /// must tell from a frame.
    pub fn power_lost(&mut self, survive: usize, torn_bytes: usize) -> bool {
        let unsynced = self.written - self.synced;
        let keep = self.synced + if unsynced == 0 { 0 } else { survive % (unsynced + 1) };
        if let Some(torn) = self.frames.get(keep - self.gone) {
            let piece = &torn.bytes()[..torn_bytes % torn.len()];
            assert!(Frame::decode(piece).is_err(), "a torn frame passes for a whole one");
        }
        let lost = self.count() > keep;
        self.frames.truncate(keep - self.gone);
        self.written = keep;
        self.synced = keep;
        lost
    }

    /// What recovery finds: the log up to its last whole step is what the engine may build on.
    pub fn recover(&mut self) -> Found {
        self.synced = self.count();
        self.written = self.count();
        let mut found = Found { points: Points::default(), whole: self.start(), start: self.start() };
        if self.start() != Point::ZERO {
            found.points.push(self.start());
        }
        for frame in &self.frames {
            found.points.push(Point::after(frame));
        }
        if let Some(frame) = self.frames.iter().rev().find(|f| f.ends_step()) {
            found.whole = Point::after(frame);
        }
        found
    }

    /// The greatest of `points` that this log has.
    pub fn common(&self, points: &[Point]) -> Point {
        let has = |p: &&Point| {
            **p == self.start()
                || self
                    .frames
                    .get(self.frames.partition_point(|f| f.end_seq() < p.seq))
                    .is_some_and(|f| Point::after(f) == **p)
        };
        points.iter().filter(has).max_by_key(|p| p.seq).copied().unwrap_or(Point::ZERO)
    }
}
