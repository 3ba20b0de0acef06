//! An edge that a script plays, for tests and the simulator: what is to happen lies on a [`Desk`], and so does what the shard did about it.
//!
//! It keeps the rules of the real one: nothing goes to another shard that was not emitted, and all of that which is not held there goes again on every new
//! connection. It leaves out bytes, sockets and threads.

use crate::edge::{Caller, Edge, Event, said_end};
use crate::id::{Shard, Stamp};
use crate::input::Payload;
use crate::output::Said;
use crate::shard::Place;
use crate::state::State;
use crate::wire::FromShard;
use gapless_log::{Result, Waker};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

/// What lies between a script and a shard.
#[derive(Debug, Default)]
pub struct Desk {
    /// The clock.
    pub now: u64,
    /// What the shard begins with, if it begins.
    pub seed: [u8; 32],
    /// What is to happen, the next first.
    pub events: VecDeque<Event>,
    /// What is held elsewhere and is to be logged.
    pub held: Vec<(Shard, Stamp)>,
    /// Connections that the shard has ended.
    pub refused: BTreeSet<Caller>,
    /// Said to a caller without waiting for anything.
    pub told: Vec<(Caller, FromShard)>,
    /// Committed, in order; what goes to other shards is in `sent`.
    pub emitted: Vec<Said>,
    /// Questions that were put to the outside.
    pub asked: Vec<u64>,
    /// All below this may go to that shard.
    pub said: BTreeMap<Shard, Stamp>,
    /// What goes to other shards, on the connections that there are.
    pub sent: Vec<(Shard, Stamp, Payload)>,
    /// Connections on which a repetition was noticed.
    pub repeated: BTreeSet<Caller>,
}

/// The scripted edge.
#[derive(Debug)]
pub struct Script(Rc<RefCell<Desk>>);

impl Desk {
    /// What a new connection to another shard begins with. What was heard on the one before is forgotten.
    pub fn resend(&mut self, state: &State, to: Shard) -> Vec<(Stamp, Payload)> {
        self.held.retain(|&(other, _)| other != to);
        let said = self.said.get(&to).copied().unwrap_or_default();
        let again = state.outgoing(to).take_while(|(stamp, _)| *stamp < said);
        again.map(|(stamp, payload)| (stamp, payload.clone())).collect()
    }
}

impl Edge for Script {
    type Door = Rc<RefCell<Desk>>;

    fn open(_: &Place, door: &mut Self::Door) -> Result<Self> {
        Ok(Self(door.clone()))
    }

    fn resume(&mut self, state: &State, waiting: &[Said]) {
        let mut desk = self.0.borrow_mut();
        for to in state.destinations() {
            desk.said.insert(to, said_end(state, to, waiting));
        }
        let unsaid = |number| waiting.iter().any(|said| matches!(said, Said::Ask { number: n, .. } if *n == number));
        let asked: Vec<u64> = state.questions().map(|(number, ..)| number).filter(|&number| !unsaid(number)).collect();
        desk.asked.extend(asked);
    }

    fn seed(&mut self) -> Result<[u8; 32]> {
        Ok(self.0.borrow().seed)
    }

    fn now(&self) -> u64 {
        self.0.borrow().now
    }

    fn look(&mut self, _: &State) -> Result<()> {
        Ok(())
    }

    fn next_event(&mut self) -> Option<Event> {
        self.0.borrow_mut().events.pop_front()
    }

    fn take_held(&mut self) -> Vec<(Shard, Stamp)> {
        std::mem::take(&mut self.0.borrow_mut().held)
    }

    fn held_due(&self) -> Option<Duration> {
        None
    }

    fn emit(&mut self, said: Said, state: &State) {
        let mut desk = self.0.borrow_mut();
        match said {
            Said::Send { to, stamp, payload } => {
                desk.said.insert(to, state.bound(stamp.number + 1));
                desk.sent.push((to, stamp, payload));
            }
            Said::Ask { number, .. } if !state.asks(number) => {}
            Said::Ask { number, .. } => desk.asked.push(number),
            said => desk.emitted.push(said),
        }
    }

    fn tell(&mut self, caller: Caller, what: &FromShard) {
        self.0.borrow_mut().told.push((caller, what.clone()));
    }

    fn refuse(&mut self, caller: Caller) {
        self.0.borrow_mut().refused.insert(caller);
    }

    fn repeats(&mut self, caller: Caller) -> bool {
        self.0.borrow_mut().repeated.insert(caller)
    }

    fn flush(&mut self) {}

    fn wait(&mut self, _: &Waker, _: Duration) -> Result<()> {
        Ok(())
    }
}
