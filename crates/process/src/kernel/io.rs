//! Where an event's inputs come from: the world (and then into the log), or the log.
//!
//! This is the one place where primary and backup differ while an event is carried out.

use crate::world::World;
use gapless_log::{Channel, Error, Kind, Outbox, Player, Position, Recorder, Result};
use serde::{Serialize, de::DeserializeOwned};

/// The source of inputs and the sink of outputs of the step in hand.
pub enum Io<'a, 'b> {
    /// Live: ask the world, log the answer.
    Live {
        /// Takes inputs and outputs.
        log: &'a mut Recorder<'b>,
        /// The real one.
        world: &'a mut World,
    },
    /// Backup: the log answers.
    Replay {
        /// Gives inputs, takes outputs.
        log: &'a mut Player<'b>,
    },
}

impl Io<'_, '_> {
    /// Is the world real?
    pub fn is_live(&self) -> bool {
        matches!(self, Io::Live { .. })
    }

    /// Asks for raw bytes.
    pub fn bytes(&mut self, at: Position, kind: Kind, live: impl FnOnce(&mut World) -> Vec<u8>) -> Result<Vec<u8>> {
        match self {
            Io::Live { log, world } => {
                let body = live(world);
                log.input(at, kind, body.clone());
                Ok(body)
            }
            Io::Replay { log } => log.input(at, kind),
        }
    }

    /// Logs raw bytes that the live side has asked for already.
    ///
    /// # Panics
    /// On a backup.
    pub fn told(&mut self, at: Position, kind: Kind, bytes: Vec<u8>) {
        match self {
            Io::Live { log, .. } => log.input(at, kind, bytes),
            Io::Replay { .. } => panic!("a backup asks nobody"),
        };
    }

    /// Asks for a value.
    pub fn value<T: Serialize + DeserializeOwned>(
        &mut self,
        at: Position,
        kind: Kind,
        live: impl FnOnce(&mut World) -> T,
    ) -> Result<T> {
        match self {
            Io::Live { log, world } => {
                let value = live(world);
                log.input(at, kind, encode(&value));
                Ok(value)
            }
            Io::Replay { log } => decode(at, kind, &log.input(at, kind)?),
        }
    }

    /// Says something to the world; it leaves when its mark is committed.
    pub fn say(&mut self, channel: Channel, output: &crate::world::Output) -> u64 {
        self.outbox().say(channel, encode(output))
    }

    /// Says bytes of a stream.
    pub fn say_bytes(&mut self, channel: Channel, bytes: &[u8]) -> u64 {
        self.outbox().say(channel, crate::world::Output::encode_bytes(bytes))
    }

    /// The real world, if this is the live side: for what needs no answer.
    pub fn world(&mut self) -> Option<&mut World> {
        match self {
            Io::Live { world, .. } => Some(world),
            Io::Replay { .. } => None,
        }
    }

    /// The outbox of this step.
    pub fn outbox(&mut self) -> &mut Outbox {
        match self {
            Io::Live { log, .. } => log.out(),
            Io::Replay { log } => log.out(),
        }
    }
}

/// Encodes an input or output.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain data always encodes")
}

/// Decodes an input.
pub fn decode<T: DeserializeOwned>(at: Position, kind: Kind, body: &[u8]) -> Result<T> {
    postcard::from_bytes(body).map_err(|e| {
        Error::Refused(format!("input '{}' at position {at} does not decode: {e}", super::input::name(kind)))
    })
}
