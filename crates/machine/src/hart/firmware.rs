//! What the firmware below the guest's kernel may do to the hart: the same as the guest itself could, between two instructions.

use super::Hart;
use crate::memory::PAGE_BYTES;

/// A fence over more pages than this is one over all of them.
const FENCE_PAGES_MAX: u64 = 64;

impl Hart {
    /// As a write to `stimecmp`.
    pub fn set_timer(&mut self, ticks: u64) {
        self.csrs.stimecmp = ticks;
        self.time_timer();
    }

    /// As setting SSIP in `sip`.
    pub fn set_software_interrupt(&mut self) {
        self.csrs.ssip = true;
    }

    /// As FENCE.I.
    pub fn fence_i(&mut self) {
        self.latch = None;
    }

    /// As SFENCE.VMA for every page of a range; one that starts and ends at 0, or is `u64::MAX` long, is everything.
    pub fn sfence_range(&mut self, start: u64, bytes: u64, asid: Option<u64>) {
        let asid = asid.map(|asid| asid as u16);
        if start == 0 && bytes == 0 || bytes.div_ceil(PAGE_BYTES) > FENCE_PAGES_MAX {
            return self.fence(None, asid);
        }
        let first = start & !(PAGE_BYTES - 1);
        let end = start.saturating_add(bytes);
        (first..end).step_by(PAGE_BYTES as usize).for_each(|page| self.fence(Some(page), asid));
    }
}
