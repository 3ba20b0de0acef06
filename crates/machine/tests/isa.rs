//! The programs of `guest/isa`, each of them a list of cases in assembly: every instruction, trap cause and field of a control register.
//!
//! Each is assembled by Debian's cross gcc and run twice: in one go, and in slices, which must not change anything.

#[path = "isa/assemble.rs"]
mod assemble;
#[path = "isa/compressed.rs"]
#[expect(dead_code, reason = "not all of it is needed here")]
mod compressed;
#[path = "isa/computer.rs"]
mod computer;
#[path = "isa/dice.rs"]
#[expect(dead_code, reason = "not all of it is needed here")]
mod dice;
#[path = "isa/encode.rs"]
#[expect(dead_code, reason = "not all of it is needed here")]
mod encode;
#[path = "isa/legal.rs"]
mod legal;

use assemble::{assemble, guest};
use computer::Computer;
use dice::Dice;
use encode::{Csr, Operands};
use gapless_machine::hart::Exit;
use gapless_machine::{Line, RAM_BASE, SLOPE_ONE};
use legal::Legality;

/// More than any program executes.
const POSITIONS_MAX: u64 = 1 << 20;

/// Calls of a program, as in `test.h`.
mod call {
    pub const FAIL: u64 = 0x100;
    pub const DONE: u64 = 0x101;
    pub const CASE: u64 = 0x102;
    pub const POSITION: u64 = 0x103;
    pub const LINE: u64 = 0x104;
    pub const LINE_AT_WFI: u64 = 0x105;
}

macro_rules! programs {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*

        #[test]
        fn every_program_is_run() {
            let programs = guest().join("isa").read_dir().expect("guest/isa is a directory");
            let names = programs.map(|entry| entry.expect("guest/isa can be read").path());
            let mut names: Vec<_> = names
                .filter(|path| path.extension().is_some_and(|extension| extension == "S"))
                .map(|path| path.file_stem().expect("a program has a name").to_string_lossy().into_owned())
                .collect();
            names.sort();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

programs! { atomics code csrs devices floats instructions interrupts paging timer traps }

#[test]
fn every_instruction_has_a_case() {
    let sources = ["instructions", "floats", "atomics", "csrs"];
    let text: String = sources
        .iter()
        .map(|name| std::fs::read_to_string(guest().join(format!("isa/{name}.S"))).expect("a program can be read"))
        .collect();
    let rows = [encode::INTEGER, encode::MEMORY, encode::AMO, encode::BRANCH, encode::FLOAT].into_iter().flatten();
    let names = rows.map(|row| row.name).chain(compressed::ROWS.iter().map(|row| row.name));
    let without: Vec<_> = names.filter(|name| !text.contains(&format!("CASE(\"{name}\")"))).collect();
    assert_eq!(without, Vec::<&str>::new());
}

#[test]
fn nothing_else_of_two_bytes_is_an_instruction() {
    let mut legality = Legality::new();
    let wrong: Vec<_> = (0..=u16::MAX)
        .filter(|parcel| parcel & 3 != 3)
        .filter(|&parcel| legality.of(parcel.into()) != legal::is_compressed(parcel))
        .map(|parcel| format!("{parcel:#06x}"))
        .collect();
    assert!(wrong.is_empty(), "legal or not, and must not be: {wrong:?}");
}

#[test]
fn nothing_else_of_four_bytes_is_an_instruction() {
    let mut legality = Legality::new();
    let mut dice = Dice::new(0);
    let mut wrong = Vec::new();
    let mut check = |word: u32| {
        if legality.of(word) != legal::is_instruction(word) {
            wrong.push(format!("{word:#010x}"));
        }
    };
    // Each instruction with other operands, and then with one bit turned.
    for row in legal::rows() {
        for bit in 0..32 {
            let [rd, rs1, rs2, rs3, mode] = [32, 32, 32, 32, 4].map(|below| dice.below(below) as u32);
            let word = row.encode(Operands { rd, rs1, rs2, rs3, imm: dice.any() as i32, mode });
            check(word);
            check(word ^ 1 << bit | 3);
        }
    }
    for number in 0..1 << 12 {
        check(encode::csr(Csr::Set, 10, number, 0));
        check(encode::csr(Csr::Write, 10, number, 10));
        check(encode::csr(Csr::ClearImmediate, 0, number, 0));
    }
    for _ in 0..20_000 {
        check(dice.any() as u32 | 3);
    }
    assert!(wrong.is_empty(), "legal or not, and must not be: {wrong:?}");
}

fn check(name: &str) {
    let image = assemble(&format!("isa/{name}"));
    let whole = Run::new(&image).run(|| POSITIONS_MAX);
    let mut step = 0;
    let sliced = Run::new(&image).run(|| {
        step = step % 23 + 1;
        step
    });
    let mut failures = whole.failures.clone();
    if sliced != whole {
        failures.push(format!("in slices it is another: {sliced:#?}"));
    }
    assert!(failures.is_empty(), "{name}.S:\n{}", failures.join("\n"));
}

/// What a program did.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Outcome {
    /// How many cases began.
    cases: u32,
    /// What it found wrong, a line each.
    failures: Vec<String>,
    /// Position at the end.
    position: u64,
}

/// A program that runs.
struct Run {
    computer: Computer,
    case: String,
    /// The next WFI raises the interrupt line.
    line_at_wfi: bool,
    outcome: Outcome,
}

impl Run {
    fn new(image: &[u8]) -> Self {
        let mut computer = Computer::new();
        computer.write(RAM_BASE, image);
        let outcome = Outcome { cases: 0, failures: Vec::new(), position: 0 };
        Self { computer, case: "before the first case".to_owned(), line_at_wfi: false, outcome }
    }

    /// Runs it in slices of so many positions to its end.
    fn run(mut self, mut positions: impl FnMut() -> u64) -> Outcome {
        const FAILURES_MAX: usize = 20;
        while self.computer.hart.position().0 < POSITIONS_MAX && self.outcome.failures.len() < FAILURES_MAX {
            match self.computer.run(positions()) {
                Exit::Limit => {}
                Exit::Wfi => self.wait(),
                Exit::Sbi if self.computer.hart.x[17] == call::DONE => {
                    if self.outcome.cases == 0 {
                        self.fail("no case was run".to_owned());
                    }
                    self.outcome.position = self.computer.hart.position().0;
                    return self.outcome;
                }
                Exit::Sbi => self.call(),
                Exit::Device if self.computer.board.wants_end => self.computer.board.wants_end = false,
                Exit::Device | Exit::Point => self.fail("a step has ended for nothing".to_owned()),
            }
        }
        self.fail(format!("it goes on at {:#x}", self.computer.hart.pc()));
        self.outcome
    }

    fn fail(&mut self, what: String) {
        self.outcome.failures.push(format!("  {}: {what}", self.case));
    }

    fn call(&mut self) {
        let hart = &self.computer.hart;
        let [a0, a1, a2] = [hart.x[10], hart.x[11], hart.x[12]];
        let mut answer = 0;
        match hart.x[17] {
            call::FAIL if a0 == 0 => {
                self.fail(format!("an unexpected trap: scause {a1:#x}, stval {a2:#x}, {}", self.trap()))
            }
            call::FAIL => {
                let trap = self.trap();
                self.fail(format!("line {a0}: {a1:#x} must be {a2:#x} (the last trap's {trap})"));
            }
            call::CASE => {
                self.outcome.cases += 1;
                self.case = self.text(a0);
            }
            call::POSITION => answer = hart.position().0,
            call::LINE => self.computer.board.external = a0 != 0,
            call::LINE_AT_WFI => self.line_at_wfi = true,
            call => self.fail(format!("there is no call {call:#x}")),
        }
        self.computer.hart.sbi_return(answer.cast_signed(), 0);
    }

    /// What the program keeps of its last trap.
    fn trap(&self) -> String {
        let x = &self.computer.hart.x;
        format!("scause {:#x}, stval {:#x}, sepc {:#x}, sstatus {:#x}", x[18], x[19], x[20], x[21])
    }

    /// The program's text at an address.
    fn text(&self, at: u64) -> String {
        let bytes = (at..).map(|at| self.computer.read(at, 1)[0]).take_while(|&byte| byte != 0).collect();
        String::from_utf8(bytes).expect("a case has a name")
    }

    /// The hart waits: the interrupt line is raised, or time jumps to the timer.
    fn wait(&mut self) {
        let hart = &mut self.computer.hart;
        if std::mem::take(&mut self.line_at_wfi) {
            self.computer.board.external = true;
        } else if let Some(time) = hart.timer() {
            hart.set_line(Line { position: hart.position().0, time, slope: SLOPE_ONE });
        } else {
            self.fail("it waits for ever".to_owned());
        }
    }
}
