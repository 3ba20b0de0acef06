//! What is searched: the size of the world, which rules are in play, and which one is broken.

/// Commit level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Held by the backup, written by the primary.
    Received,
    /// fsynced by both.
    Durable,
}

/// A broken rule. Each has a test that demands that the search finds what it breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// The register says that *a* backup is in sync, not which.
    NoBackupIdentity,
    /// The register names the backup's node, not its life.
    IdentityWithoutLife,
    /// B2 without looking whether the register names this life.
    PromoteUnnamed,
    /// A backup that has put goes on acknowledging what comes in behind its frozen log end.
    AckAfterPut,
    /// An acknowledgement of what the primary has, not of what the backup holds.
    AckBeforeReceive,
    /// Level durable: an acknowledgement of what is received and not fsynced.
    AckBeforeFsync,
    /// A protected primary releases what is written.
    ReleaseBeforeAck,
    /// A closing primary still releases by the rule of solo.
    InSyncBeforeGate,
    /// P2 before the joiner has acknowledged C.
    InSyncBeforeCovered,
    /// C counts only what this life released, not the log it went live with.
    CoverNothingAfterPromotion,
    /// P3: solo as soon as the put is sent.
    SoloBeforeWon,
    /// P2: a put without an answer is taken for lost.
    TimeoutIsLostPrimary,
    /// B2: a put without an answer is taken for lost.
    TimeoutIsLostBackup,
    /// Releases do not wait for the own log.
    OwnLogNeverWritten,
    /// The same, only while solo.
    OwnLogNotWrittenInSolo,
    /// An acknowledgement of an older session counts in a newer one.
    AcksAcrossSessions,
    /// A joiner keeps what it holds beyond the common part.
    TailKept,
    /// A new life on the owner's directory goes live without a put.
    AssumeOwnership,
    /// A second process on the directory of a live owner resumes.
    ResumeWithoutLock,
    /// Level received: a resume after the page cache was lost.
    ResumeAfterPageCacheLoss,
    /// Level received: a resume on the named backup's directory. (Set `backup_directory` with it.)
    ResumeBackupAtReceived,
    /// A fresh start although the register is present.
    FreshOverPresent,
    /// A directory with an unresolved intent is emptied.
    IntentWiped,
    /// The owner's directory is emptied.
    OwnerDirectoryWiped,
    /// H: the backup answers without having written its log and its intent.
    HandoverUnbound,
    /// H: the primary writes its put down as intent, and its directory then takes itself for the other life's.
    ForeignIntentTaken,
    /// H: the primary writes its put down as intent, and a later life on its directory must see that put decided first.
    ForeignIntentBinds,
    /// H: the backup goes live on the word of the primary, without the register.
    HandoverUnread,
    /// An output is released when the entry before its mark is acknowledged.
    ReleaseAtEntry,
    /// A backup executes on behind the last mark that it holds.
    ExecutePastMark,
    /// A: a human accepts a loss while the owner runs.
    AcceptLossWhileOwnerRuns,
    /// A: a human accepts a loss when the owner is gone, and an older primary that was deposed still runs.
    AcceptLossWhileDeposedRuns,
    /// A: output numbers go on in the old generation.
    NumbersReused,
    /// P3: the put lost, solo all the same.
    SoloThoughLost,
    /// B2: the put lost, live all the same.
    LiveThoughLost,
    /// P3 is missing.
    NeverSolo,
    /// B2 is missing.
    NeverPromotes,
    /// R is missing.
    NeverResumes,
    /// U: a new life does not send the unresolved put of the one before it again.
    NeverSendsAgain,
    /// D is missing. This one breaks nothing: D shortens how long a deposed primary runs.
    NeverReads,
}

/// As many kills or losses as the search likes: the state space stays finite, because lives are renamed.
pub const ENDLESS: u8 = 7;

/// What is searched.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub nodes: usize,
    /// Items that a log may grow to.
    pub log: u8,
    /// Kills in one run; [`ENDLESS`] is without end.
    pub kills: u8,
    /// Directories lost in one run (power cut at level received, disk gone, machine gone).
    pub losses: u8,
    pub level: Level,
    /// Rule H is in play.
    pub handover: bool,
    /// Entries and marks are told apart; otherwise each entry is a whole step.
    pub marks: bool,
    /// Rule A: a human may accept a loss.
    pub human: bool,
    /// Level durable: the named backup's directory may be resumed too.
    pub backup_directory: bool,
    pub mutant: Option<Mutant>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            nodes: 2,
            log: 2,
            kills: 2,
            losses: 1,
            level: Level::Received,
            handover: false,
            marks: false,
            human: false,
            backup_directory: false,
            mutant: None,
        }
    }
}
