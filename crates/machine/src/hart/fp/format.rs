//! The two formats, binary32 and binary64, and what their bits say. Bits travel in a `u64` whatever the format.
//!
//! ```text
//!   sign | exponent field | fraction        a magnitude is everything but the sign
//! ```

use super::NV;
use std::ops::{Add, Div, Mul, Sub};

/// A format, named by the host's type of the same format.
pub(super) trait Format:
    Copy + PartialOrd + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// Bits of a normal significand, the hidden one included.
    const PRECISION: u32;
    /// Bits of the exponent field.
    const EXPONENT_BITS: u32;

    /// The sign bit.
    const SIGN: u64 = 1 << (Self::PRECISION - 1 + Self::EXPONENT_BITS);
    /// The smallest normal magnitude; as a number, the hidden bit.
    const MIN_NORMAL: u64 = 1 << (Self::PRECISION - 1);
    /// The infinite magnitude.
    const INFINITY: u64 = Self::SIGN - Self::MIN_NORMAL;
    /// The largest finite magnitude.
    const LARGEST: u64 = Self::INFINITY - 1;
    /// The bit that a NaN is quiet by.
    const QUIET: u64 = Self::MIN_NORMAL >> 1;
    /// The canonical NaN.
    const NAN: u64 = Self::INFINITY | Self::QUIET;
    /// The exponent of two of the least magnitude.
    const LEAST_EXPONENT: i32 = 3 - (1 << (Self::EXPONENT_BITS - 1)) - Self::PRECISION as i32;

    fn from_bits(bits: u64) -> Self;
    fn to_bits(self) -> u64;
    fn abs(self) -> Self;
    fn sqrt(self) -> Self;
    fn mul_add(self, b: Self, c: Self) -> Self;
    fn from_i64(integer: i64) -> Self;
    fn from_u64(integer: u64) -> Self;
    /// Toward zero; saturates.
    fn to_i64(self) -> i64;
}

macro_rules! format {
    ($host:ident, $bits:ty, $exponent_bits:literal) => {
        impl Format for $host {
            const PRECISION: u32 = $host::MANTISSA_DIGITS;
            const EXPONENT_BITS: u32 = $exponent_bits;

            #[inline]
            fn from_bits(bits: u64) -> Self {
                $host::from_bits(bits as $bits)
            }

            #[inline]
            fn to_bits(self) -> u64 {
                self.to_bits().into()
            }

            #[inline]
            fn abs(self) -> Self {
                self.abs()
            }

            #[inline]
            fn sqrt(self) -> Self {
                self.sqrt()
            }

            #[inline]
            fn mul_add(self, b: Self, c: Self) -> Self {
                self.mul_add(b, c)
            }

            #[inline]
            fn from_i64(integer: i64) -> Self {
                integer as $host
            }

            #[inline]
            fn from_u64(integer: u64) -> Self {
                integer as $host
            }

            #[inline]
            fn to_i64(self) -> i64 {
                self as i64
            }
        }
    };
}

format!(f32, u32, 8);
format!(f64, u64, 11);

/// The bits without the sign.
#[inline]
pub(super) fn magnitude<F: Format>(bits: u64) -> u64 {
    bits & !F::SIGN
}

#[inline]
pub(super) fn is_negative<F: Format>(bits: u64) -> bool {
    bits & F::SIGN != 0
}

#[inline]
pub(super) fn is_zero<F: Format>(bits: u64) -> bool {
    magnitude::<F>(bits) == 0
}

#[inline]
pub(super) fn is_infinite<F: Format>(bits: u64) -> bool {
    magnitude::<F>(bits) == F::INFINITY
}

#[inline]
pub(super) fn is_nan<F: Format>(bits: u64) -> bool {
    magnitude::<F>(bits) > F::INFINITY
}

#[inline]
pub(super) fn is_signaling<F: Format>(bits: u64) -> bool {
    is_nan::<F>(bits) && bits & F::QUIET == 0
}

/// These bits with this sign; the sign bit must be clear.
#[inline]
pub(super) fn with_sign<F: Format>(negative: bool, magnitude: u64) -> u64 {
    magnitude | if negative { F::SIGN } else { 0 }
}

/// The significand: the fraction and, of a normal number, the hidden bit.
#[inline]
pub(super) fn significand<F: Format>(bits: u64) -> u64 {
    let hidden = if magnitude::<F>(bits) < F::MIN_NORMAL { 0 } else { F::MIN_NORMAL };
    bits & (F::MIN_NORMAL - 1) | hidden
}

/// The result of an operation on a NaN: the canonical NaN, and NV for a signaling operand.
#[inline]
pub(super) fn nan<F: Format>(operands: &[u64], fflags: &mut u8) -> u64 {
    if operands.iter().any(|bits| is_signaling::<F>(*bits)) {
        *fflags |= NV;
    }
    F::NAN
}
