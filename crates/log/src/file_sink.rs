//! `FileSink`: a store alone as a live replica's sink, for `record` and `resume`.
//!
//! Level received commits what is written; level durable commits what a background thread has synced: while one fdatasync runs, frames
//! gather for the next (group commit). At both levels the thread syncs at least every [`SYNC_EVERY`], so that frames can say what is
//! durable and recovery can tell a torn tail from decay. A failed sync halts the replica: nothing is released after it.

use crate::{CommitLevel, Error, Frame, Order, Result, Seq, Sink, Store, Syncer, Waker};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// At level received, unsynced entries get no older than this while the disk keeps up.
pub const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Appends to a [`Store`] and says what is committed.
#[derive(Debug)]
pub struct FileSink {
    store: Option<Store>,
    syncer: Syncer,
    level: CommitLevel,
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// What the sink and its thread tell each other.
#[derive(Debug, Default)]
struct Desk {
    state: Mutex<DeskState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct DeskState {
    written: Seq,
    stop: bool,
    failed: bool,
    error: Option<Error>,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, DeskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileSink {
    /// Takes the store over; `waker` is woken whenever more is committed, or the disk fails.
    pub fn new(store: Store, level: CommitLevel, waker: Waker) -> Result<Self> {
        let syncer = store.syncer();
        let desk = Arc::new(Desk::default());
        let (theirs, on) = (desk.clone(), syncer.clone());
        let thread = std::thread::Builder::new()
            .name("log-sync".to_owned())
            .spawn(move || sync_loop(&theirs, &on, level, &waker))
            .map_err(|e| Error::io("starting the sync thread of", store.dir(), e))?;
        Ok(Self { store: Some(store), syncer, level, desk, thread: Some(thread) })
    }

    /// The store.
    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("present until closed")
    }

    /// Stops the thread, syncs what is left, and gives the store back.
    pub fn close(mut self) -> Result<Store> {
        self.stop();
        let mut store = self.store.take().expect("present until closed");
        if let Some(error) = self.desk.lock().error.take() {
            return Err(error);
        }
        store.sync()?;
        Ok(store)
    }

    fn stop(&mut self) {
        self.desk.lock().stop = true;
        self.desk.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the sync thread does not panic");
        }
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        self.stop();
    }
}

fn sync_loop(desk: &Desk, syncer: &Syncer, level: CommitLevel, waker: &Waker) {
    let mut state = desk.lock();
    while !state.stop {
        if state.written <= syncer.synced() {
            state = desk.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        if level == CommitLevel::Received {
            let wait = desk.changed.wait_timeout_while(state, SYNC_EVERY, |s| !s.stop);
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
            if state.stop {
                return;
            }
        }
        drop(state);
        let result = syncer.sync();
        state = desk.lock();
        if let Err(error) = result {
            state.failed = true;
            state.error = Some(error);
            waker.wake();
            return;
        }
        if level == CommitLevel::Durable {
            waker.wake();
        }
    }
}

impl Sink for FileSink {
    fn append(&mut self, frame: Frame) -> Result<()> {
        if let Some(error) = self.failure() {
            return Err(error);
        }
        self.store.as_mut().expect("present until closed").append(&frame)?;
        let mut state = self.desk.lock();
        let asleep = state.written <= self.syncer.synced();
        state.written = frame.end_seq();
        drop(state);
        if asleep || self.level == CommitLevel::Durable {
            self.desk.changed.notify_all();
        }
        Ok(())
    }

    fn committed(&self) -> Seq {
        match self.level {
            CommitLevel::Received => self.syncer.written(),
            CommitLevel::Durable => self.syncer.synced(),
        }
    }

    fn synced(&self) -> Seq {
        self.syncer.synced()
    }

    fn sync(&mut self) -> Result<()> {
        self.store.as_mut().expect("present until closed").sync()
    }

    fn order(&mut self) -> Order {
        if self.desk.lock().failed { Order::Halt } else { Order::None }
    }

    fn failure(&mut self) -> Option<Error> {
        self.desk.lock().error.take()
    }
}
