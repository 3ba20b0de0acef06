//! Signals that a person or a service manager sends to the supervisor: they are for the program.
//!
//! The rule it keeps: a signal goes to the program only if it came while the program was live here. Until then ([`Desk`]) SIGINT and SIGTERM are for
//! the node, and the others mean nothing; none of them waits for the program.

use super::host;
use gapless_log::{Error, Result};
use std::io::{self, Read, Write};
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Forwarded to the program.
const FORWARDED: [i32; 7] =
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2, libc::SIGWINCH];

fn set() -> libc::sigset_t {
    // SAFETY: sigset_t is plain data; the set is initialised before use.
    unsafe {
        let mut set = zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in FORWARDED {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

/// From now on signals to this process wait for the replica instead of acting on the supervisor. Call it first thing in `main`,
/// before any thread is started.
pub fn take_over_signals() {
    let set = set();
    // SAFETY: a valid set; only this thread's mask changes, and threads started later inherit it.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
}

/// Signals for the program as a descriptor.
#[derive(Debug)]
pub enum Signals {
    /// The kernel's records.
    Kernel(OwnedFd),
    /// Numbers from the desk, a byte each.
    Desk(UnixStream),
}

impl Signals {
    /// Opens it: at the desk if there is one. Without one, signals act on the supervisor until here.
    pub fn open() -> Result<Self> {
        let failed = |e| Error::io("open", "the signals for the program", e);
        if let Some(desk) = DESK.get() {
            return desk.program.0.try_clone().map(Self::Desk).map_err(failed);
        }
        take_over_signals();
        signalfd().map(Self::Kernel).map_err(failed)
    }

    /// The next signal, if one waits.
    pub fn take(&mut self) -> Option<i32> {
        match self {
            Self::Kernel(fd) => next(fd.as_fd()),
            Self::Desk(numbers) => {
                let mut number = [0];
                (numbers.read(&mut number).ok()? == 1).then(|| number[0].into())
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Kernel(fd) => fd.as_fd(),
            Self::Desk(numbers) => numbers.as_fd(),
        }
    }
}

fn signalfd() -> io::Result<OwnedFd> {
    let set = set();
    // SAFETY: a valid set; a non-negative result is a fresh descriptor.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: see above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The next signal that the kernel has for this process.
fn next(fd: BorrowedFd<'_>) -> Option<i32> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: the buffer has the size given.
    let n = unsafe { libc::read(fd.as_raw_fd(), info.as_mut_ptr().cast(), size) };
    // SAFETY: the kernel has filled the whole record.
    (n == size as isize).then(|| unsafe { info.assume_init() }.ssi_signo as i32)
}

/// Whoever started this process does not want it to act on this signal (nohup, a job in the background of a script).
fn is_ignored(signal: i32) -> bool {
    // SAFETY: all-zero is a valid sigaction to write to; the old action is only asked for.
    unsafe {
        let mut old: libc::sigaction = zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut old) == 0 && old.sa_sigaction == libc::SIG_IGN
    }
}

/// Stops the node, because of this signal.
type Stop = Box<dyn Fn(i32) + Send + Sync>;

/// Where the signals of a node's process arrive first, and who is to have them.
struct Desk {
    kernel: OwnedFd,
    /// To the program: the end to read and the end to write.
    program: (UnixStream, UnixStream),
    live: Mutex<bool>,
    /// SIGINT and SIGTERM, unless whoever started this process had them ignored.
    stopping: Vec<i32>,
    stop: Stop,
}

static DESK: OnceLock<Desk> = OnceLock::new();

/// For a node of a pair, after [`take_over_signals`] and once in a process: SIGINT and SIGTERM call `stop`, and no signal reaches the program,
/// until [`signals_are_for_the_program`].
pub fn signals_are_for_the_node(stop: impl Fn(i32) + Send + Sync + 'static) -> Result<()> {
    let failed = |e| Error::io("open", "a desk for signals", e);
    let kernel = signalfd().map_err(failed)?;
    let program = UnixStream::pair().map_err(failed)?;
    program.0.set_nonblocking(true).and_then(|()| program.1.set_nonblocking(true)).map_err(failed)?;
    let stopping = [libc::SIGINT, libc::SIGTERM].into_iter().filter(|&s| !is_ignored(s)).collect();
    let desk = Desk { kernel, program, live: Mutex::new(false), stopping, stop: Box::new(stop) };
    assert!(DESK.set(desk).is_ok(), "a process has one desk for its signals");
    let attend = || {
        let desk = DESK.get().expect("just set");
        loop {
            host::sleep(&[(desk.kernel.as_raw_fd(), libc::POLLIN)], Duration::from_secs(3600));
            let live = desk.live.lock().unwrap_or_else(PoisonError::into_inner);
            desk.hand_out(*live);
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(attend).map(drop).map_err(failed)
}

/// The program is live here and what it says can leave, or that is over. What came before is not for it.
pub fn signals_are_for_the_program(live: bool) {
    let Some(desk) = DESK.get() else { return };
    let mut was = desk.live.lock().unwrap_or_else(PoisonError::into_inner);
    if *was != live {
        desk.hand_out(*was);
        *was = live;
    }
}

impl Desk {
    fn hand_out(&self, live: bool) {
        while let Some(signal) = next(self.kernel.as_fd()) {
            if live {
                // Full, of a program that takes none: like the kernel's own queue, it keeps those that fit.
                let _ = (&self.program.1).write(&[signal as u8]);
            } else if self.stopping.contains(&signal) {
                (self.stop)(signal);
            }
        }
    }
}
