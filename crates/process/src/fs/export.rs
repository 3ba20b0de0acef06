//! What the program wrote, as real files of the host again.
//!
//! The rule it keeps: **nothing outside the target is touched, whatever the log says.** The target is new or empty, every name is checked, nothing is
//! followed and nothing is written over. Copied is what the program made or changed and what belongs to a state directory, with contents,
//! modes, times, symbolic and hard links; owners where the host lets us.
//!
//! Left out: set-id bits of files (a log must not make anybody root), sockets, FIFOs and devices, which mean nothing without the program, and
//! contents that the log does not have. What is left out is listed.

use super::inode::{Body, Child, Inode, InodeId, Node, ROOT, Time};
use super::path::NAME_MAX;
use super::{Fs, host, store};
use gapless_log::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

/// What an export came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Exported {
    /// Names of regular files.
    pub files: u64,
    /// Those of them that are further names of a file.
    pub hard_links: u64,
    /// Directories, the target among them.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Bytes written.
    pub bytes: u64,
    /// What could not be copied.
    pub left_out: Vec<LeftOut>,
}

/// Something that an export did not copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// Where it would be.
    pub path: PathBuf,
    /// Why it is not.
    pub why: &'static str,
}

impl Fs {
    /// Copies the tree at the model's absolute `path` out to the host's directory `to`, which must be empty or not exist.
    pub fn export(&mut self, path: &[u8], to: &Path) -> Result<Exported> {
        let top = self.exported_dir(path)?;
        let wanted = self.wanted(top)?;
        if wanted.is_empty() {
            return Err(Error::Refused(format!(
                "the program has neither made nor changed anything below {}",
                String::from_utf8_lossy(path)
            )));
        }
        make_target(to)?;
        let mut export = Export { fs: self, wanted, done: Exported::default(), names: BTreeMap::new() };
        export.tree(top, to)?;
        Ok(export.done)
    }

    /// Is there something under this absolute path, whose links are not followed?
    pub fn knows(&self, path: &[u8]) -> bool {
        self.at(path).is_some()
    }

    fn at(&self, path: &[u8]) -> Option<InodeId> {
        path.split(|&b| b == b'/').filter(|n| !n.is_empty()).try_fold(ROOT, |at, name| {
            match self.inodes.get(&at)?.dir()?.get(name)? {
                Child::Present(id) => Some(id),
                _ => None,
            }
        })
    }

    fn exported_dir(&self, path: &[u8]) -> Result<InodeId> {
        let Some(at) = self.at(path) else {
            return Err(Error::Refused(format!(
                "the log knows nothing of {}; name a directory that was given with --state or in which the program wrote",
                String::from_utf8_lossy(path)
            )));
        };
        match self.inodes.get(&at).and_then(|i| i.dir()) {
            Some(_) => Ok(at),
            None => Err(Error::Refused(format!("{} is not a directory", String::from_utf8_lossy(path)))),
        }
    }

    /// Everything below `top` that the program made or changed, and the directories on the way there.
    fn wanted(&self, top: InodeId) -> Result<BTreeSet<InodeId>> {
        let (mut wanted, mut seen) = (BTreeSet::new(), BTreeSet::from([top]));
        let mut todo: Vec<(InodeId, Option<usize>)> = vec![(top, None)];
        let mut next = 0;
        // Directories in the order of their depth, each with the one above it.
        while let Some(&(dir, _)) = todo.get(next) {
            for (_, slot) in self.inodes.get(&dir).and_then(|i| i.dir()).into_iter().flat_map(|d| d.slots()) {
                let Child::Present(id) = slot.child else { continue };
                let Some(inode) = self.inodes.get(&id) else { continue };
                if inode.owned {
                    wanted.insert(id);
                }
                if inode.dir().is_some() {
                    if !seen.insert(id) {
                        return Err(Error::Refused(
                            "a directory of this log has two names; the log cannot be exported".into(),
                        ));
                    }
                    todo.push((id, Some(next)));
                } else if inode.owned {
                    wanted.insert(dir);
                }
            }
            next += 1;
        }
        for &(dir, above) in todo.iter().rev() {
            if let Some(above) = above.filter(|_| wanted.contains(&dir)) {
                wanted.insert(todo[above].0);
            }
        }
        if self.inodes.get(&top).is_some_and(|i| i.owned) {
            wanted.insert(top);
        }
        Ok(wanted)
    }
}

/// Makes the target, or takes it if it is empty; nobody else looks into it until it is whole.
fn make_target(to: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(to) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(e) => return Err(Error::disk("creating the directory", to, e)),
    }
    let empty = fs::symlink_metadata(to).and_then(|m| Ok(m.is_dir() && fs::read_dir(to)?.next().is_none()));
    if !empty.map_err(|e| Error::io("looking into", to, e))? {
        return Err(Error::Refused(format!(
            "{} exists and is not an empty directory; nothing was written: name a new or an empty one",
            to.display()
        )));
    }
    fs::set_permissions(to, Permissions::from_mode(0o700)).map_err(|e| Error::io("changing the mode of", to, e))
}

/// A name that stays in its directory.
fn checked<'a>(name: &'a [u8], dir: &Path) -> Result<&'a Path> {
    let plain = !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0);
    if plain && name.len() <= NAME_MAX {
        return Ok(host::path(name));
    }
    let name = name.escape_ascii();
    Err(Error::Refused(format!(
        "this log has a file named \"{name}\" for {}: no name of a file; it cannot be exported",
        dir.display()
    )))
}

struct Export<'a> {
    fs: &'a mut Fs,
    wanted: BTreeSet<InodeId>,
    done: Exported,
    /// The first name of each file.
    names: BTreeMap<InodeId, PathBuf>,
}

impl Export<'_> {
    fn tree(&mut self, top: InodeId, to: &Path) -> Result<()> {
        let mut dirs = vec![(top, to.to_owned())];
        let mut next = 0;
        while let Some((id, at)) = dirs.get(next).cloned() {
            next += 1;
            self.done.directories += 1;
            let children: Vec<(Vec<u8>, InodeId)> = self
                .fs
                .dir(id)
                .slots()
                .filter_map(|(name, slot)| match slot.child {
                    Child::Present(child) if self.wanted.contains(&child) => Some((name.to_vec(), child)),
                    _ => None,
                })
                .collect();
            for (name, child) in children {
                let path = at.join(checked(&name, &at)?);
                if self.fs.inode(child).dir().is_some() {
                    let made = DirBuilder::new().mode(0o700).create(&path);
                    made.map_err(|e| Error::disk("creating the directory", &path, e))?;
                    dirs.push((child, path));
                } else {
                    self.node(child, path)?;
                }
            }
        }
        // From the deepest up: what is made in a directory changes its time, and its mode may forbid making anything.
        // The model's `/` has attributes of its own, which say nothing of the target.
        let own = dirs.iter().rev().filter(|(id, _)| *id != ROOT);
        own.into_iter().try_for_each(|(id, at)| attributes(self.fs.inode(*id), at))?;
        if top == ROOT {
            let mode = Permissions::from_mode(0o755);
            fs::set_permissions(to, mode).map_err(|e| Error::io("changing the mode of", to, e))?;
        }
        Ok(())
    }

    fn node(&mut self, id: InodeId, path: PathBuf) -> Result<()> {
        if let Some(first) = self.names.get(&id) {
            fs::hard_link(first, &path).map_err(|e| Error::disk("linking", &path, e))?;
            self.done.files += 1;
            self.done.hard_links += 1;
            return Ok(());
        }
        let inode = self.fs.inode(id).clone();
        let why = match &inode.node {
            Node::Regular(body) if host::name_of(body).is_some() => {
                self.file(body, &path)?;
                attributes(&inode, &path)?;
                self.done.files += 1;
                self.names.insert(id, path);
                return Ok(());
            }
            Node::Symlink(target) => {
                symlink(host::path(target), &path).map_err(|e| Error::disk("linking", &path, e))?;
                attributes(&inode, &path)?;
                self.done.symlinks += 1;
                return Ok(());
            }
            Node::Regular(_) => "only its attributes were changed; its contents were never read and are not in the log",
            Node::Socket(_) => "a socket",
            Node::Fifo(_) => "a FIFO",
            _ => "not a file",
        };
        self.done.left_out.push(LeftOut { path, why });
        Ok(())
    }

    fn file(&mut self, body: &Body, path: &Path) -> Result<()> {
        let name = host::name_of(body).expect("asked before");
        let from = self.fs.store.open(name, false)?;
        let new = OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path);
        let mut file = new.map_err(|e| Error::disk("creating", path, e))?;
        let copied = store::copy_all(&from, &mut file, body.size());
        let copied = copied.map_err(|e| Error::disk("writing", path, e))?;
        if copied != body.size() {
            return Err(Error::Level(format!(
                "{} has {copied} bytes of {} in the log's files",
                path.display(),
                body.size()
            )));
        }
        self.done.bytes += copied;
        Ok(())
    }
}

/// Owner (where the host lets us), mode and times of something that was just made and is not followed.
fn attributes(inode: &Inode, path: &Path) -> Result<()> {
    let failed = |e| Error::io("changing attributes of", path, e);
    let now = fs::symlink_metadata(path).map_err(failed)?;
    if (now.uid(), now.gid()) != (inode.uid, inode.gid) {
        match lchown(path, Some(inode.uid), Some(inode.gid)) {
            Err(e) if !matches!(e.raw_os_error(), Some(libc::EPERM | libc::EINVAL)) => return Err(failed(e)),
            _ => {}
        }
    }
    let set_id = if inode.dir().is_some() { libc::S_ISGID } else { 0 };
    if !now.is_symlink() {
        let mode = inode.mode & (0o777 | libc::S_ISVTX | set_id);
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
    }
    set_times(path, inode.accessed, inode.modified).map_err(failed)
}

fn set_times(path: &Path, accessed: Time, modified: Time) -> std::io::Result<()> {
    let spec = |t: Time| libc::timespec { tv_sec: t.div_euclid(1_000_000_000), tv_nsec: t.rem_euclid(1_000_000_000) };
    let (name, times) = (CString::new(path.as_os_str().as_bytes())?, [spec(accessed), spec(modified)]);
    // SAFETY: a NUL-terminated path and two times; nothing is written.
    let done = unsafe { libc::utimensat(libc::AT_FDCWD, name.as_ptr(), times.as_ptr(), libc::AT_SYMLINK_NOFOLLOW) };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
