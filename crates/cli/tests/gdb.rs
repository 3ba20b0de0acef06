//! `gapless replay --gdb` under the real gdb-multiarch: a recorded guest, forwards and backwards.

#[path = "../../machine/tests/support/guest.rs"]
mod guest;
mod support;

use guest::{COUNTER, STORE, TICKS, WORK};
use std::time::Instant;
use support::process::{Process, kill, sleep_ms};
use support::{Area, DEADLINE};

const CALLS: u64 = 300;

/// A recorded guest that waits for gdb.
struct Replay {
    area: Area,
    server: Process,
    port: u16,
}

impl Replay {
    fn start(name: &str, calls: u64, more: &[&str]) -> Self {
        let area = Area::new(name);
        let log = area.join("log");
        std::fs::write(area.join("kernel"), guest::image(calls)).unwrap();
        let mut command = area.gapless(area.path(), ["machine", "--kernel", "kernel", "--memory", "64M", "--log"]);
        command.arg(&log);
        let recorded = Process::start(command, &area.join("record")).finish();
        assert_eq!(recorded.code(), 0, "{}", recorded.stderr_text());
        let mut command = area.gapless(area.path(), ["replay", "--gdb", ":0"]);
        command.arg(&log).args(more);
        let mut server = Process::start(command, &area.join("server"));
        let since = Instant::now();
        let port = loop {
            let said = server.stderr_text();
            if let Some((_, rest)) = said.split_once("127.0.0.1:")
                && let Some((port, _)) = rest.split_once('\'')
            {
                break port.parse().unwrap();
            }
            assert!(!server.ended() && since.elapsed() < DEADLINE, "it does not wait for gdb: {said}");
            sleep_ms(5);
        };
        Self { area, server, port }
    }

    /// Starts gdb with these commands; they go on behind one that fails.
    fn gdb(&self, commands: &[&str]) -> Process {
        let target = format!("target remote 127.0.0.1:{}", self.port);
        let mut command = self.area.command("gdb-multiarch", self.area.path());
        command.args(["-nx", "-batch", "-ex", "set confirm off", "-ex", "set pagination off", "-ex", &target]);
        for line in commands {
            command.args(["-ex", "printf \"\\n\"", "-ex"]).arg(line);
        }
        Process::start(command, &self.area.join("gdb"))
    }

    /// What gdb printed, errors too; the server has left with it.
    fn session(self, commands: &[&str]) -> String {
        let done = self.gdb(commands).finish();
        let (said, errors) = (done.stdout_text(), done.stderr_text());
        let server = self.server.finish();
        assert_eq!(server.code(), 0, "{}\n{said}\n{errors}", server.stderr_text());
        assert!(server.stderr_text().contains("gdb has left"), "{}", server.stderr_text());
        format!("{said}\n{errors}")
    }
}

/// The positions that `monitor position` printed.
fn positions(said: &str) -> Vec<u64> {
    let lines = said.lines().filter_map(|line| line.strip_prefix("position "));
    lines.filter_map(|rest| rest.split(' ').next()?.parse().ok()).collect()
}

fn count(said: &str, what: &str) -> usize {
    said.matches(what).count()
}

#[test]
fn breakpoints_and_single_steps_lead_back_to_where_one_was() {
    let replay = Replay::start("gdb-break", CALLS, &[]);
    let (here, there) = (format!("break *{WORK:#x}"), format!("hbreak *{STORE:#x}"));
    let look = format!("x/gx {COUNTER:#x}");
    let said = replay.session(&[
        "monitor position",
        &here,
        "continue",
        "continue",
        "continue",
        "monitor position",
        &look,
        "stepi",
        "stepi",
        "monitor position",
        "reverse-stepi",
        "reverse-stepi",
        "monitor position",
        "continue",
        "reverse-continue",
        "monitor position",
        &look,
        "delete",
        &there,
        "reverse-continue",
        "p/x $pc",
        &look,
        "continue",
        "continue",
        "reverse-continue",
        &look,
    ]);
    let at = positions(&said);
    assert_eq!(at[0], 0, "{said}");
    assert_eq!((at[2], at[3], at[4]), (at[1] + 2, at[1], at[1]), "{said}");
    assert_eq!(count(&said, "Breakpoint 1, "), 6, "{said}");
    assert_eq!(count(&said, "Breakpoint 2, "), 4, "{said}");
    let seen: Vec<_> = said.lines().filter(|line| line.starts_with(&format!("{COUNTER:#x}:"))).collect();
    let seen: Vec<_> = seen.iter().filter_map(|line| line.chars().last()).collect();
    assert_eq!(seen, ['2', '2', '1', '2'], "{said}");
    assert!(said.contains(&format!("$1 = {STORE:#x}")), "{said}");
}

#[test]
fn watchpoints_show_the_old_and_the_new_value_in_both_directions() {
    let replay = Replay::start("gdb-watch", CALLS, &[]);
    let said = replay.session(&[
        "monitor seek 3000",
        "maintenance flush register-cache",
        &format!("watch *(long*){COUNTER:#x}"),
        "continue",
        "p/x $pc",
        "monitor position",
        "continue",
        "reverse-continue",
        "reverse-continue",
        "p/x $pc",
        "monitor position",
        "delete",
        &format!("rwatch *(long*){TICKS:#x}"),
        "continue",
        "delete",
        &format!("awatch *(long*){COUNTER:#x}"),
        "continue",
        "continue",
    ]);
    assert!(said.contains(&format!("$1 = {:#x}", STORE + 4)), "behind the store: {said}");
    assert!(said.contains(&format!("$2 = {STORE:#x}")), "before it: {said}");
    let at = positions(&said);
    assert_eq!(at, [3000, at[1], at[1] - 1], "{said}");
    assert_eq!(count(&said, "Old value = "), 5, "{said}");
    assert_eq!(count(&said, "\nValue = "), 2, "one read of each: {said}");
    let values: Vec<u64> = said.lines().filter_map(|l| l.split_once("value = ")?.1.parse().ok()).collect();
    let n = values[0];
    assert_eq!(values[..8], [n, n + 1, n + 1, n + 2, n + 2, n + 1, n + 1, n], "{said}");
}

#[test]
fn the_past_cannot_be_changed_and_ends_at_both_ends() {
    let replay = Replay::start("gdb-past", CALLS, &["--until", "2000"]);
    let before = format!("x/gx {COUNTER:#x}");
    let said = replay.session(&[
        "monitor position",
        &before,
        &format!("set var *(long*){COUNTER:#x} = 77"),
        "set $a0 = 77",
        "set $pc = 0",
        "x/gx 0x50000000",
        "stepi",
        &before,
        "p $ft1.double + $ft2.double",
        "info registers priv",
        "p/x $satp >> 60",
        "p $fcsr",
        "monitor when",
        "monitor event",
        "monitor fly",
        "continue",
        "monitor position",
        "continue",
        "stepi",
        "reverse-stepi",
        "monitor position",
        "reverse-continue",
        "monitor position",
        "continue",
        "monitor position",
    ]);
    assert!(said.contains("[memory was not written: this is a replay, and the past cannot be changed]"), "{said}");
    assert!(said.contains("[a register was not written"), "{said}");
    let counter: Vec<_> = said.lines().filter(|line| line.starts_with(&format!("{COUNTER:#x}:"))).collect();
    assert_eq!(counter.len(), 2, "{said}");
    assert!(counter.iter().all(|line| !line.contains("4d")), "{said}");
    assert!(said.contains("Cannot access memory at address 0x50000000"), "{said}");
    assert!(said.contains("= 10.5"), "{said}");
    assert!(said.contains("Supervisor") && said.contains("= 0x8"), "{said}");
    assert!(said.contains(" s since the machine was switched on, at position 2001"), "{said}");
    assert!(said.contains("clock: "), "{said}");
    assert!(said.contains("monitor seek POSITION"), "help: {said}");
    assert_eq!(count(&said, "[the log ends here, at position "), 4, "{said}");
    assert_eq!(count(&said, "[the log begins here, at position 0;"), 1, "{said}");
    let at = positions(&said);
    assert_eq!(at, [2000, at[1], at[1] - 1, 0, at[1]], "{said}");
}

#[test]
fn ctrl_c_stops_a_long_run() {
    let mut replay = Replay::start("gdb-interrupt", 6_000_000, &[]);
    let mut gdb =
        replay.gdb(&["shell touch begun", "continue", "monitor position", "reverse-stepi", "monitor position"]);
    let since = Instant::now();
    while !replay.area.join("begun").exists() {
        assert!(!gdb.ended() && since.elapsed() < DEADLINE, "gdb did not begin: {}", gdb.stderr_text());
        sleep_ms(5);
    }
    // Long enough for gdb to say `continue`, and far shorter than the run.
    sleep_ms(300);
    kill(gdb.pid(), libc::SIGINT);
    let done = gdb.finish();
    let said = format!("{}\n{}", done.stdout_text(), done.stderr_text());
    let at = positions(&said);
    assert!(said.contains("SIGINT"), "{said}");
    assert!(at.len() == 2 && at[0] > 0 && at[1] == at[0] - 1, "{said}");
    let since = Instant::now();
    while !replay.server.ended() {
        assert!(since.elapsed() < DEADLINE, "it stays behind: {}", replay.server.stderr_text());
        sleep_ms(5);
    }
}

#[test]
fn only_machines_are_debugged() {
    let area = Area::new("gdb-refused");
    let log = area.join("log");
    let job = support::Job::new(area.path(), ["true"]);
    assert_eq!(Process::start(area.record(&log, &job), &area.join("record")).finish().code(), 0);
    let mut command = area.gapless(area.path(), ["replay", "--gdb", ":0"]);
    command.arg(&log);
    let done = Process::start(command, &area.join("server")).finish();
    assert_eq!(done.code(), 125);
    assert!(done.stderr_text().contains("--gdb is for machines"), "{}", done.stderr_text());
}
