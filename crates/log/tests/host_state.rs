//! A host saved at the end of a frame and loaded elsewhere goes on exactly like one that executed the whole log.

use gapless_log::toy::{Toy, World};
use gapless_log::{Host, Options, Replayed, Replica, Seq, Term};

fn drain(host: &mut Host<Toy>) {
    while matches!(host.replay_step().expect("same log"), Replayed::Step(_) | Replayed::Sync(_)) {}
}

#[test]
fn a_loaded_host_equals_one_that_executed_the_log() {
    for seed in 0..50 {
        let mut live = Host::new(Toy::new(World::chatty(seed, 20)), Options::default());
        live.go_live(Term(1), Seq(0), 0).expect("fresh");
        let mut from_start = Host::new(Toy::new(World::new(seed)), Options::default());
        let mut loaded = Host::new(Toy::new(World::new(seed)), Options::default());
        let mut end = (Seq(0), 0);
        for step in 0..60 {
            live.record_step().expect("toy steps");
            let frames = live.seal(Seq(0));
            for frame in &frames {
                from_start.feed(frame).expect("continues");
                end = (frame.end_seq(), frame.chain_after());
                if step > 30 {
                    loaded.feed(frame).expect("continues");
                }
            }
            live.release(Seq(end.0.0.saturating_sub(seed % 20))).expect("toy emits");
            if step == 30 {
                let bytes = live.save().expect("toy saves").expect("toy can");
                loaded.load(&bytes, end.0, end.1).expect("loads what was saved");
            }
        }
        drain(&mut from_start);
        drain(&mut loaded);
        assert_eq!(loaded.last_mark(), from_start.last_mark());
        assert_eq!(loaded.outbox().mark(), from_start.outbox().mark(), "seed {seed}");
        assert!(loaded.outbox().waiting().eq(from_start.outbox().waiting()), "the same outputs wait");
    }
}

#[test]
fn bytes_that_are_no_state_are_refused() {
    let mut live = Host::new(Toy::new(World::chatty(1, 20)), Options::default());
    live.go_live(Term(1), Seq(0), 0).expect("fresh");
    for _ in 0..20 {
        live.record_step().expect("toy steps");
    }
    live.seal(Seq(0));
    let bytes = live.save().expect("toy saves").expect("toy can");
    for len in 0..bytes.len() {
        let mut host = Host::new(Toy::new(World::new(1)), Options::default());
        assert!(host.load(&bytes[..len], Seq(9), 9).is_err(), "cut at {len}");
    }
    // It stands behind its last mark, or the log would go on below that.
    let mark = live.last_mark().expect("steps were taken");
    for (next, loads) in [(Seq(0), false), (mark, false), (mark.next(), true)] {
        let mut host = Host::new(Toy::new(World::new(1)), Options::default());
        assert_eq!(host.load(&bytes, next, 9).is_ok(), loads, "at {next}");
    }
}

#[test]
fn an_ended_replica_takes_over_says_its_last_outputs_and_is_followed() {
    let mut live = Host::new(Toy::new(World::chatty(3, 4)), Options::default());
    let mut backup = Host::new(Toy::new(World::new(3)), Options::default());
    live.go_live(Term(1), Seq(0), 0).expect("fresh");
    while live.ended().is_none() {
        live.record_step().expect("toy steps");
    }
    let frames = live.seal(Seq(0));
    frames.iter().for_each(|frame| backup.feed(frame).expect("continues"));
    drain(&mut backup);
    assert_eq!(backup.ended(), live.ended());
    let end = frames.last().map(|f| (f.end_seq(), f.chain_after())).expect("something was logged");
    backup.go_live(Term(2), end.0, end.1).expect("takes over");
    backup.record_step().expect("has ended");
    assert!(backup.release(end.0).expect("toy emits") > 0, "its last outputs leave");
    let mut third = Host::new(Toy::new(World::new(3)), Options::default());
    let more = backup.seal(Seq(0));
    assert!(!more.is_empty(), "going live is logged after the end too");
    frames.iter().chain(&more).for_each(|frame| third.feed(frame).expect("continues"));
    drain(&mut third);
    assert_eq!((third.ended(), third.next_seq()), (backup.ended(), backup.next_seq()));
    assert_eq!(third.replica_mut().digest().expect("digest"), backup.replica_mut().digest().expect("digest"));
}
