//! The map: keys to values, both any bytes.
//!
//! Every operation is one step under one lock, so clients see them in one order.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::resp::integer;

/// Why a counter was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAdded {
    /// The value is not a decimal integer of 64 bits.
    NotAnInteger,
    /// The sum does not fit.
    Overflow,
}

/// The map behind its lock.
#[derive(Debug, Default)]
pub struct Store {
    map: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Store {
    fn map(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Vec<u8>>> {
        // Each operation leaves the map whole even where it unwinds.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, key: Vec<u8>, value: Vec<u8>) {
        self.map().insert(key, value);
    }

    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.map().get(key).cloned()
    }

    /// Adds to a counter, which is 0 if absent, and returns its new value.
    pub fn add(&self, key: Vec<u8>, by: i64) -> Result<i64, NotAdded> {
        let mut map = self.map();
        let old = match map.get(&key) {
            Some(text) => integer(text).ok_or(NotAdded::NotAnInteger)?,
            None => 0,
        };
        let new = old.checked_add(by).ok_or(NotAdded::Overflow)?;
        map.insert(key, new.to_string().into_bytes());
        Ok(new)
    }

    /// Removes a key; true if it was there.
    pub fn remove(&self, key: &[u8]) -> bool {
        self.map().remove(key).is_some()
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        self.map().contains_key(key)
    }

    pub fn len(&self) -> usize {
        self.map().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters() {
        let store = Store::default();
        assert_eq!(store.add(b"n".to_vec(), 1), Ok(1));
        assert_eq!(store.add(b"n".to_vec(), -5), Ok(-4));
        assert_eq!(store.get(b"n"), Some(b"-4".to_vec()));
        store.set(b"n".to_vec(), i64::MAX.to_string().into_bytes());
        assert_eq!(store.add(b"n".to_vec(), 1), Err(NotAdded::Overflow));
        assert_eq!(store.add(b"n".to_vec(), 0), Ok(i64::MAX));
        store.set(b"n".to_vec(), b"07".to_vec());
        assert_eq!(store.add(b"n".to_vec(), 1), Err(NotAdded::NotAnInteger));
        assert_eq!(store.get(b"n"), Some(b"07".to_vec()));
    }

    #[test]
    fn threads_lose_no_increment() {
        let store = Store::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        store.add(b"n".to_vec(), 1).expect("a counter");
                    }
                });
            }
        });
        assert_eq!(store.get(b"n"), Some(b"2000".to_vec()));
    }
}
