//! Random numbers for the program: a ChaCha20 stream from a seed in the log.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// The generator behind getrandom, /dev/urandom and AT_RANDOM.
#[derive(Clone, Debug)]
pub struct Random(ChaCha20Rng);

impl Random {
    /// Starts from 32 bytes of the host's entropy, which are logged.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// The next bytes.
    pub fn fill(&mut self, buf: &mut [u8]) {
        self.0.fill_bytes(buf);
    }

    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut out = vec![0; n];
        self.fill(&mut out);
        out
    }
}
