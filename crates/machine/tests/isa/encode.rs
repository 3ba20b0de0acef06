//! Encodings: one row an instruction, from the unprivileged manual's opcode tables and the bit-manipulation and cache-block specifications.
//!
//! The hart's decoder is not used here: who tests a decoder must not borrow it.

/// How a row's operands are placed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// `rd, rs1, rs2`.
    R,
    /// `rd, rs1`.
    Unary,
    /// `rd, rs1, imm12`.
    I,
    /// `rd, rs1, shamt` of six bits.
    Shift64,
    /// `rd, rs1, shamt` of five bits.
    Shift32,
    /// `rd, imm20`.
    Upper,
    /// `rd, imm12(rs1)`.
    Load,
    /// `rs2, imm12(rs1)`.
    Store,
    /// `fd, imm12(rs1)`.
    FloatLoad,
    /// `fs2, imm12(rs1)`.
    FloatStore,
    /// `rd, rs2, (rs1)` with aq and rl.
    Amo,
    /// `rs1, rs2, offset`.
    Branch,
    /// `fd, fs1, fs2` with a rounding mode.
    Float2Rm,
    /// `fd, fs1, fs2`.
    Float2,
    /// `fd, fs1` with a rounding mode.
    Float1Rm,
    /// `fd, fs1, fs2, fs3` with a rounding mode.
    Float3Rm,
    /// `rd, fs1, fs2`.
    Compare,
    /// `rd, fs1` with a rounding mode.
    ToInteger,
    /// `rd, fs1`.
    MoveToInteger,
    /// `fd, rs1` with a rounding mode.
    FromInteger,
    /// `fd, rs1`.
    MoveFromInteger,
}

/// One instruction.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// As the assembler spells it.
    pub name: &'static str,
    /// Where its operands go.
    pub form: Form,
    /// The word without operands.
    pub word: u32,
}

const fn r(name: &'static str, opcode: u32, funct3: u32, funct7: u32) -> Row {
    Row { name, form: Form::R, word: opcode | funct3 << 12 | funct7 << 25 }
}

const fn row(name: &'static str, form: Form, word: u32) -> Row {
    Row { name, form, word }
}

const fn float(name: &'static str, form: Form, funct3: u32, rs2: u32, funct7: u32) -> Row {
    Row { name, form, word: 0x53 | funct3 << 12 | rs2 << 20 | funct7 << 25 }
}

/// Integer computation: RV64I, M, Zba, Zbb, Zbs.
pub const INTEGER: &[Row] = &[
    r("add", 0x33, 0, 0x00),
    r("sub", 0x33, 0, 0x20),
    r("sll", 0x33, 1, 0x00),
    r("slt", 0x33, 2, 0x00),
    r("sltu", 0x33, 3, 0x00),
    r("xor", 0x33, 4, 0x00),
    r("srl", 0x33, 5, 0x00),
    r("sra", 0x33, 5, 0x20),
    r("or", 0x33, 6, 0x00),
    r("and", 0x33, 7, 0x00),
    r("addw", 0x3b, 0, 0x00),
    r("subw", 0x3b, 0, 0x20),
    r("sllw", 0x3b, 1, 0x00),
    r("srlw", 0x3b, 5, 0x00),
    r("sraw", 0x3b, 5, 0x20),
    r("mul", 0x33, 0, 0x01),
    r("mulh", 0x33, 1, 0x01),
    r("mulhsu", 0x33, 2, 0x01),
    r("mulhu", 0x33, 3, 0x01),
    r("div", 0x33, 4, 0x01),
    r("divu", 0x33, 5, 0x01),
    r("rem", 0x33, 6, 0x01),
    r("remu", 0x33, 7, 0x01),
    r("mulw", 0x3b, 0, 0x01),
    r("divw", 0x3b, 4, 0x01),
    r("divuw", 0x3b, 5, 0x01),
    r("remw", 0x3b, 6, 0x01),
    r("remuw", 0x3b, 7, 0x01),
    r("sh1add", 0x33, 2, 0x10),
    r("sh2add", 0x33, 4, 0x10),
    r("sh3add", 0x33, 6, 0x10),
    r("add.uw", 0x3b, 0, 0x04),
    r("sh1add.uw", 0x3b, 2, 0x10),
    r("sh2add.uw", 0x3b, 4, 0x10),
    r("sh3add.uw", 0x3b, 6, 0x10),
    r("andn", 0x33, 7, 0x20),
    r("orn", 0x33, 6, 0x20),
    r("xnor", 0x33, 4, 0x20),
    r("min", 0x33, 4, 0x05),
    r("minu", 0x33, 5, 0x05),
    r("max", 0x33, 6, 0x05),
    r("maxu", 0x33, 7, 0x05),
    r("rol", 0x33, 1, 0x30),
    r("ror", 0x33, 5, 0x30),
    r("rolw", 0x3b, 1, 0x30),
    r("rorw", 0x3b, 5, 0x30),
    r("bclr", 0x33, 1, 0x24),
    r("bext", 0x33, 5, 0x24),
    r("binv", 0x33, 1, 0x34),
    r("bset", 0x33, 1, 0x14),
    row("addi", Form::I, 0x0000_0013),
    row("slti", Form::I, 0x0000_2013),
    row("sltiu", Form::I, 0x0000_3013),
    row("xori", Form::I, 0x0000_4013),
    row("ori", Form::I, 0x0000_6013),
    row("andi", Form::I, 0x0000_7013),
    row("addiw", Form::I, 0x0000_001b),
    row("slli", Form::Shift64, 0x0000_1013),
    row("srli", Form::Shift64, 0x0000_5013),
    row("srai", Form::Shift64, 0x4000_5013),
    row("rori", Form::Shift64, 0x6000_5013),
    row("slli.uw", Form::Shift64, 0x0800_101b),
    row("bclri", Form::Shift64, 0x4800_1013),
    row("bexti", Form::Shift64, 0x4800_5013),
    row("binvi", Form::Shift64, 0x6800_1013),
    row("bseti", Form::Shift64, 0x2800_1013),
    row("slliw", Form::Shift32, 0x0000_101b),
    row("srliw", Form::Shift32, 0x0000_501b),
    row("sraiw", Form::Shift32, 0x4000_501b),
    row("roriw", Form::Shift32, 0x6000_501b),
    row("clz", Form::Unary, 0x6000_1013),
    row("ctz", Form::Unary, 0x6010_1013),
    row("cpop", Form::Unary, 0x6020_1013),
    row("sext.b", Form::Unary, 0x6040_1013),
    row("sext.h", Form::Unary, 0x6050_1013),
    row("clzw", Form::Unary, 0x6000_101b),
    row("ctzw", Form::Unary, 0x6010_101b),
    row("cpopw", Form::Unary, 0x6020_101b),
    row("zext.h", Form::Unary, 0x0800_403b),
    row("orc.b", Form::Unary, 0x2870_5013),
    row("rev8", Form::Unary, 0x6b80_5013),
    row("lui", Form::Upper, 0x0000_0037),
    row("auipc", Form::Upper, 0x0000_0017),
];

/// Loads and stores.
pub const MEMORY: &[Row] = &[
    row("lb", Form::Load, 0x0000_0003),
    row("lh", Form::Load, 0x0000_1003),
    row("lw", Form::Load, 0x0000_2003),
    row("ld", Form::Load, 0x0000_3003),
    row("lbu", Form::Load, 0x0000_4003),
    row("lhu", Form::Load, 0x0000_5003),
    row("lwu", Form::Load, 0x0000_6003),
    row("flw", Form::FloatLoad, 0x0000_2007),
    row("fld", Form::FloatLoad, 0x0000_3007),
    row("sb", Form::Store, 0x0000_0023),
    row("sh", Form::Store, 0x0000_1023),
    row("sw", Form::Store, 0x0000_2023),
    row("sd", Form::Store, 0x0000_3023),
    row("fsw", Form::FloatStore, 0x0000_2027),
    row("fsd", Form::FloatStore, 0x0000_3027),
];

/// Read-modify-write. LR and SC are apart: [`LR_W`] and its neighbours.
pub const AMO: &[Row] = &[
    row("amoadd.w", Form::Amo, 0x0000_202f),
    row("amoswap.w", Form::Amo, 0x0800_202f),
    row("amoxor.w", Form::Amo, 0x2000_202f),
    row("amoor.w", Form::Amo, 0x4000_202f),
    row("amoand.w", Form::Amo, 0x6000_202f),
    row("amomin.w", Form::Amo, 0x8000_202f),
    row("amomax.w", Form::Amo, 0xa000_202f),
    row("amominu.w", Form::Amo, 0xc000_202f),
    row("amomaxu.w", Form::Amo, 0xe000_202f),
    row("amoadd.d", Form::Amo, 0x0000_302f),
    row("amoswap.d", Form::Amo, 0x0800_302f),
    row("amoxor.d", Form::Amo, 0x2000_302f),
    row("amoor.d", Form::Amo, 0x4000_302f),
    row("amoand.d", Form::Amo, 0x6000_302f),
    row("amomin.d", Form::Amo, 0x8000_302f),
    row("amomax.d", Form::Amo, 0xa000_302f),
    row("amominu.d", Form::Amo, 0xc000_302f),
    row("amomaxu.d", Form::Amo, 0xe000_302f),
];

/// Load reserved, 4 and 8 bytes.
pub const LR: [Row; 2] = [row("lr.w", Form::Amo, 0x1000_202f), row("lr.d", Form::Amo, 0x1000_302f)];
/// Store conditional, 4 and 8 bytes.
pub const SC: [Row; 2] = [row("sc.w", Form::Amo, 0x1800_202f), row("sc.d", Form::Amo, 0x1800_302f)];

/// Conditional branches.
pub const BRANCH: &[Row] = &[
    row("beq", Form::Branch, 0x0000_0063),
    row("bne", Form::Branch, 0x0000_1063),
    row("blt", Form::Branch, 0x0000_4063),
    row("bge", Form::Branch, 0x0000_5063),
    row("bltu", Form::Branch, 0x0000_6063),
    row("bgeu", Form::Branch, 0x0000_7063),
];

/// F and D.
pub const FLOAT: &[Row] = &[
    float("fadd.s", Form::Float2Rm, 0, 0, 0x00),
    float("fsub.s", Form::Float2Rm, 0, 0, 0x04),
    float("fmul.s", Form::Float2Rm, 0, 0, 0x08),
    float("fdiv.s", Form::Float2Rm, 0, 0, 0x0c),
    float("fsqrt.s", Form::Float1Rm, 0, 0, 0x2c),
    float("fsgnj.s", Form::Float2, 0, 0, 0x10),
    float("fsgnjn.s", Form::Float2, 1, 0, 0x10),
    float("fsgnjx.s", Form::Float2, 2, 0, 0x10),
    float("fmin.s", Form::Float2, 0, 0, 0x14),
    float("fmax.s", Form::Float2, 1, 0, 0x14),
    float("fle.s", Form::Compare, 0, 0, 0x50),
    float("flt.s", Form::Compare, 1, 0, 0x50),
    float("feq.s", Form::Compare, 2, 0, 0x50),
    float("fcvt.w.s", Form::ToInteger, 0, 0, 0x60),
    float("fcvt.wu.s", Form::ToInteger, 0, 1, 0x60),
    float("fcvt.l.s", Form::ToInteger, 0, 2, 0x60),
    float("fcvt.lu.s", Form::ToInteger, 0, 3, 0x60),
    float("fcvt.s.w", Form::FromInteger, 0, 0, 0x68),
    float("fcvt.s.wu", Form::FromInteger, 0, 1, 0x68),
    float("fcvt.s.l", Form::FromInteger, 0, 2, 0x68),
    float("fcvt.s.lu", Form::FromInteger, 0, 3, 0x68),
    float("fmv.x.w", Form::MoveToInteger, 0, 0, 0x70),
    float("fclass.s", Form::MoveToInteger, 1, 0, 0x70),
    float("fmv.w.x", Form::MoveFromInteger, 0, 0, 0x78),
    float("fadd.d", Form::Float2Rm, 0, 0, 0x01),
    float("fsub.d", Form::Float2Rm, 0, 0, 0x05),
    float("fmul.d", Form::Float2Rm, 0, 0, 0x09),
    float("fdiv.d", Form::Float2Rm, 0, 0, 0x0d),
    float("fsqrt.d", Form::Float1Rm, 0, 0, 0x2d),
    float("fsgnj.d", Form::Float2, 0, 0, 0x11),
    float("fsgnjn.d", Form::Float2, 1, 0, 0x11),
    float("fsgnjx.d", Form::Float2, 2, 0, 0x11),
    float("fmin.d", Form::Float2, 0, 0, 0x15),
    float("fmax.d", Form::Float2, 1, 0, 0x15),
    float("fle.d", Form::Compare, 0, 0, 0x51),
    float("flt.d", Form::Compare, 1, 0, 0x51),
    float("feq.d", Form::Compare, 2, 0, 0x51),
    float("fcvt.s.d", Form::Float1Rm, 0, 1, 0x20),
    float("fcvt.d.s", Form::Float1Rm, 0, 0, 0x21),
    float("fcvt.w.d", Form::ToInteger, 0, 0, 0x61),
    float("fcvt.wu.d", Form::ToInteger, 0, 1, 0x61),
    float("fcvt.l.d", Form::ToInteger, 0, 2, 0x61),
    float("fcvt.lu.d", Form::ToInteger, 0, 3, 0x61),
    float("fcvt.d.w", Form::FromInteger, 0, 0, 0x69),
    float("fcvt.d.wu", Form::FromInteger, 0, 1, 0x69),
    float("fcvt.d.l", Form::FromInteger, 0, 2, 0x69),
    float("fcvt.d.lu", Form::FromInteger, 0, 3, 0x69),
    float("fmv.x.d", Form::MoveToInteger, 0, 0, 0x71),
    float("fclass.d", Form::MoveToInteger, 1, 0, 0x71),
    float("fmv.d.x", Form::MoveFromInteger, 0, 0, 0x79),
    row("fmadd.s", Form::Float3Rm, 0x0000_0043),
    row("fmsub.s", Form::Float3Rm, 0x0000_0047),
    row("fnmsub.s", Form::Float3Rm, 0x0000_004b),
    row("fnmadd.s", Form::Float3Rm, 0x0000_004f),
    row("fmadd.d", Form::Float3Rm, 0x0200_0043),
    row("fmsub.d", Form::Float3Rm, 0x0200_0047),
    row("fnmsub.d", Form::Float3Rm, 0x0200_004b),
    row("fnmadd.d", Form::Float3Rm, 0x0200_004f),
];

/// Operands; what a form does not take is ignored.
#[derive(Clone, Copy, Default, Debug)]
pub struct Operands {
    /// Destination.
    pub rd: u32,
    /// First source, or the base of an address.
    pub rs1: u32,
    /// Second source, or what is stored.
    pub rs2: u32,
    /// Third source.
    pub rs3: u32,
    /// Immediate, offset or amount.
    pub imm: i32,
    /// Rounding mode, or aq and rl.
    pub mode: u32,
}

impl Row {
    /// The word with its operands.
    pub fn encode(&self, o: Operands) -> u32 {
        let imm = o.imm as u32;
        let (rd, rs1, rs2, rm) = (o.rd << 7, o.rs1 << 15, o.rs2 << 20, o.mode << 12);
        self.word
            | match self.form {
                Form::R | Form::Float2 | Form::Compare => rd | rs1 | rs2,
                Form::Unary | Form::MoveToInteger | Form::MoveFromInteger => rd | rs1,
                Form::I | Form::Load | Form::FloatLoad => rd | rs1 | (imm & 0xfff) << 20,
                Form::Shift64 => rd | rs1 | (imm & 0x3f) << 20,
                Form::Shift32 => rd | rs1 | (imm & 0x1f) << 20,
                Form::Upper => rd | imm << 12,
                Form::Store | Form::FloatStore => rs1 | rs2 | place(imm, &[(11, 5, 25), (4, 0, 7)]),
                Form::Amo => rd | rs1 | rs2 | o.mode << 25,
                Form::Branch => rs1 | rs2 | place(imm, &[(12, 12, 31), (10, 5, 25), (4, 1, 8), (11, 11, 7)]),
                Form::Float2Rm => rd | rs1 | rs2 | rm,
                Form::Float1Rm | Form::ToInteger | Form::FromInteger => rd | rs1 | rm,
                Form::Float3Rm => rd | rs1 | rs2 | o.rs3 << 27 | rm,
            }
    }

    /// As the assembler would print it, near enough for a person.
    pub fn text(&self, o: Operands) -> String {
        let Operands { rd, rs1, rs2, rs3, imm, mode } = o;
        let name = self.name;
        match self.form {
            Form::R => format!("{name} x{rd}, x{rs1}, x{rs2}"),
            Form::Unary => format!("{name} x{rd}, x{rs1}"),
            Form::I | Form::Shift64 | Form::Shift32 => format!("{name} x{rd}, x{rs1}, {imm}"),
            Form::Upper => format!("{name} x{rd}, {:#x}", imm & 0xf_ffff),
            Form::Load => format!("{name} x{rd}, {imm}(x{rs1})"),
            Form::FloatLoad => format!("{name} f{rd}, {imm}(x{rs1})"),
            Form::Store => format!("{name} x{rs2}, {imm}(x{rs1})"),
            Form::FloatStore => format!("{name} f{rs2}, {imm}(x{rs1})"),
            Form::Amo => format!("{name} x{rd}, x{rs2}, (x{rs1})"),
            Form::Branch => format!("{name} x{rs1}, x{rs2}, .{imm:+}"),
            Form::Float2Rm => format!("{name} f{rd}, f{rs1}, f{rs2}, {}", ROUNDING[mode as usize]),
            Form::Float2 => format!("{name} f{rd}, f{rs1}, f{rs2}"),
            Form::Float1Rm => format!("{name} f{rd}, f{rs1}, {}", ROUNDING[mode as usize]),
            Form::Float3Rm => format!("{name} f{rd}, f{rs1}, f{rs2}, f{rs3}, {}", ROUNDING[mode as usize]),
            Form::Compare => format!("{name} x{rd}, f{rs1}, f{rs2}"),
            Form::ToInteger => format!("{name} x{rd}, f{rs1}, {}", ROUNDING[mode as usize]),
            Form::MoveToInteger => format!("{name} x{rd}, f{rs1}"),
            Form::FromInteger => format!("{name} f{rd}, x{rs1}, {}", ROUNDING[mode as usize]),
            Form::MoveFromInteger => format!("{name} f{rd}, x{rs1}"),
        }
    }
}

/// Names of rounding modes; 5 and 6 are reserved.
const ROUNDING: [&str; 8] = ["rne", "rtz", "rdn", "rup", "rmm", "5", "6", "dyn"];

/// The row with this name.
pub fn named(name: &str) -> Row {
    [INTEGER, MEMORY, AMO, &LR, &SC, BRANCH, FLOAT]
        .into_iter()
        .flatten()
        .find(|row| row.name == name)
        .copied()
        .unwrap_or_else(|| panic!("no instruction {name}"))
}

/// `jal rd, .+offset`.
pub fn jal(rd: u32, offset: i32) -> u32 {
    0x6f | rd << 7 | place(offset as u32, &[(20, 20, 31), (10, 1, 21), (11, 11, 20), (19, 12, 12)])
}

/// `jalr rd, imm(rs1)`.
pub fn jalr(rd: u32, rs1: u32, imm: i32) -> u32 {
    0x67 | rd << 7 | rs1 << 15 | (imm as u32 & 0xfff) << 20
}

/// What an instruction does to a control and status register: funct3.
#[derive(Clone, Copy, Debug)]
pub enum Csr {
    /// Write.
    Write = 1,
    /// Set bits.
    Set = 2,
    /// Clear bits.
    Clear = 3,
    /// Write five bits.
    WriteImmediate = 5,
    /// Set some of five bits.
    SetImmediate = 6,
    /// Clear some of five bits.
    ClearImmediate = 7,
}

/// `csrr[wsc][i] rd, number, source`.
pub fn csr(op: Csr, rd: u32, number: u32, source: u32) -> u32 {
    0x73 | (op as u32) << 12 | rd << 7 | source << 15 | number << 20
}

/// `ecall`.
pub const ECALL: u32 = 0x73;
/// `sret`.
pub const SRET: u32 = 0x1020_0073;

/// Takes bits `hi..=lo` of a value to bit `at`, for each triple.
pub fn place(value: u32, parts: &[(u32, u32, u32)]) -> u32 {
    parts.iter().map(|&(hi, lo, at)| (value >> lo & ((2 << (hi - lo)) - 1)) << at).sum()
}
