//! The I/O thread of one life: accepts, reads, ticks, and writes a backup's log.
//!
//! The rule it keeps: an acknowledgement leaves before another thread is woken and before the log is written (at level received, memory is what is
//! promised). It sleeps in poll until something happens or the engine's next tick is due; it never spins.

use super::core::{Core, LogOp, Shared};
use super::mailbox::Command;
use super::state::{Incoming, Refused};
use super::workers::DiskJob;
use crate::{Commit, ConnId, Event, Nonce, StateChunk};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

/// Time left for goodbyes once a life is over.
const GOODBYE_TIME_MAX: Duration = Duration::from_millis(200);

/// Runs until the life is over and what was left to say is said. `tick` is the pace of the engine's clock.
pub(super) fn run(shared: &Shared, listener: Option<&TcpListener>, tick: Duration) {
    let mut ticked = Instant::now();
    let mut resting = false;
    let mut ending: Option<Instant> = None;
    let mut arriving = None;
    loop {
        // A listener that cannot accept (no descriptor left) rests until the next tick.
        let listening = listener.filter(|_| !resting);
        let ready = wait(shared, listening, tick.saturating_sub(ticked.elapsed()));
        shared.io.reset();
        let mut core = shared.lock();
        if ready.accept {
            resting = !accept(listener, &mut core);
        }
        for conn in ready.conns {
            core.read(conn);
        }
        if ticked.elapsed() >= tick {
            ticked = Instant::now();
            resting = false;
            // The replica may be in a long step.
            core.read_attended();
            core.tick();
        }
        core.finish();
        let ops: Vec<LogOp> = core.ops.drain(..).collect();
        let over = core.over.is_some();
        let quiet = core.links.values().all(|l| l.outgoing.is_empty());
        drop(core);
        shared.mail.announce();
        carry_out(shared, ops, &mut arriving);
        if over {
            let since = *ending.get_or_insert_with(Instant::now);
            if quiet || since.elapsed() >= GOODBYE_TIME_MAX {
                return;
            }
        }
    }
}

struct Ready {
    accept: bool,
    conns: Vec<ConnId>,
}

fn wait(shared: &Shared, listener: Option<&TcpListener>, at_most: Duration) -> Ready {
    let entry = |fd, events| libc::pollfd { fd, events, revents: 0 };
    let mut fds = vec![entry(shared.io.as_fd().as_raw_fd(), libc::POLLIN)];
    let mut conns = Vec::new();
    if let Some(listener) = listener {
        fds.push(entry(listener.as_raw_fd(), libc::POLLIN));
    }
    let first = fds.len();
    let mut core = shared.lock();
    for (&conn, link) in &mut core.links {
        fds.push(entry(link.fd(), link.watch()));
        conns.push(conn);
    }
    drop(core);
    let ms = i32::try_from(at_most.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
    // SAFETY: `fds` is a valid array of its length. A descriptor that another thread closes meanwhile is answered POLLNVAL or
    // belongs to a newer connection; either only leads to a read that finds nothing.
    unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, ms) };
    let accept = first == 2 && fds[1].revents != 0;
    let ready = |(conn, fd): (ConnId, &libc::pollfd)| (fd.revents & !libc::POLLOUT != 0).then_some(conn);
    Ready { accept, conns: conns.into_iter().zip(&fds[first..]).filter_map(ready).collect() }
}

/// False if the system refuses to accept for now.
fn accept(listener: Option<&TcpListener>, core: &mut Core) -> bool {
    const ACCEPTS_MAX: usize = 16;
    let Some(listener) = listener else { return true };
    for _ in 0..ACCEPTS_MAX {
        match listener.accept() {
            Ok((socket, _)) => core.accepted(socket),
            Err(e) => return e.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
    true
}

/// Writes frames to the own log, cuts it, and reports.
fn carry_out(shared: &Shared, ops: Vec<LogOp>, arriving: &mut Option<Incoming>) {
    let mut written = None;
    let mut events = Vec::new();
    let failed = |e: gapless_log::Error| Event::LogFailed(e.to_string());
    for op in ops {
        match op {
            LogOp::Append(frame) => match shared.with_store(|store| store.append(&frame)) {
                Ok(()) => written = Some(frame.end_seq()),
                Err(e) => {
                    events.push(failed(e));
                    break;
                }
            },
            LogOp::Cut(point) => {
                events.extend(written.take().map(Event::Written));
                match shared.with_store(|store| store.cut(point.seq, point.chain)) {
                    Ok(()) => {
                        shared.mail.post(Command::Cut(point));
                        events.push(Event::LogCut);
                    }
                    Err(e) => {
                        events.push(failed(e));
                        break;
                    }
                }
            }
            LogOp::Renew(nonce, chunk) => {
                if let Err(why) = take_state(shared, nonce, &chunk, arriving, DiskJob::Renew) {
                    // What comes of it yet is of no use.
                    *arriving = None;
                    shared.lock().unkept(&match why {
                        Refused::Broken(what) => what,
                        Refused::Disk(e) => e.to_string(),
                    });
                }
            }
            LogOp::State(nonce, chunk) => {
                if let Err(why) = take_state(shared, nonce, &chunk, arriving, DiskJob::BeginWith) {
                    events.push(match why {
                        Refused::Broken(what) => Event::StateBroken(nonce, what),
                        Refused::Disk(e) => failed(e),
                    });
                    break;
                }
            }
        }
    }
    if let Some(end) = written {
        shared.mail.written(end);
        events.push(Event::Written(end));
    }
    if events.is_empty() {
        return;
    }
    let sync = written.is_some() && shared.commit == Commit::Durable;
    let mut core = shared.lock();
    if sync {
        core.send_disk(DiskJob::Sync);
    }
    if core.over.is_none() {
        events.into_iter().for_each(|e| core.handle(e));
        core.finish();
    }
    drop(core);
    shared.mail.announce();
}

/// Writes a piece of a state; after the last one the disk's thread goes on.
fn take_state(
    shared: &Shared,
    nonce: Nonce,
    chunk: &StateChunk,
    arriving: &mut Option<Incoming>,
    then: fn(Box<Incoming>) -> DiskJob,
) -> Result<(), Refused> {
    if chunk.offset == 0 {
        let begun = shared.with_store(|store| Incoming::begin(store, nonce, chunk));
        *arriving = Some(begun.map_err(Refused::Disk)?);
    }
    let Some(state) = arriving.as_mut().filter(|s| s.nonce == nonce) else { return Ok(()) };
    state.take(chunk)?;
    if chunk.last
        && let Some(state) = arriving.take()
    {
        shared.lock().send_disk(then(Box::new(state)));
    }
    Ok(())
}
