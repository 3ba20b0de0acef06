//! Calls on paths in the [`lane`](super::lane): what each is answered, found by its hash.
//!
//! Other than grants, which are laid out anew before each run, these stay: an entry is there until it is [taken out](Lane::remove_name) or
//! [all](Lane::clear_names) are. Each belongs to an owner, which stands for processes of which everything that its path depends on is the same.
//! ```text
//! NAMES + 0          first entry of each chain, by hash: 4 bytes, offset from NAMES (0: none)
//!       + 4 BUCKETS  entries: the words of `entry`, the path, up to a multiple of 8; then what is copied out, or a file's struct stat and content
//! ```

use super::lane::{ARENA_LEN, FILE, Lane, ReadFile, STAT_LEN, at};

/// Chains, a power of two.
pub(super) const BUCKETS: usize = 1024;
/// Longest path that is looked up.
pub(super) const PATH_MAX: usize = 255;
/// The hash is FNV-1a of the word of [`entry::CALL`] and the path.
pub(super) const HASH_START: u32 = 0x811c_9dc5;
pub(super) const HASH_PRIME: u32 = 0x0100_0193;
/// In [`entry::CALL`], above the call's number.
pub(super) const OWNER_SHIFT: u32 = 9;

/// Room that is there for more entries, or all that are there go.
const ROOM: usize = 128 << 10;

/// Offsets of the words in an entry.
pub(super) mod entry {
    /// The next one of the chain.
    pub const NEXT: usize = 0;
    /// What the journal has of it: never 0.
    pub const NUMBER: usize = 4;
    /// The call's number, and the owner.
    pub const CALL: usize = 8;
    pub const DIRFD: usize = 12;
    pub const FLAGS: usize = 16;
    /// Length of the path.
    pub const LEN: usize = 20;
    /// What the call returns, of an open only if it fails.
    pub const RESULT: usize = 24;
    /// All ones if it returns how many bytes were copied out.
    pub const COUNTS: usize = 28;
    /// Where the bytes to copy out lie, and their number.
    pub const BYTES: usize = 32;
    pub const BYTES_LEN: usize = 36;
    /// An open: not 0.
    pub const OPENS: usize = 40;
    /// The grant of the descriptor that it makes.
    pub const GRANT: usize = 48;
    pub const PATH: usize = 64;
}

/// Who is answered from which entries; 0: from none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owners {
    /// Paths from the root or from the current directory.
    pub paths: u32,
    /// Paths from a directory that a descriptor names.
    pub below: u32,
}

/// A call on a path, exactly as it is made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PathCall {
    /// The call's number.
    pub nr: u32,
    /// Its directory.
    pub dirfd: i32,
    /// Its flags, or mode.
    pub flags: u32,
    /// Its path.
    pub path: Vec<u8>,
}

impl PathCall {
    /// Does its path begin at a directory that a descriptor names?
    pub fn is_below(&self) -> bool {
        self.dirfd != libc::AT_FDCWD && !self.path.starts_with(b"/")
    }
}

/// What it comes to.
#[derive(Debug, Clone)]
pub enum PathAnswer<'a> {
    /// A descriptor of this file, at its beginning.
    Opens(ReadFile<'a>),
    /// An open fails with this errno.
    OpenFails(i32),
    /// 0, and these bytes for the program.
    Tells(Vec<u8>),
    /// As many of these bytes as the program has room for, and their number.
    Counts(&'a [u8]),
    /// Any other call fails with this errno.
    Fails(i32),
}

/// The word of [`entry::CALL`].
fn call_word(owner: u32, nr: u32) -> u32 {
    owner << OWNER_SHIFT | nr
}

fn bucket(call_word: u32, path: &[u8]) -> usize {
    let hash =
        path.iter().fold(HASH_START ^ call_word, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(HASH_PRIME));
    at::NAMES + hash as usize % BUCKETS * 4
}

impl Lane {
    /// Puts an entry, for what is not there yet; its place, or `None` if it has no room. `number` is what the journal will have.
    pub fn add_name(&mut self, owner: u32, call: &PathCall, number: u32, answer: &PathAnswer<'_>) -> Option<u32> {
        let (stat, bytes): (&[u8], &[u8]) = match answer {
            PathAnswer::Tells(bytes) => (&[], bytes),
            PathAnswer::Counts(bytes) => (&[], bytes),
            PathAnswer::Opens(file) => (&file.stat, file.content),
            PathAnswer::OpenFails(_) | PathAnswer::Fails(_) => (&[], &[]),
        };
        let place = self.names_end;
        let after_path = place + entry::PATH + call.path.len().next_multiple_of(8);
        let end = (after_path + stat.len() + bytes.len()).next_multiple_of(8);
        if end > at::END || call.path.len() > PATH_MAX {
            return None;
        }
        let word = call_word(owner, call.nr);
        let bucket = bucket(word, &call.path);
        let (result, counts) = match answer {
            PathAnswer::OpenFails(errno) | PathAnswer::Fails(errno) => (-errno, 0),
            PathAnswer::Counts(_) => (0, u32::MAX),
            PathAnswer::Opens(_) | PathAnswer::Tells(_) => (0, 0),
        };
        let opens = matches!(answer, PathAnswer::Opens(_) | PathAnswer::OpenFails(_));
        self.put(place + entry::NEXT, self.word(bucket));
        self.put(place + entry::NUMBER, number);
        self.put(place + entry::CALL, word);
        self.put(place + entry::DIRFD, call.dirfd);
        self.put(place + entry::FLAGS, call.flags);
        self.put(place + entry::LEN, call.path.len() as u32);
        self.put(place + entry::RESULT, result);
        self.put(place + entry::COUNTS, counts);
        self.put(place + entry::OPENS, u32::from(opens));
        self.copy_in(place + entry::PATH, &call.path);
        if let PathAnswer::Opens(file) = answer {
            self.copy_in(after_path, &file.stat);
            self.copy_in(after_path + STAT_LEN, bytes);
            let words = [(after_path + STAT_LEN - at::ARENA) as u32, bytes.len() as u32, file.offset, FILE];
            self.put(place + entry::GRANT, words);
            self.put(place + entry::BYTES_LEN, 0u32);
        } else {
            self.copy_in(after_path, bytes);
            self.put(place + entry::BYTES, self.address(after_path));
            self.put(place + entry::BYTES_LEN, bytes.len() as u32);
        }
        self.put(bucket, (place - at::NAMES) as u32);
        self.names_end = end;
        Some(place as u32)
    }

    /// Is there room for some more entries of the largest kind?
    pub fn has_room_for_names(&self) -> bool {
        self.names_end + ROOM <= at::END
    }

    /// The entry at this place answers nothing any more.
    pub fn remove_name(&mut self, place: u32) {
        self.put(place as usize + entry::CALL, 0u32);
    }

    /// No entry answers anything any more; their room is free.
    pub fn clear_names(&mut self) {
        self.copy_in(at::NAMES, &[0; BUCKETS * 4]);
        self.names_end = at::NAMES + BUCKETS * 4;
    }
}

const _: () = assert!(at::NAMES >= at::ARENA + ARENA_LEN);
const _: () = assert!(BUCKETS.is_power_of_two());
