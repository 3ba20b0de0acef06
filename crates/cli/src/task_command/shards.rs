//! What a person asks of a log directory, where that may be a node's of tasks, with a log for each shard below it: status, handover, stop.

use super::site;
use crate::args::{DirArgs, StatusArgs};
use crate::out::{self, talk};
use crate::{Outcome, pair, text};
use gapless::task::{Shard, Site, shard_dir};
use gapless_pair::status::{self as control, Snapshot};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct ShardStatus {
    shard: u16,
    #[serde(flatten)]
    now: Option<Snapshot>,
    error: Option<String>,
}

/// `gapless status`: of one log, or of all shards of a node.
pub fn status(args: &StatusArgs) -> Outcome {
    match Site::of(&args.dir).map_err(text)? {
        Some(_) => shards(&args.dir, args.json),
        None => pair::status(args),
    }
}

/// `gapless task status`.
pub fn shards(dir: &Path, as_json: bool) -> Outcome {
    let site = site(dir)?;
    let shards = site.shards;
    let ask = |shard: Shard| match control::query(&shard_dir(dir, shard)) {
        Ok(now) => ShardStatus { shard: shard.0, now: Some(now), error: None },
        Err(e) => ShardStatus { shard: shard.0, now: None, error: Some(text(e)) },
    };
    let all: Vec<ShardStatus> = site.shards_in(dir).map(ask).collect();
    if all.iter().all(|status| status.now.is_none()) {
        return Err(nobody(dir));
    }
    if as_json {
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
    for shard in site.shards_in(&args.dir) {
        let dir = shard_dir(&args.dir, shard);
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

/// `gapless stop`: of one log, or of a node, which ends when any of its shards is stopped.
pub fn stop(args: &DirArgs) -> Outcome {
    let Some(site) = Site::of(&args.dir).map_err(text)? else { return pair::stop(args) };
    // Some may be between two lives; the others take them along.
    match site.shards_in(&args.dir).filter(|&shard| control::stop(&shard_dir(&args.dir, shard)).is_ok()).count() {
        0 => Err(nobody(&args.dir)),
        _ => Ok(0),
    }
}

fn nobody(dir: &Path) -> String {
    format!("no node runs on {}; start it with `gapless task`", dir.display())
}
