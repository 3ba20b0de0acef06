//! Everything that is asked of a program that runs to its end by itself.
//!
//! It is killed at positions spread over its whole run; what both lives wrote together must be what an undisturbed native run writes, and what it
//! leaves in its directory must be what that leaves.

use super::pair::Pair;
use super::process::{Process, sleep_ms};
use super::rounds::rounds;
use super::{Area, DEADLINE, Job, assert_continues, moments};
use gapless_log::{Kind, LogView, Seq};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often a program is killed.
#[derive(Clone, Copy)]
pub struct Kills {
    /// While it is recorded; it is resumed then.
    pub resumed: u32,
    /// While it is protected.
    pub taken_over: u32,
}

/// Programs whose logs are small.
pub const OFTEN: Kills = Kills { resumed: 8, taken_over: 4 };
/// How often one kill may come too late, each time earlier in the run.
const TRIES_MAX: u32 = 12;

/// A program, and what is asked of it.
pub struct Batch<'a> {
    pub name: &'a str,
    pub argv: &'a [&'a str],
    /// Run natively in what the survivor's log exports, it must say what it says of a native run's directory. Nothing is asked if it is empty.
    pub look: &'a [&'a str],
    pub kills: Kills,
}

/// A program that leaves nothing, killed often.
pub fn batch(name: &str, argv: &[&str], fill: impl Fn(&Path)) {
    batch_that_leaves(name, argv, &[], fill);
}

/// A program that leaves files, killed often.
pub fn batch_that_leaves(name: &str, argv: &[&str], look: &[&str], fill: impl Fn(&Path)) {
    Batch { name, argv, look, kills: OFTEN }.check(fill);
}

impl Batch<'_> {
    /// Asks it. `fill` makes the directory that it runs in, which is its state.
    pub fn check(&self, fill: impl Fn(&Path)) {
        let &Self { name, argv, look, kills } = self;
        let area = Area::new(name);
        let seen_in = |dir: &Path| {
            let Some((program, args)) = look.split_first() else { return String::new() };
            let mut command = area.command(*program, dir);
            command.args(args);
            let done = Process::start(command, &area.join("look")).finish();
            assert_eq!(done.code(), 0, "{name}: what was left: {}{}", done.stdout_text(), done.stderr_text());
            done.stdout_text()
        };
        let job_in = |folder: &str| {
            let dir = area.folder(folder);
            fill(&dir);
            Job::new(&dir, argv).stateful()
        };
        let native = {
            let job = job_in("native");
            Process::start(job.native(&area, &job.cwd), &area.join("native-run")).finish()
        };
        println!("{name}: natively status {}, {} bytes", native.code(), native.stdout.len());
        let seen = seen_in(&area.join("native"));

        // Recorded and replayed.
        let job = job_in("state");
        let log = area.join("log");
        let started = Instant::now();
        let recorded = Process::start(area.record(&log, &job), &area.join("record")).finish();
        let run = started.elapsed();
        assert_eq!(recorded.code(), native.code(), "{name} recorded; it said:\n{}", recorded.stderr_text());
        assert_eq!(recorded.stdout_text(), native.stdout_text(), "{name} recorded");
        assert_eq!(recorded.stderr_text(), native.stderr_text(), "{name} recorded");
        let replay = area.replay(&log);
        assert_eq!(replay["exit_status"], native.code(), "{name} replayed: {replay}");
        assert!(replay["digests"].as_u64() > Some(0), "{name}: nothing was compared: {replay}");
        assert_eq!(area.verify(&log), 0, "{name}: log verify");
        println!("{name}: recorded in {run:.1?}; {replay}");

        let last = Log::open(&log).expect("it was just replayed").position();
        let left = |log: &Path| {
            if look.is_empty() {
                return String::new();
            }
            let out = tempfile::tempdir_in(area.path()).expect("a directory");
            let mut export = area.gapless(area.path(), ["export"]);
            export.arg(log).arg("--state").arg(&job.cwd).arg("--to").arg(out.path());
            let done = Process::start(export, &area.join("export")).finish();
            assert_eq!(done.code(), 0, "{name}, exported: {}", done.stderr_text());
            seen_in(out.path())
        };
        assert_eq!(left(&log), seen, "{name}, recorded: what it left");

        for round in rounds() {
            // Killed and resumed.
            for (i, part) in parts(kills.resumed).into_iter().enumerate() {
                let what = kill_at(last, part, |target| {
                    let log = area.join(&format!("killed-{round}-{i}"));
                    let _ = fs::remove_dir_all(&log);
                    let mut process = Process::start(area.record(&log, &job), &area.join(&format!("life-{round}-{i}")));
                    if !reaches(&log, target, &mut process) {
                        return None;
                    }
                    let first = process.destroy();
                    let at = Log::open(&log).expect("it has a position").position();
                    let what = format!("{name}, killed at position {at} of {last}");
                    let second =
                        Process::start(area.resume(&log), &area.join(&format!("resumed-{round}-{i}"))).finish();
                    assert_eq!(second.code(), native.code(), "{what}, resumed:\n{}", second.stderr_text());
                    assert_continues(&native.stdout, &first.stdout, &second.stdout, &what);
                    let replay = area.replay(&log);
                    assert_eq!(replay["exit_status"], native.code(), "{what}, resumed, replayed: {replay}");
                    assert_eq!(left(&log), seen, "{what}, resumed: what it left");
                    // If nobody had to go live, the kill came after the end.
                    let lives = Log::open(&log).expect("it was just replayed").lives();
                    fs::remove_dir_all(&log).expect("room for the next one");
                    (lives == 1).then_some(what)
                });
                println!("{what}, and resumed");
            }

            // Protected and taken over.
            for (i, part) in parts(kills.taken_over).into_iter().enumerate() {
                let mut turn = 0;
                let what = kill_at(last, part, |target| {
                    turn += 1;
                    let area = Area::new(&format!("{name}-pair-{round}-{i}-{turn}"));
                    let mut pair = Pair::start(&area, &job);
                    let log = pair.primary.log.clone();
                    let in_time = pair.await_protected() && reaches(&log, target, &mut pair.primary.process);
                    if !in_time {
                        // On a machine that stalls, the backup may take a primary for dead that lives: then it is deposed, which is as good as killed.
                        let first = pair.primary.process.destroy();
                        let words = first.stderr_text();
                        if !words.contains("owns term") {
                            assert_eq!(first.code(), native.code(), "{name}, protected: {words}");
                            assert_eq!(pair.finish().stdout_text(), native.stdout_text(), "{name}, protected");
                            return None;
                        }
                    }
                    let first = pair.kill_primary();
                    let at = Log::open(&log).expect("it has a position").position();
                    let what = format!("{name}, protected, killed at position {at} of {last}");
                    let survivor = pair.primary.log.clone();
                    let second = pair.finish();
                    assert_eq!(second.code(), native.code(), "{what}:\n{}", second.stderr_text());
                    assert_continues(&native.stdout, &first.stdout, &second.stdout, &what);
                    assert_eq!(left(&survivor), seen, "{what}: what it left");
                    (Log::open(&survivor).expect("a survivor's log").lives() == 1).then_some(what)
                });
                println!("{what}, and taken over");
            }
        }
    }
}

/// As many points of a run, spread over it: each somewhere in its own part, but not in the last twentieth.
fn parts(count: u32) -> Vec<f64> {
    moments(Duration::from_secs(1), count).into_iter().map(|m| m.as_secs_f64() * 0.95).collect()
}

/// A kill before the run is over: at `part` of it, or, each time that this was too late, a quarter earlier.
fn kill_at<T>(last: u64, mut part: f64, mut kill: impl FnMut(u64) -> Option<T>) -> T {
    for _ in 0..TRIES_MAX {
        if let Some(killed) = kill((last as f64 * part) as u64) {
            return killed;
        }
        part *= 0.75;
    }
    panic!("it is over before it can be killed");
}

/// Waits until a log that is being written has come to a position; `false` if the program has ended before.
fn reaches(log: &Path, target: u64, process: &mut Process) -> bool {
    let since = Instant::now();
    while Log::open(log).is_none_or(|log| log.position() < target.max(1)) {
        if process.ended() {
            return false;
        }
        assert!(since.elapsed() < DEADLINE, "position {target} is not reached: {}", process.stderr_text());
        sleep_ms(2);
    }
    !process.ended()
}

/// A log that is looked at, and may be growing.
struct Log(LogView);

impl Log {
    /// `None` while it has not begun.
    fn open(dir: &Path) -> Option<Self> {
        LogView::open(dir).ok().map(|(view, _)| Self(view))
    }

    fn position(&self) -> u64 {
        self.0.last_position().0
    }

    /// How often a replica went live by taking over or resuming.
    fn lives(&self) -> usize {
        let frames = self.0.reader(Seq(0)).map(|frame| frame.expect("a whole frame"));
        frames.map(|frame| frame.entries().filter(|e| e.kind == Kind::LIVE).count()).sum()
    }
}
