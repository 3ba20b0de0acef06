//! System V shared memory: shmget, shmat, shmdt, shmctl.

use super::SysResult;
use super::memory::{chosen, page_up, touches_ours};
use crate::ipc::{Perm, shm};
use crate::kernel::{Ctx, Fail, Kernel, done, fail};
use libc::{
    MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE, SHM_EXEC, SHM_RDONLY, SHM_REMAP,
    SHM_RND,
};
use std::os::fd::AsFd;

const PAGE: u64 = 4096;
/// SHMMNI.
const SEGMENTS_MAX: usize = 4096;
/// SHMMAX and, in pages, SHMALL: what Linux says by default.
const SIZE_MAX: u64 = u64::MAX - (1 << 24);
/// No host gives a segment of this size.
const TOO_LARGE: u64 = 1 << 40;
/// Commands of shmctl that libc does not name.
const SHM_LOCK: i32 = 11;
const SHM_UNLOCK: i32 = 12;
const SHM_STAT: i32 = 13;
const SHM_INFO: i32 = 14;
const SHM_STAT_ANY: i32 = 15;
const IPC_INFO: i32 = 3;
/// A mode bit of a segment that is not to be swapped out.
const LOCKED: u32 = 0o2000;

/// shmget(2).
pub fn shmget(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (key, size, flags) = (a[0] as i32, a[1], a[2] as i32);
    let creds = k.process(cx.pid).creds.clone();
    if let Some(id) = k.ipc.shm.open(key, flags, &creds, |segment| size <= segment.size)? {
        return done(id);
    }
    if size == 0 || size > SIZE_MAX {
        return fail(libc::EINVAL);
    }
    // Huge pages are there on no host of ours, as for mmap.
    if size > TOO_LARGE || flags & libc::SHM_HUGETLB != 0 {
        return fail(libc::ENOMEM);
    }
    if k.ipc.shm.len() >= SEGMENTS_MAX {
        return fail(libc::ENOSPC);
    }
    let segment = shm::make(k, cx.pid, key, size)?;
    done(k.ipc.shm.add(SEGMENTS_MAX, Perm::new(key, flags, &creds), segment)?)
}

/// shmat(2).
pub fn shmat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (id, asked, flags) = (a[0] as i32, a[1], a[2] as i32);
    let has = |bit: i32| flags & bit != 0;
    let addr = if has(SHM_RND) { asked & !(PAGE - 1) } else { asked };
    if id < 0 || addr % PAGE != 0 || (addr == 0 && has(SHM_REMAP)) {
        return fail(libc::EINVAL);
    }
    let writes = !has(SHM_RDONLY);
    let (perm, segment) = k.ipc.shm.get(id)?;
    let bits = 0o444 | if writes { 0o222 } else { 0 } | if has(SHM_EXEC) { 0o111 } else { 0 };
    perm.may(&k.process(cx.pid).creds, bits)?;
    let (inode, len) = (segment.inode, page_up(segment.size));
    if addr != 0 && (touches_ours(k, cx, addr, len) || addr.checked_add(len).is_none()) {
        return fail(libc::EINVAL);
    }
    let prot = PROT_READ | if writes { PROT_WRITE } else { 0 } | if has(SHM_EXEC) { PROT_EXEC } else { 0 };
    // A segment attached for reading cannot be made writable by mprotect.
    let real = crate::fs::open_content(k, cx, inode, writes)?;
    let fd = cx.tracee().pass_fd(real.as_fd())?;
    let ret = if addr == 0 {
        chosen(k, cx, |cx, at| {
            let fixed = if at.is_some() { MAP_FIXED_NOREPLACE } else { 0 };
            let args = [at.unwrap_or(0), len, prot as u64, (MAP_SHARED | fixed) as u64, fd as u64, 0];
            Ok(cx.tracee().native(libc::SYS_mmap, args)?)
        })?
    } else {
        let fixed = if has(SHM_REMAP) { MAP_FIXED } else { MAP_FIXED_NOREPLACE };
        cx.tracee().native(libc::SYS_mmap, [addr, len, prot as u64, (MAP_SHARED | fixed) as u64, fd as u64, 0])?
    };
    cx.tracee().close_fd(fd)?;
    if ret < 0 {
        return fail(if -ret == i64::from(libc::EEXIST) { libc::EINVAL } else { -ret as i32 });
    }
    let (start, end) = (ret as u64, ret as u64 + len);
    let memory = k.process(cx.pid).memory;
    let memory = k.memories.get_mut(&memory).expect("address space exists");
    memory.unmap(start, end);
    memory.mapped(start, end);
    memory.shared.insert(start, (end, inode.0, 0));
    shm::settle(k, cx)?;
    if has(SHM_EXEC) {
        crate::run::patch::executable(k, cx, start, end, true, None)?;
    }
    done(ret)
}

/// shmdt(2): unmaps what is left of the attachment that began at this address.
pub fn shmdt(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let addr = a[0];
    if !addr.is_multiple_of(PAGE) {
        return fail(libc::EINVAL);
    }
    let memory = k.process(cx.pid).memory;
    let shared = &k.memories[&memory].shared;
    let segment_of = |key: u64| k.ipc.shm.iter().find(|segment| segment.inode.0 == key);
    let from_there = |start: u64, offset: u64| start - addr == offset;
    let first = shared.range(addr..).find_map(|(&start, &(_, key, offset))| {
        segment_of(key).filter(|_| from_there(start, offset)).map(|segment| (key, page_up(segment.size)))
    });
    let Some((key, len)) = first else { return fail(libc::EINVAL) };
    let pieces: Vec<(u64, u64)> = shared
        .range(addr..addr.saturating_add(len))
        .filter(|&(&start, &(_, of, offset))| of == key && from_there(start, offset))
        .map(|(&start, &(end, _, _))| (start, end))
        .collect();
    for (start, end) in pieces {
        let ret = cx.tracee().native(libc::SYS_munmap, [start, end - start, 0, 0, 0, 0])?;
        if ret < 0 {
            return fail(-ret as i32);
        }
        k.memories.get_mut(&memory).expect("address space exists").unmap(start, end);
    }
    shm::settle(k, cx)?;
    done(0)
}

/// shmctl(2).
pub fn shmctl(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let (id, command, buf) = (a[0] as i32, a[1] as i32, a[2]);
    if id < 0 {
        return fail(libc::EINVAL);
    }
    match command {
        IPC_INFO => {
            let words = [SIZE_MAX, 1, SEGMENTS_MAX as u64, SEGMENTS_MAX as u64, SIZE_MAX, 0, 0, 0, 0];
            cx.write(buf, &words.map(u64::to_le_bytes).concat())?;
            done(k.ipc.shm.highest())
        }
        SHM_INFO => {
            let pages: u64 = k.ipc.shm.iter().map(|segment| page_up(segment.size) / PAGE).sum();
            // All of it counts as resident; nothing is swapped.
            cx.write(buf, &[k.ipc.shm.len() as u64, pages, pages, 0, 0, 0].map(u64::to_le_bytes).concat())?;
            done(k.ipc.shm.highest())
        }
        libc::IPC_STAT => stat(k, cx, id, buf, true),
        SHM_STAT | SHM_STAT_ANY => {
            let id = k.ipc.shm.id_in_slot(id)?;
            stat(k, cx, id, buf, command == SHM_STAT)?;
            done(id)
        }
        libc::IPC_SET => {
            let raw = cx.read_array(buf)?;
            change(k, cx, id, |perm, _| perm.set(&raw))
        }
        SHM_LOCK => change(k, cx, id, |perm, _| perm.mode |= LOCKED),
        SHM_UNLOCK => change(k, cx, id, |perm, _| perm.mode &= !LOCKED),
        libc::IPC_RMID => {
            let (perm, _) = k.ipc.shm.get_mut(id)?;
            perm.may_control(&k.processes[&cx.pid].creds)?;
            // Nobody finds it any more; whoever has it keeps it.
            (perm.key, perm.mode) = (libc::IPC_PRIVATE, perm.mode | shm::DEST);
            shm::settle(k, cx)?;
            done(0)
        }
        _ => fail(libc::EINVAL),
    }
}

fn stat(k: &mut Kernel, cx: &mut Ctx<'_, '_>, id: i32, buf: u64, ask: bool) -> SysResult {
    let (perm, segment) = k.ipc.shm.get(id)?;
    if ask {
        perm.may(&k.process(cx.pid).creds, 0o444)?;
    }
    cx.write(buf, &segment.stat(id, perm))?;
    done(0)
}

fn change(
    k: &mut Kernel,
    cx: &mut Ctx<'_, '_>,
    id: i32,
    how: impl FnOnce(&mut Perm, &mut shm::Segment),
) -> Result<crate::kernel::Outcome, Fail> {
    let now = shm::seconds(k);
    let (perm, segment) = k.ipc.shm.get_mut(id)?;
    perm.may_control(&k.processes[&cx.pid].creds)?;
    segment.times[shm::CHANGED] = now;
    how(perm, segment);
    done(0)
}
