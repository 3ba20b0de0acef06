//! A shard's state under any order of inputs: each message is read once, in its sender's order, and whatever was saved goes on like the original.

mod common;

use common::{Do, diary_in, json, kinds, stamp};
use gapless_task::input::{self, Input, Payload};
use gapless_task::wire::{self, FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, ToShard};
use gapless_task::{
    Arrival, DEAD_LETTERS_MAX, Deleted, SESSION_IDLE_MAX, Said, Session, Shard, State, TaskId, Verdict, WINDOW,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

const SHARDS: u16 = 3;

fn begin() -> State {
    let input = Input::Begin { seed: [7; 32], shard: Shard(0), shards: SHARDS, time: 1_000_000 };
    State::begin(kinds(), &input).unwrap()
}

fn ask(state: &mut State, session: u64, number: u64, below: u64, to: &TaskId, what: &Do) -> bool {
    let time = state.time() + 1;
    let (session, to) = (Session(session), to.clone());
    state.apply(Input::Request { time, session, number, below, to, body: json(what) })
}

fn open(state: &mut State) -> u64 {
    let time = state.time() + 1;
    assert!(state.apply(Input::Open { time, nonce: 5 }));
    let opened = state.take_said().into_iter().find_map(|s| match s {
        Said::Opened { session, nonce: 5 } => Some(session.0),
        _ => None,
    });
    opened.expect("an opened session is told")
}

/// What a diary has read, asked in a session of its own.
fn read(state: &mut State, of: &TaskId) -> Vec<(String, u64)> {
    let session = open(state);
    assert!(ask(state, session, 1, 1, of, &Do::Tell));
    let replied = state.take_said().into_iter().find_map(|s| match s {
        Said::Reply { session: to, answer, .. } if to == Session(session) => Some(answer),
        _ => None,
    });
    assert!(state.apply(Input::Close { session: Session(session) }));
    serde_json::from_str(&replied.expect("told").expect("not broken")).unwrap()
}

/// One thing that the world does, right or wrong.
#[derive(Clone, Debug)]
enum Step {
    Open,
    Close(usize),
    /// A request whose number is off by so much.
    Request {
        session: usize,
        off: i64,
        confirm: u64,
        to: usize,
        what: usize,
    },
    /// A diary is deleted, in that session.
    Delete {
        session: usize,
        which: usize,
    },
    /// Something from another shard whose number is off by so much, of a generation that is higher by so much.
    Arrive {
        from: u16,
        off: i64,
        higher: u32,
        to: usize,
    },
    Again(u16),
    /// Of what waits for that shard, so much.
    Held {
        to: u16,
        part: u64,
    },
    Time(u64),
    Done {
        number: u64,
    },
    Own,
    Lost,
}

fn step() -> impl Strategy<Value = Step> {
    let off = prop_oneof![6 => Just(0i64), 1 => -3..0i64, 1 => 1..3i64];
    prop_oneof![
        2 => Just(Step::Open),
        1 => (0..4usize).prop_map(Step::Close),
        12 => (0..4usize, off.clone(), 0..4u64, 0..3usize, 0..8usize)
            .prop_map(|(session, off, confirm, to, what)| Step::Request { session, off, confirm, to, what }),
        2 => (0..4usize, 0..3usize).prop_map(|(session, which)| Step::Delete { session, which }),
        8 => (1..SHARDS, off, prop_oneof![9 => Just(0u32), 1 => 1..3u32], 0..3usize)
            .prop_map(|(from, off, higher, to)| Step::Arrive { from, off, higher, to }),
        1 => (1..SHARDS).prop_map(Step::Again),
        3 => (1..SHARDS, 0..5u64).prop_map(|(to, part)| Step::Held { to, part }),
        3 => (0..3_000_000u64).prop_map(Step::Time),
        3 => (0..4u64).prop_map(|number| Step::Done { number }),
        4 => Just(Step::Own),
        1 => Just(Step::Lost),
    ]
}

/// What must be true, kept beside the state in the simplest way.
#[derive(Clone, Default)]
struct Model {
    unique: u64,
    /// Open sessions: number of the last request, and the replies that were told.
    sessions: BTreeMap<u64, (u64, BTreeMap<u64, gapless_task::Answer>)>,
    all_sessions: Vec<u64>,
    arrived: BTreeMap<u16, gapless_task::Stamp>,
    sent: BTreeMap<u16, Vec<gapless_task::Stamp>>,
    /// For each diary and each sender: what it must have read, in order.
    owed: BTreeMap<(usize, String), Vec<u64>>,
    broken: [bool; 3],
    asked: Vec<(u64, TaskId)>,
    doubted: Vec<u16>,
    generation: u32,
}

fn diaries() -> Vec<TaskId> {
    (0..3).map(|n| diary_in(0, SHARDS, n)).collect()
}

/// Makes a step; whatever the state says or refuses must be what the model says.
fn make(state: &mut State, model: &mut Model, step: &Step) -> Vec<Said> {
    let time = state.time() + 10;
    let diaries = diaries();
    model.unique += 1;
    let n = model.unique;
    match *step {
        Step::Open => assert!(state.apply(Input::Open { time, nonce: n })),
        Step::Close(which) => {
            if let Some(&session) = model.all_sessions.get(which) {
                model.sessions.remove(&session);
                assert!(state.apply(Input::Close { session: Session(session) }));
            }
        }
        Step::Request { session, off, confirm, to, what } => {
            let Some(&session) = model.all_sessions.get(session) else { return Vec::new() };
            let last = model.sessions.get(&session).map_or(0, |s| s.0);
            let number = last.saturating_add_signed(off + 1);
            let below = number.saturating_sub(confirm);
            let whats = [
                Do::Note(n),
                Do::Pass { to: diaries[(to + 1) % 3].name.clone(), n },
                Do::Pass { to: diary_in(1 + n as u16 % 2, SHARDS, 0).name, n },
                Do::Later { ms: n % 2000, n },
                Do::Ask(n),
                Do::Owe(n),
                if n.is_multiple_of(11) { Do::Boom(n) } else { Do::Settle(n) },
                Do::Refuse(n),
            ];
            let verdict = state.verdict(Session(session), number, below, &diaries[to]);
            let input = Input::Request {
                time,
                session: Session(session),
                number,
                below,
                to: diaries[to].clone(),
                body: json(&whats[what]),
            };
            let Some(known) = model.sessions.get_mut(&session) else {
                assert!(matches!(verdict, Verdict::Refuse(_)), "an unknown session: {verdict:?}");
                assert!(!state.apply(input));
                return state.take_said();
            };
            if number != known.0 + 1 {
                match verdict {
                    Verdict::Take => panic!("request {number} after {}", known.0),
                    Verdict::Repeated(reply) => assert_eq!(reply.as_ref(), known.1.get(&number), "the same reply"),
                    Verdict::Refuse(_) => {}
                }
                assert!(!state.apply(input));
                return state.take_said();
            }
            assert_eq!(verdict, Verdict::Take);
            assert!(state.apply(input));
            known.0 = number;
            if !model.broken[to] {
                if !matches!(whats[what], Do::Boom(_) | Do::Settle(_) | Do::Refuse(_)) {
                    model.owed.entry((to, "client".into())).or_default().push(n);
                }
                match &whats[what] {
                    Do::Boom(_) => model.broken[to] = true,
                    Do::Pass { .. } if what == 1 => {
                        model.owed.entry(((to + 1) % 3, diaries[to].name.clone())).or_default().push(n);
                    }
                    Do::Later { .. } => model.owed.entry((to, "timer".into())).or_default().push(n),
                    _ => {}
                }
            }
        }
        Step::Delete { session, which } => {
            let Some(&session) = model.all_sessions.get(session) else { return Vec::new() };
            let Some(known) = model.sessions.get_mut(&session) else { return Vec::new() };
            // What is unread of others makes a new diary: the model does not know what that is.
            while state.step() {}
            known.0 += 1;
            let (session, task) = (Session(session), diaries[which].clone());
            assert!(state.apply(Input::Delete { time, session, number: known.0, below: 1, task }));
            model.owed.retain(|(to, _), _| *to != which);
            model.broken[which] = false;
            model.asked.retain(|(_, task)| *task != diaries[which]);
        }
        Step::Arrive { from, off, higher, to } => {
            let expected = model.arrived.get(&from).copied().unwrap_or_default();
            let number = expected.number.saturating_add_signed(off);
            let what = stamp(expected.generation + higher, number);
            let fits = what >= expected && (number <= expected.number || model.doubted.contains(&from));
            let arrival = state.arrival(Shard(from), what);
            assert_eq!(arrival == Arrival::Next, fits, "{what:?} where {expected:?} is expected");
            let sender = TaskId::new("diary", format!("shard-{from}"));
            let payload = Payload::Message { from: sender.clone(), to: diaries[to].clone(), body: json(&Do::Note(n)) };
            assert_eq!(state.apply(Input::Arrived { time, from: Shard(from), stamp: what, payload }), fits);
            if fits {
                model.arrived.insert(from, what.next());
                model.doubted.retain(|&other| other != from);
                if !model.broken[to] {
                    model.owed.entry((to, sender.name)).or_default().push(n);
                }
            }
        }
        Step::Again(from) => {
            model.doubted.retain(|&other| other != from);
            assert!(state.apply(Input::Again { from: Shard(from) }));
        }
        Step::Held { to, part } => {
            let waiting: Vec<_> = state.outgoing(Shard(to)).map(|(stamp, _)| stamp).collect();
            let below = waiting.get(part as usize).copied().unwrap_or_else(|| state.outgoing_end(Shard(to)));
            assert!(state.apply(Input::Held { to: Shard(to), below }));
            assert!(state.outgoing(Shard(to)).map(|(stamp, _)| stamp).eq(waiting.into_iter().filter(|s| *s >= below)));
            assert!(!state.apply(Input::Held { to: Shard(to), below: state.outgoing_end(Shard(to)).next() }));
        }
        Step::Time(later) => assert!(state.apply(Input::Time { time: time + later })),
        Step::Done { number } => {
            let known = model.asked.iter().any(|&(asked, _)| asked == number);
            let input = Input::Done { time, number, answer: Ok("1".into()) };
            assert_eq!(state.apply(input.clone()), known, "an answer to question {number}");
            model.asked.retain(|&(asked, _)| asked != number);
            assert!(!state.apply(input), "answered twice");
        }
        Step::Own => drop(state.step()),
        Step::Lost => {
            model.generation += 1;
            model.doubted = (1..SHARDS).collect();
            assert!(state.apply(Input::Lost { generation: model.generation }));
            assert!(!state.apply(Input::Lost { generation: model.generation }));
        }
    }
    let said = state.take_said();
    for said in &said {
        match said {
            Said::Opened { session, .. } => {
                assert!(!model.all_sessions.contains(&session.0), "sessions are never given again");
                model.all_sessions.push(session.0);
                model.sessions.insert(session.0, (0, BTreeMap::new()));
            }
            Said::Reply { session, number, answer } => {
                let known = model.sessions.get_mut(&session.0).expect("replies go to open sessions");
                assert_eq!(known.1.insert(*number, answer.clone()), None, "one reply a request");
            }
            Said::Send { to, stamp, .. } => {
                let sent = model.sent.entry(to.0).or_default();
                let number = sent.last().map_or(0, |last| last.number + 1);
                assert_eq!((stamp.number, stamp.generation), (number, model.generation));
                sent.push(*stamp);
            }
            Said::Held { from, below } => assert_eq!(Some(below), model.arrived.get(&from.0).or(Some(&stamp(0, 0)))),
            // What was said before a deletion in the same step is asked for nobody.
            Said::Ask { number, task, .. } if state.asks(*number) => model.asked.push((*number, task.clone())),
            Said::Ask { .. } => {}
            Said::Keyed { .. } | Said::Looked { .. } => panic!("nobody asked under a key, or looked"),
        }
    }
    said
}

/// Everything that is on its way arrives.
fn settle(state: &mut State) {
    loop {
        while state.step() {}
        let Some(due) = state.due() else { break };
        assert!(state.apply(Input::Time { time: due.max(state.time()) }));
    }
    state.take_said();
}

/// A sender's messages in the order in which they were sent. Timers ring in the order of their times.
fn check_read(state: &mut State, model: &Model) {
    for (at, diary) in diaries().iter().enumerate().filter(|(at, _)| !model.broken[*at]) {
        let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (from, n) in read(state, diary).into_iter().filter(|(from, _)| !from.starts_with("io")) {
            found.entry(from).or_default().push(n);
        }
        let owed = model.owed.iter().filter(|((to, _), _)| *to == at);
        let mut owed: BTreeMap<String, Vec<u64>> = owed.map(|((_, from), all)| (from.clone(), all.clone())).collect();
        // The order of timers is that of their times, and a task that broke lets its messages die.
        for all in [&mut found, &mut owed] {
            if let Some(timers) = all.get_mut("timer") {
                timers.sort_unstable();
            }
        }
        assert_eq!(found, owed, "what {diary} has read");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn each_message_is_read_once_and_what_is_saved_goes_on_alike(
        steps in proptest::collection::vec(step(), 1..90),
        fork in 0..90usize,
    ) {
        let (mut state, mut model) = (begin(), Model::default());
        let mut other = None;
        for (at, step) in steps.iter().enumerate() {
            if at == fork {
                let bytes = state.save();
                let loaded = State::load(kinds(), &bytes).unwrap();
                other = Some((loaded, model.clone()));
            }
            let said = make(&mut state, &mut model, step);
            if let Some((other, model)) = &mut other {
                prop_assert_eq!(&make(other, model, step), &said, "the loaded one says the same");
            }
            let scratch = State::load(kinds(), &state.save()).unwrap().digest_parts();
            prop_assert_eq!(state.digest_parts(), scratch, "after {:?}", step);
        }
        if let Some((other, _)) = &mut other {
            prop_assert_eq!(other.save(), state.save());
            prop_assert_eq!(other.digest_parts(), state.digest_parts());
        }
        settle(&mut state);
        check_read(&mut state, &model);
    }

    #[test]
    fn no_bytes_make_a_decoder_or_a_state_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        common::fuzz::anything(&bytes);
    }
}

#[test]
fn damaged_inputs_and_states_are_refused_or_taken_and_nothing_panics() {
    let to = diary_in(0, SHARDS, 0);
    let mut state = begin();
    let session = open(&mut state);
    assert!(ask(&mut state, session, 1, 1, &to, &Do::Pass { to: diary_in(1, SHARDS, 0).name, n: 1 }));
    assert!(ask(&mut state, session, 2, 1, &to, &Do::Later { ms: 5, n: 2 }));
    assert!(ask(&mut state, session, 3, 1, &to, &Do::Ask(3)));
    let saved = state.save();
    let inputs = [
        Input::Open { time: u64::MAX, nonce: 1 },
        Input::Time { time: u64::MAX },
        Input::Request {
            time: 1,
            session: Session(session),
            number: 4,
            below: u64::MAX,
            to: to.clone(),
            body: "{".into(),
        },
        Input::Held { to: Shard(1), below: stamp(0, 1) },
        Input::Lost { generation: u32::MAX },
        Input::Done { time: 1, number: 0, answer: Err("no".into()) },
    ];
    for input in &inputs {
        let (kind, body) = (input.kind(), input.encode());
        assert_eq!(Input::decode(kind, &body).as_ref(), Some(input));
        assert!(input::describe(kind, &body).is_some());
        let mut fresh = State::load(kinds(), &saved).unwrap();
        assert!(fresh.apply(input.clone()), "{input:?}");
        assert!(fresh.apply(Input::Time { time: u64::MAX }));
        settle(&mut fresh);
        for at in 0..body.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut body = body.clone();
                body[at] = byte;
                common::fuzz::anything(&body);
                let mut state = State::load(kinds(), &saved).unwrap();
                if let Some(input) = Input::decode(kind, &body) {
                    let _ = state.apply(input);
                }
                assert_eq!(Input::decode(kind, &body[..at]), None, "cut at {at}");
            }
        }
    }
    for at in 0..saved.len() {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut bytes = saved.clone();
            bytes[at] = byte;
            if let Ok(mut state) = State::load(kinds(), &bytes) {
                let _ = state.digest_parts();
                let _ = state.verdict(Session(session), 4, 1, &to);
                let _ = state.apply(Input::Held { to: Shard(1), below: stamp(0, 1) });
            }
        }
        assert!(State::load(kinds(), &saved[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_whole_window_is_confirmed_by_the_request_behind_it() {
    let (mut state, to) = (begin(), diary_in(0, SHARDS, 0));
    let session = open(&mut state);
    for number in 1..=WINDOW {
        assert!(ask(&mut state, session, number, 1, &to, &Do::Note(number)));
    }
    let next = WINDOW + 1;
    assert!(matches!(state.verdict(Session(session), next, 1, &to), Verdict::Refuse(_)), "nothing is confirmed");
    assert_eq!(state.verdict(Session(session), next, next, &to), Verdict::Take, "everything is");
    assert!(ask(&mut state, session, next, next, &to, &Do::Note(next)));
    assert!(
        matches!(state.verdict(Session(session), WINDOW, 1, &to), Verdict::Refuse(_)),
        "a confirmed reply is forgotten"
    );
}

#[test]
fn a_reply_that_is_owed_is_not_confirmed() {
    let (mut state, to) = (begin(), diary_in(0, SHARDS, 0));
    let session = open(&mut state);
    assert!(ask(&mut state, session, 1, 1, &to, &Do::Owe(1)));
    assert!(ask(&mut state, session, 2, 2, &to, &Do::Note(2)));
    assert_eq!(state.verdict(Session(session), 1, 1, &to), Verdict::Repeated(None));
    assert!(ask(&mut state, session, 3, 3, &to, &Do::Settle(3)));
    assert_eq!(state.verdict(Session(session), 1, 1, &to), Verdict::Repeated(Some(Ok("\"late\"".into()))));
}

#[test]
fn an_idle_session_ends_and_its_requests_are_refused() {
    let (mut state, to) = (begin(), diary_in(0, SHARDS, 0));
    let (idle, busy) = (open(&mut state), open(&mut state));
    let end = state.time() + SESSION_IDLE_MAX.as_micros() as u64;
    assert!(ask(&mut state, busy, 1, 1, &to, &Do::Note(1)));
    assert!(!state.expires(end - 2) && state.expires(end));
    assert!(state.apply(Input::Time { time: end }));
    assert!(matches!(state.verdict(Session(idle), 1, 1, &to), Verdict::Refuse(_)));
    assert_eq!(state.verdict(Session(busy), 2, 1, &to), Verdict::Take);
    assert_eq!(state.sessions(), 1);
}

#[test]
fn what_has_no_room_in_a_frame_never_leaves() {
    let (mut state, to) = (begin(), diary_in(0, SHARDS, 0));
    let session = open(&mut state);
    let cases = ["x".repeat(257), String::new()];
    for (n, name) in cases.into_iter().enumerate() {
        let number = n as u64 + 1;
        assert!(ask(&mut state, session, number, 1, &to, &Do::Pass { to: name, n: number }));
        assert_eq!(state.dead_letters().count(), n + 1);
    }
    assert!(state.take_said().iter().all(|said| !matches!(said, Said::Send { .. })));
    // The longest that is allowed travels in one frame and in one entry.
    let kind = "k".repeat(256);
    let (from, to) = (TaskId::new(&kind, &kind), TaskId::new(&kind, &kind));
    let body = "b".repeat(MESSAGE_BYTES_MAX);
    let payload = Payload::Message { from, to, body };
    let mut frame = Vec::new();
    wire::put(&ToShard::Payload { stamp: stamp(u32::MAX, u64::MAX), payload: payload.clone() }, &mut frame);
    assert!(frame.len() <= 4 + FRAME_BYTES_MAX);
    let input = Input::Arrived { time: u64::MAX, from: Shard(9), stamp: stamp(u32::MAX, u64::MAX), payload };
    assert!(input.encode().len() <= gapless_log::ENTRY_BODY_BYTES_MAX);
}

#[test]
fn a_broken_task_breaks_nobody_else() {
    let mut state = begin();
    let [one, two] = [0, 1].map(|n| diary_in(0, SHARDS, n));
    let session = open(&mut state);
    assert!(ask(&mut state, session, 1, 1, &one, &Do::Boom(1)));
    assert!(ask(&mut state, session, 2, 1, &one, &Do::Note(2)));
    assert!(ask(&mut state, session, 3, 1, &two, &Do::Note(3)));
    let replies = state.take_said().into_iter().filter_map(|s| match s {
        Said::Reply { answer, .. } => Some(answer.is_ok()),
        _ => None,
    });
    assert_eq!(replies.collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(state.dead_letters().count(), 2);
    let number = (4..).zip(0..2 * DEAD_LETTERS_MAX as u64);
    number.for_each(|(number, n)| assert!(ask(&mut state, session, number, number, &one, &Do::Note(n))));
    assert_eq!(state.dead_letters().count(), DEAD_LETTERS_MAX);
}

#[test]
fn a_task_that_cannot_be_made_is_a_dead_letter() {
    let names = (1..).map(|shards| (shards, TaskId::new("diary", "unborn").shard(shards)));
    let (shards, shard) = names.take(1).next().unwrap();
    let input = Input::Begin { seed: [7; 32], shard, shards, time: 1_000_000 };
    let mut state = State::begin(kinds(), &input).unwrap();
    let session = open(&mut state);
    assert!(ask(&mut state, session, 1, 1, &TaskId::new("diary", "unborn"), &Do::Note(1)));
    let why = &state.dead_letters().next().expect("one").why;
    assert!(why.contains("panicked before its first message"), "{why}");
}

#[test]
fn after_a_loss_channels_go_on_under_another_generation() {
    let mut state = begin();
    let from = Shard(1);
    let message = |n| Payload::Message {
        from: TaskId::new("diary", "there"),
        to: diary_in(0, SHARDS, 0),
        body: json(&Do::Note(n)),
    };
    let arrive = |state: &mut State, s, n| state.apply(Input::Arrived { time: 0, from, stamp: s, payload: message(n) });
    for number in 0..10 {
        assert!(arrive(&mut state, stamp(0, number), number));
    }
    // The sender has lost 8 and 9 and says something else there.
    assert_eq!(state.arrival(from, stamp(0, 7)), Arrival::Seen);
    assert_eq!(state.arrival(from, stamp(1, 8)), Arrival::Next);
    assert_eq!(state.arrival(from, stamp(1, 11)), Arrival::Gap);
    assert!(arrive(&mut state, stamp(1, 8), 108));
    assert_eq!(state.arrival(from, stamp(0, 10)), Arrival::Seen, "of the history that was lost");
    assert!(arrive(&mut state, stamp(1, 9), 109) && !arrive(&mut state, stamp(1, 9), 109));
    let numbers: Vec<u64> = read(&mut state, &diary_in(0, SHARDS, 0)).into_iter().map(|(_, n)| n).collect();
    assert_eq!(numbers, (0..10).chain(108..110).collect::<Vec<_>>());

    // This one has lost entries: the sender no longer has what is missing.
    assert!(state.apply(Input::Lost { generation: 1 }));
    assert!(arrive(&mut state, stamp(1, 15), 115), "after a loss a gap is passed, once");
    assert_eq!(state.arrival(from, stamp(1, 17)), Arrival::Gap);
    assert!(state.apply(Input::Lost { generation: 2 }));
    assert!(!arrive(&mut state, stamp(1, u64::MAX), 0), "no number is the last one");
    let why = &state.dead_letters().next().expect("a person is told").why;
    assert!(why.contains("10 to 14 of shard 1"), "{why}");

    let sent = Do::Pass { to: diary_in(1, SHARDS, 0).name, n: 1 };
    let session = open(&mut state);
    assert!(session >= 2 << 32, "sessions of another generation have other names");
    assert!(ask(&mut state, session, 1, 1, &diary_in(0, SHARDS, 0), &sent));
    assert_eq!(state.outgoing(from).map(|(stamp, _)| stamp).collect::<Vec<_>>(), [stamp(2, 0)]);
    // It holds more of the lost history than is left of it here: that says nothing about the new one.
    assert!(state.apply(Input::Held { to: from, below: stamp(0, 5) }));
    assert_eq!(state.outgoing(from).count(), 1);
}

/// What the deletion of a task comes to.
fn delete(state: &mut State, session: u64, number: u64, task: &TaskId) -> Option<Deleted> {
    let (time, session) = (state.time() + 1, Session(session));
    assert!(state.apply(Input::Delete { time, session, number, below: 1, task: task.clone() }));
    let replied = state.take_said().into_iter().find_map(|said| match said {
        Said::Reply { session: to, number: of, answer } if (to, of) == (session, number) => Some(answer),
        _ => None,
    });
    serde_json::from_str(&replied.expect("told").expect("never refused")).unwrap()
}

#[test]
fn a_task_that_is_deleted_goes_with_all_that_only_it_would_hear_of() {
    let mut state = begin();
    let [one, two] = [0, 1].map(|n| diary_in(0, SHARDS, n));
    let there = diary_in(1, SHARDS, 0);
    let session = open(&mut state);
    let mut number = 0;
    let mut tell = |state: &mut State, to: &TaskId, what: &Do| {
        number += 1;
        assert!(ask(state, session, number, 1, to, what));
        number
    };
    tell(&mut state, &two, &Do::Later { ms: 1, n: 2 });
    tell(&mut state, &two, &Do::Ask(2));
    let before = state.digest_parts();
    tell(&mut state, &one, &Do::Pass { to: two.name.clone(), n: 3 });
    tell(&mut state, &one, &Do::Pass { to: there.name.clone(), n: 4 });
    tell(&mut state, &one, &Do::Pass { to: one.name.clone(), n: 5 });
    tell(&mut state, &one, &Do::Later { ms: 1, n: 6 });
    tell(&mut state, &one, &Do::Later { ms: 1000, n: 7 });
    let last = tell(&mut state, &one, &Do::Ask(8));
    let time = state.time() + 2000;
    assert!(state.apply(Input::Time { time }), "a timer of each has rung");
    assert_ne!(state.digest_parts()[0], before[0]);

    let deleted = delete(&mut state, session, last + 1, &one);
    assert_eq!(deleted, Some(Deleted { timers: 2, questions: 1, messages: 1 }));
    assert_eq!(state.digest_parts()[0], before[0], "of the tasks, only the other one is left");
    assert_eq!(State::load(kinds(), &state.save()).unwrap().digest_parts(), state.digest_parts());
    assert_eq!(state.questions().map(|(_, task, ..)| task.clone()).collect::<Vec<_>>(), std::slice::from_ref(&two));
    assert_eq!(delete(&mut state, session, last + 2, &one), None, "there is no such task");
    assert!(matches!(state.verdict(Session(session), last + 1, 1, &one), Verdict::Repeated(Some(Ok(_)))));

    // What it had sent arrives, and what is sent to it now makes a new one.
    assert_eq!(state.outgoing(Shard(1)).count(), 1);
    settle(&mut state);
    let sent = read(&mut state, &two);
    assert_eq!(sent, [("client".into(), 2), ("client".into(), 2), (one.name.clone(), 3), ("timer".into(), 2)]);
    assert_eq!(state.task_list(std::ops::Bound::Unbounded).count(), 1);
    assert_eq!(read(&mut state, &one), []);
}

#[test]
fn a_broken_task_that_is_deleted_can_begin_again() {
    let (mut state, one) = (begin(), diary_in(0, SHARDS, 0));
    let session = open(&mut state);
    assert!(ask(&mut state, session, 1, 1, &one, &Do::Boom(1)));
    assert!(delete(&mut state, session, 2, &one).is_some());
    assert!(ask(&mut state, session, 3, 1, &one, &Do::Note(3)));
    assert_eq!(read(&mut state, &one), [("client".into(), 3)]);
    assert_eq!(state.dead_letters().count(), 1, "what was not read is still there to be looked at");
}

#[test]
fn only_the_shard_of_a_task_deletes_it_and_only_in_an_open_session() {
    let (mut state, there) = (begin(), diary_in(1, SHARDS, 0));
    let session = Session(open(&mut state));
    for (session, number, task) in
        [(session, 1, there), (Session(99), 1, diary_in(0, SHARDS, 0)), (session, 2, diary_in(0, SHARDS, 0))]
    {
        let saved = state.save();
        assert!(!state.apply(Input::Delete { time: state.time(), session, number, below: 1, task }));
        assert_eq!(state.save(), saved);
    }
}
