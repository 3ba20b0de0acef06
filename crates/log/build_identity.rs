// Included by the build script of every level. `Identity::code` is a hash over everything that decides how a log is executed, which is the sources of
// the level and of the log, the dependencies and their versions, the compiler and its options. So one binary always has one name, two hosts
// that build one commit with one compiler have the same, and any other build has another.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for dir in ["src", "../log/src"] {
        println!("cargo:rerun-if-changed={dir}");
        collect(&here.join(dir), &mut files);
    }
    for file in ["build.rs", "Cargo.toml", "../log/build_identity.rs", "../log/Cargo.toml", "../../Cargo.toml", "../../Cargo.lock"] {
        println!("cargo:rerun-if-changed={file}");
        files.push(here.join(file));
    }
    let mut hasher = DefaultHasher::new();
    for file in files {
        let name = file.strip_prefix(&here).expect("below this crate's directory");
        (name, std::fs::read(&file).unwrap_or_default()).hash(&mut hasher);
    }
    let compiler = Command::new(variable("RUSTC")).arg("-vV").output().expect("the compiler says its version");
    compiler.stdout.hash(&mut hasher);
    for name in ["TARGET", "OPT_LEVEL", "PROFILE", "CARGO_ENCODED_RUSTFLAGS", "CARGO_CFG_TARGET_FEATURE"] {
        std::env::var(name).unwrap_or_default().hash(&mut hasher);
    }
    println!("cargo:rustc-env=GAPLESS_BUILD={:016x}", hasher.finish());
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// Every file below `dir`, in an order that does not depend on the host.
fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("a readable directory").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}
