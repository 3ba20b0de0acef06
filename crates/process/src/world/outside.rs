//! The real sockets behind the model's: listeners, connections, datagram sockets.
//!
//! Rules: a stream is read only as far as the model's queue has room, so a peer that sends faster than the program reads is slowed by its
//! own TCP; bytes are written without blocking, and the model hears of room only when they are really gone; nothing that the
//! model has closed is dropped before its last bytes have left. At takeover listeners and datagram sockets are bound again; connections
//! are not rebuilt, they become ECONNRESET.

use super::sock::{Errno, Poller, Sock};
use super::{Output, said};
use crate::kernel::{Kernel, ObjectId, encode, input};
use crate::net::{Accepted, Addr, BACKLOG_MAX, Connected, Datagram, Peer, RECEIVE_BYTES_MAX, Socket, State};
use gapless_log::{Error, Kind, Outbox, Result, Varint};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Bytes taken from all sockets in one poll.
const POLL_BYTES_MAX: usize = 1 << 20;
/// Datagrams taken from one socket in one poll.
const DATAGRAMS_MAX: usize = 64;
/// Connections taken from one listener in one poll.
const ACCEPTS_MAX: usize = 64;
/// Longest wait for a dying group on this host to let go of an address.
const BIND_PATIENCE: Duration = Duration::from_secs(3);
/// Longest time without progress while the last bytes of a program that has ended are sent.
const FLUSH_PATIENCE: Duration = Duration::from_secs(10);

const IN: u32 = libc::EPOLLIN as u32;
const OUT: u32 = libc::EPOLLOUT as u32;
/// Watched for nothing but errors, each reported once.
const QUIET: u32 = libc::EPOLLET as u32;

/// What a real socket is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    /// Bound, and perhaps to be connected or to listen.
    Bound,
    Listener,
    Connecting,
    Stream,
    Datagram,
}

/// What happens when everything has been written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum After {
    Nothing,
    Shutdown,
    Close,
}

#[derive(Debug)]
struct Real {
    sock: Sock,
    role: Role,
    /// Events it is watched for; `None` if it never was.
    watched: Option<u32>,
    /// The end of the stream was read.
    ended: bool,
    /// Not to be read now: the model has no room.
    paused: bool,
    pending: VecDeque<Vec<u8>>,
    /// Bytes of the first pending buffer that are gone.
    gone: usize,
    after: After,
}

impl Real {
    fn new(sock: Sock, role: Role) -> Self {
        let pending = VecDeque::new();
        Self { sock, role, watched: None, ended: false, paused: false, pending, gone: 0, after: After::Nothing }
    }

    fn interest(&self) -> u32 {
        let writes = if self.pending.is_empty() { 0 } else { OUT };
        match self.role {
            Role::Bound => QUIET,
            Role::Connecting => OUT,
            _ if self.paused || self.ended => QUIET | writes,
            _ => IN | writes,
        }
    }

    /// Writes as much as goes at once and keeps the rest; answers how many bytes are gone.
    fn write(&mut self, bytes: &[u8]) -> std::result::Result<u64, Errno> {
        let mut gone = 0;
        while self.pending.is_empty() && gone < bytes.len() {
            match self.sock.send(&bytes[gone..]) {
                Ok(n) => gone += n,
                Err(libc::EAGAIN) => break,
                Err(libc::EINTR) => {}
                Err(e) => return Err(e),
            }
        }
        if gone < bytes.len() {
            self.pending.push_back(bytes[gone..].to_vec());
        }
        Ok(gone as u64)
    }

    /// Writes what is pending; answers how many bytes are gone.
    fn flush(&mut self) -> std::result::Result<u64, Errno> {
        let mut total = 0;
        while let Some(first) = self.pending.front() {
            match self.sock.send(&first[self.gone..]) {
                Ok(n) => {
                    total += n as u64;
                    self.gone += n;
                    if self.gone == first.len() {
                        self.pending.pop_front();
                        self.gone = 0;
                    }
                }
                Err(libc::EAGAIN) => break,
                Err(libc::EINTR) => {}
                Err(e) => return Err(e),
            }
        }
        if self.pending.is_empty() && self.after == After::Shutdown {
            self.sock.shut_write();
            self.after = After::Nothing;
        }
        Ok(total)
    }
}

/// All real sockets of a live replica.
#[derive(Debug)]
pub struct Outside {
    poller: Poller,
    reals: BTreeMap<ObjectId, Real>,
    /// Those that are not read because the model has no room.
    paused: BTreeSet<ObjectId>,
    /// Inputs that came up while outputs were carried out.
    found: Vec<(Kind, Vec<u8>)>,
    buffer: Vec<u8>,
    ready: Vec<(u64, u32)>,
}

/// Bytes that left, by object: reported to the model by and by.
pub type Drained = BTreeMap<ObjectId, u64>;

impl Outside {
    /// Without sockets.
    pub fn new() -> Result<Self> {
        let poller = Poller::new().map_err(|e| Error::io("open", "epoll", e))?;
        Ok(Self {
            poller,
            reals: BTreeMap::new(),
            paused: BTreeSet::new(),
            found: Vec::new(),
            buffer: vec![0; RECEIVE_BYTES_MAX],
            ready: Vec::new(),
        })
    }

    /// Readable when something happened to a socket.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }

    /// Inputs wait that no descriptor tells of.
    pub fn has_found(&self) -> bool {
        !self.found.is_empty()
    }

    fn watch(&mut self, id: ObjectId) {
        let Some(real) = self.reals.get_mut(&id) else { return };
        let events = real.interest();
        if real.watched != Some(events) {
            self.poller.watch(real.sock.as_fd(), id.0, events, real.watched.is_some());
            real.watched = Some(events);
        }
    }

    fn insert(&mut self, id: ObjectId, real: Real) {
        self.reals.insert(id, real);
        self.watch(id);
    }

    fn pause(&mut self, id: ObjectId, paused: bool) {
        let Some(real) = self.reals.get_mut(&id) else { return };
        real.paused = paused;
        if paused {
            self.paused.insert(id);
        } else {
            self.paused.remove(&id);
        }
        self.watch(id);
    }

    fn drop_real(&mut self, id: ObjectId) -> Option<Real> {
        self.paused.remove(&id);
        self.reals.remove(&id)
    }

    // ---- inputs ----

    /// Takes what has happened since the last time.
    pub fn poll(&mut self, k: &Kernel, inputs: &mut Vec<(Kind, Vec<u8>)>, drained: &mut Drained) {
        inputs.append(&mut self.found);
        let room_again: Vec<ObjectId> = self.paused.iter().copied().filter(|id| room(k, *id) > 0).collect();
        for id in room_again {
            self.pause(id, false);
        }
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        self.poller.ready(&mut ready);
        let mut batch = Batch { inputs, drained, bytes: 0, last_id: k.last_id };
        for &(key, events) in &ready {
            let id = ObjectId(key);
            let Some(real) = self.reals.get(&id) else { continue };
            match real.role {
                Role::Bound => {}
                Role::Listener => self.accept(k, id, &mut batch),
                Role::Connecting => self.connected(id, &mut batch),
                Role::Stream => self.stream(k, id, events, &mut batch),
                Role::Datagram => self.datagrams(k, id, events, &mut batch),
            }
        }
        self.ready = ready;
    }

    fn accept(&mut self, k: &Kernel, id: ObjectId, batch: &mut Batch<'_>) {
        let room = room(k, id).min(ACCEPTS_MAX);
        if room == 0 {
            return self.pause(id, true);
        }
        for _ in 0..room {
            let Some(real) = self.reals.get(&id) else { return };
            let (sock, peer, local) = match real.sock.accept() {
                Ok(Some((sock, peer))) => match sock.local() {
                    Ok(local) => (sock, peer, local),
                    Err(_) => continue,
                },
                Ok(None) => return,
                // Out of descriptors or memory: they wait in the host's queue until some are free.
                Err(_) => return self.pause(id, true),
            };
            no_delay(&sock);
            batch.last_id += 1;
            let new = ObjectId(batch.last_id);
            let accepted = Accepted { listener: id, id: new, peer, local };
            batch.inputs.push((input::ACCEPTED, encode(&accepted)));
            self.insert(new, Real::new(sock, Role::Stream));
        }
    }

    fn connected(&mut self, id: ObjectId, batch: &mut Batch<'_>) {
        let Some(real) = self.reals.get_mut(&id) else { return };
        let error = real.sock.take_error();
        let local = real.sock.local().ok().filter(|_| error == 0);
        batch.inputs.push((input::CONNECTED, encode(&Connected { id, error, local })));
        if error == 0 {
            real.role = Role::Stream;
            self.watch(id);
        } else {
            self.drop_real(id);
        }
    }

    fn stream(&mut self, k: &Kernel, id: ObjectId, events: u32, batch: &mut Batch<'_>) {
        let Some(real) = self.reals.get_mut(&id) else { return };
        if events & OUT != 0 {
            match real.flush() {
                Ok(n) => batch.drained(id, n),
                Err(error) => return self.broken(id, error, batch),
            }
            if real.pending.is_empty() && real.after == After::Close {
                self.drop_real(id);
                return;
            }
            self.watch(id);
        }
        let Some(real) = self.reals.get_mut(&id) else { return };
        if real.ended {
            // After its end a stream can only break.
            let error = if events & (libc::EPOLLERR | libc::EPOLLHUP) as u32 != 0 { real.sock.take_error() } else { 0 };
            if error != 0 {
                self.broken(id, error, batch);
            }
            return;
        }
        if events & !OUT == 0 || batch.bytes >= POLL_BYTES_MAX {
            return;
        }
        let room = room(k, id).min(self.buffer.len());
        if room == 0 {
            return self.pause(id, true);
        }
        match real.sock.recv(&mut self.buffer[..room]) {
            Ok(n) => {
                batch.inputs.push((input::ARRIVED, arrived(id, &self.buffer[..n])));
                batch.bytes += n;
                real.ended = n == 0;
                self.watch(id);
            }
            Err(libc::EAGAIN | libc::EINTR) => {}
            Err(error) => self.broken(id, error, batch),
        }
    }

    fn broken(&mut self, id: ObjectId, error: Errno, batch: &mut Batch<'_>) {
        batch.inputs.push((input::CLOSED, encode(&(id, error))));
        self.drop_real(id);
    }

    fn datagrams(&mut self, k: &Kernel, id: ObjectId, events: u32, batch: &mut Batch<'_>) {
        if events & libc::EPOLLERR as u32 != 0
            && let Some(real) = self.reals.get(&id)
        {
            let error = real.sock.take_error();
            if error != 0 {
                batch.inputs.push((input::CLOSED, encode(&(id, error))));
            }
        }
        let mut room = room(k, id);
        for _ in 0..DATAGRAMS_MAX {
            if room == 0 {
                return self.pause(id, true);
            }
            let Some(real) = self.reals.get(&id) else { return };
            match real.sock.recv_from(&mut self.buffer) {
                Ok((n, from)) => {
                    let bytes = self.buffer[..n].to_vec();
                    batch.inputs.push((input::DATAGRAM, encode(&Datagram { id, from, bytes })));
                    batch.bytes += n;
                    room = room.saturating_sub(n.max(1));
                }
                Err(libc::EAGAIN) => return,
                // An error of an earlier send: it is reported once and the socket lives on.
                Err(error) => batch.inputs.push((input::CLOSED, encode(&(id, error)))),
            }
            if batch.bytes >= POLL_BYTES_MAX {
                return;
            }
        }
    }

    // ---- answers to calls ----

    /// Binds a socket of the program's.
    pub fn bind(
        &mut self,
        socket: &Socket,
        id: ObjectId,
        wanted: SocketAddr,
    ) -> std::result::Result<SocketAddr, Errno> {
        let sock = Sock::new(&wanted, socket.kind)?;
        apply_options(&sock, socket)?;
        let local = sock.bind(&wanted)?;
        let role = if socket.is_connection() { Role::Bound } else { Role::Datagram };
        self.insert(id, Real::new(sock, role));
        Ok(local)
    }

    /// Lets a bound socket listen.
    pub fn listen(&mut self, id: ObjectId) -> std::result::Result<(), Errno> {
        let real = self.reals.get_mut(&id).ok_or(libc::EINVAL)?;
        real.sock.listen(BACKLOG_MAX as i32)?;
        real.role = Role::Listener;
        self.watch(id);
        Ok(())
    }

    /// Gives a datagram socket a peer (`None`: any); nothing is sent by that. Answers the socket's own address then.
    pub fn connect_datagram(&mut self, id: ObjectId, to: Option<SocketAddr>) -> std::result::Result<SocketAddr, Errno> {
        let real = self.reals.get_mut(&id).ok_or(libc::EINVAL)?;
        match to {
            Some(to) => real.sock.connect(&to)?,
            None => real.sock.disconnect()?,
        }
        real.sock.local()
    }

    /// Sets an option of a real socket, if it is one that the host must know. The model has accepted it already.
    pub fn set_option(&mut self, id: ObjectId, level: i32, name: i32, value: &[u8]) {
        if let Some(real) = self.reals.get(&id)
            && passed_on(level, name)
        {
            // What the host refuses (a keep-alive of a length it does not like) only matters to the host.
            let _ = real.sock.set(level, name, value);
        }
    }

    /// The model has closed a socket. One that has no connection is closed at once, so that its address is free again before the
    /// close is committed: all that anybody can see of it is a refused connection.
    pub fn close_early(&mut self, id: ObjectId, waiting: bool) {
        let idle = self.reals.get(&id).is_some_and(|r| match r.role {
            Role::Bound | Role::Listener => true,
            Role::Datagram => !waiting,
            Role::Connecting | Role::Stream => false,
        });
        if idle {
            self.drop_real(id);
        }
    }

    // ---- outputs ----

    /// Carries out a committed output.
    pub fn emit(&mut self, k: &Kernel, id: ObjectId, output: Output, drained: &mut Drained) {
        match output {
            Output::Bytes(bytes) => self.write(id, &bytes, drained),
            Output::Shutdown => self.finish(id, After::Shutdown),
            Output::Close => self.finish(id, After::Close),
            Output::Reset => {
                if let Some(real) = self.drop_real(id) {
                    real.sock.reset();
                }
            }
            Output::Connect(raw) => {
                if let Ok(target) = postcard::from_bytes(&raw) {
                    self.connect(k, id, target);
                }
            }
            Output::Datagram(raw, bytes) => {
                if let Ok(target) = postcard::from_bytes(&raw) {
                    self.send_datagram(id, target, &bytes);
                }
            }
            Output::Exit(_) => self.flush_all(),
        }
    }

    /// Writes committed bytes of a stream, behind those that wait.
    pub fn write(&mut self, id: ObjectId, bytes: &[u8], drained: &mut Drained) {
        let Some(real) = self.reals.get_mut(&id).filter(|r| r.role == Role::Stream) else { return };
        match real.write(bytes) {
            Ok(n) => {
                if n > 0 {
                    *drained.entry(id).or_default() += n;
                }
                self.watch(id);
            }
            Err(error) => {
                self.found.push((input::CLOSED, encode(&(id, error))));
                self.drop_real(id);
            }
        }
    }

    fn finish(&mut self, id: ObjectId, after: After) {
        let Some(real) = self.reals.get_mut(&id) else { return };
        match after {
            After::Close if real.pending.is_empty() => {
                self.drop_real(id);
            }
            After::Shutdown if real.pending.is_empty() => real.sock.shut_write(),
            _ => real.after = after,
        }
    }

    fn connect(&mut self, k: &Kernel, id: ObjectId, target: SocketAddr) {
        let started = self.start_connect(k, id, &target);
        if let Err(error) = started {
            self.drop_real(id);
            self.found.push((input::CONNECTED, encode(&Connected { id, error, local: None })));
        }
    }

    fn start_connect(&mut self, k: &Kernel, id: ObjectId, target: &SocketAddr) -> std::result::Result<(), Errno> {
        let mut real = match self.drop_real(id) {
            Some(bound) => bound,
            None => Real::new(Sock::new(target, libc::SOCK_STREAM)?, Role::Connecting),
        };
        if let Some(socket) = k.net.sockets.get(&id) {
            apply_options(&real.sock, socket)?;
        }
        no_delay(&real.sock);
        real.sock.connect(target)?;
        real.role = Role::Connecting;
        self.insert(id, real);
        Ok(())
    }

    fn send_datagram(&mut self, id: ObjectId, target: SocketAddr, bytes: &[u8]) {
        let Some(real) = self.reals.get(&id) else { return };
        match real.sock.send_to(bytes, &target) {
            // A full buffer drops, as any hop may.
            Ok(_) | Err(libc::EAGAIN | libc::EINTR) => {}
            Err(error) => self.found.push((input::CLOSED, encode(&(id, error)))),
        }
    }

    /// The program has ended: everything that it said must still leave, as the kernel would do for it.
    fn flush_all(&mut self) {
        let mut last = Instant::now();
        loop {
            let mut progress = false;
            self.reals.retain(|_, real| match real.flush() {
                Ok(n) => {
                    progress |= n > 0;
                    !real.pending.is_empty()
                }
                Err(_) => false,
            });
            if self.reals.is_empty() {
                return;
            }
            if progress {
                last = Instant::now();
            } else if last.elapsed() > FLUSH_PATIENCE {
                return;
            } else {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }

    // ---- takeover ----

    /// Binds every address that the model has. May be called again while the model goes on.
    pub fn prepare(&mut self, k: &Kernel) -> Result<()> {
        let stale: Vec<ObjectId> =
            self.reals.keys().copied().filter(|id| !k.net.sockets.get(id).is_some_and(wants_address)).collect();
        for id in stale {
            self.drop_real(id);
        }
        let deadline = Instant::now() + BIND_PATIENCE;
        for (&id, socket) in &k.net.sockets {
            if !wants_address(socket) || self.reals.contains_key(&id) {
                continue;
            }
            let Some(addr) = socket.local.as_ref().and_then(Addr::inet) else { continue };
            self.bind_again(id, socket, addr, deadline)?;
        }
        Ok(())
    }

    fn bind_again(&mut self, id: ObjectId, socket: &Socket, addr: SocketAddr, deadline: Instant) -> Result<()> {
        loop {
            match self.bind(socket, id, addr) {
                Ok(_) => return Ok(()),
                Err(libc::EADDRINUSE) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
                // Datagrams may get lost; whoever asked will ask again.
                Err(_) if !socket.is_connection() => {
                    let any = SocketAddr::new(crate::net::unspecified(socket.domain).ip(), 0);
                    let _ = self.bind(socket, id, any);
                    return Ok(());
                }
                Err(errno) => {
                    return Err(Error::Level(format!(
                        "cannot bind {addr} to take over: {}; the address must exist on this host and be free",
                        std::io::Error::from_raw_os_error(errno)
                    )));
                }
            }
        }
    }

    /// From here on the world is real. Answers what the model must be told.
    pub fn go_live(&mut self, k: &Kernel, outbox: &Outbox) -> Result<Vec<(Kind, Vec<u8>)>> {
        let mut inputs = Vec::new();
        for (&id, socket) in k.net.sockets.iter().filter(|(_, s)| s.is_inet()) {
            match &socket.state {
                State::Listening { .. } => self.listen(id).map_err(|errno| {
                    let e = std::io::Error::from_raw_os_error(errno);
                    Error::Level(format!("cannot listen on {:?} after taking over: {e}", socket.local))
                })?,
                State::Connecting => {
                    let offered = outbox
                        .waiting()
                        .any(|o| o.channel.0 == id.0 && matches!(said(&o.bytes), Some(Output::Connect(_))));
                    if !offered {
                        let failed = Connected { id, error: libc::ECONNRESET, local: None };
                        inputs.push((input::CONNECTED, encode(&failed)));
                    }
                }
                State::Connected(Peer::Outside) if socket.is_connection() => {
                    inputs.push((input::CLOSED, encode(&(id, libc::ECONNRESET))));
                }
                State::Connected(Peer::Outside) => {
                    let to = socket.peer.as_ref().and_then(Addr::inet);
                    // If there is no way there from here, its datagrams get lost.
                    let _ = self.connect_datagram(id, to);
                }
                State::Connected(_) | State::Idle => {}
            }
        }
        Ok(inputs)
    }
}

/// What one poll has gathered.
struct Batch<'a> {
    inputs: &'a mut Vec<(Kind, Vec<u8>)>,
    drained: &'a mut Drained,
    bytes: usize,
    /// The last number handed out, with the sockets accepted in this batch.
    last_id: u64,
}

impl Batch<'_> {
    fn drained(&mut self, id: ObjectId, n: u64) {
        if n > 0 {
            *self.drained.entry(id).or_default() += n;
        }
    }
}

/// The body of an ARRIVED input.
pub fn arrived(id: ObjectId, bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(bytes.len() + 10);
    body.put_varint(id.0);
    body.extend_from_slice(bytes);
    body
}

/// Bytes, or connections, that the model would take for a socket. None if it is closed.
fn room(k: &Kernel, id: ObjectId) -> usize {
    let Some(socket) = k.net.sockets.get(&id) else { return 0 };
    match &socket.state {
        State::Listening { backlog, pending } => (backlog + 1).saturating_sub(pending.len()),
        _ => RECEIVE_BYTES_MAX.saturating_sub(socket.queue.bytes()),
    }
}

/// Has an address on the host that outlives connections.
fn wants_address(socket: &Socket) -> bool {
    let connected = socket.is_connection() && !matches!(socket.state, State::Idle | State::Listening { .. });
    socket.is_inet() && socket.local.is_some() && !connected
}

fn no_delay(sock: &Sock) {
    // Bytes leave when they are committed, never later. It fails only on a connection that is gone already.
    let _ = sock.set(libc::IPPROTO_TCP, libc::TCP_NODELAY, &1i32.to_ne_bytes());
}

/// Options that the host must know; the others are the model's alone.
fn passed_on(level: i32, name: i32) -> bool {
    matches!(
        (level, name),
        (libc::SOL_SOCKET, libc::SO_REUSEPORT | libc::SO_KEEPALIVE | libc::SO_BROADCAST)
            | (
                libc::IPPROTO_TCP,
                libc::TCP_KEEPIDLE
                    | libc::TCP_KEEPINTVL
                    | libc::TCP_KEEPCNT
                    | libc::TCP_USER_TIMEOUT
                    | libc::TCP_DEFER_ACCEPT
            )
            | (libc::IPPROTO_IP, libc::IP_TOS | libc::IP_TTL | libc::IP_FREEBIND | libc::IP_MTU_DISCOVER)
            | (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY | libc::IPV6_TCLASS | libc::IPV6_UNICAST_HOPS)
    )
}

fn apply_options(sock: &Sock, socket: &Socket) -> std::result::Result<(), Errno> {
    if socket.is_connection() {
        // A survivor on the same host binds while the old connections are still dying.
        sock.set(libc::SOL_SOCKET, libc::SO_REUSEADDR, &1i32.to_ne_bytes())?;
    } else if let Some(value) = socket.options.get(&(libc::SOL_SOCKET, libc::SO_REUSEADDR)) {
        sock.set(libc::SOL_SOCKET, libc::SO_REUSEADDR, value)?;
    }
    for (&(level, name), value) in socket.options.iter().filter(|(o, _)| passed_on(o.0, o.1)) {
        sock.set(level, name, value)?;
    }
    Ok(())
}
