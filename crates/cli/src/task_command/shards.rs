//! What is asked of all shards of a node together: status, handover. A person names the node's directory, and each shard has its own below that.

use super::args::StatusArgs;
use super::site;
use crate::args::DirArgs;
use crate::out::{self, talk};
use crate::{Outcome, pair, text};
use gapless::task::{Shard, Site, shard_dir};
use gapless_pair::status::{self as control, Snapshot};
use serde::Serialize;

#[derive(Serialize)]
struct ShardStatus {
    shard: u16,
    #[serde(flatten)]
    now: Option<Snapshot>,
    error: Option<String>,
}

/// `gapless task status`.
pub fn status(args: &StatusArgs) -> Outcome {
    let shards = site(&args.dir)?.shards;
    // The shards of other pairs are not here.
    let own = (0..shards).filter(|&shard| shard_dir(&args.dir, Shard(shard)).exists());
    let ask = |shard| match control::query(&shard_dir(&args.dir, Shard(shard))) {
        Ok(now) => ShardStatus { shard, now: Some(now), error: None },
        Err(e) => ShardStatus { shard, now: None, error: Some(text(e)) },
    };
    let all: Vec<ShardStatus> = own.map(ask).collect();
    if all.iter().all(|status| status.now.is_none()) {
        return Err(format!("no node runs on {}; start it with `gapless task`", args.dir.display()));
    }
    if args.json {
        for status in &all {
            out::data(&format!("{}\n", serde_json::to_string(status).map_err(text)?))?;
        }
        return Ok(0);
    }
    let mut lines = format!(
        "{:>5}  {:<8} {:<10} {:>5} {:>10} {:>8} {:>8}  {}\n",
        "shard", "role", "mode", "term", "position", "lag", "p50", "because"
    );
    for status in &all {
        lines += &match &status.now {
            Some(now) => format!(
                "{:>5}  {:<8} {:<10} {:>5} {:>10} {:>8} {:>5.0} us  {}\n",
                status.shard,
                now.role,
                if now.held { "holding" } else { &now.mode },
                now.term,
                now.position,
                now.lag_entries,
                now.commit_latency.p50_us,
                now.why
            ),
            None => format!("{:>5}  {}\n", status.shard, status.error.as_deref().unwrap_or("no answer")),
        };
    }
    let count = |fits: fn(&Snapshot) -> bool| all.iter().filter_map(|s| s.now.as_ref()).filter(|now| fits(now)).count();
    lines += &format!(
        "{shards} shards: {} live here ({} protected), {} in backup ({} in sync)\n",
        count(|now| now.role == "primary"),
        count(|now| now.mode == "protected"),
        count(|now| now.role == "backup"),
        count(|now| now.role == "backup" && now.in_sync),
    );
    out::data(&lines)?;
    Ok(0)
}

/// `gapless handover`: of one log, or of all shards that are live on a node.
pub fn handover(args: &DirArgs) -> Outcome {
    let Some(site) = Site::of(&args.dir).map_err(text)? else { return pair::handover(&args.dir) };
    let (mut count, mut failed) = (0, Vec::new());
    for shard in (0..site.shards).map(Shard) {
        let dir = shard_dir(&args.dir, shard);
        // The shards of other pairs are not here.
        if !dir.exists() {
            continue;
        }
        let live = control::query(&dir).map(|now| now.role == "primary");
        match live
            .and_then(|live| if live { control::handover(&dir, pair::HANDOVER_MAX).map(|()| true) } else { Ok(false) })
        {
            Ok(handed_over) => count += u32::from(handed_over),
            Err(e) => failed.push(format!("shard {shard}: {e}")),
        }
    }
    if !failed.is_empty() {
        return Err(format!("{count} shards handed over; not these: {}", failed.join("; ")));
    }
    talk!("gapless: {count} shards handed over");
    Ok(0)
}
