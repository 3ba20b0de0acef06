//! Small hand-assembled programs against a toy computer.

mod asm;
mod instructions;
mod paging;
mod splits;
mod traps;

use crate::hart::{AccessFault, Bus, Exit, Hart};
use crate::memory::{GuestAddr, Memory, PAGE_BYTES, RAM_BASE};
use gapless_log::Position;

/// Where programs begin.
const CODE: u64 = RAM_BASE;
/// Bytes of the toy's memory.
const MEMORY: u64 = 2 << 20;
/// The toy's device.
const DEVICE: u64 = 0x1000_0000;
/// A store here sets the external interrupt's line.
const DEVICE_LINE: u64 = DEVICE;
/// A store here makes the device write the same eight bytes to `DMA`.
const DEVICE_DMA: u64 = DEVICE + 8;
/// A store here makes the device want the step's end.
const DEVICE_END: u64 = DEVICE + 16;
/// Where the device writes.
const DMA: u64 = RAM_BASE + 0x8000;

/// A computer with one device.
struct Toy {
    memory: Memory,
    line: bool,
    end: bool,
}

impl Toy {
    fn new() -> Self {
        Self { memory: Memory::new(MEMORY).expect("memory"), line: false, end: false }
    }

    /// With a program at [`CODE`].
    fn with(code: &[u32]) -> Self {
        let mut toy = Self::new();
        toy.put_code(CODE, code);
        toy
    }

    fn put_code(&mut self, at: u64, code: &[u32]) {
        for (i, bits) in code.iter().enumerate() {
            self.memory.write(GuestAddr(at + 4 * i as u64), &bits.to_le_bytes()).expect("in memory");
        }
    }

    fn put(&mut self, at: u64, value: u64) {
        self.memory.write(GuestAddr(at), &value.to_le_bytes()).expect("in memory");
    }

    fn get(&self, at: u64) -> u64 {
        self.memory.number::<8>(GuestAddr(at)).expect("in memory")
    }

    /// The same computer in other host memory.
    fn moved(&self) -> Self {
        let mut toy = Self { line: self.line, end: self.end, ..Self::new() };
        for page in 0..self.memory.pages() {
            toy.memory.write(GuestAddr(RAM_BASE + page * PAGE_BYTES), self.memory.page(page)).expect("in memory");
        }
        toy.memory.set_reservation(self.memory.reservation());
        toy
    }
}

impl Bus for Toy {
    fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }

    fn load(&mut self, at: u64, width: u8, when: Position) -> Result<u64, AccessFault> {
        match at {
            DEVICE_LINE if width == 8 => Ok(when.0),
            DEVICE_DMA => Ok(u64::MAX),
            _ => Err(AccessFault),
        }
    }

    fn store(&mut self, at: u64, _width: u8, value: u64, _when: Position) -> Result<(), AccessFault> {
        match at {
            DEVICE_LINE => self.line = value & 1 == 1,
            DEVICE_DMA => self.put(DMA, value),
            DEVICE_END => self.end = true,
            _ => return Err(AccessFault),
        }
        Ok(())
    }

    fn external_interrupt(&self) -> bool {
        self.line
    }

    fn wants_end(&self) -> bool {
        self.end
    }
}

/// A hart that was just started at [`CODE`].
fn started() -> Hart {
    let mut hart = Hart::new();
    hart.start(CODE, 0, 0);
    hart
}

/// Runs until the SBI is asked, a thousand positions at most.
fn run(hart: &mut Hart, toy: &mut Toy) {
    let limit = Position(hart.position().0 + 1000);
    assert_eq!(hart.run(toy, limit), Exit::Sbi, "at {:#x}", hart.pc());
}

/// Runs the program until it asks the SBI.
fn result(code: &[u32]) -> Hart {
    let (mut hart, mut toy) = (started(), Toy::with(code));
    run(&mut hart, &mut toy);
    hart
}
