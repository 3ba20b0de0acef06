//! How a life begins: rule F (fresh), rule R (resume), rule S (a restarted life may only join), rule A (a human accepts loss).
//!
//! Nothing is decided before the register was read, and nothing while a put of an earlier life in this directory is unresolved.

use super::asking::{Asking, Purpose};
use super::takeover::Resume;
use super::{Action, Backup, Engine, Halt, Mutant, Role, Start, Why};
use crate::{Commit, Expect, Point, Put, Register};
use gapless_log::Term;

impl Engine {
    pub(super) fn begin(&mut self) {
        self.status(Why::Began);
        if self.config.breaks(Mutant::IntentWiped) {
            self.meta.intent = None;
        }
        if let Some(put) = self.meta.intent.clone() {
            self.inherit(put);
        }
        self.read();
    }

    pub(super) fn tick_starting(&mut self) {
        if self.asking.is_none() {
            self.read_paced();
        }
    }

    /// A put of an earlier life of this directory may still be applied. It is sent again (that cannot do harm: what it rested on, the log
    /// in this directory, has not changed), unless loss of power has taken written bytes from under it.
    fn inherit(&mut self, put: Put) {
        if self.lost_power() && !self.config.accept_loss {
            self.status(Why::PutUnknown);
        } else {
            self.asking = Some(Asking::inherited(put));
        }
    }

    /// Written bytes may be missing from the log: the machine was restarted and the level did not sync.
    fn lost_power(&self) -> bool {
        self.meta.life.is_some() && self.meta.commit == Commit::Received && self.meta.boot != self.config.boot
    }

    /// The register was read, or the inherited put was resolved.
    pub(super) fn decide_start(&mut self) {
        let Some(register) = self.register.clone() else {
            return self.start_without_register();
        };
        if let Some(put) = self.meta.intent.clone()
            && !self.settle_intent(&put, &register)
        {
            return;
        }
        if let Some(status) = register.ended
            && self.config.start != Start::Fresh
        {
            return self.halt(Halt::Ended(status));
        }
        let owns = self.meta.owns(&register);
        // Nobody has seen anything of a history without a single whole step: its own directory begins it again, by rule R.
        let unbegun = owns && self.log.whole == Point::ZERO && !self.lost_power();
        match self.config.start {
            Start::Fresh if unbegun => self.resume(&register),
            Start::Fresh if register.ended.is_some() => self.fresh(Some(&register)),
            Start::Fresh => {
                let at = register.owner.address;
                self.halt(Halt::Refused(format!(
                    "the register already names an owner (term {}, {at}); use `gapless resume DIR` on its directory, \
                     `gapless backup` to join it, or another --arbiter for another program",
                    register.term
                )));
            }
            Start::Join if owns => self.halt(Halt::Refused(
                "this directory owns the history: use `gapless resume DIR`, or another --log directory to join".into(),
            )),
            Start::Resume | Start::Auto if owns => self.resume(&register),
            Start::Resume if self.config.accept_loss => self.resume(&register),
            Start::Resume => self.halt(Halt::Refused(format!(
                "this directory is not the owner of term {0}: use `gapless backup` to join {1}, or `gapless resume` there; \
                 if that machine is gone for good, go on from here with --accept-loss MACHINE, which names it as switched off",
                register.term, register.owner.address
            ))),
            Start::Join | Start::Auto => self.join(),
        }
    }

    /// An intent that is not sent again (power was lost): wait until the register shows what became of it. True if it is settled.
    fn settle_intent(&mut self, put: &Put, register: &Register) -> bool {
        if put.expect.matches(Some(register)) {
            return false;
        }
        if register.owned_by(put.new.owner.life) {
            self.meta.life = Some(put.new.owner.life);
        }
        self.meta.intent = None;
        self.store_meta();
        true
    }

    fn start_without_register(&mut self) {
        match self.config.start {
            Start::Fresh => self.fresh(None),
            // A standby may be started before the program that it protects.
            Start::Join | Start::Auto if self.meta.intent.is_none() => self.join(),
            Start::Join | Start::Auto => {}
            Start::Resume => {
                self.halt(Halt::Refused("the arbiter holds no register: nothing to resume; check --arbiter".into()));
            }
        }
    }

    /// F: begin a history where none is.
    fn fresh(&mut self, ended: Option<&Register>) {
        if self.log.whole != Point::ZERO || self.lost_power() {
            return self.halt(Halt::Refused(
                "the --log directory is not empty; use `gapless resume DIR` or an empty one".into(),
            ));
        }
        let new = Register {
            uuid: self.config.fresh_uuid,
            term: ended.map_or(Term(1), |r| r.term.next()),
            generation: 0,
            owner: self.config.seat.clone(),
            backup: None,
            ended: None,
        };
        let expect = ended.map_or(Expect::Absent, |r| Expect::At { uuid: r.uuid, term: r.term });
        self.ask(Put { expect, new }, Purpose::Fresh);
    }

    /// R: this directory's life owns the history and is dead (its lock is ours). Replay, prepare, and only then ask.
    fn resume(&mut self, register: &Register) {
        let lost_power = self.lost_power() && !self.config.breaks(Mutant::ResumeAfterPowerLoss);
        if lost_power && !self.config.accept_loss {
            return self.halt(Halt::Refused(
                "the machine was restarted and the commit level is `received`: released outputs may be missing from this log; \
                 resume the other side's directory, or accept the loss with --accept-loss"
                    .into(),
            ));
        }
        let lossy = lost_power || !self.meta.owns(register);
        let how = Resume { lossy, over: register.clone() };
        self.role = Role::Backup(Backup::resuming(how, self.now));
        self.act(Action::ReplayLog);
    }

    /// The resuming put: the next term is ours, alone.
    pub(super) fn ask_resume(&mut self, resume: &Resume) {
        let mut new = resume.over.successor(self.config.seat.clone(), None);
        if resume.lossy && !self.config.breaks(Mutant::NumberReuse) {
            new.generation += 1;
        }
        self.ask(Put::over(&resume.over, new), Purpose::Resume);
    }

    /// Somebody else moved the term: this directory may still own it, or joins.
    pub(super) fn resume_lost(&mut self) {
        match self.register.clone() {
            Some(register) if self.meta.owns(&register) => self.keep_resuming(register),
            _ => self.halt(Halt::Refused(
                "another life took over while this directory was being resumed; start it again to join".into(),
            )),
        }
    }

    fn keep_resuming(&mut self, register: Register) {
        if let Role::Backup(Backup { takeover: Some(takeover), .. }) = &mut self.role {
            takeover.resume_over(register);
        }
    }

    /// S: a life that the register does not name may only join. From here on the directory is this life's.
    pub(super) fn join(&mut self) {
        self.meta.life = Some(self.me());
        self.meta.boot = self.config.boot;
        self.meta.commit = self.config.commit;
        self.store_meta();
        self.role = Role::Backup(Backup::joining());
        self.status(Why::Began);
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            self.connected_backup(conn);
        }
        self.backup_read();
    }
}
