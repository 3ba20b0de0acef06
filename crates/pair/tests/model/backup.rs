//! What a backup may do: receive, acknowledge, B1, B2, and going live by a handover.

use crate::config::{Level, Mutant};
use crate::rules::{Action, Rules, Steps, asking, forget_put, go_live};
use crate::state::{Ask, LOG_MAX, MARK, Put, Role, State};

impl Rules {
    pub fn backup(&self, out: &mut Steps, i: usize) {
        let s = out.from;
        let node = &s.nodes[i];
        self.answer(out, i);
        self.write(out, i);
        if node.role == Role::Acking {
            self.session(out, i);
        }
        if node.ask == Ask::None {
            self.promote(out, i);
            if s.owner == node.life {
                let mut next = *s;
                go_live(&mut next, i);
                out.go(i, "H: reads itself as owner, goes live", next);
            }
        } else if node.ask == Ask::Promote && self.is(Mutant::TimeoutIsLostBackup) {
            let mut next = *s;
            forget_put(&mut next, i);
            next.nodes[i].intent = Put::default();
            out.go(i, "B2: takes the silence of the arbiter for a no, joins again", next);
        }
    }

    fn session(&self, out: &mut Steps, i: usize) {
        let s = out.from;
        let node = &s.nodes[i];
        let primary = s.primary_of(i);
        if node.ask == Ask::None {
            let mut next = *s;
            (next.nodes[i].role, next.nodes[i].peer) = (Role::Joining, 0);
            out.push(Action { who: i, what: "drops the session" }, next, primary.is_some(), None);
        }
        let Some(p) = primary else { return };
        let theirs = s.nodes[p].log;
        let ahead = node.log.begins(theirs);
        if node.ask == Ask::None && ahead && node.log.len() < theirs.len() {
            let mut next = *s;
            next.nodes[i].log = theirs.prefix(node.log.len() + 1);
            out.go(i, "receives an entry", next);
        }
        let may_run_on = self.is(Mutant::ExecutePastMark) && (node.log.len() as usize) < LOG_MAX;
        if may_run_on && node.log.last().is_some_and(|item| item != MARK) {
            let mut next = *s;
            next.nodes[i].log.push(MARK);
            out.go(i, "executes on to the end of the step, past the last mark it holds", next);
        }
        if self.is(Mutant::ExecutePastMark) && !ahead {
            return;
        }
        let held = match self.config.level {
            Level::Durable if !self.is(Mutant::AckBeforeFsync) => node.disk,
            _ => node.log.len(),
        };
        let frozen = node.ask != Ask::None; // only AckAfterPut stays Acking then: frames come in behind the frozen end
        let acks = if self.is(Mutant::AckBeforeReceive) || frozen { theirs.len() } else { held };
        if acks > s.nodes[p].wire {
            let mut next = *s;
            next.nodes[p].wire = acks;
            out.go(i, "acknowledges", next);
        }
    }

    /// B1 and B2. Being silent without having put is no state of its own: it only refrains from acknowledging.
    fn promote(&self, out: &mut Steps, i: usize) {
        let s = out.from;
        let node = &s.nodes[i];
        let named = s.backup == node.life;
        let may = named
            || self.is(Mutant::NoBackupIdentity) && s.backup != 0
            || self.is(Mutant::IdentityWithoutLife) && s.backup != 0 && s.backup_node as usize == i
            || self.is(Mutant::PromoteUnnamed) && s.owner != 0;
        if !may || s.owner == node.life || self.is(Mutant::NeverPromotes) {
            return;
        }
        let healthy = s.primary_of(i).is_some_and(|p| s.nodes[p].ask == Ask::None);
        let mut next = *s;
        self.ask_for_term(&mut next, i);
        out.push(Action { who: i, what: "B2: writes log and intent, puts {me, none}" }, next, healthy, None);
    }

    /// Write the whole log out, write the intent, put; no acknowledgement in this session ever after.
    pub fn ask_for_term(&self, next: &mut State, i: usize) {
        let asked = asking(next, i, Ask::Promote);
        *next = asked;
        let node = &mut next.nodes[i];
        node.disk = node.log.len();
        if !self.is(Mutant::AckAfterPut) {
            (node.role, node.peer) = (Role::Joining, 0);
        }
    }
}
