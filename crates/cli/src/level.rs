//! A replica of whichever level a log belongs to, for the commands that work on all of them alike.

use gapless_log::{
    Digest, Error, Figures, Identity, Level, Meta, Output, Parts, Player, Position, Progress, Recorder, Replica,
    Result, Term, Unfinished, Waker,
};
use gapless_machine::{Local, Machine};
use gapless_process::ProcessGroup;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::time::Duration;

/// One of the levels.
pub enum Any {
    /// A group of processes.
    Process(Box<ProcessGroup>),
    /// A computer.
    Machine(Box<Machine>),
}

/// The level of the log in `dir`.
pub fn of(dir: &Path) -> std::result::Result<Level, String> {
    Meta::require(dir).map(|meta| meta.level).map_err(crate::text)
}

impl Any {
    /// Executes the log in `dir`, with files of its own below `files`, and touches nothing else.
    pub fn backup(dir: &Path, files: &Path) -> Result<Self> {
        Ok(match Meta::require(dir)?.level {
            Level::Task => {
                return Err(Error::Refused(format!(
                    "{} is the log of a shard of tasks, which only its own service executes; look into it with `gapless log cat`",
                    dir.display()
                )));
            }
            Level::Machine => Self::Machine(Box::new(Machine::backup(files, Local::default()))),
            _ => Self::Process(Box::new(ProcessGroup::backup(files)?)),
        })
    }

    /// The processes, for what only they have.
    pub fn processes(&mut self) -> Result<&mut ProcessGroup> {
        match self {
            Self::Process(group) => Ok(group),
            Self::Machine(_) => Err(Error::Refused("this is the log of a machine: its files are on its disks".into())),
        }
    }

    /// The machine, for what only it has.
    pub fn machine(&mut self) -> Result<&mut Machine> {
        match self {
            Self::Machine(machine) => Ok(machine),
            Self::Process(_) => Err(Error::Refused("this is the log of processes, not of a machine".into())),
        }
    }

    /// Writes the replica to a file of its own.
    pub fn save_to(&mut self, to: &Path) -> Result<()> {
        let failed = |e| Error::io("writing", to, e);
        let Self::Machine(machine) = self else {
            return Err(Error::Refused("--save is for machines; the process level has no snapshots yet".into()));
        };
        let mut file = BufWriter::with_capacity(1 << 20, File::create(to).map_err(failed)?);
        if !machine.save_whole(&mut file)? {
            return Err(Error::Refused("the machine was not switched on yet: there is nothing to save".into()));
        }
        file.flush().map_err(failed)
    }
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

    fn unfinished(&self) -> Unfinished {
        each!(self, r => r.unfinished())
    }

    fn wait(&mut self, waker: &Waker, at_most: Duration) -> Result<()> {
        each!(self, r => r.wait(waker, at_most))
    }

    fn prepare(&mut self) -> Result<()> {
        each!(self, r => r.prepare())
    }

    fn unprepare(&mut self) {
        each!(self, r => r.unprepare())
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

    fn figures(&self) -> Figures {
        each!(self, r => r.figures())
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
