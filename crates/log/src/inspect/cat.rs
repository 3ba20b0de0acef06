//! Entries one by one, for a person or a pipe.

use super::{EXIT_FINE, EXIT_TORN_TAIL, Render, hex, kind_name};
use crate::{
    DirLock, Entry, Kind, LogReader, LogView, Mark, Position, Recovered, Result, Seq, SyncBody, Term, Unfinished,
};
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// Bytes of a body that a line for a person shows in hexadecimal; as many are in `hex_head`.
const BODY_BYTES_SHOWN: usize = 32;
/// A longer body of a level's own entry is not given whole: contents of files would make lines of a megabyte.
const BODY_BYTES_WHOLE_MAX: usize = 64 << 10;

/// Which entries are wanted; everything by default.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// From this entry on.
    pub from: Seq,
    /// Up to this entry, exclusive.
    pub until: Seq,
    /// At this position or later.
    pub from_position: Position,
    /// At this position or earlier.
    pub until_position: Position,
}

impl Default for Range {
    fn default() -> Self {
        Self { from: Seq(0), until: Seq(u64::MAX), from_position: Position(0), until_position: Position(u64::MAX) }
    }
}

/// One entry as shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CatLine {
    /// Its number.
    pub seq: Seq,
    /// Its position.
    pub position: Position,
    /// Term under which its frame was written.
    pub term: Term,
    /// Name of its kind.
    pub kind: String,
    /// Bytes of its body.
    pub bytes: usize,
    /// What it says.
    pub body: Body,
}

/// A body as shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// Ends a step.
    Mark {
        /// Outputs that had left.
        released: u64,
        /// Outputs said.
        said: u64,
        /// Rolling hash over them.
        hash: String,
        /// Of which channels not all of them had left, and from which output on.
        #[serde(skip_serializing_if = "Unfinished::is_empty")]
        unfinished: Unfinished,
    },
    /// A digest of the replica.
    Sync {
        /// In hexadecimal.
        digest: String,
    },
    /// A replica went live.
    Live {
        /// Its term.
        term: u64,
    },
    /// An entry of the level's own.
    #[serde(untagged)]
    Own(Own),
}

/// The body of an entry of the level's own: its bytes, and what they say if the level has words for them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Own {
    /// The level's own words, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// All bytes in hexadecimal, unless there are too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hex: Option<String>,
    /// The first bytes in hexadecimal, if there are too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hex_head: Option<String>,
    /// Only the first bytes are here.
    pub truncated: bool,
}

impl Own {
    fn new(body: &[u8], text: Option<String>) -> Self {
        let truncated = body.len() > BODY_BYTES_WHOLE_MAX;
        let head = truncated.then(|| hex(&body[..BODY_BYTES_SHOWN]));
        Self { text, hex: (!truncated).then(|| hex(body)), hex_head: head, truncated }
    }
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return f.write_str(text);
        }
        match self.hex.as_ref().or(self.hex_head.as_ref()) {
            Some(all) if all.len() <= 2 * BODY_BYTES_SHOWN && !self.truncated => f.write_str(all),
            Some(long) => write!(f, "{}...", &long[..2 * BODY_BYTES_SHOWN]),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::Mark { released, said, hash, unfinished } => {
                write!(f, "released {released} of {said} outputs")?;
                for (channel, from) in unfinished {
                    write!(f, " (of channel {channel} up to {from})")?;
                }
                write!(f, ", hash {hash}")
            }
            Body::Sync { digest } => write!(f, "digest {digest}"),
            Body::Live { term } => write!(f, "term {term}"),
            Body::Own(own) => own.fmt(f),
        }
    }
}

impl fmt::Display for CatLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8} @{:<10} {:<12} {}", self.seq, self.position, self.kind, self.body)?;
        match &self.body {
            Body::Own(own) if own.text.is_none() && self.bytes > BODY_BYTES_SHOWN => {
                write!(f, " ({} bytes)", self.bytes)
            }
            _ => Ok(()),
        }
    }
}

impl CatLine {
    fn new(seq: Seq, term: Term, entry: &Entry, render: &dyn Render) -> Self {
        let kind = kind_name(entry.kind, render);
        let body = host_body(entry).unwrap_or_else(|| Body::Own(Own::new(&entry.body, render.body(entry))));
        Self { seq, position: entry.at, term, kind, bytes: entry.body.len(), body }
    }
}

/// Bodies of the host loop's own entries.
fn host_body(entry: &Entry) -> Option<Body> {
    match entry.kind {
        Kind::MARK => {
            let Mark { released, said, hash, unfinished } = Mark::decode(&entry.body)?;
            Some(Body::Mark { released, said, hash: format!("{hash:032x}"), unfinished })
        }
        Kind::SYNC => {
            let digest = SyncBody::decode(&entry.body)?.digest;
            Some(Body::Sync { digest: format!("{digest:032x}") })
        }
        Kind::LIVE => Some(Body::Live { term: u64::from_le_bytes(entry.body.as_slice().try_into().ok()?) }),
        _ => None,
    }
}

/// Iterator over the entries of a log as lines. It ends at a torn tail, which [`Cat::recovered`] tells of.
pub struct Cat<'a> {
    reader: LogReader,
    recovered: Recovered,
    in_use: bool,
    range: Range,
    render: &'a dyn Render,
    lines: std::vec::IntoIter<CatLine>,
    done: bool,
}

/// Shows the entries of the log in `dir`.
pub fn cat<'a>(dir: &Path, range: Range, render: &'a dyn Render) -> Result<Cat<'a>> {
    let (view, recovered) = LogView::open(dir)?;
    let from = range.from.max(view.seq_before(range.from_position));
    let in_use = DirLock::is_held(dir);
    Ok(Cat { reader: view.reader(from), recovered, in_use, range, render, lines: Vec::new().into_iter(), done: false })
}

impl Cat<'_> {
    /// [`EXIT_FINE`] or [`EXIT_TORN_TAIL`], as it was when the log was opened; a corrupt log is an error.
    pub fn exit_status(&self) -> i32 {
        if self.recovered.truncated.is_some() && !self.in_use { EXIT_TORN_TAIL } else { EXIT_FINE }
    }

    /// What opening the log found.
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// The lines of the next frame.
    fn fill(&mut self) -> Option<Result<()>> {
        let frame = match self.reader.next()? {
            Ok(frame) => frame,
            Err(e) => return Some(Err(e)),
        };
        let Range { from, until, from_position, until_position } = self.range;
        self.done = frame.end_seq() >= until || frame.last_position() > until_position;
        let wanted = (frame.first_seq().0..)
            .map(Seq)
            .zip(frame.entries())
            .filter(|(seq, e)| (from..until).contains(seq) && (from_position..=until_position).contains(&e.at));
        let lines: Vec<_> = wanted.map(|(seq, e)| CatLine::new(seq, frame.term(), &e, self.render)).collect();
        self.lines = lines.into_iter();
        Some(Ok(()))
    }
}

impl Iterator for Cat<'_> {
    type Item = Result<CatLine>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(line) = self.lines.next() {
                return Some(Ok(line));
            }
            if self.done {
                return None;
            }
            if let Err(e) = self.fill()? {
                return Some(Err(e));
            }
        }
    }
}
