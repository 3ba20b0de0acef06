//! The one way to standard output and to standard error.
//!
//! stdout is data: what cannot be written there is an error of the command, except that a reader that has gone away (`| head`) has what it wanted.
//! stderr is talk: if nobody hears it, that is no reason to stop anything.

use std::io::{ErrorKind, Write};

/// Writes all of it to stdout.
pub fn data(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush())).map(|_| ())
}

/// Whether anybody still reads, or the error that the command ends with.
pub fn written(result: std::io::Result<()>) -> Result<bool, String> {
    match result {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(format!("standard output cannot be written: {e}; give it a place with room")),
    }
}

/// A line for a person, on stderr.
macro_rules! talk {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        // Nobody to tell if stderr is gone.
        let _ = writeln!(std::io::stderr().lock(), $($arg)*);
    }};
}
pub(crate) use talk;
