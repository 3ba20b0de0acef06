//! Call sites: `syscall` instructions of the program that are replaced by a jump to a stub of their own, which asks the blob first.
//!
//! A site is patched when a call has stopped there, while no thread of the group runs. Two shapes are known; any other site stays as it is.
//! ```text
//! mov $nr,%eax; syscall             becomes  jmp *[slot]        7 bytes for 7
//! syscall; cmp $imm32,%rax          becomes  jmp *[slot]; nop   8 bytes for 8
//! ```
//! The jump is `ff 24 25` and the slot's 32-bit address. All slots lie at 0x050f0000 and above, so the jump's last two bytes are `0f 05`: in the first
//! shape the `syscall` itself is still there. Whoever jumps to it, or stood before it when the site was patched, makes the call as ever, and a signal
//! frame may name it. In the second shape nobody may stand or jump between the two instructions, which is checked.
//!
//! Seen from outside a thread never stands in a stub: its registers are those that it would have without ([`CallSite::seen`],
//! [`CallSite::resumed`]).

use std::collections::BTreeMap;

use super::Regs;
use super::blob;
use super::sites;
use super::stub::{BLOB_START, SITES_MAX, SLOTS_START, STUB_LEN, STUBS_START};

const SYSCALL: [u8; 2] = [0x0f, 0x05];
const MOV_EAX: u8 = 0xb8;
const CMP_RAX_IMM32: [u8; 2] = [0x48, 0x3d];
const JMP_INDIRECT: [u8; 3] = [0xff, 0x24, 0x25];
const NOP: u8 = 0x90;
/// Offset in a stub behind its `syscall`, by shape.
const COMPARED_AFTER: u64 = 32;
const NUMBERED_AFTER: u64 = COMPARED_AFTER + 5;

/// What is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `mov $nr,%eax; syscall`
    Numbered(u32),
    /// `syscall; cmp $imm32,%rax`
    Compared(i32),
}

/// A patched call site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallSite {
    shape: Shape,
    /// Address after the `syscall` instruction.
    after: u64,
    /// Number of its slot and stub.
    index: usize,
}

impl Shape {
    /// What the site is whose `syscall` ends at the offset `behind`. `code` is all the text around it: what jumps to the site may be far away, where
    /// compilers put what is seldom executed. `jumped_to` says whether anything looks like a direct jump to `behind`.
    pub fn recognise(code: &[u8], behind: usize, jumped_to: impl FnOnce() -> bool) -> Option<Shape> {
        if code.get(behind.checked_sub(2)?..behind)? != SYSCALL {
            return None;
        }
        let before = behind.checked_sub(7).map(|at| &code[at..behind - 2]);
        // With a byte before it the same is another instruction: `41 b8` loads r8.
        if let Some(&[MOV_EAX, a, b, c, d]) = before
            && sites::is_instruction(code, behind - 7, 5)
        {
            return Some(Shape::Numbered(u32::from_le_bytes([a, b, c, d])));
        }
        let imm = code.get(behind..behind + 6)?.strip_prefix(&CMP_RAX_IMM32)?;
        let imm = i32::from_le_bytes([imm[0], imm[1], imm[2], imm[3]]);
        (!jumped_to()).then_some(Shape::Compared(imm))
    }

    /// The number that the site always calls, if it is written there.
    pub fn number(self) -> Option<u32> {
        match self {
            Shape::Numbered(nr) => Some(nr),
            Shape::Compared(_) => None,
        }
    }
}

impl CallSite {
    /// May nobody stand behind the `syscall` when the site is patched?
    pub fn is_exclusive(&self) -> bool {
        matches!(self.shape, Shape::Compared(_))
    }

    /// Address after the `syscall` instruction.
    pub fn after(&self) -> u64 {
        self.after
    }

    fn stub(&self) -> u64 {
        STUBS_START + (self.index * STUB_LEN) as u64
    }

    /// Where the blob returns to when it has answered the call.
    pub fn answered(&self) -> u64 {
        self.stub_after() - SYSCALL.len() as u64 - u64::from(blob::SLOW)
    }

    /// `rip` when the stub's own call stops.
    fn stub_after(&self) -> u64 {
        self.stub() + if let Shape::Numbered(_) = self.shape { NUMBERED_AFTER } else { COMPARED_AFTER }
    }

    /// What is written where, in this order: the stub, its slot, the site.
    pub fn writes(&self) -> [(u64, Vec<u8>); 3] {
        let slot = SLOTS_START + self.index as u64 * 8;
        let mut jump = [&JMP_INDIRECT[..], &(slot as u32).to_le_bytes()].concat();
        let at = match self.shape {
            Shape::Numbered(_) => self.after - 7,
            Shape::Compared(_) => {
                jump.push(NOP);
                self.after - 2
            }
        };
        [(self.stub(), self.assemble()), (slot, self.stub().to_le_bytes().to_vec()), (at, jump)]
    }

    /// What stood there before, and where.
    pub fn original(&self) -> (u64, Vec<u8>) {
        match self.shape {
            Shape::Numbered(nr) => (self.after - 7, [&[MOV_EAX][..], &nr.to_le_bytes(), &SYSCALL].concat()),
            Shape::Compared(imm) => (self.after - 2, [&SYSCALL[..], &CMP_RAX_IMM32, &imm.to_le_bytes()].concat()),
        }
    }

    /// The stub's code.
    fn assemble(&self) -> Vec<u8> {
        let mut code = Vec::with_capacity(STUB_LEN);
        if let Shape::Numbered(nr) = self.shape {
            code.push(MOV_EAX);
            code.extend_from_slice(&nr.to_le_bytes());
        }
        // mov %rsp,[saved]; mov $top,%esp; call blob
        code.extend_from_slice(&[0x48, 0x89, 0x24, 0x25]);
        code.extend_from_slice(&blob::SAVED_RSP.to_le_bytes());
        code.push(0xbc);
        code.extend_from_slice(&blob::STACK_TOP.to_le_bytes());
        code.push(0xe8);
        let next = self.stub() + code.len() as u64 + 4;
        code.extend_from_slice(&(BLOB_START.wrapping_sub(next) as i32).to_le_bytes());
        // Answered: rcx as the instruction leaves it, and on.
        let answered = code.len();
        code.extend_from_slice(&[0x48, 0xb9]);
        code.extend_from_slice(&self.after.to_le_bytes());
        match self.shape {
            // jmp *%rcx
            Shape::Numbered(_) => code.extend_from_slice(&[0xff, 0xe1]),
            // jmp over the syscall
            Shape::Compared(_) => code.extend_from_slice(&[0xeb, 0x02]),
        }
        assert_eq!(
            code.len() - answered,
            usize::from(blob::SLOW),
            "where the blob returns to when it has not answered"
        );
        code.extend_from_slice(&SYSCALL);
        assert_eq!(self.stub() + code.len() as u64, self.stub_after(), "where the stub's own call stops");
        if let Shape::Compared(imm) = self.shape {
            code.extend_from_slice(&CMP_RAX_IMM32);
            code.extend_from_slice(&imm.to_le_bytes());
        }
        // jmp *[next]; the address
        let back = if let Shape::Compared(_) = self.shape { self.after + 6 } else { self.after };
        code.extend_from_slice(&[0xff, 0x25, 0, 0, 0, 0]);
        code.extend_from_slice(&back.to_le_bytes());
        assert!(code.len() <= STUB_LEN, "a stub has room for {STUB_LEN} bytes");
        code
    }

    /// A thread has stopped in the stub's call: the registers as they would be at the site itself.
    pub fn seen(&self, regs: &mut Regs) -> bool {
        let hit = regs.rip == self.stub_after();
        if hit {
            (regs.rip, regs.rcx) = (self.after, self.after);
        }
        hit
    }

    /// A thread has come to the stub's first instruction and no further: the registers as they would be at the site itself. There it has executed
    /// what comes before the `syscall`; true if that is an instruction.
    pub fn entered(&self, regs: &mut Regs) -> Option<bool> {
        if regs.rip != self.stub() {
            return None;
        }
        regs.rip = self.after - 2;
        if let Shape::Numbered(nr) = self.shape {
            regs.rax = nr.into();
        }
        Some(!self.is_exclusive())
    }

    /// A thread is to go on behind the `syscall`: where it really goes on.
    pub fn resumed(&self) -> u64 {
        if self.is_exclusive() { self.stub_after() } else { self.after }
    }
}

/// The call sites of one address space.
#[derive(Debug, Clone, Default)]
pub struct CallSites {
    /// Nothing is patched.
    off: bool,
    /// The program's own image lies where slots and stubs would be.
    covered: bool,
    /// By number of slot and stub; none is used twice, because a thread may still be on its way through it.
    list: Vec<CallSite>,
    /// Those whose code is still there, by the address behind their `syscall`.
    behind: BTreeMap<u64, usize>,
    /// Those whose code was unmapped, likewise. The program may have kept it and put it back.
    gone: BTreeMap<u64, usize>,
    /// Stops at sites that are not patched; [`NEVER`] for those that will not be.
    stops: BTreeMap<u64, u32>,
}

/// In the place of a number of stops: this site stays as it is.
const NEVER: u32 = u32::MAX;

impl CallSites {
    /// Nothing will be patched in this address space.
    pub fn turn_off(&mut self) {
        self.off = true;
    }

    /// The program's own image covers slots and stubs: nothing will be patched, and what lies there is the program's.
    pub fn cover(&mut self) {
        (self.off, self.covered) = (true, true);
    }

    /// From now on nothing is patched; what was, to be written back. A thread that is on its way through a stub still finds out of it.
    pub fn give_up(&mut self) -> Vec<CallSite> {
        self.off = true;
        let indices: Vec<usize> = self.behind.values().chain(self.gone.values()).copied().collect();
        (self.behind, self.gone) = (BTreeMap::new(), BTreeMap::new());
        indices.into_iter().filter_map(|index| self.by_index(index)).collect()
    }

    /// Do slots and stubs lie there, patched or not?
    pub fn are_there(&self) -> bool {
        !self.covered
    }

    /// Which stub an address is in.
    pub fn index_of(&self, rip: u64) -> Option<usize> {
        index_of(rip).filter(|_| self.are_there())
    }

    /// Is a thread that stands here on its way through a stub or the blob?
    pub fn is_inside(&self, rip: u64) -> bool {
        blob::contains(rip) || self.index_of(rip).is_some()
    }

    /// Counts a stop with `rip` here; true if the site is to be patched now.
    pub fn is_due(&mut self, after: u64, stops: u32) -> bool {
        if self.off || self.list.len() == SITES_MAX || self.behind.contains_key(&after) {
            return false;
        }
        let count = self.stops.entry(after).or_default();
        *count = count.saturating_add(u32::from(*count != NEVER));
        *count >= stops && *count != NEVER
    }

    /// The site there is never patched: its code does not fit, or a signal frame leads back behind its `syscall`.
    pub fn leave(&mut self, after: u64) {
        self.stops.insert(after, NEVER);
    }

    /// A signal frame leads back to this address.
    pub fn leave_unless_patched(&mut self, rip: u64) {
        if let Some(count) = self.stops.get_mut(&rip)
            && !self.behind.contains_key(&rip)
        {
            *count = NEVER;
        }
    }

    /// A site of this shape behind whose `syscall` this address lies; what [`CallSite::writes`] says is to be written next. `None` if it must not be.
    pub fn add(&mut self, shape: Shape, after: u64) -> Option<CallSite> {
        let index = self.list.len();
        if self.off || index == SITES_MAX || self.behind.contains_key(&after) || self.stops.get(&after) == Some(&NEVER)
        {
            return None;
        }
        let site = CallSite { shape, after, index };
        self.gone.remove(&after);
        self.behind.insert(after, index);
        self.list.push(site);
        Some(site)
    }

    /// The site with this number.
    pub fn by_index(&self, index: usize) -> Option<CallSite> {
        self.list.get(index).copied()
    }

    /// The patched site behind whose `syscall` this address lies.
    pub fn behind(&self, after: u64) -> Option<CallSite> {
        self.behind.get(&after).and_then(|&index| self.by_index(index))
    }

    /// The site behind whose `syscall` this address lay until its code was unmapped.
    pub fn gone(&self, after: u64) -> Option<CallSite> {
        self.gone.get(&after).and_then(|&index| self.by_index(index))
    }

    /// Sites that are patched, and sites that stop every time.
    pub fn count(&self) -> (usize, usize) {
        (self.behind.len(), self.stops.keys().filter(|after| !self.behind.contains_key(after)).count())
    }

    /// The code in this range is gone.
    pub fn unmap(&mut self, start: u64, end: u64) {
        let gone = |after: u64| after > start && after <= end;
        self.gone.extend(self.behind.extract_if(.., |&after, _| gone(after)));
        // A signal frame may lead back to where one must not be, whatever is mapped there then.
        self.stops.retain(|&after, count| !gone(after) || *count == NEVER);
    }
}

/// Which stub an address is in, if stubs lie there.
fn index_of(rip: u64) -> Option<usize> {
    let offset = rip.checked_sub(STUBS_START)? as usize;
    (offset < SITES_MAX * STUB_LEN).then_some(offset / STUB_LEN)
}

/// Where the bytes at this offset lead if they are a direct jump: with an 8-bit displacement, and with one of 32 bits. Only what it looks like: it may
/// be no instruction at all.
pub fn is_direct_jump(code: &[u8], at: usize) -> [Option<i64>; 2] {
    let short = matches!(code[at], 0x70..=0x7f | 0xe0..=0xe3 | 0xeb);
    let near = matches!(code[at], 0xe8 | 0xe9) || at > 0 && code[at - 1] == 0x0f && code[at] & 0xf0 == 0x80;
    let from = |len: usize, by: i64| (at + len) as i64 + by;
    let by_byte = || code.get(at + 1).map(|&by| from(2, i64::from(by as i8)));
    let by_word = || {
        let raw = code.get(at + 1..at + 5)?;
        Some(from(5, i64::from(i32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]))))
    };
    [short.then(by_byte).flatten(), near.then(by_word).flatten()]
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;

    const READ: &[u8] = &[0x31, 0xc0, 0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0x77, 0x5b];
    const GETPPID: &[u8] = &[0xb8, 0x6e, 0, 0, 0, 0x0f, 0x05, 0xc3];

    fn site(code: &[u8], after: u64) -> Option<CallSite> {
        let shape = text::shape(code, after as usize)?;
        Some(CallSite { shape, after: 0x7000_0000 + after, index: 3 })
    }

    #[test]
    fn both_shapes_are_known() {
        assert_eq!(site(GETPPID, 7).and_then(|s| s.shape.number()), Some(110));
        let compared = site(READ, 4).expect("a known shape");
        assert!(compared.is_exclusive() && compared.shape.number().is_none());
        assert_eq!(site(&READ[..8], 4), None);
        assert_eq!(site(GETPPID, 6), None);
    }

    #[test]
    fn a_number_is_only_what_goes_to_eax() {
        // mov $0,%r8d; syscall, as sendto without an address: not a read.
        let r8 = [0x41, 0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0xc3];
        // mov 0xe4(%r8),%rdi; syscall.
        let load = [0x49, 0x8b, 0xb8, 0xe4, 0, 0, 0, 0x0f, 0x05, 0xc3];
        for code in [&r8[..], &load] {
            for before in [vec![], [0x48, 0x83, 0xec, 0x20, 0x55, 0x48, 0x89, 0xe5].repeat(20)] {
                let code = [&before[..], code].concat();
                assert_eq!(site(&code, code.len() as u64 - 1), None, "{code:02x?}");
            }
        }
        let code = [&[0x90; 150][..], GETPPID].concat();
        assert_eq!(site(&code, 157).and_then(|s| s.shape.number()), Some(110));
    }

    #[test]
    fn a_site_that_is_jumped_into_is_left_alone() {
        for jump in
            [&[0xebu8, 0xf0][..], &[0x74, 0xf0], &[0xe9, 0xed, 0xff, 0xff, 0xff], &[0x0f, 0x84, 0xec, 0xff, 0xff, 0xff]]
        {
            // The displacement leads from the end of the jump back to the byte behind the `syscall`.
            let mut code = READ.to_vec();
            let back = 4 - (code.len() + jump.len()) as i64;
            let mut jump = jump.to_vec();
            if jump.len() == 2 {
                jump[1] = back as u8;
            } else {
                let at = jump.len() - 4;
                jump[at..].copy_from_slice(&(back as i32).to_le_bytes());
            }
            code.extend(jump);
            assert_eq!(site(&code, 4), None, "{code:02x?}");
        }
    }

    #[test]
    fn a_patched_site_still_ends_in_its_syscall() {
        let [_, (slot, target), (at, jump)] = site(GETPPID, 7).expect("known").writes();
        assert_eq!(at, 0x7000_0000);
        assert_eq!(jump[5..], SYSCALL);
        assert_eq!(u64::from(u32::from_le_bytes([jump[3], jump[4], jump[5], jump[6]])), slot);
        assert_eq!(u64::from_le_bytes(target.try_into().expect("8 bytes")), STUBS_START + 3 * STUB_LEN as u64);
    }

    #[test]
    fn a_thread_in_a_stub_is_seen_at_its_site() {
        for (code, after) in [(GETPPID, 7), (READ, 4)] {
            let site = site(code, after).expect("known");
            let mut regs = super::super::sys::regs_from_words(&[0; 27]);
            regs.rip = site.stub_after();
            assert!(index_of(regs.rip).is_some() && site.seen(&mut regs));
            assert_eq!((regs.rip, regs.rcx), (site.after(), site.after()));
            assert_eq!(index_of(site.resumed()).is_some(), site.is_exclusive());
        }
    }
}
