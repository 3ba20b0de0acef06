//! Floating-point instructions: registers, boxes and flags. The arithmetic is in [`fp`].

use crate::hart::Hart;
use crate::hart::fp::{self, Rm};
use crate::hart::op::{Insn, Op};

/// A precision.
trait Format {
    /// Its bits.
    type Bits: Copy;
    /// The sign bit.
    const SIGN: u64;
    fn unboxed(register: u64) -> Self::Bits;
    fn boxed(bits: Self::Bits) -> u64;
    fn add(a: Self::Bits, b: Self::Bits, rm: Rm, fflags: &mut u8) -> Self::Bits;
    fn sub(a: Self::Bits, b: Self::Bits, rm: Rm, fflags: &mut u8) -> Self::Bits;
    fn mul(a: Self::Bits, b: Self::Bits, rm: Rm, fflags: &mut u8) -> Self::Bits;
    fn div(a: Self::Bits, b: Self::Bits, rm: Rm, fflags: &mut u8) -> Self::Bits;
    fn sqrt(a: Self::Bits, rm: Rm, fflags: &mut u8) -> Self::Bits;
    fn fma(a: Self::Bits, b: Self::Bits, c: Self::Bits, rm: Rm, fflags: &mut u8) -> Self::Bits;
    fn min(a: Self::Bits, b: Self::Bits, fflags: &mut u8) -> Self::Bits;
    fn max(a: Self::Bits, b: Self::Bits, fflags: &mut u8) -> Self::Bits;
    fn eq(a: Self::Bits, b: Self::Bits, fflags: &mut u8) -> bool;
    fn lt(a: Self::Bits, b: Self::Bits, fflags: &mut u8) -> bool;
    fn le(a: Self::Bits, b: Self::Bits, fflags: &mut u8) -> bool;
    fn class(a: Self::Bits) -> u64;
    fn to_i32(a: Self::Bits, rm: Rm, fflags: &mut u8) -> u64;
    fn to_u32(a: Self::Bits, rm: Rm, fflags: &mut u8) -> u64;
    fn to_i64(a: Self::Bits, rm: Rm, fflags: &mut u8) -> u64;
    fn to_u64(a: Self::Bits, rm: Rm, fflags: &mut u8) -> u64;
    fn from_i32(a: u64, rm: Rm, fflags: &mut u8) -> Self::Bits;
    fn from_u32(a: u64, rm: Rm, fflags: &mut u8) -> Self::Bits;
    fn from_i64(a: u64, rm: Rm, fflags: &mut u8) -> Self::Bits;
    fn from_u64(a: u64, rm: Rm, fflags: &mut u8) -> Self::Bits;
    /// The bits with the sign turned where `mask` has it.
    fn turned(a: Self::Bits, mask: u64) -> Self::Bits;
    /// All bits in the lower part of a register.
    fn raw(a: Self::Bits) -> u64;
    /// As FMV gives it to an integer register.
    fn moved(register: u64) -> u64;
}

/// Calls [`fp`] under its names.
macro_rules! format {
    ($name:ident, $bits:ty, { $($method:ident = $function:ident($($arg:ident: $type:ty),*) -> $result:ty;)* }) => {
        impl Format for $name {
            type Bits = $bits;
            const SIGN: u64 = 1 << (<$bits>::BITS - 1);
            $(
                #[inline(always)]
                fn $method($($arg: $type),*) -> $result {
                    fp::$function($($arg),*)
                }
            )*
            #[inline(always)]
            fn unboxed(register: u64) -> $bits {
                Self::unboxed_register(register)
            }
            #[inline(always)]
            fn boxed(bits: $bits) -> u64 {
                Self::boxed_bits(bits)
            }
            #[inline(always)]
            fn turned(a: $bits, mask: u64) -> $bits {
                a ^ (mask & Self::SIGN) as $bits
            }
            #[inline(always)]
            fn raw(a: $bits) -> u64 {
                a.into()
            }
            #[inline(always)]
            fn moved(register: u64) -> u64 {
                (register as $bits).cast_signed() as i64 as u64
            }
        }
    };
}

struct Single;

impl Single {
    fn unboxed_register(register: u64) -> u32 {
        fp::unbox32(register)
    }
    fn boxed_bits(bits: u32) -> u64 {
        fp::box32(bits)
    }
}

struct Double;

impl Double {
    fn unboxed_register(register: u64) -> u64 {
        register
    }
    fn boxed_bits(bits: u64) -> u64 {
        bits
    }
}

format!(Single, u32, {
    add = add32(a: u32, b: u32, rm: Rm, fflags: &mut u8) -> u32;
    sub = sub32(a: u32, b: u32, rm: Rm, fflags: &mut u8) -> u32;
    mul = mul32(a: u32, b: u32, rm: Rm, fflags: &mut u8) -> u32;
    div = div32(a: u32, b: u32, rm: Rm, fflags: &mut u8) -> u32;
    sqrt = sqrt32(a: u32, rm: Rm, fflags: &mut u8) -> u32;
    fma = fma32(a: u32, b: u32, c: u32, rm: Rm, fflags: &mut u8) -> u32;
    min = min32(a: u32, b: u32, fflags: &mut u8) -> u32;
    max = max32(a: u32, b: u32, fflags: &mut u8) -> u32;
    eq = eq32(a: u32, b: u32, fflags: &mut u8) -> bool;
    lt = lt32(a: u32, b: u32, fflags: &mut u8) -> bool;
    le = le32(a: u32, b: u32, fflags: &mut u8) -> bool;
    class = class32(a: u32) -> u64;
    to_i32 = f32_to_i32(a: u32, rm: Rm, fflags: &mut u8) -> u64;
    to_u32 = f32_to_u32(a: u32, rm: Rm, fflags: &mut u8) -> u64;
    to_i64 = f32_to_i64(a: u32, rm: Rm, fflags: &mut u8) -> u64;
    to_u64 = f32_to_u64(a: u32, rm: Rm, fflags: &mut u8) -> u64;
    from_i32 = i32_to_f32(a: u64, rm: Rm, fflags: &mut u8) -> u32;
    from_u32 = u32_to_f32(a: u64, rm: Rm, fflags: &mut u8) -> u32;
    from_i64 = i64_to_f32(a: u64, rm: Rm, fflags: &mut u8) -> u32;
    from_u64 = u64_to_f32(a: u64, rm: Rm, fflags: &mut u8) -> u32;
});

format!(Double, u64, {
    add = add64(a: u64, b: u64, rm: Rm, fflags: &mut u8) -> u64;
    sub = sub64(a: u64, b: u64, rm: Rm, fflags: &mut u8) -> u64;
    mul = mul64(a: u64, b: u64, rm: Rm, fflags: &mut u8) -> u64;
    div = div64(a: u64, b: u64, rm: Rm, fflags: &mut u8) -> u64;
    sqrt = sqrt64(a: u64, rm: Rm, fflags: &mut u8) -> u64;
    fma = fma64(a: u64, b: u64, c: u64, rm: Rm, fflags: &mut u8) -> u64;
    min = min64(a: u64, b: u64, fflags: &mut u8) -> u64;
    max = max64(a: u64, b: u64, fflags: &mut u8) -> u64;
    eq = eq64(a: u64, b: u64, fflags: &mut u8) -> bool;
    lt = lt64(a: u64, b: u64, fflags: &mut u8) -> bool;
    le = le64(a: u64, b: u64, fflags: &mut u8) -> bool;
    class = class64(a: u64) -> u64;
    to_i32 = f64_to_i32(a: u64, rm: Rm, fflags: &mut u8) -> u64;
    to_u32 = f64_to_u32(a: u64, rm: Rm, fflags: &mut u8) -> u64;
    to_i64 = f64_to_i64(a: u64, rm: Rm, fflags: &mut u8) -> u64;
    to_u64 = f64_to_u64(a: u64, rm: Rm, fflags: &mut u8) -> u64;
    from_i32 = i32_to_f64(a: u64, rm: Rm, fflags: &mut u8) -> u64;
    from_u32 = u32_to_f64(a: u64, rm: Rm, fflags: &mut u8) -> u64;
    from_i64 = i64_to_f64(a: u64, rm: Rm, fflags: &mut u8) -> u64;
    from_u64 = u64_to_f64(a: u64, rm: Rm, fflags: &mut u8) -> u64;
});

/// The result of an instruction, and where it goes.
enum Value {
    Float(u64),
    Integer(u64),
}

/// The common instructions, each a function of its own: it knows what to do, so that the interpreter dispatches once.
macro_rules! common {
    ($($name:ident = $op:ident,)*) => {
        impl Hart {
            $(
                #[inline(never)]
                pub(super) fn $name(&mut self, insn: Insn) -> bool {
                    self.float_op(Op::$op, insn)
                }
            )*
        }
    };
}

common! {
    fadd = Fadd,
    fsub = Fsub,
    fmul = Fmul,
    fdiv = Fdiv,
    fmadd = Fmadd,
    fmsub = Fmsub,
    fnmsub = Fnmsub,
    fsgnj = Fsgnj,
    feq = Feq,
    flt = Flt,
    fle = Fle,
    fmv_to_x = FmvToX,
    fmv_from_x = FmvFromX,
    fcvt_from_w = FcvtFromW,
    fcvt_from_l = FcvtFromL,
}

impl Hart {
    /// Executes a floating-point instruction, if it is legal now.
    #[inline(never)]
    pub(super) fn float(&mut self, insn: Insn) -> bool {
        self.float_op(insn.op, insn)
    }

    /// `op` is the instruction's.
    #[inline(always)]
    fn float_op(&mut self, op: Op, insn: Insn) -> bool {
        if !self.csrs.has_float() {
            return false;
        }
        // They accrue: what has been raised already need not be found out again.
        let mut fflags = self.csrs.fflags;
        let value = if insn.is_double() {
            self.compute::<Double>(op, insn, &mut fflags)
        } else {
            self.compute::<Single>(op, insn, &mut fflags)
        };
        let Some(value) = value else { return false };
        if fflags != self.csrs.fflags {
            self.csrs.fflags = fflags;
            self.csrs.dirty_float();
        }
        match value {
            Value::Float(value) => {
                self.f.put(insn.rd(), value);
                self.csrs.dirty_float();
            }
            Value::Integer(value) => self.x.put(insn.rd(), value),
        }
        true
    }

    /// The rounding mode, given by the instruction or by `frm`; none if it is a reserved one.
    fn rounding(&self, insn: Insn) -> Option<Rm> {
        let rm = insn.imm as u8 & 7;
        Rm::from_bits(if rm == 7 { self.csrs.frm } else { rm })
    }

    #[inline(always)]
    fn compute<F: Format>(&self, op: Op, insn: Insn, flags: &mut u8) -> Option<Value> {
        let (a, b, c) = (self.f.get(insn.rs1), self.f.get(insn.rs2), self.f.get(insn.rs3()));
        let (a, b, c) = (F::unboxed(a), F::unboxed(b), F::unboxed(c));
        let x = self.x.get(insn.rs1);
        let minus = |bits| F::turned(bits, F::SIGN);
        // Only what rounds may ask: in the others these bits are something else.
        let rm = || self.rounding(insn);
        let float = |bits| Some(Value::Float(F::boxed(bits)));
        match op {
            Op::Fmadd => float(F::fma(a, b, c, rm()?, flags)),
            Op::Fmsub => float(F::fma(a, b, minus(c), rm()?, flags)),
            Op::Fnmsub => float(F::fma(minus(a), b, c, rm()?, flags)),
            Op::Fnmadd => float(F::fma(minus(a), b, minus(c), rm()?, flags)),
            Op::Fadd => float(F::add(a, b, rm()?, flags)),
            Op::Fsub => float(F::sub(a, b, rm()?, flags)),
            Op::Fmul => float(F::mul(a, b, rm()?, flags)),
            Op::Fdiv => float(F::div(a, b, rm()?, flags)),
            Op::Fsqrt => float(F::sqrt(a, rm()?, flags)),
            Op::Fsgnj => float(F::turned(a, F::raw(a) ^ F::raw(b))),
            Op::Fsgnjn => float(F::turned(a, !(F::raw(a) ^ F::raw(b)))),
            Op::Fsgnjx => float(F::turned(a, F::raw(b))),
            Op::Fmin => float(F::min(a, b, flags)),
            Op::Fmax => float(F::max(a, b, flags)),
            Op::FcvtFromW => float(F::from_i32(x, rm()?, flags)),
            Op::FcvtFromWu => float(F::from_u32(x, rm()?, flags)),
            Op::FcvtFromL => float(F::from_i64(x, rm()?, flags)),
            Op::FcvtFromLu => float(F::from_u64(x, rm()?, flags)),
            Op::FmvFromX => Some(Value::Float(if insn.is_double() { x } else { fp::box32(x as u32) })),
            Op::FcvtSD => Some(Value::Float(fp::box32(fp::f64_to_f32(self.f.get(insn.rs1), rm()?, flags)))),
            Op::FcvtDS => {
                // Exact, but a reserved rounding mode is illegal nonetheless.
                rm()?;
                Some(Value::Float(fp::f32_to_f64(fp::unbox32(self.f.get(insn.rs1)), flags)))
            }
            _ => self.compute_integer::<F>(op, insn, (a, b), flags).map(Value::Integer),
        }
    }

    /// Those whose result is an integer.
    #[inline(always)]
    fn compute_integer<F: Format>(
        &self,
        op: Op,
        insn: Insn,
        (a, b): (F::Bits, F::Bits),
        flags: &mut u8,
    ) -> Option<u64> {
        let rm = || self.rounding(insn);
        Some(match op {
            Op::Feq => F::eq(a, b, flags).into(),
            Op::Flt => F::lt(a, b, flags).into(),
            Op::Fle => F::le(a, b, flags).into(),
            Op::Fclass => F::class(a),
            Op::FcvtW => F::to_i32(a, rm()?, flags),
            Op::FcvtWu => F::to_u32(a, rm()?, flags),
            Op::FcvtL => F::to_i64(a, rm()?, flags),
            Op::FcvtLu => F::to_u64(a, rm()?, flags),
            Op::FmvToX => F::moved(self.f.get(insn.rs1)),
            op => unreachable!("{op:?} is no floating-point instruction"),
        })
    }
}
