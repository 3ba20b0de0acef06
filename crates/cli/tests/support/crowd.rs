//! Clients that do the same over and over while something is killed, and what they have done together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest that anything may take on a host that is busy with other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a client hears that it is over, and says how far it is.
#[derive(Debug, Default)]
pub struct Turns {
    stop: AtomicBool,
    done: AtomicU64,
}

impl Turns {
    /// Go on?
    pub fn on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// So much more is done and acknowledged.
    pub fn did(&self, more: u64) {
        self.done.fetch_add(more, Ordering::Relaxed);
    }
}

/// Clients, each on a thread of its own; what one of them says at its end is a `T`. What breaks a promise panics there, and then here.
pub struct Crowd<T> {
    turns: Arc<Turns>,
    threads: Vec<JoinHandle<T>>,
}

impl<T: Send + 'static> Crowd<T> {
    /// So many of them; each is told which one it is.
    pub fn start(clients: usize, work: impl Fn(usize, &Turns) -> T + Send + Sync + 'static) -> Self {
        let (turns, work) = (Arc::<Turns>::default(), Arc::new(work));
        let client = |me| {
            let (turns, work) = (turns.clone(), work.clone());
            std::thread::spawn(move || work(me, &turns))
        };
        Self { threads: (0..clients).map(client).collect(), turns }
    }

    /// How much they have done together.
    pub fn done(&self) -> u64 {
        self.turns.done.load(Ordering::Relaxed)
    }

    /// Waits until so much more is done; `words` are said if it is not, or if one of them has ended.
    pub fn await_more(&self, more: u64, words: impl Fn() -> String) {
        let (since, before) = (Instant::now(), self.done());
        while self.done() < before + more {
            let fails = since.elapsed() > PATIENCE || self.threads.iter().any(JoinHandle::is_finished);
            assert!(!fails, "{} of {more} are done\n{}", self.done() - before, words());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends them.
    pub fn finish(self) -> Vec<T> {
        self.turns.stop.store(true, Ordering::Relaxed);
        let end = |thread: JoinHandle<T>| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        self.threads.into_iter().map(end).collect()
    }
}
