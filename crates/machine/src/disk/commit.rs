//! Giving new disk images the names of old ones: of all or of none, whenever it is interrupted.
//!
//! The rules it keeps: an image is never written to; a name is given only when all new images are whole and durable. They lie beside the old ones, and the
//! list of them in the log directory, which is there exactly while names are given, lets the next one finish:
//!
//! ```text
//! IMAGE.gapless-new   the new image
//! DIR/machine/commit  the names of all images (postcard)
//! ```

use super::context;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// New images that nobody uses yet. Dropped, they are gone.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    images: Vec<PathBuf>,
}

impl Commit {
    /// Where the image that will be called `image` is to be made.
    pub(crate) fn place(&mut self, image: &Path) -> io::Result<PathBuf> {
        let new = new_of(image);
        remove_if_there(&new)?;
        self.images.push(image.to_owned());
        Ok(new)
    }

    /// All are made, in the order of their places. Files of the machine lie in `dir`.
    pub(crate) fn done(mut self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        for image in &self.images {
            make_alike(image, &new_of(image))?;
            sync_parent(image)?;
        }
        let (list, part) = (list_of(dir), list_of(dir).with_extension("new"));
        let bytes = postcard::to_stdvec(&self.images).map_err(io::Error::other)?;
        let write = || {
            fs::write(&part, bytes)?;
            File::open(&part)?.sync_all()?;
            fs::rename(&part, &list)
        };
        write().map_err(context("writing", &list))?;
        // From here on they are not taken back.
        self.images.clear();
        sync_parent(&list)?;
        Ok(finish(dir)?.unwrap_or_default())
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        for image in &self.images {
            let _ = fs::remove_file(new_of(image));
        }
    }
}

/// Ends what was interrupted while names were given: the images that have been replaced, or nothing if there is nothing to end.
pub fn finish(dir: &Path) -> io::Result<Option<Vec<PathBuf>>> {
    let list = list_of(dir);
    let bytes = match fs::read(&list) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(context("reading", &list))?,
    };
    let damaged = |_| io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", list.display()));
    let images: Vec<PathBuf> = postcard::from_bytes(&bytes).map_err(damaged)?;
    for image in &images {
        match fs::rename(new_of(image), image) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(context("replacing", image)(e)),
            // It has its name already.
            _ => sync_parent(image)?,
        }
    }
    remove_if_there(&list)?;
    sync_parent(&list)?;
    Ok(Some(images))
}

fn list_of(dir: &Path) -> PathBuf {
    dir.join("commit")
}

fn new_of(image: &Path) -> PathBuf {
    let mut path = image.as_os_str().to_owned();
    path.push(".gapless-new");
    path.into()
}

/// The new file has the owner and the permissions of the old one.
fn make_alike(old: &Path, new: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown};
    let (was, is) =
        (fs::metadata(old).map_err(context("reading", old))?, fs::metadata(new).map_err(context("reading", new))?);
    if (was.uid(), was.gid()) != (is.uid(), is.gid()) {
        chown(new, Some(was.uid()), Some(was.gid())).map_err(context("giving its owner to", new))?;
    }
    fs::set_permissions(new, was.permissions()).map_err(context("giving its permissions to", new))
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

    /// Two images, and new ones beside them.
    fn begun(dir: &Path) -> (Commit, [PathBuf; 2]) {
        let images = ["a", "b"].map(|name| dir.join(name));
        let mut commit = Commit::default();
        for image in &images {
            fs::write(image, "old").unwrap();
            // What an earlier one may have left.
            fs::write(new_of(image), "left").unwrap();
            let new = commit.place(image).unwrap();
            assert!(!new.exists());
            fs::write(new, "new").unwrap();
        }
        (commit, images)
    }

    fn contents(images: &[PathBuf]) -> Vec<String> {
        images.iter().map(|image| fs::read_to_string(image).unwrap()).collect()
    }

    fn files(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn all_are_replaced_and_nothing_else_is_left() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (commit, images) = begun(dir.path());
        fs::set_permissions(&images[0], fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(commit.done(dir.path()).unwrap(), images);
        assert_eq!(contents(&images), ["new", "new"]);
        assert_eq!(fs::metadata(&images[0]).unwrap().permissions().mode() & 0o777, 0o640);
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
            let (commit, images) = begun(dir.path());
            // As a crash leaves it.
            fs::write(list_of(dir.path()), postcard::to_stdvec(&images.to_vec()).unwrap()).unwrap();
            std::mem::forget(commit);
            images[..given].iter().for_each(|image| fs::rename(new_of(image), image).unwrap());
            assert_eq!(finish(dir.path()).unwrap(), Some(images.to_vec()));
            assert_eq!((contents(&images), files(dir.path())), (vec!["new".to_owned(), "new".to_owned()], 2));
        }
    }

    #[test]
    fn a_damaged_list_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(list_of(dir.path()), [9, 9]).unwrap();
        assert!(finish(dir.path()).unwrap_err().to_string().contains("commit is damaged"));
    }
}
