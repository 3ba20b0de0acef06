//! The file system of the replica.

/// Names an inode of the model.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct InodeId(pub u64);

/// Inodes, names, and the overlay over the host.
#[derive(Debug, Default)]
pub struct Fs {}
