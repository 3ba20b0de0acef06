//! The kernel's record of writes: userfaultfd's write protection in asynchronous mode, and the ioctl that asks which pages were written
//! (`PAGEMAP_SCAN`, Linux 6.7; `Documentation/admin-guide/mm/pagemap.rst`). Thin safe wrappers, as in [`sys`](super::sys).

use std::fs::File;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, pid_t};

use super::{Result, sys};

/// `userfaultfd(2)`: it serves no faults of the kernel's own, so anybody may have it. (In asynchronous mode nobody serves any.)
pub const USER_MODE_ONLY: c_int = 1;

/// A page of a mapping that is registered.
pub const REGISTERED: u64 = 1 << 0;
/// A page was written since it was last marked, or never marked.
pub const WRITTEN: u64 = 1 << 1;
/// A page of the mapping's file, also of a private mapping.
pub const OF_FILE: u64 = 1 << 2;
/// There is a page.
pub const PRESENT: u64 = 1 << 3;
/// It is swapped out, or there is only a mark.
pub const SWAPPED: u64 = 1 << 4;
/// The page of zeros that everybody shares.
pub const ZERO_PAGE: u64 = 1 << 5;

/// Regions asked for in one go.
const REGIONS_MAX: usize = 1024;

const API: u64 = 0xaa;
const FEATURE_WP_ASYNC: u64 = 1 << 15;
const MODE_WP: u64 = 1 << 1;
const MARK_MATCHING: u64 = 1 << 0;

/// `_IOR` of `<asm-generic/ioctl.h>`.
const fn ior(group: u8, number: u64, len: usize) -> u64 {
    2 << 30 | (len as u64) << 16 | (group as u64) << 8 | number
}

/// `_IOWR`.
const fn iowr(group: u8, number: u64, len: usize) -> u64 {
    1 << 30 | ior(group, number, len)
}

/// `struct uffdio_api`.
#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

/// `struct uffdio_range`.
#[repr(C)]
struct Range {
    start: u64,
    len: u64,
}

/// `struct pm_scan_arg`.
#[repr(C)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region`: pages in a row.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Region {
    /// First address.
    pub start: u64,
    /// First address behind them.
    pub end: u64,
    /// Those of the asked categories that they are in: none is asked for.
    categories: u64,
}

const _: () = assert!(size_of::<ScanArg>() == 96 && size_of::<Region>() == 24);

/// Which pages are looked for.
#[derive(Debug, Clone, Copy)]
pub struct Sought {
    /// In all of these categories,
    pub all: u64,
    /// in none of these,
    pub none: u64,
    /// and in one of these, unless it is 0.
    pub any: u64,
}

fn ioctl<T>(call: &'static str, fd: RawFd, request: u64, arg: &mut T) -> Result<u64> {
    // SAFETY: each caller in this module passes the structure that the request names; what it points to outlives the call.
    let ret = unsafe { libc::ioctl(fd, request as _, std::ptr::from_mut(arg)) };
    u64::try_from(ret).map_err(|_| sys::os_error(call, std::io::Error::last_os_error()))
}

/// A copy of a descriptor of the process `pid`, asked of its living thread `tid`.
pub fn take_fd(pid: pid_t, tid: pid_t, fd: c_int) -> Result<OwnedFd> {
    // Before Linux 6.9 only the leader can be asked, which may have ended.
    let pidfd = owned("pidfd_open", libc::SYS_pidfd_open, [tid, libc::O_EXCL, 0])
        .or_else(|_| owned("pidfd_open", libc::SYS_pidfd_open, [pid, 0, 0]))?;
    owned("pidfd_getfd", libc::SYS_pidfd_getfd, [pidfd.as_raw_fd(), fd, 0])
}

/// A call without pointers whose result is a new descriptor.
fn owned(call: &'static str, nr: i64, [a, b, c]: [c_int; 3]) -> Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::syscall(nr, a, b, c) };
    if fd < 0 {
        return Err(sys::os_error(call, std::io::Error::last_os_error()));
    }
    // SAFETY: just returned to us, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as c_int) })
}

/// Asks a new userfaultfd for asynchronous write protection.
pub fn begin(uffd: &OwnedFd) -> Result<()> {
    let mut api = Api { api: API, features: FEATURE_WP_ASYNC, ioctls: 0 };
    ioctl("UFFDIO_API", uffd.as_raw_fd(), iowr(0xaa, 0x3f, size_of::<Api>()), &mut api).map(drop)
}

/// From now on what is mapped in this range can be marked. Nothing is yet.
pub fn register(uffd: &OwnedFd, start: u64, end: u64) -> Result<()> {
    let mut range = Register { start, len: end - start, mode: MODE_WP, ioctls: 0 };
    ioctl("UFFDIO_REGISTER", uffd.as_raw_fd(), iowr(0xaa, 0, size_of::<Register>()), &mut range).map(drop)
}

/// What is mapped in this range can be marked no more, and no page of it is.
pub fn unregister(uffd: &OwnedFd, start: u64, end: u64) -> Result<()> {
    let mut range = Range { start, len: end - start };
    ioctl("UFFDIO_UNREGISTER", uffd.as_raw_fd(), ior(0xaa, 1, size_of::<Range>()), &mut range).map(drop)
}

/// Calls `each` for regions of pages in a range; marks them if `mark` (then only pages that are [`REGISTERED`] may be sought). `pagemap` is the
/// process's.
pub fn scan(
    pagemap: &File,
    (mut start, end): (u64, u64),
    sought: Sought,
    mark: bool,
    mut each: impl FnMut(Region) -> Result<()>,
) -> Result<()> {
    assert!(!mark || sought.all & REGISTERED != 0, "only what is registered can be marked");
    let mut regions = [Region::default(); REGIONS_MAX];
    while start < end {
        let (found, until) = scan_some(pagemap, (start, end), sought, mark, &mut regions)?;
        regions[..found].iter().try_for_each(|&region| each(region))?;
        start = until;
    }
    Ok(())
}

/// How many regions were found, and the address up to which was looked.
fn scan_some(
    pagemap: &File,
    range: (u64, u64),
    sought: Sought,
    mark: bool,
    regions: &mut [Region],
) -> Result<(usize, u64)> {
    let mut arg = ScanArg {
        size: size_of::<ScanArg>() as u64,
        flags: if mark { MARK_MATCHING } else { 0 },
        start: range.0,
        end: range.1,
        walk_end: 0,
        vec: regions.as_mut_ptr() as u64,
        vec_len: regions.len() as u64,
        max_pages: 0,
        category_inverted: sought.none,
        category_mask: sought.all | sought.none,
        category_anyof_mask: sought.any,
        return_mask: 0,
    };
    let found = ioctl("PAGEMAP_SCAN", pagemap.as_raw_fd(), iowr(b'f', 16, size_of::<ScanArg>()), &mut arg)?;
    Ok((found as usize, arg.walk_end))
}
