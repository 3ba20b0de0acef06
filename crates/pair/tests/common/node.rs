//! A node that runs in a process of its own.

use super::counter::prepared_name;
use super::look::wait_until;
use super::plan::Plan;
use gapless_pair::status;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command};

/// A node in a process of its own.
pub struct Proc {
    child: Child,
    out: BufReader<ChildStdout>,
    pub address: String,
    pub dir: PathBuf,
}

impl Proc {
    /// Starts it, and waits until it says where it listens.
    pub fn start(mut command: Command, dir: &Path) -> Self {
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let address = said(&mut out).expect("a node says where it listens");
        Self { child, out, address, dir: dir.to_owned() }
    }

    fn signal(&self, signal: i32) {
        // SAFETY: no pointers; the process is our own child and not yet waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    pub fn stall(&self) {
        self.signal(libc::SIGSTOP);
    }

    pub fn go_on(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Processor time used so far.
    pub fn cpu_ms(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        // SAFETY: sysconf takes no pointers.
        let ticks_per_s = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as u64;
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        ticks * 1000 / ticks_per_s
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// It has prepared a takeover, and has neither taken over nor given up.
    pub fn is_prepared(&self, plan: &Plan) -> bool {
        plan.world.with_file_name(prepared_name(self.child.id())).exists()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// How the node ended, by itself.
    pub fn end(mut self) -> Option<String> {
        let end = said(&mut self.out);
        self.child.wait().unwrap();
        end
    }

    pub fn status(&self) -> Option<status::Snapshot> {
        status::query(&self.dir).ok()
    }

    pub fn wait_mode(&self, mode: &str) -> status::Snapshot {
        wait_until(&format!("{} is {mode}", self.dir.display()), || self.status().filter(|s| s.mode == mode))
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next line that a child says (the test harness says others).
pub fn said(out: &mut BufReader<ChildStdout>) -> Option<String> {
    let mut line = String::new();
    while out.read_line(&mut line).unwrap() > 0 {
        if let Some(at) = line.find("SAY ") {
            return Some(line[at + 4..].trim_end().to_owned());
        }
        line.clear();
    }
    None
}
