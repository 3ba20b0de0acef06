//! Rule U: a put without an answer is neither won nor lost.
//!
//! The same put is sent again, or the register is read, until the term has moved; then the register itself says who won. Meanwhile the
//! release rule of the mode holds and no other put is sent. The intent is durable before the first sending.

use super::{Action, Engine, Halt, Micros, Mutant, Role, Ticket, Why};
use crate::{Put, Register, Seat};

/// A put that is not known to be won or lost.
#[derive(Debug)]
pub(super) struct Asking {
    pub put: Put,
    pub purpose: Purpose,
    step: Step,
}

/// What the put is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// F: begin.
    Fresh,
    /// P2: name the backup.
    InSync(Seat),
    /// P3: go on alone.
    Solo,
    /// B2: take over.
    TakeOver,
    /// R: continue the directory.
    Resume,
    /// H: hand over.
    Handover,
    /// The program has ended.
    End(i32),
    /// The unresolved put of an earlier life in this directory.
    Inherited,
}

impl Purpose {
    /// This life owns the history if the put wins, and did not before.
    pub fn makes_owner(&self) -> bool {
        matches!(self, Purpose::Fresh | Purpose::TakeOver | Purpose::Resume)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Until the intent is durable.
    Storing,
    /// Until the arbiter answers.
    Sent(Ticket),
    /// No answer came: the register must be read.
    Unknown,
    /// The register was read and has not moved: send again at this time.
    Again(Micros),
}

impl Asking {
    pub fn new(put: Put, purpose: Purpose) -> Self {
        Self { put, purpose, step: Step::Storing }
    }

    /// The put of an earlier life: it was sent, so begin by reading.
    pub fn inherited(put: Put) -> Self {
        Self { put, purpose: Purpose::Inherited, step: Step::Unknown }
    }
}

impl Engine {
    pub(super) fn advance_asking(&mut self) {
        let stored = self.meta_pending == 0;
        if let Some(Asking { step: Step::Storing, purpose, .. }) = &self.asking
            && (stored || !purpose.makes_owner())
        {
            self.send_put();
        }
    }

    pub(super) fn tick_asking(&mut self) {
        match self.asking.as_ref().map(|a| a.step) {
            Some(Step::Unknown) => self.read_paced(),
            Some(Step::Again(at)) if self.now >= at => self.send_put(),
            _ => {}
        }
    }

    fn send_put(&mut self) {
        let ticket = self.ticket();
        if let Some(asking) = &mut self.asking {
            asking.step = Step::Sent(ticket);
            let put = asking.put.clone();
            self.out.push(Action::Put(ticket, put));
            self.put_was_sent();
        }
    }

    /// After a takeover put was sent nothing is acknowledged in this session, ever (B2).
    fn put_was_sent(&mut self) {
        let broken = self.config.breaks(Mutant::AckAfterPut) || self.config.breaks(Mutant::UnknownIsLostBackup);
        if matches!(self.role, Role::Backup(_)) && !broken {
            self.close_session();
        }
    }

    pub(super) fn put_done(&mut self, ticket: Ticket, current: Option<Register>) {
        if self.asking.as_ref().is_some_and(|a| a.step == Step::Sent(ticket)) {
            let fresh = self.observe(current.as_ref(), None);
            if let Some(asking) = &mut self.asking {
                asking.step = Step::Unknown;
            }
            if fresh {
                self.resolve(current.as_ref());
            }
        }
    }

    pub(super) fn put_unknown(&mut self, ticket: Ticket) {
        let Some(asking) = self.asking.as_mut().filter(|a| a.step == Step::Sent(ticket)) else { return };
        asking.step = Step::Unknown;
        let lost_primary =
            self.config.breaks(Mutant::UnknownIsLostPrimary) && matches!(asking.purpose, Purpose::InSync(_));
        let lost_backup = self.config.breaks(Mutant::UnknownIsLostBackup) && asking.purpose == Purpose::TakeOver;
        self.status(Why::PutUnknown);
        if lost_primary {
            self.forget_intent();
            self.back_to_solo();
        } else if lost_backup {
            self.forget_intent();
            self.back_to_acking();
        } else {
            self.read();
        }
    }

    fn forget_intent(&mut self) {
        self.asking = None;
        self.meta.intent = None;
        self.store_meta();
    }

    /// The register's word decides, whatever the answer to the put was.
    pub(super) fn resolve(&mut self, current: Option<&Register>) {
        let Some(asking) = &mut self.asking else { return };
        if asking.step == Step::Storing {
            return;
        }
        if asking.put.expect.matches(current) {
            if asking.step == Step::Unknown {
                asking.step = Step::Again(self.now.plus(self.config.retry));
            }
            return;
        }
        let new = &asking.put.new;
        let won = current
            .is_some_and(|r| r == new || (r.uuid == new.uuid && r.term > new.term && r.owner.life == new.owner.life));
        let Some(asking) = self.asking.take() else { return };
        if won { self.put_won(asking) } else { self.put_lost(asking) }
    }

    fn put_won(&mut self, asking: Asking) {
        if asking.purpose.makes_owner() || asking.purpose == Purpose::Inherited {
            // One record: without its intent the directory must already be the new owner's.
            self.meta.life = Some(asking.put.new.owner.life);
            self.meta.intent = None;
            self.store_meta();
        }
        match asking.purpose {
            Purpose::Fresh => self.go_live(Why::Fresh),
            Purpose::InSync(_) => self.in_sync_won(),
            Purpose::Solo => self.solo_won(),
            Purpose::TakeOver => self.go_live(Why::TookOver),
            Purpose::Resume => self.go_live(Why::Resumed),
            Purpose::Handover => self.handover_won(),
            Purpose::End(status) => self.end_recorded(status),
            Purpose::Inherited => self.decide_start(),
        }
    }

    fn put_lost(&mut self, asking: Asking) {
        if self.meta.intent.take().is_some() {
            self.store_meta();
        }
        self.status(Why::PutLost);
        match asking.purpose {
            Purpose::Fresh => {
                self.halt(Halt::Refused("somebody else began a history at this arbiter at the same moment".into()));
            }
            Purpose::InSync(_) | Purpose::Solo => self.deposed(),
            Purpose::TakeOver => self.back_to_joining(),
            Purpose::Resume => self.resume_lost(),
            // Whoever moved the term was entitled to: the group is gone either way.
            Purpose::Handover => self.handover_won(),
            Purpose::End(status) => self.end_recorded(status),
            Purpose::Inherited => self.decide_start(),
        }
    }
}
