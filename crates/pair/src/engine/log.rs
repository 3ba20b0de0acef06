//! What the engine knows of its own log: where it ends, and how much of it is safe.

use crate::{Commit, Point, Points};
use gapless_log::{Frame, Seq};

/// The log that a life finds in its directory, after recovery.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Every frame end, pushed in order.
    pub points: Points,
    /// The end of the last frame that ends a step; what lies beyond is dropped before going live.
    pub whole: Point,
    /// Where the log begins: at the beginning, or with a state that stands here (then it is the first of the points).
    pub start: Point,
}

#[derive(Debug)]
pub(super) struct OwnLog {
    points: Points,
    /// Where it begins, perhaps with a state.
    pub start: Point,
    /// End of the last frame that ends a step.
    pub whole: Point,
    pub written: Seq,
    pub synced: Seq,
    /// Executed below this number; nothing executed can be taken back.
    pub executed: Seq,
    /// Where it may begin as soon as nobody needs what lies before: a state stands there.
    pub kept: Option<Point>,
    /// Cuts ordered and not yet done.
    cuts: u32,
    /// The lowest of them: until they are done, reports may be about the log before them, which is this one only up to here.
    floor: Seq,
}

impl OwnLog {
    pub fn new(found: Found) -> Self {
        let end = found.points.end().seq;
        Self {
            points: found.points,
            start: found.start,
            whole: found.whole,
            written: end,
            synced: Seq(0),
            executed: Seq(0),
            kept: None,
            cuts: 0,
            floor: Seq(0),
        }
    }

    pub fn end(&self) -> Point {
        self.points.end()
    }

    pub fn sample(&self) -> Vec<Point> {
        self.points.sample()
    }

    /// Safe on this side below this number.
    pub fn own(&self, commit: Commit) -> Seq {
        match commit {
            Commit::Received => self.written,
            Commit::Durable => self.synced.min(self.written),
        }
    }

    /// A received frame was appended.
    pub fn append(&mut self, frame: &Frame) {
        self.points.push(Point::after(frame));
        if frame.ends_step() {
            self.whole = Point::after(frame);
        }
    }

    /// The live host sealed whole steps up to here.
    pub fn sealed(&mut self, end: Point) {
        self.points.push(end);
        self.whole = end;
    }

    pub fn cut(&mut self, at: Point) {
        self.points.cut(at);
        self.kept.take_if(|kept| kept.seq >= at.seq);
        if at == Point::ZERO {
            self.start = at;
        }
        if self.whole.seq > at.seq {
            self.whole = at;
        }
        self.written = self.written.min(at.seq);
        self.synced = self.synced.min(at.seq);
        self.cut_ordered(at.seq);
    }

    /// What lies before is gone.
    pub fn shorten(&mut self, at: Point) {
        self.points.forget_before(at);
        self.start = at;
        self.kept = None;
    }

    fn cut_ordered(&mut self, at: Seq) {
        self.floor = if self.cuts == 0 { at } else { self.floor.min(at) };
        self.cuts += 1;
    }

    fn trusted(&self, end: Seq) -> Seq {
        if self.cuts == 0 { end } else { end.min(self.floor) }
    }

    pub fn cut_done(&mut self) {
        self.cuts = self.cuts.saturating_sub(1);
    }

    /// The log begins anew with a state that stands here.
    pub fn begin_at(&mut self, at: Point) {
        self.points = Points::default();
        self.kept = None;
        if at != Point::ZERO {
            self.points.push(at);
        }
        self.start = at;
        self.whole = at;
        self.written = Seq(0);
        self.synced = Seq(0);
        // Whoever loads it says so; a warm backup only when it is to take over.
        self.executed = Seq(0);
        self.cut_ordered(Seq(0));
    }

    pub fn report_written(&mut self, end: Seq) {
        self.written = self.written.max(self.trusted(end));
    }

    pub fn report_synced(&mut self, end: Seq) {
        self.synced = self.synced.max(self.trusted(end));
    }

    pub fn report_executed(&mut self, end: Seq) {
        self.executed = self.executed.max(end);
    }
}
