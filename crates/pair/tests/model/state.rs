//! One state of the abstract pair: the register, the nodes, and the puts under way, packed into four words.
//!
//! The rule it keeps: two states that differ only in the *names* of lives and nodes are one state. Lives are only
//! ever compared for equality, so [`State::pack`] renames them in the order in which they are met and sorts the nodes.
//! That makes the state space finite although processes restart without end: a life nobody remembers is a free name.
//! The term `v` is left out for the same reason: a put expects either the present term or one that has passed, and a
//! put that expects a passed term can never be applied.
//!
//! What it leaves out: bytes, time, addresses. A pause is a process that takes no step, for as long as the search likes.

/// A start of a process; 0 is none.
pub type Life = u8;

/// Directories (and so processes) in a state. A directory is locked by its live process, so a slot is both.
pub const SLOTS: usize = 3;
/// Log items a log may hold.
pub const LOG_MAX: usize = 4;
/// Puts of dead or forgetful senders that may still be applied.
pub const ORPHANS: usize = 3;
/// The log item that ends a step; it carries nothing, so it is the same whoever wrote it.
pub const MARK: u8 = 15;
/// Names that a packed life can take.
const LIFE_MAX: u8 = 14;

/// A log: each item is the life that wrote it, or [`MARK`]. A life goes live at most once and then only appends, so
/// (writer, index) names the contents of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Log {
    items: u16,
    len: u8,
}

impl Log {
    pub fn len(self) -> u8 {
        self.len
    }

    pub fn get(self, at: u8) -> Option<u8> {
        (at < self.len).then_some(((self.items >> (4 * at)) & 15) as u8)
    }

    pub fn last(self) -> Option<u8> {
        self.len.checked_sub(1).and_then(|at| self.get(at))
    }

    pub fn push(&mut self, item: u8) {
        assert!((self.len as usize) < LOG_MAX && (1..=MARK).contains(&item));
        self.items |= u16::from(item) << (4 * self.len);
        self.len += 1;
    }

    /// The first `len` items.
    pub fn prefix(self, len: u8) -> Log {
        if len >= self.len {
            return self;
        }
        Log { items: self.items & ((1 << (4 * len)) - 1), len }
    }

    /// How many items both begin with.
    pub fn common(self, other: Log) -> u8 {
        let short = self.len.min(other.len);
        (0..short).find(|&at| self.get(at) != other.get(at)).unwrap_or(short)
    }

    pub fn begins(self, longer: Log) -> bool {
        self.common(longer) == self.len
    }

    /// One is a prefix of the other.
    pub fn agrees(self, other: Log) -> bool {
        self.common(other) == self.len.min(other.len)
    }

    fn rename(self, names: &mut Names) -> Log {
        let mut new = Log::default();
        for at in 0..self.len {
            match self.get(at) {
                Some(MARK) => new.push(MARK),
                Some(life) => new.push(names.of(life)),
                None => unreachable!("at < len"),
            }
        }
        new
    }

    fn word(self) -> u64 {
        u64::from(self.items) | u64::from(self.len) << 16
    }

    fn from_word(word: u64) -> Log {
        Log { items: word as u16, len: (word >> 16 & 7) as u8 }
    }
}

/// What the process on a directory is doing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Role {
    /// No process; the directory stays.
    #[default]
    Dead,
    /// Started, holds the lock, has not changed the directory yet.
    Start,
    /// A backup without a session (also one that is silent and asks for the term).
    Joining,
    /// A backup in a session: receives and acknowledges.
    Acking,
    Solo,
    Closing,
    Protected,
}

/// A put that a process has sent and not heard of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Ask {
    #[default]
    None,
    /// F: the first put.
    Fresh,
    /// R: a new life takes over the owner's directory.
    Resume,
    /// B2: the named backup takes the term.
    Promote,
    /// P2: the joiner is in sync.
    InSync,
    /// P3: the backup is gone.
    GoSolo,
    /// H: the backup shall go on.
    Handover,
    /// U: the put of the life before, found as intent, once more.
    Again,
}

/// What became of a put. The sender learns it late or never.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Fate {
    #[default]
    Pending,
    Won,
    Lost,
}

/// A directory and the process on it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Node {
    pub role: Role,
    pub ask: Ask,
    pub fate: Fate,
    pub life: Life,
    /// The other life: of a primary its joiner or backup, of a backup in a session its primary.
    pub peer: Life,
    /// A primary's end of the session is open.
    pub session: bool,
    /// What the process holds; of a dead one, what its directory holds.
    pub log: Log,
    /// How much of the log is safe on its own disk: written (level received), fsynced (level durable).
    pub disk: u8,
    /// Acknowledgements that a primary has read in this session.
    pub acked: u8,
    /// The highest acknowledgement on the way to it.
    pub wire: u8,
    /// Outputs that this life has released.
    pub released: u8,
    /// The end of the log when it went live.
    pub base: u8,
    /// The life stored in the directory.
    pub dir_life: Life,
    /// A put that was sent from this directory and is unresolved, as stored in it; owner 0 is none.
    pub intent: Put,
    /// The intent makes another node's life the owner; only mutants write such a one.
    pub foreign: bool,
}

impl Node {
    pub fn alive(&self) -> bool {
        self.role != Role::Dead
    }

    pub fn live(&self) -> bool {
        matches!(self.role, Role::Solo | Role::Closing | Role::Protected)
    }

    /// The register that this process asks for.
    pub fn put(&self) -> Put {
        match self.ask {
            Ask::None => Put::default(),
            Ask::InSync => Put { owner: self.life, backup: self.peer },
            Ask::Handover => Put { owner: self.peer, backup: 0 },
            Ask::Again => self.intent,
            Ask::Fresh | Ask::Resume | Ask::Promote | Ask::GoSolo => Put { owner: self.life, backup: 0 },
        }
    }

    fn lives(&mut self) -> [&mut Life; 5] {
        let intent = &mut self.intent;
        [&mut self.life, &mut self.dir_life, &mut intent.owner, &mut intent.backup, &mut self.peer]
    }

    fn word(&self) -> u64 {
        let mut bits = Bits::default();
        bits.put(self.role as u64, 3);
        bits.put(self.ask as u64, 3);
        bits.put(self.fate as u64, 2);
        bits.put(self.log.word(), 19);
        for small in [self.disk, self.acked, self.wire, self.released, self.base] {
            bits.put(u64::from(small), 3);
        }
        bits.put(u64::from(self.session), 1);
        for life in [self.life, self.dir_life, self.intent.owner, self.intent.backup, self.peer] {
            bits.put(u64::from(life), 4);
        }
        bits.put(u64::from(self.foreign), 1);
        bits.word
    }

    fn from_word(word: u64) -> Node {
        const ROLES: [Role; 7] =
            [Role::Dead, Role::Start, Role::Joining, Role::Acking, Role::Solo, Role::Closing, Role::Protected];
        const ASKS: [Ask; 8] =
            [Ask::None, Ask::Fresh, Ask::Resume, Ask::Promote, Ask::InSync, Ask::GoSolo, Ask::Handover, Ask::Again];
        const FATES: [Fate; 3] = [Fate::Pending, Fate::Won, Fate::Lost];
        let mut bits = Bits { word, at: 0 };
        Node {
            role: ROLES[bits.take(3) as usize],
            ask: ASKS[bits.take(3) as usize],
            fate: FATES[bits.take(2) as usize],
            log: Log::from_word(bits.take(19)),
            disk: bits.take(3) as u8,
            acked: bits.take(3) as u8,
            wire: bits.take(3) as u8,
            released: bits.take(3) as u8,
            base: bits.take(3) as u8,
            session: bits.take(1) == 1,
            life: bits.take(4) as u8,
            dir_life: bits.take(4) as u8,
            intent: Put { owner: bits.take(4) as u8, backup: bits.take(4) as u8 },
            peer: bits.take(4) as u8,
            foreign: bits.take(1) == 1,
        }
    }
}

/// What a put would make of the register.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Put {
    pub owner: Life,
    pub backup: Life,
}

/// A whole state. The register is `owner` and `backup`; owner 0 means absent.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct State {
    pub nodes: [Node; SLOTS],
    pub owner: Life,
    pub backup: Life,
    /// The node of the named backup; only a mutant looks at it.
    pub backup_node: u8,
    /// The longest output history that anybody ever released.
    pub released: Log,
    /// Puts that expect the present term and whose senders no longer wait for them; sorted, largest first.
    pub orphans: [Put; ORPHANS],
    pub kills_left: u8,
    pub losses_left: u8,
    /// A human accepted a loss and the generation was *not* raised (a mutant).
    pub reused: bool,
    /// The name of the next life; not part of the state's identity.
    pub next_life: Life,
}

/// A packed state.
pub type Key = [u64; SLOTS + 1];

impl State {
    pub fn holder(&self, life: Life) -> Option<usize> {
        (0..SLOTS).find(|&i| life != 0 && self.nodes[i].alive() && self.nodes[i].life == life)
    }

    /// The live process that the register names as owner.
    pub fn live_owner(&self) -> Option<usize> {
        self.holder(self.owner).filter(|&i| self.nodes[i].live())
    }

    /// Both ends hold the same session open.
    pub fn connected(&self, primary: usize, backup: usize) -> bool {
        let (p, b) = (&self.nodes[primary], &self.nodes[backup]);
        p.live() && p.session && b.role == Role::Acking && p.peer == b.life && b.peer == p.life
    }

    /// The backup at the other end of this primary's session.
    pub fn backup_of(&self, primary: usize) -> Option<usize> {
        (0..SLOTS).find(|&b| b != primary && self.connected(primary, b))
    }

    /// The primary at the other end of this backup's session.
    pub fn primary_of(&self, backup: usize) -> Option<usize> {
        (0..SLOTS).find(|&p| p != backup && self.connected(p, backup))
    }

    pub fn fresh_life(&mut self) -> Life {
        let life = self.next_life;
        self.next_life += 1;
        life
    }

    /// Remembers a put that may still be applied. False: there is no room, and the put is taken as lost.
    pub fn orphan(&mut self, put: Put) -> bool {
        if self.orphans.contains(&put) {
            return true;
        }
        let Some(free) = self.orphans.iter().position(|&o| o == Put::default()) else { return false };
        self.orphans[free] = put;
        self.orphans.sort_unstable_by(|a, b| b.cmp(a));
        true
    }

    /// The state under its canonical names. The first `alike` nodes are interchangeable.
    pub fn pack(&self, alike: usize) -> Key {
        let mut state = *self;
        state.sort_nodes(alike);
        let mut names = Names::default();
        for node in &mut state.nodes {
            for life in node.lives() {
                *life = names.of(*life);
            }
            node.log = node.log.rename(&mut names);
        }
        state.owner = names.of(state.owner);
        state.backup = names.of(state.backup);
        state.released = state.released.rename(&mut names);
        for put in &mut state.orphans {
            *put = Put { owner: names.of(put.owner), backup: names.of(put.backup) };
        }
        state.orphans.sort_unstable_by(|a, b| b.cmp(a));
        let mut key = [0; SLOTS + 1];
        for (word, node) in key.iter_mut().zip(&state.nodes) {
            *word = node.word();
        }
        key[SLOTS] = state.global_word();
        key
    }

    fn global_word(&self) -> u64 {
        let mut bits = Bits::default();
        bits.put(u64::from(self.owner), 4);
        bits.put(u64::from(self.backup), 4);
        bits.put(u64::from(self.backup_node), 2);
        bits.put(self.released.word(), 19);
        for put in self.orphans {
            bits.put(u64::from(put.owner), 4);
            bits.put(u64::from(put.backup), 4);
        }
        bits.put(u64::from(self.kills_left), 3);
        bits.put(u64::from(self.losses_left), 3);
        bits.put(u64::from(self.reused), 1);
        bits.word
    }

    pub fn unpack(key: &Key) -> State {
        let mut bits = Bits { word: key[SLOTS], at: 0 };
        let mut state = State {
            owner: bits.take(4) as u8,
            backup: bits.take(4) as u8,
            backup_node: bits.take(2) as u8,
            released: Log::from_word(bits.take(19)),
            ..State::default()
        };
        for put in &mut state.orphans {
            *put = Put { owner: bits.take(4) as u8, backup: bits.take(4) as u8 };
        }
        state.kills_left = bits.take(3) as u8;
        state.losses_left = bits.take(3) as u8;
        state.reused = bits.take(1) == 1;
        for (node, &word) in state.nodes.iter_mut().zip(key) {
            *node = Node::from_word(word);
        }
        state.next_life = state.highest_life() + 1;
        state
    }

    fn highest_life(&self) -> Life {
        let mut state = *self;
        let logs = state.nodes.map(|n| n.log).into_iter().chain([state.released]);
        let writers = logs.flat_map(|log| (0..log.len()).filter_map(move |at| log.get(at))).filter(|&l| l != MARK);
        let highest = writers.chain([state.owner, state.backup]).max().unwrap_or(0);
        let highest = state.orphans.iter().fold(highest, |max, put| max.max(put.owner).max(put.backup));
        state.nodes.iter_mut().flat_map(Node::lives).fold(highest, |max, life| max.max(*life))
    }

    /// Sorts the nodes by what can be seen without names. Ties stay as they are: some symmetric states are then told
    /// apart, which costs room and nothing else.
    fn sort_nodes(&mut self, alike: usize) {
        let shape = |i: usize| {
            let mut node = self.nodes[i];
            let flags = |life: Life| u64::from(life != 0) | u64::from(life == self.owner) << 1;
            let named = flags(node.life) | flags(node.dir_life) << 2 | u64::from(node.life == self.backup) << 4;
            for life in node.lives() {
                *life = u8::from(*life != 0);
            }
            node.log = Log { items: 0, len: node.log.len() };
            (named, node.word())
        };
        let mut order = [0, 1, 2];
        order[..alike].sort_by_cached_key(|&i| shape(i));
        self.nodes = order.map(|i| self.nodes[i]);
        if self.backup != 0 && (self.backup_node as usize) < SLOTS {
            self.backup_node = order.iter().position(|&i| i == self.backup_node as usize).expect("a permutation") as u8;
        }
    }
}

/// Canonical names, in the order of first use.
#[derive(Default)]
struct Names {
    map: [Life; 32],
    used: Life,
}

impl Names {
    fn of(&mut self, life: Life) -> Life {
        if life == 0 {
            return 0;
        }
        let name = &mut self.map[life as usize];
        if *name == 0 {
            self.used += 1;
            assert!(self.used <= LIFE_MAX, "more lives are remembered at once than a packed state can name");
            *name = self.used;
        }
        *name
    }
}

#[derive(Default)]
struct Bits {
    word: u64,
    at: u32,
}

impl Bits {
    fn put(&mut self, value: u64, width: u32) {
        assert!(value >> width == 0 && self.at + width <= 64);
        self.word |= value << self.at;
        self.at += width;
    }

    fn take(&mut self, width: u32) -> u64 {
        let value = self.word >> self.at & ((1 << width) - 1);
        self.at += width;
        value
    }
}
