//! A pair on this machine: the processes of its two sides, what they say about themselves, and since when it is unprotected.
//!
//! The rule it keeps: it looks at the pair only as any user could (`gapless status`), and starts and kills it as any user could. A side that dies
//! without being killed is shown with its last words; the pair goes on only if the other side does.

use super::processes::{Process, how};
use gapless_pair::status::{Snapshot, query};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Pause between two looks at a side.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Sides that may die by themselves before the pair is given up.
const DEATHS_MAX: u32 = 3;

/// One side.
#[derive(Debug)]
struct Side {
    name: String,
    dir: PathBuf,
    process: Process,
    last: Snapshot,
}

impl Side {
    fn is_primary(&self) -> bool {
        self.last.role == "primary"
    }
}

/// Both sides, as long as they live.
#[derive(Debug)]
pub struct Pair {
    gapless: PathBuf,
    program: Vec<OsString>,
    dir: PathBuf,
    arbiter: String,
    sides: Vec<Side>,
    started: u32,
    deaths: u32,
    looked: Instant,
    /// Protected for the first time, and so measured.
    measured: bool,
    unprotected: Duration,
    /// Of sides that are gone.
    false_alarms: u64,
    /// Takeovers seen by the one that took over, of sides that are gone.
    takeovers: u64,
    notes: Vec<String>,
}

impl Pair {
    /// A pair of this executable of gapless around a program, whose logs go below `dir`; nothing is started yet.
    pub fn new(gapless: &Path, program: &[OsString], dir: &Path, arbiter: Option<&str>) -> Self {
        let own = || format!("file:{}", dir.join("register").display());
        // The sides start in directories of their own, where a relative name would mean something else.
        let absolute = |name: &str| match name.strip_prefix("file:").map(std::path::absolute) {
            Some(Ok(path)) => format!("file:{}", path.display()),
            _ => name.to_owned(),
        };
        Self {
            gapless: gapless.to_owned(),
            program: program.to_owned(),
            dir: dir.to_owned(),
            arbiter: arbiter.map_or_else(own, absolute),
            sides: Vec::new(),
            started: 0,
            deaths: 0,
            looked: Instant::now(),
            measured: false,
            unprotected: Duration::ZERO,
            false_alarms: 0,
            takeovers: 0,
            notes: Vec::new(),
        }
    }

    /// `gapless run` around the program, which starts in `cwd`.
    pub fn start_primary(&mut self, cwd: &Path) -> Result<(), String> {
        let dir = self.fresh_dir();
        let mut command = self.command("run", &dir);
        command.arg("--").args(&self.program).current_dir(cwd);
        self.start("primary", dir, command)
    }

    /// A fresh `gapless backup` with a log directory of its own.
    pub fn start_backup(&mut self) -> Result<(), String> {
        let dir = self.fresh_dir();
        let command = self.command("backup", &dir);
        self.start("backup", dir, command)
    }

    fn fresh_dir(&mut self) -> PathBuf {
        self.started += 1;
        self.dir.join(format!("side-{}", self.started))
    }

    fn command(&self, verb: &str, dir: &Path) -> Command {
        let mut command = Command::new(&self.gapless);
        let pair: [&OsStr; 6] = [
            "--arbiter".as_ref(),
            self.arbiter.as_ref(),
            "--listen".as_ref(),
            "127.0.0.1:0".as_ref(),
            "--log".as_ref(),
            dir.as_ref(),
        ];
        command.arg(verb).args(pair);
        command
    }

    fn start(&mut self, role: &str, dir: PathBuf, command: Command) -> Result<(), String> {
        let process = Process::start(command, &dir)?;
        let name = format!("{role} {} (pid {})", self.started, process.pid());
        self.sides.push(Side { name, dir, process, last: Snapshot::default() });
        Ok(())
    }

    /// Looks at both sides, at most as often as that makes sense.
    pub fn look(&mut self) -> Result<(), String> {
        if self.looked.elapsed() < LOOK_EVERY {
            return Ok(());
        }
        for side in &mut self.sides {
            // One that is just starting or ending has nothing to say.
            if let Ok(now) = query(&side.dir) {
                side.last = now;
            }
        }
        self.count_time();
        self.bury()
    }

    fn count_time(&mut self) {
        let passed = std::mem::replace(&mut self.looked, Instant::now()).elapsed();
        if self.is_protected() {
            self.measured = true;
        } else if self.measured {
            self.unprotected += passed;
        }
    }

    /// Takes away the sides that died by themselves.
    fn bury(&mut self) -> Result<(), String> {
        let Some(at) = self.sides.iter_mut().position(|side| side.process.ended().is_some()) else { return Ok(()) };
        let mut dead = self.sides.remove(at);
        self.forget(&dead.last);
        self.deaths += 1;
        let status = dead.process.ended().expect("found dead");
        let words = format!("{} {} by itself; the last that it said:\n{}", dead.name, how(status), dead.process.tail());
        if self.sides.is_empty() || !dead.is_primary() || self.deaths > DEATHS_MAX {
            return Err(words);
        }
        self.notes.push(words);
        Ok(())
    }

    fn forget(&mut self, last: &Snapshot) {
        self.false_alarms += last.false_alarms;
        self.takeovers += last.takeovers;
    }

    /// What a person should hear about, since the last time.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn primary(&self) -> Option<&Side> {
        // A deposed side may still call itself primary for a moment: the higher term is the one that counts.
        self.sides.iter().filter(|side| side.is_primary()).max_by_key(|side| side.last.term)
    }

    /// Somebody is live.
    pub fn has_primary(&self) -> bool {
        self.primary().is_some()
    }

    /// The primary's word that its backup is in sync.
    pub fn is_protected(&self) -> bool {
        self.sides.len() == 2 && self.primary().is_some_and(|side| side.last.mode == "protected")
    }

    /// There is nobody who could become protected by waiting.
    pub fn lacks_backup(&self) -> bool {
        self.sides.len() < 2
    }

    /// In a few words.
    pub fn state(&self) -> String {
        let Some(primary) = self.primary() else { return "nobody is live".into() };
        let behind = self.sides.iter().find(|side| side.last.role == "backup").map(|backup| {
            let (there, all) = (backup.last.position, primary.last.position.max(1));
            format!(", a backup has run {} %", (there * 100 / all).min(100))
        });
        match primary.last.mode.as_str() {
            "protected" => format!("protected in term {}", primary.last.term),
            mode => format!("{mode} in term {}{}", primary.last.term, behind.unwrap_or_default()),
        }
    }

    /// Where the sides stand; as long as this moves, waiting makes sense.
    pub fn footprint(&self) -> Vec<(u64, String)> {
        self.sides.iter().map(|side| (side.last.position, side.last.mode.clone())).collect()
    }

    /// What the sides said last, for a person who asks why nothing moves.
    pub fn last_words(&self) -> String {
        self.sides.iter().map(|side| format!("  {}, {}:\n{}", side.name, side.last.mode, side.process.tail())).collect()
    }

    /// How far the backup is behind at this moment, as the primary knows it.
    pub fn lag(&self) -> Result<Duration, String> {
        let primary = self.primary().ok_or("nobody is live")?;
        let now = query(&primary.dir).map_err(crate::text)?;
        Ok(Duration::from_secs_f64(now.lag_ms.max(0.0) / 1e3))
    }

    pub fn unprotected(&self) -> Duration {
        self.unprotected
    }

    pub fn false_alarms(&self) -> u64 {
        self.false_alarms + self.sides.iter().map(|side| side.last.false_alarms).sum::<u64>()
    }

    /// Takeovers as counted by the ones that took over.
    pub fn takeovers(&self) -> u64 {
        self.takeovers + self.sides.iter().map(|side| side.last.takeovers).sum::<u64>()
    }

    /// Kills the primary with SIGKILL at a moment when `now` is true. Its program is gone when this returns.
    pub fn kill_primary(&mut self, now: impl FnMut() -> bool) -> Result<(), String> {
        let term = self.primary().map(|side| side.last.term);
        let at = self.sides.iter().position(|side| side.is_primary() && Some(side.last.term) == term);
        let mut side = self.sides.remove(at.ok_or("there is no primary to kill")?);
        self.forget(&side.last);
        self.count_time();
        side.process.kill_when(now)
    }

    /// Kills both sides, the backup first, and names the survivor's log directory.
    pub fn kill_all(&mut self) -> Result<PathBuf, String> {
        let dir = self.primary().ok_or("nobody is live")?.dir.clone();
        self.sides.sort_by_key(Side::is_primary);
        while !self.sides.is_empty() {
            let mut side = self.sides.remove(0);
            self.forget(&side.last);
            side.process.kill()?;
        }
        Ok(dir)
    }

    /// `gapless resume` on a log whose sides are both dead.
    pub fn resume(&mut self, dir: PathBuf) -> Result<(), String> {
        let mut command = Command::new(&self.gapless);
        command.arg("resume").arg(&dir).args(["--arbiter", &self.arbiter]);
        self.started += 1;
        self.start("resumed", dir, command)
    }
}
