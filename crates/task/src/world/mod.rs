//! The real world of a live shard: clients, other shards, the outside, and the host's clock.
//!
//! What comes becomes an [`Event`], and an input if the shard's state allows it; what goes was committed before it gets here. A backup has none of this.

mod connection;
mod epoll;
mod link;
mod outside;

use crate::door::{Door, Visitor};
use crate::id::{Answer, Session, Shard, TaskId};
use crate::input::Payload;
use crate::output::Said;
use crate::shard::Place;
use crate::state::State;
use crate::task::Io;
use crate::wire::{FromShard, ToShard};
use connection::{Connection, READ_BYTES};
use epoll::{Epoll, Ready};
use gapless_log::{Error, Result, Waker};
use link::Links;
use outside::Outside;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// Something happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A client wants a session.
    Open { nonce: u64 },
    /// A client asks.
    Request { by: Caller, session: Session, number: u64, below: u64, to: TaskId, body: String },
    /// A client is done.
    Close { session: Session },
    /// From another shard.
    Payload { by: Caller, from: Shard, number: u64, payload: Payload },
    /// The outside has answered.
    Done { number: u64, answer: Answer },
}

/// The connection on which something came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Caller(u64);

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
    /// A repetition was noticed and answered.
    repeated: bool,
}

/// The live side of a shard.
#[derive(Debug)]
pub(crate) struct World {
    epoll: Epoll,
    /// Rings when somebody is at the door.
    bell: Waker,
    door: Door,
    visitors: Receiver<Visitor>,
    guests: BTreeMap<Caller, Guest>,
    next: u64,
    /// Guests with something to read or to be told.
    active: BTreeSet<Caller>,
    /// Where a session was heard last.
    sessions: BTreeMap<Session, Caller>,
    /// Who waits for a session to be opened.
    nonces: BTreeMap<u64, Caller>,
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

/// Keys of epoll that are not guests.
const BELL: u64 = 0;
const HOST: u64 = 1;
const FIRST_GUEST: u64 = 2;

impl World {
    /// Opens the door.
    pub(crate) fn open(place: &Place) -> Result<Self> {
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
            sessions: BTreeMap::new(),
            nonces: BTreeMap::new(),
            peers: BTreeMap::new(),
            events: VecDeque::new(),
            host: None,
            ready: Vec::new(),
            space: vec![0; READ_BYTES],
            looked: false,
        })
    }

    /// What the state has on its way, except what waits for commit (`waiting`) and will be said then.
    pub(crate) fn resume(&mut self, state: &State, waiting: &[Said]) {
        for to in state.destinations() {
            let (first, payloads) = state.outgoing(to);
            let unsaid =
                waiting.iter().filter(|said| matches!(said, Said::Send { to: there, .. } if *there == to)).count();
            let next = first + payloads.count() as u64;
            self.links.said(to, next - unsaid as u64);
        }
        let unsaid: BTreeSet<u64> = waiting
            .iter()
            .filter_map(|said| if let Said::Ask { number, .. } = said { Some(*number) } else { None })
            .collect();
        for (number, task, tag, request) in state.questions().filter(|(number, ..)| !unsaid.contains(number)) {
            self.ask(state, number, task.clone(), tag.to_owned(), request.to_owned());
        }
    }

    fn ask(&mut self, state: &State, number: u64, task: TaskId, tag: String, request: String) {
        let (shard, _) = state.place();
        self.outside.ask(number, Io { key: format!("{}-{shard}-{number}", state.name()), task, tag, request });
    }

    // ---- in ----

    /// Looks at everything, without waiting.
    pub(crate) fn look(&mut self, state: &State) -> Result<()> {
        if !std::mem::take(&mut self.looked) {
            self.poll(Duration::ZERO)?;
        }
        while let Ok(visitor) = self.visitors.try_recv() {
            self.let_in(visitor, state);
        }
        let active: Vec<Caller> = self.active.iter().copied().collect();
        active.into_iter().for_each(|caller| self.hear(caller));
        Ok(())
    }

    /// The next thing that has happened.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
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
                    let (first, payloads) = state.outgoing(to);
                    let said = self.links.up(to, caller);
                    let connection = &mut self.guests.get_mut(&caller).expect("just admitted").connection;
                    for (number, payload) in (first..said).zip(payloads) {
                        connection.say(&ToShard::Payload { number, payload: payload.clone() });
                    }
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
        let guest = Guest { who, connection, watched: (true, false), readable: true, repeated: false };
        self.guests.insert(caller, guest);
        self.active.insert(caller);
        Some(caller)
    }

    fn dismiss(&mut self, caller: Caller) {
        self.active.remove(&caller);
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
    fn hear(&mut self, caller: Caller) {
        let Some(guest) = self.guests.get_mut(&caller) else { return };
        if std::mem::take(&mut guest.readable) && guest.connection.is_heard() {
            guest.connection.read(&mut self.space);
        }
        match guest.who {
            Who::Client => {
                while let Some(said) = guest.connection.next::<ToShard>() {
                    let event = match said {
                        ToShard::Open { nonce } => {
                            self.nonces.insert(nonce, caller);
                            Event::Open { nonce }
                        }
                        ToShard::Request { session, number, below, to, body } => {
                            self.sessions.insert(session, caller);
                            Event::Request { by: caller, session, number, below, to, body }
                        }
                        ToShard::Close { session } => Event::Close { session },
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
                    let ToShard::Payload { number, payload } = said else {
                        guest.connection.end();
                        break;
                    };
                    self.events.push_back(Event::Payload { by: caller, from, number, payload });
                }
            }
            Who::To(to) => {
                while let Some(said) = guest.connection.next::<FromShard>() {
                    let FromShard::Held { below } = said else {
                        guest.connection.end();
                        break;
                    };
                    self.links.held(to, below);
                }
            }
        }
    }

    /// What other shards hold, if it is time to log that.
    pub(crate) fn take_held(&mut self) -> Vec<(Shard, u64)> {
        self.links.take_held()
    }

    /// When [`World::take_held`] has something, at the latest.
    pub(crate) fn held_due(&self) -> Option<Duration> {
        self.links.held_due()
    }

    // ---- out ----

    /// An output that is committed.
    pub(crate) fn emit(&mut self, said: Said, state: &State) {
        match said {
            Said::Opened { nonce, session } => {
                if let Some(caller) = self.nonces.remove(&nonce) {
                    self.sessions.insert(session, caller);
                    self.tell(caller, &FromShard::Opened { nonce, session });
                }
            }
            Said::Reply { session, number, answer } => {
                if let Some(&caller) = self.sessions.get(&session) {
                    self.tell(caller, &FromShard::Reply { session, number, answer });
                }
            }
            Said::Held { from, below } => {
                if let Some(&caller) = self.peers.get(&from) {
                    self.tell(caller, &FromShard::Held { below });
                }
            }
            Said::Send { to, number, payload } => {
                if let Some(caller) = self.links.said(to, number + 1) {
                    self.tell(caller, &ToShard::Payload { number, payload });
                }
            }
            Said::Ask { number, task, tag, request } => self.ask(state, number, task, tag, request),
        }
    }

    /// To whoever has asked.
    pub(crate) fn tell(&mut self, caller: Caller, what: &impl serde::Serialize) {
        if let Some(guest) = self.guests.get_mut(&caller) {
            guest.connection.say(what);
            self.active.insert(caller);
        }
    }

    /// The other shard will connect again and send from where it is held.
    pub(crate) fn refuse(&mut self, caller: Caller) {
        if let Some(guest) = self.guests.get_mut(&caller) {
            guest.connection.end();
        }
    }

    /// Is this the first repetition on this connection?
    pub(crate) fn repeats(&mut self, caller: Caller) -> bool {
        self.guests.get_mut(&caller).is_some_and(|guest| !std::mem::replace(&mut guest.repeated, true))
    }

    /// Sends what was said; whoever has nothing more to say or to hear sleeps.
    pub(crate) fn flush(&mut self) {
        for caller in std::mem::take(&mut self.active) {
            let Some(guest) = self.guests.get_mut(&caller) else { continue };
            guest.connection.flush();
            if guest.connection.is_over() {
                self.dismiss(caller);
                continue;
            }
            let watch = (guest.connection.is_heard(), guest.connection.has_going());
            if watch != guest.watched
                && self.epoll.change(guest.connection.stream(), caller.0, watch.0, watch.1).is_ok()
            {
                guest.watched = watch;
            }
        }
    }

    /// Waits until something happens, or `host` is woken.
    pub(crate) fn wait(&mut self, host: &Waker, at_most: Duration) -> Result<()> {
        if self.host.is_none() {
            self.epoll.add(host, HOST).map_err(|e| Error::io("watching", "the host's waker", e))?;
            self.host = Some(host.clone());
        }
        self.flush();
        self.looked = true;
        self.poll(at_most)
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

impl Drop for World {
    fn drop(&mut self) {
        self.door.close();
    }
}
