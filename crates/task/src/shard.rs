//! A shard as a replica: how it records, replays and goes live.
//!
//! One step takes what has come, each thing logged in the step in which a task reads it, and then the messages between its own tasks, up to a limit; so
//! a step's inputs all stand before the messages that it reads by itself, and a replay needs only the position of the mark to stop where the primary did.
//! The one exception is a verdict on a message: it stands where that message is read, before it.

use crate::blackbox::BlackBox;
use crate::crowd::Crowd;
use crate::door::Doors;
use crate::edge::{Caller, Edge, Event};
use crate::id::{Session, Shard, TaskId};
use crate::input::{self, Input};
use crate::keys::{Key, KeyVerdict};
use crate::look::Shown;
use crate::output::{CHANNEL, Said};
use crate::state::{Arrival, Failure, State, Verdict, cut, fitting};
use crate::task::Kinds;
use crate::uncommitted::Uncommitted;
use crate::wire::{FromShard, KeyedTold, check_length};
use crate::world::World;
use gapless_log::{
    Digest, Error, Identity, Kind, Level, Outbox, Output, Parts, Player, Position, Progress, Recorder, Replica, Result,
    Term, Waker, combine,
};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

/// Inputs of one step.
const INPUTS_MAX: usize = 512;
/// Messages between its own tasks that a step reads.
const OWN_MAX: usize = 512;
/// Longest idle time.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// Sessions are looked at for idleness this often.
const EXPIRY_EVERY: Duration = Duration::from_secs(10);

/// Name of this level, in identities.
pub const LEVEL: &str = "task";

/// Which shard of which service, and where it is.
#[derive(Clone, Debug)]
pub struct Place {
    /// This one.
    pub shard: Shard,
    /// Of so many.
    pub shards: u16,
    /// What its tasks are.
    pub kinds: Kinds,
    /// Names the code of the tasks: both sides must run the same.
    pub code: String,
    /// Doors of this node.
    pub doors: Doors,
    /// Where the nodes of the service listen, the two of a pair together.
    pub nodes: Vec<String>,
    /// A file of this node, outside the log, that tells what it was reading when it died; without one a message that ends the process is never given up.
    pub black_box: Option<PathBuf>,
}

/// A shard, replicated. Its edge is the real world unless it is tested.
#[derive(Debug)]
pub struct ShardReplica<E: Edge = World> {
    place: Place,
    state: Option<State>,
    door: E::Door,
    world: Option<E>,
    uncommitted: Uncommitted,
    /// When sessions are looked at for idleness.
    expiry: u64,
    /// How often entries were lost, as the arbiter knows.
    losses: u32,
    crowd: Crowd,
    /// Inputs of the step that is replayed, for whoever differs.
    read: Vec<(Kind, Vec<u8>)>,
    /// Opened for a takeover, and what was found in it; there until it goes live.
    black_box: Option<(BlackBox, Option<Digest>)>,
}

impl ShardReplica {
    /// One that has executed nothing.
    pub fn new(place: Place) -> Self {
        Self::with_edge(place, ())
    }
}

impl<E: Edge> ShardReplica<E> {
    /// One that has executed nothing and finds its edge behind this door.
    pub fn with_edge(place: Place, door: E::Door) -> Self {
        let uncommitted = Uncommitted::default();
        Self {
            place,
            state: None,
            door,
            world: None,
            uncommitted,
            expiry: 0,
            losses: 0,
            crowd: Crowd::default(),
            read: Vec::new(),
            black_box: None,
        }
    }

    /// What is around it while it is live.
    pub fn edge(&mut self) -> Option<&mut E> {
        self.world.as_mut()
    }

    /// Its state, once it has begun.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    fn live(&mut self) -> (&mut State, &mut E) {
        (self.state.as_mut().expect("begun"), self.world.as_mut().expect("live"))
    }

    /// Does the reply to this request wait for its commit?
    fn waits(&mut self, session: Session, number: u64) -> bool {
        let unsaid = self.state.as_ref().expect("begun").unsaid();
        self.uncommitted.holds((session, number), unsaid)
    }

    fn now(&self) -> u64 {
        let wall = self.world.as_ref().expect("live").now();
        wall.max(self.state.as_ref().map_or(0, State::time))
    }

    fn begin(&mut self, log: &mut Recorder<'_>) -> Result<()> {
        let seed = self.world.as_mut().expect("live").seed()?;
        let input = Input::Begin { seed, shard: self.place.shard, shards: self.place.shards, time: self.now() };
        self.state = State::begin(self.place.kinds.clone(), &input);
        log.input(Position(0), input.kind(), input.encode());
        self.lose(log)?;
        self.look_back(log)
    }

    /// What this node has died of more than once is not read again.
    fn look_back(&mut self, log: &mut Recorder<'_>) -> Result<()> {
        self.prepare()?;
        let Some((watch, verdict)) = self.black_box.take() else { return Ok(()) };
        if let Some(message) = verdict {
            self.take(Input::Condemned { message }, log)?;
        }
        self.state.as_mut().expect("begun").watch(watch);
        Ok(())
    }

    /// Entries may have been lost that others have seen the effects of: numbers are given under a generation of their own from here on.
    fn lose(&mut self, log: &mut Recorder<'_>) -> Result<()> {
        let generation = self.losses;
        match self.state.as_ref().is_some_and(|state| state.generation() < generation) {
            true => self.take(Input::Lost { generation }, log),
            false => Ok(()),
        }
    }

    // ---- live ----

    /// Logs an input and gives it to the state.
    fn take(&mut self, input: Input, log: &mut Recorder<'_>) -> Result<()> {
        let state = self.state.as_mut().expect("begun");
        let at = Position(state.read());
        let (kind, body) = (input.kind(), input.encode());
        assert!(state.apply(input), "only what fits becomes an input");
        self.judge(at, log)?;
        log.input(at, kind, body);
        Ok(())
    }

    /// A message at `at` that could not be read here is one that cannot be read: the other side hears so before it comes to it. Until the step's mark
    /// is committed nobody has seen what that led to.
    fn judge(&mut self, at: Position, log: &mut Recorder<'_>) -> Result<()> {
        match self.state.as_mut().and_then(State::take_failure) {
            None => Ok(()),
            Some(Failure::Message(why)) => {
                let verdict = Input::Verdict { why };
                log.input(at, verdict.kind(), verdict.encode());
                Ok(())
            }
            Some(Failure::Side(why)) => Err(Error::Level(why)),
        }
    }

    /// Messages between its own tasks.
    fn read_own(&mut self, log: &mut Recorder<'_>) -> Result<()> {
        for _ in 0..OWN_MAX {
            let (state, _) = self.live();
            let at = Position(state.read());
            if !state.step() {
                break;
            }
            self.judge(at, log)?;
        }
        Ok(())
    }

    /// What has happened becomes an input if it fits.
    fn happen(&mut self, event: Event, log: &mut Recorder<'_>) -> Result<()> {
        let time = self.now();
        match event {
            Event::Open { nonce } => self.take(Input::Open { time, nonce }, log),
            Event::Close { session } if self.live().0.is_open(session) => {
                self.live().1.owes_no_more(session);
                self.take(Input::Close { session }, log)
            }
            Event::Close { .. } => Ok(()),
            Event::Request { by, session, number, below, to, body } => {
                self.request(by, Asked { session, number, below, to, body: Some(body) }, log)
            }
            Event::Delete { by, session, number, below, task } => {
                self.request(by, Asked { session, number, below, to: task, body: None }, log)
            }
            Event::Keyed { by, ticket, key, body, kept } => self.keyed(by, ticket, key, body, kept, log),
            Event::Payload { by, from, stamp, payload } => {
                let (state, world) = self.live();
                match state.arrival(from, stamp) {
                    Arrival::Next if !state.takes(&payload) => world.refuse(by),
                    Arrival::Next => return self.take(Input::Arrived { time, from, stamp, payload }, log),
                    Arrival::Gap => world.refuse(by),
                    Arrival::Seen if world.repeats(by) => return self.take(Input::Again { from }, log),
                    Arrival::Seen => {}
                }
                Ok(())
            }
            Event::Done { number, answer } => match self.live().0.asks(number) {
                true => self.take(Input::Done { time, number, answer: fitting(answer) }, log),
                false => Ok(()),
            },
            Event::Look { by, nonce, what } => {
                let (state, world) = self.live();
                match world.will_show(by, nonce, Shown::of(state, &what, time)) {
                    true => self.take(Input::Look { nonce }, log),
                    false => Ok(()),
                }
            }
        }
    }

    fn request(&mut self, by: Caller, asked: Asked, log: &mut Recorder<'_>) -> Result<()> {
        let time = self.now();
        let Asked { session, number, below, to, body } = asked;
        let (state, world) = self.live();
        let verdict = match body.as_deref().map_or(Ok(()), check_length) {
            Ok(()) => state.verdict(session, number, below, &to),
            Err(why) => Verdict::Refuse(format!("a message of {why}")),
        };
        match (verdict, body) {
            (Verdict::Take, Some(body)) => {
                world.owes(by, session, number);
                return self.take(Input::Request { time, session, number, below, to, body }, log);
            }
            (Verdict::Take, None) => {
                world.owes(by, session, number);
                world.asks_no_more(&to);
                return self.take(Input::Delete { time, session, number, below, task: to }, log);
            }
            (Verdict::Refuse(why), _) => world.tell(by, &FromShard::Refused { session, number, why }),
            (Verdict::Repeated(Some(answer)), _) if !self.waits(session, number) => {
                self.live().1.tell(by, &FromShard::Reply { session, number, answer });
            }
            // It is told when it is known and committed.
            (Verdict::Repeated(_), _) => self.live().1.owes(by, session, number),
        }
        Ok(())
    }

    fn keyed(
        &mut self,
        by: Caller,
        ticket: u64,
        key: Key,
        body: String,
        kept: Duration,
        log: &mut Recorder<'_>,
    ) -> Result<()> {
        let time = self.now();
        let (state, world) = self.live();
        let verdict = match check_length(&body) {
            Ok(()) => state.key_verdict(&key, &body),
            Err(why) => KeyVerdict::Refuse(format!("a message of {why}")),
        };
        let told = match verdict {
            KeyVerdict::Take => {
                world.owes_keyed(by, ticket, state.next_keyed());
                return self.take(Input::Keyed { time, key, body, kept }, log);
            }
            KeyVerdict::Repeated(number, Some(answer)) if !self.waits(Session::KEYED, number) => {
                KeyedTold::Answer(answer)
            }
            // It is told when it is known and committed.
            KeyVerdict::Repeated(number, _) => {
                self.live().1.owes_keyed(by, ticket, number);
                return Ok(());
            }
            KeyVerdict::OtherBody => KeyedTold::OtherBody,
            KeyVerdict::Full(seconds) => KeyedTold::Full(seconds),
            KeyVerdict::Refuse(why) => KeyedTold::Refused(why),
        };
        self.live().1.tell(by, &FromShard::Keyed { ticket, told });
        Ok(())
    }

    fn timers(&mut self, log: &mut Recorder<'_>) -> Result<()> {
        let time = self.now();
        let state = self.state.as_ref().expect("begun");
        let mut due = state.due().is_some_and(|at| at <= time);
        if !due && self.expiry <= time {
            self.expiry = time.saturating_add(EXPIRY_EVERY.as_micros() as u64);
            due = state.expires(time);
        }
        if due { self.take(Input::Time { time }, log) } else { Ok(()) }
    }

    /// A message that the live side has read must be read here too; what could not be read there has its verdict in the log.
    fn replayed(&mut self) -> Result<()> {
        let failure = self.state.as_mut().and_then(State::take_failure);
        failure.map_or(Ok(()), |(Failure::Message(why) | Failure::Side(why))| {
            Err(Error::Level(format!(
                "position {}: this side cannot read a message that the other side has read: {why}; look at what its worker says on stderr",
                self.position()
            )))
        })
    }

    fn idle(&mut self) -> Progress {
        let now = self.now();
        let (state, world) = self.live();
        let timer = state.due().map(|at| Duration::from_micros(at.saturating_sub(now)));
        let wait = timer.into_iter().chain(world.held_due()).min().unwrap_or(IDLE_MAX);
        Progress::Idle(wait.min(IDLE_MAX))
    }
}

/// A request of a session.
struct Asked {
    session: Session,
    number: u64,
    below: u64,
    to: TaskId,
    /// `None`: not to the task, but that it be deleted.
    body: Option<String>,
}

fn speak(state: &mut State, out: &mut Outbox) {
    for said in state.take_said() {
        out.say(CHANNEL, said.encode());
    }
}

impl<E: Edge> Replica for ShardReplica<E> {
    fn identity(&self) -> Identity {
        let kinds = self.place.kinds.code();
        let Place { shard, shards, code, .. } = &self.place;
        let build = concat!("gapless-task ", env!("CARGO_PKG_VERSION"), " build ", env!("GAPLESS_BUILD"));
        let code = format!("{build}, shard {shard} of {shards}, tasks {kinds} of {code}");
        Identity { level: LEVEL.into(), code, features: Vec::new() }
    }

    fn level(&self) -> Level {
        Level::Task
    }

    fn position(&self) -> Position {
        Position(self.state.as_ref().map_or(0, State::read))
    }

    fn record(&mut self, log: &mut Recorder<'_>) -> Result<Progress> {
        if self.state.is_none() {
            self.begin(log)?;
            return Ok(Progress::Ran);
        }
        let (state, world) = self.live();
        world.look(state)?;
        let mut inputs = 0;
        while let Some(event) = self.live().1.next_event() {
            self.crowd.heard(&event);
            self.happen(event, log)?;
            inputs += 1;
            if inputs == INPUTS_MAX {
                break;
            }
        }
        for (to, below) in self.live().1.take_held() {
            // Nobody can hold what was never to be sent.
            if below <= self.live().0.outgoing_end(to) {
                self.take(Input::Held { to, below }, log)?;
            }
        }
        self.timers(log)?;
        self.read_own(log)?;
        self.uncommitted.spoken(self.state.as_ref().expect("begun").unsaid());
        let (state, world) = self.live();
        speak(state, log.out());
        world.flush();
        // Whoever has read something looks once more before it rests: what came meanwhile shares the frame, and its way to the backup and back.
        if inputs > 0 || state.has_queued() {
            self.crowd.let_others_speak();
            return Ok(Progress::Ran);
        }
        self.crowd.is_quiet();
        Ok(self.idle())
    }

    fn replay(&mut self, log: &mut Player<'_>) -> Result<Progress> {
        self.read.clear();
        while let Some((kind, at)) = log.peek().map(|entry| (entry.kind, entry.at)) {
            // A verdict stands among the messages between its own tasks.
            while self.position() < at && self.state.as_mut().is_some_and(State::step) {
                self.replayed()?;
            }
            let body = log.input(self.position(), kind)?;
            let input = Input::decode(kind, &body).ok_or_else(|| input::bad(at, kind))?;
            let fits = match &mut self.state {
                Some(state) => state.apply(input),
                None => {
                    let mine = matches!(input, Input::Begin { shard, shards, .. }
                        if (shard, shards) == (self.place.shard, self.place.shards));
                    self.state = State::begin(self.place.kinds.clone(), &input).filter(|_| mine);
                    self.state.is_some()
                }
            };
            if !fits {
                return Err(log.diverged(at, "an input that fits", format!("{} does not", input::name(kind))));
            }
            self.replayed()?;
            self.read.push((kind, body));
        }
        while self.position() < log.limit() && self.state.as_mut().is_some_and(State::step) {
            self.replayed()?;
        }
        if let Some(state) = &mut self.state {
            speak(state, log.out());
        }
        Ok(Progress::Ran)
    }

    fn emit(&mut self, output: Output) -> Result<()> {
        let bad = || Error::Level(format!("output {} does not decode", output.number));
        let said = Said::decode(&output.bytes).ok_or_else(bad)?;
        self.uncommitted.committed(&said);
        let (state, world) = self.live();
        world.emit(said, state);
        Ok(())
    }

    fn wait(&mut self, waker: &Waker, at_most: Duration) -> Result<()> {
        self.world.as_mut().expect("live").wait(waker, at_most)
    }

    fn prepare(&mut self) -> Result<()> {
        if let (None, Some(path)) = (&self.black_box, &self.place.black_box) {
            self.black_box = Some(BlackBox::open(path)?);
        }
        Ok(())
    }

    fn losses(&mut self, generation: u32) {
        self.losses = generation;
    }

    fn go_live(&mut self, _term: Term, log: &mut Recorder<'_>) -> Result<()> {
        self.lose(log)?;
        if self.state.is_some() {
            self.look_back(log)?;
        }
        let mut world = E::open(&self.place, &mut self.door)?;
        let waiting: Vec<Said> = log.out().waiting().filter_map(|output| Said::decode(&output.bytes)).collect();
        self.uncommitted = Uncommitted::of(&waiting);
        if let Some(state) = &self.state {
            world.resume(state, &waiting);
        }
        self.world = Some(world);
        Ok(())
    }

    fn digest(&mut self) -> Result<Digest> {
        Ok(combine(&self.digest_parts()?))
    }

    fn digest_parts(&mut self) -> Result<Parts> {
        let nothing = || vec![("a shard that has not begun".to_owned(), 0)];
        Ok(self.state.as_mut().map_or_else(nothing, State::digest_parts))
    }

    fn account(&self, said: &[&Output]) -> Option<String> {
        /// Of each, beyond which a person reads the log.
        const TOLD_MAX: usize = 4;
        const WORDS_BYTES_MAX: usize = 300;
        let told = |words: Vec<String>, all: usize| {
            let more = if words.len() < all { format!(" and {} more", all - words.len()) } else { String::new() };
            let words: Vec<&str> = words.iter().map(|words| cut(words, WORDS_BYTES_MAX)).collect();
            if all == 0 { "nothing".to_owned() } else { words.join(" | ") + &more }
        };
        let read = self.read.iter().take(TOLD_MAX);
        let read = read.map(|(kind, body)| input::describe(*kind, body).unwrap_or_default()).collect();
        let words = said.iter().take(TOLD_MAX).filter_map(|output| Said::decode(&output.bytes));
        let words = words.map(|said| format!("{said:?}")).collect();
        let shard = self.place.shard;
        Some(format!("shard {shard} has read {} and said {}", told(read, self.read.len()), told(words, said.len())))
    }

    fn saves(&self) -> bool {
        true
    }

    fn save(&mut self, to: &mut dyn Write) -> Result<bool> {
        let Some(state) = &mut self.state else { return Ok(false) };
        to.write_all(&state.save()).map_err(|e| Error::io("writing", "the state of a shard", e))?;
        Ok(true)
    }

    fn load(&mut self, from: &mut dyn Read) -> Result<()> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map_err(|e| Error::io("reading", "the state of a shard", e))?;
        let state = State::load(self.place.kinds.clone(), &bytes).map_err(Error::Refused)?;
        if state.place() != (self.place.shard, self.place.shards) {
            return Err(Error::Refused("the state of another shard".to_owned()));
        }
        self.state = Some(state);
        Ok(())
    }

    fn halt(&mut self) {
        self.world = None;
    }
}
