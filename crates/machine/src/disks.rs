//! The images of a machine's disks: where they are on this side, how they travel, and what becomes of them.
//!
//! The rule it keeps: an image is never written to, and bytes leave it only while its hash is still the machine's. How new images get the names of old ones
//! is `disk/commit.rs`.

use crate::computer::Computer;
use crate::disk::{BLOCK_BYTES, Base, Commit, Overlay, Storage};
use crate::pack::{CHUNK_BYTES, Packer, Packing, is_zero, unpack};
use crate::setup::Disk;
use crate::snapshot::files;
use gapless_log::{Error, Result};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The image that a disk begins with, as this side has it.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    base: Base,
    /// The same, packed, once somebody has needed it: it never changes.
    packed: PathBuf,
}

impl Image {
    /// The `n`th disk's, of a machine whose files lie below `dir`.
    pub fn new(base: Base, n: usize, dir: &Path) -> Self {
        let packed = files(dir).join(format!("disk{n}.packed"));
        // One that is there is of an older history.
        let _ = std::fs::remove_file(&packed);
        Self { base, packed }
    }

    /// Lies where the machine was switched on.
    pub fn at_its_place(n: usize, disk: &Disk, dir: &Path) -> Result<Self> {
        let failed = |e| Error::io("opening the image of a disk", &disk.path, e);
        let (path, bytes) = (disk.path.display(), disk.bytes);
        // Before it is opened: what a snapshot names may be a device that has no end.
        let about = std::fs::metadata(&disk.path).map_err(failed)?;
        if !about.is_file() || about.len() != bytes {
            return Err(Error::Refused(format!(
                "{path} is not the image of {bytes} bytes that this machine began with; put that one back"
            )));
        }
        let base = Base::open(&disk.path).map_err(failed)?;
        if base.hash() != disk.hash {
            return Err(Error::Refused(format!(
                "{path} is not the image that this machine began with (hash {:032x}, not {:032x}); put that one back",
                base.hash(),
                disk.hash
            )));
        }
        Ok(Self::new(base, n, dir))
    }

    /// Comes packed.
    pub fn unpack(from: &mut dyn Read, n: usize, disk: &Disk, dir: &Path) -> Result<Self> {
        let path = files(dir).join(format!("disk{n}.image"));
        let failed = |e| Error::io("writing the image of a disk to", &path, e);
        std::fs::create_dir_all(files(dir)).map_err(failed)?;
        let file = File::create(&path).map_err(failed)?;
        file.set_len(disk.bytes).map_err(failed)?;
        let image = Self::new(Base::known(&path, disk.hash).map_err(failed)?, n, dir);
        // Packed as it comes, so that the next one who needs it does not wait for that.
        let new = image.packed.with_extension("new");
        let mut from = Keeping { from, copy: BufWriter::with_capacity(1 << 20, File::create(&new).map_err(failed)?) };
        unpack(&mut from, CHUNK_BYTES, disk.bytes, |offset, bytes| file.write_all_at(bytes, offset).map_err(failed))?;
        from.copy.flush().and_then(|()| std::fs::rename(&new, &image.packed)).map_err(failed)?;
        Ok(image)
    }

    /// For [`Image::unpack`].
    pub fn pack(&self, to: &mut dyn Write) -> Result<()> {
        let failed = |e| Error::io("packing the image of a disk", self.base.path(), e);
        if !self.packed.exists() {
            let new = self.packed.with_extension("new");
            let mut out = BufWriter::with_capacity(1 << 20, File::create(&new).map_err(failed)?);
            let mut packer = Packer::new(Packing::Small, &mut out);
            let chunk = |at, bytes: &[u8]| packer.chunk((at / CHUNK_BYTES as u64) as u32, bytes);
            self.chunks(chunk).map_err(failed)?;
            packer.finish().and_then(|()| out.flush()).map_err(failed)?;
            std::fs::rename(&new, &self.packed).map_err(failed)?;
        }
        let mut packed = File::open(&self.packed).map_err(failed)?;
        io::copy(&mut packed, to).map(drop).map_err(|e| Error::io("writing", "a snapshot", e))
    }

    /// The whole image, in chunks.
    fn chunks(&self, mut each: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
        self.base.read_again(|at, part| {
            let mut starts = (at..).step_by(CHUNK_BYTES);
            part.chunks(CHUNK_BYTES).try_for_each(|chunk| each(starts.next().expect("numbers do not end"), chunk))
        })
    }

    /// The disk: this image below what the guest writes.
    pub fn overlay(&self, n: usize, disk: &Disk, dir: &Path) -> Result<Box<dyn Storage>> {
        let path = files(dir).join(format!("disk{n}.overlay"));
        std::fs::create_dir_all(files(dir)).map_err(|e| Error::io("making", files(dir), e))?;
        let overlay = Overlay::create(&path, self.base.clone(), disk.read_only);
        Ok(Box::new(overlay.map_err(|e| Error::io("making a disk's overlay", &path, e))?))
    }

    /// Copies it, and what the guest has written over it, to an empty file; what is zero becomes a hole.
    fn export(&self, disk: &mut dyn Storage, out: &File, to: &Path) -> Result<()> {
        let mut write = || {
            out.set_len(self.base.bytes())?;
            self.chunks(|at, chunk| if is_zero(chunk) { Ok(()) } else { out.write_all_at(chunk, at) })?;
            disk.save(&mut |block, bytes| out.write_all_at(bytes, block * BLOCK_BYTES))?;
            out.sync_all()
        };
        write().map_err(|e| Error::io("writing a disk for", to, e))
    }
}

impl Computer {
    /// The end of this machine: its images, for [`Computer::load_again`].
    pub(crate) fn into_images(self) -> Vec<(Disk, Image)> {
        self.setup.disks.into_iter().zip(self.images).collect()
    }

    /// A history begins here, with images that came with a saved machine: they have no place.
    pub(crate) fn adopt_images(&mut self) {
        self.setup.disks.iter_mut().for_each(|disk| disk.path = PathBuf::new());
    }

    /// Writes each disk as it is now to an image of its own in `to`: `disk0.img` and so on.
    pub(crate) fn export_disks(&mut self, to: &Path) -> Result<Vec<PathBuf>> {
        std::fs::create_dir_all(to).map_err(|e| Error::io("making", to, e))?;
        let disks = self.board.disks().iter_mut().zip(&self.images).enumerate();
        disks
            .map(|(n, (disk, image))| {
                let path = to.join(format!("disk{n}.img"));
                let out = File::create_new(&path).map_err(|e| Error::io("making", &path, e))?;
                image.export(disk.as_mut(), &out, &path).map(|()| path)
            })
            .collect()
    }

    /// Puts each disk as it is now in the place of the image that the history in `dir` began with; the names of those. All or none.
    pub(crate) fn commit_disks(&mut self, dir: &Path) -> Result<Vec<PathBuf>> {
        let failed = |e| Error::io("merging", "the disks of a machine", e);
        let mut commit = Commit::default();
        let disks = self.board.disks().iter_mut().zip(&self.images).zip(&self.setup.disks).enumerate();
        for (n, ((storage, image), disk)) in disks.filter(|(_, (_, disk))| !disk.read_only) {
            if let Some(why) = no_place(disk) {
                return Err(Error::Refused(format!(
                    "disk {n} cannot be merged into the image that it began with: {why}; `gapless export DIR --to OUT` writes the disk"
                )));
            }
            // Whatever is at its place by now: what is replaced is the image, not a link to it.
            let path = disk.path.canonicalize().map_err(failed)?;
            let new = commit.place(&path).map_err(failed)?;
            image.export(storage.as_mut(), &new, &path)?;
        }
        let dir = files(dir);
        std::fs::create_dir_all(&dir).map_err(|e| Error::io("making", &dir, e))?;
        commit.done(&dir).map_err(failed)
    }
}

/// Why the image that a disk began with is not at its place.
fn no_place(disk: &Disk) -> Option<String> {
    let path = disk.path.display();
    if disk.path.as_os_str().is_empty() {
        return Some("it came with a saved machine".to_owned());
    }
    match Base::open(&disk.path) {
        Ok(base) if base.hash() == disk.hash => None,
        Ok(_) => Some(format!("{path} has changed since")),
        Err(e) => Some(e.to_string()),
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
