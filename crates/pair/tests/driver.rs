//! Nodes as threads of this process: the whole way from a fresh start to the end of the program.

mod common;

use common::*;
use gapless_pair::{Halt, Start};
use std::thread;

#[test]
fn a_protected_program_runs_to_its_end() {
    let home = tempfile::tempdir().unwrap();
    let backup = Plan { steps_max: 3000, ..Plan::new(Start::Join, home.path(), "b") };
    let node = backup.node();
    let primary = Plan {
        steps_max: 3000,
        peer: Some(node.address().into()),
        hold: true,
        ..Plan::new(Start::Fresh, home.path(), "a")
    };
    let b = thread::spawn(move || backup.run(node));
    let node = primary.node();
    let end = primary.run(node);
    assert_eq!(end.halt, Halt::Ended(STATUS));
    println!("{:?}", end.last);
    let end = b.join().unwrap();
    assert_eq!(end.halt, Halt::Ended(STATUS));
    println!("{:?}", end.last);
    assert_eq!(check_released(&primary.world, &primary.dir), 3000);
    assert_eq!(check_released(&primary.world, &home.path().join("b")), 3000);
}

#[test]
fn child_process() {
    common::child_process();
}

/// Kills the primary in mid-load again and again; each survivor gets a fresh backup. What was released is never contradicted.
#[test]
fn killed_primaries_lose_nothing() {
    let home = tempfile::tempdir().unwrap();
    let kills = 8;
    let plan = |i: usize| Plan::new(Start::Join, home.path(), &format!("n{i}"));
    let mut backup = plan(0).spawn();
    let first =
        Plan { peer: Some(backup.address.clone()), hold: true, ..Plan::new(Start::Fresh, home.path(), "first") };
    let mut primary = first.spawn();
    let mut takeover_ms = Vec::new();
    for i in 1..=kills {
        primary.wait_mode("protected");
        let before = heard_lines(&first.world);
        wait_until("it says more", || (heard_lines(&first.world) > before + 200 + 37 * i).then_some(()));
        primary.kill();
        let status =
            wait_until("the survivor is live", || backup.status().filter(|s| s.takeovers == 1 && s.role == "primary"));
        takeover_ms.push(status.last_takeover_ms.unwrap_or(f64::NAN));
        primary = backup;
        backup = plan(i).spawn();
    }
    println!("takeovers took {takeover_ms:.1?} ms");
    primary.wait_mode("protected");
    primary.kill();
    let survivor = backup.dir.clone();
    wait_until("the last survivor is live", || backup.status().filter(|s| s.role == "primary"));
    backup.kill();
    let released = check_released(&first.world, &survivor);
    println!("{released} outputs released, none contradicted");
    assert!(released > 200 * kills);
}
