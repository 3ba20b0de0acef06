//! The guest's console as people have it: this terminal, or a socket that any number of people may open.
//!
//! The rule it keeps: a person who reads slowly never holds the machine up, and the terminal is left as it was found, whatever ends the process.

use super::ConsoleAt;
use gapless_log::{Error, Result, at_short_path};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Ctrl-], as telnet has it; then `.` or `q` ends the machine, and another Ctrl-] is sent to it.
pub const ESCAPE: u8 = 0x1d;
/// What a person sees who opens the console: so many bytes of what was said last.
const HISTORY_BYTES_MAX: usize = 16 << 10;
/// Bytes typed at a terminal that wait for a guest that does not read; more wait in the terminal.
const TYPED_BYTES_MAX: usize = 4096;
/// People at one console.
const PEOPLE_MAX: usize = 8;
/// The beginning of what Linux says when it gives up.
const PANIC: &[u8] = b"Kernel panic - not syncing";

/// The console.
#[derive(Debug)]
pub struct Console {
    at: At,
    history: VecDeque<u8>,
    line: Vec<u8>,
    panic: Option<String>,
}

#[derive(Debug)]
enum At {
    Nowhere,
    Terminal { saved: Option<Raw>, escaped: bool, open: bool, quit: bool, typed: VecDeque<u8> },
    Socket { listener: UnixListener, path: PathBuf, people: Vec<UnixStream> },
}

impl Console {
    /// Opens it.
    pub fn open(at: &ConsoleAt) -> Result<Self> {
        let at = match at {
            ConsoleAt::Nowhere => At::Nowhere,
            ConsoleAt::Terminal => {
                At::Terminal { saved: Raw::enter(), escaped: false, open: true, quit: false, typed: VecDeque::new() }
            }
            ConsoleAt::Socket(path) => {
                // One that a dead process has left.
                let _ = std::fs::remove_file(path);
                let failed = |e| Error::io("opening the console", path, e);
                let listener = at_short_path(path, |path| UnixListener::bind(path)).map_err(failed)?;
                listener.set_nonblocking(true).map_err(failed)?;
                At::Socket { listener, path: path.clone(), people: Vec::new() }
            }
        };
        Ok(Self { at, history: VecDeque::new(), line: Vec::new(), panic: None })
    }

    /// Looks after people: who comes to the socket is let in, and at a terminal the escape key works whether the guest reads or not.
    pub fn attend(&mut self) {
        match &mut self.at {
            At::Nowhere => {}
            At::Terminal { escaped, open, quit, typed, .. } => {
                let mut bytes = [0; 256];
                while *open && typed.len() < TYPED_BYTES_MAX && readable(0) {
                    // SAFETY: the buffer has the length given.
                    let n = unsafe { libc::read(0, bytes.as_mut_ptr().cast(), bytes.len()) };
                    *open = n > 0;
                    for &byte in &bytes[..n.max(0) as usize] {
                        match (std::mem::replace(escaped, false), byte) {
                            (false, ESCAPE) => *escaped = true,
                            (true, b'.' | b'q') => *quit = true,
                            (false, byte) | (true, byte @ ESCAPE) => typed.push_back(byte),
                            (true, _) => {}
                        }
                    }
                }
            }
            At::Socket { listener, people, .. } => {
                while let Ok((mut person, _)) = listener.accept() {
                    let (a, b) = self.history.as_slices();
                    if people.len() < PEOPLE_MAX && person.set_nonblocking(true).is_ok() {
                        let _ = person.write_all(a).and_then(|()| person.write_all(b));
                        people.push(person);
                    }
                }
            }
        }
    }

    /// What was typed, at most so many bytes.
    pub fn read(&mut self, at_most: usize) -> Vec<u8> {
        self.attend();
        match &mut self.at {
            At::Nowhere => Vec::new(),
            At::Terminal { typed, .. } => typed.drain(..at_most.min(typed.len())).collect(),
            At::Socket { people, .. } => {
                let (mut bytes, mut typed) = (vec![0; at_most], Vec::new());
                people.retain_mut(|person| {
                    let room = at_most - typed.len();
                    if room == 0 {
                        return true;
                    }
                    match person.read(&mut bytes[..room]) {
                        Ok(0) => false,
                        Ok(n) => {
                            typed.extend_from_slice(&bytes[..n]);
                            true
                        }
                        Err(e) => e.kind() == ErrorKind::WouldBlock,
                    }
                });
                typed
            }
        }
    }

    /// Something was typed at the terminal that [`Console::read`] has not given out yet.
    pub fn has_typed(&self) -> bool {
        matches!(&self.at, At::Terminal { typed, .. } if !typed.is_empty())
    }

    /// Shows what the guest has said.
    pub fn write(&mut self, bytes: &[u8]) {
        self.look_for_panic(bytes);
        self.history.extend(bytes);
        let over = self.history.len().saturating_sub(HISTORY_BYTES_MAX);
        self.history.drain(..over);
        match &mut self.at {
            At::Nowhere => {}
            At::Terminal { .. } => {
                let mut out = std::io::stdout().lock();
                let _ = out.write_all(bytes).and_then(|()| out.flush());
            }
            // Who is too slow loses the rest, and who is gone may have typed something that is still to be read: reading finds the end.
            At::Socket { people, .. } => people.iter_mut().for_each(|person| drop(person.write_all(bytes))),
        }
    }

    /// A person at the terminal has asked for the end.
    pub fn quits(&self) -> bool {
        matches!(self.at, At::Terminal { quit: true, .. })
    }

    /// What the guest's kernel said when it gave up, once.
    pub fn take_panic(&mut self) -> Option<String> {
        self.panic.take()
    }

    fn look_for_panic(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte != b'\n' && self.line.len() < 512 {
                self.line.push(byte);
                continue;
            }
            // The same words end the report as well, in a line that begins with this.
            let end = self.line.windows(5).any(|w| w == b"---[ ");
            if let Some(at) = self.line.windows(PANIC.len()).position(|w| w == PANIC).filter(|_| !end) {
                self.panic = Some(String::from_utf8_lossy(&self.line[at..]).trim_end().to_owned());
            }
            self.line.clear();
        }
    }

    /// Descriptors that a wait for input includes; `typing`: the guest has room for more.
    pub fn descriptors(&self, typing: bool, fds: &mut Vec<RawFd>) {
        match &self.at {
            At::Terminal { open: true, typed, .. } if typing || typed.len() < TYPED_BYTES_MAX => fds.push(0),
            At::Socket { listener, people, .. } => {
                fds.push(listener.as_raw_fd());
                fds.extend(people.iter().filter(|_| typing).map(AsRawFd::as_raw_fd));
            }
            _ => {}
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        match &mut self.at {
            At::Socket { path, .. } => {
                let _ = std::fs::remove_file(path);
            }
            At::Terminal { saved, .. } => drop(saved.take()),
            At::Nowhere => {}
        }
    }
}

fn readable(fd: RawFd) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd, no wait.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
}

/// A terminal that gives every key as it is typed; as it was before when this is dropped.
pub struct Raw(libc::termios);

impl Raw {
    /// `None` if standard input is no terminal.
    pub fn enter() -> Option<Self> {
        // SAFETY: termios is plain data that tcgetattr fills; only our own terminal is set.
        unsafe {
            let mut saved: libc::termios = std::mem::zeroed();
            if libc::tcgetattr(0, &raw mut saved) != 0 {
                return None;
            }
            let mut raw = saved;
            libc::cfmakeraw(&raw mut raw);
            // The guest's own terminal makes carriage returns; what we say ourselves goes to standard error, and needs them too.
            raw.c_oflag |= libc::OPOST | libc::ONLCR;
            (libc::tcsetattr(0, libc::TCSANOW, &raw const raw) == 0).then_some(Self(saved))
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: the settings that were there before.
        unsafe { libc::tcsetattr(0, libc::TCSANOW, &raw const self.0) };
    }
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Raw")
    }
}

/// Joins this terminal to the console socket of a machine, until it closes, standard input ends or the escape key is followed by `.` or `q`.
pub fn attach(socket: &Path) -> Result<()> {
    let failed = |e| Error::io("opening the console", socket, e);
    let stream = at_short_path(socket, |path| UnixStream::connect(path)).map_err(failed)?;
    let mut from = stream.try_clone().map_err(failed)?;
    let mut mine = Console::open(&ConsoleAt::Terminal)?;
    let (mut to, mut bytes) = (stream, [0; 4096]);
    let mut typing = true;
    loop {
        let mut polls = [
            libc::pollfd { fd: from.as_raw_fd(), events: libc::POLLIN, revents: 0 },
            libc::pollfd { fd: if typing { 0 } else { -1 }, events: libc::POLLIN, revents: 0 },
        ];
        // SAFETY: two valid pollfds.
        unsafe { libc::poll(polls.as_mut_ptr(), 2, -1) };
        if polls[0].revents != 0 {
            match from.read(&mut bytes) {
                Ok(0) | Err(_) => return Ok(()),
                Ok(n) => mine.write(&bytes[..n]),
            }
        }
        if polls[1].revents != 0 {
            let typed = mine.read(4096);
            typing = matches!(mine.at, At::Terminal { open: true, .. });
            if to.write_all(&typed).is_err() || mine.quits() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script types a line and leaves, and the guest prints before it has room for what was typed.
    #[test]
    fn what_somebody_typed_before_leaving_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console");
        let mut console = Console::open(&ConsoleAt::Socket(path.clone())).unwrap();
        console.write(b"login: ");
        let mut early = UnixStream::connect(&path).unwrap();
        early.write_all(b"root\n").unwrap();
        drop(early);
        assert_eq!(console.read(16), b"root\n");
        let mut person = UnixStream::connect(&path).unwrap();
        assert_eq!(console.read(16), b"");
        person.write_all(b"poweroff\n").unwrap();
        drop(person);
        console.write(b"p");
        console.write(b"o");
        assert_eq!(console.read(4), b"powe");
        assert_eq!(console.read(16), b"roff\n");
        assert_eq!(console.read(16), b"");
        assert!(matches!(&console.at, At::Socket { people, .. } if people.is_empty()));
    }
}
