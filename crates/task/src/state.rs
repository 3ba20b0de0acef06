//! A shard: all its tasks and what is on its way, as a pure function of its inputs.
//!
//! The rules it keeps: a message is read exactly once, whatever is repeated; what a shard sends to another one stays here until that one's pair holds it;
//! messages to one task are read in the order in which they were sent to it. It touches nothing: what is to be said comes out of [`State::take_said`].

use crate::id::{Answer, ReplyTo, Session, Shard, TaskId};
use crate::input::{Input, Payload};
use crate::output::Said;
use crate::task::{AnyTask, Context, Effect, From, Kinds};
use gapless_log::{Digest, Parts, hash};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Requests of one session that wait for replies, or whose replies the client has not confirmed.
pub const WINDOW: u64 = 4096;
/// A session of which nothing was heard for so long is closed.
pub const SESSION_IDLE_MAX: Duration = Duration::from_secs(24 * 3600);
const SESSION_IDLE_MICROS: u64 = SESSION_IDLE_MAX.as_micros() as u64;
/// Letters that could not be read are kept, the newest so many.
pub const DEAD_LETTERS_MAX: usize = 1000;

/// A task and what is known of it.
struct Held {
    task: Box<dyn AnyTask>,
    /// It panicked at a message, so its state means nothing: it reads no more.
    broken: Option<String>,
    /// Hash of it when a digest was last taken.
    hash: Digest,
    /// It has read something since.
    touched: bool,
}

/// Where a task is kept: by a hash first, so that looking for one among many compares numbers and not names all over the memory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u64, TaskId);

impl Key {
    /// FNV-1a. Tasks whose hashes are equal are told apart by their names.
    fn of(id: TaskId) -> Self {
        let bytes = id.name.bytes().chain(id.kind.bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(hash, id)
    }
}

/// What one client has asked, and what it was told.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Dialogue {
    /// Number of its last request.
    last: u64,
    /// Requests from here on have an entry in `replies`.
    below: u64,
    /// By number; `None`: owed.
    replies: BTreeMap<u64, Option<Answer>>,
    /// When it was last heard of.
    heard: u64,
}

/// What goes to one other shard.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Outgoing {
    /// Number of the next one.
    next: u64,
    /// Not known to be held there.
    waiting: VecDeque<Payload>,
}

impl Outgoing {
    fn first(&self) -> u64 {
        self.next - self.waiting.len() as u64
    }
}

/// A question to the outside that has no answer yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Question {
    task: TaskId,
    tag: String,
    request: String,
}

/// A message that was not read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// When.
    pub time: u64,
    /// Who should have read it.
    pub to: TaskId,
    /// The message.
    pub body: String,
    /// Why it was not.
    pub why: String,
}

/// All but the tasks; plain data.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Rest {
    shard: Shard,
    shards: u16,
    seed: [u8; 32],
    /// Where the random numbers stand.
    drawn: u128,
    time: u64,
    /// Messages read.
    read: u64,
    next_session: u64,
    sessions: BTreeMap<Session, Dialogue>,
    /// To be read, of this shard's own tasks.
    queue: VecDeque<(From, TaskId, String)>,
    outgoing: BTreeMap<Shard, Outgoing>,
    /// The next number expected from each shard.
    arrived: BTreeMap<Shard, u64>,
    timers: BTreeMap<(u64, u64), (TaskId, String)>,
    next_timer: u64,
    questions: BTreeMap<u64, Question>,
    next_question: u64,
    dead: VecDeque<DeadLetter>,
}

/// A shard.
pub struct State {
    kinds: Kinds,
    rest: Rest,
    rng: ChaCha8Rng,
    tasks: BTreeMap<Key, Held>,
    /// Sum of the hashes of all tasks.
    tasks_hash: Digest,
    /// Tasks that have read something since the last digest.
    touched: Vec<Key>,
    said: Vec<Said>,
    /// Shards from which something has come since this was last said.
    heard_from: BTreeSet<Shard>,
}

/// What is to be done with a client's request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is the next one: it becomes an input.
    Take,
    /// It was asked before; this was the reply, if it is known already.
    Repeated(Option<Answer>),
    /// Never.
    Refuse(String),
}

impl State {
    /// From the first input of a history, which must be [`Input::Begin`].
    pub fn begin(kinds: Kinds, input: &Input) -> Option<Self> {
        let &Input::Begin { seed, shard, shards, time } = input else { return None };
        let rest = Rest {
            shard,
            shards,
            seed,
            drawn: 0,
            time,
            read: 0,
            next_session: 1,
            sessions: BTreeMap::new(),
            queue: VecDeque::new(),
            outgoing: BTreeMap::new(),
            arrived: BTreeMap::new(),
            timers: BTreeMap::new(),
            next_timer: 0,
            questions: BTreeMap::new(),
            next_question: 0,
            dead: VecDeque::new(),
        };
        (shard.0 < shards).then(|| Self::new(kinds, rest))
    }

    fn new(kinds: Kinds, rest: Rest) -> Self {
        let mut rng = ChaCha8Rng::from_seed(rest.seed);
        rng.set_word_pos(rest.drawn);
        let (tasks, touched, heard_from) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        Self { kinds, rest, rng, tasks, tasks_hash: 0, touched, said: Vec::new(), heard_from }
    }

    /// Messages read: the shard's position.
    pub fn read(&self) -> u64 {
        self.rest.read
    }

    /// The time of the last input that had one.
    pub fn time(&self) -> u64 {
        self.rest.time
    }

    /// Which shard this is, of how many.
    pub fn place(&self) -> (Shard, u16) {
        (self.rest.shard, self.rest.shards)
    }

    /// A word that no other shard has.
    pub fn name(&self) -> String {
        format!("{:016x}", hash(&self.rest.seed) as u64)
    }

    /// Does this question to the outside wait for its answer?
    pub fn asks(&self, number: u64) -> bool {
        self.rest.questions.contains_key(&number)
    }

    /// How many tasks there are.
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// The tasks in order, and why those that are broken are.
    pub fn task_list(&self) -> impl Iterator<Item = (&TaskId, Option<&str>)> {
        let mut all: Vec<_> = self.tasks.iter().map(|(Key(_, id), held)| (id, held.broken.as_deref())).collect();
        all.sort_unstable();
        all.into_iter()
    }

    /// Open sessions.
    pub fn sessions(&self) -> usize {
        self.rest.sessions.len()
    }

    /// Messages that were not read, the oldest first.
    pub fn dead_letters(&self) -> impl Iterator<Item = &DeadLetter> {
        self.rest.dead.iter()
    }

    /// Messages that this shard's tasks can read at once.
    pub fn has_queued(&self) -> bool {
        !self.rest.queue.is_empty()
    }

    /// When the next timer is due.
    pub fn due(&self) -> Option<u64> {
        self.rest.timers.keys().next().map(|&(at, _)| at)
    }

    /// At this time a session has been idle for too long. Looks at all of them.
    pub fn expires(&self, time: u64) -> bool {
        self.rest.sessions.values().any(|dialogue| dialogue.heard + SESSION_IDLE_MICROS <= time)
    }

    /// What was said since the last time.
    pub fn take_said(&mut self) -> Vec<Said> {
        for from in std::mem::take(&mut self.heard_from) {
            let below = self.arrived_below(from);
            self.said.push(Said::Held { from, below });
        }
        std::mem::take(&mut self.said)
    }

    // ---- what the edge asks before it makes an input ----

    /// What is to be done with a request.
    pub fn verdict(&self, session: Session, number: u64, to: &TaskId) -> Verdict {
        let refuse = |why: String| Verdict::Refuse(why);
        let Some(dialogue) = self.rest.sessions.get(&session) else {
            return refuse(format!("session {} is not open: it never was, or has ended; open a new one", session.0));
        };
        if number <= dialogue.last {
            return match dialogue.replies.get(&number) {
                Some(reply) => Verdict::Repeated(reply.clone()),
                None => refuse(format!("the reply to request {number} was confirmed and is forgotten")),
            };
        }
        if number != dialogue.last + 1 {
            return refuse(format!("request {number} came after {}: number requests without a gap", dialogue.last));
        }
        if number - dialogue.below >= WINDOW {
            return refuse(format!("{WINDOW} requests wait for replies or for their confirmation; confirm some"));
        }
        if !to.is_sound() {
            return refuse("a task has a kind and a name of 1 to 256 bytes".to_owned());
        }
        if to.shard(self.rest.shards) != self.rest.shard {
            return refuse(format!("{to} lives in shard {}, this is {}", to.shard(self.rest.shards), self.rest.shard));
        }
        Verdict::Take
    }

    /// The next number that is expected from a shard.
    pub fn arrived_below(&self, from: Shard) -> u64 {
        self.rest.arrived.get(&from).copied().unwrap_or(0)
    }

    /// Not known to be held by that shard: the number of the first, and all.
    pub fn outgoing(&self, to: Shard) -> (u64, impl Iterator<Item = &Payload>) {
        let outgoing = self.rest.outgoing.get(&to);
        (outgoing.map_or(0, Outgoing::first), outgoing.into_iter().flat_map(|o| &o.waiting))
    }

    /// Shards for which something waits.
    pub fn destinations(&self) -> impl Iterator<Item = Shard> + '_ {
        self.rest.outgoing.iter().filter(|(_, o)| !o.waiting.is_empty()).map(|(&to, _)| to)
    }

    /// Questions to the outside that have no answer: number, who, tag, request.
    pub fn questions(&self) -> impl Iterator<Item = (u64, &TaskId, &str, &str)> {
        self.rest.questions.iter().map(|(&n, q)| (n, &q.task, q.tag.as_str(), q.request.as_str()))
    }

    // ---- inputs ----

    /// Takes an input; false if it cannot follow what was before, which only a damaged or foreign log does.
    #[must_use]
    pub fn apply(&mut self, input: Input) -> bool {
        match input {
            Input::Begin { .. } => return false,
            Input::Open { time, nonce } => {
                self.advance(time);
                let session = Session(self.rest.next_session);
                self.rest.next_session += 1;
                let dialogue = Dialogue { heard: self.rest.time, below: 1, ..Dialogue::default() };
                self.rest.sessions.insert(session, dialogue);
                self.said.push(Said::Opened { nonce, session });
            }
            Input::Close { session } => drop(self.rest.sessions.remove(&session)),
            Input::Request { time, session, number, below, to, body } => {
                if self.verdict(session, number, &to) != Verdict::Take {
                    return false;
                }
                self.advance(time);
                let now = self.rest.time;
                let dialogue = self.rest.sessions.get_mut(&session).expect("the verdict found it");
                dialogue.heard = now;
                dialogue.last = number;
                dialogue.confirm(below);
                dialogue.replies.insert(number, None);
                let reply = ReplyTo { shard: self.rest.shard, session, number };
                self.deliver(From::Client(reply), to, &body);
            }
            Input::Arrived { time, from, number, payload } => {
                if number != self.arrived_below(from) {
                    return false;
                }
                self.advance(time);
                self.rest.arrived.insert(from, number + 1);
                self.heard_from.insert(from);
                match payload {
                    Payload::Message { from, to, body } => self.deliver(From::Task(from), to, &body),
                    Payload::Reply { to, answer } => self.reply(to, answer),
                }
            }
            Input::Time { time } => {
                self.advance(time);
                self.ring();
                self.expire();
            }
            Input::Done { time, number, answer } => {
                let Some(question) = self.rest.questions.remove(&number) else { return false };
                self.advance(time);
                let body = serde_json::to_string(&answer).expect("an answer becomes JSON");
                self.deliver(From::Io(question.tag), question.task, &body);
            }
            Input::Held { to, below } => {
                let Some(outgoing) = self.rest.outgoing.get_mut(&to).filter(|o| below <= o.next) else { return false };
                let held = below.saturating_sub(outgoing.first()) as usize;
                outgoing.waiting.drain(..held);
            }
            Input::Again { from } => drop(self.heard_from.insert(from)),
        }
        true
    }

    /// The next of the messages between this shard's own tasks is read, if there is one.
    pub fn step(&mut self) -> bool {
        let Some((from, to, body)) = self.rest.queue.pop_front() else { return false };
        self.deliver(from, to, &body);
        true
    }

    fn advance(&mut self, time: u64) {
        self.rest.time = self.rest.time.max(time);
    }

    /// Timers that are due become messages.
    fn ring(&mut self) {
        while let Some(entry) = self.rest.timers.first_entry().filter(|entry| entry.key().0 <= self.rest.time) {
            let (to, body) = entry.remove();
            self.rest.queue.push_back((From::Timer, to, body));
        }
    }

    fn expire(&mut self) {
        let now = self.rest.time;
        self.rest.sessions.retain(|_, dialogue| dialogue.heard + SESSION_IDLE_MICROS > now);
    }

    /// A task reads a message.
    fn deliver(&mut self, from: From, to: TaskId, body: &str) {
        self.rest.read += 1;
        let client = if let From::Client(reply) = &from { Some(*reply) } else { None };
        let key = Key::of(to);
        let to = &key.1;
        let held = match self.tasks.get_mut(&key) {
            Some(held) => held,
            None => match self.kinds.make(to) {
                Some(task) => {
                    let held = Held { task, broken: None, hash: 0, touched: false };
                    self.tasks.entry(key.clone()).or_insert(held)
                }
                None => {
                    let why = format!("no kind {}", to.kind);
                    return self.bury(client, key.1, body, why);
                }
            },
        };
        if let Some(why) = &held.broken {
            let why = format!("{to} is broken: {why}");
            return self.bury(client, key.1, body, why);
        }
        let mut ctx = Context { id: to, time: self.rest.time, rng: &mut self.rng, owed: client, effects: Vec::new() };
        // A panic is as much a function of state and message as a result is: both sides have the same one.
        let read = catch_unwind(AssertUnwindSafe(|| held.task.receive(&mut ctx, &from, body)));
        let (owed, effects) = (ctx.owed, ctx.effects);
        if !std::mem::replace(&mut held.touched, true) {
            self.touched.push(key.clone());
        }
        match read {
            Ok(Ok(())) => {
                effects.into_iter().for_each(|effect| self.carry_out(&key.1, effect));
                if let Some(reply) = owed {
                    self.reply(reply, Ok("null".to_owned()));
                }
            }
            Ok(Err(why)) => match client {
                Some(reply) => self.reply(reply, Err(why)),
                None => self.bury(None, key.1, body, why),
            },
            Err(panic) => {
                let why = format!("it panicked: {}", panic_words(panic.as_ref()));
                held.broken = Some(why.clone());
                self.bury(client, key.1, body, why);
            }
        }
    }

    /// A message that is not read is kept for a person.
    fn bury(&mut self, client: Option<ReplyTo>, to: TaskId, body: &str, why: String) {
        if let Some(reply) = client {
            self.reply(reply, Err(why.clone()));
        }
        if self.rest.dead.len() == DEAD_LETTERS_MAX {
            self.rest.dead.pop_front();
        }
        self.rest.dead.push_back(DeadLetter { time: self.rest.time, to, body: body.to_owned(), why });
    }

    fn carry_out(&mut self, task: &TaskId, effect: Effect) {
        match effect {
            Effect::Send { to, body } => {
                let there = to.shard(self.rest.shards);
                if there == self.rest.shard {
                    self.rest.queue.push_back((From::Task(task.clone()), to, body));
                } else {
                    self.send(there, Payload::Message { from: task.clone(), to, body });
                }
            }
            Effect::Reply { to, answer } => self.reply(to, answer),
            Effect::Timer { after, body } => {
                let at = self.rest.time.saturating_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
                self.rest.timers.insert((at, self.rest.next_timer), (task.clone(), body));
                self.rest.next_timer += 1;
            }
            Effect::Io { tag, request } => {
                let number = self.rest.next_question;
                self.rest.next_question += 1;
                let question = Question { task: task.clone(), tag: tag.clone(), request: request.clone() };
                self.rest.questions.insert(number, question);
                self.said.push(Said::Ask { number, task: task.clone(), tag, request });
            }
        }
    }

    fn send(&mut self, to: Shard, payload: Payload) {
        let outgoing = self.rest.outgoing.entry(to).or_default();
        let number = outgoing.next;
        outgoing.next += 1;
        outgoing.waiting.push_back(payload.clone());
        self.said.push(Said::Send { to, number, payload });
    }

    /// The first reply counts.
    fn reply(&mut self, to: ReplyTo, answer: Answer) {
        if to.shard != self.rest.shard {
            if to.shard.0 < self.rest.shards {
                self.send(to.shard, Payload::Reply { to, answer });
            }
            return;
        }
        let slot = self.rest.sessions.get_mut(&to.session).and_then(|d| d.replies.get_mut(&to.number));
        if let Some(slot @ None) = slot {
            *slot = Some(answer.clone());
            self.said.push(Said::Reply { session: to.session, number: to.number, answer });
        }
    }

    // ---- digest and snapshot ----

    /// Hashes of everything that shapes the future, by name. Only tasks that have read something since the last time are looked at.
    pub fn digest_parts(&mut self) -> Parts {
        self.rest.drawn = self.rng.get_word_pos();
        for key in std::mem::take(&mut self.touched) {
            if let Some(held) = self.tasks.get_mut(&key) {
                held.touched = false;
                let bytes = postcard::to_stdvec(&(&key.1, held.task.save(), &held.broken)).expect("plain data encodes");
                let new = hash(&bytes);
                self.tasks_hash = self.tasks_hash.wrapping_sub(held.hash).wrapping_add(new);
                held.hash = new;
            }
        }
        let rest = postcard::to_stdvec(&self.rest).expect("plain data encodes");
        vec![("tasks".to_owned(), self.tasks_hash), ("sessions, channels and timers".to_owned(), hash(&rest))]
    }

    /// Everything, as bytes.
    pub fn save(&mut self) -> Vec<u8> {
        self.rest.drawn = self.rng.get_word_pos();
        let tasks: Vec<_> = self.tasks.iter().map(|(Key(_, id), held)| (id, held.task.save(), &held.broken)).collect();
        postcard::to_stdvec(&(&self.rest, tasks)).expect("plain data encodes")
    }

    /// What [`State::save`] wrote. An error names what is wrong with it.
    pub fn load(kinds: Kinds, bytes: &[u8]) -> Result<Self, String> {
        type Saved = (Rest, Vec<(TaskId, Vec<u8>, Option<String>)>);
        let (rest, tasks): Saved = postcard::from_bytes(bytes).map_err(|_| "not the state of a shard".to_owned())?;
        let mut state = Self::new(kinds, rest);
        for (id, bytes, broken) in tasks {
            let task = state.kinds.load(&id, &bytes).ok_or_else(|| format!("the state of {id} does not decode"))?;
            let key = Key::of(id);
            state.touched.push(key.clone());
            state.tasks.insert(key, Held { task, broken, hash: 0, touched: true });
        }
        Ok(state)
    }
}

impl Dialogue {
    /// The client has the replies to all requests below this one.
    fn confirm(&mut self, below: u64) {
        while let Some(entry) = self.replies.first_entry().filter(|entry| *entry.key() < below && entry.get().is_some())
        {
            entry.remove();
        }
        self.below = self.replies.keys().next().copied().unwrap_or(self.last);
    }
}

fn panic_words(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without words".to_owned())
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("rest", &self.rest).field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}
