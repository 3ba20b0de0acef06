//! Whether a computing thread waits for a word to change: shown by letting it go once around its loop, an instruction at a time.
//!
//! A thread that comes back to the same registers, and whose memory is what it was, does so for ever: only somebody else can end that. What is not
//! understood (a call, a vector, a clock) is no such loop.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic as M, OpKind, Register};

use super::insn::LEN_MAX;
use super::sys::regs_words;
use super::{Regs, Result, Tracee};

/// Instructions of a loop that is recognised.
const STEPS_MAX: usize = 64;
/// Stops the thread after each instruction: then the steps are the program's own.
const EFLAGS_TF: u64 = 0x100;

impl Tracee {
    /// Does the thread, which is stopped between two instructions, wait for a word to change? It may have gone some instructions on. Where something
    /// stopped it on the way, the next wait tells.
    pub fn spins(&mut self) -> Result<bool> {
        let start = regs_words(self.regs());
        if self.regs().eflags & EFLAGS_TF != 0 {
            return Ok(false);
        }
        for _ in 0..STEPS_MAX {
            let Some(written) = self.next_instruction().and_then(|next| written(&next, self.regs())) else {
                return Ok(false);
            };
            let before = written.map(|addr| self.word(addr));
            if !self.step()? || written.map(|addr| self.word(addr)) != before {
                return Ok(false);
            }
            if regs_words(self.regs()) == start {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn next_instruction(&self) -> Option<Instruction> {
        let rip = self.regs().rip;
        let mut bytes = [0; LEN_MAX];
        let len = self.read(rip, &mut bytes).ok()?;
        Some(Decoder::with_ip(64, &bytes[..len], rip, DecoderOptions::NONE).decode())
    }

    /// Up to eight bytes; fewer where fewer can be read.
    fn word(&self, addr: u64) -> ([u8; 8], usize) {
        let mut bytes = [0; 8];
        let len = self.read(addr, &mut bytes).unwrap_or(0);
        (bytes, len)
    }
}

/// Where an instruction may write to memory (a word at most), if it is one that does nothing else but with general registers.
fn written(instruction: &Instruction, regs: &Regs) -> Option<Option<u64>> {
    let plain = matches!(
        instruction.mnemonic(),
        M::Mov
            | M::Movzx
            | M::Movsx
            | M::Movsxd
            | M::Lea
            | M::Cmp
            | M::Test
            | M::And
            | M::Or
            | M::Xor
            | M::Not
            | M::Add
            | M::Sub
            | M::Inc
            | M::Dec
            | M::Neg
            | M::Shl
            | M::Shr
            | M::Sar
            | M::Xchg
            | M::Cmpxchg
            | M::Xadd
            | M::Sete
            | M::Setne
            | M::Cmove
            | M::Cmovne
            | M::Cdqe
            | M::Jmp
            | M::Ret
            | M::Pop
            | M::Pause
            | M::Nop
            | M::Endbr64
            | M::Lfence
            | M::Mfence
    ) || instruction.op0_kind() == OpKind::NearBranch64 && instruction.mnemonic() != M::Xbegin;
    let of_segment = matches!(instruction.code(), Code::Mov_Sreg_r32m16 | Code::Mov_Sreg_r64m16 | Code::Mov_Sreg_rm16);
    match instruction.mnemonic() {
        M::Call | M::Push => Some(Some(regs.rsp.wrapping_sub(8))),
        _ if !plain || of_segment => None,
        M::Pop if instruction.op0_kind() != OpKind::Register => None,
        _ if (0..instruction.op_count()).any(|op| instruction.op_kind(op) == OpKind::Memory) => {
            address(instruction, regs).map(Some)
        }
        _ => Some(None),
    }
}

/// The address that an instruction names.
fn address(instruction: &Instruction, regs: &Regs) -> Option<u64> {
    let segment = match instruction.memory_segment() {
        Register::FS => regs.fs_base,
        Register::GS => regs.gs_base,
        _ => 0,
    };
    if instruction.is_ip_rel_memory_operand() {
        return Some(segment.wrapping_add(instruction.ip_rel_memory_address()));
    }
    let base = value(instruction.memory_base(), regs)?;
    let index = value(instruction.memory_index(), regs)?.wrapping_mul(instruction.memory_index_scale().into());
    Some(segment.wrapping_add(base).wrapping_add(index).wrapping_add(instruction.memory_displacement64()))
}

fn value(register: Register, regs: &Regs) -> Option<u64> {
    Some(match register {
        Register::None => 0,
        Register::RAX => regs.rax,
        Register::RBX => regs.rbx,
        Register::RCX => regs.rcx,
        Register::RDX => regs.rdx,
        Register::RSI => regs.rsi,
        Register::RDI => regs.rdi,
        Register::RBP => regs.rbp,
        Register::RSP => regs.rsp,
        Register::R8 => regs.r8,
        Register::R9 => regs.r9,
        Register::R10 => regs.r10,
        Register::R11 => regs.r11,
        Register::R12 => regs.r12,
        Register::R13 => regs.r13,
        Register::R14 => regs.r14,
        Register::R15 => regs.r15,
        _ => return None,
    })
}
