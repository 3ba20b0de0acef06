//! How a system call fails: with an error number for the program, or in a way that stops this replica.

/// An error number as the program sees it, e.g. `Errno(libc::ENOENT)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Errno(pub i32);

/// Why a call did not return a value.
#[derive(Debug)]
pub enum Fail {
    /// The program sees this.
    Errno(Errno),
    /// The replica stops: divergence, refusal by name, or a local failure.
    Fatal(gapless_log::Error),
}

impl From<Errno> for Fail {
    fn from(e: Errno) -> Self {
        Fail::Errno(e)
    }
}

impl From<gapless_log::Error> for Fail {
    fn from(e: gapless_log::Error) -> Self {
        Fail::Fatal(e)
    }
}

/// `Err(Fail::Errno(n))`, for short bodies.
pub fn fail<T>(n: i32) -> Result<T, Fail> {
    Err(Fail::Errno(Errno(n)))
}
