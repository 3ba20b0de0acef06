//! The interrupt controller: a PLIC with 31 sources and one context, the S-mode of hart 0 (RISC-V Platform-Level Interrupt Controller
//! Specification 1.0.0).
//!
//! Sources are level-triggered: the gateway forwards one request while the line is high and no earlier one is under way; completion opens it again.
//! What it leaves out: M-mode contexts, and the memory-mapped space of sources and contexts that do not exist (an access fault).

use super::{AccessFault, Cx, Device};
use serde::{Deserialize, Serialize};

/// Number of sources; they are 1 to this.
pub const SOURCES: u32 = 31;

const PENDING: u64 = 0x1000;
const ENABLE: u64 = 0x2000;
const THRESHOLD: u64 = 0x20_0000;
const CLAIM: u64 = 0x20_0004;
/// As in SiFive's parts: three bits of priority.
const PRIORITY_MAX: u64 = 7;

/// The controller. A set of sources is a bit mask; bit 0 is never set.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Plic {
    priorities: [u8; SOURCES as usize + 1],
    lines: u32,
    pending: u32,
    claimed: u32,
    enabled: u32,
    threshold: u8,
}

impl Plic {
    /// After reset: everything disabled.
    pub fn new() -> Self {
        Self::default()
    }

    /// The levels of all lines.
    pub fn set_lines(&mut self, lines: u32) {
        self.lines = lines & !1;
        self.pending |= self.lines & !self.claimed;
    }

    /// The most urgent source that is pending and enabled; of equals the lowest.
    fn best(&self) -> Option<u32> {
        let candidates = self.pending & self.enabled;
        let sources = (1..=SOURCES).filter(|source| candidates >> source & 1 != 0 && self.priority(*source) > 0);
        sources.rev().max_by_key(|source| self.priority(*source))
    }

    fn priority(&self, source: u32) -> u8 {
        self.priorities[source as usize]
    }

    /// Takes the best source; the threshold does not matter here (chapter "Interrupt Claim Process").
    fn claim(&mut self) -> u32 {
        let Some(source) = self.best() else { return 0 };
        self.pending &= !(1 << source);
        self.claimed |= 1 << source;
        source
    }

    /// A completion of a source that is not enabled is ignored, as the specification says.
    fn complete(&mut self, source: u64) {
        if source > SOURCES.into() {
            return;
        }
        self.claimed &= !(1 << source & self.enabled);
        self.pending |= self.lines & !self.claimed;
    }
}

impl Device for Plic {
    fn load(&mut self, offset: u64, width: u8, _: &mut Cx<'_>) -> Result<u64, AccessFault> {
        Ok(match (width, offset) {
            (4, 0..=0x7c) => self.priorities[offset as usize / 4].into(),
            (4, PENDING) => self.pending.into(),
            (4, ENABLE) => self.enabled.into(),
            (4, THRESHOLD) => self.threshold.into(),
            (4, CLAIM) => self.claim().into(),
            _ => return Err(AccessFault),
        })
    }

    fn store(&mut self, offset: u64, width: u8, value: u64, _: &mut Cx<'_>) -> Result<(), AccessFault> {
        match (width, offset) {
            (4, 0) => {}
            (4, 4..=0x7c) => self.priorities[offset as usize / 4] = (value & PRIORITY_MAX) as u8,
            (4, PENDING) => {}
            (4, ENABLE) => self.enabled = value as u32 & !1,
            (4, THRESHOLD) => self.threshold = (value & PRIORITY_MAX) as u8,
            (4, CLAIM) => self.complete(value & 0xffff_ffff),
            _ => return Err(AccessFault),
        }
        Ok(())
    }

    fn interrupt(&self) -> bool {
        self.best().is_some_and(|source| self.priority(source) > self.threshold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::testing::Bench;

    struct Chip(Plic, Bench);

    impl Chip {
        /// All sources enabled with priority 1.
        fn new() -> Self {
            let mut chip = Self(Plic::new(), Bench::new());
            (1..=u64::from(SOURCES)).for_each(|source| chip.write(source * 4, 1));
            chip.write(ENABLE, u32::MAX.into());
            chip
        }

        fn read(&mut self, register: u64) -> u64 {
            self.0.load(register, 4, &mut self.1.cx()).unwrap()
        }

        fn write(&mut self, register: u64, value: u64) {
            self.0.store(register, 4, value, &mut self.1.cx()).unwrap();
        }
    }

    #[test]
    fn a_high_line_asks_once_until_it_is_completed() {
        let mut chip = Chip::new();
        chip.0.set_lines(1 << 10);
        assert!(chip.0.interrupt());
        assert_eq!(chip.read(CLAIM), 10);
        chip.0.set_lines(1 << 10);
        assert!(!chip.0.interrupt());
        assert_eq!(chip.read(CLAIM), 0);
        chip.write(CLAIM, 10);
        assert!(chip.0.interrupt(), "the line is still high");
        assert_eq!(chip.read(CLAIM), 10);
        chip.0.set_lines(0);
        chip.write(CLAIM, 10);
        assert!(!chip.0.interrupt());
    }

    #[test]
    fn the_highest_priority_comes_first_and_of_equals_the_lowest_number() {
        let mut chip = Chip::new();
        chip.write(20 * 4, 5);
        chip.0.set_lines(1 << 3 | 1 << 20 | 1 << 7);
        assert_eq!([chip.read(CLAIM), chip.read(CLAIM), chip.read(CLAIM), chip.read(CLAIM)], [20, 3, 7, 0]);
    }

    #[test]
    fn threshold_priority_zero_and_enable_keep_quiet() {
        let mut chip = Chip::new();
        chip.0.set_lines(1 << 3);
        chip.write(THRESHOLD, 1);
        assert!(!chip.0.interrupt());
        chip.write(THRESHOLD, 0);
        assert!(chip.0.interrupt());
        chip.write(3 * 4, 0);
        assert!(!chip.0.interrupt());
        chip.write(3 * 4, 1);
        chip.write(ENABLE, 0);
        assert!(!chip.0.interrupt());
        assert_eq!(chip.read(PENDING), 1 << 3);
    }

    #[test]
    fn nonsense_is_ignored_or_faults() {
        let mut chip = Chip::new();
        chip.write(CLAIM, 0);
        chip.write(CLAIM, u64::MAX);
        chip.write(0, 7);
        assert_eq!(chip.read(0), 0);
        assert_eq!(chip.0.load(ENABLE + 0x80, 4, &mut chip.1.cx()), Err(AccessFault));
        assert_eq!(chip.0.load(CLAIM, 8, &mut chip.1.cx()), Err(AccessFault));
    }
}
