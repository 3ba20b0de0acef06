//! Clients that do the same over and over while something is killed, and what they have done together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest that anything may take on a host that is busy with other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// How one client hears that it is over, and says how far it is.
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

    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

/// Clients, each on a thread of its own; what one of them says at its end is a `T`. What breaks a promise panics there, and then here.
pub struct Crowd<T> {
    turns: Vec<Arc<Turns>>,
    threads: Vec<JoinHandle<T>>,
}

impl<T: Send + 'static> Crowd<T> {
    /// So many of them; each is told which one it is.
    pub fn start(clients: usize, work: impl Fn(usize, &Turns) -> T + Send + Sync + 'static) -> Self {
        let work = Arc::new(work);
        let turns: Vec<Arc<Turns>> = (0..clients).map(|_| Arc::default()).collect();
        let client = |(me, turns): (usize, &Arc<Turns>)| {
            let (turns, work) = (turns.clone(), work.clone());
            std::thread::spawn(move || work(me, &turns))
        };
        Self { threads: turns.iter().enumerate().map(client).collect(), turns }
    }

    /// How much they have done together.
    pub fn done(&self) -> u64 {
        self.turns.iter().map(|turns| turns.done()).sum()
    }

    /// Waits until so much more is done; `words` are said if it is not, or if one of them has ended.
    pub fn await_more(&self, more: u64, words: impl Fn() -> String) {
        let before = self.done();
        self.until(|| self.done() >= before + more, words);
    }

    /// Waits until each of them has done so much more.
    pub fn await_each(&self, more: u64, words: impl Fn() -> String) {
        let before: Vec<u64> = self.turns.iter().map(|turns| turns.done()).collect();
        self.until(|| self.turns.iter().zip(&before).all(|(turns, before)| turns.done() >= before + more), words);
    }

    fn until(&self, enough: impl Fn() -> bool, words: impl Fn() -> String) {
        let since = Instant::now();
        while !enough() {
            let fails = since.elapsed() > PATIENCE || self.threads.iter().any(JoinHandle::is_finished);
            assert!(!fails, "{:?} are done in {:?}\n{}", self.turns, since.elapsed(), words());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends them.
    pub fn finish(self) -> Vec<T> {
        self.turns.iter().for_each(|turns| turns.stop.store(true, Ordering::Relaxed));
        let end = |thread: JoinHandle<T>| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        self.threads.into_iter().map(end).collect()
    }
}
