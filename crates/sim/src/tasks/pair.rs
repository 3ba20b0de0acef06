//! A shard's pair: two hosts, their logs, and the frames between them.

use super::TaskMutant;
use super::bank::Account;
use crate::rng::Rng;
use gapless_log::{Digest, Frame, Host, Options, Replayed, Replica, Seq, Term};
use gapless_task::input::Input;
use gapless_task::script::{Desk, Script};
use gapless_task::{Doors, Kinds, Place, Shard, ShardReplica, State};
use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;

type Shell = Host<ShardReplica<Script>>;

/// One machine: what runs there, and what is on its disk.
#[derive(Default)]
struct Side {
    host: Option<Shell>,
    desk: Rc<RefCell<Desk>>,
    /// What its log begins with, if not with the beginning.
    base: Option<(Vec<u8>, Seq, Digest)>,
    log: Vec<Frame>,
}

impl Side {
    fn end(&self) -> (Seq, Digest) {
        let base = self.base.as_ref().map_or((Seq(0), 0), |&(_, seq, chain)| (seq, chain));
        self.log.last().map_or(base, |frame| (frame.end_seq(), frame.chain_after()))
    }
}

/// The pair.
pub struct Pair {
    pub shard: Shard,
    place: Place,
    sides: [Side; 2],
    /// Who owns the history.
    owner: usize,
    live: bool,
    /// The other side has everything but what is on the wire.
    in_sync: bool,
    wire: VecDeque<Frame>,
    term: u64,
    generation: u32,
    /// Counts lives of the live side: connections belong to one.
    pub life: u64,
    /// Frames of this log were lost.
    pub losses: u64,
    pub now: u64,
}

impl Pair {
    /// A shard that has just begun.
    pub fn new(shard: Shard, shards: u16) -> Self {
        let place = Place {
            shard,
            shards,
            kinds: Kinds::new().with::<Account>(),
            code: "simulated".to_owned(),
            doors: Doors::new(shards),
            nodes: Vec::new(),
            black_box: None,
        };
        let (sides, wire) = (<[Side; 2]>::default(), VecDeque::new());
        let (term, generation, life, losses) = (0, 0, 0, 0);
        let mut pair = Self {
            shard,
            place,
            sides,
            owner: 0,
            live: false,
            in_sync: false,
            wire,
            term,
            generation,
            life,
            losses,
            now: 1_000_000,
        };
        pair.resume(None, TaskMutant::None).expect("a shard begins");
        pair
    }

    pub fn is_live(&self) -> bool {
        self.live
    }

    pub fn is_protected(&self) -> bool {
        self.live && self.in_sync
    }

    /// The owner is dead and its backup may go on.
    pub fn may_take_over(&self) -> bool {
        !self.live && self.in_sync
    }

    fn other(&self) -> usize {
        1 - self.owner
    }

    fn host(&mut self) -> &mut Shell {
        self.sides[self.owner].host.as_mut().expect("it is live")
    }

    /// What lies between the live side and the world.
    pub fn desk(&self) -> RefMut<'_, Desk> {
        let mut desk = self.sides[self.owner].desk.borrow_mut();
        desk.now = self.now;
        desk
    }

    pub fn state(&self) -> &State {
        self.sides[self.owner].host.as_ref().expect("it is live").replica().state().expect("it has begun")
    }

    fn blank(&self, seed: u8) -> (Shell, Rc<RefCell<Desk>>) {
        let desk = Rc::new(RefCell::new(Desk { now: self.now, seed: [seed; 32], ..Desk::default() }));
        (Host::new(ShardReplica::with_edge(self.place.clone(), desk.clone()), Options::default()), desk)
    }

    // ---- the live side ----

    /// Runs a step; what it wrote goes to its own log and on the wire.
    pub fn step(&mut self, digest: bool) -> Result<(), String> {
        drop(self.desk());
        self.host().record_step().map_err(|e| e.to_string())?;
        if digest {
            self.host().record_digest().map_err(|e| e.to_string())?;
        }
        self.seal();
        Ok(())
    }

    fn seal(&mut self) {
        let frames = self.host().seal(Seq(0));
        if self.in_sync {
            self.wire.extend(frames.iter().cloned());
        }
        self.sides[self.owner].log.extend(frames);
    }

    /// The backup receives the next frame.
    pub fn ship(&mut self) {
        if let Some(frame) = self.wire.pop_front() {
            let side = &mut self.sides[1 - self.owner];
            side.host.as_mut().expect("it is in sync").feed(&frame).expect("it continues");
            side.log.push(frame);
        }
    }

    pub fn shipped(&self) -> bool {
        self.wire.is_empty()
    }

    /// The backup executes; true if there was something.
    pub fn execute(&mut self) -> Result<bool, String> {
        let other = self.other();
        let Some(host) = self.sides[other].host.as_mut().filter(|_| self.in_sync) else { return Ok(false) };
        let done = host.replay_step().map_err(|e| format!("shard {}: the backup: {e}", self.shard))?;
        Ok(matches!(done, Replayed::Step(_) | Replayed::Sync(_)))
    }

    /// What is committed leaves.
    pub fn release(&mut self, mutant: TaskMutant) {
        let holder = if self.in_sync { self.other() } else { self.owner };
        let committed = match mutant {
            TaskMutant::ReleaseBeforeCommit => Seq(u64::MAX),
            _ => self.sides[holder].end().0,
        };
        self.host().release(committed).expect("a script takes everything");
    }

    // ---- faults ----

    /// The live side dies. Of what is on the wire a part still arrives.
    pub fn kill_live(&mut self, rng: &mut Rng) {
        for _ in 0..rng.below(self.wire.len() as u64 + 1) {
            self.ship();
        }
        self.wire.clear();
        self.sides[self.owner].host = None;
        (self.live, self.life) = (false, self.life + 1);
    }

    /// The backup dies: the live side is alone.
    pub fn kill_backup(&mut self) {
        let other = self.other();
        self.sides[other].host = None;
        self.in_sync = false;
        self.wire.clear();
    }

    /// The backup goes on.
    pub fn take_over(&mut self, mutant: TaskMutant) -> Result<(), String> {
        while self.execute()? {}
        self.owner = self.other();
        self.in_sync = false;
        self.go_live(mutant)
    }

    /// The owner goes on from its log, or from the first frames of it.
    pub fn resume(&mut self, frames: Option<usize>, mutant: TaskMutant) -> Result<(), String> {
        let (mut host, desk) = self.blank(self.life as u8 ^ self.shard.0 as u8);
        let side = &mut self.sides[self.owner];
        if let Some(frames) = frames {
            side.log.truncate(frames);
            self.generation += 1;
            self.losses += 1;
        }
        if let Some((bytes, seq, chain)) = &side.base {
            host.load(bytes, *seq, *chain).map_err(|e| e.to_string())?;
        }
        for frame in &side.log {
            host.feed(frame).map_err(|e| e.to_string())?;
            while matches!(host.replay_step().map_err(|e| e.to_string())?, Replayed::Step(_) | Replayed::Sync(_)) {}
        }
        (side.host, side.desk) = (Some(host), desk);
        self.kill_backup();
        self.go_live(mutant)
    }

    /// How many frames the owner has written.
    pub fn frames(&self) -> usize {
        self.sides[self.owner].log.len()
    }

    fn go_live(&mut self, mutant: TaskMutant) -> Result<(), String> {
        let (end, chain) = self.sides[self.owner].end();
        (self.term, self.live, self.life) = (self.term + 1, true, self.life + 1);
        let (term, generation) = (Term(self.term), self.generation);
        drop(self.desk());
        let host = self.host();
        if mutant != TaskMutant::NumberReuse {
            host.replica_mut().losses(generation);
        }
        host.go_live(term, end, chain).map_err(|e| e.to_string())?;
        self.step(false)
    }

    /// A new backup begins, with the whole log or with a snapshot.
    pub fn join(&mut self, snapshot: bool, mutant: TaskMutant) -> Result<(), String> {
        self.seal();
        let (mut host, desk) = self.blank(0);
        let owner = &mut self.sides[self.owner];
        let (end, chain) = owner.end();
        let (base, log) = if snapshot {
            let shell = owner.host.as_mut().expect("it is live");
            let mut bytes = shell.save().map_err(|e| e.to_string())?.expect("shards save themselves");
            if mutant == TaskMutant::SnapshotWithoutOutgoing {
                let mut state = Vec::new();
                shell.replica_mut().save(&mut state).map_err(|e| e.to_string())?;
                bytes.truncate(bytes.len() - state.len());
                bytes.extend(without_outgoing(&self.place, &state));
            }
            (Some((bytes, end, chain)), Vec::new())
        } else {
            (owner.base.clone(), owner.log.clone())
        };
        if let Some((bytes, seq, chain)) = &base {
            host.load(bytes, *seq, *chain).map_err(|e| e.to_string())?;
        }
        log.iter().try_for_each(|frame| host.feed(frame)).map_err(|e| e.to_string())?;
        let other = self.other();
        self.sides[other] = Side { host: Some(host), desk, base, log };
        (self.in_sync, self.wire) = (true, VecDeque::new());
        Ok(())
    }
}

fn without_outgoing(place: &Place, bytes: &[u8]) -> Vec<u8> {
    let mut state = State::load(place.kinds.clone(), bytes).expect("it was saved");
    for to in state.destinations().collect::<Vec<_>>() {
        let below = state.outgoing_end(to);
        assert!(state.apply(Input::Held { to, below }));
    }
    state.save()
}
