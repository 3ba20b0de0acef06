//! The nodes of a pair as processes that a person starts, asks, interrupts and misconfigures.

mod support;

use gapless_pair::status::{Snapshot, query};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::process::{self, Done, Process, sleep_ms};
use support::{Area, DEADLINE, assert_continues, free_port};

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
        self.start(name, self.run_command(name, options, script))
    }

    fn run_command(&self, name: &str, options: &[&str], script: &str) -> Command {
        let log = self.log(name);
        let mut command = self.gapless(&["run", "--arbiter", &self.arbiter, "--log"]);
        command.arg(log).args(options).args(["--", "sh", "-c", script]);
        command
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

/// What the reader of the primary's standard output had not taken when that died, the survivor says.
#[test]
fn what_a_slow_reader_had_not_taken_is_said_by_the_survivor() {
    let nodes = Nodes::new("slow");
    let script = "i=10000; while [ $i -lt 12000 ]; do echo $i some hundred bytes of a line that nobody is in a hurry to read, \
        so that they wait in the supervisor; i=$((i+1)); done; echo all is said >&2; sleep 600";
    let whole: String = (10000..12000)
        .map(|i| format!("{i} some hundred bytes of a line that nobody is in a hurry to read, so that they wait in the supervisor\n"))
        .collect();
    let command = nodes.run_command("primary", &[], script);
    let mut primary = Process::start_with(command, &nodes.log("primary"), Stdio::null(), Some(Stdio::piped()));
    let mut from = primary.child().stdout.take().expect("piped");
    let mut backup = nodes.backup("backup");
    let mut first = vec![0; 10_000];
    from.read_exact(&mut first).expect("it writes");
    until_says(&primary, "all is said");
    primary.destroy();
    from.read_to_end(&mut first).expect("what the pipe holds");
    assert!(first.len() < whole.len() / 2, "{} bytes are too many for a pipe", first.len());
    nodes.until("backup", &mut backup, "takeover", |s| s.role == "primary");
    until_stdout(&backup, whole.lines().last().expect("lines"));
    assert_continues(whole.as_bytes(), &first, &backup.stdout(), "standard output");
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

/// Waits until it has said a line with all of these.
fn until_says_all(node: &Process, words: &[&str]) {
    let since = Instant::now();
    while !node.stderr_text().lines().any(|line| words.iter().all(|w| line.contains(w))) {
        assert!(since.elapsed() < DEADLINE, "no line with {words:?}: {}", node.stderr_text());
        sleep_ms(5);
    }
}

#[test]
fn an_arbiter_that_does_not_answer_is_named() {
    let nodes = Nodes::new("arbiter");
    let arbiter = format!("127.0.0.1:{}", free_port());
    let silent = Nodes { area: Area::new("arbiter-silent"), arbiter: arbiter.clone() };
    let mut node = silent.run("log", &[], "true");
    until_says_all(&node, &["arbiter", &arbiter, "refused", "gapless witness"]);
    let now = silent.until("log", &mut node, "error", |s| s.arbiter_error.is_some());
    assert!(now.arbiter_error.expect("just seen").contains(&arbiter));
    sleep_ms(2000);
    let lines = node.stderr_text().lines().filter(|l| l.contains("refused")).count();
    assert_eq!(lines, 1, "not again and again: {}", node.stderr_text());
    // What waiting cannot mend is refused at once, and nothing is made.
    for (arbiter, words) in [
        ("file:/nonexistent/dir/reg".to_owned(), "/nonexistent/dir does not exist"),
        (format!("file:{}", nodes.area.path().display()), "is a directory"),
        ("elsewhere".to_owned(), "not understood"),
    ] {
        for verb in ["run", "backup"] {
            let mut command = nodes.gapless(&[verb, "--listen", "127.0.0.1:0", "--arbiter", &arbiter, "--log"]);
            command.arg(nodes.log("log"));
            if verb == "run" {
                command.args(["--", "true"]);
            }
            let done = ends_at_once(nodes.start("refused", command));
            assert_eq!(done.code(), 125, "{verb} {arbiter}");
            assert!(done.stderr_text().contains(words), "{}", done.stderr_text());
            assert!(!nodes.log("log").exists());
        }
    }
}

#[test]
fn two_registers_are_noticed_by_both_sides() {
    let nodes = Nodes::new("registers");
    let backup = nodes.backup("backup");
    until_says(&backup, "joining");
    let address = query(&nodes.log("backup")).expect("it runs").address;
    let other = Nodes { area: Area::new("registers-other"), arbiter: String::new() };
    let other = Nodes { arbiter: format!("file:{}", other.area.join("register").display()), ..other };
    let primary = other.run("primary", &["--backup", &address], "true");
    for node in [&backup, &primary] {
        until_says_all(node, &["different registers", "--arbiter"]);
    }
    // The same when both registers have a history.
    let mut third = nodes.run("third", &["--unprotected-start"], "sleep 60");
    nodes.until("third", &mut third, "solo", |s| s.mode == "solo");
    let late = nodes.backup("late");
    nodes.until("third", &mut third, "protection", |s| s.mode == "protected");
    let address = query(&nodes.log("late")).expect("it runs").address;
    let fourth = other.run("fourth", &["--backup", &address], "true");
    assert_eq!(fourth.finish().code(), 125, "its register names another owner");
    let apart = Nodes { area: Area::new("registers-apart"), arbiter: String::new() };
    let apart = Nodes { arbiter: format!("file:{}", apart.area.join("register").display()), ..apart };
    let fifth = apart.run("fifth", &["--backup", &address], "true");
    until_says_all(&fifth, &["different registers", "--arbiter"]);
    until_says_all(&late, &["different registers", "--arbiter"]);
    assert_eq!(query(&nodes.log("third")).expect("it runs").mode, "protected", "nobody else is disturbed");
}

#[test]
fn a_hold_says_what_it_waits_for() {
    let nodes = Nodes::new("hold");
    let address = format!("127.0.0.1:{}", free_port());
    let mut node = nodes.run("log", &["--backup", &address], "echo held");
    until_says_all(&node, &["held until a backup joins", &address, "refused", "--backup", "--unprotected-start"]);
    until_says(&node, "holding in term 1");
    let now = nodes.until("log", &mut node, "hold", |s| s.held);
    assert!(now.mode == "solo" && now.dial_error.expect("it fails").contains(&address));
    let mut status = nodes.gapless(&["status"]);
    status.arg(nodes.log("log"));
    let shown = nodes.start("status", status).finish().stdout_text();
    assert!(shown.contains("holding all output") && shown.contains(&address), "{shown}");
    for bad in ["nowhere", "host:", ":7400", "host:0", "host:port", "host:99999"] {
        let mut command = nodes.gapless(&["run", "--backup", bad, "--arbiter", &nodes.arbiter, "--log"]);
        command.arg(nodes.log("bad")).args(["--", "true"]);
        let done = ends_at_once(nodes.start("bad-run", command));
        assert_eq!(done.code(), 2, "{bad}: {}", done.stderr_text());
        assert!(done.stderr_text().contains("HOST:PORT"), "{}", done.stderr_text());
    }
}

/// A call that gapless refuses ends one side and then, after its takeover, the other; each says what is true of it.
#[test]
fn a_side_that_fails_says_who_goes_on() {
    let nodes = Nodes::new("refused");
    // At a signal, a call that is refused by name.
    let script = "import ctypes, signal, time\n\
                  signal.signal(signal.SIGUSR1, lambda *_: ctypes.CDLL(None).ptrace(16, 1, 0, 0))\n\
                  print('ready', flush=True)\n\
                  while True: time.sleep(0.02)\n";
    let log = nodes.log("primary");
    let mut command = nodes.gapless(&["run", "--arbiter", &nodes.arbiter, "--log"]);
    command.arg(&log).args(["--", &support::python(), "-c", script]);
    let mut primary = Process::start(command, &log);
    let mut backup = nodes.backup("backup");
    nodes.until("primary", &mut primary, "protection", |s| s.mode == "protected");
    let now = nodes.until("backup", &mut backup, "sync", |s| s.in_sync);
    assert_eq!((now.role.as_str(), now.mode.as_str()), ("backup", "acking"));
    assert!(now.backup.is_some(), "{now:?}");
    assert!(now.why.starts_with("a session continues"), "for a person: {}", now.why);
    until_stdout(&primary, "ready");
    process::kill(primary.pid(), libc::SIGUSR1);
    let done = primary.finish();
    assert_eq!(done.code(), 125, "{}", done.stderr_text());
    let said = done.stderr_text();
    assert!(said.contains("this side has stopped; its backup") && said.contains("takes over"), "{said}");
    assert!(!said.contains("halted in term"), "{said}");
    // The signal may have been lost with the step that it came in; before the takeover it means nothing.
    while !backup.ended() {
        process::kill(backup.pid(), libc::SIGUSR1);
        sleep_ms(50);
    }
    let done = backup.finish();
    assert_eq!(done.code(), 125);
    let said = done.stderr_text();
    assert!(said.contains("no backup: the program runs nowhere now") && said.contains("gapless resume"), "{said}");
}

/// A log goes on only under the build that wrote it.
#[test]
fn another_builds_log_is_not_resumed() {
    let nodes = Nodes::new("build");
    let mut node = nodes.run("log", &["--unprotected-start"], "echo ready; exec sleep 60");
    until_stdout(&node, "ready");
    node.destroy();
    let log = nodes.log("log");
    let mut meta = gapless_log::Meta::load(&log).expect("a log").expect("a log");
    let ours = meta.identity.clone().expect("an identity");
    assert!(ours.code.starts_with("gapless-process ") && ours.code.contains(" build "), "{}", ours.code);
    for (field, words) in [("code", "code is"), ("feature", "hardware features differ")] {
        let mut other = ours.clone();
        match field {
            "code" => other.code += "-other",
            _ => other.features.push("zzz".into()),
        }
        meta.identity = Some(other);
        meta.store(&log).expect("stored");
        for verb in ["resume", "backup", "replay"] {
            let mut command = nodes.gapless(&[verb]);
            match verb {
                "backup" => command.args(["--listen", "127.0.0.1:0", "--log"]).arg(&log),
                _ => command.arg(&log),
            };
            if verb != "replay" {
                command.args(["--arbiter", &nodes.arbiter]);
            }
            let done = ends_at_once(nodes.start("other-build", command));
            assert_eq!(done.code(), 125, "{verb}: {}", done.stderr_text());
            assert!(done.stderr_text().contains(words), "{verb}: {}", done.stderr_text());
        }
    }
    meta.identity = Some(ours);
    meta.store(&log).expect("stored");
    let mut node = nodes.resume("log", &["--arbiter", &nodes.arbiter, "--detect", "300", "--digest-every", "500"]);
    nodes.until("log", &mut node, "solo", |s| s.mode == "solo");
}

/// One witness keeps the registers of many programs.
#[test]
fn one_witness_serves_many_programs() {
    let nodes = Nodes::new("witness");
    for bad in ["foo", "host:99999"] {
        let mut command = nodes.gapless(&["witness", "--listen", bad, "--log"]);
        command.arg(nodes.log("registers"));
        let done = ends_at_once(nodes.start("bad-witness", command));
        assert_eq!(done.code(), 2);
        assert!(done.stderr_text().contains("HOST:PORT"), "{}", done.stderr_text());
        assert!(!nodes.log("registers").exists());
    }
    let address = format!("127.0.0.1:{}", free_port());
    let witness = |name: &str| {
        let mut command = nodes.gapless(&["witness", "--listen", &address, "--log"]);
        command.arg(nodes.log(name));
        nodes.start(name, command)
    };
    let first = witness("registers");
    until_says(&first, "witness at");
    let second = ends_at_once(witness("second"));
    assert!(second.stderr_text().contains("is another witness running there?"), "{}", second.stderr_text());
    assert!(!nodes.log("second").exists());
    for pair in ["one", "two"] {
        let on_pair = Nodes { area: Area::new("witness-pair"), arbiter: format!("{address}/{pair}") };
        let done = on_pair.run("log", &["--unprotected-start"], "echo served").finish();
        assert_eq!((done.code(), done.stdout_text().as_str()), (0, "served\n"), "{}", done.stderr_text());
    }
}

/// A newcomer copies from `--help`.
#[test]
fn every_command_shows_an_example() {
    let nodes = Nodes::new("help");
    let help = |args: &[&str]| {
        let done = nodes.start("help", nodes.gapless(args)).finish();
        assert_eq!(done.code(), 0, "{args:?}");
        done.stdout_text()
    };
    let commands = [
        "run", "backup", "witness", "record", "replay", "resume", "status", "handover", "stop", "demo", "task",
        "doctor",
    ];
    let of_task = ["call", "status", "list", "dead-letters", "module"].map(|c| vec!["task", c]);
    let of_log = ["cat", "stat", "verify"].map(|c| vec!["log", c]);
    let commands = commands.iter().map(|c| vec![*c]).chain(of_log).chain(of_task);
    for command in commands {
        let shown = help(&[&command[..], &["--help"]].concat());
        let call = format!("gapless {}", command.join(" "));
        let (before, examples) =
            shown.split_once("Examples:").or_else(|| shown.split_once("Example:")).unwrap_or_else(|| panic!("{shown}"));
        assert!(examples.contains(&call), "{call}: {shown}");
        if before.contains("PROGRAM") {
            assert!(before.contains("-- <PROGRAM>") || before.contains("-- PROGRAM"), "{before}");
        }
        if before.contains("--arbiter") && command != ["demo"] {
            assert!(before.contains("HOST:PORT[/PAIR]"), "{before}");
        }
    }
    assert!(help(&["--help"]).contains("127"), "exit statuses");
}
