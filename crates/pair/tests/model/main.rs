//! The pair protocol as an abstract model, searched exhaustively.
//!
//! `docs/protocol.md` is the contract; this is the contract as a search. [`rules`] says what every process, the register
//! and the faults may do in a state, rule by rule; [`search`] visits every state that can be reached and tells the
//! shortest way to one that breaks a guarantee; [`guarantees`] says what may not break: S1 and S2 in every state, and L by
//! reverse reachability: from every state, a way without further faults leads to a live owner that can release. The tests
//! here say that the protocol holds, the tests in [`mutants`] say that the search would notice if it did not.
//!
//! In the model: two or three directories with a process each; lives, sessions, acknowledgements late, lost or read
//! after a takeover; puts applied late, never, twice, or with an answer that comes too late; kills that keep what was
//! written or more; directories lost; pauses of any length; both commit levels; handover; accept-loss by a human;
//! entries and marks told apart where that matters.
//!
//! Not in the model, and left to the simulator and the engine's tests: time (a false alarm may come at any moment, so no
//! timeout matters to safety), the lag limit, bytes and corruption, digests and the order "prepare first, then put" of
//! B1, a register that goes back or is replaced (the stored highest `(uuid, v)`).
//!
//! The searches of the default run have 0.1 to 0.8 million states each and take seconds. `GAPLESS_MODEL=full cargo test
//! --release -p gapless-pair --test model -- --nocapture --test-threads 1` searches far larger worlds, see [`sizes`].

mod backup;
mod config;
mod guarantees;
mod mutants;
mod primary;
mod rules;
mod search;
mod state;

use config::{Config, ENDLESS, Level, Mutant};
use rules::Rules;

/// The protocol must hold in every reachable state of `config`.
#[track_caller]
fn holds(name: &str, config: Config) -> Vec<&'static str> {
    let begin = std::time::Instant::now();
    let report = search::search(&Rules::new(config), true);
    let (states, steps, depth) = (report.states, report.steps, report.depth);
    let Config { nodes, log, kills, losses, .. } = config;
    let bound = |n: u8| if n == ENDLESS { "any".to_string() } else { n.to_string() };
    let (kills, losses) = (bound(kills), bound(losses));
    println!(
        "{name} (nodes {nodes}, log {log}, kills {kills}, losses {losses}): {states} states, {steps} steps, depth {depth}, {:.1} s",
        begin.elapsed().as_secs_f32()
    );
    assert!(states > 10_000, "{name}: the search saw hardly anything");
    if let Some(search::Found { broken, trace, .. }) = report.broken {
        panic!("{name}: {broken}\n{trace}");
    }
    report.actions
}

/// (nodes, log, kills, losses)
type Size = (usize, u8, u8, u8);
/// Kills and lost directories without end.
const SMALL: [Size; 1] = [(2, 2, ENDLESS, ENDLESS)];
const LARGE: [Size; 2] = [(2, 3, ENDLESS, ENDLESS), (3, 1, ENDLESS, ENDLESS)];

/// The worlds that a test searches.
fn sizes(usual: &[Size], full: &[Size]) -> Vec<Config> {
    let wanted = if std::env::var("GAPLESS_MODEL").is_ok_and(|v| v == "full") { full } else { usual };
    wanted
        .iter()
        .map(|&(nodes, log, kills, losses)| Config { nodes, log, kills, losses, ..Config::default() })
        .collect()
}

#[test]
fn level_received_holds() {
    for config in sizes(&SMALL, &[(2, 4, ENDLESS, ENDLESS), (3, 1, ENDLESS, ENDLESS)]) {
        holds("received", config);
    }
}

#[test]
fn level_durable_holds() {
    for config in sizes(&SMALL, &LARGE) {
        holds("durable", Config { level: Level::Durable, ..config });
    }
}

/// Without a lost directory L asks for nothing: however often everybody is killed, an owner comes back.
#[test]
fn any_number_of_kills_is_survived() {
    for config in sizes(&[(2, 2, ENDLESS, 0)], &[(2, 4, ENDLESS, 0), (3, 1, ENDLESS, 0)]) {
        holds("kills", config);
    }
}

#[test]
fn three_nodes_hold() {
    for config in sizes(&[(3, 1, 1, 0)], &[(3, 2, 1, 1)]) {
        holds("three nodes", config);
    }
}

#[test]
fn handover_holds() {
    for config in sizes(&[SMALL[0], (2, 2, ENDLESS, 0)], &LARGE) {
        holds("handover", Config { handover: true, ..config });
    }
}

#[test]
fn marks_hold() {
    for config in sizes(&[(2, 3, 1, 0)], &[(2, 4, ENDLESS, ENDLESS), (3, 2, 1, 0)]) {
        holds("marks", Config { marks: true, ..config });
    }
}

/// A: with every process gone that was ever live, a human may begin a new generation.
#[test]
fn accepted_loss_holds() {
    for config in sizes(&SMALL, &LARGE) {
        holds("accepted loss", Config { human: true, ..config });
    }
}

/// R on the directory of the *named backup*: what it acknowledged is on its disk at level durable.
#[test]
fn the_named_backups_directory_may_be_resumed_at_level_durable() {
    for config in sizes(&SMALL, &LARGE) {
        holds("backup's directory", Config { level: Level::Durable, backup_directory: true, ..config });
    }
}

/// Without that, the backup's fsync at level durable protects nothing: who was killed there can never be resumed, so
/// acknowledging before it goes unpunished. (With it, `mutants::ack_before_fsync` is caught.)
#[test]
fn the_backups_fsync_counts_only_if_its_directory_may_be_resumed() {
    for config in sizes(&SMALL, &LARGE) {
        holds("no fsync", Config { level: Level::Durable, mutant: Some(Mutant::AckBeforeFsync), ..config });
    }
}

/// D makes a deposed primary stop early. Nothing else hangs on it.
#[test]
fn safety_and_liveness_do_not_need_rule_d() {
    for config in sizes(&SMALL, &LARGE) {
        holds("without D", Config { mutant: Some(Mutant::NeverReads), ..config });
    }
}

/// The searches above prove nothing about a rule that never comes into play.
#[test]
fn every_rule_comes_into_play() {
    let config = Config { kills: ENDLESS, losses: ENDLESS, handover: true, human: true, ..Config::default() };
    let mut seen = holds("every rule", config);
    seen.sort_unstable();
    seen.dedup();
    let wanted = [
        "A: a human makes it the owner, accepting a loss",
        "B2: learns that its put lost, joins again",
        "B2: writes log and intent, puts {me, none}",
        "D: reads the register, halts",
        "F: puts {me, none}",
        "H: kills its group, puts {backup, none}",
        "H: the put is decided, exits",
        "P1: closes the gate",
        "P1: opens a session with the joiner",
        "P1: opens the gate again",
        "P2: learns that it won, is protected",
        "P2: puts {me, joiner}",
        "P3: learns that it won, is solo",
        "P3: puts {me, none}",
        "R: puts {me, none}",
        "RELEASES",
        "S: stands by with an empty directory",
        "S: stands by, keeping its log",
        "U: learns that the put is decided",
        "U: sends the unresolved put again",
        "acknowledges",
        "drops the session",
        "is killed",
        "is killed, its directory is lost",
        "learns that it won, goes live",
        "learns that its put lost",
        "learns that its put lost, halts",
        "logs an input",
        "never gets a put",
        "reads an acknowledgement",
        "receives an entry",
        "starts",
        "the register takes a put",
        "writes its log",
    ];
    assert_eq!(seen, wanted);
}
