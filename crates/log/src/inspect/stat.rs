//! A log in numbers.

use super::{EXIT_FINE, EXIT_TORN_TAIL, Render, hex, kind_name};
use crate::snapshot::{self, SnapshotReader};
use crate::{CommitLevel, DirLock, Kind, LogView, Position, Result, Seq, Term};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// What a log holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Stat {
    /// The directory.
    pub dir: String,
    /// Its uuid in hexadecimal.
    pub uuid: String,
    /// Name of its level.
    pub level: String,
    /// When its outputs may leave.
    pub commit: CommitLevel,
    /// Code that executes it, if it says.
    pub code: Option<String>,
    /// The life it belongs to, in hexadecimal.
    pub life: Option<String>,
    /// Generation of its channels.
    pub generation: u64,
    /// A put to the arbiter is unresolved.
    pub unresolved_put: bool,
    /// A process is writing it now.
    pub in_use: bool,
    /// The machine went down since a live process last vouched for it.
    pub rebooted: bool,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Number of frames.
    pub frames: u64,
    /// Number of entries.
    pub entries: u64,
    /// Number of the first entry.
    pub first: Seq,
    /// Bytes of the snapshot that it begins with, if it does not begin at the beginning, and the position of its replica.
    pub snapshot: Option<(u64, Position)>,
    /// Number of the next entry.
    pub next: Seq,
    /// Position of the last entry.
    pub position: Position,
    /// Where a replica would go live: number and position of the last mark.
    pub last_mark: Option<(Seq, Position)>,
    /// Entries behind the step that ends last; they are dropped when a replica goes live.
    pub entries_after_last_step: u64,
    /// Terms under which it was written, with the number of frames each.
    pub terms: BTreeMap<Term, u64>,
    /// Entries by kind.
    pub kinds: Vec<KindStat>,
    /// Its files.
    pub segments: Vec<SegmentStat>,
    /// What a crash left unfinished, if anything.
    pub torn_tail: Option<String>,
}

/// Entries of one kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct KindStat {
    /// Number of the kind.
    pub kind: u16,
    /// Its name.
    pub name: String,
    /// How many entries.
    pub entries: u64,
    /// Bytes of their bodies.
    pub body_bytes: u64,
}

/// One file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SegmentStat {
    /// Its name.
    pub name: String,
    /// Number of its first entry.
    pub first: Seq,
    /// Position of its first entry.
    pub position: Position,
    /// Bytes up to the end of its last frame.
    pub bytes: u64,
    /// It is full and ends with its index.
    pub sealed: bool,
}

/// Reads the whole log in `dir` and counts.
pub fn stat(dir: &Path, render: &dyn Render) -> Result<Stat> {
    let (view, found) = LogView::open(dir)?;
    let meta = view.meta();
    let (mut frames, mut terms) = (0, BTreeMap::<Term, u64>::new());
    let mut kinds = BTreeMap::<Kind, (u64, u64)>::new();
    for frame in view.reader(meta.base.seq) {
        let frame = frame?;
        if frame.first_seq() >= found.next {
            break;
        }
        frames += 1;
        *terms.entry(frame.term()).or_default() += 1;
        for (_, kind, body) in frame.cursor() {
            let (entries, bytes) = kinds.entry(kind).or_default();
            *entries += 1;
            *bytes += body.len() as u64;
        }
    }
    let segments = view.segments();
    let snapshot = match snapshot::is_needed(meta.base) {
        true => Some((SnapshotReader::open(dir, &meta)?.check()?, meta.base.position)),
        false => None,
    };
    Ok(Stat {
        dir: dir.display().to_string(),
        uuid: format!("{:032x}", meta.uuid),
        level: format!("{:?}", meta.level).to_lowercase(),
        commit: meta.commit,
        code: meta.identity.map(|i| i.code),
        life: meta.life.as_ref().map(|l| hex(l)),
        generation: meta.generation,
        unresolved_put: meta.intent.is_some(),
        in_use: DirLock::is_held(dir),
        rebooted: found.rebooted,
        bytes: segments.iter().map(|s| s.bytes).sum(),
        frames,
        entries: found.next.0 - meta.base.seq.0,
        first: meta.base.seq,
        snapshot,
        next: found.next,
        position: view.last_position(),
        last_mark: found.last_mark.map(|m| (m.seq, m.position)),
        entries_after_last_step: found.next.0 - found.last_mark.map_or(meta.base.seq, |m| m.next).0,
        terms,
        kinds: kinds
            .into_iter()
            .map(|(kind, (entries, body_bytes))| {
                let name = kind_name(kind, render);
                KindStat { kind: kind.0, name, entries, body_bytes }
            })
            .collect(),
        segments,
        torn_tail: found.truncated.map(|t| t.to_string()),
    })
}

impl Stat {
    /// [`EXIT_FINE`] or [`EXIT_TORN_TAIL`]; a corrupt log is an error of [`stat`].
    pub fn exit_status(&self) -> i32 {
        if self.torn_tail.is_some() && !self.in_use { EXIT_TORN_TAIL } else { EXIT_FINE }
    }
}

impl fmt::Display for Stat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "log {} of level {} in {}", self.uuid, self.level, self.dir)?;
        let per_entry = self.bytes.checked_div(self.entries).unwrap_or(0);
        let Self { entries, frames, bytes, .. } = self;
        writeln!(f, "{entries} entries in {frames} frames, {bytes} bytes ({per_entry} an entry)")?;
        if let Some((bytes, at)) = self.snapshot {
            writeln!(f, "begins with a snapshot of {bytes} bytes before entry {} at position {at}", self.first)?;
        }
        match self.last_mark {
            Some((seq, at)) => writeln!(f, "last mark: entry {seq} at position {at}")?,
            None => writeln!(f, "no mark: no step has ended")?,
        }
        if self.entries_after_last_step > 0 {
            writeln!(f, "{} entries of an unfinished step follow it", self.entries_after_last_step)?;
        }
        let width = self.kinds.iter().map(|kind| kind.name.len()).max().unwrap_or(0);
        for KindStat { name, entries, body_bytes, .. } in &self.kinds {
            writeln!(f, "  {name:<width$} {entries:>10} entries {body_bytes:>12} bytes")?;
        }
        for SegmentStat { name, first, position, bytes, sealed } in &self.segments {
            let state = if *sealed { "sealed" } else { "open" };
            writeln!(f, "  {name}  from entry {first} @{position}, {bytes} bytes, {state}")?;
        }
        if self.unresolved_put {
            writeln!(f, "a put to the arbiter is unresolved: this directory is never emptied")?;
        }
        if self.rebooted {
            writeln!(f, "the machine was restarted since this log was last in use")?;
        }
        if self.in_use {
            writeln!(f, "in use by a running process")?;
        }
        self.torn_tail.iter().try_for_each(|t| writeln!(f, "{t}"))
    }
}
