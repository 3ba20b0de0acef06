//! What came out: a table for a person, one JSON object for a script.

use crate::local::clients::Tally;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// How much was done in how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Throughput {
    pub operations: u64,
    pub time: Duration,
}

impl Throughput {
    pub fn per_second(self) -> f64 {
        if self.time.is_zero() { 0.0 } else { (self.operations as f64 / self.time.as_secs_f64()).round() }
    }
}

impl std::ops::AddAssign for Throughput {
    fn add_assign(&mut self, other: Self) {
        self.operations += other.operations;
        self.time += other.time;
    }
}

/// Everything that was counted and measured.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub tally: Tally,
    pub kills: u32,
    /// Requests in flight at the kills.
    pub in_flight: u64,
    /// As counted by those who took over.
    pub takeovers: u64,
    pub false_alarms: u64,
    /// One for each kill: the longest time that a client was without an answer.
    pub gaps: Vec<Duration>,
    pub unprotected_time: Duration,
    pub protected: Throughput,
    pub native: Throughput,
    /// Values compared with the replay.
    pub values: u64,
}

#[derive(Serialize)]
struct Json {
    acknowledged: u64,
    lost: u64,
    doubled: u64,
    kills: u32,
    takeovers: u64,
    false_alarms: u64,
    takeover_ms: TakeoverMs,
    unprotected_ms: f64,
    ops_per_s: f64,
    ops_per_s_unprotected: f64,
}

#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
struct TakeoverMs {
    min: f64,
    median: f64,
    max: f64,
}

impl TakeoverMs {
    fn of(gaps: &[Duration]) -> Self {
        let mut sorted: Vec<f64> = gaps.iter().map(|&gap| ms(gap)).collect();
        sorted.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else { return Self::default() };
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Self { min, median: tenths(f64::midpoint(low, high)), max }
    }
}

fn ms(time: Duration) -> f64 {
    tenths(time.as_secs_f64() * 1000.0)
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

impl Report {
    /// Nothing was lost and nothing was doubled.
    pub fn is_clean(&self) -> bool {
        self.tally.wrong == crate::local::ledger::Wrong::default()
    }

    pub fn json(&self) -> String {
        let json = Json {
            acknowledged: self.tally.acknowledged,
            lost: self.tally.wrong.lost,
            doubled: self.tally.wrong.doubled,
            kills: self.kills,
            takeovers: self.takeovers,
            false_alarms: self.false_alarms,
            takeover_ms: TakeoverMs::of(&self.gaps),
            unprotected_ms: ms(self.unprotected_time),
            ops_per_s: self.protected.per_second(),
            ops_per_s_unprotected: self.native.per_second(),
        };
        serde_json::to_string(&json).expect("numbers")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wrong = self.tally.wrong;
        let takeover = TakeoverMs::of(&self.gaps);
        let (here, native) = (self.protected.per_second(), self.native.per_second());
        let share = if native > 0.0 { here * 100.0 / native } else { 0.0 };
        let rows = [
            ("acknowledged", thousands(self.tally.acknowledged), String::new()),
            ("lost", thousands(wrong.lost), String::new()),
            ("doubled", thousands(wrong.doubled), String::new()),
            ("kills", self.kills.to_string(), format!("{} requests were in flight", thousands(self.in_flight))),
            ("takeovers", self.takeovers.to_string(), format!("{} false alarms", self.false_alarms)),
            (
                "takeover time",
                format!("{} ms", takeover.median),
                format!("median; min {} ms, max {} ms: longest gap of any client", takeover.min, takeover.max),
            ),
            (
                "unprotected",
                format!("{:.1} s", self.unprotected_time.as_secs_f64()),
                "until each fresh backup had run the whole log".into(),
            ),
            (
                "operations/s",
                thousands(here as u64),
                format!("{share:.0} % of {} unprotected", thousands(native as u64)),
            ),
            ("compared", thousands(self.values), "values, with a replay of the survivor's log".into()),
        ];
        for (name, value, remark) in rows {
            writeln!(f, "{}", format!("{name:>14}  {value:>12}  {remark}").trim_end())?;
        }
        Ok(())
    }
}

/// 1234567 as `1,234,567`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::ledger::Wrong;

    fn report() -> Report {
        let millis = |ms: &[u64]| ms.iter().map(|&n| Duration::from_millis(n)).collect();
        Report {
            tally: Tally { acknowledged: 12_345, wrong: Wrong { lost: 0, doubled: 0 } },
            kills: 4,
            in_flight: 31,
            takeovers: 4,
            false_alarms: 1,
            gaps: millis(&[250, 210, 300, 231]),
            unprotected_time: Duration::from_micros(4_321_660),
            protected: Throughput { operations: 9_000, time: Duration::from_millis(4_500) },
            native: Throughput { operations: 40_000, time: Duration::from_secs(1) },
            values: 136,
        }
    }

    #[test]
    fn the_keys_that_scripts_rely_on() {
        let expect = r#"{"acknowledged":12345,"lost":0,"doubled":0,"kills":4,"takeovers":4,"false_alarms":1,"takeover_ms":{"min":210.0,"median":240.5,"max":300.0},"unprotected_ms":4321.7,"ops_per_s":2000.0,"ops_per_s_unprotected":40000.0}"#;
        assert_eq!(report().json(), expect);
    }

    #[test]
    fn the_table() {
        let expect = "
  acknowledged        12,345
          lost             0
       doubled             0
         kills             4  31 requests were in flight
     takeovers             4  1 false alarms
 takeover time      240.5 ms  median; min 210 ms, max 300 ms: longest gap of any client
   unprotected         4.3 s  until each fresh backup had run the whole log
  operations/s         2,000  5 % of 40,000 unprotected
      compared           136  values, with a replay of the survivor's log
";
        assert_eq!(format!("\n{}", report()), expect);
    }

    #[test]
    fn one_lost_or_doubled_is_not_clean() {
        assert!(report().is_clean());
        for wrong in [Wrong { lost: 1, doubled: 0 }, Wrong { lost: 0, doubled: 1 }] {
            assert!(!Report { tally: Tally { acknowledged: 1, wrong }, ..report() }.is_clean());
        }
    }
}
