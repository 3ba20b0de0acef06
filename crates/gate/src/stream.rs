//! Frames on a byte stream: a big-endian length of four bytes, then the Ethernet frame. What QEMU's `-netdev stream` speaks, and passt.
//!
//! The virtio-net header is put before a frame on its way in and cut off on its way out.

use crate::Sent;
use crate::frame::{ETHERNET_BYTES, FRAME_BYTES_MAX, HEADER_BYTES, in_one_buffer, plausible};
use std::io::{self, ErrorKind, IoSlice, Read, Write};

const PREFIX_BYTES: usize = 4;
const ETHERNET_BYTES_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES;
/// How much may have been read and not been taken: some large frames, or some hundred small ones.
const INBOUND_BYTES_MAX: usize = 16 * (PREFIX_BYTES + ETHERNET_BYTES_MAX);

/// What came in and was not taken yet.
#[derive(Debug)]
pub(crate) struct Inbound {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Inbound {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; INBOUND_BYTES_MAX].into_boxed_slice(), start: 0, end: 0 }
    }

    /// One frame with a header; `None` if `from` has no whole one now. `UnexpectedEof` at the end of the stream.
    pub(crate) fn receive(&mut self, mut from: impl Read, buf: &mut [u8]) -> io::Result<Option<usize>> {
        assert!(buf.len() >= FRAME_BYTES_MAX, "a buffer of {} bytes may be too short for a frame", buf.len());
        loop {
            if let Some(length) = self.take(buf)? {
                return Ok(Some(length));
            }
            // Less than one frame is left, so there is room behind it.
            match self.read(&mut from) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Reads once although nobody takes what comes in. What there is no room for is lost, the oldest frames first, as a network card would.
    ///
    /// Called when the other side does not take what we send: perhaps it waits for us to take what it sends.
    pub(crate) fn give_way(&mut self, from: impl Read) {
        if self.end - self.start == self.bytes.len() {
            while self.end - self.start > INBOUND_BYTES_MAX / 2
                && let Ok(Some(length)) = self.whole()
            {
                self.start += PREFIX_BYTES + length;
            }
        }
        if self.end - self.start < self.bytes.len() {
            // An error comes again when somebody receives, and so does the end.
            let _ = self.read(from);
        }
    }

    fn read(&mut self, mut from: impl Read) -> io::Result<usize> {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let count = from.read(&mut self.bytes[self.end..])?;
        self.end += count;
        Ok(count)
    }

    /// Length of the frame at the front, if it is there whole.
    fn whole(&self) -> io::Result<Option<usize>> {
        let Some((prefix, rest)) = self.bytes[self.start..self.end].split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*prefix) as usize;
        if !(ETHERNET_BYTES..=ETHERNET_BYTES_MAX).contains(&length) {
            let what = format!("a frame of {length} bytes in the stream; is the other side a passt?");
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        Ok((length <= rest.len()).then_some(length))
    }

    fn take(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(length) = self.whole()? else {
            return Ok(None);
        };
        let start = self.start + PREFIX_BYTES;
        buf[..HEADER_BYTES].fill(0);
        in_one_buffer(buf);
        buf[HEADER_BYTES..HEADER_BYTES + length].copy_from_slice(&self.bytes[start..start + length]);
        self.start = start + length;
        Ok(Some(HEADER_BYTES + length))
    }
}

/// What is left of the one frame that was taken and did not fit.
#[derive(Debug)]
pub(crate) struct Outbound {
    rest: Vec<u8>,
    start: usize,
}

impl Outbound {
    pub(crate) fn new() -> Self {
        Self { rest: Vec::with_capacity(PREFIX_BYTES + ETHERNET_BYTES_MAX), start: 0 }
    }

    /// Sends one frame without its header. It is taken whole or not at all; what `to` has no room for waits here.
    pub(crate) fn send(&mut self, mut to: impl Write, frame: &[u8]) -> io::Result<Sent> {
        if !plausible(frame) {
            return Ok(Sent::Malformed);
        }
        if !self.flush(&mut to)? {
            return Ok(Sent::Full);
        }
        let ethernet = &frame[HEADER_BYTES..];
        let prefix = (ethernet.len() as u32).to_be_bytes();
        let written = loop {
            match to.write_vectored(&[IoSlice::new(&prefix), IoSlice::new(ethernet)]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => break count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Sent::Full),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        };
        assert!(written <= PREFIX_BYTES + ethernet.len(), "no more is written than was given");
        self.rest.clear();
        self.start = 0;
        self.rest.extend_from_slice(&prefix[written.min(PREFIX_BYTES)..]);
        self.rest.extend_from_slice(&ethernet[written.saturating_sub(PREFIX_BYTES)..]);
        Ok(Sent::Taken)
    }

    /// `true` once nothing is left.
    pub(crate) fn flush(&mut self, mut to: impl Write) -> io::Result<bool> {
        while self.start < self.rest.len() {
            match to.write(&self.rest[self.start..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.start += count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A stream that moves `at_once` bytes a call and says "not now" before every other call.
    struct Drip {
        bytes: VecDeque<u8>,
        at_once: usize,
        ready: bool,
        closed: bool,
    }

    impl Drip {
        fn new(at_once: usize) -> Self {
            Self { bytes: VecDeque::new(), at_once, ready: false, closed: false }
        }

        fn turn(&mut self) -> io::Result<()> {
            self.ready = !self.ready;
            if self.ready { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) }
        }
    }

    impl Read for Drip {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.bytes.is_empty() {
                return if self.closed { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
            }
            self.turn()?;
            let count = self.at_once.min(buf.len()).min(self.bytes.len());
            for (to, from) in buf.iter_mut().zip(self.bytes.drain(..count)) {
                *to = from;
            }
            Ok(count)
        }
    }

    impl Write for Drip {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.turn()?;
            let count = self.at_once.min(buf.len());
            self.bytes.extend(&buf[..count]);
            Ok(count)
        }

        fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
            let all: Vec<u8> = bufs.iter().flat_map(|b| b.iter().copied()).collect();
            self.write(&all)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn frame(ethernet_bytes: usize, fill: u8) -> Vec<u8> {
        let mut frame = vec![0; HEADER_BYTES];
        in_one_buffer(&mut frame);
        frame.resize(HEADER_BYTES + ethernet_bytes, fill);
        frame
    }

    /// Sends every frame through the same stream and receives as it goes.
    fn there_and_back(frames: &[Vec<u8>], at_once: usize) -> Vec<Vec<u8>> {
        let (mut stream, mut outbound, mut inbound) = (Drip::new(at_once), Outbound::new(), Inbound::new());
        let mut buf = vec![0xee; FRAME_BYTES_MAX];
        let mut got = Vec::new();
        let mut next = 0;
        while got.len() < frames.len() {
            if next < frames.len() && outbound.send(&mut stream, &frames[next]).unwrap() == Sent::Taken {
                next += 1;
            }
            let _ = outbound.flush(&mut stream).unwrap();
            while let Some(length) = inbound.receive(&mut stream, &mut buf).unwrap() {
                got.push(buf[..length].to_vec());
            }
        }
        got
    }

    #[test]
    fn frames_survive_any_cut_of_the_stream() {
        let small: Vec<_> = (0..20).map(|i| frame(14 + i * 7, i as u8)).collect();
        for at_once in 1..40 {
            assert_eq!(there_and_back(&small, at_once), small, "{at_once} bytes at once");
        }
        let large: Vec<_> = (0..9).map(|i| frame(if i % 2 == 0 { ETHERNET_BYTES_MAX } else { 60 }, i)).collect();
        for at_once in [1000, 65_536, 1 << 20] {
            assert_eq!(there_and_back(&large, at_once), large, "{at_once} bytes at once");
        }
    }

    #[test]
    fn a_wrong_length_is_an_error_and_so_is_the_end() {
        let mut buf = vec![0; FRAME_BYTES_MAX];
        for length in [0u32, 13, ETHERNET_BYTES_MAX as u32 + 1, u32::MAX] {
            let mut stream = Drip::new(100);
            stream.bytes.extend(length.to_be_bytes());
            let error = Inbound::new().receive(&mut stream, &mut buf).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{length}");
        }
        let mut stream = Drip::new(100);
        stream.bytes.extend([0, 0, 0, 60, 1, 2]);
        let mut inbound = Inbound::new();
        assert_eq!(inbound.receive(&mut stream, &mut buf).unwrap(), None);
        stream.closed = true;
        assert_eq!(inbound.receive(&mut stream, &mut buf).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn two_sides_that_only_send_do_not_wait_for_each_other() {
        const FRAMES: usize = 100;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let large = |i: usize| frame(ETHERNET_BYTES_MAX, i as u8);
        let mut buf = vec![0; FRAME_BYTES_MAX];
        let mut inbound = Inbound::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // It blocks in each write, and reads nothing before it has written everything.
                let (mut outbound, mut inbound) = (Outbound::new(), Inbound::new());
                for i in 0..FRAMES {
                    assert_eq!(outbound.send(&theirs, &large(i)).unwrap(), Sent::Taken);
                    assert!(outbound.flush(&theirs).unwrap());
                }
                let mut buf = vec![0; FRAME_BYTES_MAX];
                for i in 0..FRAMES {
                    let length = inbound.receive(&theirs, &mut buf).unwrap();
                    assert!(buf[..length.unwrap()] == large(i), "frame {i}");
                }
            });
            let mut outbound = Outbound::new();
            for i in 0..FRAMES {
                while outbound.send(&ours, &large(i)).unwrap() == Sent::Full {
                    inbound.give_way(&ours);
                    std::thread::yield_now();
                }
            }
            while !outbound.flush(&ours).unwrap() {
                inbound.give_way(&ours);
                std::thread::yield_now();
            }
        });
        let mut last = None;
        let mut count = 0;
        while let Ok(Some(length)) = inbound.receive(&ours, &mut buf) {
            assert!(last < Some(buf[HEADER_BYTES]), "in order");
            last = Some(buf[HEADER_BYTES]);
            assert!(buf[..length] == large(usize::from(buf[HEADER_BYTES])), "whole");
            count += 1;
        }
        assert_eq!(last, Some(FRAMES as u8 - 1), "the newest is kept");
        assert!(count < FRAMES, "some had to go");
    }

    #[test]
    fn what_is_no_frame_is_not_sent() {
        let mut stream = Drip::new(1 << 20);
        for length in [0, HEADER_BYTES, HEADER_BYTES + 13, FRAME_BYTES_MAX + 1] {
            assert_eq!(Outbound::new().send(&mut stream, &vec![0; length]).unwrap(), Sent::Malformed);
        }
        assert!(stream.bytes.is_empty());
    }
}
