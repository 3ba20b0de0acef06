//! Sparse, compressed bytes: what memory, disks and boot images look like in a snapshot.
//!
//! ```text
//! chunk: index u32 (counts chunks of a size that the reader knows), compressed length u32, LZ4 block
//! end:   u32::MAX, u32 0
//! ```
//! Chunks stand in ascending order; one that is missing is all zero. Everything is little-endian.

use gapless_log::Error;
use std::io::{Read, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, available_parallelism};

/// Bytes that are compressed together; the last chunk of a thing may be shorter.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
const END: u32 = u32::MAX;
/// Chunks that one thread compresses before it looks for more.
const PART_CHUNKS: usize = 16;
const THREADS_MAX: usize = 8;

/// Writes a thing chunk by chunk.
#[derive(Debug)]
pub(crate) struct Packer<'a, W: Write + ?Sized> {
    to: &'a mut W,
    compressed: Vec<u8>,
}

impl<'a, W: Write + ?Sized> Packer<'a, W> {
    pub fn new(to: &'a mut W) -> Self {
        Self { to, compressed: Vec::new() }
    }

    /// The next chunk; nothing is written if it is all zero.
    pub fn chunk(&mut self, index: u32, bytes: &[u8]) -> std::io::Result<()> {
        if is_zero(bytes) { Ok(()) } else { self.block(index, bytes) }
    }

    /// The next chunk, zeros too.
    pub fn block(&mut self, index: u32, bytes: &[u8]) -> std::io::Result<()> {
        assert!(bytes.len() <= CHUNK_BYTES && index != END, "one chunk at a time");
        self.compressed.resize(lz4_flex::block::get_maximum_output_size(bytes.len()), 0);
        let n = lz4_flex::block::compress_into(bytes, &mut self.compressed).expect("room for the worst case");
        self.to.write_all(&index.to_le_bytes())?;
        self.to.write_all(&(n as u32).to_le_bytes())?;
        self.to.write_all(&self.compressed[..n])
    }

    /// All of a thing that is in memory. The guest stands still meanwhile, so all processors work on it.
    pub fn whole(self, bytes: &[u8]) -> std::io::Result<()> {
        let parts: Vec<_> = bytes.chunks(PART_CHUNKS * CHUNK_BYTES).map(|part| (part, OnceLock::new())).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some((n, (part, packed))) = next_of(&parts, &next) {
                let mut bytes = Vec::new();
                let mut packer = Packer::new(&mut bytes);
                for (index, chunk) in (n * PART_CHUNKS..).zip(part.chunks(CHUNK_BYTES)) {
                    packer.chunk(index as u32, chunk).expect("a vector takes everything");
                }
                packed.set(bytes).expect("each part is one thread's");
            }
        };
        let helpers = available_parallelism().map_or(1, usize::from).min(THREADS_MAX).min(parts.len());
        thread::scope(|scope| {
            (1..helpers).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        for (_, packed) in &parts {
            self.to.write_all(packed.get().expect("all parts are done"))?;
        }
        self.finish()
    }

    /// That was all.
    pub fn finish(self) -> std::io::Result<()> {
        self.to.write_all(&END.to_le_bytes())?;
        self.to.write_all(&0u32.to_le_bytes())
    }
}

/// What nobody has taken yet, with its number.
fn next_of<'a, T>(all: &'a [T], next: &AtomicUsize) -> Option<(usize, &'a T)> {
    let n = next.fetch_add(1, Ordering::Relaxed);
    all.get(n).map(|one| (n, one))
}

/// Is every byte zero?
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    rest.iter().all(|&b| b == 0) && words.iter().all(|w| u128::from_ne_bytes(*w) == 0)
}

/// Reads a thing of `len` bytes in chunks of `chunk_bytes`, and gives each with its offset to `put`.
pub(crate) fn unpack(
    from: &mut dyn Read,
    chunk_bytes: usize,
    len: u64,
    mut put: impl FnMut(u64, &[u8]) -> gapless_log::Result<()>,
) -> gapless_log::Result<()> {
    let bad = |what: &str| Error::Refused(format!("a packed state is damaged: {what}"));
    let mut compressed = Vec::new();
    let mut bytes = vec![0; chunk_bytes];
    let mut next = 0;
    loop {
        let (index, n) = (number(from)?, number(from)? as usize);
        if index == END {
            return if n == 0 { Ok(()) } else { Err(bad("its end")) };
        }
        let offset = u64::from(index) * chunk_bytes as u64;
        if index < next || offset >= len {
            return Err(bad(&format!("chunk {index} is out of order or beyond {len} bytes")));
        }
        if n > lz4_flex::block::get_maximum_output_size(chunk_bytes) {
            return Err(bad(&format!("chunk {index} has {n} bytes")));
        }
        let expected = (len - offset).min(chunk_bytes as u64) as usize;
        compressed.resize(n, 0);
        from.read_exact(&mut compressed).map_err(|e| Error::io("reading", "a packed state", e))?;
        let found = lz4_flex::block::decompress_into(&compressed, &mut bytes[..expected]);
        if found.ok() != Some(expected) {
            return Err(bad(&format!("chunk {index} does not decompress to {expected} bytes")));
        }
        put(offset, &bytes[..expected])?;
        next = index + 1;
    }
}

fn number(from: &mut dyn Read) -> gapless_log::Result<u32> {
    let mut raw = [0; 4];
    from.read_exact(&mut raw).map_err(|e| Error::io("reading", "a packed state", e))?;
    Ok(u32::from_le_bytes(raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        Packer::new(&mut packed).whole(bytes).unwrap();
        let mut out = vec![0; bytes.len()];
        unpack(&mut packed.as_slice(), CHUNK_BYTES, bytes.len() as u64, |offset, chunk| {
            out[offset as usize..][..chunk.len()].copy_from_slice(chunk);
            Ok(())
        })
        .unwrap();
        out
    }

    #[test]
    fn what_is_packed_comes_back_and_zeros_cost_nothing() {
        let mut bytes = vec![0; 3 * CHUNK_BYTES + 1000];
        let mut packed = Vec::new();
        Packer::new(&mut packed).whole(&bytes).unwrap();
        assert_eq!(packed.len(), 8);
        bytes[CHUNK_BYTES + 5] = 7;
        bytes[3 * CHUNK_BYTES + 999] = 9;
        assert!(round_trip(&bytes) == bytes);
    }

    /// Many parts, so that threads take turns; what they make stands in order.
    #[test]
    fn what_many_threads_pack_is_what_one_packs() {
        let bytes: Vec<u8> = (0..5 * PART_CHUNKS * CHUNK_BYTES + 12_345).map(|i| (i >> 12) as u8).collect();
        let (mut one, mut many) = (Vec::new(), Vec::new());
        let mut packer = Packer::new(&mut one);
        for (index, chunk) in bytes.chunks(CHUNK_BYTES).enumerate() {
            packer.chunk(index as u32, chunk).unwrap();
        }
        packer.finish().unwrap();
        Packer::new(&mut many).whole(&bytes).unwrap();
        assert!(one == many);
        assert!(round_trip(&bytes) == bytes);
    }

    proptest! {
        #[test]
        fn damaged_bytes_are_an_error_or_other_bytes_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), len in 0u64..1 << 20) {
            let _ = unpack(&mut bytes.as_slice(), CHUNK_BYTES, len, |_, _| Ok(()));
        }
    }
}
