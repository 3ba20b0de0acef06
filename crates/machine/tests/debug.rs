//! The debugger on a recorded history: it stops where it is told, finds its way back, and leaves no trace.

mod support;

use gapless_log::Position;
use gapless_machine::debug::{Debugger, Why};
use gapless_machine::hart::{Hit, Touch, Watch};
use std::collections::BTreeSet;
use support::Recorded;
use support::guest::{COUNTER, DATA, HANDLER, LEAF, STORE, TICKS, WORK};

const CALLS: u64 = 500;

fn never() -> bool {
    false
}

fn open(recorded: &Recorded) -> Debugger {
    // Close to each other, so that these short histories have more of them than are kept.
    Debugger::open_spaced(&recorded.log(), &recorded.files(), 500).unwrap()
}

fn number(debugger: &Debugger, at: u64) -> u64 {
    let mut bytes = [0; 8];
    assert_eq!(debugger.read(at, &mut bytes), 8, "at {at:#x}");
    u64::from_le_bytes(bytes)
}

fn watch(at: u64, touch: Touch) -> Vec<Watch> {
    vec![Watch { at, bytes: 8, touch }]
}

fn at_break() -> Why {
    Why::Hit(Hit::Break)
}

/// Numbers that look random and are the same each time.
fn numbers(mut seed: u64) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(seed >> 20)
    })
}

/// Positions of a history, from its seed.
fn positions(debugger: &Debugger, seed: u64) -> impl Iterator<Item = Position> + use<> {
    let (first, last) = (debugger.beginning().0, debugger.end().0);
    numbers(seed).map(move |n| Position(first + n % (last - first)))
}

#[test]
fn whatever_is_done_on_the_way_the_end_is_that_of_a_plain_replay() {
    let recorded = Recorded::new(CALLS);
    let (end, digest, compared) = recorded.replay();
    assert!(compared > 0);
    let mut debugger = open(&recorded);
    assert_eq!(debugger.go(&mut never).unwrap(), Why::End);
    assert_eq!((debugger.position().0, debugger.digest().unwrap()), (end, digest));
    for (seed, to) in positions(&debugger, 1).take(12).enumerate() {
        assert_eq!(debugger.seek(to, &mut never).unwrap(), Why::There);
        debugger.set_points(BTreeSet::from([WORK, HANDLER + 4]), watch(TICKS, Touch::Either));
        for n in numbers(seed as u64).take(30) {
            let before = debugger.digest().unwrap();
            number(&debugger, if debugger.csr(0x180) == Some(0) { DATA } else { COUNTER });
            assert_eq!(debugger.digest().unwrap(), before);
            match n % 4 {
                0 => debugger.step().unwrap(),
                1 => debugger.step_back(&mut never).unwrap(),
                2 => debugger.go(&mut never).unwrap(),
                _ => debugger.go_back(&mut never).unwrap(),
            };
        }
        debugger.set_points(BTreeSet::new(), Vec::new());
        assert_eq!(debugger.go(&mut never).unwrap(), Why::End);
        assert_eq!((debugger.position().0, debugger.digest().unwrap()), (end, digest));
    }
}

#[test]
fn a_position_looks_the_same_wherever_one_comes_from() {
    let recorded = Recorded::new(CALLS);
    let (mut forwards, mut around) = (open(&recorded), open(&recorded));
    let mut wanted: Vec<Position> = positions(&forwards, 7).take(40).collect();
    // Where inputs stand, and on both sides of that.
    while let Some((_, entry)) = around.next_event().unwrap() {
        wanted.extend([entry.at.0 - 1, entry.at.0, entry.at.0 + 1].map(Position));
        around.seek(Position(entry.at.0 + 1), &mut never).unwrap();
    }
    assert!(wanted.len() > 46, "there are inputs");
    wanted.push(forwards.beginning());
    wanted.push(forwards.end());
    wanted.sort();
    let digest_at = |debugger: &mut Debugger, to| {
        assert_eq!(debugger.seek(to, &mut never).unwrap(), Why::There);
        assert_eq!(debugger.position(), to);
        (debugger.hart().pc(), debugger.now(), debugger.digest().unwrap())
    };
    let first: Vec<_> = wanted.iter().map(|&to| digest_at(&mut forwards, to)).collect();
    for (&to, expected) in wanted.iter().zip(&first).rev() {
        assert_eq!(&digest_at(&mut around, to), expected, "at {to}");
    }
    // Step by step across everything that can stand at a position: instructions, interrupts, waiting.
    forwards.seek(Position(forwards.end().0 - 2000), &mut never).unwrap();
    let mut steps = vec![(forwards.hart().pc(), forwards.now())];
    while forwards.step().unwrap() == Why::There {
        steps.push((forwards.hart().pc(), forwards.now()));
    }
    for to in (0..steps.len()).rev().step_by(97) {
        let to = forwards.end().0 - (steps.len() - 1 - to) as u64;
        around.seek(Position(to), &mut never).unwrap();
        let index = steps.len() - 1 - (forwards.end().0 - to) as usize;
        assert_eq!((around.hart().pc(), around.now()), steps[index], "at {to}");
    }
}

#[test]
fn a_breakpoint_is_hit_each_time_and_in_the_same_places_backwards() {
    let recorded = Recorded::new(CALLS);
    let mut debugger = open(&recorded);
    // The second address has the same place in another page, where nothing is executed.
    debugger.set_points(BTreeSet::from([WORK, HANDLER + 0x1000]), Vec::new());
    let mut hits = Vec::new();
    while debugger.go(&mut never).unwrap() == at_break() {
        assert_eq!(debugger.hart().pc(), WORK);
        assert_eq!(number(&debugger, COUNTER), hits.len() as u64);
        hits.push(debugger.position());
    }
    assert_eq!(hits.len() as u64, CALLS);
    assert_eq!(debugger.position(), debugger.end());
    for (count, &hit) in hits.iter().enumerate().rev() {
        assert_eq!(debugger.go_back(&mut never).unwrap(), at_break());
        assert_eq!((debugger.position(), debugger.hart().pc()), (hit, WORK));
        assert_eq!(number(&debugger, COUNTER), count as u64);
        if count + 20 < hits.len() {
            break;
        }
    }
    debugger.seek(Position(hits[0].0 + 1), &mut never).unwrap();
    assert_eq!(debugger.go_back(&mut never).unwrap(), at_break());
    assert_eq!(debugger.go_back(&mut never).unwrap(), Why::Beginning);
    assert_eq!(debugger.position(), debugger.beginning());
    assert_eq!(debugger.go_back(&mut never).unwrap(), Why::Beginning);
    assert_eq!(debugger.step_back(&mut never).unwrap(), Why::Beginning);
    assert_eq!(debugger.go(&mut never).unwrap(), at_break());
    assert_eq!(debugger.position(), hits[0]);
}

#[test]
fn a_watched_access_is_what_comes_next_in_either_direction() {
    let recorded = Recorded::new(CALLS);
    let mut debugger = open(&recorded);
    for (touch, access) in [(Touch::Write, STORE), (Touch::Read, WORK)] {
        debugger.seek(debugger.beginning(), &mut never).unwrap();
        debugger.set_points(BTreeSet::new(), watch(COUNTER, touch));
        let hit = Why::Hit(Hit::Watch { at: COUNTER, touch });
        for count in 0..20 {
            assert_eq!(debugger.go(&mut never).unwrap(), hit);
            assert_eq!((debugger.hart().pc(), number(&debugger, COUNTER)), (access, count));
        }
        let here = debugger.position();
        assert_eq!(debugger.step().unwrap(), Why::There);
        for count in (10..20).rev() {
            assert_eq!(debugger.go_back(&mut never).unwrap(), hit);
            let written = if touch == Touch::Write { count + 1 } else { count };
            assert_eq!((debugger.hart().pc(), number(&debugger, COUNTER)), (access + 4, written));
        }
        assert_eq!(debugger.step_back(&mut never).unwrap(), Why::There);
        assert!(debugger.position() < here);
        assert_eq!((debugger.hart().pc(), number(&debugger, COUNTER)), (access, 10));
    }
    debugger.set_points(BTreeSet::new(), watch(COUNTER + 6, Touch::Write));
    // Both the counter and the ticks are touched by that.
    assert_eq!(debugger.go(&mut never).unwrap(), Why::Hit(Hit::Watch { at: COUNTER + 6, touch: Touch::Write }));
    debugger.set_points(BTreeSet::new(), watch(COUNTER, Touch::Either));
    let before = debugger.position();
    let hit = Why::Hit(Hit::Watch { at: COUNTER, touch: Touch::Either });
    for _ in 0..20 {
        assert_eq!(debugger.go(&mut never).unwrap(), hit);
        assert_eq!(debugger.step().unwrap(), Why::There);
        let behind = debugger.position();
        // It hears of the access before it undoes it.
        assert_eq!(debugger.step_back(&mut never).unwrap(), hit);
        assert_eq!(debugger.position(), behind);
        assert_eq!(debugger.step_back(&mut never).unwrap(), Why::There);
        assert_eq!(debugger.position().0, behind.0 - 1);
        assert_eq!(debugger.step().unwrap(), hit);
        assert_eq!(debugger.position().0, behind.0 - 1);
        assert_eq!(debugger.step().unwrap(), Why::There);
    }
    assert!(debugger.position() > before);
}

#[test]
fn looking_at_memory_changes_nothing() {
    let recorded = Recorded::new(10);
    let mut debugger = open(&recorded);
    debugger.set_points(BTreeSet::from([WORK]), Vec::new());
    assert_eq!(debugger.go(&mut never).unwrap(), at_break());
    let before = debugger.digest().unwrap();
    assert_eq!(number(&debugger, LEAF) & 0xff, 7, "nobody has accessed the page yet");
    assert_eq!(number(&debugger, COUNTER), 0);
    assert_eq!(debugger.read(COUNTER + 0xff8, &mut [0; 16]), 8, "behind it nothing is mapped");
    assert_eq!(debugger.read(0x1000_0000, &mut [0; 1]), 0, "the console would notice");
    assert_eq!(number(&debugger, LEAF) & 0xff, 7);
    assert_eq!(debugger.digest().unwrap(), before);
    assert_eq!(debugger.hart().f[2], 7f64.to_bits());
    assert_eq!(debugger.csr(0x105), Some(HANDLER));
    assert_eq!(debugger.csr(0x7c0), None);
    debugger.step().unwrap();
    assert_eq!(number(&debugger, LEAF) & 0xff, 0x47, "now the guest has");
}

#[test]
fn events_are_those_of_the_log() {
    let recorded = Recorded::new(CALLS);
    let mut debugger = open(&recorded);
    let (first, entry) = debugger.next_event().unwrap().expect("the clock is steered");
    debugger.seek(entry.at, &mut never).unwrap();
    let (second, entry) = debugger.next_event().unwrap().expect("and not once only");
    assert!(second > first && entry.at > debugger.position(), "what stands at a position has been taken there");
    assert_eq!(debugger.seek(Position(u64::MAX), &mut never).unwrap(), Why::End);
    assert_eq!(debugger.position(), debugger.end());
    assert!(debugger.next_event().unwrap().is_none());
    assert_eq!(debugger.step().unwrap(), Why::End);
    assert_eq!(debugger.seek(Position(0), &mut never).unwrap(), Why::There);
}

#[test]
fn a_person_can_stop_it_in_both_directions() {
    let recorded = Recorded::new(CALLS);
    let mut debugger = open(&recorded);
    let mut asked = 0;
    let mut soon = || {
        asked += 1;
        asked > 3
    };
    assert_eq!(debugger.go(&mut soon).unwrap(), Why::Interrupted);
    let stopped = debugger.position();
    assert!(stopped > debugger.beginning() && stopped < debugger.end());
    let seen = debugger.digest().unwrap();
    debugger.seek(debugger.end(), &mut never).unwrap();
    assert_eq!(debugger.go_back(&mut || true).unwrap(), Why::Interrupted);
    assert_eq!(debugger.seek(stopped, &mut never).unwrap(), Why::There);
    assert_eq!(debugger.digest().unwrap(), seen);
}
