//! One connection to another side: a non-blocking socket, what arrived on it, what waits for it, and the stream that it carries.

use super::state;
use crate::wire::{Incoming, Outgoing, WireError};
use crate::{Message, Nonce, Packet};
use gapless_log::{Frame, LogReader, LogView, Seq, Waker};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

/// A live stream that waits longer than this goes on from the log instead of growing in memory.
const LIVE_BYTES_MAX: usize = 4 << 20;
/// A stream from the log is filled up to this.
const PUMP_BYTES: usize = 512 << 10;
/// A state that goes beside a stream has so much on its way at most when more of it is added: what is sealed meanwhile waits for no more.
const BESIDE_BYTES: usize = 64 << 10;
/// A closed connection gets this long to send what is queued.
const CLOSE_TIME_MAX: Duration = Duration::from_millis(300);
/// How often the socket is read before others get their turn.
const READS_MAX: usize = 4;

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    socket: TcpStream,
    incoming: Incoming,
    pub outgoing: Outgoing,
    stream: Option<Stream>,
    /// The I/O thread waits until the socket takes more.
    watched: bool,
    /// The live replica's thread reads it, and is woken by this.
    attended: Option<Waker>,
    /// What the other side gets before a stream.
    state: Option<state::Outgoing>,
    /// Set when it is to be closed as soon as everything is sent, at the latest then.
    closing: Option<Instant>,
}

/// Which part of the own log the other side gets next.
#[derive(Debug)]
struct Stream {
    nonce: Nonce,
    next: Seq,
    reader: Option<LogReader>,
}

/// How reading ended.
#[derive(Debug)]
pub(super) enum Arrived {
    /// Nothing more now.
    Nothing,
    /// The connection is over; if the other side broke the protocol, how.
    Gone(Option<WireError>),
}

impl Link {
    pub fn new(socket: TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let (incoming, outgoing) = (Incoming::default(), Outgoing::default());
        Ok(Self {
            socket,
            incoming,
            outgoing,
            stream: None,
            watched: false,
            attended: None,
            state: None,
            closing: None,
        })
    }

    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub fn close(&mut self) {
        (self.stream, self.state) = (None, None);
        self.closing.get_or_insert_with(|| Instant::now() + CLOSE_TIME_MAX);
    }

    pub fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// What its poll is to wait for; the I/O thread asks right before it.
    pub fn watch(&mut self) -> libc::c_short {
        self.watched = self.has_more();
        let (reads, writes) = (!self.is_attended(), self.watched);
        (if reads { libc::POLLIN } else { 0 }) | (if writes { libc::POLLOUT } else { 0 })
    }

    /// The live replica's thread reads it, and is woken by this, while it streams. True if that is over, and the I/O thread reads it again.
    pub fn attended_by(&mut self, waker: Option<&Waker>) -> bool {
        let waker = waker.filter(|_| self.stream.is_some() && !self.is_closing());
        match (waker, &self.attended) {
            (Some(waker), None) => {
                // If it cannot be watched, the I/O thread goes on.
                self.attended = waker.watch(&self.socket).is_ok().then(|| waker.clone());
                false
            }
            (None, Some(waker)) => {
                let _ = waker.unwatch(&self.socket);
                self.attended = None;
                true
            }
            _ => false,
        }
    }

    pub fn is_attended(&self) -> bool {
        self.attended.is_some()
    }

    /// Something waits for the socket and the I/O thread does not know.
    pub fn is_unwatched(&self) -> bool {
        !self.watched && self.has_more()
    }

    fn has_more(&self) -> bool {
        !self.outgoing.is_empty() || self.state.is_some() && !self.streams()
    }

    /// May the next piece of a state be queued? Beside a stream only when nothing else waits and hardly anything is on its way; whoever pumps next asks
    /// again, at the latest at the next tick.
    fn takes_state(&self) -> bool {
        match self.streams() {
            true => self.outgoing.is_empty() && on_its_way(&self.socket) <= BESIDE_BYTES,
            false => self.outgoing.waiting() < PUMP_BYTES,
        }
    }

    /// Closed, and everything is sent or its time is over.
    pub fn is_done(&self) -> bool {
        self.closing.is_some_and(|at| self.outgoing.is_empty() || Instant::now() >= at)
    }

    pub fn stream_from(&mut self, nonce: Nonce, next: Seq) {
        self.stream = Some(Stream { nonce, next, reader: None });
    }

    pub fn streams(&self) -> bool {
        self.stream.is_some()
    }

    pub fn stop_stream(&mut self, nonce: Nonce) {
        self.stream.take_if(|s| s.nonce == nonce);
        self.state.take_if(|s| s.nonce == nonce);
    }

    pub fn sends_state(&self) -> bool {
        self.state.is_some()
    }

    pub fn send_state(&mut self, state: state::Outgoing) {
        if !self.is_closing() {
            self.state = Some(state);
        }
    }

    /// Sends a frame that was just sealed, if the stream stands right before it.
    pub fn sealed(&mut self, frame: &Frame) {
        let Some(stream) = &mut self.stream else { return };
        if stream.next == frame.first_seq() && self.outgoing.waiting() < LIVE_BYTES_MAX {
            self.outgoing.push_frame(stream.nonce, frame);
            stream.next = frame.end_seq();
            stream.reader = None;
        }
    }

    /// Fills the queue from the state, and from the log up to entry `end`.
    pub fn pump(&mut self, log: &LogView, end: Seq) -> gapless_log::Result<()> {
        while self.state.is_some() && self.takes_state() {
            let Some(state) = &mut self.state else { break };
            match state.next() {
                Some(chunk) => self.outgoing.push(Packet::new(state.nonce, Message::State(chunk))),
                None => self.state = None,
            }
        }
        let Some(stream) = &mut self.stream else { return Ok(()) };
        while stream.next < end && self.outgoing.waiting() < PUMP_BYTES {
            let reader = stream.reader.get_or_insert_with(|| log.reader(stream.next));
            let Some(frame) = reader.next().transpose()? else { break };
            assert!(frame.first_seq() == stream.next, "a stream starts where a frame does");
            stream.next = frame.end_seq();
            self.outgoing.push_frame(stream.nonce, &frame);
        }
        Ok(())
    }

    /// Writes what waits as far as the socket takes it. False if the connection is over.
    pub fn flush(&mut self) -> bool {
        while !self.outgoing.is_empty() {
            match self.socket.write(self.outgoing.bytes()) {
                Ok(0) => return false,
                Ok(n) => self.outgoing.wrote(n),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        true
    }

    /// Takes what the socket has, calling `each` for every packet.
    pub fn read(&mut self, each: &mut dyn FnMut(Packet)) -> Arrived {
        for _ in 0..READS_MAX {
            let space = self.incoming.space();
            let room = space.len();
            let got = match self.socket.read(space) {
                Ok(0) => return Arrived::Gone(None),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Arrived::Nothing,
                Err(_) => return Arrived::Gone(None),
            };
            self.incoming.arrived(got);
            loop {
                match self.incoming.packet() {
                    Ok(Some(packet)) => each(packet),
                    Ok(None) => break,
                    Err(e) => return Arrived::Gone(Some(e)),
                }
            }
            if got < room {
                break;
            }
        }
        Arrived::Nothing
    }
}

/// Bytes that the other machine has not acknowledged; see SIOCOUTQ in tcp(7).
fn on_its_way(socket: &TcpStream) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request writes one int, and `bytes` is one.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if done == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
}
