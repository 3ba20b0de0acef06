//! Connections: one thread each, requests answered in the order they came.
//!
//! The replies of everything that arrived in one read leave in one write, so pipelining
//! costs two calls a batch. A connection that breaks the protocol is told why and closed;
//! it disturbs nobody else.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::command::{self, Then};
use crate::resp::{Parser, Reply};
use crate::store::Store;

/// Connections beyond this are refused with a reply.
const CONNECTIONS_MAX: usize = 4096;
/// Replies are sent early once they are this long.
const REPLY_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES: usize = 16 * 1024;
const THREAD_STACK_BYTES: usize = 128 * 1024;
/// How long, and for how many reads, a closing connection waits for the client's end.
const PARTING_TIME: Duration = Duration::from_millis(200);
const PARTING_READS_MAX: usize = 64;
/// Pause after a failed accept: descriptors or memory ran out and may come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Serves until a client sends SHUTDOWN; returns only if it cannot listen.
pub fn serve(bind: &str, port: u16) -> io::Result<Infallible> {
    let listener = TcpListener::bind((bind, port))?;
    let mut out = io::stdout().lock();
    writeln!(out, "gapless-demo-server: ready on {}", listener.local_addr()?)?;
    out.flush()?;
    drop(out);
    accept(&listener)
}

/// One open connection, counted; dropping it counts it off.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn accept(listener: &TcpListener) -> ! {
    let store = Arc::new(Store::default());
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                eprintln!("gapless-demo-server: accept: {error}");
                thread::sleep(ACCEPT_PAUSE);
                continue;
            }
        };
        let before = open.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Arc::clone(&open));
        if before >= CONNECTIONS_MAX {
            // The client may be gone already; there is nobody else to tell.
            let _ = stream.write_all(b"-ERR max number of clients reached\r\n");
            continue;
        }
        let store = Arc::clone(&store);
        let spawned = thread::Builder::new().stack_size(THREAD_STACK_BYTES).spawn(move || {
            let _counted = counted;
            // An error means that the client went away: its connection ends here.
            if let Ok(Then::Shutdown) = converse(&store, &mut stream) {
                std::process::exit(0);
            }
        });
        if let Err(error) = spawned {
            eprintln!("gapless-demo-server: no thread for a connection: {error}");
        }
    }
}

/// Answers one connection until it ends, and says how.
fn converse(store: &Store, stream: &mut TcpStream) -> io::Result<Then> {
    stream.set_nodelay(true)?;
    let mut parser = Parser::default();
    let mut chunk = vec![0; READ_BYTES];
    loop {
        let length = match stream.read(&mut chunk) {
            Ok(0) => return Ok(Then::Close),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        parser.feed(&chunk[..length]);
        let then = answer(store, &mut parser, stream)?;
        if then != Then::Go {
            part(stream, &mut chunk);
            return Ok(then);
        }
    }
}

/// Ends a connection so that the client gets the last reply: bytes left unread would turn
/// the close into a reset, and a reset overtakes what was sent before it.
fn part(stream: &mut TcpStream, chunk: &mut [u8]) {
    // Each failure here means that the client is gone, which is what is wanted.
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.set_read_timeout(Some(PARTING_TIME));
    for _ in 0..PARTING_READS_MAX {
        if !matches!(stream.read(chunk), Ok(1..)) {
            return;
        }
    }
}

/// Answers every whole request that has arrived.
fn answer(store: &Store, parser: &mut Parser, out: &mut impl Write) -> io::Result<Then> {
    let mut replies = Vec::new();
    let then = loop {
        let (reply, then) = match parser.next() {
            Ok(Some(request)) => command::execute(store, request),
            Ok(None) => break Then::Go,
            Err(error) => {
                let text = format!("ERR Protocol error: {error}");
                (Reply::Error(text), Then::Close)
            }
        };
        reply.write(&mut replies);
        if then != Then::Go {
            break then;
        }
        if replies.len() >= REPLY_BYTES_MAX {
            out.write_all(&replies)?;
            replies.clear();
        }
    };
    out.write_all(&replies)?;
    Ok(then)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&str], expect: &str, end: Then) {
        let store = Store::default();
        let mut parser = Parser::default();
        let mut out = Vec::new();
        let mut then = Then::Go;
        for piece in pieces {
            assert_eq!(then, Then::Go);
            parser.feed(piece.as_bytes());
            then = answer(&store, &mut parser, &mut out).expect("a vector takes all");
        }
        assert_eq!(String::from_utf8_lossy(&out).replace("\r\n", "|"), expect);
        assert_eq!(then, end);
    }

    #[test]
    fn pipelines_in_order_across_reads() {
        check(&["INCR n\r\nINCR n\r\n*2\r\n$3\r\nGET\r\n$", "1\r\nn\r\nPING\r\n"], ":1|:2|$1|2|+PONG|", Then::Go);
    }

    #[test]
    fn nothing_runs_after_the_end() {
        check(&["INCR n\r\nQUIT\r\nINCR n\r\n"], ":1|+OK|", Then::Close);
        check(&["INCR n\r\n*1\r\n?\r\nINCR n\r\n"], ":1|-ERR Protocol error: expected '$', got '?'|", Then::Close);
        check(&["SHUTDOWN\r\nPING\r\n"], "+OK|", Then::Shutdown);
    }

    #[test]
    fn long_replies_are_sent_in_parts() {
        let value = "v".repeat(REPLY_BYTES_MAX / 2);
        let request = format!("SET k {value}\r\n") + &"GET k\r\n".repeat(5);
        let expect = "+OK|".to_owned() + &format!("${}|{value}|", value.len()).repeat(5);
        check(&[&request], &expect, Then::Go);
    }

    /// A connection that breaks the protocol, or is cut, disturbs no other.
    #[test]
    fn over_real_sockets() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("bound");
        thread::spawn(move || accept(&listener));
        let ask = |request: &[u8]| {
            let mut stream = TcpStream::connect(address).expect("listening");
            let limit = Some(Duration::from_secs(20));
            stream.set_read_timeout(limit).expect("a timeout");
            stream.write_all(request).expect("open");
            stream.shutdown(Shutdown::Write).expect("open");
            let mut reply = Vec::new();
            stream.read_to_end(&mut reply).expect("a reply");
            String::from_utf8_lossy(&reply).replace("\r\n", "|")
        };
        assert_eq!(ask(b"SET a 1\r\nINCR a\r\n"), "+OK|:2|");
        assert_eq!(ask(b"*1\r\n$"), "");
        assert_eq!(ask(b"\xff\x00\n"), "-ERR unknown command '\\xff\\x00'|");
        assert!(ask(b"*\n").starts_with("-ERR Protocol error"));
        assert_eq!(ask(b"GET a\r\nQUIT\r\n"), "$1|2|+OK|");
        // Unread bytes behind the last request do not cost the client its reply.
        let quit = [b"QUIT\r\n".as_slice(), &[b'x'; 200_000]].concat();
        assert_eq!(ask(&quit), "+OK|");
    }
}
