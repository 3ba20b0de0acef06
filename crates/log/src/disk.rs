//! The few file operations that change a log directory, all in one place so that a test can fail, tear or record any of them.
//!
//! Reading is not here: whoever reads cannot harm. What is left out: caching, and any decision about what an error means.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The file system, or the file system with a [`Probe`] in front of it.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    probe: Option<Arc<Mutex<Probe>>>,
}

/// One operation that changed a directory, in the order carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// A new empty file.
    Create(PathBuf),
    /// Bytes put at an offset.
    Write(PathBuf, u64, Vec<u8>),
    /// The length changed.
    SetLen(PathBuf, u64),
    /// Contents and length made durable.
    SyncData(PathBuf),
    /// Names in a directory made durable.
    SyncDir(PathBuf),
    /// A file renamed over another.
    Rename(PathBuf, PathBuf),
    /// A file removed.
    Remove(PathBuf),
}

/// What to do to one operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Which operation, counted from 0.
    pub at: usize,
    /// The error number it answers with.
    pub errno: i32,
    /// How many bytes of a write still reach the file.
    pub keep_bytes: usize,
    /// Every later operation fails too, as on a dead disk.
    pub for_ever: bool,
}

/// Records operations and injects one fault.
#[derive(Debug, Default)]
pub struct Probe {
    /// Everything that was carried out, failed operations left out.
    pub ops: Vec<Op>,
    /// Operations asked for, failed ones included.
    pub asked: usize,
    /// What goes wrong.
    pub fault: Option<Fault>,
}

impl Probe {
    /// How many bytes of a write of `len` to let through, and the error to answer with.
    fn verdict(&mut self, len: usize) -> Option<(usize, io::Error)> {
        let n = self.asked;
        self.asked += 1;
        let fault = self.fault?;
        let hit = n == fault.at || (fault.for_ever && n > fault.at);
        let keep = if n == fault.at { fault.keep_bytes.min(len) } else { 0 };
        hit.then(|| (keep, io::Error::from_raw_os_error(fault.errno)))
    }
}

impl Disk {
    /// The file system with a probe in front; the probe may be looked at from outside.
    pub fn probed(probe: Arc<Mutex<Probe>>) -> Self {
        Self { probe: Some(probe) }
    }

    fn run<T>(&self, op: impl FnOnce() -> Op, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Some(probe) = &self.probe else {
            return work();
        };
        let mut probe = probe.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, error)) = probe.verdict(0) {
            return Err(error);
        }
        let done = work()?;
        probe.ops.push(op());
        Ok(done)
    }

    /// Makes a new file; it must not exist.
    pub fn create(&self, path: &Path) -> io::Result<File> {
        self.run(
            || Op::Create(path.to_owned()),
            || OpenOptions::new().read(true).write(true).create_new(true).open(path),
        )
    }

    /// Writes all of `bytes` at `offset`.
    pub fn write_at(&self, path: &Path, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let Some(probe) = &self.probe else {
            return file.write_all_at(bytes, offset);
        };
        let mut probe = probe.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = probe.verdict(bytes.len());
        let keep = verdict.as_ref().map_or(bytes.len(), |(keep, _)| *keep);
        file.write_all_at(&bytes[..keep], offset)?;
        if keep > 0 {
            probe.ops.push(Op::Write(path.to_owned(), offset, bytes[..keep].to_vec()));
        }
        verdict.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Cuts a file (or lengthens it with zeros).
    pub fn set_len(&self, path: &Path, file: &File, len: u64) -> io::Result<()> {
        self.run(|| Op::SetLen(path.to_owned(), len), || file.set_len(len))
    }

    /// Makes a file's contents durable.
    pub fn sync_data(&self, path: &Path, file: &File) -> io::Result<()> {
        self.run(|| Op::SyncData(path.to_owned()), || file.sync_data())
    }

    /// Makes a directory's names durable.
    pub fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.run(|| Op::SyncDir(dir.to_owned()), || File::open(dir)?.sync_all())
    }

    /// Replaces `to` by `from`.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(|| Op::Rename(from.to_owned(), to.to_owned()), || std::fs::rename(from, to))
    }

    /// Removes a file.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        self.run(|| Op::Remove(path.to_owned()), || std::fs::remove_file(path))
    }
}

/// What a power cut leaves of recorded operations, as far as POSIX promises anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Survives {
    /// Only the processes died: the page cache is whole.
    Everything,
    /// Only what was synced: contents by [`Op::SyncData`], names by [`Op::SyncDir`].
    Synced,
    /// What was synced, and of the rest whatever this seed picks, block by block.
    Some(u64),
}

/// The files of one directory as they stand after a crash: name to contents.
pub type Image = BTreeMap<PathBuf, Vec<u8>>;

/// Computes what is found after a crash that follows `ops`.
pub fn after_crash(ops: &[Op], survives: Survives) -> Image {
    let mut shadow = Shadow::default();
    for op in ops {
        shadow.apply(op);
    }
    shadow.image(survives)
}

/// Files by number, so that a name can change what it names.
#[derive(Default)]
struct Shadow {
    files: Vec<ShadowFile>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
}

#[derive(Default)]
struct ShadowFile {
    now: Vec<u8>,
    durable: Vec<u8>,
}

impl Shadow {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Create(path) => {
                self.files.push(ShadowFile::default());
                self.names.insert(path.clone(), self.files.len() - 1);
            }
            Op::Write(path, offset, bytes) => {
                let now = &mut self.file(path).now;
                let (start, end) = (*offset as usize, *offset as usize + bytes.len());
                now.resize(now.len().max(end), 0);
                now[start..end].copy_from_slice(bytes);
            }
            Op::SetLen(path, len) => self.file(path).now.resize(*len as usize, 0),
            Op::SyncData(path) => {
                let file = self.file(path);
                file.durable = file.now.clone();
            }
            Op::SyncDir(_) => self.durable_names = self.names.clone(),
            Op::Rename(from, to) => {
                let file = self.names.remove(from).expect("renamed file was created");
                self.names.insert(to.clone(), file);
            }
            Op::Remove(path) => {
                self.names.remove(path);
            }
        }
    }

    fn file(&mut self, path: &Path) -> &mut ShadowFile {
        &mut self.files[self.names[path]]
    }

    fn image(&self, survives: Survives) -> Image {
        match survives {
            Survives::Everything => self.names.iter().map(|(p, &f)| (p.clone(), self.files[f].now.clone())).collect(),
            Survives::Synced => {
                self.durable_names.iter().map(|(p, &f)| (p.clone(), self.files[f].durable.clone())).collect()
            }
            Survives::Some(seed) => {
                let mut dice = Dice(seed);
                let names = if dice.coin() { &self.names } else { &self.durable_names };
                names.iter().map(|(p, &f)| (p.clone(), self.files[f].some(&mut dice))).collect()
            }
        }
    }
}

/// Blocks in which a disk keeps or loses unsynced bytes; small, so that small tests have many.
const BLOCK_BYTES: usize = 512;

impl ShadowFile {
    fn some(&self, dice: &mut Dice) -> Vec<u8> {
        let (short, long) = (self.durable.len().min(self.now.len()), self.durable.len().max(self.now.len()));
        let mut out = self.now.clone();
        out.resize(short + dice.below(long - short + 1), 0);
        for (i, block) in out.chunks_mut(BLOCK_BYTES).enumerate() {
            if dice.coin() {
                for (j, byte) in block.iter_mut().enumerate() {
                    *byte = self.durable.get(i * BLOCK_BYTES + j).copied().unwrap_or(0);
                }
            }
        }
        out
    }
}

/// splitmix64: a seed gives the same choices everywhere.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.roll() % n as u64) as usize
    }

    /// Heads or tails.
    pub fn coin(&mut self) -> bool {
        self.roll() >> 63 == 1
    }
}
