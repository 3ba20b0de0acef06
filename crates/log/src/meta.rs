//! `meta`: the small file that says whose log a directory holds and what was promised about it.
//!
//! It is replaced as a whole: written beside, synced, renamed over, directory synced. So there is always exactly one, old or new.
//! What it leaves out: anything that changes with every entry.
//!
//! ```text
//!   0  magic "GLM1"        4  version u16      6  level u8    7  commit level u8 (0 received, 1 durable)
//!   8  uuid u128
//!  24  flags u32: 1 identity, 2 life, 4 highest, 8 intent     28  zero u32
//!  32  life, 24 bytes     56  boot id u128
//!  72  highest uuid u128  88  highest v u64
//!  96  base seq u64      104  base position u64              112  base chain u128
//! 128  generation u64    136  identity bytes u32             140  intent bytes u32
//! 144  identity: level, code, features (each varint length and UTF-8; features are counted by a varint)
//!  ..  intent            ..  crc32 of everything before
//! ```

use crate::bytes::{u16_at, u32_at, u64_at, u128_at};
use crate::disk::Disk;
use crate::error::disk_error;
use crate::{Digest, Error, Identity, Level, Position, Reader, Result, Seq, VERSION, Varint};
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};

/// Name of the file in a log directory.
pub const META_NAME: &str = "meta";
pub(crate) const META_NEW_NAME: &str = "meta.new";
/// Longest `meta` that is read.
pub const META_BYTES_MAX: usize = 1 << 20;
const META_HEADER_BYTES: usize = 144;
const META_MAGIC: [u8; 4] = *b"GLM1";

/// When an entry counts as held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum CommitLevel {
    /// Written to this side's log file, and in the other side's memory.
    Received = 0,
    /// On both disks.
    Durable = 1,
}

/// Where a log begins: after the entries that a snapshot covers. All zero for a log that begins at the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Base {
    /// Number of the first entry that the log holds.
    pub seq: Seq,
    /// Position before it.
    pub position: Position,
    /// Chain hash of everything before it.
    pub chain: Digest,
}

/// What a log directory says of itself. Every field but `uuid`, `level` and `base` is the business of whoever runs the pair.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Meta {
    /// Names the log; both sides of a pair hold the same one.
    pub uuid: u128,
    /// Which level writes it.
    pub level: Level,
    /// When its outputs may leave.
    pub commit: CommitLevel,
    /// What it takes to execute it.
    pub identity: Option<Identity>,
    /// The life that this directory belongs to: node and random number, in the pair's own encoding.
    pub life: Option<[u8; 24]>,
    /// [`boot_id`] when a live process last promised anything about this directory. Store it before acknowledging or releasing
    /// the first time; compare it before that to find out whether the page cache was lost.
    pub boot: u128,
    /// Highest (uuid, v) of the register that was seen.
    pub highest: Option<(u128, u64)>,
    /// A put that was sent and whose outcome is unknown, in the pair's own encoding.
    pub intent: Option<Vec<u8>>,
    /// Generation of its channels; raised by every go-live that may have lost entries.
    pub generation: u64,
    /// Where it begins.
    pub base: Base,
}

impl Meta {
    /// A new log that begins at the beginning, of this boot.
    pub fn new(level: Level) -> Result<Self> {
        Ok(Self {
            uuid: random_u128()?,
            level,
            commit: CommitLevel::Received,
            identity: None,
            life: None,
            boot: boot_id()?,
            highest: None,
            intent: None,
            generation: 0,
            base: Base::default(),
        })
    }

    /// Reads `dir/meta`; `None` if there is none.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(META_NAME);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("reading", path, e)),
        };
        match Self::decode(&bytes) {
            Ok(meta) => Ok(Some(meta)),
            Err((offset, what)) => {
                Err(Error::Corrupt { file: path, offset: offset as u64, what: what.to_owned(), advice: ADVICE })
            }
        }
    }

    /// Reads `dir/meta`, which must be there: whoever is to execute or continue a log asks this before anything is made.
    pub fn require(dir: &Path) -> Result<Self> {
        Self::load(dir)?.ok_or_else(|| {
            Error::Refused(format!(
                "{} holds no log (it has no `meta` file); check the path, or record one first",
                dir.display()
            ))
        })
    }

    /// Replaces `dir/meta`; durable when this returns. Only the holder of the directory's [`crate::DirLock`] may call it.
    pub fn store(&self, dir: &Path) -> Result<()> {
        self.store_on(&Disk::default(), dir)
    }

    pub(crate) fn store_on(&self, disk: &Disk, dir: &Path) -> Result<()> {
        let (new, path) = (dir.join(META_NEW_NAME), dir.join(META_NAME));
        let written = remove_if_there(disk, &new).and_then(|()| {
            let file = disk.create(&new)?;
            disk.write_at(&new, &file, &self.encode(), 0)?;
            disk.sync_data(&new, &file)?;
            disk.rename(&new, &path)?;
            disk.sync_dir(dir)
        });
        written.map_err(|e| disk_error("writing", path, e))
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let identity = self.identity.as_ref().map(encode_identity);
        let flag = |set: bool, bit: u32| if set { bit } else { 0 };
        let flags = flag(identity.is_some(), 1)
            | flag(self.life.is_some(), 2)
            | flag(self.highest.is_some(), 4)
            | flag(self.intent.is_some(), 8);
        let identity = identity.unwrap_or_default();
        let intent = self.intent.as_deref().unwrap_or_default();
        let (highest_uuid, highest_v) = self.highest.unwrap_or_default();
        let mut out = Vec::with_capacity(META_HEADER_BYTES + identity.len() + intent.len() + 4);
        out.extend_from_slice(&META_MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[self.level as u8, self.commit as u8]);
        out.extend_from_slice(&self.uuid.to_le_bytes());
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.life.unwrap_or_default());
        out.extend_from_slice(&self.boot.to_le_bytes());
        out.extend_from_slice(&highest_uuid.to_le_bytes());
        out.extend_from_slice(&highest_v.to_le_bytes());
        out.extend_from_slice(&self.base.seq.0.to_le_bytes());
        out.extend_from_slice(&self.base.position.0.to_le_bytes());
        out.extend_from_slice(&self.base.chain.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&(identity.len() as u32).to_le_bytes());
        out.extend_from_slice(&(intent.len() as u32).to_le_bytes());
        assert_eq!(out.len(), META_HEADER_BYTES);
        out.extend_from_slice(&identity);
        out.extend_from_slice(intent);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        assert!(out.len() <= META_BYTES_MAX, "meta of {} bytes", out.len());
        out
    }

    /// Reads the file's bytes, or says at which offset they are wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, (usize, &'static str)> {
        if bytes.len() < META_HEADER_BYTES + 4 || bytes.len() > META_BYTES_MAX {
            return Err((bytes.len().min(META_BYTES_MAX), "too short or too long"));
        }
        if bytes[..4] != META_MAGIC {
            return Err((0, "not a log's meta file"));
        }
        let end = bytes.len() - 4;
        if crc32fast::hash(&bytes[..end]) != u32_at(bytes, end) {
            return Err((end, "checksum does not match"));
        }
        if u16_at(bytes, 4) != VERSION {
            return Err((4, "format version is not one that this build reads"));
        }
        let level = Level::from_byte(bytes[6]).ok_or((6, "unknown level"))?;
        let commit = match bytes[7] {
            0 => CommitLevel::Received,
            1 => CommitLevel::Durable,
            _ => return Err((7, "unknown commit level")),
        };
        let flags = u32_at(bytes, 24);
        if flags > 15 || u32_at(bytes, 28) != 0 {
            return Err((24, "unknown flags"));
        }
        let mut rest = Reader::new(&bytes[META_HEADER_BYTES..end]);
        let identity = rest.bytes(u32_at(bytes, 136) as usize).ok_or((136, "identity is too long"))?;
        let intent = rest.bytes(u32_at(bytes, 140) as usize).ok_or((140, "intent is too long"))?;
        if !rest.is_empty() {
            return Err((META_HEADER_BYTES, "bytes are left over"));
        }
        let identity = match flags & 1 {
            0 => None,
            _ => Some(decode_identity(identity).ok_or((META_HEADER_BYTES, "identity cannot be read"))?),
        };
        let meta = Self {
            uuid: u128_at(bytes, 8),
            level,
            commit,
            identity,
            life: (flags & 2 != 0).then(|| bytes[32..56].try_into().expect("24 bytes")),
            boot: u128_at(bytes, 56),
            highest: (flags & 4 != 0).then(|| (u128_at(bytes, 72), u64_at(bytes, 88))),
            intent: (flags & 8 != 0).then(|| intent.to_vec()),
            generation: u64_at(bytes, 128),
            base: Base {
                seq: Seq(u64_at(bytes, 96)),
                position: Position(u64_at(bytes, 104)),
                chain: u128_at(bytes, 112),
            },
        };
        if meta.encode() != bytes {
            return Err((META_HEADER_BYTES, "fields that are absent are not zero"));
        }
        Ok(meta)
    }
}

const ADVICE: &str = "the log itself may be whole: keep the directory, and let the other side of the pair take over; \
                      or copy `meta` from a backup of this directory";

fn encode_identity(identity: &Identity) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |s: &str| {
        out.put_varint(s.len() as u64);
        out.extend_from_slice(s.as_bytes());
    };
    put(&identity.level);
    put(&identity.code);
    out.put_varint(identity.features.len() as u64);
    for feature in &identity.features {
        out.put_varint(feature.len() as u64);
        out.extend_from_slice(feature.as_bytes());
    }
    out
}

fn decode_identity(bytes: &[u8]) -> Option<Identity> {
    let mut r = Reader::new(bytes);
    fn string(r: &mut Reader<'_>) -> Option<String> {
        let len = usize::try_from(r.varint()?).ok()?;
        String::from_utf8(r.bytes(len)?.to_vec()).ok()
    }
    let (level, code) = (string(&mut r)?, string(&mut r)?);
    let count = r.varint()?;
    let features = (0..count).map(|_| string(&mut r)).collect::<Option<_>>()?;
    r.is_empty().then_some(Identity { level, code, features })
}

pub(crate) fn remove_if_there(disk: &Disk, path: &Path) -> io::Result<()> {
    if !path.try_exists()? {
        return Ok(());
    }
    disk.remove(path)
}

/// Path of the file that a replacement of `meta` is written to; a crash may leave one, which means nothing.
pub(crate) fn meta_new_path(dir: &Path) -> PathBuf {
    dir.join(META_NEW_NAME)
}

/// Names this boot of the machine: if it differs from the one stored, the page cache was lost in between.
pub fn boot_id() -> Result<u128> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("reading", path, e))?;
    let hex: String = text.trim().chars().filter(|c| *c != '-').collect();
    u128::from_str_radix(&hex, 16).map_err(|e| Error::io("reading", path, io::Error::other(e)))
}

/// 128 random bits, for names that must be unique.
pub fn random_u128() -> Result<u128> {
    use std::io::Read;
    let path = "/dev/urandom";
    let mut bytes = [0; 16];
    let read = std::fs::File::open(path).and_then(|mut f| f.read_exact(&mut bytes));
    read.map_err(|e| Error::io("reading", path, e))?;
    Ok(u128::from_le_bytes(bytes))
}
