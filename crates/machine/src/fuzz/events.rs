//! A log that says anything: entries of every kind with any body.

use super::{Bytes, apply, computer, kernel, reach};
use crate::computer::Computer;
use crate::event;
use gapless_log::{Kind, Position};

const STEP: u64 = 50;
/// Spins with all interrupts on: `csrw sie, -1; csrs sstatus, 2; j .`
const CODE: [u32; 4] = [0xfff0_0093, 0x1040_9073, 0x1001_6073, 0x0000_006f];

/// Bytes as entries of a log: kind, length, body. What a machine takes, another takes as well, to the same end.
pub fn events(bytes: &[u8]) {
    let (mut one, mut other) = (machine(), machine());
    let mut bytes = Bytes(bytes);
    while !bytes.is_empty() {
        let (kind, body) = entry(&mut bytes);
        assert_eq!(apply(&mut one, kind, &body), apply(&mut other, kind, &body));
        let until = Position(one.position().0 + STEP);
        assert_eq!(reach(&mut one, until), reach(&mut other, until));
    }
    super::assert_same(&mut one, &mut other);
}

fn machine() -> Computer {
    computer(kernel(&CODE.map(u32::to_le_bytes).concat()), true)
}

fn entry(bytes: &mut Bytes<'_>) -> (Kind, Vec<u8>) {
    match bytes.byte() {
        0..32 => {
            let body = event::ClockBody { time: bytes.hostile(), slope: bytes.hostile() };
            (event::CLOCK, postcard::to_stdvec(&body).expect("plain data"))
        }
        32..64 => (event::NET_EVENT, Vec::new()),
        64..128 => {
            let length = bytes.pick(&[0, 11, 12, 13, 26, 60, 65_565, 65_566, 1 << 20]);
            let mut frame = bytes.take(60).to_vec();
            frame.resize(length, 0);
            (event::NET_CONTENT, event::piece_body(bytes.byte() & 1 == 0, &frame))
        }
        128..160 => {
            let length = bytes.pick(&[0, 1, 1024, 1025, 1 << 20]);
            (event::CONSOLE, vec![b'c'; length])
        }
        kind => {
            let length = bytes.byte();
            (Kind(u16::from(kind % 32)), bytes.take(length.into()).to_vec())
        }
    }
}
