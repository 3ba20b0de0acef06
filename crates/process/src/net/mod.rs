//! Sockets: internet and Unix, streams and datagrams.
//!
//! What stays inside the group (socketpair, Unix sockets, loopback to its own listeners) is two queues in the model. What goes outside is
//! one: bytes that arrive are inputs put into the receive queue between two events, bytes sent wait in the outbox. So every
//! read, poll and accept is a function of the model, and the log holds each byte once.

mod addr;
mod connect;
mod end;
mod name;
mod option;
mod outside;
mod queue;
mod ready;
mod recv;
mod send;
#[cfg(test)]
mod tests;

pub use addr::{Addr, canonical, reaches, unspecified};
pub use connect::{accept, connect, disconnect, named};
pub use end::{close, shutdown};
pub use name::{bind, connect_pair, listen, local_addr, peer_addr, socket};
pub use option::{get_option, set_option};
pub use outside::{Accepted, Connected, Datagram, accepted, arrived, closed, connected, datagram, drained};
pub use queue::{Message, Queue};
pub use ready::{certain, poll, skip};
pub use recv::{put_back, recv};
pub use send::send;

use crate::kernel::{ObjectId, Pid};
use std::collections::{BTreeMap, VecDeque};

/// Bytes that a receive queue holds before its sender waits.
pub const RECEIVE_BYTES_MAX: usize = 256 << 10;
/// Bytes sent outside that may wait for commit and for the network before a writer blocks.
pub const SEND_BYTES_MAX: u64 = 1 << 20;
/// Connections that may wait to be accepted, as net.core.somaxconn.
pub const BACKLOG_MAX: usize = 4096;

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// Another socket of the group.
    Inside(ObjectId),
    /// The world.
    Outside,
    /// Nobody any more.
    Gone,
}

/// What a socket is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// Made, perhaps bound.
    Idle,
    /// Accepts connections; these wait.
    Listening {
        /// At most this many may wait.
        backlog: usize,
        /// Sockets of connections that wait to be accepted.
        pending: VecDeque<ObjectId>,
    },
    /// A connect to the outside is under way.
    Connecting,
    /// Connected (a datagram socket: to a fixed peer).
    Connected(Peer),
}

/// Who connected, for SO_PEERCRED.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PeerCred {
    /// Process.
    pub pid: Pid,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
}

impl PeerCred {
    /// struct ucred.
    pub fn bytes(self) -> [u8; 12] {
        let mut raw = [0; 12];
        raw[..4].copy_from_slice(&self.pid.0.to_le_bytes());
        raw[4..8].copy_from_slice(&self.uid.to_le_bytes());
        raw[8..].copy_from_slice(&self.gid.to_le_bytes());
        raw
    }
}

/// A socket.
#[derive(Debug)]
pub struct Socket {
    /// AF_INET, AF_INET6 or AF_UNIX.
    pub domain: i32,
    /// SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET.
    pub kind: i32,
    /// Protocol given to socket(2).
    pub protocol: i32,
    /// Own name.
    pub local: Option<Addr>,
    /// The other end's name.
    pub peer: Option<Addr>,
    /// The inode of a Unix socket's path.
    pub inode: Option<crate::fs::InodeId>,
    /// What it does.
    pub state: State,
    /// What has arrived.
    pub queue: Queue,
    /// The other side has said that no more will come.
    pub ended: bool,
    /// The connection is broken, in both directions.
    pub reset: bool,
    /// shutdown(SHUT_RD).
    pub shut_read: bool,
    /// shutdown(SHUT_WR).
    pub shut_write: bool,
    /// SO_ERROR.
    pub error: i32,
    /// A connect has succeeded and no connect call has answered so yet.
    pub unannounced: bool,
    /// Bytes sent outside and not yet reported as taken.
    pub queued: u64,
    /// Who the other end is.
    pub peer_cred: PeerCred,
    /// Options set by the program, by level and name.
    pub options: BTreeMap<(i32, i32), Vec<u8>>,
}

impl Socket {
    /// A fresh one.
    pub fn new(domain: i32, kind: i32, protocol: i32) -> Self {
        Self {
            domain,
            kind,
            protocol,
            local: None,
            peer: None,
            inode: None,
            state: State::Idle,
            queue: Queue::default(),
            ended: false,
            reset: false,
            shut_read: false,
            shut_write: false,
            error: 0,
            unannounced: false,
            queued: 0,
            peer_cred: PeerCred::default(),
            options: BTreeMap::new(),
        }
    }

    /// Reading finds the end once the queue is empty.
    pub fn receives_no_more(&self) -> bool {
        self.ended || self.shut_read || self.reset
    }

    /// Sending fails.
    pub fn sends_no_more(&self) -> bool {
        self.shut_write || self.reset
    }

    /// Its address is its own, and not that of the listener which it came from.
    pub fn owns_address(&self) -> bool {
        self.local.is_some() && (!self.is_connection() || matches!(self.state, State::Idle | State::Listening { .. }))
    }

    /// A stream or a sequence of packets with a connection.
    pub fn is_connection(&self) -> bool {
        self.kind != libc::SOCK_DGRAM
    }

    /// Talks, or may talk, to the world.
    pub fn is_inet(&self) -> bool {
        self.domain != libc::AF_UNIX
    }

    /// More bytes from the world are welcome.
    pub fn has_room(&self) -> bool {
        self.queue.bytes() < RECEIVE_BYTES_MAX
    }
}

/// All sockets of the group.
#[derive(Debug, Default)]
pub struct Net {
    /// By object.
    pub sockets: BTreeMap<ObjectId, Socket>,
    /// Names in the abstract namespace.
    pub abstract_names: BTreeMap<Vec<u8>, ObjectId>,
    /// Next port given to a connection inside the group.
    pub next_port: u16,
}

impl Net {
    /// The socket, which exists while it is referenced.
    pub fn get(&self, id: ObjectId) -> &Socket {
        &self.sockets[&id]
    }

    /// The socket, to change it.
    pub fn get_mut(&mut self, id: ObjectId) -> &mut Socket {
        self.sockets.get_mut(&id).expect("a referenced socket exists")
    }

    /// A port for the near end of a connection inside the group.
    pub fn ephemeral(&mut self) -> u16 {
        self.next_port = if (32768..60999).contains(&self.next_port) { self.next_port + 1 } else { 32768 };
        self.next_port
    }

    /// Everything that shapes the future.
    pub fn digest(&self, h: &mut gapless_log::Hasher) {
        h.number(u64::from(self.next_port));
        for (name, id) in &self.abstract_names {
            h.update(name);
            h.number(id.0);
        }
        for (id, s) in &self.sockets {
            h.number(id.0);
            h.number((s.domain as u64) << 32 | s.kind as u64);
            h.update(format!("{:?}{:?}{:?}{:?}", s.local, s.peer, s.inode, s.state).as_bytes());
            let bits = [s.ended, s.reset, s.shut_read, s.shut_write, s.unannounced];
            h.number(bits.iter().fold(0, |n, &bit| n << 1 | u64::from(bit)));
            h.number(s.error as u64);
            h.number(s.queued);
            h.number(s.peer_cred.pid.0 as u64);
            for (&(level, name), value) in &s.options {
                h.number((level as u64) << 32 | name as u64);
                h.update(value);
            }
            s.queue.digest(h);
        }
    }
}
