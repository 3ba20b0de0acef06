//! Which bits are an instruction of S-mode: by the tables of the encodings alone, and by the hart.

use super::compressed;
use super::computer::Computer;
use super::encode::{self, AMO, BRANCH, Csr, FLOAT, Form, INTEGER, LR, MEMORY, Operands, Row, SC};
use gapless_machine::RAM_BASE;
use gapless_machine::hart::Exit;

/// Control and status registers of S-mode.
const CSRS: [u32; 18] = [
    0x001, 0x002, 0x003, 0x100, 0x104, 0x105, 0x106, 0x10a, 0x140, 0x141, 0x142, 0x143, 0x144, 0x14d, 0x180, 0xc00,
    0xc01, 0xc02,
];

/// Every instruction of four bytes that has a row.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    [INTEGER, MEMORY, AMO, &LR, &SC, BRANCH, FLOAT].into_iter().flatten()
}

/// Whether four bytes are an instruction.
pub fn is_instruction(word: u32) -> bool {
    rows().any(|row| is_one_of(row, word)) || jumps_or_orders(word) || is_system(word)
}

/// The word is this row's with some operands.
fn is_one_of(row: &Row, word: u32) -> bool {
    let ones = Operands { rd: 31, rs1: 31, rs2: 31, rs3: 31, imm: -1, mode: if row.form == Form::Amo { 3 } else { 7 } };
    let operands = row.encode(ones) ^ row.encode(Operands::default());
    let rounds =
        matches!(row.form, Form::Float1Rm | Form::Float2Rm | Form::Float3Rm | Form::ToInteger | Form::FromInteger);
    let rounding = word >> 12 & 7;
    let reserves = row.name.starts_with("lr.");
    word & !operands == row.word && !(rounds && matches!(rounding, 5 | 6)) && !(reserves && word >> 20 & 31 != 0)
}

/// JAL, JALR, FENCE, FENCE.I, CBO.ZERO.
fn jumps_or_orders(word: u32) -> bool {
    match word & 0x7f {
        0x6f => true,
        0x67 => word >> 12 & 7 == 0,
        0x0f => matches!(word >> 12 & 7, 0 | 1) || word & !0x000f_8000 == 0x0040_200f,
        _ => false,
    }
}

fn is_system(word: u32) -> bool {
    const ECALL: u32 = 0x0000_0073;
    const EBREAK: u32 = 0x0010_0073;
    const SRET: u32 = 0x1020_0073;
    const WFI: u32 = 0x1050_0073;
    const SFENCE_VMA: u32 = 0x1200_0073;
    if word & 0x7f != 0x73 {
        return false;
    }
    let (number, op, source) = (word >> 20, word >> 12 & 7, word >> 15 & 31);
    match op {
        0 => matches!(word, ECALL | EBREAK | SRET | WFI) || word & !0x01ff_8000 == SFENCE_VMA,
        4 => false,
        _ => {
            let writes = matches!(op, 1 | 5) || source != 0;
            CSRS.contains(&number) && !(writes && number >> 10 == 3)
        }
    }
}

/// Whether two bytes are an instruction.
pub fn is_compressed(parcel: u16) -> bool {
    const C_EBREAK: u16 = 0x9002;
    let jumps = parcel & 0xe003 == 0xa001;
    let branches = parcel & 0xc003 == 0xc001;
    let through_register = parcel & 0xe07f == 0x8002 && parcel & 0x0f80 != 0;
    jumps
        || branches
        || through_register
        || parcel == C_EBREAK
        || compressed::ROWS.iter().any(|row| is_short(row, parcel))
}

fn is_short(row: &compressed::Row, parcel: u16) -> bool {
    use compressed::Form::*;
    let registers = match row.form {
        Immediate | Load => 0x0f80,
        StoreStack => 0x007c,
        SmallImmediate => 0x0380,
        SmallLoad => 0x001c,
        SmallPair | BaseLoad | BaseStore => 0x039c,
        Pair => 0x0ffc,
        Stack => 0,
    };
    let immediate = encode::place(u32::MAX, row.parts) as u16;
    let (rd, rs2) = (parcel >> 7 & 31, parcel >> 2 & 31);
    let reserved = match row.name {
        "c.addiw" | "c.lwsp" | "c.ldsp" => rd == 0,
        "c.lui" => rd == 2,
        "c.mv" | "c.add" => rs2 == 0,
        _ => false,
    };
    let nothing = row.range.nonzero && parcel & immediate == 0;
    parcel & !(registers | immediate) == row.parcel && !reserved && !nothing
}

/// Asks the hart whether bits are an instruction.
pub struct Legality {
    computer: Computer,
}

impl Legality {
    const HANDLER: u64 = RAM_BASE + 0x100;
    const HANDLER_REGISTER: usize = 30;
    const FLOAT_REGISTER: usize = 31;
    const CAUSE_REGISTER: usize = 29;

    /// A hart of its own.
    pub fn new() -> Self {
        Self { computer: Computer::new() }
    }

    /// Executes the bits in S-mode, where floating point is on and registers hold addresses of memory.
    pub fn of(&mut self, bits: u32) -> bool {
        const SSTATUS: u32 = 0x100;
        const STVEC: u32 = 0x105;
        const SCAUSE: u32 = 0x142;
        const ILLEGAL: u64 = 2;
        const FS_INITIAL: u64 = 1 << 13;
        const DATA: u64 = RAM_BASE + 0x10_0000;
        let computer = &mut self.computer;
        // What was executed before may have written anywhere.
        let words = [
            (RAM_BASE, encode::csr(Csr::Write, 0, STVEC, Self::HANDLER_REGISTER as u32)),
            (RAM_BASE + 4, encode::csr(Csr::Set, 0, SSTATUS, Self::FLOAT_REGISTER as u32)),
            (RAM_BASE + 8, bits),
            (Self::HANDLER, encode::csr(Csr::Set, Self::CAUSE_REGISTER as u32, SCAUSE, 0)),
        ];
        for (at, word) in words {
            computer.write(at, &word.to_le_bytes());
        }
        computer.hart.start(RAM_BASE, 0, 0);
        for register in 1..32 {
            computer.hart.x[register] = DATA;
        }
        computer.hart.x[Self::HANDLER_REGISTER] = Self::HANDLER;
        computer.hart.x[Self::FLOAT_REGISTER] = FS_INITIAL;
        let exit = computer.run(3);
        if exit != Exit::Limit || computer.hart.pc() != Self::HANDLER {
            return true;
        }
        computer.run(1);
        computer.hart.x[Self::CAUSE_REGISTER] != ILLEGAL
    }
}
