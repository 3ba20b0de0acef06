//! Breadth-first search over all states, shortest traces, and reverse reachability for liveness.

use std::fmt::Write as _;

use crate::guarantees::{Broken, L};
use crate::rules::{Rules, Step};
use crate::state::{Ask, Fate, Key, Life, Log, MARK, Node, Role, SLOTS, State};

/// What a search found.
pub struct Report {
    pub states: usize,
    pub steps: usize,
    pub depth: usize,
    /// What kinds of steps were taken.
    pub actions: Vec<&'static str>,
    pub broken: Option<Found>,
}

/// A broken guarantee and the shortest way there.
pub struct Found {
    pub broken: Broken,
    pub length: usize,
    pub trace: String,
}

/// Searches everything. Stops at the first state that breaks safety; then, if `live`, looks for one that breaks L.
pub fn search(rules: &Rules, live: bool) -> Report {
    let mut seen = Seen::default();
    let mut actions: Vec<&'static str> = Vec::new();
    seen.insert(rules.initial().pack(rules.config.nodes), u32::MAX);
    let (mut steps, mut taken, mut depth) = (Vec::new(), 0, 0);
    let mut level_end = 1;
    let mut edges = Vec::new();
    let mut at = 0;
    while at < seen.keys.len() {
        if at == level_end {
            (depth, level_end) = (depth + 1, seen.keys.len());
        }
        let state = State::unpack(&seen.keys[at]);
        steps.clear();
        rules.steps(&state, &mut steps);
        taken += steps.len();
        for step in &steps {
            let key = step.next.pack(rules.config.nodes);
            if !actions.iter().any(|known| std::ptr::eq(*known, step.action.what)) {
                actions.push(step.action.what);
            }
            if let Some(broken) = step.broken {
                let found = trace(rules, &seen, at as u32, Some((broken, key)));
                return Report { states: seen.keys.len(), steps: taken, depth, actions, broken: Some(found) };
            }
            let to = seen.insert(key, at as u32);
            if live && !step.fault {
                edges.push((to, at as u32));
            }
        }
        at += 1;
    }
    let broken = if live { stuck(rules, &seen, &edges) } else { None };
    let broken = broken.map(|at| trace(rules, &seen, at, None));
    Report { states: seen.keys.len(), steps: taken, depth, actions, broken }
}

/// The first state from which no fault-free way leads to a live owner. `edges` are (to, from).
fn stuck(rules: &Rules, seen: &Seen, edges: &[(u32, u32)]) -> Option<u32> {
    let unpacked = |at: u32| State::unpack(&seen.keys[at as usize]);
    let states = seen.keys.len();
    let (first, sources) = by_target(states, edges);
    let mut reached = vec![false; states];
    let mut queue: Vec<u32> = (0..states as u32).filter(|&at| rules.serves(&unpacked(at))).collect();
    queue.iter().for_each(|&at| reached[at as usize] = true);
    while let Some(to) = queue.pop() {
        for &from in &sources[first[to as usize]..first[to as usize + 1]] {
            if !std::mem::replace(&mut reached[from as usize], true) {
                queue.push(from);
            }
        }
    }
    (0..states as u32).find(|&at| !reached[at as usize] && rules.servable(&unpacked(at)))
}

/// The sources of all edges, those of target `t` at `first[t]..first[t + 1]`.
fn by_target(targets: usize, edges: &[(u32, u32)]) -> (Vec<usize>, Vec<u32>) {
    let mut first = vec![0; targets + 1];
    edges.iter().for_each(|&(to, _)| first[to as usize + 1] += 1);
    (0..targets).for_each(|t| first[t + 1] += first[t]);
    let mut free = first.clone();
    let mut sources = vec![0; edges.len()];
    for &(to, from) in edges {
        sources[free[to as usize]] = from;
        free[to as usize] += 1;
    }
    (first, sources)
}

/// The states met, each with the one that it was first reached from; open addressing over their numbers.
#[derive(Default)]
struct Seen {
    keys: Vec<Key>,
    parents: Vec<u32>,
    table: Vec<u32>,
}

impl Seen {
    fn insert(&mut self, key: Key, parent: u32) -> u32 {
        if self.table.len() < 2 * self.keys.len() + 2 {
            self.grow();
        }
        let mask = self.table.len() - 1;
        let mut slot = hash(&key) as usize & mask;
        loop {
            match self.table[slot] {
                u32::MAX => break,
                at if self.keys[at as usize] == key => return at,
                _ => slot = (slot + 1) & mask,
            }
        }
        let at = u32::try_from(self.keys.len()).expect("fewer than 2^32 states");
        self.table[slot] = at;
        self.keys.push(key);
        self.parents.push(parent);
        at
    }

    fn grow(&mut self) {
        let size = (self.table.len() * 4).max(1 << 12);
        self.table = vec![u32::MAX; size];
        for (at, key) in self.keys.iter().enumerate() {
            let mut slot = hash(key) as usize & (size - 1);
            while self.table[slot] != u32::MAX {
                slot = (slot + 1) & (size - 1);
            }
            self.table[slot] = at as u32;
        }
    }
}

fn hash(key: &Key) -> u64 {
    key.iter().fold(0, |hash: u64, word| {
        let mixed = (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ mixed >> 29
    })
}

// ---- traces ---------------------------------------------------------------------------------------------------------

/// The way to state `at` and, if given, the broken step from there, played again under lasting names.
fn trace(rules: &Rules, seen: &Seen, at: u32, broken: Option<(Broken, Key)>) -> Found {
    let mut path = Vec::new();
    let mut on = at;
    while seen.parents[on as usize] != u32::MAX {
        path.push(seen.keys[on as usize]);
        on = seen.parents[on as usize];
    }
    path.reverse();
    let mut teller = Teller::new(rules.initial());
    for key in path {
        teller.step(rules, |step| step.next.pack(rules.config.nodes) == key);
    }
    if let Some((broken, key)) = broken {
        teller.step(rules, |step| step.broken == Some(broken) && step.next.pack(rules.config.nodes) == key);
    }
    Found { broken: broken.map_or(L, |(broken, _)| broken), length: teller.line, trace: teller.text }
}

/// Tells a run in words. Lives are named by their node and start: `B2` is the second start on node B.
struct Teller {
    state: State,
    term: u32,
    names: Vec<(Life, String)>,
    starts: [u32; SLOTS],
    line: usize,
    text: String,
}

impl Teller {
    fn new(state: State) -> Teller {
        Teller { state, term: 0, names: Vec::new(), starts: [0; SLOTS], line: 0, text: String::new() }
    }

    fn step(&mut self, rules: &Rules, is: impl Fn(&Step) -> bool) {
        let mut steps = Vec::new();
        // A name must not come back while an older life of the same name is told of.
        self.state.next_life = 1 + self.names.iter().map(|n| n.0).max().unwrap_or(0);
        rules.steps(&self.state, &mut steps);
        let step = steps.into_iter().find(is).expect("the step was found once");
        let before = std::mem::replace(&mut self.state, step.next);
        for i in 0..SLOTS {
            let life = self.state.nodes[i].life;
            if life != 0 && self.names.iter().all(|n| n.0 != life) {
                self.starts[i] += 1;
                self.names.push((life, format!("{}{}", node_name(i), self.starts[i])));
            }
        }
        let who = if step.action.who == SLOTS { "R".into() } else { node_name(step.action.who).to_string() };
        if (before.owner, before.backup) != (self.state.owner, self.state.backup) {
            self.term += 1;
        }
        self.line += 1;
        let _ = writeln!(self.text, "{:3}. {who} {}", self.line, step.action.what);
        let told = self.tell();
        let _ = writeln!(self.text, "       {told}");
        if let Some(broken) = step.broken {
            let _ = writeln!(self.text, "     => {broken}");
        }
    }

    fn tell(&self) -> String {
        let s = &self.state;
        let mut text = match s.owner {
            0 => "R absent".to_string(),
            owner => format!("R v{} {{{}, {}}}", self.term, self.life(owner), self.life(s.backup)),
        };
        let _ = write!(text, " released {}", self.log(s.released));
        for put in s.orphans.iter().filter(|p| p.owner != 0) {
            let _ = write!(text, " put under way {{{}, {}}}", self.life(put.owner), self.life(put.backup));
        }
        for (i, node) in s.nodes.iter().enumerate() {
            if *node != Node::default() {
                let _ = write!(text, " | {}: {}", node_name(i), self.node(node));
            }
        }
        text
    }

    fn node(&self, node: &Node) -> String {
        let mut text = match node.role {
            Role::Dead => format!("dead, directory of {}", self.life(node.dir_life)),
            role => format!("{} {role:?}", self.life(node.life)),
        };
        let _ = write!(text, " log {}", self.log(node.log));
        if node.alive() && node.disk < node.log.len() {
            let _ = write!(text, " disk {}", node.disk);
        }
        if node.peer != 0 {
            let _ = write!(
                text,
                " with {}{}",
                self.life(node.peer),
                if node.live() && !node.session { " (gone)" } else { "" }
            );
        }
        for (what, value) in [("acked", node.acked), ("acks on the way", node.wire), ("released", node.released)] {
            if value > 0 {
                let _ = write!(text, " {what} {value}");
            }
        }
        if node.ask != Ask::None {
            let fate = if node.fate == Fate::Pending { "unknown".into() } else { format!("{:?}, not told", node.fate) };
            let _ = write!(text, " asks {:?} ({fate})", node.ask);
        }
        if node.intent.owner != 0 {
            let _ = write!(text, " intent {{{}, {}}}", self.life(node.intent.owner), self.life(node.intent.backup));
        }
        text
    }

    fn life(&self, life: Life) -> &str {
        match life {
            0 => "none",
            _ => self.names.iter().find(|n| n.0 == life).map_or("?", |n| &n.1),
        }
    }

    fn log(&self, log: Log) -> String {
        let items = (0..log.len()).filter_map(|at| log.get(at));
        let items: Vec<&str> = items.map(|item| if item == MARK { "mark" } else { self.life(item) }).collect();
        format!("[{}]", items.join(" "))
    }
}

fn node_name(i: usize) -> char {
    (b'A' + i as u8) as char
}
