//! eventfd(2).

use crate::kernel::{Fail, Kernel, ObjectId, fail};

/// An eventfd.
#[derive(Debug)]
pub struct Event {
    /// The counter.
    pub count: u64,
    /// EFD_SEMAPHORE.
    pub semaphore: bool,
}

/// Makes one.
pub fn create(k: &mut Kernel, count: u64, semaphore: bool) -> ObjectId {
    let id = ObjectId(k.fresh_id());
    k.objects.events.insert(id, Event { count, semaphore });
    id
}

/// Takes the counter, or one.
pub fn read(k: &mut Kernel, id: ObjectId, max: usize) -> Result<Vec<u8>, Fail> {
    if max < 8 {
        return fail(libc::EINVAL);
    }
    let event = k.objects.events.get_mut(&id).expect("eventfd exists");
    if event.count == 0 {
        return fail(libc::EAGAIN);
    }
    let value = if event.semaphore { 1 } else { event.count };
    event.count -= value;
    k.notify(id);
    Ok(value.to_le_bytes().to_vec())
}

/// Adds to the counter.
pub fn write(k: &mut Kernel, id: ObjectId, bytes: &[u8]) -> Result<usize, Fail> {
    let Some(raw) = bytes.first_chunk::<8>() else { return fail(libc::EINVAL) };
    let value = u64::from_le_bytes(*raw);
    if value == u64::MAX {
        return fail(libc::EINVAL);
    }
    let event = k.objects.events.get_mut(&id).expect("eventfd exists");
    match event.count.checked_add(value) {
        Some(sum) if sum < u64::MAX => event.count = sum,
        _ => return fail(libc::EAGAIN),
    }
    k.notify(id);
    Ok(8)
}

/// Readiness.
pub fn poll(k: &Kernel, id: ObjectId) -> u32 {
    let count = k.objects.events[&id].count;
    let mut bits = 0;
    if count > 0 {
        bits |= libc::EPOLLIN;
    }
    if count < u64::MAX - 1 {
        bits |= libc::EPOLLOUT;
    }
    bits as u32
}
