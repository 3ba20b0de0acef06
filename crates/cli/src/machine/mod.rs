//! `gapless machine`: a whole computer.

pub mod image;
mod run;

pub use run::{console, disk, memory, net, of_pair, options, resume, run};
