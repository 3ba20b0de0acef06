//! Recording a guest, replaying it, and going live from inside its log: all in this process, with the world held in files.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use crate::guests::Guest;
use gapless_log::{
    Digest, Error, Frame, Host, Kind, Level, LogView, Mark, Options, Position, Progress, Reader, Replayed, Replica,
    Result, Seq, Store, Term, Waker,
};
use gapless_process::kernel::input;
use gapless_process::world::Output;
use gapless_process::{Command, EXIT_CHANNEL, ProcessGroup};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Far above what any guest takes, also on a machine that stalls.
const LIMIT: Duration = Duration::from_secs(60);

/// A world in files: what a replica reads and writes on its standard streams.
pub struct Streams {
    dir: tempfile::TempDir,
    stdin: File,
}

impl Streams {
    /// A world in which `stdin` waits to be read.
    pub fn new(stdin: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory for streams");
        fs::write(dir.path().join("0"), stdin).expect("standard input");
        fs::write(dir.path().join("1"), "").expect("standard output");
        fs::write(dir.path().join("2"), "").expect("standard error");
        let stdin = File::open(dir.path().join("0")).expect("standard input");
        Self { dir, stdin }
    }

    /// The descriptors, for a replica.
    pub fn open(&self) -> [OwnedFd; 3] {
        let write = |name| File::options().append(true).open(self.dir.path().join(name)).expect("a stream").into();
        [self.stdin.try_clone().expect("a stream").into(), write("1"), write("2")]
    }

    /// So much of the input is gone.
    pub fn skip_input(&self, bytes: u64) {
        (&self.stdin).seek(SeekFrom::Start(bytes)).expect("a file");
    }

    /// All that was written to a stream.
    pub fn text(&self, number: i32) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.path().join(number.to_string())).expect("a stream")).into_owned()
    }
}

/// One life of a guest under gapless.
pub struct Recording {
    pub frames: Vec<Frame>,
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    /// Parts of the digest after each step, by position, so that a difference has a name.
    parts: BTreeMap<Position, Parts>,
    /// All memory after each step, if `GAPLESS_GUEST_BYTES` asks for it: then a difference is shown byte by byte.
    memory: BTreeMap<Position, Pages>,
    /// Every output: channel and encoding.
    outputs: Vec<(u64, Vec<u8>)>,
    /// Which channel is which standard stream.
    stdio: BTreeMap<u64, i32>,
    /// How many calls stopped, and how many were answered in the process.
    pub figures: BTreeMap<&'static str, u64>,
    /// The log, with a digest after every step.
    pub log: tempfile::TempDir,
}

type Parts = Vec<(String, Digest)>;
/// Pages by thread and address.
type Pages = BTreeMap<(i32, u64), Vec<u8>>;
/// Differing bytes that are shown.
const BYTES_SHOWN: usize = 64;

fn pages(host: &mut Host<ProcessGroup>) -> Result<Pages> {
    let mut pages = Pages::new();
    if std::env::var_os("GAPLESS_GUEST_BYTES").is_some() {
        for (tid, tracee) in host.replica_mut().tracees_mut() {
            let take = |addr, page: &[u8]| _ = pages.insert((tid.0, addr), page.to_vec());
            tracee.for_each_writable_page(take).map_err(|e| Error::Refused(e.to_string()))?;
        }
    }
    Ok(pages)
}

/// A mark, and what the log said when it was written.
#[derive(Clone, Debug)]
pub struct MarkAt {
    pub seq: Seq,
    pub at: Position,
    pub mark: Mark,
    /// Frames up to and with the one that holds it.
    pub frames: usize,
}

impl Recording {
    /// Every mark in the log. Each ends a frame of its own here.
    pub fn marks(&self) -> Vec<MarkAt> {
        let mut marks = Vec::new();
        for (n, frame) in self.frames.iter().enumerate() {
            let mut seq = frame.first_seq();
            for entry in frame.entries() {
                if entry.kind == Kind::MARK {
                    let mark = Mark::decode(&entry.body).expect("a mark");
                    marks.push(MarkAt { seq, at: entry.at, mark, frames: n + 1 });
                }
                seq = seq.next();
            }
        }
        marks
    }

    /// What outputs with these numbers say on standard output and error.
    fn text(&self, numbers: std::ops::Range<u64>) -> [String; 2] {
        let mut text = [Vec::new(), Vec::new()];
        for (channel, raw) in &self.outputs[numbers.start as usize..numbers.end as usize] {
            if let Some(number) = self.stdio.get(channel) {
                text[*number as usize - 1].extend_from_slice(bytes_of(raw));
            }
        }
        text.map(|t| String::from_utf8_lossy(&t).into_owned())
    }

    /// Something that it tells the outside, beyond its standard streams, is among outputs with these numbers.
    pub fn tells_outside(&self, numbers: std::ops::Range<u64>) -> bool {
        let outputs = &self.outputs[numbers.start as usize..numbers.end as usize];
        outputs.iter().any(|(channel, _)| *channel != EXIT_CHANNEL.0 && !self.stdio.contains_key(channel))
    }

    /// How often the outputs up to this number connect to the outside, close a connection, or send a datagram.
    pub fn told(&self, until: u64) -> Told {
        let mut told = Told::default();
        for (_, raw) in &self.outputs[..until as usize] {
            match postcard::from_bytes(raw).expect("an output") {
                Output::Connect(_) => told.connects += 1,
                Output::Close | Output::Reset => told.closes += 1,
                Output::Datagram(..) => told.datagrams += 1,
                _ => {}
            }
        }
        told
    }

    /// These bytes came from the outside by one of the first frames of the log.
    pub fn has_heard(&self, frames: usize, bytes: &[u8]) -> bool {
        let entries = self.frames[..frames].iter().flat_map(Frame::entries);
        let mut heard = entries.filter(|e| [input::ARRIVED, input::DATAGRAM].contains(&e.kind));
        heard.any(|e| e.body.windows(bytes.len()).any(|w| w == bytes))
    }

    /// Bytes of standard input that the first frames of the log bring.
    fn input_taken(&self, frames: usize) -> u64 {
        let stdin = self.stdio.iter().find(|(_, number)| **number == 0).map(|(channel, _)| *channel);
        let arrived = |body: &[u8]| {
            let mut r = Reader::new(body);
            if r.varint() == stdin { r.remaining() as u64 } else { 0 }
        };
        let entries = self.frames[..frames].iter().flat_map(Frame::entries);
        entries.filter(|e| e.kind == input::ARRIVED).map(|e| arrived(&e.body)).sum()
    }
}

/// What the dead primary told the outside before it died, told by real sockets that are gone when this returns.
pub fn tell_outside(recording: &Recording, numbers: std::ops::Range<u64>) {
    let (mut connections, mut sockets) = (BTreeMap::new(), BTreeMap::new());
    for (channel, raw) in &recording.outputs[numbers.start as usize..numbers.end as usize] {
        match postcard::from_bytes(raw).expect("an output") {
            Output::Connect(to) => {
                let to: SocketAddr = postcard::from_bytes(&to).expect("an address");
                connections.insert(*channel, TcpStream::connect(to).expect("it was reachable"));
            }
            Output::Bytes(bytes) => {
                // Nobody tells standard output again.
                if let Some(mut connection) = connections.get(channel) {
                    connection.write_all(&bytes).expect("it took them");
                }
            }
            Output::Shutdown => connections[channel].shutdown(Shutdown::Write).expect("it was connected"),
            Output::Close | Output::Reset => _ = connections.remove(channel),
            Output::Datagram(to, bytes) => {
                let to: SocketAddr = postcard::from_bytes(&to).expect("an address");
                let any = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
                let sent = sockets.entry(*channel).or_insert_with(any).send_to(&bytes, to);
                assert_eq!(sent.expect("it was sent"), bytes.len());
            }
            Output::Exit(_) => {}
        }
    }
}

/// What the outside was told, counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    pub connects: usize,
    pub closes: usize,
    pub datagrams: usize,
}

/// The bytes of an output of a stream: a zero, their number, they themselves.
fn bytes_of(raw: &[u8]) -> &[u8] {
    let mut r = Reader::new(raw);
    match (r.varint(), r.varint()) {
        (Some(0), Some(n)) => r.bytes(n as usize).expect("as many as it says"),
        _ => &[],
    }
}

/// What the guest is started as, in the empty directory `cwd`.
pub fn command(guest: &Guest, cwd: &Path) -> Command {
    let program = guest.compile();
    let mut argv = vec![program.as_os_str().as_bytes().to_vec()];
    argv.extend(guest.args.iter().map(|a| a.as_bytes().to_vec()));
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned());
    let mut env = vec![format!("PATH={path}").into_bytes(), b"LANG=C".to_vec()];
    env.extend(guest.env.iter().map(|(k, v)| format!("{k}={v}").into_bytes()));
    Command { argv, env, cwd: cwd.as_os_str().as_bytes().to_vec(), states: Vec::new() }
}

/// A host that logs digests only when told to.
pub fn options() -> Options {
    Options { digest_every: Duration::from_secs(1 << 30), ..Options::default() }
}

/// Runs a live replica to its end; every step is sealed, committed and released at once, and followed by a digest if `digests`.
pub fn run_live(
    host: &mut Host<ProcessGroup>,
    digests: bool,
    mut append: impl FnMut(&mut Host<ProcessGroup>, Vec<Frame>) -> Result<()>,
) -> Result<i32> {
    let waker = Waker::new().expect("a waker");
    let started = Instant::now();
    loop {
        waker.reset();
        let before = host.next_seq();
        let progress = host.record_step()?;
        if digests && host.next_seq() != before {
            host.record_digest()?;
        }
        let frames = host.seal(Seq(0));
        append(host, frames)?;
        host.release(host.next_seq())?;
        match progress {
            Progress::Ended(status) => return Ok(status),
            Progress::Idle(at_most) => host.replica_mut().wait(&waker, at_most)?,
            Progress::Ran => {}
        }
        if started.elapsed() > LIMIT {
            return Err(Error::Refused(format!(
                "not done after {LIMIT:?}, at position {}; it waits for: {:?}",
                host.replica().position(),
                host.replica().kernel().waiters
            )));
        }
    }
}

/// How calls reach the model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Calls {
    /// What can be is answered in the process, from the first stop at its call site on.
    InProcess,
    /// The same at the call sites that are known from earlier runs of the same files, and at no others.
    AsKnown,
    /// Every one stops. State jumps log all memory, as on a host that cannot tell what was written.
    Stopping,
}

impl Calls {
    fn of(self, group: ProcessGroup) -> ProcessGroup {
        group
            .patching_at_stop(match self {
                Calls::InProcess => 1,
                Calls::AsKnown => u32::MAX - 1,
                Calls::Stopping => 0,
            })
            .tracking_writes(self != Calls::Stopping)
    }
}

/// Runs a guest live from its beginning.
pub fn record(guest: &Guest, calls: Calls) -> Result<Recording> {
    let log = tempfile::tempdir().expect("a directory for the log");
    let cwd = tempfile::tempdir().expect("a directory to run in");
    let streams = Streams::new(&guest.stdin);
    let mut store = Store::create(log.path(), Level::Process)?;
    let replica = ProcessGroup::new(command(guest, cwd.path()), log.path())?.with_stdio(streams.open());
    let mut host = Host::new(calls.of(replica), options());
    host.go_live(Term(1), Seq(0), 0)?;
    let (mut frames, mut outputs) = (Vec::new(), Vec::new());
    let (mut parts, mut memory) = (BTreeMap::new(), BTreeMap::new());
    let status = run_live(&mut host, true, |host, sealed| {
        for frame in sealed {
            store.append(&frame)?;
            frames.push(frame);
        }
        parts.insert(host.replica().position(), host.replica_mut().digest_parts()?);
        memory.insert(host.replica().position(), pages(host)?);
        // All that waits is released next.
        outputs.extend(host.outbox().waiting().map(|o| (o.channel.0, o.bytes.clone())));
        Ok(())
    });
    let (stdout, stderr) = (streams.text(1), streams.text(2));
    let status = status.map_err(|e| Error::Refused(format!("{e}\nit wrote:\n{stdout}{stderr}")))?;
    let stdio = host.replica().kernel().objects.stdio.iter().map(|(id, s)| (id.0, s.number)).collect();
    let figures = host.replica().figures().now().into_iter().collect();
    Ok(Recording { frames, status, stdout, stderr, parts, memory, outputs, stdio, figures, log })
}

/// What a replay came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Replay {
    pub status: Option<i32>,
    pub steps: usize,
    pub digests: usize,
}

/// Executes the log again, from its files, comparing every digest; local files go below `dir`.
pub fn replay(recording: &Recording, dir: &Path, calls: Calls) -> Result<Replay> {
    let (view, _) = LogView::open(recording.log.path())?;
    let mut host = Host::new(calls.of(ProcessGroup::backup(dir)?), options());
    let mut done = Replay { status: None, steps: 0, digests: 0 };
    for frame in view.reader(Seq(0)) {
        host.feed(&frame?)?;
        loop {
            match host.replay_step() {
                Ok(Replayed::Step(_)) => done.steps += 1,
                Ok(Replayed::Sync(_)) => done.digests += 1,
                Ok(Replayed::Starved) => break,
                Ok(Replayed::Ended(status)) => {
                    done.status = Some(status);
                    break;
                }
                Err(e) => return Err(named(&e, recording, &mut host)),
            }
        }
    }
    Ok(done)
}

/// An error of a replay, with the names of what is not as it was recorded.
fn named(e: &Error, recording: &Recording, host: &mut Host<ProcessGroup>) -> Error {
    let mut text = format!("{e}; differing: {:?}", differing(recording, host));
    let here = pages(host).unwrap_or_default();
    let there = recording.memory.get(&host.replica().position()).cloned().unwrap_or_default();
    let zeros = vec![0; 4096];
    let places: std::collections::BTreeSet<_> = here.keys().chain(there.keys()).collect();
    let bytes = places.into_iter().flat_map(|&place| {
        let (now, before) = (here.get(&place).unwrap_or(&zeros), there.get(&place).unwrap_or(&zeros));
        let pairs: Vec<_> = before.iter().copied().zip(now.iter().copied()).enumerate().collect();
        pairs.into_iter().filter(|(_, (a, b))| a != b).map(move |(at, (a, b))| (place.0, place.1 + at as u64, a, b))
    });
    for (tid, addr, before, now) in bytes.take(BYTES_SHOWN) {
        text += &format!("\nthread {tid}, {addr:#x}: {before:02x} was recorded, {now:02x} found");
    }
    if let Some(tracee) = host.replica_mut().tracees_mut().values().next() {
        text += &format!("\nthe first thread's stack pointer is {:#x}", tracee.regs().rsp);
    }
    Error::Refused(text)
}

/// Names of the parts of the digest that are not as they were recorded.
fn differing(recording: &Recording, host: &mut Host<ProcessGroup>) -> Vec<String> {
    let here: BTreeMap<_, _> = host.replica_mut().digest_parts().unwrap_or_default().into_iter().collect();
    let there: BTreeMap<_, _> =
        recording.parts.get(&host.replica().position()).cloned().unwrap_or_default().into_iter().collect();
    let names: std::collections::BTreeSet<_> = here.keys().chain(there.keys()).collect();
    names.into_iter().filter(|name| here.get(*name) != there.get(*name)).cloned().collect()
}

/// A backup that has executed the first `frames` frames.
pub fn backup(replica: ProcessGroup, recording: &Recording, frames: usize) -> Result<Host<ProcessGroup>> {
    let mut host = Host::new(replica, options());
    for frame in &recording.frames[..frames] {
        host.feed(frame)?;
        loop {
            match host.replay_step() {
                Ok(Replayed::Starved | Replayed::Ended(_)) => break,
                Ok(_) => {}
                Err(e) => return Err(named(&e, recording, &mut host)),
            }
        }
    }
    Ok(host)
}

/// What the survivor of a takeover said, and how it ended.
pub struct Survivor {
    pub status: i32,
    /// Standard output and error.
    pub said: [String; 2],
    /// What had left for certain before the takeover.
    pub left: [String; 2],
    /// What may have left: said before, and no mark tells.
    pub doubtful: [String; 2],
}

/// The primary dies after this mark; a backup goes live there and runs to the end.
pub fn take_over(guest: &Guest, recording: &Recording, mark: &MarkAt) -> Result<Survivor> {
    let dir = tempfile::tempdir().expect("a directory for local files");
    let streams = Streams::new(&guest.stdin);
    let replica = Calls::InProcess.of(ProcessGroup::backup(dir.path())?).with_stdio(streams.open());
    let mut host = backup(replica, recording, mark.frames)?;
    streams.skip_input(recording.input_taken(mark.frames));
    let last = recording.frames[..mark.frames].last().expect("at least the launch");
    host.replica_mut().prepare()?;
    host.go_live(Term(2), last.end_seq(), last.chain_after())?;
    let status = run_live(&mut host, false, |_, _| Ok(()))
        .map_err(|e| Error::Refused(format!("{e}\nthe survivor wrote:\n{}{}", streams.text(1), streams.text(2))))?;
    Ok(Survivor {
        status,
        said: [streams.text(1), streams.text(2)],
        left: recording.text(0..mark.mark.released),
        doubtful: recording.text(mark.mark.released..mark.mark.said),
    })
}

/// Burns one processor while it lives.
pub struct Load(Arc<AtomicBool>);

impl Load {
    /// Starts to burn.
    pub fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        std::thread::spawn(move || {
            let mut n = 0u64;
            while !seen.load(Ordering::Relaxed) {
                n = std::hint::black_box(n.wrapping_mul(31).wrapping_add(7));
            }
        });
        Self(over)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
