//! The floating-point arithmetic of the F and D extensions (RISC-V unprivileged manual, chapters "F" and "D").
//!
//! Numbers come and go as bits. A result and its flags are a function of the arguments alone. `exact` computes them in
//! integers, in every rounding mode. `fast` stands before it and takes the host's own arithmetic in the cases where the
//! host must give the same bits and where no flag other than NX is possible; [`assert_host`] checks what that relies on.
//!
//! Left out: the rounding mode DYN, the register file, and which instruction may raise an illegal-instruction trap. The
//! instruction's decoder knows them.

mod compare;
mod exact;
mod fast;
mod format;
mod integer;

pub use fast::assert_host;

/// The accrued flag "invalid operation".
pub const NV: u8 = 1 << 4;
/// The accrued flag "divide by zero".
pub const DZ: u8 = 1 << 3;
/// The accrued flag "overflow".
pub const OF: u8 = 1 << 2;
/// The accrued flag "underflow": the result is inexact and, after rounding, tiny.
pub const UF: u8 = 1 << 1;
/// The accrued flag "inexact".
pub const NX: u8 = 1 << 0;

/// A rounding mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rm {
    /// To nearest, ties to even.
    Rne,
    /// Toward zero.
    Rtz,
    /// Down, toward negative infinity.
    Rdn,
    /// Up, toward positive infinity.
    Rup,
    /// To nearest, ties to the larger magnitude.
    Rmm,
}

impl Rm {
    /// The mode that these bits of an instruction or of `frm` stand for; none for the reserved ones and for DYN.
    #[inline]
    pub fn from_bits(bits: u8) -> Option<Rm> {
        match bits {
            0 => Some(Rm::Rne),
            1 => Some(Rm::Rtz),
            2 => Some(Rm::Rdn),
            3 => Some(Rm::Rup),
            4 => Some(Rm::Rmm),
            _ => None,
        }
    }
}

/// What the upper half of a register holds when the lower half is a single.
const BOX: u64 = 0xffff_ffff_0000_0000;

/// NaN-boxes a single for its 64-bit register.
#[inline]
pub fn box32(single: u32) -> u64 {
    BOX | u64::from(single)
}

/// The single in a 64-bit register: the canonical NaN if the register is not NaN-boxed.
#[inline]
pub fn unbox32(register: u64) -> u32 {
    if register & BOX == BOX { register as u32 } else { 0x7fc0_0000 }
}

/// The arithmetic and the comparisons of one format.
macro_rules! arithmetic {
    ($host:ty, $bits:ty:
     $add:ident $sub:ident $mul:ident $div:ident $sqrt:ident $fma:ident
     $min:ident $max:ident $eq:ident $lt:ident $le:ident $class:ident) => {
        /// FADD: `a + b`.
        #[inline]
        pub fn $add(a: $bits, b: $bits, rm: Rm, fflags: &mut u8) -> $bits {
            fast::add::<$host>(a.into(), b.into(), rm, fflags) as $bits
        }

        /// FSUB: `a - b`.
        #[inline]
        pub fn $sub(a: $bits, b: $bits, rm: Rm, fflags: &mut u8) -> $bits {
            fast::add::<$host>(a.into(), (b ^ (1 << (<$bits>::BITS - 1))).into(), rm, fflags) as $bits
        }

        /// FMUL: `a * b`.
        #[inline]
        pub fn $mul(a: $bits, b: $bits, rm: Rm, fflags: &mut u8) -> $bits {
            fast::mul::<$host>(a.into(), b.into(), rm, fflags) as $bits
        }

        /// FDIV: `a / b`.
        #[inline]
        pub fn $div(a: $bits, b: $bits, rm: Rm, fflags: &mut u8) -> $bits {
            fast::div::<$host>(a.into(), b.into(), rm, fflags) as $bits
        }

        /// FSQRT: the square root of `a`.
        #[inline]
        pub fn $sqrt(a: $bits, rm: Rm, fflags: &mut u8) -> $bits {
            fast::sqrt::<$host>(a.into(), rm, fflags) as $bits
        }

        /// FMADD: `a * b + c`, rounded once. Its three sisters flip the signs of `a` and `c`.
        #[inline]
        pub fn $fma(a: $bits, b: $bits, c: $bits, rm: Rm, fflags: &mut u8) -> $bits {
            fast::fma::<$host>(a.into(), b.into(), c.into(), rm, fflags) as $bits
        }

        /// FMIN: the smaller number (minimumNumber of IEEE 754-2019); -0 is smaller than +0.
        #[inline]
        pub fn $min(a: $bits, b: $bits, fflags: &mut u8) -> $bits {
            compare::min::<$host>(a.into(), b.into(), fflags) as $bits
        }

        /// FMAX: the larger number (maximumNumber of IEEE 754-2019); -0 is smaller than +0.
        #[inline]
        pub fn $max(a: $bits, b: $bits, fflags: &mut u8) -> $bits {
            compare::max::<$host>(a.into(), b.into(), fflags) as $bits
        }

        /// FEQ: quiet, so that only a signaling NaN raises NV.
        #[inline]
        pub fn $eq(a: $bits, b: $bits, fflags: &mut u8) -> bool {
            compare::eq::<$host>(a.into(), b.into(), fflags)
        }

        /// FLT: signaling, so that any NaN raises NV.
        #[inline]
        pub fn $lt(a: $bits, b: $bits, fflags: &mut u8) -> bool {
            compare::lt::<$host>(a.into(), b.into(), fflags)
        }

        /// FLE: signaling, so that any NaN raises NV.
        #[inline]
        pub fn $le(a: $bits, b: $bits, fflags: &mut u8) -> bool {
            compare::le::<$host>(a.into(), b.into(), fflags)
        }

        /// FCLASS: the one bit of ten that names the class of `a`.
        #[inline]
        pub fn $class(a: $bits) -> u64 {
            compare::class::<$host>(a.into())
        }
    };
}

arithmetic!(f32, u32: add32 sub32 mul32 div32 sqrt32 fma32 min32 max32 eq32 lt32 le32 class32);
arithmetic!(f64, u64: add64 sub64 mul64 div64 sqrt64 fma64 min64 max64 eq64 lt64 le64 class64);

/// FCVT.D.S: exact.
#[inline]
pub fn f32_to_f64(a: u32, fflags: &mut u8) -> u64 {
    fast::widen(a, fflags)
}

/// FCVT.S.D.
#[inline]
pub fn f64_to_f32(a: u64, rm: Rm, fflags: &mut u8) -> u32 {
    fast::narrow(a, rm, fflags)
}

/// FCVT between one format and one type of integers; a register holds a 32-bit integer, signed or not, sign-extended.
macro_rules! conversions {
    ($($host:ty, $bits:ty, $integer:ty: $to:ident $from:ident;)*) => {$(
        /// Rounds to an integer, as the register gets it. What does not fit saturates, a NaN like a large number, and raises NV alone.
        #[inline]
        pub fn $to(a: $bits, rm: Rm, fflags: &mut u8) -> u64 {
            integer::to::<$host, $integer>(a.into(), rm, fflags)
        }

        /// Rounds an integer, as the register holds it, to the format.
        #[inline]
        pub fn $from(a: u64, rm: Rm, fflags: &mut u8) -> $bits {
            integer::from::<$host, $integer>(a, rm, fflags) as $bits
        }
    )*};
}

conversions! {
    f32, u32, i32: f32_to_i32 i32_to_f32;
    f32, u32, u32: f32_to_u32 u32_to_f32;
    f32, u32, i64: f32_to_i64 i64_to_f32;
    f32, u32, u64: f32_to_u64 u64_to_f32;
    f64, u64, i32: f64_to_i32 i32_to_f64;
    f64, u64, u32: f64_to_u32 u32_to_f64;
    f64, u64, i64: f64_to_i64 i64_to_f64;
    f64, u64, u64: f64_to_u64 u64_to_f64;
}
