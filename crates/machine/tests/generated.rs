//! Programs from seeds run in the hart's user mode and under `qemu-riscv64-static`, and print the same: every register and all of their memory.
//!
//! Where they differ, the program is cut down to what still does, and the seed is named: `SEED=n cargo test --test generated` runs that one alone.

#[path = "isa/compressed.rs"]
mod compressed;
#[path = "isa/computer.rs"]
mod computer;
#[path = "isa/dice.rs"]
mod dice;
#[path = "isa/encode.rs"]
mod encode;
#[path = "isa/generator.rs"]
mod generator;
#[path = "isa/qemu.rs"]
mod qemu;
#[path = "isa/user.rs"]
mod user;

use generator::{Item, Program, SCRATCH_BYTES};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use user::{Slices, Translation};

/// Programs that every test run makes.
const SEEDS: u64 = 1000;

#[test]
fn programs_print_the_same_as_under_qemu() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..std::env::var("SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("SEEDS is a number")),
    };
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let next = AtomicU64::new(seeds.start);
    let worker = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            check(seed, dir.path());
        }
    };
    std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

#[test]
fn programs_hold_every_instruction() {
    let mut missing: BTreeSet<&str> = [encode::INTEGER, encode::MEMORY, encode::AMO, encode::BRANCH, encode::FLOAT]
        .into_iter()
        .flatten()
        .chain(&encode::LR)
        .chain(&encode::SC)
        .map(|row| row.name)
        .chain(compressed::ROWS.iter().map(|row| row.name))
        .chain(["jal", "jalr", "c.j", "c.jr", "c.jalr", "c.beqz", "c.bnez", "fence", "fence.i", "pause"])
        .collect();
    for seed in 0..SEEDS {
        for name in generator::program(seed).names() {
            missing.remove(name);
        }
    }
    assert_eq!(missing, BTreeSet::new(), "no program of {SEEDS} has these");
}

/// One seed: physical and translated addresses, in one go and in slices.
fn check(seed: u64, dir: &Path) {
    let program = generator::program(seed);
    let translation = if seed.is_multiple_of(2) { Translation::Bare } else { Translation::Sv39 };
    if difference(&program, translation, dir).is_some() {
        report(seed, &program, translation, dir);
    }
    let whole = user::run(&program, translation, Slices::One).expect("it ran a moment ago");
    let sliced = user::run(&program, translation, Slices::Many(seed)).expect("it ran a moment ago");
    assert_eq!(
        whole.position, sliced.position,
        "seed {seed}: the same program ends at another position when it is interrupted"
    );
    assert!(whole.printed == sliced.printed, "seed {seed}: the program prints something else when it is interrupted");
}

/// What is wrong with the program in our hart, if anything is.
fn difference(program: &Program, translation: Translation, dir: &Path) -> Option<String> {
    let wanted = qemu::run(program, dir);
    match user::run(program, translation, Slices::One) {
        Ok(outcome) => (outcome.printed != wanted).then(|| compare(&outcome.printed, &wanted)),
        Err(error) => Some(error),
    }
}

/// Says which registers and bytes differ.
fn compare(found: &[u8], wanted: &[u8]) -> String {
    let mut text = String::new();
    if found.len() != wanted.len() {
        return format!("{} bytes printed, not {}", found.len(), wanted.len());
    }
    for (at, (found, wanted)) in found.chunks(8).zip(wanted.chunks(8)).enumerate() {
        if found == wanted {
            continue;
        }
        let register = (at as u64 * 8).checked_sub(SCRATCH_BYTES).map(|offset| offset / 8);
        let name = match register {
            None => format!("{}(x9)", at as i64 * 8 - SCRATCH_BYTES as i64 / 2),
            Some(64) => "fcsr".to_owned(),
            Some(register @ 32..) => format!("f{}", register - 32),
            Some(register) => format!("x{register}"),
        };
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("the state is whole words"));
        writeln!(text, "    {name} is {:#018x}, must be {:#018x}", number(found), number(wanted))
            .expect("a string takes all");
    }
    text
}

/// Cuts the program down and fails with what is left.
fn report(seed: u64, program: &Program, translation: Translation, dir: &Path) -> ! {
    let least = shrink(program, &|program| difference(program, translation, dir).is_some());
    let why = difference(&least, translation, dir).expect("what is left of the program differs");
    panic!(
        "seed {seed} ({translation:?}) differs from qemu:\n{why}in a program whose registers come from the seed:\n{}",
        least.text()
    );
}

/// Fewer items that are still wrong: first the shortest beginning, then without what is not needed.
fn shrink(program: &Program, wrong: &dyn Fn(&Program) -> bool) -> Program {
    let mut items = program.items.clone();
    // Up to `least` items are right, `items` are wrong.
    let mut least = 0;
    while least + 1 < items.len() {
        let half = (least + items.len()) / 2;
        if wrong(&program.with(&items[..half])) {
            items.truncate(half);
        } else {
            least = half;
        }
    }
    if let Some(flat) = without_jump(&items).filter(|flat| wrong(&program.with(flat))) {
        items = flat;
    }
    let mut length = items.len() / 2;
    while length > 0 {
        let mut at = 0;
        while at < items.len() {
            let mut fewer = items.clone();
            fewer.drain(at..(at + length).min(items.len()));
            if wrong(&program.with(&fewer)) {
                items = fewer;
            } else {
                at += length;
            }
        }
        length /= 2;
    }
    program.with(&items)
}

/// The contents of the last item instead of itself: once is often enough.
fn without_jump(items: &[Item]) -> Option<Vec<Item>> {
    let (last, before) = items.split_last()?;
    let inner = match last {
        Item::Skip(skip) => &skip.over,
        Item::Loop(turns) => &turns.body,
        Item::Run(_) => return None,
    };
    Some(before.iter().chain(inner).cloned().collect())
}
