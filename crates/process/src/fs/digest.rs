//! What of the file system counts in the replica's digest: everything that a later call could tell apart.

use super::inode::{Body, Child, Inode, Node};
use super::{Fs, host};
use gapless_log::{Hasher, Result};

impl Fs {
    /// Hashes attributes, names and locks, and the real bytes of every file that the program made or changed or that belongs to a state
    /// directory. Contents shipped from the host count by their hash.
    pub fn digest(&mut self, h: &mut Hasher) -> Result<()> {
        let mut files = Vec::new();
        for (id, inode) in &self.inodes {
            h.number(id.0);
            attributes(inode, h);
            match &inode.node {
                Node::Regular(body) if inode.owned => files.extend(host::name_of(body).map(|name| (name, body.size()))),
                node => contents(node, h),
            }
        }
        for (id, locks) in &self.locks {
            h.number(id.0);
            locks.digest(h);
        }
        for (id, seals) in &self.seals {
            h.number(id.0);
            h.number(u64::from(*seals));
        }
        for hash in &self.shipped {
            h.update(&hash.to_le_bytes());
        }
        for (name, size) in files {
            self.store.hash(name, size, h)?;
        }
        Ok(())
    }
}

fn attributes(inode: &Inode, h: &mut Hasher) {
    let kind = inode.kind().mode();
    for n in [kind | inode.mode, inode.uid, inode.gid, inode.nlink, u32::from(inode.owned)] {
        h.number(u64::from(n));
    }
    for t in [inode.accessed, inode.modified, inode.changed, inode.born] {
        h.number(t as u64);
    }
    if let Some((dir, name)) = &inode.place {
        h.number(dir.0);
        h.number(name.len() as u64);
        h.update(name);
    }
}

fn bytes(h: &mut Hasher, bytes: &[u8]) {
    h.number(bytes.len() as u64);
    h.update(bytes);
}

fn contents(node: &Node, h: &mut Hasher) {
    match node {
        Node::Regular(Body::Host { path, size } | Body::Large { path, size }) => {
            bytes(h, path);
            h.number(*size);
        }
        Node::Regular(Body::Content { hash, .. }) => h.update(&hash.to_le_bytes()),
        Node::Regular(Body::Private { number, size }) => {
            h.number(*number);
            h.number(*size);
        }
        Node::Directory(dir) => {
            h.number(u64::from(dir.is_open()));
            for (name, slot) in dir.slots() {
                bytes(h, name);
                h.number(slot.cookie);
                h.number(match slot.child {
                    Child::Present(id) | Child::Listed(id, _) => id.0,
                    Child::Absent => u64::MAX,
                });
            }
        }
        Node::Symlink(to) => bytes(h, to),
        Node::Fifo(id) | Node::Socket(id) => h.number(id.map_or(0, |id| id.0)),
        Node::Device(major, minor) => h.number(u64::from(*major) << 32 | u64::from(*minor)),
        Node::Proc(_) => {}
        Node::Volatile(at, _) => bytes(h, at),
        Node::Snapshot { source, bytes: held, served } => {
            h.number(source.0);
            h.number(u64::from(*served));
            bytes(h, held);
        }
    }
}
