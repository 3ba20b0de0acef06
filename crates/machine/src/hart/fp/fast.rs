//! The host's arithmetic, where it must agree with [`exact`].
//!
//! The host rounds to nearest, ties to even, and so these paths are for [`Rm::Rne`] alone. In a result that is finite, and
//! in magnitude more than the smallest normal number, neither an invalid operation nor an overflow, an underflow or a
//! division by zero is hidden: NX is the one question left. Once it has accrued it is not asked; before that, integers or
//! an exact difference answer it. Sums are simpler: one that is subnormal or zero is exact.
//!
//! [`exact`]: super::exact

use super::format::{Format, is_nan, is_zero, magnitude, nan, significand};
use super::{NX, Rm, exact};
use std::hint::black_box;

/// Checks that this thread's floating-point environment is the one that Rust programs have. Whoever executes guest
/// instructions calls it first.
///
/// # Panics
/// If it is not. A library built for "fast math" that changes the environment is the usual cause.
pub fn assert_host() {
    assert!(
        host_is_fit(),
        "the floating-point environment of this thread was changed: find what sets MXCSR, such as a library built with -ffast-math"
    );
}

/// Whether the host rounds to nearest, keeps subnormals, and fuses what is called fused.
fn host_is_fit() -> bool {
    const ULP: f64 = f64::EPSILON;
    let one = black_box(1.0_f64);
    let odd = one + ULP;
    let to_nearest_even = one + ULP / 2.0 == 1.0 && odd + ULP / 2.0 == 1.0 + 2.0 * ULP;
    let keeps_subnormals = black_box(f64::MIN_POSITIVE) / 2.0 != 0.0 && black_box(f64::from_bits(1)) != 0.0;
    let fuses = odd.mul_add(odd, -(1.0 + 2.0 * ULP)) == ULP * ULP;
    to_nearest_even && keeps_subnormals && fuses
}

/// Finite, and more in magnitude than the smallest normal number, to which a tiny result may have been rounded up.
#[inline]
fn hides_no_flag_but_nx<F: Format>(result: u64) -> bool {
    magnitude::<F>(result).wrapping_sub(F::MIN_NORMAL + 1) < F::INFINITY - (F::MIN_NORMAL + 1)
}

#[inline]
fn accrue_nx(fflags: &mut u8, is_exact: impl FnOnce() -> bool) {
    if *fflags & NX == 0 && !is_exact() {
        *fflags |= NX;
    }
}

/// Whether `sum` is all of `x + y` (Dekker's FastTwoSum: the sum less its larger operand is exact).
#[inline]
fn is_exact_sum<F: Format>(x: F, y: F, sum: F) -> bool {
    let (large, small) = if x.abs() >= y.abs() { (x, y) } else { (y, x) };
    sum - large == small
}

/// Whether the product fits a full significand.
///
/// This and its like stay out of line: once NX has accrued, which is soon, nobody asks them.
#[inline(never)]
fn is_exact_product<F: Format>(a: u64, b: u64) -> bool {
    let product = u128::from(significand::<F>(a)) * u128::from(significand::<F>(b));
    product.leading_zeros() + product.trailing_zeros() >= 128 - F::PRECISION
}

/// Whether `a * b` has exactly the significand of `c`, wherever its point is. Of a correctly rounded quotient `a` of `c`
/// by `b`, or square root `a` (and `b`) of `c`, that says that it is exact.
#[inline(never)]
fn is_product_of<F: Format>(a: u64, b: u64, c: u64) -> bool {
    let odd = |even: u128| even.checked_shr(even.trailing_zeros()).unwrap_or(0);
    odd(u128::from(significand::<F>(a)) * u128::from(significand::<F>(b))) == odd(significand::<F>(c).into())
}

/// Whether `fused` is all of `a * b + c`; sees it only where the product alone is exact.
#[inline(never)]
fn is_exact_fma<F: Format>(a: u64, b: u64, c: u64, fused: u64) -> bool {
    let product = F::from_bits(a) * F::from_bits(b);
    hides_no_flag_but_nx::<F>(product.to_bits())
        && is_exact_product::<F>(a, b)
        && is_exact_sum(product, F::from_bits(c), F::from_bits(fused))
}

#[inline]
pub(super) fn add<F: Format>(a: u64, b: u64, rm: Rm, fflags: &mut u8) -> u64 {
    if rm == Rm::Rne {
        let (x, y) = (F::from_bits(a), F::from_bits(b));
        let sum = x + y;
        let bits = sum.to_bits();
        if magnitude::<F>(bits) < F::INFINITY {
            accrue_nx(fflags, || is_exact_sum(x, y, sum));
            return bits;
        }
    }
    exact::add::<F>(a, b, rm, fflags)
}

#[inline]
pub(super) fn mul<F: Format>(a: u64, b: u64, rm: Rm, fflags: &mut u8) -> u64 {
    if rm == Rm::Rne {
        let bits = (F::from_bits(a) * F::from_bits(b)).to_bits();
        if hides_no_flag_but_nx::<F>(bits) {
            accrue_nx(fflags, || is_exact_product::<F>(a, b));
            return bits;
        }
        if is_zero::<F>(bits) && (is_zero::<F>(a) || is_zero::<F>(b)) {
            return bits;
        }
    }
    exact::mul::<F>(a, b, rm, fflags)
}

#[inline]
pub(super) fn div<F: Format>(a: u64, b: u64, rm: Rm, fflags: &mut u8) -> u64 {
    if rm == Rm::Rne {
        let bits = (F::from_bits(a) / F::from_bits(b)).to_bits();
        // An infinite dividend gives no finite quotient, and a zero divisor none but NaN and infinity.
        if hides_no_flag_but_nx::<F>(bits) {
            accrue_nx(fflags, || is_product_of::<F>(bits, b, a));
            return bits;
        }
        if is_zero::<F>(bits) && is_zero::<F>(a) {
            return bits;
        }
    }
    exact::div::<F>(a, b, rm, fflags)
}

#[inline]
pub(super) fn sqrt<F: Format>(a: u64, rm: Rm, fflags: &mut u8) -> u64 {
    if rm == Rm::Rne {
        let bits = F::from_bits(a).sqrt().to_bits();
        if hides_no_flag_but_nx::<F>(bits) {
            accrue_nx(fflags, || is_product_of::<F>(bits, bits, a));
            return bits;
        }
    }
    exact::sqrt::<F>(a, rm, fflags)
}

#[inline]
pub(super) fn fma<F: Format>(a: u64, b: u64, c: u64, rm: Rm, fflags: &mut u8) -> u64 {
    if rm == Rm::Rne {
        let bits = F::from_bits(a).mul_add(F::from_bits(b), F::from_bits(c)).to_bits();
        if hides_no_flag_but_nx::<F>(bits) {
            // What is not seen to be exact may be so still: the integers tell, and as a rule they raise NX for good.
            if *fflags & NX != 0 || is_exact_fma::<F>(a, b, c, bits) {
                return bits;
            }
        }
        if is_zero::<F>(bits) && is_zero::<F>(c) && (is_zero::<F>(a) || is_zero::<F>(b)) {
            return bits;
        }
    }
    exact::fma::<F>(a, b, c, rm, fflags)
}

#[inline]
pub(super) fn widen(a: u32, fflags: &mut u8) -> u64 {
    if is_nan::<f32>(a.into()) {
        nan::<f32>(&[a.into()], fflags);
        return <f64 as Format>::NAN;
    }
    f64::from(f32::from_bits(a)).to_bits()
}

#[inline]
pub(super) fn narrow(a: u64, rm: Rm, fflags: &mut u8) -> u32 {
    let x = f64::from_bits(a);
    let rounded = x as f32;
    let bits = rounded.to_bits();
    if rm == Rm::Rne && hides_no_flag_but_nx::<f32>(bits.into()) {
        accrue_nx(fflags, || f64::from(rounded) == x);
        return bits;
    }
    if is_zero::<f64>(a) {
        return bits;
    }
    exact::narrow(a, rm, fflags) as u32
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::host_is_fit;
    use std::arch::asm;
    use std::hint::black_box;

    /// What `host_is_fit` says with this MXCSR.
    fn is_fit_with(mxcsr: u32) -> bool {
        let mut before = 0_u32;
        // SAFETY: stores MXCSR into a local variable, and loads a value without reserved bits that leaves all exceptions masked.
        unsafe { asm!("stmxcsr [{}]", "ldmxcsr [{}]", in(reg) &raw mut before, in(reg) &raw const mxcsr) };
        let is_fit = black_box(host_is_fit());
        // SAFETY: loads what was there before.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const before) };
        is_fit
    }

    #[test]
    fn a_changed_environment_is_noticed() {
        const MASKED: u32 = 0x1f80;
        assert!(is_fit_with(MASKED));
        let rounding = [1 << 13, 2 << 13, 3 << 13];
        let (subnormals_are_zeros, flush_to_zero) = (1 << 6, 1 << 15);
        for bits in rounding.into_iter().chain([subnormals_are_zeros, flush_to_zero]) {
            assert!(!is_fit_with(MASKED | bits), "MXCSR {bits:#x}");
        }
    }
}
