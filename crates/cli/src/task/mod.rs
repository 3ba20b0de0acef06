//! A task service: shards, their pairs, and one address for clients on each node.
//!
//! The rules it keeps: one life of a shard follows the other until the node is stopped; a directory belongs to one service, and to its number of shards,
//! for ever. What it leaves out: what a shard does, which is gapless-task's, and who is live, which is gapless-pair's.
//!
//! ```no_run
//! use gapless::task::{Context, From, Kinds, Service, Task, serve};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Counter(u64);
//!
//! impl Task for Counter {
//!     const KIND: &'static str = "counter";
//!     type Message = u64;
//!     fn new(_: &str) -> Self {
//!         Self(0)
//!     }
//!     fn receive(&mut self, ctx: &mut Context<'_>, _: &From, add: u64) -> Result<(), String> {
//!         self.0 += add;
//!         ctx.reply(&self.0);
//!         Ok(())
//!     }
//! }
//!
//! let nodes = ["10.0.0.1:7500", "10.0.0.2:7500"];
//! let service = Service::new(Kinds::new().with::<Counter>(), nodes, 0, "10.0.0.3:7300/counters", "/var/lib/counters");
//! serve(service)?.wait();
//! # Ok::<(), gapless::task::Error>(())
//! ```

mod http;
mod service;
mod serving;
mod site;

pub use gapless_log::Error;
pub use gapless_pair::Commit;
pub use gapless_task::{
    Answer, CLIENT_REPLIES_MAX, Client, Context, DeadLetter, Deleted, From, Io, KEY_KEPT, Kinds, Look, Program,
    Refused, ReplyTo, SHARDS_MAX, Session, SessionShown, Shard, Shown, Task, TaskId, TaskShown,
};
pub use http::{REQUESTS_MAX as HTTP_REQUESTS_MAX, SHARD_REQUESTS_MAX as HTTP_SHARD_REQUESTS_MAX};
pub use service::{LOG_BYTES, SHARDS, Service};
pub use serving::{Serving, Stopper, serve};
pub use site::{Site, shard_dir};
