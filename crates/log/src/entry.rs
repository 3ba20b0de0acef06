//! Entries: logged inputs, and the few kinds that belong to the host loop itself.

use crate::{Channel, Position, Reader, Varint};
use std::collections::BTreeMap;

/// What an entry means. Kinds below [`Kind::FIRST_OF_LEVEL`] belong to the host loop, the rest to the level.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Kind(pub u16);

impl Kind {
    /// Ends a step of a live replica; the body is a [`Mark`].
    pub const MARK: Kind = Kind(0);
    /// A digest of the replica at this position, to be compared by the backup; the body is 16 bytes.
    pub const SYNC: Kind = Kind(1);
    /// A replica went live here; the body is its term (8 bytes, little-endian).
    pub const LIVE: Kind = Kind(2);
    /// A piece of a snapshot; see `docs/format.md`.
    pub const SNAPSHOT: Kind = Kind(3);
    /// The first kind that a level may use.
    pub const FIRST_OF_LEVEL: Kind = Kind(16);
}

/// A level's own kinds of input: a constant of type [`Kind`] for each, its number, and a readable name, from which a function `name` is made.
#[macro_export]
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $n:literal $label:literal,)*) => {
        $($(#[$doc])* pub const $name: $crate::Kind = $crate::Kind($n);)*

        /// Readable name of a kind, for `log cat` and divergence reports.
        pub fn name(kind: $crate::Kind) -> &'static str {
            match kind.0 { $($n => $label,)* _ => "unknown" }
        }
    };
}

/// One logged input with the position at which the replica takes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where in the replica's life it is taken.
    pub at: Position,
    /// What it is.
    pub kind: Kind,
    /// The level's own encoding.
    pub body: Vec<u8>,
}

/// Longest body of one entry; longer inputs are split by the level.
pub const ENTRY_BODY_BYTES_MAX: usize = 1 << 20;

/// The entry that ends every step of a live replica.
///
/// Holding one with its sequence number means: every input of every step up to here is in the log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mark {
    /// How many outputs had been released to the world when the mark was written.
    pub released: u64,
    /// How many outputs had been said when the mark was written.
    pub said: u64,
    /// Rolling hash over every output said so far.
    pub hash: u128,
    /// Channels whose world had not taken all that was released to it: the first output of each that may not have left whole.
    pub unfinished: Unfinished,
}

/// Released outputs that may not have left: by channel, the first such output. Later ones of that channel have not left either.
pub type Unfinished = BTreeMap<Channel, u64>;

impl Mark {
    /// The body of a [`Kind::MARK`] entry.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        out.put_varint(self.released);
        out.put_varint(self.said);
        out.extend_from_slice(&self.hash.to_le_bytes());
        for (channel, from) in &self.unfinished {
            out.put_varint(channel.0);
            out.put_varint(*from);
        }
        out
    }

    /// Reads a body back; `None` if it is not one.
    pub fn decode(body: &[u8]) -> Option<Self> {
        let mut r = Reader::new(body);
        let (released, said, hash) = (r.varint()?, r.varint()?, u128::from_le_bytes(r.array()?));
        let mut unfinished = Unfinished::new();
        while !r.is_empty() {
            let (channel, from) = (Channel(r.varint()?), r.varint()?);
            let ascends = unfinished.last_key_value().is_none_or(|(&last, _)| last < channel);
            if !ascends || from >= released {
                return None;
            }
            unfinished.insert(channel, from);
        }
        (released <= said).then_some(Self { released, said, hash, unfinished })
    }
}
