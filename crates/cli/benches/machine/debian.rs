//! A whole Debian: how long it boots, and on two of those that have booted, how much is logged and what a pair adds.

use crate::table::{Cell, Table};
use crate::ways::{Computer, Guest, WAYS, Way};
use crate::{Sizes, pair, say, volume};

/// Which of the measurements that need one.
#[derive(Clone, Copy)]
pub struct Wanted {
    pub boot: bool,
    pub log: bool,
    pub pair: bool,
}

impl Wanted {
    fn needs(self, way: Way) -> bool {
        self.boot || self.log && way == Way::Recorded || self.pair && way == Way::Protected
    }
}

/// From the command to the initramfs's first word.
fn prompt(way: Way, sizes: &Sizes) -> Result<f64, String> {
    let mut computer = way.start(&Guest::test("ready"))?;
    let ready = computer.hear("@READY", sizes.limit)?;
    Ok((ready - computer.began).as_secs_f64())
}

/// From the command to a Debian that asks who logs in; and the Debian.
fn login(way: Way, sizes: &Sizes) -> Result<(Computer, f64), String> {
    let mut computer = way.start(&Guest::debian())?;
    let asked = computer.hear("login:", if way == Way::QemuRecording { sizes.recording } else { sizes.limit })?;
    let took = (asked - computer.began).as_secs_f64();
    Ok((computer, took))
}

pub fn measure(sizes: &Sizes, wanted: Wanted) -> Vec<Table> {
    let (mut columns, mut tables) = (Vec::new(), Vec::new());
    for way in WAYS.into_iter().filter(|way| wanted.needs(*way)) {
        let first = if wanted.boot {
            say(&format!("boot: {} to the initramfs", way.name()));
            Cell::of(prompt(way, sizes), 1)
        } else {
            Cell::Text("not asked for".into())
        };
        say(&format!("boot: {} to the login", way.name()));
        let (computer, took) = login(way, sizes).map_or_else(|why| (None, Err(why)), |(c, took)| (Some(c), Ok(took)));
        columns.push((way.name().to_owned(), vec![first, Cell::of(took, 1)]));
        match computer {
            Some(mut computer) if wanted.log && way == Way::Recorded => {
                tables.push(volume::measure(&mut computer, sizes));
            }
            Some(mut computer) if wanted.pair && way == Way::Protected => {
                tables.push(pair::measure(&mut computer, sizes));
            }
            _ => {}
        }
    }
    if wanted.boot {
        let names = ["to the initramfs's first word", "to Debian's login"].map(str::to_owned);
        tables.insert(0, Table::columns("seconds from the command", &names, columns));
    }
    tables
}
