//! Directories and files: what is a user's stays as it is, what a program wrote can be had, and what is printed is either whole or an error.

mod support;

use gapless_log::{FrameBuilder, Kind, LogView, Seq, Store, StoreOptions};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use support::process::{Done, Process};
use support::{Area, Job, python};

fn run(area: &Area, args: &[&str]) -> Done {
    let mut command = area.gapless(area.path(), args);
    command.env("TMPDIR", area.folder("tmp"));
    Process::start(command, &area.join("run")).finish()
}

/// Records `sh -c script` in the folder `work`, which is its state, and answers the log.
fn recorded(area: &Area, script: &str) -> PathBuf {
    let (log, work) = (area.join("log"), area.folder("work"));
    let job = Job { states: vec![work.clone()], ..Job::new(&work, ["sh", "-c", script]) };
    let done = Process::start(area.record(&log, &job), &area.join("record")).finish();
    assert_eq!(done.code(), 0, "{}", done.stderr_text());
    log
}

/// Everything below a directory: names, sizes, modes, times.
fn listing(dir: &Path) -> BTreeMap<PathBuf, (u64, u32, i64, i64)> {
    let mut all = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for path in fs::read_dir(&dir).expect("a directory").map(|e| e.expect("an entry").path()) {
            let m = path.symlink_metadata().expect("it is there");
            if m.is_dir() {
                todo.push(path.clone());
            }
            all.insert(path, (m.len(), m.mode(), m.mtime(), m.mtime_nsec()));
        }
    }
    all
}

#[test]
fn a_directory_that_is_no_log_is_left_alone() {
    let area = Area::new("foreign");
    let own = area.folder("own");
    for file in ["files/photos/a", "files/1-1/1", "content/notes"] {
        fs::create_dir_all(own.join(file).parent().expect("a folder")).expect("a folder");
        fs::write(own.join(file), "precious").expect("a file");
    }
    let before = listing(&own);
    let register = format!("file:{}", area.join("register").display());
    let commands: [(&[&str], &str); 7] = [
        (&["replay", "own"], "holds no log"),
        (&["resume", "own"], "holds no log"),
        (&["export", "own", "--to", "out"], "holds no log"),
        (&["resume", "own", "--arbiter", &register], "holds no log"),
        (&["record", "--log", "own", "--", "true"], "name an empty directory"),
        (&["run", "--log", "own", "--arbiter", &register, "--", "true"], "name an empty directory"),
        (&["backup", "--log", "own", "--arbiter", &register, "--listen", "127.0.0.1:0"], "name an empty directory"),
    ];
    for (args, says) in commands {
        let done = run(&area, args);
        assert_eq!(done.code(), 125, "{args:?}: {}", done.stderr_text());
        assert!(done.stderr_text().contains(says), "{args:?}: {}", done.stderr_text());
        assert_eq!(listing(&own), before, "{args:?}");
    }
    for args in [&["replay", "nowhere"][..], &["resume", "nowhere"], &["export", "nowhere", "--to", "out"]] {
        assert_eq!(run(&area, args).code(), 125, "{args:?}");
        assert!(!area.join("nowhere").exists() && !area.join("out").exists(), "{args:?}");
    }
}

#[test]
fn whoever_only_reads_a_log_changes_nothing_in_it() {
    let area = Area::new("readonly");
    let log = recorded(&area, "echo text > a; cat a");
    fs::create_dir_all(log.join("files/photos")).expect("a folder");
    fs::write(log.join("files/photos/a"), "precious").expect("a file");
    let before = listing(&log);
    for args in [&["replay", "log", "--digest"][..], &["export", "log", "--to", "out"], &["log", "cat", "log"]] {
        assert_eq!(run(&area, args).code(), 0, "{args:?}");
        assert_eq!(listing(&log), before, "{args:?}");
        assert_eq!(fs::read_dir(area.folder("tmp")).expect("a directory").count(), 0, "{args:?} leaves nothing");
    }
    assert_eq!(run(&area, &["resume", "log"]).code(), 0);
    assert!(log.join("files/photos/a").exists());
}

#[test]
fn a_replay_that_is_interrupted_leaves_nothing() {
    let area = Area::new("interrupted");
    recorded(&area, "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i > a; done");
    let mut command = area.gapless(area.path(), ["replay", "log"]);
    command.env("TMPDIR", area.folder("tmp"));
    let mut replay = Process::start(command, &area.join("run"));
    while fs::read_dir(area.join("tmp")).expect("a directory").count() == 0 && !replay.ended() {}
    support::process::kill(replay.pid(), libc::SIGTERM);
    replay.finish();
    assert_eq!(fs::read_dir(area.join("tmp")).expect("a directory").count(), 0);
}

#[test]
fn what_the_program_wrote_can_be_had() {
    let area = Area::new("export");
    let (work, other) = (area.folder("work"), area.folder("other"));
    fs::write(work.join("old"), "old\n").expect("a file");
    fs::write(other.join("seen"), "seen\n").expect("a file");
    symlink("../other/seen", work.join("link")).expect("a link");
    let script = "echo more >> old; chmod 640 old; ln old second; mkdir -p d/e; echo deep > d/e/f; chmod 500 d/e
        touch -d '2001-02-03 04:05:06 UTC' d d/e/f; cat ../other/seen; echo new > ../other/new; mkfifo pipe; rm -f nothing";
    let log = recorded(&area, script);
    assert_eq!(fs::read_to_string(work.join("old")).expect("a file"), "old\n", "the host's stays as it was");

    let state = work.display().to_string();
    let done = run(&area, &["export", "log", "--state", &state, "--to", "out", "--json"]);
    assert_eq!(done.code(), 0, "{}", done.stderr_text());
    let said: serde_json::Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!((&said["files"], &said["hard_links"], &said["symlinks"]), (&3.into(), &1.into(), &1.into()), "{said}");
    assert_eq!(said["left_out"][0]["why"], "a FIFO");
    let out = area.join("out");
    let text = |path: PathBuf| fs::read_to_string(path).expect("a file");
    let meta = |path: &Path| path.symlink_metadata().expect("it is there");
    assert_eq!(text(out.join("old")), "old\nmore\n");
    assert_eq!(meta(&out.join("old")).permissions().mode() & 0o7777, 0o640);
    assert_eq!(meta(&out.join("old")).ino(), meta(&out.join("second")).ino(), "one file with two names");
    assert_eq!(fs::read_link(out.join("link")).expect("a link").display().to_string(), "../other/seen");
    assert_eq!(text(out.join("d/e/f")), "deep\n");
    assert_eq!(meta(&out.join("d/e")).permissions().mode() & 0o7777, 0o500);
    assert_eq!((meta(&out.join("d/e/f")).mtime(), meta(&out.join("d")).mtime()), (981173106, 981173106));
    assert!(!out.join("pipe").exists());

    // Everything, under whole paths; what was only read is not the program's.
    let done = run(&area, &["export", "log", "--to", "all"]);
    assert_eq!(done.code(), 0, "{}", done.stderr_text());
    let below = |path: &Path| area.join("all").join(path.strip_prefix("/").expect("absolute"));
    assert_eq!(text(below(&other.join("new"))), "new\n");
    assert_eq!(text(below(&work.join("second"))), "old\nmore\n");
    assert!(!below(&other.join("seen")).exists());

    // Before anything was written, and never over anything.
    let done = run(&area, &["export", "log", "--state", &state, "--to", "early", "--until", "1"]);
    assert_eq!(done.code(), 0, "{}", done.stderr_text());
    assert_eq!(text(area.join("early/old")), "old\n");
    for (args, status, says) in [
        (&["export", "log", "--to", "out"][..], 125, "is not empty"),
        (&["export", "log", "--to", "log/out"], 125, "lies in the log directory"),
        (&["export", "log", "--to", "no/out"], 125, "first"),
        (&["export", "log", "--to", "new", "--state", "/nonexistent"], 125, "knows nothing of /nonexistent"),
        (&["export", "log", "--to", "new", "--until", "100000000"], 4, "was not reached"),
    ] {
        let done = run(&area, args);
        assert_eq!(done.code(), status, "{args:?}: {}", done.stderr_text());
        assert!(done.stderr_text().contains(says), "{args:?}: {}", done.stderr_text());
        assert!(!area.join("new").exists() && !log.join("out").exists(), "{args:?}");
    }
}

#[test]
fn a_replay_stops_where_it_is_told() {
    let area = Area::new("until");
    recorded(&area, "echo a; cat /dev/null; echo b");
    let whole = area.replay(&area.join("log"));
    let end = whole["position"].as_u64().expect("a number");
    for until in [0, 1, 2, 10, end / 2, end - 1, end] {
        let done = run(&area, &["replay", "log", "--digest", "--json", "--until", &until.to_string()]);
        assert_eq!(done.code(), 0, "{}", done.stderr_text());
        let said: serde_json::Value = serde_json::from_slice(&done.stdout).expect("JSON");
        assert_eq!((&said["position"], &said["reached"]), (&until.into(), &true.into()), "{said}");
        assert!(said["digest"].is_string(), "{said}");
        if said["digests"] == 0 {
            assert!(done.stderr_text().contains("no digest was compared"), "{}", done.stderr_text());
        }
    }
    let done = run(&area, &["replay", "log", "--until", &(end + 1).to_string()]);
    assert_eq!(done.code(), 4);
    assert!(done.stderr_text().contains(&format!("ends at position {end}")), "{}", done.stderr_text());
}

/// Copies a log with the body of its `n`th digest changed, every checksum and the chain made anew: a log that is whole and says something else.
fn with_other_digest(from: &Path, to: &Path, n: usize) -> Seq {
    let (view, _) = LogView::open(from).expect("a log");
    let lock = gapless_log::DirLock::take(to).expect("a new directory");
    let mut store = Store::create_with(lock, &view.meta(), StoreOptions::default()).expect("a log");
    let (mut chain, mut left, mut changed) = (0, n, None);
    for frame in view.reader(Seq(0)) {
        let frame = frame.expect("a whole log");
        let mut builder = FrameBuilder::new(frame.level(), frame.term(), frame.first_seq(), chain);
        for (seq, entry) in (frame.first_seq().0..).zip(frame.entries()) {
            let mut body = entry.body;
            if entry.kind == Kind::SYNC {
                if left == 0 && changed.is_none() {
                    body[3] ^= 1;
                    changed = Some(Seq(seq));
                }
                left = left.saturating_sub(1);
            }
            builder.push(entry.at, entry.kind, &body);
        }
        let frame = builder.seal(Seq(0)).expect("entries");
        chain = frame.chain_after();
        store.append(&frame).expect("it continues");
    }
    changed.expect("so many digests")
}

#[test]
fn a_program_of_a_moment_is_compared_too() {
    let area = Area::new("short");
    let done = run(&area, &["record", "--log", "log", "--", "true"]);
    assert_eq!(done.code(), 0, "{}", done.stderr_text());
    let said = area.replay(&area.join("log"));
    assert_eq!(said["digests"], 1, "{said}");
    let done = run(&area, &["replay", "--digest", "log"]);
    assert_eq!(done.stdout_text().trim_end(), said["digest"].as_str().expect("a digest at the end"));
}

#[test]
fn the_first_digest_that_differs_ends_a_replay() {
    let area = Area::new("differs");
    let script = "i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo $i > a; echo $i; done";
    let log = recorded(&area, script);
    assert!(area.replay(&log)["digests"].as_u64() > Some(1));
    let seq = with_other_digest(&log, &area.join("changed"), 1);
    assert_eq!(area.verify(&area.join("changed")), 0, "nothing is wrong with it as a log");
    for args in [
        &["replay", "changed"][..],
        &["replay", "changed", "--digest", "--json"],
        &["export", "changed", "--to", "out"],
    ] {
        let done = run(&area, args);
        assert_eq!(done.code(), 1, "{args:?}: {}", done.stderr_text());
        assert!(done.stdout.is_empty(), "{}", done.stdout_text());
        let said = done.stderr_text();
        assert!(
            said.contains("diverged at position") && said.contains(&format!("entry {seq}: expected digest")),
            "{said}"
        );
    }
    assert!(!area.join("out").exists());
    let done = run(&area, &["replay", "changed", "--until", "5"]);
    assert_eq!(done.code(), 0, "before it all is well: {}", done.stderr_text());
}

#[test]
fn what_cannot_be_printed_is_an_error() {
    let area = Area::new("full");
    recorded(&area, "echo text");
    for args in [
        &["replay", "log", "--json"][..],
        &["replay", "log", "--digest"],
        &["export", "log", "--to", "out", "--json"],
        &["log", "cat", "log"],
        &["log", "cat", "log", "--json"],
        &["log", "stat", "log"],
        &["log", "verify", "log"],
        &["doctor"],
        &["doctor", "--json"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full").expect("it is there");
        let command = area.gapless(area.path(), args);
        let done = Process::start_with(command, &area.join("run"), Stdio::null(), Some(full.into())).finish();
        assert_eq!(done.code(), 125, "{args:?}: {}", done.stderr_text());
        let said = done.stderr_text();
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("gapless: standard output cannot be written: No space left"), "{args:?}: {said}");
        assert!(!said.contains("panicked"), "{args:?}: {said}");

        // A reader that has gone away.
        let _ = fs::remove_dir_all(area.join("out"));
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let command = area.gapless(area.path(), args);
        let done = Process::start_with(command, &area.join("run"), Stdio::null(), Some(writer.into())).finish();
        assert_eq!((done.code(), done.stderr_text().contains("cannot be written")), (0, false), "{args:?}");
    }
}

#[test]
fn cat_and_stat_tell_torn_from_corrupt() {
    let area = Area::new("cat");
    let log = recorded(&area, "echo text; cat /dev/null; echo more");
    let segment = log.join("00000000000000000000.seg");
    let whole = fs::read(&segment).expect("a segment");
    let check = |bytes: &[u8], status: i32, says: &str| {
        fs::write(&segment, bytes).expect("a segment");
        for args in [&["log", "cat", "log", "--json"][..], &["log", "cat", "log"], &["log", "stat", "log"]] {
            let done = run(&area, args);
            assert_eq!(done.code(), status, "{args:?}: {}", done.stderr_text());
            let said = format!("{}{}", done.stdout_text(), done.stderr_text());
            assert!(said.contains(says), "{args:?}: {said}");
        }
        assert_eq!(area.verify(&log), status);
    };
    check(&whole, 0, "launch");
    check(&whole[..whole.len() - 3], 3, "torn");
    let mut flipped = whole.clone();
    flipped[whole.len() / 3] ^= 1;
    check(&flipped, 1, "is corrupt at offset");
}

#[test]
fn cat_as_json_has_every_byte_or_says_that_it_has_not() {
    let area = Area::new("json");
    fs::write(area.folder("work").join("large"), vec![7; 300_000]).expect("a file");
    let log = recorded(&area, "cat large > /dev/null");
    let (view, _) = LogView::open(&log).expect("a log");
    let entries = view.reader(Seq(0)).flat_map(|f| f.expect("whole").entries().collect::<Vec<_>>());
    let said = run(&area, &["log", "cat", "log", "--json"]).stdout_text();
    let mut truncated = 0;
    let mut lines = said.lines();
    for entry in entries {
        let line: serde_json::Value = serde_json::from_str(lines.next().expect("a line")).expect("JSON");
        assert_eq!(line["bytes"], entry.body.len());
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let body = &line["body"];
        match line["kind"].as_str() {
            Some("mark" | "sync" | "live") => assert!(body.is_object()),
            _ if entry.body.len() > 64 << 10 => {
                truncated += 1;
                assert_eq!((&body["truncated"], body["hex"].is_null()), (&true.into(), true), "{body}");
                assert_eq!(body["hex_head"], hex(&entry.body[..32]));
            }
            _ => assert_eq!((&body["hex"], &body["truncated"]), (&hex(&entry.body).into(), &false.into())),
        }
        if let Some("launch" | "host path" | "option" | "content") = line["kind"].as_str() {
            assert!(body["text"].is_string(), "{line}");
        }
    }
    assert!(truncated > 0 && lines.next().is_none());
}

#[test]
fn a_log_within_the_state_is_refused() {
    let area = Area::new("inside");
    area.folder("data");
    for log in ["data/log", "data/deep/log", "data", "data/../data/log"] {
        let done = run(&area, &["record", "--state", "data", "--log", log, "--", "true"]);
        assert_eq!(done.code(), 125, "{log}: {}", done.stderr_text());
        assert!(done.stderr_text().contains("name a log directory outside"), "{}", done.stderr_text());
    }
    assert!(!area.join("data/deep").exists());
    assert_eq!(run(&area, &["record", "--state", "data", "--log", "elsewhere", "--", "true"]).code(), 0);
}

#[test]
fn a_refused_call_is_named_with_the_program_and_the_next_step() {
    let area = Area::new("refused");
    let script = "import ctypes; ctypes.CDLL(None).msgget(0, 0o1600)";
    let done = run(&area, &["record", "--log", "log", "--", &python(), "-c", script]);
    assert_eq!(done.code(), 125);
    let said = done.stderr_text();
    for part in ["msgget (68)", "python3", "(process 2)", "configure it not to use that", "docs/limits.md"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// Only root may give a file capabilities; for others that is all there is to say.
#[test]
fn exec_of_a_file_with_capabilities_is_refused() {
    let area = Area::new("capable");
    fs::set_permissions(area.path(), fs::Permissions::from_mode(0o755)).expect("its own directory");
    let program = area.join("program");
    fs::copy("/bin/true", &program).expect("a copy");
    // cap_net_bind_service, permitted and effective (struct vfs_cap_data, revision 2).
    let set = "import os, sys; os.setxattr(sys.argv[1], 'security.capability', bytes.fromhex('0100000200040000' + '00' * 12))";
    let mut command = area.command(python(), area.path());
    command.args(["-c", set]).arg(&program);
    let set = Process::start(command, &area.join("set")).finish();
    // SAFETY: a plain system call.
    if unsafe { libc::geteuid() } != 0 {
        return assert!(set.stderr_text().contains("PermissionError"), "{}", set.stderr_text());
    }
    assert_eq!(set.code(), 0, "{}", set.stderr_text());
    let script = "import os, sys; os.setuid(int(sys.argv[1])); os.execv(sys.argv[2], [sys.argv[2]])";
    let program = program.display().to_string();
    for (log, user, status) in [("log-1", "65534", 125), ("log-2", "0", 0)] {
        let done = run(&area, &["record", "--log", log, "--", &python(), "-c", script, user, &program]);
        assert_eq!(done.code(), status, "{}", done.stderr_text());
        assert_eq!(done.stderr_text().contains("which has file capabilities"), status != 0, "{}", done.stderr_text());
    }
}
