//! Looks at a log directory as it lies there and says how far it is whole. Never modifies.
//!
//! Segments that an index seals are believed to their index; the last ones are read frame by frame. If anything is wrong, everything
//! is read, so that the damage can be judged: a **torn tail** is what a crash leaves (nothing whole behind it, or, after the machine
//! itself went down, nothing that was known to be synced), and whoever owns the directory may cut it off. All else is corruption.

use crate::error::Result;
use crate::segment::{add_row, segment_seq};
use crate::snapshot::{self, SnapshotReader};
use crate::window::{Bad, Item, Window};
use crate::{
    Digest, Error, Frame, INDEX_TAIL_BYTES, Index, Meta, Position, Row, SEGMENT_HEADER_BYTES, Seq, Term, boot_id,
};
use std::path::{Path, PathBuf};

/// A segment and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub path: PathBuf,
    pub first_seq: Seq,
    pub first_position: Position,
    pub rows: Vec<Row>,
    /// Where its frames end.
    pub frames_end: u64,
    pub sealed: bool,
}

/// The last place at which the log may be cut and a replica go live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastMark {
    /// Number of the last mark.
    pub seq: Seq,
    /// Its position.
    pub position: Position,
    /// Number of the entry after the frame that ends its step: what `go_live` continues with.
    pub next: Seq,
    /// Chain hash there.
    pub chain: Digest,
}

/// Bytes at the end of a log that a crash left unfinished.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TornTail {
    /// The file in which the log stops being whole.
    pub file: PathBuf,
    /// Everything before this offset is whole.
    pub offset: u64,
    /// Bytes from there to the end of the log, over all files.
    pub bytes: u64,
    /// Whole frames among them: after a power cut a disk may keep later bytes and lose earlier ones.
    pub frames: u64,
    /// What is wrong at the offset.
    pub what: String,
}

impl std::fmt::Display for TornTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, offset, bytes, frames, what } = self;
        write!(f, "torn tail: {} from offset {offset}: {what}; {bytes} bytes", file.display())?;
        if *frames > 0 { write!(f, " with {frames} whole but unsynced frames") } else { Ok(()) }
    }
}

/// The first place where a log is not whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Damage {
    /// Index in the list of segment files.
    pub file_index: usize,
    pub file: PathBuf,
    /// The thing that is damaged starts here.
    pub start: u64,
    pub bad: Bad,
    /// The entry that should be here.
    pub expected: Seq,
    /// A whole thing that belongs elsewhere: never the work of a crash.
    pub foreign: bool,
    pub bytes_after: u64,
    pub frames_after: u64,
    pub synced_after: Seq,
}

/// The state of a log directory.
#[derive(Debug)]
pub(crate) struct Scan {
    pub meta: Meta,
    pub segments: Vec<Segment>,
    /// Every segment file, whole or not, in order.
    pub files: Vec<(Seq, PathBuf)>,
    /// Those from before the beginning, which whoever has shortened the log did not come to remove.
    pub stale: Vec<(Seq, PathBuf)>,
    pub end: End,
    pub last_mark: Option<LastMark>,
    pub damage: Option<Damage>,
    /// The machine went down since a live process last vouched for the directory.
    pub rebooted: bool,
}

/// Where a log ends, and what the next frame must continue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct End {
    pub next: Seq,
    pub chain: Digest,
    pub position: Position,
    pub term: Term,
    pub synced: Seq,
}

impl End {
    /// Why `frame` does not continue a log that ends here.
    pub(crate) fn refuses(&self, frame: &Frame, meta: &Meta) -> Option<String> {
        if frame.level() != meta.level {
            return Some(format!("frame of level {:?} in a log of level {:?}", frame.level(), meta.level));
        }
        if frame.first_seq() != self.next {
            return Some(format!("frame starts at entry {}, but {} is next", frame.first_seq(), self.next));
        }
        if frame.chain_before() != self.chain {
            return Some(format!("frame at entry {} does not continue the chain of frames", frame.first_seq()));
        }
        if frame.first_position() < self.position {
            return Some(format!("position falls from {} to {}", self.position, frame.first_position()));
        }
        if frame.term() < self.term {
            return Some(format!("term falls from {} to {}", self.term, frame.term()));
        }
        None
    }

    pub(crate) fn advance(&mut self, frame: &Frame) {
        self.next = frame.end_seq();
        self.chain = frame.chain_after();
        self.position = frame.last_position();
        self.term = frame.term();
        self.synced = self.synced.max(frame.synced());
    }
}

/// The segment files of a directory in order.
pub(crate) fn list_segments(dir: &Path) -> Result<Vec<(Seq, PathBuf)>> {
    let mut found = Vec::new();
    for item in std::fs::read_dir(dir).map_err(|e| Error::io("listing", dir, e))? {
        let item = item.map_err(|e| Error::io("listing", dir, e))?;
        let name = item.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(seq) = segment_seq(name) {
            found.push((seq, item.path()));
        }
    }
    found.sort();
    Ok(found)
}

type See<'a> = dyn FnMut(&Segment, u64, &Frame) + 'a;

impl Scan {
    /// Looks at the log in `dir`, reading sealed segments only as far as needed.
    pub(crate) fn quick(dir: &Path) -> Result<Self> {
        loop {
            let base = Meta::require(dir)?.base;
            let scan = Self::quickly(dir);
            // Whoever writes it may have let it begin later meanwhile.
            if matches!(&scan, Ok(scan) if scan.damage.is_none()) || Meta::require(dir)?.base == base {
                return scan;
            }
        }
    }

    fn quickly(dir: &Path) -> Result<Self> {
        let files = list_segments(dir)?.len();
        let mut full_from = files.saturating_sub(1);
        loop {
            let scan = Self::run(dir, full_from, &mut |_, _, _| {})?;
            if full_from == 0 || (scan.damage.is_none() && scan.last_mark.is_some()) {
                return Ok(scan);
            }
            // Damage is judged by what lies around it; a mark is looked for further and further back.
            full_from = if scan.damage.is_some() { 0 } else { full_from / 2 };
        }
    }

    /// Reads every frame and shows each, with its segment and offset, to `see`.
    pub(crate) fn full(dir: &Path, see: &mut See<'_>) -> Result<Self> {
        Self::run(dir, 0, see)
    }

    fn run(dir: &Path, full_from: usize, see: &mut See<'_>) -> Result<Self> {
        let meta = Meta::require(dir)?;
        if snapshot::is_needed(meta.base) {
            SnapshotReader::open(dir, &meta)?;
        }
        let base = meta.base;
        let (stale, files) = list_segments(dir)?.into_iter().partition(|&(first, _)| first < base.seq);
        let end = End { next: base.seq, chain: base.chain, position: base.position, term: Term(0), synced: Seq(0) };
        let rebooted = meta.boot != boot_id()?;
        let mut scan = Self { meta, segments: Vec::new(), files, stale, end, last_mark: None, damage: None, rebooted };
        for i in 0..scan.files.len() {
            if let Some(damage) = scan.segment(i, i >= full_from, see)? {
                scan.damage = scan.look_behind(damage)?;
                break;
            }
        }
        Ok(scan)
    }

    /// Takes in the next file; returns the damage that stops it.
    fn segment(&mut self, i: usize, full: bool, see: &mut See<'_>) -> Result<Option<Damage>> {
        let (seq, path) = self.files[i].clone();
        let mut window = Window::open(&path)?;
        let damage = |start: u64, bad: Bad, foreign: bool, expected: Seq| Damage {
            file_index: i,
            file: path.clone(),
            start,
            bad,
            expected,
            foreign,
            bytes_after: 0,
            frames_after: 0,
            synced_after: Seq(0),
        };
        let header = match window.header()? {
            Ok(header) => header,
            Err(bad) => return Ok(Some(damage(0, bad, false, self.end.next))),
        };
        let wrong = [
            (header.uuid != self.meta.uuid, 8, "segment belongs to another log"),
            (header.level != self.meta.level, 6, "segment belongs to a log of another level"),
            (header.first_seq != seq, 24, "segment is not the one that its name says"),
            (header.first_seq != self.end.next, 24, "a segment before this one is missing"),
            (header.chain_before != self.end.chain, 40, "segment does not continue the chain of frames"),
            (header.first_position < self.end.position, 32, "position falls"),
        ];
        if let Some(&(_, offset, what)) = wrong.iter().find(|w| w.0) {
            let bad = Bad { offset, what: what.to_owned(), next: None };
            return Ok(Some(damage(0, bad, true, self.end.next)));
        }
        self.segments.push(Segment {
            path: path.clone(),
            first_seq: header.first_seq,
            first_position: header.first_position,
            rows: Vec::new(),
            frames_end: SEGMENT_HEADER_BYTES as u64,
            sealed: false,
        });
        let last = i + 1 == self.files.len();
        let stop = if full { self.frames(&mut window, see)? } else { self.believe_index(&mut window)? };
        if let Some((start, bad, foreign)) = stop {
            return Ok(Some(damage(start, bad, foreign, self.end.next)));
        }
        let segment = self.segments.last().expect("just pushed");
        if !segment.sealed && !last {
            let bad = Bad { offset: segment.frames_end, what: "segment ends without its index".to_owned(), next: None };
            return Ok(Some(damage(segment.frames_end, bad, false, self.end.next)));
        }
        Ok(None)
    }

    /// Reads frame by frame; returns where and why it had to stop.
    fn frames(&mut self, window: &mut Window, see: &mut See<'_>) -> Result<Option<(u64, Bad, bool)>> {
        let segment = self.segments.last_mut().expect("the caller pushed it");
        loop {
            let at = segment.frames_end;
            let foreign = |offset: u64, what: String| Ok(Some((at, Bad { offset, what, next: None }, true)));
            match window.item(at)? {
                Item::End => return Ok(None),
                Item::Bad(bad) => return Ok(Some((at, bad, false))),
                Item::Frame(frame) => {
                    if let Some(what) = self.end.refuses(&frame, &self.meta) {
                        return foreign(at, what);
                    }
                    if at == SEGMENT_HEADER_BYTES as u64 && frame.first_position() != segment.first_position {
                        return foreign(32, "first position is not that of the first frame".to_owned());
                    }
                    see(segment, at, &frame);
                    let row = Row { seq: frame.first_seq(), position: frame.first_position(), offset: at };
                    add_row(&mut segment.rows, row);
                    segment.frames_end += frame.len() as u64;
                    self.end.advance(&frame);
                    note_mark(&mut self.last_mark, &frame);
                }
                Item::Index(index, len) => {
                    let ours = Index {
                        end_seq: self.end.next,
                        last_position: self.end.position,
                        chain_after: self.end.chain,
                        offset: at,
                        rows: segment.rows.clone(),
                    };
                    if index != ours {
                        return foreign(at, "index does not describe the frames before it".to_owned());
                    }
                    segment.sealed = true;
                    let after = at + len as u64;
                    if window.file_len()? != after {
                        return foreign(after, "bytes follow the index".to_owned());
                    }
                    return Ok(None);
                }
            }
        }
    }

    /// Takes a sealed segment's word for its frames.
    fn believe_index(&mut self, window: &mut Window) -> Result<Option<(u64, Bad, bool)>> {
        let segment = self.segments.last_mut().expect("the caller pushed it");
        let len = window.file_len()?;
        let tail_at = len.saturating_sub(INDEX_TAIL_BYTES as u64);
        let stop = |at: u64, what: &str| Ok(Some((at, Bad { offset: at, what: what.to_owned(), next: None }, false)));
        let Ok(at) = Index::decode_tail(window.bytes(tail_at, INDEX_TAIL_BYTES)?) else {
            return stop(tail_at, "segment does not end with an index");
        };
        if at >= len {
            return stop(tail_at, "segment does not end with an index");
        }
        match window.index(at)? {
            Item::Index(index, total) if at + total as u64 == len => {
                segment.rows = index.rows;
                segment.frames_end = at;
                segment.sealed = true;
                self.end.next = index.end_seq;
                self.end.chain = index.chain_after;
                self.end.position = index.last_position;
                Ok(None)
            }
            Item::Bad(bad) => Ok(Some((at, bad, false))),
            _ => stop(at, "bytes follow the index"),
        }
    }

    /// Counts what lies whole behind a damage, and what those frames say was synced.
    fn look_behind(&self, mut damage: Damage) -> Result<Option<Damage>> {
        if !damage.foreign && self.was_being_written(&damage)? {
            return Ok(None);
        }
        let mut from = damage.bad.next.unwrap_or(damage.start + 1);
        let mut bytes = 0;
        for (n, (_, path)) in self.files[damage.file_index..].iter().enumerate() {
            let mut window = Window::open(path)?;
            let len = window.file_len()?;
            bytes += if n == 0 { len.saturating_sub(damage.start) } else { len };
            while let Some(at) = window.find_frame(from)? {
                from = at + 1;
                if let Item::Frame(frame) = window.item(at)?
                    && frame.first_seq() >= damage.expected
                    && frame.level() == self.meta.level
                {
                    damage.frames_after += 1;
                    damage.synced_after = damage.synced_after.max(frame.synced());
                    from = at + frame.len() as u64;
                }
            }
            from = 0;
        }
        damage.bytes_after = bytes;
        Ok(Some(damage))
    }

    /// A live writer has completed the thing since it was read: the log simply ended there at that moment.
    fn was_being_written(&self, damage: &Damage) -> Result<bool> {
        let mut window = Window::open(&damage.file)?;
        Ok(match damage.start {
            0 => window.header()?.is_ok(),
            at => {
                matches!(window.item(at)?, Item::Frame(_) | Item::Index(..))
                    && damage.file_index + 1 == self.files.len()
            }
        })
    }
}

/// Remembers the place if `frame` ends a step.
pub(crate) fn note_mark(last: &mut Option<LastMark>, frame: &Frame) {
    if !frame.ends_step() {
        return;
    }
    // A frame may hold nothing but a digest; then the mark is the one before it, and the log may be cut behind the digest.
    let mark = frame.last_mark().or(last.map(|m| (m.seq, m.position)));
    if let Some((seq, position)) = mark {
        *last = Some(LastMark { seq, position, next: frame.end_seq(), chain: frame.chain_after() });
    }
}

impl Damage {
    /// The tail that a crash may have left, or the corruption that it cannot.
    pub(crate) fn judge(&self, rebooted: bool) -> Result<TornTail> {
        let crash = !self.foreign && self.synced_after <= self.expected && (self.frames_after == 0 || rebooted);
        if !crash {
            return Err(Error::Corrupt {
                file: self.file.clone(),
                offset: self.bad.offset,
                what: self.describe(),
                advice: ADVICE,
            });
        }
        Ok(TornTail {
            file: self.file.clone(),
            offset: self.start,
            bytes: self.bytes_after,
            frames: self.frames_after,
            what: self.bad.what.clone(),
        })
    }

    pub(crate) fn describe(&self) -> String {
        let behind = match self.frames_after {
            0 => String::new(),
            n => format!(" ({n} whole frames follow, so this is not the end of a crashed log)"),
        };
        format!("{}, where entry {} should be{behind}", self.bad.what, self.expected)
    }
}

const ADVICE: &str = "nothing was changed; keep the directory. If the other side of the pair is live, start a fresh backup for it \
                      in an empty directory; if this is the only copy, restore it from a backup, \
                      or `gapless replay DIR` what is whole";
