//! What an engine wants done. The driver performs them in order and reports through events.

use crate::{ConnId, Meta, Nonce, Packet, Point, Put, Refusal, Report, StateChunk, Ticket};
use gapless_log::{Digest, Frame, Seq, Term};
use std::fmt;
use std::sync::Arc;

/// One order to the driver.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Sends a packet. A later ACK or HEARTBEAT may replace one of the same session that is still queued.
    Send(ConnId, Packet),
    /// Closes a connection after what is queued on it (no `Disconnected` follows).
    Close(ConnId),
    /// Tries to connect; success is a `Dialled`, failure needs no report (the engine tries again).
    Dial(String),

    /// Reads the register; answered by `ReadDone` or `ReadFailed`, always.
    Read(Ticket),
    /// Compare-and-put; answered by `PutDone` or `PutUnknown`, always.
    Put(Ticket, Put),
    /// Makes this record durable in the directory; answered by one `MetaStored` each.
    StoreMeta(Meta),

    /// Backup: appends a received frame to the own log and feeds it to the replica. `Written`, `Synced`, `Executed` follow.
    Append(Arc<Frame>),
    /// Cuts the own log at the end of a frame: backlog and files; answered by `LogCut`. Nothing executed lies beyond.
    /// At [`Point::ZERO`] everything goes, a state that it began with included.
    /// (A replica that was given nothing yet has no backlog to cut: `ReplayLog` follows.)
    CutLog(Point),
    /// Backup that executes nothing: a piece of a later state. `StateKept` follows when all of it is stored, or nothing if that fails.
    RenewState(Nonce, StateChunk),
    /// Lets the own log begin at this point, with the state that `StateKept` told of. Nobody will ask for anything before it.
    ShortenLog(Point),
    /// Backup: replays the own log from its beginning to its end, before frames that follow.
    ReplayLog,
    /// Backup: a piece of the state to begin with. At the latest with the last piece the own log is emptied and begins at `at`; then `LogCut` is
    /// reported, and `StateLoaded` once the state is stored and loaded. `StateBroken` instead if the pieces do not fit.
    LoadState(Nonce, StateChunk),

    /// Owner: finds the greatest of these points that the own log has; answered by `CommonFound`.
    FindCommon(ConnId, Vec<Point>),
    /// Owner: sends every frame of the own log from this entry on, now and as they are sealed, as STREAM of this session.
    StreamFrom(ConnId, Nonce, Seq),
    /// Owner: saves the replica between two steps at the end of a frame, answers `StateSaved` or `StateUnsaved`, then sends the chunks as STATE.
    /// `StreamFrom` follows when the joiner has loaded it.
    SaveState(ConnId, Nonce),
    /// Ends the stream of this session.
    StopStream(ConnId, Nonce),

    /// Outputs whose mark lies below this number may leave. Never falls.
    Commit(Seq),
    /// Live: run nothing (true) or go on (false).
    Throttle(bool),
    /// Live: end the step with a mark, seal, run nothing more; answered by `Stopped`.
    Stop,
    /// Live: the handover is off, go on.
    Continue,
    /// Kills the replica's group, releases nothing more; answered by `Killed`.
    Kill,
    /// Does everything of a takeover that can fail; answered by `Prepared` or `PrepareFailed`, each exactly once.
    Prepare,
    /// Undoes what `Prepare` did.
    Unprepare,
    /// The term is won: go live and continue the log from here (a `CutLog` came before if it was longer).
    GoLive(GoLive),

    /// This life ends: kill the replica's group, discard what is held, give the address up, and only then report.
    Halt(Halt),
    /// The pair's state has changed; for people and metrics.
    Status(Status),
}

/// How to go live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GoLive {
    /// The term that was won.
    pub term: Term,
    /// Raised if entries may have been lost.
    pub generation: u32,
    /// Number of the first entry to write.
    pub next: Seq,
    /// Chain hash of the frames before it.
    pub chain: Digest,
}

/// Why a life ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Halt {
    /// Another life owns this history.
    Deposed {
        /// The term it owns.
        term: Term,
        /// Its address.
        owner: String,
    },
    /// The replica differs from the log.
    Diverged(Report),
    /// The program ended with this status and everything it said has left.
    Ended(i32),
    /// The other side has taken over as planned.
    HandedOver,
    /// It may not start this way; the text names the next step.
    Refused(String),
    /// The other side refused to pair for a reason that time does not heal.
    Unpaired(Refusal),
    /// The own log, or the replica, failed: why, and what that means for the program.
    Failed(String),
    /// The user asked.
    Stopped,
    /// The replica has executed beyond what the owner's log has, or holds half a state: empty the log directory and start again at once, as a
    /// new life.
    Reborn,
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Halt::Deposed { term, owner } if owner.is_empty() => {
                write!(f, "another life owns term {term}; start this side again to join it as backup")
            }
            Halt::Deposed { term, owner } => {
                write!(f, "{owner} owns term {term}; start this side again to join it as backup")
            }
            Halt::Diverged(r) => write!(
                f,
                "diverged at position {}, entry {}: expected {}, found {}; start a fresh backup and report both logs",
                r.position, r.seq, r.expected, r.found
            ),
            Halt::Ended(status) => write!(f, "the program ended with status {status}"),
            Halt::HandedOver => f.write_str("handed over as planned"),
            Halt::Refused(why) => f.write_str(why),
            Halt::Unpaired(why) => write!(f, "cannot pair: {why}"),
            Halt::Failed(why) => f.write_str(why),
            Halt::Stopped => f.write_str("stopped on request"),
            Halt::Reborn => f.write_str(
                "this replica cannot continue from what the owner's log has; starting again as an empty backup",
            ),
        }
    }
}

/// What the pair is doing, as this side sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Nothing is decided yet (reading the register, resolving a put).
    Starting,
    /// Owner without a backup.
    Solo,
    /// Owner, taking a backup in: outputs wait for its acknowledgement.
    Closing,
    /// Owner with a backup that may take over.
    Protected,
    /// Looking for the owner, or being brought up to date.
    Joining,
    /// Holding and executing the log, acknowledging.
    Acking,
    /// The owner is silent: preparing to take over.
    Silent,
    /// This life is over.
    Halted,
}

/// A change worth showing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// What this side is doing.
    pub mode: Mode,
    /// A put is on its way and not known to be won or lost.
    pub asking: bool,
    /// Owner after a fresh start: every output is held until a backup is in sync.
    pub held: bool,
    /// The highest term seen.
    pub term: Term,
    /// Why it changed.
    pub why: Why,
}

/// Why the state changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// This life began.
    Began,
    /// A fresh history began (F).
    Fresh,
    /// The directory's history was resumed (R).
    Resumed,
    /// This side took over (B2).
    TookOver,
    /// A joiner is close enough: outputs wait for it (P1).
    TakingIn,
    /// The in-sync put won (P2).
    InSync,
    /// The connection broke.
    Reset,
    /// Nothing was heard for longer than the detection time.
    Silence,
    /// Outputs waited longer than the detection time without progress of acknowledgement.
    AckStall,
    /// The backup stayed beyond the lag limit without executing.
    LagStall,
    /// The backup's replica diverged.
    PeerDiverged(Report),
    /// The backup or the owner refused.
    Refused(Refusal),
    /// The solo put won (P3).
    WentSolo,
    /// A session was opened, continuing from this entry of the log.
    Session {
        /// First entry that the joiner lacked.
        from: Seq,
        /// It began with a state.
        state: bool,
    },
    /// The owner was heard again before a put was sent.
    HeardAgain,
    /// The register does not name this life: no takeover.
    NotNamed,
    /// Preparing the takeover failed.
    PrepareFailed(String),
    /// A put got no answer (U).
    PutUnknown,
    /// A put was lost, or found lost.
    PutLost,
    /// The planned takeover began or ended.
    Handover,
    /// The life ended: why, for a person.
    Halted(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Began => "started",
            Why::Fresh => "a new history began",
            Why::Resumed => "its history was resumed",
            Why::TookOver => "took over",
            Why::TakingIn => "a backup is close enough to be taken in",
            Why::InSync => "the backup is in sync",
            Why::Reset => "the connection broke",
            Why::Silence => "the other side is silent",
            Why::AckStall => "the backup does not acknowledge",
            Why::LagStall => "the backup does not keep up",
            Why::PeerDiverged(r) => return write!(f, "the backup diverged at position {}", r.position),
            Why::Refused(r) => return write!(f, "refused: {r}"),
            Why::WentSolo => "goes on without a backup",
            Why::Session { from, state: false } => return write!(f, "a session continues from entry {from}"),
            Why::Session { from, state: true } => return write!(f, "a session continues from a state at entry {from}"),
            Why::HeardAgain => "the owner was heard again",
            Why::NotNamed => "the register does not name this life",
            Why::PrepareFailed(what) => return write!(f, "cannot prepare to take over: {what}"),
            Why::PutUnknown => "the arbiter does not answer",
            Why::PutLost => "the register had changed",
            Why::Handover => "a planned takeover",
            Why::Halted(why) => why.as_str(),
        })
    }
}
