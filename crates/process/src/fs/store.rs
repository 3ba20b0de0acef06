//! Bytes of files, in files of the log directory.
//!
//! `content/<hash>` holds shipped contents: written once, read-only after, common to all replicas that use the directory. Small ones are kept in memory
//! until something needs a real file (to map it, to execute it): most are read once, and making a file costs more than reading ten.
//! `files/<instance>/<number>` holds what this replica's program has written; every start of a replica gets an empty directory of its own (a
//! replay rebuilds everything), locked while it lives and removed when it ends. Directories of dead replicas are swept at the next start.
//!
//! The rule it keeps: **nothing is removed that it did not make.** A directory is its own only if its name has the form of one, and it holds
//! an empty file [`LOCK`], which gets that name when the lock on it is held; in such a directory only names of its own are removed.
//!
//! Errors here are this side's own (disk full, directory gone): they stop it, and the program never sees them.

use super::view::View;
use gapless_log::{Error, Hasher, Result};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Name of the empty file that tells whose a directory is and, by the lock on it, whether its owner lives.
const LOCK: &str = "gapless-replica-lock";
/// Contents and private files, below the directory that the store is given.
const CONTENT: &str = "content";
const FILES: &str = "files";
/// A content that is not whole yet has this before a number, of as many digits as a hash.
const INCOMING: &str = "incoming-";
/// A content is read from the host in parts of this size.
const PART_BYTES: usize = 256 << 10;
/// Contents up to this size are kept in memory ...
pub const SMALL_BYTES_MAX: u64 = 64 << 10;
/// ... as long as all of them have room in this.
const SMALL_BYTES_TOTAL: usize = 64 << 20;
/// Files kept open between reads and writes.
const OPEN_MAX: usize = 128;

/// Names one file of the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Name {
    /// Shipped content by hash.
    Content(u128),
    /// A file of this replica.
    Private(u64),
}

/// The files of one replica.
#[derive(Debug)]
pub struct Store {
    content: PathBuf,
    private: PathBuf,
    /// Holds the lock that tells sweepers that this replica lives.
    _lock: File,
    /// Contents that have no file yet, by hash, and their bytes in all.
    small: BTreeMap<u128, Vec<u8>>,
    small_bytes: usize,
    open: BTreeMap<Name, (u64, File)>,
    uses: u64,
    last_number: u64,
    last_incoming: u64,
}

/// Tells the replicas of one supervisor process apart.
static INSTANCES: AtomicU64 = AtomicU64::new(0);

fn lock_exclusively(file: &File) -> bool {
    // SAFETY: a valid descriptor; flock touches no memory.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

impl Store {
    /// Makes the directories below `dir`, which is this store's own or a log's, and sweeps what dead replicas left.
    pub fn new(dir: &Path) -> Result<Self> {
        let (content, files) = (dir.join(CONTENT), dir.join(FILES));
        for dir in [&content, &files] {
            fs::create_dir_all(dir).map_err(|e| disk("creating the directory", dir, e))?;
        }
        sweep(&files);
        let private = loop {
            let name = format!("{}-{}", std::process::id(), INSTANCES.fetch_add(1, Ordering::Relaxed));
            let private = files.join(name);
            match fs::create_dir(&private) {
                Ok(()) => break private,
                // Of a process in another namespace, or one whose directory could not be swept.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(disk("creating the directory", &private, e)),
            }
        };
        // Locked before it gets its name, so that no sweeper takes this one for a dead one.
        let (fresh, path) = (private.join("0"), private.join(LOCK));
        let lock = File::create_new(&fresh).and_then(|lock| {
            if !lock_exclusively(&lock) {
                return Err(std::io::Error::last_os_error());
            }
            fs::rename(&fresh, &path).map(|()| lock)
        });
        let lock = lock.map_err(|e| {
            clear(&private);
            disk("creating", &path, e)
        })?;
        let (small, open) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self {
            content,
            private,
            _lock: lock,
            small,
            small_bytes: 0,
            open,
            uses: 0,
            last_number: 0,
            last_incoming: 0,
        })
    }

    fn path(&self, name: Name) -> PathBuf {
        match name {
            Name::Content(hash) => self.content.join(format!("{hash:032x}")),
            Name::Private(number) => self.private.join(number.to_string()),
        }
    }

    /// A new, empty file.
    pub fn create(&mut self) -> Result<u64> {
        self.last_number += 1;
        let number = self.last_number;
        let path = self.path(Name::Private(number));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| disk("creating", &path, e))?;
        self.keep(Name::Private(number), file);
        Ok(number)
    }

    /// Nothing needs this file any more.
    pub fn remove(&mut self, number: u64) -> Result<()> {
        self.open.remove(&Name::Private(number));
        let path = self.path(Name::Private(number));
        fs::remove_file(&path).map_err(|e| disk("removing", &path, e))
    }

    fn keep(&mut self, name: Name, file: File) {
        if self.open.len() >= OPEN_MAX {
            let oldest = self.open.iter().min_by_key(|(_, (used, _))| *used).map(|(&n, _)| n);
            oldest.and_then(|n| self.open.remove(&n));
        }
        self.uses += 1;
        self.open.insert(name, (self.uses, file));
    }

    /// A descriptor of its own, writable if asked (only private files can be).
    pub fn open(&mut self, name: Name, writable: bool) -> Result<File> {
        if let Name::Content(hash) = name {
            self.make_real(hash)?;
        }
        let path = self.path(name);
        OpenOptions::new().read(true).write(writable).open(&path).map_err(|e| disk("opening", &path, e))
    }

    fn file(&mut self, name: Name) -> Result<&File> {
        self.uses += 1;
        let uses = self.uses;
        if !self.open.contains_key(&name) {
            let file = self.open(name, matches!(name, Name::Private(_)))?;
            self.keep(name, file);
        }
        let (used, file) = self.open.get_mut(&name).expect("just kept");
        *used = uses;
        Ok(file)
    }

    /// A range of a content, as a mapping shows it: see [`View::of`].
    pub fn view(&mut self, hash: u128, offset: u64, len: u64) -> Result<View> {
        let path = self.path(Name::Content(hash));
        let file = self.open(Name::Content(hash), false)?;
        View::of(&file, offset, len).map_err(|e| disk("mapping", path, e))
    }

    /// All of a content, if it is in memory.
    pub fn in_memory(&self, hash: u128) -> Option<&[u8]> {
        self.small.get(&hash).map(Vec::as_slice)
    }

    /// Gives a content that is only in memory its file.
    fn make_real(&mut self, hash: u128) -> Result<()> {
        let Some(bytes) = self.small.remove(&hash) else { return Ok(()) };
        self.small_bytes -= bytes.len();
        let mut file = self.incoming()?;
        file.put(&bytes)?;
        file.name(&self.path(Name::Content(hash)))
    }

    /// A file for a content, without its name yet: in the directory that is swept, so that no half of a content outlives a crash.
    fn incoming(&mut self) -> Result<Incoming> {
        self.last_incoming += 1;
        let temporary = self.private.join(format!("{INCOMING}{:032x}", self.last_incoming));
        let file = File::create_new(&temporary).map_err(|e| disk("creating", &temporary, e))?;
        Ok(Incoming { file, temporary, named: false })
    }

    /// Reads up to the end of the file; how many bytes there were.
    pub fn read(&mut self, name: Name, offset: u64, buf: &mut [u8]) -> Result<usize> {
        if let Name::Content(hash) = name
            && let Some(bytes) = self.small.get(&hash)
        {
            let from = bytes.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
            let n = buf.len().min(bytes.len() - from);
            buf[..n].copy_from_slice(&bytes[from..from + n]);
            return Ok(n);
        }
        let path = self.path(name);
        let file = self.file(name)?;
        let mut done = 0;
        while done < buf.len() {
            match file.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(disk("reading", path, e)),
            }
        }
        Ok(done)
    }

    /// Writes all.
    pub fn write(&mut self, number: u64, offset: u64, bytes: &[u8]) -> Result<()> {
        let path = self.path(Name::Private(number));
        let file = self.file(Name::Private(number))?;
        file.write_all_at(bytes, offset).map_err(|e| disk("writing", path, e))
    }

    /// Sets the length.
    pub fn truncate(&mut self, number: u64, size: u64) -> Result<()> {
        let path = self.path(Name::Private(number));
        let file = self.file(Name::Private(number))?;
        file.set_len(size).map_err(|e| disk("cutting", path, e))
    }

    /// Zeroes a range without changing the length.
    pub fn zero(&mut self, number: u64, offset: u64, len: u64) -> Result<()> {
        let path = self.path(Name::Private(number));
        let file = self.file(Name::Private(number))?;
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: a valid descriptor; fallocate touches no memory.
        if unsafe { libc::fallocate(file.as_raw_fd(), mode, offset as i64, len as i64) } == 0 {
            return Ok(());
        }
        let zeroes = vec![0; (1 << 16).min(len) as usize];
        let mut at = 0;
        while at < len {
            let n = (zeroes.len() as u64).min(len - at);
            file.write_all_at(&zeroes[..n as usize], offset + at).map_err(|e| disk("writing", &path, e))?;
            at += n;
        }
        Ok(())
    }

    /// A private copy of another file of the store.
    pub fn copy(&mut self, from: Name) -> Result<u64> {
        let source = self.open(from, false)?;
        let number = self.create()?;
        let path = self.path(Name::Private(number));
        let mut to = self.open(Name::Private(number), true)?;
        copy_all(&source, &mut to, u64::MAX).map_err(|e| disk("copying to", path, e))?;
        Ok(number)
    }

    /// Is this content here, in full length?
    pub fn has(&self, hash: u128, size: u64) -> bool {
        if let Some(bytes) = self.small.get(&hash) {
            return bytes.len() as u64 == size;
        }
        fs::metadata(self.path(Name::Content(hash))).is_ok_and(|m| m.len() == size)
    }

    /// Reads a whole content of about `size` bytes. An error inside is that of reading.
    pub fn fetch(&mut self, mut from: impl Read, size: u64) -> Result<std::io::Result<Fetched>> {
        let mut start = Vec::new();
        if size <= SMALL_BYTES_MAX {
            start.reserve(size as usize + 1);
            if let Err(e) = (&mut from).take(SMALL_BYTES_MAX + 1).read_to_end(&mut start) {
                return Ok(Err(e));
            }
            if start.len() as u64 <= SMALL_BYTES_MAX {
                let (hash, size) = (gapless_log::hash(&start), start.len() as u64);
                return Ok(Ok(Fetched { hash, size, held: Held::Memory(start) }));
            }
        }
        self.fetch_large(start.as_slice().chain(from))
    }

    fn fetch_large(&mut self, mut from: impl Read) -> Result<std::io::Result<Fetched>> {
        // Each part is hashed and written while it is still in the processor's cache.
        let (mut incoming, mut hasher, mut part) = (self.incoming()?, Hasher::new(), vec![0; PART_BYTES]);
        let mut size = 0;
        loop {
            match from.read(&mut part) {
                Ok(0) => {
                    incoming.rewind()?;
                    return Ok(Ok(Fetched { hash: hasher.finish(), size, held: Held::File(incoming) }));
                }
                Ok(n) => {
                    hasher.update(&part[..n]);
                    incoming.put(&part[..n])?;
                    size += n as u64;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Ok(Err(e)),
            }
        }
    }

    /// Starts to receive a content.
    pub fn receive(&mut self, hash: u128, size: u64) -> Result<Receiving> {
        let to = if self.small.contains_key(&hash) {
            To::Nowhere
        } else if size <= SMALL_BYTES_MAX && self.small_bytes + size as usize <= SMALL_BYTES_TOTAL {
            // Sooner than it can be known whether there is a file of it already.
            To::Memory(Vec::with_capacity(size as usize))
        } else if self.has(hash, size) {
            To::Nowhere
        } else {
            To::File(self.incoming()?)
        };
        Ok(Receiving { to, hash, left: size })
    }

    /// Hashes the real bytes of a file of this size, holes and zeroes alike, so that the result does not depend on how the host stores them.
    pub fn hash(&mut self, name: Name, size: u64, h: &mut gapless_log::Hasher) -> Result<()> {
        const BLOCK: usize = 1 << 16;
        let mut buf = vec![0; BLOCK];
        let mut at = 0;
        h.number(size);
        if let Name::Content(hash) = name
            && let Some(bytes) = self.small.get(&hash)
        {
            let blocks = bytes.chunks(BLOCK).zip((0u64..).step_by(BLOCK));
            for (block, at) in blocks.filter(|(block, _)| block.iter().any(|&b| b != 0)) {
                h.number(at);
                h.update(block);
            }
            return Ok(());
        }
        while at < size {
            at = self.next_data(name, at, size)? / BLOCK as u64 * BLOCK as u64;
            if at >= size {
                break;
            }
            let n = self.read(name, at, &mut buf)?;
            if buf[..n].iter().any(|&b| b != 0) {
                h.number(at);
                h.update(&buf[..n]);
            }
            at += BLOCK as u64;
        }
        Ok(())
    }

    /// Where the next bytes that may not be zero begin.
    fn next_data(&mut self, name: Name, at: u64, size: u64) -> Result<u64> {
        Ok(self.seek(name, at, libc::SEEK_DATA)?.map_or(at, |found| found.unwrap_or(size)))
    }

    /// The parts of a range of a file in which there is nothing, as far as the host tells.
    pub fn holes(&mut self, number: u64, start: u64, end: u64) -> Result<Vec<(u64, u64)>> {
        let (name, mut holes, mut at) = (Name::Private(number), Vec::new(), start);
        while at < end {
            let data = self.next_data(name, at, end)?.min(end);
            if at < data {
                holes.push((at, data));
            }
            at = self.seek(name, data, libc::SEEK_HOLE)?.flatten().unwrap_or(end).max(data + 1);
        }
        Ok(holes)
    }

    /// Where data or a hole begins, at `at` or behind; inside none if there is no more up to the file's end, outside none if the host cannot tell.
    fn seek(&mut self, name: Name, at: u64, what: i32) -> Result<Option<Option<u64>>> {
        let file = self.file(name)?;
        // SAFETY: a valid descriptor; the offset of a file of the store is used by nobody (all access names its offset).
        let found = unsafe { libc::lseek(file.as_raw_fd(), at as i64, what) };
        if found >= 0 {
            return Ok(Some(Some((found as u64).max(at))));
        }
        let no_more = std::io::Error::last_os_error().raw_os_error() == Some(libc::ENXIO);
        Ok(no_more.then_some(None))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.open.clear();
        clear(&self.private);
    }
}

/// Is this the name of a content or of a file in a replica's directory?
fn is_own_file(name: &str) -> bool {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    name == LOCK || digits(name) || name.strip_prefix(INCOMING).is_some_and(is_hash)
}

fn is_hash(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Is this the name of a replica's directory?
fn is_instance(name: &str) -> bool {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    name.split_once('-').is_some_and(|(pid, count)| digits(pid) && digits(count))
}

/// Removes a replica's directory: the files of the store's own making, and it if nothing else is left.
fn clear(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        // The lock last: without it nobody could tell whose the rest is.
        if entry.file_name().to_str().is_some_and(|name| name != LOCK && is_own_file(name)) {
            let _ = fs::remove_file(entry.path());
        }
    }
    let _ = fs::remove_file(dir.join(LOCK));
    let _ = fs::remove_dir(dir);
}

/// Removes the directories of replicas that are gone: those of ours whose lock is free.
fn sweep(files: &Path) {
    for entry in fs::read_dir(files).into_iter().flatten().flatten() {
        let ours = entry.file_type().is_ok_and(|t| t.is_dir()) && entry.file_name().to_str().is_some_and(is_instance);
        let Some(lock) = ours.then(|| marked_lock(&entry.path())).flatten() else { continue };
        if lock_exclusively(&lock) {
            clear(&entry.path());
        }
    }
}

/// The lock of a replica's directory, if that is what this is.
fn marked_lock(dir: &Path) -> Option<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let lock = OpenOptions::new().read(true).custom_flags(flags).open(dir.join(LOCK)).ok()?;
    lock.metadata().is_ok_and(|m| m.is_file() && m.len() == 0).then_some(lock)
}

/// Names that a store makes in its directory.
pub const STORE_NAMES: [&str; 2] = [CONTENT, FILES];

/// The first thing below `dir` that stands where a store keeps its files and is none of them; `None` if a store may use the directory.
pub fn foreign(dir: &Path) -> Option<PathBuf> {
    let other = |dir: PathBuf, ours: fn(&Path, &str) -> bool| {
        if fs::symlink_metadata(&dir).is_ok_and(|m| !m.is_dir()) {
            return Some(dir);
        }
        let list = fs::read_dir(dir).into_iter().flatten().flatten();
        list.map(|e| e.path()).find(|p| !p.file_name().and_then(|n| n.to_str()).is_some_and(|name| ours(p, name)))
    };
    other(dir.join(CONTENT), |_, name| is_hash(name))
        .or_else(|| other(dir.join(FILES), |path, name| is_instance(name) && marked_lock(path).is_some()))
}

/// An error of the disk below a store, which is this side's own.
/// Copies what is left of `from`, or so many bytes, to a new file; how many there were. `io::copy` uses copy_file_range, which shares blocks where
/// the file system can; a signal of the supervisor's that comes in the middle ends that with EINTR, after any part of it.
pub(super) fn copy_all(from: &File, to: &mut File, at_most: u64) -> std::io::Result<u64> {
    loop {
        let done = to.stream_position()?;
        match std::io::copy(&mut from.take(at_most - done), to) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            copied => return copied.map(|n| done + n),
        }
    }
}

fn disk(what: &'static str, path: impl Into<PathBuf>, e: std::io::Error) -> Error {
    Error::disk(what, path, e)
}

/// A file that has not its name yet, and is removed if it never gets it: a full disk gets its room back.
#[derive(Debug)]
struct Incoming {
    file: File,
    temporary: PathBuf,
    named: bool,
}

impl Incoming {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| disk("writing", &self.temporary, e))
    }

    /// Begins again, to be read.
    fn rewind(&mut self) -> Result<()> {
        self.file.rewind().map_err(|e| disk("reading", &self.temporary, e))
    }

    /// The next bytes, at most `len`.
    fn get(&mut self, len: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len);
        let read = (&self.file).take(len as u64).read_to_end(&mut bytes);
        read.map(|_| bytes).map_err(|e| disk("reading", &self.temporary, e))
    }

    /// It is whole.
    fn name(mut self, path: &Path) -> Result<()> {
        let named = self.file.metadata().and_then(|m| {
            let mut permissions = m.permissions();
            permissions.set_readonly(true);
            self.file.set_permissions(permissions)?;
            fs::rename(&self.temporary, path)
        });
        self.named = named.is_ok();
        named.map_err(|e| disk("naming", &self.temporary, e))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.named {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// A content that has been read from the host.
#[derive(Debug)]
pub struct Fetched {
    hash: u128,
    size: u64,
    held: Held,
}

/// Where its bytes are.
#[derive(Debug)]
enum Held {
    Memory(Vec<u8>),
    File(Incoming),
}

impl Fetched {
    /// Hash of the bytes.
    pub fn hash(&self) -> u128 {
        self.hash
    }

    /// How many there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes: at most `len`, which is not less than [`SMALL_BYTES_MAX`].
    pub fn next(&mut self, len: usize) -> Result<Vec<u8>> {
        match &mut self.held {
            Held::Memory(bytes) => Ok(bytes.clone()),
            Held::File(incoming) => incoming.get(len),
        }
    }

    /// Puts it into the store.
    pub fn keep(self, store: &mut Store) -> Result<()> {
        match self.held {
            Held::File(_) if store.has(self.hash, self.size) => Ok(()),
            Held::File(incoming) => incoming.name(&store.path(Name::Content(self.hash))),
            Held::Memory(bytes) => {
                let mut receiving = store.receive(self.hash, self.size)?;
                receiving.put(&bytes)?;
                receiving.finish(store)
            }
        }
    }
}

/// A content on its way into the store.
#[derive(Debug)]
pub struct Receiving {
    to: To,
    hash: u128,
    left: u64,
}

/// Where it is put.
#[derive(Debug)]
enum To {
    /// It is here already.
    Nowhere,
    Memory(Vec<u8>),
    File(Incoming),
}

impl Receiving {
    /// Bytes that are still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Takes the next bytes.
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            Error::Refused(format!(
                "content {:032x} is longer than its size; the log is not one of this version",
                self.hash
            ))
        })?;
        match &mut self.to {
            To::Nowhere => Ok(()),
            To::Memory(all) => {
                all.extend_from_slice(bytes);
                Ok(())
            }
            To::File(incoming) => incoming.put(bytes),
        }
    }

    /// All bytes have come.
    pub fn finish(self, store: &mut Store) -> Result<()> {
        assert_eq!(self.left, 0, "a content is finished when it is whole");
        match self.to {
            To::Nowhere => {}
            To::Memory(bytes) => {
                store.small_bytes += bytes.len();
                store.small.insert(self.hash, bytes);
            }
            To::File(incoming) => incoming.name(&store.path(Name::Content(self.hash)))?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    extern "C" fn nothing(_: i32) {}

    /// Brings a content of this size into the store, in two parts.
    fn bring(store: &mut Store, hash: u128, bytes: &[u8]) {
        let mut receiving = store.receive(hash, bytes.len() as u64).unwrap();
        let (first, second) = bytes.split_at(bytes.len() / 3);
        receiving.put(first).unwrap();
        receiving.put(second).unwrap();
        receiving.finish(store).unwrap();
    }

    #[test]
    fn a_small_content_has_a_file_once_it_is_needed_and_reads_the_same_before_and_after() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::new(dir.path()).unwrap();
        let files = || fs::read_dir(dir.path().join(CONTENT)).unwrap().count();
        let digest = |store: &mut Store, hash, size| {
            let mut h = gapless_log::Hasher::new();
            store.hash(Name::Content(hash), size, &mut h).unwrap();
            h.finish()
        };
        for (hash, size) in [(1, 0), (2, 10), (3, SMALL_BYTES_MAX)] {
            let bytes: Vec<u8> = (0..size).map(|n| (n / 7 % 251) as u8).collect();
            let before = files();
            bring(&mut store, hash, &bytes);
            assert!(store.has(hash, size) && !store.has(hash, size + 1) && files() == before);
            // What comes again is not kept twice.
            bring(&mut store, hash, &bytes);
            let in_memory = digest(&mut store, hash, size);
            let mut some = [0; 16];
            let n = store.read(Name::Content(hash), 3, &mut some).unwrap();
            assert_eq!(some[..n], bytes[3.min(bytes.len())..19.min(bytes.len())]);
            let copy = store.copy(Name::Content(hash)).unwrap();
            assert_eq!(fs::read(store.path(Name::Private(copy))).unwrap(), bytes);
            let mut real = Vec::new();
            store.open(Name::Content(hash), false).unwrap().read_to_end(&mut real).unwrap();
            assert!(real == bytes && files() == before + 1 && store.has(hash, size));
            assert_eq!(digest(&mut store, hash, size), in_memory);
            assert_eq!(store.read(Name::Content(hash), 3, &mut some).unwrap(), n);
        }
        assert_eq!(store.small_bytes, 0);
        bring(&mut store, 4, &vec![1; SMALL_BYTES_MAX as usize + 1]);
        assert_eq!((store.small.len(), files()), (0, 4));
    }

    /// The file may have another length by then than it had before, and another content a moment later.
    #[test]
    fn what_was_read_is_what_is_hashed_told_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::new(dir.path()).unwrap();
        let (small, part) = (SMALL_BYTES_MAX as usize, PART_BYTES);
        for (size, expected) in [(0, 0), (10, 9), (small, small), (small + 1, small), (3 * part + 7, 20), (9, 9 * part)]
        {
            let bytes: Vec<u8> = (0..size).map(|n| (n / 7 % 251) as u8).collect();
            let mut fetched = store.fetch(bytes.as_slice(), expected as u64).unwrap().unwrap();
            let (hash, mut told) = (fetched.hash(), Vec::new());
            assert_eq!((hash, fetched.size()), (gapless_log::hash(&bytes), size as u64));
            while told.len() < size {
                told.extend(fetched.next(small).unwrap());
            }
            assert!(told == bytes);
            fetched.keep(&mut store).unwrap();
            let mut kept = vec![0; size + 1];
            assert_eq!(store.read(Name::Content(hash), 0, &mut kept).unwrap(), size);
            assert!(kept[..size] == bytes && store.has(hash, size as u64));
            let view = store.view(hash, 0, u64::MAX).unwrap();
            assert!(view[..size] == bytes);
        }
        assert_eq!(fs::read_dir(&store.private).unwrap().count(), 1, "only the lock");
    }

    /// Timers and children send the supervisor's thread signals at any time.
    #[test]
    fn a_copy_goes_on_after_any_signal() {
        // SAFETY: a handler that does nothing, without SA_RESTART, for a signal that nobody else uses here.
        let me = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize;
            libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut());
            libc::pthread_self()
        };
        let bytes: Vec<u8> = (0..8u32 << 20).map(|n| (n / 1000) as u8).collect();
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, &bytes).unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // SAFETY: the thread lives until this scope ends.
                    unsafe { libc::pthread_kill(me, libc::SIGUSR2) };
                }
            });
            let mut wrong = None;
            for at_most in [u64::MAX, 5_000_000, u64::MAX, u64::MAX] {
                let mut copy = File::create(&to).unwrap();
                let copied = copy_all(&File::open(&from).unwrap(), &mut copy, at_most);
                let whole = bytes.len().min(usize::try_from(at_most).unwrap());
                let same =
                    copied.as_ref().is_ok_and(|&n| n == whole as u64) && std::fs::read(&to).unwrap() == bytes[..whole];
                wrong = wrong.or((!same).then(|| format!("{copied:?} of {whole}")));
            }
            over.store(true, Ordering::Relaxed);
            assert_eq!(wrong, None);
        });
    }
}
