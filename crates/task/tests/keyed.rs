//! Requests with keys, in the state of a shard: one that is repeated is not executed again, whatever was saved, loaded or replayed in between.

use gapless_task::input::Input;
use gapless_task::{Context, From, Key, KeyVerdict, Kinds, ReplyTo, Said, Session, Shard, State, Task, TaskId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const KEPT: Duration = Duration::from_secs(60);

/// Counts what it reads; it owes replies until it is told to give them.
#[derive(Serialize, Deserialize)]
struct Slow {
    read: u64,
    owed: Vec<ReplyTo>,
}

#[derive(Serialize, Deserialize)]
enum Message {
    Now,
    Later,
    Give,
    Refuse,
    Long(usize),
}

impl Task for Slow {
    const KIND: &'static str = "slow";
    type Message = Message;

    fn new(_: &str) -> Self {
        Self { read: 0, owed: Vec::new() }
    }

    fn receive(&mut self, ctx: &mut Context<'_>, _: &From, message: Message) -> Result<(), String> {
        if matches!(message, Message::Refuse) {
            return Err("not today".to_owned());
        }
        self.read += 1;
        match message {
            Message::Later => self.owed.extend(ctx.owe()),
            Message::Give => {
                for (n, owed) in std::mem::take(&mut self.owed).into_iter().enumerate() {
                    ctx.reply_later(owed, Ok(n.to_string()));
                }
                ctx.reply(&self.read);
            }
            Message::Long(bytes) => ctx.reply(&"x".repeat(bytes)),
            _ => ctx.reply(&self.read),
        }
        Ok(())
    }
}

fn kinds() -> Kinds {
    Kinds::new().with::<Slow>()
}

fn begin() -> State {
    let input = Input::Begin { seed: [7; 32], shard: Shard(0), shards: 1, time: 0 };
    State::begin(kinds(), &input).unwrap()
}

fn key(word: &str) -> Key {
    Key { to: TaskId::new("slow", "one"), message: "any".into(), key: word.into() }
}

fn body(message: &Message) -> String {
    serde_json::to_string(message).unwrap()
}

/// What is said when a request that must be new is read.
fn ask(state: &mut State, word: &str, message: &Message) -> Vec<Said> {
    let (key, body) = (key(word), body(message));
    assert_eq!(state.key_verdict(&key, &body), KeyVerdict::Take);
    let time = state.time();
    assert!(state.apply(Input::Keyed { time, key, body, kept: KEPT }));
    state.take_said()
}

fn replied(number: u64, json: &str) -> Said {
    Said::Keyed { number, answer: Ok(json.to_owned()) }
}

#[test]
fn a_request_that_is_repeated_is_no_input_and_has_the_first_reply() {
    let mut state = begin();
    assert_eq!(ask(&mut state, "a", &Message::Now), [replied(0, "1")]);
    let again = state.key_verdict(&key("a"), &body(&Message::Now));
    assert_eq!(again, KeyVerdict::Repeated(0, Some(Ok("1".into()))));
    assert!(
        !state.apply(Input::Keyed { time: 0, key: key("a"), body: body(&Message::Now), kept: KEPT }),
        "it does not fit"
    );
    assert_eq!(state.key_verdict(&key("a"), &body(&Message::Later)), KeyVerdict::OtherBody);
    assert_eq!(ask(&mut state, "b", &Message::Now), [replied(1, "2")]);
    assert_eq!(state.read(), 2);
}

#[test]
fn the_scope_of_a_key_is_one_message_of_one_task() {
    let mut state = begin();
    ask(&mut state, "a", &Message::Now);
    let others = [
        Key { message: "other".into(), ..key("a") },
        Key { to: TaskId::new("slow", "two"), ..key("a") },
        Key { to: TaskId::new("other", "one"), ..key("a") },
    ];
    for other in others {
        assert_eq!(state.key_verdict(&other, &body(&Message::Now)), KeyVerdict::Take, "{other:?}");
    }
}

#[test]
fn a_refusal_is_a_reply_too() {
    let mut state = begin();
    let refused = Err("not today".to_owned());
    assert_eq!(ask(&mut state, "a", &Message::Refuse), [Said::Keyed { number: 0, answer: refused.clone() }]);
    let again = state.key_verdict(&key("a"), &body(&Message::Refuse));
    assert_eq!(again, KeyVerdict::Repeated(0, Some(refused)));
}

#[test]
fn a_reply_that_is_owed_is_owed_to_all_and_outlives_a_snapshot() {
    let mut state = begin();
    assert_eq!(ask(&mut state, "a", &Message::Later), []);
    assert_eq!(state.key_verdict(&key("a"), &body(&Message::Later)), KeyVerdict::Repeated(0, None));
    let mut loaded = State::load(kinds(), &state.save()).unwrap();
    assert_eq!(loaded.digest_parts(), state.digest_parts());
    for state in [&mut state, &mut loaded] {
        assert_eq!(ask(state, "b", &Message::Give), [replied(0, "0"), replied(1, "2")]);
        let again = state.key_verdict(&key("a"), &body(&Message::Later));
        assert_eq!(again, KeyVerdict::Repeated(0, Some(Ok("0".into()))));
    }
    assert_eq!(loaded.digest_parts(), state.digest_parts());
}

#[test]
fn a_key_is_forgotten_by_a_logged_timer_and_then_the_request_is_a_new_one() {
    let mut state = begin();
    ask(&mut state, "owed", &Message::Later);
    ask(&mut state, "a", &Message::Now);
    let before = state.digest_parts();
    let due = state.due().expect("the key ends");
    assert!(due >= KEPT.as_micros() as u64);
    assert!(state.apply(Input::Time { time: due - 1 }));
    assert_eq!(state.due(), Some(due));
    assert!(state.apply(Input::Time { time: due }));
    assert_ne!(state.digest_parts(), before);
    assert_eq!(state.due(), None);
    assert_eq!(state.key_verdict(&key("owed"), &body(&Message::Later)), KeyVerdict::Repeated(0, None));
    assert_eq!(ask(&mut state, "a", &Message::Now), [replied(2, "3")]);
}

#[test]
fn a_digest_tells_two_tables_apart() {
    let (mut one, mut two) = (begin(), begin());
    ask(&mut one, "a", &Message::Now);
    ask(&mut two, "b", &Message::Now);
    let (one, two) = (one.digest_parts(), two.digest_parts());
    let differ: Vec<&str> = one.iter().zip(&two).filter(|(a, b)| a != b).map(|((name, _), _)| name.as_str()).collect();
    assert_eq!(differ, ["requests with keys"]);
}

#[test]
fn a_reply_that_no_frame_can_carry_becomes_a_refusal() {
    let mut state = begin();
    let said = ask(&mut state, "a", &Message::Long(2 << 20));
    assert!(matches!(&said[..], [Said::Keyed { answer: Err(why), .. }] if why.contains("2097154 bytes")), "{said:?}");
}

#[test]
fn no_client_has_the_session_of_the_keyed() {
    let mut state = begin();
    assert!(state.apply(Input::Open { time: 0, nonce: 1 }));
    assert!(matches!(&state.take_said()[..], [Said::Opened { session, .. }] if *session != Session::KEYED));
    assert!(matches!(
        state.verdict(Session::KEYED, 1, 1, &TaskId::new("slow", "one")),
        gapless_task::Verdict::Refuse(_)
    ));
}
