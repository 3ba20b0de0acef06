//! Sockets.

/// All sockets of the group.
#[derive(Debug, Default)]
pub struct Net {}
