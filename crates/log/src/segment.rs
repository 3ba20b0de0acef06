//! Segments: the files that hold a log's frames, named by their first sequence number.
//!
//! A segment is a header, frames, and once it is full an index by which it is sealed. This module is pure: bytes in, values out.
//!
//! ```text
//! header, 64 bytes               index, after the last frame
//!  0  magic "GLS1"                0  magic "GLX1"   4  version u16   6 zero u16
//!  4  version u16                 8  end seq u64   16  last position u64
//!  6  level u8   7 zero u8       24  chain after u128
//!  8  uuid u128                  40  offset of this index u64
//! 24  first seq u64              48  rows u32      52  crc32 of the rows
//! 32  first position u64         56  zero u32      60  crc32 of bytes 0..60
//! 40  chain before u128          64  rows: {seq u64, position u64, offset u64} each
//! 56  zero u32                   ..  offset of this index u64, crc32 of that, magic "GLXE"
//! 60  crc32 of bytes 0..60
//! ```

use crate::bytes::{u16_at, u32_at, u64_at, u128_at};
use crate::{Digest, FrameError, Level, Position, Seq, VERSION};
use std::path::{Path, PathBuf};

/// Bytes before a segment's first frame.
pub const SEGMENT_HEADER_BYTES: usize = 64;
/// Bytes of an index before its rows.
pub const INDEX_HEADER_BYTES: usize = 64;
/// Bytes of one row.
pub const INDEX_ROW_BYTES: usize = 24;
/// Bytes that end a sealed segment.
pub const INDEX_TAIL_BYTES: usize = 16;
/// The first frame, and then the first one that starts at least this far behind the last row's, have a row.
pub const INDEX_EVERY_BYTES: u64 = 64 << 10;
/// No index has more rows: a segment of 4 GiB would need this many.
pub const INDEX_ROWS_MAX: u32 = 1 << 16;

const SEGMENT_MAGIC: [u8; 4] = *b"GLS1";
pub(crate) const INDEX_MAGIC: [u8; 4] = *b"GLX1";
const TAIL_MAGIC: [u8; 4] = *b"GLXE";

/// What a segment says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// Which level wrote the log.
    pub level: Level,
    /// Which log it belongs to.
    pub uuid: u128,
    /// Number of its first entry.
    pub first_seq: Seq,
    /// Position of its first entry.
    pub first_position: Position,
    /// Chain hash of everything before it.
    pub chain_before: Digest,
}

fn bad<T>(offset: usize, what: &str) -> Result<T, FrameError> {
    Err(FrameError::Bad { offset, what: what.to_owned() })
}

impl SegmentHeader {
    /// The bytes at the front of a segment.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut out = [0; SEGMENT_HEADER_BYTES];
        out[..4].copy_from_slice(&SEGMENT_MAGIC);
        out[4..6].copy_from_slice(&VERSION.to_le_bytes());
        out[6] = self.level as u8;
        out[8..24].copy_from_slice(&self.uuid.to_le_bytes());
        out[24..32].copy_from_slice(&self.first_seq.0.to_le_bytes());
        out[32..40].copy_from_slice(&self.first_position.0.to_le_bytes());
        out[40..56].copy_from_slice(&self.chain_before.to_le_bytes());
        let crc = crc32fast::hash(&out[..60]);
        out[60..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Checks the bytes at the front of a segment.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let common = bytes.len().min(4);
        if bytes[..common] != SEGMENT_MAGIC[..common] {
            return bad(0, "not a log segment");
        }
        if bytes.len() < SEGMENT_HEADER_BYTES {
            return Err(FrameError::Short { needed: SEGMENT_HEADER_BYTES });
        }
        if crc32fast::hash(&bytes[..60]) != u32_at(bytes, 60) {
            return bad(60, "segment header checksum does not match");
        }
        if u16_at(bytes, 4) != VERSION {
            return bad(4, "format version is not one that this build reads");
        }
        let Some(level) = Level::from_byte(bytes[6]) else {
            return bad(6, "unknown level");
        };
        if bytes[7] != 0 || u32_at(bytes, 56) != 0 {
            return bad(56, "reserved bytes are not zero");
        }
        Ok(Self {
            level,
            uuid: u128_at(bytes, 8),
            first_seq: Seq(u64_at(bytes, 24)),
            first_position: Position(u64_at(bytes, 32)),
            chain_before: u128_at(bytes, 40),
        })
    }
}

/// Where a frame starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Number of the frame's first entry.
    pub seq: Seq,
    /// Its position.
    pub position: Position,
    /// Offset of the frame in the segment.
    pub offset: u64,
}

/// Ends a sealed segment: finds frames by number and position, and says where the log goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Index {
    /// Number of the entry after the segment's last.
    pub end_seq: Seq,
    /// Position of its last entry.
    pub last_position: Position,
    /// Chain hash up to its end.
    pub chain_after: Digest,
    /// Where the frames end and this index starts.
    pub offset: u64,
    /// A sparse list of its frames; see [`INDEX_EVERY_BYTES`].
    pub rows: Vec<Row>,
}

impl Index {
    /// Length of an index with so many rows.
    pub fn len_of(rows: usize) -> usize {
        INDEX_HEADER_BYTES + rows * INDEX_ROW_BYTES + INDEX_TAIL_BYTES
    }

    /// The bytes that seal a segment.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::len_of(self.rows.len()));
        let rows: Vec<u8> =
            self.rows.iter().flat_map(|r| [r.seq.0, r.position.0, r.offset]).flat_map(u64::to_le_bytes).collect();
        out.extend_from_slice(&INDEX_MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.end_seq.0.to_le_bytes());
        out.extend_from_slice(&self.last_position.0.to_le_bytes());
        out.extend_from_slice(&self.chain_after.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&(self.rows.len() as u32).to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&rows).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&rows);
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&self.offset.to_le_bytes()).to_le_bytes());
        out.extend_from_slice(&TAIL_MAGIC);
        out
    }

    /// Where the index starts, according to the last [`INDEX_TAIL_BYTES`] of a segment.
    pub fn decode_tail(bytes: &[u8]) -> Result<u64, FrameError> {
        if bytes.len() < INDEX_TAIL_BYTES {
            return Err(FrameError::Short { needed: INDEX_TAIL_BYTES });
        }
        if bytes[12..16] != TAIL_MAGIC || crc32fast::hash(&bytes[..8]) != u32_at(bytes, 8) {
            return bad(0, "segment does not end with an index");
        }
        Ok(u64_at(bytes, 0))
    }

    /// Length of the whole index, according to its first [`INDEX_HEADER_BYTES`].
    pub fn check_header(bytes: &[u8]) -> Result<usize, FrameError> {
        if bytes.len() < INDEX_HEADER_BYTES {
            return Err(FrameError::Short { needed: INDEX_HEADER_BYTES });
        }
        if bytes[..4] != INDEX_MAGIC {
            return bad(0, "no index starts here");
        }
        if crc32fast::hash(&bytes[..60]) != u32_at(bytes, 60) {
            return bad(60, "index header checksum does not match");
        }
        if u16_at(bytes, 4) != VERSION {
            return bad(4, "format version is not one that this build reads");
        }
        if u16_at(bytes, 6) != 0 || u32_at(bytes, 56) != 0 {
            return bad(56, "reserved bytes are not zero");
        }
        if u32_at(bytes, 48) > INDEX_ROWS_MAX {
            return bad(48, "too many rows");
        }
        Ok(Self::len_of(u32_at(bytes, 48) as usize))
    }

    /// Checks the index at the front of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let total = Self::check_header(bytes)?;
        if bytes.len() < total {
            return Err(FrameError::Short { needed: total });
        }
        let tail = total - INDEX_TAIL_BYTES;
        let rows = &bytes[INDEX_HEADER_BYTES..tail];
        if crc32fast::hash(rows) != u32_at(bytes, 52) {
            return bad(INDEX_HEADER_BYTES, "index checksum does not match");
        }
        match Self::decode_tail(&bytes[tail..total]) {
            Ok(offset) if offset == u64_at(bytes, 40) => {}
            _ => return bad(tail, "end of index does not match its start"),
        }
        let row = |r: &[u8]| Row { seq: Seq(u64_at(r, 0)), position: Position(u64_at(r, 8)), offset: u64_at(r, 16) };
        Ok(Self {
            end_seq: Seq(u64_at(bytes, 8)),
            last_position: Position(u64_at(bytes, 16)),
            chain_after: u128_at(bytes, 24),
            offset: u64_at(bytes, 40),
            rows: rows.chunks_exact(INDEX_ROW_BYTES).map(row).collect(),
        })
    }
}

/// Adds a row for a frame if it is due one.
pub(crate) fn add_row(rows: &mut Vec<Row>, row: Row) {
    if rows.last().is_none_or(|last| row.offset - last.offset >= INDEX_EVERY_BYTES) {
        rows.push(row);
    }
}

/// Name of the segment that starts with `first`.
pub fn segment_path(dir: &Path, first: Seq) -> PathBuf {
    dir.join(format!("{:020}.seg", first.0))
}

/// The number in a segment's name, if it is one.
pub(crate) fn segment_seq(name: &str) -> Option<Seq> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok().map(Seq))?
}
