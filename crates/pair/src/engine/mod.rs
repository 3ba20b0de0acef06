//! The engine: (state, event, now) -> actions. No thread, socket, clock, disk or random number.

mod action;
mod config;
mod event;

pub use action::{Action, GoLive, Halt, Mode, Status, Why};
pub use config::{Config, Micros, Mutant, Start};
pub use event::{ConnId, Event, Ticket};
