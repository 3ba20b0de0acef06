//! Machines as a user starts them: a screen, a keyboard, a small network; and what their logs say when they are executed again.

use super::Area;
use super::process::{Done, Process, sleep_ms};
use gapless_gate::lab;
use gapless_log::{Host, LogView, Options, Parts, Position, Replayed, Replica, Seq};
use gapless_machine::{Local, Machine};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest that a guest may take for anything, on a host that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The guest's address, and its neighbour's.
pub const GUEST: &str = "10.77.0.2";
const NEIGHBOUR: &str = "10.77.0.1/24";

/// A file that `scripts/guest` has built.
pub fn guest(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guest").join(name);
    path.canonicalize().unwrap_or_else(|e| panic!("{}: {e}; `scripts/guest debian` builds the guests", path.display()))
}

/// Words of a command line.
pub fn words<S: Into<OsString>>(words: impl IntoIterator<Item = S>) -> Vec<OsString> {
    words.into_iter().map(Into::into).collect()
}

/// A live machine at a terminal.
pub struct Live {
    pub process: Process,
    keyboard: Option<ChildStdin>,
}

impl Live {
    pub fn start(command: Command, base: &Path) -> Self {
        let mut process = Process::start_with(command, base, Stdio::piped(), None);
        let keyboard = process.child().stdin.take();
        Self { process, keyboard }
    }

    /// The test initramfs, without a network: `words` of its command line, further `arguments`.
    pub fn test(area: &Area, log: &Path, append: &str, arguments: &[&str]) -> Self {
        let command = area.gapless(area.path(), machine("test", "128M", log, append, arguments));
        Self::start(command, log)
    }

    pub fn type_line(&mut self, line: &str) {
        let keyboard = self.keyboard.as_mut().expect("a keyboard");
        keyboard.write_all(format!("{line}\n").as_bytes()).expect("the machine takes what is typed");
    }

    /// All that was printed.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.process.stdout()).into_owned()
    }

    /// Waits until it has printed this so often.
    pub fn awaits_times(&mut self, text: &str, times: usize) {
        let since = Instant::now();
        loop {
            let (ended, screen) = (self.process.ended(), self.screen());
            if screen.matches(text).count() >= times {
                return;
            }
            let tail = &screen[screen.floor_char_boundary(screen.len().saturating_sub(2000))..];
            let said = self.process.stderr_text();
            assert!(!ended && since.elapsed() < PATIENCE, "it never printed '{text}' but ...{tail}\n{said}");
            sleep_ms(5);
        }
    }

    pub fn awaits(&mut self, text: &str) {
        self.awaits_times(text, 1);
    }

    /// Waits for something on standard error.
    pub fn awaits_word(&mut self, text: &str) {
        let since = Instant::now();
        while !self.process.stderr_text().contains(text) {
            assert!(
                !self.process.ended() && since.elapsed() < PATIENCE,
                "never said '{text}': {}",
                self.process.stderr_text()
            );
            sleep_ms(5);
        }
    }

    pub fn finish(self) -> Done {
        self.process.finish_within(PATIENCE)
    }
}

/// Arguments that switch a machine on which `scripts/guest` has built.
pub fn machine(name: &str, memory: &str, log: &Path, append: &str, arguments: &[&str]) -> Vec<OsString> {
    let mut all = words(["machine", "--memory", memory, "--append"]);
    all.push(format!("console=ttyS0 {append}").into());
    all.extend(["--kernel".into(), guest(&format!("{name}.kernel")).into_os_string()]);
    all.extend(["--initrd".into(), guest(&format!("{name}.initrd")).into_os_string()]);
    all.extend(words(["--digest-every", "200", "--log"]));
    all.push(log.into());
    all.extend(words(arguments));
    all
}

/// A bridge with a TAP for a machine, and one host beside it.
pub struct Network {
    lab: lab::Lab,
    pub neighbour: lab::Host,
}

impl Network {
    pub fn new() -> Self {
        let lab = lab::Lab::new().expect("a network; tests that need one run as root");
        lab.tap("tap0").expect("a TAP");
        let neighbour = lab.host(NEIGHBOUR).expect("a host");
        Self { lab, neighbour }
    }

    /// `gapless` where the TAP is.
    pub fn gapless(&self, area: &Area, arguments: Vec<OsString>) -> Command {
        let mut command = area.dressed(self.lab.command(env!("CARGO_BIN_EXE_gapless")), area.path());
        command.args(arguments);
        command
    }

    /// A program on the host beside it.
    pub fn beside(&self, area: &Area, program: &str, arguments: &[&str]) -> Command {
        super::needs(&program.into());
        let mut command = area.dressed(self.neighbour.command(program), area.path());
        command.args(arguments);
        command
    }
}

/// `gapless replay` of a machine's log: what it says of itself, or its digest at a position.
pub fn replay(area: &Area, log: &Path) -> serde_json::Value {
    let mut command = area.gapless(area.path(), ["replay", "--digest", "--json"]);
    command.arg(log);
    let done = Process::start(command, &area.join("replay")).finish_within(PATIENCE);
    assert_eq!(done.code(), 0, "the replay of {} failed:\n{}", log.display(), done.stderr_text());
    serde_json::from_slice(&done.stdout).expect("replay --json prints JSON")
}

/// What the command says the digest is at a position; with `save`, it saves the machine there.
pub fn digest_at(area: &Area, log: &Path, at: Position, save: Option<&Path>) -> u128 {
    let mut command = area.gapless(area.path(), words(["replay", "--digest", "--until", &at.to_string()]));
    command.arg(log).args(save.iter().flat_map(|file| ["--save".as_ref(), file.as_os_str()]));
    let done = Process::start(command, &area.join(&format!("replay-{at}"))).finish_within(PATIENCE);
    assert_eq!(done.code(), 0, "replaying {} until {at}: {}", log.display(), done.stderr_text());
    u128::from_str_radix(done.stdout_text().trim(), 16).expect("a digest")
}

/// What an execution of a log came to.
#[derive(Debug, Default)]
pub struct Again {
    pub digests: Vec<(Position, Parts)>,
    /// Digests in the log that were compared.
    pub compared: u64,
    pub ended: Option<i32>,
}

/// Executes a log from its files, with local files below `dir`, and takes a digest at each of `positions`, which are in order. `pauses` are positions at
/// which it only stops.
pub fn digests_at(log: &Path, dir: &Path, positions: &[Position], pauses: &[Position]) -> gapless_log::Result<Again> {
    let (view, _) = LogView::open(log)?;
    let mut host = Host::new(Machine::backup(dir, Local::default()), Options::default());
    let mut stops: Vec<(Position, bool)> = positions.iter().map(|&at| (at, true)).collect();
    stops.extend(pauses.iter().map(|&at| (at, false)));
    stops.sort();
    let (mut stops, mut again) = (stops.into_iter().peekable(), Again::default());
    for frame in view.reader(Seq(0)) {
        host.feed(&frame?)?;
        loop {
            let found = host.replay_step_until(stops.peek().map(|stop| stop.0))?;
            while let Some((at, wanted)) = stops.next_if(|stop| stop.0 <= host.replica().position()) {
                assert_eq!(at, host.replica().position(), "it stops where it should");
                if wanted {
                    again.digests.push((at, host.replica_mut().digest_parts()?));
                }
            }
            match found {
                Some(Replayed::Starved) => break,
                Some(Replayed::Sync(_)) => again.compared += 1,
                Some(Replayed::Step(_)) | None => {}
                Some(Replayed::Ended(status)) => {
                    again.ended = Some(status);
                    break;
                }
            }
        }
    }
    Ok(again)
}
