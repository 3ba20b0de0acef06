//! The engine's rules one at a time, without a world around it: events in, actions out.

mod states;

use gapless_log::{Frame, FrameBuilder, Identity, Kind, Level, Mark, Position, Seq, Term};
use gapless_pair::*;
use std::sync::Arc;

const A: u64 = 1;
const B: u64 = 2;
const C1: ConnId = ConnId(1);

fn seat(node: u64) -> Seat {
    Seat { life: Life { node, id: u128::from(node) * 77 }, address: format!("host{node}:1") }
}

fn identity() -> Identity {
    Identity { level: "toy".into(), code: "1".into(), features: Vec::new() }
}

fn register(term: u64, owner: u64, backup: Option<u64>) -> Register {
    Register { uuid: 9, term: Term(term), generation: 0, owner: seat(owner), backup: backup.map(seat), ended: None }
}

/// A log that grows by frames of one marked step each.
struct Log(FrameBuilder, u64);

impl Log {
    fn new() -> Self {
        Log(FrameBuilder::new(Level::Toy, Term(1), Seq(0), 0), 0)
    }

    /// It begins with a state.
    fn at(start: Point) -> Self {
        Log(FrameBuilder::new(Level::Toy, Term(1), start.seq, start.chain), start.seq.0)
    }

    fn frame(&mut self) -> Arc<Frame> {
        self.1 += 1;
        self.0.push(Position(self.1), Kind(16), b"input");
        self.0.push(Position(self.1), Kind::MARK, &Mark::default().encode());
        Arc::new(self.0.seal(Seq(0)).expect("two entries"))
    }
}

/// One engine and the answers that a healthy surrounding gives at once.
struct Side {
    engine: Engine,
    now: u64,
    /// Everything it wanted and that is not answered here.
    seen: Vec<Action>,
    arbiter: Option<Register>,
    /// Records become durable at once.
    stores: bool,
}

impl Side {
    fn new(node: u64, start: Start, change: impl FnOnce(&mut Config)) -> Self {
        Self::with(node, start, Meta::default(), Found::default(), change)
    }

    fn with(node: u64, start: Start, meta: Meta, found: Found, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(seat(node), start, identity());
        config.fresh_uuid = 9;
        change(&mut config);
        Self { engine: Engine::new(config, meta, found), now: 1_000, seen: Vec::new(), arbiter: None, stores: true }
    }

    fn event(&mut self, event: Event) -> &mut Self {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut actions = Vec::new();
            self.engine.handle(event, Micros(self.now), &mut actions);
            for action in actions {
                match &action {
                    Action::Read(t) => events.insert(0, Event::ReadDone(*t, self.arbiter.clone())),
                    Action::Put(t, put) => {
                        if put.expect.matches(self.arbiter.as_ref()) {
                            self.arbiter = Some(put.new.clone());
                        }
                        events.insert(0, Event::PutDone(*t, self.arbiter.clone()));
                    }
                    Action::StoreMeta(_) if self.stores => events.insert(0, Event::MetaStored),
                    Action::CutLog(_) => events.insert(0, Event::LogCut),
                    Action::Prepare => events.insert(0, Event::Prepared),
                    Action::FindCommon(c, points) => {
                        events.insert(0, Event::CommonFound(*c, points.first().copied().unwrap_or_default()));
                    }
                    _ => {}
                }
                self.seen.push(action);
            }
        }
        self
    }

    fn hear(&mut self, nonce: Nonce, message: Message) -> &mut Self {
        self.event(Event::Received(C1, Packet::new(nonce, message)))
    }

    /// Lets time pass, with the timer running.
    fn pass(&mut self, ms: u64) -> &mut Self {
        for _ in 0..ms / 10 {
            self.now += 10_000;
            self.event(Event::Tick);
        }
        self
    }

    fn halt(&self) -> Option<&Halt> {
        self.seen.iter().find_map(|a| if let Action::Halt(why) = a { Some(why) } else { None })
    }

    fn committed(&self) -> Option<Seq> {
        self.seen.iter().rev().find_map(|a| if let Action::Commit(seq) = a { Some(*seq) } else { None })
    }

    fn said(&self) -> Vec<&Message> {
        self.seen.iter().filter_map(|a| if let Action::Send(_, p) = a { Some(&p.message) } else { None }).collect()
    }

    fn has(&self, wanted: impl Fn(&Action) -> bool) -> bool {
        self.seen.iter().any(wanted)
    }

    fn forget(&mut self) -> &mut Self {
        self.seen.clear();
        self
    }
}

fn hello(node: u64, owner: bool) -> Hello {
    Hello {
        seat: seat(node),
        register: Some((9, Term(1))),
        owner,
        identity: identity(),
        commit: Commit::Received,
        takes_state: false,
        warm: false,
        executed: Seq(0),
        points: vec![Point::ZERO],
    }
}

/// A fresh primary that has opened a session with a joiner; and the session's nonce.
fn with_session(change: impl FnOnce(&mut Config)) -> (Side, Nonce) {
    let mut side = Side::new(A, Start::Fresh, change);
    side.event(Event::Start).event(Event::Connected(C1)).hear(Nonce::NONE, Message::Hello(Box::new(hello(B, false))));
    let nonce = side.seen.iter().find_map(|a| match a {
        Action::Send(_, Packet { nonce, message: Message::Welcome(_) }) => Some(*nonce),
        _ => None,
    });
    let nonce = nonce.expect("a session was opened");
    (side, nonce)
}

/// A primary in Protected with `frames` frames, everything acknowledged; and its session's nonce.
fn protected(change: impl FnOnce(&mut Config), frames: u64) -> (Side, Nonce, Log) {
    let (mut side, nonce) = with_session(change);
    let mut log = Log::new();
    for _ in 0..frames {
        seal(&mut side, &mut log);
    }
    ack(&mut side, nonce, 2 * frames);
    assert_eq!(side.engine.mode(), Mode::Protected);
    side.forget();
    (side, nonce, log)
}

/// The program itself comes with the first step: before that there is nothing to take over with.
#[test]
fn a_joiner_that_has_executed_nothing_is_not_named() {
    let (mut side, nonce) = with_session(|_| ());
    let mut log = Log::new();
    ack(&mut side, nonce, 0);
    seal(&mut side, &mut log);
    side.hear(nonce, Message::Ack(Ack { received: Seq(2), durable: Seq(2), executed: Seq(0) }));
    assert_eq!(side.engine.mode(), Mode::Closing);
    ack(&mut side, nonce, 2);
    assert_eq!(side.engine.mode(), Mode::Protected);
}

fn seal(side: &mut Side, log: &mut Log) {
    let end = Point::after(&log.frame());
    side.event(Event::Sealed(end)).event(Event::Written(end.seq));
}

fn ack(side: &mut Side, nonce: Nonce, seq: u64) {
    let seq = Seq(seq);
    side.hear(nonce, Message::Ack(Ack { received: seq, durable: seq, executed: seq }));
}

/// A backup in Acking under owner A, named in term 2; and its session's nonce.
fn acking() -> (Side, Nonce) {
    let mut side = Side::new(B, Start::Join, |_| {});
    side.arbiter = Some(register(2, A, Some(B)));
    let welcome = Welcome { term: Term(2), backup: seat(B).life, common: Point::ZERO, state: false };
    side.event(Event::Start)
        .event(Event::Connected(C1))
        .hear(Nonce::NONE, Message::Hello(Box::new(hello(A, true))))
        .hear(Nonce(5), Message::Welcome(welcome));
    assert_eq!(side.engine.mode(), Mode::Acking);
    side.forget();
    (side, Nonce(5))
}

#[test]
fn fresh_start_needs_an_absent_register_and_an_empty_directory() {
    let mut side = Side::new(A, Start::Fresh, |_| {});
    side.event(Event::Start);
    assert!(side.has(|a| matches!(a, Action::GoLive(how) if how.term == Term(1) && how.next == Seq(0))));

    let mut side = Side::new(A, Start::Fresh, |_| {});
    side.arbiter = Some(register(3, B, None));
    side.event(Event::Start);
    assert!(side.halt().is_some_and(|h| h.to_string().contains("gapless resume")), "{:?}", side.halt());

    let mut side = Side::new(A, Start::Fresh, |_| {});
    side.arbiter = Some(Register { ended: Some(0), ..register(3, B, None) });
    side.event(Event::Start);
    assert!(side.has(|a| matches!(a, Action::GoLive(how) if how.term == Term(4))), "an ended history is replaced");
}

#[test]
fn the_intent_is_durable_before_the_put() {
    let mut side = Side::new(A, Start::Fresh, |_| {});
    side.stores = false;
    side.event(Event::Start);
    assert!(side.has(|a| matches!(a, Action::StoreMeta(m) if m.intent.is_some())));
    assert!(!side.has(|a| matches!(a, Action::Put(..))), "sent before it was stored");
    side.event(Event::MetaStored);
    assert!(side.has(|a| matches!(a, Action::Put(..))));
}

#[test]
fn resume_is_refused_after_a_restart_of_the_machine_unless_synced_or_accepted() {
    let cases = [
        (Commit::Received, 1, false, true),
        (Commit::Received, 2, false, false),
        (Commit::Received, 2, true, true),
        (Commit::Durable, 2, false, true),
    ];
    for (commit, boot, accept_loss, lives) in cases {
        let meta = Meta { life: Some(seat(A).life), commit, boot: 1, seen: Some((9, Term(4))), intent: None };
        let mut side = Side::with(7, Start::Resume, meta, Found::default(), |c| {
            (c.boot, c.commit, c.accept_loss) = (boot, commit, accept_loss);
        });
        side.arbiter = Some(register(4, A, None));
        side.event(Event::Start);
        let live = side.seen.iter().find_map(|a| if let Action::GoLive(how) = a { Some(*how) } else { None });
        assert_eq!(live.is_some(), lives, "{commit:?}, boot {boot}, accept {accept_loss}: {:?}", side.halt());
        assert!(lives || side.halt().is_some_and(|h| h.to_string().contains("--accept-loss")));
        let generation = u32::from(accept_loss);
        assert!(live.is_none_or(|how| how.term == Term(5) && how.generation == generation));
    }
}

/// F over a register: only the directory that owns it, only if nobody can have seen anything of its history.
#[test]
fn a_history_without_a_whole_step_is_begun_again_by_its_own_directory() {
    let mut log = Log::new();
    let begun = Point::after(&log.frame());
    let mut points = Points::default();
    points.push(begun);
    let begun = Found { points, whole: begun, start: Point::ZERO };
    let cases = [
        (A, Found::default(), 1, true),
        (A, begun, 1, false),
        (A, Found::default(), 2, false),
        (B, Found::default(), 1, false),
    ];
    for (owner, found, boot, begins) in cases {
        let meta = Meta { life: Some(seat(A).life), boot: 1, seen: Some((9, Term(4))), ..Meta::default() };
        let mut side = Side::with(7, Start::Fresh, meta, found, |c| (c.boot, c.hold) = (boot, true));
        side.arbiter = Some(register(4, owner, None));
        side.event(Event::Start);
        let live = side.has(|a| matches!(a, Action::GoLive(how) if (how.term, how.next) == (Term(5), Seq(0))));
        assert_eq!(live, begins, "owner {owner}, boot {boot}: {:?}", side.halt());
        assert_eq!(side.engine.is_held(), begins, "held like any fresh start");
        assert!(begins || side.halt().is_some_and(|h| h.to_string().contains("already names an owner")));
    }
}

#[test]
fn a_directory_that_owns_does_not_join_and_one_that_does_not_own_does_not_resume() {
    let meta = Meta { life: Some(seat(A).life), seen: Some((9, Term(4))), ..Meta::default() };
    let mut side = Side::with(7, Start::Join, meta.clone(), Found::default(), |_| {});
    side.arbiter = Some(register(4, A, None));
    side.event(Event::Start);
    assert!(side.halt().is_some_and(|h| h.to_string().contains("gapless resume")));

    let mut side = Side::with(7, Start::Resume, meta, Found::default(), |_| {});
    side.arbiter = Some(register(4, B, None));
    side.event(Event::Start);
    assert!(side.halt().is_some_and(|h| h.to_string().contains("gapless backup")));
}

#[test]
fn an_arbiter_that_forgot_decides_nothing() {
    for forgetful in [None, Some(register(3, A, None)), Some(Register { uuid: 8, ..register(9, A, None) })] {
        let meta = Meta { life: Some(seat(A).life), seen: Some((9, Term(4))), ..Meta::default() };
        let mut side = Side::with(7, Start::Auto, meta, Found::default(), |_| {});
        side.arbiter = forgetful.clone();
        side.event(Event::Start);
        assert!(side.halt().is_some_and(|h| h.to_string().contains("check --arbiter")), "{forgetful:?}");
    }
}

#[test]
fn outputs_wait_for_the_own_log_and_the_acknowledgement() {
    let (mut side, nonce, mut log) = protected(|_| {}, 3);
    let end = Point::after(&log.frame());
    side.event(Event::Sealed(end));
    ack(&mut side, nonce, end.seq.0);
    assert_eq!(side.committed(), None, "the own log is not written");
    side.event(Event::Written(end.seq));
    assert_eq!(side.committed(), Some(end.seq));
    seal(&mut side, &mut log);
    assert_eq!(side.committed(), Some(end.seq), "the last frame is not acknowledged");
}

#[test]
fn at_level_durable_both_disks_count() {
    let mut side = Side::new(A, Start::Fresh, |c| c.commit = Commit::Durable);
    let theirs = Hello { commit: Commit::Durable, ..hello(B, false) };
    side.event(Event::Start).event(Event::Connected(C1)).hear(Nonce::NONE, Message::Hello(Box::new(theirs)));
    let nonce = side.seen.iter().find_map(|a| match a {
        Action::Send(_, Packet { nonce, message: Message::Welcome(_) }) => Some(*nonce),
        _ => None,
    });
    let nonce = nonce.expect("a session was opened");
    let mut log = Log::new();
    seal(&mut side, &mut log);
    side.hear(nonce, Message::Ack(Ack { received: Seq(2), durable: Seq(0), executed: Seq(2) }));
    side.event(Event::Synced(Seq(2)));
    assert_eq!(side.committed(), None, "the backup holds it in memory only");
    ack(&mut side, nonce, 2);
    assert_eq!(side.committed(), Some(Seq(2)));
}

#[test]
fn acknowledgements_of_another_session_are_dropped() {
    let (mut side, nonce, mut log) = protected(|_| {}, 1);
    seal(&mut side, &mut log);
    ack(&mut side, Nonce(nonce.0 ^ 1), 4);
    assert_eq!(side.committed(), None);
    ack(&mut side, nonce, 4);
    assert_eq!(side.committed(), Some(Seq(4)));
}

#[test]
fn an_acknowledgement_of_what_was_never_written_ends_the_session() {
    let (mut side, nonce, _) = protected(|_| {}, 1);
    ack(&mut side, nonce, 99);
    assert!(side.has(|a| matches!(a, Action::Close(C1))));
    assert_eq!(side.engine.mode(), Mode::Solo, "P3");
}

#[test]
fn a_held_start_releases_nothing_until_protected() {
    let mut side = Side::new(A, Start::Fresh, |c| c.hold = true);
    let mut log = Log::new();
    side.event(Event::Start);
    seal(&mut side, &mut log);
    assert_eq!(side.committed(), None);
    let (side, ..) = protected(|c| c.hold = true, 2);
    assert_eq!(side.engine.mode(), Mode::Protected);
}

#[test]
fn heartbeats_without_acknowledgement_are_silence() {
    let (mut side, nonce, mut log) = protected(|_| {}, 1);
    seal(&mut side, &mut log);
    for _ in 0..30 {
        side.pass(10).hear(nonce, Message::Heartbeat(Heartbeat::default()));
    }
    assert!(side.has(|a| matches!(a, Action::Status(Status { why: Why::AckStall, .. }))));
    assert_eq!(side.engine.mode(), Mode::Solo);
    assert_eq!(side.committed(), Some(Seq(4)), "alone, the own log is enough");
}

#[test]
fn a_backup_that_lags_slows_the_primary_and_is_given_up_in_the_end() {
    let (mut side, nonce, mut log) = protected(|c| c.lag_entries_max = 10, 1);
    for _ in 0..8 {
        seal(&mut side, &mut log);
    }
    assert!(side.has(|a| *a == Action::Throttle(true)));
    for _ in 0..600 {
        let behind = Ack { received: Seq(18), durable: Seq(18), executed: Seq(2) };
        side.pass(10).hear(nonce, Message::Ack(behind));
    }
    assert!(side.has(|a| matches!(a, Action::Status(Status { why: Why::LagStall, .. }))));
    assert!(side.has(|a| *a == Action::Throttle(false)));
}

#[test]
fn an_owner_that_reads_of_another_halts() {
    let (mut side, ..) = protected(|_| {}, 1);
    side.arbiter = Some(register(3, B, None));
    // A pause of its own, longer than the detection time.
    side.event(Event::Tick);
    side.now += 900_000;
    side.event(Event::Tick);
    assert!(matches!(side.halt(), Some(Halt::Deposed { term: Term(3), .. })), "{:?}", side.halt());
}

#[test]
fn refusals_name_the_reason() {
    let other_code = Identity { code: "2".into(), ..identity() };
    let other_level = Identity { level: "other".into(), ..identity() };
    let cases: [(Hello, &str); 5] = [
        (Hello { identity: other_level, ..hello(B, false) }, "the owner runs a toy"),
        (Hello { identity: other_code, ..hello(B, false) }, "install the same build"),
        (Hello { commit: Commit::Durable, ..hello(B, false) }, "commit level differs"),
        (Hello { register: Some((1, Term(1))), ..hello(B, false) }, "same --arbiter"),
        (hello(B, true), "not the owner any more"),
    ];
    for (theirs, reason) in cases {
        let mut side = Side::new(A, Start::Fresh, |_| {});
        side.event(Event::Start).event(Event::Connected(C1)).hear(Nonce::NONE, Message::Hello(Box::new(theirs)));
        let refusal = side.said().into_iter().find_map(|m| if let Message::Refuse(why) = m { Some(why) } else { None });
        assert!(refusal.is_some_and(|why| why.to_string().contains(reason)), "{refusal:?}");
        assert!(side.has(|a| matches!(a, Action::Close(C1))));
    }
}

#[test]
fn a_backup_believes_an_owner_only_when_its_own_arbiter_agrees() {
    let mut side = Side::new(B, Start::Join, |_| {});
    side.arbiter = Some(register(2, 3, None));
    side.event(Event::Start).event(Event::Connected(C1)).hear(Nonce::NONE, Message::Hello(Box::new(hello(A, true))));
    assert!(!side.said().iter().any(|m| matches!(m, Message::Hello(_))));
    assert!(side.has(|a| matches!(a, Action::Close(C1))));
}

#[test]
fn an_owner_of_another_register_is_told_apart_from_one_that_is_not_known_yet() {
    let other = |side: &Side| {
        let told = side.has(|a| matches!(a, Action::Status(Status { why: Why::Refused(Refusal::Register), .. })));
        let refused = side.said().iter().any(|m| matches!(m, Message::Refuse(Refusal::Register)));
        assert_eq!(told, refused, "both sides hear of it");
        told
    };
    for (ours, expected) in [
        (None, true),
        (Some(Register { uuid: 8, ..register(2, 3, None) }), true),
        (Some(register(2, 3, None)), false),
        (Some(register(1, A, None)), false),
    ] {
        let mut side = Side::new(B, Start::Join, |_| {});
        side.arbiter = ours.clone();
        side.event(Event::Start).event(Event::Connected(C1));
        side.hear(Nonce::NONE, Message::Hello(Box::new(hello(A, true))));
        assert_eq!(other(&side), expected, "{ours:?}");
    }
    // A read that was sent before the HELLO came may be older than the register that it speaks of.
    let mut engine = Engine::new(Config::new(seat(B), Start::Join, identity()), Meta::default(), Found::default());
    let mut step = |event, ms| {
        let mut actions = Vec::new();
        engine.handle(event, Micros::from_millis(ms), &mut actions);
        let ticket = actions.iter().find_map(|a| if let Action::Read(t) = a { Some(*t) } else { None });
        (ticket, actions.iter().any(|a| matches!(a, Action::Send(_, Packet { message: Message::Refuse(_), .. }))))
    };
    let first = step(Event::Start, 1).0.expect("it reads");
    step(Event::ReadDone(first, None), 2);
    let early = (1..100).find_map(|ms| step(Event::Tick, 100 + ms).0).expect("it reads again");
    step(Event::Connected(C1), 300);
    step(Event::Received(C1, Packet::new(Nonce::NONE, Message::Hello(Box::new(hello(A, true))))), 301);
    assert!(!step(Event::ReadDone(early, None), 302).1, "it was asked before");
    let late = (1..100).find_map(|ms| step(Event::Tick, 400 + ms).0).expect("it reads again");
    assert!(step(Event::ReadDone(late, None), 600).1);
}

#[test]
fn frames_are_held_in_order_and_acknowledged() {
    let (mut side, nonce) = acking();
    let mut log = Log::new();
    let (one, two, three) = (log.frame(), log.frame(), log.frame());
    side.hear(nonce, Message::Stream(one.clone())).hear(nonce, Message::Stream(two)).hear(nonce, Message::Stream(one));
    let appended = side.seen.iter().filter(|a| matches!(a, Action::Append(_))).count();
    assert_eq!(appended, 2, "the doubled frame is dropped");
    let acked =
        side.said().into_iter().filter_map(|m| if let Message::Ack(a) = m { Some(a.received) } else { None }).max();
    assert_eq!(acked, Some(Seq(4)));
    log.frame();
    side.forget().hear(nonce, Message::Stream(log.frame()));
    assert!(side.said().iter().any(|m| matches!(m, Message::Refuse(Refusal::Broken(_)))), "a hole is refused");
    side.hear(nonce, Message::Stream(three));
    assert!(!side.has(|a| matches!(a, Action::Append(_))), "the session is over");
}

#[test]
fn a_takeover_executes_prepares_writes_out_and_only_then_puts() {
    let (mut side, nonce) = acking();
    let mut log = Log::new();
    side.hear(nonce, Message::Stream(log.frame())).event(Event::Disconnected(C1));
    assert_eq!(side.engine.mode(), Mode::Silent);
    assert!(!side.has(|a| *a == Action::Prepare), "not executed yet");
    side.event(Event::Executed(Seq(2)));
    assert!(side.has(|a| *a == Action::Prepare));
    assert!(!side.has(|a| matches!(a, Action::Put(..))), "not written yet");
    side.event(Event::Written(Seq(2)));
    let live = side.seen.iter().find_map(|a| if let Action::GoLive(how) = a { Some(*how) } else { None });
    assert!(live.is_some_and(|how| how.term == Term(3) && how.next == Seq(2)));
    assert_eq!(side.committed(), Some(Seq(2)));
}

#[test]
fn a_backup_that_is_not_named_never_puts() {
    let (mut side, _) = acking();
    side.arbiter = Some(register(3, A, None));
    side.event(Event::Disconnected(C1)).pass(1_000);
    assert!(!side.has(|a| matches!(a, Action::Put(..))));
    assert_eq!(side.engine.mode(), Mode::Joining);
    assert!(side.has(|a| *a == Action::Dial("host1:1".into())), "it looks for the owner");
}

#[test]
fn a_silent_owner_that_is_heard_again_keeps_its_backup() {
    let (mut side, nonce) = acking();
    let mut log = Log::new();
    side.hear(nonce, Message::Stream(log.frame())).pass(300);
    assert_eq!(side.engine.mode(), Mode::Silent);
    side.hear(nonce, Message::Heartbeat(Heartbeat::default()));
    assert_eq!(side.engine.mode(), Mode::Acking);
    side.pass(50).event(Event::Executed(Seq(2))).event(Event::Written(Seq(2)));
    assert!(!side.has(|a| matches!(a, Action::Put(..))));
}

#[test]
fn a_joiner_that_executed_beyond_the_common_point_starts_again_empty() {
    let (mut side, nonce) = acking();
    let mut log = Log::new();
    side.hear(nonce, Message::Stream(log.frame())).event(Event::Executed(Seq(2)));
    side.arbiter = Some(register(3, A, None));
    side.event(Event::Disconnected(C1)).event(Event::Connected(C1));
    side.hear(Nonce::NONE, Message::Hello(Box::new(hello(A, true))));
    let welcome = Welcome { term: Term(3), backup: seat(B).life, common: Point::ZERO, state: false };
    side.hear(Nonce(6), Message::Welcome(welcome));
    assert_eq!(side.halt(), Some(&Halt::Reborn));
}

#[test]
fn a_planned_takeover_kills_before_it_puts() {
    let (mut side, nonce, _) = protected(|_| {}, 2);
    side.event(Event::HandoverAsked);
    assert!(side.has(|a| *a == Action::Stop));
    side.event(Event::Stopped);
    assert!(side.said().iter().any(|m| matches!(m, Message::Handover(Handover::Offer { end: Seq(4), .. }))));
    side.hear(nonce, Message::Handover(Handover::Ready));
    assert!(side.has(|a| *a == Action::Kill));
    assert!(!side.has(|a| matches!(a, Action::Put(..))), "the group may still run");
    side.event(Event::Killed);
    assert!(side.arbiter.as_ref().is_some_and(|r| r.owned_by(seat(B).life)));
    assert_eq!(side.halt(), Some(&Halt::HandedOver));
}

#[test]
fn a_diverged_backup_says_so_and_never_goes_live() {
    let (mut side, _) = acking();
    let report = Report { position: Position(3), seq: Seq(1), expected: "a".into(), found: "b".into() };
    side.event(Event::Diverged(report.clone()));
    assert!(side.said().contains(&&Message::Diverged(report)));
    assert!(matches!(side.halt(), Some(Halt::Diverged(_))));
    side.forget().event(Event::Disconnected(C1)).pass(1_000);
    assert_eq!(side.seen, []);
}

#[test]
fn the_end_of_the_program_is_recorded_once_everything_has_left() {
    let (mut side, nonce, mut log) = protected(|_| {}, 1);
    seal(&mut side, &mut log);
    side.event(Event::ReplicaEnded(3));
    assert!(side.arbiter.as_ref().is_some_and(|r| r.ended.is_none()), "its last words have not left");
    ack(&mut side, nonce, 4);
    assert!(side.arbiter.as_ref().is_some_and(|r| r.ended == Some(3)));
    assert!(side.said().contains(&&Message::Bye(Bye::Ended(3))));
    assert_eq!(side.halt(), Some(&Halt::Ended(3)));
}

/// Connections of strangers, a thousand a second, that say nothing.
fn strangers(side: &mut Side, from: u64, ms: u64) {
    for i in 0..ms {
        side.now += 1_000;
        side.event(Event::Connected(ConnId(from + i)));
        if i % 10 == 0 {
            side.event(Event::Tick);
        }
    }
}

fn count(side: &Side, wanted: impl Fn(&Action) -> bool) -> usize {
    side.seen.iter().filter(|a| wanted(a)).count()
}

fn dials(side: &Side) -> usize {
    count(side, |a| matches!(a, Action::Dial(_)))
}

#[test]
fn nobody_is_dialled_in_a_storm() {
    let mut owner = Side::new(A, Start::Fresh, |c| c.peer = Some("host2:1".into()));
    owner.event(Event::Start).pass(10_000);
    assert!((10..=18).contains(&dials(&owner)), "{} in 10 s", dials(&owner));
    // Each of them is answered and broken at once.
    owner.forget();
    for i in 0..1000 {
        if owner.has(|a| matches!(a, Action::Dial(_))) {
            owner.event(Event::Dialled(ConnId(i))).event(Event::Disconnected(ConnId(i)));
        }
        owner.pass(10);
    }
    assert!((10..=18).contains(&dials(&owner)), "{} in 10 s", dials(&owner));
    let mut joiner = Side::new(B, Start::Join, |_| ());
    joiner.arbiter = Some(register(1, A, None));
    joiner.event(Event::Start).pass(10_000);
    assert!((10..=18).contains(&dials(&joiner)), "{} in 10 s", dials(&joiner));
}

#[test]
fn after_a_session_the_first_dial_comes_soon() {
    let (mut owner, _, _) = protected(|c| c.peer = Some("host2:1".into()), 1);
    owner.forget().event(Event::Disconnected(C1)).pass(60);
    assert_eq!(dials(&owner), 1);
}

#[test]
fn a_dial_that_comes_too_late_leaves_the_session_alone() {
    let (mut owner, _, _) = protected(|_| (), 1);
    owner.forget().event(Event::Dialled(ConnId(7)));
    assert_eq!(owner.seen, [Action::Close(ConnId(7))]);
    let (mut backup, _) = acking();
    backup.forget().event(Event::Dialled(ConnId(7)));
    assert_eq!(backup.seen, [Action::Close(ConnId(7))]);
}

#[test]
fn strangers_end_no_session_and_ask_no_arbiter() {
    let (mut owner, nonce, mut log) = protected(|_| (), 1);
    owner.forget();
    for turn in 0..30 {
        strangers(&mut owner, 100 + 100 * turn, 100);
        ack(&mut owner, nonce, 2);
    }
    assert_eq!(owner.engine.mode(), Mode::Protected);
    let open = 3000 - count(&owner, |a| matches!(a, Action::Close(_)));
    assert!(open < 16, "{open} kept");
    let reads = count(&owner, |a| matches!(a, Action::Read(_)));
    assert!(reads <= 64, "{reads} in 3 s");
    seal(&mut owner, &mut log);
    ack(&mut owner, nonce, 4);
    assert_eq!(owner.committed(), Some(Seq(4)));
}

/// Those that this side dialled are kept, and it goes on dialling.
#[test]
fn strangers_keep_nobody_from_joining() {
    let mut joiner = Side::new(B, Start::Join, |_| ());
    joiner.arbiter = Some(register(1, A, None));
    joiner.event(Event::Start).forget();
    strangers(&mut joiner, 100, 5_000);
    assert!((5..=25).contains(&dials(&joiner)), "{} in 5 s", dials(&joiner));
    joiner.event(Event::Dialled(C1)).forget();
    strangers(&mut joiner, 10_000, 500);
    assert!(!joiner.has(|a| *a == Action::Close(C1)));
    joiner.hear(Nonce::NONE, Message::Hello(Box::new(hello(A, true)))).pass(60);
    assert!(joiner.said().iter().any(|m| matches!(m, Message::Hello(_))), "{:?}", joiner.said());

    let mut owner = Side::new(A, Start::Fresh, |c| c.peer = Some("host2:1".into()));
    owner.event(Event::Start).forget();
    strangers(&mut owner, 100, 5_000);
    assert!((5..=25).contains(&dials(&owner)), "{} in 5 s", dials(&owner));
    owner.event(Event::Dialled(C1)).forget();
    strangers(&mut owner, 10_000, 500);
    owner.hear(Nonce::NONE, Message::Hello(Box::new(hello(B, false))));
    assert!(owner.said().iter().any(|m| matches!(m, Message::Welcome(_))));
}
