//! What a debugger sees: nothing here changes anything, neither the TLB nor a page table's A and D bits.

use crate::hart::mmu::{LEVELS, vpn};
use crate::hart::tlb::pte;
use crate::hart::{Hart, Privilege};
use crate::memory::{GuestAddr, Memory, PAGE_BYTES};

impl Hart {
    /// Physical address of what the present address space has at a virtual one, whoever may access it: what the TLB says, else the page table.
    pub fn peek(&self, memory: &Memory, address: u64) -> Option<u64> {
        let Some(asid) = self.csrs.asid() else { return Some(address) };
        let vpn = vpn(address)?;
        let ppn = match self.tlb.find(vpn, asid) {
            Some(entry) => entry.ppn,
            None => self.look_up(memory, vpn)?,
        };
        Some((ppn * PAGE_BYTES) | (address % PAGE_BYTES))
    }

    fn look_up(&self, memory: &Memory, vpn: u32) -> Option<u64> {
        let mut table = self.csrs.root();
        for level in (0..LEVELS).rev() {
            let at = table.wrapping_add(u64::from(vpn >> (9 * level) & 511) * 8);
            let entry = memory.number::<8>(GuestAddr(at)).ok()?;
            let (flags, ppn) = (entry as u8, entry << 10 >> 20);
            if flags & pte::V == 0 {
                return None;
            }
            if flags & (pte::R | pte::X) != 0 {
                return Some(ppn | u64::from(vpn) & ((1 << (9 * level)) - 1));
            }
            table = ppn * PAGE_BYTES;
        }
        None
    }

    /// Control and status register by number; none if there is no such one, or it cannot be read in the present mode.
    pub fn peek_csr(&self, number: u16, external_interrupt: bool) -> Option<u64> {
        self.read_csr(number, external_interrupt).ok()
    }

    /// The present privilege mode as the architecture numbers it.
    pub fn privilege(&self) -> u8 {
        match self.privilege {
            Privilege::User => 0,
            Privilege::Supervisor => 1,
        }
    }
}
