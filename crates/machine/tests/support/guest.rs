//! A guest small enough to know by heart: a bare program in the form of a Linux kernel.
//!
//! It maps itself one to one with a superpage and a page of data elsewhere, lets the timer interrupt it, and calls `WORK` as often as it was told, which
//! counts in memory. Every 64 calls it prints a dot and waits for an interrupt; at last it switches itself off.
#![allow(dead_code, reason = "not every test looks at everything")]

#[path = "../../src/hart/tests/asm.rs"]
mod asm;

use asm::*;

/// Where the image is put.
pub const BASE: u64 = 0x8020_0000;
/// The function that counts: `ld`, `addi`, `sd`, `ret`.
pub const WORK: u64 = BASE + 0x40;
/// The store of `WORK`.
pub const STORE: u64 = WORK + 8;
/// Handler of interrupts.
pub const HANDLER: u64 = WORK + 16;
/// The page of data as the program sees it: how often `WORK` was called, and how many interrupts there were.
pub const COUNTER: u64 = 0x4000_0000;
pub const TICKS: u64 = COUNTER + 8;
/// The same page without translation, and the entry of the page table that maps it.
pub const DATA: u64 = BASE + 0x1000;
pub const LEAF: u64 = BASE + 0x4000;

/// Ticks of the clock from one interrupt to the next.
const PERIOD: i32 = 1000;
const SRST: u64 = 0x5352_5354;
const DBCN: u64 = 0x4442_434e;

const RA: u32 = 1;
const T0: u32 = 5;
const T1: u32 = 6;
const S1: u32 = 9;
const A0: u32 = 10;
const A5: u32 = 15;
const A6: u32 = 16;
const A7: u32 = 17;
const S11: u32 = 27;
const T5: u32 = 30;

/// The image of a guest that calls `WORK` so often.
pub fn image(calls: u64) -> Vec<u8> {
    let mut image = vec![0; 0x5000];
    put(&mut image, 0x08, 0x20_0000);
    put(&mut image, 0x10, 0x5000);
    image[0x38..0x3c].copy_from_slice(b"RSC\x05");
    let code = functions();
    let main = 0x40 + 4 * code.len();
    let all = [code, program(calls, main)].concat();
    image[..4].copy_from_slice(&jal(0, main as i32).to_le_bytes());
    for (place, insn) in image[0x40..].chunks_mut(4).zip(&all) {
        place.copy_from_slice(&insn.to_le_bytes());
    }
    assert!(0x40 + 4 * all.len() < 0x1000, "the code is one page");
    let table = |at: u64| (at >> 2) | 1;
    put(&mut image, 0x2000 + 8, table(BASE + 0x3000));
    put(&mut image, 0x2000 + 16, (0x8000_0000 >> 2) | 0xcf);
    put(&mut image, 0x3000, table(LEAF));
    put(&mut image, 0x4000, (DATA >> 2) | 7);
    image
}

fn put(image: &mut [u8], at: usize, value: u64) {
    image[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn functions() -> Vec<u32> {
    vec![
        // work
        ld(A5, S11, 0),
        addi(A5, A5, 1),
        sd(A5, S11, 0),
        jalr(0, RA, 0),
        // handler
        ld(T5, S11, 8),
        addi(T5, T5, 1),
        sd(T5, S11, 8),
        csrr(T5, TIME),
        addi(T5, T5, PERIOD),
        csrw(STIMECMP, T5),
        SRET,
    ]
}

fn program(calls: u64, at: usize) -> Vec<u32> {
    let mut code = Vec::new();
    code.extend(li(S11, COUNTER));
    code.extend(li(T0, 8 << 60 | 1 << 44 | (BASE + 0x2000) >> 12));
    code.extend([csrw(SATP, T0), sfence_vma(0, 0)]);
    code.extend(li(T0, HANDLER));
    code.push(csrw(STVEC, T0));
    code.extend(li(T0, 3 << 13));
    code.push(csr(2, 0, SSTATUS, T0));
    code.extend(li(T0, 3.5f64.to_bits()));
    code.extend([fmv_d_x(1, T0), fadd_d(2, 1, 1, 0)]);
    code.extend([csrr(T0, TIME), addi(T0, T0, PERIOD), csrw(STIMECMP, T0)]);
    code.extend([addi(T0, 0, 1 << 5), csrw(SIE, T0), csr(6, 0, SSTATUS, 2)]);
    code.extend(li(S1, calls));
    let calling = code.len();
    let to_work = 0x40 - (at + 4 * calling) as i32;
    code.extend([jal(RA, to_work), addi(T0, 0, 50), addi(T0, T0, -1), branch(1, T0, 0, -4)]);
    let mut rest = vec![WFI];
    rest.extend(li(A7, DBCN));
    rest.extend([addi(A6, 0, 2), addi(A0, 0, 0x2e), ECALL]);
    code.extend([andi(T1, S1, 63), branch(1, T1, 0, 4 + 4 * rest.len() as i32)]);
    code.extend(rest);
    let back = calling as i32 - (code.len() as i32 + 1);
    code.extend([addi(S1, S1, -1), branch(1, S1, 0, 4 * back)]);
    code.extend(li(A7, SRST));
    code.extend([addi(A6, 0, 0), addi(A0, 0, 0), addi(11, 0, 0), ECALL, jal(0, 0)]);
    code
}
