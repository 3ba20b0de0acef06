//! Names: of a task, of a shard, of a session, of an answer that is owed.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest kind or name, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Most shards of one service.
pub const SHARDS_MAX: u16 = 256;

/// A task: what it is, and which one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TaskId {
    /// The kind; it decides which code runs.
    pub kind: String,
    /// The name, unique within the kind.
    pub name: String,
}

impl TaskId {
    /// The task `name` of this kind.
    pub fn new(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), name: name.into() }
    }

    /// The shard in which it lives, of so many. Fixed for ever: it is part of where the state is.
    pub fn shard(&self, shards: u16) -> Shard {
        let hash = gapless_log::chain(0, &[self.kind.as_bytes(), self.name.as_bytes()]);
        Shard((hash % u128::from(shards)) as u16)
    }

    /// Neither empty nor too long.
    pub fn is_sound(&self) -> bool {
        [&self.kind, &self.name].into_iter().all(|part| (1..=NAME_BYTES_MAX).contains(&part.len()))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// A shard: the unit that is replicated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
pub struct Shard(pub u16);

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in the channel from one shard to another; later ones compare greater.
///
/// Numbers have no gaps. A sender that has lost entries of its log goes on from what is left: some numbers come again with other contents, under a higher
/// generation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
pub struct Stamp {
    /// How often the sender's pair had lost entries by then.
    pub generation: u32,
    /// Counts what was sent on this channel.
    pub number: u64,
}

impl Stamp {
    /// The place behind this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self { number: self.number + 1, ..self }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            0 => self.number.fmt(f),
            generation => write!(f, "{} (generation {generation})", self.number),
        }
    }
}

/// Sessions and questions of a generation have numbers from here on, so that none of them is given again after a loss.
pub(crate) fn first_of(generation: u32) -> u64 {
    u64::from(generation) << 32
}

/// A session of a client with one shard. Ids are never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Session(pub u64);

impl Session {
    /// Of no client: requests that carry a key, whoever sends them.
    pub const KEYED: Self = Self(0);
}

/// The reply that one request of one session waits for. It can be kept in a task's state and travel in messages; whoever holds it may reply, once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ReplyTo {
    /// The shard that has the session.
    pub shard: Shard,
    /// The session.
    pub session: Session,
    /// The request's number in it.
    pub number: u64,
}

/// JSON for whoever asked, or why there is none.
pub type Answer = Result<String, String>;
