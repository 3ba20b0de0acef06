//! State directories: shipped whole, guarded by the digest, copied out.

use super::*;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};

fn bench_with_state() -> Bench {
    let bench = Bench::new();
    bench.put("state/a", "alpha");
    bench.put("state/deep/er/b", "beta");
    symlink("deep/er/b", bench.host().join("state/link")).unwrap();
    std::fs::set_permissions(bench.host().join("state/a"), std::fs::Permissions::from_mode(0o640)).unwrap();
    bench
}

#[test]
fn a_state_tree_is_the_programs_own() {
    let bench = bench_with_state();
    let (state, changed, below) = (bench.path("state"), bench.path("state/deep/er/b"), bench.path("state/link"));
    let (p1, p2, p3) = (changed.clone(), below.clone(), bench.path("state/late"));
    let real = bench.host().join("state");
    let steps = [
        step(move |k, cx| unit(load_state(k, cx, &state))),
        step(move |_, cx| {
            if cx.io.is_live() {
                std::fs::write(real.join("late"), "not ours").unwrap();
                std::fs::write(real.join("a"), "changed outside").unwrap();
            }
            String::new()
        }),
        step(move |k, cx| text(k, cx, &p2)),
        step(move |k, cx| unit(put(k, cx, &p1, b"gamma"))),
        step(move |k, cx| text(k, cx, &p3)),
    ];
    let (mut live, frames) = bench.record(&steps, 0);
    std::fs::rename(bench.host(), bench.dir.path().join("gone")).unwrap();
    let mut replayed = bench.replay(&steps, 0, &frames).unwrap();
    assert_eq!(live.replica().answers, ["ok", "", "beta", "ok", "ENOENT"]);
    assert_eq!(live.replica().answers, replayed.replica().answers);
    for (host, name) in [(&mut live, "out1"), (&mut replayed, "out2")] {
        let out = bench.dir.path().join(name);
        host.replica_mut().k.fs.export(&bench.path("state"), &out).unwrap();
        assert_eq!(std::fs::read_to_string(out.join("link")).unwrap(), "gamma");
        assert_eq!(std::fs::read_to_string(out.join("a")).unwrap(), "alpha");
        assert_eq!(std::fs::metadata(out.join("a")).unwrap().permissions().mode() & 0o7777, 0o640);
    }
}

/// Every file that the digest must guard, by directory.
fn flip_one_bit(dir: &Path) -> usize {
    let mut flipped = 0;
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            flipped += flip_one_bit(&path);
        } else if path.metadata().unwrap().len() > 0 {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, 2).unwrap();
            file.write_all_at(&[byte[0] ^ 0x10], 2).unwrap();
            flipped += 1;
        }
    }
    flipped
}

#[test]
fn a_flipped_bit_in_a_state_file_changes_the_digest() {
    for (flip, least) in [("content", 2), ("files", 1)] {
        let bench = bench_with_state();
        let (state, changed) = (bench.path("state"), bench.path("state/new"));
        let steps = [
            step(move |k, cx| unit(load_state(k, cx, &state))),
            step(move |k, cx| unit(put(k, cx, &changed, b"gamma"))),
        ];
        let (mut live, _) = bench.record(&steps, 0);
        let before = live.replica_mut().digest().unwrap();
        assert_eq!(before, live.replica_mut().digest().unwrap());
        assert!(flip_one_bit(&bench.log("primary").join(flip)) >= least);
        assert_ne!(before, live.replica_mut().digest().unwrap(), "a bit flipped below {flip}/ went unseen");
    }
}

#[test]
fn replicas_clean_up_after_themselves_and_after_the_dead() {
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join("files");
    std::fs::create_dir_all(files.join("12345-0")).unwrap();
    std::fs::write(files.join("12345-0/1"), "left by a crash").unwrap();
    let one = Fs::new(dir.path()).unwrap();
    let two = Fs::new(dir.path()).unwrap();
    assert_eq!(std::fs::read_dir(&files).unwrap().count(), 2, "the dead one is swept, the living are not");
    drop((one, two));
    assert_eq!(std::fs::read_dir(&files).unwrap().count(), 0);
}

#[test]
fn a_missing_state_directory_is_refused_with_advice() {
    let bench = Bench::new();
    let path = bench.path("nowhere");
    let steps = [step(move |k, cx| match load_state(k, cx, &path) {
        Err(Fail::Fatal(e)) => e.to_string(),
        _ => "accepted".to_owned(),
    })];
    assert!(bench.check(&steps)[0].ends_with("does not exist; create it first"));
}
