//! HTTP as a client of a test speaks it: one request a connection.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Longer than any reply takes.
const REPLY_MAX: Duration = Duration::from_secs(45);

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Says these bytes and hears until the end.
pub fn exchange(at: &str, bytes: &[u8]) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(REPLY_MAX))?;
    stream.write_all(bytes)?;
    hear(stream)
}

pub fn hear(mut stream: TcpStream) -> io::Result<Reply> {
    let mut come = Vec::new();
    stream.read_to_end(&mut come)?;
    let text = String::from_utf8_lossy(&come);
    let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Reply { status, head: head.to_lowercase(), body: body.to_owned() })
}

/// A request, with further headers, each ended by CRLF.
pub fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: it\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
}

pub fn post(at: &str, path: &str, key: Option<&str>, body: &str) -> io::Result<Reply> {
    let key = key.map(|key| format!("Idempotency-Key: {key}\r\n")).unwrap_or_default();
    exchange(at, request("POST", path, &key, body).as_bytes())
}

/// Asks one node and then the other, as often as it takes: a client with a key may.
pub fn post_until_answered(nodes: &[String], first: usize, path: &str, key: &str, body: &str) -> Reply {
    let since = Instant::now();
    for n in first.. {
        let why = match post(&nodes[n % nodes.len()], path, Some(key), body) {
            Ok(reply) if reply.status != 503 => return reply,
            Ok(reply) => {
                assert!(reply.head.contains("retry-after: "), "{reply:?}");
                reply.body
            }
            Err(e) => e.to_string(),
        };
        assert!(since.elapsed() < 2 * REPLY_MAX, "no answer to {key}: {why}");
        std::thread::sleep(Duration::from_millis(20));
    }
    unreachable!("numbers do not end")
}
