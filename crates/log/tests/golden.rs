//! Golden files: a log written by every released format stays readable, and today's writer makes the same bytes as today's golden file.
//!
//! `GAPLESS_BLESS=1 cargo test -p gapless-log --test golden` writes the files anew; do that only together with a new format version.

mod common;

use common::{fast_dir, image, materialise, small};
use gapless_log::disk::Image;
use gapless_log::inspect::{EXIT_FINE, Plain, Range};
use gapless_log::{
    FrameBuilder, INDEX_ROW_BYTES, Kind, Level, LogView, Mark, Meta, Position, Seq, Store, Term, cat, verify,
};
use std::path::{Path, PathBuf};

/// Every format that was ever released.
const VERSIONS: &[&str] = &["v1"];

fn golden(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

/// A log with every kind of entry, three terms, all lengths of varint, two sealed segments and an open one.
fn write(dir: &Path) {
    let meta = Meta { boot: 1, ..common::meta() };
    let lock = gapless_log::DirLock::take(dir).unwrap();
    let mut store = Store::create_with(lock, &meta, small(900)).unwrap();
    let mut mark = Mark::default();
    let mut at = 0;
    for n in 0..10u64 {
        let (next, chain) = store.end();
        let mut builder = FrameBuilder::new(Level::Toy, Term(1 + n / 4), next, chain);
        if n % 4 == 0 && n > 0 {
            builder.push(Position(at), Kind::LIVE, &(1 + n / 4).to_le_bytes());
        }
        for i in 0..n % 3 {
            at += 1 << (n * i * 2);
            let body: Vec<u8> = (0..n * 20 * i).map(|b| b as u8).collect();
            builder.push(Position(at), Kind(16 + (n * i * 100) as u16), &body);
        }
        mark = Mark { released: mark.said, said: mark.said + n, hash: mark.hash * 31 + u128::from(n), ..mark };
        builder.push(Position(at), Kind::MARK, &mark.encode());
        if n == 5 {
            builder.push(Position(at), Kind::SYNC, &[5; 16]);
            builder.push(Position(at), Kind::SNAPSHOT, b"piece");
        }
        let synced = if n > 6 { Seq(4) } else { Seq(0) };
        store.append(&builder.seal(synced).unwrap()).unwrap();
    }
}

/// What `cat` says of a log.
fn text(dir: &Path) -> String {
    let lines = cat(dir, Range::default(), &Plain).unwrap();
    lines.map(|line| format!("{}\n", line.unwrap())).collect()
}

fn files(dir: &Path) -> Image {
    let mut image = image(dir);
    image.remove(Path::new("entries.txt"));
    image
}

#[test]
fn old_logs_stay_readable() {
    for version in VERSIONS {
        let golden = golden(version);
        let dir = fast_dir();
        materialise(&files(&golden), dir.path());
        let report = verify(dir.path()).unwrap();
        assert_eq!(report.exit_status(), EXIT_FINE, "{version}: {report}");
        let expected = std::fs::read_to_string(golden.join("entries.txt")).unwrap();
        assert_eq!(text(dir.path()), expected, "{version}");
        let (view, _) = LogView::open(dir.path()).unwrap();
        assert_eq!(view.meta(), Meta { boot: 1, ..common::meta() });
        let (mut store, found) = Store::open(dir.path()).unwrap();
        assert_eq!(found.truncated, None);
        // And it can be continued.
        let (next, chain) = store.end();
        let mut builder = FrameBuilder::new(Level::Toy, Term(9), next, chain);
        builder.push(Position(u64::MAX), Kind(16), b"more");
        store.append(&builder.seal(Seq(0)).unwrap()).unwrap();
        assert_eq!(store.reader(Seq(0)).last().unwrap().unwrap().term(), Term(9));
    }
}

#[test]
fn today_s_writer_makes_today_s_golden_files() {
    let dir = fast_dir();
    write(dir.path());
    let golden = golden("v1");
    if std::env::var_os("GAPLESS_BLESS").is_some() {
        for (name, bytes) in image(dir.path()) {
            std::fs::write(golden.join(name), bytes).unwrap();
        }
        std::fs::write(golden.join("entries.txt"), text(dir.path())).unwrap();
    }
    let (ours, theirs) = (image(dir.path()), files(&golden));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (name, bytes) in &ours {
        let differs = bytes.iter().zip(&theirs[name]).position(|(a, b)| a != b);
        assert_eq!((differs, bytes.len()), (None, theirs[name].len()), "{}", name.display());
    }
}

/// The numbers that docs/format.md draws.
#[test]
fn the_drawing_has_these_sizes() {
    use gapless_log::{HEADER_BYTES, INDEX_HEADER_BYTES, INDEX_TAIL_BYTES, SEGMENT_HEADER_BYTES};
    let sizes = [HEADER_BYTES, SEGMENT_HEADER_BYTES, INDEX_HEADER_BYTES, INDEX_ROW_BYTES, INDEX_TAIL_BYTES];
    assert_eq!(sizes, [88, 64, 64, 24, 16]);
}
