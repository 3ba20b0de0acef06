//! A log that begins with a snapshot: made, continued, verified, and never without its snapshot.

mod common;

use common::{fast_dir, image, materialise, small};
use gapless_log::inspect::{EXIT_CORRUPT, EXIT_FINE};
use gapless_log::toy::{Toy, World};
use gapless_log::{
    Base, DirLock, Error, Host, Meta, Options, Progress, Replayed, Replica, Seq, SnapshotReader, SnapshotWriter, Store,
    Term, snapshot_path, verify,
};
use std::io::{Read, Write};
use std::path::Path;

/// A live toy, the log of its first half in no file, and a directory that begins in the middle and holds the rest.
fn sample(dir: &Path) -> (Host<Toy>, i32) {
    let mut host = Host::new(Toy::new(World::chatty(6, 30)), Options::default());
    host.go_live(Term(1), Seq(0), 0).unwrap();
    for _ in 0..25 {
        host.record_step().unwrap();
    }
    let chain = host.seal(Seq(0)).last().unwrap().chain_after();
    let base = Base { seq: host.next_seq(), position: host.replica().position(), chain };
    let lock = DirLock::take(dir).unwrap();
    let meta = Meta { base, ..common::meta() };
    let mut snapshot = SnapshotWriter::create(&lock, &meta).unwrap();
    snapshot.write_all(&host.save().unwrap().unwrap()).unwrap();
    snapshot.finish().unwrap();
    let mut store = Store::create_with(lock, &meta, small(600)).unwrap();
    loop {
        let progress = host.record_step().unwrap();
        host.seal(store.synced()).iter().for_each(|f| store.append(f).unwrap());
        if let Progress::Ended(status) = progress {
            return (host, status);
        }
    }
}

#[test]
fn a_log_goes_on_from_its_snapshot() {
    let dir = fast_dir();
    let (mut original, status) = sample(dir.path());
    assert_eq!(verify(dir.path()).unwrap().exit_status(), EXIT_FINE);
    let (store, found) = Store::open(dir.path()).unwrap();
    assert_eq!(found.truncated, None);
    let base = store.meta().base;
    assert!(base.seq > Seq(0) && store.view().segments().len() > 1);
    assert!(store.common(base.seq, base.chain).unwrap());
    assert_eq!(store.chain_at(Seq(0)).unwrap(), None);

    let mut bytes = Vec::new();
    SnapshotReader::open(dir.path(), &store.meta()).unwrap().read_to_end(&mut bytes).unwrap();
    let mut host = Host::new(Toy::new(World::new(0)), Options::default());
    host.load(&bytes, base.seq, base.chain).unwrap();
    store.reader(base.seq).for_each(|f| host.feed(&f.unwrap()).unwrap());
    let end = loop {
        match host.replay_step().unwrap() {
            Replayed::Step(_) | Replayed::Sync(_) => {}
            end => break end,
        }
    };
    assert_eq!(end, Replayed::Ended(status));
    assert_eq!(host.replica_mut().digest().unwrap(), original.replica_mut().digest().unwrap());
    assert_eq!(host.outbox().said(), original.outbox().said());
}

#[test]
fn a_log_cut_to_nothing_begins_at_its_snapshot_again() {
    let dir = fast_dir();
    sample(dir.path());
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let base = store.meta().base;
    store.cut(base.seq, base.chain).unwrap();
    assert_eq!(store.end(), (base.seq, base.chain));
    drop(store);
    let (store, found) = Store::open(dir.path()).unwrap();
    assert_eq!((found.next, found.chain, found.last_mark), (base.seq, base.chain, None));
    drop(store);
    let meta = Meta { intent: None, ..Meta::load(dir.path()).unwrap().unwrap() };
    let lock = DirLock::take(dir.path()).unwrap();
    meta.store(dir.path()).unwrap();
    Store::wipe(&lock).unwrap();
    assert_eq!(image(dir.path()).keys().collect::<Vec<_>>(), [Path::new("LOCK")]);
}

#[test]
fn every_flipped_bit_of_a_snapshot_is_found() {
    let dir = fast_dir();
    sample(dir.path());
    let files = image(dir.path());
    let meta = Meta::load(dir.path()).unwrap().unwrap();
    let name = snapshot_path(Path::new(""), meta.base.seq);
    for bit in 0..files[&name].len() * 8 {
        let mut changed = files.clone();
        changed.get_mut(&name).unwrap()[bit / 8] ^= 1 << (bit % 8);
        let dir = fast_dir();
        materialise(&changed, dir.path());
        let report = verify(dir.path()).unwrap();
        assert_eq!(report.exit_status(), EXIT_CORRUPT, "bit {bit}: {report}");
        let read = SnapshotReader::open(dir.path(), &meta).map(|mut r| r.read_to_end(&mut Vec::new()));
        match read {
            Err(Error::Corrupt { .. }) => assert!(bit < 64 * 8, "bit {bit}"),
            Ok(Err(e)) => assert_eq!(e.kind(), std::io::ErrorKind::InvalidData, "bit {bit}"),
            other => panic!("bit {bit}: {other:?}"),
        }
    }
    for len in 0..files[&name].len() {
        let mut changed = files.clone();
        changed.get_mut(&name).unwrap().truncate(len);
        let dir = fast_dir();
        materialise(&changed, dir.path());
        assert_eq!(verify(dir.path()).unwrap().exit_status(), EXIT_CORRUPT, "{len} bytes");
    }
}

#[test]
fn without_its_snapshot_such_a_log_is_refused() {
    let dir = fast_dir();
    sample(dir.path());
    let meta = Meta::load(dir.path()).unwrap().unwrap();
    std::fs::remove_file(snapshot_path(dir.path(), meta.base.seq)).unwrap();
    let report = verify(dir.path()).unwrap();
    assert_eq!(report.exit_status(), EXIT_CORRUPT);
    assert!(report.to_string().contains("missing"), "{report}");
    assert!(Store::open(dir.path()).unwrap_err().to_string().contains(".snap"));
}

#[test]
fn a_large_snapshot_comes_back_in_chunks() {
    let dir = fast_dir();
    let lock = DirLock::take(dir.path()).unwrap();
    let meta = common::meta();
    let bytes: Vec<u8> = (0..3_500_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    let mut writer = SnapshotWriter::create(&lock, &meta).unwrap();
    bytes.chunks(70_001).for_each(|piece| writer.write_all(piece).unwrap());
    assert!(SnapshotReader::open(dir.path(), &meta).is_err(), "it has no name yet");
    writer.finish().unwrap();
    let mut read = Vec::new();
    SnapshotReader::open(dir.path(), &meta).unwrap().read_to_end(&mut read).unwrap();
    assert!(read == bytes);
    let other = Meta { uuid: 5, ..meta };
    let error = SnapshotReader::open(dir.path(), &other).unwrap_err().to_string();
    assert!(error.contains("another log"), "{error}");
}
