//! Puts a Linux kernel, its initial RAM disk and the device tree into memory, as `Documentation/arch/riscv/boot.rst` and `boot-image-header.rst` ask.
//!
//! ```text
//! RAM_BASE               RAM_BASE + text offset                                             end of memory
//! | free                 | kernel (image size) | free ...             | initrd | device tree |
//! ```

use crate::fdt::{self, Tree};
use crate::memory::{GuestAddr, Memory, PAGE_BYTES, RAM_BASE};
use std::ops::Range;

/// Longest command line of a kernel built with Linux' default (COMMAND_LINE_SIZE of riscv, with the NUL).
const APPEND_BYTES_MAX: usize = 1023;
const HEADER_BYTES: usize = 64;
const MEGAPAGE_BYTES: u64 = 2 << 20;

/// What is booted.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'a> {
    /// The flat kernel `Image`.
    pub kernel: &'a [u8],
    /// Initial RAM disk.
    pub initrd: Option<&'a [u8]>,
    /// The command line.
    pub append: &'a str,
    /// Seeds the kernel's random numbers.
    pub rng_seed: [u8; 32],
    /// Number of virtio slots in use ([`crate::board::Board::virtio_slots`]).
    pub virtio_slots: u32,
}

/// How the hart begins: in S-mode, paging off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// First instruction.
    pub pc: u64,
    /// Hart id.
    pub a0: u64,
    /// Address of the device tree.
    pub a1: u64,
}

/// Why nothing can be booted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a flat image.
    #[error("the kernel is {what}, but a flat RISC-V `Image` is needed; {advice}")]
    NotAnImage {
        /// What it is instead.
        what: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// Memory is too small.
    #[error("{what} needs {needs} bytes of memory and {left} are left; give the machine more memory")]
    DoesNotFit {
        /// What does not fit.
        what: &'static str,
        /// Its size.
        needs: u64,
        /// What there is for it.
        left: u64,
    },
    /// The command line is too long or cannot be said.
    #[error("the command line has {bytes} bytes{nul}; the kernel takes {APPEND_BYTES_MAX} without NUL: shorten it")]
    Append {
        /// Its length.
        bytes: usize,
        /// Says so if it holds a NUL.
        nul: &'static str,
    },
    /// The device tree cannot be built.
    #[error("building the device tree: {0}")]
    Fdt(#[from] fdt::Error),
}

/// The fields of the image header that matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Header {
    text_offset: u64,
    image_size: u64,
}

impl Header {
    fn read(kernel: &[u8]) -> Result<Self, Error> {
        let not = |what, advice| Err(Error::NotAnImage { what, advice });
        let number = |at: usize| u64::from_le_bytes(kernel[at..at + 8].try_into().expect("eight bytes"));
        if kernel.starts_with(&[0x1f, 0x8b]) {
            return not("compressed with gzip", "unpack it first: `zcat FILE > Image`");
        }
        if kernel.starts_with(b"\x7fELF") {
            return not(
                "an ELF file",
                "make it flat: `objcopy -O binary vmlinux Image`, or take arch/riscv/boot/Image",
            );
        }
        if kernel.starts_with(b"MZ\0\0zimg") {
            return not("a self-extracting EFI program", "take the `Image` that it was made from");
        }
        if kernel.len() < HEADER_BYTES || &kernel[0x38..0x3c] != b"RSC\x05" {
            return not(
                "not a Linux kernel for RISC-V",
                "Debian's is /boot/vmlinux-VERSION of the package linux-image-riscv64",
            );
        }
        if number(0x18) & 1 != 0 {
            return not("a big-endian one", "take a little-endian kernel");
        }
        if promised_bytes(kernel).is_some_and(|promised| promised > kernel.len() as u64) {
            return not("cut off", "copy it again as a whole");
        }
        let image_size = number(0x10).max(kernel.len() as u64);
        Ok(Self { text_offset: number(0x08), image_size })
    }
}

/// How many bytes the file must have, if the kernel is an EFI program as well: the end of its last section ("PE Format", section table).
fn promised_bytes(kernel: &[u8]) -> Option<u64> {
    let number = |at: u64, bytes: u64| -> Option<u64> {
        let field = kernel.get(usize::try_from(at).ok()?..usize::try_from(at + bytes).ok()?)?;
        Some(field.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    };
    let pe = number(0x3c, 4)?;
    if !kernel.starts_with(b"MZ") || number(pe, 4)? != u64::from(u32::from_le_bytes(*b"PE\0\0")) {
        return None;
    }
    let (sections, table) = (number(pe + 6, 2)?, pe + 24 + number(pe + 20, 2)?);
    let end = |section| Some(number(table + 40 * section + 16, 4)? + number(table + 40 * section + 20, 4)?);
    (0..sections).filter_map(end).max()
}

/// Memory that is still free, handed out from both ends. Offsets from [`RAM_BASE`].
struct Free(Range<u64>);

impl Free {
    fn left(&self) -> u64 {
        self.0.end.saturating_sub(self.0.start)
    }

    fn bottom(&mut self, what: &'static str, at: u64, needs: u64) -> Result<u64, Error> {
        let end = at.checked_add(needs).filter(|&end| end <= self.0.end);
        let left = self.0.end.saturating_sub(at);
        self.0.start = end.ok_or(Error::DoesNotFit { what, needs, left })?;
        Ok(RAM_BASE + at)
    }

    fn top(&mut self, what: &'static str, needs: u64, align: u64) -> Result<u64, Error> {
        let at = self.0.end.checked_sub(needs).map(|at| at / align * align).filter(|&at| at >= self.0.start);
        self.0.end = at.ok_or(Error::DoesNotFit { what, needs, left: self.left() })?;
        Ok(RAM_BASE + self.0.end)
    }
}

/// Puts everything into memory, which is as new.
pub fn load(memory: &mut Memory, boot: &Boot<'_>) -> Result<Entry, Error> {
    let header = Header::read(boot.kernel)?;
    check_append(boot.append)?;
    let mut free = Free(0..memory.len());
    let kernel_at = free.bottom("the kernel", header.text_offset, header.image_size)?;
    let initrd_bytes = boot.initrd.map_or(0, |initrd| initrd.len() as u64);
    // The tree's length does not depend on where the initrd is, only on whether there is one.
    let mut tree = Tree {
        memory_bytes: memory.len(),
        virtio_slots: boot.virtio_slots,
        append: boot.append,
        initrd: boot.initrd.map(|_| 0..0),
        rng_seed: boot.rng_seed,
    };
    let fdt_at = free.top("the device tree", fdt::build(&tree)?.len() as u64, MEGAPAGE_BYTES)?;
    if let Some(initrd) = boot.initrd {
        let at = free.top("the initial RAM disk", initrd_bytes, PAGE_BYTES)?;
        tree.initrd = Some(at..at + initrd_bytes);
        put(memory, at, initrd);
    }
    put(memory, kernel_at, boot.kernel);
    put(memory, fdt_at, &fdt::build(&tree)?);
    Ok(Entry { pc: kernel_at, a0: 0, a1: fdt_at })
}

fn put(memory: &mut Memory, at: u64, bytes: &[u8]) {
    memory.write(GuestAddr(at), bytes).expect("the place was found in memory");
}

fn check_append(append: &str) -> Result<(), Error> {
    let nul = if append.contains('\0') { " and holds a NUL" } else { "" };
    if nul.is_empty() && append.len() <= APPEND_BYTES_MAX {
        return Ok(());
    }
    Err(Error::Append { bytes: append.len(), nul })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(image_size: u64) -> Vec<u8> {
        let mut image = vec![0xaa; 4096];
        image[0x08..0x10].copy_from_slice(&MEGAPAGE_BYTES.to_le_bytes());
        image[0x10..0x18].copy_from_slice(&image_size.to_le_bytes());
        image[0x18..0x20].fill(0);
        image[0x38..0x3c].copy_from_slice(b"RSC\x05");
        image
    }

    fn boot<'a>(kernel: &'a [u8], initrd: Option<&'a [u8]>) -> Boot<'a> {
        Boot { kernel, initrd, append: "console=ttyS0", rng_seed: [7; 32], virtio_slots: 3 }
    }

    #[test]
    fn everything_has_its_place() {
        let mut memory = Memory::new(64 << 20).unwrap();
        let (kernel, initrd) = (kernel(8 << 20), vec![0x55; 5000]);
        let entry = load(&mut memory, &boot(&kernel, Some(&initrd))).unwrap();
        assert_eq!(entry, Entry { pc: RAM_BASE + (2 << 20), a0: 0, a1: RAM_BASE + (62 << 20) });
        assert_eq!(memory.number::<4>(GuestAddr(entry.a1)), Ok(u64::from(0xd00d_feed_u32.swap_bytes())));
        assert_eq!(memory.number::<1>(GuestAddr(RAM_BASE + (62 << 20) - 8192)), Ok(0x55));
        assert_eq!(memory.number::<4>(GuestAddr(entry.pc + 0x38)), Ok(0x0543_5352));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut memory = Memory::new(16 << 20).unwrap();
        let fail = |memory: &mut Memory, boot: &Boot<'_>| load(memory, boot).unwrap_err().to_string();
        assert!(fail(&mut memory, &boot(&kernel(15 << 20), None)).contains("the kernel needs 15728640"));
        assert!(fail(&mut memory, &boot(&kernel(13 << 20), None)).contains("the device tree"));
        let initrd = vec![0; 4 << 20];
        assert!(fail(&mut memory, &boot(&kernel(11 << 20), Some(&initrd))).contains("the initial RAM disk"));
        assert!(fail(&mut memory, &boot(&kernel(u64::MAX), None)).contains("the kernel needs"));
        let long = "x".repeat(2000);
        assert!(fail(&mut memory, &Boot { append: &long, ..boot(&kernel(1), None) }).contains("2000 bytes"));
    }

    #[test]
    fn a_kernel_that_is_cut_off_is_noticed() {
        let mut kernel = kernel(8192);
        kernel[..2].copy_from_slice(b"MZ");
        kernel[0x3c..0x40].copy_from_slice(&64u32.to_le_bytes());
        kernel[64..68].copy_from_slice(b"PE\0\0");
        kernel[70..72].copy_from_slice(&1u16.to_le_bytes());
        kernel[84..86].copy_from_slice(&160u16.to_le_bytes());
        kernel[264..268].copy_from_slice(&1000u32.to_le_bytes());
        for (at, whole) in [(3096u32, true), (3097, false), (u32::MAX, false)] {
            kernel[268..272].copy_from_slice(&at.to_le_bytes());
            let loaded = load(&mut Memory::new(16 << 20).unwrap(), &boot(&kernel, None));
            assert_eq!(loaded.is_ok(), whole);
            assert!(whole || loaded.unwrap_err().to_string().contains("cut off"));
        }
    }

    #[test]
    fn other_kernels_are_refused_with_advice() {
        let mut memory = Memory::new(16 << 20).unwrap();
        for (bytes, word) in
            [(&b"\x1f\x8b\x08"[..], "zcat"), (b"\x7fELF", "objcopy"), (b"MZ\0\0zimg", "EFI"), (b"", "Debian")]
        {
            assert!(load(&mut memory, &boot(bytes, None)).unwrap_err().to_string().contains(word));
        }
    }
}
