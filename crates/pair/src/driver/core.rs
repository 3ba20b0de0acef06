//! The engine with everything its actions touch, behind one lock.
//!
//! The rule it keeps: events are handled one at a time, in the order in which they happened, and the actions of each are carried out in order before
//! the next. Nothing here blocks: what can (disk, arbiter, dialling, the replica) is handed to its thread, and sockets are non-blocking.
//! After every batch, what waits for a socket is written by whoever holds the lock, so the commit path has no hop for sending.

use super::Notice;
use super::link::{Arrived, Link};
use super::mailbox::{Command, Mailbox};
use super::pace::{Following, Pace};
use super::shorten::Shortening;
use super::state;
use super::stats::Stats;
use super::workers::{ArbiterJob, DiskJob, DiskQueue};
use crate::{
    Action, Commit, ConnId, Engine, Event, Halt, Micros, Mode, Nonce, Packet, Point, STATE_BYTES_MAX, StateChunk,
};
use gapless_log::{Base, Frame, LogView, Position, Result, SealedSnapshot, Seq, Store, Waker};
use std::collections::{BTreeMap, VecDeque};
use std::net::TcpStream;
use std::sync::mpsc::{Sender, SyncSender};
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
    view: Mutex<LogView>,
    pub commit: Commit,
    /// The live replica's thread reads acknowledgements itself.
    pub attends: bool,
}

/// What the I/O thread does to the own log of a backup, in order.
#[derive(Debug)]
pub(super) enum LogOp {
    Append(Arc<Frame>),
    Cut(Point),
    /// A piece of the state that the log is to begin with.
    State(Nonce, StateChunk),
    /// A piece of a later state of a log that is not executed.
    Renew(Nonce, StateChunk),
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
    pub shortening: Shortening,
    /// The live replica's waker, while its thread reads the streaming connections itself.
    attending: Option<Waker>,
    /// What happens now is told by the replica's own thread, which looks at what has changed afterwards.
    own: bool,
    /// For whom the live replica is being saved.
    saving: Option<(ConnId, Nonce)>,
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
    /// The engine waits for an answer before it asks again.
    arbiter: Sender<ArbiterJob>,
    /// `None` once this life is over.
    disk: Option<DiskQueue>,
    /// Searches that the disk's thread has not answered.
    finds: usize,
    dial: SyncSender<String>,
    /// Tells a person, who may read slowly.
    notify: SyncSender<Notice>,
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
    pub disk: DiskQueue,
    pub dial: SyncSender<String>,
    pub notify: SyncSender<Notice>,
    pub peer: Option<String>,
    pub lag_entries_max: u64,
    pub attends: bool,
    /// See [`super::NodeConfig::shorten_bytes`].
    pub shorten_bytes: Option<u64>,
    pub stats: Stats,
}

impl Shared {
    pub fn new(parts: Parts, store: Store, commit: Commit) -> Self {
        let (mail, io, view) = (Arc::clone(&parts.mail), parts.io.clone(), parts.view.clone());
        let attends = parts.attends;
        Self {
            core: Mutex::new(Core::new(parts, commit)),
            mail,
            io,
            store: Mutex::new(Some(store)),
            view: Mutex::new(view),
            commit,
            attends,
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Core> {
        // A panic under the lock has broken the engine: everybody who still asks it must stop too.
        self.core.lock().unwrap_or_else(|_| panic!("the pair's engine has failed"))
    }

    /// The replica's thread is panicking: everything ends.
    pub fn failed(&self) {
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        core.over.get_or_insert_with(|| Halt::Failed("the replica's thread has failed".into()));
        core.links.clear();
        drop(core);
        self.io.wake();
    }

    /// The own log, as readers see it.
    pub fn view(&self) -> LogView {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The directory holds another log now.
    pub fn log_replaced(&self, view: &LogView) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view.clone();
        self.mail.written(view.end().0);
        self.lock().view = view.clone();
    }

    /// What the replica's own thread does under the lock: what changes by it wakes nobody, since that thread looks afterwards.
    pub fn by_replica(&self, work: impl FnOnce(&mut Core)) {
        let mut core = self.lock();
        core.own = true;
        work(&mut core);
        core.finish();
        core.own = false;
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
    pub fn with_store<T>(&self, f: impl FnOnce(&mut Store) -> Result<T>) -> Result<T> {
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
            shortening: Shortening::new(parts.shorten_bytes, &parts.view),
            attending: None,
            own: false,
            saving: None,
            stats: parts.stats,
            over: None,
            commit,
            pace: Pace::default(),
            lag_entries_max: parts.lag_entries_max,
            mail: parts.mail,
            io: parts.io,
            view: parts.view,
            arbiter: parts.arbiter,
            disk: Some(parts.disk),
            finds: 0,
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
            if matches!(event, Event::CommonFound(..)) {
                self.finds -= 1;
            }
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
                // If the thread is busy it is asked again; if it is gone this life is over.
                let _ = self.dial.try_send(address);
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
                self.shortening.cut(point.seq);
                self.mail.freeze(point);
                self.ops.push_back(LogOp::Cut(point));
            }
            Action::ReplayLog if self.mail.is_warm() => {
                self.shortening.takes_no_more();
                // The log may be about to begin later.
                self.send_disk(DiskJob::Replay);
            }
            Action::ReplayLog => {
                if self.view.base() != Base::default() {
                    self.mail.post(Command::Load(None));
                }
                self.mail.replay_log();
            }
            Action::FindCommon(conn, points) => self.find_common(conn, points),
            Action::StreamFrom(conn, nonce, from) => {
                if let Some(link) = self.links.get_mut(&conn) {
                    link.stream_from(nonce, from);
                }
            }
            Action::StopStream(conn, nonce) => {
                if let Some(link) = self.links.get_mut(&conn) {
                    link.stop_stream(nonce);
                }
                if self.saving.take_if(|s| *s == (conn, nonce)).is_some() {
                    self.mail.want_state(false);
                }
            }
            Action::RenewState(nonce, chunk) => {
                if self.shortening.takes(&chunk) {
                    self.ops.push_back(LogOp::Renew(nonce, chunk));
                }
            }
            Action::ShortenLog(at) => {
                if let Some((base, snapshot)) = self.shortening.ordered(at) {
                    self.send_disk(DiskJob::Shorten(base, snapshot));
                }
            }
            Action::SaveState(conn, nonce) => {
                self.saving = Some((conn, nonce));
                self.mail.want_state(true);
            }
            Action::LoadState(nonce, chunk) => {
                if chunk.offset == 0 {
                    self.sealed = chunk.at.seq;
                    self.shortening.cut(Seq(0));
                    if self.shortening.is_busy() {
                        // Both would be written beside the log at once. The next life begins with nothing.
                        return self.leave_owner();
                    }
                    self.mail.freeze(Point::ZERO);
                }
                self.ops.push_back(LogOp::State(nonce, chunk));
            }
            Action::Commit(seq) => {
                self.stats.committed(seq);
                self.mail.commit(seq);
                if !self.own {
                    self.mail.waker.wake();
                }
            }
            Action::Throttle(on) => self.mail.throttle(on),
            Action::Stop => self.mail.stop(true),
            Action::Continue => self.mail.stop(false),
            Action::Kill => self.mail.post(Command::Kill),
            Action::Prepare => self.mail.post(Command::Prepare),
            Action::Unprepare => self.mail.post(Command::Unprepare),
            Action::GoLive(live) => {
                self.sealed = live.next;
                self.shortening.cut(live.next.next());
                self.mail.post(Command::GoLive(live));
            }
            Action::Halt(why) => {
                self.over.get_or_insert(why.clone());
                self.mail.post(Command::Halt(why));
            }
            Action::Status(status) => {
                self.stats.changed(&status);
                // If nobody listens any more the node is over; if somebody does not keep up he looks at the status.
                let _ = self.notify.try_send(Notice::Changed(status));
            }
        }
    }

    /// As if the session's connection had broken.
    fn leave_owner(&mut self) {
        if let Some(conn) = self.engine.session_conn() {
            if let Some(link) = self.links.get_mut(&conn) {
                link.close();
            }
            self.events.push_back(Event::Disconnected(conn));
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
        if let Some(disk) = &self.disk {
            disk.send(job);
        }
    }

    /// A joiner that leaves is searched for all the same: whoever comes and goes while the disk is slow is not let in.
    fn find_common(&mut self, conn: ConnId, points: Vec<Point>) {
        const FINDS_MAX: usize = 16;
        if self.finds >= FINDS_MAX {
            if let Some(link) = self.links.get_mut(&conn) {
                link.close();
            }
            return self.events.push_back(Event::Disconnected(conn));
        }
        self.finds += 1;
        self.send_disk(DiskJob::FindCommon(conn, points));
    }

    /// The life is over: connections and the disk's thread end. What it counted goes on.
    pub fn end(&mut self) -> Stats {
        self.links.clear();
        self.disk = None;
        self.stats.reborn()
    }

    /// A socket that was accepted.
    pub fn accepted(&mut self, socket: TcpStream) {
        self.connected(socket, Event::Connected);
    }

    /// A socket that was dialled.
    pub fn dialled(&mut self, socket: TcpStream) {
        self.connected(socket, Event::Dialled);
    }

    /// The engine decides which are kept; beyond those there are only closed ones with something left to say, and they make room.
    fn connected(&mut self, socket: TcpStream, event: fn(ConnId) -> Event) {
        const LINKS_MAX: usize = 32;
        if self.over.is_some() {
            return;
        }
        if self.links.len() >= LINKS_MAX {
            let closing = self.links.iter().find(|(_, link)| link.is_closing()).map(|(&conn, _)| conn);
            let Some(closing) = closing else { return };
            self.links.remove(&closing);
        }
        let Ok(link) = Link::new(socket) else { return };
        self.connections += 1;
        let conn = ConnId(self.connections);
        self.links.insert(conn, link);
        self.handle(event(conn));
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
        self.look_if_long();
        let following = match self.mode() {
            Mode::Closing | Mode::Protected => Following::Backup(self.stats.lag().1),
            Mode::Solo if self.links.values().any(Link::streams) => {
                let (end, executed) = (self.sealed.0, self.stats.acked.executed.0);
                let far = end.saturating_sub(executed) > self.lag_entries_max / 2;
                if far { Following::Joiner { end, executed } } else { Following::Nobody }
            }
            _ => Following::Nobody,
        };
        self.mail.rest(self.pace.rests(following, Instant::now(), self.clock));
    }

    /// A log that has grown long enough is to begin later: the replica is saved for that.
    fn look_if_long(&mut self) {
        self.shortening.agree(self.engine.kept());
        let live = matches!(self.mode(), Mode::Solo | Mode::Closing | Mode::Protected);
        if (live || !self.mail.is_idle()) && self.shortening.is_due(&self.view, live) {
            self.mail.want_keep();
        }
    }

    /// The replica was saved where its log may come to begin, or could not be.
    pub fn keep(&mut self, shared: &Arc<Shared>, base: Base, state: &Result<Option<Arc<Vec<u8>>>>) {
        let bytes = match state {
            // Nobody could join any more.
            Ok(Some(bytes)) if bytes.len() as u64 > STATE_BYTES_MAX => {
                return self.unkept("the replica's state is too long to be sent");
            }
            Ok(Some(bytes)) => bytes,
            Ok(None) => return self.unkept("the replica cannot be saved now"),
            Err(e) => return self.unkept(&e.to_string()),
        };
        self.shortening.write(shared, base, bytes);
        if let Some((conn, nonce)) = self.engine.warm_session()
            && let Some(link) = self.links.get_mut(&conn)
            && !link.sends_state()
        {
            let at = Point { seq: base.seq, chain: base.chain };
            link.send_state(state::Outgoing::new(nonce, at, base.position, Arc::clone(bytes)));
        }
    }

    /// The state that the own log may begin with has been written, or not.
    pub fn kept(&mut self, base: Base, written: Result<SealedSnapshot>) {
        match written {
            Ok(snapshot) => {
                if self.shortening.kept(base, snapshot) {
                    self.handle(Event::StateKept(Point { seq: base.seq, chain: base.chain }));
                }
                self.shortening.agree(self.engine.kept());
            }
            Err(e) => self.unkept(&format!("the replica's state cannot be written: {e}")),
        }
    }

    /// The log stays as long as it is for now.
    pub fn unkept(&mut self, why: &str) {
        self.shortening.put_off(&self.view);
        let line = format!("the log is not shortened: {why}; trying again when it has grown");
        // Whoever does not keep up looks at the size of the log.
        let _ = self.notify.try_send(Notice::Trouble(line));
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

    /// The replica's thread reads the streaming connections itself from now on, woken by this; or no more.
    pub fn attend(&mut self, waker: Option<Waker>) {
        self.attending = waker;
        self.hand_over_links();
    }

    /// Who reads which connection.
    fn hand_over_links(&mut self) {
        for link in self.links.values_mut() {
            if link.attended_by(self.attending.as_ref()) {
                self.io.wake();
            }
        }
    }

    /// Reads what has come on the connections that the replica's thread attends to.
    pub fn read_attended(&mut self) {
        let attended = self.links.iter().filter(|(_, link)| link.is_attended()).map(|(&conn, _)| conn);
        for conn in attended.collect::<Vec<_>>() {
            self.read(conn);
        }
    }

    /// Reads what has come on a connection.
    pub fn read(&mut self, conn: ConnId) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        let mut packets = Vec::new();
        let arrived = link.read(&mut |packet| packets.push(packet));
        let closing = link.is_closing();
        for packet in packets {
            if !closing {
                self.handle(Event::Received(conn, packet));
            }
        }
        if let Arrived::Gone(why) = arrived {
            if let Some(why) = why {
                self.stats.refused_bytes(why);
            }
            self.gone(conn);
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

    /// The live replica was saved at the end of its log, or cannot be.
    pub fn saved(&mut self, at: Point, position: Position, state: Result<Option<Arc<Vec<u8>>>>) {
        let Some((conn, nonce)) = self.saving.take() else { return };
        let why = match state {
            Ok(Some(bytes)) if bytes.len() as u64 <= STATE_BYTES_MAX => {
                self.handle(Event::StateSaved(conn, nonce, at));
                if let Some(link) = self.links.get_mut(&conn) {
                    link.send_state(state::Outgoing::new(nonce, at, position, bytes));
                }
                return;
            }
            Ok(Some(bytes)) => format!("its {} bytes are more than the limit of {STATE_BYTES_MAX}", bytes.len()),
            Ok(None) => "the replica cannot be saved now".into(),
            Err(e) => e.to_string(),
        };
        self.handle(Event::StateUnsaved(conn, nonce, why));
    }

    /// Fills streams and writes what waits for sockets.
    pub fn finish(&mut self) {
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
        self.hand_over_links();
        if self.links.values().any(Link::is_unwatched) {
            self.io.wake();
        }
    }
}
