//! Walking paths (path_resolution(7)) and asking for permission.

use super::inode::{Child, InodeId, Kind, Node, ROOT};
use super::{host, proc};
use crate::kernel::{Credentials, Ctx, Fail, FileId, Kernel, Pid, fail};
use crate::object::Object;

/// Symbolic links followed in one walk.
const LINKS_MAX: u32 = 40;
/// Longest name.
pub const NAME_MAX: usize = 255;

/// Whether a symbolic link at the end of a path is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Last {
    /// Follow it.
    Follow,
    /// The link itself is meant, unless a slash follows it.
    NoFollow,
    /// The name itself is meant, to be made, moved or removed: even a slash does not follow a link.
    Entry,
}

/// Where a path leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The directory of the last component.
    pub parent: InodeId,
    /// The last component; `.`, `..` or `/` where the path ends so.
    pub name: Vec<u8>,
    /// What stands there, if anything.
    pub inode: Option<InodeId>,
    /// The path ended with a slash: only a directory will do.
    pub slash: bool,
    /// The path led through a link of /proc/PID/fd to this open file.
    pub file: Option<FileId>,
}

impl Found {
    /// What is there; ENOENT if nothing, ENOTDIR if a slash asked for a directory and it is none.
    pub fn existing(&self, k: &Kernel) -> Result<InodeId, Fail> {
        match self.inode {
            None => fail(libc::ENOENT),
            Some(id) if self.slash && !k.fs.inode(id).is_dir() => fail(libc::ENOTDIR),
            Some(id) => Ok(id),
        }
    }

    /// Does the path end in a name, so that the name can be made or removed?
    pub fn is_named(&self) -> bool {
        !matches!(self.name.as_slice(), b"." | b".." | b"/")
    }
}

/// Read permission.
pub const READ: u32 = 4;
/// Write permission.
pub const WRITE: u32 = 2;
/// Execute or search permission.
pub const EXEC: u32 = 1;

/// May a process with these credentials (its file-system ids) do this?
pub fn allowed(k: &Kernel, creds: &Credentials, id: InodeId, mask: u32) -> bool {
    let inode = k.fs.inode(id);
    let (mode, uid, gid) = match &inode.node {
        Node::Proc(key) => proc::access(k, *key),
        _ => (inode.mode, inode.uid, inode.gid),
    };
    let (user, group) = (creds.uid[3], creds.gid[3]);
    if user == 0 {
        return mask & EXEC == 0 || inode.is_dir() || mode & 0o111 != 0;
    }
    let bits = if uid == user {
        mode >> 6
    } else if gid == group || creds.groups.contains(&gid) {
        mode >> 3
    } else {
        mode
    };
    bits & mask == mask
}

/// EACCES unless the calling process may.
pub fn may(k: &Kernel, pid: Pid, id: InodeId, mask: u32) -> Result<(), Fail> {
    if allowed(k, &k.process(pid).creds, id, mask) { Ok(()) } else { fail(libc::EACCES) }
}

/// Where a walk starts that does not start at the root.
pub fn base(k: &Kernel, pid: Pid, dirfd: i32) -> Result<InodeId, Fail> {
    if dirfd == libc::AT_FDCWD {
        return Ok(k.process(pid).cwd);
    }
    match k.file(k.file_of(pid, dirfd)?).object {
        Object::Inode(id) if k.fs.inode(id).is_dir() => Ok(id),
        _ => fail(libc::ENOTDIR),
    }
}

/// The directory above; the root is its own.
pub fn parent(k: &Kernel, dir: InodeId) -> InodeId {
    k.fs.inode(dir).place.as_ref().map_or(ROOT, |(parent, _)| *parent)
}

/// One name in one directory.
pub fn lookup(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dir: InodeId, name: &[u8]) -> Result<Option<InodeId>, Fail> {
    let found = match &k.fs.inode(dir).node {
        Node::Directory(d) => match d.get(name) {
            Some(Child::Present(id)) => Some(id),
            Some(Child::Absent) => None,
            Some(Child::Listed(id, _)) => host::find(k, cx, dir, name, Some(id))?,
            None if d.is_open() => host::find(k, cx, dir, name, None)?,
            None => None,
        },
        Node::Proc(key) => {
            let key = *key;
            proc::lookup(k, cx, key, name)?
        }
        Node::Volatile(at, Kind::Directory) => {
            let at = host::join(at, name);
            proc::look_volatile(k, cx, &at)?
        }
        _ => return fail(libc::ENOTDIR),
    };
    // Directories know their one place; a file remembers the name by which it was reached last.
    if let Some(id) = found.filter(|&id| !is_place(k, id, dir, name)) {
        k.fs.inode_mut(id).place = Some((dir, name.to_vec()));
    }
    Ok(found)
}

/// Is this where an inode was reached last, or is it a directory, which has only one place?
fn is_place(k: &Kernel, id: InodeId, dir: InodeId, name: &[u8]) -> bool {
    let inode = k.fs.inode(id);
    matches!(inode.node, Node::Directory(_)) || inode.place.as_ref().is_some_and(|(d, n)| *d == dir && n == name)
}

/// How a walk comes to know what stands under a name and where a link leads.
trait Source {
    fn kernel(&self) -> &Kernel;
    /// The walk has come here.
    fn through(&mut self, _: InodeId) {}
    fn lookup(&mut self, dir: InodeId, name: &[u8]) -> Result<Option<InodeId>, Fail>;
    fn target(&mut self, link: InodeId) -> Result<Target, Fail>;
}

/// From the model, and from the host what the model does not know yet.
struct Asking<'a, 'b, 'c> {
    k: &'a mut Kernel,
    cx: &'a mut Ctx<'b, 'c>,
}

impl Source for Asking<'_, '_, '_> {
    fn kernel(&self) -> &Kernel {
        self.k
    }

    fn lookup(&mut self, dir: InodeId, name: &[u8]) -> Result<Option<InodeId>, Fail> {
        lookup(self.k, self.cx, dir, name)
    }

    fn target(&mut self, link: InodeId) -> Result<Target, Fail> {
        target(self.k, self.cx, link)
    }
}

/// Only from what the model knows.
struct Knowing<'a> {
    k: &'a Kernel,
    walked: Vec<InodeId>,
    /// Something was not known, or is another thing at each look, or the walk would change something: whatever it came to means nothing.
    lost: bool,
}

impl Source for Knowing<'_> {
    fn kernel(&self) -> &Kernel {
        self.k
    }

    fn through(&mut self, at: InodeId) {
        self.walked.push(at);
    }

    fn lookup(&mut self, dir: InodeId, name: &[u8]) -> Result<Option<InodeId>, Fail> {
        let child = match &self.k.fs.inode(dir).node {
            Node::Directory(d) if d.is_open() => d.get(name),
            Node::Directory(d) => d.get(name).or(Some(Child::Absent)),
            _ => None,
        };
        match child {
            Some(Child::Absent) => Ok(None),
            Some(Child::Present(id)) if is_place(self.k, id, dir, name) => Ok(Some(id)),
            _ => {
                self.lost = true;
                Ok(None)
            }
        }
    }

    fn target(&mut self, link: InodeId) -> Result<Target, Fail> {
        self.walked.push(link);
        match &self.k.fs.inode(link).node {
            Node::Symlink(to) => Ok(Target::Path(to.clone())),
            _ => {
                self.lost = true;
                fail(libc::ENOENT)
            }
        }
    }
}

/// Components still to walk, last one first.
struct Rest(Vec<Vec<u8>>);

impl Rest {
    fn push(&mut self, path: &[u8]) {
        self.0.extend(path.split(|&b| b == b'/').filter(|c| !c.is_empty()).rev().map(<[u8]>::to_vec));
    }
}

/// Walks a path; `dirfd` may be AT_FDCWD. That nothing stands under the last name is not an error here.
pub fn resolve(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dirfd: i32, path: &[u8], last: Last) -> Result<Found, Fail> {
    let pid = cx.pid;
    walk(&mut Asking { k, cx }, pid, dirfd, path, last)
}

/// A walk that asks nothing and changes nothing.
#[derive(Debug)]
pub struct Walked {
    /// What [`resolve`] would answer.
    pub found: Result<Found, Fail>,
    /// The directories and links that it went through: while they stay as they are, so does this.
    pub through: Vec<InodeId>,
}

/// What [`resolve`] would answer, if that can be told from the model alone and the walk would change nothing in it. Paths through `/proc` and `/sys`
/// are never told.
pub fn resolve_known(k: &Kernel, pid: Pid, dirfd: i32, path: &[u8], last: Last) -> Option<Walked> {
    let mut source = Knowing { k, walked: Vec::new(), lost: false };
    let found = walk(&mut source, pid, dirfd, path, last);
    let inode = found.as_ref().ok().and_then(|found| found.inode);
    let lost = source.lost || source.walked.iter().chain(&inode).any(|&id| is_fleeting(&k.fs.inode(id).node));
    (!lost).then_some(Walked { found, through: source.walked })
}

/// Does a walk in `dir` lead to what is known to stand under this name there, and end, as [`resolve_known`] would tell? At a link it does not end.
pub fn leads_to(k: &Kernel, pid: Pid, dir: InodeId, name: &[u8], id: InodeId) -> bool {
    let node = &k.fs.inode(id).node;
    !matches!(node, Node::Symlink(_))
        && !is_fleeting(node)
        && is_place(k, id, dir, name)
        && allowed(k, &k.process(pid).creds, dir, EXEC)
}

/// May it be another thing, or have other attributes, at each look?
fn is_fleeting(node: &Node) -> bool {
    matches!(node, Node::Proc(_) | Node::Volatile(..) | Node::Snapshot { .. })
}

fn walk(source: &mut impl Source, pid: Pid, dirfd: i32, path: &[u8], last: Last) -> Result<Found, Fail> {
    let Some(first) = path.first() else { return fail(libc::ENOENT) };
    let mut at = if *first == b'/' { ROOT } else { base(source.kernel(), pid, dirfd)? };
    let mut rest = Rest(Vec::new());
    rest.push(path);
    let mut slash = path.ends_with(b"/");
    let mut name: Vec<u8> = b"/".to_vec();
    let mut links = 0;
    while let Some(component) = rest.0.pop() {
        source.through(at);
        let k = source.kernel();
        if !k.fs.inode(at).is_dir() {
            return fail(libc::ENOTDIR);
        }
        may(k, pid, at, EXEC)?;
        if component == b"." || component == b".." {
            if component == b".." {
                at = parent(k, at);
            }
            name = component;
            continue;
        }
        let is_last = rest.0.is_empty();
        if component.len() > NAME_MAX {
            return fail(libc::ENAMETOOLONG);
        }
        let Some(id) = source.lookup(at, &component)? else {
            return if is_last {
                Ok(Found { parent: at, name: component, inode: None, slash, file: None })
            } else {
                fail(libc::ENOENT)
            };
        };
        let is_link = source.kernel().fs.inode(id).kind() == Kind::Symlink;
        let follow = !is_last || last == Last::Follow || (slash && last == Last::NoFollow);
        if is_link && follow {
            links += 1;
            if links > LINKS_MAX {
                return fail(libc::ELOOP);
            }
            match source.target(id)? {
                Target::Path(to) => {
                    let Some(first) = to.first() else { return fail(libc::ENOENT) };
                    if *first == b'/' {
                        at = ROOT;
                        name = b"/".to_vec();
                    }
                    slash |= is_last && to.ends_with(b"/");
                    rest.push(&to);
                }
                Target::File(file) if is_last => {
                    let inode = inode_of(source.kernel(), file);
                    return Ok(Found { parent: at, name: component, inode, slash, file: Some(file) });
                }
                Target::File(file) => match inode_of(source.kernel(), file) {
                    Some(inode) => {
                        at = inode;
                        name = component;
                    }
                    None => return fail(libc::ENOTDIR),
                },
            }
            continue;
        }
        if is_last {
            return Ok(Found { parent: at, name: component, inode: Some(id), slash, file: None });
        }
        at = id;
        name = component;
    }
    let k = source.kernel();
    if slash && !k.fs.inode(at).is_dir() {
        return fail(libc::ENOTDIR);
    }
    Ok(Found { parent: parent(k, at), name, inode: Some(at), slash, file: None })
}

fn inode_of(k: &Kernel, file: FileId) -> Option<InodeId> {
    match k.file(file).object {
        Object::Inode(id) => Some(id),
        _ => None,
    }
}

/// Where a symbolic link leads.
enum Target {
    Path(Vec<u8>),
    /// An open file, whatever its name is now.
    File(FileId),
}

fn target(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: InodeId) -> Result<Target, Fail> {
    if let Node::Proc(key) = k.fs.inode(id).node
        && let Some(file) = proc::open_file(k, key)
    {
        return Ok(Target::File(file));
    }
    link_text(k, cx, id).map(Target::Path)
}

/// What readlink answers.
pub fn link_text(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: InodeId) -> Result<Vec<u8>, Fail> {
    match &k.fs.inode(id).node {
        Node::Symlink(to) => Ok(to.clone()),
        Node::Proc(key) if key.kind() == Kind::Symlink => {
            let key = *key;
            proc::link_text(k, cx, key)
        }
        Node::Volatile(at, Kind::Symlink) => {
            let at = at.clone();
            match host::look(k, cx, &at)? {
                host::Look::Found(seen) if seen.kind == Kind::Symlink => Ok(seen.target),
                _ => fail(libc::ENOENT),
            }
        }
        _ => fail(libc::EINVAL),
    }
}

/// Absolute path of an inode as the program would name it, " (deleted)" appended if it has no name any more.
pub fn path_of(k: &Kernel, id: InodeId) -> Vec<u8> {
    let mut names = Vec::new();
    let mut at = id;
    let mut deleted = false;
    while at != ROOT {
        let Some((dir, name)) = k.fs.inodes.get(&at).and_then(|i| i.place.as_ref()) else {
            deleted = true;
            break;
        };
        if let Some(Node::Directory(d)) = k.fs.inodes.get(dir).map(|i| &i.node) {
            deleted |= d.get(name) != Some(Child::Present(at));
        }
        names.push(name.as_slice());
        at = *dir;
    }
    let mut out = Vec::new();
    for name in names.iter().rev() {
        out.push(b'/');
        out.extend_from_slice(name);
    }
    if out.is_empty() {
        out.push(b'/');
    }
    if deleted && id != ROOT {
        out.extend_from_slice(b" (deleted)");
    }
    out
}
