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
    // Little is gathered first: the streaming form takes far longer to begin than a few bytes take to hash.
    const LITTLE: usize = 128;
    const GATHERED_MAX: usize = 1024;
    let len = size_of::<Digest>() + parts.iter().map(|part| 8 + part.len()).sum::<usize>();
    if len <= LITTLE {
        chain_gathered::<LITTLE>(previous, parts)
    } else if len <= GATHERED_MAX {
        chain_gathered::<GATHERED_MAX>(previous, parts)
    } else {
        chain_streaming(previous, parts)
    }
}

/// For at most `LEN` bytes.
fn chain_gathered<const LEN: usize>(previous: Digest, parts: &[&[u8]]) -> Digest {
    let mut gathered = [0; LEN];
    let mut len = 0;
    let mut put = |bytes: &[u8]| {
        gathered[len..len + bytes.len()].copy_from_slice(bytes);
        len += bytes.len();
    };
    put(&previous.to_le_bytes());
    for part in parts {
        put(&(part.len() as u64).to_le_bytes());
        put(part);
    }
    hash(&gathered[..len])
}

fn chain_streaming(previous: Digest, parts: &[&[u8]]) -> Digest {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gathered_hashes_as_what_is_streamed() {
        let bytes: Vec<u8> = (0..2000u32).map(|n| (n * 7) as u8).collect();
        for len in (0..=1100).chain([1999]) {
            let parts = [&bytes[..len / 3], &[], &bytes[len / 3..len]];
            assert_eq!(chain(u128::MAX / 3, &parts), chain_streaming(u128::MAX / 3, &parts), "{len} bytes");
        }
        assert_eq!(chain(5, &[]), chain_streaming(5, &[]));
    }
}
