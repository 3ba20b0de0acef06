//! A histogram of durations: fixed memory, a few nanoseconds a value, percentiles within an eighth.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Sub-buckets of each power of two.
const SUB: u64 = 8;
const BUCKETS: usize = 40 * SUB as usize;

/// Durations seen so far.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0, max: Duration::ZERO }
    }
}

/// What a person wants to know of a histogram, in microseconds.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// Half are shorter.
    pub p50_us: f64,
    /// 99 of 100 are shorter.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, value: Duration) {
        let ns = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(ns)] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// The duration that this share of all values does not exceed (up to an eighth).
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (share * self.count as f64).ceil() as u64;
        let mut seen = 0;
        for (i, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= wanted && seen > 0 {
                return Duration::from_nanos(upper(i)).min(self.max);
            }
        }
        self.max
    }

    /// The usual figures.
    pub fn summary(&self) -> Latency {
        let us = |d: Duration| d.as_nanos() as f64 / 1000.0;
        let (p50_us, p99_us) = (us(self.quantile(0.5)), us(self.quantile(0.99)));
        Latency { count: self.count, p50_us, p99_us, max_us: us(self.max) }
    }
}

fn bucket(ns: u64) -> usize {
    if ns < SUB {
        return ns as usize;
    }
    let power = u64::from(63 - ns.leading_zeros());
    let sub = (ns >> (power - 3)) & (SUB - 1);
    (((power - 2) * SUB + sub) as usize).min(BUCKETS - 1)
}

/// The greatest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let (power, sub) = (bucket as u64 / SUB, bucket as u64 % SUB);
    if power == 0 { sub } else { ((SUB + sub + 1) << (power - 1)) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_every_value_within_an_eighth() {
        for ns in (0..10_000).chain((14..40).map(|p| (1 << p) + 12_345)) {
            let above = upper(bucket(ns));
            assert!(above >= ns && above <= ns + ns / 8, "{ns}: {above}");
        }
    }

    #[test]
    fn percentiles_of_a_ramp() {
        let mut h = Histogram::default();
        (1..=1000).for_each(|us| h.record(Duration::from_micros(us)));
        let s = h.summary();
        assert_eq!(s.count, 1000);
        assert!((500.0..=563.0).contains(&s.p50_us) && (990.0..=1000.0).contains(&s.p99_us), "{s:?}");
        assert_eq!(s.max_us, 1000.0);
        assert_eq!(Histogram::default().summary(), Latency::default());
    }
}
