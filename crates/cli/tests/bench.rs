//! `gapless bench process` as a user has it: the shape of what it says, and that nothing of it is left behind. What it measures is not judged here.

mod support;

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use support::process::{Done, Process, kill, mentioning, sleep_ms};
use support::{Area, needs};

/// `gapless bench process` with its temporary files in the area.
fn bench(area: &Area, path: Option<&str>, args: &[&str]) -> Command {
    let mut command = area.gapless(area.path(), ["bench", "process"]);
    command.args(args).env("TMPDIR", area.folder("tmp")).stdin(Stdio::null());
    path.map(|path| command.env("PATH", path));
    command
}

fn ends(area: &Area, path: Option<&str>, args: &[&str]) -> Done {
    Process::start(bench(area, path, args), &area.join("bench")).finish()
}

fn assert_nothing_left(area: &Area) {
    assert_eq!(std::fs::read_dir(area.join("tmp")).expect("it is there").count(), 0, "files are left");
    assert_eq!(mentioning(area.path()), [], "processes are left");
}

/// The cells of a table's line.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn a_row_is_a_table_for_a_person() {
    let area = Area::new("bench-table");
    let done = ends(&area, None, &["calls", "--rounds", "1"]);
    assert_eq!(done.code(), 0, "{}", done.stderr_text());
    let text = String::from_utf8(done.stdout.clone()).expect("text");
    let lines: Vec<_> = text.lines().map(cells).collect();
    assert_eq!(lines[0], ["row", "figure", "value", "goal", "result", "from"], "{text}");
    for (figure, goal) in [("recorded / native", "<= 1.6"), ("recorded / native under a seccomp filter", "<= 1.2")] {
        let line = lines.iter().find(|line| line[0] == "calls" && line[1] == figure);
        let line = line.unwrap_or_else(|| panic!("no line for {figure}: {text}"));
        assert_eq!(line[3], goal, "{text}");
        assert!(line[2].parse::<f64>().is_ok_and(|ratio| ratio > 0.0), "{text}");
        assert!(["met", "not met"].contains(&line[4]), "{text}");
    }
    assert!(text.lines().last().is_some_and(|last| last.starts_with("rr: ")), "{text}");
    assert!(done.stderr_text().contains("calls: getppid"), "progress is shown: {}", done.stderr_text());
    assert_nothing_left(&area);
}

#[test]
fn a_row_is_an_object_for_a_script() {
    let area = Area::new("bench-json");
    let done = ends(&area, None, &["clock", "calls", "--rounds", "2", "--json"]);
    assert_eq!(done.code(), 0, "{}", done.stderr_text());
    let json: Value = serde_json::from_slice(&done.stdout).expect("one object");
    assert_eq!(json["sizes"]["rounds"], 2, "{json}");
    assert!(json["rr"].is_string(), "{json}");
    // In the order of the table, whatever the order in which they were asked for.
    let rows: Vec<_> = json["rows"].as_array().expect("rows").iter().map(|row| &row["row"]).collect();
    assert_eq!(rows, ["calls", "clock"], "{json}");
    let calls = &json["rows"][0];
    for way in ["native", "filtered", "recorded"] {
        let samples = calls["series"][way]["samples"].as_array().expect("samples");
        assert_eq!(samples.len(), 2, "one a round: {json}");
        assert!(samples.iter().all(|sample| sample.as_f64().is_some_and(|ns| ns > 1.0)), "{json}");
    }
    let figure = &calls["figures"][0];
    let of = |way: &str| calls["series"][way]["median"].as_f64().expect("a median");
    let value = figure["value"].as_f64().expect("a figure");
    // Decimals on their way there and back may lose the last digit.
    assert!((value * of("native") / of("recorded") - 1.0).abs() < 1e-9, "{json}");
    assert_eq!((&figure["at_most"], &figure["met"]), (&1.6.into(), &(value <= 1.6).into()));
    assert_eq!(json["rows"][1]["figures"][0]["met"], Value::Null, "a figure without a goal: {json}");
    assert_nothing_left(&area);
}

#[test]
fn a_program_that_is_missing_is_named_with_its_package() {
    let area = Area::new("bench-missing");
    let empty = area.folder("empty").display().to_string();
    let done = ends(&area, Some(&empty), &["redis", "calls", "--rounds", "1", "--json"]);
    assert_eq!(done.code(), 1, "not everything was measured: {}", done.stderr_text());
    let json: Value = serde_json::from_slice(&done.stdout).expect("one object");
    assert_eq!(json["rows"][0]["not_measured"], Value::Null, "the other row is measured: {json}");
    let why = "redis-server is not installed (Debian package redis-server)";
    assert_eq!(json["rows"][1]["not_measured"], why, "{json}");
    assert_eq!(json["rows"][1]["figures"][0]["value"], Value::Null, "{json}");
    assert_nothing_left(&area);
}

/// A program that takes rr's place: it runs what it is to record, or it refuses.
#[test]
fn rr_takes_its_turn_or_says_why_not() {
    let refusal = "[FATAL ./src/PerfCounters.cc:1:check()] no counters";
    let runs = "shift 3; exec \"$@\"".to_owned();
    for (script, works) in [(runs, true), (format!("echo '{refusal}' >&2; echo more >&2; exit 1"), false)] {
        let area = Area::new("bench-rr");
        let rr = area.folder("bin").join("rr");
        std::fs::write(&rr, format!("#!/bin/sh\n{script}\n")).expect("a script");
        std::fs::set_permissions(&rr, std::fs::Permissions::from_mode(0o755)).expect("a script of ours");
        let path = format!("{}:{}", area.join("bin").display(), std::env::var("PATH").expect("a PATH"));
        let done = ends(&area, Some(&path), &["clock", "--rounds", "1"]);
        assert_eq!(done.code(), 0, "{}", done.stderr_text());
        let text = done.stdout_text();
        let lines: Vec<_> = text.lines().map(cells).filter(|line| line[0] == "clock").map(|line| line[1]).collect();
        let (expect, last): (&[&str], _) = match works {
            true => (&["recorded / native", "rr record / native"], "rr: measured".to_owned()),
            false => (&["recorded / native"], format!("rr: not measured, it says: {refusal}")),
        };
        assert_eq!(lines, expect, "{text}");
        assert_eq!(text.lines().last(), Some(&*last), "{text}");
        assert_nothing_left(&area);
    }
}

/// Whatever runs at that moment: a pair under load; compilers that nobody supervises.
#[test]
fn an_interrupted_bench_leaves_nothing() {
    for (row, runs) in [("lag", "redis-benchmark"), ("make", "cc1")] {
        let program = if row == "make" { "cc" } else { runs };
        needs(&program.into());
        let area = Area::new("bench-interrupted");
        let command = bench(&area, None, &[row, "--requests", "100000000"]);
        let mut process = Process::start(command, &area.join("bench"));
        while !mentioning(area.path()).iter().any(|(_, line)| line.contains(runs)) {
            assert!(!process.ended(), "{row}: {}", process.stderr_text());
            sleep_ms(2);
        }
        kill(process.pid(), libc::SIGINT);
        let done = process.finish();
        assert_eq!(done.code(), 125, "{row}: {}", done.stderr_text());
        assert!(done.stderr_text().ends_with("gapless: interrupted\n"), "{row}: {}", done.stderr_text());
        assert_nothing_left(&area);
    }
}

#[test]
fn a_row_that_is_not_there_is_refused_with_those_that_are() {
    let area = Area::new("bench-unknown");
    let done = ends(&area, None, &["no-such-row"]);
    assert_eq!(done.code(), 2, "{}", done.stderr_text());
    assert!(done.stderr_text().contains("calls, clock, redis"), "{}", done.stderr_text());
}
