//! The arithmetic in integers, in every rounding mode and for every operand. It is the definition; [`super::fast`] is the shortcut.
//!
//! Each operation computes a [`Number`] that rounds as the infinitely precise result does, and [`round`] rounds it: the one
//! place that knows subnormals, overflow, underflow and inexactness. A significand that had to drop bits keeps their or in
//! its lowest bit ("jamming"). That bit lies at least two below any bit that the rounding keeps, so it breaks no tie wrongly.

use super::format::{Format, is_infinite, is_nan, is_negative, is_zero, magnitude, nan, significand, with_sign};
use super::{DZ, NV, NX, OF, Rm, UF};

/// A finite number: significand times two to the exponent. The significand is less than 2^127.
#[derive(Clone, Copy)]
pub(super) struct Number {
    pub(super) negative: bool,
    pub(super) exponent: i32,
    pub(super) significand: u128,
}

impl Number {
    pub(super) fn unpack<F: Format>(bits: u64) -> Number {
        let field = (magnitude::<F>(bits) / F::MIN_NORMAL) as i32;
        Number {
            negative: is_negative::<F>(bits),
            exponent: F::LEAST_EXPONENT + (field - 1).max(0),
            significand: significand::<F>(bits).into(),
        }
    }

    /// The same number with its highest bit moved up to `position`; not zero.
    fn normalized(self, position: u32) -> Number {
        let shift = self.significand.leading_zeros() - (127 - position);
        Number { exponent: self.exponent - shift as i32, significand: self.significand << shift, ..self }
    }

    /// The product of significands of at most 53 bits.
    fn times(self, other: Number) -> Number {
        Number {
            negative: self.negative != other.negative,
            exponent: self.exponent + other.exponent,
            significand: self.significand * other.significand,
        }
    }

    /// The quotient, jammed. The divisor is not zero and has at most 53 bits, so the quotient has at least 73.
    fn divided_by(self, divisor: Number) -> Number {
        let negative = self.negative != divisor.negative;
        if self.significand == 0 {
            return Number { negative, ..self };
        }
        let dividend = self.normalized(126);
        let quotient = dividend.significand / divisor.significand;
        let remains = !dividend.significand.is_multiple_of(divisor.significand);
        Number { negative, exponent: dividend.exponent - divisor.exponent, significand: quotient | u128::from(remains) }
    }

    /// The square root of a positive number, jammed, of 63 bits.
    fn square_root(self) -> Number {
        let odd = self.normalized(126).exponent.rem_euclid(2) == 1;
        let square = self.normalized(if odd { 125 } else { 126 });
        let root = square.significand.isqrt();
        let remains = root * root != square.significand;
        Number { exponent: square.exponent / 2, significand: root | u128::from(remains), ..self }
    }

    /// The sum, jammed; none if it is zero. No operand has more than 106 bits. Where bits are dropped the exponents
    /// differ by 20 or more, so nothing but the jammed bit lies that low, and cancellation lifts it by no more than one.
    fn plus(self, other: Number) -> Option<Number> {
        if self.significand == 0 || other.significand == 0 {
            let sum = if self.significand == 0 { other } else { self };
            return (sum.significand != 0).then_some(sum);
        }
        let (x, y) = (self.normalized(124), other.normalized(124));
        let swap = (x.exponent, x.significand) < (y.exponent, y.significand);
        let (large, small) = if swap { (y, x) } else { (x, y) };
        let addend = shift_right_jam(small.significand, large.exponent.abs_diff(small.exponent));
        let significand =
            if x.negative == y.negative { large.significand + addend } else { large.significand - addend };
        (significand != 0).then_some(Number { significand, ..large })
    }
}

fn shift_right_jam(significand: u128, shift: u32) -> u128 {
    let kept = significand.checked_shr(shift).unwrap_or(0);
    let dropped = significand & low_bits(shift) != 0;
    kept | u128::from(dropped)
}

fn low_bits(count: u32) -> u128 {
    1_u128.checked_shl(count).map_or(u128::MAX, |bit| bit - 1)
}

/// A significand rounded to a multiple of some power of two.
pub(super) struct Rounded {
    /// How many times that power.
    pub(super) multiple: u128,
    pub(super) inexact: bool,
}

/// Rounds a number to a multiple of two to the `exponent`. A multiple that does not fit loses its upper bits.
pub(super) fn round_at(number: Number, exponent: i32, rm: Rm) -> Rounded {
    assert!(number.significand >> 127 == 0, "the half below would not be seen");
    let shift = exponent - number.exponent;
    if shift <= 0 {
        return Rounded { multiple: number.significand << shift.unsigned_abs(), inexact: false };
    }
    let shift = shift.unsigned_abs().min(128);
    let below = number.significand & low_bits(shift);
    let kept = number.significand.checked_shr(shift).unwrap_or(0);
    let half = 1_u128 << (shift - 1);
    let up = match rm {
        Rm::Rne => below > half || below == half && kept & 1 == 1,
        Rm::Rtz => false,
        Rm::Rdn => number.negative && below != 0,
        Rm::Rup => !number.negative && below != 0,
        Rm::Rmm => below >= half,
    };
    Rounded { multiple: kept + u128::from(up), inexact: below != 0 }
}

/// Rounds a number to the format.
pub(super) fn round<F: Format>(number: Number, rm: Rm, fflags: &mut u8) -> u64 {
    if number.significand == 0 {
        return with_sign::<F>(number.negative, 0);
    }
    // The exponent of the last bit of a full significand, and of the last bit that the format has.
    let full = number.exponent + 127 - number.significand.leading_zeros() as i32 - (F::PRECISION as i32 - 1);
    let last = full.max(F::LEAST_EXPONENT);
    let rounded = round_at(number, last, rm);
    // A carry out of the significand moves into the exponent field, and the hidden bit adds the one that tells normal from subnormal.
    let field = u128::from(last.abs_diff(F::LEAST_EXPONENT));
    let bits = field * u128::from(F::MIN_NORMAL) + rounded.multiple;
    if bits >= u128::from(F::INFINITY) {
        *fflags |= OF | NX;
        return overflowed::<F>(number.negative, rm);
    }
    if rounded.inexact {
        *fflags |= NX;
        if is_tiny::<F>(number, full, rm) {
            *fflags |= UF;
        }
    }
    with_sign::<F>(number.negative, bits as u64)
}

/// Whether the number, rounded as if the exponent had no bounds, is less than the smallest normal one: tininess after rounding.
fn is_tiny<F: Format>(number: Number, full: i32, rm: Rm) -> bool {
    let carries = || round_at(number, full, rm).multiple == 1 << F::PRECISION;
    full < F::LEAST_EXPONENT - 1 || full == F::LEAST_EXPONENT - 1 && !carries()
}

/// What is too large becomes infinite, or the largest number if the mode rounds toward zero from there.
fn overflowed<F: Format>(negative: bool, rm: Rm) -> u64 {
    let to_largest = match rm {
        Rm::Rne | Rm::Rmm => false,
        Rm::Rtz => true,
        Rm::Rdn => !negative,
        Rm::Rup => negative,
    };
    with_sign::<F>(negative, if to_largest { F::LARGEST } else { F::INFINITY })
}

fn invalid<F: Format>(fflags: &mut u8) -> u64 {
    *fflags |= NV;
    F::NAN
}

/// The rounded sum. An exact zero is positive, but for RDN, unless both operands have its sign.
fn round_sum<F: Format>(x: Number, y: Number, rm: Rm, fflags: &mut u8) -> u64 {
    match x.plus(y) {
        Some(sum) => round::<F>(sum, rm, fflags),
        None if x.negative == y.negative => with_sign::<F>(x.negative, 0),
        None => with_sign::<F>(rm == Rm::Rdn, 0),
    }
}

#[cold]
#[inline(never)]
pub(super) fn add<F: Format>(a: u64, b: u64, rm: Rm, fflags: &mut u8) -> u64 {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        return nan::<F>(&[a, b], fflags);
    }
    match (is_infinite::<F>(a), is_infinite::<F>(b)) {
        (true, true) if a != b => invalid::<F>(fflags),
        (true, _) => a,
        (_, true) => b,
        _ => round_sum::<F>(Number::unpack::<F>(a), Number::unpack::<F>(b), rm, fflags),
    }
}

#[cold]
#[inline(never)]
pub(super) fn mul<F: Format>(a: u64, b: u64, rm: Rm, fflags: &mut u8) -> u64 {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        return nan::<F>(&[a, b], fflags);
    }
    if is_infinite::<F>(a) || is_infinite::<F>(b) {
        return infinite_product::<F>(a, b, fflags);
    }
    round::<F>(Number::unpack::<F>(a).times(Number::unpack::<F>(b)), rm, fflags)
}

/// The product where a factor is infinite and none is a NaN.
fn infinite_product<F: Format>(a: u64, b: u64, fflags: &mut u8) -> u64 {
    if is_zero::<F>(a) || is_zero::<F>(b) {
        return invalid::<F>(fflags);
    }
    with_sign::<F>(is_negative::<F>(a ^ b), F::INFINITY)
}

#[cold]
#[inline(never)]
pub(super) fn div<F: Format>(a: u64, b: u64, rm: Rm, fflags: &mut u8) -> u64 {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        return nan::<F>(&[a, b], fflags);
    }
    let negative = is_negative::<F>(a ^ b);
    if is_infinite::<F>(a) {
        return if is_infinite::<F>(b) { invalid::<F>(fflags) } else { with_sign::<F>(negative, F::INFINITY) };
    }
    if is_infinite::<F>(b) {
        return with_sign::<F>(negative, 0);
    }
    if is_zero::<F>(b) {
        if is_zero::<F>(a) {
            return invalid::<F>(fflags);
        }
        *fflags |= DZ;
        return with_sign::<F>(negative, F::INFINITY);
    }
    round::<F>(Number::unpack::<F>(a).divided_by(Number::unpack::<F>(b)), rm, fflags)
}

#[cold]
#[inline(never)]
pub(super) fn sqrt<F: Format>(a: u64, rm: Rm, fflags: &mut u8) -> u64 {
    if is_nan::<F>(a) {
        return nan::<F>(&[a], fflags);
    }
    if is_zero::<F>(a) {
        return a;
    }
    if is_negative::<F>(a) {
        return invalid::<F>(fflags);
    }
    if is_infinite::<F>(a) {
        return a;
    }
    round::<F>(Number::unpack::<F>(a).square_root(), rm, fflags)
}

#[cold]
#[inline(never)]
pub(super) fn fma<F: Format>(a: u64, b: u64, c: u64, rm: Rm, fflags: &mut u8) -> u64 {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        return nan::<F>(&[a, b, c], fflags);
    }
    if is_infinite::<F>(a) || is_infinite::<F>(b) {
        // The product may be invalid; it is so beside a NaN too.
        let product = infinite_product::<F>(a, b, fflags);
        return add::<F>(product, c, rm, fflags);
    }
    if is_nan::<F>(c) {
        return nan::<F>(&[c], fflags);
    }
    if is_infinite::<F>(c) {
        return c;
    }
    let product = Number::unpack::<F>(a).times(Number::unpack::<F>(b));
    round_sum::<F>(product, Number::unpack::<F>(c), rm, fflags)
}

#[cold]
#[inline(never)]
pub(super) fn narrow(a: u64, rm: Rm, fflags: &mut u8) -> u64 {
    if is_nan::<f64>(a) {
        nan::<f64>(&[a], fflags);
        return <f32 as Format>::NAN;
    }
    if is_infinite::<f64>(a) {
        return with_sign::<f32>(is_negative::<f64>(a), <f32 as Format>::INFINITY);
    }
    round::<f32>(Number::unpack::<f64>(a), rm, fflags)
}
