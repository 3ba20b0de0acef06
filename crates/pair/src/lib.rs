//! The pair protocol: two lives, one history.
//!
//! A primary runs a replica and streams its log; a backup executes the same log. The [`Register`] at an arbiter decides who owns the
//! history; everything else is decided by the pure [`Engine`] of each side: it maps an [`Event`] to [`Action`]s and knows no thread, socket,
//! clock or disk, so the driver and the simulator run the same one.

pub mod arbiter;
pub mod driver;
mod engine;
mod life;
mod message;
mod meta;
mod point;
mod register;
pub mod status;
mod wire;
pub mod witness;

pub use engine::{
    Action, Config, ConnId, Engine, Event, Found, GoLive, Halt, Micros, Mode, Mutant, Start, Status, Ticket, Why,
};
pub use life::Life;
pub use message::{
    Ack, Bye, Handover, Heartbeat, Hello, Message, MessageError, Nonce, PACKET_BYTES_MAX, PROTOCOL_VERSION, Packet,
    Refusal, Report, STATE_BYTES_MAX, STATE_CHUNK_BYTES_MAX, StateChunk, Welcome,
};
pub use meta::{Commit, META_BYTES_MAX, Meta};
pub use point::{POINTS_MAX, Point, Points};
pub use register::{ADDRESS_BYTES_MAX, Expect, Put, REGISTER_BYTES_MAX, Register, Seat};
