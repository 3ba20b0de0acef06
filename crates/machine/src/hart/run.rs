//! The inner loop.
//!
//! It executes decoded instructions of one page at a time; everything that it does not do itself is in `rare`, after which it begins anew. So whatever
//! frees decoded pages, changes the TLB or moves the interrupt lines happens while the loop holds nothing.

use crate::hart::code::{CodePage, HALFWORDS};
use crate::hart::csr::FS;
use crate::hart::integer::{self, sext32};
use crate::hart::mmu::Access;
use crate::hart::op::{Insn, Op};
use crate::hart::trap::TIMER;
use crate::hart::{Bus, Exit, Hart, Latch, decode, fp};
use crate::memory::{GuestAddr, Memory, PAGE_BYTES};
use gapless_log::Position;
use std::ptr::NonNull;

impl Hart {
    /// Executes until the position is reached or there is another reason to come back.
    pub fn run<B: Bus>(&mut self, bus: &mut B, until: Position) -> Exit {
        assert!(self.position <= until.0, "the hart is at {}, behind {}", self.position, until.0);
        self.meet(bus.memory());
        loop {
            if self.position == until.0 {
                return Exit::Limit;
            }
            if let Some(interrupt) = self.deliverable(bus.external_interrupt()) {
                self.interrupt(bus.memory(), interrupt);
                continue;
            }
            let lifted = self.points.is_lifted();
            let end = if lifted { self.position + 1 } else { self.horizon(until.0) };
            let exit = self.stretch(bus, end);
            if lifted {
                self.points.lower(bus.memory());
            }
            if let Some(exit) = exit {
                return exit;
            }
        }
    }

    /// How far nothing but the instructions themselves can bring an interrupt.
    fn horizon(&self, until: u64) -> u64 {
        let timer = self.csrs.sie & TIMER.bit() != 0 && self.takes_interrupts();
        if timer { until.min(self.timer_at) } else { until }
    }

    /// The decoded instructions at `pc`, if nothing has to be done for them.
    #[inline(always)]
    fn known_page(&mut self, memory: &Memory, pc: u64) -> Option<NonNull<CodePage>> {
        let page = pc & !(PAGE_BYTES - 1);
        let physical = match self.latch {
            Some(latch) if latch.page == page => latch.physical,
            _ => {
                let physical = self.fetches.find(page, self.fetch_context)?;
                self.latch = Some(Latch { page, physical });
                physical
            }
        };
        memory.code.find(memory.page_of(physical)?)
    }

    /// The decoded instructions at `pc`; none if the fetch has trapped.
    #[cold]
    #[inline(never)]
    fn enter_page(&mut self, memory: &mut Memory) -> Option<NonNull<CodePage>> {
        let physical = match self.fetch_page(memory) {
            Ok(physical) => physical,
            Err(trap) => {
                self.take(memory, trap);
                return None;
            }
        };
        let page = memory.page_of(physical).expect("the latch is in memory");
        Some(memory.code.find(page).unwrap_or_else(|| {
            // Stores to it have somebody to tell from here on.
            self.stores.clear();
            memory.code.create(page)
        }))
    }

    /// Decodes the instruction at this halfword of the latched page.
    #[cold]
    #[inline(never)]
    fn decode(&mut self, memory: &mut Memory, slot: usize) {
        let latch = self.latch.expect("a page was entered");
        let at = latch.physical + 2 * slot as u64;
        let half = |at| memory.number::<2>(GuestAddr(at)).expect("the latch is in memory") as u32;
        let first = half(at);
        let insn = match first & 3 {
            3 if slot == HALFWORDS - 1 => Insn::new(Op::Straddle, 0, 0, 0, 0),
            3 => decode::decode(half(at + 2) << 16 | first),
            _ => decode::decode_compressed(first as u16),
        };
        let page = memory.page_of(latch.physical).expect("the latch is in memory");
        memory.code.fill(page, slot, self.points.marked(slot, insn));
    }

    /// A page in which the straddling instruction at `pc` can be executed; none if fetching its second half has trapped.
    #[cold]
    #[inline(never)]
    fn straddle(&mut self, memory: &mut Memory) -> Option<NonNull<CodePage>> {
        let latch = self.latch.expect("a page was entered");
        let second = self.pc.wrapping_add(2);
        let fetched = self.translate(memory, second, Access::Fetch).and_then(|physical| {
            let half = memory.number::<2>(GuestAddr(physical));
            half.map(|half| (physical, half)).map_err(|_| Access::Fetch.access_fault().trap(second))
        });
        let (physical, upper) = match fetched {
            Ok(fetched) => fetched,
            Err(trap) => {
                self.take(memory, trap);
                return None;
            }
        };
        let first = GuestAddr(latch.physical | (self.pc % PAGE_BYTES));
        let lower = memory.number::<2>(first).expect("the latch is in memory");
        self.second_half = physical;
        Some(self.straddling.with(decode::decode((upper << 16 | lower) as u32)))
    }

    /// Executes up to `end`, or less; at least one instruction or trap. The hart comes back if this gives a reason.
    fn stretch<B: Bus>(&mut self, bus: &mut B, end: u64) -> Option<Exit> {
        let mut budget = end - self.position;
        let mut pc = self.pc;
        loop {
            if budget == 0 {
                (self.pc, self.position) = (pc, end);
                return None;
            }
            let code = match self.known_page(bus.memory(), pc) {
                Some(code) => code,
                None => {
                    (self.pc, self.position) = (pc, end - budget);
                    self.enter_page(bus.memory())?
                }
            };
            let mut slots: *const Insn = code.cast::<Insn>().as_ptr().cast_const();
            let base = pc & !(PAGE_BYTES - 1);
            let mut i = (pc % PAGE_BYTES) as usize / 2;
            // Leaves with the next `pc`, which may be in another page.
            pc = 'page: loop {
                // SAFETY: `i` is below HALFWORDS when a page is entered or a branch stays in it; it grows by at most 2 from a slot below HALFWORDS;
                // the two slots from there on leave the page. `slots` is alive: nothing that frees pages is called before the page is entered anew.
                let insn = unsafe { *slots.add(i) };
                let mut next = i + insn.halfwords_guessed();

                macro_rules! rare {
                    () => {{
                        (self.pc, self.position) = (base + 2 * i as u64, end - budget);
                        return self.rare(bus, insn);
                    }};
                }
                macro_rules! put {
                    ($value:expr) => {{
                        let value: u64 = $value;
                        self.x.put(insn.rd(), value)
                    }};
                }
                // `rd = a op b`, also with an immediate.
                macro_rules! op {
                    (|$a:ident, $b:ident| $value:expr) => {{
                        let ($a, $b) = (self.x.get(insn.rs1), self.x.get(insn.rs2));
                        put!($value)
                    }};
                }
                macro_rules! op_imm {
                    (|$a:ident, $b:ident| $value:expr) => {{
                        let ($a, $b) = (self.x.get(insn.rs1), insn.offset());
                        put!($value)
                    }};
                }
                macro_rules! unary {
                    (|$a:ident| $value:expr) => {{
                        let $a = self.x.get(insn.rs1);
                        put!($value)
                    }};
                }
                macro_rules! branch {
                    (|$a:ident, $b:ident| $taken:expr) => {{
                        let ($a, $b) = (self.x.get(insn.rs1), self.x.get(insn.rs2));
                        if $taken {
                            jump!()
                        }
                    }};
                }
                // To this instruction plus its immediate.
                macro_rules! jump {
                    () => {{
                        next = i.wrapping_add_signed((insn.imm >> 1) as isize);
                        if next >= HALFWORDS {
                            budget -= 1;
                            break 'page base.wrapping_add((next as u64) << 1);
                        }
                    }};
                }
                macro_rules! address {
                    () => {
                        self.x.get(insn.rs1).wrapping_add(insn.offset())
                    };
                }
                macro_rules! load {
                    ($number:ty, |$value:ident| $extended:expr) => {{
                        match self.loads.find::<{ size_of::<$number>() }>(address!(), self.context) {
                            Some(host) => {
                                let $value = <$number>::from_le_bytes(host.get());
                                put!($extended)
                            }
                            None => rare!(),
                        }
                    }};
                }
                macro_rules! store {
                    ($number:ty, $value:expr) => {{
                        match self.stores.find::<{ size_of::<$number>() }>(address!(), self.context) {
                            Some(host) => host.put(($value as $number).to_le_bytes()),
                            None => rare!(),
                        }
                    }};
                }
                macro_rules! float {
                    ($execute:ident) => {{
                        if !self.$execute(insn) {
                            rare!()
                        }
                    }};
                }

                match insn.op {
                    Op::Undecoded => {
                        self.decode(bus.memory(), i);
                        continue 'page;
                    }
                    Op::PageEnd => break 'page base.wrapping_add(2 * i as u64),
                    Op::Straddle => {
                        (self.pc, self.position) = (base + 2 * i as u64, end - budget);
                        slots = self.straddle(bus.memory())?.cast::<Insn>().as_ptr().cast_const();
                        continue 'page;
                    }
                    Op::Point => {
                        (self.pc, self.position) = (base + 2 * i as u64, end - budget);
                        return self.at_mark(bus.memory(), i);
                    }
                    Op::Lui => put!(insn.offset()),
                    Op::Auipc => put!((base + 2 * i as u64).wrapping_add(insn.offset())),
                    Op::Jal => {
                        put!((base + 2 * i as u64).wrapping_add(2 * insn.halfwords() as u64));
                        jump!();
                    }
                    Op::Jalr => {
                        let target = address!() & !1;
                        put!((base + 2 * i as u64).wrapping_add(2 * insn.halfwords() as u64));
                        let offset = target.wrapping_sub(base);
                        if offset >= PAGE_BYTES {
                            budget -= 1;
                            break 'page target;
                        }
                        next = (offset / 2) as usize;
                    }
                    Op::Beq => branch!(|a, b| a == b),
                    Op::Bne => branch!(|a, b| a != b),
                    Op::Blt => branch!(|a, b| a.cast_signed() < b.cast_signed()),
                    Op::Bge => branch!(|a, b| a.cast_signed() >= b.cast_signed()),
                    Op::Bltu => branch!(|a, b| a < b),
                    Op::Bgeu => branch!(|a, b| a >= b),

                    Op::Lb => load!(i8, |v| i64::from(v).cast_unsigned()),
                    Op::Lh => load!(i16, |v| i64::from(v).cast_unsigned()),
                    Op::Lw => load!(i32, |v| i64::from(v).cast_unsigned()),
                    Op::Ld => load!(u64, |v| v),
                    Op::Lbu => load!(u8, |v| v.into()),
                    Op::Lhu => load!(u16, |v| v.into()),
                    Op::Lwu => load!(u32, |v| v.into()),
                    Op::Sb => store!(u8, self.x.get(insn.rs2)),
                    Op::Sh => store!(u16, self.x.get(insn.rs2)),
                    Op::Sw => store!(u32, self.x.get(insn.rs2)),
                    Op::Sd => store!(u64, self.x.get(insn.rs2)),
                    Op::Flw | Op::Fld if self.csrs.sstatus & FS != FS => rare!(),
                    Op::Flw => match self.loads.find(address!(), self.context) {
                        Some(host) => self.f.put(insn.rd(), fp::box32(u32::from_le_bytes(host.get()))),
                        None => rare!(),
                    },
                    Op::Fld => match self.loads.find(address!(), self.context) {
                        Some(host) => self.f.put(insn.rd(), u64::from_le_bytes(host.get())),
                        None => rare!(),
                    },
                    Op::Fsw | Op::Fsd if !self.csrs.has_float() => rare!(),
                    Op::Fsw => store!(u32, self.f.get(insn.rs2)),
                    Op::Fsd => store!(u64, self.f.get(insn.rs2)),

                    Op::Addi => op_imm!(|a, b| a.wrapping_add(b)),
                    Op::Slti => op_imm!(|a, b| (a.cast_signed() < b.cast_signed()).into()),
                    Op::Sltiu => op_imm!(|a, b| (a < b).into()),
                    Op::Xori => op_imm!(|a, b| a ^ b),
                    Op::Ori => op_imm!(|a, b| a | b),
                    Op::Andi => op_imm!(|a, b| a & b),
                    Op::Slli => op_imm!(|a, b| a << (b & 63)),
                    Op::Srli => op_imm!(|a, b| a >> (b & 63)),
                    Op::Srai => op_imm!(|a, b| (a.cast_signed() >> (b & 63)).cast_unsigned()),
                    Op::Addiw => op_imm!(|a, b| sext32((a as u32).wrapping_add(b as u32))),
                    Op::Slliw => op_imm!(|a, b| sext32((a as u32) << (b & 31))),
                    Op::Srliw => op_imm!(|a, b| sext32(a as u32 >> (b & 31))),
                    Op::Sraiw => op_imm!(|a, b| sext32(((a as u32).cast_signed() >> (b & 31)).cast_unsigned())),
                    Op::Add => op!(|a, b| a.wrapping_add(b)),
                    Op::Sub => op!(|a, b| a.wrapping_sub(b)),
                    Op::Sll => op!(|a, b| a << (b & 63)),
                    Op::Slt => op!(|a, b| (a.cast_signed() < b.cast_signed()).into()),
                    Op::Sltu => op!(|a, b| (a < b).into()),
                    Op::Xor => op!(|a, b| a ^ b),
                    Op::Srl => op!(|a, b| a >> (b & 63)),
                    Op::Sra => op!(|a, b| (a.cast_signed() >> (b & 63)).cast_unsigned()),
                    Op::Or => op!(|a, b| a | b),
                    Op::And => op!(|a, b| a & b),
                    Op::Addw => op!(|a, b| sext32((a as u32).wrapping_add(b as u32))),
                    Op::Subw => op!(|a, b| sext32((a as u32).wrapping_sub(b as u32))),
                    Op::Sllw => op!(|a, b| sext32((a as u32) << (b & 31))),
                    Op::Srlw => op!(|a, b| sext32(a as u32 >> (b & 31))),
                    Op::Sraw => op!(|a, b| sext32(((a as u32).cast_signed() >> (b & 31)).cast_unsigned())),
                    Op::Mul => op!(|a, b| a.wrapping_mul(b)),
                    Op::Mulh => op!(|a, b| integer::mulh(a, b)),
                    Op::Mulhsu => op!(|a, b| integer::mulhsu(a, b)),
                    Op::Mulhu => op!(|a, b| integer::mulhu(a, b)),
                    Op::Div => op!(|a, b| integer::div(a, b)),
                    Op::Divu => op!(|a, b| integer::divu(a, b)),
                    Op::Rem => op!(|a, b| integer::rem(a, b)),
                    Op::Remu => op!(|a, b| integer::remu(a, b)),
                    Op::Mulw => op!(|a, b| sext32((a as u32).wrapping_mul(b as u32))),
                    Op::Divw => op!(|a, b| integer::divw(a, b)),
                    Op::Divuw => op!(|a, b| integer::divuw(a, b)),
                    Op::Remw => op!(|a, b| integer::remw(a, b)),
                    Op::Remuw => op!(|a, b| integer::remuw(a, b)),

                    Op::AddUw => op!(|a, b| u64::from(a as u32).wrapping_add(b)),
                    Op::Sh1add => op!(|a, b| (a << 1).wrapping_add(b)),
                    Op::Sh2add => op!(|a, b| (a << 2).wrapping_add(b)),
                    Op::Sh3add => op!(|a, b| (a << 3).wrapping_add(b)),
                    Op::Sh1addUw => op!(|a, b| (u64::from(a as u32) << 1).wrapping_add(b)),
                    Op::Sh2addUw => op!(|a, b| (u64::from(a as u32) << 2).wrapping_add(b)),
                    Op::Sh3addUw => op!(|a, b| (u64::from(a as u32) << 3).wrapping_add(b)),
                    Op::SlliUw => op_imm!(|a, b| u64::from(a as u32) << (b & 63)),

                    Op::Andn => op!(|a, b| a & !b),
                    Op::Orn => op!(|a, b| a | !b),
                    Op::Xnor => op!(|a, b| !(a ^ b)),
                    Op::Clz => unary!(|a| a.leading_zeros().into()),
                    Op::Ctz => unary!(|a| a.trailing_zeros().into()),
                    Op::Cpop => unary!(|a| a.count_ones().into()),
                    Op::Clzw => unary!(|a| (a as u32).leading_zeros().into()),
                    Op::Ctzw => unary!(|a| (a as u32).trailing_zeros().into()),
                    Op::Cpopw => unary!(|a| (a as u32).count_ones().into()),
                    Op::Max => op!(|a, b| a.cast_signed().max(b.cast_signed()).cast_unsigned()),
                    Op::Maxu => op!(|a, b| a.max(b)),
                    Op::Min => op!(|a, b| a.cast_signed().min(b.cast_signed()).cast_unsigned()),
                    Op::Minu => op!(|a, b| a.min(b)),
                    Op::SextB => unary!(|a| i64::from((a as u8).cast_signed()).cast_unsigned()),
                    Op::SextH => unary!(|a| i64::from((a as u16).cast_signed()).cast_unsigned()),
                    Op::ZextH => unary!(|a| (a as u16).into()),
                    Op::Rol => op!(|a, b| a.rotate_left((b & 63) as u32)),
                    Op::Ror => op!(|a, b| a.rotate_right((b & 63) as u32)),
                    Op::Rori => op_imm!(|a, b| a.rotate_right((b & 63) as u32)),
                    Op::Rolw => op!(|a, b| sext32((a as u32).rotate_left((b & 31) as u32))),
                    Op::Rorw => op!(|a, b| sext32((a as u32).rotate_right((b & 31) as u32))),
                    Op::Roriw => op_imm!(|a, b| sext32((a as u32).rotate_right((b & 31) as u32))),
                    Op::OrcB => unary!(|a| integer::orc_b(a)),
                    Op::Rev8 => unary!(|a| a.swap_bytes()),

                    Op::Bclr => op!(|a, b| a & !(1 << (b & 63))),
                    Op::Bext => op!(|a, b| a >> (b & 63) & 1),
                    Op::Binv => op!(|a, b| a ^ 1 << (b & 63)),
                    Op::Bset => op!(|a, b| a | 1 << (b & 63)),
                    Op::Bclri => op_imm!(|a, b| a & !(1 << (b & 63))),
                    Op::Bexti => op_imm!(|a, b| a >> (b & 63) & 1),
                    Op::Binvi => op_imm!(|a, b| a ^ 1 << (b & 63)),
                    Op::Bseti => op_imm!(|a, b| a | 1 << (b & 63)),

                    Op::Fence => {}
                    op if op.is_amo() => {
                        if !self.amo_aside(insn) {
                            rare!()
                        }
                    }
                    Op::Fadd => float!(fadd),
                    Op::Fsub => float!(fsub),
                    Op::Fmul => float!(fmul),
                    Op::Fdiv => float!(fdiv),
                    Op::Fmadd => float!(fmadd),
                    Op::Fmsub => float!(fmsub),
                    Op::Fnmsub => float!(fnmsub),
                    Op::Fsgnj => float!(fsgnj),
                    Op::Feq => float!(feq),
                    Op::Flt => float!(flt),
                    Op::Fle => float!(fle),
                    Op::FmvToX => float!(fmv_to_x),
                    Op::FmvFromX => float!(fmv_from_x),
                    Op::FcvtFromW => float!(fcvt_from_w),
                    Op::FcvtFromL => float!(fcvt_from_l),
                    op if op.is_float() => float!(float),
                    _ => rare!(),
                }
                i = next;
                budget -= 1;
                if budget == 0 {
                    break 'page base.wrapping_add(2 * i as u64);
                }
            };
        }
    }
}
