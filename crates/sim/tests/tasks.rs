//! The task level survives its schedules, meets the hard cases, and every rule that is broken on purpose is noticed.

use gapless_sim::{TaskMet, TaskMutant, run_tasks};

#[test]
fn tasks_hold_and_meet_the_hard_cases() {
    const SEEDS: u64 = 300;
    let mut met = TaskMet::default();
    // The last one: a receiver holds what its sender, after a takeover, is only about to say again.
    for seed in (0..SEEDS).chain([11_087]) {
        let outcome = run_tasks(seed, TaskMutant::None);
        assert_eq!(outcome.violation, None, "seed {seed}:\n{}", outcome.trace.join("\n"));
        met.add(&outcome.met);
    }
    let TaskMet { replies, takeovers, resumes, losses, snapshots, repeated, broken, gaps, deletions } = met;
    let least = [replies / 20, takeovers, resumes, losses * 5, snapshots, repeated, broken, gaps, deletions];
    let least = least.into_iter().min();
    assert!(least >= Some(SEEDS / 4), "something is too rare: {met:?}");
}

#[test]
fn a_seed_tells_everything() {
    for seed in [0, 7, 1_000_003] {
        let (once, twice) = (run_tasks(seed, TaskMutant::None), run_tasks(seed, TaskMutant::None));
        assert_eq!((once.trace, once.met), (twice.trace, twice.met), "seed {seed}");
    }
}

#[test]
fn every_task_mutant_is_caught() {
    std::panic::set_hook(Box::new(|_| {}));
    let caught = |mutant| (0..500).find_map(|seed| run_tasks(seed, mutant).violation.map(|what| (seed, what)));
    let mut missed = Vec::new();
    for mutant in TaskMutant::ALL {
        match caught(mutant) {
            Some((seed, what)) => println!("{mutant:?}: seed {seed}: {what:.200}"),
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
