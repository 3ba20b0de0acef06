//! A connection to a client or to another shard: frames in, frames out, without ever waiting.

use crate::wire::Frames;
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
    frames: Frames,
    /// The other side has said its last, or the connection broke.
    ended: bool,
}

impl Connection {
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, frames: Frames::default(), ended: false })
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub fn is_over(&self) -> bool {
        self.ended
    }

    /// Who does not listen is not listened to.
    pub fn is_heard(&self) -> bool {
        !self.ended && self.frames.going().len() < OUT_BYTES_MAX
    }

    /// Something waits to be sent.
    pub fn has_going(&self) -> bool {
        !self.frames.going().is_empty() && !self.ended
    }

    /// Takes what has come, as much as `space` has room for.
    pub fn read(&mut self, space: &mut [u8]) {
        match self.stream.read(space) {
            Ok(0) => self.ended = true,
            Ok(n) => self.frames.come(&space[..n]),
            Err(e) if !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => self.ended = true,
            Err(_) => {}
        }
    }

    /// The next whole frame. One that is none ends the connection.
    pub fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        self.frames.take().unwrap_or_else(|_| {
            self.end();
            None
        })
    }

    /// To be sent with the next [`Connection::flush`].
    pub fn say(&mut self, value: &impl Serialize) {
        if !self.ended {
            self.frames.say(value);
        }
    }

    /// Sends what can be sent.
    pub fn flush(&mut self) {
        let mut sent = 0;
        while sent < self.frames.going().len() && !self.ended {
            match self.stream.write(&self.frames.going()[sent..]) {
                Ok(0) => self.end(),
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.end(),
            }
        }
        self.frames.gone(sent);
    }

    /// It is of no use any more.
    pub fn end(&mut self) {
        self.ended = true;
    }
}
