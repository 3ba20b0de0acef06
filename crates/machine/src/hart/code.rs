//! Decoded instructions, by physical page.

/// Decoded instructions of every page that was executed.
#[derive(Debug)]
pub struct CodeCache {}

impl CodeCache {
    /// For a memory of so many pages.
    pub fn new(_pages: u64) -> Self {
        Self {}
    }

    /// Bytes at this offset of memory are about to change: what was decoded from them is forgotten.
    pub fn written(&mut self, _offset: u64, _bytes: u64) {}
}
