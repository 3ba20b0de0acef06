//! The toy under the host loop: recorded, replayed, crashed everywhere, and broken on purpose.

mod common;

use common::{fast_dir, image, materialise, small};
use gapless_log::disk::Image;
use gapless_log::toy::{Flaw, Toy, World};
use gapless_log::{
    CommitLevel, DirLock, End, Entry, Error, FileSink, Frame, FrameBuilder, Host, Kind, Level, LogView, Meta, Options,
    Output, Progress, Replayed, Replica, Seq, Store, Term, Waker,
};
use std::collections::BTreeMap;
use std::path::Path;

/// What a live run said, and what it wrote.
struct Run {
    frames: Vec<Frame>,
    /// Every output with the number of the last entry before it.
    said: Vec<(Output, Seq)>,
    digest: u128,
    status: i32,
}

impl Run {
    fn entries(&self) -> Vec<Entry> {
        self.frames.iter().flat_map(|f| f.entries().collect::<Vec<_>>()).collect()
    }
}

/// Runs a chatty toy to its end; a frame is sealed every `steps_a_frame` steps, a digest logged every few.
fn record(seed: u64, messages: usize, steps_a_frame: usize) -> Run {
    let mut host = Host::new(Toy::new(World::chatty(seed, messages)), Options::default());
    host.go_live(Term(1), Seq(0), 0).unwrap();
    let (mut frames, mut said, mut status) = (Vec::new(), Vec::new(), None);
    let mut steps = 0;
    while status.is_none() {
        if let Progress::Ended(code) = host.record_step().unwrap() {
            status = Some(code);
        }
        steps += 1;
        let fresh = host.outbox().waiting().skip(said.len()).cloned();
        // Its mark is the entry after the step's last input.
        let fresh: Vec<_> = fresh.map(|o| (o.clone(), Seq(o.mark.unwrap().0.saturating_sub(1)))).collect();
        said.extend(fresh);
        if steps % 7 == 0 {
            host.record_digest().unwrap();
        }
        if steps % steps_a_frame == 0 || status.is_some() {
            frames.extend(host.seal(Seq(0)));
        }
    }
    let digest = host.replica_mut().digest().unwrap();
    Run { frames, said, digest, status: status.unwrap() }
}

/// Replays everything that is held; returns the host and the last result.
fn replay(host: &mut Host<Toy>, frames: &[Frame]) -> gapless_log::Result<Replayed> {
    frames.iter().try_for_each(|f| host.feed(f))?;
    loop {
        match host.replay_step()? {
            Replayed::Step(_) | Replayed::Sync(_) => {}
            end => return Ok(end),
        }
    }
}

/// The survivor goes live in a world of its own and runs on; then nothing that it says may contradict what was heard before.
fn survive(mut host: Host<Toy>, next: Seq, chain: u128, heard: &BTreeMap<u64, Vec<u8>>) -> Result<(), String> {
    host.go_live(Term(2), next, chain).unwrap();
    for _ in 0..200 {
        if matches!(host.record_step().unwrap(), Progress::Ended(_)) {
            break;
        }
    }
    host.seal(Seq(0));
    host.release(Seq(u64::MAX)).unwrap();
    let said = host.outbox().said();
    for output in host.replica().world().heard() {
        if heard.get(&output.number).is_some_and(|bytes| *bytes != output.bytes) {
            return Err(format!("output {} was said differently", output.number));
        }
    }
    let again: std::collections::BTreeSet<_> = host.replica().world().heard().iter().map(|o| o.number).collect();
    if let Some(lost) = (0..said).find(|n| !again.contains(n) && !heard.contains_key(n)) {
        return Err(format!("output {lost} was said and never heard"));
    }
    match heard.last_key_value() {
        Some((&last, _)) if last >= said => Err(format!("output {last} was heard, the survivor said only {said}")),
        _ => Ok(()),
    }
}

fn heard(said: &[(Output, Seq)], released: impl Fn(&Output, Seq) -> bool) -> BTreeMap<u64, Vec<u8>> {
    let numbers = said.iter().filter(|(o, entry)| released(o, *entry));
    numbers.map(|(o, _)| (o.number, o.bytes.clone())).collect()
}

#[test]
fn a_replay_ends_where_the_recording_did() {
    for seed in 0..30 {
        let run = record(seed, 20, 1 + seed as usize % 4);
        assert!(run.said.len() > 20, "seed {seed} says only {} things", run.said.len());
        let mut host = Host::new(Toy::new(World::new(99)), Options::default());
        assert_eq!(replay(&mut host, &run.frames).unwrap(), Replayed::Ended(run.status));
        assert_eq!(host.replica_mut().digest().unwrap(), run.digest);
        assert_eq!(host.outbox().said(), run.said.len() as u64);
        let same: Vec<_> = host.outbox().waiting().cloned().collect();
        let all: Vec<_> = run.said.iter().map(|(o, _)| o.clone()).collect();
        assert_eq!(same, all);
    }
}

#[test]
fn a_snapshot_goes_on_like_its_original() {
    let mut toy = Toy::new(World::chatty(5, 3));
    let mut host = Host::new(toy.clone(), Options::default());
    host.go_live(Term(1), Seq(0), 0).unwrap();
    for _ in 0..20 {
        host.record_step().unwrap();
    }
    let mut bytes = Vec::new();
    assert!(host.replica_mut().save(&mut bytes).unwrap());
    toy.load(&mut bytes.as_slice()).unwrap();
    assert_eq!(toy.digest().unwrap(), host.replica_mut().digest().unwrap());
    bytes[24] = 2;
    assert!(matches!(toy.load(&mut bytes.as_slice()), Err(Error::Refused(_))));
}

/// A toy whose world listens slowly dies after so many steps, and a survivor goes on.
fn die_in_a_slow_world(seed: u64, steps: usize, flaw: Flaw) -> Result<(), String> {
    let mut host = Host::new(Toy::flawed(World::chatty(seed, 15).slow(), flaw), Options::default());
    host.go_live(Term(1), Seq(0), 0).unwrap();
    let mut survivor = Host::new(Toy::new(World::chatty(1000 + seed, 10)), Options::default());
    for _ in 0..steps {
        host.record_step().unwrap();
        let frames = host.seal(Seq(0));
        replay(&mut survivor, &frames).unwrap();
        host.release(host.next_seq()).unwrap();
    }
    let heard = host.replica().world().heard().into_iter().map(|o| (o.number, o.bytes)).collect();
    let (next, chain) = (survivor.next_seq(), survivor.chain());
    survive(survivor, next, chain, &heard)
}

#[test]
fn a_survivor_that_has_said_only_a_part_again_says_so() {
    let mut partly = 0;
    for seed in 0..20 {
        for steps in 10..30 {
            let mut first = Host::new(Toy::new(World::chatty(seed, 15).slow()), Options::default());
            first.go_live(Term(1), Seq(0), 0).unwrap();
            let mut second = Host::new(Toy::new(World::chatty(1000 + seed, 10).slow()), Options::default());
            let mut third = Host::new(Toy::new(World::chatty(2000 + seed, 10)), Options::default());
            for _ in 0..steps {
                first.record_step().unwrap();
                let frames = first.seal(Seq(0));
                replay(&mut second, &frames).unwrap();
                replay(&mut third, &frames).unwrap();
                first.release(first.next_seq()).unwrap();
            }
            let (next, chain) = (second.next_seq(), second.chain());
            second.go_live(Term(2), next, chain).unwrap();
            // The first of what waits is committed here, and no more.
            let marks: Vec<Seq> = second.outbox().waiting().filter_map(|o| o.mark).collect();
            second.release(marks.first().map_or(Seq(0), |mark| Seq(mark.0 + 1))).unwrap();
            partly += usize::from(marks.first() < marks.last());
            second.record_step().unwrap();
            replay(&mut third, &second.seal(Seq(0))).unwrap();
            let heard = [&first, &second]
                .into_iter()
                .flat_map(|host| host.replica().world().heard())
                .map(|o| (o.number, o.bytes));
            let (heard, next, chain) = (heard.collect(), third.next_seq(), third.chain());
            survive(third, next, chain, &heard).unwrap();
        }
    }
    assert!(partly > 50, "a part was left {partly} times");
}

#[test]
fn what_a_slow_world_has_not_heard_is_said_again() {
    let mut caught = 0;
    for seed in 0..20 {
        for steps in 0..40 {
            die_in_a_slow_world(seed, steps, Flaw::None).unwrap();
            caught += usize::from(die_in_a_slow_world(seed, steps, Flaw::HidesUnfinished).is_err());
        }
    }
    assert!(caught > 100, "a side that hides it was caught {caught} times");
}

/// One entry a frame, so that the log can end at any entry.
fn single(entries: &[Entry]) -> Vec<Frame> {
    let mut builder = FrameBuilder::new(Level::Toy, Term(1), Seq(0), 0);
    let frame = |e: &Entry| {
        builder.push(e.at, e.kind, &e.body);
        builder.seal(Seq(0)).unwrap()
    };
    entries.iter().map(frame).collect()
}

/// The other side holds the first `held` entries when the primary dies; `released` says what had left by then.
fn crash_at(entries: &[Entry], held: usize, seed: u64, heard: &BTreeMap<u64, Vec<u8>>) -> Result<(), String> {
    let frames = single(&entries[..held]);
    let mut host = Host::new(Toy::new(World::chatty(seed, 10)), Options::default());
    let end = replay(&mut host, &frames).unwrap();
    assert!(matches!(end, Replayed::Starved | Replayed::Ended(_)));
    let keep = host.next_seq();
    let chain = frames.get(keep.0 as usize).map_or(frames.last().map_or(0, Frame::chain_after), Frame::chain_before);
    survive(host, keep, chain, heard)
}

#[test]
fn a_crash_at_any_entry_contradicts_nothing() {
    let mut points = 0;
    for seed in 0..40 {
        let run = record(seed, 15, 1);
        let entries = run.entries();
        for held in 0..=entries.len() {
            let heard = heard(&run.said, |o, _| o.mark.unwrap().0 < held as u64);
            crash_at(&entries, held, 1000 + seed, &heard).unwrap();
            points += 1;
        }
    }
    assert!(points > 3000, "{points} crash points");
}

#[test]
fn releasing_at_the_entry_instead_of_the_mark_is_caught() {
    let mut caught = 0;
    for seed in 0..40 {
        let run = record(seed, 15, 1);
        let entries = run.entries();
        for held in 0..=entries.len() {
            let heard = heard(&run.said, |_, entry| entry.0 < held as u64);
            caught += usize::from(crash_at(&entries, held, 1000 + seed, &heard).is_err());
        }
    }
    assert!(caught > 100, "caught at {caught} crash points");
}

#[test]
fn releasing_before_commit_is_caught() {
    let run = record(1, 15, 1);
    let entries = run.entries();
    let mut caught = 0;
    for held in 0..entries.len() {
        // The step that was running had said its outputs already.
        let step = entries[held..].iter().position(|e| e.kind == Kind::MARK).map_or(0, |n| held + n);
        let heard = heard(&run.said, |o, _| o.mark.unwrap().0 <= step as u64);
        caught += usize::from(crash_at(&entries, held, 1001, &heard).is_err());
    }
    assert!(caught > 10, "caught at {caught} crash points");
}

#[test]
fn flaws_of_a_backup_are_caught() {
    let run = record(3, 25, 2);
    let flawed = |flaw| {
        let mut host = Host::new(Toy::flawed(World::new(0), flaw), Options::default());
        replay(&mut host, &run.frames)
    };
    let middle = run.frames[run.frames.len() / 2].first_position();
    for flaw in [Flaw::RunsPastMark(1), Flaw::RunsPastMark(5), Flaw::FlipsBit(middle), Flaw::Misspeaks(middle)] {
        match flawed(flaw) {
            Err(Error::Diverged(d)) => {
                assert!(flaw == Flaw::FlipsBit(middle) || d.position >= gapless_log::Position(1))
            }
            other => panic!("{flaw:?}: {other:?}"),
        }
    }
    assert_eq!(flawed(Flaw::None).unwrap(), Replayed::Ended(run.status));
}

#[test]
fn a_crash_at_any_byte_of_the_file_contradicts_nothing() {
    let run = record(7, 25, 2);
    let dir = fast_dir();
    let mut store = common::create(dir.path(), small(2048));
    // For each frame: how many bytes of segments there were before it, and after it.
    let mut written = Vec::new();
    for frame in &run.frames {
        store.append(frame).unwrap();
        let files = segments(dir.path());
        written.push((files.values().map(Vec::len).sum::<usize>(), frame.end_seq()));
    }
    drop(store);
    let meta = std::fs::read(dir.path().join("meta")).unwrap();
    let all = segments(dir.path());
    let total: usize = all.values().map(Vec::len).sum();
    assert!(all.len() > 2 && total > 4000, "{} files, {total} bytes", all.len());
    for end in 0..=total {
        // At level received a frame is committed when it is written.
        let committed = written.iter().filter(|(bytes, _)| *bytes <= end).map(|w| w.1).max().unwrap_or(Seq(0));
        let heard = heard(&run.said, |o, _| o.mark.unwrap() < committed);
        let crashed = fast_dir();
        let mut image: Image = first_bytes(&all, end);
        image.insert("meta".into(), meta.clone());
        materialise(&image, crashed.path());
        let (mut store, found) = common::open(crashed.path(), small(2048)).unwrap_or_else(|e| panic!("{end}: {e}"));
        assert_eq!(found.next, committed, "at {end}");
        let mut host = Host::new(Toy::new(World::chatty(end as u64, 10)), Options::default());
        let frames = common::frames(&store);
        replay(&mut host, &frames).unwrap();
        let (next, chain) = found.last_mark.map_or((Seq(0), 0), |m| (m.next, m.chain));
        assert_eq!(host.next_seq(), next);
        store.cut(next, chain).unwrap();
        survive(host, next, chain, &heard).unwrap();
    }
}

fn segments(dir: &Path) -> Image {
    let mut image = image(dir);
    image.retain(|path, _| path.extension().is_some_and(|e| e == "seg"));
    image
}

/// The image when only its first `n` bytes were written, in order of its files.
fn first_bytes(image: &Image, mut n: usize) -> Image {
    let mut out = Image::new();
    for (path, bytes) in image {
        let len = n.min(bytes.len());
        if n == 0 {
            break;
        }
        out.insert(path.clone(), bytes[..len].to_vec());
        n -= len;
    }
    out
}

#[test]
fn the_live_loop_records_into_a_store_and_resumes_from_it() {
    for level in [CommitLevel::Received, CommitLevel::Durable] {
        let dir = tempfile::tempdir().unwrap();
        let waker = Waker::new().unwrap();
        let store = Store::create(dir.path(), Level::Toy).unwrap();
        let mut sink = FileSink::new(store, level, waker.clone()).unwrap();
        let mut host = Host::new(Toy::new(World::chatty(4, 40)), Options::default());
        host.go_live(Term(1), Seq(0), 0).unwrap();
        let end = host.run_live(&mut sink, &waker).unwrap();
        let End::Exited(status) = end else { panic!("{end:?}") };
        let world = host.replica().world().clone();
        assert_eq!(world.heard().len() as u64, host.outbox().said());
        drop(sink.close().unwrap());

        let (view, found) = LogView::open(dir.path()).unwrap();
        assert_eq!(found.truncated, None);
        let frames: Vec<_> = view.reader(Seq(0)).collect::<Result<_, _>>().unwrap();
        let mut again = Host::new(Toy::new(World::new(0)), Options::default());
        assert_eq!(replay(&mut again, &frames).unwrap(), Replayed::Ended(status));
        assert_eq!(again.replica_mut().digest().unwrap(), host.replica_mut().digest().unwrap());
        assert_eq!(again.outbox().waiting().count(), 0, "the last mark says that everything has left");
        let kinds: Vec<_> = frames.iter().flat_map(|f| f.entries().map(|e| e.kind).collect::<Vec<_>>()).collect();
        assert!(kinds.ends_with(&[Kind::MARK, Kind::SYNC, Kind::MARK]), "the end is compared: {kinds:?}");
    }
}

/// Killed after the mark of its last step and before its last outputs left.
#[test]
fn what_was_said_at_the_end_is_offered_again() {
    let run = record(3, 20, 1);
    let mut host = Host::new(Toy::new(World::new(0)), Options::default());
    assert_eq!(replay(&mut host, &run.frames).unwrap(), Replayed::Ended(run.status));
    let waiting: Vec<_> = host.outbox().waiting().map(|o| o.bytes.clone()).collect();
    assert!(!waiting.is_empty());
    let dir = tempfile::tempdir().unwrap();
    let waker = Waker::new().unwrap();
    let mut store = Store::create(dir.path(), Level::Toy).unwrap();
    run.frames.iter().for_each(|f| store.append(f).unwrap());
    let (next, chain) = store.end();
    let mut sink = FileSink::new(store, CommitLevel::Received, waker.clone()).unwrap();
    host.go_live(Term(2), next, chain).unwrap();
    assert_eq!(host.run_live(&mut sink, &waker).unwrap(), End::Exited(run.status));
    let heard: Vec<_> = host.replica().world().heard().iter().map(|o| o.bytes.clone()).collect();
    assert_eq!(heard, waiting);
    // Both lives replay as one, and nobody offers anything a third time.
    let store = sink.close().unwrap();
    let mut again = Host::new(Toy::new(World::new(0)), Options::default());
    assert_eq!(replay(&mut again, &common::frames(&store)).unwrap(), Replayed::Ended(run.status));
    assert_eq!(again.replica_mut().digest().unwrap(), host.replica_mut().digest().unwrap());
    assert_eq!(again.outbox().waiting().count(), 0);
}

#[test]
fn a_resumed_log_replays_as_one() {
    let dir = fast_dir();
    let lock = DirLock::take(dir.path()).unwrap();
    let mut store = Store::create_with(lock, &Meta::new(Level::Toy).unwrap(), small(1 << 20)).unwrap();
    let run = record(2, 20, 2);
    run.frames[..run.frames.len() / 2].iter().for_each(|f| store.append(f).unwrap());
    let mut host = Host::new(Toy::new(World::chatty(77, 10)), Options::default());
    replay(&mut host, &common::frames(&store)).unwrap();
    let (next, chain) = store.end();
    host.go_live(Term(2), next, chain).unwrap();
    let status = loop {
        let progress = host.record_step().unwrap();
        for frame in host.seal(store.synced()) {
            store.append(&frame).unwrap();
        }
        if let Progress::Ended(status) = progress {
            break status;
        }
    };
    let mut again = Host::new(Toy::new(World::new(0)), Options::default());
    assert_eq!(replay(&mut again, &common::frames(&store)).unwrap(), Replayed::Ended(status));
    assert_eq!(again.replica_mut().digest().unwrap(), host.replica_mut().digest().unwrap());
}

#[test]
fn a_replay_stops_inside_a_step_exactly() {
    let run = record(5, 20, 3);
    let last = run.entries().last().unwrap().at;
    for stop in (1..=last.0).map(gapless_log::Position) {
        let mut host = Host::new(Toy::new(World::new(0)), Options::default());
        run.frames.iter().for_each(|f| host.feed(f).unwrap());
        while host.replica().position() < stop && host.replay_step_until(Some(stop)).unwrap().is_some() {}
        assert_eq!(host.replica().position(), stop);
    }
}
