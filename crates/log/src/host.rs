//! The one host loop: record, replay, resume, the pair's driver and the simulator all step a replica through it.
//!
//! It keeps the rules that no level may get wrong: a step ends with its mark, outputs leave only when their mark is committed,
//! a backup executes exactly to the last mark it holds, and whoever differs from the log stops.

use crate::player::check_mark;
use crate::recorder::Writer;
use crate::{
    Backlog, Channel, Digest, Divergence, Error, Frame, FrameBuilder, Kind, Mark, Order, Outbox, Output, Player,
    Position, Progress, Reader, Recorder, Replica, Result, Seq, Sink, SyncBody, Term, Varint, Waker,
};
use std::time::{Duration, Instant};

/// How the loop batches and checks; every number is a limit with a name.
#[derive(Clone, Debug)]
pub struct Options {
    /// A frame is sealed when it holds this many bytes.
    pub frame_bytes: usize,
    /// ... or when its oldest output has waited this long while the replica had more to do.
    pub frame_age: Duration,
    /// ... or at once when it holds so many outputs and no frame waits for commit, so that these are on their way while others are made. Those share the
    /// next frame.
    pub frame_outputs: u64,
    /// No further step is run while more output than this waits for commit.
    pub outbox_bytes_max: usize,
    /// A digest is logged this often while live (stretched so that digests take at most a twentieth of the time); zero: after every step, whatever
    /// that costs.
    pub digest_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            frame_bytes: 64 << 10,
            frame_age: Duration::from_micros(200),
            frame_outputs: u64::MAX,
            outbox_bytes_max: 8 << 20,
            digest_every: Duration::from_secs(1),
        }
    }
}

/// What one replayed step came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replayed {
    /// A step was executed up to the mark with this number.
    Step(Seq),
    /// A digest was compared and was equal.
    Sync(Seq),
    /// No whole step is held.
    Starved,
    /// No whole step is held, and none has to come: the replica has ended with this status.
    Ended(i32),
}

/// Why the live loop returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The replica ended with this status, and all its output has left.
    Exited(i32),
    /// Ordered to hand over: the last mark has been appended and nothing runs.
    Handover,
    /// Ordered to halt.
    Halted,
}

/// A replica with its outbox, its place in the log, and what it has not executed yet.
pub struct Host<R> {
    replica: R,
    outbox: Outbox,
    backlog: Backlog,
    writer: Option<Writer>,
    /// Chain hash of the frames up to the end of the backlog.
    chain: Digest,
    /// End of the executed log: the number after the last executed entry, and the chain there when it is a frame's end.
    ended: Option<i32>,
    /// The mark that was executed or written last.
    last_mark: Option<Seq>,
    options: Options,
}

impl<R: Replica> Host<R> {
    /// A replica that has executed nothing, before the first entry of its log.
    pub fn new(replica: R, options: Options) -> Self {
        Self {
            replica,
            outbox: Outbox::default(),
            backlog: Backlog::default(),
            writer: None,
            chain: 0,
            ended: None,
            last_mark: None,
            options,
        }
    }

    /// The replica.
    pub fn replica(&self) -> &R {
        &self.replica
    }

    /// The replica, to prepare or halt it.
    pub fn replica_mut(&mut self) -> &mut R {
        &mut self.replica
    }

    /// Gives the replica back.
    pub fn into_replica(self) -> R {
        self.replica
    }

    /// What waits for commit.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The mark executed or written last: outputs and state are exactly those of this point.
    pub fn last_mark(&self) -> Option<Seq> {
        self.last_mark
    }

    /// Number of the next entry: to be executed if a backup, to be written if live.
    pub fn next_seq(&self) -> Seq {
        self.writer.as_ref().map_or(self.backlog.next_seq(), Writer::next_seq)
    }

    /// Chain hash of all frames fed; where all of them were executed, it belongs to [`Host::next_seq`] and [`Host::save`].
    pub fn chain(&self) -> Digest {
        self.chain
    }

    /// Whole steps held and not yet executed.
    pub fn behind_steps(&self) -> usize {
        self.backlog.steps()
    }

    /// The status with which the replica ended, if it did.
    pub fn ended(&self) -> Option<i32> {
        self.ended
    }

    /// Is this replica live?
    pub fn is_live(&self) -> bool {
        self.writer.is_some()
    }

    // ---- backup ----

    /// Takes a frame of the log to be executed by [`Host::replay_step`].
    pub fn feed(&mut self, frame: &Frame) -> Result<()> {
        assert!(self.writer.is_none(), "a live replica takes no frames");
        if frame.chain_before() != self.chain {
            return Err(Error::Refused(format!(
                "frame at entry {} does not continue this log (chain {:032x}, not {:032x})",
                frame.first_seq(),
                frame.chain_before(),
                self.chain
            )));
        }
        self.backlog.push(frame)?;
        self.chain = frame.chain_after();
        Ok(())
    }

    /// Drops what was fed from entry `end` on, where the chain hash is `chain`: another log continues differently from there.
    ///
    /// # Panics
    /// If an entry at or beyond `end` has been executed, or the replica is live.
    pub fn cut(&mut self, end: Seq, chain: Digest) {
        assert!(self.writer.is_none(), "a live replica's log is not cut");
        self.backlog.cut(end);
        self.chain = chain;
    }

    /// Executes one step, or compares one digest, if all of it is held.
    pub fn replay_step(&mut self) -> Result<Replayed> {
        Ok(self.replay_step_until(None)?.expect("nothing stops it inside a step"))
    }

    /// The same, and not beyond `stop`. `None` if that lies inside the step, or if the replica has paused there ([`Player::pause`]): it stands there, and
    /// the step goes on with the next call.
    pub fn replay_step_until(&mut self, stop: Option<Position>) -> Result<Option<Replayed>> {
        match self.backlog.front().map(|e| e.kind) {
            Some(Kind::SYNC) => return self.compare_digest().map(|seq| Some(Replayed::Sync(seq))),
            Some(Kind::LIVE) if self.backlog.next_mark().is_some() => {
                self.backlog.pop();
            }
            _ => {}
        }
        if self.backlog.next_mark().is_none() {
            return Ok(Some(self.ended.map_or(Replayed::Starved, Replayed::Ended)));
        }
        // After its end a replica only goes live, so that its last outputs leave; the mark that says that they have is no step of its own.
        let closing = self.ended.is_some() && self.backlog.front().is_some_and(|e| e.kind == Kind::MARK);
        if !closing {
            let mut player = Player { backlog: &mut self.backlog, outbox: &mut self.outbox, stop, paused: false };
            let inside = player.stop().is_some().then(|| player.limit());
            let progress = self.replica.replay(&mut player)?;
            if player.paused || inside.is_some_and(|limit| self.replica.position() < limit) {
                return Ok(None);
            }
            if let Progress::Ended(status) = progress {
                self.ended = Some(status);
            }
        }
        self.take_mark().map(|seq| Some(Replayed::Step(seq)))
    }

    /// The step is over: the log must have its mark here, and the mark must describe what was done.
    fn take_mark(&mut self) -> Result<Seq> {
        let position = self.replica.position();
        let diverged = |seq, expected: String, found: String| Divergence { position, seq, expected, found };
        let (seq, entry) = self.backlog.pop().expect("its mark is held");
        if entry.kind != Kind::MARK || entry.at != position {
            let expected = format!("entry of kind {} at position {}", entry.kind.0, entry.at);
            return Err(diverged(seq, expected, format!("step ended at position {position}")).into());
        }
        let Some(mark) = Mark::decode(&entry.body) else {
            let what = "not a mark".to_owned();
            return Err(Error::BadEntry { seq, at: entry.at, kind: entry.kind, what });
        };
        if let Some((expected, mut found)) = check_mark(&mark, &self.outbox) {
            let said: Vec<&Output> = self.outbox.waiting().filter(|output| output.mark.is_none()).collect();
            if let Some(account) = self.replica.account(&said) {
                found = format!("{found}; here {account}");
            }
            return Err(diverged(seq, expected, found).into());
        }
        self.outbox.stamp(seq);
        self.outbox.forget(&mark);
        self.last_mark = Some(seq);
        Ok(seq)
    }

    fn compare_digest(&mut self) -> Result<Seq> {
        let (seq, entry) = self.backlog.pop().expect("peeked");
        let position = self.replica.position();
        let parts = self.replica.digest_parts()?;
        let Some(logged) = SyncBody::decode(&entry.body) else {
            return Err(Error::BadEntry { seq, at: entry.at, kind: entry.kind, what: "not a digest".to_owned() });
        };
        let differs = logged.differs(&parts);
        if entry.at != position || differs.is_some() {
            let expected = format!("digest {:032x} at {}", logged.digest, entry.at);
            let found = differs.unwrap_or_else(|| format!("the same digest at {position}"));
            return Err(Divergence { position, seq, expected, found }.into());
        }
        Ok(seq)
    }

    // ---- live ----

    /// Starts a fresh log, or continues one that has been executed to its end.
    ///
    /// Entries after the last mark belong to a step that nobody has seen the effects of; they are dropped, and the log must be cut
    /// to `next_seq` and `chain` (the end of the last frame that ends with a mark) before the first new frame is appended.
    pub fn go_live(&mut self, term: Term, next: Seq, chain: Digest) -> Result<()> {
        assert!(self.backlog.next_mark().is_none(), "every whole step is executed before going live");
        assert!(self.writer.is_none(), "already live");
        assert!(self.last_mark.is_none_or(|m| m < next), "the log would be cut below the last mark");
        let fresh = next == Seq(0);
        let mut writer = Writer::new(FrameBuilder::new(self.replica.level(), term, next, chain));
        self.backlog = Backlog::new(next);
        if !fresh {
            writer.push(self.replica.position(), Kind::LIVE, term.0.to_le_bytes().to_vec());
        }
        let mut recorder = Recorder { writer: &mut writer, outbox: &mut self.outbox, sink: None };
        self.replica.go_live(term, &mut recorder)?;
        self.writer = Some(writer);
        if !fresh {
            self.end_step();
        }
        Ok(())
    }

    /// Everything that a fresh backup needs instead of the log up to here. Here must be a frame's end: if live, seal before and take the frames; if not,
    /// execute all that was fed. `None` if this level cannot save itself.
    pub fn save(&mut self) -> Result<Option<Vec<u8>>> {
        let drained = self.writer.as_ref().map_or(self.backlog.front().is_none(), Writer::is_drained);
        assert!(drained, "saved at the end of a frame");
        let mut bytes = HostState::encode(self.ended, self.last_mark, &self.outbox);
        Ok(self.replica.save(&mut bytes)?.then_some(bytes))
    }

    /// Takes what [`Host::save`] wrote; the log continues at entry `next` with chain hash `chain`.
    pub fn load(&mut self, bytes: &[u8], next: Seq, chain: Digest) -> Result<()> {
        assert!(self.writer.is_none(), "a live replica takes no state");
        let mut reader = Reader::new(bytes);
        let state = HostState::decode(&mut reader).ok_or_else(|| Error::Refused("not a saved host".to_owned()))?;
        if state.last_mark.is_some_and(|mark| mark >= next) {
            return Err(Error::Refused(format!("a saved host whose last mark does not lie before entry {next}")));
        }
        let rest = reader.bytes(reader.remaining()).unwrap_or_default();
        self.replica.load(&mut &rest[..])?;
        self.outbox = state.outbox;
        self.ended = state.ended;
        self.last_mark = state.last_mark;
        self.backlog = Backlog::new(next);
        self.chain = chain;
        Ok(())
    }

    fn writer(&mut self) -> &mut Writer {
        self.writer.as_mut().expect("only a live replica writes")
    }

    /// Runs one live step and ends it with its mark. All its frames wait for [`Host::seal`].
    pub fn record_step(&mut self) -> Result<Progress> {
        self.record_step_to(None)
    }

    fn record_step_to(&mut self, sink: Option<&mut dyn Sink>) -> Result<Progress> {
        if let Some(status) = self.ended {
            return Ok(Progress::Ended(status));
        }
        let before = (self.replica.position(), self.outbox.said());
        let writer = self.writer.as_mut().expect("only a live replica records");
        let sink = sink.map(|sink| sink as &mut dyn Sink);
        let mut recorder = Recorder { writer, outbox: &mut self.outbox, sink };
        let progress = self.replica.record(&mut recorder)?;
        self.writer().end_of_step()?;
        let changed = before != (self.replica.position(), self.outbox.said()) || !self.writer().step_is_empty();
        if let Progress::Ended(status) = progress {
            self.ended = Some(status);
        }
        if changed || self.ended.is_some() {
            self.end_step();
        }
        Ok(progress)
    }

    fn end_step(&mut self) {
        let (at, mut mark) = (self.replica.position(), self.outbox.mark());
        for (channel, from) in self.replica.unfinished() {
            // What this side has said again of what an earlier one left comes before the rest of that.
            mark.unfinished.entry(channel).and_modify(|first| *first = from.min(*first)).or_insert(from);
        }
        let seq = self.writer().push(at, Kind::MARK, mark.encode());
        self.writer().close_step();
        self.outbox.stamp(seq);
        self.last_mark = Some(seq);
    }

    /// After the end of the replica: a last digest, so that a program that ended before the first one was due is compared too; then the log's last mark
    /// says that everything has left, so that nobody offers it again. Its frame says that all before it is synced, so that damage there is never
    /// taken for a torn tail; a tail that is torn within the frame itself has lost no step.
    fn close(&mut self, sink: &mut dyn Sink) -> Result<()> {
        self.record_digest()?;
        let closed = self.append_sealed(sink).and_then(|()| sink.sync()).and_then(|()| {
            self.end_step();
            self.append_sealed(sink)
        });
        // Its own thread may have met the disk's error first; that one tells more than the refusal that followed.
        closed.map_err(|e| sink.failure().unwrap_or(e))
    }

    /// Seals every whole step and appends it.
    fn append_sealed(&mut self, sink: &mut dyn Sink) -> Result<()> {
        self.seal(sink.synced()).into_iter().try_for_each(|frame| sink.append(frame))
    }

    /// Logs a digest of this moment, between two steps.
    pub fn record_digest(&mut self) -> Result<Digest> {
        let body = SyncBody::of(&self.replica.digest_parts()?);
        let at = self.replica.position();
        self.writer().push(at, Kind::SYNC, body.encode());
        self.writer().close_step();
        Ok(body.digest)
    }

    /// Seals every whole step and returns the frames for the sink.
    pub fn seal(&mut self, synced: Seq) -> Vec<Frame> {
        let writer = self.writer();
        writer.set_synced(synced);
        writer.seal();
        writer.take_sealed()
    }

    /// Frames that had to be sealed because they were full.
    fn take_full(&mut self) -> Vec<Frame> {
        self.writer().take_sealed()
    }

    /// Lets every output leave whose mark lies below `committed`; returns how many did.
    pub fn release(&mut self, committed: Seq) -> Result<usize> {
        let mut count = 0;
        while let Some(output) = self.outbox.release(committed) {
            self.replica.emit(output)?;
            count += 1;
        }
        Ok(count)
    }

    /// The replica has come to something that it refuses: nothing more is run, but what it said in the steps before leaves if that is committed soon.
    fn last_words(&mut self, sink: &mut dyn Sink, waker: &Waker) -> Result<()> {
        self.append_sealed(sink)?;
        let until = Instant::now() + LAST_WORDS_MAX;
        while self.outbox.waiting().any(|output| output.mark.is_some()) && Instant::now() < until {
            waker.reset();
            sink.look();
            if sink.order() == Order::Halt {
                break;
            }
            if self.release(sink.committed())? == 0 {
                waker.wait(WAIT_FOR_COMMIT_MAX);
            }
        }
        Ok(())
    }

    /// Steps the live replica until it ends or is ordered to stop.
    pub fn run_live(&mut self, sink: &mut dyn Sink, waker: &Waker) -> Result<End> {
        let mut unsealed_since: Option<Instant> = None;
        let mut digest = DigestPace::new(self.options.digest_every);
        loop {
            waker.reset();
            sink.look();
            let order = sink.order();
            if order == Order::Halt {
                self.replica.halt();
                return sink.failure().map_or(Ok(End::Halted), Err);
            }
            self.release(sink.committed())?;
            let full = self.outbox.queued_bytes() > self.options.outbox_bytes_max;
            let progress = if order == Order::None && !full {
                let ran = self.record_step_to(Some(&mut *sink));
                if matches!(ran, Err(Error::Refused(_))) {
                    self.last_words(sink, waker)?;
                }
                Some(ran?)
            } else {
                None
            };
            if order == Order::None && self.ended.is_none() && digest.due(self.replica.position()) {
                let began = cpu_time();
                self.record_digest()?;
                digest.done(cpu_time().saturating_sub(began), self.replica.position());
            }
            let idle = !matches!(progress, Some(Progress::Ran));
            if self.writer().has_unsealed() {
                let since = *unsealed_since.get_or_insert_with(Instant::now);
                let old = since.elapsed() >= self.options.frame_age;
                let many = self.outbox.said() - self.outbox.released() >= self.options.frame_outputs
                    && sink.committed() >= self.writer().sealed_to();
                if idle || old || many || self.writer().unsealed_bytes() >= self.options.frame_bytes {
                    self.append_sealed(sink)?;
                    unsealed_since = None;
                }
            }
            for frame in self.take_full() {
                sink.append(frame)?;
            }
            if sink.wants_state() {
                for frame in self.seal(sink.synced()) {
                    sink.append(frame)?;
                }
                unsealed_since = None;
                let state = self.save();
                if sink.take_state(self.replica.position(), state) {
                    self.writer().divide();
                }
            }
            if !idle || self.release(sink.committed())? > 0 {
                continue;
            }
            match progress {
                Some(Progress::Ended(status)) if self.outbox.waiting().next().is_none() => {
                    self.close(sink)?;
                    return Ok(End::Exited(status));
                }
                Some(Progress::Idle(at_most)) => {
                    self.replica.wait(waker, at_most.min(digest.left(self.replica.position())))?
                }
                _ if order == Order::Handover => return Ok(End::Handover),
                _ => waker.wait(WAIT_FOR_COMMIT_MAX),
            }
        }
    }
}

/// What the host itself remembers, saved in front of the replica's own state.
struct HostState {
    ended: Option<i32>,
    last_mark: Option<Seq>,
    outbox: Outbox,
}

impl HostState {
    fn encode(ended: Option<i32>, last_mark: Option<Seq>, outbox: &Outbox) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_varint(ended.map_or(0, |status| 1 + u64::from(status as u32)));
        out.put_varint(last_mark.map_or(0, |seq| seq.0 + 1));
        out.put_varint(outbox.said());
        out.put_varint(outbox.released());
        out.extend_from_slice(&outbox.hash().to_le_bytes());
        out.put_varint(outbox.waiting().count() as u64);
        for output in outbox.waiting() {
            out.put_varint(output.number);
            out.put_varint(output.channel.0);
            out.put_varint(output.mark.map_or(0, |seq| seq.0 + 1));
            out.put_varint(output.bytes.len() as u64);
            out.extend_from_slice(&output.bytes);
        }
        out
    }

    fn decode(r: &mut Reader<'_>) -> Option<Self> {
        let ended = match r.varint()? {
            0 => None,
            n => Some(u32::try_from(n - 1).ok()? as i32),
        };
        let seq = |n: u64| n.checked_sub(1).map(Seq);
        let last_mark = seq(r.varint()?);
        let (said, released) = (r.varint()?, r.varint()?);
        let hash = Digest::from_le_bytes(r.array()?);
        let mut waiting = Vec::new();
        for _ in 0..r.varint()? {
            let number = r.varint()?;
            let channel = Channel(r.varint()?);
            let mark = seq(r.varint()?);
            let len = usize::try_from(r.varint()?).ok()?;
            waiting.push(Output { number, channel, bytes: r.bytes(len)?.to_vec(), mark });
        }
        let outbox = Outbox::from_parts(said, released, hash, waiting)?;
        Some(Self { ended, last_mark, outbox })
    }
}

/// Longest wait for what a replica said before it refused to go on: no backup may ever come.
const LAST_WORDS_MAX: Duration = Duration::from_secs(5);

/// Longest sleep while only a commit or an order can help; both wake the waker.
const WAIT_FOR_COMMIT_MAX: Duration = Duration::from_millis(100);

/// Time that the calling thread has had a processor: what its own work has cost, whatever others did to the processor meanwhile.
pub fn cpu_time() -> Duration {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid timespec to write to; every thread has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut t) };
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

/// Spaces digests so that they take at most a twentieth of the time.
struct DigestPace {
    every: Duration,
    next: Instant,
    last: Option<Position>,
}

impl DigestPace {
    fn new(every: Duration) -> Self {
        Self { every, next: Instant::now() + every, last: None }
    }

    fn due(&self, position: Position) -> bool {
        self.last != Some(position) && Instant::now() >= self.next
    }

    /// Nothing is due at a position that has its digest.
    fn left(&self, position: Position) -> Duration {
        if self.last == Some(position) {
            return Duration::MAX;
        }
        self.next.saturating_duration_since(Instant::now()).max(Duration::from_millis(10))
    }

    fn done(&mut self, cost: Duration, position: Position) {
        let stretched = if self.every.is_zero() { self.every } else { self.every.max(cost * 20) };
        self.next = Instant::now() + stretched;
        self.last = Some(position);
    }
}
