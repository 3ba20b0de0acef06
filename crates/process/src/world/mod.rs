//! The real world: what a live replica touches and a backup does not.
//!
//! Everything that comes in becomes a logged input; everything that goes out was committed before it gets here.

mod describe;
mod host;
mod outside;
mod signals;
mod sock;
mod stdout;

pub use describe::describe;
pub use host::cpu_features;
pub use signals::{signals_are_for_the_node, signals_are_for_the_program, take_over_signals};

use crate::kernel::{Kernel, Nanos, ObjectId, decode, encode, input};
use crate::net::{self, SEND_BYTES_MAX, Socket};
use crate::object::stdio;
use crate::tracee::lane::Counter;
use crate::tracee::read_counter;
use gapless_log::{Channel, Error, Kind, Outbox, Reader, Unfinished, Varint, Waker};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

/// Of this module: mostly the log's errors, sometimes an errno.
type Result<T, E = Error> = std::result::Result<T, E>;

/// Something the group says to the outside, on the channel of one object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Output {
    /// Bytes of a stream.
    Bytes(Vec<u8>),
    /// shutdown(SHUT_WR): no more bytes follow.
    Shutdown,
    /// The last descriptor is closed.
    Close,
    /// The last descriptor is closed with SO_LINGER 0: the peer sees a reset.
    Reset,
    /// Connect to this address.
    Connect(Vec<u8>),
    /// A datagram to this address (empty: the connected one).
    Datagram(Vec<u8>, Vec<u8>),
    /// The program has ended with this exit status.
    Exit(i32),
}

impl Output {
    /// Encodes [`Output::Bytes`], which is most of what is ever said, without a detour.
    pub fn encode_bytes(bytes: &[u8]) -> Vec<u8> {
        let mut raw = Vec::with_capacity(bytes.len() + 6);
        raw.push(0);
        raw.put_varint(bytes.len() as u64);
        raw.extend_from_slice(bytes);
        raw
    }
}

/// What an output of the outbox says.
fn said(raw: &[u8]) -> Option<Output> {
    match bytes_of(raw) {
        Some(bytes) => Some(Output::Bytes(bytes.to_vec())),
        None => postcard::from_bytes(raw).ok(),
    }
}

/// The bytes of an encoded [`Output::Bytes`].
fn bytes_of(raw: &[u8]) -> Option<&[u8]> {
    let mut r = Reader::new(raw.strip_prefix(&[0])?);
    let len = usize::try_from(r.varint()?).ok()?;
    r.bytes(len)
}

/// Bytes of standard input read at once.
const STDIN_BYTES_MAX: usize = 64 << 10;

/// The outside as a live replica has it.
#[derive(Debug)]
pub struct World {
    /// Replica's monotonic clock minus the host's.
    clock_offset: i64,
    counter_rate: host::CounterRate,
    signals: Option<signals::Signals>,
    outside: Option<outside::Outside>,
    /// Standard streams with bytes that could not be written yet.
    stdout: BTreeMap<ObjectId, stdout::Stdout>,
    /// Those that did not take all at once, until the model has heard that they have.
    slow: BTreeSet<ObjectId>,
    /// Bytes taken by the world and not yet reported to the model.
    drained: BTreeMap<ObjectId, u64>,
    /// Streams found broken and not yet reported.
    broken: Vec<(ObjectId, i32)>,
    streams: Streams,
    /// Directories of the host that the program goes through.
    pub listings: crate::fs::Listings,
}

/// What the program has as standard streams.
#[derive(Clone, Debug, Default)]
pub enum Streams {
    /// The supervisor's own.
    #[default]
    Own,
    /// Other descriptors, in the order of 0, 1 and 2.
    Given(Arc<[OwnedFd; 3]>),
}

impl Streams {
    /// The descriptor behind the standard stream with this number.
    fn fd(&self, number: i32) -> RawFd {
        match self {
            Self::Own => number,
            Self::Given(fds) => fds[number as usize].as_raw_fd(),
        }
    }
}

/// Bytes of an outside stream that the world takes before it says so, if nobody waits for room.
const DRAINED_BYTES_MAX: u64 = stdio::CAPACITY / 4;

impl World {
    /// A world whose clock goes on from `now`, with these standard streams.
    pub fn new(now: Nanos, streams: Streams) -> Result<Self> {
        host::raise_file_limit();
        let clock_offset = if now == 0 { 0 } else { now as i64 - host::monotonic() as i64 };
        Ok(Self {
            clock_offset,
            counter_rate: host::CounterRate::of_this_host(),
            signals: Some(signals::Signals::open()?),
            outside: Some(outside::Outside::new()?),
            streams,
            ..Self::placeholder()
        })
    }

    /// Stands in while the real one is lent out.
    pub(crate) fn placeholder() -> Self {
        Self {
            clock_offset: 0,
            counter_rate: host::CounterRate::default(),
            signals: None,
            outside: None,
            stdout: BTreeMap::new(),
            slow: BTreeSet::new(),
            drained: BTreeMap::new(),
            broken: Vec::new(),
            streams: Streams::Own,
            listings: Default::default(),
        }
    }

    fn outside(&mut self) -> &mut outside::Outside {
        self.outside.as_mut().expect("only a stand-in has no outside")
    }

    /// What is added to the host's monotonic clock to make the replica's.
    pub fn clock_offset(&self) -> i64 {
        self.clock_offset
    }

    /// The replica's clock by the time stamp counter, if that is what the host's clock goes by.
    pub fn counter(&mut self) -> Option<Counter> {
        let (base, host) = self.counter_rate.look(read_counter, host::monotonic)?;
        let rate = self.counter_rate.measure(base, host)?;
        let nanos = (host as i64).saturating_add(self.clock_offset).max(0) as u64;
        Some(Counter { base, nanos, rate })
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
        if let Some(outside) = &mut self.outside {
            outside.poll(k, &mut inputs, &mut self.drained);
        }
        self.flush_stdout();
        for (id, error) in self.broken.drain(..) {
            inputs.push((input::CLOSED, encode(&(id, error))));
        }
        self.report_drained(k, &mut inputs);
        for id in wanted_stdin(k) {
            let stdin = self.streams.fd(0);
            if host::readable(stdin)
                && let Some(bytes) = host::read_stdin(stdin, STDIN_BYTES_MAX)
            {
                inputs.push((input::ARRIVED, outside::arrived(id, &bytes)));
            }
        }
        Ok(inputs)
    }

    /// The model hears of room late: when there is much of it, when its own side is more than half full (then somebody may wait), or when a slow
    /// standard stream has taken all (then a mark is to say so).
    fn report_drained(&mut self, k: &Kernel, inputs: &mut Vec<(Kind, Vec<u8>)>) {
        let full = |id: &ObjectId| match k.objects.stdio.get(id) {
            Some(stdio) => stdio.queued() > stdio::CAPACITY / 2 - 1,
            None => k.net.sockets.get(id).is_some_and(|s| s.queued > SEND_BYTES_MAX / 2 - 1),
        };
        let caught_up: Vec<ObjectId> = self.slow.extract_if(.., |id| !self.stdout.contains_key(id)).collect();
        self.drained.retain(|&id, &mut n| {
            if !k.objects.stdio.contains_key(&id) && !k.net.sockets.contains_key(&id) {
                return false;
            }
            let report = n >= DRAINED_BYTES_MAX || full(&id) || caught_up.contains(&id);
            if report {
                inputs.push((input::DRAINED, drained(id, n)));
            }
            !report
        });
    }

    fn flush_stdout(&mut self) {
        let (taken, broken) = (&mut self.drained, &mut self.broken);
        self.stdout.retain(|&id, stdout| match stdout.flush() {
            Ok(n) => {
                if n > 0 {
                    *taken.entry(id).or_default() += n;
                }
                !stdout.is_empty()
            }
            Err(error) => {
                broken.push((id, error));
                false
            }
        });
    }

    /// A signal from outside waits.
    pub fn has_signal(&self) -> bool {
        self.signals.as_ref().is_some_and(|s| host::readable(s.as_fd().as_raw_fd()))
    }

    /// Something waits to be taken.
    pub fn has_input(&self) -> bool {
        self.has_signal() || self.outside.as_ref().is_some_and(|o| o.has_found() || host::readable(o.fd().as_raw_fd()))
    }

    /// Sleeps until something comes in, the waker is woken, or the time is over.
    pub fn wait(&mut self, k: &Kernel, waker: &Waker, at_most: Duration) -> Result<()> {
        if self.outside.as_ref().is_some_and(outside::Outside::has_found) || !self.broken.is_empty() {
            return Ok(());
        }
        let mut fds = vec![(waker.as_fd().as_raw_fd(), libc::POLLIN)];
        fds.extend(self.signals.iter().map(|s| (s.as_fd().as_raw_fd(), libc::POLLIN)));
        fds.extend(self.outside.iter().map(|o| (o.fd().as_raw_fd(), libc::POLLIN)));
        fds.extend(self.stdout.values().map(|s| (s.fd(), libc::POLLOUT)));
        if wanted_stdin(k).next().is_some() {
            fds.push((self.streams.fd(0), libc::POLLIN));
        }
        host::sleep(&fds, at_most);
        Ok(())
    }

    /// Binds a socket of the program's to an outside address; answers the address it has now, or an errno.
    pub fn bind(&mut self, socket: &Socket, id: ObjectId, wanted: SocketAddr) -> Result<SocketAddr, i32> {
        self.outside().bind(socket, id, wanted)
    }

    /// Lets a bound socket listen.
    pub fn listen(&mut self, id: ObjectId) -> Result<(), i32> {
        self.outside().listen(id)
    }

    /// Gives a datagram socket a peer (`None`: any); nothing is sent by that. Answers the socket's own address then, or an errno.
    pub fn connect_datagram(&mut self, id: ObjectId, to: Option<SocketAddr>) -> Result<SocketAddr, i32> {
        self.outside().connect_datagram(id, to)
    }

    /// Tells the host of an option that the model has accepted.
    pub fn set_option(&mut self, id: ObjectId, level: i32, name: i32, value: &[u8]) {
        self.outside().set_option(id, level, name, value);
    }

    /// The model has closed a socket; `waiting` if outputs of it wait for commit. The close itself is an output.
    pub fn close_early(&mut self, id: ObjectId, waiting: bool) {
        self.outside().close_early(id, waiting);
    }

    /// Carries out a committed output.
    pub fn emit(&mut self, k: &Kernel, output: gapless_log::Output) -> Result<()> {
        let id = ObjectId(output.channel.0);
        if let (Some(bytes), Some(outside), false) =
            (bytes_of(&output.bytes), &mut self.outside, k.objects.stdio.contains_key(&id))
        {
            outside.write(id, bytes, &mut self.drained);
            return Ok(());
        }
        let Some(said) = said(&output.bytes) else {
            return Err(Error::Refused(format!("output {} of channel {} does not decode", output.number, id.0)));
        };
        match (k.objects.stdio.get(&id), said) {
            (Some(stdio), Output::Bytes(bytes)) => {
                let fd = self.streams.fd(stdio.number);
                let stdout = self.stdout.entry(id).or_insert_with(|| stdout::Stdout::new(stdio, fd));
                stdout.push(output.number, bytes);
                self.flush_stdout();
                self.slow.extend(self.stdout.keys());
            }
            (Some(_), _) => {}
            (None, said) => {
                if matches!(said, Output::Exit(_)) {
                    for stdout in std::mem::take(&mut self.stdout).into_values() {
                        stdout.finish();
                    }
                }
                let outside = self.outside.as_mut().expect("only a stand-in has no outside");
                outside.emit(k, id, said, &mut self.drained);
            }
        }
        Ok(())
    }

    /// The standard streams that have not taken all that was emitted, and from which output on.
    pub fn unfinished(&self) -> Unfinished {
        self.stdout.iter().filter_map(|(id, stdout)| Some((Channel(id.0), stdout.first()?))).collect()
    }

    /// Does everything that can fail before the arbiter is asked: binds the addresses of the model. May be called again.
    pub fn prepare(&mut self, k: &Kernel) -> Result<()> {
        self.outside().prepare(k)
    }

    /// What changes for the model by going live here: inputs to log.
    pub fn go_live(&mut self, k: &Kernel, outbox: &Outbox) -> Result<Vec<(Kind, Vec<u8>)>> {
        let mut inputs = self.outside().go_live(k, outbox)?;
        // What the dead side wrote and did not report has left, or is lost with it: only what is offered again takes room.
        for (&id, stdio) in &k.objects.stdio {
            let waiting: u64 = outbox
                .waiting()
                .filter(|o| o.channel.0 == id.0)
                .filter_map(|o| said(&o.bytes))
                .map(|said| if let Output::Bytes(bytes) = said { bytes.len() as u64 } else { 0 })
                .sum();
            if stdio.queued() > waiting {
                inputs.push((input::DRAINED, drained(id, stdio.queued() - waiting)));
            }
        }
        Ok(inputs)
    }
}

/// The body of a DRAINED input.
fn drained(id: ObjectId, n: u64) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_varint(id.0);
    body.put_varint(n);
    body
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
            if k.objects.stdio.contains_key(&id) {
                stdio::arrived(k, id, bytes);
            } else {
                net::arrived(k, id, bytes);
            }
        }
        input::DRAINED => {
            let mut r = Reader::new(body);
            let (id, n) = (ObjectId(r.varint().ok_or_else(bad)?), r.varint().ok_or_else(bad)?);
            stdio::drained(k, id, n);
            net::drained(k, id, n);
        }
        input::CLOSED => {
            let (id, error): (ObjectId, i32) = decode(at, kind, body)?;
            stdio::closed(k, id, error);
            net::closed(k, id, error);
        }
        input::ACCEPTED => net::accepted(k, decode(at, kind, body)?),
        input::CONNECTED => net::connected(k, decode(at, kind, body)?),
        input::DATAGRAM => net::datagram(k, decode(at, kind, body)?),
        _ => return Err(bad()),
    }
    Ok(())
}
