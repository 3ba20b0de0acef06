//! What a primary may do: execute, write, release (the output rule), P1, P2, P3, D and H.

use crate::config::{Level, Mutant};
use crate::guarantees::{S1_FORKED, S2};
use crate::rules::{Action, Rules, Steps, asking, forget_put, go_live};
use crate::state::{Ask, Fate, Log, MARK, Role};

impl Rules {
    pub fn primary(&self, out: &mut Steps, i: usize) {
        let s = out.from;
        let node = &s.nodes[i];
        self.answer(out, i);
        self.execute(out, i);
        self.write(out, i);
        self.release(out, i);
        if node.wire > node.acked && (node.session || self.is(Mutant::AcksAcrossSessions)) {
            let mut next = *s;
            next.nodes[i].acked = node.wire;
            out.go(i, "reads an acknowledgement", next);
        }
        if s.owner != node.life && node.fate != Fate::Lost && !self.is(Mutant::NeverReads) {
            self.exit(out, i, "D: reads the register, halts");
        }
        if node.session {
            self.hang_up(out, i);
        }
        if node.ask != Ask::Handover {
            self.open(out, i);
        }
        match (node.role, node.ask) {
            (Role::Solo, Ask::None) if node.session => self.close_gate(out, i, Role::Closing, "P1: closes the gate"),
            (Role::Closing, Ask::None) => {
                self.close_gate(out, i, Role::Solo, "P1: opens the gate again");
                self.in_sync(out, i);
            }
            (Role::Protected, Ask::None) => {
                self.go_solo(out, i);
                self.hand_over(out, i);
            }
            (Role::Closing, Ask::InSync) if self.is(Mutant::TimeoutIsLostPrimary) => {
                let mut next = *s;
                forget_put(&mut next, i);
                self.alone(&mut next.nodes[i]);
                out.go(i, "P2: takes the silence of the arbiter for a no, is solo", next);
            }
            _ => {}
        }
    }

    /// One bounded step: an input, and where marks are told apart, the mark that ends the step.
    fn execute(&self, out: &mut Steps, i: usize) {
        let s = out.from;
        let node = &s.nodes[i];
        if node.log.len() >= self.config.log || node.ask == Ask::Handover {
            return;
        }
        let mut next = *s;
        next.nodes[i].log.push(node.life);
        out.go(i, "logs an input", next);
        if self.config.marks && node.log.last().is_some_and(|item| item != MARK) {
            let mut next = *s;
            next.nodes[i].log.push(MARK);
            out.go(i, "ends the step with a mark", next);
        }
    }

    pub fn write(&self, out: &mut Steps, i: usize) {
        let node = &out.from.nodes[i];
        if node.disk < node.log.len() {
            let mut next = *out.from;
            next.nodes[i].disk = node.log.len();
            let what = match self.config.level {
                Level::Received => "writes its log",
                Level::Durable => "fsyncs its log",
            };
            out.go(i, what, next);
        }
    }

    /// RELEASE: the mark is written here and, unless solo, acknowledged.
    fn release(&self, out: &mut Steps, i: usize) {
        let s = out.from;
        let node = &s.nodes[i];
        let unwritten_ok =
            self.is(Mutant::OwnLogNeverWritten) || self.is(Mutant::OwnLogNotWrittenInSolo) && node.role == Role::Solo;
        let written = if unwritten_ok { node.log.len() } else { node.disk };
        let mut acked = node.acked;
        if self.is(Mutant::ReleaseAtEntry) && node.log.get(acked) == Some(MARK) {
            acked += 1;
        }
        let may = match node.role {
            Role::Solo => written,
            Role::Closing if self.is(Mutant::InSyncBeforeGate) => written,
            Role::Protected if self.is(Mutant::ReleaseBeforeAck) => written,
            _ => written.min(acked),
        };
        let may = if self.config.marks { last_mark(node.log, may) } else { may };
        if may <= node.released {
            return;
        }
        let mut next = *s;
        next.nodes[i].released = may;
        let said = node.log.prefix(may);
        if said.len() > s.released.len() {
            next.released = said;
        }
        let new = self.lasting(said).len();
        let deposed = s.live_owner().is_some_and(|o| o != i && new > s.nodes[o].base);
        let broken = match (said.agrees(s.released), deposed && !s.reused) {
            (false, _) => Some(S1_FORKED),
            (true, true) => Some(S2),
            (true, false) => None,
        };
        out.push(Action { who: i, what: "RELEASES" }, next, false, broken);
    }

    /// From here on outputs wait for the joiner, and back, which is allowed while not Asking.
    fn close_gate(&self, out: &mut Steps, i: usize, role: Role, what: &'static str) {
        let mut next = *out.from;
        next.nodes[i].role = role;
        out.go(i, what, next);
    }

    /// The primary's end of the session is reset. Back to Solo is allowed from Closing while not Asking.
    fn hang_up(&self, out: &mut Steps, i: usize) {
        let s = out.from;
        let node = &s.nodes[i];
        let mut next = *s;
        if node.role != Role::Protected && node.ask == Ask::None {
            self.alone(&mut next.nodes[i]);
        } else {
            (next.nodes[i].session, next.nodes[i].wire) = (false, 0);
        }
        out.push(Action { who: i, what: "drops the session" }, next, s.backup_of(i).is_some(), None);
    }

    /// P1, and the return of the same life in a new session, also while a put of the primary is under way. The joiner drops what it holds beyond the common part;
    /// if it has executed beyond, it must restart empty: that is a kill and an emptied directory here.
    fn open(&self, out: &mut Steps, i: usize) {
        let s = out.from;
        let primary = &s.nodes[i];
        for j in (0..self.config.nodes).filter(|&j| j != i) {
            let joiner = &s.nodes[j];
            let free = joiner.role == Role::Joining && joiner.ask == Ask::None;
            if !free || (primary.peer != 0 && primary.peer != joiner.life) {
                continue;
            }
            let mut next = *s;
            let common = primary.log.common(joiner.log);
            if !self.is(Mutant::TailKept) {
                let node = &mut next.nodes[j];
                (node.log, node.disk) = (joiner.log.prefix(common), joiner.disk.min(common));
            }
            (next.nodes[j].role, next.nodes[j].peer) = (Role::Acking, primary.life);
            let node = &mut next.nodes[i];
            (node.peer, node.session, node.acked) = (joiner.life, true, 0);
            if !self.is(Mutant::AcksAcrossSessions) {
                node.wire = 0;
            }
            out.go(i, "P1: opens a session with the joiner", next);
        }
    }

    fn in_sync(&self, out: &mut Steps, i: usize) {
        let node = &out.from.nodes[i];
        let cover = if self.is(Mutant::InSyncBeforeCovered) {
            0
        } else if self.is(Mutant::CoverNothingAfterPromotion) {
            node.released
        } else {
            node.released.max(node.base)
        };
        if node.session && node.acked >= cover {
            out.go(i, "P2: puts {me, joiner}", asking(out.from, i, Ask::InSync));
        }
    }

    fn go_solo(&self, out: &mut Steps, i: usize) {
        let s = out.from;
        if self.is(Mutant::NeverSolo) {
            return;
        }
        let healthy = s.backup_of(i).is_some_and(|b| s.nodes[b].ask == Ask::None);
        let mut next = asking(s, i, Ask::GoSolo);
        if self.is(Mutant::SoloBeforeWon) {
            forget_put(&mut next, i);
            self.alone(&mut next.nodes[i]);
        }
        out.push(Action { who: i, what: "P3: puts {me, none}" }, next, healthy, None);
    }

    fn hand_over(&self, out: &mut Steps, i: usize) {
        let s = out.from;
        let node = &s.nodes[i];
        let Some(b) = s.backup_of(i) else { return };
        let all = node.acked == node.log.len() && node.disk == node.log.len() && s.nodes[b].ask == Ask::None;
        if !self.config.handover || !all {
            return;
        }
        let mut next = asking(s, i, Ask::Handover);
        if self.is(Mutant::ForeignIntentTaken) || self.is(Mutant::ForeignIntentBinds) {
            let node = &mut next.nodes[i];
            (node.intent, node.foreign) = (node.put(), true);
        }
        if self.is(Mutant::HandoverUnread) {
            go_live(&mut next, b);
        } else if !self.is(Mutant::HandoverUnbound) {
            self.ask_for_term(&mut next, b);
        }
        out.fault(i, "H: kills its group, puts {backup, none}", next);
    }
}

/// The number of items up to and with the last mark among the first `len`.
fn last_mark(log: Log, len: u8) -> u8 {
    (0..len).rev().find(|&at| log.get(at) == Some(MARK)).map_or(0, |at| at + 1)
}
