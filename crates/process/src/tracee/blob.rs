//! The in-process code: answers a patched call from the [`lane`](super::lane), or lets it stop.
//!
//! It lies behind the gadgets on the [`stub`](super::stub)'s text page, so it is there from the first instruction of every image. A call site's stub
//! ([`call_site`](super::call_site)) saves the stack pointer, switches to the blob's own stack and calls it with the system call's registers:
//! * answered: it returns with the result in `rax`, `r11` as a system call leaves it, and the program's stack pointer;
//! * not answered: it returns [`SLOW`] bytes further on, with all registers as they came.
//!
//! It reads the clock of a live replica by the time stamp counter, or, where that would trap, by a system call. A thread that waits for a futex parks
//! here, if the next one that can run is parked too: then the baton passes by two system calls, one that wakes the other and one that waits. It uses
//! no vector registers, which are the program's, and no memory but the lane and what the program's pointers name. A bad pointer faults *before*
//! anything is journalled; the supervisor then sends the thread to [`bail`], and the call stops like any other.

use super::lane::{
    self, AMBIGUOUS, COUNTER_TICKS_MAX, FILE, FUTEX_COMMAND, FUTEX_LEN, GO, HANDED_OVER, IOVECS_MAX, JOURNAL_LEN, OWN,
    PARKED, READ, READ_EMPTY, SLICE_EVENTS, STAT_LEN, WAITERS_MAX, WRITE, at,
};
use super::names::{self, entry};
use super::stub::{BLOB_START, LANE_START};

/// How much further on the blob returns when it has not answered.
pub(super) const SLOW: u8 = 12;

const LANE: usize = LANE_START as usize;
/// Where a call site's stub saves the program's stack pointer, and what it puts in its place.
pub(super) const SAVED_RSP: u32 = (LANE + at::SAVED_RSP) as u32;
pub(super) const STACK_TOP: u32 = (LANE + at::STACK_END) as u32;
/// What the blob pushes: the flags and seven registers. At a fixed place, because its stack is always empty when it is entered (a call site's `call`
/// has pushed the return address).
const FRAME: usize = LANE + at::STACK_END - 8 - 8 * 8;
/// Words of the frame, the return address among them.
pub(super) const FRAME_WORDS: usize = 9;
/// Where the first argument of the call is in the frame.
const FRAME_ARG: usize = FRAME + 5 * 8;
/// Where the number of the call is in the frame, and in the end its result.
const FRAME_NR: usize = FRAME + 6 * 8;
/// Where the return address is, above the flags.
const FRAME_RETURN: usize = FRAME + 8 * 8;
/// A record and room to spare: the journal has this much, or nothing is answered.
const JOURNAL_SPARE: usize = 128;
/// Clocks by their number: those that show the monotonic clock or the wall clock (time.h), and of these the latter.
const CLOCKS: u32 = 1 << 0 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7;
const WALL_CLOCKS: u32 = 1 << 0 | 1 << 5;

std::arch::global_asm!(
    include_str!("blob.s"),
    budget = const LANE + at::BUDGET,
    events = const LANE + at::EVENTS,
    used = const LANE + at::USED,
    used_max = const JOURNAL_LEN - JOURNAL_SPARE,
    live = const LANE + at::LIVE,
    now = const LANE + at::NOW,
    due = const LANE + at::DUE,
    clock_offset = const LANE + at::CLOCK_OFFSET,
    counter = const LANE + at::COUNTER,
    counter_base = const LANE + at::COUNTER_BASE,
    counter_nanos = const LANE + at::COUNTER_NANOS,
    counter_rate = const LANE + at::COUNTER_RATE,
    counter_ticks_max = const COUNTER_TICKS_MAX,
    realtime_offset = const LANE + at::REALTIME_OFFSET,
    ring_next = const LANE + at::RING_NEXT,
    ring_count = const LANE + at::RING_COUNT,
    saved_rsp = const LANE + at::SAVED_RSP,
    timespec = const LANE + at::TIMESPEC,
    said = const LANE + at::SAID,
    owner = const LANE + at::OWNER,
    fds_limit = const LANE + at::FDS_LIMIT,
    free = const LANE + at::FREE,
    names = const LANE + at::NAMES,
    entry_next = const entry::NEXT,
    entry_number = const entry::NUMBER,
    entry_call = const entry::CALL,
    entry_dirfd = const entry::DIRFD,
    entry_flags = const entry::FLAGS,
    entry_len = const entry::LEN,
    entry_result = const entry::RESULT,
    entry_counts = const entry::COUNTS,
    entry_bytes = const entry::BYTES,
    entry_bytes_len = const entry::BYTES_LEN,
    entry_opens = const entry::OPENS,
    entry_grant = const entry::GRANT,
    entry_path = const entry::PATH,
    hash_start = const names::HASH_START as i32,
    hash_prime = const names::HASH_PRIME,
    path_max = const names::PATH_MAX,
    buckets_mask = const names::BUCKETS - 1,
    cwd = const libc::AT_FDCWD,
    slash = const b'/' as i32,
    limit = const LANE + at::LIMIT,
    holder = const LANE + at::HOLDER,
    shared_start = const LANE + at::SHARED_START,
    shared_end = const LANE + at::SHARED_END,
    slice_end = const LANE + at::SLICE_END,
    waiting = const LANE + at::WAITING,
    ready_head = const LANE + at::READY_HEAD,
    ready_tail = const LANE + at::READY_TAIL,
    values = const LANE + at::VALUES,
    grants = const LANE + at::GRANTS,
    ring = const LANE + at::RING,
    waiters = const LANE + at::WAITERS,
    ready = const LANE + at::READY,
    journal = const LANE + at::JOURNAL,
    arena = const LANE + at::ARENA,
    frame = const FRAME,
    frame_words = const FRAME_WORDS,
    frame_arg = const FRAME_ARG,
    frame_nr = const FRAME_NR,
    frame_return = const FRAME_RETURN,
    record_len = const lane::RECORD_LEN,
    fds_max = const lane::FDS_MAX,
    read = const READ,
    read_empty = const READ_EMPTY,
    write = const WRITE,
    file = const FILE,
    own = const OWN,
    stat_len = const STAT_LEN,
    iovecs_max = const IOVECS_MAX,
    empty_path = const libc::AT_EMPTY_PATH,
    seek_set = const libc::SEEK_SET,
    seek_cur = const libc::SEEK_CUR,
    seek_end = const libc::SEEK_END,
    waiters_max = const WAITERS_MAX,
    ambiguous = const AMBIGUOUS,
    futex_len = const FUTEX_LEN,
    handed_over = const HANDED_OVER,
    slice = const SLICE_EVENTS,
    parked = const PARKED,
    go = const GO,
    futex_command = const FUTEX_COMMAND,
    futex_wait = const libc::FUTEX_WAIT,
    futex_wake = const libc::FUTEX_WAKE,
    futex_wait_bitset = const libc::FUTEX_WAIT_BITSET,
    futex_wake_bitset = const libc::FUTEX_WAKE_BITSET,
    slow = const SLOW,
    clocks = const CLOCKS,
    wall_clocks = const WALL_CLOCKS,
    eagain = const -libc::EAGAIN,
    not_nosignal = const !libc::MSG_NOSIGNAL,
    nr_read = const libc::SYS_read,
    nr_write = const libc::SYS_write,
    nr_clock_gettime = const libc::SYS_clock_gettime,
    nr_recvfrom = const libc::SYS_recvfrom,
    nr_sendto = const libc::SYS_sendto,
    nr_gettimeofday = const libc::SYS_gettimeofday,
    nr_time = const libc::SYS_time,
    nr_writev = const libc::SYS_writev,
    nr_fstat = const libc::SYS_fstat,
    nr_newfstatat = const libc::SYS_newfstatat,
    nr_close = const libc::SYS_close,
    nr_pread64 = const libc::SYS_pread64,
    nr_lseek = const libc::SYS_lseek,
    nr_pwrite64 = const libc::SYS_pwrite64,
    nr_openat = const libc::SYS_openat,
    nr_open = const libc::SYS_open,
    nr_stat = const libc::SYS_stat,
    nr_lstat = const libc::SYS_lstat,
    nr_access = const libc::SYS_access,
    nr_readlink = const libc::SYS_readlink,
    nr_readlinkat = const libc::SYS_readlinkat,
    nr_statx = const libc::SYS_statx,
    nr_futex = const libc::SYS_futex,
    nr_gettid = const libc::SYS_gettid,
    nr_sched_yield = const libc::SYS_sched_yield,
);

unsafe extern "C" {
    static gapless_blob: u8;
    static gapless_blob_called: u8;
    static gapless_blob_woke: u8;
    static gapless_blob_park: u8;
    static gapless_blob_waited: u8;
    static gapless_blob_bail: u8;
    static gapless_blob_end: u8;
}

/// Offset of a label from the blob's beginning.
fn offset(label: *const u8) -> u64 {
    label as u64 - &raw const gapless_blob as u64
}

/// The code. It runs at [`BLOB_START`] and nowhere else.
pub(super) fn code() -> &'static [u8] {
    let len = offset(&raw const gapless_blob_end) as usize;
    // SAFETY: the labels bound one section of our own text, which never changes.
    unsafe { std::slice::from_raw_parts(&raw const gapless_blob, len) }
}

/// `rip` after each of its own system calls, which the filter lets happen: reading the clock, waking the next thread, and waiting to be woken.
pub(super) fn called() -> [u64; 3] {
    let labels = [&raw const gapless_blob_called, &raw const gapless_blob_woke, &raw const gapless_blob_waited];
    labels.map(|label| BLOB_START + offset(label))
}

/// Where a thread parks, with its slot in `rdi`.
pub(super) fn park() -> u64 {
    BLOB_START + offset(&raw const gapless_blob_park)
}

/// Where a thread that faulted in the blob goes on.
pub(super) fn bail() -> u64 {
    BLOB_START + offset(&raw const gapless_blob_bail)
}

/// Is this address in the blob?
pub(super) fn contains(rip: u64) -> bool {
    (BLOB_START..BLOB_START + code().len() as u64).contains(&rip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

    fn instructions() -> Vec<Instruction> {
        Decoder::with_ip(64, code(), BLOB_START, DecoderOptions::NONE).iter().collect()
    }

    #[test]
    fn only_general_registers_are_used() {
        // The decoder numbers them in this order: general registers, rip, segments, control, x87, vectors.
        let others = |i: &Instruction| (0..i.op_count()).any(|op| i.op_register(op) as u32 > Register::R15 as u32);
        for i in instructions() {
            assert!(!i.is_invalid() && !others(&i), "{:?} at {:#x}", i.code(), i.ip());
        }
    }

    #[test]
    fn it_makes_the_system_calls_that_the_filter_knows() {
        let mut calls = called();
        calls.sort_unstable();
        let found: Vec<u64> =
            instructions().iter().filter(|i| i.mnemonic() == Mnemonic::Syscall).map(Instruction::next_ip).collect();
        assert_eq!(found, calls);
    }

    #[test]
    fn it_touches_fixed_memory_only_in_the_lane() {
        let lane = LANE_START..LANE_START + super::super::stub::LANE_LEN;
        let in_memory = |i: &Instruction| (0..i.op_count()).any(|op| i.op_kind(op) == OpKind::Memory);
        for i in instructions().into_iter().filter(in_memory) {
            let fixed = i.memory_displacement64();
            // Small displacements are of the program's structures and of grants.
            assert!(fixed <= 16 || lane.contains(&fixed), "{:?} at {:#x}", i.code(), i.ip());
        }
        assert!(lane.contains(&(FRAME as u64)) && contains(bail()));
    }
}
