//! Unix sockets in log directories.

use std::fs::File;
use std::io::Result;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Gives `f` a name of `path` that is short enough for a socket's address (108 bytes, unix(7)), however long the path is. It is good for as long as `f`
/// runs.
pub fn at_short_path<T>(path: &Path, f: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // To pass through it is enough.
    let dir = File::options().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(parent)?;
    f(&PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(path.file_name().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn a_socket_in_a_deep_directory_can_be_had() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("d".repeat(200));
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("socket");
        assert!(UnixListener::bind(&path).is_err());
        let listener = at_short_path(&path, |path| UnixListener::bind(path)).unwrap();
        at_short_path(&path, |path| UnixStream::connect(path)).unwrap();
        listener.accept().unwrap();
    }
}
