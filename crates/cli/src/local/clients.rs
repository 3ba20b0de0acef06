//! The clients: one thread each, one request in flight, a ledger of what they were told.
//!
//! The rule they keep: a request whose answer did not come is never sent again blindly; the client reconnects, asks what is there, and goes on from
//! that. What they leave out: judging, which is the ledger's.

use super::ledger::{Ledger, Wrong};
use super::resp::{Connection, Reply};
use crate::interrupt::interrupted;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Pause between two attempts to connect.
const RECONNECT_EVERY: Duration = Duration::from_millis(2);
/// Longest wait for an answer, or for somebody who listens.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);
const THREAD_STACK_BYTES: usize = 256 << 10;

/// How hard the clients drive the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// The next request as soon as the answer is there.
    Full,
    /// A pause before each request.
    Easy,
}

/// Pause of a client that goes easy.
const EASY_PAUSE: Duration = Duration::from_millis(25);

/// What the clients and the one who watches them share.
#[derive(Debug)]
struct Shared {
    port: u16,
    began: Instant,
    stop: AtomicBool,
    /// Do not even wait for the answer in flight.
    abandon: AtomicBool,
    easy: AtomicBool,
    in_flight: AtomicU64,
    acknowledged: AtomicU64,
    lost: AtomicU64,
    doubled: AtomicU64,
    views: Vec<View>,
    failure: Mutex<Option<String>>,
}

/// What is seen of one client. Times are microseconds since the beginning.
#[derive(Debug, Default)]
struct View {
    last_answer: AtomicU64,
    /// The longest time between two answers since it was last set to zero.
    longest_gap: AtomicU64,
}

/// Sums over all clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    pub acknowledged: u64,
    pub wrong: Wrong,
}

/// A moment, on the clients' clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Moment(u64);

/// Running clients. Dropping them ends them without waiting for answers.
#[derive(Debug)]
pub struct Clients {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Ledger>>,
}

impl Clients {
    /// Starts `count` clients of the server at `port` on this machine.
    pub fn start(port: u16, count: u32) -> Result<Self, String> {
        let shared = Arc::new(Shared {
            port,
            began: Instant::now(),
            stop: AtomicBool::new(false),
            abandon: AtomicBool::new(false),
            easy: AtomicBool::new(false),
            in_flight: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            doubled: AtomicU64::new(0),
            views: (0..count).map(|_| View::default()).collect(),
            failure: Mutex::new(None),
        });
        let mut clients = Self { shared, threads: Vec::new() };
        for client in 0..count {
            let shared = Arc::clone(&clients.shared);
            let work = move || drive(&shared, client);
            let named = thread::Builder::new().name(format!("client-{client}")).stack_size(THREAD_STACK_BYTES);
            clients
                .threads
                .push(named.spawn(work).map_err(|e| format!("no thread for a client: {e}; use fewer with --clients"))?);
        }
        Ok(clients)
    }

    pub fn pace(&self, pace: Pace) {
        self.shared.easy.store(pace == Pace::Easy, Ordering::SeqCst);
    }

    /// Requests sent and not answered.
    pub fn in_flight(&self) -> u64 {
        self.shared.in_flight.load(Ordering::SeqCst)
    }

    pub fn tally(&self) -> Tally {
        let load = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        let shared = &self.shared;
        Tally {
            acknowledged: load(&shared.acknowledged),
            wrong: Wrong { lost: load(&shared.lost), doubled: load(&shared.doubled) },
        }
    }

    /// Why a client gave up, if one did.
    pub fn failure(&self) -> Option<String> {
        self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the gaps so far.
    pub fn watch_gaps(&self) {
        for view in &self.shared.views {
            view.longest_gap.store(0, Ordering::SeqCst);
        }
    }

    /// This moment. An answer that a dying program gave may reach its client after the kill, so who waits for the survivor's waits for one since it was
    /// seen to be live.
    pub fn moment(&self) -> Moment {
        self.shared.now()
    }

    /// Has every client been answered since that moment?
    pub fn all_answered_since(&self, moment: Moment) -> bool {
        self.shared.views.iter().all(|view| Moment(view.last_answer.load(Ordering::SeqCst)) > moment)
    }

    /// The longest time that any client was without an answer since [`Self::watch_gaps`].
    pub fn longest_gap(&self) -> Duration {
        let gaps = self.shared.views.iter().map(|view| view.longest_gap.load(Ordering::SeqCst));
        Duration::from_micros(gaps.max().unwrap_or(0))
    }

    /// Lets every client finish what it does, and takes their ledgers.
    pub fn finish(mut self) -> Result<(Vec<Ledger>, Tally), String> {
        self.shared.stop.store(true, Ordering::SeqCst);
        let ledgers = self.threads.drain(..).map(|t| t.join().expect("a client does not panic")).collect();
        if interrupted() {
            return Err("interrupted".into());
        }
        self.failure().map_or_else(|| Ok((ledgers, self.tally())), Err)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.abandon.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn now(&self) -> Moment {
        // Never 0, which says that there was no answer yet.
        Moment(self.began.elapsed().as_micros() as u64 + 1)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || interrupted()
    }

    fn abandoned(&self) -> bool {
        self.abandon.load(Ordering::SeqCst) || interrupted()
    }

    fn found(&self, wrong: Wrong) {
        self.lost.fetch_add(wrong.lost, Ordering::SeqCst);
        self.doubled.fetch_add(wrong.doubled, Ordering::SeqCst);
    }

    fn answered(&self, client: u32) {
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
        let (view, now) = (&self.views[client as usize], self.now());
        let last = view.last_answer.swap(now.0, Ordering::SeqCst);
        if last > 0 {
            view.longest_gap.fetch_max(now.0 - last, Ordering::SeqCst);
        }
    }
}

/// Why a client stops where it is.
enum Break {
    /// The connection is gone: reconnect.
    Connection,
    /// No answer makes sense any more, or none is wanted.
    Over(Option<String>),
}

fn drive(shared: &Shared, client: u32) -> Ledger {
    let mut ledger = Ledger::new(client);
    let mut connection = None;
    let mut known = false;
    let over = loop {
        let result = match &mut connection {
            None => connect(shared).map(|open| connection = Some(open)),
            Some(open) if !known => know(shared, &mut ledger, open).map(|()| known = true),
            Some(_) if shared.stopped() => break None,
            Some(open) => operate(shared, client, &mut ledger, open),
        };
        match result {
            Ok(()) => {}
            Err(Break::Connection) => (connection, known) = (None, false),
            Err(Break::Over(why)) => break why,
        }
    };
    if let Some(why) = over {
        shared.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(format!("client {client}: {why}"));
    }
    ledger
}

fn connect(shared: &Shared) -> Result<Connection, Break> {
    let since = Instant::now();
    loop {
        if shared.abandoned() {
            return Err(Break::Over(None));
        }
        match Connection::open(shared.port, ANSWER_WAIT_MAX) {
            Ok(connection) => return Ok(connection),
            Err(e) if since.elapsed() > ANSWER_WAIT_MAX => {
                return Err(Break::Over(Some(format!(
                    "nobody listens at port {} after {ANSWER_WAIT_MAX:?}: {e}",
                    shared.port
                ))));
            }
            Err(_) => thread::sleep(RECONNECT_EVERY),
        }
    }
}

/// After a reconnect: what is there of that which is in doubt?
fn know(shared: &Shared, ledger: &mut Ledger, connection: &mut Connection) -> Result<(), Break> {
    let mut found = Vec::new();
    for (item, name) in ledger.doubtful() {
        found.push((item, ask(shared, connection, &["GET", &name])?));
    }
    for (item, reply) in found {
        shared.found(ledger.settle(item, &reply).map_err(|why| Break::Over(Some(why)))?);
    }
    ledger.settled();
    Ok(())
}

fn operate(shared: &Shared, client: u32, ledger: &mut Ledger, connection: &mut Connection) -> Result<(), Break> {
    if shared.easy.load(Ordering::SeqCst) {
        thread::sleep(EASY_PAUSE);
    }
    let operation = ledger.next();
    let request = ledger.request(operation);
    let request: Vec<&str> = request.iter().map(String::as_str).collect();
    let reply = ask(shared, connection, &request)?;
    shared.found(ledger.answered(&reply).map_err(|why| Break::Over(Some(why)))?);
    shared.answered(client);
    Ok(())
}

fn ask(shared: &Shared, connection: &mut Connection, request: &[&str]) -> Result<Reply, Break> {
    shared.in_flight.fetch_add(1, Ordering::SeqCst);
    let reply = connection.ask(request, || shared.abandoned());
    shared.in_flight.fetch_sub(1, Ordering::SeqCst);
    reply.map_err(|e| match e.kind() {
        _ if shared.abandoned() => Break::Over(None),
        // The server is alive and silent: the request may still be carried out later, so nothing can be concluded from asking again.
        io::ErrorKind::TimedOut => {
            Break::Over(Some(format!("no answer to {} within {ANSWER_WAIT_MAX:?}", request.join(" "))))
        }
        io::ErrorKind::InvalidData => Break::Over(Some(e.to_string())),
        _ => Break::Connection,
    })
}

/// Asks for every value of every ledger and says how many there were and what was wrong.
pub fn compare(port: u16, ledgers: &mut [Ledger]) -> Result<(u64, Wrong), String> {
    let mut connection = Connection::open(port, ANSWER_WAIT_MAX).map_err(|e| format!("port {port}: {e}"))?;
    let (mut values, mut wrong) = (0, Wrong::default());
    for ledger in ledgers {
        let names: Vec<_> = ledger.names().collect();
        for (item, name) in names {
            let reply = connection.ask(&["GET", &name], interrupted).map_err(|e| format!("GET {name}: {e}"))?;
            values += 1;
            wrong += ledger.settle(item, &reply)?;
        }
    }
    Ok((values, wrong))
}

/// Removes what another run may have left in a program that keeps its data.
pub fn clear(port: u16, clients: u32) -> Result<(), String> {
    let mut connection = Connection::open(port, ANSWER_WAIT_MAX).map_err(|e| format!("port {port}: {e}"))?;
    for client in 0..clients {
        for (_, name) in Ledger::new(client).names() {
            match connection.ask(&["DEL", &name], interrupted).map_err(|e| format!("DEL {name}: {e}"))? {
                Reply::Integer(_) => {}
                other => {
                    return Err(format!("DEL was answered {other:?}: the program must know SET, GET, INCR and DEL"));
                }
            }
        }
    }
    Ok(())
}
