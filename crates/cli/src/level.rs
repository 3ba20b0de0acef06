//! A replica of whichever level a log belongs to, for the commands that work on all of them alike.

use gapless_log::{Digest, Identity, Level, Output, Parts, Player, Position, Progress, Recorder, Replica, Result, Term, Waker};
use gapless_machine::Machine;
use gapless_process::ProcessGroup;
use std::io::{Read, Write};
use std::time::Duration;

/// One of the levels.
pub enum Any {
    /// A group of processes.
    Process(Box<ProcessGroup>),
    /// A computer.
    Machine(Box<Machine>),
}

macro_rules! each {
    ($self:ident, $replica:ident => $body:expr) => {
        match $self {
            Any::Process($replica) => $body,
            Any::Machine($replica) => $body,
        }
    };
}

impl Replica for Any {
    fn identity(&self) -> Identity {
        each!(self, r => r.identity())
    }

    fn level(&self) -> Level {
        each!(self, r => r.level())
    }

    fn position(&self) -> Position {
        each!(self, r => r.position())
    }

    fn record(&mut self, log: &mut Recorder<'_>) -> Result<Progress> {
        each!(self, r => r.record(log))
    }

    fn replay(&mut self, log: &mut Player<'_>) -> Result<Progress> {
        each!(self, r => r.replay(log))
    }

    fn emit(&mut self, output: Output) -> Result<()> {
        each!(self, r => r.emit(output))
    }

    fn wait(&mut self, waker: &Waker, at_most: Duration) -> Result<()> {
        each!(self, r => r.wait(waker, at_most))
    }

    fn prepare(&mut self) -> Result<()> {
        each!(self, r => r.prepare())
    }

    fn go_live(&mut self, term: Term, log: &mut Recorder<'_>) -> Result<()> {
        each!(self, r => r.go_live(term, log))
    }

    fn digest(&mut self) -> Result<Digest> {
        each!(self, r => r.digest())
    }

    fn digest_parts(&mut self) -> Result<Parts> {
        each!(self, r => r.digest_parts())
    }

    fn saves(&self) -> bool {
        each!(self, r => r.saves())
    }

    fn save(&mut self, to: &mut dyn Write) -> Result<bool> {
        each!(self, r => r.save(to))
    }

    fn load(&mut self, from: &mut dyn Read) -> Result<()> {
        each!(self, r => r.load(from))
    }

    fn halt(&mut self) {
        each!(self, r => r.halt());
    }
}
