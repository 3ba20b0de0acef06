//! Digests: xxh3-128, chained. They find mistakes and decay, not attackers.

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// A hash of everything that shapes a replica's future.
pub type Digest = u128;

/// Hash of one byte string.
pub fn hash(bytes: &[u8]) -> Digest {
    xxh3_128(bytes)
}

/// Hash of all that can be read.
pub fn hash_of(mut from: impl std::io::Read) -> std::io::Result<Digest> {
    let (mut hasher, mut part) = (Hasher::new(), vec![0; 1 << 20]);
    loop {
        match from.read(&mut part) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(n) => hasher.update(&part[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// A hash that continues from `previous`, so that equal results mean equal histories.
pub fn chain(previous: Digest, parts: &[&[u8]]) -> Digest {
    let mut h = Xxh3::new();
    h.update(&previous.to_le_bytes());
    for part in parts {
        h.update(&(part.len() as u64).to_le_bytes());
        h.update(part);
    }
    h.digest128()
}

/// Streaming form for large states.
#[derive(Clone, Default)]
pub struct Hasher(Xxh3);

impl Hasher {
    /// Starts empty.
    pub fn new() -> Self {
        Self(Xxh3::new())
    }

    /// Adds bytes; boundaries between calls do not count.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Adds a number.
    pub fn number(&mut self, n: u64) {
        self.0.update(&n.to_le_bytes());
    }

    /// The hash of everything so far.
    pub fn finish(&self) -> Digest {
        self.0.digest128()
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hasher({:032x})", self.finish())
    }
}
