//! One worker: a process that is asked, answers, and is gone with its value.

use super::frame::{FRAME_BYTES_MAX, FromWorker, PROTOCOL};
use super::program::Program;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Its descriptor for frames.
const WIRE_FD: i32 = 3;
/// It must be ready within this time.
const READY_MAX: Duration = Duration::from_secs(30);
/// Of the environment, what it keeps.
const ENV_KEPT: [&str; 5] = ["PATH", "HOME", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV"];
/// What it gets beside that, so that both sides compute the same.
const ENV_PINNED: [(&str, &str); 4] =
    [("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("PYTHONHASHSEED", "0"), ("PYTHONUNBUFFERED", "1")];

#[derive(Debug)]
pub struct Worker {
    child: Child,
    wire: UnixStream,
}

impl Worker {
    /// Starts one and waits until it is ready; with the name of its code.
    pub fn start(program: &Program) -> Result<(Self, String), String> {
        let (wire, theirs) = UnixStream::pair().map_err(|e| format!("no socket for a worker: {e}"))?;
        let child = spawn(command(program, theirs)).map_err(|e| format!("{program} cannot be started: {e}"))?;
        let mut worker = Self { child, wire };
        match worker.hear(READY_MAX) {
            Ok(FromWorker::Ready { protocol: PROTOCOL, code }) => Ok((worker, code)),
            Ok(FromWorker::Ready { protocol, .. }) => {
                Err(format!("{program} speaks protocol {protocol}, not {PROTOCOL}; use the module of this version"))
            }
            Ok(_) => Err(format!("{program} did not say first that it is ready")),
            Err(why) => Err(format!("{program} was not ready: {why}; look at what it says on stderr")),
        }
    }

    /// None if it has ended, which is nobody's fault as long as it had nothing to do.
    pub fn if_alive(mut self) -> Option<Self> {
        matches!(self.child.try_wait(), Ok(None)).then_some(self)
    }

    /// Says something and waits for the answer. After an error it is of no use any more.
    pub fn ask(&mut self, frame: &[u8], at_most: Duration) -> Result<FromWorker, String> {
        let sent = self.wire.set_write_timeout(Some(at_most)).and_then(|()| self.wire.write_all(frame));
        sent.map_err(|e| self.explain(&e, at_most))?;
        self.hear(at_most)
    }

    fn hear(&mut self, at_most: Duration) -> Result<FromWorker, String> {
        let deadline = Instant::now() + at_most;
        let mut length = [0; 4];
        self.read(&mut length, deadline).map_err(|e| self.explain(&e, at_most))?;
        let bytes = u32::from_le_bytes(length) as usize;
        if bytes > FRAME_BYTES_MAX {
            return Err(format!("it sent a frame of {bytes} bytes; {FRAME_BYTES_MAX} are allowed"));
        }
        let mut frame = vec![0; bytes];
        self.read(&mut frame, deadline).map_err(|e| self.explain(&e, at_most))?;
        serde_json::from_slice(&frame).map_err(|e| format!("it sent what is no answer: {e}"))
    }

    fn read(&mut self, mut to: &mut [u8], deadline: Instant) -> io::Result<()> {
        while !to.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.wire.set_read_timeout(Some(left))?;
            match self.wire.read(to) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => to = &mut to[n..],
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// What became of it.
    fn explain(&mut self, e: &io::Error, at_most: Duration) -> String {
        if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
            return format!("it did not answer within {at_most:?}");
        }
        // The wire is closed a moment before the process is gone.
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(500) {
            if let Ok(Some(status)) = self.child.try_wait() {
                return match (status.code(), status.signal()) {
                    (Some(code), _) => format!("it ended with status {code}"),
                    (None, signal) => format!("it was killed by signal {}", signal.unwrap_or_default()),
                };
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        "it closed its wire".to_owned()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // SAFETY: a plain system call; the group is that of a child that was not waited for, so the number is nobody else's.
            unsafe { libc::kill(-(self.child.id() as i32), libc::SIGKILL) };
        }
        let _ = self.child.wait();
    }
}

fn command(program: &Program, theirs: UnixStream) -> Command {
    let mut command = Command::new(program.path());
    command.args(program.args()).env_clear();
    command.envs(ENV_KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)))).envs(ENV_PINNED);
    // What it prints is talk: stdout is its supervisor's.
    let talk = io::stderr().as_fd().try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from);
    command.stdin(Stdio::null()).stdout(talk).process_group(0);
    let supervisor = std::process::id();
    let prepare = move || {
        // SAFETY: plain system calls, which are safe between fork and exec; the mask is a local value.
        unsafe {
            let mut none = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // Who has died before that says nothing any more.
            if libc::getppid() as u32 != supervisor {
                return Err(ErrorKind::BrokenPipe.into());
            }
            let wire = theirs.as_raw_fd();
            let kept = if wire == WIRE_FD { libc::fcntl(wire, libc::F_SETFD, 0) } else { libc::dup2(wire, WIRE_FD) };
            if kept < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        }
    };
    // SAFETY: see there.
    unsafe { command.pre_exec(prepare) };
    command
}

type Job = (Command, Sender<io::Result<Child>>);

/// Starts it from a thread that lasts as long as this program: a child gets its death signal when the thread that made it ends (prctl(2)).
fn spawn(command: Command) -> io::Result<Child> {
    static MAKER: Mutex<Option<Sender<Job>>> = Mutex::new(None);
    let gone = || io::Error::other("the thread that makes workers is gone");
    let (done, child) = mpsc::channel();
    let mut maker = MAKER.lock().unwrap_or_else(PoisonError::into_inner);
    if maker.is_none() {
        let (jobs, work) = mpsc::channel();
        std::thread::Builder::new().name("task-worker".into()).spawn(move || make(work))?;
        *maker = Some(jobs);
    }
    maker.as_ref().expect("just made").send((command, done)).map_err(|_| gone())?;
    drop(maker);
    child.recv().map_err(|_| gone())?
}

fn make(work: Receiver<Job>) {
    for (mut command, done) in work {
        let child = command.spawn();
        // The other end of the wire is closed before anybody waits at this one.
        drop(command);
        let _ = done.send(child);
    }
}
