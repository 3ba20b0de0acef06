//! `NNNNNNNNNNNNNNNNNNNN.snap`: the state before a log's first entry, for a log that does not begin at the beginning.
//!
//! Written as a whole before the log is created: to a file beside, synced, renamed, directory synced. Contents are opaque
//! ([`crate::Host::save`] makes them). A reader hands out no byte that it has not checked, and says that the end is the end only if it is.
//! What it leaves out: differences between snapshots.
//!
//! ```text
//!  0  magic "GLP1"       4  version u16    6  level u8    7  zero u8
//!  8  uuid u128         24  base seq u64  32  base position u64
//! 40  base chain u128   56  zero u32      60  crc32 of bytes 0..60
//! 64  chunks: bytes u32 (1 to 1 Mi), crc32 of the bytes, the bytes
//! ..  end: zero u32, crc32 of the next 24 bytes, total bytes u64, hash of all contents u128
//! ```

use crate::bytes::{u16_at, u32_at, u64_at, u128_at};
use crate::disk::Disk;
use crate::error::disk_error;
use crate::meta::remove_if_there;
use crate::{Base, DirLock, Error, Hasher, Host, LogView, Meta, Replica, Result, Seq, VERSION};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

const MAGIC: [u8; 4] = *b"GLP1";
const HEADER_BYTES: usize = 64;
const CHUNK_BYTES_MAX: usize = 1 << 20;
const END_BYTES: usize = 24;

/// Path of the snapshot before entry `base`.
pub fn snapshot_path(dir: &Path, base: Seq) -> PathBuf {
    dir.join(format!("{:020}.snap", base.0))
}

pub(crate) fn snapshot_new_path(dir: &Path) -> PathBuf {
    dir.join("snap.new")
}

/// Every snapshot in a directory, finished or not.
pub(crate) fn list_snapshots(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = std::fs::read_dir(dir)?.map(|item| Ok(item?.path())).collect::<io::Result<Vec<_>>>()?;
    let ours = |p: &PathBuf| p.extension().is_some_and(|e| e == "snap") || *p == snapshot_new_path(dir);
    Ok(paths.into_iter().filter(ours).collect())
}

fn header(meta: &Meta) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[..4].copy_from_slice(&MAGIC);
    out[4..6].copy_from_slice(&VERSION.to_le_bytes());
    out[6] = meta.level as u8;
    out[8..24].copy_from_slice(&meta.uuid.to_le_bytes());
    out[24..32].copy_from_slice(&meta.base.seq.0.to_le_bytes());
    out[32..40].copy_from_slice(&meta.base.position.0.to_le_bytes());
    out[40..56].copy_from_slice(&meta.base.chain.to_le_bytes());
    let crc = crc32fast::hash(&out[..60]);
    out[60..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Writes a snapshot; it is there once [`SnapshotWriter::finish`] has returned, and not at all before.
#[derive(Debug)]
pub struct SnapshotWriter {
    disk: Disk,
    dir: PathBuf,
    new: PathBuf,
    path: PathBuf,
    file: File,
    at: u64,
    chunk: Vec<u8>,
    total: u64,
    hasher: Hasher,
}

impl SnapshotWriter {
    /// Starts the snapshot that a log with this meta begins with.
    pub fn create(lock: &DirLock, meta: &Meta) -> Result<Self> {
        Self::create_on(Disk::default(), lock, meta)
    }

    pub(crate) fn create_on(disk: Disk, lock: &DirLock, meta: &Meta) -> Result<Self> {
        let dir = lock.dir().to_owned();
        let (new, path) = (snapshot_new_path(&dir), snapshot_path(&dir, meta.base.seq));
        let made = remove_if_there(&disk, &new).and_then(|()| {
            let file = disk.create(&new)?;
            disk.write_at(&new, &file, &header(meta), 0)?;
            Ok(file)
        });
        let file = made.map_err(|e| disk_error("writing", &new, e))?;
        let (at, chunk, total, hasher) = (HEADER_BYTES as u64, Vec::new(), 0, Hasher::new());
        Ok(Self { disk, dir, new, path, file, at, chunk, total, hasher })
    }

    /// One that cannot be written gives its room back.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.disk.write_at(&self.new, &self.file, bytes, self.at);
        if written.is_err() {
            let _ = self.disk.remove(&self.new);
        }
        self.at += bytes.len() as u64;
        written
    }

    fn put_chunk(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.chunk);
        self.hasher.update(&chunk);
        self.total += chunk.len() as u64;
        self.put(&[(chunk.len() as u32).to_le_bytes(), crc32fast::hash(&chunk).to_le_bytes()].concat())?;
        self.put(&chunk)
    }

    /// Makes the snapshot durable and gives it its name.
    pub fn finish(self) -> Result<()> {
        self.seal()?.name()
    }

    /// Writes the end and makes the contents durable, still without their name.
    pub fn seal(mut self) -> Result<SealedSnapshot> {
        let done = self.put_chunk().and_then(|()| {
            let end = [&self.total.to_le_bytes()[..], &self.hasher.finish().to_le_bytes()].concat();
            self.put(&[&[0; 4], &crc32fast::hash(&end).to_le_bytes()[..], &end].concat())?;
            self.disk.sync_data(&self.new, &self.file)
        });
        done.map_err(|e| disk_error("writing", &self.new, e))?;
        Ok(SealedSnapshot(self))
    }
}

/// A snapshot whose contents are durable and which has no name yet.
#[derive(Debug)]
pub struct SealedSnapshot(SnapshotWriter);

impl SealedSnapshot {
    /// Bytes of its file.
    pub fn bytes(&self) -> u64 {
        self.0.at
    }

    /// Gives it its name and lets `meta`, whose base it was made for, name it as the beginning of the directory's log; durable when this returns.
    /// [`crate::Store::begin_at`] follows.
    pub fn install(self, meta: &Meta) -> Result<()> {
        let (disk, dir, path) = (self.0.disk.clone(), self.0.dir.clone(), self.0.path.clone());
        assert_eq!(path, snapshot_path(&dir, meta.base.seq), "a snapshot belongs to one base");
        self.name()?;
        meta.store_on(&disk, &dir)
    }

    /// Gives it its name; durable when this returns.
    pub(crate) fn name(self) -> Result<()> {
        let SnapshotWriter { disk, dir, new, path, .. } = self.0;
        let named = disk.rename(&new, &path).and_then(|()| disk.sync_dir(&dir));
        named.map_err(|e| disk_error("writing", &path, e))
    }
}

impl Write for SnapshotWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(CHUNK_BYTES_MAX - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..n]);
        if self.chunk.len() == CHUNK_BYTES_MAX {
            self.put_chunk()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a snapshot back. Errors of reading that mean damage are of kind [`io::ErrorKind::InvalidData`] and name the offset.
#[derive(Debug)]
pub struct SnapshotReader {
    path: PathBuf,
    file: BufReader<File>,
    at: u64,
    chunk: Vec<u8>,
    taken: usize,
    total: u64,
    hasher: Hasher,
    ended: bool,
}

impl SnapshotReader {
    /// Opens the snapshot that the log in `dir` begins with.
    pub fn open(dir: &Path, meta: &Meta) -> Result<Self> {
        let path = snapshot_path(dir, meta.base.seq);
        let file = File::open(&path).map_err(|e| Error::io("opening", &path, e))?;
        let (chunk, hasher) = (Vec::new(), Hasher::new());
        let file = BufReader::with_capacity(64 << 10, file);
        let mut reader = Self { path, file, at: 0, chunk, taken: 0, total: 0, hasher, ended: false };
        let found: [u8; HEADER_BYTES] = reader.array().map_err(|e| reader.error(&e))?;
        if found != header(meta) {
            let differs = found.iter().zip(header(meta)).position(|(a, b)| *a != b).unwrap_or(0);
            let what = describe(&found).to_owned();
            return Err(Error::Corrupt { file: reader.path, offset: differs as u64, what, advice: ADVICE });
        }
        Ok(reader)
    }

    /// Reads to the end and checks everything; returns the number of bytes of contents.
    pub(crate) fn check(mut self) -> Result<u64> {
        while !self.ended {
            self.next_chunk().map_err(|e| self.error(&e))?;
        }
        Ok(self.total)
    }

    fn error(&self, e: &io::Error) -> Error {
        let what = e.to_string();
        Error::Corrupt { file: self.path.clone(), offset: self.at, what, advice: ADVICE }
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let read = self.file.read_exact(bytes);
        read.map_err(|e| if e.kind() == io::ErrorKind::UnexpectedEof { self.bad("ends early") } else { e })?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn bad(&self, what: &str) -> io::Error {
        let text = format!("snapshot {} is damaged before offset {}: {what}", self.path.display(), self.at);
        io::Error::new(io::ErrorKind::InvalidData, text)
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let head: [u8; 8] = self.array()?;
        let (len, crc) = (u32_at(&head, 0) as usize, u32_at(&head, 4));
        if len == 0 {
            return self.end(crc);
        }
        if len > CHUNK_BYTES_MAX {
            return Err(self.bad("chunk is too long"));
        }
        let mut chunk = vec![0; len];
        self.fill(&mut chunk)?;
        if crc32fast::hash(&chunk) != crc {
            return Err(self.bad("chunk checksum does not match"));
        }
        self.hasher.update(&chunk);
        self.total += len as u64;
        (self.chunk, self.taken) = (chunk, 0);
        Ok(())
    }

    fn end(&mut self, crc: u32) -> io::Result<()> {
        let end: [u8; END_BYTES] = self.array()?;
        if crc32fast::hash(&end) != crc {
            return Err(self.bad("checksum of the end does not match"));
        }
        if u64_at(&end, 0) != self.total || u128_at(&end, 8) != self.hasher.finish() {
            return Err(self.bad("a chunk is missing"));
        }
        if self.file.read(&mut [0])? != 0 {
            return Err(self.bad("bytes follow the end"));
        }
        self.ended = true;
        Ok(())
    }
}

impl Read for SnapshotReader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.chunk.len() && !self.ended {
            self.next_chunk()?;
        }
        let n = to.len().min(self.chunk.len() - self.taken);
        to[..n].copy_from_slice(&self.chunk[self.taken..self.taken + n]);
        self.taken += n;
        Ok(n)
    }
}

/// Loads the state that the log begins with, if it begins with one, into a host that has executed nothing; the log continues from what is
/// returned.
pub fn load_base<R: Replica>(view: &LogView, host: &mut Host<R>) -> Result<Base> {
    let meta = view.meta();
    let base = meta.base;
    if !is_needed(base) {
        return Ok(base);
    }
    let mut bytes = Vec::new();
    let mut reader = SnapshotReader::open(view.dir(), &meta).map_err(crate::view::shortened_meanwhile)?;
    reader.read_to_end(&mut bytes).map_err(|e| reader.error(&e))?;
    host.load(&bytes, base.seq, base.chain)?;
    let stands = host.replica().position();
    if stands != base.position {
        let what = format!("the replica stands at position {stands}, the log begins at position {}", base.position);
        return Err(Error::Corrupt { file: reader.path, offset: 32, what, advice: ADVICE });
    }
    Ok(base)
}

const ADVICE: &str =
    "the log cannot be replayed without it: keep the directory, and start a fresh backup in an empty one";

/// Why a header is not the one expected.
fn describe(found: &[u8; HEADER_BYTES]) -> &'static str {
    if found[..4] != MAGIC {
        "not a snapshot"
    } else if crc32fast::hash(&found[..60]) != u32_at(found, 60) {
        "snapshot header checksum does not match"
    } else if u16_at(found, 4) != VERSION {
        "format version is not one that this build reads"
    } else {
        "snapshot belongs to another log, or to another place in it"
    }
}

/// True if a log with this base needs a snapshot.
pub(crate) fn is_needed(base: Base) -> bool {
    base != Base::default()
}
