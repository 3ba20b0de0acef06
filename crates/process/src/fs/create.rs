//! Making, linking, renaming and removing names.

use super::host;
use super::inode::{Body, Child, Dir, Inode, InodeId, Kind, Node};
use super::path::{EXEC, Found, Last, NAME_MAX, READ, WRITE, may, parent, resolve};
use crate::kernel::{Ctx, Fail, Kernel, ObjectId, Pid, fail};
use crate::object::Object;

/// Most names of one file (as ext4 has it).
const LINKS_MAX: u32 = 65_000;

/// May the process make or remove names in this directory? Only directories of the model can change.
fn may_change(k: &Kernel, pid: Pid, dir: InodeId) -> Result<(), Fail> {
    match &k.fs.inode(dir).node {
        Node::Directory(_) => {}
        Node::Proc(_) => return fail(libc::ENOENT),
        Node::Volatile(..) => return fail(libc::EPERM),
        _ => return fail(libc::ENOTDIR),
    }
    may(k, pid, dir, WRITE | EXEC)
}

/// A name is about to be made: nothing may stand there, and the directory must still exist.
fn may_create(k: &Kernel, pid: Pid, at: &Found) -> Result<(), Fail> {
    if at.inode.is_some() || !at.is_named() {
        return fail(libc::EEXIST);
    }
    if at.name.len() > NAME_MAX {
        return fail(libc::ENAMETOOLONG);
    }
    if k.fs.inode(at.parent).nlink == 0 {
        return fail(libc::ENOENT);
    }
    may_change(k, pid, at.parent)
}

/// A name is about to be removed: write permission, and in a sticky directory ownership.
fn may_delete(k: &Kernel, pid: Pid, dir: InodeId, id: InodeId) -> Result<(), Fail> {
    may_change(k, pid, dir)?;
    let user = k.process(pid).creds.uid[3];
    let above = k.fs.inode(dir);
    let sticky = above.mode & libc::S_ISVTX != 0;
    if sticky && user != 0 && user != k.fs.inode(id).uid && user != above.uid {
        return fail(libc::EPERM);
    }
    Ok(())
}

/// The directory's names have changed.
fn touch_dir(k: &mut Kernel, dir: InodeId) {
    let now = k.fs_time();
    let inode = k.fs.inode_mut(dir);
    (inode.modified, inode.changed, inode.owned) = (now, now, true);
}

/// An inode made by the calling process, without a name. `mode` is used as it is.
pub fn new_inode(k: &mut Kernel, pid: Pid, dir: InodeId, node: Node, mode: u32) -> InodeId {
    let now = k.fs_time();
    let creds = &k.process(pid).creds;
    let (uid, mut gid) = (creds.uid[3], creds.gid[3]);
    let above = k.fs.inode(dir);
    let (dev, mut mode) = (above.dev, mode);
    let is_dir = matches!(node, Node::Directory(_));
    if above.mode & libc::S_ISGID != 0 {
        gid = above.gid;
        if is_dir {
            mode |= libc::S_ISGID;
        }
    }
    let id = InodeId(k.fresh_id());
    let inode = Inode {
        node,
        mode: mode & 0o7777,
        uid,
        gid,
        nlink: 0,
        dev,
        accessed: now,
        modified: now,
        changed: now,
        born: now,
        owned: true,
        place: None,
    };
    k.fs.inodes.insert(id, inode);
    id
}

fn enter(k: &mut Kernel, dir: InodeId, name: &[u8], id: InodeId) {
    k.fs.dir_mut(dir).put(name, Child::Present(id));
    k.fs.inode_mut(id).place = Some((dir, name.to_vec()));
    touch_dir(k, dir);
}

/// Makes a file, directory, link, FIFO, socket name or device. `mode` is cut by the umask, except for symbolic links.
pub fn make_node(k: &mut Kernel, cx: &mut Ctx<'_, '_>, at: &Found, node: Node, mode: u32) -> Result<InodeId, Fail> {
    let is_dir = matches!(node, Node::Directory(_));
    if at.inode.is_none() && at.slash && !is_dir {
        return fail(libc::ENOENT);
    }
    may_create(k, cx.pid, at)?;
    let mode = if matches!(node, Node::Symlink(_)) { mode } else { mode & !k.process(cx.pid).umask };
    let id = new_inode(k, cx.pid, at.parent, node, mode);
    k.fs.inode_mut(id).nlink = if is_dir { 2 } else { 1 };
    enter(k, at.parent, &at.name, id);
    if is_dir {
        k.fs.inode_mut(at.parent).nlink += 1;
    }
    Ok(id)
}

/// An empty regular file of the program's own.
pub fn make_file(k: &mut Kernel, cx: &mut Ctx<'_, '_>, at: &Found, mode: u32) -> Result<InodeId, Fail> {
    may_create(k, cx.pid, at)?;
    let number = k.fs.store.create()?;
    make_node(k, cx, at, Node::Regular(Body::Private { number, size: 0 }), mode)
}

/// A new empty directory.
pub fn make_dir(k: &mut Kernel, cx: &mut Ctx<'_, '_>, at: &Found, mode: u32) -> Result<InodeId, Fail> {
    make_node(k, cx, at, Node::Directory(Dir::new(None)), mode & 0o1777)
}

/// fs.protected_hardlinks: other people's files can be linked only by those who can read and write them, and no set-id programs at all.
fn may_link(k: &Kernel, pid: Pid, id: InodeId) -> Result<(), Fail> {
    let inode = k.fs.inode(id);
    let user = k.process(pid).creds.uid[3];
    if user == 0 || user == inode.uid {
        return Ok(());
    }
    let set_group = libc::S_ISGID | libc::S_IXGRP;
    let set_id = inode.mode & libc::S_ISUID != 0 || inode.mode & set_group == set_group;
    let plain = inode.kind() == Kind::Regular && !set_id;
    if plain && may(k, pid, id, READ | WRITE).is_ok() { Ok(()) } else { fail(libc::EPERM) }
}

/// One more name for an inode (link(2)).
pub fn link_inode(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: InodeId, at: &Found) -> Result<(), Fail> {
    if at.inode.is_some() || !at.is_named() {
        return fail(libc::EEXIST);
    }
    if at.slash {
        return fail(libc::ENOENT);
    }
    may_link(k, cx.pid, id)?;
    may_create(k, cx.pid, at)?;
    let inode = k.fs.inode(id);
    match inode.node {
        Node::Directory(_) => return fail(libc::EPERM),
        Node::Proc(_) | Node::Volatile(..) | Node::Snapshot { .. } => return fail(libc::EXDEV),
        _ => {}
    }
    if inode.nlink == 0 && !k.fs.linkable.contains(&id) {
        return fail(libc::ENOENT);
    }
    if inode.nlink >= LINKS_MAX {
        return fail(libc::EMLINK);
    }
    let now = k.fs_time();
    let inode = k.fs.inode_mut(id);
    inode.nlink += 1;
    inode.changed = now;
    k.fs.linkable.remove(&id);
    enter(k, at.parent, &at.name, id);
    Ok(())
}

/// Has the directory no names but `.` and `..`?
fn is_empty(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dir: InodeId) -> Result<bool, Fail> {
    match k.fs.inode(dir).dir() {
        None => return Ok(false),
        Some(d) if !d.is_empty() => return Ok(false),
        Some(d) if d.is_open() => {}
        Some(_) => return Ok(true),
    }
    host::list(k, cx, dir)?;
    Ok(k.fs.dir(dir).is_empty())
}

/// Takes a name away from what it stands for.
fn detach(k: &mut Kernel, dir: InodeId, name: &[u8], id: InodeId) {
    k.fs.dir_mut(dir).put(name, Child::Absent);
    touch_dir(k, dir);
    let now = k.fs_time();
    let inode = k.fs.inode_mut(id);
    inode.changed = now;
    if inode.is_dir() {
        inode.nlink = 0;
        k.fs.inode_mut(dir).nlink -= 1;
    } else {
        inode.nlink = inode.nlink.saturating_sub(1);
    }
}

/// unlink(2), or rmdir(2) if `dir`.
pub fn remove(k: &mut Kernel, cx: &mut Ctx<'_, '_>, at: &Found, dir: bool) -> Result<(), Fail> {
    match (at.name.as_slice(), dir) {
        (b".", true) => return fail(libc::EINVAL),
        (b"..", true) => return fail(libc::ENOTEMPTY),
        (b"/", true) => return fail(libc::EBUSY),
        (b"." | b".." | b"/", false) => return fail(libc::EISDIR),
        _ => {}
    }
    let Some(id) = at.inode else { return fail(libc::ENOENT) };
    let is_dir = k.fs.inode(id).is_dir();
    if at.slash && !dir {
        return fail(if is_dir { libc::EISDIR } else { libc::ENOTDIR });
    }
    may_delete(k, cx.pid, at.parent, id)?;
    match (dir, is_dir) {
        (true, false) => return fail(libc::ENOTDIR),
        (false, true) => return fail(libc::EISDIR),
        _ => {}
    }
    if k.fs.is_fixed(id) {
        return fail(libc::EBUSY);
    }
    if is_dir && !is_empty(k, cx, id)? {
        return fail(libc::ENOTEMPTY);
    }
    detach(k, at.parent, &at.name, id);
    reap(k, id)
}

/// Forgets an inode that has neither a name nor anybody who holds it.
pub fn reap(k: &mut Kernel, id: InodeId) -> Result<(), Fail> {
    let Some(inode) = k.fs.inodes.get(&id) else { return Ok(()) };
    if inode.nlink > 0
        || k.files.values().any(|f| f.refs > 0 && f.object == Object::Inode(id))
        || (inode.is_dir() && k.processes.values().any(|p| p.cwd == id))
        || matches!(inode.node, Node::Proc(_) | Node::Volatile(..))
    {
        return Ok(());
    }
    // Names that were removed from a removed directory keep no reference to it.
    let inode = k.fs.inodes.remove(&id).expect("just seen");
    k.fs.linkable.remove(&id);
    k.fs.seals.remove(&id);
    k.fs.capable.remove(&id);
    k.fs.mapped.remove(&id);
    k.fs.twins.retain(|_, twin| *twin != id);
    if let Node::Regular(Body::Private { number, .. }) = inode.node {
        k.fs.store.remove(number)?;
    }
    Ok(())
}

/// Is `above` the directory `below` or one that contains it?
fn contains(k: &Kernel, above: InodeId, below: InodeId) -> bool {
    let mut at = below;
    loop {
        if at == above {
            return true;
        }
        let next = parent(k, at);
        if next == at || at == super::ROOT {
            return false;
        }
        at = next;
    }
}

/// renameat2(2).
pub fn rename_at(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    from: (i32, &[u8]),
    to: (i32, &[u8]),
    flags: u32,
) -> Result<(), Fail> {
    let (keep, swap) = (flags & libc::RENAME_NOREPLACE != 0, flags & libc::RENAME_EXCHANGE != 0);
    if flags & !(libc::RENAME_NOREPLACE | libc::RENAME_EXCHANGE) != 0 || (keep && swap) {
        return fail(libc::EINVAL);
    }
    let from = resolve(k, cx, from.0, from.1, Last::Entry)?;
    let to = resolve(k, cx, to.0, to.1, Last::Entry)?;
    rename(k, cx, &from, &to, keep, swap)
}

fn rename(k: &mut Kernel, cx: &mut Ctx<'_, '_>, from: &Found, to: &Found, keep: bool, swap: bool) -> Result<(), Fail> {
    if !from.is_named() {
        return fail(libc::EBUSY);
    }
    if !to.is_named() {
        return fail(if keep { libc::EEXIST } else { libc::EBUSY });
    }
    let Some(id) = from.inode else { return fail(libc::ENOENT) };
    let is_dir = k.fs.inode(id).is_dir();
    match to.inode {
        Some(_) if keep => return fail(libc::EEXIST),
        None if swap => return fail(libc::ENOENT),
        _ => {}
    }
    if (from.slash || (to.slash && !swap)) && !is_dir {
        return fail(libc::ENOTDIR);
    }
    if swap && to.slash && to.inode.is_some_and(|t| !k.fs.inode(t).is_dir()) {
        return fail(libc::ENOTDIR);
    }
    if is_dir && contains(k, id, to.parent) {
        return fail(libc::EINVAL);
    }
    if let Some(target) = to.inode
        && k.fs.inode(target).is_dir()
        && contains(k, target, from.parent)
    {
        return fail(if swap { libc::EINVAL } else { libc::ENOTEMPTY });
    }
    if to.inode == Some(id) {
        return Ok(());
    }
    may_delete(k, cx.pid, from.parent, id)?;
    match to.inode {
        None => may_create(k, cx.pid, to)?,
        Some(target) => {
            may_delete(k, cx.pid, to.parent, target)?;
            let target_dir = k.fs.inode(target).is_dir();
            if !swap && is_dir != target_dir {
                return fail(if is_dir { libc::ENOTDIR } else { libc::EISDIR });
            }
            if k.fs.is_fixed(target) {
                return fail(libc::EBUSY);
            }
            if swap && target_dir && from.parent != to.parent {
                may(k, cx.pid, target, WRITE)?;
            }
        }
    }
    if k.fs.is_fixed(id) {
        return fail(libc::EBUSY);
    }
    // `..` of a directory that moves changes.
    if is_dir && from.parent != to.parent {
        may(k, cx.pid, id, WRITE)?;
    }
    if let Some(target) = to.inode
        && !swap
        && is_dir
        && !is_empty(k, cx, target)?
    {
        return fail(libc::ENOTEMPTY);
    }
    if let (true, Some(target)) = (swap, to.inode) {
        exchange(k, from, id, to, target);
        return Ok(());
    }
    if let Some(target) = to.inode {
        detach(k, to.parent, &to.name, target);
    }
    k.fs.dir_mut(from.parent).put(&from.name, Child::Absent);
    touch_dir(k, from.parent);
    enter(k, to.parent, &to.name, id);
    if is_dir && from.parent != to.parent {
        k.fs.inode_mut(from.parent).nlink -= 1;
        k.fs.inode_mut(to.parent).nlink += 1;
    }
    let now = k.fs_time();
    let inode = k.fs.inode_mut(id);
    (inode.changed, inode.owned) = (now, true);
    to.inode.map_or(Ok(()), |target| reap(k, target))
}

fn exchange(k: &mut Kernel, from: &Found, id: InodeId, to: &Found, target: InodeId) {
    enter(k, from.parent, &from.name, target);
    enter(k, to.parent, &to.name, id);
    let (a, b) = (k.fs.inode(id).is_dir(), k.fs.inode(target).is_dir());
    if a != b && from.parent != to.parent {
        let (loses, gains) = if a { (from.parent, to.parent) } else { (to.parent, from.parent) };
        k.fs.inode_mut(loses).nlink -= 1;
        k.fs.inode_mut(gains).nlink += 1;
    }
    let now = k.fs_time();
    for id in [id, target] {
        let inode = k.fs.inode_mut(id);
        (inode.changed, inode.owned) = (now, true);
    }
}

/// bind(2) of a Unix socket to a path: makes its name. EADDRINUSE if there is something.
pub fn bind_socket_name(k: &mut Kernel, cx: &mut Ctx<'_, '_>, path: &[u8], socket: ObjectId) -> Result<InodeId, Fail> {
    let at = resolve(k, cx, libc::AT_FDCWD, path, Last::Entry)?;
    if at.inode.is_some() {
        return fail(libc::EADDRINUSE);
    }
    make_node(k, cx, &at, Node::Socket(Some(socket)), 0o777)
}

/// connect(2) to a path: the socket of this group bound there. ECONNREFUSED if it is somebody else's, or no socket.
pub fn lookup_socket(k: &mut Kernel, cx: &mut Ctx<'_, '_>, path: &[u8]) -> Result<ObjectId, Fail> {
    let id = resolve(k, cx, libc::AT_FDCWD, path, Last::Follow)?.existing(k)?;
    may(k, cx.pid, id, WRITE)?;
    match k.fs.inode(id).node {
        Node::Socket(Some(socket)) => Ok(socket),
        _ => fail(libc::ECONNREFUSED),
    }
}

/// A bound socket is closed: its name stays, connecting is refused.
pub fn unbind_socket(k: &mut Kernel, inode: InodeId) {
    if let Some(Node::Socket(socket)) = k.fs.inodes.get_mut(&inode).map(|i| &mut i.node) {
        *socket = None;
    }
}

/// What mknod(2) can make. Devices are for those who may use them: EPERM.
pub fn node_for_mknod(mode: u32) -> Result<Kind, Fail> {
    match mode & libc::S_IFMT {
        0 | libc::S_IFREG => Ok(Kind::Regular),
        libc::S_IFIFO => Ok(Kind::Fifo),
        libc::S_IFSOCK => Ok(Kind::Socket),
        libc::S_IFDIR => fail(libc::EPERM),
        libc::S_IFCHR | libc::S_IFBLK => fail(libc::EPERM),
        _ => fail(libc::EINVAL),
    }
}
