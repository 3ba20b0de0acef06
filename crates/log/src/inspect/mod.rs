//! What `gapless log cat|stat|verify` show, as values: each can be printed and serialised.
//!
//! None of them modifies anything, and all work on a log that another process is writing. Bodies of a level's own entries are rendered
//! by a callback, because this crate knows no level. What they leave out: arguments, colours, paging.

mod cat;
mod stat;
mod verify;

pub use cat::{Body, Cat, CatLine, Own, Range, cat};
pub use stat::{KindStat, SegmentStat, Stat, stat};
pub use verify::{Finding, Report, verify};

use crate::{Entry, Kind};

/// Exit status when nothing is wrong.
pub const EXIT_FINE: i32 = 0;
/// Exit status when a log is corrupt.
pub const EXIT_CORRUPT: i32 = 1;
/// Exit status when the only thing wrong is a torn tail, which opening the log for writing cuts off.
pub const EXIT_TORN_TAIL: i32 = 3;

/// Names a level's kinds and shows their bodies.
pub trait Render {
    /// Short name of a kind, `None` if the level has no such kind.
    fn kind(&self, kind: Kind) -> Option<&str>;

    /// The body for a person, in one line.
    fn body(&self, entry: &Entry) -> Option<String>;
}

/// Renders nothing: kinds are numbers, bodies hexadecimal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Render for Plain {
    fn kind(&self, _: Kind) -> Option<&str> {
        None
    }

    fn body(&self, _: &Entry) -> Option<String> {
        None
    }
}

fn kind_name(kind: Kind, render: &dyn Render) -> String {
    match kind {
        Kind::MARK => "mark".to_owned(),
        Kind::SYNC => "sync".to_owned(),
        Kind::LIVE => "live".to_owned(),
        Kind::SNAPSHOT => "snapshot".to_owned(),
        _ => render.kind(kind).map_or_else(|| format!("kind {}", kind.0), str::to_owned),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
