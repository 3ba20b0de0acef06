//! Letting the own log begin later while it grows: when, and with which state.
//!
//! The rules it keeps: one at a time; a live replica is saved between two steps, and its next frame says that the log is divided there, so that a backup can
//! be saved at the same place and a state that the owner sends stands where its log is divided too; a state is written on a thread made for that, so that
//! nobody waits for the disk; the engine says when nobody needs what lies before, and the disk's thread does it. What it costs is bounded: a log is
//! shortened when it has grown by several times what the state takes. A state that cannot be written is no reason to end: the log stays as it is. (A log
//! that cannot be written is.)

use super::core::Shared;
use crate::{Point, StateChunk};
use gapless_log::{Base, LogView, SealedSnapshot, Seq};
use std::io::Write;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

/// The log grows to so many times the state that it begins with.
const STATES_MAX: u64 = 4;

/// How far it is.
#[derive(Debug)]
pub(super) struct Shortening {
    /// The log may always grow to so many bytes; without a number it is never shortened.
    least: Option<u64>,
    /// It is shortened when it has so many.
    due: u64,
    phase: Phase,
    writing: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Phase {
    Idle,
    /// The replica is to be saved.
    Wanted,
    /// A state that stands here comes from the owner.
    Arriving(Seq),
    /// A state that stands here is being written.
    Writing(Seq),
    /// The log that it belonged to is gone meanwhile.
    Void,
    /// It is there, and waits until nobody needs what lies before.
    Kept(Base, Box<SealedSnapshot>),
    /// The log is being shortened.
    Ordered,
}

impl Shortening {
    pub fn new(least: Option<u64>, view: &LogView) -> Self {
        let state = std::fs::metadata(gapless_log::snapshot_path(view.dir(), view.base().seq)).map_or(0, |m| m.len());
        let mut new = Self { least, due: 0, phase: Phase::Idle, writing: None };
        new.due_after(state);
        new
    }

    fn due_after(&mut self, state_bytes: u64) {
        self.due = self.least.unwrap_or(u64::MAX).max(state_bytes.saturating_mul(STATES_MAX));
    }

    /// The log has grown enough, and the replica is to be saved. A backup waits until the owner divides its log, and is ready before.
    pub fn is_due(&mut self, view: &LogView, live: bool) -> bool {
        let due = if live { self.due } else { self.due / 2 };
        let begins = self.least.is_some() && matches!(self.phase, Phase::Idle) && view.bytes() >= due;
        if begins {
            self.phase = Phase::Wanted;
        }
        begins
    }

    /// A piece of a state has come from the owner. False if it is of no use: there is another one, or its beginning was not taken.
    pub fn takes(&mut self, piece: &StateChunk) -> bool {
        let taken = match self.phase {
            Phase::Arriving(_) => true,
            Phase::Idle | Phase::Wanted => piece.offset == 0,
            Phase::Writing(_) | Phase::Void | Phase::Kept(..) | Phase::Ordered => false,
        };
        if taken {
            let at = piece.at.seq;
            self.phase = if piece.last { Phase::Writing(at) } else { Phase::Arriving(at) };
        }
        taken
    }

    /// The replica will be at a later place itself.
    pub fn takes_no_more(&mut self) {
        if matches!(self.phase, Phase::Arriving(_)) {
            self.phase = Phase::Idle;
        }
    }

    /// The log was cut here: a state that stands here or later belongs to another one.
    pub fn cut(&mut self, at: Seq) {
        match &self.phase {
            Phase::Arriving(seq) if *seq >= at => self.phase = Phase::Idle,
            Phase::Writing(seq) if *seq >= at => self.phase = Phase::Void,
            Phase::Kept(base, _) if base.seq >= at => self.phase = Phase::Idle,
            _ => {}
        }
    }

    /// A state is on its way into the directory, and nobody can stop it any more.
    pub fn is_busy(&self) -> bool {
        matches!(self.phase, Phase::Writing(_) | Phase::Void | Phase::Ordered)
    }

    /// What the engine does not keep is never ordered.
    pub fn agree(&mut self, kept: Option<Point>) {
        if matches!(&self.phase, Phase::Kept(base, _) if kept.map(|at| at.seq) != Some(base.seq)) {
            self.phase = Phase::Idle;
        }
    }

    /// Writes a state on a thread of its own.
    pub fn write(&mut self, shared: &Arc<Shared>, base: Base, state: &Arc<Vec<u8>>) {
        if !matches!(self.phase, Phase::Idle | Phase::Wanted) {
            return;
        }
        self.phase = Phase::Writing(base.seq);
        let (weak, state) = (Arc::downgrade(shared), Arc::clone(state));
        let work = move || write(&weak, base, &state);
        match std::thread::Builder::new().name("pair-state".into()).spawn(work) {
            Ok(thread) => self.writing = Some(thread),
            Err(_) => self.phase = Phase::Idle,
        }
    }

    /// A state has been written. False if it is of no use any more.
    pub fn kept(&mut self, base: Base, snapshot: SealedSnapshot) -> bool {
        let wanted = matches!(self.phase, Phase::Writing(_));
        self.phase = if wanted { Phase::Kept(base, Box::new(snapshot)) } else { Phase::Idle };
        wanted
    }

    /// Nobody needs what lies before.
    pub fn ordered(&mut self, at: Point) -> Option<(Base, Box<SealedSnapshot>)> {
        match std::mem::replace(&mut self.phase, Phase::Ordered) {
            Phase::Kept(base, snapshot) if base.seq == at.seq => Some((base, snapshot)),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// The log begins with a state of so many bytes now.
    pub fn done(&mut self, state_bytes: u64) {
        self.phase = Phase::Idle;
        self.due_after(state_bytes);
    }

    /// It was not possible: again when the log has grown by as much as it may always have.
    pub fn put_off(&mut self, view: &LogView) {
        self.phase = Phase::Idle;
        self.due = view.bytes().saturating_add(self.least.unwrap_or(u64::MAX));
    }

    /// The life is over: waits for the thread that writes, if there is one.
    pub fn take_writing(&mut self) -> Option<JoinHandle<()>> {
        self.writing.take()
    }
}

/// On a thread of its own.
fn write(shared: &Weak<Shared>, base: Base, state: &[u8]) {
    let Some(shared) = shared.upgrade() else { return };
    let written = shared.with_store(|store| store.snapshot(base)).and_then(|mut snapshot| {
        let written = snapshot.write_all(state);
        written.map_err(|e| gapless_log::Error::io("writing a state in", shared.view().dir(), e))?;
        snapshot.seal()
    });
    let mut core = shared.lock();
    core.kept(base, written);
    core.finish();
}

#[cfg(test)]
mod tests {
    use super::*;
    use gapless_log::{Level, Position, Store};

    fn at(seq: u64) -> Base {
        Base { seq: Seq(seq), position: Position(seq), chain: u128::from(seq) }
    }

    fn point(base: Base) -> Point {
        Point { seq: base.seq, chain: base.chain }
    }

    fn piece(at: Base, offset: u64, last: bool) -> StateChunk {
        StateChunk { at: point(at), position: at.position, offset, hash: 0, last, bytes: vec![1] }
    }

    fn with(work: impl FnOnce(&mut Shortening, &Store)) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path(), Level::Toy).unwrap();
        let mut shortening = Shortening::new(Some(0), store.view());
        work(&mut shortening, &store);
        assert!(shortening.is_due(store.view(), true), "it is tried again");
    }

    fn sealed(store: &Store, base: Base) -> SealedSnapshot {
        store.snapshot(base).unwrap().seal().unwrap()
    }

    #[test]
    fn a_state_of_a_log_that_was_cut_meanwhile_is_never_ordered() {
        with(|shortening, store| {
            assert!(shortening.takes(&piece(at(5), 0, true)));
            shortening.cut(Seq(5));
            assert!(shortening.is_busy(), "it is still being written");
            assert!(!shortening.takes(&piece(at(7), 0, true)), "and no other one beside it");
            assert!(!shortening.kept(at(5), sealed(store, at(5))));
            assert!(shortening.ordered(point(at(5))).is_none());
        });
    }

    #[test]
    fn a_state_that_was_arriving_when_the_log_was_cut_is_taken_no_further() {
        with(|shortening, _| {
            assert!(shortening.takes(&piece(at(5), 0, false)));
            shortening.cut(Seq(6));
            assert!(shortening.takes(&piece(at(5), 1, false)), "it stands before");
            shortening.cut(Seq(4));
            assert!(!shortening.takes(&piece(at(5), 2, true)));
        });
    }

    #[test]
    fn a_state_that_the_engine_does_not_keep_is_given_up() {
        with(|shortening, store| {
            assert!(shortening.takes(&piece(at(5), 0, true)));
            assert!(shortening.kept(at(5), sealed(store, at(5))));
            shortening.agree(Some(point(at(5))));
            assert!(!shortening.is_due(store.view(), true));
            shortening.agree(None);
        });
    }
}
