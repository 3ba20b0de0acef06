//! What the fuzz targets do with bytes. The tests here do the same with bytes from a seed, so that a stable compiler runs all of it.
//!
//! The rule that every target keeps: whatever the bytes are, nothing panics, everything comes back, and the same bytes have the same effect again.

mod events;
mod guest;
mod image;
mod snapshot;
#[cfg(test)]
mod tests;
mod virtqueue;
#[cfg(test)]
mod wedges;

pub use events::events;
pub use guest::guest;
pub use image::image;
pub use snapshot::snapshot;
pub use virtqueue::virtqueue;
#[cfg(test)]
pub(crate) use virtqueue::{Blow, Start, assert_same_board, copy, strike};

use crate::computer::{Computer, Medium, Stop};
use crate::disk::{RamDisk, Storage};
use crate::event;
use crate::memory::Memory;
use crate::setup::{Disk, Setup};
use gapless_log::{Error, Kind, Position};

/// Bytes of memory: the least that a machine has.
const MEMORY_BYTES: u64 = 64 << 20;
const SECTORS: u64 = 64;
/// Where the kernel lies in memory.
const TEXT_OFFSET: u64 = 2 << 20;
const HEADER_BYTES: usize = 64;
/// One position may be a hundred times as long as another, but a run as a whole comes back.
const RUNS_MAX: u32 = 100_000;

/// Takes numbers from bytes; zeros when there are no more.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn number<const N: usize>(&mut self) -> u64 {
        let mut number = [0; 8];
        let taken = self.take(N);
        number[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(number)
    }

    fn byte(&mut self) -> u8 {
        self.number::<1>() as u8
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.number::<2>() % limit
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    /// A number as hostile guests like them: small, a power of two, or near the end of what there is.
    fn hostile(&mut self) -> u64 {
        match self.byte() % 8 {
            0..3 => self.number::<1>(),
            3 => self.number::<2>(),
            4 => 1 << (self.byte() % 64),
            5 => (1u64 << (self.byte() % 64)).wrapping_sub(1),
            6 => !self.number::<1>(),
            _ => self.number::<8>(),
        }
    }
}

/// A flat image whose first instruction jumps behind the header, where the code is.
fn kernel(code: &[u8]) -> Vec<u8> {
    let mut image = vec![0; HEADER_BYTES];
    image[0x00..0x04].copy_from_slice(&0x0400_006f_u32.to_le_bytes());
    image[0x08..0x10].copy_from_slice(&TEXT_OFFSET.to_le_bytes());
    image[0x38..0x3c].copy_from_slice(b"RSC\x05");
    image.extend_from_slice(code);
    image
}

/// A machine with this kernel, switched on: a network card, entropy, and a disk in memory if it shall have one.
fn computer(kernel: Vec<u8>, disk: bool) -> Computer {
    let disks = if disk { vec![Box::new(RamDisk::new(SECTORS)) as Box<dyn Storage>] } else { Vec::new() };
    let of = |disk: &dyn Storage| Disk { bytes: disk.bytes(), read_only: false, hash: 0, path: "disk".into() };
    let setup = Setup {
        memory: MEMORY_BYTES,
        append: String::new(),
        kernel_bytes: kernel.len() as u64,
        initrd_bytes: 0,
        net: Some([2, 0, 0, 0, 0, 1]),
        disks: disks.iter().map(|disk| of(&**disk)).collect(),
        seed: [9; 32],
        wall: 1 << 60,
    };
    let memory = Memory::new(MEMORY_BYTES).expect("there is memory");
    let medium = Medium { kernel, initrd: Vec::new() };
    let mut computer = Computer::assemble(setup, medium, memory, disks, Vec::new()).expect("a machine");
    computer.switch_on().expect("the kernel fits");
    computer
}

/// Runs until the position is reached or nothing happens any more without an input. Says what ended it.
fn reach(computer: &mut Computer, until: Position) -> Stop {
    for _ in 0..RUNS_MAX {
        match computer.run(until).expect("the disks work") {
            Stop::Said | Stop::Pause => {}
            stop => return stop,
        }
    }
    panic!("the machine does not get from {} to {until}", computer.position());
}

/// An input that may be none. True if it was one.
fn apply(computer: &mut Computer, kind: Kind, body: &[u8]) -> bool {
    let words = event::describe(kind, body);
    match computer.apply(kind, body) {
        Ok(()) => {
            assert!(words.is_some(), "{} was taken and cannot be described", event::name(kind));
            true
        }
        Err(Error::Refused(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

fn assert_same(one: &mut Computer, other: &mut Computer) {
    let (one, other) = (one.digest_parts().expect("the disks work"), other.digest_parts().expect("the disks work"));
    let differing: Vec<_> = one.iter().zip(&other).filter(|(a, b)| a != b).map(|(a, _)| &a.0).collect();
    assert!(one.len() == other.len() && differing.is_empty(), "{differing:?}");
}
