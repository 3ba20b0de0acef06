//! A host that asks the guest for a sign of life all the time, so that every pause is seen as the network sees it.
//!
//! ICMP echo (RFC 792) over a raw socket, which needs root.

use super::site::{GUEST, PATIENCE, Site};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Pause between two questions.
const EVERY: Duration = Duration::from_millis(10);

/// Asks until it is dropped.
pub struct Ping {
    answers: Arc<Mutex<Vec<Instant>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ping {
    /// From the site's host.
    pub fn start(site: &Site) -> Self {
        let socket = site.host.enter(icmp_socket);
        let answers = Arc::<Mutex<Vec<Instant>>>::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (theirs, stopped) = (Arc::clone(&answers), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut number = 0u16;
            let mut next = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                ask(&socket, number);
                number = number.wrapping_add(1);
                next = (next + EVERY).max(Instant::now());
                while let Some(left) = next.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                    if answered(&socket, left) {
                        theirs.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                    }
                }
            }
        });
        Self { answers, stop, thread: Some(thread) }
    }

    /// Waits for an answer.
    pub fn await_answer(&self) {
        let since = Instant::now();
        while self.answers.lock().unwrap_or_else(PoisonError::into_inner).last().is_none_or(|&at| at < since) {
            assert!(since.elapsed() < PATIENCE, "the guest answers no ping");
            std::thread::sleep(EVERY);
        }
    }

    /// The longest time without an answer since `since`, the one that lasts included.
    pub fn gap(&self, since: Instant) -> Duration {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let first = answers.partition_point(|&at| at < since).saturating_sub(1);
        let ends = answers.iter().copied().skip(first).chain([Instant::now()]);
        let (mut last, mut longest) = (None, Duration::ZERO);
        for at in ends {
            longest = last.map_or(longest, |last| longest.max(at - last));
            last = Some(at);
        }
        longest
    }
}

impl Drop for Ping {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn icmp_socket() -> OwnedFd {
    // SAFETY: no pointers; the descriptor is a new one.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::IPPROTO_ICMP);
        assert!(fd >= 0, "a raw socket: {}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(fd)
    }
}

/// The guest's address for a call.
fn guest() -> libc::sockaddr_in {
    // SAFETY: plain data.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::AF_INET as libc::sa_family_t;
    address.sin_addr.s_addr = u32::from(GUEST).to_be();
    address
}

fn ask(socket: &OwnedFd, number: u16) {
    // type 8, code 0, checksum, identifier, number
    let mut packet = [8, 0, 0, 0, 0x67, 0x6c, (number >> 8) as u8, number as u8];
    let sum: u32 = packet.as_chunks::<2>().0.iter().map(|w| u32::from(u16::from_be_bytes(*w))).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    let to = guest();
    // SAFETY: the packet and the address have the lengths given. Not to be heard is what this looks for.
    unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            libc::MSG_DONTWAIT,
            (&raw const to).cast(),
            size_of::<libc::sockaddr_in>() as libc::socklen_t,
        );
    }
}

/// Waits at most so long; true if an answer came.
fn answered(socket: &OwnedFd, at_most: Duration) -> bool {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let time = libc::timespec { tv_sec: 0, tv_nsec: at_most.subsec_nanos().into() };
    let mut packet = [0u8; 256];
    // SAFETY: one valid pollfd, a valid time, no mask; a buffer of the length given.
    let n = unsafe {
        if libc::ppoll(&raw mut poll, 1, &raw const time, std::ptr::null()) != 1 {
            return false;
        }
        libc::recv(socket.as_raw_fd(), packet.as_mut_ptr().cast(), packet.len(), libc::MSG_DONTWAIT)
    };
    // Behind an IP header of 20 bytes: type 0 is an answer.
    n >= 28 && packet[20] == 0 && packet[24..26] == [0x67, 0x6c]
}
