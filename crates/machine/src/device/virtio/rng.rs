//! virtio-rng (section 5.4): entropy.
//!
//! The rule it keeps: bytes come from ChaCha20 under a seed that was logged when the machine was switched on, so both sides give the same ones.

use super::Function;
use super::queue::{Broken, Queue, scatter, total};
use crate::device::Cx;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

/// Bytes given into one buffer at most.
const BYTES_MAX: u64 = 1024;
const WORD_BYTES: u64 = 4;

/// The source.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rng {
    seed: [u8; 32],
    /// Words of the stream that were given out.
    words: u64,
}

impl Rng {
    /// With this seed.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed, words: 0 }
    }

    fn draw(&mut self, bytes: usize) -> Vec<u8> {
        let mut stream = ChaCha20Rng::from_seed(self.seed);
        stream.set_word_pos(self.words.into());
        let mut drawn = vec![0; bytes];
        stream.fill_bytes(&mut drawn);
        self.words = self.words.wrapping_add((bytes as u64).div_ceil(WORD_BYTES));
        drawn
    }
}

impl Function for Rng {
    const ID: u32 = 4;
    const QUEUES: &'static [u16] = &[16];

    fn features(&self) -> u64 {
        0
    }

    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    fn kick(&mut self, _: usize, queue: &mut Queue, cx: &mut Cx<'_>) -> Result<(), Broken> {
        for _ in 0..queue.waiting(cx.memory)? {
            let Some(chain) = queue.pop(cx.memory)? else { break };
            let drawn = self.draw(total(&chain.writable).min(BYTES_MAX) as usize);
            scatter(cx.memory, &chain.writable, 0, &drawn)?;
            queue.push(cx.memory, chain.head, drawn.len() as u32)?;
        }
        queue.ask_for_kick(cx.memory)
    }

    /// The stream goes on: bytes are never given twice.
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::super::testing::{DATA, Driver, Piece, board};
    use super::*;

    #[test]
    fn bytes_come_at_once_and_never_twice() {
        let mut driver = Driver::start(board(1), 2, 1, 0);
        let mut draw = |bytes: u32| {
            let head = driver.add(0, &[Piece::In(DATA, bytes / 2), Piece::In(DATA + 0x2000, bytes - bytes / 2)]);
            driver.kick(0);
            assert_eq!(driver.used(0), [(head, bytes)]);
            assert!(driver.interrupted());
            [driver.read(DATA, bytes as usize / 2), driver.read(DATA + 0x2000, (bytes - bytes / 2) as usize)].concat()
        };
        let (first, second) = (draw(64), draw(64));
        let mut same = Rng::new([9; 32]);
        assert_eq!((same.draw(64), same.draw(64)), (first.clone(), second.clone()));
        assert_ne!(first, second);
    }

    #[test]
    fn a_huge_buffer_gets_a_few_bytes() {
        let mut driver = Driver::start(board(1), 2, 1, 0);
        let head = driver.add(0, &[Piece::In(DATA, 2 << 20)]);
        driver.kick(0);
        assert_eq!(driver.used(0), [(head, BYTES_MAX as u32)]);
    }
}
