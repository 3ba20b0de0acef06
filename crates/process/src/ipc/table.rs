//! Names of IPC objects: keys, ids that say which use of a slot is meant, and who may do what.

use crate::kernel::{Credentials, Fail, fail};
use gapless_log::Hasher;
use std::collections::BTreeMap;

/// Slots of a table, as Linux has them by default; an id is a sequence number times this, plus the slot.
const SLOTS: i32 = 32_768;
/// Sequence numbers before they begin again.
const SEQUENCES: i32 = i32::MAX / SLOTS;
/// Bytes of struct ipc64_perm.
const PERM_BYTES: usize = 48;

/// Who an object belongs to, and who may use it: struct ipc_perm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Perm {
    /// Its key; IPC_PRIVATE if it has none, or none any more.
    pub key: i32,
    /// Owner's user and group.
    pub owner: (u32, u32),
    /// Creator's user and group.
    pub creator: (u32, u32),
    /// Permission bits, and flags of the object above them.
    pub mode: u32,
}

impl Perm {
    /// Of a new object.
    pub fn new(key: i32, flags: i32, creds: &Credentials) -> Self {
        let who = (creds.uid[1], creds.gid[1]);
        Self { key, owner: who, creator: who, mode: flags as u32 & 0o777 }
    }

    /// Is everything that `bits` asks for (in any of its three triples) granted? EACCES if not.
    pub fn may(&self, creds: &Credentials, bits: u32) -> Result<(), Fail> {
        let asked = (bits >> 6 | bits >> 3 | bits) & 0o7;
        let (user, in_group) = (creds.uid[1], |gid| creds.gid[1] == gid || creds.groups.contains(&gid));
        let granted = if user == self.owner.0 || user == self.creator.0 {
            self.mode >> 6
        } else if in_group(self.owner.1) || in_group(self.creator.1) {
            self.mode >> 3
        } else {
            self.mode
        };
        if asked & !granted != 0 && user != 0 { fail(libc::EACCES) } else { Ok(()) }
    }

    /// May it be changed and removed? EPERM if not.
    pub fn may_control(&self, creds: &Credentials) -> Result<(), Fail> {
        let user = creds.uid[1];
        if user == self.owner.0 || user == self.creator.0 || user == 0 { Ok(()) } else { fail(libc::EPERM) }
    }

    /// IPC_SET: takes owner and permission bits from struct ipc64_perm.
    pub fn set(&mut self, raw: &[u8; PERM_BYTES]) {
        let word = |at: usize| u32::from_le_bytes(raw[at..at + 4].try_into().expect("4 bytes"));
        self.owner = (word(4), word(8));
        self.mode = self.mode & !0o777 | word(20) & 0o777;
    }

    /// struct ipc64_perm of the object with this id.
    pub fn bytes(&self, id: i32) -> [u8; PERM_BYTES] {
        let mut raw = [0; PERM_BYTES];
        let words = [self.key as u32, self.owner.0, self.owner.1, self.creator.0, self.creator.1, self.mode];
        for (slot, word) in raw.chunks_exact_mut(4).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        raw[24..26].copy_from_slice(&((id / SLOTS) as u16).to_le_bytes());
        raw
    }
}

/// An object in its slot.
#[derive(Debug)]
struct Slot<T> {
    id: i32,
    perm: Perm,
    it: T,
}

/// Objects of one kind.
#[derive(Debug)]
pub struct Table<T> {
    slots: BTreeMap<i32, Slot<T>>,
    sequence: i32,
    /// Slot of the newest object; -1 before the first.
    newest: i32,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { slots: BTreeMap::new(), sequence: 0, newest: -1 }
    }
}

impl<T> Table<T> {
    /// Has it no object?
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many objects it has.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// The highest slot in use; 0 also if there is none.
    pub fn highest(&self) -> i32 {
        self.slots.keys().next_back().copied().unwrap_or(0)
    }

    /// Ids of all objects.
    pub fn ids(&self) -> Vec<i32> {
        self.slots.values().map(|slot| slot.id).collect()
    }

    /// All objects.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.values().map(|slot| &slot.it)
    }

    /// The object with this id; EINVAL if there is none.
    pub fn get(&self, id: i32) -> Result<(&Perm, &T), Fail> {
        match self.slots.get(&(id % SLOTS)) {
            Some(slot) if slot.id == id => Ok((&slot.perm, &slot.it)),
            _ => fail(libc::EINVAL),
        }
    }

    /// The object with this id, to change it.
    pub fn get_mut(&mut self, id: i32) -> Result<(&mut Perm, &mut T), Fail> {
        match self.slots.get_mut(&(id % SLOTS)) {
            Some(slot) if slot.id == id => Ok((&mut slot.perm, &mut slot.it)),
            _ => fail(libc::EINVAL),
        }
    }

    /// Id of what is in this slot; EINVAL if nothing is.
    pub fn id_in_slot(&self, slot: i32) -> Result<i32, Fail> {
        self.slots.get(&slot).map_or(fail(libc::EINVAL), |slot| Ok(slot.id))
    }

    /// The object that shmget or semget is to answer; `None` if a new one is to be made. `fits` says whether an existing one is as asked for.
    pub fn open(
        &self,
        key: i32,
        flags: i32,
        creds: &Credentials,
        fits: impl FnOnce(&T) -> bool,
    ) -> Result<Option<i32>, Fail> {
        let found = self.slots.values().find(|slot| key != libc::IPC_PRIVATE && slot.perm.key == key);
        match found {
            None if key == libc::IPC_PRIVATE || flags & libc::IPC_CREAT != 0 => Ok(None),
            None => fail(libc::ENOENT),
            Some(_) if flags & libc::IPC_CREAT != 0 && flags & libc::IPC_EXCL != 0 => fail(libc::EEXIST),
            Some(slot) if !fits(&slot.it) => fail(libc::EINVAL),
            Some(slot) => slot.perm.may(creds, flags as u32 & 0o777).map(|()| Some(slot.id)),
        }
    }

    /// Puts a new object into the lowest free slot; its id. There must be fewer than `max`, or it is ENOSPC. An id comes again only after some
    /// thousand others in its slot.
    pub fn add(&mut self, max: usize, perm: Perm, it: T) -> Result<i32, Fail> {
        if self.slots.len() >= max.min(SLOTS as usize) {
            return fail(libc::ENOSPC);
        }
        let slot = (0..SLOTS).find(|slot| !self.slots.contains_key(slot)).expect("some slot is free");
        if slot <= self.newest {
            self.sequence = (self.sequence + 1) % SEQUENCES;
        }
        self.newest = slot;
        let id = self.sequence * SLOTS + slot;
        self.slots.insert(slot, Slot { id, perm, it });
        Ok(id)
    }

    /// Takes an object out.
    pub fn remove(&mut self, id: i32) -> Option<T> {
        self.get(id).ok()?;
        self.slots.remove(&(id % SLOTS)).map(|slot| slot.it)
    }

    /// Hashes all.
    pub fn digest(&self, h: &mut Hasher, each: impl Fn(&T, &mut Hasher)) {
        h.number((self.sequence as u64) << 32 | u64::from(self.newest as u32));
        for slot in self.slots.values() {
            h.number(slot.id as u64);
            h.update(&slot.perm.bytes(slot.id));
            each(&slot.it, h);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slot is used again, its id is not: who still holds the old one meets EINVAL, not somebody else's object.
    #[test]
    fn an_id_names_one_object() {
        let mut table = Table::default();
        let add = |table: &mut Table<i32>, it| table.add(3, Perm::default(), it).expect("there is room");
        let ids = [add(&mut table, 0), add(&mut table, 1), add(&mut table, 2)];
        assert_eq!(ids, [0, 1, 2]);
        assert!(table.add(3, Perm::default(), 3).is_err(), "it is full");
        assert_eq!(table.remove(1), Some(1));
        let next = add(&mut table, 4);
        assert_eq!(next, SLOTS + 1, "the same slot under the next number");
        assert!(table.get(1).is_err() && table.get(-1).is_err() && table.get(i32::MIN).is_err());
        assert_eq!(table.get(next).map(|(_, it)| *it).ok(), Some(4));
        assert_eq!(table.id_in_slot(1).ok(), Some(next));
        assert_eq!((table.ids(), table.highest(), table.remove(1)), (vec![0, next, 2], 2, None));
    }

    /// Each triple counts for whoever it is meant for, and root may everything.
    #[test]
    fn permissions_are_those_of_owner_group_and_others() {
        let creds = |user: u32, group: u32, groups: &[u32]| Credentials {
            uid: [user; 4],
            gid: [group; 4],
            groups: groups.to_vec(),
        };
        let mut perm = Perm::new(5, 0o640 | libc::IPC_CREAT, &creds(10, 20, &[]));
        let may = |perm: &Perm, who: &Credentials| [0o444, 0o222].map(|bits| perm.may(who, bits).is_ok());
        assert_eq!(may(&perm, &creds(10, 99, &[])), [true, true]);
        assert_eq!(may(&perm, &creds(11, 20, &[])), [true, false]);
        assert_eq!(may(&perm, &creds(11, 99, &[7, 20])), [true, false]);
        assert_eq!(may(&perm, &creds(11, 99, &[])), [false, false]);
        assert_eq!(may(&perm, &creds(0, 0, &[])), [true, true]);
        let mut raw = perm.bytes(3);
        raw[4..8].copy_from_slice(&11u32.to_le_bytes());
        raw[20..24].copy_from_slice(&0o004u32.to_le_bytes());
        perm.set(&raw);
        assert_eq!(may(&perm, &creds(11, 99, &[])), [false, false], "the owner's triple is less than the others'");
        assert!(perm.may_control(&creds(11, 0, &[])).is_ok() && perm.may_control(&creds(10, 0, &[])).is_ok());
        assert!(perm.may_control(&creds(12, 20, &[])).is_err());
    }
}
