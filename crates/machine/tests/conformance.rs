//! The runner of conformance suites, on a program of our own (feature `conformance`).

#[path = "isa/assemble.rs"]
mod assemble;

use gapless_machine::hart::conformance::{Bare, Program, Verdict};
use gapless_machine::{GuestAddr, RAM_BASE};

const MEMORY_BYTES: u64 = 1 << 20;
const POSITIONS_MAX: u64 = 10_000;

#[test]
fn machine_mode_is_enough_for_a_program() {
    assert_eq!(run(|_| {}), Verdict::Passed);
}

#[test]
fn a_program_that_fails_says_where() {
    // The first check reads `mhartid`, which is 0, into a0: let it read something else.
    let verdict = run(|image| {
        const CSRR_A0_MHARTID: [u8; 4] = 0xf140_2573_u32.to_le_bytes();
        const LI_A0_1: [u8; 4] = 0x0010_0513_u32.to_le_bytes();
        let at = image.chunks(4).position(|word| word == CSRR_A0_MHARTID).expect("the program reads mhartid");
        image[4 * at..4 * at + 4].copy_from_slice(&LI_A0_1);
    });
    assert!(matches!(verdict, Verdict::Failed(_)), "{verdict:?}");
}

#[test]
fn a_program_that_does_not_end_is_stopped() {
    let verdict = run(|image| image[..4].copy_from_slice(&0x0000_006f_u32.to_le_bytes()));
    assert_eq!(verdict, Verdict::Unfinished(RAM_BASE));
}

#[test]
fn a_program_must_fit() {
    let outside = GuestAddr(RAM_BASE + MEMORY_BYTES - 1);
    let program = Program { segments: vec![(outside, vec![0; 2])], entry: RAM_BASE, tohost: GuestAddr(RAM_BASE) };
    assert!(Bare::new(&program, MEMORY_BYTES).is_err());
    let program = Program { segments: Vec::new(), entry: RAM_BASE, tohost: outside };
    assert!(Bare::new(&program, MEMORY_BYTES).is_err());
}

/// The program of `guest/conformance`, changed by `change`.
fn run(change: impl FnOnce(&mut [u8])) -> Verdict {
    // Behind the first instruction, as the source says.
    const TOHOST: GuestAddr = GuestAddr(RAM_BASE + 8);
    let mut image = assemble::assemble("conformance/machine");
    change(&mut image);
    let program = Program { segments: vec![(GuestAddr(RAM_BASE), image)], entry: RAM_BASE, tohost: TOHOST };
    Bare::new(&program, MEMORY_BYTES).expect("the program fits").run(POSITIONS_MAX)
}
