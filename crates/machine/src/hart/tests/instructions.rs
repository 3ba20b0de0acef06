//! Instructions whose results are easy to get wrong.

use super::asm::*;
use super::*;

/// `a op b` in x7.
fn compute(a: u64, b: u64, bits: u32) -> u64 {
    result(&program(&[&li(5, a), &li(6, b), &[bits, ECALL]])).x[7]
}

const MIN: u64 = 1 << 63;
const NEGATIVE: u64 = u64::MAX;

#[test]
fn division() {
    let div = |funct3| op(funct3, 1, 7, 5, 6);
    let divw = |funct3| op32(funct3, 1, 7, 5, 6);
    assert_eq!(compute(7, 0, div(4)), NEGATIVE);
    assert_eq!(compute(7, 0, div(5)), NEGATIVE);
    assert_eq!(compute(7, 0, div(6)), 7);
    assert_eq!(compute(7, 0, div(7)), 7);
    assert_eq!(compute(MIN, NEGATIVE, div(4)), MIN);
    assert_eq!(compute(MIN, NEGATIVE, div(6)), 0);
    assert_eq!(compute(1 << 31, NEGATIVE, divw(4)), 0xffff_ffff_8000_0000);
    assert_eq!(compute(1 << 31, 0, divw(6)), 0xffff_ffff_8000_0000);
    assert_eq!(compute(0xffff_fff0, 0, divw(5)), NEGATIVE);
    assert_eq!(compute(0xffff_fff0, 0, divw(7)), 0xffff_ffff_ffff_fff0);
}

#[test]
fn products() {
    let mul = |funct3| op(funct3, 1, 7, 5, 6);
    assert_eq!(compute(NEGATIVE, NEGATIVE, mul(1)), 0);
    assert_eq!(compute(NEGATIVE, NEGATIVE, mul(2)), NEGATIVE);
    assert_eq!(compute(NEGATIVE, NEGATIVE, mul(3)), NEGATIVE - 1);
}

#[test]
fn bits() {
    assert_eq!(compute(0, 0, op_imm(1, 7, 5, 0x600)), 64, "clz");
    assert_eq!(compute(0x100, 0, op_imm(1, 7, 5, 0x601)), 8, "ctz");
    assert_eq!(compute(0x80, 0, op_imm(1, 7, 5, 0x604)), 0xffff_ffff_ffff_ff80, "sext.b");
    assert_eq!(compute(0x0100_2000_0000_0003, 0, op_imm(5, 7, 5, 0x287)), 0xff00_ff00_0000_00ff, "orc.b");
    assert_eq!(compute(0x0102_0304_0506_0708, 0, op_imm(5, 7, 5, 0x6b8)), 0x0807_0605_0403_0201, "rev8");
    assert_eq!(compute(0x8000_0001, 1, op32(5, 0x30, 7, 5, 6)), 0xffff_ffff_c000_0000, "rorw");
    assert_eq!(compute(0xffff_ffff_0000_0001, 0x10, op32(0, 0x04, 7, 5, 6)), 0x11, "add.uw");
    assert_eq!(compute(5, 100, op(4, 0x10, 7, 5, 6)), 120, "sh2add");
    assert_eq!(compute(0, 63, op(1, 0x14, 7, 5, 6)), MIN, "bset");
    assert_eq!(compute(0xffff_ffff_ffff_1234, 0, op32(4, 0x04, 7, 5, 0)), 0x1234, "zext.h");
}

#[test]
fn the_zero_register_stays_zero() {
    let hart = result(&[addi(0, 0, 5), jal(0, 4), csrr(0, SSTATUS), add(5, 0, 0), ECALL]);
    assert_eq!((hart.x[0], hart.x[5]), (0, 0));
}

#[test]
fn misaligned_accesses_work_in_memory_and_across_pages() {
    for at in [CODE + 0x1003, CODE + 0x1ffd] {
        let hart = result(&program(&[
            &li(5, at),
            &li(6, 0x8877_6655_4433_2211),
            &[sd(6, 5, 0), ld(7, 5, 0), load(2, 8, 5, 3), load(5, 9, 5, 2), ECALL],
        ]));
        assert_eq!(hart.x[7], 0x8877_6655_4433_2211);
        assert_eq!(hart.x[8], 0x7766_5544);
        assert_eq!(hart.x[9], 0x4433);
    }
}

#[test]
fn reservations() {
    let at = li(5, CODE + 0x1000);
    let case = |code: &[u32]| result(&program(&[&at, code, &[ECALL]])).x[7];
    assert_eq!(case(&[lr_d(6, 5), sc_d(7, 5, 6)]), 0);
    assert_eq!(case(&[sc_d(7, 5, 6)]), 1, "nothing reserved");
    assert_eq!(case(&[lr_d(6, 5), sc_d(7, 5, 6), sc_d(7, 5, 6)]), 1, "taken away by SC");
    assert_eq!(case(&[lr_d(6, 5), sd(5, 5, 0), sc_d(7, 5, 6)]), 0, "an own store leaves it");
    assert_eq!(case(&[lr_d(6, 5), addi(8, 5, 8), sc_d(7, 8, 6)]), 1, "another address");
    let device = program(&[&li(8, DEVICE_DMA), &[lr_d(6, 5), sd(0, 8, 0), sc_d(7, 5, 6)]]);
    assert_eq!(case(&device), 1, "taken away by a device's write");
}

#[test]
fn words_are_compared_as_words() {
    let case = |funct5, by| {
        let code = program(&[&li(5, CODE + 0x1000), &li(6, 0x7_8000_0000), &li(7, by), &[sd(6, 5, 0)]]);
        // Twice: by the slow path and by the look-aside.
        let hart = result(&program(&[&code, &[amo(funct5, 2, 8, 5, 7), amo(funct5, 2, 9, 5, 7), ld(10, 5, 0), ECALL]]));
        (hart.x[8], hart.x[10])
    };
    assert_eq!(case(0x10, 5), (0xffff_ffff_8000_0000, 0x7_8000_0000), "amomin.w");
    assert_eq!(case(0x14, 5), (0xffff_ffff_8000_0000, 0x7_0000_0005), "amomax.w");
    assert_eq!(case(0x18, 0xff_0000_0005), (0xffff_ffff_8000_0000, 0x7_0000_0005), "amominu.w");
    assert_eq!(case(0x1c, 5), (0xffff_ffff_8000_0000, 0x7_8000_0000), "amomaxu.w");
}

#[test]
fn code_may_change_under_itself() {
    // The second turn executes what the first has stored over the instruction, without any fence.
    let patch = li(6, addi(7, 7, 100).into());
    let place = CODE + 4 * (2 * patch.len() as u64 + 1);
    let code = program(&[
        &li(5, place),
        &patch,
        &[addi(8, 0, 2)],
        &[addi(7, 7, 1), sw(6, 5, 0), addi(8, 8, -1), branch(1, 8, 0, -12), ECALL],
    ]);
    assert_eq!(result(&code).x[7], 101);
}

#[test]
fn float_state_becomes_dirty() {
    let on = [lui(5, 0x2000), csr(2, 0, SSTATUS, 5)];
    let status = |code: &[u32]| result(&program(&[&on, code, &[csrr(6, SSTATUS), ECALL]])).x[6] >> 13 & 3;
    assert_eq!(status(&[]), 1);
    assert_eq!(status(&[fmv_d_x(1, 0)]), 3);
    assert_eq!(status(&[csrr(7, FCSR)]), 1);
    assert_eq!(status(&[csrw(FCSR, 7)]), 3);
}

#[test]
fn cbo_zero_clears_a_block() {
    let code =
        program(&[&li(5, CODE + 0x1000), &[addi(6, 0, -1), sd(6, 5, 56), sd(6, 5, 64), addi(7, 5, 13), cbo_zero(7)]]);
    let hart = result(&program(&[&code, &[ld(8, 5, 56), ld(9, 5, 64), ECALL]]));
    assert_eq!((hart.x[8], hart.x[9]), (0, u64::MAX));
}

/// A function of one instruction and a return, in a page of its own; what it returns after it was overwritten.
fn overwritten(before: &[u32]) -> u64 {
    let function = CODE + 0x3000;
    let body = |value| u64::from(addi(7, 0, value)) | u64::from(jalr(0, 1, 0)) << 32;
    let code =
        program(&[&li(5, function), &li(6, body(1)), &li(8, body(2)), before, &[sd(8, 5, 0), jalr(1, 5, 0), ECALL]]);
    result(&code).x[7]
}

#[test]
fn code_can_be_overwritten_by_a_store_whose_page_is_known() {
    // Twice, so that the look-aside has the page; then the page becomes code.
    assert_eq!(overwritten(&[sd(6, 5, 0), sd(6, 5, 0), jalr(1, 5, 0)]), 2);
    // The page is code when the look-aside could learn of it.
    assert_eq!(overwritten(&[sd(6, 5, 0), jalr(1, 5, 0), sd(0, 5, 64), sd(0, 5, 64)]), 2);
    // So often that the page is taken for data, and is code again.
    let often = [[sd(6, 5, 0)].repeat(100), vec![jalr(1, 5, 0)]].concat();
    assert_eq!(overwritten(&[&[sd(6, 5, 0), jalr(1, 5, 0)][..], &often].concat()), 2);
}

#[test]
fn every_page_that_is_stored_to_is_dirty() {
    let page = 5;
    let at = CODE + page * PAGE_BYTES;
    let code = program(&[&li(5, at), &[sd(6, 5, 0), sd(6, 5, 8), NOP, sd(6, 5, 16), cbo_zero(5), ECALL]]);
    let (mut hart, mut toy) = (started(), Toy::with(&code));
    for (until, dirty) in [(11, false), (13, true), (14, false), (15, true), (16, true)] {
        drop(toy.memory.take_dirty());
        assert_eq!(hart.run(&mut toy, Position(until)), Exit::Limit);
        assert_eq!(toy.memory.take_dirty() == [page], dirty, "at {until}");
    }
}
