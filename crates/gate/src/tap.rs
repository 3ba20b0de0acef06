//! A TAP device: an interface of this host whose cable we hold.
//!
//! Interface and ioctls: Linux `Documentation/networking/tuntap.rst`, `include/uapi/linux/if_tun.h`.

use crate::frame::{FRAME_BYTES_MAX, HEADER_BYTES, in_one_buffer, plausible};
use crate::{Error, Result, Sent};
use std::ffi::{c_int, c_short};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;

const DEVICE: &str = "/dev/net/tun";
/// Large TCP segments and frames without checksum, from the host to us.
const OFFLOADS: libc::c_uint = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;

/// An open TAP device. Holding one proves that nobody else has it, that it is up, and that it speaks frames with a 12-byte header.
#[derive(Debug)]
pub struct Tap {
    name: String,
    file: File,
}

impl Tap {
    /// Opens the TAP `name` of this thread's network namespace, makes it if there is none (it then vanishes with this `Tap`), and brings it up.
    pub fn open(name: &str) -> Result<Self> {
        check_name(name)?;
        let file = open_device(name)?;
        let mut request = request(name);
        request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as c_short;
        ioctl(&file, libc::TUNSETIFF, &raw mut request).map_err(|source| match source.raw_os_error() {
            Some(libc::EBUSY) => Error::Busy { name: name.to_owned() },
            Some(libc::EPERM | libc::EACCES) => Error::NotPermitted { name: name.to_owned() },
            Some(libc::EINVAL) => Error::NotTap { name: name.to_owned() },
            _ => Error::io(format!("open TAP {name}"), source),
        })?;
        for (option, mut value) in [(libc::TUNSETVNETHDRSZ, HEADER_BYTES as c_int), (libc::TUNSETVNETLE, 1)] {
            ioctl(&file, option, &raw mut value)
                .map_err(|e| Error::io(format!("set up the header of TAP {name}"), e))?;
        }
        let tap = Self { name: name.to_owned(), file };
        tap.set_offloads(true).map_err(|e| Error::io(format!("set up the offloads of TAP {name}"), e))?;
        bring_up(name)?;
        Ok(tap)
    }

    /// Name of the device.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// See [`Port::set_offloads`](crate::Port::set_offloads). On after [`Tap::open`].
    pub fn set_offloads(&self, on: bool) -> io::Result<()> {
        let offloads = if on { OFFLOADS } else { 0 };
        // SAFETY: this ioctl takes its argument by value; the descriptor is ours.
        let result = unsafe { libc::ioctl(self.file.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(offloads)) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// See [`Port::send`](crate::Port::send).
    pub fn send(&self, frame: &[u8]) -> io::Result<Sent> {
        if !plausible(frame) {
            return Ok(Sent::Malformed);
        }
        match (&self.file).write(frame) {
            Ok(sent) => {
                assert_eq!(sent, frame.len(), "a TAP takes a frame whole");
                Ok(Sent::Taken)
            }
            Err(e) => match e.raw_os_error() {
                Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => Ok(Sent::Full),
                Some(libc::EIO) => Ok(Sent::Down),
                Some(libc::EINVAL | libc::EMSGSIZE | libc::E2BIG) => Ok(Sent::Malformed),
                _ => Err(self.finished(e)),
            },
        }
    }

    /// See [`Port::receive`](crate::Port::receive). The kernel keeps `txqueuelen` frames (1000 unless changed) and drops the rest.
    pub fn receive(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        assert!(buf.len() >= FRAME_BYTES_MAX, "a buffer of {} bytes may be too short for a frame", buf.len());
        match (&self.file).read(buf) {
            Ok(received) => {
                assert!(received >= HEADER_BYTES, "a TAP gives a frame with its header");
                // The kernel knows only the first ten bytes of the header and leaves the others as they were.
                in_one_buffer(&mut buf[..received]);
                Ok(Some(received))
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(self.finished(e)),
        }
    }

    fn finished(&self, e: io::Error) -> io::Error {
        match e.raw_os_error() {
            Some(libc::EBADFD) => io::Error::new(
                io::ErrorKind::NotConnected,
                format!("TAP {} was removed while it was in use; make it again and start anew", self.name),
            ),
            _ => io::Error::new(e.kind(), format!("TAP {}: {e}", self.name)),
        }
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// `dev_valid_name` of the kernel, and no `%`, which would make it choose a number.
fn check_name(name: &str) -> Result<()> {
    let bad = |b: u8| b.is_ascii_whitespace() || matches!(b, 0 | b'/' | b':' | b'%');
    if name.is_empty() || name.len() >= libc::IFNAMSIZ || name == "." || name == ".." || name.bytes().any(bad) {
        return Err(Error::BadName { name: name.to_owned() });
    }
    Ok(())
}

fn open_device(name: &str) -> Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(DEVICE).map_err(|source| match source
        .raw_os_error()
    {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => Error::NoTun { source },
        Some(libc::EPERM | libc::EACCES) => Error::NotPermitted { name: name.to_owned() },
        _ => Error::io(DEVICE, source),
    })
}

fn bring_up(name: &str) -> Result<()> {
    let io = |e| Error::io(format!("bring {name} up"), e);
    // Any socket will do for netdevice(7) requests.
    let socket = OwnedFd::from(UnixDatagram::unbound().map_err(io)?);
    let mut request = request(name);
    ioctl(&socket, libc::SIOCGIFFLAGS as libc::Ioctl, &raw mut request).map_err(io)?;
    // SAFETY: the kernel has just filled in the flags.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    let up = libc::IFF_UP as c_short;
    if flags & up != 0 {
        return Ok(());
    }
    request.ifr_ifru.ifru_flags = flags | up;
    ioctl(&socket, libc::SIOCSIFFLAGS as libc::Ioctl, &raw mut request).map_err(|e| match e.raw_os_error() {
        Some(libc::EPERM) => Error::Down { name: name.to_owned() },
        _ => io(e),
    })
}

/// An interface request for `name`, which is short enough.
fn request(name: &str) -> libc::ifreq {
    // SAFETY: plain bytes and a union of plain data; all zeros is a value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    assert!(name.len() < request.ifr_name.len(), "the name was checked");
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request
}

fn ioctl<T>(fd: &impl AsRawFd, option: libc::Ioctl, argument: *mut T) -> io::Result<()> {
    // SAFETY: every caller passes an option together with a pointer to a live value of the type that the option reads and writes.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), option, argument) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["tap0", "gapless-backup0", "a.b"] {
            check_name(good).unwrap();
        }
        for bad in ["", "tap%d", "a/b", "a b", "a:b", "..", "sixteen-letters-"] {
            let error = check_name(bad).unwrap_err();
            assert!(error.to_string().contains("cannot be the name"), "{bad}: {error}");
        }
    }
}
