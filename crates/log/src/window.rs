//! Reads the things in a segment one after the other, checked, through a buffer.

use crate::frame::FRAME_MAGIC;
use crate::segment::{INDEX_HEADER_BYTES, INDEX_MAGIC};
use crate::{Error, Frame, FrameError, HEADER_BYTES, Index, Result, SEGMENT_HEADER_BYTES, SegmentHeader};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const CHUNK_BYTES: usize = 256 << 10;

/// A segment file opened for reading.
#[derive(Debug)]
pub(crate) struct Window {
    path: PathBuf,
    file: File,
    start: u64,
    buffer: Vec<u8>,
    /// Nothing is read from here on: it may be half written.
    limit: u64,
}

/// What stands at an offset of a segment.
#[derive(Debug)]
pub(crate) enum Item {
    Frame(Frame),
    /// An index and its length.
    Index(Index, usize),
    End,
    Bad(Bad),
}

/// Bytes that are not what should stand there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bad {
    /// The first byte that is known to be wrong.
    pub offset: u64,
    pub what: String,
    /// Where the next thing would start, if that much can be believed.
    pub next: Option<u64>,
}

impl Window {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("opening", path, e))?;
        Ok(Self { path: path.to_owned(), file, start: 0, buffer: Vec::new(), limit: u64::MAX })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    pub(crate) fn file_len(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(|e| Error::io("looking at", &self.path, e))?.len())
    }

    /// The `len` bytes at `at`, or fewer if the file ends before.
    pub(crate) fn bytes(&mut self, at: u64, len: usize) -> Result<&[u8]> {
        let held = self.start..self.start + self.buffer.len() as u64;
        if !(held.contains(&at) && at + len as u64 <= held.end) {
            self.refill(at, len.max(CHUNK_BYTES)).map_err(|e| Error::io("reading", &self.path, e))?;
        }
        let from = (at - self.start) as usize;
        let to = self.buffer.len().min(from + len);
        Ok(&self.buffer[from..to])
    }

    fn refill(&mut self, at: u64, len: usize) -> std::io::Result<()> {
        let len = usize::try_from(self.limit.saturating_sub(at)).unwrap_or(len).min(len);
        self.start = at;
        self.buffer.resize(len, 0);
        let mut got = 0;
        while got < len {
            match self.file.read_at(&mut self.buffer[got..], at + got as u64) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.buffer.clear();
                    return Err(e);
                }
            }
        }
        self.buffer.truncate(got);
        Ok(())
    }

    pub(crate) fn header(&mut self) -> Result<Result<SegmentHeader, Bad>> {
        let bytes = self.bytes(0, SEGMENT_HEADER_BYTES)?;
        let len = bytes.len() as u64;
        Ok(SegmentHeader::decode(bytes).map_err(|e| Bad::from(e, 0, len, None)))
    }

    /// What stands at `at`.
    pub(crate) fn item(&mut self, at: u64) -> Result<Item> {
        let head = self.bytes(at, HEADER_BYTES)?;
        if head.is_empty() {
            return Ok(Item::End);
        }
        let common = head.len().min(INDEX_MAGIC.len());
        if common > 3 && head[..common] == INDEX_MAGIC[..common] {
            return self.index(at);
        }
        let seen = at + head.len() as u64;
        let payload = match Frame::check_header(head) {
            Ok(payload) => payload,
            Err(e) => return Ok(Item::Bad(Bad::from(e, at, seen, None))),
        };
        let total = HEADER_BYTES + payload;
        let bytes = self.bytes(at, total)?;
        let seen = at + bytes.len() as u64;
        Ok(match Frame::decode(bytes) {
            Ok(frame) => Item::Frame(frame),
            Err(e) => Item::Bad(Bad::from(e, at, seen, Some(at + total as u64))),
        })
    }

    /// Offset of the next bytes that look like the start of a frame, at or after `from`.
    pub(crate) fn find_frame(&mut self, mut from: u64) -> Result<Option<u64>> {
        const STEP: usize = 64 << 10;
        loop {
            let bytes = self.bytes(from, STEP)?;
            if let Some(i) = bytes.windows(FRAME_MAGIC.len()).position(|w| w == FRAME_MAGIC) {
                return Ok(Some(from + i as u64));
            }
            if bytes.len() < STEP {
                return Ok(None);
            }
            from += (STEP + 1 - FRAME_MAGIC.len()) as u64;
        }
    }

    pub(crate) fn index(&mut self, at: u64) -> Result<Item> {
        let head = self.bytes(at, INDEX_HEADER_BYTES)?;
        let seen = at + head.len() as u64;
        let total = match Index::check_header(head) {
            Ok(total) => total,
            Err(e) => return Ok(Item::Bad(Bad::from(e, at, seen, None))),
        };
        let bytes = self.bytes(at, total)?;
        let seen = at + bytes.len() as u64;
        Ok(match Index::decode(bytes) {
            Ok(index) if index.offset == at => Item::Index(index, total),
            Ok(_) => Item::Bad(Bad { offset: at + 40, what: "index stands where it was not made".into(), next: None }),
            Err(e) => Item::Bad(Bad::from(e, at, seen, Some(at + total as u64))),
        })
    }
}

impl Bad {
    /// `at`: where the thing starts. `seen`: where the bytes ended, if they did.
    fn from(error: FrameError, at: u64, seen: u64, next: Option<u64>) -> Self {
        match error {
            FrameError::Short { needed } => {
                let what = format!("ends early: {} bytes of {needed}", seen - at);
                Self { offset: seen, what, next: None }
            }
            FrameError::Bad { offset, what } => Self { offset: at + offset as u64, what, next },
        }
    }
}
