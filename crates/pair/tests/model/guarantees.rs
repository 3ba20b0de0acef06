//! What must hold: S1 and S2 in every state, L from every state.

use crate::config::{ENDLESS, Mutant};
use crate::rules::Rules;
use crate::state::{Ask, Life, Log, MARK, Node, Role, State};

/// A broken guarantee.
pub type Broken = &'static str;

pub const S1_LOST: Broken = "S1: something released is not in the log of the live owner";
pub const S1_FORKED: Broken = "S1: two released histories contradict each other";
pub const S2: Broken = "S2: a deposed life obtained a new release";
/// The third of the rules that hold everywhere: a backup executes to the last mark that it holds.
pub const X_AHEAD: Broken = "X: a backup has executed what its primary never did";

pub const L: Broken = "L: no live owner can ever be reached again, although everything needed for one is there";

impl Rules {
    pub fn check(&self, s: &State) -> Option<Broken> {
        if let Some(o) = s.live_owner() {
            let log = s.nodes[o].log;
            let kept = self.lasting(s.released).begins(log) && s.released.agrees(log);
            if !kept && !s.reused {
                return Some(S1_LOST);
            }
        }
        let ahead = |p: usize| s.backup_of(p).is_some_and(|b| !s.nodes[b].log.agrees(s.nodes[p].log));
        if self.config.marks && (0..self.config.nodes).any(ahead) {
            return Some(X_AHEAD);
        }
        None
    }

    /// What of a released history a survivor must hold. For the mutant that releases at the entry be generous, so that
    /// it is caught by a contradiction: a survivor without the last mark has lost no input and may still write the mark.
    pub fn lasting(&self, said: Log) -> Log {
        let generous = self.is(Mutant::ReleaseAtEntry) && said.last() == Some(MARK);
        said.prefix(said.len() - u8::from(generous))
    }

    /// L: a live owner that can release.
    pub fn serves(&self, s: &State) -> bool {
        s.live_owner().is_some_and(|o| {
            let healthy = || s.backup_of(o).is_some_and(|b| s.nodes[b].ask == Ask::None);
            s.nodes[o].ask == Ask::None
                && (s.nodes[o].role == Role::Solo || s.nodes[o].role == Role::Protected && healthy())
        })
    }

    /// What L asks for: the owner, the named backup or the owner's directory is there. Where no directory was ever
    /// lost, L asks for nothing. An owner that has sent a handover has given itself up: then the backup counts.
    pub fn servable(&self, s: &State) -> bool {
        if s.owner == 0 || s.losses_left == self.config.losses && self.config.losses != ENDLESS {
            return true;
        }
        let owner = s.holder(s.owner);
        let given_up = owner.is_some_and(|o| s.nodes[o].ask == Ask::Handover);
        let restartable = |life: Life| {
            let waits = |n: &Node| n.dir_life == life && matches!(n.role, Role::Dead | Role::Start);
            life != 0 && s.nodes.iter().any(waits)
        };
        let directory = restartable(s.owner) || self.config.backup_directory && restartable(s.backup);
        owner.is_some() && !given_up || s.holder(s.backup).is_some() || directory
    }
}
