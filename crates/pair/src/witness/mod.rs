//! The witness: a third, small process that holds the registers of many pairs.
//!
//! The rule it keeps: an answer leaves only when what it says is durable. Each register is a file of its own in `--log DIR`, replaced whole; so
//! kill -9 at any moment leaves the old value or the new one. After an error behind the moment of no return (the rename), a register
//! answers nothing until the witness is started again and has read its disk: it does not know itself what is durable.
//!
//! It trusts nobody: requests and registers have a greatest length, connections, pairs and the time of a request have limits, and whoever
//! connects and is slow to ask makes room for others. It does not authenticate; listen on a network that only the pairs reach.

mod clients;
pub mod protocol;

use crate::Expect;
use crate::arbiter::cell::{self, Cell};
use crate::arbiter::{is_pair_name, lock_file};
use clients::{Clients, Place};
use protocol::{Answer, Request};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most connections at a time (fewer if the system allows this process few descriptors); for one more, the one that has been slow to ask
/// for longest is closed.
pub const CONNECTIONS_MAX: usize = 256;
/// Most registers.
pub const PAIRS_MAX: usize = 10_000;
/// A client that has not sent its whole request by then is dropped.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(2);
const EXTENSION: &str = "register";

/// A running witness. Dropping it stops it.
#[derive(Debug)]
pub struct Witness {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    clients: Arc<Clients>,
    stop: Arc<AtomicBool>,
    acceptor: Option<std::thread::JoinHandle<()>>,
}

/// One register in memory.
#[derive(Debug)]
enum Held {
    Known(Option<Cell>),
    /// A write failed when it may already have happened.
    Unsure(String),
}

#[derive(Debug)]
struct Registers {
    directory: PathBuf,
    held: Mutex<BTreeMap<String, Arc<Mutex<Held>>>>,
    /// Held as long as the witness lives, so that two never serve one directory.
    _lock: File,
}

impl Witness {
    /// Reads every register of `directory` (made if absent) and serves them at `listen`.
    pub fn start(listen: &str, directory: &Path) -> Result<Self, String> {
        // The address first: it fails without leaving anything behind. Who connects meanwhile waits.
        let listener = TcpListener::bind(listen).map_err(|e| {
            let advice = match e.kind() {
                std::io::ErrorKind::AddrInUse => "; is another witness running there?",
                _ => "; name an address of this machine with --listen",
            };
            format!("cannot listen at {listen}: {e}{advice}")
        })?;
        let registers = Arc::new(Registers::open(directory)?);
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        let (listener, clients) = (Arc::new(listener), Arc::new(Clients::new(clients_max())));
        let stop = Arc::new(AtomicBool::new(false));
        let (accepting, served, stopped) = (Arc::clone(&listener), Arc::clone(&clients), Arc::clone(&stop));
        let acceptor = std::thread::Builder::new()
            .name("witness-accept".into())
            .spawn(move || accept_all(&accepting, &registers, &served, &stopped))
            .map_err(|e| format!("cannot start a thread: {e}"))?;
        Ok(Self { address, listener, clients, stop, acceptor: Some(acceptor) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the process ends.
    pub fn wait(mut self) {
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // SAFETY: no pointers; the descriptor is this listener's. It ends the accept that waits, without a descriptor for a connection.
        unsafe { libc::shutdown(self.listener.as_raw_fd(), libc::SHUT_RDWR) };
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        // A put that is being written is finished; then nothing uses the directory any more.
        self.clients.close_all();
    }
}

/// Descriptors are needed for registers too.
fn clients_max() -> usize {
    const KEPT_FREE: u64 = 64;
    const AT_LEAST: usize = 16;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return AT_LEAST;
    }
    usize::try_from(limit.rlim_cur.saturating_sub(KEPT_FREE)).unwrap_or(usize::MAX).clamp(AT_LEAST, CONNECTIONS_MAX)
}

fn accept_all(listener: &TcpListener, registers: &Arc<Registers>, clients: &Arc<Clients>, stop: &AtomicBool) {
    const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);
    const STACK_BYTES: usize = 256 << 10;
    loop {
        let accepted = listener.accept();
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok((stream, _)) = accepted else {
            std::thread::sleep(PAUSE_AFTER_FAILURE);
            continue;
        };
        let Some(place) = Clients::enter(clients, stream) else { continue };
        let registers = Arc::clone(registers);
        let thread = std::thread::Builder::new().name("witness-client".into()).stack_size(STACK_BYTES);
        // If there is no thread for it, it is closed.
        let _ = thread.spawn(move || {
            // The registers go before the place: whoever waits until every place is empty knows that nobody uses them.
            let place = place;
            serve(&place, &registers);
            drop(registers);
        });
    }
}

/// Answers requests of one client until it stops asking.
fn serve(place: &Place, registers: &Registers) {
    let stream = place.stream();
    let _ = stream.set_nodelay(true);
    loop {
        let deadline = Instant::now() + REQUEST_TIME_MAX;
        let request = Request::read(stream, deadline);
        place.is_answering(true);
        let answer = match request {
            Ok(request) => registers.answer(request),
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => Answer::Refused(e.to_string()),
            Err(_) => return,
        };
        let refused = matches!(answer, Answer::Refused(_));
        if answer.write(stream, Instant::now() + REQUEST_TIME_MAX).is_err() || refused {
            return;
        }
        place.is_answering(false);
    }
}

impl Registers {
    fn open(directory: &Path) -> Result<Self, String> {
        let failed = |e| format!("cannot use {} for registers: {e}", directory.display());
        fs::create_dir_all(directory).map_err(failed)?;
        let lock = lock_file(&directory.join("lock"), Duration::from_millis(500))
            .map_err(|e| format!("{e}; is another witness running on {}?", directory.display()))?;
        let mut held = BTreeMap::new();
        for file in fs::read_dir(directory).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            let name = path.file_stem().and_then(|n| n.to_str()).filter(|n| is_pair_name(n));
            let (Some(name), true) = (name, path.extension().is_some_and(|e| e == EXTENSION)) else { continue };
            let cell = cell::load(&path).map_err(|e| e.to_string())?;
            held.insert(name.to_owned(), Arc::new(Mutex::new(Held::Known(cell))));
        }
        Ok(Self { directory: directory.to_owned(), held: Mutex::new(held), _lock: lock })
    }

    fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Read { pair } => match self.find(&pair, false) {
                Ok(None) => Answer::Value(None),
                Ok(Some(held)) => match &*held.lock().unwrap_or_else(PoisonError::into_inner) {
                    Held::Known(cell) => Answer::Value(cell.clone()),
                    Held::Unsure(why) => Answer::Refused(why.clone()),
                },
                Err(why) => Answer::Refused(why),
            },
            Request::Put { pair, expect, new } => match self.find(&pair, true) {
                Ok(held) => self.put(&pair, &held.expect("made if absent"), expect, new),
                Err(why) => Answer::Refused(why),
            },
        }
    }

    fn find(&self, pair: &str, make: bool) -> Result<Option<Arc<Mutex<Held>>>, String> {
        if !is_pair_name(pair) {
            return Err(format!("{pair:?} is not a name of a pair"));
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = held.get(pair) {
            return Ok(Some(Arc::clone(found)));
        }
        if !make {
            return Ok(None);
        }
        if held.len() >= PAIRS_MAX {
            return Err(format!("this witness holds {PAIRS_MAX} registers already; start another one"));
        }
        let new = Arc::new(Mutex::new(Held::Known(None)));
        held.insert(pair.to_owned(), Arc::clone(&new));
        Ok(Some(new))
    }

    fn put(&self, pair: &str, held: &Mutex<Held>, expect: Expect, new: Cell) -> Answer {
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = match &*held {
            Held::Known(cell) => cell,
            Held::Unsure(why) => return Answer::Refused(why.clone()),
        };
        if !Cell::is_expected(standing.as_ref(), expect) {
            return Answer::Lost(standing.clone());
        }
        let before = standing.as_ref().map_or(0, |s| s.v);
        if Some(new.v) != before.checked_add(1) {
            return Answer::Refused(format!("a put over version {before} cannot have version {}", new.v));
        }
        let mut renamed = false;
        let path = self.directory.join(format!("{pair}.{EXTENSION}"));
        let stored = cell::store_stopping(&path, &new, &mut |step| {
            renamed |= matches!(step, cell::Step::Synced);
            Ok(())
        });
        match stored {
            Ok(()) => {
                *held = Held::Known(Some(new));
                Answer::Won
            }
            Err(e) => {
                if renamed {
                    *held = Held::Unsure(format!("{e}; start the witness again, it then reads what its disk holds"));
                }
                Answer::Refused(e.to_string())
            }
        }
    }
}
