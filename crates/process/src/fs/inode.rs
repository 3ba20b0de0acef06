//! Inodes and directories as the program sees them.

use super::ahead::Progress;
use super::proc::Key;
use crate::kernel::ObjectId;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Names an inode of the model.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct InodeId(pub u64);

/// The host's inodes have numbers from here on, above all others: that of the host, and this.
const HOST_IDS: u64 = 1 << 41;
/// Numbers of the host that are too large are not kept.
const HOST_INOS_MAX: u64 = 1 << 40;

impl InodeId {
    /// The number that a host's inode of this number (its st_ino) has, if nothing else has it.
    pub fn of_host(ino: u64) -> Option<Self> {
        (ino < HOST_INOS_MAX).then(|| Self(HOST_IDS + ino))
    }

    /// st_ino of an inode: the host's is what it is there; all others are above those.
    pub fn ino(self) -> u64 {
        self.0.checked_sub(HOST_IDS).unwrap_or(HOST_INOS_MAX + self.0)
    }
}

/// The directory `/`.
pub const ROOT: InodeId = InodeId(0);

/// Wall-clock nanoseconds since 1970.
pub type Time = i64;

/// Where the bytes of a regular file are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// In a file of the host that nobody has opened yet.
    Host {
        /// Its path there.
        path: Vec<u8>,
        /// Its size when it was first seen.
        size: u64,
    },
    /// Shipped: in the content directory under this hash.
    Content {
        /// xxh3-128 of all bytes.
        hash: u128,
        /// Their number.
        size: u64,
    },
    /// In a file of the host too large to be shipped; every read is an input.
    Large {
        /// Its path there.
        path: Vec<u8>,
        /// Its size when it was first opened.
        size: u64,
    },
    /// In a file of this replica's own.
    Private {
        /// Its name in the store.
        number: u64,
        /// Its size.
        size: u64,
    },
}

impl Body {
    /// Size in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Body::Host { size, .. }
            | Body::Content { size, .. }
            | Body::Large { size, .. }
            | Body::Private { size, .. } => *size,
        }
    }
}

/// What stands under a name of a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Child {
    /// An inode of the model.
    Present(InodeId),
    /// The host's listing has this name, with this d_type; the number is reserved for its inode.
    Listed(InodeId, u8),
    /// Known not to exist: deleted here, or absent on the host.
    Absent,
}

/// A name in a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    /// What it stands for.
    pub child: Child,
    /// Its place in the order of reading; never used again. 0 for absent names.
    pub cookie: u64,
}

/// The first cookie that a name can have; 1 and 2 are `.` and `..`.
const FIRST_COOKIE: u64 = 3;

/// A directory. Invariant: `cookies` holds exactly the names of `slots` that are not absent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dir {
    /// The host's directory under it.
    pub host: Option<Vec<u8>>,
    /// How far the program has come in asking for its names.
    pub looked: Progress,
    /// How far it has come in opening its files.
    pub opened: Progress,
    /// All names of the host's directory are here; no other will come from there.
    listed: bool,
    slots: BTreeMap<Vec<u8>, Slot>,
    cookies: BTreeMap<u64, Vec<u8>>,
    next_cookie: u64,
}

impl Dir {
    /// Without names, over this directory of the host.
    pub fn new(host: Option<Vec<u8>>) -> Self {
        let (looked, opened, slots, cookies) = Default::default();
        Self { host, looked, opened, listed: false, slots, cookies, next_cookie: FIRST_COOKIE }
    }

    /// What is known of a name.
    pub fn get(&self, name: &[u8]) -> Option<Child> {
        self.slots.get(name).map(|s| s.child)
    }

    /// Puts a name, which keeps its place in the order if it had one.
    pub fn put(&mut self, name: &[u8], child: Child) {
        let old = self.slots.get(name).map_or(0, |s| s.cookie);
        let mut cookie = old;
        if child == Child::Absent {
            self.cookies.remove(&old);
            cookie = 0;
            if !self.is_open() {
                self.slots.remove(name);
                return;
            }
        } else if old == 0 {
            cookie = self.next_cookie;
            self.next_cookie += 1;
            self.cookies.insert(cookie, name.to_vec());
        }
        self.slots.insert(name.to_vec(), Slot { child, cookie });
    }

    /// Names that are not here may still exist on the host.
    pub fn is_open(&self) -> bool {
        self.host.is_some() && !self.listed
    }

    /// The host has been listed: every name is known, and nothing more comes from there.
    pub fn complete(&mut self) {
        self.listed = true;
        self.slots.retain(|_, s| s.child != Child::Absent);
    }

    /// Existing names from `cookie` on, in their order, with what they stand for.
    pub fn from_cookie(&self, cookie: u64) -> impl Iterator<Item = (u64, &[u8], Child)> + '_ {
        self.cookies.range(cookie..).map(|(&c, name)| (c, name.as_slice(), self.slots[name].child))
    }

    /// Has no names (that are known).
    pub fn is_empty(&self) -> bool {
        self.cookies.is_empty()
    }

    /// What is known of the names after this one, in order of name.
    pub fn after(&self, name: &[u8]) -> impl Iterator<Item = (&[u8], Child)> {
        let after = (Bound::Excluded(name), Bound::Unbounded);
        self.slots.range::<[u8], _>(after).map(|(name, slot)| (name.as_slice(), slot.child))
    }

    /// Names known to exist or not, in order of name.
    pub fn slots(&self) -> impl Iterator<Item = (&[u8], Slot)> + '_ {
        self.slots.iter().map(|(n, &s)| (n.as_slice(), s))
    }
}

/// What an inode is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Node {
    /// A regular file.
    Regular(Body),
    /// A directory.
    Directory(Dir),
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// A named pipe, with the pipe while anybody has it open.
    Fifo(Option<ObjectId>),
    /// The name of a Unix socket, with the socket of this group that is bound to it.
    Socket(Option<ObjectId>),
    /// A character device: major, minor.
    Device(u32, u32),
    /// Something of /proc that the model makes up.
    Proc(Key),
    /// Something of the host's /proc or /sys, by path: every look is an input.
    Volatile(Vec<u8>, Kind),
    /// An open file of /proc or /sys.
    Snapshot {
        /// What was opened.
        source: InodeId,
        /// Its text when it was opened, or last read from the start.
        bytes: Vec<u8>,
        /// It has been read: the next reading from the start takes a new text.
        served: bool,
    },
}

/// File types, as in `st_mode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// S_IFREG.
    Regular,
    /// S_IFDIR.
    Directory,
    /// S_IFLNK.
    Symlink,
    /// S_IFIFO.
    Fifo,
    /// S_IFSOCK.
    Socket,
    /// S_IFCHR.
    Character,
    /// S_IFBLK.
    Block,
}

impl Kind {
    /// From the type bits of a mode.
    pub fn of_mode(mode: u32) -> Option<Self> {
        Some(match mode & libc::S_IFMT {
            libc::S_IFREG => Kind::Regular,
            libc::S_IFDIR => Kind::Directory,
            libc::S_IFLNK => Kind::Symlink,
            libc::S_IFIFO => Kind::Fifo,
            libc::S_IFSOCK => Kind::Socket,
            libc::S_IFCHR => Kind::Character,
            libc::S_IFBLK => Kind::Block,
            _ => return None,
        })
    }

    /// The type bits of st_mode.
    pub fn mode(self) -> u32 {
        match self {
            Kind::Regular => libc::S_IFREG,
            Kind::Directory => libc::S_IFDIR,
            Kind::Symlink => libc::S_IFLNK,
            Kind::Fifo => libc::S_IFIFO,
            Kind::Socket => libc::S_IFSOCK,
            Kind::Character => libc::S_IFCHR,
            Kind::Block => libc::S_IFBLK,
        }
    }

    /// d_type of a directory entry.
    pub fn d_type(self) -> u8 {
        (self.mode() >> 12) as u8
    }
}

/// A file, directory or other thing with attributes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inode {
    /// What it is.
    pub node: Node,
    /// Permission bits with set-id and sticky (07777).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names.
    pub nlink: u32,
    /// Device number as the program sees it.
    pub dev: u64,
    /// Last access: set only by utimes; reads do not change it (as with noatime).
    pub accessed: Time,
    /// Last change of contents.
    pub modified: Time,
    /// Last change of attributes.
    pub changed: Time,
    /// Creation, or first sight of a host file.
    pub born: Time,
    /// Made or changed by the program, or part of a state directory: contents count in the digest.
    pub owned: bool,
    /// Directory and name under which it was found or made last. For directories this is exact.
    pub place: Option<(InodeId, Vec<u8>)>,
}

impl Inode {
    /// With one name, belonging to root, at the beginning of time.
    pub fn new(node: Node, mode: u32) -> Self {
        Self {
            node,
            mode,
            uid: 0,
            gid: 0,
            nlink: 1,
            dev: super::stat::DEV_ROOT,
            accessed: 0,
            modified: 0,
            changed: 0,
            born: 0,
            owned: false,
            place: None,
        }
    }

    /// File type.
    pub fn kind(&self) -> Kind {
        match &self.node {
            Node::Regular(_) | Node::Snapshot { .. } => Kind::Regular,
            Node::Directory(_) => Kind::Directory,
            Node::Symlink(_) => Kind::Symlink,
            Node::Fifo(_) => Kind::Fifo,
            Node::Socket(_) => Kind::Socket,
            Node::Device(..) => Kind::Character,
            Node::Proc(key) => key.kind(),
            Node::Volatile(_, kind) => *kind,
        }
    }

    /// Is it a directory (of any sort)?
    pub fn is_dir(&self) -> bool {
        self.kind() == Kind::Directory
    }

    /// The directory's names, if they are kept in the model.
    pub fn dir(&self) -> Option<&Dir> {
        match &self.node {
            Node::Directory(d) => Some(d),
            _ => None,
        }
    }
}
