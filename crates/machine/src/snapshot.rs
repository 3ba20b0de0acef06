//! Snapshots: the whole computer as bytes, at any position, bit for bit.
//!
//! The rule it keeps: a history begins with a snapshot, so switching on, resuming, rejoining and debugging are one mechanism. What is only derived (decoded
//! code, look-asides, page hashes) is not in it, and whether one was taken leaves no trace in the machine. Requests of disks that are under way are part
//! of the devices' state and are submitted again.
//!
//! ```text
//! magic "GMS1"  header length u32  header (postcard)
//! packed: kernel, initial ramdisk, memory
//! each disk: one byte, 1 if its image follows, 0 if it is known by name and hash; the image, packed; blocks written since, packed
//! hash of all bytes before, u128
//! ```

use crate::board::{Board, Parts};
use crate::clock::Line;
use crate::computer::{Computer, Medium, Power};
use crate::device::Said;
use crate::device::virtio::block::PENDING_BYTES_MAX;
use crate::digest::PageHashes;
use crate::disk::BLOCK_BYTES;
use crate::disks::Image;
use crate::hart::{Bus, Hart};
use crate::memory::{GuestAddr, Memory, PAGE_BYTES, RAM_BASE};
use crate::pack::{CHUNK_BYTES, Packer, Packing, unpack};
use crate::setup::{DISKS_MAX, Disk, Setup};
use gapless_log::{Error, Hasher, Result};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const MAGIC: [u8; 4] = *b"GMS1";
/// The header holds what the disks have read for the guest and not yet given to it.
const HEADER_BYTES_MAX: u32 = (DISKS_MAX as u32 * PENDING_BYTES_MAX as u32) + (64 << 20);
/// Boot images may be this large.
pub(crate) const IMAGE_BYTES_MAX: u64 = 1 << 30;

#[derive(Serialize, Deserialize)]
pub(crate) struct Header {
    pub setup: Setup,
    pub rest: Rest,
    /// Said in a step that has not ended.
    pub said: Vec<Said>,
    pub hart: Vec<u8>,
    pub board: Vec<u8>,
}

/// What neither the hart nor a device knows.
#[derive(Serialize, Deserialize)]
pub(crate) struct Rest {
    pub line: Line,
    pub idle: bool,
    pub jumps: u32,
    pub power: Power,
    pub frames_open: bool,
    pub boots: u32,
    /// What LR has reserved.
    pub reservation: Option<u64>,
}

/// A directory below the log's for what a machine needs beside its log.
pub fn files(dir: &Path) -> PathBuf {
    dir.join(FILES)
}

/// Its name.
pub const FILES: &str = "machine";

fn bad(what: &str) -> Error {
    Error::Refused(format!("not a whole snapshot of a machine: {what}"))
}

fn writing(e: io::Error) -> Error {
    Error::io("writing", "a snapshot", e)
}

impl Computer {
    fn rest(&self) -> Rest {
        let Self { idle, jumps, power, frames_open, boots, .. } = *self;
        let reservation = self.board.memory_ref().reservation().map(|at| at.0);
        Rest { line: *self.line(), idle, jumps, power, frames_open, boots, reservation }
    }

    /// All of the devices' state, as bytes.
    pub(crate) fn board_state(&mut self) -> Result<Vec<u8>> {
        self.board.state().map_err(|e| Error::io("on", "a disk of the machine", e))
    }

    pub(crate) fn encode_rest(&self) -> Vec<u8> {
        postcard::to_stdvec(&self.rest()).expect("plain data encodes")
    }

    /// Writes everything. `portable`: disk images too, for somebody who does not have them.
    pub fn save(&mut self, portable: bool, to: &mut dyn Write) -> Result<()> {
        self.save_packed(portable, Packing::Small, to)
    }

    /// The same, so that the guest stands still as shortly as can be: what is not zero is only copied.
    pub(crate) fn save_fast(&mut self, portable: bool, to: &mut dyn Write) -> Result<()> {
        self.save_packed(portable, Packing::Fast, to)
    }

    fn save_packed(&mut self, portable: bool, packing: Packing, to: &mut dyn Write) -> Result<()> {
        let mut to = Hashing { to, hasher: Hasher::new() };
        let board = self.board_state()?;
        let (setup, rest, said) = (self.setup.clone(), self.rest(), self.board.said().to_vec());
        let header = Header { setup, rest, said, hart: self.hart.save(), board };
        let header = postcard::to_stdvec(&header).expect("plain data encodes");
        let begun = to
            .write_all(&MAGIC)
            .and_then(|()| to.write_all(&(header.len() as u32).to_le_bytes()))
            .and_then(|()| to.write_all(&header))
            .and_then(|()| Packer::new(packing, &mut to).whole(&self.medium.kernel))
            .and_then(|()| Packer::new(packing, &mut to).whole(&self.medium.initrd))
            .and_then(|()| save_memory(self.board.memory_ref(), packing, &mut to));
        begun.map_err(writing)?;
        for (n, disk) in self.board.disks().iter_mut().enumerate() {
            if portable {
                to.write_all(&[1]).map_err(writing)?;
                self.images[n].pack(&mut to)?;
            } else {
                to.write_all(&[0]).map_err(writing)?;
            }
            let mut packer = Packer::new(packing, &mut to);
            disk.save(&mut |block, bytes| packer.block(block as u32, bytes)).map_err(writing)?;
            packer.finish().map_err(writing)?;
        }
        let hash = to.hasher.finish();
        to.to.write_all(&hash.to_le_bytes()).map_err(writing)
    }

    /// Takes what [`Computer::save`] wrote; files of its own go below `dir`.
    pub fn load(from: &mut dyn Read, dir: &Path) -> Result<Self> {
        Self::load_again(from, dir, &[])
    }

    /// The same, of a machine whose images are `known` here: they are not looked at again.
    pub(crate) fn load_again(from: &mut dyn Read, dir: &Path, known: &[(Disk, Image)]) -> Result<Self> {
        let mut from = Hashed { from, hasher: Hasher::new() };
        let mut head = [0; 8];
        read(&mut from, &mut head)?;
        if head[..4] != MAGIC {
            return Err(bad("it does not begin like one"));
        }
        let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        if len > HEADER_BYTES_MAX {
            return Err(bad("its header is too long"));
        }
        let mut header = vec![0; len as usize];
        read(&mut from, &mut header)?;
        let header: Header = postcard::from_bytes(&header).map_err(|_| bad("its header does not decode"))?;
        let setup = header.setup;
        if let Some(fault) = setup.fault() {
            return Err(bad(fault));
        }
        let medium = Medium {
            kernel: load_image(&mut from, setup.kernel_bytes)?,
            initrd: load_image(&mut from, setup.initrd_bytes)?,
        };
        let mut memory = Memory::new(setup.memory).map_err(|e| Error::io("making", "the guest's memory", e))?;
        unpack(&mut from, CHUNK_BYTES, setup.memory, |offset, bytes| {
            memory.write(GuestAddr(RAM_BASE + offset), bytes).map_err(|e| bad(&e.to_string()))
        })?;
        let (mut disks, mut images) = (Vec::new(), Vec::new());
        for (n, disk) in setup.disks.iter().enumerate() {
            let known = known.get(n).filter(|(theirs, _)| theirs == disk).map(|(_, image)| image);
            let mut contained = [0];
            read(&mut from, &mut contained)?;
            let image = match (contained, known) {
                ([0], Some(known)) => known.clone(),
                ([0], None) => Image::at_its_place(n, disk, dir)?,
                ([1], _) => Image::unpack(&mut from, n, disk, dir)?,
                _ => return Err(bad("where a disk's image is")),
            };
            let mut overlay = image.overlay(n, disk, dir)?;
            unpack(&mut from, BLOCK_BYTES as usize, disk.bytes, |offset, bytes| {
                overlay.put(offset / BLOCK_BYTES, bytes).map_err(|e| Error::io("writing", "a disk's overlay", e))
            })?;
            disks.push(overlay);
            images.push(image);
        }
        let hash = from.hasher.finish();
        let mut found = [0; 16];
        from.from.read_exact(&mut found).map_err(|e| Error::io("reading", "a snapshot", e))?;
        if u128::from_le_bytes(found) != hash {
            return Err(bad("its hash differs, so it is damaged"));
        }
        let hart = Hart::load(&header.hart).filter(|hart| hart.fits(&memory)).ok_or_else(|| bad("its hart"))?;
        if !header.rest.line.is_sound(hart.position()) {
            return Err(bad("its clock"));
        }
        if !header.said.iter().all(Said::is_sound) {
            return Err(bad("what it was saying"));
        }
        let mut computer = Self::assemble(setup, medium, memory, disks, images)?;
        let Rest { line, idle, jumps, power, frames_open, boots, reservation } = header.rest;
        (computer.hart, computer.idle, computer.jumps, computer.power) = (hart, idle, jumps, power);
        (computer.frames_open, computer.boots) = (frames_open, boots);
        computer.board.restore(&header.board).map_err(|e| bad(&e.to_string()))?;
        computer.board.say(header.said);
        computer.board.memory().set_reservation(reservation.map(GuestAddr));
        computer.set_line(line);
        Ok(computer)
    }

    /// The parts put together, switched off.
    pub(crate) fn assemble(
        setup: Setup,
        medium: Medium,
        memory: Memory,
        disks: Vec<Box<dyn crate::disk::Storage>>,
        images: Vec<Image>,
    ) -> Result<Self> {
        let pages = PageHashes::new(memory.pages());
        let board =
            Board::new(Parts { memory, boot_wall_nanos: setup.wall, entropy_seed: setup.seed, disks, mac: setup.net });
        Ok(Self {
            hart: Hart::new(),
            board,
            setup,
            medium,
            images,
            pages,
            idle: false,
            jumps: 0,
            power: Power::On,
            frames_open: false,
            boots: 0,
        })
    }
}

fn save_memory(memory: &Memory, packing: Packing, to: &mut dyn Write) -> io::Result<()> {
    const PAGES: u64 = CHUNK_BYTES as u64 / PAGE_BYTES;
    let mut packer = Packer::new(packing, to);
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    for index in 0..memory.pages().div_ceil(PAGES) {
        let pages = index * PAGES..memory.pages().min((index + 1) * PAGES);
        if pages.clone().all(|page| memory.is_untouched(page)) {
            continue;
        }
        chunk.clear();
        for page in pages {
            chunk.extend_from_slice(memory.page(page));
        }
        packer.chunk(index as u32, &chunk)?;
    }
    packer.finish()
}

fn load_image(from: &mut dyn Read, bytes: u64) -> Result<Vec<u8>> {
    if bytes > IMAGE_BYTES_MAX {
        return Err(bad("the size of a boot image"));
    }
    let mut image = vec![0; bytes as usize];
    unpack(from, CHUNK_BYTES, bytes, |offset, chunk| {
        image[offset as usize..][..chunk.len()].copy_from_slice(chunk);
        Ok(())
    })?;
    Ok(image)
}

fn read(from: &mut dyn Read, into: &mut [u8]) -> Result<()> {
    from.read_exact(into).map_err(|e| Error::io("reading", "a snapshot", e))
}

struct Hashing<'a> {
    to: &'a mut dyn Write,
    hasher: Hasher,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.to.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

struct Hashed<'a> {
    from: &'a mut dyn Read,
    hasher: Hasher,
}

impl Read for Hashed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(into)?;
        self.hasher.update(&into[..n]);
        Ok(n)
    }
}
