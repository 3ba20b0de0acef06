//! Chance that can be had again: it follows from a seed, which is shown and may be given.

use std::time::{SystemTime, UNIX_EPOCH};

/// A sequence of numbers (xorshift).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// Of `GAPLESS_TEST_SEED`, or another one each time.
    pub fn new() -> Self {
        let given = std::env::var("GAPLESS_TEST_SEED").ok().and_then(|s| s.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
            now.as_nanos() as u64
        });
        println!("GAPLESS_TEST_SEED={seed}");
        Self(seed | 1)
    }

    /// Another sequence, one for each `n`.
    pub fn branch(&self, n: usize) -> Self {
        let mut other = Self(self.0.wrapping_add((n as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1);
        // Neighbours begin alike.
        (0..16).for_each(|_| {
            other.number();
        });
        other
    }

    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to 1.
    pub fn share(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of 0, 1, ... `n` - 1.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.number() >> 11) % n as u64) as usize
    }

    /// So many of these.
    pub fn some_of<T>(&mut self, mut all: Vec<T>, count: usize) -> Vec<T> {
        while all.len() > count {
            all.swap_remove(self.below(all.len()));
        }
        all
    }
}
