//! Translation, the TLB and what stale entries of it do.

use super::asm::*;
use super::*;
use crate::hart::tlb::pte::{A, D, G, R, U, V, W, X};

const ROOT: u64 = RAM_BASE + 0x10_0000;
const MIDDLE: u64 = RAM_BASE + 0x10_1000;
const LEAVES: u64 = RAM_BASE + 0x10_2000;
/// A virtual address whose pages are in the table at [`LEAVES`].
const PAGES: u64 = 0x4000_0000;
const RWX: u8 = V | R | W | X;

fn entry(physical: u64, flags: u8) -> u64 {
    physical >> 12 << 10 | u64::from(flags)
}

/// Memory is mapped onto itself by a superpage of 1 GiB, and `PAGES` by pages of 4 KiB.
fn toy() -> Toy {
    let mut toy = Toy::new();
    toy.put(ROOT + 8 * 2, entry(RAM_BASE & !0x3fff_ffff, RWX | A | D | G));
    toy.put(ROOT + 8, entry(MIDDLE, V));
    toy.put(MIDDLE, entry(LEAVES, V));
    toy
}

fn satp(asid: u64) -> u64 {
    8 << 60 | asid << 44 | ROOT >> 12
}

/// Paging on, and the handler at `CODE + 0x4000` that asks the SBI.
fn prologue(asid: u64) -> Vec<u32> {
    program(&[&li(31, CODE + 0x4000), &[csrw(STVEC, 31)], &li(30, satp(asid)), &[csrw(SATP, 30)]])
}

/// Runs with paging on; `(scause, stval)` if it trapped.
fn run_paged(toy: &mut Toy, code: &[u32]) -> (Hart, Option<(u64, u64)>) {
    toy.put_code(CODE, &program(&[&prologue(1), code, &[ECALL]]));
    toy.put_code(CODE + 0x4000, &[csrr(10, SCAUSE), csrr(11, STVAL), addi(12, 0, 1), ECALL]);
    let mut hart = started();
    run(&mut hart, toy);
    let trap = (hart.x[12] == 1).then(|| (hart.x[10], hart.x[11]));
    (hart, trap)
}

/// What a page with these flags does to a load, a store and a jump.
fn faults(flags: u64, status: u64) -> [bool; 3] {
    let page = li(5, PAGES);
    [ld(6, 5, 0), sd(6, 5, 0), jalr(1, 5, 0)].map(|insn| {
        let mut toy = toy();
        toy.put(LEAVES, (RAM_BASE + 0x5000) >> 12 << 10 | flags);
        toy.put_code(RAM_BASE + 0x5000, &[jalr(0, 1, 0)]);
        let (_, trap) = run_paged(&mut toy, &program(&[&page, &li(7, status), &[csr(2, 0, SSTATUS, 7), insn]]));
        let cause = [ld(6, 5, 0), sd(6, 5, 0), jalr(1, 5, 0)].iter().position(|&i| i == insn);
        if let Some(trap) = trap {
            assert_eq!(trap, ([13, 15, 12][cause.expect("one of three")], PAGES));
        }
        trap.is_some()
    })
}

#[test]
fn permissions() {
    let flags = |flags: u8| u64::from(flags);
    assert_eq!(faults(flags(RWX), 0), [false, false, false]);
    assert_eq!(faults(flags(V | R), 0), [false, true, true]);
    assert_eq!(faults(flags(V | X), 0), [true, true, false]);
    assert_eq!(faults(flags(V | X), 1 << 19), [false, true, false], "MXR");
    assert_eq!(faults(flags(V | W), 0), [true; 3], "reserved");
    assert_eq!(faults(flags(R | W | X), 0), [true; 3], "not valid");
    assert_eq!(faults(flags(RWX | U), 0), [true; 3], "user's");
    assert_eq!(faults(flags(RWX | U), 1 << 18), [false, false, true], "SUM");
    for bit in 54..64 {
        assert_eq!(faults(flags(RWX) | 1 << bit, 0), [true; 3], "reserved bit {bit}");
    }
}

#[test]
fn not_canonical() {
    let (_, trap) = run_paged(&mut toy(), &program(&[&li(5, 1 << 38), &[ld(6, 5, 0)]]));
    assert_eq!(trap, Some((13, 1 << 38)));
}

#[test]
fn a_misaligned_superpage_and_a_pointer_with_flags_are_faults() {
    let mut toy = toy();
    toy.put(MIDDLE, entry(RAM_BASE + 0x1000, RWX));
    assert_eq!(run_paged(&mut toy, &program(&[&li(5, PAGES), &[ld(6, 5, 0)]])).1, Some((13, PAGES)));
    for flag in [A, D, U] {
        toy.put(MIDDLE, entry(LEAVES, V | flag));
        toy.put(LEAVES, entry(RAM_BASE, RWX));
        assert_eq!(run_paged(&mut toy, &program(&[&li(5, PAGES), &[ld(6, 5, 0)]])).1, Some((13, PAGES)));
    }
}

#[test]
fn a_table_outside_of_memory_is_an_access_fault() {
    let mut toy = toy();
    toy.put(MIDDLE, entry(0x4000_0000, V));
    assert_eq!(run_paged(&mut toy, &program(&[&li(5, PAGES), &[sd(6, 5, 0)]])).1, Some((7, PAGES)));
}

#[test]
fn accessed_and_dirty_are_set() {
    let mut toy = toy();
    toy.put(LEAVES, entry(RAM_BASE + 0x5000, RWX));
    let page = li(5, PAGES);
    run_paged(&mut toy, &program(&[&page, &[ld(6, 5, 0)]]));
    assert_eq!(toy.get(LEAVES), entry(RAM_BASE + 0x5000, RWX | A));
    // The load's entry has no D: the store walks again.
    run_paged(&mut toy, &program(&[&page, &[ld(6, 5, 0), sd(6, 5, 0)]]));
    assert_eq!(toy.get(LEAVES), entry(RAM_BASE + 0x5000, RWX | A | D));
}

/// Two physical pages with different contents, and code that makes `PAGES` go from the first to the second. `x5` is the virtual address, `x8` the
/// table's, `x9` the new entry.
fn change(toy: &mut Toy, flags: u8) -> Vec<u32> {
    toy.put(RAM_BASE + 0x5000, 1);
    toy.put(RAM_BASE + 0x6000, 2);
    toy.put(LEAVES, entry(RAM_BASE + 0x5000, flags));
    let new = entry(RAM_BASE + 0x6000, flags);
    program(&[&li(5, PAGES), &li(8, LEAVES), &li(9, new), &[addi(20, 0, 1), addi(21, 0, 2), ld(6, 5, 0), sd(9, 8, 0)]])
}

/// What is read at `PAGES` after the table was changed and this was executed.
fn seen_after(flags: u8, code: &[u32]) -> u64 {
    let mut toy = toy();
    let before = change(&mut toy, flags);
    let (hart, trap) = run_paged(&mut toy, &program(&[&before, code, &[ld(7, 5, 0)]]));
    assert_eq!((hart.x[6], trap), (1, None));
    hart.x[7]
}

#[test]
fn a_translation_stays_until_it_is_fenced() {
    assert_eq!(seen_after(RWX, &[]), 1);
    assert_eq!(seen_after(RWX, &[sfence_vma(0, 0)]), 2);
    assert_eq!(seen_after(RWX, &[sfence_vma(5, 0)]), 2);
    assert_eq!(seen_after(RWX, &[sfence_vma(8, 0)]), 1, "another address");
    assert_eq!(seen_after(RWX, &[sfence_vma(5, 20)]), 2, "its address space");
    assert_eq!(seen_after(RWX, &[sfence_vma(0, 20)]), 2, "its address space");
    assert_eq!(seen_after(RWX, &[sfence_vma(0, 21)]), 1, "another address space");
    assert_eq!(seen_after(RWX, &[sfence_vma(5, 21)]), 1, "another address space");
    assert_eq!(seen_after(RWX | G, &[sfence_vma(0, 20)]), 1, "global");
    assert_eq!(seen_after(RWX | G, &[sfence_vma(5, 0)]), 2, "global");
}

#[test]
fn address_spaces_are_told_apart() {
    let other = program(&[&li(30, satp(2)), &[csrw(SATP, 30)]]);
    let back = program(&[&li(30, satp(1)), &[csrw(SATP, 30)]]);
    assert_eq!(seen_after(RWX, &other), 2);
    assert_eq!(seen_after(RWX | G, &other), 1, "global");
    assert_eq!(seen_after(RWX, &program(&[&other, &[ld(7, 5, 0)], &back])), 1, "its own entry is still there");
}

#[test]
fn all_of_a_superpage_is_fenced() {
    let mut toy = toy();
    toy.put(MIDDLE, entry(RAM_BASE, RWX));
    let (first, second) = (PAGES + 0x5000, PAGES + 0x7000);
    toy.put(RAM_BASE + 0x5000, 1);
    toy.put(RAM_BASE + 0x7000, 1);
    let code = program(&[
        &li(5, first),
        &li(6, second),
        &li(8, MIDDLE),
        &[ld(7, 5, 0), ld(7, 6, 0), sd(0, 8, 0)],
        &[ld(7, 6, 0), sfence_vma(5, 0), ld(7, 6, 0)],
    ]);
    assert_eq!(run_paged(&mut toy, &code).1, Some((13, second)));
}

#[test]
fn the_fifth_page_of_a_set_takes_the_first_ones_place() {
    let mut toy = toy();
    // Pages 512 * 4 KiB apart share a set.
    for i in 0..5 {
        toy.put(MIDDLE + 8 * i, entry(RAM_BASE, RWX));
    }
    let at = |page: u64| li(5, PAGES + page * 0x20_0000 + 0x9000);
    let unmap = program(&[&li(8, MIDDLE), &[sd(0, 8, 0), sd(0, 8, 8)]]);
    let touch = |page| program(&[&at(page), &[ld(6, 5, 0)]]);
    let filled = program(&[&touch(0), &touch(1), &touch(2), &touch(3)]);
    assert_eq!(run_paged(&mut toy, &program(&[&filled, &unmap, &touch(0), &touch(1)])).1, None);
    for i in 0..5 {
        toy.put(MIDDLE + 8 * i, entry(RAM_BASE, RWX));
    }
    let (_, trap) = run_paged(&mut toy, &program(&[&filled, &touch(4), &unmap, &touch(1), &touch(0)]));
    assert_eq!(trap, Some((13, PAGES + 0x9000)));
}

#[test]
fn the_second_half_of_an_instruction_faults_on_its_own() {
    let mut toy = toy();
    toy.put(LEAVES, entry(RAM_BASE + 0x5000, RWX));
    let insn = addi(7, 0, 9);
    toy.put(RAM_BASE + 0x5ff8, u64::from(insn & 0xffff) << 48);
    let (hart, trap) = run_paged(&mut toy, &program(&[&li(5, PAGES), &[lui(6, 0x1000), add(5, 5, 6), jalr(1, 5, -2)]]));
    assert_eq!(trap, Some((12, PAGES + 0x1000)));
    assert_eq!(hart.x[7], 0);

    // With the second page there, in another place of physical memory.
    toy.put(LEAVES + 8, entry(RAM_BASE + 0x8000, RWX));
    toy.put_code(RAM_BASE + 0x8000, &[insn >> 16 | 0x8082 << 16]);
    let (hart, trap) = run_paged(&mut toy, &program(&[&li(5, PAGES), &[lui(6, 0x1000), add(5, 5, 6), jalr(1, 5, -2)]]));
    assert_eq!((hart.x[7], trap), (9, None));
}

#[test]
fn unknown_modes_leave_satp_alone() {
    let hart = result(&program(&[&li(5, 9 << 60 | 1), &[csrw(SATP, 5), csrr(6, SATP), ECALL]]));
    assert_eq!(hart.x[6], 0);
}

#[test]
fn a_store_does_not_outlive_its_translation() {
    let mut toy = toy();
    for i in 0..5 {
        toy.put(MIDDLE + 8 * i, entry(RAM_BASE, RWX));
    }
    let at = |page: u64| li(5, PAGES + page * 0x20_0000 + 0x9000);
    let touch = |page| program(&[&at(page), &[ld(6, 5, 0)]]);
    // Stores know page 0; loads of others push it out of the TLB, and then it is gone.
    let known = program(&[&at(0), &[sd(0, 5, 0), sd(0, 5, 0)]]);
    let unmap = program(&[&li(8, MIDDLE), &[sd(0, 8, 0)]]);
    let code = program(&[&known, &touch(1), &touch(2), &touch(3), &touch(4), &unmap, &at(0), &[sd(0, 5, 0)]]);
    assert_eq!(run_paged(&mut toy, &code).1, Some((15, PAGES + 0x9000)));
}

#[test]
fn user_pages_are_closed_again_when_sum_is_cleared() {
    let mut toy = toy();
    toy.put(LEAVES, entry(RAM_BASE + 0x5000, RWX | U));
    let code = program(&[
        &li(5, PAGES),
        &[lui(7, 1 << 18), csr(2, 0, SSTATUS, 7), ld(6, 5, 0), ld(6, 5, 0), sd(6, 5, 0), sd(6, 5, 0)],
        &[csr(3, 0, SSTATUS, 7), sd(6, 5, 0)],
    ]);
    assert_eq!(run_paged(&mut toy, &code).1, Some((15, PAGES)));
}

#[test]
fn many_address_spaces_are_told_apart() {
    for spaces in 61..67 {
        // x22 counts from the second address space on; x23 is one more in the field of satp.
        let next = [add(30, 30, 23), csrw(SATP, 30), addi(22, 22, -1), branch(1, 22, 0, -12)];
        let others = program(&[&[addi(22, 0, spaces), addi(23, 0, 1), slli(23, 23, 44)], &next]);
        assert_eq!(seen_after(RWX, &others), 2, "{spaces}");
    }
}
