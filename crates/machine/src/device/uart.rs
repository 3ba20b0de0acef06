//! The console: a 16550A with one-byte registers (National Semiconductor PC16550D, "Registers").
//!
//! The rule it keeps: the transmitter is always ready, so a byte written is said at once and nothing waits in the device. What it leaves out: baud
//! rates (the divisor is kept and not used), line errors other than overrun, DMA. A receive time-out is due at once, because there is no line to wait
//! for.

use super::{AccessFault, Cx, Device, Said};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Bytes that wait for the guest at most.
pub const RX_BYTES_MAX: usize = 1024;
/// The same in loopback, where the guest itself fills the FIFO of the chip.
const FIFO_BYTES: usize = 16;

mod ier {
    pub const RECEIVED: u8 = 1;
    pub const TRANSMITTER: u8 = 2;
    pub const LINE: u8 = 4;
    pub const MODEM: u8 = 8;
    pub const ALL: u8 = 0x0f;
}

mod iir {
    pub const NONE: u8 = 1;
    pub const MODEM: u8 = 0;
    pub const TRANSMITTER: u8 = 2;
    pub const RECEIVED: u8 = 4;
    pub const LINE: u8 = 6;
    pub const TIMEOUT: u8 = 0x0c;
    pub const FIFOS: u8 = 0xc0;
}

mod fcr {
    pub const ENABLE: u8 = 1;
    pub const CLEAR_RX: u8 = 2;
    pub const TRIGGER_SHIFT: u8 = 6;
}

mod lsr {
    pub const DATA: u8 = 1;
    pub const OVERRUN: u8 = 2;
    pub const TRANSMITTER_EMPTY: u8 = 0x60;
}

const LCR_DIVISOR: u8 = 0x80;
const MCR_LOOPBACK: u8 = 0x10;
const MCR_ALL: u8 = 0x1f;
/// CTS, DSR and DCD of a peer that is always there.
const MSR_PEER: u8 = 0xb0;
/// RX FIFO levels that the two high bits of FCR choose.
const TRIGGERS: [usize; 4] = [1, 4, 8, 14];

/// The chip.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Uart {
    received: VecDeque<u8>,
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    scratch: u8,
    divisor: [u8; 2],
    overrun: bool,
    /// The transmitter became empty (or its interrupt was enabled) and the guest has not yet been told by IIR.
    emptied: bool,
    /// The delta bits of MSR.
    modem_deltas: u8,
}

impl Uart {
    /// After reset.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many more bytes fit.
    pub fn room(&self) -> usize {
        RX_BYTES_MAX.saturating_sub(self.received.len())
    }

    /// Bytes from outside; returns how many fitted.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let fit = self.room().min(bytes.len());
        self.received.extend(&bytes[..fit]);
        fit
    }

    /// Is this a state that the device can be in?
    pub(crate) fn is_sound(&self) -> bool {
        self.received.len() <= RX_BYTES_MAX
    }

    fn loopback(&self) -> bool {
        self.mcr & MCR_LOOPBACK != 0
    }

    fn fifos(&self) -> bool {
        self.fcr & fcr::ENABLE != 0
    }

    fn modem_lines(&self) -> u8 {
        if !self.loopback() {
            return MSR_PEER;
        }
        // DTR drives DSR, RTS drives CTS, OUT1 drives RI, OUT2 drives DCD.
        let mcr = self.mcr;
        (mcr & 2) << 3 | (mcr & 1) << 5 | (mcr & 4) << 4 | (mcr & 8) << 4
    }

    fn received_cause(&self) -> u8 {
        let trigger = if self.fifos() { TRIGGERS[usize::from(self.fcr >> fcr::TRIGGER_SHIFT)] } else { 1 };
        if self.received.len() >= trigger { iir::RECEIVED } else { iir::TIMEOUT }
    }

    /// The cause that IIR shows, the most urgent one first.
    fn cause(&self) -> u8 {
        if self.ier & ier::LINE != 0 && self.overrun {
            iir::LINE
        } else if self.ier & ier::RECEIVED != 0 && !self.received.is_empty() {
            self.received_cause()
        } else if self.ier & ier::TRANSMITTER != 0 && self.emptied {
            iir::TRANSMITTER
        } else if self.ier & ier::MODEM != 0 && self.modem_deltas != 0 {
            iir::MODEM
        } else {
            iir::NONE
        }
    }

    fn read_iir(&mut self) -> u8 {
        let cause = self.cause();
        if cause == iir::TRANSMITTER {
            self.emptied = false;
        }
        cause | if self.fifos() { iir::FIFOS } else { 0 }
    }

    fn read_lsr(&mut self) -> u8 {
        let overrun = if std::mem::take(&mut self.overrun) { lsr::OVERRUN } else { 0 };
        let data = if self.received.is_empty() { 0 } else { lsr::DATA };
        lsr::TRANSMITTER_EMPTY | overrun | data
    }

    fn write_thr(&mut self, byte: u8, said: &mut Vec<Said>) {
        self.emptied = true;
        if !self.loopback() {
            said.push(Said::Console(byte));
        } else if self.received.len() < FIFO_BYTES {
            self.received.push_back(byte);
        } else {
            self.overrun = true;
        }
    }

    fn write_ier(&mut self, value: u8) {
        let newly = value & !self.ier;
        self.ier = value & ier::ALL;
        self.emptied |= newly & ier::TRANSMITTER != 0;
    }

    fn write_fcr(&mut self, value: u8) {
        let toggled = (value ^ self.fcr) & fcr::ENABLE != 0;
        if toggled || value & fcr::CLEAR_RX != 0 {
            self.received.clear();
        }
        self.fcr = if value & fcr::ENABLE != 0 { value & (fcr::ENABLE | 3 << fcr::TRIGGER_SHIFT) } else { 0 };
    }

    fn write_mcr(&mut self, value: u8) {
        let before = self.modem_lines();
        self.mcr = value & MCR_ALL;
        let after = self.modem_lines();
        let ring_ended = before & !after & 0x40;
        self.modem_deltas |= ((before ^ after) & 0xb0 | ring_ended) >> 4;
    }
}

impl Device for Uart {
    fn load(&mut self, offset: u64, width: u8, _: &mut Cx<'_>) -> Result<u64, AccessFault> {
        let divisor = self.lcr & LCR_DIVISOR != 0;
        let value = match (width, offset) {
            (1, 0) if divisor => self.divisor[0],
            (1, 0) => self.received.pop_front().unwrap_or(0),
            (1, 1) if divisor => self.divisor[1],
            (1, 1) => self.ier,
            (1, 2) => self.read_iir(),
            (1, 3) => self.lcr,
            (1, 4) => self.mcr,
            (1, 5) => self.read_lsr(),
            (1, 6) => self.modem_lines() | std::mem::take(&mut self.modem_deltas),
            (1, 7) => self.scratch,
            _ => return Err(AccessFault),
        };
        Ok(u64::from(value))
    }

    fn store(&mut self, offset: u64, width: u8, value: u64, cx: &mut Cx<'_>) -> Result<(), AccessFault> {
        let divisor = self.lcr & LCR_DIVISOR != 0;
        let value = value as u8;
        match (width, offset) {
            (1, 0) if divisor => self.divisor[0] = value,
            (1, 0) => self.write_thr(value, cx.said),
            (1, 1) if divisor => self.divisor[1] = value,
            (1, 1) => self.write_ier(value),
            (1, 2) => self.write_fcr(value),
            (1, 3) => self.lcr = value,
            (1, 4) => self.write_mcr(value),
            // LSR and MSR are read-only; drivers of old chips write to them, and the chip ignores it.
            (1, 5 | 6) => {}
            (1, 7) => self.scratch = value,
            _ => return Err(AccessFault),
        }
        Ok(())
    }

    fn interrupt(&self) -> bool {
        self.cause() != iir::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::testing::Bench;

    const RBR: u64 = 0;
    const IER: u64 = 1;
    const IIR: u64 = 2;
    const LCR: u64 = 3;
    const MCR: u64 = 4;
    const LSR: u64 = 5;
    const MSR: u64 = 6;

    struct Chip(Uart, Bench);

    impl Chip {
        fn new() -> Self {
            Self(Uart::new(), Bench::new())
        }

        fn read(&mut self, register: u64) -> u8 {
            self.0.load(register, 1, &mut self.1.cx()).unwrap() as u8
        }

        fn write(&mut self, register: u64, value: u8) {
            self.0.store(register, 1, value.into(), &mut self.1.cx()).unwrap();
        }
    }

    #[test]
    fn a_byte_written_is_said_and_the_transmitter_says_that_it_is_empty() {
        let mut chip = Chip::new();
        chip.write(IER, ier::TRANSMITTER);
        assert!(chip.0.interrupt(), "enabling the interrupt with an empty transmitter raises it");
        assert_eq!(chip.read(IIR), iir::TRANSMITTER);
        assert!(!chip.0.interrupt(), "reading IIR takes it away");
        chip.write(RBR, b'x');
        assert_eq!(chip.1.said, [Said::Console(b'x')]);
        assert_eq!(chip.read(IIR), iir::TRANSMITTER);
        assert_eq!(chip.read(LSR), lsr::TRANSMITTER_EMPTY);
    }

    #[test]
    fn received_bytes_interrupt_until_they_are_read() {
        let mut chip = Chip::new();
        chip.write(IIR, 0x81);
        chip.write(IER, ier::RECEIVED);
        assert_eq!(chip.0.receive(b"abcdefgh!"), 9);
        assert_eq!(chip.read(IIR), iir::RECEIVED | iir::FIFOS);
        assert_eq!(chip.read(RBR), b'a');
        assert_eq!(chip.read(RBR), b'b');
        assert_eq!(chip.read(IIR), iir::TIMEOUT | iir::FIFOS);
        assert_eq!((0..7).map(|_| chip.read(RBR)).collect::<Vec<_>>(), b"cdefgh!");
        assert!(!chip.0.interrupt());
        assert_eq!(chip.0.receive(&[0; RX_BYTES_MAX + 1]), RX_BYTES_MAX);
        assert_eq!(chip.0.receive(b"x"), 0);
    }

    #[test]
    fn a_driver_finds_a_16550a() {
        // What Linux' autoconfiguration asks: IER keeps four bits, loopback joins MCR with MSR, IIR shows both FIFOs.
        let mut chip = Chip::new();
        chip.write(IER, 0xff);
        assert_eq!(chip.read(IER), 0x0f);
        chip.write(IER, 0);
        chip.write(MCR, MCR_LOOPBACK | 0x0a);
        assert_eq!(chip.read(MSR) & 0xf0, 0x90);
        chip.write(MCR, 0);
        assert_eq!(chip.read(MSR) & 0xf0, MSR_PEER);
        chip.write(IIR, 1);
        assert_eq!(chip.read(IIR) >> 6, 3);
        chip.write(LCR, LCR_DIVISOR | 3);
        chip.write(RBR, 7);
        assert_eq!(chip.read(RBR), 7);
        chip.write(LCR, 3);
        chip.write(7, 0xa5);
        assert_eq!(chip.read(7), 0xa5);
        assert!(chip.1.said.is_empty());
    }

    #[test]
    fn loopback_fills_and_overruns_the_fifo() {
        let mut chip = Chip::new();
        chip.write(IIR, 1);
        chip.write(MCR, MCR_LOOPBACK);
        chip.write(IER, ier::LINE);
        for byte in 0..=FIFO_BYTES as u8 {
            chip.write(RBR, byte);
        }
        assert!(chip.0.interrupt());
        assert_eq!(chip.read(LSR), lsr::TRANSMITTER_EMPTY | lsr::OVERRUN | lsr::DATA);
        assert!(!chip.0.interrupt());
        assert!(chip.1.said.is_empty());
    }

    #[test]
    fn only_bytes_can_be_accessed() {
        let mut chip = Chip::new();
        assert_eq!(chip.0.load(0, 4, &mut chip.1.cx()), Err(AccessFault));
        assert_eq!(chip.0.store(8, 1, 0, &mut chip.1.cx()), Err(AccessFault));
    }
}
