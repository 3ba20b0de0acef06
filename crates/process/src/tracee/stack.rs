//! The initial stack of a program, byte for byte (System V ABI, chapter "Process Initialization";
//! the order of the strings is Linux's).
//! ```text
//! STACK_TOP -> 8 zero bytes
//!              execfn, environment strings, argument strings (argv[0] lowest)
//!              (down to 16)  "x86_64"  16 random bytes  (down to 16)
//!              auxiliary vector, 0, envp[], 0, argv[], argc   <- rsp, a multiple of 16
//! ```

use super::elf::Errno;
use super::stub::{STACK_SIZE, STACK_TOP};

/// What the kernel allows a single string.
const STRING_LEN_MAX: usize = 128 << 10;
/// What the kernel allows all strings and the pointers to them: a quarter of the stack.
const TOTAL_MAX: u64 = STACK_SIZE / 4;

pub(super) struct Strings<'a> {
    pub argv: &'a [Vec<u8>],
    pub envp: &'a [Vec<u8>],
    pub execfn: &'a [u8],
}

/// Addresses that the auxiliary vector needs.
pub(super) struct Places {
    pub platform: u64,
    pub random: u64,
    pub execfn: u64,
}

pub(super) struct Stack {
    pub rsp: u64,
    pub bytes: Vec<u8>,
}

/// E2BIG as the kernel would say it.
fn check(strings: &Strings<'_>) -> Result<(), Errno> {
    let too_big = Errno(libc::E2BIG);
    let all = || strings.argv.iter().chain(strings.envp).map(|s| s.as_slice());
    if all().chain([strings.execfn]).any(|s| s.len() >= STRING_LEN_MAX) {
        return Err(too_big);
    }
    let bytes: u64 = all().map(|s| s.len() as u64 + 1 + 8).sum();
    if bytes + strings.execfn.len() as u64 > TOTAL_MAX { Err(too_big) } else { Ok(()) }
}

/// Builds the stack; `auxv` is asked once the addresses are known.
pub(super) fn build(
    strings: &Strings<'_>,
    random: &[u8; 16],
    auxv: impl FnOnce(&Places) -> Vec<(u64, u64)>,
) -> Result<Stack, Errno> {
    check(strings)?;
    let mut top = Top { at: STACK_TOP, reversed: Vec::new() };
    top.push(&[0; 8]);
    let execfn = top.push_string(strings.execfn);
    let envp: Vec<u64> = strings.envp.iter().rev().map(|s| top.push_string(s)).collect();
    let argv: Vec<u64> = strings.argv.iter().rev().map(|s| top.push_string(s)).collect();
    top.align();
    let platform = top.push_string(b"x86_64");
    let random = top.push(random);
    top.align();
    let auxv = auxv(&Places { platform, random, execfn });
    let mut words = vec![argv.len() as u64];
    words.extend(argv.iter().rev());
    words.push(0);
    words.extend(envp.iter().rev());
    words.push(0);
    words.extend(auxv.iter().flat_map(|(key, value)| [*key, *value]));
    words.extend([0, 0]);
    if words.len() % 2 == 1 {
        top.push(&[0; 8]);
    }
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    top.push(&bytes);
    top.reversed.reverse();
    Ok(Stack { rsp: top.at, bytes: top.reversed })
}

/// A stack that is written from the top down.
struct Top {
    at: u64,
    reversed: Vec<u8>,
}

impl Top {
    fn push(&mut self, bytes: &[u8]) -> u64 {
        self.reversed.extend(bytes.iter().rev());
        self.at -= bytes.len() as u64;
        self.at
    }

    fn push_string(&mut self, string: &[u8]) -> u64 {
        self.push(&[0]);
        self.push(string)
    }

    fn align(&mut self) {
        let padding = (self.at % 16) as usize;
        self.push(&[0; 16][..padding]);
    }
}
