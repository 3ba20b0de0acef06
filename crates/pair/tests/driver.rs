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

/// Where a node listens and where others are told to dial are two things: who puts something in between needs both.
#[test]
fn a_node_says_where_it_listens_whatever_it_advertises() {
    let home = tempfile::tempdir().unwrap();
    let plan = Plan { advertise: Some("elsewhere:1".into()), ..Plan::new(Start::Fresh, home.path(), "a") };
    let node = plan.spawn();
    assert!(node.address.starts_with("127.0.0.1:"), "{}", node.address);
    let status = node.wait_mode("solo");
    assert_eq!((status.address, status.owner.as_deref()), (node.address.clone(), Some("elsewhere:1")));
}

#[test]
fn child_process() {
    common::child_process();
}

#[test]
fn killed_primaries_lose_nothing() {
    kill_primaries(false);
}

#[test]
fn killed_primaries_that_attend_to_their_backups_lose_nothing() {
    kill_primaries(true);
}

/// Kills the primary in mid-load again and again; each survivor gets a fresh backup. What was released is never contradicted.
fn kill_primaries(attends: bool) {
    let home = tempfile::tempdir().unwrap();
    let kills = 8;
    let plan = |i: usize| Plan { attends, ..Plan::new(Start::Join, home.path(), &format!("n{i}")) };
    let mut backup = plan(0).spawn();
    let first = Plan { attends, hold: true, ..Plan::new(Start::Fresh, home.path(), "first") };
    let first = Plan { peer: Some(backup.address.clone()), ..first };
    let mut primary = first.spawn();
    let mut takeover_ms = Vec::new();
    for i in 1..=kills {
        primary.wait_mode("protected");
        let before = heard_lines(&first.world);
        wait_until("it says more", || (heard_lines(&first.world) > before + 200 + 37 * i).then_some(()));
        // On a machine that stalls it may have gone on alone meanwhile, and then nobody could take over.
        primary.wait_mode("protected");
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

/// Two directories, each always restarted by itself (as by an init system), killed and stalled at random moments, both at once included.
#[test]
fn random_kills_and_stalls_of_both_sides() {
    let seconds: u64 = std::env::var("GAPLESS_TEST_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(6);
    let home = tempfile::tempdir().unwrap();
    let mut seed = std::env::var("GAPLESS_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1u64);
    let mut roll = move |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    let plan = |i: usize, start| Plan { attends: i == 1, ..Plan::new(start, home.path(), ["left", "right"][i]) };
    let mut nodes: Vec<Option<Proc>> = vec![Some(plan(0, Start::Fresh).spawn()), None];
    let world = plan(0, Start::Auto).world;
    wait_until("it runs", || (heard_lines(&world) > 0).then_some(()));
    nodes[1] = Some(plan(1, Start::Auto).spawn());
    let started = std::time::Instant::now();
    let (mut kills, mut stalls, mut both) = (0, 0, 0);
    while started.elapsed().as_secs() < seconds {
        thread::sleep(std::time::Duration::from_millis(20 + roll(300)));
        let i = roll(2) as usize;
        match roll(8) {
            0 | 1 => {
                stalls += 1;
                let node = nodes[i].as_ref().unwrap();
                node.stall();
                thread::sleep(std::time::Duration::from_millis(20 + roll(400)));
                node.go_on();
            }
            2 => {
                both += 1;
                nodes.iter_mut().for_each(|n| n.take().unwrap().kill());
            }
            _ => {
                kills += 1;
                nodes[i].take().unwrap().kill();
            }
        }
        // Whoever has ended, by our hand or because it was deposed, is started again.
        for (i, node) in nodes.iter_mut().enumerate() {
            if node.as_mut().is_none_or(Proc::has_ended) {
                *node = Some(plan(i, Start::Auto).spawn());
            }
        }
    }
    let before = heard_lines(&world);
    let survivor = wait_until("one is protected again", || {
        for (i, node) in nodes.iter_mut().enumerate() {
            if node.as_mut().is_none_or(Proc::has_ended) {
                *node = Some(plan(i, Start::Auto).spawn());
            }
        }
        nodes.iter().position(|n| n.as_ref().is_some_and(|n| n.status().is_some_and(|s| s.mode == "protected")))
    });
    wait_until("it says more", || (heard_lines(&world) > before + 100).then_some(()));
    let dir = nodes[survivor].as_ref().unwrap().dir.clone();
    nodes.iter_mut().for_each(|n| n.take().unwrap().kill());
    let released = check_released(&world, &dir);
    println!("{kills} kills, {both} of both, {stalls} stalls; {released} outputs released, none contradicted");
}

/// One step, one frame, one round trip: what a program with one client pays. The figures are printed; only their sanity is asserted.
#[test]
fn commit_latency_is_measured() {
    let home = tempfile::tempdir().unwrap();
    let pace = |plan: Plan, burst, pause| Plan { burst, pause: std::time::Duration::from_micros(pause), ..plan };
    let loads =
        [("one step a millisecond", 1, false), ("the same, attending", 1, true), ("bursts of 1000", 1000, false)];
    for (name, burst, attends) in loads {
        let pause = 1000;
        let home = home.path().join(format!("{burst}-{attends}"));
        std::fs::create_dir(&home).unwrap();
        let backup = pace(Plan::new(Start::Join, &home, "b"), burst, pause).spawn();
        let primary = Plan { peer: Some(backup.address.clone()), hold: true, ..Plan::new(Start::Fresh, &home, "a") };
        let primary = pace(Plan { attends, ..primary }, burst, pause);
        let node = primary.spawn();
        node.wait_mode("protected");
        let before = heard_lines(&primary.world);
        let started = std::time::Instant::now();
        thread::sleep(std::time::Duration::from_millis(1500));
        let rate = (heard_lines(&primary.world) - before) as f64 / started.elapsed().as_secs_f64();
        let status = node.status().unwrap();
        let l = status.commit_latency;
        println!("{name}: {rate:.0} steps/s, commit p50 {:.0} p99 {:.0} max {:.0} us", l.p50_us, l.p99_us, l.max_us);
        assert!(l.count > 50 && l.p50_us > 1.0 && l.p50_us <= l.p99_us && l.p99_us <= l.max_us, "{l:?}");
    }
}

/// A pair with nothing to do sleeps: heartbeats and ticks are all that it costs.
#[test]
fn an_idle_pair_sleeps() {
    for attends in [false, true] {
        sleep_idle(attends);
    }
}

fn sleep_idle(attends: bool) {
    let home = tempfile::tempdir().unwrap();
    let backup = Plan::new(Start::Join, home.path(), "b").spawn();
    let primary = Plan {
        peer: Some(backup.address.clone()),
        hold: true,
        burst: 1,
        attends,
        pause: std::time::Duration::from_millis(500),
        ..Plan::new(Start::Fresh, home.path(), "a")
    };
    let primary = primary.spawn();
    primary.wait_mode("protected");
    let cpu_ms = || [primary.cpu_ms(), backup.cpu_ms()];
    let before = cpu_ms();
    thread::sleep(std::time::Duration::from_secs(2));
    let used: Vec<u64> = cpu_ms().iter().zip(before).map(|(after, before)| after - before).collect();
    println!("CPU of 2000 ms: primary {} ms, backup {} ms", used[0], used[1]);
    assert!(used.iter().all(|&ms| ms < 300), "{used:?}");
}
