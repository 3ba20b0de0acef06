//! A fresh backup begins with the replica's state: joined under load, killed, cut off and lied to in the middle of it; and what its directory, which
//! begins with a snapshot, is good for afterwards.

mod common;

use common::*;
use gapless_log::inspect::{EXIT_FINE, Plain};
use gapless_log::{Meta, Options, Position, snapshot_path, stat, verify};
use gapless_pair::driver::alone;
use gapless_pair::{Start, status};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A state of some pieces.
const BALLAST: usize = 3 << 20;

#[test]
fn child_process() {
    common::child_process();
}

fn saving(start: Start, home: &Path, name: &str) -> Plan {
    Plan { ballast: Some(BALLAST), ..Plan::new(start, home, name) }
}

/// A primary alone that has said something, reachable through a proxy.
fn alone_behind(proxy: &Proxy, home: &Path, ballast: usize) -> (Proc, Plan) {
    let plan = Plan { ballast: Some(ballast), ..Plan::new(Start::Fresh, home, "a") }.behind(proxy);
    let primary = plan.spawn();
    wait_more(&plan.world, 500);
    (primary, plan)
}

/// Waits until so many bytes of a state have been written to a directory.
fn wait_arriving(dir: &Path, bytes: u64) {
    let path = dir.join("snap.new");
    wait_until("a state arrives", || std::fs::metadata(&path).ok().filter(|m| m.len() >= bytes).map(drop));
}

#[test]
fn a_fresh_backup_begins_with_the_state_takes_over_and_the_next_one_too() {
    let home = tempfile::tempdir().unwrap();
    let plan = saving(Start::Fresh, home.path(), "a");
    let mut primary = plan.spawn();
    wait_more(&plan.world, 500);
    let mut begins = vec![0];
    for name in ["b", "c", "d"] {
        let backup = saving(Start::Join, home.path(), name).spawn();
        primary.wait_mode("protected");
        wait_more(&plan.world, 300);
        begins.push(begins_at(&backup.dir));
        let dir = primary.dir.clone();
        primary.kill();
        check_dir(&dir);
        wait_role(&backup, "primary");
        wait_more(&plan.world, 300);
        primary = backup;
    }
    println!("their logs begin at {begins:?}");
    assert!(begins.is_sorted_by(|a, b| a < b), "each begins where the one before it stood: {begins:?}");
    let dir = primary.dir.clone();
    primary.kill();
    assert_eq!(check_dir(&dir), begins[3]);
    for name in ["a", "b", "c", "d"] {
        // The world's history, part by part: what each of them had when it died is what the world heard.
        check_part(&plan.world, &home.path().join(name));
    }
    assert!(check_released(&plan.world, &dir) > 2000);
}

/// As far as this log goes, the world heard what it says.
fn check_part(world: &Path, dir: &Path) {
    let heard = heard(world);
    let (before, said) = said_in(dir);
    assert!(!said.is_empty());
    for (number, text) in (before..).zip(&said) {
        // What it said last may never have been released, and somebody else said something else instead.
        let last = number + 200 >= before + said.len() as u64;
        assert!(last || heard.get(&number) == Some(text), "output {number} of {}", dir.display());
    }
}

#[test]
fn a_short_log_is_streamed_and_so_is_every_log_of_a_replica_that_cannot_save() {
    for (ballast, state_entries_min) in [(Some(BALLAST), 1 << 40), (None, 0)] {
        let home = tempfile::tempdir().unwrap();
        let plan = Plan { ballast, state_entries_min, ..Plan::new(Start::Fresh, home.path(), "a") };
        let primary = plan.spawn();
        wait_more(&plan.world, 500);
        let backup = Plan { ballast, state_entries_min, ..Plan::new(Start::Join, home.path(), "b") }.spawn();
        primary.wait_mode("protected");
        assert_eq!(begins_at(&backup.dir), 0);
        primary.kill();
        wait_role(&backup, "primary");
        wait_more(&plan.world, 100);
        let dir = backup.dir.clone();
        backup.kill();
        check_released(&plan.world, &dir);
    }
}

/// The state travels slowly, for several detection times: the primary goes on all the while, and nobody takes the silence of a joiner that loads for its death.
#[test]
fn the_primary_goes_on_while_a_large_state_travels() {
    let home = tempfile::tempdir().unwrap();
    let proxy = Proxy::start();
    let (primary, plan) = alone_behind(&proxy, home.path(), 24 << 20);
    proxy.bytes_per_s(8 << 20);
    let backup = saving(Start::Join, home.path(), "b");
    let backup = Plan { ballast: Some(24 << 20), ..backup }.spawn();
    wait_arriving(&backup.dir, 1 << 20);
    let (started, mut before) = (Instant::now(), heard_lines(&plan.world));
    let mut longest = Duration::ZERO;
    let mut at = Instant::now();
    while backup.dir.join("snap.new").exists() {
        std::thread::sleep(Duration::from_millis(1));
        let lines = heard_lines(&plan.world);
        if lines > before {
            longest = longest.max(at.elapsed());
            (before, at) = (lines, Instant::now());
        }
        assert_eq!(primary.status().unwrap().mode, "solo");
    }
    println!("travelled for {:?}; the longest pause of the program was {longest:?}", started.elapsed());
    assert!(started.elapsed() > Duration::from_millis(1500), "slow enough to tell something");
    assert!(longest < Duration::from_millis(1000), "{longest:?}");
    primary.wait_mode("protected");
    assert!(begins_at(&backup.dir) > 0);
    primary.kill();
    wait_role(&backup, "primary");
    wait_more(&plan.world, 100);
    let dir = backup.dir.clone();
    backup.kill();
    check_released(&plan.world, &dir);
}

#[test]
fn a_primary_killed_in_mid_transfer_resumes_and_the_joiner_joins_it() {
    let home = tempfile::tempdir().unwrap();
    let proxy = Proxy::start();
    let (primary, plan) = alone_behind(&proxy, home.path(), BALLAST);
    proxy.hold_after(1500 << 10);
    let backup = saving(Start::Join, home.path(), "b").spawn();
    wait_arriving(&backup.dir, 1 << 20);
    primary.kill();
    proxy.hold_after(u64::MAX);
    let before = heard_lines(&plan.world);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(heard_lines(&plan.world), before, "half a state takes over from nobody");
    assert_eq!(backup.status().unwrap().role, "backup");
    let resumed = Plan { start: Start::Resume, ..plan.clone() }.spawn();
    resumed.wait_mode("protected");
    let begins = begins_at(&backup.dir);
    assert!(begins > 0);
    resumed.kill();
    wait_role(&backup, "primary");
    wait_more(&plan.world, 100);
    let dir = backup.dir.clone();
    backup.kill();
    assert_eq!(check_dir(&dir), begins);
    check_released(&plan.world, &dir);
}

#[test]
fn a_joiner_killed_in_mid_transfer_comes_back_to_the_same_directory() {
    let home = tempfile::tempdir().unwrap();
    let proxy = Proxy::start();
    let (primary, plan) = alone_behind(&proxy, home.path(), BALLAST);
    let join = saving(Start::Join, home.path(), "b");
    // What is written is whole megabytes.
    for (held, written) in [(400 << 10, 64), (1500 << 10, 1 << 20), (2500 << 10, 2 << 20)] {
        proxy.hold_after(held);
        let backup = join.spawn();
        wait_arriving(&join.dir, written);
        backup.kill();
        assert_eq!(check_dir(&join.dir), 0, "half a state is nothing");
        proxy.hold_after(u64::MAX);
        assert_eq!(primary.status().unwrap().mode, "solo");
        wait_more(&plan.world, 100);
    }
    // And without being held, at whatever moment it is.
    for ms in [1, 5, 10, 15, 20, 30, 40, 60] {
        let backup = join.spawn();
        std::thread::sleep(Duration::from_millis(ms));
        backup.kill();
        check_dir(&join.dir);
    }
    let backup = join.spawn();
    primary.wait_mode("protected");
    assert!(begins_at(&join.dir) > 0);
    primary.kill();
    wait_role(&backup, "primary");
    wait_more(&plan.world, 100);
    backup.kill();
    check_dir(&join.dir);
    check_released(&plan.world, &join.dir);
}

#[test]
fn a_bit_that_flips_on_the_way_costs_a_second_transfer() {
    let home = tempfile::tempdir().unwrap();
    let proxy = Proxy::start();
    let (primary, plan) = alone_behind(&proxy, home.path(), BALLAST);
    proxy.damage(Damage::FlippedBit(1_500_000));
    let backup = saving(Start::Join, home.path(), "b").spawn();
    primary.wait_mode("protected");
    assert_eq!(proxy.damage(Damage::None), Damage::None, "a bit was flipped");
    let status = wait_role(&backup, "backup");
    assert_eq!(status.refused_connections, 1, "{status:?}");
    primary.kill();
    wait_role(&backup, "primary");
    wait_more(&plan.world, 100);
    let dir = backup.dir.clone();
    backup.kill();
    assert!(check_dir(&dir) > 0);
    check_released(&plan.world, &dir);
}

/// Checksums that were made after the damage: the state's own hash finds it. A second transfer would not help, so a person is told.
#[test]
fn a_state_that_is_not_what_was_saved_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let proxy = Proxy::start();
    let (primary, plan) = alone_behind(&proxy, home.path(), BALLAST);
    proxy.damage(Damage::WrongPiece(5));
    let join = saving(Start::Join, home.path(), "b");
    let end = join.spawn().end().unwrap();
    assert!(end.contains("Unpaired") && end.contains("the state up to byte 1572864 has hash"), "{end}");
    assert_eq!(check_dir(&join.dir), 0);
    let status = primary.wait_mode("solo");
    assert!(status.why.contains("has hash"), "the primary says so too: {status:?}");
    wait_more(&plan.world, 100);
    // The directory is as good as before.
    let backup = join.spawn();
    primary.wait_mode("protected");
    primary.kill();
    wait_role(&backup, "primary");
    wait_more(&plan.world, 100);
    backup.kill();
    check_released(&plan.world, &join.dir);
}

/// A pair whose backup began with a state: its directory, and the primary's.
fn pair(home: &Path) -> (Proc, Proc, Plan) {
    let plan = saving(Start::Fresh, home, "a");
    let primary = plan.spawn();
    wait_more(&plan.world, 300);
    let backup = saving(Start::Join, home, "b").spawn();
    primary.wait_mode("protected");
    wait_more(&plan.world, 100);
    (primary, backup, plan)
}

#[test]
fn a_directory_that_begins_with_a_snapshot_joins_again_from_where_it_was_and_resumes() {
    let home = tempfile::tempdir().unwrap();
    let calm = |start, name| Plan {
        state_entries_min: 10_000,
        pause: Duration::from_millis(10),
        ..saving(start, home.path(), name)
    };
    let plan = calm(Start::Fresh, "a");
    let primary = plan.spawn();
    wait_more(&plan.world, 6_000);
    let join = calm(Start::Join, "b");
    let backup = join.spawn();
    primary.wait_mode("protected");
    let (dir, begins) = (backup.dir.clone(), begins_at(&backup.dir));
    assert!(begins > 10_000);
    backup.kill();
    primary.wait_mode("solo");
    wait_more(&plan.world, 300);
    // What it lacks is little: the log continues behind the state that it has.
    let backup = join.spawn();
    primary.wait_mode("protected");
    assert_eq!(begins_at(&dir), begins, "only what it lacked was sent");
    primary.kill();
    wait_role(&backup, "primary");
    wait_more(&plan.world, 300);
    backup.kill();
    // It owns the history now, and goes on from its snapshot.
    assert_eq!(check_dir(&dir), begins);
    let resumed = Plan { start: Start::Resume, state_entries_min: 1 << 40, ..join.clone() }.spawn();
    wait_role(&resumed, "primary");
    wait_more(&plan.world, 300);
    // Nobody can be sent its log from the first entry, however short it is.
    let next = calm(Start::Join, "c").spawn();
    resumed.wait_mode("protected");
    assert!(begins_at(&next.dir) > begins);
    resumed.kill();
    wait_role(&next, "primary");
    wait_more(&plan.world, 100);
    let dir = next.dir.clone();
    next.kill();
    check_released(&plan.world, &dir);
}

#[test]
fn at_level_durable_a_backup_that_began_with_a_state_takes_over_as_planned() {
    let home = tempfile::tempdir().unwrap();
    let durable = |start, name| Plan { commit: gapless_pair::Commit::Durable, ..saving(start, home.path(), name) };
    let plan = durable(Start::Fresh, "a");
    let primary = plan.spawn();
    wait_more(&plan.world, 300);
    let backup = durable(Start::Join, "b").spawn();
    primary.wait_mode("protected");
    wait_more(&plan.world, 100);
    // A disk that stalls may cost the protection for a moment: then there is nobody to hand over to, and it is asked again.
    wait_until("it is handed over", || {
        let asked = status::handover(&primary.dir, Duration::from_secs(10));
        let live = backup.status().is_some_and(|s| s.role == "primary");
        (asked.is_ok() || live).then_some(())
    });
    wait_role(&backup, "primary");
    assert!(primary.end().unwrap().contains("HandedOver"));
    wait_more(&plan.world, 100);
    // What handed over joins again, where it was.
    let again = durable(Start::Join, "a").spawn();
    backup.wait_mode("protected");
    backup.kill();
    wait_role(&again, "primary");
    wait_more(&plan.world, 100);
    let dir = again.dir.clone();
    again.kill();
    check_dir(&dir);
    assert!(check_released(&plan.world, &dir) > 500);
}

/// A directory of the pair taken out of it: no register decides about it any more.
fn taken_out(dir: &Path, name: &str) -> PathBuf {
    let copy = dir.with_file_name(name);
    std::fs::create_dir(&copy).unwrap();
    for item in std::fs::read_dir(dir).unwrap() {
        let path = item.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
        }
    }
    let meta = Meta { life: None, highest: None, intent: None, ..Meta::load(&copy).unwrap().unwrap() };
    meta.store(&copy).unwrap();
    copy
}

#[test]
fn alone_it_replays_and_resumes() {
    let home = tempfile::tempdir().unwrap();
    let (primary, backup, plan) = pair(home.path());
    let dir = backup.dir.clone();
    primary.kill();
    wait_role(&backup, "primary");
    wait_more(&plan.world, 200);
    backup.kill();
    let begins = check_dir(&dir);
    let lines = heard(&plan.world).len() as u64;
    let counter = || plan.counter();

    let all = alone::replay(&dir, counter(), None, true).unwrap();
    assert!(all.position >= Position(lines) && all.digest.is_some(), "{all:?}");
    assert_eq!(all.entries + begins, stat(&dir, &Plain).unwrap().next.0);
    let until = Position(all.position.0 - 50);
    let some = alone::replay(&dir, counter(), Some(until), true).unwrap();
    assert_eq!(some.position, until);
    // A position before the beginning is passed already.
    let none = alone::replay(&dir, counter(), Some(Position(1)), true).unwrap();
    assert_eq!((none.entries, none.steps), (0, 0), "{none:?}");
    let other = Counter::new(None, u64::MAX, 20, Duration::ZERO);
    let refused = alone::replay(&dir, other, None, true).unwrap_err().to_string();
    assert!(refused.contains("loads no state"), "{refused}");

    let copy = taken_out(&dir, "copy");
    let end =
        Plan { alone: true, dir: copy.clone(), steps_max: all.position.0 + 500, start: Start::Resume, ..plan.clone() };
    assert_eq!(end.spawn().end().unwrap(), STATUS.to_string());
    assert_eq!(check_dir(&copy), begins);
    assert_eq!(verify(&copy).unwrap().exit_status(), EXIT_FINE);
    assert_eq!(check_released(&plan.world, &copy) as u64, all.position.0 + 500);

    // With nothing but the state in it, too.
    let copy = taken_out(&copy, "state alone");
    for segment in std::fs::read_dir(&copy).unwrap().map(|f| f.unwrap().path()) {
        if segment.extension().is_some_and(|e| e == "seg") {
            std::fs::remove_file(segment).unwrap();
        }
    }
    assert_eq!(check_dir(&copy), begins);
    let world = home.path().join("another world");
    let replayed = alone::replay(&copy, plan.counter(), None, true).unwrap();
    let end = Plan { world, dir: copy.clone(), steps_max: replayed.position.0 + 100, ..end };
    assert_eq!(end.spawn().end().unwrap(), STATUS.to_string());

    // A state with a flipped bit is not loaded.
    let path = snapshot_path(&copy, gapless_log::Seq(begins));
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    let refused = alone::replay(&copy, plan.counter(), None, true).unwrap_err().to_string();
    assert!(refused.contains(".snap") && refused.contains("checksum"), "{refused}");
    let refused = alone::resume(&copy, plan.counter(), false, Options::default()).unwrap_err().to_string();
    assert!(refused.contains(".snap"), "{refused}");
}

/// Whoever comes back empty or far behind is sent the state.
#[test]
fn random_kills_with_states_contradict_nothing() {
    let plan = |plan| Plan { ballast: Some(1 << 20), state_entries_min: 100, ..plan };
    random_kills(plan);
}
