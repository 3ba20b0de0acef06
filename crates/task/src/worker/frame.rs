//! What a worker is told and what it answers.
//!
//! ```text
//! frame  length u32, little-endian | one JSON value
//! ```
//! In every frame the value is an object with one key, the name of the variant, in snake case; a variant without fields is its name as a string.

use crate::id::{ReplyTo, TaskId};
use crate::task::From;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The protocol that is spoken here.
pub const PROTOCOL: u16 = 1;
/// Longest frame. The state of a task travels in one.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// To a worker. Each is answered with one frame before the next is sent.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ToWorker<'a> {
    /// A task reads a message.
    Receive {
        kind: &'a str,
        name: &'a str,
        /// What it was after its last message; null before the first one.
        state: Option<&'a RawValue>,
        from: &'a From,
        message: &'a RawValue,
        /// Microseconds since 1970.
        now: u64,
        /// Sixteen hexadecimal digits, from which all random numbers are to follow.
        seed: String,
    },
    /// Something is done outside, for a task.
    Perform { kind: &'a str, name: &'a str, key: &'a str, tag: &'a str, request: &'a RawValue },
}

/// From a worker.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromWorker {
    /// The first frame, once.
    Ready {
        /// [`PROTOCOL`].
        protocol: u16,
        /// Names the worker's code: equal on both sides.
        code: String,
    },
    /// The message was read.
    Done {
        /// What the task is now.
        state: Box<RawValue>,
        /// What it asks for, in order.
        effects: Vec<Told>,
    },
    /// The message is refused; nothing has changed.
    Refused(String),
    /// What the outside has answered.
    Performed(Outcome),
}

/// What a task asks for.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    Send { to: TaskId, message: Box<RawValue> },
    Reply(Box<RawValue>),
    Owe,
    ReplyLater { to: ReplyTo, answer: Outcome },
    Timer { after_us: u64, message: Box<RawValue> },
    Io { tag: String, request: Box<RawValue> },
}

/// An answer with JSON in it, or why there is none.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok(Box<RawValue>),
    Error(String),
}

/// The bytes of a frame; none if it is too long.
pub fn encode(frame: &ToWorker<'_>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, frame).expect("text becomes JSON");
    let length = bytes.len() - 4;
    bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
    (length <= FRAME_BYTES_MAX).then_some(bytes)
}
