//! A guest that uses everything, and everything that must be repeatable about it: recorded live, replayed, stopped anywhere, saved and loaded anywhere,
//! taken over after every mark.

#[path = "support/tiny.rs"]
mod tiny;

use gapless_log::{Host, Output, Position, Replayed, Replica, Term};
use gapless_machine::event::{self, ClockBody};
use gapless_machine::{Computer, Local, Machine};
use std::sync::LazyLock;
use tiny::{Load, Random, Recording, assert_same, digests_at, replay_to, run_live, text};

/// One recording serves every test.
static RECORDING: LazyLock<Recording> = LazyLock::new(Recording::new);

#[test]
fn it_does_what_it_should() {
    let printed = text(&RECORDING.said);
    assert!(!printed.contains('!'), "{printed}");
    let lines: Vec<_> = printed.lines().map(|line| line.split(' ').next().unwrap_or("")).collect();
    let boot = |end| [&["boot"][..], &["round"; 10], &[end]].concat();
    assert_eq!(lines, [boot("again"), boot("off")].concat());
    assert_eq!(RECORDING.status, 0);
}

#[test]
fn a_replay_is_equal_there_elsewhere_and_under_load() {
    let elsewhere = tempfile::tempdir().unwrap();
    for (dir, load) in [(RECORDING.dir(), 0), (elsewhere.path(), 0), (elsewhere.path(), 4)] {
        let _load = Load::start(load);
        let mut host = RECORDING.backup(RECORDING.frames.len(), dir);
        // Every step's digest is in the log, and compared.
        assert_eq!(replay_to(&mut host, None).unwrap(), Some(RECORDING.status));
        assert_eq!(host.replica_mut().digest().unwrap(), RECORDING.digest);
        assert_eq!(host.outbox().said(), RECORDING.said.len() as u64);
    }
}

/// 1,000 positions from a seed, and some that follow each other around an event.
fn positions(random: &mut Random) -> Vec<Position> {
    let marks = RECORDING.marks();
    let event = marks[1 + random.below(marks.len() as u64 - 2) as usize].at;
    let mut all = random.positions(1000, Position(RECORDING.last().0 - 1));
    all.extend((event.0.saturating_sub(500).max(1)..(event.0 + 500).min(RECORDING.last().0)).map(Position));
    all.sort();
    all.dedup();
    all
}

/// The computer runs by itself up to somewhere before `until`, in slices of a few positions to some thousands, never beyond the next entry.
fn run_sliced(host: &mut Host<Machine>, until: Position, entries: &[Position], random: &mut Random) {
    let Some(computer) = host.replica_mut().computer_mut() else { return };
    let next = entries.iter().copied().find(|&at| at > computer.position()).expect("not at the end");
    let end = Position(until.0.min(next.0) - 1);
    let longest = [3, 100, 10_000][random.below(3) as usize];
    while computer.position() < end {
        let slice = Position((computer.position().0 + 1 + random.below(longest)).min(end.0));
        if computer.run(slice).unwrap() == gapless_machine::Stop::Idle {
            break;
        }
    }
}

#[test]
fn every_position_is_the_same_however_it_was_reached() {
    let mut random = Random::fresh();
    let (positions, entries) = (positions(&mut random), RECORDING.entries());
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut straight = RECORDING.backup(RECORDING.frames.len(), dirs[0].path());
    let reference = digests_at(&mut straight, &positions, |_, _| {});
    let mut sliced = RECORDING.backup(RECORDING.frames.len(), dirs[1].path());
    let again = digests_at(&mut sliced, &positions, |host, at| run_sliced(host, at, &entries, &mut random));
    assert!(reference.len() > 1500);
    for ((at, one), other) in reference.iter().zip(again.values()) {
        assert_same(*at, one, other, "other slices");
    }
    for host in [&mut straight, &mut sliced] {
        assert_eq!(replay_to(host, None).unwrap(), Some(RECORDING.status), "who was stopped so often goes on");
        assert_eq!(host.replica_mut().digest().unwrap(), RECORDING.digest);
    }
    // The state differs from position to position, or nothing was compared.
    let distinct: std::collections::BTreeSet<_> = reference.values().collect();
    assert_eq!(distinct.len(), reference.len());
}

#[test]
fn a_snapshot_at_any_position_goes_on_as_the_original() {
    let mut random = Random::fresh();
    let positions = random.positions(80, Position(RECORDING.last().0 - 1));
    let dir = tempfile::tempdir().unwrap();
    let mut original = RECORDING.backup(RECORDING.frames.len(), dir.path());
    for (n, &at) in positions.iter().enumerate() {
        replay_to(&mut original, Some(at)).unwrap();
        let parts = original.replica_mut().digest_parts().unwrap();
        let mut bytes = Vec::new();
        assert!(original.replica_mut().save(&mut bytes).unwrap());
        let elsewhere = tempfile::tempdir().unwrap();
        let mut copy = Machine::backup(elsewhere.path(), Local::default());
        copy.load(&mut bytes.as_slice()).unwrap();
        assert_same(at, &parts, &copy.digest_parts().unwrap(), "loaded elsewhere");
        let mut again = Vec::new();
        copy.save(&mut again).unwrap();
        assert!(bytes == again, "at position {at}: what was loaded is not saved as the same bytes");
        // From here on the copy is the replica, in the middle of a step.
        if n % 4 == 0 {
            let ahead = Position((at.0 + 1 + random.below(200_000)).min(RECORDING.last().0 - 1));
            let mut other = RECORDING.backup(RECORDING.frames.len(), dir.path().join(n.to_string()).as_path());
            replay_to(&mut other, Some(at)).unwrap();
            *other.replica_mut() = copy;
            replay_to(&mut other, Some(ahead)).unwrap();
            let elsewhere = tempfile::tempdir().unwrap();
            let mut third = RECORDING.backup(RECORDING.frames.len(), elsewhere.path());
            replay_to(&mut third, Some(ahead)).unwrap();
            let straight = third.replica_mut().digest_parts().unwrap();
            assert_same(ahead, &straight, &other.replica_mut().digest_parts().unwrap(), "from a snapshot");
            assert_eq!(replay_to(&mut other, None).unwrap(), Some(RECORDING.status));
            assert_eq!(other.replica_mut().digest().unwrap(), RECORDING.digest);
        }
    }
    assert_eq!(replay_to(&mut original, None).unwrap(), Some(RECORDING.status), "who was saved so often goes on");
    assert_eq!(original.replica_mut().digest().unwrap(), RECORDING.digest);
}

/// Without the images of its disks, and by the computer alone.
#[test]
fn a_snapshot_that_names_its_disks_is_loaded_where_they_lie() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut host = RECORDING.backup(RECORDING.frames.len(), dirs[0].path());
    replay_to(&mut host, Some(Position(RECORDING.last().0 / 3))).unwrap();
    let computer = host.replica_mut().computer_mut().unwrap();
    let (mut named, mut whole) = (Vec::new(), Vec::new());
    computer.save(false, &mut named).unwrap();
    computer.save(true, &mut whole).unwrap();
    assert!(named.len() < whole.len());
    let mut copy = Computer::load(&mut named.as_slice(), dirs[1].path()).unwrap();
    let mut again = Vec::new();
    copy.save(true, &mut again).unwrap();
    assert!(again == whole);
    for at in [0, 4, 8, named.len() / 2, named.len() - 1] {
        let mut damaged = named.clone();
        damaged[at] ^= 1;
        assert!(Computer::load(&mut damaged.as_slice(), dirs[1].path()).is_err(), "byte {at}");
        assert!(Computer::load(&mut &named[..at], dirs[1].path()).is_err(), "{at} bytes");
    }
}

/// The log of a pair holds the disks' images; it is the image that the user named into which the disk is merged, not a copy.
#[test]
fn what_was_written_is_merged_into_the_image_that_the_history_began_with() {
    let recording = Recording::new();
    let dir = tempfile::tempdir().unwrap();
    let mut host = recording.backup(recording.frames.len(), dir.path());
    replay_to(&mut host, None).unwrap();
    let image = recording.dir().join("disk");
    assert_eq!(host.replica_mut().commit_disks(dir.path()).unwrap(), [image.canonicalize().unwrap()]);
    assert_eq!(std::fs::read(image).unwrap()[..8], 2u64.to_le_bytes(), "it was started twice");
}

/// The primary dies after a mark. Of what it said since, nothing or all has left: the survivor must say the same again, and then what an undisturbed run
/// says.
#[test]
fn a_takeover_after_every_mark_contradicts_nothing() {
    let undisturbed = text(&RECORDING.said);
    let marks = RECORDING.marks();
    for mark in &marks {
        let dir = tempfile::tempdir().unwrap();
        let mut host = RECORDING.backup(mark.frames, dir.path());
        while !matches!(host.replay_step().unwrap(), Replayed::Starved | Replayed::Ended(_)) {}
        let last = &RECORDING.frames[mark.frames - 1];
        host.replica_mut().prepare().unwrap();
        host.go_live(Term(2), last.end_seq(), last.chain_after()).unwrap();
        let survivor = run_live(&mut host, false).unwrap_or_else(|e| panic!("after {mark:?}: {e}"));
        let (left, doubtful) = RECORDING.said[..mark.mark.said as usize].split_at(mark.mark.released as usize);
        let same = survivor.said.iter().zip(doubtful).all(|(a, b)| (a.number, &a.bytes) == (b.number, &b.bytes));
        assert!(same && survivor.said.len() >= doubtful.len(), "after {mark:?}: what was said is said differently");
        let world: Vec<&Output> = left.iter().chain(&survivor.said).collect();
        assert_eq!(text(world), undisturbed, "after {mark:?}");
        assert_eq!(survivor.status, RECORDING.status);
    }
    assert!(marks.len() > 20, "{} marks", marks.len());
}

/// A survivor's own log, together with what it had, replays as one; and so does that of the next.
#[test]
fn two_lives_replay_as_one() {
    let mut random = Random::fresh();
    let marks = RECORDING.marks();
    for _ in 0..4 {
        let mark = &marks[1 + random.below(marks.len() as u64 - 2) as usize];
        let dir = tempfile::tempdir().unwrap();
        let mut host = RECORDING.backup(mark.frames, dir.path());
        while !matches!(host.replay_step().unwrap(), Replayed::Starved | Replayed::Ended(_)) {}
        let last = &RECORDING.frames[mark.frames - 1];
        host.go_live(Term(2), last.end_seq(), last.chain_after()).unwrap();
        let survivor = run_live(&mut host, true).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut again = RECORDING.backup(mark.frames, dir.path());
        survivor.frames.iter().for_each(|frame| again.feed(frame).unwrap());
        assert_eq!(replay_to(&mut again, None).unwrap(), Some(0));
        assert_eq!(again.replica_mut().digest().unwrap(), host.replica_mut().digest().unwrap());
    }
}

#[test]
fn the_clock_of_the_log_never_goes_back() {
    let entries = RECORDING.frames.iter().flat_map(|f| f.entries().collect::<Vec<_>>());
    let clocks: Vec<(Position, ClockBody)> = entries
        .filter(|e| e.kind == event::CLOCK)
        .map(|e| (e.at, postcard::from_bytes(&e.body).expect("a clock entry")))
        .collect();
    assert!(clocks.len() > 10);
    for pair in clocks.windows(2) {
        let ((from, line), (to, next)) = (pair[0], pair[1]);
        let reached = line.time + ((u128::from(to.0 - from.0) * u128::from(line.slope)) >> 32) as u64;
        assert!(next.time >= reached, "at {to}: {} after {reached}", next.time);
    }
}
