//! A shard as a replica: how it records, replays and goes live.
//!
//! One step takes what has come, each thing logged before a task reads it, and then the messages between its own tasks, up to a limit; so a step's inputs
//! all stand before the messages that it reads by itself, and a replay needs only the position of the mark to stop where the primary did.

use crate::door::Doors;
use crate::id::{Session, Shard, TaskId};
use crate::input::{self, Input};
use crate::output::{CHANNEL, Said};
use crate::state::{State, Verdict};
use crate::task::Kinds;
use crate::wire::{FromShard, MESSAGE_BYTES_MAX};
use crate::world::{Caller, Event, World};
use gapless_log::{
    Digest, Error, Identity, Level, Outbox, Output, Parts, Player, Position, Progress, Recorder, Replica, Result, Term,
    Waker, combine,
};
use std::io::{Read, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Inputs of one step.
const INPUTS_MAX: usize = 512;
/// Messages between its own tasks that a step reads.
const OWN_MAX: u64 = 512;
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
    /// Where the nodes of the service listen.
    pub nodes: Vec<String>,
}

/// A shard, replicated.
#[derive(Debug)]
pub struct ShardReplica {
    place: Place,
    state: Option<State>,
    world: Option<World>,
    expiry: Instant,
}

impl ShardReplica {
    /// One that has executed nothing.
    pub fn new(place: Place) -> Self {
        Self { place, state: None, world: None, expiry: Instant::now() }
    }

    /// Its state, once it has begun.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    fn live(&mut self) -> (&mut State, &mut World) {
        (self.state.as_mut().expect("begun"), self.world.as_mut().expect("live"))
    }

    fn now(&self) -> u64 {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        u64::try_from(wall).unwrap_or(u64::MAX).max(self.state.as_ref().map_or(0, State::time))
    }

    fn begin(&mut self, log: &mut Recorder<'_>) -> Result<()> {
        let seed = [gapless_log::random_u128()?, gapless_log::random_u128()?].map(u128::to_le_bytes).concat();
        let seed = seed.try_into().expect("two halves");
        let input = Input::Begin { seed, shard: self.place.shard, shards: self.place.shards, time: self.now() };
        self.state = State::begin(self.place.kinds.clone(), &input);
        log.input(Position(0), input.kind(), input.encode());
        Ok(())
    }

    // ---- live ----

    /// Logs an input and gives it to the state.
    fn take(&mut self, input: Input, log: &mut Recorder<'_>) {
        let (state, _) = self.live();
        let at = Position(state.read());
        log.input(at, input.kind(), input.encode());
        assert!(state.apply(input), "only what fits becomes an input");
    }

    /// What has happened becomes an input if it fits.
    fn happen(&mut self, event: Event, log: &mut Recorder<'_>) {
        let time = self.now();
        match event {
            Event::Open { nonce } => self.take(Input::Open { time, nonce }, log),
            Event::Close { session } => self.take(Input::Close { session }, log),
            Event::Request { by, session, number, below, to, body } => {
                self.request(by, Asked { session, number, below, to, body }, log);
            }
            Event::Payload { by, from, number, payload } => {
                let (state, world) = self.live();
                let expected = state.arrived_below(from);
                if number == expected {
                    self.take(Input::Arrived { time, from, number, payload }, log);
                } else if number > expected {
                    world.refuse(by);
                } else if world.repeats(by) {
                    self.take(Input::Again { from }, log);
                }
            }
            Event::Done { number, answer } => {
                if self.live().0.asks(number) {
                    self.take(Input::Done { time, number, answer }, log);
                }
            }
        }
    }

    fn request(&mut self, by: Caller, asked: Asked, log: &mut Recorder<'_>) {
        let time = self.now();
        let Asked { session, number, below, to, body } = asked;
        let (state, world) = self.live();
        let verdict = match body.len() {
            0..=MESSAGE_BYTES_MAX => state.verdict(session, number, &to),
            n => Verdict::Refuse(format!("a message of {n} bytes; {MESSAGE_BYTES_MAX} are allowed")),
        };
        match verdict {
            Verdict::Take => self.take(Input::Request { time, session, number, below, to, body }, log),
            Verdict::Refuse(why) => world.tell(by, &FromShard::Refused { session, number, why }),
            Verdict::Repeated(Some(answer)) if !waits(log.out(), session, number) => {
                world.tell(by, &FromShard::Reply { session, number, answer });
            }
            // It is told when it is known and committed.
            Verdict::Repeated(_) => {}
        }
    }

    fn timers(&mut self, log: &mut Recorder<'_>) {
        let time = self.now();
        let state = self.state.as_ref().expect("begun");
        let mut due = state.due().is_some_and(|at| at <= time);
        if !due && self.expiry.elapsed() >= EXPIRY_EVERY {
            self.expiry = Instant::now();
            due = state.expires(time);
        }
        if due {
            self.take(Input::Time { time }, log);
        }
    }

    fn idle(&mut self) -> Progress {
        let now = self.now();
        let (state, world) = self.live();
        let timer = state.due().map(|at| Duration::from_micros(at.saturating_sub(now)));
        let wait = timer.into_iter().chain(world.held_due()).min().unwrap_or(IDLE_MAX);
        Progress::Idle(wait.min(IDLE_MAX))
    }
}

struct Asked {
    session: Session,
    number: u64,
    below: u64,
    to: TaskId,
    body: String,
}

/// The reply is not committed yet.
fn waits(out: &Outbox, session: Session, number: u64) -> bool {
    out.waiting()
        .filter_map(|output| Said::decode(&output.bytes))
        .any(|said| matches!(said, Said::Reply { session: of, number: to, .. } if (of, to) == (session, number)))
}

fn speak(state: &mut State, out: &mut Outbox) {
    for said in state.take_said() {
        out.say(CHANNEL, said.encode());
    }
}

impl Replica for ShardReplica {
    fn identity(&self) -> Identity {
        let kinds = self.place.kinds.names().collect::<Vec<_>>().join(" ");
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
            self.happen(event, log);
            inputs += 1;
            if inputs == INPUTS_MAX {
                break;
            }
        }
        for (to, below) in self.live().1.take_held() {
            self.take(Input::Held { to, below }, log);
        }
        self.timers(log);
        let (state, world) = self.live();
        let limit = state.read() + OWN_MAX;
        while state.read() < limit && state.step() {}
        speak(state, log.out());
        world.flush();
        // Whoever has read something looks once more before it rests: what came meanwhile shares the frame, and its way to the backup and back.
        if inputs > 0 || state.has_queued() { Ok(Progress::Ran) } else { Ok(self.idle()) }
    }

    fn replay(&mut self, log: &mut Player<'_>) -> Result<Progress> {
        while let Some((kind, at)) = log.peek().map(|entry| (entry.kind, entry.at)) {
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
        }
        let limit = log.limit();
        if let Some(state) = &mut self.state {
            while Position(state.read()) < limit && state.step() {}
            speak(state, log.out());
        }
        Ok(Progress::Ran)
    }

    fn emit(&mut self, output: Output) -> Result<()> {
        let bad = || Error::Level(format!("output {} does not decode", output.number));
        let said = Said::decode(&output.bytes).ok_or_else(bad)?;
        let (state, world) = self.live();
        world.emit(said, state);
        Ok(())
    }

    fn wait(&mut self, waker: &Waker, at_most: Duration) -> Result<()> {
        self.world.as_mut().expect("live").wait(waker, at_most)
    }

    fn go_live(&mut self, _term: Term, log: &mut Recorder<'_>) -> Result<()> {
        let mut world = World::open(&self.place)?;
        if let Some(state) = &self.state {
            let waiting: Vec<Said> = log.out().waiting().filter_map(|output| Said::decode(&output.bytes)).collect();
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
