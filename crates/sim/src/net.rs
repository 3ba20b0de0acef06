//! The simulated network: connections whose packets keep their order, and directions that may be blocked.
//!
//! Packets under way in a blocked direction wait, as TCP makes them wait. Order between two connections is anything.

use gapless_pair::{Micros, Packet};
use std::collections::VecDeque;

/// What travels on a connection.
#[derive(Clone, PartialEq, Debug)]
pub enum Cargo {
    /// The connection stands for this side.
    Open,
    /// A packet.
    Packet(Packet),
    /// The other side is gone.
    Gone,
}

/// One end of a connection.
#[derive(Clone, Debug)]
pub struct End {
    /// Which machine.
    pub node: usize,
    /// Which life of it.
    pub life: u32,
    /// This side still wants to hear of it.
    pub open: bool,
    /// Latest arrival promised in the direction to this end.
    pub busy_until: Micros,
    /// Arrived here in a blocked direction.
    pub held: VecDeque<Cargo>,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct Conn {
    /// Dialler and listener.
    pub ends: [End; 2],
    /// Nothing under way arrives any more.
    pub cut: bool,
}

impl Conn {
    /// A connection between two lives.
    pub fn new(dialler: (usize, u32), listener: (usize, u32)) -> Self {
        let end = |(node, life)| End { node, life, open: true, busy_until: Micros(0), held: VecDeque::new() };
        Self { ends: [end(dialler), end(listener)], cut: false }
    }

    /// The index of this life's end.
    pub fn side(&self, node: usize, life: u32) -> Option<usize> {
        self.ends.iter().position(|e| e.node == node && e.life == life)
    }
}

/// Which directions are blocked, until when.
#[derive(Clone, Debug)]
pub struct Blocked {
    nodes: usize,
    until: Vec<Micros>,
}

impl Blocked {
    /// None, among this many nodes.
    pub fn none(nodes: usize) -> Self {
        Self { nodes, until: vec![Micros(0); nodes * nodes] }
    }

    /// Blocks one direction.
    pub fn block(&mut self, from: usize, to: usize, until: Micros) {
        let cell = &mut self.until[from * self.nodes + to];
        *cell = (*cell).max(until);
    }

    /// Is it blocked now?
    pub fn is(&self, from: usize, to: usize, now: Micros) -> bool {
        self.until[from * self.nodes + to] > now
    }

    /// Unblocks everything.
    pub fn heal(&mut self) {
        self.until.fill(Micros(0));
    }
}
