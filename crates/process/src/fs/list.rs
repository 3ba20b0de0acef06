//! Reading directories. A place in a directory is a cookie that stays valid while names come and go.

use super::inode::{Child, InodeId, Kind, Node};
use super::path::parent;
use super::{host, proc};
use crate::kernel::{Ctx, Fail, Kernel, fail};

/// One name with its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The place after it (d_off).
    pub next: u64,
    /// d_ino.
    pub ino: u64,
    /// d_type.
    pub d_type: u8,
    /// d_name.
    pub name: Vec<u8>,
}

/// Most names given at once; the caller asks again.
const NAMES_MAX: usize = 4096;

/// Names of a directory from a place on, `.` and `..` first.
pub fn entries(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dir: InodeId, from: u64) -> Result<Vec<Entry>, Fail> {
    let inode = k.fs.inode(dir);
    if !inode.is_dir() {
        return fail(libc::ENOTDIR);
    }
    if inode.nlink == 0 && inode.dir().is_some() {
        return fail(libc::ENOENT);
    }
    if inode.dir().is_some_and(super::Dir::is_open) {
        host::list(k, cx, dir)?;
    }
    let mut out = Vec::new();
    let directory = Kind::Directory.d_type();
    if from == 0 {
        out.push(Entry { next: 1, ino: dir.ino(), d_type: directory, name: b".".to_vec() });
    }
    if from <= 1 {
        out.push(Entry { next: 2, ino: parent(k, dir).ino(), d_type: directory, name: b"..".to_vec() });
    }
    match &k.fs.inode(dir).node {
        Node::Directory(d) => {
            for (cookie, name, child) in d.from_cookie(from).take(NAMES_MAX) {
                let (id, d_type) = match child {
                    Child::Present(id) => (id, k.fs.inode(id).kind().d_type()),
                    Child::Listed(id, d_type) => (id, d_type),
                    Child::Absent => continue,
                };
                out.push(Entry { next: cookie + 1, ino: id.ino(), d_type, name: name.to_vec() });
            }
        }
        Node::Proc(key) => {
            let key = *key;
            out.extend(proc::list(k, cx, key, from)?);
        }
        Node::Volatile(at, _) => {
            let at = at.clone();
            for (i, host::Named { name, d_type, .. }) in
                host::names(k, cx, &at)?.into_iter().enumerate().skip(from.saturating_sub(2) as usize)
            {
                out.push(Entry {
                    next: i as u64 + 3,
                    ino: gapless_log::hash(&host::join(&at, &name)) as u64 | 1,
                    d_type,
                    name,
                });
            }
        }
        _ => return fail(libc::ENOTDIR),
    }
    Ok(out)
}
