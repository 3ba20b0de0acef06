//! Every step that the protocol, its faults and its mutants allow, rule by rule.
//!
//! A step is *a fault* when a healthy pair with fair links would not take it: a kill, a lost directory, a false alarm, a
//! reset of a working session. Everything else goes on when faults stop, and is what liveness may count on. Messages are
//! not boxes in a queue: an acknowledgement sent is the number `wire`, which its primary reads whenever it likes or
//! never, also after the sender's death; data of a session may arrive as long as both ends hold it open (arriving after
//! the sender's death is the same as arriving just before it); a put is applied at any time or never, its answer read
//! at any time or never, also after the register has moved on.
//!
//! Here are the register, the faults and the start of a process (F, R, S, U, A); `primary` has P1, P2, P3, D, H and the
//! output rule, `backup` has B1, B2 and ACK.

use crate::config::{Config, ENDLESS, Mutant};
use crate::guarantees::Broken;
use crate::state::{Ask, Fate, LOG_MAX, Life, Log, Node, ORPHANS, Put, Role, SLOTS, State};

/// What a step was, for traces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Action {
    /// The node; [`SLOTS`] is the register.
    pub who: usize,
    pub what: &'static str,
}

/// One step.
pub struct Step {
    pub action: Action,
    pub next: State,
    /// A healthy pair would not take it.
    pub fault: bool,
    pub broken: Option<Broken>,
}

/// The protocol in one configuration.
pub struct Rules {
    pub config: Config,
}

impl Rules {
    pub fn new(config: Config) -> Rules {
        assert!(config.nodes <= SLOTS && config.log as usize <= LOG_MAX);
        Rules { config }
    }

    pub fn initial(&self) -> State {
        State { kills_left: self.config.kills, losses_left: self.config.losses, next_life: 1, ..State::default() }
    }

    pub fn is(&self, mutant: Mutant) -> bool {
        self.config.mutant == Some(mutant)
    }

    pub fn steps(&self, s: &State, out: &mut Vec<Step>) {
        let mut out = Steps { rules: self, from: s, out };
        self.register(&mut out);
        self.loses_put(&mut out);
        for i in 0..self.config.nodes {
            self.faults(&mut out, i);
            match s.nodes[i].role {
                Role::Dead => self.dead(&mut out, i),
                Role::Start => self.start(&mut out, i),
                Role::Joining | Role::Acking => self.backup(&mut out, i),
                Role::Solo | Role::Closing | Role::Protected => self.primary(&mut out, i),
            }
        }
        if self.is(Mutant::ResumeWithoutLock) {
            self.second_process(&mut out);
        }
    }

    // ---- the register -------------------------------------------------------------------------------------------

    /// Any put under way is applied, once: afterwards all that expected the same term have failed.
    fn register(&self, out: &mut Steps) {
        let s = out.from;
        let mut seen = [Put::default(); SLOTS + ORPHANS];
        let asked = s.nodes.iter().filter(|n| n.ask != Ask::None && n.fate == Fate::Pending).map(Node::put);
        for (n, put) in asked.chain(s.orphans).enumerate() {
            if put.owner == 0 || seen.contains(&put) {
                continue;
            }
            seen[n] = put;
            let mut next = *s;
            apply(&mut next, put, self.is(Mutant::ForeignIntentTaken));
            out.go(SLOTS, "the register takes a put", next);
        }
    }

    // ---- faults -------------------------------------------------------------------------------------------------

    /// A put whose sender no longer waits for it is lost. (One whose sender waits is sent again.)
    fn loses_put(&self, out: &mut Steps) {
        for lost in out.from.orphans.iter().filter(|put| put.owner != 0) {
            let mut next = *out.from;
            let left = out.from.orphans.iter().filter(|put| *put != lost);
            next.orphans = Default::default();
            next.orphans.iter_mut().zip(left).for_each(|(to, put)| *to = *put);
            out.fault(SLOTS, "never gets a put", next);
        }
    }

    fn faults(&self, out: &mut Steps, i: usize) {
        let s = out.from;
        let node = &s.nodes[i];
        let idle_start = node.role == Role::Start && node.ask == Ask::None;
        if node.alive() && !idle_start && s.kills_left > 0 {
            for keep in node.disk..=node.log.len() {
                let mut next = *s;
                spend(&mut next.kills_left);
                die(&mut next, i, keep);
                out.fault(i, "is killed", next);
            }
        }
        let holds = node.log.len() > 0 || node.dir_life != 0 || node.intent.owner != 0;
        if s.losses_left > 0 && holds {
            let mut next = *s;
            spend(&mut next.losses_left);
            die(&mut next, i, 0);
            let kept = if self.is(Mutant::ResumeAfterPageCacheLoss) { node.dir_life } else { 0 };
            next.nodes[i] = Node { dir_life: kept, ..Node::default() };
            out.fault(i, "is killed, its directory is lost", next);
        }
    }

    // ---- F, R, S, U: starting -----------------------------------------------------------------------------------

    fn dead(&self, out: &mut Steps, i: usize) {
        let mut next = *out.from;
        let life = next.fresh_life();
        let node = &mut next.nodes[i];
        *node = Node { role: Role::Start, life, disk: node.log.len(), ..*node };
        out.go(i, "starts", next);
    }

    /// The lock of the directory is ignored: a second process on the directory of a live one.
    fn second_process(&self, out: &mut Steps) {
        let spare = SLOTS - 1;
        assert!(self.config.nodes < SLOTS);
        let s = out.from;
        match s.nodes[spare].role {
            Role::Start => self.start(out, spare),
            Role::Solo => self.primary(out, spare),
            Role::Dead => {
                for i in 0..self.config.nodes {
                    let other = s.nodes[i];
                    if other.live() && other.dir_life == s.owner {
                        let mut next = *s;
                        let life = next.fresh_life();
                        let log = other.log.prefix(other.disk);
                        let dir_life = other.dir_life;
                        next.nodes[spare] =
                            Node { role: Role::Start, life, log, disk: log.len(), dir_life, ..Node::default() };
                        out.go(spare, "starts on a locked directory", next);
                    }
                }
            }
            _ => {}
        }
    }

    fn start(&self, out: &mut Steps, i: usize) {
        let s = out.from;
        let node = &s.nodes[i];
        if node.ask != Ask::None {
            return self.answer(out, i);
        }
        let unresolved = node.intent.owner != 0;
        if unresolved && !self.is(Mutant::NeverSendsAgain) {
            out.go(i, "U: sends the unresolved put again", asking(s, i, Ask::Again));
        }
        let absent = s.owner == 0 || self.is(Mutant::FreshOverPresent);
        if absent && node.dir_life == 0 && !unresolved {
            out.go(i, "F: puts {me, none}", asking(s, i, Ask::Fresh));
        }
        if s.owner == 0 {
            return;
        }
        let mine = node.dir_life != 0 && node.dir_life == s.owner;
        if mine && self.is(Mutant::AssumeOwnership) {
            let mut next = *s;
            next.nodes[i].life = node.dir_life;
            go_live(&mut next, i);
            return out.go(i, "R: takes up its ownership without a put", next);
        }
        if mine && !unresolved && !self.is(Mutant::NeverResumes) {
            out.go(i, "R: puts {me, none}", asking(s, i, Ask::Resume));
        }
        let backups = node.dir_life != 0 && node.dir_life == s.backup;
        if backups && !unresolved && self.config.backup_directory {
            out.go(i, "R: on the named backup's directory, puts {me, none}", asking(s, i, Ask::Resume));
        }
        if self.config.human && !unresolved {
            self.accept_loss(out, i);
        }
        let bound = (mine && !self.is(Mutant::OwnerDirectoryWiped)) || (unresolved && !self.is(Mutant::IntentWiped));
        if !bound {
            self.stand_by(out, i);
        }
    }

    /// S: a life that the register does not name may only join; it keeps the log (delta rejoin) or empties it.
    fn stand_by(&self, out: &mut Steps, i: usize) {
        let mut next = *out.from;
        let node = &mut next.nodes[i];
        *node = Node { role: Role::Joining, dir_life: node.life, intent: Put::default(), foreign: false, ..*node };
        if node.log.len() > 0 {
            out.go(i, "S: stands by, keeping its log", next);
            let node = &mut next.nodes[i];
            (node.log, node.disk) = (Log::default(), 0);
        }
        out.go(i, "S: stands by with an empty directory", next);
    }

    /// A: a human says that the machines of the others are off. A new generation begins: earlier releases are accepted as lost.
    fn accept_loss(&self, out: &mut Steps, i: usize) {
        let s = out.from;
        let owner_runs = s.holder(s.owner).is_some() && !self.is(Mutant::AcceptLossWhileOwnerRuns);
        let others = !(self.is(Mutant::AcceptLossWhileOwnerRuns) || self.is(Mutant::AcceptLossWhileDeposedRuns));
        if owner_runs || others && s.nodes.iter().any(Node::live) {
            return;
        }
        let mut next = *s;
        apply(&mut next, Put { owner: s.nodes[i].life, backup: 0 }, false);
        go_live(&mut next, i);
        if self.is(Mutant::NumbersReused) {
            next.reused = true;
        } else {
            next.released = Log::default();
        }
        out.fault(i, "A: a human makes it the owner, accepting a loss", next);
    }

    // ---- U: answers ---------------------------------------------------------------------------------------------

    /// The process learns what became of its put: by its answer, however late, or by reading the register.
    pub fn answer(&self, out: &mut Steps, i: usize) {
        let s = out.from;
        let node = &s.nodes[i];
        let mut next = *s;
        let it = &mut next.nodes[i];
        (it.ask, it.fate) = (Ask::None, Fate::Pending);
        match (node.ask, node.fate) {
            (Ask::None, _) => {}
            (_, Fate::Pending) => {}
            (Ask::Handover, _) => self.exit(out, i, "H: the put is decided, exits"),
            (Ask::GoSolo, Fate::Lost) if self.is(Mutant::SoloThoughLost) => {
                self.alone(it);
                out.go(i, "P3: learns that its put lost, is solo all the same", next);
            }
            (Ask::Promote, Fate::Lost) if self.is(Mutant::LiveThoughLost) => {
                go_live(&mut next, i);
                out.go(i, "B2: learns that its put lost, goes live all the same", next);
            }
            (Ask::InSync | Ask::GoSolo, Fate::Lost) => self.exit(out, i, "learns that its put lost, halts"),
            (Ask::InSync, Fate::Won) => {
                it.role = Role::Protected;
                out.go(i, "P2: learns that it won, is protected", next);
            }
            (Ask::GoSolo, Fate::Won) => {
                self.alone(it);
                out.go(i, "P3: learns that it won, is solo", next);
            }
            (Ask::Fresh | Ask::Resume | Ask::Promote, Fate::Won) => {
                go_live(&mut next, i);
                out.go(i, "learns that it won, goes live", next);
            }
            (Ask::Fresh | Ask::Resume, Fate::Lost) => out.go(i, "learns that its put lost", next),
            (Ask::Again, _) => out.go(i, "U: learns that the put is decided", next),
            (Ask::Promote, Fate::Lost) => {
                (it.role, it.peer) = (Role::Joining, 0);
                out.go(i, "B2: learns that its put lost, joins again", next);
            }
        }
    }

    /// The process halts: its group is killed, what it holds is discarded, its directory stays.
    pub fn exit(&self, out: &mut Steps, i: usize, what: &'static str) {
        let node = out.from.nodes[i];
        for keep in node.disk..=node.log.len() {
            let mut next = *out.from;
            die(&mut next, i, keep);
            out.go(i, what, next);
        }
    }

    /// Solo: no session, no acknowledgements.
    pub fn alone(&self, node: &mut Node) {
        (node.role, node.peer, node.session, node.acked) = (Role::Solo, 0, false, 0);
        if !self.is(Mutant::AcksAcrossSessions) {
            node.wire = 0;
        }
    }
}

/// Collects steps and checks each state that they lead to.
pub struct Steps<'a> {
    rules: &'a Rules,
    pub from: &'a State,
    out: &'a mut Vec<Step>,
}

impl Steps<'_> {
    pub fn go(&mut self, who: usize, what: &'static str, next: State) {
        self.push(Action { who, what }, next, false, None);
    }

    pub fn fault(&mut self, who: usize, what: &'static str, next: State) {
        self.push(Action { who, what }, next, true, None);
    }

    pub fn push(&mut self, action: Action, next: State, fault: bool, broken: Option<Broken>) {
        let broken = broken.or_else(|| self.rules.check(&next));
        self.out.push(Step { action, next, fault, broken });
    }
}

fn spend(budget: &mut u8) {
    if *budget != ENDLESS {
        *budget -= 1;
    }
}

/// The register takes `put`. Every put that expected the passed term is decided with it.
fn apply(s: &mut State, put: Put, takes_foreign: bool) {
    (s.owner, s.backup) = (put.owner, put.backup);
    let of_backup = |n: &Node| put.backup != 0 && (n.life == put.backup || n.dir_life == put.backup);
    let none = if put.backup == 0 { 0 } else { SLOTS };
    s.backup_node = s.nodes.iter().position(of_backup).unwrap_or(none) as u8;
    s.orphans = Default::default();
    for node in &mut s.nodes {
        if node.ask != Ask::None && node.fate == Fate::Pending {
            node.fate = if node.put() == put { Fate::Won } else { Fate::Lost };
        }
        // What a later life will conclude when it reads the register: the directory is the owner's, unless the intent was
        // to make another node's life the owner.
        if node.intent == put && (!node.foreign || takes_foreign) {
            node.dir_life = put.owner;
        }
        (node.intent, node.foreign) = (Put::default(), false);
    }
}

/// The process no longer waits for its put, which is still under way if nothing has decided it.
pub fn forget_put(s: &mut State, i: usize) {
    let node = s.nodes[i];
    if node.ask != Ask::None && node.fate == Fate::Pending {
        s.orphan(node.put());
    }
    (s.nodes[i].ask, s.nodes[i].fate) = (Ask::None, Fate::Pending);
}

/// The process ends; `keep` items of its log are in the directory. A put that it sent is still under way.
fn die(s: &mut State, i: usize, keep: u8) {
    forget_put(s, i);
    let node = s.nodes[i];
    s.nodes[i] = Node {
        log: node.log.prefix(keep),
        dir_life: node.dir_life,
        intent: node.intent,
        foreign: node.foreign,
        ..Node::default()
    };
}

/// The state in which node `i` has sent a put, after it has written it down as intent. A handover is not written down: a
/// later life on the primary's directory owes it nothing, it resumes if the register still names that directory.
/// Who is no owner yet expects the term that it has just read. A primary expects its own: while it is the owner nobody
/// but itself has changed the register, and when it is the owner no more, its put is too late from the start.
pub fn asking(s: &State, i: usize, ask: Ask) -> State {
    let mut next = *s;
    let node = &mut next.nodes[i];
    let late = node.live() && s.owner != node.life;
    (node.ask, node.fate) = (ask, if late { Fate::Lost } else { Fate::Pending });
    if !late && !matches!(ask, Ask::Again | Ask::Handover) {
        node.intent = node.put();
    }
    next
}

pub fn go_live(s: &mut State, i: usize) {
    let node = &mut s.nodes[i];
    let life: Life = node.life;
    *node = Node {
        role: Role::Solo,
        life,
        log: node.log,
        disk: node.disk,
        base: node.log.len(),
        dir_life: life,
        ..Node::default()
    };
}
