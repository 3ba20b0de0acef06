//! What a person sees while it runs: a line that changes on a terminal, plain lines otherwise. All of it on stderr.

use crate::out::talk;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Pause between two changes of the line.
const REDRAW_EVERY: Duration = Duration::from_millis(100);
/// Columns of a terminal that does not say how many it has.
const COLUMNS: usize = 80;

/// The place where progress is shown.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    began: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), began: Instant::now(), drawn: None }
    }

    /// A line that stays.
    pub fn say(&mut self, text: &str) {
        self.clear();
        talk!("{:>6.1} s  {text}", self.began.elapsed().as_secs_f64());
    }

    /// A line that is written over by the next one; on a terminal only.
    pub fn show(&mut self, line: impl FnOnce() -> String) {
        if !self.terminal || self.drawn.is_some_and(|at| at.elapsed() < REDRAW_EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        let line = format!("{:>6.1} s  {}", self.began.elapsed().as_secs_f64(), line());
        let fitting: String = line.chars().take(columns().saturating_sub(1)).collect();
        let mut err = std::io::stderr().lock();
        // Nobody to tell if the terminal is gone.
        let _ = write!(err, "\r\x1b[K{fitting}").and_then(|()| err.flush());
    }

    /// Removes the line that changes.
    pub fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn columns() -> usize {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize.
    let known = unsafe { libc::ioctl(2, libc::TIOCGWINSZ, &raw mut size) } == 0 && size.ws_col > 0;
    if known { size.ws_col.into() } else { COLUMNS }
}
