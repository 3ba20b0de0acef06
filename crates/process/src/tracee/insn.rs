//! Instructions whose result no program can compute: recognised when they trap, and answered.
//!
//! `rdtsc` and `rdtscp` trap by themselves (`PR_SET_TSC`, SIGSEGV). `cpuid`, `rdrand`, `rdseed`
//! and `rdpid` do not: `find_sites` finds them in code as it is mapped
//! and `ud2` is written over them (SIGILL); the caller keeps the original bytes.
//!
//! Left out: `xgetbv` (the same wherever the processor's features are) and `rdpmc` (faults).

use super::Regs;

/// Longest encoding that [`Trapped::decode`] takes: two prefixes, REX, two bytes, ModRM.
pub const LEN_MAX: usize = 15;

/// Width of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// 16 bits: the rest of the register stays.
    Word,
    /// 32 bits: the rest of the register becomes zero.
    Double,
    /// 64 bits.
    Quad,
}

/// What a trapped instruction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Time stamp counter to edx:eax.
    Rdtsc,
    /// The same, and the processor's number to ecx.
    Rdtscp,
    /// A random number to a register, CF = success.
    Rdrand {
        /// Register number (0 = rax, 4 = rsp, 15 = r15).
        reg: u8,
        /// How much of it.
        width: Width,
    },
    /// The same from the slower source.
    Rdseed {
        /// Register number.
        reg: u8,
        /// How much of it.
        width: Width,
    },
    /// What the processor is: eax, ecx to eax, ebx, ecx, edx.
    Cpuid,
    /// The processor's number to a register.
    Rdpid {
        /// Register number.
        reg: u8,
    },
}

/// An instruction to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trapped {
    /// What it does.
    pub kind: Kind,
    /// Its length in bytes.
    pub len: u8,
}

/// The answer to a trapped instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// For `rdtsc`, `rdtscp`, `rdrand`, `rdseed`, `rdpid`. (The processor number of `rdtscp` is
    /// always 0.)
    Value(u64),
    /// For `cpuid`: eax, ebx, ecx, edx.
    Cpuid([u32; 4]),
}

const PREFIX_OPERAND: u8 = 0x66;
const PREFIX_REPNE: u8 = 0xf2;
const PREFIX_REP: u8 = 0xf3;

impl Trapped {
    /// Recognises the instruction at the start of `bytes`.
    pub fn decode(bytes: &[u8]) -> Option<Trapped> {
        let bytes = &bytes[..bytes.len().min(LEN_MAX)];
        let (mut at, mut operand, mut rep, mut rex) = (0, false, false, 0u8);
        loop {
            match *bytes.get(at)? {
                PREFIX_OPERAND => operand = true,
                PREFIX_REP => rep = true,
                PREFIX_REPNE => {}
                _ => break,
            }
            at += 1;
        }
        if bytes.get(at)? & 0xf0 == 0x40 {
            rex = bytes[at];
            at += 1;
        }
        let rest = bytes.get(at..)?;
        let (kind, len) = match *rest {
            [0x0f, 0x31, ..] => (Kind::Rdtsc, 2),
            [0x0f, 0xa2, ..] => (Kind::Cpuid, 2),
            [0x0f, 0x01, 0xf9, ..] => (Kind::Rdtscp, 3),
            [0x0f, 0xc7, modrm, ..] if modrm >= 0xf0 => {
                let reg = modrm & 7 | (rex & 1) << 3;
                let width = match (rex & 8 != 0, operand) {
                    (true, _) => Width::Quad,
                    (false, true) => Width::Word,
                    (false, false) => Width::Double,
                };
                match (modrm >> 3 & 7, rep) {
                    (6, false) => (Kind::Rdrand { reg, width }, 3),
                    (7, false) => (Kind::Rdseed { reg, width }, 3),
                    (7, true) => (Kind::Rdpid { reg }, 3),
                    _ => return None,
                }
            }
            _ => return None,
        };
        Some(Trapped { kind, len: (at + len) as u8 })
    }

    /// Whether the instruction traps only because it was patched.
    pub fn is_patched(&self) -> bool {
        !matches!(self.kind, Kind::Rdtsc | Kind::Rdtscp)
    }

    /// Does what the instruction would have done, with the given answer, and steps over it.
    pub fn apply(&self, regs: &mut Regs, answer: Answer) {
        match (self.kind, answer) {
            (Kind::Rdtsc, Answer::Value(value)) => set_pair(regs, value),
            (Kind::Rdtscp, Answer::Value(value)) => {
                set_pair(regs, value);
                regs.rcx = 0;
            }
            (Kind::Rdrand { reg, width } | Kind::Rdseed { reg, width }, Answer::Value(value)) => {
                set_register(regs, reg, width, value);
                regs.eflags = regs.eflags & !ARITHMETIC_FLAGS | CARRY;
            }
            (Kind::Rdpid { reg }, Answer::Value(value)) => set_register(regs, reg, Width::Quad, value),
            (Kind::Cpuid, Answer::Cpuid([eax, ebx, ecx, edx])) => {
                [regs.rax, regs.rbx, regs.rcx, regs.rdx] = [eax, ebx, ecx, edx].map(u64::from);
            }
            (Kind::Cpuid, Answer::Value(_)) | (_, Answer::Cpuid(_)) => {
                unreachable!("the answer must fit the instruction")
            }
        }
        regs.rip = regs.rip.wrapping_add(u64::from(self.len));
    }
}

const CARRY: u64 = 1;
/// CF, PF, AF, ZF, SF, OF: all but CF are cleared by `rdrand`.
const ARITHMETIC_FLAGS: u64 = 0x8d5;

fn set_pair(regs: &mut Regs, value: u64) {
    regs.rax = value & 0xffff_ffff;
    regs.rdx = value >> 32;
}

fn set_register(regs: &mut Regs, reg: u8, width: Width, value: u64) {
    let slot = match reg {
        0 => &mut regs.rax,
        1 => &mut regs.rcx,
        2 => &mut regs.rdx,
        3 => &mut regs.rbx,
        4 => &mut regs.rsp,
        5 => &mut regs.rbp,
        6 => &mut regs.rsi,
        7 => &mut regs.rdi,
        8 => &mut regs.r8,
        9 => &mut regs.r9,
        10 => &mut regs.r10,
        11 => &mut regs.r11,
        12 => &mut regs.r12,
        13 => &mut regs.r13,
        14 => &mut regs.r14,
        _ => &mut regs.r15,
    };
    *slot = match width {
        Width::Word => *slot & !0xffff | value & 0xffff,
        Width::Double => value & 0xffff_ffff,
        Width::Quad => value,
    };
}
