//! Carrying out what an engine wants, with the real host loop's steps and a simulated directory.

use crate::check::Live;
use crate::coverage::Met;
use crate::sim::{Sim, ToNode};
use gapless_log::{Error, Frame, Progress, Replayed, Replica, Seq};
use gapless_pair::{
    Action, Commit, ConnId, Event, GoLive, Halt, Message, Meta, Micros, Mutant, Nonce, Packet, Point, Report, Seat,
    StateChunk, Status, Why,
};
use std::sync::Arc;

impl Sim {
    pub(crate) fn apply(&mut self, node: usize, action: Action) {
        match action {
            Action::Send(conn, packet) => self.send(node, conn, packet),
            Action::Close(conn) => self.close(node, conn),
            Action::Dial(address) => self.dial(node, &address),
            Action::Read(ticket) => self.ask(node, ticket, None),
            Action::Put(ticket, put) => self.ask(node, ticket, Some(put)),
            Action::StoreMeta(meta) => self.store_meta(node, meta),
            Action::Append(frame) => self.append_received(node, frame),
            Action::CutLog(at) => self.cut_log(node, at),
            // Whatever its disk is about to do comes first.
            Action::ReplayLog if self.plan.warm => {
                let delay = Micros(self.rng.below(30_000));
                let Some(run) = &mut self.nodes[node].run else { return };
                run.disk_free = run.disk_free.max(self.now).plus(delay);
                let delay = run.disk_free.since(self.now);
                self.give(node, delay, ToNode::Replay);
            }
            Action::ReplayLog => self.replay_log(node),
            Action::LoadState(nonce, chunk) => self.load_state(node, nonce, chunk),
            Action::FindCommon(conn, points) => {
                let common = self.nodes[node].disk.common(&points);
                self.give(node, Micros(200), ToNode::Event(Event::CommonFound(conn, common)));
            }
            Action::StreamFrom(conn, nonce, from) => {
                let Some(at) = self.nodes[node].disk.from(from) else {
                    return self.fail(format!("n{node} is to send its log from entry {from}, which is gone"));
                };
                if let Some(run) = &mut self.nodes[node].run {
                    run.streams.insert(nonce, (conn, at));
                }
                self.pump(node);
            }
            Action::RenewState(nonce, chunk) => self.renew_state(node, nonce, &chunk),
            Action::ShortenLog(at) => self.shorten_log(node, at),
            Action::SaveState(conn, nonce) => self.save_state(node, conn, nonce),
            Action::StopStream(_, nonce) => {
                if let Some(run) = &mut self.nodes[node].run {
                    run.streams.remove(&nonce);
                }
            }
            Action::Commit(seq) => {
                if let Some(run) = &mut self.nodes[node].run {
                    run.commit = seq;
                }
                self.check_commit(node);
                let soon = Micros(self.rng.below(4_000));
                self.give(node, soon, ToNode::Release);
            }
            Action::Throttle(on) => {
                if let Some(run) = &mut self.nodes[node].run {
                    run.throttled = on;
                }
            }
            Action::Stop => {
                if let Some(run) = &mut self.nodes[node].run {
                    run.stopping = Some(false);
                }
            }
            Action::Continue => {
                if let Some(run) = &mut self.nodes[node].run {
                    run.stopping = None;
                }
            }
            Action::Kill => {
                if let Some(run) = &mut self.nodes[node].run {
                    run.killed = true;
                    run.host.replica_mut().halt();
                }
                self.give(node, Micros(2_000), ToNode::Event(Event::Killed));
            }
            Action::Prepare => self.prepare(node),
            Action::Unprepare => {}
            Action::GoLive(how) => self.go_live(node, how),
            Action::Halt(why) => self.halted(node, why),
            Action::Status(status) => self.status(node, &status),
        }
    }

    /// What a live node may release now, against the latest owner's log.
    fn check_commit(&mut self, node: usize) {
        let n = &self.nodes[node];
        let Some(run) = n.run.as_ref().filter(|r| !r.killed && r.commit > Seq(0)) else { return };
        let Some(live) = run.live else { return };
        let last = Seq(run.commit.0 - 1);
        let at = match n.disk.find(last) {
            Some((_, frame)) => Point::after(frame),
            None if last < n.disk.start().seq => n.disk.start(),
            None => n.disk.end(),
        };
        if let Err(what) = self.checker.may_release(live, at) {
            self.fail(what);
        }
    }

    // ---- the directory ----

    fn store_meta(&mut self, node: usize, meta: Meta) {
        let delay = Micros(200 + self.rng.below(4_000));
        let now = self.now;
        let Some(run) = &mut self.nodes[node].run else { return };
        run.metas.push_back(meta);
        run.disk_free = run.disk_free.max(now.plus(delay));
        let delay = run.disk_free.since(now);
        self.give(node, delay, ToNode::MetaStored);
    }

    pub(crate) fn meta_stored(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        if let Some(meta) = n.run.as_mut().and_then(|r| r.metas.pop_front()) {
            n.disk.meta = meta;
            self.handle(node, Event::MetaStored);
        }
    }

    /// Appends a frame in the process's memory; the kernel gets it a little later, in order.
    fn append(&mut self, node: usize, frame: Arc<Frame>) {
        let delay = Micros(50 + self.rng.below(self.plan.write_max.0));
        let now = self.now;
        let end = frame.end_seq();
        let n = &mut self.nodes[node];
        let count = n.disk.append(frame);
        let Some(run) = &mut n.run else { return };
        run.held.0 = end;
        let (life, held) = (run.life, run.held);
        run.disk_free = run.disk_free.max(now.plus(delay));
        let (delay, cuts) = (run.disk_free.since(now), run.cuts);
        self.held.insert(life, held);
        self.give(node, delay, ToNode::Written(count, end, cuts));
    }

    pub(crate) fn written(&mut self, node: usize, count: usize, end: Seq, cuts: u32) {
        let n = &mut self.nodes[node];
        let Some(run) = &mut n.run else { return };
        let current = run.cuts == cuts;
        n.disk.write(if current { count } else { count.min(run.floor) });
        self.handle(node, Event::Written(end));
        let sync = self.plan.commit == Commit::Durable || self.rng.one_in(6);
        if sync && current {
            let delay = Micros(300 + self.rng.below(3_000));
            let now = self.now;
            let Some(run) = &mut self.nodes[node].run else { return };
            run.disk_free = run.disk_free.max(now.plus(delay));
            let delay = run.disk_free.since(now);
            self.give(node, delay, ToNode::Synced(cuts));
        }
    }

    pub(crate) fn synced(&mut self, node: usize, cuts: u32) {
        let n = &mut self.nodes[node];
        let Some(run) = &mut n.run else { return };
        if run.cuts != cuts {
            return;
        }
        let end = n.disk.sync();
        run.held.1 = end;
        let (life, held) = (run.life, run.held);
        self.held.insert(life, held);
        self.handle(node, Event::Synced(end));
    }

    fn cut_log(&mut self, node: usize, at: Point) {
        let broken = self.mutant != Mutant::None;
        let n = &mut self.nodes[node];
        let Some(run) = &mut n.run else { return };
        if run.fed && run.live.is_none() {
            if run.host.next_seq() > at.seq {
                self.fail(format!("n{node} cuts its log at {at:?} below what it has executed"));
                return;
            }
            run.host.cut(at.seq, at.chain);
        }
        if broken && n.disk.common(&[at]) != at {
            return self.fail(format!("n{node} cuts its log at {at:?}, where no frame ends"));
        }
        n.disk.cut(at);
        run.floor = if run.cuts == 0 { n.disk.count() } else { run.floor.min(n.disk.count()) };
        run.kept.take_if(|(kept, _)| kept.seq >= at.seq);
        run.cuts += 1;
        run.held = (run.held.0.min(at.seq), run.held.1.min(at.seq));
        let (life, held) = (run.life, run.held);
        self.held.insert(life, held);
        self.log_cut(node);
    }

    fn log_cut(&mut self, node: usize) {
        let now = self.now;
        let Some(run) = &mut self.nodes[node].run else { return };
        run.disk_free = run.disk_free.max(now.plus(Micros(100)));
        let delay = run.disk_free.since(now);
        self.give(node, delay, ToNode::Event(Event::LogCut));
    }

    pub(crate) fn replay_log(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        let Some(run) = &mut n.run else { return };
        run.fed = true;
        if let Some((at, state)) = &n.disk.base
            && let Err(e) = run.host.load(state, at.seq, at.chain)
        {
            return self.fail(format!("n{node} cannot load the state that its log begins with: {e}"));
        }
        let fed = n.disk.frames().try_for_each(|frame| run.host.feed(frame));
        if let Err(e) = fed {
            return self.fail(format!("n{node} cannot replay its log: {e}"));
        }
        self.work_soon(node);
    }

    fn append_received(&mut self, node: usize, frame: Arc<Frame>) {
        let warm = self.plan.warm;
        if let Some(run) = &mut self.nodes[node].run
            && (run.fed || !warm)
        {
            run.fed = true;
            if let Err(e) = run.host.feed(&frame) {
                return self.fail(format!("n{node} refuses a frame that its engine accepted: {e}"));
            }
        }
        self.append(node, frame);
        self.work_soon(node);
    }

    // ---- states ----

    fn save_state(&mut self, node: usize, conn: ConnId, nonce: Nonce) {
        self.seal(node);
        let at = self.nodes[node].disk.end();
        let Some(run) = &mut self.nodes[node].run else { return };
        let bytes = match run.host.save() {
            Ok(Some(bytes)) => bytes,
            other => return self.fail(format!("n{node} cannot save its state: {other:?}")),
        };
        self.send_state(node, (conn, nonce), at, &bytes);
        self.give(node, Micros(100), ToNode::Event(Event::StateSaved(conn, nonce, at)));
    }

    fn send_state(&mut self, node: usize, (conn, nonce): (ConnId, Nonce), at: Point, bytes: &[u8]) {
        const PIECES: usize = 2;
        let Some(run) = &self.nodes[node].run else { return };
        let position = run.host.replica().position();
        let piece = bytes.len().div_ceil(PIECES);
        let mut offset = 0;
        for part in bytes.chunks(piece) {
            let last = offset + part.len() == bytes.len();
            let (begin, end) = (offset as u64, offset + part.len());
            let hash = gapless_log::hash(&bytes[..end]);
            let chunk = StateChunk { at, position, offset: begin, hash, last, bytes: part.to_vec() };
            offset = end;
            self.send(node, conn, Packet::new(nonce, Message::State(chunk)));
        }
    }

    /// A later state arrives at a backup that executes nothing.
    fn renew_state(&mut self, node: usize, nonce: Nonce, chunk: &StateChunk) {
        let n = &mut self.nodes[node];
        let Some(run) = &mut n.run else { return };
        if chunk.offset == 0 {
            run.renewed = (nonce, Vec::new());
        }
        if run.renewed.0 != nonce || run.renewed.1.len() as u64 != chunk.offset {
            return self.fail(format!("n{node} takes a piece of state that does not continue what it has"));
        }
        run.renewed.1.extend_from_slice(&chunk.bytes);
        if chunk.last && run.kept.is_none() {
            run.kept = Some((chunk.at, Arc::new(std::mem::take(&mut run.renewed.1))));
            self.met.insert(Met::Renewed);
            self.give(node, Micros(3_000), ToNode::Event(Event::StateKept(chunk.at)));
        }
    }

    /// The replica is saved where its log ends now, if nothing else waits to be kept, so that the log may begin there.
    fn keep_state(&mut self, node: usize) {
        let delay = Micros(100 + self.rng.below(20_000));
        let n = &mut self.nodes[node];
        let Some(run) = &mut n.run else { return };
        let fed = Point { seq: run.host.next_seq(), chain: run.host.chain() };
        let at = if run.live.is_some() { n.disk.end() } else { fed };
        let ready =
            self.plan.saves_state && run.kept.is_none() && run.host.behind_steps() == 0 && at.seq > n.disk.start().seq;
        // A frame may hold the beginning of a step that cannot be executed yet.
        if !ready || n.disk.common(&[at]) != at {
            return;
        }
        let bytes = match run.host.save() {
            Ok(Some(bytes)) => Arc::new(bytes),
            other => return self.fail(format!("n{node} cannot save its state: {other:?}")),
        };
        run.kept = Some((at, Arc::clone(&bytes)));
        let warm = run.engine.warm_session();
        self.give(node, delay, ToNode::Event(Event::StateKept(at)));
        if let Some(session) = warm {
            self.send_state(node, session, at, &bytes);
        }
    }

    fn shorten_log(&mut self, node: usize, at: Point) {
        let n = &mut self.nodes[node];
        let Some(run) = &mut n.run else { return };
        let Some((_, state)) = run.kept.take_if(|(kept, _)| *kept == at) else {
            return self.fail(format!("n{node} has kept no state at {at:?}"));
        };
        if run.fed && run.live.is_none() && run.host.next_seq() < at.seq {
            return self
                .fail(format!("n{node} shortens its log to {at:?} under its replica, which has yet to execute that"));
        }
        if !n.disk.shorten(at, state) {
            return self.fail(format!("n{node} shortens its log to {at:?}, which it has not written"));
        }
        self.met.insert(Met::Shortened);
    }

    fn load_state(&mut self, node: usize, nonce: Nonce, chunk: StateChunk) {
        let n = &mut self.nodes[node];
        let Some(run) = &mut n.run else { return };
        if chunk.offset == 0 {
            n.disk.clear();
            run.state.clear();
            run.kept = None;
            run.floor = 0;
            run.cuts += 1;
            run.held = (Seq(0), Seq(0));
            self.log_cut(node);
        }
        let n = &mut self.nodes[node];
        let Some(run) = &mut n.run else { return };
        run.state.extend_from_slice(&chunk.bytes);
        if !chunk.last {
            return;
        }
        let at = chunk.at;
        if run.fed || !self.plan.warm {
            run.fed = true;
            if let Err(e) = run.host.load(&run.state, at.seq, at.chain) {
                return self.fail(format!("n{node} cannot load a state: {e}"));
            }
        }
        n.disk.base = Some((at, Arc::new(std::mem::take(&mut run.state))));
        run.held = (at.seq, at.seq);
        let (life, held) = (run.life, run.held);
        self.held.insert(life, held);
        self.met.insert(Met::State);
        // The engine has heard of the new log before it hears of its state.
        run.disk_free = run.disk_free.max(self.now).plus(Micros(3_000));
        let delay = run.disk_free.since(self.now);
        self.work_soon(node);
        self.give(node, delay, ToNode::Event(Event::StateLoaded(nonce, at)));
    }

    // ---- going live ----

    fn prepare(&mut self, node: usize) {
        let n = &self.nodes[node];
        if n.run.as_ref().is_some_and(|run| !run.fed) && n.disk.end() != Point::ZERO {
            return self.fail(format!("n{node} prepares a takeover before it has looked at its log"));
        }
        let delay = Micros(200 + self.rng.below(5_000));
        let fails = !self.calm && self.rng.one_in(12);
        let event = if fails { Event::PrepareFailed("address in use".into()) } else { Event::Prepared };
        self.give(node, delay, ToNode::Event(event));
    }

    fn go_live(&mut self, node: usize, how: GoLive) {
        let n = &mut self.nodes[node];
        let Some(run) = &mut n.run else { return };
        if run.host.behind_steps() > 0 {
            return self.fail(format!("n{node} goes live before it has executed its log"));
        }
        if n.disk.end() != (Point { seq: how.next, chain: how.chain }) {
            let end = n.disk.end();
            return self.fail(format!("n{node} goes live at {}, but its log ends at {end:?}", how.next));
        }
        let live = Live { life: run.life, term: how.term.0, generation: how.generation };
        let ends: Vec<Point> = n.disk.frames().map(|f| Point::after(f)).collect();
        let lossy = self.checker.owner().is_some_and(|o| o.generation < how.generation);
        if let Err(what) = self.checker.goes_live(live, n.disk.start(), &ends, run.host.outbox()) {
            return self.fail(what);
        }
        if lossy {
            self.met.insert(Met::LossAccepted);
        }
        run.live = Some(live);
        for other in (0..self.nodes.len()).filter(|&other| other != node) {
            self.check_commit(other);
        }
        let Some(run) = &mut self.nodes[node].run else { return };
        if let Err(e) = run.host.go_live(how.term, how.next, how.chain) {
            return self.fail(format!("n{node} cannot go live: {e}"));
        }
        if how.next != Seq(0) {
            let digest = run.host.replica_mut().digest().unwrap_or_default();
            run.digests.extend(run.host.last_mark().map(|m| (m, digest)));
        }
        self.work_soon(node);
    }

    pub(crate) fn work_soon(&mut self, node: usize) {
        let delay = Micros(50 + self.rng.below(1_500));
        let Some(run) = &mut self.nodes[node].run else { return };
        if !run.working {
            self.work_at(node, delay);
        }
    }

    // ---- the host ----

    pub(crate) fn work(&mut self, node: usize, turn: u64) {
        let Some(run) = &mut self.nodes[node].run else { return };
        if run.killed || run.turn != turn {
            return;
        }
        run.working = false;
        if run.live.is_some() { self.work_live(node) } else { self.work_backup(node) }
    }

    fn work_live(&mut self, node: usize) {
        self.release(node);
        let steps = self.rng.below(4);
        let message = self.rng.one_in(3);
        let digest = self.rng.one_in(8);
        let Some(run) = &mut self.nodes[node].run else { return };
        if message {
            run.world.send(vec![0x80 | steps as u8]);
        }
        if !run.throttled && run.stopping.is_none() {
            for _ in 0..steps {
                match run.host.record_step() {
                    Ok(Progress::Ran) => {}
                    Ok(_) => break,
                    Err(e) => return self.fail(format!("n{node} cannot record: {e}")),
                }
                let at = run.host.replica_mut().digest().unwrap_or_default();
                run.digests.extend(run.host.last_mark().map(|m| (m, at)));
            }
            if digest && run.host.last_mark().is_some() && run.host.record_digest().is_err() {
                return self.fail(format!("n{node} has no digest"));
            }
        }
        // As the host loop does when the replica has ended.
        if run.host.ended().is_some() && !run.end_reported && run.host.record_digest().is_err() {
            return self.fail(format!("n{node} has no digest at its end"));
        }
        self.seal(node);
        if self.rng.one_in(8) {
            self.keep_state(node);
        }
        let Some(run) = &mut self.nodes[node].run else { return };
        if run.stopping == Some(false) {
            run.stopping = Some(true);
            self.handle(node, Event::Stopped);
        }
        let Some(run) = &mut self.nodes[node].run else { return };
        if let Some(status) = run.host.ended()
            && !run.end_reported
        {
            run.end_reported = true;
            self.ended = true;
            self.handle(node, Event::ReplicaEnded(status));
        }
        self.work_again(node);
    }

    /// The live host keeps working, one item planned at a time.
    fn work_again(&mut self, node: usize) {
        let next = Micros(6_000 + self.rng.below(24_000));
        self.work_at(node, next);
    }

    fn work_at(&mut self, node: usize, delay: Micros) {
        if let Some(run) = &mut self.nodes[node].run {
            run.working = true;
            run.turn += 1;
            let turn = run.turn;
            self.give(node, delay, ToNode::Work(turn));
        }
    }

    /// Seals what was recorded and hands it to the directory, the streams, the checker and the engine.
    fn seal(&mut self, node: usize) {
        let Some(run) = &mut self.nodes[node].run else { return };
        let (life, frames) = (run.life, run.host.seal(Seq(0)));
        let digests = if frames.is_empty() { Vec::new() } else { std::mem::take(&mut run.digests) };
        for frame in frames {
            for &(mark, digest) in digests.iter().filter(|d| d.0 >= frame.first_seq() && d.0 < frame.end_seq()) {
                self.checker.recorded(frame.chain_after(), mark, digest);
            }
            let end = Point::after(&frame);
            self.checker.sealed(life, end);
            self.append(node, Arc::new(frame));
            self.handle(node, Event::Sealed(end));
        }
        self.pump(node);
    }

    /// Sends what the streams have not sent.
    fn pump(&mut self, node: usize) {
        let Some(run) = &self.nodes[node].run else { return };
        let streams: Vec<(Nonce, (ConnId, usize))> = run.streams.iter().map(|(&n, &s)| (n, s)).collect();
        for (nonce, (conn, from)) in streams {
            let frames: Vec<Arc<Frame>> = self.nodes[node].disk.frames_from(from).cloned().collect();
            let next = from + frames.len();
            for frame in frames {
                self.send(node, conn, Packet::new(nonce, Message::Stream(frame)));
            }
            if let Some(stream) = self.nodes[node].run.as_mut().and_then(|r| r.streams.get_mut(&nonce)) {
                stream.1 = next;
            }
        }
    }

    /// Outputs whose mark is committed leave; each is held against the rules.
    pub(crate) fn release(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        let Some(run) = &mut n.run else { return };
        let Some(live) = run.live.filter(|_| !run.killed) else { return };
        if let Err(e) = run.host.release(run.commit) {
            return self.fail(format!("n{node} cannot release: {e}"));
        }
        let register = self.arbiter.current();
        let backup = register.filter(|r| r.owned_by(run.life)).and_then(|r| r.backup.as_ref()).map(|b| b.life);
        for output in run.world.take_heard() {
            let Some(mark) = output.mark else {
                return self.fail(format!("n{node} releases output {} before its step has ended", output.number));
            };
            let end = match n.disk.find(mark) {
                Some((at, frame)) => {
                    let safe = match self.plan.commit {
                        Commit::Received => n.disk.written_frames(),
                        Commit::Durable => n.disk.synced_frames(),
                    };
                    if at >= safe {
                        return self
                            .fail(format!("n{node} releases output {} before its own log is safe", output.number));
                    }
                    Point::after(frame)
                }
                None => n.disk.start(),
            };
            if let Some(backup) = backup {
                let held = self.held.get(&backup).copied().unwrap_or_default();
                let held = if self.plan.commit == Commit::Durable { held.1 } else { held.0 };
                if held <= mark {
                    return self.fail(format!(
                        "UNHELD: n{node} releases output {} at mark {mark}; {backup} holds up to {held}",
                        output.number
                    ));
                }
            }
            if let Err(what) = self.checker.leaves(live, &output, end) {
                return self.fail(what);
            }
        }
    }

    fn work_backup(&mut self, node: usize) {
        let steps = 1 + self.rng.below(6);
        let n = &mut self.nodes[node];
        let Some(run) = &mut n.run else { return };
        let mut more = true;
        for _ in 0..steps {
            match run.host.replay_step() {
                Ok(Replayed::Step(mark)) => {
                    let digest = run.host.replica_mut().digest().unwrap_or_default();
                    let frame = n.disk.find(mark).map(|(_, frame)| frame.chain_after());
                    if let Some(Err(what)) = frame.map(|f| self.checker.replayed(run.life, f, mark, digest)) {
                        return self.fail(what);
                    }
                }
                Ok(Replayed::Sync(_)) => {}
                Ok(Replayed::Starved | Replayed::Ended(_)) => {
                    more = false;
                    break;
                }
                Err(e) => return self.replica_differs(node, &e),
            }
        }
        let next = run.host.next_seq();
        let news = next > run.executed;
        run.executed = next;
        if more {
            self.work_soon(node);
        }
        if news {
            self.handle(node, Event::Executed(next));
            if self.rng.one_in(8) {
                self.keep_state(node);
            }
        }
    }

    fn replica_differs(&mut self, node: usize, error: &Error) {
        self.fail(format!("DIVERGED: n{node}: {error}"));
        if let Error::Diverged(d) = error {
            let (expected, found) = (d.expected.clone(), d.found.clone());
            self.handle(node, Event::Diverged(Report { position: d.position, seq: d.seq, expected, found }));
        }
    }

    // ---- what an engine says of itself ----

    fn status(&mut self, node: usize, status: &Status) {
        let asking = if status.asking { ", asking" } else { "" };
        let (mode, term, why) = (status.mode, status.term, &status.why);
        self.trace.note(self.now, format_args!("n{node} {mode:?}{asking} (term {term}): {why:?}"));
        match &status.why {
            Why::TookOver => {
                self.met.insert(Met::Takeover);
                let others_live = (0..self.nodes.len())
                    .any(|o| o != node && self.nodes[o].run.as_ref().is_some_and(|r| r.live.is_some()));
                if others_live {
                    self.met.insert(Met::FalseAlarm);
                }
            }
            Why::WentSolo => {
                self.met.insert(Met::Solo);
            }
            Why::Silence | Why::AckStall
                if matches!(status.mode, gapless_pair::Mode::Protected | gapless_pair::Mode::Silent) =>
            {
                let all_run = self.nodes.iter().filter(|n| n.present).all(|n| n.run.is_some());
                if all_run {
                    self.met.insert(Met::FalseAlarm);
                }
            }
            Why::Resumed => {
                self.met.insert(Met::Resume);
            }
            Why::Session { from, state } => {
                let owner = self.nodes[node].run.as_ref().is_some_and(|r| r.live.is_some());
                let history = self.nodes[node].disk.end() != Point::ZERO && term.0 > 1;
                if owner && history {
                    self.met.insert(if *from > Seq(0) && !state { Met::DeltaRejoin } else { Met::FullRejoin });
                }
            }
            _ => {}
        }
    }

    fn halted(&mut self, node: usize, why: Halt) {
        self.trace.note(self.now, format_args!("n{node} halts: {why}"));
        match &why {
            Halt::Deposed { .. } => {
                self.met.insert(Met::Deposed);
            }
            Halt::HandedOver => {
                self.met.insert(Met::Handover);
            }
            Halt::Ended(_) => {
                self.met.insert(Met::Ended);
                self.nodes[node].done = true;
                self.ended = true;
            }
            Halt::Failed(_) | Halt::Unpaired(_) | Halt::Diverged(_) => {
                return self.fail(format!("n{node} halts without a fault that explains it: {why}"));
            }
            Halt::Refused(_) | Halt::Stopped | Halt::Reborn => {}
        }
        let delay = match &why {
            Halt::Reborn => Micros(5_000 + self.rng.below(30_000)),
            _ => Micros(20_000 + self.rng.below(300_000)),
        };
        self.end_life(node, false);
        if matches!(why, Halt::Reborn) {
            let n = &mut self.nodes[node];
            let meta = &n.disk.meta;
            let open = |r| meta.intent.as_ref().is_some_and(|put| put.expect.matches(Some(r)));
            let named = self.arbiter.current().is_some_and(|r| meta.owns(r) || open(r));
            if named {
                return self.fail(format!("n{node} empties a directory that owns, or has an unresolved intent"));
            }
            n.disk.clear();
        }
        if !self.nodes[node].done {
            self.plan_start(node, delay);
        }
    }
}

/// The side that a seat stands for, by its address.
pub(crate) fn seat(node: usize, id: u128) -> Seat {
    Seat { life: gapless_pair::Life { node: node as u64, id }, address: format!("n{node}") }
}
