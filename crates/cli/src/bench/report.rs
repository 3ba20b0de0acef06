//! What came out: a table for a person, one JSON object for a script.

use super::options::Sizes;
use super::rows::{Figure, Goal, Of, Row, Series, Unit};
use serde_json::{Value, json};
use std::fmt;

/// What became of a row.
pub enum Outcome {
    Series(Series),
    /// A program is not installed.
    Missing(String),
    /// It was begun and could not be finished.
    Failed(String),
}

/// Everything that was measured.
pub struct Report {
    pub sizes: Sizes,
    /// rr in one line.
    pub rr: String,
    pub rows: Vec<(&'static Row, Outcome)>,
}

/// One line of the table: a figure of a row.
struct Line {
    what: String,
    from: String,
    value: String,
    goal: String,
    met: &'static str,
}

impl Report {
    /// Adds a row, and says its lines.
    pub fn add(&mut self, row: &'static Row, outcome: Outcome) -> Vec<String> {
        let said = |line: Line| format!("{}: {} ({})", line.what, line.value, line.from);
        let lines = lines(row, &outcome).into_iter().map(said).collect();
        self.rows.push((row, outcome));
        lines
    }

    /// Every row was measured.
    pub fn is_complete(&self) -> bool {
        self.rows.iter().all(|(_, outcome)| matches!(outcome, Outcome::Series(_)))
    }

    pub fn json(&self) -> String {
        let rows: Vec<Value> = self.rows.iter().map(|(row, outcome)| row_json(row, outcome)).collect();
        json!({ "sizes": self.sizes, "rr": self.rr, "rows": rows }).to_string()
    }
}

fn row_json(row: &Row, outcome: &Outcome) -> Value {
    let (series, why) = match outcome {
        Outcome::Series(series) => (series.clone(), Value::Null),
        Outcome::Missing(why) | Outcome::Failed(why) => (Series::default(), why.as_str().into()),
    };
    let measured = series
        .iter()
        .map(|(name, values)| (name.to_owned(), json!({ "median": series.median(name), "samples": values })));
    let figures = row.figures.iter().map(|figure| {
        let value = figure.of.value(&series);
        let (at_most, at_least) = match figure.goal {
            Some(Goal::AtMost(most)) => (Some(most), None),
            Some(Goal::AtLeast(least)) => (None, Some(least)),
            None => (None, None),
        };
        let met = figure.goal.zip(value).map(|(goal, value)| goal.is_met(value));
        json!({ "figure": figure.what, "value": value, "at_most": at_most, "at_least": at_least, "met": met })
    });
    json!({
        "row": row.name,
        "load": row.load,
        "unit": row.unit.name(),
        "not_measured": why,
        "series": measured.collect::<serde_json::Map<_, _>>(),
        "figures": figures.collect::<Vec<_>>(),
    })
}

/// The lines of a row, and one for rr beside each figure that has gapless' record in it, if rr was measured.
fn lines(row: &Row, outcome: &Outcome) -> Vec<Line> {
    let lines_of = |figure: &Figure| match outcome {
        Outcome::Series(series) => vec![Some(measured(row.unit, figure, series)), rr(row.unit, figure, series)],
        Outcome::Missing(why) | Outcome::Failed(why) => vec![Some(Line {
            what: figure.what.into(),
            from: in_a_line(why),
            value: String::new(),
            goal: goal(row.unit, figure),
            met: "not measured",
        })],
    };
    row.figures.iter().flat_map(lines_of).flatten().collect()
}

/// What went wrong, and the last that was said before.
fn in_a_line(why: &str) -> String {
    let mut lines = why.lines().map(str::trim).filter(|line| !line.is_empty());
    let ends = [lines.next(), lines.next_back()];
    ends.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn measured(unit: Unit, figure: &Figure, series: &Series) -> Line {
    let median = |name: &str| series.median(name).map_or("-".into(), |value| quantity(unit, value));
    let from = match figure.of {
        Of::Ratio(of, to) | Of::Added(of, to) => format!("{} and {}", median(of), median(to)),
        Of::Quantile(of, _) => format!("{} times", series.count(of)),
    };
    let value = figure.of.value(series);
    let met = match figure.goal.zip(value) {
        Some((goal, value)) if goal.is_met(value) => "met",
        Some(_) => "not met",
        None => "",
    };
    let value = value.map_or("-".into(), |value| shown(unit, figure.of, value));
    Line { what: figure.what.into(), from, value, goal: goal(unit, figure), met }
}

fn rr(unit: Unit, figure: &Figure, series: &Series) -> Option<Line> {
    let Of::Ratio(of, to) = figure.of else { return None };
    let of = of.strip_suffix("recorded")?.to_owned() + "rr";
    let (ours, theirs) = (series.median(&of)?, series.median(to)?);
    Some(Line {
        what: figure.what.replace("recorded", "rr record"),
        from: format!("{} and {}", quantity(unit, ours), quantity(unit, theirs)),
        value: format!("{:.3}", ours / theirs),
        goal: String::new(),
        met: "",
    })
}

fn goal(unit: Unit, figure: &Figure) -> String {
    let bound = |value| match figure.of {
        Of::Ratio(..) => format!("{value}"),
        Of::Added(..) | Of::Quantile(..) => format!("{value} {}", unit.name()),
    };
    match figure.goal {
        Some(Goal::AtMost(most)) => format!("<= {}", bound(most)),
        Some(Goal::AtLeast(least)) => format!(">= {}", bound(least)),
        None => String::new(),
    }
}

fn shown(unit: Unit, of: Of, value: f64) -> String {
    match of {
        Of::Ratio(..) => format!("{value:.3}"),
        Of::Added(..) | Of::Quantile(..) => quantity(unit, value),
    }
}

fn quantity(unit: Unit, value: f64) -> String {
    let name = unit.name();
    match unit {
        Unit::PerSecond => format!("{value:.0}{name}"),
        Unit::Nanoseconds | Unit::Microseconds => format!("{value:.0} {name}"),
        Unit::Milliseconds => format!("{value:.1} {name}"),
        Unit::Seconds => format!("{value:.3} {name}"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["row", "figure", "value", "goal", "result", "from"].map(str::to_owned);
        let rows = self.rows.iter().flat_map(|(row, outcome)| {
            lines(row, outcome)
                .into_iter()
                .map(|line| [row.name.to_owned(), line.what, line.value, line.goal, line.met.to_owned(), line.from])
        });
        let cells: Vec<_> = std::iter::once(heads).chain(rows).collect();
        let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(width);
        for (n, row) in cells.iter().enumerate() {
            for (cell, width) in row.iter().zip(widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if n == 0 {
                writeln!(f, "{}|", widths.map(|width| format!("|{}", "-".repeat(width + 2))).concat())?;
            }
        }
        writeln!(f, "\nrr: {}", self.rr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::rows::ROWS;

    fn report() -> Report {
        let row = |name: &str| ROWS.iter().find(|row| row.name == name).expect("it is there");
        let mut calls = Series::default();
        for (name, value) in [("native", 100.0), ("filtered", 200.0), ("recorded", 190.0), ("rr", 5000.0)] {
            calls.add(name, value);
        }
        let mut lag = Series::default();
        [10.0, 20.0, 300.0].into_iter().for_each(|ms| lag.add("lag", ms));
        Report {
            sizes: Sizes { rounds: 1, requests: 1000, kills: 3 },
            rr: "measured".into(),
            rows: vec![
                (row("calls"), Outcome::Series(calls)),
                (row("python"), Outcome::Missing("python3 is not installed (Debian package python3)".into())),
                (row("latency"), Outcome::Failed("the server ended; it said:\n    much\n    no\n".into())),
                (row("lag"), Outcome::Series(lag)),
            ],
        }
    }

    #[test]
    fn the_table() {
        let expect = "
| row     | figure                                    | value    | goal      | result       | from                                              |
|---------|-------------------------------------------|----------|-----------|--------------|---------------------------------------------------|
| calls   | recorded / native                         | 1.900    | <= 1.6    | not met      | 190 ns and 100 ns                                 |
| calls   | rr record / native                        | 50.000   |           |              | 5000 ns and 100 ns                                |
| calls   | recorded / native under a seccomp filter  | 0.950    | <= 1.2    | met          | 190 ns and 200 ns                                 |
| calls   | rr record / native under a seccomp filter | 25.000   |           |              | 5000 ns and 200 ns                                |
| python  | recorded / native                         |          | <= 1.03   | not measured | python3 is not installed (Debian package python3) |
| python  | recorded / native unpinned                |          |           | not measured | python3 is not installed (Debian package python3) |
| latency | protected - native                        |          | <= 100 us | not measured | the server ended; it said: no                     |
| lag     | median                                    | 20.0 ms  | <= 100 ms | met          | 3 times                                           |
| lag     | greatest                                  | 300.0 ms |           |              | 3 times                                           |

rr: measured
";
        assert_eq!(format!("\n{}", report()), expect);
    }
}
