//! A shard under the host loop: recorded, replayed, taken over after every entry, saved and loaded.

mod common;

use common::{Do, diary_in, json, request, shard, stamp};
use gapless_log::disk::Dice;
use gapless_log::{Entry, Frame, FrameBuilder, Host, Level, Options, Output, Progress, Replayed, Replica, Seq, Term};
use gapless_task::edge::{Caller, Event};
use gapless_task::input::Payload;
use gapless_task::script::{Desk, Script};
use gapless_task::wire::{FromShard, KeyedTold, MESSAGE_BYTES_MAX};
use gapless_task::{Arrival, Key, Said, Session, Shard, ShardReplica, State, TaskId, Verdict};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

const SHARDS: u16 = 3;

type Desked = Rc<RefCell<Desk>>;

struct Live {
    host: Host<ShardReplica<Script>>,
    desk: Desked,
}

impl Live {
    fn new() -> Self {
        let (replica, desk) = shard(0, SHARDS);
        Self { host: Host::new(replica, Options::default()), desk }
    }

    fn fresh() -> Self {
        let mut live = Self::new();
        live.host.go_live(Term(1), Seq(0), 0).unwrap();
        live.host.record_step().unwrap();
        live
    }

    fn state(&self) -> &State {
        self.host.replica().state().expect("begun")
    }

    fn happens(&self, event: Event) {
        self.desk.borrow_mut().events.push_back(event);
    }

    fn step(&mut self) {
        self.desk.borrow_mut().now += 700;
        self.host.record_step().unwrap();
    }

    fn commit(&mut self) {
        self.host.seal(Seq(0));
        self.host.release(Seq(u64::MAX)).unwrap();
    }

    fn digest(&mut self) -> u128 {
        self.host.replica_mut().digest().unwrap()
    }

    /// Replays everything that is held.
    fn replay(&mut self, frames: &[Frame]) -> Replayed {
        frames.iter().for_each(|frame| self.host.feed(frame).unwrap());
        loop {
            match self.host.replay_step().unwrap() {
                Replayed::Step(_) | Replayed::Sync(_) => {}
                end => return end,
            }
        }
    }
}

/// What the world does before the next step.
fn world(live: &Live, dice: &mut Dice, n: u64) {
    let diaries: Vec<TaskId> = (0..3).map(|at| diary_in(0, SHARDS, at)).collect();
    let next = live.state().sessions() as u64;
    let mut numbers = BTreeMap::new();
    for at in 0..dice.below(4) as u64 {
        let n = n * 10 + at;
        let to = &diaries[dice.below(3)];
        match dice.below(12) {
            0 => live.happens(Event::Open { nonce: n }),
            1..=6 if next > 0 => {
                let session = 1 + dice.below(next as usize) as u64;
                let last = numbers.entry(session).or_insert_with(|| {
                    (1..).find(|&number| is_next(live.state(), session, number, to)).expect("some number is next") - 1
                });
                *last += u64::from(dice.below(5) > 0);
                let whats = [
                    Do::Note(n),
                    Do::Pass { to: diaries[dice.below(3)].name.clone(), n },
                    Do::Pass { to: diary_in(1 + n as u16 % 2, SHARDS, 0).name, n },
                    Do::Later { ms: n % 5, n },
                    Do::Ask(n),
                    Do::Owe(n),
                    Do::Settle(n),
                    Do::Draw(n),
                ];
                let (number, below) = ((*last).max(1), (*last).saturating_sub(3));
                if dice.below(12) == 0 {
                    let (by, session, task) = (Caller(session), Session(session), to.clone());
                    live.happens(Event::Delete { by, session, number, below, task });
                } else {
                    live.happens(request(session, number, below, to, &whats[dice.below(8)]));
                }
            }
            7..=8 => {
                let from = Shard(1 + dice.below(2) as u16);
                let expected = live.state().arrived_below(from);
                let sender = TaskId::new("diary", "there");
                let payload = Payload::Message { from: sender, to: to.clone(), body: json(&Do::Note(n)) };
                for number in expected.number.saturating_sub(dice.below(2) as u64)..=expected.number {
                    let by = Caller(1000 + n);
                    live.happens(Event::Payload { by, from, stamp: stamp(0, number), payload: payload.clone() });
                }
            }
            9 => {
                let mut desk = live.desk.borrow_mut();
                let said: Vec<_> = desk.said.iter().map(|(&to, &end)| (to, end)).collect();
                desk.held = said;
            }
            10 => {
                let asked = std::mem::take(&mut live.desk.borrow_mut().asked);
                asked.into_iter().for_each(|number| live.happens(Event::Done { number, answer: Ok(n.to_string()) }));
            }
            _ => {}
        }
    }
}

fn is_next(state: &State, session: u64, number: u64, to: &TaskId) -> bool {
    !matches!(state.verdict(Session(session), number, 1, to), Verdict::Repeated(_))
}

/// What a live shard wrote and said.
struct Run {
    frames: Vec<Frame>,
    said: Vec<Output>,
    digest: u128,
}

fn record(seed: u64, steps: u64) -> Run {
    let mut live = Live::fresh();
    let mut dice = Dice(seed);
    let (mut frames, mut said) = (live.host.seal(Seq(0)), Vec::<Output>::new());
    for n in 1..=steps {
        world(&live, &mut dice, n);
        live.step();
        let known = said.last().map_or(0, |o| o.number + 1);
        said.extend(live.host.outbox().waiting().filter(|o| o.number >= known).cloned());
        if n.is_multiple_of(9) {
            live.host.record_digest().unwrap();
        }
        frames.extend(live.host.seal(Seq(0)));
        // Commit is late, so that takeovers have something to say again.
        let committed = live.host.next_seq().0.saturating_sub(dice.below(12) as u64);
        live.host.release(Seq(committed)).unwrap();
    }
    Run { digest: live.digest(), frames, said }
}

#[test]
fn a_replay_ends_where_the_recording_did() {
    let mut said = 0;
    for seed in 0..40 {
        let run = record(seed, 60);
        said += run.said.len();
        let mut other = Live::new();
        assert_eq!(other.replay(&run.frames), Replayed::Starved);
        assert_eq!(other.digest(), run.digest, "seed {seed}");
        assert_eq!(other.host.outbox().said(), run.said.len() as u64);
    }
    assert!(said > 1000, "only {said} outputs");
}

/// One entry a frame, so that the log can end at any entry.
fn single(entries: &[Entry]) -> Vec<Frame> {
    let mut builder = FrameBuilder::new(Level::Task, Term(1), Seq(0), 0);
    let frame = |e: &Entry| {
        builder.push(e.at, e.kind, &e.body);
        builder.seal(Seq(0)).unwrap()
    };
    entries.iter().map(frame).collect()
}

#[test]
fn a_takeover_after_any_entry_says_the_same_again_and_reads_nothing_twice() {
    let (mut points, mut again) = (0, 0);
    for seed in 0..70 {
        let run = record(100 + seed, 25);
        let entries: Vec<Entry> = run.frames.iter().flat_map(|f| f.entries().collect::<Vec<_>>()).collect();
        let frames = single(&entries);
        for held in 0..=entries.len() {
            let mut survivor = Live::new();
            survivor.replay(&frames[..held]);
            let keep = survivor.host.next_seq();
            let chain =
                frames.get(keep.0 as usize).map_or_else(|| frames.last().unwrap().chain_after(), Frame::chain_before);
            if keep == Seq(0) {
                continue;
            }
            let waiting: Vec<Output> = survivor.host.outbox().waiting().cloned().collect();
            let first = survivor.host.outbox().released();
            assert!(waiting.iter().eq(run.said[first as usize..].iter().take(waiting.len())), "as they were said");
            survivor.host.go_live(Term(2), keep, chain).unwrap();
            survivor.step();
            survivor.commit();
            again += waiting.len();
            points += 1;
            check_repeats(&mut survivor, &run.said[..first as usize + waiting.len()]);
        }
    }
    assert!(points > 2000 && again > 2000, "{points} points, {again} outputs said again");
}

/// Whatever was said once is said the same when it is asked for again, and changes nothing.
fn check_repeats(survivor: &mut Live, said: &[Output]) {
    let before = survivor.digest();
    let mut expected = Vec::new();
    for said in said.iter().map(|o| decode(&o.bytes)) {
        match said {
            Said::Reply { session, number, answer } => {
                let to = diary_in(0, SHARDS, 0);
                if let Verdict::Repeated(known) = survivor.state().verdict(session, number, 1, &to) {
                    assert_eq!(known.as_ref(), Some(&answer));
                    survivor.happens(request(session.0, number, 1, &to, &Do::Note(0)));
                    expected.push((session, number, answer));
                }
            }
            Said::Send { to, stamp, payload } => {
                let kept = survivor.state().outgoing(to).find(|(kept, _)| *kept == stamp);
                assert!(kept.is_none_or(|(_, kept)| *kept == payload), "the same number, the same message");
            }
            Said::Held { from, below } => {
                for number in 0..below.number {
                    assert_eq!(survivor.state().arrival(from, stamp(0, number)), Arrival::Seen);
                }
            }
            _ => {}
        }
    }
    survivor.host.record_step().unwrap();
    assert_eq!(survivor.digest(), before);
    let told = std::mem::take(&mut survivor.desk.borrow_mut().told);
    let told: Vec<_> = told
        .into_iter()
        .map(|(_, said)| match said {
            FromShard::Reply { session, number, answer } => (session, number, answer),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, expected);
}

fn decode(bytes: &[u8]) -> Said {
    Said::decode(bytes).expect("it said so")
}

#[test]
fn a_loaded_shard_goes_on_like_one_that_read_everything() {
    for seed in 0..30 {
        let mut live = Live::fresh();
        let mut dice = Dice(500 + seed);
        let (mut loaded, mut read) = (Live::new(), Live::new());
        let mut end = (Seq(0), 0);
        for n in 0..60 {
            if n > 0 {
                world(&live, &mut dice, n);
                live.step();
            }
            for frame in live.host.seal(Seq(0)) {
                end = (frame.end_seq(), frame.chain_after());
                read.host.feed(&frame).unwrap();
                if n > 30 {
                    loaded.host.feed(&frame).unwrap();
                }
            }
            live.host.release(Seq(end.0.0.saturating_sub(seed % 20))).unwrap();
            if n == 30 {
                let bytes = live.host.save().unwrap().expect("shards save themselves");
                loaded.host.load(&bytes, end.0, end.1).unwrap();
            }
        }
        loaded.replay(&[]);
        read.replay(&[]);
        assert_eq!(loaded.digest(), live.digest());
        assert_eq!(read.digest(), live.digest());
        assert!(loaded.host.outbox().waiting().eq(read.host.outbox().waiting()));
    }
}

/// A client that connects again sends again what it has no reply to, perhaps before the first one was read.
#[test]
fn a_request_that_comes_twice_in_one_step_is_not_answered_before_commit() {
    let mut live = Live::fresh();
    live.happens(Event::Open { nonce: 1 });
    live.step();
    live.commit();
    let to = diary_in(0, SHARDS, 0);
    live.happens(request(1, 1, 1, &to, &Do::Draw(1)));
    live.happens(request(1, 1, 1, &to, &Do::Draw(1)));
    live.step();
    live.happens(request(1, 1, 1, &to, &Do::Draw(1)));
    live.step();
    assert!(live.desk.borrow().told.is_empty(), "nothing is committed");
    live.commit();
    let desk = live.desk.borrow();
    let replies = desk.emitted.iter().filter(|said| matches!(said, Said::Reply { .. }));
    assert_eq!(replies.count(), 1);
}

/// A survivor knows which replies of the life before still wait for their commit.
#[test]
fn a_request_that_comes_again_after_a_takeover_is_not_answered_before_commit() {
    let mut live = Live::fresh();
    let to = diary_in(0, SHARDS, 0);
    let keyed = |by| {
        let key = Key { to: diary_in(0, SHARDS, 0), message: "draw".into(), key: "k".into() };
        Event::Keyed { by: Caller(by), ticket: by, key, body: json(&Do::Draw(3)), kept: Duration::from_secs(60) }
    };
    live.happens(Event::Open { nonce: 1 });
    live.happens(request(1, 1, 1, &to, &Do::Draw(1)));
    live.step();
    let mut frames = live.host.seal(Seq(0));
    live.host.release(Seq(u64::MAX)).unwrap();
    live.happens(request(1, 2, 1, &to, &Do::Draw(2)));
    live.happens(keyed(9));
    live.step();
    frames.extend(live.host.seal(Seq(0)));
    let mut survivor = Live::new();
    survivor.replay(&frames);
    let last = frames.last().unwrap();
    survivor.host.go_live(Term(2), last.end_seq(), last.chain_after()).unwrap();
    let ask = |survivor: &mut Live| {
        let again = [request(1, 1, 1, &to, &Do::Draw(1)), request(1, 2, 1, &to, &Do::Draw(2)), keyed(9)];
        again.into_iter().for_each(|event| survivor.happens(event));
        survivor.step();
        let told = std::mem::take(&mut survivor.desk.borrow_mut().told);
        let number = |told: FromShard| match told {
            FromShard::Reply { number, answer: Ok(_), .. } => number,
            FromShard::Keyed { ticket, told: KeyedTold::Answer(Ok(_)) } => ticket,
            other => panic!("{other:?}"),
        };
        told.into_iter().map(|(_, told)| number(told)).collect::<Vec<_>>()
    };
    assert_eq!(ask(&mut survivor), [1], "the mark of the second step says that the reply to the first has left");
    assert_eq!(ask(&mut survivor), [1]);
    survivor.commit();
    assert_eq!(ask(&mut survivor), [1, 2, 9]);
    let emitted = &survivor.desk.borrow().emitted;
    assert!(matches!(emitted[..], [Said::Reply { number: 2, .. }, Said::Keyed { .. }]), "{emitted:?}");
}

#[test]
fn an_answer_from_outside_that_is_too_long_is_an_error_to_the_task() {
    let mut live = Live::fresh();
    live.happens(Event::Open { nonce: 1 });
    live.happens(request(1, 1, 1, &diary_in(0, SHARDS, 0), &Do::Ask(1)));
    live.step();
    live.commit();
    assert_eq!(live.desk.borrow().asked, [0]);
    live.happens(Event::Done { number: 0, answer: Ok("x".repeat(MESSAGE_BYTES_MAX + 1)) });
    live.step();
    assert!(!live.state().asks(0));
    let frames = live.host.seal(Seq(0));
    assert!(frames.iter().all(|frame| frame.bytes().len() < 10_000));
}

#[test]
fn a_question_is_put_again_after_a_takeover_unless_it_is_still_to_be_put() {
    let mut live = Live::fresh();
    live.happens(Event::Open { nonce: 1 });
    live.happens(request(1, 1, 1, &diary_in(0, SHARDS, 0), &Do::Ask(1)));
    live.step();
    let mut frames = live.host.seal(Seq(0));
    let takeover = |frames: &[Frame]| {
        let mut survivor = Live::new();
        survivor.replay(frames);
        let last = frames.last().unwrap();
        survivor.host.go_live(Term(2), last.end_seq(), last.chain_after()).unwrap();
        let before = survivor.desk.borrow().asked.clone();
        survivor.commit();
        let after = survivor.desk.borrow().asked.clone();
        (before, after)
    };
    assert_eq!(takeover(&frames), (vec![], vec![0]), "nobody knows whether it was put: it waits for commit");
    live.host.release(Seq(u64::MAX)).unwrap();
    live.happens(Event::Open { nonce: 2 });
    live.step();
    frames.extend(live.host.seal(Seq(0)));
    assert_eq!(takeover(&frames), (vec![0], vec![0]));
}

#[test]
fn a_question_of_a_task_that_is_deleted_is_not_put() {
    let mut live = Live::fresh();
    let task = diary_in(0, SHARDS, 0);
    live.happens(Event::Open { nonce: 1 });
    live.happens(request(1, 1, 1, &task, &Do::Ask(1)));
    live.happens(Event::Delete { by: Caller(1), session: Session(1), number: 2, below: 1, task });
    live.step();
    assert!(live.desk.borrow().emitted.is_empty(), "nothing is committed");
    live.commit();
    assert!(live.desk.borrow().asked.is_empty());
    let gone =
        Said::Reply { session: Session(1), number: 2, answer: Ok(r#"{"timers":0,"questions":1,"messages":0}"#.into()) };
    assert!(live.desk.borrow().emitted.contains(&gone), "{:?}", live.desk.borrow().emitted);
    assert_eq!(live.state().tasks(), 0);
}

#[test]
fn a_loss_is_an_entry_and_a_replay_knows_it() {
    let run = record(3, 30);
    let half = &run.frames[..run.frames.len() / 2];
    let last = half.last().unwrap();
    let mut survivor = Live::new();
    survivor.replay(half);
    survivor.host.replica_mut().losses(1);
    survivor.host.go_live(Term(9), last.end_seq(), last.chain_after()).unwrap();
    assert_eq!(survivor.state().generation(), 1);
    survivor.step();
    let mut frames = half.to_vec();
    frames.extend(survivor.host.seal(Seq(0)));
    let mut backup = Live::new();
    backup.replay(&frames);
    assert_eq!(backup.state().generation(), 1);
    assert_eq!(backup.digest(), survivor.digest());
    // A takeover without a loss keeps the generation.
    let last = frames.last().unwrap();
    backup.host.replica_mut().losses(1);
    backup.host.go_live(Term(10), last.end_seq(), last.chain_after()).unwrap();
    assert!(matches!(backup.host.record_step().unwrap(), Progress::Idle(_) | Progress::Ran));
    assert_eq!(backup.state().generation(), 1);
}

#[test]
fn a_log_of_another_shard_and_an_input_that_does_not_fit_are_refused() {
    let run = record(1, 20);
    let (replica, _desk) = shard(1, SHARDS);
    let mut wrong = Host::new(replica, Options::default());
    wrong.feed(&run.frames[0]).unwrap();
    assert!(wrong.replay_step().unwrap_err().to_string().contains("does not"));
    let entries: Vec<Entry> = run.frames.iter().flat_map(|f| f.entries().collect::<Vec<_>>()).collect();
    for (n, entry) in entries.iter().enumerate().filter(|(_, e)| !e.body.is_empty()) {
        let mut damaged = entries.clone();
        damaged[n].body = entry.body[..entry.body.len() - 1].to_vec();
        let mut other = Live::new();
        single(&damaged).iter().for_each(|frame| other.host.feed(frame).unwrap());
        let ended = std::iter::from_fn(|| Some(other.host.replay_step()))
            .find(|r| !matches!(r, Ok(Replayed::Step(_) | Replayed::Sync(_))));
        assert!(ended.unwrap().is_err(), "entry {n} of kind {}", entry.kind.0);
    }
}
