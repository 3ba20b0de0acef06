//! An assembler of one function an instruction.
#![allow(dead_code, reason = "a whole set is easier to use than exactly what is needed")]

fn r(opcode: u32, funct3: u32, funct7: u32, rd: u32, rs1: u32, rs2: u32) -> u32 {
    funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode
}

fn i(opcode: u32, funct3: u32, rd: u32, rs1: u32, imm: i32) -> u32 {
    (imm as u32 & 0xfff) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode
}

fn s(opcode: u32, funct3: u32, rs1: u32, rs2: u32, imm: i32) -> u32 {
    let imm = imm as u32;
    (imm >> 5 & 0x7f) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | (imm & 31) << 7 | opcode
}

pub fn add(rd: u32, rs1: u32, rs2: u32) -> u32 {
    r(0x33, 0, 0, rd, rs1, rs2)
}
pub fn sub(rd: u32, rs1: u32, rs2: u32) -> u32 {
    r(0x33, 0, 0x20, rd, rs1, rs2)
}
pub fn op(funct3: u32, funct7: u32, rd: u32, rs1: u32, rs2: u32) -> u32 {
    r(0x33, funct3, funct7, rd, rs1, rs2)
}
pub fn op32(funct3: u32, funct7: u32, rd: u32, rs1: u32, rs2: u32) -> u32 {
    r(0x3b, funct3, funct7, rd, rs1, rs2)
}
pub fn op_imm(funct3: u32, rd: u32, rs1: u32, imm: i32) -> u32 {
    i(0x13, funct3, rd, rs1, imm)
}
pub fn addi(rd: u32, rs1: u32, imm: i32) -> u32 {
    i(0x13, 0, rd, rs1, imm)
}
pub fn andi(rd: u32, rs1: u32, imm: i32) -> u32 {
    i(0x13, 7, rd, rs1, imm)
}
pub fn slli(rd: u32, rs1: u32, by: i32) -> u32 {
    i(0x13, 1, rd, rs1, by)
}
pub fn lui(rd: u32, imm: u32) -> u32 {
    imm & 0xffff_f000 | rd << 7 | 0x37
}
pub fn auipc(rd: u32, imm: u32) -> u32 {
    imm & 0xffff_f000 | rd << 7 | 0x17
}
/// `funct3`: 0 lb, 1 lh, 2 lw, 3 ld, 4 lbu, 5 lhu, 6 lwu.
pub fn load(funct3: u32, rd: u32, rs1: u32, imm: i32) -> u32 {
    i(0x03, funct3, rd, rs1, imm)
}
pub fn ld(rd: u32, rs1: u32, imm: i32) -> u32 {
    load(3, rd, rs1, imm)
}
/// `funct3`: 0 sb, 1 sh, 2 sw, 3 sd.
pub fn store(funct3: u32, rs2: u32, rs1: u32, imm: i32) -> u32 {
    s(0x23, funct3, rs1, rs2, imm)
}
pub fn sd(rs2: u32, rs1: u32, imm: i32) -> u32 {
    store(3, rs2, rs1, imm)
}
pub fn sw(rs2: u32, rs1: u32, imm: i32) -> u32 {
    store(2, rs2, rs1, imm)
}
pub fn fld(rd: u32, rs1: u32, imm: i32) -> u32 {
    i(0x07, 3, rd, rs1, imm)
}
pub fn fsd(rs2: u32, rs1: u32, imm: i32) -> u32 {
    s(0x27, 3, rs1, rs2, imm)
}
/// Double-precision addition, rounding as `rm` says.
pub fn fadd_d(rd: u32, rs1: u32, rs2: u32, rm: u32) -> u32 {
    r(0x53, rm, 1, rd, rs1, rs2)
}
pub fn fmv_d_x(rd: u32, rs1: u32) -> u32 {
    r(0x53, 0, 0x79, rd, rs1, 0)
}
/// `funct3`: 0 beq, 1 bne, 4 blt, 5 bge, 6 bltu, 7 bgeu.
pub fn branch(funct3: u32, rs1: u32, rs2: u32, offset: i32) -> u32 {
    let o = offset as u32;
    (o >> 12 & 1) << 31
        | (o >> 5 & 0x3f) << 25
        | rs2 << 20
        | rs1 << 15
        | funct3 << 12
        | (o >> 1 & 15) << 8
        | (o >> 11 & 1) << 7
        | 0x63
}
pub fn jal(rd: u32, offset: i32) -> u32 {
    let o = offset as u32;
    (o >> 20 & 1) << 31 | (o >> 1 & 0x3ff) << 21 | (o >> 11 & 1) << 20 | (o >> 12 & 0xff) << 12 | rd << 7 | 0x6f
}
pub fn jalr(rd: u32, rs1: u32, imm: i32) -> u32 {
    i(0x67, 0, rd, rs1, imm)
}
/// `funct3`: 1 rw, 2 rs, 3 rc; 5 to 7 with an immediate in place of `rs1`.
pub fn csr(funct3: u32, rd: u32, csr: u32, rs1: u32) -> u32 {
    csr << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x73
}
pub fn csrw(number: u32, rs1: u32) -> u32 {
    csr(1, 0, number, rs1)
}
pub fn csrr(rd: u32, number: u32) -> u32 {
    csr(2, rd, number, 0)
}
/// `funct3`: 2 words, 3 doubles.
pub fn amo(funct5: u32, funct3: u32, rd: u32, rs1: u32, rs2: u32) -> u32 {
    r(0x2f, funct3, funct5 << 2, rd, rs1, rs2)
}
pub fn lr_d(rd: u32, rs1: u32) -> u32 {
    amo(2, 3, rd, rs1, 0)
}
pub fn sc_d(rd: u32, rs1: u32, rs2: u32) -> u32 {
    amo(3, 3, rd, rs1, rs2)
}
pub fn sfence_vma(rs1: u32, rs2: u32) -> u32 {
    r(0x73, 0, 9, 0, rs1, rs2)
}
pub fn cbo_zero(rs1: u32) -> u32 {
    i(0x0f, 2, 0, rs1, 4)
}

pub const NOP: u32 = 0x13;
pub const FENCE_I: u32 = 0x100f;
pub const ECALL: u32 = 0x73;
pub const EBREAK: u32 = 0x10_0073;
pub const SRET: u32 = 0x1020_0073;
pub const WFI: u32 = 0x1050_0073;

pub const FCSR: u32 = 0x003;
pub const SSTATUS: u32 = 0x100;
pub const SIE: u32 = 0x104;
pub const STVEC: u32 = 0x105;
pub const SCOUNTEREN: u32 = 0x106;
pub const SENVCFG: u32 = 0x10a;
pub const SEPC: u32 = 0x141;
pub const SCAUSE: u32 = 0x142;
pub const STVAL: u32 = 0x143;
pub const SIP: u32 = 0x144;
pub const STIMECMP: u32 = 0x14d;
pub const SATP: u32 = 0x180;
pub const CYCLE: u32 = 0xc00;
pub const TIME: u32 = 0xc01;
pub const INSTRET: u32 = 0xc02;

/// Any number, in eleven instructions.
pub fn li(rd: u32, value: u64) -> Vec<u32> {
    let mut code = vec![addi(rd, 0, (value >> 55) as i32)];
    // Five chunks of eleven bits, so that no immediate is negative.
    for chunk in (0..5).rev() {
        code.push(slli(rd, rd, 11));
        code.push(op_imm(6, rd, rd, (value >> (11 * chunk)) as i32 & 0x7ff));
    }
    code
}

/// Parts of a program, one behind the other.
pub fn program(parts: &[&[u32]]) -> Vec<u32> {
    parts.concat()
}
