//! The wall clock: goldfish RTC, as in Android's emulator and Linux' `rtc-goldfish`.
//!
//! The rule it keeps: its time is the wall clock at switch-on, a logged number, plus the guest's own time. The host's wall clock is never asked again.

use super::{AccessFault, Cx, Device};
use serde::{Deserialize, Serialize};

const TIME_LOW: u64 = 0x00;
const TIME_HIGH: u64 = 0x04;
const ALARM_LOW: u64 = 0x08;
const ALARM_HIGH: u64 = 0x0c;
const IRQ_ENABLED: u64 = 0x10;
const CLEAR_ALARM: u64 = 0x14;
const ALARM_STATUS: u64 = 0x18;
const CLEAR_INTERRUPT: u64 = 0x1c;

/// The clock.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rtc {
    /// Wall-clock nanoseconds since 1970 when the machine was switched on, modulo 2^64; the guest may set it.
    boot_wall_nanos: u64,
    /// High half of the time whose low half was read last.
    time_high: u32,
    /// High half that a following write of the low half completes.
    written_time_high: u32,
    alarm_high: u32,
    /// Wall-clock nanoseconds at which it rings.
    alarm: Option<u64>,
    enabled: bool,
    ringing: bool,
}

impl Rtc {
    /// Switched on at this wall-clock time.
    pub fn new(boot_wall_nanos: u64) -> Self {
        Self {
            boot_wall_nanos,
            time_high: 0,
            written_time_high: 0,
            alarm_high: 0,
            alarm: None,
            enabled: false,
            ringing: false,
        }
    }

    /// When the alarm rings, in nanoseconds since the machine was switched on.
    pub fn next_due(&self) -> Option<u64> {
        self.alarm.map(|alarm| (alarm.wrapping_sub(self.boot_wall_nanos) as i64).max(0) as u64)
    }

    /// Rings if it is time.
    pub fn tick(&mut self, nanos: u64) {
        if self.next_due().is_some_and(|due| due <= nanos) {
            self.alarm = None;
            self.ringing = true;
        }
    }

    fn wall(&self, nanos: u64) -> u64 {
        self.boot_wall_nanos.wrapping_add(nanos)
    }

    fn alarm_or_zero(&self) -> u64 {
        self.alarm.unwrap_or(0)
    }
}

fn halves(high: u32, low: u64) -> u64 {
    u64::from(high) << 32 | low & 0xffff_ffff
}

impl Device for Rtc {
    fn load(&mut self, offset: u64, width: u8, cx: &mut Cx<'_>) -> Result<u64, AccessFault> {
        Ok(match (width, offset) {
            (4, TIME_LOW) => {
                let wall = self.wall(cx.now.nanos);
                self.time_high = (wall >> 32) as u32;
                wall & 0xffff_ffff
            }
            (4, TIME_HIGH) => self.time_high.into(),
            (4, ALARM_LOW) => self.alarm_or_zero() & 0xffff_ffff,
            (4, ALARM_HIGH) => self.alarm_or_zero() >> 32,
            (4, IRQ_ENABLED) => self.enabled.into(),
            (4, ALARM_STATUS) => self.alarm.is_some().into(),
            _ => return Err(AccessFault),
        })
    }

    fn store(&mut self, offset: u64, width: u8, value: u64, cx: &mut Cx<'_>) -> Result<(), AccessFault> {
        match (width, offset) {
            (4, TIME_HIGH) => self.written_time_high = value as u32,
            (4, TIME_LOW) => {
                self.boot_wall_nanos = halves(self.written_time_high, value).wrapping_sub(cx.now.nanos);
            }
            (4, ALARM_HIGH) => self.alarm_high = value as u32,
            (4, ALARM_LOW) => {
                self.alarm = Some(halves(self.alarm_high, value));
                self.tick(cx.now.nanos);
            }
            (4, IRQ_ENABLED) => self.enabled = value & 1 != 0,
            (4, CLEAR_ALARM) => self.alarm = None,
            (4, CLEAR_INTERRUPT) => self.ringing = false,
            _ => return Err(AccessFault),
        }
        Ok(())
    }

    fn interrupt(&self) -> bool {
        self.ringing && self.enabled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::testing::Bench;

    const WALL: u64 = 1_700_000_000_123_456_789;

    struct Chip(Rtc, Bench);

    impl Chip {
        fn read(&mut self, register: u64) -> u64 {
            self.0.load(register, 4, &mut self.1.cx()).unwrap()
        }

        fn write(&mut self, register: u64, value: u64) {
            self.0.store(register, 4, value, &mut self.1.cx()).unwrap();
        }

        fn time(&mut self) -> u64 {
            self.read(TIME_LOW) | self.read(TIME_HIGH) << 32
        }
    }

    #[test]
    fn time_is_switch_on_plus_the_guests_time_and_can_be_set() {
        let mut chip = Chip(Rtc::new(WALL), Bench::new());
        chip.1.nanos = 5_000_000_000;
        assert_eq!(chip.time(), WALL + 5_000_000_000);
        chip.write(TIME_HIGH, 1);
        chip.write(TIME_LOW, 2);
        chip.1.nanos += 10;
        assert_eq!(chip.time(), (1 << 32) + 12);
    }

    #[test]
    fn the_alarm_rings_once() {
        let mut chip = Chip(Rtc::new(WALL), Bench::new());
        let at = WALL + 1000;
        chip.write(ALARM_HIGH, at >> 32);
        chip.write(ALARM_LOW, at & 0xffff_ffff);
        chip.write(IRQ_ENABLED, 1);
        assert_eq!(chip.0.next_due(), Some(1000));
        chip.0.tick(999);
        assert!(!chip.0.interrupt());
        chip.0.tick(1000);
        assert!(chip.0.interrupt());
        assert_eq!((chip.0.next_due(), chip.read(ALARM_STATUS)), (None, 0));
        chip.write(CLEAR_INTERRUPT, 1);
        assert!(!chip.0.interrupt());
    }
}
