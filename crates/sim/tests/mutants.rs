//! Every deliberately broken engine is caught by the schedules.

use gapless_sim::{Mutant, run};
use std::sync::atomic::{AtomicU64, Ordering};

/// Schedules within which a broken engine must be caught.
const SEEDS: u64 = 40_000;

/// Some broken schedule, found on all cores.
fn violation(mutant: Mutant) -> Option<String> {
    let next = AtomicU64::new(0);
    let search = || {
        while let seed @ ..SEEDS = next.fetch_add(1, Ordering::Relaxed) {
            if let Some(what) = run(seed, mutant, false).violation {
                next.store(SEEDS, Ordering::Relaxed);
                return Some(format!("seed {seed}: {what}"));
            }
        }
        None
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(search);
        let found = search();
        found.or(other.join().expect("violations are caught, panics included"))
    })
}

#[test]
fn every_mutant_is_caught() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for mutant in Mutant::ALL {
        match violation(mutant) {
            Some(what) => println!("{mutant:?}: {what}"),
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "not caught within {SEEDS} schedules: {missed:?}");
}
