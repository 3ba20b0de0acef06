//! The way from HTTP to one shard: one connection, on which all requests of this node to that shard are under way together.
//!
//! Requests with a key are asked again on any connection. Those without one go through sessions of this node, so that none is executed twice when the
//! connection breaks or the shard moves; a session is replaced before one reply that is owed for long can hold up the others. A request whose client has
//! gone is dropped here: it may have been executed, and nobody is told.

use gapless_task::wire::{self, FRAME_BYTES_MAX, Frames, FromShard, Hello, KeyedTold, ToShard, VERSION, Welcome};
use gapless_task::{Answer, Key, Session, Shard, TaskId, WINDOW};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// A request that was not sent, because the shard is live nowhere, is given back after this time. A takeover takes less.
pub const NOWHERE_MAX: Duration = Duration::from_secs(5);
/// Replies are owed and nothing was heard for so long: the shard may have moved.
const SILENCE_MAX: Duration = Duration::from_secs(1);
/// Time for one node to say whether the shard is live there.
const WELCOME_MAX: Duration = Duration::from_secs(1);
/// Between two rounds of asking everybody.
const PAUSE: Duration = Duration::from_millis(20);
/// Requests are looked at for those that have waited too long, this often.
const SWEEP_EVERY: Duration = Duration::from_millis(250);
/// Requests of one session. It ends before its window can be full.
const SESSION_REQUESTS_MAX: u64 = WINDOW - 1;
const READ_BYTES: usize = 64 << 10;

/// A request, and where its reply goes.
#[derive(Debug)]
pub struct Ask {
    pub to: TaskId,
    pub body: String,
    /// The key, and how long it shall be known.
    pub key: Option<(Key, Duration)>,
    pub reply: oneshot::Sender<Told>,
    pub since: Instant,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// This is the reply.
    Answer(Answer),
    /// Something else was asked with this key.
    OtherBody,
    /// No new key is taken for about so many seconds.
    Full(u32),
    /// It was not executed, for this reason.
    Refused(String),
    /// The shard is live nowhere. Without a key it was not executed; with a key it can be asked again.
    Nowhere,
    /// Nobody knows whether it was executed: its session is gone, for this reason.
    Lost(String),
}

/// A request of a session.
#[derive(Debug)]
struct Sent {
    ask: Ask,
    /// It went once, on the present connection, and in no session before.
    once: bool,
}

#[derive(Debug)]
struct Dialogue {
    session: Session,
    last: u64,
    open: BTreeMap<u64, Sent>,
    /// A request of it was refused: it takes no more.
    spent: bool,
}

#[derive(Debug)]
struct Line {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    frames: Frames,
}

/// See the module.
#[derive(Debug)]
pub struct Lane {
    nodes: Vec<String>,
    shard: Shard,
    shards: u16,
    asks: mpsc::Receiver<Ask>,
    line: Option<Line>,
    dial: Option<JoinHandle<Line>>,
    /// When a connection was there last, or a request came after a silence.
    heard: Instant,
    /// With keys, by ticket.
    keyed: BTreeMap<u64, Ask>,
    next_ticket: u64,
    /// Without keys, and without a session so far; true if a session has refused it.
    unsent: VecDeque<(Ask, bool)>,
    /// The last one takes requests, the others wait for replies.
    dialogues: Vec<Dialogue>,
    /// A session is being opened under this word.
    opening: Option<u64>,
}

enum Event {
    Ask(Ask),
    Up(Line),
    Moved(io::Result<()>),
    Sweep,
}

impl Lane {
    pub fn new(nodes: Vec<String>, shard: Shard, shards: u16, asks: mpsc::Receiver<Ask>) -> Self {
        Self {
            nodes,
            shard,
            shards,
            asks,
            line: None,
            dial: None,
            heard: Instant::now(),
            keyed: BTreeMap::new(),
            next_ticket: 0,
            unsent: VecDeque::new(),
            dialogues: Vec::new(),
            opening: None,
        }
    }

    /// Until nobody can ask any more.
    pub async fn run(mut self) {
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        loop {
            if self.line.is_none() && self.dial.is_none() && self.has_open() {
                self.dial = Some(tokio::spawn(find(self.nodes.clone(), self.shard, self.shards)));
            }
            let Self { asks, line, dial, .. } = &mut self;
            let event = tokio::select! {
                ask = asks.recv() => match ask {
                    Some(ask) => Event::Ask(ask),
                    None => return,
                },
                line = found(dial) => Event::Up(line),
                moved = talk(line) => Event::Moved(moved),
                _ = sweep.tick() => Event::Sweep,
            };
            match event {
                Event::Ask(ask) => self.ask(ask),
                Event::Up(line) => self.up(line),
                Event::Moved(moved) => self.moved(moved),
                Event::Sweep => self.sweep(),
            }
        }
    }

    fn has_open(&self) -> bool {
        !self.keyed.is_empty() || !self.unsent.is_empty() || self.dialogues.iter().any(|d| !d.open.is_empty())
    }

    fn ask(&mut self, ask: Ask) {
        if !self.has_open() {
            self.heard = Instant::now();
        }
        if ask.key.is_none() {
            self.unsent.push_back((ask, false));
            return self.send_unsent();
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.keyed.insert(ticket, ask);
        self.send_keyed(ticket);
    }

    // ---- out ----

    fn say(&mut self, what: &ToShard) {
        if let Some(line) = &mut self.line {
            line.frames.say(what);
        }
    }

    fn send_keyed(&mut self, ticket: u64) {
        let Some(Ask { body, key: Some((key, kept)), .. }) = self.keyed.get(&ticket) else { return };
        self.say(&ToShard::Keyed { ticket, key: key.clone(), body: body.clone(), kept: *kept });
    }

    fn send_unsent(&mut self) {
        while self.line.is_some() && !self.unsent.is_empty() {
            let room = |d: &&mut Dialogue| !d.spent && d.last < SESSION_REQUESTS_MAX;
            let Some(dialogue) = self.dialogues.last_mut().filter(room) else { return self.open() };
            let (ask, again) = self.unsent.pop_front().expect("there is one");
            dialogue.last += 1;
            let number = dialogue.last;
            dialogue.open.insert(number, Sent { ask, once: !again });
            let request = dialogue.request(number);
            self.say(&request);
        }
    }

    fn open(&mut self) {
        if self.opening.is_none() {
            // Without random numbers it is tried again with the next sweep.
            self.opening = gapless_log::random_u128().ok().map(|word| word as u64);
            if let Some(nonce) = self.opening {
                self.say(&ToShard::Open { nonce });
            }
        }
    }

    /// A connection is there: what has no reply is asked again.
    fn up(&mut self, line: Line) {
        (self.line, self.dial, self.heard) = (Some(line), None, Instant::now());
        let mut requests = Vec::new();
        for dialogue in &mut self.dialogues {
            dialogue.open.values_mut().for_each(|sent| sent.once = false);
            requests.extend(dialogue.open.keys().map(|&number| dialogue.request(number)));
        }
        requests.iter().for_each(|request| self.say(request));
        let tickets: Vec<u64> = self.keyed.keys().copied().collect();
        tickets.into_iter().for_each(|ticket| self.send_keyed(ticket));
        self.send_unsent();
    }

    fn down(&mut self) {
        (self.line, self.opening) = (None, None);
    }

    // ---- in ----

    fn moved(&mut self, moved: io::Result<()>) {
        if moved.is_err() {
            return self.down();
        }
        while let Some(line) = &mut self.line {
            match line.frames.take() {
                Ok(Some(said)) => {
                    self.heard = Instant::now();
                    self.hear(said);
                }
                Ok(None) => break,
                Err(_) => self.down(),
            }
        }
        self.tidy();
    }

    fn hear(&mut self, said: FromShard) {
        match said {
            FromShard::Opened { nonce, session } if self.opening == Some(nonce) => {
                self.opening = None;
                self.dialogues.push(Dialogue { session, last: 0, open: BTreeMap::new(), spent: false });
                self.send_unsent();
            }
            FromShard::Reply { session, number, answer } => {
                if let Some(sent) = self.dialogue(session).and_then(|dialogue| dialogue.open.remove(&number)) {
                    let _ = sent.ask.reply.send(Told::Answer(answer));
                }
            }
            FromShard::Refused { session, number, why } => {
                let Some(dialogue) = self.dialogue(session) else { return };
                dialogue.spent = true;
                match dialogue.open.remove(&number) {
                    // This session was too old, and the request was seen for the first time: it was not executed, and another session may take it.
                    Some(Sent { ask, once: true }) => {
                        self.unsent.push_back((ask, true));
                        self.send_unsent();
                    }
                    Some(Sent { ask, .. }) => drop(ask.reply.send(Told::Lost(why))),
                    None => {}
                }
            }
            FromShard::Keyed { ticket, told } => {
                if let Some(ask) = self.keyed.remove(&ticket) {
                    let _ = ask.reply.send(match told {
                        KeyedTold::Answer(answer) => Told::Answer(answer),
                        KeyedTold::OtherBody => Told::OtherBody,
                        KeyedTold::Full(seconds) => Told::Full(seconds),
                        KeyedTold::Refused(why) => Told::Refused(why),
                    });
                }
            }
            FromShard::Opened { .. } | FromShard::Held { .. } | FromShard::Shown { .. } => {}
        }
    }

    fn dialogue(&mut self, session: Session) -> Option<&mut Dialogue> {
        self.dialogues.iter_mut().find(|dialogue| dialogue.session == session)
    }

    /// Sessions that take no more and wait for nothing are closed.
    fn tidy(&mut self) {
        if self.line.is_none() {
            return;
        }
        let last = self.dialogues.len().saturating_sub(1);
        let over =
            |n: usize, d: &Dialogue| d.open.is_empty() && (n < last || d.spent || d.last == SESSION_REQUESTS_MAX);
        let ended: Vec<Session> =
            self.dialogues.iter().enumerate().filter(|(n, d)| over(*n, d)).map(|(_, d)| d.session).collect();
        for session in ended {
            self.say(&ToShard::Close { session });
            self.dialogues.retain(|dialogue| dialogue.session != session);
        }
    }

    /// Nobody waits for ever.
    fn sweep(&mut self) {
        if self.line.is_some() && self.has_open() && self.heard.elapsed() > SILENCE_MAX {
            self.down();
        }
        let nowhere = self.line.is_none();
        let since_heard = self.heard.elapsed();
        let given_up = |ask: &Ask| nowhere && ask.since.elapsed().min(since_heard) > NOWHERE_MAX;
        let tickets = self.keyed.iter().filter(|(_, ask)| ask.reply.is_closed() || given_up(ask));
        let tickets: Vec<u64> = tickets.map(|(&ticket, _)| ticket).collect();
        for ask in tickets.into_iter().filter_map(|ticket| self.keyed.remove(&ticket)) {
            let _ = ask.reply.send(Told::Nowhere);
        }
        for (ask, again) in std::mem::take(&mut self.unsent) {
            if given_up(&ask) {
                let _ = ask.reply.send(Told::Nowhere);
            } else if !ask.reply.is_closed() {
                self.unsent.push_back((ask, again));
            }
        }
        for dialogue in &mut self.dialogues {
            dialogue.open.retain(|_, sent| !sent.ask.reply.is_closed());
        }
        self.send_unsent();
        self.tidy();
    }
}

impl Dialogue {
    fn request(&self, number: u64) -> ToShard {
        let below = self.open.keys().next().copied().unwrap_or(number);
        let Ask { to, body, .. } = &self.open[&number].ask;
        ToShard::Request { session: self.session, number, below, to: to.clone(), body: body.clone() }
    }
}

/// The connection, when it is there.
async fn found(dial: &mut Option<JoinHandle<Line>>) -> Line {
    if let Some(handle) = dial
        && let Ok(line) = handle.await
    {
        return line;
    }
    std::future::pending().await
}

/// Bytes have come, or gone. It may be dropped at any moment and called again.
async fn talk(line: &mut Option<Line>) -> io::Result<()> {
    let Some(Line { read, write, frames }) = line else { return std::future::pending().await };
    let (come, going) = frames.ways();
    come.reserve(READ_BYTES);
    tokio::select! {
        n = read.read_buf(come) => match n? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        },
        n = write.write(going), if !going.is_empty() => match n? {
            0 => Err(ErrorKind::WriteZero.into()),
            n => {
                frames.gone(n);
                Ok(())
            }
        },
    }
}

/// Asks one node after the other until the shard is live at one.
async fn find(nodes: Vec<String>, shard: Shard, shards: u16) -> Line {
    loop {
        for node in &nodes {
            if let Ok(Ok(Some(line))) = tokio::time::timeout(WELCOME_MAX, greet(node, shard, shards)).await {
                return line;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn greet(node: &str, shard: Shard, shards: u16) -> io::Result<Option<Line>> {
    let mut stream = TcpStream::connect(node).await?;
    stream.set_nodelay(true)?;
    let mut hello = Vec::new();
    wire::put(&Hello { version: VERSION, shards, shard, from: None }, &mut hello);
    stream.write_all(&hello).await?;
    let length = stream.read_u32_le().await?;
    if length as usize > FRAME_BYTES_MAX {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut frame = length.to_le_bytes().to_vec();
    frame.resize(4 + length as usize, 0);
    stream.read_exact(&mut frame[4..]).await?;
    let Some((Welcome::Here { .. }, _)) = wire::take(&frame)? else { return Ok(None) };
    let (read, write) = stream.into_split();
    Ok(Some(Line { read, write, frames: Frames::default() }))
}
