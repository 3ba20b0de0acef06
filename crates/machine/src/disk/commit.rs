//! Giving new disk images the names of old ones: of all or of none, whenever it is interrupted.
//!
//! The rules it keeps: an image is never written to; a name is given only when all new images are whole and durable; one commit at a time works on an
//! image. New images lie beside the old ones, and the list of them in the log directory, which is there exactly while names are given, lets the next one
//! finish:
//!
//! ```text
//! IMAGE.gapless-new   the new image
//! DIR/machine/commit  every image's name, and which file it is to be (postcard)
//! ```

use super::context;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// An image that gets a new file.
#[derive(Debug, Serialize, Deserialize)]
struct Change {
    image: PathBuf,
    /// Device and inode of the new file.
    file: (u64, u64),
}

/// New images that nobody uses yet. Dropped, they are gone.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    changes: Vec<Change>,
    /// The old ones, locked.
    old: Vec<File>,
}

impl Commit {
    /// The file that will be called `image`, to be filled; it has the owner of the old one. Both are this commit's until it is over.
    pub(crate) fn place(&mut self, image: &Path) -> io::Result<File> {
        let advice = "`gapless export DIR --to OUT` writes the disk elsewhere";
        let old = File::open(image).map_err(context("opening", image))?;
        // SAFETY: no pointers; the descriptor is the file's.
        if unsafe { libc::flock(old.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            let what = format!("another merge, or another disk of this machine, has {}; {advice}", image.display());
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, what));
        }
        let new = new_of(image);
        remove_if_there(&new)?;
        let options = File::options().read(true).write(true).create_new(true).mode(0o600).clone();
        let file = options.open(&new).map_err(context("making", &new))?;
        let (was, is) = (old.metadata()?, file.metadata()?);
        self.changes.push(Change { image: image.to_owned(), file: (is.dev(), is.ino()) });
        if (was.uid(), was.gid()) != (is.uid(), is.gid()) {
            let given = fchown(&file, Some(was.uid()), Some(was.gid()));
            given.map_err(|e| {
                let what = format!("giving its owner to {}: {e}; run it as that owner, or {advice}", new.display());
                io::Error::new(e.kind(), what)
            })?;
        }
        self.old.push(old);
        Ok(file)
    }

    /// All are filled. Files of the machine lie in `dir`. The images, in the order of their places.
    pub(crate) fn done(mut self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        for (change, old) in self.changes.iter().zip(&self.old) {
            let new = new_of(&change.image);
            let make = || {
                fs::set_permissions(&new, fs::Permissions::from_mode(old.metadata()?.mode() & 0o7777))?;
                File::open(&new)?.sync_all()
            };
            make().map_err(context("completing", &new))?;
            sync_parent(&change.image)?;
        }
        let (list, part) = (list_of(dir), list_of(dir).with_extension("new"));
        let bytes = postcard::to_stdvec(&self.changes).map_err(io::Error::other)?;
        let write = || {
            fs::write(&part, bytes)?;
            File::open(&part)?.sync_all()?;
            fs::rename(&part, &list)
        };
        write().map_err(context("writing", &list))?;
        // From here on they are not taken back.
        self.changes.clear();
        sync_parent(&list)?;
        Ok(finish(dir)?.unwrap_or_default())
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        for change in &self.changes {
            let _ = fs::remove_file(new_of(&change.image));
        }
    }
}

/// A commit was interrupted while names were given.
pub fn is_interrupted(dir: &Path) -> bool {
    list_of(dir).exists()
}

/// Ends what was interrupted while names were given: the images that have been replaced, or nothing if there is nothing to end.
pub fn finish(dir: &Path) -> io::Result<Option<Vec<PathBuf>>> {
    let list = list_of(dir);
    let bytes = match fs::read(&list) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(context("reading", &list))?,
    };
    let damaged = |_| {
        let advice = "rename each IMAGE.gapless-new that is left to IMAGE, then remove this file";
        io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged; {advice}", list.display()))
    };
    let changes: Vec<Change> = postcard::from_bytes(&bytes).map_err(damaged)?;
    let is = |path: &Path, change: &Change| fs::metadata(path).is_ok_and(|is| (is.dev(), is.ino()) == change.file);
    for change in &changes {
        let (image, new) = (&change.image, new_of(&change.image));
        if is(&new, change) {
            fs::rename(&new, image).map_err(context("replacing", image))?;
        } else if !is(image, change) {
            let what = format!(
                "neither {} nor {} is the file that was made for it; put that one back (is its file system mounted?) and run this again",
                new.display(),
                image.display()
            );
            return Err(io::Error::new(io::ErrorKind::NotFound, what));
        }
        sync_parent(image)?;
    }
    remove_if_there(&list)?;
    sync_parent(&list)?;
    Ok(Some(changes.into_iter().map(|change| change.image).collect()))
}

fn list_of(dir: &Path) -> PathBuf {
    dir.join("commit")
}

fn new_of(image: &Path) -> PathBuf {
    let mut path = image.as_os_str().to_owned();
    path.push(".gapless-new");
    path.into()
}

/// Makes names made and removed in the directory of `path` durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(context("syncing", parent))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(context("removing", path)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Two images, and new ones beside them.
    fn begun(dir: &Path) -> (Commit, Vec<PathBuf>) {
        let images: Vec<PathBuf> = ["a", "b"].map(|name| dir.join(name)).into();
        let mut commit = Commit::default();
        for image in &images {
            fs::write(image, "old").unwrap();
            // What an earlier one may have left.
            fs::write(new_of(image), "left").unwrap();
            commit.place(image).unwrap().write_all(b"new").unwrap();
        }
        (commit, images)
    }

    fn contents(images: &[PathBuf]) -> Vec<String> {
        images.iter().map(|image| fs::read_to_string(image).unwrap()).collect()
    }

    fn files(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    /// As a crash leaves it when so many names were given.
    fn interrupted(dir: &Path, given: usize) -> Vec<PathBuf> {
        let (commit, images) = begun(dir);
        fs::write(list_of(dir), postcard::to_stdvec(&commit.changes).unwrap()).unwrap();
        std::mem::forget(commit);
        images[..given].iter().for_each(|image| fs::rename(new_of(image), image).unwrap());
        images
    }

    #[test]
    fn all_are_replaced_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let (commit, images) = begun(dir.path());
        assert_eq!(fs::metadata(new_of(&images[0])).unwrap().mode() & 0o777, 0o600, "nobody else reads it meanwhile");
        fs::set_permissions(&images[0], fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(commit.done(dir.path()).unwrap(), images);
        assert_eq!(contents(&images), ["new", "new"]);
        assert_eq!(fs::metadata(&images[0]).unwrap().mode() & 0o777, 0o640);
        assert_eq!(files(dir.path()), 2);
        assert_eq!(finish(dir.path()).unwrap(), None);
    }

    #[test]
    fn what_fails_before_leaves_all_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let (commit, images) = begun(dir.path());
        drop(commit);
        assert_eq!((contents(&images), files(dir.path())), (vec!["old".to_owned(), "old".to_owned()], 2));
        let (commit, images) = begun(dir.path());
        assert!(commit.done(&dir.path().join("nowhere")).is_err());
        assert_eq!((contents(&images), files(dir.path())), (vec!["old".to_owned(), "old".to_owned()], 2));
    }

    #[test]
    fn names_that_were_not_given_are_given_by_the_next() {
        for given in 0..=2 {
            let dir = tempfile::tempdir().unwrap();
            let images = interrupted(dir.path(), given);
            assert!(is_interrupted(dir.path()));
            assert_eq!(finish(dir.path()).unwrap(), Some(images.clone()));
            assert_eq!((contents(&images), files(dir.path())), (vec!["new".to_owned(), "new".to_owned()], 2));
        }
    }

    /// As after a reboot: the file system of one image is not mounted.
    #[test]
    fn a_new_image_that_is_missing_is_not_taken_for_one_that_has_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let images = interrupted(dir.path(), 1);
        let away = dir.path().join("away");
        fs::rename(new_of(&images[1]), &away).unwrap();
        let error = finish(dir.path()).unwrap_err().to_string();
        assert!(error.contains("b.gapless-new nor") && error.contains("run this again"), "{error}");
        fs::rename(&away, new_of(&images[1])).unwrap();
        assert_eq!(finish(dir.path()).unwrap(), Some(images.clone()));
        assert_eq!(contents(&images), ["new", "new"]);
    }

    #[test]
    fn an_image_has_one_commit_at_a_time_and_one_disk_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let (mut commit, images) = begun(dir.path());
        for other in [&mut commit, &mut Commit::default()] {
            let error = other.place(&images[0]).unwrap_err().to_string();
            assert!(error.contains("another merge, or another disk") && error.contains("gapless export"), "{error}");
        }
        assert_eq!(commit.done(dir.path()).unwrap(), images);
    }

    #[test]
    fn a_damaged_list_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(list_of(dir.path()), [9, 9]).unwrap();
        assert!(finish(dir.path()).unwrap_err().to_string().contains("commit is damaged"));
    }
}
