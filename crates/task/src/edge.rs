//! The edge between a live shard and everything around it: the real one is `world/`, tests and the simulator have one of their own.
//!
//! What comes in is an [`Event`]; whether it becomes an input is the shard's affair. What goes out is committed, except what [`Edge::tell`] says: that
//! was committed before.

use crate::id::{Answer, Session, Shard, Stamp, TaskId};
use crate::input::Payload;
use crate::keys::Key;
use crate::look::{Look, Shown};
use crate::output::Said;
use crate::shard::Place;
use crate::state::State;
use crate::wire::FromShard;
use gapless_log::{Result, Waker};
use std::fmt::Debug;
use std::time::Duration;

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client wants a session.
    Open {
        /// The client's own word for it.
        nonce: u64,
    },
    /// A client asks.
    Request {
        /// On this connection.
        by: Caller,
        /// In this session.
        session: Session,
        /// One more than that of the one before.
        number: u64,
        /// The client has the replies to all below this one.
        below: u64,
        /// Who is to read it.
        to: TaskId,
        /// JSON.
        body: String,
    },
    /// A client asks that a task be deleted.
    Delete {
        /// On this connection.
        by: Caller,
        /// In this session.
        session: Session,
        /// One more than that of the one before.
        number: u64,
        /// The client has the replies to all below this one.
        below: u64,
        /// Which task.
        task: TaskId,
    },
    /// A client asks under a key.
    Keyed {
        /// On this connection.
        by: Caller,
        /// The client's own number for it.
        ticket: u64,
        /// The key.
        key: Key,
        /// JSON.
        body: String,
        /// So long after the reply the key is known.
        kept: Duration,
    },
    /// A client is done.
    Close {
        /// With this one.
        session: Session,
    },
    /// From another shard.
    Payload {
        /// On this connection.
        by: Caller,
        /// Who sends.
        from: Shard,
        /// Its place in what it sends here.
        stamp: Stamp,
        /// What.
        payload: Payload,
    },
    /// A person wants to see something.
    Look {
        /// On this connection.
        by: Caller,
        /// The client's own word for it.
        nonce: u64,
        /// What.
        what: Look,
    },
    /// The outside has answered.
    Done {
        /// Which question.
        number: u64,
        /// The answer.
        answer: Answer,
    },
}

/// The connection on which something came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Caller(pub u64);

/// What a live shard has around it. Opened when it goes live, dropped when it halts.
pub trait Edge: Debug + Sized {
    /// What it is opened with, again whenever the shard goes live.
    type Door: Debug;

    /// The shard goes live here.
    fn open(place: &Place, door: &mut Self::Door) -> Result<Self>;

    /// What the state has on its way, except what waits for commit (`waiting`) and will be said then.
    fn resume(&mut self, state: &State, waiting: &[Said]);

    /// What random numbers follow from, for a shard that begins.
    fn seed(&mut self) -> Result<[u8; 32]>;

    /// Microseconds since 1970.
    fn now(&self) -> u64;

    /// Looks at everything, without waiting.
    fn look(&mut self, state: &State) -> Result<()>;

    /// The next thing that has happened.
    fn next_event(&mut self) -> Option<Event>;

    /// What other shards hold, if it is time to log that.
    fn take_held(&mut self) -> Vec<(Shard, Stamp)>;

    /// When [`Edge::take_held`] has something, at the latest.
    fn held_due(&self) -> Option<Duration>;

    /// An output that is committed.
    fn emit(&mut self, said: Said, state: &State);

    /// To whoever has asked.
    fn tell(&mut self, caller: Caller, what: &FromShard);

    /// A client waits for the reply to this request. Who counts that can stop reading from whom too much is owed.
    fn owes(&mut self, by: Caller, session: Session, number: u64) {
        let _ = (by, session, number);
    }

    /// The same for the request with a key that the shard numbers so, and the client calls `ticket`.
    fn owes_keyed(&mut self, by: Caller, ticket: u64, number: u64) {
        let _ = (by, ticket, number);
    }

    /// This session ends.
    fn owes_no_more(&mut self, session: Session) {
        let _ = session;
    }

    /// This task has ended, and with it all questions that it has put: those that wait to be put are dropped.
    fn asks_no_more(&mut self, task: &TaskId) {
        let _ = task;
    }

    /// A person is to be shown this when [`Said::Looked`] comes; false if nobody is there.
    fn will_show(&mut self, by: Caller, nonce: u64, shown: Shown) -> bool {
        let _ = (by, nonce, shown);
        false
    }

    /// The other shard will connect again and send from where it is held.
    fn refuse(&mut self, caller: Caller);

    /// Is this the first repetition on this connection?
    fn repeats(&mut self, caller: Caller) -> bool;

    /// Sends what was said.
    fn flush(&mut self);

    /// Waits until something happens, or `host` is woken.
    fn wait(&mut self, host: &Waker, at_most: Duration) -> Result<()>;
}

/// All below the answer may go to that shard: everything that was said and does not wait for commit (`waiting`).
pub fn said_end(state: &State, to: Shard, waiting: &[Said]) -> Stamp {
    let first_unsaid = waiting.iter().find_map(|said| match said {
        Said::Send { to: there, stamp, .. } if *there == to => Some(state.bound(stamp.number)),
        _ => None,
    });
    first_unsaid.unwrap_or_else(|| state.outgoing_end(to))
}
