//! `gapless task`: a node of a service whose tasks a program runs, and what asks and looks at it.
//!
//! The rules it keeps: what it shows of tasks is committed; a node that is told to stop has ended within [`STOP_MAX`]. What it leaves out: the node itself,
//! which is the library's (`task.rs`).

use crate::args::{DirArgs, dialled};
use crate::out::{self, talk};
use crate::place::Signals;
use crate::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, Outcome, pair, text};
use clap::{Args as ClapArgs, Subcommand};
use gapless::task::{
    Client, Commit, Deleted, Kinds, Look, Program, Refused, SHARDS, SHARDS_MAX, Service, Session, SessionShown, Shard,
    Shown, Site, TaskId, serve, shard_dir,
};
use gapless_pair::status::{self as control, Snapshot};
use serde::Serialize;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A node that was told to stop ends within this time, as if it had died: the other one takes over.
const STOP_MAX: Duration = Duration::from_secs(5);
/// Exit status of `gapless task call` when the request was refused.
const EXIT_REFUSED: u8 = 1;

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
  gapless log cat A/shard-000   (what a shard's tasks were told)
The program speaks frames of JSON on descriptor 3; for Python, gapless_task.py does that: `gapless task module > gapless_task.py`.
Exit status of a node: 128 + signal when SIGINT or SIGTERM has ended it, 127 if the program was not found, 126 if it cannot be executed.";

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

/// `gapless task`.
pub fn run(args: TaskArgs) -> Outcome {
    match (args.command, args.node) {
        (Some(TaskCommand::Call(a)), _) => call(&a),
        (Some(TaskCommand::Status(a)), _) => status(&a),
        (Some(TaskCommand::List(a)), _) => list(&a),
        (Some(TaskCommand::DeadLetters(a)), _) => dead_letters(&a),
        (Some(TaskCommand::Sessions(a)), _) => sessions(&a),
        (Some(TaskCommand::Delete(a)), _) => delete(&a),
        (Some(TaskCommand::Module), _) => {
            out::data(include_str!("../../../python/gapless_task.py"))?;
            Ok(0)
        }
        (None, Some(a)) => node(a),
        (None, None) => Err("nothing to do; `gapless task --help` has examples".to_owned()),
    }
}

fn node(args: ServeArgs) -> Outcome {
    let signals = Signals::block(&[libc::SIGINT, libc::SIGTERM]);
    if args.listen == args.peer {
        return Err(format!("--listen and --peer are both {}; the nodes have addresses of their own", args.peer));
    }
    let tell = |what: &str| talk!("gapless: {what}");
    let program = match Program::new(&args.program, Duration::from_secs(args.worker_timeout), tell) {
        Ok(program) => program,
        Err(e) => {
            let status = match e.kind() {
                ErrorKind::NotFound => EXIT_NOT_FOUND,
                ErrorKind::PermissionDenied => EXIT_NOT_EXECUTABLE,
                _ => return Err(text(e)),
            };
            talk!("gapless: {e}");
            return Ok(status);
        }
    };
    let kinds = args.kinds.iter().fold(Kinds::new(), |kinds, kind| kinds.with_program(kind, &program));
    let first = args.node.map_or(args.listen < args.peer, |node| node == 0);
    let (this, other) = (args.listen.clone(), args.peer);
    let nodes = if first { [this, other] } else { [other, this] };
    let mut service = Service::new(kinds, nodes, usize::from(!first), args.arbiter, args.log.clone());
    service.shards = args.shards;
    service.commit = if args.durable { Commit::Durable } else { Commit::Received };
    service.detect = Duration::from_millis(args.detect);
    service.unprotected_start = args.unprotected_start;
    service.http.clone_from(&args.http);
    service.accept_loss = args.accept_loss;
    let serving = serve(service).map_err(text)?;
    let dir = args.log.display();
    talk!("gapless: node {} listening at {}; `gapless task status {dir}` tells more", usize::from(!first), args.listen);
    let signal = signals.wait();
    serving.stop();
    // A worker that hangs holds up its shard, but not this node.
    std::thread::spawn(move || {
        std::thread::sleep(STOP_MAX);
        ended_by(signal, true);
    });
    serving.wait();
    ended_by(signal, false)
}

/// Ends this process; its workers end with it.
fn ended_by(signal: i32, late: bool) -> ! {
    talk!(
        "gapless: stopped by signal {signal}{}",
        if late { "; a shard was held up, and ends as if it had died" } else { "" }
    );
    std::process::exit(128 + signal)
}

/// The nodes that a directory knows of.
fn site(dir: &Path) -> Result<Site, String> {
    let lacks = || format!("{} is no directory of a node of tasks; start one with `gapless task`", dir.display());
    Site::of(dir).map_err(text)?.ok_or_else(lacks)
}

/// Of a look, so long.
const PATIENCE: Duration = Duration::from_secs(30);

fn client(nodes: &[String], dir: Option<&Path>, patience: Duration) -> Result<Client, String> {
    let nodes = match dir {
        Some(dir) => site(dir)?.nodes,
        None => nodes.to_vec(),
    };
    Client::connect_within(nodes, patience).map_err(text)
}

impl WayArgs {
    fn client(&self) -> Result<Client, String> {
        client(&self.nodes, self.log.as_deref(), Duration::from_secs(self.patience))
    }
}

fn call(args: &CallArgs) -> Outcome {
    serde_json::from_str::<serde::de::IgnoredAny>(&args.message)
        .map_err(|e| format!("the message is not JSON: {e}; a text has quotes of its own, as in '\"balance\"'"))?;
    match args.way.client()?.call_json(TaskId::new(&args.kind, &args.name), args.message.clone()) {
        Ok(reply) => {
            out::data(&format!("{reply}\n"))?;
            Ok(0)
        }
        Err(Refused::Told(why)) => {
            talk!("gapless: refused: {why}");
            Ok(EXIT_REFUSED)
        }
        Err(e @ (Refused::Silent(_) | Refused::Lost(_))) => Err(format!(
            "{e}; it may have been carried out, or may still be: look before you ask again, or ask over HTTP with an Idempotency-Key"
        )),
        Err(e) => Err(text(e)),
    }
}

fn delete(args: &DeleteArgs) -> Outcome {
    let task = TaskId::new(&args.kind, &args.name);
    let deleted = args.way.client()?.delete(task.clone()).map_err(|e| match e {
        Refused::Silent(_) | Refused::Lost(_) => {
            format!("{e}; it may have been carried out: ask again, or look with `gapless task list`")
        }
        e => text(e),
    })?;
    let line = match deleted {
        _ if args.json => json(&deleted)?,
        None => format!("{task}: there is no such task"),
        Some(Deleted { timers, questions, messages }) => format!(
            "{task}: deleted, with {}, {} and {}",
            count(timers, "timer", "timers"),
            count(questions, "question to the outside", "questions to the outside"),
            count(messages, "unread message to itself", "unread messages to itself"),
        ),
    };
    out::data(&format!("{line}\n"))?;
    Ok(0)
}

fn count(n: u64, one: &str, more: &str) -> String {
    match n {
        0 => format!("no {one}"),
        1 => format!("1 {one}"),
        n => format!("{n} {more}"),
    }
}

#[derive(Serialize)]
struct ShardStatus {
    shard: u16,
    #[serde(flatten)]
    now: Option<Snapshot>,
    error: Option<String>,
}

fn status(args: &StatusArgs) -> Outcome {
    let shards = site(&args.dir)?.shards;
    // The shards of other pairs are not here.
    let own = (0..shards).filter(|&shard| shard_dir(&args.dir, Shard(shard)).exists());
    let ask = |shard| match control::query(&shard_dir(&args.dir, Shard(shard))) {
        Ok(now) => ShardStatus { shard, now: Some(now), error: None },
        Err(e) => ShardStatus { shard, now: None, error: Some(text(e)) },
    };
    let all: Vec<ShardStatus> = own.map(ask).collect();
    if all.iter().all(|status| status.now.is_none()) {
        return Err(format!("no node runs on {}; start it with `gapless task`", args.dir.display()));
    }
    if args.json {
        for status in &all {
            out::data(&format!("{}\n", serde_json::to_string(status).map_err(text)?))?;
        }
        return Ok(0);
    }
    let mut lines = format!(
        "{:>5}  {:<8} {:<10} {:>5} {:>10} {:>8} {:>8}  {}\n",
        "shard", "role", "mode", "term", "position", "lag", "p50", "because"
    );
    for status in &all {
        lines += &match &status.now {
            Some(now) => format!(
                "{:>5}  {:<8} {:<10} {:>5} {:>10} {:>8} {:>5.0} us  {}\n",
                status.shard,
                now.role,
                if now.held { "holding" } else { &now.mode },
                now.term,
                now.position,
                now.lag_entries,
                now.commit_latency.p50_us,
                now.why
            ),
            None => format!("{:>5}  {}\n", status.shard, status.error.as_deref().unwrap_or("no answer")),
        };
    }
    let count = |fits: fn(&Snapshot) -> bool| all.iter().filter_map(|s| s.now.as_ref()).filter(|now| fits(now)).count();
    lines += &format!(
        "{shards} shards: {} live here ({} protected), {} in backup ({} in sync)\n",
        count(|now| now.role == "primary"),
        count(|now| now.mode == "protected"),
        count(|now| now.role == "backup"),
        count(|now| now.role == "backup" && now.in_sync),
    );
    out::data(&lines)?;
    Ok(0)
}

/// A line of `list --json`.
#[derive(Serialize)]
struct TaskLine<'a> {
    shard: u16,
    kind: &'a str,
    name: &'a str,
    broken: Option<&'a str>,
}

fn list(args: &LookArgs) -> Outcome {
    let client = client(&args.nodes, args.dir.as_deref(), PATIENCE)?;
    for shard in 0..client.shards() {
        let mut after = None;
        loop {
            let Shown::Tasks { tasks, more } = look(&client, shard, &Look::Tasks { after })? else {
                return Err(other_answer());
            };
            for task in &tasks {
                let broken = task.broken.as_deref();
                let line = match args.json {
                    true => json(&TaskLine { shard, kind: &task.id.kind, name: &task.id.name, broken })?,
                    false => format!("{}{}", task.id, broken.map_or(String::new(), |why| format!("  broken: {why}"))),
                };
                out::data(&format!("{line}\n"))?;
            }
            after = tasks.last().map(|task| task.id.clone());
            if !more {
                break;
            }
        }
    }
    Ok(0)
}

/// A line of `dead-letters --json`.
#[derive(Serialize)]
struct LetterLine<'a> {
    shard: u16,
    time_us: u64,
    kind: &'a str,
    name: &'a str,
    message: &'a str,
    why: &'a str,
}

fn dead_letters(args: &LookArgs) -> Outcome {
    let client = client(&args.nodes, args.dir.as_deref(), PATIENCE)?;
    for shard in 0..client.shards() {
        let mut skip = 0;
        loop {
            let Shown::DeadLetters { letters, more } = look(&client, shard, &Look::DeadLetters { skip })? else {
                return Err(other_answer());
            };
            for letter in &letters {
                let (kind, name, message, why) =
                    (letter.to.kind.as_str(), letter.to.name.as_str(), letter.body.as_str(), letter.why.as_str());
                let line = match args.json {
                    true => json(&LetterLine { shard, time_us: letter.time, kind, name, message, why })?,
                    false => format!("{kind}/{name} {message}  {why}"),
                };
                out::data(&format!("{line}\n"))?;
            }
            skip += letters.len() as u32;
            if !more {
                break;
            }
        }
    }
    Ok(0)
}

/// A line of `sessions --json`.
#[derive(Serialize)]
struct SessionLine {
    shard: u16,
    session: u64,
    idle_ms: u64,
    requests: u64,
    unconfirmed: u64,
    owed: u64,
}

fn sessions(args: &LookArgs) -> Outcome {
    let client = client(&args.nodes, args.dir.as_deref(), PATIENCE)?;
    let row = |cells: [String; 6]| {
        let [shard, session, heard, requests, unconfirmed, owed] = cells;
        format!("{shard:>5}  {session:>10}  {heard:>12}  {requests:>10}  {unconfirmed:>11}  {owed:>4}\n")
    };
    if !args.json {
        out::data(&row(["shard", "session", "heard", "requests", "unconfirmed", "owed"].map(str::to_owned)))?;
    }
    for shard in 0..client.shards() {
        let mut after = Session::KEYED;
        loop {
            let Shown::Sessions { sessions, more } = look(&client, shard, &Look::Sessions { after })? else {
                return Err(other_answer());
            };
            for &SessionShown { session, idle, requests, unconfirmed, owed } in &sessions {
                after = session;
                let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
                let line = match args.json {
                    true => {
                        json(&SessionLine { shard, session: session.0, idle_ms, requests, unconfirmed, owed })? + "\n"
                    }
                    false => row([
                        shard.to_string(),
                        session.0.to_string(),
                        format!("{:.1} s ago", idle.as_secs_f64()),
                        requests.to_string(),
                        unconfirmed.to_string(),
                        owed.to_string(),
                    ]),
                };
                out::data(&line)?;
            }
            if !more {
                break;
            }
        }
    }
    Ok(0)
}

fn look(client: &Client, shard: u16, what: &Look) -> Result<Shown, String> {
    client.look(Shard(shard), what).map_err(|e| format!("shard {shard}: {e}"))
}

fn json(value: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(value).map_err(text)
}

fn other_answer() -> String {
    "the node shows something else than asked for; use the same build everywhere".to_owned()
}

/// `gapless handover`: of one log, or of all shards that are live on a node.
pub fn handover(args: &DirArgs) -> Outcome {
    let Some(site) = Site::of(&args.dir).map_err(text)? else { return pair::handover(&args.dir) };
    let (mut count, mut failed) = (0, Vec::new());
    for shard in (0..site.shards).map(Shard) {
        let dir = shard_dir(&args.dir, shard);
        // The shards of other pairs are not here.
        if !dir.exists() {
            continue;
        }
        let live = control::query(&dir).map(|now| now.role == "primary");
        match live
            .and_then(|live| if live { control::handover(&dir, pair::HANDOVER_MAX).map(|()| true) } else { Ok(false) })
        {
            Ok(handed_over) => count += u32::from(handed_over),
            Err(e) => failed.push(format!("shard {shard}: {e}")),
        }
    }
    if !failed.is_empty() {
        return Err(format!("{count} shards handed over; not these: {}", failed.join("; ")));
    }
    talk!("gapless: {count} shards handed over");
    Ok(0)
}
