//! The witness: a third, small process that holds the registers of many pairs.
//!
//! The rule it keeps: an answer leaves only when what it says is durable. Each register is a file of its own in `--log DIR`, replaced whole; so
//! kill -9 at any moment leaves the old value or the new one. After an error behind the moment of no return (the rename), a register
//! answers nothing until the witness is started again and has read its disk: it does not know itself what is durable.
//!
//! It trusts nobody: requests and registers have a greatest length, connections, pairs and the time of a request have limits. It does not
//! authenticate; listen on a network that only the pairs reach.

pub mod protocol;

use crate::Expect;
use crate::arbiter::cell::{self, Cell};
use crate::arbiter::{is_pair_name, lock_file};
use protocol::{Answer, Request};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most connections at a time; further ones are closed at once.
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
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let acceptor = std::thread::Builder::new()
            .name("witness-accept".into())
            .spawn(move || accept_all(&listener, &registers, &stopped))
            .map_err(|e| format!("cannot start a thread: {e}"))?;
        Ok(Self { address, stop, acceptor: Some(acceptor) })
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
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept_all(listener: &TcpListener, registers: &Arc<Registers>, stop: &AtomicBool) {
    const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);
    const STACK_BYTES: usize = 256 << 10;
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let accepted = listener.accept();
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok((stream, _)) = accepted else {
            std::thread::sleep(PAUSE_AFTER_FAILURE);
            continue;
        };
        if open.load(Ordering::SeqCst) >= CONNECTIONS_MAX {
            continue;
        }
        open.fetch_add(1, Ordering::SeqCst);
        let place = Place(Arc::clone(&open));
        let registers = Arc::clone(registers);
        let thread = std::thread::Builder::new().name("witness-client".into()).stack_size(STACK_BYTES);
        let _ = thread.spawn(move || {
            let _place = place;
            serve(&stream, &registers);
        });
    }
}

/// Counts one connection as long as it lives.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Answers requests of one client until it stops asking.
fn serve(stream: &TcpStream, registers: &Registers) {
    let _ = stream.set_nodelay(true);
    loop {
        let deadline = Instant::now() + REQUEST_TIME_MAX;
        let answer = match Request::read(stream, deadline) {
            Ok(request) => registers.answer(request),
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => Answer::Refused(e.to_string()),
            Err(_) => return,
        };
        let refused = matches!(answer, Answer::Refused(_));
        if answer.write(stream, Instant::now() + REQUEST_TIME_MAX).is_err() || refused {
            return;
        }
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
