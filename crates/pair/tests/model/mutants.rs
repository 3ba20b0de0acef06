//! A broken rule each, which the search must find; run with `--nocapture` to read the shortest trace.
//!
//! The rule it keeps: a mutant differs from the protocol in the one line of the rules that asks for it, and is searched
//! in the same world as the protocol that holds. Mutants of safety must break S1 or S2; those of liveness L. What is
//! broken at a lower level is here as far as the model has entries and marks; the simulator tries it on the engine.

use crate::config::{Config, Level, Mutant};
use crate::guarantees::{Broken, L, S1_FORKED, S1_LOST, S2, X_AHEAD};
use crate::rules::Rules;
use crate::search::{Found, search};

/// Something released is lost or contradicted, or a deposed life released something new.
const UNSAFE: &[Broken] = &[S1_FORKED, S1_LOST, S2];
/// Everything stands still.
const STUCK: &[Broken] = &[L];
/// A backup is where its primary never was.
const AHEAD: &[Broken] = &[X_AHEAD];

#[track_caller]
fn found(name: &str, config: Config, wanted: &[Broken]) {
    let report = search(&Rules::new(config), wanted == STUCK);
    let Some(Found { broken, length, trace }) = report.broken else {
        panic!("{name}: survived all {} states", report.states);
    };
    println!("{name}: found among {} states, a trace of {length} steps: {broken}\n{trace}", report.states);
    assert!(wanted.contains(&broken), "{name}: {broken}");
}

/// `name: Mutant => what it breaks, { fields of Config that differ }`.
macro_rules! mutants {
    ($($name:ident: $mutant:ident => $wanted:ident, { $($field:ident: $value:expr),* };)*) => { $(
        #[test]
        fn $name() {
            let config = Config { mutant: Some(Mutant::$mutant), $($field: $value,)* ..Config::default() };
            found(stringify!($name), config, $wanted);
        }
    )* }
}

mutants! {
    no_backup_identity: NoBackupIdentity => UNSAFE, {};
    identity_without_life: IdentityWithoutLife => UNSAFE, {};
    promote_when_not_named: PromoteUnnamed => UNSAFE, {};
    ack_after_the_put: AckAfterPut => UNSAFE, {};
    ack_before_receive: AckBeforeReceive => UNSAFE, {};
    ack_before_fsync: AckBeforeFsync => UNSAFE, { level: Level::Durable, backup_directory: true };
    release_before_ack: ReleaseBeforeAck => UNSAFE, {};
    in_sync_before_the_gate_closed: InSyncBeforeGate => UNSAFE, {};
    in_sync_before_covered: InSyncBeforeCovered => UNSAFE, {};
    cover_nothing_after_promotion: CoverNothingAfterPromotion => UNSAFE, {};
    solo_before_won: SoloBeforeWon => UNSAFE, {};
    solo_though_lost: SoloThoughLost => UNSAFE, {};
    live_though_lost: LiveThoughLost => UNSAFE, {};
    put_timeout_is_lost_primary: TimeoutIsLostPrimary => UNSAFE, {};
    put_timeout_is_lost_backup: TimeoutIsLostBackup => UNSAFE, {};
    own_log_never_written: OwnLogNeverWritten => UNSAFE, {};
    own_log_not_written_in_solo: OwnLogNotWrittenInSolo => UNSAFE, {};
    acks_across_sessions: AcksAcrossSessions => UNSAFE, {};
    tail_kept_by_the_joiner: TailKept => UNSAFE, {};
    owner_assumes_ownership: AssumeOwnership => UNSAFE, {};
    resume_without_the_lock: ResumeWithoutLock => UNSAFE, {};
    resume_after_page_cache_loss: ResumeAfterPageCacheLoss => UNSAFE, {};
    resume_of_the_backup_at_received: ResumeBackupAtReceived => UNSAFE, { backup_directory: true };
    fresh_start_over_a_present_register: FreshOverPresent => UNSAFE, {};
    handover_without_the_register: HandoverUnread => UNSAFE, { handover: true };
    handover_intent_taken_for_ones_own: ForeignIntentTaken => UNSAFE, { handover: true };
    handover_intent_binds_the_primary: ForeignIntentBinds => STUCK, { handover: true, log: 1 };
    release_at_the_entry: ReleaseAtEntry => UNSAFE, { marks: true };
    execute_past_the_last_mark: ExecutePastMark => AHEAD, { marks: true, log: 3 };
    accept_loss_while_the_owner_runs: AcceptLossWhileOwnerRuns => UNSAFE, { human: true };
    accept_loss_while_a_deposed_primary_runs: AcceptLossWhileDeposedRuns => UNSAFE, { human: true };
    numbers_reused_after_a_loss: NumbersReused => UNSAFE, { human: true };
    intent_wiped: IntentWiped => STUCK, { losses: 0, log: 1 };
    owner_directory_wiped: OwnerDirectoryWiped => STUCK, { losses: 0, log: 1 };
    never_solo: NeverSolo => STUCK, { losses: 0, log: 1 };
    never_promotes: NeverPromotes => STUCK, { log: 1 };
    never_resumes: NeverResumes => STUCK, { losses: 0, log: 1 };
    never_sends_an_unresolved_put_again: NeverSendsAgain => STUCK, { losses: 0, log: 1 };
}

/// Rule H with a backup that is not bound when it answers: what it acknowledged but did not write is lost with it.
#[test]
fn handover_to_a_backup_that_has_not_written() {
    let mutant = Some(Mutant::HandoverUnbound);
    found("handover unwritten", Config { mutant, handover: true, losses: 0, ..Config::default() }, UNSAFE);
}

/// The same where everything acknowledged is on disk: restarted at the wrong moment it empties the directory that the
/// register is about to name, and the primary has given itself up.
#[test]
fn handover_to_a_backup_without_intent() {
    let config = Config { losses: 0, log: 1, level: Level::Durable, handover: true, ..Config::default() };
    found("handover without intent", Config { mutant: Some(Mutant::HandoverUnbound), ..config }, STUCK);
}
