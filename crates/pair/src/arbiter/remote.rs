//! The witness arbiter: a client of `gapless witness`, one short connection for each operation.
//!
//! The rule it keeps: every operation ends within [`TIMEOUT`]; whatever goes wrong after the request may have been sent is *unknown*.
//! A connection for each operation costs one round trip more and needs no care for stale ones; this is never on the steady path.

use super::cell::Cell;
use super::{Arbiter, ArbiterError, PutOutcome};
use crate::witness::protocol::{Answer, Request};
use crate::{Put, Register};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Longest time one operation takes.
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// A register held by a witness.
#[derive(Clone, Debug)]
pub struct WitnessArbiter {
    address: String,
    pair: String,
}

impl WitnessArbiter {
    /// The register of `pair` at the witness that listens at `address`.
    pub fn new(address: impl Into<String>, pair: impl Into<String>) -> Self {
        Self { address: address.into(), pair: pair.into() }
    }

    fn error(&self, what: impl ToString) -> ArbiterError {
        ArbiterError { arbiter: self.describe(), what: what.to_string() }
    }

    fn ask(&self, request: &Request) -> Result<Answer, ArbiterError> {
        let deadline = Instant::now() + TIMEOUT;
        let left = || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let addresses = self.address.to_socket_addrs().map_err(|e| self.error(format!("cannot resolve: {e}")))?;
        let mut failure = "the name has no address".to_owned();
        for address in addresses {
            let stream = match TcpStream::connect_timeout(&address, left()) {
                Ok(stream) => stream,
                Err(e) => {
                    failure = format!("cannot connect: {e}; is `gapless witness --listen {}` running?", self.address);
                    continue;
                }
            };
            let asked = stream.set_nodelay(true).and_then(|()| {
                request.write(&stream, deadline)?;
                Answer::read(&stream, deadline)
            });
            return asked.map_err(|e| self.error(format!("no answer: {e}")));
        }
        Err(self.error(failure))
    }

    fn register(&self, cell: Option<Cell>) -> Result<Option<Register>, ArbiterError> {
        let Some(cell) = cell else { return Ok(None) };
        match cell.register() {
            Some(register) => Ok(Some(register)),
            None => Err(self.error("holds a register that this version cannot read; use the same build everywhere")),
        }
    }
}

impl Arbiter for WitnessArbiter {
    fn read(&mut self) -> Result<Option<Register>, ArbiterError> {
        match self.ask(&Request::Read { pair: self.pair.clone() })? {
            Answer::Value(cell) => self.register(cell),
            Answer::Refused(why) => Err(self.error(why)),
            other => Err(self.error(format!("unexpected answer {other:?}"))),
        }
    }

    fn put(&mut self, put: &Put) -> Result<PutOutcome, ArbiterError> {
        let request = Request::Put { pair: self.pair.clone(), expect: put.expect, new: Cell::of(&put.new) };
        match self.ask(&request)? {
            Answer::Won => Ok(PutOutcome::Won),
            Answer::Lost(cell) => Ok(PutOutcome::Lost(self.register(cell)?)),
            Answer::Refused(why) => Err(self.error(why)),
            other => Err(self.error(format!("unexpected answer {other:?}"))),
        }
    }

    fn describe(&self) -> String {
        format!("{}/{}", self.address, self.pair)
    }
}
