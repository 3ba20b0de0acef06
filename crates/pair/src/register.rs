//! The register: the one piece of shared state, kept by the arbiter and changed only by compare-and-put.
//!
//! It names the owner's life and, while protected, the life of the backup that holds every released output's log. Every put raises
//! the term by one, so a put can be applied at most once and an old one never after a newer one.

use crate::Life;
use gapless_log::Term;
use serde::{Deserialize, Serialize};

/// Longest encoding of a register: anything longer is not one.
pub const REGISTER_BYTES_MAX: usize = 4096;
/// Longest address in a register.
pub const ADDRESS_BYTES_MAX: usize = 1024;

/// A life with the address at which the other side can dial it (empty if it does not listen).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seat {
    /// Who.
    pub life: Life,
    /// Where it listens, as given by the user; travels beside the protocol and is never compared by it.
    pub address: String,
}

/// What the arbiter keeps.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Register {
    /// Made at the fresh start; tells two registers apart that happen to hold the same term.
    pub uuid: u128,
    /// Raised by one with every put.
    pub term: Term,
    /// Raised by every go-live that may have lost entries, so that output numbers are never reused with other contents.
    pub generation: u32,
    /// The only life that can obtain new releases.
    pub owner: Seat,
    /// The life that holds the log behind everything released, if there is one: it may take over.
    pub backup: Option<Seat>,
    /// The protected program has ended with this status: nobody takes over, and a fresh start may replace this register.
    pub ended: Option<i32>,
}

impl Register {
    /// The next register: `owner` with `backup`, everything else kept.
    pub fn successor(&self, owner: Seat, backup: Option<Seat>) -> Self {
        Self { term: self.term.next(), owner, backup, ..self.clone() }
    }

    /// Is `life` the owner?
    pub fn owned_by(&self, life: Life) -> bool {
        self.owner.life == life
    }

    /// Is `life` the named backup?
    pub fn backed_by(&self, life: Life) -> bool {
        self.backup.as_ref().is_some_and(|b| b.life == life)
    }

    /// The bytes an arbiter stores and sends.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a register always encodes")
    }

    /// Reads [`Register::encode`] back; `None` if the bytes are not exactly one register.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > REGISTER_BYTES_MAX {
            return None;
        }
        let (register, rest) = postcard::take_from_bytes::<Self>(bytes).ok()?;
        let fits = |seat: &Seat| seat.address.len() <= ADDRESS_BYTES_MAX;
        (rest.is_empty() && fits(&register.owner) && register.backup.as_ref().is_none_or(fits)).then_some(register)
    }
}

/// What a put expects to find: nothing, or exactly this register's identity and term.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Expect {
    /// No register was ever put.
    Absent,
    /// The register with this uuid, at this term.
    At {
        /// Its uuid.
        uuid: u128,
        /// Its term.
        term: Term,
    },
}

impl Expect {
    /// Does the arbiter's present value match?
    pub fn matches(&self, current: Option<&Register>) -> bool {
        match (self, current) {
            (Expect::Absent, None) => true,
            (Expect::At { uuid, term }, Some(r)) => r.uuid == *uuid && r.term == *term,
            _ => false,
        }
    }
}

/// A compare-and-put: applied at most once, and only over what it expects.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Put {
    /// What must be there.
    pub expect: Expect,
    /// What is there afterwards.
    pub new: Register,
}

impl Put {
    /// A put of `new` over `current`.
    pub fn over(current: &Register, new: Register) -> Self {
        Self { expect: Expect::At { uuid: current.uuid, term: current.term }, new }
    }
}
