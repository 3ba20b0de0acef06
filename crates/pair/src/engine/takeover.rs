//! B1 and B2: from silence to live; and the same way for a directory that is resumed.
//!
//! The log's end is frozen; everything whole in it is executed, everything that can fail is prepared, everything is written out, and only then
//! is the put sent, and only if the register names this life.

use super::asking::Purpose;
use super::{Action, Backup, Engine, Micros, Mutant, Role, Why};
use crate::{Put, Register};

/// A takeover under way.
#[derive(Debug)]
pub(super) struct Takeover {
    /// `Some` if the directory is being resumed.
    resume: Option<Box<Resume>>,
    /// The register was read since and names this life.
    named: bool,
    prepare: Prepare,
}

/// How a directory is resumed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Resume {
    /// Entries may have been lost, and a human accepts that.
    pub lossy: bool,
    /// The register on which it was decided; the put is over this one and no other.
    pub over: Register,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Prepare {
    No,
    Asked,
    Done,
    Again(Micros),
}

impl Takeover {
    fn of_silence() -> Self {
        Self { resume: None, named: false, prepare: Prepare::No }
    }

    pub fn resume(resume: Resume) -> Self {
        Self { resume: Some(Box::new(resume)), named: true, prepare: Prepare::No }
    }

    pub fn is_resume(&self) -> bool {
        self.resume.is_some()
    }

    /// The directory still owns, at a later term.
    pub fn resume_over(&mut self, register: Register) {
        if let Some(resume) = &mut self.resume {
            resume.over = register;
        }
    }
}

impl Engine {
    /// B1: reset or silence. The session, if the connection still stands, may be taken up again until a put is sent.
    pub(super) fn fall_silent(&mut self, why: Why) {
        if let Role::Backup(backup) = &mut self.role
            && backup.takeover.is_none()
        {
            backup.takeover = Some(Takeover::of_silence());
            self.status(why);
            self.begin_to_execute();
            self.read();
        }
    }

    /// The register already names this life as owner: a planned takeover, or a put of ours that we had no answer to.
    pub(super) fn take_over_now(&mut self) {
        self.close_session();
        self.fall_silent(Why::Handover);
        if let Role::Backup(Backup { takeover: Some(takeover), .. }) = &mut self.role {
            takeover.named = true;
        }
    }

    /// B2, first half: the register was read.
    pub(super) fn check_named(&mut self) {
        let Some(register) = &self.register else { return };
        let named = self.names_me(register);
        let (now, detect) = (self.now, self.config.detect);
        let Role::Backup(backup) = &mut self.role else { return };
        match &mut backup.takeover {
            Some(takeover) if named => takeover.named = true,
            Some(_) => self.abandon_takeover(Why::NotNamed),
            // Named, and nobody to hold the log for: the put that named this life was heard of only now, or a takeover failed.
            None if named && backup.session.is_none() && now.since(backup.alone_since) > detect => {
                self.fall_silent(Why::Silence);
                self.check_named();
            }
            None => {}
        }
    }

    fn names_me(&self, register: &Register) -> bool {
        let me = self.me();
        let by_node = self.config.breaks(Mutant::IdentityWithoutLife)
            && register.backup.as_ref().is_some_and(|b| b.life.node == me.node);
        register.backed_by(me) || by_node || self.config.breaks(Mutant::PromoteUnnamed)
    }

    /// Back to what it was: the owner is heard, or the register names somebody else.
    pub(super) fn abandon_takeover(&mut self, why: Why) {
        let now = self.now;
        let Role::Backup(backup) = &mut self.role else { return };
        if backup.takeover.as_ref().is_some_and(Takeover::is_resume) {
            return;
        }
        let Some(takeover) = backup.takeover.take() else { return };
        backup.alone_since = now;
        if takeover.prepare != Prepare::No {
            self.act(Action::Unprepare);
        }
        if why == Why::NotNamed {
            self.close_session();
        }
        self.status(why);
    }

    pub(super) fn back_to_joining(&mut self) {
        self.close_session();
        self.abandon_takeover(Why::NotNamed);
        self.backup_read();
    }

    /// B1, second half, and B2: each step as soon as it can be taken.
    pub(super) fn advance_takeover(&mut self) {
        // An intent that has come true needs no settling: the register names this life.
        let owned = self.register.as_ref().is_some_and(|r| r.owned_by(self.me()));
        if self.asking.is_some() || self.meta.intent.is_some() && !self.has_offer() && !owned {
            return;
        }
        let early = self.config.breaks(Mutant::PromoteBeforeExecuted);
        let executed = self.log.executed >= self.log.whole.seq || early;
        let safe = self.log.own(self.config.commit) >= self.log.whole.seq;
        let Role::Backup(Backup { takeover: Some(takeover), .. }) = &mut self.role else { return };
        match takeover.prepare {
            Prepare::No if executed && takeover.named => {
                takeover.prepare = Prepare::Asked;
                self.prepares += 1;
                self.act(Action::Prepare);
            }
            Prepare::Done if safe && takeover.named => {
                let resume = takeover.resume.clone();
                self.ask_takeover(resume);
            }
            _ => {}
        }
    }

    /// B2: the put that makes this life the owner.
    fn ask_takeover(&mut self, resume: Option<Box<Resume>>) {
        let Some(register) = self.register.clone() else { return };
        if let Some(resume) = resume {
            if self.config.breaks(Mutant::RestartAssumes) {
                return self.go_live(Why::Resumed);
            }
            return self.ask_resume(&resume);
        }
        if register.owned_by(self.me()) {
            self.meta.intent = None;
            self.store_meta();
            return self.go_live(Why::Handover);
        }
        let new = register.successor(self.config.seat.clone(), None);
        self.ask(Put::over(&register, new), Purpose::TakeOver);
    }

    pub(super) fn prepared(&mut self) {
        self.prepares = self.prepares.saturating_sub(1);
        if self.prepares > 0 {
            // The answer to an attempt that was given up.
            return;
        }
        if let Role::Backup(Backup { takeover: Some(takeover), .. }) = &mut self.role
            && takeover.prepare == Prepare::Asked
        {
            takeover.prepare = Prepare::Done;
        }
    }

    /// B1: any failure means never to put; it is tried again as long as the owner stays silent.
    pub(super) fn prepare_failed(&mut self, why: String) {
        let again = self.now.plus(self.config.retry);
        self.prepares = self.prepares.saturating_sub(1);
        if self.prepares > 0 {
            return;
        }
        if let Role::Backup(Backup { takeover: Some(takeover), .. }) = &mut self.role
            && takeover.prepare == Prepare::Asked
        {
            takeover.prepare = Prepare::Again(again);
            self.status(Why::PrepareFailed(why));
        }
    }

    pub(super) fn tick_takeover(&mut self) {
        let now = self.now;
        let Role::Backup(Backup { takeover: Some(takeover), .. }) = &mut self.role else { return };
        if matches!(takeover.prepare, Prepare::Again(at) if now >= at) {
            takeover.prepare = Prepare::No;
        }
        if !takeover.named && self.asking.is_none() {
            self.read_paced();
        }
    }
}
