//! /dev: the few devices that the model has. The host's device files do not exist here.

use super::inode::{Child, Dir, Inode, InodeId, Node, ROOT};
use super::stat::{DEV_DEV, DEV_SHM};
use crate::kernel::{Ctx, Fail, FileId, Kernel, fail};

/// Minor of /dev/zero; the major of all memory devices is 1.
pub const ZERO: u32 = 5;
const NULL: u32 = 3;
const FULL: u32 = 7;
const RANDOM: u32 = 8;
const URANDOM: u32 = 9;

/// Devices by name, with numbers and permission.
const DEVICES: &[(&str, u32, u32, u32)] = &[
    ("null", 1, NULL, 0o666),
    ("zero", 1, ZERO, 0o666),
    ("full", 1, FULL, 0o666),
    ("random", 1, RANDOM, 0o666),
    ("urandom", 1, URANDOM, 0o666),
    ("tty", 5, 0, 0o666),
    ("ptmx", 5, 2, 0o666),
];

/// Links by name.
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Directories by name, with permission.
const DIRECTORIES: &[(&str, u32, u64)] = &[("shm", 0o1777, DEV_SHM), ("pts", 0o755, DEV_DEV)];

fn put(fs: &mut super::Fs, id: &mut u64, dir: InodeId, name: &str, node: Node, mode: u32, dev: u64) -> InodeId {
    *id += 1;
    let inode = InodeId(*id);
    let nlink = if matches!(node, Node::Directory(_)) { 2 } else { 1 };
    fs.inodes
        .insert(inode, Inode { nlink, dev, place: Some((dir, name.as_bytes().to_vec())), ..Inode::new(node, mode) });
    fs.dir_mut(dir).put(name.as_bytes(), Child::Present(inode));
    if nlink == 2 {
        fs.inode_mut(dir).nlink += 1;
        fs.fixed.insert(inode);
    }
    inode
}

/// Makes /dev. Its inodes have numbers above 2^40, which the kernel's counter does not reach.
pub fn populate(fs: &mut super::Fs) {
    let mut id = super::FIXED_IDS;
    let dev = put(fs, &mut id, ROOT, "dev", Node::Directory(Dir::new(None)), 0o755, DEV_DEV);
    for &(name, major, minor, mode) in DEVICES {
        put(fs, &mut id, dev, name, Node::Device(major, minor), mode, DEV_DEV);
    }
    for &(name, to) in LINKS {
        put(fs, &mut id, dev, name, Node::Symlink(to.into()), 0o777, DEV_DEV);
    }
    for &(name, mode, number) in DIRECTORIES {
        put(fs, &mut id, dev, name, Node::Directory(Dir::new(None)), mode, number);
    }
}

/// Reads a memory device.
pub fn read(k: &mut Kernel, device: (u32, u32), max: usize) -> Result<Vec<u8>, Fail> {
    match device {
        (1, NULL) => Ok(Vec::new()),
        (1, ZERO | FULL) => Ok(vec![0; max]),
        (1, RANDOM | URANDOM) => Ok(k.random.bytes(max)),
        _ => fail(libc::EIO),
    }
}

/// Writes to a memory device.
pub fn write(device: (u32, u32), bytes: &[u8]) -> Result<usize, Fail> {
    match device {
        (1, FULL) => fail(libc::ENOSPC),
        (1, _) => Ok(bytes.len()),
        _ => fail(libc::EIO),
    }
}

/// Opens a device: memory devices are their inode; terminals belong to `object`.
pub fn open(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: InodeId, device: (u32, u32), flags: i32) -> Result<FileId, Fail> {
    let _ = &cx;
    match device {
        (1, _) => Ok(k.open(crate::object::Object::Inode(id), flags)),
        // Without a controlling terminal.
        _ => fail(libc::ENXIO),
    }
}
