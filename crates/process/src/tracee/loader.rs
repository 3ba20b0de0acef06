//! `execve`, second half: a program put into a fresh stub.
//!
//! [`Plan::new`] decides everything and can refuse; nothing has been destroyed by then. After
//! [`Tracee::exec_stub`] (or on a new [`Tracee::spawn`]) [`Plan::load`] carries it out. Addresses
//! depend on the files alone.
//!
//! Left out: `#!` scripts, permissions and set-user-id bits are the model's.

use std::os::fd::BorrowedFd;

use super::elf::{Elf, Errno, MAP_END, page_up};
use super::group::initial_regs;
use super::stack::{self, Stack, Strings};
use super::stub::{PAGE, SCRATCH_END, STACK_GAP, STACK_SIZE, STACK_TOP};
use super::{Error, Fault, Result, Tracee};

/// Where the kernel puts position-independent programs when addresses are not randomised.
const PIE_BASE: u64 = 0x5555_5555_4000;
/// Where the kernel's own search for free addresses starts (downwards), its guard below the stack left out; the interpreter ends here.
const INTERP_END: u64 = STACK_TOP - STACK_GAP - (1 << 20);

/// An ELF file and a descriptor to map it from.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// What [`Elf::read`] found.
    pub elf: &'a Elf,
    /// The file; need not stay open after [`Plan::load`].
    pub file: BorrowedFd<'a>,
}

/// What a program finds on its stack when it starts.
#[derive(Debug, Clone)]
pub struct Start {
    /// Arguments, the program's name first.
    pub argv: Vec<Vec<u8>>,
    /// Environment.
    pub envp: Vec<Vec<u8>>,
    /// The path that was executed (AT_EXECFN).
    pub execfn: Vec<u8>,
    /// AT_RANDOM.
    pub random: [u8; 16],
    /// AT_UID, AT_EUID, AT_GID, AT_EGID.
    pub ids: [u32; 4],
    /// AT_SECURE.
    pub secure: bool,
    /// AT_HWCAP (`cpuid` leaf 1, edx).
    pub hwcap: u64,
    /// AT_HWCAP2.
    pub hwcap2: u64,
    /// AT_MINSIGSTKSZ.
    pub signal_stack_min: u64,
}

/// A mapped piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// First address, a multiple of the page size.
    pub address: u64,
    /// Length in whole pages.
    pub len: u64,
    /// Protection (`PROT_*`).
    pub prot: i32,
    /// Whose: the program's (false) or the interpreter's (true).
    pub of_interp: bool,
    /// Offset in the file; none for memory that starts as zeros.
    pub offset: Option<u64>,
}

/// A program in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The first instruction: the interpreter's if there is one.
    pub start: u64,
    /// The program's own entry.
    pub entry: u64,
    /// What is added to the program's linked addresses.
    pub bias: u64,
    /// Where the interpreter is (AT_BASE); 0 without one.
    pub interp_base: u64,
    /// First address of the heap (`brk`), at the end of the program's data.
    pub brk_start: u64,
    /// The initial stack pointer.
    pub rsp: u64,
    /// Everything mapped, in order of mapping.
    pub pieces: Vec<Piece>,
}

/// A load that has been found possible.
#[derive(Debug)]
pub struct Plan<'a> {
    main: Object<'a>,
    interp: Option<Object<'a>>,
    loaded: Loaded,
    /// Ranges behind a segment's file part that must read as zeros.
    zeros: Vec<(u64, u64)>,
    stack: Vec<u8>,
    name: [u8; 16],
}

impl<'a> Plan<'a> {
    /// Decides where everything goes. `interp` must be given if and only if the program's
    /// [`Elf::interp`] says so.
    pub fn new(main: Object<'a>, interp: Option<Object<'a>>, start: &Start) -> Result<Plan<'a>, Errno> {
        let mut pieces = Vec::new();
        let mut zeros = Vec::new();
        let bias = if main.elf.is_dyn { bias_at_least(main.elf, PIE_BASE)? } else { 0 };
        place(main.elf, bias, false, &mut pieces, &mut zeros);
        let interp_bias = match interp {
            Some(object) => {
                let bias = interp_bias(object.elf)?;
                place(object.elf, bias, true, &mut pieces, &mut zeros);
                bias
            }
            None => 0,
        };
        check_overlap(&pieces)?;
        let entry = main.elf.entry.wrapping_add(bias);
        let first = interp.map_or(entry, |object| object.elf.entry.wrapping_add(interp_bias));
        let headers = main.elf.headers_address.wrapping_add(bias);
        let interp_base = interp.map_or(0, |object| object.elf.start().wrapping_add(interp_bias));
        let Stack { rsp, bytes: stack } = build_stack(start, main.elf, headers, interp_base, entry)?;
        let brk_start = main.elf.end() + bias;
        Ok(Plan {
            main,
            interp,
            loaded: Loaded { start: first, entry, bias, interp_base, brk_start, rsp, pieces },
            zeros,
            stack,
            name: command_name(&start.execfn),
        })
    }

    /// What will be, for those who want to know before.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Loads the program into a fresh stub. The thread then stands before its first instruction,
    /// with the registers that the kernel gives a new program.
    pub fn load(&self, tracee: &mut Tracee) -> Result<Loaded> {
        self.map(tracee, self.main, false)?;
        if let Some(interp) = self.interp {
            self.map(tracee, interp, true)?;
        }
        for &(from, to) in &self.zeros {
            let zeros = vec![0u8; (to - from) as usize];
            tracee.poke_force(from, &zeros).map_err(|Fault| lost(tracee))?;
        }
        tracee.write_all(self.loaded.rsp, &self.stack).map_err(|Fault| lost(tracee))?;
        if self.main.elf.exec_stack {
            let prot = (libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC) as u64;
            tracee.native_ok("mprotect", libc::SYS_mprotect, [STACK_TOP - STACK_SIZE, STACK_SIZE, prot, 0, 0, 0])?;
        }
        let (scratch, _) = tracee.scratch();
        tracee.write_scratch(scratch, &self.name)?;
        tracee.native_ok("prctl", libc::SYS_prctl, [libc::PR_SET_NAME as u64, scratch, 0, 0, 0, 0])?;
        *tracee.regs_mut() = initial_regs(self.loaded.start, self.loaded.rsp);
        Ok(self.loaded.clone())
    }

    fn map(&self, tracee: &mut Tracee, object: Object<'_>, of_interp: bool) -> Result<()> {
        let fd = tracee.pass_fd(object.file)?;
        for piece in self.loaded.pieces.iter().filter(|piece| piece.of_interp == of_interp) {
            let fixed = libc::MAP_PRIVATE | libc::MAP_FIXED;
            let (flags, fd, offset) = match piece.offset {
                Some(offset) => (fixed, fd, offset),
                None => (fixed | libc::MAP_ANONYMOUS, -1, 0),
            };
            let args = [piece.address, piece.len, piece.prot as u64, flags as u64, fd as u64, offset];
            tracee.native_ok("mmap", libc::SYS_mmap, args)?;
        }
        tracee.close_fd(fd)
    }
}

fn lost(tracee: &Tracee) -> Error {
    Error::Misuse { tid: tracee.tid(), what: "a fresh image cannot be written (file shorter than its headers say?)" }
}

/// What to add so that the file starts at `base` or the next address that its alignment allows.
fn bias_at_least(elf: &Elf, base: u64) -> Result<u64, Errno> {
    let start = elf.start() / elf.align_max * elf.align_max;
    let base = base.div_ceil(elf.align_max) * elf.align_max;
    let bias = base.checked_sub(start).ok_or(Errno(libc::ENOMEM))?;
    if elf.end().checked_add(bias).is_none_or(|end| end > INTERP_END) {
        return Err(Errno(libc::ENOMEM));
    }
    Ok(bias)
}

/// What to add so that the interpreter ends at [`INTERP_END`] at the latest.
fn interp_bias(elf: &Elf) -> Result<u64, Errno> {
    if !elf.is_dyn {
        return Ok(0);
    }
    let span = elf.end() - elf.start();
    let base = INTERP_END.checked_sub(span).ok_or(Errno(libc::ENOMEM))? / elf.align_max * elf.align_max;
    let start = elf.start() / elf.align_max * elf.align_max;
    base.checked_sub(start).ok_or(Errno(libc::ENOMEM))
}

/// Cuts segments into what comes from the file and what starts as zeros.
fn place(elf: &Elf, bias: u64, of_interp: bool, pieces: &mut Vec<Piece>, zeros: &mut Vec<(u64, u64)>) {
    for segment in &elf.segments {
        let address = segment.address + bias;
        let first = address & !(PAGE - 1);
        let file_end = address + segment.file_len;
        let memory_end = page_up(address + segment.memory_len);
        let mut anonymous_from = first;
        if segment.file_len > 0 {
            anonymous_from = page_up(file_end);
            pieces.push(Piece {
                address: first,
                len: anonymous_from - first,
                prot: segment.prot,
                of_interp,
                offset: Some(segment.offset & !(PAGE - 1)),
            });
            let writable = segment.prot & libc::PROT_WRITE != 0;
            if segment.memory_len > segment.file_len && writable && file_end < anonymous_from {
                zeros.push((file_end, anonymous_from));
            }
        }
        if memory_end > anonymous_from {
            pieces.push(Piece {
                address: anonymous_from,
                len: memory_end - anonymous_from,
                prot: segment.prot,
                of_interp,
                offset: None,
            });
        }
    }
}

/// The program, its interpreter, our scratch pages and the stack must not meet. (Neighbouring
/// segments of one file may share a page: the later one wins, as in the kernel.)
fn check_overlap(pieces: &[Piece]) -> Result<(), Errno> {
    let range = |of_interp: bool| {
        let mine = || pieces.iter().filter(move |piece| piece.of_interp == of_interp);
        let start = mine().map(|piece| piece.address).min()?;
        Some((start, mine().map(|piece| piece.address + piece.len).max()?))
    };
    let ranges = [range(false), range(true)];
    let bad = ranges.iter().flatten().any(|(start, end)| *start < SCRATCH_END || *end > MAP_END);
    let meet = match ranges {
        [Some(a), Some(b)] => a.0 < b.1 && b.0 < a.1,
        _ => false,
    };
    if bad || meet { Err(Errno(libc::ENOMEM)) } else { Ok(()) }
}

fn build_stack(start: &Start, elf: &Elf, headers: u64, interp_base: u64, entry: u64) -> Result<Stack, Errno> {
    let strings = Strings { argv: &start.argv, envp: &start.envp, execfn: &start.execfn };
    let [uid, euid, gid, egid] = start.ids.map(u64::from);
    stack::build(&strings, &start.random, |places| {
        vec![
            (AT_MINSIGSTKSZ, start.signal_stack_min),
            (libc::AT_HWCAP, start.hwcap),
            (libc::AT_PAGESZ, PAGE),
            (libc::AT_CLKTCK, 100),
            (libc::AT_PHDR, headers),
            (libc::AT_PHENT, 56),
            (libc::AT_PHNUM, u64::from(elf.headers_count)),
            (libc::AT_BASE, interp_base),
            (libc::AT_FLAGS, 0),
            (libc::AT_ENTRY, entry),
            (libc::AT_UID, uid),
            (libc::AT_EUID, euid),
            (libc::AT_GID, gid),
            (libc::AT_EGID, egid),
            (libc::AT_SECURE, u64::from(start.secure)),
            (libc::AT_RANDOM, places.random),
            (libc::AT_HWCAP2, start.hwcap2),
            (libc::AT_EXECFN, places.execfn),
            (libc::AT_PLATFORM, places.platform),
        ]
    })
}

const AT_MINSIGSTKSZ: u64 = 51;

/// The name that `ps` shows: the last part of the path.
fn command_name(path: &[u8]) -> [u8; 16] {
    let base = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let mut name = [0u8; 16];
    let len = base.len().min(15);
    name[..len].copy_from_slice(&base[..len]);
    name
}
