//! A shard: all its tasks and what is on its way, as a pure function of its inputs.
//!
//! The rules it keeps: a message is read exactly once, whatever is repeated; what a shard sends to another one stays here until that one's pair holds it;
//! messages to one task are read in the order in which they were sent to it. It touches nothing: what is to be said comes out of [`State::take_said`].

use crate::blackbox::{BlackBox, DEATHS_MAX};
use crate::id::{Answer, NAME_BYTES_MAX, ReplyTo, Session, Shard, Stamp, TaskId, first_of};
use crate::input::{Input, Payload};
use crate::keys::{self, Key, KeyVerdict, Keys};
use crate::look::SessionShown;
use crate::output::Said;
use crate::task::{AnyTask, Context, Effect, From, Kinds, Unread};
use crate::wire::{MESSAGE_BYTES_MAX, check_length};
use gapless_log::{Digest, Parts, chain, hash};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Bound, RangeBounds};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Requests of one session that wait for replies, or whose replies the client has not confirmed.
pub const WINDOW: u64 = 4096;
/// A session of which nothing was heard for so long is closed.
pub const SESSION_IDLE_MAX: Duration = Duration::from_secs(24 * 3600);
const SESSION_IDLE_MICROS: u64 = SESSION_IDLE_MAX.as_micros() as u64;
/// Sessions of a shard.
pub const SESSIONS_MAX: usize = 1 << 16;
/// Bytes of such letters: all are part of every digest.
const DEAD_BYTES_MAX: usize = 4 << 20;
/// Of the words that say why something was not read.
const WHY_BYTES_MAX: usize = 1000;
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
struct Spot(u64, TaskId);

impl Spot {
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
    /// By number, without a gap up to the last; `None`: owed.
    replies: BTreeMap<u64, Option<Answer>>,
    /// When it was last heard of.
    heard: u64,
}

/// What goes to one other shard.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Outgoing {
    /// Number of the next one.
    next: u64,
    /// Not known to be held there, each with its generation.
    waiting: VecDeque<(u32, Payload)>,
}

impl Outgoing {
    fn first(&self) -> u64 {
        self.next - self.waiting.len() as u64
    }

    fn stamped(&self) -> impl Iterator<Item = (Stamp, &Payload)> {
        let waiting = (self.first()..).zip(&self.waiting);
        waiting.map(|(number, (generation, payload))| (Stamp { generation: *generation, number }, payload))
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
    /// How often entries were lost.
    generation: u32,
    /// Messages read.
    read: u64,
    next_session: u64,
    sessions: BTreeMap<Session, Dialogue>,
    /// To be read, of this shard's own tasks.
    queue: VecDeque<(From, TaskId, String)>,
    outgoing: BTreeMap<Shard, Outgoing>,
    /// What is expected next from each shard.
    arrived: BTreeMap<Shard, Stamp>,
    /// Entries were lost since something last came from these: what they know to be held here may not be.
    doubted: BTreeSet<Shard>,
    timers: BTreeMap<(u64, u64), (TaskId, String)>,
    next_timer: u64,
    questions: BTreeMap<u64, Question>,
    next_question: u64,
    dead: VecDeque<DeadLetter>,
    /// Messages that are not read when they come.
    condemned: BTreeSet<Digest>,
}

/// A shard.
pub struct State {
    kinds: Kinds,
    rest: Rest,
    keys: Keys,
    rng: ChaCha8Rng,
    tasks: BTreeMap<Spot, Held>,
    /// Sum of the hashes of all tasks.
    tasks_hash: Digest,
    /// Tasks that have read something since the last digest.
    touched: Vec<Spot>,
    said: Vec<Said>,
    /// Shards from which something has come since this was last said.
    heard_from: BTreeSet<Shard>,
    /// Knows what is being read, while live.
    watch: Option<BlackBox>,
    /// The verdict on the message that is read next.
    verdict: Option<String>,
    /// The message that was read last could not be read here.
    failure: Option<Failure>,
}

/// What went with a task that was deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Deleted {
    /// Timers that it had set.
    pub timers: u64,
    /// Its questions to the outside that had no answer.
    pub questions: u64,
    /// Messages to itself that it had not read.
    pub messages: u64,
}

/// What something from another shard is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// The next one: it becomes an input.
    Next,
    /// It was here before, or belongs to what its sender has lost.
    Seen,
    /// Something before it is missing.
    Gap,
}

/// A message could not be read here, which says nothing about the other side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// What runs its task failed at it, and failed again. It is a dead letter; the other side must be told by [`Input::Verdict`] before it reads it.
    Message(String),
    /// Tasks cannot be run here. What this state became by that means nothing.
    Side(String),
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
            generation: 0,
            read: 0,
            next_session: 1,
            sessions: BTreeMap::new(),
            queue: VecDeque::new(),
            outgoing: BTreeMap::new(),
            arrived: BTreeMap::new(),
            doubted: BTreeSet::new(),
            timers: BTreeMap::new(),
            next_timer: 0,
            questions: BTreeMap::new(),
            next_question: 0,
            dead: VecDeque::new(),
            condemned: BTreeSet::new(),
        };
        (shard.0 < shards).then(|| Self::new(kinds, rest, Keys::default()))
    }

    fn new(kinds: Kinds, rest: Rest, keys: Keys) -> Self {
        let mut rng = ChaCha8Rng::from_seed(rest.seed);
        rng.set_word_pos(rest.drawn);
        let (tasks, touched, heard_from) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        let (kinds, said) = (kinds.of_shard(), Vec::new());
        let (watch, verdict, failure) = (None, None, None);
        Self { kinds, rest, keys, rng, tasks, tasks_hash: 0, touched, said, heard_from, watch, verdict, failure }
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

    /// The tasks from there on in the order of their names, and why those that are broken are.
    pub fn task_list(&self, start: Bound<&TaskId>) -> impl Iterator<Item = (&TaskId, Option<&str>)> {
        let wanted = self.tasks.iter().filter(|(Spot(_, id), _)| (start, Bound::Unbounded).contains(id));
        let mut tasks: Vec<_> = wanted.map(|(Spot(_, id), held)| (id, held.broken.as_deref())).collect();
        tasks.sort_unstable();
        tasks.into_iter()
    }

    /// Is it open?
    pub fn is_open(&self, session: Session) -> bool {
        self.rest.sessions.contains_key(&session)
    }

    /// Can this shard take it? One that keeps to the rules sends nothing else.
    pub fn takes(&self, payload: &Payload) -> bool {
        let (here, shards) = self.place();
        match payload {
            Payload::Message { from, to, body } => {
                let sound = from.is_sound() && to.is_sound();
                sound && check_length(body).is_ok() && to.shard(shards) == here
            }
            Payload::Reply { to, answer: Ok(words) | Err(words) } => to.shard == here && check_length(words).is_ok(),
        }
    }

    /// Open sessions.
    pub fn sessions(&self) -> usize {
        self.rest.sessions.len()
    }

    /// Those behind this one, in order, as they are at a time.
    pub(crate) fn session_list(&self, after: Session, now: u64) -> impl Iterator<Item = SessionShown> {
        let behind = self.rest.sessions.range((Bound::Excluded(after), Bound::Unbounded));
        behind.map(move |(&session, dialogue)| SessionShown {
            session,
            idle: Duration::from_micros(now.saturating_sub(dialogue.heard)),
            requests: dialogue.last,
            unconfirmed: dialogue.replies.len() as u64,
            owed: dialogue.replies.values().filter(|reply| reply.is_none()).count() as u64,
        })
    }

    /// Messages that were not read, the oldest first.
    pub fn dead_letters(&self) -> impl Iterator<Item = &DeadLetter> {
        self.rest.dead.iter()
    }

    /// Messages that this shard's tasks can read at once.
    pub fn has_queued(&self) -> bool {
        !self.rest.queue.is_empty()
    }

    /// When the next timer is due, or the next key is forgotten.
    pub fn due(&self) -> Option<u64> {
        let timer = self.rest.timers.keys().next().map(|&(at, _)| at);
        timer.into_iter().chain(self.keys.due()).min()
    }

    /// At this time a session has been idle for too long. Looks at all of them.
    pub fn expires(&self, time: u64) -> bool {
        self.rest.sessions.values().any(|dialogue| dialogue.heard.saturating_add(SESSION_IDLE_MICROS) <= time)
    }

    /// What was said since the last time.
    pub fn take_said(&mut self) -> Vec<Said> {
        for from in std::mem::take(&mut self.heard_from) {
            let below = self.arrived_below(from);
            self.said.push(Said::Held { from, below });
        }
        std::mem::take(&mut self.said)
    }

    /// What was said and not yet taken.
    pub fn unsaid(&self) -> &[Said] {
        &self.said
    }

    /// Whether the message that was read last could not be read here.
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    // ---- what the edge asks before it makes an input ----

    /// What is to be done with a request.
    pub fn verdict(&self, session: Session, number: u64, below: u64, to: &TaskId) -> Verdict {
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
        if number - dialogue.first() >= WINDOW && number - dialogue.confirmed(below, number) >= WINDOW {
            return refuse(format!("{WINDOW} requests wait for replies or for their confirmation; confirm some"));
        }
        if !to.is_sound() {
            return refuse(format!("a task has a kind and a name of 1 to {NAME_BYTES_MAX} bytes"));
        }
        match self.misplaced(to) {
            Some(why) => refuse(why),
            None => Verdict::Take,
        }
    }

    fn misplaced(&self, to: &TaskId) -> Option<String> {
        let (mine, there) = (self.rest.shard, to.shard(self.rest.shards));
        (there != mine).then(|| format!("{to} lives in shard {there}, this is {mine}"))
    }

    /// What is to be done with a request that carries a key.
    pub fn key_verdict(&self, key: &Key, body: &str) -> KeyVerdict {
        match self.misplaced(&key.to) {
            Some(why) => KeyVerdict::Refuse(why),
            None => self.keys.verdict(key, body, self.rest.time),
        }
    }

    /// The number of the next request with a new key.
    pub fn next_keyed(&self) -> u64 {
        self.keys.next()
    }

    /// What is expected next from a shard: all below is here.
    pub fn arrived_below(&self, from: Shard) -> Stamp {
        self.rest.arrived.get(&from).copied().unwrap_or_default()
    }

    /// What something from a shard is.
    ///
    /// Who sends keeps everything until it is held here, so something of a higher generation follows on what is here, even where its number was used before.
    /// Only after a loss here may something be missing for good.
    pub fn arrival(&self, from: Shard, stamp: Stamp) -> Arrival {
        let expected = self.arrived_below(from);
        if stamp < expected {
            Arrival::Seen
        } else if stamp.number == u64::MAX {
            // Nobody counts so far, and nothing could follow.
            Arrival::Gap
        } else if stamp.number <= expected.number || self.doubts(from) {
            Arrival::Next
        } else {
            Arrival::Gap
        }
    }

    /// Entries were lost here since something last came from that shard: it is not known yet what of it is missing.
    pub fn doubts(&self, from: Shard) -> bool {
        self.rest.doubted.contains(&from)
    }

    /// How often entries of this shard were lost.
    pub fn generation(&self) -> u32 {
        self.rest.generation
    }

    /// Not known to be held by that shard.
    pub fn outgoing(&self, to: Shard) -> impl Iterator<Item = (Stamp, &Payload)> {
        self.rest.outgoing.get(&to).into_iter().flat_map(Outgoing::stamped)
    }

    /// The place of what is sent next to that shard.
    pub fn outgoing_end(&self, to: Shard) -> Stamp {
        self.bound(self.rest.outgoing.get(&to).map_or(0, |outgoing| outgoing.next))
    }

    /// Above everything with a lower number, of the history that was lost too: a receiver may hold more of that than is left here.
    pub fn bound(&self, number: u64) -> Stamp {
        Stamp { generation: self.rest.generation, number }
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
                let dialogue = Dialogue { heard: self.rest.time, ..Dialogue::default() };
                self.rest.sessions.insert(session, dialogue);
                self.said.push(Said::Opened { nonce, session });
            }
            Input::Close { session } => drop(self.rest.sessions.remove(&session)),
            Input::Request { time, session, number, below, to, body } => {
                let Some(reply) = self.ask(time, session, number, below, &to) else { return false };
                self.deliver(From::Client(reply), to, &body);
            }
            Input::Delete { time, session, number, below, task } => {
                let Some(reply) = self.ask(time, session, number, below, &task) else { return false };
                let deleted = self.delete(task);
                self.reply(reply, Ok(serde_json::to_string(&deleted).expect("plain data becomes JSON")));
            }
            Input::Arrived { time, from, stamp, payload } => {
                if self.arrival(from, stamp) != Arrival::Next {
                    return false;
                }
                self.advance(time);
                self.note_gap(from, stamp);
                self.rest.arrived.insert(from, stamp.next());
                self.heard_from.insert(from);
                self.rest.doubted.remove(&from);
                match payload {
                    Payload::Message { from, to, body } => self.deliver(From::Task(from), to, &body),
                    Payload::Reply { to, answer } => self.reply(to, answer),
                }
            }
            Input::Time { time } => {
                self.advance(time);
                self.ring();
                self.expire();
                self.keys.forget(self.rest.time);
            }
            Input::Done { time, number, answer } => {
                let Some(question) = self.rest.questions.remove(&number) else { return false };
                self.advance(time);
                let body = serde_json::to_string(&answer).expect("an answer becomes JSON");
                self.deliver(From::Io(question.tag), question.task, &body);
            }
            Input::Held { to, below } => {
                if below > self.outgoing_end(to) {
                    return false;
                }
                // Nothing may be left here of what it holds.
                if let Some(outgoing) = self.rest.outgoing.get_mut(&to) {
                    let held = outgoing.stamped().take_while(|(stamp, _)| *stamp < below).count();
                    outgoing.waiting.drain(..held);
                }
            }
            Input::Keyed { time, key, body, kept } => {
                if self.key_verdict(&key, &body) != KeyVerdict::Take {
                    return false;
                }
                self.advance(time);
                let to = key.to.clone();
                let number = self.keys.insert(key, &body, kept);
                let reply = ReplyTo { shard: self.rest.shard, session: Session::KEYED, number };
                self.deliver(From::Client(reply), to, &body);
            }
            Input::Again { from } => {
                self.heard_from.insert(from);
                self.rest.doubted.remove(&from);
            }
            Input::Condemned { message } => drop(self.rest.condemned.insert(message)),
            Input::Lost { generation } => {
                if generation <= self.rest.generation {
                    return false;
                }
                let Rest { shard, shards, .. } = self.rest;
                self.rest.generation = generation;
                self.rest.next_session = self.rest.next_session.max(first_of(generation));
                self.rest.next_question = self.rest.next_question.max(first_of(generation));
                self.keys.lost(first_of(generation));
                self.rest.doubted = (0..shards).map(Shard).filter(|&other| other != shard).collect();
            }
            Input::Verdict { why } => return self.verdict.replace(why).is_none(),
            Input::Look { nonce } => self.said.push(Said::Looked { nonce }),
        }
        true
    }

    /// The next of the messages between this shard's own tasks is read, if there is one.
    pub fn step(&mut self) -> bool {
        let Some((from, to, body)) = self.rest.queue.pop_front() else { return false };
        self.deliver(from, to, &body);
        true
    }

    /// The next request of a session is taken; the reply that it waits for.
    fn ask(&mut self, time: u64, session: Session, number: u64, below: u64, to: &TaskId) -> Option<ReplyTo> {
        if self.verdict(session, number, below, to) != Verdict::Take {
            return None;
        }
        self.advance(time);
        let now = self.rest.time;
        let dialogue = self.rest.sessions.get_mut(&session).expect("the verdict found it");
        dialogue.heard = now;
        dialogue.last = number;
        dialogue.confirm(below);
        dialogue.replies.insert(number, None);
        Some(ReplyTo { shard: self.rest.shard, session, number })
    }

    /// A task ends, and with it what only it would ever hear of; `None` if it is not there. What it has sent to others is on its way, and what comes for
    /// it from now on makes a new one.
    fn delete(&mut self, task: TaskId) -> Option<Deleted> {
        let spot = Spot::of(task);
        let held = self.tasks.remove(&spot)?;
        self.tasks_hash = self.tasks_hash.wrapping_sub(held.hash);
        let Rest { timers, questions, queue, .. } = &mut self.rest;
        let task = &spot.1;
        let mut deleted = Deleted { timers: 0, questions: 0, messages: 0 };
        let goes = |is: bool, count: &mut u64| {
            *count += u64::from(is);
            !is
        };
        timers.retain(|_, (whose, _)| goes(whose == task, &mut deleted.timers));
        questions.retain(|_, question| goes(question.task == *task, &mut deleted.questions));
        queue.retain(|(from, to, _)| match from {
            From::Timer => goes(to == task, &mut deleted.timers),
            From::Task(from) => goes(from == task && to == task, &mut deleted.messages),
            From::Client(_) | From::Io(_) => true,
        });
        Some(deleted)
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

    /// A person is told what was lost for good.
    fn note_gap(&mut self, from: Shard, stamp: Stamp) {
        let expected = self.arrived_below(from);
        if stamp.number > expected.number {
            let last = stamp.number - 1;
            let why =
                format!("{} to {last} of shard {from} were lost with the end of this shard's log", expected.number);
            self.bury(None, TaskId::new("shard", self.rest.shard.to_string()), "", why);
        }
    }

    fn expire(&mut self) {
        let now = self.rest.time;
        self.rest.sessions.retain(|_, dialogue| dialogue.heard.saturating_add(SESSION_IDLE_MICROS) > now);
    }

    /// From here on, what is read is written down in this box.
    pub(crate) fn watch(&mut self, watch: BlackBox) {
        self.watch = Some(watch);
    }

    /// A task reads a message, unless that is condemned.
    fn deliver(&mut self, from: From, to: TaskId, body: &str) {
        self.rest.read += 1;
        let verdict = self.verdict.take();
        if self.watch.is_none() && self.rest.condemned.is_empty() {
            return self.receive(from, to, body, verdict);
        }
        let sender = postcard::to_stdvec(&from).expect("plain data encodes");
        let message = chain(0, &[&sender, to.kind.as_bytes(), to.name.as_bytes(), body.as_bytes()]);
        if self.rest.condemned.remove(&message) {
            let client = if let From::Client(reply) = from { Some(reply) } else { None };
            self.bury(client, to, body, format!("it ended the process that read it {DEATHS_MAX} times"));
            self.watch.iter_mut().for_each(|watch| watch.buried(message));
            return;
        }
        self.watch.iter_mut().for_each(|watch| watch.begin(message));
        self.receive(from, to, body, verdict);
        self.watch.iter_mut().for_each(BlackBox::end);
    }

    fn receive(&mut self, from: From, to: TaskId, body: &str, verdict: Option<String>) {
        let client = if let From::Client(reply) = &from { Some(*reply) } else { None };
        let spot = Spot::of(to);
        let to = &spot.1;
        let held = match self.tasks.get_mut(&spot) {
            Some(held) => held,
            None => match catch_unwind(AssertUnwindSafe(|| self.kinds.make(to))) {
                Ok(Some(task)) => {
                    let held = Held { task, broken: None, hash: 0, touched: false };
                    self.tasks.entry(spot.clone()).or_insert(held)
                }
                Ok(None) => {
                    let why = format!("no kind {}", to.kind);
                    return self.bury(client, spot.1, body, why);
                }
                Err(panic) => {
                    let why = format!("{to} panicked before its first message: {}", panic_words(panic.as_ref()));
                    return self.bury(client, spot.1, body, why);
                }
            },
        };
        // Also where it reads nothing: that it is there is part of the digest.
        if !std::mem::replace(&mut held.touched, true) {
            self.touched.push(spot.clone());
        }
        if let Some(why) = &held.broken {
            let why = format!("{to} is broken: {why}");
            return self.bury(client, spot.1, body, why);
        }
        if let Some(why) = verdict {
            return self.bury(client, spot.1, body, why);
        }
        let drawn = self.rng.get_word_pos();
        let mut ctx = Context { id: to, time: self.rest.time, rng: &mut self.rng, owed: client, effects: Vec::new() };
        // A panic is as much a function of state and message as a result is: both sides have the same one.
        let read = catch_unwind(AssertUnwindSafe(|| held.task.receive(&mut ctx, &from, body)));
        let (owed, effects) = (ctx.owed, ctx.effects);
        match read {
            Ok(Ok(())) => {
                effects.into_iter().for_each(|effect| self.carry_out(&spot.1, effect));
                if let Some(reply) = owed {
                    self.reply(reply, Ok("null".to_owned()));
                }
            }
            Ok(Err(Unread::Refused(why))) => match client {
                Some(reply) => self.reply(reply, Err(why)),
                None => self.bury(None, spot.1, body, why),
            },
            Ok(Err(Unread::Failed(why))) => {
                let why = cut(&why, WHY_BYTES_MAX).to_owned();
                // As if it had been condemned: then it draws no random number.
                self.rng.set_word_pos(drawn);
                self.bury(client, spot.1, body, why.clone());
                self.failure = Some(Failure::Message(why));
            }
            Ok(Err(Unread::Stuck(why))) => self.failure = Some(Failure::Side(why)),
            Err(panic) => {
                let why = format!("it panicked: {}", panic_words(panic.as_ref()));
                held.broken = Some(why.clone());
                self.bury(client, spot.1, body, why);
            }
        }
    }

    /// A message that is not read is kept for a person.
    fn bury(&mut self, client: Option<ReplyTo>, to: TaskId, body: &str, why: String) {
        if let Some(reply) = client {
            self.reply(reply, Err(why.clone()));
        }
        let (body, why) = (cut(body, MESSAGE_BYTES_MAX).to_owned(), cut(&why, WHY_BYTES_MAX).to_owned());
        self.rest.dead.push_back(DeadLetter { time: self.rest.time, to, body, why });
        let mut bytes: usize = self.rest.dead.iter().map(|letter| letter.body.len()).sum();
        while self.rest.dead.len() > DEAD_LETTERS_MAX || bytes > DEAD_BYTES_MAX {
            bytes -= self.rest.dead.pop_front().map_or(0, |letter| letter.body.len());
        }
    }

    fn carry_out(&mut self, task: &TaskId, effect: Effect) {
        match effect {
            Effect::Send { to, body } if !to.is_sound() || check_length(&body).is_err() => {
                let why = format!(
                    "sent by it, {} bytes to {}: {MESSAGE_BYTES_MAX} are allowed, to a kind and a name of 1 to {NAME_BYTES_MAX} bytes",
                    body.len(),
                    cut(&to.to_string(), NAME_BYTES_MAX)
                );
                self.bury(None, task.clone(), &body, why);
            }
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
        let stamp = Stamp { generation: self.rest.generation, number: outgoing.next };
        outgoing.next += 1;
        outgoing.waiting.push_back((stamp.generation, payload.clone()));
        self.said.push(Said::Send { to, stamp, payload });
    }

    /// The first reply counts. One that no frame can carry is none.
    fn reply(&mut self, to: ReplyTo, answer: Answer) {
        let answer = fitting(answer);
        if to.shard != self.rest.shard {
            if to.shard.0 < self.rest.shards {
                self.send(to.shard, Payload::Reply { to, answer });
            }
            return;
        }
        if to.session == Session::KEYED {
            if self.keys.answer(to.number, &answer, self.rest.time) {
                self.said.push(Said::Keyed { number: to.number, answer });
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
        for spot in std::mem::take(&mut self.touched) {
            if let Some(held) = self.tasks.get_mut(&spot) {
                held.touched = false;
                let bytes =
                    postcard::to_stdvec(&(&spot.1, held.task.save(), &held.broken)).expect("plain data encodes");
                let new = hash(&bytes);
                self.tasks_hash = self.tasks_hash.wrapping_sub(held.hash).wrapping_add(new);
                held.hash = new;
            }
        }
        let rest = postcard::to_stdvec(&self.rest).expect("plain data encodes");
        vec![
            ("tasks".to_owned(), self.tasks_hash),
            ("sessions, channels and timers".to_owned(), hash(&rest)),
            ("requests with keys".to_owned(), self.keys.digest()),
        ]
    }

    /// Everything, as bytes.
    pub fn save(&mut self) -> Vec<u8> {
        self.rest.drawn = self.rng.get_word_pos();
        let tasks: Vec<_> = self.tasks.iter().map(|(Spot(_, id), held)| (id, held.task.save(), &held.broken)).collect();
        postcard::to_stdvec(&(&self.rest, self.keys.saved(), tasks)).expect("plain data encodes")
    }

    /// What [`State::save`] wrote. An error names what is wrong with it.
    pub fn load(kinds: Kinds, bytes: &[u8]) -> Result<Self, String> {
        type Saved = (Rest, keys::Saved, Vec<(TaskId, Vec<u8>, Option<String>)>);
        let (rest, keys, tasks): Saved =
            postcard::from_bytes(bytes).map_err(|_| "not the state of a shard".to_owned())?;
        rest.is_sound().then_some(()).ok_or("the state of a shard contradicts itself")?;
        let mut state = Self::new(kinds, rest, Keys::load(keys)?);
        for (id, bytes, broken) in tasks {
            let task = state.kinds.load(&id, &bytes).ok_or_else(|| format!("the state of {id} does not decode"))?;
            let spot = Spot::of(id);
            state.touched.push(spot.clone());
            state.tasks.insert(spot, Held { task, broken, hash: 0, touched: true });
        }
        Ok(state)
    }
}

/// An answer that has room in a frame and in an entry.
pub(crate) fn fitting(answer: Answer) -> Answer {
    let (Ok(words) | Err(words)) = &answer;
    match check_length(words) {
        Ok(()) => answer,
        Err(why) => Err(format!("an answer of {why}")),
    }
}

/// The beginning of a text, of whole characters.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

impl Rest {
    /// What the arithmetic on it relies upon.
    fn is_sound(&self) -> bool {
        let outgoing = |o: &Outgoing| o.waiting.len() as u64 <= o.next && o.next < u64::MAX;
        let dialogue = |d: &Dialogue| d.last < u64::MAX && d.replies.keys().all(|&n| n <= d.last);
        self.shard.0 < self.shards && self.outgoing.values().all(outgoing) && self.sessions.values().all(dialogue)
    }
}

impl Dialogue {
    /// The first request whose reply is kept or owed.
    fn first(&self) -> u64 {
        self.replies.keys().next().copied().unwrap_or(self.last + 1)
    }

    /// Where that would be if the client had the replies to all requests below this one.
    fn confirmed(&self, below: u64, next: u64) -> u64 {
        let kept = self.replies.iter().find(|(number, reply)| **number >= below || reply.is_none());
        kept.map_or(next, |(&number, _)| number)
    }

    /// The client has the replies to all requests below this one.
    fn confirm(&mut self, below: u64) {
        while let Some(entry) = self.replies.first_entry().filter(|entry| *entry.key() < below && entry.get().is_some())
        {
            entry.remove();
        }
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
