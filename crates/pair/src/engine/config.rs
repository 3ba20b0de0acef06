//! What an engine is told at its start: every limit has a name and a unit.

use crate::{Commit, Seat};
use gapless_log::Identity;

/// Microseconds on the driver's steady clock; the engine reads no clock of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Micros(pub u64);

impl Micros {
    /// From milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms * 1_000)
    }

    /// How long ago `earlier` was.
    #[must_use]
    pub fn since(self, earlier: Micros) -> Micros {
        Micros(self.0.saturating_sub(earlier.0))
    }

    /// This much later.
    #[must_use]
    pub fn plus(self, later: Micros) -> Micros {
        Micros(self.0.saturating_add(later.0))
    }
}

/// What this life was started to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// Begin a new history (rule F); refused if the register exists.
    Fresh,
    /// Continue the directory's history as owner (rule R); refused if the register does not name the directory's life.
    Resume,
    /// Stand by as a backup (rule S); a directory that owns is refused with advice.
    Join,
    /// Whatever the register says: resume if the directory owns, else join.
    Auto,
}

/// Everything fixed for one life.
#[derive(Clone, Debug)]
pub struct Config {
    /// This life and the address at which it listens (empty if it does not).
    pub seat: Seat,
    /// What it was started to do.
    pub start: Start,
    /// Boot id of this machine.
    pub boot: u128,
    /// Random bits for the register of a fresh start.
    pub fresh_uuid: u128,
    /// Where to dial while owner without a backup; `None` waits to be dialled.
    pub peer: Option<String>,
    /// What both replicas must have in common.
    pub identity: Identity,
    /// How much must be known of an entry before outputs behind it leave.
    pub commit: Commit,
    /// After a fresh start hold every output until first protected (the default of a protected run).
    pub hold: bool,
    /// The replica can save and load its state; otherwise a fresh backup gets the log from its first entry.
    pub saves_state: bool,
    /// A joiner that has executed nothing and lacks more entries than this begins with a state, if the replica can save one. (One that lacks what the
    /// owner's log no longer has always does.)
    pub state_entries_min: u64,
    /// As a backup it holds the log, and executes it only to take over; then it is executed from the last state that the owner has sent.
    pub warm: bool,
    /// A human accepts that entries may be lost (rules R and A).
    pub accept_loss: bool,
    /// Silence longer than this is the other side's death.
    pub detect: Micros,
    /// A packet is sent at least this often.
    pub heartbeat: Micros,
    /// The primary pauses while the backup's execution is this many entries behind.
    pub lag_entries_max: u64,
    /// A backup that stays beyond the limit this long without executing anything counts as silent.
    pub lag_timeout: Micros,
    /// A joiner this close to the end of the log, in entries, is taken in.
    pub closing_entries_max: u64,
    /// Pause between two attempts to reach the arbiter or the other side.
    pub retry: Micros,
    /// Which rule this engine breaks on purpose; only tests set it.
    pub mutant: Mutant,
}

impl Config {
    /// The defaults of the command line.
    pub fn new(seat: Seat, start: Start, identity: Identity) -> Self {
        Self {
            seat,
            start,
            boot: 0,
            fresh_uuid: 0,
            peer: None,
            identity,
            commit: Commit::Received,
            hold: false,
            saves_state: false,
            state_entries_min: 1 << 16,
            warm: false,
            accept_loss: false,
            detect: Micros::from_millis(200),
            heartbeat: Micros::from_millis(50),
            lag_entries_max: 1 << 20,
            lag_timeout: Micros::from_millis(5_000),
            closing_entries_max: 1 << 12,
            retry: Micros::from_millis(50),
            mutant: Mutant::None,
        }
    }
}

/// Deliberately broken engines. Each must be caught by the simulator; without the feature `mutants` none can be chosen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Mutant {
    /// Every rule is kept.
    #[default]
    None,
    /// The backup acknowledges before it holds (claims one frame more than it has).
    AckBeforeReceive,
    /// The primary releases on its own log alone while protected.
    ReleaseBeforeAck,
    /// Outputs leave when the entry before their mark is acknowledged, the mark not yet.
    ReleaseAtEntry,
    /// A backup that the register does not name promotes itself.
    PromoteUnnamed,
    /// The register is read by machine, not by life: a restarted backup believes that it is named.
    IdentityWithoutLife,
    /// The backup executes entries beyond the last mark it holds.
    ExecutePastMark,
    /// A lossy resume keeps the old generation.
    NumberReuse,
    /// The backup goes on acknowledging after it has sent its put.
    AckAfterPut,
    /// The in-sync put is sent while outputs still leave without acknowledgement.
    PutBeforeGate,
    /// The in-sync put is sent before the joiner covers what was released.
    PutBeforeCovered,
    /// After going live only own releases count as covered ground.
    CoverFromZero,
    /// The primary releases alone before its solo put is known to have won.
    SoloBeforeWon,
    /// A put without an answer counts as lost on the primary: it goes back to solo.
    UnknownIsLostPrimary,
    /// A put without an answer counts as lost on the backup: it acknowledges again.
    UnknownIsLostBackup,
    /// The primary releases on acknowledgement although its own log is not written.
    OwnLogNotWritten,
    /// Alone, the primary releases although its own log is not written.
    OwnLogNotWrittenSolo,
    /// Acknowledgements count whatever session they belong to.
    AckAcrossSessions,
    /// A restarted owner assumes that it still owns, without a put.
    RestartAssumes,
    /// A restarted owner resumes although its page cache was lost.
    ResumeAfterPowerLoss,
    /// A directory with an unresolved intent is treated as empty.
    IntentWiped,
    /// A joiner that has executed beyond the common point keeps its state.
    KeepBeyondCommon,
    /// A deposed primary goes on.
    IgnoreDeposed,
    /// A primary that reads that it is deposed lets go of all that it still holds before it halts.
    FlushWhenDeposed,
    /// The takeover does not wait until the log is executed to its last mark.
    PromoteBeforeExecuted,
    /// The owner's log is shortened whatever its session still needs.
    ShortenUnasked,
}

impl Mutant {
    /// Every broken engine.
    pub const ALL: [Mutant; 25] = [
        Mutant::AckBeforeReceive,
        Mutant::ReleaseBeforeAck,
        Mutant::ReleaseAtEntry,
        Mutant::PromoteUnnamed,
        Mutant::IdentityWithoutLife,
        Mutant::ExecutePastMark,
        Mutant::NumberReuse,
        Mutant::AckAfterPut,
        Mutant::PutBeforeGate,
        Mutant::PutBeforeCovered,
        Mutant::CoverFromZero,
        Mutant::SoloBeforeWon,
        Mutant::UnknownIsLostPrimary,
        Mutant::UnknownIsLostBackup,
        Mutant::OwnLogNotWritten,
        Mutant::OwnLogNotWrittenSolo,
        Mutant::AckAcrossSessions,
        Mutant::RestartAssumes,
        Mutant::ResumeAfterPowerLoss,
        Mutant::IntentWiped,
        Mutant::KeepBeyondCommon,
        Mutant::IgnoreDeposed,
        Mutant::FlushWhenDeposed,
        Mutant::PromoteBeforeExecuted,
        Mutant::ShortenUnasked,
    ];
}

impl Config {
    /// Does this engine break `rule` on purpose?
    pub fn breaks(&self, rule: Mutant) -> bool {
        cfg!(feature = "mutants") && self.mutant == rule
    }
}
