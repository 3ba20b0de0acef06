//! Can the program be started at all? Asked of the host before anything is put down for it: a log, a register.
//!
//! The rule it keeps: what is refused here, [`super::launch`] would refuse too, for the same reason. The launch itself asks again (the host may have
//! changed), of the model.

use super::launch::{Command, candidates, not_in_path};
use crate::tracee::Elf;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Why a program cannot be started, as env(1) has it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unfit {
    /// There is no such program, or its interpreter is missing.
    #[error("{0}")]
    NotFound(String),
    /// It is there and cannot be executed.
    #[error("{0}")]
    NotExecutable(String),
}

/// Scripts whose interpreters are scripts.
const DEPTH_MAX: usize = 4;

impl Command {
    /// Looks for the program on this host.
    pub fn check(&self) -> Result<(), Unfit> {
        let name = self.argv.first().map_or(&b""[..], Vec::as_slice);
        if name.is_empty() {
            return Err(Unfit::NotFound("the program has an empty name".into()));
        }
        if name.contains(&b'/') {
            return self.fits(name, DEPTH_MAX);
        }
        let mut unusable = None;
        for candidate in candidates(name, &self.env) {
            match open(&self.absolute(&candidate)) {
                Ok(_) => return self.fits(&candidate, DEPTH_MAX),
                Err(e) if is_missing(&e) => {}
                Err(e) => unusable = unusable.or(Some(Unfit::NotExecutable(cannot(&candidate, &e)))),
            }
        }
        Err(unusable.unwrap_or_else(|| Unfit::NotFound(not_in_path(name))))
    }

    fn absolute(&self, path: &[u8]) -> PathBuf {
        Path::new(OsStr::from_bytes(&self.cwd)).join(OsStr::from_bytes(path))
    }

    /// The file at `path`, and those that it needs.
    fn fits(&self, path: &[u8], depth: usize) -> Result<(), Unfit> {
        let unfit = |e: io::Error| {
            let text = cannot(path, &e);
            if is_missing(&e) { Unfit::NotFound(text) } else { Unfit::NotExecutable(text) }
        };
        let mut file = open(&self.absolute(path)).map_err(unfit)?;
        let mut head = Vec::new();
        file.by_ref().take(256).read_to_end(&mut head).map_err(unfit)?;
        let needed = |path: &[u8], of: &[u8], unfit: Unfit| {
            let needs = format!("{} needs {}: ", String::from_utf8_lossy(of), String::from_utf8_lossy(path));
            match unfit {
                Unfit::NotFound(why) => Unfit::NotFound(needs + &why),
                Unfit::NotExecutable(why) => Unfit::NotExecutable(needs + &why),
            }
        };
        if let Some(line) = head.strip_prefix(b"#!") {
            if depth == 0 {
                return Err(unfit(io::Error::from_raw_os_error(libc::ELOOP)));
            }
            let line = line[..line.iter().position(|&b| b == b'\n').unwrap_or(line.len())].trim_ascii();
            let interpreter = &line[..line.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(line.len())];
            if interpreter.is_empty() {
                return Err(unfit(io::Error::from_raw_os_error(libc::ENOEXEC)));
            }
            return self.fits(interpreter, depth - 1).map_err(|e| needed(interpreter, path, e));
        }
        let elf = Elf::read(file.as_fd()).map_err(|e| unfit(io::Error::from_raw_os_error(e.0)))?;
        match elf.interp() {
            Some(loader) => open(&self.absolute(loader)).map(drop).map_err(|e| {
                let text = cannot(loader, &e);
                let unfit = if is_missing(&e) { Unfit::NotFound(text) } else { Unfit::NotExecutable(text) };
                needed(loader, path, unfit)
            }),
            None => Ok(()),
        }
    }
}

fn cannot(path: &[u8], why: &io::Error) -> String {
    format!("the program {} cannot be started: {why}", String::from_utf8_lossy(path))
}

fn is_missing(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

/// Opens a file that this user may execute.
fn open(path: &Path) -> io::Result<File> {
    let about = std::fs::metadata(path)?;
    let name = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a valid string; nothing else is pointed to.
    let executable = unsafe { libc::faccessat(libc::AT_FDCWD, name.as_ptr(), libc::X_OK, libc::AT_EACCESS) } == 0;
    // SAFETY: takes no pointers.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !about.is_file() || !executable {
        return Err(io::Error::from_raw_os_error(libc::EACCES));
    }
    if about.mode() & (libc::S_ISUID | libc::S_ISGID) != 0 && !is_root {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it is a set-user-id file, which only root may run here",
        ));
    }
    File::open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_cannot_run_is_refused_as_env_does() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str, mode: u32| {
            fs::write(dir.path().join(name), text).unwrap();
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        file("fit-script", "#!/bin/sh\nexit 0\n", 0o755);
        file("plain", "#!/bin/sh\n", 0o644);
        file("lost", "#! /nonexistent/interpreter -x\n", 0o755);
        file("text", "no program at all\n", 0o755);
        file("own", "#!./fit-script\n", 0o755);
        fs::create_dir(dir.path().join("folder")).unwrap();
        let check = |name: &str, path: &str| {
            let command = Command {
                argv: vec![name.into()],
                env: vec![format!("PATH={path}").into_bytes()],
                cwd: dir.path().as_os_str().as_bytes().to_vec(),
                states: vec![],
            };
            match command.check() {
                Ok(()) => 0,
                Err(Unfit::NotExecutable(_)) => 126,
                Err(Unfit::NotFound(_)) => 127,
            }
        };
        for (name, path, expected) in [
            ("/bin/sh", "", 0),
            ("sh", "/nonexistent:/bin", 0),
            ("./fit-script", "/bin", 0),
            ("fit-script", ":/bin", 0),
            ("./own", "/bin", 0),
            ("fit-script", "/bin", 127),
            ("/nonexistent", "/bin", 127),
            ("./fit-script/below", "/bin", 127),
            ("", "/bin", 127),
            ("./lost", "/bin", 127),
            ("./plain", "/bin", 126),
            ("plain", ".:/bin", 126),
            ("./text", "/bin", 126),
            ("./folder", "/bin", 126),
        ] {
            assert_eq!(check(name, path), expected, "{name} with PATH={path}");
        }
    }
}
