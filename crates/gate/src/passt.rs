//! passt: user-mode networking without privilege, by a child process that turns a guest's frames into ordinary sockets (passt(1)).
//!
//! What that means for a replica: connections end at passt, which is not replicated, so they do not survive a takeover; the guest's address does, and
//! new connections find it on the survivor's host. For connections that survive use a [`Tap`](crate::Tap).
//!
//! Of the passt in Debian 12 (2023-03-09) expect no more than a way to look at a guest. It completes a forwarded connection only once the client has
//! sent something; bulk in both directions at once stalls (also behind a plain `send` and `recv` loop, so it is not ours; compare passt bug 74); what a
//! guest sends in its last segment before a close was seen to be acknowledged and lost. What it takes while the host's socket behind it is full is lost
//! too, and comes again only after the guest's timeout, which doubles each time: a guest that sends faster than its peer reads should have no more in
//! flight than that socket holds.
//!
//! No orphans: passt ends when its socket is closed, which the kernel does for us however we end. (A parent-death signal is set too; passt loses it when
//! it changes its user, so it covers the first milliseconds only.)

use crate::frame::{FRAME_BYTES_MAX, is_arp_reply, who_has};
use crate::stream::{Inbound, Outbound};
use crate::{Error, Result, Sent};
use std::io::{self, ErrorKind, IoSlice, PipeReader, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const PROGRAM: &str = "passt";
/// How long passt may take until it answers its first frame; it needs some 10 ms.
const START_SECONDS_MAX: u64 = 10;
/// How long a passt that closed its socket may take to end.
const END_MAX: Duration = Duration::from_secs(1);
/// How much of what passt said is kept.
const SAID_BYTES_MAX: usize = 64 << 10;

/// What passt tells the guest (by DHCP) and forwards to it. IPv4 only.
///
/// Connections of the guest to the gateway's address reach the loopback address of this host, as with QEMU's user network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guest {
    /// The guest's address.
    pub address: Ipv4Addr,
    /// Length of its network's prefix.
    pub prefix_bits: u8,
    /// Its gateway: an address that passt answers for.
    pub gateway: Ipv4Addr,
    /// TCP ports of this host to forward, as passt's `-t` takes them: `127.0.0.1/6390:6379`.
    pub tcp: Vec<String>,
    /// UDP ports, as its `-u` takes them.
    pub udp: Vec<String>,
}

impl Default for Guest {
    /// The addresses of QEMU's user network; nothing forwarded.
    fn default() -> Self {
        let (address, gateway) = (Ipv4Addr::new(10, 0, 2, 15), Ipv4Addr::new(10, 0, 2, 2));
        Self { address, prefix_bits: 24, gateway, tcp: Vec::new(), udp: Vec::new() }
    }
}

/// A running passt. Holding one proves that it had bound its ports and answered a frame. Dropping it ends passt.
#[derive(Debug)]
pub struct Passt {
    socket: UnixStream,
    inbound: Mutex<Inbound>,
    outbound: Mutex<Outbound>,
    process: Mutex<Process>,
}

/// The child and what it says.
#[derive(Debug)]
struct Process {
    child: Child,
    stderr: PipeReader,
    said: Vec<u8>,
}

impl Passt {
    /// Starts passt for `guest` in this thread's network namespace, and waits until it answers.
    pub fn start(guest: &Guest) -> Result<Self> {
        let setup = |e| Error::io("make the socket of passt", e);
        let (socket, theirs) = UnixStream::pair().map_err(setup)?;
        socket.set_nonblocking(true).map_err(setup)?;
        let mut process = Process::spawn(guest, &theirs)?;
        drop(theirs);
        let mut inbound = Inbound::new();
        process.greet(guest, &socket, &mut inbound)?;
        Ok(Self {
            socket,
            inbound: Mutex::new(inbound),
            outbound: Mutex::new(Outbound::new()),
            process: Mutex::new(process),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        lock(&self.process).child.id()
    }

    /// See [`Port::send`](crate::Port::send). The header is cut off; large segments and missing checksums do not disturb passt, which takes the
    /// payload out and looks at neither.
    pub fn send(&self, frame: &[u8]) -> io::Result<Sent> {
        let sent = lock(&self.outbound).send(Quiet(&self.socket), frame).map_err(|e| self.finished(e))?;
        if sent == Sent::Full {
            self.give_way();
        }
        Ok(sent)
    }

    /// See [`Port::receive`](crate::Port::receive). The header is empty.
    pub fn receive(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        self.flush()?;
        lock(&self.inbound).receive(&self.socket, buf).map_err(|e| self.finished(e))
    }

    /// See [`Port::flush`](crate::Port::flush).
    pub fn flush(&self) -> io::Result<bool> {
        let nothing_left = lock(&self.outbound).flush(Quiet(&self.socket)).map_err(|e| self.finished(e))?;
        if !nothing_left {
            self.give_way();
        }
        Ok(nothing_left)
    }

    /// passt blocks while we do not read, and does not read while it blocks. If we do not receive because we cannot send, nothing would ever move.
    fn give_way(&self) {
        lock(&self.inbound).give_way(&self.socket);
    }

    fn finished(&self, e: io::Error) -> io::Error {
        let mut process = lock(&self.process);
        match process.ended(&e) {
            Some(status) => {
                let what = format!("passt ended ({status}); it said: {}", process.said());
                io::Error::new(ErrorKind::BrokenPipe, what)
            }
            None => io::Error::new(e.kind(), format!("passt: {e}")),
        }
    }
}

impl AsFd for Passt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Process {
    fn spawn(guest: &Guest, socket: &UnixStream) -> Result<Self> {
        let setup = |e| Error::io("make the pipe of passt", e);
        let (stderr, writer) = io::pipe().map_err(setup)?;
        // Neither side may wait for the other: passt does not stop because nobody listens to it.
        set_nonblocking(&stderr).map_err(setup)?;
        set_nonblocking(&writer).map_err(setup)?;
        let mut command = Command::new(PROGRAM);
        command.args(arguments(guest, socket.as_raw_fd()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(writer));
        let socket = socket.as_raw_fd();
        // SAFETY: between fork and exec only two system calls are made, both async-signal-safe; the socket is open until `spawn` has returned.
        unsafe {
            command.pre_exec(move || {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) < 0 || libc::fcntl(socket, libc::F_SETFD, 0) < 0 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            })
        };
        let child = command.spawn().map_err(|e| match e.kind() {
            ErrorKind::NotFound => Error::NoPasst,
            _ => Error::io("start passt", e),
        })?;
        Ok(Self { child, stderr, said: Vec::new() })
    }

    /// Asks for the gateway until passt answers: then it has bound its ports.
    fn greet(&mut self, guest: &Guest, socket: &UnixStream, inbound: &mut Inbound) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        let question = who_has(guest.gateway.octets(), guest.address.octets());
        let mut buf = vec![0; FRAME_BYTES_MAX];
        let asked = Outbound::new().send(Quiet(socket), &question);
        let mut answer = asked.and_then(|_| inbound.receive(socket, &mut buf));
        loop {
            match answer {
                Ok(Some(length)) if is_arp_reply(&buf[..length]) => return Ok(()),
                Ok(Some(_)) => {}
                Ok(None) if Instant::now() >= deadline => {
                    return Err(Error::PasstSilent { seconds: START_SECONDS_MAX, said: self.said() });
                }
                Ok(None) => wait_readable(socket, deadline.saturating_duration_since(Instant::now())),
                Err(e) => {
                    return Err(match self.ended(&e) {
                        Some(status) => Error::PasstEnded { status, said: self.said() },
                        None => Error::io("talk to passt", e),
                    });
                }
            }
            answer = inbound.receive(socket, &mut buf);
        }
    }

    /// How the child ended, if that is why the socket failed with `e`.
    fn ended(&mut self, e: &io::Error) -> Option<ExitStatus> {
        let closed = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        let deadline = Instant::now() + END_MAX;
        while closed.contains(&e.kind()) && Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    }

    /// What it wrote to its standard error, without what a person cannot use, on one line.
    fn said(&mut self) -> String {
        let mut part = [0; 4096];
        while let Ok(count @ 1..) = self.stderr.read(&mut part) {
            self.said.extend_from_slice(&part[..count]);
        }
        self.said.drain(..self.said.len().saturating_sub(SAID_BYTES_MAX));
        let said = String::from_utf8_lossy(&self.said);
        let useful: Vec<_> =
            said.lines().map(str::trim).filter(|l| !l.is_empty() && !l.ends_with("bytes to syslog")).collect();
        if useful.is_empty() { "nothing".to_owned() } else { useful.join("; ") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended and was waited for, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn arguments(guest: &Guest, socket: i32) -> Vec<String> {
    let mut arguments: Vec<String> = ["--foreground", "--quiet", "--ipv4-only", "--fd"].map(str::to_owned).into();
    arguments.push(socket.to_string());
    let options = [
        ("--address", guest.address.to_string()),
        ("--netmask", guest.prefix_bits.to_string()),
        ("--gateway", guest.gateway.to_string()),
    ];
    let tcp = guest.tcp.iter().map(|spec| ("--tcp-ports", spec.clone()));
    let udp = guest.udp.iter().map(|spec| ("--udp-ports", spec.clone()));
    for (option, value) in options.into_iter().chain(tcp).chain(udp) {
        arguments.extend([option.to_owned(), value]);
    }
    arguments
}

/// A socket whose writes raise no SIGPIPE, whatever this process does about that signal.
struct Quiet<'a>(&'a UnixStream);

impl Write for Quiet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        // SAFETY: plain data; all zeros means no address and no control data.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = bytes.as_ptr().cast_mut().cast();
        message.msg_iovlen = bytes.len();
        // SAFETY: IoSlice has the layout of iovec; sendmsg only reads through it, and the slices outlive the call.
        let sent = unsafe { libc::sendmsg(self.0.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn set_nonblocking(fd: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: no pointers; the descriptor is open.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn wait_readable(socket: &UnixStream, at_most: Duration) {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let ms = i32::try_from(at_most.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
    // SAFETY: one valid pollfd. A failure is a wait that was too short.
    unsafe { libc::poll(&raw mut poll, 1, ms) };
}

/// A lock whose holder panicked guards plain buffers, which are whole between calls.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
