//! How connections reach the shards that are live here.
//!
//! A node listens at one address for all its shards. Who comes says which one is meant, and is given to it, or told where it may be.

use crate::id::{Answer, Shard};
use crate::wire::{self, Hello, Until, VERSION, Welcome};
use gapless_log::Waker;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Who comes must say who it is within this time.
const HELLO_MAX: Duration = Duration::from_secs(2);
/// In so few bytes.
const HELLO_BYTES_MAX: usize = 64;
/// So many may be about to say it.
const STRANGERS_MAX: usize = 256;

/// What comes to a shard from other threads.
#[derive(Debug)]
pub(crate) enum Visitor {
    Client(TcpStream),
    Shard(TcpStream, Shard),
    /// A connection to another shard was made.
    Link(Shard, TcpStream),
    /// The outside has answered a question.
    Done(u64, Answer),
}

/// The way into one live shard.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    come: Sender<Visitor>,
    bell: Waker,
    open: Arc<AtomicBool>,
}

impl Door {
    pub fn enter(&self, visitor: Visitor) {
        // Nobody is there any more: a stream closes, an answer is asked for again elsewhere.
        if self.come.send(visitor).is_ok() {
            self.bell.wake();
        }
    }

    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    pub fn close(&self) {
        self.open.store(false, Ordering::Relaxed);
    }
}

/// The doors of all shards of a node; cheap to clone.
#[derive(Clone, Debug)]
pub struct Doors(Arc<Vec<Mutex<Option<Door>>>>);

impl Doors {
    /// Of a service with so many shards; none is live here yet.
    pub fn new(shards: u16) -> Self {
        Self(Arc::new((0..shards).map(|_| Mutex::default()).collect()))
    }

    /// How many shards the service has.
    pub fn shards(&self) -> u16 {
        self.0.len() as u16
    }

    fn slot(&self, shard: Shard) -> MutexGuard<'_, Option<Door>> {
        self.0[usize::from(shard.0)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn open(&self, shard: Shard, come: Sender<Visitor>, bell: Waker) -> Door {
        let door = Door { come, bell, open: Arc::new(AtomicBool::new(true)) };
        *self.slot(shard) = Some(door.clone());
        door
    }

    /// Those that are live here.
    pub fn live(&self) -> Vec<Shard> {
        (0..self.shards()).map(Shard).filter(|&shard| self.of(shard).is_some()).collect()
    }

    fn of(&self, shard: Shard) -> Option<Door> {
        self.slot(shard).clone().filter(Door::is_open)
    }
}

/// Listens for all shards of a node until it is dropped.
#[derive(Debug)]
pub struct Gatekeeper {
    listener: Arc<TcpListener>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Gatekeeper {
    /// `elsewhere` tells where a shard that is not live here may be.
    pub fn start(
        listener: TcpListener,
        doors: Doors,
        elsewhere: impl Fn(Shard) -> Option<String> + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let (listener, stop) = (Arc::new(listener), Arc::new(AtomicBool::new(false)));
        let (accepting, stopped, elsewhere) = (listener.clone(), stop.clone(), Arc::new(elsewhere));
        let strangers = Arc::new(AtomicUsize::new(0));
        let work = move || {
            for stream in accepting.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else {
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                };
                if strangers.load(Ordering::Relaxed) >= STRANGERS_MAX {
                    continue;
                }
                strangers.fetch_add(1, Ordering::Relaxed);
                let (doors, elsewhere, count) = (doors.clone(), elsewhere.clone(), strangers.clone());
                let greet = move || {
                    let _ = greet(stream, &doors, &*elsewhere);
                    count.fetch_sub(1, Ordering::Relaxed);
                };
                if std::thread::Builder::new().name("task-door".into()).spawn(greet).is_err() {
                    strangers.fetch_sub(1, Ordering::Relaxed);
                }
            }
        };
        let thread = std::thread::Builder::new().name("task-gate".into()).spawn(work)?;
        Ok(Self { listener, stop, thread: Some(thread) })
    }
}

impl Drop for Gatekeeper {
    fn drop(&mut self) {
        use std::os::fd::AsRawFd;
        self.stop.store(true, Ordering::SeqCst);
        // SAFETY: no pointers; the descriptor is this listener's. It ends the accept that waits.
        unsafe { libc::shutdown(self.listener.as_raw_fd(), libc::SHUT_RDWR) };
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn greet(stream: TcpStream, doors: &Doors, elsewhere: &dyn Fn(Shard) -> Option<String>) -> std::io::Result<()> {
    stream.set_write_timeout(Some(HELLO_MAX))?;
    stream.set_nodelay(true)?;
    let deadline = Instant::now() + HELLO_MAX;
    let hello: Hello = wire::receive_short(Until { stream: &stream, deadline }, HELLO_BYTES_MAX)?;
    let shards = doors.shards();
    let refusal = if hello.version != VERSION {
        Some(format!("version {} is spoken there and {VERSION} here; use the same build", hello.version))
    } else if hello.shards != 0 && hello.shards != shards {
        Some(format!("the service has {shards} shards, not {}", hello.shards))
    } else if hello.shard.0 >= shards || hello.from.is_some_and(|from| from.0 >= shards) {
        Some(format!("the service has {shards} shards, and no shard {}", hello.shard))
    } else {
        None
    };
    if let Some(why) = refusal {
        return wire::send(&Welcome::Refused(why), &stream);
    }
    match doors.of(hello.shard) {
        Some(door) => {
            wire::send(&Welcome::Here { shards }, &stream)?;
            door.enter(match hello.from {
                Some(from) => Visitor::Shard(stream, from),
                None => Visitor::Client(stream),
            });
            Ok(())
        }
        None => wire::send(&Welcome::Elsewhere { shards, hint: elsewhere(hello.shard) }, &stream),
    }
}
