//! One machine alone: record, replay, resume; killed in mid-load and on a full disk.

mod common;

use common::*;
use gapless_log::{CommitLevel, Meta, Options, Position};
use gapless_pair::driver::alone;
use std::time::Duration;

fn counter(world: &std::path::Path, steps_max: u64) -> Counter {
    Counter::new(Some(world), steps_max, 50, Duration::from_micros(200))
}

#[test]
fn child_process() {
    common::child_process();
}

#[test]
fn a_recording_replays_to_the_same_end() {
    let home = tempfile::tempdir().unwrap();
    let (dir, world) = (home.path().join("log"), home.path().join("world"));
    for commit in [CommitLevel::Received, CommitLevel::Durable] {
        let _ = (std::fs::remove_dir_all(&dir), std::fs::remove_file(&world));
        let options = Options { digest_every: Duration::from_millis(20), ..Options::default() };
        assert_eq!(alone::record(&dir, counter(&world, 5000), commit, options).unwrap(), STATUS);
        assert_eq!(check_released(&world, &dir), 5000);
        let whole = alone::replay(&dir, counter(&world, 5000), None, true).unwrap();
        assert_eq!((whole.ended, whole.position), (Some(STATUS), Position(5000)));
        assert!(whole.digests > 0, "{whole:?}");
        let some = alone::replay(&dir, counter(&world, 5000), Some(Position(777)), true).unwrap();
        assert_eq!((some.ended, some.position), (None, Position(777)));
        assert!(some.digest.is_some());
        let again = alone::record(&dir, counter(&world, 5000), commit, Options::default()).unwrap_err().to_string();
        assert!(again.contains("gapless resume"), "{again}");
        // Resuming what has ended says how it ended.
        assert_eq!(alone::resume(&dir, counter(&world, 5000), false, Options::default()).unwrap(), STATUS);
    }
}

/// Rule R: after a reboot the page cache is gone, so at level received the log may end before what was released.
#[test]
fn a_reboot_is_noticed_at_level_received() {
    for (commit, refused) in [(CommitLevel::Received, true), (CommitLevel::Durable, false)] {
        let home = tempfile::tempdir().unwrap();
        let (dir, world) = (home.path().join("log"), home.path().join("world"));
        alone::record(&dir, counter(&world, 100), commit, Options::default()).unwrap();
        let mut meta = Meta::load(&dir).unwrap().unwrap();
        meta.boot ^= 1;
        meta.store(&dir).unwrap();
        let resumed = alone::resume(&dir, counter(&world, 100), false, Options::default());
        assert_eq!(resumed.is_err(), refused, "{resumed:?}");
        if let Err(e) = resumed {
            assert!(e.to_string().contains("--accept-loss"), "{e}");
        }
        assert_eq!(alone::resume(&dir, counter(&world, 100), true, Options::default()).unwrap(), STATUS);
    }
}

#[test]
fn a_digest_that_differs_is_found() {
    let home = tempfile::tempdir().unwrap();
    let (dir, world) = (home.path().join("log"), home.path().join("world"));
    let options = Options { digest_every: Duration::from_millis(5), ..Options::default() };
    alone::record(&dir, counter(&world, 5000), CommitLevel::Received, options).unwrap();
    std::fs::write(home.path().join("trigger"), "").unwrap();
    let error = alone::replay(&dir, counter(&world, 5000).flawed(Flaw::Diverges), None, true).unwrap_err();
    assert!(error.to_string().starts_with("diverged at position"), "{error}");
}

/// Killed in mid-load, resumed, killed, resumed; then it comes to its end.
#[test]
fn a_killed_recording_resumes() {
    let home = tempfile::tempdir().unwrap();
    let plan = Plan { alone: true, burst: 50, ..Plan::new(gapless_pair::Start::Fresh, home.path(), "log") };
    for round in 0..6usize {
        let start = if round == 0 { gapless_pair::Start::Fresh } else { gapless_pair::Start::Resume };
        let before = heard_lines(&plan.world);
        let node = Plan { start, ..plan.clone() }.spawn();
        wait_until("it says more", || (heard_lines(&plan.world) > before + 150 * (round + 1)).then_some(()));
        node.kill();
        assert!(check_released(&plan.world, &plan.dir) > before);
    }
    let end = Plan { start: gapless_pair::Start::Resume, steps_max: 1, ..plan.clone() }.spawn().end().unwrap();
    assert_eq!(end, format!("{STATUS}"));
    check_released(&plan.world, &plan.dir);
}

#[test]
fn a_full_disk_ends_a_recording_clearly_and_leaves_a_whole_log() {
    let home = tempfile::tempdir().unwrap();
    let plan =
        Plan { alone: true, file_bytes_max: 200 << 10, ..Plan::new(gapless_pair::Start::Fresh, home.path(), "log") };
    let end = plan.spawn().end().unwrap();
    assert!(end.contains("appending to") && end.contains("File too large"), "{end}");
    assert!(check_released(&plan.world, &plan.dir) > 1000);
}
