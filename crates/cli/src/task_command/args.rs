//! The arguments of `gapless task` and its commands.

use crate::args::dialled;
use clap::{Args as ClapArgs, Subcommand};
use gapless::task::{LOG_BYTES, SHARDS, SHARDS_MAX};
use std::ffi::OsString;
use std::path::PathBuf;

pub const EXAMPLES: &str = "\
Examples: two nodes, here on one machine (both name the two addresses; equal programs)
  gapless task --kind account --listen 127.0.0.1:7500 --peer 127.0.0.1:7501 --arbiter file:/tmp/bank --log A -- python3 account.py
  gapless task --kind account --listen 127.0.0.1:7501 --peer 127.0.0.1:7500 --arbiter file:/tmp/bank --log B -- python3 account.py
  gapless task call account alice '{\"deposit\": 100}' --node 127.0.0.1:7500,127.0.0.1:7501
  gapless task status A
  gapless task list A
  gapless task dead-letters A
  gapless task sessions A
  gapless task delete account alice --log A
  gapless handover A            (everything that is live on A goes to B)
  gapless stop A
  gapless log cat A/shard-000   (what a shard's tasks were told)
The program speaks frames of JSON on descriptor 3; for Python, gapless_task.py does that: `gapless task module > gapless_task.py`.
Exit status of a node: 128 + signal when SIGINT or SIGTERM has ended it, 0 after `gapless stop`, 127 if the program was not found, 126 if it cannot be executed.";

#[derive(ClapArgs, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct TaskArgs {
    #[command(subcommand)]
    pub command: Option<TaskCommand>,
    #[command(flatten)]
    pub node: Option<ServeArgs>,
}

#[derive(ClapArgs, Debug)]
pub struct ServeArgs {
    /// A kind of task that the program runs; give it again for more
    #[arg(long = "kind", value_name = "KIND", required = true)]
    pub kinds: Vec<String>,
    /// Address of this node, for clients and for the other node: one that they can reach
    #[arg(long, value_name = "HOST:PORT", value_parser = dialled)]
    pub listen: String,
    /// Address of the other node
    #[arg(long, value_name = "HOST:PORT", value_parser = dialled)]
    pub peer: String,
    /// Directory for this node's logs
    #[arg(long, value_name = "DIR")]
    pub log: PathBuf,
    /// Registers of the service, one a shard
    #[arg(long, value_name = "file:PATH|HOST:PORT[/PAIR]")]
    pub arbiter: String,
    /// Which node this is; without it the one with the lower address is 0
    #[arg(long, value_name = "0|1", value_parser = clap::value_parser!(u8).range(0..=1))]
    pub node: Option<u8>,
    /// Parts of the service that run beside each other; fixed for its whole life
    #[arg(long, value_name = "N", default_value_t = SHARDS, value_parser = clap::value_parser!(u16).range(1..=i64::from(SHARDS_MAX)))]
    pub shards: u16,
    /// Output leaves only when its log is durable on both disks
    #[arg(long)]
    pub durable: bool,
    /// As a backup hold the log and execute it only to take over: cheaper meanwhile, slower then
    #[arg(long)]
    pub warm: bool,
    /// A shard's log begins later, with the shard's state, when it takes more bytes than this (and than four times that state)
    #[arg(long, value_name = "BYTES", default_value_t = LOG_BYTES)]
    pub log_bytes: u64,
    /// Silence after which the other node counts as dead, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 200)]
    pub detect: u64,
    /// Let output leave before the other node has joined
    #[arg(long)]
    pub unprotected_start: bool,
    /// Answer HTTP there: POST /task/KIND/NAME/MESSAGE (whoever reaches it may ask everything)
    #[arg(long, value_name = "HOST:PORT")]
    pub http: Option<String>,
    /// Go on from this node's logs although a power cut may have taken their last entries; leave it away again once the shards are live
    #[arg(long)]
    pub accept_loss: bool,
    /// A worker that has not read a message after so many seconds is killed, and the message tried once more
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub worker_timeout: u64,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    pub program: Vec<OsString>,
}

#[derive(Subcommand, Debug)]
pub enum TaskCommand {
    /// Ask a task and print its reply (exit status 1 if it refuses)
    #[command(after_help = "\
Examples:
  gapless task call account alice '{\"deposit\": 100}' --node 127.0.0.1:7500,127.0.0.1:7501
  gapless task call account alice '\"balance\"' --log DIR    (on a node's host)")]
    Call(CallArgs),
    /// Show what each shard of a node is doing
    #[command(after_help = "\
Examples:
  gapless task status DIR
  gapless task status DIR --json")]
    Status(StatusArgs),
    /// List the tasks of the service, one a line
    #[command(after_help = "\
Examples:
  gapless task list DIR
  gapless task list --node 127.0.0.1:7500 --json")]
    List(LookArgs),
    /// List the messages that were not read, and why, one a line
    #[command(after_help = "\
Examples:
  gapless task dead-letters DIR
  gapless task dead-letters --node 127.0.0.1:7500 --json")]
    DeadLetters(LookArgs),
    /// List the open sessions of clients, shard by shard: when each was last heard, and what is kept for it
    #[command(after_help = "\
Examples:
  gapless task sessions DIR
  gapless task sessions --node 127.0.0.1:7500 --json
A client has a session in each shard that it talks to; one that asks nothing for a day ends.
  heard        when it asked last
  requests     that it has made
  unconfirmed  of these: the reply is kept in case it asks again, or still owed (at most 4096)
  owed         of these: a task has taken the reply upon itself, and not given it")]
    Sessions(LookArgs),
    /// Delete a task: its state, its timers, and what it has asked of the outside
    #[command(after_help = "\
Examples:
  gapless task delete account alice --node 127.0.0.1:7500,127.0.0.1:7501
  gapless task delete account alice --log DIR    (on a node's host)
It asks nothing, and says what went when that is safe. What the task had sent to others still arrives.
The next message to it makes a new one: so a task that is broken begins again.
A reply that it owed is never given. Exit status 0 also if there was no such task.")]
    Delete(DeleteArgs),
    /// Print the Python module
    #[command(after_help = "\
Example:
  gapless task module > gapless_task.py")]
    Module,
}

#[derive(ClapArgs, Debug)]
pub struct CallArgs {
    /// Kind of the task
    pub kind: String,
    /// Name of the task
    pub name: String,
    /// The message, JSON
    pub message: String,
    #[command(flatten)]
    pub way: WayArgs,
}

#[derive(ClapArgs, Debug)]
pub struct DeleteArgs {
    /// Kind of the task
    pub kind: String,
    /// Name of the task
    pub name: String,
    /// What went, as a JSON object; null if there was no such task
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub way: WayArgs,
}

/// How a service is reached.
#[derive(ClapArgs, Debug)]
pub struct WayArgs {
    /// Addresses of the service's nodes; one is enough if it is up
    #[arg(long = "node", value_name = "HOST:PORT,...", value_delimiter = ',', value_parser = dialled, required_unless_present = "log")]
    pub nodes: Vec<String>,
    /// Directory of a node, which knows the addresses
    #[arg(long, value_name = "DIR", conflicts_with = "nodes")]
    pub log: Option<PathBuf>,
    /// Give up after so many seconds without an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub patience: u64,
}

#[derive(ClapArgs, Debug)]
pub struct StatusArgs {
    /// The node's log directory
    pub dir: PathBuf,
    /// As JSON, one object a shard
    #[arg(long)]
    pub json: bool,
}

#[derive(ClapArgs, Debug)]
pub struct LookArgs {
    /// Directory of a node, which knows the addresses
    #[arg(required_unless_present = "nodes", conflicts_with = "nodes")]
    pub dir: Option<PathBuf>,
    /// Addresses of the service's nodes
    #[arg(long = "node", value_name = "HOST:PORT,...", value_delimiter = ',', value_parser = dialled)]
    pub nodes: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}
