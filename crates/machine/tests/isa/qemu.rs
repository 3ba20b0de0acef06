//! The other computer: Debian's `qemu-riscv64-static`, which runs a program as a Linux process.

use super::generator::{DATA, Program};
use std::path::Path;
use std::process::{Command, Stdio};

const QEMU: &str = "qemu-riscv64-static";
const CPU: &str = "rv64,zba=true,zbb=true,zbs=true";
const PAGE: u64 = 4096;

/// What a program prints there.
pub fn run(program: &Program, dir: &Path) -> Vec<u8> {
    let file = dir.join(format!("{:?}.elf", std::thread::current().id()));
    std::fs::write(&file, elf(program)).expect("a temporary directory can be written to");
    executable(&file);
    let output = Command::new(QEMU).args(["-cpu", CPU]).arg(&file).stdin(Stdio::null()).output().unwrap_or_else(|e| {
        panic!("{QEMU} does not run: {e}; install Debian's qemu-user-static (apt-get install qemu-user-static)")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{QEMU}: {}: {said}\n{}", output.status, program.text());
    output.stdout
}

fn executable(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(file, mode).expect("the mode of a new file can be changed");
}

/// A static executable of two segments, code and data.
fn elf(program: &Program) -> Vec<u8> {
    const EXECUTE: u32 = 1;
    const WRITE: u32 = 2;
    const READ: u32 = 4;
    let segments = [(READ | EXECUTE, program.entry(), &program.code()), (READ | WRITE, DATA, &program.data)]
        .map(|(flags, address, bytes)| (flags, address & !(PAGE - 1), whole_pages(address, bytes)));

    let mut file = Vec::new();
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    let mut put = |value: u64, bytes: usize| file.extend(&value.to_le_bytes()[..bytes]);
    const EXECUTABLE: u64 = 2;
    const RISCV: u64 = 243;
    const COMPRESSED_DOUBLE_FLOAT: u64 = 5;
    for (value, bytes) in [
        (EXECUTABLE, 2),
        (RISCV, 2),
        (1, 4),
        (program.entry(), 8),
        // Program headers, no section headers.
        (64, 8),
        (0, 8),
        (COMPRESSED_DOUBLE_FLOAT, 4),
        // Sizes: this header; program headers and their number; section headers.
        (64, 2),
        (56, 2),
        (segments.len() as u64, 2),
        (64, 2),
        (0, 2),
        (0, 2),
    ] {
        put(value, bytes);
    }
    let mut at = PAGE;
    for (flags, address, bytes) in &segments {
        const LOAD: u64 = 1;
        let len = bytes.len() as u64;
        let header =
            [(LOAD, 4), (u64::from(*flags), 4), (at, 8), (*address, 8), (*address, 8), (len, 8), (len, 8), (PAGE, 8)];
        for (value, bytes) in header {
            put(value, bytes);
        }
        at += len;
    }
    file.resize(PAGE as usize, 0);
    file.extend(segments.into_iter().flat_map(|(_, _, bytes)| bytes));
    file
}

/// The pages that hold these bytes at an address.
fn whole_pages(address: u64, bytes: &[u8]) -> Vec<u8> {
    let mut pages = vec![0; (address % PAGE) as usize];
    pages.extend(bytes);
    pages.resize(pages.len().next_multiple_of(PAGE as usize), 0);
    pages
}
