//! The program that runs tasks: where it is, and what names its code.

use super::process::Worker;
use gapless_log::{Digest, chain, hash_of};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A program that speaks the workers' protocol.
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    /// It must have read a message by then.
    pub(super) timeout: Duration,
    code: String,
    pub(super) tell: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Program {
    /// Looks for it as a shell does, starts it once, and asks it what names its code. `tell` is for what a person should know. An error of the kind
    /// `NotFound` or `PermissionDenied` is about the program itself.
    pub fn new(
        command: &[OsString],
        timeout: Duration,
        tell: impl Fn(&str) + Send + Sync + 'static,
    ) -> io::Result<Arc<Self>> {
        let (name, args) = command.split_first().ok_or_else(|| io::Error::other("no program"))?;
        let mut program =
            Self { path: find(name)?, args: args.to_vec(), timeout, code: String::new(), tell: Arc::new(tell) };
        let (_, own) = Worker::start(&program).map_err(io::Error::other)?;
        program.code = format!("{:032x} {own}", program.files()?);
        Ok(Arc::new(program))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn args(&self) -> &[OsString] {
        &self.args
    }

    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// Hash of the program and its arguments; of an argument that is a file, what is in it, for the two sides may have it in different places.
    fn files(&self) -> io::Result<Digest> {
        let words = std::iter::once(self.path.as_os_str()).chain(self.args.iter().map(OsString::as_os_str));
        words.map(Path::new).try_fold(0, |digest, word| {
            if !word.is_file() {
                return Ok(chain(digest, &[word.as_os_str().as_bytes()]));
            }
            let failed = |e: io::Error| io::Error::new(e.kind(), format!("reading {}: {e}", word.display()));
            let contents = File::open(word).and_then(hash_of).map_err(failed)?;
            Ok(chain(digest, &[&contents.to_le_bytes()]))
        })
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", arg.display()))
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.to_string()).finish()
    }
}

/// In PATH, unless it says where it is.
fn find(name: &OsStr) -> io::Result<PathBuf> {
    let lacks = |kind, what: &str| Err(io::Error::new(kind, format!("{}: {what}", name.display())));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places: Vec<PathBuf> = match name.as_bytes().contains(&b'/') {
        true => vec![PathBuf::from(name)],
        false => std::env::split_paths(&path).map(|dir| dir.join(name)).collect(),
    };
    let mut files = places.into_iter().filter(|path| path.is_file()).peekable();
    if files.peek().is_none() {
        return lacks(ErrorKind::NotFound, "there is no such program");
    }
    let executable = |path: &PathBuf| {
        let path = std::ffi::CString::new(path.as_os_str().as_bytes());
        // SAFETY: a NUL-terminated string, only read.
        path.is_ok_and(|path| unsafe { libc::access(path.as_ptr(), libc::X_OK) } == 0)
    };
    match files.find(executable) {
        Some(path) => Ok(path),
        None => lacks(ErrorKind::PermissionDenied, "it cannot be executed; chmod +x may help"),
    }
}
