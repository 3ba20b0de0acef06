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
use crate::disk::{BLOCK_BYTES, Base, Overlay};
use crate::hart::{Bus, Hart};
use crate::memory::{GuestAddr, Memory, PAGE_BYTES, RAM_BASE};
use crate::pack::{CHUNK_BYTES, Packer, Packing, is_zero, unpack};
use crate::setup::{DISKS_MAX, Disk, Setup};
use gapless_log::{Error, Hasher, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
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
            let image = Image::load(&mut from, n, disk, dir, known)?;
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

    /// The end of this machine: its images, for [`Computer::load_again`].
    pub(crate) fn into_images(self) -> Vec<(Disk, Image)> {
        self.setup.disks.into_iter().zip(self.images).collect()
    }

    /// A history begins here: the images of its disks are where they are on this side.
    pub(crate) fn adopt_images(&mut self) -> Result<()> {
        for (disk, image) in self.setup.disks.iter_mut().zip(&self.images) {
            disk.path = image.path.canonicalize().map_err(|e| Error::io("finding", &image.path, e))?;
        }
        Ok(())
    }

    /// Merges what was written into the images that the history began with; see [`crate::disk::commit`].
    pub(crate) fn commit_disks(self, dir: &Path) -> Result<Vec<PathBuf>> {
        let Self { board, setup, .. } = self;
        let mut done = Vec::new();
        let disks: Vec<_> = board.into_disks().into_iter().zip(setup.disks).enumerate().collect();
        // All are looked at before the first is merged, for after that the log cannot be replayed again.
        for (n, (_, disk)) in disks.iter().filter(|(_, (_, disk))| !disk.read_only) {
            let opened = std::fs::OpenOptions::new().write(true).open(&disk.path);
            let why = match opened.and_then(|_| crate::disk::hash_file(&disk.path)) {
                Ok(hash) if hash == disk.hash => continue,
                Ok(_) => "it has changed since".to_owned(),
                Err(e) => e.to_string(),
            };
            return Err(Error::Refused(format!(
                "the image {} that disk {n} began with cannot be merged into ({why}); `gapless export DIR --to OUT` writes the disk",
                disk.path.display()
            )));
        }
        for (n, (storage, disk)) in disks {
            let failed = |e| Error::io("merging into", &disk.path, e);
            storage.close().map_err(failed)?;
            if !disk.read_only {
                crate::disk::commit(&disk.path, &overlay_path(n, dir)).map_err(failed)?;
                done.push(disk.path);
            }
        }
        Ok(done)
    }

    /// Writes each disk as it is now to an image of its own in `to`: `disk0.img` and so on.
    pub(crate) fn export_disks(&mut self, to: &Path) -> Result<Vec<PathBuf>> {
        std::fs::create_dir_all(to).map_err(|e| Error::io("making", to, e))?;
        let disks = self.board.disks().iter_mut().zip(&self.images).enumerate();
        disks.map(|(n, (disk, image))| image.export(disk.as_mut(), to.join(format!("disk{n}.img")))).collect()
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

fn overlay_path(n: usize, dir: &Path) -> PathBuf {
    files(dir).join(format!("disk{n}.overlay"))
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

/// The image that a disk begins with, as this side has it.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    path: PathBuf,
    bytes: u64,
    /// The same, packed, once somebody has needed it: it never changes.
    packed: PathBuf,
}

impl Image {
    /// An image of the user's.
    pub fn of(path: &Path, bytes: u64, n: usize, dir: &Path) -> Self {
        let packed = files(dir).join(format!("disk{n}.packed"));
        // One that is there is of an older history.
        let _ = std::fs::remove_file(&packed);
        Self { path: path.to_owned(), bytes, packed }
    }

    /// Comes with a snapshot, or lies where the snapshot says.
    fn load(from: &mut dyn Read, n: usize, disk: &Disk, dir: &Path, known: Option<&Self>) -> Result<Self> {
        let mut contained = [0];
        read(from, &mut contained)?;
        if contained[0] > 1 {
            return Err(bad("where a disk's image is"));
        }
        if let (0, Some(known)) = (contained[0], known) {
            return Ok(known.clone());
        }
        if contained[0] == 0 {
            // Before it is opened: what a snapshot names may be a device that has no end.
            let about =
                std::fs::metadata(&disk.path).map_err(|e| Error::io("opening the image of a disk", &disk.path, e))?;
            if !about.is_file() || about.len() != disk.bytes {
                let (path, bytes) = (disk.path.display(), disk.bytes);
                return Err(Error::Refused(format!(
                    "{path} is not the image of {bytes} bytes that this machine began with; put that one back"
                )));
            }
            let found = crate::disk::hash_file(&disk.path)
                .map_err(|e| Error::io("opening the image of a disk", &disk.path, e))?;
            if found != disk.hash {
                return Err(Error::Refused(format!(
                    "{} is not the image that this machine began with (hash {found:032x}, not {:032x}); put that one back",
                    disk.path.display(),
                    disk.hash
                )));
            }
            return Ok(Self::of(&disk.path, disk.bytes, n, dir));
        }
        let path = files(dir).join(format!("disk{n}.image"));
        let failed = |e| Error::io("writing the image of a disk to", &path, e);
        std::fs::create_dir_all(files(dir)).map_err(failed)?;
        let file = File::create(&path).map_err(failed)?;
        file.set_len(disk.bytes).map_err(failed)?;
        let image = Self::of(&path, disk.bytes, n, dir);
        // Packed as it comes, so that the next one who needs it does not wait for that.
        let new = image.packed.with_extension("new");
        let mut from = Keeping { from, copy: BufWriter::with_capacity(1 << 20, File::create(&new).map_err(failed)?) };
        unpack(&mut from, CHUNK_BYTES, disk.bytes, |offset, bytes| file.write_all_at(bytes, offset).map_err(failed))?;
        from.copy.flush().and_then(|()| std::fs::rename(&new, &image.packed)).map_err(failed)?;
        Ok(image)
    }

    /// The disk: this image below what the guest writes.
    pub fn overlay(&self, n: usize, disk: &Disk, dir: &Path) -> Result<Box<dyn crate::disk::Storage>> {
        let path = overlay_path(n, dir);
        std::fs::create_dir_all(files(dir)).map_err(|e| Error::io("making", files(dir), e))?;
        let base =
            Base::known(&self.path, disk.hash).map_err(|e| Error::io("opening the image of a disk", &self.path, e))?;
        let overlay = Overlay::create(&path, base, disk.read_only);
        Ok(Box::new(overlay.map_err(|e| Error::io("making a disk's overlay", &path, e))?))
    }

    /// Copies it, and what the guest has written over it, to a new file; what is zero becomes a hole.
    fn export(&self, disk: &mut dyn crate::disk::Storage, to: PathBuf) -> Result<PathBuf> {
        let failed = |e| Error::io("writing a disk to", &to, e);
        let out = File::create_new(&to).map_err(failed)?;
        out.set_len(self.bytes).map_err(failed)?;
        let reading = |e| Error::io("reading the image of a disk", &self.path, e);
        let from = File::open(&self.path).map_err(reading)?;
        let mut chunk = vec![0; CHUNK_BYTES];
        for at in (0..self.bytes).step_by(CHUNK_BYTES) {
            let part = &mut chunk[..(self.bytes - at).min(CHUNK_BYTES as u64) as usize];
            from.read_exact_at(part, at).map_err(reading)?;
            if !is_zero(part) {
                out.write_all_at(part, at).map_err(failed)?;
            }
        }
        disk.save(&mut |block, bytes| out.write_all_at(bytes, block * BLOCK_BYTES)).map_err(failed)?;
        out.sync_all().map_err(failed)?;
        Ok(to)
    }

    fn pack(&self, to: &mut dyn Write) -> Result<()> {
        let failed = |e| Error::io("packing the image of a disk", &self.path, e);
        if !self.packed.exists() {
            let new = self.packed.with_extension("new");
            let mut out = BufWriter::with_capacity(1 << 20, File::create(&new).map_err(failed)?);
            let mut from = BufReader::new(File::open(&self.path).map_err(failed)?);
            let mut packer = Packer::new(Packing::Small, &mut out);
            let mut chunk = vec![0; CHUNK_BYTES];
            for index in 0..self.bytes.div_ceil(CHUNK_BYTES as u64) {
                let left = (self.bytes - index * CHUNK_BYTES as u64).min(CHUNK_BYTES as u64) as usize;
                from.read_exact(&mut chunk[..left]).map_err(failed)?;
                packer.chunk(index as u32, &chunk[..left]).map_err(failed)?;
            }
            packer.finish().and_then(|()| out.flush()).map_err(failed)?;
            std::fs::rename(&new, &self.packed).map_err(failed)?;
        }
        let mut packed = File::open(&self.packed).map_err(failed)?;
        io::copy(&mut packed, to).map(drop).map_err(writing)
    }
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

/// Writes what is read to a file too.
struct Keeping<'a> {
    from: &'a mut dyn Read,
    copy: BufWriter<File>,
}

impl Read for Keeping<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(into)?;
        self.copy.write_all(&into[..n])?;
        Ok(n)
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
