//! A cpio archive in the form that Linux unpacks as an initramfs ("newc", Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! An entry is a header of 13 hexadecimal numbers, the name, and the contents, each padded to four bytes. Everything belongs to root and has the
//! time 0, so that equal contents give equal bytes.

use std::fmt::Write;

const FILE: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const TRAILER: &str = "TRAILER!!!";

/// The archive so far.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// A directory; its parent must be there already.
    pub fn directory(&mut self, name: &str) {
        self.entry(name, DIRECTORY | 0o755, &[]);
    }

    /// A file that may be executed or not.
    pub fn file(&mut self, name: &str, contents: &[u8], executable: bool) {
        self.entry(name, FILE | if executable { 0o755 } else { 0o644 }, contents);
    }

    /// The bytes of the whole.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, contents: &[u8]) {
        assert!(!name.starts_with('/') && !name.contains('\0'), "a name below the root");
        let size = u32::try_from(contents.len()).expect("a file below 4 GiB");
        let name_size = u32::try_from(name.len()).expect("a short name") + 1;
        self.entries += 1;
        let links = if mode & DIRECTORY == 0 { 1 } else { 2 };
        // inode, mode, uid, gid, links, time, size, device (2), node (2), length of the name, check
        let numbers = [self.entries, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0];
        let mut header = String::from("070701");
        for number in numbers {
            // A string takes everything.
            let _ = write!(header, "{number:08X}");
        }
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_small_one() {
        let mut archive = Archive::default();
        archive.directory("bin");
        archive.file("bin/a", b"hello", true);
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).expect("text").replace('\0', ".");
        let expected = "070701\
            00000001000041ED0000000000000000000000020000000000000000000000000000000000000000000000000000000400000000bin...\
            070701\
            00000002000081ED000000000000000000000001000000000000000500000000000000000000000000000000000000060000000\
            0bin/a.hello...\
            070701\
            0000000300000000000000000000000000000001000000000000000000000000000000000000000000000000\
            0000000B00000000TRAILER!!!....";
        assert_eq!(text, expected);
    }
}
