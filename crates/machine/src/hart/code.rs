//! Decoded instructions, by physical page.
//!
//! The rule it keeps: an instruction found here is what memory holds now. Memory tells of every write, and what was decoded from those bytes is
//! forgotten before anybody can execute it. A pure cache: it may be emptied at any time, and nothing in the machine's state depends on it.

use crate::hart::op::{Insn, Op};
use crate::memory::PAGE_BYTES;
use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::ptr::NonNull;

/// Halfwords of a page.
pub const HALFWORDS: usize = PAGE_BYTES as usize / 2;
/// A slot for every halfword, and two that say that the page has ended: an instruction that straddles ends one halfword behind it.
pub const SLOTS: usize = HALFWORDS + 2;
/// Pages that are kept decoded (134 MB); one more and all are forgotten.
const PAGES_MAX: usize = 8192;
/// A page that is written so often without anything new being decoded is data by now.
const WRITES_MAX: u32 = 32;

/// The instructions of one page. Slot `i` is the instruction that begins at byte `2 * i`, if anybody executed it.
#[derive(Debug)]
#[repr(C)]
pub struct CodePage {
    slots: [Insn; SLOTS],
    /// Writes since an instruction was last decoded.
    writes: u32,
}

impl CodePage {
    /// A page of which nothing is decoded, on the heap; [`CodePage::free`] takes it back.
    fn allocate() -> NonNull<Self> {
        let layout = Layout::new::<Self>();
        // SAFETY: the layout is not empty.
        let page = unsafe { alloc_zeroed(layout) }.cast::<Self>();
        let Some(mut page) = NonNull::new(page) else { handle_alloc_error(layout) };
        // SAFETY: zeroes are a valid page (`Op::Undecoded` is zero), and nobody else knows of it yet.
        unsafe { page.as_mut() }.slots[HALFWORDS..].fill(Insn::new(Op::PageEnd, 0, 0, 0, 0));
        page
    }

    /// # Safety
    /// `page` is from [`CodePage::allocate`] and not used any more.
    unsafe fn free(page: NonNull<Self>) {
        // SAFETY: `allocate` took it from the same allocator with the same layout as a Box would.
        drop(unsafe { Box::from_raw(page.as_ptr()) });
    }
}

/// A page whose every slot leaves it, but the last one: there the hart executes an instruction that straddles.
#[derive(Debug)]
pub struct StraddlePage(NonNull<CodePage>);

impl StraddlePage {
    /// One without an instruction.
    pub fn new() -> Self {
        let mut page = CodePage::allocate();
        // SAFETY: it was just allocated.
        unsafe { page.as_mut() }.slots.fill(Insn::new(Op::PageEnd, 0, 0, 0, 0));
        Self(page)
    }

    /// The page with this instruction.
    pub fn with(&mut self, insn: Insn) -> NonNull<CodePage> {
        // SAFETY: it is alive as long as `self` is, and `&mut self` is the only way to change it.
        unsafe { self.0.as_mut() }.slots[HALFWORDS - 1] = insn;
        self.0
    }
}

impl Drop for StraddlePage {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it; who executes in it has borrowed the hart.
        unsafe { CodePage::free(self.0) };
    }
}

/// Decoded instructions of every page that was executed.
#[derive(Debug)]
pub struct CodeCache {
    pages: Vec<Option<NonNull<CodePage>>>,
    count: usize,
}

impl CodeCache {
    /// For a memory of so many pages.
    pub fn new(pages: u64) -> Self {
        Self { pages: vec![None; pages as usize], count: 0 }
    }

    /// The decoded instructions of a page, if it has any.
    #[inline(always)]
    pub fn find(&self, page: u64) -> Option<NonNull<CodePage>> {
        self.pages.get(page as usize).copied().flatten()
    }

    /// The page's bytes are the origin of decoded instructions: whoever writes them must say so.
    pub fn is_code(&self, page: u64) -> bool {
        self.find(page).is_some()
    }

    /// Makes a page code. Pointers to other pages may be gone after this.
    pub fn create(&mut self, page: u64) -> NonNull<CodePage> {
        if self.count == PAGES_MAX {
            self.clear();
        }
        assert!(self.pages[page as usize].is_none(), "page {page} is code already");
        let code = CodePage::allocate();
        self.pages[page as usize] = Some(code);
        self.count += 1;
        code
    }

    /// Keeps a decoded instruction.
    pub fn fill(&mut self, page: u64, slot: usize, insn: Insn) {
        assert!(slot < HALFWORDS, "slot {slot} of a page");
        let mut code = self.find(page).expect("the page is code");
        // SAFETY: pages in the table are alive, and `&mut self` is the only way to change one.
        let code = unsafe { code.as_mut() };
        code.slots[slot] = insn;
        code.writes = 0;
    }

    /// Forgets an instruction, if it is known.
    pub fn forget(&mut self, page: u64, slot: usize) {
        if self.is_code(page) {
            self.fill(page, slot, Insn::UNDECODED);
        }
    }

    /// Bytes at this offset of memory are about to change: what was decoded from them is forgotten.
    pub fn written(&mut self, offset: u64, bytes: u64) {
        if self.count == 0 || bytes == 0 {
            return;
        }
        for page in offset / PAGE_BYTES..=(offset + bytes - 1) / PAGE_BYTES {
            if self.is_code(page) {
                let start = offset.max(page * PAGE_BYTES) % PAGE_BYTES;
                let end = (offset + bytes - page * PAGE_BYTES).min(PAGE_BYTES);
                self.written_page(page, start as usize, end as usize);
            }
        }
    }

    /// Bytes `start..end` of a page that is code.
    fn written_page(&mut self, page: u64, start: usize, end: usize) {
        let Some(mut code) = self.find(page) else { return };
        // SAFETY: as in `fill`.
        let code = unsafe { code.as_mut() };
        code.writes += 1;
        if code.writes > WRITES_MAX || end - start == PAGE_BYTES as usize {
            return self.remove(page);
        }
        // The instruction that begins a halfword earlier may be four bytes long.
        code.slots[(start / 2).saturating_sub(1)..=(end - 1) / 2].fill(Insn::UNDECODED);
    }

    fn remove(&mut self, page: u64) {
        if let Some(code) = self.pages[page as usize].take() {
            self.count -= 1;
            // SAFETY: it was in the table, and now nobody has it: the hart enters its page anew after everything that may write.
            unsafe { CodePage::free(code) };
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        for page in 0..self.pages.len() as u64 {
            self.remove(page);
        }
    }
}

impl Drop for CodeCache {
    fn drop(&mut self) {
        self.clear();
    }
}
