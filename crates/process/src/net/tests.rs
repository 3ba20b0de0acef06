//! The sockets of the model with a tiny program over real clients: live, replayed from its log, and taken over.

mod live;
mod native;
mod takeover;

use crate::fs::tests::add_process;
use crate::kernel::{Ctx, Errno, Fail, Io, Kernel, ObjectId, Tid, Tracees, input};
use crate::net::{self, Addr};
use crate::run::launch;
use crate::world::World;
use gapless_log::{
    Digest, Frame, Hasher, Host, Identity, Level, Options, Order, Output, Player, Position, Progress, Recorder,
    Replayed, Replica, Result, Seq, Sink, Term, Waker,
};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A program: one turn over the model; true if it did anything.
pub type Program = fn(&mut Kernel, &mut Ctx<'_, '_>) -> bool;

/// The sockets of a program, and real time for it.
pub struct Toy {
    pub k: Kernel,
    program: Program,
    world: Option<World>,
    prepared: Option<World>,
    _dir: tempfile::TempDir,
    sockets: Arc<AtomicUsize>,
}

impl Toy {
    pub fn new(program: Program) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut k = launch::empty(dir.path()).unwrap();
        add_process(&mut k, crate::fs::tests::PID, 0);
        Self { k, program, world: None, prepared: None, _dir: dir, sockets: Arc::default() }
    }

    fn turn(&mut self, io: Io<'_, '_>) -> bool {
        let (mut tracees, mut zombies) = (Tracees::new(), BTreeMap::new());
        let pid = crate::fs::tests::PID;
        let mut cx = Ctx {
            tid: Tid(pid.0),
            pid,
            tracees: &mut tracees,
            zombies: &mut zombies,
            io,
            bytes_in: 0,
            path: Vec::new(),
            code: Default::default(),
        };
        let did = (self.program)(&mut self.k, &mut cx);
        self.sockets.store(self.k.net.sockets.len(), Ordering::SeqCst);
        did
    }
}

impl Replica for Toy {
    fn identity(&self) -> Identity {
        Identity { level: "process".into(), code: "test".into(), features: Vec::new() }
    }

    fn level(&self) -> Level {
        Level::Process
    }

    fn position(&self) -> Position {
        self.k.position
    }

    fn record(&mut self, log: &mut Recorder<'_>) -> Result<Progress> {
        let mut world = self.world.take().expect("live");
        let mut any = false;
        for (kind, body) in world.poll(&self.k)? {
            log.input(self.k.position, kind, body.clone());
            crate::world::apply(&mut self.k, kind, &body)?;
            any = true;
        }
        any |= self.turn(Io::Live { log, world: &mut world });
        self.world = Some(world);
        if !any {
            return Ok(Progress::Idle(Duration::from_millis(50)));
        }
        self.k.position = self.k.position.next();
        Ok(Progress::Ran)
    }

    fn replay(&mut self, log: &mut Player<'_>) -> Result<Progress> {
        while self.k.position < log.limit() || log.peek().is_some() {
            while let Some(entry) = log.peek().filter(|e| input::is_async(e.kind) && e.at == self.k.position) {
                let kind = entry.kind;
                let body = log.input(self.k.position, kind)?;
                crate::world::apply(&mut self.k, kind, &body)?;
            }
            if self.k.position >= log.limit() {
                break;
            }
            self.turn(Io::Replay { log });
            self.k.position = self.k.position.next();
        }
        Ok(Progress::Ran)
    }

    fn emit(&mut self, output: Output) -> Result<()> {
        self.world.as_mut().expect("live").emit(&self.k, output)
    }

    fn wait(&mut self, waker: &Waker, at_most: Duration) -> Result<()> {
        self.world.as_mut().expect("live").wait(&self.k, waker, at_most)
    }

    fn prepare(&mut self) -> Result<()> {
        if self.prepared.is_none() {
            self.prepared = Some(World::new(0, crate::world::Streams::Own)?);
        }
        self.prepared.as_mut().expect("just made").prepare(&self.k)
    }

    fn go_live(&mut self, _: Term, log: &mut Recorder<'_>) -> Result<()> {
        self.prepare()?;
        let mut world = self.prepared.take().expect("prepared");
        for (kind, body) in world.go_live(&self.k, log.out())? {
            log.input(self.k.position, kind, body.clone());
            crate::world::apply(&mut self.k, kind, &body)?;
        }
        self.world = Some(world);
        Ok(())
    }

    fn digest(&mut self) -> Result<Digest> {
        let mut h = Hasher::new();
        self.k.net.digest(&mut h);
        h.number(self.k.last_id);
        Ok(h.finish())
    }

    fn save(&mut self, _: &mut dyn Write) -> Result<bool> {
        Ok(false)
    }

    fn load(&mut self, _: &mut dyn Read) -> Result<()> {
        Ok(())
    }

    fn halt(&mut self) {
        self.world = None;
    }
}

/// Keeps frames in memory; they count as committed at once.
#[derive(Default)]
struct Memory {
    frames: Arc<Mutex<Vec<Frame>>>,
    end: Seq,
    stop: Arc<AtomicBool>,
}

impl Sink for Memory {
    fn append(&mut self, frame: Frame) -> Result<()> {
        self.end = frame.end_seq();
        self.frames.lock().unwrap().push(frame);
        Ok(())
    }

    fn committed(&self) -> Seq {
        self.end
    }

    fn synced(&self) -> Seq {
        self.end
    }

    fn order(&mut self) -> Order {
        if self.stop.load(Ordering::SeqCst) { Order::Halt } else { Order::None }
    }
}

/// A program that runs in a thread of its own.
pub struct Running {
    thread: Option<std::thread::JoinHandle<Digest>>,
    frames: Arc<Mutex<Vec<Frame>>>,
    stop: Arc<AtomicBool>,
    waker: Waker,
    /// Sockets that the model has now.
    pub sockets: Arc<AtomicUsize>,
    program: Program,
}

fn options() -> Options {
    Options { digest_every: Duration::from_millis(20), ..Options::default() }
}

/// Replays a log, comparing its digests; ready to go live.
pub fn replayed(program: Program, frames: &[Frame]) -> Host<Toy> {
    let mut host = Host::new(Toy::new(program), options());
    for frame in frames {
        host.feed(frame).unwrap();
        while !matches!(host.replay_step().unwrap(), Replayed::Starved) {}
    }
    host
}

impl Running {
    /// Starts a program.
    pub fn start(program: Program) -> Self {
        Self::go_on(program, Vec::new())
    }

    /// Takes over a program at the end of its log.
    pub fn go_on(program: Program, frames: Vec<Frame>) -> Self {
        let sink = Memory { frames: Arc::new(Mutex::new(frames)), ..Memory::default() };
        let (frames, stop, waker) = (sink.frames.clone(), sink.stop.clone(), Waker::new().unwrap());
        let sockets = Arc::new(AtomicUsize::new(0));
        let (wake, count) = (waker.clone(), sockets.clone());
        let (ready, started) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut sink = sink;
            let held = sink.frames.lock().unwrap().clone();
            let mut host = replayed(program, &held);
            host.replica_mut().sockets = count;
            let (next, chain) = held.last().map_or((Seq(0), 0), |f| (f.end_seq(), f.chain_after()));
            sink.end = next;
            host.go_live(Term(1), next, chain).unwrap();
            ready.send(()).unwrap();
            host.run_live(&mut sink, &wake).unwrap();
            let digest = host.record_digest().unwrap();
            for frame in host.seal(Seq(0)) {
                sink.append(frame).unwrap();
            }
            digest
        });
        started.recv().unwrap();
        Self { thread: Some(thread), frames, stop, waker, sockets, program }
    }

    /// Ends it as a crash would; replays its log and compares every digest; gives the log.
    pub fn stop(mut self) -> Vec<Frame> {
        self.stop.store(true, Ordering::SeqCst);
        self.waker.wake();
        let digest = self.thread.take().unwrap().join().unwrap();
        let frames = std::mem::take(&mut *self.frames.lock().unwrap());
        let mut again = replayed(self.program, &frames);
        assert_eq!(again.replica_mut().digest().unwrap(), digest);
        frames
    }

    /// Waits until the model has this many sockets.
    pub fn until_sockets(&self, n: usize) {
        for _ in 0..1000 {
            if self.sockets.load(Ordering::SeqCst) == n {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{} sockets, not {n}", self.sockets.load(Ordering::SeqCst));
    }

    /// Entries of the log so far, by kind.
    pub fn entries(&self, kind: gapless_log::Kind) -> Vec<Vec<u8>> {
        let frames = self.frames.lock().unwrap();
        let all = frames.iter().flat_map(|f| f.entries().collect::<Vec<_>>());
        all.filter(|e| e.kind == kind).map(|e| e.body.clone()).collect()
    }
}

/// A free port of loopback.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A client of a port of loopback that does not wait for ever.
pub fn client(port: u16) -> TcpStream {
    // The program may not have come to its first turn yet.
    let connect = |_| {
        std::thread::sleep(Duration::from_millis(5));
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
    };
    let s = (0..1000).find_map(connect).expect("the program listens");
    s.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    s.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    s.set_nodelay(true).unwrap();
    s
}

pub fn loopback(port: u16) -> Addr {
    Addr::Inet(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

pub fn errno<T>(r: std::result::Result<T, Fail>) -> std::result::Result<T, i32> {
    r.map_err(|f| match f {
        Fail::Errno(Errno(n)) => n,
        Fail::Fatal(e) => panic!("{e}"),
    })
}

/// The listener of a program: made in its first turn, always the first socket.
pub fn listener(k: &mut Kernel, cx: &mut Ctx<'_, '_>, port: u16) -> (ObjectId, bool) {
    if let Some((&id, _)) = k.net.sockets.first_key_value() {
        return (id, false);
    }
    let id = errno(net::socket(k, libc::AF_INET, libc::SOCK_STREAM, 0)).unwrap();
    errno(net::bind(k, cx, id, loopback(port))).unwrap();
    errno(net::listen(k, cx, id, 511)).unwrap();
    (id, true)
}

/// All sockets but the first.
pub fn others(k: &Kernel) -> Vec<ObjectId> {
    k.net.sockets.keys().skip(1).copied().collect()
}

/// Accepts what waits and echoes what comes, as far as there is room to send; closes what has ended or is broken.
pub fn echo_turn(k: &mut Kernel, cx: &mut Ctx<'_, '_>, port: u16) -> bool {
    let (listener, mut did) = listener(k, cx, port);
    while net::accept(k, listener).is_ok() {
        did = true;
    }
    for id in others(k) {
        loop {
            let room = (net::SEND_BYTES_MAX - k.net.get(id).queued) as usize;
            if room == 0 {
                break;
            }
            match errno(net::recv(k, id, room.min(10_000), false)) {
                Ok(m) if !m.bytes.is_empty() => {
                    did = true;
                    let n = errno(net::send(k, cx, id, &m.bytes, None, &[], true));
                    assert!(n == Ok(m.bytes.len()) || n == Err(libc::EPIPE) || n == Err(libc::ECONNRESET), "{n:?}");
                }
                Err(libc::EAGAIN) => break,
                _ => {
                    errno(net::close(k, cx, id)).unwrap();
                    did = true;
                    break;
                }
            }
        }
    }
    did
}
