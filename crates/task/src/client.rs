//! Asking tasks from outside: sessions that number requests, so that one that is sent again after a takeover is not executed twice.
//!
//! A client talks to each shard on a connection of its own, finds out where the shard is live, and asks again there when it moves. It belongs to one
//! thread; requests can be under way together: [`Client::submit`] them and [`Client::wait`] for each.

use crate::id::{Answer, Session, Shard, TaskId};
use crate::look::{self, Look, Shown};
use crate::routes::{self, Asked};
use crate::state::{Deleted, WINDOW};
use crate::task::Task;
use crate::wire::{Frames, FromShard, ToShard};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Longest that a client waits for a service that does not answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// So long it waits for bytes before it looks whether the shard has moved.
const SILENCE_MAX: Duration = Duration::from_secs(1);
/// Of requests that are under way at one shard; more wait, so that neither side writes while the other one does not read.
const OPEN_BYTES_MAX: usize = 1 << 20;
const READ_BYTES: usize = 64 << 10;

/// Why there is no reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The task has refused the message, or the service the request. It was not carried out.
    Told(String),
    /// The session is gone, and with it what became of the request.
    Lost(String),
    /// Nobody answered for so long. The request may be carried out later.
    Silent(String),
    /// The reply is not what was expected.
    Unexpected(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told(why) => f.write_str(why),
            Self::Lost(why) => write!(f, "what became of the request is not known: {why}"),
            Self::Silent(why) => write!(f, "no answer: {why}"),
            Self::Unexpected(why) => write!(f, "an unexpected reply: {why}"),
        }
    }
}

impl std::error::Error for Refused {}

/// A request that is under way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ticket {
    shard: Shard,
    session: Session,
    number: u64,
}

/// Asks the tasks of one service.
#[derive(Debug)]
pub struct Client {
    nodes: Vec<String>,
    shards: u16,
    talks: BTreeMap<Shard, Talk>,
    patience: Duration,
}

/// The conversation with one shard.
#[derive(Debug, Default)]
struct Talk {
    wire: Option<Line>,
    session: Option<Session>,
    /// Number of the last request.
    last: u64,
    /// Without a reply.
    open: BTreeMap<u64, Wish>,
    /// A request of it was refused: it ends when all replies were taken.
    spent: bool,
    /// Not yet asked for, of this session and of those before it.
    replies: BTreeMap<(Session, u64), Answer>,
}

/// A request of a client.
#[derive(Debug)]
struct Wish {
    task: TaskId,
    /// A message to it, JSON; `None`: that it be deleted.
    body: Option<String>,
}

#[derive(Debug)]
struct Line {
    stream: TcpStream,
    frames: Frames,
    /// What is read next goes here first.
    space: Vec<u8>,
}

impl Client {
    /// A client of the service whose nodes listen at these addresses, of which it need not know all; waits until one of them answers.
    pub fn connect(nodes: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, Refused> {
        Self::connect_within(nodes, PATIENCE)
    }

    /// The same, with this patience from the beginning.
    pub fn connect_within(
        nodes: impl IntoIterator<Item = impl Into<String>>,
        patience: Duration,
    ) -> Result<Self, Refused> {
        let nodes: Vec<String> = nodes.into_iter().map(Into::into).collect();
        let since = Instant::now();
        loop {
            let mut why = "no address to ask at".to_owned();
            for node in &nodes {
                match routes::ask(node, Shard(0), 0, None) {
                    Ok(Asked::Here(_, shards) | Asked::Elsewhere(shards, _)) => {
                        return Ok(Self { nodes, shards, talks: BTreeMap::new(), patience });
                    }
                    Err(e) => why = format!("{node}: {e}"),
                }
            }
            if since.elapsed() > patience || nodes.is_empty() {
                return Err(Refused::Silent(why));
            }
            std::thread::sleep(routes::PAUSE);
        }
    }

    /// Gives up after so long without an answer.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How many shards the service has.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// Looks at a shard where it is live; all that is shown is committed.
    pub fn look(&self, shard: Shard, what: &Look) -> Result<Shown, Refused> {
        look::ask(&self.nodes, shard, self.shards, what, self.patience)
    }

    /// Asks a task and waits for the reply.
    pub fn call<T: Task, R: DeserializeOwned>(&mut self, name: &str, message: &T::Message) -> Result<R, Refused> {
        let body = serde_json::to_string(message).map_err(|e| Refused::Unexpected(e.to_string()))?;
        let reply = self.call_json(TaskId::new(T::KIND, name), body)?;
        serde_json::from_str(&reply).map_err(|e| Refused::Unexpected(format!("{e} in {reply}")))
    }

    /// The same with JSON at both ends.
    pub fn call_json(&mut self, to: TaskId, body: String) -> Result<String, Refused> {
        let ticket = self.submit(to, body)?;
        self.wait(ticket)
    }

    /// Deletes a task: its state, its timers, and what it has asked of the outside. What it had already sent to others still arrives; the next message to
    /// it makes a new one. What went with it, or `None` if there was no such task. Like any request it is carried out once, whatever dies.
    ///
    /// A reply that the task owed is never given.
    pub fn delete(&mut self, task: TaskId) -> Result<Option<Deleted>, Refused> {
        let ticket = self.put_on_its_way(Wish { task, body: None })?;
        let reply = self.wait(ticket)?;
        serde_json::from_str(&reply).map_err(|e| Refused::Unexpected(format!("{e} in {reply}")))
    }

    /// Puts a request on its way; it goes at the latest when one is waited for. Waits while too many are under way.
    pub fn submit(&mut self, to: TaskId, body: String) -> Result<Ticket, Refused> {
        self.put_on_its_way(Wish { task: to, body: Some(body) })
    }

    fn put_on_its_way(&mut self, wish: Wish) -> Result<Ticket, Refused> {
        let shard = wish.task.shard(self.shards);
        let deadline = Instant::now() + self.patience;
        let talk = self.talks.entry(shard).or_default();
        // After a refusal the session ends, when all that is under way in it has its reply.
        while talk.is_full() || (talk.spent && !talk.open.is_empty()) {
            talk.flush();
            talk.attend(&self.nodes, shard, self.shards, deadline)?;
        }
        let session = match talk.session {
            Some(session) if !talk.spent => session,
            _ => talk.open_session(&self.nodes, shard, self.shards, deadline)?,
        };
        talk.last += 1;
        let number = talk.last;
        talk.open.insert(number, wish);
        talk.put(session, number);
        Ok(Ticket { shard, session, number })
    }

    /// Sends what was submitted.
    pub fn flush(&mut self) {
        self.talks.values_mut().for_each(Talk::flush);
    }

    /// Waits for the reply to a request.
    pub fn wait(&mut self, ticket: Ticket) -> Result<String, Refused> {
        let deadline = Instant::now() + self.patience;
        self.flush();
        let Some(talk) = self.talks.get_mut(&ticket.shard) else {
            return Err(Refused::Lost(format!("session {} is another client's", ticket.session.0)));
        };
        loop {
            if let Some(answer) = talk.replies.remove(&(ticket.session, ticket.number)) {
                return answer.map_err(Refused::Told);
            }
            if talk.session != Some(ticket.session) {
                return Err(Refused::Lost(format!("session {} has ended", ticket.session.0)));
            }
            if !talk.open.contains_key(&ticket.number) {
                return Err(Refused::Lost("its reply was taken already".to_owned()));
            }
            talk.attend(&self.nodes, ticket.shard, self.shards, deadline)?;
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        for talk in self.talks.values_mut() {
            if let (Some(session), Some(line)) = (talk.session, &mut talk.wire) {
                line.frames.say(&ToShard::Close { session });
                let _ = line.flush();
            }
        }
    }
}

impl Talk {
    /// The service takes no further request before there is a reply to the first of these.
    fn is_full(&self) -> bool {
        let bytes = || self.open.values().filter_map(|wish| wish.body.as_ref()).map(String::len).sum::<usize>();
        self.open.keys().next().is_some_and(|first| self.last - first >= WINDOW - 2) || bytes() > OPEN_BYTES_MAX
    }

    /// The request `number` goes with the next flush.
    fn put(&mut self, session: Session, number: u64) {
        let below = self.open.keys().next().copied().unwrap_or(number);
        let (Some(line), Some(wish)) = (&mut self.wire, self.open.get(&number)) else { return };
        let task = wish.task.clone();
        let request = match wish.body.clone() {
            Some(body) => ToShard::Request { session, number, below, to: task, body },
            None => ToShard::Delete { session, number, below, task },
        };
        line.frames.say(&request);
    }

    fn flush(&mut self) {
        if self.wire.as_mut().is_some_and(|line| line.flush().is_err()) {
            self.wire = None;
        }
    }

    fn open_session(
        &mut self,
        nodes: &[String],
        shard: Shard,
        shards: u16,
        deadline: Instant,
    ) -> Result<Session, Refused> {
        let nonce = gapless_log::random_u128().map_err(|e| Refused::Silent(e.to_string()))? as u64;
        loop {
            if self.wire.is_none() {
                self.wire = Some(Line::find(nodes, shard, shards, deadline)?);
            }
            let line = self.wire.as_mut().expect("just found");
            if let Some(session) = self.session {
                line.frames.say(&ToShard::Close { session });
            }
            line.frames.say(&ToShard::Open { nonce });
            let opened = line.flush().and_then(|()| {
                loop {
                    match line.frames.take()? {
                        Some(FromShard::Opened { nonce: mine, session }) if mine == nonce => return Ok(session),
                        Some(_) => {}
                        None => line.read()?,
                    }
                }
            });
            match opened {
                Ok(session) => {
                    (self.session, self.last, self.spent) = (Some(session), 0, false);
                    return Ok(session);
                }
                Err(e) if Instant::now() > deadline => return Err(Refused::Silent(e.to_string())),
                Err(_) => {
                    self.wire = None;
                    std::thread::sleep(routes::PAUSE);
                }
            }
        }
    }

    /// Takes what comes next; a broken connection is made again, and what has no reply is asked again.
    fn attend(&mut self, nodes: &[String], shard: Shard, shards: u16, deadline: Instant) -> Result<(), Refused> {
        let Some(session) = self.session else { return Ok(()) };
        if self.wire.is_none() {
            self.wire = Some(Line::find(nodes, shard, shards, deadline)?);
            let open: Vec<u64> = self.open.keys().copied().collect();
            open.into_iter().for_each(|number| self.put(session, number));
            self.flush();
        }
        let Some(line) = &mut self.wire else { return Ok(()) };
        match line.frames.take() {
            Ok(Some(said)) => self.hear(said),
            Ok(None) => {
                if let Err(e) = line.read() {
                    self.wire = None;
                    if Instant::now() > deadline {
                        return Err(Refused::Silent(e.to_string()));
                    }
                }
            }
            Err(_) => self.wire = None,
        }
        Ok(())
    }

    fn hear(&mut self, said: FromShard) {
        match said {
            FromShard::Reply { session, number, answer }
                if self.session == Some(session) && self.open.remove(&number).is_some() =>
            {
                self.replies.insert((session, number), answer);
            }
            FromShard::Refused { session, number, why } if self.session == Some(session) => {
                // The numbers after it can never be taken: a new session begins with the next request.
                self.open.remove(&number);
                self.replies.insert((session, number), Err(why));
                let lost = self.open.split_off(&number);
                let gone = |number| ((session, number), Err("the request before it was refused".to_owned()));
                self.replies.extend(lost.into_keys().map(gone));
                self.spent = true;
            }
            _ => {}
        }
    }
}

impl Line {
    fn find(nodes: &[String], shard: Shard, shards: u16, deadline: Instant) -> Result<Self, Refused> {
        let stream = find(nodes, shard, shards, deadline)?;
        let timed =
            stream.set_read_timeout(Some(SILENCE_MAX)).and_then(|()| stream.set_write_timeout(Some(SILENCE_MAX)));
        timed.map_err(|e| Refused::Silent(e.to_string()))?;
        Ok(Self { stream, frames: Frames::default(), space: vec![0; READ_BYTES] })
    }

    fn flush(&mut self) -> io::Result<()> {
        let sent = self.stream.write_all(self.frames.going());
        self.frames.gone(self.frames.going().len());
        sent
    }

    fn read(&mut self) -> io::Result<()> {
        match self.stream.read(&mut self.space) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                self.frames.come(&self.space[..n]);
                Ok(())
            }
            Err(e) if e.kind() != ErrorKind::Interrupted => Err(e),
            Err(_) => Ok(()),
        }
    }
}

/// A connection to wherever the shard is live.
pub(crate) fn find(nodes: &[String], shard: Shard, shards: u16, deadline: Instant) -> Result<TcpStream, Refused> {
    loop {
        let mut why = format!("shard {shard} is live nowhere");
        // Who has it, if these are all the nodes; the others know better if not.
        let mut asked = routes::pair(nodes, shard).to_vec();
        asked.extend(nodes.iter().filter(|node| !asked.contains(node)).cloned().collect::<Vec<_>>());
        let mut at = 0;
        while at < asked.len() && at < 2 * nodes.len() + 2 {
            match routes::ask(&asked[at], shard, shards, None) {
                Ok(Asked::Here(stream, _)) => return Ok(stream),
                Ok(Asked::Elsewhere(_, Some(hint))) if !asked.contains(&hint) => asked.push(hint),
                Ok(Asked::Elsewhere(..)) => {}
                Err(e) => why = format!("{}: {e}", asked[at]),
            }
            at += 1;
        }
        if Instant::now() > deadline {
            return Err(Refused::Silent(why));
        }
        std::thread::sleep(routes::PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_request_takes_only_those_behind_it_along() {
        let session = Session(7);
        let mut talk = Talk { session: Some(session), last: 3, ..Talk::default() };
        let wish = |n: u64| Wish { task: TaskId::new("kind", "name"), body: Some(n.to_string()) };
        talk.open = (1..=3).map(|n| (n, wish(n))).collect();
        talk.hear(FromShard::Refused { session, number: 2, why: "so".to_owned() });
        assert_eq!(talk.replies.keys().map(|(_, number)| *number).collect::<Vec<_>>(), [2, 3]);
        talk.hear(FromShard::Reply { session, number: 1, answer: Ok("1".to_owned()) });
        assert_eq!(
            talk.replies.remove(&(Session(7), 1)),
            Some(Ok("1".to_owned())),
            "it was taken, so its reply is what counts"
        );
        assert!(talk.open.is_empty() && talk.spent);
    }
}
