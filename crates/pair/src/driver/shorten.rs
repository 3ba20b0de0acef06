//! Letting the own log begin later while it grows: when, and with which state.
//!
//! The rules it keeps: one at a time; the replica is saved on its own thread where a segment begins, and its state is written on a thread made for that, so
//! that neither waits for the disk; the engine says when nobody needs what lies before, and the disk's thread does it. What it costs is bounded:
//! a log is shortened when it has grown by several times what the state takes. A state that cannot be written is no reason to end: the log stays as it is.
//! (A log that cannot be written is.)

use super::core::Shared;
use crate::Point;
use gapless_log::{Base, LogView, Position, Result, SealedSnapshot, Seq};
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
    /// A backup divides its log at the end of the next step that it receives.
    Due,
    /// The replica is saved when it stands at the division; or, live, when it comes to it.
    Saving(Option<Seq>),
    /// Its state is being written.
    Writing,
    /// It is there, and waits until nobody needs what lies before.
    Kept(Base, SealedSnapshot),
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

    /// The log has grown enough. True if the live replica is to be saved; a backup divides its log first.
    pub fn is_due(&mut self, view: &LogView, live: bool) -> bool {
        if live && matches!(self.phase, Phase::Due | Phase::Saving(Some(_))) {
            // It was a backup when it became due, and has executed beyond.
            self.phase = Phase::Idle;
        }
        if self.least.is_none() || !matches!(self.phase, Phase::Idle) || view.bytes() < self.due {
            return false;
        }
        self.phase = if live { Phase::Saving(None) } else { Phase::Due };
        live
    }

    /// A backup's log is divided before entry `at`, if that is wanted.
    pub fn divides(&mut self, at: Seq) -> bool {
        let due = matches!(self.phase, Phase::Due);
        if due {
            self.phase = Phase::Saving(Some(at));
        }
        due
    }

    /// The log was cut here.
    pub fn cut(&mut self, at: Seq) {
        let void = match &self.phase {
            Phase::Saving(Some(end)) => *end > at,
            Phase::Kept(base, _) => base.seq > at,
            Phase::Idle | Phase::Due | Phase::Saving(None) | Phase::Writing | Phase::Ordered => false,
        };
        if void {
            self.phase = Phase::Idle;
        }
    }

    fn write(&mut self, shared: &Arc<Shared>, base: Base, state: Vec<u8>) {
        self.phase = Phase::Writing;
        let weak = Arc::downgrade(shared);
        let work = move || write(&weak, base, &state);
        match std::thread::Builder::new().name("pair-state".into()).spawn(work) {
            Ok(thread) => self.writing = Some(thread),
            Err(_) => self.phase = Phase::Idle,
        }
    }

    pub fn kept(&mut self, base: Base, snapshot: SealedSnapshot) {
        self.phase = Phase::Kept(base, snapshot);
    }

    /// Nobody needs what lies before.
    pub fn ordered(&mut self, at: Point) -> Option<(Base, SealedSnapshot)> {
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

/// The replica was saved where its own log ends, which is where a segment may begin, or could not be.
pub(super) fn keep_live(shared: &Arc<Shared>, position: Position, state: Result<Option<Vec<u8>>>) -> Result<()> {
    let (seq, chain) = shared.with_store(|store| {
        store.roll()?;
        Ok(store.end())
    })?;
    keep(shared, Base { seq, position, chain }, state);
    Ok(())
}

/// The replica was saved at this place, or could not be.
pub(super) fn keep(shared: &Arc<Shared>, base: Base, state: Result<Option<Vec<u8>>>) {
    let mut core = shared.lock();
    match state {
        Ok(Some(bytes)) => core.shortening.write(shared, base, bytes),
        Ok(None) => core.unkept("the replica cannot be saved now"),
        Err(e) => core.unkept(&e.to_string()),
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
