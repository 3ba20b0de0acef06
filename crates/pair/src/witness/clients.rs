//! Who is connected to a witness, and who goes first when there are too many.
//!
//! The rule it keeps: never more than so many, each with one thread and one descriptor; and nobody who asks at once is kept out by those
//! who do not.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A client that is told to go needs no longer than this.
const LEAVE_TIME_MAX: Duration = Duration::from_millis(50);

/// One place in so many is kept for those who are still to leave.
const FREE_PART: usize = 4;

/// Everybody who is connected.
#[derive(Debug)]
pub(super) struct Clients {
    max: usize,
    here: Mutex<Here>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct Here {
    /// In the order in which they came.
    clients: BTreeMap<u64, Client>,
    came: u64,
}

#[derive(Debug)]
struct Client {
    stream: Arc<TcpStream>,
    /// It has asked and is not answered yet.
    answering: bool,
    /// It was told to go.
    leaving: bool,
}

/// One client's place; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    all: Arc<Clients>,
    number: u64,
    stream: Arc<TcpStream>,
}

impl Clients {
    pub fn new(max: usize) -> Self {
        Self { max, here: Mutex::default(), left: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets one in. Whoever has been here longest without asking has to go when places become few, so that some are free already for those
    /// who come at once; `None` if nobody leaves in time.
    pub fn enter(all: &Arc<Self>, stream: TcpStream) -> Option<Place> {
        let mut here = all.lock();
        let staying = here.clients.values().filter(|c| !c.leaving).count();
        if staying >= all.max - all.max / FREE_PART {
            let idle = here.clients.values_mut().find(|c| !c.answering && !c.leaving);
            idle.into_iter().for_each(Client::send_away);
        }
        if here.clients.len() >= all.max {
            let full = |here: &mut Here| here.clients.len() >= all.max;
            let waited = all.left.wait_timeout_while(here, LEAVE_TIME_MAX, full);
            here = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if here.clients.len() >= all.max {
            return None;
        }
        let (number, stream) = (here.came, Arc::new(stream));
        here.came += 1;
        here.clients.insert(number, Client { stream: Arc::clone(&stream), answering: false, leaving: false });
        drop(here);
        Some(Place { all: Arc::clone(all), number, stream })
    }

    /// Everybody goes; returns when nobody is here. Nobody may enter any more.
    pub fn close_all(&self) {
        let mut here = self.lock();
        here.clients.values_mut().for_each(Client::send_away);
        while !here.clients.is_empty() {
            here = self.left.wait(here).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Client {
    fn send_away(&mut self) {
        self.leaving = true;
        // If it is closed already so much the better.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Place {
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub fn is_answering(&self, answering: bool) {
        if let Some(client) = self.all.lock().clients.get_mut(&self.number) {
            client.answering = answering;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.lock().clients.remove(&self.number);
        self.all.left.notify_all();
    }
}
