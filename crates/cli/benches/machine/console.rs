//! The console of a computer: what it says, and when the host heard it.

use crate::support::process::sleep_ms;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Heard {
    text: Vec<u8>,
    /// Up to where the text had come, and when.
    arrived: Vec<(usize, Instant)>,
    over: bool,
}

/// Both directions of a console.
pub struct Console {
    heard: Arc<(Mutex<Heard>, Condvar)>,
    to: Box<dyn Write>,
    /// Everything before was waited for already.
    seen: usize,
}

impl Console {
    pub fn new(mut from: impl Read + Send + 'static, to: impl Write + 'static) -> Self {
        let heard = Arc::<(Mutex<Heard>, Condvar)>::default();
        let theirs = Arc::clone(&heard);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                let count = from.read(&mut bytes).unwrap_or(0);
                let (heard, more) = &*theirs;
                let mut heard = heard.lock().expect("nobody panics with it");
                heard.text.extend_from_slice(&bytes[..count]);
                let end = heard.text.len();
                heard.arrived.push((end, Instant::now()));
                heard.over = count == 0;
                more.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        Self { heard, to: Box::new(to), seen: 0 }
    }

    /// The console of a pair, which is there when a side goes live.
    pub fn connect(socket: &Path, limit: Duration) -> Result<Self, String> {
        let since = Instant::now();
        loop {
            match UnixStream::connect(socket).and_then(|stream| Ok((stream.try_clone()?, stream))) {
                Ok((from, to)) => return Ok(Self::new(from, to)),
                Err(e) if since.elapsed() > limit => return Err(format!("no console after {limit:?}: {e}")),
                Err(_) => sleep_ms(2),
            }
        }
    }

    /// Waits for text behind that which was waited for before: when it was there.
    pub fn wait_for(&mut self, wanted: &str, limit: Duration) -> Result<Instant, String> {
        let deadline = Instant::now() + limit;
        let (heard, more) = &*self.heard;
        let mut heard = heard.lock().expect("nobody panics with it");
        loop {
            let found = heard.text[self.seen..].windows(wanted.len()).position(|w| w == wanted.as_bytes());
            if let Some(at) = found {
                self.seen += at + wanted.len();
                let complete = heard.arrived.iter().find(|(end, _)| *end >= self.seen);
                return Ok(complete.expect("what was heard came at some time").1);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if heard.over || left.is_zero() {
                let why = if heard.over { "ended".to_owned() } else { format!("over {} s", limit.as_secs()) };
                let last = String::from_utf8_lossy(&heard.text[heard.text.len().saturating_sub(300)..]).into_owned();
                eprintln!("  no {wanted:?} ({why}); the console ends with: {}", last.trim());
                return Err(why);
            }
            heard = more.wait_timeout(heard, left).expect("nobody panics with it").0;
        }
    }

    /// What follows on the line up to here, and when the line was there.
    pub fn rest_of_line(&mut self, limit: Duration) -> Result<(Instant, String), String> {
        let begin = self.seen;
        let when = self.wait_for("\n", limit)?;
        let heard = self.heard.0.lock().expect("nobody panics with it");
        Ok((when, String::from_utf8_lossy(&heard.text[begin..self.seen]).trim().to_owned()))
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) -> Result<(), String> {
        let typed = self.to.write_all(line.as_bytes()).and_then(|()| self.to.write_all(b"\n"));
        typed.and_then(|()| self.to.flush()).map_err(|e| format!("typing: {e}"))
    }
}
