//! Store: the log directory of the one process that writes it.
//!
//! The rules it keeps: a frame is in the page cache when [`Store::append`] returns and durable when [`Store::synced`] has passed it; a name
//! is durable before anything behind it counts as durable; after the first error of the disk nothing more is appended or
//! synced (a failed fsync may have dropped the pages: asking again would lie). Opening cuts off a torn tail and refuses anything else that is
//! wrong. What it leaves out: threads (see [`crate::FileSink`]) and compression (sealed segments are plain, so that every byte of
//! the log can be checked and streamed as it stands).

use crate::disk::Disk;
use crate::error::disk_error;
use crate::meta::{META_NAME, meta_new_path, remove_if_there};
use crate::scan::{Scan, Segment, list_segments};
use crate::segment::{add_row, segment_path};
use crate::snapshot::{self, SnapshotWriter, list_snapshots, snapshot_path};
use crate::view::recovered;
use crate::{
    Base, Digest, DirLock, Error, Frame, Index, Level, LogReader, LogView, Meta, Position, Recovered, Result, Row,
    SEGMENT_HEADER_BYTES, SegmentHeader, Seq,
};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

/// How a store writes.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// A segment is sealed before it would grow longer than this (a single longer frame gets one of its own).
    pub segment_bytes: u64,
    /// Where operations go; for tests.
    pub disk: Disk,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, disk: Disk::default() }
    }
}

/// A log directory opened for writing.
#[derive(Debug)]
pub struct Store {
    lock: DirLock,
    view: LogView,
    options: StoreOptions,
    /// The last segment, unless it is sealed or there is none.
    active: Option<Active>,
}

#[derive(Debug)]
struct Active {
    path: PathBuf,
    file: Arc<File>,
}

impl Store {
    /// Starts a log in `dir`, which is made if it is not there and must not hold one.
    pub fn create(dir: &Path, level: Level) -> Result<Self> {
        Self::create_with(DirLock::take(dir)?, &Meta::new(level)?, StoreOptions::default())
    }

    /// Starts a log with a meta of one's own, in a directory whose lock one holds. If [`Meta::base`] is not the beginning, its snapshot must
    /// have been written before ([`crate::SnapshotWriter`]).
    pub fn create_with(lock: DirLock, meta: &Meta, options: StoreOptions) -> Result<Self> {
        let dir = lock.dir().to_owned();
        if dir.join(META_NAME).exists() || !list_segments(&dir)?.is_empty() {
            return Err(Error::Refused(format!(
                "{} already holds a log; name an empty directory, or continue this log with `gapless resume DIR`",
                dir.display()
            )));
        }
        meta.store_on(&options.disk, &dir)?;
        if let Some(parent) = dir.canonicalize().ok().as_deref().and_then(Path::parent) {
            options.disk.sync_dir(parent).map_err(|e| disk_error("syncing", parent, e))?;
        }
        Ok(Self::open_with(lock, options)?.0)
    }

    /// Opens the log in `dir` to continue it: takes the lock, cuts off a torn tail, refuses any other damage.
    pub fn open(dir: &Path) -> Result<(Self, Recovered)> {
        Meta::require(dir)?; // before anything is made in a directory that holds no log
        Self::open_with(DirLock::take(dir)?, StoreOptions::default())
    }

    /// [`Store::open`] with a lock that is held already.
    pub fn open_with(lock: DirLock, options: StoreOptions) -> Result<(Self, Recovered)> {
        let dir = lock.dir().to_owned();
        let scan = Scan::quick(&dir)?;
        let found = recovered(&scan)?;
        let (files, stale) = (scan.files.clone(), scan.stale.clone());
        let view = LogView::new(&dir, scan);
        let mut store = Self { lock, view, options, active: None };
        store.tidy(&files, &stale, found.truncated.is_some()).map_err(|e| disk_error("recovering", &dir, e))?;
        Ok((store, found))
    }

    /// Makes the files be exactly what the scan found whole.
    fn tidy(&mut self, files: &[(Seq, PathBuf)], stale: &[(Seq, PathBuf)], torn: bool) -> std::io::Result<()> {
        let disk = self.options.disk.clone();
        remove_if_there(&disk, &meta_new_path(self.dir()))?;
        stale.iter().try_for_each(|(_, path)| disk.remove(path))?;
        self.remove_other_snapshots()?;
        let mut state = self.view.shared.lock();
        // A segment without a frame says nothing that its successor will not say better.
        let empty = |s: &Segment| s.frames_end == SEGMENT_HEADER_BYTES as u64;
        if state.segments.last().is_some_and(|s| !s.sealed && empty(s)) {
            state.segments.pop();
        }
        let surplus = &files[state.segments.len()..];
        // From the last to the first: a crash in between leaves a shorter torn tail, not a hole.
        for (_, path) in surplus.iter().rev() {
            disk.remove(path)?;
        }
        if !surplus.is_empty() {
            disk.sync_dir(&self.view.dir)?;
        }
        if let Some(last) = state.segments.last()
            && !last.sealed
        {
            let file = File::options().read(true).write(true).open(&last.path)?;
            if torn {
                disk.set_len(&last.path, &file, last.frames_end)?;
                disk.sync_data(&last.path, &file)?;
            }
            self.active = Some(Active { path: last.path.clone(), file: Arc::new(file) });
        }
        // Nobody knows what an earlier life has synced.
        state.unsynced = state.segments.iter().map(|s| (s.path.clone(), None)).collect();
        state.dir_unsynced = true;
        Ok(())
    }

    /// A snapshot that `meta` does not name is a half made beginning of a log, or the beginning of one that is gone.
    fn other_snapshots(&self) -> std::io::Result<Vec<PathBuf>> {
        let base = self.view.base();
        let ours = snapshot::is_needed(base).then(|| snapshot_path(self.dir(), base.seq));
        Ok(list_snapshots(self.dir())?.into_iter().filter(|path| Some(path) != ours.as_ref()).collect())
    }

    fn remove_other_snapshots(&self) -> std::io::Result<()> {
        self.other_snapshots()?.iter().try_for_each(|path| self.options.disk.remove(path))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.lock.dir()
    }

    /// See [`LogView::meta`].
    pub fn meta(&self) -> Meta {
        self.view.meta()
    }

    /// Replaces `meta`; durable when this returns. What the segments are checked against cannot change.
    pub fn store_meta(&self, meta: &Meta) -> Result<()> {
        let ours = self.meta();
        let same = (ours.uuid, ours.level, ours.base) == (meta.uuid, meta.level, meta.base);
        assert!(same, "uuid and level of a log never change, and its base only with its files");
        meta.store_on(&self.options.disk, self.dir())
    }

    /// The readable side, for other threads.
    pub fn view(&self) -> &LogView {
        &self.view
    }

    /// Number of the next entry, and the chain hash of all frames before it.
    pub fn end(&self) -> (Seq, Digest) {
        self.view.end()
    }

    /// Entries below this number are durable.
    pub fn synced(&self) -> Seq {
        self.view.shared.lock().synced
    }

    /// Frames from the one that holds entry `from`; follows the log while it grows.
    pub fn reader(&self, from: Seq) -> LogReader {
        self.view.reader(from)
    }

    /// See [`LogView::chain_at`].
    pub fn chain_at(&self, seq: Seq) -> Result<Option<Digest>> {
        self.view.chain_at(seq)
    }

    /// See [`LogView::common`].
    pub fn common(&self, seq: Seq, chain: Digest) -> Result<bool> {
        self.view.common(seq, chain)
    }

    /// Gives the lock back without the log, for instance to [`Store::wipe`].
    pub fn into_lock(self) -> DirLock {
        self.lock
    }

    /// Removes the log from a directory, so that a new one can be created there. Refused while a put of its owner is unresolved; that
    /// the register does not name this directory's life is for the caller to know.
    pub fn wipe(lock: &DirLock) -> Result<()> {
        let dir = lock.dir();
        if Meta::load(dir)?.is_some_and(|m| m.intent.is_some()) {
            return Err(has_intent(dir));
        }
        let disk = Disk::default();
        let wiped = (|| {
            for (_, path) in list_segments(dir).map_err(std::io::Error::other)?.iter().rev() {
                disk.remove(path)?;
            }
            disk.sync_dir(dir)?;
            remove_if_there(&disk, &dir.join(META_NAME))?;
            remove_if_there(&disk, &meta_new_path(dir))?;
            for path in list_snapshots(dir)? {
                disk.remove(&path)?;
            }
            disk.sync_dir(dir)
        })();
        wiped.map_err(|e| disk_error("emptying", dir, e))
    }

    /// Starts the snapshot that this directory's next log is to begin with; the log that is there stays as it is.
    pub fn snapshot(&self, base: Base) -> Result<SnapshotWriter> {
        SnapshotWriter::create_on(self.options.disk.clone(), &self.lock, &Meta { base, ..self.meta() })
    }

    /// Replaces the log by an empty one that begins with `snapshot`, which was made for the base in `meta`; durable when this returns. Views,
    /// readers and syncers of the old log are void: take new ones. A crash on the way leaves the old log, a shorter one, an empty one or the
    /// new one, each whole.
    pub fn begin_with(&mut self, meta: &Meta, snapshot: SnapshotWriter) -> Result<()> {
        self.check_alive()?;
        let ours = self.meta();
        assert_eq!((ours.uuid, ours.level), (meta.uuid, meta.level), "uuid and level of a log never change");
        assert!(snapshot::is_needed(meta.base), "a log that begins at the beginning has no snapshot");
        if meta.intent.is_some() {
            return Err(has_intent(self.dir()));
        }
        self.replace_log(meta, snapshot).map_err(|e| self.fail(e))
    }

    fn replace_log(&mut self, meta: &Meta, snapshot: SnapshotWriter) -> Result<()> {
        let snapshot = snapshot.seal()?;
        let (disk, dir) = (self.options.disk.clone(), self.dir().to_owned());
        self.remove_segments().map_err(|e| disk_error("emptying", &dir, e))?;
        if snapshot::is_needed(self.view.base()) {
            // The old snapshot goes before the new one gets its name, which may be the same.
            Meta { base: Base::default(), ..meta.clone() }.store_on(&disk, &dir)?;
        }
        snapshot.name()?;
        meta.store_on(&disk, &dir)?;
        self.view = LogView::new(&dir, Scan::quick(&dir)?);
        self.remove_other_snapshots().map_err(|e| disk_error("tidying", &dir, e))
    }

    /// Makes sure that the log can come to begin at `base`: a segment begins there, or will. To be asked before a snapshot is installed
    /// ([`crate::SealedSnapshot::install`]): a log whose `meta` names another place loses what follows it there.
    pub fn can_begin_at(&mut self, base: Base) -> Result<()> {
        self.check_alive()?;
        if self.end() == (base.seq, base.chain) {
            self.roll()?;
        }
        let ours = base.seq > self.view.base().seq && self.common(base.seq, base.chain)?;
        let state = self.view.shared.lock();
        let divided = state.segments.iter().any(|s| s.first_seq == base.seq) || base.seq == state.end.next;
        match ours && divided {
            true => Ok(()),
            false => {
                Err(Error::Refused(format!("the log cannot begin at entry {}: it is not divided there", base.seq)))
            }
        }
    }

    /// Lets the log begin at `base`, whose snapshot is installed. Views and readers stay, as long as they want nothing from before. The files of before are
    /// the caller's to remove, so that nobody who writes has to wait for that; those that he, or a crash, leaves are removed by the next opening.
    pub fn begin_at(&mut self, base: Base) -> Result<Outdated> {
        self.can_begin_at(base)?;
        self.forget_before(base).map_err(|e| self.fail(disk_error("shortening", self.dir().to_owned(), e)))
    }

    fn forget_before(&mut self, base: Base) -> std::io::Result<Outdated> {
        let shared = &self.view.shared;
        // Who syncs has a list of files.
        let _nobody_syncs = shared.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = shared.lock();
        state.base = base;
        let kept = state.segments.partition_point(|s| s.first_seq < base.seq);
        let mut paths: Vec<PathBuf> = state.segments.drain(..kept).map(|s| s.path).collect();
        state.unsynced.retain(|(path, _)| !paths.contains(path));
        // What lies before is the snapshot now, which is durable.
        state.synced = state.synced.max(base.seq);
        state.dir_unsynced = true;
        drop(state);
        paths.extend(self.other_snapshots()?);
        Ok(Outdated { disk: self.options.disk.clone(), paths })
    }

    /// From the last to the first, so that what a crash leaves is a shorter log.
    fn remove_segments(&mut self) -> std::io::Result<()> {
        let disk = self.options.disk.clone();
        let mut state = self.view.shared.lock();
        let base = state.base;
        state.generation += 1;
        self.active = None;
        state.unsynced.clear();
        (state.end.next, state.end.chain, state.end.position) = (base.seq, base.chain, base.position);
        while let Some(segment) = state.segments.pop() {
            disk.remove(&segment.path)?;
        }
        disk.sync_dir(&self.view.dir)
    }

    /// Appends a frame: in the page cache, thus safe from the death of this process, when this returns.
    pub fn append(&mut self, frame: &Frame) -> Result<()> {
        self.check_alive()?;
        let refused = self.view.shared.lock().end.refuses(frame, &self.view.opened);
        if let Some(why) = refused {
            return Err(Error::Refused(why));
        }
        if frame.divides() {
            self.roll()?;
        }
        self.roll_if_full(frame)?;
        if self.active.is_none() {
            self.start_segment(frame)?;
        }
        self.write_frame(frame)
    }

    fn check_alive(&self) -> Result<()> {
        match &self.view.shared.lock().failed {
            None => Ok(()),
            Some(first) => Err(Error::Refused(format!("this log was stopped by an earlier error: {first}"))),
        }
    }

    /// Remembers the first error; nothing is appended after it.
    fn fail(&self, error: Error) -> Error {
        self.view.shared.lock().failed.get_or_insert_with(|| error.to_string());
        error
    }

    fn write_frame(&mut self, frame: &Frame) -> Result<()> {
        let active = self.active.as_ref().expect("the caller made one");
        let disk = &self.options.disk;
        let at = self.frames_end();
        if let Err(e) = disk.write_at(&active.path, &active.file, frame.bytes(), at) {
            // Leave a whole log behind if the disk still lets us; if not, recovery will find a torn tail.
            let _ = disk.set_len(&active.path, &active.file, at);
            return Err(self.fail(disk_error("appending to", &active.path, e)));
        }
        let mut state = self.view.shared.lock();
        let segment = state.segments.last_mut().expect("there is an active one");
        add_row(&mut segment.rows, Row { seq: frame.first_seq(), position: frame.first_position(), offset: at });
        segment.frames_end = at + frame.len() as u64;
        state.end.advance(frame);
        if state.unsynced.last().is_none_or(|(path, _)| *path != active.path) {
            state.unsynced.push((active.path.clone(), Some(active.file.clone())));
        }
        Ok(())
    }

    fn frames_end(&self) -> u64 {
        self.view.shared.lock().segments.last().expect("there is an active one").frames_end
    }

    fn roll_if_full(&mut self, frame: &Frame) -> Result<()> {
        let full = self.active.is_some() && self.frames_end() + frame.len() as u64 > self.options.segment_bytes;
        if full { self.roll() } else { Ok(()) }
    }

    /// Seals the last segment: what is appended next begins another one.
    pub fn roll(&mut self) -> Result<()> {
        self.check_alive()?;
        let Some(active) = &self.active else { return Ok(()) };
        let at = self.frames_end();
        let mut state = self.view.shared.lock();
        let end = state.end;
        let segment = state.segments.last_mut().expect("there is an active one");
        let index = Index {
            end_seq: end.next,
            last_position: end.position,
            chain_after: end.chain,
            offset: at,
            rows: segment.rows.clone(),
        };
        let disk = &self.options.disk;
        if let Err(e) = disk.write_at(&active.path, &active.file, &index.encode(), at) {
            let _ = disk.set_len(&active.path, &active.file, at);
            drop(state);
            return Err(self.fail(disk_error("sealing", &active.path, e)));
        }
        segment.sealed = true;
        if state.unsynced.last().is_none_or(|(path, _)| *path != active.path) {
            state.unsynced.push((active.path.clone(), Some(active.file.clone())));
        }
        drop(state);
        self.active = None;
        Ok(())
    }

    fn start_segment(&mut self, frame: &Frame) -> Result<()> {
        let path = segment_path(self.dir(), frame.first_seq());
        let header = SegmentHeader {
            level: frame.level(),
            uuid: self.view.opened.uuid,
            first_seq: frame.first_seq(),
            first_position: frame.first_position(),
            chain_before: frame.chain_before(),
        };
        let disk = &self.options.disk;
        let made = disk.create(&path).and_then(|file| {
            let written = disk.write_at(&path, &file, &header.encode(), 0);
            written.map(|()| file).inspect_err(|_| {
                let _ = disk.remove(&path);
            })
        });
        let file = made.map_err(|e| self.fail(disk_error("starting segment", &path, e)))?;
        let mut state = self.view.shared.lock();
        state.dir_unsynced = true;
        state.segments.push(Segment {
            path: path.clone(),
            first_seq: header.first_seq,
            first_position: header.first_position,
            rows: Vec::new(),
            frames_end: SEGMENT_HEADER_BYTES as u64,
            sealed: false,
        });
        drop(state);
        self.active = Some(Active { path, file: Arc::new(file) });
        Ok(())
    }

    /// Makes everything appended so far durable.
    pub fn sync(&mut self) -> Result<()> {
        self.syncer().sync().map(|_| ())
    }

    /// The same for another thread, while this one goes on appending.
    pub fn syncer(&self) -> Syncer {
        Syncer { view: self.view.clone(), disk: self.options.disk.clone() }
    }

    /// Drops everything from entry `seq` on, which must be where a frame ends with chain hash `chain`; durable when this returns.
    pub fn cut(&mut self, seq: Seq, chain: Digest) -> Result<()> {
        self.check_alive()?;
        if !self.common(seq, chain)? {
            return Err(Error::Refused(format!(
                "the log cannot be cut at entry {seq}: no frame with that chain hash ends there"
            )));
        }
        if seq == self.end().0 {
            return Ok(());
        }
        let place = self.place_of(seq)?;
        self.cut_at(place).map_err(|e| self.fail(disk_error("cutting", self.dir().to_owned(), e)))
    }

    /// What the log looks like when it ends before `seq`.
    fn place_of(&self, seq: Seq) -> Result<CutPlace> {
        let state = self.view.shared.lock();
        let keep = state.segments.partition_point(|s| s.first_seq < seq);
        let base = state.base;
        let mut end = state.end;
        (end.next, end.chain, end.position, end.term) = (base.seq, base.chain, base.position, crate::Term(0));
        let (mut frames_end, mut rows) = (SEGMENT_HEADER_BYTES as u64, Vec::new());
        let Some(segment) = keep.checked_sub(1).map(|k| state.segments[k].clone()) else {
            return Ok(CutPlace { keep, end, frames_end, rows });
        };
        drop(state);
        for frame in self.reader(segment.first_seq) {
            let frame = frame?;
            if frame.first_seq() >= seq {
                break;
            }
            add_row(&mut rows, Row { seq: frame.first_seq(), position: frame.first_position(), offset: frames_end });
            frames_end += frame.len() as u64;
            end.advance(&frame);
        }
        Ok(CutPlace { keep, end, frames_end, rows })
    }

    fn cut_at(&mut self, place: CutPlace) -> std::io::Result<()> {
        let disk = self.options.disk.clone();
        let mut state = self.view.shared.lock();
        state.generation += 1;
        self.active = None;
        while state.segments.len() > place.keep {
            let segment = state.segments.pop().expect("longer than what is kept");
            state.unsynced.retain(|(path, _)| *path != segment.path);
            disk.remove(&segment.path)?;
        }
        disk.sync_dir(&self.view.dir)?;
        if let Some(last) = state.segments.last_mut() {
            let file = Arc::new(File::options().read(true).write(true).open(&last.path)?);
            let whole = last.sealed && last.frames_end == place.frames_end;
            if !whole {
                disk.set_len(&last.path, &file, place.frames_end)?;
                (last.sealed, last.frames_end, last.rows) = (false, place.frames_end, place.rows);
                self.active = Some(Active { path: last.path.clone(), file: file.clone() });
            }
            disk.sync_data(&last.path, &file)?;
        }
        state.end = place.end;
        state.synced = state.synced.min(place.end.next);
        Ok(())
    }
}

fn has_intent(dir: &Path) -> Error {
    Error::Refused(format!(
        "{} has an unresolved put to the arbiter and is never emptied; start it again with the arbiter reachable",
        dir.display()
    ))
}

/// Files from before the place where a log has come to begin ([`Store::begin_at`]).
#[derive(Debug)]
#[must_use]
pub struct Outdated {
    disk: Disk,
    paths: Vec<PathBuf>,
}

impl Outdated {
    /// Removes them.
    pub fn remove(self) -> Result<()> {
        self.paths.iter().try_for_each(|path| self.disk.remove(path).map_err(|e| disk_error("removing", path, e)))
    }
}

struct CutPlace {
    /// How many segments stay.
    keep: usize,
    end: crate::scan::End,
    frames_end: u64,
    rows: Vec<Row>,
}

/// Makes a log durable from a thread of its own.
#[derive(Clone, Debug)]
pub struct Syncer {
    view: LogView,
    disk: Disk,
}

impl Syncer {
    /// Makes everything durable that was appended before this call; returns up to where the log is durable now. After the first error
    /// every later call fails too.
    pub fn sync(&self) -> Result<Seq> {
        let shared = &self.view.shared;
        let _one_at_a_time = shared.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let (files, dir, end, generation) = {
            let mut state = shared.lock();
            if let Some(first) = &state.failed {
                return Err(Error::Refused(format!("this log was stopped by an earlier error: {first}")));
            }
            if state.synced == state.end.next {
                return Ok(state.synced);
            }
            let files = std::mem::take(&mut state.unsynced);
            (files, std::mem::take(&mut state.dir_unsynced), state.end.next, state.generation)
        };
        let result = files.iter().try_for_each(|(path, file)| {
            let opened;
            let file = match file {
                Some(file) => &**file,
                None => {
                    opened = File::open(path).map_err(|e| disk_error("opening", path, e))?;
                    &opened
                }
            };
            self.disk.sync_data(path, file).map_err(|e| disk_error("syncing", path, e))
        });
        let result = result.and_then(|()| {
            let synced = if dir { self.disk.sync_dir(&self.view.dir) } else { Ok(()) };
            synced.map_err(|e| disk_error("syncing", &*self.view.dir, e))
        });
        let mut state = shared.lock();
        if let Err(e) = result {
            state.failed.get_or_insert_with(|| e.to_string());
            return Err(e);
        }
        if state.generation == generation {
            state.synced = state.synced.max(end);
        } else {
            // The log was cut meanwhile: what was synced here is not known to be what is there now.
            state.unsynced.extend(files.into_iter().filter(|(path, _)| path.exists()));
        }
        Ok(state.synced)
    }

    /// Number of the next entry to be appended.
    pub fn written(&self) -> Seq {
        self.view.end().0
    }

    /// Entries below this number are durable.
    pub fn synced(&self) -> Seq {
        self.view.shared.lock().synced
    }

    /// Position of the last entry appended.
    pub fn last_position(&self) -> Position {
        self.view.last_position()
    }
}
