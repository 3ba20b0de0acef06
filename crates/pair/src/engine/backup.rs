//! The backup: joining, holding frames, and the ACK rule.

use super::takeover::{Resume, Takeover};
use super::{Action, ConnId, Engine, Halt, LOADING_DETECTS, Micros, Mode, Mutant, Role, Why};
use crate::{Ack, Bye, Heartbeat, Life, Message, Nonce, Point, Put, Refusal, Report, StateChunk, Welcome};
use gapless_log::{Frame, Seq};
use std::sync::Arc;

/// What a backup knows.
#[derive(Debug)]
pub(super) struct Backup {
    pub session: Option<BackupSession>,
    /// The owner is silent, or this directory is being resumed.
    pub takeover: Option<Takeover>,
    /// The replica was given what the directory held at the start.
    pub replayed: bool,
    /// Since when there has been no session.
    pub alone_since: Micros,
    /// A planned takeover: the owner will put this.
    pub offered: Option<Box<Offered>>,
    /// The connection on which this life last asked to join.
    requested: Option<ConnId>,
}

/// A planned takeover that was offered.
#[derive(Debug)]
pub(super) struct Offered {
    pub end: Seq,
    pub put: Put,
    pub answered: bool,
}

/// The session with the owner.
#[derive(Debug)]
pub(super) struct BackupSession {
    pub conn: ConnId,
    pub nonce: Nonce,
    pub owner: Life,
    pub heard_at: Micros,
    acked_at: Micros,
    ack_due: bool,
    /// A state is being loaded: nothing can be acknowledged yet.
    loading: Option<Loading>,
    /// A later state is arriving, of a backup that executes nothing.
    renewing: Loading,
    /// A broken backup claims this much.
    claim: Seq,
}

/// A state that is arriving.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Loading {
    /// Where it stands; known with the first piece.
    at: Option<Point>,
    /// Bytes that have arrived.
    bytes: u64,
    /// The last piece has arrived.
    whole: bool,
}

impl Loading {
    /// Is this the next piece of it, or the first of another?
    fn takes(&mut self, chunk: &StateChunk) -> bool {
        if chunk.offset == 0 {
            *self = Self { at: Some(chunk.at), ..Self::default() };
        }
        let next = self.at == Some(chunk.at) && self.bytes == chunk.offset && !self.whole && !chunk.bytes.is_empty();
        if next {
            self.bytes += chunk.bytes.len() as u64;
            self.whole = chunk.last;
        }
        next
    }
}

impl Backup {
    pub fn joining() -> Self {
        Self { session: None, takeover: None, replayed: false, alone_since: Micros(0), offered: None, requested: None }
    }

    pub fn resuming(how: Resume, now: Micros) -> Self {
        Self { takeover: Some(Takeover::resume(how)), replayed: true, alone_since: now, ..Self::joining() }
    }

    pub fn mode(&self) -> Mode {
        match (&self.takeover, &self.session) {
            (Some(t), _) if t.is_resume() => Mode::Starting,
            (Some(_), _) => Mode::Silent,
            (None, Some(_)) => Mode::Acking,
            (None, None) => Mode::Joining,
        }
    }
}

impl Engine {
    // ---- joining ----

    /// The owner has spoken on this connection: believe it only when our own arbiter says the same.
    pub(super) fn connected_backup(&mut self, conn: ConnId) {
        let heard = self.conns.get(&conn).is_some_and(|c| c.hello.is_some());
        if heard && matches!(self.role, Role::Backup(_)) {
            if self.asking.is_some() || self.is_resuming() {
                return self.close(conn);
            }
            self.read_soon();
        }
    }

    fn is_resuming(&self) -> bool {
        matches!(&self.role, Role::Backup(b) if b.takeover.as_ref().is_some_and(Takeover::is_resume))
    }

    /// The register was read: answer owners that have spoken, dial the owner, or see that it is time to act.
    pub(super) fn backup_read(&mut self) {
        let Some(register) = self.register.clone() else { return };
        if let Some(status) = register.ended {
            return self.halt(Halt::Ended(status));
        }
        if self.is_resuming() {
            return;
        }
        self.settle_offer();
        if register.owned_by(self.me()) {
            return self.take_over_now();
        }
        self.check_named();
        let owner = register.owner.life;
        if let Role::Backup(Backup { session: Some(session), .. }) = &self.role
            && session.owner != owner
        {
            self.lose_owner(Why::Refused(Refusal::NotOwner(register.term)));
        }
        self.answer_owner(owner);
        self.dial(&register.owner.address);
    }

    /// Sends HELLO to the owner, on the connection on which it spoke.
    fn answer_owner(&mut self, owner: Life) {
        let heard: Vec<(ConnId, Life)> =
            self.conns.iter().filter_map(|(&c, conn)| Some((c, conn.hello.as_ref()?.seat.life))).collect();
        for (conn, life) in heard {
            if life != owner {
                self.close(conn);
                continue;
            }
            if let Some(c) = self.conns.get_mut(&conn) {
                c.hello = None;
            }
            if self.session_conn().is_some() {
                // The owner came again: it holds the old connection for dead.
                self.lose_owner(Why::Reset);
            }
            self.only_request(conn);
            let hello = self.hello(false);
            self.send(conn, Nonce::NONE, Message::Hello(Box::new(hello)));
        }
    }

    /// One request to join at a time: a welcome that answers an older one, read late, would cut the log below what was acknowledged since.
    fn only_request(&mut self, conn: ConnId) {
        let Role::Backup(backup) = &mut self.role else { return };
        if let Some(older) = backup.requested.replace(conn)
            && older != conn
        {
            self.close(older);
        }
    }

    /// Something was already asked on this connection and is being answered.
    pub(super) fn is_requesting(&self, conn: ConnId) -> bool {
        match &self.role {
            Role::Backup(backup) => backup.requested == Some(conn),
            Role::Owner(owner) => owner.joiner.as_ref().is_some_and(|j| j.conn == conn),
            Role::Starting | Role::Halted => false,
        }
    }

    /// The owner opens a session. What lies beyond the common point is dropped; what was executed cannot be.
    pub(super) fn welcomed(&mut self, conn: ConnId, nonce: Nonce, welcome: Welcome) {
        if self.session_conn() == Some(conn) {
            return;
        }
        let Role::Backup(backup) = &self.role else { return };
        let fits = welcome.backup == self.me()
            && self.register.as_ref().is_some_and(|r| r.term <= welcome.term)
            && nonce != Nonce::NONE
            && backup.requested == Some(conn)
            && backup.session.is_none();
        if !fits || self.asking.is_some() || self.is_resuming() {
            return self.close(conn);
        }
        let Some(owner) = self.register.as_ref().map(|r| r.owner.life) else { return };
        let common = welcome.common;
        let beyond = self.log.executed > common.seq || (welcome.state && self.log.executed > Seq(0));
        // Nor can a state that the log begins with.
        let beyond = beyond || (common.seq < self.log.start.seq && !welcome.state);
        if beyond && !self.config.breaks(Mutant::KeepBeyondCommon) {
            self.send(conn, nonce, Message::Bye(Bye::Reset));
            return self.halt(Halt::Reborn);
        }
        self.abandon_takeover(Why::HeardAgain);
        if self.log.end() != common && !welcome.state {
            self.log.cut(common);
            self.act(Action::CutLog(common));
        }
        let warm = self.config.warm;
        let Role::Backup(backup) = &mut self.role else { return };
        let replay = !backup.replayed && !welcome.state && !warm;
        backup.replayed |= !warm;
        backup.requested = None;
        backup.session = Some(BackupSession {
            conn,
            nonce,
            owner,
            heard_at: self.now,
            acked_at: self.now,
            ack_due: true,
            loading: welcome.state.then_some(Loading::default()),
            renewing: Loading::default(),
            claim: Seq(0),
        });
        if replay && common != Point::ZERO {
            self.act(Action::ReplayLog);
        }
        self.status(Why::Session { from: common.seq, state: welcome.state });
    }

    // ---- in a session ----

    pub(super) fn backup_received(&mut self, message: Message) {
        let lying = self.config.breaks(Mutant::AckBeforeReceive);
        let Role::Backup(Backup { session: Some(session), .. }) = &mut self.role else { return };
        session.heard_at = self.now;
        if let (Message::Heartbeat(beat), true) = (&message, lying) {
            session.claim = beat.end;
            session.ack_due = true;
        }
        if self.asking.is_some() && !self.config.breaks(Mutant::AckAfterPut) {
            return;
        }
        if self.asking.is_none() {
            // B1: until a put has been sent it may return to acknowledging.
            self.abandon_takeover(Why::HeardAgain);
        }
        match message {
            Message::Stream(frame) => self.take_frame(frame),
            Message::State(chunk) => self.take_state(chunk),
            Message::Handover(step) => self.handover_heard(step),
            Message::Bye(Bye::Ended(status)) => self.owner_ended(status),
            Message::Bye(_) => self.lose_owner(Why::Reset),
            _ => {}
        }
    }

    fn take_frame(&mut self, frame: Arc<Frame>) {
        let end = self.log.end();
        if self.is_loading() {
            return self.refuse_owner(format!("frame at entry {} comes before the state", frame.first_seq()));
        }
        if frame.end_seq() <= end.seq {
            return;
        }
        if Point::before(&frame) != end {
            let what = format!("frame at entry {} does not continue the log at {}", frame.first_seq(), end.seq);
            return self.refuse_owner(what);
        }
        self.log.append(&frame);
        self.act(Action::Append(frame));
        // At level durable nothing waits for what is merely received.
        if self.config.commit == crate::Commit::Received {
            self.ack_soon();
        }
    }

    fn is_loading(&self) -> bool {
        matches!(&self.role, Role::Backup(Backup { session: Some(session), .. }) if session.loading.is_some())
    }

    /// The owner breaks the protocol: no session with it.
    fn refuse_owner(&mut self, what: String) {
        let why = Refusal::Broken(what);
        if let Some(conn) = self.session_conn() {
            self.send(conn, Nonce::NONE, Message::Refuse(why.clone()));
        }
        self.lose_owner(Why::Refused(why));
    }

    fn take_state(&mut self, chunk: StateChunk) {
        let idle = self.is_idle();
        let Role::Backup(Backup { session: Some(session), .. }) = &mut self.role else { return };
        let nonce = session.nonce;
        let Some(loading) = &mut session.loading else {
            if idle && session.renewing.takes(&chunk) {
                self.act(Action::RenewState(nonce, chunk));
            }
            return;
        };
        if chunk.offset < loading.bytes || loading.whole {
            return;
        }
        if chunk.offset > loading.bytes || chunk.bytes.is_empty() || loading.at.is_some_and(|at| at != chunk.at) {
            return self.refuse_owner("a piece of state is missing".into());
        }
        if chunk.at.seq == Seq(0) {
            return self.refuse_owner("a state stands before the first entry".into());
        }
        loading.bytes += chunk.bytes.len() as u64;
        loading.whole = chunk.last;
        if loading.at.is_none() {
            loading.at = Some(chunk.at);
            self.log.begin_at(chunk.at);
        }
        self.act(Action::LoadState(nonce, chunk));
    }

    /// Warm, and nothing of the log was executed.
    pub(super) fn is_idle(&self) -> bool {
        self.config.warm && matches!(&self.role, Role::Backup(backup) if !backup.replayed)
    }

    /// Whoever is to take over executes from here on what comes.
    pub(super) fn begin_to_execute(&mut self) {
        if !self.is_idle() {
            return;
        }
        if let Role::Backup(backup) = &mut self.role {
            backup.replayed = true;
        }
        self.act(Action::ReplayLog);
    }

    pub(super) fn state_loaded(&mut self, nonce: Nonce, at: Point) {
        let Role::Backup(Backup { session: Some(session), .. }) = &mut self.role else { return };
        if session.nonce == nonce && session.loading.is_some_and(|l| l.whole && l.at == Some(at)) {
            session.loading = None;
            self.log.report_written(at.seq);
            self.log.report_synced(at.seq);
            self.ack_soon();
        }
    }

    /// What arrived whole does not make a state. It would not be better a second time: that is for a person to look at.
    pub(super) fn state_broken(&mut self, nonce: Nonce, what: String) {
        let Role::Backup(Backup { session: Some(session), .. }) = &self.role else { return };
        if session.nonce == nonce {
            let (conn, why) = (session.conn, Refusal::Broken(what));
            self.send(conn, Nonce::NONE, Message::Refuse(why.clone()));
            self.halt(Halt::Unpaired(why));
        }
    }

    fn ack_soon(&mut self) {
        if let Role::Backup(Backup { session: Some(session), .. }) = &mut self.role {
            session.ack_due = true;
        }
    }

    pub(super) fn advance_backup(&mut self) {
        self.advance_takeover();
        self.advance_offer();
        self.ack();
    }

    /// ACK: only while acknowledging, only in the current session, only what is held (received) or synced (durable).
    fn ack(&mut self) {
        let silent = self.asking.is_some() && !self.config.breaks(Mutant::AckAfterPut);
        let (end, synced, now) = (self.log.end().seq, self.log.synced, self.now);
        // Nobody has to wait for who executes nothing. But the beginning of the first step is nothing to take over with.
        let executed = if self.is_idle() { self.log.whole.seq } else { self.log.executed };
        let Role::Backup(Backup { session: Some(session), .. }) = &mut self.role else { return };
        if silent || session.loading.is_some() || !session.ack_due {
            return;
        }
        session.ack_due = false;
        session.acked_at = now;
        let ack = Ack { received: end.max(session.claim), durable: synced.max(session.claim), executed };
        let (conn, nonce) = (session.conn, session.nonce);
        self.send(conn, nonce, Message::Ack(ack));
    }

    /// At level durable an acknowledgement is due as soon as more is durable.
    pub(super) fn synced(&mut self) {
        if self.config.commit == crate::Commit::Durable {
            self.ack_soon();
        }
    }

    pub(super) fn tick_backup(&mut self, paused: bool) {
        let (now, detect, beat) = (self.now, self.config.detect, self.config.heartbeat);
        let Role::Backup(backup) = &mut self.role else { return };
        let mut silence = false;
        // Nothing can be acknowledged while a state is loaded, but the owner must hear something.
        let mut alive = None;
        match &mut backup.session {
            Some(session) => {
                if paused {
                    // What was not heard while this side slept is nobody's silence.
                    session.heard_at = now;
                }
                let loading = session.loading.is_some();
                let patience = if loading { Micros(detect.0 * LOADING_DETECTS) } else { detect };
                silence = now.since(session.heard_at) > patience && backup.takeover.is_none();
                if now.since(session.acked_at) >= beat {
                    session.ack_due = true;
                    if loading {
                        session.acked_at = now;
                        alive = Some((session.conn, session.nonce));
                    }
                }
            }
            None if paused => backup.alone_since = now,
            None => {}
        }
        if let Some((conn, nonce)) = alive {
            self.send(conn, nonce, Message::Heartbeat(Heartbeat { end: self.log.end().seq, lag: 0 }));
        }
        if silence {
            self.fall_silent(Why::Silence);
        }
        self.tick_takeover();
        self.look_if_named();
        let asleep = matches!(&self.role, Role::Backup(b) if b.session.is_none() && b.takeover.is_none());
        if (asleep || paused) && self.asking.is_none() {
            self.read_paced();
        }
    }

    /// Nobody says that the register has come to name this life; a person asks, and a takeover is sooner.
    fn look_if_named(&mut self) {
        const PAUSES: u64 = 5;
        let named = self.register.as_ref().is_some_and(|r| r.backed_by(self.me()));
        let in_session = matches!(&self.role, Role::Backup(b) if b.session.is_some() && b.takeover.is_none());
        let pause = Micros(self.config.retry.0 * PAUSES);
        if in_session && !named && self.asking.is_none() && self.now.since(self.read_at) >= pause {
            self.read();
        }
    }

    /// The session is over.
    pub(super) fn lose_owner(&mut self, why: Why) {
        self.close_session();
        if self.asking.is_some() || matches!(&self.role, Role::Backup(b) if b.takeover.is_some()) {
            return;
        }
        self.fall_silent(why);
    }

    pub(super) fn close_session(&mut self) {
        let now = self.now;
        if let Role::Backup(backup) = &mut self.role
            && let Some(session) = backup.session.take()
        {
            backup.alone_since = now;
            self.close(session.conn);
            if session.loading.is_some() {
                // Half a state is no state, and cannot be told from a whole one in a HELLO.
                self.halt(Halt::Reborn);
            }
        }
    }

    pub(super) fn back_to_acking(&mut self) {
        if let Role::Backup(backup) = &mut self.role {
            backup.takeover = None;
        }
    }

    pub(super) fn diverged(&mut self, mut report: Report) {
        const TEXT_BYTES_MAX: usize = 4096;
        for text in [&mut report.expected, &mut report.found] {
            if text.len() > TEXT_BYTES_MAX {
                *text = text.chars().take(TEXT_BYTES_MAX / 4).collect();
            }
        }
        if let Role::Backup(Backup { session: Some(session), .. }) = &self.role {
            let (conn, nonce) = (session.conn, session.nonce);
            self.send(conn, nonce, Message::Diverged(report.clone()));
        }
        self.halt(Halt::Diverged(report));
    }
}
