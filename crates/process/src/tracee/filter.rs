//! The seccomp filter: everything traced, except the instructions that are our own (the call gadget, and the blob's calls).
//!
//! A foreign architecture (`int 0x80`) becomes SIGSYS, so that the common path need not ask which
//! architecture a stop was for. x32 calls carry their own bit in the number and are traced.

use super::blob;
use super::stub::{CALL_GADGET_AFTER, SCRATCH_START};

const LD_W_ABS: u16 = 0x20;
const JEQ_K: u16 = 0x15;
const RET_K: u16 = 0x06;

const RET_ALLOW: u32 = 0x7fff_0000;
const RET_TRACE: u32 = 0x7ff0_0000;
const RET_TRAP: u32 = 0x0003_0000;

const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

const OFFSET_ARCH: u32 = 4;
const OFFSET_IP_LOW: u32 = 8;
const OFFSET_IP_HIGH: u32 = 12;

const fn load(offset: u32) -> libc::sock_filter {
    libc::sock_filter { code: LD_W_ABS, jt: 0, jf: 0, k: offset }
}

const fn jump_eq(k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: JEQ_K, jt, jf, k }
}

const fn ret(k: u32) -> libc::sock_filter {
    libc::sock_filter { code: RET_K, jt: 0, jf: 0, k }
}

/// The program, in the order in which the kernel runs it.
pub(super) fn program() -> [libc::sock_filter; 12] {
    let [clock, wake, wait] = blob::called().map(|rip| rip as u32);
    [
        load(OFFSET_ARCH),
        jump_eq(AUDIT_ARCH_X86_64, 1, 0),
        ret(RET_TRAP),
        load(OFFSET_IP_HIGH),
        jump_eq((SCRATCH_START >> 32) as u32, 0, 6),
        load(OFFSET_IP_LOW),
        jump_eq(clock, 3, 0),
        jump_eq(wake, 2, 0),
        jump_eq(wait, 1, 0),
        jump_eq(CALL_GADGET_AFTER as u32, 0, 1),
        ret(RET_ALLOW),
        ret(RET_TRACE),
    ]
}
