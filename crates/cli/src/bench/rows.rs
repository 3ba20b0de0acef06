//! The table of rows: what each runs, what it needs, which figures come of it and what they should be.

use super::bed::Bed;
use super::{helper, programs, redis, takeover, web};
use std::path::Path;

/// A load, and what is made of what it measures.
pub struct Row {
    /// What a user calls it.
    pub name: &'static str,
    pub load: &'static str,
    /// Of all that it measures.
    pub unit: Unit,
    pub needs: &'static [Need],
    /// Measures all of it, round after round.
    pub measure: fn(&mut Bed) -> Result<Series, String>,
    pub figures: &'static [Figure],
}

/// A program that a row runs, and the Debian package that has it.
pub struct Need {
    pub program: &'static str,
    pub package: &'static str,
}

/// What a series counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    PerSecond,
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
}

impl Unit {
    pub fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "/s",
            Self::Nanoseconds => "ns",
            Self::Microseconds => "us",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
        }
    }
}

/// One line of the result.
pub struct Figure {
    pub what: &'static str,
    pub of: Of,
    pub goal: Option<Goal>,
}

/// How a figure is made of the series, which it names.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    /// The median of one over the median of another.
    Ratio(&'static str, &'static str),
    /// The median of one less the median of another.
    Added(&'static str, &'static str),
    /// The value below which this share of a series lies; 1 is its greatest.
    Quantile(&'static str, f64),
}

/// What a figure should be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

use Goal::{AtLeast, AtMost};

const fn ratio(what: &'static str, of: &'static str, to: &'static str, goal: Option<Goal>) -> Figure {
    Figure { what, of: Of::Ratio(of, to), goal }
}

const fn added(what: &'static str, of: &'static str, to: &'static str, goal: Option<Goal>) -> Figure {
    Figure { what, of: Of::Added(of, to), goal }
}

const fn quantile(what: &'static str, of: &'static str, share: f64, goal: Option<Goal>) -> Figure {
    Figure { what, of: Of::Quantile(of, share), goal }
}

const REDIS: &[Need] = &[Need { program: "redis-server", package: "redis-server" }, REDIS_BENCHMARK];
const REDIS_BENCHMARK: Need = Need { program: "redis-benchmark", package: "redis-tools" };

pub const ROWS: &[Row] = &[
    Row {
        name: "calls",
        load: "getppid in a loop, a call",
        unit: Unit::Nanoseconds,
        needs: &[],
        measure: helper::calls,
        figures: &[
            ratio("recorded / native", "recorded", "native", Some(AtMost(1.6))),
            ratio("recorded / native under a seccomp filter", "recorded", "filtered", Some(AtMost(1.2))),
        ],
    },
    Row {
        name: "clock",
        load: "clock_gettime in a loop, a reading",
        unit: Unit::Nanoseconds,
        needs: &[],
        measure: helper::clock,
        figures: &[ratio("recorded / native", "recorded", "native", None)],
    },
    Row {
        name: "redis",
        load: "redis-benchmark, 50 connections, no pipeline",
        unit: Unit::PerSecond,
        needs: REDIS,
        measure: redis::plain,
        figures: &[
            ratio("SET, recorded / native", "SET recorded", "SET native", Some(AtLeast(0.85))),
            ratio("GET, recorded / native", "GET recorded", "GET native", Some(AtLeast(0.85))),
            ratio("SET, recorded / native unpinned", "SET recorded", "SET unpinned", None),
            ratio("GET, recorded / native unpinned", "GET recorded", "GET unpinned", None),
        ],
    },
    Row {
        name: "redis-pipeline",
        load: "redis-benchmark, 50 connections, pipeline 16",
        unit: Unit::PerSecond,
        needs: REDIS,
        measure: redis::pipelined,
        figures: &[
            ratio("SET, recorded / native", "SET recorded", "SET native", Some(AtLeast(0.9))),
            ratio("GET, recorded / native", "GET recorded", "GET native", Some(AtLeast(0.9))),
            ratio("SET, recorded / native unpinned", "SET recorded", "SET unpinned", None),
            ratio("GET, recorded / native unpinned", "GET recorded", "GET unpinned", None),
        ],
    },
    Row {
        name: "redis-protected",
        load: "redis-benchmark, 50 connections, no pipeline, the backup on this machine",
        unit: Unit::PerSecond,
        needs: REDIS,
        measure: redis::protected,
        figures: &[
            ratio("SET, protected / native", "SET protected", "SET native", Some(AtLeast(0.45))),
            ratio("GET, protected / native", "GET protected", "GET native", Some(AtLeast(0.45))),
            ratio("SET, protected / native unpinned", "SET protected", "SET unpinned", None),
            ratio("GET, protected / native unpinned", "GET protected", "GET unpinned", None),
        ],
    },
    Row {
        name: "redis-wait",
        load: "SET by a client of our own, 50 connections, against a redis with a replica and WAIT 1 after each",
        unit: Unit::PerSecond,
        needs: REDIS,
        measure: redis::wait,
        figures: &[
            ratio("protected / native", "protected", "native", None),
            ratio("replica and WAIT 1 / native", "replica", "native", None),
            ratio("protected / replica and WAIT 1", "protected", "replica", None),
            ratio("protected / native unpinned", "protected", "unpinned", None),
        ],
    },
    Row {
        name: "nginx",
        load: "a small file from nginx with two workers, by wrk with 16 connections",
        unit: Unit::PerSecond,
        needs: &[Need { program: "nginx", package: "nginx-light" }, Need { program: "wrk", package: "wrk" }],
        measure: web::nginx,
        figures: &[
            ratio("recorded / native", "recorded", "native", Some(AtLeast(0.85))),
            ratio("recorded / native unpinned", "recorded", "unpinned", None),
        ],
    },
    Row {
        name: "sqlite",
        load: "sqlite3 computing in memory",
        unit: Unit::Seconds,
        needs: &[Need { program: "sqlite3", package: "sqlite3" }],
        measure: programs::sqlite,
        figures: &[
            ratio("recorded / native", "recorded", "native", Some(AtMost(1.03))),
            ratio("recorded / native unpinned", "recorded", "unpinned", None),
        ],
    },
    Row {
        name: "python",
        load: "python3 computing",
        unit: Unit::Seconds,
        needs: &[Need { program: "python3", package: "python3" }],
        measure: programs::python,
        figures: &[
            ratio("recorded / native", "recorded", "native", Some(AtMost(1.03))),
            ratio("recorded / native unpinned", "recorded", "unpinned", None),
        ],
    },
    Row {
        name: "tar",
        load: "tar of a tree of 10,000 sources",
        unit: Unit::Seconds,
        needs: &[Need { program: "tar", package: "tar" }],
        measure: programs::tar,
        figures: &[
            ratio("recorded / native", "recorded", "native", Some(AtMost(1.5))),
            ratio("recorded / native unpinned", "recorded", "unpinned", None),
        ],
    },
    Row {
        name: "git",
        load: "git status of a tree of 10,000 sources, ten times",
        unit: Unit::Seconds,
        needs: &[Need { program: "git", package: "git" }],
        measure: programs::git,
        figures: &[
            ratio("recorded / native", "recorded", "native", Some(AtMost(1.5))),
            ratio("recorded / native unpinned", "recorded", "unpinned", None),
        ],
    },
    Row {
        name: "make",
        load: "make -j4 of a C program of 24 files",
        unit: Unit::Seconds,
        needs: &[Need { program: "make", package: "make" }, Need { program: "cc", package: "gcc" }],
        measure: programs::make,
        figures: &[
            ratio("recorded / native", "recorded", "native", Some(AtMost(1.6))),
            ratio("recorded / native unpinned", "recorded", "unpinned", None),
        ],
    },
    Row {
        name: "latency",
        load: "SET by one client, one at a time, p50 of each round",
        unit: Unit::Microseconds,
        needs: REDIS,
        measure: redis::latency,
        figures: &[added("protected - native", "protected", "native", Some(AtMost(100.0)))],
    },
    Row {
        name: "takeover",
        load: "SIGKILL of the primary of a redis under load of one client, until the client is answered again",
        unit: Unit::Milliseconds,
        needs: REDIS,
        measure: takeover::takeover,
        figures: &[
            quantile("p50", "gap", 0.5, Some(AtMost(50.0))),
            quantile("p99", "gap", 0.99, Some(AtMost(250.0))),
            quantile("p50 without the host's stalls", "without stalls", 0.5, None),
            quantile("p99 without the host's stalls", "without stalls", 0.99, None),
        ],
    },
    Row {
        name: "lag",
        load: "how far the backup is behind, under redis-benchmark with 50 connections",
        unit: Unit::Milliseconds,
        needs: REDIS,
        measure: takeover::lag,
        figures: &[quantile("median", "lag", 0.5, Some(AtMost(100.0))), quantile("greatest", "lag", 1.0, None)],
    },
];

impl Row {
    /// Which program it lacks and where that is from, if it lacks one.
    pub fn missing(&self) -> Option<String> {
        let need = self.needs.iter().find(|need| !is_installed(need.program))?;
        Some(format!("{} is not installed (Debian package {})", need.program, need.package))
    }
}

/// Where programs are looked for: Debian keeps some servers where not everybody's PATH looks.
pub fn path() -> String {
    std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin"
}

pub fn is_installed(program: &str) -> bool {
    path().split(':').any(|dir| Path::new(dir).join(program).is_file())
}

/// What was measured: each way's figures, in the order in which they came.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Series(Vec<(String, Vec<f64>)>);

impl Series {
    pub fn add(&mut self, name: &str, value: f64) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value),
            None => self.0.push((name.to_owned(), vec![value])),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.0.iter().map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    fn of(&self, name: &str) -> Option<&[f64]> {
        self.iter().find(|&(known, _)| known == name).map(|(_, values)| values)
    }

    /// How often it was measured.
    pub fn count(&self, name: &str) -> usize {
        self.of(name).map_or(0, <[f64]>::len)
    }

    /// Linear between the two values beside it, as there are few.
    pub fn quantile(&self, name: &str, share: f64) -> Option<f64> {
        let mut sorted = self.of(name)?.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = (sorted.len() - 1) as f64 * share;
        let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
        Some(low + (high - low) * at.fract())
    }

    pub fn median(&self, name: &str) -> Option<f64> {
        self.quantile(name, 0.5)
    }
}

impl Of {
    /// The figure, if all that it is made of was measured.
    pub fn value(self, series: &Series) -> Option<f64> {
        match self {
            Self::Ratio(of, to) => Some(series.median(of)? / series.median(to)?),
            Self::Added(of, to) => Some(series.median(of)? - series.median(to)?),
            Self::Quantile(of, share) => series.quantile(of, share),
        }
    }
}

impl Goal {
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(of: &[(&str, &[f64])]) -> Series {
        let mut series = Series::default();
        for (name, values) in of {
            values.iter().for_each(|&value| series.add(name, value));
        }
        series
    }

    #[test]
    fn figures_are_made_of_medians() {
        let measured = series(&[("recorded", &[30.0, 10.0, 20.0]), ("native", &[8.0, 12.0])]);
        let check = |of: Of, expect: Option<f64>| assert_eq!(of.value(&measured), expect, "{of:?}");
        check(Of::Ratio("recorded", "native"), Some(2.0));
        check(Of::Added("recorded", "native"), Some(10.0));
        check(Of::Quantile("recorded", 0.5), Some(20.0));
        check(Of::Quantile("recorded", 0.75), Some(25.0));
        check(Of::Quantile("recorded", 1.0), Some(30.0));
        check(Of::Ratio("recorded", "filtered"), None);
    }

    #[test]
    fn goals_have_the_bound_in_them() {
        assert!(Goal::AtMost(1.6).is_met(1.6) && !Goal::AtMost(1.6).is_met(1.61));
        assert!(Goal::AtLeast(0.85).is_met(0.85) && !Goal::AtLeast(0.85).is_met(0.84));
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let needs: &[Need] =
            &[Need { program: "sh", package: "dash" }, Need { program: "no-such-program", package: "the-package" }];
        let row = Row { needs, measure: |_| unreachable!("it is not run"), ..ROWS[0] };
        let expect = "no-such-program is not installed (Debian package the-package)";
        assert_eq!(row.missing().as_deref(), Some(expect));
        assert_eq!(Row { needs: &needs[..1], ..row }.missing(), None);
    }

    #[test]
    fn rows_have_names_of_their_own() {
        let mut names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
    }
}
