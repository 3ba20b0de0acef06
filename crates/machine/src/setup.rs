//! What a machine is made of: chosen once, at the beginning of its history, and part of every snapshot.

use crate::disk::SECTOR_BYTES;
use crate::memory::PAGE_BYTES;
use gapless_log::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Smallest and largest memory.
pub const MEMORY_BYTES: std::ops::RangeInclusive<u64> = 64 << 20..=64 << 30;
/// Disks of one machine.
pub const DISKS_MAX: usize = crate::board::DISKS_MAX;

/// Largest disk. Snapshots count its blocks with 32 bits.
pub const DISK_BYTES_MAX: u64 = 8 << 40;

/// A machine to be switched on.
#[derive(Clone, Debug)]
pub struct Boot {
    /// A flat RISC-V Linux image.
    pub kernel: PathBuf,
    /// Initial ramdisk.
    pub initrd: Option<PathBuf>,
    /// The kernel's command line.
    pub append: String,
    /// Bytes of memory, whole pages.
    pub memory: u64,
    /// Disk images, in the order of vda, vdb, ...
    pub disks: Vec<DiskImage>,
    /// A network device.
    pub net: bool,
}

/// An image that a disk begins with. It is never written to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskImage {
    /// A raw image.
    pub path: PathBuf,
    /// The guest may only read it.
    pub read_only: bool,
}

/// What is fixed for a machine's whole life.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// Bytes of memory.
    pub memory: u64,
    /// The kernel's command line.
    pub append: String,
    /// Bytes of the kernel image.
    pub kernel_bytes: u64,
    /// Bytes of the initial ramdisk.
    pub initrd_bytes: u64,
    /// Address of the network device.
    pub net: Option<[u8; 6]>,
    /// The disks.
    pub disks: Vec<Disk>,
    /// What every random number of the machine follows from.
    pub seed: [u8; 32],
    /// Wall-clock time when it was switched on, nanoseconds since 1970.
    pub wall: u64,
}

/// One disk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Disk {
    /// Bytes, whole sectors.
    pub bytes: u64,
    /// The guest may only read it.
    pub read_only: bool,
    /// Hash of the image that it begins with.
    pub hash: u128,
    /// Where that image lay on the machine that began this history.
    pub path: PathBuf,
}

impl Setup {
    /// What is wrong with it, if it cannot be built.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let disk = |disk: &Disk| (1..=DISK_BYTES_MAX).contains(&disk.bytes) && disk.bytes.is_multiple_of(SECTOR_BYTES);
        if !MEMORY_BYTES.contains(&self.memory) || !self.memory.is_multiple_of(PAGE_BYTES) {
            return Some("the size of its memory");
        }
        if self.disks.len() > DISKS_MAX {
            return Some("the number of its disks");
        }
        (!self.disks.iter().all(disk)).then_some("the size of a disk")
    }
}

impl Boot {
    /// Refuses what cannot be built, in words that say what to do.
    pub fn check(&self) -> Result<()> {
        let refused = |what: String| Err(Error::Refused(what));
        if !MEMORY_BYTES.contains(&self.memory) || !self.memory.is_multiple_of(PAGE_BYTES) {
            return refused(format!(
                "--memory {} bytes: give whole pages between {} MiB and {} GiB",
                self.memory,
                MEMORY_BYTES.start() >> 20,
                MEMORY_BYTES.end() >> 30
            ));
        }
        if self.disks.len() > DISKS_MAX {
            return refused(format!("{} disks: a machine has at most {DISKS_MAX}", self.disks.len()));
        }
        Ok(())
    }
}

/// So many random bytes of the host's.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    // SAFETY: the buffer has the length given.
    let n = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, 0) };
    if n == N as isize {
        Ok(bytes)
    } else {
        Err(Error::io("reading", "random numbers", std::io::Error::last_os_error()))
    }
}

/// A locally administered, individual Ethernet address.
pub(crate) fn fresh_mac() -> Result<[u8; 6]> {
    let mut mac: [u8; 6] = random()?;
    mac[0] = mac[0] & 0xfc | 2;
    Ok(mac)
}
