//! Looking at what a live shard has, a page at a time, without changing anything.
//!
//! What is shown is committed: the look itself is an input, and its answer an output of a kind.

use crate::client::{Refused, find};
use crate::id::{NAME_BYTES_MAX, Session, Shard, TaskId};
use crate::routes;
use crate::state::{DeadLetter, State};
use crate::wire::{self, FromShard, ToShard};
use serde::{Deserialize, Serialize};
use std::ops::Bound;
use std::time::{Duration, Instant};

/// Tasks of one page: with the longest names and reasons it fits a frame.
const TASKS_MAX: usize = 500;
const _: () = assert!(TASKS_MAX * (2 * NAME_BYTES_MAX + 4 * WHY_CHARS_MAX + 16) < wire::FRAME_BYTES_MAX);
/// A page of letters ends with the one that makes it so long; with that one it fits a frame.
const LETTERS_BYTES_MAX: usize = 256 << 10;
/// Sessions of one page: with the longest numbers it fits a frame.
const SESSIONS_MAX: usize = 4096;
const _: () = assert!(SESSIONS_MAX * (6 * 10) + 16 < wire::FRAME_BYTES_MAX);
/// So much is shown of why something is not read.
const WHY_CHARS_MAX: usize = 200;

/// What to show.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Look {
    /// Tasks, in order, the first one after this.
    Tasks {
        /// None: from the beginning.
        after: Option<TaskId>,
    },
    /// Messages that were not read, the oldest first.
    DeadLetters {
        /// Without so many of the oldest.
        skip: u32,
    },
    /// Open sessions, the oldest first.
    Sessions {
        /// The first one behind this; no session is called [`Session::KEYED`].
        after: Session,
    },
}

/// A page of what there is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Shown {
    /// Tasks.
    Tasks {
        /// Some.
        tasks: Vec<TaskShown>,
        /// There are more after these.
        more: bool,
    },
    /// Messages that were not read.
    DeadLetters {
        /// Some.
        letters: Vec<DeadLetter>,
        /// There are more after these.
        more: bool,
    },
    /// Open sessions.
    Sessions {
        /// Some.
        sessions: Vec<SessionShown>,
        /// There are more after these.
        more: bool,
    },
}

/// A task as it is shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TaskShown {
    /// Which one.
    pub id: TaskId,
    /// Why it reads no more messages, if it does not.
    pub broken: Option<String>,
}

/// An open session as it is shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionShown {
    /// Which one.
    pub session: Session,
    /// No request of it came for so long.
    pub idle: Duration,
    /// Requests that it has made.
    pub requests: u64,
    /// Of these, those whose reply is kept or still to come: the client has not said that it has it.
    pub unconfirmed: u64,
    /// Of these, those that have no reply yet.
    pub owed: u64,
}

impl Shown {
    /// At this time, microseconds since 1970.
    pub(crate) fn of(state: &State, what: &Look, now: u64) -> Self {
        match what {
            Look::Tasks { after } => {
                let start = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
                let mut rest = state.task_list(start);
                let show = |(id, broken): (&TaskId, Option<&str>)| TaskShown {
                    id: id.clone(),
                    broken: broken.map(|why| why.chars().take(WHY_CHARS_MAX).collect()),
                };
                let tasks = rest.by_ref().take(TASKS_MAX).map(show).collect();
                Self::Tasks { tasks, more: rest.next().is_some() }
            }
            Look::DeadLetters { skip } => {
                let mut rest = state.dead_letters().skip(*skip as usize).peekable();
                let (mut letters, mut bytes) = (Vec::new(), 0);
                while let Some(letter) = rest.next_if(|_| bytes < LETTERS_BYTES_MAX) {
                    let why: String = letter.why.chars().take(WHY_CHARS_MAX).collect();
                    // The first may be as long as a message is; no other one makes the page longer than a frame.
                    bytes += letter.body.len() + why.len();
                    if bytes > wire::MESSAGE_BYTES_MAX && !letters.is_empty() {
                        return Self::DeadLetters { letters, more: true };
                    }
                    letters.push(DeadLetter { why, ..letter.clone() });
                }
                Self::DeadLetters { letters, more: rest.peek().is_some() }
            }
            Look::Sessions { after } => {
                let mut rest = state.session_list(*after, now);
                let sessions = rest.by_ref().take(SESSIONS_MAX).collect();
                Self::Sessions { sessions, more: rest.next().is_some() }
            }
        }
    }
}

/// Asks the live side of one shard, wherever that is.
pub(crate) fn ask(
    nodes: &[String],
    shard: Shard,
    shards: u16,
    what: &Look,
    patience: Duration,
) -> Result<Shown, Refused> {
    let silent = |e: std::io::Error| Refused::Silent(e.to_string());
    let nonce = gapless_log::random_u128().map_err(|e| Refused::Silent(e.to_string()))? as u64;
    let deadline = Instant::now() + patience;
    loop {
        let stream = find(nodes, shard, shards, deadline)?;
        stream.set_read_timeout(Some(patience)).map_err(silent)?;
        let asked = wire::send(&ToShard::Look { nonce, what: what.clone() }, &stream).and_then(|()| {
            loop {
                match wire::receive(&stream)? {
                    FromShard::Shown { nonce: mine, shown } if mine == nonce => return Ok(shown),
                    _ => {}
                }
            }
        });
        match asked {
            Ok(shown) => return Ok(shown),
            Err(e) if Instant::now() > deadline => return Err(silent(e)),
            // It has moved.
            Err(_) => std::thread::sleep(routes::PAUSE),
        }
    }
}
