//! State directories: trees that belong to the program from the start, shipped whole. `export` copies them out.

use super::host;
use super::inode::{InodeId, Node};
use super::path::{Last, lookup, resolve};
use crate::kernel::{Ctx, Fail, Kernel};
use gapless_log::Error;

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
