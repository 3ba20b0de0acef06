//! Switching on: a new machine from its boot images, and the same machine again after a reset.

use crate::computer::{Computer, Medium};
use crate::disk::Base;
use crate::disks::Image;
use crate::hart::Bus;
use crate::image;
use crate::memory::Memory;
use crate::setup::{Boot, DISK_BYTES_MAX, Disk, DiskImage, Setup, fresh_mac, random};
use crate::snapshot::IMAGE_BYTES_MAX;
use gapless_log::{Error, Hasher, Result};
use std::io::Read;
use std::path::Path;

impl Computer {
    /// A new machine, switched on and before its first instruction. Files of its own go below `dir`.
    pub fn boot(boot: Boot, dir: &Path) -> Result<Self> {
        boot.check()?;
        let initrd = boot.initrd.as_deref().map(|path| read("reading the initial RAM disk", path)).transpose()?;
        let medium = Medium { kernel: read("reading the kernel", &boot.kernel)?, initrd: initrd.unwrap_or_default() };
        let disks = boot.disks.iter().map(disk).collect::<Result<Vec<_>>>()?;
        let (disks, bases): (Vec<_>, Vec<_>) = disks.into_iter().unzip();
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let setup = Setup {
            memory: boot.memory,
            append: boot.append,
            kernel_bytes: medium.kernel.len() as u64,
            initrd_bytes: medium.initrd.len() as u64,
            net: boot.net.then(fresh_mac).transpose()?,
            disks,
            seed: random()?,
            wall: wall.as_nanos() as u64,
        };
        let memory = Memory::new(setup.memory).map_err(|e| Error::io("making", "the guest's memory", e))?;
        let images: Vec<_> = bases.into_iter().enumerate().map(|(n, base)| Image::new(base, n, dir)).collect();
        let storage = images.iter().zip(&setup.disks).enumerate();
        let storage = storage.map(|(n, (image, disk))| image.overlay(n, disk, dir)).collect::<Result<Vec<_>>>()?;
        let mut computer = Self::assemble(setup, medium, memory, storage, images)?;
        computer.switch_on()?;
        Ok(computer)
    }

    /// The reset button: memory and devices as new, disks as they are, and time goes on.
    pub(crate) fn reboot(&mut self) -> Result<()> {
        self.boots = self.boots.wrapping_add(1);
        (self.idle, self.jumps) = (false, 0);
        self.board.reset().map_err(|e| Error::io("on", "a disk of the machine", e))?;
        self.board.memory().clear();
        self.switch_on()
    }

    pub(crate) fn switch_on(&mut self) -> Result<()> {
        // Each start has random numbers of its own, and they follow from the machine's.
        let mut seed = Hasher::new();
        seed.update(&self.setup.seed);
        seed.number(u64::from(self.boots));
        let first = seed.finish().to_le_bytes();
        seed.number(1);
        let rng_seed: [u8; 32] = [first, seed.finish().to_le_bytes()].concat().try_into().expect("two halves");
        let boot = image::Boot {
            kernel: &self.medium.kernel,
            initrd: Some(self.medium.initrd.as_slice()).filter(|initrd| !initrd.is_empty()),
            append: &self.setup.append,
            rng_seed,
            virtio_slots: self.board.virtio_slots(),
        };
        let entry = image::load(self.board.memory(), &boot).map_err(|e| Error::Refused(e.to_string()))?;
        self.hart.start(entry.pc, entry.a0, entry.a1);
        Ok(())
    }
}

fn read(doing: &'static str, path: &Path) -> Result<Vec<u8>> {
    let failed = |e| Error::io(doing, path, e);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(IMAGE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > IMAGE_BYTES_MAX {
        return Err(Error::Refused(format!(
            "{}: no boot image is larger than {IMAGE_BYTES_MAX} bytes",
            path.display()
        )));
    }
    Ok(bytes)
}

fn disk(image: &DiskImage) -> Result<(Disk, Base)> {
    let failed = |e| Error::io("opening the disk image", &image.path, e);
    let path = image.path.canonicalize().map_err(failed)?;
    let base = Base::open(&path).map_err(failed)?;
    if base.bytes() > DISK_BYTES_MAX {
        let (path, bytes) = (path.display(), base.bytes());
        return Err(Error::Refused(format!("{path} has {bytes} bytes; no disk is larger than {DISK_BYTES_MAX}")));
    }
    Ok((Disk { bytes: base.bytes(), read_only: image.read_only, hash: base.hash(), path }, base))
}
