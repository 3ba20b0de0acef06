//! Two processes and every way in which one of them, the network, the arbiter or a disk can fail. Whatever happens, nothing that was released
//! is contradicted, and where one live side and the arbiter remain, outputs go on.

mod common;

use common::*;
use gapless_pair::witness::Witness;
use gapless_pair::{Commit, Start, status};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn child_process() {
    common::child_process();
}

/// A protected pair: the primary dials the backup, and the register gives out the primary's own address.
fn protected(home: &Path, adjust: impl Fn(&mut Plan)) -> (Proc, Proc, Plan) {
    let (backup, backup_plan) = standby(home, "b", &adjust);
    let mut plan = Plan { peer: Some(backup.address.clone()), hold: true, ..Plan::new(Start::Fresh, home, "a") };
    adjust(&mut plan);
    let primary = plan.spawn();
    primary.wait_mode("protected");
    assert!(backup_plan.dir.exists());
    (primary, backup, plan)
}

fn standby(home: &Path, name: &str, adjust: &impl Fn(&mut Plan)) -> (Proc, Plan) {
    let mut plan = Plan::new(Start::Join, home, name);
    adjust(&mut plan);
    (plan.spawn(), plan)
}

fn wait_more(world: &Path, lines: usize) {
    let before = heard_lines(world);
    wait_until("more is released", || (heard_lines(world) > before + lines).then_some(()));
}

fn wait_role(node: &Proc, role: &str) -> status::Snapshot {
    wait_until(role, || node.status().filter(|s| s.role == role))
}

/// Kills whoever is left and compares everything released with the survivor's log.
fn check(plan: &Plan, survivor: Proc) {
    let dir = survivor.dir.clone();
    survivor.kill();
    assert!(check_released(&plan.world, &dir) > 0);
}

#[test]
fn a_stalled_backup_costs_protection_and_comes_back_where_it_was() {
    let home = tempfile::tempdir().unwrap();
    let (primary, backup, plan) = protected(home.path(), |_| {});
    let life = wait_role(&backup, "backup").life;
    backup.stall();
    primary.wait_mode("solo");
    wait_more(&plan.world, 100);
    backup.go_on();
    let after = primary.wait_mode("protected");
    assert_eq!(after.false_alarms, 1);
    assert!(after.unprotected_ms > 0.0);
    let back = wait_until("it acknowledges again", || backup.status().filter(|s| s.mode == "acking"));
    assert_eq!(back.life, life, "the same life goes on: only what it lacked was sent");
    primary.kill();
    wait_role(&backup, "primary");
    wait_more(&plan.world, 100);
    check(&plan, backup);
}

#[test]
fn a_stalled_primary_is_deposed_and_contradicts_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (primary, backup, plan) = protected(home.path(), |_| {});
    for _ in 0..3 {
        // Short stalls harm nobody.
        primary.stall();
        std::thread::sleep(Duration::from_millis(40));
        primary.go_on();
    }
    wait_more(&plan.world, 50);
    primary.stall();
    wait_role(&backup, "primary");
    wait_more(&plan.world, 100);
    primary.go_on();
    let end = primary.end().unwrap();
    assert!(end.contains("Deposed"), "{end}");
    wait_more(&plan.world, 100);
    check(&plan, backup);
}

/// `forth` and `back`: whether what the primary sends, and what it is sent, is lost.
fn partition(forth: bool, back: bool) {
    let home = tempfile::tempdir().unwrap();
    let proxy = Proxy::start();
    let (backup, _) = standby(home.path(), "b", &|_: &mut Plan| {});
    proxy.set_target(&backup.address);
    let primary_proxy = Proxy::start();
    let plan = Plan {
        peer: Some(proxy.address.clone()),
        advertise: Some(primary_proxy.address.clone()),
        hold: true,
        ..Plan::new(Start::Fresh, home.path(), "a")
    };
    let primary = plan.spawn();
    primary_proxy.set_target(&primary.address);
    primary.wait_mode("protected");
    wait_more(&plan.world, 100);
    let dialled = || proxy.dials() + primary_proxy.dials();
    let before = dialled();
    proxy.cut(forth, back);
    primary_proxy.cut(back, forth);
    let cut_at = Instant::now();
    // One of the two goes on alone, and only one.
    let alone = wait_until("one goes on alone", || {
        let solo = |node: &Proc| node.status().is_some_and(|s| s.mode == "solo" && !s.asking);
        [&primary, &backup].into_iter().position(solo)
    });
    wait_more(&plan.world, 200);
    // A connection that leads nowhere is given up and dialled again, without haste: nobody needs more than a few.
    thread::sleep(Duration::from_secs(3).saturating_sub(cut_at.elapsed()));
    let (dials, lasted) = (dialled() - before, cut_at.elapsed());
    println!("{dials} dials in {lasted:?}, at most {} at a time", proxy.carried_most() + primary_proxy.carried_most());
    assert!(dials <= 4 + lasted.as_secs() as usize, "{dials} dials in {lasted:?}");
    proxy.cut(false, false);
    primary_proxy.cut(false, false);
    if alone == 0 {
        // The backup was not the one that the register names: it comes back.
        primary.wait_mode("protected");
        assert!(!backup.is_prepared(&plan), "what was prepared was given back");
        primary.kill();
        wait_role(&backup, "primary");
        assert!(backup.is_prepared(&plan));
    } else {
        let end = primary.end().unwrap();
        assert!(end.contains("Deposed"), "{end}");
    }
    wait_more(&plan.world, 100);
    check(&plan, backup);
}

#[test]
fn a_full_partition_leaves_one() {
    partition(true, true);
}

#[test]
fn a_backup_that_hears_nothing_takes_over_or_rejoins() {
    partition(true, false);
}

#[test]
fn a_primary_that_hears_nothing_goes_on_alone_or_is_deposed() {
    partition(false, true);
}

#[test]
fn both_killed_the_owners_directory_resumes() {
    let home = tempfile::tempdir().unwrap();
    let (primary, backup, plan) = protected(home.path(), |_| {});
    wait_more(&plan.world, 300);
    backup.kill();
    primary.kill();
    let other = Plan { start: Start::Resume, ..Plan::new(Start::Resume, home.path(), "b") };
    let end = other.spawn().end().unwrap();
    assert!(end.contains("Refused"), "only the owner's directory goes on: {end}");
    let again = Plan { start: Start::Fresh, ..plan.clone() };
    let end = again.spawn().end().unwrap();
    assert!(end.contains("Refused") && end.contains("gapless resume"), "{end}");
    let resumed = Plan { start: Start::Resume, peer: None, ..plan.clone() }.spawn();
    wait_role(&resumed, "primary");
    wait_more(&plan.world, 300);
    // A fresh backup joins it, the resumed one dies, and so on.
    let (next, _) = standby(home.path(), "c", &|_: &mut Plan| {});
    resumed.wait_mode("protected");
    resumed.kill();
    wait_role(&next, "primary");
    wait_more(&plan.world, 100);
    check(&plan, next);
}

#[test]
fn the_same_backup_directory_joins_again_after_a_crash() {
    let home = tempfile::tempdir().unwrap();
    let (primary, backup, plan) = protected(home.path(), |_| {});
    wait_more(&plan.world, 300);
    backup.kill();
    primary.wait_mode("solo");
    wait_more(&plan.world, 300);
    let (backup, _) = standby(home.path(), "b", &|_: &mut Plan| {});
    primary.wait_mode("protected");
    primary.kill();
    wait_role(&backup, "primary");
    wait_more(&plan.world, 100);
    // The old primary's directory may join too: what it holds beyond is dropped.
    let (old, _) = standby(home.path(), "a", &|_: &mut Plan| {});
    backup.wait_mode("protected");
    backup.kill();
    wait_role(&old, "primary");
    wait_more(&plan.world, 100);
    check(&plan, old);
}

#[test]
fn a_planned_takeover_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (primary, backup, plan) = protected(home.path(), |_| {});
    wait_more(&plan.world, 300);
    let early = status::handover(&backup.dir, Duration::from_secs(1)).unwrap_err().to_string();
    assert!(early.contains("needs a primary"), "{early}");
    let started = Instant::now();
    status::handover(&primary.dir, Duration::from_secs(10)).unwrap();
    let live = wait_role(&backup, "primary");
    println!("planned takeover took {:?}, {live:?}", started.elapsed());
    let end = primary.end().unwrap();
    assert!(end.contains("HandedOver"), "{end}");
    wait_more(&plan.world, 100);
    check(&plan, backup);
}

#[test]
fn a_stopped_backup_says_goodbye() {
    let home = tempfile::tempdir().unwrap();
    let (primary, backup, plan) = protected(home.path(), |_| {});
    status::stop(&backup.dir).unwrap();
    let end = backup.end().unwrap();
    assert!(end.contains("Stopped"), "{end}");
    primary.wait_mode("solo");
    wait_more(&plan.world, 100);
    check(&plan, primary);
}

#[test]
fn without_the_arbiter_nobody_changes_anything_and_afterwards_it_heals() {
    let home = tempfile::tempdir().unwrap();
    let registers = home.path().join("witness");
    let witness = Witness::start("127.0.0.1:0", &registers).unwrap();
    let address = witness.address().to_string();
    let arbiter = format!("{address}/p");
    let adjust = |plan: &mut Plan| plan.arbiter.clone_from(&arbiter);
    let (primary, backup, plan) = protected(home.path(), adjust);
    drop(witness);
    wait_more(&plan.world, 300);
    primary.kill();
    wait_until("the backup notices", || backup.status().filter(|s| s.mode == "silent"));
    let before = heard_lines(&plan.world);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(heard_lines(&plan.world), before, "nobody may go live without the arbiter");
    let _witness = Witness::start(&address, &registers).unwrap();
    wait_role(&backup, "primary");
    wait_more(&plan.world, 100);
    check(&plan, backup);
}

#[test]
fn without_the_arbiter_a_primary_that_lost_its_backup_releases_nothing() {
    let home = tempfile::tempdir().unwrap();
    let registers = home.path().join("witness");
    let witness = Witness::start("127.0.0.1:0", &registers).unwrap();
    let address = witness.address().to_string();
    let arbiter = format!("{address}/p");
    let (primary, backup, plan) = protected(home.path(), |plan| plan.arbiter.clone_from(&arbiter));
    drop(witness);
    backup.kill();
    wait_until("it asks", || primary.status().filter(|s| s.asking));
    std::thread::sleep(Duration::from_millis(100));
    let before = heard_lines(&plan.world);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(heard_lines(&plan.world), before, "nothing leaves while the register names a backup");
    let _witness = Witness::start(&address, &registers).unwrap();
    primary.wait_mode("solo");
    wait_more(&plan.world, 100);
    check(&plan, primary);
}

#[test]
fn a_full_disk_of_the_primary_hands_over_to_the_backup() {
    let home = tempfile::tempdir().unwrap();
    let small = |plan: &mut Plan| {
        if plan.start == Start::Fresh {
            plan.file_bytes_max = 300 << 10;
        }
    };
    let (primary, backup, plan) = protected(home.path(), small);
    let end = primary.end().unwrap();
    assert!(end.contains("Failed") && end.contains("File too large"), "{end}");
    wait_role(&backup, "primary");
    wait_more(&plan.world, 100);
    check(&plan, backup);
}

#[test]
fn a_full_disk_of_the_backup_leaves_the_primary_alone() {
    let home = tempfile::tempdir().unwrap();
    let small = |plan: &mut Plan| {
        if plan.start == Start::Join {
            plan.file_bytes_max = 300 << 10;
        }
    };
    let (primary, backup, plan) = protected(home.path(), small);
    let end = backup.end().unwrap();
    assert!(end.contains("Failed") && end.contains("File too large"), "{end}");
    primary.wait_mode("solo");
    wait_more(&plan.world, 100);
    check(&plan, primary);
}

#[test]
fn a_backup_whose_directory_is_removed_protects_nobody_and_says_so() {
    let home = tempfile::tempdir().unwrap();
    let (primary, backup, plan) = protected(home.path(), |_| {});
    std::fs::remove_dir_all(&backup.dir).unwrap();
    let end = backup.end().unwrap();
    assert!(end.contains("was removed while it was in use"), "{end}");
    primary.wait_mode("solo");
    wait_more(&plan.world, 100);
    check(&plan, primary);
}

#[test]
fn level_durable_holds_through_kills() {
    let home = tempfile::tempdir().unwrap();
    let durable = |plan: &mut Plan| plan.commit = Commit::Durable;
    let (primary, backup, plan) = protected(home.path(), durable);
    wait_more(&plan.world, 300);
    println!("{:?}", primary.status().unwrap().commit_latency);
    primary.kill();
    wait_role(&backup, "primary");
    wait_more(&plan.world, 100);
    check(&plan, backup);
}

#[test]
fn strangers_on_the_pairs_port_disturb_nobody() {
    use std::io::Write;
    let home = tempfile::tempdir().unwrap();
    let (primary, backup, plan) = protected(home.path(), |_| {});
    let mut seed = 99u64;
    for round in 0..200usize {
        let mut bytes: Vec<u8> = if round % 2 == 0 { b"GLP1".to_vec() } else { b"GET / HTTP/1.1\r\n\r\n".to_vec() };
        for _ in 0..round {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes.push((seed >> 56) as u8);
        }
        for address in [&primary.address, &backup.address] {
            if let Ok(mut socket) = TcpStream::connect(address) {
                let _ = socket.write_all(&bytes);
            }
        }
    }
    wait_more(&plan.world, 100);
    let status = primary.wait_mode("protected");
    assert!(status.refused_connections > 50, "{status:?}");
    check(&plan, primary);
}

#[test]
fn a_backup_that_diverges_never_goes_live() {
    let home = tempfile::tempdir().unwrap();
    let flawed = |plan: &mut Plan| {
        if plan.start == Start::Join {
            plan.flaw = Flaw::Diverges;
        }
    };
    let (primary, backup, plan) = protected(home.path(), flawed);
    std::fs::write(home.path().join("trigger"), "").unwrap();
    let end = backup.end().unwrap();
    assert!(end.contains("Diverged") && end.contains("outputs said"), "{end}");
    let status = primary.wait_mode("solo");
    assert!(status.unprotected_ms > 0.0);
    wait_more(&plan.world, 100);
    check(&plan, primary);
}

/// The backup executes several times slower than the primary runs: it catches up all the same, and stays close, so a takeover stays short.
#[test]
fn a_slow_backup_slows_the_primary_down_and_lag_stays_bounded() {
    let home = tempfile::tempdir().unwrap();
    let slow = |plan: &mut Plan| {
        plan.lag_entries_max = 1000;
        if plan.start == Start::Join {
            plan.flaw = Flaw::Slow(100);
        }
    };
    let solo = Plan { lag_entries_max: 1000, ..Plan::new(Start::Fresh, home.path(), "a") };
    let primary = solo.spawn();
    wait_until("the log is long", || (heard_lines(&solo.world) > 10_000).then_some(()));
    let (backup, _) = standby(home.path(), "b", &slow);
    primary.wait_mode("protected");
    let mut lags = Vec::new();
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(10));
        let status = primary.status().unwrap();
        assert_eq!(status.mode, "protected");
        lags.push(status.lag_ms as u64);
    }
    lags.sort_unstable();
    println!("lag: median {} ms, most {} ms", lags[50], lags[99]);
    assert!(lags[50] > 0 && lags[50] < 400, "{lags:?}");
    primary.kill();
    let live = wait_until("it is live", || backup.status().filter(|s| s.last_takeover_ms.is_some()));
    println!("took over from behind in {:?} ms", live.last_takeover_ms);
    wait_more(&solo.world, 100);
    check(&solo, backup);
}

#[test]
fn a_takeover_that_cannot_be_prepared_is_tried_again() {
    let home = tempfile::tempdir().unwrap();
    let busy = |plan: &mut Plan| {
        if plan.start == Start::Join {
            plan.flaw = Flaw::Unprepared(3);
        }
    };
    let (primary, backup, plan) = protected(home.path(), busy);
    wait_more(&plan.world, 100);
    primary.kill();
    wait_role(&backup, "primary");
    wait_more(&plan.world, 100);
    check(&plan, backup);
}

/// A mistake of this program on one side: that side dies of it, connections and all, and the other takes over.
#[test]
fn a_replica_that_panics_ends_its_side() {
    let home = tempfile::tempdir().unwrap();
    let flawed = |plan: &mut Plan| {
        if plan.start == Start::Fresh {
            plan.flaw = Flaw::Panics;
        }
    };
    let (mut primary, backup, plan) = protected(home.path(), flawed);
    std::fs::write(home.path().join("trigger"), "").unwrap();
    wait_until("the process ends", || primary.has_ended().then_some(()));
    wait_role(&backup, "primary");
    wait_more(&plan.world, 100);
    check(&plan, backup);
}
