//! What is read ahead, and that nothing is where nobody goes in order.

use super::super::ahead;
use super::*;
use crate::kernel::input;

/// Asks for these names of a directory of 40 small files, by `way`: entries of the log with the kinds of one name, names ahead, one content, contents
/// ahead.
fn asked(names: &[usize], way: fn(&mut Kernel, &mut Ctx<'_, '_>, &[u8]) -> String) -> [usize; 4] {
    let bench = Bench::new();
    for n in 0..40 {
        bench.put(&format!("d/{n:02}"), format!("file {n}"));
    }
    let paths = names.iter().map(|n| bench.path(&format!("d/{n:02}")));
    let steps: Vec<Step> = paths.map(|path| step(move |k, cx| way(k, cx, &path))).collect();
    let (_, frames) = bench.record(&steps, 0);
    bench.check(&steps);
    [input::HOST_PATH, input::HOST_AHEAD, input::CONTENT, input::CONTENTS]
        .map(|kind| frames.iter().flat_map(|f| f.entries()).filter(|e| e.kind == kind).count())
}

fn look(k: &mut Kernel, cx: &mut Ctx<'_, '_>, path: &[u8]) -> String {
    let found = resolve(k, cx, libc::AT_FDCWD, path, Last::NoFollow).map_err(|_| ()).unwrap();
    format!("{:?}", found.inode.map(|id| size(k, id)))
}

#[test]
fn who_goes_in_order_is_read_ahead_for() {
    // As many as there are names above.
    let [one, none, ..] = asked(&[7], look);
    assert_eq!(none, 0);
    let above = one - 1;
    let all: Vec<usize> = (0..40).collect();
    let [single, ahead, content, _] = asked(&all, look);
    assert!((1..=4).contains(&ahead) && single <= above + 6 && content == 0, "{single} {ahead} {content}");
    let back: Vec<usize> = (0..40).rev().collect();
    assert_eq!(asked(&back, look), [above + 40, 0, 0, 0]);
    // Each content is a head and its bytes.
    let [.., content, ahead] = asked(&all, text);
    assert!((1..=4).contains(&ahead) && content <= 12, "{content} {ahead}");
    assert_eq!(asked(&back, text)[2..], [80, 0]);
}

#[test]
fn who_went_through_one_directory_goes_on_in_the_next() {
    let bench = Bench::new();
    for n in 0..40 {
        bench.put(&format!("d/{n:02}"), format!("file {n}"));
        bench.put(&format!("e/{n:02}"), format!("other {n}"));
    }
    let asked = |dirs: &[&str]| {
        let paths = dirs.iter().flat_map(|dir| (0..40).map(move |n| format!("{dir}/{n:02}")));
        let paths = paths.map(|path| bench.path(&path));
        let steps: Vec<Step> = paths.map(|path| step(move |k, cx| text(k, cx, &path))).collect();
        let (_, frames) = bench.record(&steps, 0);
        [input::HOST_PATH, input::HOST_AHEAD, input::CONTENT, input::CONTENTS]
            .map(|kind| frames.iter().flat_map(|f| f.entries()).filter(|e| e.kind == kind).count())
    };
    let (one, both) = (asked(&["e"]), asked(&["e", "d"]));
    // The directory and its first name, the others; the first content, which is a head and its bytes, the others.
    assert_eq!([0, 1, 2, 3].map(|i| both[i] - one[i]), [2, 1, 2, 1]);
}

#[test]
fn what_is_read_ahead_is_what_is_there() {
    let bench = Bench::new();
    for n in 0..12 {
        // Two have the same content, one is empty, one is large.
        let bytes = [b"file", &[b'0' + n as u8 / 2][..]].concat().repeat(if n == 7 { 20_000 } else { n % 5 });
        bench.put(&format!("d/{n:02}"), bytes);
    }
    let steps: Vec<Step> = (0..12)
        .map(|n| {
            let path = bench.path(&format!("d/{n:02}"));
            step(move |k, cx| show(slurp(k, cx, &path).map(|bytes| gapless_log::hash(&bytes).to_string())))
        })
        .collect();
    let real = |n: usize| std::fs::read(bench.dir.path().join(format!("host/d/{n:02}"))).unwrap();
    let expected: Vec<String> = (0..12).map(|n| gapless_log::hash(&real(n)).to_string()).collect();
    assert_eq!(bench.check(&steps), expected);
}

#[test]
fn a_file_may_be_opened_when_its_directory_is_gone() {
    let bench = Bench::new();
    bench.put("d/a", "one");
    let (a, d) = (bench.path("d/a"), bench.path("d"));
    let steps = [step(move |k, cx| {
        let file = open_at(k, cx, &a, libc::O_PATH).map_err(|_| ()).unwrap();
        let id = inode_of(k, file).map_err(|_| ()).unwrap();
        for (path, is_dir) in [(&a, false), (&d, true)] {
            let at = resolve(k, cx, libc::AT_FDCWD, path, Last::NoFollow).map_err(|_| ()).unwrap();
            create::remove(k, cx, &at, is_dir).map_err(|_| ()).unwrap();
        }
        let count = ahead::opening(k, id);
        unit(ahead::read(k, cx, id, count + 1))
    })];
    assert_eq!(bench.check(&steps), ["ok"]);
}
