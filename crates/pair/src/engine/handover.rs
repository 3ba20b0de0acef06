//! H: a planned takeover without loss; and the end of the protected program.
//!
//! The primary ends stepping with a mark, waits until the backup has executed it and has stored the intent, kills its group, and only then
//! puts the backup as owner. The backup goes live when it reads its own life as owner.

use super::asking::Purpose;
use super::backup::Offered;
use super::owner::{Owner, Phase};
use super::{Action, Backup, Engine, Halt, Micros, Role, Why};
use crate::{Bye, Handover, Message, Nonce, Put};

/// How an owner's life comes to its planned end.
#[derive(Debug)]
pub(super) enum Ending {
    /// The host was asked to stop.
    Stopping,
    /// The host has stopped: until the backup has executed everything.
    Draining,
    /// Offered: until the backup has stored its intent.
    Offered,
    /// The group is being killed: no way back.
    Killing,
    /// The program ended with this status: until everything it said has left, and no longer than until the time, for the register.
    Ended { status: i32, recorded: bool, until: Option<Micros> },
}

/// How long the end of a program waits for the arbiter.
const END_WAIT: Micros = Micros::from_millis(2_000);

impl Ending {
    /// The backup is gone. True if a planned takeover is off and the program goes on.
    pub fn session_lost(&mut self) -> bool {
        matches!(self, Ending::Stopping | Ending::Draining | Ending::Offered)
    }
}

impl Engine {
    // ---- the primary's side ----

    pub(super) fn handover_asked(&mut self) {
        let idle = self.asking.is_none();
        if let Role::Owner(owner) = &mut self.role
            && owner.phase == Phase::Protected
            && owner.session.is_some()
            && owner.ending.is_none()
            && idle
        {
            owner.ending = Some(Ending::Stopping);
            self.status(Why::Handover);
            self.act(Action::Stop);
        }
    }

    pub(super) fn stopped(&mut self) {
        if let Role::Owner(Owner { ending: Some(ending @ Ending::Stopping), .. }) = &mut self.role {
            *ending = Ending::Draining;
        }
    }

    pub(super) fn advance_ending(&mut self) {
        let end = self.log.end().seq;
        let own = self.log.own(self.config.commit);
        let (commit, now) = (self.config.commit, self.now);
        let Role::Owner(owner) = &mut self.role else { return };
        let all_released = owner.committed >= end;
        match (&mut owner.ending, &owner.session) {
            (Some(ending @ Ending::Draining), Some(session))
                if own >= end && session.held(commit) >= end && session.executed() >= end =>
            {
                *ending = Ending::Offered;
                let (conn, nonce, term) = (session.conn, session.nonce, self.term().next());
                self.send(conn, nonce, Message::Handover(Handover::Offer { term, end }));
            }
            (Some(Ending::Ended { recorded: true, status, .. }), _) => {
                let status = *status;
                self.stop_now(Halt::Ended(status), Bye::Ended(status));
            }
            (Some(Ending::Ended { status, until: Some(until), .. }), _) if now >= *until => {
                let status = *status;
                self.stop_now(Halt::Ended(status), Bye::Ended(status));
            }
            (Some(Ending::Ended { status, until, .. }), _) if all_released => {
                until.get_or_insert(now.plus(END_WAIT));
                let status = *status;
                self.record_end(status);
            }
            _ => {}
        }
    }

    /// The group is gone after this, so nothing can be released any more; then the put.
    pub(super) fn killed(&mut self) {
        let Role::Owner(Owner { ending: Some(Ending::Killing), session, .. }) = &self.role else { return };
        let peer = session.as_ref().map(|s| s.peer.clone()).or_else(|| self.register.as_ref()?.backup.clone());
        if let (Some(register), Some(peer)) = (&self.register, peer) {
            let new = register.successor(peer, None);
            let put = Put::over(register, new);
            self.ask(put, Purpose::Handover);
        }
    }

    pub(super) fn handover_won(&mut self) {
        if let Role::Owner(Owner { session: Some(session), .. }) = &self.role {
            let (conn, nonce) = (session.conn, session.nonce);
            self.send(conn, nonce, Message::Handover(Handover::Done));
        }
        self.halt(Halt::HandedOver);
    }

    pub(super) fn handover_heard(&mut self, step: Handover) {
        match (&mut self.role, step) {
            (Role::Owner(Owner { ending: Some(ending @ Ending::Offered), .. }), Handover::Ready) => {
                *ending = Ending::Killing;
                self.act(Action::Kill);
            }
            (Role::Backup(backup), Handover::Offer { end, .. }) => {
                let Some(register) = self.register.clone().filter(|r| r.backed_by(self.config.seat.life)) else {
                    // It was named and has not read of it yet.
                    return self.read();
                };
                let new = register.successor(self.config.seat.clone(), None);
                let put = Put::over(&register, new);
                if backup.offered.as_ref().is_some_and(|o| o.put == put) {
                    return;
                }
                backup.offered = Some(Box::new(Offered { end, put: put.clone(), answered: false }));
                self.meta.intent = Some(put);
                self.store_meta();
                self.begin_to_execute();
            }
            (Role::Backup(_), Handover::Done) => self.read(),
            _ => {}
        }
    }

    // ---- the backup's side ----

    pub(super) fn has_offer(&self) -> bool {
        matches!(&self.role, Role::Backup(b) if b.offered.is_some())
    }

    /// The intent is durable and the log is written out and executed: the owner may put.
    pub(super) fn advance_offer(&mut self) {
        let stored = self.meta_pending == 0;
        let (own, executed) = (self.log.own(self.config.commit), self.log.executed);
        if let Role::Backup(Backup { offered: Some(offered), session: Some(session), .. }) = &mut self.role
            && !offered.answered
            && stored
            && own >= offered.end
            && executed >= offered.end
        {
            offered.answered = true;
            let (conn, nonce): (_, Nonce) = (session.conn, session.nonce);
            self.send(conn, nonce, Message::Handover(Handover::Ready));
        }
    }

    /// The register was read: an offer is settled once the term has moved.
    pub(super) fn settle_offer(&mut self) {
        let Some(register) = &self.register else { return };
        if let Role::Backup(Backup { offered, .. }) = &mut self.role
            && let Some(settled) = offered.take_if(|o| !o.put.expect.matches(Some(register)))
            && register != &settled.put.new
        {
            self.meta.intent = None;
            self.store_meta();
        }
    }

    // ---- the end of the program ----

    pub(super) fn replica_ended(&mut self, status: i32) {
        if let Role::Owner(owner) = &mut self.role {
            owner.ending = Some(Ending::Ended { status, recorded: false, until: None });
        }
    }

    /// Says in the register that nobody needs to take over.
    fn record_end(&mut self, status: i32) {
        if self.asking.is_some() {
            return;
        }
        if let Some(register) = &self.register {
            let mut new = register.successor(self.config.seat.clone(), None);
            new.ended = Some(status);
            let put = Put::over(register, new);
            self.ask(put, Purpose::End(status));
        }
    }

    pub(super) fn end_recorded(&mut self, _status: i32) {
        if let Role::Owner(Owner { ending: Some(Ending::Ended { recorded, .. }), .. }) = &mut self.role {
            *recorded = true;
        }
    }

    /// The owner says that the program ended and everything it said has left.
    pub(super) fn owner_ended(&mut self, status: i32) {
        self.halt(Halt::Ended(status));
    }

    pub(super) fn stop_asked(&mut self) {
        if let Role::Backup(Backup { session: Some(session), .. }) = &self.role {
            let (conn, nonce) = (session.conn, session.nonce);
            self.send(conn, nonce, Message::Bye(Bye::Stopping));
        }
        self.stop_now(Halt::Stopped, Bye::Stopping);
    }
}
