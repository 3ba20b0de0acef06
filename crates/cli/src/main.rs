//! Keeps a program running when the machine under it dies: the command line.
//!
//! Each command is a module with a `run` that returns the exit status. stdout is data, stderr is talk; both go through [`out`].
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod bench;
mod demo;
mod doctor;
mod export;
mod interrupt;
mod level;
mod local;
mod logs;
mod machine;
mod out;
mod pair;
mod place;
mod program;
mod progress;
mod task_command;

use args::{Command, LogCommand};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Signals to the supervisor are for the program; this must come before any thread is started.
    let args = args::Args::parse();
    let result = match args.command {
        Command::Record(a) => program::record(a),
        Command::Replay(a) => program::replay(&a),
        Command::Resume(a) => program::resume(a),
        Command::Run(a) => pair::run(a),
        Command::Backup(a) => pair::backup(a),
        Command::Witness(a) => pair::witness(&a),
        Command::Status(a) => task_command::status(&a),
        Command::Handover(a) => task_command::handover(&a),
        Command::Stop(a) => task_command::stop(&a),
        Command::Log(LogCommand::Cat(a)) => logs::cat(&a),
        Command::Log(LogCommand::Stat(a)) => logs::stat(&a),
        Command::Log(LogCommand::Verify(a)) => logs::verify(&a),
        Command::Demo(a) => demo::run(&a),
        Command::Bench(a) => bench::run(&a),
        Command::Export(a) => export::run(&a),
        Command::Machine(a) => machine::run(*a),
        Command::Console(a) => machine::console(&a),
        Command::Task(a) => task_command::run(*a),
        Command::Doctor(a) => doctor::run(a.json, a.log),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(e) => {
            out::talk!("gapless: {e}");
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// Exit status when gapless itself failed, as env(1) and timeout(1) have it, so that it is not taken for the program's.
const EXIT_FAILED: u8 = 125;
/// Exit status of `replay` and `export` when the replay differs from the log.
const EXIT_DIVERGED: u8 = 1;
/// Exit status of `replay` and `export` when the log ends before the position that was asked for.
const EXIT_NOT_REACHED: u8 = 4;

/// Exit status when the program is there and cannot be executed.
const EXIT_NOT_EXECUTABLE: u8 = 126;
/// Exit status when the program, or the interpreter that it names, is not there.
const EXIT_NOT_FOUND: u8 = 127;

/// What a command comes to: an exit status, or why there is none.
type Outcome = Result<u8, String>;

/// Turns any error into the text that a person sees.
fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}
