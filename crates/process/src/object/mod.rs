//! What descriptors stand for, and the operations that all of them share.
//!
//! Operations never block: one that would answers EAGAIN, and the call's handler decides (by O_NONBLOCK, MSG_DONTWAIT, a timeout) whether
//! the program sees that or the thread waits for [`id`]. Readiness is a function of the state ([`poll`]); whoever changes it
//! calls [`Kernel::notify`].

use crate::kernel::{Ctx, Fail, FileId, Kernel, ObjectId};

/// One kind of thing a descriptor can stand for; the data lives in the tables of the owning module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A file, directory, device or /proc entry.
    Inode(crate::fs::InodeId),
    /// A socket.
    Socket(ObjectId),
}

/// Tables of the objects of this module.
#[derive(Debug, Default)]
pub struct Objects {}

/// What to wait for if this file is not ready; `None` for files that always are.
pub fn id(k: &Kernel, file: FileId) -> Option<ObjectId> {
    match k.file(file).object {
        Object::Inode(_) => None,
        Object::Socket(id) => Some(id),
    }
}

/// The last holder is gone.
pub fn close(k: &mut Kernel, cx: &mut Ctx<'_, '_>, file: FileId) -> Result<(), Fail> {
    let _ = (k, cx, file);
    Ok(())
}
