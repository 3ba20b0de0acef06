//! The outbox: every output waits here until the mark that ends its step is committed.
//!
//! Output commit: an output is stamped with the number of the *mark that ends the step which produced it* and may leave only when
//! that mark is committed. Outputs leave in the order said. The same outbox runs on the backup, where marks tell which
//! outputs have left; what is still here at takeover is offered again.

use crate::{Channel, Digest, Mark, Seq, chain};
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

/// Outputs said and not yet released.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Output>,
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

    /// How many outputs have left.
    pub fn released(&self) -> u64 {
        self.said - self.queue.len() as u64
    }

    /// Bytes that wait.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Outputs that wait, oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = &Output> {
        self.queue.iter()
    }

    /// The mark that describes this moment.
    pub fn mark(&self) -> Mark {
        Mark { released: self.released(), said: self.said, hash: self.hash }
    }

    /// The step ended with the mark numbered `seq`: everything said in it waits for that.
    pub fn stamp(&mut self, seq: Seq) {
        for output in self.queue.iter_mut().rev().take_while(|o| o.mark.is_none()) {
            output.mark = Some(seq);
        }
    }

    /// Takes the next output whose mark lies below `committed` (all entries below that number are committed).
    pub fn release(&mut self, committed: Seq) -> Option<Output> {
        let ready = self.queue.front()?.mark.is_some_and(|mark| mark < committed);
        if ready { self.pop() } else { None }
    }

    /// A mark of the log says that the first `released` outputs have left: forget them.
    pub fn forget(&mut self, released: u64) {
        while self.released() < released && self.pop().is_some() {}
    }

    fn pop(&mut self) -> Option<Output> {
        let output = self.queue.pop_front()?;
        self.queued_bytes -= output.bytes.len();
        Some(output)
    }

    /// Raw parts for a snapshot: said, rolling hash, and the waiting outputs.
    pub fn parts(&self) -> (u64, Digest, Vec<Output>) {
        (self.said, self.hash, self.queue.iter().cloned().collect())
    }

    /// Rebuilds an outbox from [`Outbox::parts`].
    pub fn from_parts(said: u64, hash: Digest, waiting: Vec<Output>) -> Self {
        let queued_bytes = waiting.iter().map(|o| o.bytes.len()).sum();
        Self { queue: waiting.into(), queued_bytes, said, hash }
    }
}
