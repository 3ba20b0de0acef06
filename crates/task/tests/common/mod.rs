//! A task that writes down what it reads, and a shard around it.
#![allow(dead_code, reason = "each test file uses some of it")]

pub mod fuzz;

use gapless_task::edge::{Caller, Event};
use gapless_task::script::{Desk, Script};
use gapless_task::{Context, Doors, From, Kinds, Place, ReplyTo, Session, Shard, ShardReplica, Stamp, Task, TaskId};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// What a diary is told to do. Numbers are the test's own, and tell messages apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Do {
    Note(u64),
    Pass { to: String, n: u64 },
    Later { ms: u64, n: u64 },
    Ask(u64),
    Owe(u64),
    Settle(u64),
    Draw(u64),
    Refuse(u64),
    Boom(u64),
    Abort(u64),
    Tell,
}

/// Writes down who said what, in order.
#[derive(Serialize, Deserialize)]
pub struct Diary {
    read: Vec<(String, u64)>,
    owed: Vec<ReplyTo>,
}

impl Task for Diary {
    const KIND: &'static str = "diary";
    type Message = serde_json::Value;

    fn new(name: &str) -> Self {
        assert_ne!(name, "unborn", "as it should");
        Self { read: Vec::new(), owed: Vec::new() }
    }

    fn receive(&mut self, ctx: &mut Context<'_>, from: &From, message: serde_json::Value) -> Result<(), String> {
        let sender = match from {
            From::Client(_) => "client".to_owned(),
            From::Task(id) => id.name.clone(),
            From::Timer => "timer".to_owned(),
            From::Io(tag) => {
                self.read.push((format!("io {tag}"), 0));
                return Ok(());
            }
        };
        let message: Do = serde_json::from_value(message).map_err(|e| e.to_string())?;
        match &message {
            Do::Refuse(n) => return Err(format!("no to {n}")),
            Do::Boom(n) => panic!("told to, by {n}"),
            Do::Abort(_) => std::process::abort(),
            Do::Tell => ctx.reply(&self.read),
            Do::Pass { to, n } => ctx.send::<Self>(to, &serde_json::to_value(Do::Note(*n)).unwrap()),
            Do::Later { ms, n } => ctx.timer(Duration::from_millis(*ms), &Do::Note(*n)),
            Do::Ask(n) => ctx.io(&n.to_string(), n),
            Do::Owe(_) => self.owed.extend(ctx.owe()),
            Do::Settle(_) => self.owed.drain(..).for_each(|to| ctx.reply_later(to, Ok("\"late\"".to_owned()))),
            Do::Draw(_) => {
                let drawn = ctx.random();
                ctx.reply(&drawn);
            }
            Do::Note(_) => {}
        }
        let (Do::Note(n) | Do::Pass { n, .. } | Do::Later { n, .. } | Do::Ask(n) | Do::Owe(n)) = message else {
            return Ok(());
        };
        self.read.push((sender, n));
        Ok(())
    }
}

pub fn json(what: &Do) -> String {
    serde_json::to_string(what).unwrap()
}

pub fn kinds() -> Kinds {
    Kinds::new().with::<Diary>()
}

/// The `n`th diary that lives in a shard.
pub fn diary_in(shard: u16, shards: u16, n: usize) -> TaskId {
    let all = (0..).map(|n| TaskId::new("diary", format!("d{n}")));
    all.filter(|id| id.shard(shards) == Shard(shard)).nth(n).unwrap()
}

/// A shard with its desk.
pub fn shard(shard: u16, shards: u16) -> (ShardReplica<Script>, Rc<RefCell<Desk>>) {
    let desk = Rc::new(RefCell::new(Desk { now: 1_000_000, seed: [shard as u8 + 1; 32], ..Desk::default() }));
    let place = Place {
        shard: Shard(shard),
        shards,
        kinds: kinds(),
        code: "test".to_owned(),
        doors: Doors::new(shards),
        nodes: Vec::new(),
        black_box: std::env::var_os("GAPLESS_TASK_BOX").map(Into::into),
    };
    (ShardReplica::with_edge(place, desk.clone()), desk)
}

pub fn request(session: u64, number: u64, below: u64, to: &TaskId, what: &Do) -> Event {
    let body = json(what);
    Event::Request { by: Caller(session), session: Session(session), number, below, to: to.clone(), body }
}

pub fn stamp(generation: u32, number: u64) -> Stamp {
    Stamp { generation, number }
}
