//! Who waits for which reply, and who waits for so many that nothing more is read from him.
//!
//! Clients are held back here, at the way in, and nowhere else: messages between tasks never wait for room.

use super::Caller;
use crate::id::Session;
use std::collections::{BTreeMap, BTreeSet};

/// Replies for which one client waits; while there are so many, nothing is read from him. What he has sent in one piece is still taken.
pub const CLIENT_REPLIES_MAX: usize = 1024;
/// The same for all clients of a shard.
pub const SHARD_REPLIES_MAX: usize = 64 << 10;

#[derive(Debug, Default)]
pub(super) struct Waiting {
    requests: BTreeMap<(Session, u64), Caller>,
    /// By the shard's number of the request: on which connections it was asked, as which ticket.
    keyed: BTreeMap<u64, BTreeSet<(Caller, u64)>>,
    /// Of each client that waits for any.
    counts: BTreeMap<Caller, usize>,
    total: usize,
}

impl Waiting {
    /// May more be read from this client?
    pub fn has_room(&self, caller: Caller) -> bool {
        self.total < SHARD_REPLIES_MAX && self.counts.get(&caller).is_none_or(|&count| count < CLIENT_REPLIES_MAX)
    }

    pub fn request(&mut self, caller: Caller, session: Session, number: u64) {
        let before = self.requests.insert((session, number), caller);
        self.more(caller);
        before.into_iter().for_each(|before| self.less(before));
    }

    pub fn keyed(&mut self, caller: Caller, ticket: u64, number: u64) {
        if self.keyed.entry(number).or_default().insert((caller, ticket)) {
            self.more(caller);
        }
    }

    /// The reply to a request goes out, to him.
    pub fn replied(&mut self, session: Session, number: u64) -> Option<Caller> {
        let caller = self.requests.remove(&(session, number));
        caller.into_iter().for_each(|caller| self.less(caller));
        caller
    }

    /// The reply to a request with a key goes out, to these.
    pub fn replied_keyed(&mut self, number: u64) -> BTreeSet<(Caller, u64)> {
        let who = self.keyed.remove(&number).unwrap_or_default();
        who.iter().for_each(|&(caller, _)| self.less(caller));
        who
    }

    /// No reply in this session goes out any more.
    pub fn closed(&mut self, session: Session) {
        let of: Vec<u64> = self.requests.range((session, 0)..=(session, u64::MAX)).map(|(&(_, n), _)| n).collect();
        of.into_iter().for_each(|number| {
            let _ = self.replied(session, number);
        });
    }

    /// He is gone.
    pub fn gone(&mut self, caller: Caller) {
        if let Some(count) = self.counts.remove(&caller) {
            self.total -= count;
            self.requests.retain(|_, who| *who != caller);
            self.keyed.values_mut().for_each(|who| who.retain(|(of, _)| *of != caller));
            self.keyed.retain(|_, who| !who.is_empty());
        }
    }

    fn more(&mut self, caller: Caller) {
        *self.counts.entry(caller).or_default() += 1;
        self.total += 1;
    }

    fn less(&mut self, caller: Caller) {
        let count = self.counts.get_mut(&caller).expect("whoever waits is counted");
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&caller);
        }
        self.total -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Caller = Caller(1);
    const TWO: Caller = Caller(2);

    fn empty(waiting: &Waiting) -> bool {
        waiting.total == 0 && waiting.counts.is_empty() && waiting.requests.is_empty() && waiting.keyed.is_empty()
    }

    #[test]
    fn a_client_with_a_full_window_is_not_read_until_a_reply_goes_out() {
        let mut waiting = Waiting::default();
        for number in 0..CLIENT_REPLIES_MAX as u64 {
            assert!(waiting.has_room(ONE));
            waiting.request(ONE, Session(7), number);
        }
        assert!(!waiting.has_room(ONE) && waiting.has_room(TWO));
        waiting.replied(Session(7), 500);
        assert!(waiting.has_room(ONE));
        waiting.closed(Session(7));
        assert!(empty(&waiting));
    }

    #[test]
    fn a_request_that_is_repeated_counts_once_and_for_whoever_repeated_it_last() {
        let mut waiting = Waiting::default();
        waiting.request(ONE, Session(7), 1);
        waiting.request(ONE, Session(7), 1);
        waiting.request(TWO, Session(7), 1);
        assert_eq!((waiting.total, waiting.counts.get(&ONE)), (1, None));
        for _ in 0..2 {
            waiting.keyed(ONE, 3, 9);
        }
        waiting.keyed(TWO, 4, 9);
        assert_eq!(waiting.total, 3);
        assert_eq!(waiting.replied_keyed(9), BTreeSet::from([(ONE, 3), (TWO, 4)]));
        waiting.replied(Session(7), 1);
        waiting.replied(Session(7), 1);
        assert!(empty(&waiting));
    }

    #[test]
    fn who_is_gone_waits_for_nothing() {
        let mut waiting = Waiting::default();
        waiting.request(ONE, Session(7), 1);
        waiting.keyed(ONE, 1, 1);
        waiting.keyed(TWO, 1, 1);
        waiting.gone(ONE);
        waiting.replied(Session(7), 1);
        assert_eq!(waiting.replied_keyed(1), BTreeSet::from([(TWO, 1)]));
        assert!(empty(&waiting));
    }
}
