//! What a node tells the outside about itself: a unix socket `control` in its log directory.
//!
//! One line in (`status`, `handover`, `stop`), one line of JSON out. The rule it keeps: looking never disturbs the pair, and whoever may write the
//! directory may ask. What it leaves out: history; metrics are made of two looks.

use crate::driver::{Control, Latency};
use gapless_log::{Error, Result, at_short_path};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Name of the socket in a log directory.
pub const CONTROL_NAME: &str = "control";
const TIMEOUT: Duration = Duration::from_secs(2);
const REQUEST_BYTES_MAX: u64 = 256;
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// What a node is doing at one moment.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// `primary`, `backup`, `starting` or `halted`.
    pub role: String,
    /// `solo`, `closing`, `protected`, `joining`, `acking`, `silent`, `starting` or `halted`.
    pub mode: String,
    /// A put is on its way and not known to be won or lost.
    pub asking: bool,
    /// Live after a fresh start, but no output leaves before a backup is in sync.
    pub held: bool,
    /// A backup may take over: of a primary, that it is protected; of a backup, that the register names this very life.
    pub in_sync: bool,
    /// Why the mode changed last.
    pub why: String,
    /// The highest term seen.
    pub term: u64,
    /// This life.
    pub life: String,
    /// Where this node listens.
    pub address: String,
    /// The owner's address in the register.
    pub owner: Option<String>,
    /// The named backup's address in the register.
    pub backup: Option<String>,
    /// The address of the node that spoke last.
    pub peer: Option<String>,
    /// Position of the replica.
    pub position: u64,
    /// Number of the next entry.
    pub next_seq: u64,
    /// End of the log on this side.
    pub log_end: u64,
    /// Outputs whose mark lies below may leave.
    pub committed: u64,
    /// Entries that the backup has not executed.
    pub lag_entries: u64,
    /// Bytes of log that the backup has not executed (known to the primary).
    pub lag_bytes: u64,
    /// Age of the oldest frame that the backup has not executed (known to the primary).
    pub lag_ms: f64,
    /// From the sealing of a frame to its commit, while protected.
    pub commit_latency: Latency,
    /// Takeovers by this node, planned ones included.
    pub takeovers: u64,
    /// Times that somebody was given up who was alive.
    pub false_alarms: u64,
    /// From noticing the owner's silence to the live replica, the last time.
    pub last_takeover_ms: Option<f64>,
    /// Time spent live without a backup.
    pub unprotected_ms: f64,
    /// Time since the node began.
    pub uptime_ms: f64,
    /// Connections given up because they did not speak the protocol.
    pub refused_connections: u64,
    /// The arbiter does not answer: which one, and why.
    pub arbiter_error: Option<String>,
    /// The other side was dialled and cannot be reached: its address, and why.
    pub dial_error: Option<String>,
    /// The status with which the program ended.
    pub exit_status: Option<i32>,
    /// The node's process.
    pub supervisor_pid: u32,
    /// What the level itself counts, by name.
    pub figures: BTreeMap<String, u64>,
}

/// What a command that is not `status` is answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Done {
    ok: bool,
    why: String,
}

/// Serves one directory until it is dropped.
#[derive(Debug)]
pub(crate) struct ControlServer {
    dir: PathBuf,
    listener: Arc<UnixListener>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ControlServer {
    /// The caller holds the directory's lock, so a socket that is there already is a dead process's.
    pub fn start(dir: &Path, control: Control) -> Result<Self> {
        let failed = |e| Error::io("making the control socket in", dir, e);
        match std::fs::remove_file(dir.join(CONTROL_NAME)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
        let listener =
            Arc::new(at_short_path(&dir.join(CONTROL_NAME), |path| UnixListener::bind(path)).map_err(failed)?);
        let accepting = Arc::clone(&listener);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = move || {
            for stream in accepting.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                match stream {
                    // A client that asks nothing or does not read only loses its own answer.
                    Ok(stream) => drop(serve(&stream, &control)),
                    Err(_) => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        };
        let thread = std::thread::Builder::new().name("pair-control".into()).spawn(work).map_err(failed)?;
        Ok(Self { dir: dir.to_owned(), listener, stop, thread: Some(thread) })
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // SAFETY: no pointers; the descriptor is this listener's. It ends the accept that waits, whatever has become of the directory.
        unsafe { libc::shutdown(self.listener.as_raw_fd(), libc::SHUT_RDWR) };
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(self.dir.join(CONTROL_NAME));
    }
}

fn serve(stream: &UnixStream, control: &Control) -> std::io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut line = String::new();
    BufReader::new(stream.take(REQUEST_BYTES_MAX)).read_line(&mut line)?;
    let done = |ok, why: &str| serde_json::to_string(&Done { ok, why: why.into() });
    let answer = match line.trim() {
        "status" => serde_json::to_string(&control.status()),
        "handover" => {
            control.handover();
            done(true, "asked")
        }
        "stop" => {
            control.stop();
            done(true, "asked")
        }
        _ => done(false, "unknown command; use status, handover or stop"),
    };
    let mut answer = answer.map_err(std::io::Error::other)?;
    answer.push('\n');
    (&mut &*stream).write_all(answer.as_bytes())
}

fn ask(dir: &Path, command: &str) -> Result<String> {
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => Error::Refused(format!(
            "nothing runs on {}; start it with `gapless run`, `backup` or `resume`",
            dir.display()
        )),
        _ => Error::io("asking the process that runs on", dir, e),
    };
    let asked = || {
        let mut stream = at_short_path(&dir.join(CONTROL_NAME), |path| UnixStream::connect(path))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.write_all(command.as_bytes())?;
        stream.write_all(b"\n")?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
        Ok(answer)
    };
    asked().map_err(failed)
}

fn unreadable(dir: &Path) -> Error {
    Error::Refused(format!(
        "the answer of the process on {} cannot be read; use the same build everywhere",
        dir.display()
    ))
}

/// Asks the node that runs on `dir` what it is doing.
pub fn query(dir: &Path) -> Result<Snapshot> {
    serde_json::from_str(&ask(dir, "status")?).map_err(|_| unreadable(dir))
}

fn command(dir: &Path, command: &str) -> Result<()> {
    let done: Done = serde_json::from_str(&ask(dir, command)?).map_err(|_| unreadable(dir))?;
    if done.ok { Ok(()) } else { Err(Error::Refused(done.why)) }
}

/// Asks the node that runs on `dir` to stop.
pub fn stop(dir: &Path) -> Result<()> {
    command(dir, "stop")
}

/// Asks the primary that runs on `dir` for a planned takeover, and waits until it is over (the node has ended, or lives again as another) or off.
pub fn handover(dir: &Path, at_most: Duration) -> Result<()> {
    const LOOK_EVERY: Duration = Duration::from_millis(20);
    let before = query(dir)?;
    if before.mode != "protected" {
        return Err(Error::Refused(format!(
            "a planned takeover needs a primary whose backup is in sync; the node on {} is {}",
            dir.display(),
            before.mode
        )));
    }
    command(dir, "handover")?;
    let started = Instant::now();
    while started.elapsed() < at_most {
        std::thread::sleep(LOOK_EVERY);
        match query(dir) {
            Ok(now) if now.mode == "halted" || now.life != before.life => return Ok(()),
            Ok(_) => {}
            Err(_) => return Ok(()),
        }
    }
    Err(Error::Refused(format!(
        "the takeover is not over after {at_most:?}; look with `gapless status {}`",
        dir.display()
    )))
}
