//! One machine alone: record to disk, replay from it, resume it. No pair, no arbiter.
//!
//! The rule it keeps: the same host loop and the same log as the pair's. A recorded log has no register, so the lock on the directory is all that
//! resuming needs; a log that belongs to a pair is refused, because its register decides (rule R).

use gapless_log::{
    CommitLevel, DirLock, End, Error, FileSink, Host, LogView, Meta, Options, Position, Replayed, Replica, Result, Seq,
    Store, StoreOptions, Term, Waker, load_base,
};
use std::path::Path;

/// What a replay came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Replay {
    /// Entries executed.
    pub entries: u64,
    /// Steps executed.
    pub steps: u64,
    /// Digests compared, all equal.
    pub digests: u64,
    /// Where the replica stands.
    pub position: Position,
    /// The program's status, if it ended.
    pub ended: Option<i32>,
    /// The digest at the end, if it was asked for.
    pub digest: Option<u128>,
    /// The position that was asked for was reached. False if the log ends before it.
    pub reached: bool,
}

/// How much of a log is executed, and what is done on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extent {
    /// Stop here, inside a step if need be (a replica that cannot stops at the step's end); the log's end if absent.
    pub until: Option<Position>,
    /// Take one more digest at the end.
    pub digest: bool,
}

/// Runs `replica` live from its beginning, with a new log in `dir`; returns the program's status.
pub fn record<R: Replica>(dir: &Path, replica: R, commit: CommitLevel, options: Options) -> Result<i32> {
    let mut meta = Meta::new(replica.level())?;
    meta.commit = commit;
    meta.identity = Some(replica.identity());
    let lock = DirLock::take(dir)?;
    if holds_nothing(dir) {
        Store::wipe(&lock)?;
    }
    let store = Store::create_with(lock, &meta, StoreOptions::default())?;
    let mut host = Host::new(replica, options);
    host.go_live(Term(1), Seq(0), 0)?;
    run(host, store, commit)
}

/// A recording that ended before its first step, so that nobody has seen anything of it; no pair knows of it.
fn holds_nothing(dir: &Path) -> bool {
    LogView::open(dir).is_ok_and(|(view, found)| {
        let meta = view.meta();
        let lost = found.rebooted && meta.commit == CommitLevel::Received;
        let paired = meta.life.is_some() || meta.highest.is_some() || meta.intent.is_some();
        found.last_mark.is_none() && !lost && !paired
    })
}

/// Replays the recorded log in `dir` to its last mark and goes live there; returns the program's status.
///
/// At level received a log that has seen a reboot may end before what was released: that is refused unless `accept_loss`.
pub fn resume<R: Replica>(dir: &Path, replica: R, accept_loss: bool, options: Options) -> Result<i32> {
    let (mut store, found) = Store::open(dir)?;
    let mut meta = store.meta();
    if meta.life.is_some() || meta.highest.is_some() {
        return Err(Error::Refused(format!(
            "{} belongs to a pair: its register decides who may go on; give its --arbiter",
            dir.display()
        )));
    }
    refuse_other_identity(&meta, &replica)?;
    if found.rebooted && meta.commit == CommitLevel::Received && !accept_loss {
        return Err(Error::Refused(format!(
            "this machine was restarted since {} was written, and its commit level is received: the log may lack the last moments \
             of what the program said; resume with --accept-loss if that is acceptable",
            dir.display()
        )));
    }
    let mut host = Host::new(replica, options);
    let base = load_base(store.view(), &mut host)?;
    // A state stands at the end of a step.
    let last = found.last_mark.map(|mark| mark.seq).or(host.last_mark());
    let Some(mark) = last else {
        return Err(Error::Refused(format!("{} holds no whole step to resume from; record anew", dir.display())));
    };
    let mut term = Term(0);
    for frame in store.reader(base.seq) {
        let frame = frame?;
        term = term.max(frame.term());
        if frame.first_seq() > mark {
            break;
        }
        host.feed(&frame)?;
        while !matches!(host.replay_step()?, Replayed::Starved | Replayed::Ended(_)) {}
    }
    // Even if the program has ended, what it said last may not have left.
    if let (Some(status), None) = (host.ended(), host.outbox().waiting().next()) {
        return Ok(status);
    }
    let (next, chain) = if mark < base.seq { (base.seq, base.chain) } else { whole_end(&store, mark)? };
    store.cut(next, chain)?;
    meta.boot = gapless_log::boot_id()?;
    meta.store(dir)?;
    host.replica_mut().prepare()?;
    host.go_live(term.next(), next, chain)?;
    let commit = meta.commit;
    run(host, store, commit)
}

/// Where the frame that holds the last mark ends.
fn whole_end(store: &Store, mark: Seq) -> Result<(Seq, u128)> {
    let frame = store.reader(mark).next().transpose()?;
    let frame = frame.ok_or_else(|| Error::Refused("the last mark has vanished from the log".to_owned()))?;
    Ok((frame.end_seq(), frame.chain_after()))
}

fn run<R: Replica>(mut host: Host<R>, store: Store, commit: CommitLevel) -> Result<i32> {
    let waker = Waker::new().map_err(|e| Error::io("making a waker for", store.dir(), e))?;
    let mut sink = FileSink::new(store, commit, waker.clone())?;
    let end = host.run_live(&mut sink, &waker);
    if end.is_err() {
        host.replica_mut().halt();
    }
    let closed = sink.close();
    match end? {
        End::Exited(status) => {
            closed?;
            Ok(status)
        }
        End::Handover | End::Halted => {
            closed?;
            Err(Error::Refused("the recording was stopped".to_owned()))
        }
    }
}

/// Executes the log in `dir` without going live: to its end, or up to the position `until`. Digests in the log are always compared; `digest` asks for
/// one more at the end.
pub fn replay<R: Replica>(dir: &Path, replica: R, until: Option<Position>, digest: bool) -> Result<Replay> {
    Ok(replay_then(dir, replica, Extent { until, digest }, &mut |_, _| {}, |_, _| Ok(()))?.0)
}

/// The same, and then `then` with the replica as it stands. `progress` hears from time to time what was executed and where the log ends.
pub fn replay_then<R: Replica, T>(
    dir: &Path,
    replica: R,
    extent: Extent,
    progress: &mut dyn FnMut(&Replay, Seq),
    then: impl FnOnce(&mut R, &Replay) -> Result<T>,
) -> Result<(Replay, T)> {
    let (view, _) = LogView::open(dir)?;
    refuse_other_identity(&view.meta(), &replica)?;
    let mut host = Host::new(replica, Options::default());
    let result = execute(&view, &mut host, extent, progress).and_then(|done| {
        let value = then(host.replica_mut(), &done)?;
        Ok((done, value))
    });
    host.replica_mut().halt();
    result
}

fn execute<R: Replica>(
    view: &LogView,
    host: &mut Host<R>,
    Extent { until, digest }: Extent,
    progress: &mut dyn FnMut(&Replay, Seq),
) -> Result<Replay> {
    let mut done = Replay::default();
    let reached = |host: &Host<R>| until.is_none_or(|until| host.replica().position() >= until);
    let base = load_base(view, host)?;
    'frames: for frame in view.reader(base.seq) {
        host.feed(&frame?)?;
        loop {
            if until.is_some() && reached(host) {
                break 'frames;
            }
            match host.replay_step_until(until)? {
                Some(Replayed::Step(_)) => done.steps += 1,
                Some(Replayed::Sync(_)) => done.digests += 1,
                Some(Replayed::Starved) => break,
                Some(Replayed::Ended(status)) => {
                    done.ended = Some(status);
                    break;
                }
                None => break 'frames,
            }
        }
        done.entries = host.next_seq().0 - base.seq.0;
        done.position = host.replica().position();
        progress(&done, view.end().0);
    }
    done.entries = host.next_seq().0 - base.seq.0;
    done.position = host.replica().position();
    done.reached = reached(host);
    done.digest = if digest { Some(host.replica_mut().digest()?) } else { None };
    Ok(done)
}

fn refuse_other_identity<R: Replica>(meta: &Meta, replica: &R) -> Result<()> {
    match meta.identity.as_ref().and_then(|theirs| replica.identity().differs(theirs)) {
        Some(why) => Err(Error::Refused(format!("this log was recorded elsewhere: {why}"))),
        None => Ok(()),
    }
}
