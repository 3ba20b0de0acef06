//! Logs that begin later and later while they grow: what takes over, resumes, joins again and is told from them, and how long they stay.

mod common;

use common::*;
use gapless_log::inspect::Plain;
use gapless_log::{snapshot_path, stat};
use gapless_pair::{Commit, Start};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const BALLAST: usize = 4 << 10;
const SHORTEN_BYTES: u64 = 64 << 10;

#[test]
fn child_process() {
    common::child_process();
}

fn short(plan: Plan) -> Plan {
    Plan { ballast: Some(BALLAST), state_entries_min: 1 << 40, shorten_bytes: SHORTEN_BYTES, burst: 40, ..plan }
}

fn of(start: Start, home: &Path, name: &str) -> Plan {
    short(Plan::new(start, home, name))
}

fn bytes_of(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap().filter_map(|f| f.ok()?.metadata().ok());
    files.filter(std::fs::Metadata::is_file).map(|m| m.len()).sum()
}

#[test]
fn both_logs_stay_short_and_whoever_survives_goes_on() {
    for commit in [Commit::Received, Commit::Durable] {
        let home = tempfile::tempdir().unwrap();
        let of = |start, name| Plan { commit, ..of(start, home.path(), name) };
        let plan = of(Start::Fresh, "a");
        let mut primary = plan.spawn();
        wait_more(&plan.world, 100);
        let mut longest = 0;
        for name in ["b", "c"] {
            let backup = of(Start::Join, name).spawn();
            primary.wait_mode("protected");
            for _ in 0..3 {
                for dir in [&primary.dir, &backup.dir] {
                    wait_shortened(dir, 1);
                    longest = longest.max(bytes_of(dir));
                }
            }
            assert_eq!(primary.status().unwrap().mode, "protected", "nobody was lost over it");
            let dir = primary.dir.clone();
            primary.kill();
            assert!(check_dir(&dir) > 0);
            wait_role(&backup, "primary");
            wait_shortened(&backup.dir, 2);
            primary = backup;
        }
        // It owns the history, and goes on from its snapshot.
        let dir = primary.dir.clone();
        primary.kill();
        assert!(check_dir(&dir) > 0);
        let resumed = of(Start::Resume, "c").spawn();
        wait_role(&resumed, "primary");
        wait_shortened(&dir, 1);
        resumed.kill();
        check_dir(&dir);
        let released = check_released(&plan.world, &dir);
        println!("{commit:?}: {released} outputs; at most {longest} bytes in a directory");
        assert!(longest < 40 * SHORTEN_BYTES, "{longest} bytes in a directory");
    }
}

/// Alone it needs nobody's word; what is left on the disk is one snapshot and what follows it.
#[test]
fn an_owner_without_a_backup_shortens_its_log_too() {
    let home = tempfile::tempdir().unwrap();
    let plan = of(Start::Fresh, home.path(), "a");
    let primary = plan.spawn();
    wait_shortened(&plan.dir, 3);
    primary.kill();
    let begins = check_dir(&plan.dir);
    let snapshots = std::fs::read_dir(&plan.dir).unwrap().map(|f| f.unwrap().path());
    let snapshots: Vec<_> = snapshots.filter(|p| p.extension().is_some_and(|e| e == "snap")).collect();
    assert!(snapshots.contains(&snapshot_path(&plan.dir, gapless_log::Seq(begins))), "{snapshots:?}");
    let resumed = of(Start::Resume, home.path(), "a").spawn();
    wait_shortened(&plan.dir, 1);
    resumed.kill();
    assert!(stat(&plan.dir, &Plain).unwrap().bytes < 40 * SHORTEN_BYTES);
    check_released(&plan.world, &plan.dir);
}

/// A backup that was away for a moment continues where it was; one that was away for long begins with a state.
#[test]
fn who_was_away_for_a_moment_continues_and_who_was_away_for_long_begins_anew() {
    let home = tempfile::tempdir().unwrap();
    // Slow enough to be away for less than a log.
    let calm = |start, name| Plan { burst: 1, pause: Duration::from_millis(4), ..of(start, home.path(), name) };
    let plan = calm(Start::Fresh, "a");
    let primary = plan.spawn();
    wait_more(&plan.world, 20);
    let join = calm(Start::Join, "b");
    let backup = join.spawn();
    primary.wait_mode("protected");
    wait_shortened(&join.dir, 1);
    let begins = begins_at(&join.dir);
    backup.kill();
    let backup = join.spawn();
    primary.wait_mode("protected");
    assert_eq!(begins_at(&join.dir), begins, "only what it lacked was sent");
    backup.kill();
    primary.wait_mode("solo");
    wait_shortened(&plan.dir, 2);
    let backup = join.spawn();
    primary.wait_mode("protected");
    assert!(begins_at(&join.dir) >= begins_at(&plan.dir) && begins_at(&join.dir) > begins, "it was sent a state");
    primary.kill();
    wait_role(&backup, "primary");
    wait_more(&plan.world, 20);
    backup.kill();
    check_released(&plan.world, &join.dir);
}

/// As long as somebody reads the log from there it stays.
#[test]
fn a_log_that_is_being_sent_is_not_shortened_under_the_reader() {
    let home = tempfile::tempdir().unwrap();
    let proxy = Proxy::start();
    // Its log is longer than sockets and queues take before it is ever shortened.
    let plan = Plan { shorten_bytes: 24 << 20, burst: 400, ..of(Start::Fresh, home.path(), "a") }.behind(&proxy);
    let primary = plan.spawn();
    wait_until("its log is long", || (bytes_of(&plan.dir) > 20 << 20).then_some(()));
    proxy.bytes_per_s(6 << 20);
    let join = Plan { shorten_bytes: 0, ..of(Start::Join, home.path(), "b") };
    let backup = join.spawn();
    wait_until("its log is longer than it may be", || (bytes_of(&plan.dir) > 26 << 20).then_some(()));
    assert_eq!(begins_at(&plan.dir), 0, "somebody still reads it");
    proxy.bytes_per_s(u64::MAX);
    primary.wait_mode("protected");
    assert_eq!(begins_at(&join.dir), 0, "it was sent the log");
    wait_shortened(&plan.dir, 1);
    primary.wait_mode("protected");
    primary.kill();
    wait_role(&backup, "primary");
    wait_more(&plan.world, 100);
    backup.kill();
    check_released(&plan.world, &join.dir);
}

#[test]
fn random_kills_with_short_logs_contradict_nothing() {
    random_kills(short);
}

/// A state that cannot be written is told, and nothing else happens: the log goes on growing.
#[test]
fn a_state_that_cannot_be_written_is_no_reason_to_end() {
    let home = tempfile::tempdir().unwrap();
    // The state does not fit into a file of this process; its segments do.
    let plan = Plan { ballast: Some(9 << 20), file_bytes_max: 8 << 20, ..of(Start::Fresh, home.path(), "a") };
    let primary = plan.spawn();
    wait_until("its log is longer than it may be", || (bytes_of(&plan.dir) > 3 * SHORTEN_BYTES).then_some(()));
    wait_more(&plan.world, 1000);
    assert_eq!(primary.status().unwrap().mode, "solo");
    primary.kill();
    assert_eq!(check_dir(&plan.dir), 0);
    let left: BTreeMap<_, _> = std::fs::read_dir(&plan.dir).unwrap().map(|f| (f.unwrap().file_name(), ())).collect();
    assert!(!left.contains_key(std::ffi::OsStr::new("snap.new")), "its room is given back: {left:?}");
    check_released(&plan.world, &plan.dir);
}
