//! What the fuzz targets do with bytes; the stable `fuzz_smoke` test does the same.
#![allow(dead_code, reason = "each target uses one of them")]

use gapless_log::inspect::{EXIT_FINE, Plain, Range};
use gapless_log::{
    Frame, Index, LogView, Mark, Meta, Reader, SegmentHeader, Seq, Store, boot_id, cat, segment_path, stat, verify,
};
use std::path::Path;

/// Feeds every decoder; what is accepted must be what would be written.
pub fn decode(bytes: &[u8]) {
    if let Ok(frame) = Frame::decode(bytes) {
        assert_eq!(frame.bytes(), &bytes[..frame.len()]);
        assert_eq!(frame.entries().count(), frame.entry_count() as usize);
        assert!(frame.last_position() >= frame.first_position() && frame.end_seq() > frame.first_seq());
        for entry in frame.entries() {
            let _ = Mark::decode(&entry.body);
        }
    }
    if let Ok(header) = SegmentHeader::decode(bytes) {
        assert_eq!(header.encode(), bytes[..64]);
    }
    if let Ok(index) = Index::decode(bytes) {
        let again = index.encode();
        assert_eq!(again, bytes[..again.len()]);
    }
    if let Ok(meta) = Meta::decode(bytes) {
        assert_eq!(meta.encode(), bytes);
    }
    let _ = Index::decode_tail(bytes);
    let mut reader = Reader::new(bytes);
    while reader.varint().is_some() {}
}

/// Bytes as a log directory. Two bytes say where to split the rest. The third is 0xff if the second part is a meta; else that part is a
/// segment whose number are the third byte's lower 7 bits, and the highest bit says that the machine was not restarted.
pub fn recover(bytes: &[u8]) {
    let shm = Path::new("/dev/shm");
    let dir = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
    let dir = dir.expect("a directory for temporary files");
    let [a, b, c, rest @ ..] = bytes else { return };
    let split = (usize::from(*a) << 8 | usize::from(*b)).min(rest.len());
    let (first, second) = rest.split_at(split);
    let meta = if *c == 0xff { second.to_vec() } else { good_meta(*c & 0x80 != 0).encode() };
    let write = |path: &Path, bytes: &[u8]| std::fs::write(path, bytes).expect("writing a temporary file");
    write(&dir.path().join("meta"), &meta);
    write(&segment_path(dir.path(), Seq(0)), first);
    if *c != 0xff && !second.is_empty() {
        write(&segment_path(dir.path(), Seq(u64::from(*c & 0x7f))), second);
    }
    check(dir.path());
}

/// A meta that fits the golden log, of this boot or of an earlier one.
fn good_meta(this_boot: bool) -> Meta {
    let golden = Meta::decode(include_bytes!("../golden/v1/meta")).expect("the golden meta is good");
    let boot = if this_boot { boot_id().expect("the kernel has a boot id") } else { golden.boot };
    Meta { boot, ..golden }
}

/// Looking, opening and verifying must agree on a directory, whatever is in it.
pub fn check(dir: &Path) {
    let before = verify(dir);
    let _ = stat(dir, &Plain);
    if let Ok(lines) = cat(dir, Range::default(), &Plain) {
        let _ = lines.count();
    }
    let looked = LogView::open(dir).map(|(view, found)| (view.end(), found.truncated.is_some()));
    let opened = Store::open(dir);
    assert_eq!(looked.is_ok(), opened.is_ok(), "reading and writing disagree: {looked:?}, {opened:?}");
    let Ok((store, found)) = opened else {
        assert!(before.is_err() || before.is_ok_and(|r| r.exit_status() != EXIT_FINE), "refused a log that verifies");
        return;
    };
    assert_eq!(looked.expect("compared above"), (store.end(), found.truncated.is_some()));
    let whole = store.reader(Seq(0)).all(|f| f.is_ok());
    drop(store);
    let again = Store::open(dir).expect("what was opened opens again").1;
    assert_eq!((again.next, again.chain, again.truncated), (found.next, found.chain, None));
    let after = verify(dir).expect("what was opened can be read");
    assert!(!whole || after.torn_tail.is_none(), "{after}");
}
