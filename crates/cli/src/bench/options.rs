//! What a benchmark is asked for, and the limits it keeps to.

use super::helper::HelperArgs;
use super::rows::ROWS;
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args as ClapArgs, Subcommand};
use serde::Serialize;

const ROUNDS_MAX: i64 = 1000;
const KILLS_MAX: i64 = 10_000;
const REQUESTS_MAX: i64 = 1_000_000_000;

const EXAMPLES: &str = "\
Examples:
  gapless bench process                              (all rows, some minutes)
  gapless bench process calls redis --rounds 5
  gapless bench process takeover --kills 300 --json

In every round the program runs native, recorded and, where the row says so, protected, one after the other; of the rounds the median counts. \
Native means pinned to one processor, as gapless pins a program that it runs, unless the row says unpinned. Recorded is `gapless record`, protected \
is `gapless run` with a `gapless backup` on this machine and a register in a file. Clients run beside them, on all processors. Logs go to the temporary \
directory (TMPDIR), whose disk is measured with them.

Each line ends with its goal and whether this run met it. Other work on the machine makes every figure worse: believe the best of some quiet runs. \
Where rr is installed and runs, `rr record` takes its turn in every row that is recorded.

Exit status: 0 every row was measured, whether its goals were met or not; 1 one was not, because its program is missing or it failed; 125 nothing was \
printed.";

/// Measure what gapless costs on this machine.
#[derive(Subcommand, Debug)]
pub enum BenchCommand {
    /// Programs under the process level: against native, and how fast a backup takes over
    #[command(after_help = EXAMPLES)]
    Process(ProcessArgs),
    /// What some rows run
    #[command(hide = true)]
    Helper(HelperArgs),
}

#[derive(ClapArgs, Debug)]
pub struct ProcessArgs {
    /// Rows to measure; all unless some are named
    #[arg(value_name = "ROW", value_parser = rows())]
    pub rows: Vec<String>,
    #[command(flatten)]
    pub sizes: Sizes,
    /// The result as JSON
    #[arg(long)]
    pub json: bool,
}

/// How much is done.
#[derive(ClapArgs, Clone, Copy, Debug, Serialize)]
pub struct Sizes {
    /// Rounds in which all that is compared takes turns
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=ROUNDS_MAX))]
    pub rounds: u32,
    /// Requests to a server each time, without a pipeline; with one it is eight times as many
    #[arg(long, value_name = "N", default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(100..=REQUESTS_MAX))]
    pub requests: u32,
    /// Times that a primary is killed
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=KILLS_MAX))]
    pub kills: u32,
}

impl ProcessArgs {
    pub fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|name| name == row)
    }
}

fn rows() -> PossibleValuesParser {
    ROWS.iter().map(|row| PossibleValue::new(row.name).help(row.load)).collect::<Vec<_>>().into()
}
