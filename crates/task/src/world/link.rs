//! Connections to other shards: one to each to which something is sent, made again whenever it breaks.

use crate::door::{Door, Visitor};
use crate::edge::Caller;
use crate::id::{Shard, Stamp};
use crate::routes;
use crate::shard::Place;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What is held elsewhere is logged so long after it was heard of, at the latest ...
const HELD_AFTER: Duration = Duration::from_millis(20);
/// ... or when it is so much.
const HELD_MIN: u64 = 256;

#[derive(Debug, Default)]
struct Link {
    /// All below this may be sent.
    said: Stamp,
    /// The connection, if there is one.
    caller: Option<Caller>,
    /// A thread is making one.
    dialling: bool,
    /// Heard: all below is held there.
    held: Stamp,
    /// Of that, logged.
    logged: Stamp,
}

#[derive(Debug)]
pub(super) struct Links {
    place: Place,
    door: Door,
    links: BTreeMap<Shard, Link>,
    /// Something was heard to be held then, and is not logged yet.
    since: Option<Instant>,
}

impl Links {
    pub fn new(place: Place, door: Door) -> Self {
        Self { place, door, links: BTreeMap::new(), since: None }
    }

    /// All below `next` may be sent; the connection for it, if there is one.
    pub fn said(&mut self, to: Shard, next: Stamp) -> Option<Caller> {
        let link = self.links.entry(to).or_default();
        link.said = link.said.max(next);
        if link.caller.is_none() && !link.dialling {
            self.dial(to);
        }
        self.links[&to].caller
    }

    fn dial(&mut self, to: Shard) {
        let (place, door) = (self.place.clone(), self.door.clone());
        let work = move || {
            while door.is_open() {
                if let Some(stream) = routes::dial(&place, to) {
                    return door.enter(Visitor::Link(to, stream));
                }
                std::thread::sleep(routes::PAUSE);
            }
        };
        // Without a thread it is tried again when there is more to say.
        let started = std::thread::Builder::new().name("task-link".into()).spawn(work).is_ok();
        self.links.entry(to).or_default().dialling = started;
    }

    /// A connection is made; all below the answer is to be sent on it.
    pub fn up(&mut self, to: Shard, caller: Caller) -> Stamp {
        let link = self.links.entry(to).or_default();
        (link.caller, link.dialling) = (Some(caller), false);
        // It was told by a life that may be over and have lost it. Who still holds it says so again.
        link.held = link.logged;
        link.said
    }

    /// It broke. What was sent on it and is not known to be held goes again.
    pub fn down(&mut self, to: Shard, caller: Caller) {
        if let Some(link) = self.links.get_mut(&to).filter(|link| link.caller == Some(caller)) {
            link.caller = None;
            self.dial(to);
        }
    }

    /// A connection was made and is of no use.
    pub fn failed(&mut self, to: Shard) {
        self.dial(to);
    }

    pub fn held(&mut self, to: Shard, below: Stamp) {
        let link = self.links.entry(to).or_default();
        if below > link.held {
            link.held = below;
            self.since.get_or_insert_with(Instant::now);
        }
    }

    pub fn held_due(&self) -> Option<Duration> {
        self.since.map(|since| HELD_AFTER.saturating_sub(since.elapsed()))
    }

    pub fn take_held(&mut self) -> Vec<(Shard, Stamp)> {
        let Some(since) = self.since else { return Vec::new() };
        let much = self.links.values().any(|link| link.held.number.saturating_sub(link.logged.number) >= HELD_MIN);
        if !much && since.elapsed() < HELD_AFTER {
            return Vec::new();
        }
        self.since = None;
        let news = self.links.iter_mut().filter(|(_, link)| link.held > link.logged);
        news.map(|(&to, link)| {
            link.logged = link.held;
            (to, link.held)
        })
        .collect()
    }
}
