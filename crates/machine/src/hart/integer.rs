//! Integer operations that take more than an operator.

#[inline(always)]
pub fn sext32(value: u32) -> u64 {
    i64::from(value.cast_signed()).cast_unsigned()
}

pub fn mulh(a: u64, b: u64) -> u64 {
    ((i128::from(a.cast_signed()) * i128::from(b.cast_signed())) >> 64) as u64
}

pub fn mulhsu(a: u64, b: u64) -> u64 {
    ((i128::from(a.cast_signed()) * i128::from(b)) >> 64) as u64
}

pub fn mulhu(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}

/// Division by zero gives all ones, and the one overflow gives the dividend.
pub fn div(a: u64, b: u64) -> u64 {
    if b == 0 { u64::MAX } else { a.cast_signed().wrapping_div(b.cast_signed()).cast_unsigned() }
}

pub fn divu(a: u64, b: u64) -> u64 {
    a.checked_div(b).unwrap_or(u64::MAX)
}

/// The remainder of a division by zero is the dividend, and that of the one overflow is zero.
pub fn rem(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { a.cast_signed().wrapping_rem(b.cast_signed()).cast_unsigned() }
}

pub fn remu(a: u64, b: u64) -> u64 {
    a.checked_rem(b).unwrap_or(a)
}

pub fn divw(a: u64, b: u64) -> u64 {
    let (a, b) = ((a as u32).cast_signed(), (b as u32).cast_signed());
    if b == 0 { u64::MAX } else { sext32(a.wrapping_div(b).cast_unsigned()) }
}

pub fn divuw(a: u64, b: u64) -> u64 {
    sext32((a as u32).checked_div(b as u32).unwrap_or(u32::MAX))
}

pub fn remw(a: u64, b: u64) -> u64 {
    let (a, b) = ((a as u32).cast_signed(), (b as u32).cast_signed());
    sext32(if b == 0 { a } else { a.wrapping_rem(b) }.cast_unsigned())
}

pub fn remuw(a: u64, b: u64) -> u64 {
    let (a, b) = (a as u32, b as u32);
    sext32(a.checked_rem(b).unwrap_or(a))
}

/// Each byte becomes all ones if it has a one.
pub fn orc_b(a: u64) -> u64 {
    u64::from_le_bytes(a.to_le_bytes().map(|byte| if byte == 0 { 0 } else { 0xff }))
}
