//! Where a run is stopped makes no difference, nor whether caches are warm: random programs, stopped and moved at random.

use super::asm::*;
use super::*;
use crate::clock::Line;
use crate::hart::tlb::pte::{A, D, G, R, U, V, W, X};
use proptest::prelude::*;

const ROOT: u64 = RAM_BASE + 0x10_0000;
const MIDDLE: u64 = RAM_BASE + 0x10_1000;
const LEAVES: u64 = RAM_BASE + 0x10_2000;
/// The program's virtual address; its pages are mapped twice from here on, and with other rights.
const PAGES: u64 = 0x4000_0000;
/// Pages of program and data: physical ones from [`RAM_BASE`] on.
const PAGE_COUNT: u64 = 8;
/// The handler's physical page, mapped onto itself.
const HANDLER: u64 = RAM_BASE + 0x10_4000;
const TABLES_END: u64 = RAM_BASE + 0x10_3000;

/// A small generator, so that a seed is a program.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let x = self.0 ^ self.0 >> 32;
        x.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// Registers that programs compute with. `x1` and `x2` are pointers most of the time, `x3` points into the tables, `x4` at the device; `x28` to
/// `x31` are the handler's.
fn instruction(random: &mut Random) -> u32 {
    let any = |random: &mut Random| 5 + random.below(8) as u32;
    let (rd, rs1, rs2) = (any(random), any(random), any(random));
    let pointer = random.pick(&[1, 2, 2]);
    let offset = random.below(4096) as i32 - 2048;
    let aligned = offset & !7;
    match random.below(40) {
        0..8 => op(random.below(8) as u32, 0, rd, rs1, rs2),
        8..11 => op_imm(0, rd, rs1, offset),
        11..16 => load(random.below(7) as u32, rd, pointer, if random.below(4) == 0 { offset } else { aligned }),
        16..21 => store(random.below(4) as u32, rs2, pointer, if random.below(4) == 0 { offset } else { aligned }),
        21..24 => branch(random.pick(&[0, 1, 4, 7]), rs1, rs2, (random.below(512) as i32 - 200) * 2),
        24 => jal(rd, (random.below(4096) as i32 - 2000) * 2),
        25 => amo(random.pick(&[0, 1, 4, 0x1c]), 3, rd, pointer, rs2),
        26 => random.pick(&[lr_d(rd, 1), sc_d(rd, 1, rs2)]),
        // Walk on through the pages, to pages of the same set of the TLB, or back to where they begin.
        27 => random.pick(&[lui(13, 0x1000), lui(13, 0x20_0000), lui(13, 0x60_0000), addi(13, 0, 8), add(1, 14, 13)]),
        38 => random.pick(&[add(1, 1, 13), add(2, 2, 13), sub(1, 1, 13), sub(2, 2, 13), add(2, 14, 0)]),
        28 => random.pick(&[sfence_vma(0, 0), sfence_vma(1, 0), sfence_vma(2, 5), sfence_vma(0, 15), FENCE_I]),
        29 => random.pick(&[csrr(rd, CYCLE), csrr(rd, INSTRET), csrr(rd, TIME), csrr(rd, SIP), csrr(rd, SSTATUS)]),
        30 => random.pick(&[csr(6, 0, SSTATUS, 2), csr(7, 0, SSTATUS, 2), csr(6, 0, SIP, 2), csr(7, 0, SIP, 2)]),
        31 => random.pick(&[csr(2, 0, SSTATUS, 16), csr(3, 0, SSTATUS, 16), csrw(SATP, 17), csrw(SATP, 18), SRET]),
        // The timer soon: now plus a little.
        32 => random.pick(&[csrr(15, TIME), addi(15, 15, 3), csrw(STIMECMP, 15), csrw(STIMECMP, 15)]),
        // Page-table entries change their places and lose their A and D.
        33 => random.pick(&[ld(19, 3, aligned & 0x1f8), sd(19, 3, aligned & 0x1f8), ld(19, 3, 0x10)]),
        34 => random.pick(&[sd(rs1, 4, 0), sd(rs1, 4, 8), ld(rd, 4, 0)]),
        35 => random.pick(&[jalr(rd, 14, offset & 0x7fe), jalr(rd, 1, 0), ECALL, EBREAK, WFI]),
        36 => random.pick(&[cbo_zero(2), fld(1, 2, aligned), fsd(1, 2, aligned), fadd_d(1, 1, 1, 0)]),
        // Compressed: c.addi x8, 1 and c.ld x9, 0(x8) as one word; c.mv and c.nop.
        37 => random.pick(&[0x6004_0405, 0x0001_84ae, 0x0001_0001]),
        _ if random.below(16) == 0 => random.next() as u32,
        _ => NOP,
    }
}

/// A computer full of a random program, and its hart in the midst of it.
fn world(seed: u64) -> (Hart, Toy) {
    let mut random = Random(seed);
    let mut toy = Toy::new();
    for page in 0..PAGE_COUNT {
        // Half of the pages begin at a halfword, so that an instruction straddles.
        let shift = 2 * random.below(2);
        for word in 0..1023 {
            let bits = instruction(&mut random);
            let at = GuestAddr(RAM_BASE + page * PAGE_BYTES + shift + 4 * word);
            toy.memory.write(at, &bits.to_le_bytes()).expect("in memory");
        }
    }
    let entry = |physical: u64, flags: u8| physical >> 12 << 10 | u64::from(flags);
    // The tables and the handler, in a superpage of 2 MiB that is global.
    toy.put(ROOT + 8 * 2, entry(TABLES_END, V));
    toy.put(TABLES_END, entry(RAM_BASE, V | R | W | X | A | D | G));
    toy.put(ROOT + 8, entry(MIDDLE, V));
    // Each page is there sixteen times, in the same set of the TLB.
    for i in 0..16 {
        toy.put(MIDDLE + 8 * i, entry(LEAVES, V));
    }
    // The device, by a superpage of 1 GiB.
    toy.put(ROOT, entry(0, V | R | W | A | D | G));
    for page in 0..64 {
        let physical = RAM_BASE + (page + random.below(3)) % PAGE_COUNT * PAGE_BYTES;
        let rare = random.pick(&[V | R | X, V | R | W, V | R | W | X | U, V | R | W | X | G]);
        let usual = random.pick(&[V | R | W | X, V | R | W | X | A, V | R | W | X | A | D]);
        let flags = if page > 3 && random.below(4) == 0 { rare } else { usual };
        toy.put(LEAVES + 8 * page, entry(physical, flags));
    }
    // It goes on somewhere in the program, from U-mode every other time in S-mode, and brings the pointers back. No interrupt is left pending, but
    // the timer's next one is not far.
    let handler = program(&[
        &[
            lui(14, PAGES as u32),
            lui(20, LEAVES as u32),
            slli(20, 20, 32),
            op_imm(5, 20, 20, 32),
            lui(21, DEVICE as u32),
        ],
        &[
            csrr(31, CYCLE),
            slli(30, 31, 4),
            op(4, 0, 31, 31, 30),
            lui(30, 0x2000),
            addi(30, 30, -2),
            op(7, 0, 31, 31, 30),
        ],
        &[
            add(31, 31, 14),
            csrw(SEPC, 31),
            ld(19, 20, 0x18),
            lui(1, 0x1000),
            add(1, 1, 14),
            lui(2, 0x3000),
            add(2, 2, 14),
            add(3, 20, 0),
            add(4, 21, 0),
        ],
        &[csrr(30, CYCLE), andi(30, 30, 0x100), csr(2, 0, SSTATUS, 30), addi(30, 0, 0x20), csr(2, 0, SSTATUS, 30)],
        &[sd(0, 21, 0), csr(7, 0, SIP, 2), csrr(30, TIME), addi(30, 30, 90), csrw(STIMECMP, 30), SRET],
    ]);
    toy.put_code(HANDLER, &handler);
    let satp = |asid: u64| 8 << 60 | asid << 44 | ROOT >> 12;
    let start = program(&[
        &li(14, PAGES),
        &li(16, 1 << 18),
        &li(17, satp(1)),
        &li(18, satp(2)),
        &li(20, LEAVES),
        &li(21, DEVICE),
        &li(5, HANDLER),
        &[csrw(STVEC, 5), addi(5, 0, 0x222), csrw(SIE, 5)],
        &li(5, 0x6000),
        &[csrw(SSTATUS, 5), addi(5, 0, 7), csrw(SCOUNTEREN, 5), addi(5, 0, -1), csrw(STIMECMP, 5), csrw(SATP, 17)],
        &[csr(6, 0, SSTATUS, 2), EBREAK],
    ]);
    toy.put_code(HANDLER + 0x1000, &start);
    let mut hart = Hart::new();
    hart.start(HANDLER + 0x1000, 0, 0);
    hart.set_line(Line { position: 0, time: 0, slope: 37 << 32 });
    (hart, toy)
}

/// Exactly to this position, whatever comes between.
fn reach(hart: &mut Hart, toy: &mut Toy, position: u64) {
    while hart.position().0 < position {
        match hart.run(toy, Position(position)) {
            Exit::Sbi => hart.sbi_return(0, 1),
            Exit::Limit => assert_eq!(hart.position().0, position),
            Exit::Wfi | Exit::Device | Exit::Point => {}
        }
    }
}

fn assert_same(at: u64, (hart, toy): (&Hart, &Toy), (other, other_toy): (&Hart, &Toy)) {
    assert_eq!(hart.save(), other.save(), "the hart at {at}: pc {:#x} and {:#x}", hart.pc(), other.pc());
    assert_eq!(toy.memory.reservation(), other_toy.memory.reservation(), "the reservation at {at}");
    assert_eq!(toy.line, other_toy.line);
    for page in 0..toy.memory.pages() {
        assert!(toy.memory.page(page) == other_toy.memory.page(page), "page {page} at {at}");
    }
}

/// Runs the same program in long runs and in short ones, with caches thrown away at random.
fn check(seed: u64, length: u64) -> Hart {
    let (mut hart, mut toy) = world(seed);
    let (mut other, mut other_toy) = world(seed);
    let mut random = Random(!seed);
    for part in 1..=4 {
        let goal = part * length / 4;
        reach(&mut hart, &mut toy, goal);
        while other.position().0 < goal {
            let longest = random.pick(&[5, 5, 5, 200]);
            let step = 1 + random.below(longest);
            let position = goal.min(other.position().0 + step);
            reach(&mut other, &mut other_toy, position);
            match random.below(16) {
                0..4 => other = Hart::load(&other.save()).expect("a saved hart"),
                4 => drop(other_toy.memory.take_dirty()),
                5 if random.below(8) == 0 => other_toy = other_toy.moved(),
                _ => {}
            }
        }
        assert_same(goal, (&hart, &toy), (&other, &other_toy));
    }
    hart
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn where_a_run_stops_makes_no_difference(seed: u64) {
        check(seed, 8_000);
    }
}

#[test]
fn every_position_can_be_stopped_at() {
    let (mut hart, mut toy) = world(7);
    let (mut other, mut other_toy) = world(7);
    for position in 1..2000 {
        reach(&mut hart, &mut toy, position);
        other = Hart::load(&other.save()).expect("a saved hart");
        reach(&mut other, &mut other_toy, position);
        assert_eq!(hart.save(), other.save(), "at {position}");
    }
    assert_same(2000, (&hart, &toy), (&other, &other_toy));
}

#[test]
fn bytes_that_are_no_hart_are_refused() {
    let (mut hart, mut toy) = world(3);
    reach(&mut hart, &mut toy, 500);
    let bytes = hart.save();
    assert_eq!(Hart::load(&bytes).expect("a hart").save(), bytes);
    for length in 0..bytes.len() {
        assert!(Hart::load(&bytes[..length]).is_none(), "{length} of {} bytes", bytes.len());
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(Hart::load(&longer).is_none());
}
