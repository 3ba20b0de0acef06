//! The fuzz targets on a stable compiler: a seeded mutator, so that a failure can be had again.

#[path = "common/fuzz.rs"]
mod fuzz;

use gapless_log::disk::Dice;
use gapless_log::{Frame, HEADER_BYTES, chain};

const FILES: [&[u8]; 4] = [
    include_bytes!("golden/v1/00000000000000000000.seg"),
    include_bytes!("golden/v1/00000000000000000010.seg"),
    include_bytes!("golden/v1/00000000000000000022.seg"),
    include_bytes!("golden/v1/meta"),
];

/// Changes bytes in one of the ways in which files and writers go wrong.
fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    if bytes.is_empty() {
        bytes.push(dice.roll() as u8);
    }
    let at = dice.below(bytes.len());
    let to = bytes.len().min(at + 1 + dice.below(40));
    match dice.below(8) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][dice.below(5)],
        2 => bytes[at..to].iter_mut().for_each(|b| *b = 0),
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..to)),
        5 => {
            let piece = bytes[at..to].to_vec();
            let into = dice.below(bytes.len());
            bytes.splice(into..into, piece);
        }
        6 => {
            let other = FILES[dice.below(FILES.len())];
            let from = dice.below(other.len());
            let end = other.len().min(from + dice.below(200));
            bytes.splice(at..at, other[from..end].iter().copied());
        }
        _ => forge_at(bytes, at),
    }
}

/// Makes the checksums of the next frame fit whatever is there, as a wrong writer would.
fn forge_at(bytes: &mut [u8], from: usize) {
    let Some(at) = bytes[from..].windows(4).position(|w| w == b"GLF1").map(|n| from + n) else { return };
    let Some(payload) = bytes.get(at + 44..at + 48).map(|b| u32::from_le_bytes(b.try_into().unwrap()) as usize) else {
        return;
    };
    let Some(frame) = bytes.get_mut(at..at.saturating_add(HEADER_BYTES).saturating_add(payload)) else { return };
    let (header, payload) = frame.split_at_mut(HEADER_BYTES);
    let before = u128::from_le_bytes(header[48..64].try_into().unwrap());
    let after = chain(before, &[&header[..48], payload]);
    header[64..80].copy_from_slice(&after.to_le_bytes());
    let crc = crc32fast::hash(payload);
    header[80..84].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32fast::hash(&header[..84]);
    header[84..88].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn fuzz_smoke_decoder() {
    let mut dice = Dice(1);
    let mut accepted = 0;
    for _ in 0..40_000 {
        let file = FILES[dice.below(FILES.len())];
        let start = if dice.coin() && file.len() > 64 { 64 } else { 0 };
        let mut bytes = file[start..].to_vec();
        for _ in 0..dice.below(4) {
            mutate(&mut bytes, &mut dice);
        }
        accepted += usize::from(Frame::decode(&bytes).is_ok());
        fuzz::decode(&bytes);
    }
    assert!(accepted > 1000, "only {accepted} were accepted: the mutator hides the insides");
}

#[test]
fn fuzz_smoke_recovery() {
    let mut dice = Dice(2);
    for _ in 0..2500 {
        let (mut first, mut second) = (FILES[0].to_vec(), FILES[1].to_vec());
        let kind = [10, 10, 0x8a, 0x8a, 11, 0xff][dice.below(6)];
        if kind == 0xff {
            second = FILES[3].to_vec();
        }
        for _ in 0..dice.below(4) {
            let which = if dice.coin() { &mut first } else { &mut second };
            mutate(which, &mut dice);
            if dice.coin() {
                forge_at(which, 0);
            }
        }
        let split = (first.len() as u16).to_be_bytes();
        let bytes = [&[split[0], split[1], kind], &first[..], &second[..]].concat();
        fuzz::recover(&bytes);
    }
}
