//! A versioned cell on disk: the bytes of one register with its number and a checksum, replaced whole or not at all.
//!
//! The rule it keeps: whatever moment the writer dies at, a reader finds the old value or the new one. The new one is written to a
//! temporary file, synced, renamed over the old one, and the directory is synced before anybody is told.
//! It knows nothing of compare-and-put and nothing of locks; [`super::file`] and [`crate::witness`] bring those.
//!
//! ```text
//!  0  magic "GLR1"   4  uuid u128   20  version u64   28  length of body u32   32  crc32 of bytes 0..32 and body   36  body
//! ```

use crate::{Expect, Register};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Longest body; a register is about a hundred bytes.
pub const BODY_BYTES_MAX: usize = 16 << 10;
const HEADER_BYTES: usize = 36;
const MAGIC: [u8; 4] = *b"GLR1";

/// What a cell holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cell {
    /// Tells two histories apart that have the same version.
    pub uuid: u128,
    /// Number of this value; 1 for the first.
    pub v: u64,
    /// The value.
    pub body: Vec<u8>,
}

impl Cell {
    /// The cell that holds `register`.
    pub fn of(register: &Register) -> Self {
        Self { uuid: register.uuid, v: register.term.0, body: register.encode() }
    }

    /// The register that it holds; `None` if this version cannot read it.
    pub fn register(&self) -> Option<Register> {
        Register::decode(&self.body).filter(|r| r.uuid == self.uuid && r.term.0 == self.v)
    }

    /// Is this what `expect` names?
    pub fn is_expected(standing: Option<&Cell>, expect: Expect) -> bool {
        match (expect, standing) {
            (Expect::Absent, None) => true,
            (Expect::At { uuid, term }, Some(cell)) => cell.uuid == uuid && cell.v == term.0,
            _ => false,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.body.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.uuid.to_le_bytes());
        out.extend_from_slice(&self.v.to_le_bytes());
        out.extend_from_slice(&(self.body.len() as u32).to_le_bytes());
        let mut crc = crc32fast::Hasher::new();
        crc.update(&out);
        crc.update(&self.body);
        out.extend_from_slice(&crc.finalize().to_le_bytes());
        out.extend_from_slice(&self.body);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() < HEADER_BYTES {
            return Err("shorter than a header");
        }
        let (head, body) = bytes.split_at(HEADER_BYTES);
        if head[..4] != MAGIC {
            return Err("not a register file");
        }
        let length = u32::from_le_bytes(head[28..32].try_into().expect("4 bytes")) as usize;
        if length != body.len() || length > BODY_BYTES_MAX {
            return Err("length does not match");
        }
        let mut crc = crc32fast::Hasher::new();
        crc.update(&head[..32]);
        crc.update(body);
        if crc.finalize().to_le_bytes() != head[32..36] {
            return Err("checksum does not match");
        }
        let uuid = u128::from_le_bytes(head[4..20].try_into().expect("16 bytes"));
        let v = u64::from_le_bytes(head[20..28].try_into().expect("8 bytes"));
        Ok(Self { uuid, v, body: body.to_vec() })
    }
}

/// Why a cell could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The file is not what was written.
    #[error(
        "register file {} is corrupt: {what}; it says who may go live, so it is never guessed: restore it from the other machine's \
         copy, or remove it after making sure that nothing of this pair runs",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// The moments of a write at which a machine can die. Tests stop at each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Before anything.
    Begin,
    /// The temporary file exists and is empty.
    Created,
    /// This many bytes of the temporary file are written.
    Written(usize),
    /// The temporary file is synced.
    Synced,
    /// It carries the register's name.
    Renamed,
    /// The directory is synced; nobody was told yet.
    Done,
}

/// Reads the cell at `path`; `None` if there is none. What it returns is durable: a rename that a dead writer left unsynced is synced
/// first.
pub fn load(path: &Path) -> Result<Option<Cell>, Error> {
    let io = |what, source| Error::Io { what, path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io("opening register file", e)),
    };
    let mut bytes = Vec::new();
    let limit = (HEADER_BYTES + BODY_BYTES_MAX + 1) as u64;
    file.take(limit).read_to_end(&mut bytes).map_err(|e| io("reading register file", e))?;
    let cell = Cell::decode(&bytes).map_err(|what| Error::Corrupt { path: path.to_owned(), what })?;
    sync_directory(path)?;
    Ok(Some(cell))
}

/// Replaces the cell at `path`. The caller holds whatever lock keeps others away.
pub fn store(path: &Path, cell: &Cell) -> Result<(), Error> {
    store_stopping(path, cell, &mut |_| Ok(()))
}

/// [`store`] with a hook that is asked before each step and may stop there, as a crash would.
pub fn store_stopping(path: &Path, cell: &Cell, before: &mut dyn FnMut(Step) -> io::Result<()>) -> Result<(), Error> {
    let temporary = temporary(path);
    let io = |what, path: &Path, source| Error::Io { what, path: path.to_owned(), source };
    let step = |result: io::Result<()>, what| result.map_err(|e| io(what, &temporary, e));
    let bytes = cell.encode();
    step(before(Step::Begin), "starting")?;
    let mut file = File::create(&temporary).map_err(|e| io("creating", &temporary, e))?;
    step(before(Step::Created), "creating")?;
    for (i, piece) in bytes.chunks(WRITE_BYTES).enumerate() {
        step(file.write_all(piece), "writing")?;
        step(before(Step::Written(i * WRITE_BYTES + piece.len())), "writing")?;
    }
    step(file.sync_all(), "syncing")?;
    step(before(Step::Synced), "syncing")?;
    fs::rename(&temporary, path).map_err(|e| io("renaming over", path, e))?;
    step(before(Step::Renamed), "renaming")?;
    sync_directory(path)?;
    step(before(Step::Done), "finishing")
}

/// Registers are written in pieces of this size, so that a test can stop between any two.
const WRITE_BYTES: usize = 16;

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

/// The directory that holds `path`.
pub fn directory(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn sync_directory(path: &Path) -> Result<(), Error> {
    let directory = directory(path);
    let synced = File::open(&directory).and_then(|d| d.sync_all());
    synced.map_err(|source| Error::Io { what: "syncing directory", path: directory, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(v: u64) -> Cell {
        Cell { uuid: 9, v, body: (0..v as u8 + 40).collect() }
    }

    /// Every step at which a write of `cell` can stop.
    fn steps(cell: &Cell) -> Vec<Step> {
        let dir = tempfile::tempdir().unwrap();
        let mut steps = Vec::new();
        store_stopping(&dir.path().join("r"), cell, &mut |s| {
            steps.push(s);
            Ok(())
        })
        .unwrap();
        steps
    }

    #[test]
    fn a_writer_that_dies_at_any_write_leaves_the_old_or_the_new_value() {
        let (old, new) = (cell(1), cell(2));
        let steps = steps(&new);
        assert!(steps.len() > 6, "{steps:?}");
        for &stop in &steps {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("r");
            store(&path, &old).unwrap();
            let died = store_stopping(&path, &new, &mut |s| {
                if s == stop { Err(io::Error::other("died")) } else { Ok(()) }
            });
            assert!(died.is_err());
            let expected = if matches!(stop, Step::Renamed | Step::Done) { &new } else { &old };
            assert_eq!(load(&path).unwrap().as_ref(), Some(expected), "stopped at {stop:?}");
            // What the dead writer left behind does not disturb the next one.
            store(&path, &cell(3)).unwrap();
            assert_eq!(load(&path).unwrap(), Some(cell(3)));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found_and_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r");
        store(&path, &cell(7)).unwrap();
        let whole = fs::read(&path).unwrap();
        let mut damaged: Vec<Vec<u8>> = (0..whole.len()).map(|n| whole[..n].to_vec()).collect();
        damaged.push([&whole[..], &[0]].concat());
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            damaged.push(bytes);
        }
        for bytes in damaged {
            fs::write(&path, &bytes).unwrap();
            let error = load(&path).expect_err("damage must be found").to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn an_absent_cell_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(&dir.path().join("r")).unwrap(), None);
    }
}
