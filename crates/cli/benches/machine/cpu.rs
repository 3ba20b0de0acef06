//! The guest's benchmarks, timed by the host: a guest that counts instructions for a clock cannot be asked for seconds.

use crate::console::Console;
use crate::support::Area;
use crate::support::process::Process;
use crate::table::{Cell, Table};
use crate::ways::{Computer, Guest, Way, guest_file};
use crate::{Sizes, say};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAMS: [&str; 10] =
    ["coremarkish", "sha256", "qsort", "sieve", "mandel_fp", "memcpy", "getppid", "pipe_ctxsw", "fork", "pagefault"];
/// Those that the goal is about.
const GOAL: [&str; 3] = ["coremarkish", "sha256", "qsort"];
const WAYS: [Way; 4] = [Way::Qemu, Way::QemuCounting, Way::QemuRecording, Way::Recorded];

/// When a program began and when it was over, in positions too if there are any.
struct Lap {
    name: String,
    seconds: f64,
    positions: Option<u64>,
}

/// Hears the programs begin and end, in whatever order they come.
fn laps(console: &mut Console, limit: Duration, mut position: impl FnMut() -> Option<u64>) -> Result<Vec<Lap>, String> {
    let mut laps = Vec::new();
    for _ in PROGRAMS {
        console.wait_for("@B ", limit)?;
        let (began, name) = console.rest_of_line(limit)?;
        let from = position();
        let ended = console.wait_for(&format!("@E {name} "), limit)?;
        let to = position();
        let positions = from.zip(to).map(|(from, to)| to - from);
        laps.push(Lap { name, seconds: (ended - began).as_secs_f64(), positions });
    }
    Ok(laps)
}

fn words(sizes: &Sizes) -> String {
    format!("bench scale={} only={}", sizes.scale, PROGRAMS.join(","))
}

fn native(sizes: &Sizes) -> Result<Vec<Lap>, String> {
    let area = Area::new("bench-native");
    let mut command = Command::new(guest_file("bench.native"));
    command.arg(PROGRAMS.join(",")).arg(sizes.scale.to_string());
    let mut process = Process::start_with(command, &area.join("native"), Stdio::null(), Some(Stdio::piped()));
    let from = process.child().stdout.take().expect("piped");
    laps(&mut Console::new(from, std::io::sink()), sizes.limit, || None)
}

/// A way's laps; and if it is a recording, how long the whole machine and its replay took.
/// Laps, and of a machine of ours what else was measured.
type Laps = (Vec<Lap>, Option<(f64, f64)>);

fn guest(way: Way, sizes: &Sizes) -> Result<Laps, String> {
    let mut computer = way.start(&Guest::test(&words(sizes)))?;
    let Computer { console, live, .. } = &mut computer;
    let log = live.log.clone();
    let position = || {
        let view = gapless_log::LogView::open(&log).ok()?.0;
        Some(view.last_position().0)
    };
    let laps = laps(console, sizes.limit, || if way == Way::Recorded { position() } else { None })?;
    let off = computer.await_off(sizes.limit)?;
    if way != Way::Recorded {
        return Ok((laps, None));
    }
    say("cpu: gapless replay");
    let began = Instant::now();
    let replay = Command::new(env!("CARGO_BIN_EXE_gapless")).arg("replay").arg("--json").arg(&log).output();
    let replay = replay.map_err(|e| e.to_string())?;
    if !replay.status.success() {
        return Err(format!("the replay failed: {}", String::from_utf8_lossy(&replay.stderr)));
    }
    Ok((laps, Some(((off - computer.began).as_secs_f64(), began.elapsed().as_secs_f64()))))
}

/// Of each program what `value` says, and the geometric mean of those that the goal is about.
fn column(laps: &Result<Vec<Lap>, String>, decimals: usize, value: impl Fn(&Lap) -> Option<f64>) -> Vec<Cell> {
    let of = |name: &str| {
        let laps = laps.as_ref().map_err(Clone::clone)?;
        let lap = laps.iter().find(|lap| lap.name == name).ok_or("it did not run")?;
        value(lap).ok_or_else(|| "not known".to_owned())
    };
    let mean = GOAL.iter().try_fold(1.0, |product, name| of(name).map(|value| product * value));
    let mean = mean.map(|product| product.powf(1.0 / GOAL.len() as f64));
    PROGRAMS.iter().map(|name| of(name)).chain([mean]).map(|value| Cell::of(value, decimals)).collect()
}

pub fn measure(sizes: &Sizes) -> Vec<Table> {
    let seconds = |laps: &Result<Vec<Lap>, String>| column(laps, 3, |lap| Some(lap.seconds));
    say("cpu: native");
    let mut columns = vec![("native".to_owned(), seconds(&native(sizes)))];
    let mut whole = Table::new("seconds", ["recorded", "replayed", "replayed / recorded"]);
    for way in WAYS {
        say(&format!("cpu: {}", way.name()));
        let (laps, times) = guest(way, sizes).map_or_else(|why| (Err(why), None), |(laps, times)| (Ok(laps), times));
        columns.push((way.name().to_owned(), seconds(&laps)));
        if way == Way::Recorded {
            let speed = |lap: &Lap| lap.positions.map(|positions| positions as f64 / lap.seconds / 1e6);
            columns.push(("million instructions a second".to_owned(), column(&laps, 0, speed)));
        }
        if let Some((recorded, replayed)) = times {
            let cells = [(recorded, 1), (replayed, 1), (replayed / recorded, 2)];
            whole.row("gapless, the whole machine", cells.map(|(n, decimals)| Cell::Number(n, decimals)).into());
        }
    }
    let mean = format!("geometric mean of {}", GOAL.join(", "));
    let names: Vec<String> = PROGRAMS.iter().map(|&name| name.to_owned()).chain([mean]).collect();
    vec![Table::columns(&format!("seconds, scale {}", sizes.scale), &names, columns), whole]
}
