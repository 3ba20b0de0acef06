//! Virtual time: a line over positions.
//!
//! The rule it keeps: time is a function of the position and of the last logged Clock entry alone; it is continuous or jumps forward, never back;
//! integer arithmetic only. So the guest's clock reads and timer interrupts need no entries.

use gapless_log::Position;
use serde::{Deserialize, Serialize};

/// Ticks of the guest's `time` register a second.
pub const TICKS_PER_SECOND: u64 = 10_000_000;
/// Nanoseconds of one tick.
pub const TICK_NANOS: u64 = 1_000_000_000 / TICKS_PER_SECOND;
/// One nanosecond a position, as a slope.
pub const SLOPE_ONE: u64 = 1 << 32;
/// Latest time at which a line may begin: 73 years. Far enough from the end of the number that time is never cut off there.
pub const TIME_NANOS_MAX: u64 = 1 << 61;
/// Nanoseconds a position at most and at least, as slopes.
pub const SLOPES: std::ops::RangeInclusive<u64> = SLOPE_ONE / 64..=SLOPE_ONE * 64;
/// No machine gets so far.
pub const POSITION_MAX: u64 = 1 << 56;

/// `time(p) = time + (p - position) * slope / 2^32`, in nanoseconds since the machine was switched on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Where the line begins.
    pub position: u64,
    /// Nanoseconds there.
    pub time: u64,
    /// Nanoseconds a position, times 2^32; never zero.
    pub slope: u64,
}

impl Line {
    /// The machine is switched on: one nanosecond a position.
    pub fn start() -> Self {
        Self { position: 0, time: 0, slope: SLOPE_ONE }
    }

    /// A line that a machine's clock may follow at a position.
    pub fn is_sound(&self, at: Position) -> bool {
        SLOPES.contains(&self.slope) && self.time <= TIME_NANOS_MAX && self.position <= at.0 && at.0 <= POSITION_MAX
    }

    /// Nanoseconds at a position at or behind the line's beginning.
    pub fn time(&self, at: Position) -> u64 {
        let past = u128::from(at.0.saturating_sub(self.position)) * u128::from(self.slope);
        self.time.saturating_add((past >> 32).min(u128::from(u64::MAX)) as u64)
    }

    /// The first position at which it is `time` or later; `u64::MAX` if the line never gets there.
    pub fn position_at(&self, time: u64) -> u64 {
        let Some(ahead) = time.checked_sub(self.time).filter(|&ahead| ahead > 0) else { return self.position };
        let past = (u128::from(ahead) << 32).div_ceil(u128::from(self.slope.max(1)));
        u64::try_from(past).ok().and_then(|past| self.position.checked_add(past)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_position_of_a_time_is_the_first_one_with_it(
            position in 0u64..1 << 50, time in 0u64..1 << 50, slope in 1u64..1 << 40, ahead in 0u64..1 << 40,
        ) {
            let line = Line { position, time, slope };
            let at = line.position_at(time + ahead);
            if at != u64::MAX {
                prop_assert!(line.time(Position(at)) >= time + ahead);
                prop_assert!(at == position || line.time(Position(at - 1)) < time + ahead);
            }
        }
    }
}
