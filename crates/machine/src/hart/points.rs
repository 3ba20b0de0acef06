//! Where a debugger wants the hart to come back: before instructions at some addresses, and before those that access others.
//!
//! The rule it keeps: nothing of it is state. It is neither saved nor in a digest, and with or without points the hart does the same at every position.
//! A breakpoint is a mark among the decoded instructions, never a byte in the guest's memory; pages with a watched address stay out of the look-asides,
//! so that every access to them is looked at, also one that will fault. Addresses are virtual and of no particular address space. What devices, the
//! page-table walker and the firmware do to memory is not watched.

use crate::hart::op::{Insn, Op};
use crate::hart::registers::Registers;
use crate::hart::{Exit, Hart};
use crate::memory::{Memory, PAGE_BYTES};
use gapless_log::Position;
use std::collections::BTreeSet;

/// Which accesses are watched.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Touch {
    /// Loads.
    Read,
    /// Stores.
    Write,
    /// Both.
    Either,
}

/// A range of virtual addresses of which accesses are to be noticed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Watch {
    /// First address.
    pub at: u64,
    /// Length.
    pub bytes: u64,
    /// Which accesses.
    pub touch: Touch,
}

/// What made the hart come back with [`Exit::Point`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hit {
    /// It stands before an instruction with a breakpoint.
    Break,
    /// It stands before an instruction that touches what is watched.
    Watch {
        /// First address that was touched and is watched.
        at: u64,
        /// Which accesses that point is for.
        touch: Touch,
    },
}

/// Bytes that CBO.ZERO clears, and where they begin.
const CACHE_BLOCK: u64 = 64;

/// A debugger's points.
#[derive(Debug, Default)]
pub(super) struct Points {
    breaks: BTreeSet<u64>,
    /// One bit for each halfword of a page at which there is a breakpoint in some page: decoded instructions are kept by physical page, which may be
    /// mapped anywhere.
    offsets: [u64; PAGE_BYTES as usize / 2 / 64],
    watches: Vec<Watch>,
    /// Breakpoints at this position are passed over.
    passed_breaks: Option<u64>,
    /// So are watched accesses at this one.
    passed_watches: Option<u64>,
    /// A mark was taken off so that its instruction can be executed once: number of the page, and the slot.
    lifted: Option<(u64, usize)>,
    hit: Option<Hit>,
}

impl Points {
    /// The decoded instruction, or a mark in its place.
    pub fn marked(&self, slot: usize, insn: Insn) -> Insn {
        let marked = self.offsets[slot / 64] >> (slot % 64) & 1 == 1 && self.lifted.is_none();
        if marked { Insn::new(Op::Point, 0, 0, 0, 0) } else { insn }
    }

    /// Nothing in this virtual page is watched.
    pub fn spares(&self, page: u64) -> bool {
        !self.watches.iter().any(|watch| overlap(watch, page, PAGE_BYTES))
    }

    /// What is watched and touched by the instruction.
    fn touched(&self, insn: Insn, x: &Registers) -> Option<Hit> {
        if self.watches.is_empty() {
            return None;
        }
        let base = x.get(insn.rs1);
        let (at, bytes) = match insn.op {
            Op::CboZero => (base & !(CACHE_BLOCK - 1), CACHE_BLOCK),
            op if op.is_amo() || is_reserving(op) => (base, u64::from(op.bytes())),
            op => (base.wrapping_add(insn.offset()), u64::from(op.bytes())),
        };
        let (reads, writes) = touches(insn.op);
        let concerned = |watch: &&Watch| {
            let kind = match watch.touch {
                Touch::Read => reads,
                Touch::Write => writes,
                Touch::Either => reads || writes,
            };
            kind && overlap(watch, at, bytes)
        };
        let watch = self.watches.iter().find(concerned)?;
        let first = if watch.at.wrapping_sub(at) < bytes { watch.at } else { at };
        Some(Hit::Watch { at: first, touch: watch.touch })
    }

    /// One instruction is to be executed without its mark.
    pub fn is_lifted(&self) -> bool {
        self.lifted.is_some()
    }

    /// The instruction is done: its mark comes back when it is decoded anew.
    pub fn lower(&mut self, memory: &mut Memory) {
        if let Some((page, slot)) = self.lifted.take() {
            memory.code.forget(page, slot);
        }
    }
}

/// Whether an instruction loads, and whether it stores.
fn touches(op: Op) -> (bool, bool) {
    match op {
        Op::Sb | Op::Sh | Op::Sw | Op::Sd | Op::Fsw | Op::Fsd | Op::ScW | Op::ScD | Op::CboZero => (false, true),
        op if op.is_amo() => (true, true),
        op => (op.bytes() > 0, false),
    }
}

fn is_reserving(op: Op) -> bool {
    matches!(op, Op::LrW | Op::LrD | Op::ScW | Op::ScD)
}

fn overlap(watch: &Watch, at: u64, bytes: u64) -> bool {
    watch.at.wrapping_sub(at) < bytes || at.wrapping_sub(watch.at) < watch.bytes
}

impl Hart {
    /// Sets all points anew; a debugger's alone.
    pub fn set_points(&mut self, memory: &mut Memory, breaks: BTreeSet<u64>, watches: Vec<Watch>) {
        let mut offsets = [0; PAGE_BYTES as usize / 2 / 64];
        for at in &breaks {
            let slot = (at % PAGE_BYTES / 2) as usize;
            offsets[slot / 64] |= 1 << (slot % 64);
        }
        self.points = Points { breaks, offsets, watches, ..Points::default() };
        memory.code.clear();
        self.clear_asides();
    }

    /// Breakpoints at this position, and at no other, are passed over.
    pub fn pass_breaks(&mut self, at: Position) {
        self.points.passed_breaks = Some(at.0);
    }

    /// The same for accesses that are watched.
    pub fn pass_watches(&mut self, at: Position) {
        self.points.passed_watches = Some(at.0);
    }

    /// What was hit since this was last asked.
    pub fn take_hit(&mut self) -> Option<Hit> {
        self.points.hit.take()
    }

    /// Before an instruction that may access memory: whether a watched access is to be reported.
    pub(super) fn before_access(&mut self, insn: Insn) -> Option<Exit> {
        let hit = self.points.touched(insn, &self.x).filter(|_| self.points.passed_watches != Some(self.position))?;
        self.points.hit = Some(hit);
        Some(Exit::Point)
    }

    /// The instruction at `pc` has a mark. Either it is a breakpoint, or the mark is off for the next instruction.
    #[cold]
    #[inline(never)]
    pub(super) fn at_mark(&mut self, memory: &mut Memory, slot: usize) -> Option<Exit> {
        if self.points.breaks.contains(&self.pc) && self.points.passed_breaks != Some(self.position) {
            self.points.hit = Some(Hit::Break);
            return Some(Exit::Point);
        }
        let latch = self.latch.expect("a page was entered");
        let page = memory.page_of(latch.physical).expect("the latch is in memory");
        self.points.lifted = Some((page, slot));
        memory.code.forget(page, slot);
        None
    }
}
