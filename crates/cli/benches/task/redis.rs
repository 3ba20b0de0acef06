//! A redis without replica or disk, as a reference: `INCR` of keys, by the same load.

use crate::dies_with_us;
use crate::load::Protocol;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Redis {
    server: Child,
    port: u16,
}

impl Redis {
    pub fn start() -> Result<Self, String> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| e.to_string())?.port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--save", ""]).stdin(Stdio::null()).stdout(Stdio::null());
        let server = dies_with_us(&mut command).spawn().map_err(|e| format!("redis-server: {e}"))?;
        let (redis, since) = (Self { server, port }, Instant::now());
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if since.elapsed() > Duration::from_secs(10) {
                return Err("redis-server does not answer".to_owned());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(redis)
    }

    pub fn pids(&self) -> Vec<u32> {
        vec![self.server.id()]
    }

    pub fn connections(&self, count: usize) -> Vec<(TcpStream, Incr)> {
        (0..count).map(|n| (TcpStream::connect(("127.0.0.1", self.port)).expect("it listens"), Incr(n))).collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Increments one key.
pub struct Incr(usize);

impl Protocol for Incr {
    fn ask(&mut self, to: &mut Vec<u8>) {
        let key = format!("key-{}", self.0);
        to.extend_from_slice(format!("*2\r\n$4\r\nINCR\r\n${}\r\n{key}\r\n", key.len()).as_bytes());
    }

    fn answer(&mut self, bytes: &[u8]) -> Option<usize> {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        assert_eq!(bytes[0], b':', "a number, not {}", String::from_utf8_lossy(&bytes[..end]));
        Some(end + 2)
    }
}
