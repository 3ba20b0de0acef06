//! The real world of a live shard: clients, other shards, the outside, and the host's clock.
//!
//! What comes becomes an [`Event`], and an input if the shard's state allows it; what goes was committed before it gets here. A backup has none of this.

mod connection;
mod epoll;
mod link;
mod outside;
mod waiting;

use crate::door::{Door, Visitor};
use crate::edge::{Caller, Edge, Event, said_end};
use crate::id::{Session, Shard, Stamp, TaskId};
use crate::look::Shown;
use crate::output::Said;
use crate::shard::Place;
use crate::state::{SESSIONS_MAX, State};
use crate::task::Io;
use crate::wire::{FromShard, KeyedTold, ToShard};
use connection::{Connection, READ_BYTES};
use epoll::{Epoll, Ready};
use gapless_log::{Error, Result, Waker};
use link::Links;
use outside::Outside;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use waiting::Waiting;
pub use waiting::{CLIENT_REPLIES_MAX, SHARD_REPLIES_MAX};

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Client,
    /// It sends here.
    From(Shard),
    /// It is sent to.
    To(Shard),
}

#[derive(Debug)]
struct Guest {
    who: Who,
    connection: Connection,
    /// What epoll was told last.
    watched: (bool, bool),
    /// Something of it may be read.
    readable: bool,
    /// It waits for so many replies that nothing of it is read.
    full: bool,
    /// A repetition was noticed and answered.
    repeated: bool,
}

/// The live side of a shard.
#[derive(Debug)]
pub struct World {
    epoll: Epoll,
    /// Rings when somebody is at the door.
    bell: Waker,
    door: Door,
    visitors: Receiver<Visitor>,
    guests: BTreeMap<Caller, Guest>,
    next: u64,
    /// Guests with something to read or to be told.
    active: BTreeSet<Caller>,
    /// Clients that are full.
    full: BTreeSet<Caller>,
    waiting: Waiting,
    /// Who waits for a session to be opened.
    nonces: BTreeMap<u64, Caller>,
    /// What is shown to whom once it is committed, by nonce.
    looks: BTreeMap<u64, (Caller, Shown)>,
    /// Where other shards' messages come in.
    peers: BTreeMap<Shard, Caller>,
    links: Links,
    outside: Outside,
    events: VecDeque<Event>,
    host: Option<Waker>,
    ready: Vec<Ready>,
    /// Where guests are read into.
    space: Vec<u8>,
    /// Everybody was looked at by a wait, and nothing was done since.
    looked: bool,
}

/// Nothing more is read while so much waits to be taken.
const EVENTS_MAX: usize = 4096;
/// Looks that wait for commit.
const LOOKS_MAX: usize = 16;

/// Keys of epoll that are not guests.
const BELL: u64 = 0;
const HOST: u64 = 1;
const FIRST_GUEST: u64 = 2;

impl World {
    fn ask(&mut self, state: &State, number: u64, task: TaskId, tag: String, request: String) {
        let (shard, _) = state.place();
        self.outside.ask(number, Io { key: format!("{}-{shard}-{number}", state.name()), task, tag, request });
    }

    fn let_in(&mut self, visitor: Visitor, state: &State) {
        match visitor {
            Visitor::Client(stream) => drop(self.admit(stream, Who::Client)),
            Visitor::Shard(stream, from) => {
                let caller = self.admit(stream, Who::From(from));
                // A new connection takes the place of the one that it had.
                if let Some(old) = caller.and_then(|caller| self.peers.insert(from, caller)) {
                    self.dismiss(old);
                }
            }
            Visitor::Link(to, stream) => {
                if let Some(caller) = self.admit(stream, Who::To(to)) {
                    let said = self.links.up(to, caller);
                    let connection = &mut self.guests.get_mut(&caller).expect("just admitted").connection;
                    for (stamp, payload) in state.outgoing(to).take_while(|(stamp, _)| *stamp < said) {
                        connection.say(&ToShard::Payload { stamp, payload: payload.clone() });
                    }
                } else {
                    self.links.failed(to);
                }
            }
            Visitor::Done(number, answer) => {
                self.outside.done();
                self.events.push_back(Event::Done { number, answer });
            }
        }
    }

    fn admit(&mut self, stream: std::net::TcpStream, who: Who) -> Option<Caller> {
        let caller = Caller(self.next);
        let connection = Connection::new(stream).ok()?;
        self.epoll.add(connection.stream(), caller.0).ok()?;
        self.next += 1;
        let guest = Guest { who, connection, watched: (true, false), readable: true, full: false, repeated: false };
        self.guests.insert(caller, guest);
        self.active.insert(caller);
        Some(caller)
    }

    fn dismiss(&mut self, caller: Caller) {
        self.active.remove(&caller);
        self.full.remove(&caller);
        self.waiting.gone(caller);
        let Some(guest) = self.guests.remove(&caller) else { return };
        match guest.who {
            Who::Client => {}
            Who::From(shard) => {
                if self.peers.get(&shard) == Some(&caller) {
                    self.peers.remove(&shard);
                }
            }
            Who::To(shard) => self.links.down(shard, caller),
        }
    }

    /// Reads what a guest has said.
    fn hear(&mut self, caller: Caller, state: &State) {
        let Some(guest) = self.guests.get_mut(&caller) else { return };
        if std::mem::take(&mut guest.readable) && guest.connection.is_heard() {
            guest.connection.read(&mut self.space);
        }
        if guest.full {
            return;
        }
        match guest.who {
            Who::Client if !self.waiting.has_room(caller) => {
                guest.full = true;
                self.full.insert(caller);
            }
            Who::Client => {
                while let Some(said) = guest.connection.next::<ToShard>() {
                    let event = match said {
                        ToShard::Open { .. } if state.sessions() >= SESSIONS_MAX => {
                            guest.connection.end();
                            break;
                        }
                        ToShard::Open { nonce } => {
                            self.nonces.insert(nonce, caller);
                            Event::Open { nonce }
                        }
                        ToShard::Request { session, number, below, to, body } => {
                            Event::Request { by: caller, session, number, below, to, body }
                        }
                        ToShard::Keyed { ticket, key, body, kept } => {
                            Event::Keyed { by: caller, ticket, key, body, kept }
                        }
                        ToShard::Delete { session, number, below, task } => {
                            Event::Delete { by: caller, session, number, below, task }
                        }
                        ToShard::Close { session } => Event::Close { session },
                        ToShard::Look { nonce, what } => Event::Look { by: caller, nonce, what },
                        ToShard::Payload { .. } => {
                            guest.connection.end();
                            break;
                        }
                    };
                    self.events.push_back(event);
                }
            }
            Who::From(from) => {
                while let Some(said) = guest.connection.next::<ToShard>() {
                    let ToShard::Payload { stamp, payload } = said else {
                        guest.connection.end();
                        break;
                    };
                    self.events.push_back(Event::Payload { by: caller, from, stamp, payload });
                }
            }
            Who::To(to) => {
                while let Some(said) = guest.connection.next::<FromShard>() {
                    let FromShard::Held { below } = said else {
                        guest.connection.end();
                        break;
                    };
                    // Nobody can hold what was never to be sent; what is still to be said again may be held already.
                    if below <= state.outgoing_end(to) {
                        self.links.held(to, below);
                    }
                }
            }
        }
    }

    /// Clients that were full and no longer are: what they have sent is read. True if there is one.
    fn readmit(&mut self) -> bool {
        let room: Vec<Caller> = self.full.iter().copied().filter(|&caller| self.waiting.has_room(caller)).collect();
        for caller in &room {
            self.full.remove(caller);
            self.active.insert(*caller);
            self.guests.get_mut(caller).expect("who is full is here").full = false;
        }
        !room.is_empty()
    }

    /// Goes with the next flush.
    fn say(&mut self, caller: Caller, what: &impl serde::Serialize) {
        if let Some(guest) = self.guests.get_mut(&caller) {
            guest.connection.say(what);
            self.active.insert(caller);
        }
    }

    fn poll(&mut self, at_most: Duration) -> Result<()> {
        self.ready.clear();
        self.epoll.wait(at_most, &mut self.ready).map_err(|e| Error::io("waiting for", "the world", e))?;
        for ready in &self.ready {
            match ready.key {
                BELL => self.bell.reset(),
                HOST => {}
                key => {
                    if let Some(guest) = self.guests.get_mut(&Caller(key)) {
                        guest.readable |= ready.readable;
                        self.active.insert(Caller(key));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Edge for World {
    type Door = ();

    fn open(place: &Place, (): &mut ()) -> Result<Self> {
        let failed = |e| Error::io("opening", "the door of a shard", e);
        let (epoll, bell) = (Epoll::new().map_err(failed)?, Waker::new().map_err(failed)?);
        epoll.add(&bell, BELL).map_err(failed)?;
        let (come, visitors) = mpsc::channel();
        let door = place.doors.open(place.shard, come, bell.clone());
        Ok(Self {
            epoll,
            bell,
            links: Links::new(place.clone(), door.clone()),
            outside: Outside::new(place.kinds.clone(), door.clone()),
            door,
            visitors,
            guests: BTreeMap::new(),
            next: FIRST_GUEST,
            active: BTreeSet::new(),
            full: BTreeSet::new(),
            waiting: Waiting::default(),
            nonces: BTreeMap::new(),
            looks: BTreeMap::new(),
            peers: BTreeMap::new(),
            events: VecDeque::new(),
            host: None,
            ready: Vec::new(),
            space: vec![0; READ_BYTES],
            looked: false,
        })
    }

    fn resume(&mut self, state: &State, waiting: &[Said]) {
        for to in state.destinations() {
            self.links.said(to, said_end(state, to, waiting));
        }
        let unsaid: BTreeSet<u64> = waiting
            .iter()
            .filter_map(|said| if let Said::Ask { number, .. } = said { Some(*number) } else { None })
            .collect();
        for (number, task, tag, request) in state.questions().filter(|(number, ..)| !unsaid.contains(number)) {
            self.ask(state, number, task.clone(), tag.to_owned(), request.to_owned());
        }
    }

    fn seed(&mut self) -> Result<[u8; 32]> {
        let seed = [gapless_log::random_u128()?, gapless_log::random_u128()?].map(u128::to_le_bytes).concat();
        Ok(seed.try_into().expect("two halves"))
    }

    fn now(&self) -> u64 {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        u64::try_from(wall).unwrap_or(u64::MAX)
    }

    fn look(&mut self, state: &State) -> Result<()> {
        if !std::mem::take(&mut self.looked) {
            self.poll(Duration::ZERO)?;
        }
        while let Ok(visitor) = self.visitors.try_recv() {
            self.let_in(visitor, state);
        }
        self.readmit();
        let active: Vec<Caller> = self.active.iter().copied().collect();
        for caller in active {
            // What is not read stays where it is, and epoll(7) says so again.
            if self.events.len() < EVENTS_MAX {
                self.hear(caller, state);
            }
        }
        Ok(())
    }

    fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn take_held(&mut self) -> Vec<(Shard, Stamp)> {
        self.links.take_held()
    }

    fn held_due(&self) -> Option<Duration> {
        self.links.held_due()
    }

    fn emit(&mut self, said: Said, state: &State) {
        match said {
            Said::Opened { nonce, session } => {
                if let Some(caller) = self.nonces.remove(&nonce) {
                    self.tell(caller, &FromShard::Opened { nonce, session });
                }
            }
            Said::Reply { session, number, answer } => {
                if let Some(caller) = self.waiting.replied(session, number) {
                    self.tell(caller, &FromShard::Reply { session, number, answer });
                }
            }
            Said::Keyed { number, answer } => {
                for (caller, ticket) in self.waiting.replied_keyed(number) {
                    let told = KeyedTold::Answer(answer.clone());
                    self.tell(caller, &FromShard::Keyed { ticket, told });
                }
            }
            Said::Held { from, below } => {
                if let Some(&caller) = self.peers.get(&from) {
                    self.tell(caller, &FromShard::Held { below });
                }
            }
            Said::Send { to, stamp, payload } => {
                if let Some(caller) = self.links.said(to, state.bound(stamp.number + 1)) {
                    self.say(caller, &ToShard::Payload { stamp, payload });
                }
            }
            // Its task may have been deleted since it was said.
            Said::Ask { number, .. } if !state.asks(number) => {}
            Said::Ask { number, task, tag, request } => self.ask(state, number, task, tag, request),
            Said::Looked { nonce } => {
                if let Some((caller, shown)) = self.looks.remove(&nonce) {
                    self.tell(caller, &FromShard::Shown { nonce, shown });
                }
            }
        }
    }

    fn tell(&mut self, caller: Caller, what: &FromShard) {
        self.say(caller, what);
    }

    fn owes(&mut self, by: Caller, session: Session, number: u64) {
        if self.guests.contains_key(&by) {
            self.waiting.request(by, session, number);
        }
    }

    fn owes_keyed(&mut self, by: Caller, ticket: u64, number: u64) {
        if self.guests.contains_key(&by) {
            self.waiting.keyed(by, ticket, number);
        }
    }

    fn owes_no_more(&mut self, session: Session) {
        self.waiting.closed(session);
    }

    fn asks_no_more(&mut self, task: &TaskId) {
        self.outside.forget(task);
    }

    fn will_show(&mut self, to: Caller, nonce: u64, shown: Shown) -> bool {
        if self.looks.len() == LOOKS_MAX {
            self.refuse(to);
            return false;
        }
        self.looks.insert(nonce, (to, shown)).is_none()
    }

    fn refuse(&mut self, caller: Caller) {
        if let Some(guest) = self.guests.get_mut(&caller) {
            guest.connection.end();
        }
    }

    fn repeats(&mut self, caller: Caller) -> bool {
        self.guests.get_mut(&caller).is_some_and(|guest| !std::mem::replace(&mut guest.repeated, true))
    }

    fn flush(&mut self) {
        for caller in std::mem::take(&mut self.active) {
            let Some(guest) = self.guests.get_mut(&caller) else { continue };
            guest.connection.flush();
            if guest.connection.is_over() {
                self.dismiss(caller);
                continue;
            }
            let watch = (guest.connection.is_heard() && !guest.full, guest.connection.has_going());
            if watch != guest.watched
                && self.epoll.change(guest.connection.stream(), caller.0, watch.0, watch.1).is_ok()
            {
                guest.watched = watch;
            }
        }
    }

    fn wait(&mut self, host: &Waker, at_most: Duration) -> Result<()> {
        if self.host.is_none() {
            self.epoll.add(host, HOST).map_err(|e| Error::io("watching", "the host's waker", e))?;
            self.host = Some(host.clone());
        }
        self.flush();
        if self.readmit() {
            return Ok(());
        }
        self.looked = true;
        self.poll(at_most)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.door.close();
    }
}
