//! `gapless machine`: a whole computer.

pub mod image;
