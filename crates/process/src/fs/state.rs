//! State directories: trees that belong to the program from the start, shipped whole, and copied out by `export`.

use super::inode::{Child, InodeId, Node};
use super::path::{Last, lookup, resolve};
use super::{Fs, ROOT, host};
use crate::kernel::{Ctx, Fail, Kernel};
use gapless_log::Error;
use std::path::Path;

/// At launch: takes the directory `path` of the host with everything below it into the model, for good. Live, the host is read and
/// everything logged; on the backup the log rebuilds it.
pub fn load_state(k: &mut Kernel, cx: &mut Ctx<'_, '_>, path: &[u8]) -> Result<(), Fail> {
    let refuse =
        |why: &str| Fail::Fatal(Error::Refused(format!("state directory {}: {why}", String::from_utf8_lossy(path))));
    let found = resolve(k, cx, libc::AT_FDCWD, path, Last::Follow).map_err(|e| match e {
        Fail::Errno(e) => refuse(&format!("cannot be reached ({})", std::io::Error::from_raw_os_error(e.0))),
        fatal => fatal,
    })?;
    let Some(dir) = found.inode else {
        return Err(refuse("does not exist; create it first"));
    };
    if !matches!(k.fs.inode(dir).node, Node::Directory(_)) {
        return Err(refuse("is not a directory"));
    }
    load_tree(k, cx, dir).map_err(|e| match e {
        Fail::Errno(e) => refuse(&format!("cannot be read whole ({})", std::io::Error::from_raw_os_error(e.0))),
        fatal => fatal,
    })
}

fn load_tree(k: &mut Kernel, cx: &mut Ctx<'_, '_>, dir: InodeId) -> Result<(), Fail> {
    let mut todo = vec![dir];
    while let Some(dir) = todo.pop() {
        k.fs.inode_mut(dir).owned = true;
        host::list(k, cx, dir)?;
        let names: Vec<Vec<u8>> = k.fs.dir(dir).slots().map(|(name, _)| name.to_vec()).collect();
        for name in names {
            let Some(id) = lookup(k, cx, dir, &name)? else { continue };
            match k.fs.inode(id).node {
                Node::Directory(_) => todo.push(id),
                Node::Regular(_) => {
                    host::ship(k, cx, id, u64::MAX)?;
                    k.fs.inode_mut(id).owned = true;
                }
                _ => k.fs.inode_mut(id).owned = true,
            }
        }
        k.fs.dir_mut(dir).host = None;
    }
    Ok(())
}

impl Fs {
    /// Copies the tree at the model's absolute `path` out to the host's new directory `to`. Only what the model holds is copied.
    pub fn export(&mut self, path: &[u8], to: &Path) -> gapless_log::Result<()> {
        let mut at = ROOT;
        for name in path.split(|&b| b == b'/').filter(|n| !n.is_empty()) {
            at = match self.inodes.get(&at).and_then(|i| i.dir()).and_then(|d| d.get(name)) {
                Some(Child::Present(id)) => id,
                _ => {
                    return Err(Error::Refused(format!(
                        "{} is not in the log; name a directory that was given with --state",
                        String::from_utf8_lossy(path)
                    )));
                }
            };
        }
        self.export_node(at, to)
    }

    fn export_node(&mut self, id: InodeId, to: &Path) -> gapless_log::Result<()> {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let inode = self.inode(id).clone();
        match &inode.node {
            Node::Directory(dir) => {
                std::fs::create_dir_all(to).map_err(|e| Error::io("create directory", to, e))?;
                for (name, slot) in dir.slots() {
                    if let Child::Present(child) = slot.child {
                        self.export_node(child, &to.join(host::path(name)))?;
                    }
                }
            }
            Node::Regular(body) => {
                let Some(name) = host::name_of(body) else { return Ok(()) };
                let mut from = self.store.open(name, false)?;
                let mut file = std::fs::File::create(to).map_err(|e| Error::io("create", to, e))?;
                std::io::copy(&mut from, &mut file).map_err(|e| Error::io("write", to, e))?;
            }
            Node::Symlink(target) => return symlink(host::path(target), to).map_err(|e| Error::io("link", to, e)),
            // Sockets, FIFOs and devices mean nothing without the program.
            _ => return Ok(()),
        }
        let permissions = std::fs::Permissions::from_mode(inode.mode);
        std::fs::set_permissions(to, permissions).map_err(|e| Error::io("chmod", to, e))
    }
}
