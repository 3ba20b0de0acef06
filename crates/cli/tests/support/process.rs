//! One process: its output in files, a deadline, and nothing left when its value is dropped.

use super::DEADLINE;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub fn sleep_ms(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Sends a signal to a process that this test started.
pub fn kill(pid: u32, signal: i32) {
    // SAFETY: a plain system call.
    unsafe { libc::kill(pid as i32, signal) };
}

/// A running child with its output in files.
pub struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    ended: Option<ExitStatus>,
}

/// How a process ended, and all it wrote.
pub struct Done {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Done {
    /// As a shell has it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().expect("ended"))
    }

    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl Process {
    /// Starts `command` with its output in files named after `base`, and nothing to read.
    pub fn start(command: Command, base: &Path) -> Self {
        Self::start_with(command, base, Stdio::null(), None)
    }

    /// The same with a standard input, and another standard output.
    pub fn start_with(mut command: Command, base: &Path, stdin: Stdio, other: Option<Stdio>) -> Self {
        let path = |kind: &str| base.with_extension(kind);
        let file = |kind: &str| File::create(path(kind)).expect("a file for the output");
        command.process_group(0).stdin(stdin).stderr(file("err"));
        command.stdout(other.unwrap_or_else(|| file("out").into()));
        // SAFETY: between fork and exec only prctl is called, which is safe there.
        unsafe {
            command.pre_exec(|| {
                // A runner in the background of a shell ignores it, and children would too.
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let name = command.get_program().display().to_string();
        let child = command.spawn().unwrap_or_else(|e| panic!("{name} cannot be started: {e}"));
        Self { child, stdout: path("out"), stderr: path("err"), ended: None }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub fn ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be waited for");
        }
        self.ended.is_some()
    }

    /// What it has written so far.
    pub fn stdout(&self) -> Vec<u8> {
        fs::read(&self.stdout).unwrap_or_default()
    }

    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }

    /// Waits until it ends by itself.
    pub fn finish(self) -> Done {
        self.finish_within(DEADLINE)
    }

    /// The same for one that may take longer than any program.
    pub fn finish_within(mut self, deadline: Duration) -> Done {
        let since = Instant::now();
        while !self.ended() {
            if since.elapsed() > deadline {
                let said = self.stderr_text();
                self.destroy();
                panic!("it did not end in {deadline:?}; on standard error:\n{said}");
            }
            sleep_ms(2);
        }
        self.done()
    }

    fn done(&mut self) -> Done {
        let status = self.ended.expect("ended");
        Done { status, stdout: self.stdout(), stderr: fs::read(&self.stderr).unwrap_or_default() }
    }

    /// SIGKILL; nothing that it traced may be left.
    pub fn destroy(&mut self) -> Done {
        let traced = if self.ended() { BTreeSet::new() } else { traced_by(self.pid()) };
        let _ = self.child.kill();
        self.ended = Some(self.child.wait().expect("a child can be waited for"));
        let since = Instant::now();
        while traced.iter().any(|&pid| runs(pid)) {
            if since.elapsed() > Duration::from_secs(5) {
                let left: Vec<u32> = traced.iter().copied().filter(|&pid| runs(pid)).collect();
                left.iter().for_each(|&pid| kill(pid, libc::SIGKILL));
                assert!(std::thread::panicking(), "{left:?} outlived their supervisor");
            }
            sleep_ms(1);
        }
        self.done()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended() {
            self.destroy();
        }
    }
}

fn numbers(dir: &str) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn field(pid: u32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(text.lines().find_map(|line| line.strip_prefix(name))?.trim().to_owned())
}

/// Whose parent or tracer is a thread of `supervisor`.
pub fn traced_by(supervisor: u32) -> BTreeSet<u32> {
    let threads: BTreeSet<String> = numbers(&format!("/proc/{supervisor}/task")).map(|t| t.to_string()).collect();
    let is = |pid, name| field(pid, name).is_some_and(|who| threads.contains(&who));
    numbers("/proc").filter(|&pid| is(pid, "TracerPid:") || is(pid, "PPid:")).collect()
}

/// A zombie runs no more: it waits for whoever adopts orphans.
pub fn runs(pid: u32) -> bool {
    field(pid, "State:").is_some_and(|s| !s.starts_with(['Z', 'X']))
}

/// Processes with `dir` in their command line or environment, this one left out.
pub fn mentioning(dir: &Path) -> Vec<(u32, String)> {
    let wanted = dir.as_os_str().as_bytes();
    let has = |text: &[u8]| text.windows(wanted.len()).any(|w| w == wanted);
    let of = |pid: u32, what: &str| fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
    numbers("/proc")
        .filter(|&pid| pid != std::process::id() && runs(pid))
        .filter(|&pid| has(&of(pid, "cmdline")) || has(&of(pid, "environ")))
        .map(|pid| (pid, String::from_utf8_lossy(&of(pid, "cmdline")).replace('\0', " ")))
        .collect()
}
