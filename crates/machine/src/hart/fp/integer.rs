//! Conversions between the formats and integers.

use super::exact::{Number, round, round_at};
use super::format::{Format, is_infinite, is_nan, is_negative};
use super::{NV, NX, Rm};

/// A type of integers that a register holds.
pub(super) trait Integer: Copy {
    /// The largest one.
    const MAX: i128;
    /// The smallest one.
    const MIN: i128;

    /// As a register holds it: a 32-bit integer is sign-extended even where it is unsigned.
    fn to_register(value: i128) -> u64;
    /// From the lowest bits of a register.
    fn from_register(register: u64) -> i128;
}

macro_rules! integer {
    ($($integer:ident extends $signed:ident;)*) => {$(
        impl Integer for $integer {
            const MAX: i128 = $integer::MAX as i128;
            const MIN: i128 = $integer::MIN as i128;

            #[inline]
            fn to_register(value: i128) -> u64 {
                value as $signed as i64 as u64
            }

            #[inline]
            fn from_register(register: u64) -> i128 {
                (register as $integer).into()
            }
        }
    )*};
}

integer! {
    i32 extends i32;
    u32 extends i32;
    i64 extends i64;
    u64 extends i64;
}

#[inline]
pub(super) fn to<F: Format, I: Integer>(a: u64, rm: Rm, fflags: &mut u8) -> u64 {
    let x = F::from_bits(a);
    // Two to the 63, beyond which the host's conversion saturates. A NaN is not less.
    if x.abs() < F::from_u64(1 << 63) {
        let toward_zero = x.to_i64();
        let is_exact = F::from_i64(toward_zero) == x;
        let value = i128::from(toward_zero);
        if (is_exact || rm == Rm::Rtz) && I::MIN <= value && value <= I::MAX {
            if !is_exact {
                *fflags |= NX;
            }
            return I::to_register(value);
        }
    }
    to_exact::<F, I>(a, rm, fflags)
}

#[cold]
#[inline(never)]
fn to_exact<F: Format, I: Integer>(a: u64, rm: Rm, fflags: &mut u8) -> u64 {
    let number = Number::unpack::<F>(a);
    let is_huge = is_nan::<F>(a) || is_infinite::<F>(a) || number.exponent >= 64;
    if !is_huge {
        // At most 53 bits, moved by at most 63.
        let rounded = round_at(number, 0, rm);
        let magnitude = rounded.multiple as i128;
        let value = if number.negative { -magnitude } else { magnitude };
        if I::MIN <= value && value <= I::MAX {
            if rounded.inexact {
                *fflags |= NX;
            }
            return I::to_register(value);
        }
    }
    *fflags |= NV;
    let to_min = is_negative::<F>(a) && !is_nan::<F>(a);
    I::to_register(if to_min { I::MIN } else { I::MAX })
}

#[inline]
pub(super) fn from<F: Format, I: Integer>(a: u64, rm: Rm, fflags: &mut u8) -> u64 {
    let value = I::from_register(a);
    let magnitude = value.unsigned_abs() as u64;
    let is_exact = magnitude.leading_zeros() + magnitude.trailing_zeros() >= 64 - F::PRECISION;
    if !is_exact {
        if rm != Rm::Rne {
            return from_exact::<F>(value, rm, fflags);
        }
        *fflags |= NX;
    }
    let x = match i64::try_from(value) {
        Ok(value) => F::from_i64(value),
        Err(_) => F::from_u64(magnitude),
    };
    x.to_bits()
}

#[cold]
#[inline(never)]
fn from_exact<F: Format>(value: i128, rm: Rm, fflags: &mut u8) -> u64 {
    let number = Number { negative: value < 0, exponent: 0, significand: value.unsigned_abs() };
    round::<F>(number, rm, fflags)
}
