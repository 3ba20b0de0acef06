//! A register file.

use std::ops::{Index, IndexMut};

/// 32 registers of 64 bits, by number. The integer registers' number 0 reads as zero and must not be written through an index.
///
/// It has room for every six-bit number, so that the interpreter needs no bounds checks; number 32 is where results for `x0` go.
#[derive(Clone, Debug)]
#[repr(transparent)]
pub struct Registers([u64; 64]);

impl Registers {
    pub(super) fn new(registers: [u64; 32]) -> Self {
        let mut all = [0; 64];
        all[..32].copy_from_slice(&registers);
        Self(all)
    }

    pub(super) fn save(&self) -> [u64; 32] {
        self.0[..32].try_into().expect("32 of 64")
    }

    #[inline(always)]
    pub(super) fn get(&self, register: u8) -> u64 {
        self.0[usize::from(register & 63)]
    }

    #[inline(always)]
    pub(super) fn put(&mut self, register: u8, value: u64) {
        self.0[usize::from(register & 63)] = value;
    }
}

impl Index<usize> for Registers {
    type Output = u64;

    fn index(&self, register: usize) -> &u64 {
        &self.0[..32][register]
    }
}

impl IndexMut<usize> for Registers {
    fn index_mut(&mut self, register: usize) -> &mut u64 {
        &mut self.0[..32][register]
    }
}
