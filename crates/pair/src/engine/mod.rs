//! The engine: (state, event, now) -> actions. No thread, socket, clock, disk or random number.
//!
//! The rules keep the letters of the protocol: F and R and S in `start`, U in `asking`, connections in `dial`, sessions in `session`, P1 P2 P3 D and the release
//! rule in `owner`, ACK in `backup`, B1 and B2 in `takeover`, H and the end of the program in `handover`.

mod action;
mod asking;
mod backup;
mod config;
mod dial;
mod event;
mod handover;
mod log;
mod owner;
mod session;
mod shorten;
mod start;
mod takeover;

pub use action::{Action, GoLive, Halt, Mode, Status, Why};
pub use config::{Config, Micros, Mutant, Start};
pub use event::{ConnId, Event, Ticket};
pub use log::Found;

use crate::{Life, Message, Meta, Nonce, Packet, Point, Put, Register};
use asking::Asking;
use backup::Backup;
use dial::{Conn, Dialler, ReadsAsked};
use gapless_log::Term;
use log::OwnLog;
use owner::Owner;
use std::collections::BTreeMap;

/// One side of a pair.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    meta: Meta,
    log: OwnLog,
    role: Role,
    /// The latest register known.
    register: Option<Register>,
    asking: Option<Asking>,
    conns: BTreeMap<ConnId, Conn>,
    /// The read that is on its way, and what had been seen when it was sent.
    reading: Option<(Ticket, Option<(u128, Term)>)>,
    read_at: Micros,
    reads_asked: ReadsAsked,
    dialler: Dialler,
    tickets: u64,
    /// Records stored and not yet durable.
    meta_pending: u32,
    sessions: u64,
    /// The replica could not be saved: it is not tried again before then.
    unsavable_until: Micros,
    /// `Prepare`s not answered yet.
    prepares: u32,
    ticked_at: Micros,
    now: Micros,
    out: Vec<Action>,
}

/// What this side is.
#[derive(Debug)]
enum Role {
    Starting,
    Owner(Owner),
    Backup(Backup),
    Halted,
}

/// While a joiner is being sent a state nobody is protected, and both sides move much: silence counts only after this many detection times.
const LOADING_DETECTS: u64 = 25;

impl Engine {
    /// An engine for a life that finds `meta` and `found` in its directory. Its first event must be [`Event::Start`].
    pub fn new(config: Config, meta: Meta, found: Found) -> Self {
        Self {
            config,
            meta,
            log: OwnLog::new(found),
            role: Role::Starting,
            register: None,
            asking: None,
            conns: BTreeMap::new(),
            reading: None,
            read_at: Micros(0),
            reads_asked: ReadsAsked::default(),
            dialler: Dialler::default(),
            tickets: 0,
            meta_pending: 0,
            unsavable_until: Micros(0),
            sessions: 0,
            prepares: 0,
            ticked_at: Micros(0),
            now: Micros(0),
            out: Vec::new(),
        }
    }

    /// This life.
    pub fn life(&self) -> Life {
        self.config.seat.life
    }

    /// What this side is doing.
    pub fn mode(&self) -> Mode {
        match &self.role {
            Role::Starting => Mode::Starting,
            Role::Owner(owner) => owner.mode(),
            Role::Backup(backup) => backup.mode(),
            Role::Halted => Mode::Halted,
        }
    }

    /// Live, but no output leaves before a backup is in sync.
    pub fn is_held(&self) -> bool {
        matches!(&self.role, Role::Owner(owner) if owner.hold)
    }

    /// To whom the owner sends the states at which its own log may begin.
    pub fn warm_session(&self) -> Option<(ConnId, Nonce)> {
        match &self.role {
            Role::Owner(Owner { session: Some(session), .. })
                if session.warm && session.transfer == owner::Transfer::None =>
            {
                Some((session.conn, session.nonce))
            }
            _ => None,
        }
    }

    /// Where the own log may begin as soon as nobody needs what lies before.
    pub fn kept(&self) -> Option<Point> {
        self.log.kept
    }

    /// A backup may take over: this side's, or this side itself.
    pub fn is_in_sync(&self) -> bool {
        match &self.role {
            Role::Owner(owner) => owner.mode() == Mode::Protected,
            Role::Backup(backup) => {
                backup.session.is_some() && self.register.as_ref().is_some_and(|r| r.backed_by(self.me()))
            }
            Role::Starting | Role::Halted => false,
        }
    }

    /// The latest register seen.
    pub fn register(&self) -> Option<&Register> {
        self.register.as_ref()
    }

    /// Takes an event and appends what must be done to `out`, in order. `now` never falls.
    pub fn handle(&mut self, event: Event, now: Micros, out: &mut Vec<Action>) {
        if matches!(self.role, Role::Halted) {
            return;
        }
        self.now = self.now.max(now);
        self.out = std::mem::take(out);
        self.dispatch(event);
        self.advance();
        *out = std::mem::take(&mut self.out);
    }

    fn dispatch(&mut self, event: Event) {
        match event {
            Event::Start => self.begin(),
            Event::Tick => self.tick(),
            Event::Connected(conn) => self.accepted(conn),
            Event::Dialled(conn) => self.dialled(conn),
            Event::Disconnected(conn) => self.disconnected(conn),
            Event::Received(conn, packet) => self.received(conn, packet),
            Event::PutDone(ticket, current) => self.put_done(ticket, current),
            Event::PutUnknown(ticket) => self.put_unknown(ticket),
            Event::ReadDone(ticket, current) => self.read_done(ticket, current),
            Event::ReadFailed(ticket) => self.read_failed(ticket),
            Event::MetaStored => self.meta_pending = self.meta_pending.saturating_sub(1),
            Event::Sealed(end) => self.log.sealed(end),
            Event::Written(end) => self.log.report_written(end),
            Event::Synced(end) => {
                self.log.report_synced(end);
                self.synced();
            }
            Event::Executed(end) => self.log.report_executed(end),
            Event::LogCut => self.log.cut_done(),
            Event::LogFailed(why) | Event::ReplicaFailed(why) => self.fail(&why),
            Event::CommonFound(conn, common) => self.common_found(conn, common),
            Event::StateSaved(conn, nonce, at) => self.state_saved(conn, nonce, at),
            Event::StateUnsaved(conn, nonce, why) => self.state_unsaved(conn, nonce, why),
            Event::StateKept(at) => self.state_kept(at),
            Event::StateLoaded(nonce, at) => self.state_loaded(nonce, at),
            Event::StateBroken(nonce, why) => self.state_broken(nonce, why),
            Event::Diverged(report) => self.diverged(report),
            Event::Prepared => self.prepared(),
            Event::PrepareFailed(why) => self.prepare_failed(why),
            Event::ReplicaEnded(status) => self.replica_ended(status),
            Event::HandoverAsked => self.handover_asked(),
            Event::Stopped => self.stopped(),
            Event::Killed => self.killed(),
            Event::StopAsked => self.stop_asked(),
        }
    }

    /// After every event: whatever has become possible is done.
    fn advance(&mut self) {
        self.advance_asking();
        match self.role {
            Role::Owner(_) => self.advance_owner(),
            Role::Backup(_) => self.advance_backup(),
            Role::Starting | Role::Halted => {}
        }
        self.advance_asking();
        self.shorten();
    }

    fn tick(&mut self) {
        let detect = self.config.detect;
        let paused = self.ticked_at != Micros(0) && self.now.since(self.ticked_at) > detect;
        self.ticked_at = self.now;
        self.tick_conns();
        self.tick_asking();
        match self.role {
            Role::Starting => self.tick_starting(),
            Role::Owner(_) => self.tick_owner(paused),
            Role::Backup(_) => self.tick_backup(paused),
            Role::Halted => {}
        }
    }

    // ---- small services for the rules ----

    fn me(&self) -> Life {
        self.config.seat.life
    }

    fn act(&mut self, action: Action) {
        self.out.push(action);
    }

    fn send(&mut self, conn: ConnId, nonce: Nonce, message: Message) {
        self.out.push(Action::Send(conn, Packet::new(nonce, message)));
    }

    fn close(&mut self, conn: ConnId) {
        if self.conns.remove(&conn).is_some() {
            self.out.push(Action::Close(conn));
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn term(&self) -> Term {
        self.register.as_ref().map_or(Term(0), |r| r.term)
    }

    fn status(&mut self, why: Why) {
        let (mode, asking, held, term) = (self.mode(), self.asking.is_some(), self.is_held(), self.term());
        let status = Status { mode, asking, held, term, why };
        self.out.push(Action::Status(status));
    }

    fn store_meta(&mut self) {
        self.meta_pending += 1;
        self.out.push(Action::StoreMeta(self.meta.clone()));
    }

    /// Sends a read unless one is on its way.
    fn read(&mut self) {
        if self.reading.is_none() {
            let ticket = self.ticket();
            self.reading = Some((ticket, self.meta.seen));
            self.read_at = self.now;
            self.out.push(Action::Read(ticket));
        }
    }

    /// Sends a read unless one is on its way or was sent a moment ago.
    fn read_paced(&mut self) {
        if self.now.since(self.read_at) >= self.config.retry {
            self.read();
        }
    }

    fn halt(&mut self, why: Halt) {
        if matches!(self.role, Role::Halted) {
            return;
        }
        // Killing comes before everything else: nothing more is released, then the connections go.
        self.role = Role::Halted;
        self.asking = None;
        let text = why.to_string();
        self.out.push(Action::Halt(why));
        for conn in std::mem::take(&mut self.conns).into_keys() {
            self.out.push(Action::Close(conn));
        }
        self.status(Why::Halted(text));
    }

    /// This side cannot go on; what that means for the program depends on who else is there.
    fn fail(&mut self, why: &str) {
        let after = match &self.role {
            Role::Owner(Owner { phase: owner::Phase::Protected, session, .. }) => {
                let at = session.as_ref().map_or(String::new(), |s| format!(" at {}", s.peer.address));
                format!("this side has stopped; its backup{at} takes over from the last whole step")
            }
            Role::Owner(_) => "this side has stopped, and it had no backup: the program runs nowhere now; \
                               `gapless resume DIR` on its log directory continues from the last whole step"
                .into(),
            Role::Backup(backup) if backup.session.is_some() => {
                "this backup has stopped; the primary goes on without it".into()
            }
            Role::Backup(_) | Role::Starting | Role::Halted => "this side has stopped".into(),
        };
        self.halt(Halt::Failed(format!("{why}; {after}")));
    }

    fn deposed(&mut self) {
        if self.config.breaks(Mutant::FlushWhenDeposed) && matches!(self.role, Role::Owner(_)) {
            let end = self.log.end().seq;
            self.act(Action::Commit(end));
        }
        let (term, owner) =
            self.register.as_ref().map_or((Term(0), String::new()), |r| (r.term, r.owner.address.clone()));
        self.halt(Halt::Deposed { term, owner });
    }

    /// Takes the arbiter's word on the register; false if this life cannot go on or the word is out of date.
    ///
    /// The arbiter is linearizable, so an answer is never older than what was known when the question was sent: if it is, the arbiter has
    /// forgotten, and nothing can be decided any more.
    fn observe(&mut self, current: Option<&Register>, known: Option<(u128, Term)>) -> bool {
        let forgotten = |e: &mut Self, what: &str| {
            e.halt(Halt::Refused(format!(
                "the arbiter {what}; it has lost its data or this directory belongs to another history: \
                 check --arbiter, or use an empty --log directory"
            )));
            false
        };
        let Some(current) = current else {
            if known.is_some() {
                return forgotten(self, "holds no register although this side has seen one");
            }
            return self.register.is_none();
        };
        let begun_here = self.asking.as_ref().is_some_and(|a| a.put.new.uuid == current.uuid);
        if let Some((uuid, term)) = known {
            if uuid != current.uuid && !begun_here {
                return forgotten(self, "holds the register of another history");
            }
            if uuid == current.uuid && current.term < term {
                return forgotten(self, "holds a term older than this side has seen");
            }
        }
        if let Some((uuid, term)) = self.meta.seen
            && (if uuid == current.uuid { current.term < term } else { !begun_here })
        {
            return false;
        }
        if self.register.as_ref() != Some(current) {
            self.register = Some(current.clone());
        }
        if self.meta.seen != Some((current.uuid, current.term)) {
            self.meta.seen = Some((current.uuid, current.term));
            self.store_meta();
        }
        true
    }

    fn read_done(&mut self, ticket: Ticket, current: Option<Register>) {
        let Some((_, known)) = self.reading.take_if(|r| r.0 == ticket) else { return };
        if !self.observe(current.as_ref(), known) {
            return;
        }
        if self.asking.is_some() {
            self.resolve(current.as_ref());
            return;
        }
        match self.role {
            Role::Starting => self.decide_start(),
            Role::Owner(_) => self.check_deposed(),
            Role::Backup(_) => {
                self.compare_registers(ticket);
                self.backup_read();
            }
            Role::Halted => {}
        }
    }

    fn read_failed(&mut self, ticket: Ticket) {
        self.reading.take_if(|r| r.0 == ticket);
    }

    /// Begins rule U with a put. If it makes this life the owner, the intent is durable before it is sent: a later life in this directory
    /// must know that it may come to own. Every other put of an owner leaves its directory the owner's, or makes somebody else's so.
    fn ask(&mut self, put: Put, purpose: asking::Purpose) {
        debug_assert!(self.asking.is_none(), "one put at a time");
        if !purpose.makes_owner() {
            self.asking = Some(Asking::new(put, purpose));
            return;
        }
        self.meta.intent = Some(put.clone());
        // The intent may outlive this process: what it rests on is the log as this machine has it now. (If it is lost, the term has moved,
        // and the directory's earlier life owns nothing any more.)
        self.meta.boot = self.config.boot;
        self.meta.commit = self.config.commit;
        self.store_meta();
        self.asking = Some(Asking::new(put, purpose));
    }
}
