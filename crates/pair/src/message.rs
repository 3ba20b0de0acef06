//! What the two sides say to each other, and its bytes.
//!
//! Every packet carries the nonce of its session; a packet of any other session is dropped. Digests need no message of their own: SYNC
//! entries travel in the log and are compared where they are executed. Bytes from outside never panic and never ask
//! for more memory than they themselves take.
//!
//! ```text
//!  0  tag u8   1  nonce u64 (little-endian, 0 before the session is open)
//!  9  HELLO:  version u16, then postcard     STREAM: one frame     others: postcard
//!     STATE:  seq u64, chain u128, position u64, offset u64, hash u128, last u8, bytes (1 to 256 Ki)
//! ```

use crate::{Commit, Life, POINTS_MAX, Point, Seat};
use gapless_log::{Digest, Frame, FrameError, HEADER_BYTES, Identity, PAYLOAD_BYTES_MAX, Position, Reader, Seq, Term};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fmt;
use std::sync::Arc;

/// Version of this protocol.
pub const PROTOCOL_VERSION: u16 = 2;
/// Longest packet: a STREAM with the longest frame. A length prefix that asks for more is refused.
pub const PACKET_BYTES_MAX: usize = HEAD_BYTES + HEADER_BYTES + PAYLOAD_BYTES_MAX;
/// Most state bytes in one STATE packet.
pub const STATE_CHUNK_BYTES_MAX: usize = 256 << 10;
/// Longest packet of any other kind.
const SMALL_BYTES_MAX: usize = 64 << 10;
const HEAD_BYTES: usize = 9;
const STATE_HEAD_BYTES: usize = 8 + 16 + 8 + 8 + 16 + 1;
/// Longest state that is sent or taken.
pub const STATE_BYTES_MAX: u64 = 16 << 30;

/// Names one session between two lives; 0 before it is open.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
pub struct Nonce(pub u64);

impl Nonce {
    /// Before a session is open.
    pub const NONE: Nonce = Nonce(0);
}

/// A message under its session.
#[derive(Clone, PartialEq, Debug)]
pub struct Packet {
    /// The session.
    pub nonce: Nonce,
    /// What is said.
    pub message: Message,
}

/// What one side says.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    /// Who I am; both sides open with it.
    Hello(Box<Hello>),
    /// The owner opens a session: continue from `common`.
    Welcome(Welcome),
    /// We cannot pair, and why.
    Refuse(Refusal),
    /// A piece of the replica's state, for a joiner that begins with it.
    State(StateChunk),
    /// The next frame of the log.
    Stream(Arc<Frame>),
    /// How much the backup holds.
    Ack(Ack),
    /// I am here, and my log ends there.
    Heartbeat(Heartbeat),
    /// The backup's replica disagrees with the log; it never goes live.
    Diverged(Report),
    /// A planned takeover.
    Handover(Handover),
    /// I close this session on purpose.
    Bye(Bye),
}

/// Who one side is and where its log stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The sender.
    pub seat: Seat,
    /// The register it follows, if it saw one, and the highest term it saw.
    pub register: Option<(u128, Term)>,
    /// True if it holds itself to be the owner.
    pub owner: bool,
    /// What both replicas must have in common.
    pub identity: Identity,
    /// At which level it commits.
    pub commit: Commit,
    /// It can take a state (STATE) instead of the log from its beginning.
    pub takes_state: bool,
    /// As a backup it executes nothing before it takes over, and wants states from time to time.
    pub warm: bool,
    /// Every entry below this was executed: what it holds below cannot be taken back.
    pub executed: Seq,
    /// A sample of its log's points, latest first.
    pub points: Vec<Point>,
}

/// Opens a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// The owner's term.
    pub term: Term,
    /// To whom.
    pub backup: Life,
    /// The last point that both logs have: drop what lies beyond.
    pub common: Point,
    /// The replica's state follows, and the log continues from there; what the joiner holds is dropped.
    pub state: bool,
}

/// Why two sides do not pair. Displays what a person should do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// Another protocol version.
    Version(u16),
    /// Different programs, builds or hardware: the reason.
    Identity(String),
    /// Different commit levels.
    Commit(Commit),
    /// The two sides follow different registers.
    Register,
    /// The receiver's term is older than the sender's, or the sender is no longer owner.
    NotOwner(Term),
    /// The owner already has a backup or is in the middle of a change. Try again later.
    Busy,
    /// This life has diverged.
    Diverged,
    /// A frame does not continue the log, or a message breaks the protocol.
    Broken(String),
    /// A state would have to be sent and cannot be.
    State(String),
    /// The owner's history is one of another level, which has this name.
    Level(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Version(n) => {
                write!(f, "protocol version is {PROTOCOL_VERSION} here and {n} there; install the same release on both")
            }
            Refusal::Identity(why) => f.write_str(why),
            Refusal::Commit(theirs) => {
                write!(f, "commit level differs (theirs is {theirs:?}); start both sides with the same level")
            }
            Refusal::Register => f.write_str("the two sides follow different registers; give both the same --arbiter"),
            Refusal::NotOwner(term) => write!(f, "not the owner any more (term {term}); read the register again"),
            Refusal::Busy => f.write_str("the owner has a backup or is changing; trying again"),
            Refusal::Diverged => f.write_str("this replica has diverged; start a fresh backup"),
            Refusal::Broken(why) => write!(f, "protocol broken: {why}"),
            Refusal::Level(theirs) => write!(f, "the owner runs a {theirs}; start a backup for one"),
            Refusal::State(why) => write!(f, "no state can be sent: {why}; install the same release on both"),
        }
    }
}

/// A piece of a saved replica.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateChunk {
    /// The log point that the state stands at.
    pub at: Point,
    /// Where the saved replica stands.
    pub position: Position,
    /// Where these bytes belong.
    pub offset: u64,
    /// Hash of all bytes of the state up to the end of these.
    pub hash: Digest,
    /// No more follow.
    pub last: bool,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// How much of the log the backup holds; every number is the first entry *not* covered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Ack {
    /// Held in memory.
    pub received: Seq,
    /// On its disk.
    pub durable: Seq,
    /// Executed.
    pub executed: Seq,
}

/// Sent by both sides when nothing else was for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Heartbeat {
    /// End of the sender's log.
    pub end: Seq,
    /// How many entries the backup is behind in executing, as far as the sender knows.
    pub lag: u64,
}

/// Where and how a replica differed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Where the replica stood.
    pub position: Position,
    /// The entry that was next.
    pub seq: Seq,
    /// What the log says.
    pub expected: String,
    /// What the replica did.
    pub found: String,
}

/// The steps of a planned takeover.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Handover {
    /// Primary: I will put you as owner of `term`; the log ends at `end`.
    Offer {
        /// The term after the put.
        term: Term,
        /// Nothing is logged beyond.
        end: Seq,
    },
    /// Backup: everything is executed and the intent is stored.
    Ready,
    /// Primary: the put has won; read the register.
    Done,
}

/// Why a session ends on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Bye {
    /// The replica ended with this status and everything it said has left.
    Ended(i32),
    /// This side stops.
    Stopping,
    /// The joiner has executed beyond the common point and comes back as a new life.
    Reset,
}

/// Why bytes are not a packet.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MessageError {
    /// Shorter than its own fields or longer than its kind allows.
    #[error("packet of {0} bytes has the wrong length for its kind")]
    Length(usize),
    /// No such kind.
    #[error("unknown message kind {0}")]
    Kind(u8),
    /// The other side speaks another version.
    #[error("protocol version {0} is not {PROTOCOL_VERSION}; install the same release on both sides")]
    Version(u16),
    /// The fields do not decode, or exceed a limit.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// The frame in a STREAM is not one.
    #[error("bad frame: {0}")]
    Frame(#[from] FrameError),
}

/// Tags on the wire; never renumbered.
mod tag {
    pub const HELLO: u8 = 1;
    pub const WELCOME: u8 = 2;
    pub const REFUSE: u8 = 3;
    pub const STATE: u8 = 4;
    pub const STREAM: u8 = 5;
    pub const ACK: u8 = 6;
    pub const HEARTBEAT: u8 = 7;
    pub const DIVERGED: u8 = 8;
    pub const HANDOVER: u8 = 9;
    pub const BYE: u8 = 10;
}

impl Packet {
    /// A message under a session.
    pub fn new(nonce: Nonce, message: Message) -> Self {
        Self { nonce, message }
    }

    /// The bytes before a frame in a STREAM packet, for senders that write the frame itself without copying it.
    pub fn stream_head(nonce: Nonce) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[0] = tag::STREAM;
        head[1..].copy_from_slice(&nonce.0.to_le_bytes());
        head
    }

    /// The packet's bytes, without a length prefix.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.message.tag()];
        out.extend_from_slice(&self.nonce.0.to_le_bytes());
        match &self.message {
            Message::Hello(hello) => {
                out.extend_from_slice(&PROTOCOL_VERSION.to_le_bytes());
                put(&mut out, hello);
            }
            Message::Welcome(m) => put(&mut out, m),
            Message::Refuse(m) => put(&mut out, m),
            Message::State(chunk) => chunk.encode(&mut out),
            Message::Stream(frame) => out.extend_from_slice(frame.bytes()),
            Message::Ack(m) => put(&mut out, m),
            Message::Heartbeat(m) => put(&mut out, m),
            Message::Diverged(m) => put(&mut out, m),
            Message::Handover(m) => put(&mut out, m),
            Message::Bye(m) => put(&mut out, m),
        }
        out
    }

    /// Reads exactly one packet.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut r = Reader::new(bytes);
        let (Some([tag]), Some(nonce)) = (r.array::<1>(), r.array()) else {
            return Err(MessageError::Length(bytes.len()));
        };
        let limit = match tag {
            tag::STREAM => PACKET_BYTES_MAX,
            tag::STATE => HEAD_BYTES + STATE_HEAD_BYTES + STATE_CHUNK_BYTES_MAX,
            _ => SMALL_BYTES_MAX,
        };
        if bytes.len() > limit {
            return Err(MessageError::Length(bytes.len()));
        }
        let body = &bytes[HEAD_BYTES..];
        let message = match tag {
            tag::HELLO => Message::Hello(Box::new(decode_hello(body)?)),
            tag::WELCOME => Message::Welcome(take(body, "WELCOME")?),
            tag::REFUSE => Message::Refuse(take(body, "REFUSE")?),
            tag::STATE => Message::State(StateChunk::decode(body)?),
            tag::STREAM => Message::Stream(Arc::new(decode_frame(body)?)),
            tag::ACK => Message::Ack(take(body, "ACK")?),
            tag::HEARTBEAT => Message::Heartbeat(take(body, "HEARTBEAT")?),
            tag::DIVERGED => Message::Diverged(take(body, "DIVERGED")?),
            tag::HANDOVER => Message::Handover(take(body, "HANDOVER")?),
            tag::BYE => Message::Bye(take(body, "BYE")?),
            other => return Err(MessageError::Kind(other)),
        };
        Ok(Self { nonce: Nonce(u64::from_le_bytes(nonce)), message })
    }
}

impl Message {
    fn tag(&self) -> u8 {
        match self {
            Message::Hello(_) => tag::HELLO,
            Message::Welcome(_) => tag::WELCOME,
            Message::Refuse(_) => tag::REFUSE,
            Message::State(_) => tag::STATE,
            Message::Stream(_) => tag::STREAM,
            Message::Ack(_) => tag::ACK,
            Message::Heartbeat(_) => tag::HEARTBEAT,
            Message::Diverged(_) => tag::DIVERGED,
            Message::Handover(_) => tag::HANDOVER,
            Message::Bye(_) => tag::BYE,
        }
    }
}

impl StateChunk {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.at.seq.0.to_le_bytes());
        out.extend_from_slice(&self.at.chain.to_le_bytes());
        out.extend_from_slice(&self.position.0.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.hash.to_le_bytes());
        out.push(u8::from(self.last));
        out.extend_from_slice(&self.bytes);
    }

    fn decode(body: &[u8]) -> Result<Self, MessageError> {
        let mut r = Reader::new(body);
        let mut fields = || Some((r.array()?, r.array()?, r.array()?, r.array()?, r.array()?, r.array::<1>()?));
        let (seq, chain, position, offset, hash, [last]) = fields().ok_or(MessageError::Length(body.len()))?;
        if last > 1 {
            return Err(MessageError::Malformed("STATE"));
        }
        let at = Point { seq: Seq(u64::from_le_bytes(seq)), chain: u128::from_le_bytes(chain) };
        let bytes = body[STATE_HEAD_BYTES..].to_vec();
        let position = Position(u64::from_le_bytes(position));
        let (offset, hash) = (u64::from_le_bytes(offset), Digest::from_le_bytes(hash));
        Ok(Self { at, position, offset, hash, last: last == 1, bytes })
    }
}

fn decode_hello(body: &[u8]) -> Result<Hello, MessageError> {
    let version: [u8; 2] = Reader::new(body).array().ok_or(MessageError::Length(body.len()))?;
    let version = u16::from_le_bytes(version);
    if version != PROTOCOL_VERSION {
        return Err(MessageError::Version(version));
    }
    let hello: Hello = take(&body[2..], "HELLO")?;
    if hello.points.len() > POINTS_MAX || hello.seat.address.len() > crate::ADDRESS_BYTES_MAX {
        return Err(MessageError::Malformed("HELLO"));
    }
    Ok(hello)
}

fn decode_frame(body: &[u8]) -> Result<Frame, MessageError> {
    let frame = Frame::decode(body)?;
    if frame.len() != body.len() {
        return Err(MessageError::Length(body.len()));
    }
    Ok(frame)
}

fn put<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    let bytes = postcard::to_stdvec(value).expect("protocol messages always encode");
    out.extend_from_slice(&bytes);
}

fn take<T: DeserializeOwned>(body: &[u8], name: &'static str) -> Result<T, MessageError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(MessageError::Malformed(name)),
    }
}
