//! What a piece of code holds, found out once: every exec maps the same libraries, and looking one through takes milliseconds.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use super::call_site::{Shape, is_direct_jump};
use super::sites::{Site, find_counter_reads, find_sites};
use gapless_log::chain;

/// Pieces of code that are remembered; a program has some dozens. When there are as many, all are forgotten.
const KNOWN_MAX: usize = 1024;

static KNOWN: Mutex<BTreeMap<u128, Arc<Text>>> = Mutex::new(BTreeMap::new());

/// What a private mapping shows as long as nobody writes to it.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// Hash of the file's content.
    pub content: u128,
    /// Offset in it.
    pub offset: u64,
}

impl Source {
    /// What stands for so many bytes of it.
    fn key(self, len: u64) -> u128 {
        chain(self.content, &[&self.offset.to_le_bytes(), &len.to_le_bytes()])
    }
}

/// An instruction that is to be replaced.
#[derive(Debug)]
pub struct Replaced {
    /// Offset of its first byte in the text.
    pub offset: usize,
    /// Its bytes.
    pub original: Vec<u8>,
}

/// One piece of code. All offsets count from its first byte.
#[derive(Debug)]
pub struct Text {
    /// Instructions that read the machine and do not trap by themselves.
    pub silent: Vec<Replaced>,
    /// Those that read the time stamp counter; `None` if that is in doubt.
    pub counter: Option<Vec<Replaced>>,
    /// Call sites that were asked for, by the offset behind their `syscall`; `None` in the place of one that fits no shape.
    shapes: Mutex<BTreeMap<usize, Option<Shape>>>,
}

impl Text {
    /// The text that `len` bytes of a source are. `code` is asked for them if they are not known; its error is passed on.
    pub fn known<C: Deref<Target = [u8]>, E>(
        source: Source,
        len: u64,
        code: impl FnOnce() -> Result<C, E>,
    ) -> Result<Arc<Text>, E> {
        let key = source.key(len);
        if let Some(text) = KNOWN.lock().expect("nobody panics while holding it").get(&key) {
            return Ok(text.clone());
        }
        let text = Arc::new(Text::of(&code()?));
        let mut known = KNOWN.lock().expect("nobody panics while holding it");
        if known.len() == KNOWN_MAX {
            known.clear();
        }
        // What somebody else has found out meanwhile is kept, with the call sites that are known of it.
        Ok(known.entry(key).or_insert(text).clone())
    }

    /// The text that these bytes are; not remembered.
    pub fn of(code: &[u8]) -> Text {
        Text {
            silent: replaced(code, find_sites(code)),
            counter: find_counter_reads(code).map(|sites| replaced(code, sites)),
            shapes: Mutex::default(),
        }
    }

    /// The shape of the call site whose `syscall` ends at this offset, if it can be patched. `code` is asked for the bytes if that is not known.
    pub fn shape<C: Deref<Target = [u8]>>(&self, behind: usize, code: impl FnOnce() -> Option<C>) -> Option<Shape> {
        let mut shapes = self.shapes.lock().expect("nobody panics while holding it");
        if let Some(shape) = shapes.get(&behind) {
            return *shape;
        }
        let code = code()?;
        let shape = shape(&code, behind);
        shapes.insert(behind, shape);
        shape
    }

    /// The call sites that are known to have a shape, with the offset behind their `syscall`.
    pub fn shapes(&self) -> Vec<(usize, Shape)> {
        let shapes = self.shapes.lock().expect("nobody panics while holding it");
        shapes.iter().filter_map(|(&behind, &shape)| Some((behind, shape?))).collect()
    }
}

/// [`Text::shape`] of code that is not worth being remembered.
pub fn shape(code: &[u8], behind: usize) -> Option<Shape> {
    Shape::recognise(code, behind, || is_jumped_to(code, behind))
}

/// The same sites with the bytes that stand there.
pub fn replaced(code: &[u8], sites: Vec<Site>) -> Vec<Replaced> {
    let bytes = |site: &Site| code[site.offset..site.offset + usize::from(site.trapped.len)].to_vec();
    sites.iter().map(|site| Replaced { offset: site.offset, original: bytes(site) }).collect()
}

/// Does anything here look like a direct jump to this offset? Every byte is taken for the beginning of an instruction, so no real jump is missed.
fn is_jumped_to(code: &[u8], target: usize) -> bool {
    let jumps = |at: usize| is_direct_jump(code, at).contains(&Some(target as i64));
    let (from, to) = (target.saturating_sub(SHORT_JUMP_MAX), code.len().min(target + SHORT_JUMP_MAX));
    (from..to).any(jumps) || displacements_to(code, target).any(|at| at > 0 && jumps(at - 1))
}

/// No jump with an 8-bit displacement begins farther from where it leads.
const SHORT_JUMP_MAX: usize = 2 + 128;

/// Where 32 bits, as a displacement from their end, may lead to this offset: all offsets of the blocks in which that is so.
fn displacements_to(code: &[u8], target: usize) -> impl Iterator<Item = usize> {
    const WORD: usize = size_of::<u32>();
    const BLOCK: usize = 1024 * WORD;
    let blocks = (0..code.len()).step_by(BLOCK).flat_map(|start| (0..WORD).map(move |shift| start + shift));
    let hit = move |&start: &usize| {
        let words = code.get(start..).unwrap_or(&[]).chunks_exact(WORD).take(BLOCK / WORD);
        let first = (target as u32).wrapping_sub((start + WORD) as u32);
        // Written so that the compiler makes vector code of it: this is most of the work.
        words.zip(0u32..).fold(false, |hit, (word, index)| {
            let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            hit | (word == first.wrapping_sub(index * WORD as u32))
        })
    };
    blocks.filter(hit).flat_map(move |start| start..code.len().min(start + BLOCK))
}

/// The code of a file as a process has mapped it, untouched but for what gapless itself has replaced there.
#[derive(Debug, Clone)]
pub struct MappedText {
    /// First address behind it.
    pub end: u64,
    /// What is mapped.
    pub source: Source,
    /// What it holds.
    pub text: Arc<Text>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// As if each byte were looked at: short jumps and far ones, over the borders of the blocks.
        #[test]
        fn no_jump_is_missed(noise in prop::collection::vec(any::<u8>(), 9000), at in 0usize..8990, target in 0usize..9000) {
            let mut code = noise;
            let each = |code: &[u8]| (0..code.len()).any(|at| is_direct_jump(code, at).contains(&Some(target as i64)));
            prop_assert_eq!(is_jumped_to(&code, target), each(&code));
            code[at] = 0xe9;
            code[at + 1..at + 5].copy_from_slice(&(target as i32 - (at as i32 + 5)).to_le_bytes());
            prop_assert!(is_jumped_to(&code, target) && each(&code));
        }
    }
}
