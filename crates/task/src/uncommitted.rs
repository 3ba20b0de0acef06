//! The requests whose replies a live shard has said, and which are not committed: who asks again waits for that, as whoever asked first does.
//!
//! It follows the outbox, so that nobody has to decode all that waits there for every request that is repeated. A shard that goes live finds in the
//! outbox what the life before has left; a backup has none of it.

use crate::id::Session;
use crate::output::Said;
use std::collections::BTreeSet;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Uncommitted {
    replies: BTreeSet<(Session, u64)>,
    /// Of what the state has said in this step, so many things were looked at.
    seen: usize,
}

impl Uncommitted {
    /// Of a shard that goes live where this waits.
    pub fn of(waiting: &[Said]) -> Self {
        Self { replies: waiting.iter().filter_map(Said::reply_to).collect(), seen: 0 }
    }

    /// What was said in this step so far.
    fn learn(&mut self, unsaid: &[Said]) {
        self.replies.extend(unsaid[self.seen..].iter().filter_map(Said::reply_to));
        self.seen = unsaid.len();
    }

    /// Was its reply said, perhaps in this very step, and is not committed?
    pub fn holds(&mut self, request: (Session, u64), unsaid: &[Said]) -> bool {
        self.learn(unsaid);
        self.replies.contains(&request)
    }

    /// All of what was said in this step goes to the outbox.
    pub fn spoken(&mut self, unsaid: &[Said]) {
        self.learn(unsaid);
        self.seen = 0;
    }

    pub fn committed(&mut self, said: &Said) {
        if let Some(request) = said.reply_to() {
            self.replies.remove(&request);
        }
    }
}
