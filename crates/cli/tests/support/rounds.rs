//! How long programs are killed: the usual number of times, or again and again for as long as somebody asks.

use std::time::{Duration, Instant};

/// One round, and more of them until `GAPLESS_KILL_SECONDS` (0) have passed since the first began.
pub fn rounds() -> impl Iterator<Item = u32> {
    let given = std::env::var("GAPLESS_KILL_SECONDS").ok().and_then(|s| s.parse().ok());
    let (began, enough) = (Instant::now(), Duration::from_secs(given.unwrap_or(0)));
    (0..).take_while(move |&round| round == 0 || began.elapsed() < enough)
}
