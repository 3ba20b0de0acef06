//! What a witness and its clients say: one checksummed request, one checksummed answer, over TCP.
//!
//! The rule it keeps: no length from outside is believed beyond [`MESSAGE_BYTES_MAX`], no bytes panic, and no peer can make a read last longer than
//! its deadline. The witness does not look into a register; it only compares versions, so a witness need not be upgraded with its pairs.
//!
//! ```text
//!  0  magic "GLW1"   4  length of body u32   8  crc32 of body   12  body
//! body of a request: op u8, length of pair name u8, pair name; put adds: expect (uuid u128, v u64), register (uuid u128, v u64, bytes)
//! body of an answer: kind u8; value and lost add: register (v 0: none); refused adds: text
//! ```

use crate::Expect;
use crate::arbiter::cell::BODY_BYTES_MAX;
pub use crate::arbiter::cell::Cell;
use gapless_log::Term;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Longest body of a message.
pub const MESSAGE_BYTES_MAX: usize = BODY_BYTES_MAX + 512;
const MAGIC: [u8; 4] = *b"GLW1";
const HEADER_BYTES: usize = 12;

/// What a client asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// What stands?
    Read {
        /// Which register.
        pair: String,
    },
    /// Compare and put.
    Put {
        /// Which register.
        pair: String,
        /// What must stand.
        expect: Expect,
        /// What to put.
        new: Cell,
    },
}

/// What the witness answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// This stands.
    Value(Option<Cell>),
    /// The put happened and is durable.
    Won,
    /// The put did not happen; this stands.
    Lost(Option<Cell>),
    /// The request was not carried out, for this reason.
    Refused(String),
}

const READ: u8 = 1;
const PUT: u8 = 2;
const VALUE: u8 = 1;
const WON: u8 = 2;
const LOST: u8 = 3;
const REFUSED: u8 = 4;

impl Request {
    /// The body of the message.
    pub fn encode(&self) -> Vec<u8> {
        let head = |op: u8, pair: &str| [&[op, pair.len() as u8], pair.as_bytes()].concat();
        match self {
            Request::Read { pair } => head(READ, pair),
            Request::Put { pair, expect, new } => {
                let mut out = head(PUT, pair);
                let (uuid, term) = match expect {
                    Expect::Absent => (0, 0),
                    Expect::At { uuid, term } => (*uuid, term.0),
                };
                out.extend_from_slice(&uuid.to_le_bytes());
                out.extend_from_slice(&term.to_le_bytes());
                put_cell(&mut out, new);
                out
            }
        }
    }

    /// Reads a body; `None` if it is not a request.
    pub fn decode(body: &[u8]) -> Option<Self> {
        let (&[op, length], rest) = body.split_first_chunk()?;
        let (pair, rest) = rest.split_at_checked(length.into())?;
        let pair = std::str::from_utf8(pair).ok()?.to_owned();
        match op {
            READ if rest.is_empty() => Some(Request::Read { pair }),
            PUT => {
                let (uuid, rest) = rest.split_first_chunk()?;
                let (term, rest) = rest.split_first_chunk()?;
                let expect = match (u128::from_le_bytes(*uuid), u64::from_le_bytes(*term)) {
                    (0, 0) => Expect::Absent,
                    (uuid, term) => Expect::At { uuid, term: Term(term) },
                };
                Some(Request::Put { pair, expect, new: decode_cell(rest)?? })
            }
            _ => None,
        }
    }

    /// Sends it.
    pub fn write(&self, stream: &TcpStream, deadline: Instant) -> io::Result<()> {
        write_message(stream, &self.encode(), deadline)
    }

    /// Receives one.
    pub fn read(stream: &TcpStream, deadline: Instant) -> io::Result<Self> {
        let body = read_message(stream, deadline)?;
        Self::decode(&body).ok_or_else(|| invalid("not a request that this version knows"))
    }
}

impl Answer {
    /// The body of the message.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Answer::Value(cell) => encode_cell(VALUE, cell.as_ref()),
            Answer::Won => vec![WON],
            Answer::Lost(cell) => encode_cell(LOST, cell.as_ref()),
            Answer::Refused(why) => [&[REFUSED], why.as_bytes()].concat(),
        }
    }

    /// Reads a body; `None` if it is not an answer.
    pub fn decode(body: &[u8]) -> Option<Self> {
        let (&kind, rest) = body.split_first()?;
        match kind {
            VALUE => Some(Answer::Value(decode_cell(rest)?)),
            WON if rest.is_empty() => Some(Answer::Won),
            LOST => Some(Answer::Lost(decode_cell(rest)?)),
            REFUSED => Some(Answer::Refused(String::from_utf8_lossy(rest).into_owned())),
            _ => None,
        }
    }

    /// Sends it.
    pub fn write(&self, stream: &TcpStream, deadline: Instant) -> io::Result<()> {
        write_message(stream, &self.encode(), deadline)
    }

    /// Receives one.
    pub fn read(stream: &TcpStream, deadline: Instant) -> io::Result<Self> {
        let body = read_message(stream, deadline)?;
        Self::decode(&body).ok_or_else(|| invalid("not an answer that this version knows"))
    }
}

fn put_cell(out: &mut Vec<u8>, cell: &Cell) {
    out.extend_from_slice(&cell.uuid.to_le_bytes());
    out.extend_from_slice(&cell.v.to_le_bytes());
    out.extend_from_slice(&cell.body);
}

fn encode_cell(kind: u8, cell: Option<&Cell>) -> Vec<u8> {
    let mut out = vec![kind];
    put_cell(&mut out, cell.unwrap_or(&Cell { uuid: 0, v: 0, body: Vec::new() }));
    out
}

/// The outer `None`: malformed; the inner: no register.
fn decode_cell(bytes: &[u8]) -> Option<Option<Cell>> {
    let (uuid, rest) = bytes.split_first_chunk()?;
    let (v, body) = rest.split_first_chunk()?;
    let cell = Cell { uuid: u128::from_le_bytes(*uuid), v: u64::from_le_bytes(*v), body: body.to_vec() };
    match cell.v {
        0 => body.is_empty().then_some(None),
        _ => (body.len() <= BODY_BYTES_MAX).then_some(Some(cell)),
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn write_message(mut stream: &TcpStream, body: &[u8], deadline: Instant) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    bytes.extend_from_slice(body);
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        match stream.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => rest = &rest[n..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(timeout_named(e)),
        }
    }
    Ok(())
}

fn read_message(stream: &TcpStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut head = [0u8; HEADER_BYTES];
    read_exact(stream, &mut head, deadline)?;
    if head[..4] != MAGIC {
        return Err(invalid("the other side does not speak the witness protocol"));
    }
    let length = u32::from_le_bytes(head[4..8].try_into().expect("4 bytes")) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(invalid("message is longer than the limit"));
    }
    let mut body = vec![0u8; length];
    read_exact(stream, &mut body, deadline)?;
    if crc32fast::hash(&body).to_le_bytes() != head[8..12] {
        return Err(invalid("message checksum does not match"));
    }
    Ok(body)
}

fn read_exact(mut stream: &TcpStream, mut rest: &mut [u8], deadline: Instant) -> io::Result<()> {
    while !rest.is_empty() {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(rest) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => rest = &mut rest[n..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(timeout_named(e)),
        }
    }
    Ok(())
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A blocking socket with a timeout says "would block"; a person understands "timed out".
fn timeout_named(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(v: u64) -> Cell {
        Cell { uuid: 3, v, body: vec![7; 100] }
    }

    #[test]
    fn messages_come_back_as_they_were() {
        let pair = "p".to_owned();
        for request in [
            Request::Read { pair: pair.clone() },
            Request::Put { pair: pair.clone(), expect: Expect::Absent, new: cell(1) },
            Request::Put { pair, expect: Expect::At { uuid: u128::MAX, term: Term(u64::MAX) }, new: cell(u64::MAX) },
        ] {
            assert_eq!(Request::decode(&request.encode()), Some(request));
        }
        for answer in [
            Answer::Value(None),
            Answer::Value(Some(cell(3))),
            Answer::Won,
            Answer::Lost(None),
            Answer::Lost(Some(cell(4))),
            Answer::Refused("no".into()),
        ] {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Request::decode(&bytes);
            let _ = Answer::decode(&bytes);
        }
    }
}
