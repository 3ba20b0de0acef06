//! A small file system that can be filled. It needs root.

use std::ffi::CString;
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Mounted until it is dropped.
pub struct Tmpfs {
    at: PathBuf,
}

impl Tmpfs {
    /// At a new directory; `size` as tmpfs(5) has it.
    pub fn mount(at: &Path, size: &str) -> Self {
        std::fs::create_dir(at).expect("a directory");
        let (place, options) = (name(at), CString::new(format!("size={size}")).expect("no zero byte"));
        // SAFETY: all strings are valid.
        let done =
            unsafe { libc::mount(c"tmpfs".as_ptr(), place.as_ptr(), c"tmpfs".as_ptr(), 0, options.as_ptr().cast()) };
        assert_eq!(done, 0, "mounting a tmpfs: {}", std::io::Error::last_os_error());
        Self { at: at.to_owned() }
    }

    /// No byte is left of it.
    pub fn fill(&self) {
        let mut file = std::fs::File::create(self.at.join("filler")).expect("a file");
        for size in [1 << 20, 1 << 12] {
            let zeros = vec![0; size];
            loop {
                match file.write_all(&zeros) {
                    Ok(()) => {}
                    Err(e) if e.kind() == ErrorKind::StorageFull => break,
                    Err(e) => panic!("filling {}: {e}", self.at.display()),
                }
            }
        }
    }

    /// What filled it is gone.
    pub fn empty(&self) {
        std::fs::remove_file(self.at.join("filler")).expect("it was filled");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let place = name(&self.at);
        // SAFETY: a valid string. Whoever still uses it keeps it for that long.
        unsafe { libc::umount2(place.as_ptr(), libc::MNT_DETACH) };
    }
}

fn name(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no zero byte")
}
