//! Where a replica's frames meet a real network. Knows frames, not levels and not logs.
//!
//! A frame is an Ethernet frame behind the 12-byte `virtio_net_hdr_v1` that a virtio-net device speaks. [`Port`] takes such frames one by one and
//! gives them back one by one, over
//!
//! - a [`Tap`]: a device of this host, a port of its bridge. Fast (frames of up to 64 KiB, checksums left to whoever is last), needs an administrator;
//! - [`Passt`]: a child process that turns frames into ordinary sockets. Needs no privilege; its connections end with it;
//! - a [`Loop`]: two ends in memory, for tests;
//! - nothing.
//!
//! The rules it keeps: a call never blocks and never allocates, so that one thread may move bursts (receive until `None`, send until
//! [`Sent::Full`]); every method takes `&self`, so that one thread may receive while another sends; bytes that came from a guest or from a network
//! are never a reason to panic. It does not hold frames back: what is sent here must be committed already.
//!
//! After a takeover the survivor sends [`announce`], so that bridges look for the guest's address behind its port. A port opened at that moment
//! would lose it: a bridge forwards only a millisecond or two after a device was opened. Open it before, and throw away what it received until then.
//!
//! [`lab`] builds small networks of namespaces for tests and demonstrations.

mod cable;
mod error;
mod frame;
pub mod lab;
mod passt;
mod port;
mod stream;
mod tap;

pub use cable::Loop;
pub use error::{Error, Result};
pub use frame::{ETHERNET_BYTES, FRAME_BYTES_MAX, HEADER_BYTES, announce};
pub use passt::{Guest, Passt};
pub use port::{Port, Sent};
pub use tap::Tap;
