//! Debugging the past: a replay that stands still where a person wants to look, and goes backwards as well as forwards.
//!
//! The rules it keeps:
//! - Nothing here changes the run. The hart's points are not state, looking at memory has no side effect, and digests in the log are compared whenever
//!   they are passed for the first time.
//! - What a person sees at a position is a function of the position alone, wherever they came from: every input that stands there has been taken, and
//!   the instruction (or trap) there has not been executed.
//! - Going back is loading an earlier checkpoint and executing again. Checkpoints are few: as the history grows, the distance between them doubles.
//!
//! `gdb.rs` lets gdb drive it.

mod checkpoint;
pub mod gdb;
mod wire;

use crate::computer::Computer;
use crate::event;
use crate::hart::{Bus, Hart, Hit, Watch};
use crate::memory::{GuestAddr, PAGE_BYTES};
use crate::replica::Machine;
use checkpoint::{Checkpoint, Checkpoints};
use gapless_log::{
    Digest, Entry, Error, Host, Kind, LogReader, LogView, Options, Position, Replayed, Replica, Result, Seq, load_base,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Asked again and again while the guest runs: true as soon as a person wants it to stop.
pub type Interrupt<'a> = &'a mut dyn FnMut() -> bool;

/// Why the guest stands still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// Where it was to go.
    There,
    /// A breakpoint: it stands before that instruction. Or a watchpoint: the access is what comes next, so that going onwards it stands before it, and going
    /// backwards behind it.
    Hit(Hit),
    /// The log has nothing before this.
    Beginning,
    /// The log has nothing behind this.
    End,
    /// A person wanted it.
    Interrupted,
}

/// A replay under a person's control.
pub struct Debugger {
    view: LogView,
    files: PathBuf,
    host: Host<Machine>,
    reader: LogReader,
    checkpoints: Checkpoints,
    beginning: Position,
    breaks: BTreeSet<u64>,
    watches: Vec<Watch>,
    /// The hart has these points.
    armed: bool,
    told: Option<Told>,
}

impl Debugger {
    /// Stands at the beginning of the log in `dir`. Files of its own go below `files`; the log is only read.
    pub fn open(dir: &Path, files: &Path) -> Result<Self> {
        Self::open_spaced(dir, files, checkpoint::SPACING)
    }

    /// The same, with so many positions from one checkpoint to the next at first.
    pub fn open_spaced(dir: &Path, files: &Path, spacing: u64) -> Result<Self> {
        let (view, _) = LogView::open(dir)?;
        let host = Host::new(Machine::debugged(files), Options::default());
        let identity = view.meta().identity;
        if let Some(why) = identity.as_ref().and_then(|theirs| host.replica().identity().differs(theirs)) {
            return Err(Error::Refused(format!("this log was recorded elsewhere: {why}")));
        }
        let mut debugger = Self {
            reader: view.reader(Seq(0)),
            view,
            files: files.to_owned(),
            host,
            checkpoints: Checkpoints::new(spacing),
            beginning: Position(0),
            breaks: BTreeSet::new(),
            watches: Vec::new(),
            armed: false,
            told: None,
        };
        debugger.restart()?;
        debugger.beginning = debugger.position();
        debugger.run(Some(debugger.beginning), &mut || false)?;
        Ok(debugger)
    }

    /// Position of the next instruction.
    pub fn position(&self) -> Position {
        self.host.replica().position()
    }

    /// First position of the log.
    pub fn beginning(&self) -> Position {
        self.beginning
    }

    /// Last position of the log.
    pub fn end(&self) -> Position {
        self.view.last_position()
    }

    /// Nanoseconds of the guest's clock.
    pub fn now(&self) -> u64 {
        self.computer().now()
    }

    /// The hart as it stands.
    pub fn hart(&self) -> &Hart {
        &self.computer().hart
    }

    /// A control and status register by number, if it can be read now.
    pub fn csr(&self, number: u16) -> Option<u64> {
        let computer = self.computer();
        computer.hart.peek_csr(number, computer.board.external_interrupt())
    }

    /// Reads memory at a virtual address of the present address space. Gives how many bytes there are: it ends where nothing is mapped, and at a device,
    /// which would notice.
    pub fn read(&self, at: u64, into: &mut [u8]) -> usize {
        let (hart, memory) = (self.hart(), self.computer().board.memory_ref());
        let mut done = 0;
        while done < into.len() {
            let address = at.wrapping_add(done as u64);
            let bytes = ((PAGE_BYTES - address % PAGE_BYTES) as usize).min(into.len() - done);
            let found = hart.peek(memory, address);
            let read = found.map(|physical| memory.read(GuestAddr(physical), &mut into[done..done + bytes]));
            if !matches!(read, Some(Ok(()))) {
                break;
            }
            done += bytes;
        }
        done
    }

    /// The next input in the log, with its number; the name of its kind and what it says.
    pub fn next_event(&self) -> Result<Option<(Seq, Entry)>> {
        let from = self.host.next_seq();
        for frame in self.view.reader(from) {
            let frame = frame?;
            let numbered = (frame.first_seq().0..).map(Seq).zip(frame.entries());
            let mut inputs = numbered.filter(|(seq, entry)| *seq >= from && event::name(entry.kind) != "unknown");
            if let Some(found) = inputs.next() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Digest of the guest where it stands.
    pub fn digest(&mut self) -> Result<Digest> {
        self.host.replica_mut().digest()
    }

    /// Replaces all breakpoints and watchpoints. Addresses are virtual, in whatever address space.
    pub fn set_points(&mut self, breaks: BTreeSet<u64>, watches: Vec<Watch>) {
        if self.breaks != breaks || self.watches != watches {
            (self.breaks, self.watches) = (breaks, watches);
            self.disarm();
        }
    }

    // ---- motion ----

    /// Executes one instruction, or takes one trap.
    pub fn step(&mut self) -> Result<Why> {
        let next = Position(self.position().0 + 1);
        self.onwards(Some(next), &mut || false)
    }

    /// Runs until something is hit; a breakpoint where it stands is not.
    pub fn go(&mut self, interrupt: Interrupt<'_>) -> Result<Why> {
        self.onwards(None, interrupt)
    }

    fn onwards(&mut self, until: Option<Position>, interrupt: Interrupt<'_>) -> Result<Why> {
        let here = self.position();
        self.arm();
        self.computer_mut().hart.pass_breaks(here);
        if self.told.take() == Some(Told { at: here, way: Way::Onwards }) {
            self.computer_mut().hart.pass_watches(here);
        }
        let why = self.run(until, interrupt)?;
        Ok(self.tell(why, Way::Onwards))
    }

    /// Goes to a position; forwards or backwards, past all points.
    pub fn seek(&mut self, to: Position, interrupt: Interrupt<'_>) -> Result<Why> {
        if to < self.beginning {
            self.seek(self.beginning, interrupt)?;
            return Ok(Why::Beginning);
        }
        let here = self.position();
        let near = self.checkpoints.before(to).map(|c| c.position);
        if to < here || near.is_some_and(|near| near > here) {
            self.load_before(to)?;
            let far = to.0 - self.position().0 > 2 * NEAR;
            self.checkpoints.wanted = far.then(|| Position(to.0 - NEAR));
        }
        self.disarm();
        let why = self.run(Some(to), interrupt);
        self.checkpoints.wanted = None;
        why
    }

    /// Undoes one instruction or trap.
    pub fn step_back(&mut self, interrupt: Interrupt<'_>) -> Result<Why> {
        let here = self.position();
        if here == self.beginning {
            return Ok(Why::Beginning);
        }
        let told = self.told.take() == Some(Told { at: here, way: Way::Back });
        let before = Position(here.0 - 1);
        let why = self.seek(before, interrupt)?;
        if why != Why::There || self.watches.is_empty() || told {
            return Ok(why);
        }
        // Whether the instruction that is undone touches something is known when it is executed.
        match self.last_hit(here, false, interrupt)? {
            Scan::Hit(at, hit) if at == here => Ok(self.tell(Why::Hit(hit), Way::Back)),
            Scan::Interrupted => Ok(Why::Interrupted),
            _ => self.seek(before, interrupt),
        }
    }

    /// Runs backwards until something is hit; a breakpoint where it stands is not.
    pub fn go_back(&mut self, interrupt: Interrupt<'_>) -> Result<Why> {
        let mut end = self.position();
        let mut told = self.told.take() == Some(Told { at: end, way: Way::Back });
        while end > self.beginning {
            self.load_before(Position(end.0 - 1))?;
            let start = self.position();
            match self.last_hit(end, std::mem::take(&mut told), interrupt)? {
                Scan::Hit(at, hit) => {
                    let why = self.seek(at, interrupt)?;
                    return Ok(if why == Why::There { self.tell(Why::Hit(hit), Way::Back) } else { why });
                }
                Scan::Nothing => end = start,
                Scan::Interrupted => return Ok(Why::Interrupted),
            }
        }
        self.seek(self.beginning, interrupt)?;
        Ok(Why::Beginning)
    }

    /// Runs to `end` and remembers what was hit last before it, but for a watched access by the last instruction of which a person was `told`.
    fn last_hit(&mut self, end: Position, told: bool, interrupt: Interrupt<'_>) -> Result<Scan> {
        self.arm();
        let mut last = Scan::Nothing;
        loop {
            let why = self.run(Some(end), interrupt)?;
            let at = self.position();
            let hart = &mut self.computer_mut().hart;
            match why {
                Why::Hit(hit @ Hit::Break) => {
                    last = Scan::Hit(at, hit);
                    hart.pass_breaks(at);
                }
                Why::Hit(hit @ Hit::Watch { .. }) => {
                    hart.pass_watches(at);
                    let behind = Position(at.0 + 1);
                    last = if told && behind == end { last } else { Scan::Hit(behind, hit) };
                }
                Why::Interrupted => return Ok(Scan::Interrupted),
                Why::There | Why::End | Why::Beginning => return Ok(last),
            }
        }
    }

    /// A watched access that a person hears of is passed over when they go on the same way.
    fn tell(&mut self, why: Why, way: Way) -> Why {
        if matches!(why, Why::Hit(Hit::Watch { .. })) {
            self.told = Some(Told { at: self.position(), way });
        }
        why
    }

    /// Executes until the position, a hit, an interrupt, or the log's end.
    fn run(&mut self, until: Option<Position>, interrupt: Interrupt<'_>) -> Result<Why> {
        self.host.replica_mut().hold(until);
        let mut interrupted = false;
        loop {
            if !interrupted && interrupt() {
                interrupted = true;
                let here = self.position();
                self.host.replica_mut().hold(Some(here));
            }
            match self.host.replay_step_until(None)? {
                None => break,
                Some(Replayed::Step(_) | Replayed::Sync(_)) => {}
                Some(Replayed::Starved | Replayed::Ended(_)) => {
                    self.save_if_due()?;
                    let Some(frame) = self.reader.next().transpose()? else {
                        return Ok(if until == Some(self.position()) { Why::There } else { Why::End });
                    };
                    self.host.feed(&frame)?;
                }
            }
        }
        Ok(match self.computer_mut().hart.take_hit() {
            Some(hit) => Why::Hit(hit),
            None if interrupted => Why::Interrupted,
            None => Why::There,
        })
    }

    // ---- checkpoints ----

    /// At the end of a frame.
    fn save_if_due(&mut self) -> Result<()> {
        let position = self.position();
        if self.host.replica().computer().is_none() || self.host.ended().is_some() || !self.checkpoints.is_due(position)
        {
            return Ok(());
        }
        let Some(bytes) = self.host.save()? else { return Ok(()) };
        let next = self.host.next_seq();
        let chain = self.host.chain();
        self.checkpoints.keep(Checkpoint { position, next, chain, bytes });
        Ok(())
    }

    /// Stands at the last checkpoint not behind a position, or else at the beginning.
    fn load_before(&mut self, to: Position) -> Result<()> {
        self.armed = false;
        let Some(checkpoint) = self.checkpoints.before(to) else { return self.restart() };
        self.host.load(&checkpoint.bytes, checkpoint.next, checkpoint.chain)?;
        self.reader = self.view.reader(checkpoint.next);
        Ok(())
    }

    /// From the log alone: up to where there is a machine.
    fn restart(&mut self) -> Result<()> {
        self.host.replica_mut().halt();
        self.host = Host::new(Machine::debugged(&self.files), Options::default());
        self.armed = false;
        let base = load_base(&self.view, &mut self.host)?;
        self.reader = self.view.reader(base.seq);
        while self.host.replica().computer().is_none() {
            match self.host.replay_step_until(None)? {
                Some(Replayed::Starved) => {}
                _ => continue,
            }
            let frame = self.reader.next().transpose()?;
            let frame =
                frame.ok_or_else(|| Error::Refused("the log holds no machine yet: nothing has begun".to_owned()))?;
            self.host.feed(&frame)?;
        }
        Ok(())
    }

    // ---- the hart's points ----

    /// Gives the hart the points.
    fn arm(&mut self) {
        if !self.armed {
            let (breaks, watches) = (self.breaks.clone(), self.watches.clone());
            let Computer { hart, board, .. } = self.computer_mut();
            hart.set_points(board.memory(), breaks, watches);
            self.armed = true;
        }
    }

    fn disarm(&mut self) {
        if std::mem::take(&mut self.armed) {
            let Computer { hart, board, .. } = self.computer_mut();
            hart.set_points(board.memory(), BTreeSet::new(), Vec::new());
        }
    }

    fn computer(&self) -> &Computer {
        self.host.replica().computer().expect("it stands at the beginning or behind it")
    }

    fn computer_mut(&mut self) -> &mut Computer {
        self.host.replica_mut().computer_mut().expect("it stands at the beginning or behind it")
    }
}

impl Drop for Debugger {
    fn drop(&mut self) {
        self.host.replica_mut().halt();
    }
}

/// So many positions before where a person went back to, another checkpoint is kept: they often go back further.
const NEAR: u64 = 16_000_000;

/// A direction of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Onwards,
    Back,
}

/// A watched access that was reported: whoever goes on from there the same way does not want to hear of it again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Told {
    at: Position,
    way: Way,
}

/// What a piece of history holds.
enum Scan {
    /// The last hit, and where a person who comes from behind it stands.
    Hit(Position, Hit),
    Nothing,
    Interrupted,
}

/// The name of an input's kind and what it says, for a person.
pub fn describe(kind: Kind, body: &[u8]) -> String {
    let name = event::name(kind);
    event::describe(kind, body).map_or(name.to_owned(), |said| format!("{name}: {said}"))
}
