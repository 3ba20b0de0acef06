//! The rules that every schedule is held against, on every step.
//!
//! S1: everything ever released, by whomever and however late, is a prefix of the log of every later live owner. Logs are compared by the chain
//! hash at frame ends, so "is a prefix" is "has this point". Outputs are compared by content too: a number once released never has
//! other contents in the same generation, and none is left out.

use gapless_log::{Digest, Outbox, Output, Seq, hash};
use gapless_pair::{Life, Point};
use std::collections::BTreeMap;

/// Who goes live with what.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// The life.
    pub life: Life,
    /// Its term.
    pub term: u64,
    /// Generation of its outputs.
    pub generation: u32,
}

/// What was released, and the log of the latest live owner.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    /// The latest owner by term.
    owner: Option<Live>,
    /// Its log: ends of frames.
    log: Vec<Point>,
    /// Everything released lies before this point.
    released_to: Point,
    /// Contents of every output released, by number; `None` for those that belong to a generation given up.
    released: Vec<Option<Digest>>,
    /// Contents of outputs of every generation.
    contents: BTreeMap<(u32, u64), Digest>,
    /// Digest of the replica at marks, by the chain of their frame.
    digests: BTreeMap<(Digest, Seq), Digest>,
}

impl Checker {
    /// The latest live owner.
    pub fn owner(&self) -> Option<Live> {
        self.owner
    }

    /// How many outputs the world has.
    pub fn released(&self) -> usize {
        self.released.len()
    }

    fn has(&self, point: Point) -> bool {
        point == Point::ZERO || self.log.binary_search_by_key(&point.seq, |p| p.seq).is_ok_and(|i| self.log[i] == point)
    }

    /// A life goes live: its log must hold everything that was ever released.
    pub fn goes_live(&mut self, live: Live, start: Point, ends: &[Point], outbox: &Outbox) -> Result<(), String> {
        if let Some(owner) = self.owner
            && owner.term >= live.term
        {
            return Err(format!(
                "{} goes live in term {}, but {} was live in term {}",
                live.life, live.term, owner.life, owner.term
            ));
        }
        let mut log: Vec<Point> = Vec::new();
        if start != Point::ZERO {
            log.extend(self.log.iter().take_while(|p| p.seq <= start.seq));
            if log.last() != Some(&start) {
                return Err(format!("{} goes live on a state at {start:?} that no owner's log has", live.life));
            }
        }
        log.extend(ends);
        let lossy = self.owner.is_some_and(|o| o.generation < live.generation);
        self.log = log;
        self.owner = Some(live);
        if lossy {
            // A human accepted it: the history begins anew with what is left, under numbers of another generation.
            self.released_to = Point::ZERO;
            self.released = vec![None; outbox.released() as usize];
            return Ok(());
        }
        if !self.has(self.released_to) {
            return Err(format!(
                "LOST: {} goes live in term {} without released entries up to {:?}",
                live.life, live.term, self.released_to
            ));
        }
        let said = outbox.said();
        if said < self.released.len() as u64 {
            return Err(format!(
                "LOST: {} goes live having said {said} outputs; {} were released",
                live.life,
                self.released.len()
            ));
        }
        Ok(())
    }

    /// A life may release what lies before `at`. A deposed one obtains nothing new: what it may still let go, late, the log of the latest owner holds.
    /// That is more than what really leaves: no output need lie there, and the next moment may end the life.
    pub fn may_release(&self, from: Live, at: Point) -> Result<(), String> {
        match self.owner {
            Some(owner) if owner.term > from.term && owner.generation == from.generation && !self.has(at) => {
                Err(format!(
                    "DEPOSED: {} (term {}) may release up to {at:?}, which the log of {} (term {}) does not have",
                    from.life, from.term, owner.life, owner.term
                ))
            }
            _ => Ok(()),
        }
    }

    /// The latest owner sealed a frame.
    pub fn sealed(&mut self, life: Life, end: Point) {
        if self.owner.is_some_and(|o| o.life == life) {
            self.log.push(end);
        }
    }

    /// An output leaves, from whichever life, whose mark lies in the frame that ends at `end`.
    pub fn leaves(&mut self, from: Live, output: &Output, end: Point) -> Result<(), String> {
        let what = hash(&[&output.channel.0.to_le_bytes()[..], &output.bytes].concat());
        let earlier = *self.contents.entry((from.generation, output.number)).or_insert(what);
        if earlier != what {
            return Err(format!(
                "CONTRADICTED: {} releases output {} with other contents than before",
                from.life, output.number
            ));
        }
        let Some(owner) = self.owner else { return Err("an output without any live owner".into()) };
        if owner.generation > from.generation {
            // The history that this belongs to was given up by a human.
            return Ok(());
        }
        if !self.has(end) {
            return Err(format!(
                "NOT IN LOG: {} (term {}) releases output {} at {end:?}, which the log of {} (term {}) does not have",
                from.life, from.term, output.number, owner.life, owner.term
            ));
        }
        let number = output.number as usize;
        match self.released.get(number) {
            Some(Some(known)) if *known != what => {
                return Err(format!("NUMBERED ANEW: {} releases output {number} with other contents", from.life));
            }
            Some(_) => {}
            None if number == self.released.len() => self.released.push(Some(what)),
            None => {
                return Err(format!(
                    "SKIPPED: {} releases output {number}; only {} were released",
                    from.life,
                    self.released.len()
                ));
            }
        }
        if end.seq > self.released_to.seq {
            self.released_to = end;
        }
        Ok(())
    }

    /// The live replica's digest at a mark.
    pub fn recorded(&mut self, frame: Digest, mark: Seq, digest: Digest) {
        self.digests.insert((frame, mark), digest);
    }

    /// A backup stands at the same mark.
    pub fn replayed(&self, life: Life, frame: Digest, mark: Seq, digest: Digest) -> Result<(), String> {
        match self.digests.get(&(frame, mark)) {
            Some(&expected) if expected != digest => Err(format!("DIGEST: {life} differs at the mark {mark}")),
            _ => Ok(()),
        }
    }
}
