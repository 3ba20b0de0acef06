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
    /// A joiner is far behind.
    Joiner {
        /// Where the live log ends, in entries.
        end: u64,
        /// How many of them the joiner has executed.
        executed: u64,
    },
}

/// Decides, tick by tick, whether the replica rests.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    resting: bool,
    /// Rest in each turn, in per cent, for a joiner.
    rest: u32,
    /// When the joiner was judged last; the end of the log and what it had executed then.
    judged: Option<(Instant, u64, u64)>,
}

impl Pace {
    /// Should the replica rest now?
    pub fn rests(&mut self, following: Following, now: Instant, began: Instant) -> bool {
        if !matches!(following, Following::Joiner { .. }) {
            (self.rest, self.judged) = (0, None);
        }
        self.resting = match following {
            Following::Nobody => false,
            Following::Backup(lag) if lag >= LAG_TIME_HOPELESS => false,
            Following::Backup(lag) if self.resting => lag > LAG_TIME_GOOD,
            Following::Backup(lag) => lag > LAG_TIME_MAX,
            Following::Joiner { end, executed } => {
                self.judge(end, executed, now);
                let into_turn = (now - began).as_micros() % TURN.as_micros();
                into_turn * 100 < TURN.as_micros() * u128::from(self.rest)
            }
        };
        self.resting
    }

    /// A joiner should execute at least twice as fast as the log grows: then it needs at most twice the time that it would if the primary stood
    /// still, however long the log is. If it is slower, rest more; if it is well above, rest less.
    fn judge(&mut self, end: u64, executed: u64, now: Instant) {
        match self.judged {
            None => self.judged = Some((now, end, executed)),
            Some((at, end_before, executed_before)) if now - at >= JUDGE_EVERY => {
                let grown = end.saturating_sub(end_before);
                let done = executed.saturating_sub(executed_before);
                if done < grown * 2 || done == 0 {
                    self.rest = (self.rest + 20).min(REST_MAX);
                } else if done > grown * 3 {
                    self.rest = self.rest.saturating_sub(10);
                }
                self.judged = Some((now, end, executed));
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

    /// A joiner that executes `speed` per cent as fast as the primary runs, from so many entries behind: seconds until it is close, and how much of that
    /// time the primary ran, in per cent.
    fn catches_up(speed: u64, behind: u64) -> Option<(u64, u64)> {
        const PER_MS: u64 = 20;
        let began = Instant::now();
        let (mut pace, mut end, mut executed) = (Pace::default(), behind, 0u64);
        for t in (0..600_000).step_by(10) {
            if end - executed < 5_000 {
                return Some((t / 1000, (end - behind) * 100 / (PER_MS * t)));
            }
            if !pace.rests(Following::Joiner { end, executed }, began + ms(t), began) {
                end += PER_MS * 10;
            }
            executed = end.min(executed + PER_MS * 10 * speed / 100);
        }
        None
    }

    #[test]
    fn a_joiner_catches_up_however_slow_it_is() {
        for (speed, at_most) in [(1000, 2), (200, 8), (100, 12), (50, 20), (30, 40)] {
            let took = catches_up(speed, 100_000);
            assert!(took.is_some_and(|(s, _)| s <= at_most), "at {speed} %: {took:?}");
        }
    }

    /// A long log takes long; that is no reason to hold the primary up for a joiner that comes nearer anyway.
    #[test]
    fn a_joiner_that_is_fast_enough_slows_nobody_however_far_behind_it_is() {
        for speed in [250, 400, 1000] {
            let (seconds, ran) = catches_up(speed, 10_000_000).expect("it catches up");
            assert!(seconds > 50 && ran >= 99, "at {speed} %: {seconds} s, of which the primary ran {ran} %");
        }
    }
}
