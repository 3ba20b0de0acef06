//! /proc.
use super::Kind;
/// Names something of /proc.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Key {
    /// /proc itself.
    Root,
}
impl Key {
    /// File type.
    pub fn kind(self) -> Kind {
        Kind::Directory
    }
}
