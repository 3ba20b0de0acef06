//! The store: what is appended is read back, across segments, reopening, cutting, and by readers that follow.

mod common;

use common::{Steps, create, frames, open, small};
use gapless_log::{CommitLevel, DirLock, Error, FileSink, LogView, Meta, Seq, Sink, Store, Waker};
use std::time::Duration;

fn refused(error: Error) -> String {
    assert!(matches!(error, Error::Refused(_)), "{error}");
    error.to_string()
}

#[test]
fn what_is_appended_is_read_back_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let mut steps = Steps::new(1);
    let mut store = create(dir.path(), small(4096));
    let mut all = Vec::new();
    for round in 0..5 {
        for frame in steps.steps(40, 200) {
            store.append(&frame).unwrap();
            all.push(frame);
        }
        assert_eq!(frames(&store), all);
        drop(store);
        let found;
        (store, found) = open(dir.path(), small(4096)).unwrap();
        assert_eq!(found.truncated, None, "round {round}");
        assert_eq!((found.next, found.chain), store.end());
        assert_eq!(found.next, all.last().unwrap().end_seq());
        let mark = found.last_mark.unwrap();
        assert_eq!((mark.seq.next(), mark.next, mark.chain), (found.next, found.next, found.chain));
        assert_eq!(frames(&store), all);
    }
    let segments = std::fs::read_dir(dir.path()).unwrap().count() - 2;
    assert!(segments > 5, "{segments} segments");
}

#[test]
fn reading_starts_at_any_entry() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path(), small(150_000));
    let all = Steps::new(2).steps(1500, 600);
    all.iter().for_each(|f| store.append(f).unwrap());
    let (view, _) = LogView::open(dir.path()).unwrap();
    for seq in (0..store.end().0.0).step_by(17).map(Seq) {
        let first = view.reader(seq).next().unwrap().unwrap();
        assert!(first.first_seq() <= seq && seq < first.end_seq());
    }
    for frame in &all {
        assert_eq!(view.chain_at(frame.end_seq()).unwrap(), Some(frame.chain_after()));
        assert!(store.common(frame.first_seq(), frame.chain_before()).unwrap());
        assert!(!store.common(frame.first_seq(), 1).unwrap());
        if frame.entry_count() > 1 {
            assert_eq!(view.chain_at(frame.first_seq().next()).unwrap(), None);
        }
        let before = view.seq_before(frame.last_position());
        assert!(before <= frame.end_seq());
        let at = view.reader(before).next().unwrap().unwrap();
        assert!(at.first_position() <= frame.last_position());
    }
    assert_eq!(view.chain_at(Seq(1 << 40)).unwrap(), None);
    assert!(view.reader(store.end().0).next().is_none());
}

#[test]
fn a_reader_follows_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path(), small(4096));
    let mut reader = store.reader(Seq(0));
    for frame in Steps::new(3).steps(300, 100) {
        assert!(reader.next().is_none());
        store.append(&frame).unwrap();
        assert_eq!(reader.next().unwrap().unwrap(), frame);
    }
    assert_eq!(reader.next_seq(), store.end().0);
}

#[test]
fn a_cut_log_goes_on_differently() {
    let source = Steps::new(4).steps(60, 300);
    for keep in 0..=source.len() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = create(dir.path(), small(3000));
        source.iter().for_each(|f| store.append(f).unwrap());
        store.sync().unwrap();
        let mut reader = store.reader(Seq(0));
        reader.next();
        let (seq, chain) = source.get(keep).map_or(store.end(), |f| (f.first_seq(), f.chain_before()));
        store.cut(seq, chain).unwrap();
        assert_eq!(store.end(), (seq, chain));
        assert_eq!(store.synced(), seq);
        if keep < source.len() {
            refused(reader.next().unwrap().unwrap_err());
        }
        assert_eq!(frames(&store), source[..keep]);
        let mut other = Steps::new(5);
        let level = gapless_log::Level::Toy;
        other.builder = gapless_log::FrameBuilder::new(level, gapless_log::Term(2), seq, chain);
        other.position = 1 << 20;
        let more = other.steps(30, 300);
        more.iter().for_each(|f| store.append(f).unwrap());
        let expected: Vec<_> = source[..keep].iter().chain(&more).cloned().collect();
        assert_eq!(frames(&store), expected);
        drop(store);
        let (store, found) = open(dir.path(), small(3000)).unwrap();
        assert_eq!(found.truncated, None);
        assert_eq!(frames(&store), expected);
    }
}

#[test]
fn what_does_not_belong_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path(), small(1 << 20));
    let all = Steps::new(6).steps(3, 30);
    store.append(&all[0]).unwrap();
    assert!(refused(store.append(&all[2]).unwrap_err()).contains("is next"));
    assert!(refused(store.append(&all[0]).unwrap_err()).contains("is next"));
    let other = Steps::new(7).steps(9, 30);
    let twin = other.iter().find(|f| f.first_seq() == all[1].first_seq());
    if let Some(twin) = twin {
        assert!(refused(store.append(twin).unwrap_err()).contains("chain"));
    }
    store.append(&all[1]).unwrap();
    assert!(refused(store.cut(Seq(1 << 30), 0).unwrap_err()).contains("cannot be cut"));
    assert!(refused(Store::create(dir.path(), gapless_log::Level::Toy).unwrap_err()).contains("in use"));
    assert!(DirLock::is_held(dir.path()));
    drop(store);
    assert!(!DirLock::is_held(dir.path()));
    assert!(refused(Store::create(dir.path(), gapless_log::Level::Toy).unwrap_err()).contains("already holds"));
    let empty = tempfile::tempdir().unwrap();
    assert!(refused(Store::open(empty.path()).unwrap_err()).contains("holds no log"));
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_with_an_unresolved_put_is_never_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(dir.path(), small(1 << 20));
    let lock = store.into_lock();
    assert!(refused(Store::wipe(&lock).unwrap_err()).contains("unresolved put"));
    let meta = Meta { intent: None, ..Meta::load(dir.path()).unwrap().unwrap() };
    meta.store(dir.path()).unwrap();
    Store::wipe(&lock).unwrap();
    assert_eq!(Meta::load(dir.path()).unwrap(), None);
    Store::create_with(lock, &meta, small(1 << 20)).unwrap();
}

#[test]
fn a_file_sink_commits_what_its_level_promises() {
    for level in [CommitLevel::Received, CommitLevel::Durable] {
        let dir = tempfile::tempdir().unwrap();
        let waker = Waker::new().unwrap();
        let mut sink = FileSink::new(create(dir.path(), small(4096)), level, waker.clone()).unwrap();
        let all = Steps::new(8).steps(200, 100);
        for frame in &all {
            let end = frame.end_seq();
            sink.append(frame.clone()).unwrap();
            while sink.committed() < end {
                assert_eq!(level, CommitLevel::Durable);
                waker.reset();
                if sink.committed() < end {
                    waker.wait(Duration::from_secs(5));
                }
            }
            assert!(sink.committed() >= end && (level == CommitLevel::Received || sink.synced() >= end));
        }
        let store = sink.close().unwrap();
        assert_eq!(store.synced(), all.last().unwrap().end_seq());
        assert_eq!(frames(&store), all);
    }
}

/// As a child that was forked just before its parent was killed does.
#[test]
fn a_lock_that_is_given_back_in_a_moment_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let held = DirLock::take(dir.path()).unwrap();
    assert!(DirLock::take(dir.path()).unwrap_err().to_string().contains("in use by another process"));
    let thread = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        drop(held);
    });
    DirLock::take(dir.path()).unwrap();
    thread.join().unwrap();
}
