//! /dev: the few devices that the model has. The host's device files do not exist here.

use super::create::{new_inode, reap};
use super::inode::{Child, Dir, Inode, InodeId, Node, ROOT};
use super::open::NOT_KEPT;
use super::stat::{DEV_DEV, DEV_SHM};
use crate::kernel::{Ctx, Fail, FileId, Kernel, Pid, fail};
use crate::object::pty;

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
        let directory = put(fs, &mut id, dev, name, Node::Directory(Dir::new(None)), mode, number);
        if name == "pts" {
            put(fs, &mut id, directory, "ptmx", Node::Device(5, 2), 0o666, DEV_DEV);
        }
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
    let kept = flags & !NOT_KEPT;
    match device {
        (1, _) => Ok(k.open(crate::object::Object::Inode(id), kept)),
        (5, 2) => pty::open_master(k, cx, kept),
        (5, 0) => pty::open_controlling(k, cx.pid, kept),
        (pty::MAJOR, number) => pty::open_number(k, cx.pid, number, kept, flags & libc::O_NOCTTY == 0),
        _ => fail(libc::ENXIO),
    }
}

/// The directory of slaves of pseudo terminals.
fn slaves(k: &Kernel) -> InodeId {
    let child = |dir: InodeId, name: &[u8]| match k.fs.dir(dir).get(name) {
        Some(Child::Present(id)) => id,
        _ => panic!("/dev/pts exists from the start and cannot be removed"),
    };
    child(child(ROOT, b"dev"), b"pts")
}

/// Makes /dev/pts/N, which belongs to the process that opened the master.
pub fn add_slave(k: &mut Kernel, pid: Pid, number: u32) -> InodeId {
    let dir = slaves(k);
    let id = new_inode(k, pid, dir, Node::Device(pty::MAJOR, number), 0o620);
    let name = number.to_string().into_bytes();
    let inode = k.fs.inode_mut(id);
    inode.nlink = 1;
    inode.place = Some((dir, name.clone()));
    k.fs.dir_mut(dir).put(&name, Child::Present(id));
    id
}

/// Removes /dev/pts/N.
pub fn remove_slave(k: &mut Kernel, id: InodeId, number: u32) -> Result<(), Fail> {
    let dir = slaves(k);
    let name = number.to_string().into_bytes();
    if k.fs.dir(dir).get(&name) == Some(Child::Present(id)) {
        k.fs.dir_mut(dir).put(&name, Child::Absent);
    }
    if k.fs.inodes.contains_key(&id) {
        k.fs.inode_mut(id).nlink = 0;
    }
    reap(k, id)
}
