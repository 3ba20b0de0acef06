//! What an instruction is once it is decoded: eight bytes that the interpreter dispatches on.

use std::sync::atomic::{Ordering, compiler_fence};

/// An operation. Compressed instructions decode to the operation that they abbreviate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
#[rustfmt::skip]
pub enum Op {
    /// Nobody has looked at these bytes since they last changed. Zero, so that fresh pages need no initialisation.
    Undecoded = 0,
    /// Behind the page's last halfword; the next page has to be entered.
    PageEnd,
    /// A 4-byte instruction whose second half is in the next page.
    Straddle,
    /// No instruction; `imm` holds its bits.
    Illegal,
    /// A debugger's mark in an instruction's place.
    Point,
    // Control.
    Lui, Auipc, Jal, Jalr, Beq, Bne, Blt, Bge, Bltu, Bgeu,
    // Loads and stores.
    Lb, Lh, Lw, Ld, Lbu, Lhu, Lwu, Flw, Fld, Sb, Sh, Sw, Sd, Fsw, Fsd,
    // Integers.
    Addi, Slti, Sltiu, Xori, Ori, Andi, Slli, Srli, Srai, Addiw, Slliw, Srliw, Sraiw,
    Add, Sub, Sll, Slt, Sltu, Xor, Srl, Sra, Or, And, Addw, Subw, Sllw, Srlw, Sraw,
    Mul, Mulh, Mulhsu, Mulhu, Div, Divu, Rem, Remu, Mulw, Divw, Divuw, Remw, Remuw,
    // Zba.
    AddUw, Sh1add, Sh2add, Sh3add, Sh1addUw, Sh2addUw, Sh3addUw, SlliUw,
    // Zbb.
    Andn, Orn, Xnor, Clz, Ctz, Cpop, Clzw, Ctzw, Cpopw, Max, Maxu, Min, Minu, SextB, SextH, ZextH,
    Rol, Ror, Rori, Rolw, Rorw, Roriw, OrcB, Rev8,
    // Zbs.
    Bclr, Bext, Binv, Bset, Bclri, Bexti, Binvi, Bseti,
    // Does nothing here: FENCE and its hints.
    Fence,
    // Rare ones.
    FenceI, Ecall, Ebreak, Sret, Wfi, SfenceVma, CboZero,
    Csrrw, Csrrs, Csrrc, Csrrwi, Csrrsi, Csrrci,
    LrW, LrD, ScW, ScD,
    // Atomic ones. Their order is relied on by `is_amo`.
    AmoswapW, AmoaddW, AmoxorW, AmoandW, AmoorW, AmominW, AmomaxW, AmominuW, AmomaxuW,
    AmoswapD, AmoaddD, AmoxorD, AmoandD, AmoorD, AmominD, AmomaxD, AmominuD, AmomaxuD,
    // Floating point, last: `is_float` relies on it. Single or double is in the operands, see `Insn::is_double`.
    Fmadd, Fmsub, Fnmsub, Fnmadd, Fadd, Fsub, Fmul, Fdiv, Fsqrt, Fsgnj, Fsgnjn, Fsgnjx, Fmin, Fmax,
    Feq, Flt, Fle, Fclass, FcvtW, FcvtWu, FcvtL, FcvtLu, FcvtFromW, FcvtFromWu, FcvtFromL, FcvtFromLu,
    FmvToX, FmvFromX, FcvtSD, FcvtDS,
}

impl Op {
    /// One of the floating-point instructions that access no memory.
    pub fn is_float(self) -> bool {
        self >= Op::Fmadd
    }

    /// An atomic read-modify-write.
    pub fn is_amo(self) -> bool {
        self >= Op::AmoswapW && self <= Op::AmomaxuD
    }

    /// Bytes that a load, a store or an atomic instruction accesses; 0 for any other.
    pub fn bytes(self) -> u8 {
        match self {
            Op::Lb | Op::Lbu | Op::Sb => 1,
            Op::Lh | Op::Lhu | Op::Sh => 2,
            Op::Lw | Op::Lwu | Op::Flw | Op::Sw | Op::Fsw | Op::LrW | Op::ScW => 4,
            Op::Ld | Op::Fld | Op::Sd | Op::Fsd | Op::LrD | Op::ScD => 8,
            op if op.is_amo() => {
                if op < Op::AmoswapD {
                    4
                } else {
                    8
                }
            }
            _ => 0,
        }
    }
}

/// Where results for `x0` go: a register that nobody reads.
pub const SCRAP: u8 = 32;

/// A decoded instruction.
///
/// ```text
/// byte  0    1               2    3    4..8
///       op   len:2 | rd:6    rs1  rs2  imm
/// ```
///
/// `len` is its length in halfwords. Floating-point operands keep in `imm`: rounding mode (bits 0-2), `rs3` (8-12), double precision (16).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Insn {
    /// What to do.
    pub op: Op,
    len_rd: u8,
    /// First source; below 32.
    pub rs1: u8,
    /// Second source; below 32.
    pub rs2: u8,
    /// The immediate, or what else the operation needs.
    pub imm: i32,
}

const _: () = assert!(size_of::<Insn>() == 8);

/// Bit of a floating-point instruction's `imm`: double precision.
pub const DOUBLE: i32 = 1 << 16;

impl Insn {
    /// What a slot holds before anybody looked.
    pub const UNDECODED: Insn = Insn { op: Op::Undecoded, len_rd: 0, rs1: 0, rs2: 0, imm: 0 };

    /// Writes the integer register `rd`; nowhere if that is `x0`.
    pub fn new(op: Op, rd: u8, rs1: u8, rs2: u8, imm: i32) -> Self {
        Self { op, len_rd: 0x80 | if rd == 0 { SCRAP } else { rd }, rs1, rs2, imm }
    }

    /// Writes the floating-point register `rd`.
    pub fn new_float(op: Op, rd: u8, rs1: u8, rs2: u8, imm: i32) -> Self {
        Self { op, len_rd: 0x80 | rd, rs1, rs2, imm }
    }

    /// No instruction.
    pub fn illegal(bits: u32) -> Self {
        Self::new(Op::Illegal, 0, 0, 0, bits.cast_signed())
    }

    /// The same with a length of one halfword.
    pub fn compressed(self) -> Self {
        Self { len_rd: 0x40 | self.len_rd & 0x3f, ..self }
    }

    /// The destination.
    #[inline(always)]
    pub fn rd(self) -> u8 {
        self.len_rd & 0x3f
    }

    /// Length in halfwords.
    #[inline(always)]
    pub fn halfwords(self) -> usize {
        usize::from(self.len_rd >> 6)
    }

    /// The same, by a branch. A processor guesses branches, and so it need not have loaded this instruction to begin with the next one; without that the
    /// interpreter takes half as long again.
    #[inline(always)]
    pub fn halfwords_guessed(self) -> usize {
        if self.halfwords() == 1 {
            // No code, but it keeps the compiler from replacing the branch by arithmetic.
            compiler_fence(Ordering::SeqCst);
            1
        } else {
            2
        }
    }

    /// The immediate, sign-extended.
    #[inline(always)]
    pub fn offset(self) -> u64 {
        i64::from(self.imm).cast_unsigned()
    }

    /// A floating-point instruction works in double precision.
    pub fn is_double(self) -> bool {
        self.imm & DOUBLE != 0
    }

    /// The third source of a fused multiply-add.
    pub fn rs3(self) -> u8 {
        (self.imm >> 8) as u8 & 31
    }
}
