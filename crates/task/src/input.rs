//! Every kind of input that a shard's log can hold: the only ways in which the world reaches its tasks.

use crate::id::{Answer, ReplyTo, Session, Shard, Stamp, TaskId};
use crate::keys::Key;
use gapless_log::{Digest, Kind, Position};
use serde::{Deserialize, Serialize};
use std::time::Duration;

gapless_log::kinds! {
    /// A shard begins.
    BEGIN = 16 "begin",
    /// A client opens a session.
    OPEN = 17 "session opened",
    /// A client's request.
    REQUEST = 18 "request",
    /// Something from another shard.
    ARRIVED = 19 "arrived",
    /// It is this late; timers are due.
    TIME = 20 "time",
    /// The answer of the outside to a task.
    DONE = 21 "answer from outside",
    /// Another shard's pair holds what was sent to it.
    HELD = 22 "held elsewhere",
    /// A client closes a session.
    CLOSE = 23 "session closed",
    /// Another shard has repeated what is held here and asks how far that goes.
    AGAIN = 24 "repeated",
    /// A request with a key that is not known yet.
    KEYED = 25 "request with a key",
    /// The message that is read next could not be read on the live side.
    VERDICT = 26 "verdict",
    /// A person looks at the tasks.
    LOOK = 27 "look",
    /// A person deletes a task.
    DELETE = 28 "deletion",
    /// Entries of this shard were lost, which a person has accepted.
    LOST = 32 "entries lost",
    /// A message is not read, because it ends whoever reads it.
    CONDEMNED = 33 "condemned",
}

/// What travels from shard to shard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Payload {
    /// A message from one task to another.
    Message {
        /// Who sends it.
        from: TaskId,
        /// Who is to read it.
        to: TaskId,
        /// JSON.
        body: String,
    },
    /// A reply to somebody whose session is in the other shard.
    Reply {
        /// What it answers.
        to: ReplyTo,
        /// The reply.
        answer: Answer,
    },
}

/// One input. Times are microseconds since 1970 and never go back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Input {
    /// The first one of a history.
    Begin {
        /// What every random number follows from.
        seed: [u8; 32],
        /// Which shard this is.
        shard: Shard,
        /// Of how many.
        shards: u16,
        /// Now.
        time: u64,
    },
    /// A client wants a session.
    Open {
        /// Now.
        time: u64,
        /// The client's own word for it.
        nonce: u64,
    },
    /// The next request of a session.
    Request {
        /// Now.
        time: u64,
        /// Whose.
        session: Session,
        /// One more than that of the one before.
        number: u64,
        /// The client has the replies to all below this one.
        below: u64,
        /// Who is to read it.
        to: TaskId,
        /// JSON.
        body: String,
    },
    /// The next thing from another shard.
    Arrived {
        /// Now.
        time: u64,
        /// From there.
        from: Shard,
        /// One more than that of the one before, or what follows on a loss.
        stamp: Stamp,
        /// What.
        payload: Payload,
    },
    /// Timers are due.
    Time {
        /// Now.
        time: u64,
    },
    /// What a task asked of the outside has been answered.
    Done {
        /// Now.
        time: u64,
        /// Which of its questions.
        number: u64,
        /// The answer.
        answer: Answer,
    },
    /// What was sent to a shard is safe there.
    Held {
        /// There.
        to: Shard,
        /// All below this.
        below: Stamp,
    },
    /// A session ends.
    Close {
        /// Which.
        session: Session,
    },
    /// Another shard wants to hear again how far it is held.
    Again {
        /// Which.
        from: Shard,
    },
    /// A request with a key that is not known yet.
    Keyed {
        /// Now.
        time: u64,
        /// The key; it says who is to read the request.
        key: Key,
        /// JSON.
        body: String,
        /// So long after the reply the key is known.
        kept: Duration,
    },
    /// The log was gone on with although its end may be missing.
    Lost {
        /// How often that has happened in this history.
        generation: u32,
    },
    /// A message has ended the process of one side more than once: the next one like it is a dead letter.
    Condemned {
        /// Hash of the message, of who sends it and of who is to read it.
        message: Digest,
    },
    /// What runs the task failed twice at the message that is read next. It is not tried by whoever reads this.
    Verdict {
        /// How it failed.
        why: String,
    },
    /// A person looks. It is an input so that the answer leaves when all that it shows is committed.
    Look {
        /// The client's own word for it.
        nonce: u64,
    },
    /// The next request of a session: not to a task, but that it be deleted.
    Delete {
        /// Now.
        time: u64,
        /// Whose.
        session: Session,
        /// One more than that of the one before.
        number: u64,
        /// The client has the replies to all below this one.
        below: u64,
        /// Which task.
        task: TaskId,
    },
}

impl Input {
    /// Its kind in the log.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Begin { .. } => BEGIN,
            Self::Open { .. } => OPEN,
            Self::Request { .. } => REQUEST,
            Self::Arrived { .. } => ARRIVED,
            Self::Time { .. } => TIME,
            Self::Done { .. } => DONE,
            Self::Held { .. } => HELD,
            Self::Close { .. } => CLOSE,
            Self::Again { .. } => AGAIN,
            Self::Keyed { .. } => KEYED,
            Self::Lost { .. } => LOST,
            Self::Condemned { .. } => CONDEMNED,
            Self::Verdict { .. } => VERDICT,
            Self::Look { .. } => LOOK,
            Self::Delete { .. } => DELETE,
        }
    }

    /// The body of its entry.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("plain data encodes")
    }

    /// The input of an entry; `None` if these are not the bytes that [`Input::encode`] made for this kind.
    pub fn decode(kind: Kind, body: &[u8]) -> Option<Self> {
        match postcard::take_from_bytes::<Self>(body) {
            Ok((input, [])) if input.kind() == kind => Some(input),
            _ => None,
        }
    }
}

/// An entry whose body is not what its kind says.
pub(crate) fn bad(at: Position, kind: Kind) -> gapless_log::Error {
    gapless_log::Error::Refused(format!("input '{}' at position {at} does not decode", name(kind)))
}

/// What an entry says, for a person.
pub fn describe(kind: Kind, body: &[u8]) -> Option<String> {
    Some(match Input::decode(kind, body)? {
        Input::Begin { shard, shards, .. } => format!("shard {shard} of {shards}"),
        Input::Open { nonce, .. } => format!("for nonce {nonce:016x}"),
        Input::Request { session, number, to, body, .. } => format!("{number} of session {}: {to} {body}", session.0),
        Input::Arrived { from, stamp, payload: Payload::Message { from: sender, to, body }, .. } => {
            format!("{stamp} of shard {from}: {sender} to {to} {body}")
        }
        Input::Arrived { from, stamp, payload: Payload::Reply { to, answer }, .. } => {
            format!("{stamp} of shard {from}: reply to {} of session {}: {}", to.number, to.session.0, words(&answer))
        }
        Input::Time { time } => format!("{}.{:06} s", time / 1_000_000, time % 1_000_000),
        Input::Done { number, answer, .. } => format!("to question {number}: {}", words(&answer)),
        Input::Held { to, below } => format!("below {below} at shard {to}"),
        Input::Close { session } => format!("session {}", session.0),
        Input::Again { from } => format!("by shard {from}"),
        Input::Keyed { key, body, .. } => format!("{:?} of {}: {body}", key.key, key.to),
        Input::Lost { generation } => format!("generation {generation} begins"),
        Input::Condemned { message } => format!("message {message:032x}"),
        Input::Verdict { why } => format!("the next message is not read: {why}"),
        Input::Look { nonce } => format!("for nonce {nonce:016x}"),
        Input::Delete { session, number, task, .. } => format!("of {task}, {number} of session {}", session.0),
    })
}

fn words(answer: &Answer) -> String {
    match answer {
        Ok(json) => json.clone(),
        Err(why) => format!("refused: {why}"),
    }
}
