//! Programs in assembly become images, by Debian's cross gcc.

use std::path::Path;
use std::process::Command;

/// Where the sources are.
pub fn guest() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/guest"))
}

/// A flat image of a program of `guest/`, to lie at the beginning of memory.
pub fn assemble(name: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let (linked, image) = (dir.path().join("linked"), dir.path().join("image"));
    let mut gcc = Command::new("riscv64-linux-gnu-gcc");
    gcc.args(["-march=rv64gc_zba_zbb_zbs_zicboz", "-mabi=lp64d", "-nostdlib", "-static", "-fno-pie", "-no-pie"])
        .args(["-Wl,--build-id=none", "-Wl,--no-warn-rwx-segments", "-T"])
        .arg(guest().join("isa/link.ld"))
        .arg("-o")
        .arg(&linked)
        .arg(guest().join(format!("{name}.S")));
    succeed(gcc);
    let mut objcopy = Command::new("riscv64-linux-gnu-objcopy");
    objcopy.args(["-O", "binary"]).args([&linked, &image]);
    succeed(objcopy);
    std::fs::read(image).expect("objcopy has written the image")
}

/// Runs one of the cross tools.
fn succeed(mut tool: Command) {
    let output = tool.output().unwrap_or_else(|e| {
        let name = tool.get_program().to_string_lossy();
        panic!(
            "{name} does not run: {e}; install Debian's gcc-riscv64-linux-gnu (apt-get install gcc-riscv64-linux-gnu)"
        )
    });
    assert!(output.status.success(), "{tool:?}: {}", String::from_utf8_lossy(&output.stderr));
}
