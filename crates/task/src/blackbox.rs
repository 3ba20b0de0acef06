//! The black box of a shard: which message is being read, where the end of this process does not erase it.
//!
//! A message that ends the process (abort, stack overflow, no memory) ends that of the backup too, when it is read there, and so on in turn. So the live
//! side writes down what it begins to read and what it has read: two stores into a mapped file, which the kernel keeps when the process dies. The next life
//! of this node that goes live finds there what the last one died of. One death says little, since a process that is killed is mostly reading something;
//! two at the same message are a verdict. It does not survive the machine, which no task can end, and knows nothing of a message that is read for ever.
//!
//! ```text
//!  0  reading u64: 1, or 0    8  deaths of the suspect u64    16  message u128    32  suspect u128
//! ```

use gapless_log::{Digest, Error, Result};
use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// So often this node dies at a message before that is not read any more.
pub const DEATHS_MAX: u64 = 2;

const WORDS: usize = 6;
const READING: usize = 0;
const DEATHS: usize = 1;
const MESSAGE: usize = 2;
const SUSPECT: usize = 4;

/// A mapped file. Only the thread of the live shard writes to it.
#[derive(Debug)]
pub struct BlackBox {
    words: NonNull<[AtomicU64; WORDS]>,
}

// SAFETY: the mapping belongs to this value alone, and its words are atomic.
unsafe impl Send for BlackBox {}

impl BlackBox {
    /// Opens the box; the second is a message that this node has died of too often.
    pub fn open(path: &Path) -> Result<(Self, Option<Digest>)> {
        let failed = |e| Error::io("opening", path, e);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        let bytes = WORDS * size_of::<u64>();
        // Written, not only lengthened: where a disk is full this is an error, and a store into a hole would be the end of the process.
        let there = file.metadata().map_err(failed)?.len().min(bytes as u64);
        file.write_all_at(&vec![0; bytes - there as usize], there).map_err(failed)?;
        // SAFETY: a fresh mapping of a file of this length; nobody else gets its address.
        let at = unsafe {
            let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
            libc::mmap(std::ptr::null_mut(), bytes, access, shared, file.as_raw_fd(), 0)
        };
        if at == libc::MAP_FAILED {
            return Err(failed(std::io::Error::last_os_error()));
        }
        let words = NonNull::new(at.cast()).expect("a mapping is not at 0");
        let mut found = Self { words };
        let verdict = found.look();
        Ok((found, verdict))
    }

    fn words(&self) -> &[AtomicU64; WORDS] {
        // SAFETY: mapped until this is dropped, aligned to a page, and any bytes are numbers.
        unsafe { self.words.as_ref() }
    }

    fn word(&self, at: usize) -> u64 {
        self.words()[at].load(Ordering::Relaxed)
    }

    /// In program order: what was stored when the process died is a prefix of what it would have stored.
    fn store(&self, at: usize, word: u64) {
        self.words()[at].store(word, Ordering::Release);
    }

    fn digest(&self, at: usize) -> Digest {
        Digest::from(self.word(at + 1)) << 64 | Digest::from(self.word(at))
    }

    fn store_digest(&self, at: usize, digest: Digest) {
        self.store(at, digest as u64);
        self.store(at + 1, (digest >> 64) as u64);
    }

    /// What the last life has left.
    fn look(&mut self) -> Option<Digest> {
        if self.word(READING) == 1 {
            let message = self.digest(MESSAGE);
            let before = if message == self.digest(SUSPECT) { self.word(DEATHS) } else { 0 };
            self.store_digest(SUSPECT, message);
            self.store(DEATHS, before.saturating_add(1));
            self.store(READING, 0);
        }
        // It stays so until the message was buried, or read after all.
        (self.word(DEATHS) >= DEATHS_MAX).then(|| self.digest(SUSPECT))
    }

    /// This is being read.
    pub fn begin(&mut self, message: Digest) {
        self.store_digest(MESSAGE, message);
        self.store(READING, 1);
    }

    /// It was read.
    pub fn end(&mut self) {
        self.store(READING, 0);
        if self.word(DEATHS) > 0 && self.digest(MESSAGE) == self.digest(SUSPECT) {
            self.store(DEATHS, 0);
        }
    }

    /// It is not read any more.
    pub fn buried(&mut self, message: Digest) {
        if self.digest(SUSPECT) == message {
            self.store(DEATHS, 0);
        }
    }
}

impl Drop for BlackBox {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that was made, and nobody uses it any more.
        unsafe { libc::munmap(self.words.as_ptr().cast(), WORDS * size_of::<u64>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_deaths_at_one_message_are_a_verdict() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("box");
        // What each life reads to its end, what it dies of, and the verdict that the next one finds.
        let lives = [
            (vec![1, 2], 9, None),
            (vec![1, 9], 9, None),
            (vec![3], 8, None),
            (vec![], 9, None),
            (vec![4], 9, Some(9)),
            (vec![], 7, None),
            (vec![1], 7, Some(7)),
        ];
        for (read, last, verdict) in lives {
            let (mut found, _) = BlackBox::open(&path).unwrap();
            for message in read {
                found.begin(message);
                found.end();
            }
            found.begin(last);
            drop(found);
            let (mut found, said) = BlackBox::open(&path).unwrap();
            assert_eq!(said, verdict);
            if let Some(message) = said {
                let (_, again) = BlackBox::open(&path).unwrap();
                assert_eq!(again, verdict, "it stands until it was carried out");
                found.buried(message);
                assert_eq!(BlackBox::open(&path).unwrap().1, None);
            }
        }
        std::fs::write(&path, [0xff; 13]).unwrap();
        assert!(BlackBox::open(&path).is_ok(), "any bytes are a box");
    }
}
