//! What schedules came across: a simulation that never meets the hard cases proves nothing.

use std::collections::BTreeSet;
use std::fmt;

/// Something worth meeting.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Met {
    /// A backup went live.
    Takeover,
    /// A side was held for dead although its process lived.
    FalseAlarm,
    /// A primary went on alone.
    Solo,
    /// The put that names a backup got no answer.
    UnknownInSyncPut,
    /// A promoting put got no answer.
    UnknownPromotePut,
    /// A put was applied after its sender had been told that nobody knows.
    LatePutApplied,
    /// An acknowledgement was read by a primary after its backup had gone live.
    StaleAck,
    /// A joiner continued from a common point.
    DeltaRejoin,
    /// A joiner began from nothing although there was a history.
    FullRejoin,
    /// A directory was resumed.
    Resume,
    /// Every machine was down at the same time, and started again.
    BothRestarting,
    /// A planned takeover went through.
    Handover,
    /// A human accepted that entries were lost.
    LossAccepted,
    /// A machine lost power with unsynced bytes.
    PowerLoss,
    /// A replica began with a saved state.
    State,
    /// A log was made to begin later.
    Shortened,
    /// A backup that executes nothing was sent a later state.
    Renewed,
    /// The protected program ended.
    Ended,
    /// An owner read that it was deposed.
    Deposed,
}

impl Met {
    /// All of them, in the order shown.
    pub const ALL: [Met; 19] = [
        Met::Takeover,
        Met::FalseAlarm,
        Met::Solo,
        Met::UnknownInSyncPut,
        Met::UnknownPromotePut,
        Met::LatePutApplied,
        Met::StaleAck,
        Met::DeltaRejoin,
        Met::FullRejoin,
        Met::Resume,
        Met::BothRestarting,
        Met::Handover,
        Met::LossAccepted,
        Met::PowerLoss,
        Met::State,
        Met::Shortened,
        Met::Renewed,
        Met::Ended,
        Met::Deposed,
    ];

    fn name(self) -> &'static str {
        match self {
            Met::Takeover => "takeover",
            Met::FalseAlarm => "false alarm",
            Met::Solo => "solo",
            Met::UnknownInSyncPut => "unknown in-sync put",
            Met::UnknownPromotePut => "unknown promote put",
            Met::LatePutApplied => "late put applied",
            Met::StaleAck => "stale acknowledgement read after a takeover",
            Met::DeltaRejoin => "delta rejoin",
            Met::FullRejoin => "full rejoin",
            Met::Resume => "resume",
            Met::BothRestarting => "both restarting",
            Met::Handover => "handover",
            Met::LossAccepted => "loss accepted",
            Met::PowerLoss => "power loss",
            Met::State => "state transfer",
            Met::Shortened => "log shortened",
            Met::Renewed => "state renewed",
            Met::Ended => "program ended",
            Met::Deposed => "deposed",
        }
    }
}

/// How many schedules met what.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    schedules: u64,
    counts: [u64; Met::ALL.len()],
}

impl Coverage {
    /// Counts one schedule.
    pub fn add(&mut self, met: &BTreeSet<Met>) {
        self.schedules += 1;
        for (count, what) in self.counts.iter_mut().zip(Met::ALL) {
            *count += u64::from(met.contains(&what));
        }
    }

    /// Adds what another worker counted.
    pub fn merge(&mut self, other: &Coverage) {
        self.schedules += other.schedules;
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }

    /// In how many schedules this was met.
    pub fn of(&self, what: Met) -> u64 {
        Met::ALL.iter().position(|&m| m == what).map_or(0, |i| self.counts[i])
    }

    /// How many schedules were counted.
    pub fn schedules(&self) -> u64 {
        self.schedules
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>9}  schedules", self.schedules)?;
        for (count, what) in self.counts.iter().zip(Met::ALL) {
            writeln!(f, "{count:>9}  {}", what.name())?;
        }
        Ok(())
    }
}
