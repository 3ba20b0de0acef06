//! Recovery: both nodes are killed and start again on long logs, and every shard must answer.

use crate::counters::{self, BYTES};
use crate::load::{self, Load};
use crate::support::tasks::nodes::{Nodes, Setup};
use std::path::Path;
use std::time::{Duration, Instant};

/// What one recovery was like.
pub struct Recovery {
    /// Bytes of one node's logs, none of which a state stands for.
    pub log: u64,
    /// Until every shard has answered.
    pub took: Duration,
}

/// Writes so much log, kills both nodes, and starts them again.
pub fn after(log_bytes: u64, setup: Setup) -> Recovery {
    let mut nodes = Nodes::start(Setup { log_bytes: u64::MAX, ..setup });
    nodes.await_protected();
    while logs(nodes.dir(0)) < log_bytes {
        let load = Load { window: 64, warm: Duration::ZERO, time: Duration::from_secs(1) };
        let connections = counters::connections(&nodes, usize::from(nodes.setup.shards), 1024, BYTES);
        // One that breaks has written too.
        drop(load::run(connections, &nodes.pids(), load));
        nodes.await_protected();
    }
    let log = logs(nodes.dir(0));
    (0..2).for_each(|node| drop(nodes.kill(node)));
    let began = Instant::now();
    (0..2).for_each(|node| nodes.restart(node));
    drop(counters::connections(&nodes, usize::from(nodes.setup.shards), 1, BYTES));
    Recovery { log, took: began.elapsed() }
}

/// Bytes of the segments below a node's directory.
fn logs(dir: &Path) -> u64 {
    let shards = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let files = shards.filter_map(|shard| std::fs::read_dir(shard.path()).ok()).flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}
