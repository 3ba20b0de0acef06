//! A log that can be read: where its frames are, how far it goes, and iterators over it.
//!
//! The same code serves the writer's own process, which follows the log while it grows, and a directory opened for reading only.
//! Reading never modifies anything.

use crate::inspect::SegmentStat;
use crate::scan::{End, Scan, Segment};
use crate::window::{Item, Window};
use crate::{Digest, Error, Frame, LastMark, Meta, Position, Result, SEGMENT_HEADER_BYTES, Seq, TornTail};
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
    pub(crate) fn new(segments: Vec<Segment>, end: End) -> Self {
        let state = State {
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
    pub(crate) meta: Arc<Meta>,
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
        let shared = Arc::new(Shared::new(scan.segments, scan.end));
        Self { shared, meta: Arc::new(scan.meta), dir: dir.into() }
    }

    /// What the directory said of itself when it was opened.
    pub fn meta(&self) -> &Meta {
        &self.meta
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
        let generation = self.shared.lock().generation;
        LogReader { view: self.clone(), next: from.max(self.meta.base.seq), generation, place: None, failed: false }
    }

    /// Chain hash of all frames before entry `seq`; `None` if no frame of this log ends there.
    pub fn chain_at(&self, seq: Seq) -> Result<Option<Digest>> {
        let (end, base) = (self.end(), self.meta.base);
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
            return self.meta.base.seq;
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
    segment: usize,
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
        if self.next >= state.end.next {
            return Ok(None);
        }
        let found = match &self.place {
            Some(p) if p.at < state.segments[p.segment].frames_end => None,
            Some(p) => Some((p.segment + 1, SEGMENT_HEADER_BYTES as u64)),
            None => Some(locate(&state.segments, self.next)),
        };
        if let Some((segment, at)) = found {
            let window = Window::open(&state.segments[segment].path)?;
            self.place = Some(Place { segment, window, at });
        }
        let place = self.place.as_mut().expect("set above");
        place.window.set_limit(state.segments[place.segment].frames_end);
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

fn corrupt(path: &Path, offset: u64, what: String) -> Error {
    let advice = "keep the directory and run `gapless log verify DIR`, which lists every damaged place";
    Error::Corrupt { file: path.to_owned(), offset, what, advice }
}

/// The segment that holds `seq`, and the offset of the nearest frame before it that has a row.
fn locate(segments: &[Segment], seq: Seq) -> (usize, u64) {
    let s = segments.partition_point(|s| s.first_seq <= seq).saturating_sub(1);
    let rows = &segments[s].rows;
    let r = rows.partition_point(|r| r.seq <= seq).checked_sub(1);
    (s, r.map_or(SEGMENT_HEADER_BYTES as u64, |r| rows[r].offset))
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
