//! Which loops are seen to wait for a word that somebody else must change, and that looking leaves no trace.

mod tracee_support;

use std::time::{Duration, Instant};

use gapless_process::tracee::{Stop, Tracee, sys};

const CODE: u64 = 0x2000_0000;
/// The word that is waited for.
const WORD: u64 = CODE + 0x1000;
const RWX: u64 = (libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC) as u64;

/// A thread that is about to run this code; rdi points to the word, which is 1.
fn about_to_run(code: &[u8]) -> Tracee {
    let mut tracee = Tracee::spawn().unwrap();
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED) as u64;
    tracee.native_ok("mmap", libc::SYS_mmap, [CODE, 0x2000, RWX, flags, u64::MAX, 0]).unwrap();
    tracee.write_all(CODE, code).unwrap();
    tracee.write_u64(WORD, 1).unwrap();
    let regs = tracee.regs_mut();
    (regs.rip, regs.rdi, regs.rsp) = (CODE, WORD, WORD + 0x800);
    tracee
}

fn stop_somewhere(tracee: &mut Tracee) {
    let deadline = Instant::now() + Duration::from_millis(1);
    assert_eq!(tracee.run(Some(deadline)).unwrap(), Stop::Interrupted);
}

const LOOPS: [(&str, &[u8]); 6] = [
    // cmp $0,(%rdi); jne
    ("a load", &[0x83, 0x3f, 0x00, 0x75, 0xfb]),
    // pause; mov (%rdi),%rax; test %rax,%rax; jne
    ("a load with pause", &[0xf3, 0x90, 0x48, 0x8b, 0x07, 0x48, 0x85, 0xc0, 0x75, 0xf6]),
    // mov $1,%eax; xchg %eax,(%rdi); test %eax,%eax; jne
    ("test and set", &[0xb8, 1, 0, 0, 0, 0x87, 0x07, 0x85, 0xc0, 0x75, 0xf5]),
    // xor %eax,%eax; mov $1,%ecx; lock cmpxchg %ecx,(%rdi); jne
    ("compare and exchange", &[0x31, 0xc0, 0xb9, 1, 0, 0, 0, 0xf0, 0x0f, 0xb1, 0x0f, 0x75, 0xf3]),
    // call +2; jmp; mov (%rdi),%eax; ret
    ("a call", &[0xe8, 2, 0, 0, 0, 0xeb, 0xf9, 0x8b, 0x07, 0xc3]),
    // jmp
    ("nothing at all", &[0xeb, 0xfe]),
];

const NO_LOOPS: [(&str, &[u8]); 5] = [
    // inc %rbx; jmp
    ("a counter", &[0x48, 0xff, 0xc3, 0xeb, 0xfb]),
    // incl (%rdi); jmp
    ("a counter in memory", &[0xff, 0x07, 0xeb, 0xfc]),
    // notl (%rdi); notl (%rdi); jmp
    ("a word that comes back", &[0xf7, 0x17, 0xf7, 0x17, 0xeb, 0xfa]),
    // addps %xmm1,%xmm0; jmp
    ("a vector", &[0x0f, 0x58, 0xc1, 0xeb, 0xfb]),
    // bswap %rax; jmp: not one of those that are understood.
    ("anything else", &[0x48, 0x0f, 0xc8, 0xeb, 0xfb]),
];

#[test]
fn who_waits_for_a_word_is_seen() {
    for (what, code) in LOOPS {
        let mut tracee = about_to_run(code);
        stop_somewhere(&mut tracee);
        assert!(tracee.spins().unwrap(), "{what}");
        assert_eq!(tracee.regs().eflags & 0x100, 0, "{what}: the trap flag");
    }
    for (what, code) in NO_LOOPS {
        let mut tracee = about_to_run(code);
        stop_somewhere(&mut tracee);
        assert!(!tracee.spins().unwrap(), "{what}");
    }
}

/// The supervisor may ask for a stop once more before it hears of the first one: that is no stop on the way.
#[test]
fn an_interrupt_that_is_late_changes_nothing() {
    let mut tracee = about_to_run(LOOPS[1].1);
    for _ in 0..100 {
        stop_somewhere(&mut tracee);
        sys::interrupt(tracee.tid()).unwrap();
        assert!(tracee.spins().unwrap());
    }
}
