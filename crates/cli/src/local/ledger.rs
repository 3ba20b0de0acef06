//! What one client has been told, and therefore may expect: its counter and its keys.
//!
//! The rule it keeps: an operation whose answer came counts exactly once; the one whose answer did not come (at most one) may count or not; nothing
//! else is allowed. Pure: the client thread asks it what to send and tells it what came.

use super::resp::Reply;

/// Keys of one client beside its counter.
pub const KEYS: u64 = 16;
/// Of so many operations one sets a key, the others increment.
const SET_EVERY: u64 = 4;

/// One operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    Increment,
    /// Sets this key to this version.
    Set(u64, u64),
}

/// What was found to be wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wrong {
    /// Operations that were acknowledged and have no effect.
    pub lost: u64,
    /// Operations that took effect more often than they were sent.
    pub doubled: u64,
}

impl std::ops::AddAssign for Wrong {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
    }
}

/// One client's account.
#[derive(Clone, Debug)]
pub struct Ledger {
    client: u32,
    counter: i64,
    /// Last version of each key.
    keys: [Option<u64>; KEYS as usize],
    operations: u64,
    doubt: Option<Operation>,
}

impl Ledger {
    /// Of a client whose keys do not exist yet.
    pub fn new(client: u32) -> Self {
        Self { client, counter: 0, keys: [None; KEYS as usize], operations: 0, doubt: None }
    }

    /// The next operation. It is in doubt until [`Self::answered`] or [`Self::settle`] says otherwise.
    pub fn next(&mut self) -> Operation {
        assert!(self.doubt.is_none(), "one request in flight");
        self.operations += 1;
        let n = self.operations;
        let next =
            if n.is_multiple_of(SET_EVERY) { Operation::Set(n / SET_EVERY % KEYS, n) } else { Operation::Increment };
        self.doubt = Some(next);
        next
    }

    /// The request of an operation.
    pub fn request(&self, operation: Operation) -> Vec<String> {
        match operation {
            Operation::Increment => vec!["INCR".into(), self.counter_name()],
            Operation::Set(key, version) => vec!["SET".into(), self.key_name(key), self.value(version)],
        }
    }

    /// The answer to the operation in flight; an error if it is none that a server may give.
    pub fn answered(&mut self, reply: &Reply) -> Result<Wrong, String> {
        let operation = self.doubt.take().expect("a request was in flight");
        match (operation, reply) {
            (Operation::Increment, Reply::Integer(got)) => {
                self.counter += 1;
                Ok(self.counter_is(*got))
            }
            (Operation::Set(key, version), Reply::Simple(ok)) if ok == "OK" => {
                self.keys[key as usize] = Some(version);
                Ok(Wrong::default())
            }
            _ => Err(format!("{} was answered {reply:?}", self.request(operation).join(" "))),
        }
    }

    /// Everything this client may ask for: names and, for [`Self::settle`], their numbers.
    pub fn names(&self) -> impl Iterator<Item = (Item, String)> + '_ {
        let keys = (0..KEYS).map(|key| (Item::Key(key), self.key_name(key)));
        std::iter::once((Item::Counter, self.counter_name())).chain(keys)
    }

    /// What has to be asked after a connection broke: the counter, and a key if its operation is in doubt.
    pub fn doubtful(&self) -> Vec<(Item, String)> {
        let doubt = self.doubt;
        let asked = |item: &Item| match item {
            Item::Counter => true,
            Item::Key(key) => matches!(doubt, Some(Operation::Set(doubted, _)) if doubted == *key),
        };
        self.names().filter(|(item, _)| asked(item)).collect()
    }

    /// What GET answered for an item. Call for every item of [`Self::doubtful`], then [`Self::settled`].
    pub fn settle(&mut self, item: Item, reply: &Reply) -> Result<Wrong, String> {
        let Reply::Bulk(found) = reply else { return Err(format!("GET was answered {reply:?}")) };
        match item {
            Item::Counter => {
                let text = found.as_deref().map_or(Ok("0"), std::str::from_utf8);
                let got = text.ok().and_then(|t| t.parse().ok()).ok_or_else(|| format!("a counter is {found:?}"))?;
                if self.doubt == Some(Operation::Increment) && got == self.counter + 1 {
                    self.counter = got;
                }
                Ok(self.counter_is(got))
            }
            Item::Key(key) => Ok(self.key_is(key, found.as_deref())),
        }
    }

    /// Every doubtful item was asked for.
    pub fn settled(&mut self) {
        self.doubt = None;
    }

    /// The counter was found to be `got`; it is believed from now on, so that one fault is counted once.
    fn counter_is(&mut self, got: i64) -> Wrong {
        let expected = std::mem::replace(&mut self.counter, got);
        let off = expected.abs_diff(got);
        if got < expected { Wrong { lost: off, doubled: 0 } } else { Wrong { lost: 0, doubled: off } }
    }

    fn key_is(&mut self, key: u64, found: Option<&[u8]>) -> Wrong {
        let place = key as usize;
        if let Some(Operation::Set(doubted, version)) = self.doubt
            && doubted == key
            && found == Some(self.value(version).as_bytes())
        {
            self.keys[place] = Some(version);
        }
        let expected = self.keys[place].map(|version| self.value(version));
        Wrong { lost: u64::from(expected.as_deref().map(str::as_bytes) != found), doubled: 0 }
    }

    fn counter_name(&self) -> String {
        format!("gapless-client:{}:counter", self.client)
    }

    fn key_name(&self, key: u64) -> String {
        format!("gapless-client:{}:key:{key}", self.client)
    }

    fn value(&self, version: u64) -> String {
        format!("{}-{version}", self.client)
    }
}

/// Something that has a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Item {
    Counter,
    Key(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Reply {
        Reply::Bulk(Some(value.as_bytes().to_vec()))
    }

    /// A ledger of a client that has been told `counter` increments, with the next operation in flight.
    fn after(operations: u64) -> (Ledger, Operation) {
        let mut ledger = Ledger::new(7);
        for _ in 0..operations {
            let reply = match ledger.next() {
                Operation::Increment => Reply::Integer(ledger.counter + 1),
                Operation::Set(..) => Reply::Simple("OK".into()),
            };
            assert_eq!(ledger.answered(&reply), Ok(Wrong::default()));
        }
        let next = ledger.next();
        (ledger, next)
    }

    #[test]
    fn an_answer_must_be_one_more() {
        for (got, lost, doubled) in [(3, 0, 0), (2, 1, 0), (1, 2, 0), (4, 0, 1)] {
            let (mut ledger, next) = after(2);
            assert_eq!(next, Operation::Increment);
            assert_eq!(ledger.answered(&Reply::Integer(got)), Ok(Wrong { lost, doubled }), "{got}");
            assert_eq!(ledger.counter, got);
        }
        assert!(after(2).0.answered(&Reply::Error("ERR".into())).is_err());
        assert!(after(2).0.answered(&text("3")).is_err());
    }

    /// After a break the operation in doubt may have happened or not, and nothing else.
    #[test]
    fn a_broken_increment_is_there_once_or_not_at_all() {
        for (got, lost, doubled) in [("2", 0, 0), ("3", 0, 0), ("1", 1, 0), ("4", 0, 2)] {
            let (mut ledger, _) = after(2);
            assert_eq!(ledger.doubtful().len(), 1);
            assert_eq!(ledger.settle(Item::Counter, &text(got)), Ok(Wrong { lost, doubled }), "{got}");
            ledger.settled();
            assert_eq!(ledger.counter.to_string(), got);
        }
        let (mut ledger, _) = after(2);
        assert_eq!(ledger.settle(Item::Counter, &Reply::Bulk(None)), Ok(Wrong { lost: 2, doubled: 0 }));
        assert!(after(2).0.settle(Item::Counter, &text("x")).is_err());
    }

    /// If what broke was not an increment, the counter has no excuse.
    #[test]
    fn a_broken_set_leaves_the_counter_exact() {
        for (counter, value, lost, doubled) in [
            ("3", None, 0, 0),
            ("3", Some("7-4"), 0, 0),
            ("4", None, 0, 1),
            ("2", None, 1, 0),
            ("3", Some("7-9"), 1, 0),
        ] {
            let (mut ledger, next) = after(3);
            assert_eq!(next, Operation::Set(1, 4));
            let mut wrong = Wrong::default();
            for (item, name) in ledger.doubtful() {
                let reply = match item {
                    Item::Counter => text(counter),
                    Item::Key(_) => value.map_or(Reply::Bulk(None), text),
                };
                assert!(name.starts_with("gapless-client:7:"));
                wrong += ledger.settle(item, &reply).expect("an answer");
            }
            assert_eq!(wrong, Wrong { lost, doubled }, "{counter} {value:?}");
        }
    }

    #[test]
    fn an_acknowledged_value_must_stay() {
        let (mut ledger, _) = after(4);
        assert_eq!(ledger.settle(Item::Key(1), &text("7-4")), Ok(Wrong::default()));
        assert_eq!(ledger.settle(Item::Key(1), &Reply::Bulk(None)), Ok(Wrong { lost: 1, doubled: 0 }));
        assert_eq!(ledger.settle(Item::Key(2), &Reply::Bulk(None)), Ok(Wrong::default()));
        assert_eq!(ledger.settle(Item::Key(2), &text("7-4")), Ok(Wrong { lost: 1, doubled: 0 }));
    }
}
