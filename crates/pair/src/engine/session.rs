//! How two lives find each other and open a session.
//!
//! The owner speaks first. A joiner answers only when the register, read through its own arbiter after it heard the owner, names that
//! very life; so both follow one register. The owner finds the last point that both logs have, and opens the session with a nonce that
//! is used once. Packets of any other session are dropped.

use super::owner::{Joiner, Owner, OwnerSession, Transfer};
use super::{Action, Conn, ConnId, Engine, LOADING_DETECTS, Micros, Mutant, Role, Ticket, Why};
use crate::{Hello, Message, Nonce, Packet, Point, Refusal, Welcome};
use gapless_log::{Seq, hash};

impl Engine {
    /// Rule D: read the register after every reconnect.
    pub(super) fn connected_owner(&mut self, conn: ConnId) {
        let hello = self.hello(true);
        self.send(conn, Nonce::NONE, Message::Hello(Box::new(hello)));
        self.read_soon();
    }

    pub(super) fn hello(&self, owner: bool) -> Hello {
        Hello {
            seat: self.config.seat.clone(),
            register: self.register.as_ref().map(|r| (r.uuid, r.term)),
            owner,
            identity: self.config.identity.clone(),
            commit: self.config.commit,
            takes_state: self.config.saves_state,
            warm: self.is_idle(),
            executed: self.log.executed,
            points: if owner { Vec::new() } else { self.log.sample() },
        }
    }

    pub(super) fn disconnected(&mut self, conn: ConnId) {
        if self.conns.remove(&conn).is_none() {
            return;
        }
        self.forget_joiner(conn);
        if self.session_conn() == Some(conn) {
            match self.role {
                Role::Owner(_) => self.lose_backup(Why::Reset),
                Role::Backup(_) => self.lose_owner(Why::Reset),
                Role::Starting | Role::Halted => {}
            }
        }
    }

    /// The connection of the session.
    pub fn session_conn(&self) -> Option<ConnId> {
        match &self.role {
            Role::Owner(owner) => owner.session.as_ref().map(|s| s.conn),
            Role::Backup(backup) => backup.session.as_ref().map(|s| s.conn),
            Role::Starting | Role::Halted => None,
        }
    }

    fn session_nonce(&self) -> Option<Nonce> {
        match &self.role {
            Role::Owner(owner) => owner.session.as_ref().map(|s| s.nonce),
            Role::Backup(backup) => backup.session.as_ref().map(|s| s.nonce),
            Role::Starting | Role::Halted => None,
        }
    }

    pub(super) fn received(&mut self, conn: ConnId, packet: Packet) {
        let Packet { nonce, message } = packet;
        let stray_ack = matches!(message, Message::Ack(_)) && self.config.breaks(Mutant::AckAcrossSessions);
        if !self.conns.contains_key(&conn) && !stray_ack {
            return;
        }
        match message {
            Message::Hello(hello) => return self.heard_hello(conn, hello),
            Message::Welcome(welcome) => return self.welcomed(conn, nonce, welcome),
            Message::Refuse(why) => return self.refused(conn, why),
            _ => {}
        }
        let in_session = self.session_conn() == Some(conn) && self.session_nonce() == Some(nonce);
        if !in_session && !stray_ack {
            return;
        }
        match self.role {
            Role::Owner(_) => self.owner_received(message),
            Role::Backup(_) => self.backup_received(message),
            Role::Starting | Role::Halted => {}
        }
    }

    fn heard_hello(&mut self, conn: ConnId, hello: Box<Hello>) {
        if self.session_conn() == Some(conn) || self.is_requesting(conn) {
            return;
        }
        match &self.role {
            Role::Owner(_) if hello.owner => {
                // Two owners: one of us is out of date.
                self.read_soon();
                self.refuse(conn, Refusal::NotOwner(self.term()));
            }
            Role::Owner(_) => self.joiner_hello(conn, hello),
            Role::Backup(_) if !hello.owner => self.close(conn),
            Role::Backup(_) | Role::Starting => {
                let heard = Ticket(self.tickets);
                if let Some(c) = self.conns.get_mut(&conn) {
                    (c.hello, c.heard) = (Some(hello), heard);
                }
                self.connected_backup(conn);
            }
            Role::Halted => {}
        }
    }

    /// An owner that spoke before this read was sent follows another register than the one that was read: the two will never find each other.
    pub(super) fn compare_registers(&mut self, read: Ticket) {
        let ours = self.register.as_ref().map(|r| r.uuid);
        let other = |conn: &Conn| {
            let theirs = conn.hello.as_ref().and_then(|hello| hello.register).map(|(uuid, _)| uuid);
            read > conn.heard && theirs.is_some() && theirs != ours
        };
        let strangers: Vec<ConnId> = self.conns.iter().filter(|(_, conn)| other(conn)).map(|(&id, _)| id).collect();
        for conn in strangers {
            self.status(Why::Refused(Refusal::Register));
            self.refuse(conn, Refusal::Register);
        }
    }

    pub(super) fn refuse(&mut self, conn: ConnId, why: Refusal) {
        self.send(conn, Nonce::NONE, Message::Refuse(why));
        self.close(conn);
    }

    fn refused(&mut self, conn: ConnId, why: Refusal) {
        let lasting = matches!(
            why,
            Refusal::Version(_)
                | Refusal::Level(_)
                | Refusal::Identity(_)
                | Refusal::Commit(_)
                | Refusal::Diverged
                | Refusal::State(_)
        );
        if lasting && matches!(self.role, Role::Backup(_)) && self.session_conn() != Some(conn) {
            return self.halt(super::Halt::Unpaired(why));
        }
        if why != Refusal::Busy {
            self.status(Why::Refused(why.clone()));
        }
        if self.session_conn() == Some(conn) {
            match self.role {
                Role::Owner(_) => self.lose_backup(Why::Refused(why)),
                _ => self.lose_owner(Why::Refused(why)),
            }
        } else {
            self.forget_joiner(conn);
            self.close(conn);
        }
    }

    // ---- the owner's side ----

    fn joiner_hello(&mut self, conn: ConnId, hello: Box<Hello>) {
        if let Some(why) = self.unfit(&hello) {
            if !matches!(why, Refusal::Busy) {
                self.status(Why::Refused(why.clone()));
            }
            return self.refuse(conn, why);
        }
        if self.session_peer() == Some(hello.seat.life) {
            // It comes back on another connection: the old one is dead, whatever we have noticed of it.
            self.lose_backup(Why::Reset);
        }
        if !self.takes_joiner() {
            return self.refuse(conn, Refusal::Busy);
        }
        let points = hello.points.clone();
        if let Role::Owner(owner) = &mut self.role {
            owner.joiner = Some(Joiner { conn, hello });
            self.act(Action::FindCommon(conn, points));
        }
    }

    /// Why this joiner cannot be taken, now or ever.
    fn unfit(&mut self, hello: &Hello) -> Option<Refusal> {
        if hello.identity.level != self.config.identity.level {
            return Some(Refusal::Level(self.config.identity.level.clone()));
        }
        if let Some(why) = self.config.identity.differs(&hello.identity) {
            return Some(Refusal::Identity(why));
        }
        if hello.commit != self.config.commit {
            return Some(Refusal::Commit(self.config.commit));
        }
        let (uuid, term) = self.register.as_ref().map(|r| (r.uuid, r.term))?;
        match hello.register {
            Some((theirs, _)) if theirs != uuid => return Some(Refusal::Register),
            Some((_, theirs)) if theirs > term => {
                self.read_soon();
                return Some(Refusal::Busy);
            }
            _ => {}
        }
        match &self.role {
            Role::Owner(owner) if owner.diverged == Some(hello.seat.life) => Some(Refusal::Diverged),
            _ => None,
        }
    }

    fn forget_joiner(&mut self, conn: ConnId) {
        if let Role::Owner(Owner { joiner, .. }) = &mut self.role {
            joiner.take_if(|j| j.conn == conn);
        }
    }

    /// The last common point is known: open the session.
    pub(super) fn common_found(&mut self, conn: ConnId, common: Point) {
        let Role::Owner(owner) = &mut self.role else { return };
        let Some(joiner) = owner.joiner.take_if(|j| j.conn == conn) else { return };
        if !self.takes_joiner() {
            return self.refuse(conn, Refusal::Busy);
        }
        let must = common.seq < self.log.start.seq;
        let can = self.config.saves_state && joiner.hello.takes_state && self.now >= self.unsavable_until;
        if must && self.now < self.unsavable_until {
            return self.refuse(conn, Refusal::Busy);
        }
        if must && !can {
            let why = Refusal::State("the owner's log begins with one and cannot be sent from its first entry".into());
            self.status(Why::Refused(why.clone()));
            return self.refuse(conn, why);
        }
        // Who has executed something would have to begin as a new life: then its own log is the shorter way.
        let lacks = self.log.end().seq.0.saturating_sub(common.seq.0);
        let fresh = joiner.hello.executed == Seq(0);
        let state = must || can && fresh && lacks > self.config.state_entries_min;
        let (peer, warm) = (joiner.hello.seat, joiner.hello.warm && can);
        self.sessions += 1;
        let nonce = self.fresh_nonce(&peer.life);
        let welcome = Welcome { term: self.term(), backup: peer.life, common, state };
        self.send(conn, nonce, Message::Welcome(welcome));
        if let Role::Owner(owner) = &mut self.role {
            let transfer = if state { Transfer::Saving } else { Transfer::None };
            owner.session = Some(OwnerSession::new(conn, nonce, peer, self.now, transfer, warm));
        }
        self.status(Why::Session { from: common.seq, state });
        self.act(if state { Action::SaveState(conn, nonce) } else { Action::StreamFrom(conn, nonce, common.seq) });
    }

    pub(super) fn state_saved(&mut self, conn: ConnId, nonce: Nonce, at: Point) {
        if let Role::Owner(Owner { session: Some(session), .. }) = &mut self.role
            && session.conn == conn
            && session.nonce == nonce
        {
            session.transfer = Transfer::Sent(at);
        }
    }

    /// Nobody needs it at once: the joiner comes back and is given the log, if that reaches back so far, or waits. Each try saves the live replica, so the
    /// next one is not soon.
    pub(super) fn state_unsaved(&mut self, conn: ConnId, nonce: Nonce, why: String) {
        self.unsavable_until = self.now.plus(Micros(self.config.detect.0 * LOADING_DETECTS));
        if self.session_conn() == Some(conn) && self.session_nonce() == Some(nonce) {
            let why = Refusal::State(why);
            self.send(conn, Nonce::NONE, Message::Refuse(why.clone()));
            self.lose_backup(Why::Refused(why));
        }
    }

    /// Agreed by term, owner life, backup life, and how many sessions this life has opened: never the same twice.
    fn fresh_nonce(&self, peer: &crate::Life) -> Nonce {
        let mut bytes = Vec::with_capacity(80);
        let register = self.register.as_ref().map_or((0, 0), |r| (r.uuid, r.term.0));
        bytes.extend_from_slice(&register.0.to_le_bytes());
        bytes.extend_from_slice(&register.1.to_le_bytes());
        bytes.extend_from_slice(&self.me().id.to_le_bytes());
        bytes.extend_from_slice(&peer.id.to_le_bytes());
        bytes.extend_from_slice(&self.sessions.to_le_bytes());
        Nonce((hash(&bytes) as u64).max(1))
    }
}
