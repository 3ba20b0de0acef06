//! Pace: how much a live replica is slowed down so that its backup can follow.
//!
//! Two rules, both about time, because a takeover takes as long as executing what the backup is behind. While a backup is named, its execution
//! stays within [`LAG_TIME_MAX`]. While a joiner catches up, the primary gives it as much as it needs to come nearer, and no more. The engine's own limit
//! in entries stands beside this one, and with it the verdict on a backup that does not move at all: after [`LAG_TIME_HOPELESS`] this one lets go.

use std::time::{Duration, Instant};

/// A named backup's execution is kept this close behind.
pub(super) const LAG_TIME_MAX: Duration = Duration::from_millis(100);
/// Slowed down until it is this close again.
const LAG_TIME_GOOD: Duration = Duration::from_millis(40);
/// A backup that is this far behind does not get nearer by waiting.
pub(super) const LAG_TIME_HOPELESS: Duration = Duration::from_secs(5);
/// How often the progress of a joiner is judged.
const JUDGE_EVERY: Duration = Duration::from_millis(500);
/// The replica runs and rests in turns of this length.
const TURN: Duration = Duration::from_millis(100);
/// Most rest in a turn, in per cent.
const REST_MAX: u32 = 90;

/// How the other side follows, at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Following {
    /// Nobody follows, or nothing is behind.
    Nobody,
    /// The register names a backup (or is about to); its execution is behind by so much time.
    Backup(Duration),
    /// A joiner is behind by so many entries.
    Joiner(u64),
}

/// Decides, tick by tick, whether the replica rests.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    resting: bool,
    /// Rest in each turn, in per cent, for a joiner.
    rest: u32,
    /// When the joiner was judged last, and how far behind it was.
    judged: Option<(Instant, u64)>,
}

impl Pace {
    /// Should the replica rest now?
    pub fn rests(&mut self, following: Following, now: Instant, began: Instant) -> bool {
        if !matches!(following, Following::Joiner(_)) {
            (self.rest, self.judged) = (0, None);
        }
        self.resting = match following {
            Following::Nobody => false,
            Following::Backup(lag) if lag >= LAG_TIME_HOPELESS => false,
            Following::Backup(lag) if self.resting => lag > LAG_TIME_GOOD,
            Following::Backup(lag) => lag > LAG_TIME_MAX,
            Following::Joiner(lag) => {
                self.judge(lag, now);
                let into_turn = (now - began).as_micros() % TURN.as_micros();
                into_turn * 100 < TURN.as_micros() * u128::from(self.rest)
            }
        };
        self.resting
    }

    /// A joiner should halve its distance in about a second; if it does not, rest more, if it does better, rest less.
    fn judge(&mut self, lag: u64, now: Instant) {
        match self.judged {
            None => self.judged = Some((now, lag)),
            Some((at, before)) if now - at >= JUDGE_EVERY => {
                if lag > before / 10 * 7 {
                    self.rest = (self.rest + 20).min(REST_MAX);
                } else if lag < before / 2 {
                    self.rest = self.rest.saturating_sub(10);
                }
                self.judged = Some((now, lag));
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_backup_is_waited_for_until_it_is_close() {
        let (mut pace, t) = (Pace::default(), Instant::now());
        let mut check = |lag, rests| assert_eq!(pace.rests(Following::Backup(lag), t, t), rests, "{lag:?}");
        check(ms(90), false);
        check(ms(110), true);
        check(ms(90), true);
        check(ms(30), false);
        check(ms(90), false);
        check(LAG_TIME_HOPELESS, false);
        assert!(!pace.rests(Following::Nobody, t, t));
    }

    /// A joiner that executes `speed` per cent as fast as the primary runs, from 100,000 entries behind: seconds until it is close.
    fn seconds_to_catch_up(speed: u64) -> Option<u64> {
        const PER_MS: u64 = 20;
        let began = Instant::now();
        let (mut pace, mut end, mut executed) = (Pace::default(), 100_000u64, 0u64);
        for t in (0..60_000).step_by(10) {
            if end - executed < 5_000 {
                return Some(t / 1000);
            }
            if !pace.rests(Following::Joiner(end - executed), began + ms(t), began) {
                end += PER_MS * 10;
            }
            executed = end.min(executed + PER_MS * 10 * speed / 100);
        }
        None
    }

    #[test]
    fn a_joiner_catches_up_however_slow_it_is() {
        for (speed, at_most) in [(1000, 2), (200, 8), (100, 12), (50, 20), (30, 40)] {
            let took = seconds_to_catch_up(speed);
            assert!(took.is_some_and(|s| s <= at_most), "at {speed} %: {took:?} s");
        }
    }
}
