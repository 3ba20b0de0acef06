//! Running the group: who has the baton, what a stop means, and how the model and the real threads are kept together.

pub mod deliver;
pub mod event;
pub mod exec;
pub mod fit;
pub mod futexes;
pub mod jump;
pub mod lane;
pub mod launch;
mod names;
pub mod pace;
pub mod patch;
pub mod place;
pub mod schedule;
pub mod written;

pub use names::Names;
