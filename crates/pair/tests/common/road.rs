//! A connection on which bytes are slow, held or damaged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How bytes of a connection fare.
pub struct Back {
    /// Held beyond so many bytes of each connection.
    pub hold_after: AtomicU64,
    pub bytes_per_s: AtomicU64,
    pub damage: Mutex<Damage>,
}

impl Default for Back {
    fn default() -> Self {
        let free = || AtomicU64::new(u64::MAX);
        Self { hold_after: free(), bytes_per_s: free(), damage: Mutex::default() }
    }
}

/// Something that goes wrong once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Damage {
    #[default]
    None,
    /// A bit of this byte of a connection.
    FlippedBit(u64),
    /// The last byte of this piece of a state, with a checksum to match.
    WrongPiece(u64),
}

/// One connection's bytes towards the side that dialled.
pub struct Road {
    back: Arc<Back>,
    passed: u64,
    /// What is not yet a whole packet, kept only while a piece is to be changed.
    packets: Vec<u8>,
    pieces: u64,
}

impl Road {
    pub fn new(back: Arc<Back>) -> Self {
        Self { back, passed: 0, packets: Vec::new(), pieces: 0 }
    }

    pub fn travel(&mut self, bytes: &mut Vec<u8>) {
        let (from, to) = (self.passed, self.passed + bytes.len() as u64);
        self.passed = to;
        let rate = self.back.bytes_per_s.load(Ordering::SeqCst);
        if rate != u64::MAX {
            thread::sleep(Duration::from_micros(bytes.len() as u64 * 1_000_000 / rate));
        }
        while to > self.back.hold_after.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        let back = Arc::clone(&self.back);
        let mut damage = back.damage.lock().unwrap();
        match *damage {
            Damage::FlippedBit(at) if (from..to).contains(&at) => {
                bytes[(at - from) as usize] ^= 16;
                *damage = Damage::None;
            }
            Damage::WrongPiece(piece) => {
                if from == 0 {
                    self.packets = bytes.split_off(4);
                } else {
                    self.packets.append(bytes);
                }
                while let Some(mut packet) = self.packet() {
                    // Tag 4 is STATE; behind it 9 + 57 bytes of head.
                    if packet[8] == 4 && packet.len() > 8 + 66 {
                        self.pieces += 1;
                        if self.pieces > piece {
                            *packet.last_mut().unwrap() ^= 1;
                            let sum = crc32fast::hash(&[&packet[..4], &packet[8..]].concat());
                            packet[4..8].copy_from_slice(&sum.to_le_bytes());
                            *damage = Damage::None;
                        }
                    }
                    bytes.append(&mut packet);
                }
                if *damage == Damage::None {
                    bytes.append(&mut self.packets);
                }
            }
            _ => {}
        }
    }

    /// The next whole packet, with its length and checksum.
    fn packet(&mut self) -> Option<Vec<u8>> {
        let length = self.packets.get(..4)?.try_into().map(u32::from_le_bytes).unwrap() as usize;
        (self.packets.len() >= 8 + length).then(|| self.packets.drain(..8 + length).collect())
    }
}
