//! The engine with everything its actions touch, behind one lock.
//!
//! The rule it keeps: events are handled one at a time, in the order in which they happened, and the actions of each are carried out in order before
//! the next. Nothing here blocks: what can (disk, arbiter, dialling, the replica) is handed to its thread, and sockets are non-blocking.
//! After every batch, what waits for a socket is written by whoever holds the lock, so the commit path has no hop for sending.

use super::Notice;
use super::link::Link;
use super::mailbox::{Command, Mailbox};
use super::pace::{Following, Pace};
use super::stats::Stats;
use super::workers::{ArbiterJob, DiskJob};
use crate::{Action, Commit, ConnId, Engine, Event, Halt, Micros, Mode, Packet, Point};
use gapless_log::{Frame, LogView, Seq, Store, Waker};
use std::collections::{BTreeMap, VecDeque};
use std::net::TcpStream;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What every thread of one life shares.
pub(super) struct Shared {
    core: Mutex<Core>,
    pub mail: Arc<Mailbox>,
    /// Wakes the I/O thread.
    pub io: Waker,
    /// The log directory; `None` once this life is over.
    pub store: Mutex<Option<Store>>,
    pub view: LogView,
    pub commit: Commit,
}

/// What the I/O thread does to the own log of a backup, in order.
#[derive(Debug)]
pub(super) enum LogOp {
    Append(Arc<Frame>),
    Cut(Point),
}

/// The engine and what its actions touch.
pub(super) struct Core {
    engine: Engine,
    clock: Instant,
    events: VecDeque<Event>,
    actions: Vec<Action>,
    pub links: BTreeMap<ConnId, Link>,
    connections: u64,
    /// End of the own log as the engine knows it.
    sealed: Seq,
    pub ops: VecDeque<LogOp>,
    pub stats: Stats,
    /// This life has ended so.
    pub over: Option<Halt>,
    commit: Commit,
    pace: Pace,
    /// A joiner that is closer than this needs no help.
    lag_entries_max: u64,
    mail: Arc<Mailbox>,
    io: Waker,
    view: LogView,
    arbiter: Sender<ArbiterJob>,
    disk: Sender<DiskJob>,
    dial: Sender<String>,
    /// Tells a person, who may read slowly.
    notify: Sender<Notice>,
    /// Whom this side dials as owner.
    peer: Option<String>,
}

/// What a core is made of.
pub(super) struct Parts {
    pub engine: Engine,
    pub mail: Arc<Mailbox>,
    pub io: Waker,
    pub view: LogView,
    pub arbiter: Sender<ArbiterJob>,
    pub disk: Sender<DiskJob>,
    pub dial: Sender<String>,
    pub notify: Sender<Notice>,
    pub peer: Option<String>,
    pub lag_entries_max: u64,
    pub stats: Stats,
}

impl Shared {
    pub fn new(parts: Parts, store: Store, commit: Commit) -> Self {
        let (mail, io, view) = (Arc::clone(&parts.mail), parts.io.clone(), parts.view.clone());
        Self { core: Mutex::new(Core::new(parts, commit)), mail, io, store: Mutex::new(Some(store)), view, commit }
    }

    pub fn lock(&self) -> MutexGuard<'_, Core> {
        // A panic under the lock has broken the engine: everybody who still asks it must stop too.
        self.core.lock().unwrap_or_else(|_| panic!("the pair's engine has failed"))
    }

    /// Reports events, carries out what follows, and writes what there is to send.
    pub fn tell(&self, events: impl IntoIterator<Item = Event>) {
        let mut core = self.lock();
        events.into_iter().for_each(|e| core.handle(e));
        core.finish();
        let io = !core.ops.is_empty();
        drop(core);
        self.mail.announce();
        if io {
            self.io.wake();
        }
    }

    /// The log directory, while this life lasts.
    pub fn with_store<T>(&self, f: impl FnOnce(&mut Store) -> gapless_log::Result<T>) -> gapless_log::Result<T> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        match store.as_mut() {
            Some(store) => f(store),
            None => Err(gapless_log::Error::Refused("this life is over".to_owned())),
        }
    }
}

impl Core {
    fn new(parts: Parts, commit: Commit) -> Self {
        let sealed = parts.view.end().0;
        Self {
            engine: parts.engine,
            clock: Instant::now(),
            events: VecDeque::new(),
            actions: Vec::new(),
            links: BTreeMap::new(),
            connections: 0,
            sealed,
            ops: VecDeque::new(),
            stats: parts.stats,
            over: None,
            commit,
            pace: Pace::default(),
            lag_entries_max: parts.lag_entries_max,
            mail: parts.mail,
            io: parts.io,
            view: parts.view,
            arbiter: parts.arbiter,
            disk: parts.disk,
            dial: parts.dial,
            notify: parts.notify,
            peer: parts.peer,
        }
    }

    pub fn mode(&self) -> Mode {
        self.engine.mode()
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Takes an event, and those that follow from it.
    pub fn handle(&mut self, event: Event) {
        self.events.push_back(event);
        while let Some(event) = self.events.pop_front() {
            self.stats.heard(&event);
            let now = Micros(u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(u64::MAX));
            let mut actions = std::mem::take(&mut self.actions);
            self.engine.handle(event, now, &mut actions);
            actions.drain(..).for_each(|action| self.perform(action));
            self.actions = actions;
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Send(conn, packet) => self.send(conn, packet),
            Action::Close(conn) => {
                if let Some(link) = self.links.get_mut(&conn) {
                    link.close();
                }
            }
            Action::Dial(address) => {
                // If the thread is gone this life is over.
                let _ = self.dial.send(address);
            }
            Action::Read(ticket) => self.ask(ArbiterJob::Read(ticket)),
            Action::Put(ticket, put) => self.ask(ArbiterJob::Put(ticket, Box::new(put))),
            Action::StoreMeta(meta) => self.send_disk(DiskJob::StoreMeta(Box::new(meta))),
            Action::Append(frame) => {
                self.stats.appended(&frame);
                self.sealed = frame.end_seq();
                self.mail.push(&frame);
                self.ops.push_back(LogOp::Append(frame));
            }
            Action::CutLog(point) => {
                self.sealed = self.sealed.min(point.seq);
                self.mail.freeze(point);
                self.ops.push_back(LogOp::Cut(point));
            }
            Action::ReplayLog => self.mail.replay_log(),
            Action::FindCommon(conn, points) => self.send_disk(DiskJob::FindCommon(conn, points)),
            Action::StreamFrom(conn, nonce, from) => {
                if let Some(link) = self.links.get_mut(&conn) {
                    link.stream_from(nonce, from);
                }
            }
            Action::StopStream(conn, nonce) => {
                if let Some(link) = self.links.get_mut(&conn) {
                    link.stop_stream(nonce);
                }
            }
            // A replica that saves its state says so in HELLO; this driver never does, so nobody asks for one.
            Action::SaveState(..) | Action::LoadState(..) => {
                let why = "the other side wants to exchange a state, which this version does not do; use the same build on both sides";
                self.events.push_back(Event::ReplicaFailed(why.into()));
            }
            Action::Commit(seq) => {
                self.stats.committed(seq);
                self.mail.commit(seq);
            }
            Action::Throttle(on) => self.mail.throttle(on),
            Action::Stop => self.mail.stop(true),
            Action::Continue => self.mail.stop(false),
            Action::Kill => self.mail.post(Command::Kill),
            Action::Prepare => self.mail.post(Command::Prepare),
            Action::Unprepare => self.mail.post(Command::Unprepare),
            Action::GoLive(live) => {
                self.sealed = live.next;
                self.mail.post(Command::GoLive(live));
            }
            Action::Halt(why) => {
                self.over.get_or_insert(why.clone());
                self.mail.post(Command::Halt(why));
            }
            Action::Status(status) => {
                self.stats.changed(&status);
                // If nobody listens any more the node is over.
                let _ = self.notify.send(Notice::Changed(status));
            }
        }
    }

    fn send(&mut self, conn: ConnId, packet: Packet) {
        if let Some(link) = self.links.get_mut(&conn) {
            link.outgoing.push(packet);
        }
    }

    fn ask(&mut self, job: ArbiterJob) {
        // If the thread is gone this life is over.
        let _ = self.arbiter.send(job);
    }

    pub fn send_disk(&self, job: DiskJob) {
        // If the thread is gone this life is over.
        let _ = self.disk.send(job);
    }

    /// A socket that was dialled or accepted.
    pub fn connected(&mut self, socket: TcpStream) {
        const LINKS_MAX: usize = 32;
        if self.links.len() >= LINKS_MAX || self.over.is_some() {
            return;
        }
        let Ok(link) = Link::new(socket) else { return };
        self.connections += 1;
        let conn = ConnId(self.connections);
        self.links.insert(conn, link);
        self.handle(Event::Connected(conn));
    }

    /// The connection broke.
    pub fn gone(&mut self, conn: ConnId) {
        let Some(link) = self.links.remove(&conn) else { return };
        if !link.is_closing() {
            self.handle(Event::Disconnected(conn));
        }
    }

    /// Time has passed.
    pub fn tick(&mut self) {
        self.handle(Event::Tick);
        self.complain();
        let following = match self.mode() {
            Mode::Closing | Mode::Protected => Following::Backup(self.stats.lag().1),
            Mode::Solo if self.links.values().any(Link::streams) => {
                let lag = self.sealed.0.saturating_sub(self.stats.acked.executed.0);
                if lag > self.lag_entries_max / 2 { Following::Joiner(lag) } else { Following::Nobody }
            }
            _ => Following::Nobody,
        };
        self.mail.rest(self.pace.rests(following, Instant::now(), self.clock));
    }

    /// Tells a person what fails again and again, and what this side waits for.
    fn complain(&mut self) {
        let now = Instant::now();
        let mut lines: Vec<String> = self.stats.arbiter.due(now).into_iter().collect();
        let dialled = self.stats.dial.what().map(str::to_owned);
        let held = self.engine.is_held() && self.mode() == Mode::Solo && !self.links.values().any(Link::streams);
        if held {
            let why = match (&self.peer, &dialled) {
                (None, _) => "start `gapless backup` with the same --arbiter".to_owned(),
                (Some(peer), None) => format!("dialling {peer}; start `gapless backup` there, or correct --backup"),
                (Some(peer), Some(e)) => {
                    format!("dialling {peer} fails: {e}; start `gapless backup` there, or correct --backup")
                }
            };
            let what = format!(
                "all output is held until a backup joins: {why} (--unprotected-start lets output leave before)"
            );
            self.stats.held.failed(what, now);
        } else {
            self.stats.held.over();
        }
        lines.extend(self.stats.held.due(now));
        if self.mode() == Mode::Joining {
            lines.extend(self.stats.dial.due(now).map(|e| format!("cannot reach the owner: {e}; trying again")));
        }
        for line in lines {
            // If nobody listens any more the node is over.
            let _ = self.notify.send(Notice::Trouble(line));
        }
    }

    /// The live host has sealed a frame and written it to the own log.
    pub fn sealed(&mut self, frame: &Frame) {
        self.stats.sealed(frame);
        self.sealed = frame.end_seq();
        self.handle(Event::Sealed(Point::after(frame)));
        self.links.values_mut().for_each(|link| link.sealed(frame));
        self.handle(Event::Written(frame.end_seq()));
        if self.commit == Commit::Durable {
            self.send_disk(DiskJob::Sync);
        }
    }

    /// Fills streams and writes what waits for sockets.
    pub fn finish(&mut self) {
        let mut blocked = false;
        loop {
            let mut gone = Vec::new();
            let mut failed = None;
            for (&conn, link) in &mut self.links {
                if let Err(e) = link.pump(&self.view, self.sealed) {
                    failed = Some(e.to_string());
                }
                if !link.flush() || link.is_done() {
                    gone.push(conn);
                }
                blocked |= !link.outgoing.is_empty();
            }
            if let Some(why) = failed {
                self.links.values_mut().for_each(Link::close);
                self.handle(Event::LogFailed(why));
                continue;
            }
            if gone.is_empty() {
                break;
            }
            gone.into_iter().for_each(|conn| self.gone(conn));
        }
        if blocked {
            self.io.wake();
        }
    }
}
