//! What a process has mapped, and which of its writable pages it has used.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::stub::{PAGE, SCRATCH_END, SCRATCH_START};
use super::{Result, Tracee, sys};

/// One line of `/proc/PID/maps`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
    /// May be executed.
    pub exec: bool,
    /// Shared with other processes or the file.
    pub shared: bool,
    /// Offset in the file.
    pub offset: u64,
    /// Inode of the file; 0 if there is none.
    pub inode: u64,
    /// Path of the file, or the kernel's name for it.
    pub name: String,
}

impl Mapping {
    fn parse(line: &str) -> Option<Mapping> {
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let flags = fields.next()?.as_bytes();
        let offset = fields.next()?;
        let _device = fields.next()?;
        let inode = fields.next()?;
        let name = fields.next().unwrap_or("").trim_start();
        if flags.len() != 4 {
            return None;
        }
        Some(Mapping {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            read: flags[0] == b'r',
            write: flags[1] == b'w',
            exec: flags[2] == b'x',
            shared: flags[3] == b's',
            offset: u64::from_str_radix(offset, 16).ok()?,
            inode: inode.parse().ok()?,
            name: name.to_owned(),
        })
    }

    pub(super) fn is_ours(&self) -> bool {
        self.start >= SCRATCH_START && self.end <= SCRATCH_END
    }
}

/// Reads the mappings of a process, in order of address. `pid` may be any live thread of it (a leader that has ended shows none).
pub fn read(pid: i32) -> Result<Vec<Mapping>> {
    let path = format!("/proc/{pid}/maps");
    let text = std::fs::read(path).map_err(|e| sys::os_error("read /proc/PID/maps", e))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

fn parse(text: &str) -> Vec<Mapping> {
    text.lines().filter_map(Mapping::parse).collect()
}

/// Bits of `/proc/PID/pagemap`.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_FILE: u64 = 1 << 61;
/// By [`track`](super::track).
const MARKED: u64 = 1 << 57;

/// Pages looked up in one go.
const PAGEMAP_BATCH: usize = 8 << 10;
/// Bytes copied in one go.
const COPY_BATCH: usize = 1 << 20;

impl Tracee {
    /// The process's mappings.
    pub fn maps(&self) -> Result<Vec<Mapping>> {
        read(self.tid())
    }

    /// Calls `visit(address, page)` for every page of the process's writable memory that does not
    /// consist of zeros, in order of address. Left out are our scratch pages and pages of private
    /// file mappings that were never written to. (Whether a zero page is present depends on what
    /// the kernel did around it, so it must not count.) Where a private file shows through unless
    /// written to, written zeros are visited like anything else.
    pub fn for_each_writable_page(&self, visit: impl FnMut(u64, &[u8])) -> Result<()> {
        self.for_each_writable_page_but(&[], visit)
    }

    /// The same without looking at shared memory that is known to be zeros: ranges of whole pages, in order.
    pub fn for_each_writable_page_but(&self, holes: &[(u64, u64)], mut visit: impl FnMut(u64, &[u8])) -> Result<()> {
        let pagemap = self.pagemap()?;
        let mut pages = Pages::new(self.tid(), &mut visit);
        for mapping in self.maps()? {
            if mapping.write && mapping.read && !mapping.is_ours() {
                let with_zeros = !mapping.shared && mapping.inode != 0;
                if with_zeros != pages.with_zeros {
                    pages.flush()?;
                    pages.with_zeros = with_zeros;
                }
                pages.holes = if mapping.shared { holes } else { &[] };
                pages.add_mapping(&pagemap, &mapping)?;
            }
        }
        pages.flush()
    }
}

/// Collects runs of pages and copies many at a time.
pub(super) struct Pages<'a, F> {
    tid: i32,
    visit: &'a mut F,
    runs: Vec<(u64, usize)>,
    /// Pages of zeros are visited too.
    pub with_zeros: bool,
    /// Ranges that are left out, in order.
    pub holes: &'a [(u64, u64)],
    pending: usize,
    buffer: Vec<u8>,
    entries: Vec<u8>,
}

impl<'a, F: FnMut(u64, &[u8])> Pages<'a, F> {
    pub fn new(tid: i32, visit: &'a mut F) -> Self {
        let buffer = vec![0; COPY_BATCH];
        let entries = vec![0; PAGEMAP_BATCH * 8];
        Pages { tid, visit, runs: Vec::new(), with_zeros: false, holes: &[], pending: 0, buffer, entries }
    }

    /// What the page map says of a page after it was read: a mark alone looks like a page that is swapped out.
    fn looked_at(&self, pagemap: &File, page: u64) -> Result<u64> {
        // A page behind the end of its file stays a mark, and reading it later fails as well.
        let _ = sys::vm_read(self.tid, page, &mut [0]);
        let mut entry = [0; 8];
        pagemap.read_exact_at(&mut entry, page / PAGE * 8).map_err(|e| sys::os_error("read /proc/PID/pagemap", e))?;
        Ok(u64::from_le_bytes(entry))
    }

    /// Adds the pages that there are of a shared mapping, or those of a private one that the process has written to.
    pub fn add_mapping(&mut self, pagemap: &File, mapping: &Mapping) -> Result<()> {
        if mapping.shared { self.add_run(mapping.start, mapping.end) } else { self.add_used(pagemap, mapping) }
    }

    fn add_used(&mut self, pagemap: &File, mapping: &Mapping) -> Result<()> {
        let mut at = mapping.start;
        while at < mapping.end {
            let count = (((mapping.end - at) / PAGE) as usize).min(PAGEMAP_BATCH);
            let mut entries = std::mem::take(&mut self.entries);
            pagemap
                .read_exact_at(&mut entries[..count * 8], at / PAGE * 8)
                .map_err(|e| sys::os_error("read /proc/PID/pagemap", e))?;
            for (index, entry) in entries[..count * 8].chunks_exact(8).enumerate() {
                let mut entry = u64::from_le_bytes(entry.try_into().unwrap_or_default());
                let page = at + index as u64 * PAGE;
                if mapping.inode != 0 && entry & (PRESENT | SWAPPED | MARKED) == SWAPPED | MARKED {
                    entry = self.looked_at(pagemap, page)?;
                }
                let used = entry & (PRESENT | SWAPPED) != 0;
                if used && (mapping.inode == 0 || entry & OF_FILE == 0) {
                    self.add_run(page, page + PAGE)?;
                }
            }
            self.entries = entries;
            at += count as u64 * PAGE;
        }
        Ok(())
    }

    pub fn add_run(&mut self, mut start: u64, end: u64) -> Result<()> {
        let first = self.holes.partition_point(|&(_, hole_end)| hole_end <= start);
        for &(hole, hole_end) in self.holes[first..].iter().take_while(|&&(hole, _)| hole < end) {
            self.add_whole(start, hole)?;
            start = hole_end;
        }
        self.add_whole(start, end)
    }

    fn add_whole(&mut self, mut start: u64, end: u64) -> Result<()> {
        while start < end {
            let room = COPY_BATCH - self.pending;
            let len = ((end - start) as usize).min(room);
            match self.runs.last_mut() {
                Some((at, have)) if *at + *have as u64 == start => *have += len,
                _ => self.runs.push((start, len)),
            }
            self.pending += len;
            start += len as u64;
            if self.pending == COPY_BATCH || self.runs.len() == sys::IOV_MAX {
                self.flush()?;
            }
        }
        Ok(())
    }

    pub fn flush(&mut self) -> Result<()> {
        let mut runs = std::mem::take(&mut self.runs);
        let mut done = 0;
        while done < self.pending {
            let got = sys::vm_read_ranges(self.tid, &runs, &mut self.buffer[..self.pending - done]);
            match got {
                Ok(0) | Err(libc::EFAULT) => {
                    // A shared mapping beyond the end of its file: skip one page.
                    done += drop_front(&mut runs, PAGE as usize, |_, _| {});
                }
                Ok(len) => {
                    let (buffer, visit, with_zeros) = (&self.buffer, &mut *self.visit, self.with_zeros);
                    let mut from = 0;
                    done += drop_front(&mut runs, len, |addr, len| {
                        visit_pages(addr, &buffer[from..from + len], with_zeros, visit);
                        from += len;
                    });
                }
                Err(errno) => {
                    return Err(super::Error::Os { call: "process_vm_readv", errno });
                }
            }
        }
        self.pending = 0;
        Ok(())
    }
}

/// Removes `len` bytes from the front of the runs, telling of each piece; how many there were.
fn drop_front(runs: &mut Vec<(u64, usize)>, mut len: usize, mut each: impl FnMut(u64, usize)) -> usize {
    let mut dropped = 0;
    let mut whole = 0;
    for (addr, have) in runs.iter_mut() {
        if len == 0 {
            break;
        }
        let part = len.min(*have);
        each(*addr, part);
        *addr += part as u64;
        *have -= part;
        len -= part;
        dropped += part;
        whole += usize::from(*have == 0);
    }
    runs.drain(..whole);
    dropped
}

fn visit_pages(addr: u64, bytes: &[u8], with_zeros: bool, visit: &mut impl FnMut(u64, &[u8])) {
    for (index, page) in bytes.chunks(PAGE as usize).enumerate() {
        if with_zeros || !is_zero(page) {
            visit(addr + (index as u64) * PAGE, page);
        }
    }
}

/// Is it all zeros?
pub fn is_zero(page: &[u8]) -> bool {
    let (words, rest) = page.as_chunks::<64>();
    words.iter().all(|word| *word == [0; 64]) && rest.iter().all(|byte| *byte == 0)
}
