//! What the replica's thread is told, and how it is woken without a hop too many.
//!
//! The rule it keeps: whoever holds the core's lock may post here, never the other way round. Commits are published as one atomic number;
//! frames are queued first and announced later, so that an acknowledgement leaves before another thread is woken.

use crate::{GoLive, Halt, Nonce, Point};
use gapless_log::{Frame, Order, Position, Seq, Waker};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Frames beyond this are left in the log and read from there.
const QUEUE_BYTES_MAX: usize = 32 << 20;
/// An order to the replica's thread that is not just a flag.
#[derive(Clone, Debug)]
pub(super) enum Command {
    Prepare,
    Unprepare,
    GoLive(GoLive),
    /// The files were cut here.
    Cut(Point),
    /// Load the state that the own log begins with: one that came in a session, which is told then, or one that was there.
    Load(Option<(Nonce, Point)>),
    Kill,
    Halt(Halt),
}

/// What the replica's thread is to do next.
#[derive(Debug)]
pub(super) enum Work {
    Command(Command),
    /// The frame after those taken so far.
    Frame(Arc<Frame>),
    /// The same, to be read from the log.
    ReadLog,
    Nothing,
}

#[derive(Debug, Default)]
struct Mail {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    commands: VecDeque<Command>,
    /// The own log may be executed.
    replay: bool,
    /// A cut is on its way: take no frame until it is done.
    frozen: bool,
    /// To be obeyed then: what a live replica writes follows what is left.
    live_when_cut: Option<GoLive>,
    /// The own log is written below this number.
    written: Seq,
    /// A frame was the last thing taken.
    busy: bool,
}

/// Shared by the replica's thread and everybody else.
#[derive(Debug)]
pub(super) struct Mailbox {
    mail: Mutex<Mail>,
    arrived: Condvar,
    /// Something in `mail.commands`, for a look without the lock.
    urgent: AtomicBool,
    /// Something to execute has come since the last announcement.
    news: AtomicBool,
    /// The replica's thread sleeps and will look for frames soon: only commands wake it.
    lingers: AtomicBool,
    linger: Duration,
    /// Nothing is executed before the engine says so.
    warm: bool,
    /// Wakes a live replica from its wait.
    pub waker: Waker,
    committed: AtomicU64,
    synced: AtomicU64,
    throttled: AtomicBool,
    resting: AtomicBool,
    stopped: AtomicBool,
    halted: AtomicBool,
    state_wanted: AtomicBool,
    keep_wanted: AtomicBool,
    position: AtomicU64,
    next: AtomicU64,
    executed: AtomicU64,
}

impl Mailbox {
    /// `linger`, `warm`: see [`super::NodeConfig`].
    pub fn new(waker: Waker, linger: Duration, warm: bool) -> Self {
        Self {
            mail: Mutex::default(),
            arrived: Condvar::new(),
            urgent: AtomicBool::new(false),
            news: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
            linger,
            warm,
            waker,
            committed: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            throttled: AtomicBool::new(false),
            resting: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            halted: AtomicBool::new(false),
            state_wanted: AtomicBool::new(false),
            keep_wanted: AtomicBool::new(false),
            position: AtomicU64::new(0),
            next: AtomicU64::new(0),
            executed: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- posting ----

    pub fn post(&self, command: Command) {
        if matches!(command, Command::Kill | Command::Halt(_)) {
            self.halted.store(true, Ordering::SeqCst);
        }
        let mut mail = self.lock();
        if matches!(command, Command::Cut(_) | Command::Load(Some(_))) {
            mail.frozen = false;
        }
        match command {
            Command::GoLive(live) if mail.frozen => mail.live_when_cut = Some(live),
            command => mail.commands.push_back(command),
        }
        if !mail.frozen
            && let Some(live) = mail.live_when_cut.take()
        {
            mail.commands.push_back(Command::GoLive(live));
        }
        self.urgent.store(!mail.commands.is_empty(), Ordering::SeqCst);
        drop(mail);
        self.wake();
    }

    /// Queues a frame without waking anybody; [`Mailbox::announce`] follows.
    pub fn push(&self, frame: &Arc<Frame>) {
        let mut mail = self.lock();
        mail.replay |= !self.warm;
        // Only a queue that goes on where it ends is of use; what is missing is read from the log.
        if mail.replay && mail.bytes < QUEUE_BYTES_MAX {
            mail.bytes += frame.len();
            mail.frames.push_back(Arc::clone(frame));
        }
        self.news.store(true, Ordering::SeqCst);
    }

    /// The log will be cut at `point`: what is queued beyond is void, and nothing more is taken until [`Command::Cut`] (or [`Command::Load`]
    /// of another log).
    pub fn freeze(&self, point: Point) {
        let mut mail = self.lock();
        mail.frozen = true;
        mail.frames.retain(|f| f.end_seq() <= point.seq);
        mail.bytes = mail.frames.iter().map(|f| f.len()).sum();
        mail.written = mail.written.min(point.seq);
    }

    /// The own log may be executed from its beginning.
    pub fn replay_log(&self) {
        self.lock().replay = true;
        self.arrived.notify_one();
    }

    /// The own log is written so far.
    pub fn written(&self, end: Seq) {
        self.lock().written = end;
        self.news.store(true, Ordering::SeqCst);
    }

    /// Wakes the replica's thread if it waits for frames and there are some.
    pub fn announce(&self) {
        if self.news.swap(false, Ordering::SeqCst) && !self.lingers.load(Ordering::SeqCst) {
            self.arrived.notify_one();
        }
    }

    /// Without waking anybody: on the replica's own thread.
    pub fn commit(&self, seq: Seq) {
        self.committed.fetch_max(seq.0, Ordering::SeqCst);
    }

    pub fn throttle(&self, on: bool) {
        self.throttled.store(on, Ordering::SeqCst);
        self.wake();
    }

    /// Like [`Mailbox::throttle`], for another reason.
    pub fn rest(&self, on: bool) {
        if self.resting.swap(on, Ordering::SeqCst) != on {
            self.wake();
        }
    }

    pub fn stop(&self, on: bool) {
        self.stopped.store(on, Ordering::SeqCst);
        self.wake();
    }

    /// The live replica is to be saved, or no more.
    pub fn want_state(&self, on: bool) {
        self.state_wanted.store(on, Ordering::SeqCst);
        self.wake();
    }

    /// The replica is to be saved where its own log may come to begin.
    pub fn want_keep(&self) {
        self.keep_wanted.store(true, Ordering::SeqCst);
        self.waker.wake();
    }

    pub fn set_synced(&self, seq: Seq) {
        self.synced.fetch_max(seq.0, Ordering::Relaxed);
    }

    fn wake(&self) {
        self.waker.wake();
        self.arrived.notify_one();
    }

    // ---- the replica's thread ----

    pub fn committed(&self) -> Seq {
        Seq(self.committed.load(Ordering::SeqCst))
    }

    pub fn synced(&self) -> Seq {
        Seq(self.synced.load(Ordering::Relaxed))
    }

    pub fn order(&self) -> Order {
        if self.halted.load(Ordering::SeqCst) {
            Order::Halt
        } else if self.stopped.load(Ordering::SeqCst) {
            Order::Handover
        } else if self.throttled.load(Ordering::SeqCst) || self.resting.load(Ordering::SeqCst) {
            Order::Pause
        } else {
            Order::None
        }
    }

    /// Is the live replica to be saved? Says so once.
    pub fn takes_state_wanted(&self) -> bool {
        self.state_wanted.load(Ordering::SeqCst) && self.state_wanted.swap(false, Ordering::SeqCst)
    }

    /// The same for [`Mailbox::want_keep`].
    pub fn takes_keep_wanted(&self) -> bool {
        self.keep_wanted.load(Ordering::SeqCst) && self.keep_wanted.swap(false, Ordering::SeqCst)
    }

    pub fn is_warm(&self) -> bool {
        self.warm
    }

    /// A backup that executes nothing of its log.
    pub fn is_idle(&self) -> bool {
        self.warm && !self.lock().replay
    }

    /// A command waits.
    pub fn urgent(&self) -> bool {
        self.urgent.load(Ordering::SeqCst)
    }

    /// The next thing to do for a replica that has taken every frame below `taken`.
    pub fn next(&self, taken: Seq, at_most: Duration) -> Work {
        let mut mail = self.lock();
        if let Some(work) = self.look(&mut mail, taken) {
            return work;
        }
        if std::mem::take(&mut mail.busy) && !self.linger.is_zero() {
            self.lingers.store(true, Ordering::SeqCst);
            mail = self.arrived.wait_timeout(mail, self.linger).unwrap_or_else(PoisonError::into_inner).0;
            self.lingers.store(false, Ordering::SeqCst);
            // From here on whoever brings a frame finds the lock taken, and then somebody who is to be woken.
            if let Some(work) = self.look(&mut mail, taken) {
                return work;
            }
        }
        let waited = self.arrived.wait_timeout(mail, at_most);
        let mut mail = waited.unwrap_or_else(PoisonError::into_inner).0;
        self.look(&mut mail, taken).unwrap_or(Work::Nothing)
    }

    fn look(&self, mail: &mut Mail, taken: Seq) -> Option<Work> {
        if let Some(command) = mail.commands.pop_front() {
            self.urgent.store(!mail.commands.is_empty(), Ordering::SeqCst);
            return Some(Work::Command(command));
        }
        if mail.frozen || !mail.replay {
            return None;
        }
        while mail.frames.front().is_some_and(|f| f.end_seq() <= taken) {
            let old = mail.frames.pop_front().expect("just seen");
            mail.bytes -= old.len();
        }
        if mail.frames.front().is_some_and(|f| f.first_seq() == taken) {
            let frame = mail.frames.pop_front().expect("just seen");
            mail.bytes -= frame.len();
            mail.busy = true;
            return Some(Work::Frame(frame));
        }
        (mail.written > taken).then_some(Work::ReadLog)
    }

    /// Publishes where the replica stands.
    pub fn stands(&self, position: Position, next: Seq, executed: Seq) {
        self.position.store(position.0, Ordering::Relaxed);
        self.next.store(next.0, Ordering::Relaxed);
        self.executed.store(executed.0, Ordering::Relaxed);
    }

    /// Position, next entry, executed.
    pub fn where_it_stands(&self) -> (Position, Seq, Seq) {
        let load = |a: &AtomicU64| a.load(Ordering::Relaxed);
        (Position(load(&self.position)), Seq(load(&self.next)), Seq(load(&self.executed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gapless_log::Term;

    /// The log's end may hold frames of a step that never ended. They go before the first frame of the next life is written.
    #[test]
    fn a_replica_goes_live_after_the_cut_and_not_before() {
        let mail = Mailbox::new(Waker::new().unwrap(), Duration::ZERO, false);
        let (point, live) =
            (Point { seq: Seq(3), chain: 7 }, GoLive { term: Term(2), generation: 0, next: Seq(3), chain: 7 });
        let next = || mail.next(Seq(3), Duration::ZERO);
        mail.freeze(point);
        mail.post(Command::GoLive(live));
        assert!(matches!(next(), Work::Nothing) && !mail.urgent());
        mail.post(Command::Cut(point));
        assert!(matches!(next(), Work::Command(Command::Cut(at)) if at == point));
        assert!(matches!(next(), Work::Command(Command::GoLive(l)) if l == live) && !mail.urgent());
        // Without a cut there is nothing to wait for.
        mail.post(Command::GoLive(live));
        assert!(matches!(next(), Work::Command(Command::GoLive(_))));
        // Whoever is killed meanwhile hears of it first.
        mail.freeze(point);
        mail.post(Command::GoLive(live));
        mail.post(Command::Kill);
        assert!(matches!(next(), Work::Command(Command::Kill)));
    }
}
