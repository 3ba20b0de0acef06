//! Files that lie under a disk and are only read.

use super::{SECTOR_BYTES, context};
use gapless_log::{Digest, Hasher};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Read at once.
const PART_BYTES: usize = 1 << 20;

/// A disk image. It stays open, so a new file that gets its name changes nothing; one that is written to is noticed when it is read as a whole.
#[derive(Clone, Debug)]
pub struct Base {
    file: Arc<File>,
    path: PathBuf,
    bytes: u64,
    hash: Digest,
}

impl Base {
    /// Reads the whole file for its hash.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut base = Self::known(path, 0)?;
        base.hash = base.read_whole(|_, _| Ok(()))?;
        Ok(base)
    }

    /// The same, if its hash is known already.
    pub fn known(path: &Path, hash: Digest) -> io::Result<Self> {
        let file = File::open(path).map_err(context("opening", path))?;
        let bytes = file.metadata().map_err(context("reading", path))?.len();
        check_size(bytes, path)?;
        Ok(Self { file: Arc::new(file), path: path.to_owned(), bytes, hash })
    }

    /// Size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Hash of its contents; part of the machine's identity.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn read(&self, into: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(into, at).map_err(context("reading", &self.path))
    }

    /// Reads it from its beginning to its end, as it must be.
    pub(crate) fn read_again(&self, each: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let found = self.read_whole(each)?;
        if found == self.hash {
            return Ok(());
        }
        let path = self.path.display();
        Err(io::Error::other(format!(
            "{path} was changed while a machine uses it (hash {found:032x}, not {:032x}); put it back as it was, and start the machine again",
            self.hash
        )))
    }

    fn read_whole(&self, mut each: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<Digest> {
        let (mut hasher, mut buffer) = (Hasher::new(), vec![0; PART_BYTES]);
        for at in (0..self.bytes).step_by(PART_BYTES) {
            let part = &mut buffer[..(self.bytes - at).min(PART_BYTES as u64) as usize];
            self.read(part, at)?;
            hasher.update(part);
            each(at, part)?;
        }
        Ok(hasher.finish())
    }
}

fn check_size(bytes: u64, path: &Path) -> io::Result<()> {
    if bytes > 0 && bytes.is_multiple_of(SECTOR_BYTES) {
        return Ok(());
    }
    let message = format!(
        "{} has {bytes} bytes, which is not a disk of whole {SECTOR_BYTES}-byte sectors; \
         give a raw image, or grow it with `truncate -s %{SECTOR_BYTES} FILE`",
        path.display()
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_an_image_is_the_hash_of_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let bytes: Vec<u8> = (0..3 * PART_BYTES / 2).map(|i| (i % 249) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let base = Base::open(&path).unwrap();
        assert_eq!(base.hash(), gapless_log::hash(&bytes));
        let mut seen = Vec::new();
        let mut keep = |at: u64, part: &[u8]| {
            assert_eq!(at as usize, seen.len());
            seen.extend_from_slice(part);
            Ok(())
        };
        base.read_again(&mut keep).unwrap();
        assert!(seen == bytes);
    }

    #[test]
    fn an_image_that_is_written_to_is_noticed_and_one_that_is_replaced_does_not_matter() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, [7; 1024]).unwrap();
        let base = Base::open(&path).unwrap();
        std::fs::write(dir.path().join("new"), [8; 1024]).unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        let mut seen = Vec::new();
        base.read_again(|_, part| {
            seen.extend_from_slice(part);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [7; 1024]);
        let other = Base::open(&path).unwrap();
        std::fs::write(&path, [9; 1024]).unwrap();
        let error = other.read_again(|_, _| Ok(())).unwrap_err().to_string();
        assert!(error.contains("image was changed while"), "{error}");
    }

    #[test]
    fn sizes_that_are_no_disk_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for bytes in [0, 700] {
            std::fs::write(dir.path().join("image"), vec![0; bytes]).unwrap();
            assert!(Base::open(&dir.path().join("image")).unwrap_err().to_string().contains("truncate"));
        }
    }
}
