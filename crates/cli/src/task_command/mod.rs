//! `gapless task`: a node of a service whose tasks a program runs, and what asks and looks at it.
//!
//! The rules it keeps: what it shows of tasks is committed; a node that is sent a signal to stop has ended within [`STOP_MAX`]. What it leaves out: the node itself,
//! which is the library's (`gapless::task`, in `src/task/`).

mod args;
mod look;
mod shards;

pub use args::{EXAMPLES, TaskArgs};
pub use shards::{handover, status, stop};

use crate::out::{self, talk};
use crate::place::Signals;
use crate::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, Outcome, text};
use args::{CallArgs, DeleteArgs, ServeArgs, TaskCommand, WayArgs};
use gapless::task::{Client, Commit, Deleted, Kinds, Program, Refused, Service, Site, TaskId, serve};
use serde::Serialize;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// A node that a signal stops ends within this time, as if it had died: the other one takes over.
const STOP_MAX: Duration = Duration::from_secs(5);
/// Exit status of `gapless task call` when the request was refused.
const EXIT_REFUSED: u8 = 1;

/// `gapless task`.
pub fn run(args: TaskArgs) -> Outcome {
    match (args.command, args.node) {
        (Some(TaskCommand::Call(a)), _) => call(&a),
        (Some(TaskCommand::Status(a)), _) => shards::shards(&a.dir, a.json),
        (Some(TaskCommand::List(a)), _) => look::list(&a),
        (Some(TaskCommand::DeadLetters(a)), _) => look::dead_letters(&a),
        (Some(TaskCommand::Sessions(a)), _) => look::sessions(&a),
        (Some(TaskCommand::Delete(a)), _) => delete(&a),
        (Some(TaskCommand::Module), _) => {
            out::data(include_str!("../../../../python/gapless_task.py"))?;
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
    service.warm = args.warm;
    service.log_bytes = args.log_bytes;
    service.detect = Duration::from_millis(args.detect);
    service.unprotected_start = args.unprotected_start;
    service.http.clone_from(&args.http);
    service.accept_loss = args.accept_loss;
    let serving = serve(service).map_err(text)?;
    let dir = args.log.display();
    talk!("gapless: node {} listening at {}; `gapless task status {dir}` tells more", usize::from(!first), args.listen);
    let (stopper, come) = (serving.stopper(), Arc::new(AtomicI32::new(0)));
    let comes = come.clone();
    std::thread::spawn(move || {
        let signal = signals.wait();
        comes.store(signal, Ordering::SeqCst);
        stopper.stop();
        // A worker that hangs holds up its shard, but not this node.
        std::thread::sleep(STOP_MAX);
        ended_by(signal, true);
    });
    serving.wait();
    match come.load(Ordering::SeqCst) {
        0 => {
            talk!("gapless: stopped on request");
            Ok(0)
        }
        signal => ended_by(signal, false),
    }
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

fn json(value: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(value).map_err(text)
}
