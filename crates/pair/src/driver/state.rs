//! A state on its way from one side to the other: out of memory in pieces, and in pieces into the snapshot that the joiner's log will begin with.
//!
//! The rule it keeps: nothing grows by the other side's word. A piece is written as it arrives, on the thread that reads the socket, so that a slow
//! disk slows the sender down; the old log stays until the new beginning is whole. Every piece carries the hash of everything up to its end.
//! What it leaves out: who may begin with a state and when, which is the engine's.

use crate::{Nonce, Point, STATE_BYTES_MAX, STATE_CHUNK_BYTES_MAX, StateChunk};
use gapless_log::{Base, Digest, Error, Hasher, Position, Result, SnapshotWriter, Store};
use std::io::Write;
use std::sync::Arc;

/// A saved replica that is being sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub nonce: Nonce,
    at: Point,
    position: Position,
    bytes: Arc<Vec<u8>>,
    sent: usize,
    hasher: Hasher,
}

impl Outgoing {
    /// A replica that stood at `position` when the log ended at `at`.
    pub fn new(nonce: Nonce, at: Point, position: Position, bytes: Arc<Vec<u8>>) -> Self {
        Self { nonce, at, position, bytes, sent: 0, hasher: Hasher::new() }
    }

    /// The next piece; `None` if that was all.
    pub fn next(&mut self) -> Option<StateChunk> {
        let rest = &self.bytes[self.sent..];
        let piece = &rest[..rest.len().min(STATE_CHUNK_BYTES_MAX)];
        if piece.is_empty() {
            return None;
        }
        self.hasher.update(piece);
        let (at, position, offset, hash) = (self.at, self.position, self.sent as u64, self.hasher.finish());
        let last = piece.len() == rest.len();
        let chunk = StateChunk { at, position, offset, hash, last, bytes: piece.to_vec() };
        self.sent += chunk.bytes.len();
        Some(chunk)
    }
}

/// Why a piece is not taken.
#[derive(Debug)]
pub(super) enum Refused {
    /// It does not belong to what came before.
    Broken(String),
    /// The own disk does not take it.
    Disk(Error),
}

/// A state that is arriving.
#[derive(Debug)]
pub(super) struct Incoming {
    pub nonce: Nonce,
    pub at: Point,
    pub base: Base,
    pub writer: SnapshotWriter,
    hasher: Hasher,
}

impl Incoming {
    /// Begins with the first piece, beside the log that is there.
    pub fn begin(store: &Store, nonce: Nonce, first: &StateChunk) -> Result<Self> {
        let base = Base { seq: first.at.seq, position: first.position, chain: first.at.chain };
        Ok(Self { nonce, at: first.at, base, writer: store.snapshot(base)?, hasher: Hasher::new() })
    }

    /// Takes the next piece. That it is the next one is for the engine to know.
    pub fn take(&mut self, chunk: &StateChunk) -> Result<(), Refused> {
        let end = chunk.offset.saturating_add(chunk.bytes.len() as u64);
        if end > STATE_BYTES_MAX {
            return Err(Refused::Broken(format!("a state of more than {STATE_BYTES_MAX} bytes")));
        }
        self.hasher.update(&chunk.bytes);
        let found: Digest = self.hasher.finish();
        if found != chunk.hash || chunk.position != self.base.position {
            let what = format!("the state up to byte {end} has hash {found:032x}, not {:032x}", chunk.hash);
            return Err(Refused::Broken(what));
        }
        let written = self.writer.write_all(&chunk.bytes);
        written.map_err(|e| Refused::Disk(Error::io("writing", "a state", e)))
    }
}
