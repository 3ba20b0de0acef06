//! The smallest computer that has the hart in it: memory, one device, an interrupt line, and nobody behind the SBI but the test.

use gapless_log::Position;
use gapless_machine::hart::{AccessFault, Bus, Exit, Hart};
use gapless_machine::{GuestAddr, Memory, RAM_BASE};

/// Bytes of its memory.
pub const RAM_BYTES: u64 = 16 << 20;

/// A device: some bytes that remember.
const DEVICE: u64 = 0x1000_0000;
const DEVICE_BYTES: usize = 16;
/// A store from here on ends the step.
const ENDS_STEP: usize = 8;

/// What is around the hart.
pub struct Board {
    memory: Memory,
    device: [u8; DEVICE_BYTES],
    /// The device has something to say.
    pub wants_end: bool,
    /// The line of the interrupt controller.
    pub external: bool,
}

impl Board {
    /// The device's bytes of an aligned access.
    fn device(&mut self, at: u64, width: u8) -> Result<&mut [u8], AccessFault> {
        assert!(at.is_multiple_of(width.into()), "{width} bytes at {at:#x}");
        let offset = at.checked_sub(DEVICE).ok_or(AccessFault)? as usize;
        self.device.get_mut(offset..offset + usize::from(width)).ok_or(AccessFault)
    }
}

impl Bus for Board {
    fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }

    fn load(&mut self, at: u64, width: u8, _when: Position) -> Result<u64, AccessFault> {
        let mut value = [0; 8];
        value[..usize::from(width)].copy_from_slice(self.device(at, width)?);
        Ok(u64::from_le_bytes(value))
    }

    fn store(&mut self, at: u64, width: u8, value: u64, _when: Position) -> Result<(), AccessFault> {
        self.device(at, width)?.copy_from_slice(&value.to_le_bytes()[..usize::from(width)]);
        self.wants_end |= at >= DEVICE + ENDS_STEP as u64;
        Ok(())
    }

    fn external_interrupt(&self) -> bool {
        self.external
    }

    fn wants_end(&self) -> bool {
        self.wants_end
    }
}

/// The computer.
pub struct Computer {
    /// Its hart.
    pub hart: Hart,
    /// The rest.
    pub board: Board,
}

impl Computer {
    /// Memory is zero; the hart begins at its start, in S-mode.
    pub fn new() -> Self {
        let memory = Memory::new(RAM_BYTES).expect("16 MiB can be had");
        let mut hart = Hart::new();
        hart.start(RAM_BASE, 0, 0);
        Self { hart, board: Board { memory, device: [0; DEVICE_BYTES], wants_end: false, external: false } }
    }

    /// Puts bytes into memory.
    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        self.board.memory.write(GuestAddr(at), bytes).expect("the test's data fits into memory");
    }

    /// Bytes of memory.
    pub fn read(&self, at: u64, bytes: u64) -> Vec<u8> {
        let mut read = vec![0; bytes as usize];
        self.board.memory.read(GuestAddr(at), &mut read).expect("the test reads what is in memory");
        read
    }

    /// Runs for so many positions at most.
    pub fn run(&mut self, positions: u64) -> Exit {
        let limit = Position(self.hart.position().0 + positions);
        self.hart.run(&mut self.board, limit)
    }
}
