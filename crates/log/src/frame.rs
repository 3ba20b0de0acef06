//! Frames: batches of entries; the unit of checksum, durability and transmission.
//!
//! The same bytes serve the file, the wire and the debugger. Fixed-width little-endian header, then entries.
//! Every frame carries the chain hash of all frames before it, so two logs that agree on one frame agree on everything
//! before it.
//!
//! ```text
//!  0  magic "GLF1"      4  version u16   6 level u8   7 flags u8: 1 divides
//!  8  term u64         16  first seq u64
//! 24  first position   32  synced seq u64 (entries below it were durable when this was written)
//! 40  entries u32      44  payload bytes u32
//! 48  chain before u128
//! 64  chain after u128 = chain(before, bytes 0..48, payload)
//! 80  crc32 of payload 84  crc32 of bytes 0..84
//! 88  payload: per entry varint(position - previous), varint kind, varint length, body
//! ```

use crate::bytes::{u32_at, u64_at, u128_at};
use crate::{Digest, Entry, Kind, Position, Reader, Seq, Term, Varint, chain, entry::ENTRY_BODY_BYTES_MAX};

/// Bytes of a frame before its payload.
pub const HEADER_BYTES: usize = 88;
/// Longest payload of a frame: one entry of the greatest length fits, and a bad length field cannot ask for more.
pub const PAYLOAD_BYTES_MAX: usize = 4 << 20;
/// Version of the format written.
pub const VERSION: u16 = 1;
/// Flag of a frame before which a state may stand.
const DIVIDES: u8 = 1;
pub(crate) const FRAME_MAGIC: [u8; 4] = *b"GLF1";
/// Longest encoding of an entry's position, kind and length.
pub(crate) const ENTRY_HEAD_BYTES_MAX: usize = 10 + 3 + 4;
const _: () = assert!(ENTRY_BODY_BYTES_MAX + ENTRY_HEAD_BYTES_MAX < PAYLOAD_BYTES_MAX);

/// Which level wrote a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Level {
    /// A toy used by tests and the simulator.
    Toy = 0,
    /// Message-driven tasks.
    Task = 1,
    /// Linux processes.
    Process = 2,
    /// A whole computer.
    Machine = 3,
}

impl Level {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Level::Toy, Level::Task, Level::Process, Level::Machine].into_iter().find(|&l| l as u8 == byte)
    }
}

/// Why bytes are not a frame.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// More bytes are needed: at least this many in all.
    #[error("ends early: {needed} bytes needed")]
    Short {
        /// Total length that would be enough to say more.
        needed: usize,
    },
    /// The bytes are wrong, at this offset from the frame's start.
    #[error("{what} (at +{offset})")]
    Bad {
        /// Offset from the start of the frame.
        offset: usize,
        /// What is wrong.
        what: String,
    },
}

/// A validated frame: its checksums hold and every entry in it decodes.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Vec<u8>,
    tail: Tail,
}

/// How the entries end; follows from the bytes, found once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Tail {
    position: Position,
    mark: Option<(Seq, Position)>,
    ends_step: bool,
}

impl Tail {
    fn note(&mut self, seq: Seq, at: Position, kind: Kind) {
        self.position = at;
        self.ends_step = kind == Kind::MARK || kind == Kind::SYNC;
        if kind == Kind::MARK {
            self.mark = Some((seq, at));
        }
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({}..{}, {} bytes)", self.first_seq(), self.end_seq(), self.bytes.len())
    }
}

impl Frame {
    /// Checks the frame at the front of `bytes`; trailing bytes are left alone ([`Frame::len`] says how many were used).
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let total = HEADER_BYTES + Self::check_header(bytes)?;
        if bytes.len() < total {
            return Err(FrameError::Short { needed: total });
        }
        let mut frame = Self { bytes: bytes[..total].to_vec(), tail: Tail::default() };
        frame.tail = frame.check_payload()?;
        Ok(frame)
    }

    /// True if the frame ends where a step ends: its last entry is a mark, or a digest taken between two steps. A log may be cut there,
    /// and a replica that has executed up to there may go live.
    pub fn ends_step(&self) -> bool {
        self.tail.ends_step
    }

    /// True if the log may come to begin with this frame: whoever wrote it was saved before it, and a segment begins with it.
    pub fn divides(&self) -> bool {
        self.bytes[7] & DIVIDES != 0
    }

    /// Number and position of the last mark in it.
    pub fn last_mark(&self) -> Option<(Seq, Position)> {
        self.tail.mark
    }

    /// Position of its last entry.
    pub fn last_position(&self) -> Position {
        self.tail.position
    }

    /// Checks the header alone and returns the payload's length, for readers that fetch the payload afterwards.
    pub fn check_header(bytes: &[u8]) -> Result<usize, FrameError> {
        let bad = |offset, what: &str| Err(FrameError::Bad { offset, what: what.to_owned() });
        let common = bytes.len().min(FRAME_MAGIC.len());
        if bytes[..common] != FRAME_MAGIC[..common] {
            return bad(0, "no frame starts here");
        }
        if bytes.len() < HEADER_BYTES {
            return Err(FrameError::Short { needed: HEADER_BYTES });
        }
        if crc32fast::hash(&bytes[..84]) != u32_at(bytes, 84) {
            return bad(84, "header checksum does not match");
        }
        if u16::from_le_bytes([bytes[4], bytes[5]]) != VERSION {
            return bad(4, "format version is not one that this build reads");
        }
        if Level::from_byte(bytes[6]).is_none() || bytes[7] & !DIVIDES != 0 {
            return bad(6, "unknown level or flags");
        }
        let payload = u32_at(bytes, 44) as usize;
        if payload > PAYLOAD_BYTES_MAX || u32_at(bytes, 40) == 0 {
            return bad(40, "empty or oversized");
        }
        if u64_at(bytes, 16).checked_add(u64::from(u32_at(bytes, 40))).is_none() {
            return bad(16, "sequence number overflows");
        }
        Ok(payload)
    }

    fn check_payload(&self) -> Result<Tail, FrameError> {
        let bad = |offset, what: &str| Err(FrameError::Bad { offset, what: what.to_owned() });
        if crc32fast::hash(self.payload()) != u32_at(&self.bytes, 80) {
            return bad(HEADER_BYTES, "payload checksum does not match");
        }
        if chain(self.chain_before(), &[&self.bytes[..48], self.payload()]) != self.chain_after() {
            return bad(64, "chain hash does not match");
        }
        if self.synced() > self.first_seq() {
            return bad(32, "claims that entries not yet written were durable");
        }
        if Reader::new(self.payload()).varint() != Some(0) {
            return bad(24, "first position is not that of the first entry");
        }
        let (mut cursor, mut tail) = (self.cursor(), Tail::default());
        for seq in self.first_seq().0..self.end_seq().0 {
            let Some((at, kind, _)) = cursor.next() else {
                return bad(HEADER_BYTES, "an entry cannot be read");
            };
            tail.note(Seq(seq), at, kind);
        }
        if !cursor.reader.is_empty() {
            return bad(HEADER_BYTES, "bytes follow the last entry");
        }
        Ok(tail)
    }

    /// The bytes as they stand on disk and on the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Length of [`Frame::bytes`].
    #[allow(clippy::len_without_is_empty, reason = "a frame is never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    fn payload(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// Which level wrote it.
    pub fn level(&self) -> Level {
        Level::from_byte(self.bytes[6]).expect("checked when made")
    }

    /// Under which term it was written.
    pub fn term(&self) -> Term {
        Term(u64_at(&self.bytes, 8))
    }

    /// Number of its first entry.
    pub fn first_seq(&self) -> Seq {
        Seq(u64_at(&self.bytes, 16))
    }

    /// Number of the entry after its last.
    pub fn end_seq(&self) -> Seq {
        Seq(self.first_seq().0 + u64::from(self.entry_count()))
    }

    /// Position of its first entry.
    pub fn first_position(&self) -> Position {
        Position(u64_at(&self.bytes, 24))
    }

    /// Entries below this number were durable on the writer's disk when the frame was made.
    pub fn synced(&self) -> Seq {
        Seq(u64_at(&self.bytes, 32))
    }

    /// How many entries it holds, at least one.
    pub fn entry_count(&self) -> u32 {
        u32_at(&self.bytes, 40)
    }

    /// Chain hash of everything before it.
    pub fn chain_before(&self) -> Digest {
        u128_at(&self.bytes, 48)
    }

    /// Chain hash of everything up to its end.
    pub fn chain_after(&self) -> Digest {
        u128_at(&self.bytes, 64)
    }

    /// Its entries in order.
    pub fn entries(&self) -> Entries<'_> {
        Entries { cursor: self.cursor(), left: self.entry_count() }
    }

    pub(crate) fn cursor(&self) -> Cursor<'_> {
        Cursor { reader: Reader::new(self.payload()), at: self.first_position() }
    }
}

/// Walks a payload without copying; ends at the first bytes that are not an entry.
pub(crate) struct Cursor<'a> {
    reader: Reader<'a>,
    at: Position,
}

impl<'a> Iterator for Cursor<'a> {
    type Item = (Position, Kind, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let at = Position(self.at.0.checked_add(self.reader.varint()?)?);
        let kind = Kind(u16::try_from(self.reader.varint()?).ok()?);
        let len = usize::try_from(self.reader.varint()?).ok()?;
        if len > ENTRY_BODY_BYTES_MAX {
            return None;
        }
        let body = self.reader.bytes(len)?;
        self.at = at;
        Some((at, kind, body))
    }
}

/// Iterator over a frame's entries.
pub struct Entries<'a> {
    cursor: Cursor<'a>,
    left: u32,
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.left = self.left.checked_sub(1)?;
        self.cursor.next().map(|(at, kind, body)| Entry { at, kind, body: body.to_vec() })
    }
}

/// Collects entries and seals them into frames that continue one chain.
#[derive(Clone, Debug)]
pub struct FrameBuilder {
    level: Level,
    term: Term,
    first_seq: Seq,
    first_position: Position,
    tail: Tail,
    count: u32,
    payload: Vec<u8>,
    chain: Digest,
    flags: u8,
}

impl FrameBuilder {
    /// Continues a log whose next entry has number `next` and whose frames so far hash to `chain` (0 for an empty log).
    pub fn new(level: Level, term: Term, next: Seq, chain: Digest) -> Self {
        Self {
            level,
            term,
            first_seq: next,
            first_position: Position(0),
            tail: Tail::default(),
            count: 0,
            payload: Vec::new(),
            chain,
            flags: 0,
        }
    }

    /// The next frame divides the log ([`Frame::divides`]).
    pub fn divide(&mut self) {
        self.flags |= DIVIDES;
    }

    /// The number of the first entry of the next frame.
    pub fn first_seq(&self) -> Seq {
        self.first_seq
    }

    /// The number that the next pushed entry gets.
    pub fn next_seq(&self) -> Seq {
        Seq(self.first_seq.0 + u64::from(self.count))
    }

    /// Chain hash up to the last sealed frame.
    pub fn chain(&self) -> Digest {
        self.chain
    }

    /// Nothing was pushed since the last seal.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of payload collected.
    pub fn payload_bytes(&self) -> usize {
        self.payload.len()
    }

    /// True if an entry with a body of `body` bytes still fits this frame.
    pub fn fits(&self, body: usize) -> bool {
        self.payload.len() + body + ENTRY_HEAD_BYTES_MAX <= PAYLOAD_BYTES_MAX && self.count < u32::MAX
    }

    /// Adds an entry.
    ///
    /// # Panics
    /// If the position falls, the body is longer than [`ENTRY_BODY_BYTES_MAX`], or the frame is full ([`FrameBuilder::fits`]).
    pub fn push(&mut self, at: Position, kind: Kind, body: &[u8]) -> Seq {
        assert!(body.len() <= ENTRY_BODY_BYTES_MAX, "entry body of {} bytes", body.len());
        assert!(self.fits(body.len()), "frame is full");
        if self.count == 0 {
            self.first_position = at;
            self.tail = Tail { position: at, ..Tail::default() };
        }
        assert!(at >= self.tail.position, "position fell from {} to {at}", self.tail.position);
        let seq = self.next_seq();
        self.payload.put_varint(at.0 - self.tail.position.0);
        self.payload.put_varint(u64::from(kind.0));
        self.payload.put_varint(body.len() as u64);
        self.payload.extend_from_slice(body);
        self.tail.note(seq, at, kind);
        self.count += 1;
        seq
    }

    /// Seals what was pushed; `synced` is what is known to be durable. `None` if nothing was pushed.
    pub fn seal(&mut self, synced: Seq) -> Option<Frame> {
        if self.count == 0 {
            return None;
        }
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.payload.len());
        bytes.extend_from_slice(&FRAME_MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[self.level as u8, self.flags]);
        bytes.extend_from_slice(&self.term.0.to_le_bytes());
        bytes.extend_from_slice(&self.first_seq.0.to_le_bytes());
        bytes.extend_from_slice(&self.first_position.0.to_le_bytes());
        bytes.extend_from_slice(&synced.min(self.first_seq).0.to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&(self.payload.len() as u32).to_le_bytes());
        let after = chain(self.chain, &[&bytes[..48], &self.payload]);
        bytes.extend_from_slice(&self.chain.to_le_bytes());
        bytes.extend_from_slice(&after.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&self.payload).to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes[..84]).to_le_bytes());
        bytes.append(&mut self.payload);
        self.first_seq = self.next_seq();
        (self.count, self.flags) = (0, 0);
        self.chain = after;
        Some(Frame { bytes, tail: self.tail })
    }
}
