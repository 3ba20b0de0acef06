//! The smallest computer that has the hart in it: memory, an interrupt line, and nobody behind the SBI but the test.

use gapless_log::Position;
use gapless_machine::hart::{AccessFault, Bus, Exit, Hart};
use gapless_machine::{GuestAddr, Memory, RAM_BASE};

/// Bytes of its memory.
pub const RAM_BYTES: u64 = 16 << 20;

/// What is around the hart.
pub struct Board {
    memory: Memory,
    /// The line of the interrupt controller.
    pub external: bool,
}

impl Bus for Board {
    fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }

    fn load(&mut self, _at: u64, _width: u8, _when: Position) -> Result<u64, AccessFault> {
        Err(AccessFault)
    }

    fn store(&mut self, _at: u64, _width: u8, _value: u64, _when: Position) -> Result<(), AccessFault> {
        Err(AccessFault)
    }

    fn external_interrupt(&self) -> bool {
        self.external
    }

    fn wants_end(&self) -> bool {
        false
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
        Self { hart, board: Board { memory, external: false } }
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
