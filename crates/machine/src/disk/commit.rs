//! Merging an overlay into its base, and the map that allows it.
//!
//! The rules it keeps: only an overlay with a whole map is merged; a merge that was interrupted is done again from its beginning, which writes the same
//! bytes to the same places; nothing of the overlay is removed before the base is durable. Beside the overlay lie
//!
//! ```text
//! OVERLAY.map      a clean close wrote it: the overlay is whole
//! OVERLAY.merging  the base is being written; OVERLAY.map gone, it is written
//!
//! map  magic 8 | version u32 | block bytes u32 | base hash u128 | disk bytes u64 | one bit a block, u64 words | xxh3-128 of all that, u128
//! ```

use super::SECTOR_BYTES;
use super::overlay::{BLOCK_BYTES, Bitmap, context, hash_file};
use gapless_log::{Digest, hash};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"gplsmap\0";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 40;
const HASH_BYTES: usize = 16;
/// Largest map that is read: a disk of 64 TiB.
const MAP_BYTES_MAX: u64 = 2 << 30;

/// What an overlay holds, and over what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Map {
    pub(super) base_hash: Digest,
    pub(super) bytes: u64,
    pub(super) bitmap: Bitmap,
}

fn beside(overlay: &Path, suffix: &str) -> PathBuf {
    let mut path = overlay.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn map_path(overlay: &Path) -> PathBuf {
    beside(overlay, ".map")
}

/// Is there while the overlay is being merged.
pub(super) fn marker_path(overlay: &Path) -> PathBuf {
    beside(overlay, ".merging")
}

/// Makes names made and removed in the directory of `path` durable.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(context("syncing", parent))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(context("removing", path)(error)),
        _ => Ok(()),
    }
}

impl Map {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((BLOCK_BYTES as u32).to_le_bytes());
        bytes.extend(self.base_hash.to_le_bytes());
        bytes.extend(self.bytes.to_le_bytes());
        bytes.extend(self.bitmap.words().iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(hash(&bytes).to_le_bytes());
        bytes
    }

    /// `None` if these are not the bytes that [`Map::encode`] made.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(HASH_BYTES)?)?;
        let (header, words) = body.split_at_checked(HEADER_BYTES)?;
        let expected = [&MAGIC[..], &VERSION.to_le_bytes(), &(BLOCK_BYTES as u32).to_le_bytes()].concat();
        if hash(body).to_le_bytes() != sum || header[..16] != expected {
            return None;
        }
        let base_hash = Digest::from_le_bytes(header[16..32].try_into().ok()?);
        let bytes = u64::from_le_bytes(header[32..40].try_into().ok()?);
        let (words, rest) = words.as_chunks::<8>();
        let blocks = bytes.div_ceil(BLOCK_BYTES);
        let whole = rest.is_empty() && words.len() as u64 == blocks.div_ceil(64) && bytes.is_multiple_of(SECTOR_BYTES);
        let bitmap = Bitmap::from_words(words.iter().map(|word| u64::from_le_bytes(*word)).collect());
        let fits = bitmap.blocks().last().is_none_or(|block| block < blocks);
        (whole && fits).then_some(Self { base_hash, bytes, bitmap })
    }

    /// Writes the map of a whole and durable overlay: all of it or nothing.
    pub(super) fn write(&self, overlay: &Path) -> io::Result<()> {
        let (path, new) = (map_path(overlay), beside(overlay, ".map.new"));
        let write = || {
            let file = File::create(&new)?;
            file.write_all_at(&self.encode(), 0)?;
            file.sync_all()?;
            std::fs::rename(&new, &path)
        };
        write().map_err(context("writing", &path))?;
        sync_directory(overlay)
    }

    /// The overlay is about to change: it is not whole any more.
    pub(super) fn remove(overlay: &Path) -> io::Result<()> {
        let path = map_path(overlay);
        if path.exists() {
            remove_if_there(&path)?;
            sync_directory(overlay)?;
        }
        Ok(())
    }

    fn read(overlay: &Path) -> io::Result<Self> {
        let path = map_path(overlay);
        let bytes = match std::fs::metadata(&path) {
            Ok(about) if about.len() > MAP_BYTES_MAX => Vec::new(),
            Ok(_) => std::fs::read(&path).map_err(context("reading", &path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(refuse(format!(
                    "{} has no map, so the machine that wrote it was not shut down; resume it and end it, then merge",
                    overlay.display()
                )));
            }
            Err(error) => return Err(context("reading", &path)(error)),
        };
        Self::decode(&bytes).ok_or_else(|| refuse(format!("{} is damaged; nothing was merged", path.display())))
    }
}

fn refuse(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Writes what the overlay holds into the base and removes the overlay. After any interruption, run it again.
pub fn commit(base: &Path, overlay: &Path) -> io::Result<()> {
    let (marker, map) = (marker_path(overlay), map_path(overlay));
    if !marker.exists() || map.exists() {
        let map = Map::read(overlay)?;
        begin(base, overlay, &map)?;
        merge(base, overlay, &map)?;
    }
    remove_if_there(&map)?;
    sync_directory(overlay)?;
    remove_if_there(overlay)?;
    remove_if_there(&marker)?;
    sync_directory(overlay)
}

/// From here on the base may be half old, half new: so the base is looked at only the first time.
fn begin(base: &Path, overlay: &Path, map: &Map) -> io::Result<()> {
    let marker = marker_path(overlay);
    if marker.exists() {
        return Ok(());
    }
    if hash_file(base)? != map.base_hash {
        return Err(refuse(format!(
            "{} is not the disk that {} was made over, or was changed since; nothing was merged",
            base.display(),
            overlay.display()
        )));
    }
    File::create(&marker).and_then(|file| file.sync_all()).map_err(context("creating", &marker))?;
    sync_directory(overlay)
}

fn merge(base: &Path, overlay: &Path, map: &Map) -> io::Result<()> {
    let from = File::open(overlay).map_err(context("opening", overlay))?;
    let to = File::options().write(true).open(base).map_err(context("opening", base))?;
    let same_size = |file: &File| file.metadata().is_ok_and(|about| about.len() == map.bytes);
    if !same_size(&from) || !same_size(&to) {
        return Err(refuse(format!("{} and {} have not the size of the map", base.display(), overlay.display())));
    }
    let mut bytes = vec![0; BLOCK_BYTES as usize];
    for block in map.bitmap.blocks() {
        let at = block * BLOCK_BYTES;
        let bytes = &mut bytes[..BLOCK_BYTES.min(map.bytes - at) as usize];
        from.read_exact_at(bytes, at).map_err(context("reading", overlay))?;
        to.write_all_at(bytes, at).map_err(context("writing", base))?;
    }
    to.sync_all().map_err(context("syncing", base))
}
