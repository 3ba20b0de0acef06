//! `gapless demo` as a user has it: what it says, and that nothing of it is left behind.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const WAIT_MAX: Duration = Duration::from_secs(120);

/// The small server beside the executable under test; built if this package alone is tested.
fn gapless() -> PathBuf {
    let gapless = PathBuf::from(env!("CARGO_BIN_EXE_gapless"));
    let server = gapless.with_file_name("gapless-demo-server");
    if !server.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "gapless-demo-server", "--target-dir"]);
        build.arg(gapless.parent().and_then(Path::parent).expect("target directory"));
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo runs").success(), "the demo server builds");
    }
    gapless
}

fn demo(tmp: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(gapless());
    command
        .arg("demo")
        .args(args)
        .env("TMPDIR", tmp)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn ends(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("gapless runs");
    (status.code(), String::from_utf8_lossy(&stdout).into(), String::from_utf8_lossy(&stderr).into())
}

/// Processes that name this directory: the sides of the pair do.
fn left(tmp: &Path) -> Vec<String> {
    let lines = std::fs::read_dir("/proc").expect("proc").flatten().filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(&*tmp.to_string_lossy())).collect()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < WAIT_MAX, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn nothing_is_left(tmp: &Path) {
    assert_eq!(std::fs::read_dir(tmp).expect("it is there").count(), 0, "files are left");
    assert_eq!(left(tmp), Vec::<String>::new(), "processes are left");
}

#[test]
fn two_kills_lose_nothing_and_leave_nothing() {
    let tmp = tempfile::tempdir().expect("a directory");
    let (status, out, err) = ends(&mut demo(tmp.path(), &["--kills", "2", "--seconds", "1", "--json"]));
    assert_eq!(status, Some(0), "{out}{err}");
    let json: serde_json::Value = serde_json::from_str(&out).expect("one object");
    for (key, expected) in [("lost", 0), ("doubled", 0), ("kills", 2)] {
        assert_eq!(json[key], expected, "{out}");
    }
    assert!(json["takeovers"].as_u64() >= Some(2), "{out}");
    // A thousand before each kill and after the last.
    assert!(json["acknowledged"].as_u64() >= Some(3000), "{out}");
    assert!(json["takeover_ms"]["max"].as_f64() >= json["takeover_ms"]["min"].as_f64(), "{out}");
    for key in ["false_alarms", "unprotected_ms", "ops_per_s", "ops_per_s_unprotected"] {
        assert!(json[key].is_number(), "{key} in {out}");
    }
    assert!(err.contains("compared with a replay"), "{err}");
    nothing_is_left(tmp.path());
}

/// Starts a long demonstration and waits until both sides run.
fn running(tmp: &Path) -> Child {
    let child = demo(tmp, &["--kills", "3", "--seconds", "600"]).spawn().expect("gapless runs");
    until("both sides start", || left(tmp).len() >= 2);
    child
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: a plain system call on a child that has not been waited for.
    unsafe { libc::kill(child.id() as i32, signal) };
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let tmp = tempfile::tempdir().expect("a directory");
    let child = running(tmp.path());
    signal(&child, libc::SIGINT);
    let output = child.wait_with_output().expect("it ends");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{err}");
    assert!(err.ends_with("gapless: interrupted\n"), "{err}");
    nothing_is_left(tmp.path());
}

/// Its files stay, because nobody is there to remove them; its processes do not.
#[test]
fn a_killed_demo_leaves_no_process() {
    let tmp = tempfile::tempdir().expect("a directory");
    let mut child = running(tmp.path());
    signal(&child, libc::SIGKILL);
    child.wait().expect("it is gone");
    until("its processes go with it", || left(tmp.path()).is_empty());
}

#[test]
fn what_cannot_be_shown_is_explained() {
    let tmp = tempfile::tempdir().expect("a directory");
    let cases: [(&[&str], i32, &str); 5] = [
        (&["--", "redis-server"], 125, "-- redis-server --port {port}"),
        (&["--", "/nonexistent/server", "{port}"], 125, "cannot start /nonexistent/server"),
        (
            &["--", "sh", "-c", "echo no such option >&2; exit 3", "{port}"],
            125,
            "exit status 3 at once; it said:\n    no such option",
        ),
        (&["--", "python3", "-m", "http.server", "--bind", "127.0.0.1", "{port}"], 125, "not of the Redis protocol"),
        (&["--kills", "0"], 2, "--kills"),
    ];
    for (args, expected, words) in cases {
        let (status, out, err) = ends(&mut demo(tmp.path(), args));
        assert_eq!(status, Some(expected), "{args:?}: {out}{err}");
        assert!(err.contains(words), "{args:?}: {err}");
        nothing_is_left(tmp.path());
    }
}

/// A program that the process level cannot run is named with its last words.
#[test]
fn a_side_that_dies_is_shown() {
    let tmp = tempfile::tempdir().expect("a directory");
    let server = gapless().with_file_name("gapless-demo-server");
    // Outside, the server starts; protected, this shell ends at once, because the environment says so.
    let script = format!(
        "case $(cat /proc/$PPID/comm) in gapless) ;; *) echo out of order >&2; exit 7;; esac; exec {} --port {{port}}",
        server.display()
    );
    let (status, out, err) = ends(&mut demo(tmp.path(), &["--", "sh", "-c", &script]));
    assert_eq!(status, Some(125), "{out}{err}");
    assert!(err.contains("by itself; the last that it said"), "{err}");
    nothing_is_left(tmp.path());
}
