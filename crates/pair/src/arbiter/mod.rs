//! Arbiters: who may go live is decided by one compare-and-put on a register, never by a clock.
//!
//! The rule every arbiter keeps: puts are linearizable and durable before their answer; an error or a timeout means *unknown*,
//! never *lost*. [`conformance`] is the suite that every implementation passes. What to do about an unknown put is rule U and lives in
//! the engine; [`put_until_known`] is the blocking form of it for commands.
//!
//! - `file:PATH` ([`FileArbiter`]): one machine, or a disk that both share and whose locks are real.
//! - `HOST:PORT` or `HOST:PORT/PAIR` ([`WitnessArbiter`]): a third, small process, see [`crate::witness`].

pub(crate) mod cell;
pub mod conformance;
mod file;
mod remote;

pub use file::FileArbiter;
pub(crate) use file::lock_file;
pub use remote::WitnessArbiter;

use crate::{Put, Register};
use std::time::Duration;

/// What became of a put.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PutOutcome {
    /// The new value stands and is durable.
    Won,
    /// Nothing was changed, because this stands instead (`None`: no register).
    Lost(Option<Register>),
}

/// Why an arbiter did not answer. For a put this means: unknown.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("arbiter {arbiter}: {what}")]
pub struct ArbiterError {
    /// Which arbiter.
    pub arbiter: String,
    /// What happened, and what to do.
    pub what: String,
}

/// A place that holds one register.
pub trait Arbiter: Send {
    /// The register as it stands; `None` if nobody has put one.
    fn read(&mut self) -> Result<Option<Register>, ArbiterError>;

    /// Puts the new register if the expected one stands. An error means that it may or may not have happened, or may still happen.
    fn put(&mut self, put: &Put) -> Result<PutOutcome, ArbiterError>;

    /// What is wrong with it for good, so that waiting would not help; asked once, before anything rests on it.
    fn check(&mut self) -> Result<(), ArbiterError> {
        Ok(())
    }

    /// Its name for messages, in the form that [`parse`] takes.
    fn describe(&self) -> String;
}

/// Makes the arbiter that a command line names: `file:PATH`, `HOST:PORT` or `HOST:PORT/PAIR`.
pub fn parse(text: &str) -> Result<Box<dyn Arbiter>, String> {
    const HELP: &str = "use file:PATH (one machine, or a shared disk) or HOST:PORT[/PAIR] of a `gapless witness`";
    if let Some(path) = text.strip_prefix("file:") {
        if path.is_empty() {
            return Err(format!("arbiter {text:?} names no file; {HELP}"));
        }
        return Ok(Box::new(FileArbiter::new(path)));
    }
    let (address, pair) = text.split_once('/').unwrap_or((text, DEFAULT_PAIR));
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(port)) if port != 0 => {}
        _ => return Err(format!("arbiter {text:?} is not understood; {HELP}")),
    }
    if !is_pair_name(pair) {
        return Err(format!(
            "pair name {pair:?} must be 1 to {PAIR_NAME_BYTES_MAX} letters, digits, '.', '_' or '-'; {HELP}"
        ));
    }
    Ok(Box::new(WitnessArbiter::new(address, pair)))
}

/// The pair whose register is meant when a witness is named without one.
pub const DEFAULT_PAIR: &str = "default";
/// Longest name of a pair.
pub const PAIR_NAME_BYTES_MAX: usize = 64;

/// Names that are safe as file names on every system.
pub(crate) fn is_pair_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= PAIR_NAME_BYTES_MAX && !name.starts_with('.') && name.bytes().all(plain)
}

/// Puts, and resolves an unknown answer by rule U: the same put again until the register's version is known to have moved. Gives up with the
/// last error after `patience`; the put is then still unknown.
pub fn put_until_known(arbiter: &mut dyn Arbiter, put: &Put, patience: Duration) -> Result<PutOutcome, ArbiterError> {
    const PAUSE: Duration = Duration::from_millis(20);
    let started = std::time::Instant::now();
    loop {
        match arbiter.put(put) {
            Ok(PutOutcome::Lost(Some(standing))) if standing == put.new => return Ok(PutOutcome::Won),
            Ok(known) => return Ok(known),
            Err(e) if started.elapsed() >= patience => return Err(e),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_or_refused_with_advice() {
        for (text, expected) in [
            ("file:/tmp/r", "file:/tmp/r"),
            ("file:r", "file:r"),
            ("127.0.0.1:7300", "127.0.0.1:7300/default"),
            ("witness.example:7300/db-1", "witness.example:7300/db-1"),
            ("[::1]:7300", "[::1]:7300/default"),
        ] {
            assert_eq!(parse(text).map_err(|e| panic!("{e}")).unwrap().describe(), expected);
        }
        for text in
            ["", "file:", "host", ":7300", "host:0", "host:port", "host:99999", "h:1/", "h:1/a b", "h:1/../x", "h:1/.x"]
        {
            let error = parse(text).err().unwrap_or_else(|| panic!("{text:?} was taken"));
            assert!(error.contains("file:PATH"), "{error}");
        }
    }
}
