//! Shared memory segments. Each is a file of the store without a name, which attaching maps.

use super::Perm;
use crate::fs::InodeId;
use crate::kernel::{Ctx, Fail, FileId, Kernel, Pid};
use crate::object::Object;
use gapless_log::Hasher;

/// shmctl marked it for removal: it goes with its last mapping.
pub const DEST: u32 = 0o1000;

/// One segment.
#[derive(Debug)]
pub struct Segment {
    /// Its memory. Invariant: this holds one reference.
    pub file: FileId,
    /// Its inode, which its mappings are known by.
    pub inode: InodeId,
    /// Bytes that were asked for.
    pub size: u64,
    /// How often it was attached when that was last looked at.
    pub attached: u64,
    /// Who made it, and who attached or detached it last.
    pub pids: (Pid, Pid),
    /// Seconds since 1970 of the last attaching, detaching and changing.
    pub times: [i64; 3],
}

/// Places in [`Segment::times`].
pub const ATTACHED: usize = 0;
/// See [`ATTACHED`].
pub const DETACHED: usize = 1;
/// See [`ATTACHED`].
pub const CHANGED: usize = 2;

impl Segment {
    /// Bytes of struct shmid64_ds.
    pub const STAT_BYTES: usize = 112;

    /// struct shmid64_ds.
    pub fn stat(&self, id: i32, perm: &Perm) -> [u8; Self::STAT_BYTES] {
        let mut raw = [0; Self::STAT_BYTES];
        raw[..48].copy_from_slice(&perm.bytes(id));
        raw[48..56].copy_from_slice(&self.size.to_le_bytes());
        for (slot, time) in raw[56..80].chunks_exact_mut(8).zip(self.times) {
            slot.copy_from_slice(&time.to_le_bytes());
        }
        raw[80..84].copy_from_slice(&self.pids.0.0.to_le_bytes());
        raw[84..88].copy_from_slice(&self.pids.1.0.to_le_bytes());
        raw[88..96].copy_from_slice(&self.attached.to_le_bytes());
        raw
    }

    pub(super) fn digest(&self, h: &mut Hasher) {
        for n in [self.file.0, self.inode.0, self.size, self.attached, self.pids.0.0 as u64, self.pids.1.0 as u64] {
            h.number(n);
        }
        for time in self.times {
            h.number(time as u64);
        }
    }
}

/// Seconds since 1970.
pub fn seconds(k: &Kernel) -> i64 {
    k.fs_time().div_euclid(1_000_000_000)
}

/// To be called when shared mappings may have come or gone: notes who did it and when, and removes segments that only waited for that.
pub fn settle(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> Result<(), Fail> {
    if k.ipc.shm.is_empty() {
        return Ok(());
    }
    let now = seconds(k);
    for id in k.ipc.shm.ids() {
        let (perm, segment) = k.ipc.shm.get_mut(id)?;
        let mappings = k.memories.values().flat_map(|memory| memory.shared.values());
        let attached = mappings.filter(|(_, key, _)| *key == segment.inode.0).count() as u64;
        if attached != segment.attached {
            segment.times[if attached > segment.attached { ATTACHED } else { DETACHED }] = now;
            segment.pids.1 = cx.pid;
            segment.attached = attached;
        }
        if attached == 0 && perm.mode & DEST != 0 {
            remove(k, cx, id)?;
        }
    }
    Ok(())
}

/// Forgets a segment that nobody has attached.
pub fn remove(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: i32) -> Result<(), Fail> {
    match k.ipc.shm.remove(id) {
        Some(segment) => k.drop_file(cx, segment.file),
        None => Ok(()),
    }
}

/// Makes the memory of a segment: zeros.
pub fn make(k: &mut Kernel, pid: Pid, key: i32, size: u64) -> Result<Segment, Fail> {
    let name = format!("SYSV{key:08x}");
    let file = crate::fs::nameless(k, pid, name.as_bytes(), size)?;
    let Object::Inode(inode) = k.file(file).object else { unreachable!("a file without a name is an inode") };
    let now = seconds(k);
    Ok(Segment { file, inode, size, attached: 0, pids: (pid, Pid(0)), times: [0, 0, now] })
}
