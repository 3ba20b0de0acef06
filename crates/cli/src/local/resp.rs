//! One connection of a client that speaks the Redis protocol: a request, its answer.
//!
//! The rule it keeps: an answer is whole or it is an error; a connection that failed once is never used again (the caller drops it). What it
//! leaves out: pipelining and arrays in answers, which nobody here uses.

use crate::interrupt::interrupted;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest answer that is believed.
const REPLY_BYTES_MAX: u64 = 64 << 10;
/// Pause between two looks at whether waiting still makes sense.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What a server answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Option<Vec<u8>>),
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    wait_max: Duration,
}

impl Connection {
    /// Connects to a server on this machine.
    pub fn open(port: u16, wait_max: Duration) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let socket = TcpStream::connect_timeout(&address, wait_max)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(LOOK_EVERY))?;
        socket.set_write_timeout(Some(wait_max))?;
        Ok(Self { socket, wait_max })
    }

    /// Sends one request and waits for its answer, until `give_up` says that it is not wanted any more.
    pub fn ask(&mut self, request: &[&str], give_up: impl Fn() -> bool) -> io::Result<Reply> {
        let mut bytes = format!("*{}\r\n", request.len());
        for part in request {
            bytes.push_str(&format!("${}\r\n{part}\r\n", part.len()));
        }
        self.socket.write_all(bytes.as_bytes())?;
        let patient = Patient { socket: &self.socket, wait_max: self.wait_max, since: Instant::now(), give_up };
        // One request, one answer: what is left in the buffer afterwards was never asked for.
        let mut stream = BufReader::new(patient);
        let reply = read(&mut stream)?;
        if stream.buffer().is_empty() { Ok(reply) } else { Err(bad("more than was asked for")) }
    }
}

/// A socket whose reads wait long, but not for ever.
struct Patient<'a, F> {
    socket: &'a TcpStream,
    wait_max: Duration,
    since: Instant,
    give_up: F,
}

impl<F: Fn() -> bool> Read for Patient<'_, F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.socket.read(buf) {
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    if self.since.elapsed() >= self.wait_max || (self.give_up)() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                done => return done,
            }
        }
    }
}

fn read(from: &mut impl BufRead) -> io::Result<Reply> {
    let line = line(from)?;
    let (kind, text) = line.split_at_checked(1).ok_or_else(|| bad("an empty line"))?;
    Ok(match kind {
        "+" => Reply::Simple(text.to_owned()),
        "-" => Reply::Error(text.to_owned()),
        ":" => Reply::Integer(text.parse().map_err(|_| bad(&line))?),
        "$" if text == "-1" => Reply::Bulk(None),
        "$" => {
            let length: u64 = text.parse().map_err(|_| bad(&line))?;
            if length > REPLY_BYTES_MAX {
                return Err(bad(&line));
            }
            let mut bytes = vec![0; length as usize + 2];
            from.read_exact(&mut bytes)?;
            if !bytes.ends_with(b"\r\n") {
                return Err(bad("a string without its end"));
            }
            bytes.truncate(length as usize);
            Reply::Bulk(Some(bytes))
        }
        _ => return Err(bad(&line)),
    })
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(REPLY_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    if !bytes.ends_with(b"\n") && (bytes.len() as u64) < REPLY_BYTES_MAX {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let text = bytes.strip_suffix(b"\r\n").ok_or_else(|| bad("a line that does not end as it must"))?;
    String::from_utf8(text.to_vec()).map_err(|_| bad("a line that is not text"))
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer is not of the Redis protocol: {what:?}"))
}

/// Does it answer PING? An error if it is something that speaks otherwise.
pub fn is_up(port: u16) -> Result<bool, String> {
    const WAIT: Duration = Duration::from_millis(500);
    let pong = Connection::open(port, WAIT).and_then(|mut connection| connection.ask(&["PING"], interrupted));
    match pong {
        Ok(reply) => Ok(reply == Reply::Simple("PONG".into())),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(format!("what listens at port {port}: {e}")),
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &str, expect: Result<Reply, io::ErrorKind>) {
        assert_eq!(read(&mut bytes.as_bytes()).map_err(|e| e.kind()), expect, "{bytes:?}");
    }

    #[test]
    fn answers() {
        check("+OK\r\n", Ok(Reply::Simple("OK".into())));
        check("-ERR no\r\n", Ok(Reply::Error("ERR no".into())));
        check(":-7\r\n", Ok(Reply::Integer(-7)));
        check("$-1\r\n", Ok(Reply::Bulk(None)));
        check("$3\r\na\r\n\r\n", Ok(Reply::Bulk(Some(b"a\r\n".to_vec()))));
    }

    #[test]
    fn torn_and_foreign_answers_are_errors() {
        use io::ErrorKind::{InvalidData, UnexpectedEof};
        let whole = "$5\r\nhello\r\n";
        for cut in 0..whole.len() {
            check(&whole[..cut], Err(UnexpectedEof));
        }
        check("\r\n", Err(InvalidData));
        check(":x\r\n", Err(InvalidData));
        check("$-2\r\n", Err(InvalidData));
        check("$99999999999\r\n", Err(InvalidData));
        check("$1\r\nabc", Err(InvalidData));
        check("HTTP/1.1 200 OK\r\n", Err(InvalidData));
        check("<html>\n", Err(InvalidData));
        check(&"+".repeat(REPLY_BYTES_MAX as usize), Err(InvalidData));
    }
}
