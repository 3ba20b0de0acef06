//! The schedule: one thing after the other happens, by chance, until the faults stop and everything comes to rest.

use super::bank::{Account, Message};
use super::check::Rest;
use super::client::{Client, Op};
use super::pair::Pair;
use super::{TaskMet, TaskMutant};
use crate::rng::Rng;
use gapless_task::edge::{Caller, Event};
use gapless_task::input::Payload;
use gapless_task::wire::FromShard;
use gapless_task::{Arrival, Said, Session, Shard, Stamp, TaskId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Things that happen before the calm.
const TURNS: u64 = 4_000;
/// Rounds within which everything must have come to rest.
const ROUNDS_MAX: u64 = 400;
const CLIENTS: usize = 3;
/// Clients ask again while less than this is on its way.
const AIR_MIN: usize = 6;
/// Accounts of a shard to and from which money is moved.
const ACCOUNTS: usize = 2;

/// A connection from one shard to another.
struct Conn {
    caller: Caller,
    lives: (u64, u64),
    forth: VecDeque<(Stamp, Payload)>,
    back: VecDeque<Stamp>,
}

pub struct World {
    rng: Rng,
    mutant: TaskMutant,
    pairs: Vec<Pair>,
    conns: BTreeMap<(Shard, Shard), Conn>,
    clients: Vec<Client>,
    /// Of clients, on their way: in any order, and perhaps more than once.
    air: Vec<(Shard, Event)>,
    names: Vec<Vec<String>>,
    next: u64,
    lossy: bool,
    paid: i64,
    pub met: TaskMet,
    pub trace: Vec<String>,
}

impl World {
    pub fn new(mut rng: Rng, mutant: TaskMutant) -> Self {
        let shards = 2 + rng.below(2) as u16;
        let lossy = rng.one_in(2);
        let mut names = vec![Vec::new(); usize::from(shards)];
        for n in 0.. {
            let name = format!("a{n}");
            let home = &mut names[usize::from(TaskId::new("account", &name).shard(shards).0)];
            if home.len() < ACCOUNTS + CLIENTS {
                home.push(name);
            } else if names.iter().all(|home| home.len() == ACCOUNTS + CLIENTS) {
                break;
            }
        }
        Self {
            rng,
            mutant,
            pairs: (0..shards).map(|shard| Pair::new(Shard(shard), shards)).collect(),
            conns: BTreeMap::new(),
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            air: Vec::new(),
            names,
            next: 1,
            lossy,
            paid: 0,
            met: TaskMet::default(),
            trace: Vec::new(),
        }
    }

    fn note(&mut self, what: String) {
        self.trace.push(what);
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn run(&mut self) -> Result<(), String> {
        for _ in 0..TURNS {
            self.turn()?;
        }
        self.calm()?;
        self.check()
    }

    fn turn(&mut self) -> Result<(), String> {
        let at = self.rng.below(self.pairs.len() as u64) as usize;
        self.pairs[at].now += self.rng.below(3_000);
        match self.rng.below(200) {
            0..=49 => self.step(at)?,
            50..=74 => self.pairs[at].ship(),
            75..=89 => drop(self.pairs[at].execute()?),
            90..=114 => self.release(at)?,
            115..=158 => self.travel(),
            159..=187 => self.ask(true),
            188..=193 => self.dial(at),
            194 => self.break_conn(at),
            195..=196 => self.answer(at),
            _ => self.fault(at, false)?,
        }
        Ok(())
    }

    // ---- shards ----

    fn step(&mut self, at: usize) -> Result<(), String> {
        if !self.pairs[at].is_live() {
            return Ok(());
        }
        self.break_rules(at);
        let digest = self.rng.one_in(8);
        self.pairs[at].step(digest)?;
        let refused = std::mem::take(&mut self.pairs[at].desk().refused);
        let before = self.conns.len();
        self.conns.retain(|_, conn| !refused.contains(&conn.caller));
        self.met.broken += (before - self.conns.len()) as u64;
        self.hear(at)
    }

    /// What a mutant makes of what comes from other shards.
    fn break_rules(&mut self, at: usize) {
        let pair = &self.pairs[at];
        let state = pair.state();
        let mut desk = pair.desk();
        let mut once = BTreeSet::new();
        for event in &mut desk.events {
            let Event::Payload { from, stamp, .. } = event else { continue };
            let arrival = state.arrival(*from, *stamp);
            self.met.repeated += u64::from(arrival == Arrival::Seen);
            match self.mutant {
                // As if it came from a shard that nobody knows: it is read and the sender's numbers are what they were.
                TaskMutant::DuplicateRead if arrival == Arrival::Seen => *from = Shard(u16::MAX),
                TaskMutant::GapPassed if arrival == Arrival::Gap => {}
                _ => continue,
            }
            if once.insert(*from) {
                *stamp = state.arrived_below(*from);
            }
        }
    }

    fn release(&mut self, at: usize) -> Result<(), String> {
        if !self.pairs[at].is_live() {
            return Ok(());
        }
        self.pairs[at].release(self.mutant);
        self.hear(at)
    }

    /// What a shard has said goes where it belongs.
    fn hear(&mut self, at: usize) -> Result<(), String> {
        let (shard, life) = (self.pairs[at].shard, self.pairs[at].life);
        let (sent, emitted, told) = {
            let mut desk = self.pairs[at].desk();
            (std::mem::take(&mut desk.sent), std::mem::take(&mut desk.emitted), std::mem::take(&mut desk.told))
        };
        for (to, stamp, payload) in sent {
            if let Some(conn) = self.conns.get_mut(&(shard, to)).filter(|conn| conn.lives.0 == life) {
                conn.forth.push_back((stamp, payload));
            }
        }
        for said in emitted {
            match said {
                Said::Opened { nonce, session } => {
                    let talks = self.clients.iter_mut().filter_map(|client| client.talks.get_mut(&shard));
                    for talk in talks.filter(|talk| talk.nonce == nonce && talk.session.is_none()) {
                        (talk.session, talk.last) = (Some(session), 0);
                    }
                }
                Said::Reply { session, number, answer } => self.replied(shard, session, number, &answer)?,
                Said::Held { from, below } => {
                    if let Some(conn) = self.conns.get_mut(&(from, shard)).filter(|conn| conn.lives.1 == life) {
                        conn.back.push_back(below);
                    }
                }
                // The clients of the simulation number their requests and use no keys.
                Said::Send { .. } | Said::Ask { .. } | Said::Keyed { .. } | Said::Looked { .. } => {}
            }
        }
        for (_, said) in told {
            match said {
                FromShard::Reply { session, number, answer } => self.replied(shard, session, number, &answer)?,
                FromShard::Refused { session, number, why } => {
                    let talks = self.clients.iter_mut().filter_map(|client| client.talks.get_mut(&shard));
                    let refused = talks.fold(false, |any, talk| any | talk.refused(session, number));
                    if refused && !self.lossy {
                        return Err(format!("request {number} of session {} of shard {shard}: {why}", session.0));
                    }
                }
                other => return Err(format!("told a client {other:?}")),
            }
        }
        Ok(())
    }

    fn replied(
        &mut self,
        shard: Shard,
        session: Session,
        number: u64,
        answer: &gapless_task::Answer,
    ) -> Result<(), String> {
        if self.rng.one_in(5) {
            return Ok(());
        }
        for talk in self.clients.iter_mut().filter_map(|client| client.talks.get_mut(&shard)) {
            let deletes = talk.open.as_ref().is_some_and(|op| op.message.is_none());
            if let Some(paid) = talk.hear(session, number, answer)? {
                self.met.replies += 1;
                self.met.deletions += u64::from(deletes);
                self.paid += paid;
            }
        }
        Ok(())
    }

    // ---- between shards ----

    /// Something arrives: of a client, or of another shard.
    fn travel(&mut self) {
        if self.rng.one_in(2) && !self.air.is_empty() {
            let at = self.rng.below(self.air.len() as u64) as usize;
            let (shard, event) = if self.rng.one_in(6) { self.air[at].clone() } else { self.air.swap_remove(at) };
            let pair = &self.pairs[usize::from(shard.0)];
            if pair.is_live() {
                pair.desk().events.push_back(event);
            }
            return;
        }
        let n = self.conns.len() as u64;
        if n > 0 {
            let way = *self.conns.keys().nth(self.rng.below(n) as usize).expect("below their number");
            if self.rng.one_in(3) { self.back(way) } else { self.forth(way) }
        }
    }

    fn forth(&mut self, way: (Shard, Shard)) {
        let Some(conn) = self.conns.get_mut(&way) else { return };
        let there = &self.pairs[usize::from(way.1.0)];
        if !there.is_live() || there.life != conn.lives.1 {
            return;
        }
        let Some((stamp, payload)) = conn.forth.pop_front() else { return };
        if self.mutant == TaskMutant::HeldBeforeCommit {
            conn.back.push_back(stamp.next());
        }
        there.desk().events.push_back(Event::Payload { by: conn.caller, from: way.0, stamp, payload });
    }

    fn back(&mut self, way: (Shard, Shard)) {
        let Some(conn) = self.conns.get_mut(&way) else { return };
        let here = &self.pairs[usize::from(way.0.0)];
        if !here.is_live() || here.life != conn.lives.0 {
            return;
        }
        if let Some(below) = conn.back.pop_front() {
            here.desk().held.push((way.1, below));
        }
    }

    /// A shard connects to the others, where it is not connected.
    fn dial(&mut self, at: usize) {
        for to in (0..self.pairs.len()).filter(|&to| to != at) {
            let (here, there) = (&self.pairs[at], &self.pairs[to]);
            let (way, lives) = ((here.shard, there.shard), (here.life, there.life));
            let known = self.conns.get(&way).is_some_and(|conn| conn.lives == lives);
            if known || !here.is_live() || !there.is_live() {
                continue;
            }
            let again = match self.mutant {
                TaskMutant::NothingSentAgain => Vec::new(),
                _ => here.desk().resend(here.state(), there.shard),
            };
            let caller = Caller(self.number());
            self.conns.insert(way, Conn { caller, lives, forth: again.into(), back: VecDeque::new() });
        }
    }

    fn break_conn(&mut self, at: usize) {
        let shard = self.pairs[at].shard;
        if let Some(way) = self.conns.keys().find(|(from, _)| *from == shard).copied() {
            self.conns.remove(&way);
            self.met.broken += 1;
        }
    }

    /// The outside answers a shard's questions.
    fn answer(&mut self, at: usize) {
        if self.pairs[at].is_live() {
            let mut desk = self.pairs[at].desk();
            let asked = std::mem::take(&mut desk.asked);
            desk.events.extend(asked.into_iter().map(|number| Event::Done { number, answer: Ok("1".to_owned()) }));
        }
    }

    // ---- clients ----

    /// A client asks: again if it has no reply, else something new if it may.
    fn ask(&mut self, new: bool) {
        let (client, home) =
            (self.rng.below(CLIENTS as u64) as usize, self.rng.below(self.pairs.len() as u64) as usize);
        let (op, nonce) = (self.op(client, home), self.number());
        let shard = self.pairs[home].shard;
        let talk = self.clients[client].talks.entry(shard).or_default();
        match (talk.session, &talk.open) {
            (None, _) if new => talk.nonce = nonce,
            (Some(_), None) if new => {
                talk.last += 1;
                talk.open = Some(op);
            }
            (Some(_), Some(_)) if !new || self.air.len() < AIR_MIN => {}
            _ => return,
        }
        let event = talk.event(Caller(client as u64));
        self.air.push((shard, event));
    }

    fn op(&mut self, client: usize, home: usize) -> Op {
        let op = self.number();
        let account = |name: &str| TaskId::new("account", name);
        let there = self.rng.below(self.names.len() as u64) as usize;
        let [from, to] = [(), ()].map(|()| self.rng.below(ACCOUNTS as u64) as usize);
        let own = account(&self.names[home][ACCOUNTS + client]);
        let (to, message) = match self.rng.below(16) {
            0..=3 => (own, Some(Message::Deposit)),
            4 => (own, None),
            5..=6 => (account(&self.names[home][from]), Some(Message::AskedDeposit { op })),
            _ => {
                let (to, amount) = (self.names[there][to].clone(), 1 + op as i64 % 9);
                (account(&self.names[home][from]), Some(Message::Transfer { to, amount, op }))
            }
        };
        Op { to, message }
    }

    // ---- faults ----

    fn fault(&mut self, at: usize, calm: bool) -> Result<(), String> {
        let (mutant, lossy) = (self.mutant, self.lossy);
        let (pair, rng) = (&mut self.pairs[at], &mut self.rng);
        let shard = pair.shard;
        if pair.may_take_over() && !rng.one_in(4) {
            pair.take_over(mutant)?;
            self.met.takeovers += 1;
            self.note(format!("shard {shard}: the backup takes over"));
        } else if !pair.is_live() {
            let cut = (lossy && rng.one_in(2)).then(|| {
                let most = if rng.one_in(4) { pair.frames() } else { pair.frames().min(12) };
                pair.frames() - rng.below(most as u64 + 1) as usize
            });
            pair.resume(cut, mutant)?;
            self.met.resumes += u64::from(cut.is_none());
            self.met.losses += u64::from(cut.is_some());
            self.note(format!("shard {shard}: goes on from its log; lost: {cut:?}"));
        } else if !pair.is_protected() && (calm || !rng.one_in(3)) {
            let snapshot = rng.one_in(2);
            pair.join(snapshot, mutant)?;
            self.met.snapshots += u64::from(snapshot);
        } else if pair.is_protected() && rng.one_in(4) {
            pair.kill_backup();
            self.note(format!("shard {shard}: the backup dies"));
        } else if rng.one_in(2) {
            pair.kill_live(rng);
            self.note(format!("shard {shard}: the primary dies"));
        }
        Ok(())
    }

    // ---- the end ----

    /// Faults stop; everything that is on its way arrives.
    fn calm(&mut self) -> Result<(), String> {
        self.note("calm".to_owned());
        for _ in 0..ROUNDS_MAX {
            for at in 0..self.pairs.len() {
                if !self.pairs[at].is_live() || !self.pairs[at].is_protected() {
                    self.fault(at, true)?;
                }
                self.pairs[at].now += 20_000;
                self.dial(at);
                self.answer(at);
                self.step(at)?;
                while !self.pairs[at].shipped() {
                    self.pairs[at].ship();
                }
                while self.pairs[at].execute()? {}
                self.release(at)?;
            }
            for way in self.conns.keys().copied().collect::<Vec<_>>() {
                for _ in 0..8 {
                    self.forth(way);
                    self.back(way);
                }
            }
            for (shard, event) in std::mem::take(&mut self.air) {
                let pair = &self.pairs[usize::from(shard.0)];
                if pair.is_live() {
                    pair.desk().events.push_back(event);
                }
            }
            (0..4).for_each(|_| self.ask(false));
            if self.rests() {
                return Ok(());
            }
        }
        Err(format!("NO PROGRESS after the faults have stopped: {}", self.unrest()))
    }

    fn rests(&self) -> bool {
        let talks = |client: &Client| client.talks.values().all(|talk| talk.open.is_none());
        let pair = |pair: &Pair| {
            pair.is_protected()
                && !pair.state().has_queued()
                && pair.state().destinations().next().is_none()
                && pair.state().questions().next().is_none()
                && pair.state().due().is_none()
                && pair.desk().events.is_empty()
        };
        // After a loss a request may be owed for ever: the task that would reply has forgotten it.
        (self.lossy || self.clients.iter().all(talks)) && self.pairs.iter().all(pair)
    }

    /// What keeps everything from coming to rest.
    fn unrest(&self) -> String {
        let mut waits: Vec<String> = Vec::new();
        for pair in self.pairs.iter().filter(|pair| pair.is_live()) {
            let (shard, state) = (pair.shard, pair.state());
            let sent = state.destinations().flat_map(|to| state.outgoing(to).map(move |(stamp, _)| (to, stamp)));
            waits.extend(sent.map(|(to, stamp)| format!("{stamp} of shard {shard} is not held at {to}")));
            waits.extend(state.questions().map(|(number, ..)| format!("question {number} of shard {shard}")));
        }
        for (client, talk) in self.clients.iter().flat_map(|client| client.talks.values()).enumerate() {
            waits.extend(talk.open.as_ref().map(|op| format!("conversation {client} waits for {op:?}")));
        }
        waits.join("; ")
    }

    fn check(&mut self) -> Result<(), String> {
        let mut accounts = BTreeMap::new();
        for at in 0..self.pairs.len() {
            for name in self.names[at].clone() {
                let account = self.tell(at, &name)?;
                accounts.insert(name, account);
            }
        }
        let losses: Vec<u64> = self.pairs.iter().map(|pair| pair.losses).collect();
        let gaps: Vec<u64> = self.pairs.iter().map(gaps).collect();
        self.met.gaps += gaps.iter().sum::<u64>();
        let paid = (!self.lossy).then_some(self.paid);
        let doubts = |from: usize, to: usize| self.pairs[to].state().doubts(self.pairs[from].shard);
        let shards = self.pairs.len() as u16;
        Rest { accounts: &accounts, shards, losses: &losses, gaps: &gaps, doubts: &doubts, paid }.check()
    }

    /// Asks an account for everything.
    fn tell(&mut self, at: usize, name: &str) -> Result<Account, String> {
        let nonce = self.number();
        let by = Caller(u64::MAX);
        self.pairs[at].desk().events.push_back(Event::Open { nonce });
        let mut session = None;
        for _ in 0..100 {
            self.pairs[at].step(false)?;
            while !self.pairs[at].shipped() {
                self.pairs[at].ship();
            }
            self.pairs[at].release(self.mutant);
            let emitted = std::mem::take(&mut self.pairs[at].desk().emitted);
            for said in emitted {
                match said {
                    Said::Opened { nonce: mine, session: opened } if mine == nonce => {
                        session = Some(opened);
                        let (to, body) = (TaskId::new("account", name), serde_json::json!(Message::Tell).to_string());
                        let event = Event::Request { by, session: opened, number: 1, below: 1, to, body };
                        self.pairs[at].desk().events.push_back(event);
                    }
                    Said::Reply { session: to, answer, .. } if Some(to) == session => {
                        return serde_json::from_str(&answer?).map_err(|e| e.to_string());
                    }
                    _ => {}
                }
            }
        }
        Err(format!("NO PROGRESS: {name} does not tell what it has"))
    }
}

/// Messages of other shards that a shard tells were lost with its log: `FIRST to LAST of shard N were lost ...`.
fn gaps(pair: &Pair) -> u64 {
    let lost = pair.state().dead_letters().filter_map(|letter| {
        let mut words = letter.why.split(' ');
        let first: u64 = words.next()?.parse().ok()?;
        let last: u64 = words.nth(1)?.parse().ok()?;
        Some(last + 1 - first)
    });
    lost.sum()
}
