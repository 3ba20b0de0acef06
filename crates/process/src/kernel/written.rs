//! Memory that a program may both write and execute: which of it has which of both rights now.

use gapless_log::Hasher;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const PAGE: u64 = 4096;
/// How often a page may be written again after it was executed, until it gets both rights for good: what writes and executes a page in turns
/// all the time would do little else than fault.
const REWRITES_MAX: u32 = 16;

/// The rights of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Right {
    /// It may be executed, and has been looked through; it was written so many times after that.
    Execute(u32),
    /// It may be written again, for the so-manieth time.
    Write(u32),
    /// Both: what is written there is not looked through any more.
    Both,
}

/// What a fault in such memory asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// To execute this page, once it has been looked through.
    Execute(u64),
    /// To write this page.
    Write(u64),
    /// Both at once.
    Both(u64),
}

/// Private memory of an address space that its program may write and execute. Each page has one of both rights at a time, at first that to write.
///
/// Invariants: `pages` lie in `ranges`; a page that is not in `pages` may be written and was never executed; `closed` are those of them that may be
/// executed.
#[derive(Clone, Debug, Default)]
pub struct Written {
    ranges: BTreeMap<u64, u64>,
    pages: BTreeMap<u64, Right>,
    closed: Arc<BTreeSet<u64>>,
}

impl Written {
    /// The program has got both rights in a range.
    pub fn insert(&mut self, start: u64, end: u64) {
        self.remove(start, end);
        self.ranges.insert(start, end);
    }

    /// It has got other rights there, or it is unmapped.
    pub fn remove(&mut self, start: u64, end: u64) {
        for (s, e) in self.within(start, end) {
            self.ranges.remove(&s);
            if s < start {
                self.ranges.insert(s, start);
            }
            if e > end {
                self.ranges.insert(end, e);
            }
        }
        let pages: Vec<u64> = self.pages.range(start..end).map(|(&page, _)| page).collect();
        for page in pages {
            self.pages.remove(&page);
            Arc::make_mut(&mut self.closed).remove(&page);
        }
    }

    /// The ranges that meet this one, whole.
    pub fn within(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        self.ranges.range(..end).filter(|(_, e)| **e > start).map(|(&s, &e)| (s, e)).collect()
    }

    /// Pages that may be executed and not written, as they are now.
    pub fn closed(&self) -> Arc<BTreeSet<u64>> {
        Arc::clone(&self.closed)
    }

    /// What a thread at `rip` lacks when an access to `addr` is denied; `None` if the program may not do that.
    pub fn lacks(&self, addr: u64, rip: u64) -> Option<Need> {
        let page = addr & !(PAGE - 1);
        let (_, &end) = self.ranges.range(..=page).next_back()?;
        if page >= end {
            return None;
        }
        match self.pages.get(&page) {
            None | Some(Right::Write(_)) => Some(Need::Execute(page)),
            Some(Right::Execute(rewrites)) => {
                // What changes its own page needs both rights for one instruction.
                let itself = (page.saturating_sub(16)..page + PAGE).contains(&rip);
                Some(if itself || *rewrites >= REWRITES_MAX { Need::Both(page) } else { Need::Write(page) })
            }
            Some(Right::Both) => None,
        }
    }

    /// It was granted.
    pub fn granted(&mut self, need: Need) {
        let (page, right) = match need {
            Need::Execute(page) => (page, Right::Execute(self.rewrites(page))),
            Need::Write(page) => (page, Right::Write(self.rewrites(page) + 1)),
            Need::Both(page) => (page, Right::Both),
        };
        self.pages.insert(page, right);
        let closed = Arc::make_mut(&mut self.closed);
        if matches!(right, Right::Execute(_)) {
            closed.insert(page);
        } else {
            closed.remove(&page);
        }
    }

    /// Hashes who may do what where; the bytes are hashed as memory is.
    pub fn digest(&self, h: &mut Hasher) {
        for (&start, &end) in &self.ranges {
            h.number(start);
            h.number(end);
        }
        for (&page, right) in &self.pages {
            h.number(page);
            h.number(match right {
                Right::Execute(rewrites) => u64::from(*rewrites) << 2,
                Right::Write(rewrites) => u64::from(*rewrites) << 2 | 1,
                Right::Both => 2,
            });
        }
    }

    fn rewrites(&self, page: u64) -> u32 {
        match self.pages.get(&page) {
            Some(Right::Execute(rewrites) | Right::Write(rewrites)) => *rewrites,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_one_right_at_a_time_until_it_is_written_too_often() {
        let mut written = Written::default();
        assert_eq!(written.lacks(0x5000, 0x9000), None, "not of this kind");
        written.insert(0x4000, 0x8000);
        assert_eq!(written.lacks(0x3fff, 0), None);
        assert_eq!(written.lacks(0x8000, 0), None);
        for _ in 0..=REWRITES_MAX {
            assert_eq!(written.lacks(0x5123, 0x5123), Some(Need::Execute(0x5000)));
            written.granted(Need::Execute(0x5000));
            assert!(written.closed().iter().eq(&[0x5000]));
            let Some(need) = written.lacks(0x5ff8, 0x9000) else { panic!("it may be written") };
            written.granted(need);
        }
        assert_eq!(written.lacks(0x5123, 0x5123), None, "it has both");
        assert_eq!(written.lacks(0x6000, 0x6000), Some(Need::Execute(0x6000)));
        written.granted(Need::Execute(0x6000));
        assert_eq!(written.lacks(0x6008, 0x6010), Some(Need::Both(0x6000)), "code that changes itself");
    }

    #[test]
    fn what_is_unmapped_is_forgotten_and_what_lies_beside_it_is_not() {
        let mut written = Written::default();
        written.insert(0x4000, 0x8000);
        for page in [0x4000, 0x5000, 0x6000] {
            written.granted(Need::Execute(page));
        }
        written.remove(0x5000, 0x6000);
        assert!(written.closed().iter().eq(&[0x4000, 0x6000]));
        assert_eq!(written.within(0, u64::MAX), [(0x4000, 0x5000), (0x6000, 0x8000)]);
        assert_eq!(written.lacks(0x5000, 0x5000), None);
        written.insert(0x4000, 0x8000);
        assert!(written.closed().is_empty(), "mapped anew");
    }
}
