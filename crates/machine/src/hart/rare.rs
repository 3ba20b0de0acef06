//! What the inner loop does not do itself: memory that the look-aside does not know, devices, system instructions.
//!
//! Every instruction here is executed as a whole: it retires, or it traps.

use crate::hart::csr::CBZE;
use crate::hart::integer::sext32;
use crate::hart::mmu::Access;
use crate::hart::op::{Insn, Op};
use crate::hart::trap::{Cause, Trap};
use crate::hart::{Bus, Exit, Hart, Privilege, amo, fp};
use crate::memory::{GuestAddr, Memory, PAGE_BYTES};
use gapless_log::Position;

/// Bytes that CBO.ZERO clears.
const CACHE_BLOCK: u64 = 64;

/// How an instruction ended that did not trap.
enum Done {
    /// The next one follows.
    Retired,
    /// It has set `pc` and the position itself.
    Placed,
    /// The next one follows, but first the hart comes back.
    Exit(Exit),
    /// The SBI is asked; nothing has retired.
    Sbi,
}

impl Hart {
    /// Executes the instruction at `pc`. The hart comes back if this gives a reason.
    #[cold]
    #[inline(never)]
    pub(super) fn rare<B: Bus>(&mut self, bus: &mut B, insn: Insn) -> Option<Exit> {
        if let Some(exit) = self.before_access(insn) {
            return Some(exit);
        }
        let done = match self.execute(bus, insn) {
            Ok(done) => done,
            Err(trap) => {
                self.take(bus.memory(), trap);
                return None;
            }
        };
        if matches!(done, Done::Retired | Done::Exit(_)) {
            self.retire(2 * insn.halfwords() as u64);
        }
        match done {
            Done::Retired | Done::Placed => None,
            Done::Exit(Exit::Wfi) => (!self.wakes(bus)).then_some(Exit::Wfi),
            Done::Exit(exit) => Some(exit),
            Done::Sbi => Some(Exit::Sbi),
        }
    }

    fn execute<B: Bus>(&mut self, bus: &mut B, insn: Insn) -> Result<Done, Trap> {
        let supervisor = self.privilege == Privilege::Supervisor;
        match insn.op {
            Op::Lb | Op::Lh | Op::Lw | Op::Ld | Op::Lbu | Op::Lhu | Op::Lwu | Op::Flw | Op::Fld => {
                self.load_insn(bus, insn)
            }
            Op::Sb | Op::Sh | Op::Sw | Op::Sd | Op::Fsw | Op::Fsd => self.store_insn(bus, insn),
            Op::LrW | Op::LrD => self.load_reserved(bus.memory(), insn),
            Op::ScW | Op::ScD => self.store_conditional(bus.memory(), insn),
            op if op.is_amo() => self.amo(bus.memory(), insn),
            Op::Csrrw | Op::Csrrs | Op::Csrrc | Op::Csrrwi | Op::Csrrsi | Op::Csrrci => self.csr_insn(bus, insn),
            Op::FenceI => {
                self.latch = None;
                Ok(Done::Retired)
            }
            Op::Ecall if supervisor => Ok(Done::Sbi),
            Op::Ecall => Err(Cause::UserCall.trap(0)),
            Op::Ebreak => Err(Cause::Breakpoint.trap(self.pc)),
            Op::Wfi if supervisor => Ok(Done::Exit(Exit::Wfi)),
            Op::Sret if supervisor => {
                self.sret();
                Ok(Done::Placed)
            }
            Op::SfenceVma if supervisor => {
                let (address, asid) = (self.x.get(insn.rs1), self.x.get(insn.rs2) as u16);
                self.fence((insn.rs1 != 0).then_some(address), (insn.rs2 != 0).then_some(asid));
                Ok(Done::Retired)
            }
            Op::CboZero if supervisor || self.csrs.senvcfg & CBZE != 0 => self.cbo_zero(bus.memory(), insn),
            Op::Illegal => Err(Cause::Illegal.trap(u64::from(insn.imm.cast_unsigned()))),
            _ => Err(self.illegal(bus.memory(), insn)),
        }
    }

    /// The trap of an instruction that exists but must not be executed here.
    fn illegal(&self, memory: &Memory, insn: Insn) -> Trap {
        let latch = self.latch.expect("an instruction was fetched");
        let at = latch.physical | (self.pc % PAGE_BYTES);
        let half = |at| memory.number::<2>(GuestAddr(at)).expect("an instruction is in memory");
        let second = if self.pc % PAGE_BYTES == PAGE_BYTES - 2 { self.second_half } else { at + 2 };
        let upper = if insn.halfwords() == 2 { half(second) << 16 } else { 0 };
        Cause::Illegal.trap(half(at) | upper)
    }

    fn require_float(&self, memory: &Memory, insn: Insn) -> Result<(), Trap> {
        if self.csrs.has_float() { Ok(()) } else { Err(self.illegal(memory, insn)) }
    }

    fn load_insn<B: Bus>(&mut self, bus: &mut B, insn: Insn) -> Result<Done, Trap> {
        let float = matches!(insn.op, Op::Flw | Op::Fld);
        if float {
            self.require_float(bus.memory(), insn)?;
        }
        let at = self.x.get(insn.rs1).wrapping_add(insn.offset());
        let (value, done) = self.load_bytes(bus, at, insn.op.bytes())?;
        let value = match insn.op {
            Op::Lb => i64::from((value as u8).cast_signed()).cast_unsigned(),
            Op::Lh => i64::from((value as u16).cast_signed()).cast_unsigned(),
            Op::Lw => sext32(value as u32),
            Op::Flw => fp::box32(value as u32),
            _ => value,
        };
        if float {
            self.f.put(insn.rd(), value);
            self.csrs.dirty_float();
        } else {
            self.x.put(insn.rd(), value);
        }
        Ok(done)
    }

    fn load_bytes<B: Bus>(&mut self, bus: &mut B, at: u64, bytes: u8) -> Result<(u64, Done), Trap> {
        let fault = Cause::LoadAccess.trap(at);
        let physical = self.translate(bus.memory(), at, Access::Load)?;
        let first = bytes_in_page(at, bytes);
        if first < bytes {
            let second = at.wrapping_add(u64::from(first));
            let physical_second = self.translate(bus.memory(), second, Access::Load)?;
            let mut value = [0; 8];
            let (lower, upper) = value[..usize::from(bytes)].split_at_mut(first.into());
            bus.memory().read(GuestAddr(physical), lower).map_err(|_| fault)?;
            bus.memory().read(GuestAddr(physical_second), upper).map_err(|_| Cause::LoadAccess.trap(second))?;
            return Ok((u64::from_le_bytes(value), Done::Retired));
        }
        let memory = bus.memory();
        if memory.page_of(physical).is_some() {
            let mut value = [0; 8];
            memory.read(GuestAddr(physical), &mut value[..usize::from(bytes)]).map_err(|_| fault)?;
            self.remember(memory, at, physical, Access::Load);
            return Ok((u64::from_le_bytes(value), Done::Retired));
        }
        if !physical.is_multiple_of(bytes.into()) {
            return Err(fault);
        }
        let value = bus.load(physical, bytes, Position(self.position)).map_err(|_| fault)?;
        let value = if bytes == 8 { value } else { value & ((1 << (8 * bytes)) - 1) };
        Ok((value, self.after_device(bus)))
    }

    fn store_insn<B: Bus>(&mut self, bus: &mut B, insn: Insn) -> Result<Done, Trap> {
        let float = matches!(insn.op, Op::Fsw | Op::Fsd);
        if float {
            self.require_float(bus.memory(), insn)?;
        }
        let at = self.x.get(insn.rs1).wrapping_add(insn.offset());
        let value = if float { self.f.get(insn.rs2) } else { self.x.get(insn.rs2) };
        self.store_bytes(bus, at, &value.to_le_bytes()[..usize::from(insn.op.bytes())])
    }

    fn store_bytes<B: Bus>(&mut self, bus: &mut B, at: u64, from: &[u8]) -> Result<Done, Trap> {
        let bytes = from.len() as u8;
        let fault = Cause::StoreAccess.trap(at);
        let physical = self.translate(bus.memory(), at, Access::Store)?;
        let first = bytes_in_page(at, bytes);
        if first < bytes {
            let second = at.wrapping_add(u64::from(first));
            let physical_second = self.translate(bus.memory(), second, Access::Store)?;
            let (lower, upper) = from.split_at(first.into());
            // Both must be in memory before either is written.
            bus.memory().page_of(physical).ok_or(fault)?;
            bus.memory().page_of(physical_second).ok_or(Cause::StoreAccess.trap(second))?;
            bus.memory().write_by_hart(GuestAddr(physical), lower).map_err(|_| fault)?;
            bus.memory().write_by_hart(GuestAddr(physical_second), upper).map_err(|_| fault)?;
            return Ok(Done::Retired);
        }
        let memory = bus.memory();
        if memory.page_of(physical).is_some() {
            memory.write_by_hart(GuestAddr(physical), from).map_err(|_| fault)?;
            self.remember(memory, at, physical, Access::Store);
            return Ok(Done::Retired);
        }
        if !physical.is_multiple_of(bytes.into()) {
            return Err(fault);
        }
        let mut value = [0; 8];
        value[..from.len()].copy_from_slice(from);
        let value = u64::from_le_bytes(value);
        bus.store(physical, bytes, value, Position(self.position)).map_err(|_| fault)?;
        Ok(self.after_device(bus))
    }

    /// A device may have done anything that a device may do.
    fn after_device<B: Bus>(&mut self, bus: &mut B) -> Done {
        self.meet(bus.memory());
        if bus.wants_end() { Done::Exit(Exit::Device) } else { Done::Retired }
    }

    /// Physical address of an atomic access, which is aligned and in memory.
    fn atomic(&mut self, memory: &mut Memory, insn: Insn, access: Access) -> Result<GuestAddr, Trap> {
        let at = self.x.get(insn.rs1);
        if !at.is_multiple_of(insn.op.bytes().into()) {
            let cause = if access == Access::Load { Cause::LoadMisaligned } else { Cause::StoreMisaligned };
            return Err(cause.trap(at));
        }
        let physical = self.translate(memory, at, access)?;
        memory.page_of(physical).ok_or(access.access_fault().trap(at))?;
        Ok(GuestAddr(physical))
    }

    /// An aligned number in memory as a register gets it.
    fn aligned(memory: &Memory, at: GuestAddr, bytes: u8) -> u64 {
        let value =
            if bytes == 4 { memory.number::<4>(at).map(|value| sext32(value as u32)) } else { memory.number::<8>(at) };
        value.expect("the address was checked")
    }

    fn put_aligned(memory: &mut Memory, at: GuestAddr, bytes: u8, value: u64) {
        memory.write_by_hart(at, &value.to_le_bytes()[..usize::from(bytes)]).expect("the address was checked");
    }

    fn load_reserved(&mut self, memory: &mut Memory, insn: Insn) -> Result<Done, Trap> {
        let at = self.atomic(memory, insn, Access::Load)?;
        memory.reservation = Some(reserved(at));
        self.x.put(insn.rd(), Self::aligned(memory, at, insn.op.bytes()));
        Ok(Done::Retired)
    }

    fn store_conditional(&mut self, memory: &mut Memory, insn: Insn) -> Result<Done, Trap> {
        let at = self.atomic(memory, insn, Access::Store)?;
        let holds = memory.reservation.take() == Some(reserved(at));
        if holds {
            Self::put_aligned(memory, at, insn.op.bytes(), self.x.get(insn.rs2));
        }
        self.x.put(insn.rd(), u64::from(!holds));
        Ok(Done::Retired)
    }

    fn amo(&mut self, memory: &mut Memory, insn: Insn) -> Result<Done, Trap> {
        let (bytes, by) = (insn.op.bytes(), self.x.get(insn.rs2));
        let at = self.atomic(memory, insn, Access::Store)?;
        let old = Self::aligned(memory, at, bytes);
        let new = if bytes == 4 {
            amo::modified_word(insn.op, old as u32, by).into()
        } else {
            amo::modified_double(insn.op, old, by)
        };
        Self::put_aligned(memory, at, bytes, new);
        self.remember(memory, self.x.get(insn.rs1), at.0, Access::Store);
        self.x.put(insn.rd(), old);
        Ok(Done::Retired)
    }

    fn cbo_zero(&mut self, memory: &mut Memory, insn: Insn) -> Result<Done, Trap> {
        let at = self.x.get(insn.rs1);
        let physical = self.translate(memory, at, Access::Store)? & !(CACHE_BLOCK - 1);
        let zeroes = [0; CACHE_BLOCK as usize];
        memory.write_by_hart(GuestAddr(physical), &zeroes).map_err(|_| Cause::StoreAccess.trap(at))?;
        Ok(Done::Retired)
    }

    fn csr_insn<B: Bus>(&mut self, bus: &mut B, insn: Insn) -> Result<Done, Trap> {
        let operand = match insn.op {
            Op::Csrrw | Op::Csrrs | Op::Csrrc => self.x.get(insn.rs1),
            _ => insn.rs1.into(),
        };
        let writes = insn.rs1 != 0;
        let new = |old: u64| match insn.op {
            Op::Csrrw | Op::Csrrwi => Some(operand),
            Op::Csrrs | Op::Csrrsi => writes.then_some(old | operand),
            _ => writes.then_some(old & !operand),
        };
        match self.csr(insn.imm as u16, bus.external_interrupt(), new) {
            Ok(old) => {
                self.x.put(insn.rd(), old);
                Ok(Done::Retired)
            }
            Err(crate::hart::csr::NoCsr) => Err(self.illegal(bus.memory(), insn)),
        }
    }
}

/// How many of these bytes are in the page where they begin.
fn bytes_in_page(at: u64, bytes: u8) -> u8 {
    (PAGE_BYTES - at % PAGE_BYTES).min(bytes.into()) as u8
}

/// The reservation set of an address.
fn reserved(at: GuestAddr) -> GuestAddr {
    GuestAddr(at.0 & !7)
}
