//! Processes that a command starts and kills: each by its pid, each gone when its value is dropped.
//!
//! The rule it keeps: nothing outlives the command. A child dies with its value; if this process is killed, the kernel kills the children; what a
//! supervisor traces dies with the supervisor, and that is checked, not assumed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longest time that the traced processes of a dead supervisor may take to be gone.
const GONE_WAIT_MAX: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Longest wait for the right moment to kill.
const MOMENT_WAIT_MAX: Duration = Duration::from_secs(1);
/// Lines shown of what a process said before it died.
const TAIL_LINES: usize = 20;
const TAIL_BYTES_MAX: usize = 16 << 10;

/// A running child.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    said: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts a child whose words go to files that begin with `said`. Call it on the main thread: the child dies with the thread that started it.
    pub fn start(mut command: Command, said: &Path) -> Result<Self, String> {
        let name = command.get_program().display().to_string();
        let file = |kind: &str| {
            let path = said.with_extension(kind);
            File::create(&path).map_err(|e| format!("{}: {e}", path.display()))
        };
        // A group of its own: Ctrl-C at the terminal is for this command, not for the program.
        command.process_group(0).stdin(Stdio::null()).stdout(file("stdout")?).stderr(file("stderr")?);
        let parent = std::process::id();
        // SAFETY: between fork and exec only prctl and getppid are called, which are safe there.
        unsafe {
            command.pre_exec(move || {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                if libc::getppid() as u32 == parent { Ok(()) } else { Err(std::io::ErrorKind::NotFound.into()) }
            });
        }
        let child = command.spawn().map_err(|e| format!("cannot start {name}: {e}"))?;
        Ok(Self { name, child, said: said.to_owned(), ended: None })
    }

    /// The program that was started.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// All that it wrote on stdout.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.said.with_extension("stdout")).unwrap_or_default()).into_owned()
    }

    /// The last lines that it said on stderr.
    pub fn tail(&self) -> String {
        let said = fs::read(self.said.with_extension("stderr")).unwrap_or_default();
        let said = String::from_utf8_lossy(&said[said.len().saturating_sub(TAIL_BYTES_MAX)..]).into_owned();
        let lines: Vec<&str> = said.lines().collect();
        let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        last.iter().map(|line| format!("    {line}\n")).collect()
    }

    /// Kills it with SIGKILL and waits until it is gone, and everything that it traced.
    pub fn kill(&mut self) -> Result<(), String> {
        self.kill_when(|| true)
    }

    /// The same, at a moment when `now` is true; at the latest after a second.
    pub fn kill_when(&mut self, mut now: impl FnMut() -> bool) -> Result<(), String> {
        if self.ended().is_some() {
            return Ok(());
        }
        let traced = traced_by(self.pid());
        let since = Instant::now();
        while !now() && since.elapsed() < MOMENT_WAIT_MAX {
            std::thread::yield_now();
        }
        // It may have ended this moment; then there is nothing to kill.
        let _ = self.child.kill();
        self.ended = self.child.wait().ok();
        all_gone(&traced).map_err(|left| {
            format!("processes {left:?} outlived their supervisor {} by {GONE_WAIT_MAX:?} and were killed", self.pid())
        })
    }
}

/// Waits until none of these runs any more; kills those that do not go.
fn all_gone(pids: &BTreeSet<u32>) -> Result<(), Vec<u32>> {
    let since = Instant::now();
    loop {
        let left: Vec<u32> = pids.iter().copied().filter(|&pid| runs(pid)).collect();
        if left.is_empty() {
            return Ok(());
        }
        if since.elapsed() > GONE_WAIT_MAX {
            for &pid in &left {
                // SAFETY: a plain system call; the pid was a child of ours' a moment ago and still runs.
                unsafe { libc::kill(pid as i32, libc::SIGKILL) };
            }
            return Err(left);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        let group = self.pid();
        // SAFETY: a plain system call on the group of a child that has not been waited for.
        unsafe { libc::kill(-(group as i32), libc::SIGKILL) };
        // A program that nobody supervises has its children there, and a killed one dies when it is next run.
        // SAFETY: a plain system call.
        let killed = numbers("/proc").filter(|&pid| unsafe { libc::getpgid(pid as i32) } as u32 == group).collect();
        let gone = self.kill().and_then(|()| {
            all_gone(&killed).map_err(|left| format!("processes {left:?} of {} outlived it", self.name))
        });
        if let Err(e) = gone {
            crate::out::talk!("gapless: {e}");
        }
    }
}

/// How a process ended, in words.
pub fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (_, Some(signal)) => format!("was killed by signal {signal}"),
        _ => "ended".into(),
    }
}

/// Processes that have `supervisor` as parent or tracer.
fn traced_by(supervisor: u32) -> BTreeSet<u32> {
    let threads: BTreeSet<u32> = numbers(&format!("/proc/{supervisor}/task")).collect();
    numbers("/proc")
        .filter(|&pid| status(pid).is_some_and(|s| threads.contains(&s.parent) || threads.contains(&s.tracer)))
        .collect()
}

fn numbers(dir: &str) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

struct ProcStatus {
    parent: u32,
    tracer: u32,
    state: char,
}

fn status(pid: u32) -> Option<ProcStatus> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| Some(text.lines().find_map(|line| line.strip_prefix(name))?.trim());
    Some(ProcStatus {
        parent: field("PPid:")?.parse().ok()?,
        tracer: field("TracerPid:")?.parse().ok()?,
        state: field("State:")?.chars().next()?,
    })
}

/// A zombie runs no more: it waits for whoever adopts orphans.
fn runs(pid: u32) -> bool {
    status(pid).is_some_and(|s| s.state != 'Z' && s.state != 'X')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(dir: &Path) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", "echo said >&2; sleep 600 & wait"]);
        Process::start(command, &dir.join("sleeper")).expect("sh is there")
    }

    #[test]
    fn a_killed_process_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut process = sleeper(dir.path());
        let pid = process.pid();
        let since = Instant::now();
        while traced_by(pid).is_empty() || process.tail().is_empty() {
            assert!(since.elapsed() < Duration::from_secs(20), "the shell starts its child");
            std::thread::sleep(LOOK_EVERY);
        }
        let child = *traced_by(pid).first().expect("just seen");
        assert_eq!(process.tail(), "    said\n");
        assert!(process.ended().is_none());
        // Nothing ties this orphan to its parent's death, so it is one that must be noticed.
        let waited = process.kill().expect_err("the orphan lives on");
        assert!(waited.contains(&child.to_string()), "{waited}");
        assert_eq!(how(process.ended().expect("killed")), "was killed by signal 9");
        assert!(!runs(pid));
        assert_eq!(all_gone(&[child].into()), Ok(()));
    }

    /// Its children too, and theirs, although nobody supervises them.
    #[test]
    fn a_dropped_process_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut command = Command::new("sh");
        command.args(["-c", "sh -c 'sleep 600; true'; true"]);
        let process = Process::start(command, &dir.path().join("sleepers")).expect("sh is there");
        let since = Instant::now();
        let below = |pid| traced_by(pid).first().copied();
        let sleeper = loop {
            assert!(since.elapsed() < Duration::from_secs(20), "the shells start their children");
            match below(process.pid()).and_then(below) {
                Some(sleeper) => break sleeper,
                None => std::thread::sleep(LOOK_EVERY),
            }
        };
        drop(process);
        assert!(!runs(sleeper));
    }

    #[test]
    fn what_cannot_be_started_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let error = Process::start(Command::new("/nonexistent/program"), &dir.path().join("x")).expect_err("not there");
        assert!(error.contains("/nonexistent/program"), "{error}");
    }
}
