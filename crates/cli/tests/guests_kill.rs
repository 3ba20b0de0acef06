//! Real deaths: every tiny guest is recorded, its supervisor killed with SIGKILL at a random moment, and resumed from the log.
//!
//! What must hold each time: nothing of the program is left running; the log recovers; the program ends as it should; and what the world has
//! seen of both lives is an undisturbed run, but that bytes which were not known to have left may be there twice.
//!
//! `GAPLESS_GUEST_KILLS` (5): kills of each guest. Guests that read standard input are left out: what a dead supervisor has read from
//! there and not logged is gone, as docs/limits.md says.

#[path = "../../process/tests/guests/mod.rs"]
mod guests;

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
    std::env::var("GAPLESS_GUEST_KILLS").ok().and_then(|v| v.parse().ok()).unwrap_or(5)
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

/// One death; `replayed`: then the log of both lives is executed once more. `Ok(false)` if it came before anything was logged.
fn kill_once(guest: &Guest, expected: &[&str], after: Duration, replayed: bool) -> Result<bool, String> {
    let home = tempfile::tempdir().expect("a directory");
    let dir = home.path();
    let (log, program) = (dir.join("log"), guest.compile());
    let log = log.to_str().expect("UTF-8");
    let mut child = start(dir, "first", guest, &record_args(log, program.to_str().expect("UTF-8"), guest));
    std::thread::sleep(after);
    child.kill().expect("a child of ours, not yet waited for");
    child.wait().expect("a child of ours");
    nothing_left(child.id() as i32)?;
    let status = end_of(start(dir, "second", guest, &["resume", log]), dir, "second");
    let (first, second, errors) = (text(dir, "first", "out"), text(dir, "second", "out"), text(dir, "second", "err"));
    if status == REFUSED && first.is_empty() && (errors.contains("record anew") || errors.contains("holds no log")) {
        return Ok(false);
    }
    if status != guest.end.shell_code() {
        return Err(format!("resumed with status {status}\nfirst life:\n{first}\nsecond life:\n{second}{errors}"));
    }
    if !fits(&first, &second, expected) {
        return Err(format!("both lives do not fit\nfirst life:\n{first}\nsecond life:\n{second}{errors}"));
    }
    if replayed && end_of(start(dir, "replay", guest, &["replay", log, "--digest"]), dir, "replay") != 0 {
        return Err(format!("the whole log does not replay: {}", text(dir, "replay", "err")));
    }
    Ok(true)
}

/// An undisturbed run: what it shows, and how long it takes.
fn undisturbed(guest: &Guest) -> (String, Duration) {
    let home = tempfile::tempdir().expect("a directory");
    let (log, program) = (home.path().join("log"), guest.compile());
    let args = record_args(log.to_str().expect("UTF-8"), program.to_str().expect("UTF-8"), guest);
    let started = Instant::now();
    let status = end_of(start(home.path(), "only", guest, &args), home.path(), "only");
    let took = started.elapsed();
    let said = text(home.path(), "only", "out");
    assert_eq!(status, guest.end.shell_code(), "{}: {said}{}", guest.name, text(home.path(), "only", "err"));
    (said, took)
}

fn play(hand: usize) {
    adopt_orphans();
    let (mut done, mut early, mut failures) = (0, 0, Vec::new());
    let all = guests::all().into_iter().filter(|g| g.refused.is_none() && g.stdin.is_empty());
    for guest in all.enumerate().filter(|(n, _)| n % HANDS == hand).map(|(_, guest)| guest) {
        let (said, took) = undisturbed(&guest);
        let expected = stable_lines(&said);
        for kill in 1..=kills() {
            let random = gapless_log::random_u128().expect("random bytes") as u64;
            let part = random as f64 / u64::MAX as f64;
            // The start takes half of a short run; one kill in five may fall there.
            let after = took.mul_f64(if kill % 5 == 0 { part } else { 0.4 + 0.6 * part });
            match kill_once(&guest, &expected, after, kill == 1) {
                Ok(true) => done += 1,
                Ok(false) => early += 1,
                Err(e) => failures.push(format!("{} killed after {after:?}: {e}", guest.name)),
            }
        }
    }
    println!("{done} kills survived, {early} came before the first step was logged");
    assert!(failures.is_empty(), "{} kills not survived:\n{}", failures.len(), failures.join("\n\n"));
    assert!(done > 0, "no kill came after the first step");
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
