//! `gapless replay --gdb`: a recorded machine under a debugger.

use crate::level;
use crate::out::talk;
use crate::place::{self, Scratch};
use crate::{EXIT_DIVERGED, Outcome, text};
use gapless_log::{Error, Level, Position};
use gapless_machine::debug::{Debugger, Why, gdb};
use std::net::TcpListener;
use std::path::Path;

/// Waits for one gdb at `address` and serves it until it leaves.
pub fn debug(dir: &Path, address: &str, from: Option<Position>) -> Outcome {
    place::log(dir)?;
    if level::of(dir)? != Level::Machine {
        return Err("--gdb is for machines; this is the log of processes".into());
    }
    let scratch = Scratch::new()?;
    let listener = TcpListener::bind(address).map_err(|e| format!("--gdb {address}: {e}"))?;
    let at = listener.local_addr().map_err(text)?;
    match session(dir, &scratch, &listener, from, &at.to_string()) {
        Ok(()) => Ok(0),
        Err(Error::Diverged(d)) => {
            talk!("gapless: {d}");
            Ok(EXIT_DIVERGED)
        }
        Err(e) => Err(scratch.explain(e)),
    }
}

fn session(
    dir: &Path,
    scratch: &Scratch,
    listener: &TcpListener,
    from: Option<Position>,
    at: &str,
) -> Result<(), Error> {
    let mut debugger = Debugger::open(dir, scratch.path())?;
    if let Some(from) = from
        && debugger.seek(from, &mut || false)? == Why::End
    {
        talk!("gapless: position {from} was not reached: the log ends at position {}", debugger.position());
    }
    talk!("gapless: at position {}; waiting for `gdb-multiarch -ex 'target remote {at}'`", debugger.position());
    let (stream, _) = listener.accept().map_err(|e| Error::io("waiting for gdb at", at, e))?;
    gdb::serve(&mut debugger, stream)?;
    talk!("gapless: gdb has left at position {}", debugger.position());
    Ok(())
}
