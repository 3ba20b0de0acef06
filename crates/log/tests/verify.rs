//! `verify` finds every changed byte, opening refuses or cuts off exactly what it may, and looking never modifies.

mod common;

use common::{Steps, fast_dir, image, materialise, small};
use gapless_log::disk::{Dice, Image};
use gapless_log::inspect::{Body, EXIT_CORRUPT, EXIT_FINE, EXIT_TORN_TAIL, Plain, Range, Render};
use gapless_log::toy::{Toy, World};
use gapless_log::{
    CommitLevel, End, Entry, Error, FileSink, FrameBuilder, Host, Kind, Level, LogView, Meta, Options, Position,
    Replayed, Seq, Store, Term, Waker, cat, stat, verify,
};
use std::path::{Path, PathBuf};

/// Frames of the sample.
const FRAMES: usize = 12;
/// So many of them were durable when the next was made.
const SYNCED: usize = 10;

/// Two sealed segments and an open one, each with a few frames.
fn sample() -> (Image, Vec<gapless_log::Frame>) {
    let dir = fast_dir();
    let mut steps = Steps::new(11);
    let mut store = common::create(dir.path(), small(650));
    let mut all = Vec::new();
    for n in 0..FRAMES {
        let frame = steps.step(30);
        store.append(&frame).unwrap();
        all.push(frame);
        if n == SYNCED - 1 {
            // The frames before are known to be durable from here on.
            steps.synced = store.end().0;
        }
    }
    drop(store);
    let image = image(dir.path());
    assert_eq!(image.keys().filter(|p| p.extension().is_some()).count(), 3);
    (image, all)
}

/// What verification says of an image, having checked that looking changed nothing.
fn status(image: &Image) -> i32 {
    let dir = fast_dir();
    materialise(image, dir.path());
    let report = verify(dir.path()).unwrap();
    report.exit_status()
}

/// How many frames can be read after opening; `None` if it is refused. What can be read is always a prefix.
fn readable(image: &Image, all: &[gapless_log::Frame]) -> Option<usize> {
    let dir = fast_dir();
    materialise(image, dir.path());
    let (store, found) = match Store::open(dir.path()) {
        Ok(opened) => opened,
        Err(Error::Corrupt { .. } | Error::Refused(_)) => {
            assert_eq!(common::image(dir.path()), *image, "a refused log was modified");
            return None;
        }
        Err(e) => panic!("{e}"),
    };
    let frames: Vec<_> = store.reader(Seq(0)).map_while(Result::ok).collect();
    assert_eq!(frames, all[..frames.len()]);
    // A sealed segment is believed to its index when it is opened; reading finds what is wrong in it.
    let error = store.reader(Seq(0)).find_map(Result::err);
    assert_eq!(error.is_none(), found.next == frames.last().map_or(Seq(0), |f| f.end_seq()), "{error:?}");
    drop(store);
    Some(frames.len())
}

fn last_segment(image: &Image) -> PathBuf {
    image.keys().rfind(|p| p.extension().is_some()).unwrap().clone()
}

#[test]
fn every_flipped_bit_is_found() {
    let (image, all) = sample();
    assert_eq!(status(&image), EXIT_FINE);
    assert_eq!(readable(&image, &all), Some(all.len()));
    let tail = image[&last_segment(&image)].len() - all.last().unwrap().len();
    let mut flips = 0;
    for (path, bytes) in &image {
        for bit in 0..bytes.len() * 8 {
            let mut changed = image.clone();
            changed.get_mut(path).unwrap()[bit / 8] ^= 1 << (bit % 8);
            let torn = *path == last_segment(&image) && bit / 8 >= tail;
            let expected = if torn { EXIT_TORN_TAIL } else { EXIT_CORRUPT };
            assert_eq!(status(&changed), expected, "bit {bit} of {}", path.display());
            if bit % 8 == 3 {
                let left = readable(&changed, &all);
                assert_eq!(torn, left == Some(all.len() - 1), "bit {bit} of {}: {left:?}", path.display());
            }
            flips += 1;
        }
    }
    assert!(flips > 10_000, "{flips} flips");
}

#[test]
fn looking_modifies_nothing() {
    let (image, _) = sample();
    for path in image.keys().filter(|p| !image[*p].is_empty()) {
        for at in (0..image[path].len()).step_by(7) {
            let mut changed = image.clone();
            changed.get_mut(path).unwrap()[at] ^= 1;
            changed.insert("meta.new".into(), b"left over".to_vec());
            let dir = fast_dir();
            materialise(&changed, dir.path());
            let (a, b) = (verify(dir.path()).is_ok(), stat(dir.path(), &Plain).is_ok());
            let c = cat(dir.path(), Range::default(), &Plain)
                .and_then(Iterator::collect::<gapless_log::Result<Vec<_>>>)
                .is_ok();
            assert!(a && b == c, "byte {at} of {}", path.display());
            assert_eq!(common::image(dir.path()), changed);
        }
    }
}

#[test]
fn every_replaced_run_of_bytes_is_found() {
    let (image, _) = sample();
    let mut dice = Dice(5);
    for n in 0..3000 {
        let mut changed = image.clone();
        let path = image.keys().filter(|p| !image[*p].is_empty()).nth(dice.below(4)).unwrap();
        let bytes = changed.get_mut(path).unwrap();
        let from = dice.below(bytes.len());
        let to = bytes.len().min(from + 1 + dice.below(100));
        let zeros = dice.coin();
        bytes[from..to].iter_mut().for_each(|b| *b = if zeros { 0 } else { dice.roll() as u8 });
        if changed != image {
            assert_ne!(status(&changed), EXIT_FINE, "round {n}: {} {from}..{to}", path.display());
        }
    }
}

#[test]
fn a_log_that_ends_early_has_a_torn_tail_and_one_with_a_hole_is_corrupt() {
    let (image, all) = sample();
    for (path, bytes) in image.iter().filter(|(p, _)| p.extension().is_some()) {
        let last = *path == last_segment(&image);
        for len in 0..bytes.len() {
            let mut changed = image.clone();
            changed.get_mut(path).unwrap().truncate(len);
            let at_frame_end = last && (len == 64 || frame_ends(&image, path).contains(&len));
            let expected = match (last, at_frame_end) {
                (true, true) => EXIT_FINE,
                (true, false) => EXIT_TORN_TAIL,
                (false, _) => EXIT_CORRUPT,
            };
            assert_eq!(status(&changed), expected, "{len} bytes of {}", path.display());
            assert_eq!(last, readable(&changed, &all).is_some(), "{len} bytes of {}", path.display());
        }
        let mut longer = image.clone();
        longer.get_mut(path).unwrap().extend([0; 10]);
        assert_eq!(status(&longer), if last { EXIT_TORN_TAIL } else { EXIT_CORRUPT });
        let mut missing = image.clone();
        missing.remove(path);
        assert_eq!(status(&missing), if last { EXIT_FINE } else { EXIT_CORRUPT });
    }
    let mut odd = image.clone();
    odd.insert("1.seg".into(), Vec::new());
    assert_eq!(status(&odd), EXIT_CORRUPT);
    odd = image.clone();
    odd.insert("LOCK".into(), vec![0]);
    assert_eq!(status(&odd), EXIT_CORRUPT);
}

/// Offsets in a segment at which frames end.
fn frame_ends(image: &Image, path: &Path) -> Vec<usize> {
    let bytes = &image[path];
    let mut at = 64;
    let mut ends = Vec::new();
    while let Ok(frame) = gapless_log::Frame::decode(&bytes[at..]) {
        at += frame.len();
        ends.push(at);
    }
    ends
}

/// After the machine itself went down, a disk may have kept later frames and lost earlier ones: only what was synced must be there.
#[test]
fn after_a_power_cut_a_hole_behind_what_was_synced_is_a_torn_tail() {
    let (mut image, all) = sample();
    let meta = Meta { boot: 1, ..common::meta() };
    image.insert("meta".into(), meta.encode());
    assert_eq!(status(&image), EXIT_FINE);
    let path = last_segment(&image);
    let ends = frame_ends(&image, &path);
    let first = all.len() - ends.len();
    assert!(first < SYNCED && first + 2 < FRAMES, "segments start elsewhere: {ends:?}");
    for (n, end) in ends.iter().enumerate() {
        let mut changed = image.clone();
        changed.get_mut(&path).unwrap()[end - 1] ^= 1;
        // The frames before SYNCED were synced before the others were made, and those say so.
        let lost = first + n;
        let expected = if lost >= SYNCED { EXIT_TORN_TAIL } else { EXIT_CORRUPT };
        assert_eq!(status(&changed), expected, "frame {lost}");
        assert_eq!(readable(&changed, &all), (lost >= SYNCED).then_some(lost));
    }
}

/// The end is synced before the last mark is written, which says so; that mark's own frame is all that may be taken for a torn tail.
#[test]
fn of_a_log_that_has_ended_only_the_closing_mark_can_be_torn() {
    let dir = fast_dir();
    let waker = Waker::new().unwrap();
    let store = common::create(dir.path(), small(1 << 20));
    let mut sink = FileSink::new(store, CommitLevel::Received, waker.clone()).unwrap();
    let mut host = Host::new(Toy::new(World::chatty(4, 12)), Options { frame_bytes: 1, ..Options::default() });
    host.go_live(Term(1), Seq(0), 0).unwrap();
    let End::Exited(exit) = host.run_live(&mut sink, &waker).unwrap() else { panic!("it ends by itself") };
    let store = sink.close().unwrap();
    let all = common::frames(&store);
    drop(store);
    let last = all.last().unwrap();
    assert_eq!((last.entries().count(), last.synced()), (1, last.first_seq()), "one mark, everything before it synced");
    let mut image = image(dir.path());
    let path = last_segment(&image);
    let closing = image[&path].len() - last.len();
    for rebooted in [false, true] {
        if rebooted {
            let meta = Meta { boot: 1, ..Meta::decode(&image[Path::new("meta")]).unwrap() };
            image.insert("meta".into(), meta.encode());
        }
        for byte in 0..image[&path].len() {
            let mut changed = image.clone();
            changed.get_mut(&path).unwrap()[byte] ^= 1;
            let expected = if byte < closing { EXIT_CORRUPT } else { EXIT_TORN_TAIL };
            assert_eq!(status(&changed), expected, "byte {byte}, closing mark from {closing}, rebooted: {rebooted}");
        }
    }
    // Without it every step is still there, the last one too.
    let mut again = Host::new(Toy::new(World::new(0)), Options::default());
    let mut found = None;
    for frame in &all[..all.len() - 1] {
        again.feed(frame).unwrap();
        loop {
            match again.replay_step().unwrap() {
                Replayed::Step(_) | Replayed::Sync(_) => {}
                Replayed::Starved => break,
                Replayed::Ended(status) => {
                    found = Some(status);
                    break;
                }
            }
        }
    }
    assert_eq!(found, Some(exit));
}

struct Names;

impl Render for Names {
    fn kind(&self, kind: Kind) -> Option<&str> {
        (kind == Kind(16)).then_some("noise")
    }

    fn body(&self, entry: &Entry) -> Option<String> {
        (entry.body.len() < 10).then(|| "short".to_owned())
    }
}

#[test]
fn cat_and_stat_show_what_is_there() {
    let (image, all) = sample();
    let dir = fast_dir();
    materialise(&image, dir.path());
    let entries: Vec<_> = all.iter().flat_map(|f| f.entries().collect::<Vec<_>>()).collect();
    let lines: Vec<_> = cat(dir.path(), Range::default(), &Names).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(lines.len(), entries.len());
    for (n, (line, entry)) in lines.iter().zip(&entries).enumerate() {
        assert_eq!((line.seq, line.position, line.bytes), (Seq(n as u64), entry.at, entry.body.len()));
        let fits = match &line.body {
            Body::Mark { said, .. } => entry.kind == Kind::MARK && *said == entry.at.0 && line.kind == "mark",
            Body::Own(own) => {
                let whole: String = entry.body.iter().map(|b| format!("{b:02x}")).collect();
                let short = entry.body.len() < 10;
                line.kind == "noise"
                    && own.text.as_deref() == short.then_some("short")
                    && (own.hex == Some(whole), &own.hex_head, own.truncated) == (true, &None, false)
            }
            _ => false,
        };
        assert!(fits, "{line}");
        assert!(!line.to_string().contains('\n'));
    }
    let middle = Range { from: Seq(3), until: Seq(8), ..Range::default() };
    let some: Vec<_> = cat(dir.path(), middle, &Names).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(some, lines[3..8]);
    let at = entries[entries.len() / 2].at;
    let one = Range { from_position: at, until_position: at, ..Range::default() };
    let some: Vec<_> = cat(dir.path(), one, &Names).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(some, lines.iter().filter(|l| l.position == at).cloned().collect::<Vec<_>>());

    let stat = stat(dir.path(), &Names).unwrap();
    assert_eq!((stat.entries, stat.frames), (entries.len() as u64, all.len() as u64));
    assert_eq!(stat.kinds.iter().map(|k| k.entries).sum::<u64>(), stat.entries);
    assert_eq!(stat.last_mark, Some((Seq(stat.entries - 1), stat.position)));
    assert_eq!((stat.segments.len(), stat.exit_status(), stat.in_use), (3, EXIT_FINE, false));
    assert!(stat.to_string().contains("noise"));
    let report = verify(dir.path()).unwrap();
    assert_eq!((report.frames, report.entries), (stat.frames, stat.entries));
    assert!(report.to_string().contains("nothing is wrong"), "{report}");
}

#[test]
fn the_report_lists_every_damaged_place() {
    let (mut image, _) = sample();
    for (path, bytes) in image.iter_mut().filter(|(p, _)| p.extension().is_some()) {
        assert!(bytes.len() > 200, "{}", path.display());
        bytes[100] ^= 1;
    }
    let dir = fast_dir();
    materialise(&image, dir.path());
    let report = verify(dir.path()).unwrap();
    assert!(report.corrupt.len() >= 3, "{report}");
    let files: std::collections::BTreeSet<_> = report.corrupt.iter().map(|f| f.file.clone()).collect();
    assert_eq!(files.len(), 3);
    let error = LogView::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains(".seg") && error.contains("offset") && error.contains("keep the directory"), "{error}");
}

#[test]
fn a_mark_that_cannot_be_read_is_found() {
    let dir = fast_dir();
    let mut store = common::create(dir.path(), small(1 << 20));
    let mut builder = FrameBuilder::new(Level::Toy, Term(1), Seq(0), 0);
    builder.push(Position(1), Kind::MARK, b"no mark");
    store.append(&builder.seal(Seq(0)).unwrap()).unwrap();
    drop(store);
    let report = verify(dir.path()).unwrap();
    assert_eq!(report.exit_status(), EXIT_CORRUPT, "{report}");
}
