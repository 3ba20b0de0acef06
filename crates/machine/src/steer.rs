//! Steering: how virtual time is kept near the host's.
//!
//! The rule it keeps: the guest's clock never goes back, and is within some milliseconds of the host's one second after any disturbance. What it decides
//! is a new line, which the caller logs; nothing here is part of the machine's state, and a backup has no use for it.

use crate::clock::{Line, SLOPE_ONE, SLOPES};
use gapless_log::Position;
use std::time::Instant;

/// The guest's clock may differ from the host's by so much before the line is changed.
const DRIFT_NANOS_MAX: u64 = 1_000_000;
/// Lagging by more than this, it jumps forward instead of running faster.
const JUMP_NANOS_MIN: u64 = 8_000_000;
/// A difference is made up for within about this time.
const CATCH_UP_NANOS: u64 = 20_000_000;
/// The line is changed at most this often while the hart runs.
const STEER_EVERY_NANOS: u64 = 2_000_000;
const SLOPE_MAX: u64 = *SLOPES.end();
const SLOPE_MIN: u64 = *SLOPES.start();

/// Host time as the guest should see it, and how fast the hart has been running.
#[derive(Debug)]
pub(crate) struct Steer {
    origin: Instant,
    /// The guest's clock at `origin`.
    offset: u64,
    /// Nanoseconds a position as measured, as a slope.
    measured: u64,
    /// Where the last measurement ended: host time and position. `None` while the hart stands still.
    since: Option<(u64, u64)>,
    steered: u64,
}

impl Steer {
    /// The guest's clock was `guest` at the moment `at`.
    pub fn new(at: Instant, guest: u64) -> Self {
        Self { origin: at, offset: guest, measured: SLOPE_ONE * 8, since: None, steered: 0 }
    }

    /// What the guest's clock should show now.
    pub fn now(&self) -> u64 {
        let past = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.offset.saturating_add(past)
    }

    /// The hart has run up to `at`: the line that should hold from there on, if it is another one.
    pub fn running(&mut self, line: &Line, at: Position) -> Option<Line> {
        let host = self.now();
        match self.since {
            None => self.since = Some((host, at.0)),
            Some((began, from)) if host - began >= STEER_EVERY_NANOS / 2 && at.0 > from => {
                let found = (u128::from(host - began) << 32) / u128::from(at.0 - from);
                let found = (found.min(u128::from(SLOPE_MAX)) as u64).clamp(SLOPE_MIN, SLOPE_MAX);
                self.measured = (self.measured / 4) * 3 + found / 4;
                self.since = Some((host, at.0));
            }
            Some(_) => {}
        }
        let guest = line.time(at);
        let drift = host.abs_diff(guest);
        if drift <= DRIFT_NANOS_MAX || host.saturating_sub(self.steered) < STEER_EVERY_NANOS {
            return None;
        }
        self.steered = host;
        Some(self.line(at, guest, host))
    }

    fn line(&self, at: Position, guest: u64, host: u64) -> Line {
        let begin = |time, slope: u128| {
            let slope = slope.clamp(u128::from(SLOPE_MIN), u128::from(SLOPE_MAX)) as u64;
            Line { position: at.0, time, slope }
        };
        let measured = u128::from(self.measured);
        let catch_up = u128::from(CATCH_UP_NANOS);
        if host >= guest + JUMP_NANOS_MIN {
            begin(host, measured)
        } else if host >= guest {
            begin(guest, measured * (catch_up + u128::from(host - guest)) / catch_up)
        } else {
            // Ahead: slower, and still forward.
            begin(guest, measured * catch_up / (catch_up + 8 * u128::from(guest - host)))
        }
    }

    /// The hart stands still: what passes until it runs again says nothing about its speed.
    pub fn rests(&mut self) {
        self.since = None;
    }

    /// The hart has stood still, and time has gone on without it: the line from `at` on, if the clock is behind the host's.
    pub fn idle(&mut self, line: &Line, at: Position) -> Option<Line> {
        self.since = None;
        let (host, guest) = (self.now(), line.time(at));
        (host > guest).then_some(Line { position: at.0, time: host, slope: self.measured })
    }
}
