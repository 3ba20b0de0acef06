//! Where a live replica's frames go: a file, a file and a backup, or a simulated pair.

use crate::{Error, Frame, Position, Result, Seq};

/// What the outside wants of the host loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Go on.
    None,
    /// The backup is too far behind, or the log cannot be written fast enough: run nothing until this changes.
    Pause,
    /// End the step with a mark, run nothing further, and report: the backup takes over as planned.
    Handover,
    /// This side is deposed or must stop: never release again.
    Halt,
}

/// Takes frames in order and says how far they are committed.
pub trait Sink {
    /// Takes the next frame. It need not be durable or sent when this returns, but frames keep their order.
    fn append(&mut self, frame: Frame) -> Result<()>;

    /// Outputs whose mark has a number below this may leave.
    fn committed(&self) -> Seq;

    /// Entries below this number are durable on this side's disk.
    fn synced(&self) -> Seq;

    /// Makes everything durable on this side's disk now, if the sink can wait for that: asked once, at the program's end.
    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    /// Why this sink orders [`Order::Halt`], if it is because of an error of its own.
    fn failure(&mut self) -> Option<Error> {
        None
    }

    /// Takes in what has come for it and did not wake anybody else; called at the beginning of each turn of the loop.
    fn look(&mut self) {}

    /// What the outside wants.
    fn order(&mut self) -> Order {
        Order::None
    }

    /// True if the replica is to be saved at the end of the frame that is appended last; then [`Sink::take_state`] follows.
    fn wants_state(&mut self) -> bool {
        false
    }

    /// What [`crate::Host::save`] made of it: the log stands at the end of the last frame appended, the replica at `position`. True if the log may come to
    /// begin here; then the next frame divides it.
    fn take_state(&mut self, position: Position, state: Result<Option<Vec<u8>>>) -> bool {
        let _ = (position, state);
        false
    }
}
