//! Kernels that are none.

use super::{Bytes, HEADER_BYTES, kernel};
use crate::image::{Boot, load};
use crate::memory::{Memory, RAM_BASE};

const MEMORY_BYTES: u64 = 8 << 20;

/// Bytes as a kernel, an initial RAM disk and a command line: they are loaded into memory, or refused with a reason.
pub fn image(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let how = bytes.byte();
    let append = vec![bytes.byte(); usize::from(how & 15) * 100];
    let append = String::from_utf8_lossy(&append).into_owned();
    let initrd = vec![1; bytes.hostile().min(MEMORY_BYTES + 1) as usize];
    let mut image = bytes.0.to_vec();
    if how & 16 != 0 {
        // A header that is one, with two hostile numbers.
        image = kernel(bytes.0);
        image[0x08..0x10].copy_from_slice(&bytes.hostile().to_le_bytes());
        image[0x10..0x18].copy_from_slice(&bytes.hostile().to_le_bytes());
    }
    let mut memory = Memory::new(MEMORY_BYTES).expect("there is memory");
    let initrd = Some(initrd.as_slice()).filter(|_| how & 32 != 0);
    let boot = Boot { kernel: &image, initrd, append: &append, rng_seed: [7; 32], virtio_slots: u32::from(how >> 6) };
    match load(&mut memory, &boot) {
        Ok(entry) => {
            assert!(image.len() >= HEADER_BYTES);
            assert!(memory.page_of(entry.pc).is_some() && memory.page_of(entry.a1).is_some());
            assert!((RAM_BASE..entry.a1).contains(&entry.pc) && entry.a0 == 0);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
