//! From bytes to [`Insn`]: a table for 4-byte instructions, one function for compressed ones (RISC-V Unprivileged ISA, chapters 34 and 28).
//!
//! Off the hot path: an instruction is decoded once for each time its bytes change.

use crate::hart::op::{DOUBLE, Insn, Op};

/// Where an instruction keeps its operands.
#[derive(Clone, Copy)]
enum Format {
    /// Three registers.
    R,
    /// Two registers and a 12-bit immediate.
    I,
    /// Two registers and a shift amount of 6 bits.
    Shift6,
    /// Two registers and a shift amount of 5 bits.
    Shift5,
    S,
    B,
    U,
    J,
    /// CSR number, unsigned.
    Csr,
    /// A load into a floating-point register.
    LoadFloat,
    /// Floating point to floating point, rounding.
    FloatRm,
    /// Floating point to integer register, rounding.
    ToXRm,
    /// Floating point to floating point, exact.
    Float,
    /// Floating point to integer register, exact.
    ToX,
}

/// One encoding: `bits & mask == value`.
struct Row {
    mask: u32,
    value: u32,
    op: Op,
    format: Format,
}

const fn row(mask: u32, value: u32, op: Op, format: Format) -> Row {
    assert!(value & !mask == 0);
    Row { mask, value, op, format }
}

/// Told by opcode alone.
const fn opcode(opcode: u32, op: Op, format: Format) -> Row {
    row(0x7f, opcode, op, format)
}

/// Told by opcode and funct3.
const fn funct3(opcode: u32, funct3: u32, op: Op, format: Format) -> Row {
    row(0x707f, funct3 << 12 | opcode, op, format)
}

/// Told by opcode, funct3 and funct7.
const fn funct7(opcode: u32, funct3: u32, funct7: u32, op: Op, format: Format) -> Row {
    row(0xfe00_707f, funct7 << 25 | funct3 << 12 | opcode, op, format)
}

/// Told by opcode, funct3 and the upper six bits.
const fn funct6(opcode: u32, funct3: u32, funct6: u32, op: Op) -> Row {
    row(0xfc00_707f, funct6 << 26 | funct3 << 12 | opcode, op, Format::Shift6)
}

/// Told by opcode, funct3 and the upper twelve bits.
const fn funct12(opcode: u32, funct3: u32, funct12: u32, op: Op) -> Row {
    row(0xfff0_707f, funct12 << 20 | funct3 << 12 | opcode, op, Format::R)
}

/// An atomic instruction; the ordering bits are ignored.
const fn atomic(funct3: u32, funct5: u32, op: Op) -> Row {
    row(0xf800_707f, funct5 << 27 | funct3 << 12 | AMO, op, Format::R)
}

/// Floating point of either precision (bit 25), rounding. `funct5` are the upper five bits.
const fn float_rm(funct5: u32, op: Op) -> Row {
    row(0xfc00_007f, funct5 << 27 | OP_FP, op, Format::FloatRm)
}

/// The same, told by `rs2` too.
const fn float_rm_rs2(funct5: u32, rs2: u32, op: Op, format: Format) -> Row {
    row(0xfdf0_007f, funct5 << 27 | rs2 << 20 | OP_FP, op, format)
}

/// Floating point of either precision, told by funct3.
const fn float(funct5: u32, funct3: u32, op: Op, format: Format) -> Row {
    row(0xfc00_707f, funct5 << 27 | funct3 << 12 | OP_FP, op, format)
}

/// The same, with `rs2` zero.
const fn float_unary(funct5: u32, funct3: u32, op: Op, format: Format) -> Row {
    row(0xfdf0_707f, funct5 << 27 | funct3 << 12 | OP_FP, op, format)
}

const LOAD: u32 = 0x03;
const LOAD_FP: u32 = 0x07;
const MISC_MEM: u32 = 0x0f;
const OP_IMM: u32 = 0x13;
const AUIPC: u32 = 0x17;
const OP_IMM_32: u32 = 0x1b;
const STORE: u32 = 0x23;
const STORE_FP: u32 = 0x27;
const AMO: u32 = 0x2f;
const OP: u32 = 0x33;
const LUI: u32 = 0x37;
const OP_32: u32 = 0x3b;
const MADD: u32 = 0x43;
const MSUB: u32 = 0x47;
const NMSUB: u32 = 0x4b;
const NMADD: u32 = 0x4f;
const OP_FP: u32 = 0x53;
const BRANCH: u32 = 0x63;
const JALR: u32 = 0x67;
const JAL: u32 = 0x6f;
const SYSTEM: u32 = 0x73;

/// Every 4-byte instruction, by opcode.
#[rustfmt::skip]
fn rows(code: u32) -> &'static [Row] {
    use Format::*;
    match code {
        LOAD => const { &[
            funct3(LOAD, 0, Op::Lb, I), funct3(LOAD, 1, Op::Lh, I), funct3(LOAD, 2, Op::Lw, I), funct3(LOAD, 3, Op::Ld, I),
            funct3(LOAD, 4, Op::Lbu, I), funct3(LOAD, 5, Op::Lhu, I), funct3(LOAD, 6, Op::Lwu, I),
        ] },
        LOAD_FP => const { &[funct3(LOAD_FP, 2, Op::Flw, LoadFloat), funct3(LOAD_FP, 3, Op::Fld, LoadFloat)] },
        STORE => const { &[
            funct3(STORE, 0, Op::Sb, S), funct3(STORE, 1, Op::Sh, S), funct3(STORE, 2, Op::Sw, S), funct3(STORE, 3, Op::Sd, S),
        ] },
        STORE_FP => const { &[funct3(STORE_FP, 2, Op::Fsw, S), funct3(STORE_FP, 3, Op::Fsd, S)] },
        MISC_MEM => const { &[
            funct3(MISC_MEM, 0, Op::Fence, I), funct3(MISC_MEM, 1, Op::FenceI, I),
            row(0xfff0_7fff, 4 << 20 | 2 << 12 | MISC_MEM, Op::CboZero, I),
        ] },
        OP_IMM => const { &[
            funct3(OP_IMM, 0, Op::Addi, I), funct3(OP_IMM, 2, Op::Slti, I), funct3(OP_IMM, 3, Op::Sltiu, I),
            funct3(OP_IMM, 4, Op::Xori, I), funct3(OP_IMM, 6, Op::Ori, I), funct3(OP_IMM, 7, Op::Andi, I),
            funct6(OP_IMM, 1, 0x00, Op::Slli), funct6(OP_IMM, 5, 0x00, Op::Srli), funct6(OP_IMM, 5, 0x10, Op::Srai),
            funct6(OP_IMM, 5, 0x18, Op::Rori),
            funct12(OP_IMM, 1, 0x600, Op::Clz), funct12(OP_IMM, 1, 0x601, Op::Ctz), funct12(OP_IMM, 1, 0x602, Op::Cpop),
            funct12(OP_IMM, 1, 0x604, Op::SextB), funct12(OP_IMM, 1, 0x605, Op::SextH),
            funct12(OP_IMM, 5, 0x287, Op::OrcB), funct12(OP_IMM, 5, 0x6b8, Op::Rev8),
            funct6(OP_IMM, 1, 0x12, Op::Bclri), funct6(OP_IMM, 5, 0x12, Op::Bexti),
            funct6(OP_IMM, 1, 0x1a, Op::Binvi), funct6(OP_IMM, 1, 0x0a, Op::Bseti),
        ] },
        OP_IMM_32 => const { &[
            funct3(OP_IMM_32, 0, Op::Addiw, I),
            funct7(OP_IMM_32, 1, 0x00, Op::Slliw, Shift5), funct7(OP_IMM_32, 5, 0x00, Op::Srliw, Shift5),
            funct7(OP_IMM_32, 5, 0x20, Op::Sraiw, Shift5), funct7(OP_IMM_32, 5, 0x30, Op::Roriw, Shift5),
            funct6(OP_IMM_32, 1, 0x02, Op::SlliUw),
            funct12(OP_IMM_32, 1, 0x600, Op::Clzw), funct12(OP_IMM_32, 1, 0x601, Op::Ctzw), funct12(OP_IMM_32, 1, 0x602, Op::Cpopw),
        ] },
        OP => const { &[
            funct7(OP, 0, 0x00, Op::Add, R), funct7(OP, 0, 0x20, Op::Sub, R), funct7(OP, 1, 0x00, Op::Sll, R),
            funct7(OP, 2, 0x00, Op::Slt, R), funct7(OP, 3, 0x00, Op::Sltu, R), funct7(OP, 4, 0x00, Op::Xor, R),
            funct7(OP, 5, 0x00, Op::Srl, R), funct7(OP, 5, 0x20, Op::Sra, R), funct7(OP, 6, 0x00, Op::Or, R),
            funct7(OP, 7, 0x00, Op::And, R),
            funct7(OP, 0, 0x01, Op::Mul, R), funct7(OP, 1, 0x01, Op::Mulh, R), funct7(OP, 2, 0x01, Op::Mulhsu, R),
            funct7(OP, 3, 0x01, Op::Mulhu, R), funct7(OP, 4, 0x01, Op::Div, R), funct7(OP, 5, 0x01, Op::Divu, R),
            funct7(OP, 6, 0x01, Op::Rem, R), funct7(OP, 7, 0x01, Op::Remu, R),
            funct7(OP, 2, 0x10, Op::Sh1add, R), funct7(OP, 4, 0x10, Op::Sh2add, R), funct7(OP, 6, 0x10, Op::Sh3add, R),
            funct7(OP, 7, 0x20, Op::Andn, R), funct7(OP, 6, 0x20, Op::Orn, R), funct7(OP, 4, 0x20, Op::Xnor, R),
            funct7(OP, 4, 0x05, Op::Min, R), funct7(OP, 5, 0x05, Op::Minu, R), funct7(OP, 6, 0x05, Op::Max, R),
            funct7(OP, 7, 0x05, Op::Maxu, R), funct7(OP, 1, 0x30, Op::Rol, R), funct7(OP, 5, 0x30, Op::Ror, R),
            funct7(OP, 1, 0x24, Op::Bclr, R), funct7(OP, 5, 0x24, Op::Bext, R), funct7(OP, 1, 0x34, Op::Binv, R),
            funct7(OP, 1, 0x14, Op::Bset, R),
        ] },
        OP_32 => const { &[
            funct7(OP_32, 0, 0x00, Op::Addw, R), funct7(OP_32, 0, 0x20, Op::Subw, R), funct7(OP_32, 1, 0x00, Op::Sllw, R),
            funct7(OP_32, 5, 0x00, Op::Srlw, R), funct7(OP_32, 5, 0x20, Op::Sraw, R),
            funct7(OP_32, 0, 0x01, Op::Mulw, R), funct7(OP_32, 4, 0x01, Op::Divw, R), funct7(OP_32, 5, 0x01, Op::Divuw, R),
            funct7(OP_32, 6, 0x01, Op::Remw, R), funct7(OP_32, 7, 0x01, Op::Remuw, R),
            funct7(OP_32, 0, 0x04, Op::AddUw, R), funct7(OP_32, 2, 0x10, Op::Sh1addUw, R),
            funct7(OP_32, 4, 0x10, Op::Sh2addUw, R), funct7(OP_32, 6, 0x10, Op::Sh3addUw, R),
            funct12(OP_32, 4, 0x080, Op::ZextH), funct7(OP_32, 1, 0x30, Op::Rolw, R), funct7(OP_32, 5, 0x30, Op::Rorw, R),
        ] },
        LUI => const { &[opcode(LUI, Op::Lui, U)] },
        AUIPC => const { &[opcode(AUIPC, Op::Auipc, U)] },
        JAL => const { &[opcode(JAL, Op::Jal, J)] },
        JALR => const { &[funct3(JALR, 0, Op::Jalr, I)] },
        BRANCH => const { &[
            funct3(BRANCH, 0, Op::Beq, B), funct3(BRANCH, 1, Op::Bne, B), funct3(BRANCH, 4, Op::Blt, B),
            funct3(BRANCH, 5, Op::Bge, B), funct3(BRANCH, 6, Op::Bltu, B), funct3(BRANCH, 7, Op::Bgeu, B),
        ] },
        AMO => const { &[
            row(0xf9f0_707f, 0x02 << 27 | 2 << 12 | AMO, Op::LrW, R), row(0xf9f0_707f, 0x02 << 27 | 3 << 12 | AMO, Op::LrD, R),
            atomic(2, 0x03, Op::ScW), atomic(3, 0x03, Op::ScD),
            atomic(2, 0x01, Op::AmoswapW), atomic(2, 0x00, Op::AmoaddW), atomic(2, 0x04, Op::AmoxorW),
            atomic(2, 0x0c, Op::AmoandW), atomic(2, 0x08, Op::AmoorW), atomic(2, 0x10, Op::AmominW),
            atomic(2, 0x14, Op::AmomaxW), atomic(2, 0x18, Op::AmominuW), atomic(2, 0x1c, Op::AmomaxuW),
            atomic(3, 0x01, Op::AmoswapD), atomic(3, 0x00, Op::AmoaddD), atomic(3, 0x04, Op::AmoxorD),
            atomic(3, 0x0c, Op::AmoandD), atomic(3, 0x08, Op::AmoorD), atomic(3, 0x10, Op::AmominD),
            atomic(3, 0x14, Op::AmomaxD), atomic(3, 0x18, Op::AmominuD), atomic(3, 0x1c, Op::AmomaxuD),
        ] },
        // Bit 26 clear: single or double precision.
        MADD => const { &[row(0x0400_007f, MADD, Op::Fmadd, FloatRm)] },
        MSUB => const { &[row(0x0400_007f, MSUB, Op::Fmsub, FloatRm)] },
        NMSUB => const { &[row(0x0400_007f, NMSUB, Op::Fnmsub, FloatRm)] },
        NMADD => const { &[row(0x0400_007f, NMADD, Op::Fnmadd, FloatRm)] },
        OP_FP => const { &[
            float_rm(0x00, Op::Fadd), float_rm(0x01, Op::Fsub), float_rm(0x02, Op::Fmul), float_rm(0x03, Op::Fdiv),
            float_rm_rs2(0x0b, 0, Op::Fsqrt, FloatRm),
            float(0x04, 0, Op::Fsgnj, Float), float(0x04, 1, Op::Fsgnjn, Float), float(0x04, 2, Op::Fsgnjx, Float),
            float(0x05, 0, Op::Fmin, Float), float(0x05, 1, Op::Fmax, Float),
            float(0x14, 0, Op::Fle, ToX), float(0x14, 1, Op::Flt, ToX), float(0x14, 2, Op::Feq, ToX),
            float_rm_rs2(0x18, 0, Op::FcvtW, ToXRm), float_rm_rs2(0x18, 1, Op::FcvtWu, ToXRm),
            float_rm_rs2(0x18, 2, Op::FcvtL, ToXRm), float_rm_rs2(0x18, 3, Op::FcvtLu, ToXRm),
            float_rm_rs2(0x1a, 0, Op::FcvtFromW, FloatRm), float_rm_rs2(0x1a, 1, Op::FcvtFromWu, FloatRm),
            float_rm_rs2(0x1a, 2, Op::FcvtFromL, FloatRm), float_rm_rs2(0x1a, 3, Op::FcvtFromLu, FloatRm),
            float_unary(0x1c, 0, Op::FmvToX, ToX), float_unary(0x1c, 1, Op::Fclass, ToX), float_unary(0x1e, 0, Op::FmvFromX, Float),
            row(0xfff0_007f, 0x401 << 20 | OP_FP, Op::FcvtSD, FloatRm), row(0xfff0_007f, 0x420 << 20 | OP_FP, Op::FcvtDS, FloatRm),
        ] },
        SYSTEM => const { &[
            row(u32::MAX, 0x0000_0073, Op::Ecall, I), row(u32::MAX, 0x0010_0073, Op::Ebreak, I),
            row(u32::MAX, 0x1020_0073, Op::Sret, I), row(u32::MAX, 0x1050_0073, Op::Wfi, I),
            row(0xfe00_7fff, 0x09 << 25 | SYSTEM, Op::SfenceVma, R),
            funct3(SYSTEM, 1, Op::Csrrw, Csr), funct3(SYSTEM, 2, Op::Csrrs, Csr), funct3(SYSTEM, 3, Op::Csrrc, Csr),
            funct3(SYSTEM, 5, Op::Csrrwi, Csr), funct3(SYSTEM, 6, Op::Csrrsi, Csr), funct3(SYSTEM, 7, Op::Csrrci, Csr),
        ] },
        _ => &[],
    }
}

/// `bits[high:low]`.
fn field(bits: u32, high: u32, low: u32) -> u32 {
    bits << (31 - high) >> (31 - high + low)
}

/// The lower `width` bits, sign-extended.
fn signed(bits: u32, width: u32) -> i32 {
    (bits << (32 - width)).cast_signed() >> (32 - width)
}

/// A 4-byte instruction.
pub fn decode(bits: u32) -> Insn {
    match rows(bits & 0x7f).iter().find(|row| bits & row.mask == row.value) {
        Some(row) => operands(bits, row),
        None => Insn::illegal(bits),
    }
}

fn operands(bits: u32, row: &Row) -> Insn {
    let (op, rd, rs1, rs2) = (row.op, field(bits, 11, 7) as u8, field(bits, 19, 15) as u8, field(bits, 24, 20) as u8);
    let rounding = field(bits, 14, 12);
    let mut float = (field(bits, 31, 27) << 8).cast_signed();
    if field(bits, 25, 25) == 1 {
        float |= DOUBLE;
    }
    if matches!(row.format, Format::FloatRm | Format::ToXRm) {
        if matches!(rounding, 5 | 6) {
            return Insn::illegal(bits);
        }
        float |= rounding.cast_signed();
    }
    let store = field(bits, 31, 25) << 5 | field(bits, 11, 7);
    match row.format {
        Format::R => Insn::new(op, rd, rs1, rs2, 0),
        Format::I => Insn::new(op, rd, rs1, 0, signed(bits >> 20, 12)),
        Format::Shift6 => Insn::new(op, rd, rs1, 0, field(bits, 25, 20).cast_signed()),
        Format::Shift5 => Insn::new(op, rd, rs1, 0, field(bits, 24, 20).cast_signed()),
        Format::S => Insn::new(op, 0, rs1, rs2, signed(store, 12)),
        Format::B => {
            let offset = field(bits, 31, 31) << 12 | field(bits, 7, 7) << 11 | store & 0x7e0 | store & 0x1e;
            Insn::new(op, 0, rs1, rs2, signed(offset, 13))
        }
        Format::U => Insn::new(op, rd, 0, 0, (bits & 0xffff_f000).cast_signed()),
        Format::J => {
            let offset = field(bits, 31, 31) << 20
                | field(bits, 19, 12) << 12
                | field(bits, 20, 20) << 11
                | field(bits, 30, 21) << 1;
            Insn::new(op, rd, 0, 0, signed(offset, 21))
        }
        Format::Csr => Insn::new(op, rd, rs1, 0, (bits >> 20).cast_signed()),
        Format::LoadFloat => Insn::new_float(op, rd, rs1, 0, signed(bits >> 20, 12)),
        Format::FloatRm | Format::Float => Insn::new_float(op, rd, rs1, rs2, float),
        Format::ToXRm | Format::ToX => Insn::new(op, rd, rs1, rs2, float),
    }
}

/// A compressed instruction.
pub fn decode_compressed(bits: u16) -> Insn {
    let bits = u32::from(bits);
    let insn = match bits & 3 {
        0 => quadrant_0(bits),
        1 => quadrant_1(bits),
        _ => quadrant_2(bits),
    };
    insn.unwrap_or(Insn::illegal(bits)).compressed()
}

/// `bits[high:low]`, moved to begin at bit `to`.
fn moved(bits: u32, high: u32, low: u32, to: u32) -> u32 {
    field(bits, high, low) << to
}

fn quadrant_0(bits: u32) -> Option<Insn> {
    let (rd, rs1) = (field(bits, 4, 2) as u8 + 8, field(bits, 9, 7) as u8 + 8);
    let word = (moved(bits, 12, 10, 3) | moved(bits, 6, 6, 2) | moved(bits, 5, 5, 6)).cast_signed();
    let double = (moved(bits, 12, 10, 3) | moved(bits, 6, 5, 6)).cast_signed();
    Some(match field(bits, 15, 13) {
        0 => {
            let imm = moved(bits, 12, 11, 4) | moved(bits, 10, 7, 6) | moved(bits, 6, 6, 2) | moved(bits, 5, 5, 3);
            if imm == 0 {
                return None;
            }
            Insn::new(Op::Addi, rd, 2, 0, imm.cast_signed())
        }
        1 => Insn::new_float(Op::Fld, rd, rs1, 0, double),
        2 => Insn::new(Op::Lw, rd, rs1, 0, word),
        3 => Insn::new(Op::Ld, rd, rs1, 0, double),
        5 => Insn::new(Op::Fsd, 0, rs1, rd, double),
        6 => Insn::new(Op::Sw, 0, rs1, rd, word),
        7 => Insn::new(Op::Sd, 0, rs1, rd, double),
        _ => return None,
    })
}

fn quadrant_1(bits: u32) -> Option<Insn> {
    let rd = field(bits, 11, 7) as u8;
    let imm = signed(moved(bits, 12, 12, 5) | field(bits, 6, 2), 6);
    let (short, short2) = (field(bits, 9, 7) as u8 + 8, field(bits, 4, 2) as u8 + 8);
    Some(match field(bits, 15, 13) {
        0 => Insn::new(Op::Addi, rd, rd, 0, imm),
        1 if rd != 0 => Insn::new(Op::Addiw, rd, rd, 0, imm),
        2 => Insn::new(Op::Addi, rd, 0, 0, imm),
        3 if imm != 0 && rd == 2 => {
            let imm = moved(bits, 12, 12, 9)
                | moved(bits, 6, 6, 4)
                | moved(bits, 5, 5, 6)
                | moved(bits, 4, 3, 7)
                | moved(bits, 2, 2, 5);
            Insn::new(Op::Addi, 2, 2, 0, signed(imm, 10))
        }
        3 if imm != 0 => Insn::new(Op::Lui, rd, 0, 0, imm << 12),
        4 => return arithmetic(bits, short, short2, imm),
        5 => {
            let offset = moved(bits, 12, 12, 11)
                | moved(bits, 11, 11, 4)
                | moved(bits, 10, 9, 8)
                | moved(bits, 8, 8, 10)
                | moved(bits, 7, 7, 6)
                | moved(bits, 6, 6, 7)
                | moved(bits, 5, 3, 1)
                | moved(bits, 2, 2, 5);
            Insn::new(Op::Jal, 0, 0, 0, signed(offset, 12))
        }
        6 | 7 => {
            let offset = moved(bits, 12, 12, 8)
                | moved(bits, 11, 10, 3)
                | moved(bits, 6, 5, 6)
                | moved(bits, 4, 3, 1)
                | moved(bits, 2, 2, 5);
            let op = if field(bits, 13, 13) == 0 { Op::Beq } else { Op::Bne };
            Insn::new(op, 0, short, 0, signed(offset, 9))
        }
        _ => return None,
    })
}

/// The register-register and shift part of quadrant 1.
fn arithmetic(bits: u32, rd: u8, rs2: u8, imm: i32) -> Option<Insn> {
    let op = match (field(bits, 11, 10), field(bits, 12, 12), field(bits, 6, 5)) {
        (0, ..) => return Some(Insn::new(Op::Srli, rd, rd, 0, imm & 63)),
        (1, ..) => return Some(Insn::new(Op::Srai, rd, rd, 0, imm & 63)),
        (2, ..) => return Some(Insn::new(Op::Andi, rd, rd, 0, imm)),
        (_, 0, 0) => Op::Sub,
        (_, 0, 1) => Op::Xor,
        (_, 0, 2) => Op::Or,
        (_, 0, _) => Op::And,
        (_, _, 0) => Op::Subw,
        (_, _, 1) => Op::Addw,
        _ => return None,
    };
    Some(Insn::new(op, rd, rd, rs2, 0))
}

fn quadrant_2(bits: u32) -> Option<Insn> {
    let (rd, rs2) = (field(bits, 11, 7) as u8, field(bits, 6, 2) as u8);
    let word = (moved(bits, 12, 12, 5) | moved(bits, 6, 4, 2) | moved(bits, 3, 2, 6)).cast_signed();
    let double = (moved(bits, 12, 12, 5) | moved(bits, 6, 5, 3) | moved(bits, 4, 2, 6)).cast_signed();
    let store_word = (moved(bits, 12, 9, 2) | moved(bits, 8, 7, 6)).cast_signed();
    let store_double = (moved(bits, 12, 10, 3) | moved(bits, 9, 7, 6)).cast_signed();
    Some(match (field(bits, 15, 13), field(bits, 12, 12)) {
        (0, high) => Insn::new(Op::Slli, rd, rd, 0, (high << 5 | u32::from(rs2)).cast_signed()),
        (1, _) => Insn::new_float(Op::Fld, rd, 2, 0, double),
        (2, _) if rd != 0 => Insn::new(Op::Lw, rd, 2, 0, word),
        (3, _) if rd != 0 => Insn::new(Op::Ld, rd, 2, 0, double),
        (4, 0) if rs2 == 0 && rd != 0 => Insn::new(Op::Jalr, 0, rd, 0, 0),
        (4, 0) if rs2 != 0 => Insn::new(Op::Addi, rd, rs2, 0, 0),
        (4, 1) if rs2 == 0 && rd == 0 => Insn::new(Op::Ebreak, 0, 0, 0, 0),
        (4, 1) if rs2 == 0 => Insn::new(Op::Jalr, 1, rd, 0, 0),
        (4, 1) => Insn::new(Op::Add, rd, rd, rs2, 0),
        (5, _) => Insn::new(Op::Fsd, 0, 2, rs2, store_double),
        (6, _) => Insn::new(Op::Sw, 0, 2, rs2, store_word),
        (7, _) => Insn::new(Op::Sd, 0, 2, rs2, store_double),
        _ => return None,
    })
}
