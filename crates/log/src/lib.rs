//! The event log and everything that all three levels share.
//!
//! A replica is a deterministic thing with a [`Position`]. While live, each input it could not have computed itself becomes an
//! [`Entry`]; every step ends with a [`Mark`]; entries travel in [`Frame`]s, the same bytes on disk and on the wire. A backup executes the same
//! steps from the same entries. [`Host`] is the one loop that does both and keeps the rules:
//!
//! - an output leaves only when the mark that ends its step is committed ([`Outbox`]);
//! - a backup executes exactly to the last mark it holds ([`Player`]);
//! - whoever differs from the log stops ([`Divergence`]).
//!
//! This crate knows no level and no network. `docs/format.md` draws every byte.

mod bytes;
pub mod disk;
mod entry;
mod error;
mod file_sink;
mod frame;
mod hash;
mod host;
pub mod inspect;
mod lock;
mod meta;
mod outbox;
mod player;
mod position;
mod recorder;
mod replica;
mod scan;
mod segment;
mod sink;
mod snapshot;
mod socket;
mod store;
mod sync;
pub mod toy;
mod varint;
mod view;
mod waker;
mod window;

pub use entry::{ENTRY_BODY_BYTES_MAX, Entry, Kind, Mark, Unfinished};
pub use error::{Divergence, Error, Result};
pub use file_sink::FileSink;
pub use frame::{Entries, Frame, FrameBuilder, FrameError, HEADER_BYTES, Level, PAYLOAD_BYTES_MAX, VERSION};
pub use hash::{Digest, Hasher, chain, hash, hash_of};
pub use host::{End, Host, Options, Replayed, cpu_time};
pub use inspect::{cat, stat, verify};
pub use lock::{DirLock, LOCK_NAME, not_empty};
pub use meta::{Base, CommitLevel, META_BYTES_MAX, META_NAME, Meta, boot_id, random_u128};
pub use outbox::{Outbox, Output};
pub use player::{Backlog, Player};
pub use position::{Channel, Position, Seq, Term};
pub use recorder::Recorder;
pub use replica::{Figures, Identity, Progress, Replica};
pub use scan::{LastMark, TornTail};
pub use segment::{
    INDEX_EVERY_BYTES, INDEX_HEADER_BYTES, INDEX_ROW_BYTES, INDEX_ROWS_MAX, INDEX_TAIL_BYTES, Index, Row,
    SEGMENT_HEADER_BYTES, SegmentHeader, segment_path,
};
pub use sink::{Order, Sink};
pub use snapshot::{SealedSnapshot, SnapshotReader, SnapshotWriter, load_base, snapshot_path};
pub use socket::at_short_path;
pub use store::{Outdated, Store, StoreOptions, Syncer};
pub use sync::{PARTS_MAX, Parts, SyncBody, combine};
pub use varint::{Reader, Varint};
pub use view::{LogReader, LogView, Recovered};
pub use waker::Waker;
