//! Pipes and FIFOs (pipe(7)).

use crate::kernel::{Fail, Kernel, ObjectId, Tid, fail};
use std::collections::VecDeque;

/// Writes up to this many bytes are atomic.
const PIPE_BUF: usize = 4096;
/// Default capacity.
const CAPACITY: usize = 65536;
/// Largest capacity that F_SETPIPE_SZ gives.
const CAPACITY_MAX: usize = 1 << 20;

/// Which end a description is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Both: a FIFO opened with O_RDWR, or such an end opened again.
    Both,
}

impl End {
    /// Can it read?
    pub fn reads(self) -> bool {
        self != End::Write
    }

    /// Can it write?
    pub fn writes(self) -> bool {
        self != End::Read
    }
}

/// A pipe.
#[derive(Debug)]
pub struct Pipe {
    bytes: VecDeque<u8>,
    capacity: usize,
    readers: u32,
    writers: u32,
    /// Somebody has had it open for writing: a FIFO has no end before that.
    was_written_to: bool,
}

impl Pipe {
    /// Bytes that wait to be read.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Has anybody this end open?
    pub fn has_end(&self, end: End) -> bool {
        (end.reads() && self.readers > 0) || (end.writes() && self.writers > 0)
    }

    /// F_GETPIPE_SZ.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Everything that shapes the future.
    pub fn digest(&self, h: &mut gapless_log::Hasher) {
        h.number(u64::from(self.readers) << 32 | u64::from(self.writers));
        h.number(self.capacity as u64);
        h.number(self.was_written_to.into());
        let (a, b) = self.bytes.as_slices();
        h.update(a);
        h.update(b);
    }
}

/// Makes a pipe without ends; [`open`] adds them.
pub fn create(k: &mut Kernel) -> ObjectId {
    let id = ObjectId(k.fresh_id());
    let pipe = Pipe { bytes: VecDeque::new(), capacity: CAPACITY, readers: 0, writers: 0, was_written_to: false };
    k.objects.pipes.insert(id, pipe);
    id
}

/// One more description of an end.
pub fn open(k: &mut Kernel, id: ObjectId, end: End) {
    let pipe = k.objects.pipes.get_mut(&id).expect("pipe exists");
    pipe.readers += u32::from(end.reads());
    pipe.writers += u32::from(end.writes());
    pipe.was_written_to |= end.writes();
    k.notify(id);
}

/// Reads what is there.
pub fn read(k: &mut Kernel, id: ObjectId, max: usize) -> Result<Vec<u8>, Fail> {
    let pipe = k.objects.pipes.get_mut(&id).expect("pipe exists");
    if max == 0 {
        return Ok(Vec::new());
    }
    if pipe.bytes.is_empty() {
        return if pipe.writers == 0 { Ok(Vec::new()) } else { fail(libc::EAGAIN) };
    }
    let n = max.min(pipe.bytes.len());
    let out = pipe.bytes.drain(..n).collect();
    k.notify(id);
    Ok(out)
}

/// Bytes that were read and could not be stored wait again.
pub fn put_back(k: &mut Kernel, id: ObjectId, bytes: &[u8]) {
    let pipe = k.objects.pipes.get_mut(&id).expect("pipe exists");
    bytes.iter().rev().for_each(|&byte| pipe.bytes.push_front(byte));
    k.notify(id);
}

/// Writes what there is room for.
pub fn write(k: &mut Kernel, tid: Tid, id: ObjectId, bytes: &[u8]) -> Result<usize, Fail> {
    let pipe = k.objects.pipes.get_mut(&id).expect("pipe exists");
    if bytes.is_empty() {
        return Ok(0);
    }
    if pipe.readers == 0 {
        crate::signal::broken_pipe(k, tid);
        return fail(libc::EPIPE);
    }
    let room = pipe.capacity - pipe.bytes.len();
    if room == 0 || (bytes.len() <= PIPE_BUF && room < bytes.len()) {
        return fail(libc::EAGAIN);
    }
    let n = room.min(bytes.len());
    pipe.bytes.extend(&bytes[..n]);
    k.notify(id);
    Ok(n)
}

/// Readiness of an end.
pub fn poll(k: &Kernel, id: ObjectId, end: End) -> u32 {
    let pipe = &k.objects.pipes[&id];
    let mut bits = 0;
    if end.reads() {
        if !pipe.bytes.is_empty() {
            bits |= libc::EPOLLIN;
        }
        if pipe.writers == 0 && pipe.was_written_to {
            bits |= libc::EPOLLHUP;
        }
    }
    if end.writes() {
        if pipe.capacity - pipe.bytes.len() >= PIPE_BUF {
            bits |= libc::EPOLLOUT;
        }
        if pipe.readers == 0 {
            bits |= libc::EPOLLERR;
        }
    }
    bits as u32
}

/// One description of an end less; a pipe without ends is gone.
pub fn close(k: &mut Kernel, id: ObjectId, end: End) {
    let pipe = k.objects.pipes.get_mut(&id).expect("pipe exists");
    pipe.readers -= u32::from(end.reads());
    pipe.writers -= u32::from(end.writes());
    if pipe.readers == 0 && pipe.writers == 0 {
        k.objects.pipes.remove(&id);
    }
    k.notify(id);
}

/// F_SETPIPE_SZ: rounds up to a power of two of pages.
pub fn resize(k: &mut Kernel, id: ObjectId, size: usize) -> Result<usize, Fail> {
    let pipe = k.objects.pipes.get_mut(&id).expect("pipe exists");
    if size > CAPACITY_MAX {
        return fail(libc::EPERM);
    }
    let size = size.max(4096).next_power_of_two();
    if size < pipe.bytes.len() {
        return fail(libc::EBUSY);
    }
    pipe.capacity = size;
    k.notify(id);
    Ok(size)
}
