//! The in-process code: answers a patched call from the [`lane`](super::lane), or lets it stop.
//!
//! It lies behind the gadgets on the [`stub`](super::stub)'s text page, so it is there from the first instruction of every image. A call site's stub
//! ([`call_site`](super::call_site)) saves the stack pointer, switches to the blob's own stack and calls it with the system call's registers:
//! * answered: it returns with the result in `rax`, `r11` as a system call leaves it, and the program's stack pointer;
//! * not answered: it returns [`SLOW`] bytes further on, with all registers as they came.
//!
//! It reads the clock of a live replica by the time stamp counter, or, where that would trap, by the one system call that it makes. It uses no vector registers, which are the program's, and no memory but
//! the lane and what the program's pointers name. A bad pointer faults *before* anything is journalled; the supervisor then sends the
//! thread to [`bail`], and the call stops like any other.

use super::lane::{
    self, AMBIGUOUS, COUNTER_TICKS_MAX, FILE, FUTEX_COMMAND, FUTEX_LEN, IOVECS_MAX, JOURNAL_LEN, READ, READ_EMPTY,
    STAT_LEN, WAITERS_MAX, WRITE, at,
};
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
    ".pushsection .text.gapless_blob,\"ax\",@progbits",
    ".balign 16",
    ".globl gapless_blob",
    ".globl gapless_blob_called",
    ".globl gapless_blob_bail",
    ".globl gapless_blob_end",
    "gapless_blob:",
    "pushfq",
    "push rax",
    "push rdi",
    "push rsi",
    "push rdx",
    "push r8",
    "push r9",
    "push r10",
    "cld",
    "cmp dword ptr [{budget}], 0",
    "je 90f",
    "cmp dword ptr [{used}], {used_max}",
    "ja 90f",
    "cmp eax, {nr_read}",
    "je 20f",
    "cmp eax, {nr_write}",
    "je 30f",
    "cmp eax, {nr_clock_gettime}",
    "je 43f",
    "cmp eax, {nr_recvfrom}",
    "je 21f",
    "cmp eax, {nr_sendto}",
    "je 31f",
    "cmp eax, {nr_gettimeofday}",
    "je 12f",
    "cmp eax, {nr_time}",
    "je 14f",
    "cmp eax, {nr_writev}",
    "je 32f",
    "cmp eax, {nr_fstat}",
    "je 52f",
    "cmp eax, {nr_newfstatat}",
    "je 51f",
    "cmp eax, {nr_close}",
    "je 56f",
    "cmp eax, {nr_pread64}",
    "je 54f",
    "cmp eax, {nr_lseek}",
    "je 55f",
    "cmp eax, {nr_futex}",
    "je 23f",
    "cmp eax, {nr_sched_yield}",
    "je 35f",
    // A constant: r8 is the answer.
    "cmp eax, 256",
    "jae 90f",
    "mov r8, qword ptr [rax * 8 + {values}]",
    "cmp r8, -1",
    "je 90f",
    "mov r10, rdi",
    "xor r9d, r9d",
    "mov rax, r8",
    "jmp 80f",
    // clock_gettime(edi, rsi)
    "43:",
    "cmp edi, 8",
    "jae 90f",
    "mov ecx, {clocks}",
    "bt ecx, edi",
    "jnc 90f",
    "call 70f",
    "mov rax, r8",
    "mov ecx, {wall_clocks}",
    "bt ecx, r10d",
    "jnc 44f",
    "add rax, qword ptr [{realtime_offset}]",
    "44:",
    "xor edx, edx",
    "mov ecx, 1000000000",
    "div rcx",
    "mov qword ptr [r9], rax",
    "mov qword ptr [r9 + 8], rdx",
    "xor eax, eax",
    "jmp 79f",
    // gettimeofday(rdi, rsi)
    "12:",
    "test rsi, rsi",
    "jnz 90f",
    "test rdi, rdi",
    "jz 90f",
    "call 70f",
    "mov rax, r8",
    "add rax, qword ptr [{realtime_offset}]",
    "xor edx, edx",
    "mov ecx, 1000000000",
    "div rcx",
    "mov qword ptr [r10], rax",
    "mov rax, rdx",
    "xor edx, edx",
    "mov ecx, 1000",
    "div rcx",
    "mov qword ptr [r10 + 8], rax",
    "xor eax, eax",
    "jmp 79f",
    // time(rdi)
    "14:",
    "call 70f",
    "mov rax, r8",
    "add rax, qword ptr [{realtime_offset}]",
    "xor edx, edx",
    "mov ecx, 1000000000",
    "div rcx",
    "test r10, r10",
    "jz 79f",
    "mov qword ptr [r10], rax",
    "jmp 79f",
    // recvfrom(edi, rsi, rdx, r10, r8, r9): as read, if there are neither flags nor a place for the address.
    "21:",
    "test r10d, r10d",
    "jnz 90f",
    "test r8, r8",
    "jnz 90f",
    // read(edi, rsi, rdx)
    "20:",
    "call 60f",
    "test rdx, rdx",
    "jz 90f",
    "test dword ptr [r8 + 12], {file}",
    "jnz 53f",
    "test dword ptr [r8 + 12], {read}",
    "jz 90f",
    "mov ecx, dword ptr [r8 + 4]",
    "test ecx, ecx",
    "jz 22f",
    "cmp rcx, rdx",
    "cmova rcx, rdx",
    "mov rax, rcx",
    "mov rdi, rsi",
    "mov esi, dword ptr [r8]",
    "add rsi, {arena}",
    "rep movsb",
    "add dword ptr [r8], eax",
    "sub dword ptr [r8 + 4], eax",
    "mov r8, rax",
    "xor r9d, r9d",
    "jmp 80f",
    "22:",
    "test dword ptr [r8 + 12], {read_empty}",
    "jz 90f",
    "mov rax, {eagain}",
    "mov r8, rax",
    "xor r9d, r9d",
    "jmp 80f",
    // sendto(edi, rsi, rdx, r10, r8, r9): as write, if there is no address and no flag but MSG_NOSIGNAL.
    "31:",
    "test r8, r8",
    "jnz 90f",
    "test r10d, {not_nosignal}",
    "jnz 90f",
    // write(edi, rsi, rdx)
    "30:",
    "call 60f",
    "test dword ptr [r8 + 12], {write}",
    "jz 90f",
    "test rdx, rdx",
    "jz 90f",
    "mov ecx, dword ptr [r8 + 8]",
    "cmp rdx, rcx",
    "ja 90f",
    "mov ecx, dword ptr [{used}]",
    "lea rax, [rcx + rdx]",
    "cmp rax, {used_max}",
    "ja 90f",
    "lea rdi, [rcx + {journal} + {record_len}]",
    "mov rcx, rdx",
    "rep movsb",
    "sub dword ptr [r8 + 8], edx",
    "inc dword ptr [{said}]",
    "lea r9, [rdx + 7]",
    "and r9, -8",
    "mov r8, rdx",
    "mov rax, rdx",
    "jmp 80f",
    // writev(edi, rsi, edx) of a stream. In r11 the iovecs, in r9 the bytes that they name, in rdx their number.
    "32:",
    "call 60f",
    "test dword ptr [r8 + 12], {write}",
    "jz 90f",
    "test edx, edx",
    "jz 90f",
    "cmp edx, {iovecs_max}",
    "ja 90f",
    "mov r11, rsi",
    "xor r9d, r9d",
    "xor ecx, ecx",
    "33:",
    "mov rax, qword ptr [r11 + rcx * 8 + 8]",
    "cmp rax, {used_max}",
    "ja 90f",
    "add r9, rax",
    "add ecx, 2",
    "lea eax, [rdx * 2]",
    "cmp ecx, eax",
    "jb 33b",
    "test r9, r9",
    "jz 90f",
    "mov eax, dword ptr [r8 + 8]",
    "cmp r9, rax",
    "ja 90f",
    "mov ecx, dword ptr [{used}]",
    "mov eax, edx",
    "shl eax, 4",
    "add rax, rcx",
    "add rax, r9",
    "cmp rax, {used_max}",
    "ja 90f",
    "lea rdi, [rcx + {journal} + {record_len}]",
    "mov rsi, r11",
    "mov ecx, edx",
    "shl ecx, 4",
    "rep movsb",
    "xor eax, eax",
    "34:",
    "mov rsi, qword ptr [r11 + rax]",
    "mov rcx, qword ptr [r11 + rax + 8]",
    "rep movsb",
    "add eax, 16",
    "mov ecx, edx",
    "shl ecx, 4",
    "cmp eax, ecx",
    "jb 34b",
    "sub dword ptr [r8 + 8], r9d",
    "inc dword ptr [{said}]",
    "mov rax, r9",
    "mov r8d, edx",
    "shl r8, 32",
    "or r8, r9",
    "shl edx, 4",
    "lea r9, [r9 + rdx + 7]",
    "and r9, -8",
    "jmp 80f",
    // newfstatat(edi, rsi, rdx, r10): of the descriptor itself.
    "51:",
    "cmp r10d, {empty_path}",
    "jne 90f",
    "cmp byte ptr [rsi], 0",
    "jne 90f",
    "mov rsi, rdx",
    // fstat(edi, rsi)
    "52:",
    "call 60f",
    "test dword ptr [r8 + 12], {file}",
    "jz 90f",
    "mov rdi, rsi",
    "mov esi, dword ptr [r8]",
    "lea rsi, [rsi + {arena} - {stat_len}]",
    "mov ecx, {stat_len}",
    "rep movsb",
    "jmp 57f",
    // read of a file, at its offset, which moves on.
    "53:",
    "mov r11d, dword ptr [r8 + 8]",
    "call 61f",
    "add dword ptr [r8 + 8], eax",
    "jmp 58f",
    // pread64(edi, rsi, rdx, r10)
    "54:",
    "cmp r10, 0x7fffffff",
    "ja 90f",
    "mov r11, r10",
    "call 60f",
    "test rdx, rdx",
    "jz 90f",
    "test dword ptr [r8 + 12], {file}",
    "jz 90f",
    "call 61f",
    "jmp 58f",
    // lseek(edi, rsi, edx)
    "55:",
    "call 60f",
    "test dword ptr [r8 + 12], {file}",
    "jz 90f",
    "xor eax, eax",
    "cmp edx, {seek_set}",
    "je 59f",
    "mov eax, dword ptr [r8 + 8]",
    "cmp edx, {seek_cur}",
    "je 59f",
    "mov eax, dword ptr [r8 + 4]",
    "cmp edx, {seek_end}",
    "jne 90f",
    "59:",
    "add rax, rsi",
    "cmp rax, 0x7fffffff",
    "ja 90f",
    "mov dword ptr [r8 + 8], eax",
    "jmp 58f",
    // close(edi) of a file.
    "56:",
    "call 60f",
    "test dword ptr [r8 + 12], {file}",
    "jz 90f",
    "mov dword ptr [r8 + 12], 0",
    "57:",
    "xor eax, eax",
    "58:",
    "mov r8, rax",
    "xor r9d, r9d",
    "jmp 80f",
    // futex(rdi, esi, edx, r10, r8, r9d): the command into ecx, the bitset into r11d.
    "23:",
    "test edi, 3",
    "jnz 90f",
    "mov ecx, esi",
    "and ecx, {futex_command}",
    "mov r11d, -1",
    "cmp ecx, {futex_wake}",
    "je 24f",
    "cmp ecx, {futex_wait}",
    "je 28f",
    "mov r11d, r9d",
    "test r11d, r11d",
    "jz 90f",
    "cmp ecx, {futex_wake_bitset}",
    "je 24f",
    "cmp ecx, {futex_wait_bitset}",
    "je 28f",
    "jmp 90f",
    // Wakes up to edx, one at least, of those who wait for the word at rdi and whose bitset meets r11d; the first of them decides whether it can
    // be done here.
    "24:",
    "mov r9d, 1",
    "cmp edx, r9d",
    "cmovl edx, r9d",
    "mov ecx, dword ptr [{waiting}]",
    "cmp ecx, {waiters_max}",
    "ja 90f",
    "shl ecx, 4",
    "add ecx, {waiters}",
    "mov r8d, {waiters}",
    "xor eax, eax",
    "25:",
    "cmp r8d, ecx",
    "jae 27f",
    "cmp qword ptr [r8], rdi",
    "jne 26f",
    "test dword ptr [r8 + 8], r11d",
    "jz 26f",
    "cmp eax, edx",
    "jae 27f",
    "mov r9d, dword ptr [r8 + 12]",
    "cmp r9d, {ambiguous}",
    "je 90f",
    // Now somebody else is ready: no more events than the slice leaves, and one at least.
    "mov r10d, dword ptr [{slice_end}]",
    "sub r10d, dword ptr [{events}]",
    "jbe 90f",
    "cmp r10d, dword ptr [{budget}]",
    "cmova r10d, dword ptr [{budget}]",
    "mov dword ptr [{budget}], r10d",
    "mov qword ptr [r8], 0",
    "mov r10d, dword ptr [{ready_tail}]",
    "mov dword ptr [r10 * 4 + {ready}], r9d",
    "inc dword ptr [{ready_tail}]",
    "inc eax",
    "26:",
    "add r8d, 16",
    "jmp 25b",
    "27:",
    "xor r8d, r8d",
    "jmp 29f",
    // Waits if the word at rdi is edx: not here.
    "28:",
    "mov r8d, dword ptr [rdi]",
    "cmp r8d, edx",
    "je 90f",
    "mov rax, {eagain}",
    // Journalled with all arguments, as the frame has them: r8 the word, if it was read; rax is the result.
    "29:",
    "mov ecx, dword ptr [{used}]",
    "lea edi, [rcx + {journal} + {record_len}]",
    "mov esi, {frame}",
    "mov ecx, 6",
    "rep movsq",
    "mov qword ptr [rdi], r8",
    "mov r8, rax",
    "mov r10d, dword ptr [{frame_arg}]",
    "mov r9d, {futex_len}",
    "jmp 80f",
    // sched_yield(), while nobody else is ready; who is woken after it is next.
    "35:",
    "mov eax, dword ptr [{ready_head}]",
    "cmp eax, dword ptr [{ready_tail}]",
    "jne 90f",
    "mov dword ptr [{slice_end}], 0",
    "mov r10d, edi",
    "jmp 57b",
    // The grant of descriptor edi: into r8, and edi into r10d.
    "60:",
    "cmp edi, {fds_max}",
    "jae 90f",
    "mov r10d, edi",
    "mov r8d, edi",
    "shl r8d, 4",
    "add r8d, {grants}",
    "ret",
    // Up to rdx bytes of a file from offset r11 on, to rsi: their number into rax.
    "61:",
    "xor eax, eax",
    "mov ecx, dword ptr [r8 + 4]",
    "sub rcx, r11",
    "jbe 62f",
    "cmp rcx, rdx",
    "cmova rcx, rdx",
    "mov rax, rcx",
    "mov rdi, rsi",
    "mov esi, dword ptr [r8]",
    "lea rsi, [rsi + r11 + {arena}]",
    "rep movsb",
    "62:",
    "ret",
    // A reading of the clock: into r8, with rdi in r10 and rsi in r9. Returns only if there is one.
    "70:",
    "mov r9, rsi",
    "mov r10, rdi",
    "cmp dword ptr [{live}], 0",
    "je 71f",
    "cmp dword ptr [{counter}], 0",
    "je 73f",
    // By the counter: since a moment that is not long ago.
    "lfence",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "sub rax, qword ptr [{counter_base}]",
    "jb 90f",
    "mov rcx, {counter_ticks_max}",
    "cmp rax, rcx",
    "ja 90f",
    "mul qword ptr [{counter_rate}]",
    "shrd rax, rdx, 32",
    "add rax, qword ptr [{counter_nanos}]",
    "mov r8, rax",
    "cmp r8, qword ptr [{now}]",
    "cmovb r8, qword ptr [{now}]",
    "jmp 72f",
    // By a call.
    "73:",
    "mov eax, {nr_clock_gettime}",
    "mov edi, 1",
    "mov esi, {timespec}",
    "syscall",
    "gapless_blob_called:",
    "test rax, rax",
    "jnz 90f",
    "imul r8, qword ptr [{timespec}], 1000000000",
    "add r8, qword ptr [{timespec} + 8]",
    "add r8, qword ptr [{clock_offset}]",
    "cmp r8, qword ptr [{now}]",
    "cmovl r8, qword ptr [{now}]",
    "jmp 72f",
    "71:",
    "mov ecx, dword ptr [{ring_next}]",
    "cmp ecx, dword ptr [{ring_count}]",
    "jae 90f",
    "mov edx, ecx",
    "shl edx, 4",
    "mov eax, dword ptr [rdx + {ring}]",
    "cmp eax, dword ptr [{events}]",
    "jne 90f",
    "mov r8, qword ptr [rdx + {ring} + 8]",
    "inc ecx",
    "mov dword ptr [{ring_next}], ecx",
    "72:",
    "cmp r8, qword ptr [{due}]",
    "jae 90f",
    "ret",
    // Journalled: call number from the frame, r10d first argument, r8 value, r9 bytes that follow; rax is the result.
    "79:",
    "mov qword ptr [{now}], r8",
    "xor r9d, r9d",
    "80:",
    "mov ecx, dword ptr [{used}]",
    "mov edx, dword ptr [{frame_nr}]",
    "mov dword ptr [rcx + {journal}], edx",
    "mov dword ptr [rcx + {journal} + 4], r10d",
    "mov qword ptr [rcx + {journal} + 8], r8",
    "lea ecx, [rcx + r9 + {record_len}]",
    "mov dword ptr [{used}], ecx",
    "inc dword ptr [{events}]",
    "dec dword ptr [{budget}]",
    "mov qword ptr [{frame_nr}], rax",
    "jmp 91f",
    // Not answered: back to where the stub makes the call.
    "90:",
    "gapless_blob_bail:",
    "add qword ptr [{frame_return}], {slow}",
    "91:",
    "mov esp, {frame}",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rdx",
    "pop rsi",
    "pop rdi",
    "pop rax",
    "mov r11, qword ptr [rsp]",
    "popfq",
    "pop rcx",
    "mov rsp, qword ptr [{saved_rsp}]",
    "jmp rcx",
    "gapless_blob_end:",
    ".popsection",
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
    frame_arg = const FRAME_ARG,
    frame_nr = const FRAME_NR,
    frame_return = const FRAME_RETURN,
    record_len = const lane::RECORD_LEN,
    fds_max = const lane::FDS_MAX,
    read = const READ,
    read_empty = const READ_EMPTY,
    write = const WRITE,
    file = const FILE,
    stat_len = const STAT_LEN,
    iovecs_max = const IOVECS_MAX,
    empty_path = const libc::AT_EMPTY_PATH,
    seek_set = const libc::SEEK_SET,
    seek_cur = const libc::SEEK_CUR,
    seek_end = const libc::SEEK_END,
    waiters_max = const WAITERS_MAX,
    ambiguous = const AMBIGUOUS,
    futex_len = const FUTEX_LEN,
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
    nr_futex = const libc::SYS_futex,
    nr_sched_yield = const libc::SYS_sched_yield,
);

unsafe extern "C" {
    static gapless_blob: u8;
    static gapless_blob_called: u8;
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

/// `rip` after its own system call: what the filter compares.
pub(super) fn called() -> u64 {
    BLOB_START + offset(&raw const gapless_blob_called)
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
    fn it_makes_one_system_call_which_the_filter_knows() {
        let calls: Vec<u64> =
            instructions().iter().filter(|i| i.mnemonic() == Mnemonic::Syscall).map(Instruction::next_ip).collect();
        assert_eq!(calls, [called()]);
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
