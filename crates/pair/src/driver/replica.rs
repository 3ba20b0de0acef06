//! The replica's thread of one life: executes the log as a backup, goes live, steps the live replica.
//!
//! The rule it keeps: frames are fed to the host only in whole steps, so that a cut at the end of a step never meets what was fed; and everything
//! that the replica does, its death included, happens on this one thread (ptrace needs that).

use super::core::{Core, Shared};
use super::mailbox::{Command, Work};
use crate::{Event, GoLive, Halt, Nonce, Point, Report};
use gapless_log::{
    Base, Divergence, End, Error, Frame, Host, LogReader, Order, Position, Replayed, Replica, Result, Seq, Sink,
    load_base,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest sleep while a backup has nothing to do; everything that concerns it wakes it.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// Execution is reported at least this often while there is more to execute.
const REPORT_EVERY: Duration = Duration::from_millis(5);

/// A life's replica with its place in the log.
pub(super) struct Runner<'a, R> {
    shared: &'a Arc<Shared>,
    host: Host<R>,
    /// Every frame below is taken from the mailbox or the log.
    taken: Seq,
    /// Every frame below is fed to the host.
    fed: Seq,
    /// Taken and not yet fed: the beginning of a step whose end has not come.
    open: Vec<Arc<Frame>>,
    reader: Option<LogReader>,
    executed: Seq,
    /// The replica failed or diverged: it executes nothing more.
    broken: bool,
}

impl<'a, R: Replica> Runner<'a, R> {
    pub fn new(shared: &'a Arc<Shared>, host: Host<R>) -> Self {
        let start = shared.view().meta().base.seq;
        Self { shared, host, taken: start, fed: start, open: Vec::new(), reader: None, executed: Seq(0), broken: false }
    }

    /// Does what the life asks until it is over. The replica's group is gone when this returns.
    pub fn run(mut self) -> Halt {
        let over = loop {
            match self.shared.mail.next(self.taken, WAIT_MAX) {
                Work::Command(command) => {
                    if let Some(over) = self.obey(command) {
                        break over;
                    }
                }
                Work::Frame(frame) => self.take(frame),
                Work::ReadLog => self.read_log(),
                Work::Nothing => {}
            }
        };
        self.host.replica_mut().halt();
        over
    }

    fn tell(&self, event: Event) {
        self.shared.tell([event]);
    }

    fn obey(&mut self, command: Command) -> Option<Halt> {
        match command {
            Command::Prepare => {
                let prepared = self.host.replica_mut().prepare();
                self.tell(prepared.map_or_else(|e| Event::PrepareFailed(e.to_string()), |()| Event::Prepared));
            }
            Command::Unprepare => self.host.replica_mut().unprepare(),
            Command::GoLive(live) => self.live(live),
            Command::Cut(point) => {
                if self.executed > point.seq {
                    // The engine did not know yet how far execution had come: this state cannot be taken back.
                    self.broken = true;
                    return Some(Halt::Reborn);
                }
                if self.fed > point.seq {
                    self.host.cut(point.seq, point.chain);
                    self.fed = point.seq;
                }
                self.open.retain(|f| f.end_seq() <= point.seq);
                self.taken = self.taken.min(point.seq);
                self.reader = None;
            }
            Command::Load(session) => return self.load(session),
            Command::Kill => {
                self.host.replica_mut().halt();
                self.broken = true;
                self.tell(Event::Killed);
            }
            Command::Halt(why) => return Some(why),
        }
        None
    }

    // ---- backup ----

    /// Takes the state that the own log begins with.
    fn load(&mut self, session: Option<(Nonce, Point)>) -> Option<Halt> {
        if self.broken {
            return None;
        }
        if let Some((nonce, at)) = session
            && self.shared.mail.is_idle()
        {
            // It is in the directory; that is enough until it is needed.
            self.tell(Event::StateLoaded(nonce, at));
            return None;
        }
        if self.executed > Seq(0) {
            // As with a cut: the engine did not know yet.
            self.broken = true;
            return Some(Halt::Reborn);
        }
        (self.reader, self.open) = (None, Vec::new());
        match load_base(&self.shared.view(), &mut self.host) {
            Ok(base) => {
                (self.taken, self.fed, self.executed) = (base.seq, base.seq, base.seq);
                self.report();
                if let Some((nonce, at)) = session {
                    self.tell(Event::StateLoaded(nonce, at));
                }
            }
            Err(e) => {
                self.broken = true;
                self.tell(failure(e));
            }
        }
        None
    }

    fn read_log(&mut self) {
        let reader = self.reader.get_or_insert_with(|| self.shared.view().reader(self.taken));
        match reader.next() {
            Some(Ok(frame)) => self.take(Arc::new(frame)),
            Some(Err(e)) => {
                self.reader = None;
                self.tell(Event::LogFailed(e.to_string()));
            }
            None => self.reader = None,
        }
    }

    fn take(&mut self, frame: Arc<Frame>) {
        if self.reader.as_ref().is_some_and(|r| r.next_seq() != frame.end_seq()) {
            self.reader = None;
        }
        self.taken = frame.end_seq();
        let whole = frame.ends_step();
        if self.broken {
            return;
        }
        let stands_before = self.open.is_empty() && self.executed == frame.first_seq();
        if frame.divides() && stands_before && self.shared.mail.takes_keep_wanted() {
            self.keep(&frame);
        }
        self.open.push(frame);
        if !whole {
            return;
        }
        if let Err(e) = self.execute() {
            self.broken = true;
            self.tell(failure(e));
        }
    }

    /// Feeds the whole steps that were taken and executes them.
    fn execute(&mut self) -> Result<()> {
        for frame in self.open.drain(..) {
            self.host.feed(&frame)?;
            self.fed = frame.end_seq();
        }
        let mut reported = Instant::now();
        while let Replayed::Step(seq) | Replayed::Sync(seq) = self.host.replay_step()? {
            self.executed = seq.next();
            if reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                self.report();
                if self.shared.mail.order() == Order::Halt {
                    return Ok(());
                }
            }
        }
        self.report();
        Ok(())
    }

    /// The log may come to begin here, before this frame: the replica stands there.
    fn keep(&mut self, before: &Frame) {
        let position = self.host.replica().position();
        let base = Base { seq: before.first_seq(), position, chain: before.chain_before() };
        let state = self.host.save().map(|state| state.map(Arc::new));
        self.shared.lock().keep(self.shared, base, &state);
    }

    fn report(&self) {
        self.shared.mail.stands(self.host.replica().position(), self.host.next_seq(), self.executed);
        self.tell(Event::Executed(self.executed));
    }

    // ---- live ----

    fn live(&mut self, live: GoLive) {
        if self.broken {
            return;
        }
        self.open.clear();
        self.host.replica_mut().losses(live.generation);
        if let Err(e) = self.host.go_live(live.term, live.next, live.chain) {
            self.broken = true;
            return self.tell(failure(e));
        }
        self.shared.lock().stats.went_live();
        loop {
            let mut sink = PairSink { shared: Arc::clone(self.shared), log_failed: None, keeps: false };
            let waker = &self.shared.mail.waker;
            self.shared.lock().attend(self.shared.attends.then(|| waker.clone()));
            let end = self.host.run_live(&mut sink, waker);
            self.shared.lock().attend(None);
            let event = match (end, sink.log_failed) {
                (_, Some(why)) => Event::LogFailed(why),
                (Ok(End::Exited(status)), _) => Event::ReplicaEnded(status),
                (Ok(End::Handover), _) => Event::Stopped,
                (Ok(End::Halted), _) => return,
                (Err(e), _) => failure(e),
            };
            let stopped = event == Event::Stopped;
            self.tell(event);
            if !stopped {
                return;
            }
            while self.shared.mail.order() == Order::Handover {
                if self.shared.mail.urgent() {
                    return;
                }
                self.shared.mail.waker.wait(WAIT_MAX);
                self.shared.mail.waker.reset();
            }
        }
    }
}

fn failure(error: Error) -> Event {
    match error {
        Error::Diverged(Divergence { position, seq, expected, found }) => {
            Event::Diverged(Report { position, seq, expected, found })
        }
        other => Event::ReplicaFailed(other.to_string()),
    }
}

/// Where the live host's frames go: the own log, then the engine and the backup's stream, all on the replica's thread.
struct PairSink {
    shared: Arc<Shared>,
    log_failed: Option<String>,
    /// The state is asked for by the own log.
    keeps: bool,
}

impl Sink for PairSink {
    fn append(&mut self, frame: Frame) -> Result<()> {
        if let Err(e) = self.shared.with_store(|store| store.append(&frame)) {
            self.log_failed = Some(e.to_string());
            return Err(e);
        }
        self.shared.by_replica(|core| core.sealed(&frame));
        Ok(())
    }

    fn look(&mut self) {
        if self.shared.attends {
            self.shared.by_replica(Core::read_attended);
        }
    }

    fn committed(&self) -> Seq {
        self.shared.mail.committed()
    }

    fn synced(&self) -> Seq {
        self.shared.mail.synced()
    }

    fn order(&mut self) -> Order {
        self.shared.mail.order()
    }

    fn wants_state(&mut self) -> bool {
        self.keeps = self.shared.mail.takes_keep_wanted();
        self.shared.mail.takes_state_wanted() || self.keeps
    }

    fn take_state(&mut self, position: Position, state: Result<Option<Vec<u8>>>) -> bool {
        let keeps = std::mem::take(&mut self.keeps);
        let (seq, chain) = self.shared.view().end();
        let state = state.map(|state| state.map(Arc::new));
        let mut core = self.shared.lock();
        if keeps {
            core.keep(&self.shared, Base { seq, position, chain }, &state);
        }
        core.saved(Point { seq, chain }, position, state);
        core.finish();
        keeps
    }
}
