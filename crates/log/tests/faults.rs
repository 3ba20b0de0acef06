//! The store under a disk that fails, tears or loses: a crash at every operation, and an error at every operation.

mod common;

use common::{Steps, fast_dir, materialise, probed, small};
use gapless_log::disk::{Fault, Op, Probe, Survives, after_crash};
use gapless_log::inspect::{EXIT_CORRUPT, EXIT_FINE};
use gapless_log::toy::{Toy, World};
use gapless_log::{
    CommitLevel, DirLock, End, Error, FileSink, Frame, FrameBuilder, Host, Level, Meta, Options, Recovered, Replayed,
    Result, Seq, Store, Term, Waker, verify,
};
use std::path::Path;
use std::sync::{Arc, Mutex};

const SEGMENT_BYTES: u64 = 600;

/// What must be true once a call has returned.
#[derive(Clone, Debug)]
struct Promise {
    /// Operations carried out by then.
    ops: usize,
    /// Everything appended and not cut off.
    history: Vec<Frame>,
    /// So many frames of it are durable.
    durable: usize,
    /// The call may leave anything between the promise before it and this one.
    cut: bool,
}

/// Performs calls and writes down what they promise.
struct Work {
    probe: Arc<Mutex<Probe>>,
    store: Store,
    history: Vec<Frame>,
    promises: Vec<Promise>,
}

impl Work {
    fn create(dir: &Path, meta: &Meta, fault: Option<Fault>) -> Result<Self> {
        let (options, probe) = probed(SEGMENT_BYTES);
        probe.lock().unwrap().fault = fault;
        let store = Store::create_with(DirLock::take(dir)?, meta, options)?;
        let mut work = Self { probe, store, history: Vec::new(), promises: Vec::new() };
        work.promise(false);
        Ok(work)
    }

    fn promise(&mut self, cut: bool) {
        let synced = self.store.synced();
        let durable = self.history.iter().take_while(|f| f.end_seq() <= synced).count();
        let ops = self.probe.lock().unwrap().ops.len();
        self.promises.push(Promise { ops, history: self.history.clone(), durable, cut });
    }

    fn append(&mut self, steps: &mut Steps) -> Result<()> {
        steps.synced = self.store.synced();
        let frame = steps.step(60);
        self.store.append(&frame)?;
        self.history.push(frame);
        self.promise(false);
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.store.sync()?;
        self.promise(false);
        Ok(())
    }

    fn cut(&mut self, keep: usize) -> Result<()> {
        let (seq, chain) = (self.history[keep].first_seq(), self.history[keep].chain_before());
        self.store.cut(seq, chain)?;
        self.history.truncate(keep);
        self.promise(true);
        Ok(())
    }

    /// A life of a log: segments, syncs, a new meta, a cut, another term.
    fn live(&mut self, meta: &Meta, keep: usize) -> Result<()> {
        let mut steps = Steps::new(21);
        for n in 0..14 {
            self.append(&mut steps)?;
            if n % 4 == 3 {
                self.sync()?;
            }
        }
        self.store.store_meta(&Meta { generation: meta.generation + 1, ..meta.clone() })?;
        self.promise(false);
        self.cut(keep)?;
        let (next, chain) = self.store.end();
        steps.builder = FrameBuilder::new(Level::Toy, Term(2), next, chain);
        for _ in 0..6 {
            self.append(&mut steps)?;
        }
        self.sync()?;
        self.cut(keep)?;
        steps.builder = FrameBuilder::new(Level::Toy, Term(3), next, chain);
        for _ in 0..3 {
            self.append(&mut steps)?;
        }
        self.sync()
    }
}

fn open(dir: &Path) -> Result<(Store, Recovered)> {
    common::open(dir, small(SEGMENT_BYTES))
}

/// Opens what a crash has left and checks it against what had been promised.
fn check(ops: &[Op], promises: &[Promise], survives: Survives) {
    let done = promises.iter().rposition(|p| p.ops <= ops.len());
    let next = promises.get(done.map_or(0, |d| d + 1));
    let dir = fast_dir();
    materialise(&after_crash(ops, survives), dir.path());
    let (mut store, found) = match open(dir.path()) {
        Ok(opened) => opened,
        Err(Error::Refused(_)) if done.is_none() => return,
        Err(e) => panic!("after {} operations, {survives:?}: {e}", ops.len()),
    };
    let before = done.map(|d| &promises[d]);
    let frames = common::frames(&store);
    let holds = |p: &&Promise| p.history.starts_with(&frames);
    let at = format!("after {} operations, {survives:?}, {} frames, {found:?}", ops.len(), frames.len());
    assert!(before.iter().any(holds) || next.iter().any(holds) || frames.is_empty(), "{at}: strange frames");
    let cutting = next.is_some_and(|n| n.cut);
    let durable = before.map_or(0, |b| b.durable).min(next.filter(|n| n.cut).map_or(usize::MAX, |n| n.durable));
    assert!(frames.len() >= durable, "{at}: {durable} were durable");
    if survives == Survives::Everything && !cutting {
        let whole = |p: &&Promise| p.history == frames;
        assert!(before.iter().any(whole) || next.iter().any(whole), "{at}: frames are missing");
    }
    // It goes on from there.
    let (seq, chain) = store.end();
    let mut steps = Steps::new(99);
    steps.builder = FrameBuilder::new(Level::Toy, Term(9), seq, chain);
    steps.position = 1 << 30;
    store.append(&steps.step(60)).unwrap();
    store.sync().unwrap();
    drop(store);
    let report = verify(dir.path()).unwrap();
    assert_eq!(report.exit_status(), EXIT_FINE, "{at}: {report}");
}

/// The operations up to `n`, and for a write also those with only a part of it.
fn prefixes(ops: &[Op], n: usize) -> Vec<Vec<Op>> {
    let whole = ops[..=n].to_vec();
    let Op::Write(path, offset, bytes) = &ops[n] else { return vec![whole] };
    let lengths = [1, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1];
    let torn = lengths.into_iter().map(|len| {
        let mut ops = ops[..n].to_vec();
        ops.push(Op::Write(path.clone(), *offset, bytes[..len].to_vec()));
        ops
    });
    torn.chain([whole]).collect()
}

fn crash_everywhere(meta: &Meta, keep: usize, survives: impl Fn(u64) -> Vec<Survives>) {
    let dir = fast_dir();
    let mut work = Work::create(dir.path(), meta, None).unwrap();
    work.live(meta, keep).unwrap();
    let ops = work.probe.lock().unwrap().ops.clone();
    assert!(ops.len() > 60 && work.store.view().segments().len() > 2);
    let mut crashes = 0;
    for n in 0..ops.len() {
        for prefix in prefixes(&ops, n) {
            // A torn write has not been carried out: what its call promises is not owed yet.
            let mut promises = work.promises.clone();
            if prefix[n] != ops[n] {
                promises.iter_mut().filter(|p| p.ops == n + 1).for_each(|p| p.ops = n + 2);
            }
            for how in survives(crashes) {
                check(&prefix, &promises, how);
                crashes += 1;
            }
        }
    }
    assert!(crashes > 150, "{crashes} crashes");
}

#[test]
fn killed_at_every_operation_nothing_written_is_lost() {
    for keep in 5..10 {
        crash_everywhere(&common::meta(), keep, |_| vec![Survives::Everything]);
    }
}

#[test]
fn after_a_power_cut_at_every_operation_nothing_synced_is_lost() {
    let meta = Meta { boot: 1, ..common::meta() };
    for keep in 5..10 {
        crash_everywhere(&meta, keep, |n| {
            let seeds = (0..6).map(|s| Survives::Some(n * 100 + s));
            seeds.chain([Survives::Everything, Survives::Synced]).collect()
        });
    }
}

#[test]
fn an_error_of_any_operation_stops_the_log_and_leaves_it_whole() {
    let meta = common::meta();
    let faults = [(libc::ENOSPC, 10, false), (libc::EIO, 0, false), (libc::EIO, 70, true), (libc::ENOSPC, 0, true)];
    let mut stopped = 0;
    for at in 0.. {
        let mut reached = false;
        for (errno, keep_bytes, for_ever) in faults {
            let dir = fast_dir();
            let fault = Fault { at, errno, keep_bytes, for_ever };
            let (work, error) = match Work::create(dir.path(), &meta, Some(fault)) {
                Err(e) => (None, Some(e)),
                Ok(mut work) => {
                    let error = work.live(&meta, 6).err();
                    (Some(work), error)
                }
            };
            let Some(error) = error else { continue };
            reached = true;
            let text = error.to_string();
            let advice = if errno == libc::ENOSPC { "free some space" } else { "sound disk" };
            assert!(text.contains("free on its file system") && text.contains(advice), "operation {at}: {text}");
            assert!(text.contains(&*dir.path().parent().unwrap().to_string_lossy()), "{text}");
            match work {
                Some(work) => {
                    after_error(work, &error, dir.path(), at);
                    stopped += 1;
                }
                None => assert!(verify(dir.path()).is_err() || for_ever || at > 2),
            }
        }
        if !reached {
            break;
        }
    }
    assert!(stopped > 200, "{stopped} stops");
}

/// Nothing more is appended, everything that was appended is there, and the next opening goes on.
fn after_error(mut work: Work, error: &Error, dir: &Path, at: usize) {
    let meta_failed = matches!(error, Error::Disk { path, .. } if path.ends_with("meta"));
    let cutting = matches!(error, Error::Disk { what: "cutting", .. });
    if !meta_failed {
        let (seq, chain) = work.store.end();
        let mut steps = Steps::new(5);
        steps.builder = FrameBuilder::new(Level::Toy, Term(9), seq, chain);
        let refused = work.store.append(&steps.step(10)).unwrap_err().to_string();
        assert!(refused.contains("stopped by an earlier error"), "operation {at}: {refused}");
        let refused = work.store.sync().unwrap_err().to_string();
        assert!(refused.contains("stopped by an earlier error"), "operation {at}: {refused}");
    }
    if !cutting {
        assert_eq!(common::frames(&work.store), work.history, "operation {at}");
    }
    let history = work.history.clone();
    drop(work);
    assert_ne!(verify(dir).unwrap().exit_status(), EXIT_CORRUPT, "operation {at}");
    let (store, _) = open(dir).unwrap();
    let frames = common::frames(&store);
    assert!(frames == history || (cutting && history.starts_with(&frames)), "operation {at}");
}

/// The whole of it at level durable: the disk fails at any operation, then the power goes too. What the world has heard is in the log.
#[test]
fn at_level_durable_nothing_is_heard_that_a_power_cut_could_take_back() {
    let meta = Meta { boot: 1, ..common::meta() };
    let (mut halted, mut exited) = (0, 0);
    for at in (0..200).step_by(3) {
        let dir = fast_dir();
        let (options, probe) = probed(4096);
        probe.lock().unwrap().fault = Some(Fault { at, errno: libc::EIO, keep_bytes: 9, for_ever: at % 2 == 0 });
        let Ok(store) = Store::create_with(DirLock::take(dir.path()).unwrap(), &meta, options) else { continue };
        let waker = Waker::new().unwrap();
        let mut sink = FileSink::new(store, CommitLevel::Durable, waker.clone()).unwrap();
        let world = World::chatty(at as u64, 20);
        // Every step a frame.
        let options = Options { frame_bytes: 1, ..Options::default() };
        let mut host = Host::new(Toy::new(world.clone()), options);
        host.go_live(Term(1), Seq(0), 0).unwrap();
        match host.run_live(&mut sink, &waker) {
            Ok(End::Exited(_)) => exited += 1,
            Err(Error::Disk { .. }) => halted += 1,
            other => panic!("operation {at}: {other:?}"),
        }
        drop(sink);
        let heard = world.heard();
        let ops = probe.lock().unwrap().ops.clone();
        let after = fast_dir();
        materialise(&after_crash(&ops, Survives::Synced), after.path());
        let (store, _) = common::open(after.path(), small(4096)).unwrap();
        let mut again = Host::new(Toy::new(World::new(0)), Options::default());
        common::frames(&store).iter().for_each(|f| again.feed(f).unwrap());
        // Keep what was said: a world that has heard nothing waits for everything.
        let mut said = Vec::new();
        while let Replayed::Step(_) | Replayed::Sync(_) = again.replay_step().unwrap() {
            said.extend(
                again.outbox().waiting().filter(|o| o.number >= said.len() as u64).cloned().collect::<Vec<_>>(),
            );
        }
        said.extend(again.outbox().waiting().filter(|o| o.number >= said.len() as u64).cloned().collect::<Vec<_>>());
        assert!(said.len() >= heard.len(), "operation {at}: {} heard, {} in the log", heard.len(), said.len());
        assert_eq!(heard, said[..heard.len()], "operation {at}");
    }
    assert!(halted > 10 && exited > 10, "{halted} halted, {exited} exited");
}
