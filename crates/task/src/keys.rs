//! Requests that carry a key: one that comes again with the same key is not executed again, and gets the first reply.
//!
//! A key belongs to one message of one task. It is known from the request on, for as long after the reply as the request asked for; a request that comes
//! after that is a new one. The table is bounded, and a full one takes no new keys: to forget one early would be to execute a request twice.

use crate::id::{Answer, TaskId};
use gapless_log::{Digest, hash};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Longest key, and longest name of a message, in bytes.
pub const KEY_BYTES_MAX: usize = 256;
/// A key is known so long after the reply, unless the service says otherwise.
pub const KEY_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Nor longer than this.
pub const KEY_KEPT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Keys and their replies take so many bytes of a shard; after that new keys wait until old ones are forgotten.
pub const KEYS_BYTES_MAX: usize = 256 << 20;
/// What a key costs beside its bytes and those of the reply, about.
const KEY_COST: usize = 256;
/// Keys are forgotten in groups, so that each does not cost an entry of the log.
const FORGOTTEN_EVERY_MICROS: u64 = 1_000_000;

/// What a key is for, and the key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Key {
    /// The task that is asked.
    pub to: TaskId,
    /// The client's name of the message.
    pub message: String,
    /// The client's own word for this one request.
    pub key: String,
}

impl Key {
    /// Nothing in it is empty or too long.
    pub fn is_sound(&self) -> bool {
        let fits = |part: &String| (1..=KEY_BYTES_MAX).contains(&part.len());
        self.to.is_sound() && fits(&self.message) && fits(&self.key)
    }

    fn bytes(&self) -> usize {
        KEY_COST + self.to.kind.len() + self.to.name.len() + self.message.len() + self.key.len()
    }
}

/// What is known of a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Keyed {
    /// Hash of what was asked.
    asked: Digest,
    /// So many microseconds after the reply it is forgotten.
    kept: u64,
    /// The reply and when it is forgotten; `None`: owed.
    reply: Option<(Answer, u64)>,
}

/// What a key says about the request that carries it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyVerdict {
    /// It is new: the request becomes an input.
    Take,
    /// It was asked, is the request of this number, and this was the reply, if it is known already.
    Repeated(u64, Option<Answer>),
    /// Something else was asked with this key.
    OtherBody,
    /// No new key is taken for about so many seconds.
    Full(u32),
    /// Never.
    Refuse(String),
}

/// The keys that a shard knows.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    entries: BTreeMap<u64, (Arc<Key>, Keyed)>,
    next: u64,
    // What follows from these:
    numbers: BTreeMap<Arc<Key>, u64>,
    expiry: BTreeSet<(u64, u64)>,
    bytes: usize,
    sum: Digest,
}

/// As it is saved: the next number, and all entries.
pub(crate) type Saved = (u64, Vec<(u64, Key, Keyed)>);

impl Keys {
    /// What is to be done with a request of this body.
    pub fn verdict(&self, key: &Key, body: &str, now: u64) -> KeyVerdict {
        match self.numbers.get(key).map(|number| (*number, &self.entries[number].1)) {
            Some((_, keyed)) if keyed.asked != hash(body.as_bytes()) => KeyVerdict::OtherBody,
            Some((number, keyed)) => {
                KeyVerdict::Repeated(number, keyed.reply.as_ref().map(|(answer, _)| answer.clone()))
            }
            None if !key.is_sound() => {
                KeyVerdict::Refuse(format!("kind, name, message and key have 1 to {KEY_BYTES_MAX} bytes each"))
            }
            None if self.bytes + key.bytes() > KEYS_BYTES_MAX => {
                let first = self.expiry.first().map_or(FORGOTTEN_EVERY_MICROS, |&(at, _)| at.saturating_sub(now));
                KeyVerdict::Full(u32::try_from(first / 1_000_000).unwrap_or(u32::MAX).clamp(1, 3600))
            }
            None => KeyVerdict::Take,
        }
    }

    /// The number that the next new key gets.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Entries were lost: numbers from here on are of no key that may have been among them.
    pub fn lost(&mut self, first: u64) {
        self.next = self.next.max(first);
    }

    /// A new key, whose reply is owed. Its number.
    pub fn insert(&mut self, key: Key, body: &str, kept: Duration) -> u64 {
        let number = self.next;
        self.next += 1;
        let kept = kept.min(KEY_KEPT_MAX).as_micros() as u64;
        self.put(number, key, Keyed { asked: hash(body.as_bytes()), kept, reply: None });
        number
    }

    /// The reply to a request; false if it was given before or the request is not known.
    pub fn answer(&mut self, number: u64, answer: &Answer, now: u64) -> bool {
        let Some((key, keyed)) = self.entries.get(&number).filter(|(_, keyed)| keyed.reply.is_none()).cloned() else {
            return false;
        };
        self.remove(number);
        let at = (now.saturating_add(keyed.kept) / FORGOTTEN_EVERY_MICROS)
            .saturating_add(1)
            .saturating_mul(FORGOTTEN_EVERY_MICROS);
        self.put(number, Arc::unwrap_or_clone(key), Keyed { reply: Some((answer.clone(), at)), ..keyed });
        true
    }

    /// When the next key is forgotten.
    pub fn due(&self) -> Option<u64> {
        self.expiry.first().map(|&(at, _)| at)
    }

    /// Forgets what is due.
    pub fn forget(&mut self, now: u64) {
        while let Some(&(_, number)) = self.expiry.first().filter(|&&(at, _)| at <= now) {
            self.remove(number);
        }
    }

    fn put(&mut self, number: u64, key: Key, keyed: Keyed) {
        let key = Arc::new(key);
        self.sum = self.sum.wrapping_add(entry_hash(number, &key, &keyed));
        self.bytes += key.bytes() + keyed.reply_bytes();
        if let Some((_, at)) = &keyed.reply {
            self.expiry.insert((*at, number));
        }
        self.numbers.insert(key.clone(), number);
        self.entries.insert(number, (key, keyed));
    }

    fn remove(&mut self, number: u64) {
        let (key, keyed) = self.entries.remove(&number).expect("only what is there is removed");
        self.sum = self.sum.wrapping_sub(entry_hash(number, &key, &keyed));
        self.bytes -= key.bytes() + keyed.reply_bytes();
        if let Some((_, at)) = &keyed.reply {
            self.expiry.remove(&(*at, number));
        }
        self.numbers.remove(&key);
    }

    /// Hash of everything, kept up to date with every change.
    pub fn digest(&self) -> Digest {
        let next = u128::from(self.next);
        self.sum.wrapping_add(hash(&next.to_le_bytes()))
    }

    /// Encodes as [`Saved`] does.
    pub fn saved(&self) -> (u64, Vec<(u64, &Key, &Keyed)>) {
        (self.next, self.entries.iter().map(|(&number, (key, keyed))| (number, &**key, keyed)).collect())
    }

    pub fn load((next, saved): Saved) -> Result<Self, String> {
        let mut keys = Self { next, ..Self::default() };
        for (number, key, keyed) in saved {
            if number >= next || keys.entries.contains_key(&number) || keys.numbers.contains_key(&key) {
                return Err(format!("request {number} with a key is there twice"));
            }
            keys.put(number, key, keyed);
        }
        Ok(keys)
    }
}

impl Keyed {
    fn reply_bytes(&self) -> usize {
        self.reply.as_ref().map_or(0, |(Ok(words) | Err(words), _)| words.len())
    }
}

fn entry_hash(number: u64, key: &Key, keyed: &Keyed) -> Digest {
    hash(&postcard::to_stdvec(&(number, key, keyed)).expect("plain data encodes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Key {
        Key { to: TaskId::new("counter", "one"), message: "add".into(), key: format!("key-{n}") }
    }

    #[test]
    fn a_key_is_known_until_so_long_after_the_reply() {
        let mut keys = Keys::default();
        assert_eq!(keys.verdict(&key(1), "7", 0), KeyVerdict::Take);
        let number = keys.insert(key(1), "7", Duration::from_secs(5));
        assert_eq!(keys.verdict(&key(1), "7", 0), KeyVerdict::Repeated(number, None));
        assert_eq!(keys.verdict(&key(1), "8", 0), KeyVerdict::OtherBody);
        assert_eq!(keys.due(), None, "what is owed is kept, however long");
        keys.forget(u64::MAX);
        assert!(keys.answer(number, &Ok("1".into()), 10_000_000));
        assert!(!keys.answer(number, &Ok("2".into()), 10_000_000), "the first reply counts");
        assert_eq!(keys.verdict(&key(1), "7", 0), KeyVerdict::Repeated(number, Some(Ok("1".into()))));
        assert_eq!(keys.due(), Some(16_000_000), "in whole seconds");
        keys.forget(15_999_999);
        assert_eq!(keys.verdict(&key(1), "8", 0), KeyVerdict::OtherBody);
        keys.forget(16_000_000);
        assert_eq!(keys.verdict(&key(1), "8", 0), KeyVerdict::Take);
        assert_eq!((keys.bytes, keys.sum, keys.due()), (0, 0, None), "nothing is left behind");
    }

    #[test]
    fn a_full_table_takes_no_new_key_and_says_until_when() {
        let mut keys = Keys::default();
        let reply = Ok("x".repeat(KEYS_BYTES_MAX / 8));
        for n in 0..8 {
            let number = keys.insert(key(n), "", Duration::from_secs(60));
            assert!(keys.answer(number, &reply, 0));
        }
        assert_eq!(keys.verdict(&key(8), "", 20_000_000), KeyVerdict::Full(41));
        assert!(matches!(keys.verdict(&key(7), "", 0), KeyVerdict::Repeated(7, Some(_))));
        keys.forget(61_000_000);
        assert_eq!(keys.verdict(&key(8), "", 61_000_000), KeyVerdict::Take);
    }

    #[test]
    fn names_without_bytes_or_with_too_many_are_refused() {
        let keys = Keys::default();
        let long = "x".repeat(KEY_BYTES_MAX + 1);
        for odd in
            [Key { key: String::new(), ..key(1) }, Key { message: long.clone(), ..key(1) }, Key { key: long, ..key(1) }]
        {
            assert!(matches!(keys.verdict(&odd, "", 0), KeyVerdict::Refuse(_)));
        }
    }

    #[test]
    fn what_is_saved_is_loaded_and_has_the_same_digest() {
        let mut keys = Keys::default();
        for n in 0..20 {
            let number = keys.insert(key(n), "body", KEY_KEPT);
            if n % 3 == 0 {
                keys.answer(number, &Err("no".into()), n as u64);
            }
        }
        let bytes = postcard::to_stdvec(&keys.saved()).unwrap();
        let saved = || postcard::from_bytes::<Saved>(&bytes).unwrap();
        let loaded = Keys::load(saved()).unwrap();
        assert_eq!((loaded.digest(), loaded.bytes, loaded.due()), (keys.digest(), keys.bytes, keys.due()));
        let (next, mut saved) = saved();
        saved.push(saved[0].clone());
        assert!(Keys::load((next, saved)).is_err());
    }
}
