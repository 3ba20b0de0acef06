//! A connection to a client or to another shard: frames in, frames out, without ever waiting.

use crate::wire;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

/// Nothing is read from who does not read what is said to him, beyond this.
const OUT_BYTES_MAX: usize = 4 << 20;
/// Read at once.
pub const READ_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    come: Vec<u8>,
    /// Of `come`, bytes that were taken.
    taken: usize,
    going: Vec<u8>,
    /// The other side has said its last, or the connection broke.
    ended: bool,
}

impl Connection {
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, come: Vec::new(), taken: 0, going: Vec::new(), ended: false })
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub fn is_over(&self) -> bool {
        self.ended
    }

    /// Who does not listen is not listened to.
    pub fn is_heard(&self) -> bool {
        !self.ended && self.going.len() < OUT_BYTES_MAX
    }

    /// Something waits to be sent.
    pub fn has_going(&self) -> bool {
        !self.going.is_empty() && !self.ended
    }

    /// Takes what has come, as much as `space` has room for.
    pub fn read(&mut self, space: &mut [u8]) {
        self.come.drain(..self.taken);
        self.taken = 0;
        match self.stream.read(space) {
            Ok(0) => self.ended = true,
            Ok(n) => self.come.extend_from_slice(&space[..n]),
            Err(e) if !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => self.ended = true,
            Err(_) => {}
        }
    }

    /// The next whole frame. One that is none ends the connection.
    pub fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        match wire::take(&self.come[self.taken..]) {
            Ok(frame) => frame.map(|(value, bytes)| {
                self.taken += bytes;
                value
            }),
            Err(_) => {
                self.end();
                None
            }
        }
    }

    /// To be sent with the next [`Connection::flush`].
    pub fn say(&mut self, value: &impl Serialize) {
        if !self.ended {
            wire::put(value, &mut self.going);
        }
    }

    /// Sends what can be sent.
    pub fn flush(&mut self) {
        let mut sent = 0;
        while sent < self.going.len() && !self.ended {
            match self.stream.write(&self.going[sent..]) {
                Ok(0) => self.end(),
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.end(),
            }
        }
        self.going.drain(..sent);
    }

    /// It is of no use any more.
    pub fn end(&mut self) {
        self.ended = true;
    }
}
