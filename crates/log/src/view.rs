//! A log that can be read: where its frames are, how far it goes, and iterators over it.
//!
//! The same code serves the writer's own process, which follows the log while it grows, and a directory opened for reading only.
//! Reading never modifies anything.

use crate::inspect::SegmentStat;
use crate::scan::{End, Scan, Segment};
use crate::window::{Item, Window};
use crate::{Base, Digest, Error, Frame, LastMark, Meta, Position, Result, SEGMENT_HEADER_BYTES, Seq, TornTail};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What writer, syncer and readers of one log share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Held while files are synced.
    pub syncing: Mutex<()>,
}

#[derive(Debug)]
pub(crate) struct State {
    /// Where it begins, with the first segment.
    pub base: Base,
    pub segments: Vec<Segment>,
    pub end: End,
    /// Grows when the log is cut: what readers and syncers know is void.
    pub generation: u64,
    /// Files written since they were last synced.
    pub unsynced: Vec<(PathBuf, Option<Arc<File>>)>,
    /// A name was made or removed since the directory was last synced.
    pub dir_unsynced: bool,
    pub synced: Seq,
    /// The first error of the disk: nothing is appended or synced after it.
    pub failed: Option<String>,
}

impl Shared {
    pub(crate) fn new(base: Base, segments: Vec<Segment>, end: End) -> Self {
        let state = State {
            base,
            segments,
            end,
            generation: 0,
            unsynced: Vec::new(),
            dir_unsynced: false,
            synced: Seq(0),
            failed: None,
        };
        Self { state: Mutex::new(state), syncing: Mutex::new(()) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Readable side of a log; cheap to clone, usable from any thread.
#[derive(Clone, Debug)]
pub struct LogView {
    pub(crate) shared: Arc<Shared>,
    /// What the directory said of itself when it was opened.
    pub(crate) opened: Arc<Meta>,
    pub(crate) dir: Arc<Path>,
}

/// What opening a log found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// Number of the next entry.
    pub next: Seq,
    /// Chain hash of all frames.
    pub chain: Digest,
    /// Where a replica may go live; `None` if no step has ended.
    pub last_mark: Option<LastMark>,
    /// What a crash had left unfinished. Opening for writing has cut it off; opening for reading leaves it out.
    pub truncated: Option<TornTail>,
    /// The machine went down since a live process last vouched for this directory ([`Meta::boot`]): entries that were written but not
    /// synced may be gone.
    pub rebooted: bool,
}

impl LogView {
    /// Opens `dir` for reading only. Works while another process writes it: the log is then taken as it stands at this moment.
    pub fn open(dir: &Path) -> Result<(Self, Recovered)> {
        let scan = Scan::quick(dir)?;
        let recovered = recovered(&scan)?;
        Ok((Self::new(dir, scan), recovered))
    }

    pub(crate) fn new(dir: &Path, scan: Scan) -> Self {
        let shared = Arc::new(Shared::new(scan.meta.base, scan.segments, scan.end));
        Self { shared, opened: Arc::new(scan.meta), dir: dir.into() }
    }

    /// What the directory said of itself when it was opened, and where the log begins now.
    pub fn meta(&self) -> Meta {
        Meta { base: self.base(), ..Meta::clone(&self.opened) }
    }

    /// Where the log begins now.
    pub fn base(&self) -> Base {
        self.shared.lock().base
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Number of the next entry, and the chain hash of all frames before it.
    pub fn end(&self) -> (Seq, Digest) {
        let end = self.shared.lock().end;
        (end.next, end.chain)
    }

    /// Position of the last entry.
    pub fn last_position(&self) -> Position {
        self.shared.lock().end.position
    }

    /// Frames in order, from the one that holds entry `from` (or the first, if the log begins behind it). At the end of the log the iterator says `None`; if the log
    /// grows, it goes on when asked again.
    pub fn reader(&self, from: Seq) -> LogReader {
        let state = self.shared.lock();
        let (next, generation) = (from.max(state.base.seq), state.generation);
        drop(state);
        LogReader { view: self.clone(), next, generation, place: None, failed: false }
    }

    /// Chain hash of all frames before entry `seq`; `None` if no frame of this log ends there.
    pub fn chain_at(&self, seq: Seq) -> Result<Option<Digest>> {
        let (end, base) = (self.end(), self.base());
        if seq == end.0 {
            return Ok(Some(end.1));
        }
        if seq == base.seq {
            return Ok(Some(base.chain));
        }
        if seq < base.seq || seq > end.0 {
            return Ok(None);
        }
        let frame = self.reader(seq).next().transpose()?;
        Ok(frame.filter(|f| f.first_seq() == seq).map(|f| f.chain_before()))
    }

    /// True if this log holds everything that a log ending at (`seq`, `chain`) holds: both may go on from there.
    pub fn common(&self, seq: Seq, chain: Digest) -> Result<bool> {
        Ok(self.chain_at(seq)? == Some(chain))
    }

    /// Bytes of all its frames.
    pub fn bytes(&self) -> u64 {
        self.shared.lock().segments.iter().map(|s| s.frames_end - SEGMENT_HEADER_BYTES as u64).sum()
    }

    /// Its files.
    pub fn segments(&self) -> Vec<SegmentStat> {
        let stat = |s: &Segment| SegmentStat {
            name: s.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
            first: s.first_seq,
            position: s.first_position,
            bytes: s.frames_end,
            sealed: s.sealed,
        };
        self.shared.lock().segments.iter().map(stat).collect()
    }

    /// First entry of a frame such that every entry at or after `position` comes at or behind it.
    pub fn seq_before(&self, position: Position) -> Seq {
        let state = self.shared.lock();
        let s = state.segments.partition_point(|s| s.first_position < position);
        let Some(segment) = s.checked_sub(1).map(|s| &state.segments[s]) else {
            return state.base.seq;
        };
        let r = segment.rows.partition_point(|r| r.position < position);
        r.checked_sub(1).map_or(segment.first_seq, |r| segment.rows[r].seq)
    }
}

/// The result of a scan for whoever opens the log; refuses corruption.
pub(crate) fn recovered(scan: &Scan) -> Result<Recovered> {
    let truncated = scan.damage.as_ref().map(|d| d.judge(scan.rebooted)).transpose()?;
    Ok(Recovered {
        next: scan.end.next,
        chain: scan.end.chain,
        last_mark: scan.last_mark,
        truncated,
        rebooted: scan.rebooted,
    })
}

/// Reads a log frame by frame and can follow it while it grows.
#[derive(Debug)]
pub struct LogReader {
    view: LogView,
    next: Seq,
    generation: u64,
    place: Option<Place>,
    failed: bool,
}

#[derive(Debug)]
struct Place {
    /// First entry of the segment.
    segment: Seq,
    window: Window,
    at: u64,
}

impl LogReader {
    /// Number of the first entry of the next frame (or of the entry asked for, until the first frame was read).
    pub fn next_seq(&self) -> Seq {
        self.next
    }

    /// Stands at the frame that holds entry `self.next`, or just before it.
    fn place(&mut self) -> Result<Option<&mut Place>> {
        let state = self.view.shared.lock();
        if state.generation != self.generation {
            return Err(Error::Refused("the log was cut while it was being read; open a new reader".to_owned()));
        }
        if self.next < state.base.seq {
            let why = format!("the log begins at entry {} now, and {} is gone", state.base.seq, self.next);
            return Err(Error::Refused(why));
        }
        if self.next >= state.end.next {
            return Ok(None);
        }
        let index = segment_of(&state.segments, self.next);
        let segment = &state.segments[index];
        if self.place.as_ref().is_none_or(|place| place.segment != segment.first_seq) {
            let (window, at) = (Window::open(&segment.path).map_err(shortened_meanwhile)?, nearest(segment, self.next));
            self.place = Some(Place { segment: segment.first_seq, window, at });
        }
        let place = self.place.as_mut().expect("set above");
        place.window.set_limit(segment.frames_end);
        Ok(Some(place))
    }

    fn step(&mut self) -> Result<Option<Frame>> {
        loop {
            let wanted = self.next;
            let Some(place) = self.place()? else {
                return Ok(None);
            };
            match place.window.item(place.at)? {
                Item::Frame(frame) => {
                    place.at += frame.len() as u64;
                    if frame.end_seq() <= wanted {
                        continue;
                    }
                    self.next = frame.end_seq();
                    return Ok(Some(frame));
                }
                Item::Bad(bad) => return Err(corrupt(place.window.path(), bad.offset, bad.what)),
                Item::End | Item::Index(..) => {
                    let what = format!("ends before entry {wanted}");
                    return Err(corrupt(place.window.path(), place.at, what));
                }
            }
        }
    }
}

/// Another process may have shortened the log since this one looked at it: then a file of it is missing.
pub(crate) fn shortened_meanwhile(error: Error) -> Error {
    match error {
        Error::Io { path, source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            let path = path.display();
            Error::Refused(format!("{path} is gone: the log was shortened while it was being read; try again"))
        }
        e => e,
    }
}

fn corrupt(path: &Path, offset: u64, what: String) -> Error {
    let advice = "keep the directory and run `gapless log verify DIR`, which lists every damaged place";
    Error::Corrupt { file: path.to_owned(), offset, what, advice }
}

/// The segment that holds entry `seq`.
fn segment_of(segments: &[Segment], seq: Seq) -> usize {
    segments.partition_point(|s| s.first_seq <= seq).saturating_sub(1)
}

/// Offset of the nearest frame at or before entry `seq` that has a row.
fn nearest(segment: &Segment, seq: Seq) -> u64 {
    let r = segment.rows.partition_point(|r| r.seq <= seq).checked_sub(1);
    r.map_or(SEGMENT_HEADER_BYTES as u64, |r| segment.rows[r].offset)
}

impl Iterator for LogReader {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Result<Frame>> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}
