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

mod entry;
mod error;
mod frame;
mod hash;
mod host;
mod outbox;
mod player;
mod position;
mod recorder;
mod replica;
mod sink;
mod varint;
mod waker;

pub use entry::{ENTRY_BODY_BYTES_MAX, Entry, Kind, Mark};
pub use error::{Divergence, Error, Result};
pub use frame::{Entries, Frame, FrameBuilder, FrameError, HEADER_BYTES, Level, PAYLOAD_BYTES_MAX, VERSION};
pub use hash::{Digest, Hasher, chain, hash};
pub use host::{End, Host, Options, Replayed};
pub use outbox::{Outbox, Output};
pub use player::{Backlog, Player};
pub use position::{Channel, Position, Seq, Term};
pub use recorder::Recorder;
pub use replica::{Identity, Progress, Replica};
pub use sink::{Order, Sink};
pub use varint::{Reader, Varint};
pub use waker::Waker;
