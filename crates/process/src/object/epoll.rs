//! epoll(7), level and edge triggered, one-shot, nested.
//!
//! As in Linux: whatever is notified goes on the ready list of every instance that watches it; `wait` checks the list in order,
//! keeps level-triggered items on it and lets edge-triggered ones go. So an edge is exactly a notification.

use super::Objects;
use crate::kernel::{Fail, FileId, Kernel, ObjectId, Tid, fail};
use std::collections::{BTreeMap, VecDeque};

/// Instances may watch instances this deep.
const NESTING_MAX: usize = 5;

/// A descriptor as registered.
type ItemKey = (i32, FileId);

/// One registered descriptor.
#[derive(Clone, Copy, Debug)]
struct Item {
    events: u32,
    data: u64,
    listed: bool,
}

/// An epoll instance.
#[derive(Debug, Default)]
pub struct Epoll {
    items: BTreeMap<ItemKey, Item>,
    by_object: BTreeMap<ObjectId, Vec<ItemKey>>,
    ready: VecDeque<ItemKey>,
}

const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
const PRIVATE_BITS: u32 = (libc::EPOLLET | libc::EPOLLONESHOT | libc::EPOLLWAKEUP | libc::EPOLLEXCLUSIVE) as u32;

fn list(items: &mut BTreeMap<ItemKey, Item>, ready: &mut VecDeque<ItemKey>, key: ItemKey) {
    if let Some(item) = items.get_mut(&key).filter(|item| !item.listed) {
        item.listed = true;
        ready.push_back(key);
    }
}

impl Epoll {
    /// Everything that shapes the future.
    pub fn digest(&self, h: &mut gapless_log::Hasher) {
        for (key, item) in &self.items {
            h.number(key.0 as u64);
            h.number(key.1.0);
            h.number(u64::from(item.events));
            h.number(item.data);
        }
        for key in &self.ready {
            h.number(key.1.0);
        }
    }
}

/// Makes an instance.
pub fn create(k: &mut Kernel) -> ObjectId {
    let id = ObjectId(k.fresh_id());
    k.objects.epolls.insert(id, Epoll::default());
    id
}

/// epoll_ctl.
pub fn control(
    k: &mut Kernel,
    id: ObjectId,
    op: i32,
    fd: i32,
    file: FileId,
    events: u32,
    data: u64,
) -> Result<(), Fail> {
    let Some(object) = super::id(k, file) else { return fail(libc::EPERM) };
    if object == id || (op == libc::EPOLL_CTL_ADD && reaches(k, object, id, 0)) {
        return fail(if object == id { libc::EINVAL } else { libc::ELOOP });
    }
    let key = (fd, file);
    let epoll = k.objects.epolls.get_mut(&id).expect("epoll exists");
    let known = epoll.items.contains_key(&key);
    match op {
        libc::EPOLL_CTL_ADD if known => return fail(libc::EEXIST),
        libc::EPOLL_CTL_ADD => {
            epoll.items.insert(key, Item { events, data, listed: false });
            epoll.by_object.entry(object).or_default().push(key);
            list(&mut epoll.items, &mut epoll.ready, key);
            let watchers = k.objects.watchers.entry(object).or_default();
            if !watchers.contains(&id) {
                watchers.push(id);
            }
        }
        libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL if !known => return fail(libc::ENOENT),
        libc::EPOLL_CTL_MOD => {
            let item = epoll.items.get_mut(&key).expect("known");
            item.events = events;
            item.data = data;
            list(&mut epoll.items, &mut epoll.ready, key);
        }
        libc::EPOLL_CTL_DEL => remove(k, id, object, key),
        _ => return fail(libc::EINVAL),
    }
    k.notify(id);
    Ok(())
}

/// Does the instance behind `from` (if it is one) watch `to`, directly or not, or too deep?
fn reaches(k: &Kernel, from: ObjectId, to: ObjectId, depth: usize) -> bool {
    let Some(epoll) = k.objects.epolls.get(&from) else { return false };
    depth >= NESTING_MAX || epoll.by_object.keys().any(|&o| o == to || reaches(k, o, to, depth + 1))
}

fn remove(k: &mut Kernel, id: ObjectId, object: ObjectId, key: ItemKey) {
    let Some(epoll) = k.objects.epolls.get_mut(&id) else { return };
    epoll.items.remove(&key);
    epoll.ready.retain(|&r| r != key);
    let Some(keys) = epoll.by_object.get_mut(&object) else { return };
    keys.retain(|&r| r != key);
    if keys.is_empty() {
        epoll.by_object.remove(&object);
        if let Some(watchers) = k.objects.watchers.get_mut(&object) {
            watchers.retain(|&w| w != id);
            if watchers.is_empty() {
                k.objects.watchers.remove(&object);
            }
        }
    }
}

/// An item that is ready.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The descriptor under which it was added.
    pub fd: i32,
    /// What it is ready for.
    pub events: u32,
    /// What the program wants to be told with it.
    pub data: u64,
}

/// Takes at most `max` ready items.
pub fn wait(k: &mut Kernel, tid: Tid, id: ObjectId, max: usize) -> Vec<Ready> {
    let mut out = Vec::new();
    let mut keep = VecDeque::new();
    while out.len() < max {
        let Some(key) = k.objects.epolls.get_mut(&id).and_then(|e| e.ready.pop_front()) else { break };
        let wanted = k.objects.epolls[&id].items[&key].events;
        let bits = interest(k, tid, key, wanted);
        let item = k.objects.epolls.get_mut(&id).and_then(|e| e.items.get_mut(&key)).expect("listed items exist");
        item.listed = false;
        if bits == 0 {
            continue;
        }
        out.push(Ready { fd: key.0, events: bits, data: item.data });
        if wanted & libc::EPOLLONESHOT as u32 != 0 {
            item.events &= PRIVATE_BITS;
        } else if wanted & libc::EPOLLET as u32 == 0 {
            item.listed = true;
            keep.push_back(key);
        }
    }
    k.objects.epolls.get_mut(&id).expect("epoll exists").ready.append(&mut keep);
    out
}

fn interest(k: &Kernel, tid: Tid, key: ItemKey, wanted: u32) -> u32 {
    let disabled = wanted & !PRIVATE_BITS == 0 && wanted & libc::EPOLLONESHOT as u32 != 0;
    if disabled { 0 } else { super::poll(k, tid, key.1) & (wanted & !PRIVATE_BITS | ALWAYS) }
}

/// Is anything ready?
pub fn poll(k: &Kernel, tid: Tid, id: ObjectId) -> u32 {
    let epoll = &k.objects.epolls[&id];
    let any = epoll.ready.iter().any(|&key| interest(k, tid, key, epoll.items[&key].events) != 0);
    if any { libc::EPOLLIN as u32 } else { 0 }
}

/// An object was notified: lists it with whoever watches it. They must be notified in turn.
pub fn object_changed(objects: &mut Objects, object: ObjectId) {
    for id in objects.watchers.get(&object).into_iter().flatten() {
        let Some(Epoll { items, by_object, ready }) = objects.epolls.get_mut(id) else { continue };
        for key in by_object.get(&object).into_iter().flatten() {
            list(items, ready, *key);
        }
    }
}

/// An open file description is gone: nobody watches it any more.
pub fn forget_file(k: &mut Kernel, object: ObjectId, file: FileId) {
    for id in k.objects.watchers.get(&object).cloned().unwrap_or_default() {
        let keys = k.objects.epolls[&id].by_object.get(&object).cloned().unwrap_or_default();
        for key in keys.into_iter().filter(|key| key.1 == file) {
            remove(k, id, object, key);
        }
    }
}

/// The last holder of an instance is gone.
pub fn close(k: &mut Kernel, id: ObjectId) {
    if let Some(epoll) = k.objects.epolls.remove(&id) {
        for object in epoll.by_object.keys() {
            if let Some(watchers) = k.objects.watchers.get_mut(object) {
                watchers.retain(|&w| w != id);
            }
        }
    }
}
