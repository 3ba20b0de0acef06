//! Backups that execute nothing before they take over: what they have executed meanwhile, what they go on from, and that nothing is contradicted.

mod common;

use common::*;
use gapless_pair::{Commit, Start, status};
use std::path::Path;
use std::time::Duration;

const SHORTEN_BYTES: u64 = 64 << 10;

#[test]
fn child_process() {
    common::child_process();
}

fn warm(plan: Plan) -> Plan {
    Plan { warm: true, ballast: Some(4 << 10), shorten_bytes: SHORTEN_BYTES, burst: 40, ..plan }
}

fn of(start: Start, home: &Path, name: &str) -> Plan {
    warm(Plan::new(start, home, name))
}

/// What a backup has executed, by its own word: the position of its replica.
fn stands_at(node: &Proc) -> u64 {
    node.status().map_or(0, |status| status.position)
}

#[test]
fn a_warm_backup_executes_nothing_is_renewed_and_takes_over() {
    for commit in [Commit::Received, Commit::Durable] {
        let home = tempfile::tempdir().unwrap();
        let of = |start, name| Plan { commit, state_entries_min: 1 << 40, ..of(start, home.path(), name) };
        let plan = of(Start::Fresh, "a");
        let mut primary = plan.spawn();
        wait_more(&plan.world, 100);
        for name in ["b", "c", "d"] {
            let backup = of(Start::Join, name).spawn();
            primary.wait_mode("protected");
            // Its log begins later and later, by the owner's states.
            wait_shortened(&backup.dir, 3);
            assert_eq!(stands_at(&backup), 0, "it has executed nothing");
            assert_eq!(primary.status().unwrap().mode, "protected");
            let dir = primary.dir.clone();
            primary.kill();
            check_dir(&dir);
            wait_role(&backup, "primary");
            wait_more(&plan.world, 300);
            primary = backup;
        }
        let dir = primary.dir.clone();
        primary.kill();
        assert!(check_dir(&dir) > 0);
        assert!(check_released(&plan.world, &dir) > 1000);
    }
}

/// A replica that cannot be saved is executed from its first entry, however long that is.
#[test]
fn without_states_a_warm_backup_executes_all_its_log() {
    let home = tempfile::tempdir().unwrap();
    let of = |start, name| Plan { ballast: None, ..of(start, home.path(), name) };
    let plan = of(Start::Fresh, "a");
    let primary = plan.spawn();
    wait_more(&plan.world, 100);
    let backup = of(Start::Join, "b").spawn();
    primary.wait_mode("protected");
    wait_more(&plan.world, 3000);
    assert_eq!((begins_at(&backup.dir), stands_at(&backup)), (0, 0));
    primary.kill();
    wait_role(&backup, "primary");
    wait_more(&plan.world, 100);
    let dir = backup.dir.clone();
    backup.kill();
    check_released(&plan.world, &dir);
}

/// The planned takeover waits until the backup has executed its log, and only then kills anybody.
#[test]
fn a_warm_backup_is_handed_over_to() {
    let home = tempfile::tempdir().unwrap();
    let plan = of(Start::Fresh, home.path(), "a");
    let primary = plan.spawn();
    wait_more(&plan.world, 100);
    let backup = of(Start::Join, home.path(), "b").spawn();
    primary.wait_mode("protected");
    wait_shortened(&backup.dir, 1);
    wait_until("it is handed over", || {
        let asked = status::handover(&primary.dir, Duration::from_secs(10));
        let live = backup.status().is_some_and(|s| s.role == "primary");
        (asked.is_ok() || live).then_some(())
    });
    wait_role(&backup, "primary");
    assert!(primary.end().unwrap().contains("HandedOver"));
    wait_more(&plan.world, 100);
    let dir = backup.dir.clone();
    backup.kill();
    check_released(&plan.world, &dir);
}

/// The owner was only stalled: the backup has begun to execute, and goes on doing so.
#[test]
fn after_a_false_alarm_a_warm_backup_is_as_good_as_before() {
    let home = tempfile::tempdir().unwrap();
    let proxy = Proxy::start();
    let plan = of(Start::Fresh, home.path(), "a").behind(&proxy);
    let primary = plan.spawn();
    wait_more(&plan.world, 100);
    let backup = of(Start::Join, home.path(), "b").spawn();
    primary.wait_mode("protected");
    wait_shortened(&backup.dir, 1);
    // Nothing comes through for longer than the detection time: one of both goes on, and the other one, which may not have heard of it yet, says nothing.
    proxy.cut(true, true);
    let survivor = wait_until("somebody goes on", || {
        let goes_on = |node: &&Proc| node.status().is_some_and(|s| s.mode == "solo" && !s.asking);
        [&primary, &backup].into_iter().find(goes_on)
    });
    proxy.cut(false, false);
    wait_more(&plan.world, 300);
    let dir = survivor.dir.clone();
    drop((primary, backup));
    check_released(&plan.world, &dir);
}

#[test]
fn random_kills_with_warm_backups_contradict_nothing() {
    random_kills(warm);
}

/// One side is warm and the other is not: the owner of the day sends states to whoever wants them.
#[test]
fn random_kills_with_one_warm_side_contradict_nothing() {
    random_kills(|plan| {
        let is_left = plan.dir.ends_with("left");
        Plan { warm: is_left, ..warm(plan) }
    });
}

/// A warm backup whose disk takes no state goes on holding the log, and executes all of it if it must.
#[test]
fn a_state_that_a_warm_backup_cannot_write_is_no_reason_to_end() {
    let home = tempfile::tempdir().unwrap();
    let of = |start, name| Plan { ballast: Some(9 << 20), state_entries_min: 1 << 40, ..of(start, home.path(), name) };
    let plan = of(Start::Fresh, "a");
    let primary = plan.spawn();
    wait_more(&plan.world, 100);
    // The state does not fit into a file of this process; its segments do.
    let backup = Plan { file_bytes_max: 8 << 20, shorten_bytes: 0, ..of(Start::Join, "b") }.spawn();
    primary.wait_mode("protected");
    wait_shortened(&primary.dir, 1);
    wait_more(&plan.world, 100);
    assert_eq!((begins_at(&backup.dir), stands_at(&backup)), (0, 0));
    assert_eq!(primary.status().unwrap().mode, "protected");
    primary.kill();
    wait_role(&backup, "primary");
    wait_more(&plan.world, 20);
    let dir = backup.dir.clone();
    backup.kill();
    check_released(&plan.world, &dir);
}

/// A state that takes longer to send than the detection time holds up neither frames nor acknowledgements.
#[test]
fn a_state_on_a_slow_road_costs_nobody_his_backup() {
    let home = tempfile::tempdir().unwrap();
    let proxy = Proxy::start();
    let calm = |start, name| Plan {
        ballast: Some(12 << 20),
        state_entries_min: 1 << 40,
        burst: 1,
        pause: Duration::from_millis(4),
        ..of(start, home.path(), name)
    };
    let plan = calm(Start::Fresh, "a").behind(&proxy);
    let primary = plan.spawn();
    wait_more(&plan.world, 20);
    proxy.bytes_per_s(4 << 20);
    let backup = calm(Start::Join, "b").spawn();
    primary.wait_mode("protected");
    let term = primary.status().unwrap().term;
    wait_shortened(&backup.dir, 1);
    let status = primary.status().unwrap();
    assert_eq!((status.mode.as_str(), status.term), ("protected", term));
    assert_eq!(stands_at(&backup), 0);
}
