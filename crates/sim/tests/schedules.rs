//! The true engine survives its schedules, meets the hard cases, and a seed tells everything.

use gapless_sim::{Coverage, Met, Mutant, run};

#[test]
fn schedules_hold_and_meet_the_hard_cases() {
    const SEEDS: u64 = 1_500;
    let halves: Vec<Coverage> = std::thread::scope(|scope| {
        let half = |odd: u64| {
            move || {
                let mut coverage = Coverage::default();
                for seed in (0..SEEDS).filter(|s| s % 2 == odd) {
                    let outcome = run(seed, Mutant::None, false);
                    assert_eq!(outcome.violation, None, "replay it with: gapless-sim {seed}");
                    coverage.add(&outcome.met);
                }
                coverage
            }
        };
        let workers = [scope.spawn(half(0)), scope.spawn(half(1))];
        workers.into_iter().map(|w| w.join().expect("no schedule breaks a rule")).collect()
    });
    let mut coverage = Coverage::default();
    halves.iter().for_each(|half| coverage.merge(half));
    // 1 in 200 of the required cases is what 1,000 in 200,000 schedules asks for.
    let required = &Met::ALL[..11];
    for &met in required {
        assert!(coverage.of(met) * 200 >= coverage.schedules(), "{met:?} is too rare:\n{coverage}");
    }
}

#[test]
fn a_seed_gives_the_same_trace_twice() {
    for seed in [0, 7, 64, 1_000_003] {
        let (once, twice) = (run(seed, Mutant::None, true), run(seed, Mutant::None, true));
        assert!(once.trace.len() > 10, "seed {seed} tells something");
        assert_eq!(once.trace, twice.trace, "seed {seed}");
        assert_eq!(once.met, twice.met);
    }
    assert_ne!(run(1, Mutant::None, true).trace, run(2, Mutant::None, true).trace);
}

#[test]
fn looking_does_not_change_what_happens() {
    for seed in 0..50 {
        assert_eq!(run(seed, Mutant::None, false).met, run(seed, Mutant::None, true).met, "seed {seed}");
    }
}
