//! Memory calls. These run natively in the tracee on both sides; where the kernel chooses an address, the choice is logged and
//! the backup asks for exactly that address.

use super::SysResult;
use crate::fs::{self, InodeId};
use crate::kernel::{Ctx, Errno, Fail, Kernel, done, fail, input};
use crate::object::Object;
use crate::run::patch::{self, executable};
use crate::run::written;
use crate::tracee::text::Source;
use crate::tracee::{SCRATCH_END, SCRATCH_START, SITES_END, SITES_START};
use libc::{
    MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE, MAP_TYPE, PROT_EXEC,
    PROT_READ, PROT_WRITE,
};
use std::os::fd::AsFd;

const PAGE: u64 = 4096;
/// Largest heap that brk gives, so that it cannot run into mappings above it.
const HEAP_MAX: u64 = 1 << 40;

/// What MAP_SHARED_VALIDATE lets pass, where MAP_SHARED ignores what it does not know (LEGACY_MAP_MASK of the kernel's mman.h).
const VALIDATED: i32 = MAP_TYPE & MAP_SHARED_VALIDATE
    | MAP_FIXED
    | MAP_ANONYMOUS
    | libc::MAP_32BIT
    | libc::MAP_GROWSDOWN
    | libc::MAP_DENYWRITE
    | libc::MAP_EXECUTABLE
    | libc::MAP_NORESERVE
    | libc::MAP_POPULATE
    | libc::MAP_NONBLOCK
    | libc::MAP_STACK;

/// Rounded up to whole pages.
pub fn page_up(n: u64) -> u64 {
    n.saturating_add(PAGE - 1) & !(PAGE - 1)
}

/// Does a range touch memory that is ours? The same answer on a side that patches nothing.
pub fn touches_ours(k: &Kernel, cx: &Ctx<'_, '_>, addr: u64, len: u64) -> bool {
    let touches = |start, end| addr < end && addr.saturating_add(len) > start;
    let sites = &k.memories[&k.process(cx.pid).memory].sites;
    touches(SCRATCH_START, SCRATCH_END) || sites.are_there() && touches(SITES_START, SITES_END)
}

/// Makes the kernel's choice of an address an input. `call(fixed)` makes the native call: `None` lets the kernel choose,
/// `Some` asks for that address.
pub fn chosen(
    k: &Kernel,
    cx: &mut Ctx<'_, '_>,
    mut call: impl FnMut(&mut Ctx<'_, '_>, Option<u64>) -> Result<i64, Fail>,
) -> Result<i64, Fail> {
    if cx.io.is_live() {
        let ret = call(cx, None)?;
        return Ok(cx.io.value(k.position, input::MAPPED, |_| ret)?);
    }
    let logged: i64 = cx.io.value(k.position, input::MAPPED, |_| 0)?;
    if logged < 0 {
        return Ok(logged);
    }
    let ret = call(cx, Some(logged as u64))?;
    if ret == logged {
        return Ok(ret);
    }
    Err(Fail::Fatal(gapless_log::Error::Level(format!(
        "position {}: mapping went to {ret:#x} here and to {logged:#x} on the primary",
        k.position
    ))))
}

/// On x86-64 what may be written may be read; said so, digests and state jumps can read it too.
fn native_prot(prot: u64) -> u64 {
    if prot as i32 & PROT_WRITE != 0 { prot | PROT_READ as u64 } else { prot }
}

fn result(ret: i64) -> SysResult {
    if ret < 0 { fail(-ret as i32) } else { done(ret) }
}

/// mmap(2).
pub fn mmap(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let [addr, len, prot, flags, fd, offset] = *a;
    let flags = flags as i32 & !(libc::MAP_HUGETLB | libc::MAP_LOCKED);
    if a[3] as i32 & libc::MAP_HUGETLB != 0 {
        return fail(libc::ENOMEM);
    }
    let fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0;
    if len == 0 || (fixed && touches_ours(k, cx, addr, len)) {
        return fail(libc::EINVAL);
    }
    let shared = matches!(flags & MAP_TYPE, MAP_SHARED | MAP_SHARED_VALIDATE);
    let file = if flags & MAP_ANONYMOUS == 0 { Some(k.file_of(cx.pid, fd as i32)?) } else { None };
    match flags & MAP_TYPE {
        MAP_PRIVATE | MAP_SHARED => {}
        MAP_SHARED_VALIDATE if file.is_some() && flags & !VALIDATED != 0 => return fail(libc::EOPNOTSUPP),
        MAP_SHARED_VALIDATE if file.is_some() => {}
        _ => return fail(libc::EINVAL),
    }
    // Validated here: the host's kernel would refuse the flag that the backup asks for its address with.
    let native_flags = if shared { flags & !MAP_TYPE | MAP_SHARED } else { flags } as u64;
    let own_code = !shared && written::is(prot);
    let native_prot = if own_code { written::first_prot(native_prot(prot)) } else { native_prot(prot) };
    let mut backing = None;
    let mut key = None;
    if let Some(file) = file {
        let writable = k.file(file).writable();
        if k.file(file).flags & libc::O_PATH != 0 {
            return fail(libc::EBADF);
        }
        if !k.file(file).readable() || (shared && prot as i32 & PROT_WRITE != 0 && !writable) {
            return fail(libc::EACCES);
        }
        if !matches!(k.file(file).object, Object::Inode(_)) {
            return fail(libc::ENODEV);
        }
        let (inode, real) = fs::fd_for_map(k, cx, file, shared, prot as i32 & PROT_WRITE != 0)?;
        backing = Some(real);
        // Each mapping of /dev/zero is of zeros of its own.
        key = matches!(k.fs.inode(inode).node, fs::Node::Regular(_)).then_some(inode.0);
    }
    if shared && key.is_none() {
        key = Some(k.fresh_id());
    }
    let passed = match &backing {
        Some(real) => Some(cx.tracee().pass_fd(real.as_fd())?),
        None => None,
    };
    let real_fd = passed.map_or(u64::MAX, |fd| fd as u64);
    let native_offset = if backing.is_some() { offset } else { 0 };
    let ret = if fixed {
        cx.tracee().native(libc::SYS_mmap, [addr, len, native_prot, native_flags, real_fd, native_offset])?
    } else {
        chosen(k, cx, |cx, at| {
            let (addr, extra) = match at {
                Some(at) => (at, MAP_FIXED_NOREPLACE as u64),
                None => (addr, 0),
            };
            Ok(cx
                .tracee()
                .native(libc::SYS_mmap, [addr, len, native_prot, native_flags | extra, real_fd, native_offset])?)
        })?
    };
    if let Some(fd) = passed {
        cx.tracee().close_fd(fd)?;
    }
    if ret < 0 {
        return fail(-ret as i32);
    }
    let (start, end) = (ret as u64, ret as u64 + page_up(len));
    let memory = k.process(cx.pid).memory;
    let memory = k.memories.get_mut(&memory).expect("address space exists");
    memory.unmap(start, end);
    memory.mapped(start, end);
    if own_code {
        memory.written.insert(start, end);
    }
    if let (true, Some(key)) = (shared, key) {
        memory.shared.insert(start, (end, key, offset));
    }
    crate::ipc::shm::settle(k, cx)?;
    if own_code {
        patch::doubt(k, cx)?;
    } else if prot as i32 & PROT_EXEC != 0 {
        let source = match key {
            Some(inode) if !shared => fs::content(k, InodeId(inode)).map(|content| Source { content, offset }),
            _ => None,
        };
        executable(k, cx, start, end, shared || prot as i32 & PROT_WRITE != 0, source)?;
    }
    done(ret)
}

/// munmap(2).
pub fn munmap(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if touches_ours(k, cx, a[0], a[1]) {
        return fail(libc::EINVAL);
    }
    let ret = cx.tracee().native(libc::SYS_munmap, *a)?;
    if ret == 0 {
        let memory = k.process(cx.pid).memory;
        k.memories.get_mut(&memory).expect("address space exists").unmap(a[0], a[0] + page_up(a[1]));
        crate::ipc::shm::settle(k, cx)?;
    }
    result(ret)
}

/// mremap(2).
pub fn mremap(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let [old, old_len, new_len, flags, target, _] = *a;
    if touches_ours(k, cx, old, old_len)
        || (flags as i32 & libc::MREMAP_FIXED != 0 && touches_ours(k, cx, target, new_len))
    {
        return fail(libc::EINVAL);
    }
    // The old range stays mapped, without its contents.
    let stays = flags & libc::MREMAP_DONTUNMAP as u64;
    written::release(k, cx, old, old.saturating_add(page_up(old_len)))?;
    let old_end = old.saturating_add(page_up(old_len));
    let memory = k.process(cx.pid).memory;
    k.memories.get_mut(&memory).expect("address space exists").moves(old, old_end);
    let ret = if flags as i32 & libc::MREMAP_FIXED != 0 {
        cx.tracee().native(libc::SYS_mremap, *a)?
    } else {
        chosen(k, cx, |cx, at| {
            let args = match at {
                Some(at) if at != old => {
                    let flags = (libc::MREMAP_FIXED | libc::MREMAP_MAYMOVE) as u64 | stays;
                    [old, old_len, new_len, flags, at, 0]
                }
                _ => [old, old_len, new_len, flags, 0, 0],
            };
            Ok(cx.tracee().native(libc::SYS_mremap, args)?)
        })?
    };
    let memory = k.memories.get_mut(&memory).expect("address space exists");
    memory.mapped(old, old_end);
    if ret >= 0 {
        let moved = memory.shared_at(old);
        if stays == 0 {
            memory.unmap(old, old_end);
        } else if moved.is_none() {
            memory.sites.unmap(old, old_end);
            memory.forget_texts(old, old_end);
        }
        memory.unmap(ret as u64, ret as u64 + page_up(new_len));
        memory.mapped(ret as u64, ret as u64 + page_up(new_len));
        patch::put_back(k, cx, ret as u64, ret as u64 + page_up(new_len));
        let memory = k.process(cx.pid).memory;
        let memory = k.memories.get_mut(&memory).expect("address space exists");
        if let Some((key, offset)) = moved {
            memory.shared.insert(ret as u64, (ret as u64 + page_up(new_len), key, offset));
        }
        crate::ipc::shm::settle(k, cx)?;
        if stays != 0 {
            patch::renew(k, cx, old, old_end)?;
        }
    }
    result(ret)
}

/// mprotect(2).
pub fn mprotect(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if touches_ours(k, cx, a[0], a[1]) {
        return fail(libc::EINVAL);
    }
    let id = k.process(cx.pid).memory;
    let (start, end) = (a[0], a[0].saturating_add(page_up(a[1])));
    let shares = k.memories[&id].shares(start, end);
    if written::is(a[2]) && !shares {
        let prot = written::first_prot(native_prot(a[2]));
        if cx.tracee().native(libc::SYS_mprotect, [start, a[1], prot, 0, 0, 0])? == 0 {
            let memory = k.memories.get_mut(&id).expect("address space exists");
            memory.written.insert(start, end);
            memory.forget_texts(start, end);
            patch::doubt(k, cx)?;
            return done(0);
        }
        // It fails, and so it does in what follows, which leaves the range as Linux does.
    }
    let ret = cx.tracee().native(libc::SYS_mprotect, [start, a[1], native_prot(a[2]), 0, 0, 0])?;
    let memory = k.memories.get_mut(&id).expect("address space exists");
    memory.forget_texts(start, end);
    if ret == 0 {
        memory.written.remove(start, end);
    }
    if ret == 0 && a[2] as i32 & PROT_EXEC != 0 {
        let writable = shares || a[2] as i32 & PROT_WRITE != 0;
        executable(k, cx, start, end, writable, None)?;
    } else if ret < 0 && a[2] as i32 & PROT_EXEC != 0 {
        // What lies before the hole has changed all the same.
        patch::doubt(k, cx)?;
    }
    result(ret)
}

/// ENOMEM unless all of a range is mapped: asked of the kernel that keeps the mappings, by a call that does nothing else.
fn all_mapped(k: &Kernel, cx: &mut Ctx<'_, '_>, start: u64, len: u64) -> SysResult {
    if touches_ours(k, cx, start, len) {
        return fail(libc::ENOMEM);
    }
    result(cx.tracee().native(libc::SYS_msync, [start, len, libc::MS_ASYNC as u64, 0, 0, 0])?)
}

/// msync(2). What a mapping of a file shows is its content at once, so there is nothing to write.
pub fn msync(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    const BOTH: i32 = libc::MS_ASYNC | libc::MS_SYNC;
    let flags = a[2] as i32;
    if flags & !(BOTH | libc::MS_INVALIDATE) != 0 || flags & BOTH == BOTH || !a[0].is_multiple_of(PAGE) {
        return fail(libc::EINVAL);
    }
    all_mapped(k, cx, a[0], a[1])
}

/// mlock(2) and munlock(2): that memory is locked is nothing that the program can see.
pub fn mlock(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let start = a[0] & !(PAGE - 1);
    let len = page_up(a[1].saturating_add(a[0] - start));
    if start.checked_add(len).is_none() {
        return fail(libc::EINVAL);
    }
    all_mapped(k, cx, start, len)
}

/// mlock2(2): see [`mlock`].
pub fn mlock2(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    if a[2] & !u64::from(libc::MLOCK_ONFAULT) != 0 {
        return fail(libc::EINVAL);
    }
    mlock(k, cx, a)
}

/// mlockall(2): see [`mlock`].
pub fn mlockall(_: &mut Kernel, _: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    const WHICH: i32 = libc::MCL_CURRENT | libc::MCL_FUTURE;
    let flags = a[0] as i32;
    if flags & WHICH == 0 || flags & !(WHICH | libc::MCL_ONFAULT) != 0 {
        return fail(libc::EINVAL);
    }
    done(0)
}

/// munlockall(2): see [`mlock`].
pub fn no_effect(_: &mut Kernel, _: &mut Ctx<'_, '_>, _: &[u64; 6]) -> SysResult {
    done(0)
}

/// madvise(2). MADV_FREE would drop pages at a time of the host's choosing, so it is MADV_DONTNEED here; advice without
/// a visible effect is not even given.
pub fn madvise(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    const MADV_DONTNEED_LOCKED: i32 = 24;
    if touches_ours(k, cx, a[0], a[1]) {
        return fail(libc::EINVAL);
    }
    let advice = match a[2] as i32 {
        libc::MADV_DONTNEED | libc::MADV_FREE | MADV_DONTNEED_LOCKED => libc::MADV_DONTNEED,
        other @ (libc::MADV_REMOVE
        | libc::MADV_DONTFORK
        | libc::MADV_DOFORK
        | libc::MADV_WIPEONFORK
        | libc::MADV_KEEPONFORK) => other,
        libc::MADV_NORMAL
        | libc::MADV_RANDOM
        | libc::MADV_SEQUENTIAL
        | libc::MADV_WILLNEED
        | libc::MADV_HUGEPAGE
        | libc::MADV_NOHUGEPAGE
        | libc::MADV_DONTDUMP
        | libc::MADV_DODUMP
        | libc::MADV_COLD
        | libc::MADV_PAGEOUT
        | libc::MADV_POPULATE_READ
        | libc::MADV_POPULATE_WRITE => {
            let len = page_up(a[1]);
            if !a[0].is_multiple_of(PAGE) || a[0].checked_add(len).is_none() {
                return fail(libc::EINVAL);
            }
            return all_mapped(k, cx, a[0], len);
        }
        _ => return fail(libc::EINVAL),
    };
    let ret = cx.tracee().native(libc::SYS_madvise, [a[0], a[1], advice as u64, 0, 0, 0])?;
    // Also where the call failed: it did what lies before the hole.
    patch::renew(k, cx, a[0], a[0].saturating_add(page_up(a[1])))?;
    result(ret)
}

/// mincore(2): everything is resident.
pub fn mincore(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    const BATCH: u64 = 1 << 20;
    if !a[0].is_multiple_of(PAGE) {
        return fail(libc::EINVAL);
    }
    all_mapped(k, cx, a[0], page_up(a[1]))?;
    let pages = page_up(a[1]) / PAGE;
    for first in (0..pages).step_by(BATCH as usize) {
        cx.write(a[2] + first, &vec![1u8; BATCH.min(pages - first) as usize])?;
    }
    done(0)
}

/// brk(2): the heap is an anonymous mapping that the model moves the end of.
pub fn brk(k: &mut Kernel, cx: &mut Ctx<'_, '_>, a: &[u64; 6]) -> SysResult {
    let id = k.process(cx.pid).memory;
    let memory = &k.memories[&id];
    let (start, old) = (memory.brk_start, memory.brk);
    let wanted = a[0];
    if wanted < start || wanted - start > HEAP_MAX {
        return done(old);
    }
    let (from, to) = (page_up(old), page_up(wanted));
    let ret = if to > from {
        let prot = (libc::PROT_READ | PROT_WRITE) as u64;
        let flags = (libc::MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE) as u64;
        cx.tracee().native(libc::SYS_mmap, [from, to - from, prot, flags, u64::MAX, 0])?
    } else if to < from {
        cx.tracee().native(libc::SYS_munmap, [to, from - to, 0, 0, 0, 0])?
    } else {
        0
    };
    if ret < 0 {
        return done(old);
    }
    let memory = k.memories.get_mut(&id).expect("address space exists");
    memory.brk = wanted;
    if to > from {
        memory.mapped(from, to);
    }
    done(wanted)
}

/// Turns an error of the mechanics into a stop of this replica.
impl From<crate::tracee::Error> for Fail {
    fn from(e: crate::tracee::Error) -> Self {
        Fail::Fatal(gapless_log::Error::Level(e.to_string()))
    }
}

/// Errno of the loader.
impl From<crate::tracee::Errno> for Fail {
    fn from(e: crate::tracee::Errno) -> Self {
        Fail::Errno(Errno(e.0))
    }
}
