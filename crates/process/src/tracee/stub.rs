//! The stub: the tiny image from which every process of the group starts, and the layout that it
//! fixes.
//!
//! It is an ELF file written by hand into a memfd. Its text is the scratch page itself, so that
//! nothing has to be mapped before calls can be run in a new image:
//! ```text
//! SCRATCH_START + 0   syscall     call gadget: the filter allows this instruction
//!               + 2   xchg rax, rdi
//!               + 4   xor eax, eax
//!               + 6   syscall     trap gadget: traced, so it hands control back
//!               + 8   ud2 ...     never reached
//! BLOB_START          the in-process code (see `blob`), whose own system calls the filter allows too
//! SCRATCH_DATA        two writable pages for the arguments of injected calls
//! LANE_START          memory shared with the supervisor (see `lane`), mapped by a call: no ELF file can ask for it
//!
//! SLOTS_START         a page of addresses: where patched call sites jump (see `call_site`)
//! STUBS_START         their stubs; private, so that a fork has its own
//! ```
//! A native call sets `rip` to the call gadget; its result goes to `rdi`, and the trap gadget at
//! once presents it in a seccomp stop: one stop a call and no signal involved. (`int3` would do
//! the same, but the kernel unblocks SIGTRAP and resets its handler when the program has it
//! blocked.) The trap's own number is always 0: the result must not be it, because newer kernels
//! let two numbers (335 `uretprobe`, 336 `uprobe`) pass every filter. The image begins behind the
//! call gadget, and so with the trap.

use std::os::fd::{AsRawFd, OwnedFd};

use super::{Result, blob, sys};

/// First address of the scratch pages.
pub const SCRATCH_START: u64 = 0x1_0000;
/// First address after the scratch pages and the lane: all of this is ours, in every image.
pub const SCRATCH_END: u64 = LANE_START + LANE_LEN;
/// First address of the call sites' slots and stubs. A program whose own image lies here is not patched.
pub const SITES_START: u64 = SLOTS_START;
/// First address after them.
pub const SITES_END: u64 = STUBS_START + (SITES_MAX * STUB_LEN) as u64;
/// One above the highest address of the program's stack.
pub const STACK_TOP: u64 = 0x7fff_ffff_f000;
/// Size of the program's stack, all of it mapped from the start.
pub const STACK_SIZE: u64 = 8 << 20;
/// How far below the stack's top the kernel is made to begin its search for free addresses, where libraries lie. Without randomisation it would leave
/// 128 MB, and some Intel processors run code a quarter slower whose stack is less than a gigabyte away (measured with CPython).
pub(super) const STACK_GAP: u64 = 4 << 30;
/// The descriptors that a tracee really owns: the supervisor's socket and the stub.
pub const RESERVED_FDS: [i32; 3] = [SOCKET_FD, STUB_FD, LANE_FD];

/// Where descriptors arrive.
pub(super) const SOCKET_FD: i32 = 1000;
/// The stub's memfd.
pub(super) const STUB_FD: i32 = 1001;
/// The lane's memfd.
pub(super) const LANE_FD: i32 = 1002;

pub(super) const PAGE: u64 = 4096;
/// `rip` of a native call from outside a system call.
pub(super) const CALL_GADGET: u64 = SCRATCH_START;
/// `rip` after that instruction: what the filter compares.
pub(super) const CALL_GADGET_AFTER: u64 = CALL_GADGET + 2;
/// `rip` at the stop which the trap gadget causes.
pub(super) const TRAP_GADGET_AFTER: u64 = CALL_GADGET + 8;
/// The writable scratch pages.
pub(super) const SCRATCH_DATA: u64 = SCRATCH_START + PAGE;
/// How many bytes they hold.
pub(super) const SCRATCH_DATA_LEN: usize = 2 * PAGE as usize;
/// The in-process code, on the same page as the gadgets.
pub(super) const BLOB_START: u64 = SCRATCH_START + 0x100;
/// The memory shared with the supervisor.
pub const LANE_START: u64 = SCRATCH_DATA + SCRATCH_DATA_LEN as u64;
/// Its length.
pub(super) const LANE_LEN: u64 = 0x1dd000;
/// Call sites that one image can have patched.
pub(super) const SITES_MAX: usize = 512;
/// Where their jumps look up the stub. The address ends a jump as `0f 05`, the bytes of `syscall`.
pub(super) const SLOTS_START: u64 = 0x050f_0000;
/// The stubs.
pub(super) const STUBS_START: u64 = SLOTS_START + PAGE;
/// Bytes of one.
pub(super) const STUB_LEN: usize = 64;

const _: () = assert!(SITES_MAX as u64 * 8 <= PAGE);

const ELF_HEADER_LEN: usize = 64;
const PROGRAM_HEADER_LEN: usize = 56;
const PT_LOAD: u32 = 1;
const PT_GNU_STACK: u32 = 0x6474_e551;
const R: u32 = 4;
const W: u32 = 2;
const X: u32 = 1;

/// One program header; sizes and addresses as in the ELF specification.
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file_len: u64,
    memory_len: u64,
}

const SEGMENTS: [Segment; 4] = [
    Segment { kind: PT_LOAD, flags: R | X, offset: PAGE, address: SCRATCH_START, file_len: PAGE, memory_len: PAGE },
    Segment {
        kind: PT_LOAD,
        flags: R | W,
        offset: 2 * PAGE,
        address: SCRATCH_DATA,
        file_len: SCRATCH_DATA_LEN as u64,
        memory_len: SCRATCH_DATA_LEN as u64,
    },
    Segment {
        kind: PT_LOAD,
        flags: R | X,
        offset: 4 * PAGE,
        address: SITES_START,
        file_len: SITES_END - SITES_START,
        memory_len: SITES_END - SITES_START,
    },
    Segment { kind: PT_GNU_STACK, flags: R | W, offset: 0, address: 0, file_len: 0, memory_len: 0 },
];

fn image() -> Vec<u8> {
    let mut elf = Vec::with_capacity(4 * PAGE as usize);
    elf.extend_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend_from_slice(&2u16.to_le_bytes()); // ET_EXEC
    elf.extend_from_slice(&62u16.to_le_bytes()); // EM_X86_64
    elf.extend_from_slice(&1u32.to_le_bytes());
    elf.extend_from_slice(&CALL_GADGET_AFTER.to_le_bytes()); // entry: on to the trap gadget
    elf.extend_from_slice(&(ELF_HEADER_LEN as u64).to_le_bytes());
    elf.extend_from_slice(&0u64.to_le_bytes());
    elf.extend_from_slice(&0u32.to_le_bytes());
    elf.extend_from_slice(&(ELF_HEADER_LEN as u16).to_le_bytes());
    elf.extend_from_slice(&(PROGRAM_HEADER_LEN as u16).to_le_bytes());
    elf.extend_from_slice(&(SEGMENTS.len() as u16).to_le_bytes());
    elf.extend_from_slice(&[0; 6]); // no sections
    for segment in &SEGMENTS {
        elf.extend_from_slice(&segment.kind.to_le_bytes());
        elf.extend_from_slice(&segment.flags.to_le_bytes());
        for field in [segment.offset, segment.address, segment.address, segment.file_len, segment.memory_len, PAGE] {
            elf.extend_from_slice(&field.to_le_bytes());
        }
    }
    elf.resize(PAGE as usize, 0);
    const SYSCALL: [u8; 2] = [0x0f, 0x05];
    const XCHG_RAX_RDI: [u8; 2] = [0x48, 0x97];
    const XOR_EAX_EAX: [u8; 2] = [0x31, 0xc0];
    const UD2: [u8; 2] = [0x0f, 0x0b];
    for instruction in [SYSCALL, XCHG_RAX_RDI, XOR_EAX_EAX, SYSCALL] {
        elf.extend_from_slice(&instruction);
    }
    let code = blob::code();
    let blob_at = (PAGE + BLOB_START - SCRATCH_START) as usize;
    while elf.len() < blob_at {
        elf.extend_from_slice(&UD2);
    }
    elf.extend_from_slice(code);
    assert!(elf.len() <= 2 * PAGE as usize, "gadgets and blob share one page");
    elf.resize((4 * PAGE + SITES_END - SITES_START) as usize, 0);
    elf
}

/// Writes the stub into a new memfd.
pub(super) fn memfd() -> Result<OwnedFd> {
    let fd = sys::memfd_create(c"gapless", libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING)?;
    let file = std::fs::File::from(fd);
    std::os::unix::fs::FileExt::write_all_at(&file, &image(), 0)
        .map_err(|e| sys::os_error("write to the stub's memfd", e))?;
    sys::seal(file.as_raw_fd())?;
    Ok(file.into())
}
