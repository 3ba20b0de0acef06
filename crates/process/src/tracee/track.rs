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
use super::stub::STACK_TOP;
use super::uffd::{self, OF_FILE, PRESENT, REGISTERED, SWAPPED, Sought, WRITTEN, ZERO_PAGE};
use super::{Result, Tracee, sys};

/// Pages that lost their mark or never had one.
const UNMARKED: Sought = Sought { all: REGISTERED | WRITTEN, none: 0, any: PRESENT | SWAPPED };
/// Of anonymous memory: the shared page of zeros is where nobody wrote.
const OF_ANONYMOUS: &[Sought] = &[Sought { none: ZERO_PAGE, ..UNMARKED }];
/// Of a private mapping: the others are still the file's.
const OF_PRIVATE_FILE: &[Sought] = &[Sought { none: OF_FILE, ..UNMARKED }];
/// Of a shared mapping: the kernel may drop a page that was written and find it again in the file, so that where there is neither page nor mark,
/// there may have been a write.
const OF_SHARED: &[Sought] = &[UNMARKED, Sought { all: REGISTERED, none: PRESENT | SWAPPED, any: 0 }];
/// Pages where no write would be noticed.
const UNTRACKED: Sought = Sought { all: 0, none: REGISTERED, any: PRESENT | SWAPPED };

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

    /// What is mapped there is about to move: it is tracked again where it comes to ([`mapped`](Self::mapped)). The kernel tracks no mapping that it
    /// moves; and where that merges with a neighbour, it would forget the neighbour too, and leave the marks on its pages.
    pub fn moves(&self, start: u64, end: u64) {
        // Not possible only where nothing is tracked.
        let _ = uffd::unregister(&self.uffd, start, end);
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
        let taken = uffd::take_fd(self.pid(), self.tid(), fd as i32);
        self.close_fd(fd as i32)?;
        let Some(uffd) = taken.ok().filter(|uffd| uffd::begin(uffd).is_ok()) else { return Ok(None) };
        let tracker = Tracker { uffd };
        for mapping in self.maps()?.iter().filter(|m| !m.is_ours()) {
            tracker.mapped(mapping.start, mapping.end);
        }
        Ok(Some(tracker))
    }

    /// Calls `visit(address, page)` for every page of the process's writable memory that may have been written since it was last visited so, in
    /// order of mappings. Without a tracker, these are all pages that there are.
    pub fn for_each_written_page(&self, tracker: Option<&Tracker>, visit: impl FnMut(u64, &[u8])) -> Result<()> {
        self.for_each_written_page_but(&[], tracker, visit)
    }

    /// The same without shared memory where nothing was ever written: ranges of whole pages, in order.
    pub fn for_each_written_page_but(
        &self,
        holes: &[(u64, u64)],
        tracker: Option<&Tracker>,
        mut visit: impl FnMut(u64, &[u8]),
    ) -> Result<()> {
        let pagemap = self.pagemap()?;
        let mut pages = Pages::new(self.tid(), &mut visit);
        pages.with_zeros = true;
        let mut untracked = Vec::new();
        if tracker.is_some() {
            uffd::scan(&pagemap, (0, STACK_TOP), UNTRACKED, false, |region| {
                untracked.push(region);
                Ok(())
            })?;
        }
        for mapping in self.maps()?.iter().filter(|m| m.write && m.read && !m.is_ours()) {
            pages.holes = if mapping.shared { holes } else { &[] };
            let in_doubt = mapping.shared || untracked.iter().any(|r| r.start < mapping.end && r.end > mapping.start);
            let may_be_marked = |t: &Tracker| !in_doubt || uffd::register(&t.uffd, mapping.start, mapping.end).is_ok();
            if !tracker.is_some_and(may_be_marked) {
                pages.add_mapping(&pagemap, mapping)?;
                continue;
            }
            for &sought in sought_in(mapping) {
                let range = (mapping.start, mapping.end);
                uffd::scan(&pagemap, range, sought, true, |region| pages.add_run(region.start, region.end))?;
            }
        }
        pages.flush()
    }

    /// All that was written until now is not to be visited: nobody needs it any more.
    pub fn mark_written_pages(&self, tracker: &Tracker) -> Result<()> {
        let pagemap = self.pagemap()?;
        for mapping in self.maps()?.iter().filter(|m| m.write && m.read && !m.is_ours() && !m.shared) {
            // What is not registered is not marked, and is visited whole.
            if uffd::register(&tracker.uffd, mapping.start, mapping.end).is_err() {
                continue;
            }
            for &sought in sought_in(mapping) {
                uffd::scan(&pagemap, (mapping.start, mapping.end), sought, true, |_| Ok(()))?;
            }
        }
        Ok(())
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
