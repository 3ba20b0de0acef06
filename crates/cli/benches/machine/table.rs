//! What was measured, as markdown or as JSON.

use std::fmt;

/// One field of a table.
pub enum Cell {
    /// A number, and how many decimals of it mean anything.
    Number(f64, usize),
    /// What is no number, or why there is none.
    Text(String),
}

impl Cell {
    /// The number that was measured, or why it was not.
    pub fn of(measured: Result<f64, String>, decimals: usize) -> Self {
        measured.map_or_else(Self::Text, |number| Self::Number(number, decimals))
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Self::Number(number, _) => (*number).into(),
            Self::Text(why) => why.as_str().into(),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number, decimals) => write!(f, "{number:.decimals$}"),
            // A reason of many lines would end the row.
            Self::Text(why) => f.write_str(why.trim().lines().last().unwrap_or("no answer")),
        }
    }
}

/// Rows that have the same columns.
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Cell>)>,
}

impl Table {
    pub fn new(title: &str, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { title: title.to_owned(), columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    pub fn row(&mut self, name: &str, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "{name}: a cell for each column of {}", self.title);
        self.rows.push((name.to_owned(), cells));
    }

    /// What was measured of several things, one after the other, as a table of a row for each name and a column for each thing.
    pub fn columns(title: &str, names: &[String], columns: Vec<(String, Vec<Cell>)>) -> Self {
        let (heads, cells): (Vec<String>, Vec<Vec<Cell>>) = columns.into_iter().unzip();
        let mut table = Self::new(title, heads);
        let mut cells: Vec<_> = cells.into_iter().map(Vec::into_iter).collect();
        for name in names {
            table.row(name, cells.iter_mut().map(|column| column.next().expect("a cell for each name")).collect());
        }
        table
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn json(&self) -> serde_json::Value {
        let row = |cells: &[Cell]| -> serde_json::Map<_, _> {
            self.columns.iter().cloned().zip(cells.iter().map(Cell::json)).collect()
        };
        let rows = self.rows.iter().map(|(name, cells)| (name.clone(), row(cells).into()));
        serde_json::json!({ "title": self.title, "rows": rows.collect::<serde_json::Map<_, serde_json::Value>>() })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} | {} |", self.title, self.columns.join(" | "))?;
        writeln!(f, "|---{}|", "|---".repeat(self.columns.len()))?;
        for (name, cells) in &self.rows {
            let cells: Vec<String> = cells.iter().map(Cell::to_string).collect();
            writeln!(f, "| {name} | {} |", cells.join(" | "))?;
        }
        Ok(())
    }
}

/// What a benchmark was asked for: some of its sections, and as what.
pub struct Asked {
    named: Vec<String>,
    json: bool,
}

impl Asked {
    /// # Panics
    /// If a section is asked for that there is not.
    pub fn of_arguments(sections: &[&str]) -> Self {
        // Cargo adds --bench.
        let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
        let (json, named): (Vec<_>, Vec<_>) = arguments.into_iter().partition(|a| a == "--json");
        if let Some(unknown) = named.iter().find(|name| !sections.contains(&name.as_str())) {
            panic!("{unknown} is not one of {}", sections.join(", "));
        }
        Self { named, json: !json.is_empty() }
    }

    pub fn wants(&self, section: &str) -> bool {
        self.named.is_empty() || self.named.iter().any(|name| name == section)
    }

    pub fn show(&self, mut tables: Vec<Table>) {
        tables.retain(|table| !table.is_empty());
        if self.json {
            println!("{}", serde_json::Value::from_iter(tables.iter().map(Table::json)));
        } else {
            tables.iter().for_each(|table| println!("{table}"));
        }
    }
}
