//! A closed-loop load on one thread, the same for all that are compared: connections that each keep so many requests on their way.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// What is spoken on a connection.
pub trait Protocol {
    /// Appends the next request.
    fn ask(&mut self, to: &mut Vec<u8>);
    /// How long the first answer in these bytes is, if all of it is there.
    fn answer(&mut self, bytes: &[u8]) -> Option<usize>;
}

/// How much is asked.
#[derive(Clone, Copy)]
pub struct Load {
    /// Requests on their way, of each connection.
    pub window: usize,
    /// Not counted.
    pub warm: Duration,
    pub time: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Requests a second.
    pub rate: f64,
    pub p50: Duration,
    pub p99: Duration,
    /// Processor time of all servers for each request; other work on the machine does not show in it.
    pub cost: Duration,
}

impl Figures {
    /// Of what each request took, and the servers together.
    fn of(mut took: Vec<Duration>, within: Duration, spent: Duration) -> io::Result<Self> {
        if took.is_empty() {
            return Err(io::Error::new(ErrorKind::TimedOut, format!("no answer within {within:?}")));
        }
        took.sort_unstable();
        let quantile = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        let cost = spent / took.len() as u32;
        Ok(Self { rate: took.len() as f64 / within.as_secs_f64(), p50: quantile(0.5), p99: quantile(0.99), cost })
    }
}

/// Processor time of these processes so far.
fn spent(servers: &[u32]) -> Duration {
    let of = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the server runs");
        // proc(5): the 14th and 15th field; the second one is in parentheses and may hold anything.
        let fields = stat.rsplit_once(')').expect("a stat has a name").1.split_whitespace().skip(11).take(2);
        fields.map(|ticks| ticks.parse::<u64>().expect("ticks")).sum::<u64>()
    };
    // SAFETY: no pointers.
    let a_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
    Duration::from_secs_f64(servers.iter().map(of).sum::<u64>() as f64 / a_second)
}

/// A connection with its place in the protocol.
struct Line<P> {
    stream: TcpStream,
    protocol: P,
    going: Vec<u8>,
    come: Vec<u8>,
    asked: VecDeque<Instant>,
}

impl<P: Protocol> Line<P> {
    fn fill(&mut self, window: usize) -> io::Result<()> {
        while self.asked.len() < window {
            self.protocol.ask(&mut self.going);
            self.asked.push_back(Instant::now());
        }
        let mut sent = 0;
        while sent < self.going.len() {
            match self.stream.write(&self.going[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        self.going.drain(..sent);
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], mut took: impl FnMut(Duration)) -> io::Result<()> {
        loop {
            let n = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            self.come.extend_from_slice(&buffer[..n]);
            let mut at = 0;
            while let Some(length) = self.protocol.answer(&self.come[at..]) {
                at += length;
                took(self.asked.pop_front().expect("an answer to something").elapsed());
            }
            self.come.drain(..at);
            if n < buffer.len() {
                return Ok(());
            }
        }
    }
}

/// Runs the load on these connections to these processes. An error says that a connection broke, or that no answer came.
pub fn run<P: Protocol>(connections: Vec<(TcpStream, P)>, servers: &[u32], load: Load) -> io::Result<Figures> {
    // SAFETY: no pointers; the result is checked, and a descriptor is nobody else's.
    let epoll = unsafe {
        let fd = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        assert!(fd >= 0, "epoll_create1");
        OwnedFd::from_raw_fd(fd)
    };
    let mut lines: Vec<Line<P>> = Vec::new();
    for (n, (stream, protocol)) in connections.into_iter().enumerate() {
        stream.set_nonblocking(true).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        let events = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET) as u32;
        let mut event = libc::epoll_event { events, u64: n as u64 };
        // SAFETY: the event is valid for the call.
        let added =
            unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, stream.as_raw_fd(), &raw mut event) };
        assert_eq!(added, 0, "epoll_ctl");
        lines.push(Line { stream, protocol, going: Vec::new(), come: Vec::new(), asked: VecDeque::new() });
    }
    let mut buffer = vec![0; 256 << 10];
    let mut took = Vec::new();
    let mut before = None;
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
    let began = Instant::now();
    lines.iter_mut().try_for_each(|line| line.fill(load.window))?;
    loop {
        let warm = began.elapsed() >= load.warm;
        if warm && before.is_none() {
            before = Some(spent(servers));
        }
        if let Some(before) = before.filter(|_| began.elapsed() >= load.warm + load.time) {
            return Figures::of(took, load.time, spent(servers) - before);
        }
        // SAFETY: the array has the length given.
        let n = unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), events.len() as i32, 100) };
        for event in &events[..n.max(0) as usize] {
            let line = &mut lines[event.u64 as usize];
            line.read(&mut buffer, |time| {
                if warm {
                    took.push(time);
                }
            })?;
            line.fill(load.window)?;
        }
    }
}
