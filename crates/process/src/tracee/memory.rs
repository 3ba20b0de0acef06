//! The program's memory, and how a descriptor is put into its hands.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

use super::insn::Trapped;
use super::sites::{PATCH, Site, find_sites};
use super::stub::{PAGE, SCRATCH_DATA, SCRATCH_DATA_LEN, SOCKET_FD};
use super::{Error, Result, Tracee, sys};

/// The address is not mapped, or not for this kind of access: EFAULT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bad address")]
pub struct Fault;

/// Why a string could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StrFault {
    /// It runs into a bad address.
    #[error("bad address")]
    Fault,
    /// It is longer than allowed.
    #[error("string too long")]
    TooLong,
}

/// The highest address that user memory can have, plus one.
const ADDRESS_END: u64 = 0x7fff_ffff_f000;

impl Tracee {
    /// Copies from the program's memory, as `copy_from_user` would. Fewer bytes than asked are
    /// returned when only the beginning is readable; none readable is a [`Fault`].
    pub fn read(&self, addr: u64, buffer: &mut [u8]) -> Result<usize, Fault> {
        if buffer.is_empty() {
            return Ok(0);
        }
        // ESRCH (the process was killed) is a fault as well; the next stop tells.
        match sys::vm_read(self.tid(), addr, buffer) {
            Ok(0) | Err(_) => Err(Fault),
            Ok(len) => Ok(len),
        }
    }

    /// Copies into the program's memory, as `copy_to_user` would: not where the program itself
    /// could not write. Fewer bytes than asked are written when only the beginning is writable.
    pub fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<usize, Fault> {
        if bytes.is_empty() {
            return Ok(0);
        }
        match sys::vm_write(self.tid(), addr, bytes) {
            Ok(0) | Err(_) => Err(Fault),
            Ok(len) => Ok(len),
        }
    }

    /// [`read`](Self::read), all or nothing.
    pub fn read_exact(&self, addr: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        if self.read(addr, buffer)? == buffer.len() { Ok(()) } else { Err(Fault) }
    }

    /// [`write`](Self::write); a partial one is a fault (what was written stays).
    pub fn write_all(&mut self, addr: u64, bytes: &[u8]) -> Result<(), Fault> {
        if self.write(addr, bytes)? == bytes.len() { Ok(()) } else { Err(Fault) }
    }

    /// Reads `N` bytes.
    pub fn read_array<const N: usize>(&self, addr: u64) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.read_exact(addr, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads a 64-bit word.
    pub fn read_u64(&self, addr: u64) -> Result<u64, Fault> {
        self.read_array(addr).map(u64::from_le_bytes)
    }

    /// Reads a 32-bit word.
    pub fn read_u32(&self, addr: u64) -> Result<u32, Fault> {
        self.read_array(addr).map(u32::from_le_bytes)
    }

    /// Writes a 64-bit word.
    pub fn write_u64(&mut self, addr: u64, value: u64) -> Result<(), Fault> {
        self.write_all(addr, &value.to_le_bytes())
    }

    /// Writes a 32-bit word.
    pub fn write_u32(&mut self, addr: u64, value: u32) -> Result<(), Fault> {
        self.write_all(addr, &value.to_le_bytes())
    }

    /// Reads a string that ends with a zero byte, without it. `len_max` counts the zero byte, as
    /// PATH_MAX does.
    pub fn read_c_string(&self, addr: u64, len_max: usize) -> Result<Vec<u8>, StrFault> {
        let mut string = Vec::new();
        let mut buffer = [0u8; PAGE as usize];
        while string.len() < len_max {
            // Never across the end of a page, so that an unmapped neighbour does no harm.
            let at = addr.wrapping_add(string.len() as u64);
            let in_page = (PAGE - at % PAGE) as usize;
            // Most strings are short.
            let len = in_page.min(len_max - string.len()).min(256);
            let chunk = &mut buffer[..len];
            self.read_exact(at, chunk).map_err(|Fault| StrFault::Fault)?;
            if let Some(end) = chunk.iter().position(|byte| *byte == 0) {
                string.extend_from_slice(&chunk[..end]);
                return Ok(string);
            }
            string.extend_from_slice(chunk);
        }
        Err(StrFault::TooLong)
    }

    /// Reads whatever the protection says (as a debugger does).
    pub fn peek_force(&self, addr: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        self.memory_file(addr)?.read_exact_at(buffer, addr).map_err(|_| Fault)
    }

    /// Writes whatever the protection says; a private page of a file becomes the process's own.
    pub fn poke_force(&mut self, addr: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.memory_file(addr)?.write_all_at(bytes, addr).map_err(|_| Fault)
    }

    /// `/proc/PID/mem`, opened once for an image.
    fn memory_file(&self, addr: u64) -> Result<&File, Fault> {
        if addr >= ADDRESS_END {
            return Err(Fault);
        }
        if let Some(file) = self.memory.get() {
            return Ok(file);
        }
        let path = format!("/proc/{}/mem", self.tid());
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(|_| Fault)?;
        Ok(self.memory.get_or_init(|| file))
    }

    /// Finds the instructions to be patched in executable memory ([`sites`](super::sites)). The
    /// result depends on the bytes alone, so it may be kept per content.
    pub fn find_sites(&self, addr: u64, len: usize) -> Result<Vec<Site>, Fault> {
        let mut code = vec![0; len];
        self.peek_force(addr, &mut code)?;
        Ok(find_sites(&code))
    }

    /// Patches instructions that [`find_sites`](Self::find_sites) found in the same bytes, and
    /// enters each under its address in `table`. When SIGILL comes from an address in there, it is
    /// for [`Trapped::apply`].
    pub fn patch_sites(&mut self, addr: u64, sites: &[Site], table: &mut BTreeMap<u64, Trapped>) -> Result<(), Fault> {
        for site in sites {
            let at = addr + site.offset as u64;
            self.poke_force(at, &PATCH)?;
            table.insert(at, site.trapped);
        }
        Ok(())
    }

    /// Writes into our own scratch pages (arguments of native calls).
    pub fn write_scratch(&mut self, addr: u64, bytes: &[u8]) -> Result<()> {
        assert!(
            addr >= SCRATCH_DATA && addr + bytes.len() as u64 <= SCRATCH_DATA + SCRATCH_DATA_LEN as u64,
            "not in the scratch pages"
        );
        self.write_all(addr, bytes).map_err(|Fault| self.scratch_lost())
    }

    /// First address of the scratch pages' writable part, and its length: for arguments of
    /// [`native`](Self::native) calls. Overwritten by every other function that runs calls.
    pub fn scratch(&self) -> (u64, usize) {
        (SCRATCH_DATA, SCRATCH_DATA_LEN)
    }

    fn scratch_lost(&self) -> Error {
        Error::Misuse { tid: self.tid(), what: "the program has unmapped our scratch pages" }
    }

    /// Makes a descriptor of the supervisor appear in the tracee, under the lowest free number.
    /// Close it there with [`close_fd`](Self::close_fd) when it has been mapped.
    pub fn pass_fd(&mut self, fd: BorrowedFd<'_>) -> Result<i32> {
        sys::send_fd(self.socket(), fd)?;
        self.write_scratch(SCRATCH_DATA, &receive_block())?;
        let flags = (libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC) as u64;
        let args = [SOCKET_FD as u64, SCRATCH_DATA, flags, 0, 0, 0];
        let got = self.native_ok("recvmsg", libc::SYS_recvmsg, args)?;
        let fd = self.read_u32(RECEIVED_FD).map_err(|Fault| self.scratch_lost())? as i32;
        if got != 1 || fd < 0 {
            return self.misuse("no descriptor arrived");
        }
        Ok(fd)
    }

    /// Closes a descriptor that [`pass_fd`](Self::pass_fd) made.
    pub fn close_fd(&mut self, fd: i32) -> Result<()> {
        self.native_ok("close", libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0]).map(drop)
    }
}

/// Layout of the scratch page for `recvmsg`: `msghdr` (56 bytes), `iovec` (16), one byte (8),
/// control message (16 of header, 4 of descriptor, 4 of padding).
const IOVEC: u64 = SCRATCH_DATA + 56;
const BYTE: u64 = IOVEC + 16;
const CONTROL: u64 = BYTE + 8;
const RECEIVED_FD: u64 = CONTROL + 16;

fn receive_block() -> [u8; 104] {
    let mut block = [0u8; 104];
    let mut put = |at: usize, value: u64| block[at..at + 8].copy_from_slice(&value.to_le_bytes());
    put(16, IOVEC);
    put(24, 1);
    put(32, CONTROL);
    put(40, 24);
    put(56, BYTE);
    put(64, 1);
    // The place of the descriptor: what stays if none comes.
    put(96, u64::MAX);
    block
}
