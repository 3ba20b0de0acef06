//! struct stat, statx and statfs. Device numbers are the model's own. A file of the host keeps the inode number that it had there when it was first seen,
//! so that programs that remember numbers (git's index, backups) know it again; it is an input like all that the host says, so equal on both sides.

use super::inode::{Inode, InodeId, Node, Time};
use super::proc;
use crate::kernel::{FileId, Kernel};
use crate::object::{Object, pty};

/// Device number of the tree below `/`.
pub const DEV_ROOT: u64 = 0x801;
/// ... of /proc.
pub const DEV_PROC: u64 = 0x16;
/// ... of /sys.
pub const DEV_SYS: u64 = 0x17;
/// ... of /dev.
pub const DEV_DEV: u64 = 0x6;
/// ... of /dev/shm and memfds.
pub const DEV_SHM: u64 = 0x1a;
/// ... of pipes, sockets and other things without names.
const DEV_ANONYMOUS: u64 = 0xe;

/// Everything that stat and statx tell.
#[derive(Clone, Copy, Debug, Default)]
struct Attributes {
    dev: u64,
    ino: u64,
    nlink: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    rdev: u64,
    size: u64,
    blksize: u64,
    times: [Time; 4],
}

/// makedev(3) for small numbers.
pub fn makedev(major: u32, minor: u32) -> u64 {
    libc::makedev(major, minor)
}

fn attributes(k: &Kernel, id: InodeId) -> Attributes {
    let Some(inode) = k.fs.inodes.get(&id) else { return Attributes::default() };
    let (source, inode) = match &inode.node {
        Node::Snapshot { source, .. } => (*source, k.fs.inodes.get(source).unwrap_or(inode)),
        _ => (id, inode),
    };
    let mut out = Attributes {
        dev: inode.dev,
        ino: source.ino(),
        nlink: u64::from(inode.nlink),
        mode: inode.kind().mode() | inode.mode,
        uid: inode.uid,
        gid: inode.gid,
        rdev: 0,
        size: size(inode),
        blksize: 4096,
        times: [inode.accessed, inode.modified, inode.changed, inode.born],
    };
    match &inode.node {
        Node::Device(major, minor) => out.rdev = makedev(*major, *minor),
        Node::Proc(key) => {
            let (mode, uid, gid) = proc::access(k, *key);
            (out.mode, out.uid, out.gid) = (inode.kind().mode() | mode, uid, gid);
            out.times = [k.fs_time(); 4];
        }
        _ => {}
    }
    out
}

/// st_size.
fn size(inode: &Inode) -> u64 {
    match &inode.node {
        Node::Regular(body) => body.size(),
        Node::Symlink(to) => to.len() as u64,
        Node::Directory(_) => 4096,
        _ => 0,
    }
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

fn put_time(out: &mut [u8], at: usize, t: Time) {
    put(out, at, &t.div_euclid(1_000_000_000).to_le_bytes());
    put(out, at + 8, &t.rem_euclid(1_000_000_000).to_le_bytes());
}

/// Blocks of 512 bytes, in whole blocks of the file system, for things with contents.
fn blocks(a: &Attributes) -> u64 {
    if a.mode & libc::S_IFMT == libc::S_IFLNK { 0 } else { a.size.div_ceil(4096) * 8 }
}

fn encode(a: &Attributes) -> [u8; 144] {
    let mut out = [0; 144];
    put(&mut out, 0, &a.dev.to_le_bytes());
    put(&mut out, 8, &a.ino.to_le_bytes());
    put(&mut out, 16, &a.nlink.to_le_bytes());
    put(&mut out, 24, &a.mode.to_le_bytes());
    put(&mut out, 28, &a.uid.to_le_bytes());
    put(&mut out, 32, &a.gid.to_le_bytes());
    put(&mut out, 40, &a.rdev.to_le_bytes());
    put(&mut out, 48, &a.size.to_le_bytes());
    put(&mut out, 56, &a.blksize.to_le_bytes());
    put(&mut out, 64, &blocks(a).to_le_bytes());
    put_time(&mut out, 72, a.times[0]);
    put_time(&mut out, 88, a.times[1]);
    put_time(&mut out, 104, a.times[2]);
    out
}

fn encode_x(a: &Attributes) -> [u8; 256] {
    const STATX_ALL: u32 = 0xfff;
    let mut out = [0; 256];
    put(&mut out, 0, &STATX_ALL.to_le_bytes());
    put(&mut out, 4, &(a.blksize as u32).to_le_bytes());
    put(&mut out, 16, &(a.nlink as u32).to_le_bytes());
    put(&mut out, 20, &a.uid.to_le_bytes());
    put(&mut out, 24, &a.gid.to_le_bytes());
    put(&mut out, 28, &(a.mode as u16).to_le_bytes());
    put(&mut out, 32, &a.ino.to_le_bytes());
    put(&mut out, 40, &a.size.to_le_bytes());
    put(&mut out, 48, &blocks(a).to_le_bytes());
    for (at, time) in [(64, a.times[0]), (80, a.times[3]), (96, a.times[2]), (112, a.times[1])] {
        put(&mut out, at, &time.div_euclid(1_000_000_000).to_le_bytes());
        put(&mut out, at + 8, &(time.rem_euclid(1_000_000_000) as u32).to_le_bytes());
    }
    put(&mut out, 128, &libc::major(a.rdev).to_le_bytes());
    put(&mut out, 132, &libc::minor(a.rdev).to_le_bytes());
    put(&mut out, 136, &libc::major(a.dev).to_le_bytes());
    put(&mut out, 140, &libc::minor(a.dev).to_le_bytes());
    out
}

/// struct stat of an inode.
pub fn stat(k: &Kernel, inode: InodeId) -> [u8; 144] {
    encode(&attributes(k, inode))
}

/// struct statx of an inode.
pub fn statx(k: &Kernel, inode: InodeId) -> [u8; 256] {
    encode_x(&attributes(k, inode))
}

fn file_attributes(k: &Kernel, file: FileId) -> Attributes {
    let mut rdev = 0;
    let mode = match k.file(file).object {
        Object::Inode(id) => return attributes(k, id),
        Object::Pipe(..) => libc::S_IFIFO | 0o600,
        Object::Socket(_) => libc::S_IFSOCK | 0o777,
        Object::Stdio(id) => {
            let seen = &k.objects.stdio[&id].description;
            rdev = seen.rdev;
            seen.mode
        }
        Object::Pty(id, pty::Side::Slave) => {
            let terminal = &k.objects.ptys[&id];
            if !terminal.hung_up() {
                return attributes(k, terminal.inode);
            }
            rdev = makedev(pty::MAJOR, terminal.number);
            libc::S_IFCHR | 0o620
        }
        Object::Pty(..) => {
            rdev = makedev(5, 2);
            libc::S_IFCHR | 0o666
        }
        // The "anonymous inode" has no type.
        Object::Event(_) | Object::Timer(_) | Object::Signals(_) | Object::Epoll(_) => 0o600,
    };
    let user = k.processes.values().next().map(|p| (p.creds.uid[0], p.creds.gid[0])).unwrap_or_default();
    let ino = crate::object::id(k, file).map_or(file.0, |id| id.0) + 2;
    Attributes {
        dev: DEV_ANONYMOUS,
        ino,
        rdev,
        nlink: 1,
        mode,
        uid: user.0,
        gid: user.1,
        blksize: 4096,
        ..Default::default()
    }
}

/// struct stat of an open file of any kind.
pub fn stat_file(k: &Kernel, file: FileId) -> [u8; 144] {
    encode(&file_attributes(k, file))
}

/// struct statx of an open file of any kind.
pub fn statx_file(k: &Kernel, file: FileId) -> [u8; 256] {
    encode_x(&file_attributes(k, file))
}

/// struct statfs: fixed numbers, so that a full disk of one side is not seen by the program.
pub fn statfs(k: &Kernel, dev: u64) -> [u8; 120] {
    let _ = k;
    let (kind, blocks): (u64, u64) = match dev {
        DEV_PROC => (0x9fa0, 0),
        DEV_SYS => (0x6265_6572, 0),
        DEV_SHM | DEV_DEV => (0x0102_1994, 1 << 20),
        DEV_ANONYMOUS => (0x5049_5045, 0),
        _ => (0xef53, 64 << 20),
    };
    let words = [kind, 4096, blocks, blocks / 2, blocks / 2, blocks / 4, blocks / 8, dev, 255, 4096, 0x20];
    let mut out = [0; 120];
    for (i, word) in words.iter().enumerate() {
        put(&mut out, i * 8, &word.to_le_bytes());
    }
    out
}

/// The device number on which an open file lies.
pub fn dev_of(k: &Kernel, file: FileId) -> u64 {
    file_attributes(k, file).dev
}
