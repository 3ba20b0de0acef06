//! A toy replica: the smallest machine that can get every rule of this crate wrong.
//!
//! It ticks. Each tick may take a message (that none came is an input too, and is not logged: exactly what makes releasing at an entry
//! instead of at a mark wrong), may read a clock or a random number, and may say something; everything it says depends on
//! everything that went before. Its world is a script, so that tests and simulators choose what arrives, when, and see what was heard.

use crate::disk::Dice;
use crate::{
    Channel, Digest, Error, Hasher, Identity, Kind, Level, Output, Player, Position, Progress, Recorder, Replica,
    Result, Term, Unfinished, Waker,
};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A message arrived; the body is its bytes.
pub const MESSAGE: Kind = Kind(16);
/// A clock was read; 8 bytes.
pub const TIME: Kind = Kind(17);
/// Random bytes were read; 8 bytes.
pub const RANDOM: Kind = Kind(18);
/// A replica went live, for the first time or after a takeover; 8 random bytes of its new world.
pub const WORLD: Kind = Kind(19);

/// A message that starts with this ends the toy; the byte behind it is the exit status.
pub const END: &[u8] = b"end";
/// Where the toy says things by itself.
pub const TALK: Channel = Channel(1);
/// Where the toy answers each message; and says that it has ended.
pub const ANSWERS: Channel = Channel(2);

/// Ticks without a message after which the toy waits.
const QUIET_TICKS_MAX: u64 = 40;
/// Longest step.
const STEP_TICKS_MAX: u64 = 9;

/// The world outside: what it says to the toy, and what it has heard. Cheap to clone; every clone is the same world.
#[derive(Clone, Debug)]
pub struct World(Arc<Mutex<Script>>);

#[derive(Debug)]
struct Script {
    dice: Dice,
    time: u64,
    polls: u64,
    /// Messages and the poll from which on they are there.
    inbox: VecDeque<(u64, Vec<u8>)>,
    heard: Vec<Output>,
    /// What it has been told on [`TALK`] and not yet listened to, if it is slow.
    slow: Option<VecDeque<Output>>,
    waker: Option<Waker>,
}

impl World {
    /// A world whose clock and random numbers follow from `seed`.
    pub fn new(seed: u64) -> Self {
        let (time, polls, inbox, heard) = (0, 0, VecDeque::new(), Vec::new());
        Self(Arc::new(Mutex::new(Script { dice: Dice(seed), time, polls, inbox, heard, slow: None, waker: None })))
    }

    /// A world that sends `messages` messages at random moments and then [`END`].
    pub fn chatty(seed: u64, messages: usize) -> Self {
        let world = Self::new(seed);
        let mut dice = Dice(seed ^ 0x5eed);
        let mut poll = 0;
        for _ in 0..messages {
            poll += dice.below(12) as u64;
            let len = dice.below(20);
            world.send_at(poll, (0..len).map(|_| dice.roll() as u8 | 0x80).collect());
        }
        world.send_at(poll + 5, [END, &[dice.below(100) as u8]].concat());
        world
    }

    /// One that listens slowly to what is said on [`TALK`]: to one such output every tenth time that it is asked for a message.
    #[must_use]
    pub fn slow(self) -> Self {
        self.lock().slow = Some(VecDeque::new());
        self
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message that is there from now on.
    pub fn send(&self, bytes: Vec<u8>) {
        self.send_at(0, bytes);
    }

    /// A message that is there from the given poll on (and after all messages sent before it).
    pub fn send_at(&self, poll: u64, bytes: Vec<u8>) {
        let mut script = self.lock();
        script.inbox.push_back((poll, bytes));
        if let Some(waker) = &script.waker {
            waker.wake();
        }
    }

    /// Messages that the toy has not taken.
    pub fn unread(&self) -> usize {
        self.lock().inbox.len()
    }

    /// Everything the toy was heard to say, in order.
    pub fn heard(&self) -> Vec<Output> {
        self.lock().heard.clone()
    }

    /// Takes what was heard since the last time.
    pub fn take_heard(&self) -> Vec<Output> {
        std::mem::take(&mut self.lock().heard)
    }

    fn poll(&self) -> Option<Vec<u8>> {
        let mut script = self.lock();
        script.polls += 1;
        if script.polls.is_multiple_of(10) {
            let listened_to = script.slow.as_mut().and_then(VecDeque::pop_front);
            script.heard.extend(listened_to);
        }
        let ready = script.inbox.front()?.0 < script.polls;
        if ready { script.inbox.pop_front().map(|m| m.1) } else { None }
    }

    fn number(&self, kind: Kind) -> u64 {
        let mut script = self.lock();
        let roll = script.dice.roll();
        if kind != TIME {
            return roll;
        }
        script.time += roll % 1000;
        script.time
    }
}

/// What a toy does wrong, to prove that it is noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Flaw {
    /// Nothing.
    #[default]
    None,
    /// As a backup it runs this many ticks past the mark.
    RunsPastMark(u64),
    /// As a backup it flips a bit of its state at this position.
    FlipsBit(Position),
    /// It says that its world has heard all that it was told.
    HidesUnfinished,
    /// As a backup it computes the next thing it says differently from this position on.
    Misspeaks(Position),
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Toy {
    state: State,
    world: World,
    flaw: Flaw,
    halted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct State {
    position: u64,
    /// Mixes everything that has happened.
    soup: u64,
    quiet: u64,
    ended: Option<u8>,
}

/// Where a tick's inputs come from: the world while live, the log while not. One code path executes in both roles.
enum Source<'a, 'b> {
    World(&'a World, &'a mut Recorder<'b>),
    Log(&'a mut Player<'b>),
}

impl Source<'_, '_> {
    fn message(&mut self, at: Position) -> Result<Option<Vec<u8>>> {
        match self {
            Source::World(world, log) => {
                let message = world.poll();
                if let Some(bytes) = &message {
                    log.input(at, MESSAGE, bytes.clone());
                }
                Ok(message)
            }
            Source::Log(log) => match log.peek() {
                Some(e) if e.kind == MESSAGE && e.at == at => log.input(at, MESSAGE).map(Some),
                _ => Ok(None),
            },
        }
    }

    fn number(&mut self, at: Position, kind: Kind) -> Result<u64> {
        match self {
            Source::World(world, log) => {
                let n = world.number(kind);
                log.input(at, kind, n.to_le_bytes().to_vec());
                Ok(n)
            }
            Source::Log(log) => {
                let body = log.input(at, kind)?;
                let bytes = body.as_slice().try_into();
                bytes.map(u64::from_le_bytes).map_err(|_| log.diverged(at, "8 bytes", format!("{} bytes", body.len())))
            }
        }
    }

    fn say(&mut self, channel: Channel, bytes: Vec<u8>) {
        match self {
            Source::World(_, log) => log.out().say(channel, bytes),
            Source::Log(log) => log.out().say(channel, bytes),
        };
    }
}

impl State {
    fn stir(&mut self, n: u64) {
        self.soup = Dice(self.soup ^ n.rotate_left(17)).roll();
    }

    /// One tick; true if it ends the step.
    fn tick(&mut self, source: &mut Source<'_, '_>) -> Result<bool> {
        self.position += 1;
        self.quiet += 1;
        self.stir(self.position);
        let at = Position(self.position);
        let message = source.message(at)?;
        let mut said = false;
        if let Some(bytes) = &message {
            self.quiet = 0;
            self.stir(crate::hash(bytes) as u64);
            if let Some(rest) = bytes.strip_prefix(END) {
                self.ended = Some(rest.first().copied().unwrap_or(0));
            }
            source.say(ANSWERS, self.word());
            said = true;
        }
        if self.soup.is_multiple_of(5) {
            let time = source.number(at, TIME)?;
            self.stir(time);
        }
        if self.soup.is_multiple_of(11) {
            let random = source.number(at, RANDOM)?;
            self.stir(random);
        }
        if self.soup.is_multiple_of(7) {
            source.say(TALK, self.word());
            said = true;
        }
        Ok(said || self.ended.is_some())
    }

    fn word(&self) -> Vec<u8> {
        [self.position, self.soup].iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    fn enter_world(&mut self, source: &mut Source<'_, '_>) -> Result<()> {
        let n = source.number(Position(self.position), WORLD)?;
        self.quiet = 0;
        self.stir(n);
        Ok(())
    }

    fn encode(&self) -> [u8; 26] {
        let mut out = [0; 26];
        out[..8].copy_from_slice(&self.position.to_le_bytes());
        out[8..16].copy_from_slice(&self.soup.to_le_bytes());
        out[16..24].copy_from_slice(&self.quiet.to_le_bytes());
        out[24] = u8::from(self.ended.is_some());
        out[25] = self.ended.unwrap_or(0);
        out
    }

    fn decode(bytes: &[u8; 26]) -> Option<Self> {
        let ended = match (bytes[24], bytes[25]) {
            (0, 0) => None,
            (1, status) => Some(status),
            _ => return None,
        };
        let n = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        Some(Self { position: n(0), soup: n(8), quiet: n(16), ended })
    }
}

impl Toy {
    /// A toy at the beginning of its life.
    pub fn new(world: World) -> Self {
        Self::flawed(world, Flaw::None)
    }

    /// One that does something wrong.
    pub fn flawed(world: World, flaw: Flaw) -> Self {
        Self { state: State::default(), world, flaw, halted: false }
    }

    /// Its world.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// [`Replica::halt`] was called.
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    fn progress(&self) -> Progress {
        self.state.ended.map_or(Progress::Ran, |status| Progress::Ended(status.into()))
    }

    fn misbehave(&mut self, source: &mut Source<'_, '_>) {
        match self.flaw {
            Flaw::FlipsBit(at) if self.state.position == at.0 => self.state.soup ^= 1 << 40,
            Flaw::Misspeaks(at) if self.state.position >= at.0 => {
                source.say(TALK, b"what?".to_vec());
                self.flaw = Flaw::None;
            }
            _ => {}
        }
    }
}

impl Replica for Toy {
    fn identity(&self) -> Identity {
        Identity { level: "toy".to_owned(), code: "1".to_owned(), features: Vec::new() }
    }

    fn level(&self) -> Level {
        Level::Toy
    }

    fn position(&self) -> Position {
        Position(self.state.position)
    }

    fn record(&mut self, log: &mut Recorder<'_>) -> Result<Progress> {
        if self.state.quiet >= QUIET_TICKS_MAX && self.world.unread() == 0 {
            return Ok(Progress::Idle(Duration::from_secs(1)));
        }
        let mut source = Source::World(&self.world, log);
        for _ in 0..=self.state.soup % STEP_TICKS_MAX {
            if self.state.tick(&mut source)? {
                break;
            }
        }
        Ok(self.progress())
    }

    fn replay(&mut self, log: &mut Player<'_>) -> Result<Progress> {
        let mut limit = log.stop().unwrap_or(log.limit()).0;
        if let Flaw::RunsPastMark(ticks) = self.flaw {
            limit += ticks;
        }
        let mut state = self.state;
        let mut source = Source::Log(log);
        if let Source::Log(log) = &source
            && log.peek().is_some_and(|e| e.kind == WORLD)
        {
            state.enter_world(&mut source)?;
        }
        self.state = state;
        while self.state.position < limit {
            self.state.tick(&mut source)?;
            self.misbehave(&mut source);
        }
        Ok(self.progress())
    }

    fn emit(&mut self, output: Output) -> Result<()> {
        let mut script = self.world.lock();
        match &mut script.slow {
            Some(slow) if output.channel == TALK => slow.push_back(output),
            _ => script.heard.push(output),
        }
        Ok(())
    }

    fn unfinished(&self) -> Unfinished {
        let script = self.world.lock();
        let first = script.slow.iter().filter(|_| self.flaw != Flaw::HidesUnfinished).find_map(VecDeque::front);
        first.map(|output| (output.channel, output.number)).into_iter().collect()
    }

    fn wait(&mut self, waker: &Waker, at_most: Duration) -> Result<()> {
        let mut script = self.world.lock();
        script.waker = Some(waker.clone());
        let ready = !script.inbox.is_empty();
        drop(script);
        if !ready {
            waker.wait(at_most);
        }
        Ok(())
    }

    fn go_live(&mut self, _term: Term, log: &mut Recorder<'_>) -> Result<()> {
        let world = self.world.clone();
        self.state.enter_world(&mut Source::World(&world, log))
    }

    fn digest(&mut self) -> Result<Digest> {
        let mut hasher = Hasher::new();
        hasher.update(&self.state.encode());
        Ok(hasher.finish())
    }

    fn saves(&self) -> bool {
        true
    }

    fn save(&mut self, to: &mut dyn Write) -> Result<bool> {
        to.write_all(&self.state.encode()).map_err(|e| Error::io("saving to", "a snapshot", e))?;
        Ok(true)
    }

    fn load(&mut self, from: &mut dyn Read) -> Result<()> {
        let mut bytes = [0; 26];
        from.read_exact(&mut bytes).map_err(|e| Error::io("loading from", "a snapshot", e))?;
        self.state = State::decode(&bytes).ok_or_else(|| Error::Refused("not a toy's snapshot".to_owned()))?;
        Ok(())
    }

    fn halt(&mut self) {
        self.halted = true;
    }
}
