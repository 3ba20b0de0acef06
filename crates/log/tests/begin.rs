//! A directory's log is replaced by one that begins with a snapshot: killed, or without power, or with a failing disk at every operation, it holds the old
//! log, a shorter one, an empty one, or the new one, each whole.

mod common;

use common::{Steps, fast_dir, frames, go_on, image, materialise, prefixes, probed, small};
use gapless_log::disk::{Fault, Probe, Survives, after_crash};
use gapless_log::inspect::{EXIT_FINE, EXIT_TORN_TAIL};
use gapless_log::{
    Base, DirLock, Error, Frame, FrameBuilder, Level, Meta, Position, Result, Seq, SnapshotReader, Store, Term, verify,
};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

const SEGMENT_BYTES: u64 = 600;
/// What the old log begins with, if not with nothing.
const OLD: &[u8] = b"an older state";

fn new_base() -> Base {
    Base { seq: Seq(40), position: Position(3000), chain: 0xabcd }
}

fn contents() -> Vec<u8> {
    (0..5000u32).map(|n| ((n * n) >> 5) as u8).collect()
}

/// How the directory looks before.
#[derive(Clone, Copy, Debug)]
struct Before {
    base: Base,
    steps: usize,
}

const BEFORE: [Before; 4] = [
    Before { base: Base { seq: Seq(0), position: Position(0), chain: 0 }, steps: 0 },
    Before { base: Base { seq: Seq(0), position: Position(0), chain: 0 }, steps: 14 },
    Before { base: Base { seq: Seq(7), position: Position(10), chain: 77 }, steps: 14 },
    // At the same number, but of another history: the same name for another snapshot.
    Before { base: Base { seq: Seq(40), position: Position(2990), chain: 78 }, steps: 14 },
];

struct Work {
    store: Store,
    meta: Meta,
    old: Vec<Frame>,
    probe: Arc<Mutex<Probe>>,
    /// Operations before the log is replaced.
    began: usize,
}

fn prepare(dir: &Path, before: Before, boot: u128) -> Work {
    let (options, probe) = probed(SEGMENT_BYTES);
    let plain = Meta { intent: None, boot, ..common::meta() };
    let mut store = Store::create_with(DirLock::take(dir).unwrap(), &plain, options).unwrap();
    let mut meta = plain;
    if before.base != Base::default() {
        meta.base = before.base;
        let mut old = store.snapshot(meta.base).unwrap();
        old.write_all(OLD).unwrap();
        store.begin_with(&meta, old).unwrap();
    }
    let mut steps = Steps::new(3);
    steps.builder = FrameBuilder::new(Level::Toy, Term(1), before.base.seq, before.base.chain);
    steps.position = before.base.position.0;
    let old = steps.steps(before.steps, 60);
    old.iter().for_each(|f| store.append(f).unwrap());
    store.sync().unwrap();
    let began = probe.lock().unwrap().ops.len();
    Work { store, meta, old, probe, began }
}

fn replace(work: &mut Work) -> Result<()> {
    let mut snapshot = work.store.snapshot(new_base())?;
    for piece in contents().chunks(999) {
        snapshot.write_all(piece).map_err(|e| Error::io("writing", "a state", e))?;
    }
    let meta = Meta { base: new_base(), generation: 9, ..work.meta.clone() };
    work.store.begin_with(&meta, snapshot)
}

fn snapshot_of(store: &Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    SnapshotReader::open(store.dir(), &store.meta()).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// Which of the four it is: 0 the old log, 1 a shorter one, 2 nothing, 3 the new one.
fn judge(dir: &Path, before: Before, old: &[Frame], at: &str) -> usize {
    let exit = verify(dir).unwrap().exit_status();
    assert!(exit == EXIT_FINE || exit == EXIT_TORN_TAIL, "{at}: {}", verify(dir).unwrap());
    let (mut store, _) = common::open(dir, small(SEGMENT_BYTES)).unwrap_or_else(|e| panic!("{at}: {e}"));
    let (base, held) = (store.meta().base, frames(&store));
    assert_eq!(store.meta().life, common::meta().life, "{at}: whose directory it is was forgotten");
    let snapshots = image(dir).keys().filter(|p| p.to_string_lossy().contains("snap")).count();
    assert_eq!(snapshots, usize::from(base != Base::default()), "{at}: only the snapshot that counts stays");
    let found = match base {
        b if b == new_base() => {
            assert!(held.is_empty() && snapshot_of(&store) == contents(), "{at}");
            3
        }
        b if b == before.base && held == old => 0,
        b if b == before.base && old.starts_with(&held) => 1,
        b => {
            assert!(b == Base::default() && held.is_empty(), "{at}: {b:?}, {} frames", held.len());
            2
        }
    };
    if base == before.base && base != Base::default() {
        assert_eq!(snapshot_of(&store), OLD, "{at}");
    }
    go_on(&mut store);
    drop(store);
    assert_eq!(verify(dir).unwrap().exit_status(), EXIT_FINE, "{at}");
    found
}

#[test]
fn killed_or_without_power_at_every_operation_it_is_one_of_four_whole_logs() {
    for (i, before) in BEFORE.into_iter().enumerate() {
        for power in [false, true] {
            let dir = fast_dir();
            let boot = if power { 1 } else { common::meta().boot };
            let mut work = prepare(dir.path(), before, boot);
            replace(&mut work).unwrap();
            assert_eq!((work.store.end(), work.store.meta().generation), ((Seq(40), 0xabcd), 9));
            let ops = work.probe.lock().unwrap().ops.clone();
            let mut met = [0; 4];
            for n in work.began..ops.len() {
                for prefix in prefixes(&ops, n) {
                    let ways: Vec<Survives> = match power {
                        false => vec![Survives::Everything],
                        true => (0..6).map(Survives::Some).chain([Survives::Synced]).collect(),
                    };
                    for survives in ways {
                        let after = fast_dir();
                        materialise(&after_crash(&prefix, survives), after.path());
                        let at = format!("{before:?}, {} of {} operations, {survives:?}", prefix.len(), ops.len());
                        met[judge(after.path(), before, &work.old, &at)] += 1;
                    }
                }
            }
            println!("before {i}, power {power}: {met:?}");
            assert!(met[0] > 3 && met[3] > 0, "{met:?}");
        }
    }
}

#[test]
fn an_error_of_any_operation_stops_the_log_and_leaves_one_of_the_four() {
    let mut stopped = 0;
    for before in BEFORE {
        for at in 0.. {
            let dir = fast_dir();
            let mut work = prepare(dir.path(), before, common::meta().boot);
            let asked = work.probe.lock().unwrap().asked;
            let fault = Fault { at: asked + at, errno: libc::ENOSPC, keep_bytes: 11, for_ever: at % 2 == 0 };
            work.probe.lock().unwrap().fault = Some(fault);
            let done = replace(&mut work);
            let Work { store, old, .. } = work;
            drop(store);
            let found = judge(dir.path(), before, &old, &format!("{before:?}, operation {at} fails"));
            match done {
                Ok(()) => {
                    assert_eq!(found, 3);
                    break;
                }
                Err(e) => {
                    stopped += 1;
                    assert!(
                        e.to_string().contains("free on its file system") || e.to_string().contains("a state"),
                        "{e}"
                    );
                }
            }
        }
    }
    assert!(stopped > 40, "{stopped}");
}

#[test]
fn a_directory_with_an_unresolved_put_keeps_its_log() {
    let dir = fast_dir();
    let mut work = prepare(dir.path(), BEFORE[1], common::meta().boot);
    work.meta.intent = Some(b"put".to_vec());
    let refused = replace(&mut work).unwrap_err().to_string();
    assert!(refused.contains("never emptied"), "{refused}");
    assert_eq!(frames(&work.store), work.old);
}

#[test]
fn readers_of_the_old_log_are_told() {
    let dir = fast_dir();
    let mut work = prepare(dir.path(), BEFORE[1], common::meta().boot);
    let (old, mut reader) = (work.store.view().clone(), work.store.reader(Seq(0)));
    assert!(reader.next().unwrap().is_ok());
    replace(&mut work).unwrap();
    assert!(reader.next().unwrap().unwrap_err().to_string().contains("open a new reader"));
    assert!(old.reader(Seq(0)).next().is_none(), "nothing is left of it");
    assert!(work.store.reader(Seq(0)).next().is_none());
    let mut steps = Steps::new(5);
    steps.builder = FrameBuilder::new(Level::Toy, Term(3), Seq(40), 0xabcd);
    steps.position = 3000;
    let frame = steps.step(9);
    work.store.append(&frame).unwrap();
    assert_eq!(
        work.store.reader(Seq(0)).next().unwrap().unwrap(),
        frame,
        "what lies before the log is not asked of it"
    );
}
