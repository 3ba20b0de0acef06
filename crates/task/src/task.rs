//! What a task is, and what it may do while it reads a message.

use crate::id::{Answer, ReplyTo, TaskId};
use crate::worker::{Outsourced, Program};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// A task: state that one message after the other changes.
///
/// Both sides of a pair execute [`Task::receive`], so it must be a function of the state, the message and what the [`Context`] says: no clock, no random
/// numbers, no files, no order of a hash map. What reaches outside goes through [`Context::io`].
pub trait Task: Serialize + DeserializeOwned + Send + Sized + 'static {
    /// Its name in addresses and logs.
    const KIND: &'static str;
    /// What it reads. On the wire it is JSON.
    type Message: Serialize + DeserializeOwned;

    /// The task as it is before its first message.
    fn new(name: &str) -> Self;

    /// Reads one message. An error refuses it: whoever waits for a reply gets that, and the state must not have been changed.
    fn receive(&mut self, ctx: &mut Context<'_>, from: &From, message: Self::Message) -> Result<(), String>;

    /// Carries out what the task asked for with [`Context::io`], live, on a thread of its own. It may be carried out again after a takeover: use
    /// [`Io::key`] to make that harmless. Both the answer and the error come back to the task as a message from [`From::Io`].
    fn perform(io: &Io) -> Answer {
        Err(format!("a {} has no outside", io.task.kind))
    }
}

/// Where a message comes from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// A client, who waits for a reply.
    Client(ReplyTo),
    /// Another task, or this one.
    Task(TaskId),
    /// A timer that this task has set.
    Timer,
    /// The outside, asked by this task with this tag. The message is the answer.
    Io(String),
}

/// Something to be done outside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Io {
    /// The same whenever this question is put again, and no other's.
    pub key: String,
    /// Who asks.
    pub task: TaskId,
    /// The task's own word for it.
    pub tag: String,
    /// JSON.
    pub request: String,
}

/// What a task asks for while it reads a message. It happens when the task is done with the message.
#[derive(Debug)]
pub(crate) enum Effect {
    Send { to: TaskId, body: String },
    Reply { to: ReplyTo, answer: Answer },
    Timer { after: Duration, body: String },
    Io { tag: String, request: String },
}

/// A task's only way to everything that is not its state.
#[derive(Debug)]
pub struct Context<'a> {
    pub(crate) id: &'a TaskId,
    pub(crate) time: u64,
    pub(crate) rng: &'a mut ChaCha8Rng,
    pub(crate) owed: Option<ReplyTo>,
    pub(crate) effects: Vec<Effect>,
}

impl Context<'_> {
    /// Who reads.
    pub fn id(&self) -> &TaskId {
        self.id
    }

    /// Microseconds since 1970, the same on both sides; it never goes back.
    pub fn now(&self) -> u64 {
        self.time
    }

    /// A random number, the same on both sides.
    pub fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Sends a message to a task, which is made if it is not there. It is read exactly once, and in the order in which messages were sent to that task.
    ///
    /// # Panics
    /// If the message does not become JSON.
    pub fn send<T: Task>(&mut self, name: &str, message: &T::Message) {
        self.send_json(TaskId::new(T::KIND, name), json(message));
    }

    /// The same with JSON at hand.
    pub fn send_json(&mut self, to: TaskId, body: String) {
        self.effects.push(Effect::Send { to, body });
    }

    /// Replies to the client whose message this is. Without a client nobody hears it. If a task neither replies nor takes the reply upon itself with
    /// [`Context::owe`], the client gets `null`.
    ///
    /// # Panics
    /// If the value does not become JSON.
    pub fn reply(&mut self, value: &impl Serialize) {
        if let Some(to) = self.owed.take() {
            self.reply_later(to, Ok(json(value)));
        }
    }

    /// Takes the reply upon itself: to be given later, by this task or another one, with [`Context::reply_later`]. None if nobody waits for one.
    pub fn owe(&mut self) -> Option<ReplyTo> {
        self.owed.take()
    }

    /// Gives a reply that was owed. The second one to the same request is dropped.
    pub fn reply_later(&mut self, to: ReplyTo, answer: Answer) {
        self.effects.push(Effect::Reply { to, answer });
    }

    /// Sends this task a message when so much time has passed.
    ///
    /// # Panics
    /// If the message does not become JSON.
    pub fn timer(&mut self, after: Duration, message: &impl Serialize) {
        self.effects.push(Effect::Timer { after, body: json(message) });
    }

    /// Asks something of the outside ([`Task::perform`]), once this moment is safe. The answer is a message from [`From::Io`] with this tag.
    ///
    /// # Panics
    /// If the request does not become JSON.
    pub fn io(&mut self, tag: &str, request: &impl Serialize) {
        self.effects.push(Effect::Io { tag: tag.to_owned(), request: json(request) });
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a message becomes JSON")
}

/// Why a message was not read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Unread {
    /// The task refuses it, as it does on both sides.
    Refused(String),
    /// What runs the task failed at it, and failed again. The other side may fare otherwise, so the live side's verdict is an input.
    Failed(String),
    /// Nothing runs tasks here, whatever the message is: this side's own failure.
    Stuck(String),
}

/// A task of any kind.
pub(crate) trait AnyTask: Send {
    /// Unless it is read, nothing has changed.
    fn receive(&mut self, ctx: &mut Context<'_>, from: &From, body: &str) -> Result<(), Unread>;
    fn save(&self) -> Vec<u8>;
}

impl<T: Task> AnyTask for T {
    fn receive(&mut self, ctx: &mut Context<'_>, from: &From, body: &str) -> Result<(), Unread> {
        let message = message::<T>(body).map_err(Unread::Refused)?;
        Task::receive(self, ctx, from, message).map_err(Unread::Refused)
    }

    fn save(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a task's state is plain data")
    }
}

fn message<T: Task>(body: &str) -> Result<T::Message, String> {
    serde_json::from_str(body).map_err(|e| format!("not a message for a {}: {e}", T::KIND))
}

/// What makes tasks of one kind.
pub(crate) trait Kind: Send + Sync {
    fn make(&self, name: &str) -> Box<dyn AnyTask>;
    fn load(&self, bytes: &[u8]) -> Option<Box<dyn AnyTask>>;
    fn perform(&self, io: &Io) -> Answer;

    /// Can a task of this kind read it? Who cannot tell without reading it says yes.
    fn check(&self, body: &str) -> Result<(), String> {
        let _ = body;
        Ok(())
    }

    /// What both sides must have in common, beside this program.
    fn code(&self) -> &str {
        ""
    }

    /// The same for one life of one shard, if that has something of its own.
    fn of_shard(&self) -> Option<Arc<dyn Kind>> {
        None
    }
}

/// A kind that is written in Rust.
struct Native<T>(PhantomData<fn() -> T>);

impl<T: Task> Kind for Native<T> {
    fn make(&self, name: &str) -> Box<dyn AnyTask> {
        Box::new(T::new(name))
    }

    fn load(&self, bytes: &[u8]) -> Option<Box<dyn AnyTask>> {
        postcard::from_bytes::<T>(bytes).ok().map(|task| Box::new(task) as _)
    }

    fn perform(&self, io: &Io) -> Answer {
        T::perform(io)
    }

    fn check(&self, body: &str) -> Result<(), String> {
        message::<T>(body).map(drop)
    }
}

/// The kinds of task that a service knows.
#[derive(Clone, Default)]
pub struct Kinds(Arc<BTreeMap<String, Arc<dyn Kind>>>);

impl Kinds {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// These and one more.
    #[must_use]
    pub fn with<T: Task>(self) -> Self {
        self.and(T::KIND, Arc::new(Native::<T>(PhantomData)))
    }

    /// These and one whose tasks this program runs, outside.
    #[must_use]
    pub fn with_program(self, kind: &str, program: &Arc<Program>) -> Self {
        self.and(kind, Arc::new(Outsourced::new(program.clone())))
    }

    pub(crate) fn and(self, name: &str, kind: Arc<dyn Kind>) -> Self {
        let mut kinds = Arc::unwrap_or_clone(self.0);
        kinds.insert(name.to_owned(), kind);
        Self(Arc::new(kinds))
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Does a program run some of them?
    pub fn outsourced(&self) -> bool {
        self.0.values().any(|kind| !kind.code().is_empty())
    }

    /// What both sides must have in common.
    pub(crate) fn code(&self) -> String {
        let words = self.0.iter().map(|(name, kind)| match kind.code() {
            "" => name.clone(),
            code => format!("{name} by {code}"),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// For one life of one shard.
    pub(crate) fn of_shard(&self) -> Self {
        let own =
            |(name, kind): (&String, &Arc<dyn Kind>)| (name.clone(), kind.of_shard().unwrap_or_else(|| kind.clone()));
        Self(Arc::new(self.0.iter().map(own).collect()))
    }

    /// Can a task of this kind read it? `None` if there is no such kind.
    pub fn check(&self, kind: &str, body: &str) -> Option<Result<(), String>> {
        self.0.get(kind).map(|kind| kind.check(body))
    }

    pub(crate) fn make(&self, id: &TaskId) -> Option<Box<dyn AnyTask>> {
        self.0.get(&id.kind).map(|kind| kind.make(&id.name))
    }

    pub(crate) fn load(&self, id: &TaskId, bytes: &[u8]) -> Option<Box<dyn AnyTask>> {
        self.0.get(&id.kind).and_then(|kind| kind.load(bytes))
    }

    pub(crate) fn perform(&self, io: &Io) -> Answer {
        match self.0.get(&io.task.kind) {
            Some(kind) => kind.perform(io),
            None => Err(format!("no kind {}", io.task.kind)),
        }
    }
}

impl std::fmt::Debug for Kinds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
