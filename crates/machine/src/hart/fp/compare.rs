//! Comparisons, minimum and maximum, and the class of a number; in integers.

use super::NV;
use super::format::{Format, is_nan, is_negative, is_signaling, magnitude, nan};

/// Orders all numbers that are not NaN as their values, but -0 before +0.
#[inline]
fn rank<F: Format>(bits: u64) -> i64 {
    let magnitude = magnitude::<F>(bits) as i64;
    if is_negative::<F>(bits) { !magnitude } else { magnitude }
}

/// Orders all numbers that are not NaN as their values.
#[inline]
fn value<F: Format>(bits: u64) -> i64 {
    let magnitude = magnitude::<F>(bits) as i64;
    if is_negative::<F>(bits) { -magnitude } else { magnitude }
}

#[inline]
pub(super) fn min<F: Format>(a: u64, b: u64, fflags: &mut u8) -> u64 {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        return number_of::<F>(a, b, fflags);
    }
    if rank::<F>(a) < rank::<F>(b) { a } else { b }
}

#[inline]
pub(super) fn max<F: Format>(a: u64, b: u64, fflags: &mut u8) -> u64 {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        return number_of::<F>(a, b, fflags);
    }
    if rank::<F>(a) > rank::<F>(b) { a } else { b }
}

/// The operand that is a number, where one at least is none.
#[cold]
fn number_of<F: Format>(a: u64, b: u64, fflags: &mut u8) -> u64 {
    let canonical = nan::<F>(&[a, b], fflags);
    match (is_nan::<F>(a), is_nan::<F>(b)) {
        (true, true) => canonical,
        (true, false) => b,
        (false, _) => a,
    }
}

#[inline]
pub(super) fn eq<F: Format>(a: u64, b: u64, fflags: &mut u8) -> bool {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        nan::<F>(&[a, b], fflags);
        return false;
    }
    value::<F>(a) == value::<F>(b)
}

#[inline]
pub(super) fn lt<F: Format>(a: u64, b: u64, fflags: &mut u8) -> bool {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        *fflags |= NV;
        return false;
    }
    value::<F>(a) < value::<F>(b)
}

#[inline]
pub(super) fn le<F: Format>(a: u64, b: u64, fflags: &mut u8) -> bool {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        *fflags |= NV;
        return false;
    }
    value::<F>(a) <= value::<F>(b)
}

/// The bits from negative infinity (0) up through the zeros (3, 4) to positive infinity (7), the signaling NaN (8) and the quiet one (9).
#[inline]
pub(super) fn class<F: Format>(bits: u64) -> u64 {
    if is_nan::<F>(bits) {
        return if is_signaling::<F>(bits) { 1 << 8 } else { 1 << 9 };
    }
    let magnitude = magnitude::<F>(bits);
    let from_zero =
        u64::from(magnitude > 0) + u64::from(magnitude >= F::MIN_NORMAL) + u64::from(magnitude == F::INFINITY);
    1 << if is_negative::<F>(bits) { 3 - from_zero } else { 4 + from_zero }
}
