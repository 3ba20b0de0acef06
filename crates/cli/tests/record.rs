//! `gapless record` as a wrapper that nobody notices: exit status, signals, standard streams; and logs that are cut short, damaged, or find no room.

mod support;

use gapless_log::{Kind, LogView, Mark, Seq};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;
use support::process::{self, Process, sleep_ms};
use support::{Area, DEADLINE, Job, assert_continues, python};

fn shell(area: &Area, script: &str) -> Job {
    Job::new(area.path(), ["sh", "-c", script])
}

#[test]
fn the_exit_status_is_the_programs_own() {
    let area = Area::new("status");
    let cases = [
        ("exit 0", 0),
        ("exit 1", 1),
        ("exit 42", 42),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -SEGV $$", 139),
    ];
    for (i, (script, expected)) in cases.into_iter().enumerate() {
        let log = area.join(&format!("log-{i}"));
        let done = Process::start(area.record(&log, &shell(&area, script)), &area.join("run")).finish();
        assert_eq!(done.code(), expected, "{script}: {}", done.stderr_text());
        assert!(done.stderr.is_empty(), "{script}: {}", done.stderr_text());
        assert_eq!(area.replay(&log)["exit_status"], expected, "{script}, replayed");
    }
    let missing = Job { argv: vec!["/nonexistent/program".into()], ..shell(&area, "") };
    let done = Process::start(area.record(&area.join("log-missing"), &missing), &area.join("run")).finish();
    assert!(matches!(done.code(), 125..=127), "a program that is not there: {}", done.code());
    assert!(done.stderr_text().contains("/nonexistent/program"), "{}", done.stderr_text());
}

#[test]
fn signals_to_gapless_reach_the_program() {
    let area = Area::new("signals");
    // Not bash: a SIGINT right behind the call that sets its handler makes it send itself SIGINTs for ever, natively too.
    let script = "import signal, time\n\
        say = lambda number, frame: print('got', signal.Signals(number).name[3:], flush=True)\n\
        for name in 'INT TERM HUP USR1 USR2'.split(): signal.signal(getattr(signal, 'SIG' + name), say)\n\
        print('ready', flush=True)\n\
        while True: time.sleep(0.05)";
    let server = Process::start(
        area.record(&area.join("log"), &Job::new(area.path(), [python().as_str(), "-c", script])),
        &area.join("run"),
    );
    let says = |text: &str| {
        let since = Instant::now();
        while !String::from_utf8_lossy(&server.stdout()).contains(text) {
            assert!(since.elapsed() < DEADLINE, "it never said '{text}': {}", server.stderr_text());
            sleep_ms(5);
        }
    };
    says("ready");
    for (name, signal) in [
        ("INT", libc::SIGINT),
        ("TERM", libc::SIGTERM),
        ("HUP", libc::SIGHUP),
        ("USR1", libc::SIGUSR1),
        ("USR2", libc::SIGUSR2),
    ] {
        process::kill(server.pid(), signal);
        says(&format!("got {name}"));
    }
    drop(server);
    for (signal, status) in [(libc::SIGINT, 130), (libc::SIGTERM, 143)] {
        let log = area.join(&format!("log-{status}"));
        let server =
            Process::start(area.record(&log, &shell(&area, "echo ready; exec sleep 600")), &area.join("ended"));
        let since = Instant::now();
        while server.stdout() != b"ready\n" {
            assert!(since.elapsed() < DEADLINE, "ready: {}", server.stderr_text());
            sleep_ms(5);
        }
        process::kill(server.pid(), signal);
        assert_eq!(server.finish().code(), status);
        assert_eq!(area.replay(&log)["exit_status"], status);
    }
}

/// Every byte value, and more than any pipe or channel holds.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..len).map(step).collect()
}

#[test]
fn bytes_pass_through_unchanged() {
    let area = Area::new("bytes");
    let bytes = noise(3 << 20);
    fs::write(area.join("bytes"), &bytes).expect("a file");

    // A file to a file; standard error apart.
    let log = area.join("log-file");
    let done =
        Process::start(area.record(&log, &shell(&area, "cat bytes; head -c 100000 bytes >&2")), &area.join("run"))
            .finish();
    assert_eq!(done.code(), 0, "{}", done.stderr.len());
    assert!(done.stdout == bytes, "standard output differs");
    assert!(done.stderr == bytes[..100_000], "standard error differs");
    area.replay(&log);

    // Standard input through the program into a pipe that is read slowly.
    let log = area.join("log-pipe");
    let command = area.record(&log, &shell(&area, "cat"));
    let mut run = Process::start_with(command, &area.join("pipe"), Stdio::piped(), Some(Stdio::piped()));
    let (mut to, mut from) = (run.child().stdin.take().expect("piped"), run.child().stdout.take().expect("piped"));
    let through = std::thread::scope(|scope| {
        scope.spawn(|| {
            to.write_all(&bytes).expect("it reads");
            drop(to);
        });
        let (mut all, mut part) = (Vec::new(), vec![0; 300_000]);
        loop {
            match from.read(&mut part).expect("it writes") {
                0 => return all,
                n => all.extend_from_slice(&part[..n]),
            }
            sleep_ms(1);
        }
    });
    assert_eq!(run.finish().code(), 0);
    assert!(through == bytes, "{} bytes came through", through.len());
    area.replay(&log);
}

#[test]
fn a_closed_pipe_is_the_programs_to_notice() {
    let area = Area::new("closed");
    let cases = [("yes", 141), ("trap '' PIPE; yes; echo yes: $? >&2; exit 9", 9)];
    for (i, (script, status)) in cases.into_iter().enumerate() {
        let log = area.join(&format!("log-{i}"));
        let script = if script == "yes" { "exec yes" } else { script };
        let command = area.record(&log, &shell(&area, script));
        let mut run = Process::start_with(command, &area.join("run"), Stdio::null(), Some(Stdio::piped()));
        let mut from = run.child().stdout.take().expect("piped");
        let mut part = vec![0; 10_000];
        from.read_exact(&mut part).expect("it writes");
        assert!(part.chunks(2).all(|line| line == b"y\n"));
        drop(from);
        let done = run.finish();
        assert_eq!(done.code(), status, "{script}: {}", done.stderr_text());
        assert_eq!(area.replay(&log)["exit_status"], status);
    }
}

#[test]
fn what_came_before_a_refusal_is_said_and_logged() {
    let area = Area::new("refused");
    // The last lines and the refused call are a few events of one step, or of two. 101 is ptrace.
    let script = "$| = 1; print \"line $_\\n\" for 1..2000; syscall(101, 0, 0, 0, 0); print \"not here\\n\"";
    let log = area.join("log");
    let done =
        Process::start(area.record(&log, &Job::new(area.path(), ["perl", "-e", script])), &area.join("run")).finish();
    assert_eq!(done.code(), 125, "{}", done.stderr_text());
    assert!(done.stderr_text().contains("ptrace"), "{}", done.stderr_text());
    let lines: String = (1..=2000).map(|n| format!("line {n}\n")).collect();
    assert_continues(lines.as_bytes(), &done.stdout, b"", "standard output");
    assert_eq!(area.verify(&log), 0);
    // The survivor meets the same call; what the first one said has left.
    let again = Process::start(area.resume(&log), &area.join("resume")).finish();
    assert_eq!(again.code(), 125, "{}", again.stderr_text());
    assert_continues(lines.as_bytes(), &done.stdout, &again.stdout, "both lives");
}

/// The last mark of a log that may still be written to.
fn last_mark(log: &Path) -> Option<Mark> {
    let (view, _) = LogView::open(log).expect("a log");
    let entries = view.reader(Seq(0)).flat_map(|frame| frame.expect("a whole frame").entries().collect::<Vec<_>>());
    entries.filter(|entry| entry.kind == Kind::MARK).last().map(|mark| Mark::decode(&mark.body).expect("a mark"))
}

#[test]
fn what_a_slow_reader_had_not_taken_is_said_again() {
    let area = Area::new("slow");
    let lines = || (0..60).map(|n| format!("{n:05}").repeat(1000) + "\n");
    let whole: String = lines().collect();
    let script = "import sys, time\n\
        for n in range(60): print(('%05d' % n) * 1000, flush=True)\n\
        print('all is said', file=sys.stderr, flush=True)\n\
        time.sleep(3)";
    let job = Job::new(area.path(), [python().as_str(), "-c", script]);
    for reads_on in [false, true] {
        let log = area.join(&format!("log-{reads_on}"));
        let (run, wait) = (area.join(&format!("run-{reads_on}")), Instant::now());
        let mut first = Process::start_with(area.record(&log, &job), &run, Stdio::null(), Some(Stdio::piped()));
        let mut from = first.child().stdout.take().expect("piped");
        let mut read = vec![0; 10_000];
        from.read_exact(&mut read).expect("it writes");
        while first.stderr_text() != "all is said\n" {
            assert!(wait.elapsed() < DEADLINE, "a slow reader stops nobody else: {}", first.stderr_text());
            sleep_ms(5);
        }
        if reads_on {
            let mut rest = vec![0; whole.len() - read.len()];
            from.read_exact(&mut rest).expect("it writes");
            read.extend_from_slice(&rest);
            // The program sleeps: only the mark that says that all has left can end a step.
            while last_mark(&log).is_none_or(|mark| mark.released < mark.said || !mark.unfinished.is_empty()) {
                assert!(wait.elapsed() < DEADLINE, "{:?}", last_mark(&log));
                sleep_ms(5);
            }
        } else {
            assert_eq!(last_mark(&log).expect("marks").unfinished.len(), 1);
        }
        assert!(!first.ended(), "it was to be killed while it sleeps");
        first.destroy();
        from.read_to_end(&mut read).expect("what the pipe holds");
        let second = Process::start(area.resume(&log), &area.join(&format!("resume-{reads_on}"))).finish();
        assert_eq!(second.code(), 0, "{}", second.stderr_text());
        assert_continues(whole.as_bytes(), &read, &second.stdout, "standard output");
        assert_eq!(second.stdout.is_empty(), reads_on, "{} bytes came again", second.stdout.len());
        area.replay(&log);
    }
}

/// What a log is made of: every file in it that is not a program's.
fn log_files(log: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(log).expect("a log").map(|e| e.expect("an entry").path()).filter(|p| p.is_file()).collect();
    files.sort();
    files
}

#[test]
fn log_verify_tells_fine_from_torn_from_corrupt() {
    let area = Area::new("verify");
    let log = area.join("log");
    let job = Job::new(
        area.path(),
        [python().as_str(), "-c", "import time\nfor i in range(30): print(i, flush=True); time.sleep(0.01)"],
    );
    assert_eq!(Process::start(area.record(&log, &job), &area.join("run")).finish().code(), 0);
    assert_eq!(area.verify(&log), 0, "as recorded");
    let files = log_files(&log);
    let largest = files.iter().max_by_key(|f| fs::metadata(f).expect("a file").len()).expect("a segment").clone();
    let whole = fs::read(&largest).expect("a segment");
    let used = whole.iter().rposition(|&b| b != 0).expect("not empty") + 1;
    println!("{files:?}; {} bytes in {}, {used} used", whole.len(), largest.display());
    for at in [9, used / 3, used / 2] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&largest, &flipped).expect("a segment");
        assert_eq!(area.verify(&log), 1, "byte {at} of {used} flipped");
    }
    // Cut in the middle of the last frame: what a crash leaves.
    fs::write(&largest, &whole[..used - 3]).expect("a segment");
    assert_eq!(area.verify(&log), 3, "the last 3 bytes are missing");
    let replay = area.replay(&log);
    assert!(replay["position"].as_u64() > Some(0), "it replays to its last mark: {replay}");
    fs::write(&largest, &whole).expect("a segment");
    assert_eq!(area.verify(&log), 0, "mended");
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_log() {
    let area = Area::new("full");
    let mount = area.folder("disk");
    let gapless = env!("CARGO_BIN_EXE_gapless");
    // A mount namespace of its own: the file system is gone with the shell, whatever happens.
    let script = format!(
        "set -u
mount -t tmpfs -o size=6m tmpfs {mount} || exit 99
head -c 40000000 /dev/urandom | {gapless} record --log {mount}/log -- cksum 2>record.err
echo record $?
{gapless} log verify {mount}/log >verify.out 2>&1
echo verify $?
{gapless} replay --digest --json {mount}/log >replay.json 2>replay.err
echo replay $?
",
        mount = mount.display()
    );
    let mut command = area.command("unshare", area.path());
    // SAFETY: a plain system call.
    if unsafe { libc::geteuid() } == 0 {
        command.arg("-m");
    } else {
        command.args(["-U", "-r", "-m"]);
    }
    command.args(["sh", "-c", &script]);
    let done = Process::start(command, &area.join("shell")).finish();
    let read = |name: &str| fs::read_to_string(area.join(name)).unwrap_or_default();
    let said = read("record.err");
    let all =
        format!("{}{}\n{said}\n{}\n{}", done.stdout_text(), done.stderr_text(), read("verify.out"), read("replay.err"));
    assert_eq!(done.code(), 0, "a tmpfs could be mounted: {all}");
    assert!(done.stdout_text().contains("record 125\n"), "{all}");
    assert!(said.contains("No space left on device"), "{all}");
    assert!(said.lines().count() <= 4, "one clear error: {said}");
    assert!(done.stdout_text().contains("verify 0\n") || done.stdout_text().contains("verify 3\n"), "{all}");
    assert!(done.stdout_text().contains("replay 0\n"), "{all}");
    let replay: serde_json::Value = serde_json::from_str(&read("replay.json")).expect("JSON");
    assert!(replay["position"].as_u64() > Some(0), "{replay}");
}

/// Room for the stub (16 KiB) but not for the program: it is there, and must not be called missing.
#[test]
fn no_room_for_the_program_is_not_a_missing_program() {
    let area = Area::new("no-room");
    let log = area.join("log");
    let script = "trap '' XFSZ; ulimit -f 20; exec \"$0\" record --log \"$1\" -- bash -c :";
    let mut command = area.command("bash", area.path());
    command.args(["-c", script, env!("CARGO_BIN_EXE_gapless")]).arg(&log).stdout(Stdio::null());
    let output = command.output().expect("bash runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains("File too large") && !said.contains("not found"), "{said}");
}

#[test]
fn a_missing_argument_names_the_next_step() {
    let out = Command::new(env!("CARGO_BIN_EXE_gapless")).args(["record", "--log", "x"]).output().expect("it runs");
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("PROGRAM"));
}
