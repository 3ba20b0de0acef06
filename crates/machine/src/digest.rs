//! Digests of the computer: everything that shapes its future, in parts that have names.
//!
//! Memory is hashed page by page, and only pages written since the last time are hashed anew, so that a digest costs what the guest has written and not
//! what it owns. Both sides take digests at the same positions, but nothing depends on that: a part is a function of the memory's contents alone.

use crate::computer::Computer;
use crate::hart::Bus;
use crate::memory::{Memory, PAGE_BYTES};
use gapless_log::{Parts, Result, hash};

/// Memory is one part for so many bytes, so that a divergence says where it is.
const REGION_BYTES: u64 = 16 << 20;
const REGION_PAGES: u64 = REGION_BYTES / PAGE_BYTES;

/// Hash of every page, and their sums by region. A page of zeros counts nothing, so an untouched machine costs nothing.
#[derive(Debug)]
pub(crate) struct PageHashes {
    pages: Vec<u64>,
    regions: Vec<u64>,
}

impl PageHashes {
    /// Of a memory of zeros.
    pub fn new(pages: u64) -> Self {
        Self { pages: vec![0; pages as usize], regions: vec![0; pages.div_ceil(REGION_PAGES) as usize] }
    }

    fn update(&mut self, memory: &mut Memory) {
        for page in memory.take_dirty() {
            let bytes = memory.page(page);
            let new = if crate::pack::is_zero(bytes) { 0 } else { mix(hash(bytes), page) };
            let old = std::mem::replace(&mut self.pages[page as usize], new);
            let region = &mut self.regions[(page / REGION_PAGES) as usize];
            *region = region.wrapping_sub(old).wrapping_add(new);
        }
    }
}

/// A page's hash with its number in it, so that two pages that change places are noticed; never that of a page of zeros.
fn mix(hash: u128, page: u64) -> u64 {
    let folded = (hash as u64) ^ (hash >> 64) as u64;
    (folded ^ page.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xd6e8_feb8_6659_fd93) | 1
}

impl Computer {
    /// The digest, in parts.
    pub(crate) fn digest_parts(&mut self) -> Result<Parts> {
        let mut parts = vec![
            ("the hart".to_owned(), hash(&self.hart.save())),
            ("the devices".to_owned(), hash(&self.board_state()?)),
            ("clock and power".to_owned(), hash(&self.encode_rest())),
        ];
        self.pages.update(self.board.memory());
        for (region, &sum) in self.pages.regions.iter().enumerate() {
            let at = crate::memory::RAM_BASE + region as u64 * REGION_BYTES;
            parts.push((format!("memory at {at:#x}"), u128::from(sum)));
        }
        Ok(parts)
    }
}
