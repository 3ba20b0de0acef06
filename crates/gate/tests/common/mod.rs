//! What these tests share.

#![allow(dead_code, reason = "each test file uses its part")]

use gapless_gate::{FRAME_BYTES_MAX, HEADER_BYTES, Port, Sent};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long anything that must happen may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An ethertype for experiments (IEEE 802, local experimental), which no host answers.
pub const EXPERIMENT: [u8; 2] = [0x88, 0xb5];

/// Can TAPs be tested here? Says why not.
pub fn can_open_tun() -> bool {
    match std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => true,
        Err(e) => {
            eprintln!("skipped: /dev/net/tun: {e}");
            false
        }
    }
}

/// A small frame.
pub fn frame(to: [u8; 6], from: [u8; 6], text: &str) -> Vec<u8> {
    let mut frame = vec![0; HEADER_BYTES];
    frame.extend(to);
    frame.extend(from);
    frame.extend(EXPERIMENT);
    frame.extend(text.as_bytes());
    frame.resize(frame.len().max(HEADER_BYTES + 60), 0);
    frame
}

/// The text of a frame that [`frame`] made.
pub fn text(frame: &[u8]) -> Option<String> {
    let ethernet = &frame[HEADER_BYTES..];
    let text = ethernet.get(14..).filter(|_| ethernet[12..14] == EXPERIMENT)?;
    Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
}

/// Everything that waits at `port` and that [`frame`] made.
pub fn texts(port: &Port) -> Vec<String> {
    let mut buf = vec![0; FRAME_BYTES_MAX];
    let mut texts = Vec::new();
    while let Some(length) = port.receive(&mut buf).unwrap() {
        texts.extend(text(&buf[..length]));
    }
    texts
}

/// Asks until the answer is `true`.
pub fn until(what: &str, mut f: impl FnMut() -> bool) {
    let start = Instant::now();
    while !f() {
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The next connection, if it comes in time.
pub fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let mut stream = None;
    until("a connection comes", || {
        stream = listener.accept().ok();
        stream.is_some()
    });
    let (stream, _) = stream.expect("until has seen it");
    stream.set_nonblocking(false).unwrap();
    stream
}

/// Waits until one of the ports may have a frame, at most 20 ms.
pub fn poll(ports: [&Port; 2]) {
    let mut polls = ports.map(|port| libc::pollfd {
        fd: port.as_fd().map_or(-1, |fd| fd.as_raw_fd()),
        events: if port.flush().unwrap() { libc::POLLIN } else { libc::POLLIN | libc::POLLOUT },
        revents: 0,
    });
    // SAFETY: two valid entries.
    unsafe { libc::poll(polls.as_mut_ptr(), 2, 20) };
}

/// What a [`Pump`] saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Longest frame from the first port, and from the second.
    pub longest: [AtomicUsize; 2],
    /// How often a port was full.
    pub full: AtomicUsize,
    stop: AtomicBool,
}

/// Carries frames between two ports, as two machines with a cable between them would, while `f` runs.
pub fn pumped<T>(ports: [&Port; 2], f: impl FnOnce(&Seen) -> T) -> T {
    struct Stop<'a>(&'a Seen);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.stop.store(true, Ordering::Relaxed);
        }
    }
    let seen = Seen::default();
    std::thread::scope(|scope| {
        scope.spawn(|| pump(ports, &seen));
        // Also when `f` panics: the scope waits for the pump.
        let _stop = Stop(&seen);
        f(&seen)
    })
}

/// One direction: the frame that is on its way.
struct Way {
    buf: Vec<u8>,
    held: Option<usize>,
}

impl Way {
    /// Carries until nothing comes or nothing goes.
    fn carry(&mut self, from: &Port, to: &Port, longest: &AtomicUsize, full: &AtomicUsize) {
        loop {
            let Some(length) = self.held.take().or_else(|| from.receive(&mut self.buf).unwrap()) else { return };
            longest.fetch_max(length, Ordering::Relaxed);
            if to.send(&self.buf[..length]).unwrap() == Sent::Full {
                full.fetch_add(1, Ordering::Relaxed);
                self.held = Some(length);
                return;
            }
        }
    }
}

fn pump([a, b]: [&Port; 2], seen: &Seen) {
    let mut ways = [0, 1].map(|_| Way { buf: vec![0; FRAME_BYTES_MAX], held: None });
    while !seen.stop.load(Ordering::Relaxed) {
        if ways.iter().all(|way| way.held.is_none()) {
            poll([a, b]);
        } else {
            std::thread::yield_now();
        }
        for (i, (from, to)) in [(a, b), (b, a)].into_iter().enumerate() {
            ways[i].carry(from, to, &seen.longest[i], &seen.full);
        }
    }
}
