//! The TLB: architectural, so that what a guest sees of stale translations is the same on every replica.
//!
//! Four ways, 512 sets, 4 KiB translations; a superpage is kept in fragments of 4 KiB that remember its level. Replacement is round-robin by set. A hit
//! changes nothing; a change comes from a walk or a SFENCE.VMA alone.

use serde::{Deserialize, Serialize};

const WAYS: usize = 4;
const SETS: usize = 512;
/// Buckets that count superpage fragments, so that most SFENCE.VMA of an address need not look for them.
const BUCKETS: usize = 256;

/// Bits of a page-table entry.
pub mod pte {
    /// Valid.
    pub const V: u8 = 1 << 0;
    /// Readable.
    pub const R: u8 = 1 << 1;
    /// Writable.
    pub const W: u8 = 1 << 2;
    /// Executable.
    pub const X: u8 = 1 << 3;
    /// User mode's.
    pub const U: u8 = 1 << 4;
    /// In all address spaces.
    pub const G: u8 = 1 << 5;
    /// Accessed.
    pub const A: u8 = 1 << 6;
    /// Dirty.
    pub const D: u8 = 1 << 7;
}

/// A translation of 4 KiB.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Virtual page number, 27 bits.
    pub vpn: u32,
    /// Address space.
    pub asid: u16,
    /// 0 for a page of 4 KiB, 1 and 2 for a fragment of a superpage.
    pub level: u8,
    /// Lower eight bits of the page-table entry; zero if there is none.
    pub flags: u8,
    /// Physical page number, 44 bits.
    pub ppn: u64,
}

impl Entry {
    fn matches(&self, vpn: u32, asid: u16) -> bool {
        self.vpn == vpn && self.flags & pte::V != 0 && (self.asid == asid || self.flags & pte::G != 0)
    }

    /// The same superpage covers both addresses.
    fn covers(&self, vpn: u32) -> bool {
        self.flags & pte::V != 0 && self.vpn >> (9 * self.level) == vpn >> (9 * self.level)
    }

    /// Where fragments of its superpage are counted.
    fn bucket(&self) -> usize {
        bucket(self.vpn, self.level)
    }
}

fn bucket(vpn: u32, level: u8) -> usize {
    let page = (vpn >> (9 * level)) as usize;
    (page ^ page >> 8 ^ usize::from(level) << 7) % BUCKETS
}

/// What is saved of a TLB.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Saved {
    entries: Box<[Entry]>,
    next: Box<[u8]>,
}

/// The TLB.
#[derive(Debug)]
pub struct Tlb {
    /// Set by set.
    entries: Box<[Entry]>,
    /// The way of each set that is replaced next.
    next: Box<[u8]>,
    /// Superpage fragments, by hash of the superpage; follows from `entries`.
    fragments: [u16; BUCKETS],
}

impl Tlb {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            entries: vec![Entry::default(); WAYS * SETS].into(),
            next: vec![0; SETS].into(),
            fragments: [0; BUCKETS],
        }
    }

    /// What to save.
    pub fn save(&self) -> Saved {
        Saved { entries: self.entries.clone(), next: self.next.clone() }
    }

    /// From what was saved; none if it is no TLB.
    pub fn load(saved: Saved) -> Option<Self> {
        let sizes = saved.entries.len() == WAYS * SETS && saved.next.len() == SETS;
        let next = saved.next.iter().all(|&way| usize::from(way) < WAYS);
        let entry = |(i, e): (usize, &Entry)| {
            *e == Entry::default()
                || e.flags & pte::V != 0
                    && set(e.vpn) == i / WAYS
                    && e.vpn >> 27 == 0
                    && e.level < 3
                    && e.ppn >> 44 == 0
        };
        if !sizes || !next || !saved.entries.iter().enumerate().all(entry) {
            return None;
        }
        let mut tlb = Self { entries: saved.entries, next: saved.next, fragments: [0; BUCKETS] };
        for entry in tlb.entries.iter().filter(|entry| entry.level != 0) {
            tlb.fragments[entry.bucket()] += 1;
        }
        Some(tlb)
    }

    /// The translation of a page, whatever it permits.
    pub fn find(&self, vpn: u32, asid: u16) -> Option<&Entry> {
        let first = set(vpn) * WAYS;
        self.entries[first..first + WAYS].iter().find(|entry| entry.matches(vpn, asid))
    }

    /// Keeps what a walk has found, in the place of the page's older translation, else of none, else of the next in turn.
    /// Gives the page whose translation had to go.
    pub fn insert(&mut self, new: Entry) -> Option<u32> {
        let ways = set(new.vpn) * WAYS..(set(new.vpn) + 1) * WAYS;
        // No two entries of one page: which one is found would depend on where they are.
        let older = |e: &Entry| {
            e.matches(new.vpn, new.asid) || new.flags & pte::G != 0 && e.covers(new.vpn) && e.vpn == new.vpn
        };
        let mut place = None;
        for i in ways.clone() {
            if older(&self.entries[i]) {
                self.remove(i);
                place.get_or_insert(i);
            }
        }
        let place = place.or_else(|| ways.clone().find(|&i| self.entries[i].flags & pte::V == 0));
        let place = place.unwrap_or_else(|| {
            let next = &mut self.next[set(new.vpn)];
            let way = usize::from(*next);
            *next = (*next + 1) % WAYS as u8;
            ways.start + way
        });
        let victim = (self.entries[place].flags & pte::V != 0).then_some(self.entries[place].vpn);
        self.remove(place);
        if new.level != 0 {
            self.fragments[new.bucket()] += 1;
        }
        self.entries[place] = new;
        victim
    }

    fn remove(&mut self, i: usize) {
        let entry = std::mem::take(&mut self.entries[i]);
        if entry.level != 0 {
            self.fragments[entry.bucket()] -= 1;
        }
    }

    /// SFENCE.VMA for one page: its translations go, all fragments of its superpages too. With an address space, global ones stay.
    /// Tells the virtual pages that lost one.
    pub fn fence_page(&mut self, vpn: u32, asid: Option<u16>, mut killed: impl FnMut(u32)) {
        let superpages = (1..3).any(|level| self.fragments[bucket(vpn, level)] != 0);
        let range = if superpages { 0..WAYS * SETS } else { set(vpn) * WAYS..(set(vpn) + 1) * WAYS };
        for i in range {
            let entry = self.entries[i];
            if entry.covers(vpn) && in_space(&entry, asid) {
                killed(entry.vpn);
                self.remove(i);
            }
        }
    }

    /// SFENCE.VMA for all pages of an address space; global ones stay.
    pub fn fence_space(&mut self, asid: u16, mut killed: impl FnMut(u32)) {
        for i in 0..WAYS * SETS {
            let entry = self.entries[i];
            if entry.flags & pte::V != 0 && in_space(&entry, Some(asid)) {
                killed(entry.vpn);
                self.remove(i);
            }
        }
    }

    /// SFENCE.VMA for everything. Whose turn it is in each set stays.
    pub fn fence_all(&mut self) {
        self.entries.fill(Entry::default());
        self.fragments.fill(0);
    }
}

fn set(vpn: u32) -> usize {
    vpn as usize % SETS
}

/// A fence for this address space (for all, if none) concerns the entry.
fn in_space(entry: &Entry, asid: Option<u16>) -> bool {
    asid.is_none_or(|asid| entry.asid == asid && entry.flags & pte::G == 0)
}
