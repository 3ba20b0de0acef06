//! The directory that will hold the log: room, kind, and what a sync costs there.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Probed;

const BLOCK: [u8; 4096] = [0x5a; 4096];
const SYNCS: usize = 20;
/// A slow disk is not asked all of them.
const SYNC_TIME_MAX: Duration = Duration::from_secs(2);

/// What was found about a directory's file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that this user may still write.
    pub free: u64,
    /// It lives in memory.
    pub volatile: bool,
    /// Time of appending 4 KiB and syncing, in microseconds.
    pub sync_us_median: u64,
    /// The longest of them.
    pub sync_us_max: u64,
}

/// Measures `dir`, or its parent if it does not exist yet (gapless makes log directories).
pub fn probe(dir: &Path) -> Probed<Disk> {
    let place = existing(dir)?;
    let (free, volatile) = room(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    let times = sync_times(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    Ok(Disk {
        free,
        volatile,
        sync_us_median: times.get(times.len() / 2).copied().unwrap_or(0),
        sync_us_max: times.last().copied().unwrap_or(0),
    })
}

fn existing(dir: &Path) -> Probed<PathBuf> {
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match fs::metadata(dir) {
        Ok(meta) if meta.is_dir() => Ok(dir.to_owned()),
        Ok(_) => Err(format!("{} is not a directory", dir.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound && parent.is_dir() => Ok(parent.to_owned()),
        Err(error) => Err(format!("{}: {error}", dir.display())),
    }
}

fn room(dir: &Path) -> io::Result<(u64, bool)> {
    let path = CString::new(dir.as_os_str().as_bytes())?;
    let mut stat = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the path ends with a zero byte and `stat` has room for the answer.
    if unsafe { libc::statfs(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: plain integers, zeroed before and written by the call that succeeded.
    let stat = unsafe { stat.assume_init() };
    let block = u64::try_from(stat.f_bsize).unwrap_or(0);
    let volatile = [libc::TMPFS_MAGIC, 0x8584_58f6 /* ramfs */].contains(&stat.f_type);
    Ok((stat.f_bavail.saturating_mul(block), volatile))
}

/// Times of append and fdatasync in microseconds, sorted. The file is gone afterwards.
fn sync_times(dir: &Path) -> io::Result<Vec<u64>> {
    let path = dir.join(format!(".gapless-doctor-{}", std::process::id()));
    let measured = measure(&path);
    let removed = fs::remove_file(&path);
    let mut times = measured?;
    removed?;
    times.sort_unstable();
    Ok(times)
}

fn measure(path: &Path) -> io::Result<Vec<u64>> {
    let mut file = OpenOptions::new().append(true).create_new(true).open(path)?;
    let start = Instant::now();
    let mut times = Vec::with_capacity(SYNCS);
    while times.len() < SYNCS && start.elapsed() < SYNC_TIME_MAX {
        let before = Instant::now();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        times.push(u64::try_from(before.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_or_the_parent_of_one_to_be() {
        let dir = tempfile::tempdir().expect("a directory");
        for path in [dir.path().to_owned(), dir.path().join("log")] {
            let disk = probe(&path).expect("room");
            assert!(disk.free > 0 && disk.sync_us_max >= disk.sync_us_median);
        }
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0, "nothing is left behind");
    }

    #[test]
    fn what_cannot_hold_a_log() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        fs::write(&file, "x").expect("a file");
        assert!(probe(&file).unwrap_err().ends_with("is not a directory"));
        assert!(probe(&dir.path().join("a/b")).unwrap_err().contains("No such file"));
        assert!(probe(&file.join("x")).is_err());
        assert!(probe(Path::new("/proc")).is_err());
    }
}
