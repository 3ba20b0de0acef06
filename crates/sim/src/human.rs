//! Starting and ending lives; what a person does; and whether a calm world is whole again.

use crate::coverage::Met;
use crate::exec::seat;
use crate::node::Run;
use crate::sim::{Item, Sim, ToNode};
use gapless_log::toy::{Flaw, Toy, World};
use gapless_log::{Host, Identity, Options, Seq};
use gapless_pair::{Commit, Config, Engine, Event, Micros, Mode, Mutant, Point, Start};
use std::collections::{BTreeMap, VecDeque};

/// A person steps in when nobody has been live for this long after the calm.
const PATIENCE: Micros = Micros::from_millis(1_200);

impl Sim {
    pub(crate) fn plan_start(&mut self, node: usize, delay: Micros) {
        if !self.nodes[node].starting {
            self.nodes[node].starting = true;
            self.after(delay, Item::Start(node));
        }
    }

    /// A new life begins on a machine.
    pub(crate) fn start(&mut self, node: usize) {
        self.nodes[node].starting = false;
        if self.nodes[node].run.is_some() || !self.nodes[node].present || self.nodes[node].done {
            return;
        }
        let me = seat(node, self.rng.wide());
        let life = me.life;
        let world = World::new(self.rng.roll());
        let flaw = if self.mutant == Mutant::ExecutePastMark { Flaw::RunsPastMark(1) } else { Flaw::None };
        let config = self.config(node, me);
        let (start, accept) = (config.start, config.accept_loss);
        let n = &mut self.nodes[node];
        n.lives += 1;
        n.stalled_until = Micros(0);
        n.accept_loss = false;
        n.inbox.clear();
        let found = n.disk.recover();
        let end = n.disk.end().seq;
        self.trace.note(
            self.now,
            format_args!(
                "n{node} starts life {life}: {start:?}{}, its log ends at {end}",
                if accept { ", accepting loss" } else { "" }
            ),
        );
        let run = Run {
            number: n.lives,
            life,
            engine: Engine::new(config, n.disk.meta.clone(), found),
            host: Host::new(Toy::flawed(world.clone(), flaw), Options::default()),
            world,
            live: None,
            fed: n.disk.end() == Point::ZERO && !self.plan.warm,
            streams: BTreeMap::new(),
            commit: Seq(0),
            throttled: false,
            stopping: None,
            killed: false,
            working: false,
            turn: 0,
            end_reported: false,
            executed: Seq(0),
            digests: Vec::new(),
            metas: VecDeque::new(),
            disk_free: Micros(0),
            cuts: 0,
            floor: 0,
            kept: None,
            renewed: (gapless_pair::Nonce::NONE, Vec::new()),
            state: Vec::new(),
            held: (end, end),
        };
        n.run = Some(run);
        self.held.insert(life, (end, end));
        self.handle(node, Event::Start);
        // Recovery syncs what it found.
        self.give(node, Micros(500), ToNode::Event(Event::Synced(end)));
        let first = Micros(self.rng.below(20_000));
        self.give(node, first, ToNode::Tick);
    }

    fn config(&mut self, node: usize, me: gapless_pair::Seat) -> Config {
        let identity = Identity { level: "toy".into(), code: "1".into(), features: Vec::new() };
        let n = &self.nodes[node];
        let start = match self.arbiter.current() {
            _ if n.accept_loss => Start::Resume,
            None if node == 0 && n.disk.meta.intent.is_none() => Start::Fresh,
            _ => Start::Auto,
        };
        let mut config = Config::new(me, start, identity);
        config.accept_loss = n.accept_loss;
        config.boot = n.boot;
        config.fresh_uuid = self.rng.wide();
        config.peer = (node == 0).then(|| "n1".to_owned());
        config.commit = self.plan.commit;
        config.hold = self.plan.hold;
        config.saves_state = self.plan.saves_state;
        config.warm = self.plan.warm;
        config.state_entries_min = self.plan.state_entries_min;
        config.closing_entries_max = self.plan.closing_entries_max;
        config.lag_entries_max = self.plan.lag_entries_max;
        config.lag_timeout = Micros::from_millis(600);
        config.mutant = self.mutant;
        config
    }

    /// The process is gone; what it had not handed to the kernel is lost.
    pub(crate) fn end_life(&mut self, node: usize, silent: bool) {
        self.break_conns(node, silent);
        let n = &mut self.nodes[node];
        let Some(run) = n.run.take() else { return };
        n.inbox.clear();
        n.stalled_until = Micros(0);
        // Of the records on their way some are durable: a prefix.
        let stored = self.rng.below(run.metas.len() as u64 + 1) as usize;
        if let Some(meta) = run.metas.into_iter().take(stored).next_back() {
            self.nodes[node].disk.meta = meta;
        }
        self.nodes[node].disk.process_died();
        let present = self.nodes.iter().filter(|n| n.present).count();
        if present > 1 && self.nodes.iter().all(|n| n.run.is_none()) {
            self.met.insert(Met::BothRestarting);
        }
    }

    pub(crate) fn crash(&mut self, node: usize, down: Micros, power: bool, wipe: bool) {
        if self.nodes[node].run.is_none() || self.nodes[node].done {
            return;
        }
        let how = if wipe {
            " and its directory is gone"
        } else if power {
            " by loss of power"
        } else {
            ""
        };
        self.trace.note(self.now, format_args!("n{node} dies{how}; down for {} ms", down.0 / 1000));
        self.end_life(node, power);
        if wipe {
            self.nodes[node].disk = crate::disk::Disk::default();
        }
        if power {
            let (survive, torn) = (self.rng.roll() as usize, self.rng.roll() as usize);
            self.nodes[node].boot = self.rng.wide();
            if self.nodes[node].disk.power_lost(survive, torn) {
                self.met.insert(Met::PowerLoss);
            }
        }
        self.plan_start(node, down);
    }

    /// A person looks, some time after the calm: does anybody own the history and live?
    pub(crate) fn look(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].present && self.nodes[node].run.is_none() && !self.nodes[node].done {
                self.plan_start(node, Micros(1_000));
            }
        }
        let waited = self.now.since(crate::plan::CALM_AT);
        if waited < PATIENCE || self.has_live_owner() || self.ended {
            return;
        }
        let Some(register) = self.arbiter.current().cloned() else { return };
        if self.nodes.iter().any(|n| n.accept_loss) || self.may_still_recover(&register) {
            return;
        }
        // First choice: the owner's own directory. Then whoever holds most; the owner's life is known to be gone.
        let owners = (0..self.nodes.len()).find(|&n| self.nodes[n].disk.meta.owns(&register));
        let longest =
            (0..self.nodes.len()).filter(|&n| self.nodes[n].present).max_by_key(|&n| self.nodes[n].disk.end().seq);
        if let Some(node) = owners.or(longest) {
            self.trace.note(self.now, format_args!("a person lets n{node} resume and accepts the loss"));
            self.end_life(node, false);
            self.nodes[node].accept_loss = true;
            self.plan_start(node, Micros(1_000));
        }
    }

    fn has_live_owner(&self) -> bool {
        self.arbiter.current().is_some_and(|r| {
            self.nodes.iter().any(|n| n.run.as_ref().is_some_and(|run| run.live.is_some() && r.owned_by(run.life)))
        })
    }

    /// The protocol needs no person: the owner, the named backup or the owner's directory is there and may act.
    pub(crate) fn may_still_recover(&self, register: &gapless_pair::Register) -> bool {
        self.nodes.iter().any(|n| {
            let named = n.run.as_ref().is_some_and(|r| register.owned_by(r.life) || register.backed_by(r.life));
            let lost_power = self.plan.commit == Commit::Received && n.disk.meta.boot != n.boot;
            let intent = n.disk.meta.intent.as_ref().is_some_and(|p| register.owned_by(p.new.owner.life));
            named || ((n.disk.meta.owns(register) || intent) && !lost_power)
        })
    }

    /// After the calm: somebody is live, has said something new, and is protected if there is anybody to protect it.
    pub(crate) fn settled(&self) -> bool {
        if self.ended {
            return self.nodes.iter().all(|n| !n.present || n.done || n.run.is_none())
                || self.now.since(crate::plan::CALM_AT) > Micros::from_millis(2_500);
        }
        let partners = self.nodes.iter().filter(|n| n.present).count();
        let owner = (0..self.nodes.len()).find(|&n| {
            self.nodes[n]
                .run
                .as_ref()
                .is_some_and(|r| r.live.is_some() && self.arbiter.current().is_some_and(|reg| reg.owned_by(r.life)))
        });
        let Some(owner) = owner else { return false };
        let protected = partners < 2 || self.mode(owner) == Some(Mode::Protected);
        protected && self.checker.released() > self.released_at_calm + 2
    }

    pub(crate) fn progress_report(&self) -> String {
        let modes: Vec<String> = (0..self.nodes.len())
            .map(|n| format!("n{n} {}", self.mode(n).map_or("down".to_owned(), |m| format!("{m:?}"))))
            .collect();
        let register = self.arbiter.current().map_or("no register".to_owned(), crate::sim::show);
        format!(
            "NO PROGRESS after the faults stopped: {}; {register}; released {} (then {})",
            modes.join(", "),
            self.checker.released(),
            self.released_at_calm
        )
    }
}
