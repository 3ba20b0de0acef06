//! Snapshots that somebody has forged: their hash is right and their contents are anything.

use super::{Bytes, assert_same, kernel};
use crate::computer::{Computer, Stop};
use crate::device::Said;
use crate::event::{self, ClockBody};
use crate::setup::{Boot, Disk, DiskImage};
use crate::snapshot::Header;
use gapless_log::{Position, hash};
use std::path::Path;
use std::sync::OnceLock;

const DISK_BYTES: usize = 64 << 10;
const HASH_BYTES: usize = 16;
const HEAD_BYTES: usize = 8;
/// A machine with more memory than this is not tried out: that takes long.
const TRIED_BYTES_MAX: u64 = 1 << 30;
/// A frame and some words to say, a timer, and `j .`.
const CODE: [u32; 4] = [0xfff0_0093, 0x1040_9073, 0x14d0_9073, 0x0000_006f];

/// Bytes as changes to a snapshot: it is refused, or a machine that runs and is saved and loaded as it is. `dir` is for the files of its disks.
pub fn snapshot(bytes: &[u8], dir: &Path) {
    let mut bytes = Bytes(bytes);
    let forged = forged(good(), &mut bytes);
    let Ok(mut computer) = Computer::load(&mut forged.as_slice(), dir) else { return };
    if computer.setup.memory > TRIED_BYTES_MAX {
        return;
    }
    for value in 0..4 {
        if try_out(&mut computer, value).is_err() {
            return;
        }
    }
    let mut saved = Vec::new();
    if computer.save(true, &mut saved).is_err() {
        return;
    }
    let other = dir.join("other");
    let mut loaded = Computer::load(&mut saved.as_slice(), &other).expect("what was saved can be loaded");
    assert_same(&mut computer, &mut loaded);
}

/// A snapshot as it should be, always the same one.
pub(super) fn good() -> &'static [u8] {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    GOOD.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("gapless-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let (kernel_path, disk_path) = (dir.join("kernel"), dir.join("disk"));
        std::fs::write(&kernel_path, kernel(&CODE.map(u32::to_le_bytes).concat())).expect("a file");
        std::fs::write(&disk_path, vec![7; DISK_BYTES]).expect("a file");
        let disks = vec![DiskImage { path: disk_path, read_only: false }];
        let append = "console=ttyS0".to_owned();
        let boot = Boot { kernel: kernel_path, initrd: None, append, memory: super::MEMORY_BYTES, disks, net: true };
        let mut computer = Computer::boot(boot, &dir).expect("a machine");
        computer.run(Position(100)).expect("it runs");
        computer.board.say([Said::Console(b'x'), Said::Frame(vec![1; 60])]);
        let mut saved = Vec::new();
        computer.save(true, &mut saved).expect("it can be saved");
        drop(computer);
        let _ = std::fs::remove_dir_all(&dir);
        saved
    })
}

/// Some inputs and some instructions. An error ends it: of the disk, or of a kernel that cannot be booted again.
fn try_out(computer: &mut Computer, value: u64) -> gapless_log::Result<()> {
    let clock = ClockBody { time: computer.now().saturating_add(value << 20), slope: computer.line().slope };
    let clock = postcard::to_stdvec(&clock).expect("plain data");
    for (kind, body) in [
        (event::CLOCK, clock),
        (event::CONSOLE, b"hello".to_vec()),
        (event::NET_EVENT, Vec::new()),
        (event::NET_CONTENT, event::piece_body(true, &[1; 100])),
    ] {
        let _ = computer.apply(kind, &body);
        let until = Position(computer.position().0 + 100);
        for _ in 0..100 {
            if !matches!(computer.run(until)?, Stop::Said | Stop::Pause) {
                break;
            }
        }
    }
    Ok(())
}

fn forged(good: &[u8], bytes: &mut Bytes<'_>) -> Vec<u8> {
    let mut damage = Vec::new();
    let mut forged = forge(good, |header, rest| {
        while !bytes.is_empty() {
            match bytes.byte() % 16 {
                0 => damage.push((bytes.number::<3>(), bytes.byte())),
                1..3 => edit(rest, bytes),
                3..7 => edit(&mut header.hart, bytes),
                7..11 => edit(&mut header.board, bytes),
                _ => change(header, bytes),
            }
        }
    });
    let end = forged.len() - HASH_BYTES;
    damage.iter().for_each(|&(at, byte)| forged[at as usize % end] = byte);
    let sum = hash(&forged[..end]);
    forged[end..].copy_from_slice(&sum.to_le_bytes());
    forged
}

/// The same snapshot after a change of its header and of what follows it, with the right hash.
pub(super) fn forge(good: &[u8], change: impl FnOnce(&mut Header, &mut Vec<u8>)) -> Vec<u8> {
    let header_bytes = u32::from_le_bytes([good[4], good[5], good[6], good[7]]) as usize;
    let (head, rest) = good[..good.len() - HASH_BYTES].split_at(HEAD_BYTES + header_bytes);
    let mut header = postcard::from_bytes(&head[HEAD_BYTES..]).expect("a good one");
    let mut rest = rest.to_vec();
    change(&mut header, &mut rest);
    let header = postcard::to_stdvec(&header).expect("plain data");
    let mut forged = [&good[..4], &(header.len() as u32).to_le_bytes(), &header, &rest].concat();
    let sum = hash(&forged);
    forged.extend_from_slice(&sum.to_le_bytes());
    forged
}

/// Bytes put over, in or out.
fn edit(section: &mut Vec<u8>, bytes: &mut Bytes<'_>) {
    if section.is_empty() {
        return;
    }
    let at = bytes.number::<3>() as usize % section.len();
    match bytes.byte() % 8 {
        0 => section.truncate(at),
        1 => drop(section.remove(at)),
        2 => section.insert(at, bytes.byte()),
        // A varint that is as large as varints get.
        3 => drop(section.splice(at..at + 1, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01])),
        4 => section[at] ^= 1 << (bytes.byte() % 8),
        _ => section[at] = bytes.byte(),
    }
}

fn change(header: &mut Header, bytes: &mut Bytes<'_>) {
    let (setup, rest) = (&mut header.setup, &mut header.rest);
    match bytes.byte() % 14 {
        0 => setup.memory = bytes.hostile(),
        1 => setup.kernel_bytes = bytes.hostile(),
        2 => setup.initrd_bytes = bytes.hostile(),
        3 => setup.disks.extend(
            (0..bytes.byte() % 16)
                .map(|_| Disk { path: "/dev/zero".into(), ..setup.disks[0].clone() })
                .collect::<Vec<_>>(),
        ),
        4 => setup.disks[0].bytes = bytes.hostile(),
        5 => setup.net = None,
        6 => setup.append = "x".repeat(bytes.number::<2>() as usize),
        7 => rest.line.time = bytes.hostile(),
        8 => rest.line.slope = bytes.hostile(),
        9 => rest.line.position = bytes.hostile(),
        10 => (rest.idle, rest.jumps) = (bytes.byte() & 1 == 0, bytes.hostile() as u32),
        11 => (rest.frames_open, rest.boots) = (bytes.byte() & 1 == 0, u32::MAX),
        12 => rest.reservation = Some(bytes.hostile()),
        _ => header.said.push(Said::Frame(vec![0; bytes.number::<2>() as usize])),
    }
}
