//! gapless as a library: task services.
//!
//! The command line, `gapless`, protects programs and computers as they are; a program that is written for it uses [`task`].

pub mod task;
