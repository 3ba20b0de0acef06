//! What the loader must know of an ELF file. Read from outside bytes: every number is checked.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

use super::stub::{PAGE, SCRATCH_END, STACK_SIZE, STACK_TOP};

/// An errno that the program's `execve` returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", io::Error::from_raw_os_error(self.0))]
pub struct Errno(pub i32);

const HEADER_LEN: usize = 64;
const PROGRAM_HEADER_LEN: usize = 56;
/// The kernel's own limit on the table of program headers.
const PROGRAM_HEADERS_LEN_MAX: usize = 64 << 10;
const PATH_MAX: u64 = 4096;

const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_PHDR: u32 = 6;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const PF_R: u32 = 4;

/// Nothing may be mapped at or above this: the stack and what may come between.
pub(super) const MAP_END: u64 = STACK_TOP - STACK_SIZE - (1 << 20);

/// One `PT_LOAD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub offset: u64,
    pub address: u64,
    pub file_len: u64,
    pub memory_len: u64,
    pub prot: i32,
}

/// An ELF file that was found fit to be mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// May be placed anywhere.
    pub(super) is_dyn: bool,
    pub(super) entry: u64,
    pub(super) segments: Vec<Segment>,
    /// Address of the program headers once mapped.
    pub(super) headers_address: u64,
    pub(super) headers_count: u16,
    pub(super) align_max: u64,
    /// The stack is to be executable.
    pub exec_stack: bool,
    interp: Option<Vec<u8>>,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

const NOEXEC: Errno = Errno(libc::ENOEXEC);

/// Bytes of a file, wherever they come from.
trait Source {
    fn len(&self) -> Result<u64, Errno>;
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Errno>;
}

impl Source for File {
    fn len(&self) -> Result<u64, Errno> {
        self.metadata().map(|m| m.len()).map_err(|e| Errno(e.raw_os_error().unwrap_or(libc::EIO)))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        self.read_exact_at(buffer, offset).map_err(|error| match error.raw_os_error() {
            Some(errno) if error.kind() != io::ErrorKind::UnexpectedEof => Errno(errno),
            _ => NOEXEC,
        })
    }
}

impl Source for [u8] {
    fn len(&self) -> Result<u64, Errno> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let start = usize::try_from(offset).map_err(|_| NOEXEC)?;
        let end = start.checked_add(buffer.len()).ok_or(NOEXEC)?;
        buffer.copy_from_slice(self.get(start..end).ok_or(NOEXEC)?);
        Ok(())
    }
}

impl Elf {
    /// Reads the headers of a main program. ENOEXEC if it is not an ELF file that this host's
    /// kernel would run in 64-bit mode.
    pub fn read(file: BorrowedFd<'_>) -> Result<Elf, Errno> {
        let file = file.try_clone_to_owned().map_err(|e| Errno(e.raw_os_error().unwrap_or(libc::EIO)))?;
        Elf::parse(&File::from(file))
    }

    /// Reads the headers of an interpreter: what is ENOEXEC for a program is ELIBBAD for it.
    pub fn read_interp(file: BorrowedFd<'_>) -> Result<Elf, Errno> {
        Elf::read(file).map_err(|error| if error == NOEXEC { Errno(libc::ELIBBAD) } else { error })
    }

    /// [`read`](Self::read) from bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Elf, Errno> {
        Elf::parse(bytes)
    }

    /// The interpreter's path, if the program wants one.
    pub fn interp(&self) -> Option<&[u8]> {
        self.interp.as_deref()
    }

    fn parse<S: Source + ?Sized>(source: &S) -> Result<Elf, Errno> {
        let mut header = [0u8; HEADER_LEN];
        source.read_at(0, &mut header)?;
        let kind = u16_at(&header, 16);
        let is_ours = header[..4] == *b"\x7fELF"
            && header[4] == 2
            && header[5] == 1
            && matches!(kind, ET_EXEC | ET_DYN)
            && u16_at(&header, 18) == EM_X86_64;
        let headers_count = u16_at(&header, 56);
        let headers_len = usize::from(headers_count) * PROGRAM_HEADER_LEN;
        if !is_ours
            || usize::from(u16_at(&header, 54)) != PROGRAM_HEADER_LEN
            || headers_len == 0
            || headers_len > PROGRAM_HEADERS_LEN_MAX
        {
            return Err(NOEXEC);
        }
        let headers_offset = u64_at(&header, 32);
        let mut headers = vec![0u8; headers_len];
        source.read_at(headers_offset, &mut headers)?;
        let mut elf = Elf {
            is_dyn: kind == ET_DYN,
            entry: u64_at(&header, 24),
            segments: Vec::new(),
            headers_address: 0,
            headers_count,
            align_max: PAGE,
            exec_stack: false,
            interp: None,
        };
        for header in headers.chunks_exact(PROGRAM_HEADER_LEN) {
            elf.add(header, source)?;
        }
        elf.find_headers(headers_offset, headers_len as u64, &headers);
        elf.check(source.len()?)?;
        Ok(elf)
    }

    fn add<S: Source + ?Sized>(&mut self, header: &[u8], source: &S) -> Result<(), Errno> {
        let flags = u32_at(header, 4);
        let (offset, address) = (u64_at(header, 8), u64_at(header, 16));
        let (file_len, memory_len, align) = (u64_at(header, 32), u64_at(header, 40), u64_at(header, 48));
        match u32_at(header, 0) {
            PT_LOAD => {
                let prot = [(PF_R, libc::PROT_READ), (PF_W, libc::PROT_WRITE), (PF_X, libc::PROT_EXEC)]
                    .iter()
                    .filter(|(flag, _)| flags & flag != 0)
                    .fold(libc::PROT_NONE, |prot, (_, bit)| prot | bit);
                if align.is_power_of_two() {
                    self.align_max = self.align_max.max(align);
                }
                self.segments.push(Segment { offset, address, file_len, memory_len, prot });
            }
            PT_INTERP if self.interp.is_none() => {
                if !(2..=PATH_MAX).contains(&file_len) {
                    return Err(NOEXEC);
                }
                let mut path = vec![0u8; file_len as usize];
                source.read_at(offset, &mut path)?;
                if path.pop() != Some(0) {
                    return Err(NOEXEC);
                }
                let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
                path.truncate(end);
                self.interp = Some(path);
            }
            PT_GNU_STACK => self.exec_stack = flags & PF_X != 0,
            _ => {}
        }
        Ok(())
    }

    /// Where the program headers are in memory: `PT_PHDR` says so, or the segment that contains
    /// them.
    fn find_headers(&mut self, offset: u64, len: u64, headers: &[u8]) {
        let stated = headers.chunks_exact(PROGRAM_HEADER_LEN).find(|h| u32_at(h, 0) == PT_PHDR).map(|h| u64_at(h, 16));
        let found = self
            .segments
            .iter()
            .find(|s| s.offset <= offset && offset.saturating_add(len) <= s.offset.saturating_add(s.file_len))
            .map(|s| s.address.wrapping_add(offset - s.offset));
        self.headers_address = stated.or(found).unwrap_or(0);
    }

    /// Everything that later arithmetic relies on.
    fn check(&self, file_len: u64) -> Result<(), Errno> {
        if self.segments.is_empty() {
            return Err(NOEXEC);
        }
        // Any program must fit between the scratch pages and the stack, wherever it is placed.
        if self.align_max > 1 << 30 {
            return Err(Errno(libc::ENOMEM));
        }
        let mut last_end = 0;
        for segment in &self.segments {
            let end = segment.address.checked_add(segment.memory_len).filter(|end| *end <= MAP_END);
            let file_end = segment.offset.checked_add(segment.file_len).filter(|end| *end <= file_len);
            if end.is_none()
                || file_end.is_none()
                || segment.file_len > segment.memory_len
                || segment.address % PAGE != segment.offset % PAGE
                || segment.address < last_end
            {
                return Err(Errno(libc::EINVAL));
            }
            last_end = end.unwrap_or(0);
        }
        if !self.is_dyn && self.start() < SCRATCH_END {
            return Err(Errno(libc::EINVAL));
        }
        Ok(())
    }

    /// First page's address, as linked.
    pub(super) fn start(&self) -> u64 {
        self.segments.first().map_or(0, |segment| segment.address & !(PAGE - 1))
    }

    /// Address behind the last page, as linked.
    pub(super) fn end(&self) -> u64 {
        self.segments.iter().map(|s| page_up(s.address + s.memory_len)).max().unwrap_or(0)
    }
}

/// Rounds up to a page. For addresses below [`MAP_END`].
pub(super) fn page_up(address: u64) -> u64 {
    (address + PAGE - 1) & !(PAGE - 1)
}
