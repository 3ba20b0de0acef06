//! The live side of a step: inputs go into the log as they are seen, outputs into the outbox.
//!
//! Whole steps only: a sealed frame either ends with a mark or belongs to a step too long for one frame. So "up to the last mark"
//! is always a whole number of frames, and that is what recovery and takeover keep.

use crate::entry::ENTRY_BODY_BYTES_MAX;
use crate::frame::{ENTRY_HEAD_BYTES_MAX, PAYLOAD_BYTES_MAX};
use crate::{Entry, Error, Frame, FrameBuilder, Kind, Outbox, Position, Result, Seq, Sink};

/// A step longer than this is spread over frames of its own.
const OPEN_BYTES_MAX: usize = 1 << 20;
const _: () = assert!(OPEN_BYTES_MAX + ENTRY_BODY_BYTES_MAX + 2 * ENTRY_HEAD_BYTES_MAX <= PAYLOAD_BYTES_MAX);

/// Entries on their way into frames.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Whole steps not yet sealed.
    builder: FrameBuilder,
    /// The step that has not ended.
    open: Vec<Entry>,
    /// Upper bound of what `open` encodes to.
    open_bytes: usize,
    /// Sealed, not yet handed to the sink.
    sealed: Vec<Frame>,
    synced: Seq,
    /// Why the sink has not taken a frame within a step; it gets none after that.
    refused: Option<Error>,
}

impl Writer {
    pub(crate) fn new(builder: FrameBuilder) -> Self {
        Self { builder, open: Vec::new(), open_bytes: 0, sealed: Vec::new(), synced: Seq(0), refused: None }
    }

    pub(crate) fn next_seq(&self) -> Seq {
        Seq(self.builder.next_seq().0 + self.open.len() as u64)
    }

    pub(crate) fn step_is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Nothing is open, unsealed or untaken.
    pub(crate) fn is_drained(&self) -> bool {
        self.open.is_empty() && self.builder.is_empty() && self.sealed.is_empty()
    }

    pub(crate) fn unsealed_bytes(&self) -> usize {
        self.builder.payload_bytes()
    }

    /// Entries below this number are sealed.
    pub(crate) fn sealed_to(&self) -> Seq {
        self.builder.first_seq()
    }

    pub(crate) fn has_unsealed(&self) -> bool {
        !self.builder.is_empty()
    }

    pub(crate) fn set_synced(&mut self, synced: Seq) {
        self.synced = synced;
    }

    pub(crate) fn push(&mut self, at: Position, kind: Kind, body: Vec<u8>) -> Seq {
        let bytes = ENTRY_HEAD_BYTES_MAX + body.len();
        if self.open_bytes + bytes > OPEN_BYTES_MAX && !self.open.is_empty() {
            self.seal();
            self.close_step();
            self.seal();
        }
        let seq = self.next_seq();
        self.open_bytes += bytes;
        self.open.push(Entry { at, kind, body });
        seq
    }

    /// The step has ended (its mark was pushed): its entries may share a frame with other whole steps.
    pub(crate) fn close_step(&mut self) {
        if !self.builder.fits(self.open_bytes) {
            self.seal();
        }
        for entry in self.open.drain(..) {
            self.builder.push(entry.at, entry.kind, &entry.body);
        }
        self.open_bytes = 0;
    }

    /// Seals every whole step.
    pub(crate) fn seal(&mut self) {
        self.sealed.extend(self.builder.seal(self.synced));
    }

    /// The next frame divides the log. Nothing may be open or unsealed.
    pub(crate) fn divide(&mut self) {
        self.builder.divide();
    }

    pub(crate) fn take_sealed(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.sealed)
    }

    /// Gives what is sealed to the sink within a step; [`Writer::end_of_step`] tells whether it took all.
    fn hand_over(&mut self, sink: &mut dyn Sink) {
        for frame in self.sealed.drain(..) {
            if self.refused.is_none() {
                self.refused = sink.append(frame).err();
            }
        }
    }

    /// The error of the sink's in the step that has been executed.
    pub(crate) fn end_of_step(&mut self) -> Result<()> {
        self.refused.take().map_or(Ok(()), Err)
    }
}

/// What a live replica writes its inputs and outputs to, for one step.
pub struct Recorder<'a> {
    pub(crate) writer: &'a mut Writer,
    pub(crate) outbox: &'a mut Outbox,
    /// Takes the frames of a step that fills several as they come, so that they are not all in memory at once. Without it they wait for the step's end.
    pub(crate) sink: Option<&'a mut dyn Sink>,
}

impl std::fmt::Debug for Recorder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("writer", self.writer).field("outbox", self.outbox).finish_non_exhaustive()
    }
}

impl Recorder<'_> {
    /// Logs an input that the replica sees at `at`; returns its number.
    ///
    /// # Panics
    /// If `kind` belongs to the host loop, or the body is longer than [`crate::ENTRY_BODY_BYTES_MAX`].
    pub fn input(&mut self, at: Position, kind: Kind, body: Vec<u8>) -> Seq {
        assert!(kind >= Kind::FIRST_OF_LEVEL, "kind {} belongs to the host loop", kind.0);
        let seq = self.writer.push(at, kind, body);
        if let Some(sink) = &mut self.sink {
            self.writer.hand_over(*sink);
        }
        seq
    }

    /// Where outputs are said.
    pub fn out(&mut self) -> &mut Outbox {
        self.outbox
    }
}
