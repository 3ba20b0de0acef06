//! `gapless-sim SEED` replays one schedule; `gapless-sim --seeds N [--from SEED]` runs many.

use gapless_sim::{Coverage, Mutant, TaskMet, TaskMutant, run, run_tasks};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const HELP: &str = "usage: gapless-sim SEED                       replay one schedule and show what happens
       gapless-sim --seeds N [--from SEED]    run N schedules on all cores; names the first that breaks a rule
options: --mutant NAME    break one rule of the engine on purpose (see the list with --mutants)
         --tasks          schedules of the task level, and its rules";

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
            for mutant in TaskMutant::ALL {
                println!("--tasks {mutant:?}");
            }
            ExitCode::SUCCESS
        }
        Ok(Order::One(seed, mutant)) => one(seed, mutant),
        Ok(Order::Many { from, seeds, mutant }) => {
            let coverage = many::<Coverage>(from, seeds, |seed, met| {
                let outcome = run(seed, mutant, false);
                met.add(&outcome.met);
                outcome.violation
            });
            let mut all = Coverage::default();
            coverage.met.iter().for_each(|met| all.merge(met));
            print!("{all}");
            coverage.tell(seeds, "")
        }
        Ok(Order::OneTask(seed, mutant)) => one_task(seed, mutant),
        Ok(Order::ManyTasks { from, seeds, mutant }) => {
            let coverage = many::<TaskMet>(from, seeds, |seed, met| {
                let outcome = run_tasks(seed, mutant);
                met.add(&outcome.met);
                outcome.violation
            });
            let mut all = TaskMet::default();
            coverage.met.iter().for_each(|met| all.add(met));
            println!("{all:?}");
            coverage.tell(seeds, "--tasks ")
        }
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
    OneTask(u64, TaskMutant),
    ManyTasks { from: u64, seeds: u64, mutant: TaskMutant },
}

fn parse(args: impl Iterator<Item = String>) -> Result<Order, String> {
    let (mut seeds, mut from, mut seed, mut name, mut tasks) = (None, 0, None, "None".to_owned(), false);
    let mut args = args;
    while let Some(arg) = args.next() {
        let mut value = |name: &str| args.next().ok_or(format!("{name} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text:?} is not a number"));
        match arg.as_str() {
            "--help" | "-h" => return Ok(Order::Help),
            "--mutants" => return Ok(Order::Mutants),
            "--seeds" => seeds = Some(number(value("--seeds")?)?),
            "--from" => from = number(value("--from")?)?,
            "--mutant" => name = value("--mutant")?,
            "--tasks" => tasks = true,
            other => seed = Some(number(other.to_owned())?),
        }
    }
    if tasks {
        let mutant = named(TaskMutant::None, TaskMutant::ALL, &name)?;
        return match (seed, seeds) {
            (Some(seed), None) => Ok(Order::OneTask(seed, mutant)),
            (None, Some(seeds)) => Ok(Order::ManyTasks { from, seeds, mutant }),
            _ => Err("give one SEED, or --seeds N".into()),
        };
    }
    let mutant = named(Mutant::None, Mutant::ALL, &name)?;
    match (seed, seeds) {
        (Some(seed), None) => Ok(Order::One(seed, mutant)),
        (None, Some(seeds)) => Ok(Order::Many { from, seeds, mutant }),
        _ => Err("give one SEED, or --seeds N".into()),
    }
}

/// The mutant of that name.
fn named<M: std::fmt::Debug>(none: M, all: impl IntoIterator<Item = M>, name: &str) -> Result<M, String> {
    let found = std::iter::once(none).chain(all).find(|mutant| format!("{mutant:?}") == name);
    found.ok_or(format!("no mutant {name:?}; --mutants lists them"))
}

fn one_task(seed: u64, mutant: TaskMutant) -> ExitCode {
    let outcome = run_tasks(seed, mutant);
    tell(seed, &outcome.trace, outcome.violation, &outcome.met)
}

fn one(seed: u64, mutant: Mutant) -> ExitCode {
    let outcome = run(seed, mutant, true);
    tell(seed, &outcome.trace, outcome.violation, &outcome.met)
}

/// One schedule, step by step.
fn tell(seed: u64, trace: &[String], violation: Option<String>, met: &dyn std::fmt::Debug) -> ExitCode {
    trace.iter().for_each(|line| println!("{line}"));
    match violation {
        None => {
            println!("seed {seed}: every rule held; met: {met:?}");
            ExitCode::SUCCESS
        }
        Some(what) => {
            println!("seed {seed}: {what}");
            ExitCode::FAILURE
        }
    }
}

/// What many schedules came to.
struct Ran<C> {
    met: Vec<C>,
    seconds: f64,
    failed: Option<(u64, String)>,
}

impl<C> Ran<C> {
    fn tell(self, seeds: u64, level: &str) -> ExitCode {
        println!("{:>9.1}  seconds, {:.0} schedules/s", self.seconds, seeds as f64 / self.seconds);
        match self.failed {
            None => ExitCode::SUCCESS,
            Some((seed, what)) => {
                println!("seed {seed} breaks a rule: {what}\nreplay it with: gapless-sim {level}{seed}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Runs schedules on all cores until one breaks a rule.
fn many<C: Default + Send>(from: u64, seeds: u64, run: impl Fn(u64, &mut C) -> Option<String> + Sync) -> Ran<C> {
    let started = std::time::Instant::now();
    let next = AtomicU64::new(from);
    let stop = AtomicBool::new(false);
    let failed: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::panic::set_hook(Box::new(|_| {}));
    let work = || {
        let mut met = C::default();
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from.saturating_add(seeds) {
                break;
            }
            if let Some(what) = run(seed, &mut met) {
                stop.store(true, Ordering::Relaxed);
                let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if failed.as_ref().is_none_or(|f| seed < f.0) {
                    *failed = Some((seed, what));
                }
            }
        }
        met
    };
    let met = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("violations are caught, panics included")).collect()
    });
    let failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ran { met, seconds: started.elapsed().as_secs_f64(), failed }
}
