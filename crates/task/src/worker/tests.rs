//! Verdicts, without processes: what each side makes of a message at which only one of them fails; and how dead letters are shown.

use crate::id::{Answer, Session, Shard, TaskId};
use crate::input::Input;
use crate::look::{Look, Shown};
use crate::state::{Failure, State};
use crate::task::{AnyTask, Context, From, Io, Kind, Kinds, Unread};
use crate::wire::{self, FromShard};
use std::sync::Arc;

/// Counts what it reads, draws a random number each time, and fails at `bad` where it is told to.
struct Counting {
    fails: bool,
}

struct Counter {
    read: u64,
    fails: bool,
}

impl Kind for Counting {
    fn make(&self, _: &str) -> Box<dyn AnyTask> {
        Box::new(Counter { read: 0, fails: self.fails })
    }

    fn load(&self, bytes: &[u8]) -> Option<Box<dyn AnyTask>> {
        Some(Box::new(Counter { read: u64::from_le_bytes(bytes.try_into().ok()?), fails: self.fails }))
    }

    fn perform(&self, _: &Io) -> Answer {
        Err("nothing is outside".to_owned())
    }
}

impl AnyTask for Counter {
    fn receive(&mut self, ctx: &mut Context<'_>, _: &From, body: &str) -> Result<(), Unread> {
        let drawn = ctx.random();
        if body == "\"bad\"" && self.fails {
            return Err(Unread::Failed("killed".to_owned()));
        }
        if body == "\"lost\"" {
            return Err(Unread::Stuck("no worker".to_owned()));
        }
        self.read += 1;
        ctx.reply(&drawn);
        Ok(())
    }

    fn save(&self) -> Vec<u8> {
        self.read.to_le_bytes().to_vec()
    }
}

/// A shard with a session and a task that has read one message.
fn shard(fails: bool) -> State {
    let begin = Input::Begin { seed: [7; 32], shard: Shard(0), shards: 1, time: 1 };
    let mut state = State::begin(Kinds::new().and("counter", Arc::new(Counting { fails })), &begin).unwrap();
    assert!(state.apply(Input::Open { time: 1, nonce: 1 }));
    read(&mut state, 1, "\"good\"");
    assert_eq!(state.take_failure(), None);
    state
}

fn read(state: &mut State, number: u64, body: &str) {
    read_by(state, "one", number, body);
}

fn read_by(state: &mut State, name: &str, number: u64, body: &str) {
    let (to, body) = (TaskId::new("counter", name), body.to_owned());
    assert!(state.apply(Input::Request { time: 2, session: Session(1), number, below: 0, to, body }));
}

#[test]
fn a_verdict_stands_for_the_attempts() {
    let (mut live, mut backup) = (shard(true), shard(false));
    read(&mut live, 2, "\"bad\"");
    assert_eq!(live.take_failure(), Some(Failure::Message("killed".to_owned())));
    assert!(backup.apply(Input::Verdict { why: "killed".to_owned() }));
    read(&mut backup, 2, "\"bad\"");
    assert_eq!(backup.take_failure(), None, "it has tried nothing");
    // Random numbers go on from the same place.
    read(&mut live, 3, "\"good\"");
    read(&mut backup, 3, "\"good\"");
    assert_eq!(live.digest_parts(), backup.digest_parts());
    assert_eq!(live.take_said(), backup.take_said());
    let letters = live.dead_letters().collect::<Vec<_>>();
    assert_eq!(letters.len(), 1);
    assert!(letters.iter().all(|letter| letter.why == "killed" && letter.body == "\"bad\""));
    assert_eq!(live.task_list(std::ops::Bound::Unbounded).filter(|(_, broken)| broken.is_some()).count(), 0);
}

#[test]
fn a_verdict_on_a_tasks_first_message_leaves_the_same_task_on_both_sides() {
    let (mut live, mut backup) = (shard(true), shard(false));
    read_by(&mut live, "two", 2, "\"bad\"");
    assert!(backup.apply(Input::Verdict { why: "killed".to_owned() }));
    read_by(&mut backup, "two", 2, "\"bad\"");
    assert_eq!(live.digest_parts(), backup.digest_parts());
    assert_eq!(live.save(), backup.save());
}

#[test]
fn without_its_verdict_the_sides_differ() {
    let (mut live, mut other) = (shard(true), shard(false));
    read(&mut live, 2, "\"bad\"");
    read(&mut other, 2, "\"bad\"");
    assert_ne!(live.digest_parts(), other.digest_parts());
}

#[test]
fn a_verdict_is_on_one_message() {
    let mut state = shard(true);
    assert!(state.apply(Input::Verdict { why: "killed".to_owned() }));
    assert!(!state.apply(Input::Verdict { why: "killed".to_owned() }), "two for one message");
    read(&mut state, 2, "\"good\"");
    read(&mut state, 3, "\"good\"");
    assert_eq!(state.dead_letters().count(), 1);
}

#[test]
fn that_nothing_runs_here_is_no_verdict() {
    let mut state = shard(true);
    read(&mut state, 2, "\"lost\"");
    assert_eq!(state.take_failure(), Some(Failure::Side("no worker".to_owned())));
    assert_eq!(state.dead_letters().count(), 0);
}

#[test]
fn long_lists_come_in_pages() {
    let mut state = shard(true);
    for n in 2..1300 {
        read_by(&mut state, &format!("task-{n}"), n, if n % 2 == 0 { "\"bad\"" } else { "\"good\"" });
    }
    let (mut names, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let Shown::Tasks { tasks, more } = Shown::of(&state, &Look::Tasks { after }, 0) else { panic!("tasks") };
        after = tasks.last().map(|task| task.id.clone());
        names.extend(tasks.into_iter().map(|task| task.id));
        pages += 1;
        if !more {
            break;
        }
    }
    assert_eq!((names.len(), pages), (1299, 3));
    assert!(names.is_sorted());
    let Shown::DeadLetters { letters, more } = Shown::of(&state, &Look::DeadLetters { skip: 600 }, 0) else {
        panic!("letters")
    };
    assert_eq!((letters.len(), more), (49, false));
}

#[test]
fn a_page_of_long_letters_fits_a_frame() {
    let mut state = shard(true);
    let long = format!("\"{}\"", "x".repeat(wire::MESSAGE_BYTES_MAX - 2));
    for n in 2..5 {
        assert!(state.apply(Input::Verdict { why: "w".repeat(5000) }));
        read(&mut state, n, &long);
    }
    let mut skip = 0;
    loop {
        let shown = Shown::of(&state, &Look::DeadLetters { skip }, 0);
        let mut frame = Vec::new();
        wire::put(&FromShard::Shown { nonce: u64::MAX, shown: shown.clone() }, &mut frame);
        assert!(frame.len() <= 4 + wire::FRAME_BYTES_MAX);
        let Shown::DeadLetters { letters, more } = shown else { panic!("letters") };
        skip += letters.len() as u32;
        if !more {
            break;
        }
    }
    assert_eq!(skip, 3);
}
