//! Bytes of files, in files of the log directory.
//!
//! `content/<hash>` holds shipped contents: written once, read-only after, common to all replicas that use the directory.
//! `files/<instance>/<number>` holds what this replica's program has written; every start of a replica gets an empty directory of its own (a
//! replay rebuilds everything), locked while it lives and removed when it ends. Directories of dead replicas are swept at the next start.
//!
//! Errors here are this side's own (disk full, directory gone): they stop it, and the program never sees them.

use gapless_log::{Error, Result};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

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
    open: BTreeMap<Name, (u64, File)>,
    uses: u64,
    last_number: u64,
}

/// Tells the replicas of one supervisor process apart.
static INSTANCES: AtomicU64 = AtomicU64::new(0);

fn lock_exclusively(file: &File) -> bool {
    // SAFETY: a valid descriptor; flock touches no memory.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

impl Store {
    /// Makes the directories and sweeps what dead replicas left.
    pub fn new(log_dir: &Path) -> Result<Self> {
        let content = log_dir.join("content");
        let files = log_dir.join("files");
        for dir in [&content, &files] {
            fs::create_dir_all(dir).map_err(|e| Error::io("create directory", dir, e))?;
        }
        sweep(&files);
        let name = format!("{}-{}", std::process::id(), INSTANCES.fetch_add(1, Ordering::Relaxed));
        // Locked before it gets its final name, so that no sweeper takes it for a dead one.
        let (fresh, private) = (files.join(format!("new-{name}")), files.join(&name));
        let _ = fs::remove_dir_all(&private);
        let _ = fs::remove_dir_all(&fresh);
        fs::create_dir(&fresh).map_err(|e| Error::io("create directory", &fresh, e))?;
        let lock_path = fresh.join("lock");
        let lock = File::create(&lock_path).map_err(|e| Error::io("create", &lock_path, e))?;
        if !lock_exclusively(&lock) {
            return Err(Error::io("lock", lock_path, std::io::Error::last_os_error()));
        }
        fs::rename(&fresh, &private).map_err(|e| Error::io("rename", &fresh, e))?;
        Ok(Self { content, private, _lock: lock, open: BTreeMap::new(), uses: 0, last_number: 0 })
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
            .map_err(|e| Error::io("create", &path, e))?;
        self.keep(Name::Private(number), file);
        Ok(number)
    }

    /// Nothing needs this file any more.
    pub fn remove(&mut self, number: u64) -> Result<()> {
        self.open.remove(&Name::Private(number));
        let path = self.path(Name::Private(number));
        fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))
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
    pub fn open(&self, name: Name, writable: bool) -> Result<File> {
        let path = self.path(name);
        OpenOptions::new().read(true).write(writable).open(&path).map_err(|e| Error::io("open", &path, e))
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

    /// Reads up to the end of the file; how many bytes there were.
    pub fn read(&mut self, name: Name, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let path = self.path(name);
        let file = self.file(name)?;
        let mut done = 0;
        while done < buf.len() {
            match file.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("read", path, e)),
            }
        }
        Ok(done)
    }

    /// Writes all.
    pub fn write(&mut self, number: u64, offset: u64, bytes: &[u8]) -> Result<()> {
        let path = self.path(Name::Private(number));
        let file = self.file(Name::Private(number))?;
        file.write_all_at(bytes, offset).map_err(|e| Error::io("write", path, e))
    }

    /// Sets the length.
    pub fn truncate(&mut self, number: u64, size: u64) -> Result<()> {
        let path = self.path(Name::Private(number));
        let file = self.file(Name::Private(number))?;
        file.set_len(size).map_err(|e| Error::io("truncate", path, e))
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
            file.write_all_at(&zeroes[..n as usize], offset + at).map_err(|e| Error::io("write", &path, e))?;
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
        // `io::copy` uses copy_file_range, which shares blocks where the file system can.
        std::io::copy(&mut &source, &mut to).map_err(|e| Error::io("copy to", path, e))?;
        Ok(number)
    }

    /// Is this content here, in full length?
    pub fn has(&self, hash: u128, size: u64) -> bool {
        fs::metadata(self.path(Name::Content(hash))).is_ok_and(|m| m.len() == size)
    }

    /// Starts to receive a content.
    pub fn receive(&self, hash: u128, size: u64) -> Result<Receiving> {
        if self.has(hash, size) {
            return Ok(Receiving { to: None, path: self.path(Name::Content(hash)), left: size });
        }
        let name = format!(".{hash:032x}-{}-{}", std::process::id(), INSTANCES.fetch_add(1, Ordering::Relaxed));
        let temporary = self.content.join(name);
        let file = File::create(&temporary).map_err(|e| Error::io("create", &temporary, e))?;
        Ok(Receiving { to: Some((file, temporary)), path: self.path(Name::Content(hash)), left: size })
    }

    /// Hashes the real bytes of a file of this size, holes and zeroes alike, so that the result does not depend on how the host stores them.
    pub fn hash(&mut self, name: Name, size: u64, h: &mut gapless_log::Hasher) -> Result<()> {
        const BLOCK: usize = 1 << 16;
        let mut buf = vec![0; BLOCK];
        let mut at = 0;
        h.number(size);
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
        let file = self.file(name)?;
        // SAFETY: a valid descriptor; the offset of a file of the store is used by nobody (all access names its offset).
        let found = unsafe { libc::lseek(file.as_raw_fd(), at as i64, libc::SEEK_DATA) };
        if found >= 0 {
            return Ok((found as u64).max(at));
        }
        let no_more = std::io::Error::last_os_error().raw_os_error() == Some(libc::ENXIO);
        Ok(if no_more { size } else { at })
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.open.clear();
        let _ = fs::remove_dir_all(&self.private);
    }
}

/// Removes the directories of replicas that are gone: those whose lock is free.
fn sweep(files: &Path) {
    let Ok(list) = fs::read_dir(files) else { return };
    for entry in list.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b"new-") {
            continue;
        }
        let dead = match File::open(entry.path().join("lock")) {
            Ok(file) => lock_exclusively(&file),
            Err(_) => true,
        };
        if dead {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A content on its way into the store. It gets its name only when it is whole.
#[derive(Debug)]
pub struct Receiving {
    to: Option<(File, PathBuf)>,
    path: PathBuf,
    left: u64,
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
                "content {} is longer than its size; the log is not one of this version",
                self.path.display()
            ))
        })?;
        if let Some((file, path)) = &mut self.to {
            file.write_all(bytes).map_err(|e| Error::io("write", &*path, e))?;
        }
        Ok(())
    }

    /// All is there: it gets its name.
    pub fn finish(self) -> Result<()> {
        assert_eq!(self.left, 0, "a content is finished when all its bytes have come");
        if let Some((_, temporary)) = self.to {
            let mut permissions = fs::metadata(&temporary).map_err(|e| Error::io("stat", &temporary, e))?.permissions();
            permissions.set_readonly(true);
            fs::set_permissions(&temporary, permissions).map_err(|e| Error::io("chmod", &temporary, e))?;
            fs::rename(&temporary, &self.path).map_err(|e| Error::io("rename", &temporary, e))?;
        }
        Ok(())
    }
}
