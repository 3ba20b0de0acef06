//! What a node leaves behind in its process. One test alone in its binary: it looks at every thread there is.

mod common;

use common::*;
use gapless_pair::{Halt, Start};
use std::time::Duration;

fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).filter(|name| name.starts_with("pair-")).collect()
}

/// The directory is the next life's as soon as a life is over: nobody may still write into it. Who may hang (arbiter, dialling) ends later.
#[test]
fn a_node_that_has_ended_leaves_no_thread() {
    for round in 0..20 {
        let home = tempfile::tempdir().unwrap();
        let plan = Plan {
            steps_max: 50 + round,
            peer: Some("127.0.0.1:1".into()),
            ..Plan::new(Start::Fresh, home.path(), "a")
        };
        let end = plan.run(plan.node());
        assert_eq!(end.halt, Halt::Ended(STATUS));
        let left: Vec<String> = threads().into_iter().filter(|n| n != "pair-arbiter" && n != "pair-dial").collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(check_released(&plan.world, &plan.dir) as u64, plan.steps_max);
    }
    std::thread::sleep(Duration::from_millis(100));
    wait_until("the others are gone", || threads().is_empty().then_some(()));
}
