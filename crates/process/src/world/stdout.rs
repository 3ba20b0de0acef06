//! A standard stream that is written to: without blocking, so that a reader that is slow stops nobody else.
//!
//! The descriptor is shared with whoever started us, so it stays in the mode it is in: it is written only when it says that it has
//! room, and a pipe or terminal then only as much as cannot block.

use super::host;
use crate::object::stdio::Stdio;
use std::collections::VecDeque;

/// A pipe that polls as writable takes this much without blocking.
const PIPE_BUF: usize = 4096;

/// Bytes on their way to standard output or error.
#[derive(Debug)]
pub struct Stdout {
    fd: i32,
    regular: bool,
    /// With the numbers of the outputs that they are.
    pending: VecDeque<(u64, Vec<u8>)>,
    /// Bytes of the first one.
    gone: usize,
}

impl Stdout {
    /// For one of the standard streams, which leads to `fd`.
    pub fn new(stdio: &Stdio, fd: i32) -> Self {
        let regular = stdio.description.mode & libc::S_IFMT == libc::S_IFREG;
        Self { fd, regular, pending: VecDeque::new(), gone: 0 }
    }

    /// Its descriptor.
    pub fn fd(&self) -> i32 {
        self.fd
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The output that waits first.
    pub fn first(&self) -> Option<u64> {
        self.pending.front().map(|&(number, _)| number)
    }

    /// Adds the bytes of an output.
    pub fn push(&mut self, number: u64, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.pending.push_back((number, bytes));
        }
    }

    /// Writes as much as goes without waiting; answers how many bytes are gone.
    pub fn flush(&mut self) -> Result<u64, i32> {
        let mut total = 0;
        while let Some((_, first)) = self.pending.front() {
            if !self.regular && !host::writable(self.fd) {
                break;
            }
            let rest = &first[self.gone..];
            let now = if self.regular { rest } else { &rest[..rest.len().min(PIPE_BUF)] };
            let Some(n) = host::write_some(self.fd, now)? else { break };
            total += n as u64;
            self.gone += n;
            if self.gone == first.len() {
                self.pending.pop_front();
                self.gone = 0;
            }
        }
        Ok(total)
    }

    /// Writes all that is left, waiting for the reader: the program has ended, nothing else needs this thread.
    pub fn finish(mut self) {
        while !self.is_empty() {
            if self.flush().is_err() {
                return;
            }
            if !self.is_empty() {
                host::sleep(&[(self.fd, libc::POLLOUT)], std::time::Duration::from_secs(1));
            }
        }
    }
}
