//! Encodings of the C extension: one row an instruction, operands placed as the manual's tables draw them.

use super::encode::place;

/// Where the operands of a compressed instruction go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Full register, read and written, and an immediate.
    Immediate,
    /// Full register, written, and an immediate.
    Load,
    /// Full register, stored relative to `sp`, and an immediate.
    StoreStack,
    /// Small register, read and written, and an immediate.
    SmallImmediate,
    /// Small register, written, and an immediate.
    SmallLoad,
    /// Two small registers, the first read and written.
    SmallPair,
    /// Small register at bit 2 loaded from a small base at bit 7.
    BaseLoad,
    /// Small register at bit 2 stored to a small base at bit 7.
    BaseStore,
    /// Two full registers, the first written.
    Pair,
    /// `c.addi16sp`: the stack pointer and an immediate.
    Stack,
}

/// One instruction.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// As the assembler spells it.
    pub name: &'static str,
    /// Where its operands go.
    pub form: Form,
    /// Its data register is one of the floating-point file.
    pub float: bool,
    /// The parcel without operands.
    pub parcel: u16,
    /// Places of the immediate.
    pub parts: &'static [(u32, u32, u32)],
    /// Immediates that it may have.
    pub range: Range,
}

/// Multiples of `step` from `least` to `most`, zero only where it may be.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// The least.
    pub least: i32,
    /// The greatest.
    pub most: i32,
    /// All are multiples of this.
    pub step: i32,
    /// Zero encodes something else.
    pub nonzero: bool,
}

const fn any(least: i32, most: i32, step: i32) -> Range {
    Range { least, most, step, nonzero: false }
}

const fn nonzero(least: i32, most: i32, step: i32) -> Range {
    Range { least, most, step, nonzero: true }
}

const fn int(name: &'static str, form: Form, parcel: u16, parts: &'static [(u32, u32, u32)], range: Range) -> Row {
    Row { name, form, float: false, parcel, parts, range }
}

const fn float(name: &'static str, form: Form, parcel: u16, parts: &'static [(u32, u32, u32)], range: Range) -> Row {
    Row { name, form, float: true, parcel, parts, range }
}

type Parts = &'static [(u32, u32, u32)];
const SIX: Parts = &[(5, 5, 12), (4, 0, 2)];
const WORD: Parts = &[(5, 3, 10), (2, 2, 6), (6, 6, 5)];
const DOUBLE: Parts = &[(5, 3, 10), (7, 6, 5)];
const WORD_STACK_LOAD: Parts = &[(5, 5, 12), (4, 2, 4), (7, 6, 2)];
const DOUBLE_STACK_LOAD: Parts = &[(5, 5, 12), (4, 3, 5), (8, 6, 2)];
const WORD_STACK_STORE: Parts = &[(5, 2, 9), (7, 6, 7)];
const DOUBLE_STACK_STORE: Parts = &[(5, 3, 10), (8, 6, 7)];
const NONE: Parts = &[];
const ZERO: Range = any(0, 0, 1);
const SIGNED: Range = any(-32, 31, 1);
const WORDS: Range = any(0, 124, 4);
const DOUBLES: Range = any(0, 248, 8);
const STACK_WORDS: Range = any(0, 252, 4);
const STACK_DOUBLES: Range = any(0, 504, 8);

/// Everything but jumps, branches and `c.ebreak`.
pub const ROWS: &[Row] = &[
    int("c.addi4spn", Form::SmallLoad, 0x0000, &[(5, 4, 11), (9, 6, 7), (2, 2, 6), (3, 3, 5)], nonzero(4, 1020, 4)),
    float("c.fld", Form::BaseLoad, 0x2000, DOUBLE, DOUBLES),
    int("c.lw", Form::BaseLoad, 0x4000, WORD, WORDS),
    int("c.ld", Form::BaseLoad, 0x6000, DOUBLE, DOUBLES),
    float("c.fsd", Form::BaseStore, 0xa000, DOUBLE, DOUBLES),
    int("c.sw", Form::BaseStore, 0xc000, WORD, WORDS),
    int("c.sd", Form::BaseStore, 0xe000, DOUBLE, DOUBLES),
    int("c.addi", Form::Immediate, 0x0001, SIX, SIGNED),
    int("c.addiw", Form::Immediate, 0x2001, SIX, SIGNED),
    int("c.li", Form::Load, 0x4001, SIX, SIGNED),
    int(
        "c.addi16sp",
        Form::Stack,
        0x6101,
        &[(9, 9, 12), (4, 4, 6), (6, 6, 5), (8, 7, 3), (5, 5, 2)],
        nonzero(-512, 496, 16),
    ),
    int("c.lui", Form::Load, 0x6001, SIX, nonzero(-32, 31, 1)),
    int("c.srli", Form::SmallImmediate, 0x8001, SIX, any(0, 63, 1)),
    int("c.srai", Form::SmallImmediate, 0x8401, SIX, any(0, 63, 1)),
    int("c.andi", Form::SmallImmediate, 0x8801, SIX, SIGNED),
    int("c.sub", Form::SmallPair, 0x8c01, NONE, ZERO),
    int("c.xor", Form::SmallPair, 0x8c21, NONE, ZERO),
    int("c.or", Form::SmallPair, 0x8c41, NONE, ZERO),
    int("c.and", Form::SmallPair, 0x8c61, NONE, ZERO),
    int("c.subw", Form::SmallPair, 0x9c01, NONE, ZERO),
    int("c.addw", Form::SmallPair, 0x9c21, NONE, ZERO),
    int("c.slli", Form::Immediate, 0x0002, SIX, any(0, 63, 1)),
    float("c.fldsp", Form::Load, 0x2002, DOUBLE_STACK_LOAD, STACK_DOUBLES),
    int("c.lwsp", Form::Load, 0x4002, WORD_STACK_LOAD, STACK_WORDS),
    int("c.ldsp", Form::Load, 0x6002, DOUBLE_STACK_LOAD, STACK_DOUBLES),
    int("c.mv", Form::Pair, 0x8002, NONE, ZERO),
    int("c.add", Form::Pair, 0x9002, NONE, ZERO),
    float("c.fsdsp", Form::StoreStack, 0xa002, DOUBLE_STACK_STORE, STACK_DOUBLES),
    int("c.swsp", Form::StoreStack, 0xc002, WORD_STACK_STORE, STACK_WORDS),
    int("c.sdsp", Form::StoreStack, 0xe002, DOUBLE_STACK_STORE, STACK_DOUBLES),
];

/// Number of a small register, x8 to x15, as three bits.
fn small(register: u32) -> u32 {
    assert!((8..16).contains(&register), "x{register} is not a small register");
    register - 8
}

impl Row {
    /// The parcel: `data` is what is written or stored, `other` the base or the second source.
    pub fn encode(&self, data: u32, other: u32, imm: i32) -> u16 {
        let registers = match self.form {
            Form::Immediate | Form::Load => data << 7,
            Form::StoreStack => data << 2,
            Form::SmallImmediate => small(data) << 7,
            Form::SmallLoad => small(data) << 2,
            Form::SmallPair => small(data) << 7 | small(other) << 2,
            Form::BaseLoad | Form::BaseStore => small(other) << 7 | small(data) << 2,
            Form::Pair => data << 7 | other << 2,
            Form::Stack => 0,
        };
        self.parcel | (registers | place(imm as u32, self.parts)) as u16
    }

    /// As a person reads it.
    pub fn text(&self, data: u32, other: u32, imm: i32) -> String {
        let (name, file) = (self.name, if self.float { 'f' } else { 'x' });
        match self.form {
            Form::Immediate | Form::Load | Form::SmallImmediate | Form::SmallLoad | Form::StoreStack => {
                format!("{name} {file}{data}, {imm}")
            }
            Form::SmallPair | Form::Pair => format!("{name} {file}{data}, {file}{other}"),
            Form::BaseLoad | Form::BaseStore => format!("{name} {file}{data}, {imm}(x{other})"),
            Form::Stack => format!("{name} {imm}"),
        }
    }
}

/// `c.j .+offset`.
pub fn j(offset: i32) -> u16 {
    const PARTS: Parts =
        &[(11, 11, 12), (4, 4, 11), (9, 8, 9), (10, 10, 8), (6, 6, 7), (7, 7, 6), (3, 1, 3), (5, 5, 2)];
    assert!((-2048..2048).contains(&offset), "c.j reaches 2 KiB, not {offset}");
    0xa001 | place(offset as u32, PARTS) as u16
}

/// `c.beqz` or `c.bnez rs1, .+offset`.
pub fn branch(nonzero: bool, rs1: u32, offset: i32) -> u16 {
    const PARTS: Parts = &[(8, 8, 12), (4, 3, 10), (7, 6, 5), (2, 1, 3), (5, 5, 2)];
    assert!((-256..256).contains(&offset), "c.beqz reaches 256 bytes, not {offset}");
    0xc001 | (u32::from(nonzero) << 13 | small(rs1) << 7 | place(offset as u32, PARTS)) as u16
}

/// `c.jr rs1`.
pub fn jr(rs1: u32) -> u16 {
    0x8002 | (rs1 << 7) as u16
}

/// `c.jalr rs1`.
pub fn jalr(rs1: u32) -> u16 {
    0x9002 | (rs1 << 7) as u16
}
