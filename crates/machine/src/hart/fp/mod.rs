//! Floating-point arithmetic: a placeholder that rounds to nearest and raises no flags.
#![expect(missing_docs, clippy::float_cmp, reason = "a placeholder")]

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rm {
    Rne,
    Rtz,
    Rdn,
    Rup,
    Rmm,
}

impl Rm {
    pub fn from_bits(bits: u8) -> Option<Rm> {
        [Rm::Rne, Rm::Rtz, Rm::Rdn, Rm::Rup, Rm::Rmm].get(usize::from(bits)).copied()
    }
}

pub fn box32(single: u32) -> u64 {
    0xffff_ffff_0000_0000 | u64::from(single)
}

pub fn unbox32(register: u64) -> u32 {
    if register >> 32 == 0xffff_ffff { register as u32 } else { 0x7fc0_0000 }
}

macro_rules! format {
    ($float:ty, $bits:ty, $nan:expr, $add:ident $sub:ident $mul:ident $div:ident $sqrt:ident $fma:ident
     $min:ident $max:ident $eq:ident $lt:ident $le:ident $class:ident
     $to_i32:ident $to_u32:ident $to_i64:ident $to_u64:ident $from_i32:ident $from_u32:ident $from_i64:ident $from_u64:ident) => {
        pub fn $add(a: $bits, b: $bits, _: Rm, _: &mut u8) -> $bits {
            canonical(<$float>::from_bits(a) + <$float>::from_bits(b), $nan, <$float>::to_bits, |v| v != v)
        }
        pub fn $sub(a: $bits, b: $bits, _: Rm, _: &mut u8) -> $bits {
            canonical(<$float>::from_bits(a) - <$float>::from_bits(b), $nan, <$float>::to_bits, |v| v != v)
        }
        pub fn $mul(a: $bits, b: $bits, _: Rm, _: &mut u8) -> $bits {
            canonical(<$float>::from_bits(a) * <$float>::from_bits(b), $nan, <$float>::to_bits, |v| v != v)
        }
        pub fn $div(a: $bits, b: $bits, _: Rm, _: &mut u8) -> $bits {
            canonical(<$float>::from_bits(a) / <$float>::from_bits(b), $nan, <$float>::to_bits, |v| v != v)
        }
        pub fn $sqrt(a: $bits, _: Rm, _: &mut u8) -> $bits {
            canonical(<$float>::from_bits(a).sqrt(), $nan, <$float>::to_bits, |v| v != v)
        }
        pub fn $fma(a: $bits, b: $bits, c: $bits, _: Rm, _: &mut u8) -> $bits {
            let value = <$float>::from_bits(a).mul_add(<$float>::from_bits(b), <$float>::from_bits(c));
            canonical(value, $nan, <$float>::to_bits, |v| v != v)
        }
        pub fn $min(a: $bits, b: $bits, _: &mut u8) -> $bits {
            canonical(<$float>::from_bits(a).min(<$float>::from_bits(b)), $nan, <$float>::to_bits, |v| v != v)
        }
        pub fn $max(a: $bits, b: $bits, _: &mut u8) -> $bits {
            canonical(<$float>::from_bits(a).max(<$float>::from_bits(b)), $nan, <$float>::to_bits, |v| v != v)
        }
        pub fn $eq(a: $bits, b: $bits, _: &mut u8) -> bool {
            <$float>::from_bits(a) == <$float>::from_bits(b)
        }
        pub fn $lt(a: $bits, b: $bits, _: &mut u8) -> bool {
            <$float>::from_bits(a) < <$float>::from_bits(b)
        }
        pub fn $le(a: $bits, b: $bits, _: &mut u8) -> bool {
            <$float>::from_bits(a) <= <$float>::from_bits(b)
        }
        pub fn $class(a: $bits) -> u64 {
            let value = <$float>::from_bits(a);
            if value.is_nan() {
                1 << 9
            } else if value < 0.0 {
                1 << 1
            } else {
                1 << 6
            }
        }
        pub fn $to_i32(a: $bits, _: Rm, _: &mut u8) -> u64 {
            <$float>::from_bits(a) as i32 as u64
        }
        pub fn $to_u32(a: $bits, _: Rm, _: &mut u8) -> u64 {
            <$float>::from_bits(a) as u32 as i32 as u64
        }
        pub fn $to_i64(a: $bits, _: Rm, _: &mut u8) -> u64 {
            <$float>::from_bits(a) as i64 as u64
        }
        pub fn $to_u64(a: $bits, _: Rm, _: &mut u8) -> u64 {
            <$float>::from_bits(a) as u64
        }
        pub fn $from_i32(a: u64, _: Rm, _: &mut u8) -> $bits {
            (a as i32 as $float).to_bits()
        }
        pub fn $from_u32(a: u64, _: Rm, _: &mut u8) -> $bits {
            (a as u32 as $float).to_bits()
        }
        pub fn $from_i64(a: u64, _: Rm, _: &mut u8) -> $bits {
            (a as i64 as $float).to_bits()
        }
        pub fn $from_u64(a: u64, _: Rm, _: &mut u8) -> $bits {
            (a as $float).to_bits()
        }
    };
}

fn canonical<F: Copy, B>(value: F, nan: B, bits: fn(F) -> B, is_nan: fn(F) -> bool) -> B {
    if is_nan(value) { nan } else { bits(value) }
}

format!(f32, u32, 0x7fc0_0000, add32 sub32 mul32 div32 sqrt32 fma32 min32 max32 eq32 lt32 le32 class32
    f32_to_i32 f32_to_u32 f32_to_i64 f32_to_u64 i32_to_f32 u32_to_f32 i64_to_f32 u64_to_f32);
format!(f64, u64, 0x7ff8 << 48, add64 sub64 mul64 div64 sqrt64 fma64 min64 max64 eq64 lt64 le64 class64
    f64_to_i32 f64_to_u32 f64_to_i64 f64_to_u64 i32_to_f64 u32_to_f64 i64_to_f64 u64_to_f64);

pub fn f32_to_f64(a: u32, _: &mut u8) -> u64 {
    canonical(f64::from(f32::from_bits(a)), 0x7ff8 << 48, f64::to_bits, f64::is_nan)
}

pub fn f64_to_f32(a: u64, _: Rm, _: &mut u8) -> u32 {
    canonical(f64::from_bits(a) as f32, 0x7fc0_0000, f32::to_bits, f32::is_nan)
}
