//! A person at the console of a machine that is live on a log directory.

use super::process::sleep_ms;
use super::site::PATIENCE;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A connection to the console. It ends with the side that it was opened at.
pub struct Console {
    stream: UnixStream,
    heard: String,
}

impl Console {
    /// Opens it as soon as the machine is live there.
    pub fn open(log: &Path) -> Self {
        let since = Instant::now();
        let stream = loop {
            match UnixStream::connect(log.join("console")) {
                Ok(stream) => break stream,
                Err(e) => assert!(since.elapsed() < PATIENCE, "no console in {}: {e}", log.display()),
            }
            sleep_ms(5);
        };
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
        Self { stream, heard: String::new() }
    }

    /// Types a line.
    pub fn enter(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).expect("the console is open");
    }

    /// Waits until the guest has printed `text` (what was printed before the last success does not count); what stands before it.
    pub fn await_text(&mut self, text: &str) -> String {
        let since = Instant::now();
        let mut bytes = [0; 4096];
        loop {
            if let Some(at) = self.heard.find(text) {
                let before = self.heard[..at].to_owned();
                self.heard.drain(..at + text.len());
                return before;
            }
            match self.stream.read(&mut bytes) {
                Ok(0) => panic!("the console closed before it said {text:?}; it said:\n{}", self.heard),
                Ok(n) => self.heard += &String::from_utf8_lossy(&bytes[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) => panic!("the console failed before it said {text:?}: {e}; it said:\n{}", self.heard),
            }
            assert!(since.elapsed() < PATIENCE, "no {text:?} after {PATIENCE:?}; the console said:\n{}", self.heard);
        }
    }

    /// Runs a command of the shell that is there: its exit status and what it printed.
    pub fn run(&mut self, command: &str) -> (i32, String) {
        // Of no other command of any console: whoever joins one is shown what was said before.
        static COMMANDS: AtomicU64 = AtomicU64::new(0);
        let n = COMMANDS.fetch_add(1, Ordering::Relaxed);
        // The terminal may echo what is typed, which must not look like the answer.
        self.enter(&format!("echo '@'{n}:; {command}; echo '@'{n}=$?."));
        self.await_text(&format!("@{n}:"));
        let printed = self.await_text(&format!("@{n}="));
        let status = self.await_text(".");
        (status.parse().expect("an exit status"), printed.replace('\r', "").trim().to_owned())
    }

    /// The same for one that must succeed.
    pub fn must(&mut self, command: &str) -> String {
        let (status, printed) = self.run(command);
        assert_eq!(status, 0, "{command}: {printed}");
        printed
    }
}
