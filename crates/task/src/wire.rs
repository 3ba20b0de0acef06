//! What clients, and other shards, say to a shard over TCP, and what they hear.
//!
//! ```text
//! frame  length u32, little-endian | postcard of one value
//! ```
//! A connection begins with [`Hello`] and its [`Welcome`]; after that it belongs to one shard.

use crate::id::{Answer, Session, Shard, Stamp, TaskId};
use crate::input::Payload;
use crate::keys::Key;
use crate::look::{Look, Shown};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Spoken here.
pub const VERSION: u16 = 1;
/// Longest frame.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// Longest message: its frame and its entry in the log have room for the names beside it.
pub const MESSAGE_BYTES_MAX: usize = FRAME_BYTES_MAX - 4096;

/// Who comes, and to which shard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`].
    pub version: u16,
    /// How many shards the caller takes the service to have; 0 if it does not know.
    pub shards: u16,
    /// The one that is meant.
    pub shard: Shard,
    /// The caller is this shard; else a client.
    pub from: Option<Shard>,
}

/// What a node answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Welcome {
    /// The shard is live here; the service has so many.
    Here {
        /// How many.
        shards: u16,
    },
    /// It is not live here.
    Elsewhere {
        /// How many the service has.
        shards: u16,
        /// Perhaps it is live at this address.
        hint: Option<String>,
    },
    /// Never.
    Refused(String),
}

/// To a shard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ToShard {
    /// Opens a session.
    Open {
        /// The client's own word for it.
        nonce: u64,
    },
    /// Asks something.
    Request {
        /// In this session.
        session: Session,
        /// One more than that of the one before; the first is 1.
        number: u64,
        /// The client has the replies to all below this one.
        below: u64,
        /// Who is to read it.
        to: TaskId,
        /// JSON.
        body: String,
    },
    /// Ends a session.
    Close {
        /// Which.
        session: Session,
    },
    /// From a shard.
    Payload {
        /// Without a gap.
        stamp: Stamp,
        /// What.
        payload: Payload,
    },
    /// Asks something under a key; it takes no session. It can be asked again, on any connection, and is executed once.
    Keyed {
        /// The client's own number for it on this connection.
        ticket: u64,
        /// The key; it says who is to read it.
        key: Key,
        /// JSON.
        body: String,
        /// So long after the reply the key shall be known.
        kept: Duration,
    },
    /// A person wants to see something of its state.
    Look {
        /// The client's own word for it.
        nonce: u64,
        /// What.
        what: Look,
    },
    /// Asks that a task be deleted. The reply is JSON: what went with it, or `null` if there was no such task.
    Delete {
        /// In this session.
        session: Session,
        /// One more than that of the one before.
        number: u64,
        /// The client has the replies to all below this one.
        below: u64,
        /// Which task.
        task: TaskId,
    },
}

/// From a shard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FromShard {
    /// The session is open.
    Opened {
        /// As it was asked for.
        nonce: u64,
        /// Its name.
        session: Session,
    },
    /// The reply to a request.
    Reply {
        /// Whose.
        session: Session,
        /// To which.
        number: u64,
        /// The reply.
        answer: Answer,
    },
    /// The request was not taken and never will be.
    Refused {
        /// Whose.
        session: Session,
        /// Which.
        number: u64,
        /// Why.
        why: String,
    },
    /// To a shard: all below this place is safe.
    Held {
        /// The place.
        below: Stamp,
    },
    /// What became of a request with a key.
    Keyed {
        /// As it was asked for.
        ticket: u64,
        /// What.
        told: KeyedTold,
    },
    /// What was to be looked at.
    Shown {
        /// As it was asked for.
        nonce: u64,
        /// What there is.
        shown: Shown,
    },
}

/// What becomes of a request with a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum KeyedTold {
    /// The reply, to this request or to the first one with the key.
    Answer(Answer),
    /// Something else was asked with this key.
    OtherBody,
    /// No new key is taken for about so many seconds.
    Full(u32),
    /// Never.
    Refused(String),
}

/// Appends a frame.
pub fn put(value: &impl Serialize, to: &mut Vec<u8>) {
    let at = to.len();
    to.extend_from_slice(&[0; 4]);
    let bytes = std::mem::take(to);
    *to = postcard::to_extend(value, bytes).expect("plain data encodes");
    let length = (to.len() - at - 4) as u32;
    to[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

/// The first frame of some bytes, and how long it is with its length; `None` if not all of it is there.
pub fn take<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<Option<(T, usize)>> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(invalid(format!("a frame of {length} bytes; {FRAME_BYTES_MAX} are allowed")));
    }
    let Some(frame) = rest.get(..length) else { return Ok(None) };
    match postcard::take_from_bytes(frame) {
        Ok((value, [])) => Ok(Some((value, 4 + length))),
        _ => Err(invalid("a frame that does not decode".to_owned())),
    }
}

/// The frames of one connection: what has come and was not taken, and what is to go. It moves no bytes itself.
#[derive(Debug, Default)]
pub struct Frames {
    come: Vec<u8>,
    /// Of `come`, bytes that were taken.
    taken: usize,
    going: Vec<u8>,
}

impl Frames {
    /// These bytes have come.
    pub fn come(&mut self, bytes: &[u8]) {
        self.ways().0.extend_from_slice(bytes);
    }

    /// Where bytes that come are appended, and what is to go, for whoever does both at once.
    pub fn ways(&mut self) -> (&mut Vec<u8>, &[u8]) {
        self.come.drain(..self.taken);
        self.taken = 0;
        (&mut self.come, &self.going)
    }

    /// Takes the next frame; `None` if not all of it has come. After an error nothing more can be taken.
    pub fn take<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let frame = take(&self.come[self.taken..])?;
        Ok(frame.map(|(value, bytes)| {
            self.taken += bytes;
            value
        }))
    }

    /// This is to go, after all that is going.
    pub fn say(&mut self, value: &impl Serialize) {
        put(value, &mut self.going);
    }

    /// What is to go.
    pub fn going(&self) -> &[u8] {
        &self.going
    }

    /// So many bytes of that have gone.
    pub fn gone(&mut self, bytes: usize) {
        self.going.drain(..bytes);
    }
}

/// A message, or an answer, may have so many bytes as these words have; else how many they are, and how many are allowed.
pub fn check_length(words: &str) -> Result<(), String> {
    match words.len() {
        0..=MESSAGE_BYTES_MAX => Ok(()),
        n => Err(format!("{n} bytes; {MESSAGE_BYTES_MAX} are allowed")),
    }
}

/// Writes one frame at once.
pub fn send(value: &impl Serialize, mut to: impl Write) -> io::Result<()> {
    let mut bytes = Vec::new();
    put(value, &mut bytes);
    to.write_all(&bytes)
}

/// Reads one frame, and not a byte more.
pub fn receive<T: DeserializeOwned>(from: impl Read) -> io::Result<T> {
    receive_short(from, FRAME_BYTES_MAX)
}

/// The same of one that is expected to be short, so that nobody is given room for what he only announces.
pub fn receive_short<T: DeserializeOwned>(mut from: impl Read, bytes_max: usize) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let bytes = u32::from_le_bytes(length) as usize;
    if bytes > bytes_max {
        return Err(invalid(format!("a frame of {bytes} bytes; {bytes_max} are allowed")));
    }
    let mut frame = vec![0; 4 + bytes];
    frame[..4].copy_from_slice(&length);
    from.read_exact(&mut frame[4..])?;
    Ok(take(&frame)?.expect("all of it is there").0)
}

/// A stream of which all that is read must come before a deadline, however slowly it drips.
pub(crate) struct Until<'a> {
    pub stream: &'a TcpStream,
    pub deadline: Instant,
}

impl Read for Until<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut stream = self.stream;
        stream.read(into)
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_whole_however_their_bytes_are_cut() {
        let said: Vec<String> = (0..20).map(|n| "x".repeat(n * n)).collect();
        let mut from = Frames::default();
        said.iter().for_each(|word| from.say(word));
        for cut in 1..50 {
            let (mut to, mut heard) = (Frames::default(), Vec::<String>::new());
            let mut left = Frames { going: from.going().to_vec(), ..Frames::default() };
            while !left.going().is_empty() {
                let part = left.going()[..cut.min(left.going().len())].to_vec();
                to.come(&part);
                left.gone(part.len());
                while let Some(word) = to.take().unwrap() {
                    heard.push(word);
                }
            }
            assert_eq!(heard, said, "in parts of {cut} bytes");
            assert_eq!(to.ways().0.len(), 0);
        }
    }

    #[test]
    fn a_frame_that_is_too_long_or_is_none_is_an_error_at_once() {
        for bytes in [((FRAME_BYTES_MAX + 1) as u32).to_le_bytes().to_vec(), [1, 0, 0, 0, 255].to_vec()] {
            let mut frames = Frames::default();
            frames.come(&bytes);
            assert!(frames.take::<Welcome>().is_err());
        }
    }
}
