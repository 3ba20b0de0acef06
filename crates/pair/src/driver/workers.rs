//! The threads for what blocks: the arbiter, the disk, dialling.
//!
//! Each takes jobs from a queue in order and reports an event for each. They end when their queue's sender is gone, and do nothing more for a
//! life that is over but store what the disk's thread was given. A thread that hangs (an arbiter that does not answer) delays only its own
//! kind of job.

use super::core::Shared;
use super::mailbox::Command;
use super::state;
use crate::arbiter::{Arbiter, ArbiterError, PutOutcome};
use crate::{ConnId, Event, Life, Meta, Mode, Point, Put, Ticket};
use gapless_log::{Base, CommitLevel, LogView, META_NAME, SealedSnapshot, Syncer};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Longest attempt to connect.
const DIAL_TIME_MAX: Duration = Duration::from_secs(1);

/// Whatever the commit level, what is written is synced at least this often.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// What the arbiter's thread does.
#[derive(Debug)]
pub(super) enum ArbiterJob {
    Read(Ticket),
    Put(Ticket, Box<Put>),
}

/// What the disk's thread does.
#[derive(Debug)]
pub(super) enum DiskJob {
    StoreMeta(Box<Meta>),
    /// Make everything written so far durable.
    Sync,
    FindCommon(ConnId, Vec<Point>),
    /// The whole state has arrived: let the log begin with it.
    BeginWith(Box<state::Incoming>),
    /// The whole later state of a log that is not executed has arrived.
    Renew(Box<state::Incoming>),
    /// Let the log be executed, from the state that it begins with now.
    Replay,
    /// Let the log begin later, with this snapshot.
    Shorten(Base, Box<SealedSnapshot>),
}

/// To the disk's thread. However many syncs are asked for while one lasts, one waits.
#[derive(Debug)]
pub(super) struct DiskQueue {
    jobs: Sender<DiskJob>,
    sync_waits: Arc<AtomicBool>,
}

impl DiskQueue {
    pub fn send(&self, job: DiskJob) {
        if matches!(job, DiskJob::Sync) && self.sync_waits.swap(true, Ordering::SeqCst) {
            return;
        }
        // If the thread is gone it has panicked, and this life ends with it.
        let _ = self.jobs.send(job);
    }
}

/// Where the disk's thread takes its jobs.
#[derive(Debug)]
pub(super) struct DiskJobs {
    jobs: Receiver<DiskJob>,
    sync_waits: Arc<AtomicBool>,
}

/// Both ends.
pub(super) fn disk_queue() -> (DiskQueue, DiskJobs) {
    let (sender, receiver) = mpsc::channel();
    let sync_waits = Arc::new(AtomicBool::new(false));
    (DiskQueue { jobs: sender, sync_waits: Arc::clone(&sync_waits) }, DiskJobs { jobs: receiver, sync_waits })
}

impl DiskJobs {
    /// Everything that waits, as soon as there is something. Nothing after a while; an error if there will be nothing more.
    fn next(&self, at_most: Duration, into: &mut Vec<DiskJob>) -> Result<(), RecvTimeoutError> {
        into.push(self.jobs.recv_timeout(at_most)?);
        into.extend(self.jobs.try_iter());
        if into.iter().any(|job| matches!(job, DiskJob::Sync)) {
            // Before the sync: whatever is written after this asks for another one.
            self.sync_waits.store(false, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// Reads and puts, one at a time.
pub(super) fn arbitrate(arbiter: &Mutex<Box<dyn Arbiter>>, jobs: &Receiver<ArbiterJob>, shared: &Weak<Shared>) {
    for job in jobs {
        if shared.strong_count() == 0 {
            return;
        }
        let mut arbiter = arbiter.lock().unwrap_or_else(PoisonError::into_inner);
        let mut error = None;
        let mut failed = |e: ArbiterError, event| {
            error =
                Some(format!("{e}; trying again, and nothing that needs the register can happen before it answers"));
            event
        };
        let event = match job {
            ArbiterJob::Read(ticket) => match arbiter.read() {
                Ok(register) => Event::ReadDone(ticket, register),
                Err(e) => failed(e, Event::ReadFailed(ticket)),
            },
            ArbiterJob::Put(ticket, put) => match arbiter.put(&put) {
                Ok(PutOutcome::Won) => Event::PutDone(ticket, Some(put.new)),
                Ok(PutOutcome::Lost(standing)) => Event::PutDone(ticket, standing),
                Err(e) => failed(e, Event::PutUnknown(ticket)),
            },
        };
        drop(arbiter);
        let Some(shared) = shared.upgrade() else { return };
        let mut core = shared.lock();
        match error {
            Some(what) => core.stats.arbiter.failed(what, Instant::now()),
            None => core.stats.arbiter.over(),
        }
        drop(core);
        shared.tell([event]);
    }
}

/// Stores meta, syncs, searches. Syncs that wait for one another become one.
pub(super) fn work_disk(
    jobs: &DiskJobs,
    mut meta: gapless_log::Meta,
    mut syncer: Syncer,
    mut view: LogView,
    shared: &Weak<Shared>,
) {
    let mut waiting = Vec::new();
    loop {
        match jobs.next(SYNC_EVERY, &mut waiting) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) if syncer.synced() < syncer.written() => waiting.push(DiskJob::Sync),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if let Some(shared) = shared.upgrade()
            && let Some(end) = removed(view.dir(), &shared)
        {
            // Before a job fails over it and says less.
            waiting.clear();
            shared.tell([end]);
            continue;
        }
        let sync = waiting.iter().any(|job| matches!(job, DiskJob::Sync));
        let mut events = Vec::new();
        if sync {
            events.push(match syncer.sync() {
                Ok(seq) => Event::Synced(seq),
                Err(e) => Event::LogFailed(e.to_string()),
            });
        }
        let mut loads = Vec::new();
        for job in waiting.drain(..) {
            match job {
                DiskJob::Sync => {}
                DiskJob::StoreMeta(new) => events.push(match store_meta(&mut meta, &new, view.dir()) {
                    Ok(()) => Event::MetaStored,
                    Err(e) => Event::LogFailed(e.to_string()),
                }),
                DiskJob::FindCommon(conn, points) => events.push(match find_common(&view, &points) {
                    Ok(point) => Event::CommonFound(conn, point),
                    Err(e) => Event::LogFailed(e.to_string()),
                }),
                DiskJob::Renew(state) => {
                    let Some(shared) = shared.upgrade() else { continue };
                    let base = state.base;
                    let written = state.writer.seal();
                    shared.lock().kept(base, written);
                }
                DiskJob::Replay => {
                    let Some(shared) = shared.upgrade() else { continue };
                    if view.base() != Base::default() {
                        shared.mail.post(Command::Load(None));
                    }
                    shared.mail.replay_log();
                }
                DiskJob::Shorten(base, snapshot) => {
                    let Some(shared) = shared.upgrade() else { continue };
                    events.extend(
                        shorten(&shared, &mut meta, base, *snapshot).err().map(|e| Event::LogFailed(e.to_string())),
                    );
                }
                DiskJob::BeginWith(state) => {
                    let Some(shared) = shared.upgrade() else { continue };
                    let load = Command::Load(Some((state.nonce, state.at)));
                    events.push(match begin_with(&shared, &mut meta, *state) {
                        Ok(begun) => {
                            (view, syncer) = begun;
                            loads.push(load);
                            Event::LogCut
                        }
                        Err(e) => Event::LogFailed(e.to_string()),
                    });
                }
            }
        }
        let Some(shared) = shared.upgrade() else { continue };
        for event in &events {
            if let Event::Synced(seq) = event {
                shared.mail.set_synced(*seq);
            }
        }
        shared.tell(events);
        // The engine has heard of the new log before it can hear of its state.
        loads.into_iter().for_each(|load| shared.mail.post(load));
    }
}

/// A backup whose directory was removed protects nobody: what it acknowledges is in no file, and it could not take over. (An owner goes on: it has a
/// backup, or nothing better.)
fn removed(dir: &Path, shared: &Shared) -> Option<Event> {
    let backup = matches!(shared.lock().mode(), Mode::Joining | Mode::Acking | Mode::Silent);
    (backup && !dir.join(META_NAME).exists()).then(|| {
        Event::LogFailed(format!("{} was removed while it was in use; start this backup again", dir.display()))
    })
}

/// Replaces the log by an empty one that begins with `state`.
fn begin_with(
    shared: &Shared,
    meta: &mut gapless_log::Meta,
    state: state::Incoming,
) -> gapless_log::Result<(LogView, Syncer)> {
    meta.base = state.base;
    let begun = shared.with_store(|store| {
        store.begin_with(meta, state.writer)?;
        Ok((store.view().clone(), store.syncer()))
    })?;
    shared.log_replaced(&begun.0);
    Ok(begun)
}

/// Lets the log begin later. If its record cannot be replaced it stays as it is, whichever of the two a crash would leave.
fn shorten(
    shared: &Shared,
    meta: &mut gapless_log::Meta,
    base: Base,
    snapshot: SealedSnapshot,
) -> gapless_log::Result<()> {
    let (bytes, old) = (snapshot.bytes(), std::mem::replace(&mut meta.base, base));
    let installed = shared.with_store(|store| store.can_begin_at(base)).and_then(|()| snapshot.install(meta));
    if let Err(e) = installed {
        meta.base = old;
        shared.lock().unkept(&e.to_string());
        return Ok(());
    }
    // Long logs take a while to remove: nobody who writes waits for that.
    shared.with_store(|store| store.begin_at(base))?.remove()?;
    shared.lock().shortening.done(bytes);
    Ok(())
}

/// The pair's record inside the directory's.
fn store_meta(meta: &mut gapless_log::Meta, new: &Meta, dir: &Path) -> gapless_log::Result<()> {
    meta.commit = match new.commit {
        crate::Commit::Received => CommitLevel::Received,
        crate::Commit::Durable => CommitLevel::Durable,
    };
    meta.life = new.life.map(life_bytes);
    meta.boot = new.boot;
    meta.highest = new.seen.map(|(uuid, term)| (uuid, term.0));
    meta.intent = new.intent.as_ref().map(|put| postcard::to_stdvec(put).expect("a put always encodes"));
    meta.store(dir)
}

/// The pair's record as the directory holds it; an intent that cannot be read is an error, never none.
pub(super) fn load_meta(meta: &gapless_log::Meta) -> gapless_log::Result<Meta> {
    let unreadable = || {
        let why = "the directory's record of an unresolved put cannot be read by this version; start it with the build that wrote it";
        gapless_log::Error::Refused(why.to_owned())
    };
    Ok(Meta {
        seen: meta.highest.map(|(uuid, v)| (uuid, gapless_log::Term(v))),
        life: meta.life.map(|bytes| bytes_life(&bytes)),
        commit: match meta.commit {
            CommitLevel::Received => crate::Commit::Received,
            CommitLevel::Durable => crate::Commit::Durable,
        },
        boot: meta.boot,
        intent: match &meta.intent {
            None => None,
            Some(bytes) => Some(postcard::from_bytes::<Put>(bytes).map_err(|_| unreadable())?),
        },
    })
}

fn life_bytes(life: Life) -> [u8; 24] {
    let mut out = [0; 24];
    out[..8].copy_from_slice(&life.node.to_le_bytes());
    out[8..].copy_from_slice(&life.id.to_le_bytes());
    out
}

fn bytes_life(bytes: &[u8; 24]) -> Life {
    let (node, id) = bytes.split_at(8);
    Life {
        node: u64::from_le_bytes(node.try_into().expect("8 bytes")),
        id: u128::from_le_bytes(id.try_into().expect("16 bytes")),
    }
}

/// The first of these points (latest first) that the log has.
fn find_common(view: &LogView, points: &[Point]) -> gapless_log::Result<Point> {
    for point in points {
        if view.common(point.seq, point.chain)? {
            return Ok(*point);
        }
    }
    Ok(Point::ZERO)
}

/// Connects to one address after another.
pub(super) fn dial(addresses: &Receiver<String>, shared: &Weak<Shared>) {
    while let Ok(address) = addresses.recv() {
        let dialled = connect(&address);
        let Some(shared) = shared.upgrade() else { return };
        let mut core = shared.lock();
        match dialled {
            Ok(socket) => {
                core.stats.dial.over();
                core.dialled(socket);
            }
            Err(e) => core.stats.dial.failed(format!("{address}: {e}"), Instant::now()),
        }
        core.finish();
        drop(core);
        shared.io.wake();
    }
}

fn connect(address: &str) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::other("the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, DIAL_TIME_MAX) {
            Ok(socket) => return Ok(socket),
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// Holds a piece of what several threads share; named for its use in thread arguments.
pub(super) type SharedArbiter = Arc<Mutex<Box<dyn Arbiter>>>;
