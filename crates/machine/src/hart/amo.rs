//! Atomic read-modify-write instructions.

use crate::hart::Hart;
use crate::hart::integer::sext32;
use crate::hart::lookaside::Host;
use crate::hart::op::{Insn, Op};

/// What memory holds after the instruction.
fn modified(op: Op, old: u64, by: u64) -> u64 {
    let (signed_old, signed_by) = (old.cast_signed(), by.cast_signed());
    match op {
        Op::AmoswapW | Op::AmoswapD => by,
        Op::AmoaddW | Op::AmoaddD => old.wrapping_add(by),
        Op::AmoxorW | Op::AmoxorD => old ^ by,
        Op::AmoandW | Op::AmoandD => old & by,
        Op::AmoorW | Op::AmoorD => old | by,
        Op::AmominW | Op::AmominD => signed_old.min(signed_by).cast_unsigned(),
        Op::AmomaxW | Op::AmomaxD => signed_old.max(signed_by).cast_unsigned(),
        Op::AmominuW | Op::AmominuD => old.min(by),
        Op::AmomaxuW | Op::AmomaxuD => old.max(by),
        _ => unreachable!("{op:?} is no atomic instruction"),
    }
}

/// Words are compared as they are sign-extended: that keeps the unsigned order too.
pub fn modified_word(op: Op, old: u32, by: u64) -> u32 {
    modified(op, sext32(old), sext32(by as u32)) as u32
}

/// The same for eight bytes.
pub fn modified_double(op: Op, old: u64, by: u64) -> u64 {
    modified(op, old, by)
}

impl Hart {
    /// The instruction, if the look-aside knows its page.
    #[inline]
    pub(super) fn amo_aside(&mut self, insn: Insn) -> bool {
        let at = self.x.get(insn.rs1);
        if insn.op < Op::AmoswapD {
            self.stores.find::<4>(at, self.context).is_some_and(|host| self.amo_word(insn, host))
        } else {
            self.stores.find::<8>(at, self.context).is_some_and(|host| self.amo_double(insn, host))
        }
    }

    fn amo_word(&mut self, insn: Insn, host: Host<4>) -> bool {
        let old = u32::from_le_bytes(host.get());
        host.put(modified_word(insn.op, old, self.x.get(insn.rs2)).to_le_bytes());
        self.x.put(insn.rd(), sext32(old));
        true
    }

    fn amo_double(&mut self, insn: Insn, host: Host<8>) -> bool {
        let old = u64::from_le_bytes(host.get());
        host.put(modified_double(insn.op, old, self.x.get(insn.rs2)).to_le_bytes());
        self.x.put(insn.rd(), old);
        true
    }
}
