//! Programs from a seed: every user-level instruction, on values chosen to hurt.
//!
//! The rule it keeps: a program ends, touches only its own scratch memory, and all that it does follows from the manual alone, so that every correct
//! computer prints the same. Left out: what depends on the computer (counters, an SC after stores into its own reservation) and what traps.
//!
//! Three registers have a job: `x2` is the beginning of scratch memory, `x8` counts turns of loops, `x9` is the middle of scratch memory.

use super::compressed::{self, Form as Small};
use super::dice::Dice;
use super::encode::{self, AMO, BRANCH, Csr, FLOAT, Form, INTEGER, LR, MEMORY, Operands, Row, SC};
use std::collections::BTreeSet;

/// Where the code lies; it begins somewhere in the first page.
pub const CODE: u64 = 0x8010_0000;
/// Where the data lies: scratch memory, whose middle is the border of two pages, then the registers.
pub const DATA: u64 = 0x8020_0800;
/// Bytes of scratch memory.
pub const SCRATCH_BYTES: u64 = 4096;
/// Bytes of 32 integer registers, 32 floating-point registers and `fcsr`.
pub const REGISTER_BYTES: u64 = 65 * 8;
/// What a program prints: scratch memory and registers.
pub const STATE_BYTES: u64 = SCRATCH_BYTES + REGISTER_BYTES;
/// System calls of Linux that a program makes.
pub const SYS_WRITE: u64 = 64;
/// The last one.
pub const SYS_EXIT: u64 = 93;

const STACK: u32 = 2;
const COUNTER: u32 = 8;
const MIDDLE: u32 = 9;
/// Offsets from the middle that are never stored to from here up: special values stay there.
const STORED_BELOW: i32 = 1024;

/// One instruction: what a person reads, and its parcels.
#[derive(Clone, Debug)]
pub struct Word {
    /// Name as in the tables.
    pub name: &'static str,
    text: String,
    parcels: Vec<u16>,
}

impl Word {
    fn long(name: &'static str, text: String, word: u32) -> Self {
        Self { name, text, parcels: vec![word as u16, (word >> 16) as u16] }
    }

    fn row(row: &Row, operands: Operands) -> Self {
        Self::long(row.name, row.text(operands), row.encode(operands))
    }

    fn short(name: &'static str, text: String, parcel: u16) -> Self {
        Self { name, text, parcels: vec![parcel] }
    }
}

/// How control gets over some items.
#[derive(Clone, Debug)]
enum Jump {
    Branch { row: Row, rs1: u32, rs2: u32 },
    SmallBranch { nonzero: bool, rs1: u32 },
    Jal { rd: u32 },
    SmallJ,
    Jalr { rd: u32, via: u32, odd: bool },
    SmallJr { via: u32, link: bool },
}

/// A piece of a program that can be left out.
#[derive(Clone, Debug)]
pub enum Item {
    /// Instructions that belong together.
    Run(Vec<Word>),
    /// A jump, taken or not, over items.
    Skip(SkipOver),
    /// Items that run several times.
    Loop(Turns),
}

/// See [`Item::Skip`].
#[derive(Clone, Debug)]
pub struct SkipOver {
    jump: Jump,
    /// What is jumped over.
    pub over: Vec<Item>,
}

/// See [`Item::Loop`].
#[derive(Clone, Debug)]
pub struct Turns {
    turns: i32,
    small: bool,
    /// What is repeated.
    pub body: Vec<Item>,
}

/// A program: where it begins, what its registers and memory hold, what it does.
#[derive(Clone, Debug)]
pub struct Program {
    /// Offset of its first instruction in the code's first page.
    pub offset: u64,
    /// Scratch memory and registers at the beginning.
    pub data: Vec<u8>,
    /// What it does.
    pub items: Vec<Item>,
}

/// An integer that is likely to show a mistake.
fn integer(dice: &mut Dice) -> u64 {
    match dice.below(8) {
        0 => *dice.pick(&[0, 1, 2, u64::MAX, i64::MAX as u64, i64::MIN as u64, u64::MAX - 1]),
        1 => dice.below(256).wrapping_sub(128),
        2 => (1u64 << dice.below(64)).wrapping_add(dice.below(3)).wrapping_sub(1),
        3 => *dice.pick(&[i32::MIN, i32::MAX, i32::MIN + 1, -1]) as u64,
        4 => u64::from(dice.any() as u32),
        5 => dice.any() as u32 as i32 as u64,
        6 => dice.any() & dice.any() & dice.any(),
        _ => dice.any(),
    }
}

/// A double that is likely to show a mistake.
fn double(dice: &mut Dice) -> u64 {
    const SPECIAL: [f64; 22] = [
        0.0,
        1.0,
        1.5,
        0.5,
        0.1,
        2.0,
        3.0,
        f64::INFINITY,
        f64::MAX,
        f64::MIN_POSITIVE,
        f64::EPSILON,
        2147483647.0,
        2147483647.5,
        2147483648.0,
        4294967295.0,
        4294967295.5,
        4294967296.0,
        9223372036854774784.0,
        9223372036854775808.0,
        18446744073709549568.0,
        18446744073709551616.0,
        3.4028235677973366e38,
    ];
    let sign = dice.below(2) << 63;
    sign ^ match dice.below(10) {
        0..=2 => dice.pick(&SPECIAL).to_bits(),
        // Subnormals, the largest and smallest numbers.
        3 => *dice.pick(&[1, 2, (1 << 52) - 1, 1 << 52, (1 << 52) + 1, 0x7fef_ffff_ffff_fffe]),
        // Not numbers: quiet, signalling, with a payload.
        4 => *dice.pick(&[0x7ff8_0000_0000_0000, 0x7ff0_0000_0000_0001, 0x7ff8_dead_beef_0000, 0x7ff7_ffff_ffff_ffff]),
        // Few bits: cancels, ties, is exact.
        5 | 6 => (1023 - 3 + dice.below(60)) << 52 | dice.below(8) << 49,
        // Around the range of single precision.
        7 => (1023 + 120 + dice.below(10) - 270 * dice.below(2)) << 52 | dice.any() >> 12,
        // Products and quotients that leave the range of double precision, or nearly.
        8 => *dice.pick(&[1, 2, 500, 511, 512, 970, 1022, 1023, 1024, 1535, 1536, 2045, 2046]) << 52 | dice.any() >> 12,
        _ => dice.any() >> 1,
    }
}

/// A single that is likely to show a mistake.
fn single(dice: &mut Dice) -> u32 {
    const SPECIAL: [f32; 18] = [
        0.0,
        1.0,
        1.5,
        0.5,
        0.1,
        2.0,
        3.0,
        f32::INFINITY,
        f32::MAX,
        f32::MIN_POSITIVE,
        f32::EPSILON,
        2147483520.0,
        2147483648.0,
        4294967040.0,
        4294967296.0,
        9.223_371_5e18,
        9223372036854775808.0,
        18446744073709551616.0,
    ];
    let sign = (dice.below(2) as u32) << 31;
    sign ^ match dice.below(9) {
        0..=2 => dice.pick(&SPECIAL).to_bits(),
        3 => *dice.pick(&[1, 2, (1 << 23) - 1, 1 << 23, (1 << 23) + 1, 0x7f7f_fffe]),
        4 => *dice.pick(&[0x7fc0_0000, 0x7f80_0001, 0x7fc0_beef, 0x7fbf_ffff]),
        5 | 6 => ((127 - 3 + dice.below(30)) << 23 | dice.below(8) << 20) as u32,
        7 => {
            (*dice.pick(&[1, 2, 60, 63, 64, 103, 126, 127, 128, 190, 191, 253, 254]) << 23) as u32
                | dice.any() as u32 >> 9
        }
        _ => dice.any() as u32 >> 1,
    }
}

/// A register of the floating-point file: a double, a boxed single, or a single in a wrong box.
fn float(dice: &mut Dice) -> u64 {
    match dice.below(16) {
        0 => u64::from(single(dice)) | dice.any() << 32,
        1..=7 => u64::from(single(dice)) | 0xffff_ffff << 32,
        _ => double(dice),
    }
}

fn data(dice: &mut Dice) -> Vec<u8> {
    let scratch = SCRATCH_BYTES / 8;
    let mut words: Vec<u64> = (0..scratch).map(|_| if dice.once_in(2) { integer(dice) } else { float(dice) }).collect();
    words.extend((0..32).map(|_| integer(dice)));
    words.extend((0..32).map(|_| float(dice)));
    words.push(dice.below(5) << 5 | dice.below(32));
    words[scratch as usize + STACK as usize] = DATA;
    words[scratch as usize + COUNTER as usize] = 0;
    words[scratch as usize + MIDDLE as usize] = DATA + SCRATCH_BYTES / 2;
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A register that may be written.
fn target(dice: &mut Dice) -> u32 {
    loop {
        let register = dice.below(32) as u32;
        if ![STACK, COUNTER, MIDDLE].contains(&register) {
            return register;
        }
    }
}

/// A register that may be written and holds what was written.
fn holder(dice: &mut Dice) -> u32 {
    loop {
        let register = target(dice);
        if register != 0 {
            return register;
        }
    }
}

/// A small register that may be written.
fn small_target(dice: &mut Dice) -> u32 {
    10 + dice.below(6) as u32
}

fn any_register(dice: &mut Dice) -> u32 {
    dice.below(32) as u32
}

fn rounding(dice: &mut Dice) -> u32 {
    *dice.pick(&[0, 1, 2, 3, 4, 7, 7, 7])
}

fn one(word: Word) -> Item {
    Item::Run(vec![word])
}

fn computes(dice: &mut Dice) -> Item {
    let row = dice.pick(INTEGER);
    let imm = match row.form {
        Form::Upper => dice.any() as i32 >> 12,
        _ => dice.multiple(-2048, 2047, 1),
    };
    let imm = match row.form {
        Form::Shift64 => imm & 0x3f,
        Form::Shift32 => imm & 0x1f,
        _ => imm,
    };
    let operands =
        Operands { rd: target(dice), rs1: any_register(dice), rs2: any_register(dice), imm, ..Operands::default() };
    // qemu 7.2 looks for the lowest one of CTZW in the upper word too; with that zero it is right.
    if row.name == "ctzw" {
        let low = holder(dice);
        let clear = Word::row(&encode::named("add.uw"), Operands { rd: low, rs1: operands.rs1, ..Operands::default() });
        return Item::Run(vec![clear, Word::row(row, Operands { rs1: low, ..operands })]);
    }
    one(Word::row(row, operands))
}

/// Offset from the middle for so many bytes: aligned mostly.
fn offset(dice: &mut Dice, stores: bool) -> i32 {
    let most = if stores { STORED_BELOW - 8 } else { 2040 };
    if dice.once_in(3) { dice.multiple(-2048, most, 1) } else { dice.multiple(-2048, most, 8) }
}

fn touches_memory(dice: &mut Dice) -> Item {
    let row = dice.pick(MEMORY);
    let stores = matches!(row.form, Form::Store | Form::FloatStore);
    let rd = if row.form == Form::FloatLoad { any_register(dice) } else { target(dice) };
    one(Word::row(
        row,
        Operands { rd, rs1: MIDDLE, rs2: any_register(dice), imm: offset(dice, stores), ..Operands::default() },
    ))
}

/// A value from the special ones, so that a long program does not run dry.
fn refreshes(dice: &mut Dice) -> Item {
    let imm = dice.multiple(STORED_BELOW, 2040, 8);
    let (row, rd) =
        if dice.once_in(2) { (encode::named("ld"), target(dice)) } else { (encode::named("fld"), any_register(dice)) };
    one(Word::row(&row, Operands { rd, rs1: MIDDLE, imm, ..Operands::default() }))
}

fn address(to: u32, imm: i32) -> Word {
    Word::row(&encode::named("addi"), Operands { rd: to, rs1: MIDDLE, imm, ..Operands::default() })
}

fn updates(dice: &mut Dice) -> Item {
    let row = dice.pick(AMO);
    let at = holder(dice);
    let imm =
        dice.multiple(-2048, STORED_BELOW - 8, 8) + if row.name.ends_with(".w") { 4 * dice.below(2) as i32 } else { 0 };
    let operands = Operands {
        rd: target(dice),
        rs1: at,
        rs2: any_register(dice),
        mode: dice.below(4) as u32,
        ..Operands::default()
    };
    Item::Run(vec![address(at, imm), Word::row(row, operands)])
}

/// LR, something harmless, SC to the same place; or an SC that nothing was reserved for.
fn reserves(dice: &mut Dice) -> Item {
    let wide = dice.below(2) as usize;
    let at = holder(dice);
    let imm = dice.multiple(-2048, STORED_BELOW - 8, 8);
    let mut words = vec![address(at, imm)];
    let mut rd = target(dice);
    if !dice.once_in(4) {
        while rd == at {
            rd = target(dice);
        }
        words.push(Word::row(&LR[wide], Operands { rd, rs1: at, mode: dice.below(4) as u32, ..Operands::default() }));
        let between = computes(dice);
        let Item::Run(between) = between else { unreachable!("a computation is a run") };
        // It must not move the address away: all that compute have their destination in the same place.
        if between.iter().all(|word| u32::from(word.parcels[0]) >> 7 & 0x1f != at) {
            words.extend(between);
        }
    }
    let operands = Operands {
        rd: target(dice),
        rs1: at,
        rs2: any_register(dice),
        mode: dice.below(4) as u32,
        ..Operands::default()
    };
    words.push(Word::row(&SC[wide], operands));
    // Nothing is reserved any more.
    words.push(address(at, imm));
    words.push(Word::row(&SC[wide], Operands { rd: target(dice), ..operands }));
    Item::Run(words)
}

fn floats(dice: &mut Dice) -> Item {
    let row = dice.pick(FLOAT);
    let rd = match row.form {
        Form::Compare | Form::ToInteger | Form::MoveToInteger => target(dice),
        _ => any_register(dice),
    };
    let (rs1, rs2, rs3) = (any_register(dice), any_register(dice), any_register(dice));
    one(Word::row(row, Operands { rd, rs1, rs2, rs3, mode: rounding(dice), imm: 0 }))
}

/// `fflags`, `frm` and `fcsr`: read and written, the rounding mode always one that exists.
fn controls_floats(dice: &mut Dice) -> Item {
    const FFLAGS: u32 = 1;
    const FRM: u32 = 2;
    const FCSR: u32 = 3;
    let rd = target(dice);
    let bits = dice.below(32) as u32;
    let mode = dice.below(5) as u32;
    let source = any_register(dice);
    let (name, op, number, source) = match dice.below(9) {
        0 => ("csrrw fflags", Csr::Write, FFLAGS, source),
        1 => ("csrrs fflags", Csr::Set, FFLAGS, source),
        2 => ("csrrc fflags", Csr::Clear, FFLAGS, source),
        3 => ("csrrwi fflags", Csr::WriteImmediate, FFLAGS, bits),
        4 => ("csrrsi fcsr", Csr::SetImmediate, FCSR, bits),
        5 => ("csrrci fcsr", Csr::ClearImmediate, FCSR, bits),
        6 | 7 => ("csrrwi frm", Csr::WriteImmediate, FRM, mode),
        _ => ("csrrci frm", Csr::ClearImmediate, FRM, bits),
    };
    let word = Word::long(name, format!("{name}, x{rd}, {source}"), encode::csr(op, rd, number, source));
    // A whole fcsr from a register, now and then.
    if dice.once_in(4) {
        let from = holder(dice);
        let imm = (dice.below(5) << 5 | dice.below(32)) as i32;
        let load = Word::row(&encode::named("addi"), Operands { rd: from, rs1: 0, imm, ..Operands::default() });
        let write =
            Word::long("csrrw fcsr", format!("csrrw x{rd}, fcsr, x{from}"), encode::csr(Csr::Write, rd, FCSR, from));
        return Item::Run(vec![load, write]);
    }
    one(word)
}

fn compressed(dice: &mut Dice) -> Item {
    let row = dice.pick(compressed::ROWS);
    let range = row.range;
    let imm = loop {
        let imm = dice.multiple(range.least, range.most, range.step);
        if imm != 0 || !range.nonzero {
            break imm;
        }
    };
    let (data, other) = match row.form {
        // Zero as destination is a hint for these, and reserved for the rest.
        Small::Immediate if row.name == "c.addiw" => (holder(dice), 0),
        Small::Load if row.float => (any_register(dice), 0),
        Small::Load if row.name.ends_with("sp") => (holder(dice), 0),
        Small::Immediate | Small::Load => (target(dice), 0),
        Small::StoreStack => (any_register(dice), 0),
        Small::SmallImmediate | Small::SmallLoad => (small_target(dice), 0),
        Small::SmallPair => (small_target(dice), 8 + dice.below(8) as u32),
        Small::BaseLoad if row.float => (8 + dice.below(8) as u32, MIDDLE),
        Small::BaseLoad => (small_target(dice), MIDDLE),
        Small::BaseStore => (8 + dice.below(8) as u32, MIDDLE),
        Small::Pair => (target(dice), 1 + dice.below(31) as u32),
        Small::Stack => return moves_stack(dice, row, imm),
    };
    one(Word::short(row.name, row.text(data, other, imm), row.encode(data, other, imm)))
}

/// `c.addi16sp`, a look at the stack pointer, and back.
fn moves_stack(dice: &mut Dice, row: &compressed::Row, imm: i32) -> Item {
    let look =
        Word::row(&encode::named("addi"), Operands { rd: target(dice), rs1: STACK, imm: 0, ..Operands::default() });
    let back = Word::row(&encode::named("addi"), Operands { rd: STACK, rs1: STACK, imm: -imm, ..Operands::default() });
    Item::Run(vec![Word::short(row.name, row.text(STACK, 0, imm), row.encode(STACK, 0, imm)), look, back])
}

/// Any order of any memory is one that a single hart keeps.
fn fences(dice: &mut Dice) -> Item {
    let bits = dice.below(256) as u32;
    one(match dice.below(3) {
        0 => Word::long("fence.i", "fence.i".to_owned(), 0x0000_100f),
        1 => Word::long("pause", "pause".to_owned(), 0x0100_000f),
        _ => Word::long("fence", format!("fence {bits:#x}"), 0x0000_000f | bits << 20),
    })
}

fn straight(dice: &mut Dice) -> Item {
    match dice.below(24) {
        0..=6 => computes(dice),
        7..=9 => touches_memory(dice),
        10 | 11 => refreshes(dice),
        12 => updates(dice),
        13 => reserves(dice),
        14..=18 => floats(dice),
        19 => controls_floats(dice),
        20 if dice.once_in(2) => fences(dice),
        _ => compressed(dice),
    }
}

fn some(dice: &mut Dice) -> Vec<Item> {
    (0..1 + dice.below(5)).map(|_| straight(dice)).collect()
}

fn skips(dice: &mut Dice) -> Item {
    let via = holder(dice);
    let jump = match dice.below(8) {
        0..=2 => Jump::Branch { row: *dice.pick(BRANCH), rs1: any_register(dice), rs2: any_register(dice) },
        3 => Jump::SmallBranch { nonzero: dice.once_in(2), rs1: 8 + dice.below(8) as u32 },
        4 => Jump::Jal { rd: target(dice) },
        5 => Jump::SmallJ,
        6 => Jump::Jalr { rd: target(dice), via, odd: dice.once_in(2) },
        _ => Jump::SmallJr { via, link: dice.once_in(2) },
    };
    Item::Skip(SkipOver { jump, over: some(dice) })
}

fn loops(dice: &mut Dice) -> Item {
    let mut body = some(dice);
    if dice.once_in(3) {
        body.push(skips(dice));
    }
    Item::Loop(Turns { turns: 1 + dice.below(6) as i32, small: dice.once_in(2), body })
}

/// The program of a seed.
pub fn program(seed: u64) -> Program {
    const ITEMS: u64 = 330;
    let mut dice = Dice::new(seed);
    let offset = dice.below(2048) * 2;
    let data = data(&mut dice);
    let items = (0..ITEMS)
        .map(|_| match dice.below(20) {
            0 | 1 => skips(&mut dice),
            2 => loops(&mut dice),
            _ => straight(&mut dice),
        })
        .collect();
    Program { offset, data, items }
}

/// Parcels and the text beside them.
#[derive(Default)]
struct Listing {
    words: Vec<Word>,
}

impl Listing {
    fn bytes(&self) -> i32 {
        self.words.iter().map(|word| 2 * word.parcels.len() as i32).sum()
    }

    fn word(&mut self, word: Word) {
        self.words.push(word);
    }

    fn row(&mut self, name: &str, operands: Operands) {
        self.word(Word::row(&encode::named(name), operands));
    }

    fn items(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::Run(words) => self.words.extend(words.iter().cloned()),
                Item::Skip(skip) => self.skip(skip),
                Item::Loop(turns) => self.turns(turns),
            }
        }
    }

    fn skip(&mut self, skip: &SkipOver) {
        let mut over = Listing::default();
        over.items(&skip.over);
        self.jump(&skip.jump, over.bytes());
        self.words.append(&mut over.words);
    }

    /// A jump over so many bytes.
    fn jump(&mut self, jump: &Jump, bytes: i32) {
        let imm = bytes + 4;
        match *jump {
            Jump::Branch { row, rs1, rs2 } => {
                self.word(Word::row(&row, Operands { rs1, rs2, imm, ..Operands::default() }))
            }
            Jump::SmallBranch { nonzero, rs1 } => {
                let name = if nonzero { "c.bnez" } else { "c.beqz" };
                let imm = bytes + 2;
                self.word(Word::short(name, format!("{name} x{rs1}, .{imm:+}"), compressed::branch(nonzero, rs1, imm)));
            }
            Jump::Jal { rd } => self.word(Word::long("jal", format!("jal x{rd}, .{imm:+}"), encode::jal(rd, imm))),
            Jump::SmallJ => {
                let imm = bytes + 2;
                self.word(Word::short("c.j", format!("c.j .{imm:+}"), compressed::j(imm)));
            }
            Jump::Jalr { rd, via, odd } => {
                let imm = bytes + 8 + i32::from(odd);
                self.row("auipc", Operands { rd: via, ..Operands::default() });
                self.word(Word::long("jalr", format!("jalr x{rd}, {imm}(x{via})"), encode::jalr(rd, via, imm)));
            }
            Jump::SmallJr { via, link } => {
                let imm = bytes + 10;
                self.row("auipc", Operands { rd: via, ..Operands::default() });
                self.row("addi", Operands { rd: via, rs1: via, imm, ..Operands::default() });
                let (name, parcel) =
                    if link { ("c.jalr", compressed::jalr(via)) } else { ("c.jr", compressed::jr(via)) };
                self.word(Word::short(name, format!("{name} x{via}"), parcel));
            }
        }
    }

    fn turns(&mut self, turns: &Turns) {
        self.row("addi", Operands { rd: COUNTER, rs1: 0, imm: turns.turns, ..Operands::default() });
        let before = self.bytes();
        self.items(&turns.body);
        self.row("addi", Operands { rd: COUNTER, rs1: COUNTER, imm: -1, ..Operands::default() });
        let imm = before - self.bytes();
        if turns.small && imm >= -256 {
            self.word(Word::short("c.bnez", format!("c.bnez x8, .{imm}"), compressed::branch(true, COUNTER, imm)));
        } else {
            self.row("bne", Operands { rs1: COUNTER, rs2: 0, imm, ..Operands::default() });
        }
    }

    /// Puts an address of the data into a register; the listing begins at `start`.
    fn address(&mut self, rd: u32, start: u64, address: u64) {
        let ahead = address.wrapping_sub(start.wrapping_add(self.bytes() as u64)) as i64 as i32;
        self.row("auipc", Operands { rd, imm: (ahead + 0x800) >> 12, ..Operands::default() });
        self.row("addi", Operands { rd, rs1: rd, imm: ahead << 20 >> 20, ..Operands::default() });
    }

    fn li(&mut self, rd: u32, value: i32) {
        self.row("lui", Operands { rd, imm: (value + 0x800) >> 12, ..Operands::default() });
        self.row("addiw", Operands { rd, rs1: rd, imm: value << 20 >> 20, ..Operands::default() });
    }

    /// Takes all registers from the data.
    fn enter(&mut self, start: u64) {
        const FCSR: u32 = 3;
        self.address(MIDDLE, start, DATA + SCRATCH_BYTES);
        self.row("ld", Operands { rd: 1, rs1: MIDDLE, imm: 64 * 8, ..Operands::default() });
        self.word(Word::long("csrrw fcsr", "csrw fcsr, x1".to_owned(), encode::csr(Csr::Write, 0, FCSR, 1)));
        for rd in 0..32 {
            self.row("fld", Operands { rd, rs1: MIDDLE, imm: (32 + rd as i32) * 8, ..Operands::default() });
        }
        for rd in (1..32).filter(|&rd| rd != MIDDLE).chain([MIDDLE]) {
            self.row("ld", Operands { rd, rs1: MIDDLE, imm: rd as i32 * 8, ..Operands::default() });
        }
    }

    /// Puts all registers into the data, prints the data, ends.
    fn leave(&mut self, start: u64) {
        const FCSR: u32 = 3;
        self.address(COUNTER, start, DATA + SCRATCH_BYTES);
        for rs2 in 0..32 {
            self.row("sd", Operands { rs1: COUNTER, rs2, imm: rs2 as i32 * 8, ..Operands::default() });
            self.row("fsd", Operands { rs1: COUNTER, rs2, imm: (32 + rs2 as i32) * 8, ..Operands::default() });
        }
        self.word(Word::long("csrrs fcsr", "csrr x1, fcsr".to_owned(), encode::csr(Csr::Set, 1, FCSR, 0)));
        self.row("sd", Operands { rs1: COUNTER, rs2: 1, imm: 64 * 8, ..Operands::default() });
        self.li(10, 1);
        self.address(11, start, DATA);
        self.li(12, STATE_BYTES as i32);
        self.li(17, SYS_WRITE as i32);
        self.word(Word::long("ecall", "ecall".to_owned(), encode::ECALL));
        self.li(10, 0);
        self.li(17, SYS_EXIT as i32);
        self.word(Word::long("ecall", "ecall".to_owned(), encode::ECALL));
    }
}

impl Program {
    fn listing(&self) -> Listing {
        let start = CODE + self.offset;
        let mut listing = Listing::default();
        listing.enter(start);
        listing.items(&self.items);
        listing.leave(start);
        listing
    }

    /// Where it is entered.
    pub fn entry(&self) -> u64 {
        CODE + self.offset
    }

    /// Its machine code, to lie at the entry.
    pub fn code(&self) -> Vec<u8> {
        self.listing().words.iter().flat_map(|word| &word.parcels).flat_map(|parcel| parcel.to_le_bytes()).collect()
    }

    /// Names of the instructions in it, prologue and epilogue left out.
    pub fn names(&self) -> BTreeSet<&'static str> {
        let mut listing = Listing::default();
        listing.items(&self.items);
        listing.words.iter().map(|word| word.name).collect()
    }

    /// What it does, a line an instruction.
    pub fn text(&self) -> String {
        let mut listing = Listing::default();
        listing.items(&self.items);
        listing.words.iter().map(|word| format!("    {}\n", word.text)).collect()
    }

    /// The same with other items.
    pub fn with(&self, items: &[Item]) -> Self {
        Self { items: items.to_vec(), ..self.clone() }
    }
}
