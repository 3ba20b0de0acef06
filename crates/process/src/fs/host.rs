//! The host's files as inputs: what is under a name, which names a directory has, what a file contains.
//!
//! Live, each question is asked once and its answer logged; on the backup the log answers. The host is never written.

use super::ahead;
use super::inode::{Body, Child, Dir, Inode, InodeId, Kind, Node, Time};
use super::store::{Fetched, Name, SMALL_BYTES_MAX, Store};
use crate::kernel::{Ctx, Fail, Kernel, fail, input};
use gapless_log::Error;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Bytes of contents in one entry.
pub const CHUNK_BYTES: usize = 512 << 10;
const _: () = assert!(SMALL_BYTES_MAX as usize <= CHUNK_BYTES, "what is kept in memory is one entry");
/// Larger files are not shipped when they are opened for reading; their reads are inputs.
pub const SHIP_BYTES_MAX: u64 = 256 << 20;
/// A file of /proc or /sys is cut here.
const VOLATILE_BYTES_MAX: usize = 4 << 20;

/// What the host's file system says about a name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Look {
    /// Nothing there.
    Missing,
    /// It cannot be told: this errno.
    Failed(i32),
    /// This is there.
    Found(Seen),
}

/// In [`Seen::mode`], above the permission bits: the file has capabilities (`security.capability`), which exec would grant.
pub const CAPABLE: u32 = 1 << 16;

/// Attributes of a host file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// Type.
    pub kind: Kind,
    /// Permission bits, and [`CAPABLE`].
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names.
    pub nlink: u32,
    /// Bytes.
    pub size: u64,
    /// Last change of contents.
    pub modified: Time,
    /// Last change of attributes.
    pub changed: Time,
    /// The host's device and inode numbers.
    pub identity: (u64, u64),
    /// Target of a symbolic link.
    pub target: Vec<u8>,
}

/// A name in a host directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Named {
    /// d_name.
    pub name: Vec<u8>,
    /// d_type.
    pub d_type: u8,
    /// d_ino.
    pub ino: u64,
}

/// Those of a directory, in order of name.
type Names = Vec<Named>;

/// First entry of a shipped content.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Head {
    /// The host does not let it be read.
    Failed(i32),
    /// Too large to be shipped: its size.
    Large(u64),
    /// Hash and size. The bytes follow unless this log has shipped them before.
    Whole(u128, u64),
}

/// What was found at a path of the host, for a person.
pub fn look_in_words(look: &Look) -> String {
    match look {
        Look::Missing => "nothing there".to_owned(),
        Look::Failed(e) => std::io::Error::from_raw_os_error(*e).to_string(),
        Look::Found(Seen { kind, mode, uid, gid, size, target, .. }) => {
            let what = match kind {
                Kind::Regular => format!("file of {size} bytes"),
                Kind::Directory => "directory".to_owned(),
                Kind::Symlink => return format!("link to \"{}\"", target.escape_ascii()),
                Kind::Fifo => "FIFO".to_owned(),
                Kind::Socket => "socket".to_owned(),
                Kind::Character | Kind::Block => "device".to_owned(),
            };
            format!("{what}, mode {mode:04o}, owner {uid}:{gid}", mode = mode & 0o7777)
        }
    }
}

/// An entry of a shipped content, for a person: its head if the bytes are exactly one (few contents look like that), else a piece of it.
pub fn content_in_words(body: &[u8]) -> String {
    match postcard::take_from_bytes(body) {
        Ok((Head::Failed(e), [])) => format!("cannot be read: {}", std::io::Error::from_raw_os_error(e)),
        Ok((Head::Large(size), [])) => format!("too large to be shipped: {size} bytes"),
        Ok((Head::Whole(hash, size), [])) => format!("hash {hash:032x}, {size} bytes"),
        _ => format!("{} bytes of it", body.len()),
    }
}

/// A host path as the standard library takes it.
pub fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// A name below a directory.
pub fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut out = dir.to_vec();
    if out.last() != Some(&b'/') {
        out.push(b'/');
    }
    out.extend_from_slice(name);
    out
}

fn errno(e: &std::io::Error) -> i32 {
    e.raw_os_error().unwrap_or(libc::EIO)
}

/// Would exec of this file give capabilities?
fn is_capable(at: &[u8], mode: u32) -> bool {
    let Ok(name) = std::ffi::CString::new(at) else { return false };
    // SAFETY: two NUL-terminated names; with a size of 0 nothing is written.
    mode & 0o111 != 0
        && unsafe { libc::lgetxattr(name.as_ptr(), c"security.capability".as_ptr(), std::ptr::null_mut(), 0) } > 0
}

pub fn look_live(at: &[u8]) -> Look {
    let meta = match std::fs::symlink_metadata(path(at)) {
        Ok(meta) => meta,
        Err(e) if matches!(errno(&e), libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG | libc::ELOOP) => {
            return Look::Missing;
        }
        Err(e) => return Look::Failed(errno(&e)),
    };
    let Some(kind) = Kind::of_mode(meta.mode()) else { return Look::Missing };
    let target = if kind == Kind::Symlink {
        match std::fs::read_link(path(at)) {
            Ok(target) => target.as_os_str().as_bytes().to_vec(),
            Err(e) => return Look::Failed(errno(&e)),
        }
    } else {
        Vec::new()
    };
    let time = |sec: i64, nsec: i64| sec.saturating_mul(1_000_000_000).saturating_add(nsec);
    Look::Found(Seen {
        kind,
        mode: meta.mode() & 0o7777 | if kind == Kind::Regular && is_capable(at, meta.mode()) { CAPABLE } else { 0 },
        uid: meta.uid(),
        gid: meta.gid(),
        nlink: u32::try_from(meta.nlink()).unwrap_or(u32::MAX),
        size: meta.size(),
        modified: time(meta.mtime(), meta.mtime_nsec()),
        changed: time(meta.ctime(), meta.ctime_nsec()),
        identity: (meta.dev(), meta.ino()),
        target,
    })
}

/// Asks what is at a path of the host.
pub fn look(k: &Kernel, cx: &mut Ctx<'_, '_>, at: &[u8]) -> Result<Look, Fail> {
    Ok(cx.io.value(k.position, input::HOST_PATH, |_| look_live(at))?)
}

/// Finds a name in the host's directory under `dir` and takes it into the model; `reserved` is the number that a listing gave it.
pub fn find(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    dir: InodeId,
    name: &[u8],
    reserved: Option<InodeId>,
) -> Result<Option<InodeId>, Fail> {
    let Some(host) = k.fs.dir(dir).host.clone() else { return Ok(None) };
    let at = join(&host, name);
    let found = match look(k, cx, &at)? {
        Look::Failed(e) => return fail(e),
        Look::Missing => None,
        Look::Found(seen) => Some(adopt(k, dir, name, at, seen, reserved)),
    };
    k.fs.dir_to_learn(dir).put(name, found.map_or(Child::Absent, Child::Present));
    if found.is_some() {
        ahead::look(k, cx, dir, name)?;
    }
    Ok(found)
}

/// An inode for a host file that was seen for the first time. It has the number that was `reserved` for it or that it has on the host, if no other inode has
/// that: files on different devices of the host can have one number, and a number of a file that was removed there can come again.
pub fn adopt(k: &mut Kernel, dir: InodeId, name: &[u8], at: Vec<u8>, seen: Seen, reserved: Option<InodeId>) -> InodeId {
    let twin = (seen.identity, seen.size, seen.modified);
    let linked = seen.kind == Kind::Regular && seen.nlink > 1;
    if linked && let Some(&id) = k.fs.twins.get(&twin) {
        return id;
    }
    let node = match seen.kind {
        Kind::Regular => Node::Regular(Body::Host { path: at, size: seen.size }),
        Kind::Directory => Node::Directory(Dir::new(Some(at))),
        Kind::Symlink => Node::Symlink(seen.target),
        Kind::Fifo => Node::Fifo(None),
        Kind::Socket => Node::Socket(None),
        // Devices of the host have no numbers here: opening one answers ENXIO.
        Kind::Character | Kind::Block => Node::Device(0, 0),
    };
    let id = reserved.or(InodeId::of_host(seen.identity.1)).filter(|id| !k.fs.inodes.contains_key(id));
    let id = id.unwrap_or_else(|| InodeId(k.fresh_id()));
    let inode = Inode {
        node,
        mode: seen.mode & 0o7777,
        uid: seen.uid,
        gid: seen.gid,
        nlink: seen.nlink,
        dev: super::stat::DEV_ROOT,
        accessed: seen.modified,
        modified: seen.modified,
        changed: seen.changed,
        born: seen.changed,
        owned: false,
        place: Some((dir, name.to_vec())),
    };
    k.fs.inodes.insert(id, inode);
    if seen.mode & CAPABLE != 0 {
        k.fs.capable.insert(id);
    }
    if linked {
        k.fs.twins.insert(twin, id);
    }
    id
}

fn names_live(at: &[u8]) -> Result<Names, i32> {
    use std::os::unix::fs::{DirEntryExt, FileTypeExt};
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path(at)).map_err(|e| errno(&e))? {
        let entry = entry.map_err(|e| errno(&e))?;
        let kind = entry.file_type().ok().and_then(|t| {
            Some(match () {
                () if t.is_dir() => Kind::Directory,
                () if t.is_file() => Kind::Regular,
                () if t.is_symlink() => Kind::Symlink,
                () if t.is_fifo() => Kind::Fifo,
                () if t.is_socket() => Kind::Socket,
                () if t.is_char_device() => Kind::Character,
                () if t.is_block_device() => Kind::Block,
                () => return None,
            })
        });
        let (name, d_type) = (entry.file_name().as_bytes().to_vec(), kind.map_or(0, Kind::d_type));
        names.push(Named { name, d_type, ino: entry.ino() });
    }
    names.sort();
    Ok(names)
}

/// Asks which names a host directory has. Long lists take several entries.
pub fn names(k: &Kernel, cx: &mut Ctx<'_, '_>, at: &[u8]) -> Result<Names, Fail> {
    let mut live: Option<std::vec::IntoIter<Named>> = None;
    let mut out = Names::new();
    loop {
        let part: Result<(Names, bool), i32> = cx.io.value(k.position, input::HOST_DIR, |_| {
            if live.is_none() {
                live = Some(names_live(at)?.into_iter());
            }
            let rest = live.as_mut().expect("just read");
            let mut bytes = 0;
            let mut part = Names::new();
            while bytes < CHUNK_BYTES
                && let Some(entry) = rest.next()
            {
                bytes += entry.name.len() + 16;
                part.push(entry);
            }
            Ok((part, rest.len() > 0))
        })?;
        let (part, more) = match part {
            Ok(part) => part,
            Err(e) => return fail(e),
        };
        out.extend(part);
        if !more {
            return Ok(out);
        }
    }
}

/// Takes all names of the host's directory under `dir` into the model, so that nothing of it is unknown any more.
pub fn list(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dir: InodeId) -> Result<(), Fail> {
    let Some(host) = k.fs.dir(dir).host.clone() else { return Ok(()) };
    let names = names(k, cx, &host)?;
    for Named { name, d_type, ino } in names {
        if k.fs.dir(dir).get(&name).is_none() {
            let id = InodeId::of_host(ino).unwrap_or_else(|| InodeId(k.fresh_id()));
            k.fs.dir_to_learn(dir).put(&name, Child::Listed(id, d_type));
        }
    }
    k.fs.dir_to_learn(dir).complete();
    Ok(())
}

fn open_live(at: &[u8]) -> Result<File, i32> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY;
    std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path(at)).map_err(|e| errno(&e))
}

/// What the host says of a content. What has been read of it does not change with the host's file any more.
enum Live {
    Failed(i32),
    Large(u64),
    Whole(Fetched),
}

impl Live {
    /// Reads a host file, unless it has more than `max` bytes.
    fn read(store: &mut Store, at: &[u8], max: u64) -> gapless_log::Result<Self> {
        let opened = open_live(at).and_then(|file| {
            let size = file.metadata().map_err(|e| errno(&e))?.len();
            Ok((file, size))
        });
        Ok(match opened {
            Err(e) => Live::Failed(e),
            Ok((_, size)) if size > max => Live::Large(size),
            Ok((file, size)) => match store.fetch(file.take(max), size)? {
                Err(e) => Live::Failed(errno(&e)),
                Ok(fetched) => Live::Whole(fetched),
            },
        })
    }

    fn head(&self) -> Head {
        match self {
            Live::Failed(e) => Head::Failed(*e),
            Live::Large(size) => Head::Large(*size),
            Live::Whole(fetched) => Head::Whole(fetched.hash(), fetched.size()),
        }
    }
}

/// Appends the whole content of a host file of this size; false, and nothing is there, if it cannot be read or has another size by now.
pub fn read_small(at: &[u8], size: usize, to: &mut Vec<u8>) -> bool {
    let start = to.len();
    // One byte more, so that one reading shows that it ends there.
    to.resize(start + size + 1, 0);
    let read = open_live(at).is_ok_and(|mut file| file.read(&mut to[start..]).is_ok_and(|n| n == size));
    to.truncate(if read { start + size } else { start });
    read
}

/// Makes sure that the content of a regular file is here: ships that of a host file on first use. Files of more than `max` bytes
/// become [`Body::Large`] instead.
pub fn ship(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: InodeId, max: u64) -> Result<(), Fail> {
    let at = match &k.fs.inode(id).node {
        Node::Regular(Body::Host { path, .. }) => path.clone(),
        Node::Regular(Body::Large { path, size }) if *size <= max => path.clone(),
        _ => return Ok(()),
    };
    let live = if cx.io.is_live() { Some(Live::read(&mut k.fs.store, &at, max)?) } else { None };
    let head = cx.io.value(k.position, input::CONTENT, |_| live.as_ref().expect("read on the live side").head())?;
    let body = match head {
        Head::Failed(e) => return fail(e),
        Head::Large(size) => Body::Large { path: at, size },
        Head::Whole(hash, size) => {
            if k.fs.shipped.insert(hash) {
                match live {
                    Some(Live::Whole(fetched)) => send(k, cx, fetched)?,
                    _ => receive(k, cx, hash, size)?,
                }
            } else if !k.fs.store.has(hash, size) {
                return Err(missing(hash).into());
            }
            Body::Content { hash, size }
        }
    };
    k.fs.shipped_as(id, body);
    Ok(())
}

/// A content that the log has shipped is not there.
pub fn missing(hash: u128) -> Error {
    Error::Level(format!(
        "content {hash:032x} was shipped but is missing from the log's content directory; replay into an empty directory"
    ))
}

/// Live: puts the bytes of a content into the log and keeps them.
fn send(k: &mut Kernel, cx: &mut Ctx<'_, '_>, mut fetched: Fetched) -> Result<(), Fail> {
    for _ in (0..fetched.size()).step_by(CHUNK_BYTES) {
        cx.io.told(k.position, input::CONTENT, fetched.next(CHUNK_BYTES)?);
    }
    Ok(fetched.keep(&mut k.fs.store)?)
}

/// Takes the bytes of a content from the log.
fn receive(k: &mut Kernel, cx: &mut Ctx<'_, '_>, hash: u128, size: u64) -> Result<(), Fail> {
    let mut receiving = k.fs.store.receive(hash, size)?;
    while receiving.left() > 0 {
        let chunk = cx.io.bytes(k.position, input::CONTENT, |_| unreachable!("only a backup receives"))?;
        if chunk.is_empty() {
            return Err(Error::Refused(format!("content {hash:032x} ends early at position {}", k.position)).into());
        }
        receiving.put(&chunk)?;
    }
    Ok(receiving.finish(&mut k.fs.store)?)
}

/// A file whose every reading is an input: of at most `max` bytes from `offset`.
pub fn read_large(k: &Kernel, cx: &mut Ctx<'_, '_>, at: &[u8], offset: u64, max: usize) -> Result<Vec<u8>, Fail> {
    let mut file: Option<File> = None;
    let mut out = Vec::new();
    while out.len() < max {
        let (start, want) = (offset + out.len() as u64, CHUNK_BYTES.min(max - out.len()));
        let part: Result<Vec<u8>, i32> = cx.io.value(k.position, input::HOST_READ, |_| {
            if file.is_none() {
                file = Some(open_live(at)?);
            }
            let mut buf = vec![0; want];
            let n = file.as_ref().expect("just opened").read_at(&mut buf, start).map_err(|e| errno(&e))?;
            buf.truncate(n);
            Ok(buf)
        })?;
        match part {
            Ok(part) if part.is_empty() => break,
            Ok(part) => out.extend(part),
            Err(e) => return fail(e),
        }
    }
    Ok(out)
}

/// The text of a host file below /proc or /sys, as it is now.
pub fn read_volatile(k: &Kernel, cx: &mut Ctx<'_, '_>, at: &[u8]) -> Result<Vec<u8>, Fail> {
    let mut live: Option<std::vec::IntoIter<u8>> = None;
    let mut out = Vec::new();
    loop {
        let part: Result<(Vec<u8>, bool), i32> = cx.io.value(k.position, input::HOST_READ, |_| {
            if live.is_none() {
                let mut bytes = Vec::new();
                let taken = open_live(at)?.take(VOLATILE_BYTES_MAX as u64).read_to_end(&mut bytes);
                taken.map_err(|e| errno(&e))?;
                live = Some(bytes.into_iter());
            }
            let rest = live.as_mut().expect("just read");
            let part = rest.take(CHUNK_BYTES).collect();
            Ok((part, rest.len() > 0))
        })?;
        let (part, more) = match part {
            Ok(part) => part,
            Err(e) => return fail(e),
        };
        out.extend(part);
        if !more {
            return Ok(out);
        }
    }
}

/// The store's name of a body that is held here.
pub fn name_of(body: &Body) -> Option<Name> {
    match body {
        Body::Content { hash, .. } => Some(Name::Content(*hash)),
        Body::Private { number, .. } => Some(Name::Private(*number)),
        Body::Host { .. } | Body::Large { .. } => None,
    }
}
