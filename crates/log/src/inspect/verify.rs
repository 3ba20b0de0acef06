//! Checks every byte of a log directory.

use super::{EXIT_CORRUPT, EXIT_FINE, EXIT_TORN_TAIL};
use crate::scan::{Damage, Scan, Segment};
use crate::segment::segment_seq;
use crate::snapshot::{self, SnapshotReader};
use crate::window::{Item, Window};
use crate::{DirLock, Error, Frame, Kind, LOCK_NAME, Mark, Meta, Result, SEGMENT_HEADER_BYTES, Seq, SyncBody};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// Something that is not as it was written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// In which file.
    pub file: PathBuf,
    /// At which byte.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}: {}", self.file.display(), self.offset, self.what)
    }
}

/// What verification found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    /// The directory.
    pub dir: String,
    /// Bytes read.
    pub bytes: u64,
    /// Whole frames before the first damage.
    pub frames: u64,
    /// Entries in them.
    pub entries: u64,
    /// Number of the last mark before the first damage.
    pub last_mark: Option<Seq>,
    /// Corruption, in the order of the log.
    pub corrupt: Vec<Finding>,
    /// What a crash left unfinished at the end.
    pub torn_tail: Option<Finding>,
    /// A process is writing the log: a torn tail is then only its next frame.
    pub in_use: bool,
}

impl Report {
    /// [`EXIT_FINE`], [`EXIT_CORRUPT`] or [`EXIT_TORN_TAIL`].
    pub fn exit_status(&self) -> i32 {
        match (self.corrupt.is_empty(), &self.torn_tail) {
            (false, _) => EXIT_CORRUPT,
            (true, Some(_)) if !self.in_use => EXIT_TORN_TAIL,
            (true, _) => EXIT_FINE,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.corrupt {
            writeln!(f, "CORRUPT {finding}")?;
        }
        if let Some(torn) = &self.torn_tail {
            writeln!(f, "{} {torn}", if self.in_use { "BEING WRITTEN" } else { "TORN TAIL" })?;
        }
        let Self { entries, frames, bytes, .. } = self;
        let mark = self.last_mark.map_or("no mark".to_owned(), |m| format!("last mark at entry {m}"));
        write!(f, "{entries} entries in {frames} frames are whole, {mark}; {bytes} bytes read")?;
        match self.exit_status() {
            EXIT_FINE => writeln!(f, "; nothing is wrong"),
            EXIT_TORN_TAIL => writeln!(f, "; the torn tail is cut off when the log is next opened for writing"),
            _ => writeln!(f, "; keep the directory and let the other side of the pair go on, or restore it"),
        }
    }
}

/// Reads every byte of the log in `dir`. An error means that it could not be read; damage is in the report.
pub fn verify(dir: &Path) -> Result<Report> {
    loop {
        let base = |meta: Result<Option<Meta>>| meta.ok().flatten().map(|meta| meta.base);
        let before = base(Meta::load(dir));
        let report = verify_once(dir);
        // Whoever writes it may have let it begin later meanwhile.
        if matches!(&report, Ok(report) if report.corrupt.is_empty()) || base(Meta::load(dir)) == before {
            return report;
        }
    }
}

fn verify_once(dir: &Path) -> Result<Report> {
    let mut report = Report {
        dir: dir.display().to_string(),
        bytes: 0,
        frames: 0,
        entries: 0,
        last_mark: None,
        corrupt: Vec::new(),
        torn_tail: None,
        in_use: DirLock::is_held(dir),
    };
    check_names(dir, &mut report)?;
    check_snapshot(dir, &mut report)?;
    let mut entries = EntryCheck::default();
    let scan = match Scan::full(dir, &mut |segment, at, frame| entries.check(segment, at, frame)) {
        Ok(scan) => scan,
        // A damaged snapshot is in the report already.
        Err(_) if !report.corrupt.is_empty() => return Ok(report),
        Err(Error::Corrupt { file, offset, what, .. }) => {
            report.corrupt.push(Finding { file, offset, what });
            return Ok(report);
        }
        Err(e) => return Err(e),
    };
    report.frames = entries.frames;
    report.entries = scan.end.next.0 - scan.meta.base.seq.0;
    report.last_mark = scan.last_mark.map(|m| m.seq);
    report.corrupt.append(&mut entries.findings);
    if let Some(damage) = &scan.damage {
        judge(&scan, damage, &mut report)?;
    }
    Ok(report)
}

/// Every file must be one that a log has.
fn check_names(dir: &Path, report: &mut Report) -> Result<()> {
    let list = std::fs::read_dir(dir).map_err(|e| Error::io("listing", dir, e))?;
    let mut paths: Vec<_> = list.collect::<std::io::Result<Vec<_>>>().map_err(|e| Error::io("listing", dir, e))?;
    paths.sort_by_key(std::fs::DirEntry::file_name);
    for item in paths {
        let (path, name) = (item.path(), item.file_name());
        let len = item.metadata().map_or(0, |m| if m.is_file() { m.len() } else { 0 });
        let name = name.to_string_lossy();
        let what = match () {
            () if name == LOCK_NAME && len > 0 => "the lock file is not empty",
            () if name.ends_with(".seg") && segment_seq(&name).is_none() => "not the name of a segment",
            () => {
                report.bytes += len;
                continue;
            }
        };
        report.corrupt.push(Finding { file: path, offset: 0, what: what.to_owned() });
    }
    Ok(())
}

/// The snapshot that the log begins with, if it does not begin at the beginning.
fn check_snapshot(dir: &Path, report: &mut Report) -> Result<()> {
    let Ok(Some(meta)) = Meta::load(dir) else {
        return Ok(()); // said by the scan
    };
    if !snapshot::is_needed(meta.base) {
        return Ok(());
    }
    match SnapshotReader::open(dir, &meta).and_then(SnapshotReader::check) {
        Err(Error::Corrupt { file, offset, what, .. }) => report.corrupt.push(Finding { file, offset, what }),
        Err(Error::Io { path, source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            let what = "the snapshot that the log begins with is missing".to_owned();
            report.corrupt.push(Finding { file: path, offset: 0, what });
        }
        other => return other.map(|_| ()),
    }
    Ok(())
}

fn judge(scan: &Scan, damage: &Damage, report: &mut Report) -> Result<()> {
    match damage.judge(scan.rebooted) {
        Ok(torn) => {
            report.torn_tail = Some(Finding { file: torn.file.clone(), offset: torn.offset, what: torn.to_string() })
        }
        Err(Error::Corrupt { file, offset, what, .. }) => {
            report.corrupt.push(Finding { file, offset, what });
            further(scan, damage, report)?;
        }
        Err(e) => return Err(e),
    }
    Ok(())
}

/// More places that are wrong behind the first: each thing is checked by itself and against its neighbour.
fn further(scan: &Scan, damage: &Damage, report: &mut Report) -> Result<()> {
    let mut resume = Some(damage.bad.next.unwrap_or(damage.start + 1));
    for (_, path) in &scan.files[damage.file_index..] {
        let mut window = Window::open(path)?;
        let mut at = match resume.take() {
            Some(at) => window.find_frame(at)?,
            None => {
                if let Err(bad) = window.header()? {
                    report.corrupt.push(Finding { file: path.clone(), offset: bad.offset, what: bad.what });
                }
                Some(SEGMENT_HEADER_BYTES as u64)
            }
        };
        let mut chain = None;
        while let Some(here) = at {
            at = match window.item(here)? {
                Item::End => None,
                Item::Index(_, len) => Some(here + len as u64),
                Item::Frame(frame) => {
                    if chain.is_some_and(|c| c != frame.chain_before()) {
                        let what = "frame does not continue the one before it".to_owned();
                        report.corrupt.push(Finding { file: path.clone(), offset: here, what });
                    }
                    chain = Some(frame.chain_after());
                    Some(here + frame.len() as u64)
                }
                Item::Bad(bad) => {
                    report.corrupt.push(Finding { file: path.clone(), offset: bad.offset, what: bad.what });
                    chain = None;
                    window.find_frame(bad.next.unwrap_or(here + 1))?
                }
            };
        }
    }
    Ok(())
}

/// The host loop's own entries must be readable.
#[derive(Default)]
struct EntryCheck {
    frames: u64,
    findings: Vec<Finding>,
}

impl EntryCheck {
    fn check(&mut self, segment: &Segment, at: u64, frame: &Frame) {
        self.frames += 1;
        for (seq, (_, kind, body)) in (frame.first_seq().0..).zip(frame.cursor()) {
            let readable = match kind {
                Kind::MARK => Mark::decode(body).is_some(),
                Kind::SYNC => SyncBody::decode(body).is_some(),
                Kind::LIVE => body.len() == 8,
                Kind::SNAPSHOT => true,
                other => other >= Kind::FIRST_OF_LEVEL,
            };
            if !readable {
                let what = format!("entry {seq} of kind {} cannot be read: written by a different version", kind.0);
                self.findings.push(Finding { file: segment.path.clone(), offset: at, what });
            }
        }
    }
}
