//! One schedule's plan: how the pair is set up and which faults strike when. Everything follows from the seed.

use crate::rng::Rng;
use gapless_pair::{Commit, Micros};

/// Something that goes wrong, or that a human does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The process is killed and started again after this long.
    Crash(usize, Micros),
    /// Killed, and its directory is gone.
    CrashWithoutDisk(usize, Micros),
    /// The machine loses power; started again after this long.
    PowerLoss(usize, Micros),
    /// Every machine at once; `true`: loss of power.
    CrashAll(bool, Micros),
    /// Nothing of the process runs for this long.
    Stall(usize, Micros),
    /// Packets from one node to another stay in the network for this long.
    OneWay(usize, usize, Micros),
    /// In both directions.
    Partition(usize, usize, Micros),
    /// A node cannot reach the arbiter for this long.
    NoArbiter(usize, Micros),
    /// Nobody can.
    ArbiterDown(Micros),
    /// Every connection of a node breaks.
    Reset(usize),
    /// A person asks the owner to hand over.
    Handover,
    /// A third machine begins to stand by.
    Newcomer,
    /// The program is told to end.
    End,
}

/// A schedule.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Machines that take part from the beginning (a newcomer comes later).
    pub nodes: usize,
    /// The commit level.
    pub commit: Commit,
    /// Outputs are held until first protected.
    pub hold: bool,
    /// The replica can save itself.
    pub saves_state: bool,
    /// Backups execute nothing before they take over.
    pub warm: bool,
    /// See the engine's configuration.
    pub state_entries_min: u64,
    /// In a hundred requests, how many the arbiter treats badly.
    pub arbiter_bad_percent: u64,
    /// In a hundred packets, how many are late or doubled.
    pub net_bad_percent: u64,
    /// Slow disks: up to this long until a frame is written.
    pub write_max: Micros,
    /// See the engine's configuration.
    pub closing_entries_max: u64,
    /// See the engine's configuration.
    pub lag_entries_max: u64,
    /// Faults and their times, in order.
    pub faults: Vec<(Micros, Fault)>,
}

/// Faults strike before this time; after it everything heals.
pub const CALM_AT: Micros = Micros::from_millis(1_800);

impl Plan {
    /// The plan of a seed.
    pub fn new(rng: &mut Rng) -> Self {
        let nodes = if rng.percent(15) { 3 } else { 2 };
        let mut plan = Self {
            nodes,
            commit: if rng.percent(25) { Commit::Durable } else { Commit::Received },
            hold: rng.percent(30),
            saves_state: rng.percent(40),
            warm: rng.percent(40),
            state_entries_min: [0, 0, 40][rng.below(3) as usize],
            arbiter_bad_percent: [0, 10, 40][rng.below(3) as usize],
            net_bad_percent: [0, 1, 6][rng.below(3) as usize],
            write_max: [Micros(300), Micros::from_millis(3), Micros::from_millis(60)][rng.below(3) as usize],
            closing_entries_max: [4, 40, 4_000][rng.below(3) as usize],
            lag_entries_max: if rng.one_in(4) { 30 } else { 1 << 20 },
            faults: Vec::new(),
        };
        // A duel: nobody dies for good, but both are half deaf, the arbiter is moody and the disks are slow.
        let duel = rng.one_in(4);
        if duel {
            plan.nodes = 2;
            plan.commit = Commit::Received;
            plan.saves_state = false;
            plan.arbiter_bad_percent = 40;
            plan.write_max = Micros::from_millis(60);
            plan.closing_entries_max = 4_000;
        }
        for _ in 0..1 + rng.below(7) {
            let at = rng.between(Micros::from_millis(60), CALM_AT);
            let fault = if duel { plan.duel_fault(rng) } else { plan.fault(rng) };
            plan.faults.push((at, fault));
            if rng.one_in(3) {
                // Troubles come in pairs: the second strikes while the first is being dealt with.
                let soon = rng.between(Micros(0), Micros::from_millis(350));
                let fault = if duel { plan.duel_fault(rng) } else { plan.fault(rng) };
                plan.faults.push((at.plus(soon).min(CALM_AT), fault));
            }
        }
        plan.faults.sort_by_key(|f| f.0);
        plan
    }

    fn duel_fault(&self, rng: &mut Rng) -> Fault {
        let node = rng.below(2) as usize;
        let spell = rng.between(Micros::from_millis(180), Micros::from_millis(420));
        match rng.below(10) {
            0..=3 => Fault::Stall(node, spell),
            4..=5 => Fault::OneWay(node, 1 - node, spell),
            6 => Fault::Partition(0, 1, spell),
            7..=8 => Fault::Crash(node, rng.between(Micros::from_millis(2), Micros::from_millis(60))),
            _ => Fault::Reset(node),
        }
    }

    fn fault(&self, rng: &mut Rng) -> Fault {
        let node = rng.below(self.nodes as u64) as usize;
        let other = (node + 1 + rng.below(self.nodes as u64 - 1) as usize) % self.nodes;
        // Now and then faster than anybody can notice.
        let quick = rng.one_in(3);
        let down = if quick {
            rng.between(Micros::from_millis(2), Micros::from_millis(120))
        } else {
            rng.between(Micros::from_millis(100), Micros::from_millis(900))
        };
        let spell = rng.between(Micros::from_millis(30), Micros::from_millis(800));
        match rng.below(100) {
            0..=19 => Fault::Crash(node, down),
            20..=23 => Fault::CrashWithoutDisk(node, down),
            24..=28 => Fault::PowerLoss(node, down),
            29..=32 => Fault::CrashAll(rng.one_in(4), down),
            33..=53 => Fault::Stall(node, spell),
            54..=61 => Fault::OneWay(node, other, spell),
            62..=68 => Fault::Partition(node, other, spell),
            69..=76 => Fault::NoArbiter(node, spell),
            77..=81 => Fault::ArbiterDown(spell),
            82..=91 => Fault::Reset(node),
            92..=95 => Fault::Handover,
            96..=98 => Fault::Newcomer,
            _ => Fault::End,
        }
    }
}
