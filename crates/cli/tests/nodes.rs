//! The nodes of a pair as processes that a person starts, asks, interrupts and misconfigures.

mod support;

use gapless_pair::status::{Snapshot, query};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use support::process::{self, Done, Process, sleep_ms};
use support::{Area, DEADLINE, free_port};

/// How soon a node that is not live must have ended: far below what any time-out of the protocol is.
const AT_ONCE: Duration = Duration::from_secs(5);

struct Nodes {
    area: Area,
    arbiter: String,
}

impl Nodes {
    fn new(name: &str) -> Self {
        let area = Area::new(name);
        let arbiter = format!("file:{}", area.join("register").display());
        Self { area, arbiter }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.area.join(name)
    }

    fn gapless(&self, args: &[&str]) -> Command {
        self.area.gapless(self.area.path(), args)
    }

    fn start(&self, name: &str, command: Command) -> Process {
        Process::start(command, &self.log(name))
    }

    /// `gapless run` around a shell script, with more options.
    fn run(&self, name: &str, options: &[&str], script: &str) -> Process {
        let log = self.log(name);
        let mut command = self.gapless(&["run", "--arbiter", &self.arbiter, "--log"]);
        command.arg(log).args(options).args(["--", "sh", "-c", script]);
        self.start(name, command)
    }

    fn backup(&self, name: &str) -> Process {
        let mut command = self.gapless(&["backup", "--listen", "127.0.0.1:0", "--arbiter", &self.arbiter, "--log"]);
        command.arg(self.log(name));
        self.start(name, command)
    }

    fn resume(&self, name: &str, options: &[&str]) -> Process {
        let mut command = self.gapless(&["resume"]);
        command.arg(self.log(name)).args(options);
        self.start(&format!("{name}-resumed"), command)
    }

    /// Waits until the node's own word is this.
    fn until(&self, name: &str, node: &mut Process, what: &str, is: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let since = Instant::now();
        loop {
            if let Ok(now) = query(&self.log(name))
                && is(&now)
            {
                return now;
            }
            assert!(!node.ended(), "{name} ended before {what}: {}", node.stderr_text());
            assert!(since.elapsed() < DEADLINE, "{name}: no {what}: {}", node.stderr_text());
            sleep_ms(5);
        }
    }
}

fn until_says(node: &Process, what: &str) {
    let since = Instant::now();
    while !node.stderr_text().contains(what) {
        assert!(since.elapsed() < DEADLINE, "it never said '{what}': {}", node.stderr_text());
        sleep_ms(5);
    }
}

fn ends_at_once(node: Process) -> Done {
    let since = Instant::now();
    let done = node.finish();
    assert!(since.elapsed() < AT_ONCE, "it took {:?}: {}", since.elapsed(), done.stderr_text());
    done
}

/// Says what it is told, for ever.
const LISTENS: &str = "trap 'echo got INT' INT; trap 'echo got TERM' TERM; echo ready; while :; do sleep 0.05; done";

fn stdout_of(node: &Process) -> String {
    String::from_utf8_lossy(&node.stdout()).into_owned()
}

fn until_stdout(node: &Process, what: &str) {
    let since = Instant::now();
    while !stdout_of(node).contains(what) {
        assert!(since.elapsed() < DEADLINE, "no '{what}' but '{}': {}", stdout_of(node), node.stderr_text());
        sleep_ms(5);
    }
}

#[test]
fn a_signal_ends_a_backup_that_stands_by() {
    let nodes = Nodes::new("stand-by");
    for (signal, status) in [(libc::SIGTERM, 143), (libc::SIGINT, 130)] {
        let name = format!("lonely-{signal}");
        let mut node = nodes.backup(&name);
        nodes.until(&name, &mut node, "joining", |s| s.mode == "joining");
        process::kill(node.pid(), signal);
        assert_eq!(ends_at_once(node).code(), status);
    }
    // In a session, and named in the register: the primary goes on.
    let mut primary = nodes.run("primary", &[], LISTENS);
    for (signal, status) in [(libc::SIGTERM, 143), (libc::SIGINT, 130)] {
        let name = format!("backup-{signal}");
        let backup = nodes.backup(&name);
        nodes.until("primary", &mut primary, "protection", |s| s.mode == "protected");
        until_stdout(&primary, "ready");
        process::kill(backup.pid(), signal);
        assert_eq!(ends_at_once(backup).code(), status);
        nodes.until("primary", &mut primary, "solo", |s| s.mode == "solo");
    }
    assert_eq!(stdout_of(&primary), "ready\n", "the signals were for the backup");
    // While live they go to the program.
    process::kill(primary.pid(), libc::SIGTERM);
    until_stdout(&primary, "got TERM");
}

/// What a side was sent before it was live is nobody's later: not the program's after the takeover.
#[test]
fn a_signal_from_before_a_takeover_never_reaches_the_program() {
    let nodes = Nodes::new("before");
    let mut primary = nodes.run("primary", &[], LISTENS);
    let mut backup = nodes.backup("backup");
    nodes.until("primary", &mut primary, "protection", |s| s.mode == "protected");
    until_stdout(&primary, "ready");
    // These have no meaning for a backup.
    for signal in [libc::SIGHUP, libc::SIGUSR1] {
        process::kill(backup.pid(), signal);
    }
    sleep_ms(100);
    primary.destroy();
    nodes.until("backup", &mut backup, "takeover", |s| s.role == "primary");
    process::kill(backup.pid(), libc::SIGINT);
    until_stdout(&backup, "got INT");
    assert!(!backup.ended(), "neither SIGHUP nor SIGUSR1 came to the program: {}", backup.stderr_text());
}

#[test]
fn a_signal_ends_a_run_that_waits_for_its_first_backup() {
    let nodes = Nodes::new("held");
    for (signal, status) in [(libc::SIGTERM, 143), (libc::SIGINT, 130)] {
        let name = format!("held-{signal}");
        let arbiter = format!("file:{}", nodes.log(&format!("register-{signal}")).display());
        let nodes = Nodes { area: Area::new("held-one"), arbiter };
        // The program does not care, and would even have ended: but its end waits for a backup too.
        let mut node = nodes.run(&name, &[], "trap '' INT TERM; echo never said");
        nodes.until(&name, &mut node, "hold", |s| s.mode == "solo" && s.held && s.position > 0);
        process::kill(node.pid(), signal);
        let done = ends_at_once(node);
        assert_eq!((done.code(), done.stdout_text().as_str()), (status, ""), "{}", done.stderr_text());
    }
    // An arbiter that does not answer holds nobody back either.
    let mut command = nodes.gapless(&["run", "--arbiter", &format!("127.0.0.1:{}", free_port()), "--log"]);
    command.arg(nodes.log("nowhere")).args(["--", "true"]);
    let node = nodes.start("nowhere", command);
    until_says(&node, "listening at");
    process::kill(node.pid(), libc::SIGTERM);
    assert_eq!(ends_at_once(node).code(), 143);
}

/// Records what takes long to execute again, and answers its log's directory.
fn long_log(nodes: &Nodes, name: &str) -> PathBuf {
    let log = nodes.log(name);
    let mut command = nodes.gapless(&["record", "--log"]);
    command.arg(&log).args(["--", "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; done"]);
    let mut node = Process::start(command, &log);
    let since = Instant::now();
    while node.stdout().len() < 100_000 {
        assert!(since.elapsed() < DEADLINE, "{}", node.stderr_text());
        sleep_ms(5);
    }
    node.destroy();
    log
}

#[test]
fn a_signal_ends_a_resume_that_still_replays() {
    let nodes = Nodes::new("replaying");
    long_log(&nodes, "log");
    for (signal, status) in [(libc::SIGTERM, 143), (libc::SIGINT, 130)] {
        let node = nodes.resume("log", &[]);
        sleep_ms(30);
        process::kill(node.pid(), signal);
        let done = ends_at_once(node);
        assert_eq!((done.code(), done.stdout.len()), (status, 0), "{}", done.stderr_text());
    }
    assert!(Path::new(&nodes.log("log")).exists());
}

/// A mistyped program costs nothing: no directory, no register.
#[test]
fn a_program_that_cannot_start_leaves_nothing_behind() {
    let nodes = Nodes::new("mistyped");
    let plain = nodes.area.join("plain");
    std::fs::write(&plain, "no program").expect("a file");
    let plain = plain.to_str().expect("UTF-8");
    for (program, status) in [("/nonexistent/program", 127), ("no-such-program", 127), (plain, 126)] {
        for verb in ["run", "record"] {
            let mut command = nodes.gapless(&[verb, "--log"]);
            command.arg(nodes.log("log"));
            if verb == "run" {
                command.args(["--unprotected-start", "--arbiter", &nodes.arbiter]);
            }
            command.args(["--", program]);
            let done = nodes.start("mistyped", command).finish();
            assert_eq!(done.code(), status, "{verb} {program}: {}", done.stderr_text());
            assert!(done.stderr_text().contains(program), "{}", done.stderr_text());
            assert_eq!(done.stderr_text().lines().count(), 1, "{}", done.stderr_text());
            assert!(!nodes.log("log").exists() && !nodes.area.join("register").exists(), "{verb} {program}");
        }
    }
    let done = nodes.run("log", &["--unprotected-start"], "echo right; exit 7").finish();
    assert_eq!((done.code(), done.stdout_text().as_str()), (7, "right\n"), "{}", done.stderr_text());
}

/// What looked right and failed before its first step is begun again in the same directory, with the same register.
#[test]
fn a_history_that_never_began_is_begun_again() {
    let nodes = Nodes::new("unbegun");
    let unreadable = |log: &Path| {
        // Fails in the launch, after the store was made: the program's own /proc has no such process.
        let mut command = nodes.gapless(&["record", "--state", "/proc/self", "--log"]);
        command.arg(log).args(["--", "true"]);
        nodes.start("failing", command).finish()
    };
    let failed = unreadable(&nodes.log("recorded"));
    assert_eq!(failed.code(), 125, "{}", failed.stderr_text());
    let mut command = nodes.gapless(&["record", "--log"]);
    command.arg(nodes.log("recorded")).args(["--", "echo", "right"]);
    let done = nodes.start("again", command).finish();
    assert_eq!((done.code(), done.stdout_text().as_str()), (0, "right\n"), "{}", done.stderr_text());
    let mut command =
        nodes.gapless(&["run", "--unprotected-start", "--arbiter", &nodes.arbiter, "--state", "/proc/self", "--log"]);
    command.arg(nodes.log("log")).args(["--", "true"]);
    let failed = nodes.start("failing-run", command).finish();
    assert_eq!(failed.code(), 125, "{}", failed.stderr_text());
    let resumed = nodes.resume("log", &["--arbiter", &nodes.arbiter]).finish();
    assert_eq!(resumed.code(), 125);
    assert!(resumed.stderr_text().contains("gapless run"), "{}", resumed.stderr_text());
    let done = nodes.run("log", &["--unprotected-start"], "echo right; exit 7").finish();
    assert_eq!((done.code(), done.stdout_text().as_str()), (7, "right\n"), "{}", done.stderr_text());
}
