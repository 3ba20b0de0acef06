//! Translation of addresses: Sv39 with hardware-managed A and D bits (Svadu).

use crate::hart::csr::{MXR, SUM};
use crate::hart::lookaside::Context;
use crate::hart::tlb::{Entry, pte};
use crate::hart::trap::{Cause, Trap};
use crate::hart::{Hart, Latch, Privilege, Space};
use crate::memory::{GuestAddr, Memory, PAGE_BYTES};

/// What memory is accessed for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    Fetch,
    Load,
    Store,
}

impl Access {
    /// The exception if the translation does not permit it.
    pub fn page_fault(self) -> Cause {
        match self {
            Access::Fetch => Cause::FetchPage,
            Access::Load => Cause::LoadPage,
            Access::Store => Cause::StorePage,
        }
    }

    /// The exception if there is nothing at the physical address.
    pub fn access_fault(self) -> Cause {
        match self {
            Access::Fetch => Cause::FetchAccess,
            Access::Load => Cause::LoadAccess,
            Access::Store => Cause::StoreAccess,
        }
    }
}

/// Reserved bits of a page-table entry, Svnapot's and Svpbmt's among them.
const PTE_RESERVED: u64 = !((1 << 54) - 1);
/// Levels of Sv39.
pub const LEVELS: u8 = 3;

/// Virtual page number of an address that Sv39 can translate.
pub fn vpn(address: u64) -> Option<u32> {
    let canonical = (address << 25).cast_signed() >> 25 == address.cast_signed();
    canonical.then_some((address >> 12) as u32 & ((1 << 27) - 1))
}

/// Virtual address of a page.
fn page_of(vpn: u32) -> u64 {
    ((u64::from(vpn) << 37).cast_signed() >> 25).cast_unsigned()
}

impl Hart {
    /// Physical address of what is accessed in one page at this virtual address.
    pub(super) fn translate(&mut self, memory: &mut Memory, address: u64, access: Access) -> Result<u64, Trap> {
        let Some(asid) = self.csrs.asid() else { return Ok(address) };
        let fault = access.page_fault().trap(address);
        let vpn = vpn(address).ok_or(fault)?;
        let ppn = match self.tlb.find(vpn, asid) {
            Some(entry) if self.permits(entry.flags, access) && has_dirty(entry.flags, access) => entry.ppn,
            _ => self.walk(memory, Wanted { vpn, asid, access }, address)?,
        };
        Ok((ppn * PAGE_BYTES) | (address % PAGE_BYTES))
    }

    /// A leaf's flags permit the access in the present mode.
    fn permits(&self, flags: u8, access: Access) -> bool {
        let has = |bit| flags & bit != 0;
        let sum = self.csrs.sstatus & SUM != 0;
        let mode = match self.privilege {
            Privilege::User => has(pte::U),
            Privilege::Supervisor => !has(pte::U) || sum && access != Access::Fetch,
        };
        mode && match access {
            Access::Fetch => has(pte::X),
            Access::Load => has(pte::R) || has(pte::X) && self.csrs.sstatus & MXR != 0,
            Access::Store => has(pte::W),
        }
    }

    /// Walks the page table, sets A and D, and keeps the translation. Gives the physical page's number.
    #[cold]
    #[inline(never)]
    fn walk(&mut self, memory: &mut Memory, wanted: Wanted, address: u64) -> Result<u64, Trap> {
        let Wanted { vpn, asid, access } = wanted;
        let (page_fault, access_fault) = (access.page_fault().trap(address), access.access_fault().trap(address));
        let mut table = self.csrs.root();
        let mut global = 0;
        for level in (0..LEVELS).rev() {
            let at = GuestAddr(table + u64::from(vpn >> (9 * level) & 511) * 8);
            let entry = memory.number::<8>(at).map_err(|_| access_fault)?;
            let mut flags = entry as u8;
            let has = |bit| flags & bit != 0;
            if !has(pte::V) || has(pte::W) && !has(pte::R) || entry & PTE_RESERVED != 0 {
                return Err(page_fault);
            }
            let ppn = entry >> 10;
            global |= flags & pte::G;
            if !has(pte::R) && !has(pte::X) {
                if has(pte::A) || has(pte::D) || has(pte::U) {
                    return Err(page_fault);
                }
                table = ppn * PAGE_BYTES;
                continue;
            }
            let fragment = (1 << (9 * level)) - 1;
            if ppn & fragment != 0 || !self.permits(flags, access) {
                return Err(page_fault);
            }
            flags |= pte::A;
            if access == Access::Store {
                flags |= pte::D;
            }
            if flags != entry as u8 {
                let changed = entry & !0xff | u64::from(flags);
                memory.write_by_hart(at, &changed.to_le_bytes()).map_err(|_| access_fault)?;
            }
            let ppn = ppn | u64::from(vpn) & fragment;
            self.keep(Entry { vpn, asid, level, flags: flags | global, ppn });
            return Ok(ppn);
        }
        Err(page_fault)
    }

    fn keep(&mut self, entry: Entry) {
        let victim = self.tlb.insert(entry);
        self.kill(entry.vpn);
        if let Some(victim) = victim {
            self.kill(victim);
        }
    }

    /// Forgets the copies of a page's translations.
    fn kill(&mut self, vpn: u32) {
        let page = page_of(vpn);
        self.loads.kill(page);
        self.stores.kill(page);
        self.fetches.kill(page);
    }

    /// Forgets the copies of all translations.
    pub(super) fn clear_asides(&mut self) {
        self.loads.clear();
        self.stores.clear();
        self.fetches.clear();
    }

    /// SFENCE.VMA with the operands that are not `x0`.
    pub(super) fn fence(&mut self, address: Option<u64>, asid: Option<u16>) {
        self.latch = None;
        let mut killed = Vec::new();
        match (address, asid) {
            (None, None) => {
                self.tlb.fence_all();
                self.clear_asides();
            }
            (None, Some(asid)) => self.tlb.fence_space(asid, |vpn| killed.push(vpn)),
            (Some(address), asid) => {
                if let Some(vpn) = vpn(address) {
                    self.tlb.fence_page(vpn, asid, |vpn| killed.push(vpn));
                }
            }
        }
        for vpn in killed {
            self.kill(vpn);
        }
    }

    /// Physical page of `pc`, from the latch or else from the TLB, which the latch then remembers.
    pub(super) fn fetch_page(&mut self, memory: &mut Memory) -> Result<u64, Trap> {
        let page = self.pc & !(PAGE_BYTES - 1);
        if let Some(latch) = self.latch.filter(|latch| latch.page == page) {
            return Ok(latch.physical);
        }
        let physical = self.translate(memory, self.pc, Access::Fetch)? & !(PAGE_BYTES - 1);
        if memory.page_of(physical).is_none() {
            return Err(Cause::FetchAccess.trap(self.pc));
        }
        self.latch = Some(Latch { page, physical });
        self.fetches.fill(page, self.fetch_context, physical);
        Ok(physical)
    }

    /// Keeps a copy of the translation that an access to this page of memory has just used.
    pub(super) fn remember(&mut self, memory: &Memory, address: u64, physical: u64, access: Access) {
        let (page, frame) = (address & !(PAGE_BYTES - 1), physical & !(PAGE_BYTES - 1));
        let Some(number) = memory.page_of(frame).filter(|_| self.points.spares(page)) else { return };
        let host = memory.page_host(number);
        let aside = match access {
            Access::Load => &mut self.loads,
            Access::Store if memory.is_dirty(number) && !memory.code.is_code(number) => &mut self.stores,
            Access::Store | Access::Fetch => return,
        };
        // SAFETY: `host` is a page of the memory with which the hart runs; `meet` clears the look-aside when another one comes.
        unsafe { aside.fill(page, self.context, host) };
    }

    /// What was remembered is true of this memory and the last time its dirty pages were taken.
    pub(super) fn meet(&mut self, memory: &Memory) {
        let epoch = memory.epoch();
        if self.epoch.is_none_or(|known| !known.same_memory(epoch)) {
            self.clear_asides();
        } else if self.epoch != Some(epoch) {
            self.stores.clear();
        }
        self.epoch = Some(epoch);
    }

    /// `satp` has changed.
    pub(super) fn enter_space(&mut self) {
        self.space = self.space_number();
        self.enter_context();
    }

    /// The privilege or `sstatus` have changed.
    pub(super) fn enter_context(&mut self) {
        let space = self.space;
        let user = self.privilege == Privilege::User;
        let (sum, mxr) = (self.csrs.sstatus & SUM != 0 && !user, self.csrs.sstatus & MXR != 0);
        self.context = Context::new(space, user, sum, mxr);
        self.fetch_context = Context::new(space, user, false, false);
    }

    /// Number of the present address space; another one loses its own if there are too many.
    fn space_number(&mut self) -> usize {
        let space = Some(Space { asid: self.csrs.asid() });
        if let Some(number) = self.spaces.iter().position(|&known| known == space) {
            return number;
        }
        let number = self.next_space;
        self.next_space = (number + 1) % self.spaces.len();
        if self.spaces[number].is_some() {
            self.clear_asides();
        }
        self.spaces[number] = space;
        number
    }
}

/// What a walk looks for.
struct Wanted {
    vpn: u32,
    asid: u16,
    access: Access,
}

/// A store needs an entry whose page-table entry has D set already.
fn has_dirty(flags: u8, access: Access) -> bool {
    access != Access::Store || flags & pte::D != 0
}
