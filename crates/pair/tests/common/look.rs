//! What the world heard, what logs say of it, and waiting for either.

use super::counter::Counter;
use super::node::Proc;
use gapless_log::inspect::{EXIT_CORRUPT, Plain, Range};
use gapless_log::{cat, stat, verify};
use gapless_pair::driver::alone;
use gapless_pair::status;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Waits until something is there; panics after a generous while.
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "still waiting until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A counter's state in words.
const TEXT_LEN: usize = 16;

/// What was released, as the world heard it: number to text. Panics if one number was heard with two texts.
pub fn heard(world: &Path) -> BTreeMap<u64, String> {
    let mut heard = BTreeMap::new();
    for line in std::fs::read_to_string(world).unwrap_or_default().lines() {
        // A write that SIGKILL meets at the end of a page is cut there: that line was not heard, and must come again.
        let Some((number, text)) = line.split_once(' ').filter(|(_, text)| text.len() == TEXT_LEN) else { continue };
        let number: u64 = number.parse().unwrap();
        let before = heard.insert(number, text.to_owned());
        assert!(
            before.as_deref().is_none_or(|b| b == text),
            "output {number} was released as {before:?} and as {text}"
        );
    }
    heard
}

/// How many lines the world has heard so far.
pub fn heard_lines(world: &Path) -> usize {
    std::fs::read(world).map_or(0, |b| b.iter().filter(|&&c| c == b'\n').count())
}

/// S1: everything ever released is what the log of the survivor says, without a gap.
pub fn check_released(world: &Path, survivor: &Path) -> usize {
    let heard = heard(world);
    let (before, last, said) = told(survivor);
    for (i, (&number, text)) in heard.iter().enumerate() {
        assert_eq!(number, i as u64, "an output was never heard");
        if number + 1 < before {
            continue;
        }
        let logged = if number + 1 == before { Some(&last) } else { said.get((number - before) as usize) };
        assert_eq!(logged, Some(text), "output {number} was released, the survivor's log says otherwise");
    }
    heard.len()
}

/// What a log tells: how much was said before it, the last line of that (which all before it went into), and what was said in it.
fn told(dir: &Path) -> (u64, String, Vec<String>) {
    let replica = Counter::new(None, u64::MAX, u64::MAX, Duration::ZERO).saving(Some(0));
    let (said, loaded) = (Arc::clone(&replica.said), Arc::clone(&replica.loaded));
    alone::replay(dir, replica, None, true).unwrap();
    let (before, last) = loaded.lock().unwrap().take().unwrap_or_default();
    let said = std::mem::take(&mut *said.lock().unwrap());
    (before, last, said)
}

/// How much was said before a log, and what was said in it.
pub fn said_in(dir: &Path) -> (u64, Vec<String>) {
    let (before, _, said) = told(dir);
    (before, said)
}

/// Number of the entry that a directory's log begins with; 0 if it begins at the beginning.
pub fn begins_at(dir: &Path) -> u64 {
    gapless_log::Meta::load(dir).unwrap().map_or(0, |meta| meta.base.seq.0)
}

pub fn wait_more(world: &Path, lines: usize) {
    let before = heard_lines(world);
    wait_until("more is released", || (heard_lines(world) > before + lines).then_some(()));
}

pub fn wait_role(node: &Proc, role: &str) -> status::Snapshot {
    wait_until(role, || node.status().filter(|s| s.role == role))
}

/// Nothing is wrong with a directory that nobody uses: every byte of it is right, and it tells where it begins.
pub fn check_dir(dir: &Path) -> u64 {
    let report = verify(dir).unwrap();
    assert_ne!(report.exit_status(), EXIT_CORRUPT, "{report}");
    let (begins, stat) = (begins_at(dir), stat(dir, &Plain).unwrap());
    assert_eq!(stat.first.0, begins);
    assert_eq!(stat.to_string().contains("begins with a snapshot"), begins > 0, "{stat}");
    let first = cat(dir, Range::default(), &Plain).unwrap().next();
    assert!(first.is_none_or(|line| line.unwrap().seq.0 == begins));
    begins
}

/// Waits until the log has come to begin later so many times.
pub fn wait_shortened(dir: &Path, times: usize) {
    let mut begins = begins_at(dir);
    for _ in 0..times {
        begins = wait_until("the log begins later", || Some(begins_at(dir)).filter(|at| *at > begins));
    }
}
