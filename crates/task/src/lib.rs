//! The task level: message-driven tasks, each message read exactly once, whatever dies.
//!
//! From the inside out:
//!
//! - a [`Task`] is state that one message after the other changes; a [`Context`] is all that it may ask for;
//! - [`State`] is a shard, which is many tasks and what is on its way between them: a function of its inputs (`input.rs`) that says things (`output.rs`);
//! - a [`Program`] in any language can run tasks instead: `worker/`;
//! - [`ShardReplica`] is the shard as a replica; `edge.rs` is the line between it and the outside while it is live, `world/` the real outside, `door.rs` how connections reach it;
//! - [`Client`] asks tasks from outside, through sessions, so that a request that is repeated is not executed twice; `wire.rs` is what it speaks.

mod blackbox;
mod client;
mod crowd;
mod door;
pub mod edge;
mod id;
pub mod input;
mod keys;
mod look;
mod output;
mod routes;
pub mod script;
mod shard;
mod state;
mod task;
mod uncommitted;
pub mod wire;
mod worker;
mod world;

pub use blackbox::DEATHS_MAX;
pub use client::{Client, Refused};
pub use door::{Doors, Gatekeeper};
pub use id::{Answer, NAME_BYTES_MAX, ReplyTo, SHARDS_MAX, Session, Shard, Stamp, TaskId};
pub use keys::{KEY_BYTES_MAX, KEY_KEPT, KEY_KEPT_MAX, KEYS_BYTES_MAX, Key, KeyVerdict};
pub use look::{Look, SessionShown, Shown, TaskShown};
pub use output::Said;
pub use routes::pair;
pub use shard::{LEVEL, Place, ShardReplica};
pub use state::{Arrival, DEAD_LETTERS_MAX, DeadLetter, Deleted, Failure, SESSION_IDLE_MAX, State, Verdict, WINDOW};
pub use task::{Context, From, Io, Kinds, Task};
pub use worker::Program;
pub use world::{CLIENT_REPLIES_MAX, SHARD_REPLIES_MAX, World};
