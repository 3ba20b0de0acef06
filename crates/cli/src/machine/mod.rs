//! `gapless machine`: a whole computer.

mod debug;
pub mod image;
mod run;

pub use debug::debug;
pub use run::{console, disk, memory, net, of_pair, options, resume, run};
