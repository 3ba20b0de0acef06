//! What does not work again and again, and how often a person hears of it: after a short time, then at growing intervals.

use std::time::{Duration, Instant};

/// A failure that is over sooner is not worth a line.
const PATIENCE: Duration = Duration::from_secs(1);
const INTERVAL_MIN: Duration = Duration::from_secs(5);
const INTERVAL_MAX: Duration = Duration::from_secs(300);

/// One thing that may fail repeatedly.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble {
    failing: Option<Failing>,
}

#[derive(Clone, Debug)]
struct Failing {
    what: String,
    tell_at: Instant,
    interval: Duration,
}

impl Trouble {
    /// It failed, once more.
    pub fn failed(&mut self, what: String, now: Instant) {
        let failing = Failing { what: String::new(), tell_at: now + PATIENCE, interval: INTERVAL_MIN };
        self.failing.get_or_insert(failing).what = what;
    }

    /// It works.
    pub fn over(&mut self) {
        self.failing = None;
    }

    /// The last failure, while it lasts.
    pub fn what(&self) -> Option<&str> {
        self.failing.as_ref().map(|f| f.what.as_str())
    }

    /// The last failure, if a person should hear of it now.
    pub fn due(&mut self, now: Instant) -> Option<String> {
        let failing = self.failing.as_mut().filter(|f| now >= f.tell_at)?;
        failing.tell_at = now + failing.interval;
        failing.interval = (failing.interval * 2).min(INTERVAL_MAX);
        Some(failing.what.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_rarer() {
        let (began, mut trouble) = (Instant::now(), Trouble::default());
        let mut told = Vec::new();
        for second in 0..1000 {
            let now = began + Duration::from_secs(second);
            trouble.failed(format!("failure {second}"), now);
            told.extend(trouble.due(now).map(|_| second));
        }
        assert_eq!(told, [1, 6, 16, 36, 76, 156, 316, 616, 916]);
        trouble.over();
        assert_eq!(trouble.what(), None);
        assert_eq!(trouble.due(began + Duration::from_secs(2000)), None);
    }
}
