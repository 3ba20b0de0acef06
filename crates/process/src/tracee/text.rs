//! What a piece of code holds, found out once: every exec maps the same libraries, and looking one through takes milliseconds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use super::call_site::{Shape, is_direct_jump};
use super::sites::{Site, find_counter_reads, find_sites};

/// Pieces of code that are remembered; a program has some dozens. When there are as many, all are forgotten.
const KNOWN_MAX: usize = 1024;

static KNOWN: Mutex<BTreeMap<u128, Arc<Text>>> = Mutex::new(BTreeMap::new());

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
    targets: OnceLock<Targets>,
}

impl Text {
    /// The text that `key` stands for, which must say what its bytes are. `code` is asked for them if they are not known.
    pub fn known(key: u128, code: impl FnOnce() -> Vec<u8>) -> Arc<Text> {
        if let Some(text) = KNOWN.lock().expect("nobody panics while holding it").get(&key) {
            return text.clone();
        }
        let text = Arc::new(Text::of(&code()));
        let mut known = KNOWN.lock().expect("nobody panics while holding it");
        if known.len() == KNOWN_MAX {
            known.clear();
        }
        // What somebody else has found out meanwhile is kept, with the call sites that are known of it.
        known.entry(key).or_insert(text).clone()
    }

    /// The text that these bytes are; not remembered.
    pub fn of(code: &[u8]) -> Text {
        Text {
            silent: replaced(code, find_sites(code)),
            counter: find_counter_reads(code).map(|sites| replaced(code, sites)),
            shapes: Mutex::default(),
            targets: OnceLock::new(),
        }
    }

    /// The shape of the call site whose `syscall` ends at this offset, if it can be patched. `code` is asked for the bytes if that is not known.
    pub fn shape(&self, behind: usize, code: impl FnOnce() -> Option<Vec<u8>>) -> Option<Shape> {
        let mut shapes = self.shapes.lock().expect("nobody panics while holding it");
        if let Some(shape) = shapes.get(&behind) {
            return *shape;
        }
        let code = code()?;
        let shape = shape_among(&code, behind, &self.targets);
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
    shape_among(code, behind, &OnceLock::new())
}

fn shape_among(code: &[u8], behind: usize, targets: &OnceLock<Targets>) -> Option<Shape> {
    Shape::recognise(code, behind, || targets.get_or_init(|| Targets::of(code)).contains(behind))
}

/// The same sites with the bytes that stand there.
pub fn replaced(code: &[u8], sites: Vec<Site>) -> Vec<Replaced> {
    let bytes = |site: &Site| code[site.offset..site.offset + usize::from(site.trapped.len)].to_vec();
    sites.iter().map(|site| Replaced { offset: site.offset, original: bytes(site) }).collect()
}

/// Where something looks like a direct jump to: one bit for each byte. Every byte is taken for the beginning of an instruction, so no real jump is missed.
#[derive(Debug)]
struct Targets(Vec<u64>);

impl Targets {
    fn of(code: &[u8]) -> Targets {
        let mut bits = vec![0u64; code.len().div_ceil(64)];
        for at in 0..code.len() {
            for to in is_direct_jump(code, at).into_iter().flatten() {
                if let Ok(to) = usize::try_from(to)
                    && to < code.len()
                {
                    bits[to / 64] |= 1 << (to % 64);
                }
            }
        }
        Targets(bits)
    }

    fn contains(&self, offset: usize) -> bool {
        self.0.get(offset / 64).is_some_and(|word| word >> (offset % 64) & 1 == 1)
    }
}

/// The code of a file as a process has mapped it, untouched but for what gapless itself has replaced there.
#[derive(Debug, Clone)]
pub struct MappedText {
    /// First address behind it.
    pub end: u64,
    /// What it holds.
    pub text: Arc<Text>,
}
