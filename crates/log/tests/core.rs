//! The core without a disk: outbox, recorder, player, host, waker, identities.

use gapless_log::toy::{END, Toy, World};
use gapless_log::{
    Backlog, Channel, Divergence, End, Error, Frame, FrameBuilder, Hasher, Host, Identity, Kind, Level, Mark, Options,
    Order, Outbox, Output, Player, Position, Progress, Recorder, Replayed, Replica, Result, Seq, Sink, Term, Waker,
    chain, hash,
};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn say(outbox: &mut Outbox, words: &[&str]) {
    words.iter().for_each(|w| {
        outbox.say(Channel(1), w.as_bytes().to_vec());
    });
}

#[test]
fn an_output_leaves_only_when_its_mark_is_committed_and_in_order() {
    let mut outbox = Outbox::default();
    say(&mut outbox, &["a", "b"]);
    assert_eq!(outbox.release(Seq(u64::MAX)), None, "its step has not ended");
    outbox.stamp(Seq(5));
    say(&mut outbox, &["c"]);
    outbox.stamp(Seq(9));
    assert_eq!(outbox.queued_bytes(), 3);
    assert_eq!(outbox.release(Seq(5)), None, "entries below 5 are committed, the mark is 5");
    let a = outbox.release(Seq(6)).unwrap();
    assert_eq!((a.number, &a.bytes[..], a.mark), (0, &b"a"[..], Some(Seq(5))));
    assert_eq!(outbox.release(Seq(9)).unwrap().number, 1);
    assert_eq!(outbox.release(Seq(9)), None);
    assert_eq!((outbox.said(), outbox.released(), outbox.queued_bytes()), (3, 2, 1));
    assert_eq!(outbox.release(Seq(10)).unwrap().bytes, b"c");
    assert_eq!(outbox.release(Seq(10)), None);
}

#[test]
fn a_backup_forgets_what_a_mark_says_has_left() {
    let mut outbox = Outbox::default();
    say(&mut outbox, &["a", "b", "c"]);
    outbox.stamp(Seq(0));
    let mark = |released, unfinished: &[(Channel, u64)]| Mark {
        released,
        unfinished: unfinished.iter().copied().collect(),
        ..Mark::default()
    };
    outbox.forget(&mark(2, &[]));
    assert_eq!(numbers(&outbox), [2]);
    outbox.forget(&mark(1, &[]));
    assert_eq!(outbox.released(), 2);
    assert_eq!(copy(&outbox).expect("can wait").mark(), outbox.mark());
}

fn numbers(outbox: &Outbox) -> Vec<u64> {
    outbox.waiting().map(|o| o.number).collect()
}

fn copy(outbox: &Outbox) -> Option<Outbox> {
    let waiting = outbox.waiting().cloned().collect();
    let copy = Outbox::from_parts(outbox.said(), outbox.released(), outbox.hash(), waiting)?;
    assert_eq!(copy.queued_bytes(), outbox.queued_bytes());
    Some(copy)
}

#[test]
fn a_backup_keeps_what_a_mark_says_is_unfinished() {
    let mut outbox = Outbox::default();
    let mut said = |channels: &[u64]| {
        channels.iter().for_each(|&c| {
            outbox.say(Channel(c), vec![c as u8; 10]);
        });
        outbox.stamp(Seq(outbox.said()));
        outbox.clone()
    };
    let mark = |released, unfinished: &[(u64, u64)]| Mark {
        released,
        unfinished: unfinished.iter().map(|&(c, from)| (Channel(c), from)).collect(),
        ..Mark::default()
    };
    said(&[1, 2, 1, 2, 1]);
    let mut outbox = said(&[2]);
    // The first of channel 1 has left, and all of channel 2 so far.
    outbox.forget(&mark(4, &[(1, 2)]));
    assert_eq!((numbers(&outbox), outbox.released(), outbox.queued_bytes()), (vec![2, 4, 5], 4, 30));
    assert_eq!(outbox.mark().unfinished, mark(4, &[(1, 2)]).unfinished);
    assert_eq!(copy(&outbox).expect("can wait").mark(), outbox.mark());
    outbox.forget(&mark(6, &[(1, 4)]));
    assert_eq!((numbers(&outbox), outbox.released(), outbox.queued_bytes()), (vec![4], 6, 10));
    // Whoever takes over offers it again, and says so until it has.
    let mut survivor = outbox.clone();
    survivor.say(Channel(1), vec![1]);
    survivor.stamp(Seq(9));
    assert_eq!(survivor.release(Seq(5)), None, "its mark is committed first here, too");
    assert_eq!(survivor.release(Seq(10)).map(|o| o.number), Some(4));
    assert_eq!(survivor.mark().unfinished.len(), 0);
    assert_eq!(survivor.release(Seq(10)).map(|o| o.number), Some(6));
    outbox.forget(&mark(6, &[]));
    assert_eq!((numbers(&outbox), outbox.queued_bytes()), (vec![], 0));
}

#[test]
fn what_cannot_wait_in_an_outbox_is_refused() {
    let output = |number| Output { number, channel: Channel(1), bytes: vec![], mark: Some(Seq(0)) };
    let of = |said, released, waiting: &[u64]| {
        Outbox::from_parts(said, released, 0, waiting.iter().map(|&n| output(n)).collect()).is_some()
    };
    assert!(of(0, 0, &[]) && of(5, 3, &[3, 4]) && of(5, 3, &[0, 2, 3, 4]) && of(5, 5, &[1]));
    assert!(!of(5, 3, &[3]) && !of(5, 3, &[4, 5]) && !of(5, 3, &[4, 3]) && !of(5, 6, &[]) && !of(5, 3, &[0, 0, 3, 4]));
    assert!(!of(u64::MAX, u64::MAX, &[u64::MAX]));
}

#[test]
fn the_rolling_hash_tells_words_channels_and_order_apart() {
    let of = |words: &[(u64, &str)]| {
        let mut outbox = Outbox::default();
        words.iter().for_each(|(c, w)| {
            outbox.say(Channel(*c), w.as_bytes().to_vec());
        });
        outbox.mark().hash
    };
    let all = [of(&[]), of(&[(1, "ab")]), of(&[(2, "ab")]), of(&[(1, "a"), (1, "b")]), of(&[(1, "b"), (1, "a")])];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn hashes_are_fixed_for_ever() {
    // They are on disk: another value here is another format.
    assert_eq!(hash(b""), 0x99aa_06d3_0147_98d8_6001_c324_468d_497f);
    assert_eq!(chain(0, &[b"ab"]), chain(0, &[b"ab"]));
    assert_ne!(chain(0, &[b"ab"]), chain(0, &[b"a", b"b"]), "parts are told apart");
    assert_ne!(chain(0, &[b"ab"]), chain(1, &[b"ab"]));
    let mut hasher = Hasher::new();
    hasher.update(b"a");
    hasher.update(b"b");
    assert_eq!(hasher.finish(), hash(b"ab"), "calls are not");
    hasher.number(1);
    assert_eq!(hasher.finish(), hash(b"ab\x01\0\0\0\0\0\0\0"));
}

#[test]
fn identities_say_why_they_differ() {
    let one = Identity { level: "toy".into(), code: "1".into(), features: vec!["avx".into(), "sse".into()] };
    assert_eq!(one.differs(&one.clone()), None);
    let say = |other: Identity| one.differs(&other).unwrap();
    assert!(say(Identity { level: "task".into(), ..one.clone() }).contains("level is toy here and task there"));
    assert!(say(Identity { code: "2".into(), ..one.clone() }).contains("install the same build"));
    let text = say(Identity { features: vec!["sse".into(), "vaes".into()], ..one.clone() });
    assert!(text.contains("only here [avx], only there [vaes]"), "{text}");
}

#[test]
fn a_waker_wakes_now_or_at_the_next_wait() {
    let waker = Waker::new().unwrap();
    let started = Instant::now();
    waker.wake();
    waker.wait(Duration::from_secs(60));
    waker.reset();
    let other = waker.clone();
    let thread = std::thread::spawn(move || other.wake());
    waker.wait(Duration::from_secs(60));
    thread.join().unwrap();
    assert!(started.elapsed() < Duration::from_secs(50));
    waker.reset();
    let started = Instant::now();
    waker.wait(Duration::from_millis(20));
    assert!(started.elapsed() >= Duration::from_millis(15));
}

fn frame(first: u64, chain: u128, kinds: &[Kind]) -> Frame {
    let mut builder = FrameBuilder::new(Level::Toy, Term(1), Seq(first), chain);
    for &kind in kinds {
        let body = if kind == Kind::MARK { Mark::default().encode() } else { Vec::new() };
        builder.push(Position(3), kind, &body);
    }
    builder.seal(Seq(0)).unwrap()
}

#[test]
fn a_backlog_knows_where_steps_end_and_takes_no_hole() {
    let mut backlog = Backlog::new(Seq(4));
    let first = frame(4, 0, &[Kind(16), Kind::MARK, Kind(17)]);
    backlog.push(&first).unwrap();
    assert_eq!((backlog.next_seq(), backlog.end_seq(), backlog.steps()), (Seq(4), Seq(7), 1));
    assert_eq!(backlog.next_mark(), Some((Seq(5), Position(3))));
    assert!(matches!(backlog.push(&first), Err(Error::Refused(why)) if why.contains("hole")));
    backlog.push(&frame(7, 0, &[Kind::MARK])).unwrap();
    assert_eq!(backlog.pop().unwrap().0, Seq(4));
    assert_eq!(backlog.pop().unwrap().1.kind, Kind::MARK);
    assert_eq!(backlog.next_mark(), Some((Seq(7), Position(3))));
    assert_eq!(backlog.front().unwrap().kind, Kind(17));
}

/// What a scripted step does.
type Act = Box<dyn FnMut(&mut Recorder<'_>, u64) -> Progress>;

/// A replica that does what the test says; as a backup it takes whatever the log holds.
struct Scripted {
    position: u64,
    act: Act,
    emitted: Vec<Output>,
    halted: bool,
}

impl Scripted {
    fn new(act: impl FnMut(&mut Recorder<'_>, u64) -> Progress + 'static) -> Host<Self> {
        let options = Options { frame_bytes: 3 << 20, digest_every: Duration::from_secs(3600), ..Options::default() };
        Self::with(options, act)
    }

    fn with(options: Options, act: impl FnMut(&mut Recorder<'_>, u64) -> Progress + 'static) -> Host<Self> {
        let replica = Self { position: 0, act: Box::new(act), emitted: Vec::new(), halted: false };
        let mut host = Host::new(replica, options);
        host.go_live(Term(1), Seq(0), 0).unwrap();
        host
    }
}

impl Replica for Scripted {
    fn identity(&self) -> Identity {
        Identity { level: "toy".into(), code: "script".into(), features: Vec::new() }
    }
    fn level(&self) -> Level {
        Level::Toy
    }
    fn position(&self) -> Position {
        Position(self.position)
    }
    fn record(&mut self, log: &mut Recorder<'_>) -> Result<Progress> {
        let progress = (self.act)(log, self.position);
        self.position += u64::from(!matches!(progress, Progress::Idle(_)));
        Ok(progress)
    }
    fn replay(&mut self, log: &mut Player<'_>) -> Result<Progress> {
        while let Some((at, kind)) = log.peek().map(|e| (e.at, e.kind)) {
            log.input(at, kind)?;
        }
        self.position = log.limit().0;
        Ok(Progress::Ran)
    }
    fn emit(&mut self, output: Output) -> Result<()> {
        self.emitted.push(output);
        Ok(())
    }
    fn wait(&mut self, waker: &Waker, at_most: Duration) -> Result<()> {
        waker.wait(at_most);
        Ok(())
    }
    fn go_live(&mut self, _: Term, _: &mut Recorder<'_>) -> Result<()> {
        Ok(())
    }
    fn digest(&mut self) -> Result<u128> {
        Ok(self.position.into())
    }
    fn save(&mut self, _: &mut dyn Write) -> Result<bool> {
        Ok(false)
    }
    fn load(&mut self, _: &mut dyn Read) -> Result<()> {
        Err(Error::Refused("nothing was saved".into()))
    }
    fn halt(&mut self) {
        self.halted = true;
    }
}

/// A frame ends where a step ends, or it lies inside one long step, whatever the sizes are.
#[test]
fn a_frame_never_ends_with_a_part_of_a_step_behind_a_whole_one() {
    const SIZES: [(usize, usize); 7] =
        [(10, 5), (3000, 1000), (7, 1 << 20), (100_000, 0), (5, 200_000), (1, 1 << 20), (0, 0)];
    let mut turn = 0;
    let mut host = Scripted::new(move |log, at| {
        let (entries, bytes) = SIZES[turn % SIZES.len()];
        turn += 1;
        for _ in 0..entries {
            log.input(Position(at), Kind(16), vec![7; bytes]);
        }
        Progress::Ran
    });
    let mut frames = Vec::new();
    for n in 0..21 {
        host.record_step().unwrap();
        if n % 4 == 3 {
            host.record_digest().unwrap();
            frames.extend(host.seal(Seq(u64::MAX)));
        }
    }
    frames.extend(host.seal(Seq(0)));
    assert!(frames.len() > 10, "{} frames", frames.len());
    let (mut next, mut chain, mut inside) = (Seq(0), 0, false);
    for frame in &frames {
        assert_eq!((frame.first_seq(), frame.chain_before()), (next, chain));
        assert!(frame.synced() <= frame.first_seq());
        (next, chain) = (frame.end_seq(), frame.chain_after());
        let marks = frame.entries().filter(|e| e.kind == Kind::MARK).count();
        assert!(frame.ends_step() || marks == 0, "{frame:?} ends inside a step and holds {marks} marks");
        inside = !frame.ends_step();
        assert_eq!(Frame::decode(frame.bytes()).as_ref(), Ok(frame));
    }
    assert!(!inside);
    assert_eq!(host.next_seq(), next);
}

#[test]
fn a_step_that_changes_nothing_leaves_no_entry() {
    let mut host = Scripted::new(|_, _| Progress::Idle(Duration::ZERO));
    host.record_step().unwrap();
    assert_eq!(host.next_seq(), Seq(0));
    assert!(host.seal(Seq(0)).is_empty());
}

#[test]
#[should_panic(expected = "belongs to the host loop")]
fn a_level_cannot_write_the_host_loop_s_kinds() {
    let mut host = Scripted::new(|log, at| {
        log.input(Position(at), Kind::MARK, Vec::new());
        Progress::Ran
    });
    let _ = host.record_step();
}

/// Takes frames and commits what it is told to.
#[derive(Default)]
struct Fake {
    frames: Vec<Frame>,
    committed: Option<Seq>,
    orders: Vec<Order>,
    failure: Option<Error>,
    /// How many frames it has taken, and after how many it takes no more.
    taken: Arc<AtomicUsize>,
    room: Option<usize>,
}

impl Sink for Fake {
    fn append(&mut self, frame: Frame) -> Result<()> {
        if self.room.is_some_and(|room| self.frames.len() >= room) {
            return Err(Error::Level("no room".into()));
        }
        self.frames.push(frame);
        self.taken.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    fn committed(&self) -> Seq {
        self.committed.unwrap_or(self.frames.last().map_or(Seq(0), Frame::end_seq))
    }
    fn synced(&self) -> Seq {
        Seq(0)
    }
    fn order(&mut self) -> Order {
        if self.orders.is_empty() { Order::None } else { self.orders.remove(0) }
    }
    fn failure(&mut self) -> Option<Error> {
        self.failure.take()
    }
}

/// Says one thing a step and ends after `steps`.
fn talker(steps: u64) -> Host<Scripted> {
    Scripted::new(talk(steps))
}

fn talk(steps: u64) -> impl FnMut(&mut Recorder<'_>, u64) -> Progress {
    move |log, at| {
        log.input(Position(at), Kind(16), at.to_le_bytes().to_vec());
        log.out().say(Channel(1), at.to_le_bytes().to_vec());
        if at + 1 == steps { Progress::Ended(7) } else { Progress::Ran }
    }
}

#[test]
fn the_live_loop_releases_everything_before_it_exits() {
    let waker = Waker::new().unwrap();
    let mut host = talker(50);
    let mut sink = Fake::default();
    assert_eq!(host.run_live(&mut sink, &waker).unwrap(), End::Exited(7));
    let emitted = &host.replica().emitted;
    assert_eq!(emitted.iter().map(|o| o.number).collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
    assert_eq!(host.ended(), Some(7));
}

/// Steps in each frame that a live loop makes of 12, of which each says one thing.
fn steps_in_frames(frame_outputs: u64, committed: Option<Seq>) -> Vec<usize> {
    let waker = Waker::new().unwrap();
    let hour = Duration::from_secs(3600);
    let options = Options { frame_age: hour, frame_outputs, digest_every: hour, ..Options::default() };
    let orders = [vec![Order::None; 12], vec![Order::Handover; 2]].concat();
    let mut host = Scripted::with(options, talk(1000));
    let mut sink = Fake { committed, orders, ..Fake::default() };
    assert_eq!(host.run_live(&mut sink, &waker).unwrap(), End::Handover);
    sink.frames.iter().map(|frame| frame.entries().filter(|entry| entry.kind == Kind::MARK).count()).collect()
}

#[test]
fn a_frame_goes_early_when_it_holds_enough_outputs_and_no_other_waits_for_commit() {
    assert_eq!(steps_in_frames(1, None), [1; 12]);
    assert_eq!(steps_in_frames(5, None), [5, 5, 2]);
    assert_eq!(steps_in_frames(u64::MAX, None), [12]);
    // The first one is never committed, so the others wait for the end.
    assert_eq!(steps_in_frames(5, Some(Seq(0))), [5, 7]);
}

/// A step that is much longer than a frame does not wait in memory for its end.
#[test]
fn the_frames_of_a_long_step_are_appended_as_they_fill() {
    let waker = Waker::new().unwrap();
    for (room, outcome) in [(None, Some(End::Exited(0))), (Some(3), None)] {
        let taken = Arc::new(AtomicUsize::new(0));
        let mut sink = Fake { taken: taken.clone(), room, ..Fake::default() };
        let mut host = Scripted::new(move |log, at| {
            for entry in 0..20 {
                let before = taken.load(Ordering::Relaxed);
                assert_eq!(before, (entry as usize).saturating_sub(1).min(room.unwrap_or(usize::MAX)));
                log.input(Position(at), Kind(16), vec![entry; 1 << 20]);
            }
            Progress::Ended(0)
        });
        assert_eq!(host.run_live(&mut sink, &waker).ok(), outcome);
        let seqs = sink.frames.iter().map(|frame| (frame.first_seq(), frame.end_seq()));
        assert!(seqs.clone().zip(seqs.skip(1)).all(|(one, next)| one.1 == next.0));
        assert!(sink.frames.iter().take(19).all(|frame| !frame.ends_step()));
    }
}

#[test]
fn nothing_is_released_that_is_not_committed() {
    let waker = Waker::new().unwrap();
    let mut host = talker(1000);
    let orders = [vec![Order::None; 30], vec![Order::Handover; 3]].concat();
    let mut sink = Fake { committed: Some(Seq(9)), orders, ..Fake::default() };
    assert_eq!(host.run_live(&mut sink, &waker).unwrap(), End::Handover);
    // Each step is an input and its mark: marks 1, 3, 5 and 7 lie below 9.
    assert_eq!(host.replica().emitted.len(), 4);
    assert!(host.outbox().waiting().all(|o| o.mark.unwrap() >= Seq(9)));
    assert_eq!(sink.frames.last().unwrap().end_seq(), host.next_seq());
    assert!(sink.frames.iter().all(Frame::ends_step));
}

#[test]
fn halting_ends_the_replica_and_tells_why() {
    let waker = Waker::new().unwrap();
    let orders = || vec![Order::None, Order::Pause, Order::Halt];
    let mut host = talker(1000);
    let mut sink = Fake { orders: orders(), committed: Some(Seq(0)), ..Fake::default() };
    assert_eq!(host.run_live(&mut sink, &waker).unwrap(), End::Halted);
    assert!(host.replica().halted);
    let mut host = talker(1000);
    let failure = Some(Error::Level("the disk is gone".into()));
    let mut sink = Fake { orders: orders(), failure, ..Fake::default() };
    assert_eq!(host.run_live(&mut sink, &waker).unwrap_err().to_string(), "the disk is gone");
    assert!(host.replica().halted);
}

#[test]
fn no_step_runs_while_too_much_waits() {
    let waker = Waker::new().unwrap();
    let mut host = Scripted::new(|log, _| {
        log.out().say(Channel(1), vec![0; 5 << 20]);
        Progress::Ran
    });
    let orders = [vec![Order::None; 10], vec![Order::Halt]].concat();
    let mut sink = Fake { committed: Some(Seq(0)), orders, ..Fake::default() };
    host.run_live(&mut sink, &waker).unwrap();
    assert_eq!(host.outbox().said(), 2, "8 MiB may wait, then nothing runs");
}

fn toy_frames() -> Vec<Frame> {
    let world = World::chatty(8, 5);
    let mut host = Host::new(Toy::new(world), Options::default());
    host.go_live(Term(1), Seq(0), 0).unwrap();
    let mut frames = Vec::new();
    while !matches!(host.record_step().unwrap(), Progress::Ended(_)) {
        host.record_digest().unwrap();
        frames.extend(host.seal(Seq(0)));
    }
    frames.extend(host.seal(Seq(0)));
    frames
}

#[test]
fn a_backup_takes_only_frames_that_continue_its_log() {
    let frames = toy_frames();
    let mut host = Host::new(Toy::new(World::new(0)), Options::default());
    host.feed(&frames[0]).unwrap();
    assert!(matches!(host.feed(&frames[0]), Err(Error::Refused(why)) if why.contains("does not continue")));
    assert!(matches!(host.feed(&frames[2]), Err(Error::Refused(_))));
    assert!(matches!(host.replay_step().unwrap(), Replayed::Step(_)));
    assert!(matches!(host.replay_step().unwrap(), Replayed::Sync(_)));
    assert_eq!(host.replay_step().unwrap(), Replayed::Starved);
    host.feed(&frames[1]).unwrap();
    assert_eq!(host.behind_steps(), 1);
    assert!(!host.is_live());
}

/// Rebuilds the frames with one entry changed.
fn with_change(frames: &[Frame], change: impl Fn(&mut gapless_log::Entry, usize)) -> Vec<Frame> {
    let mut builder = FrameBuilder::new(Level::Toy, Term(1), Seq(0), 0);
    let mut n = 0;
    let rebuild = |frame: &Frame| {
        for mut entry in frame.entries() {
            change(&mut entry, n);
            n += 1;
            builder.push(entry.at, entry.kind, &entry.body);
        }
        builder.seal(Seq(0)).unwrap()
    };
    frames.iter().map(rebuild).collect()
}

/// Whatever the log says differently from what the replica does is a divergence or a bad entry, never a panic and never unnoticed.
#[test]
fn every_changed_body_is_noticed() {
    let frames = toy_frames();
    let entries = frames.iter().map(|f| f.entry_count() as usize).sum();
    for victim in 0..entries {
        let changed = with_change(&frames, |entry, n| {
            if n == victim
                && let Some(last) = entry.body.last_mut()
            {
                *last ^= 0x40;
            }
        });
        let mut host = Host::new(Toy::new(World::new(0)), Options::default());
        let fed = changed.iter().try_for_each(|f| host.feed(f));
        fed.unwrap();
        let error = loop {
            match host.replay_step() {
                Ok(Replayed::Ended(_) | Replayed::Starved) => break None,
                Ok(_) => {}
                Err(e) => break Some(e),
            }
        };
        let original: Vec<_> = frames.iter().flat_map(|f| f.entries().collect::<Vec<_>>()).collect();
        // A message without bytes could not be changed; the end's status shows in what is said, not in the digest.
        if original[victim].body.is_empty() {
            continue;
        }
        match error {
            Some(Error::Diverged(Divergence { seq, .. })) => {
                assert!(seq >= Seq(victim as u64), "{seq} before {victim}")
            }
            Some(Error::BadEntry { seq, .. }) => assert_eq!(seq, Seq(victim as u64)),
            other => panic!("entry {victim} ({:?}): {other:?}", original[victim]),
        }
    }
}

#[test]
fn a_resumed_replica_starts_with_its_term() {
    let frames = toy_frames();
    let mut host = Host::new(Toy::new(World::new(3)), Options::default());
    for frame in &frames[..3] {
        host.feed(frame).unwrap();
    }
    while host.replay_step().unwrap() != Replayed::Starved {}
    let waiting: Vec<_> = host.outbox().waiting().cloned().collect();
    host.go_live(Term(6), frames[3].first_seq(), frames[3].chain_before()).unwrap();
    host.replica().world().send(END.to_vec());
    let fresh = host.seal(Seq(0)).remove(0);
    let first = fresh.entries().next().unwrap();
    assert_eq!((first.kind, first.body), (Kind::LIVE, 6u64.to_le_bytes().to_vec()));
    assert_eq!((fresh.term(), fresh.chain_before(), fresh.ends_step()), (Term(6), frames[2].chain_after(), true));
    // What no mark says was released is offered again, first.
    host.release(Seq(u64::MAX)).unwrap();
    let heard = host.replica().world().heard();
    assert_eq!(
        heard.iter().map(|o| o.number).collect::<Vec<_>>(),
        waiting.iter().map(|o| o.number).collect::<Vec<_>>()
    );
}

#[test]
#[should_panic(expected = "cut below the last mark")]
fn a_replica_cannot_go_live_on_a_log_that_lacks_its_last_mark() {
    let frames = toy_frames();
    let mut host = Host::new(Toy::new(World::new(3)), Options::default());
    host.feed(&frames[0]).unwrap();
    while host.replay_step().unwrap() != Replayed::Starved {}
    let mark = host.last_mark().unwrap();
    let _ = host.go_live(Term(2), mark, 0);
}
