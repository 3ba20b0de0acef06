//! Random kills of both nodes, again and again.

use super::dice;
use super::look::{begins_at, check_dir, check_released, heard_lines, wait_until};
use super::node::Proc;
use super::plan::Plan;
use gapless_pair::Start;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Two directories, each always started again, killed and stalled at random; `of` changes the plan of each. For `GAPLESS_TEST_SECONDS` (6), by
/// `GAPLESS_TEST_SEED`.
pub fn random_kills(of: impl Fn(Plan) -> Plan) {
    let seconds: u64 = std::env::var("GAPLESS_TEST_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(6);
    let seed = std::env::var("GAPLESS_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1u64);
    let home = tempfile::tempdir().unwrap();
    let mut roll = dice(seed);
    let plan = |i: usize, start| of(Plan::new(start, home.path(), ["left", "right"][i]));
    let mut nodes: Vec<Option<Proc>> = vec![Some(plan(0, Start::Fresh).spawn()), None];
    let world = plan(0, Start::Auto).world;
    wait_until("it runs", || (heard_lines(&world) > 0).then_some(()));
    nodes[1] = Some(plan(1, Start::Auto).spawn());
    let (started, mut kills, mut begins) = (Instant::now(), 0, BTreeSet::new());
    let revive = |nodes: &mut Vec<Option<Proc>>| {
        for (i, node) in nodes.iter_mut().enumerate() {
            if node.as_mut().is_none_or(Proc::has_ended) {
                *node = Some(plan(i, Start::Auto).spawn());
            }
        }
    };
    while started.elapsed().as_secs() < seconds {
        std::thread::sleep(Duration::from_millis(5 + roll(250)));
        let i = roll(2) as usize;
        match roll(8) {
            0 => {
                let node = nodes[i].as_ref().unwrap();
                node.stall();
                std::thread::sleep(Duration::from_millis(20 + roll(400)));
                node.go_on();
            }
            1 => nodes.iter_mut().for_each(|n| n.take().unwrap().kill()),
            _ => {
                kills += 1;
                nodes[i].take().unwrap().kill();
            }
        }
        for name in ["left", "right"] {
            begins.insert(begins_at(&home.path().join(name)));
        }
        revive(&mut nodes);
    }
    let before = heard_lines(&world);
    let survivor = wait_until("one is protected again", || {
        revive(&mut nodes);
        nodes.iter().position(|n| n.as_ref().is_some_and(|n| n.status().is_some_and(|s| s.mode == "protected")))
    });
    wait_until("it says more", || (heard_lines(&world) > before + 100).then_some(()));
    let dir = nodes[survivor].as_ref().unwrap().dir.clone();
    nodes.iter_mut().for_each(|n| n.take().unwrap().kill());
    for name in ["left", "right"] {
        check_dir(&home.path().join(name));
    }
    let released = check_released(&world, &dir);
    println!(
        "{kills} kills, logs that began at {} places; {released} outputs released, none contradicted",
        begins.len()
    );
}
