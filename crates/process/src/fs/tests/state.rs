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
        // Small contents have no file that a bit could be flipped in.
        for (name, letter) in [("state/large-1", "x"), ("state/large-2", "y")] {
            bench.put(name, letter.repeat(1 << 17));
        }
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
    std::fs::write(files.join("12345-0/gapless-replica-lock"), "").unwrap();
    let one = Fs::new(dir.path()).unwrap();
    let two = Fs::new(dir.path()).unwrap();
    assert_eq!(std::fs::read_dir(&files).unwrap().count(), 2, "the dead one is swept, the living are not");
    drop((one, two));
    assert_eq!(std::fs::read_dir(&files).unwrap().count(), 0);
}

#[test]
fn what_is_not_a_replicas_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let there = |name: &str| dir.path().join("files").join(name);
    let names = ["photos/a", "1-2/a", "12345-0/gapless-replica-lock/a", "new-1-0/1", "file", "8-8/1"];
    for name in names {
        std::fs::create_dir_all(there(name).parent().unwrap()).unwrap();
        std::fs::write(there(name), "precious").unwrap();
    }
    // A dead replica's, and among its files one that is not.
    for name in ["3-3/gapless-replica-lock", "3-3/1", "3-3/letter"] {
        std::fs::create_dir_all(there("3-3")).unwrap();
        std::fs::write(there(name), "").unwrap();
    }
    std::os::unix::fs::symlink(there("3-3"), there("4-4")).unwrap();
    drop(Fs::new(dir.path()).unwrap());
    for name in names {
        assert_eq!(std::fs::read_to_string(there(name)).unwrap(), "precious", "{name}");
    }
    assert!(there("3-3/letter").exists() && !there("3-3/1").exists() && there("4-4").is_symlink());
}

#[test]
fn a_store_is_not_made_among_files_of_others() {
    let check = |name: &str, foreign: bool| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        assert_eq!(super::super::foreign(dir.path()).is_some(), foreign, "{name}");
    };
    check("files/photos/a", true);
    check("files/1-1/a", true);
    check("files/1", true);
    check("files", true);
    check("content/notes", true);
    check("content", true);
    check("content/00112233445566778899aabbccddeeff", false);
    check("files/12-0/gapless-replica-lock", false);
    check("other", false);
}

#[test]
fn a_content_that_does_not_fit_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut fs = Fs::new(dir.path()).unwrap();
    let mut receiving = fs.store.receive(7, 1 << 20).unwrap();
    receiving.put(b"12345").unwrap();
    drop(receiving);
    assert_eq!(std::fs::read_dir(dir.path().join("content")).unwrap().count(), 0);
    let private = std::fs::read_dir(dir.path().join("files")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_dir(private).unwrap().count(), 1, "only the lock");
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

/// Steps that make this name in a new directory `d` of the program's, as only a log of somebody who means harm can.
fn export_of_a_name(name: &[u8], node: Node) -> (Bench, gapless_log::Result<Exported>) {
    let bench = Bench::new();
    bench.put("x", "");
    let (dir, name) = (bench.path("d"), name.to_vec());
    let steps = [step(move |k, cx| {
        unit((|| {
            let at = resolve(k, cx, libc::AT_FDCWD, &dir, Last::Entry)?;
            let dir = create::make_dir(k, cx, &at, 0o755)?;
            let id = create::new_inode(k, cx.pid, dir, node.clone(), 0o4755);
            k.fs.dir_mut(dir).put(&name, Child::Present(id));
            Ok(())
        })())
    })];
    let (mut live, _) = bench.record(&steps, 0);
    let out = bench.dir.path().join("out");
    let exported = live.replica_mut().k.fs.export(&bench.path("d"), &out);
    (bench, exported)
}

#[test]
fn no_name_of_a_log_leaves_the_target() {
    for name in [&b""[..], b".", b"..", b"../escaped", b"/escaped", b"a/b", b"a\0b", &[b'a'; 256]] {
        for node in [Node::Symlink(b"target".to_vec()), Node::Directory(Dir::new(None))] {
            let (bench, exported) = export_of_a_name(name, node);
            let said = exported.expect_err("refused").to_string();
            assert!(said.contains("no name of a file"), "{said}");
            assert!(!bench.dir.path().join("escaped").exists());
            assert_eq!(std::fs::read_dir(bench.dir.path().join("out")).unwrap().count(), 0, "{name:?}");
        }
    }
    let (bench, exported) = export_of_a_name(b"plain", Node::Symlink(b"/etc".to_vec()));
    assert_eq!(exported.unwrap().symlinks, 1);
    assert!(bench.dir.path().join("out/plain").is_symlink());
}

#[test]
fn an_export_writes_over_nothing_and_makes_nobody_root() {
    let bench = bench_with_state();
    let (state, file) = (bench.path("state"), bench.path("state/a"));
    let steps = [step(move |k, cx| {
        unit((|| {
            load_state(k, cx, &state)?;
            let id = resolve(k, cx, libc::AT_FDCWD, &file, Last::Follow)?.existing(k)?;
            k.fs.change_attributes(id, 0, |inode| inode.mode = 0o6755);
            Ok(())
        })())
    })];
    let (mut live, _) = bench.record(&steps, 0);
    let out = bench.dir.path().join("out");
    std::fs::create_dir_all(out.join("there")).unwrap();
    let said = live.replica_mut().k.fs.export(&bench.path("state"), &out).unwrap_err().to_string();
    assert!(said.contains("not an empty directory"), "{said}");
    std::fs::remove_dir_all(&out).unwrap();
    live.replica_mut().k.fs.export(&bench.path("state"), &out).unwrap();
    assert_eq!(std::fs::metadata(out.join("a")).unwrap().permissions().mode() & 0o7777, 0o755);
}
