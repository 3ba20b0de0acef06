//! The simulated world: one queue of everything that is going to happen, and what happens to each of it.

use crate::arbiter::Arbiter;
use crate::check::Checker;
use crate::coverage::Met;
use crate::net::{Blocked, Cargo, Conn};
use crate::node::Node;
use crate::plan::{CALM_AT, Fault, Plan};
use crate::rng::Rng;
use crate::trace::Trace;
use gapless_log::Seq;
use gapless_pair::{Action, ConnId, Event, Life, Message, Micros, Mode, Mutant, Packet, Put, Register, Ticket};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// Something that is going to happen.
#[derive(Debug)]
pub enum Item {
    /// To a life; nothing if it is over.
    Node(usize, u32, ToNode),
    /// A packet or the like arrives at one end of a connection.
    Arrive(usize, usize, Cargo),
    /// A request reaches the arbiter.
    Ask(usize, u32, Ticket, Option<Put>),
    /// A put that everybody has given up reaches the arbiter.
    LatePut(Put),
    /// A machine starts a new life.
    Start(usize),
    /// A stalled process runs again.
    Wake(usize),
    /// Something goes wrong.
    Fault(Fault),
    /// Faults end here.
    Calm,
    /// A person looks whether help is needed.
    Look,
}

/// Something that happens to a life.
#[derive(Debug)]
pub enum ToNode {
    /// An event for the engine.
    Event(Event),
    /// The timer.
    Tick,
    /// The host runs a few steps, in this turn.
    Work(u64),
    /// Committed outputs leave.
    Release,
    /// The kernel has this many frames; they end at this number; counted before this many cuts.
    Written(usize, Seq, u32),
    /// The platter has everything written.
    Synced(u32),
    /// The oldest record stored is durable.
    MetaStored,
    /// A warm backup comes to execute what it holds.
    Replay,
}

/// Queue order: by time, then by age.
#[derive(Debug)]
struct Due(Micros, u64, Item);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.0, other.1).cmp(&(self.0, self.1))
    }
}

/// After the calm a healthy pair must be whole again within this time.
const RECOVERY_MAX: Micros = Micros::from_millis(6_000);
/// How often a person looks.
const LOOK_EVERY: Micros = Micros::from_millis(150);
/// No schedule needs more events than this.
const EVENTS_MAX: u64 = 200_000;

/// One schedule under way.
pub struct Sim {
    pub(crate) rng: Rng,
    pub(crate) plan: Plan,
    pub(crate) now: Micros,
    pub(crate) nodes: Vec<Node>,
    pub(crate) checker: Checker,
    pub(crate) trace: Trace,
    pub(crate) met: BTreeSet<Met>,
    pub(crate) mutant: Mutant,
    pub(crate) arbiter: Arbiter,
    /// How much of the log each life holds (memory, platter), kept after its death.
    pub(crate) held: BTreeMap<Life, (Seq, Seq)>,
    pub(crate) calm: bool,
    pub(crate) violation: Option<String>,
    pub(crate) ended: bool,
    pub(crate) released_at_calm: usize,
    conns: Vec<Conn>,
    blocked: Blocked,
    arbiter_down_until: Micros,
    queue: BinaryHeap<Due>,
    items: u64,
    scratch: Vec<Action>,
}

impl Sim {
    /// A world ready to start.
    pub fn new(seed: u64, mutant: Mutant, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::new(&mut rng);
        let newcomer = plan.faults.iter().any(|f| f.1 == Fault::Newcomer);
        let total = plan.nodes + usize::from(newcomer);
        let nodes = (0..total).map(|n| Node::new(rng.wide(), n < plan.nodes)).collect();
        let mut sim = Self {
            rng,
            now: Micros(0),
            nodes,
            checker: Checker::default(),
            trace: Trace::new(trace),
            met: BTreeSet::new(),
            mutant,
            arbiter: Arbiter::default(),
            held: BTreeMap::new(),
            calm: false,
            violation: None,
            ended: false,
            released_at_calm: 0,
            conns: Vec::new(),
            blocked: Blocked::none(total),
            arbiter_down_until: Micros(0),
            queue: BinaryHeap::new(),
            items: 0,
            scratch: Vec::new(),
            plan,
        };
        for (at, fault) in sim.plan.faults.clone() {
            sim.at(at, Item::Fault(fault));
        }
        sim.at(CALM_AT, Item::Calm);
        for node in 0..sim.plan.nodes {
            let at = sim.rng.between(Micros(0), Micros::from_millis(20));
            sim.at(at, Item::Start(node));
        }
        sim
    }

    /// Runs to the end; what went wrong, if anything did.
    pub fn run(&mut self) -> Option<String> {
        while let Some(Due(at, _, item)) = self.queue.pop() {
            self.now = at;
            self.happen(item);
            if self.violation.is_some() {
                break;
            }
            if self.calm && self.settled() {
                return None;
            }
            if self.items > EVENTS_MAX || at > CALM_AT.plus(RECOVERY_MAX) {
                self.fail(self.progress_report());
                break;
            }
        }
        if self.violation.is_none() {
            self.fail("nothing is left to happen".into());
        }
        self.violation.clone()
    }

    /// A rule is broken.
    pub(crate) fn fail(&mut self, what: String) {
        if self.violation.is_none() {
            self.trace.note(self.now, format_args!("VIOLATION: {what}"));
            self.violation = Some(what);
        }
    }

    pub(crate) fn at(&mut self, at: Micros, item: Item) {
        self.items += 1;
        self.queue.push(Due(at.max(self.now), self.items, item));
    }

    pub(crate) fn after(&mut self, delay: Micros, item: Item) {
        self.at(self.now.plus(delay), item);
    }

    /// Something happens to the life that runs on a node now.
    pub(crate) fn give(&mut self, node: usize, delay: Micros, what: ToNode) {
        if let Some(run) = &self.nodes[node].run {
            let life = run.number;
            self.after(delay, Item::Node(node, life, what));
        }
    }

    fn happen(&mut self, item: Item) {
        match item {
            Item::Node(node, life, what) => self.happen_to(node, life, what),
            Item::Arrive(conn, side, cargo) => self.arrive(conn, side, cargo),
            Item::Ask(node, life, ticket, put) => self.asked(node, life, ticket, put),
            Item::LatePut(put) => {
                if self.arbiter.apply(&put) {
                    self.met.insert(Met::LatePutApplied);
                    self.trace.note(self.now, format_args!("arbiter: a late put is applied: {}", show(&put.new)));
                }
            }
            Item::Start(node) => self.start(node),
            Item::Wake(node) => self.wake(node),
            Item::Fault(fault) => self.strike(fault),
            Item::Calm => self.become_calm(),
            Item::Look => {
                self.look();
                self.after(LOOK_EVERY, Item::Look);
            }
        }
    }

    fn happen_to(&mut self, node: usize, life: u32, what: ToNode) {
        let n = &mut self.nodes[node];
        let Some(run) = &n.run else { return };
        if run.number != life {
            return;
        }
        if n.stalled_until > self.now {
            n.inbox.push_back(what);
            return;
        }
        self.perform(node, what);
    }

    fn perform(&mut self, node: usize, what: ToNode) {
        match what {
            ToNode::Event(event) => self.handle(node, event),
            ToNode::Tick => {
                self.handle(node, Event::Tick);
                let next = Micros(18_000 + self.rng.below(4_000));
                self.give(node, next, ToNode::Tick);
            }
            ToNode::Work(turn) => self.work(node, turn),
            ToNode::Release => self.release(node),
            ToNode::Written(count, end, cuts) => self.written(node, count, end, cuts),
            ToNode::Synced(cuts) => self.synced(node, cuts),
            ToNode::MetaStored => self.meta_stored(node),
            ToNode::Replay => self.replay_log(node),
        }
    }

    /// Gives an event to a node's engine and carries out what it wants.
    pub(crate) fn handle(&mut self, node: usize, event: Event) {
        let now = self.now;
        let Some(run) = &mut self.nodes[node].run else { return };
        if let (Event::Received(_, Packet { message: Message::Ack(_), .. }), Some(live), Some(owner)) =
            (&event, run.live, self.checker.owner())
            && owner.term > live.term
        {
            self.met.insert(Met::StaleAck);
        }
        let number = run.number;
        let mut actions = std::mem::take(&mut self.scratch);
        run.engine.handle(event, now, &mut actions);
        for action in actions.drain(..) {
            // A life that ends in the middle of its actions carries out no more of them.
            let alive = self.nodes[node].run.as_ref().is_some_and(|r| r.number == number);
            if alive && self.violation.is_none() {
                self.apply(node, action);
            }
        }
        if self.scratch.capacity() == 0 {
            self.scratch = actions;
        }
    }

    // ---- stalls ----

    fn wake(&mut self, node: usize) {
        if self.nodes[node].stalled_until > self.now {
            return;
        }
        let waiting = std::mem::take(&mut self.nodes[node].inbox);
        self.trace.note(self.now, format_args!("n{node} runs again, {} things wait", waiting.len()));
        // What a process notices first when it wakes is anything.
        let (mut first, mut rest): (Vec<ToNode>, Vec<ToNode>) = (Vec::new(), Vec::new());
        let order = self.rng.below(3);
        for what in waiting {
            let early = match (&what, order) {
                (ToNode::Tick, 1) | (ToNode::Work(_) | ToNode::Release, 2) => true,
                _ => order == 0,
            };
            if early { first.push(what) } else { rest.push(what) }
        }
        let number = self.nodes[node].run.as_ref().map(|r| r.number);
        for what in first.into_iter().chain(rest) {
            if self.nodes[node].run.as_ref().map(|r| r.number) == number {
                self.perform(node, what);
            }
        }
    }

    pub(crate) fn stall(&mut self, node: usize, spell: Micros) {
        let until = self.now.plus(spell);
        let n = &mut self.nodes[node];
        if n.run.is_some() && n.stalled_until < until {
            n.stalled_until = until;
            self.trace.note(self.now, format_args!("n{node} stalls for {} ms", spell.0 / 1000));
            self.at(until, Item::Wake(node));
        }
    }

    // ---- network ----

    pub(crate) fn dial(&mut self, from: usize, address: &str) {
        let Some(to) = address.strip_prefix('n').and_then(|n| n.parse::<usize>().ok()) else { return };
        let reachable = to < self.nodes.len()
            && to != from
            && !self.blocked.is(from, to, self.now)
            && !self.blocked.is(to, from, self.now);
        let (Some(dialler), Some(listener)) = (&self.nodes[from].run, self.nodes.get(to).and_then(|n| n.run.as_ref()))
        else {
            return;
        };
        if !reachable {
            return;
        }
        let conn = Conn::new((from, dialler.number), (to, listener.number));
        self.conns.push(conn);
        let id = self.conns.len() - 1;
        self.push_cargo(id, 0, Cargo::Open);
        self.push_cargo(id, 1, Cargo::Open);
    }

    /// Puts something on its way to one end.
    fn push_cargo(&mut self, conn: usize, to: usize, cargo: Cargo) {
        let spike = self.plan.net_bad_percent > 0 && !self.calm && self.rng.percent(self.plan.net_bad_percent);
        let delay = if spike {
            self.rng.between(Micros::from_millis(5), Micros::from_millis(260))
        } else {
            Micros(60 + self.rng.below(1_500))
        };
        let at = self.now.plus(delay).max(self.conns[conn].ends[to].busy_until);
        self.conns[conn].ends[to].busy_until = at;
        self.at(at, Item::Arrive(conn, to, cargo));
    }

    pub(crate) fn send(&mut self, node: usize, id: ConnId, packet: Packet) {
        let Some((conn, side)) = self.end_of(node, id) else { return };
        if self.conns[conn].cut || !self.conns[conn].ends[side].open {
            return;
        }
        let double = self.plan.net_bad_percent > 0 && self.rng.one_in(60);
        if double {
            self.push_cargo(conn, 1 - side, Cargo::Packet(packet.clone()));
        }
        self.push_cargo(conn, 1 - side, Cargo::Packet(packet));
    }

    pub(crate) fn close(&mut self, node: usize, id: ConnId) {
        if let Some((conn, side)) = self.end_of(node, id) {
            self.conns[conn].ends[side].open = false;
            self.push_cargo(conn, 1 - side, Cargo::Gone);
        }
    }

    fn end_of(&self, node: usize, id: ConnId) -> Option<(usize, usize)> {
        let conn = id.0 as usize;
        let life = self.nodes[node].run.as_ref()?.number;
        Some((conn, self.conns.get(conn)?.side(node, life)?))
    }

    fn arrive(&mut self, conn: usize, side: usize, cargo: Cargo) {
        let c = &mut self.conns[conn];
        let (from, to) = (c.ends[1 - side].node, c.ends[side].node);
        if c.cut && !matches!(cargo, Cargo::Gone) {
            return;
        }
        if self.blocked.is(from, to, self.now) || !c.ends[side].held.is_empty() {
            c.ends[side].held.push_back(cargo);
            if c.ends[side].held.len() == 1 {
                self.after(Micros::from_millis(7), Item::Arrive(conn, side, Cargo::Open));
            } else if matches!(c.ends[side].held.back(), Some(Cargo::Open)) && !self.blocked.is(from, to, self.now) {
                // The probe: everything that waited arrives now, in order.
                c.ends[side].held.pop_back();
                let held = std::mem::take(&mut c.ends[side].held);
                for cargo in held {
                    self.deliver(conn, side, cargo);
                }
            } else if matches!(c.ends[side].held.back(), Some(Cargo::Open)) {
                c.ends[side].held.pop_back();
                self.after(Micros::from_millis(7), Item::Arrive(conn, side, Cargo::Open));
            }
            return;
        }
        self.deliver(conn, side, cargo);
    }

    fn deliver(&mut self, conn: usize, side: usize, cargo: Cargo) {
        let end = &mut self.conns[conn].ends[side];
        // A packet may have been read, and wait for the engine, when the engine closes the connection.
        if !end.open && !matches!(cargo, Cargo::Packet(_)) {
            return;
        }
        let (node, life, id) = (end.node, end.life, ConnId(conn as u64));
        let event = match cargo {
            Cargo::Open if side == 0 => Event::Dialled(id),
            Cargo::Open => Event::Connected(id),
            Cargo::Packet(packet) => Event::Received(id, packet),
            Cargo::Gone => {
                end.open = false;
                Event::Disconnected(id)
            }
        };
        self.happen_to(node, life, ToNode::Event(event));
    }

    /// Every connection of a node's life breaks. Silent: the other side is not told (power was lost).
    pub(crate) fn break_conns(&mut self, node: usize, silent: bool) {
        let Some(life) = self.nodes[node].run.as_ref().map(|r| r.number) else { return };
        for conn in 0..self.conns.len() {
            let Some(side) = self.conns[conn].side(node, life) else { continue };
            if !self.conns[conn].ends[side].open {
                continue;
            }
            self.conns[conn].ends[side].open = false;
            // What was on its way may still arrive, or is lost with the connection.
            self.conns[conn].cut |= self.rng.one_in(2);
            if silent {
                self.conns[conn].cut = true;
            } else {
                self.push_cargo(conn, 1 - side, Cargo::Gone);
            }
        }
    }

    fn reset(&mut self, node: usize) {
        let Some(life) = self.nodes[node].run.as_ref().map(|r| r.number) else { return };
        self.trace.note(self.now, format_args!("connections of n{node} break"));
        for conn in 0..self.conns.len() {
            if self.conns[conn].side(node, life).is_some() {
                self.conns[conn].cut |= self.rng.one_in(2);
                self.push_cargo(conn, 0, Cargo::Gone);
                self.push_cargo(conn, 1, Cargo::Gone);
            }
        }
    }

    // ---- arbiter ----

    /// A life asks the arbiter, which may answer, not answer, be too late to answer, or hear it only when nobody waits any more.
    pub(crate) fn ask(&mut self, node: usize, ticket: Ticket, put: Option<Put>) {
        let Some(life) = self.nodes[node].run.as_ref().map(|r| r.number) else { return };
        let timeout = Micros::from_millis(60 + self.rng.below(100));
        let unreachable = self.nodes[node].no_arbiter_until > self.now || self.arbiter_down_until > self.now;
        let bad = !self.calm && self.rng.percent(self.plan.arbiter_bad_percent);
        let Some(put) = put else {
            if unreachable || bad {
                return self.give(node, timeout, ToNode::Event(Event::ReadFailed(ticket)));
            }
            let delay = Micros(100 + self.rng.below(2_000));
            return self.after(delay, Item::Ask(node, life, ticket, None));
        };
        if !unreachable && !bad {
            let delay = Micros(100 + self.rng.below(3_000));
            return self.after(delay, Item::Ask(node, life, ticket, Some(put)));
        }
        self.unknown(&put);
        self.trace.note(self.now, format_args!("n{node}: its put of {} will have no answer", show(&put.new)));
        self.give(node, timeout, ToNode::Event(Event::PutUnknown(ticket)));
        match self.rng.below(3) {
            // Lost on the way.
            0 => {}
            // Applied, and the answer lost.
            1 if !unreachable => self.after(Micros(self.rng.clone().below(40_000)), Item::LatePut(put)),
            // Applied when everybody has given up.
            _ => {
                let late = timeout.plus(self.rng.between(Micros(500), Micros::from_millis(900)));
                self.after(late, Item::LatePut(put));
            }
        }
    }

    fn unknown(&mut self, put: &Put) {
        if put.new.backup.is_some() {
            self.met.insert(Met::UnknownInSyncPut);
        } else if self
            .arbiter
            .current()
            .is_some_and(|r| r.owner.life != put.new.owner.life && r.backed_by(put.new.owner.life))
        {
            self.met.insert(Met::UnknownPromotePut);
        }
    }

    fn asked(&mut self, node: usize, life: u32, ticket: Ticket, put: Option<Put>) {
        let event = match put {
            None => Event::ReadDone(ticket, self.arbiter.current().cloned()),
            Some(put) => {
                if self.arbiter.apply(&put) {
                    self.trace.note(self.now, format_args!("arbiter: {}", show(&put.new)));
                }
                Event::PutDone(ticket, self.arbiter.current().cloned())
            }
        };
        let delay = Micros(100 + self.rng.below(2_000));
        self.after(delay, Item::Node(node, life, ToNode::Event(event)));
    }

    // ---- faults ----

    fn strike(&mut self, fault: Fault) {
        if self.calm {
            return;
        }
        match fault {
            Fault::Crash(node, down) => self.crash(node, down, false, false),
            Fault::CrashWithoutDisk(node, down) => self.crash(node, down, false, true),
            Fault::PowerLoss(node, down) => self.crash(node, down, true, false),
            Fault::CrashAll(power, down) => {
                for node in 0..self.nodes.len() {
                    let apart = Micros(self.rng.below(60_000));
                    self.crash(node, down.plus(apart), power, false);
                }
            }
            Fault::Stall(node, spell) => self.stall(node, spell),
            Fault::OneWay(from, to, spell) => {
                self.trace.note(self.now, format_args!("n{from} -> n{to} is blocked for {} ms", spell.0 / 1000));
                self.blocked.block(from, to, self.now.plus(spell));
            }
            Fault::Partition(a, b, spell) => {
                self.trace.note(self.now, format_args!("n{a} and n{b} are parted for {} ms", spell.0 / 1000));
                self.blocked.block(a, b, self.now.plus(spell));
                self.blocked.block(b, a, self.now.plus(spell));
            }
            Fault::NoArbiter(node, spell) => {
                self.trace.note(self.now, format_args!("n{node} cannot reach the arbiter for {} ms", spell.0 / 1000));
                self.nodes[node].no_arbiter_until = self.now.plus(spell);
            }
            Fault::ArbiterDown(spell) => {
                self.trace.note(self.now, format_args!("the arbiter is down for {} ms", spell.0 / 1000));
                self.arbiter_down_until = self.now.plus(spell);
            }
            Fault::Reset(node) => self.reset(node),
            Fault::Handover => {
                for node in 0..self.nodes.len() {
                    if self.mode(node) == Some(Mode::Protected) {
                        self.trace.note(self.now, format_args!("n{node} is asked to hand over"));
                        self.give(node, Micros(0), ToNode::Event(Event::HandoverAsked));
                    }
                }
            }
            Fault::Newcomer => {
                let last = self.nodes.len() - 1;
                if !self.nodes[last].present {
                    self.nodes[last].present = true;
                    self.after(Micros(0), Item::Start(last));
                }
            }
            Fault::End => {
                for node in &self.nodes {
                    if let Some(run) = node.run.as_ref().filter(|r| r.live.is_some()) {
                        run.world.send(gapless_log::toy::END.to_vec());
                    }
                }
            }
        }
    }

    fn become_calm(&mut self) {
        self.calm = true;
        self.trace.note(self.now, format_args!("faults stop"));
        self.blocked.heal();
        self.arbiter_down_until = Micros(0);
        self.released_at_calm = self.checker.released();
        for node in 0..self.nodes.len() {
            self.nodes[node].no_arbiter_until = Micros(0);
            if self.nodes[node].stalled_until > self.now {
                self.nodes[node].stalled_until = self.now;
                self.at(self.now, Item::Wake(node));
            }
        }
        self.after(LOOK_EVERY, Item::Look);
    }

    pub(crate) fn mode(&self, node: usize) -> Option<Mode> {
        self.nodes[node].run.as_ref().map(|r| r.engine.mode())
    }
}

/// A register on one line.
pub(crate) fn show(register: &Register) -> String {
    let backup = register.backup.as_ref().map_or("none".to_owned(), |b| b.life.to_string());
    let ended = register.ended.map_or(String::new(), |s| format!(", ended {s}"));
    let generation =
        if register.generation > 0 { format!(", generation {}", register.generation) } else { String::new() };
    format!("term {}: owner {}, backup {backup}{generation}{ended}", register.term, register.owner.life)
}
