//! What happens to an engine.

use crate::{Nonce, Packet, Point, Register, Report};
use gapless_log::Seq;

/// One connection between two sides, numbered by the driver and never reused within a life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnId(pub u64);

/// One request to the arbiter, numbered by the engine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// Something that happened. The driver reports each once, in the order in which it happened on this side.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// The life begins; always the first event.
    Start,
    /// Time has passed. At least every fifth of the heartbeat.
    Tick,

    /// A connection stands that the other side, or a stranger, dialled.
    Connected(ConnId),
    /// A connection stands that this side dialled.
    Dialled(ConnId),
    /// A connection broke or was closed by the other side.
    Disconnected(ConnId),
    /// A packet arrived.
    Received(ConnId, Packet),

    /// The arbiter answered a put: this is its register after it (which tells whether the put won).
    PutDone(Ticket, Option<Register>),
    /// No answer, or an error: the put may be applied, now or much later, or never.
    PutUnknown(Ticket),
    /// The arbiter answered a read.
    ReadDone(Ticket, Option<Register>),
    /// The arbiter could not be read.
    ReadFailed(Ticket),
    /// The record of the oldest unanswered [`crate::Action::StoreMeta`], or a later one, is durable: one answer to each.
    MetaStored,

    /// Live: the host sealed a frame, which is on its way to the own log; it ends here.
    Sealed(Point),
    /// The own log is written (survives the death of this process) below this number.
    Written(Seq),
    /// The own log is durable (survives loss of power) below this number.
    Synced(Seq),
    /// [`crate::Action::CutLog`] is done: every `Written`, `Synced` and `Executed` reported from here on is about the log after it.
    LogCut,
    /// The own log cannot be written or synced: this side stops.
    LogFailed(String),
    /// The greatest of a joiner's points that the own log agrees with ([`Point::ZERO`] if none).
    CommonFound(ConnId, Point),
    /// Answer to [`crate::Action::SaveState`]: the state stands at this point and its chunks follow it on the wire.
    StateSaved(ConnId, Nonce, Point),
    /// The other answer: the replica cannot be saved, and why.
    StateUnsaved(ConnId, Nonce, String),
    /// The replica was saved at this point, where the own log may begin anew, and its state is durable beside the log;
    /// [`crate::Action::ShortenLog`] follows when nobody needs what lies before. One at a time.
    StateKept(Point),
    /// Every chunk of the state that a session began with is loaded, and stored at the commit level.
    StateLoaded(Nonce, Point),
    /// The chunks that arrived do not make a state, and why.
    StateBroken(Nonce, String),

    /// Backup: the replica has executed every entry below this number (whole steps, and the digests between them: whatever can be
    /// executed must be, down to the last entry held). A replica that has ended has executed everything.
    Executed(Seq),
    /// Backup: the replica disagrees with the log.
    Diverged(Report),
    /// Everything of a takeover that can fail is done.
    Prepared,
    /// Something of a takeover failed.
    PrepareFailed(String),
    /// The live replica ended with this status; its last mark has been sealed.
    ReplicaEnded(i32),
    /// The replica stopped by its own failure: this side stops.
    ReplicaFailed(String),

    /// The user asks for a planned takeover.
    HandoverAsked,
    /// The host has ended its step, sealed everything, and runs nothing more.
    Stopped,
    /// The group of the replica is gone.
    Killed,
    /// The user asks this side to stop.
    StopAsked,
}
