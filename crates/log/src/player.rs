//! The backup's side of a step: inputs come from the log, up to the next mark and never further.

use crate::{Divergence, Entry, Error, Frame, Kind, Mark, Outbox, Position, Result, Seq};
use std::collections::VecDeque;

/// Entries held and not yet executed.
#[derive(Debug, Default)]
pub struct Backlog {
    entries: VecDeque<Entry>,
    first: Seq,
    /// Number and position of every mark in `entries`.
    marks: VecDeque<(Seq, Position)>,
}

impl Backlog {
    /// Empty; the next entry to arrive has number `next`.
    pub fn new(next: Seq) -> Self {
        Self { first: next, ..Self::default() }
    }

    /// Drops entries from number `end` on; they have not been executed.
    pub(crate) fn cut(&mut self, end: Seq) {
        assert!(end >= self.first, "entries before {} are executed, the log cannot be cut at {end}", self.first);
        self.entries.truncate((end.0 - self.first.0) as usize);
        while self.marks.back().is_some_and(|m| m.0 >= end) {
            self.marks.pop_back();
        }
    }

    /// Number of the next entry to execute.
    pub fn next_seq(&self) -> Seq {
        self.first
    }

    /// Number of the entry after the last one held.
    pub fn end_seq(&self) -> Seq {
        Seq(self.first.0 + self.entries.len() as u64)
    }

    /// Takes a frame that continues what is held.
    pub fn push(&mut self, frame: &Frame) -> Result<()> {
        if frame.first_seq() != self.end_seq() {
            return Err(Error::Refused(format!(
                "frame starts at entry {}, but {} is next; the log has a hole",
                frame.first_seq(),
                self.end_seq()
            )));
        }
        for entry in frame.entries() {
            let seq = self.end_seq();
            if entry.kind == Kind::MARK {
                self.marks.push_back((seq, entry.at));
            }
            self.entries.push_back(entry);
        }
        Ok(())
    }

    /// Where the next step ends, if its mark is held.
    pub fn next_mark(&self) -> Option<(Seq, Position)> {
        self.marks.front().copied()
    }

    /// Positions between the next entry and the last mark held: how far execution is behind, in steps.
    pub fn steps(&self) -> usize {
        self.marks.len()
    }

    /// The next entry.
    pub fn front(&self) -> Option<&Entry> {
        self.entries.front()
    }

    /// Takes the next entry.
    pub fn pop(&mut self) -> Option<(Seq, Entry)> {
        let entry = self.entries.pop_front()?;
        let seq = self.first;
        self.first = seq.next();
        if entry.kind == Kind::MARK {
            self.marks.pop_front();
        }
        Some((seq, entry))
    }
}

/// What a backup takes its inputs from, for one step.
#[derive(Debug)]
pub struct Player<'a> {
    pub(crate) backlog: &'a mut Backlog,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) stop: Option<Position>,
    pub(crate) paused: bool,
}

impl Player<'_> {
    /// The position at which this step ended on the primary. The step is over when the replica stands here and
    /// [`Player::peek`] is `None`.
    pub fn limit(&self) -> Position {
        self.backlog.next_mark().expect("a step is only replayed when its mark is held").1
    }

    /// A position inside this step at which a person wants to stand. A replica stops there exactly, before the inputs that stand at it; one that
    /// cannot goes on to the mark.
    pub fn stop(&self) -> Option<Position> {
        self.stop.filter(|&stop| stop < self.limit())
    }

    /// The replica stands inside the step because somebody debugs it, and returns now; the same step goes on with the next call.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// The next input of this step.
    pub fn peek(&self) -> Option<&Entry> {
        self.backlog.front().filter(|e| e.kind != Kind::MARK)
    }

    /// Takes the next input, which must be of `kind` and stand at `at`.
    pub fn input(&mut self, at: Position, kind: Kind) -> Result<Vec<u8>> {
        match self.peek() {
            Some(e) if e.kind == kind && e.at == at => Ok(self.backlog.pop().expect("peeked").1.body),
            other => {
                let expected = match other {
                    Some(e) => format!("input of kind {} at position {}", e.kind.0, e.at),
                    None => format!("no further input before the mark at position {}", self.limit()),
                };
                Err(self.diverged(at, expected, format!("asks for an input of kind {} at position {at}", kind.0)))
            }
        }
    }

    /// A divergence at this place in the log.
    pub fn diverged(&self, position: Position, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Divergence { position, seq: self.backlog.next_seq(), expected: expected.into(), found: found.into() }.into()
    }

    /// Where outputs are said.
    pub fn out(&mut self) -> &mut Outbox {
        self.outbox
    }
}

/// Compares a mark of the log with what the replica did; returns the difference.
pub(crate) fn check_mark(mark: &Mark, outbox: &Outbox) -> Option<(String, String)> {
    let own = outbox.mark();
    (mark.said != own.said || mark.hash != own.hash).then(|| {
        (
            format!("{} outputs said, hash {:032x}", mark.said, mark.hash),
            format!("{} outputs said, hash {:032x}", own.said, own.hash),
        )
    })
}
