//! Real deaths: every tiny guest is recorded, its supervisor killed with SIGKILL, and resumed from the log; again and again, at moments spread
//! over its whole life.
//!
//! What must hold each time: nothing of the program is left running; the log recovers; the program ends as it should; and what the world has
//! seen of both lives is an undisturbed run, but that bytes which were not known to have left may be there twice.
//!
//! A kill counts when it came after the first step was logged and before the program's end; some more fall on purpose into the start, where
//! there is nothing to resume yet. Guests that read standard input are left out: what a dead supervisor has read from there and not logged is
//! gone, as docs/limits.md says.
//!
//! `GAPLESS_GUEST_KILLS` (20): kills of each guest that count.

#[path = "../../process/tests/guests/mod.rs"]
mod guests;

use gapless_log::{LogView, Seq};
use guests::{Guest, stable_lines};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Far above what any guest takes, also on a machine that stalls.
const LIMIT: Duration = Duration::from_secs(60);
/// Exit status when gapless itself refuses.
const REFUSED: i32 = 125;
/// Guests are dealt to this many tests, so that they run beside each other.
const HANDS: usize = 4;

fn kills() -> u32 {
    std::env::var("GAPLESS_GUEST_KILLS").ok().and_then(|v| v.parse().ok()).unwrap_or(20)
}

/// gapless, started in a process group of its own with its output in files named `NAME.out` and `NAME.err`.
fn start(dir: &Path, name: &str, guest: &Guest, args: &[&str]) -> Child {
    let file = |end: &str| File::create(dir.join(format!("{name}.{end}"))).expect("a file for output");
    fs::create_dir_all(dir.join("cwd")).expect("a directory to run in");
    Command::new(env!("CARGO_BIN_EXE_gapless"))
        .args(args)
        .envs(guest.env.iter().cloned())
        .current_dir(dir.join("cwd"))
        .stdin(Stdio::null())
        .stdout(file("out"))
        .stderr(file("err"))
        .process_group(0)
        .spawn()
        .expect("gapless starts")
}

/// Waits for its end; panics if that does not come.
fn end_of(mut child: Child, dir: &Path, name: &str) -> i32 {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return status.code().unwrap_or(-1);
        }
        if started.elapsed() > LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            panic!(
                "{name} is not done after {LIMIT:?}; it wrote:\n{}{}",
                text(dir, name, "out"),
                text(dir, name, "err")
            );
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn text(dir: &Path, name: &str, end: &str) -> String {
    String::from_utf8_lossy(&fs::read(dir.join(format!("{name}.{end}"))).expect("a file for output")).into_owned()
}

/// Orphans of the supervisor become children of this process, so that their end can be awaited.
fn adopt_orphans() {
    // SAFETY: takes no pointers.
    let ret = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    assert_eq!(ret, 0, "subreaper");
}

/// Nothing of the process group is left, soon.
fn nothing_left(group: i32) -> Result<(), String> {
    let started = Instant::now();
    loop {
        // SAFETY: no status is asked for; only members of a group that was started here are waited for.
        while unsafe { libc::waitpid(-group, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
        // SAFETY: takes no pointers; signal 0 only asks.
        if unsafe { libc::kill(-group, 0) } != 0 {
            return Ok(());
        }
        if started.elapsed() > Duration::from_secs(10) {
            return Err(format!("processes of group {group} outlive their supervisor"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Do both lives together show an undisturbed run? What the first said last, the second may have said again.
fn fits(first: &str, second: &str, expected: &[&str]) -> bool {
    (0..=first.len()).filter(|&at| first.is_char_boundary(at) && second.starts_with(&first[at..])).any(|at| {
        let world = format!("{}{second}", &first[..at]);
        stable_lines(&world) == expected
    })
}

fn record_args<'a>(log: &'a str, program: &'a str, guest: &'a Guest) -> Vec<&'a str> {
    let mut args = vec!["record", "--log", log, "--", program];
    args.extend(guest.args.iter().map(String::as_str));
    args
}

/// When to kill.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after the start.
    Start(Duration),
    /// So long after the log has grown to this many bytes.
    Logged(u64, Duration),
}

/// What a kill fell into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Struck {
    /// Nothing was logged that could be resumed.
    Unbegun,
    Alive,
    /// It had ended by itself.
    Ended,
}

/// Waits for the moment and kills; returns true if it had not ended.
fn strike(child: &mut Child, log: &Path, moment: Moment) -> bool {
    match moment {
        Moment::Start(after) => std::thread::sleep(after),
        Moment::Logged(bytes, after) => {
            let started = Instant::now();
            while log_bytes(log) < bytes && started.elapsed() < LIMIT && child.try_wait().expect("a child").is_none() {
                std::thread::sleep(Duration::from_micros(50));
            }
            std::thread::sleep(after);
        }
    }
    let alive = child.try_wait().expect("a child of ours").is_none();
    let _ = child.kill();
    child.wait().expect("a child of ours");
    alive
}

fn log_bytes(log: &Path) -> u64 {
    fs::metadata(gapless_log::segment_path(log, Seq(0))).map_or(0, |m| m.len())
}

/// One death; `replayed`: then the log of both lives is executed once more.
fn kill_once(guest: &Guest, expected: &[&str], moment: Moment, replayed: bool) -> Result<Struck, String> {
    let home = tempfile::tempdir().expect("a directory");
    let dir = home.path();
    let (log, program) = (dir.join("log"), guest.compile());
    let path = log.to_str().expect("UTF-8");
    let mut child = start(dir, "first", guest, &record_args(path, program.to_str().expect("UTF-8"), guest));
    let alive = strike(&mut child, &log, moment);
    nothing_left(child.id() as i32)?;
    let status = end_of(start(dir, "second", guest, &["resume", path]), dir, "second");
    let (first, second, errors) = (text(dir, "first", "out"), text(dir, "second", "out"), text(dir, "second", "err"));
    if status == REFUSED && first.is_empty() && (errors.contains("record anew") || errors.contains("holds no log")) {
        return Ok(Struck::Unbegun);
    }
    if status != guest.end.shell_code() {
        return Err(format!("resumed with status {status}\nfirst life:\n{first}\nsecond life:\n{second}{errors}"));
    }
    if !fits(&first, &second, expected) {
        return Err(format!("both lives do not fit\nfirst life:\n{first}\nsecond life:\n{second}{errors}"));
    }
    if replayed && end_of(start(dir, "replay", guest, &["replay", path, "--digest"]), dir, "replay") != 0 {
        return Err(format!("the whole log does not replay: {}", text(dir, "replay", "err")));
    }
    Ok(if alive { Struck::Alive } else { Struck::Ended })
}

/// An undisturbed run.
struct Undisturbed {
    said: String,
    /// From the start to the end.
    took: Duration,
    /// From the first step in the log to the end.
    lived: Duration,
    /// Bytes of the log that hold the first step.
    begun: u64,
}

fn undisturbed(guest: &Guest) -> Undisturbed {
    let home = tempfile::tempdir().expect("a directory");
    let run = |name: &str, begun: u64| {
        let (log, program) = (home.path().join(format!("log-{name}")), guest.compile());
        let args = record_args(log.to_str().expect("UTF-8"), program.to_str().expect("UTF-8"), guest);
        let started = Instant::now();
        let mut child = start(home.path(), name, guest, &args);
        while log_bytes(&log) < begun && child.try_wait().expect("a child of ours").is_none() {
            std::thread::sleep(Duration::from_micros(50));
        }
        let first_step = started.elapsed();
        let status = end_of(child, home.path(), name);
        let took = started.elapsed();
        assert_eq!(status, guest.end.shell_code(), "{}: {}", guest.name, text(home.path(), name, "err"));
        (log, took, took - first_step)
    };
    let (log, ..) = run("only", 0);
    let said = text(home.path(), "only", "out");
    let mut begun = gapless_log::SEGMENT_HEADER_BYTES as u64;
    for frame in LogView::open(&log).expect("a log").0.reader(Seq(0)) {
        let frame = frame.expect("a frame");
        begun += frame.len() as u64;
        if frame.ends_step() {
            break;
        }
    }
    let (_, took, lived) = run("timed", begun);
    Undisturbed { said, took, lived, begun }
}

/// From 0 to 1.
fn random_part() -> f64 {
    gapless_log::random_u128().expect("random bytes") as u64 as f64 / u64::MAX as f64
}

fn play(hand: usize) {
    adopt_orphans();
    let (mut done, mut unbegun, mut ended, mut failures) = (0, 0, 0, Vec::new());
    let all = guests::all().into_iter().filter(|g| g.refused.is_none() && g.stdin.is_empty());
    for guest in all.enumerate().filter(|(n, _)| n % HANDS == hand).map(|(_, guest)| guest) {
        let calm = undisturbed(&guest);
        let expected = stable_lines(&calm.said);
        let mut strike = |moment, replayed| {
            kill_once(&guest, &expected, moment, replayed).unwrap_or_else(|e| {
                failures.push(format!("{} killed {moment:?}: {e}", guest.name));
                Struck::Alive
            })
        };
        for _ in 0..kills().div_ceil(10) {
            let begun = calm.took.saturating_sub(calm.lived);
            unbegun += u32::from(strike(Moment::Start(begun.mul_f64(random_part())), false) == Struck::Unbegun);
        }
        let (mut alive, mut tries, mut window) = (0, 0, calm.lived);
        while alive < kills() {
            match strike(Moment::Logged(calm.begun, window.mul_f64(random_part())), alive == 0) {
                Struck::Alive => alive += 1,
                Struck::Unbegun => unbegun += 1,
                // The machine was busier when it was measured.
                Struck::Ended => {
                    ended += 1;
                    window = window.mul_f64(0.8);
                }
            }
            tries += 1;
            assert!(tries < 20 * kills(), "{} cannot be killed while it runs: {alive} of {tries}", guest.name);
        }
        done += alive;
    }
    println!("{done} kills survived; {unbegun} more came before the first step was logged, {ended} after the end");
    assert!(failures.is_empty(), "{} kills not survived:\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn first_hand() {
    play(0);
}

#[test]
fn second_hand() {
    play(1);
}

#[test]
fn third_hand() {
    play(2);
}

#[test]
fn fourth_hand() {
    play(3);
}
