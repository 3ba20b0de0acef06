//! The outbox: every output waits here until the mark that ends its step is committed.
//!
//! Output commit: an output is stamped with the number of the *mark that ends the step which produced it* and may leave only when
//! that mark is committed. Outputs leave in the order said. The same outbox runs on the backup, where marks tell which
//! outputs have left; what is still here at takeover is offered again.

use crate::{Channel, Digest, Mark, Seq, Unfinished, chain};
use std::collections::VecDeque;

/// Something the replica wants to tell the world.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// Counts outputs from 0 over the replica's whole life.
    pub number: u64,
    /// Where it goes.
    pub channel: Channel,
    /// The level's own encoding.
    pub bytes: Vec<u8>,
    /// The mark that must be committed first; `None` while its step has not ended.
    pub mark: Option<Seq>,
}

/// Outputs said and not yet released, and those that a dead side's world had not taken.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Output>,
    /// Released by the side whose log this is, and unfinished there ([`Mark::unfinished`]); all come before the queue.
    unfinished: VecDeque<Output>,
    /// Of both.
    queued_bytes: usize,
    said: u64,
    hash: Digest,
}

impl Outbox {
    /// Says something; returns its number.
    pub fn say(&mut self, channel: Channel, bytes: Vec<u8>) -> u64 {
        let number = self.said;
        self.hash = chain(self.hash, &[&channel.0.to_le_bytes(), &bytes]);
        self.said += 1;
        self.queued_bytes += bytes.len();
        self.queue.push_back(Output { number, channel, bytes, mark: None });
        number
    }

    /// How many outputs were ever said.
    pub fn said(&self) -> u64 {
        self.said
    }

    /// How many outputs have left, but for those that are unfinished.
    pub fn released(&self) -> u64 {
        self.said - self.queue.len() as u64
    }

    /// Bytes that wait.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Outputs that wait, oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = &Output> {
        self.unfinished.iter().chain(&self.queue)
    }

    /// The mark that describes this moment, if the world has taken all that this side has released.
    pub fn mark(&self) -> Mark {
        let mut unfinished = Unfinished::new();
        for output in &self.unfinished {
            unfinished.entry(output.channel).or_insert(output.number);
        }
        Mark { released: self.released(), said: self.said, hash: self.hash, unfinished }
    }

    /// The step ended with the mark numbered `seq`: everything said in it waits for that.
    pub fn stamp(&mut self, seq: Seq) {
        for output in self.queue.iter_mut().rev().take_while(|o| o.mark.is_none()) {
            output.mark = Some(seq);
        }
    }

    /// Takes the next output whose mark lies below `committed` (all entries below that number are committed).
    pub fn release(&mut self, committed: Seq) -> Option<Output> {
        let waits = if self.unfinished.is_empty() { &mut self.queue } else { &mut self.unfinished };
        let output = waits.pop_front_if(|output| output.mark.is_some_and(|mark| mark < committed))?;
        self.queued_bytes -= output.bytes.len();
        Some(output)
    }

    /// A mark of the log says which outputs have left: forget them.
    pub fn forget(&mut self, mark: &Mark) {
        let kept = |output: &Output| mark.unfinished.get(&output.channel).is_some_and(|&from| output.number >= from);
        let released = mark.released.saturating_sub(self.released()).min(self.queue.len() as u64) as usize;
        self.unfinished.extend(self.queue.drain(..released));
        let mut gone = 0;
        self.unfinished.retain(|output| {
            gone += if kept(output) { 0 } else { output.bytes.len() };
            kept(output)
        });
        self.queued_bytes -= gone;
    }

    /// Rolling hash over everything said.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// An outbox of which all this is known; `None` if these outputs cannot wait in one.
    pub fn from_parts(said: u64, released: u64, hash: Digest, waiting: Vec<Output>) -> Option<Self> {
        let ascend = waiting.is_sorted_by(|a, b| a.number < b.number);
        let queued_bytes = waiting.iter().map(|o| o.bytes.len()).sum();
        let mut unfinished = VecDeque::from(waiting);
        let queue = unfinished.split_off(unfinished.partition_point(|o| o.number < released));
        let whole = ascend && released.checked_add(queue.len() as u64) == Some(said);
        let fits = whole && queue.back().is_none_or(|last| last.number + 1 == said);
        fits.then_some(Self { queue, unfinished, queued_bytes, said, hash })
    }
}
