//! `gapless-sim SEED` replays one schedule; `gapless-sim --seeds N [--from SEED]` runs many.

use gapless_sim::{Coverage, Mutant, run};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const HELP: &str = "usage: gapless-sim SEED                       replay one schedule and show what happens
       gapless-sim --seeds N [--from SEED]    run N schedules on all cores; names the first that breaks a rule
options: --mutant NAME    break one rule of the engine on purpose (see the list with --mutants)";

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(Order::Help) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Order::Mutants) => {
            for mutant in Mutant::ALL {
                println!("{mutant:?}");
            }
            ExitCode::SUCCESS
        }
        Ok(Order::One(seed, mutant)) => one(seed, mutant),
        Ok(Order::Many { from, seeds, mutant }) => many(from, seeds, mutant),
        Err(what) => {
            eprintln!("gapless-sim: {what}\n{HELP}");
            ExitCode::from(2)
        }
    }
}

enum Order {
    Help,
    Mutants,
    One(u64, Mutant),
    Many { from: u64, seeds: u64, mutant: Mutant },
}

fn parse(args: impl Iterator<Item = String>) -> Result<Order, String> {
    let (mut seeds, mut from, mut seed, mut mutant) = (None, 0, None, Mutant::None);
    let mut args = args;
    while let Some(arg) = args.next() {
        let mut value = |name: &str| args.next().ok_or(format!("{name} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text:?} is not a number"));
        match arg.as_str() {
            "--help" | "-h" => return Ok(Order::Help),
            "--mutants" => return Ok(Order::Mutants),
            "--seeds" => seeds = Some(number(value("--seeds")?)?),
            "--from" => from = number(value("--from")?)?,
            "--mutant" => {
                let name = value("--mutant")?;
                let found = Mutant::ALL.into_iter().find(|m| format!("{m:?}") == name);
                mutant = found.ok_or(format!("no mutant {name:?}; --mutants lists them"))?;
            }
            other => seed = Some(number(other.to_owned())?),
        }
    }
    match (seed, seeds) {
        (Some(seed), None) => Ok(Order::One(seed, mutant)),
        (None, Some(seeds)) => Ok(Order::Many { from, seeds, mutant }),
        _ => Err("give one SEED, or --seeds N".into()),
    }
}

fn one(seed: u64, mutant: Mutant) -> ExitCode {
    let outcome = run(seed, mutant, true);
    for line in &outcome.trace {
        println!("{line}");
    }
    match outcome.violation {
        None => {
            println!("seed {seed}: every rule held; met: {:?}", outcome.met);
            ExitCode::SUCCESS
        }
        Some(what) => {
            println!("seed {seed}: {what}");
            ExitCode::FAILURE
        }
    }
}

fn many(from: u64, seeds: u64, mutant: Mutant) -> ExitCode {
    let started = std::time::Instant::now();
    let next = AtomicU64::new(from);
    let stop = AtomicBool::new(false);
    let failed: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let coverage = Mutex::new(Coverage::default());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut met = Coverage::default();
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from.saturating_add(seeds) {
                        break;
                    }
                    let outcome = run(seed, mutant, false);
                    met.add(&outcome.met);
                    if let Some(what) = outcome.violation {
                        stop.store(true, Ordering::Relaxed);
                        let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        if failed.as_ref().is_none_or(|f| seed < f.0) {
                            *failed = Some((seed, what));
                        }
                    }
                }
                coverage.lock().unwrap_or_else(std::sync::PoisonError::into_inner).merge(&met);
            });
        }
    });
    let coverage = coverage.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    print!("{coverage}");
    let seconds = started.elapsed().as_secs_f64();
    println!("{seconds:>9.1}  seconds, {:.0} schedules/s", coverage.schedules() as f64 / seconds);
    match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        None => ExitCode::SUCCESS,
        Some((seed, what)) => {
            println!("seed {seed} breaks a rule: {what}\nreplay it with: gapless-sim {seed}");
            ExitCode::FAILURE
        }
    }
}
