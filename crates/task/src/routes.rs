//! Where shards may be: a list of addresses that is the same everywhere, and hints from whoever is asked.

use crate::id::Shard;
use crate::shard::Place;
use crate::wire::{self, Hello, Until, VERSION, Welcome};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Between two rounds of asking everybody.
pub const PAUSE: Duration = Duration::from_millis(20);
const CONNECT_MAX: Duration = Duration::from_millis(500);
const WELCOME_MAX: Duration = Duration::from_secs(2);

/// What asking one address came to.
#[derive(Debug)]
pub enum Asked {
    /// It is live there: the connection, and how many shards the service has.
    Here(TcpStream, u16),
    /// It is not: how many shards the service has, and perhaps where.
    Elsewhere(u16, Option<String>),
}

/// Asks at one address for a shard.
pub fn ask(address: &str, shard: Shard, shards: u16, from: Option<Shard>) -> io::Result<Asked> {
    let address = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let stream = TcpStream::connect_timeout(&address, CONNECT_MAX)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WELCOME_MAX))?;
    wire::send(&Hello { version: VERSION, shards, shard, from }, &stream)?;
    match wire::receive(Until { stream: &stream, deadline: Instant::now() + WELCOME_MAX })? {
        Welcome::Here { shards } => {
            stream.set_read_timeout(None)?;
            stream.set_write_timeout(None)?;
            Ok(Asked::Here(stream, shards))
        }
        Welcome::Elsewhere { shards, hint } => Ok(Asked::Elsewhere(shards, hint)),
        Welcome::Refused(why) => Err(io::Error::new(io::ErrorKind::InvalidInput, why)),
    }
}

/// The two nodes that have a shard, of a list of nodes in which each pair stands together.
pub fn pair(nodes: &[String], shard: Shard) -> &[String] {
    let pairs = (nodes.len() / 2).max(1);
    nodes.chunks(2).nth(usize::from(shard.0) % pairs).unwrap_or_default()
}

/// One round of asking, from one shard for another.
pub(crate) fn dial(place: &Place, to: Shard) -> Option<TcpStream> {
    pair(&place.nodes, to).iter().find_map(|address| match ask(address, to, place.shards, Some(place.shard)) {
        Ok(Asked::Here(stream, _)) => Some(stream),
        _ => None,
    })
}
