//! Seeded simulation of a task service: shards that are real replicas under the real host loop, and everything around them simulated.
//!
//! Each shard is a pair of hosts; a bank's accounts live in them, clients move money and delete accounts of their own, and what is sent from shard to shard travels on connections that
//! delay and break. Sides die in turn or together, come back with their log, with a snapshot or with a part of what they had written (which raises the
//! generation of their channels). When the faults have stopped everything must come to rest, and then: each message was read once and in its sender's
//! order, and the sum of all balances is what was paid in. Where a log has lost entries, nothing that is left of the sender's history is missing at a
//! receiver that lost nothing, and what is missing at one that did is told.
//!
//! It leaves out how the pair decides who is live, which the simulation of the engine is about: a commit is what the backup has received, a takeover
//! begins when the primary is dead. It also leaves out bytes, sockets and clients with several requests under way.

mod bank;
mod check;
mod client;
mod pair;
mod world;

use crate::rng::Rng;

/// A rule that is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskMutant {
    /// None is.
    None,
    /// A backup begins with a snapshot without what was sent and is not held elsewhere.
    SnapshotWithoutOutgoing,
    /// After a loss numbers are used again under the old generation.
    NumberReuse,
    /// Outputs leave before their mark is committed.
    ReleaseBeforeCommit,
    /// What was seen before is read again.
    DuplicateRead,
    /// The sender is told that its message is safe before the receiver's pair holds it.
    HeldBeforeCommit,
    /// A new connection does not begin with what is not held.
    NothingSentAgain,
    /// What a gap was left before is read all the same.
    GapPassed,
}

impl TaskMutant {
    /// All that break something.
    pub const ALL: [Self; 7] = [
        Self::SnapshotWithoutOutgoing,
        Self::NumberReuse,
        Self::ReleaseBeforeCommit,
        Self::DuplicateRead,
        Self::HeldBeforeCommit,
        Self::NothingSentAgain,
        Self::GapPassed,
    ];
}

/// What became of one schedule.
#[derive(Clone, Debug)]
pub struct TaskOutcome {
    /// The rule that was broken, if one was.
    pub violation: Option<String>,
    /// How often each thing happened.
    pub met: TaskMet,
    /// Its record.
    pub trace: Vec<String>,
}

/// What schedules came across, counted.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct TaskMet {
    /// Requests that were replied to.
    pub replies: u64,
    /// A backup went on where its primary died.
    pub takeovers: u64,
    /// A pair without a live side went on with all of its log.
    pub resumes: u64,
    /// Or with a part of it.
    pub losses: u64,
    /// Backups that began with a snapshot.
    pub snapshots: u64,
    /// Messages of other shards that came again.
    pub repeated: u64,
    /// Connections that broke.
    pub broken: u64,
    /// Messages that were lost with their receiver's log.
    pub gaps: u64,
    /// Deletions that were replied to.
    pub deletions: u64,
}

impl TaskMet {
    /// Adds what another schedule came across.
    pub fn add(&mut self, other: &Self) {
        self.replies += other.replies;
        self.takeovers += other.takeovers;
        self.resumes += other.resumes;
        self.losses += other.losses;
        self.snapshots += other.snapshots;
        self.repeated += other.repeated;
        self.broken += other.broken;
        self.gaps += other.gaps;
        self.deletions += other.deletions;
    }
}

/// Runs the schedule of a seed.
pub fn run_tasks(seed: u64, mutant: TaskMutant) -> TaskOutcome {
    let mut world = world::World::new(Rng::new(seed ^ 0x7461_736b), mutant);
    let violation = crate::violation_of(|| world.run().err());
    TaskOutcome { violation, met: world.met, trace: std::mem::take(&mut world.trace) }
}
