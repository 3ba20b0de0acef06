//! `gapless machine` with the small guests: what they print and compute, the ways they end, and what their logs are good for afterwards.

mod support;
#[path = "../../machine/tests/support/tiny.rs"]
mod tiny;

use gapless_log::{Frame, Kind, Position, Seq, Store};
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::computer::{GUEST, Live, Network, PATIENCE, digest_at, guest, machine, replay, words};
use support::process::{self, Process, sleep_ms};
use support::{Area, assert_continues, moments};
use tiny::{Load, Program, Random};

/// The machine of `tiny.c`, compiled in the area.
fn tiny_command(area: &Area, log: &Path) -> std::process::Command {
    let mut command = area.gapless(area.path(), ["machine", "--memory", "64M", "--kernel", "tiny", "--disk", "disk"]);
    command.args(["--digest-every", "5", "--log"]).arg(log);
    command
}

fn tiny_area(name: &str, program: Program) -> Area {
    let area = Area::new(name);
    tiny::compile(area.path(), program);
    fs::File::create(area.join("disk")).and_then(|disk| disk.set_len(64 << 10)).expect("a disk");
    area
}

#[test]
fn a_boot_replays_equal_stops_anywhere_and_goes_on_from_what_was_saved() {
    let area = Area::new("ready");
    let log = area.join("log");
    let done = Live::test(&area, &log, "mode=ready", &[]).finish();
    let screen = done.stdout_text();
    assert_eq!(done.code(), 0, "{}", done.stderr_text());
    assert!(done.stderr.is_empty(), "{}", done.stderr_text());
    for line in ["Linux version", "@READY", "@DONE", "reboot: Power down"] {
        assert!(screen.contains(line), "no '{line}' in\n{screen}");
    }
    // In another directory, and while others want the processors.
    let moved = area.join("moved");
    fs::rename(&log, &moved).expect("a log can be moved");
    let load = Load::start(4);
    let replayed = replay(&area, &moved);
    drop(load);
    assert_eq!(replayed["exit_status"], 0);
    assert!(replayed["digests"].as_u64() > Some(5), "{replayed}");
    assert_eq!(area.verify(&moved), 0);

    let at = Position(1 + Random::fresh().below(replayed["position"].as_u64().expect("a position") - 1));
    let saved = area.join("saved");
    let digest = digest_at(&area, &moved, at, Some(&saved));
    assert_eq!(digest_at(&area, &moved, at, None), digest, "at {at}");
    let other = area.join("other");
    let mut command = area.gapless(area.path(), ["machine", "--digest-every", "200", "--from"]);
    command.arg(&saved).arg("--log").arg(&other);
    let done = Live::start(command, &other).finish();
    assert_eq!(done.code(), 0, "from position {at}: {}", done.stderr_text());
    assert!(screen_ends(&done.stdout_text()), "from position {at}:\n{}", done.stdout_text());
    assert_eq!(replay(&area, &other)["exit_status"], 0, "from position {at}");
}

fn screen_ends(screen: &str) -> bool {
    screen.trim_end().ends_with("reboot: Power down")
}

#[test]
fn killed_at_a_random_moment_of_its_boot_it_resumes_and_ends() {
    let area = Area::new("resume");
    for (n, moment) in moments(Duration::from_secs(4), 2).into_iter().enumerate() {
        let log = area.join(&format!("log-{n}"));
        let mut first = Live::test(&area, &log, "quiet mode=ready", &[]);
        // From when it has begun: a busy host may need long for that.
        let since = Instant::now();
        while !log.join("machine").exists() && since.elapsed() < Duration::from_secs(10) {
            sleep_ms(1);
        }
        std::thread::sleep(moment);
        let first = first.process.destroy();
        let mut command = area.gapless(area.path(), ["resume"]);
        command.arg(&log);
        let done = Live::start(command, &area.join(&format!("resumed-{n}"))).finish();
        let (before, after) = (first.stdout_text(), done.stdout_text());
        if first.status.success() || (done.code() == 125 && before.is_empty()) {
            continue; // It was over, or had not begun.
        }
        assert_eq!(done.code(), 0, "killed after {moment:?}: {}", done.stderr_text());
        assert!(screen_ends(&format!("{before}{after}")), "killed after {moment:?}:\n{before}\n{after}");
        assert_eq!(replay(&area, &log)["exit_status"], 0, "killed after {moment:?}");
    }
}

/// This one prints the same in every run, so what two lives print can be compared with one.
#[test]
fn killed_at_random_moments_it_repeats_and_loses_nothing() {
    let area = tiny_area("tiny", Program::Everything);
    let since = Instant::now();
    let whole = Process::start(tiny_command(&area, &area.join("whole")), &area.join("whole")).finish();
    assert_eq!(whole.code(), 0, "{}", whole.stderr_text());
    let mut resumed = 0;
    for (n, moment) in moments(since.elapsed(), 12).into_iter().enumerate() {
        let log = area.join(&format!("log-{n}"));
        let mut first = Process::start(tiny_command(&area, &log), &log);
        std::thread::sleep(moment);
        let first = first.destroy();
        let mut command = area.gapless(area.path(), ["resume"]);
        command.arg(&log);
        let done = Process::start(command, &area.join("resumed")).finish();
        if done.code() == 125 && first.stdout.is_empty() {
            continue; // It had not begun.
        }
        assert_eq!(done.code(), 0, "killed after {moment:?}: {}", done.stderr_text());
        assert_continues(&whole.stdout, &first.stdout, &done.stdout, &format!("killed after {moment:?}"));
        assert_eq!(replay(&area, &log)["exit_status"], 0, "killed after {moment:?}");
        resumed += 1;
    }
    assert!(resumed > 0, "it was never running when it was killed");
}

/// Killed when it has ended and what it said last may not have left: who resumes it lets that leave, and nothing else is said.
#[test]
fn killed_right_after_its_end_it_says_its_end_once() {
    let area = tiny_area("ended", Program::Everything);
    let log = area.join("log");
    let whole = Process::start(tiny_command(&area, &log), &log).finish();
    assert_eq!(whole.code(), 0, "{}", whole.stderr_text());
    // The last digest and the closing mark were not written yet.
    let mut store = Store::open(&log).expect("a log").0;
    let frames: Vec<Frame> = store.reader(Seq(0)).collect::<Result<_, _>>().expect("a whole log");
    let digest =
        frames.iter().rposition(|frame| frame.entries().any(|entry| entry.kind == Kind::SYNC)).expect("a digest");
    let end = &frames[digest];
    store.cut(end.first_seq(), end.chain_before()).expect("a frame ends there");
    drop(store);
    let mut command = area.gapless(area.path(), ["resume"]);
    command.arg(&log);
    let done = Process::start(command, &area.join("resumed")).finish();
    assert_eq!(done.code(), 0, "{}", done.stderr_text());
    assert!(whole.stdout.ends_with(&done.stdout) && !done.stdout.is_empty(), "{}", done.stdout_text());
    assert_eq!(replay(&area, &log)["exit_status"], 0);
}

#[test]
fn what_was_written_is_merged_into_the_disk() {
    let area = tiny_area("commit", Program::Everything);
    let log = area.join("log");
    let done = Process::start(tiny_command(&area, &log), &log).finish();
    assert_eq!(done.code(), 0, "{}", done.stderr_text());
    let starts = || fs::read(area.join("disk")).expect("a disk")[..8].to_vec();
    assert_eq!(starts(), [0; 8], "the image is not written to while it runs");
    let commit = || {
        let mut command = area.gapless(area.path(), ["machine", "image", "commit"]);
        command.arg(&log);
        Process::start(command, &area.join("commit")).finish()
    };
    let done = commit();
    assert_eq!(done.code(), 0, "{}", done.stderr_text());
    assert!(done.stderr_text().contains("disk holds what the machine has written"), "{}", done.stderr_text());
    assert_eq!(starts(), 2u64.to_le_bytes(), "it was started twice");
    let names = |dir: &Path| {
        let files = fs::read_dir(dir).expect("a directory").map(|file| file.expect("a file").file_name());
        files.filter(|name| name.to_string_lossy().contains("gapless-new") || name == "commit").collect::<Vec<_>>()
    };
    assert_eq!((names(area.path()), names(&log.join("machine"))), (vec![], vec![]), "nothing is left of it");
    // The log needs the image as it was.
    let again = commit();
    assert_eq!(again.code(), 125);
    assert!(again.stderr_text().contains("is not the image that this machine began with"), "{}", again.stderr_text());
    // A machine that is given the merged image finds what the other has written.
    let done = Process::start(tiny_command(&area, &area.join("next")), &area.join("next")).finish();
    assert!(done.stdout_text().starts_with("boot 0000000000000002"), "{}", done.stdout_text());
}

/// Whenever a merge is killed, the image is the old one or the new one, and another merge ends it.
#[test]
fn a_merge_that_is_killed_is_ended_by_the_next() {
    let area = tiny_area("merge", Program::Everything);
    let (log, disk) = (area.join("log"), area.join("disk"));
    let old = fs::read(&disk).expect("a disk");
    let done = Process::start(tiny_command(&area, &log), &log).finish();
    assert_eq!(done.code(), 0, "{}", done.stderr_text());
    let commit = || {
        let mut command = area.gapless(area.path(), ["machine", "image", "commit"]);
        command.arg(&log);
        Process::start(command, &area.join("commit"))
    };
    let since = Instant::now();
    assert_eq!(commit().finish().code(), 0);
    let (new, took) = (fs::read(&disk).expect("a disk"), since.elapsed());
    assert!(old != new);
    for moment in moments(took, 12) {
        fs::write(&disk, &old).expect("the disk can be put back");
        let mut killed = commit();
        std::thread::sleep(moment);
        killed.destroy();
        let found = fs::read(&disk).expect("a disk");
        assert!(found == old || found == new, "killed after {moment:?}: neither the old image nor the new one");
        let done = commit().finish();
        let already = done.stderr_text().contains("is not the image that this machine began with");
        assert!(done.code() == 0 || (already && found == new), "killed after {moment:?}: {}", done.stderr_text());
        assert!(fs::read(&disk).expect("a disk") == new, "killed after {moment:?}");
    }
}

/// Neither a saved machine nor its log needs the image that the first one began with.
#[test]
fn a_saved_machine_brings_its_disks_along() {
    let area = tiny_area("bring", Program::Everything);
    let (log, saved, other) = (area.join("log"), area.join("saved"), area.join("other"));
    let whole = Process::start(tiny_command(&area, &log), &log).finish();
    let last = replay(&area, &log)["position"].as_u64().expect("a position");
    let at = Position(1 + Random::fresh().below(last - 1));
    digest_at(&area, &log, at, Some(&saved));
    fs::remove_file(area.join("disk")).expect("the disk was there");
    let mut command = area.gapless(area.path(), ["machine", "--digest-every", "5", "--from"]);
    command.arg(&saved).args(["--log", "other"]);
    let done = Process::start(command, &other).finish();
    assert_eq!(done.code(), 0, "from {at}: {}", done.stderr_text());
    assert!(whole.stdout.ends_with(&done.stdout), "from {at}:\n{}", done.stdout_text());
    assert_eq!(replay(&area, &other)["exit_status"], 0, "from {at}");
    let mut commit = area.gapless(area.path(), ["machine", "image", "commit"]);
    commit.arg(&other);
    let done = Process::start(commit, &area.join("commit")).finish();
    let said = done.stderr_text();
    assert_eq!(done.code(), 125, "{said}");
    assert!(said.contains("it came with a saved machine") && said.contains("gapless export"), "{said}");
    let mut export = area.gapless(area.path(), ["export", "other", "--to", "disks"]);
    export.stdout(std::process::Stdio::null());
    let done = Process::start(export, &area.join("export")).finish();
    assert_eq!(done.code(), 0, "{}", done.stderr_text());
    assert_eq!(fs::read(area.join("disks/disk0.img")).expect("its disk")[..8], 2u64.to_le_bytes());
}

#[test]
fn a_reboot_stays_inside_the_machine() {
    let area = Area::new("reboot");
    let log = area.join("log");
    let mut live = Live::test(&area, &log, "mode=reboot", &[]);
    live.awaits("reboot: Restarting system");
    live.awaits_times("Linux version", 2);
    process::kill(live.process.pid(), libc::SIGTERM);
    let done = live.finish();
    assert_eq!(done.code(), 128 + libc::SIGTERM, "{}", done.stderr_text());
    assert!(done.stderr_text().contains("goes on from here"), "{}", done.stderr_text());
    let replayed = replay(&area, &log);
    assert!(replayed["exit_status"].is_null() && replayed["digests"].as_u64() > Some(5), "{replayed}");
}

#[test]
fn a_kernel_that_gives_up_is_heard_of() {
    let area = Area::new("panic");
    let log = area.join("log");
    let mut live = Live::test(&area, &log, "quiet mode=panic", &[]);
    live.awaits_word("the guest's kernel says: Kernel panic - not syncing: sysrq triggered crash");
    process::kill(live.process.pid(), libc::SIGINT);
    let done = live.finish();
    assert_eq!(done.code(), 128 + libc::SIGINT, "{}", done.stderr_text());
}

/// Results are functions of constants: the same in the guest, on this host, and whenever it is asked.
#[test]
fn programs_compute_in_the_guest_what_they_compute_here() {
    let area = Area::new("bench");
    let log = area.join("log");
    let results = |text: &str| -> Vec<(String, String)> {
        let ends = text.lines().filter_map(|line| line.strip_prefix("@E "));
        let word = |line: &str, n| line.split_whitespace().nth(n).unwrap_or("").to_owned();
        ends.map(|line| (word(line, 0), word(line, 2))).collect()
    };
    let names = "coremarkish,mandel_fp,qsort,pagefault";
    let live = Live::test(&area, &log, &format!("quiet mode=bench only={names}"), &[]);
    let here = Process::start(
        {
            let mut native = area.command(guest("bench.native"), area.path());
            native.arg(names);
            native
        },
        &area.join("native"),
    )
    .finish();
    let done = live.finish();
    assert_eq!(done.code(), 0, "{}", done.stderr_text());
    let (there, here) = (results(&done.stdout_text()), results(&here.stdout_text()));
    assert_eq!(there, here);
    assert_eq!(there.len(), 4);
    assert_eq!(replay(&area, &log)["exit_status"], 0);
}

#[test]
fn a_file_system_that_was_written_is_clean_when_merged() {
    let area = Area::new("disk");
    let (log, disk) = (area.join("log"), area.join("disk.img"));
    fs::copy(guest("scratch.img"), &disk).expect("a disk");
    let disk_argument = disk.to_str().expect("an ASCII path");
    let done = Live::test(&area, &log, "quiet root=/dev/vda mode=disk", &["--disk", disk_argument]).finish();
    let screen = done.stdout_text();
    assert_eq!(done.code(), 0, "{screen}{}", done.stderr_text());
    for name in ["disk_read", "disk_read_4k", "disk_write", "disk_sync"] {
        let end = screen.lines().find(|line| line.starts_with(&format!("@E {name} ")));
        assert!(end.is_some_and(|line| line.ends_with("rc=0")), "{name}: {screen}");
    }
    let mut commit = area.gapless(area.path(), ["machine", "image", "commit"]);
    commit.arg(&log);
    let done = Process::start(commit, &area.join("commit")).finish_within(PATIENCE);
    assert_eq!(done.code(), 0, "{}", done.stderr_text());
    let check = |program: &str, arguments: &[&str]| {
        let mut command = area.command(program, area.path());
        command.args(arguments).arg(&disk);
        Process::start(command, &area.join("check")).finish()
    };
    let done = check("e2fsck", &["-f", "-n"]);
    assert_eq!(done.code(), 0, "{}", done.stdout_text());
    let listed = check("debugfs", &["-R", "ls -l"]).stdout_text();
    let size = listed.lines().find(|line| line.trim_end().ends_with(" written"));
    assert!(size.is_some_and(|line| line.contains(" 16777216 ")), "{listed}");
}

/// A client of `fsyncer`, which acknowledges what is on the disk.
struct Records {
    stream: BufReader<TcpStream>,
    count: u64,
}

impl Records {
    fn connect(network: &Network) -> Self {
        // It says that it serves a moment before it does.
        let since = Instant::now();
        let stream = loop {
            match network.neighbour.enter(|| TcpStream::connect((GUEST, 7000))) {
                Err(e) if e.kind() == ErrorKind::ConnectionRefused && since.elapsed() < PATIENCE => sleep_ms(20),
                connected => break connected.expect("it serves"),
            }
        };
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_nodelay(true).expect("no delay");
        Self { stream: BufReader::new(stream), count: 0 }
    }

    fn ask(&mut self, line: &str) -> String {
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes()).expect("the connection lives");
        let mut answer = String::new();
        self.stream.read_line(&mut answer).expect("an answer");
        answer.trim_end().to_owned()
    }

    fn append(&mut self) {
        self.count += 1;
        assert_eq!(self.ask(""), self.count.to_string());
    }
}

/// The client's connection lives on, and every record that it was told of is on the disk, once.
#[test]
fn killed_while_it_serves_it_resumes_with_its_connections() {
    let area = Area::new("fsync");
    let (log, network) = (area.join("log"), Network::new());
    let disk = guest("scratch.img");
    let arguments = ["--disk", disk.to_str().expect("an ASCII path"), "--net", "tap=tap0"];
    let append = format!("quiet root=/dev/vda mode=fsync ip={GUEST}/24");
    let command = network.gapless(&area, machine("test", "128M", &log, &append, &arguments));
    let mut live = Live::start(command, &log);
    live.awaits("@SERVING");
    let mut records = Records::connect(&network);
    (0..10).for_each(|_| records.append());
    let mut live = std::thread::scope(|scope| {
        let client = scope.spawn(|| (0..100).for_each(|_| records.append()));
        std::thread::sleep(moments(Duration::from_millis(300), 1)[0]);
        live.process.destroy();
        let mut resume = words(["resume", "--net", "tap=tap0"]);
        resume.push(log.clone().into());
        let resumed = Live::start(network.gapless(&area, resume), &area.join("resumed"));
        client.join().expect("its answers are in order");
        resumed
    });
    assert_eq!(records.ask("check"), "ok 110");
    live.type_line("poweroff");
    let done = live.finish();
    assert_eq!(done.code(), 0, "{}{}", done.stdout_text(), done.stderr_text());
    assert_eq!(replay(&area, &log)["exit_status"], 0);
}

/// How far the host's clock is ahead of what the guest shows, beside a constant: the middle one of what is seen in half a second.
fn ahead(live: &Process, zero: Instant) -> i64 {
    let (since, mut seen, mut found) = (Instant::now(), live.stdout().len(), Vec::new());
    while since.elapsed() < Duration::from_millis(500) {
        let screen = live.stdout();
        let now = zero.elapsed().as_nanos() as i64;
        let lines = screen[seen..].split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
        for line in lines {
            seen += line.len();
            let line = String::from_utf8_lossy(line);
            assert!(!line.contains('!'), "{line}");
            // The first one may have been seen in part.
            if let Some(ticks) = line.trim_end().strip_prefix("T ").and_then(|t| i64::from_str_radix(t, 16).ok()) {
                found.push(now - 100 * ticks);
            }
        }
        sleep_ms(1);
    }
    found.sort_unstable();
    *found.get(found.len() / 2).unwrap_or_else(|| panic!("it shows no clock: {}", live.stderr_text()))
}

#[test]
fn one_second_after_a_disturbance_the_clocks_agree() {
    for program in [Program::IdleClock, Program::BusyClock] {
        let area = tiny_area("clock", program);
        let zero = Instant::now();
        let mut live = Process::start(tiny_command(&area, &area.join("log")), &area.join("run"));
        sleep_ms(1000);
        let before = ahead(&live, zero);
        let agree = |after: &str| {
            sleep_ms(1000);
            let difference = ahead(&live, zero) - before;
            assert!(difference.abs() < 10_000_000, "{program:?}, after {after}: {difference} ns");
        };
        process::kill(live.pid(), libc::SIGSTOP);
        sleep_ms(700);
        process::kill(live.pid(), libc::SIGCONT);
        agree("a stop of 700 ms");
        let load = Load::start(4);
        sleep_ms(1000);
        drop(load);
        agree("load");
        live.destroy();
    }
}

#[test]
fn what_cannot_be_started_is_said_with_what_to_do() {
    let area = tiny_area("errors", Program::Everything);
    let file = |name: &str, bytes: &[u8]| fs::write(area.join(name), bytes).expect("a file");
    file("empty", b"");
    file("text", b"this is not a kernel, whatever the command line says; it is only some text to try it with");
    file("gzip", b"\x1f\x8b\x08\0\0\0\0\0");
    file("odd", &[0; 1000]);
    let mut cut = fs::read(guest("test.kernel")).expect("a kernel");
    cut.truncate(1_000_000);
    file("cut", &cut);
    fs::File::create(area.join("large")).and_then(|f| f.set_len(100 << 20)).expect("a sparse file");
    fs::File::create(area.join("huge")).and_then(|f| f.set_len(1100 << 20)).expect("a sparse file");
    let long = "x".repeat(2000);
    let tiny = ["--kernel", "tiny"];
    let with = |more: &[&'static str]| [&tiny[..], more].concat();
    #[rustfmt::skip]
    let cases: Vec<(Vec<&str>, &[&str])> = vec![
        (vec![], &["--kernel", "--from"]),
        (vec!["--kernel", "nosuch"], &["kernel nosuch: No such file"]),
        (vec!["--kernel", "/"], &["kernel /: Is a directory"]),
        (vec!["--kernel", "empty"], &["flat RISC-V `Image`", "linux-image-riscv64"]),
        (vec!["--kernel", "text"], &["not a Linux kernel for RISC-V", "linux-image-riscv64"]),
        (vec!["--kernel", "gzip"], &["gzip", "zcat"]),
        (vec!["--kernel", "cut"], &["cut off", "copy it again"]),
        (vec!["--kernel", "tiny.elf"], &["ELF", "objcopy"]),
        (with(&["--initrd", "nosuch"]), &["initial RAM disk nosuch: No such file"]),
        (with(&["--initrd", "large", "--memory", "64M"]), &["the initial RAM disk needs 104857600 bytes", "give the machine more memory"]),
        (with(&["--initrd", "huge"]), &["huge: no boot image is larger than 1073741824 bytes"]),
        (with(&["--disk", "nosuch"]), &["nosuch: No such file"]),
        (with(&["--disk", "/"]), &["/", "Is a directory"]),
        (with(&["--disk", "odd"]), &["1000 bytes", "512-byte sectors", "truncate -s %512"]),
        (with(&["--disk", "empty"]), &["0 bytes", "512-byte sectors"]),
        (with(&["--disk", ""]), &["--disk"]),
        (with(&["--memory", "10M"]), &["between 64 MiB and 64 GiB"]),
        (with(&["--memory", "100G"]), &["between 64 MiB and 64 GiB"]),
        (with(&["--memory", "10"]), &["--memory", "512M or 2G"]),
        (with(&["--net", "bridge"]), &["tap=NAME", "passt"]),
        (with(&["--net", "tap=a-name-that-is-too-long"]), &["1 to 15 characters"]),
        (with(&["--disk", "disk"].repeat(7)), &["at most 6"]),
        (vec!["--kernel", "tiny", "--append", &long], &["2000 bytes", "shorten it"]),
        (vec!["--from", "nosuch"], &["saved machine nosuch: No such file"]),
        (vec!["--from", "text"], &["not a whole snapshot of a machine"]),
        (vec!["--from", "text", "--kernel", "tiny"], &["cannot be used with"]),
    ];
    for (arguments, expected) in cases {
        let mut command = area.gapless(area.path(), ["machine"]);
        command.args(&arguments).arg("--log").arg(area.join("log"));
        let done = Process::start(command, &area.join("run")).finish();
        let said = done.stderr_text();
        assert!(matches!(done.code(), 2 | 125), "{arguments:?}: {} {said}", done.code());
        assert!(expected.iter().all(|word| said.contains(word)), "{arguments:?}: {said}");
        assert!(done.stdout.is_empty(), "{arguments:?}");
    }
    // Nothing of these is left that would be in the way, and nothing is merged of a machine that never was.
    let commit: Vec<PathBuf> = vec!["machine".into(), "image".into(), "commit".into(), area.join("log")];
    let done = Process::start(area.gapless(area.path(), commit), &area.join("run")).finish();
    assert_eq!(done.code(), 125, "{}", done.stderr_text());
    let done = Process::start(tiny_command(&area, &area.join("log")), &area.join("run")).finish();
    assert_eq!(done.code(), 0, "{}", done.stderr_text());
    let done = Process::start(tiny_command(&area, &area.join("log")), &area.join("run")).finish();
    assert!(done.stderr_text().contains("gapless resume"), "{}", done.stderr_text());
}
