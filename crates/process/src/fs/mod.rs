//! The file system of the replica: an inode model over the host's files, which are only ever read.
//!
//! The rule it keeps: **the program sees one consistent snapshot, equal on both sides**. The first look at a name of the host is an
//! input ([`crate::kernel::input::HOST_PATH`], or one of several that were read `ahead`), remembered for ever, its absence included;
//! the contents of a host file come into the log once per content hash. Everything that the program changes changes only here: names
//! and attributes in memory, contents in files of the log directory (`store`). A local error on such a file stops this side; the
//! program never sees it.
//!
//! Left out: device files of the host (only those of `dev` exist), mounts, chroot, leases, inotify, extended attributes, mandatory
//! locks. Files that others create on the host after the program first looked
//! for them stay invisible, except below `/proc` and `/sys`, where every look is a new input.

mod ahead;
pub mod create;
mod dev;
mod digest;
mod export;
mod file;
mod host;
mod inode;
mod list;
mod lock;
mod open;
pub mod path;
mod proc;
mod proc_text;
pub mod stat;
mod state;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod view;

pub use ahead::{Listings, contents_in_words, looks_in_words};
pub use create::{bind_socket_name, lookup_socket, unbind_socket};
pub use dev::{add_slave, remove_slave};
pub use export::{Exported, LeftOut};
pub use file::{
    Room, allocate, content, fd_for_map, inode_of, open_content, read, read_at, room, seek, size, truncate, write,
    write_at, write_file_at,
};
pub use host::{Named, content_in_words, look_in_words};
pub use inode::{Body, Child, Dir, Inode, InodeId, Kind, Node, ROOT, Slot, Time};
pub use list::{Entry, entries};
pub use lock::{drop_process_locks, fcntl, flock};
pub use open::{
    Executable, Opened, add_seals, close, content_for_exec, get_seals, memfd, nameless, not_running, open, open_inode,
    open_or_wait,
};
pub use path::{Found, Last, Walked, leads_to, link_text, path_of, resolve, resolve_known};
pub use proc_text::is_written;
pub use stat::{stat, stat_file, statx, statx_file};
pub use state::load_state;
pub use store::{STORE_NAMES, foreign};
pub use view::View;

use crate::kernel::{Kernel, Pid};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Numbers of the inodes that exist from the start (`/dev` and what is in it) begin here, above all that the kernel's counter gives.
const FIXED_IDS: u64 = 1 << 40;

/// Inodes, names, and the overlay over the host.
#[derive(Debug)]
pub struct Fs {
    inodes: BTreeMap<InodeId, Inode>,
    store: store::Store,
    /// Contents that are in the log.
    shipped: BTreeSet<u128>,
    /// Host files that have several names there, by what tells that they are one file.
    twins: BTreeMap<((u64, u64), u64, Time), InodeId>,
    /// Inodes of /proc by what they show.
    procs: BTreeMap<proc::Key, InodeId>,
    /// Inodes of the host's /proc and /sys by path.
    volatiles: BTreeMap<Vec<u8>, InodeId>,
    locks: BTreeMap<InodeId, lock::Locks>,
    /// Record locks that threads wait for.
    lock_waits: BTreeMap<crate::kernel::Tid, (InodeId, lock::Range)>,
    seals: BTreeMap<InodeId, u32>,
    /// Files without a name that may get one (O_TMPFILE).
    linkable: BTreeSet<InodeId>,
    /// Directories that cannot be moved or removed, as if something were mounted there.
    fixed: BTreeSet<InodeId>,
    /// Host files whose exec would give capabilities.
    capable: BTreeSet<InodeId>,
    fifo_openers: BTreeMap<InodeId, Vec<open::FifoOpener>>,
    /// Files whose content a program's memory has had a part in: what is written to them may be seen at once.
    mapped: BTreeSet<InodeId>,
    /// What has changed since it was last asked for. Shapes nothing but speed.
    touched: BTreeSet<InodeId>,
}

impl Fs {
    /// Inodes that have changed, or been locked, since this was last asked for: what was known of them before may not hold.
    pub fn take_touched(&mut self) -> BTreeSet<InodeId> {
        std::mem::take(&mut self.touched)
    }

    /// All of a regular file's content, if it was shipped and is in memory.
    pub fn small_content(&self, id: InodeId) -> Option<&[u8]> {
        match self.inodes.get(&id)?.node {
            Node::Regular(Body::Content { hash, .. }) => self.store.in_memory(hash),
            _ => None,
        }
    }

    /// Size of a regular file whose content was shipped and has not been changed here.
    pub fn shipped_size(&self, id: InodeId) -> Option<u64> {
        match self.inodes.get(&id)?.node {
            Node::Regular(Body::Content { size, .. }) => Some(size),
            _ => None,
        }
    }

    /// Where an address space shares a file that has nothing there, by address: whole pages that read as zeros, or lie behind the file's end.
    pub fn holes(&mut self, memory: &crate::kernel::Memory) -> gapless_log::Result<Vec<(u64, u64)>> {
        const PAGE: u64 = 4096;
        let mut holes = Vec::new();
        for (&start, &(end, object, offset)) in &memory.shared {
            let Some(inode) = self.inodes.get(&InodeId(object)) else { continue };
            let Node::Regular(Body::Private { number, .. }) = inode.node else { continue };
            for (from, to) in self.store.holes(number, offset, offset + (end - start))? {
                let (from, to) = (from.next_multiple_of(PAGE), to / PAGE * PAGE);
                if from < to {
                    holes.push((start + (from - offset), start + (to - offset)));
                }
            }
        }
        Ok(holes)
    }

    /// Is there a lock of any kind on a file?
    pub fn has_locks(&self, id: InodeId) -> bool {
        self.locks.contains_key(&id)
    }

    /// Over the host's files, with contents kept in `content/` and `files/` of the log directory.
    pub fn new(log_dir: &Path) -> gapless_log::Result<Self> {
        let mut fs = Self {
            inodes: BTreeMap::new(),
            store: store::Store::new(log_dir)?,
            shipped: BTreeSet::new(),
            twins: BTreeMap::new(),
            procs: BTreeMap::new(),
            volatiles: BTreeMap::new(),
            locks: BTreeMap::new(),
            lock_waits: BTreeMap::new(),
            seals: BTreeMap::new(),
            linkable: BTreeSet::new(),
            fixed: BTreeSet::new(),
            capable: BTreeSet::new(),
            fifo_openers: BTreeMap::new(),
            mapped: BTreeSet::new(),
            touched: BTreeSet::new(),
        };
        let root = Inode { nlink: 2, ..Inode::new(Node::Directory(Dir::new(Some(b"/".to_vec()))), 0o755) };
        fs.inodes.insert(ROOT, root);
        dev::populate(&mut fs);
        fs.mount(1, b"proc", Node::Proc(proc::Key::Root), stat::DEV_PROC);
        fs.mount(2, b"sys", Node::Volatile(b"/sys".to_vec(), Kind::Directory), stat::DEV_SYS);
        Ok(fs)
    }

    fn mount(&mut self, number: u64, name: &[u8], node: Node, dev: u64) {
        let id = InodeId(FIXED_IDS + (1 << 20) + number);
        if let Node::Proc(key) = node {
            self.procs.insert(key, id);
        }
        if let Node::Volatile(at, _) = &node {
            self.volatiles.insert(at.clone(), id);
        }
        let inode = Inode { nlink: 2, dev, place: Some((ROOT, name.to_vec())), ..Inode::new(node, 0o555) };
        self.inodes.insert(id, inode);
        self.dir_mut(ROOT).put(name, Child::Present(id));
        self.inode_mut(ROOT).nlink += 1;
        self.fixed.insert(id);
    }

    /// An inode, which must exist while anything refers to it.
    pub fn inode(&self, id: InodeId) -> &Inode {
        &self.inodes[&id]
    }

    /// The same, to change it.
    fn inode_mut(&mut self, id: InodeId) -> &mut Inode {
        self.touched.insert(id);
        self.inodes.get_mut(&id).expect("an inode exists while anything refers to it")
    }

    /// The names of a directory of the model.
    fn dir(&self, id: InodeId) -> &Dir {
        self.inode(id).dir().expect("a directory of the model")
    }

    /// The same, to change them.
    fn dir_mut(&mut self, id: InodeId) -> &mut Dir {
        self.touched.insert(id);
        self.dir_to_learn(id)
    }

    /// The same, to add what has only not been known of them: whatever was known stays true.
    fn dir_to_learn(&mut self, id: InodeId) -> &mut Dir {
        match self.inodes.get_mut(&id).map(|inode| &mut inode.node) {
            Some(Node::Directory(dir)) => dir,
            _ => panic!("a directory of the model"),
        }
    }

    /// Changes an inode's mode, owner or times.
    pub fn change_attributes(&mut self, id: InodeId, now: Time, change: impl FnOnce(&mut Inode)) {
        let inode = self.inode_mut(id);
        change(inode);
        (inode.changed, inode.owned) = (now, true);
    }

    /// The content of a host file is here. If its size is as it was, all that was known of it stays true.
    fn shipped_as(&mut self, id: InodeId, body: Body) {
        let inode = self.inodes.get_mut(&id).expect("an inode exists while anything refers to it");
        let before = std::mem::replace(&mut inode.node, Node::Regular(body));
        if !matches!((&before, &inode.node), (Node::Regular(a), Node::Regular(b)) if a.size() == b.size()) {
            self.touched.insert(id);
        }
    }

    /// A range of a shipped content, as a private mapping shows it that nobody has written to.
    pub fn view(&mut self, content: u128, offset: u64, len: u64) -> gapless_log::Result<View> {
        self.store.view(content, offset, len)
    }

    fn is_fixed(&self, id: InodeId) -> bool {
        self.fixed.contains(&id)
    }
}

impl Kernel {
    /// The wall clock as it was logged last: the time that files get.
    pub fn fs_time(&self) -> Time {
        (self.now as i64).saturating_add(self.realtime_offset)
    }
}

/// To be called when a process has ended: its locks and its part of /proc are gone.
pub fn process_gone(k: &mut Kernel, pid: Pid) {
    lock::process_gone(k, pid);
    proc::forget(k, pid);
}
