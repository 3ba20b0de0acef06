//! A joiner that begins with a state: who sends one, when, and what becomes of it.

use super::*;

/// An owner that can save, with `frames` frames in its log, which begins at `start`, and a joiner that has said HELLO.
fn owner_with_joiner(
    start: Point,
    frames: u64,
    change: impl FnOnce(&mut Config),
    joiner: impl FnOnce(&mut Hello),
) -> (Side, Log) {
    let mut log = Log::at(start);
    let (mut points, mut whole) = (Points::default(), start);
    if start != Point::ZERO {
        points.push(start);
    }
    for _ in 0..frames {
        whole = Point::after(&log.frame());
        points.push(whole);
    }
    let meta = Meta { life: Some(seat(A).life), ..Meta::default() };
    let mut side = Side::with(A, Start::Resume, meta, Found { points, whole, start }, |c| {
        c.saves_state = true;
        c.state_entries_min = 10;
        change(c);
    });
    side.arbiter = Some(register(2, A, None));
    side.event(Event::Start).event(Event::Executed(whole.seq)).event(Event::Connected(C1));
    assert_eq!(side.engine.mode(), Mode::Solo);
    side.forget();
    let mut hello = Hello { takes_state: true, register: Some((9, Term(2))), ..hello(B, false) };
    joiner(&mut hello);
    side.hear(Nonce::NONE, Message::Hello(Box::new(hello)));
    (side, log)
}

/// What the owner gives a joiner: `Some(true)` the state, `Some(false)` the log, `None` nothing.
fn given(side: &Side) -> Option<bool> {
    let welcome = side.said().into_iter().find_map(|m| if let Message::Welcome(w) = m { Some(w.state) } else { None });
    assert_eq!(welcome == Some(true), side.has(|a| matches!(a, Action::SaveState(..))));
    assert_eq!(welcome == Some(false), side.has(|a| matches!(a, Action::StreamFrom(..))));
    welcome
}

#[test]
fn a_state_is_sent_where_it_must_be_and_where_it_is_shorter() {
    let begun = Point { seq: Seq(100), chain: 7 };
    let check = |start, frames, can: bool, takes: bool, executed, has: Option<u64>, expected| {
        let joiner = |hello: &mut Hello| {
            (hello.takes_state, hello.executed) = (takes, Seq(executed));
            let mut log = Log::at(start);
            if let Some(frames) = has {
                hello.points = vec![(0..frames).fold(start, |_, _| Point::after(&log.frame()))];
            }
        };
        let (side, _) = owner_with_joiner(start, frames, |c| c.saves_state = can, joiner);
        assert_eq!(given(&side), expected, "from {start:?}, {frames} frames, {can} {takes}, {executed}, {has:?}");
        side
    };
    // Two entries a frame; the limit is 10 entries.
    check(Point::ZERO, 5, true, true, 0, None, Some(false));
    check(Point::ZERO, 6, true, true, 0, None, Some(true));
    check(Point::ZERO, 6, false, true, 0, None, Some(false));
    check(Point::ZERO, 6, true, false, 0, None, Some(false));
    check(Point::ZERO, 9, true, true, 0, Some(4), Some(false));
    check(Point::ZERO, 9, true, true, 0, Some(3), Some(true));
    // Who has executed something would have to begin as a new life.
    check(Point::ZERO, 9, true, true, 6, Some(3), Some(false));
    // What the log does not have any more cannot be streamed.
    check(begun, 1, true, true, 0, None, Some(true));
    check(begun, 1, true, true, 3, None, Some(true));
    check(begun, 2, true, true, 0, Some(1), Some(false));
    for (can, takes) in [(false, true), (true, false)] {
        let side = check(begun, 1, can, takes, 0, None, None);
        assert!(side.said().iter().any(|m| matches!(m, Message::Refuse(Refusal::State(_)))), "{:?}", side.said());
    }
}

#[test]
fn a_joiner_that_loads_a_state_is_waited_for_and_holds_up_no_output() {
    let (mut side, mut log) = owner_with_joiner(Point::ZERO, 50, |_| {}, |_| {});
    let nonce = side.seen.iter().find_map(|a| if let Action::SaveState(_, nonce) = a { Some(*nonce) } else { None });
    let nonce = nonce.expect("it is saved");
    // An acknowledgement of what was not sent yet says nothing.
    ack(&mut side, nonce, 4);
    let at = Point::after(&log.frame());
    side.event(Event::Sealed(at)).event(Event::Written(at.seq)).event(Event::StateSaved(C1, nonce, at));
    for _ in 0..10 {
        side.pass(300);
        seal(&mut side, &mut log);
        assert_eq!(side.engine.mode(), Mode::Solo, "the log is short, and yet nothing waits for the joiner");
        side.hear(nonce, Message::Heartbeat(Heartbeat::default()));
    }
    assert_eq!(side.committed(), Some(Seq(122)));
    assert!(!side.has(|a| matches!(a, Action::StreamFrom(..))), "it has nothing to continue from yet");
    ack(&mut side, nonce, at.seq.0);
    assert!(side.has(|a| *a == Action::StreamFrom(C1, nonce, at.seq)));
    assert_eq!(side.engine.mode(), Mode::Closing);
    // What was released meanwhile is covered before it is named.
    ack(&mut side, nonce, 122);
    assert_eq!(side.engine.mode(), Mode::Protected);
}

#[test]
fn a_joiner_that_is_silent_for_too_long_while_it_loads_is_given_up() {
    let (mut side, _) = owner_with_joiner(Point::ZERO, 50, |_| {}, |_| {});
    side.pass(4_900);
    assert!(!side.has(|a| matches!(a, Action::StopStream(..))));
    side.pass(300);
    assert!(side.has(|a| matches!(a, Action::StopStream(..))));
}

#[test]
fn an_owner_that_cannot_be_saved_now_gives_the_log_next_time() {
    let (mut side, _) = owner_with_joiner(Point::ZERO, 50, |_| {}, |_| {});
    let nonce = side.seen.iter().find_map(|a| if let Action::SaveState(_, nonce) = a { Some(*nonce) } else { None });
    side.event(Event::StateUnsaved(C1, nonce.unwrap(), "not now".into()));
    assert!(side.said().iter().any(|m| matches!(m, Message::Refuse(Refusal::State(why)) if why == "not now")));
    assert_eq!(side.engine.mode(), Mode::Solo);
    side.forget().event(Event::Connected(ConnId(2)));
    let hello = Hello { takes_state: true, register: Some((9, Term(2))), ..hello(B, false) };
    side.event(Event::Received(ConnId(2), Packet::new(Nonce::NONE, Message::Hello(Box::new(hello)))));
    assert_eq!(given(&side), Some(false));
}

/// One failure is no reason to refuse for ever: a joiner that needs the state is put off, and after a while it is saved again.
#[test]
fn an_owner_that_could_not_be_saved_tries_again_for_who_needs_a_state() {
    let begins = Point { seq: Seq(30), chain: 30 };
    let (mut side, _) = owner_with_joiner(begins, 50, |_| {}, |_| {});
    let nonce = side.seen.iter().find_map(|a| if let Action::SaveState(_, nonce) = a { Some(*nonce) } else { None });
    side.event(Event::StateUnsaved(C1, nonce.expect("it needs a state"), "not now".into()));
    for (n, expected) in [(2, None), (3, Some(true))] {
        let conn = ConnId(n);
        side.forget().event(Event::Connected(conn));
        let hello = Hello { takes_state: true, register: Some((9, Term(2))), ..hello(B, false) };
        side.event(Event::Received(conn, Packet::new(Nonce::NONE, Message::Hello(Box::new(hello)))));
        side.event(Event::CommonFound(conn, Point::ZERO));
        assert_eq!(given(&side), expected);
        let busy = side.said().iter().any(|m| matches!(m, Message::Refuse(Refusal::Busy)));
        assert_eq!(busy, expected.is_none());
        side.pass(5_100);
    }
}

/// A joiner that was welcomed with a state.
fn loading(found: Found) -> Side {
    let mut side = Side::with(B, Start::Join, Meta::default(), found, |c| c.saves_state = true);
    side.arbiter = Some(register(2, A, None));
    let welcome = Welcome { term: Term(2), backup: seat(B).life, common: Point::ZERO, state: true };
    side.event(Event::Start)
        .event(Event::Connected(C1))
        .hear(Nonce::NONE, Message::Hello(Box::new(hello(A, true))))
        .hear(Nonce(5), Message::Welcome(welcome));
    assert_eq!(side.engine.mode(), Mode::Acking);
    side.forget();
    side
}

fn piece(offset: u64, last: bool) -> Message {
    let at = Point { seq: Seq(40), chain: 3 };
    Message::State(StateChunk { at, position: Position(9), offset, hash: 0, last, bytes: vec![1; 100] })
}

#[test]
fn a_joiner_says_that_it_lives_while_it_loads_and_acknowledges_when_it_has() {
    let mut side = loading(Found::default());
    side.hear(Nonce(5), piece(0, false));
    for _ in 0..10 {
        side.pass(300).hear(Nonce(5), Message::Heartbeat(Heartbeat::default()));
    }
    assert!(side.said().iter().filter(|m| matches!(m, Message::Heartbeat(_))).count() > 50);
    side.hear(Nonce(5), piece(100, true)).pass(100);
    assert!(!side.said().iter().any(|m| matches!(m, Message::Ack(_))));
    assert_eq!(side.seen.iter().filter(|a| matches!(a, Action::LoadState(..))).count(), 2);
    side.event(Event::LogCut).event(Event::Executed(Seq(40)));
    side.event(Event::StateLoaded(Nonce(5), Point { seq: Seq(40), chain: 3 }));
    let acked = Ack { received: Seq(40), durable: Seq(40), executed: Seq(40) };
    assert!(side.said().contains(&&Message::Ack(acked)));
}

#[test]
fn half_a_state_is_no_state() {
    let reborn = |mut side: Side| {
        side.pass(200);
        assert_eq!(side.halt(), Some(&Halt::Reborn));
        assert!(!side.has(|a| matches!(a, Action::Put(..))));
        side
    };
    let mut side = loading(Found::default());
    side.hear(Nonce(5), piece(0, false)).event(Event::Disconnected(C1));
    reborn(side);
    // A piece is missing, or a frame comes too early: said to the owner too.
    for message in [piece(200, false), Message::Stream(Log::new().frame())] {
        let mut side = loading(Found::default());
        side.hear(Nonce(5), piece(0, false)).hear(Nonce(5), message);
        let side = reborn(side);
        assert!(side.said().iter().any(|m| matches!(m, Message::Refuse(Refusal::Broken(_)))), "{:?}", side.said());
    }
}

#[test]
fn a_state_that_does_not_fit_is_refused_for_good() {
    let mut side = loading(Found::default());
    side.hear(Nonce(5), piece(0, true)).event(Event::StateBroken(Nonce(4), "of another session".into()));
    assert_eq!(side.halt(), None);
    side.event(Event::StateBroken(Nonce(5), "its hash differs".into()));
    let why = Refusal::Broken("its hash differs".into());
    assert_eq!(side.halt(), Some(&Halt::Unpaired(why.clone())));
    assert!(side.said().contains(&&Message::Refuse(why)));
}

#[test]
fn a_log_that_begins_with_a_state_is_not_continued_from_before_it() {
    let start = Point { seq: Seq(100), chain: 7 };
    let mut points = Points::default();
    points.push(start);
    let mut side = Side::with(B, Start::Join, Meta::default(), Found { points, whole: start, start }, |_| {});
    side.arbiter = Some(register(2, A, None));
    let welcome = Welcome { term: Term(2), backup: seat(B).life, common: Point::ZERO, state: false };
    side.event(Event::Start)
        .event(Event::Connected(C1))
        .hear(Nonce::NONE, Message::Hello(Box::new(hello(A, true))))
        .hear(Nonce(5), Message::Welcome(welcome));
    assert_eq!(side.halt(), Some(&Halt::Reborn));
}

/// A log that begins at its beginning begins with no state: a directory would say otherwise.
#[test]
fn a_state_that_stands_before_the_first_entry_is_refused() {
    for at in [Point::ZERO, Point { seq: Seq(0), chain: 3 }] {
        let mut side = loading(Found::default());
        let chunk = StateChunk { at, position: Position(0), offset: 0, hash: 0, last: true, bytes: vec![1] };
        side.hear(Nonce(5), Message::State(chunk));
        assert!(!side.has(|a| matches!(a, Action::LoadState(..))));
        assert!(side.said().iter().any(|m| matches!(m, Message::Refuse(Refusal::Broken(_)))));
    }
}

/// A warm backup under owner A, named in term 2, in a session that begins with a state at this point (or with the log); and its session's nonce.
fn warm(begins: Option<Point>) -> (Side, Nonce) {
    let mut side = Side::new(B, Start::Join, |c| {
        c.warm = true;
        c.saves_state = true;
    });
    side.arbiter = Some(register(2, A, Some(B)));
    let welcome = Welcome { term: Term(2), backup: seat(B).life, common: Point::ZERO, state: begins.is_some() };
    side.event(Event::Start)
        .event(Event::Connected(C1))
        .hear(Nonce::NONE, Message::Hello(Box::new(hello(A, true))))
        .hear(Nonce(5), Message::Welcome(welcome));
    if let Some(at) = begins {
        let bytes = b"a state".to_vec();
        let chunk =
            StateChunk { at, position: Position(3), offset: 0, hash: gapless_log::hash(&bytes), last: true, bytes };
        side.hear(Nonce(5), Message::State(chunk)).event(Event::LogCut).event(Event::StateLoaded(Nonce(5), at));
    }
    assert_eq!(side.engine.mode(), Mode::Acking);
    side.forget();
    (side, Nonce(5))
}

/// It holds the owner's state and has not looked at it: before it has, nothing is prepared and no offer is taken.
#[test]
fn a_warm_backup_that_holds_nothing_but_a_state_loads_it_before_it_prepares() {
    let at = Point { seq: Seq(6), chain: 7 };
    let prepares = |side: &Side| side.has(|a| matches!(a, Action::Prepare));
    let (mut side, nonce) = warm(Some(at));
    side.pass(100).hear(nonce, Message::Handover(Handover::Offer { term: Term(3), end: at.seq }));
    assert!(side.has(|a| matches!(a, Action::ReplayLog)));
    let ready = |side: &Side| side.said().iter().any(|m| matches!(m, Message::Handover(Handover::Ready)));
    assert!(!ready(&side), "the state is not loaded yet");
    side.event(Event::Executed(at.seq));
    assert!(ready(&side));

    let (mut side, _) = warm(Some(at));
    side.event(Event::Disconnected(C1)).pass(100);
    assert!(side.has(|a| matches!(a, Action::ReplayLog)) && !prepares(&side), "the state is not loaded yet");
    side.event(Event::Executed(at.seq));
    assert!(prepares(&side));
}

/// It counts as far as a takeover could go: who holds the beginning of the first step is not to be named.
#[test]
fn a_warm_backup_that_holds_no_whole_step_has_executed_nothing() {
    let (mut side, nonce) = warm(None);
    let mut log = FrameBuilder::new(Level::Toy, Term(1), Seq(0), 0);
    log.push(Position(1), Kind(16), b"the beginning of a step");
    side.hear(nonce, Message::Stream(Arc::new(log.seal(Seq(0)).unwrap())));
    let last =
        |side: &Side| side.said().iter().rev().find_map(|m| if let Message::Ack(a) = m { Some(*a) } else { None });
    assert_eq!(last(&side).map(|a| (a.received, a.executed)), Some((Seq(1), Seq(0))));
    log.push(Position(1), Kind::MARK, &Mark::default().encode());
    side.hear(nonce, Message::Stream(Arc::new(log.seal(Seq(0)).unwrap())));
    assert_eq!(last(&side).map(|a| (a.received, a.executed)), Some((Seq(2), Seq(2))));
}

/// After a false alarm it executes what comes, and has no use for states.
#[test]
fn a_warm_backup_that_has_begun_to_execute_asks_for_no_states() {
    let (mut side, _) = warm(Some(Point { seq: Seq(6), chain: 7 }));
    side.event(Event::Disconnected(C1)).event(Event::Connected(C1));
    side.forget().hear(Nonce::NONE, Message::Hello(Box::new(hello(A, true))));
    let asks = side.said().iter().find_map(|m| if let Message::Hello(h) = m { Some(h.warm) } else { None });
    assert_eq!(asks, Some(false));
}

/// A state can come before the frames that lead to it. If they never come, the log continues otherwise: it is nothing to begin with.
#[test]
fn a_state_from_beyond_the_end_of_the_log_is_forgotten_at_a_takeover() {
    let (mut side, nonce) = warm(None);
    let mut log = Log::new();
    side.hear(nonce, Message::Stream(log.frame())).event(Event::Written(Seq(2)));
    side.event(Event::StateKept(Point { seq: Seq(6), chain: 7 }));
    assert_eq!(side.engine.kept().map(|at| at.seq), Some(Seq(6)));
    side.event(Event::Disconnected(C1)).event(Event::Executed(Seq(2))).pass(100);
    assert_eq!(side.engine.mode(), Mode::Solo);
    assert_eq!(side.engine.kept(), None);
    for _ in 0..3 {
        seal(&mut side, &mut log);
    }
    assert!(!side.has(|a| matches!(a, Action::ShortenLog(_))));
}
