//! `gapless demo`: the main job on one machine. A pair around a program, clients that count, SIGKILL after SIGKILL, and what the clients lost.
//!
//! The rule it keeps: it does only what a user could do: it starts `gapless run` and `gapless backup` as separate processes, asks for their status,
//! kills them, and speaks to the program over TCP. All of it is gone when it ends, whichever way it ends.

mod options;
mod report;

pub use options::DemoArgs;

use crate::Outcome;
use crate::interrupt::{self, interrupted};
use crate::local::clients::{self, Clients, Pace};
use crate::local::ledger::{Ledger, Wrong};
use crate::local::pair::Pair;
use crate::local::processes::{Process, how};
use crate::local::resp::is_up;
use crate::out::{self, talk};
use crate::progress::Progress;
use options::Plan;
use report::{Report, Throughput, thousands};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Load on the unprotected program, and before that is measured.
const NATIVE_LOAD: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(200);
/// Each load has at least this many operations, however short it was asked to be; waiting for them has an end too.
const LOAD_OPERATIONS_MIN: u64 = 1000;
const LOAD_WAIT_MAX: Duration = Duration::from_secs(120);
/// Longest wait while nothing moves.
const STUCK_MAX: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(5);

/// `gapless demo`. Exit status 1 if anything was lost or doubled.
pub fn run(args: &DemoArgs) -> Outcome {
    interrupt::install();
    let plan = Plan::new(args)?;
    let dir = tempfile::Builder::new()
        .prefix("gapless-demo-")
        .tempdir()
        .map_err(|e| format!("no temporary directory: {e}"))?;
    let path = std::path::absolute(dir.path()).map_err(crate::text)?;
    let result = demonstrate(&plan, &path, args.arbiter.as_deref());
    if args.keep {
        talk!("gapless: logs and last words are in {}", dir.keep().display());
    }
    let report = result?;
    if args.json {
        out::data(&format!("{}\n", report.json()))?;
    } else {
        out::data(&report.to_string())?;
    }
    Ok(u8::from(!report.is_clean()))
}

fn demonstrate(plan: &Plan, dir: &Path, arbiter: Option<&str>) -> Result<Report, String> {
    let mut show = Show {
        plan,
        progress: Progress::new(),
        pair: Pair::new(&plan.gapless, &plan.program, dir, arbiter),
        report: Report::default(),
        clients: None,
    };
    show.unprotected(dir)?;
    show.protect(dir)?;
    for _ in 0..plan.kills {
        show.load()?;
        show.kill()?;
        show.recover()?;
    }
    show.load()?;
    let ledgers = show.end_of_load()?;
    show.replay(ledgers)?;
    Ok(show.report)
}

/// The program may write where it starts: that is no directory of the user's.
fn empty_dir(dir: &Path, name: &str) -> Result<PathBuf, String> {
    let path = dir.join(name);
    std::fs::create_dir(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}

/// A demonstration under way.
struct Show<'a> {
    plan: &'a Plan,
    progress: Progress,
    pair: Pair,
    report: Report,
    clients: Option<Clients>,
}

impl Show<'_> {
    fn clients(&self) -> &Clients {
        self.clients.as_ref().expect("there is load")
    }

    /// The same program and load without gapless.
    fn unprotected(&mut self, dir: &Path) -> Result<(), String> {
        let mut command = Command::new(&self.plan.program[0]);
        command.args(&self.plan.program[1..]).current_dir(empty_dir(dir, "unprotected-cwd")?);
        let mut program = Process::start(command, &dir.join("unprotected"))?;
        let since = Instant::now();
        while !is_up(self.plan.port)? {
            if let Some(status) = program.ended() {
                return Err(format!("the program {} at once; it said:\n{}", how(status), program.tail()));
            }
            self.still_wanted(since, || {
                format!("the program does not answer PING at port {}; it said:\n{}", self.plan.port, program.tail())
            })?;
            std::thread::sleep(TICK);
        }
        clients::clear(self.plan.port, self.plan.clients)?;
        let load = Clients::start(self.plan.port, self.plan.clients)?;
        let mut measured = (Instant::now(), 0);
        while measured.0.elapsed() < NATIVE_LOAD {
            if measured.1 == 0 && measured.0.elapsed() > WARM_UP {
                measured = (Instant::now(), load.tally().acknowledged);
            }
            load.failure().map_or(Ok(()), Err)?;
            self.progress
                .show(|| format!("unprotected, for comparison: {} operations", thousands(load.tally().acknowledged)));
            self.still_wanted(measured.0, String::new)?;
            std::thread::sleep(TICK);
        }
        let done = load.tally();
        self.report.native = Throughput { operations: done.acknowledged - measured.1, time: measured.0.elapsed() };
        drop(load);
        program.kill()?;
        if done.wrong != Wrong::default() {
            return Err("the program answers wrongly even without gapless: INCR must answer one more each time".into());
        }
        self.progress.say(&format!("unprotected: {} operations/s", thousands(self.report.native.per_second() as u64)));
        Ok(())
    }

    fn still_wanted(&self, since: Instant, stuck: impl FnOnce() -> String) -> Result<(), String> {
        if interrupted() {
            Err("interrupted".into())
        } else if since.elapsed() > STUCK_MAX {
            Err(stuck())
        } else {
            Ok(())
        }
    }

    /// One turn of every wait: looks at everything, shows it, and sleeps a moment.
    fn tick(&mut self) -> Result<(), String> {
        if interrupted() {
            return Err("interrupted".into());
        }
        self.pair.look()?;
        for note in self.pair.notes() {
            self.progress.say(&note);
        }
        if let Some(failure) = self.clients.as_ref().and_then(Clients::failure) {
            return Err(format!("{failure}; the sides said last:\n{}", self.pair.last_words()));
        }
        let tally = self.clients.as_ref().map(Clients::tally).unwrap_or_default();
        let (kills, state) = (self.report.kills, self.pair.state());
        self.progress.show(|| {
            format!(
                "kill {kills}/{}  {} acknowledged, {} lost, {} doubled  {state}",
                self.plan.kills,
                thousands(tally.acknowledged),
                tally.wrong.lost,
                tally.wrong.doubled
            )
        });
        std::thread::sleep(TICK);
        Ok(())
    }

    /// Waits, as long as something moves, until `done`.
    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> Result<bool, String>) -> Result<(), String> {
        let (mut moved, mut stood) = (Instant::now(), Vec::new());
        while !done(self)? {
            self.tick()?;
            let stands = self.pair.footprint();
            if stands != stood {
                (moved, stood) = (Instant::now(), stands);
            }
            if moved.elapsed() > STUCK_MAX {
                return Err(format!(
                    "{what} has not happened and nothing moved for {STUCK_MAX:?}; the sides said last:\n{}",
                    self.pair.last_words()
                ));
            }
        }
        Ok(())
    }

    /// Waits until the pair is protected, with a fresh backup if it has none.
    fn until_protected(&mut self) -> Result<(), String> {
        self.until("protection", |show| {
            if show.pair.has_primary() && show.pair.lacks_backup() {
                show.pair.start_backup()?;
            }
            Ok(show.pair.is_protected())
        })
    }

    fn protect(&mut self, dir: &Path) -> Result<(), String> {
        let since = Instant::now();
        self.pair.start_primary(&empty_dir(dir, "cwd")?)?;
        self.until_protected()?;
        let port = self.plan.port;
        self.until("the program's first answer", |_| is_up(port))?;
        self.progress.say(&format!("protected after {:.1} s: {}", since.elapsed().as_secs_f64(), self.plan.line()));
        clients::clear(port, self.plan.clients)?;
        self.clients = Some(Clients::start(port, self.plan.clients)?);
        Ok(())
    }

    /// Full load while protected.
    fn load(&mut self) -> Result<(), String> {
        self.clients().pace(Pace::Full);
        let mut done = Throughput::default();
        let began = Instant::now();
        while done.time < self.plan.load || done.operations < LOAD_OPERATIONS_MIN {
            let (since, before) = (Instant::now(), self.clients().tally().acknowledged);
            self.until_protected()?;
            if since.elapsed() > TICK {
                // It was not protected all the time: a false alarm, counted elsewhere.
                continue;
            }
            self.tick()?;
            done += Throughput { operations: self.clients().tally().acknowledged - before, time: since.elapsed() };
            if began.elapsed() > self.plan.load + LOAD_WAIT_MAX {
                return Err(format!(
                    "only {} operations within {:?}; the sides said last:\n{}",
                    done.operations,
                    began.elapsed(),
                    self.pair.last_words()
                ));
            }
        }
        self.report.protected += done;
        Ok(())
    }

    /// SIGKILL while requests are in flight, until every client has been answered by the survivor.
    fn kill(&mut self) -> Result<(), String> {
        self.until_protected()?;
        let clients = self.clients.as_ref().expect("there is load");
        let mut in_flight = 0;
        clients.watch_gaps();
        let killed = self.pair.kill_primary(|| {
            in_flight = clients.in_flight();
            clients.watch_gaps();
            in_flight > 0
        });
        self.report.kills += 1;
        self.report.in_flight += in_flight;
        killed?;
        self.until("takeover", |show| Ok(show.pair.has_primary()))?;
        let live = self.clients().moment();
        self.until("an answer of the survivor to every client", |show| Ok(show.clients().all_answered_since(live)))?;
        let gap = self.clients().longest_gap();
        self.report.gaps.push(gap);
        self.progress.say(&format!(
            "kill {} with {in_flight} requests in flight: every client answered again, longest gap {:.0} ms",
            self.report.kills,
            gap.as_secs_f64() * 1000.0
        ));
        Ok(())
    }

    /// A fresh backup for the survivor.
    fn recover(&mut self) -> Result<(), String> {
        let since = Instant::now();
        self.clients().pace(Pace::Easy);
        self.until_protected()?;
        let tally = self.clients().tally();
        self.progress.say(&format!(
            "protected again after {:.1} s: {} acknowledged, {} lost, {} doubled",
            since.elapsed().as_secs_f64(),
            thousands(tally.acknowledged),
            tally.wrong.lost,
            tally.wrong.doubled
        ));
        Ok(())
    }

    fn end_of_load(&mut self) -> Result<Vec<Ledger>, String> {
        let clients = self.clients.take().expect("there is load");
        let (ledgers, tally) = clients.finish()?;
        self.report.tally = tally;
        self.report.unprotected_time = self.pair.unprotected();
        Ok(ledgers)
    }

    /// Both sides die; the survivor's log alone must bring back every value.
    fn replay(&mut self, mut ledgers: Vec<Ledger>) -> Result<(), String> {
        let survivor = self.pair.kill_all()?;
        (self.report.takeovers, self.report.false_alarms) = (self.pair.takeovers(), self.pair.false_alarms());
        self.pair.resume(survivor)?;
        let port = self.plan.port;
        self.until("the program's return from its log", |show| Ok(show.pair.has_primary() && is_up(port)?))?;
        let (values, wrong) = clients::compare(port, &mut ledgers)?;
        self.report.values = values;
        self.report.tally.wrong += wrong;
        self.pair.kill_all()?;
        self.progress.say(&format!("{} values compared with a replay of the survivor's log", thousands(values)));
        Ok(())
    }
}
