//! Which pages of an address space were written since it was last asked.
//!
//! The kernel marks pages and takes the mark off whoever writes to one: the program, the supervisor, the kernel itself. So a page that lost its mark,
//! or never had one (it was mapped, moved or first touched since), is one that may have been written; the rule is that no other may. Where the
//! kernel cannot mark (before Linux 6.7, or where userfaultfd is refused), every page counts as written.
//!
//! A forked process has a tracker of its own, or none.

use std::fs::File;
use std::os::fd::OwnedFd;

use super::maps::{Mapping, Pages};
use super::uffd::{self, OF_FILE, PRESENT, Region, SWAPPED, Sought, WRITTEN, ZERO_PAGE};
use super::{Result, Tracee, sys};

/// Pages of anonymous memory that were written. The shared page of zeros is where nobody has.
const OF_ANONYMOUS: &[Sought] = &[Sought { all: WRITTEN, none: ZERO_PAGE, any: PRESENT | SWAPPED }];
/// Pages of a private mapping that are no longer the file's.
const OF_PRIVATE_FILE: &[Sought] = &[Sought { all: WRITTEN, none: OF_FILE, any: PRESENT | SWAPPED }];
/// Pages of a shared mapping: the kernel may drop one that was written and find it again in the file, so that where there is neither page nor mark,
/// there may have been a write.
const OF_SHARED: &[Sought] =
    &[Sought { all: WRITTEN, none: 0, any: PRESENT | SWAPPED }, Sought { all: 0, none: PRESENT | SWAPPED, any: 0 }];

/// Regions asked for in one go.
const REGIONS_MAX: usize = 1024;

/// Holding one, the process's pages can be marked; dropped, all marks are gone.
#[derive(Debug)]
pub struct Tracker {
    uffd: OwnedFd,
}

impl Tracker {
    /// Something has been mapped there. Tracked at once, it merges with its neighbours as it would if nothing were tracked.
    pub fn mapped(&self, start: u64, end: u64) {
        // If it cannot be, the next look finds that out again.
        let _ = uffd::register(&self.uffd, start, end);
    }

    /// The mapping there is about to move: its marks must not (Linux before 6.13 leaves them on its pages, where they would mean nothing).
    pub fn moves(&self, start: u64, end: u64) {
        // Not possible only where nothing is marked.
        let _ = uffd::unmark(&self.uffd, start, end);
    }
}

impl Tracee {
    /// Begins to track the process's address space; `None` if the kernel does not let us. Nothing is marked yet.
    pub fn track(&mut self) -> Result<Option<Tracker>> {
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK | uffd::USER_MODE_ONLY;
        let fd = self.native(libc::SYS_userfaultfd, [flags as u64, 0, 0, 0, 0, 0])?;
        if fd < 0 {
            return Ok(None);
        }
        let taken = uffd::take_fd(self.pid(), fd as i32);
        self.close_fd(fd as i32)?;
        Ok(taken.ok().filter(|uffd| uffd::begin(uffd).is_ok()).map(|uffd| Tracker { uffd }))
    }

    /// Calls `visit(address, page)` for every page of the process's writable memory that may have been written since it was last visited so, in
    /// order of mappings. Without a tracker, these are all pages that there are.
    pub fn for_each_written_page(&self, tracker: Option<&Tracker>, mut visit: impl FnMut(u64, &[u8])) -> Result<()> {
        let pagemap = self.pagemap()?;
        let mut pages = Pages::new(self.tid(), &mut visit);
        pages.with_zeros = true;
        let mut regions = [Region::default(); REGIONS_MAX];
        for mapping in self.maps()?.into_iter().filter(|m| !m.is_ours()) {
            let is_tracked = tracker.is_some_and(|t| uffd::register(&t.uffd, mapping.start, mapping.end).is_ok());
            if !(mapping.write && mapping.read) {
                continue;
            }
            if !is_tracked {
                pages.add_mapping(&pagemap, &mapping)?;
                continue;
            }
            for &sought in sought_in(&mapping) {
                let mut at = mapping.start;
                while at < mapping.end {
                    let (found, end) = uffd::scan_and_mark(&pagemap, (at, mapping.end), sought, &mut regions)?;
                    for region in &regions[..found] {
                        pages.add_run(region.start, region.end)?;
                    }
                    at = end;
                }
            }
        }
        pages.flush()
    }

    /// The process's page map.
    pub(super) fn pagemap(&self) -> Result<File> {
        let path = format!("/proc/{}/pagemap", self.tid());
        File::open(path).map_err(|e| sys::os_error("open /proc/PID/pagemap", e))
    }
}

fn sought_in(mapping: &Mapping) -> &'static [Sought] {
    if mapping.shared {
        OF_SHARED
    } else if mapping.inode == 0 {
        OF_ANONYMOUS
    } else {
        OF_PRIVATE_FILE
    }
}
