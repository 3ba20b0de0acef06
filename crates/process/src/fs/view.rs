//! A file's bytes, looked at where they lie: no copy, and no memory but what the host keeps of the file anyway.
//!
//! Only for contents, which nobody writes to once they have their name.

use std::fs::File;
use std::io::{Error, Result};
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};

const PAGE: u64 = 4096;

/// A range of a file as a mapping of it shows it: whole pages, the last one filled up with zeros.
#[derive(Debug)]
pub struct View {
    at: NonNull<u8>,
    len: usize,
}

impl View {
    /// At most `len` bytes from `offset`, a multiple of the page size; less where the file's last page ends before.
    pub fn of(file: &File, offset: u64, len: u64) -> Result<View> {
        let end = file.metadata()?.len().next_multiple_of(PAGE);
        let len = len.min(end.saturating_sub(offset)) as usize;
        if len == 0 {
            return Ok(View { at: NonNull::dangling(), len });
        }
        let (prot, flags) = (libc::PROT_READ, libc::MAP_SHARED);
        // SAFETY: the kernel chooses an address that nothing else has.
        let at = unsafe { libc::mmap(ptr::null_mut(), len, prot, flags, file.as_raw_fd(), offset as i64) };
        match NonNull::new(at.cast::<u8>()) {
            Some(at) if at.as_ptr().cast() != libc::MAP_FAILED => Ok(View { at, len }),
            _ => Err(Error::last_os_error()),
        }
    }
}

impl Deref for View {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes from `at` are mapped for as long as this lives (or there are none), and are those of a read-only file.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: this mapping is ours, and nobody borrows from it any more. It cannot fail for one that exists.
            unsafe { libc::munmap(self.at.as_ptr().cast(), self.len) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_ends_with_the_files_last_page() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let bytes: Vec<u8> = (0..PAGE * 2 + 100).map(|n| (n % 251) as u8 | 1).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = File::open(&path).unwrap();
        let view = |offset, len| View::of(&file, offset, len).unwrap();
        assert_eq!(view(0, 10)[..], bytes[..10]);
        assert_eq!(view(PAGE, PAGE)[..], bytes[PAGE as usize..2 * PAGE as usize]);
        let last = view(2 * PAGE, 5 * PAGE);
        assert_eq!((&last[..100], last.len() as u64), (&bytes[2 * PAGE as usize..], PAGE));
        assert!(last[100..].iter().all(|&byte| byte == 0));
        assert!(view(3 * PAGE, PAGE).is_empty() && view(PAGE * 9, 1).is_empty() && view(0, 0).is_empty());
    }
}
