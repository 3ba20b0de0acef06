//! A log is made to begin later while it is written: killed, or without power, or with a failing disk at every operation, it is the log that it was or the
//! one that it was to become, and holds every frame behind the later beginning.

mod common;

use common::{Steps, fast_dir, frames, go_on, image, materialise, prefixes, probed, small};
use gapless_log::disk::{Fault, Probe, Survives, after_crash};
use gapless_log::inspect::{EXIT_FINE, EXIT_TORN_TAIL};
use gapless_log::{Base, DirLock, Error, Frame, LogView, Meta, Position, Result, Seq, SnapshotReader, Store, verify};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

const SEGMENT_BYTES: u64 = 600;
/// The log is shortened to here...
const AT: usize = 9;
/// ... while so many frames follow already, some of which are not synced.
const BEHIND: [usize; 2] = [0, 5];

fn contents() -> Vec<u8> {
    (0..3000u32).map(|n| ((n * n) >> 5) as u8).collect()
}

struct Work {
    store: Store,
    meta: Meta,
    base: Base,
    history: Vec<Frame>,
    probe: Arc<Mutex<Probe>>,
    /// Operations before the log is shortened.
    began: usize,
}

fn prepare(dir: &Path, behind: usize, boot: u128) -> Work {
    let (options, probe) = probed(SEGMENT_BYTES);
    let meta = Meta { boot, ..common::meta() };
    let mut store = Store::create_with(DirLock::take(dir).unwrap(), &meta, options).unwrap();
    let mut steps = Steps::new(3);
    let mut history = steps.steps(AT, 60);
    steps.builder.divide();
    history.extend(steps.steps(behind, 60));
    assert!(history.iter().enumerate().all(|(n, frame)| frame.divides() == (n == AT)));
    history[..AT].iter().for_each(|f| store.append(f).unwrap());
    store.sync().unwrap();
    let last = &history[AT - 1];
    let base = Base { seq: last.end_seq(), position: last.last_position(), chain: last.chain_after() };
    assert_eq!(store.end(), (base.seq, base.chain));
    history[AT..].iter().for_each(|f| store.append(f).unwrap());
    let began = probe.lock().unwrap().ops.len();
    Work { store, meta, base, history, probe, began }
}

impl Work {
    fn shorten(&mut self) -> Result<()> {
        let mut snapshot = self.store.snapshot(self.base)?;
        for piece in contents().chunks(999) {
            snapshot.write_all(piece).map_err(|e| Error::io("writing", "a state", e))?;
        }
        self.store.can_begin_at(self.base)?;
        snapshot.seal()?.install(&Meta { base: self.base, ..self.meta.clone() })?;
        self.store.begin_at(self.base)?.remove()?;
        self.store.sync()
    }
}

fn snapshot_of(store: &Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    SnapshotReader::open(store.dir(), &store.meta()).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// True if it is the shortened log. `durable` frames must be there in any case.
fn judge(dir: &Path, work: &Work, durable: usize, at: &str) -> bool {
    let exit = verify(dir).unwrap().exit_status();
    assert!(exit == EXIT_FINE || exit == EXIT_TORN_TAIL, "{at}: {}", verify(dir).unwrap());
    let (mut store, _) = common::open(dir, small(SEGMENT_BYTES)).unwrap_or_else(|e| panic!("{at}: {e}"));
    let (base, held) = (store.meta().base, frames(&store));
    let shortened = base == work.base;
    let from = if shortened { AT } else { 0 };
    assert!(shortened || base == Base::default(), "{at}: {base:?}");
    assert!(work.history[from..].starts_with(&held) && held.len() + from >= durable, "{at}: {} frames", held.len());
    let snapshots = image(dir).keys().filter(|p| p.to_string_lossy().contains("snap")).count();
    assert_eq!(snapshots, usize::from(shortened), "{at}: only the snapshot that counts stays");
    if shortened {
        assert_eq!(snapshot_of(&store), contents(), "{at}");
        let segments = store.view().segments();
        assert!(segments.first().is_none_or(|s| s.first == base.seq), "{at}");
        let files = image(dir).keys().filter(|p| p.to_string_lossy().ends_with(".seg")).count();
        assert_eq!(files, segments.len(), "{at}: nothing of before is left");
    }
    go_on(&mut store);
    drop(store);
    assert_eq!(verify(dir).unwrap().exit_status(), EXIT_FINE, "{at}");
    shortened
}

#[test]
fn killed_or_without_power_at_every_operation_it_is_the_old_log_or_the_new_one() {
    for (behind, power) in BEHIND.into_iter().flat_map(|behind| [(behind, false), (behind, true)]) {
        let dir = fast_dir();
        let boot = if power { 1 } else { common::meta().boot };
        let mut work = prepare(dir.path(), behind, boot);
        work.shorten().unwrap();
        let ops = work.probe.lock().unwrap().ops.clone();
        let mut met = [0; 2];
        for n in work.began..ops.len() {
            for prefix in prefixes(&ops, n) {
                let ways: Vec<Survives> = match power {
                    false => vec![Survives::Everything],
                    true => (0..6).map(Survives::Some).chain([Survives::Synced]).collect(),
                };
                for survives in ways {
                    let after = fast_dir();
                    materialise(&after_crash(&prefix, survives), after.path());
                    let at = format!("{behind} behind, {} of {} operations, {survives:?}", prefix.len(), ops.len());
                    let durable = if power { AT } else { AT + behind };
                    met[usize::from(judge(after.path(), &work, durable, &at))] += 1;
                }
            }
        }
        println!("{behind} behind, power {power}: {met:?}");
        assert!(met[0] > 3 && met[1] > 3, "{met:?}");
    }
}

#[test]
fn an_error_of_any_operation_leaves_the_old_log_or_the_new_one() {
    for behind in BEHIND {
        let (mut old, mut new) = (0, 0);
        for at in 0.. {
            let dir = fast_dir();
            let mut work = prepare(dir.path(), behind, common::meta().boot);
            let asked = work.probe.lock().unwrap().asked;
            let fault = Fault { at: asked + at, errno: libc::ENOSPC, keep_bytes: 11, for_ever: at % 2 == 0 };
            work.probe.lock().unwrap().fault = Some(fault);
            let done = work.shorten();
            // As if the process had ended.
            let after = fast_dir();
            materialise(&image(dir.path()), after.path());
            let shortened = judge(after.path(), &work, AT + behind, &format!("operation {at} fails"));
            *(if shortened { &mut new } else { &mut old }) += 1;
            if done.is_ok() {
                assert!(shortened);
                break;
            }
        }
        assert!(old > 5 && new > 1, "{old} old, {new} new");
    }
}

#[test]
fn a_state_that_does_not_fit_on_the_disk_leaves_the_log_alive() {
    let dir = fast_dir();
    let mut work = prepare(dir.path(), 5, common::meta().boot);
    let asked = work.probe.lock().unwrap().asked;
    work.probe.lock().unwrap().fault =
        Some(Fault { at: asked + 3, errno: libc::ENOSPC, keep_bytes: 11, for_ever: false });
    assert!(work.shorten().is_err());
    assert!(image(dir.path()).keys().all(|p| !p.to_string_lossy().contains("snap")), "its room is given back");
    go_on(&mut work.store);
    work.shorten().unwrap();
    assert_eq!(work.store.meta().base, work.base);
    assert_eq!(frames(&work.store).len(), 6);
}

#[test]
fn a_log_is_shortened_only_to_where_it_is_divided() {
    let dir = fast_dir();
    let mut work = prepare(dir.path(), 5, common::meta().boot);
    let inside = &work.history[2];
    let base = Base { seq: inside.end_seq(), position: inside.last_position(), chain: inside.chain_after() };
    let begins = work.store.view().segments().iter().any(|s| s.first == base.seq);
    assert!(!begins, "the test wants a place inside a segment");
    assert!(work.store.begin_at(base).unwrap_err().to_string().contains("not divided there"));
    assert_eq!(frames(&work.store), work.history);
}

#[test]
fn readers_go_on_behind_the_beginning_and_are_told_before_it() {
    let dir = fast_dir();
    let mut work = prepare(dir.path(), 5, common::meta().boot);
    let view = work.store.view().clone();
    let (mut behind, mut before, mut crossing) = (view.reader(work.base.seq), view.reader(Seq(0)), view.reader(Seq(0)));
    assert_eq!(behind.next().unwrap().unwrap(), work.history[AT]);
    assert_eq!(before.next().unwrap().unwrap(), work.history[0]);
    for frame in &work.history[..AT] {
        assert_eq!(crossing.next().unwrap().unwrap(), *frame);
    }
    // Another process has looked at it and not yet read it.
    let elsewhere = LogView::open(dir.path()).unwrap().0;
    work.shorten().unwrap();
    assert_eq!(behind.map(Result::unwrap).collect::<Vec<_>>(), work.history[AT + 1..]);
    assert_eq!(crossing.map(Result::unwrap).collect::<Vec<_>>(), work.history[AT..]);
    assert!(before.next().unwrap().unwrap_err().to_string().contains("is gone"));
    assert_eq!(view.reader(Seq(0)).map(Result::unwrap).collect::<Vec<_>>(), work.history[AT..]);
    assert_eq!(view.base(), work.base);
    assert_eq!((view.chain_at(Seq(0)).unwrap(), view.chain_at(work.base.seq).unwrap()), (None, Some(work.base.chain)));
    let gone = elsewhere.reader(Seq(0)).find_map(Result::err).unwrap().to_string();
    assert!(gone.contains("shortened while it was being read"), "{gone}");
    assert_eq!(view.seq_before(Position(0)), work.base.seq);
}

/// Removing takes a while for long logs: until it is done, and if it never is, the log is the shorter one all the same.
#[test]
fn it_is_written_and_opened_while_what_lies_before_is_still_there() {
    let dir = fast_dir();
    let mut work = prepare(dir.path(), 2, common::meta().boot);
    let before = image(dir.path()).len();
    work.store.snapshot(work.base).unwrap().seal().unwrap().install(&Meta { base: work.base, ..work.meta }).unwrap();
    let outdated = work.store.begin_at(work.base).unwrap();
    assert_eq!(image(dir.path()).len(), before + 1, "nothing is removed yet");
    go_on(&mut work.store);
    assert_eq!(frames(&work.store).len(), 3);
    let after = fast_dir();
    materialise(&image(dir.path()), after.path());
    assert_eq!(verify(after.path()).unwrap().exit_status(), EXIT_FINE);
    let (store, _) = common::open(after.path(), small(SEGMENT_BYTES)).unwrap();
    assert_eq!((store.meta().base, frames(&store).len()), (work.base, 3));
    outdated.remove().unwrap();
    assert!(image(dir.path()).len() < before);
    assert_eq!(frames(&work.store).len(), 3);
}

/// Only what lies behind can be cut; what is cut and written again is a log like any other.
#[test]
fn a_shortened_log_is_cut_and_continued() {
    let dir = fast_dir();
    let mut work = prepare(dir.path(), 5, common::meta().boot);
    work.shorten().unwrap();
    let early = &work.history[AT - 2];
    assert!(work.store.cut(early.end_seq(), early.chain_after()).is_err());
    for keep in [AT + 2, AT] {
        let (seq, chain) = (work.history[keep].first_seq(), work.history[keep].chain_before());
        work.store.cut(seq, chain).unwrap();
        assert_eq!(frames(&work.store), work.history[AT..keep]);
    }
    work.history[AT..].iter().for_each(|f| work.store.append(f).unwrap());
    work.store.sync().unwrap();
    assert_eq!(frames(&work.store), work.history[AT..]);
    drop(work.store);
    assert_eq!(verify(dir.path()).unwrap().exit_status(), EXIT_FINE);
}
