//! What a handler is given besides the kernel: the thread that calls, its memory, and where inputs come from.

use super::{Errno, Fail, Io, Kernel, Nanos, Pid, Tid, input};
use crate::tracee::Tracee;
use gapless_log::{Digest, chain};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The real threads, by the number the program knows them under.
pub type Tracees = BTreeMap<Tid, Tracee>;

/// Longest path, as Linux has it.
const PATH_MAX: usize = 4096;
/// Longest single argument string of exec.
const STRING_MAX: usize = 128 << 10;

/// The call in hand.
pub struct Ctx<'a, 'b> {
    /// The calling thread.
    pub tid: Tid,
    /// Its process.
    pub pid: Pid,
    /// The real threads.
    pub tracees: &'a mut Tracees,
    /// Real threads that have ended but keep their number on the host until their process is gone.
    pub zombies: &'a mut BTreeMap<Pid, Vec<Tracee>>,
    /// Inputs and outputs.
    pub io: Io<'a, 'b>,
    /// Hash over all bytes that the call read from the program's memory.
    pub bytes_in: Digest,
    /// The path that the call read last.
    pub path: Vec<u8>,
    /// Code that the program has written.
    pub code: CodePages,
}

/// Pages that the program may write and execute, of which the threads now only have the right to execute.
#[derive(Debug, Default)]
pub struct CodePages {
    /// They were so when the call began.
    pub closed: Arc<BTreeSet<u64>>,
    /// Those of them that the call has written to: now they may be written and not executed.
    pub opened: Vec<u64>,
}

impl Ctx<'_, '_> {
    /// The calling thread's real one.
    pub fn tracee(&mut self) -> &mut Tracee {
        self.tracees.get_mut(&self.tid).expect("the calling thread is real")
    }

    /// Reads program memory into `buf`; all or EFAULT.
    pub fn read_into(&mut self, addr: u64, buf: &mut [u8]) -> Result<(), Fail> {
        let n = self.tracee().read(addr, buf).unwrap_or(0);
        if n < buf.len() {
            return Err(Fail::Errno(Errno(libc::EFAULT)));
        }
        self.bytes_in = chain(self.bytes_in, &[buf]);
        Ok(())
    }

    /// Reads `len` bytes of program memory; all or EFAULT.
    pub fn read(&mut self, addr: u64, len: usize) -> Result<Vec<u8>, Fail> {
        let mut buf = vec![0; len];
        self.read_into(addr, &mut buf)?;
        Ok(buf)
    }

    /// Reads a fixed number of bytes.
    pub fn read_array<const N: usize>(&mut self, addr: u64) -> Result<[u8; N], Fail> {
        let mut buf = [0; N];
        self.read_into(addr, &mut buf)?;
        Ok(buf)
    }

    /// Reads a 32-bit integer.
    pub fn read_u32(&mut self, addr: u64) -> Result<u32, Fail> {
        Ok(u32::from_le_bytes(self.read_array(addr)?))
    }

    /// Reads a 64-bit integer.
    pub fn read_u64(&mut self, addr: u64) -> Result<u64, Fail> {
        Ok(u64::from_le_bytes(self.read_array(addr)?))
    }

    /// Writes program memory; all or EFAULT.
    pub fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), Fail> {
        let n = self.write_some(addr, bytes)?;
        if n < bytes.len() { Err(Fail::Errno(Errno(libc::EFAULT))) } else { Ok(()) }
    }

    /// Writes program memory up to the first byte that cannot be written; how many bytes that were.
    pub fn write_some(&mut self, addr: u64, bytes: &[u8]) -> Result<usize, Fail> {
        let mut n = self.tracee().write(addr, bytes).unwrap_or(0);
        if n < bytes.len() && !self.code.closed.is_empty() {
            self.open_code(addr, addr.saturating_add(bytes.len() as u64))?;
            n = self.tracee().write(addr, bytes).unwrap_or(0);
        }
        Ok(n)
    }

    /// Lets the model write to code in a range.
    fn open_code(&mut self, start: u64, end: u64) -> Result<(), Fail> {
        let closed = Arc::clone(&self.code.closed);
        for &page in closed.range(start & !4095..end) {
            if !self.code.opened.contains(&page) {
                crate::run::written::writable(self, page)?;
                self.code.opened.push(page);
            }
        }
        Ok(())
    }

    /// Reads a NUL-terminated string of at most `max` bytes (without the NUL).
    pub fn read_string(&mut self, addr: u64, max: usize) -> Result<Vec<u8>, Fail> {
        self.read_string_by(&mut Piece::of(256), addr, max)
    }

    /// The same, from memory that is looked at by whole pieces.
    fn read_string_by(&mut self, piece: &mut Piece, addr: u64, max: usize) -> Result<Vec<u8>, Fail> {
        let mut out = Vec::new();
        let mut at = addr;
        loop {
            let bytes = piece.read(self, at)?;
            if let Some(end) = bytes.iter().position(|&b| b == 0) {
                out.extend_from_slice(&bytes[..end]);
                break;
            }
            out.extend_from_slice(bytes);
            at += bytes.len() as u64;
            if out.len() > max {
                break;
            }
        }
        if out.len() > max {
            return Err(Fail::Errno(Errno(libc::ENAMETOOLONG)));
        }
        self.bytes_in = chain(self.bytes_in, &[&out]);
        Ok(out)
    }

    /// Reads a path.
    pub fn read_path(&mut self, addr: u64) -> Result<Vec<u8>, Fail> {
        self.path = self.read_string(addr, PATH_MAX - 1)?;
        Ok(self.path.clone())
    }

    /// Reads a NULL-terminated array of strings (argv, envp).
    pub fn read_strings(&mut self, addr: u64) -> Result<Vec<Vec<u8>>, Fail> {
        let mut out = Vec::new();
        let mut total = 0;
        // They lie side by side, most of them.
        let mut piece = Piece::of(4096);
        for i in 0.. {
            if addr == 0 {
                break;
            }
            let p = self.read_u64(addr + 8 * i)?;
            if p == 0 {
                break;
            }
            let s = self.read_string_by(&mut piece, p, STRING_MAX).map_err(|f| match f {
                Fail::Errno(Errno(libc::ENAMETOOLONG)) => Fail::Errno(Errno(libc::E2BIG)),
                f => f,
            })?;
            total += s.len() + 9;
            if total > 2 << 20 {
                return Err(Fail::Errno(Errno(libc::E2BIG)));
            }
            out.push(s);
        }
        Ok(out)
    }

    /// The iovecs at `addr`: base and length each. Of their number the kernel takes the lower half.
    pub fn read_iovecs(&mut self, addr: u64, count: u64) -> Result<Vec<(u64, usize)>, Fail> {
        let count = count as u32;
        if count > 1024 {
            return Err(Fail::Errno(Errno(libc::EINVAL)));
        }
        let raw = self.read(addr, count as usize * 16)?;
        let mut total = 0u64;
        let mut out = Vec::with_capacity(count as usize);
        for pair in raw.chunks_exact(16) {
            let base = u64::from_le_bytes(pair[..8].try_into().expect("8 bytes"));
            let len = u64::from_le_bytes(pair[8..].try_into().expect("8 bytes"));
            total = total.saturating_add(len);
            if len > i64::MAX as u64 || total > i64::MAX as u64 {
                return Err(Fail::Errno(Errno(libc::EINVAL)));
            }
            out.push((base, len as usize));
        }
        Ok(out)
    }

    /// Gathers the bytes of iovecs, at most `max`, up to the first that cannot be read; EFAULT if that is the first of all.
    pub fn gather_some(&mut self, iovecs: &[(u64, usize)], max: usize) -> Result<Vec<u8>, Fail> {
        let mut out = Vec::new();
        for &(base, len) in iovecs {
            let mut piece = vec![0; len.min(max - out.len())];
            let n = self.tracee().read(base, &mut piece).unwrap_or(0);
            let whole = n == piece.len();
            piece.truncate(n);
            self.bytes_in = chain(self.bytes_in, &[&piece]);
            out.extend(piece);
            if !whole {
                return if out.is_empty() { Err(Fail::Errno(Errno(libc::EFAULT))) } else { Ok(out) };
            }
        }
        Ok(out)
    }

    /// Gathers the bytes of iovecs, at most `max`.
    pub fn gather(&mut self, iovecs: &[(u64, usize)], max: usize) -> Result<Vec<u8>, Fail> {
        let mut out = Vec::new();
        for &(base, len) in iovecs {
            let take = len.min(max - out.len());
            if take > 0 {
                let start = out.len();
                out.resize(start + take, 0);
                let mut buf = std::mem::take(&mut out);
                self.read_into(base, &mut buf[start..])?;
                out = buf;
            }
        }
        Ok(out)
    }

    /// Scatters bytes over iovecs.
    pub fn scatter(&mut self, iovecs: &[(u64, usize)], mut bytes: &[u8]) -> Result<(), Fail> {
        for &(base, len) in iovecs {
            let (now, later) = bytes.split_at(len.min(bytes.len()));
            if !now.is_empty() {
                self.write(base, now)?;
            }
            bytes = later;
        }
        Ok(())
    }

    /// A timespec as nanoseconds; EINVAL if malformed.
    pub fn read_timespec(&mut self, addr: u64) -> Result<Nanos, Fail> {
        let [sec, nsec] = [self.read_u64(addr)?, self.read_u64(addr + 8)?];
        if sec > i64::MAX as u64 || nsec >= 1_000_000_000 {
            return Err(Fail::Errno(Errno(libc::EINVAL)));
        }
        Ok(sec.saturating_mul(1_000_000_000).saturating_add(nsec))
    }

    /// Writes a timespec.
    pub fn write_timespec(&mut self, addr: u64, t: Nanos) -> Result<(), Fail> {
        let mut raw = [0u8; 16];
        raw[..8].copy_from_slice(&(t / 1_000_000_000).to_le_bytes());
        raw[8..].copy_from_slice(&(t % 1_000_000_000).to_le_bytes());
        self.write(addr, &raw)
    }

    /// Reads the clock: the world's while live, the log's on the backup. Never goes back.
    pub fn clock(&mut self, k: &mut Kernel) -> Result<Nanos, Fail> {
        let last = k.now;
        if let Some(&(at, reading)) = k.readings.front()
            && at == k.position.0
        {
            k.readings.pop_front();
            k.now = k.now.max(reading);
            return Ok(k.now);
        }
        let raw =
            self.io.bytes(k.position, input::CLOCK_READ, |world| world.clock().max(last).to_le_bytes().to_vec())?;
        let now = u64::from_le_bytes(raw.try_into().map_err(|_| {
            gapless_log::Error::Refused(format!("clock reading at position {} is not 8 bytes", k.position))
        })?);
        k.now = k.now.max(now);
        Ok(k.now)
    }
}

/// A piece of the program's memory, read once for all that is looked for in it. Pieces lie side by side and none goes over the end of a page, so that a
/// string at the end of a mapping is read whole.
struct Piece {
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Piece {
    /// Of so many bytes, a power of two up to the size of a page.
    fn of(len: u64) -> Self {
        Self { len, start: 0, bytes: Vec::new() }
    }

    /// What there is from an address to the end of its piece, which is one byte at least.
    fn read(&mut self, cx: &mut Ctx<'_, '_>, at: u64) -> Result<&[u8], Fail> {
        let end = self.start + self.bytes.len() as u64;
        if !(self.start..end).contains(&at) {
            self.bytes.resize((self.len - at % self.len) as usize, 0);
            self.start = at;
            let read = cx.tracee().read(at, &mut self.bytes).unwrap_or(0);
            self.bytes.truncate(read);
        }
        match &self.bytes[(at - self.start) as usize..] {
            [] => Err(Fail::Errno(Errno(libc::EFAULT))),
            rest => Ok(rest),
        }
    }
}
