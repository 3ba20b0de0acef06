//! What a log directory remembers of the protocol, durable before it is relied on.

use crate::{Life, Put, Register};
use gapless_log::Term;
use serde::{Deserialize, Serialize};

/// How much must be known of an entry before outputs behind it leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Commit {
    /// In the backup's memory and written to the primary's own log file. Survives any one process or machine.
    #[default]
    Received,
    /// On both disks (`fdatasync`). Survives the loss of power of both machines.
    Durable,
}

/// The directory's memory. Only the process that holds the directory's lock reads or writes it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Meta {
    /// The highest register seen: its uuid and term. A smaller term or another uuid is not followed.
    pub seen: Option<(u128, Term)>,
    /// The life that this directory's log belongs to.
    pub life: Option<Life>,
    /// At which level that life committed.
    pub commit: Commit,
    /// Boot id of the machine under that life: if it changed, written but unsynced bytes may be lost.
    pub boot: u128,
    /// A put that was sent and is not known to be won or lost. While there is one the directory is never cut or emptied.
    pub intent: Option<Put>,
}

/// Longest encoding of a meta record.
pub const META_BYTES_MAX: usize = 16 << 10;

impl Meta {
    /// The bytes to store.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a meta record always encodes")
    }

    /// Reads [`Meta::encode`] back; `None` if the bytes are not exactly one record.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > META_BYTES_MAX {
            return None;
        }
        let (meta, rest) = postcard::take_from_bytes::<Self>(bytes).ok()?;
        rest.is_empty().then_some(meta)
    }

    /// Does the register name this directory's life as owner? Then only this directory may continue.
    pub fn owns(&self, register: &Register) -> bool {
        self.life.is_some_and(|life| register.owned_by(life))
    }
}
