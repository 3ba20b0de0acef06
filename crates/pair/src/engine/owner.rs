//! The owner: the release rule, P1 (take a joiner in), P2 (name it), P3 (go on alone), D (deposed), and the limit on lag.

use super::asking::Purpose;
use super::handover::Ending;
use super::{Action, ConnId, Engine, GoLive, Halt, LOADING_DETECTS, Micros, Mode, Mutant, Role, Why};
use crate::{Ack, Bye, Commit, Handover, Heartbeat, Hello, Life, Message, Nonce, Point, Put, Refusal, Seat};
use gapless_log::Seq;

/// What an owner knows.
#[derive(Debug)]
pub(super) struct Owner {
    pub phase: Phase,
    /// Where the log ended when this life went live: what lies below may have been released by an earlier owner.
    live_end: Seq,
    /// Outputs below may leave, or have left. Never falls.
    pub committed: Seq,
    /// Nothing leaves until first protected.
    pub hold: bool,
    pub session: Option<OwnerSession>,
    pub joiner: Option<Joiner>,
    /// The life whose replica disagreed.
    pub diverged: Option<Life>,
    throttled: Option<Micros>,
    pub ending: Option<Ending>,
    beat_at: Micros,
}

/// How much the register says of a backup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// It names none.
    Solo,
    /// It names none yet, but outputs wait for the joiner as if it did.
    Closing,
    /// It names one.
    Protected,
}

/// A joiner whose last common point is being looked for.
#[derive(Debug)]
pub(super) struct Joiner {
    pub conn: ConnId,
    pub hello: Box<Hello>,
}

/// The session with the backup.
#[derive(Debug)]
pub(super) struct OwnerSession {
    pub conn: ConnId,
    pub nonce: Nonce,
    pub peer: Seat,
    acked: Ack,
    heard_at: Micros,
    /// When the acknowledgement last advanced, or everything was acknowledged.
    pub progress_at: Micros,
    executed_at: Micros,
    pub transfer: Transfer,
    /// The backup executes nothing, and wants states from time to time.
    pub warm: bool,
}

/// How far the state is that a joiner begins with. Until it has loaded it, it acknowledges nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Transfer {
    /// None, or it is loaded.
    None,
    /// The replica is being saved.
    Saving,
    /// It was saved here and is on its way.
    Sent(Point),
}

impl OwnerSession {
    pub fn new(conn: ConnId, nonce: Nonce, peer: Seat, now: Micros, transfer: Transfer, warm: bool) -> Self {
        let (heard_at, progress_at, executed_at) = (now, now, now);
        Self { conn, nonce, peer, acked: Ack::default(), heard_at, progress_at, executed_at, transfer, warm }
    }

    pub fn executed(&self) -> Seq {
        self.acked.executed
    }

    pub fn received(&self) -> Seq {
        self.acked.received
    }

    /// What the backup holds, at the commit level.
    pub fn held(&self, commit: Commit) -> Seq {
        match commit {
            Commit::Received => self.acked.received,
            Commit::Durable => self.acked.durable,
        }
    }
}

impl Owner {
    pub fn mode(&self) -> Mode {
        match self.phase {
            Phase::Solo => Mode::Solo,
            Phase::Closing => Mode::Closing,
            Phase::Protected => Mode::Protected,
        }
    }
}

impl Engine {
    /// The term is won and everything of the log is executed.
    pub(super) fn go_live(&mut self, why: Why) {
        let whole = self.log.whole;
        if self.log.end() != whole {
            self.log.cut(whole);
            self.act(Action::CutLog(whole));
        }
        // A state that came before the frames up to it: from here on this log is another one.
        self.log.kept.take_if(|kept| kept.seq > whole.seq);
        let (term, generation) = self.register.as_ref().map_or_else(Default::default, |r| (r.term, r.generation));
        let hold = self.config.hold && whole == Point::ZERO;
        self.role = Role::Owner(Owner {
            phase: Phase::Solo,
            live_end: whole.seq,
            committed: Seq(0),
            hold,
            session: None,
            joiner: None,
            diverged: None,
            throttled: None,
            ending: None,
            beat_at: self.now,
        });
        self.act(Action::GoLive(GoLive { term, generation, next: whole.seq, chain: whole.chain }));
        self.status(why);
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            self.connected_owner(conn);
        }
    }

    pub(super) fn advance_owner(&mut self) {
        self.release();
        self.take_in();
        self.ask_in_sync();
        self.advance_ending();
        self.throttle();
    }

    /// RELEASE: own log in every mode; in Closing and Protected, whatever is being asked, the current session's acknowledgement too.
    fn release(&mut self) {
        let own = self.log.own(self.config.commit);
        let (commit, written_rule) = (self.config.commit, !self.config.breaks(Mutant::OwnLogNotWritten));
        let end = self.log.end().seq;
        let solo_early = self.config.breaks(Mutant::SoloBeforeWon)
            && self.asking.as_ref().is_some_and(|a| a.purpose == Purpose::Solo);
        let gate_open = self.config.breaks(Mutant::ReleaseBeforeAck) || solo_early;
        let solo_unwritten = self.config.breaks(Mutant::OwnLogNotWrittenSolo);
        let at_entry = self.config.breaks(Mutant::ReleaseAtEntry);
        let Role::Owner(owner) = &mut self.role else { return };
        let mut bound = match (owner.phase, &owner.session) {
            _ if owner.hold => return,
            (Phase::Solo, _) if solo_unwritten => end,
            (Phase::Solo, _) => own,
            _ if gate_open => own,
            (_, Some(session)) if written_rule => own.min(session.held(commit)),
            (_, Some(session)) => session.held(commit),
            (_, None) => return,
        };
        if at_entry {
            bound = Seq(bound.0 + 1);
        }
        if bound > owner.committed {
            owner.committed = bound;
            self.act(Action::Commit(bound));
        }
    }

    /// P1: a joiner that holds almost everything closes the gate.
    fn take_in(&mut self) {
        let (end, commit) = (self.log.end().seq, self.config.commit);
        let (close, lag_max) = (self.config.closing_entries_max, self.config.lag_entries_max);
        let idle = self.asking.is_none();
        if let Role::Owner(owner) = &mut self.role
            && owner.phase == Phase::Solo
            && owner.ending.is_none()
            && idle
            && let Some(session) = &owner.session
            && session.transfer == Transfer::None
            && session.held(commit).0 + close >= end.0
            && session.executed().0 + lag_max >= end.0
        {
            owner.phase = Phase::Closing;
            self.status(Why::TakingIn);
        }
    }

    /// P2: the joiner covers everything that anybody may have released.
    fn ask_in_sync(&mut self) {
        if self.asking.is_some() {
            return;
        }
        let (end, commit) = (self.log.end().seq, self.config.commit);
        let lag_max = self.config.lag_entries_max;
        let Role::Owner(owner) = &self.role else { return };
        let Some(session) = &owner.session else { return };
        let mut covered = owner.committed.max(owner.live_end);
        if self.config.breaks(Mutant::CoverFromZero) && owner.committed <= owner.live_end {
            covered = Seq(0);
        }
        if self.config.breaks(Mutant::PutBeforeCovered) {
            covered = Seq(0);
        }
        // Who has executed no step could not take over: the program itself comes with the first one.
        let begun = session.executed() > Seq(0);
        let covers = owner.phase == Phase::Closing
            && owner.ending.is_none()
            && begun
            && session.held(commit) >= covered
            && session.executed().0 + lag_max >= end.0;
        if let (true, Some(register)) = (covers, &self.register) {
            let peer = session.peer.clone();
            let new = register.successor(self.config.seat.clone(), Some(peer.clone()));
            let put = Put::over(register, new);
            if self.config.breaks(Mutant::PutBeforeGate)
                && let Role::Owner(owner) = &mut self.role
            {
                owner.phase = Phase::Solo;
            }
            self.ask(put, Purpose::InSync(peer));
        }
    }

    pub(super) fn in_sync_won(&mut self) {
        let Role::Owner(owner) = &mut self.role else { return };
        owner.phase = Phase::Protected;
        owner.hold = false;
        let lost = owner.session.is_none();
        self.status(Why::InSync);
        if lost {
            self.ask_solo();
        }
    }

    /// P3: put me alone. Until it has won, outputs still wait for the session.
    fn ask_solo(&mut self) {
        if self.asking.is_some() {
            return;
        }
        if let Some(register) = &self.register {
            let new = register.successor(self.config.seat.clone(), None);
            let put = Put::over(register, new);
            self.ask(put, Purpose::Solo);
        }
    }

    pub(super) fn solo_won(&mut self) {
        if let Role::Owner(owner) = &mut self.role {
            owner.phase = Phase::Solo;
            owner.hold = false;
        }
        self.status(Why::WentSolo);
    }

    /// From Closing the way back is free, unless the put that names the joiner may have been sent (U).
    pub(super) fn back_to_solo(&mut self) {
        if let Role::Owner(owner) = &mut self.role {
            owner.phase = Phase::Solo;
        }
    }

    /// The backup is gone, in whatever way: P3 if the register names it.
    pub(super) fn lose_backup(&mut self, why: Why) {
        let Role::Owner(owner) = &mut self.role else { return };
        let Some(session) = owner.session.take() else { return };
        let phase = owner.phase;
        let continues = owner.ending.as_mut().is_some_and(Ending::session_lost);
        if continues {
            owner.ending = None;
            self.act(Action::Continue);
        }
        self.act(Action::StopStream(session.conn, session.nonce));
        self.close(session.conn);
        self.status(why);
        match phase {
            Phase::Solo => {}
            Phase::Closing if self.asking.is_some() => {}
            Phase::Closing => self.back_to_solo(),
            // Once the group is being killed there is nothing to go on with: the handover's put decides.
            Phase::Protected if self.is_killing() => {}
            Phase::Protected => self.ask_solo(),
        }
    }

    fn is_killing(&self) -> bool {
        matches!(&self.role, Role::Owner(Owner { ending: Some(Ending::Killing), .. }))
    }

    pub(super) fn takes_joiner(&self) -> bool {
        let Role::Owner(owner) = &self.role else { return false };
        owner.phase == Phase::Solo
            && owner.session.is_none()
            && owner.joiner.is_none()
            && owner.ending.is_none()
            && self.asking.is_none()
    }

    pub(super) fn session_peer(&self) -> Option<Life> {
        match &self.role {
            Role::Owner(owner) => owner.session.as_ref().map(|s| s.peer.life),
            _ => None,
        }
    }

    pub(super) fn owner_received(&mut self, message: Message) {
        if let Role::Owner(Owner { session: Some(session), .. }) = &mut self.role {
            session.heard_at = self.now;
        }
        match message {
            Message::Ack(ack) => self.acked(ack),
            Message::Diverged(report) => {
                if let Role::Owner(owner) = &mut self.role {
                    owner.diverged = owner.session.as_ref().map(|s| s.peer.life);
                }
                self.lose_backup(Why::PeerDiverged(report));
            }
            Message::Bye(_) => self.lose_backup(Why::Reset),
            Message::Handover(step) => self.handover_heard(step),
            _ => {}
        }
    }

    fn acked(&mut self, ack: Ack) {
        let (now, end) = (self.now, self.log.end().seq);
        let (commit, lying) = (self.config.commit, self.config.mutant != Mutant::None);
        let Role::Owner(Owner { session: Some(session), .. }) = &mut self.role else { return };
        if session.transfer == Transfer::Saving {
            // It cannot hold what it was not sent.
            return;
        }
        if (ack.received > end || ack.durable > end || ack.executed > end) && !lying {
            let why = Refusal::Broken("acknowledges entries that were never written".into());
            return self.lose_backup(Why::Refused(why));
        }
        let before = session.held(commit);
        if ack.executed > session.acked.executed {
            session.executed_at = now;
        }
        session.acked.received = session.acked.received.max(ack.received);
        session.acked.durable = session.acked.durable.max(ack.durable);
        session.acked.executed = session.acked.executed.max(ack.executed);
        if session.held(commit) > before || session.held(commit) >= end {
            session.progress_at = now;
        }
        if let Transfer::Sent(at) = std::mem::replace(&mut session.transfer, Transfer::None) {
            let (conn, nonce) = (session.conn, session.nonce);
            session.progress_at = now;
            self.act(Action::StreamFrom(conn, nonce, at.seq));
        }
    }

    // ---- time ----

    pub(super) fn tick_owner(&mut self, paused: bool) {
        if paused {
            self.after_pause();
        }
        self.beat();
        if let Some(why) = self.backup_is_silent() {
            self.lose_backup(why);
        }
        self.dial_peer();
        self.retry_solo();
    }

    /// Rule D: read the register after a pause of one's own. What was not heard meanwhile is nobody's silence.
    fn after_pause(&mut self) {
        let now = self.now;
        if let Role::Owner(Owner { session: Some(session), .. }) = &mut self.role {
            session.heard_at = now;
            session.progress_at = now;
            session.executed_at = now;
        }
        self.read();
    }

    /// Silence, or output that waits without progress of acknowledgement, or a replica that does not move.
    fn backup_is_silent(&mut self) -> Option<Why> {
        let (now, end, detect) = (self.now, self.log.end().seq, self.config.detect);
        let commit = self.config.commit;
        let Role::Owner(Owner { session: Some(session), throttled, .. }) = &mut self.role else { return None };
        let loading = session.transfer != Transfer::None;
        if session.held(commit) >= end || loading {
            session.progress_at = now;
        }
        let patience = if loading { Micros(detect.0 * LOADING_DETECTS) } else { detect };
        if now.since(session.heard_at) > patience {
            return Some(Why::Silence);
        }
        if now.since(session.progress_at) > detect {
            return Some(Why::AckStall);
        }
        let stuck = throttled.map(|since| now.since(since.max(session.executed_at)));
        stuck.filter(|&for_| for_ > self.config.lag_timeout).map(|_| Why::LagStall)
    }

    fn beat(&mut self) {
        let (now, end, every) = (self.now, self.log.end().seq, self.config.heartbeat);
        let Role::Owner(owner) = &mut self.role else { return };
        if now.since(owner.beat_at) < every {
            return;
        }
        owner.beat_at = now;
        if let Some(session) = &owner.session {
            let (conn, nonce) = (session.conn, session.nonce);
            let lag = end.0.saturating_sub(session.executed().0);
            let offered = matches!(owner.ending, Some(Ending::Offered));
            self.send(conn, nonce, Message::Heartbeat(Heartbeat { end, lag }));
            if offered {
                // The backup may have had to read the register first.
                let term = self.term().next();
                self.send(conn, nonce, Message::Handover(Handover::Offer { term, end }));
            }
        }
    }

    fn dial_peer(&mut self) {
        if let (Role::Owner(Owner { ending: None, .. }), Some(peer)) = (&self.role, self.config.peer.clone()) {
            self.dial(&peer);
        }
    }

    /// The register names a backup that there is no session with, and nothing is being asked.
    fn retry_solo(&mut self) {
        if let Role::Owner(owner) = &self.role
            && owner.phase == Phase::Protected
            && owner.session.is_none()
            && owner.ending.is_none()
        {
            self.ask_solo();
        }
    }

    fn throttle(&mut self) {
        let (now, end, limit) = (self.now, self.log.end().seq, self.config.lag_entries_max);
        let Role::Owner(owner) = &mut self.role else { return };
        let gated = owner.phase != Phase::Solo;
        let behind = owner.session.as_ref().is_some_and(|s| gated && end.0 > s.executed().0 + limit);
        if behind != owner.throttled.is_some() {
            owner.throttled = behind.then_some(now);
            self.act(Action::Throttle(behind));
        }
    }

    /// Rule D: whoever reads a higher term with another owner stops.
    pub(super) fn check_deposed(&mut self) {
        let me = self.me();
        if self.register.as_ref().is_some_and(|r| !r.owned_by(me)) && !self.config.breaks(Mutant::IgnoreDeposed) {
            self.deposed();
        }
    }

    pub(super) fn bye(&mut self, why: Bye) {
        if let Role::Owner(Owner { session: Some(session), .. }) = &self.role {
            let (conn, nonce) = (session.conn, session.nonce);
            self.send(conn, nonce, Message::Bye(why));
        }
    }

    pub(super) fn stop_now(&mut self, why: Halt, bye: Bye) {
        self.bye(bye);
        self.halt(why);
    }
}
