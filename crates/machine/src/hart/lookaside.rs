//! Where loads and stores find host memory without asking the TLB.
//!
//! The rule it keeps: an entry here is a copy of what the TLB holds at this moment, so that finding it or not changes nothing but speed. Whoever
//! changes the TLB kills the copies. An entry for stores says three things more: the page's D bit is set, the page is known to be dirty, and no
//! instruction was decoded from it; so a store through it has nobody to tell.

use crate::memory::PAGE_BYTES;

/// Entries; a power of two.
const SLOTS: usize = 512;

/// Privilege, SUM, MXR and address space in one small number, kept in bits 3 to 11 so that it fits into a tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context(u64);

/// Address spaces that have a number at a time. One less than fit, so that no tag is all ones.
pub const SPACES: usize = 63;

impl Context {
    /// `space` is below [`SPACES`].
    pub fn new(space: usize, user: bool, sum: bool, mxr: bool) -> Self {
        assert!(space < SPACES, "address space {space}");
        Self((space as u64) << 6 | u64::from(user) << 5 | u64::from(sum) << 4 | u64::from(mxr) << 3)
    }
}

/// Host memory that may be accessed: what [`LookAside::find`] gives for `N` bytes stays valid until the next change of the look-aside.
#[derive(Clone, Copy)]
pub struct Host<const N: usize>(*mut u8);

impl<const N: usize> Host<N> {
    /// Loads.
    #[inline(always)]
    pub fn get(self) -> [u8; N] {
        // SAFETY: `find` gave the address: N aligned bytes in a page of the guest's memory. Nobody else has this memory while the hart runs.
        unsafe { self.0.cast::<[u8; N]>().read() }
    }

    /// Stores.
    #[inline(always)]
    pub fn put(self, bytes: [u8; N]) {
        // SAFETY: as in `get`.
        unsafe { self.0.cast::<[u8; N]>().write(bytes) };
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The virtual page's address and the context; all ones if the slot is empty.
    tag: u64,
    /// Host address minus virtual address.
    addend: u64,
}

const EMPTY: Slot = Slot { tag: u64::MAX, addend: 0 };

/// A direct-mapped array of copies.
#[derive(Debug)]
pub struct LookAside {
    slots: [Slot; SLOTS],
}

fn slot(address: u64) -> usize {
    (address / PAGE_BYTES) as usize % SLOTS
}

impl LookAside {
    /// An empty one.
    pub const fn new() -> Self {
        Self { slots: [EMPTY; SLOTS] }
    }

    /// Where `N` bytes at a virtual address are; none if they are not aligned or the page is not known.
    #[inline(always)]
    pub fn find<const N: usize>(&self, address: u64, context: Context) -> Option<Host<N>> {
        let Slot { tag, addend } = self.slots[slot(address)];
        // A misaligned address leaves one of the lowest three bits set, which no tag has.
        let wanted = address & (!(PAGE_BYTES - 1) | (N as u64 - 1)) | context.0;
        (wanted == tag).then_some(Host(address.wrapping_add(addend) as *mut u8))
    }

    /// Keeps a copy: the virtual page at `page` is the host memory at `host`.
    ///
    /// # Safety
    /// `host` is a page of the memory with which the hart runs, and [`LookAside::clear`] is called before it runs with another one.
    pub unsafe fn fill(&mut self, page: u64, context: Context, host: *mut u8) {
        assert!(page.is_multiple_of(PAGE_BYTES), "a page begins at {page:#x}");
        self.slots[slot(page)] = Slot { tag: page | context.0, addend: (host as u64).wrapping_sub(page) };
    }

    /// Forgets a virtual page in every context.
    pub fn kill(&mut self, page: u64) {
        let slot = &mut self.slots[slot(page)];
        if (slot.tag ^ page) < PAGE_BYTES {
            *slot = EMPTY;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.slots.fill(EMPTY);
    }
}

/// The same for instructions: which physical page a virtual page is.
#[derive(Debug)]
pub struct FetchAside {
    slots: [Slot; SLOTS],
}

impl FetchAside {
    /// An empty one.
    pub const fn new() -> Self {
        Self { slots: [EMPTY; SLOTS] }
    }

    /// The physical page of a virtual one.
    #[inline(always)]
    pub fn find(&self, page: u64, context: Context) -> Option<u64> {
        let Slot { tag, addend } = self.slots[slot(page)];
        (page | context.0 == tag).then_some(addend)
    }

    /// Keeps a copy.
    pub fn fill(&mut self, page: u64, context: Context, physical: u64) {
        self.slots[slot(page)] = Slot { tag: page | context.0, addend: physical };
    }

    /// Forgets a virtual page in every context.
    pub fn kill(&mut self, page: u64) {
        let slot = &mut self.slots[slot(page)];
        if (slot.tag ^ page) < PAGE_BYTES {
            *slot = EMPTY;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.slots.fill(EMPTY);
    }
}
