//! The lane: memory that the supervisor shares with every tracee, in which patched calls are answered without a stop.
//!
//! Before a thread runs on, the supervisor lays out what the model would answer ([`Terms`]): a budget of calls, constants, bytes that wait on
//! sockets, room to send, and (on a backup) the clock readings of the log. The in-process code (the blob) answers from
//! that and writes each call into a journal, which the supervisor carries over into the model when the thread has stopped. A call that the terms do not
//! answer stops as any other does, so the lane is only ever a shortcut: what a call returns, and what the model is afterwards, is the same with and
//! without it.
//!
//! One thread of the group runs at a time, so one lane serves all of them; the supervisor touches it only while none runs. A thread that has handed the
//! baton over touches nothing but slots from then on.
//! ```text
//! LANE_START + 0      the words below          supervisor and blob
//!            + VALUES  256 constants, by call number (u64::MAX: not answered)
//!            + GRANTS  one Grant for each descriptor below FDS_MAX
//!            + RING    clock readings of the log, in order: number of the call, nanoseconds
//!            + WAITERS who waits for a futex: address of the word, bitset, slot; in order of arrival
//!            + READY   who can run, in order: slots
//!            + SLOTS   parked threads
//!            + STACK   the blob's own stack (a program's may be anywhere, and has a red zone)
//!            + JOURNAL records: number (4 bytes), first argument (4), value (8); of pwrite64 the length (8); bytes sent (up to a multiple of 8), of a futex
//!                      call all arguments
//!            + ARENA   bytes that wait on sockets; contents of small files, each behind its struct stat
//!            + NAMES   answers to calls on paths (see `names`)
//! ```
//! The program can write here as anywhere else in its memory. What the journal says is therefore checked against the model, and a difference is an
//! error that says so.

use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU32;

use super::blob::FRAME_WORDS;
use super::names::{OWNER_SHIFT, Owners};
use super::stub::{LANE_LEN, LANE_START};
use super::{Result, sys};

/// Descriptors that can have a [`Grant`].
pub const FDS_MAX: usize = 1024;
/// Clock readings that fit into the lane at once.
pub const READINGS_MAX: usize = 1024;
/// Bytes of one socket that are laid out at most.
pub const GRANT_BYTES_MAX: usize = 64 << 10;
/// Call numbers that can have a constant answer.
const VALUES_MAX: usize = 256;
/// Constant that stands for none.
const NO_VALUE: u64 = u64::MAX;

/// Offsets from [`LANE_START`].
pub(super) mod at {
    pub const BUDGET: usize = 0x00;
    pub const EVENTS: usize = 0x04;
    pub const USED: usize = 0x08;
    pub const LIVE: usize = 0x0c;
    pub const NOW: usize = 0x10;
    pub const DUE: usize = 0x18;
    pub const CLOCK_OFFSET: usize = 0x20;
    pub const REALTIME_OFFSET: usize = 0x28;
    pub const RING_NEXT: usize = 0x30;
    pub const RING_COUNT: usize = 0x34;
    pub const SAVED_RSP: usize = 0x38;
    pub const TIMESPEC: usize = 0x40;
    pub const SAID: usize = 0x50;
    pub const COUNTER: usize = 0x54;
    pub const COUNTER_BASE: usize = 0x58;
    pub const COUNTER_NANOS: usize = 0x60;
    pub const COUNTER_RATE: usize = 0x68;
    pub const OWNER: usize = 0x70;
    pub const FDS_LIMIT: usize = 0x78;
    pub const FREE: usize = 0x80;
    pub const SLICE_END: usize = 0x100;
    pub const WAITING: usize = 0x104;
    pub const READY_HEAD: usize = 0x108;
    pub const READY_TAIL: usize = 0x10c;
    pub const LIMIT: usize = 0x110;
    pub const HOLDER: usize = 0x114;
    pub const SHARED_START: usize = 0x118;
    pub const SHARED_END: usize = 0x120;
    pub const VALUES: usize = 0x800;
    pub const GRANTS: usize = 0x1000;
    pub const RING: usize = 0x5000;
    pub const WAITERS: usize = 0x9000;
    pub const READY: usize = 0x9800;
    pub const SLOTS: usize = 0xac00;
    pub const STACK: usize = 0xcf00;
    pub const STACK_END: usize = 0xd000;
    pub const JOURNAL: usize = 0xd000;
    pub const ARENA: usize = 0x8d000;
    pub const NAMES: usize = 0x10d000;
    pub const END: usize = 0x1dd000;
}

const _: () = assert!(at::FREE + FDS_MAX / 8 <= at::VALUES);
const _: () = assert!(at::VALUES + VALUES_MAX * 8 <= at::GRANTS);
const _: () = assert!(at::GRANTS + FDS_MAX * GRANT_LEN <= at::RING);
const _: () = assert!(at::RING + READINGS_MAX * 16 <= at::WAITERS);
const _: () = assert!(at::WAITERS + WAITERS_MAX * WAITER_LEN <= at::READY);
const _: () = assert!(at::READY + READY_MAX * 4 <= at::SLOTS);
const _: () = assert!(at::SLOTS + SLOTS_MAX * SLOT_LEN <= at::STACK);
const _: () = assert!(at::END as u64 == LANE_LEN);
// The blob addresses everything here by 32-bit displacements.
const _: () = assert!(LANE_START + LANE_LEN < 1 << 31);

/// Bytes of records that fit into the journal.
pub(super) const JOURNAL_LEN: usize = at::ARENA - at::JOURNAL;
pub(super) const ARENA_LEN: usize = at::NAMES - at::ARENA;
pub(super) const RECORD_LEN: usize = 16;
const GRANT_LEN: usize = 16;

/// May be read: what waits is in the arena.
pub(super) const READ: u32 = 1;
/// When nothing waits any more, reading answers EAGAIN.
pub(super) const READ_EMPTY: u32 = 2;
/// May be written to, as far as there is room.
pub(super) const WRITE: u32 = 4;
/// A file: its content is in the arena behind its struct stat, and the word for the room holds its offset.
pub(super) const FILE: u32 = 8;
/// A file of the program's own, to be written to: the word for the length holds how far whoever says where may write.
pub(super) const OWN: u32 = 16;
/// Length of struct stat.
pub(super) const STAT_LEN: usize = 144;
/// iovecs that are looked through.
pub(super) const IOVECS_MAX: usize = 8;

/// Threads waiting for futexes that are laid out at most.
pub const WAITERS_MAX: usize = 128;
const WAITER_LEN: usize = 16;
/// Ready threads that are laid out; behind them there is room for all that can be woken before the thread must stop.
pub const READY_GIVEN_MAX: usize = 64;
const READY_MAX: usize = READY_GIVEN_MAX + WAITERS_MAX + READINGS_MAX;
/// In the place of a slot: the thread is not parked, and runs on only by a stop.
pub const NO_SLOT: u32 = 0;
/// In the place of a slot: whoever is to be woken by this address waits on a word that has another one as well.
pub const AMBIGUOUS: u32 = u32::MAX;
/// Threads that can be parked. A slot is named by its address: a word, the thread's number, its stack pointer, and what it returns with.
const SLOTS_MAX: usize = 64;
const SLOT_LEN: usize = 128;
/// The word of a slot whose thread sleeps, has been given the baton, or is to stop in its call.
pub(super) const PARKED: u32 = 0;
pub(super) const GO: u32 = 1;
const OUT: u32 = 2;
/// Events that a thread may have before another ready one gets the baton.
pub const SLICE_EVENTS: u32 = 64;
/// In the place of a call's number: the thread before has blocked, and the futex call of the next one, whose slot is the value, has returned.
pub const HANDED_OVER: u32 = 1 << 31;
/// In the place of a futex call's result: it blocks.
pub const BLOCKED: u64 = u64::MAX;
/// What says the same of a futex operation with and without it: the model finds out by itself what is shared, and clocks matter to timeouts only.
pub const FUTEX_COMMAND: i32 = !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
/// Bytes of a futex call's record: arguments 4, 6, 5, 3, 2 and 1, and the word if it was read.
pub(super) const FUTEX_LEN: usize = 7 * 8;

/// What the model would answer for one descriptor.
#[derive(Debug, Clone)]
pub struct Grant<'a> {
    /// The descriptor.
    pub fd: usize,
    /// What it stands for.
    pub of: Granted<'a>,
}

/// What a descriptor with a grant stands for.
#[derive(Debug, Clone)]
pub enum Granted<'a> {
    /// A stream to the outside.
    Stream(Stream<'a>),
    /// A file that is read.
    File(ReadFile<'a>),
    /// A file that is written.
    Own(OwnFile),
}

/// A file that is written: bytes that may be written where its descriptor stands, and up to where by those who say where.
#[derive(Debug, Clone, Copy)]
pub struct OwnFile {
    /// From where its descriptor stands.
    pub here: u32,
    /// From the beginning.
    pub whole: u32,
}

/// A file that is read: reading, seeking, fstat and close are answered.
#[derive(Debug, Clone)]
pub struct ReadFile<'a> {
    /// All of it.
    pub content: &'a [u8],
    /// Where its descriptor stands.
    pub offset: u32,
    /// struct stat.
    pub stat: [u8; STAT_LEN],
}

/// A stream to the outside.
#[derive(Debug, Clone)]
pub struct Stream<'a> {
    /// Everything that waits to be read; `None` if reading is not for the lane.
    pub waiting: Option<Cow<'a, [u8]>>,
    /// Reading answers EAGAIN when nothing waits any more.
    pub then_eagain: bool,
    /// Bytes that may be sent; `None` if sending is not for the lane.
    pub room: Option<u32>,
}

/// A moment by the time stamp counter and by the replica's clock, and how fast the one makes the other go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// The counter then.
    pub base: u64,
    /// The clock then, in nanoseconds.
    pub nanos: u64,
    /// Nanoseconds a tick, times 2^32.
    pub rate: u64,
}

/// Ticks after which a moment is too long ago to reckon from: some seconds, far more than a thread runs without a stop.
pub(super) const COUNTER_TICKS_MAX: u64 = 1 << 33;

/// Where clock readings come from.
#[derive(Debug, Clone, Copy)]
pub enum Clock<'a> {
    /// The host's monotonic clock plus this many nanoseconds; or the counter, where the thread may read it.
    Live(i64, Option<Counter>),
    /// The log: number of the call from now on (0 is the next one), nanoseconds.
    Log(&'a [(u32, u64)]),
}

/// What holds until the thread stops.
#[derive(Debug)]
pub struct Terms<'a> {
    /// Calls that may be answered, whoever's they are.
    pub limit: u32,
    /// The slot of the thread that runs now.
    pub slot: u32,
    /// The last reading of the clock, which never goes back.
    pub now: u64,
    /// A reading that reaches this is not for the lane: something is due then.
    pub due: u64,
    /// Where readings come from.
    pub clock: Clock<'a>,
    /// Wall clock minus monotonic clock.
    pub realtime_offset: i64,
    /// Constant answers, by call number: the same numbers each time.
    pub values: &'a [(u32, u64)],
    /// Descriptors.
    pub grants: &'a [Grant<'a>],
    /// Whose calls on paths are answered.
    pub owners: Owners,
    /// Descriptors that an open takes, lowest first: a bit each.
    pub free: [u64; FDS_MAX / 64],
    /// No descriptor from here on is taken, though it may be closed.
    pub fds_limit: u32,
    /// Who waits for futexes, in order; more than [`WAITERS_MAX`] are none, and nobody is woken.
    pub waiters: &'a [Waiter],
    /// The slots of threads that can run, in order.
    pub ready: &'a [u32],
    /// What of the memory is shared lies between these addresses.
    pub shared: (u64, u64),
    /// Events of the slice that are left behind the next one.
    pub slice: u32,
}

/// A thread that waits for a futex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter {
    /// The word, as the thread in hand addresses it.
    pub addr: u64,
    /// Which wakes it takes.
    pub bits: u32,
    /// Its slot.
    pub slot: u32,
}

/// A futex call that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FutexCall {
    /// Its arguments.
    pub args: [u64; 6],
    /// The word, if it was read.
    pub word: u32,
}

impl Record<'_> {
    /// What a futex call's record says.
    pub fn futex(&self) -> Option<FutexCall> {
        let mut words = self.bytes.chunks_exact(8).map(|raw| u64::from_le_bytes(raw.try_into().expect("8 bytes")));
        let mut word = || words.next();
        let [a3, a5, a4, a2, a1, a0, value] = [word()?, word()?, word()?, word()?, word()?, word()?, word()?];
        Some(FutexCall { args: [a0, a1, a2, a3, a4, a5], word: value as u32 })
    }
}

/// A call that was answered. Of `writev` the value is the number of iovecs and, in its low half, of bytes; its bytes are those of the iovecs and then
/// what they name. Of `pwrite64` the value is the offset. Of a call on a path it is the number of the entry that answered and, in its high half, the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number.
    pub nr: u32,
    /// The low half of its first argument.
    pub arg: u32,
    /// What it came to: a result, or for clocks the reading in nanoseconds.
    pub value: u64,
    /// Bytes sent.
    pub bytes: &'a [u8],
}

/// The calls that a thread was answered since it ran on.
#[derive(Debug)]
pub struct Journal(Vec<u8>);

impl Journal {
    /// In order; `None` in the place of a record that makes no sense.
    pub fn records(&self) -> impl Iterator<Item = Option<Record<'_>>> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let record = parse(rest);
            rest = record.map_or(&[], |(_, rest)| rest);
            Some(record.map(|(record, _)| record))
        })
    }
}

fn parse(raw: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (head, rest) = raw.split_first_chunk::<RECORD_LEN>()?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (nr, arg) = (word(0), word(4));
    let value = u64::from(word(12)) << 32 | u64::from(word(8));
    let (len, rest) = match i64::from(nr) {
        libc::SYS_write | libc::SYS_sendto => (usize::try_from(value).ok()?, rest),
        libc::SYS_writev => ((value >> 32) as usize * 16 + value as u32 as usize, rest),
        libc::SYS_pwrite64 => {
            let (len, rest) = rest.split_first_chunk()?;
            (usize::try_from(u64::from_le_bytes(*len)).ok()?, rest)
        }
        libc::SYS_futex => (FUTEX_LEN, rest),
        _ => (0, rest),
    };
    let bytes = rest.get(..len)?;
    let rest = rest.get(len.checked_next_multiple_of(8)?..)?;
    Some((Record { nr, arg, value, bytes }, rest))
}

/// Where a slot lies in the lane.
fn offset_of(slot: u32) -> usize {
    slot as usize - LANE_START as usize
}

/// The supervisor's view of the shared memory.
#[derive(Debug)]
pub struct Lane {
    file: OwnedFd,
    base: NonNull<u8>,
    /// Descriptors with a grant, to be taken back.
    granted: Vec<usize>,
    /// Descriptors that were free when the terms were laid out: those that are not any more have a grant, too.
    free: [u64; FDS_MAX / 64],
    /// Where the next answer to a call on a path goes.
    pub(super) names_end: usize,
    /// So many times more nothing may be sent.
    sends_held: u32,
    /// Somebody who is laid out is parked.
    hands_over: bool,
    /// Slots that some thread has.
    slots: [bool; SLOTS_MAX],
}

/// How often nothing may be sent after the program has shown that it runs on for long when it has sent something.
const HOLD_SENDS: u32 = 64;

// SAFETY: the mapping belongs to this value alone (in this process), and is reached only through it.
unsafe impl Send for Lane {}

impl Lane {
    /// Fresh memory in which nothing is answered.
    pub(super) fn new() -> Result<Lane> {
        let file = sys::memfd_create(c"gapless", libc::MFD_CLOEXEC)?;
        let base = sys::map_shared(file.as_fd(), LANE_LEN)?;
        let mut lane = Lane {
            file,
            base,
            granted: Vec::new(),
            free: [0; FDS_MAX / 64],
            names_end: 0,
            sends_held: 0,
            hands_over: false,
            slots: [false; SLOTS_MAX],
        };
        lane.clear_names();
        for nr in 0..VALUES_MAX {
            lane.put(at::VALUES + nr * 8, NO_VALUE);
        }
        Ok(lane)
    }

    /// What tracees map.
    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(super) fn put<T: Copy>(&mut self, offset: usize, value: T) {
        assert!(offset + size_of::<T>() <= at::END);
        // SAFETY: within the mapping. Volatile, because another process writes there too, though not now.
        unsafe { ptr::write_volatile(self.base.as_ptr().add(offset).cast::<T>(), value) };
    }

    pub(super) fn word(&self, offset: usize) -> u32 {
        assert!(offset + 4 <= at::END);
        // SAFETY: as in `put`; every bit pattern is a u32.
        unsafe { ptr::read_volatile(self.base.as_ptr().add(offset).cast::<u32>()) }
    }

    pub(super) fn copy_in(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= at::END);
        // SAFETY: within the mapping, which overlaps no Rust value.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.base.as_ptr().add(offset), bytes.len()) };
    }

    /// Where the program has this.
    pub(super) fn address(&self, offset: usize) -> u32 {
        (LANE_START as usize + offset) as u32
    }

    fn copy_out(&self, offset: usize, len: usize) -> Vec<u8> {
        assert!(offset + len <= at::END);
        let mut bytes = Vec::with_capacity(len);
        // SAFETY: within the mapping, which overlaps no Rust value, and of room for as many, which are there then.
        unsafe {
            ptr::copy_nonoverlapping(self.base.as_ptr().add(offset), bytes.as_mut_ptr(), len);
            bytes.set_len(len);
        }
        bytes
    }

    /// Lays out what the next thread to run may be answered.
    pub fn open(&mut self, terms: &Terms<'_>) {
        let budget = if terms.ready.is_empty() { terms.limit } else { terms.limit.min(terms.slice) };
        self.put(at::BUDGET, budget);
        self.put(at::LIMIT, terms.limit);
        self.put(at::EVENTS, 0u32);
        self.put(at::USED, 0u32);
        self.put(at::SAID, 0u32);
        self.put(at::NOW, terms.now);
        self.put(at::DUE, terms.due);
        self.put(at::REALTIME_OFFSET, terms.realtime_offset);
        match terms.clock {
            Clock::Live(offset, counter) => {
                self.put(at::LIVE, 1u32);
                self.put(at::CLOCK_OFFSET, offset);
                self.put(at::COUNTER, u32::from(counter.is_some()));
                if let Some(Counter { base, nanos, rate }) = counter {
                    self.put(at::COUNTER_BASE, base);
                    self.put(at::COUNTER_NANOS, nanos);
                    self.put(at::COUNTER_RATE, rate);
                }
            }
            Clock::Log(readings) => {
                let readings = &readings[..readings.len().min(READINGS_MAX)];
                self.put(at::LIVE, 0u32);
                self.put(at::RING_NEXT, 0u32);
                self.put(at::RING_COUNT, readings.len() as u32);
                for (i, &(call, nanos)) in readings.iter().enumerate() {
                    self.put(at::RING + i * 16, call);
                    self.put(at::RING + i * 16 + 8, nanos);
                }
            }
        }
        for &(nr, value) in terms.values {
            self.put(at::VALUES + nr as usize * 8, value);
        }
        self.take_back();
        self.grant(terms.grants);
        self.put(at::OWNER, terms.owners.paths << OWNER_SHIFT);
        self.put(at::OWNER + 4, terms.owners.below << OWNER_SHIFT);
        self.put(at::FDS_LIMIT, terms.fds_limit);
        self.put(at::FREE, terms.free);
        self.free = terms.free;
        self.futexes(terms);
    }

    /// Takes back the grants of the terms before.
    fn take_back(&mut self) {
        for fd in std::mem::take(&mut self.granted) {
            self.put(at::GRANTS + fd * GRANT_LEN, [0u32; 4]);
        }
        for (i, before) in self.free.into_iter().enumerate() {
            let now = u64::from(self.word(at::FREE + i * 8 + 4)) << 32 | u64::from(self.word(at::FREE + i * 8));
            let mut opened = before & !now;
            while opened != 0 {
                let fd = i * 64 + opened.trailing_zeros() as usize;
                self.put(at::GRANTS + fd * GRANT_LEN, [0u32; 4]);
                opened &= opened - 1;
            }
        }
    }

    fn futexes(&mut self, terms: &Terms<'_>) {
        let all = terms.waiters.len() <= WAITERS_MAX && terms.ready.len() <= READY_GIVEN_MAX;
        self.put(at::WAITING, if all { terms.waiters.len() as u32 } else { u32::MAX });
        for (i, waiter) in terms.waiters.iter().take(WAITERS_MAX).enumerate() {
            self.put(at::WAITERS + i * WAITER_LEN, waiter.addr);
            self.put(at::WAITERS + i * WAITER_LEN + 8, [waiter.bits, waiter.slot]);
        }
        let slots = terms.waiters.iter().map(|waiter| waiter.slot).chain(terms.ready.iter().copied());
        self.hands_over = slots.into_iter().any(|slot| slot != NO_SLOT);
        let ready = &terms.ready[..terms.ready.len().min(READY_GIVEN_MAX)];
        self.put(at::READY_HEAD, [0, ready.len() as u32]);
        for (i, &slot) in ready.iter().enumerate() {
            self.put(at::READY + i * 4, slot);
        }
        self.put(at::SLICE_END, terms.slice);
        self.put(at::HOLDER, terms.slot);
        self.put(at::SHARED_START, [terms.shared.0, terms.shared.1]);
    }

    /// Can the baton pass in the process, as things were laid out?
    pub(super) fn hands_over(&self) -> bool {
        self.hands_over
    }

    /// The slot of the thread that has the baton.
    pub(super) fn holder(&self) -> u32 {
        self.word(at::HOLDER)
    }

    /// A slot that nobody has; [`NO_SLOT`] if there is none.
    pub(super) fn take_slot(&mut self) -> u32 {
        let Some(free) = self.slots.iter().position(|taken| !taken) else { return NO_SLOT };
        self.slots[free] = true;
        (LANE_START as usize + at::SLOTS + free * SLOT_LEN) as u32
    }

    /// Gives a slot back.
    pub(super) fn free_slot(&mut self, slot: u32) {
        self.slots[(offset_of(slot) - at::SLOTS) / SLOT_LEN] = false;
    }

    /// The program knows the thread of this slot by this number.
    pub(super) fn name_slot(&mut self, slot: u32, tid: i32) {
        self.put(offset_of(slot) + 4, tid);
    }

    /// Lays out what a thread that parks returns with.
    pub(super) fn park(&mut self, slot: u32, rsp: u64, frame: [u64; FRAME_WORDS]) {
        self.put(offset_of(slot), PARKED);
        self.put(offset_of(slot) + 8, rsp);
        self.put(offset_of(slot) + 16, frame);
    }

    /// Makes a parked thread leave the blob.
    pub(super) fn take_out(&mut self, slot: u32) -> Result<()> {
        self.put(offset_of(slot), OUT);
        // SAFETY: within the mapping and aligned; it outlives the call.
        sys::futex_wake(unsafe { AtomicU32::from_ptr(self.base.as_ptr().add(offset_of(slot)).cast()) })
    }

    fn grant(&mut self, grants: &[Grant<'_>]) {
        self.sends_held = self.sends_held.saturating_sub(1);
        let mut used = 0;
        for grant in grants.iter().filter(|grant| grant.fd < FDS_MAX) {
            let words = match &grant.of {
                Granted::Stream(stream) => self.stream(stream, &mut used),
                Granted::File(file) => self.read_file(file, &mut used),
                Granted::Own(file) => [0, file.whole, file.here, WRITE | OWN],
            };
            self.put(at::GRANTS + grant.fd * GRANT_LEN, words);
            self.granted.push(grant.fd);
        }
    }

    /// Lays out a stream behind what is used of the arena: place, length, room, flags.
    fn stream(&mut self, stream: &Stream<'_>, used: &mut usize) -> [u32; 4] {
        let waiting = stream.waiting.as_ref().filter(|bytes| *used + bytes.len() <= ARENA_LEN);
        let (mut flags, place, mut len) = (0, *used, 0);
        if let Some(bytes) = waiting {
            self.copy_in(at::ARENA + place, bytes);
            len = bytes.len();
            *used += len;
            flags |= if stream.then_eagain { READ | READ_EMPTY } else { READ };
        }
        if stream.room.is_some() && self.sends_held == 0 {
            flags |= WRITE;
        }
        [place as u32, len as u32, stream.room.unwrap_or(0), flags]
    }

    /// The same of a file: place, length, offset, flags.
    fn read_file(&mut self, file: &ReadFile<'_>, used: &mut usize) -> [u32; 4] {
        let place = *used + STAT_LEN;
        if place + file.content.len() > ARENA_LEN {
            return [0; 4];
        }
        self.copy_in(at::ARENA + *used, &file.stat);
        self.copy_in(at::ARENA + place, file.content);
        *used = place + file.content.len();
        [place as u32, file.content.len() as u32, file.offset, FILE]
    }

    /// From the thread's next call on, nothing more is answered.
    pub fn close(&mut self) {
        self.put(at::BUDGET, 0u32);
    }

    /// What is sent must stop for a while, so that it leaves at once.
    pub fn hold_sends(&mut self) {
        self.sends_held = HOLD_SENDS;
    }

    /// Has something been sent that waits in the journal?
    pub fn has_sent(&self) -> bool {
        self.word(at::SAID) > 0
    }

    /// Takes the calls that were answered; from here on nothing is, until [`open`](Self::open).
    pub fn take(&mut self) -> Journal {
        self.close();
        let used = (self.word(at::USED) as usize).min(JOURNAL_LEN);
        self.put(at::USED, 0u32);
        self.put(at::SAID, 0u32);
        Journal(if used == 0 { Vec::new() } else { self.copy_out(at::JOURNAL, used) })
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        sys::unmap(self.base, LANE_LEN);
    }
}
