//! The readable record of one schedule, kept only when asked for.

use gapless_pair::Micros;
use std::fmt;

/// Lines of what happened.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    lines: Option<Vec<String>>,
}

impl Trace {
    /// One that keeps lines, or one that keeps none.
    pub fn new(keep: bool) -> Self {
        Self { lines: keep.then(Vec::new) }
    }

    /// Notes something; the text is only made if it is kept.
    pub fn note(&mut self, now: Micros, text: fmt::Arguments<'_>) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>9.3} ms  {text}", now.0 as f64 / 1000.0));
        }
    }

    /// The lines.
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}
