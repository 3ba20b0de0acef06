//! What a level must offer to be recorded, replayed, protected and simulated.

use crate::{Digest, Level, Output, Parts, Player, Position, Recorder, Result, Term, Unfinished, Waker};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// What HELLO compares before a backup is accepted: two replicas with unequal identities could not run the same log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// Name of the level.
    pub level: String,
    /// Build of the level's code; both sides must execute the same one.
    pub code: String,
    /// What the hardware must offer on both sides, one word each, sorted.
    pub features: Vec<String>,
}

impl Identity {
    /// `None` if the two can run one log; else the reason why not, for a person.
    pub fn differs(&self, other: &Identity) -> Option<String> {
        if self.level != other.level {
            return Some(format!("level is {} here and {} there", self.level, other.level));
        }
        if self.code != other.code {
            return Some(format!(
                "code is {} here and {} there; install the same build on both",
                self.code, other.code
            ));
        }
        let lacks = |a: &Identity, b: &Identity| -> Vec<String> {
            a.features.iter().filter(|f| !b.features.contains(f)).cloned().collect()
        };
        let (there, here) = (lacks(self, other), lacks(other, self));
        if there.is_empty() && here.is_empty() {
            return None;
        }
        Some(format!("hardware features differ: only here [{}], only there [{}]", there.join(" "), here.join(" ")))
    }
}

/// How a step ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// There is more to do at once.
    Ran,
    /// Nothing to do until the world says something, or at most this long.
    Idle(Duration),
    /// The replica has ended with this exit status (its last output says so too).
    Ended(i32),
}

/// Counts of a level for a person who watches it: asked for by any thread, at any time. They shape nothing.
#[derive(Clone, Default)]
pub struct Figures(Option<Arc<Asked>>);

type Asked = dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync;

impl Figures {
    /// Those that `now` answers.
    pub fn new(now: impl Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(now)))
    }

    /// Names, and what they count to now.
    pub fn now(&self) -> Vec<(&'static str, u64)> {
        self.0.as_ref().map_or_else(Vec::new, |now| now())
    }
}

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.now()).finish()
    }
}

/// A deterministic thing. Lives on one thread (ptrace needs that).
///
/// *Position* is a pure function of what the replica has executed. Everything else it needs to know comes from the log: while live it puts
/// each input into the [`Recorder`] in the step that sees it; as backup it takes the same inputs from the [`Player`].
pub trait Replica {
    /// What both sides must have in common.
    fn identity(&self) -> Identity;

    /// Which level this is, for frame headers.
    fn level(&self) -> Level;

    /// The replica's own clock.
    fn position(&self) -> Position;

    /// Live: runs one bounded step. It ends as soon as it has something to say, when there is nothing to do, or after a bounded time.
    fn record(&mut self, log: &mut Recorder<'_>) -> Result<Progress>;

    /// Backup: runs exactly one recorded step: up to the next mark, where [`Player::limit`] says that it lies, never further.
    fn replay(&mut self, log: &mut Player<'_>) -> Result<Progress>;

    /// Performs an output that is committed. Errors of the real world come back as logged inputs, not here.
    fn emit(&mut self, output: Output) -> Result<()>;

    /// Of which channels the world has not yet taken all that was emitted, and from which output on. The next mark says so, and a survivor offers
    /// them again.
    fn unfinished(&self) -> Unfinished {
        Unfinished::new()
    }

    /// Idle without spinning, until the world has an input, `waker` is woken, or the time is over.
    fn wait(&mut self, waker: &Waker, at_most: Duration) -> Result<()>;

    /// Does everything of a takeover that can fail (bind, open), before the arbiter is asked. May be called more than once.
    fn prepare(&mut self) -> Result<()> {
        Ok(())
    }

    /// The takeover does not take place: what was prepared is given back.
    fn unprepare(&mut self) {}

    /// How often entries of this history were lost, which a person has accepted each time; said before [`Replica::go_live`]. Whoever numbers what it says
    /// must not use numbers of a lower generation again.
    fn losses(&mut self, _generation: u32) {}

    /// From here on the world is real. `log` takes what changes by that (clock offset, broken connections).
    fn go_live(&mut self, term: Term, log: &mut Recorder<'_>) -> Result<()>;

    /// Hash of everything that shapes the future.
    fn digest(&mut self) -> Result<Digest>;

    /// The same in parts that have names, for the message of whoever differs; [`combine`](crate::combine)d they are the digest.
    fn digest_parts(&mut self) -> Result<Parts> {
        Ok(vec![("the state".to_owned(), self.digest()?)])
    }

    /// What the step that has just been replayed has read, and these outputs of it, in words: for a person who must find out why two sides differ.
    fn account(&self, said: &[&Output]) -> Option<String> {
        let _ = said;
        None
    }

    /// Can this level save and load itself at all? If not, its whole log is streamed to a new backup. The answer never changes.
    fn saves(&self) -> bool {
        false
    }

    /// Writes the state at this moment; `false` if it cannot be saved now.
    fn save(&mut self, to: &mut dyn Write) -> Result<bool>;

    /// Takes the state that [`Replica::save`] wrote.
    fn load(&mut self, from: &mut dyn Read) -> Result<()>;

    /// What a person may want to know of it while it runs.
    fn figures(&self) -> Figures {
        Figures::default()
    }

    /// Ends everything that runs on behalf of this replica, at once. Called when this side is halted or deposed.
    fn halt(&mut self);
}
