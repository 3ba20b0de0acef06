//! The floating-point arithmetic against Berkeley SoftFloat in its RISC-V specialisation: bits and flags, in every rounding
//! mode, with NX accrued before and not.
//!
//! SoftFloat's rounding mode and flags are thread-local, and every comparison sets both before it computes. What SoftFloat
//! lacks is put together from what it has: minimum and maximum from its quiet comparison, the class from the host's.

use gapless_machine::hart::fp::{self, NX, Rm};
use proptest::prelude::*;
use softfloat_wrapper::{ExceptionFlags, F32, F64, Float, RoundingMode};
use std::num::FpCategory;

const MODES: [(Rm, RoundingMode); 5] = [
    (Rm::Rne, RoundingMode::TiesToEven),
    (Rm::Rtz, RoundingMode::TowardZero),
    (Rm::Rdn, RoundingMode::TowardNegative),
    (Rm::Rup, RoundingMode::TowardPositive),
    (Rm::Rmm, RoundingMode::TiesToAway),
];

/// An operation and its reference. Operands and result are bits in a `u64`, whatever their type.
struct Operation {
    name: &'static str,
    ours: fn([u64; 3], Rm, &mut u8) -> u64,
    reference: fn([u64; 3], RoundingMode) -> u64,
}

impl Operation {
    /// Both must return the same bits and leave the same flags.
    fn check(&self, operands: [u64; 3]) {
        for (rm, reference_rm) in MODES {
            for accrued in [0, NX] {
                let mut fflags = accrued;
                let result = (self.ours)(operands, rm, &mut fflags);
                ExceptionFlags::from_bits(accrued).set();
                let expected = (self.reference)(operands, reference_rm);
                let mut expected_fflags = ExceptionFlags::default();
                expected_fflags.get();
                assert!(
                    (result, fflags) == (expected, expected_fflags.to_bits()),
                    "{} of {operands:#x?} in {rm:?}, flags {accrued:#x} before: {result:#x} flags {fflags:#x}, not {expected:#x} flags {:#x}",
                    self.name,
                    expected_fflags.to_bits(),
                );
            }
        }
    }
}

macro_rules! operations {
    ($($name:ident: $ours:expr, $reference:expr;)*) => {
        &[$(Operation { name: stringify!($name), ours: $ours, reference: $reference },)*]
    };
}

/// The operations of one format, by the number of operands that are of the format.
struct Format {
    one: &'static [Operation],
    two: &'static [Operation],
    three: &'static [Operation],
    from_integer: &'static [Operation],
    shape: Shape,
}

/// Where the fields of a format are.
#[derive(Clone, Copy, Debug)]
struct Shape {
    fraction_bits: u32,
    exponent_bits: u32,
}

macro_rules! format {
    ($format:ident, $shape:expr, $host:ty, $bits:ty, $soft:ident:
     $add:ident $sub:ident $mul:ident $div:ident $sqrt:ident $fma:ident
     $min:ident $max:ident $eq:ident $lt:ident $le:ident $class:ident
     $to_i32:ident $to_u32:ident $to_i64:ident $to_u64:ident
     $from_i32:ident $from_u32:ident $from_i64:ident $from_u64:ident
     $other:ident: $to_other:expr, $soft_to_other:expr) => {
        static $format: Format = {
            type Bits = $bits;

            fn soft(bits: u64) -> $soft {
                $soft::from_bits(bits as Bits)
            }

            fn host(bits: u64) -> $host {
                <$host>::from_bits(bits as Bits)
            }

            fn raw(x: $soft) -> u64 {
                x.to_bits().into()
            }

            fn is_less(a: u64, b: u64) -> bool {
                soft(a).lt_quiet(soft(b)) || soft(a).eq(soft(b)) && host(a).is_sign_negative()
            }

            fn pick(a: u64, b: u64, first: bool) -> u64 {
                match (host(a).is_nan(), host(b).is_nan()) {
                    (true, true) => raw(soft(a).add(soft(b), RoundingMode::TiesToEven)),
                    (true, false) => b,
                    (false, true) => a,
                    (false, false) => if first { a } else { b },
                }
            }

            fn class(bits: u64) -> u64 {
                1 << match (host(bits).classify(), host(bits).is_sign_negative()) {
                    (FpCategory::Infinite, true) => 0,
                    (FpCategory::Normal, true) => 1,
                    (FpCategory::Subnormal, true) => 2,
                    (FpCategory::Zero, true) => 3,
                    (FpCategory::Zero, false) => 4,
                    (FpCategory::Subnormal, false) => 5,
                    (FpCategory::Normal, false) => 6,
                    (FpCategory::Infinite, false) => 7,
                    (FpCategory::Nan, _) if soft(bits).is_signaling_nan() => 8,
                    (FpCategory::Nan, _) => 9,
                }
            }

            Format {
                shape: $shape,
                one: operations! {
                    $sqrt: |[a, ..], rm, f| fp::$sqrt(a as Bits, rm, f).into(), |[a, ..], rm| raw(soft(a).sqrt(rm));
                    $class: |[a, ..], _, _| fp::$class(a as Bits), |[a, ..], _| class(a);
                    $to_i32: |[a, ..], rm, f| fp::$to_i32(a as Bits, rm, f), |[a, ..], rm| soft(a).to_i32(rm, true) as u64;
                    $to_u32: |[a, ..], rm, f| fp::$to_u32(a as Bits, rm, f), |[a, ..], rm| soft(a).to_u32(rm, true) as i32 as u64;
                    $to_i64: |[a, ..], rm, f| fp::$to_i64(a as Bits, rm, f), |[a, ..], rm| soft(a).to_i64(rm, true) as u64;
                    $to_u64: |[a, ..], rm, f| fp::$to_u64(a as Bits, rm, f), |[a, ..], rm| soft(a).to_u64(rm, true);
                    $other: $to_other, $soft_to_other;
                },
                two: operations! {
                    $add: |[a, b, _], rm, f| fp::$add(a as Bits, b as Bits, rm, f).into(), |[a, b, _], rm| raw(soft(a).add(soft(b), rm));
                    $sub: |[a, b, _], rm, f| fp::$sub(a as Bits, b as Bits, rm, f).into(), |[a, b, _], rm| raw(soft(a).sub(soft(b), rm));
                    $mul: |[a, b, _], rm, f| fp::$mul(a as Bits, b as Bits, rm, f).into(), |[a, b, _], rm| raw(soft(a).mul(soft(b), rm));
                    $div: |[a, b, _], rm, f| fp::$div(a as Bits, b as Bits, rm, f).into(), |[a, b, _], rm| raw(soft(a).div(soft(b), rm));
                    $min: |[a, b, _], _, f| fp::$min(a as Bits, b as Bits, f).into(), |[a, b, _], _| pick(a, b, is_less(a, b));
                    $max: |[a, b, _], _, f| fp::$max(a as Bits, b as Bits, f).into(), |[a, b, _], _| pick(a, b, is_less(b, a));
                    $eq: |[a, b, _], _, f| fp::$eq(a as Bits, b as Bits, f).into(), |[a, b, _], _| soft(a).eq(soft(b)).into();
                    $lt: |[a, b, _], _, f| fp::$lt(a as Bits, b as Bits, f).into(), |[a, b, _], _| soft(a).lt(soft(b)).into();
                    $le: |[a, b, _], _, f| fp::$le(a as Bits, b as Bits, f).into(), |[a, b, _], _| soft(a).le(soft(b)).into();
                },
                three: operations! {
                    $fma: |[a, b, c], rm, f| fp::$fma(a as Bits, b as Bits, c as Bits, rm, f).into(),
                        |[a, b, c], rm| raw(soft(a).fused_mul_add(soft(b), soft(c), rm));
                },
                from_integer: operations! {
                    $from_i32: |[a, ..], rm, f| fp::$from_i32(a, rm, f).into(), |[a, ..], rm| raw($soft::from_i32(a as i32, rm));
                    $from_u32: |[a, ..], rm, f| fp::$from_u32(a, rm, f).into(), |[a, ..], rm| raw($soft::from_u32(a as u32, rm));
                    $from_i64: |[a, ..], rm, f| fp::$from_i64(a, rm, f).into(), |[a, ..], rm| raw($soft::from_i64(a as i64, rm));
                    $from_u64: |[a, ..], rm, f| fp::$from_u64(a, rm, f).into(), |[a, ..], rm| raw($soft::from_u64(a, rm));
                },
            }
        };
    };
}

format! {
    SINGLE, Shape { fraction_bits: 23, exponent_bits: 8 }, f32, u32, F32:
    add32 sub32 mul32 div32 sqrt32 fma32 min32 max32 eq32 lt32 le32 class32
    f32_to_i32 f32_to_u32 f32_to_i64 f32_to_u64 i32_to_f32 u32_to_f32 i64_to_f32 u64_to_f32
    f32_to_f64: |[a, ..], _, f| fp::f32_to_f64(a as u32, f), |[a, ..], rm| soft(a).to_f64(rm).to_bits()
}

format! {
    DOUBLE, Shape { fraction_bits: 52, exponent_bits: 11 }, f64, u64, F64:
    add64 sub64 mul64 div64 sqrt64 fma64 min64 max64 eq64 lt64 le64 class64
    f64_to_i32 f64_to_u32 f64_to_i64 f64_to_u64 i32_to_f64 u32_to_f64 i64_to_f64 u64_to_f64
    f64_to_f32: |[a, ..], rm, f| fp::f64_to_f32(a, rm, f).into(), |[a, ..], rm| soft(a).to_f32(rm).to_bits().into()
}

impl Format {
    /// Every operation on these operands, as far as it takes them.
    fn check(&self, operands: [u64; 3]) {
        for operation in [self.one, self.two, self.three, self.from_integer].into_iter().flatten() {
            operation.check(operands);
        }
    }

    fn check_pair(&self, a: u64, b: u64) {
        for operation in self.two {
            operation.check([a, b, 0]);
        }
    }

    /// The product, give or take some of its last bits.
    fn near_product(&self, a: u64, b: u64, off: i64) -> u64 {
        let mul = self.two.iter().find(|operation| operation.name.starts_with("mul")).expect("both formats have one");
        (mul.reference)([a, b, 0], RoundingMode::TiesToEven).wrapping_add_signed(off) & self.shape.all()
    }
}

impl Shape {
    fn hidden(self) -> u64 {
        1 << self.fraction_bits
    }

    fn infinity(self) -> u64 {
        ((1 << self.exponent_bits) - 1) << self.fraction_bits
    }

    fn sign(self) -> u64 {
        self.infinity() + self.hidden()
    }

    fn all(self) -> u64 {
        self.sign() | (self.sign() - 1)
    }

    /// Two to this power, which must be a normal number.
    fn power(self, exponent: i32) -> u64 {
        let bias = (1 << (self.exponent_bits - 1)) - 1;
        u64::from((bias + exponent).unsigned_abs()) << self.fraction_bits
    }

    /// The magnitudes at which operations change their ways.
    fn corners(self) -> Vec<u64> {
        let (hidden, half) = (self.hidden(), self.hidden() >> 1);
        let mut corners = vec![0, half, hidden, 2 * hidden, self.infinity(), self.infinity() - hidden];
        // One, one and a half, two; and what reaches the last bit of a sum with one: its unit, the half and the quarter.
        corners.extend([self.power(0), self.power(0) | half, self.power(1)]);
        corners.extend((0..3).map(|below| self.power(-(self.fraction_bits as i32) - below)));
        corners
    }

    /// Those of the operations of one operand besides.
    fn corners_of_one(self) -> Vec<u64> {
        let mut corners = self.corners();
        let range = (1 << (self.exponent_bits - 1)) - 2;
        for exponent in -range..=range {
            let power = self.power(exponent);
            // A half above, where there is one, with and without a unit, and one and a half times the power.
            let half_bit = (self.fraction_bits as i32 - exponent - 1).clamp(0, self.fraction_bits as i32 - 1);
            let (half, unit) = (1 << half_bit, 2 << half_bit);
            corners.extend([power, power | half, power | half | unit, power | self.hidden() >> 1]);
        }
        if self.fraction_bits == 52 {
            // Where a single has its last bit, half of one, the least of all or the largest.
            for single in [f32::MAX, f32::MIN_POSITIVE, f32::from_bits(0x7f_ffff), f32::from_bits(3), f32::from_bits(1)]
            {
                let bits = f64::from(single).to_bits();
                corners.extend([
                    bits,
                    bits | 1 << 28,
                    bits | 3 << 28,
                    bits - (1 << 28),
                    bits - (1 << 29),
                    bits - (1 << 52),
                ]);
            }
        }
        corners
    }

    /// The bits just below, at and just above each of these, with both signs; and all kinds of NaN.
    fn with_neighbours(self, magnitudes: Vec<u64>) -> Vec<u64> {
        let quiet = self.hidden() >> 1;
        let nans = [quiet, 1, quiet | 1, quiet - 1, self.hidden() - 1].map(|fraction| self.infinity() | fraction);
        let numbers = magnitudes.into_iter().flat_map(|bits| [bits.saturating_sub(1), bits, bits + 1]);
        let mut all: Vec<u64> = numbers.chain(nans).flat_map(|bits| [bits, bits | self.sign()]).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn check_corners_of_one(format: &Format) {
    for a in format.shape.with_neighbours(format.shape.corners_of_one()) {
        for operation in format.one {
            operation.check([a, 0, 0]);
        }
    }
}

fn check_corners_of_many(format: &Format) {
    let corners = format.shape.with_neighbours(format.shape.corners());
    for &a in &corners {
        for &b in &corners {
            format.check_pair(a, b);
            for &c in &corners {
                for operation in format.three {
                    operation.check([a, b, c]);
                }
            }
        }
    }
}

#[test]
fn corners_of_one_single() {
    check_corners_of_one(&SINGLE);
}

#[test]
fn corners_of_one_double() {
    check_corners_of_one(&DOUBLE);
}

#[test]
fn corners_of_pairs_and_triples_of_singles() {
    check_corners_of_many(&SINGLE);
}

#[test]
fn corners_of_pairs_and_triples_of_doubles() {
    check_corners_of_many(&DOUBLE);
}

#[test]
fn corners_of_integers() {
    // Powers of two, and ties of both formats: even and odd significands with one bit too many.
    let ties = |precision: u32| {
        let widths = precision + 1..=64;
        widths.flat_map(move |width| [1, 3].map(|low| (1 << precision | low) << (width - precision - 1)))
    };
    let powers = (0..64).map(|bit| 1_u64 << bit);
    for magnitude in powers.chain(ties(24)).chain(ties(53)) {
        for near in [magnitude.wrapping_sub(1), magnitude, magnitude.wrapping_add(1)] {
            for register in [near, near.wrapping_neg()] {
                for operation in SINGLE.from_integer.iter().chain(DOUBLE.from_integer) {
                    operation.check([register, 0, 0]);
                }
            }
        }
    }
}

#[test]
fn boxes() {
    assert_eq!(fp::box32(0x3f80_0000), 0xffff_ffff_3f80_0000);
    assert_eq!(fp::unbox32(0xffff_ffff_3f80_0000), 0x3f80_0000);
    assert_eq!(fp::unbox32(0xffff_ffff_7f80_0001), 0x7f80_0001, "a NaN in a box is taken as it is");
    for register in [0x3f80_0000, 0xffff_fffe_3f80_0000, 0x7fff_ffff_3f80_0000, 0x3ff0_0000_0000_0000] {
        assert_eq!(fp::unbox32(register), 0x7fc0_0000, "{register:#x} holds no box");
    }
}

#[test]
fn rounding_modes_of_bits() {
    let modes: Vec<_> = (0..=u8::MAX).filter_map(Rm::from_bits).collect();
    assert_eq!(modes, MODES.map(|(rm, _)| rm));
}

#[test]
fn this_host_is_fit() {
    fp::assert_host();
}

/// Numbers of all kinds, often near one in magnitude, and often with few bits or runs of them.
fn operand(shape: Shape) -> impl Strategy<Value = u64> {
    let bit = 0..shape.fraction_bits;
    let fraction = prop_oneof![
        3 => any::<u64>(),
        1 => (bit.clone(), bit.clone()).prop_map(|(i, j)| (1 << i) | (1 << j)),
        1 => (bit.clone(), bit).prop_map(|(i, j)| (u64::MAX << i) ^ (1 << j)),
        1 => Just(0),
    ];
    let fields = 1_u64 << shape.exponent_bits;
    let (one, reach) = (fields / 2 - 1, u64::from(shape.fraction_bits) + 4);
    let field = prop_oneof![
        4 => one - reach..=one + reach,
        1 => 0..3_u64,
        1 => fields - 4..fields,
        2 => 0..fields,
    ];
    let structured = (any::<bool>(), field, fraction).prop_map(move |(negative, field, fraction)| {
        let sign = if negative { shape.sign() } else { 0 };
        sign | field << shape.fraction_bits | fraction & (shape.hidden() - 1)
    });
    let corner = proptest::sample::select(shape.with_neighbours(shape.corners()));
    prop_oneof![4 => structured, 1 => corner, 1 => any::<u64>().prop_map(move |bits| bits & shape.all())]
}

/// Three operands. In half of the cases the third cancels the product of the others, all but some last bits.
fn operands(format: &'static Format) -> impl Strategy<Value = [u64; 3]> {
    let any = || operand(format.shape);
    let free = (any(), any(), any()).prop_map(|(a, b, c)| [a, b, c]);
    let cancelling = (any(), any(), -2..=2_i64)
        .prop_map(move |(a, b, off)| [a, b, format.near_product(a, b, off) ^ format.shape.sign()]);
    prop_oneof![free, cancelling]
}

/// Quotients and square roots that are exact or off by a last bit: products, of factors that are short enough, taken apart.
fn check_factors(format: &Format, a: u64, b: u64, off: i64) {
    let short = |bits: u64| bits & !((1 << (format.shape.fraction_bits / 2 + 1)) - 1);
    let (a, b) = (short(a), short(b));
    format.check_pair(format.near_product(a, b, off), b);
    for operation in format.one {
        operation.check([format.near_product(a, a, off), 0, 0]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100_000) })]

    #[test]
    fn singles(operands in operands(&SINGLE)) {
        SINGLE.check(operands);
    }

    #[test]
    fn doubles(operands in operands(&DOUBLE)) {
        DOUBLE.check(operands);
    }

    #[test]
    fn factors_of_singles(a in operand(SINGLE.shape), b in operand(SINGLE.shape), off in -1..=1_i64) {
        check_factors(&SINGLE, a, b, off);
    }

    #[test]
    fn factors_of_doubles(a in operand(DOUBLE.shape), b in operand(DOUBLE.shape), off in -1..=1_i64) {
        check_factors(&DOUBLE, a, b, off);
    }

    /// Where most results are exact.
    #[test]
    fn small_fixed_point_numbers(a in -5000..5000_i16, b in -5000..5000_i16, c in -5000..5000_i16) {
        SINGLE.check([a, b, c].map(|eighths| (f32::from(eighths) / 8.0).to_bits().into()));
        DOUBLE.check([a, b, c].map(|eighths| (f64::from(eighths) / 8.0).to_bits()));
    }
}
