//! Runs bare RISC-V programs that report through `tohost`, and prints a line for each and the counts.
//!
//! `cargo run -p gapless-machine --features conformance --example conformance -- FILE...`

use gapless_machine::GuestAddr;
use gapless_machine::hart::conformance::{Bare, Program, Verdict};
use std::process::ExitCode;

/// Bytes of memory that a program gets.
const MEMORY_BYTES: u64 = 64 << 20;
/// Positions after which a program has not ended.
const POSITIONS_MAX: u64 = 5_000_000;

fn main() -> ExitCode {
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    if files.is_empty() {
        eprintln!("usage: conformance FILE...; each FILE is a static RISC-V ELF with a symbol tohost");
        return ExitCode::from(2);
    }
    let (mut passed, mut failed) = (0, 0);
    for file in files {
        let verdict = std::fs::read(&file).map_err(|e| e.to_string()).and_then(|bytes| run(&bytes));
        let name = std::path::Path::new(&file).file_name().unwrap_or(&file).to_string_lossy();
        match verdict {
            Ok(Verdict::Passed) => {
                passed += 1;
                println!("{name:40} passed");
            }
            other => {
                failed += 1;
                println!("{name:40} {}", reason(other));
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn reason(verdict: Result<Verdict, String>) -> String {
    match verdict {
        Ok(Verdict::Passed) => "passed".to_owned(),
        Ok(Verdict::Failed(test)) => format!("FAILED test {test}"),
        Ok(Verdict::Unfinished(pc)) => format!("FAILED to end, at {pc:#x}"),
        Err(error) => format!("FAILED: {error}"),
    }
}

fn run(bytes: &[u8]) -> Result<Verdict, String> {
    let program = Elf(bytes).program().ok_or("no static RISC-V ELF of 64 bits with a symbol tohost")?;
    let mut bare = Bare::new(&program, MEMORY_BYTES).map_err(|outside| outside.to_string())?;
    Ok(bare.run(POSITIONS_MAX))
}

/// An ELF file of 64 bits, little-endian (System V ABI, chapter 4); none wherever it is cut short.
struct Elf<'a>(&'a [u8]);

impl<'a> Elf<'a> {
    fn bytes(&self, at: u64, len: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(at).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        self.0.get(start..end)
    }

    /// A number of `N` bytes at the sum of these offsets.
    fn number<const N: usize>(&self, at: u64, offset: u64) -> Option<u64> {
        let mut number = [0; 8];
        number[..N].copy_from_slice(self.bytes(at.checked_add(offset)?, N as u64)?);
        Some(u64::from_le_bytes(number))
    }

    /// Offsets of the entries of a table whose offset, entry size and count lie in the file's header.
    fn table(&self, offset: u64, size: u64, count: u64) -> Option<impl Iterator<Item = u64> + use<>> {
        let (first, size, count) =
            (self.number::<8>(0, offset)?, self.number::<2>(0, size)?, self.number::<2>(0, count)?);
        Some((0..count).map(move |i| first.saturating_add(i * size)))
    }

    fn program(&self) -> Option<Program> {
        const RISCV: u64 = 243;
        if self.bytes(0, 6)? != b"\x7fELF\x02\x01" || self.number::<2>(0, 18)? != RISCV {
            return None;
        }
        let segments = self.table(32, 54, 56)?.map(|header| self.segment(header)).collect::<Option<Vec<_>>>()?;
        Some(Program {
            segments: segments.into_iter().flatten().collect(),
            entry: self.number::<8>(0, 24)?,
            tohost: GuestAddr(self.symbol(b"tohost")?),
        })
    }

    /// What a program header loads; memory behind the file's bytes is zero as it is.
    fn segment(&self, header: u64) -> Option<Option<(GuestAddr, Vec<u8>)>> {
        const LOAD: u64 = 1;
        if self.number::<4>(header, 0)? != LOAD {
            return Some(None);
        }
        let (at, physical, len) =
            (self.number::<8>(header, 8)?, self.number::<8>(header, 24)?, self.number::<8>(header, 32)?);
        Some(Some((GuestAddr(physical), self.bytes(at, len)?.to_vec())))
    }

    /// The value of a symbol.
    fn symbol(&self, name: &[u8]) -> Option<u64> {
        const SYMBOLS: u64 = 2;
        const SYMBOL_BYTES: u64 = 24;
        let sections: Vec<_> = self.table(40, 58, 60)?.collect();
        let symbols = *sections.iter().find(|&&section| self.number::<4>(section, 4) == Some(SYMBOLS))?;
        let names = *sections.get(self.number::<4>(symbols, 40)? as usize)?;
        let (at, bytes) = (self.number::<8>(symbols, 24)?, self.number::<8>(symbols, 32)?);
        let names = self.bytes(self.number::<8>(names, 24)?, self.number::<8>(names, 32)?)?;
        (0..bytes / SYMBOL_BYTES).map(|i| at.saturating_add(i * SYMBOL_BYTES)).find_map(|symbol| {
            let text = names.get(self.number::<4>(symbol, 0)? as usize..)?;
            let is_it = text.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&0));
            is_it.then(|| self.number::<8>(symbol, 8)).flatten()
        })
    }
}
