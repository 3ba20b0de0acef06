//! The connection to gdb, without gdb's complaints.
//!
//! A gdb that has waited two seconds for an answer asks for it again by `-`, also when it has agreed that nothing is repeated. The answer comes when it
//! is there; so `-` between two packets is dropped. Within a packet it is a character like any other.

use gdbstub::conn::{Connection, ConnectionExt};
use std::io::{Read, Result, Write};
use std::net::TcpStream;

const NACK: u8 = b'-';
/// Characters of a packet's checksum, behind `#`.
const CHECKSUM_BYTES: u8 = 2;

/// The connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    place: Place,
}

/// Where in what gdb sends the next byte is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Between,
    Packet,
    Checksum { left: u8 },
}

impl Place {
    fn behind(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Between, b'$') => Self::Packet,
            (Self::Between, _) => Self::Between,
            (Self::Packet, b'#') => Self::Checksum { left: CHECKSUM_BYTES },
            (Self::Packet, _) => Self::Packet,
            (Self::Checksum { left: 1 }, _) => Self::Between,
            (Self::Checksum { left }, _) => Self::Checksum { left: left - 1 },
        }
    }
}

impl Wire {
    /// Before gdb has sent anything.
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, place: Place::Between }
    }
}

impl Connection for Wire {
    type Error = std::io::Error;

    fn write(&mut self, byte: u8) -> Result<()> {
        self.write_all(&[byte])
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.set_nonblocking(false)?;
        Write::write_all(&mut self.stream, bytes)
    }

    fn flush(&mut self) -> Result<()> {
        Write::flush(&mut self.stream)
    }

    fn on_session_start(&mut self) -> Result<()> {
        self.stream.set_nodelay(true)
    }
}

impl ConnectionExt for Wire {
    fn read(&mut self) -> Result<u8> {
        self.stream.set_nonblocking(false)?;
        loop {
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            let dropped = self.place == Place::Between && byte[0] == NACK;
            self.place = self.place.behind(byte[0]);
            if !dropped {
                return Ok(byte[0]);
            }
        }
    }

    fn peek(&mut self) -> Result<Option<u8>> {
        ConnectionExt::peek(&mut self.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn only_complaints_are_dropped() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut gdb = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut wire = Wire::new(listener.accept().unwrap().0);
        Write::write_all(&mut gdb, b"-+-$vCont;s:p1.-1#-f--\x03-$x#00").unwrap();
        drop(gdb);
        let mut heard = Vec::new();
        while let Ok(byte) = wire.read() {
            heard.push(byte);
        }
        assert_eq!(heard, b"+$vCont;s:p1.-1#-f\x03$x#00");
    }
}
