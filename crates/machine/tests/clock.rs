//! The guest's clock and the host's: near each other one second after any disturbance, and the guest's never goes back (the guest itself looks).

#[path = "support/tiny.rs"]
mod tiny;

use gapless_log::{Host, Progress, Replica, Seq, Term, Waker};
use gapless_machine::{Machine, TICK_NANOS};
use std::time::{Duration, Instant};
use tiny::{Load, Program, machine, options, text};

/// How far they may differ.
const DIFFERENCE_MAX: Duration = Duration::from_millis(10);
/// How long after a disturbance.
const AFTER: Duration = Duration::from_secs(1);

/// A live machine that shows its clock, and how far that was from the host's whenever it did.
struct Clocks {
    host: Host<Machine>,
    waker: Waker,
    /// When the guest's clock was zero.
    zero: Instant,
    shown: String,
    last: u64,
    _dir: tempfile::TempDir,
}

impl Clocks {
    fn start(program: Program) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut host = Host::new(machine(dir.path(), program), options());
        host.go_live(Term(1), Seq(0), 0).unwrap();
        host.record_step().unwrap();
        Self { host, waker: Waker::new().unwrap(), zero: Instant::now(), shown: String::new(), last: 0, _dir: dir }
    }

    /// Runs on for so long; every difference that was seen.
    fn run(&mut self, time: Duration) -> Vec<Duration> {
        let (since, mut differences) = (Instant::now(), Vec::new());
        while since.elapsed() < time {
            let progress = self.host.record_step().unwrap();
            let now = self.zero.elapsed();
            drop(self.host.seal(Seq(0)));
            let said = text(self.host.outbox().waiting());
            self.host.release(self.host.next_seq()).unwrap();
            assert!(!said.contains('!'), "{said}");
            self.shown += &said;
            while let Some((line, rest)) = self.shown.split_once('\n') {
                if let Some(ticks) = line.strip_prefix("T ") {
                    let shown = TICK_NANOS * u64::from_str_radix(ticks, 16).unwrap();
                    assert!(shown >= self.last, "the clock went back");
                    self.last = shown;
                    differences.push(now.abs_diff(Duration::from_nanos(shown)));
                }
                self.shown = rest.to_owned();
            }
            match progress {
                Progress::Idle(at_most) => self.host.replica_mut().wait(&self.waker, at_most).unwrap(),
                Progress::Ran => {}
                Progress::Ended(status) => panic!("it ended with status {status}"),
            }
        }
        differences
    }

    /// Whoever measures may be held up as well, so the middle one of many measurements counts.
    fn assert_near(&mut self, after: &str) {
        self.run(AFTER);
        let mut differences = self.run(Duration::from_millis(300));
        differences.sort();
        let middle = *differences.get(differences.len() / 2).expect("it shows its clock");
        assert!(middle < DIFFERENCE_MAX, "one second after {after}: {middle:?} (all: {differences:?})");
        println!("one second after {after}: {middle:?}, at most {:?}", differences.last());
    }
}

fn check(program: Program) {
    let mut clocks = Clocks::start(program);
    clocks.assert_near("the beginning");
    std::thread::sleep(Duration::from_millis(700));
    clocks.assert_near("a pause of 700 ms");
    let load = Load::start(6);
    clocks.run(Duration::from_secs(1));
    drop(load);
    clocks.assert_near("load");
}

#[test]
fn the_clock_of_a_guest_that_sleeps() {
    check(Program::IdleClock);
}

#[test]
fn the_clock_of_a_guest_that_is_busy() {
    check(Program::BusyClock);
}
