//! The real world: what a live replica touches and a backup does not.
//!
//! Everything that comes in becomes a logged input; everything that goes out was committed before it gets here.

mod host;
mod signals;

pub use host::cpu_features;
pub use signals::take_over_signals;

use crate::kernel::{Kernel, Nanos, ObjectId, decode, encode, input};
use crate::object::stdio;
use gapless_log::{Error, Kind, Outbox, Reader, Result, Varint, Waker};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// Something the group says to the outside, on the channel of one object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Output {
    /// Bytes of a stream.
    Bytes(Vec<u8>),
    /// shutdown(SHUT_WR): no more bytes follow.
    Shutdown,
    /// The last descriptor is closed.
    Close,
    /// Connect to this address.
    Connect(Vec<u8>),
    /// A datagram to this address (empty: the connected one).
    Datagram(Vec<u8>, Vec<u8>),
    /// The program has ended with this exit status.
    Exit(i32),
}

/// Bytes of standard input read at once.
const STDIN_BYTES_MAX: usize = 64 << 10;

/// The outside as a live replica has it.
#[derive(Debug)]
pub struct World {
    /// Replica's monotonic clock minus the host's.
    clock_offset: i64,
    signals: Option<signals::Signals>,
    /// Bytes taken by the world and not yet reported to the model.
    drained: BTreeMap<ObjectId, u64>,
    /// Streams found broken and not yet reported.
    broken: Vec<(ObjectId, i32)>,
}

/// Bytes of an outside stream that the world takes before it says so, if nobody waits for room.
const DRAINED_BYTES_MAX: u64 = stdio::CAPACITY / 4;

impl World {
    /// A world whose clock goes on from `now`.
    pub fn new(now: Nanos) -> Result<Self> {
        let clock_offset = if now == 0 { 0 } else { now as i64 - host::monotonic() as i64 };
        Ok(Self {
            clock_offset,
            signals: Some(signals::Signals::open()?),
            drained: BTreeMap::new(),
            broken: Vec::new(),
        })
    }

    /// Stands in while the real one is lent out.
    pub(crate) fn placeholder() -> Self {
        Self { clock_offset: 0, signals: None, drained: BTreeMap::new(), broken: Vec::new() }
    }

    /// The replica's monotonic clock now.
    pub fn clock(&self) -> Nanos {
        (host::monotonic() as i64).saturating_add(self.clock_offset).max(0) as u64
    }

    /// Everything that has come in, to be logged and applied in this order.
    pub fn poll(&mut self, k: &Kernel) -> Result<Vec<(Kind, Vec<u8>)>> {
        let mut inputs = Vec::new();
        if let Some(signals) = &mut self.signals {
            while let Some(number) = signals.take() {
                inputs.push((input::SIGNAL, encode(&number)));
            }
        }
        for (id, error) in self.broken.drain(..) {
            inputs.push((input::CLOSED, encode(&(id, error))));
        }
        let full = |id: &ObjectId| k.objects.stdio.get(id).is_some_and(|s| s.queued() > stdio::CAPACITY / 2);
        let report: Vec<ObjectId> =
            self.drained.iter().filter(|(id, n)| **n >= DRAINED_BYTES_MAX || full(id)).map(|(&id, _)| id).collect();
        for id in report {
            let n = self.drained.remove(&id).expect("listed");
            let mut body = Vec::new();
            body.put_varint(id.0);
            body.put_varint(n);
            inputs.push((input::DRAINED, body));
        }
        for id in wanted_stdin(k) {
            if host::readable(0)
                && let Some(bytes) = host::read_stdin(STDIN_BYTES_MAX)
            {
                let mut body = Vec::new();
                body.put_varint(id.0);
                body.extend_from_slice(&bytes);
                inputs.push((input::ARRIVED, body));
            }
        }
        Ok(inputs)
    }

    /// A signal from outside waits.
    pub fn has_signal(&self) -> bool {
        self.signals.as_ref().is_some_and(|s| host::readable(s.as_fd().as_raw_fd()))
    }

    /// Something waits to be taken.
    pub fn has_input(&self) -> bool {
        self.has_signal()
    }

    /// Sleeps until something comes in, the waker is woken, or the time is over.
    pub fn wait(&mut self, k: &Kernel, waker: &Waker, at_most: Duration) -> Result<()> {
        let mut fds = vec![waker.as_fd().as_raw_fd()];
        if let Some(signals) = &self.signals {
            fds.push(signals.as_fd().as_raw_fd());
        }
        if wanted_stdin(k).next().is_some() {
            fds.push(0);
        }
        host::sleep(&fds, at_most);
        Ok(())
    }

    /// Binds a socket of the program's to an outside address; answers the address it has now, or an errno.
    pub fn bind(
        &mut self,
        _socket: &crate::net::Socket,
        _id: ObjectId,
        _wanted: std::net::SocketAddr,
    ) -> Result<std::net::SocketAddr, i32> {
        Err(libc::EADDRNOTAVAIL)
    }

    /// Lets a bound socket listen.
    pub fn listen(&mut self, _id: ObjectId) -> Result<(), i32> {
        Err(libc::EOPNOTSUPP)
    }

    /// Carries out a committed output.
    pub fn emit(&mut self, k: &Kernel, output: gapless_log::Output) -> Result<()> {
        let id = ObjectId(output.channel.0);
        let said: Output = decode(k.position, input::ARRIVED, &output.bytes)?;
        if let (Some(stdio), Output::Bytes(bytes)) = (k.objects.stdio.get(&id), &said) {
            match host::write_all(stdio.number, bytes) {
                Ok(()) => *self.drained.entry(id).or_default() += bytes.len() as u64,
                Err(e) => self.broken.push((id, e.raw_os_error().unwrap_or(libc::EIO))),
            }
        }
        Ok(())
    }

    /// Does everything that can fail before the arbiter is asked.
    pub fn prepare(&mut self, _k: &Kernel) -> Result<()> {
        Ok(())
    }

    /// What changes for the model by going live here: inputs to log.
    pub fn go_live(&mut self, _k: &Kernel, _outbox: &Outbox) -> Result<Vec<(Kind, Vec<u8>)>> {
        Ok(Vec::new())
    }
}

/// The standard input whose bytes somebody waits for.
fn wanted_stdin(k: &Kernel) -> impl Iterator<Item = ObjectId> + '_ {
    k.objects.stdio.iter().filter_map(|(&id, s)| {
        let waited = k.waiters.contains_key(&crate::kernel::Key::Object(id)) || k.objects.watchers.contains_key(&id);
        (s.number == 0 && s.wants_input() && waited).then_some(id)
    })
}

/// Applies an input of the outside to the model.
pub fn apply(k: &mut Kernel, kind: Kind, body: &[u8]) -> Result<()> {
    let at = k.position;
    let bad = || Error::Refused(format!("input '{}' at position {at} does not decode", input::name(kind)));
    match kind {
        input::SIGNAL => {
            let number: i32 = decode(at, kind, body)?;
            if !(1..=64).contains(&number) {
                return Err(bad());
            }
            let info = crate::signal::SigInfo::new(number, libc::SI_USER);
            let first = k.first_process;
            let target = if k.processes.get(&first).is_some_and(|p| p.zombie.is_none()) {
                Some(first)
            } else {
                k.processes.values().find(|p| p.zombie.is_none()).map(|p| p.pid)
            };
            if let Some(pid) = target {
                crate::signal::send_process(k, pid, crate::signal::Signal { number, info });
            }
        }
        input::ARRIVED => {
            let mut r = Reader::new(body);
            let id = ObjectId(r.varint().ok_or_else(bad)?);
            let bytes = r.bytes(r.remaining()).ok_or_else(bad)?;
            stdio::arrived(k, id, bytes);
        }
        input::DRAINED => {
            let mut r = Reader::new(body);
            let (id, n) = (r.varint().ok_or_else(bad)?, r.varint().ok_or_else(bad)?);
            stdio::drained(k, ObjectId(id), n);
        }
        input::CLOSED => {
            let (id, error): (ObjectId, i32) = decode(at, kind, body)?;
            stdio::closed(k, id, error);
        }
        _ => return Err(bad()),
    }
    Ok(())
}

/// An entry of this level for a person, in one line.
pub fn describe(entry: &gapless_log::Entry) -> Option<String> {
    let body = &entry.body;
    match entry.kind {
        input::CLOCK | input::CLOCK_READ => {
            let nanos = u64::from_le_bytes(body.as_slice().try_into().ok()?);
            Some(format!("{}.{:09} s", nanos / 1_000_000_000, nanos % 1_000_000_000))
        }
        _ => None,
    }
}
