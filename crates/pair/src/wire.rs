//! Packets on a TCP connection: length, checksum, packet; both sides open with a greeting.
//!
//! The rule it keeps: whatever bytes arrive, the answer is a packet or an error; memory grows only with bytes that really came, up to one
//! packet. No socket here: bytes in, packets out, and the other way round. What it leaves out: authentication; listen where only the pair can
//! reach.
//!
//! ```text
//! greeting: "GLP1"
//! packet:    0  length u32   4  crc32 of length and packet u32   8  packet
//! ```

use crate::{Message, MessageError, Nonce, PACKET_BYTES_MAX, Packet};
use gapless_log::Frame;

/// What both sides send first.
pub const GREETING: [u8; 4] = *b"GLP1";
/// How much is read from a socket at a time.
pub const READ_BYTES: usize = 256 << 10;
const PREFIX_BYTES: usize = 8;

/// Why a connection is given up.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WireError {
    /// Some other program.
    #[error("the other side does not speak gapless' pair protocol")]
    Greeting,
    /// A length beyond every packet.
    #[error("packet of {0} bytes is longer than the limit")]
    Length(usize),
    /// Damaged on the way.
    #[error("packet checksum does not match")]
    Checksum,
    /// Whole, but not a packet.
    #[error(transparent)]
    Message(#[from] MessageError),
}

/// Bytes that arrived and are not yet packets.
#[derive(Debug, Default)]
pub struct Incoming {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    greeted: bool,
}

impl Incoming {
    /// Where the next bytes of the socket go; never empty.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.end < READ_BYTES / 2 {
            self.buffer.resize(self.end + READ_BYTES, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes were put into [`Incoming::space`].
    pub fn arrived(&mut self, bytes: usize) {
        self.end += bytes;
        assert!(self.end <= self.buffer.len(), "more bytes than there was space for");
    }

    /// The next whole packet.
    pub fn packet(&mut self) -> Result<Option<Packet>, WireError> {
        if !self.greeted {
            let held = &self.buffer[self.start..self.end];
            let common = held.len().min(GREETING.len());
            if held[..common] != GREETING[..common] {
                return Err(WireError::Greeting);
            }
            if common < GREETING.len() {
                return Ok(None);
            }
            self.greeted = true;
            self.start += GREETING.len();
        }
        let held = &self.buffer[self.start..self.end];
        let Some((prefix, rest)) = held.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let [l0, l1, l2, l3, crc @ ..] = *prefix;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > PACKET_BYTES_MAX {
            return Err(WireError::Length(length));
        }
        let Some(packet) = rest.get(..length) else { return Ok(None) };
        if checksum(length, &[packet]).to_le_bytes() != crc {
            return Err(WireError::Checksum);
        }
        let packet = Packet::decode(packet)?;
        self.start += PREFIX_BYTES + length;
        Ok(Some(packet))
    }
}

/// The length is covered too, so that no flipped bit of it cuts a packet elsewhere unnoticed.
fn checksum(length: usize, parts: &[&[u8]]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&(length as u32).to_le_bytes());
    parts.iter().for_each(|part| crc.update(part));
    crc.finalize()
}

/// Packets that wait for the socket. Acknowledgements and heartbeats that a later one overtakes are not sent at all.
#[derive(Debug)]
pub struct Outgoing {
    buffer: Vec<u8>,
    start: usize,
    late: Option<Packet>,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self { buffer: GREETING.to_vec(), start: 0, late: None }
    }
}

impl Outgoing {
    /// Queues a packet.
    pub fn push(&mut self, packet: Packet) {
        let replaces = |late: &Packet| late.nonce == packet.nonce && replaced_by(&late.message, &packet.message);
        if self.late.as_ref().is_some_and(replaces) {
            self.late = None;
        }
        self.settle();
        if matches!(packet.message, Message::Ack(_) | Message::Heartbeat(_)) {
            self.late = Some(packet);
        } else if let Message::Stream(frame) = &packet.message {
            self.put(&[&Packet::stream_head(packet.nonce), frame.bytes()]);
        } else {
            self.put(&[&packet.encode()]);
        }
    }

    /// Queues a frame of a stream.
    pub fn push_frame(&mut self, nonce: Nonce, frame: &Frame) {
        self.settle();
        self.put(&[&Packet::stream_head(nonce), frame.bytes()]);
    }

    /// Gives the packet that could still be replaced its place in the queue.
    fn settle(&mut self) {
        if let Some(packet) = self.late.take() {
            self.put(&[&packet.encode()]);
        }
    }

    fn put(&mut self, parts: &[&[u8]]) {
        let length = parts.iter().map(|p| p.len()).sum();
        self.buffer.extend_from_slice(&(length as u32).to_le_bytes());
        self.buffer.extend_from_slice(&checksum(length, parts).to_le_bytes());
        parts.iter().for_each(|part| self.buffer.extend_from_slice(part));
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting() == 0 && self.late.is_none()
    }

    /// The bytes to write next.
    pub fn bytes(&mut self) -> &[u8] {
        if self.waiting() == 0 {
            self.settle();
        }
        &self.buffer[self.start..]
    }

    /// So many of [`Outgoing::bytes`] were written.
    pub fn wrote(&mut self, bytes: usize) {
        const KEEP_BYTES: usize = 1 << 20;
        self.start += bytes;
        assert!(self.start <= self.buffer.len(), "wrote more than was there");
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.buffer.shrink_to(KEEP_BYTES);
            self.start = 0;
        } else if self.start > KEEP_BYTES {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
    }
}

/// An acknowledgement says all that an earlier one said; so does a heartbeat. An acknowledgement is as good as a heartbeat, not the reverse.
fn replaced_by(earlier: &Message, later: &Message) -> bool {
    matches!(
        (earlier, later),
        (Message::Ack(_) | Message::Heartbeat(_), Message::Ack(_)) | (Message::Heartbeat(_), Message::Heartbeat(_))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ack, Bye, Heartbeat};
    use gapless_log::Seq;

    fn ack(nonce: u64, received: u64) -> Packet {
        Packet::new(Nonce(nonce), Message::Ack(Ack { received: Seq(received), ..Ack::default() }))
    }

    fn heartbeat() -> Packet {
        Packet::new(Nonce(1), Message::Heartbeat(Heartbeat::default()))
    }

    fn bye() -> Packet {
        Packet::new(Nonce(1), Message::Bye(Bye::Ended(3)))
    }

    fn sent(packets: &[Packet]) -> Vec<u8> {
        let mut out = Outgoing::default();
        let mut bytes = Vec::new();
        packets.iter().for_each(|p| out.push(p.clone()));
        while !out.is_empty() {
            let some = out.bytes().len().div_ceil(2);
            bytes.extend_from_slice(&out.bytes()[..some]);
            out.wrote(some);
        }
        bytes
    }

    fn received(bytes: &[u8], piece: usize) -> Result<Vec<Packet>, WireError> {
        let mut incoming = Incoming::default();
        let mut packets = Vec::new();
        for chunk in bytes.chunks(piece) {
            incoming.space()[..chunk.len()].copy_from_slice(chunk);
            incoming.arrived(chunk.len());
            while let Some(packet) = incoming.packet()? {
                packets.push(packet);
            }
        }
        Ok(packets)
    }

    #[test]
    fn packets_arrive_however_they_are_cut() {
        let packets = [bye(), ack(1, 5), bye(), ack(2, 6)];
        let bytes = sent(&packets);
        for piece in [1, 2, 3, 7, bytes.len()] {
            assert_eq!(received(&bytes, piece).unwrap(), packets);
        }
    }

    #[test]
    fn only_the_last_acknowledgement_of_a_session_is_sent() {
        let check =
            |packets: &[Packet], expected: &[Packet]| assert_eq!(received(&sent(packets), 64).unwrap(), expected);
        check(&[ack(1, 1), ack(1, 2), ack(1, 3)], &[ack(1, 3)]);
        check(&[heartbeat(), ack(1, 3)], &[ack(1, 3)]);
        check(&[ack(1, 3), heartbeat(), heartbeat()], &[ack(1, 3), heartbeat()]);
        check(&[ack(1, 3), ack(2, 1)], &[ack(1, 3), ack(2, 1)]);
        check(&[ack(1, 1), bye(), ack(1, 2)], &[ack(1, 1), bye(), ack(1, 2)]);
    }

    #[test]
    fn every_flipped_bit_is_an_error_or_leaves_the_packets_before_it() {
        let packets = [bye(), ack(1, 5), bye()];
        let bytes = sent(&packets);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(got) = received(&damaged, 1 << 20) {
                assert!(got.len() < packets.len() && got == packets[..got.len()], "bit {bit}: {got:?}");
            }
        }
    }

    #[test]
    fn a_stranger_and_a_giant_are_refused() {
        assert_eq!(received(b"GET / HTTP/1.1\r\n", 3), Err(WireError::Greeting));
        let giant = [&GREETING[..], &u32::MAX.to_le_bytes(), &[0; 4]].concat();
        assert_eq!(received(&giant, 4), Err(WireError::Length(u32::MAX as usize)));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(tail: Vec<u8>, piece in 1usize..40) {
            let _ = received(&[&GREETING[..], &tail].concat(), piece);
            let with_checksum = [&GREETING[..], &(tail.len() as u32).to_le_bytes(), &checksum(tail.len(), &[&tail]).to_le_bytes(), &tail];
            let _ = received(&with_checksum.concat(), piece);
        }
    }
}
