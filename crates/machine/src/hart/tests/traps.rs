//! Every cause of a trap, and interrupts.

use super::asm::*;
use super::*;
use crate::clock::Line;

/// Where the handler is. It asks the SBI, so that the test can look.
const HANDLER: u64 = CODE + 0x4000;

struct Expected {
    cause: u64,
    value: u64,
    /// Offset of the instruction from the beginning of `code`, behind the prologue.
    at: u64,
}

/// A program behind a prologue that sets `stvec`; U-mode if `user`.
fn prologue(user: bool) -> Vec<u32> {
    let mut code = program(&[&li(31, HANDLER), &[csrw(STVEC, 31), csrw(SCOUNTEREN, 0)]]);
    if user {
        let behind = CODE + 4 * (code.len() as u64 + 13);
        code.extend(program(&[&li(31, behind), &[csrw(SEPC, 31), SRET]]));
    }
    code
}

fn check(user: bool, code: &[u32], expected: Expected) {
    let before = prologue(user);
    let mut toy = Toy::with(&program(&[&before, code]));
    toy.put_code(HANDLER, &[csrr(10, SCAUSE), csrr(11, STVAL), csrr(12, SEPC), csrr(13, SSTATUS), ECALL]);
    let mut hart = started();
    run(&mut hart, &mut toy);
    let start = CODE + 4 * before.len() as u64;
    assert_eq!((hart.x[10], hart.x[11], hart.x[12] - start), (expected.cause, expected.value, expected.at));
    assert_eq!(hart.x[13] >> 8 & 1, u64::from(!user), "SPP");
    // One position a trap: the prologue, what ran before the trap, the trap and the handler's four.
    assert_eq!(hart.position().0, before.len() as u64 + expected.at / 4 + 1 + 4);
}

fn illegal(user: bool, bits: u32) {
    check(user, &[NOP, bits], Expected { cause: 2, value: bits.into(), at: 4 });
}

#[test]
fn exceptions() {
    let device = li(5, DEVICE);
    let nowhere = li(5, 0x4000_0000);
    let at = 4 * device.len() as u64;
    let case =
        |setup: &[u32], bits, cause, value| check(false, &program(&[setup, &[bits]]), Expected { cause, value, at });
    case(&nowhere, EBREAK, 3, CODE + 4 * prologue(false).len() as u64 + at);
    case(&li(5, CODE + 0x1004), lr_d(6, 5), 4, CODE + 0x1004);
    case(&nowhere, ld(6, 5, 8), 5, 0x4000_0008);
    case(&device, ld(6, 5, 4), 5, DEVICE + 4);
    case(&device, lr_d(6, 5), 5, DEVICE);
    case(&li(5, CODE + 0x1004), amo(0, 3, 6, 5, 5), 6, CODE + 0x1004);
    case(&li(5, CODE + 0x1004), sc_d(6, 5, 5), 6, CODE + 0x1004);
    case(&nowhere, sd(6, 5, 8), 7, 0x4000_0008);
    case(&device, sd(6, 5, 4), 7, DEVICE + 4);
    case(&device, sd(6, 5, 0x20), 7, DEVICE + 0x20);
    case(&device, amo(0, 3, 6, 5, 5), 7, DEVICE);
    case(&nowhere, cbo_zero(5), 7, 0x4000_0000);
    // The last bytes of memory and what is behind.
    case(&li(5, CODE + MEMORY - 4), ld(6, 5, 0), 5, CODE + MEMORY);
    case(&li(5, CODE + MEMORY - 4), sd(6, 5, 0), 7, CODE + MEMORY);
}

#[test]
fn a_jump_to_nowhere_traps_at_its_target() {
    let mut toy = Toy::with(&program(&[&prologue(false), &li(5, 0x4000_0000), &[jalr(0, 5, 0)]]));
    toy.put_code(HANDLER, &[csrr(10, SCAUSE), csrr(11, STVAL), csrr(12, SEPC), ECALL]);
    let mut hart = started();
    run(&mut hart, &mut toy);
    assert_eq!((hart.x[10], hart.x[11], hart.x[12]), (1, 0x4000_0000, 0x4000_0000));
}

#[test]
fn a_call_from_user_mode_is_a_trap() {
    check(true, &[NOP, ECALL], Expected { cause: 8, value: 0, at: 4 });
}

#[test]
fn illegal_instructions() {
    // No such instruction; the compressed zero; V; CBO.FLUSH; HFENCE; MRET; URET; rounding mode 5.
    for bits in [u32::MAX, 0x0200_7057, 0x0022_a00f, 0x2200_0073, 0x3020_0073, 0x0020_0073, fadd_d(1, 1, 1, 5)] {
        illegal(false, bits);
        illegal(true, bits);
    }
    // M-mode's registers, counters that are read-only, registers that do not exist.
    for number in [0x300, 0x30a, 0x344, 0xf14, 0xc03, 0x120, 0x5a8, 0x015, 0x008] {
        illegal(false, csrr(5, number));
    }
    illegal(false, csrw(CYCLE, 5));
    // Floating point is off.
    for bits in [fadd_d(1, 1, 1, 0), fld(1, 2, 0), fsd(1, 2, 0), csrr(5, FCSR), fmv_d_x(1, 2)] {
        illegal(false, bits);
    }
    // What user mode may not do.
    for bits in
        [SRET, WFI, sfence_vma(0, 0), cbo_zero(5), csrr(5, SSTATUS), csrr(5, CYCLE), csrr(5, TIME), csrr(5, INSTRET)]
    {
        illegal(true, bits);
    }
}

#[test]
fn a_compressed_instruction_has_a_short_value() {
    let before = prologue(false);
    let mut toy = Toy::with(&before);
    // c.nop; an illegal one
    toy.put_code(CODE + 4 * before.len() as u64, &[0x8000_0001]);
    toy.put_code(HANDLER, &[csrr(10, STVAL), csrr(11, SEPC), ECALL]);
    let mut hart = started();
    run(&mut hart, &mut toy);
    assert_eq!((hart.x[10], hart.x[11]), (0x8000, CODE + 4 * before.len() as u64 + 2));
}

/// Enables interrupts by `sie` and `sstatus`, vectored.
fn interrupts(enabled: u64) -> Vec<u32> {
    program(&[&li(31, HANDLER | 1), &[csrw(STVEC, 31)], &li(31, enabled), &[csrw(SIE, 31), csr(6, 0, SSTATUS, 2)]])
}

#[test]
fn interrupts_are_vectored_and_in_order() {
    // All three at once: external first, then software, then the timer.
    let code = program(&[
        &[csrw(STIMECMP, 0)],
        &li(5, DEVICE_LINE),
        &[addi(6, 0, 1), sd(6, 5, 0), csr(6, 0, SIP, 2)],
        &interrupts(0x222),
        &[NOP, ECALL],
    ]);
    let mut toy = Toy::with(&code);
    let note = [csrr(10, SCAUSE), slli(11, 11, 8), op(6, 0, 11, 11, 10)];
    // Vectors are four bytes apart: each only jumps to where there is room.
    for (code, clear) in
        [(1, vec![csr(7, 0, SIP, 2)]), (5, vec![addi(12, 0, -1), csrw(STIMECMP, 12)]), (9, vec![sd(0, 5, 0)])]
    {
        toy.put_code(HANDLER + 4 * code, &[jal(0, 0x100 * code as i32)]);
        toy.put_code(HANDLER + 4 * code + 0x100 * code, &program(&[&note, &clear, &[SRET]]));
    }
    let mut hart = started();
    run(&mut hart, &mut toy);
    // The last one's upper bit says that it is an interrupt.
    assert_eq!(hart.x[11], 1 << 63 | 0x09_01_05);
}

#[test]
fn the_timer_is_taken_at_the_first_position_that_has_it() {
    let line = Line { position: 3, time: 7, slope: (3 << 32) / 2 };
    for ticks in [1, 2, 5, 9] {
        let code = program(&[&li(5, ticks), &[csrw(STIMECMP, 5)], &interrupts(0x20), &[NOP; 700], &[ECALL]]);
        let mut toy = Toy::with(&code);
        toy.put_code(HANDLER + 4 * 5, &[csrr(10, SEPC), ECALL]);
        let mut hart = started();
        hart.set_line(line);
        run(&mut hart, &mut toy);
        let due = line.position_at(ticks * 100);
        // One position an instruction from the beginning on; it cannot come before it is enabled.
        let enabled = (code.len() - 701) as u64;
        assert_eq!((hart.x[10] - CODE) / 4, due.max(enabled), "{ticks} ticks");
    }
}

#[test]
fn counters() {
    let hart = result(&[NOP, csrr(5, CYCLE), csrr(6, INSTRET), csrr(7, TIME), ECALL]);
    assert_eq!((hart.x[5], hart.x[6], hart.x[7]), (1, 2, 0));
    assert_eq!(hart.position(), Position(4));
}

#[test]
fn wfi_waits_unless_something_is_pending() {
    let mut toy = Toy::with(&[WFI, NOP, csr(6, 0, SIP, 2), csr(6, 0, SIE, 2), WFI, ECALL]);
    let mut hart = started();
    assert_eq!(hart.run(&mut toy, Position(100)), Exit::Wfi);
    assert_eq!((hart.position(), hart.pc(), hart.wakes(&toy)), (Position(1), CODE + 4, false));
    run(&mut hart, &mut toy);
    assert!(hart.wakes(&toy));
    assert_eq!(hart.position(), Position(5));
}

#[test]
fn the_timer_is_known() {
    let hart = result(&program(&[&li(5, 1234), &[csrw(STIMECMP, 5), ECALL]]));
    assert_eq!(hart.timer(), None);
    let hart = result(&program(&[&li(5, 1234), &[csrw(STIMECMP, 5), addi(6, 0, 0x20), csrw(SIE, 6), ECALL]]));
    assert_eq!(hart.timer(), Some(123_400));
}

#[test]
fn the_sbi_answers() {
    let mut toy = Toy::with(&[addi(17, 0, 7), ECALL, add(5, 10, 11), ECALL]);
    let mut hart = started();
    run(&mut hart, &mut toy);
    assert_eq!((hart.x[17], hart.pc(), hart.position()), (7, CODE + 4, Position(1)));
    hart.sbi_return(3, 4);
    run(&mut hart, &mut toy);
    assert_eq!((hart.x[5], hart.position()), (7, Position(3)));
}

#[test]
fn a_device_ends_the_step() {
    let mut toy = Toy::with(&program(&[&li(5, DEVICE_END), &[sd(0, 5, 0), ECALL]]));
    let mut hart = started();
    assert_eq!(hart.run(&mut toy, Position(100)), Exit::Device);
    assert_eq!(hart.position(), Position(12));
}
