//! `gapless doctor`: what this host offers, what it lacks, and how to mend each lack.
//!
//! Three steps that know nothing of each other: [`probe`] and [`disk`] gather [`Facts`] by
//! really doing the thing (a child is seized, a call is skipped, a file is synced);
//! [`rows`] judges them, a pure function from facts to a table; the rest prints the table.
//! Left out: what only a peer can tell (equal processors are compared when a pair meets).

mod disk;
mod judge;
mod probe;

use std::path::PathBuf;

use crate::Outcome;
use serde::Serialize;

pub use disk::Disk;
pub use judge::rows;

/// Whether gapless can work with what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Works, with a restriction that the row names.
    Warn,
    /// `gapless run` cannot work here.
    Fail,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What was looked at.
    pub name: &'static str,
    /// The verdict.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do about it; absent when there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// What a probe gives: the thing, or what went wrong in words.
pub type Probed<T> = Result<T, String>;

/// Everything that was found out about this host.
#[derive(Debug, Clone)]
pub struct Facts {
    /// `uname -r` and `uname -m`.
    pub kernel: (String, String),
    /// A child was seized, stopped, its registers read and written.
    pub ptrace: Probed<()>,
    /// `kernel.yama.ptrace_scope`, if the kernel has it.
    pub ptrace_scope: Option<u32>,
    /// A filter handed a call of a child to us and we skipped it.
    pub seccomp: Probed<()>,
    /// Another process's memory was read.
    pub vm_read: Probed<()>,
    /// `rdtsc` in a child was trapped.
    pub tsc_trap: Probed<()>,
    /// Address randomisation was switched off in a child.
    pub no_randomize: Probed<()>,
    /// `cpuid` in a child can be trapped.
    pub cpuid_fault: Probed<()>,
    /// What the processor says about itself.
    pub cpu: Cpu,
    /// Processors that this process may use.
    pub cpus: usize,
    /// A user namespace was made.
    pub user_namespace: Probed<()>,
    /// A TAP device could be made (and was not kept).
    pub tap: Probed<()>,
    /// Soft and hard limit on descriptors, processes and core size; `None` is unlimited.
    pub limits: Limits,
    /// Bytes of memory: all, available.
    pub memory: Option<(u64, u64)>,
    /// The kernel's clock source.
    pub clock_source: Option<String>,
    /// The identity of this boot can be read.
    pub boot_id: bool,
    /// The directory given by `--log`, if one was.
    pub log: Option<Probed<Disk>>,
}

/// The processor's features that a program can see, or that cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpu {
    /// The brand string.
    pub brand: String,
    /// It has AVX-512.
    pub avx512: bool,
    /// It has restricted transactional memory.
    pub rtm: bool,
    /// Bytes of all enabled XSAVE state of a thread.
    pub xsave_bytes: u32,
}

/// A soft limit; `None` is unlimited.
pub type Limit = Option<u64>;

/// The limits of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `RLIMIT_NOFILE`: soft, hard.
    pub files: (Limit, Limit),
    /// `RLIMIT_NPROC`, soft.
    pub processes: Limit,
    /// `RLIMIT_CORE`, soft.
    pub core: Limit,
}

/// Runs all checks, prints the table (or JSON) to stdout, and fails if any row does.
pub fn run(json: bool, log: Option<PathBuf>) -> Outcome {
    let facts = Facts { log: log.as_deref().map(disk::probe), ..probe::facts() };
    let rows = rows(&facts);
    let text = if json { as_json(&rows) } else { as_table(&rows) };
    crate::out::data(&text)?;
    Ok(u8::from(worst(&rows) == Status::Fail))
}

fn count(rows: &[Row], status: Status) -> usize {
    rows.iter().filter(|row| row.status == status).count()
}

fn worst(rows: &[Row]) -> Status {
    [Status::Fail, Status::Warn].into_iter().find(|&s| count(rows, s) > 0).unwrap_or(Status::Ok)
}

fn as_json(rows: &[Row]) -> String {
    #[derive(Serialize)]
    struct Report<'a> {
        status: Status,
        rows: &'a [Row],
    }
    let report = Report { status: worst(rows), rows };
    // Strings and enums only: there is nothing that JSON could not hold.
    let mut text = serde_json::to_string_pretty(&report).unwrap_or_default();
    text.push('\n');
    text
}

fn as_table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let status = match row.status {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "FAIL",
        };
        text += &format!("{status:<4}  {:<width$}  {}\n", row.name, row.found);
        if row.status != Status::Ok {
            text += &format!("{:6}{:width$}  why: {}\n", "", "", row.why);
        }
        if let Some(fix) = &row.fix {
            text += &format!("{:6}{:width$}  fix: {fix}\n", "", "");
        }
    }
    let (warn, fail) = (count(rows, Status::Warn), count(rows, Status::Fail));
    let verdict = match worst(rows) {
        Status::Ok => "gapless can protect programs on this host",
        Status::Warn => "gapless can protect programs on this host, as far as the warnings allow",
        Status::Fail => "gapless cannot protect programs on this host until the failures are mended",
    };
    text + &format!("\n{} ok, {warn} warn, {fail} fail: {verdict}\n", count(rows, Status::Ok))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &'static str, status: Status, fix: Option<&str>) -> Row {
        Row { name, status, found: "found".into(), why: "because", fix: fix.map(str::to_owned) }
    }

    #[test]
    fn table() {
        let rows = [row("a", Status::Ok, None), row("long", Status::Warn, Some("do it")), row("b", Status::Fail, None)];
        assert_eq!(
            as_table(&rows),
            "ok    a     found\n\
             warn  long  found\n            why: because\n            fix: do it\n\
             FAIL  b     found\n            why: because\n\n\
             1 ok, 1 warn, 1 fail: gapless cannot protect programs on this host until the failures are mended\n"
        );
    }

    #[test]
    fn json() {
        let text = as_json(&[row("a", Status::Warn, None)]);
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["status"], "warn");
        assert_eq!(value["rows"][0]["name"], "a");
        assert_eq!(value["rows"][0]["status"], "warn");
        assert!(value["rows"][0].get("fix").is_none());
    }

    /// The probes run here for real, where the tests of the process level run too: what
    /// those need must be found.
    #[test]
    fn this_host() {
        let dir = tempfile::tempdir().expect("a directory");
        let facts = Facts { log: Some(disk::probe(dir.path())), ..probe::facts() };
        let failures: Vec<Row> = rows(&facts).into_iter().filter(|row| row.status == Status::Fail).collect();
        assert_eq!(failures, []);
        assert!(facts.cpu.xsave_bytes >= 512);
        assert!(facts.cpus >= 1);
    }
}
