//! Reading ahead: when a program goes through the names of a host directory in order, the host is asked for the next ones in the same event.
//!
//! What is asked for, and when, is a function of the model alone, so both sides do it at the same events; what the host answers is an input. It only
//! becomes known earlier: a name that was not found ahead is asked for when the program needs it, as ever. A program that looks at one name, or at names
//! in no order, asks for nothing else. Who has gone through one directory goes on, in the next one beside it, as far ahead as there.

use super::host::{self, CHUNK_BYTES, Look};
use super::inode::{Body, Child, Dir, InodeId, Node};
use super::path::parent;
use crate::kernel::{Ctx, Fail, Kernel, decode, encode, input};
use gapless_log::Error;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// So many names in order are chance.
const CHANCE: u32 = 2;
/// Names asked for at once: 2, and then four times as many each time up to this.
const NAMES_MAX: usize = 128;
/// Contents of more bytes are not read ahead.
const BYTES_MAX: u64 = 32 << 10;
/// Names of a directory of which those that follow can be told; larger ones are not read ahead.
const LISTING_MAX: usize = 4096;
/// Directories whose names are remembered.
const LISTINGS_MAX: usize = 64;

/// How far somebody has come in a directory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// The last name asked for, ahead or not.
    last: Vec<u8>,
    /// How often the next one asked for came after it.
    in_order: u32,
    /// The greatest such number of the directories in this one, since somebody went through one of them in no order.
    below: u32,
}

impl Progress {
    /// Somebody needs this name; how many of those that follow it are worth being asked for. `beside` is what to begin with.
    fn at(&mut self, name: &[u8], in_order: bool, beside: u32) -> usize {
        let before = if self.last.is_empty() { beside } else { self.in_order };
        self.in_order = if in_order { before.saturating_add(1) } else { 0 };
        self.last = name.to_vec();
        match self.in_order.checked_sub(CHANCE) {
            Some(times) => 2usize.saturating_mul(4usize.saturating_pow(times)).min(NAMES_MAX),
            None => 0,
        }
    }
}

/// What somebody comes far in: asking for a directory's names, or opening its files.
type Of = fn(&mut Dir) -> &mut Progress;

/// Somebody needs this name of a directory; how many of those that follow it are worth being asked for.
fn advance(k: &mut Kernel, dir: InodeId, of: Of, name: &[u8], in_order: bool) -> usize {
    let above = parent(k, dir);
    let beside = progress(k, above, of).map_or(0, |above| above.below);
    let Some(here) = progress(k, dir, of) else { return 0 };
    // What is not beyond chance there says nothing of other directories.
    let count = here.at(name, in_order, if beside > CHANCE { beside } else { 0 });
    let reached = here.in_order;
    if let Some(above) = progress(k, above, of) {
        above.below = if in_order { above.below.max(reached) } else { 0 };
    }
    count
}

fn progress(k: &mut Kernel, dir: InodeId, of: Of) -> Option<&mut Progress> {
    match &mut k.fs.inodes.get_mut(&dir)?.node {
        Node::Directory(d) => Some(of(d)),
        _ => None,
    }
}

/// What the host says of names: the names, and what stands there.
type Looks = Vec<(Vec<u8>, Look)>;

/// The host's file under `name` has just been asked for and found: asks for those that follow.
pub fn look(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dir: InodeId, name: &[u8]) -> Result<(), Fail> {
    let in_order = k.fs.dir(dir).looked.last.as_slice() < name;
    let count = advance(k, dir, |d| &mut d.looked, name, in_order);
    let d = k.fs.dir(dir);
    let (Some(host), true) = (d.host.clone(), count > 0) else { return Ok(()) };
    let listed = (!d.is_open()).then(|| listed_after(d, name).take(count).map(<[u8]>::to_vec).collect::<Vec<_>>());
    if listed.as_ref().is_some_and(Vec::is_empty) {
        return Ok(());
    }
    let looks: Looks = cx.io.value(k.position, input::HOST_AHEAD, |world| {
        let names = listed.unwrap_or_else(|| world.listings.after(&host, name, count));
        let looks = names.into_iter().map(|name| {
            let look = host::look_live(&host::join(&host, &name));
            (name, look)
        });
        looks.collect()
    })?;
    for (name, look) in looks {
        let reserved = match k.fs.dir(dir).get(&name) {
            None => None,
            Some(Child::Listed(id, _)) => Some(id),
            Some(Child::Present(_) | Child::Absent) => continue,
        };
        if let Look::Found(seen) = look {
            let id = host::adopt(k, dir, &name, host::join(&host, &name), seen, reserved);
            let d = k.fs.dir_to_learn(dir);
            d.put(&name, Child::Present(id));
            d.looked.last = name;
        }
    }
    Ok(())
}

/// Names after this one that the host has and has not been asked for.
fn listed_after<'a>(d: &'a Dir, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    d.after(name).filter(|(_, child)| matches!(child, Child::Listed(..))).map(|(name, _)| name)
}

/// The content of one small file, as it goes into the log: the bytes of those that are new to it follow all heads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Head {
    /// It cannot be read, or is not small any more.
    Unknown,
    /// Hash and size; its bytes follow.
    New(u128, u64),
    /// Hash and size of what is in the log already.
    Known(u128, u64),
}

/// A small file whose content the host has and has not been asked for.
struct Unshipped<'a> {
    name: &'a [u8],
    id: InodeId,
    path: &'a [u8],
    size: usize,
}

/// Those after `name` in a directory.
fn unshipped<'a>(k: &'a Kernel, d: &'a Dir, name: &[u8]) -> impl Iterator<Item = Unshipped<'a>> {
    d.after(name).filter_map(|(name, child)| {
        let Child::Present(id) = child else { return None };
        match &k.fs.inode(id).node {
            Node::Regular(Body::Host { path, size }) if *size <= BYTES_MAX => {
                Some(Unshipped { name, id, path, size: *size as usize })
            }
            _ => None,
        }
    })
}

/// The directory in which a file was found, which may be gone.
fn directory(k: &Kernel, id: InodeId) -> Option<&Dir> {
    k.fs.inodes.get(&id)?.dir()
}

/// A host file is about to be opened for the first time; how many of those that follow it are to be read after it.
pub fn opening(k: &mut Kernel, id: InodeId) -> usize {
    let inode = k.fs.inode(id);
    if !matches!(inode.node, Node::Regular(Body::Host { size, .. }) if size <= BYTES_MAX) {
        return 0;
    }
    let Some((dir, name)) = inode.place.clone() else { return 0 };
    let Some(d) = directory(k, dir) else { return 0 };
    let in_order = d.opened.last < name && unshipped(k, d, &d.opened.last).next().is_some_and(|next| next.id == id);
    advance(k, dir, |d| &mut d.opened, &name, in_order)
}

/// The file has been opened: asks for the contents of `count` small files that follow it in its directory.
pub fn read(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: InodeId, count: usize) -> Result<(), Fail> {
    if count == 0 {
        return Ok(());
    }
    let Some((dir, name)) = k.fs.inode(id).place.clone() else { return Ok(()) };
    let Some(d) = directory(k, dir) else { return Ok(()) };
    let files: Vec<Unshipped<'_>> = unshipped(k, d, &name).take(count).collect();
    if files.is_empty() {
        return Ok(());
    }
    let shipped = &k.fs.shipped;
    let body = cx.io.bytes(k.position, input::CONTENTS, |_| {
        let (mut heads, mut contents) = (Vec::new(), Vec::new());
        let mut new = BTreeSet::new();
        for file in &files {
            let start = contents.len();
            if start + file.size > CHUNK_BYTES || !host::read_small(file.path, file.size, &mut contents) {
                heads.push(Head::Unknown);
                continue;
            }
            let (hash, size) = (gapless_log::hash(&contents[start..]), file.size as u64);
            if shipped.contains(&hash) || !new.insert(hash) {
                contents.truncate(start);
                heads.push(Head::Known(hash, size));
            } else {
                heads.push(Head::New(hash, size));
            }
        }
        [encode(&heads), contents].concat()
    })?;
    let files: Vec<_> = files.into_iter().map(|file| (file.name.to_vec(), file.id)).collect();
    let spoilt = |k: &Kernel| Error::Refused(format!("input 'contents' at position {} does not decode", k.position));
    let (heads, mut rest) = postcard::take_from_bytes::<Vec<Head>>(&body).map_err(|_| spoilt(k))?;
    for ((name, id), head) in files.into_iter().zip(heads) {
        let (hash, size, bytes) = match head {
            Head::Unknown => continue,
            Head::Known(hash, size) => (hash, size, None),
            Head::New(hash, size) => {
                let split = usize::try_from(size).ok().and_then(|size| rest.split_at_checked(size));
                let (bytes, after) = split.ok_or_else(|| spoilt(k))?;
                rest = after;
                (hash, size, Some(bytes))
            }
        };
        if bytes.is_some() != k.fs.shipped.insert(hash) {
            return Err(spoilt(k).into());
        }
        match bytes {
            Some(bytes) => {
                let mut receiving = k.fs.store.receive(hash, size)?;
                receiving.put(bytes)?;
                receiving.finish(&mut k.fs.store)?;
            }
            None if k.fs.store.has(hash, size) => {}
            None => return Err(host::missing(hash).into()),
        }
        k.fs.shipped_as(id, Body::Content { hash, size });
        k.fs.dir_to_learn(dir).opened.last = name;
    }
    Ok(())
}

/// What was read ahead, for a person.
pub fn looks_in_words(body: &[u8]) -> Option<String> {
    let looks: Looks = decode(gapless_log::Position(0), input::HOST_AHEAD, body).ok()?;
    let found = looks.iter().filter(|(_, look)| matches!(look, Look::Found(_))).count();
    Some(format!("{found} of {} names found", looks.len()))
}

/// The same of contents.
pub fn contents_in_words(body: &[u8]) -> Option<String> {
    let (heads, rest) = postcard::take_from_bytes::<Vec<Head>>(body).ok()?;
    Some(format!("{} files, {} bytes", heads.len(), rest.len()))
}

/// Live: the names of host directories that were gone through, as they were then. Others may have changed them since: then
/// a name is not found ahead, or found when it is needed.
#[derive(Debug, Default)]
pub struct Listings(BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>);

impl Listings {
    /// Up to `count` names after this one, in order of name.
    fn after(&mut self, dir: &[u8], name: &[u8], count: usize) -> Vec<Vec<u8>> {
        if !self.0.contains_key(dir) && self.0.len() == LISTINGS_MAX {
            self.0.clear();
        }
        let names = self.0.entry(dir.to_vec()).or_insert_with(|| names_of(dir).unwrap_or_default());
        names.range::<[u8], _>((Bound::Excluded(name), Bound::Unbounded)).take(count).cloned().collect()
    }
}

/// All names of a directory of the host, if they are not too many.
fn names_of(dir: &[u8]) -> Option<BTreeSet<Vec<u8>>> {
    use std::os::unix::ffi::OsStringExt;
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(host::path(dir)).ok()? {
        if names.len() == LISTING_MAX {
            return None;
        }
        names.insert(entry.ok()?.file_name().into_vec());
    }
    Some(names)
}
