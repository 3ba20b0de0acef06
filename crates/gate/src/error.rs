//! Why a port could not be opened, and what to do about it.

use std::io;
use std::process::ExitStatus;

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This host offers no TAP devices.
    #[error(
        "this host has no TAP devices: /dev/net/tun: {source}; load the module (`modprobe tun`), \
         or give the device to the container (`--device /dev/net/tun`)"
    )]
    NoTun {
        /// The system's word.
        source: io::Error,
    },
    /// Opening this TAP takes more rights than this process has.
    #[error(
        "TAP {name}: not permitted: run with CAP_NET_ADMIN, \
         or let an administrator make it yours once: `ip tuntap add dev {name} mode tap user NAME`"
    )]
    NotPermitted {
        /// Name of the device.
        name: String,
    },
    /// Somebody has this TAP open.
    #[error(
        "{name} is in use by another process (`grep -l '{name}$' /proc/[0-9]*/fdinfo/*` names it); end that one, or choose another name"
    )]
    Busy {
        /// Name of the device.
        name: String,
    },
    /// There is an interface of this name and it is something else.
    #[error(
        "{name} exists and is not a TAP with a single queue; choose another name, or make one: `ip tuntap add dev {name} mode tap`"
    )]
    NotTap {
        /// Name of the device.
        name: String,
    },
    /// The interface is down and this process may not bring it up.
    #[error("{name} is down and this process may not bring it up; `ip link set dev {name} up`")]
    Down {
        /// Name of the device.
        name: String,
    },
    /// No interface can have this name.
    #[error("{name:?} cannot be the name of an interface: 1 to 15 characters, none of them a space, /, : or %")]
    BadName {
        /// The name.
        name: String,
    },
    /// passt is not installed.
    #[error("passt is not installed; `apt-get install passt`, or use a TAP (`--net tap=NAME`)")]
    NoPasst,
    /// passt ended before it served the first frame.
    #[error("passt ended at once ({status}); it said: {said}")]
    PasstEnded {
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to its standard error.
        said: String,
    },
    /// passt runs and does not answer.
    #[error("passt did not answer within {seconds} s; it said: {said}")]
    PasstSilent {
        /// How long it was waited for.
        seconds: u64,
        /// What it wrote to its standard error.
        said: String,
    },
    /// Another system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's word.
        source: io::Error,
    },
}

/// Result with this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }
}
