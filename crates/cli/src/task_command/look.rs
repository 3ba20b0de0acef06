//! `gapless task list`, `dead-letters` and `sessions`: what a service has, page by page, shard by shard. All that they show is committed.

use super::args::LookArgs;
use super::{client, json};
use crate::{Outcome, out};
use gapless::task::{Client, Look, Session, SessionShown, Shard, Shown};
use serde::Serialize;
use std::time::Duration;

/// Of a look, so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A line of `list --json`.
#[derive(Serialize)]
struct TaskLine<'a> {
    shard: u16,
    kind: &'a str,
    name: &'a str,
    broken: Option<&'a str>,
}

/// `gapless task list`.
pub fn list(args: &LookArgs) -> Outcome {
    let client = client(&args.nodes, args.dir.as_deref(), PATIENCE)?;
    for shard in 0..client.shards() {
        let mut after = None;
        loop {
            let Shown::Tasks { tasks, more } = look(&client, shard, &Look::Tasks { after })? else {
                return Err(other_answer());
            };
            for task in &tasks {
                let broken = task.broken.as_deref();
                let line = match args.json {
                    true => json(&TaskLine { shard, kind: &task.id.kind, name: &task.id.name, broken })?,
                    false => format!("{}{}", task.id, broken.map_or(String::new(), |why| format!("  broken: {why}"))),
                };
                out::data(&format!("{line}\n"))?;
            }
            after = tasks.last().map(|task| task.id.clone());
            if !more {
                break;
            }
        }
    }
    Ok(0)
}

/// A line of `dead-letters --json`.
#[derive(Serialize)]
struct LetterLine<'a> {
    shard: u16,
    time_us: u64,
    kind: &'a str,
    name: &'a str,
    message: &'a str,
    why: &'a str,
}

/// `gapless task dead-letters`.
pub fn dead_letters(args: &LookArgs) -> Outcome {
    let client = client(&args.nodes, args.dir.as_deref(), PATIENCE)?;
    for shard in 0..client.shards() {
        let mut skip = 0;
        loop {
            let Shown::DeadLetters { letters, more } = look(&client, shard, &Look::DeadLetters { skip })? else {
                return Err(other_answer());
            };
            for letter in &letters {
                let (kind, name, message, why) =
                    (letter.to.kind.as_str(), letter.to.name.as_str(), letter.body.as_str(), letter.why.as_str());
                let line = match args.json {
                    true => json(&LetterLine { shard, time_us: letter.time, kind, name, message, why })?,
                    false => format!("{kind}/{name} {message}  {why}"),
                };
                out::data(&format!("{line}\n"))?;
            }
            skip += letters.len() as u32;
            if !more {
                break;
            }
        }
    }
    Ok(0)
}

/// A line of `sessions --json`.
#[derive(Serialize)]
struct SessionLine {
    shard: u16,
    session: u64,
    idle_ms: u64,
    requests: u64,
    unconfirmed: u64,
    owed: u64,
}

/// `gapless task sessions`.
pub fn sessions(args: &LookArgs) -> Outcome {
    let client = client(&args.nodes, args.dir.as_deref(), PATIENCE)?;
    let row = |cells: [String; 6]| {
        let [shard, session, heard, requests, unconfirmed, owed] = cells;
        format!("{shard:>5}  {session:>10}  {heard:>12}  {requests:>10}  {unconfirmed:>11}  {owed:>4}\n")
    };
    if !args.json {
        out::data(&row(["shard", "session", "heard", "requests", "unconfirmed", "owed"].map(str::to_owned)))?;
    }
    for shard in 0..client.shards() {
        let mut after = Session::KEYED;
        loop {
            let Shown::Sessions { sessions, more } = look(&client, shard, &Look::Sessions { after })? else {
                return Err(other_answer());
            };
            for &SessionShown { session, idle, requests, unconfirmed, owed } in &sessions {
                after = session;
                let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
                let line = match args.json {
                    true => {
                        json(&SessionLine { shard, session: session.0, idle_ms, requests, unconfirmed, owed })? + "\n"
                    }
                    false => row([
                        shard.to_string(),
                        session.0.to_string(),
                        format!("{:.1} s ago", idle.as_secs_f64()),
                        requests.to_string(),
                        unconfirmed.to_string(),
                        owed.to_string(),
                    ]),
                };
                out::data(&line)?;
            }
            if !more {
                break;
            }
        }
    }
    Ok(0)
}

fn look(client: &Client, shard: u16, what: &Look) -> Result<Shown, String> {
    client.look(Shard(shard), what).map_err(|e| format!("shard {shard}: {e}"))
}

fn other_answer() -> String {
    "the node shows something else than asked for; use the same build everywhere".to_owned()
}
