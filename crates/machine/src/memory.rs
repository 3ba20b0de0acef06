//! The guest's memory: the one place through which every byte of it is read and written.
//!
//! The rule it keeps: whoever writes, hart, page-table walker or device, what was derived from the old bytes is gone before anybody can see the new
//! ones. So what is derived from memory lives here: which pages were written since they were last asked for, the decoded instructions, the
//! reservation of LR/SC. Nothing outside of `[base, base + len)` can be reached: every range is checked once, here.

use crate::hart::code::CodeCache;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where memory begins in the guest's physical address space.
pub const RAM_BASE: u64 = 0x8000_0000;
/// Bytes of a page.
pub const PAGE_BYTES: u64 = 4096;

/// Number of the next memory; never seen by a guest.
static IDENTITIES: AtomicU64 = AtomicU64::new(0);

/// A physical address of the guest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GuestAddr(pub u64);

/// A range that is not wholly in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{bytes} bytes at {at:#x} are not in the guest's memory")]
pub struct Outside {
    /// First address.
    pub at: u64,
    /// Length of the range.
    pub bytes: u64,
}

/// Until it changes, a page known to be dirty stays dirty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Epoch {
    memory: u64,
    taken: u64,
}

impl Epoch {
    /// Both are of the same memory.
    pub(crate) fn same_memory(self, other: Self) -> bool {
        self.memory == other.memory
    }
}

/// The memory.
#[derive(Debug)]
pub struct Memory {
    host: NonNull<u8>,
    len: u64,
    /// One bit a page: written since the last [`Memory::take_dirty`].
    dirty: Vec<u64>,
    /// Raised when dirty bits were taken: whoever writes without asking (the hart's look-aside) must ask again.
    epoch: u64,
    /// No other memory of this process has it: the hart's look-aside knows by it whose addresses it holds.
    identity: u64,
    /// What LR reserved: the physical address of the reservation set (8 aligned bytes).
    pub(crate) reservation: Option<GuestAddr>,
    /// Decoded instructions of pages that were executed.
    pub(crate) code: CodeCache,
}

// SAFETY: the mapping belongs to this value alone; nothing in it is tied to a thread.
unsafe impl Send for Memory {}

impl Memory {
    /// `len` zero bytes (a multiple of a page).
    pub fn new(len: u64) -> std::io::Result<Self> {
        assert!(len > 0 && len.is_multiple_of(PAGE_BYTES), "memory is whole pages");
        let (prot, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
        // SAFETY: a fresh anonymous mapping, wherever the kernel likes.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len as usize, prot, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        let pages = len / PAGE_BYTES;
        Ok(Self {
            host: NonNull::new(at.cast()).expect("a mapping is not at null"),
            len,
            dirty: vec![0; pages.div_ceil(64) as usize],
            epoch: 0,
            identity: IDENTITIES.fetch_add(1, Ordering::Relaxed),
            reservation: None,
            code: CodeCache::new(pages),
        })
    }

    /// Bytes of memory.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Never: a computer has memory.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Number of pages.
    pub fn pages(&self) -> u64 {
        self.len / PAGE_BYTES
    }

    /// Offset of a range that is wholly in memory.
    fn offset(&self, at: GuestAddr, bytes: u64) -> Result<usize, Outside> {
        let outside = Outside { at: at.0, bytes };
        let offset = at.0.checked_sub(RAM_BASE).ok_or(outside)?;
        let end = offset.checked_add(bytes).ok_or(outside)?;
        if end <= self.len { Ok(offset as usize) } else { Err(outside) }
    }

    /// Copies out of memory.
    pub fn read(&self, at: GuestAddr, into: &mut [u8]) -> Result<(), Outside> {
        let offset = self.offset(at, into.len() as u64)?;
        // SAFETY: the range was checked; nobody else has this memory.
        unsafe { std::ptr::copy_nonoverlapping(self.host.as_ptr().add(offset), into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    /// Copies into memory. A write by anybody but the hart also takes the reservation away.
    pub fn write(&mut self, at: GuestAddr, from: &[u8]) -> Result<(), Outside> {
        self.write_by_hart(at, from)?;
        self.reservation = None;
        Ok(())
    }

    /// Copies into memory on behalf of the hart: its own store, or its page-table walker. The reservation stays.
    pub(crate) fn write_by_hart(&mut self, at: GuestAddr, from: &[u8]) -> Result<(), Outside> {
        let offset = self.offset(at, from.len() as u64)?;
        self.written(offset as u64, from.len() as u64);
        // SAFETY: as in `read`.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), self.host.as_ptr().add(offset), from.len()) };
        Ok(())
    }

    /// All zeros again, as when it was new.
    pub fn clear(&mut self) {
        const ZEROS: [u8; PAGE_BYTES as usize] = [0; PAGE_BYTES as usize];
        for page in 0..self.pages() {
            if *self.page(page) != ZEROS {
                self.write(GuestAddr(RAM_BASE + page * PAGE_BYTES), &ZEROS).expect("the page is in memory");
            }
        }
    }

    /// Reads a little-endian number of `N` bytes.
    pub fn number<const N: usize>(&self, at: GuestAddr) -> Result<u64, Outside> {
        let mut bytes = [0; 8];
        self.read(at, &mut bytes[..N])?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Marks pages as written and forgets what was decoded from these bytes. `offset` counts from the beginning of memory; the range is in memory.
    pub(crate) fn written(&mut self, offset: u64, bytes: u64) {
        if bytes == 0 {
            return;
        }
        for page in offset / PAGE_BYTES..=(offset + bytes - 1) / PAGE_BYTES {
            self.dirty[(page / 64) as usize] |= 1 << (page % 64);
        }
        self.code.written(offset, bytes);
    }

    /// The page with this number (counted from the beginning of memory).
    pub fn page(&self, page: u64) -> &[u8; PAGE_BYTES as usize] {
        assert!(page < self.pages(), "page {page} of {}", self.pages());
        // SAFETY: the page is in memory, and `&self` keeps writers away.
        unsafe { &*self.host.as_ptr().add((page * PAGE_BYTES) as usize).cast() }
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping has this length, and `&self` keeps writers away.
        unsafe { std::slice::from_raw_parts(self.host.as_ptr(), self.len as usize) }
    }

    /// Pages written since the last call, in order.
    pub fn take_dirty(&mut self) -> Vec<u64> {
        self.epoch += 1;
        let mut pages = Vec::new();
        for (i, word) in self.dirty.iter_mut().enumerate() {
            let mut bits = std::mem::take(word);
            while bits != 0 {
                pages.push(i as u64 * 64 + u64::from(bits.trailing_zeros()));
                bits &= bits - 1;
            }
        }
        pages
    }

    /// Changes whenever the hart must ask again before it writes to a page. Two memories never have the same.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch { memory: self.identity, taken: self.epoch }
    }

    /// The page was written since the last [`Memory::take_dirty`].
    pub(crate) fn is_dirty(&self, page: u64) -> bool {
        self.dirty[(page / 64) as usize] >> (page % 64) & 1 == 1
    }

    /// Number of the page in which a physical address is, if it is in memory.
    #[inline(always)]
    pub(crate) fn page_of(&self, at: u64) -> Option<u64> {
        let offset = at.wrapping_sub(RAM_BASE);
        (offset < self.len).then_some(offset / PAGE_BYTES)
    }

    /// What LR reserved: the physical address of 8 aligned bytes. It belongs to the machine's state.
    pub fn reservation(&self) -> Option<GuestAddr> {
        self.reservation
    }

    /// Sets the reservation, when a machine's state is loaded: after its pages were written, for every write takes the reservation away.
    pub fn set_reservation(&mut self, reservation: Option<GuestAddr>) {
        self.reservation = reservation;
    }

    /// The host's address of a page, for the hart's look-aside alone.
    pub(crate) fn page_host(&self, page: u64) -> *mut u8 {
        assert!(page < self.pages(), "page {page} of {}", self.pages());
        self.host.as_ptr().wrapping_add((page * PAGE_BYTES) as usize)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made; nobody has a pointer into it any more.
        unsafe { libc::munmap(self.host.as_ptr().cast(), self.len as usize) };
    }
}
