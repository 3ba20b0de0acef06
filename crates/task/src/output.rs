//! What a shard says to the world, and on which channel.

use crate::id::{Answer, Session, Shard, Stamp, TaskId};
use crate::input::Payload;
use gapless_log::Channel;
use serde::{Deserialize, Serialize};

/// One output.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Said {
    /// A client's session is open.
    Opened {
        /// The client's own word for it.
        nonce: u64,
        /// Its name from now on.
        session: Session,
    },
    /// A reply to a client.
    Reply {
        /// Whose.
        session: Session,
        /// To which of its requests.
        number: u64,
        /// The reply.
        answer: Answer,
    },
    /// Something for another shard, which may get it more than once.
    Send {
        /// There.
        to: Shard,
        /// Its place in the channel.
        stamp: Stamp,
        /// What.
        payload: Payload,
    },
    /// All that came from another shard below a place is held here.
    Held {
        /// From there.
        from: Shard,
        /// The place.
        below: Stamp,
    },
    /// A task asks something of the outside, which may hear it more than once.
    Ask {
        /// Counts the questions of this shard.
        number: u64,
        /// Who asks.
        task: TaskId,
        /// The task's own word for it.
        tag: String,
        /// JSON.
        request: String,
    },
    /// A reply to whoever waits for a request with a key.
    Keyed {
        /// The shard's number of the request.
        number: u64,
        /// The reply.
        answer: Answer,
    },
    /// All that a person was to be shown is committed.
    Looked {
        /// The client's own word for it.
        nonce: u64,
    },
}

/// All outputs of a shard keep their order.
pub(crate) const CHANNEL: Channel = Channel(0);

impl Said {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("plain data encodes")
    }

    /// The request to which this is the reply, if it is one; those with keys have their numbers under [`Session::KEYED`].
    pub(crate) fn reply_to(&self) -> Option<(Session, u64)> {
        match self {
            Self::Reply { session, number, .. } => Some((*session, *number)),
            Self::Keyed { number, .. } => Some((Session::KEYED, *number)),
            _ => None,
        }
    }

    /// The output of these bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}
